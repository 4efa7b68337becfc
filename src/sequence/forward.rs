//! The walk over time.
//!
//! ```text
//! for each step            in the order of the direction
//!   for each phase         1, or more where a cell needs all units of a row in between
//!     for each block       of hidden units: its weights come in once ...
//!       for each tile      ... and serve all rows that still run          (products.rs)
//! ```
//!
//! Threads share the rows, or the blocks of each phase; see `threads/schedule.rs`.
//!
//! **Pieces.** If rows differ in length, fewer and fewer of them run. What suits many rows does not suit few.
//! So time is cut into pieces in which the number of running rows changes little. For each piece it is
//! decided anew how threads share it, and whether its input products are done beforehand (`input.rs`).

use super::converted;
use super::flushed;
use super::input::{MAX_ROWS, chunk_steps, multiply_inputs};
use super::pass::{Checkpoints, Forward, Projected};
use super::products::PhaseProducts;
use super::rows::Rows;
use super::single::{SingleRow, is_finished_once};
use super::threads::{Load, MAX_SHARES, Schedule, Share, Split, Walk, go, step_and_phase, take_steps};
use super::zigzag::zigzag;
use crate::cell::{MAX_PHASES, Weights};
use crate::error::{Error, reserve};
use crate::memory::{AlignedBuf, Grid, GridMut};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Memory of a forward pass that is used again by the next.
#[derive(Debug, Default)]
pub(crate) struct ForwardMemory {
    /// What a cell passes from its first phase to later ones.
    pub(crate) scratch: AlignedBuf,
    /// Input products of a chunk of steps.
    projected: AlignedBuf,
    /// (step, rank) of the rows of that product.
    places: Vec<(usize, usize)>,
    /// Converted rows of a step, and converted inputs of such a chunk.
    pub(crate) converted: AlignedBuf,
    converted_inputs: AlignedBuf,
    /// Copies of inputs with tiny values.
    pub(crate) flushed: AlignedBuf,
}

/// The multiply-adds that a piece has at least: some 100 microseconds of work. A synchronisation takes a few.
const WORTH_A_PIECE: usize = 8 << 20;

impl ForwardMemory {
    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let places = self.places.capacity() * size_of::<(usize, usize)>();
        let buffers =
            [&self.scratch, &self.projected, &self.flushed, &self.converted, &self.converted_inputs];
        buffers.map(|buffer| size_of_val(&buffer[..])).iter().sum::<usize>() + places
    }

    /// Makes room for passes with these weights on `threads` threads, over at most `steps` steps of `batch`
    /// rows, whatever the lengths of the rows are.
    pub(crate) fn prepare(
        &mut self,
        weights: &Weights,
        batch: usize,
        steps: usize,
        threads: usize,
    ) -> Result<(), Error> {
        let (shape, units) = (weights.shape(), weights.units());
        self.converted.grow(
            converted::grid(std::slice::from_ref(weights), batch, threads.clamp(1, MAX_SHARES))?.len(),
        )?;
        self.scratch.grow(Grid::padded(1, batch, shape.scratch, units)?.len())?;
        self.flushed.grow(flushed::most_floats(weights.inputs(), batch, steps)?)?;
        // A piece may have any number of rows. (Even if all rows have one length now, those of the next call
        // may differ.)
        for rows in 1..=batch.min(MAX_ROWS) {
            if let Some(chunk) = chunk_steps(weights, rows, steps) {
                self.projected.grow(Grid::padded(chunk, rows, shape.input.len(), units)?.len())?;
                self.converted_inputs.grow(converted::grid_of_inputs(weights, chunk * rows)?.len())?;
                reserve(&mut self.places, chunk * rows)?;
            }
        }
        Ok(())
    }
}

/// Takes the next piece of a pass from `rest`. The piece ends where fewer than three quarters of its rows
/// still run, but not before its steps, of `per_row` multiply-adds a row each, are worth a synchronisation of
/// threads.
fn next_piece(rows: &Rows, per_row: usize, rest: &mut Range<usize>, reverse: bool) -> Range<usize> {
    let (first, last) = (rest.start, rest.end - 1);
    let mut steps = rest.len();
    if rows.active(first) != rows.active(last) {
        let nth = |n: usize| rows.active(if reverse { last - n } else { first + n });
        let mut work = 0;
        steps = 0;
        while steps < rest.len() {
            let (many, few) = (nth(0).max(nth(steps)), nth(0).min(nth(steps)));
            if 4 * few < 3 * many && work > WORTH_A_PIECE {
                break;
            }
            work = nth(steps).saturating_mul(per_row).saturating_add(work);
            steps += 1;
        }
    }
    take_steps(rest, steps, reverse)
}

/// The work of a step of this pass.
pub(crate) fn load(weights: &Weights, batch: usize, steps: usize) -> Load {
    let ahead = chunk_steps(weights, batch, steps).is_some();
    let of_input = |size: usize| if ahead { 0 } else { size };
    Load {
        rows: batch,
        weights: weights.recurrent_multiply_adds() + of_input(weights.input_multiply_adds()),
        bytes: weights.recurrent_bytes() + of_input(weights.input_bytes()),
        blocks: weights.blocks_of(weights.units()),
        phases: weights.shape().forward.len(),
        converts_rows: weights.convert_rows.is_some(),
        rate: weights.table.rate,
    }
}

/// Runs a forward pass over some of its steps, and keeps checkpoints on the way where there are to be any.
/// The initial states lie in their slots; afterwards the final ones do. `forward.flushed`,
/// `forward.scratch`, `forward.converted`, `forward.projected` and `forward.down` are set here.
///
/// # Safety
/// - As `forward` says: input and output have the steps, rows and columns of the pass, and states, tape and
///   checkpoints the records of these steps, with the planes of its cell.
/// - Nobody else works on what is written, nor writes what is read.
pub(crate) unsafe fn forward(
    forward: Forward<'_>,
    memory: &mut ForwardMemory,
    steps: Range<usize>,
    threads: (Schedule, usize),
) -> Result<(), Error> {
    let Some(Checkpoints { every, states }) = forward.checkpoints else {
        // SAFETY: the caller's promise, passed on.
        return unsafe { run(forward, memory, steps, threads) };
    };
    // Pieces that end at multiples of `every`.
    let mut rest = steps;
    while !rest.is_empty() {
        let piece = if forward.pass.reverse {
            (rest.end - 1) / every * every..rest.end
        } else {
            rest.start..(rest.start / every + 1).saturating_mul(every)
        };
        let piece = piece.start.max(rest.start)..piece.end.min(rest.end);
        // SAFETY: as above.
        unsafe { run(forward, memory, piece.clone(), threads)? };
        let place = if forward.pass.reverse { piece.start } else { piece.end };
        if place > 0 && place % every == 0 {
            for rank in 0..forward.pass.rows.active(place) {
                // SAFETY: both records exist, and nobody works on either.
                unsafe {
                    states.record(place / every, rank).copy_from_slice(forward.states.record(place, rank))
                };
            }
        }
        rest = if forward.pass.reverse { rest.start..piece.start } else { piece.end..rest.end };
    }
    Ok(())
}

/// The first step of a pass, of all its rows, on this thread.
///
/// # Safety
/// - There is at least one row, and `forward.scratch` has a record for each, and so has `forward.converted`,
///   which is there where rows are converted.
/// - As for [`forward`](fn@forward).
#[inline]
pub(crate) unsafe fn step(forward: &Forward<'_>) {
    for phase in 0..forward.pass.weights().shape().forward.len() {
        let rows = 0..forward.pass.rows.order.len();
        let mut products = MaybeUninit::uninit();
        // SAFETY: the caller's promise; the phases run in order.
        unsafe { PhaseProducts::make(&mut products, forward, 0, phase, Share::ALL).sweep(rows) };
    }
}

/// Runs some steps of a pass, piece by piece.
///
/// # Safety
/// - As for [`forward`](fn@forward).
unsafe fn run(
    forward: Forward<'_>,
    memory: &mut ForwardMemory,
    steps: Range<usize>,
    (schedule, threads): (Schedule, usize),
) -> Result<(), Error> {
    let (rows, weights) = (forward.pass.rows, forward.pass.weights());
    memory.prepare(weights, rows.order.len(), steps.len(), threads)?;
    let per_row = weights.recurrent_multiply_adds() + weights.input_multiply_adds();
    // SAFETY: the caller's promise.
    let are_tiny = unsafe { flushed::are_tiny(&forward, &steps) };
    let mut rest = steps;
    while !rest.is_empty() {
        let piece = next_piece(rows, per_row, &mut rest, forward.pass.reverse);
        // The number of active rows falls, so this is the most.
        let active = rows.active(piece.start);
        let (split, _) = load(weights, active, piece.len()).split(schedule, threads);
        if are_tiny {
            let together = flushed::steps_together(&forward, active);
            // SAFETY: the caller's promise, passed on.
            unsafe { run_flushed(forward, memory, piece, together, split)? };
        } else {
            // SAFETY: as above.
            unsafe { run_piece(forward, memory, piece, split)? };
        }
    }
    Ok(())
}

/// Runs some steps of a pass that are shared alike, on flushed copies of their inputs, `together` steps at a
/// time.
///
/// # Safety
/// - As for [`forward`](fn@forward).
unsafe fn run_flushed(
    forward: Forward<'_>,
    memory: &mut ForwardMemory,
    mut steps: Range<usize>,
    together: usize,
    split: Split,
) -> Result<(), Error> {
    let mut inputs = std::mem::take(&mut memory.flushed);
    let mut result = Ok(());
    while !steps.is_empty() && result.is_ok() {
        let count = together.min(steps.len());
        let part = take_steps(&mut steps, count, forward.pass.reverse);
        // SAFETY: the caller's promise, passed on.
        result = unsafe {
            flushed::copy(&forward, &part, &mut inputs).and_then(|copies| {
                run_piece(Forward { flushed: Some(copies), ..forward }, memory, part, split)
            })
        };
    }
    memory.flushed = inputs;
    result
}

/// Runs some steps of a pass that are shared alike.
///
/// # Safety
/// - As for [`forward`](fn@forward).
unsafe fn run_piece(
    forward: Forward<'_>,
    memory: &mut ForwardMemory,
    steps: Range<usize>,
    split: Split,
) -> Result<(), Error> {
    let (rows, weights) = (forward.pass.rows, forward.pass.weights());
    let (batch, active) = (rows.order.len(), rows.active(steps.start));
    let (shape, units) = (weights.shape(), weights.units());
    let ForwardMemory { scratch, projected, places, converted, converted_inputs, .. } = memory;
    let chunk = chunk_steps(weights, active, steps.len());
    let shares = if let Split::Units { shares, .. } = split { shares } else { 1 };
    let converted = GridMut::new(converted::grid(std::slice::from_ref(weights), batch, shares)?, converted);
    let mut forward = Forward {
        scratch: GridMut::new(Grid::padded(1, batch, shape.scratch, units)?, scratch),
        converted: weights.convert_rows.map(|_| &converted),
        down: zigzag(weights, chunk.is_none()).then_some(false),
        ..forward
    };
    let Some(chunk) = chunk else {
        // SAFETY: the caller's promise, passed on.
        unsafe { go(&Steps { forward: &forward, range: steps.clone() }, &rows.lengths, &steps, split) };
        return Ok(());
    };
    let sums = GridMut::new(Grid::padded(chunk, active, shape.input.len(), units)?, projected);
    let inputs = GridMut::new(converted::grid_of_inputs(weights, chunk * active)?, converted_inputs);
    let chunks = steps.len().div_ceil(chunk);
    for n in 0..chunks {
        let n = if forward.pass.reverse { chunks - 1 - n } else { n };
        let range = steps.start + n * chunk..(steps.start + (n + 1) * chunk).min(steps.end);
        places.clear();
        for step in range.clone() {
            match rows.active(step) {
                1 => places.push((step, 0)),
                active => places.extend((0..active).map(|rank| (step, rank))),
            }
        }
        let to = Projected { sums, first_step: range.start };
        forward.projected = None;
        // SAFETY: the caller's promise, passed on; the sums have a record of each place.
        unsafe { multiply_inputs(&forward, (to, inputs), places, split) };
        forward.projected = Some(to);
        // SAFETY: as above, and the sums are of these steps.
        unsafe { go(&Steps { forward: &forward, range: range.clone() }, &rows.lengths, &range, split) };
    }
    Ok(())
}

/// The steps of a range, in the order of the direction; a stage is a phase of a step.
struct Steps<'a> {
    forward: &'a Forward<'a>,
    range: Range<usize>,
}

impl Steps<'_> {
    /// The n-th step, and the rows of these ranks that have it.
    #[inline(always)]
    fn nth(&self, n: usize, ranks: &Range<usize>) -> (usize, Range<usize>) {
        let pass = &self.forward.pass;
        let step = if pass.reverse { self.range.end - 1 - n } else { self.range.start + n };
        (step, ranks.start..pass.rows.active(step).clamp(ranks.start, ranks.end))
    }

    fn phases(&self) -> usize {
        self.forward.pass.weights().shape().forward.len()
    }

    /// All stages of one row that [is finished once](is_finished_once) in each.
    ///
    /// # Safety
    /// - As for [`stages_of`](Walk::stages_of).
    unsafe fn stages_of_one(&self, row: Range<usize>) {
        let mut phases = [const { MaybeUninit::<PhaseProducts<'_>>::uninit() }; MAX_PHASES];
        let mut singles = [const { MaybeUninit::<SingleRow<'_, '_>>::uninit() }; MAX_PHASES];
        let singles = &mut singles[..self.phases()];
        let mut steps = (0..self.range.len()).map(|n| self.nth(n, &row)).filter(|(_, row)| !row.is_empty());
        let Some((mut step, _)) = steps.next() else { return };
        for (phase, (products, single)) in phases.iter_mut().zip(&mut *singles).enumerate() {
            // SAFETY: the row has the step.
            let products = unsafe { PhaseProducts::make(products, self.forward, step, phase, Share::ALL) };
            SingleRow::make(single, products, row.start);
        }
        loop {
            for single in &mut *singles {
                // SAFETY: each was made. A row of this thread alone, by the caller's promise; and by it,
                // steps run in order.
                unsafe { single.assume_init_mut().run(step) };
            }
            match steps.next() {
                Some((next, _)) => step = next,
                None => return,
            }
        }
    }
}

impl Walk for Steps<'_> {
    fn stages(&self) -> usize {
        self.range.len() * self.phases()
    }

    unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share) {
        let (n, phase) = step_and_phase(stage, self.phases());
        let (step, active) = self.nth(n, &ranks);
        if active.is_empty() {
            return;
        }
        let mut products = MaybeUninit::uninit();
        // SAFETY: rows and blocks of this thread alone, by the caller's promise; and by it, steps run in
        // order and a phase is done in all blocks before the next begins.
        unsafe { PhaseProducts::make(&mut products, self.forward, step, phase, share).sweep(active) };
    }

    /// (Each phase is made ready once, and goes from step to step.)
    unsafe fn stages_of(&self, ranks: Range<usize>) {
        // (The most rows have the first step in time.)
        let (_, most) = self.nth(if self.forward.pass.reverse { self.range.len() - 1 } else { 0 }, &ranks);
        if most.len() == 1 && is_finished_once(self.forward.pass.weights()) {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.stages_of_one(ranks) };
        }
        let mut phases = [const { MaybeUninit::<PhaseProducts<'_>>::uninit() }; MAX_PHASES];
        let (count, mut are_ready) = (self.phases(), false);
        for n in 0..self.range.len() {
            let (step, active) = self.nth(n, &ranks);
            if active.is_empty() {
                continue;
            }
            for (phase, products) in phases[..count].iter_mut().enumerate() {
                // SAFETY: as for a stage; where all phases are ready, they are set.
                unsafe {
                    let products = if are_ready {
                        let products = products.assume_init_mut();
                        products.go_to(step);
                        products
                    } else {
                        PhaseProducts::make(products, self.forward, step, phase, Share::ALL)
                    };
                    products.sweep(active.clone());
                }
            }
            are_ready = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Pattern;
    use super::*;

    #[test]
    fn pieces_end_where_a_quarter_of_the_rows_has_ended() {
        // So many that a step of one row is worth a piece.
        let per_row = WORTH_A_PIECE + 1;
        let cut = |lengths: &[usize], mut rest: Range<usize>, reverse| {
            let mut rows = Rows::default();
            let pattern = Pattern { lengths: Some(lengths), ..Pattern::default() };
            rows.set(lengths.len(), 9, pattern).unwrap();
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                pieces.push(next_piece(&rows, per_row, &mut rest, reverse));
            }
            pieces
        };
        let (equal, falling) = ([9; 4], [9, 8, 6, 6, 2]);
        let whole = 2..9;
        assert_eq!(cut(&equal, 2..9, false), std::slice::from_ref(&whole));
        // Five rows run in the first two steps, four in the next four; then two, and one.
        assert_eq!(cut(&falling, 0..9, false), [0..6, 6..8, 8..9]);
        assert_eq!(cut(&falling, 1..7, false), [1..6, 6..7]);
        assert_eq!(cut(&falling, 0..9, true), [8..9, 6..8, 0..6]);
    }

    #[test]
    fn pieces_are_worth_a_meeting() {
        let mut rows = Rows::default();
        let lengths = [9, 8, 7, 6, 5, 4, 3, 2];
        rows.set(8, 9, Pattern { lengths: Some(&lengths), ..Pattern::default() }).unwrap();
        // Four rows run, then three: more than a quarter has ended where two are left, which are worth too
        // little to part.
        let (mut rest, per_row) = (5..9, WORTH_A_PIECE / 4);
        assert_eq!(next_piece(&rows, per_row, &mut rest, false), 5..7);
        assert_eq!(next_piece(&rows, per_row, &mut rest, false), 7..9);
        // More work than can be counted.
        let pattern = Pattern { lengths: Some(&[9, 9, 9, 9, 8]), ..Pattern::default() };
        rows.set(5, 9, pattern).unwrap();
        assert_eq!(next_piece(&rows, usize::MAX, &mut (0..9), false), 0..9);
    }
}
