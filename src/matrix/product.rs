//! The product of a few rows with a block of packed weights, in registers.
//!
//! ```text
//!                       weights of one block, front to back
//!               k:  [gate 0 | gate 1 | gate 2 | gate 3]     G vectors, U blocks of them
//!   row 0  a[k] *       +=       +=       +=       +=
//!   ...                          R x U x G accumulators, one vector each
//!   row R-1
//! ```
//!
//! Each accumulator is one chain: it starts from what the caller put there (a bias, a gradient) and
//! takes its products in the order of ascending k. A lane belongs to one output of one row. So a result
//! depends neither on R nor on U, nor on which rows and blocks share a tile: that is the root of every
//! promise of equal bits in this crate. More chains per output would not be faster: R x U x G chains
//! cover the latency of the multiply-add.
//!
//! How many rows a tile has is the level's register budget; see `simd/avx512.rs` and `simd/avx2.rs`.

use crate::simd::{Isa, LINE};
use std::marker::PhantomData;

/// The left operand of a product: R rows of one depth.
pub(crate) trait LeftOperand<const R: usize>: Copy {
    /// How many elements of a row [`get`](LeftOperand::get) finds next to each other, if not all of them.
    const RUN: usize = usize::MAX;
    /// The length of the rows.
    fn depth(&self) -> usize;
    /// The rows from element k on, to get the next [`RUN`](LeftOperand::RUN) of, as far as there are so many.
    ///
    /// # Safety
    /// - `k < depth()`, and a multiple of `RUN`.
    unsafe fn run(&self, _k: usize) -> Self {
        *self
    }
    /// Where the next run of row r begins, if there is one.
    fn next(&self, _r: usize) -> *const f32 {
        std::ptr::null()
    }
    /// Element k of row r, counted from where the run begins.
    ///
    /// # Safety
    /// - `r < R` and `k < RUN`, and from the start of all rows the element is below `depth()`.
    unsafe fn get(&self, r: usize, k: usize) -> f32;
}

/// Rows that lie anywhere, each along k.
impl<const R: usize> LeftOperand<R> for [&[f32]; R] {
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

/// Rows of one matrix, with a stride from row to row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a> {
    data: *const f32,
    row_stride: usize,
    depth: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a> Strided<'a> {
    /// Rows that begin at multiples of `row_stride` and lie along k.
    ///
    /// # Safety
    /// - Of each row that a product takes, `depth` floats are readable and nobody writes them in the lifetime.
    #[inline(always)]
    pub(crate) unsafe fn rows(data: *const f32, row_stride: usize, depth: usize) -> Self {
        Strided { data, row_stride, depth, life: PhantomData }
    }
}

impl<const R: usize> LeftOperand<R> for Strided<'_> {
    #[inline(always)]
    fn depth(&self) -> usize {
        self.depth
    }
    #[inline(always)]
    unsafe fn get(&self, r: usize, k: usize) -> f32 {
        // SAFETY: k < depth and r < R, no more than the rows that it was made for.
        unsafe { *self.data.add(r * self.row_stride + k) }
    }
}

/// Columns of [lines](super::Lines), an element of each in every line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a, const R: usize> {
    starts: [*const f32; R],
    depth: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a, const R: usize> Columns<'a, R> {
    /// The columns that begin where these slices do, of `depth` elements.
    #[inline(always)]
    pub(crate) fn new(columns: [&'a [f32]; R], depth: usize) -> Self {
        let mut starts = [std::ptr::null(); R];
        for (start, column) in starts.iter_mut().zip(columns) {
            assert!(depth == 0 || (depth - 1) * LINE < column.len());
            *start = column.as_ptr();
        }
        Columns { starts, depth, life: PhantomData }
    }
}

impl<const R: usize> LeftOperand<R> for Columns<'_, R> {
    #[inline(always)]
    fn depth(&self) -> usize {
        self.depth
    }
    #[inline(always)]
    unsafe fn get(&self, r: usize, k: usize) -> f32 {
        // SAFETY: r < R, and line k < depth is inside the slice of each column.
        unsafe { *self.starts.get_unchecked(r).add(k * LINE) }
    }
}

/// The accumulators of a tile: R rows of U blocks of G gates.
pub(crate) type Sums<V, const R: usize, const U: usize, const G: usize> = [[[V; G]; U]; R];

/// `sums[r][u][g] += sum over k of rows[r][k] * blocks[u][k][g]`, k ascending.
///
/// Each block has depth x G vectors. Meanwhile the weights `ahead`, which the next block's tiles will read,
/// come into the level-2 cache: one line at most per k, so of few tiles with several gates not all.
#[inline(always)]
pub(crate) fn accumulate<I: Isa, T: LeftOperand<R>, const R: usize, const U: usize, const G: usize>(
    isa: I,
    sums: &mut Sums<I::Vector, R, U, G>,
    rows: T,
    blocks: [&[f32]; U],
    ahead: &[f32],
) {
    let depth = rows.depth();
    for block in blocks {
        assert!(block.len() == depth * G * I::LANES);
    }
    // Spread over the whole product: a burst of them would keep the loads of the product waiting. With no weights ahead
    // it is the first weight again and again, which costs one load slot of ten free. (And not any address: one that
    // is not mapped would cost a walk through the page tables.)
    let pace = (ahead.len() / depth.max(1)).min(LINE);
    let mut next = if ahead.is_empty() { blocks[0].as_ptr() } else { ahead.as_ptr() };
    // A copy whose address nobody takes stays in registers.
    let mut acc = *sums;
    for start in (0..depth).step_by(T::RUN) {
        // SAFETY: start < depth, and a multiple of the length of a run.
        let rows = unsafe { rows.run(start) };
        // A run lies too far behind the one before for the processor to foresee: 14 % of a tile's time with AVX2 was spent
        // waiting for the first element of each.
        if const { T::RUN < usize::MAX } {
            for r in 0..R {
                isa.prefetch_near(rows.next(r));
            }
        }
        // One k at a time. (Four of large tiles gained 1 to 3 % with AVX-512, as the tile does in C where weights are more than the
        // level-2 cache has room for; but LLVM then keeps accumulators of GRU's tiles on the stack, at 15 %.)
        for n in 0..T::RUN.min(depth - start) {
            let k = start + n;
            isa.prefetch(next);
            next = next.wrapping_add(pace);
            // All rows have a register and a weight one in turn; where tiles are tall, the other way around. (There it is one
            // register less, and the last. Where rows are fewer than they may be, LLVM moves accumulators about for it.)
            if const { R > I::TILE_ROWS } {
                let mut w = [[isa.zero(); G]; U];
                for u in 0..U {
                    for g in 0..G {
                        // SAFETY: (k * G + g + 1) * LANES <= depth * G * LANES, the length of each block.
                        w[u][g] = unsafe { isa.load_ptr(blocks[u].as_ptr().add((k * G + g) * I::LANES)) };
                    }
                }
                for r in 0..R {
                    // SAFETY: r < R, and n counts through one run, as far as k < depth.
                    let a = isa.splat(unsafe { rows.get(r, n) });
                    for u in 0..U {
                        for g in 0..G {
                            acc[r][u][g] = isa.mul_add(a, w[u][g], acc[r][u][g]);
                        }
                    }
                }
            } else {
                let mut a = [isa.zero(); R];
                for r in 0..R {
                    // SAFETY: as above.
                    a[r] = isa.splat(unsafe { rows.get(r, n) });
                }
                for u in 0..U {
                    for g in 0..G {
                        // SAFETY: as above.
                        let w = unsafe { isa.load_ptr(blocks[u].as_ptr().add((k * G + g) * I::LANES)) };
                        for r in 0..R {
                            acc[r][u][g] = isa.mul_add(a[r], w, acc[r][u][g]);
                        }
                    }
                }
            }
        }
    }
    *sums = acc;
}
