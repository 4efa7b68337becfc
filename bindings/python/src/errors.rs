//! The crate's errors as Python's exceptions: `MemoryError` where memory is refused, and else `ValueError`,
//! with the crate's text.

use fused_rnn::Error;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;

/// The exception for an error of the crate.
pub fn raised(error: Error) -> PyErr {
    match error {
        Error::OutOfMemory { .. } => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// `ValueError: WHAT: expected EXPECTED, got GOT`, as the crate words it.
pub fn refused(what: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("{what}: expected {expected}, got {got}"))
}
