//! Integers of eight bits: a word of a panel has the weights of four inputs, a word of a row four inputs.
//!
//! ```text
//! weights     q = round(w * 127 / m)  with m the largest |w| of the unit and gate; scale m / 127
//! rows        the same, with m the largest of the row at this step
//! sum         s = sum of q_w q_x  in 32 bits: exact, in whatever order
//! after       out = out + f32(s) * (scale of the row * scale of the unit)       of each segment
//!
//! a block     [words][gate][lane] | scales [gate][lane] | where sums begin [gate][lane]
//! ```
//!
//! Rounding is to nearest, ties to even; q is from -127 to 127, or with a given scale from -128. A product
//! is at most 127 * 128, so sums of as many inputs as a layer may have ([`MAX_INPUTS`]) stay within 32 bits.
//!
//! **Signs.** VNNI's instruction multiplies unsigned with signed bytes. With it, on AVX-512 and on the
//! portable level a byte of a row is q + 128, and a sum begins with -128 times the sum of its weights. What
//! is in between may wrap around, and the end is right. On NEON and on AVX2 without VNNI both are signed.
//! (There VPMADDUBSW, which saturates at 16 bits, multiplies the magnitudes of the weights, for which 16
//! bits are enough.)
//!
//! **Few units.** The products with a state wait until its row is quantised: the largest value, a division, a
//! rounding, and the bytes written and read again. That takes as long as the products of some sixteen units
//! in f32, which begin at once and are a chain of four cycles for each unit. So layers of fewer units are
//! slower than in f32, by 13 nanoseconds a step of one unit on a Zen 4. (`Z4/small-rows`)
//!
//! **Infinities and NaN.** A row that has an infinity or a NaN has the scale NaN, and so all its sums are
//! NaN. A unit with such a weight likewise has the scale NaN, and so have its sums. If all values of a row
//! are too small to matter, its scale is zero.

use super::{Format, InRun, begin, broadcast};
use crate::product::operand::Segment;
use crate::simd::{Isa, flushed};

/// See the head of the file. With `VNNI`, bytes are multiplied by the instruction of that name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int8<const VNNI: bool>;

/// The most inputs, or units, of a layer.
pub(crate) const MAX_INPUTS: usize = 1 << 17;

/// The largest q.
pub(super) const LARGEST: f32 = 127.0;

/// Adding this rounds a value to an integer: the unit in the last place of 1.5 * 2^23 is one, so the sum is
/// rounded to the nearest, ties to even, and its low bits are the integer.
pub(super) const NEAREST: f32 = 12_582_912.0;

/// The largest magnitude of some values; NaN if one is NaN.
pub(super) fn largest_of(values: impl Iterator<Item = f32>) -> f32 {
    // Bits without the sign order magnitudes as numbers do, and NaN above them.
    f32::from_bits(values.fold(0, |largest: u32, value| largest.max(value.abs().to_bits())))
}

/// The scale of values of which this is the largest magnitude, and its inverse.
#[inline(always)]
pub(super) fn scale_of(largest: f32) -> (f32, f32) {
    if !largest.is_finite() {
        return (f32::NAN, 0.0);
    }
    if flushed(largest) == 0.0 {
        return (0.0, 0.0);
    }
    (largest / LARGEST, LARGEST / largest)
}

/// The nearest integer of a weight times the inverse of its scale, ties to even, as a byte. With a given
/// scale, values beyond the range of a byte are clamped to it.
#[inline(always)]
pub(super) fn weight(value: f32, inverse: f32) -> u8 {
    // (A NaN stays one. Its scale is NaN, and its bytes do not matter.)
    ((value * inverse).clamp(-128.0, LARGEST) + NEAREST).to_bits() as u8
}

impl<const WITH: bool> Format for Int8<WITH> {
    const VNNI: bool = WITH;
    // Where two such instructions are done in a cycle, two rows would take weights at 64 bytes a cycle, more
    // than the second-level cache gives. (`X207/narrow-rows`) The sums in f32 wait beside those in integers,
    // and where registers are few outside of them: not in the loop over depth.
    const MAX_ROWS: usize = if WITH { 4 } else { 2 };
    const FEW_ROWS: usize = 2;
    // Without the instruction, speed is f32's at best.
    const SPEED: f64 = if WITH { 4.0 } else { 1.0 };

    #[inline(always)]
    unsafe fn add<I: Isa, const G: usize, const U: usize, const R: usize>(
        isa: I,
        mut sums: [[[I::Vector; G]; U]; R],
        segment: &Segment,
        tile: InRun,
    ) -> [[[I::Vector; G]; U]; R] {
        let Segment { words, block, .. } = *segment;
        // SAFETY: the list is there by the caller's promise.
        let (rows, mut weight, mut ahead) = unsafe { begin::<R>(segment, tile) };
        let scales = weight.wrapping_add(words * G * I::LANES).cast::<f32>();
        let mut whole = [[[isa.zero(); G]; U]; R];
        for u in 0..U {
            for g in 0..G {
                // SAFETY: the block has these after its words.
                let begin = unsafe { isa.load_ptr(scales.add(u * block + (G + g) * I::LANES)) };
                for r in 0..R {
                    whole[r][u][g] = begin;
                }
            }
        }
        for at in 0..words {
            ahead.fetch();
            // SAFETY: the rows have this word.
            let a = unsafe { broadcast(isa, &rows, at) };
            for u in 0..U {
                for g in 0..G {
                    // SAFETY: the panel has this word of this block and gate; the machine has what the format
                    // needs by the caller's promise.
                    unsafe {
                        let w = isa.load_ptr(weight.add(u * block + g * I::LANES).cast());
                        for r in 0..R {
                            whole[r][u][g] = isa.dot_bytes::<WITH>(a[r], w, whole[r][u][g]);
                        }
                    }
                }
            }
            weight = weight.wrapping_add(G * I::LANES);
        }
        for r in 0..R {
            // SAFETY: the scale stands before the row.
            let of_row = isa.splat(unsafe { *rows[r].sub(1).cast::<f32>() });
            for u in 0..U {
                for g in 0..G {
                    // SAFETY: as above.
                    let of_unit = unsafe { isa.load_ptr(scales.add(u * block + g * I::LANES)) };
                    // Not fused: the same on every level.
                    let part = isa.mul(isa.float_of_int(whole[r][u][g]), isa.mul(of_row, of_unit));
                    sums[r][u][g] = isa.add(sums[r][u][g], part);
                }
            }
        }
        sums
    }
}
