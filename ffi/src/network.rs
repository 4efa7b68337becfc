//! Networks: sizes, and parameters in and out.

use crate::border::{Area, Code, Failure, check_apart, free, get, get_mut, guard, guard_value, make, put};
use crate::border::{slice, slice_mut, text};
use crate::options::cell_number;
use fused_rnn as rnn;
use std::ffi::{CString, c_char};
use std::sync::Arc;

/// Recurrent layers with their parameters.
///
/// Models and streams that were made of it keep the parameters that it had then.
pub struct Network {
    pub(crate) network: Arc<rnn::Recurrent>,
    tensors: Vec<Tensor>,
}

/// The name and the shape of a parameter, in forms that C can point to.
struct Tensor {
    name: CString,
    shape: Vec<usize>,
    start: usize,
}

impl Network {
    pub(crate) fn new(network: rnn::Recurrent) -> Network {
        let tensors = network.named_parameters().map(|tensor| Tensor {
            name: CString::new(tensor.name).unwrap_or_default(),
            shape: tensor.shape,
            start: tensor.range.start,
        });
        Network { tensors: tensors.collect(), network: Arc::new(network) }
    }
}

/// A number of a network; 0 where it is NULL.
unsafe fn number<T: Default>(network: *const Network, of: impl FnOnce(&rnn::Recurrent) -> T) -> T {
    // SAFETY: the caller's promise, of every function of this file.
    guard_value(T::default(), || match unsafe { get("network", network) } {
        Ok(network) => of(&network.network),
        Err(_) => T::default(),
    })
}

/// Frees a network. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_destroy(network: *mut Network) {
    // SAFETY: the caller's promise.
    unsafe { free(network) }
}

/// A network with the same layers and parameters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_clone(network: *const Network, clone: *mut *mut Network) -> Code {
    // SAFETY: the caller's promise.
    unsafe { make(clone, || Ok(Network::new(rnn::Recurrent::clone(&get("network", network)?.network)))) }
}

/// Features of the input, I; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_input_size(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.config().input_size()) }
}

/// Features of the output: directions times hidden units, or times the size of the projection; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_output_size(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.config().output_size()) }
}

/// Hidden units, H; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_hidden_size(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.config().hidden_size()) }
}

/// Layers; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_layers(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.config().layers()) }
}

/// Directions of each layer, 1 or 2; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_directions(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.config().directions()) }
}

/// The cell, a frnn_cell; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_cell(network: *const Network) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| cell_number(n.config().kind())) }
}

/// The order of the axes of its sequences, a frnn_layout; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_layout(network: *const Network) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| u32::from(n.config().layout() == rnn::Layout::TimeMajor)) }
}

/// The number of all parameters; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_parameter_count(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.parameters().len()) }
}

/// The number of tensors that the parameters are made of; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_tensor_count(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || unsafe { get("network", network) }.map_or(0, |network| network.tensors.len()))
}

/// The tensor of this number: its name as in PyTorch, such as "weight_ih_l0", its shape of `rank` sizes, and
/// where it begins among all parameters. Name and shape are valid until the network is destroyed. Pointers
/// to what is not wanted may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_tensor(
    network: *const Network,
    index: usize,
    name: *mut *const c_char,
    shape: *mut *const usize,
    rank: *mut usize,
    start: *mut usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let tensors = &unsafe { get("network", network) }?.tensors;
        let Some(tensor) = tensors.get(index) else {
            let text = format!("tensor: expected a number below {}, got {index}", tensors.len());
            return Err(Failure::new(Code::Range, text));
        };
        // SAFETY: the caller's promise.
        unsafe {
            if !name.is_null() {
                put("name", name, tensor.name.as_ptr())?;
            }
            if !shape.is_null() {
                put("shape", shape, tensor.shape.as_ptr())?;
            }
            if !rank.is_null() {
                put("rank", rank, tensor.shape.len())?;
            }
            if !start.is_null() {
                put("start", start, tensor.start)?;
            }
        }
        Ok(())
    })
}

/// Writes all parameters to `to`, `count` of them: of each layer and direction weight_ih, weight_hh, bias_ih,
/// bias_hh and so on, as frnn_network_tensor lists them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_get_parameters(
    network: *const Network,
    to: *mut f32,
    count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (network, to) = unsafe { (get("network", network)?, slice_mut("to", to, count)?) };
        check_count("parameters", network.network.parameters().len(), count)?;
        to.copy_from_slice(network.network.parameters());
        Ok(())
    })
}

/// Sets all parameters from `from`, in the same order. A pass that was run for training before can no longer
/// run backward.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_set_parameters(
    network: *mut Network,
    from: *const f32,
    count: usize,
) -> Code {
    guard(|| {
        check_apart(&[Area::written("network", network, 1), Area::read("from", from, count)])?;
        // SAFETY: the caller's promise.
        let (network, from) = unsafe { (get_mut("network", network)?, slice("from", from, count)?) };
        check_count("parameters", network.network.parameters().len(), count)?;
        // (Models and streams that share the network keep their own.)
        Arc::make_mut(&mut network.network).update(|parameters| parameters.copy_from_slice(from));
        Ok(())
    })
}

/// Sets one tensor by its name, such as "weight_hh_l0".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_set_parameter(
    network: *mut Network,
    name: *const c_char,
    from: *const f32,
    count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (network, name) = unsafe { (get_mut("network", network)?, text("name", name)?) };
        // SAFETY: the caller's promise.
        let from = unsafe { slice("from", from, count) }?;
        Arc::make_mut(&mut network.network).set_parameter(name, from)?;
        Ok(())
    })
}

pub(crate) fn check_count(what: &str, expected: usize, got: usize) -> Result<(), Failure> {
    if expected == got {
        return Ok(());
    }
    Err(Failure::new(Code::Length, format!("{what}: expected {expected} values, got {got}")))
}
