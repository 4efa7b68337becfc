//! Parameters by name, in maps and files, and how they begin.

use crate::support::{CPU, assert_near, drawn, floats, layer};
use candle_core::{DType, Result, Tensor};
use candle_nn::rnn::{Direction, GRUConfig, LSTMConfig, RNN};
use candle_nn::{VarBuilder, VarMap};
use fused_rnn_candle::fused_rnn::{Dims, Init, Rng};
use fused_rnn_candle::{Builder, Gru, Layer, Lstm};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A file of this name, removed in the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        File(std::env::temp_dir().join(format!("fused-rnn-candle-{}-{name}.safetensors", std::process::id())))
    }

    fn builder(&self) -> Result<VarBuilder<'static>> {
        let bytes = std::fs::read(&self.0)?;
        VarBuilder::from_buffered_safetensors(bytes, DType::F32, &CPU)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Weights that candle's layers saved, and the other way round.
#[test]
fn files_of_candle_and_for_candle() -> Result<()> {
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    for cell in ["lstm", "gru"] {
        for by_candle in [true, false] {
            let file = File::new(&format!("{cell}-{by_candle}"));
            let varmap = VarMap::new();
            let vb = VarBuilder::from_varmap(&varmap, DType::F32, &CPU).pp("encoder.rnn");
            match (cell, by_candle) {
                ("lstm", true) => drop(candle_nn::lstm(3, 8, LSTMConfig::default(), vb)?),
                ("lstm", false) => drop(Layer::new(Lstm::builder(3, 8), vb)?),
                (_, true) => drop(candle_nn::gru(3, 8, GRUConfig::default(), vb)?),
                (_, false) => drop(Layer::new(Gru::reset_after(3, 8), vb)?),
            }
            varmap.save(&file.0)?;
            let vb = || Ok::<_, candle_core::Error>(file.builder()?.pp("encoder.rnn"));
            let candle = match cell {
                "lstm" => {
                    let layer = candle_nn::lstm(3, 8, LSTMConfig::default(), vb()?)?;
                    let h: Vec<Tensor> = layer.seq(&x)?.into_iter().map(|state| state.h).collect();
                    Tensor::stack(&h, 1)?
                }
                _ => {
                    let layer = candle_nn::gru(3, 8, GRUConfig::default(), vb()?)?;
                    let h: Vec<Tensor> = layer.seq(&x)?.into_iter().map(|state| state.h).collect();
                    Tensor::stack(&h, 1)?
                }
            };
            let builder = if cell == "lstm" { Lstm::builder(3, 8) } else { Gru::reset_after(3, 8) };
            let own = Layer::new(builder, vb()?)?;
            assert!(own.parameters().all(|(_, tensor)| !tensor.track_op()));
            assert_near(cell, &own.forward(&x)?, &candle);
        }
    }
    Ok(())
}

/// All options, into a file and back: the same bits.
#[test]
fn files_of_all_options() -> Result<()> {
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    let builders: [fn() -> Builder; 3] = [
        || Lstm::builder(3, 8).layers(2).bidirectional(true).projection(4),
        || Lstm::builder(3, 8).peephole(true),
        || Gru::reset_after(3, 8).layers(2).layer_norm(1e-5),
    ];
    for (n, builder) in builders.into_iter().enumerate() {
        let (layer, mut varmap) = layer(builder());
        let file = File::new(&format!("options-{n}"));
        varmap.save(&file.0)?;
        let loaded = Layer::new(builder(), file.builder()?)?;
        let y = floats(&layer.forward(&x)?);
        assert_eq!(floats(&loaded.forward(&x)?), y);
        // Into variables that are there, too.
        for var in varmap.all_vars() {
            var.set(&var.zeros_like()?)?;
        }
        assert_ne!(floats(&layer.forward(&x)?), y);
        varmap.load(&file.0)?;
        assert_eq!(floats(&layer.forward(&x)?), y);
        // Half precision in the file.
        let halves = layer.parameters().map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F16)?)));
        let halves = halves.collect::<Result<std::collections::HashMap<_, _>>>()?;
        candle_core::safetensors::save(&halves, &file.0)?;
        assert!(Layer::new(builder(), file.builder()?).is_ok());
    }
    Ok(())
}

#[test]
fn names() -> Result<()> {
    let (_layer, varmap) = layer(Lstm::builder(3, 4).layers(2).bidirectional(true));
    let names: BTreeSet<String> = varmap.data().lock().unwrap().keys().cloned().collect();
    let expected = (0..2).flat_map(|layer| ["", "_reverse"].map(|reverse| format!("_l{layer}{reverse}")));
    let expected = expected.flat_map(|suffix| {
        ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| format!("{name}{suffix}"))
    });
    assert_eq!(names, expected.collect());
    // candle's choice of names, and biases that it leaves out.
    let varmap = VarMap::new();
    let vb = VarBuilder::from_varmap(&varmap, DType::F32, &CPU);
    let config =
        LSTMConfig { layer_idx: 3, direction: Direction::Backward, b_hh_init: None, ..LSTMConfig::default() };
    let own = fused_rnn_candle::lstm(3, 4, config, vb.clone())?;
    let names: BTreeSet<String> = varmap.data().lock().unwrap().keys().cloned().collect();
    let expected = ["weight_ih_l3_reverse", "weight_hh_l3_reverse", "bias_ih_l3_reverse"];
    assert_eq!(names, expected.map(str::to_owned).into());
    let candle = candle_nn::lstm(3, 4, config, vb)?;
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    assert_near("y", &own.forward(&x)?, &candle.states_to_tensor(&candle.seq(&x)?)?);
    Ok(())
}

/// Both biases, one of either kind, none: the layers in candle's place compute what candle's compute.
#[test]
fn biases_of_candle() -> Result<()> {
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    let some = candle_nn::Init::Uniform { lo: -1.0, up: 1.0 };
    for (b_ih_init, b_hh_init) in
        [(Some(some), Some(some)), (Some(some), None), (None, Some(some)), (None, None)]
    {
        let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
        let config = GRUConfig { b_ih_init, b_hh_init, ..GRUConfig::default() };
        let (own, candle) =
            (fused_rnn_candle::gru(3, 4, config, vb.clone())?, candle_nn::gru(3, 4, config, vb)?);
        let h: Vec<Tensor> = candle.seq(&x)?.into_iter().map(|state| state.h).collect();
        assert_near("y", &own.forward(&x)?, &Tensor::stack(&h, 1)?);
        let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
        let config = LSTMConfig { b_ih_init, b_hh_init, ..LSTMConfig::default() };
        let (own, candle) =
            (fused_rnn_candle::lstm(3, 4, config, vb.clone())?, candle_nn::lstm(3, 4, config, vb)?);
        assert_near("y", &own.forward(&x)?, &candle.states_to_tensor(&candle.seq(&x)?)?);
    }
    Ok(())
}

/// Variables begin as the builder says, with a seed; what a map has stays as it is.
#[test]
fn beginnings() -> Result<()> {
    let builder = || Lstm::builder(3, 4).layer_norm(1e-5).init(Init::Keras, 7);
    let (first, varmap) = layer(builder());
    let network = builder().build().unwrap();
    for (own, (name, tensor)) in network.named_parameters().zip(first.parameters()) {
        assert_eq!((own.name.as_str(), own.values), (name, &floats(tensor)[..]));
    }
    let vb = VarBuilder::from_varmap(&varmap, DType::F32, &CPU);
    let other = Layer::new(builder().init(Init::PyTorch, 8), vb)?;
    for ((name, one), (_, two)) in first.parameters().zip(other.parameters()) {
        assert_eq!((floats(one), one.id()), (floats(two), two.id()), "{name}");
    }
    // As candle's own.
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
    let own = fused_rnn_candle::lstm(3, 4, LSTMConfig::default(), vb)?;
    for (name, tensor) in own.parameters() {
        let zero = floats(tensor).iter().all(|&value| value == 0.0);
        assert_eq!(zero, name.starts_with("bias"), "{name}");
    }
    Ok(())
}

/// Parameters that change in place are noticed: by `Var::set`, and in a clone.
#[test]
fn changes() -> Result<()> {
    let (layer, varmap) = layer(Gru::reset_after(3, 4));
    let (clone, x) = (layer.clone(), drawn(&mut Rng::new(1), &[2, 6, 3]));
    let before = floats(&layer.forward(&x)?);
    for var in varmap.all_vars() {
        let old = var.as_detached_tensor().copy()?;
        var.set(&(&old + 0.5)?)?;
        let changed = floats(&clone.forward(&x)?);
        assert_ne!(changed, before);
        let network = layer.network()?.run(&floats(&x), Dims::new(2, 6)).unwrap();
        assert_eq!(network.y, changed);
        var.set(&old)?;
        assert_eq!(floats(&layer.forward(&x)?), before);
    }
    Ok(())
}

/// Variables can be set while a call without a graph runs: a call borrows them to compare them, and not for
/// as long as it computes.
#[test]
fn changes_during_a_call() -> Result<()> {
    let (layer, varmap) = layer(Lstm::builder(8, 64));
    let x = drawn(&mut Rng::new(1), &[1, 100_000, 8]);
    let layer = layer.detach();
    let (var, sets) = (varmap.all_vars().swap_remove(0), AtomicUsize::new(0));
    let (same, runs) = (var.as_detached_tensor().copy()?, AtomicBool::new(true));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while runs.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                var.set(&same).unwrap();
                sets.fetch_add(1, Ordering::Relaxed);
            }
        });
        // (One may come before the call has begun, and one after its end.)
        let during = || {
            let before = sets.load(Ordering::Relaxed);
            layer.forward(&x)?;
            Ok::<_, candle_core::Error>(sets.load(Ordering::Relaxed) - before)
        };
        let sets = (0..5).map(|_| during()).collect::<Result<Vec<_>>>();
        runs.store(false, Ordering::Relaxed);
        assert!(sets?.iter().any(|&sets| sets > 2));
        Ok(())
    })
}
