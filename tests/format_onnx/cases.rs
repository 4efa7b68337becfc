//! What a model tells of itself: nodes and where they stand, names of constants, branches that are taken; and
//! values that are known by hand.

use super::{golden, tensors};
use fused_rnn::format::onnx::{Model, Value};
use std::collections::BTreeMap;

fn model(name: &str) -> Model {
    Model::open(golden("onnx_cases").join(name)).unwrap()
}

/// Loops in double precision gave the same.
#[test]
fn weights_and_states_that_nodes_make() {
    for (name, want) in [
        ("weights_by_slice_concat_unsqueeze", [0.208782, 0.210266, 0.289218]),
        ("weights_by_cast_f16", [0.208782, 0.210266, 0.289218]),
        ("initial_h_by_expand", [0.208782, 0.210266, 0.289218]),
        ("rnn_forward_default_activations", [0.462117, -0.189902, 0.100918]),
        ("lstm_affine_alpha_only", [0.327033, 0.319320, 0.468149]),
    ] {
        let model = model(&format!("{name}/model.onnx"));
        let inputs = tensors(&golden("onnx_cases").join(name), "input", model.inputs());
        let Value::Floats(y) = &model.run(&inputs).unwrap()["Y"] else { panic!("{name}") };
        for (a, b) in y.values().iter().zip(want) {
            assert!((a - b).abs() < 1e-6, "{name}: {a} for {b}");
        }
    }
}

#[test]
fn nodes_and_where_they_stand() {
    let model = model("if_of_an_input_then/model.onnx");
    assert_eq!(model.places(), ["", "If#0.else_branch", "If#0.then_branch"]);
    let places: Vec<String> = model.nodes().iter().map(|node| node.place(&model)).collect();
    assert_eq!(places, ["If#0.else_branch", "If#0.then_branch"]);
    let others = model.other_nodes();
    let told: Vec<_> =
        others.iter().map(|node| (node.op_type(), node.inputs(), node.outputs(), node.place())).collect();
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<String>>();
    assert_eq!(
        told,
        [
            ("If", &names(&["flag"])[..], &names(&["Y"])[..], String::new()),
            ("Mul", &names(&["W", "two"])[..], &names(&["W2"])[..], "If#0.then_branch".to_owned()),
        ]
    );
    assert!(format!("{:?}", others[1]).contains("Mul"));
    assert_eq!((others[1].name(), others[1].domain()), ("", ""));
    // Constants of each graph, and what is made of those around it.
    assert_eq!(model.value_names(), ["B", "R", "W", "two"]);
    assert_eq!(model.value_names_in("If#0.else_branch"), ["W3"]);
    assert!(model.value_names_in("nowhere").is_empty());
    let first = |value: Option<Value>| match value {
        Some(Value::Floats(tensor)) => tensor.values()[0],
        other => panic!("{other:?}"),
    };
    assert_eq!(first(model.value_in("If#0.then_branch", "W2").unwrap()), 1.0);
    assert_eq!(first(model.value_in("If#0.else_branch", "W3").unwrap()), -0.5);
    assert_eq!(model.value("W2").unwrap(), None);
    assert_eq!(model.value("X").unwrap(), None);
    assert_eq!(model.value_in("nowhere", "W").unwrap(), None);
}

#[test]
fn branches_that_are_taken() {
    let with = |flag: i64| BTreeMap::from([("flag".to_owned(), Value::Integers(vec![], vec![flag]))]);
    let open = model("if_of_an_input_else/model.onnx");
    let taken = |supplied: &BTreeMap<String, Value>| {
        let taken = open.nodes().iter().map(|node| node.is_taken(&open, supplied).unwrap());
        taken.collect::<Vec<Option<bool>>>()
    };
    // (The else branch comes first in the file.)
    assert_eq!(taken(&with(0)), [Some(true), Some(false)]);
    assert_eq!(taken(&with(1)), [Some(false), Some(true)]);
    assert_eq!(taken(&BTreeMap::new()), [None, None]);
    // Of a constant condition one branch is left.
    let chosen = model("if_of_a_constant/model.onnx");
    let places: Vec<String> = chosen.nodes().iter().map(|node| node.place(&chosen)).collect();
    assert_eq!(places, ["If#1.else_branch"]);
    assert_eq!(chosen.nodes()[0].is_taken(&chosen, &BTreeMap::new()), Ok(Some(true)));
}

#[test]
fn what_an_output_depends_on() {
    let model = model("batch_first_by_transpose/model.onnx");
    let said = model.run(&BTreeMap::new()).unwrap_err().to_string();
    assert!(said.starts_with("node LSTM#1, input \"Xt\": expected an initialiser, or a tensor"), "{said}");
    assert!(said.ends_with("got the input \"X\" of a graph"), "{said}");
    let apart = super::cases::model("lstm_taken_apart.onnx");
    let said = apart.run(&BTreeMap::new()).unwrap_err().to_string();
    assert!(said.starts_with("output \"h1\": expected one that recurrent nodes make"), "{said}");
}

#[test]
fn nodes_of_functions_that_are_called() {
    let model = model("functions_within_functions/model.onnx");
    // Each call has its own node, and attributes: those of the call, or the function's own.
    let names: Vec<&str> = model.nodes().iter().map(|node| node.name()).collect();
    assert_eq!(names, ["encoder#0/Layer#1/LSTM", "encoder#0/Layer#2/LSTM"]);
    let [first, second] = [0, 1].map(|index| model.nodes()[index].operator().unwrap().0);
    assert_eq!((first.clip, second.clip), (None, Some(0.5)));
    assert_eq!(first.activations[2], fused_rnn::Activation::Softsign);
    assert_eq!(second.activations[2], fused_rnn::Activation::Tanh);
    assert_eq!(model.places(), [""]);
}

#[test]
fn a_model_is_printed_in_a_few_lines() {
    let model = model("operators_21.onnx");
    assert!(format!("{model:?}").len() < 6000, "{}", format!("{model:?}").len());
    let node = format!("{:?}", self::model("weights_by_cast_f16/model.onnx").nodes()[0]);
    assert!(node.contains("LSTM") && node.len() < 200, "{node}");
}

#[test]
fn a_file_that_is_not_there() {
    let said = Model::open("nowhere/model.onnx").unwrap_err().to_string();
    assert!(said.starts_with("nowhere/model.onnx: expected a file that can be read, got "), "{said}");
}
