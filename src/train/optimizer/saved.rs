//! Averages and numbers of steps as tensors, and back.
//!
//! What is loaded is checked as a whole before anything of the optimiser changes: names, shapes, and values
//! that a step could make NaN of.

use crate::Error;
use crate::format::{Tensor, Tensors};
use crate::train::refused;

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

/// The tensors of an optimiser, which are taken out one after the other.
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
            Some(average) => Err(refused(name, "finite averages", average.to_string())),
            None => Ok(averages),
        }
    }

    /// Averages of squares: none is below zero, of which there is no root.
    pub(super) fn squares(&mut self, name: &str, count: usize) -> Result<Vec<f32>, Error> {
        let squares = self.averages(name, count)?;
        match squares.iter().find(|&&square| square < 0.0) {
            Some(square) => Err(refused(name, "averages of at least 0", square.to_string())),
            None => Ok(squares),
        }
    }

    /// The number of steps.
    pub(super) fn steps(&mut self) -> Result<u32, Error> {
        let values = self.tensors.take(STEP, &[])?;
        let steps = values.first().copied().unwrap_or(f32::NAN);
        match (0.0..=MAX_STEPS as f32).contains(&steps) && steps.fract() == 0.0 {
            true => Ok(steps as u32),
            false => Err(refused(STEP, format!("a whole number from 0 to {MAX_STEPS}"), steps.to_string())),
        }
    }

    /// Whether nothing is left.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.tensors.finish()
    }
}
