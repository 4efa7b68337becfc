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

mod adam;
mod sgd;

pub use adam::{Adam, AdamConfig, AdamW};
pub use sgd::{Sgd, SgdConfig};

use crate::Error;
use crate::simd::{Isa, Kernel};

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

/// How a parameter moves, with N running averages.
trait Rule<const N: usize>: Copy {
    /// The parameter and its averages after the step.
    fn step(self, parameter: f32, gradient: f32, averages: [f32; N]) -> (f32, [f32; N]);
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
