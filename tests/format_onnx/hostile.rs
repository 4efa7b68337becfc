//! Bytes that are no model, and models that ask for what no file has reason for: errors, without much time or
//! memory.

use super::writer::{attribute, field, int, integers, model, node, rnn, tensor};
use super::{golden, names, tensors};
use fused_rnn::format::Tensor;
use fused_rnn::format::onnx::{Model, Value, read_tensor};
use std::collections::BTreeMap;

#[test]
fn hostile_bytes_are_errors() {
    let attempt = |bytes: &[u8], inputs: &BTreeMap<String, Value>| {
        if let Ok(model) = Model::read(bytes) {
            for node in model.nodes() {
                _ = node.run(&model, inputs);
            }
        }
        _ = read_tensor(bytes);
    };
    for name in names("onnx_node") {
        let test = golden("onnx_node").join(name);
        let bytes = std::fs::read(test.join("model.onnx")).unwrap();
        let model = Model::read(&bytes).unwrap();
        let inputs = tensors(&test, "input", model.inputs());
        for end in 0..bytes.len() {
            attempt(&bytes[..end], &inputs);
        }
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF, bytes[place] ^ 1] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                attempt(&bytes, &inputs);
            }
        }
    }
    // A size that no memory has, with no values and with few; and messages within messages without end.
    let huge: Vec<u8> = [vec![8], vec![0xFF; 8], vec![0x7F]].concat();
    let said = read_tensor(&[huge.clone(), huge, int(2, 1), field(9, &[0; 4])].concat());
    assert!(said.unwrap_err().to_string().contains("as many values"));
    let nested = (0..2000).fold(Vec::new(), |inner, _| field(5, &field(6, &field(1, &inner))));
    assert!(Model::read(&field(7, &field(1, &nested))).is_err());
    assert!(Model::read(&[]).is_err());
}

/// The same of models whose other nodes make the constants: whatever a byte becomes, all that can be asked is
/// a value or an error.
#[test]
fn hostile_nodes_are_errors() {
    let nothing = BTreeMap::new();
    let ask_all = |bytes: &[u8], inputs: &BTreeMap<String, Value>| {
        let Ok(model) = Model::read(bytes) else { return };
        _ = (model.warnings(), model.reassembled(&nothing), model.chains(&nothing), model.run(inputs));
        for place in model.places() {
            let made = model.other_nodes();
            let made = made.iter().flat_map(|node| node.outputs());
            for name in model.value_names_in(&place).into_iter().chain(made.map(String::as_str)) {
                _ = model.value_in(&place, name);
            }
        }
    };
    let kinds =
        ["weights_", "state", "zeros", "learned", "lengths", "if_", "chain", "not_a_chain", "dynamic"];
    let mut count = 0;
    for name in names("onnx_cases").iter().filter(|name| kinds.iter().any(|kind| name.starts_with(kind))) {
        let test = golden("onnx_cases").join(name);
        let bytes = std::fs::read(test.join("model.onnx")).unwrap();
        let inputs = tensors(&test, "input", Model::read(&bytes).unwrap().inputs());
        ask_all(&bytes, &inputs);
        for place in (0..bytes.len()).step_by(1 + bytes.len() / 100) {
            for value in [0, 0xFF, bytes[place] ^ 1] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                ask_all(&bytes, &inputs);
                count += 1;
            }
        }
    }
    assert!(count > 3000, "only {count}");
}

/// What `Model::value` says of "Z".
fn said(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> String {
    let model = Model::read(&model(nodes, tensors)).unwrap();
    match model.value("Z") {
        Ok(value) => panic!("expected an error, got {value:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn arrays_larger_than_a_file_has_reason_for() {
    let huge = integers("huge", &[2], &[1 << 30, 1 << 30]);
    let one = tensor("one", &[1], &[1.0]);
    let more = "constants: expected no more elements than the file has reason for, got more";
    let of_shape = node("ConstantOfShape", "n", &["huge"], &["Z"], &[]);
    assert_eq!(said(&[of_shape], std::slice::from_ref(&huge)), more);
    let expand = node("Expand", "n", &["one", "huge"], &["Z"], &[]);
    assert_eq!(said(&[expand], &[one.clone(), huge.clone()]), more);
    let tile = node("Tile", "n", &["row", "huge"], &["Z"], &[]);
    assert_eq!(said(&[tile], &[tensor("row", &[1, 1], &[1.0]), huge.clone()]), more);
    let range = node("Range", "n", &["from", "to", "by"], &["Z"], &[]);
    let ends =
        [integers("from", &[], &[0]), integers("to", &[], &[i64::MAX / 16384]), integers("by", &[], &[1])];
    assert_eq!(said(&[range], &ends), more);
    // By doubling: sixty nodes that each join two of the one before.
    let mut doubled = vec![node("Identity", "0", &["one"], &["d0"], &[])];
    for k in 1..=60 {
        let (from, to) = (format!("d{}", k - 1), if k == 60 { "Z".to_owned() } else { format!("d{k}") });
        let axis = attribute("axis", int(3, 0));
        doubled.push(node("Concat", "c", &[&from, &from], &[&to], &[axis]));
    }
    assert_eq!(said(&doubled, &[one]), more);
    // Shapes that overflow, and negative ones.
    let shape = |values: &[i64]| {
        let nodes = [node("ConstantOfShape", "n", &["s"], &["Z"], &[])];
        said(&nodes, &[integers("s", &[values.len() as u8], values)])
    };
    assert_eq!(shape(&[i64::MAX, i64::MAX]), more);
    assert_eq!(shape(&[1; 100]), more);
    assert!(shape(&[-1]).ends_with("expected sizes from 0, got -1"));
}

/// Functions that call each other twice, or themselves: sixteen calls deep at most, and not much longer than
/// the file.
#[test]
fn functions_without_end() {
    let function = |name: &str, nodes: &[Vec<u8>]| {
        let nodes = nodes.iter().flat_map(|node| field(7, node));
        let body: Vec<u8> =
            field(1, name.as_bytes()).into_iter().chain(field(4, b"x")).chain(field(5, b"y")).collect();
        let function: Vec<u8> = body.into_iter().chain(nodes).chain(field(10, b"own")).collect();
        // (Field 25 takes two bytes.)
        [vec![0xCA, 1], field(1, &function)[1..].to_vec()].concat()
    };
    let call =
        |name: &str, from: &str, to: &str| [node(name, "", &[from], &[to], &[]), field(7, b"own")].concat();
    let main = model(&[call("f0", "X", "Z")], &[]);
    let own = function("f0", &[call("f0", "x", "y")]);
    let model = Model::read(&[main.clone(), own].concat()).unwrap();
    assert_eq!(model.other_nodes().len(), 1);
    assert_eq!(model.value("Z"), Ok(None));
    let twice = |k: usize| {
        let next = format!("f{}", (k + 1) % 16);
        function(&format!("f{k}"), &[call(&next, "x", "m"), call(&next, "m", "y")])
    };
    let all: Vec<u8> = (0..16).flat_map(twice).collect();
    let count = Model::read(&[main.clone(), all].concat()).unwrap().other_nodes().len();
    assert!((100..2000).contains(&count), "{count} nodes");
    // One whose output is its input, and a call whose input is its output.
    let identity = function("f0", &[]);
    let model =
        Model::read(&[super::writer::model(&[call("f0", "Z", "Z")], &[]), identity].concat()).unwrap();
    assert_eq!(model.value("Z"), Ok(None));
}

#[test]
fn names_that_need_themselves() {
    let cycle = [node("Identity", "a", &["Y"], &["Z"], &[]), node("Neg", "b", &["Z"], &["Y"], &[])];
    assert_eq!(said(&cycle, &[]), "constant \"Z\": expected one that does not need itself, got a cycle");
    let own = [node("Add", "a", &["Z", "Z"], &["Z"], &[])];
    assert_eq!(said(&own, &[]), "constant \"Z\": expected one that does not need itself, got a cycle");
    // A branch whose value is the `If` that it stands in.
    let branch =
        [field(1, &node("Identity", "i", &["Z"], &["inner"], &[])), field(12, &field(1, b"inner"))].concat();
    let both = ["then_branch", "else_branch"].map(|name| attribute(name, field(6, &branch)));
    let nodes = [node("If", "if", &["flag"], &["Z"], &both)];
    assert!(said(&nodes, &[integers("flag", &[], &[1])]).ends_with("got a cycle"));
}

#[test]
fn a_long_chain_is_followed_and_each_node_once() {
    // A hundred thousand nodes, each of which asks for the one before twice.
    let mut nodes = vec![node("Identity", "", &["one"], &["n0"], &[])];
    nodes.extend((1..100_000).map(|k| {
        let (from, to) = (format!("n{}", k - 1), format!("n{k}"));
        node("Min", "", &[&from, &from], &[&to], &[])
    }));
    nodes.push(node("Identity", "", &["n99999"], &["Z"], &[]));
    let model = Model::read(&model(&nodes, &[tensor("one", &[1], &[1.0])])).unwrap();
    assert_eq!(model.value("Z").unwrap(), Some(Value::Floats(Tensor::new(&[1], vec![1.0]).unwrap())));
}

#[test]
fn nodes_that_are_wrong_are_named() {
    let row = || tensor("a", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let of = |op: &str, more: &[i64], attributes: &[Vec<u8>]| {
        let inputs: &[&str] = if more.is_empty() { &["a"] } else { &["a", "k"] };
        let nodes = [node(op, "n", inputs, &["Z"], attributes)];
        said(&nodes, &[row(), integers("k", &[more.len() as u8], more)])
    };
    let perm = |values: &[u8]| attribute("perm", values.iter().flat_map(|&axis| int(8, axis)).collect());
    for (got, want) in [
        (of("Transpose", &[], &[perm(&[0])]), "Transpose \"n\", attribute perm: expected 2 axes, got 1"),
        (of("Transpose", &[], &[perm(&[1, 1])]), "Transpose \"n\", axes: expected each axis once, got 1"),
        (of("Transpose", &[], &[perm(&[0, 7])]), "Transpose \"n\", axis: expected one of 2 axes, got 7"),
        (of("Reshape", &[4, -1], &[]), "Reshape \"n\", shape: expected sizes of 6 elements, got [4, -1]"),
        (of("Reshape", &[-1, -1], &[]), "Reshape \"n\", shape: expected sizes of 6 elements, got [-1, -1]"),
        (
            of("Reshape", &[5], &[]),
            "Reshape \"n\", output: expected a shape of as many elements as there are, got another",
        ),
        (of("Squeeze", &[0], &[]), "Squeeze \"n\", output"),
        (of("Unsqueeze", &[9], &[]), "Unsqueeze \"n\", axis: expected one of 3 axes, got 9"),
        (of("Gather", &[2], &[]), "Gather \"n\", indices: expected integers below 2, got 2"),
        (of("Gather", &[i64::MIN], &[]), "Gather \"n\", indices: expected integers below 2"),
        (of("Slice", &[0], &[]), "Slice \"n\", ends: expected integers, got none"),
        (of("Split", &[1, 2], &[]), "Split \"n\", split: expected sizes of 2 in all, got [1, 2]"),
        (
            of("Expand", &[4, 3], &[]),
            "Expand \"n\", shape: expected one that [2, 3] can be repeated to, got [4, 3]",
        ),
        (
            of("Cast", &[], &[attribute("to", int(3, 8))]),
            "Cast \"n\", attribute to: expected a type of numbers, got type 8",
        ),
        (
            of("Add", &[1, 2, 3], &[]),
            "Add \"n\", inputs: expected numbers of one type, got Float and Integer(64, true)",
        ),
        (
            of("Concat", &[1], &[attribute("axis", int(3, 0))]),
            "Concat \"n\", inputs: expected arrays of one type",
        ),
        (of("Flatten", &[], &[attribute("axis", int(3, 3))]), "Flatten \"n\", axis"),
        (of("Not", &[], &[]), "Not \"n\", inputs: expected numbers that it is defined for, got Float"),
    ] {
        assert!(got.starts_with(want), "{got:?} for {want:?}");
    }
    let zero = [node("Div", "n", &["k", "z"], &["Z"], &[])];
    let said = said(&zero, &[integers("k", &[1], &[1]), integers("z", &[1], &[0])]);
    assert!(said.starts_with("Div \"n\", inputs: expected numbers that it is defined for"), "{said}");
}

/// Other files are read from the model's folder alone.
#[test]
fn paths_out_of_the_folder() {
    let place = std::env::temp_dir().join(format!("fused-rnn-onnx-{}", std::process::id()));
    let inner = place.join("model");
    std::fs::create_dir_all(inner.join("deeper")).unwrap();
    let values: Vec<u8> = [0.5f32, 0.25].iter().flat_map(|value| value.to_le_bytes()).collect();
    for file in [place.join("secret.bin"), inner.join("r.bin"), inner.join("deeper/r.bin")] {
        std::fs::write(file, &values).unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.join("secret.bin"), inner.join("link.bin")).unwrap();
    // Whoever opens a pipe waits for a writer.
    #[cfg(unix)]
    assert!(std::process::Command::new("mkfifo").arg(inner.join("pipe.bin")).status().unwrap().success());
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let w = tensor("W", &[1, 1, 1], &[0.5]);
    let read = |entries: &[(&str, &str)]| {
        let bare: Vec<u8> = [int(1, 1), int(1, 1), int(1, 1), int(2, 1), field(8, b"R"), int(14, 1)].concat();
        let entries = entries.iter().flat_map(|(key, value)| entry(key, value));
        let r: Vec<u8> = bare.into_iter().chain(entries).collect();
        let path = inner.join("model.onnx");
        std::fs::write(&path, rnn(&[], &[w.clone(), r])).unwrap();
        let value = Model::open(&path).unwrap().value("R").map_err(|error| error.to_string())?;
        match value {
            Some(Value::Floats(r)) => Ok(r.values()[0]),
            other => Err(format!("{other:?}")),
        }
    };
    assert_eq!(read(&[("location", "r.bin"), ("length", "4")]), Ok(0.5));
    assert_eq!(read(&[("location", "./deeper/r.bin"), ("offset", "4")]), Ok(0.25));
    let secret = place.join("secret.bin");
    for (location, expected) in [
        ("../secret.bin", "expected a file in the folder of the model"),
        ("deeper/../../secret.bin", "expected a file in the folder of the model"),
        (secret.to_str().unwrap(), "expected a file in the folder of the model"),
        ("", "expected a file in the folder of the model"),
        (".", "expected a file in the folder of the model"),
        ("deeper", "expected a file in the folder of the model"),
        #[cfg(unix)]
        ("link.bin", "expected a file in the folder of the model"),
        #[cfg(unix)]
        ("pipe.bin", "expected a file in the folder of the model"),
        ("absent.bin", "expected a file that can be read"),
    ] {
        let said = read(&[("location", location)]).unwrap_err();
        assert!(said.starts_with("tensor \"R\": ") && said.contains(expected), "{said:?} for {location:?}");
    }
    for (key, value, expected) in [
        ("length", "8", "expected 4 bytes, got length 8"),
        ("offset", "5", "expected 4 bytes from 5 on, got a file of 8 bytes"),
        ("offset", "18446744073709551615", "got a file of 8 bytes"),
        ("offset", "-1", "offset: expected a number of bytes, got -1"),
    ] {
        let said = read(&[("location", "r.bin"), (key, value)]).unwrap_err();
        assert!(said.contains(expected), "{said:?} for {expected:?}");
    }
    std::fs::remove_dir_all(place).unwrap();
}

/// What takes much memory for few bytes: a state that many nodes begin with, an array that is many outputs,
/// and lengths of rows that have no steps.
#[test]
fn copies_without_end() {
    let more = "constants: expected no more elements than the file has reason for, got more";
    let large = tensor("h", &[100, 100, 20], &[0.5; 200_000]);
    let [w, r] = ["W", "R"].map(|name| tensor(name, &[1, 1, 1], &[0.5]));
    let names: Vec<String> = (0..300).map(|n| format!("y{n}")).collect();
    let layers = names.iter().map(|y| node("RNN", "", &["X", "W", "R", "", "", "h"], &[y], &[]));
    let layers: Vec<Vec<u8>> = layers.collect();
    let model_of = |nodes: &[Vec<u8>], tensors: &[Vec<u8>]| Model::read(&model(nodes, tensors)).unwrap();
    let chains = model_of(&layers, &[w.clone(), r.clone(), large.clone()]).chains(&BTreeMap::new());
    assert_eq!(chains.unwrap_err().to_string(), more);

    let nodes = names.iter().flat_map(|y| field(1, &node("Identity", "", &["h"], &[y], &[])));
    let outputs = names.iter().flat_map(|y| field(12, &field(1, y.as_bytes())));
    let graph: Vec<u8> = nodes.chain(field(5, &large)).chain(outputs).collect();
    let all = Model::read(&field(7, &graph)).unwrap().run(&BTreeMap::new());
    assert_eq!(all.unwrap_err().to_string(), more);

    // A node with a long name and many outputs, of each of which it is said why it is not known.
    let many: Vec<&str> = names.iter().map(String::as_str).collect();
    let nodes =
        [node("Other", &"n".repeat(1_000_000), &[], &many, &[]), node("Concat", "", &many, &["Z"], &[])];
    let graph: Vec<u8> =
        nodes.iter().flat_map(|node| field(1, node)).chain(field(12, &field(1, b"Z"))).collect();
    let unknown = Model::read(&field(7, &graph)).unwrap().run(&BTreeMap::new()).unwrap_err().to_string();
    assert!(unknown.contains("the output of Other \"nnn") && unknown.len() < 1000, "{} bytes", unknown.len());

    // X (0, 2^40, 1), and the same length for as many rows.
    let x =
        [&[8, 0, 8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 8, 1, 16, 1][..], &field(8, b"X"), &field(9, &[])];
    let nodes = [
        node("ConstantOfShape", "", &["of_nothing"], &["L"], &[]),
        node("RNN", "", &["X", "W", "R", "", "L"], &["Y"], &[]),
    ];
    let empty = model_of(&nodes, &[w, r, x.concat()]);
    assert_eq!(empty.nodes()[0].run(&empty, &BTreeMap::new()).unwrap_err().to_string(), more);
}

/// What takes as long as the square of a file, if nothing limits it: names and numbers that are looked at
/// again and again.
#[test]
fn much_that_is_looked_at_often() {
    let more = "constants: expected no more elements than the file has reason for, got more";
    let many: Vec<String> = (0..20_000).map(|n| format!("o{n:x}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let along = [attribute("axis", int(3, 0))];
    let joined = node("Concat", "", &many, &["Z"], &along);
    let ones = |name: &str| integers(name, &[100, 100, 20], &[1; 200_000]);

    // A split into many parts, of which each looks at the sizes of all; and one with many inputs.
    let all: Vec<u8> = [vec![8, 0xA0, 0x9C, 1], int(2, 1), field(8, b"all"), field(9, &[0; 80_000])].concat();
    let mut inputs = vec!["all"];
    for count in [1, 20_000] {
        inputs.resize(count, "");
        let split = node("Split", "", &inputs, &many, &[]);
        assert_eq!(said(&[split, joined.clone()], std::slice::from_ref(&all)), more, "{count} inputs");
    }
    // One that has not so many outputs.
    let neg = node("Neg", "", &["a"; 20_000], &many, &[]);
    let others = Model::read(&model(&[neg, joined.clone()], &[tensor("a", &[1], &[1.0])])).unwrap();
    assert_eq!(others.value("Z"), Ok(None));

    // A large constant of one number, in a shape that nothing makes; and two that may be the same.
    let reshaped = many.iter().map(|name| node("Reshape", "", &["ones", "shape"], &[name], &[]));
    let nodes: Vec<Vec<u8>> = reshaped.chain([joined.clone()]).collect();
    assert_eq!(said(&nodes, &[ones("ones")]), more);
    let branch = |name: &str| field(12, &field(1, name.as_bytes())).repeat(many.len());
    let both = [("then_branch", "a"), ("else_branch", "b")];
    let both = both.map(|(when, name)| attribute(when, field(6, &branch(name))));
    let either = node("If", "", &["flag"], &many, &both);
    assert_eq!(said(&[either, joined], &[ones("a"), ones("b")]), more);

    // More axes than there are, on the way from one layer to the next.
    let layer = |x: &str, y: &str| node("RNN", "", &[x, "W", "R"], &[y], &[]);
    let axes = attribute("axes", field(8, &[7; 200_000]));
    let nodes = [layer("X", "Y"), node("Unsqueeze", "", &["Y"], &["U"], &[axes]), layer("U", "Z")];
    let [w, r] = ["W", "R"].map(|name| tensor(name, &[1, 1, 1], &[0.5]));
    let layers = Model::read(&model(&nodes, &[w, r])).unwrap();
    assert_eq!(layers.chains(&BTreeMap::new()).unwrap().len(), 2);
}
