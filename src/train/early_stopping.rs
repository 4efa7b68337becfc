//! Early stopping: the end of training where a value has not improved for a while.
//!
//! ```text
//! improved     value < best - min_delta         (or value > best + min_delta, where more is better)
//! otherwise    waited <- waited + 1             stop where waited >= patience
//! ```
//!
//! The rule is that of Keras' `EarlyStopping`: the wait begins anew with each improvement, and a value that
//! is better than the best by less than `min_delta` counts as none. NaN never is an improvement.

use crate::Error;

/// The result of [`EarlyStopping::observe`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The value that was observed is the best so far: this is the time to save the weights.
    Improved,
    /// The value that was observed is not the best, and there is patience left.
    Waiting,
    /// The value that was observed is not the best, and the patience is at its end.
    Stop,
}

/// Watches a value, such as the loss on validation data after each epoch, and says when to stop.
///
/// ```
/// use fused_rnn::train::{EarlyStopping, Progress};
///
/// let mut stopping = EarlyStopping::new(2).min_delta(0.01)?;
/// let mut weights = 0.0; // of the best epoch
/// for (epoch, loss) in [0.9, 0.5, 0.495, 0.52, 0.1].into_iter().enumerate() {
///     match stopping.observe(loss) {
///         Progress::Improved => weights = epoch as f32,
///         Progress::Stop => break,
///         _ => (),
///     }
/// }
/// // 0.495 is better than 0.5 by too little.
/// assert_eq!((stopping.best(), stopping.best_at(), weights), (0.5, Some(1), 1.0));
/// assert_eq!(stopping.seen(), 4);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    patience: usize,
    min_delta: f64,
    maximize: bool,
    best: f64,
    best_at: Option<usize>,
    seen: usize,
    waited: usize,
}

impl EarlyStopping {
    /// An early stopping after `patience` values in a row without an improvement (after one, if that is 0);
    /// less is better.
    pub fn new(patience: usize) -> Self {
        let (min_delta, maximize, best) = (0.0, false, f64::INFINITY);
        EarlyStopping { patience, min_delta, maximize, best, best_at: None, seen: 0, waited: 0 }
    }

    /// Counts a value as an improvement only if it is better by more than `min_delta`. Default 0.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a number that is negative or not finite.
    pub fn min_delta(self, min_delta: f64) -> Result<Self, Error> {
        match min_delta.is_finite() && min_delta >= 0.0 {
            true => Ok(EarlyStopping { min_delta, ..self }),
            false => {
                let expected = "a finite number of at least 0";
                Err(Error::OutOfRange { what: "min_delta", expected, got: min_delta })
            }
        }
    }

    /// Larger values are better, as for an accuracy. Call this before the first value.
    pub fn maximize(self) -> Self {
        EarlyStopping { maximize: true, best: f64::NEG_INFINITY, ..self }
    }

    /// Takes the next value, such as the loss on validation data, and says what it means.
    pub fn observe(&mut self, value: f64) -> Progress {
        let improved = match self.maximize {
            true => value > self.best + self.min_delta,
            false => value < self.best - self.min_delta,
        };
        let at = self.seen;
        self.seen += 1;
        if improved {
            (self.best, self.best_at, self.waited) = (value, Some(at), 0);
            return Progress::Improved;
        }
        self.waited += 1;
        if self.waited >= self.patience { Progress::Stop } else { Progress::Waiting }
    }

    /// The best value that [`observe`](EarlyStopping::observe) has seen; infinite before the first.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// The number of the best value, counted from 0; `None` before there is one.
    pub fn best_at(&self) -> Option<usize> {
        self.best_at
    }

    /// The number of values that [`observe`](EarlyStopping::observe) has seen.
    pub fn seen(&self) -> usize {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Progress::{Improved, Stop, Waiting};

    #[test]
    fn patience_begins_anew_with_each_improvement() {
        let mut stopping = EarlyStopping::new(2);
        let seen = [3.0, 3.0, 2.0, f64::NAN, 1.0, 1.0, 1.5].map(|value| stopping.observe(value));
        assert_eq!(seen, [Improved, Waiting, Improved, Waiting, Improved, Waiting, Stop]);
        assert_eq!((stopping.best(), stopping.best_at(), stopping.seen()), (1.0, Some(4), 7));
        // Once more, where somebody goes on.
        assert_eq!([stopping.observe(2.0), stopping.observe(0.5)], [Stop, Improved]);
    }

    #[test]
    fn more_may_be_better_and_patience_zero() {
        let mut stopping = EarlyStopping::new(0).maximize().min_delta(0.1).unwrap();
        assert_eq!(stopping.best(), f64::NEG_INFINITY);
        assert_eq!([0.5, 0.7, 0.75].map(|value| stopping.observe(value)), [Improved, Improved, Stop]);
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let refused = stopping.min_delta(bad);
            assert!(matches!(refused, Err(Error::OutOfRange { what: "min_delta", .. })));
        }
    }
}
