//! A tile: some rows and blocks that a kernel multiplies at a time, and its part in prefetching what comes
//! next.

use crate::simd::LINE;
use std::ops::Range;

/// The number of blocks of a tile, a power of two. Vectors of the tile are numbered through the blocks of row
/// 0, then through those of row 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    shift: u32,
}

impl Blocks {
    /// `count` blocks.
    #[inline(always)]
    pub(crate) fn new(count: usize) -> Self {
        debug_assert!(count.is_power_of_two());
        Blocks { shift: count.trailing_zeros() }
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        1 << self.shift
    }

    /// The row of vector `v`.
    #[inline(always)]
    pub(crate) fn row(self, v: usize) -> usize {
        v >> self.shift
    }

    /// The block of vector `v`.
    #[inline(always)]
    pub(crate) fn column(self, v: usize) -> usize {
        v & (self.count() - 1)
    }
}

/// Blocks that a tile of one gate takes.
pub(crate) const WIDE: usize = 4;
/// Blocks of a single row that are finished together, after the products of all of them.
pub(crate) const ROW_BLOCKS: usize = 8;

/// The blocks of a tile of `gates` gates: four vectors of weights, or three.
#[inline(always)]
pub(super) const fn width(gates: usize) -> usize {
    if gates > 2 { 1 } else { WIDE / gates }
}

/// The part of the next block's weights that a product prefetches: `index` of `of`; nothing if `of` is 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    index: usize,
    of: usize,
}

impl Part {
    /// The parts of `count` tiles from `index` on, of the `tiles` that share a block: how many of them
    /// prefetch nothing, and the part of the first that does. A tile that has a block to itself prefetches
    /// nothing: the processor's own prefetcher sees one stream and is as early. Of many tiles only the
    /// [last](LAST_TILES) ones do: weights that come too early take the room of those that are in use.
    /// (`Z4/next-weights`)
    #[inline(always)]
    pub(super) fn of_run(index: usize, count: usize, tiles: usize) -> (usize, Part) {
        let of = tiles.min(LAST_TILES);
        let quiet = (tiles - of).saturating_sub(index);
        if tiles < 2 || quiet >= count {
            return (count, Part { index: 0, of: 0 });
        }
        (quiet, Part { index: index + quiet - (tiles - of), of })
    }

    /// How many words to prefetch at each of `depth` words, and where to begin. The next blocks have `words`
    /// words at each. At most a line is prefetched at a time, so a few tiles of several gates do not prefetch
    /// all.
    #[inline(always)]
    pub(super) fn pace(self, words: usize, depth: usize) -> (usize, usize) {
        // (A division here, in each product of each tile, was a tenth of what a small tile costs beside its
        // kernel.)
        let pace = (words * INVERSES[self.of]).div_ceil(ONE).min(LINE);
        (pace, self.index * pace * depth)
    }

    /// Whether it is no part: nothing is prefetched.
    #[inline(always)]
    pub(super) fn is_none(self) -> bool {
        self.of == 0
    }
}

/// Some rows and blocks that are multiplied at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// The first row, and how many.
    pub(crate) row: usize,
    pub(crate) rows: usize,
    /// The first block, and how many.
    pub(crate) block: usize,
    pub(crate) blocks: usize,
    /// Tiles like this one that follow each other, itself included: along the rows, or of a single row along
    /// the blocks.
    pub(crate) tiles: usize,
    /// The number of tiles at the start of the run that prefetch nothing, and the part of the next block that
    /// the tile after these prefetches. The tiles after that one prefetch the parts that follow.
    pub(crate) quiet: usize,
    pub(crate) part: Part,
}

impl Tile {
    /// An empty tile that prefetches nothing.
    pub(super) const QUIET: Tile =
        Tile { row: 0, rows: 0, block: 0, blocks: 0, tiles: 1, quiet: 1, part: Part { index: 0, of: 0 } };

    /// A row of `count` blocks, a tile each, that prefetch nothing.
    pub(super) fn row_of_blocks(count: usize) -> Tile {
        Tile { rows: 1, block: 0, blocks: 1, tiles: count, quiet: count, ..Tile::QUIET }
    }

    /// The rows of the run.
    #[inline(always)]
    pub(crate) fn rows_of_run(&self) -> Range<usize> {
        self.row..self.row + self.rows * if self.rows == 1 { 1 } else { self.tiles }
    }

    /// The blocks of a row of the run.
    #[inline(always)]
    pub(crate) fn blocks_of_run(&self) -> usize {
        self.blocks * if self.rows == 1 { self.tiles } else { 1 }
    }

    /// The tiles of a run, one by one, of which none prefetches anything.
    pub(crate) fn each(&self) -> impl Iterator<Item = Tile> {
        let Tile { row, rows, block, blocks, tiles, .. } = *self;
        (0..tiles).map(move |n| {
            let (row, block) = if rows == 1 { (row, block + n * blocks) } else { (row + n * rows, block) };
            Tile { row, rows, block, blocks, ..Tile::QUIET }
        })
    }
}

/// How many tiles of a block prefetch the next block: with four gates each then takes half a line per input.
/// Weights from far away are then as good as weights in the level-2 cache. (`X207/tile-prefetch`)
const LAST_TILES: usize = 8;

/// `1 / of` in parts of [`ONE`], by `of`, rounded down so that quotients of up to 2^10 words round up as they
/// should.
const INVERSES: [usize; LAST_TILES + 1] = {
    let mut inverses = [0; LAST_TILES + 1];
    let mut of = 1;
    while of <= LAST_TILES {
        inverses[of] = ONE / of;
        of += 1;
    }
    inverses
};
const ONE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::{LAST_TILES, LINE, Part, Tile};

    /// The part of one of the tiles that share a block.
    fn of_tile(index: usize, tiles: usize) -> Part {
        Part::of_run(index, 1, tiles).1
    }

    #[test]
    fn the_last_tiles_prefetch_all_of_the_next_block() {
        // Of 64 words at each of 10: all of it where tiles are enough, once.
        for tiles in 2..20 {
            let mut seen = vec![0; 640];
            for tile in 0..tiles {
                let part = of_tile(tile, tiles);
                if part.is_none() {
                    continue;
                }
                let (pace, first) = part.pace(64, 10);
                assert!(pace <= LINE);
                (first..(first + 10 * pace).min(640)).for_each(|word| seen[word] += 1);
            }
            let lines = 10 * LINE * tiles.min(LAST_TILES);
            assert_eq!(seen.iter().filter(|&&n| n == 1).count(), lines.min(640), "{tiles} tiles");
            assert!(seen.iter().all(|&n| n <= 1));
        }
        assert!(of_tile(0, 1).is_none());
    }

    #[test]
    fn the_tiles_of_a_run_prefetch_what_each_would_alone() {
        for tiles in 1..20 {
            for (index, count) in (0..tiles).flat_map(|index| (1..=tiles - index).map(move |n| (index, n))) {
                let (quiet, part) = Part::of_run(index, count, tiles);
                for n in 0..count {
                    let alone = of_tile(index + n, tiles);
                    assert_eq!(alone.is_none(), n < quiet, "tile {n} of {count} from {index} of {tiles}");
                    if n >= quiet {
                        assert_eq!((part.index + n - quiet, part.of), (alone.index, alone.of));
                    }
                }
            }
        }
    }

    #[test]
    fn a_run_goes_along_the_rows_or_of_one_row_along_the_blocks() {
        let rows = Tile { row: 3, rows: 2, block: 5, blocks: 4, tiles: 3, quiet: 3, ..Tile::QUIET };
        let blocks = Tile { rows: 1, ..rows };
        assert_eq!((rows.rows_of_run(), rows.blocks_of_run()), (3..9, 4));
        assert_eq!((blocks.rows_of_run(), blocks.blocks_of_run()), (3..4, 12));
        for (run, want) in [(rows, [(3, 5), (5, 5), (7, 5)]), (blocks, [(3, 5), (3, 9), (3, 13)])] {
            let each: Vec<Tile> = run.each().collect();
            let starts: Vec<_> = each.iter().map(|tile| (tile.row, tile.block)).collect();
            assert_eq!(starts, want);
            for tile in each {
                assert_eq!((tile.rows, tile.blocks, tile.tiles), (run.rows, run.blocks, 1));
                assert!(tile.quiet == 1 && tile.part.is_none());
            }
        }
    }
}
