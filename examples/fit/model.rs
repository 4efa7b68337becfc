//! The model: a recurrent layer and a dense head on its final state.
//!
//! ```text
//! x (B, T, F)  ->  recurrent  ->  final h of the last layer, its directions side by side (B, D * H)
//!              ->  dense      ->  logits (B, C)
//! ```
//!
//! Initialised as Keras does it, and with its biases: one vector, but two in the GRU that resets after the
//! product, where the second is no copy of the first.

use super::cli::{Cell, Options};
use super::data::Dataset;
use fused_rnn::train::{Dense, accuracy, softmax_cross_entropy};
use fused_rnn::{Bias, Builder, Dims, Error, Init, Recurrent, Rng, State, Threads, Workspace};
use std::ops::Range;

/// A recurrent layer and its head.
pub(crate) struct Model {
    /// The recurrent layer.
    pub(crate) rnn: Recurrent,
    /// The map from its final state to logits.
    pub(crate) head: Dense,
}

impl Model {
    /// A model for this data, drawn from a seed.
    ///
    /// # Errors
    /// Where its sizes fit no memory, or the SIMD level that the environment names cannot be had.
    pub(crate) fn new(options: &Options, data: &Dataset, seed: u64) -> Result<Self, Error> {
        let seeds = Rng::new(seed);
        let rnn = Builder::new(options.cell.kind(), data.features, options.hidden.get())
            .layers(options.layers.get())
            .bidirectional(options.bidirectional)
            .bias(if options.cell == Cell::Gru { Bias::Double } else { Bias::Single })
            .dropout(options.dropout)
            .precision(options.precision.precision())
            .threads(options.threads.map_or(Threads::Auto, |count| Threads::Count(count.get())))
            .init(Init::Keras, seeds.fork(0).bits())
            .build()?;
        let head = Dense::new_keras(rnn.config().output_size(), data.classes, seeds.fork(1).bits())?;
        Ok(Model { rnn, head })
    }

    /// The number of trained numbers.
    pub(crate) fn parameter_count(&self) -> usize {
        self.rnn.parameters().len() + self.head.parameter_count()
    }

    /// The logits `(B, C)` of a batch `x (B, T, F)`.
    ///
    /// # Errors
    /// Where memory runs out.
    pub(crate) fn predict<'a>(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        pass: &'a mut Pass,
    ) -> Result<&'a [f32], Error> {
        pass.begin(self, dims.batch)?;
        self.rnn.forward(x, dims, &mut pass.state, None, &mut pass.workspace)?;
        pass.gather(self);
        self.head.forward(&pass.features, dims.batch, &mut pass.logits)?;
        Ok(&pass.logits)
    }

    /// Loss and accuracy over some rows of the data, without training.
    ///
    /// # Errors
    /// Where memory runs out.
    pub(crate) fn evaluate(
        &self,
        data: &Dataset,
        rows: Range<usize>,
        batch_size: usize,
        pass: &mut Pass,
    ) -> Result<Score, Error> {
        let mut score = Score::default();
        for start in rows.clone().step_by(batch_size) {
            let batch = start..rows.end.min(start.saturating_add(batch_size));
            let dims = Dims::new(batch.len(), data.steps);
            let logits = self.predict(data.batch(batch.clone()), dims, pass)?;
            let labels = &data.labels[batch];
            let loss = softmax_cross_entropy(logits, data.classes, labels, None)?;
            score.add(loss, accuracy(logits, data.classes, labels)?, labels.len());
        }
        Ok(score)
    }
}

/// The memory of a forward pass, for one batch after another.
pub(crate) struct Pass {
    /// The state, which a pass takes from zero to the end of the sequence.
    pub(crate) state: State,
    /// What the layers need on the way.
    pub(crate) workspace: Workspace,
    /// The final h of the last layer, `(B, D * H)`.
    pub(crate) features: Vec<f32>,
    /// `(B, C)`.
    pub(crate) logits: Vec<f32>,
}

impl Pass {
    /// Empty memory, for this model or one of its shape.
    ///
    /// # Errors
    /// Where memory runs out.
    pub(crate) fn new(model: &Model) -> Result<Self, Error> {
        let state = model.rnn.zero_state(0)?;
        Ok(Pass { state, workspace: Workspace::new(), features: Vec::new(), logits: Vec::new() })
    }

    /// Sets the state to zero and everything to the size of the batch. Allocates a state where that size has
    /// changed, which is before the last batch of an epoch and after it.
    ///
    /// # Errors
    /// Where memory runs out.
    pub(crate) fn begin(&mut self, model: &Model, batch: usize) -> Result<(), Error> {
        if self.state.batch() == batch {
            self.state.reset();
        } else {
            self.state = model.rnn.zero_state(batch)?;
        }
        self.features.resize(batch * model.head.inputs(), 0.0);
        self.logits.resize(batch * model.head.outputs(), 0.0);
        Ok(())
    }

    /// Copies the final h of the last layer, its directions side by side, from the state to the features.
    pub(crate) fn gather(&mut self, model: &Model) {
        let config = model.rnn.config();
        let last = (config.layers() - 1) * config.directions();
        for (row, to) in self.features.chunks_exact_mut(config.output_size()).enumerate() {
            for (direction, to) in to.chunks_exact_mut(config.hidden_size()).enumerate() {
                let h =
                    self.state.row_h(last + direction, row).expect("the state is of this model and batch");
                to.copy_from_slice(h);
            }
        }
    }
}

/// Loss and accuracy, the means over the rows so far, as Keras shows them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Score {
    /// Mean softmax cross-entropy.
    pub(crate) loss: f64,
    /// Share of the rows whose label got the largest logit.
    pub(crate) accuracy: f64,
    /// Rows so far.
    pub(crate) rows: usize,
}

impl Score {
    /// Takes in the means over further rows.
    pub(crate) fn add(&mut self, loss: f64, accuracy: f64, rows: usize) {
        self.rows += rows;
        let weight = rows as f64 / self.rows.max(1) as f64;
        self.loss += (loss - self.loss) * weight;
        self.accuracy += (accuracy - self.accuracy) * weight;
    }
}
