//! PyTorch's `state_dict` of a recurrent module: `weight_ih_l0`, `bias_hh_l1_reverse`, ...
//!
//! In Python, `safetensors.torch.save_file(model.state_dict(), "model.safetensors")` or
//! `torch.save(model.state_dict(), "model.pt")` writes one; `Tensors::from_safetensors` (feature
//! `safetensors`) and `Tensors::from_torch` (feature `torch`) read it.
//!
//! The names and shapes say how many layers, directions, inputs, units, heads and biases there are, whether
//! hidden states are projected, and, of a module of `torch.nn`, the cell, but for an RNN's nonlinearity:
//! [`describe`]. Where [`save`] made the tensors, they name their [`cell`](Tensors::cell), whichever it is,
//! and its options that are not the defaults: direction, activations, coupled gates, clips, zoneout, the
//! epsilon of layer normalisation. So does a safetensors file of them. They do not say which dropout, layout
//! and precision: those are the caller's. (`batch_first=False`, PyTorch's default, is
//! [`Layout::TimeMajor`](crate::Layout); the default here is batch-first.) A module's own tensors begin with
//! its name, `encoder.rnn.`, which the readers take off (as does [`Tensors::split_off_prefix`]); [`modules`]
//! finds all of a file.
//!
//! The names of `LSTMCell`, `GRUCell` and `RNNCell`, which have no layer, are those of layer 0. What wrappers
//! put before names (`module.`, `_orig_mod.`) is passed over. Weights that weight_norm, spectral_norm or
//! pruning make of several tensors are made of them here (once; they are plain weights then). So are
//! quantised ones, `scale (W - zero_point)`:
//!
//! | tensor | numbers | shape |
//! |---|---|---|
//! | `weight_ih_l0`, and any other matrix | int8 | as of floats: (rows, columns) |
//! | `weight_ih_l0_scale` | floats, from 1e-30 to 1e30 | `[]`, `[1]`, (rows) or (rows, 1) |
//! | `weight_ih_l0_zero_point`, which need not be there | integers | as of scales |
//!
//! [`save`] writes such for matrices whose scales were given, and where their weights are no such integers,
//! floats with `weight_ih_l0_int8_scale` beside them. [`save_rounded`] writes all matrices as the precision
//! of the network rounds them: as such integers, or in bf16.
//!
//! Unsigned bytes, 8-bit floats, and scales under other names are errors. The packed weights of PyTorch's
//! `quantize_dynamic` are no tensors: save the model before it is quantised, and choose a
//! [`Precision`](crate::Precision) here. Tensors that are no parameter of a recurrent module, and other
//! integers, are left alone.
//!
//! ```text
//! names.rs     the names of parameters, and weights that are made of several tensors
//! shapes.rs    the cell, by the names and shapes of tensors
//! options.rs   the options of a network, as texts beside its tensors
//! modules.rs   the recurrent modules of a file, by its tensors
//! save.rs      the tensors of a network, whole or rounded
//! ```
//!
//! ```
//! use fused_rnn::format::state_dict;
//! use fused_rnn::{CellKind, Gru};
//!
//! let gru = Gru::reset_after(3, 4).layers(2).bidirectional(true).build()?;
//! let tensors = state_dict::save(&gru)?;
//! assert_eq!(tensors.get("weight_ih_l1_reverse").map(|tensor| tensor.shape()), Some(&[12, 8][..]));
//!
//! let mut same = state_dict::builder(&tensors, CellKind::GruResetAfter)?.dropout(0.1).build()?;
//! state_dict::load(tensors, &mut same)?;
//! assert_eq!(gru.parameters(), same.parameters());
//! # Ok::<(), fused_rnn::Error>(())
//! ```

mod modules;
mod names;
mod options;
mod save;
mod shapes;

pub use modules::{Module, describe, modules};
pub use save::{save, save_rounded};

use super::network::{Change, suffix};
use super::tensor::{of_shape, unwrapped};
use super::{Tensors, refused};
use crate::cell::CellKind;
use crate::error::Error;
use crate::layer::{Bias, Builder, Config, Init, Recurrent};
use names::{NORM, is_parameter, number, numbers, parameters, scales};
use shapes::{Shapes, Sizes};

/// A builder of the network whose tensors these are: with its sizes, layers, directions, heads and biases,
/// and with the options that the file says.
///
/// # Errors
/// [`Error::Format`] where a tensor is missing that these are read off, its shape is none of this cell's, or
/// the file [says](Tensors::cell) that the module is of another cell ([`Tensors::set_cell`] takes that back)
/// or has an option that this version has not.
pub fn builder(tensors: &Tensors, kind: CellKind) -> Result<Builder, Error> {
    check_cell(tensors, kind)?;
    let own = parameters(own_tensors(tensors)?)?;
    let shapes = Shapes::of(&own, tensors)?;
    let Some(sizes) = shapes.sizes(kind) else { return Err(shapes.not_of(kind)) };
    let Sizes { hidden, output, seen, heads, projection } = sizes;
    let (has, rows) = (|name: &str| own.get(name).is_some(), kind.gates() * hidden);
    let (input, recurrent) = (shapes.input, kind.recurrent_gates());
    let mut builder = Builder::new(kind, input, hidden).heads(heads);
    if let Some(size) = projection {
        builder = builder.projection(size);
    }
    let (layers, both) = (shapes.layers, shapes.directions == 2);
    // All matrices that decide the size of the network: a tensor without values may say any shape.
    for layer in 0..layers {
        let above = if both { output.saturating_mul(2) } else { output };
        let width = if layer == 0 { input } else { above };
        for direction in if both { &["", "_reverse"][..] } else { &[""] } {
            own.get_shaped(&format!("weight_ih_l{layer}{direction}"), &[rows, width])?;
            if recurrent > 0 {
                let of_state = format!("weight_hh_l{layer}{direction}");
                own.get_shaped(&of_state, &[recurrent * hidden, seen])?;
            }
        }
    }
    let builder = builder
        .layers(layers)
        .peephole(has("peephole_l0"))
        .bidirectional(both)
        .bias(if shapes.bias { Bias::Double } else { Bias::None })
        .init(Init::Zero, 0);
    options::apply(builder, tensors)
}

/// Whether the file says no other cell.
fn check_cell(tensors: &Tensors, kind: CellKind) -> Result<(), Error> {
    match tensors.cell("")? {
        Some(named) if named != kind => {
            let got = format_args!("{named:?}, as the file says");
            Err(refused("cell", format_args!("{kind:?}"), got))
        }
        _ => Ok(()),
    }
}

/// Whether gains of layer normalisation have a place in a network.
fn check_norm(own: &Tensors, config: &Config) -> Result<(), Error> {
    match own.iter().find(|(name, _)| name.starts_with(NORM)).filter(|_| config.layer_norm().is_none()) {
        None => Ok(()),
        Some((name, gains)) => {
            let shape = gains.shape();
            let got = format_args!("shape {shape:?}: Builder::layer_norm takes the epsilon");
            Err(refused(name, "none, as the network was built without layer_norm", got))
        }
    }
}

/// The parameters of the module whose names these are, and their parts, by the names without wrappers.
fn own_tensors(tensors: &Tensors) -> Result<Tensors, Error> {
    let mut own = Tensors::new();
    for name in numbers(tensors, "") {
        let short = unwrapped(name);
        if !is_parameter(&short) {
            continue;
        }
        if own.get(&short).is_some() {
            return Err(refused(name, "names that differ", format_args!("two tensors {short:?}")));
        }
        let tensor = number(tensors, name)?;
        own.insert(short, tensor);
    }
    Ok(own)
}

/// Sets all parameters of a network from these tensors.
///
/// What the precision of the network keeps is kept as the file has it: bf16 in
/// [`Precision::Bf16Weights`](crate::Precision::Bf16Weights) and [`Bf16`](crate::Precision::Bf16), and in
/// [`Int8`](crate::Precision::Int8) matrices of int8 with scales. All else is rounded once, from f32.
///
/// ```
/// use fused_rnn::format::{DType, RawTensor, Tensor, Tensors, state_dict};
/// use fused_rnn::{CellKind, Precision};
///
/// // Matrices of int8, (G H, K), with a scale for each row, or one for all.
/// let mut file = Tensors::new();
/// file.insert_raw("weight_ih_l0", RawTensor::new(DType::I8, &[2, 1], vec![127, 0xFE])?);
/// file.insert("weight_ih_l0_scale", Tensor::new(&[2, 1], vec![0.5, 0.25])?);
/// file.insert_raw("weight_hh_l0", RawTensor::new(DType::I8, &[2, 2], vec![1, 2, 3, 4])?);
/// file.insert("weight_hh_l0_scale", Tensor::new(&[1], vec![0.01])?);
/// let builder = state_dict::builder(&file, CellKind::ElmanTanh)?;
/// let mut rnn = builder.precision(Precision::Int8).build()?;
/// state_dict::load(file, &mut rnn)?;
/// assert_eq!(rnn.parameters()[..2], [63.5, -0.5]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
///
/// A network with one bias vector gets the sum of two. Tensors of other names than a recurrent module's
/// parameters have are left alone.
///
/// # Errors
/// [`Error::Format`] where a parameter is missing, has another shape or has no place in the network, where
/// biases cannot be added, or where the file [says](Tensors::cell) that its cell or one of its options is
/// another than the network's ([`Tensors::set_cell`] takes that back): each by name. The network is then as
/// before.
pub fn load(tensors: Tensors, network: &mut Recurrent) -> Result<(), Error> {
    check_cell(&tensors, network.config().kind())?;
    options::check(&tensors, network.config())?;
    let own = own_tensors(&tensors)?;
    let ([scales, given], mut own) = (scales(&own), parameters(own)?);
    check_norm(&own, network.config())?;
    // (In alphabetical order.)
    let biased: Vec<String> =
        own.names().filter(|name| name.starts_with("bias_")).map(str::to_owned).collect();
    // What is missing may be in the file by a longer name.
    let mut take = |name: &str, shape: &[usize]| match own.get(name) {
        Some(_) => own.take(name, shape),
        None => Err(refused(name, of_shape(shape), tensors.missing(name))),
    };
    let mut change = Change::of(network)?;
    let config = network.config();
    let [rows, second] =
        [config.kind().gates(), config.kind().recurrent_gates()].map(|gates| gates * config.hidden_size());
    for strand in 0..config.strands() {
        let suffix = suffix(config, strand);
        let (bias_ih, bias_hh) = (format!("bias_ih{suffix}"), format!("bias_hh{suffix}"));
        let is_biased = [&bias_ih, &bias_hh].iter().any(|&name| biased.binary_search(name).is_ok());
        if config.bias() != Bias::None || is_biased {
            let bias_ih = take(&bias_ih, &[rows])?;
            let bias_hh = if second > 0 { take(&bias_hh, &[second])? } else { Vec::new() };
            change.put_biases(&suffix, bias_ih, bias_hh)?;
        }
    }
    for (name, shape) in change.open() {
        let values = take(&name, &shape)?;
        match (scales.get(&name), given.get(&name)) {
            (Some(scales), _) => change.put_integers(&name, values, scales.values())?,
            (None, Some(given)) => change.put_scaled(&name, values, given.values().to_vec())?,
            (None, None) => change.put(&name, values)?,
        }
    }
    own.finish()?;
    change.apply(network)
}
