//! Training: one step on a batch, and epochs of such steps.
//!
//! ```text
//! forward    gather rows -> recurrent -> dropout -> dense -> loss
//! backward   dlogits -> dense -> dropout -> dhn of the last layer -> recurrent
//! update     clip both gradients together -> Adam on each
//! ```
//!
//! All buffers are made once and used for every batch; between the batches nothing is copied but the rows.

use super::cli::Options;
use super::data::Dataset;
use super::model::{Model, Pass, Score};
use super::progress::Progress;
use fused_rnn::train::{
    Adam, AdamConfig, Dropout, Optimizer, accuracy, clip_global_norm, softmax_cross_entropy,
};
use fused_rnn::{Accumulate, Dims, Error, Gradients, Rng, Tape, Upstream};
use std::time::{Duration, Instant};

/// The result of one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Epoch {
    /// On the training rows, each measured before the step that it takes part in.
    pub(crate) training: Score,
    /// On the validation rows after the last step, where there are any.
    pub(crate) validation: Option<Score>,
    /// The time of the training steps.
    pub(crate) time: Duration,
}

impl Epoch {
    /// Rows trained in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.training.rows as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// A model in training, with the optimisers' averages and the memory of a step.
pub(crate) struct Trainer<'a> {
    /// What is trained.
    pub(crate) model: Model,
    /// The memory of the forward half; between two steps it is free.
    pub(crate) pass: Pass,
    data: &'a Dataset,
    dropout: Dropout,
    seeds: Rng,
    clip_norm: Option<f32>,
    /// Of the recurrent layer and of the head, like the gradients.
    optimizers: [Adam; 2],
    gradients: [Vec<f32>; 2],
    steps: u64,
    tape: Tape,
    x: Vec<f32>,
    labels: Vec<usize>,
    dlogits: Vec<f32>,
    dfeatures: Vec<f32>,
    dhn: Vec<f32>,
}

impl<'a> Trainer<'a> {
    /// Begins the training of a model.
    ///
    /// # Errors
    /// Where memory runs out or an option is out of range.
    pub(crate) fn new(options: &Options, data: &'a Dataset, model: Model) -> Result<Self, Error> {
        let config = AdamConfig {
            learning_rate: options.learning_rate,
            weight_decay: options.weight_decay,
            epsilon: 1e-7, // as in Keras
            ..AdamConfig::default()
        };
        let counts = [model.rnn.parameters().len(), model.head.parameter_count()];
        let seeds = Rng::new(options.seed);
        Ok(Trainer {
            pass: Pass::new(&model)?,
            data,
            dropout: Dropout::new(options.dropout, seeds.fork(2).bits())?,
            seeds: seeds.fork(3),
            clip_norm: options.clip_norm,
            optimizers: [Adam::new(counts[0], config)?, Adam::new(counts[1], config)?],
            gradients: counts.map(|count| vec![0.0; count]),
            steps: 0,
            tape: Tape::new(),
            x: Vec::new(),
            labels: Vec::new(),
            dlogits: Vec::new(),
            dfeatures: Vec::new(),
            dhn: Vec::new(),
            model,
        })
    }

    /// Trains for as many epochs as the options say, on the first `rows` of the data in a new order each
    /// time, and validates on the others.
    ///
    /// # Errors
    /// Where memory runs out, the loss leaves the finite numbers, or the progress cannot be shown.
    pub(crate) fn fit(
        &mut self,
        options: &Options,
        rows: usize,
        progress: &mut Progress,
    ) -> Result<Vec<Epoch>, Box<dyn std::error::Error>> {
        let batch_size = options.batch_size.get();
        let mut order: Vec<usize> = (0..rows).collect();
        let mut shuffling = Rng::new(options.seed).fork(4);
        let mut epochs = Vec::new();
        for number in 1..=options.epochs.get() {
            shuffling.shuffle(&mut order);
            progress.begin(number, rows.div_ceil(batch_size));
            let start = Instant::now();
            let mut training = Score::default();
            for batch in order.chunks(batch_size) {
                self.step(batch, &mut training)?;
                if !training.loss.is_finite() {
                    let loss = training.loss;
                    let why = format!("the loss is {loss} at step {} (epoch {number})", self.steps);
                    return Err(format!("{why}; a smaller --learning-rate or a --clip-norm may help").into());
                }
                progress.batch(&training, rows);
            }
            let time = start.elapsed();
            let validation = match rows < self.data.rows {
                true => {
                    Some(self.model.evaluate(self.data, rows..self.data.rows, batch_size, &mut self.pass)?)
                }
                false => None,
            };
            let epoch = Epoch { training, validation, time };
            progress.end(&epoch)?;
            epochs.push(epoch);
        }
        Ok(epochs)
    }

    /// One step on these rows of the data. Their loss and accuracy, before the step, go into `score`.
    fn step(&mut self, rows: &[usize], score: &mut Score) -> Result<(), Error> {
        let (batch, classes) = (rows.len(), self.data.classes);
        self.x.clear();
        self.labels.clear();
        for &row in rows {
            self.x.extend_from_slice(self.data.batch(row..row + 1));
            self.labels.push(self.data.labels[row]);
        }

        let Trainer { model, pass, tape, x, .. } = self;
        let dims = Dims::new(batch, self.data.steps);
        let seed = self.seeds.fork(self.steps).bits();
        pass.begin(model, batch)?;
        model.rnn.forward_train(x, dims, &mut pass.state, None, tape, seed, &mut pass.workspace)?;
        pass.gather(model);
        self.dropout.forward(self.steps, &mut pass.features);
        model.head.forward(&pass.features, batch, &mut pass.logits)?;
        self.dlogits.resize(pass.logits.len(), 0.0);
        let loss = softmax_cross_entropy(&pass.logits, classes, &self.labels, Some(&mut self.dlogits))?;
        score.add(loss, accuracy(&pass.logits, classes, &self.labels)?, batch);

        let [drnn, dhead] = &mut self.gradients;
        let dfeatures = &mut self.dfeatures;
        dfeatures.resize(pass.features.len(), 0.0);
        let (features, dlogits) = (&pass.features, &self.dlogits);
        model.head.backward(features, dlogits, batch, dhead, Accumulate::Overwrite, Some(dfeatures))?;
        self.dropout.backward(self.steps, dfeatures);
        scatter(model, batch, dfeatures, &mut self.dhn);
        let upstream = Upstream::default().with_dhn(&self.dhn);
        model.rnn.backward(x, tape, upstream, Gradients::of_parameters(drnn), &mut pass.workspace)?;

        if let Some(norm) = self.clip_norm {
            clip_global_norm(&mut [drnn, dhead], norm)?;
        }
        let [adam, head_adam] = &mut self.optimizers;
        model.rnn.update(|parameters| adam.step(parameters, drnn))?;
        head_adam.step(model.head.parameters_mut(), dhead)?;
        self.steps += 1;
        Ok(())
    }
}

/// The gradient into the final states `dhn (layers * directions, B, H)`: that of the features in the last
/// layer, zero in the layers below, whose final states nobody reads.
fn scatter(model: &Model, batch: usize, dfeatures: &[f32], dhn: &mut Vec<f32>) {
    let config = model.rnn.config();
    let (hidden, width) = (config.hidden_size(), config.output_size());
    dhn.clear();
    dhn.resize((config.layers() - 1) * batch * width, 0.0);
    for direction in 0..config.directions() {
        for row in dfeatures.chunks_exact(width) {
            dhn.extend_from_slice(&row[direction * hidden..][..hidden]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cli::{Request, parse};
    use super::*;

    /// The way from the loss to the layers and back: which state goes to which feature, in both directions.
    #[test]
    fn gradients_agree_with_central_differences_of_the_loss() {
        let words = "fit --hidden 3 --layers 2 --bidirectional --learning-rate 0";
        let Ok(Request::Run(options)) = parse(words.split(' ').map(Into::into)) else { panic!("{words}") };
        let (rows, steps, features, classes) = (7, 4, 2, 3);
        let mut rng = Rng::new(1);
        let x = (0..rows * steps * features).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let labels = (0..rows).map(|row| row % classes).collect();
        let data = Dataset { x, labels, rows, steps, features, classes };
        let model = Model::new(&options, &data, 5).unwrap();
        let mut trainer = Trainer::new(&options, &data, model).unwrap();
        let mut score = Score::default();
        trainer.step(&[0, 1, 2, 3, 4, 5, 6], &mut score).unwrap();

        // With a learning rate of zero the step has moved nothing.
        let Trainer { model, pass, gradients, .. } = &mut trainer;
        let mut loss = |model: &Model| model.evaluate(&data, 0..rows, rows, pass).unwrap().loss;
        assert!((loss(model) - score.loss).abs() < 1e-6);
        let h = 1e-2f32;
        for at in (0..gradients[0].len()).step_by(7) {
            let mut moved = |by: f32| {
                let old = model.rnn.parameters()[at];
                model.rnn.update(|parameters| parameters[at] += by);
                let moved = loss(model);
                model.rnn.update(|parameters| parameters[at] = old);
                moved
            };
            let (want, got) = ((moved(h) - moved(-h)) / f64::from(2.0 * h), f64::from(gradients[0][at]));
            assert!((want - got).abs() < 2e-4 + 0.01 * want.abs(), "recurrent {at}: {want} {got}");
        }
        for at in 0..gradients[1].len() {
            let mut moved = |by: f32| {
                let old = model.head.parameters()[at];
                model.head.parameters_mut()[at] += by;
                let moved = loss(model);
                model.head.parameters_mut()[at] = old;
                moved
            };
            let (want, got) = ((moved(h) - moved(-h)) / f64::from(2.0 * h), f64::from(gradients[1][at]));
            assert!((want - got).abs() < 2e-4 + 0.01 * want.abs(), "head {at}: {want} {got}");
        }
    }

    #[test]
    fn means_are_weighted_by_rows() {
        let mut score = Score::default();
        score.add(1.0, 0.5, 32);
        score.add(4.0, 1.0, 16);
        assert!((score.loss - 2.0).abs() < 1e-12 && (score.accuracy - 2.0 / 3.0).abs() < 1e-12);
    }
}
