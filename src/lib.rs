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
//! # Where to start
//!
//! - [`Lstm`], [`Gru`] and [`Rnn`] start a [`Builder`] of one of their cells ([`CellKind`]). It makes a
//!   network, a [`Recurrent`]: one or more layers of this cell, in one or both directions.
//!   [`Recurrent::run`] is the short way to use it.
//! - [`Recurrent::forward`], [`step`](Recurrent::step), [`forward_train`](Recurrent::forward_train) and
//!   [`backward`](Recurrent::backward) work on slices. The caller holds [`State`], [`Tape`] and
//!   [`Workspace`]. On one thread these calls allocate nothing once the workspace has grown, so real-time
//!   threads can use them, and frameworks can call them from their autograd.
//! - [`train`] has what training needs without a framework: a dense layer (also for inference:
//!   [`Dense::forward_row`] allocates nothing), an embedding, losses, CTC, optimisers, schedules and
//!   clipping.
//! - [`mod@format`] loads weights and models of other systems: PyTorch, Keras, ONNX and others.
//! - [`mod@stream`] runs models sample by sample for audio plug-ins: dense layers and a skip connection
//!   around the recurrent layers, files of RTNeural, AIDA-X and NAM, other sample rates.
//! - The README has recipes: loading weights, rows of different lengths, real time, training, and the call
//!   from an autograd.
//!
//! | feature | adds |
//! |---|---|
//! | `safetensors` | safetensors files: PyTorch's `state_dict`s, exported Keras models |
//! | `torch` | `.pt` and `.pth` files of `torch.save` |
//! | `npz` | `.npz` files of NumPy |
//! | `onnx` | ONNX models and their LSTM, GRU and RNN nodes |
//! | `json` | JSON files: models of RTNeural, AIDA-X, GuitarML and NAM, `state_dict`s |
//! | `ndarray` | sequences and states as `ndarray` views |
//!
//! # Debug builds
//!
//! Without optimisation the kernels are a hundred times slower. With this block in the `Cargo.toml` of the
//! program, or of its workspace, a debug build has optimised kernels:
//!
//! ```toml
//! [profile.dev.package.fused-rnn]
//! opt-level = 3
//! debug = false
//! debug-assertions = false
//! overflow-checks = false
//! codegen-units = 16
//! incremental = false
//! ```
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
//! weight_hh (H)                     of an IndRNN; minimal cells have no weight_hh; none of these has bias_hh
//! weight_hh (4 * H, H / heads)      of an sLSTM with heads: of each gate its blocks
//! gates in the order i, f, g, o (LSTM) and r, z, n (GRU), of minimal cells i, f, g and z, n
//! x (B, T, I)    y (B, T, D * H)    or time-major: (T, B, I), (T, B, D * H)
//!                                   or packed: (sum of lengths, I), (sum of lengths, D * H)
//! h, c (layers * D, B, H)           D directions, 1 or 2; state of layer l, direction d at l * D + d
//! ```
//!
//! Where an LSTM has a projection, its hidden states are P wide and its outputs `D * P`.
//!
//! A layer above the first reads both directions of the one below, side by side. Rows may have lengths of
//! their own ([`Dims::with_lengths`]), padded or [`packed`](Dims::packed), steps that are left out
//! ([`Dims::with_mask`]) and places where the state begins anew ([`Dims::with_resets`]).
//!
//! # Exactness
//!
//! At one SIMD level each output is one chain of operations, whatever surrounds it. Bit for bit:
//!
//! - A row does not depend on the batch, on its neighbours or on padding.
//! - A sequence that runs forward in time may be cut anywhere, and `step` called T times equals `forward`
//!   over T steps.
//! - Results and gradients do not depend on the number of threads.
//! - [`Level::Avx2`], [`Level::Avx512`] and [`Level::Neon`] give the same bits, on x86-64 and on ARM.
//!   [`Level::Portable`] does not fuse multiply and add: it differs in the last bits, and in sums that
//!   overflow on the way. Its own bits are the same on every machine, WebAssembly included.
//!
//! Which machines give the same bits:
//!
//! | of | the same bits |
//! |---|---|
//! | layers: outputs, states, gradients, whatever the options | on AVX2, AVX-512 and NEON. Those of the portable level are others: the same on x86-64, ARM and WebAssembly |
//! | [`Dense::forward_row`], [`Dense::forward_into`] | on every machine and level |
//! | optimisers, dropout masks, [`Rng::uniform`] | on every machine |
//! | squared, absolute and Huber losses; gradients of softmax with cross-entropy | on every machine |
//! | [`Dense::forward`], [`Dense::backward`], orthogonal initialisation | no: `matrixmultiply` chooses its own instructions |
//! | binary cross-entropy, CTC, values of cross-entropy, schedules of powers and cosines, [`Rng::normal`] | no: the platform computes `exp`, `ln`, `cos` and `powf` |
//!
//! The tests compare the first row on x86-64, on 64-bit ARM under emulation, and on WebAssembly in Node and
//! in a browser. Other architectures have the portable level, untested. (On 32-bit ARM, NEON clears
//! denormals.)
//!
//! Largest errors of the activations on every level. The tests `exhaustive` in `src/activation/` measure
//! sigmoid, tanh and the functions of ONNX over all 2^32 floats; those of Keras were measured with steps of
//! 701 and 9973 over all floats.
//!
//! | function | units in the last place, for arguments in -87..=87 | absolute |
//! |---|---|---|
//! | sigmoid | 2.5 | 9.0e-8 |
//! | tanh | 2.5 | 1.5e-7 |
//! | softplus | 2.8 | |
//! | elu, with alpha 1 | 1.2 | |
//! | softsign | 1.5 | |
//! | exponential | 1 | |
//! | selu | 1.8 | |
//! | sparse_plus | 1.9 | |
//! | silu, hard_silu, log_sigmoid | 2.6, 2.5, 2.5 | |
//! | square_plus | 3.1 | |
//! | mish, tanh_shrink | 4.0 | |
//! | gelu | 6.2 | |
//!
//! A sigmoid below -87 is between 0 and 1.7e-38. tanh is exactly odd, and neither sigmoid nor tanh leaves its
//! range. Beyond 87 softplus, elu and softsign are right to 1e-6 of their value, or to 1e-37. Values of
//! Keras's functions below 1e-30 may be off by 2e-36; the tests allow these functions 3.5 units, mish,
//! tanh_shrink and square_plus 5, gelu 8. The other [`Activation`]s are products and sums, and the scaled
//! tanh is a tanh between two products. Slopes are right to 3 units of 2^-23 (softplus, elu and softsign over
//! all floats, the others on a sample).
//!
//! Values below 1e-30 in magnitude count as zero, so that none becomes a denormal, on which arithmetic is
//! many times slower: parameters when they are packed, inputs and upstream gradients when they are read,
//! states and gate gradients when they are stored. [`Recurrent::parameters`] returns parameters as they were
//! set, and an initial state is taken as it is. NaN and infinities propagate; which NaN comes out, its sign
//! and its lower bits, is the processor's choice and no part of any promise.
//!
//! # Precision
//!
//! [`Builder::precision`] chooses how weights are stored and multiplied. Every cell, option, level and way of
//! running has every [`Precision`]; [`Precision::Int8`] does not train. Each keeps the promises above: a row
//! does not depend on its batch, nor results on threads or on where a sequence is cut, and levels that fuse
//! give the same bits. The sums of products themselves are the same bits on every level, the portable one
//! included, in [`Precision::Bf16`] and [`Precision::Int8`].
//!
//! | | weights | x and h | bytes of packed weights | trains |
//! |---|---|---|---|---|
//! | [`F32`](Precision::F32) | f32 | f32 | 4 a weight | yes |
//! | [`Bf16Weights`](Precision::Bf16Weights) | bf16 | f32 | 2 | yes |
//! | [`Bf16`](Precision::Bf16) | bf16 | bf16 | 2 | yes |
//! | [`Int8`](Precision::Int8) | integers, a scale for each unit and gate | integers, a scale for each row and step | 1, and 8 for each unit and gate | no |
//!
//! How far outputs are from f64, root mean square and largest error over 1000 steps of one row, of layers of
//! 128 units and 64 inputs with PyTorch's initial weights and inputs from -1 to 1 (`cargo run --release
//! --example accuracy` measures them, for shorter sequences too, over which errors are as large; Zen 4,
//! AVX-512):
//!
//! | | `F32` | `Bf16Weights` | `Bf16` | `Int8` |
//! |---|---|---|---|---|
//! | LSTM | 2.1e-8, 1.7e-7 | 1.2e-4, 7.1e-4 | 1.6e-4, 9.6e-4 | 3.8e-4, 2.2e-3 |
//! | GRU, reset after | 2.4e-8, 1.6e-7 | 2.4e-4, 1.3e-3 | 3.1e-4, 1.5e-3 | 7.6e-4, 3.5e-3 |
//! | GRU, reset before | 4.3e-8, 3.2e-7 | 2.4e-4, 1.3e-3 | 3.1e-4, 1.5e-3 | 7.6e-4, 3.3e-3 |
//! | Elman, tanh | 8.6e-8, 5.9e-7 | 5.4e-4, 2.5e-3 | 7.2e-4, 3.4e-3 | 1.8e-3, 9.5e-3 |
//! | Elman, rectifier | 4.8e-8, 5.5e-7 | 3.4e-4, 2.1e-3 | 4.5e-4, 3.0e-3 | 1.1e-3, 6.8e-3 |
//!
//! On the same weights, random ones and those of two models, bf16 of this crate was nearer to f64 than
//! PyTorch's, and `Int8` no further than ONNX Runtime's int8, by root mean square: BENCHMARKS.md has the
//! table, and `python benches/peers/accuracy.py` makes it.
//!
//! [`Recurrent::in_precision`] gives a network that exists, from a file for one, in another precision.
//! Parameters stay in f32 beside the packed weights, until [`Recurrent::drop_parameters`] frees them: a
//! network that only infers then takes the bytes of the table alone, a quarter or an eighth of those of `F32`
//! with its parameters. [`stream::Model::in_precision`] and [`stream::Model::drop_parameters`] do so for the
//! networks of a stream. The README says when which pays (*Narrow precision*).
//!
//! Weights that were rounded elsewhere are kept as they are. bf16 of a file is exact in f32 and in bf16.
//! Matrices of int8 with scales keep their integers in [`Precision::Int8`], from a `state_dict`
//! ([`format::state_dict::load`]), from any form with scales ([`format::Form::load`]), from ONNX's
//! `DynamicQuantizeLSTM` where they fit ([`format::onnx`]), or by [`Recurrent::set_scales`].
//! [`state_dict::save`](format::state_dict::save) writes them as int8 with their scales, and all else in f32.
//! [`state_dict::save_rounded`](format::state_dict::save_rounded) writes all matrices as the precision of the
//! network rounds them, in a quarter or a half of the bytes. Either way a network of the same precision that
//! is loaded from the file gives the same bits.
//!
//! # Real time
//!
//! A stream needs a network, a [`State`] and a [`Workspace`]. Make them on another thread, and
//! [reserve](Recurrent::reserve) memory for each shape of call. From then on these allocate nothing:
//! [`Recurrent::step`], and on one thread [`Recurrent::forward`], [`Dense::forward_row`] and
//! [`Dense::forward_into`], [`State::row_h`], [`State::copy_h_to`], [`State::reset`]. These allocate:
//! [`Recurrent::run`], [`Recurrent::zero_state`], [`State::h`], [`Dense::forward`], every `clone`.
//!
//! - A step with default threads runs on the caller's thread and starts no pool. A block by `forward` may
//!   start one: build the network with [`Threads::Count(1)`](Threads::Count).
//! - Several streams are rows of one batch: stereo is `zero_state(2)`. [`State::reset_row`] starts one anew.
//! - Another model is another network with a state and a workspace of its own. Hand all three to the
//!   real-time thread at once, and free the old ones elsewhere.
//! - No mode of the processor has to be set: a stream that fades away costs what any other costs (see above).
//!
//! The example `amplifier` does all of this with blocks of stereo sound, and counts allocations.
//!
//! # WebAssembly
//!
//! The portable level is the only one there. Compile with `-C target-feature=+simd128`: without it the level
//! computes one float at a time. `wasm32-unknown-unknown` has one thread; more may be asked for.
//! `examples/web` streams sound through an LSTM in an AudioWorklet.
//!
//! # Errors
//!
//! A wrong argument is an [`Error`] that says what was expected and what was got; nothing has been written
//! then. Nothing is ignored silently. (Only [`mod@reference`], which is for tests, panics instead.)
//!
//! # The source
//!
//! ```text
//! simd/        what a vector is on each level of the machine, and the choice of the level
//! memory/      aligned buffers, grids and lines
//! product/     products of rows with packed weights: panels, the micro-kernels, the order of the tiles
//! activation/  sigmoid and tanh, and the others
//! cell/        what one cell computes at one step, forward and backward
//! sequence/    how a cell runs over time: forward, backward, threads
//! layer/       what a user holds: networks of layers and directions, their parameters
//! train/       dense layer, embedding, padding, losses, CTC, optimisers, schedules, early stopping
//! reference    the same in plain scalar loops: the specification
//! format/      weights and models of other systems: conventions, files, ndarray views
//! stream/      models that run sample by sample: layers, skip connection, other sample rates
//! ```
//!
//! Each folder uses only folders above it. `error`, `order` (sorts) and `rng` (random numbers) serve all but
//! the reference, which uses nothing of the crate but [`CellKind`]. To read the kernels, begin with
//! `product/kernel.rs`, then `product/sweep.rs`, `cell/lstm.rs` and `sequence/forward.rs`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]

mod activation;
mod cell;
mod error;
pub mod format;
mod layer;
mod memory;
mod order;
mod product;
pub mod reference;
mod rng;
mod sequence;
mod simd;
pub mod stream;
pub mod train;

/// The version of this crate, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use activation::Activation;
pub use cell::CellKind;
pub use error::Error;
pub use layer::{
    Accumulate, Bias, Builder, Config, Dims, Direction, Gradients, Gru, Init, Keep, Layout, Lstm, Mirror,
    NamedParameter, Output, Recording, Recurrent, Rnn, State, Tape, Upstream, Workspace,
};
pub use product::Precision;
pub use rng::Rng;
pub use sequence::{Schedule, Threads};
pub use simd::Level;
pub use train::Dense;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
