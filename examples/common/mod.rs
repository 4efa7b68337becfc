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
#![allow(dead_code, unused_imports, reason = "each example uses a part")]

pub(crate) mod baseline;
pub(crate) mod chart;
pub(crate) mod digits;
mod epochs;
mod export;
mod learner;
mod network;
mod options;
mod outcome;
mod table;
pub(crate) mod words;

pub(crate) use epochs::{Curve, Epochs, progress};
pub(crate) use export::Export;
pub(crate) use learner::Learner;
pub(crate) use network::{Network, Sees};
pub(crate) use options::{Shared, from_to, within};
pub(crate) use outcome::{Better, Outcome};
pub(crate) use table::{Table, quoted};
pub(crate) use words::{Embedded, Vocabulary, WordLayer};

/// What an example gives back: its errors end it with one line and a status that is not zero.
pub(crate) type Outcomes<T = ()> = Result<T, Failure>;

/// Why an example has ended. `main` prints it by `Debug`, for people.
pub(crate) struct Failure(Box<dyn std::error::Error>);

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
