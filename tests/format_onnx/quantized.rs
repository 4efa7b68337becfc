//! Weights that are bytes, with ONNX Runtime's results (`tests/golden/generate_onnx_quantized.py`): the layer
//! has the same integers where a signed byte has them, and no larger error than ONNX Runtime.

use super::{golden, names, tensors};
use fused_rnn::format::onnx::{Inputs, Model, Value};
use fused_rnn::format::{Tensor, state_dict};
use fused_rnn::{CellKind, Precision};
use std::collections::BTreeMap;

/// The outputs of the only node of a model, in its precision and in another.
fn run(model: &Model, x: &Tensor, precision: Option<Precision>) -> (Precision, Vec<f32>) {
    let node = model.nodes()[0].with_weights(model, &BTreeMap::new()).unwrap();
    let node = precision.map_or(Ok(node.clone()), |precision| node.in_precision(precision)).unwrap();
    let inputs = Inputs { x, sequence_lens: None, initial_h: None, initial_c: None };
    let precision = node.layer().config().precision();
    (precision, node.run(&inputs).unwrap().y.into_values())
}

/// The root mean square of a difference, and the largest.
fn apart(a: &[f32], b: &[f32]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    let (squares, most) = differences.fold((0.0, 0.0f64), |(sum, most), d| (sum + d * d, most.max(d)));
    ((squares / a.len() as f64).sqrt(), most)
}

fn floats(value: &Value) -> &Tensor {
    let Value::Floats(tensor) = value else { panic!("{value:?}") };
    tensor
}

#[test]
fn bytes_are_multiplied_as_onnx_runtime_does_and_no_worse() {
    let all = names("onnx_quantized");
    assert!(all.len() >= 8);
    for name in all {
        let folder = golden("onnx_quantized").join(&name);
        let model = Model::open(folder.join("model.onnx")).unwrap();
        let inputs = tensors(&folder, "input", model.inputs());
        let x = floats(inputs.values().next().unwrap());
        let outputs = tensors(&folder, "output", model.outputs());
        let theirs = floats(&outputs[&model.outputs()[0]]).values();
        // Both of a network of two layers, or of a node.
        let (precision, ours, exact) = if name == "two_nodes" {
            let network = model.chains(&BTreeMap::new()).unwrap().remove(0).into_network();
            let (precision, dims) = (network.config().precision(), fused_rnn::Dims::new(3, 12));
            let exact = network.in_precision(Precision::F32).unwrap().run(x.values(), dims).unwrap().y;
            (precision, network.run(x.values(), dims).unwrap().y, exact)
        } else {
            let (precision, ours) = run(&model, x, None);
            (precision, ours, run(&model, x, Some(Precision::F32)).1)
        };
        // 255 less 120 is no signed byte.
        let fits = name != "other_zero_point";
        assert_eq!(precision, if fits { Precision::Int8 } else { Precision::F32 }, "{name}");
        let (of_theirs, of_ours) = (apart(theirs, &exact), apart(&ours, &exact));
        assert!(of_theirs.1 < 2e-2 && of_ours.1 < 1e-2, "{name}: {of_theirs:?} and {of_ours:?}");
        assert!(of_ours.0 <= of_theirs.0, "{name}: {of_ours:?} for {of_theirs:?}");
        assert!((of_ours.1 > 1e-4) == fits, "{name}: {of_ours:?}");
        // Of the whole model by names too.
        let y = &model.run(&inputs).unwrap()[&model.outputs()[0]];
        assert_eq!(floats(y).values().len(), theirs.len());
    }
}

/// The weights in f32 are what the bytes say, and a network of bytes that is made of them anew has the same
/// integers: its results are the same bits.
#[test]
fn integers_are_kept() {
    for name in ["tensor", "rows_bidirectional", "unsigned_reverse", "small_zero_point"] {
        let model = Model::open(golden("onnx_quantized").join(name).join("model.onnx")).unwrap();
        let layer = model.nodes()[0].with_weights(&model, &BTreeMap::new()).unwrap().into_layer();
        for tensor in layer.named_parameters().filter(|tensor| tensor.name.starts_with("weight")) {
            let columns = tensor.shape[1];
            for row in tensor.values.chunks(columns) {
                // Integers times one number: each value is a multiple of the smallest difference.
                let least = row.iter().map(|v| v.abs()).filter(|&v| v > 0.0).fold(f32::MAX, f32::min);
                let most = row.iter().fold(0.0f32, |most, v| most.max(v.abs()));
                assert!(most / least <= 128.0, "{name}, {}: {most} and {least}", tensor.name);
            }
        }
        let again = layer.in_precision(Precision::F32).unwrap().in_precision(Precision::Int8).unwrap();
        let kept = layer.in_precision(Precision::Int8).unwrap();
        let x: Vec<f32> = (0..5 * 16).map(|n| (n * 37 % 64) as f32 / 32.0 - 1.0).collect();
        let y = |layer: &fused_rnn::Recurrent| layer.run(&x, fused_rnn::Dims::new(1, 5)).unwrap().y;
        assert_eq!(y(&layer), y(&kept), "{name}");
        assert_ne!(y(&layer), y(&again), "{name}: scales of its own are others");
        // Saved and read again, as integers.
        let file = state_dict::save(&layer).unwrap();
        assert!(file.raw("weight_ih_l0").is_some() || file.raw("weight_ih_l0_reverse").is_some(), "{name}");
        let builder = state_dict::builder(&file, CellKind::Lstm).unwrap().precision(Precision::Int8);
        let mut read = builder.build().unwrap();
        state_dict::load(file, &mut read).unwrap();
        assert_eq!(read.parameters(), layer.parameters(), "{name}");
        assert_eq!(y(&read), y(&layer), "{name}");
    }
}

/// Scales that a file may have: what no weight can have is an error, what a byte cannot have a layer of f32.
#[test]
fn hostile_scales_of_nodes() {
    let bytes = std::fs::read(golden("onnx_quantized").join("tensor/model.onnx")).unwrap();
    let model = Model::read(&bytes).unwrap();
    for name in ["Ws", "Rs"] {
        let own = floats(&model.value(name).unwrap().unwrap()).values()[0];
        let places: Vec<usize> =
            (0..bytes.len() - 3).filter(|&place| bytes[place..place + 4] == own.to_le_bytes()).collect();
        let &[place] = &places[..] else { panic!("{name}: {places:?}") };
        let layer = |scale: f32| {
            let mut bytes = bytes.clone();
            bytes[place..place + 4].copy_from_slice(&scale.to_le_bytes());
            let model = Model::read(&bytes).unwrap();
            let node = model.nodes()[0].with_weights(&model, &BTreeMap::new())?;
            Ok::<_, fused_rnn::Error>(node.into_layer())
        };
        for scale in [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-45] {
            let said = layer(scale).unwrap_err().to_string();
            assert!(said.contains("the scale of weights"), "{name}, {scale}: {said}");
        }
        for (scale, want) in [
            (-own, Precision::F32),
            (2e30, Precision::F32),
            (1e-32, Precision::F32),
            (1e30, Precision::Int8),
            (2e-30, Precision::Int8),
        ] {
            let layer = layer(scale).unwrap();
            assert_eq!(layer.config().precision(), want, "{name}, {scale}");
            let parameters = layer.parameters();
            assert!(parameters.iter().all(|value| value.is_finite()), "{name}, {scale}");
            let largest = parameters.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            assert!(largest >= scale.abs(), "{name}, {scale}: {largest}");
        }
    }
}
