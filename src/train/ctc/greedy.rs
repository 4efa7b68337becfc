//! Greedy decoding: the best class of each step.

use super::Ctc;
use crate::error::{reserve, room};
use crate::{Dims, Error};

impl Ctc {
    /// The labels of each row by its best classes: the largest logit of each step, repeats merged, blanks
    /// taken out. `logits` as in [`loss`](Ctc::loss).
    ///
    /// It is the most probable *alignment*, whose labels are mostly, not always, the most probable ones:
    /// [`beam`](Ctc::beam) adds up the alignments of the same labels. Of several largest logits the first
    /// counts; a step whose logits are all NaN counts as a blank.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::Index`], [`Error::Length`], [`Error::RowLength`] and
    /// [`Error::Unsupported`] as in [`loss`](Ctc::loss), [`Error::OutOfMemory`].
    ///
    /// ```
    /// use fused_rnn::Dims;
    /// use fused_rnn::train::Ctc;
    ///
    /// // Best classes 1 1 0 1 2: one 1, a blank, another 1, a 2.
    /// let logits = [0., 9., 0., /**/ 0., 9., 0., /**/ 9., 0., 0., /**/ 0., 9., 0., /**/ 0., 0., 9.];
    /// assert_eq!(Ctc::new(3).greedy(&logits, Dims::new(1, 5))?, [[1, 1, 2]]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn greedy(&self, logits: &[f32], dims: Dims<'_>) -> Result<Vec<Vec<usize>>, Error> {
        self.check(logits, dims)?;
        let mut rows = Vec::new();
        reserve(&mut rows, dims.batch)?;
        for row in 0..dims.batch {
            let steps = dims.lengths.map_or(dims.steps, |lengths| lengths[row]);
            let (mut labels, mut last) = (Vec::new(), self.blank);
            for t in 0..steps {
                let class = best(&logits[self.place(dims, row, t)]).unwrap_or(self.blank);
                if class != last && class != self.blank {
                    room(&mut labels, 1)?;
                    labels.push(class);
                }
                last = class;
            }
            rows.push(labels);
        }
        Ok(rows)
    }
}

/// The first of the largest values; `None` where all are NaN.
fn best(z: &[f32]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (class, &value) in z.iter().enumerate() {
        if !value.is_nan() && best.is_none_or(|best| value > z[best]) {
            best = Some(class);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;

    #[test]
    fn lengths_layouts_and_ties() {
        // Two rows of three steps, of which the second has two, over the classes a, b and the blank.
        let logits = [
            [[9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]],
            [[0.0, 0.0, 9.0], [1.0, 1.0, 0.0], [9.0; 3]],
        ];
        let dims = Dims::new(2, 3).with_lengths(&[3, 2]);
        let ctc = Ctc::new(3).blank(2);
        let flat: Vec<f32> = logits.iter().flatten().flatten().copied().collect();
        assert_eq!(ctc.greedy(&flat, dims).unwrap(), [vec![0, 1], vec![0]]);
        let turned: Vec<f32> = (0..3).flat_map(|t| [logits[0][t], logits[1][t]]).flatten().collect();
        assert_eq!(ctc.layout(Layout::TimeMajor).greedy(&turned, dims).unwrap(), [vec![0, 1], vec![0]]);
        assert_eq!(best(&[f32::NAN, f32::NEG_INFINITY, f32::NAN]), Some(1));
        assert_eq!(ctc.greedy(&[f32::NAN; 3], Dims::new(1, 1)).unwrap(), [[0usize; 0]]);
        let short = ctc.greedy(&[0.0; 2], Dims::new(1, 1)).unwrap_err();
        assert_eq!(short, Error::Length { what: "logits", expected: 3, got: 2 });
    }
}
