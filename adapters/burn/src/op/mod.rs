//! The operation that burn calls: a whole network over whole sequences is one node of its graph.
//!
//! ```text
//! kernel    the packed weights that the calls of a layer share
//! call      one call on slices: forward, backward, and the memory between them
//! flex      the same on the tensors of burn's CPU backend
//! autodiff  the same as a node of the graph, with any strategy of checkpointing
//! ```
//!
//! A node of burn's graph has one output and a fixed number of inputs, and a network has any number of
//! tensors. So they lie one after the other in tensors of one dimension, which burn joins and cuts:
//!
//! ```text
//! parameters   weight_ih_l0 | weight_hh_l0 | ...      in the order of `fused_rnn::Recurrent::parameters`
//! state        h0 | c0                                h0 alone where the cell has no cell state; nothing for
//!                                                     zeros
//! output       y | hn | cn
//! ```

mod autodiff;
mod call;
mod flex;
mod kernel;

pub(crate) use call::Call;
pub(crate) use kernel::{Kernel, Owner};

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};
use call::Kept;
use fused_rnn::Error;
use std::sync::Arc;

// The macro implements this for `Dispatch`, which sends a call to the backend that its tensors are of.
/// The operation.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Layers: Backend {
    /// Runs a network over x. Where it cannot, the output has no values and the call has the error.
    fn layers(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        state: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> FloatTensor<Self>;
}

/// What a backend has on which the operation can be trained.
pub(crate) trait Training: Layers {
    /// Runs a network over x, and keeps what `backward` needs.
    fn train(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        state: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Result<(FloatTensor<Self>, Kept), Error>;

    /// From the gradient of the output, those of x, parameters and state, as far as they are wanted.
    fn backward(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kept: &Kept,
        wanted: [bool; 3],
    ) -> Result<[Option<FloatTensor<Self>>; 3], Error>;

    /// An output of a call that had to fail.
    fn failed(call: &Call, error: Error) -> FloatTensor<Self>;
}
