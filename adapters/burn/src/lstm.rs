//! The LSTM.

use crate::module::module;
use crate::network::Network;
use crate::{Error, LstmConfig, Sequences};
use burn::nn::LstmState;
use burn::tensor::Tensor;

/// Layers of LSTM, made by [`LstmConfig::init`].
///
/// Parameters have PyTorch's names and shapes, and the gates the order i, f, g, o: `weight_ih_l0` (4 H, I),
/// `weight_hh_l0` (4 H, H), `bias_ih_l0` and `bias_hh_l0` (4 H), then those of other layers and with
/// `_reverse` those of the reverse direction.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use fused_rnn_burn::{Direction, LstmConfig};
///
/// let device = Device::flex();
/// let lstm = LstmConfig::new(8, 64).with_layers(2).with_direction(Direction::Both).init(&device)?;
/// let (y, state) = lstm.forward(Tensor::zeros([4, 100, 8], &device), None)?;
/// assert_eq!(y.dims(), [4, 100, 2 * 64]);
/// assert_eq!(state.hidden.dims(), [2 * 2, 4, 64]);
/// # Ok::<(), fused_rnn_burn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lstm {
    pub(crate) network: Network,
}

module!(Lstm, LstmConfig, Lstm);

impl Lstm {
    /// Runs sequences from a state, or from zeros, and gives the hidden states of the last layer and the
    /// final states of all.
    ///
    /// - `x`: `(B, T, I)`, or `(T, B, I)` without `batch_first`.
    /// - `state`: hidden and cell states `(layers * D, B, H)`, with D directions; state of layer l and
    ///   direction d at l * D + d. The hidden states are P wide with a projection.
    /// - The output: `(B, T, D * H)` or `(T, B, D * H)`, both directions side by side.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] or [`Error::Device`] where a tensor does not fit,
    /// [`Error::Layer`] where memory is refused.
    ///
    /// # Panics
    /// On the way back, where memory is refused then.
    pub fn forward(
        &self,
        x: Tensor<3>,
        state: Option<LstmState<3>>,
    ) -> Result<(Tensor<3>, LstmState<3>), Error> {
        self.forward_with(x, state, &Sequences::new())
    }

    /// [`forward`](Lstm::forward) over sequences of different lengths, with masks or with resets.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use fused_rnn_burn::{LstmConfig, Sequences};
    ///
    /// let device = Device::flex();
    /// let lstm = LstmConfig::new(3, 16).init(&device)?;
    /// let x = Tensor::ones([2, 5, 3], &device);
    /// let (y, state) = lstm.forward_with(x, None, &Sequences::new().with_lengths([5, 2]))?;
    /// // The final state of the short row is that after its second step; the rest of its output is zero.
    /// let last = y.clone().slice([1..2, 1..2]).into_data();
    /// assert_eq!(last.as_slice::<f32>(), state.hidden.slice([0..1, 1..2]).into_data().as_slice::<f32>());
    /// assert_eq!(y.slice([1..2, 2..5]).abs().sum().into_scalar::<f32>(), 0.0);
    /// # Ok::<(), fused_rnn_burn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward`](Lstm::forward), and [`Error::Layer`] where lengths, mask or resets do not fit.
    pub fn forward_with(
        &self,
        x: Tensor<3>,
        state: Option<LstmState<3>>,
        sequences: &Sequences,
    ) -> Result<(Tensor<3>, LstmState<3>), Error> {
        let (c0, h0) = state.map(LstmState::unpack).unzip();
        let output = self.network.forward(x, [h0, c0], sequences)?;
        // (Not `new`, which wants both to be equally wide.)
        let cell = output.c.unwrap_or_else(|| output.h.clone());
        Ok((output.y, LstmState { cell, hidden: output.h }))
    }
}
