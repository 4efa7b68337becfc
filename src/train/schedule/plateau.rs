//! The learning rate that falls where a value does not improve.

use super::check;
use crate::Error;
use crate::format::Tensors;
use crate::train::saved::{self, Saved};

/// The options of [`Plateau`]; the defaults are those of `torch.optim.lr_scheduler.ReduceLROnPlateau`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlateauConfig {
    /// What a fall multiplies the learning rate by, in `[0, 1)`. Default 0.1.
    pub factor: f64,
    /// Patience: values in a row without an improvement before the rate falls, at the next such one.
    /// Default 10.
    pub patience: u64,
    /// Least improvement of the value that counts as one, at least 0. Default 1e-4.
    pub threshold: f64,
    /// Whether the threshold is relative to the best value: `value < best (1 - threshold)`, or else `value
    /// < best - threshold`. Default true.
    pub relative: bool,
    /// Values after a fall of the rate that are not counted. Default 0.
    pub cooldown: u64,
    /// The least learning rate, at least 0. Default 0.
    pub minimum: f64,
    /// Least change of the learning rate: where it would fall by no more, it stays. Default 1e-8.
    pub epsilon: f64,
    /// Whether a larger value is better, as of an accuracy. Default false.
    pub maximize: bool,
}

impl Default for PlateauConfig {
    fn default() -> Self {
        PlateauConfig {
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            relative: true,
            cooldown: 0,
            minimum: 0.0,
            epsilon: 1e-8,
            maximize: false,
        }
    }
}

/// Lowers the learning rate where a value has not improved for a while. PyTorch's `ReduceLROnPlateau`.
///
/// ```text
/// improved     value < best (1 - threshold)        more is better: value > best (1 + threshold)
///              value < best - threshold                            value > best + threshold
/// rate         max(rate factor, minimum)           where `bad > patience`, and only if it changes by more
///                                                  than epsilon
/// ```
///
/// [`save`](Plateau::save) and [`load`](Plateau::load) are for training that is resumed.
///
/// ```
/// use fused_rnn::train::{Plateau, PlateauConfig};
///
/// let mut plateau = Plateau::new(PlateauConfig { patience: 1, factor: 0.5, ..Default::default() })?;
/// let mut rate = 0.1;
/// let rates = [1.0, 1.0, 1.0, 0.5].map(|loss| {
///     rate = plateau.observe(loss, rate);
///     rate
/// });
/// assert_eq!(rates, [0.1, 0.1, 0.05, 0.05]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "ReduceLROnPlateau")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plateau {
    config: PlateauConfig,
    best: f64,
    bad: u64,
    cooling: u64,
}

const BEST: &str = "best";
const BAD: &str = "bad";
const COOLING: &str = "cooling";

impl Plateau {
    /// A plateau that has seen no value yet.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an option outside its range.
    pub fn new(config: PlateauConfig) -> Result<Self, Error> {
        if !(0.0..1.0).contains(&config.factor) {
            let expected = "a number in [0, 1)";
            return Err(Error::OutOfRange { what: "factor", expected, got: config.factor });
        }
        check("threshold", config.threshold)?;
        check("minimum", config.minimum)?;
        check("epsilon", config.epsilon)?;
        let best = if config.maximize { f64::NEG_INFINITY } else { f64::INFINITY };
        Ok(Plateau { config, best, bad: 0, cooling: 0 })
    }

    /// Takes the next value, as the loss on validation data, and the learning rate, and gives the rate from
    /// here on. NaN is no improvement.
    pub fn observe(&mut self, value: f64, rate: f64) -> f64 {
        let PlateauConfig { factor, patience, cooldown, minimum, epsilon, .. } = self.config;
        if self.is_better(value) {
            (self.best, self.bad) = (value, 0);
        } else {
            self.bad = self.bad.saturating_add(1);
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad <= patience {
            return rate;
        }
        (self.cooling, self.bad) = (cooldown, 0);
        let lower = (rate * factor).max(minimum);
        if rate - lower > epsilon { lower } else { rate }
    }

    /// The best value that [`observe`](Plateau::observe) has seen; infinite before the first.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// What it has seen, for training that is resumed: `best` (the bits of an f64, as an integer), `bad` and
    /// `cooling`. The options are the caller's.
    ///
    /// # Errors
    /// None today.
    #[doc(alias = "state_dict")]
    pub fn save(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        saved::insert_double(&mut tensors, BEST, self.best)?;
        saved::insert_count(&mut tensors, BAD, self.bad)?;
        saved::insert_count(&mut tensors, COOLING, self.cooling)?;
        Ok(tensors)
    }

    /// Takes back what [`save`](Plateau::save) gave, into one with the same options.
    ///
    /// # Errors
    /// [`Error::Format`] where a tensor is missing, is no such number or is left over. Nothing has changed
    /// then.
    #[doc(alias = "load_state_dict")]
    pub fn load(&mut self, tensors: Tensors) -> Result<(), Error> {
        let mut saved = Saved::new(tensors);
        let (best, bad, cooling) = (saved.best(BEST)?, saved.count(BAD)?, saved.count(COOLING)?);
        saved.finish()?;
        *self = Plateau { best, bad, cooling, ..*self };
        Ok(())
    }

    fn is_better(&self, value: f64) -> bool {
        let PlateauConfig { threshold, relative, maximize, .. } = self.config;
        match (maximize, relative) {
            (false, true) => value < self.best * (1.0 - threshold),
            (false, false) => value < self.best - threshold,
            (true, true) => value > self.best * (1.0 + threshold),
            (true, false) => value > self.best + threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_goes_on() {
        let new = Plateau::new(PlateauConfig { patience: 1, cooldown: 2, ..Default::default() }).unwrap();
        let values = [1.0, 1.0 / 3.0, 0.5, 0.6, 0.7, 0.8, 0.3, 0.4, 0.5];
        for cut in 0..=values.len() {
            let (mut whole, mut resumed) = (new, new);
            let mut rate = values[..cut].iter().fold(0.1, |rate, &value| whole.observe(value, rate));
            resumed.load(whole.save().unwrap()).unwrap();
            assert_eq!(resumed, whole);
            for &value in &values[cut..] {
                let next = whole.observe(value, rate);
                assert_eq!(resumed.observe(value, rate), next);
                rate = next;
            }
        }
        let mut plateau = new;
        let error = plateau.load(Tensors::new()).unwrap_err().to_string();
        assert_eq!(error, "best: expected an integer of 64 bits, got none");
    }

    #[test]
    fn options_out_of_range_are_named() {
        let good = PlateauConfig::default();
        for bad in [-0.5, f64::NAN, f64::INFINITY] {
            for (config, name) in [
                (PlateauConfig { factor: bad, ..good }, "factor"),
                (PlateauConfig { threshold: bad, ..good }, "threshold"),
                (PlateauConfig { minimum: bad, ..good }, "minimum"),
                (PlateauConfig { epsilon: bad, ..good }, "epsilon"),
            ] {
                let made = Plateau::new(config);
                assert!(matches!(made, Err(Error::OutOfRange { what, .. }) if what == name), "{name} {bad}");
            }
        }
        assert!(Plateau::new(PlateauConfig { factor: 1.0, ..good }).is_err());
    }
}
