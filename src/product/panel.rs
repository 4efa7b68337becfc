//! Weights in the order in which a product reads them.
//!
//! A matrix that maps `depth` inputs to `gates` values for each of `units` outputs is cut into blocks of
//! as many units as a vector has lanes, and each block is laid out along the inputs, all gates of its
//! units side by side:
//!
//! ```text
//! [units / lanes][depth][gate][lane]
//!
//!   block 0:  k=0: i i i i  f f f f  g g g g  o o o o      (4 gates, 4 lanes)
//!             k=1: i i i i  f f f f  g g g g  o o o o
//!             ...
//!   block 1:  k=0: ...
//! ```
//!
//! So a tile reads one stream front to back, a whole number of cache lines per step, and ends with all
//! gates of its units side by side, as the cell needs them. Units past the last are zero, and so are values
//! that are too small to matter (`simd/flush.rs`).
//!
//! Depth is counted in words of 32 bits: `[units / lanes][words][gate][lane]`, a word for each input of f32
//! or for several (`format/`). After the last block there may be its units once more, as a [`Fringe`].

use super::format::{Columns, Precision, UNITS, Words, round};
use super::fringe::Fringe;
use super::heads::{Heads, Lanes};
use super::operand::{Prefetch, WeightPointers};
use super::registry::table;
use super::tile::{Part, Tile};
use crate::error::{Error, checked_size, collect};
use crate::memory::{AlignedBuf, Row};
use crate::simd::{Dispatched, Isa, LINE, Token, dispatch, flush, flushed};
use std::ops::Range;

/// Where a weight stands in a matrix that is not packed: unit `u` of gate `g` at input `k` is
/// `data[gate_starts[g] + u * unit_stride + k * depth_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The matrix.
    pub(crate) data: &'a [f32],
    /// Where each gate begins.
    pub(crate) gate_starts: &'a [usize],
    /// The distance between units.
    pub(crate) unit_stride: usize,
    /// The distance between inputs.
    pub(crate) depth_stride: usize,
}

/// Rows that are packed together, so that a block takes a few lines at a time.
const GROUP: usize = 8;

/// Inputs of a transposed matrix that are packed together.
const TOGETHER: usize = 4 * LINE;

/// Packed weights.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panel {
    /// Words, in the memory of floats.
    data: AlignedBuf,
    of: Words,
    lanes: usize,
    depth: usize,
    gates: usize,
    units: usize,
    /// Words of depth, blocks, and words of a block. They are kept because each product asks for them, and
    /// divisions would take a measurable part of a small product.
    words: usize,
    blocks: usize,
    block_len: usize,
    fringe: Option<Fringe>,
}

impl Panel {
    /// A panel of this shape in this memory.
    fn of(data: AlignedBuf, of: Words, lanes: usize, [depth, gates, units]: [usize; 3]) -> Self {
        let (words, blocks) = (depth.div_ceil(of.inputs()), units.div_ceil(lanes));
        let block_len = (words + of.tail()) * gates * lanes;
        Panel { data, of, lanes, depth, gates, units, words, blocks, block_len, fringe: None }
    }

    /// A panel of zeros, of depth, gates and units, and its fringe.
    pub(crate) fn new(
        of: Words,
        lanes: usize,
        [depth, gates, units]: [usize; 3],
        fringe: Option<Fringe>,
    ) -> Result<Self, Error> {
        let words = depth.div_ceil(of.inputs()).saturating_add(of.tail());
        // Vectors of all blocks and of the fringe.
        let vectors = units.div_ceil(lanes).saturating_mul(gates);
        let vectors = vectors.saturating_add(fringe.map_or(0, |fringe| fringe.vectors));
        let size = checked_size("packed weights", &[vectors, lanes, words])?;
        Ok(Panel { fringe, ..Panel::of(AlignedBuf::zeroed(size)?, of, lanes, [depth, gates, units]) })
    }

    /// `count` panels of zeros, of which `size` says depth, gates and units, and `fringe` of these the
    /// fringe.
    pub(crate) fn several(
        of: Words,
        lanes: usize,
        count: usize,
        size: &dyn Fn(usize) -> [usize; 3],
        fringe: &dyn Fn([usize; 3]) -> Option<Fringe>,
    ) -> Result<Vec<Self>, Error> {
        collect((0..count).map(|n| Panel::new(of, lanes, size(n), fringe(size(n)))))
    }

    /// A panel for [`pack_rows`](Panel::pack_rows), with room for `rows` rows of `units` units.
    pub(crate) fn reserve(&mut self, lanes: usize, rows: usize, units: usize) -> Result<(), Error> {
        self.data.grow(checked_size("packed rows", &[units.div_ceil(lanes), lanes, rows])?)
    }

    /// Fills the panel with the rows of a matrix, wherever each lies: row k becomes input k of one gate.
    /// There must be room for them, in vectors of the token's level. Tiny values become zero.
    ///
    /// (Rows are collected, and a few of them at a time are packed with vectors. What is generic over the
    /// iterator would be compiled for each caller.)
    pub(crate) fn pack_rows<'a>(
        &mut self,
        token: Token,
        units: usize,
        rows: &mut dyn ExactSizeIterator<Item = Row<'a>>,
    ) {
        let (data, lanes) = (std::mem::take(&mut self.data), table(token, Precision::F32).lanes);
        *self = Panel::of(data, Words::F32, lanes, [rows.len(), 1, units]);
        let mut group = [Row::of(&[]); GROUP];
        let mut first = 0;
        loop {
            let mut count = 0;
            for (to, from) in group.iter_mut().zip(&mut *rows) {
                *to = from;
                count += 1;
            }
            if count == 0 {
                return;
            }
            dispatch(token, PackRows { panel: self, first, rows: &group[..count] });
            first += count;
        }
    }

    /// Rounds the rows that it was filled with.
    pub(crate) fn round_rows(&mut self) {
        debug_assert!(self.of == Words::F32);
        let len = self.blocks * self.block_len;
        round(&mut self.data[..len]);
    }

    /// Fills the panel with NaN, so that a test sees whether it is packed again.
    #[cfg(test)]
    pub(crate) fn poison(&mut self) {
        self.data.fill(f32::NAN);
    }

    /// Whether it has been left alone since.
    #[cfg(test)]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.data.iter().all(|value| value.is_nan())
    }

    /// Fills the panel from a matrix.
    pub(crate) fn pack(&mut self, from: Source<'_>) {
        self.pack_with(from, &[]);
    }

    /// The same with given scales for bytes: one for each unit of each gate, or one for all. Without a scale,
    /// or with zero, a unit has its own.
    #[inline(never)]
    pub(crate) fn pack_with(&mut self, from: Source<'_>, scales: &[f32]) {
        let &mut Panel { of, lanes, depth, units, .. } = self;
        // Both the matrix and the panel are gone through along their lines: of a transposed matrix, some
        // inputs of all blocks.
        let together = if from.unit_stride == 1 && of.tail() == 0 { TOGETHER } else { depth.max(1) };
        for first in (0..depth).step_by(together) {
            let inputs = first..depth.min(first + together);
            // (The fringe has the units of the last block.)
            for block in 0..self.blocks + usize::from(self.fringe.is_some()) {
                let unit = block.min(self.blocks - 1) * lanes;
                let of_block = unit..units.min(unit + lanes);
                self.pack_lanes((block, 0), of_block, &inputs, from, (scales, units, unit));
            }
        }
    }

    /// The same for weights of heads: unit `u` of a gate at input `k` of its head. The weights of a head
    /// follow those of all heads before it.
    pub(crate) fn pack_heads(&mut self, heads: Heads, from: Source<'_>, scales: &[f32]) {
        let (lanes, size, units) = (self.lanes, heads.size(), heads.count() * heads.size());
        for part in heads.split(&Tile::row_of_blocks(units.div_ceil(lanes))) {
            let own = heads.units(part.head);
            let data = &from.data[part.head * size * self.depth..];
            for n in 0..part.tile.tiles {
                let Lanes { first: lane, count } = part.lanes.unwrap_or(Lanes { first: 0, count: lanes });
                let first = (part.tile.block + n) * lanes + lane;
                let last = own.end.min(first + count);
                let (to, of_head) = ((part.block + n, lane), first - own.start..last - own.start);
                let inputs = 0..self.depth;
                self.pack_lanes(to, of_head, &inputs, Source { data, ..from }, (scales, units, first));
            }
        }
    }

    /// Packs some inputs of some units into the lanes of a block from `lane` on; the fringe comes after the
    /// last block. The third part of the last argument is the index of the first unit's scale, the second the
    /// number of scales of a gate.
    #[inline(never)]
    fn pack_lanes(
        &mut self,
        (block, lane): (usize, usize),
        from_units: Range<usize>,
        inputs: &Range<usize>,
        from: Source<'_>,
        (scales, of_gate, first_scale): (&[f32], usize, usize),
    ) {
        debug_assert_eq!(from.gate_starts.len(), self.gates);
        let &mut Panel { of, lanes, gates, block_len, words, .. } = self;
        if block_len == 0 {
            return;
        }
        let Source { unit_stride, depth_stride, .. } = from;
        // Lanes from a gate to the next, and words from a word of depth to the next.
        let (next_gate, word) = match self.fringe {
            Some(fringe) if block == self.blocks => (fringe.units, fringe.vectors * lanes),
            _ => (lanes, gates * lanes),
        };
        let to = &mut self.data[block * block_len..][..(words + of.tail()) * word];
        for (gate, &start) in from.gate_starts.iter().enumerate() {
            for unit in (0..from_units.len()).step_by(UNITS) {
                let data = &from.data[start + (from_units.start + unit) * unit_stride..];
                let units = UNITS.min(from_units.len() - unit);
                let given = std::array::from_fn(|n| {
                    let scale = if scales.len() > 1 { gate * of_gate + first_scale + unit + n } else { 0 };
                    scales.get(scale).copied().filter(|&scale| scale != 0.0)
                });
                let columns = Columns { data, units, unit_stride, depth_stride };
                let at = gate * next_gate + lane + unit;
                of.pack(&columns, inputs.clone(), given, &mut to[at..], word);
            }
        }
    }

    /// The number of blocks.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The bytes of all blocks: what a single row reads.
    pub(crate) fn bytes(&self) -> usize {
        self.block_bytes(self.blocks())
    }

    /// The bytes of its memory. (A panel that is packed again with less may use only a part.)
    pub(crate) fn held(&self) -> usize {
        size_of_val(&self.data[..])
    }

    /// The multiply-adds of a row with all of it, padding included.
    pub(crate) fn multiply_adds(&self) -> usize {
        self.blocks() * self.lanes * self.gates * self.depth
    }

    /// The number of outputs.
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// The outputs of a block.
    #[inline(always)]
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The number of inputs.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// The bytes of `count` blocks.
    #[inline(always)]
    pub(crate) fn block_bytes(&self, count: usize) -> usize {
        count * self.block_len * size_of::<u32>()
    }

    /// Where a block begins, or would begin.
    #[inline(always)]
    fn address(&self, block: usize) -> *const u32 {
        self.data.as_ptr().cast::<u32>().wrapping_add(block * self.block_len)
    }

    /// A part of the `count` blocks from `block` on, as far as there are any.
    #[inline(always)]
    pub(crate) fn prefetch(&self, block: usize, count: usize, part: Part) -> Prefetch {
        if part.is_none() || block >= self.blocks {
            return Prefetch::NONE;
        }
        // (A tile that shares its block with others has several rows.)
        let (block, word) = match self.fringe {
            Some(fringe) if block + 1 == self.blocks => (self.blocks, fringe.vectors * self.lanes),
            _ => (block, self.gates * self.lanes * count),
        };
        let (pace, first) = part.pace(word, self.words);
        Prefetch { at: self.address(block).wrapping_add(first), pace }
    }

    /// The fringe, where a tile takes that in place of its block.
    #[inline(always)]
    pub(crate) fn fringe(&self, tile: &Tile) -> Option<Fringe> {
        self.fringe.filter(|_| tile.rows > 1 && tile.block + 1 == self.blocks)
    }

    /// What a tile multiplies with: its blocks, while its part of the next ones is prefetched, or the fringe.
    #[inline(always)]
    pub(crate) fn of_tile(&self, tile: &Tile) -> WeightPointers {
        if self.fringe(tile).is_some() {
            let panel = self.address(self.blocks);
            return WeightPointers { panel, ahead: panel, ..self.weights(0, 0, Prefetch::NONE) };
        }
        let ahead = self.prefetch(tile.block + tile.blocks, tile.blocks, tile.part);
        self.weights(tile.block, tile.blocks, ahead)
    }

    /// `count` blocks from `block` on, to multiply with while others are prefetched.
    #[inline(always)]
    pub(crate) fn weights(&self, block: usize, count: usize, ahead: Prefetch) -> WeightPointers {
        self.weights_of(block, count, 0..self.depth, ahead)
    }

    /// Some inputs of these blocks.
    #[inline(always)]
    pub(crate) fn weights_of(
        &self,
        block: usize,
        count: usize,
        inputs: Range<usize>,
        ahead: Prefetch,
    ) -> WeightPointers {
        debug_assert!(block + count <= self.blocks && inputs.start <= inputs.end && inputs.end <= self.depth);
        debug_assert!(self.blocks * self.block_len <= self.data.len());
        let whole = inputs.len() == self.depth;
        let (first, words) = if whole { (0, self.words) } else { self.words_of(&inputs) };
        let panel = self.address(block).wrapping_add(first * self.gates * self.lanes);
        // Without weights to prefetch, the kernel prefetches the first weight again and again. That takes a
        // load slot, of which some ten are free. (An address that is not mapped would cost a page-table
        // walk.)
        let Prefetch { at, pace } = ahead;
        let ahead = if pace == 0 { panel } else { at };
        WeightPointers { panel, block: self.block_len, inputs: inputs.len(), words, ahead, pace }
    }

    /// The first word of some inputs, and their number of words. The first input is the first of a word.
    #[inline(always)]
    fn words_of(&self, inputs: &Range<usize>) -> (usize, usize) {
        debug_assert!(inputs.start.is_multiple_of(self.of.inputs()));
        (inputs.start / self.of.inputs(), inputs.len().div_ceil(self.of.inputs()))
    }

    /// The floats of a block, of all inputs.
    #[inline(always)]
    pub(crate) fn block(&self, block: usize) -> &[f32] {
        &self.data[block * self.block_len..(block + 1) * self.block_len]
    }
}

/// Rows that become the inputs from `first` on of a panel of f32, of one gate.
struct PackRows<'p, 'a> {
    panel: &'p mut Panel,
    first: usize,
    rows: &'p [Row<'a>],
}

impl Dispatched for PackRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let PackRows { panel, first, rows } = self;
        let Panel { units, block_len, .. } = *panel;
        let whole = units / I::LANES;
        for row in rows {
            assert!(row.len() >= units);
        }
        for block in 0..panel.blocks {
            let to = &mut panel.data[block * block_len + first * I::LANES..][..rows.len() * I::LANES];
            for (to, from) in to.chunks_exact_mut(I::LANES).zip(rows) {
                let start = block * I::LANES;
                if block < whole {
                    isa.store(to, flush(isa, from.load(isa, start)));
                } else {
                    let (to, padding) = to.split_at_mut(units - start);
                    from.copy(start, to);
                    to.iter_mut().for_each(|value| *value = flushed(*value));
                    padding.fill(0.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
