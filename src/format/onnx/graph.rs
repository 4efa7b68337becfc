//! The graphs of a model, flattened: scopes of names, and nodes, each of which computes named values from
//! others.
//!
//! A scope is the main graph, a graph within it (a branch of `If`, the body of `Loop` or `Scan`) or a
//! function. A name belongs to the scope that it stands in: a graph within another sees those of the outer
//! ones, a function sees none but its own.

use super::super::refused;
use super::external::Folder;
use super::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Characters of a name in messages.
const LONGEST_NAME: usize = 200;

/// All graphs and nodes of a model.
#[derive(Clone)]
pub(super) struct Graph {
    /// The main graph first.
    pub(super) scopes: Vec<Scope>,
    /// In the order of the file; a node comes before those of the graphs within it.
    pub(super) entries: Vec<Entry>,
    pub(super) folder: Folder,
    /// The length of the file.
    pub(super) bytes: usize,
}

/// A graph.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// The scope around it.
    pub(super) around: Option<usize>,
    owner: Owner,
    pub(super) tensors: BTreeMap<String, TensorProto>,
    /// The node that makes a name, and which of its outputs that is.
    makers: BTreeMap<String, (usize, usize)>,
    /// Names of values that come from outside.
    inputs: BTreeSet<String>,
    /// Shapes that the file tells, where all sizes are known.
    shapes: BTreeMap<String, Vec<usize>>,
    pub(super) outputs: Vec<String>,
}

/// What a scope belongs to.
#[derive(Debug, Clone, Default)]
enum Owner {
    /// The main graph.
    #[default]
    Model,
    Function(String),
    /// A graph that is the value of an attribute.
    Node {
        entry: usize,
        attribute: usize,
    },
}

/// A node.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) proto: Arc<NodeProto>,
    pub(super) scope: usize,
    /// The graphs in its attributes: which attribute, and their scope.
    pub(super) graphs: Vec<(usize, usize)>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Tensor(&'a TensorProto),
    /// An output of a node.
    Output(usize, usize),
    /// What comes from outside.
    Input,
}

/// How many, and not all their numbers.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensors: usize = self.scopes.iter().map(|scope| scope.tensors.len()).sum();
        f.debug_struct("Graph")
            .field("graphs", &self.scopes.len())
            .field("nodes", &self.entries.len())
            .field("initializers", &tensors)
            .field("bytes", &self.bytes)
            .finish()
    }
}

impl Graph {
    pub(super) fn new(proto: ModelProto, folder: Folder, bytes: usize) -> Result<Graph, Error> {
        let main = proto.graph.ok_or_else(|| refused("model", "a graph", "none"))?;
        let mut graph = Graph { scopes: Vec::new(), entries: Vec::new(), folder, bytes };
        graph.add_graph(main, Owner::Model)?;
        for FunctionProto { name, input, node, .. } in proto.functions {
            let owner = Owner::Function(name);
            let inputs = input.into_iter().collect();
            graph.scopes.push(Scope { owner, inputs, ..Scope::default() });
            graph.add_nodes(node, graph.scopes.len() - 1)?;
        }
        Ok(graph)
    }

    // (Graphs lie in graphs as deep as protocol buffers do, which is a limit of their reader.)
    fn add_graph(&mut self, graph: GraphProto, owner: Owner) -> Result<usize, Error> {
        let name = |value: &ValueInfoProto| value.name.clone();
        let known = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
        let shapes = known.filter_map(|value| Some((value.name.clone(), known_shape(value)?))).collect();
        let around = match owner {
            Owner::Node { entry, .. } => Some(self.entries[entry].scope),
            _ => None,
        };
        self.scopes.push(Scope {
            owner,
            around,
            inputs: graph.input.iter().map(name).collect(),
            outputs: graph.output.iter().map(name).collect(),
            shapes,
            ..Scope::default()
        });
        let scope = self.scopes.len() - 1;
        for tensor in graph.initializer {
            if let Some(first) = self.scopes[scope].tensors.insert(tensor.name.clone(), tensor) {
                return Err(twice(&first.name));
            }
        }
        self.add_nodes(graph.node, scope)?;
        Ok(scope)
    }

    fn add_nodes(&mut self, nodes: Vec<NodeProto>, scope: usize) -> Result<(), Error> {
        for mut proto in nodes {
            let mut graphs = Vec::new();
            for (attribute, proto) in proto.attribute.iter_mut().enumerate() {
                let several = std::mem::take(&mut proto.graphs);
                graphs.extend(proto.g.take().into_iter().chain(several).map(|graph| (attribute, graph)));
            }
            let entry = self.entries.len();
            for (index, name) in proto.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let Scope { tensors, makers, .. } = &mut self.scopes[scope];
                if tensors.contains_key(name) || makers.insert(name.clone(), (entry, index)).is_some() {
                    return Err(twice(name));
                }
            }
            self.entries.push(Entry { proto: Arc::new(proto), scope, graphs: Vec::new() });
            for (attribute, graph) in graphs {
                let graph = self.add_graph(graph, Owner::Node { entry, attribute })?;
                self.entries[entry].graphs.push((attribute, graph));
            }
        }
        Ok(())
    }

    /// Where a scope stands: empty for the main graph, else nodes and their attributes from the main graph
    /// on, with slashes between them, `If_0.then_branch/If_3.else_branch`.
    pub(super) fn place(&self, scope: usize) -> String {
        let mut parts = Vec::new();
        let mut at = Some(scope);
        while let Some(Scope { owner, around, .. }) = at.and_then(|scope| self.scopes.get(scope)) {
            match owner {
                Owner::Model => (),
                Owner::Function(name) => parts.push(format!("function {name}")),
                Owner::Node { entry, attribute } => {
                    let proto = &self.entries[*entry].proto;
                    let name = match &*proto.name {
                        "" => title(proto, *entry),
                        name => name.to_owned(),
                    };
                    parts.push(format!("{name}.{}", proto.attribute[*attribute].name));
                }
            }
            at = *around;
        }
        parts.reverse();
        parts.join("/")
    }

    /// The node and the attribute that a scope is the value of.
    pub(super) fn owner(&self, scope: usize) -> Option<(usize, &str)> {
        match self.scopes.get(scope)?.owner {
            Owner::Node { entry, attribute } => {
                Some((entry, &self.entries[entry].proto.attribute[attribute].name))
            }
            _ => None,
        }
    }

    /// What a name stands for where it is used in a scope, and the scope that it belongs to.
    pub(super) fn source(&self, scope: usize, name: &str) -> Option<(usize, Source<'_>)> {
        let mut at = Some(scope);
        while let Some(index) = at {
            let scope = self.scopes.get(index)?;
            if let Some(tensor) = scope.tensors.get(name) {
                return Some((index, Source::Tensor(tensor)));
            }
            if let Some(&(entry, output)) = scope.makers.get(name) {
                return Some((index, Source::Output(entry, output)));
            }
            if scope.inputs.contains(name) {
                return Some((index, Source::Input));
            }
            at = scope.around;
        }
        None
    }

    /// The names that nodes of a scope make, each with its node.
    pub(super) fn made(&self, scope: usize) -> Vec<(usize, &str)> {
        self.scopes[scope].makers.iter().map(|(name, &(entry, _))| (entry, name.as_str())).collect()
    }

    /// The shape that the file tells of a name, where all its sizes are known.
    pub(super) fn shape(&self, scope: usize, name: &str) -> Option<&[usize]> {
        self.scopes.get(scope)?.shapes.get(name).map(Vec::as_slice)
    }

    /// A node for messages.
    pub(super) fn title(&self, entry: usize) -> String {
        title(&self.entries[entry].proto, entry)
    }
}

/// A node for messages: its operator with its name, `LSTM "encoder"`, or where it has none with its place
/// among all nodes of the file, `LSTM#3`. Long names are cut: each output of a node may have a message.
pub(super) fn title(node: &NodeProto, entry: usize) -> String {
    let cut = |name: &str| name.chars().take(LONGEST_NAME).collect::<String>();
    match &*node.name {
        "" => format!("{}#{entry}", cut(&node.op_type)),
        name => format!("{} {:?}", cut(&node.op_type), cut(name)),
    }
}

impl Entry {
    /// Whether its operator is one of ONNX's own.
    pub(super) fn is_standard(&self) -> bool {
        matches!(&*self.proto.domain, "" | "ai.onnx")
    }

    /// The scope of the graph that is the value of this attribute.
    pub(super) fn graph(&self, attribute: &str) -> Option<usize> {
        let mut graphs = self.graphs.iter();
        graphs.find(|(index, _)| self.proto.attribute[*index].name == attribute).map(|&(_, scope)| scope)
    }

    /// An attribute that is an integer.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)?.i
    }

    /// The name of one of its inputs.
    pub(super) fn input(&self, index: usize) -> Option<&str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The name of one of its outputs.
    pub(super) fn output(&self, index: usize) -> Option<&str> {
        self.proto.output.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }
}

fn twice(name: &str) -> Error {
    refused(format_args!("constant {name:?}"), "one of this name", "two")
}

fn known_shape(value: &ValueInfoProto) -> Option<Vec<usize>> {
    let shape = value.r#type.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
    shape.dim.iter().map(|dim| usize::try_from(dim.value?).ok()).collect()
}
