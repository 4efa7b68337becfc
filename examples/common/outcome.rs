//! Scores on data that no method has seen, and whether they are enough.

use super::{Outcomes, Shared, say};
use std::path::Path;
use std::time::Duration;

/// Which of two scores is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// What an application has found out.
pub struct Outcome<'a> {
    /// What the score is.
    pub what: &'a str,
    pub better: Better,
    /// The score that the network must reach. Without one, as for data of one's own, nothing is judged.
    pub mark: Option<f64>,
    /// Simple methods, which the network must beat.
    pub baselines: &'a [(&'a str, f64)],
    pub network: (&'a str, f64),
    /// The time that the network was trained for.
    pub time: Duration,
    pub picture: &'a Path,
}

impl Outcome<'_> {
    /// Prints everything.
    ///
    /// # Errors
    /// Where the network has not reached the mark, or a simple method is as good.
    pub fn judge(self, shared: &Shared) -> Outcomes {
        let (name, score) = self.network;
        let mark = shared.mark.or(self.mark);
        say!(
            "\n{} ({})",
            self.what,
            if self.better == Better::Higher { "the higher the better" } else { "the lower the better" }
        )?;
        for (name, score) in self.baselines {
            say!("  {name:34} {score:8.4}")?;
        }
        let told = mark.map_or_else(String::new, |mark| format!("   mark {mark}"));
        say!("  {name:34} {score:8.4}{told}")?;
        say!("score    {score:.5}")?;
        say!("time     {:.2} s of training", self.time.as_secs_f64())?;
        say!("picture  {}", self.picture.display())?;
        let Some(mark) = mark else { return Ok(()) };
        let beats = |other: f64| match self.better {
            Better::Higher => score > other,
            Better::Lower => score < other,
        };
        if !(beats(mark) || score == mark) {
            let least = if self.better == Better::Higher { "at least" } else { "at most" };
            let of_example = " (the mark is that of a whole run without options; --mark sets another)";
            let whose = if shared.mark.is_none() { of_example } else { "" };
            let what = self.what;
            return Err(format!("{what}: expected {least} {mark}, got {score:.4} by {name}{whose}").into());
        }
        match self.baselines.iter().find(|(_, score)| !beats(*score)) {
            Some((simple, other)) => {
                let than = format!("{name}, {score:.4}, is no better than {simple}, {other:.4}");
                Err(format!("{}: {than}", self.what).into())
            }
            None => Ok(()),
        }
    }
}
