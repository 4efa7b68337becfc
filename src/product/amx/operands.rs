//! The operands of one or two tiles of a run, part by part of the depth, as [`chain`](super::chain) reads
//! them.
//!
//! ```text
//! segment of 40 words    part: 2 times 16 words, where they lie
//!                        part: 8 words, copied, with zeros up to 16
//! ```
//!
//! Past its last word a row has whatever was there before, and a block has the words of the next block. Both
//! copies end with zeros: a zero on one side alone would make NaN of an infinity on the other.

use super::chain::Part;
use super::columns::{Column, Columns, Shape};
use super::machine::WORDS;
use crate::product::operand::{MAX_SEGMENTS, Segment};
use crate::simd::{Avx512, Isa, LINE};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The memory of one tile: a copy of operands, or sums that wait.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Copied([MaybeUninit<u32>; WORDS * LINE]);

impl Copied {
    /// Memory of which nothing is initialised.
    pub(super) const NONE: Copied = Copied([MaybeUninit::uninit(); WORDS * LINE]);
    /// Bytes from a row to the next.
    pub(super) const ROW: usize = LINE * size_of::<u32>();

    /// A row of it.
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> *mut u32 {
        self.0.as_mut_ptr().wrapping_add(row * LINE).cast()
    }
}

/// See the head of the file.
pub(super) struct Operands<'a> {
    segments: &'a [Segment],
    shape: &'a Shape,
    /// The first tile, and how many: one or two.
    tiles: (usize, usize),
    /// For each segment, copies of the last words of each tile of rows and of each column.
    rows: [[Copied; 2]; MAX_SEGMENTS],
    weights: [[Copied; 2]; MAX_SEGMENTS],
    parts: [MaybeUninit<Part>; 2 * MAX_SEGMENTS],
}

impl<'a> Operands<'a> {
    /// The operands of one or two tiles.
    #[inline(always)]
    pub(super) fn new(segments: &'a [Segment], shape: &'a Shape, tiles: (usize, usize)) -> Self {
        Operands {
            segments,
            shape,
            tiles,
            rows: [[Copied::NONE; 2]; MAX_SEGMENTS],
            weights: [[Copied::NONE; 2]; MAX_SEGMENTS],
            parts: [const { MaybeUninit::uninit() }; 2 * MAX_SEGMENTS],
        }
    }

    #[inline(always)]
    pub(super) fn segments(&self) -> &'a [Segment] {
        self.segments
    }

    #[inline(always)]
    pub(super) fn shape(&self) -> &'a Shape {
        self.shape
    }

    #[inline(always)]
    pub(super) fn tiles(&self) -> (usize, usize) {
        self.tiles
    }

    /// Copies the last words of all rows.
    ///
    /// # Safety
    /// - The machine has AVX-512.
    /// - The tiles have the rows of these segments, which are readable, at a stride.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn copy_rows(&mut self) {
        // SAFETY: the caller's promise.
        let isa = unsafe { Avx512::assume() };
        for (segment, copies) in self.segments.iter().zip(&mut self.rows) {
            let last = segment.words % WORDS;
            if last == 0 {
                continue;
            }
            for (t, copy) in copies.iter_mut().enumerate().take(self.tiles.1) {
                let (first, stride) = rows_of(segment, self.tiles.0 + t);
                for r in 0..self.shape.rows {
                    let row = first.wrapping_add(r * stride + segment.words - last).cast::<f32>();
                    // SAFETY: the row has these words by the caller's promise, the copy as many rows. (Any
                    // bits are a float.)
                    unsafe {
                        let words = isa.load_partial(std::slice::from_raw_parts(row, last));
                        isa.store_ptr(copy.row(r).cast(), words);
                    }
                }
            }
        }
    }

    /// The parts of some segments for one or two columns, once the rows are copied.
    ///
    /// # Safety
    /// - The machine has AVX-512.
    /// - The blocks of these columns are readable.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn parts(&mut self, segments: Range<usize>, columns: &Columns) -> &[Part] {
        let (mut count, word) = (0, self.shape.gates * LINE);
        for n in segments {
            let segment = &self.segments[n];
            let (whole, last) = (segment.words / WORDS, segment.words % WORDS);
            let (first, stride) = rows_of(segment, self.tiles.0);
            // (If there is a single tile, or column, the other is not used.)
            let weights = columns.each.map(|column| weights_of(segment, column));
            if whole > 0 {
                self.parts[count].write(Part {
                    rows: [first, first.wrapping_add(segment.next[0])],
                    row: stride * size_of::<u32>(),
                    weights,
                    word: word * size_of::<u32>(),
                    words: word * WORDS * size_of::<u32>(),
                    count: whole,
                });
                count += 1;
            }
            if last > 0 {
                for c in 0..columns.count {
                    let from = weights[c].wrapping_add(whole * WORDS * word);
                    // SAFETY: the block has these words by the caller's promise.
                    unsafe { copy_last(from, word, last, &mut self.weights[n][c]) };
                }
                let [rows, weights] = [&mut self.rows[n], &mut self.weights[n]]
                    .map(|copies| copies.each_mut().map(|copy| copy.row(0).cast_const()));
                let (row, word) = (Copied::ROW, Copied::ROW);
                self.parts[count].write(Part { rows, row, weights, word, words: 0, count: 1 });
                count += 1;
            }
        }
        // SAFETY: the first `count` parts were written above.
        unsafe { std::slice::from_raw_parts(self.parts.as_ptr().cast(), count) }
    }
}

/// Copies the last words of a block's gate, `stride` words apart, and zeros after them.
///
/// # Safety
/// - The machine has AVX-512, and `count` lines, `stride` words apart, are readable.
#[inline(always)]
unsafe fn copy_last(from: *const u32, stride: usize, count: usize, to: &mut Copied) {
    // SAFETY: the caller's promise.
    let isa = unsafe { Avx512::assume() };
    for word in 0..count {
        // SAFETY: as above; the copy has as many rows.
        unsafe { copy_line(from.wrapping_add(word * stride).cast(), to.row(word).cast()) };
    }
    for word in count..WORDS {
        // SAFETY: as above.
        unsafe { isa.store_ptr(to.row(word).cast(), isa.zero()) };
    }
}

/// Copies a line of sums.
///
/// # Safety
/// - The machine has AVX-512, and sixteen floats are readable and writable.
#[inline(always)]
pub(super) unsafe fn copy_line(from: *const f32, to: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let isa = Avx512::assume();
        isa.store_ptr(to, isa.load_ptr(from));
    }
}

/// The first row of a tile, and words from a row to the next.
#[inline(always)]
pub(super) fn rows_of(segment: &Segment, tile: usize) -> (*const u32, usize) {
    let at_stride = segment.rows.at_stride();
    debug_assert!(at_stride.is_some(), "rows that are made lie at a stride");
    let (first, stride) = at_stride.unwrap_or((std::ptr::null_mut(), 0));
    (first.wrapping_add(tile * segment.next[0]), stride)
}

/// The first words of a column.
#[inline(always)]
pub(super) fn weights_of(segment: &Segment, column: Column) -> *const u32 {
    segment.panel.wrapping_add(column.block * segment.block + column.gate * LINE)
}
