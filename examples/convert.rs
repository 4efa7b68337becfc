//! Prints the recurrent layers of a model file, and writes them as safetensors with PyTorch's names.
//!
//! ```text
//! cargo run --release --features safetensors,torch,npz,onnx --example convert -- FILE [OUTPUT.safetensors]
//! ```
//!
//! FILE is safetensors, `.pt` or `.pth` of `torch.save`, `.npz` (with PyTorch's names), an ONNX model, or
//! what `examples/export_keras.py` makes of a Keras model. What names and shapes do not say of a layer (its
//! cell, activations, clipping, coupled gates, the epsilon of layer normalisation, how Keras merges
//! directions) is in the metadata of the output, at `NAME.fused_rnn.cell` and so on; what is not written,
//! initial states, is said. The cell is read from there again, heads from the shapes. A file that does not
//! say its cell has those of `torch.nn` wherever shapes allow it: `state_dict::describe`.

use fused_rnn::format::onnx::Model;
use fused_rnn::format::{Tensors, keras, state_dict};
use fused_rnn::{CellKind, Error, Recurrent};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// Layers by name; and what is none, or none that can be read, in words.
#[derive(Default)]
struct Found {
    layers: Vec<(String, Recurrent)>,
    /// More metadata than a network has.
    metadata: Vec<(String, String)>,
    others: Vec<String>,
}

impl Found {
    fn add(&mut self, name: &str, layer: Result<Recurrent, Error>) {
        match layer {
            Ok(layer) => self.layers.push((name.to_owned(), layer)),
            Err(error) => self.others.push(format!("{name}: {error}")),
        }
    }
}

fn read(path: &str, bytes: &[u8]) -> Result<Found, Error> {
    // An ONNX file has no magic number: it is one if it can be read as one, and has nodes. By its path, so that
    // data in files beside it are found.
    match Model::open(path) {
        Ok(model) if model.nodes().len() + model.other_nodes().len() > 0 => return Ok(onnx(&model)),
        Err(error) if path.ends_with(".onnx") => return Err(error),
        _ => {}
    }
    let options = Tensors::safetensors_metadata(bytes).unwrap_or_default();
    let layers: Vec<&str> = options.keys().filter_map(|key| key.strip_suffix("/layer")).collect();
    Ok(if layers.is_empty() { torch(&Tensors::read(bytes, "")?) } else { keras(bytes, &layers) })
}

fn onnx(model: &Model) -> Found {
    let mut found = Found::default();
    for (index, node) in model.nodes().iter().enumerate() {
        let name = format!("{}#{index}", node.name());
        found.add(&name, node.with_weights(model, &BTreeMap::new()).map(|node| node.into_layer()));
        if [5, 6].into_iter().any(|index| node.input(index).is_some_and(|state| !state.is_empty())) {
            found.others.push(format!("{name}: its initial states, which are not written"));
        }
    }
    let others = model.other_nodes();
    let types: BTreeSet<&str> = others.iter().map(|node| node.op_type()).collect();
    found.others.extend(types.into_iter().map(|operator| format!("nodes {operator}")));
    found
}

fn keras(bytes: &[u8], names: &[&str]) -> Found {
    let mut found = Found::default();
    for name in names {
        let layer = keras::Layer::from_safetensors(bytes, name);
        if let Ok(layer) = &layer
            && let Some(merge) = layer.merge()
        {
            found.metadata.push((format!("{name}.fused_rnn.merge"), format!("{merge:?}")));
        }
        found.add(name, layer.map(|layer| layer.into_network()));
    }
    found
}

fn torch(file: &Tensors) -> Found {
    let mut found = Found::default();
    let modules = state_dict::modules(file);
    for module in &modules {
        let name = module.prefix.trim_end_matches('.');
        let shown = if name.is_empty() { "(no name)" } else { name };
        match module.kinds {
            [CellKind::ElmanTanh, _] => println!(
                "{shown}: the file does not say whether this RNN's nonlinearity is tanh or relu; taken as tanh"
            ),
            [kind, other] => {
                let what = format!("{shown}: expected the name of its cell, {kind:?} or {other:?}");
                found.others.push(format!("{what}, got none in the file: state_dict::builder takes it"));
                continue;
            }
            _ => {}
        }
        found.add(name, module.network(file, module.kinds[0]));
    }
    let owned: BTreeSet<&str> = modules.iter().flat_map(|module| module.names(file)).collect();
    let rest = file.iter().filter(|(name, _)| !owned.contains(name));
    found.others.extend(rest.map(|(name, tensor)| format!("{name} {:?}", tensor.shape())));
    found.others.extend(file.others().map(|(name, raw)| format!("{name} {raw:?}")));
    found
}

fn convert(path: &str, output: Option<&str>) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let text = |error: Error| format!("{path}: {error}");
    let found = read(path, &bytes).map_err(text)?;
    let (mut file, mut metadata) = (Tensors::new(), found.metadata);
    for (name, network) in &found.layers {
        let config = network.config();
        let [input, hidden, layers] = [config.input_size(), config.hidden_size(), config.layers()];
        let shown = if name.is_empty() { "(no name)" } else { name };
        let heads = if config.heads() > 1 { format!(" in {} heads", config.heads()) } else { String::new() };
        let (kind, direction) = (config.kind(), config.direction());
        println!("{shown}: {kind:?}, {layers} x {direction:?}, {input} -> {hidden}{heads}");
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        // (`state_dict::save` says the cell.)
        for (key, value) in [
            ("direction", format!("{:?}", config.direction())),
            ("activations", format!("{:?}", config.activations(false))),
            ("activations_reverse", format!("{:?}", config.activations(true))),
            ("clip", format!("{:?}", config.clip())),
            ("cell_clip", format!("{:?}", config.cell_clip())),
            ("coupled", config.coupled().to_string()),
            ("layer_norm", format!("{:?}", config.layer_norm())),
        ] {
            metadata.push((format!("{prefix}fused_rnn.{key}"), value));
        }
        file.insert_all(&prefix, state_dict::save(network).map_err(text)?);
    }
    found.others.iter().for_each(|other| println!("  beside: {other}"));
    println!("{} recurrent layers", found.layers.len());
    let Some(output) = output else { return Ok(()) };
    if found.layers.is_empty() {
        return Err(format!("{path}: expected a recurrent layer to write, got none"));
    }
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let bytes = file.to_safetensors(&metadata).map_err(text)?;
    std::fs::write(output, bytes).map_err(|error| format!("{output}: {error}"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [path] => convert(path, None),
        [path, output] => convert(path, Some(output)),
        _ => Err("usage: convert FILE [OUTPUT.safetensors]".to_owned()),
    };
    if let Err(error) = &done {
        eprintln!("{error}");
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
