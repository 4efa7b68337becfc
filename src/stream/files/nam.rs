//! Neural Amp Modeler's LSTM, `.nam`: all weights in one list.
//!
//! ```text
//! {"version": "0.5.4", "architecture": "LSTM", "weights": [..], "sample_rate": 48000,
//!  "config": {"input_size": I, "hidden_size": H, "num_layers": L}}
//!
//! of each layer    [W | R] (4 H, inputs + H) row-major, gates i, f, g, o    bias (4 H)
//!                  h (H), c (H) to begin with
//! then the head    weight (outputs, H)    bias (outputs)
//! ```
//!
//! The plug-in can be told to take approximations of tanh and sigmoid, which change the numbers; here they
//! are exact.

use super::super::Model;
use super::object::Object;
use crate::error::{Error, refused};
use crate::format::json;
use crate::layer::{Bias, Init, Lstm};
use crate::train::Dense;

/// The versions whose LSTM is this one.
const VERSIONS: [&str; 3] = ["0.5.", "0.6.", "0.7."];

pub(super) fn read(file: &Object<'_>) -> Result<Model, Error> {
    let version = file.text("version")?;
    if !VERSIONS.iter().any(|known| version.starts_with(known)) {
        return Err(refused(file.path("version"), "0.5, 0.6 or 0.7", version));
    }
    let architecture = file.text("architecture")?;
    if architecture != "LSTM" {
        let expected = "LSTM: convolutions are no recurrent layers";
        return Err(refused(file.path("architecture"), expected, architecture));
    }
    let config = file.object("config")?;
    config.only(&["input_size", "hidden_size", "num_layers", "in_channels", "out_channels"])?;
    let [inputs, units, layers] = ["input_size", "hidden_size", "num_layers"].map(|key| config.size(key));
    let (inputs, units, layers) = (inputs?, units?, layers?);
    if config.has("in_channels") && config.size("in_channels")? != inputs {
        return Err(refused(config.path("in_channels"), "as many as input_size", "another number"));
    }
    let outputs = if config.has("out_channels") { config.size("out_channels")? } else { 1 };

    let weights = json::tensor("weights of model", file.get("weights")?)?;
    if weights.shape().len() != 1 {
        return Err(refused(
            "weights of model",
            "a list of numbers",
            format_args!("shape {:?}", weights.shape()),
        ));
    }
    let weights = weights.values();
    let expected = count([inputs, units, layers, outputs]);
    if expected != Some(weights.len() as u128) {
        let expected = expected.map_or("a number that can be counted".to_owned(), |n| n.to_string());
        return Err(refused("weights of model", expected, weights.len()));
    }

    // (There are as many numbers as the network has parameters.)
    let builder = Lstm::builder(inputs, units).layers(layers).bias(Bias::Single).init(Init::Zero, 0);
    let mut network = builder.build()?;
    let mut rest = weights;
    let mut take = |count: usize| {
        let (taken, others) = rest.split_at(count);
        rest = others;
        taken
    };
    let (mut parameters, mut h, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for layer in 0..layers {
        let width = if layer == 0 { inputs } else { units };
        let matrix = take(4 * units * (width + units));
        for columns in [0..width, width..width + units] {
            matrix.chunks_exact(width + units).for_each(|row| parameters.extend(&row[columns.clone()]));
        }
        parameters.extend(take(4 * units));
        h.extend(take(units));
        c.extend(take(units));
    }
    // In the order of the network: weight_ih, weight_hh, bias_ih of each layer.
    network.update(|to| to.copy_from_slice(&parameters));
    let head = Dense::from_parameters(units, outputs, take(outputs * (units + 1)))?;
    let mut initial = network.zero_state(1)?;
    initial.set_h(&h)?;
    initial.set_c(&c)?;
    let model = Model::new(inputs).network_from(network, initial)?.dense(head)?;
    match file.sample_rate("sample_rate")? {
        Some(rate) => model.with_sample_rate(rate),
        None => Ok(model),
    }
}

/// The weights of a model.
fn count([inputs, units, layers, outputs]: [usize; 4]) -> Option<u128> {
    let [inputs, units, layers, outputs] = [inputs, units, layers, outputs].map(|size| size as u128);
    let of_layer = |width: u128| (4 * units).checked_mul(width + units + 1)?.checked_add(2 * units);
    let above = of_layer(units)?.checked_mul(layers - 1)?;
    of_layer(inputs)?.checked_add(above)?.checked_add(outputs.checked_mul(units + 1)?)
}
