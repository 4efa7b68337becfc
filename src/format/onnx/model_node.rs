//! A recurrent node of a model: its weights, and runs of it.

use super::super::{Tensor, refused};
use super::array::{Array, Value, floats};
use super::attributes;
use super::fold::{Fold, Folded};
use super::graph::{self, Entry};
use super::model::Model;
use super::node::{self, Inputs, Node, Outputs};
use super::operator::{EmptyRows, Kind, Operator};
use super::proto::NodeProto;
use super::quantized::{Matrix, quantized};
use super::sharing::{OwnedWeights, Sharing, WEIGHTS};
use crate::error::Error;
use crate::layer::Layout;
use prost::Message;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A recurrent node of a model.
#[derive(Clone)]
pub struct ModelNode {
    kind: Kind,
    quantized: bool,
    proto: Arc<NodeProto>,
    entry: usize,
    scope: usize,
    /// What becomes of empty rows; ONNX says nothing.
    pub empty_rows: EmptyRows,
}

impl fmt::Debug for ModelNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelNode")
            .field("op_type", &self.op_type())
            .field("name", &self.name())
            .field("inputs", &self.proto.input)
            .field("outputs", &self.proto.output)
            .finish()
    }
}

impl ModelNode {
    /// A node, if it is recurrent.
    pub(super) fn of(index: usize, entry: &Entry) -> Option<ModelNode> {
        let (kind, quantized) = match &*entry.proto.op_type {
            "LSTM" if entry.is_standard() => (Kind::Lstm, false),
            "GRU" if entry.is_standard() => (Kind::Gru, false),
            "RNN" if entry.is_standard() => (Kind::Rnn, false),
            "DynamicQuantizeLSTM" if entry.proto.domain == "com.microsoft" => (Kind::Lstm, true),
            _ => return None,
        };
        let (proto, empty_rows) = (entry.proto.clone(), EmptyRows::default());
        Some(ModelNode { kind, quantized, proto, entry: index, scope: entry.scope, empty_rows })
    }

    /// The node for messages: `node "encoder"`, or `node LSTM#3` where it has no name.
    pub(super) fn title(&self) -> String {
        match self.name() {
            "" => format!("node {}", graph::title(&self.proto, self.entry)),
            name => format!("node {name:?}"),
        }
    }

    /// An error about this node, which says so.
    pub(super) fn names_itself(&self, error: Error) -> Error {
        match error {
            Error::Format { what, expected, got } => {
                refused(format_args!("{}, {what}", self.title()), expected, got)
            }
            other => other,
        }
    }

    /// The name of the node; may be empty.
    pub fn name(&self) -> &str {
        &self.proto.name
    }

    /// The type of its operator: LSTM, GRU, RNN or DynamicQuantizeLSTM.
    pub fn op_type(&self) -> &str {
        &self.proto.op_type
    }

    /// The [place](Model::places) of the graph that it stands in: "" in the main graph, `If_0.then_branch` in
    /// a branch.
    pub fn place(&self, model: &Model) -> String {
        model.graph().place(self.scope)
    }

    /// Whether its weights are integers with scales, as those of `DynamicQuantizeLSTM` are. If they are
    /// signed bytes, or bytes with a zero point in the middle, the layer is in
    /// [`Precision::Int8`](crate::Precision::Int8) with these integers. Its results differ from ONNX
    /// Runtime's by some 1e-2, because each rounds x and h in its own way. With other zero points they are no
    /// signed bytes, and the layer is in [`Precision::F32`](crate::Precision::F32) with the weights that the
    /// integers stand for. (The configuration of the layer says which it is; [`Node::in_precision`] changes
    /// it.)
    pub fn is_quantized(&self) -> bool {
        self.quantized
    }

    pub(super) fn entry(&self) -> usize {
        self.entry
    }

    pub(super) fn scope(&self) -> usize {
        self.scope
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of its input `index` of X, W, R, B, sequence_lens, initial_h, initial_c, P, if there is one;
    /// of a quantised one after these the scale and the zero point of W, and those of R.
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
        let operator = Operator { empty_rows: self.empty_rows, ..Operator::new(self.kind) };
        attributes::read(&self.proto.attribute, operator).map_err(|error| self.names_itself(error))
    }

    /// The node with its weights: from `supplied`, by name, or else from the model, where they are constants
    /// or made of constants by other nodes.
    ///
    /// # Errors
    /// [`Error::Format`] where an attribute cannot be obeyed, a weight is neither supplied nor in the model,
    /// or one has another shape or type.
    pub fn with_weights(&self, model: &Model, supplied: &BTreeMap<String, Value>) -> Result<Node, Error> {
        self.layer(&mut Fold::new(model.graph(), supplied))
    }

    fn layer<'a>(&'a self, fold: &mut Fold<'a>) -> Result<Node, Error> {
        let (operator, weights) = self.weights(fold, &mut Sharing::default())?;
        weights.node(operator).map_err(|error| self.names_itself(error))
    }

    /// The attributes and the weights, which other nodes may have as well.
    pub(super) fn weights<'a>(
        &'a self,
        fold: &mut Fold<'a>,
        sharing: &mut Sharing<'a>,
    ) -> Result<(Operator, Arc<OwnedWeights>), Error> {
        let (operator, hidden) = self.operator()?;
        let most = if self.quantized {
            12
        } else if self.kind == Kind::Lstm {
            8
        } else {
            6
        };
        if let Some(name) = self.proto.input.iter().skip(most).find(|name| !name.is_empty()) {
            let what = format!("{}, inputs", self.title());
            return Err(refused(what, format_args!("at most {most}"), format_args!("another one, {name:?}")));
        }
        let sources = WEIGHTS.map(|index| fold.key(self.scope, self.input(index)?));
        let weights = sharing.weights((self.quantized, sources), || {
            let (w, r) = (self.matrix(fold, 1, "W", 8)?, self.matrix(fold, 2, "R", 10)?);
            Ok(OwnedWeights { w, r, b: self.floats(fold, 3)?, p: self.floats(fold, 7)? })
        })?;
        if let (Some(hidden), Some(&got)) = (hidden, weights.r.values.shape().last())
            && hidden != got
        {
            let what = format!("{}, attribute hidden_size", self.title());
            return Err(refused(what, format_args!("{got} as in R"), hidden));
        }
        node::check(&operator, &weights.borrow()).map_err(|error| self.names_itself(error))?;
        Ok((operator, weights))
    }

    /// What its layer is but for its weights: the operator and its attributes, as the file has them.
    pub(super) fn attributes(&self) -> Vec<u8> {
        let NodeProto { op_type, domain, attribute, .. } = NodeProto::clone(&self.proto);
        NodeProto { op_type, domain, attribute, ..NodeProto::default() }.encode_to_vec()
    }

    /// W or R; those of a quantised node in integers, with their scales and the precision that keeps them,
    /// from the inputs that begin at `scale`.
    fn matrix<'a>(
        &'a self,
        fold: &mut Fold<'a>,
        index: usize,
        what: &str,
        scale: usize,
    ) -> Result<Matrix, Error> {
        let need =
            |found: Option<Array>, what: &str| found.ok_or_else(|| refused(self.title(), what, "none"));
        let matrix = need(self.array(fold, index)?, what)?;
        let name = self.input(index).unwrap_or_default();
        // (Nodes that share a matrix and nothing else have each their own copy.)
        fold.budget().spend(matrix.shape())?;
        if !self.quantized {
            return floats(name, &matrix).map(Matrix::of_weights);
        }
        let scales = need(self.array(fold, scale)?, &format!("the scale of {what}"))?;
        let zero_point = self.array(fold, scale + 1)?;
        quantized(name, &matrix, &scales, zero_point.as_ref())
    }

    /// Runs the node on inputs by name, and gives its outputs by name: those of Y, Y_h and Y_c that it has.
    ///
    /// Its inputs may be supplied by their own names, or made of supplied inputs of the graph by nodes that
    /// make shapes, states or constants. A state of zeros for a batch of unknown size, as exporters write it,
    /// is no state: rows begin at zero.
    ///
    /// # Errors
    /// As for [`with_weights`](ModelNode::with_weights) and [`Node::run`].
    pub fn run(
        &self,
        model: &Model,
        inputs: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Tensor>, Error> {
        let mut fold = Fold::new(model.graph(), inputs);
        let node = self.layer(&mut fold)?;
        let x = self.floats(&mut fold, 0)?;
        let x = x.ok_or_else(|| refused(self.title(), "X", "none"))?;
        let time_major = node.operator().layout == Layout::TimeMajor;
        let batch = x.shape().get(usize::from(time_major)).copied().unwrap_or(0);
        let (directions, hidden) = (node.operator().directions(), node.layer().config().hidden_size());
        let shape = if time_major { [directions, batch, hidden] } else { [batch, directions, hidden] };
        let lengths = self.lengths(&mut fold, batch)?;
        let (h, c) = (self.state(&mut fold, 5, &shape)?, self.state(&mut fold, 6, &shape)?);
        let sequence_lens = lengths.as_deref();
        let inputs = Inputs { x: &x, sequence_lens, initial_h: h.as_ref(), initial_c: c.as_ref() };
        let outputs = node.run(&inputs).map_err(|error| self.names_itself(error))?;
        let Outputs { y, y_h, y_c } = outputs;
        let named = [Some(y), Some(y_h), y_c].into_iter().enumerate();
        Ok(named.filter_map(|(k, tensor)| Some((self.output(k)?.to_owned(), tensor?))).collect())
    }

    fn lengths<'a>(&'a self, fold: &mut Fold<'a>, batch: usize) -> Result<Option<Vec<i64>>, Error> {
        let array = match self.find(fold, 4)? {
            None => return Ok(None),
            Some(Folded::Known(array)) => array,
            Some(Folded::Repeated(array)) => match array.broadcast(&[batch], fold.budget())? {
                Some(array) => array,
                None => return Err(self.missing(4, "a vector that its batch does not fit")),
            },
            // The same length for all rows.
            Some(Folded::Fill(length)) => {
                // (An X without steps may have any number of rows.)
                fold.budget().spend(&[batch])?;
                return Ok(Some(vec![length as i64; batch]));
            }
            Some(Folded::Unknown(why)) => return Err(self.missing(4, &why)),
        };
        match array.as_integers() {
            Some(lengths) => Ok(Some(lengths.to_vec())),
            None => Err(refused("sequence_lens", "integers", "floats")),
        }
    }

    /// An initial state of this shape; `None` where there is none, or it is zeros of a shape that is not
    /// known.
    pub(super) fn state<'a>(
        &'a self,
        fold: &mut Fold<'a>,
        index: usize,
        shape: &[usize],
    ) -> Result<Option<Tensor>, Error> {
        match self.find(fold, index)? {
            Some(Folded::Fill(0.0)) => Ok(None),
            Some(Folded::Fill(value)) => {
                let mut values = crate::error::zeros("state", shape)?;
                values.fill(value as f32);
                Tensor::new(shape, values).map(Some)
            }
            Some(Folded::Repeated(array)) => match array.broadcast(shape, fold.budget())? {
                Some(array) => floats(self.input(index).unwrap_or_default(), &array).map(Some),
                None => Err(self.missing(index, &format!("one that cannot be repeated to {shape:?}"))),
            },
            _ => self.floats(fold, index),
        }
    }

    /// What is known of an input.
    pub(super) fn find<'a>(&'a self, fold: &mut Fold<'a>, index: usize) -> Result<Option<Folded>, Error> {
        let Some(name) = self.input(index) else { return Ok(None) };
        match fold.find(self.scope, name)? {
            Some(folded) => Ok(Some(folded)),
            None => Err(self.missing(index, "none")),
        }
    }

    fn missing(&self, index: usize, got: &str) -> Error {
        let what = format_args!("{}, input {:?}", self.title(), self.input(index).unwrap_or_default());
        refused(what, "an initialiser, or a tensor supplied by this name", got)
    }

    fn array<'a>(&'a self, fold: &mut Fold<'a>, index: usize) -> Result<Option<Array>, Error> {
        match self.find(fold, index)? {
            None => Ok(None),
            Some(Folded::Known(array)) => Ok(Some(array)),
            Some(other) => Err(self.missing(index, &other.why())),
        }
    }

    fn floats<'a>(&'a self, fold: &mut Fold<'a>, index: usize) -> Result<Option<Tensor>, Error> {
        let Some(array) = self.array(fold, index)? else { return Ok(None) };
        fold.budget().spend(array.shape())?;
        floats(self.input(index).unwrap_or_default(), &array).map(Some)
    }
}
