//! Runs an ONNX model of one recurrent node on inputs in the form of ONNX's backend tests, and compares.
//!
//! ```text
//! cargo run --release --features onnx --example onnx_node -- MODEL.onnx DATA_DIR
//! ```
//!
//! DATA_DIR has `input_0.pb`, ... in the order of the graph's inputs and `output_0.pb`, ... in that of its outputs.
//! Prints the largest difference of each output; the status is 1 where one is more than 1e-5, 2 where
//! anything is wrong.

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
    let model = Model::read(&read(model)?).map_err(text)?;
    let ([node], []) = (model.nodes(), model.other_nodes()) else {
        let (recurrent, others) = (model.nodes().len(), model.other_nodes());
        return Err(format!("expected a model of one recurrent node, got {recurrent} and {others:?}"));
    };
    let inputs = tensors(folder, "input", model.inputs())?;
    let got = node.run(&model, &inputs).map_err(text)?;
    let mut good = true;
    for (name, want) in tensors(folder, "output", model.outputs())? {
        let Value::Floats(want) = want else { return Err(format!("{name}: expected floats")) };
        let got = got.get(&name).ok_or_else(|| format!("{name} is no output of the node"))?;
        if got.shape() != want.shape() {
            return Err(format!("{name}: expected shape {:?}, got {:?}", want.shape(), got.shape()));
        }
        let pairs = got.values().iter().zip(want.values());
        let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
        // NaN is larger than everything.
        let largest = pairs.map(difference).fold(0.0, |a: f64, b| if b <= a { a } else { b });
        println!("{name} {:?}: largest difference {largest:.1e}", want.shape());
        good &= largest <= TOLERANCE;
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
            eprintln!("more than {TOLERANCE:e} apart");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
