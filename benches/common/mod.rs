//! Shared by the benches: shapes as text, a network with the buffers of its calls, the machine's limits, and
//! the timing of a call.
//!
//! ```text
//! shape.rs     "lstm B32 T100 I256 H256 L1", its flops and its weights; the grids
//! network.rs   a network of a shape with its buffers: forward, backward, training step, step
//! timing.rs    median and least time of a call
//! models.rs    named shapes of real models, with their sources
//! check.rs     results against the naive reference, before they are timed
//! unfused.rs   the route of separate products and activations, as a baseline
//! harness.rs   Criterion's settings
//! limits.rs    measured multiply-adds in registers and reads from each cache; the roofline of a shape
//! ```
//!
//! Every bench that includes this module uses a part of it.
#![allow(dead_code, reason = "each bench uses a part")]

pub mod check;
pub mod harness;
pub mod limits;
pub mod models;
pub mod network;
pub mod shape;
pub mod timing;
pub mod unfused;

/// Prints what a bench says of itself, for `--help`: the head of its source.
pub fn print_head(source: &str) {
    let head = source.lines().map_while(|line| line.strip_prefix("//!"));
    head.filter(|line| !line.trim_start().starts_with("```"))
        .for_each(|line| println!("{}", line.trim_end()));
}

/// A path as the caller's shell means it: Cargo starts a bench in the folder of its package.
pub fn path_of_shell(text: &str) -> std::path::PathBuf {
    std::env::var_os("PWD").map(std::path::PathBuf::from).unwrap_or_default().join(text)
}

pub use network::Network;
pub use shape::Shape;

/// The call that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All outputs of all steps, from zero states.
    Forward,
    /// Forward with a tape, then backward into all parameters and the input, with ones from above.
    Train,
    /// One step after another on one state.
    Step,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Forward => "fwd",
            Mode::Train => "train",
            Mode::Step => "step",
        }
    }

    /// Forward passes that one call counts as: backward is two products for each of forward's.
    pub fn passes(self) -> f64 {
        if self == Mode::Train { 3.0 } else { 1.0 }
    }

    /// Steps of time that one call takes.
    pub fn steps(self, shape: &Shape) -> usize {
        if self == Mode::Step { 1 } else { shape.steps }
    }

    /// Flops of one call.
    pub fn flops(self, shape: &Shape) -> f64 {
        let row_steps = if self == Mode::Step { shape.batch } else { shape.row_steps() };
        shape.flops_per_row() * row_steps as f64 * self.passes()
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let modes = [Mode::Forward, Mode::Train, Mode::Step];
        let mode = modes.into_iter().find(|mode| mode.name() == name);
        mode.ok_or_else(|| format!("mode: expected one of fwd, train, step, got {name:?}"))
    }
}
