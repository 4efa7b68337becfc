//! The logistic sigmoid and tanh.
//!
//! Both start from one piece, `2^n` and `d = 1 - e^r` with `-x = n ln 2 + r`, `|r| <= ln 2 / 2`:
//!
//! ```text
//! n    = round(-x / ln 2)                  by adding and subtracting 1.5 * 2^23
//! -r   = x + n * ln2_high + n * ln2_low    exact to 2^-33 (Cody, Waite: n * ln2_high has no rounding)
//! d    = -r - r^2 q(r)                     q of degree 4, Chebyshev fit of (e^r - 1 - r) / r^2;
//!                                          relative error of d 2.5e-8, also for the smallest r
//! sigmoid(x) = 1 / (1 + 2^n - 2^n d)
//! tanh(|x|)  = u / (2 - u),  u = 1 - e^(-2|x|) = (1 - 2^n) + 2^n d
//! ```
//!
//! `d` is kept apart from 1, and so the relative error of tanh is small near zero too, where a quotient of
//! two exponentials would cancel. tanh is computed on `|x|`, so it is exactly odd.
//!
//! **Ports.** The two ports that multiply bound a cell's activations: a sigmoid takes 23 operations of
//! sixteen floats, a tanh 22. The divider works beside these ports, but takes 10 to 16 cycles for sixteen
//! floats: fast enough for the two tanh of an LSTM, too slow for all five activations. So tanh divides, and
//! the reciprocal of a sigmoid is made of products ([`Isa::recip`]). That is 3 to 4 % faster than products
//! for both (`X207/divide` of `benches/record/`).
//!
//! Errors over all floats in -87..=87 are at most 2.5 units in the last place for both; the test `exhaustive`
//! below measures them, and the crate docs state them. NaN gives NaN. Arguments are clamped to +-87, beyond
//! which a sigmoid is 0 or 1 to within 1.7e-38.

use crate::simd::Isa;

/// `1.5 * 2^23`: adding it to a float below 2^22 rounds it to an integer, which then stands in the low
/// bits.
const SHIFT: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The first nine bits of ln 2, so that a product with `|n| < 2^15` is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `q(r)`, highest power first.
const Q: [f32; 5] = [1.392_626_8e-3, 8.363_247e-3, 4.166_655_2e-2, 1.666_657_6e-1, 0.5];
/// The clamp of an exponent: `e^87 = 6.1e37` and its reciprocal are both normal floats.
pub(super) const LIMIT: f32 = 87.0;

/// `(2^n, 1 - e^r)` of `-x = n ln 2 + r`. Exact for `|x| <= 87.3`. (Both functions need `-x`: the signs go
/// into the operations, so that no negation is needed.)
#[inline(always)]
pub(super) fn exp_parts_of_negated<I: Isa>(isa: I, x: I::Vector) -> (I::Vector, I::Vector) {
    let shift = isa.splat(SHIFT);
    let shifted = isa.neg_mul_add(x, isa.splat(LOG2_E), shift);
    let n = isa.sub(shifted, shift);
    // -r, and so the signs alternate below.
    let s = isa.mul_add(n, isa.splat(LN2_HIGH), x);
    let s = isa.mul_add(n, isa.splat(LN2_LOW), s);
    let mut q = isa.splat(Q[0]);
    for &coefficient in &Q[1..] {
        q = isa.neg_mul_add(q, s, isa.splat(coefficient));
    }
    let d = isa.neg_mul_add(isa.mul(s, s), q, s);
    (isa.exp2_of_shifted(shifted), d)
}

/// The logistic sigmoid `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let x = isa.clamp(x, LIMIT);
    let (scale, d) = exp_parts_of_negated(isa, x);
    let one_and_scale = isa.add(isa.splat(1.0), scale);
    isa.recip(isa.neg_mul_add(scale, d, one_and_scale))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let doubled = isa.add(isa.abs(x), isa.abs(x));
    let (scale, d) = exp_parts_of_negated(isa, isa.min(isa.splat(LIMIT), doubled));
    let u = isa.mul_add(scale, d, isa.sub(isa.splat(1.0), scale));
    let magnitude = isa.div(u, isa.sub(isa.splat(2.0), u));
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

#[cfg(test)]
mod tests {
    use super::super::over_all_floats;
    use super::*;
    use crate::simd::{Dispatched, Level, Token, dispatch};

    /// A function of one float, by its definition in f64 and by the kernel.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Function {
        Sigmoid,
        Tanh,
    }

    impl Function {
        fn exact(self, x: f32) -> f64 {
            let x = f64::from(x);
            match self {
                Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Function::Tanh => x.tanh(),
            }
        }
    }

    /// Evaluates a function on a slice whose length is a multiple of sixteen.
    struct Evaluate<'a>(Function, &'a [f32], &'a mut [f32]);
    impl Dispatched for Evaluate<'_> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Evaluate(function, from, to) = self;
            for (from, to) in from.chunks_exact(I::LANES).zip(to.chunks_exact_mut(I::LANES)) {
                let x = isa.load(from);
                let y = match function {
                    Function::Sigmoid => sigmoid(isa, x),
                    Function::Tanh => tanh(isa, x),
                };
                isa.store(to, y);
            }
        }
    }

    fn evaluate(token: Token, function: Function, x: &[f32]) -> Vec<f32> {
        let mut padded = x.to_vec();
        padded.resize(x.len().next_multiple_of(16), 0.0);
        let mut y = vec![0.0; padded.len()];
        dispatch(token, Evaluate(function, &padded, &mut y));
        y.truncate(x.len());
        y
    }

    /// The largest errors seen, and where.
    #[derive(Debug, Clone, Copy, Default)]
    struct Worst {
        /// In units of the last place of the exact value, among arguments in -87..=87.
        ulp: (f64, f32),
        absolute: (f64, f32),
    }

    impl Worst {
        fn see(&mut self, x: f32, got: f32, exact: f64) {
            let error = (f64::from(got) - exact).abs();
            if error > self.absolute.0 {
                self.absolute = (error, x);
            }
            let nearest = (exact as f32).abs().max(f32::MIN_POSITIVE);
            let unit = f64::from(nearest.next_up() - nearest);
            if x.abs() <= LIMIT && error / unit > self.ulp.0 {
                self.ulp = (error / unit, x);
            }
        }
        fn merge(&mut self, other: Worst) {
            if other.ulp.0 > self.ulp.0 {
                self.ulp = other.ulp;
            }
            if other.absolute.0 > self.absolute.0 {
                self.absolute = other.absolute;
            }
        }
    }

    /// The contract that the crate docs state, on every level: the largest error in units of the last place
    /// for |x| <= 87, and the largest absolute error for all x. (Beyond 87, `check` asks for the limit.)
    fn bounds(function: Function) -> (f64, f64) {
        match function {
            Function::Sigmoid => (2.5, 9e-8),
            Function::Tanh => (2.5, 1.5e-7),
        }
    }

    /// Checks floats on all levels; returns the worst of each.
    fn check(x: &[f32], function: Function, levels: &[Level]) -> Vec<Worst> {
        let exact: Vec<f64> = x.iter().map(|&x| function.exact(x)).collect();
        let mut worst = vec![Worst::default(); levels.len()];
        for (worst, &level) in worst.iter_mut().zip(levels) {
            let y = evaluate(level.token().unwrap(), function, x);
            for ((&x, y), &exact) in x.iter().zip(y).zip(&exact) {
                if x.is_nan() {
                    assert!(y.is_nan(), "{function:?}({x}) = {y} on {level}");
                    continue;
                }
                let range = if function == Function::Tanh { -1.0..=1.0 } else { 0.0..=1.0 };
                assert!(range.contains(&y), "{function:?}({x}) = {y} on {level}");
                if x.abs() > LIMIT {
                    let (near, limit) = if function == Function::Tanh {
                        (0.0, x.signum())
                    } else {
                        (1.7e-38, f32::from(x > 0.0))
                    };
                    assert!((y - limit).abs() <= near, "{function:?}({x}) = {y} on {level}");
                }
                worst.see(x, y, exact);
            }
        }
        worst
    }

    fn assert_bounds(worst: &[Worst], function: Function, levels: &[Level]) {
        for (worst, &level) in worst.iter().zip(levels) {
            let (ulp, absolute) = bounds(function);
            assert!(worst.ulp.0 <= ulp && worst.absolute.0 <= absolute, "{function:?} on {level}: {worst:?}");
        }
    }

    #[test]
    fn errors_stay_below_their_bounds_on_a_sample() {
        let levels: Vec<Level> = Level::available().collect();
        for function in [Function::Sigmoid, Function::Tanh] {
            // A prime step visits all exponents and both signs.
            let sample: Vec<f32> = (0..=u32::MAX).step_by(3571).map(f32::from_bits).collect();
            let worst = check(&sample, function, &levels);
            assert_bounds(&worst, function, &levels);
        }
    }

    #[test]
    fn tanh_is_odd_and_both_are_exact_where_they_must_be() {
        for level in Level::available() {
            let token = level.token().unwrap();
            let x: Vec<f32> =
                (0..u32::MAX / 2).step_by(9973).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
            let negated: Vec<f32> = x.iter().map(|x| -x).collect();
            let (plus, minus) =
                (evaluate(token, Function::Tanh, &x), evaluate(token, Function::Tanh, &negated));
            for ((x, plus), minus) in x.iter().zip(plus).zip(minus) {
                assert_eq!(plus.to_bits(), (-minus).to_bits(), "tanh(+-{x}) on {level}");
            }
            let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 100.0, -100.0];
            assert_eq!(evaluate(token, Function::Tanh, &special), [0.0, -0.0, 1.0, -1.0, 1.0, -1.0]);
            let sigmoid = evaluate(token, Function::Sigmoid, &special);
            assert_eq!(sigmoid[..3], [0.5, 0.5, 1.0]);
            assert!(sigmoid[3] < 1.7e-38 && sigmoid[4] == 1.0 && sigmoid[5] < 1.7e-38);
        }
    }

    /// All 2^32 floats on all levels: `cargo test --release --lib exhaustive -- --ignored --nocapture`.
    #[test]
    #[ignore = "four billion evaluations of each, some minutes"]
    fn exhaustive() {
        let levels: Vec<Level> = Level::available().collect();
        for function in [Function::Sigmoid, Function::Tanh] {
            let worst = std::sync::Mutex::new(vec![Worst::default(); levels.len()]);
            over_all_floats(|floats| {
                let seen = check(floats, function, &levels);
                worst.lock().unwrap().iter_mut().zip(seen).for_each(|(worst, seen)| worst.merge(seen));
            });
            let worst = worst.into_inner().unwrap();
            for (worst, level) in worst.iter().zip(&levels) {
                println!(
                    "{function:?} {level}: {:.3} ulp at {:e}, absolute {:.3e} at {:e}",
                    worst.ulp.0, worst.ulp.1, worst.absolute.0, worst.absolute.1
                );
            }
            assert_bounds(&worst, function, &levels);
        }
    }
}
