//! The value of a constant while it is folded: an array of one of ONNX's types.
//!
//! Numbers are held in three ways, whatever the type says: FLOAT, FLOAT16 and BFLOAT16 as f32, DOUBLE as f64,
//! all integers and booleans as i64. What an operator makes is brought back to its type by [`Element::fit`],
//! so that a half stays a half and a byte wraps. Clones share their numbers.
//!
//! Every new array is paid for from a [`Budget`]: a few bytes of a file may ask for 2^60 elements.

use super::super::tensor::{element_count, from_bf16, from_f16, narrow};
use super::super::{Tensor, refused};
use super::budget::{Budget, MAX_AXES, too_many};
use crate::error::Error;
use std::sync::Arc;

/// A tensor of a model: of f32, or of integers as `sequence_lens` is.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// FLOAT, and DOUBLE, FLOAT16 and BFLOAT16 as f32.
    Floats(Tensor),
    /// Integers of any type, and booleans as 0 and 1, with their shape.
    Integers(Vec<usize>, Vec<i64>),
}

/// A type of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Float,
    Double,
    Float16,
    BFloat16,
    Bool,
    /// Bits, and whether there is a sign.
    Integer(u8, bool),
}

impl Element {
    /// The type of this number in `TensorProto`.
    pub(super) fn of(number: i32) -> Option<Element> {
        Some(match number {
            1 => Element::Float,
            2 => Element::Integer(8, false),
            3 => Element::Integer(8, true),
            4 => Element::Integer(16, false),
            5 => Element::Integer(16, true),
            6 => Element::Integer(32, true),
            7 => Element::Integer(64, true),
            9 => Element::Bool,
            10 => Element::Float16,
            11 => Element::Double,
            12 => Element::Integer(32, false),
            13 => Element::Integer(64, false),
            16 => Element::BFloat16,
            21 => Element::Integer(4, false),
            22 => Element::Integer(4, true),
            _ => return None,
        })
    }

    /// The type of this name, as the first version of Cast has it.
    pub(super) fn named(name: &str) -> Option<Element> {
        let names = [
            ("FLOAT", 1),
            ("UINT8", 2),
            ("INT8", 3),
            ("UINT16", 4),
            ("INT16", 5),
            ("INT32", 6),
            ("INT64", 7),
            ("BOOL", 9),
            ("FLOAT16", 10),
            ("DOUBLE", 11),
            ("UINT32", 12),
            ("UINT64", 13),
        ];
        names.iter().find(|entry| entry.0 == name).and_then(|entry| Element::of(entry.1))
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Element::Float | Element::Double | Element::Float16 | Element::BFloat16)
    }

    /// The least and the largest integer, where it is one.
    pub(super) fn range(self) -> Option<(i64, i64)> {
        match self {
            Element::Integer(64, true) => Some((i64::MIN, i64::MAX)),
            // What is larger than an i64 is refused where it is read.
            Element::Integer(64, false) => Some((0, i64::MAX)),
            Element::Integer(bits, true) => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
            Element::Integer(bits, false) => Some((0, (1 << bits) - 1)),
            _ => None,
        }
    }

    /// An f32 as the nearest number of this type.
    pub(super) fn fit(self, value: f32) -> f32 {
        match self {
            Element::Float16 => from_f16(to_f16(value)),
            Element::BFloat16 => from_bf16(to_bf16(value)),
            _ => value,
        }
    }

    /// The low bits of an integer, as a number of this type.
    pub(super) fn wrap(self, value: i64) -> i64 {
        match self {
            Element::Integer(64, _) => value,
            Element::Integer(bits, true) => value << (64 - u32::from(bits)) >> (64 - u32::from(bits)),
            Element::Integer(bits, false) => value & ((1 << bits) - 1),
            Element::Bool => i64::from(value != 0),
            _ => value,
        }
    }
}

/// The nearest binary16, ties to even.
fn to_f16(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16 & 0x8000) as u16;
    let size = value.abs();
    let bits = if size.is_nan() {
        0x7E00
    } else if size >= 65520.0 {
        0x7C00
    } else if size < 6.103_515_6e-5 {
        // Below the normal numbers: multiples of 2^-24.
        (size * 16_777_216.0).round_ties_even() as u16
    } else {
        let bits = size.to_bits();
        // Twelve bits of exponent bias and thirteen of fraction less; a carry goes into the exponent, as it
        // should.
        let rounded = bits + 0x0FFF + (bits >> 13 & 1);
        ((rounded >> 13) - (112 << 10)) as u16
    };
    sign | bits
}

/// The nearest bfloat16, ties to even.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits as u64 + 0x7FFF + u64::from(bits >> 16 & 1)) >> 16) as u16
}

/// The numbers of an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// FLOAT, FLOAT16, BFLOAT16.
    F32(Arc<Vec<f32>>),
    /// DOUBLE.
    F64(Arc<Vec<f64>>),
    /// All others.
    I64(Arc<Vec<i64>>),
}

/// `$body` for the numbers `$values`, of whatever kind.
macro_rules! with_values {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::F32($values) => Data::F32(std::sync::Arc::new($body)),
            Data::F64($values) => Data::F64(std::sync::Arc::new($body)),
            Data::I64($values) => Data::I64(std::sync::Arc::new($body)),
        }
    };
}
pub(super) use with_values;

/// An array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    element: Element,
    shape: Vec<usize>,
    data: Data,
}

impl Array {
    /// An array; `None` where its numbers are not as many as the shape says, or are of the wrong kind.
    pub(super) fn new(element: Element, shape: Vec<usize>, data: Data) -> Option<Array> {
        let count = match &data {
            Data::F32(values) if element.is_float() && element != Element::Double => values.len(),
            Data::F64(values) if element == Element::Double => values.len(),
            Data::I64(values) if !element.is_float() => values.len(),
            _ => return None,
        };
        // (Axes of an array without elements may have any size.)
        let sizes = shape.len() <= MAX_AXES && shape.iter().all(|&size| isize::try_from(size).is_ok());
        (sizes && element_count(&shape) == Some(count)).then_some(Array { element, shape, data })
    }

    /// Integers of 64 bits on one axis.
    pub(super) fn integers(values: Vec<i64>) -> Array {
        Array {
            element: Element::Integer(64, true),
            shape: vec![values.len()],
            data: Data::I64(Arc::new(values)),
        }
    }

    pub(super) fn element(&self) -> Element {
        self.element
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn data(&self) -> &Data {
        &self.data
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::F32(values) => values.len(),
            Data::F64(values) => values.len(),
            Data::I64(values) => values.len(),
        }
    }

    /// The same numbers in another shape; `None` where that has another size.
    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Option<Array> {
        Array::new(self.element, shape, self.data.clone())
    }

    /// Its integers.
    pub(super) fn as_integers(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(values) => Some(values),
            _ => None,
        }
    }

    /// Its f32.
    pub(super) fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(values) => Some(values),
            _ => None,
        }
    }

    /// All its numbers as f64: of the large integers the nearest.
    pub(super) fn to_doubles(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(values) => values.iter().map(|&value| value.into()).collect(),
            Data::F64(values) => values.to_vec(),
            Data::I64(values) => values.iter().map(|&value| value as f64).collect(),
        }
    }

    /// The number that all its elements are, if they are one.
    pub(super) fn uniform(&self) -> Option<f64> {
        let first = match &self.data {
            Data::F32(values) => values.first().map(|&value| f64::from(value)),
            Data::F64(values) => values.first().copied(),
            Data::I64(values) => values.first().map(|&value| value as f64),
        }?;
        let same = match &self.data {
            Data::F32(values) => values.iter().all(|&value| f64::from(value) == first),
            Data::F64(values) => values.iter().all(|&value| value == first),
            Data::I64(values) => values.iter().all(|&value| value as f64 == first),
        };
        same.then_some(first)
    }

    /// Elements in another order: those at `offset` + the sum of index times stride, for all indices of
    /// `shape`. The caller sees to it that each of these places is there.
    pub(super) fn strided(
        &self,
        shape: Vec<usize>,
        offset: isize,
        strides: &[isize],
        budget: &mut Budget,
    ) -> Result<Array, Error> {
        let count = budget.spend(&shape)?;
        let data = with_values!(&self.data, values => walk(values, &shape, count, offset, strides));
        Array::new(self.element, shape, data).ok_or_else(too_many)
    }

    /// The strides of its elements as they lie.
    pub(super) fn strides(&self) -> Vec<isize> {
        let mut strides = vec![0; self.shape.len()];
        let mut size = 1isize;
        for (stride, &length) in strides.iter_mut().zip(&self.shape).rev() {
            *stride = size;
            size = size.saturating_mul(length as isize);
        }
        strides
    }

    /// It repeated to a shape by the rules of broadcasting; `None` where that is none of its shapes.
    pub(super) fn broadcast(&self, shape: &[usize], budget: &mut Budget) -> Result<Option<Array>, Error> {
        let Some(missing) = shape.len().checked_sub(self.shape.len()) else { return Ok(None) };
        let mut strides = vec![0; missing];
        for ((&to, &from), stride) in shape[missing..].iter().zip(&self.shape).zip(self.strides()) {
            match from {
                _ if from == to => strides.push(stride),
                1 => strides.push(0),
                _ => return Ok(None),
            }
        }
        if shape == self.shape {
            return Ok(Some(self.clone()));
        }
        self.strided(shape.to_vec(), 0, &strides, budget).map(Some)
    }

    /// As callers see it.
    pub(super) fn to_value(&self, what: &str) -> Result<Value, Error> {
        let floats = match &self.data {
            Data::F32(values) => values.to_vec(),
            Data::F64(values) => {
                values.iter().map(|&value| narrow(what, value)).collect::<Result<_, Error>>()?
            }
            Data::I64(values) => return Ok(Value::Integers(self.shape.clone(), values.to_vec())),
        };
        Tensor::new(&self.shape, floats).map(Value::Floats)
    }

    /// What a caller has supplied.
    pub(super) fn of_value(value: &Value) -> Option<Array> {
        match value {
            Value::Floats(tensor) => {
                let data = Data::F32(Arc::new(tensor.values().to_vec()));
                Array::new(Element::Float, tensor.shape().to_vec(), data)
            }
            Value::Integers(shape, values) => {
                let data = Data::I64(Arc::new(values.clone()));
                Array::new(Element::Integer(64, true), shape.clone(), data)
            }
        }
    }
}

/// The array as the caller sees it, which must be of floats.
pub(super) fn floats(name: &str, array: &Array) -> Result<Tensor, Error> {
    match array.to_value(&format!("tensor {name:?}"))? {
        Value::Floats(tensor) => Ok(tensor),
        Value::Integers(..) => Err(refused(name, "floats", "integers")),
    }
}

fn walk<T: Copy>(from: &[T], shape: &[usize], count: usize, offset: isize, strides: &[isize]) -> Vec<T> {
    let mut to = Vec::with_capacity(count);
    let mut index = vec![0usize; shape.len()];
    let mut place = offset;
    for _ in 0..count {
        to.push(from[place as usize]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * index[axis] as isize;
            index[axis] = 0;
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_to_the_nearest() {
        // What is a half stays itself, and what lies between two goes to the nearer, or to the even.
        for bits in (0..0x7C00u16).chain(0x8000..0xFC00) {
            assert_eq!(to_f16(from_f16(bits)), bits);
            let (here, next) = (f64::from(from_f16(bits)), f64::from(from_f16(bits + 1)));
            if bits & 0x7FFF < 0x7BFF {
                let middle = ((here + next) / 2.0) as f32;
                assert_eq!(to_f16(middle), bits + (bits & 1), "{bits:#06x}");
                assert_eq!(to_f16((here + (next - here) * 0.499) as f32), bits, "{bits:#06x}");
                assert_eq!(to_f16((here + (next - here) * 0.501) as f32), bits + 1, "{bits:#06x}");
            }
        }
        assert_eq!([65519.9, 65520.0, 1e9, f32::NAN].map(to_f16), [0x7BFF, 0x7C00, 0x7C00, 0x7E00]);
        assert_eq!(
            [1.0, -3.140625, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0].map(to_bf16),
            [0x3F80, 0xC049, 0x3F80, 0x3F82]
        );
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
    }

    #[test]
    fn integers_wrap_at_their_width() {
        assert_eq!([127, 128, -129].map(|v| Element::Integer(8, true).wrap(v)), [127, -128, 127]);
        assert_eq!([256, -1].map(|v| Element::Integer(8, false).wrap(v)), [0, 255]);
        assert_eq!([8, -9].map(|v| Element::Integer(4, true).wrap(v)), [-8, 7]);
        assert_eq!(Element::Bool.wrap(7), 1);
    }
}
