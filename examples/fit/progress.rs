//! The progress of training: for each epoch a bar while it runs, where the output is a terminal, and a line
//! when it is over, everywhere.
//!
//! ```text
//! Epoch  3/10 [====>  ] 37/57  loss 1.1432  acc 0.6128  5123 samples/s  0:01 left
//! Epoch  3/10  loss 0.8653  acc 0.6834  5098 samples/s  0.35 s
//! ```

use super::model::Score;
use super::trainer::Epoch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows progress on the standard output.
pub(crate) struct Progress {
    epochs: usize,
    epoch: usize,
    terminal: bool,
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// The progress of a run with this many epochs.
    pub(crate) fn new(epochs: usize) -> Self {
        let (terminal, bar) = (io::stdout().is_terminal(), ProgressBar::hidden());
        Progress { epochs, epoch: 0, terminal, bar, start: Instant::now() }
    }

    /// An epoch begins.
    pub(crate) fn begin(&mut self, epoch: usize, batches: usize) {
        self.epoch = epoch;
        self.start = Instant::now();
        if self.terminal {
            let style = ProgressStyle::with_template("Epoch {prefix} [{wide_bar}] {pos}/{len}  {msg}");
            let style = style.expect("the template is valid").progress_chars("=> ");
            self.bar = ProgressBar::with_draw_target(Some(batches as u64), ProgressDrawTarget::stdout())
                .with_style(style)
                .with_prefix(self.label());
        }
    }

    /// A step is done; `so_far` is the mean over the epoch, which has `rows`.
    pub(crate) fn batch(&mut self, so_far: &Score, rows: usize) {
        if self.terminal {
            self.bar.inc(1);
            self.bar.set_message(running(so_far, rows, self.start.elapsed()));
        }
    }

    /// The epoch is over.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub(crate) fn end(&mut self, epoch: &Epoch) -> io::Result<()> {
        // The bar goes; what stays is a line that a narrow terminal can wrap.
        self.bar.finish_and_clear();
        let mut out = io::stdout().lock();
        writeln!(out, "Epoch {}  {}", self.label(), finished(epoch))?;
        out.flush()
    }

    /// "3/10", the first number as wide as the second.
    fn label(&self) -> String {
        let width = self.epochs.to_string().len();
        format!("{:>width$}/{}", self.epoch, self.epochs)
    }
}

/// What stands beside the bar while it grows.
fn running(so_far: &Score, rows: usize, elapsed: Duration) -> String {
    let rate = so_far.rows as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = rows.saturating_sub(so_far.rows) as f64 / rate.max(1e-9);
    let Score { loss, accuracy, .. } = so_far;
    format!("loss {loss:.4}  acc {accuracy:.4}  {rate:.0} samples/s  {} left", clock(left))
}

/// What stays of an epoch.
fn finished(epoch: &Epoch) -> String {
    let Score { loss, accuracy, .. } = epoch.training;
    let mut text = format!("loss {loss:.4}  acc {accuracy:.4}");
    if let Some(Score { loss, accuracy, .. }) = epoch.validation {
        text += &format!("  val_loss {loss:.4}  val_acc {accuracy:.4}");
    }
    text + &format!("  {:.0} samples/s  {:.2} s", epoch.rate(), epoch.time.as_secs_f64())
}

/// Seconds as `m:ss` or `h:mm:ss`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_asked_of_them() {
        let score = Score { loss: 1.5, accuracy: 0.25, rows: 500 };
        let line = running(&score, 1500, Duration::from_secs(2));
        assert_eq!(line, "loss 1.5000  acc 0.2500  250 samples/s  0:04 left");
        let epoch = Epoch { training: score, validation: Some(score), time: Duration::from_millis(1250) };
        let line = finished(&epoch);
        assert_eq!(line, "loss 1.5000  acc 0.2500  val_loss 1.5000  val_acc 0.2500  400 samples/s  1.25 s");
        // The first moment of an epoch divides by almost nothing.
        running(&Score::default(), 1500, Duration::ZERO);
    }

    #[test]
    fn clocks() {
        let times = [0.0, 0.2, 59.5, 61.0, 3599.0, 3723.0].map(clock);
        assert_eq!(times, ["0:00", "0:01", "1:00", "1:01", "59:59", "1:02:03"]);
    }
}
