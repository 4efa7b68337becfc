//! Early stopping: the end of training where a value has not improved for a while.
//!
//! ```text
//! improved     value < best - min_delta         (or value > best + min_delta, where more is better)
//! otherwise    waited <- waited + 1             stop where waited >= patience
//! ```
//!
//! The rule is that of Keras' `EarlyStopping`: the wait begins anew with each improvement, and a value that
//! is better than the best by less than `min_delta` counts as none. NaN never is an improvement.

use super::refused;
use super::saved::{self, Saved};
use crate::Error;
use crate::format::Tensors;

/// The result of [`EarlyStopping::observe`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The value that was observed is the best so far: keep the weights now, as a clone of the network or in
    /// a file.
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
#[doc(alias = "restore_best_weights")]
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

const BEST: &str = "best";
const BEST_AT: &str = "best_at";
const SEEN: &str = "seen";
const WAITED: &str = "waited";

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
        self.seen = self.seen.saturating_add(1);
        if improved {
            (self.best, self.best_at, self.waited) = (value, Some(at), 0);
            return Progress::Improved;
        }
        self.waited = self.waited.saturating_add(1);
        if self.waited >= self.patience { Progress::Stop } else { Progress::Waiting }
    }

    /// What it has seen, for training that is resumed: `best` (the bits of an f64, as an integer), `best_at`
    /// (-1 before there is one), `seen` and `waited`. Patience and the other options are the caller's.
    ///
    /// ```
    /// use fused_rnn::train::{EarlyStopping, Progress};
    ///
    /// let mut stopping = EarlyStopping::new(2);
    /// assert_eq!([0.5, 0.7].map(|loss| stopping.observe(loss)), [Progress::Improved, Progress::Waiting]);
    /// // Later: a value is the second in a row that is no better.
    /// let mut resumed = EarlyStopping::new(2);
    /// resumed.load(stopping.save()?)?;
    /// assert_eq!(resumed.observe(0.6), Progress::Stop);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// None today.
    #[doc(alias = "state_dict")]
    pub fn save(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        saved::insert_double(&mut tensors, BEST, self.best)?;
        let best_at = self.best_at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX));
        saved::insert_integer(&mut tensors, BEST_AT, best_at)?;
        saved::insert_count(&mut tensors, SEEN, self.seen as u64)?;
        saved::insert_count(&mut tensors, WAITED, self.waited as u64)?;
        Ok(tensors)
    }

    /// Takes back what [`save`](EarlyStopping::save) gave, into one with the same options.
    ///
    /// # Errors
    /// [`Error::Format`] where a tensor is missing, is no such number or is left over, or the numbers do not
    /// fit each other. Nothing has changed then.
    #[doc(alias = "load_state_dict")]
    pub fn load(&mut self, tensors: Tensors) -> Result<(), Error> {
        let mut saved = Saved::new(tensors);
        let size =
            |name: &str, count: u64| usize::try_from(count).map_err(|_| refused(name, "a size", count));
        let best = saved.best(BEST)?;
        let best_at = match saved.integer(BEST_AT)? {
            -1 => None,
            at => Some(usize::try_from(at).map_err(|_| refused(BEST_AT, "-1 or a place", at))?),
        };
        let (seen, waited) = (size(SEEN, saved.count(SEEN)?)?, size(WAITED, saved.count(WAITED)?)?);
        saved.finish()?;
        // Since the best, or from the beginning on, all others have been waited for.
        let since = best_at.map_or(Some(seen), |at| seen.checked_sub(at)?.checked_sub(1));
        let none = if self.maximize { f64::NEG_INFINITY } else { f64::INFINITY };
        if since != Some(waited) || best_at.is_none() && best != none {
            let got = format_args!("best {best} at {best_at:?}, {seen} seen, {waited} waited");
            return Err(refused("early stopping", "numbers that fit each other", got));
        }
        *self = EarlyStopping { best, best_at, seen, waited, ..*self };
        Ok(())
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
    fn what_was_saved_goes_on() {
        // One third is no f32.
        let values = [3.0, 1.0 / 3.0, f64::NAN, 0.5, 0.333, 0.4, 0.5];
        for cut in 0..=values.len() {
            for new in [EarlyStopping::new(2), EarlyStopping::new(2).maximize()] {
                let (mut whole, mut resumed) = (new, new);
                values[..cut].iter().for_each(|&value| _ = whole.observe(value));
                resumed.load(whole.save().unwrap()).unwrap();
                assert_eq!(resumed, whole);
                for &value in &values[cut..] {
                    assert_eq!(resumed.observe(value), whole.observe(value));
                }
            }
        }
    }

    #[test]
    fn what_was_not_saved_is_refused() {
        let mut seen = EarlyStopping::new(2);
        [0.5, 0.75].iter().for_each(|&value| _ = seen.observe(value));
        let changed = |change: fn(&mut Tensors)| {
            let (mut tensors, mut stopping) = (seen.save().unwrap(), EarlyStopping::new(2));
            change(&mut tensors);
            let error = stopping.load(tensors).unwrap_err().to_string();
            assert_eq!(stopping, EarlyStopping::new(2), "{error}");
            error
        };
        let said = changed(|tensors| _ = tensors.remove_raw("seen"));
        assert_eq!(said, "seen: expected an integer of 64 bits, got none");
        let said = changed(|tensors| saved::insert_double(tensors, BEST, f64::NAN).unwrap());
        assert_eq!(said, "best: expected the bits of a number, got NaN");
        let said = changed(|tensors| saved::insert_integer(tensors, WAITED, -2).unwrap());
        assert_eq!(said, "waited: expected a number from 0, got -2");
        let said = changed(|tensors| saved::insert_integer(tensors, BEST_AT, -2).unwrap());
        assert_eq!(said, "best_at: expected -1 or a place, got -2");
        let said = changed(|tensors| saved::insert_count(tensors, SEEN, 7).unwrap());
        assert!(said.starts_with("early stopping: expected numbers that fit each other"), "{said}");
        let said = changed(|tensors| saved::insert_count(tensors, "epoch", 7).unwrap());
        assert_eq!(said, "tensors: expected none that has no place here, got epoch");
        // Where less is better, the best of nothing is not the least number.
        assert!(seen.load(EarlyStopping::new(2).maximize().save().unwrap()).is_err());
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
