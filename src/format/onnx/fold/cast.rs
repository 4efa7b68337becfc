//! Cast and CastLike: numbers as numbers of another type.
//!
//! A float becomes an integer by leaving off its fraction. What the type cannot hold is left open by ONNX;
//! here a float goes to the end of the range, and an integer keeps its low bits.

use super::super::array::{Array, Data, Element};
use super::call::Call;
use crate::error::Error;
use std::sync::Arc;

/// The type that a node casts to.
fn wanted(call: &Call<'_>) -> Result<Element, Error> {
    if call.node.op_type == "CastLike" {
        return Ok(call.input(1)?.element());
    }
    let Some(attribute) = call.attribute("to") else {
        return Err(call.wrong("attribute to", "a type", "none"));
    };
    let name = attribute.s.as_deref().map(String::from_utf8_lossy);
    let number = attribute.i.and_then(|number| i32::try_from(number).ok());
    let element = number.and_then(Element::of).or(name.as_deref().and_then(Element::named));
    let got = || number.map(|number| format!("type {number}")).or(name.as_deref().map(str::to_owned));
    element.ok_or_else(|| {
        let got = got().unwrap_or_else(|| "none".to_owned());
        call.wrong("attribute to", "a type of numbers", got)
    })
}

/// Cast and CastLike.
pub(super) fn cast(call: &mut Call<'_>) -> Result<Array, Error> {
    let (data, element) = (call.input(0)?, wanted(call)?);
    if data.element() == element {
        return Ok(data);
    }
    call.budget.spend(data.shape())?;
    call.made(Array::new(element, data.shape().to_vec(), converted(data.data(), element)))
}

/// One number, as the node casts it.
pub(super) fn one(call: &Call<'_>, value: f64) -> Option<f64> {
    let element = wanted(call).ok()?;
    match converted(&Data::F64(Arc::new(vec![value])), element) {
        Data::F32(values) => Some(values[0].into()),
        Data::F64(values) => Some(values[0]),
        Data::I64(values) => Some(values[0] as f64),
    }
}

/// Numbers as those of another type.
pub(super) fn converted(data: &Data, element: Element) -> Data {
    let whole = |value: f64| match element.range() {
        None => i64::from(value != 0.0),
        Some((least, most)) => (value as i64).clamp(least, most),
    };
    match data {
        Data::F32(values) if element == Element::Double => {
            Data::F64(Arc::new(values.iter().map(|&value| value.into()).collect()))
        }
        Data::F32(values) if element.is_float() => {
            Data::F32(Arc::new(values.iter().map(|&value| element.fit(value)).collect()))
        }
        Data::F32(values) => Data::I64(Arc::new(values.iter().map(|&value| whole(value.into())).collect())),
        Data::F64(values) if element == Element::Double => Data::F64(values.clone()),
        Data::F64(values) if element.is_float() => {
            Data::F32(Arc::new(values.iter().map(|&value| element.fit(value as f32)).collect()))
        }
        Data::F64(values) => Data::I64(Arc::new(values.iter().map(|&value| whole(value)).collect())),
        Data::I64(values) if element == Element::Double => {
            Data::F64(Arc::new(values.iter().map(|&value| value as f64).collect()))
        }
        Data::I64(values) if element.is_float() => {
            Data::F32(Arc::new(values.iter().map(|&value| element.fit(value as f32)).collect()))
        }
        Data::I64(values) => Data::I64(Arc::new(values.iter().map(|&value| element.wrap(value)).collect())),
    }
}
