//! Runs an ONNX model of recurrent nodes on inputs in the form of ONNX's backend tests, and compares. Its
//! other nodes may make constants, states and shapes.
//!
//! ```text
//! cargo run --release --features onnx --example onnx_node -- MODEL.onnx DATA_DIR
//! ```
//!
//! DATA_DIR has `input_0.pb`, ... in the order of the graph's inputs and `output_0.pb`, ... in that of its
//! outputs. Prints the largest difference of each output, and what part of the largest value that is; the
//! status is 1 where it is more than 1e-5 of that value or of 1, 2 where anything is wrong.

use fused_rnn::format::onnx::{Model, Value, read_tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

const TOLERANCE: f64 = 1e-5;

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The tensors `{kind}_0.pb`, ... of a folder, as many as there are, by the names of the graph.
fn tensors(folder: &Path, kind: &str, names: &[String]) -> Result<BTreeMap<String, Value>, String> {
    let mut tensors = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        let path = folder.join(format!("{kind}_{index}.pb"));
        let (_, value) =
            read_tensor(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        tensors.insert(name.clone(), value);
    }
    let more = folder.join(format!("{kind}_{}.pb", names.len()));
    if more.exists() {
        return Err(format!("{}: the graph has {} {kind}s", more.display(), names.len()));
    }
    Ok(tensors)
}

fn run(model: &Path, folder: &Path) -> Result<bool, String> {
    let text = |error: fused_rnn::Error| error.to_string();
    let model = Model::open(model).map_err(text)?;
    for warning in model.warnings() {
        eprintln!("note: {warning}");
    }
    if model.nodes().is_empty() {
        return Err(format!("expected a recurrent node, got none among {} nodes", model.other_nodes().len()));
    }
    let inputs = tensors(folder, "input", model.inputs())?;
    let outputs = model.run(&inputs).map_err(text)?;
    let mut good = true;
    for (name, want) in tensors(folder, "output", model.outputs())? {
        let got = outputs.get(&name).ok_or_else(|| format!("{name} is no output of the model"))?;
        let (Value::Floats(got), Value::Floats(want)) = (got, &want) else {
            good &= *got == want;
            println!("{name}: {}", if *got == want { "the same integers" } else { "other integers" });
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
    let [model, folder] = &arguments[..] else {
        eprintln!("usage: onnx_node MODEL.onnx DATA_DIR");
        return ExitCode::from(2);
    };
    match run(Path::new(model), Path::new(folder)) {
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
