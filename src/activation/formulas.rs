//! The parts of the chosen activations: exponentials, and formulas in which no difference cancels.
//!
//! Everything is exact to some units in the last place, as the tests in `chosen/tests.rs` measure, and NaN
//! gives NaN.

use super::sigmoid_tanh::{LIMIT, exp_parts_of_negated, sigmoid, tanh};
use crate::simd::Isa;

/// `e^-x` of `x` clamped to `0..=87`.
#[inline(always)]
pub(crate) fn exp_of_negated<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let (scale, d) = exp_parts_of_negated(isa, isa.max(isa.zero(), isa.min(isa.splat(LIMIT), x)));
    isa.neg_mul_add(scale, d, scale)
}

/// `e^x - 1` of `x` clamped to `-87..=0`.
#[inline(always)]
pub(super) fn exp_minus_one<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let negated = isa.max(isa.zero(), isa.min(isa.splat(LIMIT), isa.sub(isa.zero(), x)));
    let (scale, d) = exp_parts_of_negated(isa, negated);
    isa.neg_mul_add(scale, d, isa.sub(scale, isa.splat(1.0)))
}

/// `x / (1 + |x|)`. Beyond 1e30 it is one to the last bit, also at infinity.
#[inline(always)]
pub(super) fn softsign<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let x = isa.clamp(x, 1e30);
    isa.div(x, isa.add(isa.splat(1.0), isa.abs(x)))
}

/// `q(w)` of the logarithm, highest power first.
const Q: [f32; 5] = [0.232_243_28, 0.217_065_77, 0.285_923_57, 0.399_997_06, 0.666_666_7];

/// `log(1 + e^x)`. Below -87 it is between 0 and 1.7e-38.
#[inline(always)]
pub(crate) fn softplus<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let two = isa.splat(2.0);
    let e = exp_of_negated(isa, isa.abs(x));
    let s = isa.div(e, isa.add(two, e));
    let w = isa.mul(s, s);
    let mut q = isa.splat(Q[0]);
    for &coefficient in &Q[1..] {
        q = isa.mul_add(q, w, isa.splat(coefficient));
    }
    let log = isa.mul_add(isa.mul(s, w), q, isa.mul(two, s));
    isa.add(isa.max(isa.zero(), x), log)
}

/// `e^x`, with the range of the floats: two factors, of which the second is one for `|x| <= 87`.
#[inline(always)]
pub(super) fn exp<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let clamped = isa.clamp(x, LIMIT);
    isa.mul(exp_of_clamped(isa, clamped), exp_of_clamped(isa, isa.sub(x, clamped)))
}

/// `e^x` of `x` clamped to `-87..=87`.
#[inline(always)]
pub(super) fn exp_of_clamped<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let x = isa.clamp(x, LIMIT);
    let (scale, d) = exp_parts_of_negated(isa, isa.sub(isa.zero(), x));
    isa.neg_mul_add(scale, d, scale)
}

/// `x * sigmoid(x)`. Below -87 it is zero, where the function is above -2e-36.
#[inline(always)]
pub(super) fn silu<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    isa.if_greater(isa.splat(-LIMIT), x, isa.zero(), isa.mul(x, sigmoid(isa, x)))
}

/// `s(x) + x s(x) s(-x)` with `s` the sigmoid: `1 - s(x)` would cancel, and be multiplied by x.
#[inline(always)]
pub(super) fn slope_of_silu<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let (s, rest) = (sigmoid(isa, x), sigmoid(isa, isa.sub(isa.zero(), x)));
    let clamped = isa.clamp(x, LIMIT);
    isa.mul_add(clamped, isa.mul(s, rest), s)
}

/// `t` and `1 - t` of `t = tanh(log(1 + e^x))`, with `v = e^-|x|`: two quotients of the same terms, so that
/// neither is a difference.
///
/// ```text
/// x < 0    t = (v^2 + 2 v) / (v^2 + 2 v + 2)
/// else     t = (1 + 2 v) / (1 + 2 v + 2 v^2)
/// ```
#[inline(always)]
fn tanh_of_softplus<I: Isa>(isa: I, x: I::Vector) -> [I::Vector; 2] {
    let (one, two) = (isa.splat(1.0), isa.splat(2.0));
    let v = exp_of_negated(isa, isa.abs(x));
    let negative = isa.mul(v, isa.add(v, two));
    let t = isa.if_greater(isa.zero(), x, negative, isa.mul_add(two, v, one));
    let rest = isa.if_greater(isa.zero(), x, two, isa.mul(two, isa.mul(v, v)));
    let sum = isa.add(t, rest);
    [isa.div(t, sum), isa.div(rest, sum)]
}

/// `x * tanh(log(1 + e^x))`. Below -87 it is zero, where the function is above -2e-36.
#[inline(always)]
pub(super) fn mish<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let [t, _] = tanh_of_softplus(isa, x);
    isa.if_greater(isa.splat(-LIMIT), x, isa.zero(), isa.mul(x, t))
}

/// `t + x (1 - t^2) sigmoid(x)` with `t = tanh(log(1 + e^x))`.
#[inline(always)]
pub(super) fn slope_of_mish<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let [t, rest] = tanh_of_softplus(isa, x);
    let clamped = isa.clamp(x, LIMIT);
    let inner = isa.mul(isa.mul(rest, isa.add(isa.splat(1.0), t)), sigmoid(isa, x));
    isa.mul_add(clamped, inner, t)
}

/// `(x - tanh(x)) / x^3` as a polynomial in `x^2` up to 1.25^2, highest power first: Chebyshev fit, relative
/// error 9e-8 with these coefficients.
const SHRINK: [f32; 9] = [
    2.297_424e-5,
    -2.182_243e-4,
    1.011_701_6e-3,
    -3.243_951_1e-3,
    8.692_574e-3,
    -2.182_074_5e-2,
    5.396_111e-2,
    -1.333_329_2e-1,
    3.333_333_4e-1,
];

/// `x - tanh(x)`: up to 1.25 a polynomial, as the difference would cancel.
#[inline(always)]
pub(super) fn tanh_shrink<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let bound = isa.splat(1.25);
    let near = isa.min(bound, isa.max(isa.splat(-1.25), x));
    let w = isa.mul(near, near);
    let mut p = isa.splat(SHRINK[0]);
    for &coefficient in &SHRINK[1..] {
        p = isa.mul_add(p, w, isa.splat(coefficient));
    }
    let near = isa.mul(near, isa.mul(w, p));
    isa.if_greater(isa.abs(x), bound, isa.sub(x, tanh(isa, x)), near)
}

/// `sqrt(1 + w)` for `w` in `0..=1`, highest power first: Chebyshev fit, relative error 1e-4, of which one
/// step of Newton's method leaves 5e-9.
const ROOT: [f32; 4] = [2.385_052_9e-2, -1.063_081_7e-1, 4.966_317e-1, 1.000_103_1];

/// `|x| / 2 + sqrt(x^2 / 4 + 1)`. Above 2 the root is that of `1 + 4 / x^2`, so that no square overflows.
#[inline(always)]
fn larger_root<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let (half, one) = (isa.splat(0.5), isa.splat(1.0));
    let u = isa.mul(half, isa.abs(x));
    let m = isa.if_greater(u, one, isa.div(one, u), u);
    let w = isa.mul(m, m);
    let mut root = isa.splat(ROOT[0]);
    for &coefficient in &ROOT[1..] {
        root = isa.mul_add(root, w, isa.splat(coefficient));
    }
    root = isa.mul(half, isa.add(root, isa.div(isa.add(one, w), root)));
    isa.add(u, isa.if_greater(u, one, isa.mul(u, root), root))
}

/// `(x + sqrt(x^2 + 4)) / 2`. The product of its values at `x` and `-x` is one, which saves the difference.
#[inline(always)]
pub(super) fn square_plus<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let root = larger_root(isa, x);
    isa.if_greater(isa.zero(), x, isa.div(isa.splat(1.0), root), root)
}

/// `y^2 / (1 + y^2)` of the value `y`, by the smaller of `y` and `1 / y`.
#[inline(always)]
pub(super) fn slope_of_square_plus<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    let v = isa.div(one, larger_root(isa, x));
    let v = isa.mul(v, v);
    isa.div(isa.if_greater(isa.zero(), x, v, one), isa.add(one, v))
}
