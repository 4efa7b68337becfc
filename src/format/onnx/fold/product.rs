//! Products of constant matrices: MatMul and Gemm, as spectral normalisation and merged adapters have them.
//!
//! Each product is paid for by its multiply-adds, not by its elements: a file with two long vectors could ask
//! for many.

use super::super::super::tensor::element_count;
use super::super::array::{Array, Data, Element};
use super::call::Call;
use super::cast::converted;
use crate::error::Error;
use std::sync::Arc;

/// MatMul: of the last two axes; those before them are broadcast. A vector is a row on the left, a column on
/// the right.
pub(super) fn matmul(call: &mut Call<'_>) -> Result<Array, Error> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let wrong = |call: &Call<'_>| {
        let got = format!("{:?} and {:?}", a.shape(), b.shape());
        call.wrong("inputs", "floats of one type, with shapes that can be multiplied", got)
    };
    if a.element() != b.element() || !a.element().is_float() {
        return Err(wrong(call));
    }
    let as_matrix = |array: &Array, column: bool| match *array.shape() {
        [] => None,
        [size] if column => array.reshaped(vec![size, 1]),
        [size] => array.reshaped(vec![1, size]),
        _ => Some(array.clone()),
    };
    let (left, right) = as_matrix(&a, false).zip(as_matrix(&b, true)).ok_or_else(|| wrong(call))?;
    let ((before_a, [rows, inner]), (before_b, [inner_b, columns])) =
        split(&left).zip(split(&right)).ok_or_else(|| wrong(call))?;
    let before = super::arithmetic::common_shape(before_a, before_b).filter(|_| inner == inner_b);
    let before = before.ok_or_else(|| wrong(call))?;
    let shape_of = |tail: [usize; 2]| [&before[..], &tail].concat();
    call.budget.spend(&shape_of([rows, columns]))?;
    call.budget.spend(&[&before[..], &[rows, inner, columns]].concat())?;
    let mut spread = |array: &Array, tail: [usize; 2]| array.broadcast(&shape_of(tail), call.budget);
    let (left, right) =
        spread(&left, [rows, inner])?.zip(spread(&right, [inner, columns])?).ok_or_else(|| wrong(call))?;
    let (left, right) = (left.to_doubles(), right.to_doubles());
    let product = multiplied(&left, &right, [rows, inner, columns]);
    let mut shape = shape_of([rows, columns]);
    if b.shape().len() == 1 {
        shape.pop();
    }
    if a.shape().len() == 1 {
        let row = shape.len() - if b.shape().len() == 1 { 1 } else { 2 };
        shape.remove(row);
    }
    made(call, a.element(), shape, product)
}

/// Gemm: `alpha A B + beta C`, A and B turned where `transA` and `transB` say so.
pub(super) fn gemm(call: &mut Call<'_>) -> Result<Array, Error> {
    let turned = |call: &mut Call<'_>, input: usize, attribute: &str| {
        let array = call.input(input)?;
        let &[rows, columns] = array.shape() else {
            let got = format!("{:?}", array.shape());
            return Err(call.wrong(&format!("input {input}"), "a matrix", got));
        };
        if call.integer(attribute).unwrap_or(0) == 0 {
            return Ok(array);
        }
        let strides = array.strides();
        array.strided(vec![columns, rows], 0, &[strides[1], strides[0]], call.budget)
    };
    let (a, b) = (turned(call, 0, "transA")?, turned(call, 1, "transB")?);
    let ([rows, inner], [inner_b, columns]) = ([a.shape()[0], a.shape()[1]], [b.shape()[0], b.shape()[1]]);
    if inner != inner_b || a.element() != b.element() || !a.element().is_float() {
        let got = format!("{:?} and {:?}", a.shape(), b.shape());
        return Err(call.wrong("inputs", "floats of one type, with shapes that can be multiplied", got));
    }
    call.budget.spend(&[rows, columns])?;
    call.budget.spend(&[rows, inner, columns])?;
    let factor = |name: &str| call.attribute(name).and_then(|attribute| attribute.f).map_or(1.0, f64::from);
    let (alpha, beta) = (factor("alpha"), factor("beta"));
    let mut product = multiplied(&a.to_doubles(), &b.to_doubles(), [rows, inner, columns]);
    product.iter_mut().for_each(|value| *value *= alpha);
    if let Some(c) = call.optional(2) {
        let wrong = |call: &Call<'_>| {
            let expected = format!("one that can be repeated to [{rows}, {columns}]");
            call.wrong("input 2", expected, format!("{:?}", c.shape()))
        };
        let c = c.broadcast(&[rows, columns], call.budget)?.ok_or_else(|| wrong(call))?;
        product.iter_mut().zip(c.to_doubles()).for_each(|(value, c)| *value += beta * c);
    }
    made(call, a.element(), vec![rows, columns], product)
}

/// The last two sizes, and those before them.
fn split(array: &Array) -> Option<(&[usize], [usize; 2])> {
    let (before, tail) = array.shape().split_at_checked(array.shape().len().checked_sub(2)?)?;
    Some((before, [tail[0], tail[1]]))
}

/// Products of matrices that lie one after the other, in f64.
fn multiplied(a: &[f64], b: &[f64], [rows, inner, columns]: [usize; 3]) -> Vec<f64> {
    if inner == 0 || rows == 0 || columns == 0 || a.is_empty() {
        return Vec::new();
    }
    let mut product = Vec::with_capacity(a.len() / inner * columns);
    for (a, b) in a.chunks_exact(rows * inner).zip(b.chunks_exact(inner * columns)) {
        for row in a.chunks_exact(inner) {
            let start = product.len();
            product.resize(start + columns, 0.0);
            for (&a, b) in row.iter().zip(b.chunks_exact(columns)) {
                product[start..].iter_mut().zip(b).for_each(|(sum, &b)| *sum += a * b);
            }
        }
    }
    product
}

fn made(call: &Call<'_>, element: Element, shape: Vec<usize>, mut product: Vec<f64>) -> Result<Array, Error> {
    // Sums of nothing are zeros. (How many, has been paid for.)
    product.resize(element_count(&shape).unwrap_or(0), 0.0);
    call.made(Array::new(element, shape, converted(&Data::F64(Arc::new(product)), element)))
}
