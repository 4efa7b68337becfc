//! Softmax cross-entropy.
//!
//! For one row of logits `z`, with targets `t` that are probabilities, or a label `k`, which is the target
//! `t_k = 1`; with class weights `w` (1 where none are given) and label smoothing `a` (0):
//!
//! ```text
//! q_c  =  w_c (t_c (1 - a) + a / C)            probabilities
//! q_c  =  w_k (1 - a) [c = k] + w_c a / C      a label
//!
//! m = max_c z_c       s = sum_c exp(z_c - m)       p_c = exp(z_c - m) / s
//!
//! loss   =  (sum_c q_c) log s - sum_c q_c (z_c - m)          with a label and no options:  log s - (z_k - m)
//! dz_c   =  p_c sum_c q_c - q_c                                                            p_c - [c = k]
//! ```
//!
//! A mean divides by the number of rows that count, with labels by the sum of the weights `w_k` of their
//! labels, as PyTorch does.
//!
//! Subtracting the maximum keeps every exponential in `[0, 1]` and one of them at 1, so that nothing
//! overflows and `s >= 1`. The loss is taken from logits, not from probabilities: Keras' categorical
//! cross-entropy behind a softmax layer is the same function, but for its cut of `p` at 1e-7.

use super::{
    Reduction, check_gradient, check_mask, check_smoothing, check_weights, count, counts, row_of, rows,
};
use crate::Error;
use crate::error::check_len;
use crate::train::exp::exponentials;

/// Softmax cross-entropy with its options: rows that are left out, class weights, label smoothing, mean or
/// sum. PyTorch's `cross_entropy`, Keras' `SparseCategoricalCrossentropy` and `CategoricalCrossentropy` with
/// `from_logits=True`.
///
/// ```
/// use fused_rnn::train::CrossEntropy;
///
/// // Two sequences of two steps over three classes; the second has one step.
/// let logits = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 7.0, 7.0, 7.0];
/// let padding = usize::MAX;
/// let labels = [2, 0, 1, padding];
/// let mut gradient = [9.0; 12];
/// let loss = CrossEntropy::new(3).ignore_index(padding).loss(&logits, &labels, Some(&mut gradient))?;
/// let masked = CrossEntropy::new(3).mask(&[true, true, true, false]).loss(&logits, &labels, None)?;
/// assert_eq!(loss, masked); // the mean over three steps
/// assert_eq!(gradient[9..], [0.0; 3]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "CrossEntropyLoss", alias = "SparseCategoricalCrossentropy", alias = "CategoricalCrossentropy")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropy<'a> {
    classes: usize,
    ignore: Option<usize>,
    weights: Option<&'a [f32]>,
    smoothing: f64,
    mask: Option<&'a [bool]>,
    reduction: Reduction,
}

impl<'a> CrossEntropy<'a> {
    /// A cross-entropy of `classes` classes that is the mean over all rows, without any option.
    pub fn new(classes: usize) -> Self {
        let (ignore, weights, mask, reduction) = (None, None, None, Reduction::Mean);
        CrossEntropy { classes, ignore, weights, smoothing: 0.0, mask, reduction }
    }

    /// Leaves out rows with this label, which need not be a class: `usize::MAX` is one that no data has.
    /// PyTorch's `ignore_index`.
    pub fn ignore_index(self, label: usize) -> Self {
        CrossEntropy { ignore: Some(label), ..self }
    }

    /// Leaves out rows whose flag is `false`: one flag for each row of logits.
    pub fn mask(self, mask: &'a [bool]) -> Self {
        CrossEntropy { mask: Some(mask), ..self }
    }

    /// Class weights `(classes)`, against classes of unequal frequency. PyTorch's `weight`.
    ///
    /// ```
    /// use fused_rnn::train::CrossEntropy;
    ///
    /// // Both losses are ln 2; the second row counts three times.
    /// let loss = CrossEntropy::new(2).class_weights(&[1.0, 3.0]).sum();
    /// assert!((loss.loss(&[0.0; 4], &[0, 1], None)? - 4.0 * 2f64.ln()).abs() < 1e-12);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn class_weights(self, weights: &'a [f32]) -> Self {
        CrossEntropy { weights: Some(weights), ..self }
    }

    /// Label smoothing: takes this share of a target and spreads it evenly over all classes. In `[0, 1]`.
    /// Szegedy et al., *Rethinking the Inception architecture*, CVPR 2016, section 7.
    pub fn label_smoothing(self, smoothing: f64) -> Self {
        CrossEntropy { smoothing, ..self }
    }

    /// Takes the sum over the rows instead of the mean.
    pub fn sum(self) -> Self {
        CrossEntropy { reduction: Reduction::Sum, ..self }
    }

    /// The loss of `logits (B, classes)` against `labels (B)`. Where `dlogits (B, classes)` is given, it is
    /// overwritten with the gradient.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] for no classes, [`Error::Length`] where a slice does not fit the others,
    /// [`Error::Label`] for a label that counts and is no class, [`Error::OutOfRange`] for a weight that is
    /// negative or not finite, or for such a smoothing. `dlogits` is then untouched.
    pub fn loss(
        &self,
        logits: &[f32],
        labels: &[usize],
        mut dlogits: Option<&mut [f32]>,
    ) -> Result<f64, Error> {
        let batch = rows("logits", logits.len(), self.classes)?;
        check_len("labels", batch, labels.len())?;
        self.check(batch, logits, &dlogits)?;
        let classes = self.classes;
        let real = |row: usize| counts(self.mask, row) && self.ignore != Some(labels[row]);
        if let Some(index) = (0..batch).find(|&row| real(row) && labels[row] >= classes) {
            return Err(Error::Label { index, classes, got: labels[index] });
        }

        let given = |class: usize| self.weights.map_or(1.0, |weights| f64::from(weights[class]));
        let sum: f64 = (0..batch).filter(|&row| real(row)).map(|row| given(labels[row])).sum();
        // A mean is the same with weights that are all larger. One over a tiny sum would be no f32.
        let is_tiny = sum > 0.0 && sum < f64::from(f32::MIN_POSITIVE);
        let lift = if is_tiny && self.reduction == Reduction::Mean { 2f64.powi(120) } else { 1.0 };
        let (weight, weights) = (|class: usize| given(class) * lift, sum * lift);
        let scale = self.reduction.scale(weights);
        let (share, spread) = (1.0 - self.smoothing, self.smoothing / classes as f64);
        // The part of the sum of targets that smoothing adds.
        let smoothed = match spread == 0.0 {
            true => 0.0,
            false => (0..classes).map(weight).sum::<f64>() * spread,
        };
        let mut loss = 0.0;
        for (row, (z, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
            let dz = row_of(&mut dlogits, row, classes);
            if !real(row) {
                dz.into_iter().for_each(|dz| dz.fill(0.0));
                continue;
            }
            let max = maximum(z);
            let height = |c: usize| f64::from(z[c]) - f64::from(max);
            let own = weight(label) * share;
            let mut target = Target { total: own + smoothed, product: product(own, height(label)) };
            if spread == 0.0 {
                loss += target.loss(z, max, scale, dz, |c| if c == label { own as f32 } else { 0.0 });
                continue;
            }
            target.product += (0..classes).map(|c| product(weight(c) * spread, height(c))).sum::<f64>();
            loss += target.loss(z, max, scale, dz, |c| {
                (weight(c) * spread + if c == label { own } else { 0.0 }) as f32
            });
        }
        Ok(self.reduction.of(loss, weights))
    }

    /// The loss of `logits (B, classes)` against probabilities `targets (B, classes)`. Where `dlogits (B,
    /// classes)` is given, it is overwritten with the gradient. There is no label to be ignored; the other
    /// options hold.
    ///
    /// # Errors
    /// As [`loss`](CrossEntropy::loss) has them.
    ///
    /// ```
    /// use fused_rnn::train::CrossEntropy;
    ///
    /// let (logits, mut gradient) = ([0.0, 0.0, 9.0, 9.0], [9.0; 4]);
    /// let masked = CrossEntropy::new(2).mask(&[true, false]);
    /// masked.loss_soft(&logits, &[0.25, 0.75, 0.5, 0.5], Some(&mut gradient))?;
    /// assert_eq!(gradient, [0.25, -0.25, 0.0, 0.0]); // 1/2 - t
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn loss_soft(
        &self,
        logits: &[f32],
        targets: &[f32],
        mut dlogits: Option<&mut [f32]>,
    ) -> Result<f64, Error> {
        let batch = rows("logits", logits.len(), self.classes)?;
        check_len("targets", logits.len(), targets.len())?;
        self.check(batch, logits, &dlogits)?;
        let classes = self.classes;
        let real = count(self.mask, batch) as f64;
        let scale = self.reduction.scale(real);
        let (share, spread) = (1.0 - self.smoothing, self.smoothing / classes as f64);
        let q = |c: usize, t: f32| {
            let weight = self.weights.map_or(1.0, |weights| f64::from(weights[c]));
            weight * (f64::from(t) * share + spread)
        };
        let mut loss = 0.0;
        for (row, (z, t)) in logits.chunks_exact(classes).zip(targets.chunks_exact(classes)).enumerate() {
            let dz = row_of(&mut dlogits, row, classes);
            if !counts(self.mask, row) {
                dz.into_iter().for_each(|dz| dz.fill(0.0));
                continue;
            }
            let max = maximum(z);
            let mut target = Target { total: 0.0, product: 0.0 };
            for (c, (&z, &t)) in z.iter().zip(t).enumerate() {
                target.total += q(c, t);
                target.product += product(q(c, t), f64::from(z) - f64::from(max));
            }
            loss += target.loss(z, max, scale, dz, |c| q(c, t[c]) as f32);
        }
        Ok(self.reduction.of(loss, real))
    }

    fn check(&self, batch: usize, logits: &[f32], dlogits: &Option<&mut [f32]>) -> Result<(), Error> {
        check_gradient("dlogits", logits, dlogits)?;
        check_mask(batch, self.mask)?;
        check_smoothing(self.smoothing)?;
        self.weights.map_or(Ok(()), |weights| {
            check_len("class_weights", self.classes, weights.len())?;
            check_weights("class_weights", weights)
        })
    }
}

/// The targets of a row, as far as its loss sees them.
struct Target {
    /// The sum of them.
    total: f64,
    /// The sum of their products with `z - max`.
    product: f64,
}

impl Target {
    /// The loss of a row, and its gradient times `scale` where it is asked for; `q` is the target of a class.
    #[inline(always)]
    fn loss(&self, z: &[f32], max: f32, scale: f64, dz: Option<&mut [f32]>, q: impl Fn(usize) -> f32) -> f64 {
        let sum = match dz {
            None => exponentials(z, max, None),
            Some(dz) => {
                let sum = exponentials(z, max, Some(dz));
                let (inverse, scale) = ((self.total / sum) as f32, scale as f32);
                for (c, value) in dz.iter_mut().enumerate() {
                    *value = (*value * inverse - q(c)) * scale;
                }
                sum
            }
        };
        self.total * sum.ln() - self.product
    }
}

/// A target times the height of its logit. 0 times an infinite logit is to be 0 here, the limit of t log p.
fn product(target: f64, height: f64) -> f64 {
    if target == 0.0 { 0.0 } else { target * height }
}

/// Softmax cross-entropy with integer labels, the mean over the batch.
///
/// `logits (B, classes)`, `labels (B)` below `classes`. Where `dlogits (B, classes)` is given, it is
/// overwritten with the gradient. Same as PyTorch's `cross_entropy` and Keras'
/// `SparseCategoricalCrossentropy(from_logits=True)`.
///
/// # Errors
/// [`Error::ZeroSize`] for no classes, [`Error::Length`] where a slice does not fit the others,
/// [`Error::Label`] for a label that is no class. `dlogits` is then untouched. [`CrossEntropy`] leaves rows
/// out, weighs classes and smooths labels.
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
    dlogits: Option<&mut [f32]>,
) -> Result<f64, Error> {
    CrossEntropy::new(classes).loss(logits, labels, dlogits)
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
    dlogits: Option<&mut [f32]>,
) -> Result<f64, Error> {
    CrossEntropy::new(classes).loss_soft(logits, targets, dlogits)
}

/// The largest value of a row; NaN are passed over, for they reach the result through the exponentials.
pub(in crate::train) fn maximum(z: &[f32]) -> f32 {
    z.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use approx::assert_relative_eq;

    fn close(got: f64, want: f64) {
        assert_relative_eq!(got, want, epsilon = 1e-6, max_relative = 1e-6);
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
    fn a_mean_is_the_same_with_weights_of_any_size() {
        let (logits, labels) = ([0.5, -1.0, 2.0, 0.0, 1.0, -0.5], [2, 0]);
        for smoothing in [0.0, 0.25] {
            let of = |weight: f32| {
                let (weights, mut gradient) = ([weight; 3], [9.0; 6]);
                let loss = CrossEntropy::new(3).class_weights(&weights).label_smoothing(smoothing);
                (loss.loss(&logits, &labels, Some(&mut gradient)).unwrap(), gradient)
            };
            let (loss, gradient) = of(1.0);
            // (The sum of two of the largest is beyond f32.)
            for weight in [1e-45, 1e-39, 1e-20, 1e30, f32::MAX] {
                let (other, others) = of(weight);
                close(other, loss);
                others.iter().zip(&gradient).for_each(|(&other, &g)| close(other.into(), g.into()));
            }
        }
        // A weight of nothing is still nothing.
        let mut gradient = [9.0; 6];
        let nothing = CrossEntropy::new(3).class_weights(&[0.0, 3e38, 0.0]).label_smoothing(0.5);
        assert_eq!(nothing.loss(&logits, &labels, Some(&mut gradient)), Ok(0.0));
        assert_eq!(gradient, [0.0; 6]);
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
    }

    #[test]
    fn empty_batches_and_mistakes() {
        assert_eq!(softmax_cross_entropy(&[], 3, &[], Some(&mut [])), Ok(0.0));
        assert_eq!(softmax_cross_entropy_soft(&[], 3, &[], Some(&mut [])), Ok(0.0));

        let zero = Error::ZeroSize { what: "classes" };
        assert_eq!(softmax_cross_entropy(&[], 0, &[], None), Err(zero.clone()));
        assert_eq!(softmax_cross_entropy_soft(&[], 0, &[], None), Err(zero));
        let mut gradient = [9.0; 4];
        let label = Error::Label { index: 1, classes: 2, got: 2 };
        assert_eq!(softmax_cross_entropy(&[0.0; 4], 2, &[1, 2], Some(&mut gradient)), Err(label));
        let length = |what, expected, got| Err(Error::Length { what, expected, got });
        assert_eq!(softmax_cross_entropy(&[0.0; 3], 2, &[1, 0], None), length("logits", 2, 3));
        assert_eq!(softmax_cross_entropy(&[0.0; 4], 2, &[1], None), length("labels", 2, 1));
        let short = Some(&mut gradient[..3]);
        assert_eq!(softmax_cross_entropy(&[0.0; 4], 2, &[1, 0], short), length("dlogits", 4, 3));
        assert_eq!(softmax_cross_entropy_soft(&[0.0; 5], 2, &[0.0; 5], None), length("logits", 4, 5));
        assert_eq!(softmax_cross_entropy_soft(&[0.0; 4], 2, &[0.0; 3], None), length("targets", 4, 3));
        assert_eq!(gradient, [9.0; 4]);
    }

    #[test]
    fn rows_that_do_not_count_are_not_read() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let logits = [1.0, 2.0, nan, inf, 0.5, -0.5];
        let mask = [true, false, true];
        let (mut by_mask, mut by_label, mut by_target) = ([9.0; 6], [9.0; 6], [9.0; 6]);
        let loss = CrossEntropy::new(2).mask(&mask);
        let masked = loss.loss(&logits, &[0, 7, 1], Some(&mut by_mask)).unwrap();
        let ignored = CrossEntropy::new(2).ignore_index(7).loss(&logits, &[0, 7, 1], Some(&mut by_label));
        let soft = loss.loss_soft(&logits, &[1.0, 0.0, nan, nan, 0.0, 1.0], Some(&mut by_target));
        assert_eq!((ignored, soft), (Ok(masked), Ok(masked)));
        assert_eq!((by_label, by_target), (by_mask, by_mask));
        assert_eq!(by_mask[2..4], [0.0, 0.0]);
        let kept = softmax_cross_entropy(&[1.0, 2.0, 0.5, -0.5], 2, &[0, 1], None);
        assert_eq!(kept, Ok(masked));
        // Nothing counts, by a mask, a label or weights.
        let none = CrossEntropy::new(2).mask(&[false; 3]);
        assert_eq!(none.loss(&logits, &[0; 3], Some(&mut by_mask)), Ok(0.0));
        assert_eq!(none.loss_soft(&logits, &[nan; 6], Some(&mut by_target)), Ok(0.0));
        assert_eq!((by_mask, by_target), ([0.0; 6], [0.0; 6]));
        let weightless = CrossEntropy::new(2).class_weights(&[0.0, 1.0]);
        assert_eq!(weightless.loss(&[1.0, 2.0], &[0], Some(&mut by_mask[..2])), Ok(0.0));
        assert_eq!(by_mask[..2], [0.0, 0.0]);
    }

    #[test]
    fn options_that_do_not_fit_are_named() {
        let mut gradient = [9.0; 4];
        let mut said = |loss: CrossEntropy<'_>| {
            let hard = loss.loss(&[0.0; 4], &[0, 1], Some(&mut gradient)).unwrap_err().to_string();
            let soft = loss.loss_soft(&[0.0; 4], &[0.5; 4], Some(&mut gradient)).unwrap_err().to_string();
            assert_eq!((gradient, &hard), ([9.0; 4], &soft));
            hard
        };
        let new = CrossEntropy::new(2);
        assert_eq!(said(new.mask(&[true])), "mask: expected 2 values, got 1");
        assert_eq!(said(new.class_weights(&[1.0; 3])), "class_weights: expected 2 values, got 3");
        let negative = said(new.class_weights(&[1.0, -2.0]));
        assert_eq!(negative, "class_weights: expected finite numbers of at least 0, got -2");
        let smooth = said(new.label_smoothing(-0.5));
        assert_eq!(smooth, "label_smoothing: expected a number in [0, 1], got -0.5");
    }
}
