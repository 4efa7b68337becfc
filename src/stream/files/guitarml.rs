//! Models of GuitarML's plug-ins (Proteus, NeuralPi, SmartGuitarAmp), as Automated-GuitarAmpModelling saves
//! them: a `state_dict` of PyTorch, and the arguments of its model's constructor.
//!
//! ```text
//! {"model_data": {"model": "SimpleRNN", "unit_type": "LSTM", "input_size", "hidden_size", "num_layers",
//!                 "output_size", "skip": 0 or 1, "bias_fl"},
//!  "state_dict": {"rec.weight_ih_l0": [..], .., "lin.weight": [..], "lin.bias": [..]}}
//! y = lin(rec(x)) + x[skip]
//! ```

use super::super::Model;
use super::object::Object;
use crate::CellKind;
use crate::error::{Error, refused};
use crate::format::{json, state_dict};
use crate::train::Dense;

pub(super) fn read(file: &Object<'_>) -> Result<Model, Error> {
    let data = file.object("model_data")?;
    let class = data.text("model")?;
    if class != "SimpleRNN" {
        return Err(refused(data.path("model"), "SimpleRNN", class));
    }
    let kind = match data.text("unit_type")? {
        "LSTM" => CellKind::Lstm,
        "GRU" => CellKind::GruResetAfter,
        "RNN" => CellKind::ElmanTanh,
        other => return Err(refused(data.path("unit_type"), "LSTM, GRU or RNN", other)),
    };
    let mut tensors = json::from_value(file.get("state_dict")?, "")?;
    let rec = tensors.split_off_prefix("rec.");
    let head = Dense::load(tensors.split_off_prefix("lin."))?;
    tensors.finish()?;
    let mut network = state_dict::builder(&rec, kind)?.build()?;
    state_dict::load(rec, &mut network)?;
    let config = network.config();
    for (key, got) in [
        ("input_size", config.input_size()),
        ("hidden_size", config.hidden_size()),
        ("num_layers", config.layers()),
        ("output_size", head.outputs()),
    ] {
        let expected = data.size(key)?;
        if expected != got {
            return Err(refused("state_dict", format_args!("{expected} as {key} says"), got));
        }
    }
    let skip = data.skip("skip")?;
    let outputs = head.outputs();
    if skip && outputs != 1 {
        let got = format_args!("{outputs} outputs");
        return Err(refused(data.path("skip"), "a model of one output", got));
    }
    Model::new(config.input_size()).network(network)?.dense(head)?.with_skip(skip)
}
