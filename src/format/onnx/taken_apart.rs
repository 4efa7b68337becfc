//! What a model says that a user of its recurrent nodes should know: [`Warning`].
//!
//! Some exporters take a cell apart: into products, a split and activations, step by step, inside a loop or
//! unrolled. Nothing of it is a recurrent node any more, and a model without recurrent nodes would be all
//! that one sees. So the cell's own equations are looked for, from their end:
//!
//! ```text
//! LSTM   h' = o * tanh(c'),   c' = f * c + i * g       o, f, i sigmoids, g a tanh
//! GRU    h' = (1 - z) * n + z * h,  or  n + z * (h - n)     z a sigmoid, n a tanh
//! ```
//!
//! and each sigmoid and tanh of a gate has to come from a product of matrices, through sums, splits and
//! slices alone. An LSTM whose forget gate is coupled or left out, or with other activations, is not found.

use super::graph::{Graph, Source};
use super::model::Model;
use super::operator::Kind;
use std::collections::BTreeSet;
use std::fmt;

/// Something about a model that is no error.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Warning {
    /// A cell that the file has not as a recurrent node, but as the products and activations that it is made
    /// of. This crate does not put it together again: export the model with its recurrent nodes, or take the
    /// weights by their names.
    TakenApart {
        /// [`Kind::Lstm`] or [`Kind::Gru`].
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
    /// A node whose weights are integers: it is computed in f32 here, and ONNX Runtime's numbers are some
    /// 1e-2 off.
    Quantized {
        /// The place of the graph that it stands in.
        place: String,
        /// The name of the node.
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
                write!(f, "{node:?}{} has weights of integers and is computed in f32", at(place))
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
            let (place, name) = (node.place(self), node.name().to_owned());
            (node.entry(), Warning::Quantized { place, node: name })
        });
        let mut found: Vec<(usize, Warning)> = quantized.collect();
        let search = Search { graph };
        let mut named = BTreeSet::new();
        for entry in (0..graph.entries.len()).filter(|&entry| self.is_alive(entry)) {
            let Some((kind, nodes)) = search.lstm(entry).or_else(|| search.gru(entry)) else { continue };
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
}

/// How far a gate's activation may stand from its product: sums, a split, reshapes.
const FAR: usize = 12;

struct Search<'a> {
    graph: &'a Graph,
}

type Found = (Kind, BTreeSet<usize>);

impl Search<'_> {
    /// The node that makes an input of a node, in the same scope.
    fn maker(&self, entry: usize, input: usize) -> Option<usize> {
        let node = &self.graph.entries[entry];
        match self.graph.source(node.scope, node.input(input)?)? {
            (scope, Source::Output(maker, _)) if scope == node.scope => Some(maker),
            _ => None,
        }
    }

    fn is(&self, entry: usize, op_types: &[&str]) -> bool {
        let node = &self.graph.entries[entry];
        node.is_standard() && op_types.contains(&&*node.proto.op_type)
    }

    /// Both orders of the makers of two inputs.
    fn pairs(&self, entry: usize) -> [(Option<usize>, Option<usize>); 2] {
        let (a, b) = (self.maker(entry, 0), self.maker(entry, 1));
        [(a, b), (b, a)]
    }

    /// An activation of a gate, which comes from a product: the nodes from there to it.
    fn gate(&self, entry: Option<usize>, op_types: &[&str]) -> Option<BTreeSet<usize>> {
        let entry = entry.filter(|&entry| self.is(entry, op_types))?;
        let mut nodes = BTreeSet::from([entry]);
        let (mut open, mut products) = (vec![(entry, 0)], 0);
        while let Some((entry, far)) = open.pop() {
            for input in 0..self.graph.entries[entry].proto.input.len().min(8) {
                let Some(maker) = self.maker(entry, input) else { continue };
                let product = self.is(maker, &["MatMul", "Gemm", "MatMulInteger", "QLinearMatMul"]);
                let on_the_way = self.is(
                    maker,
                    &[
                        "Add",
                        "Sum",
                        "Split",
                        "Slice",
                        "Squeeze",
                        "Unsqueeze",
                        "Reshape",
                        "Identity",
                        "Mul",
                        "Gather",
                    ],
                );
                products += usize::from(product);
                let found = (product || on_the_way) && nodes.insert(maker);
                if found && on_the_way && far < FAR {
                    open.push((maker, far + 1));
                }
            }
            if nodes.len() > 64 {
                return None;
            }
        }
        (products > 0).then_some(nodes)
    }

    /// An LSTM whose new hidden state this node makes.
    fn lstm(&self, entry: usize) -> Option<Found> {
        if !self.is(entry, &["Mul"]) {
            return None;
        }
        for (output_gate, tanh) in self.pairs(entry) {
            let Some(tanh) = tanh.filter(|&tanh| self.is(tanh, &["Tanh"])) else { continue };
            let Some(sum) = self.maker(tanh, 0).filter(|&sum| self.is(sum, &["Add", "Sum"])) else {
                continue;
            };
            let Some(output_gate) = self.gate(output_gate, &["Sigmoid", "HardSigmoid"]) else { continue };
            for (kept, new) in self.pairs(sum) {
                let (Some(kept), Some(new)) = (kept, new) else { continue };
                if !self.is(kept, &["Mul"]) || !self.is(new, &["Mul"]) {
                    continue;
                }
                // (The new cell state is looked at last: its tanh is one of the two.)
                let of_new = self.pairs(new).into_iter().find_map(|(gate, candidate)| {
                    let gate = self.gate(gate, &["Sigmoid", "HardSigmoid"])?;
                    Some((gate, self.gate(candidate, &["Tanh"])?))
                });
                let of_kept = self.pairs(kept).into_iter();
                let of_kept =
                    of_kept.filter_map(|(gate, _)| self.gate(gate, &["Sigmoid", "HardSigmoid"])).next();
                if let (Some((input, candidate)), Some(forget)) = (of_new, of_kept) {
                    let mut nodes = BTreeSet::from([entry, tanh, sum, kept, new]);
                    [output_gate, input, candidate, forget].into_iter().for_each(|gate| nodes.extend(gate));
                    return Some((Kind::Lstm, nodes));
                }
            }
        }
        None
    }

    /// A GRU whose new hidden state this node makes.
    fn gru(&self, entry: usize) -> Option<Found> {
        if !self.is(entry, &["Add", "Sum"]) {
            return None;
        }
        let sigmoid = ["Sigmoid", "HardSigmoid"];
        for (first, second) in self.pairs(entry) {
            let Some(second) = second.filter(|&second| self.is(second, &["Mul"])) else { continue };
            // n + z (h - n)
            if let Some(candidate) = self.gate(first, &["Tanh"]) {
                for (gate, difference) in self.pairs(second) {
                    let difference = difference.filter(|&difference| self.is(difference, &["Sub"]));
                    let of_candidate = difference.is_some_and(|sub| self.maker(sub, 1) == first);
                    if let (Some(gate), Some(difference), true) =
                        (self.gate(gate, &sigmoid), difference, of_candidate)
                    {
                        let mut nodes = BTreeSet::from([entry, second, difference]);
                        nodes.extend(gate.into_iter().chain(candidate));
                        return Some((Kind::Gru, nodes));
                    }
                }
            }
            // (1 - z) n + z h
            let Some(first) = first.filter(|&first| self.is(first, &["Mul"])) else { continue };
            for (rest, candidate) in self.pairs(first) {
                let Some(rest) = rest.filter(|&rest| self.is(rest, &["Sub"])) else { continue };
                let Some(candidate) = self.gate(candidate, &["Tanh"]) else { continue };
                let gate = self.maker(rest, 1);
                let keeps = self.maker(second, 0) == gate || self.maker(second, 1) == gate;
                if let (Some(gate), true) = (self.gate(gate, &sigmoid), keeps) {
                    let mut nodes = BTreeSet::from([entry, first, second, rest]);
                    nodes.extend(gate.into_iter().chain(candidate));
                    return Some((Kind::Gru, nodes));
                }
            }
        }
        None
    }
}
