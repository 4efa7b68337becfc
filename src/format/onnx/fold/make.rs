//! Constants out of nothing, or of a shape: Constant, ConstantOfShape, Range, Shape, Size.

use super::super::array::{Array, Data, Element};
use super::super::budget::Budget;
use super::super::external::Folder;
use super::super::proto::NodeProto;
use super::super::tensor::decode;
use super::call::Call;
use crate::error::Error;
use std::sync::Arc;

/// Constant: a tensor, or numbers.
pub(super) fn constant(call: &mut Call<'_>) -> Result<Array, Error> {
    let name = call.node.output.first().map_or("", String::as_str);
    for attribute in &call.node.attribute {
        let floats = |values: Vec<f32>| Data::F32(Arc::new(values));
        let integers = |values: Vec<i64>| Data::I64(Arc::new(values));
        let (element, shape, data) = match (&*attribute.name, &attribute.t) {
            ("value", Some(tensor)) => return decode(name, tensor, call.folder, call.budget),
            ("value_float", _) => (Element::Float, vec![], floats(attribute.f.into_iter().collect())),
            ("value_floats", _) => {
                (Element::Float, vec![attribute.floats.len()], floats(attribute.floats.clone()))
            }
            ("value_int", _) => {
                (Element::Integer(64, true), vec![], integers(attribute.i.into_iter().collect()))
            }
            ("value_ints", _) => {
                (Element::Integer(64, true), vec![attribute.ints.len()], integers(attribute.ints.clone()))
            }
            _ => continue,
        };
        return call.made(Array::new(element, shape, data));
    }
    Err(call.wrong("attribute value", "a dense tensor or numbers", "none"))
}

/// The number that ConstantOfShape repeats.
fn value(call: &mut Call<'_>) -> Result<Array, Error> {
    match call.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(tensor) => decode("value", tensor, call.folder, call.budget),
        None => {
            let zero = Array::new(Element::Float, vec![1], Data::F32(Arc::new(vec![0.0])));
            call.made(zero)
        }
    }
}

/// The number that ConstantOfShape repeats, where the shape is not known.
pub(super) fn value_of_shape(call: &Call<'_>) -> Option<f64> {
    let tensor = match call.attribute("value") {
        None => return Some(0.0),
        Some(attribute) => attribute.t.as_ref()?,
    };
    let mut budget = Budget::of_file(0);
    decode("value", tensor, &Folder::none(), &mut budget).ok()?.uniform()
}

/// ConstantOfShape: a number repeated.
pub(super) fn constant_of_shape(call: &mut Call<'_>) -> Result<Array, Error> {
    let shape = call.integers("", 0)?.ok_or_else(|| call.wrong("input 0", "a shape", "none"))?;
    let shape = call.sizes(&shape)?;
    let value = value(call)?;
    if value.len() != 1 {
        return Err(call.wrong("attribute value", "one number", value.len().to_string()));
    }
    let strides = vec![0; shape.len()];
    value.strided(shape, 0, &strides, call.budget)
}

/// Range: from `start` on, below `limit`, in steps of `delta`.
pub(super) fn range(call: &mut Call<'_>) -> Result<Array, Error> {
    let inputs = [call.input(0)?, call.input(1)?, call.input(2)?];
    let element = inputs[0].element();
    if inputs.iter().any(|input| input.len() != 1 || input.element() != element) {
        return Err(call.wrong("inputs", "three numbers of one type", "others"));
    }
    let [start, limit, delta] = [0, 1, 2].map(|k: usize| inputs[k].to_doubles()[0]);
    let count = ((limit - start) / delta).ceil();
    if !(count.is_finite() && count < 1e15) {
        return Err(call.wrong("delta", "a step towards the limit", delta.to_string()));
    }
    let count = call.budget.spend(&[count.max(0.0) as usize])?;
    let data = match inputs[0].data() {
        Data::I64(start) => {
            let (start, delta) = (start[0], inputs[2].as_integers().map_or(0, |delta| delta[0]));
            let value = |k: usize| element.wrap(start.wrapping_add(delta.wrapping_mul(k as i64)));
            Data::I64(Arc::new((0..count).map(value).collect()))
        }
        Data::F32(_) => {
            // As ONNX Runtime: a step is added again and again.
            let mut value = start as f32;
            let next = |_| {
                let next = element.fit(value + delta as f32);
                std::mem::replace(&mut value, next)
            };
            Data::F32(Arc::new((0..count).map(next).collect()))
        }
        Data::F64(_) => {
            let mut value = start;
            let next = |_| {
                let next = value + delta;
                std::mem::replace(&mut value, next)
            };
            Data::F64(Arc::new((0..count).map(next).collect()))
        }
    };
    call.made(Array::new(element, vec![count], data))
}

/// Shape and Size of a value that is known.
pub(super) fn shape(call: &mut Call<'_>) -> Result<Array, Error> {
    let input = call.input(0)?;
    of_shape(call.node, input.shape())
}

/// Shape and Size of a value of this shape.
pub(super) fn of_shape(node: &NodeProto, shape: &[usize]) -> Result<Array, Error> {
    let sizes: Vec<i64> = shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
    if node.op_type == "Size" {
        let size = sizes.iter().fold(1i64, |product, &size| product.saturating_mul(size));
        let size = Array::integers(vec![size]).reshaped(Vec::new());
        return size.ok_or_else(|| super::refused("Size", "one number", "none"));
    }
    let limit = |name: &str, default: i64| {
        let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
        let at = attribute.and_then(|attribute| attribute.i).unwrap_or(default);
        let at = if at < 0 { at.saturating_add(sizes.len() as i64) } else { at };
        at.clamp(0, sizes.len() as i64) as usize
    };
    let (start, end) = (limit("start", 0), limit("end", sizes.len() as i64));
    Ok(Array::integers(sizes[start..end.max(start)].to_vec()))
}
