//! Memory that callers keep between calls, so that calls need not allocate.

use super::config::{Config, Dims};
use crate::cell::Rows;
use crate::error::Error;
use crate::matrix::{AlignedBuf, Grid};
use crate::sequence::{Memory, Scratch};

/// Memory for one call at a time. It grows when a call needs more than any call before it, and never
/// shrinks; a call that finds enough allocates nothing. It carries nothing from call to call, and serves
/// layers of any shape.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) rows: Rows,
    /// Two slots of states for each direction of each layer.
    pub(super) rings: Vec<AlignedBuf>,
    /// One for each pass that runs at the same time as others.
    pub(super) forward: Vec<Memory>,
    /// Outputs on their way to the next layer, or gradients on their way to the one below.
    pub(super) between: [AlignedBuf; 2],
    pub(super) backward: Scratch,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Workspace::default()
    }
}

/// What [`forward_train`](crate::Recurrent::forward_train) keeps for
/// [`backward`](crate::Recurrent::backward): every state, the gates of every step, and the output of
/// every layer but the last.
///
/// ```text
/// for each direction of each layer   states  (T + 1, B, planes of the state, H')     h, and c
///                                    gates   (T, B, planes of the tape, H')          4, or 0 for Elman
/// for each layer but the last        output  (T, B, D * H)
/// ```
///
/// with H' the hidden size padded to 16. It is reused by the next call where it is large enough.
#[derive(Debug, Default)]
pub struct Tape {
    pub(super) states: Vec<AlignedBuf>,
    pub(super) gates: Vec<AlignedBuf>,
    pub(super) outputs: Vec<AlignedBuf>,
    pub(super) rows: Rows,
    /// What was run last, for `backward` to check; `None` where nothing was.
    pub(super) run: Option<TapedRun>,
}

/// The call that a tape belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TapedRun {
    pub(super) config: Config,
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) seed: u64,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Tape::default()
    }

    /// The bytes that the tape holds.
    pub fn bytes(&self) -> usize {
        let buffers = self.states.iter().chain(&self.gates).chain(&self.outputs);
        buffers.map(|buffer| buffer.len() * size_of::<f32>()).sum()
    }

    /// Makes room for a run.
    pub(super) fn prepare(&mut self, config: &Config, dims: Dims<'_>) -> Result<(), Error> {
        self.run = None;
        let cells = config.layers() * config.directions();
        self.states.resize_with(cells, AlignedBuf::default);
        self.gates.resize_with(cells, AlignedBuf::default);
        self.outputs.resize_with(config.layers() - 1, AlignedBuf::default);
        let (states, gates) = (states_grid(config, dims)?, gates_grid(config, dims)?);
        for (state, gate) in self.states.iter_mut().zip(&mut self.gates) {
            state.grow(states.len())?;
            gate.grow(gates.len())?;
        }
        let output = Grid::slot_major(dims.steps, dims.batch, 1, config.output_size())?;
        self.outputs.iter_mut().try_for_each(|buffer| buffer.grow(output.len()))
    }
}

/// The states of a tape.
pub(super) fn states_grid(config: &Config, dims: Dims<'_>) -> Result<Grid, Error> {
    let slots = dims.steps.checked_add(1).ok_or(Error::SizeOverflow { what: "tape" })?;
    Grid::padded(slots, dims.batch, config.kind().traits().state, config.hidden_size())
}

/// The gates of a tape.
pub(super) fn gates_grid(config: &Config, dims: Dims<'_>) -> Result<Grid, Error> {
    Grid::padded(dims.steps, dims.batch, config.kind().traits().tape, config.hidden_size())
}
