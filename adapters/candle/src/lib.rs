//! Recurrent layers for [candle](candle_core) on CPUs, on the kernels of [`fused_rnn`]: LSTM, GRU and Elman
//! networks of any depth, in either direction or both, with rows of different lengths, in the place of
//! `candle_nn::rnn` or beside it.
//!
//! - [`Layer::new`] takes a [`Builder`] with all options of [`fused_rnn`], and parameters of a `VarBuilder`.
//! - [`lstm`] and [`gru`] take what [`candle_nn::lstm`] and [`candle_nn::gru`] take, and have the same names
//!   and initial values.
//! - [`Layer::run`] runs sequences, with lengths, masks, resets, dropout and states: see [`Call`]. A layer is
//!   a [`ModuleT`](candle_core::ModuleT) and an [`RNN`](candle_nn::rnn::RNN).
//! - Gradients of parameters, input and initial states come from candle's `backward`.
//! - [`Layer::network`] gives the network without candle, for streams.
//!
//! Results are those of [`fused_rnn`], to the bit: a row of a batch does not depend on its neighbours, on
//! padding or on the number of threads.
//!
//! # How it works
//!
//! ```text
//! call       the arguments of a call beside its input
//! state      initial and final states as tensors
//! slices     the floats of candle's tensors, without a copy; new memory
//! parameters the parameters, by their names in a VarBuilder
//! pass       one call of the core, on slices
//! graph      the nodes of candle's graph
//! layer      what a user holds
//! rnn        candle's trait, and layers in the place of candle's
//! ```
//!
//! Each file uses only those above it.
//!
//! # The README
#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]

mod call;
mod graph;
mod layer;
mod parameters;
mod pass;
mod rnn;
mod slices;
mod state;

pub use call::Call;
pub use fused_rnn;
pub use fused_rnn::{Bias, Builder, Config, Direction, Gru, Layout, Lstm, Precision, Rnn, Threads};
pub use layer::Layer;
pub use rnn::{Step, gru, lstm};
pub use state::State;

use candle_core::Error;
use std::fmt::Display;

/// An error that says what was expected and what was got.
fn refused(what: &str, expected: &str, got: impl Display) -> Error {
    Error::msg(format!("{what}: expected {expected}, got {got}"))
}

/// An error of the core as one of candle's.
fn of_core(error: fused_rnn::Error) -> Error {
    Error::wrap(error)
}
