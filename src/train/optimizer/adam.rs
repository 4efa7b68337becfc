//! Adam and AdamW.

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

/// The options of [`Adam`] and [`AdamW`]; the defaults are those of `torch.optim.Adam`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Learning rate: about the largest step of a parameter, at least 0. Default 1e-3.
    pub learning_rate: f64,
    /// Decay of the running average of the gradients, in `[0, 1)`. Default 0.9.
    pub beta1: f64,
    /// Decay of the running average of the squares of the gradients, in `[0, 1)`. Default 0.999.
    pub beta2: f64,
    /// The number added to the corrected root of the average of squares, above 0. Default 1e-8 (Keras: 1e-7).
    /// A number below 1e-16 has no use: squares of gradients below 1.2e-38 / (1 - beta2) count as zero in the
    /// averages.
    pub epsilon: f64,
    /// Weight decay: L2 regularisation in [`Adam`], decoupled in [`AdamW`]; at least 0. Default 0.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        AdamConfig { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamConfig {
    /// Whether a step with this learning rate is one of finite numbers.
    fn check_rate(&self, learning_rate: f64) -> Result<(), Error> {
        check_rate("learning_rate", learning_rate)?;
        // What it is at most: in the first step, and times the decay.
        check_rate("learning_rate / (1 - beta1)", learning_rate / (1.0 - self.beta1))?;
        check_rate("learning_rate * weight_decay", learning_rate * self.weight_decay)
    }

    /// The defaults of `torch.optim.AdamW`: those of [`Default`] with a weight decay of 1e-2.
    pub fn adam_w() -> Self {
        AdamConfig { weight_decay: 1e-2, ..AdamConfig::default() }
    }
}

/// Adam, with weight decay as L2 regularisation. `torch.optim.Adam`.
///
/// ```
/// use fused_rnn::train::{Adam, AdamConfig, Optimizer};
///
/// let mut adam = Adam::new(2, AdamConfig { learning_rate: 0.1, ..Default::default() })?;
/// let mut parameters = [1.0, 1.0];
/// adam.step(&mut parameters, &[1e-3, -40.0])?; // the first step is the learning rate, whatever the gradient
/// assert!((parameters[0] - 0.9).abs() < 1e-5 && (parameters[1] - 1.1).abs() < 1e-5);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    moments: Moments,
}

impl Adam {
    /// An optimiser of `count` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where the averages do not fit.
    pub fn new(count: usize, config: AdamConfig) -> Result<Self, Error> {
        Ok(Adam { moments: Moments::new(count, config, Decay::L2)? })
    }
}

/// Adam with decoupled weight decay: the decay does not pass through the averages. `torch.optim.AdamW`.
///
/// ```
/// use fused_rnn::train::{AdamConfig, AdamW, Optimizer};
///
/// let config = AdamConfig { learning_rate: 0.1, weight_decay: 0.5, ..AdamConfig::adam_w() };
/// let mut adam = AdamW::new(1, config)?;
/// let mut parameters = [2.0];
/// adam.step(&mut parameters, &[0.0])?;
/// assert_eq!(parameters, [1.9]); // 2 - 0.1 * 0.5 * 2
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    moments: Moments,
}

impl AdamW {
    /// An optimiser of `count` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where the averages do not fit.
    pub fn new(count: usize, config: AdamConfig) -> Result<Self, Error> {
        Ok(AdamW { moments: Moments::new(count, config, Decay::Decoupled)? })
    }
}

/// Both step as their moments do.
macro_rules! optimizer {
    ($name:ident) => {
        impl Optimizer for $name {
            fn step_all(&mut self, slices: &mut [(&mut [f32], &[f32])]) -> Result<(), Error> {
                self.moments.step_all(slices)
            }

            fn step_rows(&mut self, table: &mut [f32], gradients: &RowGradients) -> Result<(), Error> {
                self.moments.step_rows(table, gradients)
            }

            fn save(&self) -> Result<Tensors, Error> {
                self.moments.save()
            }

            fn load(&mut self, tensors: Tensors) -> Result<(), Error> {
                self.moments.load(tensors)
            }

            fn learning_rate(&self) -> f64 {
                self.moments.config.learning_rate
            }

            fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
                self.moments.set_learning_rate(learning_rate)
            }
        }
    };
}

optimizer!(Adam);
optimizer!(AdamW);

/// Where weight decay acts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Decay {
    /// On the gradient, and so through the averages.
    L2,
    /// On the parameter itself.
    Decoupled,
}

/// The state of both kinds of Adam: the averages and the number of steps.
#[derive(Clone, PartialEq)]
struct Moments {
    config: AdamConfig,
    decay: Decay,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// Steps so far, at most [`saved::MAX_STEPS`]: then both corrections have long been 1.
    steps: u32,
}

/// Sizes, and none of the numbers.
impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments")
            .field("count", &self.mean.len())
            .field("steps", &self.steps)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Moments {
    fn new(count: usize, config: AdamConfig, decay: Decay) -> Result<Self, Error> {
        check_rate("weight_decay", config.weight_decay)?;
        check_decay("beta1", config.beta1)?;
        check_decay("beta2", config.beta2)?;
        // Below the smallest normal f32 it would be rounded away, and 0 / 0 become possible.
        if !(config.epsilon.is_finite() && config.epsilon >= f64::from(f32::MIN_POSITIVE)) {
            let expected = "a finite number of at least 1.18e-38";
            return Err(Error::OutOfRange { what: "epsilon", expected, got: config.epsilon });
        }
        config.check_rate(config.learning_rate)?;
        Ok(Moments {
            config,
            decay,
            mean: zeros("averages", &[count])?,
            square: zeros("averages", &[count])?,
            steps: 0,
        })
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        self.config.check_rate(learning_rate)?;
        self.config.learning_rate = learning_rate;
        Ok(())
    }

    fn step_all(&mut self, slices: &mut [(&mut [f32], &[f32])]) -> Result<(), Error> {
        check_slices(self.mean.len(), slices)?;
        let rule = self.next();
        move_slices(rule, [&mut self.mean, &mut self.square], slices);
        Ok(())
    }

    fn step_rows(&mut self, table: &mut [f32], gradients: &RowGradients) -> Result<(), Error> {
        check_table(self.mean.len(), table, gradients)?;
        let rule = self.next();
        move_rows(rule, [&mut self.mean, &mut self.square], table, gradients);
        Ok(())
    }

    /// Counts one step more and says what it is.
    fn next(&mut self) -> AdamStep {
        self.steps = (self.steps + 1).min(saved::MAX_STEPS);
        let AdamConfig { learning_rate, beta1, beta2, epsilon, weight_decay } = self.config;
        let (keep, l2) = match self.decay {
            Decay::L2 => (1.0, weight_decay),
            Decay::Decoupled => (1.0 - learning_rate * weight_decay, 0.0),
        };
        AdamStep {
            keep: keep as f32,
            l2: l2 as f32,
            old1: beta1 as f32,
            new1: (1.0 - beta1) as f32,
            old2: beta2 as f32,
            new2: (1.0 - beta2) as f32,
            rate: (learning_rate / (1.0 - power(beta1, self.steps))) as f32,
            correction: (1.0 / (1.0 - power(beta2, self.steps)).sqrt()) as f32,
            epsilon: epsilon as f32,
        }
    }

    fn save(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        saved::insert(&mut tensors, MEAN, &self.mean)?;
        saved::insert(&mut tensors, SQUARE, &self.square)?;
        saved::insert_steps(&mut tensors, self.steps)?;
        Ok(tensors)
    }

    fn load(&mut self, tensors: Tensors) -> Result<(), Error> {
        let mut saved = Saved::new(tensors);
        let mean = saved.averages(MEAN, self.mean.len())?;
        let square = saved.squares(SQUARE, self.square.len())?;
        let steps = saved.steps()?;
        saved.finish()?;
        (self.mean, self.square, self.steps) = (mean, square, steps);
        Ok(())
    }
}

/// PyTorch's names of the two averages.
const MEAN: &str = "exp_avg";
const SQUARE: &str = "exp_avg_sq";

/// `base^exponent`, by squaring: the same bits on every machine, and whatever steps came before, so that a
/// number of steps is all that has to be saved.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest % 2 == 1 {
            result *= square;
        }
        square *= square;
        rest /= 2;
    }
    result
}

/// One step of Adam, as numbers.
#[derive(Debug, Clone, Copy)]
struct AdamStep {
    keep: f32,
    l2: f32,
    old1: f32,
    new1: f32,
    old2: f32,
    new2: f32,
    rate: f32,
    correction: f32,
    epsilon: f32,
}

impl Rule<2> for AdamStep {
    #[inline(always)]
    fn step(self, p: f32, g: f32, [mean, square]: [f32; 2]) -> (f32, [f32; 2]) {
        let g = with_l2(g, self.l2, p);
        let mean = self.old1 * mean + self.new1 * g;
        let square = self.old2 * square + self.new2 * (g * g);
        let p = p * self.keep - self.rate * mean / (square.sqrt() * self.correction + self.epsilon);
        (p, [flush(mean), flush(square)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// Algorithm 1 of Kingma & Ba in f64, with both kinds of decay, for one parameter.
    fn adam_by_the_paper(mut p: f64, gradients: &[f64], config: &AdamConfig, decoupled: bool) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            let mut g = *g;
            match decoupled {
                true => p -= config.learning_rate * config.weight_decay * p,
                false => g += config.weight_decay * p,
            }
            m = config.beta1 * m + (1.0 - config.beta1) * g;
            v = config.beta2 * v + (1.0 - config.beta2) * g * g;
            let corrected_m = m / (1.0 - config.beta1.powi(t));
            let corrected_v = v / (1.0 - config.beta2.powi(t));
            p -= config.learning_rate * corrected_m / (corrected_v.sqrt() + config.epsilon);
        }
        p
    }

    #[test]
    fn both_kinds_of_adam_agree_with_the_paper() {
        let config =
            AdamConfig { learning_rate: 0.01, weight_decay: 0.1, epsilon: 1e-3, ..Default::default() };
        let (count, steps) = (37, 200);
        let mut rng = Rng::new(1);
        let start: Vec<f32> = (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let gradients: Vec<Vec<f32>> =
            (0..steps).map(|_| (0..count).map(|_| rng.normal()).collect()).collect();
        let mut adam = Adam::new(count, config).unwrap();
        let mut adam_w = AdamW::new(count, config).unwrap();
        let optimizers: [(&mut dyn Optimizer, bool); 2] = [(&mut adam, false), (&mut adam_w, true)];
        for (optimizer, decoupled) in optimizers {
            let mut parameters = start.clone();
            for gradient in &gradients {
                optimizer.step(&mut parameters, gradient).unwrap();
            }
            for (at, &got) in parameters.iter().enumerate() {
                let gradients: Vec<f64> = gradients.iter().map(|g| f64::from(g[at])).collect();
                let want = adam_by_the_paper(f64::from(start[at]), &gradients, &config, decoupled);
                assert!((want - f64::from(got)).abs() < 2e-5, "{at}: {want} {got}");
            }
        }
    }

    #[test]
    fn averages_do_not_rest_in_the_subnormal_range() {
        let mut adam = Adam::new(1, AdamConfig::default()).unwrap();
        let mut p = [1.0];
        adam.step(&mut p, &[1e-12]).unwrap();
        for _ in 0..2000 {
            adam.step(&mut p, &[0.0]).unwrap();
            for average in [adam.moments.mean[0], adam.moments.square[0]] {
                assert!(average == 0.0 || average.is_normal(), "{average:e}");
            }
        }
        assert_eq!(adam.moments.mean, [0.0]);
        adam.step(&mut p, &[f32::NAN]).unwrap();
        assert!(adam.moments.mean[0].is_nan() && p[0].is_nan(), "NaN is not flushed");
    }

    #[test]
    fn options_out_of_range_are_named() {
        let named = |config: AdamConfig, name| {
            for refused in [Adam::new(3, config).err(), AdamW::new(3, config).err()] {
                assert!(
                    matches!(refused, Some(Error::OutOfRange { what, .. }) if what == name),
                    "{config:?}"
                );
            }
        };
        let good = AdamConfig::default();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            named(AdamConfig { learning_rate: bad, ..good }, "learning_rate");
            named(AdamConfig { beta1: bad, ..good }, "beta1");
            named(AdamConfig { beta2: bad, ..good }, "beta2");
            named(AdamConfig { epsilon: bad, ..good }, "epsilon");
            named(AdamConfig { weight_decay: bad, ..good }, "weight_decay");
        }
        named(AdamConfig { beta1: 1.0, ..good }, "beta1");
        named(AdamConfig { epsilon: 0.0, ..good }, "epsilon");
        assert!(matches!(Adam::new(usize::MAX, good), Err(Error::SizeOverflow { .. })));
        named(AdamConfig { learning_rate: 1e38, ..good }, "learning_rate / (1 - beta1)");
        named(AdamConfig { learning_rate: 1e37, weight_decay: 1e10, ..good }, "learning_rate * weight_decay");
        let mut adam = AdamW::new(2, AdamConfig { learning_rate: 3e37, weight_decay: 10.0, ..good }).unwrap();
        let mut p = [0.0, 0.5];
        adam.step(&mut p, &[0.0; 2]).unwrap();
        assert!(p.iter().all(|p| p.is_finite()), "{p:?}");
        assert!(adam.set_learning_rate(1e38).is_err() && adam.learning_rate() == 3e37);
    }
}
