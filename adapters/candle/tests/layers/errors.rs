//! What is wrong is an error that says what was expected and what was got, and never a panic.

use crate::support::{CPU, drawn, layer};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{LSTMConfig, RNN};
use candle_nn::{VarBuilder, VarMap};
use fused_rnn_candle::fused_rnn::Rng;
use fused_rnn_candle::{Call, Gru, Layer, Lstm, Precision};
use std::collections::HashMap;

fn assert_refused<T>(result: Result<T>, parts: &[&str]) {
    let said = result.err().expect("an error").to_string();
    for part in parts {
        assert!(said.contains(part), "{part:?} in {said:?}");
    }
}

#[test]
fn types_and_devices() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 8));
    for dtype in [DType::F64, DType::F16, DType::BF16, DType::U8, DType::U32, DType::I64] {
        let x = Tensor::zeros((2, 6, 3), dtype, &CPU)?;
        for layer in [layer.clone(), layer.detach()] {
            assert_refused(layer.forward(&x), &["x: expected f32", dtype.as_str()]);
            assert_refused(layer.seq(&x), &["x: expected f32", dtype.as_str()]);
        }
        let h = Tensor::zeros((1, 2, 8), dtype, &CPU)?;
        assert_refused(layer.state(h.clone(), Some(h)), &["h of a state: expected f32", dtype.as_str()]);
        let vb = VarBuilder::from_varmap(&VarMap::new(), dtype, &CPU);
        assert_refused(Layer::new(Lstm::builder(3, 8), vb.clone()), &["VarBuilder", "f32", dtype.as_str()]);
        assert_refused(fused_rnn_candle::lstm(3, 8, LSTMConfig::default(), vb), &["f32", dtype.as_str()]);
    }
    // (A device that no tensor can be made on here.)
    let elsewhere = Device::Cuda(candle_core::CudaDevice);
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &elsewhere);
    assert_refused(Layer::new(Lstm::builder(3, 8), vb), &["on the CPU", "CUDA"]);
    Ok(())
}

#[test]
fn shapes() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 8).layers(2));
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &CPU).unwrap();
    for (shape, said) in [
        (&[2, 6, 4][..], "[2, 6, 4]"),
        (&[6, 3], "[6, 3]"),
        (&[3], "[3]"),
        (&[], "[]"),
        (&[1, 2, 6, 3], "[1, 2, 6, 3]"),
    ] {
        assert_refused(layer.forward(&zeros(shape)), &["x: expected (B, T, 3)", said]);
        assert_refused(layer.seq_init(&zeros(shape), &layer.zero_state(2)?), &[]);
    }
    assert_refused(layer.step(&zeros(&[2, 4]), &layer.zero_state(2)?), &["x: expected"]);
    assert_refused(layer.step(&zeros(&[3]), &layer.zero_state(2)?), &["x: expected"]);
    assert_refused(layer.step(&zeros(&[]), &layer.zero_state(2)?), &[]);
    let x = zeros(&[2, 6, 3]);
    assert_refused(layer.state(zeros(&[2, 2, 8]), None), &["c of a state: expected [2, 2, 8], got none"]);
    assert_refused(
        layer.state(zeros(&[1, 2, 8]), Some(zeros(&[1, 2, 8]))),
        &["h of a state: expected [2, 2, 8]"],
    );
    assert_refused(layer.state(zeros(&[2, 2, 8]), Some(zeros(&[2, 2, 7]))), &["c of a state", "[2, 2, 7]"]);
    assert_refused(layer.state(zeros(&[]), Some(zeros(&[]))), &["h of a state"]);
    let three = layer.state(zeros(&[2, 3, 8]), Some(zeros(&[2, 3, 8])))?;
    assert_refused(
        layer.run(&x, &Call::default(), Some(&three)),
        &["h of a state: expected [2, 2, 8], got [2, 3, 8]"],
    );
    let (gru, _varmap) = self::layer(Gru::reset_after(3, 8));
    assert_refused(gru.state(zeros(&[1, 2, 8]), Some(zeros(&[1, 2, 8]))), &["c of a state: expected none"]);
    assert_refused(gru.zero_state(2)?.c(), &["an LSTM"]);
    assert_refused(layer.states_to_tensor(&[]), &[]);
    Ok(())
}

#[test]
fn calls() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 8));
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    for layer in [layer.clone(), layer.detach()] {
        let run = |call: Call<'_>| layer.run(&x, &call, None);
        assert_refused(run(Call::default().with_lengths(&[6])), &["lengths: expected 2 values, got 1"]);
        assert_refused(run(Call::default().with_lengths(&[6, 7])), &["length of row 1", "6", "7"]);
        assert_refused(run(Call::default().with_mask(&[true])), &["mask: expected 12 values, got 1"]);
        assert_refused(run(Call::default().with_resets(&[true; 13])), &["resets", "12", "13"]);
        assert_refused(
            run(Call::default().with_lengths(&[6, 6]).packed()),
            &["x: expected (sum of lengths, 3)"],
        );
        let packed = drawn(&mut Rng::new(1), &[9, 3]);
        assert_refused(layer.run(&packed, &Call::default().packed(), None), &["lengths of its rows"]);
        let call = Call::default().with_lengths(&[6, 4]).packed();
        assert_refused(layer.run(&packed, &call, None), &["x: expected (10, 3)", "[9, 3]"]);
        let call = Call::default().with_lengths(&[usize::MAX, 10]).packed();
        assert_refused(layer.run(&packed, &call, None), &["x: expected"]);
    }
    Ok(())
}

#[test]
fn parameters() -> Result<()> {
    let vb = || VarBuilder::from_varmap(&VarMap::new(), DType::F32, &CPU);
    assert_refused(Layer::new(Lstm::builder(3, 0), vb()), &["hidden_size", "0"]);
    assert_refused(Layer::new(Gru::reset_after(3, 8).peephole(true), vb()), &["peepholes"]);
    assert_refused(Layer::new(Lstm::builder(3, 8).dropout(1.0).layers(2), vb()), &["dropout"]);
    // A file without a tensor, and one with another shape.
    let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &CPU);
    let mut tensors = HashMap::from([("weight_ih_l0".to_owned(), tensor(&[32, 3])?)]);
    let of = |tensors: &HashMap<String, Tensor>| VarBuilder::from_tensors(tensors.clone(), DType::F32, &CPU);
    assert_refused(Layer::new(Lstm::builder(3, 8), of(&tensors)), &["weight_hh_l0"]);
    tensors.insert("weight_hh_l0".to_owned(), tensor(&[32, 9])?);
    assert_refused(Layer::new(Lstm::builder(3, 8), of(&tensors)), &["weight_hh_l0", "[32, 9]"]);
    Ok(())
}

/// Shapes that no memory has: an input of one row that is said to be many.
#[test]
fn sizes() -> Result<()> {
    let (layer, _varmap) = layer(Lstm::builder(3, 8));
    let one = drawn(&mut Rng::new(1), &[1, 1, 3]);
    for batch in [1 << 40, 1 << 62, usize::MAX] {
        assert_refused(layer.zero_state(batch), &["h of a state: expected a size that memory has", "[1, "]);
    }
    for layer in [layer.clone(), layer.detach()] {
        for (batch, steps) in [(1 << 50, 1), (1, 1 << 50), (1 << 30, 1 << 29)] {
            let said = layer.forward(&one.broadcast_as((batch, steps, 3))?).unwrap_err().to_string();
            assert!(["expected", "out of memory"].iter().any(|part| said.contains(part)), "{said}");
            let said = layer.seq(&one.broadcast_as((batch, steps, 3))?).unwrap_err().to_string();
            assert!(["expected", "out of memory"].iter().any(|part| said.contains(part)), "{said}");
        }
    }
    Ok(())
}

/// Zoneout blends states in evaluation, and integers do not train: no backward, and not silently another.
#[test]
fn evaluation_without_backward() -> Result<()> {
    let (integers, _varmap) = layer(Lstm::builder(3, 8).precision(Precision::Int8));
    let y = integers.forward(&drawn(&mut Rng::new(1), &[2, 6, 3]))?;
    assert_refused(y.sum_all()?.backward(), &["Int8"]);
    let (layer, _varmap) = layer(Lstm::builder(3, 8).zoneout(0.1, 0.1));
    let x = drawn(&mut Rng::new(1), &[2, 6, 3]);
    let y = layer.forward(&x)?;
    assert_refused(y.sum_all()?.backward(), &["zoneout", "with_train"]);
    let y = layer.run(&x, &Call::default().with_train(true), None)?.0;
    assert!(y.sum_all()?.backward().is_ok());
    Ok(())
}

#[test]
fn cells_with_other_states() {
    let varmap = VarMap::new();
    let vb = VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu);
    assert_refused(Layer::new(Lstm::exponential(3, 8), vb), &["states are h and c", "state n"]);
}
