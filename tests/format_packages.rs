//! Weights of published models, from the folder that `FUSED_RNN_PACKAGES` names:
//! `tests/golden/pt/packages.py` says how to make it. Without it the test says so and checks nothing.

use fused_rnn::format::{Arrays, Biases, Form, Gate, Orientation, Tensors, state_dict};
use fused_rnn::{Activation, CellKind, Dims, Gru, Recurrent, Rng};
use std::path::{Path, PathBuf};

fn folder() -> Option<PathBuf> {
    // (From where `cargo test` is called, as a rule.)
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("FUSED_RNN_PACKAGES").map(|folder| root.join(folder));
    if folder.is_none() {
        println!("skipped: FUSED_RNN_PACKAGES is not set");
    }
    folder
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compare(folder: &Path, name: &str, network: &Recurrent) {
    let expected = Tensors::from_safetensors(&read(folder, "expected.safetensors"), "").unwrap();
    let (x, y) = (expected.get(&format!("{name}.x")).unwrap(), expected.get(&format!("{name}.y")).unwrap());
    let got = network.run(x.values(), Dims::new(1, x.shape()[1])).unwrap().y;
    assert_eq!(got.len(), y.values().len());
    let worst = got.iter().zip(y.values()).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
    println!("{name}: largest difference {worst:.1e}");
    assert!(worst < 5e-6, "{name}: {worst:e}");
}

/// A GRU each for letters and for sounds, in NumPy's arrays with names of their own.
#[test]
fn g2p_en() {
    let Some(folder) = folder() else { return };
    let bytes = read(&folder, "checkpoint20.npz");
    for (prefix, name) in [("enc_", "enc"), ("dec_", "dec")] {
        let mut tensors = Tensors::from_npz(&bytes, prefix).unwrap();
        for (theirs, ours) in [
            ("w_ih", "weight_ih_l0"),
            ("w_hh", "weight_hh_l0"),
            ("b_ih", "bias_ih_l0"),
            ("b_hh", "bias_hh_l0"),
        ] {
            tensors.rename(theirs, ours).unwrap();
        }
        let kind = state_dict::describe(&tensors).unwrap().kind();
        assert_eq!(kind, Some(CellKind::GruResetAfter));
        let mut gru = state_dict::builder(&tensors, CellKind::GruResetAfter).unwrap().build().unwrap();
        state_dict::load(tensors, &mut gru).unwrap();
        compare(&folder, name, &gru);
    }
}

/// Three layers of an LSTM, in a checkpoint with its optimiser.
#[test]
fn resemblyzer() {
    let Some(folder) = folder() else { return };
    let file = Tensors::read(&read(&folder, "pretrained.pt"), "lstm.").unwrap();
    let module = state_dict::describe(&file).unwrap();
    assert_eq!((module.kind(), module.layers, module.hidden_size), (Some(CellKind::Lstm), 3, 256));
    compare(&folder, "lstm", &module.network(&file, CellKind::Lstm).unwrap());
}

/// A layer of RNNoise's file: `inputs, units, activation`, then bytes with a sign, 256 of which are 1. Of a
/// GRU they are (I, 3 H), (H, 3 H) and (3 H), gates in the order z r h; of a dense layer (I, H) and (H).
struct Bytes<'a> {
    inputs: usize,
    units: usize,
    arrays: [&'a [u8]; 3],
}

fn layer<'a>(file: &mut &'a [u8], gates: usize, is_gru: bool) -> Bytes<'a> {
    let (inputs, units, activation) = (usize::from(file[0]), usize::from(file[1]), file[2]);
    assert!(!is_gru || activation == 2, "a rectifier");
    *file = &file[3..];
    let mut take = |count: usize| {
        let (array, rest) = file.split_at(count * gates * units);
        *file = rest;
        array
    };
    let arrays = [take(inputs), take(if is_gru { units } else { 0 }), take(1)];
    Bytes { inputs, units, arrays }
}

/// The three GRUs of RNNoise, whose candidate is a rectifier: beside its equations, in f64.
#[test]
fn rnnoise() {
    let Some(folder) = folder() else { return };
    let Ok(bytes) = std::fs::read(folder.join("weights.rnn")) else {
        println!("skipped: there is no weights.rnn");
        return;
    };
    let mut file = &bytes[..];
    layer(&mut file, 1, false);
    let grus = ["vad", "noise", "denoise"].map(|name| (name, layer(&mut file, 3, true)));
    layer(&mut file, 1, false);
    layer(&mut file, 1, false);
    assert!(file.is_empty(), "all of the file is read");
    assert_eq!(grus.each_ref().map(|(_, gru)| gru.units), [24, 48, 96]);

    let form = Form::new(CellKind::GruResetBefore)
        .order(&[Gate::Update, Gate::Reset, Gate::New])
        .orientation(Orientation::Columns)
        .biases(Biases::Input)
        .scale(1.0 / 256.0);
    for (name, Bytes { inputs, units, arrays }) in grus {
        let [input, recurrent, bias] =
            arrays.map(|bytes| bytes.iter().map(|&byte| f32::from(byte as i8)).collect::<Vec<f32>>());
        let steps = 30;
        let mut rng = Rng::new(units as u64);
        let x: Vec<f32> = (0..steps * inputs).map(|_| rng.uniform(-1.0, 1.0)).collect();

        let mut want = vec![0.0f64; units];
        for x in x.chunks_exact(inputs) {
            let sum = |gate: usize, unit: usize, h: &[f64]| {
                let column = gate * units + unit;
                let product = |matrix: &[f32], k: usize| f64::from(matrix[k * 3 * units + column]);
                let of_x = (0..inputs).map(|k| product(&input, k) * f64::from(x[k])).sum::<f64>();
                let of_h = (0..units).map(|k| product(&recurrent, k) * h[k]).sum::<f64>();
                (f64::from(bias[column]) + of_x + of_h) / 256.0
            };
            let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
            let reset: Vec<f64> = (0..units).map(|u| want[u] * sigmoid(sum(1, u, &want))).collect();
            let update = |u: usize| sigmoid(sum(0, u, &want));
            want = (0..units)
                .map(|u| update(u) * want[u] + (1.0 - update(u)) * sum(2, u, &reset).max(0.0))
                .collect();
        }

        let activations = [Activation::Sigmoid, Activation::Relu];
        let mut gru = Gru::reset_before(inputs, units).activations(&activations).build().unwrap();
        form.load(&mut gru, &[Arrays { input, recurrent, bias, ..Arrays::default() }]).unwrap();
        let h = gru.run(&x, Dims::new(1, steps)).unwrap().state.h();
        let largest = want.iter().fold(0.0f64, |largest, want| largest.max(want.abs()));
        let worst = h.iter().zip(&want).map(|(&h, want)| (f64::from(h) - want).abs()).fold(0.0, f64::max);
        println!("{name}: largest difference {worst:.1e} of {largest:.2}");
        assert!(worst <= 1e-5 * largest, "{name}: {worst:e}");
    }
}
