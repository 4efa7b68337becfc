//! How a cell runs over time: the walk forward, the walk back, what is kept in between, and who does
//! what.
//!
//! ```text
//! forward.rs    states (and a tape) from a sequence and initial states
//! backward.rs   gate gradients from the tape, chunk by chunk against time
//! replay.rs     forward again between checkpoints, on the way back
//! gradient/     weight, bias and input gradients of a chunk: long products
//! schedule.rs   who does what
//! team.rs       threads that meet at every step
//! state.rs      what a stream carries from call to call
//! ```
//!
//! All of it is generic over the cell and the SIMD level, and none of it knows of layers.

mod backward;
mod forward;
mod gradient;
mod replay;
mod schedule;
mod state;
mod team;

pub(crate) use backward::{Scratch, backward};
pub(crate) use forward::{Memory, forward, load, step};
pub(crate) use gradient::{Inputs, Kept, Targets, target};
pub use schedule::{Schedule, Threads};
pub(crate) use schedule::{in_pool, too_little, wavefront_nanoseconds, worthwhile};
pub use state::State;
pub(crate) use team::{MOST_SHARES, over_stages};
