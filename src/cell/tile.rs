//! The tile, which is all that a cell sees: some rows and blocks of hidden units at one step, read and
//! written a vector at a time.
//!
//! ```text
//!                 block 0   block 1                a step's records of these rows, each found once:
//!   row rank      v = 0     v = 1                  before, after    the states on either side of it
//!   row rank + 1  v = 2     v = 3                  forward: tape, scratch; backward: tape, grads, carry
//! ```
//!
//! A cell accesses a record by `v`, the vector of the tile, and by plane. `forward_tile.rs` and
//! `backward_tile.rs` have the methods of each direction. `sequence/records.rs` shows how the records lie.
//!
//! **Soundness.** The code that makes a tile promises once that its rows, blocks and records exist and belong
//! to it. So no cell needs `unsafe`: every access checks its vector against the tile and its plane against
//! the records. Both are mostly constants where a cell is compiled, and the compiler removes the checks.
//! (The `unsafe` methods below take records from their caller, who promises that these are the tile's.)

use super::{C, Masks, Options, Weights, Zoneout};
use crate::memory::{Planes, Row, Slot};
use crate::product::Blocks;
use crate::simd::Isa;

/// Where each rank comes from, from the first rank of a step on: its step of the sequence and its row of the
/// batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origins<'a> {
    order: &'a [usize],
    first: &'a [usize],
    times: &'a [usize],
    step: usize,
}

impl<'a> Origins<'a> {
    /// Ranks with these rows. The times of the steps of a rank begin at `first[rank]` in `times`; if `times`
    /// is empty, a step of a rank is the step of the sequence.
    #[inline(always)]
    pub(crate) fn new(order: &'a [usize], first: &'a [usize], times: &'a [usize], step: usize) -> Self {
        Origins { order, first, times, step }
    }

    /// The same of another step.
    #[inline(always)]
    pub(crate) fn go_to(&mut self, step: usize) {
        self.step = step;
    }

    /// The step of the sequence and the row that a rank has there.
    #[inline(always)]
    pub(crate) fn get(&self, rank: usize) -> (usize, usize) {
        let time = if self.times.is_empty() { self.step } else { self.times[self.first[rank] + self.step] };
        (time, self.order[rank])
    }
}

/// A cell with its weights, its dropout and its zoneout: the same at every step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) weights: &'a Weights,
    /// Recurrent dropout, if there is any.
    pub(crate) masks: Option<Masks<'a>>,
    /// Zoneout, if there is any; the cell is then one with options.
    pub(crate) zoneout: Option<Zoneout>,
}

/// What the tiles of a step share in both passes, from rank 0 on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) origins: Origins<'a>,
    /// The states on either side of the step.
    pub(crate) before: Slot<'a>,
    pub(crate) after: Slot<'a>,
}

/// The rows and blocks of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) rank: usize,
    pub(crate) block: usize,
    pub(crate) blocks: Blocks,
    /// Vectors: all blocks of some rows, or some blocks of one.
    pub(crate) vectors: usize,
}

/// Some rows of one step by one block of hidden units or several.
///
/// Its vectors count through the blocks of its first row, then of its second: `v` below. It is held by value,
/// in registers: through references the compiler would reload the fields after each store, since a store
/// might change them. (In the loop that finishes an LSTM that was half of the instructions.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellTile<'a, I: Isa, P> {
    /// The vector instructions.
    pub(crate) isa: I,
    pub(super) step: Step<'a>,
    pub(super) area: Area,
    /// The part that only this pass has.
    pub(super) pass: P,
}

impl<'a, I: Isa, P> CellTile<'a, I, P> {
    /// A tile of a step.
    ///
    /// # Safety
    /// - The rows, the blocks and their records exist, those of `pass` included.
    /// - Nobody else works on these rows and blocks, and everything that is read of others is finished.
    #[inline(always)]
    pub(super) unsafe fn new(isa: I, step: Step<'a>, area: Area, pass: P) -> Self {
        CellTile { isa, step, area, pass }
    }

    /// How many vectors belong to one row.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.area.blocks.count()
    }

    /// The rank of a vector.
    #[inline(always)]
    pub(super) fn rank(&self, v: usize) -> usize {
        self.area.rank + self.area.blocks.row(v)
    }

    /// The block of a vector.
    #[inline(always)]
    fn block(&self, v: usize) -> usize {
        self.area.block + self.area.blocks.column(v)
    }

    /// The first hidden unit of a vector.
    #[inline(always)]
    pub(super) fn unit(&self, v: usize) -> usize {
        self.block(v) * I::LANES
    }

    /// Hidden units of the layer.
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.step.context.weights.units()
    }

    /// The options of the cell.
    #[inline(always)]
    pub(crate) fn options(&self) -> &'a Options {
        &self.step.context.weights.variant.options
    }

    /// Weights from each unit to itself: peepholes, 0 to 2 for i, f, o, or those of a diagonal R.
    #[inline(always)]
    pub(crate) fn diagonal(&self, v: usize, vector: usize) -> I::Vector {
        self.isa.load(self.step.context.weights.diagonals.get(self.block(v), vector))
    }

    /// A gain or shift of the normalisation, of all units.
    #[inline(always)]
    pub(crate) fn norm_row(&self, vector: usize) -> Row<'a> {
        Row::of(self.step.context.weights.norms.get(vector))
    }

    /// A gain or shift of the normalisation.
    #[inline(always)]
    pub(crate) fn norm(&self, v: usize, vector: usize) -> I::Vector {
        self.isa.load(&self.step.context.weights.norms.get(vector)[self.unit(v)..])
    }

    /// The state before the step.
    #[inline(always)]
    pub(crate) fn before(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: records of this tile.
        unsafe { self.read(self.step.before, v, plane) }
    }

    /// The state after the step. In the forward pass, only the planes that an earlier phase has written.
    #[inline(always)]
    pub(crate) fn after(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: records of this tile.
        unsafe { self.read(self.step.after, v, plane) }
    }

    /// The new cell state before its zoneout, from its plane of the state after the step.
    #[inline(always)]
    pub(crate) fn new_cell_state(&self) -> usize {
        self.step.context.zoneout.map_or(C, |zoneout| zoneout.new_cell_state)
    }

    /// The hidden state before the step as the recurrent weights see it: with its dropout, where there is
    /// any.
    #[inline(always)]
    pub(crate) fn multiplied(&self, v: usize) -> I::Vector {
        self.before(v, Masks::multiplied(self.step.context.masks))
    }

    /// A value times the recurrent dropout, if there is any: the value that the recurrent weights multiply
    /// or, in the backward pass, its gradient.
    #[inline(always)]
    pub(crate) fn masked(&self, v: usize, value: I::Vector) -> I::Vector {
        match self.step.context.masks {
            None => value,
            Some(masks) => {
                let (_, row) = self.step.origins.get(self.rank(v));
                self.isa.mul(value, self.isa.load(&masks.row(row)[self.unit(v)..]))
            }
        }
    }

    /// The factor `taken` of the zoneout of the plane H or C. `None` without zoneout of that plane.
    #[inline(always)]
    pub(super) fn taken(&self, v: usize, plane: usize) -> Option<I::Vector> {
        match self.step.context.zoneout {
            Some(zoneout) if zoneout.p[plane] > 0.0 => {
                Some(zoneout.taken(self.isa, plane, self.step.origins.get(self.rank(v)), self.unit(v)))
            }
            _ => None,
        }
    }

    /// The address of a vector of a plane of some records of these rows.
    #[inline(always)]
    fn address(&self, records: impl Planes, v: usize, plane: usize) -> *mut f32 {
        assert!(v < self.area.vectors && plane < records.planes());
        records.address(self.rank(v), plane, self.unit(v))
    }

    /// A plane of some records of these rows.
    ///
    /// # Safety
    /// - The records are of this tile's step.
    #[inline(always)]
    pub(super) unsafe fn read(&self, records: impl Planes, v: usize, plane: usize) -> I::Vector {
        // SAFETY: row and block are the tile's, and the plane is checked; a plane is padded to whole vectors
        // of every level. What is read is written by this tile alone, or was before its phase began.
        unsafe { self.isa.load_ptr(self.address(records, v, plane)) }
    }

    /// A plane of some records of these rows, of all units.
    ///
    /// # Safety
    /// - The records are of this tile's step.
    #[inline(always)]
    pub(super) unsafe fn read_row(&self, records: impl Planes + 'a, v: usize, plane: usize) -> Row<'a> {
        assert!(v < self.area.vectors && plane < records.planes());
        // SAFETY: the row exists, and the phase that wrote this plane is done in all blocks.
        unsafe { records.row(self.rank(v), plane) }
    }

    /// Writes a plane of some records of these rows.
    ///
    /// # Safety
    /// - The records are of this tile's step, and to be written.
    #[inline(always)]
    pub(super) unsafe fn write(&self, to: impl Planes, v: usize, plane: usize, value: I::Vector) {
        // SAFETY: as for `read`; nobody else reads or writes the vectors of this tile.
        unsafe { self.isa.store_ptr(self.address(to, v, plane), value) }
    }
}
