//! The Elman network.

use crate::module::{hidden_state, module};
use crate::network::Network;
use crate::{Error, RnnConfig};

/// Layers of an Elman network, made by [`RnnConfig::init`].
///
/// Parameters have PyTorch's names and shapes: `weight_ih_l0` (H, I), `weight_hh_l0` (H, H), `bias_ih_l0` and
/// `bias_hh_l0` (H), then those of other layers and with `_reverse` those of the reverse direction.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use fused_rnn_burn::RnnConfig;
///
/// let device = Device::flex();
/// let rnn = RnnConfig::new(8, 64).with_layers(2).init(&device)?;
/// let (y, state) = rnn.forward(Tensor::zeros([4, 100, 8], &device), None)?;
/// assert_eq!((y.dims(), state.dims()), ([4, 100, 64], [2, 4, 64]));
/// # Ok::<(), fused_rnn_burn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rnn {
    pub(crate) network: Network,
}

module!(Rnn, RnnConfig, ElmanTanh | ElmanRelu);

hidden_state!(Rnn);
