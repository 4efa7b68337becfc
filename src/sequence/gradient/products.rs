//! The gradients that are products: of weights and of the input.
//!
//! ```text
//! rows of the product    blocks            depth         left operand       right operand
//! dW    units of a gate  columns of X      places        columns of dG      the chunk's X, packed
//! dx    places           columns of x      gates * H     rows of dG         W^T, packed
//! ```
//!
//! dx has the packed weights as its right operand. For dW the chunk's rows of X (or Y, or M) are packed as a panel,
//! which gathers them from wherever they lie; dG lies in lines, so that its columns are read as well as its rows.
//! Either way a row of the product ends in one row of a grid, and all that the two differ in is what they multiply and
//! how that row is found: a [`Product`].
//!
//! A dW is summed over [`PLACES`] at a time of four blocks, and of [`UNITS`] units at a time, so that both stay in a near cache.
//!
//! `matrixmultiply` in the place of dW and dR was level with this within the noise of the machine it was
//! tried on (training steps of B32 T100 I256 H256 and B32 T64 I1 H128, two cores of a Xeon with AVX-512).
//! What decides is that it packs both operands and allocates on each call, computes sixteen columns where
//! the input has one, picks a level of its own, and sums each chunk by itself.

use super::{Chunk, Inputs};
use crate::cell::{Operand, Pass, Rows, Weights};
use crate::error::Error;
use crate::matrix::{Gates, GridMut, LinesRef, Panel, Part, Room, Row, Sums, Tile, WIDE, accumulate, sweep};
use crate::simd::{Isa, Token};
use std::ops::Range;

/// Places that a product over them takes at a time: of AVX-512, 128 KiB of the right operand and 32 KiB of the left, which come
/// from the level-2 cache as weights do. Each tile reads and writes its sums, which few processors have near: of 1024 units
/// that was a third of the time of dW with 128 places. (Training, one thread, medians of seven, Xeon, family 6, model 207,
/// against 128 and chunks half as long: 1.05 times as fast with 1024 units and 64 rows, 1.03 with 512 and with 256; on two
/// threads 1.04, 1.03 and 1.07; with AVX2 1.01 and 1.00 with 512 and 256, on two threads 1.06 with 256.)
pub(super) const PLACES: usize = 512;
/// Units whose dG stays in the level-2 cache while all blocks of X come by: 384 KiB of these places. (Of more, each block had dG
/// come from afar. The same machine, with this and the next block prefetched, medians of seven: 1.03 times as fast with 1024
/// units, 1.01 with 512 and 256.) A multiple of every tile's rows.
const UNITS: usize = 192;

/// The rows that the gate gradients of a chunk are multiplied with, packed.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(super) input: Panel,
    pub(super) hidden: Panel,
    /// What the weights of the second phase were multiplied with.
    pub(super) second: Panel,
}

impl Packed {
    /// Makes room for a chunk of so many places.
    pub(crate) fn reserve(&mut self, weights: &Weights, places: usize) -> Result<(), Error> {
        let lanes = weights.input.lanes();
        self.input.reserve(lanes, places, weights.input.depth())?;
        self.hidden.reserve(lanes, places, weights.outputs())?;
        self.second.reserve(lanes, places, weights.units())
    }

    /// Packs the rows of a chunk, x on one thread and h on another if there are some.
    pub(super) fn pack(&mut self, inputs: &Inputs<'_>, chunk: &Chunk<'_>, threads: usize) {
        let Packed { input, hidden, second } = self;
        let mut x = || {
            let Pass { weights, rows, .. } = inputs.pass;
            let x =
                |&(step, rank): &_| Row::of(inputs.input.plane(rows.time(step, rank), rows.order[rank], 0));
            input.pack_rows(weights.input.lanes(), weights.input.depth(), chunk.places.iter().map(x));
        };
        let mut h = || pack_states((hidden, second), inputs, chunk);
        if threads > 1 {
            rayon::join(x, h);
        } else {
            x();
            h();
        }
    }
}

/// Packs what is multiplied with recurrent weights, in the first phase and in the second.
fn pack_states((hidden, second): (&mut Panel, &mut Panel), inputs: &Inputs<'_>, chunk: &Chunk<'_>) {
    let Pass { weights, reverse, .. } = inputs.pass;
    let (lanes, traits) = (weights.input.lanes(), weights.variant.traits());
    // The state before step t: slot t forward in time, slot t + 1 backward.
    let (shift, plane) = (usize::from(reverse), inputs.pass.multiplied());
    // SAFETY: here and below, the records exist, and nobody writes states and tape on the way back.
    let h = |&(step, rank): &_| Row::of(unsafe { chunk.states.plane(step + shift, rank, plane) });
    hidden.pack_rows(lanes, weights.outputs(), chunk.places.iter().map(h));
    let plane = match (traits.projection, traits.recurrent.last()) {
        (Some((_, plane)), _) | (None, Some(&(_, Operand::Tape(plane)))) => plane,
        _ => return,
    };
    // SAFETY: as above.
    let m = |&(step, rank): &_| unsafe { chunk.tape.row(step, rank, plane) };
    second.pack_rows(lanes, weights.units(), chunk.places.iter().map(m));
}

/// A product whose rows each end in a row of a grid.
pub(super) trait Product {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// The slot and the row of the grid for this row of the product.
    fn target(&self, row: usize) -> (usize, usize);

    /// Adds the product of R rows from `row` on and U blocks from `block` on to `sums`, and does `part` of the
    /// prefetching.
    fn add<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        sums: &mut Sums<I::Vector, R, U, 1>,
        row: usize,
        block: usize,
        part: Part,
    );
}

/// A product with the grid that it goes to. Its sums begin with what is there if `add`, and with zero if not.
pub(super) struct Gradient<'a, P> {
    pub(super) product: P,
    pub(super) to: GridMut<'a>,
    pub(super) add: bool,
}

impl<'a, P: Product> Gradient<'a, P> {
    /// The columns of `count` blocks in one row, fewer in the last block.
    ///
    /// # Safety
    /// - The row exists, and nobody else reads or writes these columns while the slice lives.
    #[inline(always)]
    unsafe fn columns<I: Isa>(&self, row: usize, block: usize, count: usize) -> &'a mut [f32] {
        let (slot, row) = self.product.target(row);
        let end = ((block + count) * I::LANES).min(self.to.grid.width());
        // SAFETY: the caller's promise, passed on.
        unsafe { self.to.columns(slot, row, 0, block * I::LANES..end) }
    }

    /// Has the columns of U blocks in R rows come nearer, with which the next tile begins: some lines of each row, rows
    /// apart, which the processor does not foresee. (Of 1024 units a fifth of the time of dW was spent waiting for them.
    /// Xeon, family 6, model 207, one thread, shortest of sixteen times: with this a training step takes 3 % less with 1024
    /// units, 8 % with 650, up to 4 % with 512, and as long with 256.)
    #[inline(always)]
    fn prefetch<I: Isa, const R: usize, const U: usize>(&self, isa: I, row: usize, block: usize) {
        for r in 0..R {
            let (slot, row) = self.product.target((row + r).min(self.product.rows() - 1));
            for u in 0..U {
                isa.prefetch(self.to.address(slot, row, 0, (block + u) * I::LANES));
            }
        }
    }
}

impl<P: Product> Tile for Gradient<'_, P> {
    const ACCUMULATORS: usize = 1;
    const WEIGHTS: usize = 1;

    #[inline(always)]
    unsafe fn products<'r, I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        row: usize,
        block: usize,
        part: Part,
        _room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        let mut sums = [[[isa.zero(); 1]; U]; R];
        self.prefetch::<I, R, U>(isa, row + R, block);
        let whole = (block + U) * I::LANES <= self.to.grid.width();
        if self.add {
            for r in 0..R {
                // SAFETY: the row exists, and by the caller's promise is ours.
                let from = unsafe { self.columns::<I>(row + r, block, U) };
                for u in 0..U {
                    let from = &from[columns_of::<I>(u, from.len())];
                    sums[r][u][0] = if whole { isa.load(from) } else { isa.load_partial(from) };
                }
            }
        }
        self.product.add(isa, &mut sums, row, block, part);
        // Nothing becomes of these sums, so they go from the registers to where they belong. (By way of the stack, as the sums
        // of a cell do, a training step of 1024 units took 3 % longer, of 512 and 256 1 %. Xeon, family 6, model 207, one thread.)
        for r in 0..R {
            // SAFETY: as above.
            let to = unsafe { self.columns::<I>(row + r, block, U) };
            for u in 0..U {
                let columns = columns_of::<I>(u, to.len());
                if whole {
                    isa.store(&mut to[columns], sums[r][u][0]);
                } else {
                    isa.store_partial(&mut to[columns], sums[r][u][0]);
                }
            }
        }
        &mut []
    }
}

/// The columns of block u, of so many columns in all.
#[inline(always)]
fn columns_of<I: Isa>(u: usize, count: usize) -> Range<usize> {
    (u * I::LANES).min(count)..((u + 1) * I::LANES).min(count)
}

/// `dG^T X` of one gate over some places: rows are hidden units, blocks the columns of X.
#[derive(Clone)]
pub(super) struct WeightProduct<'a> {
    pub(super) grads: LinesRef<'a>,
    /// The plane of dG, the gate of dW, and the units of that.
    pub(super) plane: usize,
    pub(super) gate: usize,
    pub(super) units: usize,
    /// X: a row for each place.
    pub(super) packed: &'a Panel,
    pub(super) places: Range<usize>,
}

impl Product for WeightProduct<'_> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.units
    }

    #[inline(always)]
    fn target(&self, unit: usize) -> (usize, usize) {
        (self.gate, unit)
    }

    #[inline(always)]
    fn add<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        sums: &mut Sums<I::Vector, R, U, 1>,
        unit: usize,
        block: usize,
        part: Part,
    ) {
        let Range { start, end } = self.places;
        let columns = self.grads.columns::<R>(start..end, self.plane, unit);
        let blocks = self.packed.blocks_from::<U>(block, start, end);
        // Of some of the places the next blocks are not one piece. (A chunk has more than that where units are few, and all of X
        // is near, or where there are more than so many rows.)
        let whole = start == 0 && end == self.packed.depth();
        let ahead = if whole { part.take(self.packed.span(block + U, U)) } else { &[] };
        accumulate(isa, sums, columns, blocks, ahead);
    }
}

impl Gradient<'_, WeightProduct<'_>> {
    /// All blocks of some units.
    ///
    /// # Safety
    /// - The units exist, and nobody else works on them.
    pub(super) unsafe fn sweep(&self, token: Token, units: Range<usize>) {
        let Gradient { ref product, to, add } = *self;
        let blocks = product.packed.blocks();
        for start in product.places.clone().step_by(PLACES) {
            let places = start..(start + PLACES).min(product.places.end);
            let add = add || start > product.places.start;
            let part = Gradient { product: WeightProduct { places, ..product.clone() }, to, add };
            for first in units.clone().step_by(UNITS) {
                let units = first..(first + UNITS).min(units.end);
                for first in (0..blocks).step_by(WIDE) {
                    // SAFETY: the caller's promise, passed on.
                    unsafe { sweep(token, &part, units.clone(), first..(first + WIDE).min(blocks)) };
                }
            }
        }
    }
}

/// `dG W` at the places of a chunk, or the part of some gates.
pub(super) struct InputProduct<'a> {
    pub(super) grads: LinesRef<'a>,
    /// W^T of each gate. Their gradients are the first planes of dG.
    pub(super) weights: &'a [Panel],
    pub(super) gates: Gates,
    /// (step, rank) of the rows.
    pub(super) places: &'a [(usize, usize)],
    pub(super) rows: &'a Rows,
}

impl Product for InputProduct<'_> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.places.len()
    }

    #[inline(always)]
    fn target(&self, place: usize) -> (usize, usize) {
        let (step, rank) = self.places[place];
        (self.rows.time(step, rank), self.rows.order[rank])
    }

    #[inline(always)]
    fn add<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        sums: &mut Sums<I::Vector, R, U, 1>,
        place: usize,
        block: usize,
        part: Part,
    ) {
        for gate in self.gates.range() {
            let panel = &self.weights[gate];
            let (rows, blocks) = (
                self.grads.rows::<R>(place, gate, panel.depth()),
                panel.blocks_from::<U>(block, 0, panel.depth()),
            );
            let ahead = self.gates.ahead(self.weights, (gate, part), block, U);
            accumulate(isa, sums, rows, blocks, ahead);
        }
    }
}
