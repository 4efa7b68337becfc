//! Weights and models of other systems: their conventions, their files, and back.
//!
//! A trained model is arrays and a convention. The arrays of a `state_dict`, of a Keras layer and of an ONNX
//! node may have the same shapes and mean different things; only ONNX says which. Here a convention is always
//! named, and nothing is guessed that could be guessed wrong.
//!
//! ```text
//! convention.rs    the table of all systems, and the conversion that obeys it: Convention, Arrays
//! tensor.rs        named tensors, and how files store their numbers: Tensor, Tensors
//! state_dict.rs    PyTorch's names: sizes deduced, every tensor accounted for
//! safetensors.rs   Tensors from and to a safetensors file (feature `safetensors`)
//! keras/           layers of Keras, run as Keras runs them
//! onnx/            the operators LSTM, GRU and RNN; models with them (feature `onnx`)
//! ndarray.rs       sequences and states as `ndarray` views (feature `ndarray`)
//! network.rs       a network's tensors by name, all set at once or none
//! ```
//!
//! Every fault of a file is an [`Error`], even if the file was made to do harm. The memory that the reader
//! and the network of a file allocate is bounded by a multiple of the length of the file (for ONNX 300 times:
//! an empty message is two bytes). A run allocates as much as its shapes say; inputs of no steps have shapes
//! without any values.

mod convention;
pub mod keras;
#[cfg(feature = "ndarray")]
mod ndarray;
mod network;
pub mod onnx;
#[cfg(feature = "safetensors")]
mod safetensors;
pub mod state_dict;
mod tensor;

pub use convention::{Arrays, Convention};
pub use tensor::{Tensor, Tensors};

use crate::error::Error;

/// The error of this folder.
fn refused(what: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Error {
    Error::Format { what: what.into(), expected: expected.into(), got: got.into() }
}
