//! Products whose sums belong in a matrix that others own: gradients of weights and of the input.
//!
//! ```text
//! rows of the product    blocks            depth         left operand       right operand
//! dW    units of a gate  columns of X      places        columns of dG      the chunk's X, packed
//! dx    places           columns of x      gates * H     rows of dG         W^T, packed
//! ```
//!
//! The sums begin with what is there, or with zero, and go from the registers to where they belong. By way of
//! the stack, as the sums of a cell do, is slower (`X207/stack`). A row of the target is as wide as the
//! matrix, and not padded: a tile of the last blocks of a row goes through a copy, in which blocks are whole.
//!
//! Where depth is small, what surrounds a tile is as long as its product. So tiles of dW are multiplied in
//! runs, with the columns of dG found once for all blocks of X (`Z4/runs`).
//!
//! `matrixmultiply` would be as fast for dW and dR (`X207/matrixmultiply`). It is not used here because it
//! packs both operands and allocates on each call, computes sixteen columns where the input has one, chooses
//! its own level, and sums each chunk by itself.

use super::kernel::{Ends, Product};
use super::operand::{MAX_ROWS, Prefetch, RowPointers, Segment, Segments, SumPointers};
use super::panel::Panel;
use super::sweep::{Tiles, sweep};
use super::table::Table;
use super::tile::{Tile, WIDE};
use crate::memory::{GridMut, LinesRef};
use crate::simd::{LINE, prefetch};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Places that a product over places takes at a time. On AVX-512 these are 128 KiB of the right operand and
/// 32 KiB of the left, which come from the level-2 cache as weights do. Fewer places are slower: each tile
/// reads and writes its sums, which are seldom in a near cache, and for 1024 units and 128 places that was a
/// third of the time of dW. (`X207/places`)
pub(crate) const PLACES: usize = 512;
/// Units whose dG stays in the level-2 cache while all blocks of X are multiplied: 384 KiB for these places.
/// With more units, each block read dG from farther away. (`X207/units`) A multiple of every level's tile
/// heights.
pub(crate) const UNITS: usize = 192;

/// What is multiplied, and where each row of it goes.
pub(crate) trait Gradient {
    /// The kernels.
    fn table(&self) -> &'static Table;
    /// The grid that the sums go to, and whether they are added to what is there.
    fn to(&self) -> (GridMut<'_>, bool);
    /// The number of rows.
    fn rows(&self) -> usize;
    /// The slot and the row of the grid for this row of the product.
    fn target(&self, row: usize) -> (usize, usize);
    /// Whether rows that follow each other have targets that do: their tiles are multiplied in runs.
    const IN_ORDER: bool;
    /// Makes the segments of a tile, and of those that follow it in a run.
    fn push_segments(&self, tile: &Tile, to: &mut Segments);
}

/// A gradient as work for a sweep.
struct Work<'a, G>(&'a G);

impl<G: Gradient> Work<'_, G> {
    /// Where each row of a tile begins, at the columns of its first block; by way of `list` if the rows lie
    /// in no order.
    #[inline(always)]
    fn rows(&self, to: GridMut<'_>, tile: &Tile, list: &mut [*mut f32; MAX_ROWS]) -> RowPointers<f32> {
        let column = tile.block * self.0.table().lanes;
        let at = |row| {
            let (slot, row) = self.0.target(row);
            to.address(slot, row, 0, column)
        };
        if const { G::IN_ORDER } {
            return RowPointers::strided(at(tile.row), to.grid.row_stride());
        }
        for (r, row) in list.iter_mut().enumerate().take(tile.rows) {
            *row = at(tile.row + r);
        }
        RowPointers::listed(list)
    }

    /// Prefetches the sums of the tile that comes next, as kernels do in a run.
    #[inline(always)]
    fn prefetch_next(&self, to: GridMut<'_>, tile: &Tile, lanes: usize) {
        let (first, last) = (tile.row + tile.rows, self.0.rows() - 1);
        for row in first..first + tile.rows {
            let (slot, row) = self.0.target(row.min(last));
            let at = to.address(slot, row, 0, tile.block * lanes);
            for column in (0..tile.blocks * lanes).step_by(LINE) {
                prefetch(at.wrapping_add(column));
            }
        }
    }

    /// Multiplies a tile.
    ///
    /// # Safety
    /// - The ends have the tile's rows and blocks, and are ours.
    #[inline(never)]
    unsafe fn multiply(&self, tile: &Tile, ends: &Ends) {
        let mut segments = Segments::new();
        self.0.push_segments(tile, &mut segments);
        let product = Product { ends, segments: segments.all() };
        // SAFETY: the caller's promise; the segments exist by that of who made the gradient.
        unsafe { self.0.table().kernel(1, tile.blocks, tile.rows)(&product) };
    }

    /// A tile, or a run of them, whose blocks are whole.
    ///
    /// # Safety
    /// - As for [`Tiles::products`].
    #[inline(always)]
    unsafe fn whole_blocks(&self, to: GridMut<'_>, add: bool, tile: &Tile) {
        let lanes = self.0.table().lanes;
        if const { !G::IN_ORDER } {
            self.prefetch_next(to, tile, lanes);
        }
        let mut list = [std::ptr::null_mut(); MAX_ROWS];
        let mut place = SumPointers { rows: self.rows(to, tile, &mut list), block: lanes, gate: 0, next: 0 };
        place.follow(tile);
        let start = if add { place } else { SumPointers::zero() };
        let (tiles, quiet, fetches_next) = (tile.tiles, tile.quiet, true);
        let ends = Ends { tiles, quiet, fetches_next, ..Ends::new(start, place) };
        // SAFETY: rows and columns exist, and are ours by the caller's promise.
        unsafe { self.multiply(tile, &ends) };
    }

    /// A tile whose last block is in part: on a copy, where it is whole.
    ///
    /// # Safety
    /// - As for [`Tiles::products`].
    #[inline(never)]
    unsafe fn last_blocks(&self, to: GridMut<'_>, add: bool, tile: &Tile) {
        let table = self.0.table();
        let (first, width) = (tile.block * table.lanes, tile.blocks * table.lanes);
        let columns = to.grid.width() - first;
        let mut list = [std::ptr::null_mut(); MAX_ROWS];
        for (r, row) in list.iter_mut().enumerate().take(tile.rows) {
            let (slot, target) = self.0.target(tile.row + r);
            *row = to.address(slot, target, 0, first);
        }
        let list = &list[..tile.rows];
        let mut whole = Whole([const { MaybeUninit::uninit() }; MAX_ROWS * Whole::ROW]);
        debug_assert!(columns < width && width <= Whole::ROW);
        if add {
            // SAFETY: the rows have `columns` columns from here on, which are ours; the copy has more.
            unsafe { whole.read(list, columns, width) };
        }
        let place = SumPointers::strided(whole.0.as_mut_ptr().cast(), Whole::ROW, table.lanes, 0);
        let start = if add { place } else { SumPointers::zero() };
        // SAFETY: the copy has the tile's rows and blocks, and is set where it is read; as above, once the
        // product has set it.
        unsafe {
            self.multiply(tile, &Ends::new(start, place));
            whole.write(list, columns);
        }
    }
}

/// The last blocks of some rows of a target, where they are whole.
#[repr(align(64))]
struct Whole([MaybeUninit<f32>; MAX_ROWS * Whole::ROW]);

impl Whole {
    const ROW: usize = WIDE * LINE;

    /// Copies some columns of each row, and zeros up to a width.
    ///
    /// # Safety
    /// - The rows have these columns, which nobody writes meanwhile.
    #[inline(never)]
    unsafe fn read(&mut self, rows: &[*mut f32], columns: usize, width: usize) {
        for (whole, &row) in self.0.chunks_exact_mut(Whole::ROW).zip(rows) {
            let (copy, rest) = whole[..width].split_at_mut(columns);
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(row, copy.as_mut_ptr().cast(), columns) };
            rest.fill(MaybeUninit::new(0.0));
        }
    }

    /// Copies some columns back.
    ///
    /// # Safety
    /// - The columns are set here, and the rows have them, which are the caller's.
    #[inline(never)]
    unsafe fn write(&self, rows: &[*mut f32], columns: usize) {
        for (whole, &row) in self.0.chunks_exact(Whole::ROW).zip(rows) {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(whole[..columns].as_ptr().cast(), row, columns) };
        }
    }
}

impl<G: Gradient> Tiles for Work<'_, G> {
    fn table(&self) -> &'static Table {
        self.0.table()
    }
    fn gates(&self) -> usize {
        1
    }
    fn sums(&self) -> usize {
        0
    }
    #[inline(always)]
    fn takes_runs(&self) -> bool {
        G::IN_ORDER
    }
    #[inline(always)]
    unsafe fn products(&mut self, tile: &Tile, _: *mut f32) {
        let (to, add) = self.0.to();
        let lanes = self.0.table().lanes;
        if (tile.block + tile.blocks_of_run()) * lanes > to.grid.width() {
            for one in tile.each() {
                // SAFETY: the caller's promise, passed on.
                unsafe {
                    if (one.block + one.blocks) * lanes > to.grid.width() {
                        self.last_blocks(to, add, &one);
                    } else {
                        self.whole_blocks(to, add, &one);
                    }
                }
            }
            return;
        }
        // SAFETY: as above.
        unsafe { self.whole_blocks(to, add, tile) };
    }
}

/// Computes some rows and blocks of a gradient.
///
/// # Safety
/// - The rows and blocks exist, no two rows have the same target, and nobody else works on them.
/// - The targets are in the grid; the segments are of rows and weights that exist, packed for the vectors of
///   the table.
pub(crate) unsafe fn sweep_gradient(gradient: &impl Gradient, rows: Range<usize>, blocks: Range<usize>) {
    // SAFETY: the caller's promise, passed on.
    unsafe { sweep(&mut Work(gradient), rows, blocks) }
}

/// `dG^T X` of one gate over some places: rows are hidden units, blocks the columns of X.
#[derive(Debug, Clone)]
pub(crate) struct WeightGradient<'a> {
    pub(crate) table: &'static Table,
    pub(crate) grads: LinesRef<'a>,
    /// The plane of dG, the gate of dW, and the units of that.
    pub(crate) plane: usize,
    pub(crate) gate: usize,
    pub(crate) units: usize,
    /// X: a row for each place.
    pub(crate) packed: &'a Panel,
    pub(crate) places: Range<usize>,
    pub(crate) to: GridMut<'a>,
    pub(crate) add: bool,
}

impl WeightGradient<'_> {
    /// The first blocks of some units, over all places: [`PLACES`] at a time of four blocks, and of [`UNITS`]
    /// units at a time, so that both stay in a near cache.
    ///
    /// # Safety
    /// - The units and places exist in `grads`, the places and blocks in `packed`, which has the vectors of
    ///   the table, and the gate with these units and as many columns as `packed` in `to`; nobody else works
    ///   on them.
    pub(crate) unsafe fn sweep(&self, units: Range<usize>, blocks: usize) {
        let mut columns = [std::ptr::null_mut(); UNITS];
        for start in self.places.clone().step_by(PLACES) {
            let places = start..(start + PLACES).min(self.places.end);
            let add = self.add || start > self.places.start;
            for first in units.clone().step_by(UNITS) {
                let units = first..(first + UNITS).min(units.end);
                for (column, unit) in columns.iter_mut().zip(units.clone()) {
                    *column = self.grads.from(start, self.plane, unit).as_ptr().cast_mut().cast();
                }
                let part = PartOfPlaces {
                    of: self,
                    places: places.clone(),
                    add,
                    columns: &columns,
                    first_unit: first,
                };
                for first in (0..blocks).step_by(WIDE) {
                    // SAFETY: the caller's promise, passed on.
                    unsafe { sweep_gradient(&part, units.clone(), first..(first + WIDE).min(blocks)) };
                }
            }
        }
    }
}

/// The part of a gradient that some places give to some units.
struct PartOfPlaces<'a> {
    of: &'a WeightGradient<'a>,
    places: Range<usize>,
    add: bool,
    /// The column of dG of each unit from `first_unit` on, at the first place.
    columns: &'a [*mut u32],
    first_unit: usize,
}

impl Gradient for PartOfPlaces<'_> {
    fn table(&self) -> &'static Table {
        self.of.table
    }
    #[inline(always)]
    fn to(&self) -> (GridMut<'_>, bool) {
        (self.of.to, self.add)
    }
    #[inline(always)]
    fn rows(&self) -> usize {
        self.of.units
    }
    const IN_ORDER: bool = true;
    #[inline(always)]
    fn target(&self, unit: usize) -> (usize, usize) {
        (self.of.gate, unit)
    }
    #[inline(always)]
    fn push_segments(&self, tile: &Tile, to: &mut Segments) {
        let (Range { start, end }, packed) = (self.places.clone(), self.of.packed);
        // The next block of X is contiguous only if the product covers all places. (A chunk has more places
        // if units are few, and then all of X is near, or if the batch has more than PLACES rows.)
        let whole = start == 0 && end == packed.depth();
        let ahead = if whole {
            packed.prefetch(tile.block + tile.blocks, tile.blocks, tile.part)
        } else {
            Prefetch::NONE
        };
        let columns = RowPointers::listed(&self.columns[tile.row - self.first_unit..]);
        let weights = packed.weights_of(tile.block, tile.blocks, start..end, ahead);
        let mut segment = Segment::columns(columns, weights);
        segment.follow(tile);
        to.push(segment);
    }
}
