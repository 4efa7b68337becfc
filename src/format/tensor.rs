//! Named tensors of f32, row-major, and how files store their numbers.

use super::refused;
use crate::error::Error;
use std::collections::BTreeMap;

/// An array of f32: its sizes and its values, row-major.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// A tensor of this shape.
    ///
    /// # Errors
    /// [`Error::Format`] where there are more or fewer values than the shape asks for.
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Tensor, Error> {
        match element_count(shape) {
            Some(count) if count == values.len() => Ok(Tensor { shape: shape.to_vec(), values }),
            _ => {
                let got = format!("{} values", values.len());
                Err(refused("tensor", format!("as many values as its shape {shape:?} says"), got))
            }
        }
    }
    /// Its sizes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Its values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
    /// Its values, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Whether it has this shape; `name` is what an error calls it.
    pub(super) fn check_shape(&self, name: &str, expected: &[usize]) -> Result<(), Error> {
        match self.shape == expected {
            true => Ok(()),
            false => Err(refused(name, of_shape(expected), format!("shape {:?}", self.shape))),
        }
    }
}

/// What errors say that they expected.
fn of_shape(shape: &[usize]) -> String {
    format!("a tensor of shape {shape:?}")
}

/// The product of sizes, where it is a number.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) { Some(0) } else { product_without_zeros(shape) }
}

/// The product of sizes other than zero, where it is a number: then it is one in whatever order they are multiplied.
pub(super) fn product_without_zeros(shape: &[usize]) -> Option<usize> {
    shape.iter().filter(|&&size| size > 0).try_fold(1usize, |count, &size| count.checked_mul(size))
}

/// Tensors by name: what a file of weights holds.
///
/// ```
/// use fused_rnn::format::{Tensor, Tensors};
///
/// let mut file = Tensors::new();
/// file.insert("rnn.weight_ih_l0", Tensor::new(&[4, 1], vec![0.0; 4])?);
/// file.insert("head.bias", Tensor::new(&[1], vec![0.5])?);
/// let rnn = file.split_off_prefix("rnn.");
/// assert!(rnn.names().eq(["weight_ih_l0"]));
/// assert_eq!(file.take("head.bias", &[1])?, [0.5]);
/// file.finish()?;
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    pub(super) map: BTreeMap<String, Tensor>,
}

impl Tensors {
    /// None.
    pub fn new() -> Tensors {
        Tensors::default()
    }

    /// Adds one, in the place of any of the same name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.map.insert(name.into(), tensor);
    }

    /// Adds all tensors of another, with `prefix` before their names.
    pub fn insert_all(&mut self, prefix: &str, tensors: Tensors) {
        self.map.extend(tensors.map.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.map.get(name)
    }

    /// One that must be there and have this shape.
    pub(super) fn get_shaped(&self, name: &str, shape: &[usize]) -> Result<&Tensor, Error> {
        let tensor = self.map.get(name).ok_or_else(|| refused(name, of_shape(shape), "none"))?;
        tensor.check_shape(name, shape)?;
        Ok(tensor)
    }

    /// Takes one out; `None` where there is none of this name.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.map.remove(name)
    }

    /// Takes out the values of one that must be there and have this shape.
    ///
    /// # Errors
    /// [`Error::Format`] where it is not there or has another shape; it is still there then.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.get_shaped(name, shape)?;
        Ok(self.map.remove(name).map(Tensor::into_values).unwrap_or_default())
    }

    /// Takes out all whose name begins with `prefix`, which their names lose.
    pub fn split_off_prefix(&mut self, prefix: &str) -> Tensors {
        let mut taken = Tensors::new();
        for (name, tensor) in std::mem::take(&mut self.map) {
            match name.strip_prefix(prefix) {
                Some(rest) => taken.map.insert(rest.to_owned(), tensor),
                None => self.map.insert(name, tensor),
            };
        }
        taken
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Whether every tensor has been taken: a file is read when nothing of it is left.
    ///
    /// # Errors
    /// [`Error::Format`] that names those that are left.
    pub fn finish(self) -> Result<(), Error> {
        if self.map.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.names().take(8).collect();
        let more = if self.map.len() > names.len() { ", ..." } else { "" };
        Err(refused("tensors", "none that has no place here", format!("{}{more}", names.join(", "))))
    }
}

/// How a file stores a number.
#[cfg(any(feature = "safetensors", feature = "onnx"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stored {
    #[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
    F64,
    F32,
    F16,
    BF16,
}

#[cfg(any(feature = "safetensors", feature = "onnx"))]
impl Stored {
    /// Little-endian bytes as f32: f16 and bf16 exactly, f64 rounded to nearest.
    ///
    /// # Errors
    /// [`Error::Format`] where an f64 is too large for an f32, or a number is cut off.
    pub(super) fn decode(self, what: &str, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        let size = match self {
            Stored::F64 => 8,
            Stored::F32 => 4,
            Stored::F16 | Stored::BF16 => 2,
        };
        if !bytes.len().is_multiple_of(size) {
            let got = format!("{} bytes", bytes.len());
            return Err(refused(what, format!("values of {size} bytes"), got));
        }
        match self {
            Stored::F64 => {
                bytes.as_chunks().0.iter().map(|&bytes| narrow(what, f64::from_le_bytes(bytes))).collect()
            }
            Stored::F32 => Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
            Stored::F16 => {
                Ok(bytes.as_chunks().0.iter().map(|&bytes| from_f16(u16::from_le_bytes(bytes))).collect())
            }
            Stored::BF16 => {
                let widen = |&bytes: &[u8; 2]| from_bf16(u16::from_le_bytes(bytes));
                Ok(bytes.as_chunks().0.iter().map(widen).collect())
            }
        }
    }
}

/// An f64 as the nearest f32.
///
/// # Errors
/// [`Error::Format`] where it is finite and that is not.
#[cfg(any(feature = "safetensors", feature = "onnx"))]
pub(super) fn narrow(what: &str, value: f64) -> Result<f32, Error> {
    let near = value as f32;
    if value.is_finite() && !near.is_finite() {
        return Err(refused(what, "numbers that an f32 can hold", value.to_string()));
    }
    Ok(near)
}

/// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction; exponent 0 has no leading one, 31 is
/// infinity or NaN.
#[cfg(any(feature = "safetensors", feature = "onnx"))]
pub(super) fn from_f16(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction as f32 * f32::from_bits(103 << 23), // 2^-24
        31 => f32::from_bits(255 << 23 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The upper half of an f32.
#[cfg(any(feature = "safetensors", feature = "onnx"))]
pub(super) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(all(test, any(feature = "safetensors", feature = "onnx")))]
mod tests {
    use super::*;

    #[test]
    fn halves_are_widened_exactly() {
        // Every finite binary16 is a multiple of 2^-24 below 2^16: computed here without its bits.
        for bits in 0..=u16::MAX {
            let (sign, rest) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, bits & 0x7FFF);
            let (exponent, fraction) = (i32::from(rest >> 10), f64::from(rest & 1023));
            let want = match exponent {
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                0 => fraction / 1024.0 * 2f64.powi(-14),
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            } * sign;
            let got = f64::from(from_f16(bits));
            assert!(got == want || got.is_nan() && want.is_nan(), "{bits:#06x}: {got} for {want}");
            assert_eq!(got.is_sign_negative(), bits >> 15 == 1, "{bits:#06x}");
        }
        assert_eq!([0x3F80, 0xC049, 0x0000].map(from_bf16), [1.0, -3.140625, 0.0]);
    }

    #[test]
    fn doubles_are_rounded_and_not_made_infinite() {
        let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(Stored::F64.decode("w", &bytes(&[0.1, -1e-50])).unwrap(), [0.1, 0.0]);
        assert!(Stored::F64.decode("w", &bytes(&[f64::INFINITY])).unwrap()[0].is_infinite());
        let error = Stored::F64.decode("w", &bytes(&[1e39])).unwrap_err().to_string();
        assert!(error.starts_with("w: expected numbers that an f32 can hold, got 1000"), "{error}");
        assert!(Stored::F64.decode("w", &[0; 12]).is_err());
    }
}
