//! The fast path of a step: which steps take it, and their shapes.
//!
//! ```text
//! fast_path    whether a step takes it, and its shapes, each size checked for overflow          once
//! step.rs      memory of these shapes; of rows that are stepped in place, their products        once
//!              checks the sizes of a call, and steps                                       each call
//! ```
//!
//! A workspace keeps the last one. A call of another network, batch or kind takes its place.

use super::config::{Dims, Direction};
use super::recurrent::Recurrent;
use super::sizes::Sizes;
use crate::cell::Weights;
use crate::error::{Error, checked_size};
use crate::memory::{Grid, Parts};
use crate::sequence::{self, Lately, Threads};

/// Steps of a row in place that go through a layer together.
pub(super) const TOGETHER: usize = 32;

/// A step that takes the fast path: its shapes, and the results of its checks, kept for the next step.
/// (Checking everything again, the overflow of each size and whether threads are worth it, took a fifth of
/// the instructions of a step of 16 units: `cargo bench --bench instructions`.)
#[derive(Debug, Clone, Copy)]
pub(super) struct FastPath {
    /// The network that it is of, and the sizes of its states.
    pub(super) instance: u64,
    pub(super) state: Sizes,
    /// The threads that it was checked for.
    pub(super) threads: Option<Threads>,
    /// Whether it takes the fast path whatever pool the caller is in.
    pub(super) anywhere: bool,
    /// Whether threads that are awake would share it.
    pub(super) may_share: bool,
    /// Whether the workspace has been made ready for it, and used for nothing else since.
    pub(super) ready: bool,
    /// Whether it is ready, in place, of one row and one layer, and always on the caller's thread: a step
    /// then has nothing to decide, and only checks its sizes.
    pub(super) single: bool,
    /// Whether states are stepped in place, one row after the other: a row whose sums are all computed before
    /// the first is finished, or two such rows of few units.
    pub(super) in_place: bool,
    /// The states of one direction of one layer: of a row in place, or of all rows in two slots.
    pub(super) states: Grid,
    pub(super) scratch: Grid,
    /// The converted rows, of the layer whose rows are the widest.
    pub(super) converted: Grid,
    pub(super) input: Grid,
    pub(super) output: Grid,
    /// The outputs of all layers but the last, in two buffers that take turns.
    pub(super) inner: Parts,
}

impl FastPath {
    /// Whether it is still good for a step of this network and this many rows, wherever that is called.
    pub(super) fn serves(&self, instance: u64, batch: usize, lately: &Lately) -> bool {
        (self.instance, self.state.batch, self.anywhere) == (instance, batch, true)
            && !(self.may_share && lately.are_awake())
    }

    /// Whether input and output of a step are as long as they have to be.
    #[inline(always)]
    pub(super) fn fits(&self, x: &[f32], y: Option<&[f32]>) -> bool {
        self.input.len() == x.len() && y.is_none_or(|y| self.output.len() == y.len())
    }

    /// Memory for the output of a layer, and for that of the layer below; empty where there is one layer.
    #[inline(always)]
    pub(super) fn inner_of<'a>(
        &self,
        layers: usize,
        between: &'a mut [f32],
    ) -> (&'a mut [f32], &'a mut [f32]) {
        if layers < 2 {
            return Default::default();
        }
        let mut inner = self.inner.each_mut(between);
        (inner.next().unwrap_or_default(), inner.next().unwrap_or_default())
    }
}

impl Recurrent {
    /// Whether the steps of a call run one after the other on this thread: a single step, or several of one
    /// row where that is quicker. A pass over all steps multiplies their inputs faster, but takes a
    /// microsecond to prepare; what steps in place have prepared is kept from call to call. (The bounds were
    /// measured on one and two LSTM, GRU and Elman layers of 8 to 256 units: `Z4/in-turn` of
    /// `benches/record/`.)
    pub(super) fn steps_in_turn(&self, dims: &Dims<'_>, threads: Option<Threads>) -> bool {
        if !dims.is_whole() || dims.steps == 1 {
            return dims.is_one_step();
        }
        let (config, threads) = (&self.config, threads.unwrap_or(self.config.threads));
        let of_inputs = || self.weights.iter().map(Weights::input_multiply_adds);
        let (widest, all) = (of_inputs().max().unwrap_or(0), of_inputs().fold(0, usize::saturating_add));
        let few_inputs = self.can_step_in_place() && widest <= 2560;
        let few_steps = dims.steps < 16 && all.saturating_mul(dims.steps) < 25_000;
        (dims.batch, dims.steps > 1) == (1, true)
            && config.direction == Direction::Forward
            && (few_inputs || few_steps)
            && threads.is_one(config.work_per_step().saturating_mul(dims.steps))
    }

    /// Whether a row can be stepped in place: all its sums are computed before the first is finished.
    fn can_step_in_place(&self) -> bool {
        let weights = &self.weights[0];
        weights.shape().forward.len() == 1 && sequence::is_finished_once(weights)
    }

    /// Whether two rows, as of a stereo stream, are stepped one after the other. If the weights are in the
    /// nearest cache, reading them twice takes less time than the general path for two rows. With 64 units
    /// both are level, and with three rows there is little difference. (`X207/two-rows`)
    fn steps_row_by_row(&self, batch: usize) -> bool {
        let of_layer = |weights: &Weights| weights.input_multiply_adds() + weights.recurrent_multiply_adds();
        batch == 2 && self.weights.iter().all(|weights| of_layer(weights) <= 16_000)
    }

    /// The shapes of a call, where it is a step that takes the fast path.
    pub(super) fn fast_path(
        &self,
        dims: Dims<'_>,
        threads: Option<Threads>,
        lately: &Lately,
    ) -> Result<Option<FastPath>, Error> {
        let config = &self.config;
        let given = threads;
        let threads = threads.unwrap_or(config.threads);
        let sharing = self.sharing(threads, dims.batch, 1, false);
        // Zoneout blends states, also in inference, and may need a plane that the records of a state do not
        // have.
        let is_fast = dims.is_one_step()
            && dims.batch > 0
            && config.direction == Direction::Forward
            && config.zoneout_of(0, None).is_none()
            && sharing.threads(lately) < 2;
        if !is_fast {
            return Ok(None);
        }
        let (batch, hidden, outputs) = (dims.batch, config.hidden_size, config.output_size());
        let cell = config.variant(0).shape();
        let in_place = self.can_step_in_place() && (batch == 1 || self.steps_row_by_row(batch));
        // In place, rows are stepped one after the other, in the memory of one.
        let (slots, rows, together) = if in_place { (1, 1, TOGETHER) } else { (2, batch, 1) };
        checked_size("x", &[batch, config.input_size])?;
        checked_size("y", &[batch, outputs])?;
        Ok(Some(FastPath {
            instance: self.instance.number(),
            state: self.state_sizes(batch),
            threads: given,
            ready: false,
            single: false,
            // (A number of threads is the same everywhere.)
            anywhere: threads != Threads::Auto
                || threads.is_one(config.work_per_step().saturating_mul(batch)),
            may_share: sharing.may_be(),
            in_place,
            states: Grid::padded(1, checked_size("state", &[slots, rows])?, cell.state.len(), hidden)?,
            scratch: Grid::padded(1, rows, cell.scratch, hidden)?,
            converted: sequence::converted_rows(&self.weights[..config.layers.min(2)], rows, 1)?,
            input: Grid::slot_major(1, batch, 1, config.input_size)?,
            output: Grid::slot_major(1, batch, 1, outputs)?,
            inner: Parts::new((config.layers - 1).min(2), checked_size("y", &[together, rows, outputs])?)?,
        }))
    }
}
