//! The distribution function of the normal distribution, for `Gelu`.
//!
//! ```text
//! P(-a) = e^(-a^2 / 2) R(a)      for a in 0..=12.8, where it is 1e-37
//! R(a)  = t q(t),   t = 1 / (1 + 0.3 a)
//!                                q of degree 10 in t - 1/2, Chebyshev fit; relative error 3e-8
//! ```
//!
//! The square in the exponent is computed as `b^2 + (a - b) (a + b)` with `b` the nearest multiple of 1/64:
//! the first has no rounding and the second is small. A rounded square would cost 80 units in the last place
//! at the end.

use super::formulas::exp_of_clamped;
use crate::simd::Isa;

/// Where the magnitude of an argument ends.
const END: f32 = 12.8;
/// `1.5 * 2^17`: adding it to a float below 2^16 rounds it to a multiple of 1/64.
const SHIFT: f32 = 196_608.0;
/// `q(t - 1/2)`, highest power first.
const Q: [f32; 11] = [
    5.353_974e-3,
    -2.584_576_4e-2,
    1.982_841_5e-2,
    3.694_544_6e-2,
    -3.662_413_4e-2,
    -7.762_153e-2,
    2.906_833_4e-2,
    2.220_845_7e-1,
    3.461_986_2e-1,
    3.291_589_6e-1,
    2.219_706_2e-1,
];
/// `1 / sqrt(2 pi)`.
const DENSITY: f32 = 0.398_942_3;

/// `P(-|x|)`, and `e^(-x^2 / 2)`.
#[inline(always)]
fn tail<I: Isa>(isa: I, x: I::Vector) -> [I::Vector; 2] {
    let (half, one) = (isa.splat(0.5), isa.splat(1.0));
    let a = isa.min(isa.splat(END), isa.abs(x));
    let shift = isa.splat(SHIFT);
    let b = isa.sub(isa.add(a, shift), shift);
    let large = isa.mul(isa.splat(-0.5), isa.mul(b, b));
    let small = isa.mul(isa.splat(-0.5), isa.mul(isa.sub(a, b), isa.add(a, b)));
    let bell = isa.mul(exp_of_clamped(isa, large), exp_of_clamped(isa, small));
    let t = isa.div(one, isa.mul_add(isa.splat(0.3), a, one));
    let s = isa.sub(t, half);
    let mut q = isa.splat(Q[0]);
    for &coefficient in &Q[1..] {
        q = isa.mul_add(q, s, isa.splat(coefficient));
    }
    [isa.mul(bell, isa.mul(t, q)), bell]
}

/// `x P(x)`. Below -12.8 it is zero, where the function is above -2e-36.
#[inline(always)]
pub(super) fn gelu<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let [tail, _] = tail(isa, x);
    let p = isa.if_greater(isa.zero(), x, tail, isa.sub(isa.splat(1.0), tail));
    isa.if_greater(isa.splat(-END), x, isa.zero(), isa.mul(x, p))
}

/// `P(x) + x e^(-x^2 / 2) / sqrt(2 pi)`.
#[inline(always)]
pub(super) fn slope_of_gelu<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let [tail, bell] = tail(isa, x);
    let p = isa.if_greater(isa.zero(), x, tail, isa.sub(isa.splat(1.0), tail));
    let clamped = isa.clamp(x, END);
    isa.mul_add(isa.mul(isa.splat(DENSITY), clamped), bell, p)
}
