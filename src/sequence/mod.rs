//! How a cell runs over time: the walk forward, the walk back, the records between the two, and the work of
//! each thread.
//!
//! ```text
//! rows.rs            the rows of a batch, longest first
//! records.rs         where the states and the tape of each step lie
//! pass.rs            what a pass reads and writes, forward and backward
//! forward.rs         states (and a tape) from a sequence and initial states
//! products.rs        a phase of a step as products of kernels, and what finishes them
//! single.rs          the same for a single row of few units
//! flushed.rs         copies of inputs with tiny values
//! made.rs            rows that are made for a precision
//! input.rs           input products of many steps beforehand
//! backward.rs        gate gradients from the tape, chunk by chunk against time
//! products_back.rs   a phase of a step on that way as products, and what finishes them
//! replay.rs          forward again between checkpoints, on the way back
//! gradient/          weight, bias and input gradients of a chunk: long products
//! turns.rs           whether the steps of a single row go through the weights to and fro
//!
//! schedule.rs        how threads divide the work: by rows or by units
//! cost.rs            estimates of the time of a step, which choose between the two
//! team.rs            threads that go through the steps together
//! join.rs            two pieces of work at the same time: one is offered to another thread
//! offer.rs           such an offer, which its owner can take back
//! lobby.rs           where a thread that has helped waits for the next offer
//! clock.rs           the clock by which they wait
//! ```
//!
//! All of it is plain code: it knows neither vectors nor the types of cells, and nothing of layers.

mod backward;
mod clock;
mod cost;
mod flushed;
mod forward;
mod gradient;
mod input;
mod join;
mod lobby;
mod made;
mod offer;
mod pass;
mod products;
mod products_back;
mod records;
mod replay;
mod rows;
mod schedule;
mod single;
mod team;
mod turns;

pub(crate) use backward::{BackwardMemory, backward};
pub(crate) use cost::{Sharing, sharing, too_little, wavefront_nanoseconds};
pub(crate) use flushed::flushed_step;
pub(crate) use forward::{ForwardMemory, forward, load, step};
pub(crate) use gradient::{Inputs, Kept, Targets, target};
pub(crate) use join::join;
pub(crate) use lobby::Lately;
pub(crate) use made::grid as made_rows;
pub(crate) use pass::{Checkpoints, Forward, Pass};
pub(crate) use records::{Records, TapeRecords};
pub(crate) use rows::{Extent, Pattern, Rows};
pub use schedule::{Schedule, Threads};
pub(crate) use single::{ReadyStep, is_finished_once};
pub(crate) use team::{MOST_SHARES, over_stages};
pub(crate) use turns::turns;
