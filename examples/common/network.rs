//! A recurrent layer, a dense head on it, and what their training needs.
//!
//! ```text
//! x (B, T, I)  ->  layer  ->  final outputs (B, D * H), after dropout  ->  Dense  ->  z (B, C)       Last
//!                         ->  outputs of each step (B, T, D * H)       ->  Dense  ->  z (B, T, C)    Each
//! ```

use super::{Learner, Shared};
use fused_rnn::train::{Dense, Dropout};
use fused_rnn::{
    Accumulate, Builder, Dims, Error, Gradients, Init, Recurrent, State, Tape, Upstream, Workspace,
};

/// Which outputs of the layer the head sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    Last,
    Each,
}

pub struct Network {
    pub layer: Recurrent,
    pub head: Dense,
    sees: Sees,
    dropout: Dropout,
    pub learner: Learner,
    gradients: [Vec<f32>; 2],
    pub tape: Tape,
    pub workspace: Workspace,
}

impl Network {
    /// A head of so many outputs on a layer, to be trained for so many steps, at a rate that is `rate` at its
    /// highest.
    pub fn new(
        layer: Builder,
        sees: Sees,
        outputs: usize,
        rate: f64,
        steps: usize,
        shared: &Shared,
    ) -> Result<Self, Error> {
        let layer = layer.threads(shared.threads()).init(Init::PyTorch, shared.seed ^ 1).build()?;
        let head = Dense::new_pytorch(layer.config().output_size(), outputs, shared.seed ^ 2)?;
        let (count, of_head) = (layer.parameters().len(), head.parameter_count());
        Ok(Network {
            learner: Learner::new(count + of_head, rate, steps)?,
            dropout: Dropout::new(if sees == Sees::Last { 0.2 } else { 0.0 }, shared.seed)?,
            gradients: [vec![0.0; count], vec![0.0; of_head]],
            tape: Tape::new(),
            workspace: Workspace::new(),
            sees,
            layer,
            head,
        })
    }

    /// The same without dropout before the head.
    pub fn without_dropout(self) -> Result<Self, Error> {
        Ok(Network { dropout: Dropout::new(0.0, 0)?, ..self })
    }

    /// What the head says of a batch.
    pub fn logits(&self, x: &[f32], dims: Dims<'_>) -> Result<Vec<f32>, Error> {
        let output = self.layer.run(x, dims)?;
        let h = if self.sees == Sees::Last { output.state.final_output() } else { output.y };
        let rows = h.len() / self.head.inputs();
        let mut z = vec![0.0; rows * self.head.outputs()];
        self.head.forward(&h, rows, &mut z)?;
        Ok(z)
    }

    /// A training step from a state, which becomes the final state: gives the loss before it. `loss` is given
    /// what the head says, and writes the gradient of that; `dx`, where it is given, gets the gradient of
    /// `x`.
    pub fn step(
        &mut self,
        x: &[f32],
        dims: Dims<'_>,
        state: &mut State,
        dx: Option<&mut [f32]>,
        loss: impl FnOnce(&[f32], &mut [f32]) -> Result<f64, Error>,
    ) -> Result<f64, Error> {
        let Network { layer, head, sees, dropout, learner, gradients: [of_layer, of_head], .. } = self;
        let (seed, of_steps) = (learner.steps, dims.batch * dims.steps * layer.config().output_size());
        let mut h = if *sees == Sees::Last { Vec::new() } else { vec![0.0; of_steps] };
        let y = (*sees == Sees::Each).then_some(&mut h[..]);
        layer.forward_train(x, dims, state, y, &mut self.tape, seed, &mut self.workspace)?;
        if *sees == Sees::Last {
            h = state.final_output();
            dropout.forward(seed, &mut h);
        }
        let rows = h.len() / head.inputs();
        let mut z = vec![0.0; rows * head.outputs()];
        let (mut dz, mut dh) = (z.clone(), vec![0.0; h.len()]);
        head.forward(&h, rows, &mut z)?;
        let loss = loss(&z, &mut dz)?;

        head.backward(&h, &dz, rows, of_head, Accumulate::Overwrite, Some(&mut dh))?;
        let upstream = if *sees == Sees::Last {
            dropout.backward(seed, &mut dh);
            Upstream::default().with_dfinal_output(&dh)
        } else {
            Upstream::default().with_dy(&dh)
        };
        let mut to = Gradients::of_parameters(of_layer);
        to.dx = dx;
        layer.backward(x, &self.tape, upstream, to, &mut self.workspace)?;
        layer.update(|parameters| {
            learner.step(&mut [(parameters, of_layer), (head.parameters_mut(), of_head)])
        })?;
        Ok(loss)
    }
}
