//! How matrices are stored and multiplied, to the bit.
//!
//! ```text
//! Exact          m v, in the floats of the pass
//! Bf16Weights    bf16(m) v
//! Bf16           bf16(m) bf16(v), values below 2^-56 as zero: of each 32 columns the sum of the even ones and that
//!                of the odd ones, each from zero, which are added to each other and then to the sum
//! Int8           s_m s_v (q_m q_v) of each row of m       s = max|.| / 127, q = round(. * (127 / max|.|))
//! ```
//!
//! `bf16` rounds to eight bits of significand, to the nearest, ties to even. Of `Int8`, q and s are computed
//! in f32, the sum of integers exactly, and then `f32(sum) * (s_v * s_m)` in f32, which is added to the
//! bias. Where max is not finite, s is NaN; where it is below 1e-30, s is zero.

use super::real::{Real, add_transposed, affine};

/// The precision of the products of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// That of the floats of the pass.
    #[default]
    Exact,
    /// Weights rounded to bf16.
    Bf16Weights,
    /// Both operands rounded to bf16. On the way back also the gradients of gates are, as soon as they are
    /// known, and that of the normalised cell state.
    Bf16,
    /// Integers of eight bits, with a scale for each row of a matrix and for each vector.
    Int8,
}

impl Precision {
    /// A matrix as products see it.
    pub(super) fn matrix<F: Real>(self, m: &[F]) -> Vec<F> {
        match self {
            Precision::Bf16Weights => m.iter().map(|&weight| rounded(weight, 0.0)).collect(),
            _ => self.operand(m),
        }
    }

    /// A vector as products see it.
    pub(super) fn operand<F: Real>(self, v: &[F]) -> Vec<F> {
        let smallest = 2f64.powi(-56);
        match self {
            Precision::Bf16 => v.iter().map(|&value| rounded(value, smallest)).collect(),
            _ => v.to_vec(),
        }
    }

    /// `m v + bias`, with as many rows as the bias; `m` as [`matrix`](Self::matrix) has it.
    pub(super) fn affine<F: Real>(self, m: &[F], v: &[F], bias: &[F]) -> Vec<F> {
        let mut out = bias.to_vec();
        let columns = v.len();
        match self {
            Precision::Exact | Precision::Bf16Weights => return affine(m, v, bias),
            Precision::Bf16 => {
                let v = self.operand(v);
                for row in 0..out.len() {
                    let of_row = |k: usize| m[row * columns + k];
                    add_groups(&mut out[row], columns, &|k| of_row(k) * v[k]);
                }
            }
            Precision::Int8 => {
                let (q_v, s_v) = integers(v);
                for row in 0..out.len() {
                    let (q_m, s_m) = integers(&m[row * columns..][..columns]);
                    let sum: i64 = q_m.iter().zip(&q_v).map(|(a, b)| a * b).sum();
                    out[row] += F::from_f64((sum as f32 * (s_v * s_m)).into());
                }
            }
        }
        out
    }

    /// `u += m^T v` of gates of `units` rows each, one after the other.
    pub(super) fn add_transposed<F: Real>(self, u: &mut [F], m: &[F], v: &[F], units: usize) {
        if self != Precision::Bf16 {
            return add_transposed(u, m, v);
        }
        let v = self.operand(v);
        for (gate, v) in v.chunks(units).enumerate() {
            for column in 0..u.len() {
                let of_column = |k: usize| m[(gate * units + k) * u.len() + column];
                let mut sum = u[column];
                add_groups(&mut sum, v.len(), &|k| of_column(k) * v[k]);
                u[column] = sum;
            }
        }
    }
}

/// Adds products to a sum as [`Precision::Bf16`] does.
fn add_groups<F: Real>(sum: &mut F, count: usize, product: &dyn Fn(usize) -> F) {
    for start in (0..count).step_by(32) {
        let mut parts = [F::ZERO; 2];
        for k in start..count.min(start + 32) {
            parts[k % 2] += product(k);
        }
        *sum += parts[0] + parts[1];
    }
}

/// The nearest bf16 of a value, or zero where that is below `smallest`.
fn rounded<F: Real>(value: F, smallest: f64) -> F {
    let near = f64::from(bf16(value.to_f64() as f32));
    if near.abs() < smallest { F::ZERO } else { F::from_f64(near) }
}

/// The nearest bf16, ties to even.
fn bf16(x: f32) -> f32 {
    if x.is_nan() {
        x
    } else {
        f32::from_bits((x.to_bits() + 0x7FFF + (x.to_bits() >> 16 & 1)) & 0xFFFF_0000)
    }
}

/// A vector as integers and a scale.
fn integers<F: Real>(v: &[F]) -> (Vec<i64>, f32) {
    let v: Vec<f32> = v.iter().map(|v| v.to_f64() as f32).collect();
    let largest = v.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
    if v.iter().any(|v| !v.is_finite()) {
        return (vec![0; v.len()], f32::NAN);
    }
    if largest < 1e-30 {
        return (vec![0; v.len()], 0.0);
    }
    (v.iter().map(|v| (v * (127.0 / largest)).round_ties_even() as i64).collect(), largest / 127.0)
}
