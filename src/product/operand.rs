//! The operands of a kernel: where the rows and the weights of a tile lie, and where its sums begin and go.
//!
//! ```text
//! RowPointers     where row r of a tile begins: at a stride, or where a list says
//! SumPointers     the sums of a tile: a vector for each row, block and gate (C of BLIS)
//! Segment         a part of the sum over k: rows of A, and blocks of a panel
//! WeightPointers  the blocks of a panel, and what to prefetch meanwhile
//! ```
//!
//! These are addresses, not slices: threads share what they point to, and kernels promise which part is
//! theirs.

use super::tile::Tile;
use crate::simd::LINE;
use std::mem::MaybeUninit;

/// The most rows that a tile has, of AMX and in vectors.
pub(crate) const MAX_ROWS: usize = 16;
pub(super) const VECTOR_ROWS: usize = 8;
/// The most segments of a product: in the backward pass one for each gate, or two for each of a head's four
/// gates.
pub(crate) const MAX_SEGMENTS: usize = 8;

/// Where the rows of a tile begin: at a stride, or each where a list says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPointers<T> {
    first: *mut T,
    stride: usize,
    /// Null where there is none.
    list: *const *mut T,
}

impl<T> RowPointers<T> {
    /// Rows at a stride.
    #[inline(always)]
    pub(crate) fn strided(first: *mut T, stride: usize) -> Self {
        RowPointers { first, stride, list: std::ptr::null() }
    }

    /// Rows that lie anywhere: as many as the tile has, or the tiles of a run. The list is there as long as
    /// kernels run on it.
    #[inline(always)]
    pub(crate) fn listed(list: &[*mut T]) -> Self {
        RowPointers { first: std::ptr::null_mut(), stride: 0, list: list.as_ptr() }
    }

    /// Moves to the rows from `row` on. Row 0 is at `base`, and the stride stays.
    #[inline(always)]
    pub(crate) fn move_to(&mut self, base: *mut T, row: usize) {
        self.first = base.wrapping_add(row * self.stride);
    }

    /// The rows after the first `count`.
    #[inline(always)]
    fn skip_rows(self, count: usize) -> Self {
        let list = if self.list.is_null() { self.list } else { self.list.wrapping_add(count) };
        RowPointers { first: self.first.wrapping_add(count * self.stride), list, ..self }
    }

    /// The distance from the rows of a tile of a run to those of the next one: words, or places of the list.
    #[inline(always)]
    fn next(self, tile: &Tile) -> usize {
        if self.list.is_null() { tile.rows * self.stride } else { tile.rows }
    }

    /// The first row, and the distance from a row to the next; `None` where a list says where each is.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn at_stride(self) -> Option<(*mut T, usize)> {
        self.list.is_null().then_some((self.first, self.stride))
    }

    /// Where a row begins, `on` words or places of the list further on.
    ///
    /// # Safety
    /// - The list is there, if one was given, and has the row.
    #[inline(always)]
    pub(super) unsafe fn start(self, row: usize, on: usize) -> *mut T {
        if self.list.is_null() {
            return self.first.wrapping_add(on + row * self.stride);
        }
        // SAFETY: the caller's promise.
        unsafe { *self.list.add(on + row) }
    }

    /// Where each of R rows begins, `on` words or places of the list further on.
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

/// Where the sums of a tile begin or go: the vector of row `r`, block `u` and gate `g` is at
/// `rows[r] + u * block + g * gate`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SumPointers {
    pub(crate) rows: RowPointers<f32>,
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

impl SumPointers {
    /// Zeros for a vector of any level, on a cache line.
    #[inline(always)]
    pub(crate) fn zeros() -> *const f32 {
        ZEROS.0.as_ptr()
    }

    /// Sums that begin with zero.
    #[inline(always)]
    pub(crate) fn zero() -> Self {
        SumPointers::shared(SumPointers::zeros(), 0, 0)
    }

    /// Sums that begin with the same vectors in every row: biases.
    #[inline(always)]
    pub(crate) fn shared(at: *const f32, block: usize, gate: usize) -> Self {
        SumPointers::strided(at.cast_mut(), 0, block, gate)
    }

    /// Moves to the rows and blocks of a tile, and of the tiles that follow it in a run. Row 0 and block 0
    /// are at `base`.
    #[inline(always)]
    pub(crate) fn move_to(&mut self, base: *mut f32, tile: &Tile) {
        self.rows.move_to(base.wrapping_add(tile.block * self.block), tile.row);
        self.follow(tile);
    }

    /// Sets the distance to the tiles that follow in a run.
    #[inline(always)]
    pub(crate) fn follow(&mut self, tile: &Tile) {
        self.next = if tile.rows == 1 { tile.blocks * self.block } else { self.rows.next(tile) };
    }

    /// Whether all rows have the same sums.
    #[inline(always)]
    pub(super) fn are_shared(&self) -> bool {
        self.rows.list.is_null() && self.rows.stride == 0
    }

    /// Where a row of a tile of a run begins.
    ///
    /// # Safety
    /// - The list is there, if the rows have one, and has the row.
    #[inline(always)]
    pub(super) unsafe fn row(&self, tile: usize, row: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.rows.start(row, tile * self.next) }
    }

    /// The address of a gate's vector of the first block of a row. The rows are at a stride.
    #[inline(always)]
    pub(super) fn address(&self, row: usize, gate: usize) -> *mut f32 {
        debug_assert!(self.rows.list.is_null());
        self.rows.first.wrapping_add(row * self.rows.stride + gate * self.gate)
    }

    /// Rows at a stride.
    #[inline(always)]
    pub(crate) fn strided(at: *mut f32, row: usize, block: usize, gate: usize) -> Self {
        SumPointers { rows: RowPointers::strided(at, row), block, gate, next: 0 }
    }
}

/// A part of the sum: rows of A, and the blocks of a panel.
///
/// The elements of row r begin at `rows[r]`: runs of `run` words, `step` words from one to the next, and
/// `jump` more words from the end of a run to the next run. (These are words of rows: a word of a panel may
/// have the weights of several. Rows in more than one run occur only in formats where both words have as many
/// inputs.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) rows: RowPointers<u32>,
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
    pub(crate) fn rows(rows: RowPointers<u32>, weights: WeightPointers) -> Self {
        let WeightPointers { panel, block, inputs, words, ahead, pace } = weights;
        Segment { rows, step: 1, run: inputs, jump: 0, words, panel, block, ahead, pace, next: [0; 2] }
    }

    /// Neighbouring rows of [lines](crate::memory::Lines), along k: lines of sixteen, `stride` floats from
    /// one to the next.
    #[inline(always)]
    pub(crate) fn lines(first: *const f32, stride: usize, weights: WeightPointers) -> Self {
        let rows = RowPointers::strided(first.cast_mut().cast(), LINE);
        Segment { run: LINE, jump: stride.wrapping_sub(LINE), ..Segment::rows(rows, weights) }
    }

    /// Moves to other weights of the same panel, those of a tile and of the tiles that follow it in a run.
    /// The rows stay.
    #[inline(always)]
    pub(crate) fn set_weights(&mut self, weights: WeightPointers, tile: &Tile) {
        (self.panel, self.ahead, self.pace) = (weights.panel, weights.ahead, weights.pace);
        self.follow(tile);
    }

    /// The same of the rows after the first `count`, a tile of their own.
    #[inline(always)]
    pub(super) fn skip_rows(&self, count: usize) -> Self {
        Segment { rows: self.rows.skip_rows(count), ..*self }
    }

    /// Sets the distances to the tiles that follow in a run.
    #[inline(always)]
    pub(crate) fn follow(&mut self, tile: &Tile) {
        self.next = if tile.rows == 1 { [0, tile.blocks * self.block] } else { [self.rows.next(tile), 0] };
    }

    /// Columns of [lines](crate::memory::Lines): k counts the rows, and each line has one word of a column.
    #[inline(always)]
    pub(crate) fn columns(columns: RowPointers<u32>, weights: WeightPointers) -> Self {
        Segment { step: LINE, ..Segment::rows(columns, weights) }
    }
}

/// Some segments, made one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segments {
    segments: [MaybeUninit<Segment>; MAX_SEGMENTS],
    count: usize,
}

impl Segments {
    /// No segments.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Segments { segments: [const { MaybeUninit::uninit() }; MAX_SEGMENTS], count: 0 }
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
        // SAFETY: `push` has written the first `count`.
        unsafe { std::slice::from_raw_parts(self.segments.as_ptr().cast(), self.count) }
    }
}

/// The weights of a segment, as [`Panel::weights`](super::Panel::weights) gives them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightPointers {
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
