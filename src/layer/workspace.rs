//! Memory that callers keep between calls, so that calls need not allocate.

use super::fast_path::FastPath;
use crate::memory::AlignedBuf;
use crate::sequence::{BackwardMemory, ForwardMemory, Lately, ReadyStep, Rows, Threads};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Workspaces between calls that borrow them.
static KEPT: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());
/// As many calls at the same time find theirs again.
const MAX_KEPT: usize = 8;

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
    /// Outputs on their way to the next layer, or gradients on their way to the layer below, in two buffers
    /// that take turns.
    pub(super) between: AlignedBuf,
    pub(super) backward: BackwardMemory,
    /// The threads that calls may use; `None` for those of the network.
    pub(super) threads: Option<Threads>,
    /// When they last worked together.
    pub(super) lately: Lately,
    /// The last step that took the fast path.
    pub(super) fast_path: Option<FastPath>,
    /// Its steps through each layer, if it steps in place and is ready. Otherwise, and beyond its layers,
    /// these are steps of an earlier network, which nobody runs.
    pub(super) steps: Vec<ReadyStep>,
    /// Whether the last step took the blocks of the weights from the last to the first.
    pub(super) down: bool,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Workspace::default()
    }

    /// Sets the threads that calls with this workspace may use, in place of those of [`Builder::threads`];
    /// `None` takes those of the builder again. With it a framework passes on its own setting at run time,
    /// and streams that share a network with a training loop stay on one thread. Results are the same bits.
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
        // The fast path was checked for other threads.
        self.fast_path = None;
    }

    /// Runs `call` with a workspace that the process keeps, on these threads; `None` takes those of the
    /// network. It is for frameworks whose calls have no place for a workspace.
    ///
    /// Each call has a workspace for itself, kept from an earlier call or new. If it panics, the workspace is
    /// freed. At most eight are kept, each with the memory of the largest call that it has served.
    ///
    /// ```
    /// use fused_rnn::{Gru, Threads, Workspace};
    ///
    /// let gru = Gru::reset_after(2, 8).build()?;
    /// let mut state = gru.zero_state(1)?;
    /// let threads = Some(Threads::Count(1));
    /// Workspace::lend(threads, |workspace| gru.step(&[0.1, 0.2], &mut state, None, workspace))?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn lend<T>(threads: Option<Threads>, call: impl FnOnce(&mut Workspace) -> T) -> T {
        let mut workspace = Workspace::taken();
        workspace.set_threads(threads);
        let result = call(&mut workspace);
        workspace.give_back();
        result
    }

    fn taken() -> Self {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(self) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(self);
        }
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

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace")
            .field("passes", &self.forward.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}
