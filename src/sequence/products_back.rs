//! A phase of a step on the way back as products and what finishes them: `dh = dG(following) R`, and then the
//! gradients of the gates.
//!
//! ```text
//! phase 0       dG of the following step (its recurrent gates)  x  R, gate by gate where they are many
//! phase 1 ..    dG of this step (the gates of a second product)  x  its R
//!
//! sums          [row][vector of the blocks]; between cuts of the gates in the last plane of the carry
//! finished by   the gradient of the hidden state (upstream, carry), and the cell's backward
//! ```
//!
//! The forward pass has these in `products.rs`.

use super::converted::{address, convert_gradients, convert_gradients_of_heads};
use super::pass::Backward;
use super::threads::Share;
use crate::cell::{Area, BackwardFinish, BackwardRecords, BackwardStep, BackwardSums};
use crate::memory::{LineSlot, Planes, Slot};
use crate::product::{
    Blocks, Ends, Gates, OfHead, Panel, Prefetch, Product, RowPointers, Segment, Segments, SumPointers,
    Table, Tile, Tiles, are_rounded, cuts, multiply_lanes, round, sweep,
};
use crate::simd::LINE;
use std::ops::Range;

/// A phase of some rows: of a step, or of the initial state that no step follows. In the first phase
/// `following` is the step after it in the order of the forward pass, where these rows have one.
///
/// # Safety
/// - As for [`Walk::stage`](super::threads::Walk::stage).
pub(super) unsafe fn run_phase(
    backward: &Backward<'_>,
    phase: usize,
    step: Option<usize>,
    following: Option<usize>,
    rows: Range<usize>,
    share: Share,
) {
    if rows.is_empty() {
        return;
    }
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
    // Converts the gradients of these rows at a step, for each gate of a product.
    let convert = |panels: &[Panel], planes: &dyn Fn(usize) -> usize, step: Option<usize>| {
        let Some(step) = step.filter(|_| weights.precision.rounds()) else { return };
        for (gate, panel) in panels.iter().enumerate() {
            // SAFETY: the gradients of these rows are done; the slot is that of this share alone.
            unsafe {
                let grads = backward.grads.slot(backward.flat(step, 0));
                let from = |row| grads.address(row, planes(gate), 0).cast_const();
                let (from, to) = ((from, grads.stride()), (&backward.converted, share.index(), gate));
                if weights.heads().are_one() {
                    convert_gradients(weights, from, panel.depth(), rows.clone(), to);
                } else {
                    convert_gradients_of_heads(weights, from, rows.clone(), to);
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
        convert(&transposed.hidden, planes, following);
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
        convert(panels, planes, step);
        for (gates, blocks) in cuts(panels, readers, share.part(weights.blocks_of(weights.units()))) {
            // SAFETY: as above.
            unsafe { sweep(&mut work(panels, planes, step, gates), rows.clone(), blocks) }
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
        let records = BackwardRecords { is_step: false, tape: empty, grads: empty, carry, upstream: None };
        return BackwardStep { step: pass.step(0, Slot::empty(), Slot::empty()), records };
    };
    let slots = pass.slots(step);
    // SAFETY: step and rows exist, and so do their records.
    unsafe {
        let (before, after) = (backward.states.slot(slots.0, 0), backward.states.slot(slots.1, 0));
        let (tape, grads) = (backward.tape.slot(step, 0), backward.grads.slot(backward.flat(step, 0)));
        let records =
            BackwardRecords { is_step: true, tape, grads, carry, upstream: backward.upstream.as_ref() };
        BackwardStep { step: pass.step(step, before, after), records }
    }
}

/// One phase of one step, or the initial state: `sum over gates of dG R`, a row each.
struct PhaseProducts<'a> {
    backward: &'a Backward<'a>,
    at: &'a BackwardStep<'a>,
    finish: BackwardFinish,
    /// Whether it is the first phase, in which the tape and the states of the step are not in the caches yet.
    first: bool,
    /// The weights of each gate of the product, and the plane of its gradient.
    panels: &'a [Panel],
    planes: &'a dyn Fn(usize) -> usize,
    /// The step whose gradients are multiplied, where there is one.
    of_step: Option<usize>,
    /// The gates whose products are added here.
    gates: Gates,
    /// The slot of converted gradients.
    slot: usize,
}

impl PhaseProducts<'_> {
    /// The product of the part of a tile that belongs to one head.
    ///
    /// # Safety
    /// - As for [`Tiles::products`] of the whole tile.
    #[inline(always)]
    unsafe fn product(&self, part: &OfHead, (whole, scratch): (&Tile, *mut f32)) {
        let (backward, table) = (self.backward, self.table());
        let (lanes, carry, tile) = (table.lanes, self.at.records.carry, &part.tile);
        let waiting = || {
            let at = carry.address(tile.row, backward.pass.waiting(), tile.block * lanes);
            SumPointers::strided(at, carry.row_stride(), lanes, 0)
        };
        let mut start = if self.gates.are_first() { SumPointers::zero() } else { waiting() };
        let mut to = if self.gates.are_last() {
            let vector = (tile.row - whole.row) * whole.blocks + tile.block - whole.block;
            SumPointers::strided(scratch.wrapping_add(vector * lanes), whole.blocks * lanes, lanes, 0)
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
                let first = address(&backward.converted, self.slot, tile.row, gate);
                let first = first.wrapping_add(part.head * weights.head_words());
                let rows = RowPointers::strided(first, backward.converted.grid.row_stride());
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
                        RowPointers::strided(first, LINE),
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

    /// Rounds the gradients of a tile, padding included. Those of earlier phases are rounded already. Others
    /// may be reading them, so they are not written again.
    ///
    /// # Safety
    /// - The rows and blocks exist, and nobody else writes their gradients.
    #[inline(never)]
    unsafe fn round_gradients(&self, &Area { rank, block, blocks, vectors }: &Area) {
        let (lanes, planes) = (self.table().lanes, self.backward.pass.weights().shape().grads);
        for v in 0..vectors {
            for plane in 0..planes {
                let (row, unit) = (rank + blocks.row(v), (block + blocks.column(v)) * lanes);
                let gradients = self.at.records.grads.address(row, plane, unit);
                // SAFETY: the caller's promise; they are floats, whether they were written or not.
                unsafe {
                    if !are_rounded(std::slice::from_raw_parts(gradients, lanes)) {
                        round(std::slice::from_raw_parts_mut(gradients, lanes));
                    }
                }
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

    #[inline(always)]
    fn is_by_row(&self) -> bool {
        self.panels.is_empty()
    }

    unsafe fn products(&mut self, tile: &Tile, scratch: *mut f32) {
        let (backward, lanes) = (self.backward, self.table().lanes);
        let (shape, heads) = (backward.pass.weights().shape(), backward.pass.weights().heads());
        // Prefetches what the cell reads when the products are done. Later phases find it in the caches, and
        // an initial state has none.
        if self.first && self.at.records.is_step && self.gates.are_last() {
            let (unit, units) = (tile.block * lanes, tile.blocks_of_run() * lanes);
            for row in tile.rows_of_run() {
                self.at.records.tape.prefetch(row, shape.tape, unit, units);
                self.at.step.before.prefetch(row, shape.state.len(), unit, units);
            }
        }
        if heads.are_one() {
            let whole = OfHead { head: 0, tile: *tile, block: tile.block, lanes: None };
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.product(&whole, (tile, scratch)) };
        }
        heads.for_each_part(tile, |part| {
            // SAFETY: as above.
            unsafe { self.product(part, (tile, scratch)) };
        });
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
            if self.at.records.is_step {
                (self.finish)(&sums);
            }
        }
        if weights.precision.rounds() && self.at.records.is_step {
            // SAFETY: the caller's promise, passed on.
            unsafe { self.round_gradients(&area) };
        }
    }
}
