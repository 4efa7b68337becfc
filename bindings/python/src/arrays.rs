//! NumPy arrays in and out. Arrays are float32, row-major and without gaps; the Python side sees to that, and
//! what comes here otherwise is an error.

use crate::errors::{raised, refused};
use fused_rnn::{Config, Dims, Error, Layout};
use numpy::{PyArrayDyn, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

pub type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;
pub type FloatsMut<'py> = PyReadwriteArrayDyn<'py, f32>;
/// A new array.
pub type NewFloats<'py> = Bound<'py, PyArrayDyn<f32>>;
pub type Flags<'py> = PyReadonlyArray2<'py, bool>;

/// The values of an array.
pub fn values<'a, T: numpy::Element>(what: &str, array: &'a PyReadonlyArrayDyn<'_, T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| refused(what, "a C-contiguous array", "another"))
}

/// The values of an array, to write.
pub fn values_mut<'a>(what: &str, array: &'a mut FloatsMut<'_>) -> PyResult<&'a mut [f32]> {
    array.as_slice_mut().map_err(|_| refused(what, "a C-contiguous array", "another"))
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
    use numpy::{PyArray1, PyArrayMethods};
    PyArray1::from_slice(py, values).reshape(shape.to_vec())
}

/// The sequences of a call: B rows of T steps, which of them are real, and where states begin anew.
pub struct Sequences<'py> {
    pub batch: usize,
    pub steps: usize,
    lengths: Option<Vec<usize>>,
    mask: Option<Flags<'py>>,
    resets: Option<Flags<'py>>,
}

impl<'py> Sequences<'py> {
    /// Those of x.
    pub fn of(
        config: &Config,
        x: &Floats<'py>,
        lengths: Option<Vec<i64>>,
        mask: Option<Flags<'py>>,
        resets: Option<Flags<'py>>,
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
        for (what, flags) in [("mask", &mask), ("resets", &resets)] {
            if let Some(flags) = flags {
                check_shape(what, &[batch, steps], flags.shape())?;
                flags.as_slice().map_err(|_| refused(what, "a C-contiguous array", "another"))?;
            }
        }
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
        if let Some(mask) = self.mask.as_ref().and_then(|mask| mask.as_slice().ok()) {
            dims = dims.with_mask(mask);
        }
        if let Some(resets) = self.resets.as_ref().and_then(|resets| resets.as_slice().ok()) {
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
