//! A phase of a step as products and what finishes them: where the plan of a cell meets rows, weights and memory.
//!
//! ```text
//! plan (cell/shape.rs)              here
//! Start::Bias(n)                    bias vectors n.. of the tile's blocks; or the sums of W x, where they are done already
//! Multiply { W, Input }             rows of the sequence
//! Multiply { R, Hidden }            the states before the step, with their recurrent dropout
//! Multiply { .., Scratch(plane) }   what an earlier phase has written
//! Call { to }                       the tile's scratch: [vector][sum][lane]
//! ```

use super::pass::Forward;
use crate::cell::{
    Ahead, Area, Call, ForwardFinish, ForwardStep, ForwardSums, Multiply, Operand, Phase, Start,
};
use crate::memory::{Planes, Slot};
use crate::product::{Blocks, MOST_ROWS, Panel, Place, Product, Rows, Segment, Table, Tile, Tiles};
use crate::simd::prefetch;

/// Products of one call at the most: of the input and of the state.
const MOST_PRODUCTS: usize = 2;

/// One phase of one step.
pub(super) struct PhaseProducts<'a> {
    forward: &'a Forward<'a>,
    step: usize,
    phase: &'static Phase,
    /// The step's records, from rank 0 on.
    at: ForwardStep<'a>,
    finish: ForwardFinish,
    /// Whether the tape and the states of the step are new to the caches: in the first phase.
    first: bool,
}

impl<'a> PhaseProducts<'a> {
    /// A phase of a step.
    ///
    /// # Safety
    /// - The step exists in some rows.
    #[inline(always)]
    pub(super) unsafe fn new(forward: &'a Forward<'a>, step: usize, phase: usize) -> Self {
        let pass = &forward.pass;
        let (before, after) = pass.slots(step);
        // SAFETY: step and rows exist, and so do their records.
        let (before, after, tape, scratch) = unsafe {
            let mut tape = None;
            if let Some(records) = forward.tape {
                tape = Some(records.slot(step, 0));
            }
            (forward.states.slot(before, 0), forward.states.slot(after, 0), tape, forward.scratch.slot(0, 0))
        };
        let ahead = Ahead { tape, scratch, output: forward.output.as_ref() };
        PhaseProducts {
            forward,
            step,
            phase: &pass.weights().shape().forward[phase],
            at: ForwardStep { step: pass.step(step, before, after), ahead },
            finish: pass.weights().cell.forward[phase],
            first: phase == 0,
        }
    }

    /// The blocks of the units that the phase computes.
    pub(super) fn blocks(&self) -> usize {
        let weights = self.forward.pass.weights();
        match self.phase.calls.first().and_then(|call| call.products.first()) {
            Some(product) => weights.panels[product.weights].blocks(),
            None => weights.blocks_of(weights.units()),
        }
    }

    /// Prefetches the records that the tile will write when its products are done: they are new to the caches, and the
    /// states of each row and plane too far apart for the processor to foresee.
    #[inline(always)]
    fn prefetch_records(&self, tile: &Tile) {
        let (shape, lanes) = (self.forward.pass.weights().shape(), self.table().lanes);
        let Some(tape) = self.at.ahead.tape else { return };
        let unit = tile.block * lanes;
        for row in tile.row..tile.row + tile.rows {
            prefetch_planes(tape, row, shape.tape, unit, (tile.blocks, lanes));
            prefetch_planes(self.at.step.after, row, shape.state.len(), unit, (tile.blocks, lanes));
        }
    }

    /// Where the sums of a call begin, if its input product is done.
    #[inline(always)]
    fn projected(&self, call: &Call, tile: &Tile) -> Option<Place<'static>> {
        let projected = self.forward.projected?;
        let input = call.products.iter().find(|product| product.rows == Operand::Input)?;
        let gate = self.forward.pass.weights().shape().packed[input.weights].first;
        let (lanes, slot) = (self.table().lanes, self.step - projected.first_step);
        let at = projected.sums.address(slot, tile.row, gate, tile.block * lanes);
        let grid = projected.sums.grid;
        Some(Place::strided(at, grid.row_stride(), lanes, grid.width()))
    }

    /// The bias vectors of a tile from this one on, for all rows.
    #[inline(always)]
    fn bias(&self, tile: &Tile, first: usize) -> Place<'static> {
        let weights = self.forward.pass.weights();
        let biases = &weights.biases;
        Place::shared(biases.get(tile.block, first).as_ptr(), biases.block_len(), weights.table.lanes)
    }

    /// The rows of a product, where `inputs` are those of the input.
    #[inline(always)]
    fn rows<'b>(&self, operand: Operand, tile: &Tile, inputs: Rows<'b, u32>) -> Rows<'b, u32> {
        let of = |slot: Slot<'_>, plane| {
            Rows::strided(slot.address(tile.row, plane, 0).cast(), slot.row_stride())
        };
        match operand {
            Operand::Input => inputs,
            Operand::Hidden => of(self.at.step.before, self.forward.pass.multiplied()),
            Operand::Scratch(plane) => of(self.at.ahead.scratch, plane),
        }
    }
}

/// Prefetches some blocks of the first planes of a row.
#[inline(always)]
pub(super) fn prefetch_planes(
    records: impl Planes,
    row: usize,
    planes: usize,
    unit: usize,
    (blocks, lanes): (usize, usize),
) {
    for plane in 0..planes {
        for block in 0..blocks {
            prefetch(records.address(row, plane, unit + block * lanes));
        }
    }
}

/// The inputs of some rows, of which `place` tells step and rank; of several by way of `list`.
#[inline(always)]
pub(super) fn input_rows<'a>(
    forward: &Forward<'_>,
    count: usize,
    list: &'a mut [*mut u32; MOST_ROWS],
    place: impl Fn(usize) -> (usize, usize),
) -> Rows<'a, u32> {
    let rows = forward.pass.rows;
    let row = |r| {
        let (step, rank) = place(r);
        forward.input.address(rows.time(step, rank), rows.order[rank], 0, 0).cast()
    };
    if count == 1 {
        return Rows::strided(row(0), 0);
    }
    for (r, to) in list.iter_mut().enumerate().take(count) {
        *to = row(r);
    }
    Rows::listed(list)
}

/// A segment of these rows with a tile's blocks of a panel.
#[inline(always)]
pub(super) fn segment<'a>(rows: Rows<'a, u32>, panel: &Panel, tile: &Tile) -> Segment<'a> {
    let next = if tile.part.is_none() {
        &[]
    } else {
        tile.part.take(panel.span(tile.block + tile.blocks, tile.blocks))
    };
    Segment::rows(rows, panel.weights(tile.block, tile.blocks, next))
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

    unsafe fn products(&self, tile: &Tile, scratch: *mut f32) {
        let (weights, table) = (self.forward.pass.weights(), self.table());
        let (lanes, sums) = (table.lanes, self.phase.sums);
        if self.first {
            self.prefetch_records(tile);
        }
        let mut list = [std::ptr::null_mut(); MOST_ROWS];
        let inputs = input_rows(self.forward, tile.rows, &mut list, |r| (self.step, tile.row + r));
        if self.phase.calls.is_empty() {
            // SAFETY: the scratch has room for all sums of the tile.
            unsafe { scratch.write_bytes(0, tile.rows * tile.blocks * sums * lanes) };
        }
        for call in self.phase.calls {
            let to = Place::strided(
                scratch.wrapping_add(call.to * lanes),
                tile.blocks * sums * lanes,
                sums * lanes,
                lanes,
            );
            let projected = self.projected(call, tile);
            let mut segments = [Segment::NONE; MOST_PRODUCTS];
            let (mut count, mut turn) = (0, None);
            for &Multiply { weights: index, rows, turn: bias } in call.products {
                if let Some(bias) = bias {
                    turn = Some((count, self.bias(tile, bias)));
                }
                if rows == Operand::Input && projected.is_some() {
                    continue;
                }
                segments[count] = segment(self.rows(rows, tile, inputs), &weights.panels[index], tile);
                count += 1;
            }
            let start = projected.unwrap_or_else(|| match call.start {
                Start::Bias(first) => self.bias(tile, first),
                Start::Zero => Place::zero(),
            });
            let product = Product { segments: &segments[..count], start, to, turn };
            // SAFETY: rows and blocks exist, and the scratch is ours, by the caller's promise. Nobody writes the rows: the
            // input of a step that is computed is not written any more, the step before is done, and so are earlier phases.
            unsafe { table.kernel(call.gates, tile.blocks, tile.rows)(&product) };
        }
    }

    unsafe fn finish(&self, row: usize, block: usize, blocks: Blocks, sums: *mut f32, vectors: usize) {
        let area = Area { rank: row, block, blocks, vectors };
        // SAFETY: the rows, blocks and records exist and are ours by the caller's promise, and so are the sums.
        unsafe { (self.finish)(&ForwardSums { step: &self.at, area, sums }) };
    }
}
