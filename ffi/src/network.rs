//! Networks: sizes, and parameters in and out.

use crate::border::{Area, Code, Failure, Place, check_apart, free, get, get_mut, guard, guard_value, make};
use crate::border::{slice, slice_mut, text};
use crate::options::{cell_number, precision, precision_number};
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

    /// The tensors of the parameters. (Those of dropped ones stay in memory: C may still point to them.)
    fn tensors(&self) -> &[Tensor] {
        if self.network.has_parameters() { &self.tensors } else { &[] }
    }

    /// Changes the network; models and streams that share it keep their own. On a failure it stays the same
    /// one, so that a pass can still run backward.
    pub(crate) fn change(
        &mut self,
        with: impl FnOnce(&mut rnn::Recurrent) -> Result<(), rnn::Error>,
    ) -> Result<(), Failure> {
        if let Some(network) = Arc::get_mut(&mut self.network) {
            return Ok(with(network)?);
        }
        let mut new = copy(&self.network)?;
        with(&mut new)?;
        self.network = Arc::new(new);
        Ok(())
    }
}

/// The same network once more. (A clone would end the program where memory is refused.)
fn copy(network: &rnn::Recurrent) -> Result<rnn::Recurrent, Failure> {
    Ok(network.in_precision(network.config().precision())?)
}

/// Refuses what needs parameters where there are none any more.
pub(crate) fn check_parameters(network: &rnn::Recurrent) -> Result<(), Failure> {
    let what = "parameters of a network that has dropped them";
    if network.has_parameters() { Ok(()) } else { Err(rnn::Error::Unsupported { what }.into()) }
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

/// A network with the same layers and parameters; of one that has dropped its parameters, with the same
/// packed weights, which both share.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_clone(network: *const Network, clone: *mut *mut Network) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(clone, || {
            let network = &get("network", network)?.network;
            if !network.has_parameters() {
                return Ok(Network { network: network.clone(), tensors: Vec::new() });
            }
            Ok(Network::new(copy(network)?))
        })
    }
}

/// The same network in another precision, a frnn_precision, with the same parameters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_in_precision(
    network: *const Network,
    number: u32,
    converted: *mut *mut Network,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(converted, || {
            let network = &get("network", network)?.network;
            Ok(Network::new(network.in_precision(precision(number)?)?))
        })
    }
}

/// Frees the parameters in floats, which inference does not need: what stays are the weights packed for it, a
/// quarter of these bytes in FRNN_PRECISION_INT8, half in those of bf16. Outputs are the same bits as before.
/// There is no way back.
///
/// From then on there are no parameters and no tensors, and what needs them is FRNN_RESULT_UNSUPPORTED: to
/// read, set, load and save them, scales, another precision, training. A model that the network was added to
/// before keeps its own: drop first, then add it, or see frnn_model_drop_parameters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_drop_parameters(network: *mut Network) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let network = unsafe { get_mut("network", network) }?;
        if !network.network.has_parameters() {
            return Ok(());
        }
        network.change(|network| {
            network.drop_parameters();
            Ok(())
        })
    })
}

/// Whether it has its parameters: 1, or 0 once they have been dropped, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_has_parameters(network: *const Network) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| i32::from(n.has_parameters())) }
}

/// The bytes of its parameters and packed weights; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_bytes(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, rnn::Recurrent::bytes) }
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

/// How its weights are stored and multiplied, a frnn_precision; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_precision(network: *const Network) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| precision_number(n.config().precision())) }
}

/// The number of all parameters; 0 where they have been dropped, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_parameter_count(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { number(network, |n| n.parameters().len()) }
}

/// The number of tensors that the parameters are made of; 0 where they have been dropped, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_tensor_count(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    guard_value(0, || unsafe { get("network", network) }.map_or(0, |network| network.tensors().len()))
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
        let network = unsafe { get("network", network) }?;
        check_parameters(&network.network)?;
        let tensors = network.tensors();
        let Some(tensor) = tensors.get(index) else {
            let text = format!("tensor: expected a number below {}, got {index}", tensors.len());
            return Err(Failure::new(Code::Range, text));
        };
        // SAFETY: the caller's promise.
        let (name, shape) = unsafe { (Place::optional("name", name)?, Place::optional("shape", shape)?) };
        // SAFETY: the caller's promise.
        let (rank, start) = unsafe { (Place::optional("rank", rank)?, Place::optional("start", start)?) };
        name.put(tensor.name.as_ptr());
        shape.put(tensor.shape.as_ptr());
        rank.put(tensor.shape.len());
        start.put(tensor.start);
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
        check_parameters(&network.network)?;
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
        check_parameters(&network.network)?;
        check_count("parameters", network.network.parameters().len(), count)?;
        network.change(|network| {
            network.update(|parameters| parameters.copy_from_slice(from));
            Ok(())
        })
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
        network.change(|network| network.set_parameter(name, from).map(drop))
    })
}

/// Sets the scales with which FRNN_PRECISION_INT8 rounds a weight matrix, by the name of its tensor: one for
/// each of its rows, or one for all of them; NULL and 0 for its own again. A matrix that was quantised
/// elsewhere, scale * q with q from -128 to 127, so keeps its integers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_set_scales(
    network: *mut Network,
    name: *const c_char,
    scales: *const f32,
    count: usize,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (network, name) = unsafe { (get_mut("network", network)?, text("name", name)?) };
        // SAFETY: the caller's promise.
        let scales = unsafe { slice("scales", scales, count) }?;
        network.change(|network| network.set_scales(name, scales))
    })
}

pub(crate) fn check_count(what: &str, expected: usize, got: usize) -> Result<(), Failure> {
    if expected == got {
        return Ok(());
    }
    Err(Failure::new(Code::Length, format!("{what}: expected {expected} values, got {got}")))
}
