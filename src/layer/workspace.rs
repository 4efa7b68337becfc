//! Memory that callers keep between calls, so that calls need not allocate.

use super::state::Sizes;
use crate::memory::{AlignedBuf, Grid, Parts};
use crate::sequence::{BackwardMemory, ForwardMemory, Lately, ReadyStep, Rows, Threads};
use std::fmt;

/// Memory for one call at a time. It grows when a call needs more than any call before it, and never
/// shrinks; a call that finds enough allocates nothing. It carries nothing from call to call, and serves
/// layers of any shape. [`Recurrent::reserve`](crate::Recurrent::reserve) makes it grow before the first
/// call.
#[derive(Default)]
pub struct Workspace {
    pub(super) rows: Rows,
    /// Two slots of states for each direction of each layer.
    pub(super) rings: Vec<AlignedBuf>,
    /// One for each pass that runs at the same time as others.
    pub(super) forward: Vec<ForwardMemory>,
    /// Outputs on their way to the next layer, or gradients on their way to the one below: two in turns.
    pub(super) between: AlignedBuf,
    pub(super) backward: BackwardMemory,
    /// Threads that calls may use, where not those of the network.
    pub(super) threads: Option<Threads>,
    /// When they last worked together.
    pub(super) lately: Lately,
    /// Of the last step that went the short way.
    pub(super) short: Option<Short>,
    /// Its steps through each layer, where it steps in place and is ready. Else, and beyond its layers, they
    /// are of an earlier one, and nobody runs them.
    pub(super) steps: Vec<ReadyStep>,
    /// Whether the last step took the blocks of the weights from the last to the first.
    pub(super) down: bool,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Workspace::default()
    }

    /// Lets calls with this workspace use so many threads, and not those of [`Builder::threads`]; with `None`
    /// those of the builder again. A framework passes on what it has been told at run time, and streams that
    /// share a network with a training loop stay on one thread. Results are the same bits.
    ///
    /// ```
    /// use fused_rnn::{Gru, Threads, Workspace};
    ///
    /// let gru = Gru::reset_after(2, 8).build()?;
    /// let (mut state, mut workspace) = (gru.zero_state(1)?, Workspace::new());
    /// workspace.set_threads(Some(Threads::Count(1)));
    /// gru.step(&[0.1, 0.2], &mut state, None, &mut workspace)?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// [`Builder::threads`]: crate::Builder::threads
    pub fn set_threads(&mut self, threads: Option<Threads>) {
        self.threads = threads;
        // It has been checked for other threads.
        self.short = None;
    }

    /// The bytes that it holds: what the largest call so far has needed.
    pub fn bytes(&self) -> usize {
        let buffers = self.rings.iter().chain([&self.between]).map(|buffer| size_of_val(&buffer[..]));
        let passes = self.forward.iter().map(ForwardMemory::bytes);
        let steps = self.steps.iter().map(ReadyStep::bytes).sum::<usize>()
            + self.steps.capacity() * size_of::<ReadyStep>();
        buffers.chain(passes).sum::<usize>() + self.backward.bytes() + self.rows.bytes() + steps
    }
}

/// A step that goes the short way: its shapes, and what was checked of it, kept for the next. (To check it
/// all again, make the shapes with each size checked for overflow, and estimate whether threads are worth it,
/// took a fifth of the instructions of a step of 16 units: `cargo bench --bench instructions`.)
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    /// The network that it is of, and the sizes of its states.
    pub(super) instance: u64,
    pub(super) state: Sizes,
    /// The threads that it was checked for.
    pub(super) threads: Option<Threads>,
    /// Whether it is short whatever pool the caller is in.
    pub(super) anywhere: bool,
    /// Whether threads that are awake would share it.
    pub(super) may_share: bool,
    /// Whether the workspace has been made ready for it, and used for nothing else since.
    pub(super) ready: bool,
    /// Whether it is ready, in place, of one layer, and on this thread wherever it is called: a step has
    /// nothing to decide then, and only its sizes to check.
    pub(super) single: bool,
    /// Whether states are stepped where they are: of a single row whose sums are all made before the first
    /// is finished.
    pub(super) in_place: bool,
    /// Of one direction of one layer, of a slot or of two.
    pub(super) states: Grid,
    pub(super) scratch: Grid,
    /// Of the rows that are made for products, of the layer whose rows are the widest.
    pub(super) made: Grid,
    pub(super) input: Grid,
    pub(super) output: Grid,
    /// The outputs of the layers but the last, two in turns.
    pub(super) inner: Parts,
}

impl Short {
    /// Memory for the output of a layer, and that of the layer below; of nothing where there is one layer.
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

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace")
            .field("passes", &self.forward.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}
