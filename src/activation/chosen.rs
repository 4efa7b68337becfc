//! Activations chosen when the program runs: the eleven of ONNX and the elementwise ones of Keras, with their
//! parameters, a clip of their argument, and their slopes.
//!
//! A cell calls [`activate`] on the vectors of a tile after its products, once for several gates. They lie on
//! the stack, `[vector][gate]`, and the function is compiled once per level and not once per cell
//! ([`Isa::call`]). Within it the choice is made once per gate and call.
//!
//! Functions of an exponential:
//!
//! ```text
//! Elu        alpha (e^x - 1)      2^n p + (2^n - 1), with p apart from the one as in tanh
//! Softplus   max(0, x) + log(1 + e),   e = e^-|x|
//!            log(1 + e) = 2 atanh(s) = s (2 + s^2 q(s^2)),   s = e / (2 + e) in 0..=1/3
//!            q of degree 4, Chebyshev fit; relative error of the logarithm 1e-9
//! ```
//!
//! The other functions of Keras are in `formulas.rs` and `normal.rs`. Errors against the exact functions are
//! measured by the tests in `chosen/tests.rs`. NaN gives NaN.

use super::formulas::{
    exp, exp_minus_one, exp_of_negated, mish, silu, slope_of_mish, slope_of_silu, slope_of_square_plus,
    softplus, softsign, square_plus, tanh_shrink,
};
use super::normal::{gelu, slope_of_gelu};
use super::sigmoid_tanh::{sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::{Isa, Outlined};

/// A function of a gate, of a candidate or of an output: one of ONNX's eleven, or one of the elementwise ones
/// of `keras.activations`, with its parameters.
///
/// Slopes are those of the formula; at a kink, that of one side. Values below 1e-30 in magnitude may be off
/// by 2e-36.
///
/// Keras's `hard_sigmoid` is `HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }`, that of Keras 2 has `alpha` 0.2;
/// `sparse_sigmoid` has `alpha` 0.5. `linear` is `Affine { alpha: 1.0, beta: 0.0 }`, `celu` is `Elu { alpha:
/// 1.0 }`, `relu6` is `Clamp { low: 0.0, high: 6.0 }`, and `hard_tanh` is `Clamp { low: -1.0, high: 1.0 }`.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `max(0, x)`.
    Relu,
    /// `x` where it is not negative, else `alpha * x`. ONNX's default: `alpha` 0.01.
    LeakyRelu {
        /// The slope of the negative side.
        alpha: f32,
    },
    /// `x` where it is at least `alpha`, else 0. ONNX's default: `alpha` 1.
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// `alpha * tanh(beta * x)`.
    ScaledTanh {
        /// The factor of the value.
        alpha: f32,
        /// The factor of the argument.
        beta: f32,
    },
    /// `alpha * x + beta`, clamped to `0..=1`. ONNX's default: `alpha` 0.2, `beta` 0.5.
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at zero.
        beta: f32,
    },
    /// `x` where it is not negative, else `alpha * (e^x - 1)`. ONNX's default: `alpha` 1.
    Elu {
        /// Minus the limit of the negative side.
        alpha: f32,
    },
    /// `x / (1 + |x|)`.
    Softsign,
    /// `log(1 + e^x)`.
    Softplus,
    /// `alpha * x + beta`. ONNX's default: `alpha` 1, `beta` 0.
    Affine {
        /// The slope.
        alpha: f32,
        /// The value at zero.
        beta: f32,
    },
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * P(x)`, where `P` is the distribution function of the normal distribution. This is the exact form,
    /// not the approximation with tanh.
    Gelu,
    /// `s * Elu(x)` with `s` 1.0507009873554805 and `alpha` 1.6732632423543772.
    Selu,
    /// `e^x`.
    Exponential,
    /// `x * HardSigmoid(x)` with `alpha` 1/6 and `beta` 1/2, also called hard swish.
    HardSilu,
    /// `x`, clamped to `low..=high`.
    Clamp {
        /// The least value.
        low: f32,
        /// The largest value.
        high: f32,
    },
    /// `x * tanh(log(1 + e^x))`.
    Mish,
    /// `-log(1 + e^-x)`.
    LogSigmoid,
    /// `x - lambda` above `lambda`, `x + lambda` below `-lambda`, and zero between. Keras's default: `lambda`
    /// 0.5.
    SoftShrink {
        /// The bound, not negative.
        lambda: f32,
    },
    /// `x` where its magnitude is above `lambda`, else 0. Keras's default: `lambda` 0.5.
    HardShrink {
        /// The bound, not negative.
        lambda: f32,
    },
    /// `x - tanh(x)`.
    TanhShrink,
    /// `(x + sqrt(x^2 + 4)) / 2`.
    SquarePlus,
    /// 0 below -1, `x` above 1, `(x + 1)^2 / 4` between.
    SparsePlus,
}

impl Activation {
    /// The parameters of the activation; zero where it has none.
    pub(crate) fn parameters(self) -> [f32; 2] {
        match self {
            Activation::LeakyRelu { alpha }
            | Activation::ThresholdedRelu { alpha }
            | Activation::Elu { alpha } => [alpha, 0.0],
            Activation::ScaledTanh { alpha, beta }
            | Activation::HardSigmoid { alpha, beta }
            | Activation::Affine { alpha, beta } => [alpha, beta],
            Activation::Clamp { low, high } => [low, high],
            Activation::SoftShrink { lambda } | Activation::HardShrink { lambda } => [lambda, 0.0],
            Activation::Sigmoid
            | Activation::Tanh
            | Activation::Relu
            | Activation::Softsign
            | Activation::Softplus
            | Activation::Silu
            | Activation::Gelu
            | Activation::Selu
            | Activation::Exponential
            | Activation::HardSilu
            | Activation::Mish
            | Activation::LogSigmoid
            | Activation::TanhShrink
            | Activation::SquarePlus
            | Activation::SparsePlus => [0.0; 2],
        }
    }
}

/// The activation of one gate of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// The place of the gate in the tile.
    pub(crate) index: usize,
    pub(crate) activation: Activation,
    /// The bound of the argument's magnitude, infinite for none.
    pub(crate) clip: f32,
}

/// Clips and activates these gates of some vectors of a tile.
#[inline(always)]
pub(crate) fn activate<I: Isa, const G: usize>(isa: I, x: &mut [[I::Vector; G]], gates: &[Gate]) {
    activate_flattened(isa, x.as_flattened_mut(), G, gates);
}

/// The same of a tile with `stride` gates.
#[inline(always)]
pub(crate) fn activate_flattened<I: Isa>(isa: I, x: &mut [I::Vector], stride: usize, gates: &[Gate]) {
    isa.call(Apply::<_, false> { x, slopes: &mut [], stride, gates });
}

/// Clips and activates these gates, and sets `slopes` of these gates: zero where the clip changed the
/// argument. `slopes` has as many vectors as `x`.
#[inline(always)]
pub(crate) fn activate_with_slopes<I: Isa, const G: usize>(
    isa: I,
    x: &mut [[I::Vector; G]],
    slopes: &mut [[I::Vector; G]],
    gates: &[Gate],
) {
    activate_flattened_with_slopes(isa, x.as_flattened_mut(), slopes.as_flattened_mut(), G, gates);
}

/// The same of a tile with `stride` gates.
#[inline(always)]
pub(crate) fn activate_flattened_with_slopes<I: Isa>(
    isa: I,
    x: &mut [I::Vector],
    slopes: &mut [I::Vector],
    stride: usize,
    gates: &[Gate],
) {
    isa.call(Apply::<_, true> { x, slopes, stride, gates });
}

/// The arguments of both functions: `x[vector * stride + gate]`.
struct Apply<'a, V, const SLOPES: bool> {
    x: &'a mut [V],
    slopes: &'a mut [V],
    stride: usize,
    gates: &'a [Gate],
}

impl<I: Isa, const SLOPES: bool> Outlined<I> for Apply<'_, I::Vector, SLOPES> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Apply { x, slopes, stride, gates } = self;
        let (zero, one) = (isa.zero(), isa.splat(1.0));
        for gate in gates {
            let [alpha, beta] = gate.activation.parameters();
            let (alpha, beta) = (isa.splat(alpha), isa.splat(beta));
            let (clip, negated_clip) = (isa.splat(gate.clip), isa.splat(-gate.clip));
            // One loop over the vectors of the gate. y is a function of x, and the slope a function of x and
            // y.
            macro_rules! each {
                (|$x:ident, $y:ident| $value:expr, $slope:expr) => {{
                    // (No range with a step: its length would be a division, in every one of these loops.)
                    let mut at = gate.index;
                    while at < x.len() {
                        let raw = x[at];
                        let $x = isa.min(clip, isa.max(negated_clip, raw));
                        let $y = $value;
                        x[at] = $y;
                        if SLOPES {
                            slopes[at] = isa.if_greater(isa.abs(raw), clip, zero, $slope);
                        }
                        at += stride;
                    }
                }};
            }
            match gate.activation {
                Activation::Sigmoid => each!(|x, y| sigmoid(isa, x), slope_of_sigmoid(isa, y)),
                Activation::Tanh => each!(|x, y| tanh(isa, x), slope_of_tanh(isa, y)),
                Activation::Relu => {
                    // max gives its second argument where either is NaN.
                    each!(|x, y| isa.max(zero, x), isa.if_greater(x, zero, one, zero))
                }
                Activation::LeakyRelu { .. } => each!(
                    |x, y| isa.if_greater(zero, x, isa.mul(alpha, x), x),
                    isa.if_greater(zero, x, alpha, one)
                ),
                Activation::ThresholdedRelu { .. } => {
                    each!(|x, y| isa.if_greater(alpha, x, zero, x), isa.if_greater(alpha, x, zero, one))
                }
                Activation::ScaledTanh { .. } => each!(
                    |x, y| isa.mul(alpha, tanh(isa, isa.mul(beta, x))),
                    isa.mul(isa.mul(alpha, beta), slope_of_tanh(isa, tanh(isa, isa.mul(beta, x))))
                ),
                Activation::HardSigmoid { .. } => {
                    each!(|x, y| isa.min(one, isa.max(zero, isa.mul_add(alpha, x, beta))), {
                        let line = isa.mul_add(alpha, x, beta);
                        isa.if_greater(zero, line, zero, isa.if_greater(line, one, zero, alpha))
                    })
                }
                Activation::Elu { .. } => each!(
                    |x, y| isa.if_greater(zero, x, isa.mul(alpha, exp_minus_one(isa, x)), x),
                    isa.if_greater(zero, x, isa.mul(alpha, exp_of_negated(isa, isa.sub(zero, x))), one)
                ),
                Activation::Softsign => each!(|x, y| softsign(isa, x), {
                    let rest = isa.div(one, isa.add(one, isa.abs(x)));
                    isa.mul(rest, rest)
                }),
                Activation::Softplus => each!(|x, y| softplus(isa, x), sigmoid(isa, x)),
                Activation::Affine { .. } => each!(|x, y| isa.mul_add(alpha, x, beta), alpha),
                Activation::Silu => each!(|x, y| silu(isa, x), slope_of_silu(isa, x)),
                Activation::Gelu => each!(|x, y| gelu(isa, x), slope_of_gelu(isa, x)),
                Activation::Selu => {
                    let (right, left) = (isa.splat(SELU[0]), isa.splat(SELU[1]));
                    each!(
                        |x, y| isa.if_greater(
                            zero,
                            x,
                            isa.mul(left, exp_minus_one(isa, x)),
                            isa.mul(right, x)
                        ),
                        isa.if_greater(zero, x, isa.mul(left, exp_of_negated(isa, isa.sub(zero, x))), right)
                    )
                }
                Activation::Exponential => each!(|x, y| exp(isa, x), y),
                Activation::HardSilu => {
                    let (three, sixth) = (isa.splat(3.0), isa.splat(1.0 / 6.0));
                    each!(
                        |x, y| {
                            let line = isa.min(isa.splat(6.0), isa.max(zero, isa.add(x, three)));
                            isa.if_greater(isa.splat(-3.0), x, zero, isa.mul(x, isa.mul(sixth, line)))
                        },
                        {
                            let line = isa.mul_add(x, isa.splat(1.0 / 3.0), isa.splat(0.5));
                            let line = isa.if_greater(x, three, one, line);
                            isa.if_greater(isa.splat(-3.0), x, zero, line)
                        }
                    )
                }
                Activation::Clamp { .. } => each!(
                    |x, y| isa.min(beta, isa.max(alpha, x)),
                    isa.if_greater(alpha, x, zero, isa.if_greater(x, beta, zero, one))
                ),
                Activation::Mish => each!(|x, y| mish(isa, x), slope_of_mish(isa, x)),
                Activation::LogSigmoid => each!(
                    |x, y| isa.sub(zero, softplus(isa, isa.sub(zero, x))),
                    sigmoid(isa, isa.sub(zero, x))
                ),
                Activation::SoftShrink { .. } => each!(
                    |x, y| isa.sub(x, isa.min(alpha, isa.max(isa.sub(zero, alpha), x))),
                    isa.if_greater(isa.abs(x), alpha, one, zero)
                ),
                Activation::HardShrink { .. } => each!(
                    // (A product, so that NaN stays.)
                    |x, y| isa.if_greater(isa.abs(x), alpha, x, isa.mul(zero, x)),
                    isa.if_greater(isa.abs(x), alpha, one, zero)
                ),
                Activation::TanhShrink => each!(|x, y| tanh_shrink(isa, x), {
                    let t = tanh(isa, x);
                    isa.mul(t, t)
                }),
                Activation::SquarePlus => {
                    each!(|x, y| square_plus(isa, x), slope_of_square_plus(isa, x))
                }
                Activation::SparsePlus => {
                    let (half, minus_one) = (isa.splat(0.5), isa.splat(-1.0));
                    each!(
                        |x, y| {
                            let root = isa.mul(half, isa.add(one, isa.max(minus_one, x)));
                            isa.if_greater(x, one, x, isa.mul(root, root))
                        },
                        {
                            let line = isa.mul(half, isa.add(one, isa.max(minus_one, x)));
                            isa.if_greater(x, one, one, line)
                        }
                    )
                }
            }
        }
    }
}

/// The scale of Selu, and the scale times its alpha.
const SELU: [f32; 2] = [1.050_701, 1.758_099_3];

#[cfg(test)]
mod tests;
