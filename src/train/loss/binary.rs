//! Binary cross-entropy of logits.
//!
//! With `s(z) = 1 / (1 + e^-z)`, a target `t` (0, 1, or a probability) and the weight `w` of positives:
//!
//! ```text
//! loss  =  - w t log s(z) - (1 - t) log (1 - s(z))  =  w t softplus(-z) + (1 - t) softplus(z)
//! dz    =  (1 - t) s(z) - w t s(-z)
//!
//! softplus(z)  =  max(z, 0) + log(1 + e^-|z|)         which does not overflow
//! ```
//!
//! With label smoothing `a` the target is first `t (1 - a) + a / 2`, as in Keras.

use super::{Reduction, check_gradient, check_smoothing, check_weights, count, counts, width};
use crate::Error;
use crate::error::check_len;

/// Binary cross-entropy of logits, for yes and no, or for several labels that may hold together. PyTorch's
/// `binary_cross_entropy_with_logits`, Keras' `BinaryCrossentropy(from_logits=True)`.
///
/// ```
/// use fused_rnn::train::BinaryCrossEntropy;
///
/// let mut gradient = [0.0; 2];
/// let logits = [0.0, 3.0f32.ln()]; // probabilities 1/2 and 3/4
/// let loss = BinaryCrossEntropy::new().sum().loss(&logits, &[1.0, 0.0], Some(&mut gradient))?;
/// assert!((loss - (2.0f64.ln() + 4.0f64.ln())).abs() < 1e-6);
/// assert!((gradient[0] + 0.5).abs() < 1e-6 && (gradient[1] - 0.75).abs() < 1e-6);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "BCEWithLogitsLoss", alias = "binary_cross_entropy_with_logits", alias = "BinaryCrossentropy")]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BinaryCrossEntropy<'a> {
    positive_weights: Option<&'a [f32]>,
    smoothing: f64,
    mask: Option<&'a [bool]>,
    reduction: Reduction,
}

impl<'a> BinaryCrossEntropy<'a> {
    /// A binary cross-entropy that is the mean over all values, each with the weight 1.
    pub fn new() -> Self {
        BinaryCrossEntropy::default()
    }

    /// Weights of the positives, against classes of unequal frequency: one for each of the `n` columns of the
    /// values `(.., n)`, or one for all. PyTorch's `pos_weight`.
    ///
    /// ```
    /// use fused_rnn::train::BinaryCrossEntropy;
    ///
    /// // Two columns; a missed positive of the second costs five times.
    /// let loss = BinaryCrossEntropy::new().positive_weights(&[1.0, 5.0]).sum();
    /// let of_column = |column: usize| {
    ///     let mut targets = [0.0; 2];
    ///     targets[column] = 1.0;
    ///     loss.loss(&[0.0, 0.0], &targets, None)
    /// };
    /// assert!((of_column(1)? - of_column(0)? - 4.0 * 2f64.ln()).abs() < 1e-12);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn positive_weights(self, weights: &'a [f32]) -> Self {
        BinaryCrossEntropy { positive_weights: Some(weights), ..self }
    }

    /// Label smoothing: draws targets towards one half, `t (1 - smoothing) + smoothing / 2`. In `[0, 1]`.
    pub fn label_smoothing(self, smoothing: f64) -> Self {
        BinaryCrossEntropy { smoothing, ..self }
    }

    /// Leaves values out where `mask` is `false`: one flag for each row of values, whatever the width of
    /// the rows.
    pub fn mask(self, mask: &'a [bool]) -> Self {
        BinaryCrossEntropy { mask: Some(mask), ..self }
    }

    /// Takes the sum over the values instead of their mean.
    pub fn sum(self) -> Self {
        BinaryCrossEntropy { reduction: Reduction::Sum, ..self }
    }

    /// The loss of `logits` against `targets`, of one length and any shape. Where `dlogits` is given, it is
    /// overwritten with the gradient.
    ///
    /// # Errors
    /// [`Error::Length`] where the slices differ in length, or are no whole number of rows of the mask or
    /// of the weights; [`Error::ZeroSize`] for no weights; [`Error::OutOfRange`] for a weight that is
    /// negative or not finite, or for such a smoothing. `dlogits` is then untouched.
    pub fn loss(
        &self,
        logits: &[f32],
        targets: &[f32],
        mut dlogits: Option<&mut [f32]>,
    ) -> Result<f64, Error> {
        check_len("targets", logits.len(), targets.len())?;
        check_gradient("dlogits", logits, &dlogits)?;
        check_smoothing(self.smoothing)?;
        let width = width("logits", logits.len(), self.mask)?;
        let weights = self.positive_weights.unwrap_or(&[1.0]);
        if weights.is_empty() {
            return Err(Error::ZeroSize { what: "positive_weights" });
        }
        check_len("logits", logits.len() / weights.len() * weights.len(), logits.len())?;
        check_weights("positive_weights", weights)?;

        let values = count(self.mask, logits.len() / width) * width;
        let scale = self.reduction.scale(values as f64);
        let mut sum = 0.0;
        for (at, (&z, &t)) in logits.iter().zip(targets).enumerate() {
            let mut slope = 0.0;
            if counts(self.mask, at / width) {
                let (z, t) = (f64::from(z), f64::from(t) * (1.0 - self.smoothing) + 0.5 * self.smoothing);
                let (positive, negative) = (f64::from(weights[at % weights.len()]) * t, 1.0 - t);
                let tail = (-z.abs()).exp();
                // 0 times an infinite logit must be 0 here: a target of weight 0 costs nothing.
                if positive != 0.0 {
                    sum += positive * (larger(-z) + tail.ln_1p());
                }
                if negative != 0.0 {
                    sum += negative * (larger(z) + tail.ln_1p());
                }
                // s(|z|) and s(-|z|).
                let (above, below) = (1.0 / (1.0 + tail), tail / (1.0 + tail));
                let (s, s_of_minus) = if z < 0.0 { (below, above) } else { (above, below) };
                slope = (negative * s - positive * s_of_minus) * scale;
            }
            if let Some(dlogits) = &mut dlogits {
                dlogits[at] = slope as f32;
            }
        }
        Ok(self.reduction.of(sum, values as f64))
    }
}

/// The larger of a number and zero; NaN stays.
fn larger(z: f64) -> f64 {
    if z < 0.0 { 0.0 } else { z }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use approx::assert_abs_diff_eq;

    #[test]
    fn gradients_agree_with_central_differences() {
        let mut rng = Rng::new(3);
        let n = 12;
        let logits: Vec<f32> = (0..n).map(|_| rng.uniform(-5.0, 5.0)).collect();
        let targets: Vec<f32> = (0..n).map(|_| rng.uniform(0.0, 1.0)).collect();
        let weights = [0.5, 2.0, 1.0];
        let by_definition = |z: &[f64]| {
            let value = |k: usize| {
                let (s, t) = (1.0 / (1.0 + (-z[k]).exp()), f64::from(targets[k]) * 0.8 + 0.1);
                -f64::from(weights[k % 3]) * t * s.ln() - (1.0 - t) * (1.0 - s).ln()
            };
            (0..n).map(value).sum::<f64>() / n as f64
        };
        let mut gradient = vec![f32::NAN; n];
        let loss = BinaryCrossEntropy::new().positive_weights(&weights).label_smoothing(0.2);
        let got = loss.loss(&logits, &targets, Some(&mut gradient)).unwrap();
        let z: Vec<f64> = logits.iter().map(|&z| z.into()).collect();
        assert_abs_diff_eq!(got, by_definition(&z), epsilon = 1e-12);
        for at in 0..n {
            let moved = |by: f64| {
                let mut z = z.clone();
                z[at] += by;
                by_definition(&z)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - f64::from(gradient[at])).abs() < 1e-7, "{at}: {slope} {}", gradient[at]);
        }
    }

    #[test]
    fn extreme_logits_and_masks() {
        let loss = |z: f32, t: f32| BinaryCrossEntropy::new().loss(&[z], &[t], None).unwrap();
        let inf = f32::INFINITY;
        assert_eq!((loss(inf, 1.0), loss(-inf, 0.0), loss(inf, 0.0)), (0.0, 0.0, f64::INFINITY));
        assert_abs_diff_eq!(loss(1e30, 0.0) / 1e30, 1.0, epsilon = 1e-6);
        assert!(loss(f32::NAN, 1.0).is_nan() && loss(0.0, f32::NAN).is_nan());
        let mut gradient = [9.0; 2];
        let masked = BinaryCrossEntropy::new().mask(&[true, false]);
        let got = masked.loss(&[0.0, f32::NAN], &[0.0, f32::NAN], Some(&mut gradient)).unwrap();
        assert_eq!((got, gradient), (2f64.ln(), [0.5, 0.0]));
        for flags in [&[][..], &[true], &[true, false]] {
            assert_eq!(BinaryCrossEntropy::new().mask(flags).loss(&[], &[], Some(&mut [])), Ok(0.0));
        }
    }

    #[test]
    fn mistakes_are_named_and_nothing_is_written() {
        let mut gradient = [9.0; 4];
        let mut said = |loss: BinaryCrossEntropy<'_>, logits: usize, targets: usize| {
            let (logits, targets) = (vec![0.0; logits], vec![0.0; targets]);
            loss.loss(&logits, &targets, Some(&mut gradient)).unwrap_err().to_string()
        };
        let new = BinaryCrossEntropy::new();
        assert_eq!(said(new, 4, 3), "targets: expected 4 values, got 3");
        assert_eq!(said(new, 3, 3), "dlogits: expected 3 values, got 4");
        assert_eq!(said(new.positive_weights(&[1.0; 3]), 4, 4), "logits: expected 3 values, got 4");
        assert_eq!(said(new.positive_weights(&[]), 4, 4), "positive_weights: expected at least 1, got 0");
        let negative = said(new.positive_weights(&[-1.0]), 4, 4);
        assert_eq!(negative, "positive_weights: expected finite numbers of at least 0, got -1");
        let smooth = said(new.label_smoothing(1.5), 4, 4);
        assert_eq!(smooth, "label_smoothing: expected a number in [0, 1], got 1.5");
        assert_eq!(said(new.mask(&[true; 3]), 4, 4), "logits: expected 3 values, got 4");
        assert_eq!(gradient, [9.0; 4]);
    }
}
