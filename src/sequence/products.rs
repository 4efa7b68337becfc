//! A phase of a step as products and what finishes them: where the plan of a cell meets rows, weights and
//! memory.
//!
//! ```text
//! plan (cell/shape.rs)              here
//! Start::Bias(n)                    bias vectors n.. of the tile's blocks; or the sums of W x, if there are
//! Multiply { W, Input }             rows of the sequence
//! Multiply { R, Hidden }            the states before the step, with their recurrent dropout
//! Multiply { .., Scratch(plane) }   what an earlier phase has written
//! Call { to }                       the tile's scratch: [vector][sum][lane]
//! ```

use super::converted::RowsOfPhase;
use super::pass::Forward;
use super::ready_call::{NO_LIST, ReadyCall, stride_of};
use super::threads::Share;
use crate::cell::{
    Area, Call, ForwardFinish, ForwardRecords, ForwardStep, ForwardSums, MAX_CALLS, Operand, Phase,
};
use crate::memory::{LineSlot, Planes, Slot};
use crate::product::{Blocks, OfHead, Product, SumPointers, Table, Tile, Tiles, multiply_lanes, sweep};
use std::mem::MaybeUninit;
use std::ops::Range;

/// One phase of the steps of a pass, one step after the other.
pub(super) struct PhaseProducts<'a> {
    pub(super) forward: &'a Forward<'a>,
    pub(super) share: Share,
    pub(super) step: usize,
    pub(super) phase: &'static Phase,
    /// As many as the phase has.
    pub(super) calls: [MaybeUninit<ReadyCall>; MAX_CALLS],
    /// The step's records, from rank 0 on.
    pub(super) at: ForwardStep<'a>,
    pub(super) finish: ForwardFinish,
    /// The rows that are converted before they are multiplied.
    pub(super) converted: Option<RowsOfPhase>,
    /// Whether it is the first phase, in which the tape and the states of the step are not in the caches yet.
    pub(super) first: bool,
}

impl<'a> PhaseProducts<'a> {
    /// A phase, at a step and for a share of the blocks. (It is written in place: moving it took a tenth of a
    /// small step. It is not inlined: its copies in the callers took 6 KB of the library.)
    ///
    /// # Safety
    /// - The step exists in some row.
    #[inline(never)]
    pub(super) unsafe fn make<'b>(
        to: &'b mut MaybeUninit<Self>,
        forward: &'a Forward<'a>,
        step: usize,
        phase: usize,
        share: Share,
    ) -> &'b mut Self {
        let weights = forward.pass.weights();
        let of_phase = &weights.shape().forward[phase];
        let products = to.write(PhaseProducts {
            forward,
            share,
            step,
            phase: of_phase,
            calls: [const { MaybeUninit::uninit() }; MAX_CALLS],
            // SAFETY: the caller's promise.
            at: unsafe { step_ahead(forward, step) },
            finish: weights.cell.forward[phase],
            converted: RowsOfPhase::new(weights, of_phase, forward.projected.is_some()),
            first: phase == 0,
        });
        for (n, call) in products.phase.calls.iter().enumerate() {
            ReadyCall::fill(&mut products.calls[n], call, forward, &products.at);
        }
        products
    }

    /// Moves it to another step.
    ///
    /// # Safety
    /// - The step exists in some row.
    #[inline(always)]
    pub(super) unsafe fn go_to(&mut self, step: usize) {
        let PhaseProducts { forward, at, .. } = self;
        self.step = step;
        // SAFETY: the caller's promise.
        (at.step.before, at.step.after, at.records.tape) = unsafe { records(forward, step) };
        at.step.origins.go_to(step);
    }

    /// Sweeps it over some rows and its share of the blocks.
    ///
    /// # Safety
    /// - The step exists in these rows, and nobody else works on them and these blocks.
    /// - The step before is done, and so are the phases before.
    #[inline(never)]
    pub(super) unsafe fn sweep(&mut self, rows: Range<usize>) {
        let PhaseProducts { forward, share, step, .. } = *self;
        if self.converts() {
            // SAFETY: the caller's promise, passed on.
            unsafe { self.convert_rows(rows.clone()) };
        }
        for n in 0..self.phase.calls.len() {
            // SAFETY: each call of the phase was made ready.
            unsafe { self.calls[n].assume_init_mut() }.go_to(forward, (step, share), &self.at);
        }
        let blocks = share.part(self.blocks());
        // SAFETY: the caller's promise, passed on.
        unsafe { sweep(self, rows, blocks) };
    }

    /// Whether rows are converted before they are multiplied.
    #[inline(always)]
    pub(super) fn converts(&self) -> bool {
        self.converted.is_some()
    }

    /// Converts the rows of these ranks, if the phase [converts](Self::converts) any.
    ///
    /// # Safety
    /// - As for [`sweep`](Self::sweep).
    #[inline(never)]
    pub(super) unsafe fn convert_rows(&self, rows: Range<usize>) {
        let PhaseProducts { forward, step, ref at, .. } = *self;
        let (Some(converted), Some(to)) = (&self.converted, forward.converted) else { return };
        let row = |operand, rank| match operand {
            Operand::Input => forward.input_row(step, rank).cast(),
            Operand::Hidden => at.step.before.address(rank, forward.pass.multiplied(), 0),
            Operand::Scratch(plane) => at.records.scratch.address(rank, plane, 0),
        };
        let stride = |operand| stride_of(operand, forward, at);
        // SAFETY: the caller's promise; the slot is that of this share alone.
        unsafe { converted.convert(rows, (to, self.share.index()), row, stride) };
    }

    /// The blocks of the units that the phase computes.
    #[inline(always)]
    pub(super) fn blocks(&self) -> usize {
        let weights = self.forward.pass.weights();
        match self.phase.calls.first().and_then(|call| call.products.first()) {
            Some(product) => weights.panels[product.weights].blocks(),
            None => weights.blocks_of(weights.units()),
        }
    }

    /// Where the sums of a call wait, for a tile or a run of tiles. The sums of all calls begin at `sums`.
    #[inline(always)]
    pub(super) fn sums_of(&self, call: &Call, tile: &Tile, sums: *mut f32) -> SumPointers {
        let lanes = self.table().lanes;
        let per_block = self.phase.sums * lanes;
        SumPointers::strided(sums.wrapping_add(call.to * lanes), tile.blocks * per_block, per_block, lanes)
    }

    /// Multiplies a tile whose recurrent weights have heads: each by itself.
    ///
    /// # Safety
    /// - As for [`Tiles::products`].
    #[inline(never)]
    unsafe fn products_of_heads(&mut self, tile: &Tile, scratch: *mut f32) {
        for n in 0..self.phase.calls.len() {
            self.forward.pass.weights().heads().for_each_part(tile, |part| {
                // SAFETY: the caller's promise, passed on.
                unsafe { self.product_of_head(n, (tile, scratch), part) };
            });
        }
    }

    /// A call for the part of a tile that belongs to one head.
    ///
    /// # Safety
    /// - As for [`Tiles::products`] of the tile.
    unsafe fn product_of_head(&mut self, n: usize, (tile, scratch): (&Tile, *mut f32), part: &OfHead) {
        let (call, table, own) = (&self.phase.calls[n], self.table(), &part.tile);
        let vector = (own.row - tile.row) * tile.blocks + own.block - tile.block;
        let to = self.sums_of(call, tile, scratch.wrapping_add(vector * self.phase.sums * table.lanes));
        let mut list = NO_LIST;
        // SAFETY: each call of the phase was made ready.
        let ready = unsafe { self.calls[n].assume_init_mut() };
        ready.move_to_tile((own, to), self.forward, self.step, &mut list);
        ready.move_to_head(part, self.forward);
        let product = ready.product();
        let Some(lanes) = part.lanes else {
            // SAFETY: as for the product of a tile.
            return unsafe { table.kernel(call.gates, own.blocks, own.rows)(&product) };
        };
        // The recurrent weights come last. The products before them are of all lanes: the first head of a
        // block computes them.
        let (before, of_head) = product.segments.split_at(product.segments.len() - 1);
        if lanes.first == 0 {
            // SAFETY: as above.
            unsafe { table.kernel(call.gates, 1, own.rows)(&Product { segments: before, ..product }) };
        }
        // SAFETY: as above.
        unsafe { multiply_lanes(table, (call.gates, own.rows), (to, to), of_head, lanes) };
    }

    /// Prefetches the records that the tile, or the run of tiles, will write when its products are done. They
    /// are not in the caches yet, and states of rows and planes lie too far apart for the processor's own
    /// prefetcher.
    #[inline(always)]
    pub(super) fn prefetch_records(&self, tile: &Tile) {
        let (shape, lanes) = (self.forward.pass.weights().shape(), self.table().lanes);
        let Some(tape) = self.at.records.tape else { return };
        let (unit, units) = (tile.block * lanes, tile.blocks_of_run() * lanes);
        for row in tile.rows_of_run() {
            tape.prefetch(row, shape.tape, unit, units);
            self.at.step.after.prefetch(row, shape.state.len(), unit, units);
        }
    }
}

/// The records of a step, from rank 0 on.
///
/// # Safety
/// - The step exists in some row.
#[inline(always)]
unsafe fn step_ahead<'a>(forward: &'a Forward<'a>, step: usize) -> ForwardStep<'a> {
    // SAFETY: the step exists, and so do its records.
    unsafe {
        let (before, after, tape) = records(forward, step);
        let scratch = forward.scratch.slot(0, 0);
        ForwardStep {
            step: forward.pass.step(step, before, after),
            records: ForwardRecords { tape, scratch, output: forward.output.as_ref() },
        }
    }
}

/// The states on either side of a step and the tape, from rank 0 on.
///
/// # Safety
/// - The step exists in some row.
#[inline(always)]
unsafe fn records<'a>(forward: &Forward<'a>, step: usize) -> (Slot<'a>, Slot<'a>, Option<LineSlot<'a>>) {
    let (before, after) = forward.pass.slots(step);
    // SAFETY: the step exists, and so do its records.
    unsafe {
        let mut tape = None;
        if let Some(records) = forward.tape {
            tape = Some(records.slot(step, 0));
        }
        (forward.states.slot(before, 0), forward.states.slot(after, 0), tape)
    }
}

impl Tiles for PhaseProducts<'_> {
    #[inline(always)]
    fn table(&self) -> &'static Table {
        self.forward.pass.weights().table
    }
    #[inline(always)]
    fn gates(&self) -> usize {
        self.phase.calls.first().map_or(self.phase.sums.min(4), |call| call.gates)
    }
    #[inline(always)]
    fn sums(&self) -> usize {
        self.phase.sums
    }

    #[inline(always)]
    fn takes_runs(&self) -> bool {
        true
    }

    #[inline(always)]
    fn goes_down(&self) -> bool {
        self.forward.down.is_some_and(|even| self.step.is_multiple_of(2) == even)
    }

    #[inline(always)]
    fn is_zigzag(&self) -> bool {
        self.forward.down.is_some()
    }

    #[inline(always)]
    fn is_by_row(&self) -> bool {
        self.phase.calls.is_empty()
    }

    unsafe fn products(&mut self, tile: &Tile, scratch: *mut f32) {
        let (weights, table) = (self.forward.pass.weights(), self.table());
        if self.first {
            self.prefetch_records(tile);
        }
        if !weights.heads().are_one() {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.products_of_heads(tile, scratch) };
        }
        let mut list = NO_LIST;
        if self.phase.calls.is_empty() {
            let vectors = tile.tiles * tile.rows * tile.blocks;
            // SAFETY: the scratch has room for all sums of the tile.
            unsafe { scratch.write_bytes(0, vectors * self.phase.sums * table.lanes) };
        }
        for (n, call) in self.phase.calls.iter().enumerate() {
            let to = self.sums_of(call, tile, scratch);
            // SAFETY: each call of the phase was made ready.
            let ready = unsafe { self.calls[n].assume_init_mut() };
            ready.move_to_tile((tile, to), self.forward, self.step, &mut list);
            // SAFETY: rows and blocks exist, and the scratch is ours, by the caller's promise. Nobody writes
            // the rows: the input of a step that is computed is not written any more, the step before is
            // done, and so are earlier phases.
            unsafe { table.multiply(call.gates, ready.fringe(weights, tile), tile, &ready.product()) };
        }
    }

    unsafe fn finish(&self, row: usize, block: usize, blocks: Blocks, sums: *mut f32, vectors: usize) {
        let area = Area { rank: row, block, blocks, vectors };
        // SAFETY: the rows, blocks and records exist and are ours by the caller's promise, and so are the
        // sums.
        unsafe { (self.finish)(&ForwardSums { step: &self.at, area: &area, sums }) };
    }
}
