//! Runs an ONNX model of recurrent nodes, or one node of any model, on inputs in the form of ONNX's backend
//! tests, and compares.
//!
//! ```text
//! cargo run --release --features onnx --example onnx_node -- MODEL.onnx [DATA_DIR [NODE]]
//! ```
//!
//! MODEL.onnx alone lists what recurrent there is in it. Without NODE the model's other nodes may only make
//! constants, states and shapes. DATA_DIR has `input_0.pb`, ... in the order of the graph's inputs and
//! `output_0.pb`, ... in that of its outputs. With NODE, the name of a recurrent node, that node runs alone,
//! wherever it stands, and the tensors of DATA_DIR go by the names that are in their files. NODE may be the
//! hidden state of an LSTM cell that was taken apart, too.
//!
//! Prints the largest difference of each output, and what part of the largest value that is; the status is 1
//! where it is more than 1e-5 of that value or of 1, 2 where anything is wrong.

use fused_rnn::Workspace;
use fused_rnn::format::Tensor;
use fused_rnn::format::onnx::{Model, Reassembled, Value, read_tensor};
use fused_rnn_examples::say;
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

/// Prints what recurrent there is in a model.
fn list(model: &Path) -> Result<bool, String> {
    let text = |error: fused_rnn::Error| error.to_string();
    let model = Model::open(model).map_err(text)?;
    for node in model.nodes() {
        let inputs: Vec<&str> = (0..8).filter_map(|index| node.input(index)).collect();
        say!("{} {:?}, place {:?}: inputs {inputs:?}", node.op_type(), node.name(), node.place(&model))?;
    }
    for cell in model.reassembled(&BTreeMap::new()).map_err(text)? {
        let config = cell.network().config();
        let (sizes, [x, h, c]) = ((config.input_size(), config.hidden_size()), cell.inputs());
        say!(
            "LSTM cell {:?}, place {:?}: inputs {:?}, sizes {sizes:?}",
            cell.outputs(),
            cell.place(),
            [x, h, c]
        )?;
    }
    for warning in model.warnings() {
        say!("note: {warning}")?;
    }
    Ok(true)
}

/// What a model gives, or one of its nodes, and what was wanted.
fn run(model: &Path, folder: &Path, node: Option<&str>) -> Result<(Values, Values), String> {
    let text = |error: fused_rnn::Error| error.to_string();
    let model = Model::open(model).map_err(text)?;
    for warning in model.warnings() {
        eprintln!("note: {warning}");
    }
    let (inputs, wanted) = (tensors(folder, "input")?, tensors(folder, "output")?);
    if let Some(name) = node {
        let (inputs, wanted) = (inputs.into_iter().collect(), wanted.into_iter().collect());
        if let Some(node) = model.nodes().iter().find(|node| node.name() == name) {
            say!("{} {name:?}, place {:?}", node.op_type(), node.place(&model))?;
            let outputs = node.run(&model, &inputs).map_err(text)?;
            return Ok((
                outputs.into_iter().map(|(name, tensor)| (name, Value::Floats(tensor))).collect(),
                wanted,
            ));
        }
        let cells = model.reassembled(&BTreeMap::new()).map_err(text)?;
        let cell = cells.iter().find(|cell| cell.outputs()[0] == name);
        let cell =
            cell.ok_or_else(|| format!("no recurrent node is named {name:?}, and no cell makes it"))?;
        say!("LSTM put together again, place {:?}", cell.place())?;
        return Ok((step(cell, &inputs)?, wanted));
    }
    if model.nodes().is_empty() {
        return Err(format!("expected a recurrent node, got none among {} nodes", model.other_nodes().len()));
    }
    // Older models list their initialisers as inputs too.
    let constants = model.value_names();
    let names: Vec<&String> =
        model.inputs().iter().filter(|name| !constants.contains(&name.as_str())).collect();
    let inputs = in_order(inputs, "input", &names)?;
    let wanted = in_order(wanted, "output", &model.outputs().iter().collect::<Vec<_>>())?;
    Ok((model.run(&inputs).map_err(text)?, wanted))
}

/// One step of a cell that was taken apart.
fn step(cell: &Reassembled, inputs: &Values) -> Result<Values, String> {
    let text = |error: fused_rnn::Error| error.to_string();
    let [x, h, c] = cell.inputs().map(|name| match inputs.get(name) {
        Some(Value::Floats(tensor)) => Ok(tensor),
        _ => Err(format!("expected floats for {name:?}, got none")),
    });
    let (x, h, c, network) = (x?, h?, c?, cell.network());
    let batch = x.values().len() / network.config().input_size();
    let mut state = network.zero_state(batch).map_err(text)?;
    state.set_h(h.values()).map_err(text)?;
    state.set_c(c.values()).map_err(text)?;
    network.step(x.values(), &mut state, None, &mut Workspace::new()).map_err(text)?;
    let [new_h, new_c] = cell.outputs();
    let value = |like: &Tensor, values| Tensor::new(like.shape(), values).map(Value::Floats).map_err(text);
    Ok([(new_h.to_owned(), value(h, state.h())?), (new_c.to_owned(), value(c, state.c())?)].into())
}

/// Prints how far each output is from what was wanted; whether all are near.
fn compare(outputs: &Values, wanted: &Values) -> Result<bool, String> {
    let mut good = true;
    for (name, want) in wanted {
        let got = outputs.get(name).ok_or_else(|| format!("{name} is no output"))?;
        let (Value::Floats(got), Value::Floats(want)) = (got, want) else {
            good &= got == want;
            say!("{name}: {}", if got == want { "the same integers" } else { "other integers" })?;
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
        say!("{name} {:?}: largest difference {difference:.1e}, relative {relative:.1e}", want.shape())?;
        good &= difference <= TOLERANCE * magnitude.max(1.0);
    }
    Ok(good)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let compared = |model, folder, node| {
        let (outputs, wanted) = run(Path::new(model), Path::new(folder), node)?;
        compare(&outputs, &wanted)
    };
    let outcome = match &arguments[..] {
        [model] => list(Path::new(model)),
        [model, folder] => compared(model, folder, None),
        [model, folder, node] => compared(model, folder, node.to_str()),
        _ => Err("usage: onnx_node MODEL.onnx [DATA_DIR [NODE]]".to_owned()),
    };
    match outcome {
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
