//! The public edge around the layers, as a table: each call with a wrong argument, and the exact words of its error.
//! Outputs and state are afterwards as before. (The calls of a layer itself: `errors.rs`.)

use fused_rnn::format::onnx::{Inputs, Kind, Node, Operator, Weights};
use fused_rnn::format::{Arrays, Convention, Tensor, Tensors, keras, state_dict};
use fused_rnn::train::{
    Adam, AdamConfig, AdamW, Dense, Dropout, Optimizer, Sgd, SgdConfig, accuracy, clip_global_norm,
    clip_value, mean_squared_error, softmax, softmax_cross_entropy, softmax_cross_entropy_soft,
};
use fused_rnn::{Accumulate, CellKind, Dims, Error, Gru, Lstm, Recurrent, Rnn, Workspace};

/// A call with a wrong argument, and what it must say.
type Row = (&'static str, Box<dyn Fn() -> Result<(), Error>>, &'static str);

fn row<T>(name: &'static str, call: impl Fn() -> Result<T, Error> + 'static, expected: &'static str) -> Row {
    (name, Box::new(move || call().map(|_| ())), expected)
}

fn all(rows: Vec<Row>) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(name, call, expected)| match call() {
            Ok(()) => Some(format!("{name}: no error")),
            Err(error) if error.to_string() == *expected => None,
            Err(error) => Some(format!("{name}\n  said     {error}\n  expected {expected}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a call on a buffer of sevens, which it must leave alone.
fn untouched(len: usize, mut call: impl FnMut(&mut [f32]) -> Result<(), Error>) -> Result<(), Error> {
    let mut buffer = vec![7.0; len];
    let result = call(&mut buffer);
    assert!(result.is_ok() || buffer.iter().all(|value| *value == 7.0), "written before {result:?}");
    result
}

const HUGE: usize = usize::MAX;
const OVERFLOW: &str = "expected a size below 9223372036854775807, got a larger one";

#[test]
fn dense_heads() {
    let dense = || Dense::new_pytorch(3, 2, 1).unwrap();
    let back = move |x: usize, dy: usize, gradients: usize, dx: usize| {
        untouched(gradients, |gradients| {
            untouched(dx, |dx| {
                let (x, dy) = (vec![1.0; x], vec![1.0; dy]);
                dense().backward(&x, &dy, 4, gradients, Accumulate::Overwrite, Some(dx))
            })
        })
    };
    all(vec![
        row("no inputs", || Dense::new_keras(0, 1, 1), "dense inputs: expected at least 1, got 0"),
        row("no outputs", || Dense::new_pytorch(1, 0, 1), "dense outputs: expected at least 1, got 0"),
        row(
            "parameters",
            || Dense::from_parameters(2, 2, &[0.0; 5]),
            "dense parameters: expected 6 values, got 5",
        ),
        row(
            "x",
            move || untouched(8, |y| dense().forward(&[1.0; 11], 4, y)),
            "dense x: expected 12 values, got 11",
        ),
        row(
            "y",
            move || untouched(9, |y| dense().forward(&[1.0; 12], 4, y)),
            "dense y: expected 8 values, got 9",
        ),
        row("back x", move || back(11, 8, 8, 12), "dense x: expected 12 values, got 11"),
        row("back dy", move || back(12, 7, 8, 12), "dense dy: expected 8 values, got 7"),
        row("back gradients", move || back(12, 8, 9, 12), "dense gradients: expected 8 values, got 9"),
        row("back dx", move || back(12, 8, 8, 13), "dense dx: expected 12 values, got 13"),
    ]);
    let said = dense().forward(&[], HUGE, &mut []).unwrap_err().to_string();
    assert_eq!(said, format!("dense x: {OVERFLOW}"));
}

#[test]
fn losses() {
    let hard = |logits: usize, classes: usize, labels: &'static [usize], gradient: usize| {
        untouched(gradient, |gradient| {
            softmax_cross_entropy(&vec![0.5; logits], classes, labels, Some(gradient)).map(|_| ())
        })
    };
    let soft = |logits: usize, classes: usize, targets: usize, gradient: usize| {
        untouched(gradient, |gradient| {
            let (logits, targets) = (vec![0.5; logits], vec![0.5; targets]);
            softmax_cross_entropy_soft(&logits, classes, &targets, Some(gradient)).map(|_| ())
        })
    };
    all(vec![
        row("no classes", move || hard(0, 0, &[], 0), "classes: expected at least 1, got 0"),
        row("logits", move || hard(5, 3, &[0, 1], 5), "logits: expected 6 values, got 5"),
        row("a label", move || hard(6, 3, &[0, 3], 6), "label 1: expected a class below 3, got 3"),
        row("gradient", move || hard(6, 3, &[0, 1], 7), "dlogits: expected 6 values, got 7"),
        row("soft: no classes", move || soft(0, 0, 0, 0), "classes: expected at least 1, got 0"),
        row("soft: rows", move || soft(5, 3, 5, 5), "logits: expected 3 values, got 5"),
        row("soft: targets", move || soft(6, 3, 5, 6), "targets: expected 6 values, got 5"),
        row("soft: gradient", move || soft(6, 3, 6, 5), "dlogits: expected 6 values, got 5"),
        row(
            "softmax: rows",
            || untouched(5, |p| softmax(&[0.5; 5], 3, p)),
            "logits: expected 3 values, got 5",
        ),
        row(
            "softmax",
            || untouched(5, |p| softmax(&[0.5; 6], 3, p)),
            "probabilities: expected 6 values, got 5",
        ),
        row("softmax: no classes", || softmax(&[], 0, &mut []), "classes: expected at least 1, got 0"),
        row("accuracy", || accuracy(&[0.5; 6], 3, &[0]), "logits: expected 3 values, got 6"),
        row("accuracy: a label", || accuracy(&[0.5; 3], 3, &[9]), "label 0: expected a class below 3, got 9"),
        row(
            "targets",
            || mean_squared_error(&[0.5; 3], &[0.5; 2], None),
            "targets: expected 3 values, got 2",
        ),
        row(
            "dy",
            || untouched(2, |dy| mean_squared_error(&[0.5; 3], &[0.5; 3], Some(dy)).map(|_| ())),
            "dy: expected 3 values, got 2",
        ),
    ]);
}

#[test]
fn optimisers_and_clipping() {
    let sgd = |change: fn(&mut SgdConfig)| {
        let mut config = SgdConfig::default();
        change(&mut config);
        Sgd::new(2, config)
    };
    let adam = |change: fn(&mut AdamConfig)| {
        let mut config = AdamConfig::default();
        change(&mut config);
        Adam::new(2, config)
    };
    let adam_w = |change: fn(&mut AdamConfig)| {
        let mut config = AdamConfig::default();
        change(&mut config);
        AdamW::new(2, config)
    };
    fn steps(mut optimizer: impl Optimizer, parameters: usize, gradients: usize) -> Result<(), Error> {
        untouched(parameters, |parameters| optimizer.step(parameters, &vec![1.0; gradients]))
    }
    let finite = "expected a finite f32 of at least 0, got";
    all(vec![
        row(
            "rate",
            move || sgd(|c| c.learning_rate = -1.0),
            "learning_rate: expected a finite f32 of at least 0, got -1",
        ),
        row(
            "decay",
            move || sgd(|c| c.weight_decay = f64::NAN),
            "weight_decay: expected a finite f32 of at least 0, got NaN",
        ),
        row("momentum", move || sgd(|c| c.momentum = 1.0), "momentum: expected a number in [0, 1), got 1"),
        row(
            "nesterov",
            move || sgd(|c| c.nesterov = true),
            "momentum: expected a number in (0, 1) for nesterov, got 0",
        ),
        row(
            "adam rate",
            move || adam(|c| c.learning_rate = 1e300),
            "learning_rate: expected a finite f32 of at least 0, got 1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        ),
        row("beta1", move || adam(|c| c.beta1 = -0.1), "beta1: expected a number in [0, 1), got -0.1"),
        row("beta2", move || adam(|c| c.beta2 = 1.0), "beta2: expected a number in [0, 1), got 1"),
        row("w: beta1", move || adam_w(|c| c.beta1 = 1.0), "beta1: expected a number in [0, 1), got 1"),
        row("w: parameters", move || steps(adam_w(|_| ())?, 1, 2), "parameters: expected 2 values, got 1"),
        row("step: parameters", move || steps(sgd(|_| ())?, 3, 2), "parameters: expected 2 values, got 3"),
        row("step: gradients", move || steps(adam(|_| ())?, 2, 1), "gradients: expected 2 values, got 1"),
        row(
            "norm",
            || untouched(2, |g| clip_global_norm(&mut [g], -1.0).map(|_| ())),
            "max_norm: expected a number of at least 0, got -1",
        ),
        row(
            "limit",
            || untouched(2, |g| clip_value(g, f32::NAN)),
            "limit: expected a number of at least 0, got NaN",
        ),
        row("dropout", || Dropout::new(1.0, 1), "dropout: expected a probability in [0, 1), got 1"),
    ]);
    let mut adam = adam(|_| ()).unwrap();
    let said = adam.set_learning_rate(f64::INFINITY).unwrap_err().to_string();
    assert_eq!((said, adam.learning_rate()), (format!("learning_rate: {finite} inf"), 1e-3));
    assert!(matches!(Adam::new(HUGE, AdamConfig::default()), Err(Error::OutOfMemory { .. })));
}

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
            "layer: expected the number of a layer, from 0, got 1",
        ),
        row(
            "row",
            move || lstm().zero_state(2)?.reset_row(2),
            "row of a state: expected a row below the batch, got 2",
        ),
        row("state", move || lstm().zero_state(2)?.set_c(&[0.0; 9]), "c: expected 8 values, got 9"),
        row("parameter", move || lstm().set_parameter("weight", &[]), "no parameter is named \"weight\""),
        row(
            "its length",
            move || lstm().set_parameter("bias_hh_l0", &[1.0; 15]),
            "parameter bias_hh_l0: expected 16 values, got 15",
        ),
    ]);
    for too_much in [
        lstm().zero_state(HUGE).map(|_| ()),
        lstm().recurrent_masks(HUGE, 1).map(|_| ()),
        lstm().input_masks(0, HUGE, 1).map(|_| ()),
        lstm().zoneout_masks(1 << (usize::BITS / 2 + 8), 1 << (usize::BITS / 2 + 8), 1).map(|_| ()),
        lstm().tape_bytes(Dims::new(HUGE, HUGE), Default::default()).map(|_| ()),
    ] {
        assert!(
            matches!(too_much, Err(Error::SizeOverflow { .. } | Error::OutOfMemory { .. })),
            "{too_much:?}"
        );
    }
}

/// Loading goes wrong without a change to the network.
fn refused(
    network: &mut Recurrent,
    load: impl FnOnce(&mut Recurrent) -> Result<(), Error>,
) -> Result<(), Error> {
    let before = network.parameters().to_vec();
    let result = load(network);
    assert!(result.is_ok() || network.parameters() == before, "changed before {result:?}");
    result
}

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::new(shape, vec![0.5; shape.iter().product()]).unwrap()
}

#[test]
fn tensors_and_conventions() {
    let lstm = || Lstm::builder(3, 4).build().unwrap();
    let arrays = |input: usize, recurrent: usize, bias: usize| Arrays {
        input: vec![0.5; input],
        recurrent: vec![0.5; recurrent],
        bias: vec![0.5; bias],
        ..Arrays::default()
    };
    let load = move |convention: Convention, cells: Vec<Arrays>| {
        refused(&mut lstm(), |network| convention.load(network, &cells))
    };
    let state_dict_with = move |name: &'static str, shape: Option<&'static [usize]>| {
        let mut tensors = state_dict::save(&lstm()).unwrap();
        match shape {
            Some(shape) => tensors.insert(name, tensor(shape)),
            None => _ = tensors.remove(name),
        }
        refused(&mut lstm(), |network| state_dict::load(tensors, network))
    };
    all(vec![
        row(
            "values",
            || Tensor::new(&[2, 3], vec![0.0; 5]),
            "tensor: expected as many values as its shape [2, 3] says, got 5 values",
        ),
        row(
            "a huge shape",
            || Tensor::new(&[HUGE, 3], vec![]),
            "tensor: expected as many values as its shape [18446744073709551615, 3] says, got 0 values",
        ),
        row("none", || Tensors::new().take("w", &[1]), "w: expected a tensor of shape [1], got none"),
        row("cells", move || load(Convention::Keras, vec![]), "layers * directions: expected 1, got 0"),
        row(
            "input",
            move || load(Convention::Keras, vec![arrays(47, 64, 16)]),
            "weight_ih of the weights _l0: expected 48 values, got 47",
        ),
        row(
            "recurrent",
            move || load(Convention::Keras, vec![arrays(48, 65, 16)]),
            "weight_hh of the weights _l0: expected 64 values, got 65",
        ),
        row(
            "bias",
            move || load(Convention::Keras, vec![arrays(48, 64, 32)]),
            "bias of the weights _l0: expected 16 values, got 32",
        ),
        row(
            "missing",
            move || state_dict_with("weight_hh_l0", None),
            "weight_hh_l0: expected a tensor of shape [16, 4], got none",
        ),
        row(
            "shape",
            move || state_dict_with("weight_hh_l0", Some(&[4, 16])),
            "weight_hh_l0: expected a tensor of shape [16, 4], got shape [4, 16]",
        ),
        row(
            "surplus",
            move || state_dict_with("weight_hh_l1", Some(&[1])),
            "tensors: expected none that has no place here, got weight_hh_l1",
        ),
        row(
            "not a matrix",
            || {
                let mut tensors = Tensors::new();
                tensors.insert("weight_ih_l0", tensor(&[4]));
                state_dict::builder(&tensors, CellKind::Lstm).map(|_| ())
            },
            "weight_ih_l0: expected a matrix, got shape [4]",
        ),
    ]);
}

#[test]
fn layers_of_keras_and_operators_of_onnx() {
    let keras = |name: &'static str, value: &'static str| {
        let mut arrays = Tensors::new();
        arrays.insert("kernel", tensor(&[2, 3]));
        arrays.insert("recurrent_kernel", tensor(&[1, 3]));
        arrays.insert("bias", tensor(&[2, 3]));
        let mut options =
            [("layer", "GRU"), ("units", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        options.push((name.to_owned(), value.to_owned()));
        keras::Layer::new(arrays, &options.into_iter().collect())
    };
    let node = |kind: Kind, w: &'static [usize], r: &'static [usize], b: Option<&'static [usize]>| {
        let (w, r, b) = (tensor(w), tensor(r), b.map(tensor));
        Node::new(Operator::new(kind), &Weights { w: &w, r: &r, b: b.as_ref(), p: None })
    };
    let run =
        move |x: &'static [usize], lens: Option<&'static [i64]>, h: Option<&'static [usize]>, c: bool| {
            let node = node(Kind::Gru, &[1, 6, 3], &[1, 6, 2], None)?;
            let (x, h, c) = (tensor(x), h.map(tensor), c.then(|| tensor(&[1, 2, 2])));
            node.run(&Inputs { x: &x, sequence_lens: lens, initial_h: h.as_ref(), initial_c: c.as_ref() })
        };
    all(vec![
        row("units", move || keras("units", "-1"), "option units: expected a number, got -1"),
        row(
            "class",
            move || keras("layer", "Dense"),
            "option layer: expected LSTM, GRU or SimpleRNN, got Dense",
        ),
        row(
            "merge",
            move || keras("merge_mode", "max"),
            "option merge_mode: expected concat, sum, mul or ave, got max",
        ),
        row(
            "keras x",
            move || keras("use_bias", "true")?.run(&tensor(&[2, 3]), None, None),
            "x: expected three axes (B, T, I), got shape [2, 3]",
        ),
        row(
            "W",
            move || node(Kind::Rnn, &[2, 3], &[1, 2, 2], None),
            "W: expected three axes (D, G H, I), got shape [2, 3]",
        ),
        row(
            "R",
            move || node(Kind::Rnn, &[1, 2, 3], &[1, 2, 3], None),
            "R: expected shape [1, 2, 2], got shape [1, 2, 3]",
        ),
        row(
            "B",
            move || node(Kind::Rnn, &[1, 2, 3], &[1, 2, 2], Some(&[1, 2])),
            "B: expected shape [1, 4], got shape [1, 2]",
        ),
        row("X", move || run(&[5, 2], None, None, false), "X: expected three axes, got shape [5, 2]"),
        row("features", move || run(&[5, 2, 4], None, None, false), "X: expected 3 features, got 4"),
        row(
            "lengths",
            move || run(&[5, 2, 3], Some(&[5]), None, false),
            "sequence_lens: expected 2 values, got 1",
        ),
        row(
            "a length",
            move || run(&[5, 2, 3], Some(&[5, -1]), None, false),
            "sequence_lens: expected lengths in 0..=5, got -1",
        ),
        row(
            "initial_h",
            move || run(&[5, 2, 3], None, Some(&[1, 1, 2]), false),
            "initial_h: expected shape [1, 2, 2], got shape [1, 1, 2]",
        ),
        row(
            "initial_c",
            move || run(&[5, 2, 3], None, None, true),
            "initial_c: expected none, as this is no LSTM, got some",
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
