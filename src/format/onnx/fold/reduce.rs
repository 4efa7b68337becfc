//! Sums, means, norms, extremes and products along axes, as weight normalisation has them.
//!
//! `axes` is an attribute or, in later versions, the second input; without axes it is all of them, or with
//! `noop_with_empty_axes` none. Sums are made in f64.

use super::super::array::{Array, Data};
use super::call::Call;
use crate::error::Error;
use std::sync::Arc;

/// Whether [`run`] does this operator.
pub(super) fn is_reduction(name: &str) -> bool {
    let names = [
        "ReduceSum",
        "ReduceMean",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
    ];
    names.contains(&name)
}

pub(super) fn run(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let axes = call.integers("axes", 1)?.filter(|axes| !axes.is_empty());
    let reduced = match axes {
        Some(axes) => call.axes(&axes, data.shape().len())?,
        None if call.integer("noop_with_empty_axes").unwrap_or(0) != 0 => return Ok(data),
        None => vec![true; data.shape().len()],
    };
    let keeps = call.integer("keepdims").unwrap_or(1) != 0;
    // The reduced axes come last: then each run of elements becomes one element of the output.
    let order =
        |which: bool| reduced.iter().enumerate().filter(move |(_, r)| **r == which).map(|(axis, _)| axis);
    let moved: Vec<usize> = order(false).chain(order(true)).collect();
    let shape: Vec<usize> = moved.iter().map(|&axis| data.shape()[axis]).collect();
    let strides = data.strides();
    let strides: Vec<isize> = moved.iter().map(|&axis| strides[axis]).collect();
    if data.len() == 0 {
        return Err(call.wrong("input 0", "at least one element", "none"));
    }
    let run: usize = order(true).map(|axis| data.shape()[axis]).product();
    let values = data.strided(shape, 0, &strides, call.budget)?.to_doubles();
    let function: fn(&[f64]) -> f64 = match &*call.node.op_type {
        "ReduceSum" => |run| run.iter().sum(),
        "ReduceMean" => |run| run.iter().sum::<f64>() / run.len() as f64,
        "ReduceL1" => |run| run.iter().map(|value| value.abs()).sum(),
        "ReduceL2" => |run| run.iter().map(|value| value * value).sum::<f64>().sqrt(),
        "ReduceSumSquare" => |run| run.iter().map(|value| value * value).sum(),
        "ReduceMax" => |run| run.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => |run| run.iter().copied().fold(f64::INFINITY, f64::min),
        _ => |run| run.iter().product(),
    };
    let results: Vec<f64> = values.chunks_exact(run).map(function).collect();
    let size = |(axis, &size): (usize, &usize)| match (reduced[axis], keeps) {
        (false, _) => Some(size),
        (true, true) => Some(1),
        (true, false) => None,
    };
    let shape = data.shape().iter().enumerate().filter_map(size).collect();
    let results = super::cast::converted(&Data::F64(Arc::new(results)), data.element());
    call.made(Array::new(data.element(), shape, results))
}
