//! Cells that were taken apart into products, sums, a split and activations, by their equations, from their
//! end:
//!
//! ```text
//! LSTM   h' = o * tanh(c'),   c' = f * c + i * g       o, f, i sigmoids, g a tanh
//! GRU    h' = (1 - z) * n + z * h,  or  n + z * (h - n)     z a sigmoid, n a tanh
//! RNN    h' = f(W x + R h + b)                              f a tanh or a rectifier
//! ```
//!
//! and each sigmoid and tanh of a gate has to come from a product of matrices, through sums, splits and
//! slices alone. An LSTM whose forget gate is coupled or left out, or with other activations, is not found.
//!
//! An additive attention, `tanh(W x + R h)`, has the form of an RNN too. So the state of one must be seen to go
//! on: h is the h' of another such sum with the same W, as where time was unrolled, or an input of a graph
//! whose output is h', with a square R.

use super::fold::Key;
use super::graph::{Graph, Source};
use std::collections::BTreeSet;

/// How far a gate's activation may stand from its product: sums, a split, reshapes.
const FAR: usize = 12;

/// Finds cells in a graph.
pub(super) struct Search<'a> {
    pub(super) graph: &'a Graph,
}

/// An LSTM's nodes.
pub(super) struct LstmCell {
    /// All, from the products on.
    pub(super) nodes: BTreeSet<usize>,
    /// The activations of i, o, f and of the candidate: ONNX's order.
    pub(super) gates: [usize; 4],
    /// The node that makes the new cell state.
    pub(super) cell: usize,
    /// The product of the forget gate with the cell state, and which of its inputs is that.
    pub(super) kept: (usize, usize),
}

/// A step of an Elman network.
pub(super) struct ElmanStep {
    /// All its nodes, from the products on.
    pub(super) nodes: BTreeSet<usize>,
    /// The step before, where that is the first and begins with a constant: its activation and its nodes.
    pub(super) before: Option<(usize, BTreeSet<usize>)>,
}

/// A product of a value with a matrix.
#[derive(Clone, Copy)]
struct Product<'a> {
    entry: usize,
    /// Where the value comes from.
    value: Option<Key<'a>>,
    matrix: Option<Key<'a>>,
}

/// The activations of an Elman network.
const ELMAN: [&str; 2] = ["Tanh", "Relu"];
/// Products of a value with a matrix.
const PRODUCTS: [&str; 4] = ["MatMul", "Gemm", "MatMulInteger", "QLinearMatMul"];

/// The activations that a gate may have.
const GATES: [&str; 2] = ["Sigmoid", "HardSigmoid"];

impl<'a> Search<'a> {
    /// The node that makes an input of a node, in the same scope.
    pub(super) fn maker(&self, entry: usize, input: usize) -> Option<usize> {
        let node = &self.graph.entries[entry];
        match self.graph.source(node.scope, node.input(input)?)? {
            (scope, Source::Output(maker, _)) if scope == node.scope => Some(maker),
            _ => None,
        }
    }

    pub(super) fn is(&self, entry: usize, op_types: &[&str]) -> bool {
        let node = &self.graph.entries[entry];
        node.is_standard() && op_types.contains(&&*node.proto.op_type)
    }

    /// Both orders of the makers of two inputs.
    fn pairs(&self, entry: usize) -> [(Option<usize>, Option<usize>); 2] {
        let (a, b) = (self.maker(entry, 0), self.maker(entry, 1));
        [(a, b), (b, a)]
    }

    /// An activation of a gate, which comes from a product: the nodes from there to it.
    fn gate(&self, entry: Option<usize>, op_types: &[&str]) -> Option<Vec<usize>> {
        let entry = entry.filter(|&entry| self.is(entry, op_types))?;
        let mut nodes = BTreeSet::from([entry]);
        let (mut open, mut products) = (vec![(entry, 0)], 0);
        while let Some((entry, far)) = open.pop() {
            for input in 0..self.graph.entries[entry].proto.input.len().min(8) {
                let Some(maker) = self.maker(entry, input) else { continue };
                let product = self.is(maker, &PRODUCTS);
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
        (products > 0).then(|| nodes.into_iter().collect())
    }

    /// An LSTM whose new hidden state this node makes.
    pub(super) fn lstm(&self, entry: usize) -> Option<LstmCell> {
        if !self.is(entry, &["Mul"]) {
            return None;
        }
        for (output, tanh) in self.pairs(entry) {
            let Some(tanh) = tanh.filter(|&tanh| self.is(tanh, &["Tanh"])) else { continue };
            let Some(cell) = self.maker(tanh, 0).filter(|&sum| self.is(sum, &["Add", "Sum"])) else {
                continue;
            };
            let Some(output_nodes) = self.gate(output, &GATES) else { continue };
            for (kept, new) in self.pairs(cell) {
                let (Some(kept), Some(new)) = (kept, new) else { continue };
                if !self.is(kept, &["Mul"]) || !self.is(new, &["Mul"]) {
                    continue;
                }
                let of_new = self.pairs(new).into_iter().find_map(|(gate, candidate)| {
                    let nodes = [self.gate(gate, &GATES)?, self.gate(candidate, &["Tanh"])?].concat();
                    Some((gate?, candidate?, nodes))
                });
                let of_kept = self.pairs(kept).into_iter().enumerate().find_map(|(input, (gate, _))| {
                    let nodes = self.gate(gate, &GATES)?;
                    Some((gate?, 1 - input, nodes))
                });
                if let (
                    Some((input, candidate, new_nodes)),
                    Some((forget, state, kept_nodes)),
                    Some(output),
                ) = (of_new, of_kept, output)
                {
                    let own = [entry, tanh, cell, kept, new];
                    let nodes = own.into_iter().chain(output_nodes).chain(new_nodes).chain(kept_nodes);
                    let gates = [input, output, forget, candidate];
                    return Some(LstmCell { nodes: nodes.collect(), gates, cell, kept: (kept, state) });
                }
            }
        }
        None
    }

    /// A GRU whose new hidden state this node makes.
    pub(super) fn gru(&self, entry: usize) -> Option<BTreeSet<usize>> {
        if !self.is(entry, &["Add", "Sum"]) {
            return None;
        }
        for (first, second) in self.pairs(entry) {
            let Some(second) = second.filter(|&second| self.is(second, &["Mul"])) else { continue };
            // n + z (h - n)
            if let Some(candidate) = self.gate(first, &["Tanh"]) {
                for (gate, difference) in self.pairs(second) {
                    let difference = difference.filter(|&difference| self.is(difference, &["Sub"]));
                    let of_candidate = difference.is_some_and(|sub| self.maker(sub, 1) == first);
                    if let (Some(gate), Some(difference), true) =
                        (self.gate(gate, &GATES), difference, of_candidate)
                    {
                        let mut nodes = BTreeSet::from([entry, second, difference]);
                        nodes.extend(gate.into_iter().chain(candidate));
                        return Some(nodes);
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
                if let (Some(gate), true) = (self.gate(gate, &GATES), keeps) {
                    let mut nodes = BTreeSet::from([entry, first, second, rest]);
                    nodes.extend(gate.into_iter().chain(candidate));
                    return Some(nodes);
                }
            }
        }
        None
    }
    /// The origins of the outputs of all graphs.
    pub(super) fn outputs(&self) -> BTreeSet<Key<'a>> {
        let scopes = self.graph.scopes.iter().enumerate();
        let outputs = scopes.flat_map(|(index, scope)| scope.outputs.iter().map(move |name| (index, name)));
        outputs.filter_map(|(scope, name)| origin(self.graph, scope, name)).collect()
    }

    /// A step of an Elman network whose new hidden state this node makes; `outputs` as above.
    pub(super) fn elman(&self, entry: usize, outputs: &BTreeSet<Key<'a>>) -> Option<ElmanStep> {
        let (nodes, products) = self.elman_sum(entry)?;
        for h in &products {
            let Some((scope, name)) = h.value else { continue };
            let others = || products.iter().filter(|x| x.entry != h.entry && x.matrix != h.matrix);
            match self.graph.source(scope, name)? {
                (_, Source::Output(before, 0)) if before != entry => {
                    let Some((before_nodes, before_products)) = self.elman_sum(before) else { continue };
                    let same = |x: &Product<'a>| {
                        let is_it = |other: &Product<'a>| {
                            other.entry == x.entry || x.matrix.is_some() && other.matrix == x.matrix
                        };
                        before_products.iter().any(is_it)
                    };
                    if others().any(same) {
                        // The first step has a product less: that with a state of zeros is a constant.
                        let is_first = before_products.len() < products.len();
                        let before = is_first.then_some((before, before_nodes));
                        return Some(ElmanStep { nodes, before });
                    }
                }
                (place, Source::Input) if place == self.graph.entries[entry].scope => {
                    let goes_on = outputs.contains(&(place, self.graph.entries[entry].output(0)?));
                    let of_x = others().any(|x| x.value != h.value);
                    if goes_on && of_x && products.len() == 2 && self.is_square(h.matrix) {
                        return Some(ElmanStep { nodes, before: None });
                    }
                }
                _ => (),
            }
        }
        None
    }

    /// The nodes of `f(sum of products)`, and the products.
    fn elman_sum(&self, entry: usize) -> Option<(BTreeSet<usize>, Vec<Product<'a>>)> {
        let nodes = self.gate(Some(entry), &ELMAN)?;
        let input = |entry: usize, index: usize| {
            let node = &self.graph.entries[entry];
            Some((node.scope, node.input(index)?))
        };
        let product = |&entry: &usize| Product {
            entry,
            value: input(entry, 0).and_then(|(scope, name)| origin(self.graph, scope, name)),
            matrix: input(entry, 1).and_then(|(scope, name)| origin(self.graph, scope, name)),
        };
        let products = nodes.iter().filter(|&&node| self.is(node, &PRODUCTS)).map(product).collect();
        (!nodes.iter().any(|&node| self.is(node, &["Mul"]))).then(|| (nodes.into_iter().collect(), products))
    }

    fn is_square(&self, matrix: Option<Key<'a>>) -> bool {
        let found = matrix.and_then(|(scope, name)| self.graph.source(scope, name));
        matches!(found, Some((_, Source::Tensor(tensor))) if matches!(tensor.dims[..], [a, b] if a == b))
    }
}

/// The input, or the output of a node that computes, whose elements a value has.
pub(super) fn origin<'a>(graph: &'a Graph, mut scope: usize, mut name: &'a str) -> Option<Key<'a>> {
    let moves = [
        "Identity",
        "Slice",
        "Gather",
        "Split",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "Transpose",
        "Flatten",
        "Cast",
    ];
    for _ in 0..64 {
        let (place, source) = graph.source(scope, name)?;
        let Source::Output(entry, _) = source else { return Some((place, name)) };
        let node = &graph.entries[entry];
        match node.input(0) {
            Some(input) if node.is_standard() && moves.contains(&&*node.proto.op_type) => {
                (scope, name) = (node.scope, input);
            }
            // (The outputs of one node are one origin: a cell's h and c may be of two nodes, and are never of
            // one with x.)
            _ => return Some((place, node.output(0)?)),
        }
    }
    None
}
