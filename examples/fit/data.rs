//! The training data: sequences of numbers with one label each, checked before anything else happens.
//!
//! ```text
//! data     (N, T) or (N, T, F)     any integer or float type; NaN and infinities are refused
//! labels   (N) or (N, 1)           classes 0..C as whole numbers
//!          (N, C)                  one-hot: each row has one 1 and is 0 elsewhere
//! ```
//!
//! Built in are the digits of the tutorial: 1797 images of 8 x 8 pixels, read as sequences of 64 steps of one
//! feature, raw values 0 to 16, ten classes.

use super::npy::{self, Array};
use std::fs;
use std::ops::Range;
use std::path::Path;

static DIGITS: &[u8] = include_bytes!("data/digits_data.npy");
static DIGITS_LABELS: &[u8] = include_bytes!("data/digits_labels.npy");

/// Sequences with their labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dataset {
    /// `(rows, steps, features)`.
    pub(crate) x: Vec<f32>,
    /// `(rows)`, each below `classes`.
    pub(crate) labels: Vec<usize>,
    /// Sequences.
    pub(crate) rows: usize,
    /// Steps of a sequence.
    pub(crate) steps: usize,
    /// Numbers at each step.
    pub(crate) features: usize,
    /// Different labels.
    pub(crate) classes: usize,
}

impl Dataset {
    /// The digits that are built in.
    ///
    /// # Errors
    /// None, as long as the files in the folder of this example are whole.
    pub(crate) fn digits() -> Result<Self, String> {
        Dataset::new("the digits", DIGITS, "their labels", DIGITS_LABELS, Some(10))
    }

    /// Sequences and labels from two files; `classes` may be above the largest label.
    ///
    /// # Errors
    /// What is wrong, with the name of the file, in one line.
    pub(crate) fn load(data: &Path, labels: &Path, classes: Option<usize>) -> Result<Self, String> {
        let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let (data_bytes, label_bytes) = (read(data)?, read(labels)?);
        let names = (data.display().to_string(), labels.display().to_string());
        Dataset::new(&names.0, &data_bytes, &names.1, &label_bytes, classes)
    }

    fn new(
        name: &str,
        data: &[u8],
        label_name: &str,
        labels: &[u8],
        classes: Option<usize>,
    ) -> Result<Self, String> {
        let Array { shape, values: x } =
            npy::read(data, |v| v as f32).map_err(|why| format!("{name}: {why}"))?;
        let (rows, steps, features) = match shape[..] {
            [rows, steps] => (rows, steps, 1),
            [rows, steps, features] => (rows, steps, features),
            _ => return Err(format!("{name}: expected the shape (N, T) or (N, T, F), got {shape:?}")),
        };
        if x.is_empty() {
            return Err(format!("{name}: expected at least one number, got the shape {shape:?}"));
        }
        if let Some(place) = x.iter().position(|value| !value.is_finite()) {
            let (row, rest) = (place / (steps * features), place % (steps * features));
            let (step, feature) = (rest / features, rest % features);
            let value = x[place];
            return Err(format!("{name}: [{row}, {step}, {feature}] is {value}, expected a finite f32"));
        }

        let labels = npy::read(labels, |v| v).and_then(|labels| read_labels(labels, rows, classes));
        let (labels, classes) = labels.map_err(|why| format!("{label_name}: {why}"))?;
        if classes < 2 {
            return Err(format!("{label_name}: expected at least 2 classes, got {classes}"));
        }
        Ok(Dataset { x, labels, rows, steps, features, classes })
    }

    /// Multiplies every number by `factor`.
    ///
    /// # Errors
    /// Where a number grows beyond the finite.
    pub(crate) fn scale(&mut self, factor: f32) -> Result<(), String> {
        if let Some(x) = self.x.iter().find(|&&x| !(x * factor).is_finite()) {
            return Err(format!("--scale {factor}: expected finite products, got {x} * {factor}"));
        }
        self.x.iter_mut().for_each(|x| *x *= factor);
        Ok(())
    }

    /// The numbers of some rows, `(rows, steps, features)`.
    pub(crate) fn batch(&self, rows: Range<usize>) -> &[f32] {
        let width = self.steps * self.features;
        &self.x[rows.start * width..rows.end * width]
    }

    /// How many rows, the first ones, are left for training when the last `share` of them is kept for
    /// validation. As in Keras: the cut is made before any shuffling.
    ///
    /// # Errors
    /// Where a share above 0 leaves no row on one side.
    pub(crate) fn training_rows(&self, share: f64) -> Result<usize, String> {
        let training = (self.rows as f64 * (1.0 - share)).floor() as usize;
        if training == 0 || (share > 0.0 && training == self.rows) {
            return Err(format!(
                "--validation-split {share}: expected rows on both sides, got {training} of {} for training",
                self.rows
            ));
        }
        Ok(training)
    }
}

/// The classes of the rows, and how many classes there are.
fn read_labels(
    array: Array<f64>,
    rows: usize,
    classes: Option<usize>,
) -> Result<(Vec<usize>, usize), String> {
    let Array { shape, values } = array;
    let (&[count] | &[count, _]) = &shape[..] else {
        return Err(format!("expected the shape (N), (N, 1) or (N, C), got {shape:?}"));
    };
    if count != rows {
        return Err(format!("expected {rows} rows as in the data, got {count}"));
    }
    match shape[..] {
        [_, width] if width != 1 => {
            if let Some(classes) = classes.filter(|&classes| classes != width) {
                return Err(format!("expected {classes} columns for --classes {classes}, got {width}"));
            }
            Ok((one_hot(&values, width)?, width))
        }
        _ => integers(&values, classes),
    }
}

/// The column of the 1 in each row.
fn one_hot(values: &[f64], width: usize) -> Result<Vec<usize>, String> {
    let label = |(row, values): (usize, &[f64])| {
        let ones = values.iter().filter(|&&value| value == 1.0).count();
        let zeros = values.iter().filter(|&&value| value == 0.0).count();
        match values.iter().position(|&value| value == 1.0) {
            Some(label) if (ones, zeros) == (1, width - 1) => Ok(label),
            _ => Err(format!("row {row} is not one-hot: expected one 1 and {} zeros", width - 1)),
        }
    };
    // A width of 0 has no rows to walk through, and no label for any.
    if width == 0 {
        return Err("expected at least one column, got none".to_owned());
    }
    values.chunks_exact(width).enumerate().map(label).collect()
}

/// Labels as they are. Where the number of classes is not given, each class must occur: a stray label far
/// above the others would otherwise pass for a class of its own.
fn integers(values: &[f64], classes: Option<usize>) -> Result<(Vec<usize>, usize), String> {
    // No more classes than an f32 can tell apart as a label, far more than a head can have.
    let limit = classes.unwrap_or(1 << 24);
    let mut labels = Vec::with_capacity(values.len());
    for (row, &value) in values.iter().enumerate() {
        if !(value >= 0.0 && value < limit as f64 && value.fract() == 0.0) {
            return Err(format!("row {row}: expected a whole number in 0..{limit}, got {value}"));
        }
        labels.push(value as usize);
    }
    if let Some(classes) = classes {
        return Ok((labels, classes));
    }
    let largest = labels.iter().copied().max().unwrap_or(0);
    let mut seen = vec![false; largest + 1];
    for &label in &labels {
        seen[label] = true;
    }
    if let Some(gap) = seen.iter().position(|seen| !seen) {
        let row = labels.iter().position(|&label| label == largest).unwrap_or(0);
        return Err(format!(
            "row {row}: got the label {largest}, but no row has the label {gap}; \
             if both are classes, give their number by --classes"
        ));
    }
    Ok((labels, largest + 1))
}

#[cfg(test)]
mod tests {
    use super::super::npy::write;
    use super::*;

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn load(data: &[u8], labels: &[u8], classes: Option<usize>) -> Result<Dataset, String> {
        Dataset::new("x.npy", data, "y.npy", labels, classes)
    }

    #[test]
    fn the_digits_are_whole() {
        let digits = Dataset::digits().unwrap();
        assert_eq!((digits.rows, digits.steps, digits.features, digits.classes), (1797, 64, 1, 10));
        assert_eq!(digits.batch(0..1)[..6], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0]);
        assert_eq!(digits.labels[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        assert_eq!(digits.x.iter().fold(0.0f32, |max, &x| max.max(x)), 16.0);
    }

    #[test]
    fn shapes_and_kinds_of_labels() {
        let flat = write("|u1", false, "(3, 2)", &[1, 2, 3, 4, 5, 6]);
        let deep = write("<f4", false, "(3, 1, 2)", &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let labels = write("|u1", false, "(3,)", &[1, 0, 1]);
        let column = write("<i2", false, "(3, 1)", &[1, 0, 0, 0, 1, 0]);
        let one_hot = write("<f4", false, "(3, 2)", &floats(&[0.0, 1.0, 1.0, 0.0, 0.0, 1.0]));
        let expected = load(&flat, &labels, None).unwrap();
        assert_eq!((expected.steps, expected.features, expected.classes), (2, 1, 2));
        for labels in [&column, &one_hot] {
            assert_eq!(load(&flat, labels, None).unwrap(), expected);
        }
        let deep = load(&deep, &labels, Some(5)).unwrap();
        assert_eq!((deep.steps, deep.features, deep.classes), (1, 2, 5));
        assert_eq!((&deep.x, &deep.labels), (&expected.x, &expected.labels));
    }

    #[test]
    fn bad_data_is_named() {
        let labels = write("|u1", false, "(2,)", &[1, 0]);
        for (data, said) in [
            (write("|u1", false, "(2,)", &[1, 2]), "expected the shape (N, T)"),
            (write("|u1", false, "(2, 1, 1, 1)", &[1, 2]), "expected the shape (N, T)"),
            (write("|u1", false, "(0, 5)", &[]), "at least one number"),
            (write("|u1", false, "(2, 0)", &[]), "at least one number"),
            (write("<f4", false, "(2, 2)", &floats(&[0.0, 1.0, f32::NAN, 0.0])), "[1, 0, 0] is NaN"),
            (write("<f4", false, "(2, 1)", &floats(&[0.0, f32::INFINITY])), "[1, 0, 0] is inf"),
            (write("<f8", false, "(2, 1)", &[0.0f64, 1e39].map(f64::to_le_bytes).concat()), "is inf"),
            (write("|u1", false, "(3, 1)", &[0, 0, 0]), "expected 3 rows"),
            (b"not a file".to_vec(), "no .npy file"),
        ] {
            let error = load(&data, &labels, None).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let missing = Dataset::load(Path::new("no/such.npy"), Path::new("no/such.npy"), None).unwrap_err();
        assert!(missing.starts_with("no/such.npy: "), "{missing}");
    }

    #[test]
    fn bad_labels_are_named() {
        let data = write("|u1", false, "(3, 1)", &[1, 2, 3]);
        let float = |values: &[f32; 3]| write("<f4", false, "(3,)", &floats(values));
        for (labels, classes, said) in [
            (write("|i1", false, "(3,)", &[0, 1, 255]), None, "row 2: expected a whole number"),
            (float(&[0.0, 0.5, 1.0]), None, "row 1: expected a whole number"),
            (float(&[0.0, 1.0, f32::NAN]), None, "row 2: expected a whole number"),
            (
                write("|u1", false, "(3,)", &[0, 1, 9]),
                None,
                "row 2: got the label 9, but no row has the label 2",
            ),
            (
                write("|u1", false, "(3,)", &[0, 1, 3]),
                Some(3),
                "row 2: expected a whole number in 0..3, got 3",
            ),
            (float(&[0.0, 1.0, 1e30]), None, "row 2: expected a whole number"),
            (write("|u1", false, "(2,)", &[0, 1]), None, "expected 3 rows as in the data, got 2"),
            (write("|u1", false, "(3, 2)", &[1, 0, 1, 1, 0, 1]), None, "row 1 is not one-hot"),
            (write("|u1", false, "(3, 2)", &[1, 0, 0, 0, 0, 1]), None, "row 1 is not one-hot"),
            (write("|u1", false, "(3, 2)", &[1, 0, 1, 0, 0, 1]), Some(3), "expected 3 columns"),
            (write("|u1", false, "(3, 0)", &[]), None, "at least one column"),
            (write("|u1", false, "()", &[0]), None, "expected the shape (N)"),
            (write("|u1", false, "(3,)", &[0, 0, 0]), None, "at least 2 classes, got 1"),
        ] {
            let error = load(&data, &labels, classes).unwrap_err();
            assert!(error.starts_with("y.npy: ") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn numbers_are_scaled_but_not_beyond_the_finite() {
        let mut digits = Dataset::digits().unwrap();
        digits.scale(0.0625).unwrap();
        assert_eq!(digits.batch(0..1)[2..4], [0.3125, 0.8125]);
        assert!(digits.scale(3.4e38).is_ok() && digits.scale(2.0).is_err());
    }

    #[test]
    fn the_last_rows_validate() {
        let digits = Dataset::digits().unwrap();
        assert_eq!(digits.training_rows(0.0), Ok(1797));
        assert_eq!(digits.training_rows(0.2), Ok(1437)); // int(1797 * 0.8), as in Keras
        assert!(digits.training_rows(0.9999).is_err() && digits.training_rows(1e-17).is_err());
    }
}
