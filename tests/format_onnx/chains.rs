//! Nodes above each other as one network: where they are a chain, and that the network computes what the
//! nodes do.

use super::writer::{attribute, model, node, tensor};
use super::{golden, tensors};
use fused_rnn::format::onnx::{Chain, Model, Value};
use fused_rnn::format::{Convention, Tensor};
use fused_rnn::{Dims, Workspace};
use std::collections::BTreeMap;

fn chains(name: &str) -> (Vec<Chain>, BTreeMap<String, Tensor>) {
    let test = golden("onnx_cases").join(name);
    let model = Model::open(test.join("model.onnx")).unwrap();
    let mut values = tensors(&test, "input", model.inputs());
    values.extend(tensors(&test, "output", model.outputs()));
    let floats = values.into_iter().filter_map(|(name, value)| match value {
        Value::Floats(tensor) => Some((name, tensor)),
        _ => None,
    });
    (model.chains(&BTreeMap::new()).unwrap(), floats.collect())
}

fn near(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let apart = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5, "{what}: {apart}");
}

#[test]
fn stacks_of_nodes_are_one_network() {
    for (name, layers) in [
        ("chain_lstm_squeeze", 3),
        ("chain_gru_bidirectional", 2),
        ("chain_batch_first_between", 2),
        ("chain_of_joined_directions", 2),
    ] {
        let (chains, values) = chains(name);
        let [chain] = &chains[..] else { panic!("{name}: {} chains", chains.len()) };
        assert_eq!(chain.network().config().layers(), layers, "{name}");
        assert_eq!(chain.nodes(), (0..layers).collect::<Vec<usize>>());
        let (x, y) = (&values["X"], &values["Y"]);
        let (steps, batch) = (x.shape()[0], x.shape()[1]);
        // The whole, and in pieces.
        let mut state = chain.initial_state(batch).unwrap();
        let mut got = vec![0.0; y.values().len()];
        let mut workspace = Workspace::new();
        let dims = Dims::new(batch, steps);
        chain.network().forward(x.values(), dims, &mut state, Some(&mut got), &mut workspace).unwrap();
        near(name, &got, y.values());
        near(name, &state.h(), values["h"].values());
        if let Some(c) = values.get("c") {
            near(name, &state.c(), c.values());
        }
        if chain.network().config().directions() == 1 {
            let mut state = chain.initial_state(batch).unwrap();
            let (width, height) = (x.values().len() / steps, y.values().len() / steps);
            for (x, y) in x.values().chunks(width).zip(y.values().chunks(height)) {
                let mut got = vec![0.0; height];
                chain.network().step(x, &mut state, Some(&mut got), &mut workspace).unwrap();
                near(name, &got, y);
            }
            near(name, &state.h(), values["h"].values());
        }
    }
}

#[test]
fn what_is_no_chain_stays_apart() {
    for name in [
        "not_a_chain_directions_above_each_other",
        "not_a_chain_batch_and_steps_turned",
        "not_a_chain_directions_exchanged",
        "not_a_chain_two_cells",
    ] {
        let (chains, _) = chains(name);
        let nodes: Vec<&[usize]> = chains.iter().map(Chain::nodes).collect();
        assert_eq!(nodes, [&[0][..], &[1]], "{name}");
    }
}

#[test]
fn a_chain_begins_with_the_states_of_the_model() {
    // A state for each row, expanded to the batch.
    let (chains, _) = chains("learned_state_expanded_to_the_batch");
    let state = chains[0].initial_state(3).unwrap();
    assert_eq!((state.h(), state.c()), (vec![0.5; 3], vec![-0.75; 3]));
    let (chains, _) = self::chains("learned_state_of_two_units");
    let state = chains[0].initial_state(2).unwrap();
    assert_eq!(state.h(), [0.5, -0.25, 0.5, -0.25]);
    // One that a stream brings.
    let (chains, _) = self::chains("state_from_one_input");
    let said = chains[0].initial_state(2).unwrap_err().to_string();
    assert_eq!(said, "initial_h: expected a constant of the model, got the input \"state\" of a graph");
    // Two rows and no others.
    let (chains, _) = self::chains("chain_lstm_squeeze");
    let state = chains[0].initial_state(2).unwrap();
    assert_eq!(&state.h()[..16], &[[0.0; 8], [0.25; 8]].concat());
    let said = chains[0].initial_state(3).unwrap_err().to_string();
    assert_eq!(said, "initial_h: expected shape [1, 3, 4], or 1 for what is repeated, got shape [1, 2, 4]");
}

/// Nodes of 127 units that all have the weights W and R: above each other, or each on X.
fn tied(count: usize, above: bool) -> Model {
    let weights = ["W", "R"].map(|name| tensor(name, &[1, 127, 127], &[0.01; 127 * 127]));
    let mut nodes = Vec::new();
    for index in 0..count {
        let below = if above { format!("x{index}") } else { "x0".to_owned() };
        let y = format!("y{index}");
        nodes.push(node("RNN", "", &[&below, "W", "R"], &[&y], &[]));
        if above {
            let axes = attribute("axes", [vec![0x42, 1], vec![1]].concat());
            nodes.push(node("Squeeze", "", &[&y], &[&format!("x{}", index + 1)], &[axes]));
        }
    }
    Model::read(&model(&nodes, &weights)).unwrap()
}

/// Weights count once, however many nodes have them, and each layer of a network has its own.
#[test]
fn nodes_that_share_weights() {
    let chains = tied(300, false).chains(&BTreeMap::new()).unwrap();
    assert_eq!(chains.len(), 300);
    assert!(chains.iter().all(|chain| std::ptr::eq(chain.network(), chains[0].network())));
    let chains = tied(300, true).chains(&BTreeMap::new()).unwrap();
    let [chain] = &chains[..] else { panic!("{} chains", chains.len()) };
    assert_eq!(chain.network().config().layers(), 300);
    // A node is some eighty bytes, its layer a hundred thousand.
    let error = tied(3000, true).chains(&BTreeMap::new()).map(|chains| chains.len()).unwrap_err();
    let more = "constants: expected no more elements than the file has reason for, got more";
    assert!(error.to_string().ends_with(more), "{error}");
    tied(3000, false).chains(&BTreeMap::new()).unwrap();
}

/// Thousands of nodes with weights of their own. (Minutes, if the time were their square.)
#[test]
fn a_chain_of_thousands() {
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for index in 0..10_000 {
        let [w, r, y] = ["W", "R", "y"].map(|name| format!("{name}{index}"));
        weights.extend([&w, &r].map(|name| tensor(name, &[1, 1, 1], &[1e-4 * index as f32])));
        nodes.push(node("RNN", "", &[&format!("x{index}"), &w, &r], &[&y], &[]));
        let axes = attribute("axes", [vec![0x42, 1], vec![1]].concat());
        nodes.push(node("Squeeze", "", &[&y], &[&format!("x{}", index + 1)], &[axes]));
    }
    let chains = Model::read(&model(&nodes, &weights)).unwrap().chains(&BTreeMap::new()).unwrap();
    let [chain] = &chains[..] else { panic!("{} chains", chains.len()) };
    let last = chain.network().named_parameters().find(|tensor| tensor.name == "weight_hh_l9999").unwrap();
    assert_eq!(last.values, [1e-4 * 9999.0]);
    assert_eq!(Convention::Onnx.save(chain.network()).unwrap()[9999].recurrent, last.values);
}

/// A shape that the graph takes from X is known where X is.
#[test]
fn shapes_are_known_with_x() {
    let test = golden("onnx_cases").join("chain_by_the_shape_of_x");
    let model = Model::open(test.join("model.onnx")).unwrap();
    let nodes = |supplied: &BTreeMap<String, Value>| {
        let chains = model.chains(supplied).unwrap();
        chains.iter().map(|chain| chain.nodes().to_vec()).collect::<Vec<Vec<usize>>>()
    };
    assert_eq!(nodes(&BTreeMap::new()), [[0], [1]]);
    assert_eq!(nodes(&tensors(&test, "input", model.inputs())), [[0, 1]]);
}
