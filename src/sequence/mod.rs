//! How a cell runs over time: the walk forward, the walk back, what is kept in between, and who does
//! what.
//!
//! ```text
//! forward.rs    states (and a tape) from a sequence and initial states
//! backward.rs   gate gradients from the tape, chunk by chunk against time
//! gradient.rs   weight, bias and input gradients of a chunk: long products
//! schedule.rs   threads
//! state.rs      what a stream carries from call to call
//! ```
//!
//! All of it is generic over the cell and the SIMD level, and none of it knows of layers.

mod backward;
mod forward;
mod gradient;
mod schedule;
mod state;

pub(crate) use backward::{Scratch, backward};
pub(crate) use forward::{Memory, forward};
pub(crate) use gradient::{Inputs, Targets};
pub use schedule::Threads;
pub(crate) use schedule::in_pool;
pub use state::State;
