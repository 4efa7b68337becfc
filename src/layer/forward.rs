//! Forward through the layers.
//!
//! ```text
//! x  ->  layer 0, both directions  ->  (T, B, D*H)  ->  layer 1  ->  ...  ->  y
//! ```
//!
//! The sequence between two layers is time-major, in memory of the workspace or of the tape; only the first
//! and the last layer see the caller's layout. Everything is checked and all memory is allocated before the
//! first value is written. `route.rs` decides in which order the layers then run, and on which threads.

use super::config::{Dims, Layout};
use super::dropout::Dropout;
use super::fast_path::FastPath;
use super::network::{CallMemory, Grids, Network};
use super::recurrent::Recurrent;
use super::route::Route;
use super::sizes::Sizes;
use super::state::State;
use super::tape::{Keep, TapeParts, TapeShape, Taping};
use super::workspace::Workspace;
use crate::error::{Error, check_len, checked_size, fill_up, zeros};
use crate::memory::{AlignedBuf, Grid, GridMut, GridRef, Parts};
use crate::sequence::{ForwardMemory, Lately, Rows, Sharing, Threads};

/// What [`run`](Recurrent::run) returns.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Output {
    /// The hidden states of the last layer, `(B, T, D * H)`, or `(T, B, D * H)` where the network is
    /// time-major, or `(sum of lengths, D * H)` where the dims are packed.
    pub y: Vec<f32>,
    /// The final states of all layers.
    pub state: State,
}

impl Recurrent {
    /// Runs sequences from zero states and returns outputs and states in new memory.
    /// [`forward`](Recurrent::forward) does the same without allocation.
    ///
    /// `x` is `(B, T, I)`, or `(T, B, I)` where the network is time-major.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm};
    ///
    /// let lstm = Lstm::builder(3, 16).layers(2).bidirectional(true).build()?;
    /// let (batch, steps) = (4, 10);
    /// let output = lstm.run(&vec![0.1; batch * steps * 3], Dims::new(batch, steps))?;
    /// assert_eq!(output.y.len(), batch * steps * 2 * 16);
    /// assert_eq!(output.state.h().len(), 2 * 2 * batch * 16);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward).
    #[doc(alias = "predict")]
    #[doc(alias = "call")]
    #[doc(alias = "return_sequences")]
    pub fn run(&self, x: &[f32], dims: Dims<'_>) -> Result<Output, Error> {
        self.run_in_new_memory(x, dims, None)
    }

    /// [`run`](Recurrent::run) from a state, which stays as it is: the decoder of a pair of networks begins
    /// where the encoder ended, and a stream goes on from a state that was put aside.
    ///
    /// ```
    /// use fused_rnn::{Dims, Gru};
    ///
    /// let gru = Gru::reset_after(1, 4).build()?;
    /// let whole = gru.run(&[0.1, 0.2, 0.3], Dims::new(1, 3))?;
    /// let first = gru.run(&[0.1, 0.2], Dims::new(1, 2))?;
    /// let last = gru.run_from(&[0.3], Dims::new(1, 1), &first.state)?;
    /// assert_eq!(last.y, whole.y[8..]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward).
    pub fn run_from(&self, x: &[f32], dims: Dims<'_>, state: &State) -> Result<Output, Error> {
        self.check_state(state, dims.batch)?;
        self.run_in_new_memory(x, dims, Some(state))
    }

    fn run_in_new_memory(&self, x: &[f32], dims: Dims<'_>, from: Option<&State>) -> Result<Output, Error> {
        // Checks the input before memory for the answer is allocated.
        let sequences = dims.sequences();
        sequences.check_x(x, self.config.input_size)?;
        dims.check()?;
        let mut y = zeros("y", &[sequences.len("y", self.config.output_size())?])?;
        let mut state = self.zero_state(dims.batch)?;
        from.map_or(Ok(()), |from| state.copy_from(from))?;
        self.forward(x, dims, &mut state, Some(&mut y), &mut Workspace::new())?;
        Ok(Output { y, state })
    }

    /// A state of zeros for `batch` rows.
    ///
    /// # Errors
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where it does not fit into memory.
    #[doc(alias = "init_hidden")]
    #[doc(alias = "initial_state")]
    pub fn zero_state(&self, batch: usize) -> Result<State, Error> {
        let config = &self.config;
        State::zero(config.kind, self.weights[0].shape().state, config.directions(), self.state_sizes(batch))
    }

    /// Runs sequences from `state`, and leaves their final states there.
    ///
    /// - `x`: `(B, T, I)`, or `(T, B, I)` where the network is time-major. (Also with
    ///   [strides](Dims::with_x_strides); `(sum of lengths, I)` where dims are [packed](Dims::packed), and so
    ///   is `y` then.)
    /// - `y`: the hidden states of the last layer, `(B, T, D * H)` or `(T, B, D * H)`, both directions
    ///   side by side; `None` where only the final state is wanted. (P wide and not H where there is a
    ///   projection.)
    ///
    /// Computes what [`CellKind`](crate::CellKind) and the options of [`Builder`](crate::Builder) say,
    /// without dropout, and for zoneout the mean. With B = 0, T = 0 or a row of length 0 the state passes
    /// through unchanged. Allocates nothing once `workspace` has grown.
    ///
    /// # Errors
    /// [`Error::Length`] where a slice does not fit `dims`, [`Error::RowLength`] where a row is longer
    /// than T, [`Error::Mismatch`] where the state has other sizes than the layer or the batch,
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where the workspace does not fit into memory.
    /// `y` and `state` are then as before.
    #[doc(alias = "return_state")]
    #[doc(alias = "stateful")]
    #[doc(alias = "__call__")]
    pub fn forward(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        state: &mut State,
        y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let threads = workspace.threads;
        if let Some(fast_path) = &workspace.fast_path
            && (fast_path.single, fast_path.threads, fast_path.instance)
                == (true, threads, self.instance.number())
            && dims.is_one_step()
            && (dims.batch, state.batch()) == (1, 1)
            && fast_path.fits(x, y.as_deref())
        {
            return self.step(x, state, y, workspace);
        }
        // (A state exists for a batch of this size, so products of the batch and the sizes of the network do
        // not overflow.)
        if state.batch() == dims.batch && self.steps_in_turn(&dims, workspace.threads) {
            let is_kept = |of: &FastPath| {
                of.threads == threads && of.serves(self.instance.number(), dims.batch, &workspace.lately)
            };
            if !workspace.fast_path.as_ref().is_some_and(is_kept) {
                workspace.fast_path = self.fast_path(Dims::new(dims.batch, 1), threads, &workspace.lately)?;
            }
            if workspace.fast_path.is_some() {
                return self.run_fast_path(x, dims.steps, state, y, workspace);
            }
        }
        self.through_layers(x, dims, self.config.layout, state, y, None, workspace)?;
        Ok(())
    }

    /// The sizes of a state of `batch` rows.
    pub(super) fn state_sizes(&self, batch: usize) -> Sizes {
        let config = &self.config;
        Sizes {
            strands: config.strands(),
            hidden_size: config.hidden_size,
            outputs: config.outputs(),
            planes: self.weights[0].shape().state.len(),
            batch,
        }
    }

    /// Refuses a state that is not one of this layer, for this many rows.
    pub(crate) fn check_state(&self, state: &State, batch: usize) -> Result<(), Error> {
        self.state_sizes(batch).check(state.sizes())
    }

    /// Runs all layers, with a tape where one is given, and then with dropout from its seed. Gives the shape
    /// of the tape.
    #[expect(clippy::too_many_arguments, reason = "the public calls, put together")]
    pub(super) fn through_layers(
        &self,
        x: &[f32],
        dims: Dims<'_>,
        layout: Layout,
        state: &mut State,
        y: Option<&mut [f32]>,
        taping: Option<(Taping<'_>, u64)>,
        workspace: &mut Workspace,
    ) -> Result<Option<TapeShape>, Error> {
        let config = &self.config;
        let (batch, steps, sequences) = (dims.batch, dims.steps, dims.sequences());
        let layers = config.layers;
        if taping.is_some() {
            self.check_trains()?;
        }
        sequences.check_x(x, config.input_size)?;
        dims.check()?;
        self.check_state(state, batch)?;
        let output_len = sequences.len("y", config.output_size())?;
        if let Some(y) = &y {
            check_len("y", output_len, y.len())?;
        }
        let inner_len = checked_size("y", &[batch, steps, config.output_size()])?;

        // All memory. It may change the order of rows on which the fast path relies.
        workspace.fast_path = None;
        let threads = workspace.threads.unwrap_or(config.threads);
        let Workspace { rows: workspace_rows, rings, forward: memories, between, lately, .. } = workspace;
        let (taping, seed) = taping.unzip();
        let (rows, shape, tape, outputs) = match taping {
            Some(taping) => {
                let (shape, rows, tape) = taping.prepare(config, &dims, workspace_rows)?;
                (rows, Some(shape), shape.parts_mut(tape), shape.of_outputs)
            }
            None => {
                workspace_rows.set(batch, steps, dims.pattern())?;
                let parts = Parts::new((layers - 1).min(2), inner_len)?;
                between.grow(parts.all())?;
                (&*workspace_rows, None, TapeParts::default(), parts)
            }
        };
        let dropout = seed.map_or(Dropout::NONE, |seed| Dropout::of(config, seed, batch));
        let given = (threads, &*lately);
        let Prepared { sharing, route, ring } = self.prepare_pass(given, rows, shape, (rings, memories))?;
        let grids = Grids::of(config, layout, sequences)?;

        // Nothing can go wrong from here on.
        let mut y = y;
        if let (Some(y), true) = (&mut y, sequences.have_more_than(rows.extent().steps())) {
            y.fill(0.0);
        }
        let TapeParts { states, gates, masks, outputs: taped_outputs, input: dropped } = tape;
        let mut input = GridRef::new(grids.x, x).by(rows.table());
        if let (Some(shape), Some(seed)) = (shape, seed) {
            shape.draw_masks(masks, config, seed);
            if let Some(grid) = shape.input {
                dropout.copy_input(input, GridMut::new(grid, &mut *dropped), rows);
                input = GridRef::new(grid, dropped);
            }
        }
        let memory = CallMemory {
            rings: if in_rings(shape) { rings } else { &mut [] },
            ring,
            states,
            gates,
            outputs: (outputs, if shape.is_some() { taped_outputs } else { between }),
            memories,
        };
        let network = Network { config, weights: &self.weights, rows, grids, shape, masks, dropout, seed };
        let ends = (GridMut::reading(input), y.map(|y| GridMut::new(grids.y, y).by(rows.table())));
        network.forward(route, ends, memory, state)?;
        if sharing.may_be() {
            lately.note();
        }
        Ok(shape)
    }

    /// Makes room for a pass through the layers over these rows, and decides how it goes.
    fn prepare_pass(
        &self,
        (threads, lately): (Threads, &Lately),
        rows: &Rows,
        shape: Option<TapeShape>,
        (rings, memories): (&mut Vec<AlignedBuf>, &mut Vec<ForwardMemory>),
    ) -> Result<Prepared, Error> {
        let config = &self.config;
        let (strands, layers) = (config.strands(), config.layers);
        let (stretches, longest) = (rows.order.len(), rows.steps());
        let planes = config.state_planes(shape.is_some());
        let ring = Grid::padded(1, checked_size("state", &[2, stretches])?, planes, config.hidden_size)?;
        if in_rings(shape) {
            fill_up(rings, strands)?;
            rings[..strands].iter_mut().try_for_each(|buffer| buffer.grow(ring.len()))?;
        }
        let sharing = self.sharing(threads, stretches, longest, false);
        let threads = sharing.threads(lately);
        // A wavefront drops values chunk by chunk, for which the steps of a chunk must be times of the
        // sequence.
        let drops = shape.is_some() && Dropout::of(config, 0, 0).is_between();
        let route = self.route(threads, stretches, longest, rows.in_order() || !drops);
        let passes = route.passes(layers);
        fill_up(memories, passes)?;
        for memory in &mut memories[..passes] {
            // Above the first, all layers are of one shape.
            for layer in 0..layers.min(2) {
                memory.prepare(&self.weights[config.strand(layer, 0)], stretches, longest, threads)?;
            }
        }
        Ok(Prepared { sharing, route, ring })
    }

    /// Makes a workspace large enough for calls with these dims, so that already the first allocates nothing
    /// on one thread: [`forward`](Recurrent::forward) where `keep` is `None`, and also
    /// [`step`](Recurrent::step) where there is one step; otherwise
    /// [`forward_train_into`](Recurrent::forward_train_into) and [`backward_from`](Recurrent::backward_from)
    /// that keep as much as this. (A [`Tape`](crate::Tape) has memory of its own, which is not reserved.)
    ///
    /// Rows may then also be shorter. Masks and resets take memory of their own: reserve with such dims.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm, Workspace};
    ///
    /// let lstm = Lstm::builder(1, 40).build()?;
    /// let (mut state, mut workspace) = (lstm.zero_state(2)?, Workspace::new());
    /// // Blocks of 64 samples of two channels, and single samples.
    /// lstm.reserve(&mut workspace, Dims::new(2, 64), None)?;
    /// lstm.reserve(&mut workspace, Dims::new(2, 1), None)?;
    /// let bytes = workspace.bytes();
    /// lstm.forward(&[0.1; 2 * 64], Dims::new(2, 64), &mut state, None, &mut workspace)?;
    /// lstm.step(&[0.1; 2], &mut state, None, &mut workspace)?;
    /// assert_eq!(workspace.bytes(), bytes);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for these calls.
    pub fn reserve(
        &self,
        workspace: &mut Workspace,
        dims: Dims<'_>,
        keep: Option<Keep>,
    ) -> Result<(), Error> {
        let (config, layers) = (&self.config, self.config.layers);
        if keep.is_some() {
            self.check_trains()?;
        }
        dims.check()?;
        let inner_len = checked_size("y", &[dims.batch, dims.steps, config.output_size()])?;
        let grids = Grids::of(config, config.layout, dims.sequences())?;
        workspace.fast_path = None;
        let threads = workspace.threads.unwrap_or(config.threads);
        let Workspace { rows, rings, forward: memories, between, backward: back, lately, .. } = workspace;
        let shape = match keep {
            Some(keep) => Some(keep.place(config, &dims, rows)?),
            None => {
                rows.set(dims.batch, dims.steps, dims.pattern())?;
                None
            }
        };
        self.prepare_pass((threads, lately), rows, shape, (rings, memories))?;
        between.grow(Parts::new((layers - 1).min(2), inner_len)?.all())?;
        if let Some(shape) = shape {
            self.transposed()?;
            let network = Network {
                config,
                weights: &self.weights,
                rows,
                grids,
                // Without masks: only a run reads them.
                shape: None,
                masks: &[],
                dropout: Dropout::NONE,
                seed: Some(0),
            };
            network.prepare_backward(shape.every, back)?;
        }
        // Steps in turn have memory of their own, beside that of a pass over shorter rows.
        if keep.is_none() && self.steps_in_turn(&dims, workspace.threads) {
            workspace.fast_path =
                self.fast_path(Dims::new(dims.batch, 1), workspace.threads, &workspace.lately)?;
            self.make_ready(workspace)?;
        }
        Ok(())
    }
}

/// The decisions about a pass through the layers.
struct Prepared {
    sharing: Sharing,
    route: Route,
    /// The shape of the states of a strand that are kept in two slots that take turns.
    ring: Grid,
}

/// Whether states are kept in two slots that take turns, and not all on a tape.
fn in_rings(shape: Option<TapeShape>) -> bool {
    shape.is_none_or(|shape| shape.every.is_some())
}
