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

use crate::simd::{Isa, Kernel, Token, dispatch};
use std::ops::Range;

/// `sums[r][g][u] += sum over k of rows[r][k] * blocks[u][k][g]`, k ascending.
///
/// `rows` are of one length, the depth; each block has depth x G vectors.
#[inline(always)]
pub(crate) fn accumulate<I: Isa, const R: usize, const G: usize, const U: usize>(
    isa: I,
    sums: &mut [[[I::Vector; U]; G]; R],
    rows: [&[f32]; R],
    blocks: [&[f32]; U],
) {
    let depth = rows[0].len();
    for row in rows {
        assert!(row.len() == depth);
    }
    for block in blocks {
        assert!(block.len() == depth * G * I::LANES);
    }
    // A copy whose address nobody takes stays in registers.
    let mut acc = *sums;
    for k in 0..depth {
        let mut a = [isa.zero(); R];
        for r in 0..R {
            // SAFETY: k < depth, the length of each row.
            a[r] = isa.splat(unsafe { *rows[r].get_unchecked(k) });
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

/// Work that is done tile by tile.
pub(crate) trait Tile {
    /// Accumulators that a row and a block need, the gates of a cell: they decide how many blocks a tile
    /// takes. At most four.
    const ACCUMULATORS: usize;

    /// Does R rows from `row` on and U blocks from `block` on.
    ///
    /// # Safety
    /// - Those rows and blocks exist, and nobody else works on them.
    unsafe fn tile<I: Isa, const R: usize, const U: usize>(&self, isa: I, row: usize, block: usize);
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
                // SAFETY: rows and blocks of the ranges.
                unsafe {
                    if T::ACCUMULATORS == 1 {
                        match wide {
                            4 => tile_of_height::<I, T, 4>(isa, work, height, row, block),
                            _ => tile_of_height::<I, T, 1>(isa, work, height, row, block),
                        }
                    } else if wide == 2 {
                        work.tile::<I, 1, 2>(isa, row, block);
                    } else {
                        tile_of_height::<I, T, 1>(isa, work, height, row, block);
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
) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match height {
            1 => work.tile::<I, 1, U>(isa, row, block),
            2 => work.tile::<I, 2, U>(isa, row, block),
            3 => work.tile::<I, 3, U>(isa, row, block),
            4 if I::TILE_ROWS >= 4 => work.tile::<I, 4, U>(isa, row, block),
            5 if I::TILE_ROWS >= 5 => work.tile::<I, 5, U>(isa, row, block),
            6 if I::TILE_ROWS >= 6 => work.tile::<I, 6, U>(isa, row, block),
            _ => unreachable!("a tile of {height} rows"),
        }
    }
}
