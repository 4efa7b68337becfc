//! The walk back through time: gradients of the gates, chunk by chunk.
//!
//! ```text
//! for each chunk of steps          against the order of the forward pass
//!   for each step, phase, block, tile          rows or blocks shared among threads
//!       dh   = dG(following) R + carry + upstream        the product, and then
//!       dG   = the cell's backward                       the gradients of the gates
//!   weight, bias and input gradients of the whole chunk  (gradient/), outputs shared among threads
//! ```
//!
//! A chunk has as many steps as keep its gate gradients in the level-2 cache, or some 512 places (step, row)
//! if those are more, so that the products over it are long. Where it is cut changes no result: all sums over
//! time are taken in the order in which the walk back comes by.
//!
//! ```text
//! grads   [ step done just before the chunk | first step on the way back | ... | last ]
//!           one place per row                 active rows only, (step, rank) counted through
//! ```
//!
//! Where only checkpoints were kept, the steps between two of them are run forward again first (`replay.rs`),
//! and then walked back in such chunks.

use super::cost::Load;
use super::gradient::{Chunk, Inputs, Kept, Packed, Targets, accumulate_chunk};
use super::made::{address, grid_of_gradients, make_gradients, make_gradients_of_heads};
use super::pass::{Backward, Pass};
use super::replay::Replay;
use super::rows::Rows;
use super::schedule::{Schedule, Share, Walk, go, step_and_phase, take_steps};
use super::team::MOST_SHARES;
use crate::cell::{Area, Back, BackwardFinish, BackwardStep, BackwardSums};
use crate::error::{Error, checked_size, reserve};
use crate::memory::{AlignedBuf, Grid, GridMut, LineSlot, Lines, LinesMut, LinesRef, Planes, Slot};
use crate::product::{
    Blocks, Ends, Gates, OfHead, Panel, Place, Prefetch, Product, Rows as RowsOf, Segment, Segments, Table,
    Tile, Tiles, cuts, multiply_lanes, round, sweep,
};
use crate::simd::LINE;
use std::ops::Range;

/// Memory of a backward pass that is used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    grads: AlignedBuf,
    /// The gradient of the state: the final state's before the pass, the initial state's after it.
    pub(crate) carry: AlignedBuf,
    pub(crate) packed: Packed,
    /// Gate gradients that are made for the products of a step.
    made: AlignedBuf,
    replay: Replay,
    starts: Vec<usize>,
    /// (step, rank) of the gate gradients of the chunk.
    places: Vec<(usize, usize)>,
}

/// Bytes of gate gradients that a chunk may have: half of a level-2 cache of 2 MiB, all of one of 1 MiB.
const CHUNK_BYTES: usize = 1 << 20;
/// Places (step, rank) that a chunk may have at least: enough to make the reading and writing of the weight
/// gradients a hundredth of the work.
const CHUNK_PLACES: usize = 512;

/// Places that a chunk has at most: those of one step of all rows, or more.
fn chunk_places(batch: usize, record: usize) -> usize {
    (CHUNK_BYTES / 4 / record.max(1)).max(CHUNK_PLACES).max(batch)
}

impl Scratch {
    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.starts.capacity() * size_of::<usize>()
            + self.places.capacity() * size_of::<(usize, usize)>();
        let buffers = [&self.grads, &self.carry, &self.made]
            .map(|buffer| size_of_val(&buffer[..]))
            .iter()
            .sum::<usize>();
        lists + buffers + self.packed.bytes() + self.replay.bytes()
    }

    /// Makes room for a pass over its rows, with checkpoints every so many steps, if any, of so many planes.
    pub(crate) fn prepare(
        &mut self,
        pass: &Pass<'_>,
        every: Option<usize>,
        state_planes: usize,
    ) -> Result<(), Error> {
        let (weights, rows) = (pass.weights(), pass.rows);
        let (batch, shape, hidden) = (rows.order.len(), weights.shape(), weights.units());
        self.carry.grow(Scratch::carry_grid(pass)?.len())?;
        let record = Grid::padded(1, 1, shape.grads, hidden)?.len();
        let places = chunk_places(batch, record).min(batch.saturating_mul(rows.steps()));
        let with_seam = checked_size("gradients", &[batch.saturating_add(places)])?;
        self.grads.grow(Lines::new(with_seam, shape.grads, hidden)?.len())?;
        self.packed.reserve(weights, places)?;
        self.made.grow(Scratch::made_grid(pass, 1)?.len())?;
        // A step has at least one place.
        reserve(&mut self.starts, places.min(rows.steps()) + 2)?;
        reserve(&mut self.places, places)?;
        match every {
            None => Ok(()),
            Some(every) => self.replay.prepare(pass, state_planes, every.min(rows.steps())),
        }
    }

    /// The shape of `made`.
    fn made_grid(pass: &Pass<'_>, shares: usize) -> Result<Grid, Error> {
        let shape = pass.weights().shape();
        let gates = shape.hidden_gates().max(shape.second_gates()).max(1);
        grid_of_gradients(pass.weights(), shares, pass.rows.order.len(), gates)
    }

    /// The shape of `carry`.
    pub(crate) fn carry_grid(pass: &Pass<'_>) -> Result<Grid, Error> {
        // The last plane is that of the sums that wait.
        Grid::padded(1, pass.rows.order.len(), pass.waiting() + 1, pass.weights().units())
    }
}

/// Runs a backward pass on so many threads: sets or adds to the weight gradients, adds to the others, sets or
/// adds to the input gradient, and turns `scratch.carry` from the gradient of the final state into that of
/// the initial.
///
/// # Safety
/// - Input, upstream gradient and what was kept are those of a forward pass over these rows, with the planes
///   of its cell, and nobody writes them.
/// - The targets have the forms of the cell's tensors, the input gradient that of the input, and are nobody
///   else's.
pub(crate) unsafe fn backward(
    inputs: &Inputs<'_>,
    targets: &mut Targets<'_>,
    scratch: &mut Scratch,
    (schedule, threads): (Schedule, usize),
) -> Result<(), Error> {
    let &Inputs { pass, transposed, kept, .. } = inputs;
    let every = match kept {
        Kept::All { .. } => None,
        Kept::Checkpoints(checkpoints) => Some(checkpoints.every),
    };
    scratch.prepare(&pass, every, pass.state_planes())?;
    scratch.made.grow(Scratch::made_grid(&pass, threads.clamp(1, MOST_SHARES))?.len())?;
    let (weights, rows, reverse) = (pass.weights(), pass.rows, pass.reverse);
    let (batch, shape, hidden) = (rows.order.len(), weights.shape(), weights.units());
    let record = Grid::padded(1, 1, shape.grads, hidden)?.len();
    let steps = rows.steps();
    // Of the size that `prepare` has made room for.
    let most = chunk_places(batch, record);
    let lines = Lines::new(batch + most.min(batch * steps), shape.grads, hidden)?;
    let carry_grid = Scratch::carry_grid(&pass)?;
    let (bytes, multiply_adds) = transposed.recurrent_load();
    let load = Load {
        rows: batch,
        weights: multiply_adds,
        bytes,
        blocks: weights.blocks_of(weights.outputs().max(weights.units())),
        phases: shape.forward.len(),
        rate: weights.backward.rate,
    };

    let Scratch { grads, carry, packed, made, starts, places, replay } = scratch;
    let made_grid = Scratch::made_grid(&pass, threads.clamp(1, MOST_SHARES))?;
    for segment in against(0..steps, every.unwrap_or(steps), reverse) {
        let (states, tape) = match kept {
            Kept::All { states, tape } => (states, tape),
            Kept::Checkpoints(checkpoints) => {
                // SAFETY: the caller's promise, passed on.
                unsafe { replay.run(inputs, checkpoints, segment.clone(), (schedule, threads))? }
            }
        };
        let mut rest = segment;
        while !rest.is_empty() {
            let range = next_chunk(rows, &mut rest, most, reverse);
            // The step that backward did just before this chunk stands in front, at place 0.
            let seam = if reverse { range.start.checked_sub(1) } else { Some(range.end) };
            let first_step = seam.map_or(range.start, |seam| seam.min(range.start));
            starts.clear();
            starts.resize(range.end + usize::from(!reverse) - first_step, 0);
            places.clear();
            for n in 0..range.len() {
                let step = nth_back(&range, n, reverse);
                starts[step - first_step] = batch + places.len();
                places.extend((0..rows.active(step)).map(|rank| (step, rank)));
            }
            let backward = Backward {
                pass,
                transposed,
                upstream: inputs.upstream,
                states,
                tape,
                grads: LinesMut::new(lines, grads),
                starts,
                first_step,
                carry: GridMut::new(carry_grid, carry),
                made: GridMut::new(made_grid, made),
            };
            // Rows that are no longer there do not count.
            let load = Load { rows: places.len().div_ceil(range.len()), ..load };
            let (split, _) = load.split(schedule, threads);
            let walk = Steps { backward: &backward, range: range.clone(), steps };
            // SAFETY: the caller's promise; gradients and carry have a place of each row and step, and are
            // ours.
            unsafe { go(&walk, &rows.lengths, &range, split) };

            let chunk = Chunk { places, grads: LinesRef::new(lines, grads, batch), states, tape };
            // SAFETY: the caller's promise; the walk has written the gradients of the places.
            unsafe { accumulate_chunk(inputs, &chunk, packed, targets, threads) };

            // What this chunk did last stands before the next.
            let last = if reverse { range.end - 1 } else { range.start };
            let first = starts[last - first_step];
            lines.move_to_front(grads, first..first + rows.active(last));
        }
    }
    Ok(())
}

/// Pieces of `range`, of `length` steps from its start on, in the order of the walk back.
fn against(range: Range<usize>, length: usize, reverse: bool) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(length.max(1));
    (0..count).map(move |n| {
        let start = range.start + if reverse { n } else { count - 1 - n } * length;
        start..start.saturating_add(length).min(range.end)
    })
}

/// The n-th of some steps on the walk back.
fn nth_back(steps: &Range<usize>, n: usize, reverse: bool) -> usize {
    if reverse { steps.start + n } else { steps.end - 1 - n }
}

/// Takes from `rest` the steps with which the walk back goes on: as many as have `most` places, but one at
/// least. Of rows that differ in length few run on to the end, where a chunk has more steps for it: else the
/// weight gradients would be read and written for every one of them. (LSTM of 256 units, Zen 3, AVX2, one
/// thread: one row of 1000 steps among 255 of one step took 800 ms, and takes 55, as it does by itself.)
fn next_chunk(rows: &Rows, rest: &mut Range<usize>, most: usize, reverse: bool) -> Range<usize> {
    let (mut steps, mut places) = (0, 0);
    while steps < rest.len() {
        places += rows.active(nth_back(rest, steps, reverse));
        if places > most && steps > 0 {
            break;
        }
        steps += 1;
    }
    take_steps(rest, steps, !reverse)
}

/// The steps of a chunk, against the order of the forward pass.
///
/// A stage is a phase of a step, and after the last there is one more: gradients of initial states need the
/// whole of the step that they led to, so they are computed one stage later. That is with the next step,
/// where rows of other lengths go on.
struct Steps<'a> {
    backward: &'a Backward<'a>,
    range: Range<usize>,
    /// All steps of the sequence.
    steps: usize,
}

impl Steps<'_> {
    fn phases(&self) -> usize {
        self.backward.pass.weights().shape().forward.len()
    }
}

impl Walk for Steps<'_> {
    fn stages(&self) -> usize {
        self.range.len() * self.phases() + 1
    }

    unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share) {
        let (n, phase) = step_and_phase(stage, self.phases());
        let rows = self.backward.pass.rows;
        // The rows of this thread among the first `count`.
        let first = |count: usize| count.clamp(ranks.start, ranks.end);
        let nth = |n: usize| nth_back(&self.range, n, self.backward.pass.reverse);
        // SAFETY: the caller's promise, passed on, in each call.
        unsafe {
            if phase == 0 && n > 0 {
                let last = nth(n - 1);
                let (from, to) = if self.backward.pass.reverse {
                    // Rows that the forward pass entered at that step.
                    (rows.active(last + 1), rows.active(last))
                } else {
                    (0, if last == 0 { rows.active(0) } else { 0 })
                };
                self.sweep(0, None, Some(last), first(from)..first(to), share);
            }
            if n == self.range.len() {
                return;
            }
            let step = nth(n);
            let active = rows.active(step);
            if phase == 0 {
                // Rows that have a following step, and rows whose last step this is.
                let (following, follow) = if self.backward.pass.reverse {
                    (step.checked_sub(1), if step > 0 { active } else { 0 })
                } else {
                    ((step + 1 < self.steps).then_some(step + 1), rows.active(step + 1))
                };
                self.sweep(0, Some(step), following, ranks.start..first(follow), share);
                self.sweep(0, Some(step), None, first(follow)..first(active), share);
            } else {
                self.sweep(phase, Some(step), None, ranks.start..first(active), share);
            }
        }
    }
}

impl Steps<'_> {
    /// A phase of some rows: of a step, or of the initial state that no step follows. In the first phase
    /// `following` is the step after it in the order of the forward pass, where these rows have one.
    ///
    /// # Safety
    /// - As for [`Walk::stage`].
    unsafe fn sweep(
        &self,
        phase: usize,
        step: Option<usize>,
        following: Option<usize>,
        rows: Range<usize>,
        share: Share,
    ) {
        if rows.is_empty() {
            return;
        }
        let backward = self.backward;
        let Backward { pass, transposed, .. } = backward;
        let (shape, weights) = (pass.weights().shape(), pass.weights());
        // SAFETY: step and rows exist, and so do their records.
        let at = unsafe { step_back(backward, step) };
        let finish = weights.cell.backward[phase];
        let work = |panels, planes, of_step, gates| PhaseProducts {
            backward,
            at: &at,
            finish,
            first: phase == 0,
            panels,
            planes,
            of_step,
            gates,
            slot: share.index(),
        };
        // Of each gate of a product, the gradients of some rows at a step as words.
        let make = |panels: &[Panel], planes: &dyn Fn(usize) -> usize, step: Option<usize>| {
            let Some(step) = step.filter(|_| weights.precision.rounds()) else { return };
            for (gate, panel) in panels.iter().enumerate() {
                // SAFETY: the gradients of these rows are done; the slot is that of this share alone.
                unsafe {
                    let grads = backward.grads.slot(backward.flat(step, 0));
                    let from = |row| grads.address(row, planes(gate), 0).cast_const();
                    let (from, to) = ((from, grads.stride()), (&backward.made, share.index(), gate));
                    if weights.heads().are_one() {
                        make_gradients(weights, from, panel.depth(), rows.clone(), to);
                    } else {
                        make_gradients_of_heads(weights, from, rows.clone(), to);
                    }
                }
            }
        };
        let planes: &dyn Fn(usize) -> usize = &|gate| shape.recurrent[gate].0;
        if phase == 0 {
            // dG of the following step, gate by gate where they are many. Without a following step nothing is
            // read.
            let readers = if following.is_none() { 0 } else { rows.len() };
            let blocks = share.part(weights.blocks_of(weights.outputs()));
            make(&transposed.hidden, planes, following);
            for (gates, blocks) in cuts(&transposed.hidden, readers, blocks) {
                let mut work = work(&transposed.hidden[..], planes, following, gates);
                // SAFETY: rows and blocks of this thread alone, and time runs against the forward pass, by
                // the caller's promise.
                unsafe { sweep(&mut work, rows.clone(), blocks) }
            }
        } else {
            // A product of this step's own, where the cell has one; a phase is done in all blocks before the
            // next begins.
            let panels = &transposed.second[..];
            let planes: &dyn Fn(usize) -> usize = &|gate| shape.second_gradient(gate);
            // One gate is not cut.
            let readers = if panels.len() > 1 { rows.len() } else { 0 };
            make(panels, planes, step);
            for (gates, blocks) in cuts(panels, readers, share.part(weights.blocks_of(weights.units()))) {
                // SAFETY: as above.
                unsafe { sweep(&mut work(panels, planes, step, gates), rows.clone(), blocks) }
            }
        }
    }
}

/// The records of a step, or of the initial state, from rank 0 on.
///
/// # Safety
/// - The step exists in some rows.
unsafe fn step_back<'a>(backward: &'a Backward<'a>, step: Option<usize>) -> BackwardStep<'a> {
    let pass = &backward.pass;
    // SAFETY: the rows exist.
    let carry = unsafe { backward.carry.slot(0, 0) };
    let Some(step) = step else {
        let empty = LineSlot::empty();
        let back = Back { is_step: false, tape: empty, grads: empty, carry, upstream: None };
        return BackwardStep { step: pass.step(0, Slot::empty(), Slot::empty()), back };
    };
    let slots = pass.slots(step);
    // SAFETY: step and rows exist, and so do their records.
    unsafe {
        let (before, after) = (backward.states.slot(slots.0, 0), backward.states.slot(slots.1, 0));
        let (tape, grads) = (backward.tape.slot(step, 0), backward.grads.slot(backward.flat(step, 0)));
        let back = Back { is_step: true, tape, grads, carry, upstream: backward.upstream.as_ref() };
        BackwardStep { step: pass.step(step, before, after), back }
    }
}

/// One phase of one step, or the initial state: `sum over gates of dG R`, a row each.
struct PhaseProducts<'a> {
    backward: &'a Backward<'a>,
    at: &'a BackwardStep<'a>,
    finish: BackwardFinish,
    /// Whether it is the first phase. The tape and the states of the step are then new to the caches.
    first: bool,
    /// The weights of each gate of the product, and the plane of its gradient.
    panels: &'a [Panel],
    planes: &'a dyn Fn(usize) -> usize,
    /// The step whose gradients are multiplied, where there is one.
    of_step: Option<usize>,
    /// The gates whose products are added here.
    gates: Gates,
    /// The slot of made gradients.
    slot: usize,
}

impl PhaseProducts<'_> {
    /// The product of what of a tile is of one head.
    ///
    /// # Safety
    /// - As for [`Tiles::products`] of the whole tile.
    #[inline(always)]
    unsafe fn product(&self, part: &OfHead, (whole, scratch): (&Tile, *mut f32)) {
        let (backward, table) = (self.backward, self.table());
        let (lanes, carry, tile) = (table.lanes, self.at.back.carry, &part.tile);
        let waiting = || {
            let at = carry.address(tile.row, backward.pass.waiting(), tile.block * lanes);
            Place::strided(at, carry.row_stride(), lanes, 0)
        };
        let mut start = if self.gates.are_first() { Place::zero() } else { waiting() };
        let mut to = if self.gates.are_last() {
            let vector = (tile.row - whole.row) * whole.blocks + tile.block - whole.block;
            Place::strided(scratch.wrapping_add(vector * lanes), whole.blocks * lanes, lanes, 0)
        } else {
            waiting()
        };
        let mut segments = Segments::new();
        if let Some(step) = self.of_step {
            self.push_segments(step, part, &mut segments);
        }
        start.follow(tile);
        to.follow(tile);
        // SAFETY: rows and blocks exist, and are ours, by the caller's promise; the gradients that are read
        // are done in all blocks.
        unsafe {
            if let Some(lanes) = part.lanes {
                return multiply_lanes(table, (1, tile.rows), (start, to), segments.all(), lanes);
            }
            let ends = Ends { tiles: tile.tiles, quiet: tile.quiet, ..Ends::new(start, to) };
            let product = Product { ends: &ends, segments: segments.all() };
            table.kernel(1, tile.blocks, tile.rows)(&product);
        }
    }

    /// Makes the segments of the gates that are added here: the gradients of the step, and R.
    #[inline(always)]
    fn push_segments(&self, step: usize, part: &OfHead, to: &mut Segments) {
        let (backward, weights) = (self.backward, self.backward.pass.weights());
        let (tile, heads) = (&part.tile, weights.heads());
        let of_panel = Tile { block: part.block, ..*tile };
        // SAFETY: the places exist.
        let rows = unsafe { backward.grads.slot(backward.flat(step, tile.row)) };
        for gate in self.gates.range() {
            let panel = &self.panels[gate];
            let ahead = self.gates.prefetch(self.panels, gate, &of_panel);
            let weights_of = |inputs, ahead| panel.weights_of(part.block, tile.blocks, inputs, ahead);
            let mut push = |mut segment: Segment| {
                segment.follow(tile);
                to.push(segment);
            };
            if weights.precision.rounds() {
                let first = address(&backward.made, self.slot, tile.row, gate);
                let first = first.wrapping_add(part.head * weights.head_words());
                let rows = RowsOf::strided(first, backward.made.grid.row_stride());
                push(Segment::rows(rows, weights_of(0..panel.depth(), ahead)));
                continue;
            }
            let (mut unit, mut inputs) = (0, 0..panel.depth());
            if part.head > 0 {
                // The rest of a line in which another head ends is a segment by itself.
                unit = heads.units(part.head).start;
                inputs.start = (unit.next_multiple_of(LINE) - unit).min(inputs.end);
                if inputs.start > 0 {
                    let first = rows.address(0, (self.planes)(gate), unit).cast();
                    push(Segment::rows(
                        RowsOf::strided(first, LINE),
                        weights_of(0..inputs.start, Prefetch::NONE),
                    ));
                }
            }
            if !inputs.is_empty() {
                let first = rows.address(0, (self.planes)(gate), unit + inputs.start);
                push(Segment::lines(first, rows.stride(), weights_of(inputs, ahead)));
            }
        }
    }
}

impl Tiles for PhaseProducts<'_> {
    #[inline(always)]
    fn table(&self) -> &'static Table {
        let weights = self.backward.pass.weights();
        weights.backward
    }
    #[inline(always)]
    fn gates(&self) -> usize {
        1
    }
    #[inline(always)]
    fn sums(&self) -> usize {
        usize::from(self.gates.are_last())
    }

    #[inline(always)]
    fn takes_runs(&self) -> bool {
        true
    }

    unsafe fn products(&mut self, tile: &Tile, scratch: *mut f32) {
        let (backward, lanes) = (self.backward, self.table().lanes);
        let (shape, heads) = (backward.pass.weights().shape(), backward.pass.weights().heads());
        // What is read when the products are done. Later phases find it there, and an initial state has none.
        if self.first && self.at.back.is_step && self.gates.are_last() {
            let (unit, units) = (tile.block * lanes, tile.blocks_of_run() * lanes);
            for row in tile.rows_of_run() {
                self.at.back.tape.prefetch(row, shape.tape, unit, units);
                self.at.step.before.prefetch(row, shape.state.len(), unit, units);
            }
        }
        if heads.are_one() {
            let whole = OfHead { head: 0, tile: *tile, block: tile.block, lanes: None };
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.product(&whole, (tile, scratch)) };
        }
        for part in heads.split(tile) {
            if part.lanes.is_none() {
                // SAFETY: as above.
                unsafe { self.product(&part, (tile, scratch)) };
                continue;
            }
            for one in part.tile.each() {
                // SAFETY: as above.
                unsafe { self.product(&OfHead { tile: one, ..part }, (tile, scratch)) };
            }
        }
    }

    unsafe fn finish(&self, row: usize, block: usize, blocks: Blocks, sums: *mut f32, vectors: usize) {
        let area = Area { rank: row, block, blocks, vectors };
        let sums = BackwardSums { step: self.at, area, sums };
        let weights = self.backward.pass.weights();
        // SAFETY: the rows, blocks and records exist and are ours by the caller's promise, and so are the
        // sums.
        unsafe {
            if self.first {
                (weights.cell.hidden_gradients)(&sums);
            }
            if self.at.back.is_step {
                (self.finish)(&sums);
            }
        }
        if weights.precision.rounds() && self.at.back.is_step {
            let lanes = self.table().lanes;
            for (v, plane) in
                (0..vectors).flat_map(|v| (0..weights.shape().grads).map(move |plane| (v, plane)))
            {
                let (row, unit) = (row + blocks.row(v), (block + blocks.column(v)) * lanes);
                // SAFETY: gradients of this tile, padding included; they are floats, whether they were
                // written or not.
                round(unsafe {
                    std::slice::from_raw_parts_mut(self.at.back.grads.address(row, plane, unit), lanes)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Pattern;
    use super::*;

    #[test]
    fn chunks_have_more_steps_where_fewer_rows_run() {
        let mut rows = Rows::default();
        rows.set(4, 9, Pattern { lengths: Some(&[2, 9, 3, 2]), ..Pattern::default() }).unwrap();
        let cut = |mut rest: Range<usize>, most, reverse| {
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                chunks.push(next_chunk(&rows, &mut rest, most, reverse));
            }
            chunks
        };
        // Of the steps, the first two have four rows, the third has two, the rest one.
        assert_eq!(cut(0..9, 4, false), [5..9, 2..5, 1..2, 0..1]);
        assert_eq!(cut(0..9, 4, true), [0..1, 1..2, 2..5, 5..9]);
        assert_eq!(next_chunk(&rows, &mut (1..4), 100, false), 1..4);
        assert_eq!(cut(0..2, 1, true), [0..1, 1..2], "a step at least");
        assert!(cut(3..3, 1, false).is_empty());
    }
}
