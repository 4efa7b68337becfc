//! PyTorch's `state_dict` of a recurrent module: `weight_ih_l0`, `bias_hh_l1_reverse`, ...
//!
//! The names and shapes say how many layers, directions, inputs, units and biases there are, and whether
//! hidden states are projected. They do not say which cell, which dropout and which layout: those are the
//! caller's. A module's own tensors begin with its name, `encoder.rnn.`, which
//! `Tensors::from_safetensors` takes off (as does [`Tensors::split_off_prefix`]).
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

use super::network::{Change, cells, suffix};
use super::{Tensor, Tensors, refused};
use crate::cell::CellKind;
use crate::error::Error;
use crate::layer::{Bias, Builder, Init, Recurrent};

/// A builder of the network whose tensors these are: with its sizes, layers, directions and biases.
///
/// # Errors
/// [`Error::Format`] where a tensor is missing that these are read off, or its shape is none of this cell's.
pub fn builder(tensors: &Tensors, kind: CellKind) -> Result<Builder, Error> {
    let [rows, input] = matrix(tensors, "weight_ih_l0")?;
    let has = |name: &str| tensors.get(name).is_some();
    let (hidden, recurrent) = (rows / kind.gates(), kind.recurrent_gates());
    let output = if recurrent > 0 { matrix(tensors, "weight_hh_l0")?[1] } else { hidden };
    let mut builder = Builder::new(kind, input, hidden);
    if rows % kind.gates() != 0 || output != hidden && !has("weight_hr_l0") {
        let expected = format!("{} rows for {output} units of {kind:?}", kind.gates().saturating_mul(output));
        return Err(refused("weight_ih_l0", expected, rows.to_string()));
    }
    if has("weight_hr_l0") {
        builder = builder.projection(output);
    }
    let layers = (0..).take_while(|layer| has(&format!("weight_ih_l{layer}"))).count();
    let both = has("weight_ih_l0_reverse");
    // All matrices that decide the size of the network: a tensor without values may say any shape.
    for layer in 0..layers {
        let above = if both { output.saturating_mul(2) } else { output };
        let width = if layer == 0 { input } else { above };
        for direction in if both { &["", "_reverse"][..] } else { &[""] } {
            let of_input = format!("weight_ih_l{layer}{direction}");
            tensors.get_shaped(&of_input, &[rows, width])?;
            if recurrent > 0 {
                let of_state = format!("weight_hh_l{layer}{direction}");
                tensors.get_shaped(&of_state, &[recurrent * hidden, output])?;
            }
        }
    }
    Ok(builder
        .layers(layers)
        .peephole(has("peephole_l0"))
        .bidirectional(both)
        .bias(if has("bias_ih_l0") || has("bias_hh_l0") { Bias::Double } else { Bias::None })
        .init(Init::Zero, 0))
}

fn matrix(tensors: &Tensors, name: &str) -> Result<[usize; 2], Error> {
    let shape = tensors.get(name).map(Tensor::shape);
    shape.and_then(|shape| shape.try_into().ok()).ok_or_else(|| {
        let got = shape.map_or("none".to_owned(), |shape| format!("shape {shape:?}"));
        refused(name, "a matrix", got)
    })
}

/// Sets all parameters of a network from all of these tensors.
///
/// A network with one bias vector gets the sum of two.
///
/// # Errors
/// [`Error::Format`] where a tensor is missing, has another shape or has no place in the network, or where biases
/// cannot be added: each by name. The network is then as before.
pub fn load(mut tensors: Tensors, network: &mut Recurrent) -> Result<(), Error> {
    let mut change = Change::of(network);
    let config = network.config();
    let [rows, second] =
        [config.kind().gates(), config.kind().recurrent_gates()].map(|gates| gates * config.hidden_size());
    for cell in 0..cells(network) {
        let suffix = suffix(config, cell);
        let (bias_ih, bias_hh) = (format!("bias_ih{suffix}"), format!("bias_hh{suffix}"));
        if config.bias() != Bias::None || tensors.get(&bias_ih).is_some() || tensors.get(&bias_hh).is_some() {
            let bias_ih = tensors.take(&bias_ih, &[rows])?;
            let bias_hh = if second > 0 { tensors.take(&bias_hh, &[second])? } else { Vec::new() };
            change.put_biases(&suffix, bias_ih, bias_hh)?;
        }
    }
    for name in tensors.names().map(str::to_owned).collect::<Vec<_>>() {
        if let Some(shape) = change.shape(&name).map(<[usize]>::to_vec) {
            change.put(&name, tensors.take(&name, &shape)?)?;
        }
    }
    tensors.finish()?;
    change.apply(network)
}

/// The tensors of a network, as PyTorch's module of its shape has them.
///
/// Where the network has one bias vector, PyTorch's second is zeros.
///
/// # Errors
/// [`Error::Format`] where the network cannot be told by its tensors, which none is today.
pub fn save(network: &Recurrent) -> Result<Tensors, Error> {
    let (mut tensors, config) = (Tensors::new(), network.config());
    for parameter in network.named_parameters() {
        let second = config.kind().recurrent_gates() * config.hidden_size();
        let single = config.bias() == Bias::Single && second > 0;
        if let Some(suffix) = parameter.name.strip_prefix("bias_ih").filter(|_| single) {
            tensors.insert(format!("bias_hh{suffix}"), Tensor::new(&[second], vec![0.0; second])?);
        }
        tensors.insert(parameter.name, Tensor::new(&parameter.shape, parameter.values.to_vec())?);
    }
    Ok(tensors)
}
