//! Which steps of a batch of sequences are real, and where states are reset.

/// Lengths, masks and resets of a batch. Steps past the end of a row, and steps that are masked, have outputs
/// and gradients of zero and leave the state as it is; what stands there is not read.
///
/// ```
/// use fused_rnn_burn::Sequences;
///
/// // Three rows of at most 5 steps.
/// let sequences = Sequences::new().with_lengths([5, 2, 3]);
/// assert_eq!(sequences.lengths, Some(vec![5, 2, 3]));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// The steps of each row; `None` means all.
    pub lengths: Option<Vec<usize>>,
    /// Which steps are real, row by row: `batch * steps` flags, in every layout of the input.
    pub mask: Option<Vec<bool>>,
    /// Before which steps the state is zero, as where an episode begins, row by row: `batch * steps` flags,
    /// in every layout of the input. For the reverse direction it is after these steps, on the way back.
    pub resets: Option<Vec<bool>>,
}

impl Sequences {
    /// All steps, and no resets.
    pub fn new() -> Self {
        Sequences::default()
    }

    /// The same, with a length for each row.
    #[must_use]
    pub fn with_lengths(self, lengths: impl Into<Vec<usize>>) -> Self {
        Sequences { lengths: Some(lengths.into()), ..self }
    }

    /// The same, with a mask of steps.
    #[must_use]
    pub fn with_mask(self, mask: impl Into<Vec<bool>>) -> Self {
        Sequences { mask: Some(mask.into()), ..self }
    }

    /// The same, with resets of the state.
    #[must_use]
    pub fn with_resets(self, resets: impl Into<Vec<bool>>) -> Self {
        Sequences { resets: Some(resets.into()), ..self }
    }

    /// The same for the kernels.
    pub(crate) fn dims(&self, batch: usize, steps: usize) -> fused_rnn::Dims<'_> {
        let mut dims = fused_rnn::Dims::new(batch, steps);
        dims.lengths = self.lengths.as_deref();
        dims.mask = self.mask.as_deref();
        dims.resets = self.resets.as_deref();
        dims
    }
}
