//! Optimisers: SGD with momentum, Adam, AdamW.
//!
//! An optimiser holds the running averages of a number of parameters and moves them one step at a time.
//! The parameters are one slice ([`Optimizer::step`]), several ([`Optimizer::step_all`]: a recurrent layer
//! and its head), or some rows of a table ([`Optimizer::step_rows`]: an embedding). Formulas and defaults are
//! those of `torch.optim`; `g` is the gradient, `p` the parameter, `lr` the learning rate, `wd` the weight
//! decay, `t` the number of the step from 1 on:
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
//!
//! **Saving.** [`Optimizer::save`] gives the averages and the number of steps under PyTorch's names, and
//! [`Optimizer::load`] takes them back; training goes on with the same bits as if it had never stopped. A
//! tensor holds all `n` parameters in the order in which steps are given them. PyTorch has one for each of
//! its parameters; put side by side they are these:
//!
//! | optimiser | tensors |
//! | --- | --- |
//! | [`Adam`], [`AdamW`] | `exp_avg (n)`, `exp_avg_sq (n)`, `step ()` |
//! | [`Sgd`] with momentum | `momentum_buffer (n)` |
//! | [`Sgd`] without | none |
//!
//! ```
//! use fused_rnn::format::Tensors;
//! use fused_rnn::train::{Adam, AdamConfig, Optimizer};
//!
//! let mut adam = Adam::new(2, AdamConfig::default())?;
//! let (mut parameters, gradients) = ([1.0, 2.0], [0.5, -0.25]);
//! adam.step(&mut parameters, &gradients)?;
//! // One file for the model and its optimiser: `file.to_safetensors(..)` where that feature is on.
//! let mut file = Tensors::new();
//! file.insert_all("adam.", adam.save()?);
//!
//! let mut resumed = Adam::new(2, AdamConfig::default())?;
//! resumed.load(file.split_off_prefix("adam."))?;
//! let mut same = parameters;
//! adam.step(&mut parameters, &gradients)?;
//! resumed.step(&mut same, &gradients)?;
//! assert_eq!(parameters, same);
//! # Ok::<(), fused_rnn::Error>(())
//! ```
//!
//! ```text
//! adam.rs     Adam and AdamW
//! sgd.rs      Sgd
//! saved.rs    averages and steps to tensors and back
//! ```

mod adam;
mod sgd;

pub use adam::{Adam, AdamConfig, AdamW};
pub use sgd::{Sgd, SgdConfig};

use super::RowGradients;
use crate::Error;
use crate::error::check_len;
use crate::format::Tensors;
use crate::simd::{Dispatched, Isa, Token, dispatch};

/// Moves parameters against their gradients. Made for a number of parameters, which may lie in one slice or
/// in several.
pub trait Optimizer {
    /// One step on several slices, each with its gradients: `(parameters, gradients)`, two slices of one
    /// length. Together they are as many parameters as the optimiser was made for; its averages belong to
    /// them in this order, so that it is to be the same in every step.
    ///
    /// # Errors
    /// [`Error::Length`] where lengths do not fit. Neither the parameters nor the optimiser have changed
    /// then.
    ///
    /// ```
    /// use fused_rnn::Lstm;
    /// use fused_rnn::train::{Adam, AdamConfig, Dense, Optimizer};
    ///
    /// let (mut lstm, mut head) = (Lstm::builder(3, 4).build()?, Dense::new_pytorch(4, 2, 1)?);
    /// let gradients = (vec![0.1; lstm.parameters().len()], vec![0.1; head.parameter_count()]);
    /// let mut adam = Adam::new(gradients.0.len() + gradients.1.len(), AdamConfig::default())?;
    /// lstm.update(|parameters| {
    ///     adam.step_all(&mut [(parameters, &gradients.0), (head.parameters_mut(), &gradients.1)])
    /// })?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    fn step_all(&mut self, slices: &mut [(&mut [f32], &[f32])]) -> Result<(), Error>;

    /// One step on one slice of as many parameters as the optimiser was made for.
    ///
    /// # Errors
    /// [`Error::Length`] for any other length. Neither the parameters nor the optimiser have changed then.
    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
        self.step_all(&mut [(parameters, gradients)])
    }

    /// One step on those rows of a table that have gradients; the time is theirs alone, whatever the size of
    /// the table. `table (rows, width)` is all that the optimiser was made for: an embedding has one of its
    /// own, beside that of the network.
    ///
    /// The other rows do not move, though their averages are not zero, and their averages do not decay: the
    /// lazy form of PyTorch's `SparseAdam`, here with the formula of [`Adam`] (whose epsilon stands at the
    /// corrected root). `t` counts all steps of the optimiser. Weight decay reaches the touched rows alone.
    ///
    /// # Errors
    /// [`Error::Length`] where the table is not as large as the optimiser and the gradients' table. Neither
    /// the table nor the optimiser have changed then.
    ///
    /// ```
    /// use fused_rnn::train::{Adam, AdamConfig, Optimizer, RowGradients};
    ///
    /// let (mut table, mut gradients) = ([1.0; 6], RowGradients::new(3, 2)?);
    /// gradients.add(1, &[0.5, -0.5])?;
    /// let mut adam = Adam::new(6, AdamConfig { learning_rate: 0.25, ..AdamConfig::default() })?;
    /// adam.step_rows(&mut table, &gradients)?;
    /// assert_eq!((&table[..2], &table[4..]), (&[1.0; 2][..], &[1.0; 2][..]));
    /// assert!((table[2] - 0.75).abs() < 1e-6 && (table[3] - 1.25).abs() < 1e-6);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    fn step_rows(&mut self, table: &mut [f32], gradients: &RowGradients) -> Result<(), Error>;

    /// The running averages and the number of steps, by [PyTorch's names](self). Options are not among them.
    ///
    /// # Errors
    /// [`Error::Format`] where they cannot be tensors, which does not happen today.
    #[doc(alias = "state_dict")]
    fn save(&self) -> Result<Tensors, Error>;

    /// Takes back what [`save`](Optimizer::save) gave, into an optimiser made with the same number of
    /// parameters and the same options.
    ///
    /// # Errors
    /// [`Error::Format`] where a tensor is missing, has another shape, is left over, or holds what is no such
    /// average or number. The optimiser is then as before.
    #[doc(alias = "load_state_dict")]
    fn load(&mut self, tensors: Tensors) -> Result<(), Error>;

    /// The learning rate of the next step.
    #[doc(alias = "lr")]
    fn learning_rate(&self) -> f64;

    /// Changes the learning rate, for a schedule; the running averages stay.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a rate that is negative or not finite.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error>;
}

/// Whether slices are of these many parameters, each with its gradients.
fn check_slices(count: usize, slices: &[(&mut [f32], &[f32])]) -> Result<(), Error> {
    // No overflow: slices that exist side by side fit into memory together.
    check_len("parameters", count, slices.iter().map(|(parameters, _)| parameters.len()).sum())?;
    slices.iter().try_for_each(|(parameters, g)| check_len("gradients", parameters.len(), g.len()))
}

/// Whether a table is of these many parameters and of the rows that the gradients are for.
fn check_table(count: usize, table: &[f32], gradients: &RowGradients) -> Result<(), Error> {
    check_len("table", count, table.len())?;
    check_len("table of the gradients", count, gradients.table_len())
}

/// Moves the parameters of slices, whose averages lie one after the other.
fn move_slices<R: Rule<N>, const N: usize>(
    rule: R,
    averages: [&mut [f32]; N],
    slices: &mut [(&mut [f32], &[f32])],
) {
    let mut rest = averages;
    for (parameters, gradients) in slices {
        let averages = rest.each_mut().map(|rest| {
            let (first, second) = std::mem::take(rest).split_at_mut(parameters.len());
            *rest = second;
            first
        });
        dispatch(Token::best(), Update { rule, parameters, gradients, averages });
    }
}

/// Moves the touched rows of a table.
fn move_rows<R: Rule<N>, const N: usize>(
    rule: R,
    mut averages: [&mut [f32]; N],
    table: &mut [f32],
    gradients: &RowGradients,
) {
    let token = Token::best();
    for (row, gradients) in gradients.iter() {
        let place = row * gradients.len()..(row + 1) * gradients.len();
        let averages = averages.each_mut().map(|average| &mut average[place.clone()]);
        let parameters = &mut table[place];
        dispatch(token, Update { rule, parameters, gradients, averages });
    }
}

/// How a parameter moves, with N running averages.
trait Rule<const N: usize>: Copy {
    /// The parameter and its averages after the step.
    fn step(self, parameter: f32, gradient: f32, averages: [f32; N]) -> (f32, [f32; N]);
}

/// Moves all parameters, in place. The loop is plain code, which the compiler turns into the vectors of
/// each level; as no operation is fused, all levels give the same bits. With AVX-512 it is bound by
/// dividing and by taking roots, which a processor does 16 at a time but seldom.
struct Update<'a, R, const N: usize> {
    rule: R,
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    averages: [&'a mut [f32]; N],
}

impl<R: Rule<N>, const N: usize> Dispatched for Update<'_, R, N> {
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
