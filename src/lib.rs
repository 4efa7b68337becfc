//! Recurrent layers for CPUs: LSTM, GRU and Elman networks, forward, step by step, and trained by
//! multi-threaded back-propagation through time (BPTT), in pure Rust.
//!
//! ```
//! use fused_rnn::{Dims, Lstm};
//!
//! // Two layers of 64 units over 8 features; weights as PyTorch would begin with.
//! let lstm = Lstm::builder(8, 64).layers(2).build()?;
//! let (batch, steps) = (4, 100);
//! let x = vec![0.1; batch * steps * 8];
//!
//! let output = lstm.run(&x, Dims::new(batch, steps))?;
//! assert_eq!(output.y.len(), batch * steps * 64);
//! # Ok::<(), fused_rnn::Error>(())
//! ```
//!
//! # Doors
//!
//! - [`Lstm`], [`Gru`] and [`Rnn`] start a [`Builder`], which makes a [`Recurrent`]: a network of layers and
//!   directions. [`Recurrent::run`] is the short way to use it.
//! - [`Recurrent::forward`], [`step`](Recurrent::step), [`forward_train`](Recurrent::forward_train) and
//!   [`backward`](Recurrent::backward) work on slices, with [`State`], [`Tape`] and [`Workspace`] held by the
//!   caller, and allocate nothing of their own on one thread once the workspace has grown: for
//!   real-time threads, and for frameworks to call from their autograd.
//! - [`train`] has the little that training needs without a framework: a dense head, losses, optimisers,
//!   clipping.
//!
//! # What is computed
//!
//! The equations of the plain cells stand at [`CellKind`], those of all options as plain loops in
//! [`mod@reference`]. The cell update of the LSTM is `c' = f * c + i * g` and its output `h' = o * tanh(c')`.
//! Parameters are in PyTorch's form:
//!
//! ```text
//! weight_ih (gates * H, I)    weight_hh (gates * H, H)    bias_ih, bias_hh (gates * H)     row-major
//! weight_hr (P, H)            peephole (3, H), of i, f, o      where there is a projection, or peepholes
//! norm_ih, norm_hh (gates * H)      norm_c (2, H)              where there is layer normalisation
//! gates in the order i, f, g, o (LSTM) and r, z, n (GRU)
//! x (B, T, I)    y (B, T, D * H)    or time-major: (T, B, I), (T, B, D * H)
//! h, c (layers * D, B, H)           D directions, 1 or 2; state of layer l, direction d at l * D + d
//! ```
//!
//! Where an LSTM has a projection, its hidden states are P wide and its outputs `D * P`.
//!
//! A layer above the first reads both directions of the one below, side by side. Rows may have lengths of
//! their own ([`Dims::with_lengths`]), steps that are left out ([`Dims::with_mask`]) and places where the
//! state begins anew ([`Dims::with_resets`]).
//!
//! # Exactness
//!
//! At one SIMD level each output is one chain of operations, whatever surrounds it. So, bit for bit, a row
//! does not depend on the batch, on its neighbours or on padding; a sequence that runs forward in time may be
//! cut anywhere, and `step` called T times equals `forward` over T steps; results and gradients do not depend
//! on the number of threads. [`Level::Avx2`] and [`Level::Avx512`] give the same bits as each other.
//! [`Level::Portable`] does not fuse multiply and add, and differs from them in the last bits, and where a
//! sum overflows on the way. (The dense head of [`train`] is a product of `matrixmultiply`, which chooses its
//! instructions by itself: it depends on the machine, not on a level.)
//!
//! Largest errors of the activations, over all 2^32 floats, on every level (the tests `exhaustive` in
//! `src/activation/` measure them):
//!
//! | function | units in the last place, for arguments in -87..=87 | absolute |
//! |---|---|---|
//! | sigmoid | 2.5 | 9.0e-8 |
//! | tanh | 2.5 | 1.5e-7 |
//! | softplus | 2.8 | |
//! | elu, with alpha 1 | 1.2 | |
//! | softsign | 1.5 | |
//!
//! Beyond 87 the last three are right to 1e-6 of their value, or to 1e-37; of the other [`Activation`]s the
//! scaled tanh is a tanh between two products, and the rest a product and a sum. A sigmoid below -87 is
//! between 0 and 1.7e-38. tanh is exactly odd, and neither leaves its range. Slopes are right to 3 units of
//! 2^-23 (those of the last three over all floats, the others on a sample).
//!
//! Values of a state, and gate gradients, below 1e-30 in magnitude are stored as zero, so that what decays
//! does not fall into denormals, on which arithmetic is many times slower. NaN and infinities propagate.
//!
//! # Errors
//!
//! A wrong argument is an [`Error`] that says what was expected and what was got; nothing has been written
//! then. Nothing is ignored silently. (Only [`mod@reference`], which is for tests, panics instead.)
//!
//! # The house
//!
//! ```text
//! simd/        what a vector is on each level of the machine, and the choice of the level
//! memory/      aligned buffers, grids and lines
//! product/     products of rows with packed weights: panels, the micro-kernels, the order of the tiles
//! activation/  sigmoid and tanh, and the others
//! cell/        what one cell computes at one step, forward and backward
//! sequence/    how a cell runs over time: forward, backward, threads
//! layer/       what a user holds: networks of layers and directions, their parameters
//! train/       losses, a dense head, optimisers
//! reference    the same in plain scalar loops: the specification
//! format/      weights and models of other systems: conventions, files, ndarray views
//! ```
//!
//! Each uses only those above it; `error` and `rng`, the random numbers, serve all but the reference, which
//! uses none.
#![warn(unreachable_pub)]

mod activation;
mod cell;
mod error;
pub mod format;
mod layer;
mod memory;
mod product;
pub mod reference;
mod rng;
mod sequence;
mod simd;
pub mod train;

pub use activation::Activation;
pub use cell::CellKind;
pub use error::Error;
pub use layer::{
    Accumulate, Bias, Builder, Config, Dims, Direction, Gradients, Gru, Init, Keep, Layout, Lstm,
    NamedParameter, Output, Recurrent, Rnn, State, Tape, Upstream, Workspace,
};
pub use rng::Rng;
pub use sequence::{Schedule, Threads};
pub use simd::Level;
pub use train::Dense;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
