//! Models of audio plug-ins: files as `tests/golden/generate_audio.py` writes them, with what Keras and
//! PyTorch compute of them; and files that are refused.

use fused_rnn::format::Tensors;
use fused_rnn::stream::{Model, ModelStage, Stream};
use std::path::PathBuf;

/// Largest difference to Keras and PyTorch in float64.
const TOLERANCE: f32 = 2e-6;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/audio")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn files_are_what_keras_and_pytorch_compute() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let model = Model::read(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let golden = std::fs::read(path.with_extension("safetensors")).unwrap();
        let golden = Tensors::from_safetensors(&golden, "").unwrap();
        let (x, want) = (golden.get("x").unwrap(), golden.get("y").unwrap());
        let mut stream = Stream::new(&model, 1, 1.0).unwrap();
        assert_eq!([x.shape()[1], want.shape()[1]], [model.inputs(), model.outputs()], "{name}");
        for _ in 0..2 {
            let mut y = vec![f32::NAN; want.values().len()];
            stream.process(x.values(), &mut y).unwrap();
            for (got, want) in y.iter().zip(want.values()) {
                assert!((got - want).abs() <= TOLERANCE * want.abs().max(1.0), "{name}: {got} for {want}");
            }
            stream.reset();
        }
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn what_stands_beside_the_layers() {
    let rate = |name| Model::read(&file(name)).unwrap().sample_rate();
    assert_eq!(rate("aidax_skip.json"), Some(48e3));
    assert_eq!(rate("rtneural_two_lstms.json"), Some(44100.0));
    assert_eq!(rate("nam_lstm.nam"), Some(48e3));
    assert_eq!(rate("rtneural_lstm.json"), None);
    let model = Model::read(&file("nam_two_layers.nam")).unwrap();
    let ModelStage::Network(network, Some(_)) = &model.stages()[0] else { panic!("{model:?}") };
    assert_eq!((network.config().layers(), model.outputs(), model.stages().len()), (2, 2, 2));
}

#[test]
fn a_state_dict_in_json_is_tensors() {
    let tensors = Tensors::read(&file("guitarml_gru.json"), "rec.").unwrap();
    assert_eq!(tensors.get("weight_ih_l1").unwrap().shape(), [18, 6]);
    assert_eq!(Tensors::from_json(&file("guitarml_gru.json"), "").unwrap().names().count(), 10);
}

fn said(text: &str) -> String {
    match Model::read(text.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(model) => panic!("{text}: {model:?}"),
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let layer = |fields: &str| format!(r#"{{"in_shape": [null, 1], "layers": [{{{fields}}}]}}"#);
    let lstm = |shape: &str, weights: &str| {
        layer(&format!(r#""type": "lstm", "activation": "", "shape": [{shape}], "weights": {weights}"#))
    };
    let nam = |architecture: &str, config: &str, weights: &str| {
        format!(
            "{{\"version\": \"0.5.4\", \"architecture\": \"{architecture}\", \"config\": {config}, \
             \"weights\": {weights}}}"
        )
    };
    let good = "[[[1, 2, 3, 4]], [[1, 2, 3, 4]], [0, 0, 0, 0]]";
    assert!(Model::read(lstm("1", good).as_bytes()).is_ok());
    for (text, expected) in [
        ("", "JSON: expected a valid file, got an empty file"),
        ("text", "JSON: expected a valid file, got an error: expected ident at line 1 column 2"),
        ("[]", "model: expected an object, got a list"),
        ("{}", "(layers), GuitarML (state_dict) or NAM (architecture), got no field"),
        (&lstm("2", good), "shape of layer 0: expected 1 at its end, as the weights have, got 2"),
        (&lstm("1", "[[[1, 2, 3, 4]], [[1, 2, 3, 4]], [0, 0, 0]]"), "bias"),
        (&lstm("1", "[[[1, 2, 3, 4]], [[1, 2, 3]]]"), "weights of layer 0: expected 4 times 1 columns"),
        (
            &lstm("1", "[[[1, 2, 3, 4], [1, 2]], [[1, 2, 3, 4]]]"),
            "weights of layer 0, 0: expected lists of 4 values",
        ),
        (
            &lstm("1", "[[[1, 2, 3, 4]], [[1, 2, 3, null]]]"),
            "weights of layer 0, 1: expected a number, got null",
        ),
        (
            &lstm("1", "[[[1, 2, 3, 4]], [[1, 2, 3, 1e39]]]"),
            "weights of layer 0, 1: expected a number within the range of f32",
        ),
        (&lstm("1", "[]"), "weights of layer 0: expected 2 to 3 arrays, got 0"),
        (
            &layer(r#""type": "conv1d", "shape": [1], "weights": []"#),
            "type of layer 0: expected lstm, gru, dense",
        ),
        (
            &layer(r#""type": "dense", "shape": [1], "weights": [[[1]]], "groups": 1"#),
            "layer 0: expected only type, activation",
        ),
        (
            &layer(r#""type": "dense", "activation": "softmax", "shape": [1], "weights": [[[1]]]"#),
            "activation of layer 0: expected tanh, relu",
        ),
        (
            r#"{"in_shape": [1], "layers": [ONE], "in_skip": 2}"#,
            "in_skip of model: expected 0 or 1, got a number",
        ),
        (
            r#"{"in_shape": [1], "layers": [ONE], "in_gain": "1"}"#,
            "in_gain of model: expected a number, got a string",
        ),
        (r#"{"in_shape": [], "layers": []}"#, "in_shape of model: expected the number of inputs"),
        (
            r#"{"in_shape": [1], "layers": [TWO], "in_skip": 1}"#,
            "in_skip of model: expected a model of one output, got 2 outputs",
        ),
        (
            r#"{"in_shape": [1000000000], "layers": []}"#,
            "layers of model: expected a layer with weights, got none",
        ),
        (
            r#"{"in_shape": [1], "layers": [ONE], "metadata": {"samplerate": "fast"}}"#,
            "samplerate of metadata: expected a positive number",
        ),
        (
            r#"{"in_shape": [1], "layers": [ONE], "metadata": {"samplerate": -1}}"#,
            "samplerate of metadata: expected a positive number",
        ),
        (&nam("WaveNet", "{}", "[]"), "architecture of model: expected LSTM: convolutions"),
        (
            &nam("LSTM", r#"{"input_size": 1, "hidden_size": 3, "num_layers": 1}"#, "[1]"),
            "weights of model: expected 70, got 1",
        ),
        (
            &nam("LSTM", r#"{"input_size": 1, "hidden_size": 3, "num_layers": 0}"#, "[1]"),
            "num_layers of config of model: expected a size",
        ),
        (
            &nam(
                "LSTM",
                r#"{"input_size": 4294967295, "hidden_size": 4294967295, "num_layers": 4294967295}"#,
                "[1]",
            ),
            "weights of model: expected",
        ),
        (
            &nam(
                "LSTM",
                r#"{"input_size": 1, "hidden_size": 3, "num_layers": 1, "bidirectional": true}"#,
                "[]",
            ),
            "config of model: expected only",
        ),
        (
            r#"{"version": "1.0.0", "architecture": "LSTM"}"#,
            "version of model: expected 0.5, 0.6 or 0.7, got 1.0.0",
        ),
        (
            r#"{"model_data": {"model": "GRU"}, "state_dict": {}}"#,
            "model of model_data of model: expected SimpleRNN, got GRU",
        ),
        (r#"{"state_dict": {}}"#, "model_data of model: expected a value, got none"),
    ] {
        let dense = |units: &str, weights: &str| {
            format!(r#"{{"type": "dense", "shape": [{units}], "weights": [[[{weights}]]]}}"#)
        };
        let text = text.replace("ONE", &dense("1", "1")).replace("TWO", &dense("2", "1, 2"));
        let got = said(&text);
        assert!(got.contains(expected), "{text}\n{got}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(said(&deep).starts_with("JSON: expected a valid file"));
}

/// Files cut anywhere, and with any one byte changed, give errors or models that run.
#[test]
fn damaged_files_are_errors_or_models() {
    for name in ["aidax_skip.json", "guitarml_lstm.json", "nam_lstm.nam"] {
        let whole = file(name);
        for end in (0..whole.len()).step_by(97) {
            assert!(Model::read(&whole[..end]).is_err(), "{name} cut at {end}");
        }
        for at in (0..whole.len()).step_by(211) {
            for byte in [b'0', b'9', b'[', b']', b'"', b'-', b'e', 0xFF] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let Ok(model) = Model::read(&damaged) else { continue };
                let mut stream = Stream::new(&model, 1, 1.0).unwrap();
                let (x, mut y) = (vec![0.1; 3 * model.inputs()], vec![0.0; 3 * model.outputs()]);
                stream.process(&x, &mut y).unwrap();
            }
        }
    }
}
