//! What the tiles of both ways through time have in common: where they are, and how they read and write there.
//!
//! ```text
//!                 block 0   block 1                a step's records of these rows, each found once:
//!   row rank      v = 0     v = 1                  before, after    the states on either side of it
//!   row rank + 1  v = 2     v = 3                  and what there is on one way alone: tape, scratch | grads, carry
//! ```
//!
//! A cell asks by `v`, the vector of the tile, and by plane. `forward_tile.rs` and `backward_tile.rs` say what a
//! tile has besides, and what it can do on its way.

use super::rows::Places;
use super::{Options, Pass};
use crate::matrix::{Blocks, Part, Planes, Row, Slot};
use crate::simd::Isa;

/// Some rows of one step by one block of hidden units or several.
///
/// Its vectors count through the blocks of its first row, then of its second: `v` below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellTile<'a, I: Isa, W> {
    /// The vector instructions.
    pub(crate) isa: I,
    pub(super) pass: &'a Pass<'a>,
    pub(super) rank: usize,
    pub(super) block: usize,
    pub(super) blocks: Blocks,
    pub(super) part: Part,
    pub(super) before: Slot<'a>,
    pub(super) after: Slot<'a>,
    pub(super) places: Places<'a>,
    /// What there is on this way through time alone.
    pub(super) way: W,
}

impl<'a, I: Isa, W> CellTile<'a, I, W> {
    /// How many vectors of a tile belong to one row.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.count()
    }

    /// The row of a vector, counted from the first of the tile.
    #[inline(always)]
    pub(super) fn row(&self, v: usize) -> usize {
        self.blocks.row(v)
    }

    /// The first hidden unit of a vector.
    #[inline(always)]
    pub(super) fn unit(&self, v: usize) -> usize {
        (self.block + self.blocks.column(v)) * I::LANES
    }

    /// Hidden units of the layer.
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.pass.weights.units()
    }

    /// The options of the cell.
    #[inline(always)]
    pub(crate) fn options(&self) -> &'a Options {
        &self.pass.weights.variant.options
    }

    /// A peephole: 0 to 2 for i, f, o.
    #[inline(always)]
    pub(crate) fn peephole(&self, v: usize, gate: usize) -> I::Vector {
        self.isa.load(self.pass.weights.peepholes.get(self.block + self.blocks.column(v), gate))
    }

    /// A gain or shift of the normalisation, of all units.
    #[inline(always)]
    pub(crate) fn norm_row(&self, vector: usize) -> Row<'a> {
        Row::of(self.pass.weights.norms.get(vector))
    }

    /// A gain or shift of the normalisation.
    #[inline(always)]
    pub(crate) fn norm(&self, v: usize, vector: usize) -> I::Vector {
        self.isa.load(&self.pass.weights.norms.get(vector)[self.unit(v)..])
    }

    /// The state before the step.
    #[inline(always)]
    pub(crate) fn before(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.before, v, plane)
    }

    /// The state after the step; forward, what an earlier phase has written of it.
    #[inline(always)]
    pub(crate) fn after(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.after, v, plane)
    }

    /// The plane of the state after the step that has the new cell state before its zoneout.
    #[inline(always)]
    pub(crate) fn new_cell_state(&self) -> usize {
        self.pass.new_cell_state()
    }

    /// The hidden state before the step as the recurrent weights see it: with its dropout, where there is any.
    #[inline(always)]
    pub(crate) fn multiplied(&self, v: usize) -> I::Vector {
        self.before(v, self.pass.multiplied())
    }

    /// A value with the recurrent dropout, where there is any: what the recurrent weights multiply, or on the way back
    /// a gradient of that.
    #[inline(always)]
    pub(crate) fn masked(&self, v: usize, value: I::Vector) -> I::Vector {
        match self.pass.masks {
            None => value,
            Some(masks) => {
                let factors = masks.row(self.pass.rows, self.rank + self.row(v));
                self.isa.mul(value, self.isa.load(&factors[self.unit(v)..]))
            }
        }
    }

    /// The part of what is new in the plane H or C that zoneout takes, where that plane has any.
    #[inline(always)]
    pub(super) fn taken(&self, v: usize, plane: usize) -> Option<I::Vector> {
        match self.pass.zoneout {
            Some(zoneout) if zoneout.p[plane] > 0.0 => {
                Some(zoneout.taken(self.isa, plane, self.places.get(self.row(v)), self.unit(v)))
            }
            _ => None,
        }
    }

    /// Has the first planes of the record of a row come nearer.
    #[inline(always)]
    pub(super) fn prefetch_planes(&self, records: impl Planes<'a>, row: usize, planes: usize) {
        for plane in 0..planes {
            for block in self.block..self.block + self.blocks() {
                self.isa.prefetch(records.address(row, plane, block * I::LANES));
            }
        }
    }

    /// A plane of some records of these rows.
    #[inline(always)]
    pub(super) fn read(&self, records: impl Planes<'a>, v: usize, plane: usize) -> I::Vector {
        // SAFETY: row and block exist, and what is read is written by this tile alone, or was before its phase began.
        self.isa.load(unsafe { records.columns(self.row(v), plane, self.unit(v), I::LANES) })
    }

    /// A plane of some records of these rows, of all units.
    #[inline(always)]
    pub(super) fn read_row(&self, records: impl Planes<'a>, v: usize, plane: usize) -> Row<'a> {
        // SAFETY: the row exists, and the phase that wrote this plane is done in all blocks.
        unsafe { records.row(self.row(v), plane) }
    }

    /// Writes a plane of some records of these rows.
    #[inline(always)]
    pub(super) fn write(&self, to: impl Planes<'a>, v: usize, plane: usize, value: I::Vector) {
        // SAFETY: the row exists, the columns are those of a block of this tile, and a plane is padded to whole
        // vectors of every level.
        let to = unsafe { to.columns_mut(self.row(v), plane, self.unit(v), I::LANES) };
        self.isa.store(to, value);
    }
}
