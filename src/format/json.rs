//! Tensors from JSON: a `state_dict` whose arrays are nested lists of numbers.
//!
//! ```text
//! {"rnn.weight_ih_l0": [[0.1, ..], ..], "rnn.bias_ih_l0": [0.1, ..], ..}       or as "state_dict" of an object
//! ```
//!
//! A number in a file is three bytes at least, with its comma, and 32 bytes as a JSON value; lists nest 128
//! deep at most, which is the limit of `serde_json`.

use super::magic::{Kind, not_readable};
use super::tensor::select;
use super::{DType, RawTensor, Tensor, Tensors, refused};
use crate::error::Error;
use serde_json::Value;
use std::collections::BTreeMap;

impl Tensors {
    /// The tensors of a `state_dict` that is written as JSON, whose names begin with `prefix`, which they
    /// lose here:
    ///
    /// ```text
    /// json.dump({name: tensor.tolist() for name, tensor in model.state_dict().items()}, file)
    /// ```
    ///
    /// They may also be the `"state_dict"` of an object, beside anything else, as in the files of GuitarML.
    ///
    /// ```
    /// use fused_rnn::format::{Tensors, state_dict};
    ///
    /// let file = br#"{"rnn.weight_ih_l0": [[0.1], [0.2], [0.3], [0.4]],
    ///                 "rnn.weight_hh_l0": [[0.1], [0.2], [0.3], [0.4]]}"#;
    /// let modules = state_dict::modules(&Tensors::from_json(file, "")?);
    /// assert_eq!(modules[0].to_string(), "rnn.: LSTM, 1 layer, 1 inputs, 1 units, no biases");
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where this is no JSON, and what it is if that can be told; where a value is no array
    /// of numbers, by its name; where no name has the prefix, or several modules may be meant by it.
    pub fn from_json(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
        let mut file = parse(bytes)?;
        let tensors = match file.get_mut("state_dict") {
            Some(inner) => inner.take(),
            None => file,
        };
        from_value(&tensors, prefix)
    }
}

/// The value of a JSON file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        not_readable("JSON", "a valid file", &[Kind::Json], bytes, format_args!("an error: {error}"))
    })
}

/// The tensors of an object of nested lists.
pub(crate) fn from_value(tensors: &Value, prefix: &str) -> Result<Tensors, Error> {
    let Some(entries) = tensors.as_object() else {
        return Err(refused("state_dict", "an object", kind(tensors)));
    };
    let entries = entries.iter().map(|(name, value)| (name.clone(), value)).collect();
    select(entries, &BTreeMap::new(), prefix, |name, value| {
        let tensor = tensor(name, value)?;
        let bytes = tensor.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        RawTensor::new(DType::F32, tensor.shape(), bytes)
    })
}

/// The array that nested lists are; all lists of one depth have the same length.
pub(crate) fn tensor(name: &str, value: &Value) -> Result<Tensor, Error> {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Some(list) = inner.as_array() {
        shape.push(list.len());
        match list.first() {
            Some(first) => inner = first,
            None => break,
        }
    }
    let mut values = Vec::new();
    append(name, value, &shape, &mut values)?;
    Tensor::new(&shape, values)
}

fn append(name: &str, value: &Value, shape: &[usize], values: &mut Vec<f32>) -> Result<(), Error> {
    match (shape.split_first(), value.as_array()) {
        (None, None) => {
            values.push(float(name, value)?);
            Ok(())
        }
        (Some((&size, inner)), Some(list)) if list.len() == size => {
            list.iter().try_for_each(|value| append(name, value, inner, values))
        }
        (Some((size, _)), Some(list)) => {
            let expected = format_args!("lists of {size} values, as the first is");
            Err(refused(name, expected, format_args!("one of {}", list.len())))
        }
        (None, Some(_)) => Err(refused(name, "numbers, as the first is", "a list")),
        (Some(_), None) => Err(refused(name, "lists, as the first is", kind(value))),
    }
}

/// A number as f32.
pub(crate) fn float(name: &str, value: &Value) -> Result<f32, Error> {
    match value.as_f64() {
        Some(number) if (number as f32).is_finite() => Ok(number as f32),
        Some(number) => Err(refused(name, "a number within the range of f32", number)),
        None => Err(refused(name, "a number", kind(value))),
    }
}

/// What a value is, for an error.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
