//! Cells that were taken apart: told, and put together again where that is sure.

use super::golden;
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
    assert!(matches!(&quantized[..], [Warning::Quantized { node, .. }] if node.is_empty()), "{quantized:?}");
    assert_eq!(model("weights_by_cast_f16/model.onnx").warnings(), []);
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
