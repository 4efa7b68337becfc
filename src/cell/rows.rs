//! The rows of a batch, longest first.
//!
//! Rows are kept by falling length: `order[rank]` is the place of the row in the caller's arrays. So the rows
//! that still run at step t are always the first ones, and lie next to each other in states, tapes and
//! gradients.

use crate::error::{Error, reserve};
use std::cmp::Reverse;

/// The order and the lengths of the rows of a batch.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rows {
    /// The row of each rank.
    pub(crate) order: Vec<usize>,
    /// The length of each rank, falling.
    pub(crate) lengths: Vec<usize>,
}

impl Rows {
    /// Orders rows by falling length, those of equal length as they come. Allocates only where the batch
    /// is larger than any before it.
    pub(crate) fn set(&mut self, batch: usize, steps: usize, lengths: Option<&[usize]>) -> Result<(), Error> {
        reserve(&mut self.order, batch)?;
        reserve(&mut self.lengths, batch)?;
        self.order.extend(0..batch);
        if let Some(lengths) = lengths {
            self.order.sort_unstable_by_key(|&row| (Reverse(lengths[row]), row));
        }
        self.lengths.extend(self.order.iter().map(|&row| lengths.map_or(steps, |lengths| lengths[row])));
        Ok(())
    }

    /// How many rows run at step `time`: those with a greater length, the first ones.
    #[inline(always)]
    pub(crate) fn active(&self, time: usize) -> usize {
        self.lengths.partition_point(|&length| length > time)
    }

    /// The greatest length.
    pub(crate) fn steps(&self) -> usize {
        self.lengths.first().copied().unwrap_or(0)
    }
}
