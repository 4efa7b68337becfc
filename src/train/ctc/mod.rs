//! Connectionist temporal classification (CTC): labels without times.
//!
//! A network gives logits at each of `T` steps; the target is a shorter row of labels, and nobody says at
//! which steps they are. The loss is `- log` of the probability of all alignments: rows of `T` labels and
//! blanks that give the target once repeats are merged and then blanks taken out. Graves, Fernández, Gomez &
//! Schmidhuber, *Connectionist temporal classification*, ICML 2006.
//!
//! ```text
//! p_t   =  softmax(z_t)
//! loss  =  - log  sum over alignments k of  prod_t p_t(k_t)                                equations 8 to 10
//! dz_tc =  p_t(c)  -  share of all alignments (by probability) that are at c at step t     equation 16
//! ```
//!
//! It is PyTorch's `ctc_loss` on `log_softmax` of the logits, values and gradients, its mean included. The
//! sums are logs in `f64`, so that no probability is too small. The gradient is that by the logits, which
//! PyTorch has after `log_softmax`.
//!
//! **Which labels.** A target has no blanks in it. Between two equal labels an alignment needs a blank: a row
//! of fewer steps than labels and repeats is impossible, its loss infinite and its gradient NaN, or, with
//! [`Ctc::zero_infinity`], both zero.
//!
//! **Decoding** turns logits into labels: [`Ctc::greedy`] takes the best class of each step,
//! [`Ctc::beam`] the labels that are most probable as a sum over alignments.
//!
//! ```text
//! lattice.rs   the sums over all alignments of one row
//! greedy.rs    the best class of each step
//! beam.rs      prefix beam search
//! ```

mod beam;
mod greedy;
mod lattice;

pub use beam::{BeamSearch, Hypothesis};

use super::exp::exponentials;
use super::loss::{Reduction, maximum};
use super::pad;
use crate::error::{check_index, check_len, checked_size, reserve};
use crate::{Dims, Error, Layout};
use lattice::{IMPOSSIBLE, Lattice};
use std::fmt;

/// Connectionist temporal classification: its loss with the gradient, and decoding. PyTorch's `CTCLoss`.
///
/// ```
/// use fused_rnn::Dims;
/// use fused_rnn::train::{Ctc, CtcWorkspace};
///
/// // Class 0 of three is the blank. Row 0: three steps, the labels 1 2. Row 1: two steps, the label 2.
/// let ctc = Ctc::new(3);
/// let dims = Dims::new(2, 3).with_lengths(&[3, 2]);
/// let logits = [0.0; 18];
/// let (mut gradient, mut workspace) = ([9.0; 18], CtcWorkspace::new());
/// let loss = ctc.loss(&logits, dims, &[1, 2, 2], &[2, 1], Some(&mut gradient), &mut workspace)?;
///
/// // All 27 alignments of three steps are alike, and 5 of them are of 1 2: 112, 122, 12-, 1-2, -12.
/// let of_row = |probability: f64| -probability.ln();
/// let losses = workspace.losses();
/// assert!((losses[0] - of_row(5.0 / 27.0)).abs() < 1e-6);
/// assert!((losses[1] - of_row(3.0 / 9.0)).abs() < 1e-6); // 22, 2-, -2
/// assert!((loss - (losses[0] / 2.0 + losses[1]) / 2.0).abs() < 1e-9);
/// assert_eq!(gradient[15..], [0.0; 3]); // padding
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "ctc_loss", alias = "CTCLoss")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ctc {
    classes: usize,
    blank: usize,
    layout: Layout,
    zero_infinity: bool,
    reduction: Reduction,
}

/// The memory of [`Ctc::loss`]. Keep it from batch to batch: once it has grown, nothing is allocated.
#[derive(Clone, Default, PartialEq)]
pub struct CtcWorkspace {
    lattice: Lattice,
    losses: Vec<f64>,
}

/// Sizes, and none of the numbers.
impl fmt::Debug for CtcWorkspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CtcWorkspace").field("rows", &self.losses.len()).finish_non_exhaustive()
    }
}

impl CtcWorkspace {
    /// Empty memory, which grows with the first call.
    pub fn new() -> Self {
        CtcWorkspace::default()
    }

    /// The loss `- log p` of each row of the last call, before any reduction; infinite where a row was
    /// impossible, whatever [`Ctc::zero_infinity`] says. PyTorch's `reduction="none"`.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }
}

impl Ctc {
    /// A CTC of `classes` classes, the blank among them, which is class 0. Batch first; the mean over the
    /// rows, each divided by its number of labels.
    pub fn new(classes: usize) -> Self {
        let (layout, reduction) = (Layout::BatchFirst, Reduction::Mean);
        Ctc { classes, blank: 0, layout, zero_infinity: false, reduction }
    }

    /// Sets the class of the blank. TensorFlow's is the last class, `classes - 1`.
    pub fn blank(self, blank: usize) -> Self {
        Ctc { blank, ..self }
    }

    /// Sets the layout of logits: `(B, T, classes)` by default, or time-major `(T, B, classes)`, as in
    /// PyTorch.
    pub fn layout(self, layout: Layout) -> Self {
        Ctc { layout, ..self }
    }

    /// Gives a row without any alignment a loss of zero and a gradient of zero. The row still counts in the
    /// mean, as in PyTorch.
    pub fn zero_infinity(self) -> Self {
        Ctc { zero_infinity: true, ..self }
    }

    /// Takes the sum of the rows' losses instead of the mean.
    pub fn sum(self) -> Self {
        Ctc { reduction: Reduction::Sum, ..self }
    }

    /// The loss of a batch: logits `(B, T, classes)`, or time-major `(T, B, classes)`, each row over its
    /// length of `dims`; the labels of all rows one after the other, and how many each row has, `(B)`.
    ///
    /// Where `dlogits` is given, of the shape of `logits`, it is overwritten with the gradient, zero in the
    /// padding, whose logits are never read. The mean is `1/B sum_b loss_b / max(1, labels of b)`.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] for no classes; [`Error::Index`] for a blank that is no class,
    /// [`Error::OutOfRange`] for one among the labels; [`Error::Label`] for a label that is no class;
    /// [`Error::Length`] and [`Error::RowLength`] where slices or lengths do not fit;
    /// [`Error::Unsupported`] for `dims` with a mask or resets; [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where the sums fit no memory. `dlogits` is then untouched, unless memory ran
    /// out.
    pub fn loss(
        &self,
        logits: &[f32],
        dims: Dims<'_>,
        labels: &[usize],
        label_lengths: &[usize],
        mut dlogits: Option<&mut [f32]>,
        workspace: &mut CtcWorkspace,
    ) -> Result<f64, Error> {
        self.check(logits, dims)?;
        check_len("label_lengths", dims.batch, label_lengths.len())?;
        let count = label_lengths.iter().fold(0usize, |sum, &count| sum.saturating_add(count));
        check_len("labels", count, labels.len())?;
        if let Some(index) = labels.iter().position(|&label| label >= self.classes) {
            return Err(Error::Label { index, classes: self.classes, got: labels[index] });
        }
        if labels.contains(&self.blank) {
            let expected = "classes other than the blank";
            return Err(Error::OutOfRange { what: "labels", expected, got: self.blank as f64 });
        }
        if let Some(dlogits) = &dlogits {
            check_len("dlogits", logits.len(), dlogits.len())?;
        }
        let CtcWorkspace { lattice, losses } = workspace;
        reserve(losses, dims.batch)?;
        let most = label_lengths.iter().copied().max().unwrap_or(0);
        lattice.reserve(most, dims.steps)?;

        // What the padding keeps.
        if let (Some(dlogits), Some(_)) = (&mut dlogits, dims.lengths) {
            dlogits.fill(0.0);
        }
        let (mut rest, mut loss) = (labels, 0.0);
        for (row, &count) in label_lengths.iter().enumerate() {
            let (labels, others) = rest.split_at(count);
            rest = others;
            let weight = match self.reduction {
                Reduction::Mean => 1.0 / (count.max(1) as f64 * dims.batch as f64),
                Reduction::Sum => 1.0,
            };
            let of_row = self.row(logits, dims, row, labels, weight, dlogits.as_deref_mut(), lattice);
            losses.push(of_row);
            if !(self.zero_infinity && of_row == f64::INFINITY) {
                loss += weight * of_row;
            }
        }
        Ok(loss)
    }

    /// The loss of one row, and its gradient times `weight`.
    #[allow(clippy::too_many_arguments, reason = "a row of the call above")]
    fn row(
        &self,
        logits: &[f32],
        dims: Dims<'_>,
        row: usize,
        labels: &[usize],
        weight: f64,
        mut dlogits: Option<&mut [f32]>,
        lattice: &mut Lattice,
    ) -> f64 {
        let steps = dims.lengths.map_or(dims.steps, |lengths| lengths[row]);
        if steps == 0 {
            // One alignment, that of no labels.
            return if labels.is_empty() { 0.0 } else { f64::INFINITY };
        }
        lattice.begin(labels, self.blank);
        for t in 0..steps {
            let place = self.place(dims, row, t);
            let z = &logits[place.clone()];
            let max = maximum(z);
            let dz = dlogits.as_deref_mut().map(|dlogits| &mut dlogits[place]);
            let sum = match dz {
                None => exponentials(z, max, None),
                Some(dz) => {
                    let sum = exponentials(z, max, Some(dz));
                    let inverse = (weight / sum) as f32;
                    dz.iter_mut().for_each(|dz| *dz *= inverse);
                    sum
                }
            };
            lattice.emit(z, f64::from(max), sum.ln());
        }
        let total = lattice.forward(steps);
        let impossible = total <= IMPOSSIBLE;
        let Some(dlogits) = dlogits else {
            return if impossible { f64::INFINITY } else { -total };
        };
        if impossible {
            let gradient = if self.zero_infinity { 0.0 } else { f32::NAN };
            (0..steps).for_each(|t| dlogits[self.place(dims, row, t)].fill(gradient));
            return f64::INFINITY;
        }
        lattice.backward(steps, total, |t, places, shares| {
            let dz = &mut dlogits[self.place(dims, row, t)];
            // Every other place is the blank: half of the shares go to one number.
            let mut blank = 0.0;
            for (places, shares) in places.chunks(2).zip(shares.chunks(2)) {
                blank += shares[0];
                if let (&[_, label], &[_, share]) = (places, shares) {
                    dz[label] -= (weight * share) as f32;
                }
            }
            dz[self.blank] -= (weight * blank) as f32;
        });
        -total
    }

    /// Where the classes of a step are.
    fn place(&self, dims: Dims<'_>, row: usize, t: usize) -> std::ops::Range<usize> {
        let step = match self.layout {
            Layout::BatchFirst => row * dims.steps + t,
            Layout::TimeMajor => t * dims.batch + row,
        };
        step * self.classes..(step + 1) * self.classes
    }

    /// Whether classes, blank, logits and dims fit together.
    fn check(&self, logits: &[f32], dims: Dims<'_>) -> Result<(), Error> {
        if self.classes == 0 {
            return Err(Error::ZeroSize { what: "classes" });
        }
        check_index("blank", self.classes, self.blank)?;
        if dims.mask.is_some() || dims.resets.is_some() {
            return Err(Error::Unsupported {
                what: "CTC of dims with a mask or resets, which has lengths alone",
            });
        }
        pad::check(dims)?;
        let count = checked_size("logits", &[dims.batch, dims.steps, self.classes])?;
        check_len("logits", count, logits.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn mistakes_are_named_and_nothing_is_written() {
        let (mut gradient, mut workspace) = ([9.0; 12], CtcWorkspace::new());
        let logits = [0.5; 12];
        let mut said = |ctc: Ctc, dims: Dims<'_>, labels: &[usize], lengths: &[usize]| {
            let refused = ctc.loss(&logits, dims, labels, lengths, Some(&mut gradient), &mut workspace);
            refused.unwrap_err().to_string()
        };
        let (ctc, dims) = (Ctc::new(3), Dims::new(2, 2));
        assert_eq!(said(Ctc::new(0), dims, &[], &[0, 0]), "classes: expected at least 1, got 0");
        let blank = said(ctc.blank(3), dims, &[], &[0, 0]);
        assert_eq!(blank, "blank: expected an index below 3, got 3");
        assert_eq!(said(ctc, dims, &[1, 3], &[1, 1]), "label 1: expected a class below 3, got 3");
        let blank = said(ctc, dims, &[1, 0], &[1, 1]);
        assert_eq!(blank, "labels: expected classes other than the blank, got 0");
        assert_eq!(said(ctc, dims, &[1, 1], &[1]), "label_lengths: expected 2 values, got 1");
        assert_eq!(said(ctc, dims, &[1, 1], &[1, 2]), "labels: expected 3 values, got 2");
        let huge = said(ctc, dims, &[1], &[usize::MAX, 2]);
        assert_eq!(huge, format!("labels: expected {} values, got 1", usize::MAX));
        assert_eq!(said(ctc, Dims::new(2, 3), &[], &[0, 0]), "logits: expected 18 values, got 12");
        let long = said(ctc, dims.with_lengths(&[2, 3]), &[], &[0, 0]);
        assert_eq!(long, "length of row 1: expected at most 2 steps, got 3");
        let masked = said(ctc, dims.with_mask(&[true; 4]), &[], &[0, 0]);
        assert!(masked.starts_with("not supported: CTC of dims with a mask"), "{masked}");
        let short = ctc.loss(&logits, dims, &[], &[0, 0], Some(&mut gradient[..11]), &mut workspace);
        assert_eq!(short, Err(Error::Length { what: "dlogits", expected: 12, got: 11 }));
        assert_eq!(gradient, [9.0; 12]);
    }

    #[test]
    fn no_rows_no_steps_no_labels() {
        let (ctc, mut workspace) = (Ctc::new(2), CtcWorkspace::new());
        assert_eq!(ctc.loss(&[], Dims::new(0, 3), &[], &[], Some(&mut []), &mut workspace), Ok(0.0));
        assert_eq!(ctc.loss(&[], Dims::new(1, 0), &[], &[0], None, &mut workspace), Ok(0.0));
        assert_eq!(ctc.loss(&[], Dims::new(1, 0), &[1], &[1], None, &mut workspace), Ok(f64::INFINITY));
        // Only blanks: the loss of two coins.
        let loss = ctc.loss(&[0.0; 4], Dims::new(1, 2), &[], &[0], None, &mut workspace).unwrap();
        assert_abs_diff_eq!(loss, 4f64.ln(), epsilon = 1e-12);
    }

    #[test]
    fn extreme_logits_neither_overflow_nor_vanish() {
        let mut workspace = CtcWorkspace::new();
        let mut run = |logits: &[f32], steps: usize, gradient: &mut [f32]| {
            let dims = Dims::new(1, steps);
            Ctc::new(2).loss(logits, dims, &[1], &[1], Some(gradient), &mut workspace).unwrap()
        };
        // One step of e^-3e38: far below every f64, but not impossible.
        let mut gradient = [9.0; 2];
        let loss = run(&[0.0, -3e38], 1, &mut gradient);
        assert_abs_diff_eq!(loss / 3e38, 1.0, epsilon = 1e-6);
        assert_eq!(gradient, [1.0, -1.0]);
        for large in [1e14, 1e20, -1e30, f32::MAX] {
            assert_abs_diff_eq!(run(&[large, large], 1, &mut gradient), 2f64.ln(), epsilon = 1e-12);
        }
        assert_eq!(run(&[0.0, f32::NEG_INFINITY], 1, &mut gradient), f64::INFINITY);
        assert!(gradient[0].is_nan());
        assert!(run(&[0.0, f32::NAN], 1, &mut gradient).is_nan() && gradient.iter().all(|g| g.is_nan()));
        assert!(run(&[f32::INFINITY, 0.0], 1, &mut gradient).is_nan());
        // A thousand steps that all say blank, one of which has to be the label all the same.
        let logits: Vec<f32> = (0..2000).map(|k| if k % 2 == 0 { 40.0 } else { -40.0 }).collect();
        let mut gradient = vec![9.0; 2000];
        let loss = run(&logits, 1000, &mut gradient);
        // 1000 places for it, and fewer for longer labels, which are less probable by e^-80.
        assert_abs_diff_eq!(loss, 80.0 - 1000f64.ln(), epsilon = 1e-6);
        // (That of the blank is a difference of two f32 near one.)
        for pair in gradient.chunks(2) {
            assert!((pair[0] - 1e-3).abs() < 6e-8 && (pair[1] + 1e-3).abs() < 1e-9, "{pair:?}");
        }
    }
}
