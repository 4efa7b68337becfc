//! Training: forward with a tape, and backward.

use super::config::Dims;
use super::dropout::Dropout;
use super::forward::sequence_grid;
use super::memory::{Tape, Workspace};
use super::recurrent::Recurrent;
use super::state::State;
use crate::cell::{C, Context, H};
use crate::error::{Error, check_len, checked_size};
use crate::memory::{Grid, GridMut, GridRef, LinesMut};
use crate::sequence::{self, Checkpoints, Inputs, Kept, Pass, Records, Scratch, TapeRecords};

/// Whether gradients replace the values of their slice or are added to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accumulate {
    /// The gradients replace the values of the slice.
    Overwrite,
    /// The gradients are added to the values of the slice.
    Add,
}

/// Gradients of the loss by the results of a call, computed by the code that used them. `None` means zero.
///
/// Hidden states are H wide, and P wide with a projection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Upstream<'a> {
    /// Gradient of the loss by the output, `(B, T, D * H)`, or time-major `(T, B, D * H)`. Values past the
    /// end of a row are not read.
    pub dy: Option<&'a [f32]>,
    /// Gradient of the loss by the final hidden states, `(layers * directions, B, H)`.
    pub dhn: Option<&'a [f32]>,
    /// Gradient of the loss by the final cell states, `(layers * directions, B, H)`.
    pub dcn: Option<&'a [f32]>,
}

/// The slices that [`backward`](Recurrent::backward) writes gradients to. A gradient that is `None` is not
/// computed.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// Gradient of the loss by the parameters, in the order of [`parameters`](Recurrent::parameters).
    pub parameters: &'a mut [f32],
    /// Whether `parameters` is replaced or added to. The other slices are always replaced.
    pub accumulate: Accumulate,
    /// Gradient of the loss by the input, in the shape of the input.
    pub dx: Option<&'a mut [f32]>,
    /// Gradient of the loss by the initial hidden states, `(layers * directions, B, H)`.
    pub dh0: Option<&'a mut [f32]>,
    /// Gradient of the loss by the initial cell states, `(layers * directions, B, H)`.
    pub dc0: Option<&'a mut [f32]>,
}

impl<'a> Gradients<'a> {
    /// The gradient by the parameters alone; it replaces the values of the slice.
    pub fn of_parameters(parameters: &'a mut [f32]) -> Self {
        Gradients { parameters, accumulate: Accumulate::Overwrite, dx: None, dh0: None, dc0: None }
    }
}

impl Recurrent {
    /// [`forward`](Recurrent::forward) for training: it also fills a tape, which
    /// [`backward`](Recurrent::backward) needs. Without dropout and zoneout the results are the same bits.
    /// `seed` decides the masks of dropout and zoneout; give each call of a run another seed.
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward), and [`Error::Budget`] where
    /// [`Keep::Within`](crate::Keep::Within) has not bytes enough. The tape is then empty.
    #[expect(clippy::too_many_arguments, reason = "each is another thing that the caller owns")]
    pub fn forward_train(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        state: &mut State,
        y: Option<&mut [f32]>,
        tape: &mut Tape,
        seed: u64,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        tape.run = None;
        self.through_layers(x, dims, self.config.layout, state, y, Some((tape, seed)), workspace)
    }

    /// Back-propagation through time: computes the gradients of a loss by parameters, input and initial
    /// states from its gradients by output and final states.
    ///
    /// `x` is the input that [`forward_train`](Recurrent::forward_train) read; the parameters must not have
    /// changed since. The tape does not change, so one forward pass can serve several backward passes.
    ///
    /// To truncate back-propagation, run the sequence in pieces:
    ///
    /// 1. Run `forward_train` on a piece, from the state that the piece before has left.
    ///
    /// 2. Run `backward` on that piece, with no gradient of its final state.
    ///
    /// 3. Change the parameters, and go on with the next piece.
    ///
    /// In a time-major sequence a piece is a slice of `x`. A row of length `n` has
    /// `n.saturating_sub(begin).min(steps)` of the `steps` steps from `begin` on. For the whole gradient
    /// instead, keep one tape for each piece, run `backward` on the last piece first, and pass the gradient
    /// of the initial state of a piece as the gradient of the final state of the piece before.
    ///
    /// The result does not depend on the number of threads, bit for bit.
    ///
    /// ```
    /// use fused_rnn::{Dims, Gradients, Lstm, Tape, Upstream, Workspace};
    ///
    /// let lstm = Lstm::builder(2, 4).build()?;
    /// let (x, dims) = ([0.5; 3 * 5 * 2], Dims::new(3, 5));
    /// let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    /// let mut y = [0.0; 3 * 5 * 4];
    /// let mut state = lstm.zero_state(3)?;
    /// lstm.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace)?;
    ///
    /// // The loss is half the sum of squares of y, and so its gradient y.
    /// let mut gradients = vec![0.0; lstm.parameters().len()];
    /// let upstream = Upstream { dy: Some(&y), ..Upstream::default() };
    /// lstm.backward(&x, &tape, upstream, Gradients::of_parameters(&mut gradients), &mut workspace)?;
    /// assert!(gradients.iter().any(|&gradient| gradient != 0.0));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the tape is empty, of another network, or of this one before its
    /// parameters were last changed (a clone counts as the same until either of the two is),
    /// [`Error::Length`] where a slice does not fit the tape, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where the workspace does not fit into memory.
    pub fn backward(
        &self,
        x: &[f32],
        tape: &Tape,
        upstream: Upstream<'_>,
        gradients: Gradients<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let config = &self.config;
        let refused = |what| Error::Unsupported { what };
        let run = tape.run.as_ref().ok_or(refused("backward on an empty tape, which forward_train fills"))?;
        if !run.config.computes_the_same(config) {
            return Err(refused("backward on the tape of another layer"));
        }
        if run.version != self.version {
            return Err(refused("backward with other parameters than those of forward_train"));
        }
        let dims = Dims::new(run.batch, run.steps);
        let (batch, steps) = (run.batch, run.steps);
        let (hidden, directions, layers) = (config.hidden_size, config.directions(), config.layers);
        let outputs = config.outputs();
        let Gradients { parameters, accumulate, mut dx, mut dh0, mut dc0 } = gradients;

        let input_len = checked_size("x", &[batch, steps, config.input_size])?;
        let output_len = config.output_len(batch, steps)?;
        let state_len = checked_size("state", &[layers * directions, batch, outputs])?;
        let cell_state_len = if config.kind.has_cell_state() { hidden } else { 0 };
        let cell_state_len = checked_size("state", &[layers * directions, batch, cell_state_len])?;
        check_len("x", input_len, x.len())?;
        check_len("gradients.parameters", self.parameters().len(), parameters.len())?;
        let optional = [
            ("dy", output_len, upstream.dy.map(<[f32]>::len)),
            ("dhn", state_len, upstream.dhn.map(<[f32]>::len)),
            ("dcn", cell_state_len, upstream.dcn.map(<[f32]>::len)),
            ("dx", input_len, dx.as_deref().map(<[f32]>::len)),
            ("dh0", state_len, dh0.as_deref().map(<[f32]>::len)),
            ("dc0", cell_state_len, dc0.as_deref().map(<[f32]>::len)),
        ];
        for (what, expected, got) in optional {
            check_len(what, expected, got.unwrap_or(expected))?;
        }

        let x_grid = sequence_grid(config.layout, dims, 1, config.input_size)?;
        let y_grid = sequence_grid(config.layout, dims, directions, outputs)?;
        let inner_input = Grid::slot_major(steps, batch, 1, config.output_size())?;
        let inner_output = Grid::slot_major(steps, batch, directions, outputs)?;
        let shape = run.shape;
        let transposed = self.transposed()?;
        let inputs = |layer: usize, direction: usize| {
            let cell = layer * directions + direction;
            Inputs {
                pass: Pass {
                    context: Context {
                        weights: &self.weights[cell],
                        masks: shape.masks(&tape.masks, cell),
                        zoneout: config.zoneout_of(cell, Some(run.seed)),
                    },
                    rows: &tape.rows,
                    reverse: config.direction.is_reverse(direction),
                },
                transposed: &transposed[cell],
                input: match layer {
                    0 => match shape.input {
                        Some(grid) => GridRef::new(grid, &tape.input),
                        None => GridRef::new(x_grid, x),
                    },
                    _ => GridRef::new(inner_input, &tape.outputs[layer - 1]),
                },
                upstream: None,
                kept: {
                    let states = GridMut::reading(GridRef::new(shape.states, &tape.states[cell]));
                    match shape.every {
                        Some(every) => {
                            let states = Records::checkpoints(&tape.rows, states);
                            Kept::Checkpoints(Checkpoints { every, states })
                        }
                        None => {
                            let gates = LinesMut::reading(shape.gates, &tape.gates[cell]);
                            Kept::All {
                                states: Records::states(&tape.rows, 0, states),
                                tape: TapeRecords::steps(&tape.rows, 0, gates),
                            }
                        }
                    }
                },
            }
        };
        // All memory is allocated before the first value is written.
        let Workspace { between, backward: scratch, .. } = workspace;
        for layer in 0..layers {
            scratch.prepare(&inputs(layer, 0))?;
        }
        for buffer in &mut between[..(layers - 1).min(2)] {
            buffer.grow(output_len)?;
        }

        // Backward does not reach steps that no row has.
        if let (Some(dx), true) = (&mut dx, tape.rows.extent().steps() < batch * steps) {
            dx.fill(0.0);
        }
        let add = accumulate == Accumulate::Add;
        if !add && tape.rows.steps() == 0 {
            // There is no chunk that would replace these gradients.
            parameters.fill(0.0);
        }
        let threads = self.worthwhile_threads(tape.rows.order.len(), tape.rows.steps(), true);
        let dropout = Dropout::of(config, run.seed, batch);
        let [even, odd] = between;
        sequence::in_pool(threads, || {
            for layer in (0..layers).rev() {
                // One buffer has the gradient of this layer's output, and the other receives the gradient of
                // its input.
                let (up, down) =
                    if layer % 2 == 0 { (&mut *even, &mut *odd) } else { (&mut *odd, &mut *even) };
                if layer + 1 < layers && dropout.is_between() {
                    dropout.apply(&mut up[..output_len], 0, config.output_size(), layer);
                }
                for direction in 0..directions {
                    let cell = layer * directions + direction;
                    let mut inputs = inputs(layer, direction);
                    inputs.upstream = if layer + 1 < layers {
                        Some((GridRef::new(inner_output, up), direction))
                    } else {
                        upstream.dy.map(|dy| (GridRef::new(y_grid, dy), direction))
                    };
                    let mut targets = self.ranges[cell].targets(parameters, add)?;
                    targets.input = if layer > 0 {
                        Some((GridMut::new(inner_input, down), direction > 0))
                    } else {
                        dx.as_deref_mut().map(|dx| (GridMut::new(x_grid, dx), direction > 0))
                    };

                    let carry = Scratch::carry_grid(&inputs)?;
                    scratch.carry[..carry.len()].fill(0.0);
                    let dcn = upstream.dcn.filter(|dcn| !dcn.is_empty());
                    let planes = [(H, outputs, upstream.dhn), (C, hidden, dcn)];
                    for (rank, &row) in tape.rows.order.iter().enumerate() {
                        for (plane, width, from) in planes {
                            if let (Some(from), true) = (from, tape.rows.finishes(rank, inputs.pass.reverse))
                            {
                                let from = &from[(cell * batch + row) * width..][..width];
                                let start = carry.offset(0, rank, plane);
                                scratch.carry[start..start + width].copy_from_slice(from);
                            }
                        }
                    }
                    // SAFETY: the tape is of a forward pass over these rows, and nobody writes it; grids and targets are made
                    // of the sizes of this network, and are ours.
                    unsafe {
                        sequence::backward(&inputs, &mut targets, scratch, (config.schedule, threads))?;
                    }
                    let dc0 = dc0.as_deref_mut().filter(|dc0| !dc0.is_empty());
                    for (plane, width, to) in [(H, outputs, dh0.as_deref_mut()), (C, hidden, dc0)] {
                        if let Some(to) = to {
                            for (rank, &row) in tape.rows.order.iter().enumerate() {
                                if tape.rows.begins(rank, inputs.pass.reverse) {
                                    let start = carry.offset(0, rank, plane);
                                    let to = &mut to[(cell * batch + row) * width..][..width];
                                    to.copy_from_slice(&scratch.carry[start..start + width]);
                                }
                            }
                        }
                    }
                }
            }
            if let Some(dx) = dx {
                dropout.apply_to_input(dx, x_grid);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, CellKind, Rng};

    fn uniform(count: usize, rng: &mut Rng) -> Vec<f32> {
        (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect()
    }

    /// Gradients that are left out change no other gradient, and `Accumulate::Add` adds.
    #[test]
    fn gradients_are_replaced_or_added_and_the_others_left_out() {
        let layer = Builder::new(CellKind::GruResetBefore, 4, 11).layers(2).build().unwrap();
        let mut rng = Rng::new(3);
        let (x, dhn) = (uniform(3 * 7 * 4, &mut rng), uniform(2 * 3 * 11, &mut rng));
        let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
        let mut state = layer.zero_state(3).unwrap();
        layer.forward_train(&x, Dims::new(3, 7), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
        let upstream = Upstream { dhn: Some(&dhn), ..Upstream::default() };
        let count = layer.parameters().len();
        let mut backward = |start: f32, accumulate, with_input| {
            let (mut parameters, mut dx) = (vec![start; count], vec![0.0; x.len()]);
            let dx = if with_input { Some(&mut dx[..]) } else { None };
            let gradients = Gradients { parameters: &mut parameters, accumulate, dx, dh0: None, dc0: None };
            layer.backward(&x, &tape, upstream, gradients, &mut workspace).unwrap();
            parameters
        };
        let alone = backward(f32::NAN, Accumulate::Overwrite, false);
        assert_eq!(alone, backward(9.0, Accumulate::Overwrite, true));
        let added = backward(0.5, Accumulate::Add, true);
        for (added, alone) in added.iter().zip(&alone) {
            assert!((added - alone - 0.5).abs() < 1e-5);
        }
    }
}
