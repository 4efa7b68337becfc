//! Models: recurrent layers with what stands around them, of files or of parts.

use crate::border::{Code, Failure, collect, free, get, get_mut, guard, guard_value, make};
use crate::border::{optional, slice, text};
use crate::network::{Network, check_count};
use crate::options::{activation, precision};
use fused_rnn::format::{Tensor, Tensors};
use fused_rnn::{Dense, Error, stream};
use std::ffi::c_char;

/// A model that runs sample by sample: layers in their order, skip connection, gains, sample rate.
pub struct Model(pub(crate) stream::Model);

/// Changes a model; on a failure it stays as it is.
unsafe fn change(
    model: *mut Model,
    with: impl FnOnce(stream::Model) -> Result<stream::Model, Failure>,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise, of every function of this file.
        let model = unsafe { get_mut("model", model) }?;
        // (Layers are shared: a copy is cheap.)
        model.0 = with(model.0.clone())?;
        Ok(())
    })
}

/// A model without layers, for `inputs` features. Layers are added in the order in which they run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_create(inputs: usize, model: *mut *mut Model) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(model, || match inputs {
            0 => Err(Error::ZeroSize { what: "inputs of a model" }.into()),
            _ => Ok(Model(stream::Model::new(inputs))),
        })
    }
}

/// The model of a file of an audio plug-in, `size` bytes: RTNeural's JSON, that of AIDA-X with skip
/// connection, gains and sample rate, GuitarML's (Proteus, NeuralPi), NAM's with the architecture LSTM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_load(bytes: *const u8, size: usize, model: *mut *mut Model) -> Code {
    // SAFETY: the caller's promise.
    unsafe { make(model, || Ok(Model(stream::Model::read(slice("bytes", bytes, size)?)?))) }
}

/// Frees a model. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_destroy(model: *mut Model) {
    // SAFETY: the caller's promise.
    unsafe { free(model) }
}

/// Adds recurrent layers, which run forward in time, with the parameters that they have now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_add_network(model: *mut Model, network: *const Network) -> Code {
    // SAFETY: the caller's promise.
    unsafe { change(model, |model| Ok(model.network(get("network", network)?.network.clone())?)) }
}

/// The same model with its networks in another precision, a frnn_precision, as frnn_network_in_precision
/// makes them: one of a file is in floats. Dense layers stay in floats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_in_precision(
    model: *const Model,
    number: u32,
    converted: *mut *mut Model,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { make(converted, || Ok(Model(get("model", model)?.0.in_precision(precision(number)?)?))) }
}

/// Frees the parameters of its networks, of a file or of frnn_model_add_network, as
/// frnn_network_drop_parameters says. A network that a stream, or a handle of its own, shares keeps its
/// parameters for those, and the model gets one without: drop before streams are made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_drop_parameters(model: *mut Model) -> Code {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { get_mut("model", model) }?.0.drop_parameters()?))
}

/// The bytes of the parameters and packed weights of its layers; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_bytes(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || unsafe { get("model", model) }.map_or(0, |model| model.0.bytes()))
}

/// Adds a dense layer to `outputs` values: `weight` (outputs, inputs), row-major as PyTorch's, and `bias`
/// (outputs), or NULL for zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_add_dense(
    model: *mut Model,
    outputs: usize,
    weight: *const f32,
    weight_count: usize,
    bias: *const f32,
    bias_count: usize,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        change(model, |model| {
            let (weight, inputs) = (slice("weight", weight, weight_count)?, model.outputs());
            check_count("weight", inputs.saturating_mul(outputs), weight.len())?;
            let bias = optional("bias", bias, bias_count)?;
            if let Some(bias) = bias {
                check_count("bias", outputs, bias.len())?;
            }
            let tensor = |shape: &[usize], values: &[f32]| {
                Ok::<_, Failure>(Tensor::new(shape, collect(values.iter().copied())?)?)
            };
            let weight = tensor(&[outputs, inputs], weight)?;
            let bias = bias.map(|bias| tensor(&[outputs], bias)).transpose()?;
            Ok(model.dense(Dense::from_pytorch(&weight, bias.as_ref())?)?)
        })
    }
}

/// Adds the dense layer whose tensors `weight` (outputs, inputs) and, where it has one, `bias` (outputs) are
/// in a file, of `size` bytes and of the kinds that frnn_network_load reads, behind `prefix`: "lin." for
/// "lin.weight". The file may have tensors beside them whose names do not begin with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_add_dense_of_file(
    model: *mut Model,
    bytes: *const u8,
    size: usize,
    prefix: *const c_char,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        change(model, |model| {
            let tensors = Tensors::read(slice("bytes", bytes, size)?, text("prefix", prefix)?)?;
            Ok(model.dense(Dense::load(tensors)?)?)
        })
    }
}

/// Adds a function of each value, a frnn_activation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_add_activation(model: *mut Model, number: u32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { change(model, |model| Ok(model.activation(activation(number)?)?)) }
}

/// Whether the first inputs, as many as there are outputs, are added to the outputs. Set it after the layers:
/// a model that has more outputs than inputs then is refused, here and by frnn_stream_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_set_skip(model: *mut Model, skip: i32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { change(model, |model| Ok(model.with_skip(skip != 0)?)) }
}

/// The factors of all inputs and of all outputs; 1 at first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_set_gains(model: *mut Model, input: f32, output: f32) -> Code {
    // SAFETY: the caller's promise.
    unsafe { change(model, |model| Ok(model.with_gains(input, output)?)) }
}

/// The sample rate of the training, in hertz.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_set_sample_rate(model: *mut Model, sample_rate: f64) -> Code {
    // SAFETY: the caller's promise.
    unsafe { change(model, |model| Ok(model.with_sample_rate(sample_rate)?)) }
}

/// Features of the input; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_inputs(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || unsafe { get("model", model) }.map_or(0, |model| model.0.inputs()))
}

/// Features of the output; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_outputs(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || unsafe { get("model", model) }.map_or(0, |model| model.0.outputs()))
}

/// The sample rate of the training in hertz; 0 where it is not known, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_sample_rate(model: *const Model) -> f64 {
    // SAFETY: the caller's promise.
    let rate = || unsafe { get("model", model) }.ok().and_then(|model| model.0.sample_rate());
    guard_value(0.0, || rate().unwrap_or(0.0))
}

/// The ratio for frnn_stream_create at a sample rate in hertz: that rate over the one of the training; 1
/// where that one is not known, and for NULL. Below 1 the input must be resampled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_model_ratio_for(model: *const Model, sample_rate: f64) -> f64 {
    // SAFETY: the caller's promise.
    let ratio = || unsafe { get("model", model) }.map_or(1.0, |model| model.0.ratio_for(sample_rate));
    guard_value(1.0, ratio)
}
