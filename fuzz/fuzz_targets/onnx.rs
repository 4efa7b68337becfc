//! Bytes as an ONNX model: each recurrent node with weights runs, and gives for each of two equal rows the same bits as
//! for one row alone; or it is an error.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::Layout;
use fused_rnn::format::Tensor;
use fused_rnn::format::onnx::{Inputs, Model, read_tensor};
use std::collections::BTreeMap;

const STEPS: usize = 3;

/// The last states of the first of `batch` equal rows, of all directions, as bits; all NaN are one.
fn run(node: &fused_rnn::format::onnx::Node, batch: usize) -> Option<Vec<u32>> {
    let (input, batch_first) = (node.layer().config().input_size(), node.operator().layout == Layout::BatchFirst);
    let shape = if batch_first { [batch, STEPS, input] } else { [STEPS, batch, input] };
    let x = Tensor::new(&shape, vec![0.5; batch * STEPS * input]).unwrap();
    let inputs = Inputs { x: &x, sequence_lens: None, initial_h: None, initial_c: None };
    let outputs = node.run(&inputs).ok()?;
    let directions = node.operator().directions();
    let width = outputs.y_h.values().len() / (directions * batch).max(1);
    let first = |direction: usize| {
        let row = if batch_first { direction } else { direction * batch };
        outputs.y_h.values()[row * width..][..width].iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() })
    };
    Some((0..directions).flat_map(first).collect())
}

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    _ = read_tensor(bytes);
    let Ok(model) = Model::read(bytes) else { return };
    let nothing = BTreeMap::new();
    for node in model.nodes() {
        _ = node.run(&model, &nothing);
        if let Ok(node) = node.with_weights(&model, &nothing) {
            let (one, two) = (run(&node, 1), run(&node, 2));
            assert!(one.is_some() && one == two, "{one:?} {two:?}");
        }
    }
});
