//! Rows as words: what a row of inputs or states becomes before it is multiplied, where a precision does not
//! take it as it lies.
//!
//! ```text
//! bytes    a line of 16 words, the last of which is the scale | words of 4 inputs, padded to whole lines
//! pairs    a line that is not used                            | words of 2 inputs, padded to whole lines
//! ```
//!
//! A row is made by itself, of nothing but its own values: so no row depends on its batch.

use super::Precision;
use super::bf16::{operand, pair};
use super::int8::{byte, scale_of};
use crate::simd::{Isa, LINE, Pointer, Routine, Token, pointers};

pointers!(pointer);

/// Words before those of the row.
pub(crate) const FRONT: usize = LINE;

/// A row to make: `width` values in lines of sixteen, `stride` floats from each to the next.
#[derive(Debug)]
pub(crate) struct RowToMake {
    pub(crate) from: *const f32,
    pub(crate) stride: usize,
    pub(crate) width: usize,
    /// Where its words go; the front lies before.
    pub(crate) to: *mut u32,
}

impl RowToMake {
    /// A row whose values lie next to each other.
    #[inline(always)]
    pub(crate) fn new(from: *const f32, width: usize, to: *mut u32) -> Self {
        RowToMake { from, stride: LINE, width, to }
    }
}

/// Makes a row.
///
/// # Safety
/// - The values are readable, and as many words writable as [`row_words`] says, from the front on; nobody else
///   touches them. Of bytes, the values lie next to each other.
pub(crate) type MakeRow = for<'a> unsafe fn(&'a RowToMake);

/// How rows are made for a precision on a level; `None` where they are multiplied as they lie.
pub(crate) fn make_row(token: Token, precision: Precision) -> Option<MakeRow> {
    let (bytes, pairs): (Pointer<Bytes>, Pointer<Pairs>) = (pointer::<Bytes>(token), pointer::<Pairs>(token));
    match precision {
        Precision::F32 | Precision::Bf16Weights => None,
        Precision::Bf16 => Some(pairs),
        Precision::Int8 => Some(bytes),
    }
}

/// The words of a row of so many values, with its front.
pub(crate) fn row_words(precision: Precision, width: usize) -> usize {
    let inputs = match precision {
        Precision::F32 | Precision::Bf16Weights => 1,
        Precision::Bf16 => 2,
        Precision::Int8 => 4,
    };
    FRONT.saturating_add(width.div_ceil(inputs).saturating_add(LINE - 1) / LINE * LINE)
}

/// Bytes, four to a word, and their scale.
struct Bytes;

impl Routine for Bytes {
    type Arguments<'a> = RowToMake;

    /// # Safety
    /// - As for [`MakeRow`].
    #[inline(always)]
    unsafe fn run<I: Isa>(_: I, row: &RowToMake) {
        debug_assert!(row.stride == LINE);
        // Plain loops over integers and floats, which the compiler turns into vectors of the level.
        // SAFETY: the caller's promise.
        let (from, to) = unsafe {
            (
                std::slice::from_raw_parts(row.from, row.width),
                std::slice::from_raw_parts_mut(row.to.cast::<u8>(), row.width),
            )
        };
        let (scale, inverse) = scale_of(from.iter().copied());
        for (to, &from) in to.iter_mut().zip(from) {
            *to = byte(from, inverse).wrapping_add(I::BYTE_OFFSET);
        }
        // (What is left of the last word meets weights of zero.)
        // SAFETY: the front is ours.
        unsafe { *row.to.sub(1).cast::<f32>() = scale };
    }
}

/// Pairs of bf16.
struct Pairs;

impl Routine for Pairs {
    type Arguments<'a> = RowToMake;

    /// # Safety
    /// - As for [`MakeRow`].
    #[inline(always)]
    unsafe fn run<I: Isa>(_: I, row: &RowToMake) {
        let RowToMake { mut from, stride, width, mut to } = *row;
        let mut left = width;
        while left > 0 {
            let count = left.min(LINE);
            // SAFETY: the caller's promise.
            let (values, words) = unsafe {
                (std::slice::from_raw_parts(from, count), std::slice::from_raw_parts_mut(to, LINE / 2))
            };
            let mut line = [0.0; LINE];
            if count == LINE {
                line.copy_from_slice(values);
            } else {
                line[..count].copy_from_slice(values);
            }
            for n in 0..LINE / 2 {
                words[n] = pair(operand(line[2 * n]), operand(line[2 * n + 1]));
            }
            left -= count;
            (from, to) = (from.wrapping_add(stride), to.wrapping_add(LINE / 2));
        }
    }
}
