//! Values and gradients are those of the Rust API, to the bit, with any option of the builder.

use crate::support::{CPU, drawn, floats, layer, variable, weighed};
use candle_core::{IndexOp, Result};
use fused_rnn_candle::fused_rnn::{Activation, CellKind, Dims, Gradients, Rng, Tape, Upstream, Workspace};
use fused_rnn_candle::{Builder, Call, Gru, Lstm, Precision, Rnn, Threads};

const BATCH: usize = 5;
const STEPS: usize = 7;
const LENGTHS: [usize; BATCH] = [7, 0, 3, 7, 1];

fn builders() -> Vec<Builder> {
    let lstm = || Lstm::builder(6, 21);
    let gru = || Gru::reset_after(6, 21);
    vec![
        lstm(),
        lstm().layers(3).bidirectional(true).dropout(0.3),
        lstm().layers(2).projection(4),
        lstm().peephole(true).coupled(true).clip(0.5).cell_clip(0.3),
        lstm().layer_norm(1e-5).layers(2),
        lstm().zoneout(0.2, 0.1),
        lstm().recurrent_dropout(0.4).input_dropout(0.2).layers(2),
        lstm().activations(&[
            Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Activation::Tanh,
            Activation::Softsign,
        ]),
        gru().layers(2).bidirectional(true),
        gru().layer_norm(1e-3).zoneout(0.3, 0.0),
        Gru::reset_before(6, 21).layers(2).recurrent_dropout(0.1),
        Rnn::tanh(6, 21).layers(2),
        Rnn::relu(6, 21).bidirectional(true),
        lstm().precision(Precision::Bf16).layers(2),
        Builder::new(CellKind::Lstm, 6, 21).threads(Threads::Count(2)),
    ]
}

#[test]
fn all_options_in_training() -> Result<()> {
    for (n, builder) in builders().into_iter().enumerate() {
        let mut rng = Rng::new(n as u64);
        let (layer, _varmap) = layer(builder);
        let (network, config) = (layer.network()?, layer.config());
        let strands = config.layers() * config.directions();
        let h_width = config.projection().unwrap_or(config.hidden_size());
        let x = variable(&mut rng, &[BATCH, STEPS, 6]);
        let h0 = variable(&mut rng, &[strands, BATCH, h_width]);
        let c0 = variable(&mut rng, &[strands, BATCH, config.hidden_size()]);
        let has_c = config.kind().has_cell_state();
        let weights = [
            drawn(&mut rng, &[BATCH, STEPS, config.output_size()]),
            drawn(&mut rng, h0.dims()),
            drawn(&mut rng, c0.dims()),
        ];

        let call = Call::default().with_lengths(&LENGTHS).with_train(true).with_seed(9);
        let state = layer.state(h0.as_tensor().clone(), has_c.then(|| c0.as_tensor().clone()))?;
        let (y, end) = layer.run(&x, &call, Some(&state))?;
        let mut loss = (weighed(&y, &weights[0])? + weighed(end.h(), &weights[1])?)?;
        if let Some(c) = end.c() {
            loss = (loss + weighed(c, &weights[2])?)?;
        }
        let gradients = loss.backward()?;

        let dims = Dims::new(BATCH, STEPS).with_lengths(&LENGTHS);
        let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
        let mut state = network.zero_state(BATCH).unwrap();
        state.set_h(&floats(&h0)).unwrap();
        if has_c {
            state.set_c(&floats(&c0)).unwrap();
        }
        let mut own_y = vec![0.0; BATCH * STEPS * config.output_size()];
        network
            .forward_train(&floats(&x), dims, &mut state, Some(&mut own_y), &mut tape, 9, &mut workspace)
            .unwrap();
        assert_eq!(floats(&y), own_y, "{config:?}");
        assert_eq!(floats(end.h()), state.h(), "{config:?}");
        assert_eq!(end.c().map(floats).unwrap_or_default(), state.c(), "{config:?}");

        let (dy, dhn, dcn) = (floats(&weights[0]), floats(&weights[1]), floats(&weights[2]));
        let mut upstream = Upstream::default().with_dy(&dy).with_dhn(&dhn);
        let mut parameters = vec![0.0; network.parameters().len()];
        let (mut dx, mut dh0, mut dc0) = (floats(&x), floats(&h0), floats(&c0));
        let mut to = Gradients::of_parameters(&mut parameters).with_dx(&mut dx).with_dh0(&mut dh0);
        if has_c {
            upstream = upstream.with_dcn(&dcn);
            to = to.with_dc0(&mut dc0);
        }
        network.backward(&floats(&x), &tape, upstream, to, &mut workspace).unwrap();
        let of = |var| floats(gradients.get(var).unwrap());
        assert_eq!(of(&x), dx, "{config:?}");
        assert_eq!(of(&h0), dh0, "{config:?}");
        if has_c {
            assert_eq!(of(&c0), dc0, "{config:?}");
        }
        let own: Vec<f32> = layer.parameters().flat_map(|(_, tensor)| of(tensor)).collect();
        assert_eq!(own, parameters, "{config:?}");
    }
    Ok(())
}

/// Evaluation with and without a graph, and on any number of threads.
#[test]
fn evaluation() -> Result<()> {
    for builder in builders() {
        let (layer, _varmap) = layer(builder);
        let x = drawn(&mut Rng::new(3), &[BATCH, STEPS, 6]);
        let output = layer.network()?.run(&floats(&x), Dims::new(BATCH, STEPS)).unwrap();
        for layer in [layer.clone(), layer.detach()] {
            for threads in [Threads::Count(1), Threads::Count(3)] {
                let (y, end) = layer.run(&x, &Call::default().with_threads(threads), None)?;
                assert_eq!(floats(&y), output.y, "{:?}", layer.config());
                assert_eq!(floats(end.h()), output.state.h());
                assert_eq!(end.c().map(floats).unwrap_or_default(), output.state.c());
                assert_eq!(y.track_op(), layer.parameters().any(|(_, tensor)| tensor.track_op()));
            }
        }
    }
    Ok(())
}

/// A row has the same bits alone, in a batch, beside other lengths, and in an input that is not contiguous.
#[test]
fn rows_and_pieces() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(6, 21).layers(2));
    let layer = layer.detach();
    let wide = drawn(&mut Rng::new(4), &[BATCH, 20, 8]);
    let piece = wide.narrow(1, 5, STEPS)?.narrow(2, 1, 6)?;
    assert!(!piece.is_contiguous());
    let (y, end) = layer.run(&piece, &Call::default().with_lengths(&LENGTHS), None)?;
    let (same, _) = layer.run(&piece.contiguous()?, &Call::default().with_lengths(&LENGTHS), None)?;
    assert_eq!(floats(&y), floats(&same));
    for (row, length) in LENGTHS.into_iter().enumerate() {
        let alone = piece.narrow(0, row, 1)?.narrow(1, 0, length)?;
        let (own, own_end) = layer.run(&alone, &Call::default(), None)?;
        assert_eq!(floats(&y.narrow(0, row, 1)?.narrow(1, 0, length)?), floats(&own));
        assert_eq!(floats(&end.h().narrow(1, row, 1)?), floats(own_end.h()));
        assert_eq!(floats(&end.output()?.i(row)?), floats(&own_end.output()?.i(0)?));
    }
    // Features that do not lie next to each other are copied.
    let turned = drawn(&mut Rng::new(5), &[6, STEPS, BATCH]).transpose(0, 2)?;
    assert_eq!(floats(&layer.forward(&turned)?), floats(&layer.forward(&turned.contiguous()?)?));
    // One value for all.
    let one = drawn(&mut Rng::new(6), &[1, 1, 6]).broadcast_as((BATCH, STEPS, 6))?;
    assert_eq!(floats(&layer.forward(&one)?), floats(&layer.forward(&one.contiguous()?)?));
    Ok(())
}

#[test]
fn nothing_at_all() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(6, 21).bidirectional(true));
    for (batch, steps) in [(0, 4), (3, 0), (0, 0)] {
        let x = variable(&mut Rng::new(1), &[batch, steps, 6]);
        let state = layer.state(
            drawn(&mut Rng::new(2), &[2, batch, 21]),
            Some(drawn(&mut Rng::new(3), &[2, batch, 21])),
        )?;
        let (y, end) = layer.run(&x, &Call::default(), Some(&state))?;
        assert_eq!(y.dims(), [batch, steps, 42]);
        assert_eq!(floats(end.h()), floats(state.h()));
        let gradients = (y.sum_all()? + end.h().sum_all()?)?.backward()?;
        for (name, tensor) in layer.parameters() {
            assert!(floats(gradients.get(tensor).unwrap()).iter().all(|&value| value == 0.0), "{name}");
        }
    }
    assert_eq!(CPU.location(), layer.forward(&drawn(&mut Rng::new(1), &[1, 1, 6]))?.device().location());
    Ok(())
}
