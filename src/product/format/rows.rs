//! Rows as words: a precision that does not multiply a row of inputs or states as it lies first converts it.
//!
//! ```text
//! bytes    a line of 16 words, the last of which is the scale | words of 4 inputs, padded to whole lines
//! pairs    a line that is not used                            | words of 2 inputs, padded to whole lines
//! ```
//!
//! A row is converted by itself, from nothing but its own values: so no row depends on its batch.

use super::Precision;
use super::bf16::operands;
use super::int8::{NEAREST, scale_of};
use crate::simd::{Isa, LINE, Pointer, Routine, Token, pointers};

pointers!(pointer);

/// Words before those of the row.
pub(crate) const FRONT: usize = LINE;

/// Rows to convert: of `width` values each, in lines of sixteen with `stride` floats from one to the next.
#[derive(Debug)]
pub(crate) struct RowsToConvert {
    /// The first row.
    pub(crate) from: *const f32,
    pub(crate) stride: usize,
    pub(crate) width: usize,
    /// Where its words go; the front lies before.
    pub(crate) to: *mut u32,
    pub(crate) count: usize,
    /// Floats from a row to the next, and words from where its words go to where those of the next do.
    pub(crate) next: (usize, usize),
}

impl RowsToConvert {
    /// A row whose values lie next to each other.
    #[inline(always)]
    pub(crate) fn one(from: *const f32, width: usize, to: *mut u32) -> Self {
        RowsToConvert { from, stride: LINE, width, to, count: 1, next: (0, 0) }
    }
}

/// Converts rows, each by itself.
///
/// # Safety
/// - The values are readable, and as many words writable as [`row_words`] says, from the front on; nobody
///   else touches them. Of bytes, the values lie next to each other.
pub(crate) type ConvertRows = for<'a> unsafe fn(&'a RowsToConvert);

/// How rows are converted for a precision on a level, for kernels with this [offset](Isa::BYTE_OFFSETS);
/// `None` where they are multiplied as they lie.
pub(crate) fn convert_rows(token: Token, precision: Precision, offset: u8) -> Option<ConvertRows> {
    let pairs: Pointer<Pairs> = pointer::<Pairs>(token);
    let signed: Pointer<Bytes<0>> = pointer::<Bytes<0>>(token);
    let unsigned: Pointer<Bytes<128>> = pointer::<Bytes<128>>(token);
    match precision {
        Precision::F32 | Precision::Bf16Weights => None,
        Precision::Bf16 => Some(pairs),
        Precision::Int8 => Some(if offset == 0 { signed } else { unsigned }),
    }
}

/// The words of a converted row of `width` values, with its front: a line at least.
pub(crate) fn row_words(precision: Precision, width: usize) -> usize {
    let inputs = match precision {
        Precision::F32 | Precision::Bf16Weights => 1,
        Precision::Bf16 => 2,
        Precision::Int8 => 4,
    };
    FRONT.saturating_add(width.max(1).div_ceil(inputs).saturating_add(LINE - 1) / LINE * LINE)
}

/// The first values as a vector: `count` of them, at most all lanes, and zeros in the others.
///
/// # Safety
/// - `count` values are readable.
#[inline(always)]
unsafe fn load<I: Isa>(isa: I, from: *const f32, count: usize) -> I::Vector {
    // SAFETY: the caller's promise.
    unsafe {
        if count < I::LANES {
            isa.load_partial(std::slice::from_raw_parts(from, count))
        } else {
            isa.load_ptr(from)
        }
    }
}

/// Bytes, four to a word, and their scale.
struct Bytes<const OFFSET: u8>;

impl<const OFFSET: u8> Routine for Bytes<OFFSET> {
    type Arguments<'a> = RowsToConvert;

    /// # Safety
    /// - As for [`ConvertRows`].
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, rows: &RowsToConvert) {
        let RowsToConvert { mut from, stride, width, mut to, count, next } = *rows;
        debug_assert!(stride == LINE);
        for _ in 0..count {
            // SAFETY: the caller's promise, passed on.
            unsafe { bytes::<I, OFFSET>(isa, from, width, to) };
            (from, to) = (from.wrapping_add(next.0), to.wrapping_add(next.1));
        }
    }
}

/// Converts a row to bytes.
///
/// # Safety
/// - As for [`ConvertRows`].
#[inline(always)]
unsafe fn bytes<I: Isa, const OFFSET: u8>(isa: I, from: *const f32, width: usize, to: *mut u32) {
    // The last vector, be it whole or not, and those before it.
    let before = width.saturating_sub(1) / I::LANES * I::LANES;
    // SAFETY: here and below, the values are there by the caller's promise.
    let last = unsafe { load(isa, from.add(before), width - before) };
    let (mut largest, mut at) = (isa.abs(last), 0);
    while at < before {
        // SAFETY: as above.
        largest = isa.max_of_bits(largest, isa.abs(unsafe { isa.load_ptr(from.add(at)) }));
        at += I::LANES;
    }
    let (scale, inverse) = scale_of(isa.most_of_bits(largest));
    let (inverse, nearest) = (isa.splat(inverse), isa.splat(NEAREST + f32::from(OFFSET)));
    // (Not fused: the same on every level.) What is past the last value meets weights of zero.
    let (to_bytes, mut at) = (to.cast::<u8>(), 0);
    while at < before {
        // SAFETY: as above; the row has as many bytes as whole lines of its values.
        unsafe {
            let values = isa.load_ptr(from.add(at));
            isa.store_bytes(to_bytes.add(at), isa.add(isa.mul(values, inverse), nearest));
        }
        at += I::LANES;
    }
    // SAFETY: as above.
    unsafe { isa.store_bytes(to_bytes.add(before), isa.add(isa.mul(last, inverse), nearest)) };
    // SAFETY: the front is ours.
    unsafe { *to.sub(1).cast::<f32>() = scale };
}

/// Pairs of bf16.
struct Pairs;

impl Routine for Pairs {
    type Arguments<'a> = RowsToConvert;

    /// # Safety
    /// - As for [`ConvertRows`].
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, rows: &RowsToConvert) {
        let RowsToConvert { mut from, stride, width, mut to, count, next } = *rows;
        for _ in 0..count {
            // SAFETY: the caller's promise, passed on.
            unsafe { pairs(isa, (from, stride), width, to) };
            (from, to) = (from.wrapping_add(next.0), to.wrapping_add(next.1));
        }
    }
}

/// Converts a row to pairs.
///
/// # Safety
/// - As for [`ConvertRows`].
#[inline(always)]
unsafe fn pairs<I: Isa>(isa: I, (mut from, stride): (*const f32, usize), width: usize, to: *mut u32) {
    let (mut to, mut left) = (to.cast::<u16>(), width);
    while left > 0 {
        let (count, mut at) = (left.min(LINE), 0);
        while at < count {
            // SAFETY: the values are there by the caller's promise; the row has as many words as whole lines
            // of them. (What is past the last one is zero, as the rest of its word has to be.)
            unsafe {
                let values = load(isa, from.add(at), count - at);
                isa.store_upper_halves(to.add(at), operands(isa, values));
            }
            at += I::LANES;
        }
        left -= count;
        (from, to) = (from.wrapping_add(stride), to.wrapping_add(LINE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    /// The scale of a row, and its integers.
    fn converted(token: Token, values: &[f32]) -> (f32, Vec<i8>) {
        let offset = crate::product::table(token, Precision::Int8).offset;
        let make = convert_rows(token, Precision::Int8, offset).unwrap();
        let mut words = vec![0x5555_5555; row_words(Precision::Int8, values.len())];
        // SAFETY: the values are there, and the words are ours.
        unsafe { make(&RowsToConvert::one(values.as_ptr(), values.len(), words[FRONT..].as_mut_ptr())) };
        let bytes = words[FRONT..].iter().flat_map(|word| word.to_le_bytes());
        let bytes = bytes.take(values.len()).map(|byte| byte.wrapping_sub(offset).cast_signed()).collect();
        (f32::from_bits(words[FRONT - 1]), bytes)
    }

    #[test]
    fn bytes_and_scales_by_hand() {
        for token in Level::available().map(|level| level.token().unwrap()) {
            let of = |values: &[f32]| converted(token, values);
            let by_one = of(&[127.0, -127.0, 1.0, 0.5, 1.5, -2.5, 0.0]);
            assert_eq!(by_one, (1.0, vec![127, -127, 1, 0, 2, -2, 0]));
            assert_eq!(of(&[-0.5, 0.25]), (0.5 / 127.0, vec![-127, 64]));
            assert_eq!(of(&[0.0, 1e-31, -1e-40]), (0.0, vec![0, 0, 0]));
            assert_eq!(of(&[]), (0.0, vec![]));
            assert_eq!(of(&[f32::MAX, -f32::MAX, 1e30]).1, [127, -127, 0]);
            for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(of(&[1.0, odd, -2.0]).0.is_nan());
            }
            // No value leaves the range.
            for largest in (0..1900u32).map(|n| f32::from_bits(0x0DA2_4260 + n * 1_000_003)) {
                assert_eq!(of(&[largest, -largest]).1, [127, -127], "{largest:e}");
            }
        }
    }

    /// Of every width up to some vectors, with the largest value at every place.
    #[test]
    fn rows_of_bytes_are_their_definition() {
        for token in Level::available().map(|level| level.token().unwrap()) {
            for (width, place) in (1..70).flat_map(|width| (0..width).map(move |place| (width, place))) {
                let value = |n: usize| ((n as u64 * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0;
                let mut values: Vec<f32> = (0..width).map(value).collect();
                values[place] = if width % 2 == 0 { 3.7 } else { -3.7 };
                let integer = |&value: &f32| (value * (127.0 / 3.7f32)).round_ties_even() as i8;
                let want = (3.7 / 127.0, values.iter().map(integer).collect());
                assert_eq!(converted(token, &values), want, "{width} values, the largest at {place}");
                values[place] = f32::NAN;
                assert!(converted(token, &values).0.is_nan(), "{width} values, a NaN at {place}");
            }
        }
    }
}
