//! Runs an ONNX model of recurrent nodes, or one node of any model, on inputs in the form of ONNX's backend tests, and
//! compares.
//!
//! ```text
//! cargo run --release --features onnx --example onnx_node -- MODEL.onnx DATA_DIR [NODE]
//! ```
//!
//! Without NODE the model's other nodes may only make constants, states and shapes. DATA_DIR has `input_0.pb`, ... in
//! the order of the graph's inputs and `output_0.pb`, ... in that of its outputs. With NODE, the name of a recurrent
//! node, that node runs alone, wherever it stands, and the tensors of DATA_DIR go by the names that are in their files.
//!
//! Prints the largest difference of each output, and what part of the largest value that is; the status is 1 where it
//! is more than 1e-5 of that value or of 1, 2 where anything is wrong.

use fused_rnn::format::onnx::{Model, Value, read_tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

const TOLERANCE: f64 = 1e-5;

/// The tensors `{kind}_0.pb`, ... of a folder, each with the name that is in its file.
fn tensors(folder: &Path, kind: &str) -> Result<Vec<(String, Value)>, String> {
    let mut tensors = Vec::new();
    loop {
        let path = folder.join(format!("{kind}_{}.pb", tensors.len()));
        if !path.exists() {
            return Ok(tensors);
        }
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        tensors.push(read_tensor(&bytes).map_err(|error| format!("{}: {error}", path.display()))?);
    }
}

/// The same by the names of the graph, in their order.
fn in_order(tensors: Vec<(String, Value)>, kind: &str, names: &[&String]) -> Result<Values, String> {
    if tensors.len() != names.len() {
        return Err(format!("expected {} {kind}s as the graph has, got {}", names.len(), tensors.len()));
    }
    Ok(names.iter().zip(tensors).map(|(name, (_, value))| (name.to_string(), value)).collect())
}

type Values = BTreeMap<String, Value>;

/// What a model gives, or one of its nodes, and what was wanted.
fn run(model: &Path, folder: &Path, node: Option<&str>) -> Result<(Values, Values), String> {
    let text = |error: fused_rnn::Error| error.to_string();
    let model = Model::open(model).map_err(text)?;
    for warning in model.warnings() {
        eprintln!("note: {warning}");
    }
    if model.nodes().is_empty() {
        return Err(format!("expected a recurrent node, got none among {} nodes", model.other_nodes().len()));
    }
    let (inputs, wanted) = (tensors(folder, "input")?, tensors(folder, "output")?);
    if let Some(name) = node {
        let node = model.nodes().iter().find(|node| node.name() == name);
        let node = node.ok_or_else(|| format!("no recurrent node is named {name:?}"))?;
        println!("{} {name:?}, place {:?}", node.op_type(), node.place(&model));
        let outputs = node.run(&model, &inputs.into_iter().collect()).map_err(text)?;
        let outputs = outputs.into_iter().map(|(name, tensor)| (name, Value::Floats(tensor)));
        return Ok((outputs.collect(), wanted.into_iter().collect()));
    }
    // Older models list their initialisers as inputs too.
    let constants = model.value_names();
    let names: Vec<&String> =
        model.inputs().iter().filter(|name| !constants.contains(&name.as_str())).collect();
    let inputs = in_order(inputs, "input", &names)?;
    let wanted = in_order(wanted, "output", &model.outputs().iter().collect::<Vec<_>>())?;
    Ok((model.run(&inputs).map_err(text)?, wanted))
}

/// Prints how far each output is from what was wanted; whether all are near.
fn compare(outputs: &Values, wanted: &Values) -> Result<bool, String> {
    let mut good = true;
    for (name, want) in wanted {
        let got = outputs.get(name).ok_or_else(|| format!("{name} is no output"))?;
        let (Value::Floats(got), Value::Floats(want)) = (got, want) else {
            good &= got == want;
            println!("{name}: {}", if got == want { "the same integers" } else { "other integers" });
            continue;
        };
        if got.shape() != want.shape() {
            return Err(format!("{name}: expected shape {:?}, got {:?}", want.shape(), got.shape()));
        }
        // NaN is larger than everything.
        let largest =
            |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| if b <= a { a } else { b });
        let pairs = got.values().iter().zip(want.values());
        let difference = largest(&mut pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()));
        let magnitude = largest(&mut want.values().iter().map(|value| f64::from(value.abs())));
        let relative = if difference > 0.0 { difference / magnitude } else { 0.0 };
        println!("{name} {:?}: largest difference {difference:.1e}, relative {relative:.1e}", want.shape());
        good &= difference <= TOLERANCE * magnitude.max(1.0);
    }
    Ok(good)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (model, folder, node) = match &arguments[..] {
        [model, folder] => (model, folder, None),
        [model, folder, node] => (model, folder, node.to_str()),
        _ => {
            eprintln!("usage: onnx_node MODEL.onnx DATA_DIR [NODE]");
            return ExitCode::from(2);
        }
    };
    let outcome = run(Path::new(model), Path::new(folder), node);
    match outcome.and_then(|(outputs, wanted)| compare(&outputs, &wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("further apart than {TOLERANCE:e}");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
