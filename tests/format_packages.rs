//! Weights of published models, from the folder that `FUSED_RNN_PACKAGES` names:
//! `tests/golden/pt/packages.py` says how to make it. Without it the test says so and checks nothing.

use fused_rnn::format::{Tensors, state_dict};
use fused_rnn::{CellKind, Dims, Recurrent};
use std::path::{Path, PathBuf};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("FUSED_RNN_PACKAGES").map(PathBuf::from);
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
