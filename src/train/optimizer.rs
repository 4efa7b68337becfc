//! Optimisers: SGD with momentum, Adam, AdamW.
//!
//! An optimiser holds the running averages of one slice of parameters, made for its length, and moves
//! the slice one step at a time. A model of several slices (a recurrent layer and its head) has one
//! optimiser for each. Formulas and defaults are those of `torch.optim`; `g` is the gradient, `p` the
//! parameter, `lr` the learning rate, `wd` the weight decay, `t` the number of the step from 1 on:
//!
//! ```text
//! Sgd      g <- g + wd p          m <- momentum m + g
//!          p <- p - lr (nesterov ? g + momentum m : m)
//!
//! Adam     g <- g + wd p          m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
//!          p <- p - lr / (1 - beta1^t)  *  m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//!
//! AdamW    p <- p - lr wd p, and then as Adam without wd
//! ```
//!
//! Adam is Kingma & Ba, *Adam: a method for stochastic optimization*, ICLR 2015, algorithm 1; AdamW is
//! Loshchilov & Hutter, *Decoupled weight decay regularization*, ICLR 2019, algorithm 2.
//!
//! **Epsilon.** As in PyTorch and in algorithm 1 of the paper, it is added to the *corrected* root. Keras
//! follows the remark at the end of section 2 of the paper, `lr sqrt(1 - beta2^t) / (1 - beta1^t) * m /
//! (sqrt(v) + epsilon)`, which is the same with an epsilon that is larger by `1 / sqrt(1 - beta2^t)`, 32
//! times at the first step and 1 in the limit. With 1e-7 or 1e-8 neither is seen in a training run.
//!
//! **Weight decay.** In `Sgd` and `Adam` it is the gradient of an added loss `wd/2 sum p^2`: the L2
//! regularisation of a textbook. A Keras regulariser `l2(a)` adds `a sum p^2`, so that `wd = 2 a`. It acts
//! on all parameters of the slice, biases included, as in PyTorch.
//!
//! **Arithmetic.** Options are `f64`, because `1 - beta2` would lose half its digits in `f32`; they are
//! rounded once, when a step begins. A running average that decays into the subnormal range is set to zero:
//! it is far too small to move a parameter, but with `beta1 = 0.9` it would stay subnormal for good, as
//! 0.9 times the smallest float rounds back to it, and slow down each later step.

use crate::Error;
use crate::error::check_len;
use crate::simd::{Isa, Kernel, Token, dispatch};

/// Moves parameters against their gradients.
pub trait Optimizer {
    /// One step. Both slices have the length that the optimiser was made for.
    ///
    /// # Errors
    /// [`Error::Length`] for any other length. Neither the parameters nor the optimiser have changed then.
    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error>;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64;

    /// Changes the learning rate, for a schedule; the running averages stay.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a rate that is negative or not finite.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error>;
}

/// The options of [`Sgd`]; the defaults are those of `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Step size, at least 0. Default 1e-3.
    pub learning_rate: f64,
    /// Decay of the velocity, in `[0, 1)`. Default 0: no velocity is kept.
    pub momentum: f64,
    /// Looks ahead along the velocity (Nesterov's method as PyTorch writes it); needs a momentum.
    /// Default false.
    pub nesterov: bool,
    /// L2 regularisation, at least 0. Default 0.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    config: SgdConfig,
    count: usize,
    /// Empty without momentum.
    velocity: Vec<f32>,
}

impl Sgd {
    /// An optimiser of `count` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::OutOfMemory`] where the velocities
    /// do not fit.
    pub fn new(count: usize, config: SgdConfig) -> Result<Self, Error> {
        check_rate("learning_rate", config.learning_rate)?;
        check_rate("weight_decay", config.weight_decay)?;
        check_decay("momentum", config.momentum)?;
        if config.nesterov && config.momentum == 0.0 {
            let expected = "a number in (0, 1) for nesterov";
            return Err(Error::OutOfRange { what: "momentum", expected, got: config.momentum });
        }
        let velocity = zeros(if config.momentum == 0.0 { 0 } else { count })?;
        Ok(Sgd { config, count, velocity })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
        check_len("parameters", self.count, parameters.len())?;
        check_len("gradients", self.count, gradients.len())?;
        let SgdConfig { learning_rate, momentum, nesterov, weight_decay } = self.config;
        let [rate, momentum, decay] = [learning_rate, momentum, weight_decay].map(|option| option as f32);
        if momentum == 0.0 {
            for (p, &g) in parameters.iter_mut().zip(gradients) {
                *p -= rate * with_l2(g, decay, *p);
            }
            return Ok(());
        }
        let rule = SgdStep { rate, momentum, nesterov, decay };
        dispatch(Token::best(), Update { rule, parameters, gradients, averages: [&mut self.velocity] });
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

/// The options of [`Adam`] and [`AdamW`]; the defaults are those of `torch.optim.Adam`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Step size, at least 0. Default 1e-3.
    pub learning_rate: f64,
    /// Decay of the average of the gradients, in `[0, 1)`. Default 0.9.
    pub beta1: f64,
    /// Decay of the average of their squares, in `[0, 1)`. Default 0.999.
    pub beta2: f64,
    /// Added to the corrected root, above 0. Default 1e-8 (Keras: 1e-7). One below 1e-16 is of no use: squares of
    /// gradients below 1.2e-38 / (1 - beta2) count as zero in the averages.
    pub epsilon: f64,
    /// L2 regularisation in [`Adam`], decoupled decay in [`AdamW`]; at least 0. Default 0.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        AdamConfig { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamConfig {
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
    config: AdamConfig,
    moments: Moments,
}

impl Adam {
    /// An optimiser of `count` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::OutOfMemory`] where the averages
    /// do not fit.
    pub fn new(count: usize, config: AdamConfig) -> Result<Self, Error> {
        Ok(Adam { config, moments: Moments::new(count, &config)? })
    }
}

impl Optimizer for Adam {
    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
        self.moments.step(&self.config, 1.0, self.config.weight_decay, parameters, gradients)
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
    config: AdamConfig,
    moments: Moments,
}

impl AdamW {
    /// An optimiser of `count` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range, [`Error::OutOfMemory`] where the averages
    /// do not fit.
    pub fn new(count: usize, config: AdamConfig) -> Result<Self, Error> {
        Ok(AdamW { config, moments: Moments::new(count, &config)? })
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
        let keep = 1.0 - self.config.learning_rate * self.config.weight_decay;
        self.moments.step(&self.config, keep, 0.0, parameters, gradients)
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

/// What both kinds of Adam keep: the averages, and the powers of the betas for their correction.
#[derive(Debug, Clone, PartialEq)]
struct Moments {
    mean: Vec<f32>,
    square: Vec<f32>,
    /// `beta1^t` and `beta2^t`.
    powers: [f64; 2],
}

impl Moments {
    fn new(count: usize, config: &AdamConfig) -> Result<Self, Error> {
        check_rate("learning_rate", config.learning_rate)?;
        check_rate("weight_decay", config.weight_decay)?;
        check_decay("beta1", config.beta1)?;
        check_decay("beta2", config.beta2)?;
        // Below the smallest normal f32 it would be rounded away, and 0 / 0 become possible.
        if !(config.epsilon.is_finite() && config.epsilon >= f64::from(f32::MIN_POSITIVE)) {
            let expected = "a finite number of at least 1.18e-38";
            return Err(Error::OutOfRange { what: "epsilon", expected, got: config.epsilon });
        }
        Ok(Moments { mean: zeros(count)?, square: zeros(count)?, powers: [1.0; 2] })
    }

    /// One step; `keep` is what decoupled decay leaves of a parameter, `l2` what coupled decay adds to its
    /// gradient.
    fn step(
        &mut self,
        config: &AdamConfig,
        keep: f64,
        l2: f64,
        parameters: &mut [f32],
        gradients: &[f32],
    ) -> Result<(), Error> {
        check_len("parameters", self.mean.len(), parameters.len())?;
        check_len("gradients", self.mean.len(), gradients.len())?;
        self.powers[0] *= config.beta1;
        self.powers[1] *= config.beta2;
        let [keep, l2] = [keep as f32, l2 as f32];
        let [old1, new1] = [config.beta1 as f32, (1.0 - config.beta1) as f32];
        let [old2, new2] = [config.beta2 as f32, (1.0 - config.beta2) as f32];
        let rate = (config.learning_rate / (1.0 - self.powers[0])) as f32;
        let correction = (1.0 / (1.0 - self.powers[1]).sqrt()) as f32;
        let epsilon = config.epsilon as f32;

        let constants = AdamStep { keep, l2, old1, new1, old2, new2, rate, correction, epsilon };
        let Moments { mean, square, .. } = self;
        dispatch(Token::best(), Update { rule: constants, parameters, gradients, averages: [mean, square] });
        Ok(())
    }
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

/// One step of SGD with momentum, as numbers.
#[derive(Debug, Clone, Copy)]
struct SgdStep {
    rate: f32,
    momentum: f32,
    nesterov: bool,
    decay: f32,
}

/// How a parameter moves, with N running averages.
trait Rule<const N: usize>: Copy {
    /// The parameter and its averages after the step.
    fn step(self, parameter: f32, gradient: f32, averages: [f32; N]) -> (f32, [f32; N]);
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

impl Rule<1> for SgdStep {
    #[inline(always)]
    fn step(self, p: f32, g: f32, [velocity]: [f32; 1]) -> (f32, [f32; 1]) {
        let g = with_l2(g, self.decay, p);
        let velocity = self.momentum * velocity + g;
        let p = p - self.rate * if self.nesterov { g + self.momentum * velocity } else { velocity };
        (p, [flush(velocity)])
    }
}

/// Moves all parameters, in place. The loop is plain code, which the compiler turns into the vectors of each
/// level; as no operation is fused, all levels give the same bits. With AVX-512 it is bound by dividing and by
/// taking roots, which a processor does 16 at a time but seldom.
struct Update<'a, R, const N: usize> {
    rule: R,
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    averages: [&'a mut [f32]; N],
}

impl<R: Rule<N>, const N: usize> Kernel for Update<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Update { rule, parameters, gradients, averages } = self;
        // Slices of one length, said once: no check is left in the loop.
        let count = parameters.len();
        let gradients = &gradients[..count];
        let mut averages = averages;
        for average in &mut averages {
            *average = &mut std::mem::take(average)[..count];
        }
        for n in 0..count {
            let mut old = [0.0; N];
            for (old, average) in old.iter_mut().zip(&averages) {
                *old = average[n];
            }
            let (p, new) = rule.step(parameters[n], gradients[n], old);
            parameters[n] = p;
            for k in 0..N {
                averages[k][n] = new[k];
            }
        }
    }
}

/// The gradient with that of L2 regularisation; untouched by an infinite parameter where there is none.
#[inline(always)]
fn with_l2(g: f32, decay: f32, p: f32) -> f32 {
    if decay == 0.0 { g } else { g + decay * p }
}

/// Zero in place of a subnormal number.
#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

fn zeros(count: usize) -> Result<Vec<f32>, Error> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes: count.saturating_mul(4) })?;
    zeros.resize(count, 0.0);
    Ok(zeros)
}

/// A learning rate or a weight decay.
fn check_rate(what: &'static str, got: f64) -> Result<(), Error> {
    // Steps are taken in f32: what is not finite there would make NaN of a gradient of zero.
    match (got as f32).is_finite() && got >= 0.0 {
        true => Ok(()),
        false => Err(Error::OutOfRange { what, expected: "a finite f32 of at least 0", got }),
    }
}

/// The decay of a running average.
fn check_decay(what: &'static str, got: f64) -> Result<(), Error> {
    match (0.0..1.0).contains(&got) {
        true => Ok(()),
        false => Err(Error::OutOfRange { what, expected: "a number in [0, 1)", got }),
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
    fn averages_do_not_rest_in_the_subnormal_range() {
        let mut adam = Adam::new(1, AdamConfig::default()).unwrap();
        let mut sgd = Sgd::new(1, SgdConfig { momentum: 0.9, ..Default::default() }).unwrap();
        let mut p = [1.0];
        adam.step(&mut p, &[1e-12]).unwrap();
        sgd.step(&mut p, &[1e-12]).unwrap();
        for _ in 0..2000 {
            adam.step(&mut p, &[0.0]).unwrap();
            sgd.step(&mut p, &[0.0]).unwrap();
            for average in [adam.moments.mean[0], adam.moments.square[0], sgd.velocity[0]] {
                assert!(average == 0.0 || average.is_normal(), "{average:e}");
            }
        }
        assert_eq!((adam.moments.mean[0], sgd.velocity[0]), (0.0, 0.0));
        adam.step(&mut p, &[f32::NAN]).unwrap();
        assert!(adam.moments.mean[0].is_nan() && p[0].is_nan(), "NaN is not flushed");
    }

    #[test]
    fn options_out_of_range_are_named() {
        let sgd = |config: SgdConfig| Sgd::new(3, config).unwrap_err();
        let adam =
            |config: AdamConfig| (Adam::new(3, config).unwrap_err(), AdamW::new(3, config).unwrap_err());
        let named = |error: &Error, name| matches!(error, Error::OutOfRange { what, .. } if *what == name);
        let (s, a) = (SgdConfig::default(), AdamConfig::default());
        let beyond_f32 = SgdConfig { learning_rate: 1e39, ..s };
        assert!(named(&sgd(beyond_f32), "learning_rate"));
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(named(&sgd(SgdConfig { learning_rate: bad, ..s }), "learning_rate"));
            assert!(named(&sgd(SgdConfig { weight_decay: bad, ..s }), "weight_decay"));
            assert!(named(&sgd(SgdConfig { momentum: bad, ..s }), "momentum"));
            for (config, name) in [
                (AdamConfig { learning_rate: bad, ..a }, "learning_rate"),
                (AdamConfig { beta1: bad, ..a }, "beta1"),
                (AdamConfig { beta2: bad, ..a }, "beta2"),
                (AdamConfig { epsilon: bad, ..a }, "epsilon"),
                (AdamConfig { weight_decay: bad, ..a }, "weight_decay"),
            ] {
                let (adam, adam_w) = adam(config);
                assert!(named(&adam, name) && named(&adam_w, name));
            }
        }
        assert!(named(&sgd(SgdConfig { momentum: 1.0, ..s }), "momentum"));
        assert!(named(&sgd(SgdConfig { nesterov: true, ..s }), "momentum"));
        assert!(named(&adam(AdamConfig { beta1: 1.0, ..a }).0, "beta1"));
        assert!(named(&adam(AdamConfig { epsilon: 0.0, ..a }).0, "epsilon"));
        assert!(matches!(Adam::new(usize::MAX, a), Err(Error::OutOfMemory { .. })));
    }

    #[test]
    fn a_wrong_length_changes_nothing() {
        let mut sgd = Sgd::new(2, SgdConfig { momentum: 0.5, ..Default::default() }).unwrap();
        let mut adam = Adam::new(2, AdamConfig::default()).unwrap();
        let before = (sgd.clone(), adam.clone());
        let mut p = [1.0; 2];
        let length = |what, got| Error::Length { what, expected: 2, got };
        for optimizer in [&mut sgd as &mut dyn Optimizer, &mut adam] {
            let parameters = optimizer.step(&mut p[..1], &[1.0; 2]).unwrap_err();
            let gradients = optimizer.step(&mut p, &[1.0; 3]).unwrap_err();
            assert_eq!((parameters, gradients), (length("parameters", 1), length("gradients", 3)));
        }
        assert_eq!((sgd, adam, p), (before.0, before.1, [1.0; 2]));
    }
}
