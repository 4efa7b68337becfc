//! The same elements in another shape: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand, Tile.

use super::super::array::Array;
use super::call::Call;
use crate::error::Error;

/// Identity, and Dropout, which does nothing outside training.
pub(super) fn identity(call: &mut Call<'_>) -> Result<Array, Error> {
    let training = call.optional(2).and_then(|mode| mode.uniform()).is_some_and(|mode| mode != 0.0);
    if training && call.node.op_type == "Dropout" {
        return Err(call.wrong("training_mode", "false", "true"));
    }
    call.input(0)
}

/// Reshape: -1 is what is left, 0 the size as it was.
pub(super) fn reshape(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let shape = call.integers("shape", 1)?.ok_or_else(|| call.wrong("shape", "sizes", "none"))?;
    let keeps_zeros = call.integer("allowzero").unwrap_or(0) != 0;
    let mut sizes = Vec::with_capacity(shape.len());
    for (axis, &size) in shape.iter().enumerate() {
        sizes.push(match (size, data.shape().get(axis)) {
            (0, Some(&old)) if !keeps_zeros => old,
            (-1, _) => 1,
            _ => call.sizes(&[size])?[0],
        });
    }
    let mut open = shape.iter().enumerate().filter(|(_, size)| **size == -1).map(|(axis, _)| axis);
    if let (Some(axis), another) = (open.next(), open.next()) {
        let rest = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let whole = rest.filter(|&rest| rest > 0 && data.len().is_multiple_of(rest) && another.is_none());
        let wrong = || call.wrong("shape", format!("sizes of {} elements", data.len()), format!("{shape:?}"));
        sizes[axis] = data.len() / whole.ok_or_else(wrong)?;
    }
    call.made(data.reshaped(sizes))
}

/// Flatten: two axes, those before `axis` and those from it on.
pub(super) fn flatten(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let axes = data.shape().len();
    let axis = call.integer("axis").unwrap_or(1);
    let axis = if axis == axes as i64 { axes } else { call.axis(axis, axes)? };
    let size = |sizes: &[usize]| sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let (before, after) = data.shape().split_at(axis);
    let sizes = size(before).zip(size(after));
    call.made(sizes.and_then(|(before, after)| data.reshaped(vec![before, after])))
}

/// Squeeze: without these axes of size 1, or without all.
pub(super) fn squeeze(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let out = match call.integers("axes", 1)? {
        Some(axes) => call.axes(&axes, data.shape().len())?,
        None => data.shape().iter().map(|&size| size == 1).collect(),
    };
    let kept = data.shape().iter().zip(out).filter(|(_, out)| !out).map(|(&size, _)| size).collect();
    call.made(data.reshaped(kept))
}

/// Unsqueeze: axes of size 1 at these places of the output.
pub(super) fn unsqueeze(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let axes = call.integers("axes", 1)?.ok_or_else(|| call.wrong("axes", "axes", "none"))?;
    let new = call.axes(&axes, data.shape().len() + axes.len())?;
    let mut old = data.shape().iter();
    let sizes = new.iter().map(|&new| if new { 1 } else { old.next().copied().unwrap_or(1) }).collect();
    call.made(data.reshaped(sizes))
}

/// Transpose: axes in another order.
pub(super) fn transpose(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let axes = data.shape().len();
    let order: Vec<i64> = match call.attribute("perm") {
        Some(attribute) => attribute.ints.clone(),
        None => (0..axes as i64).rev().collect(),
    };
    if order.len() != axes {
        return Err(call.wrong("attribute perm", format!("{axes} axes"), order.len().to_string()));
    }
    call.axes(&order, axes)?;
    let strides = data.strides();
    let order = order.iter().map(|&axis| call.axis(axis, axes)).collect::<Result<Vec<usize>, Error>>()?;
    let shape = order.iter().map(|&axis| data.shape()[axis]).collect();
    let strides: Vec<isize> = order.iter().map(|&axis| strides[axis]).collect();
    data.strided(shape, 0, &strides, call.budget)
}

/// Expand: repeated to a shape, or to its own sizes where that says 1.
pub(super) fn expand(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let shape = call.integers("shape", 1)?.ok_or_else(|| call.wrong("shape", "sizes", "none"))?;
    let wanted = call.sizes(&shape)?;
    let to = super::arithmetic::common_shape(data.shape(), &wanted);
    let array = match to {
        Some(to) => data.broadcast(&to, call.budget)?,
        None => None,
    };
    array.ok_or_else(|| {
        call.wrong("shape", format!("one that {:?} can be repeated to", data.shape()), format!("{wanted:?}"))
    })
}

/// Tile: copies side by side, along each axis as many as the second input says.
pub(super) fn tile(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let repeats = call.integers("repeats", 1)?.ok_or_else(|| call.wrong("repeats", "numbers", "none"))?;
    let repeats = call.sizes(&repeats)?;
    if repeats.len() != data.shape().len() {
        let expected = format!("{} numbers", data.shape().len());
        return Err(call.wrong("repeats", expected, repeats.len().to_string()));
    }
    // An axis of copies before each axis; then the two are one.
    let (mut shape, mut strides, mut joined) = (Vec::new(), Vec::new(), Vec::new());
    for ((&copies, &size), stride) in repeats.iter().zip(data.shape()).zip(data.strides()) {
        shape.extend([copies, size]);
        strides.extend([0, stride]);
        joined.push(copies.checked_mul(size));
    }
    let joined = joined.into_iter().collect::<Option<Vec<usize>>>();
    let tiled = data.strided(shape, 0, &strides, call.budget)?;
    call.made(joined.and_then(|shape| tiled.reshaped(shape)))
}
