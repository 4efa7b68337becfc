//! A product with a panel of each gate, whose sums go on from gate to gate.
//!
//! ```text
//! sums [row][block]  =  dG_0 P_0  +  dG_1 P_1  +  ..          of each gate a panel, all of one shape
//!
//! all at once     blocks 0..4: gates 0 1 2 3 for the first rows, for the next rows, ..      then blocks 4..8
//! gate by gate    blocks 0..4: gate 0 for all rows, gate 1 for all rows, ..                 then blocks 4..8
//! ```
//!
//! All rows of a sweep read the same weights, those of four blocks: for 1024 units and four gates 1 MiB with
//! AVX-512. If the level-2 cache has no room for them and for the next weights, every tile reads them from
//! farther away. Gate by gate they are a quarter of that. The sums wait in memory in between, and are the
//! same bits. (`X207/gate-by-gate`)

use super::operand::Prefetch;
use super::{Panel, Tile, WIDE};
use std::ops::Range;

/// Bytes of weights that a sweep may read again and again: with as many of the next, half of a level-2 cache
/// of 1 MiB.
const SWEEP_BYTES: usize = 256 << 10;
/// Up to this many rows, weights are read too seldom for the cut to matter: two tiles of AVX-512, four of the
/// other levels.
const FEW_ROWS: usize = 12;

/// The gates that a sweep takes, and of how many.
#[derive(Debug, Clone)]
pub(crate) struct Gates {
    range: Range<usize>,
    count: usize,
}

impl Gates {
    /// Whether sums begin here; if not, they go on from where the gates before have left them.
    #[inline(always)]
    pub(crate) fn are_first(&self) -> bool {
        self.range.start == 0
    }

    /// Whether sums end here; if not, they wait for the gates after.
    #[inline(always)]
    pub(crate) fn are_last(&self) -> bool {
        self.range.end == self.count
    }

    /// The gates, in order.
    #[inline(always)]
    pub(crate) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The weights that the product of `gate` with a tile prefetches: the tile's part of what is needed next,
    /// which are the next gates of the same blocks, or the first gates of the blocks after them.
    #[inline(always)]
    pub(crate) fn prefetch(&self, panels: &[Panel], gate: usize, tile: &Tile) -> Prefetch {
        let Tile { block, blocks, part, .. } = *tile;
        let next = gate + self.range.len();
        if next < self.count {
            panels[next].prefetch(block, blocks, part)
        } else {
            panels[next - self.count].prefetch(block + blocks, blocks, part)
        }
    }
}

/// The sweeps of a product of `rows` rows with these blocks of the panels, in order: the gates and the blocks
/// of each.
pub(crate) fn cuts(
    panels: &[Panel],
    rows: usize,
    blocks: Range<usize>,
) -> impl Iterator<Item = (Gates, Range<usize>)> {
    let count = panels.len();
    let bytes = panels.first().map_or(0, |panel| panel.block_bytes(WIDE.min(panel.blocks())) * count);
    let (gates, wide) =
        if rows > FEW_ROWS && bytes > SWEEP_BYTES { (1, WIDE) } else { (count.max(1), blocks.len().max(1)) };
    blocks.clone().step_by(wide).flat_map(move |first| {
        let blocks = first..(first + wide).min(blocks.end);
        // Without gates there is one sweep, of an empty sum.
        (0..count.max(1))
            .step_by(gates)
            .map(move |gate| (Gates { range: gate..(gate + gates).min(count), count }, blocks.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Words;
    use super::super::tile::Part;
    use super::*;

    #[test]
    fn every_gate_of_every_block_is_taken_once_and_in_order() {
        // 2^10 inputs of four blocks with sixteen lanes: 256 KiB.
        let panels = |gates, depth| -> Vec<Panel> {
            (0..gates).map(|_| Panel::new(Words::F32, 16, [depth, 1, 150], None).unwrap()).collect()
        };
        let of = |panels: &[Panel], rows, blocks| -> Vec<_> {
            cuts(panels, rows, blocks).map(|(gates, blocks)| (gates.range(), blocks)).collect()
        };
        let large = panels(2, 1024);
        assert_eq!(of(&large, FEW_ROWS, 1..9), [(0..2, 1..9)]);
        let cut = [(0..1, 1..5), (1..2, 1..5), (0..1, 5..9), (1..2, 5..9), (0..1, 9..10), (1..2, 9..10)];
        assert_eq!(of(&large, FEW_ROWS + 1, 1..10), cut);
        assert_eq!(of(&panels(2, 512), 100, 1..9), [(0..2, 1..9)], "just enough room");
        let four = [(0..1, 0..4), (1..2, 0..4), (2..3, 0..4), (3..4, 0..4)];
        assert_eq!(of(&panels(4, 512), 100, 0..4), four, "all gates count");
        assert_eq!(of(&large, 100, 3..3), []);
        let nothing = 0..0;
        assert_eq!(of(&panels(0, 1), 100, 0..3), [(nothing, 0..3)], "all of an empty sum");
    }

    #[test]
    fn what_is_read_next_is_prefetched() {
        let panels: Vec<Panel> =
            (0..2).map(|_| Panel::new(Words::F32, 4, [1024, 1, 40], None).unwrap()).collect();
        let at = |gates: &Gates, gate, block| {
            // Of two tiles the first, whose part is the beginning.
            let (_, part) = Part::of_run(0, 1, 2);
            let tile = Tile { rows: 3, block, blocks: 4, quiet: 0, part, ..Tile::QUIET };
            gates.prefetch(&panels, gate, &tile).at
        };
        let block = |gate: usize, block| panels[gate].block(block).as_ptr().cast::<u32>();
        let whole = Gates { range: 0..2, count: 2 };
        assert!(whole.are_first() && whole.are_last());
        assert_eq!(at(&whole, 1, 0), block(1, 4));
        let first = Gates { range: 0..1, count: 2 };
        assert!(first.are_first() && !first.are_last());
        assert_eq!(at(&first, 0, 4), block(1, 4));
        let last = Gates { range: 1..2, count: 2 };
        assert!(!last.are_first() && last.are_last());
        assert_eq!(at(&last, 1, 4), block(0, 8));
        assert!(at(&last, 1, 6).is_null(), "there are no more");
    }
}
