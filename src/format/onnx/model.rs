//! A model file: its recurrent nodes, and the tensors that are their weights.
//!
//! Nodes of the main graph, of the graphs within it (`If`, `Loop`, `Scan`) and of functions are found alike.
//! A weight is an initialiser, the value of a `Constant` node, or supplied by the caller under its name. Names belong to
//! the graph that they stand in: a graph within another sees those of the outer ones, a function sees none but its own.

use super::super::tensor::{Stored, element_count, from_bf16, from_f16, narrow};
use super::super::{Tensor, refused};
use super::activations::activations;
use super::node::{Inputs, Node, Outputs, Weights};
use super::operator::{EmptyRows, Kind, Operator};
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::error::Error;
use crate::layer::{Direction, Layout};
use prost::Message;
use std::collections::BTreeMap;

/// A tensor of a model: of f32, or of integers as `sequence_lens` is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// FLOAT, and DOUBLE, FLOAT16 and BFLOAT16 as f32.
    Floats(Tensor),
    /// INT32 and INT64, with its shape.
    Integers(Vec<usize>, Vec<i64>),
}

/// A model file.
#[derive(Debug, Clone)]
pub struct Model {
    nodes: Vec<ModelNode>,
    /// The main graph first, then the graphs within it and the functions.
    scopes: Vec<Scope>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    others: Vec<String>,
}

/// The constants of a graph, and the graph around it.
#[derive(Debug, Clone, Default)]
struct Scope {
    constants: BTreeMap<String, TensorProto>,
    around: Option<usize>,
}

/// A recurrent node of a model.
#[derive(Debug, Clone)]
pub struct ModelNode {
    kind: Kind,
    proto: NodeProto,
    scope: usize,
    /// What becomes of empty rows; ONNX says nothing.
    pub empty_rows: EmptyRows,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Format`] where this is no ONNX model, or two constants of a graph have one name.
    pub fn read(bytes: &[u8]) -> Result<Model, Error> {
        let proto = ModelProto::decode(bytes).map_err(not_onnx)?;
        let graph = proto.graph.ok_or_else(|| refused("model", "a graph", "none"))?;
        let name = |value: &super::proto::ValueInfoProto| value.name.clone();
        let (inputs, outputs) =
            (graph.input.iter().map(name).collect(), graph.output.iter().map(name).collect());
        let (nodes, scopes, others) = (Vec::new(), Vec::new(), Vec::new());
        let mut model = Model { nodes, scopes, inputs, outputs, others };
        model.walk(graph.initializer, graph.node, None)?;
        for function in proto.functions {
            model.walk(Vec::new(), function.node, None)?;
        }
        Ok(model)
    }

    fn walk(
        &mut self,
        initializer: Vec<TensorProto>,
        nodes: Vec<NodeProto>,
        around: Option<usize>,
    ) -> Result<(), Error> {
        let scope = self.scopes.len();
        self.scopes.push(Scope { around, ..Scope::default() });
        for tensor in initializer {
            self.insert(scope, tensor.name.clone(), tensor)?;
        }
        nodes.into_iter().try_for_each(|node| self.add(node, scope))
    }

    fn insert(&mut self, scope: usize, name: String, tensor: TensorProto) -> Result<(), Error> {
        match self.scopes[scope].constants.insert(name, tensor) {
            None => Ok(()),
            Some(first) => Err(refused(format!("constant {:?}", first.name), "one of this name", "two")),
        }
    }

    fn add(&mut self, mut node: NodeProto, scope: usize) -> Result<(), Error> {
        for attribute in &mut node.attribute {
            let graphs = std::mem::take(&mut attribute.graphs);
            for GraphProto { initializer, node, .. } in attribute.g.take().into_iter().chain(graphs) {
                self.walk(initializer, node, Some(scope))?;
            }
        }
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        let kind = match node.op_type.as_str() {
            "LSTM" => Kind::Lstm,
            "GRU" => Kind::Gru,
            "RNN" => Kind::Rnn,
            "Constant" if standard => {
                let value = node.attribute.iter_mut().find(|attribute| attribute.name == "value");
                if let (Some(tensor), Some(name)) = (value.and_then(|a| a.t.take()), node.output.first()) {
                    self.insert(scope, name.clone(), tensor)?;
                }
                return Ok(());
            }
            _ => {
                self.others.push(node.op_type);
                return Ok(());
            }
        };
        match standard {
            true => self.nodes.push(ModelNode { kind, proto: node, scope, empty_rows: EmptyRows::default() }),
            false => self.others.push(format!("{}.{}", node.domain, node.op_type)),
        }
        Ok(())
    }

    /// The recurrent nodes, in the order of the file.
    pub fn nodes(&self) -> &[ModelNode] {
        &self.nodes
    }

    /// The types of the nodes that are neither recurrent nor constant.
    pub fn other_nodes(&self) -> &[String] {
        &self.others
    }

    /// The names of the graph's inputs.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// The names of the graph's outputs.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// An initialiser or constant of the main graph; `None` where none has this name.
    ///
    /// # Errors
    /// [`Error::Format`] where its data lie in another file, are of another type than floats or integers, or are
    /// not as many as its shape says.
    pub fn value(&self, name: &str) -> Result<Option<Value>, Error> {
        self.value_in(0, name)
    }

    /// A constant as a node in this scope sees it.
    fn value_in(&self, scope: usize, name: &str) -> Result<Option<Value>, Error> {
        let mut scope = self.scopes.get(scope);
        while let Some(Scope { constants, around }) = scope {
            if let Some(tensor) = constants.get(name) {
                return decode(name, tensor).map(Some);
            }
            scope = around.and_then(|around| self.scopes.get(around));
        }
        Ok(None)
    }
}

impl ModelNode {
    /// The name of the node.
    pub fn name(&self) -> &str {
        &self.proto.name
    }

    /// The name of its input `index` of X, W, R, B, sequence_lens, initial_h, initial_c, P, if there is one.
    pub fn input(&self, index: usize) -> Option<&str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The name of its output `index` of Y, Y_h, Y_c, if it is asked for.
    pub fn output(&self, index: usize) -> Option<&str> {
        self.proto.output.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Its attributes, and `hidden_size` where it is set.
    ///
    /// # Errors
    /// [`Error::Format`] where an attribute is none of this operator's, or has a value that it cannot have.
    pub fn operator(&self) -> Result<(Operator, Option<usize>), Error> {
        let mut operator = Operator { empty_rows: self.empty_rows, ..Operator::new(self.kind) };
        let (mut names, mut alphas, mut betas, mut hidden) = (Vec::new(), &[][..], &[][..], None);
        for attribute in &self.proto.attribute {
            let this = Attribute { node: self.name(), attribute };
            if !attribute.ref_attr_name.is_empty() {
                return Err(this.wrong("a value"));
            }
            if self.proto.attribute.iter().filter(|other| other.name == attribute.name).count() > 1 {
                return Err(this.wrong("one of this name"));
            }
            match (attribute.name.as_str(), self.kind) {
                ("hidden_size", _) => match usize::try_from(this.integer()?) {
                    Ok(size) if size > 0 => hidden = Some(size),
                    _ => return Err(this.wrong("at least 1")),
                },
                ("direction", _) => {
                    operator.direction = match this.string(attribute.s.as_deref())? {
                        "forward" => Direction::Forward,
                        "reverse" => Direction::Reverse,
                        "bidirectional" => Direction::Both,
                        _ => return Err(this.wrong("forward, reverse or bidirectional")),
                    }
                }
                ("activations", _) => {
                    this.only_list(!attribute.strings.is_empty(), "a list of strings")?;
                    for name in &attribute.strings {
                        names.push(this.string(Some(name))?);
                    }
                }
                ("activation_alpha", _) => {
                    this.only_list(!attribute.floats.is_empty(), "a list of floats")?;
                    alphas = &attribute.floats;
                }
                ("activation_beta", _) => {
                    this.only_list(!attribute.floats.is_empty(), "a list of floats")?;
                    betas = &attribute.floats;
                }
                ("clip", _) => {
                    let clip = attribute.f.filter(|clip| *clip > 0.0);
                    // The largest float is how ONNX Runtime says that there is no clip.
                    operator.clip = Some(clip.ok_or_else(|| this.wrong("a positive number"))?)
                        .filter(|&clip| clip < f32::MAX);
                }
                ("input_forget", Kind::Lstm) => operator.input_forget = this.flag()?,
                ("linear_before_reset", Kind::Gru) => operator.linear_before_reset = this.integer()? != 0,
                ("layout", _) => {
                    operator.layout = if this.flag()? { Layout::BatchFirst } else { Layout::TimeMajor };
                }
                // Of the first version of the operators: whether Y is asked for. It is always computed.
                ("output_sequence", _) => _ = this.flag()?,
                _ => return Err(this.wrong("an attribute of the operator")),
            }
        }
        if names.is_empty() && !(alphas.is_empty() && betas.is_empty()) {
            let got = "activation_alpha or activation_beta alone";
            return Err(refused(format!("node {:?}, attribute activations", self.name()), "a list", got));
        }
        operator.activations = activations(&names, alphas, betas)?;
        Ok((operator, hidden))
    }

    /// The node with its weights: from `supplied`, by name, or else from the model.
    ///
    /// # Errors
    /// [`Error::Format`] where an attribute cannot be obeyed, a weight is neither supplied nor in the model, or one
    /// has another shape or type.
    pub fn with_weights(&self, model: &Model, supplied: &BTreeMap<String, Value>) -> Result<Node, Error> {
        let (operator, hidden) = self.operator()?;
        let most = if self.kind == Kind::Lstm { 8 } else { 6 };
        if let Some(name) = self.proto.input.iter().skip(most).find(|name| !name.is_empty()) {
            let what = format!("node {:?}, inputs", self.name());
            return Err(refused(what, format!("at most {most}"), format!("another one, {name:?}")));
        }
        let floats = |index| self.floats(model, supplied, index);
        let need = |index, what: &str| {
            floats(index)?.ok_or_else(|| refused(format!("node {:?}", self.name()), what, "none"))
        };
        let (w, r, b, p) = (need(1, "W")?, need(2, "R")?, floats(3)?, floats(7)?);
        if let (Some(hidden), Some(&got)) = (hidden, r.shape().last())
            && hidden != got
        {
            let what = format!("node {:?}, attribute hidden_size", self.name());
            return Err(refused(what, format!("{got} as in R"), hidden.to_string()));
        }
        Node::new(operator, &Weights { w: &w, r: &r, b: b.as_ref(), p: p.as_ref() })
    }

    /// Runs the node on inputs by name, and gives its outputs by name: those of Y, Y_h and Y_c that it has.
    ///
    /// # Errors
    /// As for [`with_weights`](ModelNode::with_weights) and [`Node::run`].
    pub fn run(
        &self,
        model: &Model,
        inputs: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Tensor>, Error> {
        let node = self.with_weights(model, inputs)?;
        let x = self.floats(model, inputs, 0)?;
        let x = x.ok_or_else(|| refused(format!("node {:?}", self.name()), "X", "none"))?;
        let lengths = match self.find(model, inputs, 4)? {
            None => None,
            Some(Value::Integers(_, lengths)) => Some(lengths),
            Some(Value::Floats(_)) => return Err(refused("sequence_lens", "integers", "floats")),
        };
        let (h, c) = (self.floats(model, inputs, 5)?, self.floats(model, inputs, 6)?);
        let sequence_lens = lengths.as_deref();
        let inputs = Inputs { x: &x, sequence_lens, initial_h: h.as_ref(), initial_c: c.as_ref() };
        let Outputs { y, y_h, y_c } = node.run(&inputs)?;
        let named = [Some(y), Some(y_h), y_c].into_iter().enumerate();
        Ok(named.filter_map(|(k, tensor)| Some((self.output(k)?.to_owned(), tensor?))).collect())
    }

    fn find(
        &self,
        model: &Model,
        supplied: &BTreeMap<String, Value>,
        index: usize,
    ) -> Result<Option<Value>, Error> {
        let Some(name) = self.input(index) else { return Ok(None) };
        let found = match supplied.get(name) {
            Some(value) => Some(value.clone()),
            None => model.value_in(self.scope, name)?,
        };
        let missing = || {
            let what = format!("node {:?}, input {name:?}", self.name());
            refused(what, "an initialiser, or a tensor supplied by this name", "none")
        };
        found.ok_or_else(missing).map(Some)
    }

    fn floats(
        &self,
        model: &Model,
        supplied: &BTreeMap<String, Value>,
        index: usize,
    ) -> Result<Option<Tensor>, Error> {
        match self.find(model, supplied, index)? {
            None => Ok(None),
            Some(Value::Floats(tensor)) => Ok(Some(tensor)),
            Some(Value::Integers(..)) => {
                Err(refused(self.input(index).unwrap_or_default(), "floats", "integers"))
            }
        }
    }
}

/// One attribute of a node, for its values and for errors that name it.
struct Attribute<'a> {
    node: &'a str,
    attribute: &'a AttributeProto,
}

impl<'a> Attribute<'a> {
    fn wrong(&self, expected: &str) -> Error {
        let a = self.attribute;
        let text = a.s.as_deref().map(String::from_utf8_lossy).map(|text| format!("{text:?}"));
        let number = a.i.map(|i| i.to_string()).or(a.f.map(|f| f.to_string()));
        let reference =
            Some(format!("a reference to {:?}", a.ref_attr_name)).filter(|_| !a.ref_attr_name.is_empty());
        let got = reference.or(text).or(number).unwrap_or_else(|| "another value".to_owned());
        refused(format!("node {:?}, attribute {}", self.node, a.name), expected, got)
    }

    /// Refuses an attribute that should be a list and has a single value, or a list of something else.
    fn only_list(&self, is_filled: bool, expected: &str) -> Result<(), Error> {
        let a = self.attribute;
        let lists = usize::from(!a.floats.is_empty())
            + usize::from(!a.strings.is_empty())
            + usize::from(!a.ints.is_empty());
        let single = a.f.is_some() || a.i.is_some() || a.s.is_some();
        if single || lists != usize::from(is_filled) { Err(self.wrong(expected)) } else { Ok(()) }
    }

    fn integer(&self) -> Result<i64, Error> {
        self.attribute.i.ok_or_else(|| self.wrong("an integer"))
    }

    fn flag(&self) -> Result<bool, Error> {
        match self.integer()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong("0 or 1")),
        }
    }

    fn string(&self, bytes: Option<&'a [u8]>) -> Result<&'a str, Error> {
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.ok_or_else(|| self.wrong("a string"))
    }
}

/// Reads a tensor file, as the `input_0.pb` of ONNX's tests: its name and its values.
///
/// # Errors
/// [`Error::Format`] where this is no tensor, or one that [`Model::value`] refuses.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, Value), Error> {
    let tensor = TensorProto::decode(bytes).map_err(not_onnx)?;
    let value = decode(&tensor.name, &tensor)?;
    Ok((tensor.name, value))
}

fn not_onnx(error: prost::DecodeError) -> Error {
    refused("ONNX", "a valid protocol buffer", error.to_string())
}

/// ONNX's numbers for types.
const FLOAT: i32 = 1;
const INT32: i32 = 6;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

fn decode(name: &str, tensor: &TensorProto) -> Result<Value, Error> {
    let what = format!("tensor {name:?}");
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        let file = tensor.external_data.iter().find(|entry| entry.key == "location");
        let got = format!("data in the file {:?}", file.map_or("", |entry| &entry.value));
        return Err(refused(what, "data in the model, or supplied by this name", got));
    }
    if tensor.segment.is_some() {
        return Err(refused(what, "a whole tensor", "a segment"));
    }
    let size = |&dim: &i64| usize::try_from(dim).map_err(|_| refused(&what, "sizes from 0", dim.to_string()));
    let shape = tensor.dims.iter().map(size).collect::<Result<Vec<usize>, Error>>()?;
    // Bits of FLOAT16 and BFLOAT16 may lie in int32_data.
    let bits = |widen: fn(u16) -> f32| {
        let bits = |&bits: &i32| u16::try_from(bits).map(widen);
        let values: Result<Vec<f32>, _> = tensor.int32_data.iter().map(bits).collect();
        values.map_err(|_| refused(&what, "sixteen bits a number", "more"))
    };
    let floats = match (tensor.data_type, &tensor.raw_data) {
        (FLOAT, Some(raw)) => Stored::F32.decode(&what, raw)?,
        (FLOAT, None) => tensor.float_data.clone(),
        (DOUBLE, Some(raw)) => Stored::F64.decode(&what, raw)?,
        (DOUBLE, None) => {
            tensor.double_data.iter().map(|&v| narrow(&what, v)).collect::<Result<Vec<f32>, Error>>()?
        }
        (FLOAT16, Some(raw)) => Stored::F16.decode(&what, raw)?,
        (FLOAT16, None) => bits(from_f16)?,
        (BFLOAT16, Some(raw)) => Stored::BF16.decode(&what, raw)?,
        (BFLOAT16, None) => bits(from_bf16)?,
        (INT32 | INT64, raw) => {
            let wide = tensor.data_type == INT64;
            let values: Vec<i64> = match raw {
                Some(raw) if raw.len() % (if wide { 8 } else { 4 }) != 0 => {
                    return Err(refused(what, "whole integers", format!("{} bytes", raw.len())));
                }
                Some(raw) if wide => raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
                Some(raw) => raw.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect(),
                None if wide => tensor.int64_data.clone(),
                None => tensor.int32_data.iter().copied().map(i64::from).collect(),
            };
            return match element_count(&shape) {
                Some(count) if count == values.len() => Ok(Value::Integers(shape, values)),
                _ => {
                    Err(refused(what, format!("as many values as {shape:?} says"), values.len().to_string()))
                }
            };
        }
        (other, _) => {
            let expected = "FLOAT, DOUBLE, FLOAT16, BFLOAT16, INT32 or INT64";
            return Err(refused(what, expected, format!("type {other}")));
        }
    };
    let got = floats.len().to_string();
    let tensor = Tensor::new(&shape, floats);
    Ok(Value::Floats(tensor.map_err(|_| refused(what, format!("as many values as {shape:?} says"), got))?))
}
