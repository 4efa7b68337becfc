//! Results of a classifier: probabilities, and the share of rows that are right.

use super::softmax::maximum;
use super::{Reduction, rows};
use crate::Error;
use crate::error::check_len;
use crate::train::exp::exponentials;

/// The probabilities `exp(z_c) / sum exp(z)` of each row: `logits` and `probabilities` `(B, classes)`.
///
/// # Errors
/// [`Error::ZeroSize`] for no classes, [`Error::Length`] where the logits are no whole number of rows or
/// `probabilities` has another length. It is then untouched.
///
/// ```
/// use fused_rnn::train::softmax;
///
/// let mut p = [0.0; 4];
/// softmax(&[7.0, 7.0, f32::NEG_INFINITY, 0.0], 2, &mut p)?;
/// assert_eq!(p, [0.5, 0.5, 0.0, 1.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn softmax(logits: &[f32], classes: usize, probabilities: &mut [f32]) -> Result<(), Error> {
    rows("logits", logits.len(), classes)?;
    check_len("probabilities", logits.len(), probabilities.len())?;
    for (z, p) in logits.chunks_exact(classes).zip(probabilities.chunks_exact_mut(classes)) {
        let inverse = (1.0 / exponentials(z, maximum(z), Some(&mut *p))) as f32;
        for value in p {
            *value *= inverse;
        }
    }
    Ok(())
}

/// The share of rows whose largest logit is that of the label: `logits (B, classes)`, `labels (B)`.
///
/// Of several largest logits the first counts, as in NumPy's `argmax`. A row that holds a NaN is wrong.
/// The accuracy of an empty batch is 0. Of one logit for yes and no it is [`binary_accuracy`].
///
/// # Errors
/// [`Error::ZeroSize`], [`Error::Length`] and [`Error::Label`] as in
/// [`softmax_cross_entropy`](super::softmax_cross_entropy).
///
/// ```
/// use fused_rnn::train::accuracy;
///
/// assert_eq!(accuracy(&[0.1, 0.7, 0.5, 0.2], 2, &[1, 1])?, 0.5);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn accuracy(logits: &[f32], classes: usize, labels: &[usize]) -> Result<f64, Error> {
    let batch = rows("logits", logits.len(), classes)?;
    check_len("labels", batch, labels.len())?;
    if let Some(index) = labels.iter().position(|&label| label >= classes) {
        return Err(Error::Label { index, classes, got: labels[index] });
    }
    let right = logits.chunks_exact(classes).zip(labels).filter(|&(z, &label)| {
        let best = z[label];
        // False for any NaN, as a comparison with one is.
        z[..label].iter().all(|&other| other < best) && z[label..].iter().all(|&other| other <= best)
    });
    Ok(Reduction::Mean.of(right.count() as f64, labels.len() as f64))
}

/// The share of logits that are right about yes and no: above 0, a probability of more than one half, where
/// the target is above 0.5, and at most 0 where it is not. `logits` and `targets` are of one length, as for
/// [`BinaryCrossEntropy`](super::BinaryCrossEntropy). Keras' `BinaryAccuracy`, of logits.
///
/// A NaN is wrong. The accuracy of no logits is 0.
///
/// # Errors
/// [`Error::Length`] where the slices differ in length.
///
/// ```
/// use fused_rnn::train::binary_accuracy;
///
/// assert_eq!(binary_accuracy(&[3.0, -0.2, 0.1, -5.0], &[1.0, 0.0, 0.0, 0.0])?, 0.75);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "BinaryAccuracy")]
pub fn binary_accuracy(logits: &[f32], targets: &[f32]) -> Result<f64, Error> {
    check_len("targets", logits.len(), targets.len())?;
    let right = |&(&z, &target): &(&f32, &f32)| if target > 0.5 { z > 0.0 } else { z <= 0.0 };
    let right = logits.iter().zip(targets).filter(right).count();
    Ok(Reduction::Mean.of(right as f64, logits.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_the_first_largest_and_never_nan() {
        let nan = f32::NAN;
        let logits =
            [1.0, 1.0, 0.0, /**/ 0.0, 2.0, 2.0, /**/ nan, 5.0, 0.0, /**/ 0.0, 5.0, nan];
        assert_eq!(accuracy(&logits, 3, &[0, 1, 1, 1]).unwrap(), 0.5);
        assert_eq!(accuracy(&logits, 3, &[1, 2, 0, 2]).unwrap(), 0.0);
        assert_eq!(accuracy(&[f32::INFINITY, 0.0], 2, &[0]).unwrap(), 1.0);
        assert_eq!(accuracy(&[f32::NEG_INFINITY; 2], 2, &[0]).unwrap(), 1.0);
    }

    #[test]
    fn binary_accuracy_says_no_at_zero_and_counts_no_nan() {
        assert_eq!(binary_accuracy(&[0.0, -0.0, 1e-30, f32::NAN], &[0.0, 0.0, 1.0, 0.0]), Ok(0.75));
        assert_eq!(binary_accuracy(&[0.0, f32::INFINITY, f32::NAN], &[1.0, 0.0, 1.0]), Ok(0.0));
        // Targets between 0 and 1, as of label smoothing.
        assert_eq!(binary_accuracy(&[2.0, -2.0], &[0.9, 0.1]), Ok(1.0));
        assert_eq!(binary_accuracy(&[], &[]), Ok(0.0));
        let short = Error::Length { what: "targets", expected: 2, got: 1 };
        assert_eq!(binary_accuracy(&[0.0; 2], &[0.0]), Err(short));
    }

    #[test]
    fn softmax_rows_sum_to_one() {
        let mut p = [0.0; 4];
        softmax(&[1000.0, 1000.0, -5.0, f32::NEG_INFINITY], 2, &mut p).unwrap();
        assert_eq!(p, [0.5, 0.5, 1.0, 0.0]);
    }

    #[test]
    fn empty_batches_and_mistakes() {
        assert_eq!(accuracy(&[], 3, &[]), Ok(0.0));
        let label = Error::Label { index: 1, classes: 2, got: 2 };
        assert_eq!(accuracy(&[0.0; 4], 2, &[1, 2]), Err(label));
        assert_eq!(accuracy(&[], 0, &[]), Err(Error::ZeroSize { what: "classes" }));
        let mut p = [9.0; 2];
        let short = Error::Length { what: "probabilities", expected: 4, got: 2 };
        assert_eq!(softmax(&[0.0; 4], 2, &mut p), Err(short));
        assert_eq!(p, [9.0; 2]);
    }
}
