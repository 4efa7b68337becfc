//! The operation as a node of burn's graph.
//!
//! It is bound by computation, so that no strategy of checkpointing runs it again: the tape is what it keeps.
//! Its input may be computed again, if the strategy says so of the operation that it comes from.

use super::call::{Call, Kept};
use super::{Layers, Training};
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use std::sync::Arc;

/// The way back.
#[derive(Debug)]
struct Node;

impl<B: Training> Backward<B, 3> for Node {
    /// The node of x, and what forward has left.
    type State = (NodeId, Kept);

    /// # Panics
    /// Where memory is refused: burn's way back knows no errors.
    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, kept) = ops.state;
        let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let made = B::backward(x, gradient, &kept, wanted);
        let made = made.unwrap_or_else(|error| panic!("the way back through recurrent layers: {error}"));
        for (parent, gradient) in ops.parents.into_iter().zip(made) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: Training, C: CheckpointStrategy> Layers for Autodiff<B, C> {
    fn layers(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        state: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> FloatTensor<Self> {
        let parents = [x.node(), parameters.node(), state.node()];
        match Node.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(mut node) => {
                let input = node.checkpoint(&x);
                let (x, parameters) = (x.into_primitive(), parameters.into_primitive());
                match B::train(x, parameters, state.into_primitive(), Arc::clone(&call)) {
                    Ok((output, kept)) => node.finish((input, kept), output),
                    Err(error) => FloatTensor::<Self>::new(B::failed(&call, error)),
                }
            }
            OpsKind::UnTracked(node) => {
                let (x, parameters) = (x.into_primitive(), parameters.into_primitive());
                node.finish(B::layers(x, parameters, state.into_primitive(), call))
            }
        }
    }
}
