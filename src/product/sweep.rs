//! The order of the tiles: which rows and blocks each takes, what it prefetches, and when its sums are
//! finished.
//!
//! ```text
//! for each group of blocks            4 of one gate, 2 of two, 1 of more: its weights come in once ...
//!   for each tile of rows             ... and serve all of them
//!     products in registers           the sums wait in scratch
//!   finish the tiles that wait        what becomes of their sums: gates, states, gradients
//! ```
//!
//! This is plain code, compiled once for all levels: what is compiled per level are the kernels ([`Table`])
//! and what finishes their sums.

use super::table::Table;
use super::tile::{Blocks, Part, ROW_BLOCKS, Tile, WIDE, width};
use crate::simd::LINE;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Where the sums of some tiles wait to be finished, one after the other.
#[repr(align(64))]
pub(crate) struct Scratch {
    floats: [MaybeUninit<f32>; SCRATCH * LINE],
}

impl Scratch {
    /// Room for sums.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Scratch { floats: [MaybeUninit::uninit(); SCRATCH * LINE] }
    }

    /// Where they begin.
    #[inline(always)]
    pub(crate) fn address(&mut self) -> *mut f32 {
        self.floats.as_mut_ptr().cast()
    }
}

/// Work that is done tile by tile: products in registers, and then what becomes of their sums.
pub(crate) trait Tiles {
    /// The kernels.
    fn table(&self) -> &'static Table;
    /// Gates of the widest product: they decide how many blocks and rows a tile has.
    fn gates(&self) -> usize;
    /// The sums of each vector that are to be finished; 0 where products write to where their sums belong.
    fn sums(&self) -> usize;
    /// Whether [`products`](Self::products) takes several tiles at a time.
    fn takes_runs(&self) -> bool;
    /// Whether the last blocks of a single row come first. Where a sweep is one of many over the same
    /// weights, every other one then begins with what the one before has left in the caches. (Rows that
    /// share the weights gain nothing by it: what they need next is prefetched.)
    fn goes_down(&self) -> bool {
        false
    }
    /// Whether every other sweep over the same weights goes down.
    fn is_zigzag(&self) -> bool {
        false
    }

    /// Whether several rows are gone through one after the other. Work without products shares no weights
    /// between rows, and its finish may need sums over all units of a row, which each call computes anew.
    fn is_by_row(&self) -> bool {
        false
    }

    /// Multiplies a tile, or a run of them, and prefetches its part for the next. Sum `s` of vector `v` goes
    /// to `scratch[(v * sums + s) * lanes..]`, where vectors count through the blocks of the first row, then
    /// of the second.
    ///
    /// # Safety
    /// - Those rows and blocks exist, and nobody else works on them.
    /// - `scratch` has room for these sums, and begins on a cache line.
    unsafe fn products(&mut self, tile: &Tile, scratch: *mut f32);

    /// Finishes the sums of `vectors` vectors that `products` has put there: of the rows from `row` on and
    /// the blocks from `block` on. A single row may have fewer vectors than blocks.
    ///
    /// # Safety
    /// - As for [`products`](Self::products); the sums are set.
    unsafe fn finish(&self, row: usize, block: usize, blocks: Blocks, sums: *mut f32, vectors: usize) {
        let _ = (row, block, blocks, sums, vectors);
    }
}

/// Blocks that a tile of one gate takes if all rows then fit one tile, and not two. (`X207/narrow`)
const NARROW: usize = 2;
/// Vectors of sums that wait: 32 rows of four gates.
const SCRATCH: usize = 128;
/// The most rows of a run of tiles whose sums wait: each has a vector at least.
pub(crate) const MAX_ROWS_OF_RUN: usize = SCRATCH;

/// The blocks of the next tile, of the `left` that are left: the widest, or with one or two gates two.
#[inline(always)]
fn widest_of(left: usize, widest: usize, gates: usize) -> usize {
    if left >= widest {
        widest
    } else if left >= 2 && gates <= 2 {
        2
    } else {
        1
    }
}

/// Covers `rows` x `blocks` with tiles: blocks outside, rows inside, so that the weights of a block come
/// from far away once and from the nearest cache for every further tile.
///
/// Rows are cut evenly (8 rows are 4 + 4 and not 6 + 2): narrow tiles have too few chains to hide the
/// latency of a multiply-add, and read more weights per product.
///
/// # Safety
/// - The rows and blocks exist, and nobody else works on them.
/// - The work finishes all sums that it says, and its products write no others.
#[inline]
pub(crate) unsafe fn sweep(work: &mut impl Tiles, rows: Range<usize>, blocks: Range<usize>) {
    assert!(ROW_BLOCKS * work.sums() <= SCRATCH, "sums of a phase");
    let mut scratch = Scratch::new();
    let scratch = scratch.address();
    // SAFETY: the caller's promise, passed on; the scratch is large enough for whatever either puts there.
    unsafe {
        match rows.len() {
            0 => {}
            1 => row(work, rows.start, blocks, scratch),
            _ if work.is_by_row() => {
                for n in rows {
                    row(work, n, blocks.clone(), scratch);
                }
            }
            _ => panel(work, rows, blocks, scratch),
        }
    }
}

/// How a single row is cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowCut {
    table: &'static Table,
    gates: usize,
    /// The most blocks of a tile.
    most: usize,
}

impl RowCut {
    /// The cut of a row of `blocks` blocks. With `zigzag`, where every other sweep takes the blocks from the
    /// last to the first, a wide tile would have all or half of 3, 4 or 6 blocks, and little of the sweep
    /// before would be left in the cache when it is needed. (`X207/row-blocks`; for 5, 7 and 8 blocks wide
    /// tiles are faster even so.)
    #[inline(always)]
    pub(crate) fn new(table: &'static Table, gates: usize, blocks: usize, zigzag: bool) -> RowCut {
        let few = zigzag && gates > 2 && matches!(blocks, 3 | 4 | 6);
        RowCut { table, gates, most: if few { 2 } else { WIDE } }
    }

    #[inline(always)]
    fn blocks(self, left: usize) -> usize {
        self.table.blocks_of_row(self.gates, left).min(self.most)
    }

    /// The next tile of a row, or the run of them, of the blocks that are left.
    #[inline(always)]
    pub(crate) fn next(self, row: usize, left: Range<usize>, runs: bool) -> Tile {
        let (mut rest, mut tiles) = (left.len(), 1);
        let blocks = self.blocks(rest);
        if runs {
            rest -= blocks;
            while rest > 0 && self.blocks(rest) == blocks {
                (rest, tiles) = (rest - blocks, tiles + 1);
            }
        }
        Tile { row, rows: 1, block: left.start, blocks, tiles, quiet: tiles, ..Tile::QUIET }
    }

    /// The last one, without runs.
    #[inline(always)]
    fn last(self, row: usize, left: Range<usize>) -> Tile {
        let blocks = self.blocks(left.len());
        Tile { row, rows: 1, block: left.end - blocks, blocks, ..Tile::QUIET }
    }
}

/// A single row: several tiles along its blocks are finished together.
///
/// # Safety
/// - As for [`sweep`]; `scratch` is a [`Scratch`].
#[inline]
unsafe fn row(work: &mut impl Tiles, row: usize, blocks: Range<usize>, scratch: *mut f32) {
    let (gates, sums, lanes) = (work.gates(), work.sums(), work.table().lanes);
    let (runs, down) = (work.takes_runs(), work.goes_down());
    let cut = RowCut::new(work.table(), gates, blocks.len(), work.is_zigzag());
    let mut rest = blocks;
    while !rest.is_empty() {
        let start = if down { rest.start + (rest.len() - 1) / ROW_BLOCKS * ROW_BLOCKS } else { rest.start };
        let group = start..(start + ROW_BLOCKS).min(rest.end);
        rest = if down { rest.start..start } else { group.end..rest.end };
        let mut left = group.clone();
        while !left.is_empty() {
            let tile = if down {
                let tile = cut.last(row, left.clone());
                left.end = tile.block;
                tile
            } else {
                let tile = cut.next(row, left.clone(), runs);
                left.start += tile.blocks_of_run();
                tile
            };
            // SAFETY: row and blocks of the ranges; the scratch has room for ROW_BLOCKS vectors.
            unsafe { work.products(&tile, scratch.add((tile.block - start) * sums * lanes)) };
        }
        if sums > 0 {
            // SAFETY: as above; `products` has set these sums.
            unsafe { work.finish(row, start, Blocks::new(ROW_BLOCKS), scratch, group.len()) };
        }
    }
}

/// Several rows: several tiles along them are finished together.
///
/// # Safety
/// - As for [`sweep`]; `scratch` is a [`Scratch`].
#[inline]
unsafe fn panel(work: &mut impl Tiles, rows: Range<usize>, blocks: Range<usize>, scratch: *mut f32) {
    let (table, gates, sums, count) = (work.table(), work.gates(), work.sums(), rows.len());
    let lanes = table.lanes;
    // All rows are one narrow tile if they are too many for a tile of the usual width.
    let narrow = gates == 1 && count > table.height(1, WIDE) && count <= table.height(1, NARROW);
    let widest = if narrow { NARROW } else { width(gates) };
    let height = table.height(gates, widest);
    // Without room for the sums of one tile, the loop below would not end.
    assert!(height * widest * sums <= SCRATCH, "sums of a tile");
    let tiles = count.div_ceil(height);
    let (size, larger) = (count / tiles, count % tiles);
    let runs = work.takes_runs();
    let mut block = blocks.start;
    while block < blocks.end {
        let wide = widest_of(blocks.end - block, widest, gates);
        let per_row = wide * sums;
        let (mut row, mut tile) = (rows.start, 0);
        while tile < tiles {
            let (first, mut waiting) = (row, 0);
            while tile < tiles {
                let height = size + usize::from(tile < larger);
                if waiting + height * per_row > SCRATCH {
                    break;
                }
                let mut run = 1;
                // (A run of tiles of one row goes along blocks.)
                if runs && height > 1 {
                    // As many of this height as there are, and as there is room for.
                    let like = if tile < larger { larger } else { tiles } - tile;
                    run = like.min((SCRATCH - waiting) / (height * per_row).max(1));
                }
                debug_assert!(run == 1 || height > 1, "a run of single rows goes along the blocks");
                let (quiet, part) = Part::of_run(tile, run, tiles);
                let of_tile = Tile { row, rows: height, block, blocks: wide, tiles: run, quiet, part };
                // SAFETY: rows and blocks of the ranges; there is room for these sums.
                unsafe { work.products(&of_tile, scratch.add(waiting * lanes)) };
                waiting += run * height * per_row;
                (row, tile) = (row + run * height, tile + run);
            }
            if sums > 0 {
                // SAFETY: as above; `products` has set these sums.
                unsafe { work.finish(first, block, Blocks::new(wide), scratch, (row - first) * wide) };
            }
        }
        block += wide;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Precision, table};
    use super::*;
    use crate::simd::Level;
    use std::cell::RefCell;

    /// Says which (row, block) was multiplied and finished how often.
    struct Count {
        table: &'static Table,
        gates: usize,
        sums: usize,
        runs: bool,
        down: bool,
        /// The blocks of a single row, in the order in which they are multiplied.
        order: Vec<usize>,
        /// Where the scratch begins.
        scratch: *mut f32,
        multiplied: RefCell<Vec<Vec<usize>>>,
        finished: RefCell<Vec<Vec<usize>>>,
        prefetched: RefCell<usize>,
    }

    impl Tiles for Count {
        fn table(&self) -> &'static Table {
            self.table
        }
        fn gates(&self) -> usize {
            self.gates
        }
        fn sums(&self) -> usize {
            self.sums
        }
        fn takes_runs(&self) -> bool {
            self.runs
        }
        fn goes_down(&self) -> bool {
            self.down
        }
        unsafe fn products(&mut self, tile: &Tile, scratch: *mut f32) {
            assert_eq!(scratch as usize % 16, 0);
            assert!(tile.rows <= self.table.height(self.gates, tile.blocks), "{tile:?}");
            *self.prefetched.borrow_mut() += usize::from(!tile.part.is_none());
            let lanes = self.table.lanes;
            assert!(self.runs || tile.tiles == 1);
            if tile.rows == 1 {
                self.order.push(tile.block);
                assert!(!self.down || tile.tiles == 1, "a run goes up");
            }
            let (rows, blocks) = if tile.rows == 1 { (1, tile.tiles) } else { (tile.tiles, 1) };
            let (rows, blocks) = (tile.rows * rows, tile.blocks * blocks);
            // The first sums of a sweep lie at the beginning.
            self.scratch = if self.scratch.is_null() { scratch } else { self.scratch };
            if self.down && tile.rows == 1 {
                // From the last to the first: each group's own scratch begins with its first block.
                self.scratch = scratch.wrapping_sub(tile.block % ROW_BLOCKS * self.sums * lanes);
            }
            let waiting = (scratch as usize - self.scratch as usize) / size_of::<f32>() / lanes;
            assert!(waiting + rows * blocks * self.sums <= SCRATCH, "room for the sums");
            for (r, u) in (0..rows).flat_map(|r| (0..blocks).map(move |u| (r, u))) {
                self.multiplied.borrow_mut()[tile.row + r][tile.block + u] += 1;
                for n in 0..self.sums * lanes {
                    let value = (tile.row + r) * 100 + tile.block + u;
                    // SAFETY: the sweep's promise.
                    unsafe { *scratch.add((r * blocks + u) * self.sums * lanes + n) = value as f32 };
                }
            }
        }
        unsafe fn finish(&self, row: usize, block: usize, blocks: Blocks, sums: *mut f32, vectors: usize) {
            for v in 0..vectors {
                let (row, block) = (row + blocks.row(v), block + blocks.column(v));
                self.finished.borrow_mut()[row][block] += 1;
                // SAFETY: the sums are set.
                let sum = unsafe { *sums.add(v * self.sums * self.table.lanes) };
                assert_eq!(sum, (row * 100 + block) as f32, "sums of another vector");
            }
        }
    }

    #[test]
    fn every_row_and_block_is_multiplied_and_finished_once() {
        for level in Level::available() {
            let kinds = [(1, 1), (1, 0), (2, 2), (3, 4), (4, 4), (4, 8)];
            let ways = [(false, false), (false, true), (true, false), (true, true)];
            for ((gates, sums), (runs, down)) in
                kinds.into_iter().flat_map(|kind| ways.map(|way| (kind, way)))
            {
                for (rows, blocks) in [(0, 3), (1, 1), (1, 11), (2, 5), (7, 4), (8, 6), (13, 9), (41, 5)] {
                    let empty = RefCell::new(vec![vec![0; blocks]; rows]);
                    let mut work = Count {
                        table: table(level.token().unwrap(), Precision::F32),
                        gates,
                        sums,
                        runs,
                        down,
                        order: Vec::new(),
                        scratch: std::ptr::null_mut(),
                        multiplied: empty.clone(),
                        finished: empty,
                        prefetched: RefCell::new(0),
                    };
                    // SAFETY: all of it is ours.
                    unsafe { sweep(&mut work, 0..rows, 0..blocks) };
                    assert!(work.order.is_sorted_by(|a, b| if down { a > b } else { a < b }));
                    assert!(work.multiplied.into_inner().iter().flatten().all(|&n| n == 1));
                    let all = usize::from(sums > 0);
                    assert!(work.finished.into_inner().iter().flatten().all(|&n| n == all));
                    if rows == 1 {
                        assert_eq!(work.prefetched.into_inner(), 0, "one stream is foreseen");
                    }
                }
            }
        }
    }
}
