//! Constants that nodes make of constants: weights that an exporter has cut, joined, turned and cast in the
//! graph.
//!
//! ```text
//! call.rs        a node that is to be folded: its inputs and attributes
//! operators.rs   the table of operators
//! make.rs        Constant, ConstantOfShape, Range, Shape, Size
//! shape.rs       Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand, Tile
//! select.rs      Slice, Split, Gather, Concat
//! cast.rs        Cast and CastLike
//! arithmetic.rs  elementwise operators: Add, Sqrt, Equal, Where
//! reduce.rs      sums along axes, as weight normalisation has them
//! product.rs     MatMul and Gemm
//! quantize.rs    QuantizeLinear, DequantizeLinear
//! ```
//!
//! A [`Fold`] finds values of names, each once, and only those that are asked for. What the caller supplies
//! is a value as well, so shapes of inputs are known where inputs are. Nodes are followed with a stack of our
//! own: a file may have a chain of a million. A name that needs itself is an error, as is a node that its
//! operator cannot be, and an array that is larger than any file has reason for.
//!
//! A value need not be known to be of use. An initial state of zeros for a batch that is not known yet is a
//! [`Folded::Fill`].

mod arithmetic;
mod call;
mod cast;
mod make;
mod operators;
mod product;
mod quantize;
mod reduce;
mod select;
mod shape;

use super::super::refused;
use super::array::{Array, Value};
use super::budget::{Budget, LOOKS};
use super::graph::{Entry, Graph, Source};
use super::proto::{AttributeProto, NodeProto};
use super::tensor::decode;
use crate::error::Error;
use call::Call;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is known of a value.
#[derive(Debug, Clone)]
pub(super) enum Folded {
    Known(Array),
    /// Every element is this number; the shape is not known.
    Fill(f64),
    /// This array, repeated along axes by a shape that is not known.
    Repeated(Array),
    /// Nothing, and why.
    Unknown(Arc<str>),
}

/// What is looked at of a node for each of its outputs. (To find a name takes longer than to read a number.)
fn looks(node: &NodeProto) -> usize {
    let of_attribute = |attribute: &AttributeProto| 1 + attribute.ints.len();
    let numbers = node.output.len() + node.attribute.iter().map(of_attribute).sum::<usize>();
    node.input.len() * LOOKS + numbers
}

impl Folded {
    /// The elements that are at hand.
    fn len(&self) -> usize {
        match self {
            Folded::Known(array) | Folded::Repeated(array) => array.len(),
            Folded::Fill(_) | Folded::Unknown(_) => 0,
        }
    }

    /// Why it is not known.
    pub(super) fn why(&self) -> Arc<str> {
        match self {
            Folded::Unknown(why) => why.clone(),
            _ => "a value of a shape that depends on inputs".into(),
        }
    }
}

/// A name, in the scope that it belongs to.
pub(super) type Key<'a> = (usize, &'a str);

/// Where the search for a value stands.
#[derive(Debug)]
enum State {
    /// It is being found: whatever asks for it now, it needs itself.
    Open,
    Done(Folded),
}

/// Finds values.
#[derive(Debug)]
pub(super) struct Fold<'a> {
    graph: &'a Graph,
    supplied: &'a BTreeMap<String, Value>,
    memo: HashMap<Key<'a>, State>,
    budget: Budget,
}

impl<'a> Fold<'a> {
    pub(super) fn new(graph: &'a Graph, supplied: &'a BTreeMap<String, Value>) -> Fold<'a> {
        let supplied_len = supplied.values().map(|value| match value {
            Value::Floats(tensor) => tensor.values().len(),
            Value::Integers(_, values) => values.len(),
        });
        let bytes = supplied_len.fold(graph.bytes, |sum, len| sum.saturating_add(len.saturating_mul(4)));
        Fold { graph, supplied, memo: HashMap::new(), budget: Budget::of_file(bytes) }
    }

    pub(super) fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// The value of a name, as it is used in a scope; `None` where nothing has this name.
    ///
    /// # Errors
    /// [`Error::Format`] where a node that makes it is wrong.
    pub(super) fn find(&mut self, scope: usize, name: &'a str) -> Result<Option<Folded>, Error> {
        let Some(key) = self.key(scope, name) else { return Ok(None) };
        let mut stack = vec![key];
        let result = self.find_all(&mut stack);
        if result.is_err() {
            // Whoever asks again need not search again.
            let wrong = Folded::Unknown("the output of a node that is wrong".into());
            stack.iter().for_each(|&key| _ = self.memo.insert(key, State::Done(wrong.clone())));
        }
        result?;
        Ok(self.done(key).cloned())
    }

    /// Integers that are an attribute of a node or the value of one of its inputs, as versions have it;
    /// `None` where they are neither, or not known.
    pub(super) fn integers(
        &mut self,
        node: &'a Entry,
        attribute: &str,
        input: usize,
    ) -> Result<Option<Vec<i64>>, Error> {
        if let Some(attribute) = node.proto.attribute.iter().find(|other| other.name == attribute) {
            self.budget.spend_looks(attribute.ints.len())?;
            return Ok(Some(attribute.ints.clone()));
        }
        let Some(name) = node.input(input) else { return Ok(None) };
        Ok(match self.find(node.scope, name)? {
            Some(Folded::Known(array)) => {
                self.budget.spend_looks(array.len())?;
                array.as_integers().map(<[i64]>::to_vec)
            }
            _ => None,
        })
    }

    /// Finds what is on the stack, and what that needs.
    fn find_all(&mut self, stack: &mut Vec<Key<'a>>) -> Result<(), Error> {
        while let Some(&key) = stack.last() {
            if matches!(self.memo.get(&key), Some(State::Done(_))) {
                stack.pop();
                continue;
            }
            self.memo.insert(key, State::Open);
            let done = match self.graph.source(key.0, key.1) {
                _ if self.supplied.contains_key(key.1) => self.given(key.1),
                Some((_, Source::Tensor(tensor))) => {
                    let array = decode(key.1, tensor, &self.graph.folder, &mut self.budget)?;
                    Folded::Known(array)
                }
                Some((_, Source::Output(entry, output))) => {
                    let node = &self.graph.entries[entry];
                    if self.is_if(entry) || operators::is_folded(node, output) {
                        self.budget.spend_looks(looks(&node.proto))?;
                    }
                    let before = stack.len();
                    for need in self.needs(entry, output)? {
                        match self.memo.get(&need) {
                            Some(State::Done(_)) => (),
                            Some(State::Open) => {
                                let what = format_args!("constant {:?}", need.1);
                                return Err(refused(what, "one that does not need itself", "a cycle"));
                            }
                            None => stack.push(need),
                        }
                    }
                    if stack.len() > before {
                        continue;
                    }
                    self.evaluate(entry, output)?
                }
                Some((_, Source::Input)) => {
                    Folded::Unknown(format!("the input {:?} of a graph", key.1).into())
                }
                None => Folded::Unknown(format!("{:?}, which nothing makes", key.1).into()),
            };
            self.memo.insert(key, State::Done(done));
            stack.pop();
        }
        Ok(())
    }

    /// The name in the scope that it belongs to. What is supplied goes by its name alone.
    pub(super) fn key(&self, scope: usize, name: &'a str) -> Option<Key<'a>> {
        match self.graph.source(scope, name) {
            Some((scope, _)) => Some((scope, name)),
            None => self.supplied.contains_key(name).then_some((scope, name)),
        }
    }

    fn done(&self, key: Key<'a>) -> Option<&Folded> {
        match self.memo.get(&key) {
            Some(State::Done(folded)) => Some(folded),
            _ => None,
        }
    }

    fn given(&self, name: &str) -> Folded {
        let array = self.supplied.get(name).and_then(Array::of_value);
        array.map_or_else(|| Folded::Unknown(format!("{name:?} as it is supplied").into()), Folded::Known)
    }

    /// What is known of a name that was needed.
    fn input(&self, scope: usize, name: &'a str) -> Folded {
        let found = self.key(scope, name).and_then(|key| self.done(key));
        found.cloned().unwrap_or_else(|| Folded::Unknown(format!("{name:?}, which nothing makes").into()))
    }

    /// The names whose values an output of a node needs, as far as that is known by now.
    fn needs(&self, entry: usize, output: usize) -> Result<Vec<Key<'a>>, Error> {
        let node = &self.graph.entries[entry];
        let names = || node.proto.input.iter().filter(|name| !name.is_empty()).map(String::as_str);
        let keys = |names: &mut dyn Iterator<Item = &'a str>| {
            names.filter_map(|name| self.key(node.scope, name)).collect::<Vec<_>>()
        };
        if self.is_if(entry) {
            let mut needs = keys(&mut names().take(1));
            if needs.first().is_none_or(|&key| self.done(key).is_some()) {
                needs.extend(self.branches(entry, output).into_iter().flatten());
            }
            return Ok(needs);
        }
        if !operators::is_folded(node, output) || self.told_shape(entry).is_some() {
            return Ok(Vec::new());
        }
        Ok(keys(&mut names()))
    }

    fn is_if(&self, entry: usize) -> bool {
        let node = &self.graph.entries[entry];
        node.is_standard() && node.proto.op_type == "If"
    }

    /// The condition of an `If` that has been found, where it is a constant.
    pub(super) fn condition(&mut self, entry: usize) -> Result<Option<bool>, Error> {
        let node = &self.graph.entries[entry];
        let Some(name) = node.input(0) else { return Ok(None) };
        self.find(node.scope, name)?;
        Ok(self.known_condition(entry))
    }

    fn known_condition(&self, entry: usize) -> Option<bool> {
        let node = &self.graph.entries[entry];
        match self.input(node.scope, node.input(0)?) {
            Folded::Known(array) if array.len() == 1 => Some(array.uniform()? != 0.0),
            _ => None,
        }
    }

    /// The names that an output of an `If` is in its branches: in the one that is chosen, or in both.
    fn branches(&self, entry: usize, output: usize) -> [Option<Key<'a>>; 2] {
        let node = &self.graph.entries[entry];
        let condition = self.known_condition(entry);
        [("then_branch", true), ("else_branch", false)].map(|(branch, when)| {
            let scope = node.graph(branch).filter(|_| condition.is_none_or(|condition| condition == when))?;
            self.key(scope, self.graph.scopes[scope].outputs.get(output)?)
        })
    }

    /// The shape of the input of `Shape` or `Size`, where the file states it and the caller has not supplied
    /// it.
    fn told_shape(&self, entry: usize) -> Option<&'a [usize]> {
        let node = &self.graph.entries[entry];
        if !(node.is_standard() && matches!(&*node.proto.op_type, "Shape" | "Size")) {
            return None;
        }
        let (scope, name) = self.key(node.scope, node.input(0)?)?;
        if self.supplied.contains_key(name) {
            return None;
        }
        match self.graph.source(scope, name)?.1 {
            Source::Tensor(_) => None,
            _ => self.graph.shape(scope, name),
        }
    }

    /// An output of a node whose inputs have been found.
    fn evaluate(&mut self, entry: usize, output: usize) -> Result<Folded, Error> {
        let node = &self.graph.entries[entry];
        let title = || format!("the output of {}", self.graph.title(entry));
        if self.is_if(entry) {
            let found: Vec<Folded> = (self.branches(entry, output).into_iter().flatten())
                .filter_map(|key| self.done(key).cloned())
                .collect();
            if self.known_condition(entry).is_none() {
                self.budget.spend_looks(found.iter().map(Folded::len).sum())?;
            }
            return Ok(match (&found[..], self.known_condition(entry)) {
                ([one], Some(_)) => one.clone(),
                // Whatever is chosen: it is the same.
                ([Folded::Known(a), Folded::Known(b)], None) if a == b => Folded::Known(a.clone()),
                ([a, b], None) => match (call::fill(a), call::fill(b)) {
                    (Some(a), Some(b)) if a == b => Folded::Fill(a),
                    _ => Folded::Unknown(format!("{}, whose condition is no constant", title()).into()),
                },
                _ => Folded::Unknown(title().into()),
            });
        }
        if !operators::is_folded(node, output) {
            return Ok(Folded::Unknown(title().into()));
        }
        if let Some(shape) = self.told_shape(entry) {
            return make::of_shape(&node.proto, shape).map(Folded::Known);
        }
        let input = |name: &'a String| (!name.is_empty()).then(|| self.input(node.scope, name));
        let inputs: Vec<Option<Folded>> = node.proto.input.iter().map(input).collect();
        // (Their elements may be indices, or be compared.)
        self.budget.spend_looks(inputs.iter().flatten().map(Folded::len).sum())?;
        let (node, budget, folder) = (&node.proto, &mut self.budget, &self.graph.folder);
        Call { node, entry, inputs, output, budget, folder }.run()
    }
}
