//! Bytes as an ONNX model: each recurrent node with weights runs, and gives for each of two equal rows the
//! same bits as for one row alone; or it is an error.

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

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    _ = read_tensor(bytes);
    let Ok(model) = Model::read(bytes) else { return };
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
        if let Ok(node) = node.with_weights(&model, &supplied) {
            let (one, two) = (run(&node, 1), run(&node, 2));
            assert!(one.is_some() && one == two, "{one:?} {two:?}");
        }
    }
});
