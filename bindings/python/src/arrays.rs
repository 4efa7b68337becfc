//! NumPy arrays in and out. What is read may lie in any order: it is copied where it is not row-major without
//! gaps. What is written has to be.

use crate::errors::{raised, refused};
use fused_rnn::{Config, Dims, Error, Layout};
use numpy::ndarray::Dimension;
use numpy::{
    PyArrayDyn, PyArrayMethods, PyReadonlyArray, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::borrow::Cow;

pub type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;
pub type FloatsMut<'py> = PyReadwriteArrayDyn<'py, f32>;
/// A new array.
pub type NewFloats<'py> = Bound<'py, PyArrayDyn<f32>>;
pub type Flags<'py> = PyReadonlyArray2<'py, bool>;

/// The values of an array in row-major order: the array's own, or a copy. (Its `as_slice` gives those of a
/// column-major array too, in their order.)
pub fn values<'a, T: numpy::Element + Copy, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> PyResult<Cow<'a, [T]>> {
    if let (true, Ok(values)) = (array.is_c_contiguous(), array.as_slice()) {
        return Ok(Cow::Borrowed(values));
    }
    // (By NumPy, which also reads what lies at odd addresses.)
    let copy = array.call_method1("copy", ("C",))?;
    let copy: PyReadonlyArray<'_, T, D> = copy.extract()?;
    Ok(Cow::Owned(copy.as_slice()?.to_vec()))
}

/// The values of an array, to write.
pub fn values_mut<'a>(what: &str, array: &'a mut FloatsMut<'_>) -> PyResult<&'a mut [f32]> {
    if !array.is_c_contiguous() {
        return Err(refused(what, "a C-contiguous array", "another"));
    }
    let at = array.data().addr();
    array.as_slice_mut().map_err(|_| refused(what, "an address that is a multiple of 4", at))
}

/// An argument as an array of float32.
pub fn floats<'py>(what: &str, given: &Bound<'py, PyAny>) -> PyResult<Floats<'py>> {
    given.extract().map_err(|_| no_floats(what, given))
}

/// The argument `out` as an array to write.
pub fn floats_mut<'py>(out: &Bound<'py, PyAny>) -> PyResult<FloatsMut<'py>> {
    out.extract().map_err(|_| no_floats("out", out))
}

/// What is no array of float32, or cannot be written because others read it.
fn no_floats(what: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let got = match given.getattr("dtype") {
        Ok(dtype) if dtype.to_string() == "float32" => "one that is in use or cannot be written".to_string(),
        Ok(dtype) => dtype.to_string(),
        Err(_) => given.get_type().to_string(),
    };
    PyTypeError::new_err(format!("{what}: expected an array of float32, got {got}"))
}

/// The array itself, where it has been written.
pub fn bound<'py>(array: &FloatsMut<'py>) -> NewFloats<'py> {
    let array: &NewFloats<'py> = array;
    array.clone()
}

/// Checks the shape of an array.
pub fn check_shape(what: &str, expected: &[usize], got: &[usize]) -> PyResult<()> {
    if expected == got {
        Ok(())
    } else {
        Err(refused(what, format!("shape {expected:?}"), format!("{got:?}")))
    }
}

/// A new array of zeros.
pub fn zeros<'py>(py: Python<'py>, what: &'static str, shape: &[usize]) -> PyResult<NewFloats<'py>> {
    let bytes = shape.iter().try_fold(size_of::<f32>(), |product, &size| product.checked_mul(size));
    match bytes.filter(|&bytes| bytes < isize::MAX as usize) {
        // (NumPy would panic.)
        None => Err(raised(Error::SizeOverflow { what })),
        Some(_) => Ok(PyArrayDyn::zeros(py, shape, false)),
    }
}

/// Values as an array of this shape.
pub fn array<'py>(py: Python<'py>, values: &[f32], shape: &[usize]) -> PyResult<NewFloats<'py>> {
    use numpy::PyArray1;
    PyArray1::from_slice(py, values).reshape(shape.to_vec())
}

/// The sequences of a call: B rows of T steps, which of them are real, and where states begin anew.
pub struct Sequences<'a> {
    pub batch: usize,
    pub steps: usize,
    lengths: Option<Vec<usize>>,
    mask: Option<Cow<'a, [bool]>>,
    resets: Option<Cow<'a, [bool]>>,
}

impl<'a> Sequences<'a> {
    /// Those of x.
    pub fn of(
        config: &Config,
        x: &Floats<'_>,
        lengths: Option<Vec<i64>>,
        mask: Option<&'a Flags<'_>>,
        resets: Option<&'a Flags<'_>>,
    ) -> PyResult<Self> {
        let batch_first = config.layout() == Layout::BatchFirst;
        let &[first, second, features] = x.shape() else {
            let axes = if batch_first { "3 axes (B, T, I)" } else { "3 axes (T, B, I)" };
            return Err(refused("x", axes, format!("{}", x.shape().len())));
        };
        if features != config.input_size() {
            return Err(refused("x", format!("{} features", config.input_size()), features));
        }
        let (batch, steps) = if batch_first { (first, second) } else { (second, first) };
        for (what, flags) in [("mask", mask), ("resets", resets)] {
            flags.map_or(Ok(()), |flags| check_shape(what, &[batch, steps], flags.shape()))?;
        }
        let (mask, resets) = (mask.map(values).transpose()?, resets.map(values).transpose()?);
        let length = |(row, length)| {
            let of_row = || format!("length of row {row}");
            usize::try_from(length).map_err(|_| refused(&of_row(), "at least 0 steps", length))
        };
        let lengths = lengths.map(|lengths| lengths.into_iter().enumerate().map(length).collect());
        Ok(Sequences { batch, steps, lengths: lengths.transpose()?, mask, resets })
    }

    /// For the crate.
    pub fn dims(&self) -> Dims<'_> {
        let mut dims = Dims::new(self.batch, self.steps);
        if let Some(lengths) = &self.lengths {
            dims = dims.with_lengths(lengths);
        }
        if let Some(mask) = &self.mask {
            dims = dims.with_mask(mask);
        }
        if let Some(resets) = &self.resets {
            dims = dims.with_resets(resets);
        }
        dims
    }

    /// The shape of what has this many values for each step of each row.
    pub fn shape(&self, config: &Config, width: usize) -> [usize; 3] {
        match config.layout() {
            Layout::TimeMajor => [self.steps, self.batch, width],
            _ => [self.batch, self.steps, width],
        }
    }

    /// Multiply-adds of a call, or more. (Masks and resets cut rows into stretches, which the crate may count
    /// as more work than they are.)
    pub fn work(&self, parameters: usize) -> usize {
        if self.mask.is_some() || self.resets.is_some() {
            return usize::MAX;
        }
        parameters.saturating_mul(self.batch).saturating_mul(self.steps)
    }
}
