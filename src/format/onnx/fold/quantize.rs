//! QuantizeLinear and DequantizeLinear: `x = (q - zero_point) * scale`.
//!
//! Scale and zero point are one number, one for each index of an axis, or one for each block of `block_size`
//! along it.

use super::super::array::{Array, Data, Element};
use super::call::Call;
use crate::error::Error;
use std::sync::Arc;

/// Scale and zero point, of the shape of the data.
fn parameters(call: &mut Call<'_>, data: &Array) -> Result<(Array, Option<Array>), Error> {
    let (scale, zero) = (call.input(1)?, call.optional(2));
    if zero.as_ref().is_some_and(|zero| zero.shape() != scale.shape()) {
        let got = zero.map(|zero| format!("{:?}", zero.shape())).unwrap_or_default();
        return Err(call.wrong("zero point", format!("shape {:?} as of the scale", scale.shape()), got));
    }
    let scale = spread(call, data, &scale)?;
    let zero = zero.map(|zero| spread(call, data, &zero)).transpose()?;
    Ok((scale, zero))
}

fn spread(call: &mut Call<'_>, data: &Array, parameter: &Array) -> Result<Array, Error> {
    let shape = data.shape();
    let wrong = |call: &Call<'_>| {
        let expected = format!("one number, or one for each index or block of an axis of {shape:?}");
        call.wrong("scale", expected, format!("{:?}", parameter.shape()))
    };
    if parameter.len() == 1 && call.integer("block_size").unwrap_or(0) == 0 {
        let one = call.made(parameter.reshaped(Vec::new()))?;
        return one.broadcast(shape, call.budget)?.ok_or_else(|| wrong(call));
    }
    let axis = call.axis(call.integer("axis").unwrap_or(1), shape.len())?;
    let block = usize::try_from(call.integer("block_size").unwrap_or(0)).unwrap_or(0);
    if block == 0 {
        if parameter.shape() != [shape[axis]] {
            return Err(wrong(call));
        }
        let mut aligned = vec![1; shape.len()];
        aligned[axis] = shape[axis];
        let aligned = call.made(parameter.reshaped(aligned))?;
        return aligned.broadcast(shape, call.budget)?.ok_or_else(|| wrong(call));
    }
    let mut blocks = shape.to_vec();
    blocks[axis] = shape[axis].div_ceil(block);
    if parameter.shape() != blocks {
        return Err(wrong(call));
    }
    // Each number of a block `block` times, then what is over at the end left off.
    let (mut repeated, mut strides) = (blocks, parameter.strides());
    repeated.insert(axis + 1, block);
    strides.insert(axis + 1, 0);
    let whole = parameter.strided(repeated.clone(), 0, &strides, call.budget)?;
    let count = repeated[axis].checked_mul(repeated.remove(axis + 1)).ok_or_else(|| wrong(call))?;
    repeated[axis] = count;
    let whole = call.made(whole.reshaped(repeated))?;
    let strides = whole.strides();
    whole.strided(shape.to_vec(), 0, &strides, call.budget)
}

/// DequantizeLinear: floats of the type of the scale.
pub(super) fn dequantize(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let (scale, zero) = parameters(call, &data)?;
    call.budget.spend(data.shape())?;
    let (Some(values), Some(scales)) = (data.as_integers(), scale.as_floats()) else {
        return Err(call.wrong("inputs", "integers and scales of floats", format!("{:?}", data.element())));
    };
    let zeros = zero.as_ref().map_or(Some(&[][..]), Array::as_integers);
    let zeros = zeros.ok_or_else(|| call.wrong("zero point", "integers", "floats"))?;
    let zeros = zeros.iter().copied().chain(std::iter::repeat(0));
    let element = scale.element();
    let floats = values.iter().zip(zeros).zip(scales);
    let floats = floats.map(|((&value, zero), &scale)| element.fit(value.wrapping_sub(zero) as f32 * scale));
    call.made(Array::new(element, data.shape().to_vec(), Data::F32(Arc::new(floats.collect()))))
}

/// QuantizeLinear: the nearest integers, of the type of the zero point, within its range.
pub(super) fn quantize(call: &mut Call<'_>) -> Result<Array, Error> {
    let data = call.input(0)?;
    let (scale, zero) = parameters(call, &data)?;
    call.budget.spend(data.shape())?;
    let named =
        call.integer("output_dtype").and_then(|number| i32::try_from(number).ok()).and_then(Element::of);
    let element = zero.as_ref().map(Array::element).or(named).unwrap_or(Element::Integer(8, false));
    let (Some((least, most)), Some(values), Some(scales)) =
        (element.range(), data.as_floats(), scale.as_floats())
    else {
        return Err(call.wrong("inputs", "floats, scales of floats and a zero point of integers", "others"));
    };
    let zeros = zero.as_ref().and_then(Array::as_integers).unwrap_or(&[]);
    let zeros = zeros.iter().copied().chain(std::iter::repeat(0));
    let quantized = values.iter().zip(zeros).zip(scales).map(|((&value, zero), &scale)| {
        let nearest = (value / scale).round_ties_even() as i64;
        nearest.saturating_add(zero).clamp(least, most)
    });
    call.made(Array::new(element, data.shape().to_vec(), Data::I64(Arc::new(quantized.collect()))))
}
