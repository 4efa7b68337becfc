//! Builders, masks, states and flags of a network.

use super::{HUGE, all, row, untouched};
use fused_rnn::{
    Activation, Builder, Dims, Gradients, Gru, Keep, Level, Lstm, Rnn, Tape, Upstream, Workspace,
};

#[test]
fn layers_masks_states_and_flags() {
    let lstm = || Lstm::builder(3, 4).build().unwrap();
    let forward = move |dims: Dims<'_>| {
        let (layer, mut workspace) = (lstm(), Workspace::new());
        let mut state = layer.zero_state(2).unwrap();
        state.set_h(&[0.25; 8]).unwrap();
        let result = untouched(2 * 5 * 4, |y| {
            layer.forward(&[1.0; 30], dims, &mut state.clone(), Some(y), &mut workspace)
        });
        layer.forward(&[1.0; 30], dims, &mut state, None, &mut workspace).unwrap_err();
        assert!(state.h() == [0.25; 8] && state.c() == [0.0; 8], "the state has changed");
        result
    };
    all(vec![
        row(
            "mask",
            move || forward(Dims::new(2, 5).with_mask(&[true; 9])),
            "mask: expected 10 values, got 9",
        ),
        row(
            "resets",
            move || forward(Dims::new(2, 5).with_resets(&[true; 11])),
            "resets: expected 10 values, got 11",
        ),
        row(
            "lengths",
            move || forward(Dims::new(2, 5).with_lengths(&[5])),
            "lengths: expected 2 values, got 1",
        ),
        row(
            "a length",
            move || forward(Dims::new(2, 5).with_lengths(&[5, 6])),
            "length of row 1: expected at most 5 steps, got 6",
        ),
        row("run: x", move || lstm().run(&[1.0; 29], Dims::new(2, 5)), "x: expected 30 values, got 29"),
        row(
            "layer of a mask",
            move || lstm().input_masks(1, 2, 1),
            "layer: expected an index below 1, got 1",
        ),
        row(
            "layer of dropout",
            move || Lstm::builder(3, 4).layers(2).build()?.dropout_masks(1, 2, 5, 1),
            "layer (below another): expected an index below 1, got 1",
        ),
        row(
            "dropout of a single layer",
            move || lstm().dropout_masks(0, 2, 5, 1),
            "layer (below another): expected an index below 0, got 0",
        ),
        row(
            "row",
            move || lstm().zero_state(2)?.reset_row(2),
            "row of a state: expected an index below 2, got 2",
        ),
        row("state", move || lstm().zero_state(2)?.set_c(&[0.0; 9]), "c: expected 8 values, got 9"),
        row("parameter", move || lstm().set_parameter("weight", &[]), "no parameter is named \"weight\""),
        row(
            "its length",
            move || lstm().set_parameter("bias_hh_l0", &[1.0; 15]),
            "parameter bias_hh_l0: expected 16 values, got 15",
        ),
    ]);
    // Sizes that have no address.
    let half = 1 << (usize::BITS / 2 + 8);
    all(vec![
        row(
            "a huge state",
            move || lstm().zero_state(HUGE),
            "memory: expected a size below 9223372036854775807, got a larger one",
        ),
        row(
            "huge masks",
            move || lstm().recurrent_masks(HUGE, 1),
            "masks: expected a size below 9223372036854775807, got a larger one",
        ),
        row(
            "huge masks of the input",
            move || lstm().input_masks(0, HUGE, 1),
            "masks: expected a size below 9223372036854775807, got a larger one",
        ),
        row(
            "huge masks between layers",
            || Lstm::builder(3, 4).layers(2).build()?.dropout_masks(0, HUGE, 2, 1),
            "masks: expected a size below 9223372036854775807, got a larger one",
        ),
        row(
            "huge masks of zoneout",
            move || lstm().zoneout_masks(half, half, 1),
            "masks: expected a size below 9223372036854775807, got a larger one",
        ),
        row(
            "a huge tape",
            move || lstm().tape_bytes(Dims::new(HUGE, HUGE), Default::default()),
            "memory: expected a size below 9223372036854775807, got a larger one",
        ),
    ]);
}

/// Builders refuse at `build`, whatever the order of the calls, and name the first thing that is wrong.
#[test]
fn every_kind_refuses_empty_sizes() {
    let builders = [
        Lstm::builder as fn(usize, usize) -> fused_rnn::Builder,
        Gru::reset_after,
        Gru::reset_before,
        Rnn::tanh,
        Rnn::relu,
    ];
    for builder in builders {
        for (sizes, what) in [((0, 1), "input_size"), ((1, 0), "hidden_size")] {
            let said = builder(sizes.0, sizes.1).layers(2).build().unwrap_err().to_string();
            assert_eq!(said, format!("{what}: expected at least 1, got 0"));
        }
    }
}

#[test]
fn options_of_a_builder() {
    let built = |name: &'static str, builder: fn() -> Builder, expected: &'static str| {
        row(name, move || builder().build(), expected)
    };
    all(vec![
        built(
            "dropout",
            || Lstm::builder(1, 1).dropout(1.0),
            "dropout: expected a probability in [0, 1), got 1",
        ),
        built(
            "recurrent_dropout",
            || Lstm::builder(1, 1).recurrent_dropout(-0.5),
            "recurrent_dropout: expected a probability in [0, 1), got -0.5",
        ),
        built(
            "input_dropout",
            || Lstm::builder(1, 1).input_dropout(f32::NAN),
            "input_dropout: expected a probability in [0, 1), got NaN",
        ),
        built(
            "zoneout of h",
            || Lstm::builder(1, 1).zoneout(1.5, 0.0),
            "zoneout of the hidden state: expected a probability in [0, 1), got 1.5",
        ),
        built(
            "zoneout of c",
            || Lstm::builder(1, 1).zoneout(0.0, 1.0),
            "zoneout of the cell state: expected a probability in [0, 1), got 1",
        ),
        built(
            "an activation",
            || Rnn::tanh(1, 1).activations(&[Activation::Elu { alpha: f32::NAN }]),
            "parameter of an activation: expected a finite number, got NaN",
        ),
        built(
            "peepholes",
            || Gru::reset_after(1, 1).peephole(true),
            "not supported: peepholes of a cell other than the LSTM",
        ),
        built(
            "projection",
            || Rnn::relu(1, 1).projection(1),
            "not supported: a projection of a cell other than the LSTM",
        ),
        built(
            "coupled gates",
            || Gru::reset_before(1, 1).coupled(true),
            "not supported: coupled gates of a cell other than the LSTM",
        ),
        built(
            "zoneout of no cell state",
            || Gru::reset_before(1, 1).zoneout(0.0, 0.5),
            "not supported: zoneout of the cell state of a cell that has none",
        ),
        built(
            "clip of no cell state",
            || Rnn::tanh(1, 1).cell_clip(1.0),
            "not supported: a clip of the cell state of a cell that has none",
        ),
        built(
            "normalisation",
            || Gru::reset_before(1, 1).layer_norm(1e-5),
            "not supported: layer normalisation of a cell other than the LSTM and the GRU that resets after",
        ),
    ]);
}

/// What a call is refused for, whether it keeps a tape or not.
#[test]
fn training_calls_and_states_of_others() {
    let lstm = || Lstm::builder(3, 4).build().unwrap();
    let train = move |dims: Dims<'_>| {
        let (layer, mut state) = (lstm(), lstm().zero_state(2).unwrap());
        let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
        untouched(2 * 5 * 4, |y| {
            layer.forward_train(&[1.0; 30], dims, &mut state, Some(y), &mut tape, 0, &mut workspace)
        })
    };
    let step = move |layer: fused_rnn::Recurrent, other: fused_rnn::Recurrent| {
        let mut state = other.zero_state(2)?;
        untouched(8, |y| layer.step(&[1.0; 6], &mut state, Some(y), &mut Workspace::new()))
    };
    all(vec![
        row("mask", move || train(Dims::new(2, 5).with_mask(&[true; 9])), "mask: expected 10 values, got 9"),
        row(
            "resets",
            move || train(Dims::new(2, 5).with_resets(&[true; 11])),
            "resets: expected 10 values, got 11",
        ),
        row(
            "lengths of a run",
            move || lstm().run(&[1.0; 30], Dims::new(2, 5).with_lengths(&[1])),
            "lengths: expected 2 values, got 1",
        ),
        row(
            "lengths of a tape",
            move || lstm().tape_bytes(Dims::new(2, 5).with_lengths(&[1, 6]), Default::default()),
            "length of row 1: expected at most 5 steps, got 6",
        ),
        row(
            "mask of a tape",
            move || lstm().tape_bytes(Dims::new(2, 5).with_mask(&[true; 3]), Default::default()),
            "mask: expected 10 values, got 3",
        ),
        row(
            "resets of a tape",
            move || lstm().tape_bytes(Dims::new(2, 5).with_resets(&[true; 3]), Default::default()),
            "resets: expected 10 values, got 3",
        ),
        row(
            "too few bytes for a tape",
            move || lstm().tape_bytes(Dims::new(2, 5), Keep::Within(100)),
            "Keep::Within: expected at least 2560 bytes, got 100",
        ),
        row(
            "too few bytes to train",
            move || {
                let (layer, mut state) = (lstm(), lstm().zero_state(2)?);
                let (mut tape, mut workspace) = (Tape::keeping(Keep::Within(100)), Workspace::new());
                let dims = Dims::new(2, 5);
                untouched(2 * 5 * 4, |y| {
                    layer.forward_train(&[1.0; 30], dims, &mut state, Some(y), &mut tape, 0, &mut workspace)
                })
            },
            "Keep::Within: expected at least 2560 bytes, got 100",
        ),
        row(
            "a state of other outputs",
            move || {
                let (layer, mut state) = (Lstm::builder(3, 4).projection(2).build()?, lstm().zero_state(2)?);
                let mut workspace = Workspace::new();
                untouched(2 * 5 * 2, |y| {
                    layer.forward(&[1.0; 30], Dims::new(2, 5), &mut state, Some(y), &mut workspace)
                })
            },
            "state: projection: expected 2, got 4",
        ),
        row(
            "a state of another width",
            move || step(lstm(), Lstm::builder(3, 5).build()?),
            "state: hidden size: expected 4, got 5",
        ),
        row(
            "a state of more layers",
            move || step(lstm(), Lstm::builder(3, 4).layers(2).build()?),
            "state: layers * directions: expected 1, got 2",
        ),
        row(
            "a state of another cell",
            move || step(lstm(), Gru::reset_after(3, 4).build()?),
            "state: vectors of a unit (an LSTM has h and c, an sLSTM h, c, n and m, other cells h): expected 2, got 1",
        ),
    ]);
}

/// Slots and rows that a state does not have are `None`, and a refused change leaves it as it was.
#[test]
fn parts_of_a_state() {
    let mut state = Lstm::builder(3, 4).layers(2).build().unwrap().zero_state(3).unwrap();
    state.set_h(&[0.25; 24]).unwrap();
    state.set_c(&[0.5; 24]).unwrap();
    for (cell, row) in [(2, 0), (0, 3), (HUGE, 0), (0, HUGE)] {
        assert_eq!(state.row_h(cell, row), None, "{cell} {row}");
    }
    assert_eq!(state.row_h(1, 2), Some(&[0.25; 4][..]));
    let before = state.clone();
    for wrong in [0, 23, 25] {
        assert!(state.set_h(&vec![1.0; wrong]).is_err() && state.set_c(&vec![1.0; wrong]).is_err());
    }
    for wrong in [3, HUGE] {
        let said = state.reset_row(wrong).unwrap_err().to_string();
        assert_eq!(said, format!("row of a state: expected an index below 3, got {wrong}"));
    }
    assert_eq!((state.h(), state.c()), (before.h(), before.c()));
}

/// Gates of a minimal LSTM whose sums are far below zero: each is 2^-125 and has no slope, so that the
/// candidate and the state before weigh half each. (A slope that the division made large was an error of
/// 1e19 once.)
#[test]
fn gates_of_a_minimal_lstm_that_are_shut_have_no_slope() {
    for level in Level::available() {
        for activation in [None, Some(Activation::Affine { alpha: 1.0, beta: 0.0 })] {
            let mut builder = Lstm::minimal(1, 1).level(level);
            if let Some(activation) = activation {
                builder = builder.clip(1e30).activations(&[activation]);
            }
            for (x, shut) in
                [(88.0_f32, [true, true]), (1e4, [true, true]), (1e20, [true, true]), (80.0, [false, true])]
            {
                let mut layer = builder.clone().build().unwrap();
                layer.update(|p| {
                    p.fill(0.0);
                    p[..3].copy_from_slice(&[-1.0, -2.0, 1.0]);
                });
                let (mut state, mut tape) = (layer.zero_state(1).unwrap(), Tape::new());
                let (mut y, mut workspace, dims) = ([0.0], Workspace::new(), Dims::new(1, 1));
                layer
                    .forward_train(&[x], dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace)
                    .unwrap();
                let (mut parameters, mut dx) = (vec![0.0; layer.parameters().len()], [0.0]);
                let gradients = Gradients::of_parameters(&mut parameters).with_dx(&mut dx);
                layer
                    .backward(&[x], &tape, Upstream::default().with_dy(&[1.0]), gradients, &mut workspace)
                    .unwrap();
                // f' of the formula, and the gradients of the candidate and of i.
                let least = 2.0 * f64::from(f32::MIN_POSITIVE);
                let gate = |sum: f64| (1.0 / (1.0 + (-sum).exp())).max(least);
                let x = f64::from(x);
                let [i, f] = [gate(-x), gate(-2.0 * x)];
                let share = f / (f + i);
                let di = if shut[0] { 0.0 } else { x * share * (1.0 - i) * i / (f + i) };
                let want = [x * (1.0 - share), (1.0 - share) - di];
                for (got, want) in [f64::from(y[0]), f64::from(dx[0])].into_iter().zip(want) {
                    assert!(
                        (got - want).abs() <= 1e-5 * want.abs(),
                        "{level}, x {x}: {got}, expected {want}"
                    );
                }
            }
        }
    }
}
