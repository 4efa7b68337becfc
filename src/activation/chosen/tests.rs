//! Values and slopes of every activation against their definitions in f64, on every level.

use super::super::over_all_floats;
use super::super::sigmoid_tanh::LIMIT;
use super::*;
use crate::simd::{Dispatched, Level, Token, dispatch};
use rayon::prelude::*;

const ALL: [Activation; 28] = [
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
    Activation::Silu,
    Activation::Gelu,
    Activation::Selu,
    Activation::Exponential,
    Activation::HardSilu,
    Activation::Clamp { low: 0.0, high: 6.0 },
    Activation::Clamp { low: -1.0, high: 1.0 },
    Activation::Mish,
    Activation::LogSigmoid,
    Activation::SoftShrink { lambda: 0.5 },
    Activation::SoftShrink { lambda: 2.25 },
    Activation::HardShrink { lambda: 0.5 },
    Activation::TanhShrink,
    Activation::SquarePlus,
    Activation::SparsePlus,
];

/// The distribution function of the normal distribution: its series, and in the lower tail its continued
/// fraction.
fn normal_distribution(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    if x < -3.0 {
        return density / (1..200).rev().fold(-x, |rest, k| -x + f64::from(k) / rest);
    }
    if x > 9.0 {
        return 1.0;
    }
    let series = (1..200).scan(x, |term, k| {
        *term *= x * x / f64::from(2 * k + 1);
        Some(*term)
    });
    0.5 + density * (x + series.sum::<f64>())
}

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
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            (if x < -700.0 { 0.0 } else { x * s }, s + x.clamp(-700.0, 700.0) * s * (1.0 - s))
        }
        Activation::Gelu => {
            let (p, density) = (normal_distribution(x), (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt());
            (if x < -40.0 { 0.0 } else { x * p }, p + x.clamp(-40.0, 40.0) * density)
        }
        Activation::Selu => {
            let (scale, alpha) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);
            if x < 0.0 { (scale * alpha * x.exp_m1(), scale * alpha * x.exp()) } else { (scale * x, scale) }
        }
        Activation::Exponential => (x.exp(), x.exp()),
        Activation::HardSilu if x < -3.0 => (0.0, 0.0),
        Activation::HardSilu if x > 3.0 => (x, 1.0),
        Activation::HardSilu => (x * (x + 3.0) / 6.0, (2.0 * x + 3.0) / 6.0),
        Activation::Clamp { .. } => (x.clamp(a, b), if (a..=b).contains(&x) { 1.0 } else { 0.0 }),
        Activation::Mish => {
            // Of e^x, or of e^-x, both numerators without differences.
            let v = (-x.abs()).exp();
            let parts = if x < 0.0 { [v * (v + 2.0), 2.0] } else { [1.0 + 2.0 * v, 2.0 * v * v] };
            let [t, rest] = parts.map(|part| part / (parts[0] + parts[1]));
            let slope = t + x.clamp(-700.0, 700.0) * rest * (1.0 + t) / (1.0 + (-x).exp());
            (if x < -700.0 { 0.0 } else { x * t }, slope)
        }
        Activation::LogSigmoid => (x.min(0.0) - (-x.abs()).exp().ln_1p(), 1.0 / (1.0 + x.exp())),
        Activation::SoftShrink { .. } if x.abs() > a => (x - a * x.signum(), 1.0),
        Activation::HardShrink { .. } if x.abs() > a => (x, 1.0),
        Activation::SoftShrink { .. } | Activation::HardShrink { .. } => (0.0, 0.0),
        Activation::TanhShrink => {
            // Below 0.01 the series, as the difference cancels in f64 too.
            let w = x * x;
            let near = x * w * (1.0 / 3.0 - w * (2.0 / 15.0 - w * (17.0 / 315.0 - w * 62.0 / 2835.0)));
            (if x.abs() < 0.01 { near } else { x - x.tanh() }, x.tanh().powi(2))
        }
        Activation::SquarePlus => {
            let root = 0.5 * x.abs() + (0.25 * x * x + 1.0).sqrt();
            let y = if x < 0.0 { 1.0 / root } else { root };
            (y, y * y / (1.0 + y * y))
        }
        Activation::SparsePlus if x <= -1.0 => (0.0, 0.0),
        Activation::SparsePlus if x >= 1.0 => (x, 1.0),
        Activation::SparsePlus => ((x + 1.0).powi(2) / 4.0, (x + 1.0) / 2.0),
    }
}

/// Values and slopes of a slice whose length is a multiple of sixteen.
struct Evaluate<'a>(Activation, f32, &'a mut [f32], &'a mut [f32]);
impl Dispatched for Evaluate<'_> {
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
                x.iter().zip(&*slope).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
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

/// The largest errors seen, and where: of the value in units of its last place, for arguments in -87..=87; of
/// the slope in units of the last place of one (slopes are differences).
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

/// Whether a value is one of those small ones of a new function for which an absolute bound is promised.
fn below_the_flush(activation: Activation, want: f64) -> bool {
    let smooth = matches!(activation, Activation::Silu | Activation::Gelu | Activation::Mish);
    let small = smooth || matches!(activation, Activation::Exponential | Activation::TanhShrink);
    small && want.abs() < 1e-30
}

/// Checks these floats on each level; the exact values are the same for all.
fn check(x: &[f32], activation: Activation) -> Vec<(Level, Worst)> {
    let of_level = |level: Level| evaluate(level.token().unwrap(), activation, f32::INFINITY, x);
    let got: Vec<_> = Level::available().map(of_level).collect();
    let mut worst: Vec<_> = Level::available().map(|level| (level, Worst::default())).collect();
    for (n, &x) in x.iter().enumerate() {
        if x.is_nan() {
            assert!(got.iter().all(|(values, _)| values[n].is_nan()), "{activation:?} of NaN");
            continue;
        }
        let want = exact(activation, f64::from(x));
        for ((values, slopes), (level, worst)) in got.iter().zip(&mut worst) {
            see((activation, x), (values[n], slopes[n]), want, worst, *level);
        }
    }
    worst
}

/// Compares a value and a slope with the exact ones.
fn see(
    (activation, x): (Activation, f32),
    (value, slope): (f32, f32),
    (want, want_slope): (f64, f64),
    worst: &mut Worst,
    level: Level,
) {
    let off = (f64::from(value) - want).abs();
    if x.abs() <= LIMIT {
        // (Of a slope above one, in units of its own last place.)
        let unit = f64::from(f32::EPSILON) * want_slope.abs().max(1.0);
        let slope = (f64::from(slope) - want_slope).abs() / unit;
        let error = if below_the_flush(activation, want) {
            assert!(off <= 2e-36, "{activation:?}({x:e}) = {value:e} on {level}");
            0.0
        } else {
            ulp(value, want)
        };
        worst.see((error, x), (slope, x));
    } else if x.is_finite() && !(below_the_flush(activation, want) && value.abs() <= 2e-36) {
        // (A value beyond the floats is infinite.)
        let is_beyond = want > f64::from(f32::MAX) && value == f32::INFINITY;
        let bound = 1e-6 * want.abs().max(1e-31);
        assert!(is_beyond || off <= bound, "{activation:?}({x:e}) = {value:e} on {level}");
    }
}

/// The contract that the crate docs state.
fn assert_bounds(worst: Worst, activation: Activation, level: Level) {
    println!("{activation:?} {level}: {worst:?}");
    let bound = match activation {
        Activation::Softplus => 2.8,
        // (Half of it is one minus a half, near zero.)
        Activation::Gelu => 8.0,
        Activation::TanhShrink | Activation::Mish | Activation::SquarePlus => 5.0,
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
    // A prime step visits all exponents and both signs. (The test `unit`, which is not optimised, takes a
    // quarter of these; `--lib` takes all.)
    let step = if env!("CARGO_CRATE_NAME") == "unit" { 39_883 } else { 9973 };
    let x: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).collect();
    ALL.into_par_iter().for_each(|activation| {
        for (level, worst) in check(&x, activation) {
            assert_bounds(worst, activation, level);
        }
    });
}

/// All 2^32 floats on all levels, of those that are more than a product and a sum (but for Gelu, whose
/// definition is a long series): `cargo test --release --lib exhaustive -- --ignored --nocapture`.
#[test]
#[ignore = "four billion evaluations of each, some minutes"]
fn exhaustive() {
    for activation in [
        Activation::Elu { alpha: 1.0 },
        Activation::Softplus,
        Activation::Softsign,
        Activation::Silu,
        Activation::Exponential,
        Activation::Mish,
        Activation::TanhShrink,
        Activation::SquarePlus,
    ] {
        let worst = std::sync::Mutex::new(vec![Worst::default(); Level::available().count()]);
        over_all_floats(|floats| {
            for (n, (_, seen)) in check(floats, activation).into_iter().enumerate() {
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
