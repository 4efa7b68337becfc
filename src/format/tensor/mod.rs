//! Named tensors, row-major: those of f32, of which weights are made, and all others that a file has.
//!
//! ```text
//! numbers.rs   how files store numbers, and numbers as f32: DType
//! tensors.rs   tensors by name: Tensors
//! prefix.rs    which names of a file a prefix means
//! said.rs      what a file says of its modules: their cells and options
//! ```

mod numbers;
mod prefix;
mod said;
mod tensors;

pub use numbers::DType;
#[cfg(feature = "onnx")]
pub(super) use numbers::{DType as Stored, from_bf16, from_f16, narrow};
#[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "json"))]
pub(super) use prefix::select;
pub(super) use prefix::unwrapped;
pub(super) use said::CELL;
pub use tensors::Tensors;

use super::refused;
use crate::error::Error;
use std::fmt;

/// An array of f32: its sizes and its values, row-major.
#[derive(Clone)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
    dtype: DType,
}

impl Tensor {
    /// A tensor of this shape, with these values, row-major.
    ///
    /// # Errors
    /// [`Error::Format`] where there are more or fewer values than the shape asks for.
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Tensor, Error> {
        let count = values.len();
        if element_count(shape) == Some(count) {
            return Ok(Tensor { shape: shape.to_vec(), values, dtype: DType::F32 });
        }
        let expected = format_args!("as many values as its shape {shape:?} says");
        Err(refused("tensor", expected, format_args!("{count} values")))
    }

    /// The sizes of the tensor, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values of the tensor, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of the tensor, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// What the file stored the values as: they are these numbers exactly, but for F64's, which are rounded
    /// to nearest. F32 where there was no file.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether it has this shape; `name` is what an error calls it.
    pub(super) fn check_shape(&self, name: &str, expected: &[usize]) -> Result<(), Error> {
        match self.shape == expected {
            true => Ok(()),
            false => Err(refused(name, of_shape(expected), format_args!("shape {:?}", self.shape))),
        }
    }
}

impl Default for Tensor {
    /// No values, of shape `[0]`.
    fn default() -> Tensor {
        Tensor { shape: vec![0], values: Vec::new(), dtype: DType::F32 }
    }
}

/// Shapes and values; what a file stored them as makes no difference.
impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        self.shape == other.shape && self.values == other.values
    }
}

/// The shape, and of many values the first few.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.len().min(8);
        write!(f, "Tensor {:?} {:?}", self.shape, &self.values[..shown])?;
        if shown < self.values.len() { write!(f, "...") } else { Ok(()) }
    }
}

/// A tensor of a file as it is stored there: of integers, booleans, or what else no weights are.
#[derive(Clone, PartialEq)]
pub struct RawTensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl RawTensor {
    /// A tensor of this shape from its numbers' little-endian bytes, row-major. Of [`DType::Other`] the bytes
    /// are anything.
    ///
    /// # Errors
    /// [`Error::Format`] where there are more or fewer bytes than the shape asks for.
    pub fn new(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Result<RawTensor, Error> {
        let size = |size| element_count(shape).and_then(|count| count.checked_mul(size));
        if dtype.size().is_some_and(|number| size(number) != Some(bytes.len())) {
            let expected = format_args!("as many numbers as its shape {shape:?} says");
            return Err(refused("tensor", expected, format_args!("{} bytes of {dtype:?}", bytes.len())));
        }
        Ok(RawTensor { dtype, shape: shape.to_vec(), bytes })
    }

    /// How the numbers of the tensor are stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The sizes of the tensor, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its numbers, little-endian and row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its integers; `None` where it has floats, or an integer above that of an i64.
    pub fn integers(&self) -> Option<Vec<i64>> {
        self.dtype.integers(&self.bytes)
    }

    /// Its numbers as f32, rounded to nearest.
    ///
    /// # Errors
    /// [`Error::Format`] where these are no numbers, or an f64 is too large for an f32.
    pub fn to_tensor(&self) -> Result<Tensor, Error> {
        let values = self.dtype.decode("tensor", &self.bytes)?;
        Ok(Tensor { dtype: self.dtype, ..Tensor::new(&self.shape, values)? })
    }
}

/// The type and the shape, without the numbers.
impl fmt::Debug for RawTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawTensor {:?} {:?}", self.dtype, self.shape)
    }
}

/// What errors say that they expected.
pub(super) fn of_shape(shape: &[usize]) -> String {
    format!("a tensor of shape {shape:?}")
}

/// The product of sizes, where it is a number.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) { Some(0) } else { product_without_zeros(shape) }
}

/// The product of sizes other than zero, where it is a number: then it is one in whatever order they are
/// multiplied.
pub(super) fn product_without_zeros(shape: &[usize]) -> Option<usize> {
    shape.iter().filter(|&&size| size > 0).try_fold(1usize, |count, &size| count.checked_mul(size))
}
