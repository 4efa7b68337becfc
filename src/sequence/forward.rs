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
//!
//! **Projection.** Few rows are bound by reading weights and not by multiplying: a step of one row uses each
//! weight once. But only the recurrent product has to wait for the step before. So where rows are few the
//! input products of a chunk of steps are done first, as one product whose rows are the steps, which reads
//! the input weights once for the whole chunk; the walk then starts from these sums. The chain of operations
//! of each output is the same, and so are the bits.

use super::schedule::{over_range, over_weighted};
use crate::cell::{Cell, Forward, ForwardTile, Projected, ProjectionTile, Weights, with_cell};
use crate::error::{Error, reserve};
use crate::matrix::{AlignedBuf, Grid, GridMut, Part, Tile, sweep};
use crate::simd::Isa;
use std::marker::PhantomData;
use std::ops::Range;

/// Memory of a forward pass that is used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What a cell passes from its first phase to its second.
    scratch: AlignedBuf,
    /// Input products of a chunk of steps.
    projected: AlignedBuf,
    /// (step, rank) of the rows of that product.
    places: Vec<(usize, usize)>,
}

/// Rows up to which a step is bound by reading weights, so that projecting the input beforehand pays.
const FEW_ROWS: usize = 5;
/// Bytes of projected sums that a chunk may have: a quarter of a level-2 cache of 2 MiB. The input weights
/// pass through that cache once per chunk, so longer is better as long as the recurrent weights stay.
const CHUNK_BYTES: usize = 1 << 19;

/// The steps of a chunk to project beforehand, or `None` where that does not pay.
fn chunk_steps(weights: &Weights, batch: usize, steps: usize) -> Option<usize> {
    let record = weights.kind.traits().gates * weights.hidden.units() * 4;
    let chunk = (CHUNK_BYTES / (batch.max(1) * record)).clamp(1, steps.max(1));
    (batch <= FEW_ROWS && chunk > 1).then_some(chunk)
}

impl Memory {
    /// Makes room for a pass with these weights, for so many rows and steps.
    pub(crate) fn prepare(&mut self, weights: &Weights, batch: usize, steps: usize) -> Result<(), Error> {
        let (traits, hidden) = (weights.kind.traits(), weights.hidden.units());
        self.scratch.grow(Grid::padded(1, batch, traits.scratch, hidden)?.len())?;
        if let Some(chunk) = chunk_steps(weights, batch, steps) {
            self.projected.grow(Grid::padded(chunk, batch, traits.gates, hidden)?.len())?;
            reserve(&mut self.places, chunk * batch)?;
        }
        Ok(())
    }
}

/// Runs a forward pass on so many threads. The initial states lie in their slots; afterwards the final
/// ones do. `pass.scratch` and `pass.projected` are set here.
pub(crate) fn forward(pass: Forward<'_>, memory: &mut Memory, threads: usize) -> Result<(), Error> {
    let (rows, weights) = (pass.rows, pass.weights);
    let (batch, steps) = (rows.order.len(), rows.steps());
    let (traits, hidden) = (weights.kind.traits(), weights.hidden.units());
    memory.prepare(weights, batch, steps)?;
    let Memory { scratch, projected, places } = memory;
    let mut pass =
        Forward { scratch: GridMut::new(Grid::padded(1, batch, traits.scratch, hidden)?, scratch), ..pass };
    let Some(chunk) = chunk_steps(weights, batch, steps) else {
        return with_cell!(weights.kind, C => {
            over_weighted(&rows.lengths, threads, &|ranks| walk::<C>(&pass, 0..steps, ranks));
            Ok(())
        });
    };
    let sums = GridMut::new(Grid::padded(chunk, batch, traits.gates, hidden)?, projected);
    let chunks = steps.div_ceil(chunk);
    for n in 0..chunks {
        let n = if pass.reverse { chunks - 1 - n } else { n };
        let range = n * chunk..((n + 1) * chunk).min(steps);
        places.clear();
        for time in range.clone() {
            places.extend((0..rows.active(time)).map(|rank| (time, rank)));
        }
        let to = Projected { sums, first_time: range.start };
        pass.projected = None;
        with_cell!(weights.kind, C => {
            let work = Projection::<C> { pass: &pass, to, places, cell: PhantomData };
            over_range(0..places.len(), threads, &|share| {
                // SAFETY: the places are those of this thread alone.
                unsafe { sweep(weights.token, &work, share, 0..weights.input.blocks()) }
            });
            pass.projected = Some(to);
            over_weighted(&rows.lengths, threads, &|ranks| walk::<C>(&pass, range.clone(), ranks));
        });
    }
    Ok(())
}

/// Takes a range of rows through a range of steps.
fn walk<C: Cell>(pass: &Forward<'_>, steps: Range<usize>, ranks: Range<usize>) {
    let token = pass.weights.token;
    let blocks = 0..pass.weights.input.blocks();
    for n in 0..steps.len() {
        let time = if pass.reverse { steps.end - 1 - n } else { steps.start + n };
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

/// The input products of the steps of a chunk.
struct Projection<'a, C> {
    pass: &'a Forward<'a>,
    to: Projected<'a>,
    places: &'a [(usize, usize)],
    cell: PhantomData<C>,
}

impl<C: Cell> Tile for Projection<'_, C> {
    const ACCUMULATORS: usize = C::ACCUMULATORS[0];

    #[inline(always)]
    unsafe fn tile<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        place: usize,
        block: usize,
        part: Part,
    ) {
        let mut places = [(0, 0); R];
        places.copy_from_slice(&self.places[place..place + R]);
        // SAFETY: the caller's promise, passed on.
        let tile = unsafe { ProjectionTile::<I, R, U>::new(isa, self.pass, self.to, places, block, part) };
        C::project(&tile);
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
