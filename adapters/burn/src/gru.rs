//! The GRU.

use crate::module::module;
use crate::network::Network;
use crate::{Error, GruConfig, Sequences};
use burn::tensor::Tensor;

/// Layers of GRU, made by [`GruConfig::init`].
///
/// Parameters have PyTorch's names and shapes, and the gates the order r, z, n: `weight_ih_l0` (3 H, I),
/// `weight_hh_l0` (3 H, H), `bias_ih_l0` and `bias_hh_l0` (3 H), then those of other layers and with
/// `_reverse` those of the reverse direction.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use fused_rnn_burn::GruConfig;
///
/// let device = Device::flex();
/// let gru = GruConfig::new(8, 64).with_layers(2).init(&device)?;
/// let (y, state) = gru.forward(Tensor::zeros([4, 100, 8], &device), None)?;
/// assert_eq!((y.dims(), state.dims()), ([4, 100, 64], [2, 4, 64]));
/// # Ok::<(), fused_rnn_burn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gru {
    pub(crate) network: Network,
}

module!(Gru, GruConfig, GruResetAfter | GruResetBefore);

impl Gru {
    /// Runs sequences from a state, or from zeros, and gives the hidden states of the last layer and the
    /// final states of all.
    ///
    /// - `x`: `(B, T, I)`, or `(T, B, I)` without `batch_first`.
    /// - `state`: `(layers * D, B, H)`, with D directions; state of layer l and direction d at l * D + d.
    /// - The output: `(B, T, D * H)` or `(T, B, D * H)`, both directions side by side.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] or [`Error::Device`] where a tensor does not fit,
    /// [`Error::Layer`] where memory is refused.
    ///
    /// # Panics
    /// On the way back, where memory is refused then.
    pub fn forward(&self, x: Tensor<3>, state: Option<Tensor<3>>) -> Result<(Tensor<3>, Tensor<3>), Error> {
        self.forward_with(x, state, &Sequences::new())
    }

    /// [`forward`](Gru::forward) over sequences of different lengths, with masks or with resets.
    ///
    /// # Errors
    /// As for [`forward`](Gru::forward), and [`Error::Layer`] where lengths, mask or resets do not fit.
    pub fn forward_with(
        &self,
        x: Tensor<3>,
        state: Option<Tensor<3>>,
        sequences: &Sequences,
    ) -> Result<(Tensor<3>, Tensor<3>), Error> {
        let output = self.network.forward(x, [state, None], sequences)?;
        Ok((output.y, output.h))
    }
}
