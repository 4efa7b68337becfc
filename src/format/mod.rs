//! Weights and models of other systems: their conventions, their files, and back.
//!
//! A trained model is arrays and a convention. The arrays of a `state_dict`, of a Keras layer and of an ONNX
//! node may have the same shapes and mean different things; only ONNX says which. Here a convention is always
//! named, and nothing is guessed that could be guessed wrong. Files of this crate say which cell a network
//! has, and with which options ([`Tensors::cell`]). For other files the caller names the cell where shapes do
//! not tell it ([`state_dict::describe`]).
//!
//! ```text
//! convention/      the table of all systems, and forms of one's own: Convention, Form, Arrays
//! tensor/          named tensors, and how files store their numbers: Tensor, Tensors, RawTensor
//! state_dict/      PyTorch's names: modules found, sizes deduced, every parameter accounted for
//! safetensors.rs   Tensors from and to a safetensors file (feature `safetensors`)
//! torch/           Tensors from a file of torch.save (feature `torch`)
//! npz.rs           Tensors from a file of numpy.savez (feature `npz`)
//! json.rs          Tensors from a state_dict in JSON (feature `json`)
//! read.rs          Tensors from whichever of these a file is
//! zip.rs           the archives that two of them are
//! magic.rs         what a file is, by its first bytes
//! keras/           layers of Keras, run as Keras runs them
//! onnx/            the operators LSTM, GRU and RNN; models with them (feature `onnx`)
//! ndarray.rs       sequences and states as `ndarray` views (feature `ndarray`)
//! network.rs       a network's tensors by name, all set at once or none
//! ```
//!
//! Where the weights are, and what reads them:
//!
//! | from | file | reader |
//! |---|---|---|
//! | PyTorch | `safetensors.torch.save_file(model.state_dict(), ..)` | `Tensors::from_safetensors`, then [`state_dict`] |
//! | PyTorch | `torch.save(model.state_dict(), ..)`: `.pt`, `.pth` | `Tensors::from_torch`, then [`state_dict`] |
//! | NumPy | `numpy.savez(..)`: `.npz` | `Tensors::from_npz`, then [`state_dict`], a [`Convention`] or a [`Form`] |
//! | Keras | `.keras`, `.h5` by `examples/export_keras.py` | `keras::Layer::from_safetensors` |
//! | JSON | a `state_dict` as nested lists | `Tensors::from_json`, then [`state_dict`] |
//! | ONNX | `.onnx` | `onnx::Model::read` |
//! | audio plug-ins | `.json`, `.aidax`, `.nam` | [`stream::Model::read`](crate::stream::Model) |
//! | others | arrays | a [`Convention`] or a [`Form`] |
//!
//! Every fault of a file is an [`Error`], even if the file was made to do harm. The memory that the reader
//! and the network of a file allocate is bounded by a multiple of the length of the file: for ONNX 300 times
//! and some megabytes, as an empty message is two bytes; for a pickle 100 times, as an instruction is one
//! byte; for `.npz` 4000 times, as DEFLATE makes a thousand bytes of one. A run allocates as much as its
//! shapes say; inputs of no steps have shapes without any values.
//!
//! [`Error`]: crate::Error

mod convention;
#[cfg(feature = "json")]
pub(crate) mod json;
pub mod keras;
#[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "onnx", feature = "json"))]
mod magic;
#[cfg(feature = "ndarray")]
mod ndarray;
mod network;
#[cfg(feature = "npz")]
mod npz;
pub mod onnx;
#[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "json"))]
mod read;
#[cfg(feature = "safetensors")]
mod safetensors;
pub mod state_dict;
mod tensor;
#[cfg(feature = "torch")]
mod torch;
#[cfg(any(feature = "torch", feature = "npz"))]
mod zip;

pub use convention::{Arrays, Biases, Convention, Form, Gate, Orientation};
pub use tensor::{DType, RawTensor, Tensor, Tensors};

use crate::error::refused;
