//! The walk over time.
//!
//! ```text
//! for each step            in the order of the direction
//!   for each phase         1, or 2 where a cell needs all units of a row in between
//!     for each block       of hidden units: its weights come in once ...
//!       for each tile      ... and serve all rows that still run
//! ```
//!
//! A thread takes a range of rows through all of this and meets nobody.

use super::schedule::over_weighted;
use crate::cell::{Cell, Forward, ForwardTile, with_cell};
use crate::matrix::{Part, Tile, sweep};
use crate::simd::Isa;
use std::marker::PhantomData;
use std::ops::Range;

/// Runs a forward pass on so many threads. The initial states lie in their slots; afterwards the final
/// ones do.
pub(crate) fn forward(pass: &Forward<'_>, threads: usize) {
    over_weighted(&pass.rows.lengths, threads, &|ranks| {
        with_cell!(pass.weights.kind, C => walk::<C>(pass, ranks));
    });
}

/// Takes a range of rows through time.
fn walk<C: Cell>(pass: &Forward<'_>, ranks: Range<usize>) {
    let token = pass.weights.token;
    let blocks = 0..pass.weights.input.blocks();
    let steps = pass.rows.steps();
    for n in 0..steps {
        let time = if pass.reverse { steps - 1 - n } else { n };
        let active = ranks.start..pass.rows.active(time).clamp(ranks.start, ranks.end);
        // SAFETY: the rows are those of this thread alone, and the steps run in order; a phase is done in
        // all blocks before the next begins.
        unsafe {
            let first = Phase::<C, 0> { pass, time, cell: PhantomData };
            sweep(token, &first, active.clone(), blocks.clone());
            if C::SECOND_PHASE {
                let second = Phase::<C, 1> { pass, time, cell: PhantomData };
                sweep(token, &second, active, blocks.clone());
            }
        }
    }
}

/// One phase of one step.
struct Phase<'a, C, const PHASE: usize> {
    pass: &'a Forward<'a>,
    time: usize,
    cell: PhantomData<C>,
}

impl<C: Cell, const PHASE: usize> Tile for Phase<'_, C, PHASE> {
    const ACCUMULATORS: usize = C::ACCUMULATORS[PHASE];

    #[inline(always)]
    unsafe fn tile<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        rank: usize,
        block: usize,
        part: Part,
    ) {
        // SAFETY: the caller's promise, passed on.
        let tile = unsafe { ForwardTile::<I, R, U>::new(isa, self.pass, self.time, rank, block, part) };
        C::forward::<I, PHASE, R, U>(&tile);
    }
}
