//! Bytes as an ONNX model: each recurrent node with weights runs, and gives for each of two equal rows the
//! same bits as for one row alone; or it is an error. All that nodes make of constants is folded, twice to
//! the same value; nodes above each other become networks, which run.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::Layout;
use fused_rnn::format::Tensor;
use fused_rnn::format::onnx::{Inputs, Model, Value, read_tensor};
use std::collections::BTreeMap;

const STEPS: usize = 3;

/// The last states of the first of `batch` equal rows, of all directions, as bits; all NaN are one.
fn run(node: &fused_rnn::format::onnx::Node, batch: usize) -> Option<Vec<u32>> {
    let (input, batch_first) =
        (node.layer().config().input_size(), node.operator().layout == Layout::BatchFirst);
    let shape = if batch_first { [batch, STEPS, input] } else { [STEPS, batch, input] };
    let x = Tensor::new(&shape, vec![0.5; batch * STEPS * input]).unwrap();
    let inputs = Inputs { x: &x, sequence_lens: None, initial_h: None, initial_c: None };
    let outputs = node.run(&inputs).ok()?;
    let directions = node.operator().directions();
    let width = outputs.y_h.values().len() / (directions * batch).max(1);
    let first = |direction: usize| {
        let row = if batch_first { direction } else { direction * batch };
        outputs.y_h.values()[row * width..][..width]
            .iter()
            .map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() })
    };
    Some((0..directions).flat_map(first).collect())
}

/// Everything that a model tells of itself, and the value of each name in each of its graphs.
fn fold(model: &Model) {
    _ = model.warnings();
    for cell in model.reassembled(&BTreeMap::new()).unwrap_or_default() {
        let config = cell.network().config();
        let mut state = cell.network().zero_state(1).unwrap();
        let x = vec![0.5; config.input_size()];
        let ran = cell.network().step(&x, &mut state, None, &mut fused_rnn::Workspace::new());
        assert_eq!(ran, Ok(()));
    }
    _ = model.run(&BTreeMap::new());
    let x = Tensor::new(&[STEPS, 1, 3], vec![0.5; STEPS * 3]).unwrap();
    let supplied = model.inputs().iter().map(|name| (name.clone(), Value::Floats(x.clone()))).collect();
    _ = model.run(&supplied);
    let others = model.other_nodes();
    for place in model.places() {
        let made = others.iter().filter(|node| node.place() == place).flat_map(|node| node.outputs());
        let names = model.value_names_in(&place).into_iter().chain(made.map(String::as_str));
        // (Each is a search of its own: a few say as much as all.)
        for name in names.take(64) {
            let value = || model.value_in(&place, name).map_err(|error| error.to_string());
            let (first, again) = (value(), value());
            // NaN is not itself.
            assert!(format!("{first:?}") == format!("{again:?}"), "{name}: {first:?} {again:?}");
        }
    }
    for node in model.nodes() {
        _ = (node.place(model), node.is_taken(model, &supplied));
    }
}

/// All chains of a model, each run for one step.
fn chains(model: &Model, supplied: &BTreeMap<String, Value>) {
    let Ok(chains) = model.chains(supplied) else { return };
    let covered: usize = chains.iter().map(|chain| chain.nodes().len()).sum();
    assert_eq!(covered, model.nodes().len(), "each node is a layer of one network");
    for chain in chains {
        let network = chain.network();
        let Ok(mut state) = chain.initial_state(1) else { continue };
        let x = vec![0.5; network.config().input_size()];
        let mut y = vec![0.0; network.config().output_size()];
        let dims = fused_rnn::Dims::new(1, 1);
        let ran = network.forward(&x, dims, &mut state, Some(&mut y), &mut fused_rnn::Workspace::new());
        assert_eq!(ran, Ok(()));
    }
}

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    _ = read_tensor(bytes);
    let Ok(model) = Model::read(bytes) else { return };
    fold(&model);
    for node in model.nodes() {
        _ = node.run(&model, &BTreeMap::new());
        let Ok((operator, hidden)) = node.operator() else { continue };
        // Weights of small sizes for those that are no constants of the model, as in ONNX's own tests.
        let (directions, hidden) = (operator.directions(), hidden.unwrap_or(2).min(8));
        let rows = operator.cell().gates() * hidden;
        let shapes: [(usize, &[usize]); 4] = [
            (1, &[directions, rows, 3]),
            (2, &[directions, rows, hidden]),
            (3, &[directions, 2 * rows]),
            (7, &[directions, 3 * hidden]),
        ];
        let mut supplied = BTreeMap::new();
        for (index, shape) in shapes {
            let count: usize = shape.iter().product();
            let values = (0..count).map(|k| (k % 7) as f32 * 0.125 - 0.375).collect();
            if let Some(name) = node.input(index)
                && matches!(model.value(name), Ok(None))
            {
                supplied.insert(name.to_owned(), Value::Floats(Tensor::new(shape, values).unwrap()));
            }
        }
        chains(&model, &supplied);
        if let Ok(node) = node.with_weights(&model, &supplied) {
            let (one, two) = (run(&node, 1), run(&node, 2));
            assert!(one.is_some() && one == two, "{one:?} {two:?}");
        }
    }
});
