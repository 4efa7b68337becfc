//! Where sequences begin and end: runs from a state, the final output, and its gradient.

use crate::drawn::initial;
use fused_rnn::{
    CellKind, Dims, Error, Gradients, Level, Recurrent, Schedule, Tape, Threads, Upstream, Workspace,
};
use fused_rnn_tests::strategies::{cases_from, trained};
use fused_rnn_tests::{Case, Data, bits, property_cases};
use proptest::prelude::*;

/// The final output, from the states as PyTorch shows them.
fn final_output(case: &Case, h: &[f32]) -> Vec<f32> {
    let (directions, width) = (case.directions(), case.outputs());
    let mut last = Vec::new();
    for row in 0..case.batch {
        for direction in 0..directions {
            let strand = (case.layers - 1) * directions + direction;
            last.extend_from_slice(&h[(strand * case.batch + row) * width..][..width]);
        }
    }
    last
}

/// The inverse, with zeros in the layers below.
fn scattered(case: &Case, last: &[f32]) -> Vec<f32> {
    let (directions, width) = (case.directions(), case.outputs());
    let mut dhn = vec![0.0; case.layers * directions * case.batch * width];
    for (n, from) in last.chunks_exact(width).enumerate() {
        let strand = (case.layers - 1) * directions + n % directions;
        dhn[(strand * case.batch + n / directions) * width..][..width].copy_from_slice(from);
    }
    dhn
}

fn backward(layer: &Recurrent, case: &Case, data: &Data, upstream: Upstream<'_>) -> [Vec<u32>; 4] {
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = initial(layer, case, data);
    layer.forward_train(&data.x, data.dims(case), &mut state, None, &mut tape, 3, &mut workspace).unwrap();
    let mut to =
        [layer.parameters().len(), data.x.len(), data.h0.len(), data.c0.len()].map(|len| vec![f32::NAN; len]);
    let [parameters, dx, dh0, dc0] = &mut to;
    let gradients = Gradients::of_parameters(parameters).with_dx(dx).with_dh0(dh0).with_dc0(dc0);
    layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
    to.map(|to| bits(&to))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(60),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_run_from_a_state_and_its_final_output(case in cases_from(0)) {
        let data = Data::of(&case);
        for level in Level::available() {
            let layer = case.layer(|builder| builder.level(level));
            let begin = initial(&layer, &case, &data);
            let (mut state, mut y) = (begin.clone(), vec![f32::NAN; data.dy.len()]);
            layer.forward(&data.x, data.dims(&case), &mut state, Some(&mut y), &mut Workspace::new()).unwrap();
            let output = layer.run_from(&data.x, data.dims(&case), &begin).unwrap();
            prop_assert_eq!(bits(&output.y), bits(&y));
            prop_assert_eq!(bits(&output.state.h()), bits(&state.h()));
            prop_assert_eq!(bits(&output.state.c()), bits(&state.c()));
            prop_assert_eq!((begin.h(), begin.c()), (data.h0.clone(), data.c0.clone()));
            let want = final_output(&case, &state.h());
            prop_assert_eq!(bits(&state.final_output()), bits(&want));
            let mut last = vec![f32::NAN; want.len()];
            state.copy_final_output_to(&mut last).unwrap();
            prop_assert_eq!(bits(&last), bits(&want));
            last.push(0.0);
            let error = Error::Length { what: "final output", expected: want.len(), got: want.len() + 1 };
            prop_assert_eq!(state.copy_final_output_to(&mut last), Err(error));
        }
    }

    #[test]
    fn the_gradient_of_the_final_output_is_one_of_final_states(
        case in trained(cases_from(0)),
        with_dhn in any::<bool>(),
        threads in 1..=2usize,
    ) {
        let data = Data::of(&case);
        let layer = case.layer(|builder| builder.threads(Threads::Count(threads)));
        let last = final_output(&case, &data.dhn);
        let mut dhn = scattered(&case, &last);
        let mut upstream = Upstream::default().with_dy(&data.dy).with_dfinal_output(&last);
        if with_dhn {
            // The two are added.
            upstream = upstream.with_dhn(&data.dhn);
            dhn.iter_mut().zip(&data.dhn).for_each(|(to, from)| *to += from);
        }
        let of_states = Upstream::default().with_dy(&data.dy).with_dhn(&dhn);
        prop_assert_eq!(
            backward(&layer, &case, &data, upstream),
            backward(&layer, &case, &data, of_states)
        );
    }

    /// Threads that a workspace brings along change no bit.
    #[test]
    fn threads_of_a_workspace_change_nothing(
        case in trained(cases_from(0)),
        of_network in 1..=3usize,
        of_call in 1..=3usize,
    ) {
        let data = Data::of(&case);
        let layer =
            case.layer(|builder| builder.threads(Threads::Count(of_network)).schedule(Schedule::Rows));
        let mut workspace = Workspace::new();
        let mut run = |threads| {
            workspace.set_threads(threads);
            let (mut state, mut y) = (initial(&layer, &case, &data), vec![f32::NAN; data.dy.len()]);
            let (mut tape, mut dx) = (Tape::new(), vec![f32::NAN; data.x.len()]);
            let x = &data.x;
            layer
                .forward_train(x, data.dims(&case), &mut state, Some(&mut y), &mut tape, 3, &mut workspace)
                .unwrap();
            let (upstream, to) =
                (Upstream::default().with_dy(&data.dy), Gradients::default().with_dx(&mut dx));
            layer.backward(x, &tape, upstream, to, &mut workspace).unwrap();
            [bits(&y), bits(&dx)]
        };
        let want = run(None);
        for threads in [Threads::Count(of_call), Threads::Auto] {
            prop_assert_eq!(&run(Some(threads)), &want);
        }
        prop_assert_eq!(run(None), want);
    }
}

#[test]
fn wrong_states_and_gradients_are_refused() {
    let case = Case { layers: 2, ..Case::simple(CellKind::Lstm, 3, 4, 2, 5) };
    let (data, layer) = (Data::of(&case), case.layer(|builder| builder));
    let state = layer.zero_state(2).unwrap();
    let refused = layer.run_from(&data.x, Dims::new(3, 4), &state).err();
    assert_eq!(refused, Some(Error::Mismatch { what: "state: batch", expected: 3, got: 2 }));

    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = layer.zero_state(3).unwrap();
    layer.forward_train(&data.x, Dims::new(3, 4), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut dx = vec![7.0; data.x.len()];
    let upstream = Upstream::default().with_dfinal_output(&data.dhn);
    let refused =
        layer.backward(&data.x, &tape, upstream, Gradients::default().with_dx(&mut dx), &mut workspace);
    let what = "dfinal_output (of the tape's rows)";
    assert_eq!(refused, Err(Error::Length { what, expected: 15, got: 30 }));
    assert!(dx.iter().all(|&value| value == 7.0));
}
