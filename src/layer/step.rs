//! One step: what a stream calls for each frame.
//!
//! A step of few units takes a few hundred nanoseconds, in which the checks and shapes of a general call would be most
//! of the time (16 units on a Zen 4: 0.55 of 0.6 microseconds). So a step on one thread goes its own way: no order of
//! rows to find, no schedule, no chunks, and each layer is one dispatch. It runs the same kernels on the same records,
//! and so gives the bits of `forward`.
//!
//! ```text
//! state of a layer  ->  ring slot 0  ->  phases of the cell  ->  ring slot 1  ->  state
//! (rows next to each other in both, so that a copy is one)
//! ```

use super::config::{Dims, Direction, Layout};
use super::memory::Workspace;
use super::recurrent::Recurrent;
use super::state::State;
use crate::error::{Error, check_len, checked_size, fill_up};
use crate::memory::{Grid, GridMut, GridRef};
use crate::sequence::{self, Forward, Pass, Pattern, Records};

/// The shapes of a step, kept from the one before: to make them again, each size checked for overflow, and the order of
/// the rows with them, took a tenth of the instructions of a step of 16 units (`cargo bench --bench instructions`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Shapes {
    batch: usize,
    /// Of the input, of the cell state and of the output.
    widths: [usize; 3],
    /// Of the state and of the scratch record.
    planes: [usize; 2],
    ring: Grid,
    scratch: Grid,
    input: Grid,
    output: Grid,
}

impl Shapes {
    /// Those that are kept, where they fit, and otherwise new ones.
    fn kept(
        kept: &mut Option<Shapes>,
        batch: usize,
        widths: [usize; 3],
        planes: [usize; 2],
    ) -> Result<Self, Error> {
        if let Some(kept) = kept
            && (kept.batch, kept.widths, kept.planes) == (batch, widths, planes)
        {
            return Ok(*kept);
        }
        let ([inputs, hidden, outputs], [state, scratch]) = (widths, planes);
        checked_size("x", &[batch, inputs])?;
        checked_size("y", &[batch, outputs])?;
        let shapes = Shapes {
            batch,
            widths,
            planes,
            ring: Grid::padded(1, checked_size("state", &[2, batch])?, state, hidden)?,
            scratch: Grid::padded(1, batch, scratch, hidden)?,
            input: Grid::slot_major(1, batch, 1, inputs)?,
            output: Grid::slot_major(1, batch, 1, outputs)?,
        };
        Ok(*kept.insert(shapes))
    }
}

impl Recurrent {
    /// Runs one step of each row: `x` is `(B, I)`, `y` the hidden state of the last layer, `(B, H)`, or `(B, P)` where
    /// there is a projection.
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
    /// bidirectional or runs in reverse: it begins at an end that a stream has not reached.
    pub fn step(
        &self,
        x: &[f32],
        state: &mut State,
        y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        if self.config.direction != Direction::Forward {
            return Err(Error::Unsupported { what: "a step of a bidirectional or reverse layer" });
        }
        let dims = Dims::new(state.batch(), 1);
        if self.is_short(dims) {
            self.run_short(x, dims, state, y, workspace)
        } else {
            self.through_layers(x, dims, Layout::TimeMajor, state, y, None, workspace)
        }
    }

    /// Whether a call is a step that goes the short way.
    pub(super) fn is_short(&self, dims: Dims<'_>) -> bool {
        let config = &self.config;
        let one = dims.steps == 1 && dims.lengths.is_none() && dims.mask.is_none() && dims.resets.is_none();
        // Zoneout blends states, also in inference, and may need a plane that the records of a state do not have.
        one && config.direction == Direction::Forward
            && config.zoneout_of(0, None).is_none()
            && self.worthwhile_threads(dims.batch, 1, false) < 2
    }

    /// A step on the caller's thread; `dims` are short ones.
    pub(super) fn run_short(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        state: &mut State,
        mut y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let config = &self.config;
        let (batch, layers, hidden) = (dims.batch, config.layers, config.hidden_size);
        let cell = config.variant(0).shape();
        let Workspace { rows, rings, forward: memories, between, short, .. } = workspace;
        let planes = [cell.state.len(), cell.scratch];
        let widths = [config.input_size, hidden, config.output_size()];
        let Shapes { ring, scratch: scratch_grid, input, output, .. } =
            Shapes::kept(short, batch, widths, planes)?;
        check_len("x", input.len(), x.len())?;
        self.check_state(state, batch)?;
        if let Some(y) = &y {
            check_len("y", output.len(), y.len())?;
        }

        // All memory.
        rows.set(batch, 1, Pattern::default())?;
        fill_up(rings, 1)?;
        fill_up(memories, 1)?;
        let (states, scratch) = (&mut rings[0], &mut memories[0].scratch);
        states.grow(ring.len())?;
        scratch.grow(scratch_grid.len())?;
        between[..(layers - 1).min(2)].iter_mut().try_for_each(|buffer| buffer.grow(output.len()))?;

        // Nothing can go wrong from here on.
        let ([first, second], half) = (between, ring.len() / 2);
        for layer in 0..layers {
            let (below, above) =
                if layer % 2 == 0 { (&*second, &mut *first) } else { (&*first, &mut *second) };
            let from = if layer == 0 { GridRef::new(input, x) } else { GridRef::new(output, below) };
            let to = match &mut y {
                _ if layer + 1 < layers => Some(&mut above[..]),
                Some(y) => Some(&mut **y),
                None => None,
            };
            states[..half].copy_from_slice(state.cell(layer));
            sequence::step(Forward {
                pass: Pass {
                    weights: &self.weights[layer],
                    rows,
                    reverse: false,
                    masks: None,
                    zoneout: None,
                },
                input: GridMut::reading(from),
                output: to.map(|to| (GridMut::new(output, to), 0)),
                states: Records::ring(rows, GridMut::new(ring, states)),
                tape: None,
                checkpoints: None,
                scratch: GridMut::new(scratch_grid, scratch),
                projected: None,
            });
            state.cell_mut(layer).copy_from_slice(&states[half..2 * half]);
        }
        Ok(())
    }
}
