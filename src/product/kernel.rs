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
//! How many rows a tile has is the level's register budget, which its file in `simd/` explains.

use super::format::{Format, Part};
use super::tile::Tile;
use crate::simd::{Isa, LINE, Routine, prefetch};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// The most rows that a tile of any level has.
pub(crate) const MOST_ROWS: usize = 8;
/// The most segments of a product: a gate each, on the way back.
pub(crate) const MOST_SEGMENTS: usize = 4;

/// The rows of a tile: at a stride, or each where a list says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<T> {
    first: *mut T,
    stride: usize,
    /// Null where there is none.
    list: *const *mut T,
}

impl<T> Rows<T> {
    /// Rows at a stride.
    #[inline(always)]
    pub(crate) fn strided(first: *mut T, stride: usize) -> Self {
        Rows { first, stride, list: std::ptr::null() }
    }

    /// Rows that lie anywhere: as many as the tile has, or the tiles of a run. The list is there as long as
    /// kernels run on it.
    #[inline(always)]
    pub(crate) fn listed(list: &[*mut T]) -> Self {
        Rows { first: std::ptr::null_mut(), stride: 0, list: list.as_ptr() }
    }

    /// The rows from `row` on of those at this stride, the first of which is at `base`.
    #[inline(always)]
    pub(crate) fn move_to(&mut self, base: *mut T, row: usize) {
        self.first = base.wrapping_add(row * self.stride);
    }

    /// From the rows of a tile of a run to those of the next one: words, or places of the list.
    #[inline(always)]
    fn next(self, tile: &Tile) -> usize {
        if self.list.is_null() { tile.rows * self.stride } else { tile.rows }
    }

    /// Where each of R rows begins, so many words or places of the list further on.
    ///
    /// # Safety
    /// - The list is there, if one was given, and has R rows from there on.
    #[inline(always)]
    pub(super) unsafe fn starts<const R: usize>(self, on: usize) -> [*mut T; R] {
        let mut starts = [self.first.wrapping_add(on); R];
        if self.list.is_null() {
            for r in 1..R {
                starts[r] = starts[r - 1].wrapping_add(self.stride);
            }
        } else {
            for r in 0..R {
                // SAFETY: the caller's promise.
                starts[r] = unsafe { *self.list.add(on + r) };
            }
        }
        starts
    }
}

/// Where the sums of a tile begin or go: of row `r`, block `u` and gate `g` at `rows[r] + u * block + g *
/// gate`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) rows: Rows<f32>,
    /// Floats from a block to the next.
    pub(crate) block: usize,
    /// Floats from a gate to the next.
    pub(crate) gate: usize,
    /// From a tile of a run to the next: floats, or places of a list.
    pub(crate) next: usize,
}

/// Zeros for a vector of any level.
#[repr(align(64))]
struct Zeros([f32; LINE]);
static ZEROS: Zeros = Zeros([0.0; LINE]);

impl Place {
    /// Zeros for a vector of any level, on a cache line.
    #[inline(always)]
    pub(crate) fn zeros() -> *const f32 {
        ZEROS.0.as_ptr()
    }

    /// Zeros, to begin with.
    #[inline(always)]
    pub(crate) fn zero() -> Self {
        Place::shared(Place::zeros(), 0, 0)
    }

    /// The same vectors for every row, to begin with: biases.
    #[inline(always)]
    pub(crate) fn shared(at: *const f32, block: usize, gate: usize) -> Self {
        Place::strided(at.cast_mut(), 0, block, gate)
    }

    /// The rows and blocks of a tile, and of those that follow it in a run, of the place whose row 0 and
    /// block 0 are at `base`.
    #[inline(always)]
    pub(crate) fn move_to(&mut self, base: *mut f32, tile: &Tile) {
        self.rows.move_to(base.wrapping_add(tile.block * self.block), tile.row);
        self.follow(tile);
    }

    /// The tiles that follow in a run.
    #[inline(always)]
    pub(crate) fn follow(&mut self, tile: &Tile) {
        self.next = if tile.rows == 1 { tile.blocks * self.block } else { self.rows.next(tile) };
    }

    /// Rows at a stride.
    #[inline(always)]
    pub(crate) fn strided(at: *mut f32, row: usize, block: usize, gate: usize) -> Self {
        Place { rows: Rows::strided(at, row), block, gate, next: 0 }
    }
}

/// A part of the sum: rows of A, and the blocks of a panel.
///
/// Element k of row r is at `rows[r]`, and from there on: runs of `run` words at distances of `step`, and
/// `jump` more words from the end of a run to the next. (Words of rows: a word of a panel may have the weights
/// of several. Only formats whose words are alike have rows in more than one run.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) rows: Rows<u32>,
    pub(crate) step: usize,
    pub(crate) run: usize,
    pub(crate) jump: usize,
    /// The depth, in words of the panel.
    pub(crate) words: usize,
    /// The tile's first block of weights, and words from a block to the next.
    pub(crate) panel: *const u32,
    pub(crate) block: usize,
    /// What to prefetch meanwhile, and how many words of it at each step: at most a line.
    pub(crate) ahead: *const u32,
    pub(crate) pace: usize,
    /// From the rows of a tile of a run to those of the next, in words or places of a list, and from its
    /// weights to those of the next, in words.
    pub(crate) next: [usize; 2],
}

impl Segment {
    /// Rows along k.
    #[inline(always)]
    pub(crate) fn rows(rows: Rows<u32>, weights: Weights) -> Self {
        let Weights { panel, block, inputs, words, ahead, pace } = weights;
        Segment { rows, step: 1, run: inputs, jump: 0, words, panel, block, ahead, pace, next: [0; 2] }
    }

    /// Neighbouring rows of [lines](crate::memory::Lines), along k: a line of sixteen, and the next `stride`
    /// on.
    #[inline(always)]
    pub(crate) fn lines(first: *const f32, stride: usize, weights: Weights) -> Self {
        let rows = Rows::strided(first.cast_mut().cast(), LINE);
        Segment { run: LINE, jump: stride.wrapping_sub(LINE), ..Segment::rows(rows, weights) }
    }

    /// The same rows with other weights of the same panel, those of a tile, and of the tiles that follow in a
    /// run.
    #[inline(always)]
    pub(crate) fn set_weights(&mut self, weights: Weights, tile: &Tile) {
        (self.panel, self.ahead, self.pace) = (weights.panel, weights.ahead, weights.pace);
        self.follow(tile);
    }

    /// The tiles that follow in a run.
    #[inline(always)]
    pub(crate) fn follow(&mut self, tile: &Tile) {
        self.next = if tile.rows == 1 { [0, tile.blocks * self.block] } else { [self.rows.next(tile), 0] };
    }

    /// Columns of lines, k counting through the rows: a word in each line.
    #[inline(always)]
    pub(crate) fn columns(columns: Rows<u32>, weights: Weights) -> Self {
        Segment { step: LINE, ..Segment::rows(columns, weights) }
    }
}

/// Some segments, made one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segments {
    segments: [MaybeUninit<Segment>; MOST_SEGMENTS],
    count: usize,
}

impl Segments {
    /// None.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Segments { segments: [const { MaybeUninit::uninit() }; MOST_SEGMENTS], count: 0 }
    }

    /// Adds one.
    #[inline(always)]
    pub(crate) fn push(&mut self, segment: Segment) {
        self.segments[self.count].write(segment);
        self.count += 1;
    }

    /// All of them.
    #[inline(always)]
    pub(crate) fn all(&self) -> &[Segment] {
        // SAFETY: so many are set.
        unsafe { std::slice::from_raw_parts(self.segments.as_ptr().cast(), self.count) }
    }
}

/// The weights of a segment, as [`Panel::weights`](super::Panel::weights) gives them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    pub(super) panel: *const u32,
    pub(super) block: usize,
    /// The depth, in inputs and in words.
    pub(super) inputs: usize,
    pub(super) words: usize,
    pub(super) ahead: *const u32,
    pub(super) pace: usize,
}

/// Weights to prefetch, as [`Panel::prefetch`](super::Panel::prefetch) gives them: from where on, and how
/// many words at each word of depth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefetch {
    pub(super) at: *const u32,
    pub(super) pace: usize,
}

impl Prefetch {
    /// Nothing.
    pub(crate) const NONE: Prefetch = Prefetch { at: std::ptr::null(), pace: 0 };
}

/// The gates of a product that may turn: no cell turns with another number, and each kernel that can is
/// slower to begin.
const TURNING_GATES: usize = 3;

/// Where the sums of a product begin, and where they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) start: Place,
    pub(crate) to: Place,
    /// Before this segment the sums of the last gate go to their place, and sums of one gate more begin at
    /// the place beside, which go on in its accumulators. (The candidate of a GRU, whose recurrent side is
    /// reset apart.) Of three gates only.
    pub(crate) turn: Option<(usize, Place)>,
    /// Tiles that are multiplied one after the other: along the rows, or of a single row along the blocks.
    pub(crate) tiles: usize,
    /// How many of them, the first ones, prefetch nothing.
    pub(crate) quiet: usize,
    /// Whether each prefetches the places of `to` of the one after it. Of one gate only.
    pub(crate) fetches_next: bool,
}

impl Ends {
    /// From here to there, without a turn.
    #[inline(always)]
    pub(crate) fn new(start: Place, to: Place) -> Self {
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

/// The kernel of G gates, U blocks and R rows. It computes
/// `to[r][u][g] = start[r][u][g] + sum over segments and k of rows[r][k] * panel[u][k][g]`.
///
/// Meanwhile the weights ahead, which the next block's tiles will read, come into the level-2 cache: one line
/// at most per k, so of few tiles with several gates not all.
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
        // Some lines of each row, rows apart, which the processor does not foresee: of 1024 units a fifth of
        // the time of dW was spent waiting for them. (`X207/next-sums`)
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
        acc = unsafe { F::add::<I, G, U, R>(isa, acc, segment, Part { index: tile, quiet }) };
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
