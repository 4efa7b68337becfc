//! The table at the end of a run.

use super::trainer::Epoch;
use std::fmt::Write;

/// One line per epoch, the numbers below their names.
pub(crate) fn epochs(epochs: &[Epoch]) -> String {
    let validated = epochs.iter().any(|epoch| epoch.validation.is_some());
    let mut table = format!("{:>5}  {:>8}  {:>8}", "epoch", "loss", "accuracy");
    if validated {
        table += &format!("  {:>8}  {:>12}", "val loss", "val accuracy");
    }
    table += &format!("  {:>8}  {:>9}\n", "time", "samples/s");
    for (number, epoch) in (1..).zip(epochs) {
        let training = epoch.training;
        // Writing to a string does not fail.
        let _ = write!(table, "{number:>5}  {:>8.4}  {:>8.4}", training.loss, training.accuracy);
        if let Some(validation) = epoch.validation {
            let _ = write!(table, "  {:>8.4}  {:>12.4}", validation.loss, validation.accuracy);
        }
        let _ = writeln!(table, "  {:>6.2} s  {:>9.0}", epoch.time.as_secs_f64(), epoch.rate());
    }
    table
}

/// Names and values, the values below each other.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::Score;
    use super::*;
    use std::time::Duration;

    #[test]
    fn columns_are_aligned() {
        let score = |loss, accuracy| Score { loss, accuracy, rows: 1000 };
        let time = Duration::from_millis(500);
        let mut run = vec![Epoch { training: score(12.25, 0.5), validation: None, time }; 10];
        let table = epochs(&run);
        assert!(table.ends_with("   10   12.2500    0.5000    0.50 s       2000\n"), "{table}");
        run.iter_mut().for_each(|epoch| epoch.validation = Some(score(1.0, 1.0)));
        for table in [table, epochs(&run)] {
            let widths: Vec<usize> = table.lines().map(str::len).collect();
            assert!(widths.len() == 11 && widths.iter().all(|&width| width == widths[0]), "{table}");
        }
        let facts = facts(&[("a", "1".to_owned()), ("bcd", "2".to_owned())]);
        assert_eq!(facts, "a    1\nbcd  2\n");
    }
}
