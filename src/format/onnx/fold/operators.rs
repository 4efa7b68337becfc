//! The table of operators that are folded, by name.

use super::super::array::Array;
use super::super::graph::Entry;
use super::call::{Call, fill};
use super::{Folded, arithmetic, cast, make, product, quantize, reduce, select, shape};
use crate::error::Error;

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

/// Whether a node is one of which this output can be folded.
pub(super) fn is_folded(node: &Entry, output: usize) -> bool {
    let quantizing = matches!(&*node.proto.op_type, "QuantizeLinear" | "DequantizeLinear");
    let known = node.is_standard() || node.proto.domain == "com.microsoft" && quantizing;
    known && operator(&node.proto.op_type).is_some_and(|operator| output < operator.outputs)
}

impl Call<'_> {
    pub(super) fn run(mut self) -> Result<Folded, Error> {
        let Some(operator) = operator(&self.node.op_type) else {
            return Err(self.wrong("operator", "one that is folded", &self.node.op_type));
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
}
