//! Whole models of Keras on their way through `examples/export_keras.py`: names, options and results, and
//! what the script could not export.
//!
//! The files of `tests/golden/keras_files` are as the script writes them, with inputs and results beside,
//! `io/...`.

use approx::assert_abs_diff_eq;
use fused_rnn::format::keras::{self, Layer, Mask};
use fused_rnn::format::{Tensor, Tensors};
use safetensors::SafeTensors;
use std::path::PathBuf;

const EXACT: f32 = 5e-6;

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/keras_files");
    std::fs::read(folder.join(format!("{name}.safetensors"))).expect("a golden file")
}

fn layer(bytes: &[u8], name: &str) -> Layer {
    Layer::from_safetensors(bytes, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn tensor(bytes: &[u8], name: &str) -> Tensor {
    let view = SafeTensors::deserialize(bytes).expect("a file");
    assert_eq!(view.tensor(name).expect("a tensor").dtype(), safetensors::Dtype::F32, "{name}");
    let view = view.tensor(name).unwrap();
    let values = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    Tensor::new(view.shape(), values).unwrap()
}

fn close(name: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{name}");
    for (index, (&a, &b)) in got.values().iter().zip(want.values()).enumerate() {
        assert!((a - b).abs() <= EXACT * b.abs().max(1.0), "{name}[{index}]: {a} for {b}");
    }
}

/// A dense layer of Keras: kernel (I, O).
fn dense(bytes: &[u8], name: &str, x: &Tensor) -> Tensor {
    let (kernel, bias) = (tensor(bytes, &format!("{name}/kernel")), tensor(bytes, &format!("{name}/bias")));
    let &[inputs, outputs] = kernel.shape() else { panic!("{name}: {:?}", kernel.shape()) };
    let row = |x: &[f32]| {
        let sum = |o: usize| (0..inputs).map(|i| x[i] * kernel.values()[i * outputs + o]).sum::<f32>();
        (0..outputs).map(|o| bias.values()[o] + sum(o)).collect::<Vec<_>>()
    };
    let y: Vec<f32> = x.values().chunks_exact(inputs).flat_map(row).collect();
    Tensor::new(&[y.len() / outputs, outputs], y).unwrap()
}

#[test]
fn models_within_a_model() {
    let bytes = file("nested");
    assert_eq!(keras::names(&bytes).unwrap(), ["decoder/rnn", "encoder/rnn"]);
    let (table, ids) = (tensor(&bytes, "words/embeddings"), tensor(&bytes, "io/ids"));
    let width = table.shape()[1];
    let row = |id: &f32| &table.values()[*id as usize * width..][..width];
    let words: Vec<f32> = ids.values().iter().flat_map(row).copied().collect();
    let x = Tensor::new(&[ids.shape()[0], ids.shape()[1], width], words).unwrap();
    let (encoder, decoder) = (layer(&bytes, "encoder/rnn"), layer(&bytes, "decoder/rnn"));
    assert!(encoder.return_sequences() && !decoder.return_sequences());
    // The mask of the words goes on through both models (of which Keras says that they have none).
    let mask: Vec<bool> = ids.values().iter().map(|&id| id != 0.0).collect();
    let h = encoder.run(&x, Mask::Steps(&mask), None).unwrap().y;
    let last = decoder.run(&h, Mask::Steps(&mask), None).unwrap().last;
    let mut y = dense(&bytes, "head", &last).into_values();
    y.iter_mut().for_each(|y| *y = y.max(0.0));
    let want = tensor(&bytes, "io/head");
    close("head", &Tensor::new(want.shape(), y).unwrap(), &want);
    assert!(want.values().iter().any(|&y| y > 0.0));
}

#[test]
fn every_option() {
    let bytes = file("options");
    let x = tensor(&bytes, "io/x");
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let mask: Vec<bool> = all.tensor("io/mask").unwrap().data().iter().map(|&step| step == 1).collect();
    let names = keras::names(&bytes).unwrap();
    let wanted = "apart apart_last cell gelu gru_cell relu6 stateful two within zero zero_last";
    assert_eq!(names.join(" "), wanted);
    // (`within` is in the layer `images`, which runs it for each of many.)
    for name in names.iter().filter(|&name| name != "within") {
        let layer = layer(&bytes, name);
        let mut state = layer.network().zero_state(x.shape()[0]).unwrap();
        for time in ["first", "second"] {
            if !layer.stateful() {
                state.reset();
            }
            let output = layer.run(&x, Mask::Steps(&mask), Some(&mut state)).unwrap();
            let got = if layer.return_sequences() { &output.y } else { &output.last };
            close(name, got, &tensor(&bytes, &format!("io/{name}/{time}")));
        }
    }
    assert!(layer(&bytes, "stateful").run(&x, Mask::None, None).is_err());
    assert_eq!(layer(&bytes, "relu6").network().config().recurrent_dropout(), 0.5);
    assert_eq!(layer(&bytes, "relu6").into_network().config().input_dropout(), 0.25);
    for (name, reason) in [("stacked", "StackedRNNCells"), ("softmax", "softmax"), ("units", "units")] {
        let error = Layer::from_safetensors(&bytes, name).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("layer {name}: expected one that can be computed, got")),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }
    let metadata = Tensors::safetensors_metadata(&bytes).unwrap();
    assert!(metadata["not_exported"].contains("its current state is not exported"));
}

#[test]
fn a_file_of_keras_2() {
    let bytes = file("keras2");
    assert_eq!(keras::names(&bytes).unwrap(), ["both", "inner/rnn", "last", "rnn"]);
    let mut x = tensor(&bytes, "io/x");
    for name in ["rnn", "inner/rnn", "both"] {
        x = layer(&bytes, name).run(&x, Mask::None, None).unwrap().y;
    }
    let last = layer(&bytes, "last").run(&x, Mask::None, None).unwrap().last;
    close("head", &dense(&bytes, "head", &last), &tensor(&bytes, "io/head"));
}

#[test]
fn a_stateful_layer_goes_on_where_it_was() {
    let bytes = file("options");
    let layer = layer(&bytes, "stateful");
    let x = tensor(&bytes, "io/x");
    let &[batch, steps, width] = x.shape() else { panic!("{:?}", x.shape()) };
    let part = |from: usize, to: usize| {
        let row = |row: &[f32]| row[from * width..to * width].to_vec();
        let values = x.values().chunks_exact(steps * width).flat_map(row).collect();
        Tensor::new(&[batch, to - from, width], values).unwrap()
    };
    let mut state = layer.network().zero_state(batch).unwrap();
    let whole = layer.run(&x, Mask::None, Some(&mut state)).unwrap();
    state.reset();
    layer.run(&part(0, 2), Mask::None, Some(&mut state)).unwrap();
    let end = layer.run(&part(2, steps), Mask::None, Some(&mut state)).unwrap();
    assert_eq!((whole.last, whole.h, whole.c), (end.last, end.h, end.c));
}

/// Keras's values for an LSTM of two units with `zero_output_for_mask=True`, the last of three steps masked.
#[test]
fn a_masked_step_of_zeros() {
    let mut arrays = Tensors::new();
    let mut insert = |name: &str, shape: &[usize], values: &[f32]| {
        arrays.insert(name, Tensor::new(shape, values.to_vec()).unwrap());
    };
    let kernel =
        [0.08801115, -0.0924734, 0.44829583, 0.073430076, -0.37496856, 0.25311655, 0.9128, 0.66295666];
    let recurrent = [
        [
            -0.49261466,
            -0.88579506,
            -0.4362921,
            0.028928185,
            -1.6275215,
            -0.15315416,
            -0.87213767,
            -0.51258713,
        ],
        [-0.3809813, -0.22141011, 0.28814137, 0.72975934, -0.08997426, 0.9565244, -0.46563628, 0.24605705],
    ];
    let bias =
        [0.6324291, 0.06580861, -0.52044946, -0.64520776, -0.32040808, 0.15413658, -0.7067327, -0.1464229];
    insert("kernel", &[1, 8], &kernel);
    insert("recurrent_kernel", &[2, 8], recurrent.as_flattened());
    insert("bias", &[8], &bias);
    let layer = Layer::new(arrays, [("layer", "LSTM"), ("zero_output_for_mask", "true")]).unwrap();
    let x = Tensor::new(&[1, 3, 1], vec![-0.15922502, 0.540_845_6, 0.21465912]).unwrap();
    let want = [-0.049091, 0.025753, -0.153534, 0.100607, 0.0, 0.0];
    for mask in [Mask::Lengths(&[2]), Mask::Steps(&[true, true, false])] {
        let output = layer.run(&x, mask, None).unwrap();
        for (got, want) in output.y.values().iter().zip(want) {
            assert_abs_diff_eq!(*got, want, epsilon = 1e-6);
        }
        assert_eq!(output.last.values(), [0.0; 2]);
        assert_eq!(output.h.values()[..], output.y.values()[2..4]);
    }
}
