//! The options that all applications have.

use fused_rnn::Threads;
use std::num::NonZeroUsize;
use std::path::PathBuf;

// Flattened into the options of each application. (A doc comment would be the description of its help.)
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Shared {
    /// Decides data, initial weights, dropout and the order of rows.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads of the recurrent layers. Default: what the machine has, where it pays.
    #[arg(long)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// The score that the network must reach. Default: the mark of the example.
    #[arg(long)]
    pub(crate) mark: Option<f64>,
    /// Where the picture goes. Default: target/NAME.svg.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Write the data to this safetensors file, for a program elsewhere, and do no more.
    #[arg(long)]
    pub(crate) export: Option<PathBuf>,
}

impl Shared {
    pub(crate) fn threads(&self) -> Threads {
        self.threads.map_or(Threads::Auto, |threads| Threads::Count(threads.get()))
    }

    /// The file of the picture of the example `name`. Its folder is made.
    pub(crate) fn picture(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.svg.clone().unwrap_or_else(|| format!("target/{name}.svg").into());
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        Ok(path)
    }
}
