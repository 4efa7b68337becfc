//! The arguments of a call beside its input: lengths, masks, resets, training.

use crate::refused;
use candle_core::{Layout, Result, Tensor};
use fused_rnn::{Dims, Threads};

/// The arguments of a call of a [`Layer`](crate::Layer) beside its input. The default is whole rows, in
/// evaluation.
///
/// Lengths, mask and resets are those of [`fused_rnn::Dims`]. Outputs and gradients are zero past the end of
/// a row, and at steps that are left out.
///
/// ```
/// use fused_rnn_candle::Call;
///
/// let ragged = Call::default().with_lengths(&[100, 0, 42]);
/// let training = ragged.with_train(true);
/// assert_eq!(training.lengths, Some(&[100, 0, 42][..]));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Call<'a> {
    /// The length of each row, `(B)`: from 0 to T, in any order. `None` means that all lengths are T.
    pub lengths: Option<&'a [usize]>,
    /// Which steps are real, `(B, T)` in every layout. A step that is false is left out.
    pub mask: Option<&'a [bool]>,
    /// Where episodes begin, `(B, T)` in every layout. The state is zero before a step that is true.
    pub resets: Option<&'a [bool]>,
    /// Whether the sequences are packed, `(sum of lengths, features)`: the steps one after the other, and of
    /// each step the rows that have it, by falling length. That is the `data` of PyTorch's `PackedSequence`.
    /// It needs `lengths`, of which the longest is T.
    pub packed: bool,
    /// Whether dropout and zoneout draw, as in training.
    pub train: bool,
    /// The seed of dropout and zoneout; `None` takes the next of the layer.
    pub seed: Option<u64>,
    /// The threads that this call may use; `None` means those that the layer was built with.
    pub threads: Option<Threads>,
}

impl<'a> Call<'a> {
    /// This call, with a length for each row: see [`lengths`](Call::lengths).
    #[must_use]
    pub fn with_lengths(self, lengths: &'a [usize]) -> Self {
        Call { lengths: Some(lengths), ..self }
    }

    /// This call, with a mask of steps: see [`mask`](Call::mask).
    #[must_use]
    pub fn with_mask(self, mask: &'a [bool]) -> Self {
        Call { mask: Some(mask), ..self }
    }

    /// This call, with resets of the state: see [`resets`](Call::resets).
    #[must_use]
    pub fn with_resets(self, resets: &'a [bool]) -> Self {
        Call { resets: Some(resets), ..self }
    }

    /// This call, of packed sequences: see [`packed`](Call::packed).
    #[must_use]
    pub fn packed(self) -> Self {
        Call { packed: true, ..self }
    }

    /// This call, in training or in evaluation.
    #[must_use]
    pub fn with_train(self, train: bool) -> Self {
        Call { train, ..self }
    }

    /// This call, with the seed of its dropout and zoneout. The same seed draws the same masks, on every
    /// machine and for every number of threads.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Call { seed: Some(seed), ..self }
    }

    /// This call, on at most these threads. Results are the same bits.
    #[must_use]
    pub fn with_threads(self, threads: Threads) -> Self {
        Call { threads: Some(threads), ..self }
    }
}

/// The sequences of a call, as a graph keeps them until its backward pass.
#[derive(Debug, Clone)]
pub(crate) struct Sequences {
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    lengths: Option<Vec<usize>>,
    mask: Option<Vec<bool>>,
    resets: Option<Vec<bool>>,
    packed: bool,
    time_major: bool,
}

impl Sequences {
    /// Those of an input with so many features.
    pub(crate) fn of(x: &Tensor, call: &Call<'_>, features: usize, time_major: bool) -> Result<Self> {
        let shape = match (call.packed, time_major) {
            (true, _) => format!("(sum of lengths, {features})"),
            (false, true) => format!("(T, B, {features})"),
            (false, false) => format!("(B, T, {features})"),
        };
        let unfit = || refused("x", &shape, format!("{:?}", x.dims()));
        let [batch, steps] = match *x.dims() {
            [.., got] if got != features => return Err(unfit()),
            [steps, batch, _] if !call.packed && time_major => [batch, steps],
            [batch, steps, _] if !call.packed => [batch, steps],
            [count, _] if call.packed => {
                let lengths =
                    call.lengths.ok_or_else(|| refused("a packed call", "lengths of its rows", "none"))?;
                let sum = lengths.iter().fold(0usize, |sum, &length| sum.saturating_add(length));
                if sum != count {
                    return Err(refused(
                        "x",
                        &format!("({sum}, {features}), by the lengths"),
                        format!("{:?}", x.dims()),
                    ));
                }
                [lengths.len(), lengths.iter().copied().max().unwrap_or(0)]
            }
            _ => return Err(unfit()),
        };
        Ok(Sequences {
            batch,
            steps,
            lengths: call.lengths.map(<[usize]>::to_vec),
            mask: call.mask.map(<[bool]>::to_vec),
            resets: call.resets.map(<[bool]>::to_vec),
            packed: call.packed,
            time_major,
        })
    }

    /// The same for the core, with an input that lies in this way; `None` where it cannot be read so.
    pub(crate) fn dims(&self, x: &Layout) -> Option<Dims<'_>> {
        let mut dims = Dims::new(self.batch, self.steps);
        dims.lengths = self.lengths.as_deref();
        dims.mask = self.mask.as_deref();
        dims.resets = self.resets.as_deref();
        dims.is_packed = self.packed;
        if x.is_contiguous() {
            return Some(dims);
        }
        match (self.packed, x.stride()) {
            (false, &[step, row, 1]) if self.time_major => Some(dims.with_x_strides(row, step)),
            (false, &[row, step, 1]) if !self.time_major => Some(dims.with_x_strides(row, step)),
            _ => None,
        }
    }

    /// The shape of an output with so many features.
    pub(crate) fn output_shape(&self, features: usize) -> Vec<usize> {
        match (&self.lengths, self.packed, self.time_major) {
            (Some(lengths), true, _) => vec![lengths.iter().sum(), features],
            (_, _, true) => vec![self.steps, self.batch, features],
            (_, _, false) => vec![self.batch, self.steps, features],
        }
    }

    /// The axis of time, of sequences that are not packed.
    pub(crate) fn time_axis(&self) -> usize {
        usize::from(!self.time_major)
    }
}
