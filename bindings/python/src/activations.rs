//! Activations by name: `"tanh"`, or `("leaky_relu", 0.2)` where one has parameters.
//!
//! Names are those of [`Activation`] in small letters; parameters that are left out are ONNX's and Keras's
//! defaults. `"linear"` is `("affine", 1, 0)`.

use crate::errors::refused;
use fused_rnn::Activation;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Writes both ways between names and variants from one table.
macro_rules! table {
    ($($name:literal $variant:ident { $($field:ident: $default:expr),* })*) => {
        fn by_name(name: &str, parameters: &[f32]) -> Option<Result<Activation, usize>> {
            match name {
                $($name => {
                    let defaults: &[f32] = &[$($default),*];
                    if parameters.len() > defaults.len() {
                        return Some(Err(defaults.len()));
                    }
                    // (The defaults of those that are left out follow those that are given.)
                    let _given = &mut parameters.iter().chain(&defaults[parameters.len()..]);
                    Some(Ok(Activation::$variant { $($field: *_given.next().unwrap_or(&$default)),* }))
                })*
                _ => None,
            }
        }

        fn name_of(activation: Activation) -> (String, Vec<f32>) {
            match activation {
                $(Activation::$variant { $($field),* } => ($name.to_owned(), vec![$($field),*]),)*
                other => (format!("{other:?}"), Vec::new()),
            }
        }

        const NAMES: &[&str] = &[$($name),*];
    };
}

table! {
    "sigmoid" Sigmoid {}
    "tanh" Tanh {}
    "relu" Relu {}
    "leaky_relu" LeakyRelu { alpha: 0.01 }
    "thresholded_relu" ThresholdedRelu { alpha: 1.0 }
    "scaled_tanh" ScaledTanh { alpha: 1.0, beta: 1.0 }
    "hard_sigmoid" HardSigmoid { alpha: 0.2, beta: 0.5 }
    "elu" Elu { alpha: 1.0 }
    "softsign" Softsign {}
    "softplus" Softplus {}
    "affine" Affine { alpha: 1.0, beta: 0.0 }
    "silu" Silu {}
    "gelu" Gelu {}
    "selu" Selu {}
    "exponential" Exponential {}
    "hard_silu" HardSilu {}
    "clamp" Clamp { low: -1.0, high: 1.0 }
    "mish" Mish {}
    "log_sigmoid" LogSigmoid {}
    "soft_shrink" SoftShrink { lambda: 0.5 }
    "hard_shrink" HardShrink { lambda: 0.5 }
    "tanh_shrink" TanhShrink {}
    "square_plus" SquarePlus {}
    "sparse_plus" SparsePlus {}
}

/// The activation that a name, or a tuple of a name and parameters, says.
fn activation(said: &Bound<'_, PyAny>) -> PyResult<Activation> {
    let (name, parameters): (String, Vec<f32>) = match said.cast::<PyTuple>() {
        Ok(tuple) if !tuple.is_empty() => {
            let rest = tuple.get_slice(1, tuple.len()).iter().map(|parameter| parameter.extract());
            (tuple.get_item(0)?.extract()?, rest.collect::<PyResult<_>>()?)
        }
        _ => {
            let wrong =
                |_| PyTypeError::new_err(format!("activation: expected a name or a tuple, got {said}"));
            (said.extract().map_err(wrong)?, Vec::new())
        }
    };
    let name = if name == "linear" && parameters.is_empty() { "affine" } else { &name };
    match by_name(name, &parameters) {
        Some(Ok(activation)) => Ok(activation),
        Some(Err(count)) => Err(refused(name, format!("at most {count} parameters"), parameters.len())),
        None => Err(refused("activation", format!("linear or one of {}", NAMES.join(", ")), name)),
    }
}

/// The activations of a sequence of them.
pub fn activations(said: &Bound<'_, PyAny>) -> PyResult<Vec<Activation>> {
    said.try_iter()?.map(|item| activation(&item?)).collect()
}

/// What [`activations`] reads.
pub fn said<'py>(py: Python<'py>, activations: &[Activation]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let one = |&activation: &Activation| {
        let (name, parameters) = name_of(activation);
        let name = name.into_pyobject(py)?.into_any();
        let parameters = parameters.into_iter().map(|p| Ok(p.into_pyobject(py)?.into_any()));
        let all: Vec<_> = std::iter::once(Ok(name.clone())).chain(parameters).collect::<PyResult<_>>()?;
        Ok(if all.len() == 1 { name } else { PyTuple::new(py, all)?.into_any() })
    };
    activations.iter().map(one).collect()
}
