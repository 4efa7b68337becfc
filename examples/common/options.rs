//! The options that all applications have.

use super::Outcomes;
use clap::builder::RangedU64ValueParser;
use fused_rnn::Threads;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

// Flattened into the options of each application. (A doc comment would be the description of its help.)
#[derive(Debug, Clone, clap::Args)]
pub struct Shared {
    /// Decides data, initial weights, dropout and the order of rows.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads of the recurrent layers. Default: what the machine has, where it pays.
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// The score that the network must reach. Default: the mark of the example, which is
    /// that of a whole run without options; none for data of your own.
    #[arg(long)]
    pub mark: Option<f64>,
    /// Where the picture goes. Default: target/NAME.svg.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Write the data to this safetensors file, for a program elsewhere, and do no more.
    #[arg(long)]
    pub export: Option<PathBuf>,
}

impl Shared {
    pub fn threads(&self) -> Threads {
        self.threads.map_or(Threads::Auto, |threads| Threads::Count(threads.get()))
    }

    /// The file of the picture of the example `name`. Its folder is made, and it is tried whether the file
    /// can be written: ask for it before the training, not after.
    pub fn picture(&self, name: &str) -> Outcomes<PathBuf> {
        let path = self.svg.clone().unwrap_or_else(|| format!("target/{name}.svg").into());
        let tried = || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            let new = std::fs::symlink_metadata(&path).is_err();
            // (What is there already stays as it is.)
            drop(OpenOptions::new().append(true).create(true).open(&path)?);
            if new { std::fs::remove_file(&path) } else { Ok(()) }
        };
        tried().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// Reads a whole number in these limits.
pub fn from_to(least: u64, most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..=most)
}

/// Reads a number in these limits.
pub fn within<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("expected a number from {least} to {most}")),
    }
}
