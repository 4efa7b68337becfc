//! Files of one's own, line by line, with errors that say where: `FILE:LINE: expected .., got ..`.

use super::{Failure, Outcomes};
use std::path::{Path, PathBuf};

/// A text file, with the path that errors name.
pub struct Table {
    path: PathBuf,
    pub text: String,
}

impl Table {
    /// The text of a file, which is UTF-8; a byte order mark is passed over.
    pub fn read(path: &Path) -> Outcomes<Self> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let table = |text| Table { path: path.to_owned(), text };
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
            let got = format!("the byte {:#04x}", error.as_bytes()[good]);
            table(String::new()).wrong(line, "text in UTF-8", &got)
        })?;
        Ok(table(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned)))
    }

    /// Its lines. Empty ones at the end are none.
    ///
    /// # Errors
    /// Where there are fewer than `least`.
    pub fn lines(&self, least: usize) -> Outcomes<Vec<&str>> {
        let lines: Vec<&str> = self.text.trim_end().lines().collect();
        if lines.len() < least {
            return Err(self.few(&format!("{least} lines and more"), lines.len()));
        }
        Ok(lines)
    }

    /// Its lines as pairs, none of which is empty: `split` cuts a line in two, where it is what it should be.
    pub fn pairs(
        &self,
        least: usize,
        expected: &str,
        split: impl Fn(&str) -> Option<(&str, &str)>,
    ) -> Outcomes<Vec<(String, String)>> {
        let empty = |text: &str| text.trim().is_empty();
        let pair = |(n, line): (usize, &str)| match split(line) {
            Some((a, b)) if !empty(a) && !empty(b) => Ok((a.to_owned(), b.to_owned())),
            _ => Err(self.wrong(n, expected, &quoted(line))),
        };
        self.lines(least)?.into_iter().enumerate().map(pair).collect()
    }

    /// The error of a line, which is counted from 0 here and from 1 in the text.
    pub fn wrong(&self, line: usize, expected: &str, got: &str) -> Failure {
        let mut shown: String = got.chars().take(60).collect();
        if shown.len() < got.len() {
            shown += "...";
        }
        format!("{}:{}: expected {expected}, got {shown}", self.path.display(), line + 1).into()
    }

    /// The error of a file that has too little.
    pub fn few(&self, expected: &str, got: impl std::fmt::Display) -> Failure {
        format!("{}: expected {expected}, got {got}", self.path.display()).into()
    }
}

/// Text in quotes, as errors show it.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}
