//! Learning rates that change during training.
//!
//! A [`RateSchedule`] is a function of time: the factor of the learning rate at step (or epoch) `t`, counted
//! from 0. A [`Plateau`] looks at what came of training. The values are those of
//! `torch.optim.lr_scheduler`; `lr` is the rate that the optimiser began with, `m` the minimum as a factor:
//!
//! | here | in PyTorch | factor at `t` |
//! | --- | --- | --- |
//! | [`RateSchedule::step`] | `StepLR(every, factor)` | `factor^floor(t / every)` |
//! | [`RateSchedule::exponential`] | `ExponentialLR(factor)` | `factor^t` |
//! | [`RateSchedule::cosine`] | `CosineAnnealingLR(steps, lr m)` | `m + (1 - m) (1 + cos(pi t / steps)) / 2` |
//! | [`RateSchedule::linear`] | `LinearLR(from, to, steps)` | `from + (to - from) min(t, steps) / steps` |
//! | [`then`](RateSchedule::then) | `SequentialLR` | first at `t`, from `end` on second at `t - end` |
//! | [`times`](RateSchedule::times) | `ChainedScheduler` | product of both |
//! | [`Plateau`] | `ReduceLROnPlateau` | |
//!
//! They change nothing themselves; `optimizer.set_learning_rate(schedule.rate(lr, t))` does. A schedule has
//! no state: training is resumed from the number of the step.
//!
//! ```
//! use fused_rnn::train::{Adam, AdamConfig, Optimizer, RateSchedule};
//!
//! // A linear warm-up over 10 steps, then half a cosine over 90.
//! let schedule = RateSchedule::warm_up(0.1, 10)?.then(10, RateSchedule::cosine(90, 0.01)?);
//! let mut adam = Adam::new(1, AdamConfig::default())?;
//! let mut parameters = [1.0];
//! for t in 0..100 {
//!     adam.set_learning_rate(schedule.rate(1e-3, t))?;
//!     adam.step(&mut parameters, &[0.5])?;
//! }
//! assert!((schedule.factor(5) - 0.55).abs() < 1e-12 && schedule.factor(10) == 1.0);
//! assert!((schedule.factor(100) - 0.01).abs() < 1e-12);
//! # Ok::<(), fused_rnn::Error>(())
//! ```
//!
//! A schedule of others is a tree, which may be as deep as a loop makes it. So it lies in one row, each part
//! after its own parts, and nothing (clone, comparison, evaluation, drop) goes down it by recursion:
//!
//! ```text
//! a.then(5, b.times(c))       a  b  c  Times { second: 1 }  Then { end: 5, second: 3 }
//!                                   with how many places before it the second part has
//! ```
//!
//! ```text
//! plateau.rs   the rate that falls where a value does not improve
//! ```

mod plateau;

pub use plateau::{Plateau, PlateauConfig};

use crate::Error;
use std::collections::VecDeque;

/// A learning rate as a function of time, in proportion to the one at the beginning. Time is counted as the
/// caller likes it, in steps or in epochs.
#[doc(alias = "lr_scheduler", alias = "LearningRateScheduler")]
#[derive(Debug, Clone, PartialEq)]
pub struct RateSchedule {
    /// In the order at the head of the file. It grows at both ends: whichever part is shorter is moved.
    curves: VecDeque<Curve>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Curve {
    Constant,
    Step { every: u64, factor: f64 },
    Cosine { steps: u64, minimum: f64 },
    Linear { from: f64, to: f64, steps: u64 },
    Then { end: u64, second: usize },
    Times { second: usize },
}

/// What a product waits for while one of its parts is evaluated.
enum Waiting {
    /// The first part, which ends at this place, at this time.
    First(usize, u64),
    /// A number to be multiplied by: the second part.
    Product(f64),
}

impl RateSchedule {
    /// The same rate all the time.
    pub fn constant() -> Self {
        RateSchedule::of(Curve::Constant)
    }

    /// Multiplies the rate by `factor` after each `every` steps. PyTorch's `StepLR`.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] for no steps, [`Error::OutOfRange`] for a factor that is negative or not finite.
    ///
    /// ```
    /// use fused_rnn::train::RateSchedule;
    ///
    /// let schedule = RateSchedule::step(30, 0.5)?;
    /// assert_eq!([0, 29, 30, 60].map(|epoch| schedule.rate(0.4, epoch)), [0.4, 0.4, 0.2, 0.1]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn step(every: u64, factor: f64) -> Result<Self, Error> {
        let every = at_least_one("every", every)?;
        Ok(RateSchedule::of(Curve::Step { every, factor: check("factor", factor)? }))
    }

    /// Multiplies the rate by `factor` after each step. PyTorch's `ExponentialLR`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a factor that is negative or not finite.
    ///
    /// ```
    /// use fused_rnn::train::RateSchedule;
    ///
    /// assert_eq!(RateSchedule::exponential(0.5)?.rate(0.8, 3), 0.1);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn exponential(factor: f64) -> Result<Self, Error> {
        RateSchedule::step(1, factor)
    }

    /// Half a cosine from the rate of the beginning to `minimum` times it, at `steps`. PyTorch's
    /// `CosineAnnealingLR`, whose `eta_min` is the rate itself. Loshchilov & Hutter, *SGDR: stochastic
    /// gradient descent with warm restarts*, ICLR 2017, equation 5.
    ///
    /// After `steps` the cosine goes on, as in PyTorch: the rate rises again. To stay at the minimum, let
    /// [`then`](RateSchedule::then) follow.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] for no steps, [`Error::OutOfRange`] for a minimum that is negative or not finite.
    ///
    /// ```
    /// use fused_rnn::train::RateSchedule;
    ///
    /// let low = RateSchedule::constant().times(RateSchedule::linear(0.1, 0.1, 1)?);
    /// let schedule = RateSchedule::cosine(100, 0.1)?.then(100, low);
    /// assert!((schedule.factor(50) - 0.55).abs() < 1e-12);
    /// assert_eq!(schedule.factor(150), 0.1);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn cosine(steps: u64, minimum: f64) -> Result<Self, Error> {
        let (steps, minimum) = (at_least_one("steps", steps)?, check("minimum", minimum)?);
        Ok(RateSchedule::of(Curve::Cosine { steps, minimum }))
    }

    /// A straight line from `from` times the rate to `to` times it, reached at `steps` and kept. PyTorch's
    /// `LinearLR`.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] for no steps, [`Error::OutOfRange`] for a factor that is negative or not finite.
    ///
    /// ```
    /// use fused_rnn::train::RateSchedule;
    ///
    /// let decay = RateSchedule::linear(1.0, 0.5, 4)?;
    /// assert_eq!([0, 2, 4, 9].map(|t| decay.factor(t)), [1.0, 0.75, 0.5, 0.5]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn linear(from: f64, to: f64, steps: u64) -> Result<Self, Error> {
        let (from, to) = (check("from", from)?, check("to", to)?);
        Ok(RateSchedule::of(Curve::Linear { from, to, steps: at_least_one("steps", steps)? }))
    }

    /// A linear warm-up: from `from` times the rate to the rate itself, in `steps`. PyTorch's `LinearLR` with
    /// an end factor of 1.
    ///
    /// # Errors
    /// Those of [`linear`](RateSchedule::linear).
    pub fn warm_up(from: f64, steps: u64) -> Result<Self, Error> {
        RateSchedule::linear(from, 1.0, steps)
    }

    /// This schedule before `end`, and from there on the next one, whose time begins there. PyTorch's
    /// `SequentialLR`.
    pub fn then(self, end: u64, next: RateSchedule) -> Self {
        let second = next.curves.len();
        self.joined(next, Curve::Then { end, second })
    }

    /// Both schedules at once, their factors multiplied. PyTorch's `ChainedScheduler`.
    ///
    /// ```
    /// use fused_rnn::train::RateSchedule;
    ///
    /// let schedule = RateSchedule::warm_up(0.5, 2)?.times(RateSchedule::step(2, 0.1)?);
    /// assert_eq!([0, 1, 2].map(|t| schedule.factor(t)), [0.5, 0.75, 0.1]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn times(self, other: RateSchedule) -> Self {
        let second = other.curves.len();
        self.joined(other, Curve::Times { second })
    }

    /// The factor of the learning rate at time `t`.
    pub fn factor(&self, mut t: u64) -> f64 {
        let mut waiting = Vec::new();
        let mut place = self.curves.len() - 1;
        loop {
            let mut factor = match self.curves[place] {
                Curve::Then { end, second } => {
                    place -= 1;
                    match t.checked_sub(end) {
                        None => place -= second,
                        Some(later) => t = later,
                    }
                    continue;
                }
                Curve::Times { second } => {
                    place -= 1;
                    waiting.push(Waiting::First(place - second, t));
                    continue;
                }
                curve => curve.factor(t),
            };
            loop {
                match waiting.pop() {
                    None => return factor,
                    Some(Waiting::Product(second)) => factor *= second,
                    Some(Waiting::First(first, at)) => {
                        waiting.push(Waiting::Product(factor));
                        (place, t) = (first, at);
                        break;
                    }
                }
            }
        }
    }

    /// The learning rate at time `t` of one that begins with `base`: `base * factor(t)`.
    pub fn rate(&self, base: f64, t: u64) -> f64 {
        base * self.factor(t)
    }

    fn of(curve: Curve) -> Self {
        RateSchedule { curves: VecDeque::from([curve]) }
    }

    /// This schedule, the second one, and what is made of both.
    fn joined(mut self, mut second: RateSchedule, curve: Curve) -> Self {
        if self.curves.len() < second.curves.len() {
            while let Some(last) = self.curves.pop_back() {
                second.curves.push_front(last);
            }
            self = second;
        } else {
            self.curves.append(&mut second.curves);
        }
        self.curves.push_back(curve);
        self
    }
}

impl Curve {
    /// Of one that is made of no others.
    fn factor(self, t: u64) -> f64 {
        match self {
            Curve::Step { every, factor } => factor.powf((t / every) as f64),
            Curve::Cosine { steps, minimum } => {
                // Of one period alone: the cosine of a large number would lose its digits.
                let part = (u128::from(t) % (2 * u128::from(steps))) as f64 / steps as f64;
                minimum + (1.0 - minimum) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
            Curve::Linear { to, steps, .. } if t >= steps => to,
            Curve::Linear { from, to, steps } => from + (to - from) * (t as f64 / steps as f64),
            Curve::Constant | Curve::Then { .. } | Curve::Times { .. } => 1.0,
        }
    }
}

fn at_least_one(what: &'static str, steps: u64) -> Result<u64, Error> {
    if steps == 0 { Err(Error::ZeroSize { what }) } else { Ok(steps) }
}

fn check(what: &'static str, factor: f64) -> Result<f64, Error> {
    match factor.is_finite() && factor >= 0.0 {
        true => Ok(factor),
        false => Err(Error::OutOfRange { what, expected: "a finite number of at least 0", got: factor }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn schedules_follow_their_formulas_to_the_ends_of_time() {
        let cosine = RateSchedule::cosine(4, 0.2).unwrap();
        for (t, want) in [(0, 1.0), (2, 0.6), (4, 0.2), (6, 0.6), (8, 1.0), (8 << 40, 1.0)] {
            assert_abs_diff_eq!(cosine.factor(t), want, epsilon = 1e-12);
        }
        assert!(RateSchedule::cosine(u64::MAX, 0.0).unwrap().factor(u64::MAX).abs() < 1e-12);
        assert_eq!(RateSchedule::exponential(0.5).unwrap().factor(u64::MAX), 0.0);
        let then = RateSchedule::warm_up(0.0, 4).unwrap().then(2, RateSchedule::step(1, 0.5).unwrap());
        assert_eq!([0, 1, 2, 3].map(|t| then.factor(t)), [0.0, 0.25, 1.0, 0.5]);
        assert_eq!(then.clone().times(then).factor(3), 0.25);
        assert_eq!(RateSchedule::constant().rate(0.3, 9), 0.3);
    }

    #[test]
    fn options_out_of_range_are_named() {
        assert_eq!(RateSchedule::step(0, 0.5), Err(Error::ZeroSize { what: "every" }));
        assert_eq!(RateSchedule::cosine(0, 0.5), Err(Error::ZeroSize { what: "steps" }));
        assert_eq!(RateSchedule::linear(0.0, 1.0, 0), Err(Error::ZeroSize { what: "steps" }));
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            for (made, name) in [
                (RateSchedule::step(1, bad), "factor"),
                (RateSchedule::cosine(1, bad), "minimum"),
                (RateSchedule::warm_up(bad, 1), "from"),
                (RateSchedule::linear(0.0, bad, 1), "to"),
            ] {
                assert!(matches!(made, Err(Error::OutOfRange { what, .. }) if what == name), "{name} {bad}");
            }
        }
    }
}
