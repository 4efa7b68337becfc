//! A node that is to be folded: its attributes, its inputs as far as they are known, and the table of
//! operators.

use super::super::super::refused;
use super::super::external::Folder;
use super::super::graph::Entry;
use super::super::proto::{AttributeProto, NodeProto};
use super::array::{Array, Budget};
use super::{Folded, arithmetic, cast, make, product, quantize, reduce, select, shape};
use crate::error::Error;

/// One output of a node.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) node: &'a NodeProto,
    /// What is known of its inputs; `None` where an input is left out.
    pub(super) inputs: Vec<Option<Folded>>,
    /// Which of its outputs.
    pub(super) output: usize,
    pub(super) budget: &'a mut Budget,
    pub(super) folder: &'a Folder,
}

/// How an operator is folded.
#[derive(Clone, Copy)]
struct Operator {
    run: fn(&mut Call<'_>) -> Result<Array, Error>,
    /// Whether all elements of its output are elements of its first input: then what is known of them is
    /// known of the output.
    moves: bool,
    /// The most outputs that are folded.
    outputs: usize,
}

fn operator(name: &str) -> Option<Operator> {
    let plain = |run| Some(Operator { run, moves: false, outputs: 1 });
    let moves = |run| Some(Operator { run, moves: true, outputs: 1 });
    match name {
        "Constant" => plain(make::constant),
        "ConstantOfShape" => plain(make::constant_of_shape),
        "Range" => plain(make::range),
        "Shape" => plain(make::shape),
        "Size" => plain(make::shape),
        "Identity" | "Dropout" => moves(shape::identity),
        "Reshape" => moves(shape::reshape),
        "Flatten" => moves(shape::flatten),
        "Squeeze" => moves(shape::squeeze),
        "Unsqueeze" => moves(shape::unsqueeze),
        "Transpose" => moves(shape::transpose),
        "Expand" => moves(shape::expand),
        "Tile" => moves(shape::tile),
        "Slice" => moves(select::slice),
        "Gather" => moves(select::gather),
        "Split" => Some(Operator { run: select::split, moves: true, outputs: usize::MAX }),
        "Concat" => plain(select::concat),
        "Cast" | "CastLike" => plain(cast::cast),
        "QuantizeLinear" => plain(quantize::quantize),
        "DequantizeLinear" => plain(quantize::dequantize),
        "MatMul" => plain(product::matmul),
        "Gemm" => plain(product::gemm),
        name if reduce::is_reduction(name) => plain(reduce::run),
        name if arithmetic::is_arithmetic(name) => plain(arithmetic::run),
        _ => None,
    }
}

/// Whether a node is one that can be folded.
pub(super) fn is_folded(node: &Entry) -> bool {
    let quantizing = matches!(&*node.proto.op_type, "QuantizeLinear" | "DequantizeLinear");
    let known = node.is_standard() || node.proto.domain == "com.microsoft" && quantizing;
    known && operator(&node.proto.op_type).is_some()
}

/// The number that all elements of a value are, where that is known.
pub(super) fn fill(value: &Folded) -> Option<f64> {
    match value {
        Folded::Known(array) | Folded::Repeated(array) => array.uniform(),
        Folded::Fill(value) => Some(*value),
        Folded::Unknown(_) => None,
    }
}

impl<'a> Call<'a> {
    pub(super) fn run(mut self) -> Result<Folded, Error> {
        let unknown = |what: &str| Folded::Unknown(format!("{what} of {:?}", self.node.name).into());
        let Some(operator) = operator(&self.node.op_type).filter(|operator| self.output < operator.outputs)
        else {
            return Ok(unknown(&format!("an output of {}", self.node.op_type)));
        };
        let missing = self.inputs.iter().flatten().find(|input| !matches!(input, Folded::Known(_)));
        if let Some(missing) = missing {
            let why = missing.why();
            return Ok(self.partly(operator).unwrap_or(Folded::Unknown(why)));
        }
        (operator.run)(&mut self).map(Folded::Known)
    }

    /// What is known of the output where not all inputs are known.
    fn partly(&self, operator: Operator) -> Option<Folded> {
        let first = self.inputs.first()?.as_ref()?;
        match &*self.node.op_type {
            "ConstantOfShape" => return make::value_of_shape(self).map(Folded::Fill),
            // (Tile repeats axes of other sizes too; then the shape at the end is not that of this array.)
            "Expand" | "Tile" => {
                if let (Folded::Known(array), None) = (first, fill(first)) {
                    return Some(Folded::Repeated(array.clone()));
                }
            }
            "Identity" => {
                if let Folded::Repeated(_) = first {
                    return Some(first.clone());
                }
            }
            "Cast" => return fill(first).and_then(|value| cast::one(self, value)).map(Folded::Fill),
            "Concat" => {
                let mut fills = self.inputs.iter().flatten().map(fill);
                let first = fills.next()??;
                return fills.all(|fill| fill == Some(first)).then_some(Folded::Fill(first));
            }
            _ => (),
        }
        if operator.moves { fill(first).map(Folded::Fill) } else { None }
    }

    /// An error about this node.
    pub(super) fn wrong(&self, what: &str, expected: impl Into<String>, got: impl Into<String>) -> Error {
        refused(format!("{} {:?}, {what}", self.node.op_type, self.node.name), expected, got)
    }

    /// An input that may be left out.
    pub(super) fn optional(&self, index: usize) -> Option<Array> {
        match self.inputs.get(index) {
            Some(Some(Folded::Known(array))) => Some(array.clone()),
            _ => None,
        }
    }

    /// An input that must be there.
    pub(super) fn input(&self, index: usize) -> Result<Array, Error> {
        self.optional(index).ok_or_else(|| self.wrong(&format!("input {index}"), "a value", "none"))
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// An attribute that is an integer.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|attribute| attribute.i)
    }

    /// Integers, which older operators have as an attribute and newer ones as an input.
    pub(super) fn integers(&self, attribute: &str, input: usize) -> Result<Option<Vec<i64>>, Error> {
        if let Some(attribute) = self.attribute(attribute) {
            return Ok(Some(attribute.ints.clone()));
        }
        let Some(array) = self.optional(input) else { return Ok(None) };
        let integers = array.as_integers().filter(|_| array.shape().len() <= 1);
        let wrong =
            || self.wrong(&format!("input {input}"), "integers on one axis", format!("{:?}", array.shape()));
        Ok(Some(integers.ok_or_else(wrong)?.to_vec()))
    }

    /// An axis, from the last where it is negative.
    pub(super) fn axis(&self, axis: i64, axes: usize) -> Result<usize, Error> {
        let wrapped = if axis < 0 { axis.checked_add(axes as i64) } else { Some(axis) };
        let found = wrapped.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < axes);
        found.ok_or_else(|| self.wrong("axis", format!("one of {axes} axes"), axis.to_string()))
    }

    /// Several axes, each once.
    pub(super) fn axes(&self, axes: &[i64], of: usize) -> Result<Vec<bool>, Error> {
        let mut chosen = vec![false; of];
        for &axis in axes {
            let index = self.axis(axis, of)?;
            if std::mem::replace(&mut chosen[index], true) {
                return Err(self.wrong("axes", "each axis once", axis.to_string()));
            }
        }
        Ok(chosen)
    }

    /// Sizes of a shape.
    pub(super) fn sizes(&self, sizes: &[i64]) -> Result<Vec<usize>, Error> {
        let size = |&size: &i64| {
            usize::try_from(size).map_err(|_| self.wrong("shape", "sizes from 0", size.to_string()))
        };
        sizes.iter().map(size).collect()
    }

    /// What the operator made, if it fits its shape.
    pub(super) fn made(&self, array: Option<Array>) -> Result<Array, Error> {
        array.ok_or_else(|| self.wrong("output", "a shape of as many elements as there are", "another"))
    }
}
