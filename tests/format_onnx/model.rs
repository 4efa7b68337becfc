//! Models of one node: weights inside and outside the model, attributes, names and their graphs.

use super::writer::{attribute, field, int, rnn, tensor};
use approx::assert_abs_diff_eq;
use fused_rnn::format::Tensor;
use fused_rnn::format::onnx::{Model, Value};
use std::collections::BTreeMap;

fn weights() -> Vec<Vec<u8>> {
    vec![tensor("W", &[1, 1, 1], &[0.5]), tensor("R", &[1, 1, 1], &[0.25])]
}

fn x() -> BTreeMap<String, Value> {
    let x = Tensor::new(&[2, 1, 1], vec![1.0, -1.0]).unwrap();
    [("X".to_owned(), Value::Floats(x))].into()
}

fn first_y(model: &[u8], inputs: &BTreeMap<String, Value>) -> Result<f32, String> {
    let model = Model::read(model).map_err(|error| error.to_string())?;
    let outputs = model.nodes()[0].run(&model, inputs).map_err(|error| error.to_string())?;
    Ok(outputs["Y"].values()[0])
}

#[test]
fn weights_are_in_the_model_or_supplied() {
    let good = rnn(&[attribute("hidden_size", int(3, 1))], &weights());
    assert_abs_diff_eq!(first_y(&good, &x()).unwrap(), 0.5f32.tanh(), epsilon = 1e-6);
    let without = rnn(&[], &weights()[..1]);
    let error = first_y(&without, &x()).unwrap_err();
    assert!(error.starts_with("node \"rnn_1\", input \"R\": expected an initialiser"), "{error}");
    let mut inputs = x();
    inputs.insert("R".to_owned(), Value::Floats(Tensor::new(&[1, 1, 1], vec![0.25]).unwrap()));
    assert_eq!(first_y(&without, &inputs), first_y(&good, &x()));
    // In another file, or of another type.
    let mut outside = tensor("R", &[1, 1, 1], &[0.25]);
    outside.extend(field(13, &[field(1, b"location"), field(2, b"weights.bin")].concat()));
    let error = first_y(&rnn(&[], &[weights()[0].clone(), outside]), &x()).unwrap_err();
    assert!(error.contains("tensor \"R\"") && error.contains("weights.bin"), "{error}");
    let string: Vec<u8> = [int(2, 8), field(8, b"R")].concat();
    let error = first_y(&rnn(&[], &[weights()[0].clone(), string]), &x()).unwrap_err();
    assert!(error.ends_with("got type 8"), "{error}");
}

#[test]
fn inputs_of_another_kind_are_named() {
    let inputs = ["X", "W", "R", "", "lens"].iter().flat_map(|name| field(1, name.as_bytes()));
    let node: Vec<u8> =
        inputs.chain(field(2, b"Y")).chain(field(3, b"rnn_1")).chain(field(4, b"RNN")).collect();
    let tensors: Vec<u8> = weights().iter().flat_map(|tensor| field(5, tensor)).collect();
    let model = field(7, &[field(1, &node), tensors].concat());
    let with = |name: &str, value: Option<Value>| {
        let mut inputs = x();
        inputs.insert("lens".to_owned(), Value::Integers(vec![1], vec![2]));
        match value {
            Some(value) => inputs.insert(name.to_owned(), value),
            None => inputs.remove(name),
        };
        first_y(&model, &inputs)
    };
    assert!(with("unused", None).is_ok());
    let floats = || Some(Value::Floats(Tensor::new(&[1], vec![2.0]).unwrap()));
    let integers = || Some(Value::Integers(vec![1, 1, 1], vec![2]));
    for (name, value, said) in [
        ("lens", floats(), "sequence_lens: expected integers, got floats"),
        ("X", integers(), "X: expected floats, got integers"),
        ("R", integers(), "R: expected floats, got integers"),
        (
            "X",
            None,
            "node \"rnn_1\", input \"X\": expected an initialiser, or a tensor supplied by this name, \
             got none",
        ),
    ] {
        assert_eq!(with(name, value).unwrap_err(), said);
    }
}

#[test]
fn attributes_are_obeyed_or_named() {
    let with = |attributes: &[Vec<u8>]| first_y(&rnn(attributes, &weights()), &x());
    let floats = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|v| [vec![61u8], v.to_le_bytes().to_vec()].concat()).collect()
    };
    let float = |value: f32| [vec![21u8], value.to_le_bytes().to_vec()].concat();
    let elu = [attribute("activations", field(9, b"Elu")), attribute("activation_alpha", floats(&[2.0]))];
    assert_eq!(with(&elu), Ok(0.5));
    assert_eq!(with(&[attribute("activations", field(9, b"Relu"))]), Ok(0.5));
    assert_abs_diff_eq!(with(&[attribute("clip", float(0.25))]).unwrap(), 0.25f32.tanh(), epsilon = 1e-6);
    // Parameters without a function are nobody's.
    assert_eq!(with(&[attribute("activation_alpha", floats(&[2.0]))]), with(&[]));
    // From the end: the first output has seen the second input.
    let reverse = with(&[attribute("direction", field(4, b"reverse"))]).unwrap();
    assert_abs_diff_eq!(reverse, (0.5 - 0.25 * 0.5f32.tanh()).tanh(), epsilon = 1e-6);
    for (attributes, said) in [
        (vec![attribute("hidden_size", int(3, 2))], "attribute hidden_size: expected 1 as in R, got 2"),
        (vec![attribute("direction", field(4, b"backward"))], "attribute direction: expected forward"),
        (vec![attribute("clip", float(-1.0))], "attribute clip: expected a positive number, got -1"),
        (vec![attribute("layout", int(3, 2))], "attribute layout: expected 0 or 1, got 2"),
        (vec![attribute("activations", field(9, b"Gelu"))], "got Gelu"),
        (vec![attribute("linear_before_reset", int(3, 1))], "attribute linear_before_reset"),
        (vec![attribute("input_forget", int(3, 1))], "attribute input_forget"),
        (vec![attribute("zoneout", float(0.1))], "attribute zoneout: expected an attribute of the operator"),
        (
            vec![attribute("direction", field(4, b"bidirectional"))],
            "node \"rnn_1\", W: expected a tensor of shape [2, 1, 1]",
        ),
        (
            vec![attribute("activations", field(4, b"Relu"))],
            "attribute activations: expected a list of strings",
        ),
        (
            vec![attribute("activations", field(9, b"Elu")), attribute("activation_alpha", float(0.5))],
            "attribute activation_alpha: expected a list of floats, got 0.5",
        ),
        (
            ["forward", "reverse"].map(|s| attribute("direction", field(4, s.as_bytes()))).to_vec(),
            "node \"rnn_1\", attribute direction: expected one of this name, got two",
        ),
        (
            vec![
                attribute("direction", field(4, b"bidirectional")),
                attribute("activations", [field(9, b"Tanh"), field(9, b"Tanh"), field(9, b"Tanh")].concat()),
            ],
            "node \"rnn_1\", attribute activations: expected 2, 1 for each direction, got 3",
        ),
        (vec![attribute("clip", [vec![0xAA, 1, 1], b"c".to_vec()].concat())], "a reference to \"c\""),
    ] {
        let error = with(&attributes).unwrap_err();
        assert!(error.contains(said), "{error:?} for {said:?}");
    }
}

/// Names belong to their graph: two branches may each have a W, and see the R around them; a function sees
/// its own.
#[test]
fn names_belong_to_their_graph() {
    let node = |inputs: &[&str]| -> Vec<u8> {
        let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
        inputs.chain(field(2, b"Y")).chain(field(3, b"rnn")).chain(field(4, b"RNN")).collect()
    };
    let graph = |initializers: &[Vec<u8>]| -> Vec<u8> {
        let initializers = initializers.iter().flat_map(|tensor| field(5, tensor));
        field(1, &node(&["X", "W", "R"])).into_iter().chain(initializers).collect()
    };
    let w = |value| tensor("W", &[1, 1, 1], &[value]);
    let r = tensor("R", &[1, 1, 1], &[0.0]);
    let branch = |name: &str, value| field(5, &attribute(name, field(6, &graph(&[w(value)]))));
    let both = [field(4, b"If"), branch("then_branch", 0.1), branch("else_branch", 5.0)].concat();
    let main = [field(1, &both), graph(&[w(2.0), r.clone()])].concat();
    let constant = [field(2, b"W"), field(4, b"Constant"), field(5, &attribute("value", field(5, &w(0.25))))];
    let function = [field(7, &constant.concat()), field(7, &node(&["X", "W", "R"]))].concat();
    let bytes = [field(7, &main), vec![0xCA, 1], field(1, &function)[1..].to_vec()].concat();
    let model = Model::read(&bytes).unwrap();
    let said: Vec<_> = (model.nodes().iter())
        .map(|node| node.run(&model, &x()).map(|outputs| outputs["Y"].values()[0]).map_err(|e| e.to_string()))
        .collect();
    for (got, want) in said[..3].iter().zip([0.1f32, 5.0, 2.0]) {
        assert_abs_diff_eq!(*got.as_ref().unwrap(), want.tanh(), epsilon = 1e-6);
    }
    assert!(said[3].as_ref().unwrap_err().contains("input \"R\": expected an initialiser"), "{:?}", said[3]);
    assert!(matches!(model.value("W"), Ok(Some(Value::Floats(w))) if w.values() == [2.0]));
    let twice = Model::read(&field(7, &graph(&[w(1.0), w(2.0), r])));
    assert!(twice.unwrap_err().to_string().contains("constant \"W\": expected one of this name, got two"));
    let surplus = node(&["X", "W", "R", "", "", "", "Q"]);
    let graph = [field(1, &surplus), field(5, &weights()[0]), field(5, &weights()[1])].concat();
    let error = first_y(&field(7, &graph), &x()).unwrap_err();
    assert!(error.contains("expected at most 6, got another one, \"Q\""), "{error}");
}
