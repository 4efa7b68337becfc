//! The kernels of a level for a precision, by the shape of a tile.
//!
//! ```text
//! gates    blocks    rows
//! 4        1         1 .. HEIGHTS[4]         LSTM
//! 3        1         1 .. HEIGHTS[3]         GRU
//! 2        2, 1      1 .. HEIGHTS[4]         GRU that resets before
//! 1        4         1 .. HEIGHTS[4]         Elman, dh, dx, dW
//! 1        2         1 .. HEIGHTS[2]         the last blocks of four; or all rows as one narrow tile
//! 1        1         1 .. HEIGHTS[1]         the last block of four
//! 4        3, 2      1                       a single row: some blocks, or its chains would be too few;
//! 3        4, 3, 2   1                       up to HEIGHTS[0] sums, fewer where the chains of a sum are
//! 2        4         1                       several
//! ```

use super::fringe::{Fringe, MultiplyFringe};
use super::kernel::{MicroKernel, Product};
use super::operand::MAX_ROWS;
use super::tile::{ROW_BLOCKS, Tile, WIDE};
use crate::simd::Pointer;

/// Kernels of every number of rows of a tile.
pub(super) type Heights = [MicroKernel; MAX_ROWS];

/// The kernels of a level for one format.
#[derive(Debug)]
pub(crate) struct Table {
    /// Floats of a vector.
    pub(crate) lanes: usize,
    /// Multiply-adds of one core in a nanosecond.
    pub(crate) rate: f64,
    /// The [offset](crate::simd::Isa::BYTE_OFFSETS) of bytes.
    pub(crate) offset: u8,
    /// The most rows of a tile, by the number of accumulators of a row, 1 to 4. `heights[0]` is the most
    /// accumulators of a tile of a single row.
    pub(super) heights: [usize; 5],
    /// For each number of gates, the blocks of the next tile of a single row, by how many are left.
    of_row: [[u8; ROW_BLOCKS + 1]; 5],
    /// The product of rows with a fringe, where panels have one.
    pub(super) fringe: Option<Pointer<MultiplyFringe>>,
    /// By the number of gates, and by the number of blocks less one.
    pub(super) kernels: [[Heights; WIDE]; 5],
}

/// The most rows of a tile of these gates and blocks; 0 where there is no such tile.
const fn height(heights: &[usize; 5], gates: usize, blocks: usize) -> usize {
    match (gates, blocks) {
        (1, 1) => heights[1],
        (1, 2) => heights[2],
        (3 | 4, 2..=4) | (2, 4) => (gates * blocks <= heights[0]) as usize,
        (3 | 4, 1) => heights[gates],
        // The last blocks of such a sweep are tiles of fewer accumulators and as many rows.
        (1, 4) | (2, 1 | 2) if heights[1] < heights[4] => heights[1],
        (1, 4) | (2, 1 | 2) => heights[4],
        _ => 0,
    }
}

impl Table {
    /// The table of these kernels.
    pub(super) const fn new(
        (lanes, rate, offset): (usize, f64, u8),
        heights: [usize; 5],
        fringe: Option<Pointer<MultiplyFringe>>,
        kernels: [[Heights; WIDE]; 5],
    ) -> Table {
        let mut of_row = [[0; ROW_BLOCKS + 1]; 5];
        let mut gates = 1;
        while gates < of_row.len() {
            of_row[gates] = blocks_of_row(&heights, gates);
            gates += 1;
        }
        Table { lanes, rate, offset, heights, of_row, fringe, kernels }
    }

    /// The most rows of a tile of these gates and blocks.
    #[inline(always)]
    pub(super) fn height(&self, gates: usize, blocks: usize) -> usize {
        height(&self.heights, gates, blocks)
    }

    /// The blocks of the next tile of a single row, of the `left` that are left.
    #[inline(always)]
    pub(super) fn blocks_of_row(&self, gates: usize, left: usize) -> usize {
        usize::from(self.of_row[gates][left.min(ROW_BLOCKS)])
    }

    /// The kernel of this tile.
    #[inline(always)]
    pub(crate) fn kernel(&self, gates: usize, blocks: usize, rows: usize) -> MicroKernel {
        debug_assert!(blocks > 0 && rows > 0);
        self.kernels[gates][blocks - 1][rows - 1]
    }
}

impl Table {
    /// The fringe of a panel of these gates and units, where it pays for rows of `depth` inputs in all.
    pub(crate) fn fringe(&self, size: [usize; 3]) -> Option<Fringe> {
        let fringe = Fringe::of(self.fringe?, self.lanes, size)?;
        (self.height(fringe.vectors, 1) > 0).then_some(fringe)
    }

    /// Multiplies a tile, or a run of them, of these gates; or its rows with the fringe, where the segments
    /// point to that.
    ///
    /// # Safety
    /// - As for the kernel of the tile. A fringe is of this table, and the tile then has several rows.
    #[inline(always)]
    pub(crate) unsafe fn multiply(
        &self,
        gates: usize,
        fringe: Option<Fringe>,
        tile: &Tile,
        product: &Product<'_>,
    ) {
        // SAFETY: the caller's promise, passed on.
        unsafe {
            match fringe {
                Some(fringe) => self.multiply_fringe(fringe, tile.rows * tile.tiles, product),
                None => self.kernel(gates, tile.blocks, tile.rows)(product),
            }
        }
    }

    /// The products of `rows` rows with a fringe, in tiles of their own of a gate for each vector: as few as
    /// can be, and of about as many rows.
    ///
    /// # Safety
    /// - As for [`multiply`](Table::multiply).
    #[inline(never)]
    unsafe fn multiply_fringe(&self, fringe: Fringe, rows: usize, product: &Product<'_>) {
        let tiles = rows.div_ceil(self.height(fringe.vectors, 1));
        let (size, larger) = (rows / tiles, rows % tiles);
        let mut first = 0;
        for n in 0..tiles {
            let rows = size + usize::from(n < larger);
            // SAFETY: the caller's promise, of these rows.
            unsafe { fringe.multiply(self.kernel(fringe.vectors, 1, rows), (first, rows), product) };
            first += rows;
        }
    }
}

/// Whether sweeps take such a tile.
pub(super) const fn is_taken(heights: &[usize; 5], gates: usize, blocks: usize, rows: usize) -> bool {
    rows <= height(heights, gates, blocks)
}

/// The blocks of the next tile of a single row, by how many are left. Each sum is a chain of multiply-adds,
/// and a core has some eight multiply-adds under way. So tiles have eight sums or more where the blocks allow
/// it. The few chains of a tile of one block leave the core waiting, and the next tile is too far ahead in
/// the program to begin meanwhile. (`X207/row-blocks`)
const fn blocks_of_row(heights: &[usize; 5], gates: usize) -> [u8; ROW_BLOCKS + 1] {
    match (gates, heights[0]) {
        (1, _) | (2, 8..) => [0, 1, 2, 2, 4, 4, 4, 4, 4],
        (3, 12..) => [0, 1, 2, 3, 4, 3, 3, 4, 4],
        (4, 12..) => [0, 1, 2, 3, 2, 2, 2, 2, 2],
        (2, _) | (3 | 4, 8..) => [0, 1, 2, 2, 2, 2, 2, 2, 2],
        _ => [0, 1, 1, 1, 1, 1, 1, 1, 1],
    }
}
