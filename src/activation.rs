//! The logistic sigmoid and tanh on any [`Isa`].
//!
//! Both start from one piece, `2^n` and `p = e^r - 1` with `x = n ln 2 + r`, `|r| <= ln 2 / 2`:
//!
//! ```text
//! n    = round(x / ln 2)                   by adding and subtracting 1.5 * 2^23
//! r    = x - n * ln2_high - n * ln2_low    exact to 2^-33 (Cody, Waite: n * ln2_high has no rounding)
//! p    = r + r^2 q(r)                      q of degree 4, Chebyshev fit of (e^r - 1 - r) / r^2;
//!                                          relative error of p 2.5e-8, also for the smallest r
//! sigmoid(x) = 1 / (1 + 2^n + 2^n p)           of -x
//! tanh(|x|)  = -u / (u + 2),  u = e^(-2|x|) - 1 = 2^n p + (2^n - 1)
//! ```
//!
//! Keeping `p` apart from the one is what makes tanh exact in relative terms near zero, where the
//! quotient of two exponentials would cancel. tanh is computed on `|x|` and so exactly odd. Reciprocals
//! are refined by products ([`Isa::recip`]), so that no division stands in a kernel.
//!
//! Error bounds over all floats, and the test that measures them: see the table in the crate docs.
//! NaN gives NaN. Arguments are clamped to +-87, beyond which a sigmoid is 0 or 1 to within 1.7e-38.

use crate::simd::Isa;

/// `1.5 * 2^23`: adding it to a float below 2^22 rounds it to an integer, which then stands in the low
/// bits.
const SHIFT: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The first nine bits of ln 2, so that a product with `|n| < 2^15` is exact.
const LN2_HIGH: f32 = 0.693_359_375;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `q(r)`, highest power first.
const Q: [f32; 5] = [1.392_626_8e-3, 8.363_247e-3, 4.166_655_2e-2, 1.666_657_6e-1, 0.5];
/// The clamp of an exponent: `e^87 = 6.1e37` and its reciprocal are both normal floats.
const LIMIT: f32 = 87.0;

/// `(2^n, e^r - 1)` of `x = n ln 2 + r`. Exact for `|x| <= 87.3`.
#[inline(always)]
fn exp_parts<I: Isa>(isa: I, x: I::Vector) -> (I::Vector, I::Vector) {
    let shift = isa.splat(SHIFT);
    let shifted = isa.mul_add(x, isa.splat(LOG2_E), shift);
    let n = isa.sub(shifted, shift);
    let r = isa.neg_mul_add(n, isa.splat(LN2_HIGH), x);
    let r = isa.neg_mul_add(n, isa.splat(LN2_LOW), r);
    let mut q = isa.splat(Q[0]);
    for &coefficient in &Q[1..] {
        q = isa.mul_add(q, r, isa.splat(coefficient));
    }
    let p = isa.mul_add(isa.mul(r, r), q, r);
    (isa.exp2_of_shifted(shifted), p)
}

/// The logistic sigmoid `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let x = isa.min(isa.splat(LIMIT), isa.max(isa.splat(-LIMIT), x));
    let (scale, p) = exp_parts(isa, isa.sub(isa.zero(), x));
    let one_and_scale = isa.add(isa.splat(1.0), scale);
    isa.recip(isa.mul_add(scale, p, one_and_scale))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let doubled = isa.add(isa.abs(x), isa.abs(x));
    let negated = isa.max(isa.splat(-LIMIT), isa.sub(isa.zero(), doubled));
    let (scale, p) = exp_parts(isa, negated);
    let u = isa.mul_add(scale, p, isa.sub(scale, isa.splat(1.0)));
    let magnitude = isa.mul(isa.sub(isa.zero(), u), isa.recip(isa.add(u, isa.splat(2.0))));
    isa.with_sign(magnitude, x)
}

/// The slope of the sigmoid where its value is `s`: `s (1 - s)`.
#[inline(always)]
pub(crate) fn slope_of_sigmoid<I: Isa>(isa: I, s: I::Vector) -> I::Vector {
    isa.mul(s, isa.sub(isa.splat(1.0), s))
}

/// The slope of tanh where its value is `t`: `1 - t^2`.
#[inline(always)]
pub(crate) fn slope_of_tanh<I: Isa>(isa: I, t: I::Vector) -> I::Vector {
    isa.neg_mul_add(t, t, isa.splat(1.0))
}

/// The magnitude below which a stored value becomes zero, so that a state that decays does not reach
/// the denormals, on which arithmetic is tens of times slower.
pub(crate) const FLUSH: f32 = 1e-30;

/// `v`, with zero in place of every magnitude below [`FLUSH`].
#[inline(always)]
pub(crate) fn flush<I: Isa>(isa: I, v: I::Vector) -> I::Vector {
    isa.flush_below(v, FLUSH)
}
