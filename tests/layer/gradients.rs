//! Gradients of a backward pass: replaced, added to what is there, or left out.

use approx::assert_abs_diff_eq;
use fused_rnn::{Accumulate, Builder, CellKind, Dims, Gradients, Rng, Tape, Upstream, Workspace};
use fused_rnn_tests::uniform;

/// Gradients that are left out change no other gradient, and `Accumulate::Add` adds.
#[test]
fn gradients_are_replaced_or_added_and_the_others_left_out() {
    let layer = Builder::new(CellKind::GruResetBefore, 4, 11).layers(2).build().unwrap();
    let mut rng = Rng::new(3);
    let (x, dhn) = (uniform(3 * 7 * 4, &mut rng), uniform(2 * 3 * 11, &mut rng));
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = layer.zero_state(3).unwrap();
    layer.forward_train(&x, Dims::new(3, 7), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let upstream = Upstream::default().with_dhn(&dhn);
    let count = layer.parameters().len();
    let mut backward = |start: f32, accumulate, with_input| {
        let (mut parameters, mut dx) = (vec![start; count], vec![0.0; x.len()]);
        let dx = if with_input { Some(&mut dx[..]) } else { None };
        let mut gradients = Gradients::of_parameters(&mut parameters).with_accumulate(accumulate);
        gradients.dx = dx;
        layer.backward(&x, &tape, upstream, gradients, &mut workspace).unwrap();
        parameters
    };
    let alone = backward(f32::NAN, Accumulate::Overwrite, false);
    assert_eq!(alone, backward(9.0, Accumulate::Overwrite, true));
    let added = backward(0.5, Accumulate::Add, true);
    for (added, alone) in added.iter().zip(&alone) {
        assert_abs_diff_eq!(added - alone, 0.5, epsilon = 1e-5);
    }
}
