//! A `TensorProto` as an array: its type, its shape, and where its numbers lie.
//!
//! ```text
//! raw_data       little-endian bytes, of any type
//! float_data, double_data, int64_data, uint64_data      one number each
//! int32_data     one number each of the smaller integers, of BOOL, and the bits of FLOAT16 and BFLOAT16
//! external_data  a file beside the model: location, offset, length
//! ```

use super::super::refused;
use super::super::tensor::{Stored, element_count, from_bf16, from_f16};
use super::array::{Array, Data, Element, Value};
use super::budget::Budget;
use super::external::{Folder, Place};
use super::proto::{TensorProto, damage};
use crate::error::Error;
use prost::Message;
use std::sync::Arc;

/// Reads a tensor file, as the `input_0.pb` of ONNX's tests: its name and its values.
///
/// # Errors
/// [`Error::Format`] where this is no tensor, or one that [`Model::value`](super::Model::value) refuses.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, Value), Error> {
    let tensor = TensorProto::decode(bytes).map_err(not_onnx)?;
    let what = format!("tensor {:?}", tensor.name);
    let array = decode(&tensor.name, &tensor, &Folder::none(), &mut Budget::of_file(bytes.len()))?;
    Ok((tensor.name, array.to_value(&what)?))
}

fn not_onnx(error: prost::DecodeError) -> Error {
    refused("ONNX", "a valid protocol buffer", format_args!("a damaged one: {}", damage(&error)))
}

/// The array of a tensor.
pub(super) fn decode(
    name: &str,
    tensor: &TensorProto,
    folder: &Folder,
    budget: &mut Budget,
) -> Result<Array, Error> {
    let what = format!("tensor {name:?}");
    if tensor.segment.is_some() {
        return Err(refused(what, "a whole tensor", "a segment"));
    }
    let size = |&dim: &i64| usize::try_from(dim).map_err(|_| refused(&what, "sizes from 0", dim));
    let shape = tensor.dims.iter().map(size).collect::<Result<Vec<usize>, Error>>()?;
    let element = Element::of(tensor.data_type).ok_or_else(|| {
        let expected = "FLOAT, DOUBLE, FLOAT16, BFLOAT16, BOOL or an integer type";
        refused(&what, expected, format_args!("type {}", tensor.data_type))
    })?;
    let external;
    let raw = if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        let count = element_count(&shape).ok_or_else(|| refused(&what, "a size", "a larger one"))?;
        let bytes = raw_length(element, count);
        external = folder.read(&what, &Place::of(&what, &tensor.external_data)?, bytes, budget)?;
        Some(&external[..])
    } else {
        tensor.raw_data.as_deref()
    };
    let count = element_count(&shape).unwrap_or(usize::MAX);
    let data = match raw {
        Some(raw) => of_bytes(&what, element, raw, count)?,
        None => of_fields(&what, element, tensor, count)?,
    };
    let got = match &data {
        Data::F32(values) => values.len(),
        Data::F64(values) => values.len(),
        Data::I64(values) => values.len(),
    };
    let wrong = || refused(&what, format_args!("as many values as {shape:?} says"), got);
    Array::new(element, shape.clone(), data).ok_or_else(wrong)
}

/// The bytes of `count` numbers.
fn raw_length(element: Element, count: usize) -> Option<usize> {
    match element {
        Element::Integer(4, _) => Some(count.div_ceil(2)),
        Element::Integer(bits, _) => count.checked_mul(usize::from(bits) / 8),
        Element::Bool => Some(count),
        Element::Float => count.checked_mul(4),
        Element::Double => count.checked_mul(8),
        Element::Float16 | Element::BFloat16 => count.checked_mul(2),
    }
}

fn of_bytes(what: &str, element: Element, raw: &[u8], count: usize) -> Result<Data, Error> {
    let floats = |stored: Stored| Ok(Data::F32(Arc::new(stored.decode(what, raw)?)));
    let (bits, signed) = match element {
        Element::Float => return floats(Stored::F32),
        Element::Float16 => return floats(Stored::F16),
        Element::BFloat16 => return floats(Stored::BF16),
        Element::Double => {
            if !raw.len().is_multiple_of(8) {
                return Err(refused(what, "values of 8 bytes", format_args!("{} bytes", raw.len())));
            }
            let values = raw.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
            return Ok(Data::F64(Arc::new(values.collect())));
        }
        Element::Bool => (8, false),
        Element::Integer(bits, signed) => (bits, signed),
    };
    if bits == 4 {
        // Two in a byte, the first in its low half. If the number is odd, the last half is not used.
        let halves = raw.iter().flat_map(|&byte| [byte & 15, byte >> 4]).take(count);
        let values = halves.map(|half| element.wrap(half.into()));
        return Ok(Data::I64(Arc::new(values.collect())));
    }
    if !raw.len().is_multiple_of(usize::from(bits) / 8) {
        return Err(refused(what, "whole integers", format_args!("{} bytes", raw.len())));
    }
    let values: Vec<i64> = match (bits, signed) {
        (8, true) => raw.iter().map(|&byte| i64::from(byte as i8)).collect(),
        (8, false) => raw.iter().map(|&byte| element.wrap(byte.into())).collect(),
        (16, true) => raw.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b).into()).collect(),
        (16, false) => raw.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b).into()).collect(),
        (32, true) => raw.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect(),
        (32, false) => raw.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b).into()).collect(),
        (_, true) => raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        (_, false) => {
            let values = raw.as_chunks().0.iter().map(|&bytes| unsigned(what, u64::from_le_bytes(bytes)));
            values.collect::<Result<_, Error>>()?
        }
    };
    Ok(Data::I64(Arc::new(values)))
}

fn of_fields(what: &str, element: Element, tensor: &TensorProto, count: usize) -> Result<Data, Error> {
    // Bits of FLOAT16 and BFLOAT16 may lie in int32_data.
    let halves = |widen: fn(u16) -> f32| {
        let bits = |&bits: &i32| u16::try_from(bits).map(widen);
        let values: Result<Vec<f32>, _> = tensor.int32_data.iter().map(bits).collect();
        let values = values.map_err(|_| refused(what, "sixteen bits a number", "more"))?;
        Ok(Data::F32(Arc::new(values)))
    };
    let integers: Vec<i64> = match element {
        Element::Float => return Ok(Data::F32(Arc::new(tensor.float_data.clone()))),
        Element::Double => return Ok(Data::F64(Arc::new(tensor.double_data.clone()))),
        Element::Float16 => return halves(from_f16),
        Element::BFloat16 => return halves(from_bf16),
        Element::Integer(64, true) => tensor.int64_data.clone(),
        Element::Integer(32 | 64, false) => {
            tensor.uint64_data.iter().map(|&value| unsigned(what, value)).collect::<Result<_, Error>>()?
        }
        Element::Integer(4, _) => {
            let halves = tensor.int32_data.iter().flat_map(|&pair| [pair & 15, pair >> 4 & 15]);
            halves.take(count).map(|half| element.wrap(half.into())).collect()
        }
        _ => tensor.int32_data.iter().map(|&value| i64::from(value)).collect(),
    };
    match integers.iter().find(|&&value| element.wrap(value) != value && element != Element::Bool) {
        Some(value) => Err(refused(what, "integers of its type", value)),
        None => Ok(Data::I64(Arc::new(integers.into_iter().map(|value| element.wrap(value)).collect()))),
    }
}

fn unsigned(what: &str, value: u64) -> Result<i64, Error> {
    i64::try_from(value).map_err(|_| refused(what, "integers below 2^63", value))
}
