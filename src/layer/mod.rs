//! What a user holds: a recurrent network of one or more layers, in one or both directions.
//!
//! ```text
//! config.rs       what it is
//! builder.rs      the builder
//! options.rs      .. whether its options go together, and with the cell
//! parameters.rs   the flat slice of parameters and the names of its parts
//! scales.rs       scales of weights that were quantised elsewhere
//! init.rs         how the weights begin
//! recurrent.rs    the network: its weights, and what can be asked of it
//! mirror.rs       a network whose parameters are a framework's
//! state.rs        what a stream carries from call to call
//! sizes.rs        .. and its sizes
//! workspace.rs    memory that callers keep
//! tape.rs         what a forward pass keeps for the way back
//! forward.rs      forward: what is checked, and the memory
//! step.rs         one step, by a fast path where it has one
//! fast_path.rs    .. which steps those are, and their shapes
//! train.rs        forward with a tape, and backward: what is checked, and the memory
//! gradients.rs    what a backward pass is given, and where its gradients go
//! route.rs        in which order the layers run, and on which threads
//! network/        the way through the layers, up and down
//! dropout.rs      dropout of a sequence, and the seeds of all dropouts
//! masks.rs        the factors of all dropouts, for tests
//! ```
//!
//! A *strand* is one direction of one layer: what has weights, a state and a pass of its own. Strands are
//! numbered `layer * directions + direction`.

mod builder;
mod config;
mod dropout;
mod fast_path;
mod gradients;
mod init;
mod network;
mod options;
mod parameters;
mod route;
mod sizes;
mod state;
mod tape;
mod workspace;

// The documentation of `Recurrent` has its methods in this order: those that run it, those that change it,
// the rest.
mod forward;

mod step;

mod train;

mod recurrent;

mod mirror;

mod scales;

mod masks;

pub use builder::{Builder, Gru, Lstm, Rnn};
pub use config::{Bias, Config, Dims, Direction, Layout};
pub use forward::Output;
pub use gradients::{Accumulate, Gradients, Upstream};
pub use init::Init;
pub use mirror::Mirror;
pub use parameters::NamedParameter;
pub use recurrent::Recurrent;
pub(crate) use scales::{byte_of, is_scale};
pub use state::State;
pub use tape::{Keep, Recording, Tape};
pub use workspace::Workspace;
