//! A run of a layer, with the outputs that Keras would give.
//!
//! ```text
//! forward, backward   the network skips masked steps: its outputs there are zero, the state waits
//! order               with `go_backwards` the last step comes first
//! fill                a masked step repeats the one processed before it, or stays zero
//! merge               two directions become one
//! ```

use super::super::{Tensor, refused};
use super::{Layer, Merge};
use crate::State;
use crate::error::{Error, zeros};
use crate::layer::{Dims, Direction, Workspace};

/// The steps of a batch that count. Other steps are skipped: the state does not change.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mask<'a> {
    /// All steps count.
    #[default]
    None,
    /// The length of each row, at most T: its first steps count.
    Lengths(&'a [usize]),
    /// The steps that are true count, (B, T), in any pattern, as `Masking` and `Embedding(mask_zero=True)`
    /// make it.
    Steps(&'a [bool]),
}

/// The results of a run of B rows and T steps, with H units and D directions.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// With `return_sequences=True`: (B, T, H), (B, T, 2 H) where two directions are concatenated, and (2, B,
    /// T, H) where they are not merged.
    pub y: Tensor,
    /// With `return_sequences=False`: (B, H), (B, 2 H) or (2, B, H).
    pub last: Tensor,
    /// The final hidden states, (D, B, H).
    pub h: Tensor,
    /// The final cell states of an LSTM, (D, B, H).
    pub c: Option<Tensor>,
}

impl Mask<'_> {
    /// Whether a step counts.
    fn counts(self, row: usize, step: usize, steps: usize) -> bool {
        match self {
            Mask::None => true,
            Mask::Lengths(lengths) => step < lengths[row],
            Mask::Steps(mask) => mask[row * steps + step],
        }
    }
}

impl Layer {
    /// Runs `x` (B, T, I) from a state of [`network`](Layer::network), and sets it to the final state.
    /// Without a state the run begins with zeros. For Keras's `initial_state`, write h and c into a
    /// [`zero_state`](crate::Recurrent::zero_state); for `stateful=True`, keep the state from run to run.
    ///
    /// ```
    /// use fused_rnn::format::keras::{Layer, Mask};
    /// use fused_rnn::format::{Tensor, Tensors};
    ///
    /// let mut arrays = Tensors::new();
    /// arrays.insert("kernel", Tensor::new(&[1, 1], vec![1.0])?);
    /// arrays.insert("recurrent_kernel", Tensor::new(&[1, 1], vec![1.0])?);
    /// let options = [("layer", "SimpleRNN"), ("use_bias", "false"), ("activation", "linear")];
    /// let sum = Layer::new(arrays, options)?;
    /// let mut state = sum.network().zero_state(1)?;
    /// state.set_h(&[100.0])?;
    /// let x = Tensor::new(&[1, 3, 1], vec![1.0, 2.0, 4.0])?;
    /// let output = sum.run(&x, Mask::Steps(&[true, false, true]), Some(&mut state))?;
    /// assert_eq!(output.y.values(), [101.0, 101.0, 105.0]);
    /// assert_eq!(state.h(), [105.0]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// As in Keras on TensorFlow: with `go_backwards`, `y` is in the order of processing, the last step
    /// first. At masked steps `y` repeats the output before them in that order, zeros where there is none,
    /// and with `zero_output_for_mask` it is zero; `last` is the last of them, so that it is zero too where
    /// the last step is masked. In `Bidirectional`, `y` is zero at masked steps and `last` is not, whatever
    /// `zero_output_for_mask` says.
    ///
    /// # Errors
    /// [`Error::Format`] where `x` has another shape, or the layer is stateful and there is no state, and the
    /// errors of [`Recurrent::forward`](crate::Recurrent::forward). The state is then as before.
    pub fn run(&self, x: &Tensor, mask: Mask<'_>, state: Option<&mut State>) -> Result<Output, Error> {
        let config = self.network.config();
        let (hidden, directions) = (config.hidden_size(), config.directions());
        let &[batch, steps, features] = x.shape() else {
            return Err(refused("x", "three axes (B, T, I)", format_args!("shape {:?}", x.shape())));
        };
        if features != config.input_size() {
            return Err(refused("x", format_args!("{} features", config.input_size()), features));
        }
        let mut zero;
        let state = match state {
            Some(state) => state,
            None if self.stateful => {
                return Err(refused("state", "one to go on from, as the layer is stateful", "none"));
            }
            None => {
                zero = self.network.zero_state(batch)?;
                &mut zero
            }
        };
        let width = directions * hidden;
        let mut y = zeros("y", &[batch, steps, width])?;
        let mut last = zeros("y", &[batch, width])?;
        let dims = match mask {
            Mask::None => Dims::new(batch, steps),
            Mask::Lengths(lengths) => Dims::new(batch, steps).with_lengths(lengths),
            Mask::Steps(mask) => Dims::new(batch, steps).with_mask(mask),
        };
        self.network.forward(x.values(), dims, state, Some(&mut y), &mut Workspace::new())?;

        let (h, c) = (state.h(), state.c());
        let zero_last = self.zero_output_for_mask && self.merge.is_none();
        let zero_y = self.zero_output_for_mask || self.merge.is_some();
        let backwards = config.direction() == Direction::Reverse;
        for row in 0..batch {
            let processed = |place: usize| if backwards { steps - 1 - place } else { place };
            let y = &mut y[row * steps * width..][..steps * width];
            if backwards {
                reverse(y, width);
            }
            let counts: &dyn Fn(usize) -> bool = &|place| mask.counts(row, processed(place), steps);
            if !zero_y {
                for place in (1..steps).filter(|&place| !counts(place)) {
                    y.copy_within((place - 1) * width..place * width, place * width);
                }
            }
            let has_last = if zero_last { steps > 0 && counts(steps - 1) } else { (0..steps).any(counts) };
            for direction in (0..directions).filter(|_| has_last) {
                let from = &h[(direction * batch + row) * hidden..][..hidden];
                last[row * width + direction * hidden..][..hidden].copy_from_slice(from);
            }
        }
        let states = [directions, batch, hidden];
        Ok(Output {
            y: self.merged(&[batch, steps], y)?,
            last: self.merged(&[batch], last)?,
            h: Tensor::new(&states, h)?,
            c: if config.kind().has_cell_state() { Some(Tensor::new(&states, c)?) } else { None },
        })
    }

    /// The tensor of these axes and the units, of values that have the units of both directions side by side.
    fn merged(&self, axes: &[usize], values: Vec<f32>) -> Result<Tensor, Error> {
        let hidden = self.network.config().hidden_size();
        let merge = |with: fn(f32, f32) -> f32| {
            let mut merged = Vec::with_capacity(values.len() / 2);
            for pair in values.chunks_exact(2 * hidden) {
                for k in 0..hidden {
                    merged.push(with(pair[k], pair[hidden + k]));
                }
            }
            merged
        };
        let values = match self.merge {
            None => values,
            Some(Merge::Concat) => return Tensor::new(&[axes, &[2 * hidden]].concat(), values),
            Some(Merge::Apart) => {
                let mut apart = Vec::with_capacity(values.len());
                for half in 0..2 {
                    for pair in values.chunks_exact(2 * hidden) {
                        apart.extend_from_slice(&pair[half * hidden..][..hidden]);
                    }
                }
                return Tensor::new(&[&[2], axes, &[hidden]].concat(), apart);
            }
            Some(Merge::Sum) => merge(|a, b| a + b),
            Some(Merge::Mul) => merge(|a, b| a * b),
            Some(Merge::Ave) => merge(|a, b| (a + b) / 2.0),
        };
        Tensor::new(&[axes, &[hidden]].concat(), values)
    }
}

/// Reverses the order of the rows of a matrix.
fn reverse(rows: &mut [f32], width: usize) {
    let count = rows.len() / width;
    for row in 0..count / 2 {
        let (head, tail) = rows.split_at_mut((count - 1 - row) * width);
        head[row * width..][..width].swap_with_slice(&mut tail[..width]);
    }
}
