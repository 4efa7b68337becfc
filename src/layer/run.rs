//! Forward through the layers, and one step.
//!
//! ```text
//! x  ->  layer 0, both directions  ->  (T, B, D*H)  ->  layer 1  ->  ...  ->  y
//! ```
//!
//! What lies between two layers is time-major in memory of our own; only the first and the last layer
//! see the caller's layout. Everything is checked and all memory is made before the first value is
//! written.

use super::config::{Config, Dims, Layout};
use super::memory::{Tape, TapedRun, Workspace, gates_grid, states_grid};
use super::recurrent::Recurrent;
use crate::cell::{Forward, Rows};
use crate::error::{Error, check_len, checked_size};
use crate::matrix::{Grid, GridMut, GridRef};
use crate::rng::dropout_scale;
use crate::sequence::{self, State};

/// The grid of a sequence in the caller's layout.
pub(super) fn sequence_grid(
    layout: Layout,
    dims: Dims<'_>,
    planes: usize,
    width: usize,
) -> Result<Grid, Error> {
    match layout {
        Layout::BatchFirst => Grid::row_major(dims.steps, dims.batch, planes, width),
        Layout::TimeMajor => Grid::slot_major(dims.steps, dims.batch, planes, width),
    }
}

/// Whether the lengths fit the batch.
pub(super) fn check_lengths(dims: Dims<'_>) -> Result<(), Error> {
    let Some(lengths) = dims.lengths else { return Ok(()) };
    check_len("lengths", dims.batch, lengths.len())?;
    match lengths.iter().position(|&length| length > dims.steps) {
        Some(row) => Err(Error::RowLength { row, steps: dims.steps, got: lengths[row] }),
        None => Ok(()),
    }
}

/// Multiplies the output of a layer by its dropout mask: each value is dropped with probability `p`, and
/// the others are divided by `1 - p`. Which ones depends on the seed, the layer and the place alone.
pub(super) fn drop_out(values: &mut [f32], p: f32, seed: u64, layer: usize) {
    let seed = seed ^ (layer as u64).wrapping_mul(0xA076_1D64_78BD_642F);
    for (index, value) in values.iter_mut().enumerate() {
        *value *= dropout_scale(seed, index as u64, p);
    }
}

impl Recurrent {
    /// Runs sequences from `state`, and leaves their final states there.
    ///
    /// - `x`: `(B, T, I)`, or `(T, B, I)` where the layer is time-major.
    /// - `y`: the hidden states of the last layer, `(B, T, D * H)` or `(T, B, D * H)`, both directions
    ///   side by side; `None` where only the final state is wanted.
    ///
    /// Computes what [`CellKind`](crate::CellKind) says, without dropout. With B = 0, T = 0 or a row of
    /// length 0 the state passes through unchanged. Allocates nothing once `workspace` has grown.
    ///
    /// # Errors
    /// [`Error::Length`] where a slice does not fit `dims`, [`Error::RowLength`] where a row is longer
    /// than T, [`Error::Mismatch`] where the state is that of another layer or batch,
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where the workspace does not fit into memory.
    /// `y` and `state` are then as before.
    pub fn forward(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        state: &mut State,
        y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        self.through_layers(x, dims, self.config.layout, state, y, None, workspace)
    }

    /// Runs one step of each row: `x` is `(B, I)`, `y` the hidden state of the last layer, `(B, H)`.
    ///
    /// T steps give the same bits as [`forward`](Recurrent::forward) over T steps. Allocates nothing once
    /// `workspace` has grown.
    ///
    /// ```
    /// use fused_rnn::{Gru, Workspace};
    ///
    /// let gru = Gru::reset_after(2, 8).build()?;
    /// let (mut state, mut workspace) = (gru.zero_state(1)?, Workspace::new());
    /// let mut y = [0.0; 8];
    /// for frame in [[0.1, 0.2], [0.3, 0.4]] {
    ///     gru.step(&frame, &mut state, Some(&mut y), &mut workspace)?;
    /// }
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward), and [`Error::Unsupported`] where the layer is
    /// bidirectional: its backward direction begins at an end that a stream has not reached.
    pub fn step(
        &self,
        x: &[f32],
        state: &mut State,
        y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        if self.config.bidirectional {
            return Err(Error::Unsupported { what: "a step of a bidirectional layer" });
        }
        let dims = Dims::new(state.batch(), 1);
        self.through_layers(x, dims, Layout::TimeMajor, state, y, None, workspace)
    }

    /// Whether a state is one of this layer, for this many rows.
    pub(super) fn check_state(&self, state: &State, batch: usize) -> Result<(), Error> {
        let check = |what, expected, got| {
            if expected == got { Ok(()) } else { Err(Error::Mismatch { what, expected, got }) }
        };
        let config = &self.config;
        let planes = config.kind.traits().state;
        check("state: layers * directions", config.layers * config.directions(), state.cells())?;
        check("state: hidden size", config.hidden_size, state.hidden_size())?;
        check("state: vectors of a unit", planes, state.kind().traits().state)?;
        check("state: batch", batch, state.batch())
    }

    /// Runs all layers, with a tape where one is given, and then with dropout from its seed.
    #[expect(clippy::too_many_arguments, reason = "the two public calls, put together")]
    pub(super) fn through_layers(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        layout: Layout,
        state: &mut State,
        y: Option<&mut [f32]>,
        tape: Option<(&mut Tape, u64)>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let config = &self.config;
        let (batch, steps) = (dims.batch, dims.steps);
        let (hidden, directions, layers) = (config.hidden_size, config.directions(), config.layers);
        check_len("x", checked_size("x", &[batch, steps, config.input_size])?, x.len())?;
        check_lengths(dims)?;
        self.check_state(state, batch)?;
        let output_size = checked_size("y", &[batch, steps, config.output_size()])?;
        if let Some(y) = &y {
            check_len("y", output_size, y.len())?;
        }

        // All memory.
        let traits = config.kind.traits();
        let Workspace { rows: workspace_rows, ring, forward: memory, between, .. } = workspace;
        let (mut tape, seed) = match tape {
            Some((tape, seed)) => (Some(tape), seed),
            None => (None, 0),
        };
        let states_grid = match &mut tape {
            Some(tape) => {
                tape.prepare(config, dims)?;
                states_grid(config, dims)?
            }
            None => {
                let grid = Grid::padded(2, batch, traits.state, hidden)?;
                ring.grow(grid.len())?;
                for buffer in &mut between[..(layers - 1).min(2)] {
                    buffer.grow(output_size)?;
                }
                grid
            }
        };
        let gates_grid = gates_grid(config, dims)?;
        memory.prepare(&self.weights[0], batch, steps)?;
        let x_grid = sequence_grid(layout, dims, 1, config.input_size)?;
        let y_grid = sequence_grid(layout, dims, directions, hidden)?;
        let inner_input = Grid::slot_major(steps, batch, 1, config.output_size())?;
        let inner_output = Grid::slot_major(steps, batch, directions, hidden)?;

        let taping = tape.is_some();
        let mut nothing = Vec::new();
        let (rows, states_of, gates_of, outputs): (&mut Rows, _, _, _) = match &mut tape {
            Some(tape) => (&mut tape.rows, &mut tape.states, &mut tape.gates, &mut tape.outputs[..]),
            None => (workspace_rows, &mut nothing, &mut Vec::new(), &mut between[..]),
        };
        rows.set(batch, steps, dims.lengths)?;
        let rows = &*rows;
        let mut y = y;
        if let (Some(y), Some(_)) = (&mut y, dims.lengths) {
            y.fill(0.0);
        }

        let threads = config.threads.resolve(config.work_per_step().saturating_mul(batch * steps));
        sequence::in_pool(threads, || {
            for layer in 0..layers {
                // Without a tape two buffers take turns.
                let (from, to) =
                    if taping { (layer.wrapping_sub(1), layer) } else { ((layer + 1) % 2, layer % 2) };
                let (input, mut inner) =
                    pick(outputs, (layer > 0).then_some(from), (layer + 1 < layers).then_some(to));
                let input = match input {
                    Some(input) => GridRef::new(inner_input, input),
                    None => GridRef::new(x_grid, x),
                };
                for direction in 0..directions {
                    let cell = layer * directions + direction;
                    let reverse = direction == 1;
                    let slot_mask = if taping { usize::MAX } else { 1 };
                    let output = match (&mut inner, &mut y) {
                        (Some(inner), _) => Some((GridMut::new(inner_output, inner), direction)),
                        (None, Some(y)) => Some((GridMut::new(y_grid, y), direction)),
                        (None, None) => None,
                    };
                    let states: &mut [f32] = if taping { &mut states_of[cell] } else { &mut *ring };
                    for (rank, (&row, &length)) in rows.order.iter().zip(&rows.lengths).enumerate() {
                        let slot = if reverse { length } else { 0 } & slot_mask;
                        let record = state.record(cell, row);
                        states[states_grid.offset(slot, rank, 0)..][..record.len()].copy_from_slice(record);
                    }
                    let pass = Forward {
                        weights: &self.weights[cell],
                        rows,
                        reverse,
                        input,
                        output,
                        states: GridMut::new(states_grid, states),
                        slot_mask,
                        tape: gates_of.get_mut(cell).map(|gates| GridMut::new(gates_grid, gates)),
                        scratch: GridMut::empty(),
                        projected: None,
                    };
                    sequence::forward(pass, memory, threads)?;
                    for (rank, (&row, &length)) in rows.order.iter().zip(&rows.lengths).enumerate() {
                        let slot = if reverse { 0 } else { length } & slot_mask;
                        let record = state.record_mut(cell, row);
                        let start = states_grid.offset(slot, rank, 0);
                        record.copy_from_slice(&states[start..start + record.len()]);
                    }
                }
                if let (Some(inner), true, true) = (inner, taping, config.dropout > 0.0) {
                    drop_out(&mut inner[..output_size], config.dropout, seed, layer);
                }
            }
            Ok(())
        })?;
        if let Some(tape) = tape {
            tape.run = Some(TapedRun { config: config.clone(), batch, steps, seed });
        }
        Ok(())
    }
}

/// One buffer to read and another to write.
fn pick(
    buffers: &mut [crate::matrix::AlignedBuf],
    read: Option<usize>,
    write: Option<usize>,
) -> (Option<&[f32]>, Option<&mut [f32]>) {
    match (read, write) {
        (Some(read), Some(write)) => match buffers.get_disjoint_mut([read, write]) {
            Ok([read, write]) => (Some(&**read), Some(&mut **write)),
            Err(_) => (None, None),
        },
        (Some(read), None) => (Some(&*buffers[read]), None),
        (None, Some(write)) => (None, Some(&mut *buffers[write])),
        (None, None) => (None, None),
    }
}

impl Config {
    /// Floats of the output of this many rows and steps.
    pub(super) fn output_len(&self, batch: usize, steps: usize) -> Result<usize, Error> {
        checked_size("y", &[batch, steps, self.output_size()])
    }
}
