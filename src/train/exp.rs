//! Exponentials and logarithms as plain operations, which the compiler turns into vectors.
//!
//! The standard library calls a function for each number. In a loop of their own these run as wide as the
//! level of the machine is; no operation is fused, so that all levels give the same bits.
//!
//! ```text
//! e^x   x = n ln 2 + r, |r| <= ln 2 / 2;   e^r by its Taylor series, times 2^n by the bits of the exponent
//! ln s  s in 1..=3, halved above sqrt 2;   2 atanh z = 2 (z + z^3 / 3 + ...), z = (s - 1) / (s + 1)
//! ```
//!
//! Arguments of exponentials are at most zero here: differences to a maximum.

use crate::simd::{Dispatched, Isa, Token, dispatch};
use std::f32::consts::LOG2_E;

/// `1.5 * 2^23` and `1.5 * 2^52`: added to a number they round it to an integer, which then stands in the
/// low bits.
const SHIFT: f32 = 12_582_912.0;
const SHIFT_64: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; products of the first with an `n` of these ranges have no rounding.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
const LN_2_64: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];

/// `e^x` for an `x` of at most zero: to 2 units in the last place, and 0 below -87. `e^0` is 1; NaN stays.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let shifted = x * LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut e = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = e * r + coefficient;
    }
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { e * scale }
}

/// `e^x` for an `x` of at most zero: to 1e-15 of its value, and 0 below -700. NaN stays.
#[inline(always)]
pub(super) fn exp_64(x: f64) -> f64 {
    let shifted = x * std::f64::consts::LOG2_E + SHIFT_64;
    let n = shifted - SHIFT_64;
    let r = (x - n * LN_2_64[0]) - n * LN_2_64[1];
    let mut e = 1.0 / 479_001_600.0;
    for divisor in [39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0] {
        e = e * r + 1.0 / divisor;
    }
    let e = (e * r + 1.0) * r + 1.0;
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    if x < -700.0 { 0.0 } else { e * scale }
}

/// `ln s` for an `s` from 1 to 3, to 1e-15. NaN stays.
#[inline(always)]
pub(super) fn ln_64(s: f64) -> f64 {
    let halved = s > std::f64::consts::SQRT_2;
    let (s, whole) = if halved { (0.5 * s, std::f64::consts::LN_2) } else { (s, 0.0) };
    let z = (s - 1.0) / (s + 1.0);
    let square = z * z;
    let mut sum = 1.0 / 21.0;
    for divisor in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / divisor;
    }
    2.0 * z * sum + whole
}

/// The sum of `exp(z - max)` over a row, each of which `e`, where it is given, gets.
///
/// The sum is in f64, of eight partial sums by turns: the same with `e` and without.
pub(super) fn exponentials(z: &[f32], max: f32, e: Option<&mut [f32]>) -> f64 {
    let work = Exponentials { z, max, e };
    // A short row is over before the instructions of the machine have been asked for.
    if z.len() < 16 { work.compute::<8>() } else { dispatch(Token::best(), work) }
}

struct Exponentials<'a> {
    z: &'a [f32],
    max: f32,
    e: Option<&'a mut [f32]>,
}

impl Exponentials<'_> {
    /// Works in parts of this many numbers, a multiple of eight. The bits do not depend on it.
    #[inline(always)]
    fn compute<const PART: usize>(self) -> f64 {
        let Exponentials { z, max, mut e } = self;
        let mut sums = [0.0f64; 8];
        for (index, z) in z.chunks(PART).enumerate() {
            // The last part is padded with numbers whose exponential is zero.
            let mut part = [f32::NEG_INFINITY; PART];
            for (part, z) in part.iter_mut().zip(z) {
                *part = z - max;
            }
            for value in &mut part {
                *value = exp(*value);
            }
            for eight in part.as_chunks::<8>().0 {
                for (sum, value) in sums.iter_mut().zip(eight) {
                    *sum += f64::from(*value);
                }
            }
            if let Some(e) = &mut e {
                e[index * PART..][..z.len()].copy_from_slice(&part[..z.len()]);
            }
        }
        sums.iter().sum()
    }
}

impl Dispatched for Exponentials<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> f64 {
        self.compute::<32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn exponentials_and_logarithms_agree_with_the_standard_library() {
        let (mut worst, mut worst_64, mut worst_ln) = (0.0f64, 0.0f64, 0.0f64);
        for k in 0..=200_000 {
            let x = -87.0 * f64::from(k) / 200_000.0;
            let want = f64::from(x as f32).exp();
            worst = worst.max((f64::from(exp(x as f32)) / want - 1.0).abs());
            let x = 8.0 * x;
            worst_64 = worst_64.max((exp_64(x) / x.exp() - 1.0).abs());
            let s = 1.0 + f64::from(k) / 100_000.0;
            worst_ln = worst_ln.max((ln_64(s) - s.ln()).abs());
        }
        // 2 units in the last place are 2.4e-7.
        assert!(
            worst < 2.4e-7 && worst_64 < 1e-15 && worst_ln < 1e-15,
            "{worst:e} {worst_64:e} {worst_ln:e}"
        );
        assert_eq!((exp(0.0), exp_64(0.0), ln_64(1.0)), (1.0, 1.0, 0.0));
        assert_eq!((exp(f32::NEG_INFINITY), exp(-3e38), exp_64(-1e300)), (0.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && exp_64(f64::NAN).is_nan() && ln_64(f64::NAN).is_nan());
    }

    #[test]
    fn a_row_of_any_length_is_summed_alike_with_its_values_and_without() {
        for n in 0..70 {
            let z: Vec<f32> = (0..n).map(|k| -((k * 37 % 11) as f32)).collect();
            let mut e = vec![f32::NAN; n];
            let sum = exponentials(&z, 1.0, Some(&mut e));
            assert_eq!(sum, exponentials(&z, 1.0, None));
            assert_eq!(sum, Exponentials { z: &z, max: 1.0, e: None }.compute::<8>());
            assert_eq!(sum, Exponentials { z: &z, max: 1.0, e: None }.compute::<32>());
            let want: f64 = z.iter().map(|&z| f64::from(z - 1.0).exp()).sum();
            assert_abs_diff_eq!(sum, want, epsilon = 1e-6);
            assert!(e.iter().zip(&z).all(|(&e, &z)| e == exp(z - 1.0)));
        }
    }
}
