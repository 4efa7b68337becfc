//! Cells that were taken apart: told, and put together again where that is sure.

use super::golden;
use super::writer::{field, node, tensor};
use fused_rnn::Workspace;
use fused_rnn::format::Tensor;
use fused_rnn::format::onnx::{Kind, Model, Value, Warning};
use std::collections::BTreeMap;

fn model(name: &str) -> Model {
    Model::open(golden("onnx_cases").join(name)).unwrap()
}

#[test]
fn cells_are_told() {
    let lstm = model("lstm_taken_apart.onnx");
    assert!(lstm.nodes().is_empty());
    let warnings = lstm.warnings();
    let [Warning::TakenApart { kind, place, nodes, output }] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!((kind, place.as_str(), output.as_str()), (&Kind::Lstm, "", "h1"));
    let want: Vec<String> = (0..14).map(|k| format!("cell_{k}")).collect();
    assert_eq!(nodes, &want);
    let said = warnings[0].to_string();
    assert_eq!(said, "Lstm taken apart into 14 nodes, from \"cell_0\" to \"cell_13\", which makes \"h1\"");
    let gru = model("gru_taken_apart.onnx").warnings();
    let [Warning::TakenApart { kind: Kind::Gru, output, .. }] = &gru[..] else { panic!("{gru:?}") };
    assert_eq!(output, "h1");
    // With a rectifier in the place of a tanh it is none.
    assert_eq!(model("no_lstm.onnx").warnings(), []);
    // Weights of integers are told too, and nothing of a plain model.
    let quantized = model("dynamic_quantized_rows/model.onnx").warnings();
    assert!(
        matches!(&quantized[..], [Warning::Quantized { node, .. }] if node.starts_with("DynamicQuantizeLSTM#")),
        "{quantized:?}"
    );
    assert_eq!(model("weights_by_cast_f16/model.onnx").warnings(), []);
}

/// What the warnings of a graph of these nodes say: the kinds, and the numbers of nodes and the outputs.
fn told(nodes: &[Vec<u8>], names: [&[&str]; 2]) -> Vec<(Kind, usize, String)> {
    let tensors = ["W", "R"].map(|name| tensor(name, &[4, 4], &[0.5; 16]));
    let nodes = nodes.iter().flat_map(|node| field(1, node));
    let tensors = tensors.iter().flat_map(|tensor| field(5, tensor));
    let value = |number: u8| move |name: &&str| field(number, &field(1, name.as_bytes()));
    let [inputs, outputs] = names;
    let ends = inputs.iter().flat_map(value(11)).chain(outputs.iter().flat_map(value(12)));
    let graph: Vec<u8> = nodes.chain(tensors).chain(ends).collect();
    let told = Model::read(&field(7, &graph)).unwrap().warnings().into_iter().map(|warning| match warning {
        Warning::TakenApart { kind, nodes, output, .. } => (kind, nodes.len(), output),
        other => panic!("{other}"),
    });
    told.collect()
}

/// Elman's network as PyTorch's exporter unrolls it (torch.onnx.export with dynamo=True): one product of all
/// inputs, cut into steps, the first of which has a constant for its state.
#[test]
fn steps_of_an_elman_network_are_told() {
    let unrolled = |activation: &str, w: &str| {
        let mut nodes = vec![node("MatMul", "", &["X", w], &["xw"], &[])];
        for step in 0..3 {
            let [x, product, sum, h] = ["x", "hr", "sum", "h"].map(|name| format!("{name}{step}"));
            nodes.push(node("Slice", "", &["xw", "from", "to", "axes"], &[&x], &[]));
            if step > 0 {
                nodes.push(node("MatMul", "", &[&format!("h{}", step - 1), "R"], &[&product], &[]));
            }
            nodes.push(node("Add", "", &[if step > 0 { &product } else { "bias" }, &x], &[&sum], &[]));
            nodes.push(node(activation, "", &[&sum], &[&h], &[]));
        }
        told(&nodes, [&["X", "from", "to", "axes", "bias"], &["h2"]])
    };
    let step = |nodes, output: &str| (Kind::Rnn, nodes, output.to_owned());
    for activation in ["Tanh", "Relu"] {
        // The product of all inputs is named once.
        assert_eq!(unrolled(activation, "W"), [step(4, "h0"), step(4, "h1"), step(4, "h2")]);
    }
    assert_eq!(unrolled("Sigmoid", "W"), []);
    // One step, whose state is an input and an output: PyTorch's RNNCell.
    let cell = |h: &str, output: &str| {
        let nodes = [
            node("Gemm", "", &[h, "R"], &["a"], &[]),
            node("Gemm", "", &["X", "W"], &["b"], &[]),
            node("Add", "", &["a", "b"], &["sum"], &[]),
            node("Tanh", "", &["sum"], &["y"], &[]),
            node("Identity", "", &["y"], &["out"], &[]),
        ];
        told(&nodes, [&["X", "h"], &[output]])
    };
    assert_eq!(cell("h", "out"), [step(4, "y")]);
    // No step: the same of X alone, and where the sum is no output, as in an additive attention.
    assert_eq!(cell("X", "out"), []);
    assert_eq!(cell("h", "sum"), []);
    // Two layers above each other, with weights of their own.
    let layers = [
        node("MatMul", "", &["X", "W"], &["a"], &[]),
        node("Tanh", "", &["a"], &["b"], &[]),
        node("MatMul", "", &["b", "R"], &["c"], &[]),
        node("Add", "", &["c", "X"], &["d"], &[]),
        node("Tanh", "", &["d"], &["out"], &[]),
    ];
    assert_eq!(told(&layers, [&["X"], &["out"]]), []);
}

fn floats(model: &Model, name: &str) -> Tensor {
    match model.value(name).unwrap() {
        Some(Value::Floats(tensor)) => tensor,
        other => panic!("{name}: {other:?}"),
    }
}

/// The networks that are put together compute what ONNX Runtime computes of the nodes.
#[test]
fn cells_are_put_together_again() {
    for (name, names) in
        [("lstm_taken_apart.onnx", ["X", "h", "c"]), ("lstm_taken_apart_square.onnx", ["X", "h", "c"])]
    {
        let model = model(name);
        let cells = model.reassembled(&BTreeMap::new()).unwrap();
        let [cell] = &cells[..] else { panic!("{name}: {} cells", cells.len()) };
        assert_eq!((cell.inputs(), cell.outputs(), cell.place()), (names, ["h1", "c1"], ""));
        // States may come out of one tensor.
        let given = |name: &str| match model.value(&format!("given.{name}")).unwrap() {
            Some(_) => floats(&model, &format!("given.{name}")).into_values(),
            None => {
                let state = floats(&model, "given.state").into_values();
                let half = state.len() / 2;
                if name == "h" { state[..half].to_vec() } else { state[half..].to_vec() }
            }
        };
        let mut state = cell.network().zero_state(3).unwrap();
        state.set_h(&given("h")).unwrap();
        state.set_c(&given("c")).unwrap();
        cell.network().step(&given("X"), &mut state, None, &mut Workspace::new()).unwrap();
        for (got, want) in [(state.h(), "want.h1"), (state.c(), "want.c1")] {
            for (a, b) in got.iter().zip(floats(&model, want).values()) {
                assert!((a - b).abs() < 1e-6, "{name}, {want}: {a} for {b}");
            }
        }
    }
}

/// What could be x and what could be h has the same sizes, and nothing says which is which.
#[test]
fn what_is_not_sure_is_left() {
    let unsure = model("lstm_taken_apart_unsure.onnx");
    assert_eq!(unsure.warnings().len(), 1);
    assert!(unsure.reassembled(&BTreeMap::new()).unwrap().is_empty());
    assert!(model("no_lstm.onnx").reassembled(&BTreeMap::new()).unwrap().is_empty());
    assert!(model("gru_taken_apart.onnx").reassembled(&BTreeMap::new()).unwrap().is_empty());
}
