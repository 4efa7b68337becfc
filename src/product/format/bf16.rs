//! Floats of sixteen bits: the upper half of an f32, with its sign, its eight bits of exponent and seven bits
//! of significand (bfloat16). A word of a panel has the weights of two inputs, a word of a row two inputs.
//!
//! ```text
//! of 16 words      e = fma(even input, even weight, e)      from zero, in order
//!                  o = fma(odd input, odd weight, o)        from zero, in order
//! then             sum = sum + (e + o)                      in f32, each rounded to nearest, ties to even
//! ```
//!
//! That is what TDPBF16PS of AMX does with a tile of 16 words, so a level of tiles has the same bits.
//! Products of two bf16 have 16 bits of significand: they are exact in f32, and so the sums are the same
//! whether a level fuses or not. (Where one is more than an f32 has, a level that fuses still adds it as it
//! is.)
//!
//! **No denormals.** Values below 2^-56 (1.4e-17) count as zero. The last bit of a product is then at least
//! 2^-126, the smallest normal float, and so is every sum of products that is not zero: what a processor does
//! with denormals does not matter.

use super::{Format, InRun, begin, broadcast};
use crate::product::operand::Segment;
use crate::simd::{Isa, LINE, flushed};

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16;

/// The magnitude below which an operand counts as zero: 2^-56.
pub(super) const SMALLEST: u32 = (127 - 56) << 23;

/// The nearest bf16 of a float, of two that are as near the even one, as an f32. A value of more than 3.39e38
/// becomes infinite; a NaN stays one.
#[inline(always)]
fn nearest(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = if x.is_nan() { bits | 1 << 22 } else { bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) };
    nearest & 0xFFFF_0000
}

/// The nearest bf16, as an f32: zero where that is too small to matter.
pub(super) fn rounded(x: f32) -> f32 {
    flushed(f32::from_bits(nearest(x)))
}

/// The nearest bf16 as an operand of products, as an f32: zero where it is below 2^-56.
#[inline(always)]
pub(super) fn operand(x: f32) -> f32 {
    let nearest = nearest(x);
    f32::from_bits(if nearest & 0x7FFF_FFFF < SMALLEST { 0 } else { nearest })
}

/// The same of each lane.
#[inline(always)]
pub(super) fn operands<I: Isa>(isa: I, values: I::Vector) -> I::Vector {
    isa.flush_below(isa.nearest_upper_half(values), f32::from_bits(SMALLEST))
}

impl Format for Bf16 {
    const MAX_ROWS: usize = 2;
    // Two partial sums beside each.
    const REGISTERS: usize = 3;
    const CHAINS: usize = 2;

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
        let mut at = 0;
        while at < words {
            let end = (at + LINE).min(words);
            let mut even = [[[isa.zero(); G]; U]; R];
            let mut odd = even;
            while at < end {
                ahead.fetch();
                // SAFETY: the rows have this word.
                let a = unsafe { broadcast(isa, &rows, at) };
                for u in 0..U {
                    for g in 0..G {
                        // SAFETY: the panel has this word of this block and gate.
                        let w = unsafe { isa.load_ptr(weight.add(u * block + g * I::LANES).cast()) };
                        let (of_even, of_odd) = (isa.lower_halves(w), isa.upper_halves(w));
                        for r in 0..R {
                            even[r][u][g] = isa.mul_add(isa.lower_halves(a[r]), of_even, even[r][u][g]);
                            odd[r][u][g] = isa.mul_add(isa.upper_halves(a[r]), of_odd, odd[r][u][g]);
                        }
                    }
                }
                weight = weight.wrapping_add(G * I::LANES);
                at += 1;
            }
            for r in 0..R {
                for u in 0..U {
                    for g in 0..G {
                        let both = isa.add(even[r][u][g], odd[r][u][g]);
                        sums[r][u][g] = isa.add(sums[r][u][g], both);
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + 0.003_906_25, 1.0),
            (1.0 + 0.003_906_4, 1.007_812_5),
            (1.0 + 3.0 * 0.003_906_25, 1.015_625),
            (-1.003_9, -1.0),
            (3.4e38, f32::INFINITY),
            (3.38e38, f32::from_bits(0x7F7E_0000)),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (1e-17, f32::from_bits(0x2338_0000)),
            (9.9e-31, 0.0),
            (1e-40, 0.0),
            (-0.0, 0.0),
        ] {
            assert_eq!(rounded(x).to_bits(), f32::to_bits(want), "{x}");
            // Operands have a limit of their own.
            let want = if want.abs() < 1.388e-17 { 0.0 } else { want };
            assert_eq!(operand(x), want, "{x}");
        }
        let smallest = f32::from_bits(SMALLEST);
        assert_eq!((operand(smallest), operand(-smallest)), (smallest, -smallest));
        // A NaN whose payload is in the lower half.
        let odd = f32::from_bits(0x7F80_0001);
        assert!(rounded(odd).is_nan() && operand(odd).is_nan());
    }
}
