//! What a user holds: a recurrent network of one or more layers, in one or both directions.
//!
//! ```text
//! config.rs       what it is
//! builder.rs      the builder, and whether its options go together
//! parameters.rs   the flat slice of parameters and the names of its parts
//! init.rs         how the weights begin
//! recurrent.rs    the network: its weights, and what can be asked of it
//! state.rs        what a stream carries from call to call
//! forward.rs      forward: what is checked, and the memory
//! step.rs         one step, by a way of its own where it is a short one
//! dropout.rs      masks of a sequence, and what the masks of a pass are
//! route.rs        the way through the layers: their order, their threads
//! train.rs        forward with a tape, and backward
//! memory.rs       Tape and Workspace: memory that callers keep
//! ```

mod builder;
mod config;
mod dropout;
mod forward;
mod init;
mod memory;
mod parameters;
mod recurrent;
mod route;
mod state;
mod step;
mod train;

pub use builder::Builder;
pub use config::{Bias, Config, Dims, Direction, Layout};
pub use init::Init;
pub use memory::{Keep, Tape, Workspace};
pub use parameters::NamedParameter;
pub use recurrent::{Gru, Lstm, Output, Recurrent, Rnn};
pub use state::State;
pub use train::{Accumulate, Gradients, Upstream};
