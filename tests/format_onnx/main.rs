//! Model files of ONNX: ONNX's own node tests, what ONNX Runtime computes of models as exporters write them,
//! and bytes that are no model.

mod cases;
mod cells;
mod chains;
mod fold;
mod hostile;
mod model;
mod quantized;
mod writer;

use fused_rnn::format::onnx::{Model, Value, read_tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder of `tests/golden`.
fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder)
}

/// The tests in such a folder.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(golden(folder)).expect("tests").map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The tensors `input_0.pb`, ... or `output_0.pb`, ... of a test, by the names of the model.
fn tensors(test: &Path, kind: &str, of: &[String]) -> BTreeMap<String, Value> {
    let read = |(index, name): (usize, &String)| {
        let path = test.join(format!("test_data_set_0/{kind}_{index}.pb"));
        (name.clone(), read_tensor(&std::fs::read(path).unwrap()).unwrap().1)
    };
    of.iter().enumerate().map(read).collect()
}

/// Whether two values are the same, floats as near as 1e-5 of the largest.
fn check(what: &str, got: &Value, want: &Value) {
    let (Value::Floats(got), Value::Floats(want)) = (got, want) else {
        assert_eq!(got, want, "{what}");
        return;
    };
    assert_eq!(got.shape(), want.shape(), "{what}");
    let largest = want.values().iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (a, b) in got.values().iter().zip(want.values()) {
        let near = (a - b).abs() <= 1e-5 * largest || a == b || a.is_nan() && b.is_nan();
        assert!(near, "{what}: {a} for {b}");
    }
}

fn every(folder: &str) -> usize {
    let names = names(folder);
    for name in &names {
        let test = golden(folder).join(name);
        let model = Model::open(test.join("model.onnx")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let got = model.run(&tensors(&test, "input", model.inputs()));
        let got = got.unwrap_or_else(|error| panic!("{name}: {error}"));
        for (output, want) in tensors(&test, "output", model.outputs()) {
            check(&format!("{name}: {output}"), &got[&output], &want);
        }
    }
    names.len()
}

#[test]
fn every_node_test_of_onnx() {
    assert!(every("onnx_node") >= 18);
    for name in names("onnx_node") {
        let model = Model::open(golden("onnx_node").join(&name).join("model.onnx")).unwrap();
        assert_eq!((model.nodes().len(), model.other_nodes().len()), (1, 0), "{name}");
    }
}

#[test]
fn every_model_as_onnx_runtime_computes_it() {
    assert!(every("onnx_cases") >= 80);
}
