//! Weights of other systems: tensors, conventions, layers of Keras, operators of ONNX.

use super::{HUGE, all, row, tensor};
use fused_rnn::format::onnx::{Inputs, Kind, Node, Operator, Weights, activations};
use fused_rnn::format::{Arrays, Convention, Tensor, Tensors, state_dict};
use fused_rnn::{Activation, Bias, CellKind, Error, Gru, Lstm, Recurrent, Rnn};

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
        row(
            "a tensor of another shape, which stays",
            || {
                let mut tensors = Tensors::new();
                tensors.insert("w", tensor(&[2]));
                let refused = tensors.take("w", &[1]);
                assert_eq!(tensors.get("w"), Some(&tensor(&[2])), "it is still there");
                refused
            },
            "w: expected a tensor of shape [1], got shape [2]",
        ),
        row(
            "normalised layers to another system",
            || Convention::PyTorch.save(&Lstm::builder(3, 4).layer_norm(1e-3).build()?),
            "norm_ih_l0: expected a parameter that PyTorch has, got one that it has not",
        ),
        row(
            "normalised layers from another system",
            move || {
                let mut network = Lstm::builder(3, 4).layer_norm(1e-3).build()?;
                refused(&mut network, |network| Convention::PyTorch.load(network, &[arrays(48, 64, 32)]))
            },
            "norm_c_l0: expected a tensor of shape [2, 4], got none",
        ),
        row(
            "a bias that is no number",
            move || load(Convention::BlockLstm { forget_bias: f32::NAN }, vec![arrays(48, 64, 16)]),
            "forget_bias: expected a finite number, got NaN",
        ),
        row(
            "a bias without end",
            move || Convention::BlockLstm { forget_bias: f32::INFINITY }.save(&lstm()),
            "forget_bias: expected a finite number, got inf",
        ),
        row("cells", move || load(Convention::Keras, vec![]), "layers * directions: expected 1, got 0"),
        row(
            "input",
            move || load(Convention::Keras, vec![arrays(47, 64, 16)]),
            "weight_ih_l0: expected 48 values, got 47",
        ),
        row(
            "recurrent",
            move || load(Convention::Keras, vec![arrays(48, 65, 16)]),
            "weight_hh_l0: expected 64 values, got 65",
        ),
        row(
            "bias",
            move || load(Convention::Keras, vec![arrays(48, 64, 32)]),
            "bias_l0: expected 16 values, got 32, as CuDNNLSTM and CuDNNGRU of Keras 2 have, \
             whose matrices lie otherwise too (Convention::KerasCuDnn)",
        ),
        row(
            "recurrent of none",
            move || load(Convention::PyTorch, vec![arrays(48, 0, 32)]),
            "weight_hh_l0: expected 64 values, got 0",
        ),
        row(
            "a projection that is not there",
            move || {
                load(Convention::PyTorch, vec![Arrays { projection: vec![0.5; 16], ..arrays(48, 64, 32) }])
            },
            "weight_hr_l0: expected a parameter of this network, got one that it has not",
        ),
        row(
            "peepholes where the system has none",
            move || load(Convention::Keras, vec![Arrays { peephole: vec![0.5; 12], ..arrays(48, 64, 16) }]),
            "peephole_l0: expected none in Keras, got some",
        ),
        row(
            "projections where the system has none",
            move || load(Convention::Keras, vec![Arrays { projection: vec![0.5; 16], ..arrays(48, 64, 16) }]),
            "projection_l0: expected none in Keras, got some",
        ),
        row(
            "peepholes",
            move || {
                let mut network = Lstm::builder(3, 4).peephole(true).build()?;
                let arrays = Arrays { peephole: vec![0.5; 11], ..arrays(48, 64, 32) };
                refused(&mut network, |network| Convention::Onnx.load(network, &[arrays]))
            },
            "peephole_l0: expected 12 values, got 11",
        ),
        row(
            "projection",
            move || {
                let mut network = Lstm::builder(3, 4).projection(2).build()?;
                let arrays = Arrays { projection: vec![0.5; 9], ..arrays(48, 32, 32) };
                refused(&mut network, |network| Convention::PyTorch.load(network, &[arrays]))
            },
            "projection_l0: expected 8 values, got 9",
        ),
        row(
            "no such cell to load",
            || {
                let mut network = Gru::reset_before(1, 1).build()?;
                refused(&mut network, |network| Convention::Flax.load(network, &[Arrays::default()]))
            },
            "Flax: expected a cell that it has, got GruResetBefore",
        ),
        row(
            "no such cell to save",
            || Convention::BlockLstmV2.save(&Rnn::tanh(1, 1).build()?),
            "BlockLstmV2: expected a cell that it has, got ElmanTanh",
        ),
        row(
            "no such parameter to save",
            || Convention::Keras.save(&Lstm::builder(1, 1).peephole(true).build()?),
            "peephole_l0: expected a parameter that Keras has, got one that it has not",
        ),
        row(
            "two biases into one",
            || {
                let mut network = Gru::reset_after(1, 1).bias(Bias::Single).build()?;
                let tensors = state_dict::save(&Gru::reset_after(1, 1).build()?)?;
                refused(&mut network, |network| {
                    let mut other = tensors;
                    other.insert("bias_hh_l0", Tensor::new(&[3], vec![0.0, 0.0, 0.5])?);
                    state_dict::load(other, network)
                })
            },
            "bias_hh_l0: expected zeros in a network without this bias, as no other can stand for it, \
             got 0.5",
        ),
        row(
            "a bias that has no place",
            || {
                let mut network = Rnn::tanh(1, 1).bias(Bias::None).build()?;
                let mut tensors = state_dict::save(&network)?;
                tensors.insert("bias_ih_l0", tensor(&[1]));
                tensors.insert("bias_hh_l0", tensor(&[1]));
                refused(&mut network, |network| state_dict::load(tensors, network))
            },
            "bias_ih_l0: expected zeros in a network without bias, got 1",
        ),
        row(
            "a part of a file",
            || {
                let mut tensors = Tensors::new();
                tensors.insert_all("a.", state_dict::save(&Rnn::tanh(1, 1).build()?)?);
                tensors.split_off_prefix("b.").finish()?;
                tensors.finish()
            },
            "tensors: expected none that has no place here, \
             got a.bias_hh_l0, a.bias_ih_l0, a.weight_hh_l0, a.weight_ih_l0",
        ),
        row(
            "rows of a cell",
            || {
                let mut tensors = state_dict::save(&Rnn::tanh(3, 4).build()?)?;
                tensors.set_cell("", None);
                state_dict::builder(&tensors, CellKind::GruResetAfter).map(|_| ())
            },
            "weight_ih_l0: expected 12 rows for 4 units of GruResetAfter, got 4, as ElmanTanh or ElmanRelu has",
        ),
        row(
            "columns without rows",
            || {
                let mut tensors = Tensors::new();
                tensors.insert("weight_ih_l0", tensor(&[16, 1]));
                tensors.insert("weight_hh_l0", tensor(&[0, 4]));
                state_dict::builder(&tensors, CellKind::Lstm).map(|_| ())
            },
            "weight_hh_l0: expected a tensor of shape [16, 4], got shape [0, 4]",
        ),
        row(
            "a layer without weights",
            || {
                let mut tensors = state_dict::save(&Rnn::tanh(3, 4).bidirectional(true).build()?)?;
                tensors.insert("weight_ih_l1", tensor(&[0, 0]));
                state_dict::builder(&tensors, CellKind::ElmanTanh).map(|_| ())
            },
            "weight_ih_l1: expected a tensor of shape [4, 8], got shape [0, 0]",
        ),
        row(
            "one direction alone",
            || {
                let mut tensors = state_dict::save(&Rnn::tanh(3, 4).bidirectional(true).build()?)?;
                tensors.remove("weight_hh_l0_reverse");
                state_dict::builder(&tensors, CellKind::ElmanTanh).map(|_| ())
            },
            "weight_hh_l0_reverse: expected a tensor of shape [4, 4], got none",
        ),
        row(
            "no tensors of a cell",
            || state_dict::builder(&Tensors::new(), CellKind::Lstm).map(|_| ()),
            "weight_ih_l0: expected a matrix, got none",
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
fn operators_of_onnx() {
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
    let built = |change: fn(&mut Operator)| {
        let mut operator = Operator::new(Kind::Rnn);
        change(&mut operator);
        Node::new(operator, &Weights { w: &tensor(&[1, 2, 3]), r: &tensor(&[1, 2, 2]), b: None, p: None })
    };
    all(vec![
        row(
            "a function",
            || activations(&["Gelu"], &[], &[]),
            "attribute activations: expected a function of ONNX, got Gelu",
        ),
        row(
            "input_forget",
            move || built(|operator| operator.input_forget = true),
            "attribute input_forget: expected none, as this is no Lstm, got 1",
        ),
        row(
            "linear_before_reset",
            move || built(|operator| operator.linear_before_reset = true),
            "attribute linear_before_reset: expected none, as this is no Gru, got 1",
        ),
        row(
            "activations",
            move || built(|operator| operator.activations = vec![Activation::Relu; 2]),
            "attribute activations: expected 1, got 2",
        ),
        row(
            "a clip",
            move || built(|operator| operator.clip = Some(-1.0)),
            "clip: expected a positive number, got -1",
        ),
        row(
            "P",
            || {
                let weights = Weights {
                    w: &tensor(&[1, 2, 3]),
                    r: &tensor(&[1, 2, 2]),
                    b: None,
                    p: Some(&tensor(&[1, 6])),
                };
                Node::new(Operator::new(Kind::Rnn), &weights)
            },
            "P: expected no peepholes, as this is no LSTM, got some",
        ),
        row(
            "peepholes of an LSTM",
            || {
                let weights = Weights {
                    w: &tensor(&[1, 8, 3]),
                    r: &tensor(&[1, 8, 2]),
                    b: None,
                    p: Some(&tensor(&[1, 5])),
                };
                Node::new(Operator::new(Kind::Lstm), &weights)
            },
            "P: expected a tensor of shape [1, 6], got shape [1, 5]",
        ),
        row(
            "no units in an operator",
            move || node(Kind::Rnn, &[1, 0, 3], &[1, 0, 0], None),
            "hidden_size: expected at least 1, got 0",
        ),
        row(
            "W",
            move || node(Kind::Rnn, &[2, 3], &[1, 2, 2], None),
            "W: expected three axes (D, G H, I), got shape [2, 3]",
        ),
        row(
            "R",
            move || node(Kind::Rnn, &[1, 2, 3], &[1, 2, 3], None),
            "R: expected a tensor of shape [1, 2, 2], got shape [1, 2, 3]",
        ),
        row(
            "B",
            move || node(Kind::Rnn, &[1, 2, 3], &[1, 2, 2], Some(&[1, 2])),
            "B: expected a tensor of shape [1, 4], got shape [1, 2]",
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
            "initial_h: expected a tensor of shape [1, 2, 2], got shape [1, 1, 2]",
        ),
        row(
            "initial_c of an LSTM",
            move || {
                let node = node(Kind::Lstm, &[1, 8, 3], &[1, 8, 2], None)?;
                let c = tensor(&[1, 2, 3]);
                let x = tensor(&[5, 2, 3]);
                node.run(&Inputs { x: &x, sequence_lens: None, initial_h: None, initial_c: Some(&c) })
            },
            "initial_c: expected a tensor of shape [1, 2, 2], got shape [1, 2, 3]",
        ),
        row(
            "initial_c",
            move || run(&[5, 2, 3], None, None, true),
            "initial_c: expected none, as this is no LSTM, got some",
        ),
    ]);
}
