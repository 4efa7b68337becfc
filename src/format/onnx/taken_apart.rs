//! Facts about a model that a user of its recurrent nodes should know: [`Warning`].
//!
//! Some exporters take a cell apart, inside a loop or unrolled step by step. The file then has no recurrent
//! node, and would seem to be a model without recurrent layers. `search.rs` finds such cells.

use super::model::Model;
use super::operator::Kind;
use super::search::Search;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something about a model that is no error.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Warning {
    /// A cell that the file has not as a recurrent node, but as the products and activations that it is made
    /// of. [`Model::reassembled`](super::Model::reassembled) puts LSTMs together again where it can do so
    /// surely; else export the model with its recurrent nodes, or take the weights by their names.
    TakenApart {
        /// The operator that it could be: an RNN where it is a step of an Elman network.
        kind: Kind,
        /// The [place](Model::places) of the graph that it stands in.
        place: String,
        /// Its nodes by their names, or where they have none by their first outputs, in the order of the
        /// file: from the products to the new state. Those that it shares with a cell before it are named
        /// there.
        nodes: Vec<String>,
        /// The name of the new hidden state.
        output: String,
    },
    /// A node whose weights are integers: x and h are rounded in another way than ONNX Runtime's, whose
    /// numbers are some 1e-2 off.
    Quantized {
        /// The place of the graph that it stands in.
        place: String,
        /// The name of the node, or where it has none its operator and its place among all nodes of the
        /// file, `DynamicQuantizeLSTM#3`.
        node: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::TakenApart { kind, place, nodes, output } => {
                let (first, last) = (nodes.first().map_or("", |n| n), nodes.last().map_or("", |n| n));
                write!(
                    f,
                    "{:?} taken apart into {} nodes, from {first:?} to {last:?}, which makes {output:?}{}",
                    kind,
                    nodes.len(),
                    at(place)
                )
            }
            Warning::Quantized { place, node } => {
                write!(
                    f,
                    "{node:?}{} has weights of integers, and rounds x and h otherwise than ONNX Runtime",
                    at(place)
                )
            }
        }
    }
}

fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(", in {place}") }
}

impl Model {
    /// What a user should know of the model: cells that were taken apart into Gemm or MatMul, Split, Sigmoid
    /// and Tanh, and nodes with weights of integers. In the order of the file.
    pub fn warnings(&self) -> Vec<Warning> {
        let graph = self.graph();
        let quantized = self.nodes().iter().filter(|node| node.is_quantized()).map(|node| {
            let name = Some(node.name()).filter(|name| !name.is_empty()).map(str::to_owned);
            let node_name = name.unwrap_or_else(|| graph.title(node.entry()));
            (node.entry(), Warning::Quantized { place: node.place(self), node: node_name })
        });
        let mut found: Vec<(usize, Warning)> = quantized.collect();
        let search = Search { graph };
        let mut named = BTreeSet::new();
        for (entry, (kind, nodes)) in self.taken_apart(&search) {
            let Some(output) = graph.entries[entry].output(0) else { continue };
            let name = |&entry: &usize| {
                let node = &graph.entries[entry];
                let name = Some(&*node.proto.name).filter(|name| !name.is_empty()).or(node.output(0));
                name.unwrap_or_default().to_owned()
            };
            let place = graph.place(graph.entries[entry].scope);
            // A product for several steps is named once.
            let nodes: Vec<usize> = nodes.into_iter().filter(|&node| named.insert(node)).collect();
            let (nodes, output) = (nodes.iter().map(name).collect(), output.to_owned());
            found.push((entry, Warning::TakenApart { kind, place, nodes, output }));
        }
        found.sort_by_key(|(entry, _)| *entry);
        found.into_iter().map(|(_, warning)| warning).collect()
    }
    /// The nodes that make new hidden states, with their cells.
    fn taken_apart(&self, search: &Search<'_>) -> BTreeMap<usize, (Kind, BTreeSet<usize>)> {
        let outputs = search.outputs();
        let mut found = BTreeMap::new();
        for entry in (0..self.graph().entries.len()).filter(|&entry| self.is_alive(entry)) {
            if let Some(lstm) = search.lstm(entry) {
                found.insert(entry, (Kind::Lstm, lstm.nodes));
            } else if let Some(nodes) = search.gru(entry) {
                found.insert(entry, (Kind::Gru, nodes));
            } else if let Some(step) = search.elman(entry, &outputs) {
                found.insert(entry, (Kind::Rnn, step.nodes));
                if let Some((before, nodes)) = step.before {
                    found.entry(before).or_insert((Kind::Rnn, nodes));
                }
            }
        }
        found
    }
}
