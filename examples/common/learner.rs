//! What moves parameters: AdamW, its gradients clipped by their global norm, its rate a cosine after a short
//! warm-up.

use fused_rnn::Error;
use fused_rnn::train::{AdamConfig, AdamW, Optimizer, RateSchedule, clip_global_norm};

/// The optimiser of everything but embeddings.
pub struct Learner {
    adam: AdamW,
    schedule: RateSchedule,
    base: f64,
    /// Steps so far. Also the seed of a step's dropout.
    pub steps: u64,
}

impl Learner {
    /// For so many parameters, `steps` steps and a rate that is `rate` at its highest.
    pub fn new(parameters: usize, rate: f64, steps: usize) -> Result<Self, Error> {
        let config = AdamConfig { weight_decay: 0.01, ..AdamConfig::adam_w() };
        let warm = (steps / 20) as u64 + 1;
        let falling = RateSchedule::cosine(steps as u64 - warm.min(steps as u64 - 1), 0.01)?;
        let schedule = RateSchedule::warm_up(0.1, warm)?.then(warm, falling);
        Ok(Learner { adam: AdamW::new(parameters, config)?, schedule, base: rate, steps: 0 })
    }

    pub fn rate(&self) -> f64 {
        self.schedule.rate(self.base, self.steps)
    }

    /// One step on slices of parameters, each with its gradients. Inside [`fused_rnn::Recurrent::update`].
    pub fn step(&mut self, slices: &mut [(&mut [f32], &mut [f32])]) -> Result<(), Error> {
        let mut gradients: Vec<&mut [f32]> =
            slices.iter_mut().map(|(_, gradients)| &mut **gradients).collect();
        clip_global_norm(&mut gradients, 1.0)?;
        self.adam.set_learning_rate(self.rate())?;
        let mut slices: Vec<(&mut [f32], &[f32])> =
            slices.iter_mut().map(|(p, g)| (&mut **p, &**g)).collect();
        self.adam.step_all(&mut slices)?;
        self.steps += 1;
        Ok(())
    }
}
