//! One step: what a stream calls for each frame.
//!
//! A step of few units takes a few hundred nanoseconds, and the checks and shapes of a general call would be
//! most of that (`Z4/small-step` of `benches/record/`). So a step on one thread has a fast path, without an
//! order of rows, a schedule or chunks. It runs the same kernels on the same records, and so gives the bits
//! of `forward`.
//!
//! ```text
//! several rows, or many units    state of a layer  ->  ring slot 0  ->  phases  ->  ring slot 1  ->  state
//!                                (rows next to each other in both, so that a copy is one)
//! one row of few units, or two   products that are ready, in place      (sequence/single.rs)
//! one row, and one layer         the same, with nothing to decide       (SINGLE, below)
//! ```
//!
//! Whole sequences of one row run like this, too, if it has few units and few inputs, or few steps.

use super::config::{Dims, Direction, Layout};
use super::fast_path::{FastPath, TOGETHER};
use super::recurrent::Recurrent;
use super::state::State;
use super::workspace::Workspace;
use crate::cell::{Context, ForwardRecords, ForwardStep, Step};
use crate::error::{Error, check_len, checked_size, fill_up, renamed};
use crate::memory::{GridMut, GridRef};
use crate::sequence::{self, Forward, ForwardMemory, Pass, Pattern, Records, StepsOfRow, Threads};

/// The arguments whose number of rows the state alone decides.
const OF_STATE: [(&str, &str); 2] =
    [("x", "x (a row for each row of the state)"), ("y", "y (a row for each row of the state)")];

/// Refuses a slice whose length is not the product of steps and values. (If the product overflows, that is
/// another error: no slice is as long as that.)
#[inline(always)]
fn check_steps(what: &'static str, sizes: [usize; 2], got: usize) -> Result<(), Error> {
    if sizes[0].checked_mul(sizes[1]) == Some(got) {
        return Ok(());
    }
    checked_size(what, &sizes).and_then(|expected| check_len(what, expected, got))
}

impl Recurrent {
    /// Runs one step of each row: `x` is `(B, I)`, `y` the hidden state of the last layer, `(B, H)`, or
    /// `(B, P)` where there is a projection.
    ///
    /// T steps give the same bits as [`forward`](Recurrent::forward) over T steps. Allocates nothing once
    /// `workspace` has grown. With [`Threads::Auto`] a step runs on the caller's thread alone, and starts no
    /// pool; inside a pool of rayon it may share that pool's threads.
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
    /// As for [`forward`](Recurrent::forward), and [`Error::Unsupported`] where the network is
    /// bidirectional or runs in reverse: it begins at an end that a stream has not reached.
    #[doc(alias = "LSTMCell")]
    #[doc(alias = "GRUCell")]
    #[doc(alias = "stream")]
    pub fn step(
        &self,
        x: &[f32],
        state: &mut State,
        y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        if let Some(fast_path) = &workspace.fast_path
            && fast_path.single
            && fast_path.instance == self.instance.number()
            && fast_path.state == *state.sizes()
            && fast_path.fits(x, y.as_deref())
        {
            self.step_in_place::<true>(x, 1, state, y, workspace);
            return Ok(());
        }
        self.step_in_general(x, state, y, workspace).map_err(|error| renamed(error, &OF_STATE))
    }

    /// A step that is not a [single](FastPath::single) one, or does not fit it.
    #[inline(never)]
    fn step_in_general(
        &self,
        x: &[f32],
        state: &mut State,
        y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let batch = state.batch();
        let is_kept = |of: &FastPath| of.serves(self.instance.number(), batch, &workspace.lately);
        if !workspace.fast_path.as_ref().is_some_and(is_kept) {
            if self.config.direction != Direction::Forward {
                return Err(Error::Unsupported { what: "a step of a bidirectional or reverse network" });
            }
            let dims = Dims::new(batch, 1);
            let given = workspace.threads;
            // The thread of a stream must not start a pool, for which it would have to wait.
            let alone = given.unwrap_or(self.config.threads) == Threads::Auto
                && rayon::current_thread_index().is_none();
            let threads = if alone { Some(Threads::Count(1)) } else { given };
            workspace.fast_path = self.fast_path(dims, threads, &workspace.lately)?;
            if workspace.fast_path.is_none() {
                workspace.threads = threads;
                let result = self.through_layers(x, dims, Layout::TimeMajor, state, y, None, workspace);
                workspace.threads = given;
                return result.map(|_| ());
            }
        }
        self.run_fast_path(x, 1, state, y, workspace)
    }

    /// Some steps of all rows, one after the other, as of [`step`](Recurrent::step): `x` is `(T, B, I)` and
    /// `y` `(T, B, H)`.
    ///
    /// # Errors
    /// As for [`step`](Recurrent::step); steps before the one that failed are done.
    pub(crate) fn steps(
        &self,
        x: &[f32],
        steps: usize,
        state: &mut State,
        y: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        if steps == 0 {
            return Ok(());
        }
        let (inputs, outputs) = (x.len() / steps, y.len() / steps);
        let (first, x) = x.split_at(inputs);
        let (to, y) = y.split_at_mut(outputs);
        self.step(first, state, Some(to), workspace)?;
        if steps > 1 && workspace.fast_path.as_ref().is_some_and(|fast_path| fast_path.in_place) {
            return self.run_fast_path(x, steps - 1, state, Some(y), workspace);
        }
        for n in 0..steps - 1 {
            let (x, y) = (&x[n * inputs..][..inputs], &mut y[n * outputs..][..outputs]);
            self.step(x, state, Some(y), workspace)?;
        }
        Ok(())
    }

    /// Steps on the caller's thread, `x` being `(T, B, I)` and `y` `(T, B, H)`; `workspace.fast_path` is of
    /// this network and this batch. Some steps of a row whose states are stepped where they are go through a
    /// layer together, so that its weights stay in the nearest cache.
    pub(super) fn run_fast_path(
        &self,
        x: &[f32],
        steps: usize,
        state: &mut State,
        mut y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let Some(fast_path) = &workspace.fast_path else {
            return Err(Error::Unsupported { what: "a step whose shapes nobody has converted" });
        };
        let (inputs, outputs) = (fast_path.input.len(), fast_path.output.len());
        check_steps("x", [steps, inputs], x.len())?;
        fast_path.state.check(state.sizes())?;
        if let Some(y) = &y {
            check_steps("y", [steps, outputs], y.len())?;
        }

        let (in_place, may_share) = (fast_path.in_place, fast_path.may_share);
        if !fast_path.ready {
            self.make_ready(workspace)?;
        }
        let together = if in_place { TOGETHER } else { 1 };
        let (mut x, mut left) = (x, steps);
        while left > 0 {
            let count = together.min(left);
            let (these, rest) = x.split_at(count * inputs);
            let to = y.as_mut().map(|y| y.split_off_mut(..count * outputs).unwrap_or_default());
            if in_place {
                self.step_in_place::<false>(these, count, state, to, workspace);
            } else {
                self.step_by_rings(these, state, to, workspace);
            }
            (x, left) = (rest, left - count);
        }
        if may_share {
            workspace.lately.note();
        }
        Ok(())
    }

    /// A step whose states go through a ring. Everything has been prepared and checked.
    #[inline(never)]
    fn step_by_rings(
        &self,
        x: &[f32],
        state: &mut State,
        mut y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) {
        // (Below, branches choose references and slices only, and records and grids are built once, after the
        // branches. Built in the branches and moved, they were read back right after they were stored, and
        // waiting for that took a twelfth of a step of 16 units.)
        let Workspace { rows, rings, forward: memories, between, fast_path: Some(fast_path), down, .. } =
            workspace
        else {
            return;
        };
        *down = !*down;
        let layers = self.config.layers;
        let (states, memory) = (&mut rings[0], &mut memories[0]);
        let x = sequence::flushed_step(self.weights[0].token, x, &mut memory.flushed);
        let scratch = &mut memory.scratch;
        let converted =
            (fast_path.converted.len() > 0).then(|| GridMut::new(fast_path.converted, &mut memory.converted));

        // Nothing can go wrong from here on.
        let half = fast_path.states.len() / 2;
        let (mut above, mut below) = fast_path.inner_of(layers, between);
        for layer in 0..layers {
            let (shape, from) = if layer == 0 { (&fast_path.input, x) } else { (&fast_path.output, &*below) };
            let to = if layer + 1 < layers { Some(&mut *above) } else { y.as_deref_mut() };
            states[..half].copy_from_slice(state.strand(layer));
            let forward = Forward {
                pass: Pass {
                    context: Context { weights: &self.weights[layer], masks: None, zoneout: None },
                    rows,
                    reverse: false,
                },
                input: GridMut::reading(GridRef::new(*shape, from)),
                may_be_tiny: false,
                flushed: None,
                output: to.map(|to| (GridMut::new(fast_path.output, to), 0)),
                states: Records::ring(rows, GridMut::new(fast_path.states, states)),
                tape: None,
                checkpoints: None,
                scratch: GridMut::new(fast_path.scratch, scratch),
                converted: converted.as_ref(),
                projected: None,
                down: sequence::zigzag(&self.weights[layer], true).then_some(*down),
            };
            // SAFETY: there is a row at least, and all memory is of this network's and this batch's shapes,
            // and ours.
            unsafe { sequence::step(&forward) };
            state.strand_mut(layer).copy_from_slice(&states[half..2 * half]);
            std::mem::swap(&mut above, &mut below);
        }
    }

    /// `count` steps of rows whose states are stepped in place, one row after the other. Everything has been
    /// prepared and checked. With `SINGLE` it is one step of one row through one layer, without loops and
    /// what they keep on the stack: that leaves two fifths of the instructions that a step of 16 units has
    /// outside of kernels. (`X207/single-step`)
    #[inline(always)]
    fn step_in_place<const SINGLE: bool>(
        &self,
        x: &[f32],
        count: usize,
        state: &mut State,
        mut y: Option<&mut [f32]>,
        workspace: &mut Workspace,
    ) {
        let Workspace { rows, forward: memories, between, steps: ready, fast_path: Some(fast_path), .. } =
            workspace
        else {
            return;
        };
        let (count, layers, batch) =
            if SINGLE { (1, 1, 1) } else { (count, self.config.layers, fast_path.state.batch) };
        let memory = &mut memories[0];
        let scratch = GridMut::new(fast_path.scratch, &mut memory.scratch);
        let first = &self.weights[0];
        let x = sequence::flushed_step(first.token, x, &mut memory.flushed);
        let [all_inputs, all_outputs, record] =
            [fast_path.input.len(), fast_path.output.len(), fast_path.states.len()];
        let of_row = (self.config.input_size, self.config.hidden_size);
        let (inputs, units) = if SINGLE { (all_inputs, all_outputs) } else { of_row };
        for row in 0..batch {
            let (mut above, mut below) = fast_path.inner_of(layers, between);
            for (layer, ready) in ready[..layers].iter_mut().enumerate() {
                // Rows lie next to each other in the inputs and outputs of all layers together, and not
                // between layers.
                let mut steps = StepsOfRow { count, inputs: units, units, strides: [units; 2] };
                let from = if layer == 0 {
                    (steps.inputs, steps.strides[0]) = (inputs, all_inputs);
                    &x[row * inputs..]
                } else {
                    &*below
                };
                let to = if layer + 1 < layers {
                    Some(&mut *above)
                } else {
                    steps.strides[1] = all_outputs;
                    y.as_deref_mut().map(|y| &mut y[row * units..])
                };
                let weights = if layer == 0 { first } else { &self.weights[layer] };
                let context = Context { weights, masks: None, zoneout: None };
                let state = GridMut::new(fast_path.states, &mut state.strand_mut(layer)[row * record..]);
                // SAFETY: the steps are of these weights, whose network has not changed its memory since, and
                // of this workspace, which has been used for nothing else; all memory is of its shapes, and
                // ours.
                unsafe {
                    let state = state.slot(0, 0);
                    let (origins, scratch) = (rows.origins(0), scratch.slot(0, 0));
                    let at = ForwardStep {
                        step: Step { context: &context, origins, before: state, after: state },
                        records: ForwardRecords { tape: None, scratch, output: None },
                    };
                    ready.run(steps, from, &at, to);
                }
                std::mem::swap(&mut above, &mut below);
            }
        }
    }

    /// Makes a workspace ready for steps that take the fast path.
    pub(super) fn make_ready(&self, workspace: &mut Workspace) -> Result<(), Error> {
        let Workspace { rows, rings, forward: memories, between, steps, fast_path, .. } = workspace;
        let Some(fast_path) = fast_path else { return Ok(()) };
        rows.set(if fast_path.in_place { 1 } else { fast_path.state.batch }, 1, Pattern::default())?;
        fill_up(rings, 1)?;
        fill_up(memories, 1)?;
        rings[0].grow(fast_path.states.len())?;
        memories[0].scratch.grow(fast_path.scratch.len())?;
        memories[0].converted.grow(fast_path.converted.len())?;
        let together = if fast_path.in_place { TOGETHER } else { 1 };
        memories[0].flushed.grow(checked_size("x", &[together, fast_path.input.len()])?)?;
        between.grow(fast_path.inner.all())?;
        if fast_path.in_place {
            fill_up(steps, self.config.layers)?;
            let ForwardMemory { converted, scratch, .. } = &mut memories[0];
            let converted =
                (fast_path.converted.len() > 0).then(|| GridMut::new(fast_path.converted, converted));
            for (step, weights) in steps.iter_mut().zip(&self.weights) {
                let context = Context { weights, masks: None, zoneout: None };
                let states = Records::in_place(rows, GridMut::new(fast_path.states, &mut rings[0]));
                let forward = Forward {
                    may_be_tiny: false,
                    scratch: GridMut::new(fast_path.scratch, scratch),
                    converted: converted.as_ref(),
                    down: sequence::zigzag(weights, true).then_some(false),
                    ..Forward::new(Pass { context, rows, reverse: false }, GridMut::empty(), states)
                };
                // SAFETY: there is one row, which is finished once, as in every layer: they are of one size.
                // The cell has one phase.
                unsafe { step.make(&forward)? };
            }
        }
        fast_path.ready = true;
        fast_path.single = fast_path.in_place
            && (fast_path.state.batch, self.config.layers) == (1, 1)
            && fast_path.anywhere
            && !fast_path.may_share;
        Ok(())
    }
}
