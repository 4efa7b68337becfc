//! Drawn values, tensors of them, and comparisons.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use fused_rnn_candle::fused_rnn::Rng;
use fused_rnn_candle::{Builder, Layer};

pub const CPU: Device = Device::Cpu;

/// Values in -1..1 of a shape.
pub fn drawn(rng: &mut Rng, shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform(-1.0, 1.0)).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

/// A variable of values in -1..1.
pub fn variable(rng: &mut Rng, shape: &[usize]) -> Var {
    Var::from_tensor(&drawn(rng, shape)).unwrap()
}

/// A layer whose parameters are variables, and their map.
pub fn layer(builder: Builder) -> (Layer, VarMap) {
    let varmap = VarMap::new();
    let vb = VarBuilder::from_varmap(&varmap, DType::F32, &CPU);
    (Layer::new(builder, vb).unwrap(), varmap)
}

/// All values, in f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// All values as they are.
pub fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The sum of products with fixed weights: a loss that gives each value a gradient of its own.
pub fn weighed(tensor: &Tensor, weights: &Tensor) -> Result<Tensor> {
    (tensor * weights.to_dtype(tensor.dtype())?)?.sum_all()
}

/// Checks that values differ from the judge's by no more than a part of his largest, and at least of one:
/// small ones are differences of values of that size.
pub fn assert_near(what: &str, got: &Tensor, judge: &Tensor) {
    assert_eq!(got.dims(), judge.dims(), "{what}");
    let (got, judge) = (values(got), values(judge));
    let largest = judge.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (n, (got, judge)) in got.iter().zip(&judge).enumerate() {
        assert!((got - judge).abs() <= 3e-6 * largest, "{what}, value {n}: {got}, judge {judge} ({largest})");
    }
}
