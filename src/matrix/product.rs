//! The product of a few rows with a block of packed weights, in registers.
//!
//! ```text
//!                       weights of one block, front to back
//!               k:  [gate 0 | gate 1 | gate 2 | gate 3]     G vectors, U blocks of them
//!   row 0  a[k] *       +=       +=       +=       +=
//!   ...                          R x G x U accumulators, one vector each
//!   row R-1
//! ```
//!
//! Each accumulator is one chain: it starts from what the caller put there (a bias, a gradient) and
//! takes its products in the order of ascending k. A lane belongs to one output of one row. So a result
//! depends neither on R nor on U, nor on which rows and blocks share a tile: that is the root of every
//! promise of equal bits in this crate. More chains per output would not be faster: R x G x U chains
//! cover the latency of the multiply-add.
//!
//! How many rows a tile has is the level's register budget; see `simd/avx512.rs` and `simd/avx2.rs`.

use crate::simd::{Isa, Kernel, LINE, Token, dispatch};
use std::ops::Range;

/// The left operand of a product: R rows of one depth.
pub(crate) trait Rows<const R: usize>: Copy {
    /// The length of the rows.
    fn depth(&self) -> usize;
    /// Element k of row r.
    ///
    /// # Safety
    /// - `r < R` and `k < depth()`.
    unsafe fn get(&self, r: usize, k: usize) -> f32;
}

/// Rows that lie anywhere, each along k.
impl<const R: usize> Rows<R> for [&[f32]; R] {
    #[inline(always)]
    fn depth(&self) -> usize {
        let depth = self[0].len();
        for row in self {
            assert!(row.len() == depth);
        }
        depth
    }
    #[inline(always)]
    unsafe fn get(&self, r: usize, k: usize) -> f32 {
        // SAFETY: r < R, and k is below the length that all rows have.
        unsafe { *self.get_unchecked(r).get_unchecked(k) }
    }
}

/// Rows that lie side by side, with a stride along k: neighbouring columns of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    data: &'a [f32],
    stride: usize,
    depth: usize,
}

impl<'a> Columns<'a> {
    /// The first `count` columns of `data`, whose `depth` matrix rows begin at multiples of `stride`.
    #[inline(always)]
    pub(crate) fn new(data: &'a [f32], stride: usize, depth: usize, count: usize) -> Self {
        assert!(depth == 0 || (depth - 1) * stride + count <= data.len());
        Columns { data, stride, depth }
    }
}

impl<const R: usize> Rows<R> for Columns<'_> {
    #[inline(always)]
    fn depth(&self) -> usize {
        self.depth
    }
    #[inline(always)]
    unsafe fn get(&self, r: usize, k: usize) -> f32 {
        // SAFETY: k < depth and r < R, the number of columns it was made for.
        unsafe { *self.data.get_unchecked(k * self.stride + r) }
    }
}

/// `sums[r][g][u] += sum over k of rows[r][k] * blocks[u][k][g]`, k ascending.
///
/// Each block has depth x G vectors. Meanwhile the weights `ahead`, which the next block's tiles will read,
/// come into the level-2 cache.
#[inline(always)]
pub(crate) fn accumulate<I: Isa, const R: usize, const G: usize, const U: usize>(
    isa: I,
    sums: &mut [[[I::Vector; U]; G]; R],
    rows: impl Rows<R>,
    blocks: [&[f32]; U],
    ahead: &[f32],
) {
    let depth = rows.depth();
    for block in blocks {
        assert!(block.len() == depth * G * I::LANES);
    }
    // One line at most per k, spread over the whole product: a burst of them would keep the loads of the product
    // waiting. With no weights ahead it is the first weight again and again, which costs one load slot of ten free.
    let pace = (ahead.len() / depth.max(1)).min(LINE);
    let mut next = ahead.as_ptr();
    // A copy whose address nobody takes stays in registers.
    let mut acc = *sums;
    for k in 0..depth {
        isa.prefetch(next);
        next = next.wrapping_add(pace);
        let mut a = [isa.zero(); R];
        for r in 0..R {
            // SAFETY: r < R and k < depth.
            a[r] = isa.splat(unsafe { rows.get(r, k) });
        }
        for u in 0..U {
            for g in 0..G {
                // SAFETY: (k * G + g + 1) * LANES <= depth * G * LANES, the length of each block.
                let w = unsafe { isa.load_ptr(blocks[u].as_ptr().add((k * G + g) * I::LANES)) };
                for r in 0..R {
                    acc[r][g][u] = isa.mul_add(a[r], w, acc[r][g][u]);
                }
            }
        }
    }
    *sums = acc;
}

/// Which part of the weights of the next block a product prefetches: part `index` of `of`, none of 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    index: usize,
    of: usize,
}

impl Part {
    /// The part of one of the tiles that share a block. Nothing where one tile works on it alone: there the
    /// processor's own prefetcher, which sees one stream, is as early. And nothing where there are many: they hide
    /// what the first of them waits for, and a block that comes before its time takes the room of those that are in
    /// use. (Zen 4, one thread: 20 rows of 650 units, four tiles, 5 % faster with it; 64 rows of 1024 units, eleven
    /// tiles, 3 % slower.)
    #[inline(always)]
    fn of_tile(index: usize, tiles: usize) -> Part {
        Part { index, of: if (2..=5).contains(&tiles) { tiles } else { 0 } }
    }

    /// The n-th of `count` parts of this part, for a tile of several products.
    #[inline(always)]
    pub(crate) fn split(self, n: usize, count: usize) -> Part {
        Part { index: self.index * count + n, of: self.of * count }
    }

    /// This part of the weights of the next block.
    #[inline(always)]
    pub(crate) fn take(self, next: &[f32]) -> &[f32] {
        let share = if self.of == 0 { 0 } else { next.len().div_ceil(self.of).next_multiple_of(LINE) };
        &next[(self.index * share).min(next.len())..((self.index + 1) * share).min(next.len())]
    }
}

/// Work that is done tile by tile.
pub(crate) trait Tile {
    /// Accumulators that a row and a block need, the gates of a cell: they decide how many blocks a tile
    /// takes. At most four.
    const ACCUMULATORS: usize;

    /// Does R rows from `row` on and U blocks from `block` on, and `part` of the prefetching for the next.
    ///
    /// # Safety
    /// - Those rows and blocks exist, and nobody else works on them.
    unsafe fn tile<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        row: usize,
        block: usize,
        part: Part,
    );
}

/// Covers `rows` x `blocks` with tiles: blocks outside, rows inside, so that the weights of a block come
/// from far away once and from the nearest cache for every further tile.
///
/// Rows are cut evenly (8 rows are 4 + 4 and not 6 + 2): narrow tiles have too few chains to hide the
/// latency of a multiply-add, and read more weights per product.
///
/// This is where code is compiled per level: one function for each kind of tile, however many places call
/// it. Everything above it is plain code.
///
/// # Safety
/// - The rows and blocks exist, and nobody else works on them.
#[inline]
pub(crate) unsafe fn sweep<T: Tile>(token: Token, work: &T, rows: Range<usize>, blocks: Range<usize>) {
    if !rows.is_empty() {
        dispatch(token, Sweep { work, rows, blocks });
    }
}

/// The arguments of [`sweep`], which by its caller's promise exist and are ours.
struct Sweep<'a, T> {
    work: &'a T,
    rows: Range<usize>,
    blocks: Range<usize>,
}

impl<T: Tile> Kernel for Sweep<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Sweep { work, rows, blocks } = self;
        let count = rows.len();
        let tiles = count.div_ceil(I::TILE_ROWS);
        let (size, larger) = (count / tiles, count % tiles);
        let mut block = blocks.start;
        while block < blocks.end {
            let left = blocks.end - block;
            // Four accumulators in all per row: one block of four gates, or four blocks of one. A single
            // row takes twice that, or its chains would be too few.
            let wide = if T::ACCUMULATORS == 1 && left >= 4 {
                4
            } else if T::ACCUMULATORS > 1 && count == 1 && left >= 2 {
                2
            } else {
                1
            };
            let mut row = rows.start;
            for tile in 0..tiles {
                let height = size + usize::from(tile < larger);
                let part = Part::of_tile(tile, tiles);
                // SAFETY: rows and blocks of the ranges.
                unsafe {
                    if T::ACCUMULATORS == 1 {
                        match wide {
                            4 => tile_of_height::<I, T, 4>(isa, work, height, row, block, part),
                            _ => tile_of_height::<I, T, 1>(isa, work, height, row, block, part),
                        }
                    } else if wide == 2 {
                        work.tile::<I, 1, 2>(isa, row, block, part);
                    } else {
                        tile_of_height::<I, T, 1>(isa, work, height, row, block, part);
                    }
                }
                row += height;
            }
            block += wide;
        }
    }
}

/// The tile of this height; heights above the level's budget are not compiled into it.
///
/// # Safety
/// - As for [`Tile::tile`].
#[inline(always)]
unsafe fn tile_of_height<I: Isa, T: Tile, const U: usize>(
    isa: I,
    work: &T,
    height: usize,
    row: usize,
    block: usize,
    part: Part,
) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match height {
            1 => work.tile::<I, 1, U>(isa, row, block, part),
            2 => work.tile::<I, 2, U>(isa, row, block, part),
            3 => work.tile::<I, 3, U>(isa, row, block, part),
            4 if I::TILE_ROWS >= 4 => work.tile::<I, 4, U>(isa, row, block, part),
            5 if I::TILE_ROWS >= 5 => work.tile::<I, 5, U>(isa, row, block, part),
            6 if I::TILE_ROWS >= 6 => work.tile::<I, 6, U>(isa, row, block, part),
            _ => unreachable!("a tile of {height} rows"),
        }
    }
}
