//! How a cell runs over time: the walk forward, the walk back, the records between the two, and the work of
//! each thread.
//!
//! ```text
//! rows.rs            the rows of a batch, longest first
//! records.rs         where the states and the tape of each step lie
//! pass.rs            what a pass reads and writes, forward and backward
//! forward.rs         states (and a tape) from a sequence and initial states
//! products.rs        a phase of a step as products of kernels, and what finishes them
//! ready_call.rs      .. one of its calls, ready for all steps: moved to each step, tile and head
//! single.rs          the same for a single row of few units
//! flushed.rs         copies of inputs with tiny values
//! converted.rs       rows converted to the words of a precision
//! input.rs           input products of many steps beforehand
//! backward.rs        gate gradients from the tape, chunk by chunk against time
//! products_back.rs   a phase of a step on that way as products, and what finishes them
//! replay.rs          forward again between checkpoints, on the way back
//! gradient/          weight, bias and input gradients of a chunk: long products
//! zigzag.rs          whether the steps of a single row go through the weights to and fro
//!
//! threads/           how threads share the work: by rows or by units, and how they meet
//! ```
//!
//! All of it is plain code: it knows neither vectors nor the types of cells, and nothing of layers.

mod backward;
mod converted;
mod flushed;
mod forward;
mod gradient;
mod input;
mod pass;
mod products;
mod products_back;
mod ready_call;
mod records;
mod replay;
mod rows;
mod single;
mod threads;
mod zigzag;

pub(crate) use backward::{BackwardMemory, backward};
pub(crate) use converted::grid as converted_rows;
pub(crate) use flushed::flushed_step;
pub(crate) use forward::{ForwardMemory, forward, load, step};
pub(crate) use gradient::{Inputs, Kept, Targets, target};
pub(crate) use pass::{Checkpoints, Forward, Pass};
pub(crate) use records::{Records, TapeRecords};
pub(crate) use rows::{Extent, Pattern, Rows};
pub(crate) use single::{ReadyStep, StepsOfRow, is_finished_once};
pub(crate) use threads::{
    Lately, MAX_SHARES, Sharing, join, over_stages, sharing, too_little, wavefront_nanoseconds,
};
pub use threads::{Schedule, Threads};
pub(crate) use zigzag::zigzag;
