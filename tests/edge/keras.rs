//! Layers of Keras: arrays, options, inputs of a run.

use super::{all, row, tensor};
use fused_rnn::format::{Tensors, keras};

#[test]
fn layers_of_keras() {
    let gru_of_keras = |input: usize, units: usize| {
        let mut arrays = Tensors::new();
        for (name, rows) in [("kernel", input), ("recurrent_kernel", units), ("bias", 2)] {
            arrays.insert(name, tensor(&[rows, 3 * units]));
        }
        arrays
    };
    let keras = move |name: &'static str, value: &'static str| {
        // (Of an option that is said twice, the second counts.)
        keras::Layer::new(gru_of_keras(2, 1), [("layer", "GRU"), ("units", "1"), (name, value)])
    };
    let keras_of =
        move |input: usize, units: usize| keras::Layer::new(gru_of_keras(input, units), [("layer", "GRU")]);
    let keras_run =
        |class: &'static str, lengths: Option<&'static [usize]>, h: &'static [f32], c: &'static [f32]| {
            let gates = if class == "LSTM" { 4 } else { 1 };
            let mut arrays = Tensors::new();
            arrays.insert("kernel", tensor(&[3, gates * 2]));
            arrays.insert("recurrent_kernel", tensor(&[2, gates * 2]));
            arrays.insert("bias", tensor(&[gates * 2]));
            let layer = keras::Layer::new(arrays, [("layer", class)])?;
            let mut state = layer.network().zero_state(2)?;
            state.set_h(h)?;
            state.set_c(c)?;
            let before = (state.h(), state.c());
            let mask = lengths.map_or(keras::Mask::None, keras::Mask::Lengths);
            let result = layer.run(&tensor(&[2, 5, 3]), mask, Some(&mut state));
            assert!(result.is_ok() || (state.h(), state.c()) == before, "changed before {result:?}");
            result
        };
    all(vec![
        row(
            "keras lengths",
            move || keras_run("LSTM", Some(&[5]), &[0.0; 4], &[0.0; 4]),
            "lengths: expected 2 values, got 1",
        ),
        row(
            "a length of keras",
            move || keras_run("LSTM", Some(&[5, 6]), &[0.0; 4], &[0.0; 4]),
            "length of row 1: expected at most 5 steps, got 6",
        ),
        row(
            "initial h of keras",
            move || keras_run("LSTM", None, &[0.0; 3], &[0.0; 4]),
            "h: expected 4 values, got 3",
        ),
        row(
            "initial c of keras",
            move || keras_run("LSTM", None, &[0.0; 4], &[0.0; 5]),
            "c: expected 4 values, got 5",
        ),
        row(
            "c of a cell without",
            move || keras_run("SimpleRNN", None, &[0.0; 4], &[0.0; 4]),
            "c: expected 0 values, got 4",
        ),
        row(
            "features of keras",
            move || keras("use_bias", "true")?.run(&tensor(&[2, 5, 3]), keras::Mask::None, None),
            "x: expected 2 features, got 3",
        ),
        row("a flag", move || keras("use_bias", "1"), "option use_bias: expected true or false, got 1"),
        row(
            "backwards in both",
            || {
                let pairs =
                    [("layer", "GRU"), ("units", "1"), ("merge_mode", "sum"), ("go_backwards", "true")];
                keras::Layer::new(Tensors::new(), pairs)
            },
            "option go_backwards: expected false in Bidirectional, got true",
        ),
        row(
            "an activation",
            move || keras("activation", "softmax"),
            "option activation: expected an elementwise function of keras.activations, by name, got softmax",
        ),
        row(
            "a parameter of an activation that has none",
            move || keras("activation", "silu:1"),
            "option activation: expected an elementwise function of keras.activations, by name, got silu:1",
        ),
        row(
            "a parameter that is no number",
            move || keras("recurrent_activation", "hard_sigmoid:0.2:inf"),
            "option recurrent_activation: expected an elementwise function of keras.activations, by name, \
             got hard_sigmoid:0.2:inf",
        ),
        row(
            "a negative bound",
            move || keras("activation", "hard_shrink:-1"),
            "option activation: expected an elementwise function of keras.activations, by name, \
             got hard_shrink:-1",
        ),
        row(
            "an activation of no direction",
            move || keras("backward_activation", "relu"),
            "option backward_activation: expected none but in Bidirectional, got some",
        ),
        row(
            "an option",
            move || keras("cell", "GRUCell"),
            "option cell: expected none that is not in the table, got GRUCell",
        ),
        row(
            "time first",
            move || keras("time_major", "true"),
            "option time_major: expected false, with x as (B, T, I), got true",
        ),
        row(
            "a dropout",
            move || keras("dropout", "1"),
            "option dropout: expected a number from 0 to below 1, got 1",
        ),
        row(
            "a stateful layer without a state",
            move || keras("stateful", "true")?.run(&tensor(&[2, 5, 2]), keras::Mask::None, None),
            "state: expected one to go on from, as the layer is stateful, got none",
        ),
        row(
            "a mask of keras",
            move || keras("units", "1")?.run(&tensor(&[2, 5, 2]), keras::Mask::Steps(&[true; 9]), None),
            "mask: expected 10 values, got 9",
        ),
        row(
            "other units",
            move || keras("units", "2"),
            "recurrent_kernel: expected 2 rows, one a unit, got 1 rows",
        ),
        row(
            "no class",
            || keras::Layer::new(Tensors::new(), [("units", "1")]),
            "option layer: expected LSTM, GRU or SimpleRNN, got none",
        ),
        row(
            "no kernel",
            || keras::Layer::new(Tensors::new(), [("layer", "GRU"), ("units", "1")]),
            "kernel: expected a matrix, got none",
        ),
        row(
            "a kernel that is no matrix",
            || {
                let mut arrays = Tensors::new();
                arrays.insert("kernel", tensor(&[3]));
                keras::Layer::new(arrays, [("layer", "GRU"), ("units", "1")])
            },
            "kernel: expected a matrix, got shape [3]",
        ),
        row("no units in keras", move || keras_of(2, 0), "hidden_size: expected at least 1, got 0"),
        row("no inputs in keras", move || keras_of(0, 1), "input_size: expected at least 1, got 0"),
        row("units", move || keras("units", "-1"), "option units: expected a number, got -1"),
        row(
            "class",
            move || keras("layer", "Dense"),
            "option layer: expected LSTM, GRU or SimpleRNN, got Dense",
        ),
        row(
            "merge",
            move || keras("merge_mode", "max"),
            "option merge_mode: expected concat, sum, mul, ave or None, got max",
        ),
        row(
            "keras x",
            move || keras("use_bias", "true")?.run(&tensor(&[2, 3]), keras::Mask::None, None),
            "x: expected three axes (B, T, I), got shape [2, 3]",
        ),
    ]);
}

/// So many options took minutes, where time went by the square of their number.
#[test]
fn many_options_are_read_at_once() {
    let options = (0..200_000).map(|n| (format!("option{n}"), "1"));
    let error = keras::Layer::new(Tensors::new(), options).unwrap_err().to_string();
    assert_eq!(error, "option layer: expected LSTM, GRU or SimpleRNN, got none");
}
