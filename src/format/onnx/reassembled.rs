//! LSTM cells that were taken apart, put together again: [`Reassembled`].
//!
//! Each gate's activation has an argument that is affine: followed back through sums, splits, slices and
//! products with constant matrices, it is a sum of constant matrices times two values, x and h, and a
//! constant.
//!
//! ```text
//! argument of a gate = W x + R h + b       W (H, I), R (H, H), b (H)
//! ```
//!
//! Which of the two values is h, must be sure: its matrices are square, and if those of both are, h comes
//! from the same input or node as the cell state c does, through nodes that only move elements, and x does
//! not. What else there is, another activation, a third value, no way to tell x from h: then the cell is left
//! as it is.

use super::super::{Arrays, Convention};
use super::array::{Array, Value};
use super::fold::{Fold, Folded, Key};
use super::graph::{Entry, Graph, Source};
use super::model::Model;
use super::search::{LstmCell, Search, origin};
use crate::error::Error;
use crate::layer::Recurrent;
use crate::{CellKind, Lstm};
use std::collections::BTreeMap;

/// An LSTM cell of a model that was taken apart, as a network of one layer: one [`step`](Recurrent::step) of
/// it computes what the model's nodes compute.
///
/// ```
/// use fused_rnn::format::onnx::Model;
/// use std::collections::BTreeMap;
///
/// let model = Model::open("tests/golden/onnx_cases/lstm_taken_apart.onnx")?;
/// println!("{}", model.warnings()[0]);
/// let cell = &model.reassembled(&BTreeMap::new())?[0];
/// assert_eq!((cell.inputs(), cell.outputs()), (["X", "h", "c"], ["h1", "c1"]));
/// assert_eq!(cell.network().config().input_size(), 3);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reassembled {
    network: Recurrent,
    place: String,
    inputs: [String; 3],
    outputs: [String; 2],
}

impl Reassembled {
    /// The network that the cell is.
    pub fn network(&self) -> &Recurrent {
        &self.network
    }

    /// The network that the cell is, alone.
    pub fn into_network(self) -> Recurrent {
        self.network
    }

    /// The [place](Model::places) of the graph that the cell stands in.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The names of x, (B, I), of the state h and of the state c, both (B, H).
    pub fn inputs(&self) -> [&str; 3] {
        self.inputs.each_ref().map(String::as_str)
    }

    /// The names of the new h, which is the output too, and of the new c.
    pub fn outputs(&self) -> [&str; 2] {
        self.outputs.each_ref().map(String::as_str)
    }
}

impl Model {
    /// The LSTM cells that [`warnings`](Model::warnings) tells of, as far as they can be put together surely,
    /// in the order of the file; the first 64 where they are more, as those of a layer that was unrolled over
    /// time may be. Weights come from `supplied`, by name, or else from the model.
    ///
    /// # Errors
    /// [`Error::Format`] where a node that makes a weight is wrong.
    pub fn reassembled(&self, supplied: &BTreeMap<String, Value>) -> Result<Vec<Reassembled>, Error> {
        let graph = self.graph();
        let search = Search { graph };
        let found = (0..graph.entries.len()).filter(|&entry| self.is_alive(entry));
        let found = found.filter_map(|entry| Some((entry, search.lstm(entry)?)));
        let found: Vec<(usize, LstmCell)> = found.take(MAX_CELLS).collect();
        let states = found.iter().map(|(entry, cell)| (output(graph, *entry), output(graph, cell.cell)));
        let states: BTreeMap<Key<'_>, Key<'_>> = states.collect();
        let mut cells = Vec::new();
        for (entry, cell) in &found {
            // (Cells may share their weights, and each has its own copy.)
            let mut fold = Fold::new(graph, supplied);
            cells.extend(reassemble(graph, &search, &states, &mut fold, *entry, cell)?);
        }
        Ok(cells)
    }
}

/// The most cells that are put together.
const MAX_CELLS: usize = 64;

/// The first output of a node.
fn output(graph: &Graph, entry: usize) -> Key<'_> {
    let node = &graph.entries[entry];
    (node.scope, node.output(0).unwrap_or_default())
}

/// `sum of matrices times values + bias`, for some rows.
struct Affine<'a> {
    rows: usize,
    /// Each value, its width, and the matrix (rows, width).
    terms: Vec<(Key<'a>, usize, Vec<f32>)>,
    bias: Vec<f32>,
}

fn reassemble<'a>(
    graph: &'a Graph,
    search: &Search<'a>,
    states: &BTreeMap<Key<'a>, Key<'a>>,
    fold: &mut Fold<'a>,
    entry: usize,
    cell: &LstmCell,
) -> Result<Option<Reassembled>, Error> {
    let mut gates = Vec::new();
    for (place, &gate) in cell.gates.iter().enumerate() {
        if !search.is(gate, &[if place == 3 { "Tanh" } else { "Sigmoid" }]) {
            return Ok(None);
        }
        let node = &graph.entries[gate];
        let Some(name) = node.input(0) else { return Ok(None) };
        let Some(affine) = (Trace { graph, fold, left: 256 }).affine(node.scope, name)? else {
            return Ok(None);
        };
        gates.push(affine);
    }
    let kept = &graph.entries[cell.kept.0];
    let Some(c) = kept.input(cell.kept.1) else { return Ok(None) };
    // All gates have the same two values, in whatever order.
    let [(first, ..), (second, ..)] = gates[0].terms[..] else { return Ok(None) };
    let hidden = gates[0].rows;
    let width =
        |gate: &Affine<'a>, key: Key<'a>| gate.terms.iter().find(|term| term.0 == key).map(|term| term.1);
    let [Some(first_width), Some(second_width)] = [first, second].map(|key| width(&gates[0], key)) else {
        return Ok(None);
    };
    let alike = |gate: &Affine<'a>| {
        let widths = [width(gate, first), width(gate, second)];
        gate.rows == hidden && gate.terms.len() == 2 && widths == [Some(first_width), Some(second_width)]
    };
    if !gates.iter().all(alike) {
        return Ok(None);
    }
    let origin_of_c = origin(graph, kept.scope, c);
    // From where c comes, or the h of the cell before where c is the c of that cell.
    let from_c = |key: Key<'a>| {
        let origin = origin(graph, key.0, key.1);
        origin_of_c.is_some()
            && (origin == origin_of_c || origin.and_then(|h| states.get(&h)) == origin_of_c.as_ref())
    };
    let (x, h, width) = match (first_width == hidden, second_width == hidden) {
        (true, false) => (second, first, second_width),
        (false, true) => (first, second, first_width),
        (true, true) if from_c(second) && !from_c(first) => (first, second, first_width),
        (true, true) if from_c(first) && !from_c(second) => (second, first, second_width),
        _ => return Ok(None),
    };
    let matrix = |key: Key<'a>| {
        let of_gate =
            |gate: &Affine<'a>| gate.terms.iter().find(|term| term.0 == key).map(|term| term.2.clone());
        gates.iter().filter_map(of_gate).collect::<Vec<_>>().concat()
    };
    let biases = gates.iter().flat_map(|gate| gate.bias.iter().copied());
    let arrays = Arrays {
        input: matrix(x),
        recurrent: matrix(h),
        bias: biases.chain(std::iter::repeat_n(0.0, CellKind::Lstm.gates() * hidden)).collect(),
        peephole: Vec::new(),
        ..Arrays::default()
    };
    let mut network = Lstm::builder(width, hidden).build()?;
    Convention::Onnx.load(&mut network, &[arrays])?;
    Ok(Some(Reassembled {
        network,
        place: graph.place(graph.entries[entry].scope),
        inputs: [x.1, h.1, c].map(str::to_owned),
        outputs: [entry, cell.cell].map(|entry| output(graph, entry).1.to_owned()),
    }))
}

struct Trace<'a, 'b> {
    graph: &'a Graph,
    fold: &'b mut Fold<'a>,
    /// How many more nodes are looked at.
    left: usize,
}

impl<'a> Trace<'a, '_> {
    /// A value as an affine function of others; `None` where it is none that is known here.
    fn affine(&mut self, scope: usize, name: &'a str) -> Result<Option<Affine<'a>>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        if let Some(array) = self.constant(scope, name)? {
            // A row of numbers.
            let rows = array.len();
            let bias = array.as_floats().filter(|_| array.shape().last().is_none_or(|&last| last == rows));
            return Ok(bias.map(|bias| Affine { rows, terms: Vec::new(), bias: bias.to_vec() }));
        }
        let Some((_, Source::Output(entry, output))) = self.graph.source(scope, name) else {
            return Ok(None);
        };
        let node = &self.graph.entries[entry];
        let (Some(first), true) = (node.input(0), node.is_standard()) else { return Ok(None) };
        match &*node.proto.op_type {
            "Identity" => self.affine(node.scope, first),
            "Add" => match node.input(1) {
                Some(second) => {
                    let parts = (self.affine(node.scope, first)?, self.affine(node.scope, second)?);
                    Ok(parts.0.zip(parts.1).and_then(|(a, b)| sum(a, b)))
                }
                None => Ok(None),
            },
            "MatMul" => self.product(node, false),
            "Gemm" => self.product(node, node.integer("transB").unwrap_or(0) != 0),
            "Split" | "Slice" => {
                let Some(all) = self.affine(node.scope, first)? else { return Ok(None) };
                let range = if node.proto.op_type == "Split" {
                    self.part(node, output, all.rows)?
                } else {
                    self.slice(node, all.rows)?
                };
                Ok(range.and_then(|(start, end)| rows(all, start, end)))
            }
            _ => Ok(None),
        }
    }

    fn constant(&mut self, scope: usize, name: &'a str) -> Result<Option<Array>, Error> {
        match self.fold.find(scope, name)? {
            Some(Folded::Known(array)) => {
                self.fold.budget().spend(array.shape())?;
                Ok(Some(array))
            }
            _ => Ok(None),
        }
    }

    /// MatMul and Gemm of a value with a constant.
    fn product(&mut self, node: &'a Entry, turned: bool) -> Result<Option<Affine<'a>>, Error> {
        let (Some(value), Some(name)) = (node.input(0), node.input(1)) else { return Ok(None) };
        let plain = |attribute: &str| {
            node.proto.attribute.iter().find(|a| a.name == attribute).is_none_or(|a| a.f == Some(1.0))
        };
        if node.integer("transA").unwrap_or(0) != 0 || !plain("alpha") || !plain("beta") {
            return Ok(None);
        }
        let Some(matrix) = self.constant(node.scope, name)? else { return Ok(None) };
        let (&[a, b], Some(values)) = (matrix.shape(), matrix.as_floats()) else { return Ok(None) };
        let (rows, width) = if turned { (a, b) } else { (b, a) };
        let values = if turned {
            values.to_vec()
        } else {
            (0..rows).flat_map(|row| values.iter().skip(row).step_by(rows.max(1))).copied().collect()
        };
        let Some((place, _)) = self.graph.source(node.scope, value) else { return Ok(None) };
        let product = Affine { rows, terms: vec![((place, value), width, values)], bias: vec![0.0; rows] };
        match node.input(2) {
            None => Ok(Some(product)),
            Some(bias) => {
                let bias = self.affine(node.scope, bias)?;
                Ok(bias.and_then(|bias| sum(product, bias)))
            }
        }
    }

    /// The rows of a part of the last axis, the second of two.
    fn part(&mut self, node: &'a Entry, output: usize, rows: usize) -> Result<Option<(usize, usize)>, Error> {
        if !matches!(node.integer("axis").unwrap_or(0), -1 | 1) {
            return Ok(None);
        }
        let parts = node.proto.output.len();
        let sizes = match self.fold.integers(node, "split", 1)? {
            Some(sizes) => {
                sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<Vec<usize>>>()
            }
            None => rows.is_multiple_of(parts).then(|| vec![rows / parts; parts]),
        };
        let sum = |sizes: &[usize]| sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        let sizes = sizes.filter(|sizes| sum(sizes) == Some(rows) && output < sizes.len());
        Ok(sizes.map(|sizes| {
            let start: usize = sizes[..output].iter().sum();
            (start, start + sizes[output])
        }))
    }

    /// The same of a slice of that axis.
    fn slice(&mut self, node: &'a Entry, rows: usize) -> Result<Option<(usize, usize)>, Error> {
        let starts = self.fold.integers(node, "starts", 1)?;
        let ends = self.fold.integers(node, "ends", 2)?;
        let (axes, steps) = (self.fold.integers(node, "axes", 3)?, self.fold.integers(node, "steps", 4)?);
        let (Some(&[start]), Some(&[end])) = (starts.as_deref(), ends.as_deref()) else { return Ok(None) };
        if !matches!(axes.as_deref(), Some(&[-1 | 1])) || steps.is_some_and(|steps| steps != [1]) {
            return Ok(None);
        }
        let wrap = |at: i64| {
            let at = if at < 0 { at.saturating_add(rows as i64) } else { at };
            at.clamp(0, rows as i64) as usize
        };
        let (start, end) = (wrap(start), wrap(end));
        Ok((start < end).then_some((start, end)))
    }
}

fn sum<'a>(mut a: Affine<'a>, b: Affine<'a>) -> Option<Affine<'a>> {
    if a.rows != b.rows {
        return None;
    }
    a.bias.iter_mut().zip(&b.bias).for_each(|(sum, bias)| *sum += bias);
    for (key, width, values) in b.terms {
        match a.terms.iter_mut().find(|term| term.0 == key) {
            Some(term) if term.1 == width => {
                term.2.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
            }
            Some(_) => return None,
            None => a.terms.push((key, width, values)),
        }
    }
    Some(a)
}

/// Some of the rows.
fn rows(all: Affine<'_>, start: usize, end: usize) -> Option<Affine<'_>> {
    let bias = all.bias.get(start..end)?.to_vec();
    let part = |(key, width, values): (_, usize, Vec<f32>)| {
        Some((key, width, values.get(start * width..end * width)?.to_vec()))
    };
    let terms = all.terms.into_iter().map(part).collect::<Option<Vec<_>>>()?;
    Some(Affine { rows: end - start, terms, bias })
}
