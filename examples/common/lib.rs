//! What the examples of applications share.
//!
//! ```text
//! options.rs      the options that all of them have       outcome.rs    scores, and whether they are enough
//! epochs.rs       all rows in random order, some times    learner.rs    optimiser, clipping, schedule
//! network.rs      a recurrent layer and a head            words.rs      words as numbers, embeddings
//! baseline.rs     simple methods, and error rates         digits.rs     images of digits
//! chart.rs        pictures: lines and heat                export.rs     data for other programs
//! table.rs        files of one's own, line by line
//! ```
//!
//! Each application trains a network, measures it and a simple method on data that neither has seen, draws a
//! picture and fails where the network misses its mark. Everything random comes from `--seed`.
//!
//! A library of its own, so that it is compiled once.
#![allow(missing_docs, reason = "for the programs beside it alone")]

pub mod baseline;
pub mod chart;
pub mod digits;
mod epochs;
mod export;
mod learner;
mod network;
mod options;
mod outcome;
mod table;
pub mod words;

pub use epochs::{Curve, Epochs, progress};
pub use export::Export;
pub use learner::Learner;
pub use network::{Network, Sees};
pub use options::{Shared, from_to, within};
pub use outcome::{Better, Outcome};
pub use table::{Table, quoted};
pub use words::{Embedded, Vocabulary, WordLayer};

/// Prints a line, as `println!` does. Gives an error, and does not panic, where nobody reads it any more
/// (`convert FILE | head`) or it cannot be written.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        writeln!(std::io::stdout(), $($text)*).map_err(|error| format!("standard output: {error}"))
    }};
}

/// What an example gives back: its errors end it with one line and a status that is not zero.
pub type Outcomes<T = ()> = Result<T, Failure>;

/// Why an example has ended. `main` prints it by `Debug`, for people.
pub struct Failure(Box<dyn std::error::Error>);

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Failure(cause.into())
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}
