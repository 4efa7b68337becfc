//! What the tests share: tensors of drawn values, and a layer's parameters and their gradients in one row.
#![allow(dead_code, missing_docs)] // Each test is a program of its own and uses some.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use fused_rnn::Rng;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A device that records a graph.
pub fn training() -> Device {
    Device::flex().autodiff()
}

/// An input of three rows, four steps and two features, whose gradient is wanted where there are graphs.
pub fn sample(device: &Device) -> Tensor<3> {
    let x = tensor(&uniform(24, &mut Rng::new(7)), [3, 4, 2], device);
    if device.is_autodiff() { x.require_grad() } else { x }
}

/// Tests take turns: a device has one generator for the whole process, and a seed is for what is drawn next,
/// by whomever.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values between -1 and 1.
pub fn uniform(count: usize, rng: &mut Rng) -> Vec<f32> {
    (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

/// A tensor of these values.
pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// The values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    assert_eq!(tensor.dtype(), DType::F32);
    tensor.into_data().iter::<f32>().collect()
}

/// The values of a gradient; zeros where there is none.
pub fn gradient<const D: usize>(tensor: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    match tensor.grad(gradients) {
        Some(gradient) => {
            assert_eq!(gradient.dims(), tensor.dims());
            values(gradient)
        }
        None => vec![0.0; tensor.dims().iter().product()],
    }
}

/// The names, values and gradients of all parameters of a module, in its order.
pub fn parameters(
    module: &impl Module,
    gradients: Option<&Gradients>,
) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    struct Visitor<'a> {
        path: Vec<String>,
        gradients: Option<&'a Gradients>,
        found: Vec<(String, Vec<usize>, Vec<f32>)>,
    }
    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            let shape = tensor.dims().to_vec();
            let values = match self.gradients {
                Some(gradients) => gradient(&tensor, gradients),
                None => values(tensor),
            };
            self.found.push((self.path.join("."), shape, values));
        }
    }
    let mut visitor = Visitor { path: Vec::new(), gradients, found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// The gradients of all parameters, one after the other.
pub fn parameter_gradients(module: &impl Module, gradients: &Gradients) -> Vec<f32> {
    parameters(module, Some(gradients)).into_iter().flat_map(|(.., values)| values).collect()
}

/// The bits of values, with zeros of both signs the same.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| (value + 0.0).to_bits()).collect()
}
