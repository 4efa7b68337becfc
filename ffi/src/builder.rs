//! Builders: the options of a network, one setter each, so that options can be added without a change of the
//! interface.

use crate::border::{Code, Failure, free, get, get_mut, guard, make, slice, text};
use crate::network::Network;
use crate::options::{activation, bias, cell, direction, init, layout, precision};
use fused_rnn as rnn;
use std::ffi::c_char;

/// Options of a network that is to be made.
pub struct Builder(rnn::Builder);

/// Changes the options of a builder; on a failure they stay as they are.
unsafe fn set(
    builder: *mut Builder,
    change: impl FnOnce(rnn::Builder) -> Result<rnn::Builder, Failure>,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise, of every function of this file.
        let builder = unsafe { get_mut("builder", builder) }?;
        builder.0 = change(builder.0.clone())?;
        Ok(())
    })
}

/// A builder of layers of a frnn_cell, with `input_size` features and `hidden_size` units. The defaults: one
/// layer, forward in time, batch-first, two biases, no dropout, PyTorch's initial values, all threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_create(
    kind: u32,
    input_size: usize,
    hidden_size: usize,
    builder: *mut *mut Builder,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(builder, || {
            let expected = || Failure::new(Code::Range, "cell: expected one of frnn_cell but OF_FILE, got 0");
            Ok(Builder(rnn::Builder::new(cell(kind)?.ok_or_else(expected)?, input_size, hidden_size)))
        })
    }
}

/// Frees a builder. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_destroy(builder: *mut Builder) {
    // SAFETY: the caller's promise.
    unsafe { free(builder) }
}

/// The number of layers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_layers(builder: *mut Builder, layers: usize) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.layers(layers))) }
}

/// The direction of time, a frnn_direction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_direction(builder: *mut Builder, number: u32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.direction(direction(number)?))) }
}

/// The order of the axes of sequences, a frnn_layout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_layout(builder: *mut Builder, number: u32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.layout(layout(number)?))) }
}

/// The bias vectors, a frnn_bias.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_bias(builder: *mut Builder, number: u32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.bias(bias(number)?))) }
}

/// The activations, numbers of frnn_activation in ONNX's order: of an LSTM three (of i, f and o; of the
/// candidate; of the output), of a GRU two (of r and z; of the candidate), of an Elman layer one. A minimal
/// GRU has two (of z; of the candidate), a minimal LSTM one (of the candidate), an independent layer one, a
/// multiplicative LSTM three as an LSTM, an sLSTM none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_activations(
    builder: *mut Builder,
    activations: *const u32,
    count: usize,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        set(builder, |b| {
            let numbers = slice("activations", activations, count)?;
            let all: Vec<_> = numbers.iter().map(|&number| activation(number)).collect::<Result<_, _>>()?;
            Ok(b.activations(&all))
        })
    }
}

/// Clamps pre-activations to -clip..clip.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_clip(builder: *mut Builder, clip: f32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.clip(clip))) }
}

/// Clamps the cell state of an LSTM to -clip..clip.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_cell_clip(builder: *mut Builder, clip: f32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.cell_clip(clip))) }
}

/// Whether the gates of an LSTM see the cell state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_peephole(builder: *mut Builder, peephole: i32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.peephole(peephole != 0))) }
}

/// Whether the forget gate of an LSTM is 1 - i.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_coupled(builder: *mut Builder, coupled: i32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.coupled(coupled != 0))) }
}

/// Projects the hidden state of an LSTM to `size` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_projection(builder: *mut Builder, size: usize) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.projection(size))) }
}

/// Layer normalisation, with this epsilon.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_layer_norm(builder: *mut Builder, epsilon: f32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.layer_norm(epsilon))) }
}

/// Cuts the units of an sLSTM into heads, of which each unit sees those of its own head alone: `weight_hh` is
/// (4 H, H / heads). A number that divides the hidden size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_heads(builder: *mut Builder, heads: usize) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.heads(heads))) }
}

/// The probabilities with which training drops values: between layers; of the hidden state on its way into
/// the recurrent product; of the inputs of each layer. The last two have one mask for all steps of a row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_dropout(
    builder: *mut Builder,
    between: f32,
    recurrent: f32,
    input: f32,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.dropout(between).recurrent_dropout(recurrent).input_dropout(input))) }
}

/// The probabilities with which hidden states and cell states keep their old values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_zoneout(builder: *mut Builder, hidden: f32, cell: f32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.zoneout(hidden, cell))) }
}

/// The initial values of the parameters, a frnn_init, and the seed of their random numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_init(builder: *mut Builder, number: u32, seed: u64) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.init(init(number)?, seed))) }
}

/// How weights are stored and multiplied, a frnn_precision; f32 at first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_precision(builder: *mut Builder, number: u32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.precision(precision(number)?))) }
}

/// How many threads a pass may use: 0 for all of the machine. (Streams use the caller's alone.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_threads(builder: *mut Builder, threads: usize) -> Code {
    let threads = if threads == 0 { rnn::Threads::Auto } else { rnn::Threads::Count(threads) };
    // SAFETY: the caller's promise.
    unsafe { set(builder, |b| Ok(b.threads(threads))) }
}

/// Pins the SIMD level by its name: "portable", "avx2", "avx512", "neon". The default is the best of the
/// machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_set_level(builder: *mut Builder, name: *const c_char) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        set(builder, |b| {
            let level: Result<rnn::Level, _> = text("level", name)?.parse();
            Ok(b.level(level.map_err(|error| Failure::new(Code::Name, error.to_string()))?))
        })
    }
}

/// Makes the network. Options that the cell does not have, and values out of their ranges, are refused here,
/// and not where they are set. The builder can make more networks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_builder_build(builder: *const Builder, network: *mut *mut Network) -> Code {
    // SAFETY: the caller's promise.
    unsafe { make(network, || Ok(Network::new(get("builder", builder)?.0.clone().build()?))) }
}
