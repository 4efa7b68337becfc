//! A model file: its recurrent nodes, the other nodes, and its constants.
//!
//! Nodes of the main graph, of the graphs within it (`If`, `Loop`, `Scan`) and of functions are found alike;
//! those of a function that is called stand in the place of the call. Of an `If` whose condition is a
//! constant, those of the branch that is never taken are left out.

use super::super::magic::{Kind as FileKind, not_readable};
use super::super::refused;
use super::array::Value;
use super::external::Folder;
use super::fold::{Fold, Folded};
use super::functions::inline;
use super::graph::Graph;
use super::model_node::ModelNode;
use super::proto::{ModelProto, damage};
use crate::error::Error;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// A model file.
///
/// ```
/// use fused_rnn::format::onnx::Model;
/// use std::collections::BTreeMap;
///
/// let model = Model::open("tests/golden/onnx_cases/if_of_an_input_then/model.onnx")?;
/// for node in model.nodes() {
///     // Its weights, whatever nodes have made them of constants.
///     let layer = node.with_weights(&model, &BTreeMap::new())?.into_layer();
///     println!("{} in {:?}: {} units", node.name(), node.place(&model), layer.config().hidden_size());
/// }
/// // What stands around them, and its constants by name.
/// assert_eq!(model.other_nodes()[0].op_type(), "If");
/// assert_eq!(model.value_names(), ["B", "R", "W", "two"]);
/// # assert_eq!(model.nodes().len(), 2);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    graph: Graph,
    nodes: Vec<ModelNode>,
    /// Nodes that are neither recurrent nor constant.
    others: Vec<usize>,
    inputs: Vec<String>,
    /// The scopes of branches that are never taken.
    dead: BTreeSet<usize>,
}

/// A node of a model's graph, of any operator.
#[derive(Clone, Copy)]
pub struct GraphNode<'a> {
    graph: &'a Graph,
    entry: usize,
}

impl Model {
    /// Reads a model from the bytes of its file. Tensors whose data lie in other files are errors where they
    /// are needed; with [`Model::open`] they are read.
    ///
    /// # Errors
    /// [`Error::Format`] where this is no ONNX model, or two values of a graph have one name.
    pub fn read(bytes: &[u8]) -> Result<Model, Error> {
        Model::read_in(bytes, Folder::none())
    }

    /// Reads a model file. Data that it has in other files are read where they are needed, from files in the
    /// folder of the model and in folders within it; a path that leads out of it is an error.
    ///
    /// # Errors
    /// [`Error::Format`] where the file cannot be read, is no ONNX model, or two values of a graph have one
    /// name.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
        let path = path.as_ref();
        let wrong = |error: std::io::Error| refused(path.display(), "a file that can be read", error);
        let bytes = std::fs::read(path).map_err(wrong)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Model::read_in(&bytes, Folder::of(folder.unwrap_or(Path::new("."))))
    }

    fn read_in(bytes: &[u8], folder: Folder) -> Result<Model, Error> {
        let not_onnx = |cause| not_readable("ONNX", "an ONNX model", &[FileKind::Onnx], bytes, cause);
        let damaged = |error| not_onnx(format!("a damaged protocol buffer: {}", damage(&error)));
        let mut proto = ModelProto::decode(bytes).map_err(damaged)?;
        if proto.graph.is_none() {
            return Err(not_onnx("a protocol buffer without a graph".to_owned()));
        }
        inline(&mut proto, bytes.len());
        let inputs = proto.graph.iter().flat_map(|graph| &graph.input).map(|value| value.name.clone());
        let inputs = inputs.collect();
        let graph = Graph::new(proto, folder, bytes.len())?;
        let dead = dead_branches(&graph);
        let mut model = Model { graph, nodes: Vec::new(), others: Vec::new(), inputs, dead };
        for (index, entry) in model.graph.entries.iter().enumerate() {
            if model.dead.contains(&entry.scope) {
                continue;
            }
            match ModelNode::of(index, entry) {
                Some(node) => model.nodes.push(node),
                None if entry.is_standard() && entry.proto.op_type == "Constant" => (),
                None => model.others.push(index),
            }
        }
        Ok(model)
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether a node may ever run.
    pub(super) fn is_alive(&self, entry: usize) -> bool {
        !self.dead.contains(&self.graph.entries[entry].scope)
    }

    /// The recurrent nodes, in the order of the file: those of LSTM, GRU and RNN, and of
    /// `com.microsoft.DynamicQuantizeLSTM`. Where a condition of `If` is no constant, those of both branches.
    pub fn nodes(&self) -> &[ModelNode] {
        &self.nodes
    }

    /// The nodes that are neither recurrent nor Constant, in the order of the file.
    pub fn other_nodes(&self) -> Vec<GraphNode<'_>> {
        self.others.iter().map(|&entry| GraphNode { graph: &self.graph, entry }).collect()
    }

    /// The names of the graph's inputs.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// The names of the graph's outputs.
    pub fn outputs(&self) -> &[String] {
        &self.graph.scopes[0].outputs
    }

    /// The places of the model's graphs: "", the main graph, first; then those within it and the functions. A
    /// place is the nodes and attributes that lead to a graph, `If_0.then_branch/If_3.else_branch`.
    pub fn places(&self) -> Vec<String> {
        (0..self.graph.scopes.len()).map(|scope| self.graph.place(scope)).collect()
    }

    /// The names of the constants of the main graph, initialisers and outputs of Constant nodes, in
    /// alphabetical order. What other nodes make of them has values too.
    pub fn value_names(&self) -> Vec<&str> {
        self.names_of(0)
    }

    /// The names of the constants of the graph at a [place](Model::places); none where there is no such
    /// graph.
    pub fn value_names_in(&self, place: &str) -> Vec<&str> {
        self.scope(place).map_or(Vec::new(), |scope| self.names_of(scope))
    }

    fn names_of(&self, scope: usize) -> Vec<&str> {
        let constant = |&&(index, _): &&(usize, &str)| {
            let entry = &self.graph.entries[index];
            entry.is_standard() && entry.proto.op_type == "Constant"
        };
        let made = self.graph.made(scope);
        let made = made.iter().filter(constant).map(|&(_, name)| name);
        let names: BTreeSet<&str> =
            self.graph.scopes[scope].tensors.keys().map(String::as_str).chain(made).collect();
        names.into_iter().collect()
    }

    fn scope(&self, place: &str) -> Option<usize> {
        (0..self.graph.scopes.len()).find(|&scope| self.graph.place(scope) == place)
    }

    /// A constant of the main graph, or what nodes make of constants; `None` where nothing has this name, or
    /// it depends on inputs.
    ///
    /// # Errors
    /// [`Error::Format`] where its data lie in another file and the model was read from bytes, are of no type
    /// of numbers, are not as many as its shape says, or a node that makes it is wrong.
    pub fn value(&self, name: &str) -> Result<Option<Value>, Error> {
        self.known(0, name, &BTreeMap::new())
    }

    /// The same of the graph at a [place](Model::places), which sees the names of the graphs around it.
    ///
    /// # Errors
    /// As for [`value`](Model::value).
    pub fn value_in(&self, place: &str, name: &str) -> Result<Option<Value>, Error> {
        match self.scope(place) {
            Some(scope) => self.known(scope, name, &BTreeMap::new()),
            None => Ok(None),
        }
    }

    /// What nodes make of constants and of values that are supplied by name, of the graph's inputs or others:
    /// shapes, states, and the axes of a recurrent node's input and output. `None` where it depends on
    /// anything else, or on a node that is not folded.
    ///
    /// # Errors
    /// As for [`value`](Model::value).
    pub fn evaluate(&self, name: &str, supplied: &BTreeMap<String, Value>) -> Result<Option<Value>, Error> {
        self.known(0, name, supplied)
    }

    fn known(
        &self,
        scope: usize,
        name: &str,
        supplied: &BTreeMap<String, Value>,
    ) -> Result<Option<Value>, Error> {
        if let Some(value) = supplied.get(name) {
            return Ok(Some(value.clone()));
        }
        match Fold::new(&self.graph, supplied).find(scope, name)? {
            Some(Folded::Known(array)) => array.to_value(&format!("tensor {name:?}")).map(Some),
            _ => Ok(None),
        }
    }
}

/// The branches that are never taken, and the graphs within them.
fn dead_branches(graph: &Graph) -> BTreeSet<usize> {
    let nothing = BTreeMap::new();
    let mut fold = Fold::new(graph, &nothing);
    let mut dead = BTreeSet::new();
    for (index, entry) in graph.entries.iter().enumerate() {
        if !(entry.is_standard() && entry.proto.op_type == "If") || entry.graphs.is_empty() {
            continue;
        }
        // A condition that is wrong is an error where something needs it.
        let branch = match fold.condition(index) {
            Ok(Some(true)) => "else_branch",
            Ok(Some(false)) => "then_branch",
            _ => continue,
        };
        dead.extend(entry.graph(branch));
    }
    // A graph comes after the one around it.
    for (index, scope) in graph.scopes.iter().enumerate() {
        if scope.around.is_some_and(|around| dead.contains(&around)) {
            dead.insert(index);
        }
    }
    dead
}

impl<'a> GraphNode<'a> {
    /// The name of the node; may be empty.
    pub fn name(&self) -> &'a str {
        &self.graph.entries[self.entry].proto.name
    }

    /// The type of the node's operator.
    pub fn op_type(&self) -> &'a str {
        &self.graph.entries[self.entry].proto.op_type
    }

    /// The domain of its operator; empty for ONNX's own.
    pub fn domain(&self) -> &'a str {
        &self.graph.entries[self.entry].proto.domain
    }

    /// The names of its inputs; empty where one is left out.
    pub fn inputs(&self) -> &'a [String] {
        &self.graph.entries[self.entry].proto.input
    }

    /// The names of its outputs; empty where one is not asked for.
    pub fn outputs(&self) -> &'a [String] {
        &self.graph.entries[self.entry].proto.output
    }

    /// The [place](Model::places) of the graph that it stands in.
    pub fn place(&self) -> String {
        self.graph.place(self.graph.entries[self.entry].scope)
    }
}

impl fmt::Debug for GraphNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphNode")
            .field("name", &self.name())
            .field("op_type", &self.op_type())
            .field("domain", &self.domain())
            .field("inputs", &self.inputs())
            .field("outputs", &self.outputs())
            .field("place", &self.place())
            .finish()
    }
}
