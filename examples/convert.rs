//! Prints the recurrent layers of a model file, and writes them as safetensors with PyTorch's names.
//!
//! ```text
//! cargo run --release --features safetensors,torch,npz,onnx --example convert -- \
//!     FILE [OUTPUT.safetensors] [--cell NAME]
//! ```
//!
//! FILE is safetensors, `.pt` or `.pth` of `torch.save`, `.npz` (with PyTorch's names), an ONNX model, or
//! what `examples/export_keras.py` makes of a Keras model. What names and shapes do not say of a layer (its
//! cell, activations, clipping, coupled gates, the epsilon of layer normalisation, how Keras merges
//! directions) is in the metadata of the output, at `NAME.fused_rnn.cell` and so on. The cell is read from
//! there again, heads from the shapes. A file that does not say its cell has those of `torch.nn` wherever
//! shapes allow it (`state_dict::describe`), or the one that `--cell` names: `slstm`, `min_lstm` and so on,
//! as `CellKind::name`.
//!
//! Matrices of int8 with scales are written as such, and so are scales beside floats. The tensors beside the
//! layers are in the output too, by their names. What is not written (initial states, other nodes of an ONNX
//! model) is said. The output is never the file that is read.

use fused_rnn::format::onnx::Model;
use fused_rnn::format::state_dict::{self, Module};
use fused_rnn::format::{DType, Tensors, keras};
use fused_rnn::{CellKind, Error, Precision, Recurrent};
use fused_rnn_examples::say;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: convert FILE [OUTPUT.safetensors] [--cell NAME]

Prints the recurrent layers of FILE (safetensors, torch.save, numpy.savez, ONNX, or a Keras model by
examples/export_keras.py), and writes them as safetensors with PyTorch's names, with all tensors beside them.

--cell NAME   the cell of layers of which the file does not say it: ";

/// Layers by name; and what is none, or none that can be read.
#[derive(Default)]
struct Found {
    layers: Vec<(String, Recurrent)>,
    /// More metadata than a network has.
    metadata: Vec<(String, String)>,
    /// The tensors beside the layers.
    tensors: Tensors,
    /// What has no place in the output, in words.
    others: Vec<String>,
    /// What the file does not say and was taken for granted, in words.
    notes: Vec<String>,
}

impl Found {
    fn add(&mut self, name: &str, layer: Result<Recurrent, Error>) {
        match layer {
            Ok(layer) => self.layers.push((name.to_owned(), layer)),
            Err(error) => self.others.push(format!("{name}: {error}")),
        }
    }

    /// Leaves out the tensors of types that safetensors files do not have.
    fn drop_unknown_types(&mut self) {
        let unknown = self.tensors.others().filter(|(_, raw)| raw.dtype() == DType::Other);
        let names: Vec<String> = unknown.map(|(name, _)| name.to_owned()).collect();
        for name in names {
            if let Some(raw) = self.tensors.remove_raw(&name) {
                self.others.push(format!("{name} {raw:?}"));
            }
        }
    }
}

fn read(path: &str, bytes: &[u8], cell: Option<CellKind>) -> Result<Found, Error> {
    // An ONNX file has no magic number: it is one if it can be read as one, and has nodes. By its path, so that
    // data in files beside it are found.
    let no_cell = |of: &str| match cell {
        None => Ok(()),
        Some(kind) => Err(Error::Format {
            what: "--cell".to_owned(),
            expected: format!("none for a model of {of}, which says its cells"),
            got: kind.name().to_owned(),
        }),
    };
    match Model::open(path) {
        Ok(model) if model.nodes().len() + model.other_nodes().len() > 0 => {
            no_cell("ONNX")?;
            return Ok(onnx(&model));
        }
        Err(error) if path.ends_with(".onnx") => return Err(error),
        _ => {}
    }
    let options = Tensors::safetensors_metadata(bytes).unwrap_or_default();
    let layers: Vec<&str> = options.keys().filter_map(|key| key.strip_suffix("/layer")).collect();
    let mut found = if layers.is_empty() {
        let mut found = torch(Tensors::read(bytes, "")?, cell)?;
        // (What is said of the layers is with the tensors.)
        found.metadata = options.into_iter().filter(|(key, _)| !key.contains("fused_rnn.")).collect();
        found
    } else {
        no_cell("Keras")?;
        keras(bytes, &layers)?
    };
    found.drop_unknown_types();
    Ok(found)
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

fn keras(bytes: &[u8], names: &[&str]) -> Result<Found, Error> {
    let mut found = Found { tensors: Tensors::read(bytes, "")?, ..Found::default() };
    for name in names {
        let layer = keras::Layer::from_safetensors(bytes, name);
        if let Ok(layer) = &layer {
            found.tensors.split_off_prefix(&format!("{name}/"));
            if let Some(merge) = layer.merge() {
                found.metadata.push((format!("{name}.keras.merge"), format!("{merge:?}")));
            }
        }
        found.add(name, layer.map(|layer| layer.into_network()));
    }
    Ok(found)
}

fn torch(file: Tensors, cell: Option<CellKind>) -> Result<Found, Error> {
    let mut found = Found { tensors: file.clone(), ..Found::default() };
    for module in &state_dict::modules(&file) {
        let shown = shown(&module.prefix);
        let kind = match (file.cell(&module.prefix)?, cell, module.kinds) {
            (Some(kind), Some(other), _) if kind != other => {
                let (what, expected) = ("--cell".to_owned(), format!("{}, as {shown} is", kind.name()));
                return Err(Error::Format { what, expected, got: other.name().to_owned() });
            }
            (None, Some(kind), _) => kind,
            (_, _, [kind @ CellKind::ElmanTanh, _]) => {
                let what =
                    "the file does not say whether this RNN's nonlinearity is tanh or relu; taken as tanh";
                found.notes.push(format!("{shown}: {what}"));
                *kind
            }
            (_, _, [kind, other]) => {
                let kinds = format!("{} or {}", kind.name(), other.name());
                let what = format!("{shown}: expected the name of its cell, {kinds}");
                found.others.push(format!("{what}, got none in the file: --cell names it"));
                continue;
            }
            (_, _, kinds) => kinds[0],
        };
        let network = network(module, &file, kind);
        if network.is_ok() {
            for name in module.names(&file) {
                found.tensors.remove(name);
                found.tensors.remove_raw(name);
            }
        }
        found.add(module.prefix.trim_end_matches('.'), network);
    }
    Ok(found)
}

/// The network of a module: where matrices have scales, one that keeps them, and writes them again.
fn network(module: &Module, file: &Tensors, kind: CellKind) -> Result<Recurrent, Error> {
    let floats = module.network(file, kind)?;
    if !module.names(file).any(|name| name.ends_with("_scale")) {
        return Ok(floats);
    }
    let mut network = floats.in_precision(Precision::Int8)?;
    state_dict::load(file.clone().split_off_prefix(&module.prefix), &mut network)?;
    Ok(network)
}

/// The name of a layer in words.
fn shown(name: &str) -> &str {
    match name.trim_end_matches('.') {
        "" => "(no name)",
        name => name,
    }
}

/// Checks that a file may be written there: no other kind of file, and not the one that is read.
fn check_output(path: &str, output: &str) -> Result<(), String> {
    if Path::new(output).extension().is_none_or(|extension| extension != "safetensors") {
        return Err(format!("output: expected a name that ends in .safetensors, got {output}"));
    }
    if same_file(path, output) {
        return Err(format!("output: expected another file than the one that is read, got {output}"));
    }
    Ok(())
}

/// Whether both paths lead to one file.
fn same_file(a: &str, b: &str) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // (Two names may be links to one file.)
        let number = |path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
        matches!((number(a), number(b)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn convert(path: &str, output: Option<&str>, cell: Option<CellKind>) -> Result<(), String> {
    if let Some(output) = output {
        check_output(path, output)?;
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let text = |error: Error| format!("{path}: {error}");
    let found = read(path, &bytes, cell).map_err(text)?;
    for note in &found.notes {
        say!("{note}")?;
    }
    let (mut file, metadata) = (found.tensors, found.metadata);
    let beside: Vec<String> =
        file.iter().map(|(name, tensor)| format!("{name} {:?}", tensor.shape())).collect();
    let raw = file.others().map(|(name, raw)| format!("{name} {raw:?}"));
    let beside: Vec<String> = beside.into_iter().chain(raw).collect();
    for (name, network) in &found.layers {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        let tensors = state_dict::save(network).map_err(text)?;
        say!("{}: {}", shown(name), state_dict::describe(&tensors).map_err(text)?)?;
        file.insert_all(&prefix, tensors);
    }
    for tensor in beside {
        say!("  beside: {tensor}")?;
    }
    let label = if output.is_some() { "not written" } else { "beside" };
    for other in &found.others {
        say!("  {label}: {other}")?;
    }
    let count = found.layers.len();
    say!("{count} recurrent layer{}", if count == 1 { "" } else { "s" })?;
    let Some(output) = output else { return Ok(()) };
    if found.layers.is_empty() {
        return Err(format!("{path}: expected a recurrent layer to write, got none"));
    }
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let bytes = file.to_safetensors(&metadata).map_err(text)?;
    std::fs::write(output, bytes).map_err(|error| format!("{output}: {error}"))
}

fn run(arguments: &[String]) -> Result<(), String> {
    let usage = || {
        let names: Vec<_> = CellKind::ALL.iter().map(|kind| kind.name()).collect();
        USAGE.to_owned() + &names.join(", ")
    };
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        say!("{}", usage())?;
        return Ok(());
    }
    let (mut paths, mut cell, mut rest) = (Vec::new(), None, arguments.iter());
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--cell" => {
                let name = rest.next().ok_or_else(usage)?;
                cell = Some(name.parse().map_err(|error: Error| format!("--{error}"))?);
            }
            option if option.starts_with("--") => {
                return Err(format!("{option}: expected --cell, or a file\n{}", usage()));
            }
            path => paths.push(path),
        }
    }
    match paths[..] {
        [path] => convert(path, None, cell),
        [path, output] => convert(path, Some(output), cell),
        _ => Err(usage()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
