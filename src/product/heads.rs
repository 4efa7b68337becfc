//! Weights that are block-diagonal: heads, each of which has inputs and units of its own.
//!
//! A panel of heads is as deep as a head is wide. It has a block for the units of each head in each block of
//! the layer; of two heads that meet within a block there are two, and the other lanes of each are zero:
//!
//! ```text
//! two heads of 6 units,     units                0 1 2 3 | 4 5 6 7 | 8 9 10 11
//! four lanes                blocks of the panel  0 1 2 3 | 4 5 . . | . . 6 7 | 8 9 10 11
//! ```
//!
//! A tile takes the blocks of one head as any tile does, with that head's part of the rows. Where heads meet,
//! each is multiplied by itself, and only its own lanes are taken of the sums: so each sum is one chain over
//! the inputs of its head, whatever the lanes, and no value of one head comes near another. Heads of whole
//! vectors cost no more than their multiply-adds.

use super::kernel::{Ends, Product};
use super::operand::{MAX_ROWS, Segment, SumPointers};
use super::table::Table;
use super::tile::Tile;
use crate::simd::LINE;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The gates of a product of heads, at the most.
const MAX_GATES: usize = 4;

/// How the units of a layer are cut into heads. A layer whose weights are no block-diagonal matrix has one
/// head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    count: usize,
    /// The units of each, which are its inputs too.
    size: usize,
    /// The units of a block.
    lanes: usize,
    /// Every `period`-th head begins at the start of a block.
    period: usize,
}

/// The part of a tile, or of a run of tiles, that belongs to one head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfHead {
    pub(crate) head: usize,
    /// Some blocks of the tile, of which the panel has those from `block` on.
    pub(crate) tile: Tile,
    pub(crate) block: usize,
    /// Where heads meet within a block, the lanes of it that are the head's.
    pub(crate) lanes: Option<Lanes>,
}

/// Some lanes of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lanes {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Heads {
    /// `count` heads of `units` units together, a multiple of `count`.
    pub(crate) fn new(count: usize, units: usize, lanes: usize) -> Self {
        debug_assert!(count > 0 && units.is_multiple_of(count));
        let size = units / count;
        // (Lanes are a power of two.)
        let shared = 1 << size.trailing_zeros().min(lanes.trailing_zeros());
        Heads { count, size, lanes, period: lanes / shared }
    }

    /// Whether there is one head: the weights are no block-diagonal matrix.
    #[inline(always)]
    pub(crate) fn are_one(self) -> bool {
        self.count == 1
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// The units of each.
    #[inline(always)]
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// The units of a head.
    #[inline(always)]
    pub(crate) fn units(self, head: usize) -> Range<usize> {
        head * self.size..(head + 1) * self.size
    }

    /// The units of a panel, whose blocks are whole where heads meet within one.
    pub(crate) fn panel_units(self) -> usize {
        let (units, last) = (self.count * self.size, self.count - 1);
        if self.are_one() || self.period == 1 {
            return units;
        }
        (self.block_of_panel(last, (units - 1) / self.lanes) + 1).saturating_mul(self.lanes)
    }

    /// The index in a panel of a block of a head: each head before it that began within a block has added
    /// one.
    #[inline(always)]
    fn block_of_panel(self, head: usize, block: usize) -> usize {
        block + head - head / self.period
    }

    /// Calls `work` with each part of a tile, or of a run of tiles, that a kernel multiplies at a time: the
    /// whole run where one head has all lanes, and single tiles elsewhere.
    #[inline(always)]
    pub(crate) fn for_each_part(self, tile: &Tile, mut work: impl FnMut(&OfHead)) {
        for part in self.split(tile) {
            if part.lanes.is_none() {
                work(&part);
                continue;
            }
            for one in part.tile.each() {
                work(&OfHead { tile: one, ..part });
            }
        }
    }

    /// A tile, or a run of tiles, head by head.
    #[inline(always)]
    pub(super) fn split(self, tile: &Tile) -> Split {
        let head = tile.block * self.lanes / self.size;
        Split { heads: self, end: tile.block + tile.blocks_of_run(), tile: *tile, head }
    }
}

/// The parts of a tile that are of one head each, block by block.
#[derive(Debug, Clone)]
pub(super) struct Split {
    heads: Heads,
    /// What is left of the tile: the blocks from its own on, up to `end`.
    tile: Tile,
    end: usize,
    /// The head of the first unit that is left.
    head: usize,
}

impl Iterator for Split {
    type Item = OfHead;

    #[inline(always)]
    fn next(&mut self) -> Option<OfHead> {
        let Split { heads: heads @ Heads { count, lanes, .. }, end, tile, head } = *self;
        let block = tile.block;
        if block >= end {
            return None;
        }
        let units = heads.units(head);
        // Past the last unit there are no others.
        let past = if head + 1 == count { end * lanes } else { units.end };
        let first = units.start.max(block * lanes);
        let whole = (past / lanes).min(end).saturating_sub(block);
        let of_panel = heads.block_of_panel(head, block);
        if first == block * lanes && whole > 0 {
            let widest = 1 << whole.min(tile.blocks).ilog2();
            let tiles = if tile.rows == 1 { whole / widest } else { tile.tiles };
            let quiet = tile.quiet.min(tiles);
            let part = Tile { blocks: widest, tiles, quiet, ..tile };
            self.tile.block += part.blocks_of_run();
            self.head += usize::from(self.tile.block * lanes == units.end);
            return Some(OfHead { head, tile: part, block: of_panel, lanes: None });
        }
        let start = block * lanes;
        let last = past.min(start + lanes);
        self.tile.block += usize::from(last == start + lanes);
        self.head += usize::from(last == units.end);
        let tiles = if tile.rows == 1 { 1 } else { tile.tiles };
        let part = Tile { blocks: 1, tiles, quiet: tiles, ..tile };
        let lanes = Lanes { first: first - start, count: last - first };
        Some(OfHead { head, tile: part, block: of_panel, lanes: Some(lanes) })
    }
}

/// Multiplies a tile of one block, whose sums begin at `start`, and writes some lanes of the sums to `place`.
/// The other lanes there stay as they are.
///
/// # Safety
/// - As for a kernel of these gates and rows and one block, whose sums begin at `start` and go to `place`.
/// - The rows of `place` are at a stride.
pub(crate) unsafe fn multiply_lanes(
    table: &Table,
    (gates, rows): (usize, usize),
    (start, place): (SumPointers, SumPointers),
    segments: &[Segment],
    Lanes { first, count }: Lanes,
) {
    const ROW: usize = MAX_GATES * LINE;
    #[repr(align(64))]
    struct Sums([MaybeUninit<f32>; MAX_ROWS * ROW]);
    let mut sums = Sums([const { MaybeUninit::uninit() }; MAX_ROWS * ROW]);
    let own = sums.0.as_mut_ptr().cast::<f32>();
    assert!(gates <= MAX_GATES && rows <= MAX_ROWS && first + count <= table.lanes);
    let to = SumPointers::strided(own, ROW, table.lanes, table.lanes);
    // SAFETY: the caller's promise; there is room for the sums of these rows and gates.
    unsafe { table.kernel(gates, 1, rows)(&Product { ends: &Ends::new(start, to), segments }) };
    for (row, gate) in (0..rows).flat_map(|row| (0..gates).map(move |gate| (row, gate))) {
        let to = place.address(row, gate).wrapping_add(first);
        // SAFETY: the kernel has set the vector, and the place has these lanes, which are ours.
        unsafe { std::ptr::copy_nonoverlapping(own.add(row * ROW + gate * table.lanes + first), to, count) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tile, or a run of them, of so many rows from block `block` on.
    fn tile(rows: usize, block: usize, blocks: usize, tiles: usize) -> Tile {
        Tile { rows, block, blocks, tiles, quiet: tiles, ..Tile::QUIET }
    }

    #[test]
    fn each_unit_of_a_tile_is_of_its_head_once() {
        let layers =
            [(2, 6, 4), (1, 8, 4), (3, 8, 8), (4, 4, 16), (5, 1, 4), (7, 3, 8), (2, 24, 16), (3, 17, 8)];
        for ((count, size, lanes), wide) in
            layers.into_iter().flat_map(|layer| [(layer, 1), (layer, 2), (layer, 4)])
        {
            let (heads, units) = (Heads::new(count, count * size, lanes), count * size);
            for rows in [1, 5] {
                // (Past the last unit there are more blocks, which are the last head's.)
                let blocks = units.div_ceil(lanes).next_multiple_of(wide);
                let (mut of_unit, mut of_panel) = (vec![0; units], Vec::new());
                for block in (0..blocks).step_by(wide) {
                    for part in heads.split(&tile(rows, block, wide, 1)) {
                        let lanes_of = part.lanes.unwrap_or(Lanes { first: 0, count: lanes });
                        assert!(part.lanes.is_none() || part.tile.blocks == 1);
                        for n in 0..part.tile.blocks_of_run() {
                            of_panel.push(part.block + n);
                            let first = (part.tile.block + n) * lanes + lanes_of.first;
                            for unit in (first..first + lanes_of.count).filter(|&unit| unit < units) {
                                assert!(
                                    heads.units(part.head).contains(&unit),
                                    "{heads:?}: {unit} of {part:?}"
                                );
                                of_unit[unit] += 1;
                            }
                        }
                    }
                }
                assert!(of_unit.iter().all(|&n| n == 1), "{heads:?}: {of_unit:?}");
                assert!(of_panel.iter().enumerate().all(|(n, &block)| n == block), "{heads:?}: {of_panel:?}");
                assert!(of_panel.len() >= heads.panel_units().div_ceil(lanes));
            }
        }
    }

    #[test]
    fn a_row_runs_along_the_blocks_of_a_head() {
        let parts = Heads::new(2, 48, 8).split(&tile(1, 0, 2, 3)).map(|part| {
            assert!(part.lanes.is_none() && part.block == part.tile.block);
            (part.head, part.tile.block, part.tile.blocks, part.tile.tiles)
        });
        assert_eq!(parts.collect::<Vec<_>>(), [(0, 0, 2, 1), (0, 2, 1, 1), (1, 3, 2, 1), (1, 5, 1, 1)]);
        let whole = Heads::new(1, 40, 8).split(&tile(1, 0, 2, 2)).map(|part| part.tile.tiles);
        assert_eq!(whole.collect::<Vec<_>>(), [2]);
    }
}
