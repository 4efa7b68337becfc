//! Nodes that make constants of constants, in the forms of several versions of the operator set: ONNX
//! Runtime's values.

use super::writer::{attribute, int, integers, model, node, tensor};
use super::{check, golden};
use fused_rnn::format::onnx::{Model, Value};

#[test]
fn operators_as_onnx_runtime_computes_them() {
    for (version, least) in [(7, 85), (9, 96), (11, 109), (13, 118), (15, 122), (18, 126), (21, 129)] {
        let model = Model::open(golden("onnx_cases").join(format!("operators_{version}.onnx"))).unwrap();
        let wanted = model.value_names().into_iter().filter_map(|name| name.strip_prefix("want."));
        let wanted: Vec<&str> = wanted.collect();
        assert!(wanted.len() >= least, "{version}: only {}", wanted.len());
        for name in wanted {
            let value = |name: &str| match model.value(name) {
                Ok(Some(value)) => value,
                other => panic!("version {version}, {name}: {other:?}"),
            };
            check(&format!("version {version}, {name}"), &value(name), &value(&format!("want.{name}")));
        }
    }
}

/// ONNX Runtime has no versions before 7: by hand.
#[test]
fn the_oldest_forms() {
    let a = tensor("a", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let b = tensor("b", &[2], &[10.0, 20.0]);
    let value = |node: Vec<u8>| {
        let model = Model::read(&model(&[node], &[a.clone(), b.clone()])).unwrap();
        match model.value("Z").unwrap() {
            Some(Value::Floats(value)) => (value.shape().to_vec(), value.into_values()),
            other => panic!("{other:?}"),
        }
    };
    let along = [attribute("broadcast", int(3, 1)), attribute("axis", int(3, 0))];
    let sums = (vec![2, 3], vec![11.0, 12.0, 13.0, 24.0, 25.0, 26.0]);
    assert_eq!(value(node("Add", "", &["a", "b"], &["Z"], &along)), sums);
    let shape = attribute("shape", [int(8, 3), int(8, 2)].concat());
    assert_eq!(value(node("Reshape", "", &["a"], &["Z"], &[shape])).0, [3, 2]);
    // Along axis 1.
    let twice = (vec![2, 6], vec![1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
    assert_eq!(value(node("Concat", "", &["a", "a"], &["Z"], &[])), twice);
    let to = attribute("to", [vec![34, 5], b"FLOAT".to_vec()].concat());
    assert_eq!(value(node("Cast", "", &["b"], &["Z"], &[to])).1, [10.0, 20.0]);
}

/// Integers that no f64 is, in a Clip whose bounds are far from them, or are none.
#[test]
fn clipped_integers_are_exact() {
    let odd = [(1i64 << 53) + 1, 5, -(1 << 60) - 1, i64::MAX];
    let (a, low) = (integers("a", &[4], &odd), integers("low", &[], &[7]));
    let value = |inputs: &[&str]| {
        let clip = node("Clip", "", inputs, &["Z"], &[]);
        let model = Model::read(&model(&[clip], &[a.clone(), low.clone()])).unwrap();
        match model.value("Z").unwrap() {
            Some(Value::Integers(_, values)) => values,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(value(&["a"]), odd);
    assert_eq!(value(&["a", "low"]), [odd[0], 7, 7, i64::MAX]);
}
