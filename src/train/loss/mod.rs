//! Losses, each with its gradient in the same pass, and accuracy.
//!
//! | loss | of | as in PyTorch |
//! | --- | --- | --- |
//! | [`CrossEntropy`] | logits and labels, or probabilities | `cross_entropy` |
//! | [`BinaryCrossEntropy`] | logits and 0 or 1, or what is between | `binary_cross_entropy_with_logits` |
//! | [`Regression`] | values: squared, absolute, Huber | `mse_loss`, `l1_loss`, `huber_loss` |
//! | [`Ctc`](super::Ctc) | logits at each step and labels without times | `ctc_loss` |
//!
//! [`softmax_cross_entropy`], [`softmax_cross_entropy_soft`] and [`mean_squared_error`] are the first and the
//! third without options.
//!
//! **Rows that do not count.** Sequences with lengths are padded, and padding must not be learned: a **mask**
//! (`true` counts; [`real_steps`](super::pad::real_steps) and [`step_mask`](super::pad::step_mask) make it of
//! lengths) or, for labels, a value to be **ignored**. A row that does not count adds nothing to the loss,
//! nor to the number that a mean divides by. Its gradient is zero, and its logits, labels and targets are
//! never read, even if they are NaN. Without a mask or such a value, every row counts.
//!
//! **Reduction.** A [`Reduction::Mean`] is over the rows that count: in a batch of padded sequences over the
//! real steps, each with the same weight. The mean over no rows is 0, with a gradient of 0.
//!
//! Values and gradients are `f32`, sums over a row or a batch `f64`. NaN and infinities reach the loss.

mod accuracy;
mod binary;
mod regression;
mod softmax;

pub use accuracy::{accuracy, binary_accuracy, softmax};
pub use binary::BinaryCrossEntropy;
pub use regression::{Regression, mean_squared_error};
pub(super) use softmax::maximum;
pub use softmax::{CrossEntropy, softmax_cross_entropy, softmax_cross_entropy_soft};

use crate::Error;
use crate::error::check_len;

/// How the losses of a batch become one number.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// The mean of the losses over the rows that count.
    #[default]
    Mean,
    /// The sum of the losses over the rows that count: for gradients that are added up over several batches
    /// and then divided.
    Sum,
}

impl Reduction {
    /// The loss of a sum over what counts, where a mean divides by `weight`. (Not by
    /// [`scale`](Self::scale): a mean of whole numbers is to be exact.)
    fn of(self, sum: f64, weight: f64) -> f64 {
        match self {
            Reduction::Sum => sum,
            Reduction::Mean if weight == 0.0 => 0.0,
            Reduction::Mean => sum / weight,
        }
    }

    /// What gradients are multiplied by, where a mean divides by `weight`.
    fn scale(self, weight: f64) -> f64 {
        match self {
            Reduction::Sum => 1.0,
            Reduction::Mean if weight == 0.0 => 0.0,
            Reduction::Mean => 1.0 / weight,
        }
    }
}

/// Whether the row counts.
#[inline(always)]
fn counts(mask: Option<&[bool]>, row: usize) -> bool {
    mask.is_none_or(|mask| mask[row])
}

/// How many of the rows count.
fn count(mask: Option<&[bool]>, rows: usize) -> usize {
    mask.map_or(rows, |mask| mask.iter().filter(|&&real| real).count())
}

/// Row `row` of a gradient, where one is asked for.
fn row_of<'a>(gradient: &'a mut Option<&mut [f32]>, row: usize, width: usize) -> Option<&'a mut [f32]> {
    gradient.as_deref_mut().map(|gradient| &mut gradient[row * width..][..width])
}

/// The number of rows of `width` values; the values must be a whole number of them.
fn rows(what: &'static str, len: usize, classes: usize) -> Result<usize, Error> {
    if classes == 0 {
        return Err(Error::ZeroSize { what: "classes" });
    }
    let rows = len / classes;
    check_len(what, rows * classes, len)?;
    Ok(rows)
}

/// The width of the rows of a mask; the values must be a whole number of rows. (Rows without values may have
/// any, and it divides: 1.)
fn width(what: &'static str, len: usize, mask: Option<&[bool]>) -> Result<usize, Error> {
    match mask {
        None => Ok(1),
        Some([]) => check_len(what, 0, len).map(|()| 1),
        Some(mask) => check_len(what, len / mask.len() * mask.len(), len).map(|()| (len / mask.len()).max(1)),
    }
}

fn check_mask(rows: usize, mask: Option<&[bool]>) -> Result<(), Error> {
    mask.map_or(Ok(()), |mask| check_len("mask", rows, mask.len()))
}

fn check_gradient(what: &'static str, values: &[f32], gradient: &Option<&mut [f32]>) -> Result<(), Error> {
    gradient.as_ref().map_or(Ok(()), |gradient| check_len(what, values.len(), gradient.len()))
}

fn check_smoothing(smoothing: f64) -> Result<(), Error> {
    match (0.0..=1.0).contains(&smoothing) {
        true => Ok(()),
        false => {
            Err(Error::OutOfRange { what: "label_smoothing", expected: "a number in [0, 1]", got: smoothing })
        }
    }
}

fn check_weights(what: &'static str, weights: &[f32]) -> Result<(), Error> {
    match weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
        None => Ok(()),
        Some(&got) => {
            Err(Error::OutOfRange { what, expected: "finite numbers of at least 0", got: got.into() })
        }
    }
}
