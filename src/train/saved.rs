//! What training keeps from step to step, as tensors, and back: averages of optimisers, numbers of steps, the
//! best value so far.
//!
//! Averages are tensors of f32. A number of steps of an optimiser is PyTorch's `step`, an f32; all other counts
//! are integers of 64 bits. An f64 is stored as an integer, its bits: as a float, a file's reader would round
//! it to an f32.
//!
//! What is loaded is checked as a whole before anything of the optimiser changes: names, shapes, and values
//! that a step could make NaN of.

use super::refused;
use crate::Error;
use crate::format::{DType, RawTensor, Tensor, Tensors};

/// The most steps that are counted: PyTorch's `step` is an f32, which counts no further either. With a beta
/// of 0.999999 its power is 5e-8 by then.
pub(super) const MAX_STEPS: u32 = 1 << 24;
const STEP: &str = "step";

/// Adds averages under this name.
pub(super) fn insert(tensors: &mut Tensors, name: &str, values: &[f32]) -> Result<(), Error> {
    tensors.insert(name, Tensor::new(&[values.len()], values.to_vec())?);
    Ok(())
}

/// Adds the number of steps.
pub(super) fn insert_steps(tensors: &mut Tensors, steps: u32) -> Result<(), Error> {
    tensors.insert(STEP, Tensor::new(&[], vec![steps as f32])?);
    Ok(())
}

/// Adds an integer.
pub(super) fn insert_integer(tensors: &mut Tensors, name: &str, value: i64) -> Result<(), Error> {
    tensors.insert_raw(name, RawTensor::new(DType::I64, &[], value.to_le_bytes().to_vec())?);
    Ok(())
}

/// Adds a count.
pub(super) fn insert_count(tensors: &mut Tensors, name: &str, count: u64) -> Result<(), Error> {
    insert_integer(tensors, name, i64::try_from(count).unwrap_or(i64::MAX))
}

/// Adds an f64, by its bits.
pub(super) fn insert_double(tensors: &mut Tensors, name: &str, value: f64) -> Result<(), Error> {
    insert_integer(tensors, name, value.to_bits().cast_signed())
}

/// Saved tensors, which are taken out one after the other.
pub(super) struct Saved {
    tensors: Tensors,
}

impl Saved {
    pub(super) fn new(tensors: Tensors) -> Saved {
        Saved { tensors }
    }

    /// Averages of any sign.
    pub(super) fn averages(&mut self, name: &str, count: usize) -> Result<Vec<f32>, Error> {
        let averages = self.tensors.take(name, &[count])?;
        match averages.iter().find(|average| !average.is_finite()) {
            Some(average) => Err(refused(name, "finite averages", average)),
            None => Ok(averages),
        }
    }

    /// Averages of squares: none is below zero, of which there is no root.
    pub(super) fn squares(&mut self, name: &str, count: usize) -> Result<Vec<f32>, Error> {
        let squares = self.averages(name, count)?;
        match squares.iter().find(|&&square| square < 0.0) {
            Some(square) => Err(refused(name, "averages of at least 0", square)),
            None => Ok(squares),
        }
    }

    /// The number of steps.
    pub(super) fn steps(&mut self) -> Result<u32, Error> {
        let values = self.tensors.take(STEP, &[])?;
        let steps = values.first().copied().unwrap_or(f32::NAN);
        match (0.0..=MAX_STEPS as f32).contains(&steps) && steps.fract() == 0.0 {
            true => Ok(steps as u32),
            false => Err(refused(STEP, format_args!("a whole number from 0 to {MAX_STEPS}"), steps)),
        }
    }

    /// An integer.
    pub(super) fn integer(&mut self, name: &str) -> Result<i64, Error> {
        let raw = self.tensors.remove_raw(name);
        let one = |raw: &RawTensor| match raw.integers()?[..] {
            [value] if raw.dtype() == DType::I64 && raw.shape().is_empty() => Some(value),
            _ => None,
        };
        match raw.as_ref().and_then(one) {
            Some(value) => Ok(value),
            None => {
                let got = raw.map_or("none".to_owned(), |raw| format!("{raw:?}"));
                Err(refused(name, "an integer of 64 bits", got))
            }
        }
    }

    /// A count.
    pub(super) fn count(&mut self, name: &str) -> Result<u64, Error> {
        let count = self.integer(name)?;
        u64::try_from(count).map_err(|_| refused(name, "a number from 0", count))
    }

    /// The best of some values, which is infinite where there was none.
    pub(super) fn best(&mut self, name: &str) -> Result<f64, Error> {
        let value = f64::from_bits(self.integer(name)?.cast_unsigned());
        if value.is_nan() { Err(refused(name, "the bits of a number", value)) } else { Ok(value) }
    }

    /// Whether nothing is left.
    pub(super) fn finish(self) -> Result<(), Error> {
        if let Some((name, _)) = self.tensors.others().next() {
            return Err(refused("tensors", "none that has no place here", name.to_owned()));
        }
        self.tensors.finish()
    }
}
