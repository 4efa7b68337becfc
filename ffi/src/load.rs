//! Networks of files, and back.

use crate::border::{Area, Code, Failure, Place, check_apart, get, get_mut, guard, make};
use crate::border::{optional_mut, slice, text};
use crate::network::Network;
use crate::options::{cell, precision};
use fused_rnn::format::onnx::Model;
use fused_rnn::format::{Tensors, state_dict};
use fused_rnn::{CellKind, Error, Precision, Recurrent};
use std::collections::BTreeMap;
use std::ffi::c_char;

/// The network whose tensors are in a file of PyTorch's names: safetensors, `torch.save` (.pt) or JSON of
/// nested lists; `size` bytes. Names begin with `prefix`, "" for none, and the file may have others beside
/// them. `kind` is a frnn_cell. FRNN_CELL_OF_FILE takes the cell that the file says, as one of
/// frnn_network_save does. Where it says none, what may be of PyTorch is: an LSTM, a GRU that resets after
/// the product, or an RNN with tanh, though an sLSTM of one head, the other GRU and the rectifier have the
/// same shapes. Other cells are told by theirs, but for a minimal GRU or LSTM of one layer: name these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_load(
    bytes: *const u8,
    size: usize,
    prefix: *const c_char,
    kind: u32,
    network: *mut *mut Network,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(network, || load(slice("bytes", bytes, size)?, text("prefix", prefix)?, kind, Precision::F32))
    }
}

/// The same in a precision, `number` being a frnn_precision. What the precision keeps is kept as the file has
/// it: bf16 in those of bf16, and in FRNN_PRECISION_INT8 matrices of int8 with their scales. All else is
/// rounded once, from f32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_load_in_precision(
    bytes: *const u8,
    size: usize,
    prefix: *const c_char,
    kind: u32,
    number: u32,
    network: *mut *mut Network,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(network, || {
            load(slice("bytes", bytes, size)?, text("prefix", prefix)?, kind, precision(number)?)
        })
    }
}

fn load(bytes: &[u8], prefix: &str, kind: u32, precision: Precision) -> Result<Network, Failure> {
    let tensors = Tensors::read(bytes, prefix)?;
    let kind = match cell(kind)? {
        Some(kind) => kind,
        None => cell_of(&state_dict::describe(&tensors)?)?,
    };
    let mut network = state_dict::builder(&tensors, kind)?.precision(precision).build()?;
    state_dict::load(tensors, &mut network)?;
    Ok(Network::new(network))
}

/// The cell of a module, where it is clear.
fn cell_of(module: &state_dict::Module) -> Result<CellKind, Failure> {
    match module.kinds {
        &[kind] | &[kind @ CellKind::ElmanTanh, _] => Ok(kind),
        kinds => {
            let cells: Vec<_> = kinds.iter().map(|kind| kind.name().to_uppercase()).collect();
            let text = format!(
                "kind: expected FRNN_CELL_{}, as the file does not say which and its shapes are those of \
                 both, got FRNN_CELL_OF_FILE",
                cells.join(" or FRNN_CELL_")
            );
            Err(Failure::new(Code::Range, text))
        }
    }
}

/// Sets all parameters of a network that exists from such a file: of one with options that a file does not
/// tell. Options that the file says must be those of the network. A pass that was run for training before
/// can no longer run backward.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_set_parameters_of_file(
    network: *mut Network,
    bytes: *const u8,
    size: usize,
    prefix: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (network, prefix) = unsafe { (get_mut("network", network)?, text("prefix", prefix)?) };
        // SAFETY: the caller's promise.
        let tensors = Tensors::read(unsafe { slice("bytes", bytes, size) }?, prefix)?;
        network.change(|network| state_dict::load(tensors, network))
    })
}

/// The network of recurrent nodes of an ONNX model, `size` bytes: nodes above each other are one network, and
/// `index` counts them from 0. The layout is that of the nodes, mostly FRNN_LAYOUT_TIME_MAJOR; states begin
/// as zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_load_onnx(
    bytes: *const u8,
    size: usize,
    index: usize,
    network: *mut *mut Network,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe {
        make(network, || {
            let chains = Model::read(slice("bytes", bytes, size)?)?.chains(&BTreeMap::new())?;
            let count = chains.len();
            match chains.into_iter().nth(index) {
                Some(chain) => Ok(Network::new(chain.into_network())),
                None => {
                    let text = format!("index: expected a number below {count}, got {index}");
                    Err(Failure::new(Code::Range, text))
                }
            }
        })
    }
}

/// Writes the parameters as a safetensors file, by PyTorch's names behind `prefix`, to `to`, which has room
/// for `capacity` bytes; `size` is what the file takes. Where `to` is NULL, only `size` is written. The file
/// has the tensors, the cell and its options (direction, activations, coupled gates, clips, zoneout, layer
/// normalisation): no dropout, layout or precision, and a second bias of zeros where the network has
/// FRNN_BIAS_SINGLE. Matrices whose scales were given (frnn_network_set_scales, or a file of bytes) have them
/// there, and a network in FRNN_PRECISION_INT8 takes them by frnn_network_set_parameters_of_file. All else is
/// f32, whatever the precision: frnn_network_save_rounded makes a smaller file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_save(
    network: *const Network,
    prefix: *const c_char,
    to: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { save(network, prefix, to, capacity, size, state_dict::save) }
}

/// The same with matrices of weights as the precision of the network rounds them: in FRNN_PRECISION_INT8 as
/// int8 with scales, a quarter of the bytes, in those of bf16 as bf16, half of them.
/// frnn_network_load_in_precision makes a network of that precision of it with the same outputs, bit for bit;
/// so has a network that exists, once frnn_network_set_parameters_of_file has set it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frnn_network_save_rounded(
    network: *const Network,
    prefix: *const c_char,
    to: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { save(network, prefix, to, capacity, size, state_dict::save_rounded) }
}

/// Writes the tensors that `of` makes of a network as a safetensors file.
///
/// # Safety
/// As for the functions above: pointers are NULL, or point to as much as the call says.
unsafe fn save(
    network: *const Network,
    prefix: *const c_char,
    to: *mut u8,
    capacity: usize,
    size: *mut usize,
    of: fn(&Recurrent) -> Result<Tensors, Error>,
) -> Code {
    guard(|| {
        check_apart(&[Area::written("to", to, capacity), Area::written("size", size, 1)])?;
        // SAFETY: the caller's promise.
        let (network, prefix) = unsafe { (get("network", network)?, text("prefix", prefix)?) };
        // SAFETY: the caller's promise.
        let (to, size) = unsafe { (optional_mut("to", to, capacity)?, Place::new("size", size)?) };
        let mut tensors = Tensors::new();
        tensors.insert_all(prefix, of(&network.network)?);
        let bytes = tensors.to_safetensors(&[])?;
        if let Some(to) = to {
            let Some(to) = to.get_mut(..bytes.len()) else {
                let text = format!("to: expected room for {} bytes, got {capacity}", bytes.len());
                return Err(Failure::new(Code::Length, text));
            };
            to.copy_from_slice(&bytes);
        }
        size.put(bytes.len());
        Ok(())
    })
}
