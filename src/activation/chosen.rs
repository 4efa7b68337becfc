//! Activations chosen when the program runs: the eleven of ONNX, with their parameters, a clip of their
//! argument, and their slopes.
//!
//! A cell calls [`activate`] on the vectors of a tile after its products, once for several gates. They lie on the
//! stack, `[vector][gate]`, and the function is compiled once per level and not once per cell ([`Isa::call`]).
//! Within it the choice is made once per gate and call.
//!
//! What is made of an exponential:
//!
//! ```text
//! Elu        alpha (e^x - 1)      2^n p + (2^n - 1), with p apart from the one as in tanh
//! Softplus   max(0, x) + log(1 + e),   e = e^-|x|
//!            log(1 + e) = 2 atanh(s) = s (2 + s^2 q(s^2)),   s = e / (2 + e) in 0..=1/3
//!            q of degree 4, Chebyshev fit; relative error of the logarithm 1e-9
//! ```
//!
//! Errors against the exact functions are measured by the test below. NaN gives NaN.

use super::sigmoid_tanh::{LIMIT, exp_parts_of_negated, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::{Isa, Outlined};

/// A function of a gate, of a candidate or of an output: one of ONNX's eleven, with its parameters.
///
/// Slopes are those of the formula; at a kink it is that of one of the sides.
///
/// Keras's `hard_sigmoid` is `HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }`, and `linear` is
/// `Affine { alpha: 1.0, beta: 0.0 }`.
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
}

impl Activation {
    /// Its parameters, zero where it has none.
    pub(crate) fn parameters(self) -> [f32; 2] {
        match self {
            Activation::LeakyRelu { alpha }
            | Activation::ThresholdedRelu { alpha }
            | Activation::Elu { alpha } => [alpha, 0.0],
            Activation::ScaledTanh { alpha, beta }
            | Activation::HardSigmoid { alpha, beta }
            | Activation::Affine { alpha, beta } => [alpha, beta],
            Activation::Sigmoid
            | Activation::Tanh
            | Activation::Relu
            | Activation::Softsign
            | Activation::Softplus => [0.0; 2],
        }
    }
}

/// The function of one gate of a tile.
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
    isa.call(Apply::<_, false> { x: x.as_flattened_mut(), slopes: &mut [], stride: G, gates });
}

/// The same, and sets `slopes` of these gates, to zero where the clip was at work. There are as many vectors of slopes.
#[inline(always)]
pub(crate) fn activate_with_slopes<I: Isa, const G: usize>(
    isa: I,
    x: &mut [[I::Vector; G]],
    slopes: &mut [[I::Vector; G]],
    gates: &[Gate],
) {
    let (x, slopes) = (x.as_flattened_mut(), slopes.as_flattened_mut());
    isa.call(Apply::<_, true> { x, slopes, stride: G, gates });
}

/// The arguments of [`activate`] and its sister: `x[vector * stride + gate]`.
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
            // One loop over the vectors of the gate, with y a function of x, and the slope one of both.
            macro_rules! each {
                (|$x:ident, $y:ident| $value:expr, $slope:expr) => {
                    for at in (gate.index..x.len()).step_by(stride) {
                        let raw = x[at];
                        let $x = isa.min(clip, isa.max(negated_clip, raw));
                        let $y = $value;
                        x[at] = $y;
                        if SLOPES {
                            slopes[at] = isa.if_greater(isa.abs(raw), clip, zero, $slope);
                        }
                    }
                };
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
            }
        }
    }
}

/// `e^-x` of `x` clamped to `0..=87`.
#[inline(always)]
fn exp_of_negated<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let (scale, d) = exp_parts_of_negated(isa, isa.max(isa.zero(), isa.min(isa.splat(LIMIT), x)));
    isa.neg_mul_add(scale, d, scale)
}

/// `e^x - 1` of `x` clamped to `-87..=0`.
#[inline(always)]
fn exp_minus_one<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let negated = isa.max(isa.zero(), isa.min(isa.splat(LIMIT), isa.sub(isa.zero(), x)));
    let (scale, d) = exp_parts_of_negated(isa, negated);
    isa.neg_mul_add(scale, d, isa.sub(scale, isa.splat(1.0)))
}

/// `x / (1 + |x|)`. Beyond 1e30 it is one to the last bit, also at infinity.
#[inline(always)]
fn softsign<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let x = isa.min(isa.splat(1e30), isa.max(isa.splat(-1e30), x));
    isa.div(x, isa.add(isa.splat(1.0), isa.abs(x)))
}

/// `q(w)` of the logarithm, highest power first.
const Q: [f32; 5] = [0.232_243_28, 0.217_065_77, 0.285_923_57, 0.399_997_06, 0.666_666_7];

/// `log(1 + e^x)`. Below -87 it is between 0 and 1.7e-38.
#[inline(always)]
fn softplus<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
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

#[cfg(test)]
mod tests {
    use super::super::over_all_floats;
    use super::*;
    use crate::simd::{Kernel, Level, Token, dispatch};

    const ALL: [Activation; 13] = [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu { alpha: 0.125 },
        Activation::ThresholdedRelu { alpha: 0.75 },
        Activation::ThresholdedRelu { alpha: -0.75 },
        Activation::ScaledTanh { alpha: 1.25, beta: 0.5 },
        Activation::HardSigmoid { alpha: 0.25, beta: 0.5 },
        Activation::Elu { alpha: 1.0 },
        Activation::Elu { alpha: 0.5 },
        Activation::Softsign,
        Activation::Softplus,
        Activation::Affine { alpha: 0.75, beta: 0.0 },
    ];

    /// Value and slope by their definitions.
    fn exact(activation: Activation, x: f64) -> (f64, f64) {
        let [a, b] = activation.parameters().map(f64::from);
        match activation {
            Activation::Sigmoid => {
                let y = 1.0 / (1.0 + (-x).exp());
                (y, y * (1.0 - y))
            }
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
            Activation::Relu if x > 0.0 => (x, 1.0),
            Activation::Relu => (0.0, 0.0),
            Activation::LeakyRelu { .. } if x < 0.0 => (a * x, a),
            Activation::ThresholdedRelu { .. } if x < a => (0.0, 0.0),
            Activation::LeakyRelu { .. } | Activation::ThresholdedRelu { .. } => (x, 1.0),
            Activation::ScaledTanh { .. } => (a * (b * x).tanh(), a * b * (1.0 - (b * x).tanh().powi(2))),
            Activation::HardSigmoid { .. } if a * x + b < 0.0 => (0.0, 0.0),
            Activation::HardSigmoid { .. } if a * x + b > 1.0 => (1.0, 0.0),
            Activation::HardSigmoid { .. } => (a * x + b, a),
            Activation::Elu { .. } if x < 0.0 => (a * x.exp_m1(), a * x.exp()),
            Activation::Elu { .. } => (x, 1.0),
            Activation::Softsign => (x / (1.0 + x.abs()), (1.0 + x.abs()).powi(-2)),
            Activation::Softplus => (x.max(0.0) + (-x.abs()).exp().ln_1p(), 1.0 / (1.0 + (-x).exp())),
            Activation::Affine { .. } => (a * x + b, a),
        }
    }

    /// Values and slopes of a slice whose length is a multiple of sixteen.
    struct Evaluate<'a>(Activation, f32, &'a mut [f32], &'a mut [f32]);
    impl Kernel for Evaluate<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Evaluate(activation, clip, x, slopes) = self;
            let gates = [Gate { index: 1, activation, clip }];
            for (x, slope) in x.chunks_exact_mut(I::LANES).zip(slopes.chunks_exact_mut(I::LANES)) {
                // The gate beside it must stay as it is.
                let mut tile = [[isa.splat(9.0), isa.load(x)]];
                let (mut same, mut slopes) = (tile, tile);
                activate_with_slopes(isa, &mut tile, &mut slopes, &gates);
                activate(isa, &mut same, &gates);
                isa.store(x, same[0][0]);
                assert!(x.iter().all(|&v| v == 9.0));
                isa.store(x, same[0][1]);
                isa.store(slope, tile[0][1]);
                // (The bits of a NaN are nobody's promise.)
                assert!(
                    x.iter()
                        .zip(&*slope)
                        .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
                );
                isa.store(slope, slopes[0][1]);
            }
        }
    }

    fn evaluate(token: Token, activation: Activation, clip: f32, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut values = x.to_vec();
        values.resize(x.len().next_multiple_of(16), 0.0);
        let mut slopes = vec![0.0; values.len()];
        dispatch(token, Evaluate(activation, clip, &mut values, &mut slopes));
        values.truncate(x.len());
        slopes.truncate(x.len());
        (values, slopes)
    }

    /// The distance in units of the last place of the exact value.
    fn ulp(got: f32, exact: f64) -> f64 {
        let nearest = (exact as f32).abs().clamp(f32::MIN_POSITIVE, 3e38);
        (f64::from(got) - exact).abs() / f64::from(nearest.next_up() - nearest)
    }

    /// The largest errors seen, and where: of the value in units of its last place, for arguments in -87..=87; of the
    /// slope in units of the last place of one (slopes are differences).
    #[derive(Debug, Clone, Copy, Default)]
    struct Worst {
        value: (f64, f32),
        slope: (f64, f32),
    }

    impl Worst {
        fn see(&mut self, value: (f64, f32), slope: (f64, f32)) {
            self.value = if value.0 > self.value.0 { value } else { self.value };
            self.slope = if slope.0 > self.slope.0 { slope } else { self.slope };
        }
    }

    /// Checks these floats.
    fn check(x: &[f32], activation: Activation, level: Level) -> Worst {
        let mut worst = Worst::default();
        let (values, slopes) = evaluate(level.token().unwrap(), activation, f32::INFINITY, x);
        for ((&x, value), slope) in x.iter().zip(values).zip(slopes) {
            if x.is_nan() {
                assert!(value.is_nan(), "{activation:?} of NaN on {level}");
                continue;
            }
            let (want, want_slope) = exact(activation, f64::from(x));
            if x.abs() <= LIMIT {
                let slope = (f64::from(slope) - want_slope).abs() / f64::from(f32::EPSILON);
                worst.see((ulp(value, want), x), (slope, x));
            } else if x.is_finite() {
                let error = (f64::from(value) - want).abs();
                assert!(
                    error <= 1e-6 * want.abs().max(1e-31),
                    "{activation:?}({x:e}) = {value:e} on {level}"
                );
            }
        }
        worst
    }

    /// The contract that the crate docs state.
    fn assert_bounds(worst: Worst, activation: Activation, level: Level) {
        println!("{activation:?} {level}: {worst:?}");
        let bound = match activation {
            Activation::Softplus => 2.8,
            Activation::Elu { alpha: 1.0 } => 1.2,
            Activation::Softsign => 1.5,
            // A scale and a slope are rounded besides.
            _ => 3.5,
        };
        assert!(worst.value.0 <= bound, "{activation:?} on {level}: {worst:?}");
        assert!(worst.slope.0 <= 3.0, "slope of {activation:?} on {level}: {worst:?}");
    }

    #[test]
    fn values_and_slopes_are_exact_to_a_few_units_in_the_last_place() {
        // A prime step visits all exponents and both signs.
        let x: Vec<f32> = (0..=u32::MAX).step_by(9973).map(f32::from_bits).collect();
        for level in Level::available() {
            for activation in ALL {
                assert_bounds(check(&x, activation, level), activation, level);
            }
        }
    }

    /// All 2^32 floats on all levels, of those that are more than a product and a sum:
    /// `cargo test --release --lib exhaustive -- --ignored --nocapture`.
    #[test]
    #[ignore = "four billion evaluations of each, some minutes"]
    fn exhaustive() {
        for activation in [Activation::Elu { alpha: 1.0 }, Activation::Softplus, Activation::Softsign] {
            let worst = std::sync::Mutex::new(vec![Worst::default(); Level::available().count()]);
            over_all_floats(|floats| {
                for (n, level) in Level::available().enumerate() {
                    let seen = check(floats, activation, level);
                    worst.lock().unwrap()[n].see(seen.value, seen.slope);
                }
            });
            for (worst, level) in worst.into_inner().unwrap().into_iter().zip(Level::available()) {
                assert_bounds(worst, activation, level);
            }
        }
    }

    #[test]
    fn infinity_gives_the_limits() {
        let x = [f32::INFINITY, f32::NEG_INFINITY];
        for level in Level::available() {
            let of = |activation| evaluate(level.token().unwrap(), activation, f32::INFINITY, &x).0;
            assert_eq!(of(Activation::Softsign), [1.0, -1.0]);
            assert_eq!(of(Activation::Elu { alpha: 2.0 }), [f32::INFINITY, -2.0]);
            assert_eq!(of(Activation::Relu), [f32::INFINITY, 0.0]);
            assert_eq!(of(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }), [1.0, 0.0]);
            let softplus = of(Activation::Softplus);
            assert!(softplus[0] == f32::INFINITY && softplus[1] < 1.7e-38);
        }
    }

    #[test]
    fn a_clip_bounds_the_argument_and_stops_the_slope() {
        let x = [-3.0, -0.5, -0.25, 0.0, 0.25, 0.5, 3.0, f32::NAN];
        for level in Level::available() {
            for activation in ALL {
                let (values, slopes) = evaluate(level.token().unwrap(), activation, 0.5, &x);
                let clamped = x.map(|x| x.clamp(-0.5, 0.5));
                let (want, free) = evaluate(level.token().unwrap(), activation, f32::INFINITY, &clamped);
                assert_eq!(values[..7], want[..7]);
                assert!(values[7].is_nan());
                assert_eq!(slopes[1..6], free[1..6]);
                assert_eq!([slopes[0], slopes[6]], [0.0; 2]);
            }
        }
    }
}
