//! Recurrent layers for [burn] on CPUs, on the kernels of `fused_rnn`: [`Lstm`], [`Gru`] and [`Rnn`], of any
//! number of layers and in both directions, as modules in the place of burn's own.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use fused_rnn_burn::LstmConfig;
//!
//! let device = Device::flex().autodiff();
//! let lstm = LstmConfig::new(8, 64).with_layers(2).with_dropout(0.1).init(&device)?;
//! let x = Tensor::<3>::random([4, 100, 8], Distribution::Default, &device);
//! let (y, state) = lstm.forward(x, None)?; // (B, T, H), and h and c of each layer (L, B, H)
//! let gradients = y.powf_scalar(2.0).mean().backward();
//! # assert_eq!(state.hidden.dims(), [2, 4, 64]);
//! # drop(gradients);
//! # Ok::<(), fused_rnn_burn::Error>(())
//! ```
//!
//! - Configurations are [`LstmConfig`], [`GruConfig`] and [`RnnConfig`].
//! - [`Sequences`] has lengths, masks and resets.
//! - `TryFrom` converts from and to burn's own layers, `from_recurrent` and `to_recurrent` from and to
//!   [`fused_rnn::Recurrent`], and so from files of PyTorch, Keras and ONNX.
//! - Records have the keys of PyTorch's `state_dict`: `weight_ih_l0` and so on.
//! - The device is `Device::flex()`, with or without `autodiff()` and `gradient_checkpointing()`. Other
//!   devices are an [`Error::Device`].
//! - Dropout and zoneout are on as burn's own dropout: on a device with autodiff, unless the module is
//!   frozen. It is enough that the layer is there, or the input or the state. Their seed comes from the
//!   device.
//! - Outputs and gradients are the bits of `fused_rnn`, with all that it promises of them: a row does not
//!   depend on its batch, nor any result on the number of threads.
//! - Gradients are of the first order, as burn's are.
//!
//! # The source
//!
//! ```text
//! config      what a layer is            sequences    lengths, masks, resets
//! lstm, gru, rnn, with what they have in common in module: burn's modules
//! network     parameters, packed weights, and a call from the one to the other
//! parameters  tensors under PyTorch's names
//! op          the operation that burn calls
//! convert     from and to burn's own layers            activation   names of activations
//! ```
//!
//! [burn]: https://docs.rs/burn

mod activation;
mod config;
mod convert;
mod error;
mod gru;
mod lstm;
mod module;
mod network;
mod op;
mod parameters;
mod rnn;
mod sequences;

pub use config::{Direction, GruConfig, Init, LstmConfig, Precision, RnnConfig};
pub use error::Error;
pub use gru::Gru;
pub use lstm::Lstm;
pub use rnn::Rnn;
pub use sequences::Sequences;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
