//! Parts of arrays, and arrays of parts: Slice, Split, Gather, Concat.

use super::super::array::{Array, Data, with_values};
use super::call::Call;
use crate::error::Error;
use std::sync::Arc;

/// Slice: `starts`, `ends`, `axes` and `steps`, attributes before version 10.
pub(super) fn slice(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let missing = |what: &str| call.wrong(what, "integers", "none");
    let starts = call.integers("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = call.integers("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let axes = call.integers("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.integers("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        let got = format!("{}, {}, {}, {}", starts.len(), ends.len(), axes.len(), steps.len());
        return Err(call.wrong("starts, ends, axes and steps", "as many of each", got));
    }
    call.axes(&axes, data.shape().len())?;
    let (mut shape, mut strides, mut offset) = (data.shape().to_vec(), data.strides(), 0isize);
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = call.axis(axis, data.shape().len())?;
        let size = data.shape()[axis] as i64;
        // From the end where negative; then within the array, or one before it on the way down.
        let wrap = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (first, count) = match step {
            0 => return Err(call.wrong("steps", "steps other than 0", "0")),
            step if step > 0 => {
                let (start, end) = (wrap(start).clamp(0, size), wrap(end).clamp(0, size));
                (start, ((end - start).max(0) as u64).div_ceil(step as u64))
            }
            step => {
                let (start, end) = (wrap(start).clamp(-1, size - 1), wrap(end).clamp(-1, size - 1));
                (start, ((start - end).max(0) as u64).div_ceil(step.unsigned_abs()))
            }
        };
        let (first, count) = if count == 0 { (0, 0) } else { (first as isize, count as usize) };
        offset = offset.saturating_add(first.saturating_mul(strides[axis]));
        shape[axis] = count;
        // (With one element or none the step does not matter, and may be too large to multiply.)
        strides[axis] = if count > 1 { strides[axis].saturating_mul(step as isize) } else { 0 };
    }
    data.strided(shape, offset, &strides, call.budget)
}

/// Split: one of the parts along an axis, of equal sizes where none are told.
pub(super) fn split(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let axis = call.axis(call.integer("axis").unwrap_or(0), data.shape().len())?;
    let size = data.shape()[axis];
    let sizes = match call.integers("split", 1)? {
        Some(sizes) => call.sizes(&sizes)?,
        None => {
            let parts =
                call.integer("num_outputs").map_or(Some(call.node.output.len()), |n| usize::try_from(n).ok());
            let parts = parts.filter(|parts| (1..=call.node.output.len()).contains(parts));
            let parts = parts.ok_or_else(|| call.wrong("num_outputs", "the number of outputs", "another"))?;
            // The last part is smaller where they cannot be equal.
            let part = size.div_ceil(parts);
            (0..parts).map(|k| part.min(size - (part * k).min(size))).collect()
        }
    };
    let sum = sizes.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
    let Some(&part) = sizes.get(call.output).filter(|_| sum == Some(size)) else {
        return Err(call.wrong("split", format!("sizes of {size} in all"), format!("{sizes:?}")));
    };
    let before: usize = sizes[..call.output].iter().sum();
    let strides = data.strides();
    let mut shape = data.shape().to_vec();
    shape[axis] = part;
    let offset = strides[axis].saturating_mul(before as isize);
    data.strided(shape, offset, &strides, call.budget)
}

/// Gather: the parts with these indices along an axis.
pub(super) fn gather(call: &mut Call<'_>) -> Result<Array, Error> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.axis(call.integer("axis").unwrap_or(0), data.shape().len())?;
    let size = data.shape()[axis];
    let wrong = |got: String| call.wrong("indices", format!("integers below {size}"), got);
    let numbers = indices.as_integers().ok_or_else(|| wrong("floats".to_owned()))?;
    let mut places = Vec::with_capacity(numbers.len());
    for &index in numbers {
        let wrapped = if index < 0 { index.checked_add(size as i64) } else { Some(index) };
        let place = wrapped.and_then(|index| usize::try_from(index).ok()).filter(|&index| index < size);
        places.push(place.ok_or_else(|| wrong(index.to_string()))?);
    }
    let shape = [&data.shape()[..axis], indices.shape(), &data.shape()[axis + 1..]].concat();
    let count = call.budget.spend(&shape)?;
    let inner: usize = if count == 0 { 0 } else { data.shape()[axis + 1..].iter().product() };
    let gathered = with_values!(data.data(), values => {
        let mut gathered = Vec::with_capacity(count);
        if count > 0 {
            for outer in values.chunks_exact(size * inner) {
                places.iter().for_each(|place| gathered.extend_from_slice(&outer[place * inner..][..inner]));
            }
        }
        gathered
    });
    call.made(Array::new(data.element(), shape, gathered))
}

/// Concat: along an axis, which is 1 where the first version does not tell it.
pub(super) fn concat(call: &mut Call<'_>) -> Result<Array, Error> {
    let arrays = (0..call.inputs.len()).map(|k| call.input(k)).collect::<Result<Vec<Array>, Error>>()?;
    let first = arrays.first().ok_or_else(|| call.wrong("inputs", "at least one", "none"))?;
    let axis = call.axis(call.integer("axis").unwrap_or(1), first.shape().len())?;
    let mut shape = first.shape().to_vec();
    shape[axis] = 0;
    for array in &arrays {
        let same = |(k, (a, b)): (usize, (&usize, &usize))| k == axis || a == b;
        let fits = array.shape().len() == shape.len()
            && array.element() == first.element()
            && array.shape().iter().zip(&shape).enumerate().all(same);
        let sum = shape[axis].checked_add(array.shape().get(axis).copied().unwrap_or(0));
        let Some(sum) = sum.filter(|_| fits) else {
            let expected = format!("arrays of one type, with shapes like {:?}", first.shape());
            return Err(call.wrong("inputs", expected, format!("{:?}", array.shape())));
        };
        shape[axis] = sum;
    }
    let count = call.budget.spend(&shape)?;
    if count == 0 {
        let none = with_values!(first.data(), values => values[..0].to_vec());
        return call.made(Array::new(first.element(), shape, none));
    }
    let outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    macro_rules! joined {
        ($kind:ident) => {{
            let mut joined = Vec::with_capacity(count);
            for k in 0..outer {
                for array in &arrays {
                    let length = array.shape()[axis] * inner;
                    if let Data::$kind(values) = array.data() {
                        joined.extend_from_slice(&values[k * length..][..length]);
                    }
                }
            }
            Data::$kind(Arc::new(joined))
        }};
    }
    let data = match first.data() {
        Data::F32(_) => joined!(F32),
        Data::F64(_) => joined!(F64),
        Data::I64(_) => joined!(I64),
    };
    call.made(Array::new(first.element(), shape, data))
}
