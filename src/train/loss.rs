//! Losses, each with its gradient in the same pass, and accuracy.
//!
//! **Softmax cross-entropy**, the mean over the batch. For one row of logits `z`, with targets `t` that
//! are probabilities, or a label `k`, which is the target `t_k = 1`:
//!
//! ```text
//! m = max_c z_c       s = sum_c exp(z_c - m)       p_c = exp(z_c - m) / s
//!
//! loss   =  (sum_c t_c) log s - sum_c t_c (z_c - m)              with a label:  log s - (z_k - m)
//! dz_c   =  (p_c sum_c t_c - t_c) / B                                           (p_c - [c = k]) / B
//! ```
//!
//! Subtracting the maximum keeps every exponential in `[0, 1]` and one of them at 1, so that nothing
//! overflows and `s >= 1`. The loss is taken from logits, not from probabilities: Keras' categorical
//! cross-entropy behind a softmax layer is the same function, but for its cut of `p` at 1e-7.
//!
//! **Mean squared error**, the mean over all `n` values: `sum (y - t)^2 / n`, gradient `2 (y - t) / n`.
//!
//! Values and gradients are `f32`, sums over a row or a batch `f64`. NaN and infinities reach the loss.
//! The loss of an empty batch is 0. Every row counts: of sequences with lengths give the real steps alone, put side by
//! side, or padding, whose outputs are zero, counts in the mean and its bias in the gradient.

use crate::Error;
use crate::error::{check_len, checked_size};

/// Softmax cross-entropy with integer labels, the mean over the batch.
///
/// `logits (B, classes)`, `labels (B)` below `classes`. Where `dlogits (B, classes)` is given, it is
/// overwritten with the gradient. Same as PyTorch's `cross_entropy` and Keras'
/// `SparseCategoricalCrossentropy(from_logits=True)`.
///
/// # Errors
/// [`Error::ZeroSize`] for no classes, [`Error::Length`] where a slice does not fit the others,
/// [`Error::Label`] for a label that is no class. `dlogits` is then untouched.
///
/// ```
/// use fused_rnn::train::softmax_cross_entropy;
///
/// let mut gradient = [0.0; 2];
/// let loss = softmax_cross_entropy(&[0.0, 3.0f32.ln()], 2, &[0], Some(&mut gradient))?;
/// assert!((loss - 4.0f64.ln()).abs() < 1e-6); // softmax gives 1/4 and 3/4
/// assert!((gradient[0] + 0.75).abs() < 1e-6 && (gradient[1] - 0.75).abs() < 1e-6);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn softmax_cross_entropy(
    logits: &[f32],
    classes: usize,
    labels: &[usize],
    mut dlogits: Option<&mut [f32]>,
) -> Result<f64, Error> {
    check_labels(logits, classes, labels)?;
    check_gradient("dlogits", logits, &dlogits)?;

    let scale = 1.0 / labels.len() as f32;
    let mut loss = 0.0;
    for (row, (z, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let dz = row_of(&mut dlogits, row, classes);
        let max = maximum(z);
        let sum = match dz {
            None => exponentials(z, max, |_, _| ()),
            Some(dz) => {
                let sum = exponentials(z, max, |c, e| dz[c] = e);
                let inverse = (1.0 / sum) as f32;
                for value in &mut *dz {
                    *value *= inverse;
                }
                dz[label] -= 1.0;
                for value in dz {
                    *value *= scale;
                }
                sum
            }
        };
        loss += sum.ln() - (f64::from(z[label]) - f64::from(max));
    }
    Ok(mean(loss, labels.len()))
}

/// Softmax cross-entropy with probabilities as targets (one-hot rows among them), the mean over the
/// batch.
///
/// `logits` and `targets` `(B, classes)`. Where `dlogits (B, classes)` is given, it is overwritten with
/// the gradient. A class with target 0 adds nothing to the loss, whatever its logit, so that a one-hot
/// row gives what [`softmax_cross_entropy`] gives for its label. A row of targets need not sum to one:
/// loss and gradient are those of the formula. Same as PyTorch's `cross_entropy` with probabilities and
/// Keras' `CategoricalCrossentropy(from_logits=True)`.
///
/// # Errors
/// [`Error::ZeroSize`] for no classes, [`Error::Length`] where a slice does not fit the others or the
/// logits are no whole number of rows. `dlogits` is then untouched.
///
/// ```
/// use fused_rnn::train::{softmax_cross_entropy, softmax_cross_entropy_soft};
///
/// let logits = [0.1, 0.9, -0.4];
/// let one_hot = softmax_cross_entropy_soft(&logits, 3, &[0.0, 1.0, 0.0], None)?;
/// assert_eq!(one_hot, softmax_cross_entropy(&logits, 3, &[1], None)?);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn softmax_cross_entropy_soft(
    logits: &[f32],
    classes: usize,
    targets: &[f32],
    mut dlogits: Option<&mut [f32]>,
) -> Result<f64, Error> {
    let batch = rows("logits", logits.len(), classes)?;
    check_len("targets", logits.len(), targets.len())?;
    check_gradient("dlogits", logits, &dlogits)?;

    let scale = 1.0 / batch as f32;
    let mut loss = 0.0;
    for (row, (z, t)) in logits.chunks_exact(classes).zip(targets.chunks_exact(classes)).enumerate() {
        let dz = row_of(&mut dlogits, row, classes);
        let max = maximum(z);
        let (mut total, mut product) = (0.0, 0.0);
        for (&z, &t) in z.iter().zip(t) {
            // 0 times an infinite logit is to be 0 here, the limit of t log p.
            if t != 0.0 {
                total += f64::from(t);
                product += f64::from(t) * (f64::from(z) - f64::from(max));
            }
        }
        let sum = match dz {
            None => exponentials(z, max, |_, _| ()),
            Some(dz) => {
                let sum = exponentials(z, max, |c, e| dz[c] = e);
                let inverse = (total / sum) as f32;
                for (value, t) in dz.iter_mut().zip(t) {
                    *value = (*value * inverse - t) * scale;
                }
                sum
            }
        };
        loss += total * sum.ln() - product;
    }
    Ok(mean(loss, batch))
}

/// The probabilities `exp(z_c) / sum exp(z)` of each row: `logits` and `probabilities` `(B, classes)`.
///
/// # Errors
/// [`Error::ZeroSize`] for no classes, [`Error::Length`] where the logits are no whole number of rows or
/// `probabilities` has another length. It is then untouched.
pub fn softmax(logits: &[f32], classes: usize, probabilities: &mut [f32]) -> Result<(), Error> {
    rows("logits", logits.len(), classes)?;
    check_len("probabilities", logits.len(), probabilities.len())?;
    for (z, p) in logits.chunks_exact(classes).zip(probabilities.chunks_exact_mut(classes)) {
        let sum = exponentials(z, maximum(z), |c, e| p[c] = e);
        let inverse = (1.0 / sum) as f32;
        for value in p {
            *value *= inverse;
        }
    }
    Ok(())
}

/// The share of rows whose largest logit is that of the label: `logits (B, classes)`, `labels (B)`.
///
/// Of several largest logits the first counts, as in NumPy's `argmax`. A row that holds a NaN is wrong.
/// The accuracy of an empty batch is 0.
///
/// # Errors
/// [`Error::ZeroSize`], [`Error::Length`] and [`Error::Label`] as in [`softmax_cross_entropy`].
///
/// ```
/// use fused_rnn::train::accuracy;
///
/// assert_eq!(accuracy(&[0.1, 0.7, 0.5, 0.2], 2, &[1, 1])?, 0.5);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn accuracy(logits: &[f32], classes: usize, labels: &[usize]) -> Result<f64, Error> {
    check_labels(logits, classes, labels)?;
    let right = logits.chunks_exact(classes).zip(labels).filter(|&(z, &label)| {
        let best = z[label];
        // False for any NaN, as a comparison with one is.
        z[..label].iter().all(|&other| other < best) && z[label..].iter().all(|&other| other <= best)
    });
    Ok(mean(right.count() as f64, labels.len()))
}

/// Mean squared error over all values: `y` and `targets` of one length, any shape.
///
/// Where `dy` is given, it is overwritten with the gradient `2 (y - t) / n`. Same as PyTorch's
/// `mse_loss`, and as Keras' `MeanSquaredError`.
///
/// # Errors
/// [`Error::Length`] where the slices differ in length. `dy` is then untouched.
///
/// ```
/// use fused_rnn::train::mean_squared_error;
///
/// let mut gradient = [0.0; 2];
/// assert_eq!(mean_squared_error(&[1.0, 5.0], &[2.0, 2.0], Some(&mut gradient))?, 5.0);
/// assert_eq!(gradient, [-1.0, 3.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn mean_squared_error(y: &[f32], targets: &[f32], dy: Option<&mut [f32]>) -> Result<f64, Error> {
    check_len("targets", y.len(), targets.len())?;
    check_gradient("dy", y, &dy)?;
    if let Some(dy) = dy {
        let scale = 2.0 / y.len() as f32;
        for ((dy, y), t) in dy.iter_mut().zip(y).zip(targets) {
            *dy = (y - t) * scale;
        }
    }
    let square = |(&y, &t): (&f32, &f32)| (f64::from(y) - f64::from(t)).powi(2);
    Ok(mean(y.iter().zip(targets).map(square).sum(), y.len()))
}

/// The largest value of a row; NaN are passed over, for they reach the result through the exponentials.
fn maximum(z: &[f32]) -> f32 {
    z.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Hands out `exp(z_c - max)` for each class and returns their sum.
#[inline(always)]
fn exponentials(z: &[f32], max: f32, mut put: impl FnMut(usize, f32)) -> f64 {
    let mut sum = 0.0;
    for (c, &z) in z.iter().enumerate() {
        let e = (z - max).exp();
        sum += f64::from(e);
        put(c, e);
    }
    sum
}

fn mean(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Row `row` of a gradient, where one is asked for.
fn row_of<'a>(gradient: &'a mut Option<&mut [f32]>, row: usize, width: usize) -> Option<&'a mut [f32]> {
    gradient.as_deref_mut().map(|gradient| &mut gradient[row * width..][..width])
}

/// The number of rows of `width` values; the values must be a whole number of them.
fn rows(what: &'static str, len: usize, classes: usize) -> Result<usize, Error> {
    if classes == 0 {
        return Err(Error::ZeroSize { what: "classes" });
    }
    let rows = len / classes;
    check_len(what, rows * classes, len)?;
    Ok(rows)
}

fn check_labels(logits: &[f32], classes: usize, labels: &[usize]) -> Result<(), Error> {
    if classes == 0 {
        return Err(Error::ZeroSize { what: "classes" });
    }
    check_len("logits", checked_size("logits", &[labels.len(), classes])?, logits.len())?;
    match labels.iter().position(|&label| label >= classes) {
        Some(index) => Err(Error::Label { index, classes, got: labels[index] }),
        None => Ok(()),
    }
}

fn check_gradient(what: &'static str, values: &[f32], gradient: &Option<&mut [f32]>) -> Result<(), Error> {
    gradient.as_ref().map_or(Ok(()), |gradient| check_len(what, values.len(), gradient.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} for {want}");
    }

    /// The cross-entropy by its definition, in f64 and without the shift.
    fn by_definition(logits: &[f64], classes: usize, targets: &[f64]) -> f64 {
        let mut loss = 0.0;
        for (z, t) in logits.chunks(classes).zip(targets.chunks(classes)) {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            loss -= z.iter().zip(t).map(|(z, t)| t * (z.exp() / sum).ln()).sum::<f64>();
        }
        loss / (logits.len() / classes) as f64
    }

    #[test]
    fn cross_entropy_and_its_gradient_agree_with_the_definition() {
        let (batch, classes) = (4, 5);
        let mut rng = Rng::new(1);
        let logits: Vec<f32> = (0..batch * classes).map(|_| rng.uniform(-3.0, 3.0)).collect();
        // Rows that do not sum to one, to pin down the derivative of the formula as it is written.
        let targets: Vec<f32> = (0..batch * classes).map(|_| rng.uniform(0.0, 1.0)).collect();
        let mut gradient = vec![f32::NAN; logits.len()];
        let loss = softmax_cross_entropy_soft(&logits, classes, &targets, Some(&mut gradient)).unwrap();
        assert_eq!(loss, softmax_cross_entropy_soft(&logits, classes, &targets, None).unwrap());

        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let (z, t, h) = (wide(&logits), wide(&targets), 1e-5);
        close(loss, by_definition(&z, classes, &t));
        for (at, &got) in gradient.iter().enumerate() {
            let (mut up, mut down) = (z.clone(), z.clone());
            up[at] += h;
            down[at] -= h;
            let slope = (by_definition(&up, classes, &t) - by_definition(&down, classes, &t)) / (2.0 * h);
            close(f64::from(got), slope);
        }
    }

    #[test]
    fn labels_are_one_hot_targets() {
        let mut rng = Rng::new(2);
        let logits: Vec<f32> = (0..12).map(|_| rng.uniform(-9.0, 9.0)).collect();
        let (labels, mut targets) = ([2, 0, 1, 1], [0.0; 12]);
        for (row, &label) in labels.iter().enumerate() {
            targets[row * 3 + label] = 1.0;
        }
        let (mut by_label, mut by_target) = ([0.0; 12], [0.0; 12]);
        let loss = softmax_cross_entropy(&logits, 3, &labels, Some(&mut by_label)).unwrap();
        assert_eq!(loss, softmax_cross_entropy_soft(&logits, 3, &targets, Some(&mut by_target)).unwrap());
        assert_eq!(by_label, by_target);
        assert_eq!(loss, softmax_cross_entropy(&logits, 3, &labels, None).unwrap());
    }

    #[test]
    fn extreme_logits_do_not_overflow() {
        let mut gradient = [0.0; 2];
        let loss = softmax_cross_entropy(&[3e38, -3e38], 2, &[0], Some(&mut gradient)).unwrap();
        assert_eq!((loss, gradient), (0.0, [0.0, 0.0]));
        let loss = softmax_cross_entropy(&[1e4, 0.0], 2, &[1], Some(&mut gradient)).unwrap();
        assert_eq!((loss, gradient), (1e4, [1.0, -1.0]));
        // Equal logits: log of the number of classes, at any height.
        close(softmax_cross_entropy(&[-1e30; 8], 8, &[3], None).unwrap(), 8.0f64.ln());
    }

    #[test]
    fn infinities_and_nan_reach_the_loss() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let label = |z: [f32; 2], label| softmax_cross_entropy(&z, 2, &[label], None).unwrap();
        let soft = |z: [f32; 2], t: [f32; 2]| softmax_cross_entropy_soft(&z, 2, &t, None).unwrap();
        // A class that is impossible costs nothing where it is not asked for, and everything where it is.
        assert_eq!((label([0.0, -inf], 0), soft([0.0, -inf], [1.0, 0.0])), (0.0, 0.0));
        assert_eq!((label([0.0, -inf], 1), soft([0.0, -inf], [0.0, 1.0])), (f64::INFINITY, f64::INFINITY));
        for z in [[nan, 0.0], [0.0, nan], [inf, 0.0], [-inf, -inf]] {
            assert!(label(z, 0).is_nan() && label(z, 1).is_nan(), "{z:?}");
            assert!(soft(z, [1.0, 0.0]).is_nan() && soft(z, [0.0, 0.0]).is_nan(), "{z:?}");
        }
        assert!(soft([0.0, 0.0], [nan, 0.0]).is_nan());
        assert!(mean_squared_error(&[nan], &[0.0], None).unwrap().is_nan());
        assert_eq!(mean_squared_error(&[inf], &[0.0], None).unwrap(), f64::INFINITY);
        // Squares beyond f32 are still finite here.
        close(mean_squared_error(&[1e30], &[0.0], None).unwrap() / 1e60, 1.0);
    }

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
    fn squared_error_by_hand() {
        let mut gradient = [0.0; 4];
        let loss = mean_squared_error(&[1.0, 2.0, 3.0, 4.0], &[0.0, 4.0, 3.0, 5.0], Some(&mut gradient));
        assert_eq!((loss, gradient), (Ok(1.5), [0.5, -1.0, 0.0, -0.5]));
    }

    #[test]
    fn softmax_rows_sum_to_one() {
        let mut p = [0.0; 4];
        softmax(&[1000.0, 1000.0, -5.0, f32::NEG_INFINITY], 2, &mut p).unwrap();
        assert_eq!(p, [0.5, 0.5, 1.0, 0.0]);
    }

    #[test]
    fn empty_batches_and_mistakes() {
        assert_eq!(softmax_cross_entropy(&[], 3, &[], Some(&mut [])), Ok(0.0));
        assert_eq!(softmax_cross_entropy_soft(&[], 3, &[], Some(&mut [])), Ok(0.0));
        assert_eq!(mean_squared_error(&[], &[], Some(&mut [])), Ok(0.0));
        assert_eq!(accuracy(&[], 3, &[]), Ok(0.0));

        let zero = Error::ZeroSize { what: "classes" };
        assert_eq!(softmax_cross_entropy(&[], 0, &[], None), Err(zero.clone()));
        assert_eq!(softmax_cross_entropy_soft(&[], 0, &[], None), Err(zero));
        let mut gradient = [9.0; 4];
        let label = Error::Label { index: 1, classes: 2, got: 2 };
        assert_eq!(softmax_cross_entropy(&[0.0; 4], 2, &[1, 2], Some(&mut gradient)), Err(label.clone()));
        assert_eq!(accuracy(&[0.0; 4], 2, &[1, 2]), Err(label));
        let length = |what, expected, got| Err(Error::Length { what, expected, got });
        assert_eq!(softmax_cross_entropy(&[0.0; 3], 2, &[1, 0], None), length("logits", 4, 3));
        let short = Some(&mut gradient[..3]);
        assert_eq!(softmax_cross_entropy(&[0.0; 4], 2, &[1, 0], short), length("dlogits", 4, 3));
        assert_eq!(softmax_cross_entropy_soft(&[0.0; 5], 2, &[0.0; 5], None), length("logits", 4, 5));
        assert_eq!(softmax_cross_entropy_soft(&[0.0; 4], 2, &[0.0; 3], None), length("targets", 4, 3));
        assert_eq!(mean_squared_error(&[0.0; 2], &[0.0], None), length("targets", 2, 1));
        let short = softmax(&[0.0; 4], 2, &mut gradient[..2]).map(|()| 0.0);
        assert_eq!(short, length("probabilities", 4, 2));
        assert_eq!(gradient, [9.0; 4]);
    }
}
