//! The micro-kernel: a few rows by a block of packed weights, in registers.
//!
//! ```text
//!                       weights of one block, front to back
//!               k:  [gate 0 | gate 1 | gate 2 | gate 3]     G vectors, U blocks of them
//!   row 0  a[k] *       +=       +=       +=       +=
//!   ...                          R x U x G accumulators, one vector each
//!   row R-1
//! ```
//!
//! Each accumulator is one chain: it starts from what lies at its place (a bias, a sum that goes on, zero)
//! and takes its products segment by segment, in the order of ascending k. A lane belongs to one output of
//! one row. So a result depends neither on R nor on U, nor on which rows and blocks share a tile: that is the
//! root of every promise of equal bits in this crate. More chains per output would not be faster: R x U x G
//! chains cover the latency of the multiply-add.
//!
//! A kernel is compiled for (G, U, R) alone. What is multiplied is data, a [`Product`]:
//!
//! ```text
//!              start            segments                 to
//! forward      bias             W x, R h                 the tile's scratch, where the cell finishes them
//!              sums that are there       R h             (where W x was done beforehand)
//! dh           zero             dG R of each gate        the tile's scratch
//! dx           zero, or dx      dG W of each gate        dx
//! dW           zero, or dW      dG^T X                   dW
//! ```
//!
//! What lies where is described by `operand.rs`. How many rows a tile has is the level's register budget,
//! which its file in `simd/` explains.

use super::format::{Format, InRun};
use super::operand::{Segment, SumPointers};
use crate::simd::{Isa, LINE, Routine, prefetch};
use std::marker::PhantomData;

/// The gates of a product that may turn. No cell turns with another number of gates, and a kernel that can
/// turn takes longer to begin.
const TURNING_GATES: usize = 3;

/// Where the sums of a product begin, and where they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) start: SumPointers,
    pub(crate) to: SumPointers,
    /// The turn: before this segment the last gate's accumulators are stored, and a second sum begins in
    /// them. It starts from these sum pointers, and is stored beside the last gate's. (The candidate of a GRU
    /// has two sums, because only its recurrent side is reset.) For three gates only.
    pub(crate) turn: Option<(usize, SumPointers)>,
    /// Tiles that are multiplied one after the other: along the rows, or of a single row along the blocks.
    pub(crate) tiles: usize,
    /// How many of them, the first ones, prefetch nothing.
    pub(crate) quiet: usize,
    /// Whether each tile prefetches the sums at `to` of the tile after it. For one gate only.
    pub(crate) fetches_next: bool,
}

impl Ends {
    /// From here to there, without a turn.
    #[inline(always)]
    pub(crate) fn new(start: SumPointers, to: SumPointers) -> Self {
        Ends { start, to, turn: None, tiles: 1, quiet: 0, fetches_next: false }
    }
}

/// What a kernel multiplies.
///
/// Tiles of one sweep differ in where their rows and blocks begin, and little else: ends and segments may be
/// made once and moved from tile to tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) ends: &'a Ends,
    pub(crate) segments: &'a [Segment],
}

/// The micro-kernel of a tile: see [`Multiply`] for what it computes and for what its caller promises.
pub(crate) type MicroKernel = for<'a, 'b> unsafe fn(&'a Product<'b>);

/// The kernel of G gates, U blocks and R rows. It computes
/// `to[r][u][g] = start[r][u][g] + sum over segments and k of rows[r][k] * panel[u][k][g]`.
///
/// Meanwhile it prefetches into the level-2 cache weights that the next block's tiles will read: at most one
/// line per k, so a few tiles of several gates do not prefetch all of them.
pub(super) struct Multiply<F, const G: usize, const U: usize, const R: usize>(PhantomData<F>);

impl<F: Format, const G: usize, const U: usize, const R: usize> Routine for Multiply<F, G, U, R> {
    type Arguments<'a> = Product<'a>;

    /// # Safety
    /// - Of R rows, U blocks and G gates the places and segments exist: those of `start` and `segments` are
    ///   readable, those of `to` writable, and nobody else writes the former or touches the latter meanwhile.
    ///   Lists of rows are there.
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, product: &Product<'_>) {
        let Product { ends: &Ends { tiles, .. }, .. } = *product;
        for tile in 0..tiles {
            // SAFETY: the caller's promise, passed on.
            unsafe { multiply::<I, F, G, U, R>(isa, product, tile) };
        }
    }
}

/// One tile of a run.
///
/// # Safety
/// - As for [`Multiply`].
#[inline(always)]
unsafe fn multiply<I: Isa, F: Format, const G: usize, const U: usize, const R: usize>(
    isa: I,
    product: &Product<'_>,
    tile: usize,
) {
    let Product { ends: &Ends { start, to, turn, tiles, quiet, fetches_next }, segments } = *product;
    debug_assert!(G == TURNING_GATES || turn.is_none());
    if const { G == 1 } && fetches_next && tile + 1 < tiles {
        // A few lines of each row, which the processor does not prefetch by itself because rows lie far
        // apart: with 1024 units, a fifth of the time of dW was spent waiting for them. (`X207/next-sums`)
        // SAFETY: the list, where there is one, has the rows of the next tile, too.
        let next: [_; R] = unsafe { to.rows.starts((tile + 1) * to.next) };
        for row in next {
            for u in (0..U).step_by(LINE / I::LANES) {
                prefetch(row.wrapping_add(u * to.block));
            }
        }
    }
    let mut acc = [[[isa.zero(); G]; U]; R];
    // SAFETY: here and below, lists are there by the caller's promise.
    let rows: [_; R] = unsafe { start.rows.starts(tile * start.next) };
    for r in 0..R {
        for u in 0..U {
            for g in 0..G {
                // SAFETY: a place of `start`.
                acc[r][u][g] = unsafe { isa.load_ptr(rows[r].add(u * start.block + g * start.gate)) };
            }
        }
    }
    // The last gate's place moves on where it turns.
    let mut last = G - 1;
    for (n, segment) in segments.iter().enumerate() {
        if const { G == TURNING_GATES }
            && let Some((at, place)) = turn
            && n == at
        {
            // SAFETY: as above.
            let (to_rows, rows): ([_; R], [_; R]) =
                unsafe { (to.rows.starts(tile * to.next), place.rows.starts(tile * place.next)) };
            for r in 0..R {
                for u in 0..U {
                    // SAFETY: places of `to` and of the turn.
                    unsafe {
                        isa.store_ptr(to_rows[r].add(u * to.block + last * to.gate), acc[r][u][G - 1]);
                        acc[r][u][G - 1] = isa.load_ptr(rows[r].add(u * place.block));
                    }
                }
            }
            last = G;
        }
        // SAFETY: the caller's promise, passed on.
        acc = unsafe { F::add::<I, G, U, R>(isa, acc, segment, InRun { index: tile, quiet }) };
    }
    // SAFETY: as above.
    let rows: [_; R] = unsafe { to.rows.starts(tile * to.next) };
    for r in 0..R {
        for u in 0..U {
            for g in 0..G {
                let place = if g == G - 1 { last } else { g };
                // SAFETY: a place of `to`.
                unsafe { isa.store_ptr(rows[r].add(u * to.block + place * to.gate), acc[r][u][g]) };
            }
        }
    }
}
