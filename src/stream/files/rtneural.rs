//! Models of RTNeural, `model_utils.py`, and of AIDA-X, which has more beside the layers.
//!
//! ```text
//! {"in_shape": [null, null, I], "layers": [{"type", "activation", "shape": [.., H], "weights": [..]}, ..],
//!  "in_skip": 0 or 1, "in_gain": dB, "out_gain": dB, "samplerate": "48000", "metadata": {"samplerate": ..}}
//!
//! type                           weights, in Keras's form
//! lstm                           kernel (I, 4 H), recurrent (H, 4 H), bias (4 H)      gates i, f, c, o
//! gru                            kernel (I, 3 H), recurrent (H, 3 H), bias (2, 3 H)   z, r, h; reset after
//! dense, time-distributed-dense  kernel (I, O), bias (O)
//! activation                     none
//! ```
//!
//! AIDA-X computes `out_gain (in_gain x + layers(in_gain x))`, and without `in_skip` it leaves out the first
//! term; of several inputs the first is added. Gains are decibels, and -90 and less is silence.

use super::super::{Model, ModelStage};
use super::object::{Object, size};
use crate::activation::Activation;
use crate::error::{Error, refused};
use crate::format::{Arrays, Convention, Tensor, json};
use crate::layer::{Bias, Builder, Init};
use crate::train::Dense;
use crate::{CellKind, Recurrent};
use serde_json::Value;

pub(super) fn read(file: &Object<'_>) -> Result<Model, Error> {
    let shape = file.list("in_shape")?;
    let inputs = match shape.last() {
        Some(last) => size("in_shape of model", last)?,
        None => return Err(refused("in_shape of model", "the number of inputs at its end", "no value")),
    };
    let mut model = Model::new(inputs);
    for (index, layer) in file.list("layers")?.iter().enumerate() {
        model = add(model, &Object::of(format!("layer {index}"), layer)?)?;
    }
    // (Without weights, no number of inputs would be too large for a small file.)
    if model.stages().iter().all(|stage| matches!(stage, ModelStage::Activation(_))) {
        return Err(refused("layers of model", "a layer with weights", "none"));
    }
    if file.skip("in_skip")? {
        let outputs = model.outputs();
        if outputs != 1 {
            let got = format_args!("{outputs} outputs");
            return Err(refused("in_skip of model", "a model of one output", got));
        }
        model = model.with_skip(true)?;
    }
    let [input, output] = ["in_gain", "out_gain"].map(|key| file.float(key).map(gain));
    model = model.with_gains(input?, output?)?;
    let own = file.find("metadata").filter(|metadata| metadata.is_object());
    let own = own.map(|metadata| Object::of("metadata", metadata)?.sample_rate("samplerate")).transpose()?;
    match own.flatten().or(file.sample_rate("samplerate")?) {
        Some(rate) => model.with_sample_rate(rate),
        None => Ok(model),
    }
}

/// The factor of a gain in decibels.
fn gain(decibels: Option<f32>) -> f32 {
    match decibels {
        None => 1.0,
        Some(decibels) if decibels > -90.0 => 10f32.powf(decibels * 0.05),
        Some(_) => 0.0,
    }
}

/// Adds a layer, with its activation where it has one.
fn add(model: Model, layer: &Object<'_>) -> Result<Model, Error> {
    let activation = match layer.find("activation") {
        None => "",
        Some(_) => layer.text("activation")?,
    };
    let kind = layer.text("type")?;
    // (What else a known layer has would change what it computes.)
    if ["lstm", "gru", "dense", "time-distributed-dense", "activation"].contains(&kind) {
        layer.only(&["type", "activation", "shape", "weights", "name"])?;
    }
    match kind {
        "lstm" | "gru" => {
            let tanh = matches!(activation, "" | "tanh");
            if !tanh {
                return Err(refused(layer.path("activation"), "tanh", activation));
            }
            let network = network(layer, kind)?;
            check_shape(layer, network.config().hidden_size())?;
            model.network(network)
        }
        "dense" | "time-distributed-dense" => {
            let dense = dense(layer)?;
            check_shape(layer, dense.outputs())?;
            activate(model.dense(dense)?, layer, activation)
        }
        "activation" => {
            if !layer.find("weights").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                return Err(refused(layer.path("weights"), "none", "some"));
            }
            check_shape(layer, model.outputs())?;
            activate(model, layer, activation)
        }
        other => {
            let expected = "lstm, gru, dense, time-distributed-dense or activation";
            Err(refused(layer.path("type"), expected, other))
        }
    }
}

fn activate(model: Model, layer: &Object<'_>, activation: &str) -> Result<Model, Error> {
    let activation = match activation {
        "" | "linear" => return Ok(model),
        "tanh" => Activation::Tanh,
        "relu" => Activation::Relu,
        "sigmoid" => Activation::Sigmoid,
        "elu" => Activation::Elu { alpha: 1.0 },
        other => return Err(refused(layer.path("activation"), "tanh, relu, sigmoid, elu or none", other)),
    };
    model.activation(activation)
}

/// The last of `shape` are the outputs of the layer: RTNeural makes its layers by it.
fn check_shape(layer: &Object<'_>, outputs: usize) -> Result<(), Error> {
    let name = layer.path("shape");
    match layer.list("shape")?.last() {
        Some(last) if size(&name, last)? == outputs => Ok(()),
        last => {
            let got = last.map_or("no size".to_owned(), Value::to_string);
            Err(refused(name, format_args!("{outputs} at its end, as the weights have"), got))
        }
    }
}

/// The arrays of the weights, at least `least` and at most `most`.
fn weights(layer: &Object<'_>, least: usize, most: usize) -> Result<Vec<Tensor>, Error> {
    let (name, list) = (layer.path("weights"), layer.list("weights")?);
    if !(least..=most).contains(&list.len()) {
        return Err(refused(name, format_args!("{least} to {most} arrays"), list.len()));
    }
    list.iter().enumerate().map(|(index, value)| json::tensor(&format!("{name}, {index}"), value)).collect()
}

fn network(layer: &Object<'_>, kind: &str) -> Result<Recurrent, Error> {
    let (kind, bias) = match kind {
        "gru" => (CellKind::GruResetAfter, Bias::Double),
        _ => (CellKind::Lstm, Bias::Single),
    };
    let mut weights = weights(layer, 2, 3)?.into_iter();
    let (Some(kernel), Some(recurrent)) = (weights.next(), weights.next()) else {
        return Err(refused(layer.path("weights"), "two matrices", "less"));
    };
    let biases = weights.next();
    let bias = if biases.is_some() { bias } else { Bias::None };
    let (&[inputs, _], &[units, _]) = (kernel.shape(), recurrent.shape()) else {
        let got = format_args!("shapes {:?} and {:?}", kernel.shape(), recurrent.shape());
        return Err(refused(layer.path("weights"), "two matrices", got));
    };
    // (Before a network of these sizes is made: both have gates times units columns.)
    let columns = Some([kernel.shape()[1], recurrent.shape()[1]]);
    if kind.gates().checked_mul(units).map(|gates| [gates; 2]) != columns {
        let expected = format_args!("{} times {units} columns", kind.gates());
        let got = format_args!("shapes {:?} and {:?}", kernel.shape(), recurrent.shape());
        return Err(refused(layer.path("weights"), expected, got));
    }
    let mut network = Builder::new(kind, inputs, units).bias(bias).init(Init::Zero, 0).build()?;
    Convention::Keras.load(&mut network, &[Arrays::from_tensors(kernel, recurrent, biases)])?;
    Ok(network)
}

fn dense(layer: &Object<'_>) -> Result<Dense, Error> {
    let mut weights = weights(layer, 1, 2)?.into_iter();
    let kernel = weights.next().unwrap_or_default();
    Dense::from_keras(&kernel, weights.next().as_ref())
}
