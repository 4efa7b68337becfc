//! Inputs with tiny values: copies of some steps at a time, in which those values are zero.
//!
//! Products read the sequence where the caller has it. The sequence is searched first, which takes less than
//! a hundredth of the time of its steps. Only if a value is too small to matter (`simd/flush.rs`) are steps
//! copied, as many at a time as stay in a near cache.
//!
//! ```text
//! inputs    [step of the chunk][rank][input]
//! ```

use super::pass::{Flushed, Forward};
use crate::error::{Error, checked_size};
use crate::memory::{AlignedBuf, Grid, GridMut};
use crate::simd::{Token, copy_flushed, has_tiny};
use std::ops::Range;

/// Floats of the steps that are copied together, or those of one step where that has more.
const FLOATS: usize = 8 << 10;

/// The steps that are copied together: one at least.
pub(super) fn steps_together(forward: &Forward<'_>, active: usize) -> usize {
    (FLOATS / (active * forward.pass.weights().inputs()).max(1)).max(1)
}

/// The most floats that the copies of a pass take, over `steps` steps of `batch` rows.
pub(super) fn most_floats(inputs: usize, batch: usize, steps: usize) -> Result<usize, Error> {
    let step = checked_size("x", &[batch, inputs])?;
    Ok(step.saturating_mul(steps).min(step.max(FLOATS)))
}

/// The input of a rank at a step.
///
/// # Safety
/// - The step exists in that row, and nobody writes its input in the lifetime.
#[inline(always)]
unsafe fn row<'a>(forward: &Forward<'a>, step: usize, rank: usize) -> &'a [f32] {
    let rows = forward.pass.rows;
    let at = forward.input.address(rows.time(step, rank), rows.order[rank], 0, 0);
    // SAFETY: the caller's promise; a plane of the grid has as many floats.
    unsafe { std::slice::from_raw_parts(at, forward.input.grid.width()) }
}

/// Whether some steps of the caller's sequence have a tiny value.
///
/// # Safety
/// - The input has these steps, and nobody writes them.
pub(super) unsafe fn are_tiny(forward: &Forward<'_>, steps: &Range<usize>) -> bool {
    if !forward.may_be_tiny {
        return false;
    }
    let (rows, token) = (forward.pass.rows, forward.pass.weights().token);
    if rows.as_they_come() && forward.input.grid.is_dense() {
        // SAFETY: all of these steps exist; the caller's promise.
        return unsafe { forward.input.stretches(steps.clone()) }.any(|floats| has_tiny(token, floats));
    }
    let places = (steps.clone()).flat_map(|step| (0..rows.active(step)).map(move |rank| (step, rank)));
    // SAFETY: the step exists in active rows; the caller's promise.
    places.map(|(step, rank)| unsafe { row(forward, step, rank) }).any(|floats| has_tiny(token, floats))
}

/// Copies the input of some steps, of which there is room for.
///
/// # Safety
/// - The input has these steps, and nobody writes them.
pub(super) unsafe fn copy<'a>(
    forward: &Forward<'_>,
    steps: &Range<usize>,
    to: &'a mut AlignedBuf,
) -> Result<Flushed<'a>, Error> {
    let rows = forward.pass.rows;
    let (width, active) = (forward.input.grid.width(), rows.active(steps.start));
    let grid = Grid::slot_major(steps.len(), active, 1, width)?;
    for (n, step) in steps.clone().enumerate() {
        for rank in 0..rows.active(step) {
            let to = &mut to[grid.offset(n, rank, 0)..][..width];
            // SAFETY: the step exists in active rows; the caller's promise.
            copy_flushed(unsafe { row(forward, step, rank) }, to);
        }
    }
    Ok(Flushed { inputs: GridMut::new(grid, to), first_step: steps.start })
}

/// The input of a single step: as it is, or where it has tiny values a copy in `to`, which has room for it.
#[inline]
pub(crate) fn flushed_step<'a>(token: Token, x: &'a [f32], to: &'a mut [f32]) -> &'a [f32] {
    if !has_tiny(token, x) {
        return x;
    }
    let to = &mut to[..x.len()];
    copy_flushed(x, to);
    to
}
