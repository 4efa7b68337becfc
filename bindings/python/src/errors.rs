//! The crate's errors as Python's exceptions: `MemoryError` where memory is refused, and else `ValueError`,
//! with the crate's text. Functions that it names have their names here.

use fused_rnn::Error;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// Functions of Rust that the crate's texts name, and their counterparts in Python.
const READERS: [(&str, &str); 8] = [
    ("Tensors::from_safetensors", "load_torch"),
    ("Tensors::from_torch", "load_torch"),
    ("Tensors::from_npz", "load_torch"),
    ("format::onnx::Model::read", "load_onnx"),
    ("format::onnx::Model::from_bytes", "load_onnx"),
    ("Tensors::from_json reads a state_dict, ", "no function here reads it: "),
    ("stream::Model::read a model", "a state_dict, or a model"),
    ("Builder::layer_norm takes", "layer_norm= takes"),
];
/// Features that are always on here.
const FEATURES: [&str; 6] = ["safetensors", "torch", "npz", "onnx", "keras", "json"];

/// The exception for an error of the crate.
pub fn raised(error: Error) -> PyErr {
    let mut text = error.to_string();
    for (reader, name) in READERS {
        text = text.replace(reader, name);
    }
    for feature in FEATURES {
        text = text.replace(&format!(" (feature `{feature}`)"), "");
    }
    match error {
        Error::OutOfMemory { .. } => PyMemoryError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// A number that an argument is. One that its type does not have is a `ValueError`, as others out of range
/// are.
pub fn number<'py, T: FromPyObjectOwned<'py, Error = PyErr>>(
    what: &str,
    expected: &str,
    given: &Bound<'py, PyAny>,
) -> PyResult<T> {
    given.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(given.py()) {
            refused(what, expected, given)
        } else {
            error
        }
    })
}

/// `ValueError: WHAT: expected EXPECTED, got GOT`, as the crate words it.
pub fn refused(what: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("{what}: expected {expected}, got {got}"))
}
