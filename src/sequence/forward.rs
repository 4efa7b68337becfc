//! The walk over time.
//!
//! ```text
//! for each step            in the order of the direction
//!   for each phase         1, or more where a cell needs all units of a row in between
//!     for each block       of hidden units: its weights come in once ...
//!       for each tile      ... and serve all rows that still run
//! ```
//!
//! Threads share the rows, or the blocks of each phase; see `schedule.rs`.
//!
//! **Projection.** Few rows are bound by reading weights and not by multiplying: a step of one row uses each
//! weight once. The same holds where the weights do not fit into the nearer caches. But only the recurrent
//! product has to wait for the step before. There the input products of a chunk of steps are done first, as
//! one product whose rows are the steps, which reads the input weights once for the whole chunk; the walk then
//! starts from these sums. The chain of operations of each output is the same, and so are the bits.
//!
//! **Pieces.** Of rows that differ in length fewer and fewer run. What suits many rows does not suit few, so time
//! is cut into pieces in which about as many rows run, and each of them is projected and shared as suits it.

use super::schedule::{Load, Schedule, Share, Split, Walk, go, over_range, take_steps};
use crate::cell::{
    Cell, Checkpoints, Forward, ForwardTile, Projected, ProjectionTile, Rows, Weights, with_cell,
};
use crate::error::{Error, reserve};
use crate::matrix::{AlignedBuf, Blocks, Grid, GridMut, Part, Room, Tile, sweep};
use crate::simd::Isa;
use std::marker::PhantomData;
use std::ops::Range;

/// Memory of a forward pass that is used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What a cell passes from its first phase to its second.
    pub(crate) scratch: AlignedBuf,
    /// Input products of a chunk of steps.
    projected: AlignedBuf,
    /// (step, rank) of the rows of that product.
    places: Vec<(usize, usize)>,
}

/// Rows up to which a step is bound by reading weights, so that projecting the input beforehand pays.
const FEW_ROWS: usize = 5;
/// (Weights, rows): of more weights than these, projecting beforehand pays up to so many rows. They do not stay in a
/// level-2 cache of 2 MiB beside what else passes through: then a step reads them from farther away, and tiles of few rows
/// wait for them. (One thread, Xeon, family 6, model 207, medians of five runs, input as wide as the state. GRU of 256 units: 8
/// rows 1.07 times faster, 12 rows 3 % slower. LSTM of 256 units: 8 rows 1.32, 14 rows 1.11, 17 rows level, 20 rows 8 % slower.
/// LSTM of 512 units: 8 rows 1.39, 13 rows 1.25, 18 rows 1.07, 20 rows 1.05, 32 rows level; of 1024 units 24 rows level.)
const MOST_ROWS: [(usize, usize); 3] = [(320 << 10, 10), (480 << 10, 16), (1 << 20, 20)];
/// Inputs per row that are worth it where there are more than [`FEW_ROWS`]: that many weights are not read again for
/// each two floats of sums that are written and read. (512 units, as above: 64 inputs 1.02 at 8 rows, 3 % slower at 16.)
const INPUTS_PER_ROW: usize = 8;
/// Bytes of projected sums that a chunk may have: a quarter of a level-2 cache of 2 MiB. The input weights
/// pass through that cache once per chunk, so longer is better as long as the recurrent weights stay.
const CHUNK_BYTES: usize = 1 << 19;

/// Multiply-adds of which a piece has more: some 100 microseconds of work, of which a meeting takes a few.
const WORTH_A_PIECE: usize = 8 << 20;

/// The steps of a chunk to project beforehand, or `None` where that does not pay.
fn chunk_steps(weights: &Weights, batch: usize, steps: usize) -> Option<usize> {
    let record = weights.variant.traits().gates * weights.hidden.units() * 4;
    let chunk = (CHUNK_BYTES / batch.max(1).saturating_mul(record)).clamp(1, steps.max(1));
    let all = weights.input.len() + weights.recurrent_len();
    let rows = match MOST_ROWS.iter().rev().find(|(least, _)| all > *least) {
        Some((_, rows)) => (weights.input.depth() / INPUTS_PER_ROW).min(*rows).max(FEW_ROWS),
        None => FEW_ROWS,
    };
    (chunk > 1 && batch <= rows).then_some(chunk)
}

impl Memory {
    /// Makes room for passes with these weights, over so many steps of so many rows at a time, whatever their lengths.
    pub(crate) fn prepare(&mut self, weights: &Weights, batch: usize, steps: usize) -> Result<(), Error> {
        let traits = weights.variant.traits();
        let hidden = weights.hidden.units();
        self.scratch.grow(Grid::padded(1, batch, traits.scratch, hidden)?.len())?;
        // Any number of rows may be left at a piece. Also of rows that are equal now: the next call may have others.
        for rows in 1..=batch.min(MOST_ROWS[MOST_ROWS.len() - 1].1) {
            if let Some(chunk) = chunk_steps(weights, rows, steps) {
                self.projected.grow(Grid::padded(chunk, rows, traits.gates, hidden)?.len())?;
                reserve(&mut self.places, chunk * rows)?;
            }
        }
        Ok(())
    }
}

/// Takes from `rest` the steps with which a pass goes on: while at least three quarters of the rows run, and until
/// they are worth a meeting of threads: of `per_row` multiply-adds each.
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
            work += nth(steps).saturating_mul(per_row);
            steps += 1;
        }
    }
    take_steps(rest, steps, reverse)
}

/// What a step of this pass asks of a processor.
pub(crate) fn load(weights: &Weights, batch: usize, steps: usize) -> Load {
    let ahead = chunk_steps(weights, batch, steps).is_some();
    Load {
        rows: batch,
        weights: weights.recurrent_len() + if ahead { 0 } else { weights.input.len() },
        blocks: weights.input.blocks(),
        phases: weights.variant.traits().phases(),
    }
}

/// Runs a forward pass over some of its steps, and keeps checkpoints on the way where there are to be any. The
/// initial states lie in their slots; afterwards the final ones do. `forward.scratch` and
/// `forward.projected` are set here.
pub(crate) fn forward(
    forward: Forward<'_>,
    memory: &mut Memory,
    steps: Range<usize>,
    threads: (Schedule, usize),
) -> Result<(), Error> {
    let Some(Checkpoints { every, states }) = forward.checkpoints else {
        return run(forward, memory, steps, threads);
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
        run(forward, memory, piece.clone(), threads)?;
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

/// The first step of a pass, of all its rows, on this thread. `forward.scratch` has a record for each of them.
pub(crate) fn step(forward: Forward<'_>) {
    let rows = 0..forward.pass.rows.order.len();
    with_cell!(forward.pass.weights.variant, C => {
        let walk = Steps::<C>::new(&forward, 0..1);
        for stage in 0..walk.stages() {
            // SAFETY: nobody else works on this pass, and the phases run in order.
            unsafe { walk.stage(stage, rows.clone(), Share::ALL) };
        }
    });
}

/// Runs some steps of a pass, piece by piece.
fn run(
    forward: Forward<'_>,
    memory: &mut Memory,
    steps: Range<usize>,
    (schedule, threads): (Schedule, usize),
) -> Result<(), Error> {
    let (rows, weights) = (forward.pass.rows, forward.pass.weights);
    memory.prepare(weights, rows.order.len(), steps.len())?;
    let per_row = weights.recurrent_len() + weights.input.len();
    let mut rest = steps;
    while !rest.is_empty() {
        let piece = next_piece(rows, per_row, &mut rest, forward.pass.reverse);
        // Falling, so this is the most.
        let load = load(weights, rows.active(piece.start), piece.len());
        let (split, _) = load.split(schedule, threads);
        run_piece(forward, memory, piece, split)?;
    }
    Ok(())
}

fn run_piece(
    forward: Forward<'_>,
    memory: &mut Memory,
    steps: Range<usize>,
    split: Split,
) -> Result<(), Error> {
    let (rows, weights) = (forward.pass.rows, forward.pass.weights);
    let (batch, active) = (rows.order.len(), rows.active(steps.start));
    let (traits, hidden) = (weights.variant.traits(), weights.hidden.units());
    let Memory { scratch, projected, places } = memory;
    let mut forward = Forward {
        scratch: GridMut::new(Grid::padded(1, batch, traits.scratch, hidden)?, scratch),
        ..forward
    };
    let Some(chunk) = chunk_steps(weights, active, steps.len()) else {
        with_cell!(weights.variant, C => {
            go(&Steps::<C>::new(&forward, steps.clone()), &rows.lengths, &steps, split);
        });
        return Ok(());
    };
    let sums = GridMut::new(Grid::padded(chunk, active, traits.gates, hidden)?, projected);
    let chunks = steps.len().div_ceil(chunk);
    for n in 0..chunks {
        let n = if forward.pass.reverse { chunks - 1 - n } else { n };
        let range = steps.start + n * chunk..(steps.start + (n + 1) * chunk).min(steps.end);
        places.clear();
        for step in range.clone() {
            places.extend((0..rows.active(step)).map(|rank| (step, rank)));
        }
        let to = Projected { sums, first_step: range.start };
        forward.projected = None;
        with_cell!(weights.variant, C => {
            let work = Projection::<C> { forward: &forward, to, places, cell: PhantomData };
            work.run(split);
            forward.projected = Some(to);
            go(&Steps::<C>::new(&forward, range.clone()), &rows.lengths, &range, split);
        });
    }
    Ok(())
}

/// The steps of a range, in the order of the direction; a stage is a phase of a step.
struct Steps<'a, C> {
    forward: &'a Forward<'a>,
    range: Range<usize>,
    cell: PhantomData<C>,
}

impl<'a, C: Cell> Steps<'a, C> {
    fn new(forward: &'a Forward<'a>, range: Range<usize>) -> Self {
        Steps { forward, range, cell: PhantomData }
    }
}

impl<C: Cell> Walk for Steps<'_, C> {
    fn stages(&self) -> usize {
        self.range.len() * C::TRAITS.phases()
    }

    unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share) {
        let (forward, pass) = (self.forward, &self.forward.pass);
        let (n, phase) = (stage / C::TRAITS.phases(), stage % C::TRAITS.phases());
        let step = if pass.reverse { self.range.end - 1 - n } else { self.range.start + n };
        let active = ranks.start..pass.rows.active(step).clamp(ranks.start, ranks.end);
        let panel = if phase == 0 { &pass.weights.input } else { &pass.weights.second };
        let blocks = share.part(panel.blocks());
        let token = pass.weights.token;
        // SAFETY: rows and blocks of this thread alone, by the caller's promise; and by it, steps run in order
        // and a phase is done in all blocks before the next begins.
        unsafe {
            // Phases that a cell does not have are not compiled.
            if const { C::TRAITS.phases() > 2 } && phase == 2 {
                sweep(token, &Phase::<C, 2> { forward, step, cell: PhantomData }, active, blocks);
            } else if const { C::TRAITS.phases() > 1 } && phase == 1 {
                sweep(token, &Phase::<C, 1> { forward, step, cell: PhantomData }, active, blocks);
            } else {
                sweep(token, &Phase::<C, 0> { forward, step, cell: PhantomData }, active, blocks);
            }
        }
    }
}

/// The input products of the steps of a chunk.
struct Projection<'a, C> {
    forward: &'a Forward<'a>,
    to: Projected<'a>,
    places: &'a [(usize, usize)],
    cell: PhantomData<C>,
}

impl<C: Cell> Projection<'_, C> {
    /// All of it. Threads share it as they share the steps, so that each reads weights and sums of its own.
    fn run(&self, split: Split) {
        let (token, blocks) = (self.forward.pass.weights.token, self.forward.pass.weights.input.blocks());
        match split {
            Split::Rows(threads) => over_range(0..self.places.len(), threads, &|places| {
                // SAFETY: the places are those of this thread alone.
                unsafe { sweep(token, self, places, 0..blocks) }
            }),
            Split::Units(threads) => over_range(0..blocks, threads, &|blocks| {
                // SAFETY: the blocks are those of this thread alone.
                unsafe { sweep(token, self, 0..self.places.len(), blocks) }
            }),
        }
    }
}

impl<C: Cell> Tile for Projection<'_, C> {
    const ACCUMULATORS: usize = C::TRAITS.gates;
    const WEIGHTS: usize = C::TRAITS.gates;

    #[inline(always)]
    unsafe fn products<'r, I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        place: usize,
        block: usize,
        part: Part,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        let (forward, (places, _)) = (self.forward, self.places[place..place + R].as_chunks::<R>());
        C::project(&ProjectionTile::<I, R, U> { isa, forward, places: &places[0], block, part }, room)
    }

    #[inline(always)]
    unsafe fn finish<I: Isa>(
        &self,
        isa: I,
        place: usize,
        block: usize,
        blocks: Blocks,
        sums: &mut [I::Vector],
    ) {
        let Projected { sums: to, first_step } = self.to;
        let gates = C::TRAITS.gates;
        for v in 0..sums.len() / gates {
            let (step, rank) = self.places[place + blocks.row(v)];
            let start = (block + blocks.column(v)) * I::LANES;
            for gate in 0..gates {
                // SAFETY: the place exists, and by the caller's promise is ours with the columns of the block.
                let to = unsafe { to.columns(step - first_step, rank, gate, start..start + I::LANES) };
                isa.store(to, sums[v * gates + gate]);
            }
        }
    }
}

/// One phase of one step.
struct Phase<'a, C, const PHASE: usize> {
    forward: &'a Forward<'a>,
    step: usize,
    cell: PhantomData<C>,
}

impl<C: Cell, const PHASE: usize> Tile for Phase<'_, C, PHASE> {
    const ACCUMULATORS: usize = C::ACCUMULATORS[PHASE];
    const WEIGHTS: usize = if PHASE == 0 { C::TRAITS.gates } else { 1 };

    #[inline(always)]
    unsafe fn products<'r, I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        rank: usize,
        block: usize,
        part: Part,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        // SAFETY: the caller's promise, passed on.
        let tile =
            unsafe { ForwardTile::new(isa, self.forward, self.step, rank, (block, Blocks::new(U)), part) };
        if PHASE == 0 {
            tile.prefetch::<R>(const { &C::TRAITS });
        }
        C::products::<I, PHASE, R, U>(&tile, room)
    }

    #[inline(always)]
    unsafe fn finish<I: Isa>(
        &self,
        isa: I,
        rank: usize,
        block: usize,
        blocks: Blocks,
        sums: &mut [I::Vector],
    ) {
        // SAFETY: the caller's promise, passed on.
        let tile =
            unsafe { ForwardTile::new(isa, self.forward, self.step, rank, (block, blocks), Part::NONE) };
        C::forward::<I, PHASE>(&tile, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Pattern;

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
        // Four rows run, then three: more than a quarter has ended where two are left, which are worth too little to part.
        let (mut rest, per_row) = (5..9, WORTH_A_PIECE / 4);
        assert_eq!(next_piece(&rows, per_row, &mut rest, false), 5..7);
        assert_eq!(next_piece(&rows, per_row, &mut rest, false), 7..9);
    }
}
