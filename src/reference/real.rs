//! The arithmetic: `f32` or `f64`, and vectors and row-major matrices of them.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

mod sealed {
    pub trait Sealed {}
}

/// The arithmetic the reference needs: `f32` or `f64`.
pub trait Real:
    sealed::Sealed
    + Copy
    + PartialOrd
    + Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// `e` to the power of `self`.
    fn exp(self) -> Self;
    /// `e` to the power of `self`, minus one.
    fn exp_m1(self) -> Self;
    /// The logarithm of one plus `self`.
    fn ln_1p(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// The same value in double precision.
    fn to_f64(self) -> f64;
}

macro_rules! real {
    ($($float:ident)*) => {$(
        impl sealed::Sealed for $float {}
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn exp(self) -> Self { $float::exp(self) }
            fn exp_m1(self) -> Self { $float::exp_m1(self) }
            fn ln_1p(self) -> Self { $float::ln_1p(self) }
            fn sqrt(self) -> Self { $float::sqrt(self) }
            fn tanh(self) -> Self { $float::tanh(self) }
            fn from_f64(value: f64) -> Self { value as $float }
            fn to_f64(self) -> f64 { f64::from(self) }
        }
    )*};
}
real!(f32 f64);

/// The magnitude below which a value counts as zero: so small a one would soon be denormal, on which
/// arithmetic is many times slower.
const SMALLEST: f64 = 1e-30;

/// `v`, with zero in place of every magnitude below [`SMALLEST`].
pub(super) fn flushed<F: Real>(v: &[F]) -> Vec<F> {
    v.iter().map(|&v| if v.to_f64().abs() < SMALLEST { F::ZERO } else { v }).collect()
}

/// The mean of a vector.
pub(super) fn mean<F: Real>(v: &[F]) -> F {
    v.iter().fold(F::ZERO, |sum, &v| sum + v) / F::from_f64(v.len() as f64)
}

/// `N(v)`, and the factor `1 / sqrt(variance + eps)`.
pub(super) fn normalise<F: Real>(v: &[F], epsilon: f64) -> (Vec<F>, F) {
    let mean_of_v = mean(v);
    let centred: Vec<F> = v.iter().map(|&v| v - mean_of_v).collect();
    let factor = F::ONE / (mean(&product(&centred, &centred)) + F::from_f64(epsilon)).sqrt();
    (centred.iter().map(|&v| v * factor).collect(), factor)
}

/// The gradient of `v` from that of `y = N(v)`.
pub(super) fn through_norm<F: Real>(dy: &[F], y: &[F], factor: F) -> Vec<F> {
    let (first, second) = (mean(dy), mean(&product(dy, y)));
    dy.iter().zip(y).map(|(&dy, &y)| factor * (dy - first - y * second)).collect()
}

/// The logistic sigmoid. Where `exp` overflows, it is exactly zero.
pub(super) fn sigmoid<F: Real>(v: F) -> F {
    F::ONE / (F::ONE + (-v).exp())
}

/// The derivative of the sigmoid where its value is `s`.
pub(super) fn sigmoid_slope<F: Real>(s: F) -> F {
    s * (F::ONE - s)
}

/// The derivative of tanh where its value is `t`.
pub(super) fn tanh_slope<F: Real>(t: F) -> F {
    F::ONE - t * t
}

/// The distribution function of the normal distribution: within 4 by the series `1/2 + density(x) (x + x^3 /
/// 3 + x^5 / 15 + ...)`, beyond by the continued fraction `density(x) / (a + 1 / (a + 2 / (a + 3 / ...)))` of
/// `a = |x|`.
pub(super) fn normal_distribution(x: f64) -> f64 {
    let (a, density) = (x.abs(), (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt());
    if a >= 4.0 {
        let tail = density / (1..200).rev().fold(a, |rest, k| a + f64::from(k) / rest);
        return if x < 0.0 { tail } else { 1.0 - tail };
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..100 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 + density * sum
}

/// `m v + bias`, with as many rows as the bias. (Column by column, so that no sum waits for itself.)
pub(super) fn affine<F: Real>(m: &[F], v: &[F], bias: &[F]) -> Vec<F> {
    let mut out = bias.to_vec();
    for column in 0..v.len() {
        for row in 0..out.len() {
            out[row] += m[row * v.len() + column] * v[column];
        }
    }
    out
}

/// `u += m^T v`.
pub(super) fn add_transposed<F: Real>(u: &mut [F], m: &[F], v: &[F]) {
    for row in 0..v.len() {
        for column in 0..u.len() {
            u[column] += m[row * u.len() + column] * v[row];
        }
    }
}

/// `m += u v^T`.
pub(super) fn add_outer<F: Real>(m: &mut [F], u: &[F], v: &[F]) {
    for row in 0..u.len() {
        for column in 0..v.len() {
            m[row * v.len() + column] += u[row] * v[column];
        }
    }
}

/// `u += v`.
pub(super) fn add<F: Real>(u: &mut [F], v: &[F]) {
    for j in 0..u.len() {
        u[j] += v[j];
    }
}

/// `u * v`, elementwise.
pub(super) fn product<F: Real>(u: &[F], v: &[F]) -> Vec<F> {
    u.iter().zip(v).map(|(&u, &v)| u * v).collect()
}

/// `taken * new + (1 - taken) * old`, elementwise. A part whose share is zero is left out, so that an
/// infinity or a NaN of it does not matter.
pub(super) fn blend<F: Real>(taken: &[F], new: &[F], old: &[F]) -> Vec<F> {
    let part = |share: F, value: F| if share == F::ZERO { F::ZERO } else { share * value };
    (0..old.len()).map(|j| part(taken[j], new[j]) + part(F::ONE - taken[j], old[j])).collect()
}

pub(super) fn zeros<F: Real>(like: &[F]) -> Vec<F> {
    vec![F::ZERO; like.len()]
}

/// The part number `index` of `width` values, zero where there is no array.
pub(super) fn part<F: Real>(array: Option<&[F]>, index: usize, width: usize) -> Vec<F> {
    array.map_or(vec![F::ZERO; width], |array| array[index * width..][..width].to_vec())
}
