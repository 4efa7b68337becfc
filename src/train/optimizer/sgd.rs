//! Stochastic gradient descent, with momentum.

use super::{
    Optimizer, Rule, check_decay, check_rate, check_slices, check_table, flush, move_rows, move_slices,
    with_l2,
};
use crate::Error;
use crate::error::zeros;
use crate::format::Tensors;
use crate::train::RowGradients;
use crate::train::saved::{self, Saved};
use std::fmt;

/// The options of [`Sgd`]; the defaults are those of `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Learning rate: the step for a gradient of 1, at least 0. Default 1e-3.
    pub learning_rate: f64,
    /// Momentum: the decay of the velocity, in `[0, 1)`. Default 0: no velocity is kept.
    pub momentum: f64,
    /// Whether a step looks ahead along the velocity (Nesterov's method as PyTorch writes it); needs a
    /// momentum. Default false.
    pub nesterov: bool,
    /// Weight decay as L2 regularisation, `g + weight_decay p`; at least 0. Default 0.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        SgdConfig { learning_rate: 1e-3, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

/// Stochastic gradient descent, with momentum where it is asked for. `torch.optim.SGD` with dampening 0.
///
/// ```
/// use fused_rnn::train::{Optimizer, Sgd, SgdConfig};
///
/// let mut sgd = Sgd::new(1, SgdConfig { learning_rate: 0.5, momentum: 0.5, ..Default::default() })?;
/// let mut parameters = [1.0];
/// sgd.step(&mut parameters, &[1.0])?; // velocity 1
/// sgd.step(&mut parameters, &[1.0])?; // velocity 1.5
/// assert_eq!(parameters, [-0.25]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Sgd {
    config: SgdConfig,
    count: usize,
    /// Empty without momentum.
    velocity: Vec<f32>,
}

/// Sizes, and none of the numbers.
impl fmt::Debug for Sgd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sgd")
            .field("count", &self.count)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Sgd {
    /// An optimiser of `count` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where the velocities do not fit.
    pub fn new(count: usize, config: SgdConfig) -> Result<Self, Error> {
        check_rate("learning_rate", config.learning_rate)?;
        check_rate("weight_decay", config.weight_decay)?;
        check_decay("momentum", config.momentum)?;
        if config.nesterov && config.momentum == 0.0 {
            let expected = "a number in (0, 1) for nesterov";
            return Err(Error::OutOfRange { what: "momentum", expected, got: config.momentum });
        }
        let velocity = zeros("velocities", &[if config.momentum == 0.0 { 0 } else { count }])?;
        Ok(Sgd { config, count, velocity })
    }

    /// The step of these options: with momentum, or else without.
    fn rule(&self) -> SgdRule {
        let SgdConfig { learning_rate, momentum, nesterov, weight_decay } = self.config;
        let [rate, momentum, decay] = [learning_rate, momentum, weight_decay].map(|option| option as f32);
        match momentum == 0.0 {
            true => SgdRule::Plain(PlainStep { rate, decay }),
            false => SgdRule::Momentum(MomentumStep { rate, momentum, nesterov, decay }),
        }
    }
}

impl Optimizer for Sgd {
    fn step_all(&mut self, slices: &mut [(&mut [f32], &[f32])]) -> Result<(), Error> {
        check_slices(self.count, slices)?;
        match self.rule() {
            SgdRule::Momentum(rule) => move_slices(rule, [&mut self.velocity], slices),
            SgdRule::Plain(rule) => move_slices(rule, [], slices),
        }
        Ok(())
    }

    fn step_rows(&mut self, table: &mut [f32], gradients: &RowGradients) -> Result<(), Error> {
        check_table(self.count, table, gradients)?;
        match self.rule() {
            SgdRule::Momentum(rule) => move_rows(rule, [&mut self.velocity], table, gradients),
            SgdRule::Plain(rule) => move_rows(rule, [], table, gradients),
        }
        Ok(())
    }

    fn save(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        if self.config.momentum != 0.0 {
            saved::insert(&mut tensors, BUFFER, &self.velocity)?;
        }
        Ok(tensors)
    }

    fn load(&mut self, tensors: Tensors) -> Result<(), Error> {
        let mut saved = Saved::new(tensors);
        let velocity = match self.config.momentum == 0.0 {
            true => Vec::new(),
            false => saved.averages(BUFFER, self.count)?,
        };
        saved.finish()?;
        self.velocity = velocity;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.config.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        check_rate("learning_rate", learning_rate)?;
        self.config.learning_rate = learning_rate;
        Ok(())
    }
}

/// PyTorch's name of the velocities.
const BUFFER: &str = "momentum_buffer";

/// One step of SGD.
enum SgdRule {
    Plain(PlainStep),
    Momentum(MomentumStep),
}

/// One step of SGD without momentum, as numbers.
#[derive(Debug, Clone, Copy)]
struct PlainStep {
    rate: f32,
    decay: f32,
}

impl Rule<0> for PlainStep {
    #[inline(always)]
    fn step(self, p: f32, g: f32, _: [f32; 0]) -> (f32, [f32; 0]) {
        (p - self.rate * with_l2(g, self.decay, p), [])
    }
}

/// One step of SGD with momentum, as numbers.
#[derive(Debug, Clone, Copy)]
struct MomentumStep {
    rate: f32,
    momentum: f32,
    nesterov: bool,
    decay: f32,
}

impl Rule<1> for MomentumStep {
    #[inline(always)]
    fn step(self, p: f32, g: f32, [velocity]: [f32; 1]) -> (f32, [f32; 1]) {
        let g = with_l2(g, self.decay, p);
        let velocity = self.momentum * velocity + g;
        let p = p - self.rate * if self.nesterov { g + self.momentum * velocity } else { velocity };
        (p, [flush(velocity)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_and_nesterov_by_hand() {
        // From p = 1 with the gradient 1.
        let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.5 };
        let run = |config| {
            let (mut sgd, mut p) = (Sgd::new(1, config).unwrap(), [1.0]);
            sgd.step(&mut p, &[1.0]).unwrap();
            let first = p[0];
            sgd.step(&mut p, &[1.0]).unwrap();
            (first, p[0])
        };
        let close = |got: (f32, f32), want: (f32, f32)| {
            assert!((got.0 - want.0).abs() < 1e-6 && (got.1 - want.1).abs() < 1e-6, "{got:?} {want:?}");
        };
        close(run(SgdConfig { momentum: 0.0, weight_decay: 0.0, ..config }), (0.9, 0.8));
        close(run(SgdConfig { momentum: 0.0, ..config }), (0.85, 0.7075));
        close(run(config), (0.85, 0.5725));
        close(run(SgdConfig { nesterov: true, ..config }), (0.715, 0.335_575));
    }

    #[test]
    fn the_learning_rate_can_be_scheduled() {
        let mut sgd = Sgd::new(1, SgdConfig { learning_rate: 1.0, ..Default::default() }).unwrap();
        let mut p = [0.0];
        sgd.step(&mut p, &[1.0]).unwrap();
        sgd.set_learning_rate(0.25).unwrap();
        sgd.step(&mut p, &[1.0]).unwrap();
        assert_eq!((p, sgd.learning_rate()), ([-1.25], 0.25));
        let refused = sgd.set_learning_rate(-1.0).unwrap_err();
        assert!(matches!(refused, Error::OutOfRange { what: "learning_rate", got: -1.0, .. }));
        assert_eq!(sgd.learning_rate(), 0.25);
    }

    #[test]
    fn a_velocity_does_not_rest_in_the_subnormal_range() {
        let mut sgd = Sgd::new(1, SgdConfig { momentum: 0.9, ..Default::default() }).unwrap();
        let mut p = [1.0];
        sgd.step(&mut p, &[1e-12]).unwrap();
        for _ in 0..2000 {
            sgd.step(&mut p, &[0.0]).unwrap();
            assert!(sgd.velocity[0] == 0.0 || sgd.velocity[0].is_normal(), "{:e}", sgd.velocity[0]);
        }
        assert_eq!(sgd.velocity, [0.0]);
    }

    #[test]
    fn options_out_of_range_are_named() {
        let named = |config: SgdConfig, name| {
            let refused = Sgd::new(3, config);
            assert!(matches!(refused, Err(Error::OutOfRange { what, .. }) if what == name), "{config:?}");
        };
        let good = SgdConfig::default();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            named(SgdConfig { learning_rate: bad, ..good }, "learning_rate");
            named(SgdConfig { weight_decay: bad, ..good }, "weight_decay");
            named(SgdConfig { momentum: bad, ..good }, "momentum");
        }
        named(SgdConfig { learning_rate: 1e39, ..good }, "learning_rate"); // beyond f32
        named(SgdConfig { momentum: 1.0, ..good }, "momentum");
        named(SgdConfig { nesterov: true, ..good }, "momentum");
        let config = SgdConfig { momentum: 0.5, ..good };
        assert!(matches!(Sgd::new(usize::MAX, config), Err(Error::SizeOverflow { .. })));
    }
}
