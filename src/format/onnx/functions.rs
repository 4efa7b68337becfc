//! A model's own functions, put in the place of the nodes that call them.
//!
//! A function is a list of nodes with names of its own. In the place of a call, its inputs and outputs get
//! the names of the call's, and its other names become unique ones, `CALL#NUMBER/NAME`. An attribute that
//! refers to one of the call becomes that attribute, or the function's default, or is left out.
//!
//! A few bytes can call much: the nodes that are put in may have as many bytes as the file and 64 KiB more,
//! and be sixteen calls deep. Calls beyond that stay calls, which nothing folds.

use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The deepest nesting of calls.
const DEEPEST: usize = 16;

/// Puts functions in the place of their calls. Those that were called are functions of the model no more.
pub(super) fn inline(model: &mut ModelProto, bytes: usize) {
    let functions = std::mem::take(&mut model.functions);
    if let (Some(graph), false) = (&mut model.graph, functions.is_empty()) {
        let mut by_name: BTreeMap<&str, BTreeMap<&str, Function<'_>>> = BTreeMap::new();
        for (index, proto) in functions.iter().enumerate() {
            by_name.entry(&proto.domain).or_default().insert(&proto.name, Function::of(index, proto));
        }
        let left = bytes.saturating_add(1 << 16);
        let mut calls = Calls { by_name, called: BTreeSet::new(), count: 0, left };
        calls.in_graph(graph, 0);
        let called = calls.called;
        let rest = functions.iter().enumerate().filter(|(index, _)| !called.contains(index));
        model.functions = rest.map(|(_, function)| function.clone()).collect();
    }
}

/// A function, and what a call of it takes.
#[derive(Clone, Copy)]
struct Function<'a> {
    index: usize,
    proto: &'a FunctionProto,
    bytes: usize,
    names: usize,
    references: usize,
}

impl<'a> Function<'a> {
    fn of(index: usize, proto: &'a FunctionProto) -> Function<'a> {
        let bytes = proto.node.iter().map(Message::encoded_len).fold(64, usize::saturating_add);
        let (references, has_graphs) = references(&proto.node);
        let of_node = |node: &NodeProto| node.input.len() + node.output.len() + 1;
        // Within graphs a name is at least two bytes.
        let names = if has_graphs { bytes / 2 } else { proto.node.iter().map(of_node).sum() };
        Function { index, proto, bytes, names, references }
    }
}

struct Calls<'a> {
    by_name: BTreeMap<&'a str, BTreeMap<&'a str, Function<'a>>>,
    called: BTreeSet<usize>,
    /// Calls so far, for names.
    count: usize,
    /// Bytes that may still be put in.
    left: usize,
}

impl Calls<'_> {
    fn in_graph(&mut self, graph: &mut GraphProto, depth: usize) {
        let nodes = std::mem::take(&mut graph.node).into_iter();
        graph.node = nodes.flat_map(|node| self.expanded(node, depth)).collect();
    }

    /// The nodes in the place of one.
    fn expanded(&mut self, mut node: NodeProto, depth: usize) -> Vec<NodeProto> {
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|graph| self.in_graph(graph, depth));
        }
        let function = self.by_name.get(&*node.domain).and_then(|named| named.get(&*node.op_type)).copied();
        let Some(function) = function.filter(|_| depth < DEEPEST) else { return vec![node] };
        let title = if node.name.is_empty() { &node.op_type } else { &node.name };
        let prefix = format!("{}#{}/", title.chars().take(64).collect::<String>(), self.count);
        let attributes: usize = node.attribute.iter().map(Message::encoded_len).sum();
        let cost = function.bytes.saturating_add(function.names.saturating_mul(prefix.len()));
        let cost = cost.saturating_add(function.references.saturating_mul(attributes));
        let Some(left) = self.left.checked_sub(cost) else { return vec![node] };
        (self.left, self.count) = (left, self.count + 1);
        self.called.insert(function.index);
        let body = Call { node: &node, function: function.proto, prefix, names: BTreeMap::new() }.body();
        body.into_iter().flat_map(|node| self.expanded(node, depth + 1)).collect()
    }
}

struct Call<'a> {
    node: &'a NodeProto,
    function: &'a FunctionProto,
    prefix: String,
    /// The function's names that are those of the call.
    names: BTreeMap<&'a str, &'a str>,
}

impl<'a> Call<'a> {
    /// The nodes of the function, with the names and the attributes of the call.
    fn body(&mut self) -> Vec<NodeProto> {
        let mut body = Vec::new();
        for (index, inner) in self.function.input.iter().enumerate() {
            self.names.insert(inner, self.node.input.get(index).map_or("", String::as_str));
        }
        for (inner, outer) in self.function.output.iter().zip(&self.node.output) {
            // An output may be an input as it came, or stand for two.
            if let Some(&other) = self.names.get(&**inner) {
                let (input, output) = (vec![other.to_owned()], vec![outer.clone()]);
                body.push(NodeProto {
                    input,
                    output,
                    op_type: "Identity".to_owned(),
                    ..NodeProto::default()
                });
            } else if !outer.is_empty() {
                self.names.insert(inner, outer);
            }
        }
        body.extend(self.function.node.iter().map(|node| self.node(node.clone())));
        body
    }

    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(name) => (*name).to_owned(),
            None if name.is_empty() => String::new(),
            None => format!("{}{name}", self.prefix),
        }
    }

    fn node(&self, mut node: NodeProto) -> NodeProto {
        node.input.iter_mut().chain(&mut node.output).for_each(|name| *name = self.name(name));
        let name = if node.name.is_empty() { &node.op_type } else { &node.name };
        node.name = format!("{}{name}", self.prefix);
        node.attribute =
            node.attribute.into_iter().filter_map(|attribute| self.attribute(attribute)).collect();
        node
    }

    fn attribute(&self, mut attribute: AttributeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name.is_empty() {
            let all = self.node.attribute.iter().chain(&self.function.default);
            let of_call = all.into_iter().find(|other| other.name == attribute.ref_attr_name)?;
            return Some(AttributeProto { name: attribute.name, ..of_call.clone() });
        }
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|graph| self.graph(graph));
        Some(attribute)
    }

    fn graph(&self, graph: &mut GraphProto) {
        graph.node = std::mem::take(&mut graph.node).into_iter().map(|node| self.node(node)).collect();
        graph.initializer.iter_mut().for_each(|tensor| tensor.name = self.name(&tensor.name));
        let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        values.for_each(|value| value.name = self.name(&value.name));
    }
}

/// How many attributes refer to those of a call, and whether there are graphs.
fn references(nodes: &[NodeProto]) -> (usize, bool) {
    let mut found = (0, false);
    for attribute in nodes.iter().flat_map(|node| &node.attribute) {
        found.0 += usize::from(!attribute.ref_attr_name.is_empty());
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            found = (found.0 + references(&graph.node).0, true);
        }
    }
    found
}
