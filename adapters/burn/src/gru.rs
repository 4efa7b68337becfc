//! The GRU.

use crate::module::{hidden_state, module};
use crate::network::Network;
use crate::{Error, GruConfig};

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

hidden_state!(Gru);
