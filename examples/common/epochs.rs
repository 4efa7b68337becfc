//! Training for some epochs, each over all rows in another order, with a score after each.

use super::{Outcomes, Shared, say};
use fused_rnn::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// A bar on the standard error, where that is a terminal.
pub fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {eta} left");
    ProgressBar::new(steps as u64).with_style(style.expect("the template is valid").progress_chars("=> "))
}

/// Scores, each at an epoch.
pub type Curve = Vec<(f64, f64)>;

/// How long, and in what order.
pub struct Epochs {
    epochs: usize,
    rows: usize,
    batch: usize,
    seed: u64,
    shuffled: bool,
}

impl Epochs {
    /// Epochs over so many rows, in batches.
    ///
    /// # Errors
    /// Where there is nothing to do.
    pub fn new(epochs: usize, rows: usize, batch: usize, shared: &Shared) -> Outcomes<Self> {
        if epochs == 0 || rows == 0 {
            return Err(format!("expected epochs and rows to train on, got {epochs} and {rows}").into());
        }
        Ok(Epochs { epochs, rows, batch, seed: shared.seed, shuffled: true })
    }

    /// The same without another order in each epoch.
    pub fn in_order(self) -> Self {
        Epochs { shuffled: false, ..self }
    }

    /// Steps of all epochs.
    pub fn steps(&self) -> usize {
        self.epochs * self.rows.div_ceil(self.batch)
    }

    /// Trains `net`: `step` takes a step on some rows and gives their mean loss, `score` measures `net` after
    /// an epoch by what `what` says. Gives the scores, and the time of the steps.
    pub fn run<N>(
        &self,
        net: &mut N,
        what: &str,
        mut step: impl FnMut(&mut N, &[usize]) -> Outcomes<f64>,
        mut score: impl FnMut(&N) -> Outcomes<f64>,
    ) -> Outcomes<(Curve, Duration)> {
        let (mut rng, mut order) = (Rng::new(self.seed), (0..self.rows).collect::<Vec<_>>());
        say!("{} updates in {} epochs, {} rows in each", self.steps(), self.epochs, self.batch)?;
        let (bar, mut curve, mut time) = (progress(self.steps()), Vec::new(), Duration::ZERO);
        for epoch in 1..=self.epochs {
            let (start, mut sum) = (Instant::now(), 0.0);
            if self.shuffled {
                rng.shuffle(&mut order);
            }
            for rows in order.chunks(self.batch) {
                sum += step(net, rows)? * rows.len() as f64;
                bar.inc(1);
            }
            time += start.elapsed();
            let score = score(net)?;
            let loss = sum / self.rows as f64;
            bar.suspend(|| say!("epoch {epoch:3}  loss {loss:.4}  {what} {score:.4}"))?;
            curve.push((epoch as f64, score));
        }
        bar.finish_and_clear();
        Ok((curve, time))
    }
}
