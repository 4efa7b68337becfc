//! A pass through time: the rows, weights and memory of one direction of one layer, forward or backward.
//!
//! **Slots.** There is one more slot of states than steps. Forward in time, step t leads from slot t to slot
//! t+1. Backward in time it leads from slot t+1 to slot t, and a row of length n starts in slot n. So slots
//! are places between steps, and mean the same in both directions. A pass without a tape keeps two slots and
//! counts them modulo two. `rows.rs` and `records.rs` say where slots lie.

use super::records::{Records, TapeRecords};
use super::rows::Rows;
use crate::cell::{Context, Masks, Step, TransposedWeights, Weights, Zoneout};
use crate::memory::{GridMut, GridRef, LinesMut, Slot};

/// One direction of one layer over the rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) rows: &'a Rows,
    /// True if the forward pass runs from the end to the beginning.
    pub(crate) reverse: bool,
}

impl<'a> Pass<'a> {
    /// The weights, and with them the cell.
    #[inline(always)]
    pub(crate) fn weights(&self) -> &'a Weights {
        self.context.weights
    }

    /// The slots before and after a step.
    #[inline(always)]
    pub(crate) fn slots(&self, step: usize) -> (usize, usize) {
        if self.reverse { (step + 1, step) } else { (step, step + 1) }
    }

    /// Planes of a state record.
    pub(crate) fn state_planes(&self) -> usize {
        let zoneout = Zoneout::planes(self.context.zoneout);
        self.weights().shape().state.len() + zoneout + usize::from(self.context.masks.is_some())
    }

    /// The plane of `carry` in which, in the backward pass, the sums of a product wait for the rest of its
    /// gates. It is the last plane, after those of the state and, with zoneout, of the gradient that goes
    /// past a step.
    #[inline(always)]
    pub(crate) fn waiting(&self) -> usize {
        self.weights().shape().state.len() + usize::from(self.context.zoneout.is_some())
    }

    /// The plane of the state before a step that the recurrent weights multiply.
    #[inline(always)]
    pub(crate) fn multiplied(&self) -> usize {
        Masks::multiplied(self.context.masks)
    }

    /// The part that the tiles of a step share, with these states before and after it.
    #[inline(always)]
    pub(crate) fn step<'b>(&'b self, step: usize, before: Slot<'b>, after: Slot<'b>) -> Step<'b> {
        Step { context: &self.context, origins: self.rows.origins(step), before, after }
    }
}

/// The arguments of a forward pass of one direction of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward<'a> {
    pub(crate) pass: Pass<'a>,
    /// The sequence to read, one plane as wide as the input. If layers run at the same time, the layer below
    /// is writing later steps of it.
    pub(crate) input: GridMut<'a>,
    /// Whether the input may have tiny values: it is the caller's, and not the output of a layer below.
    pub(crate) may_be_tiny: bool,
    /// Flushed copies of the input of some steps, where it has tiny values.
    pub(crate) flushed: Option<Flushed<'a>>,
    /// Where the hidden states go: a grid and a plane of it.
    pub(crate) output: Option<(GridMut<'a>, usize)>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: Option<TapeRecords<'a>>,
    /// The states of every k-th step, if checkpoints are kept.
    pub(crate) checkpoints: Option<Checkpoints<'a>>,
    /// The scratch records, from one phase of a step to later ones: one slot, with a row for each rank.
    pub(crate) scratch: GridMut<'a>,
    /// The converted rows of a step: a slot for each share. `None` where rows are multiplied as they lie. (By
    /// reference: passes are copied for each step, and mostly there are none.)
    pub(crate) converted: Option<&'a GridMut<'a>>,
    /// The input products, if they are done beforehand.
    pub(crate) projected: Option<Projected<'a>>,
    /// Where every other step of a single row takes the blocks from the last to the first: whether even ones
    /// do. (`zigzag.rs`)
    pub(crate) down: Option<bool>,
}

impl<'a> Forward<'a> {
    /// A pass that reads the caller's input, from and to these states: without an output, a tape and
    /// checkpoints. Running it sets the other fields.
    pub(crate) fn new(pass: Pass<'a>, input: GridMut<'a>, states: Records<'a>) -> Self {
        Forward {
            pass,
            input,
            may_be_tiny: true,
            flushed: None,
            output: None,
            states,
            tape: None,
            checkpoints: None,
            scratch: GridMut::empty(),
            converted: None,
            projected: None,
            down: None,
        }
    }

    /// Where the input of a rank at a step lies: the caller's, or a flushed copy.
    #[inline(always)]
    pub(crate) fn input_row(&self, step: usize, rank: usize) -> *mut u32 {
        let rows = self.pass.rows;
        match self.flushed {
            Some(Flushed { inputs, first_step }) => inputs.address(step - first_step, rank, 0, 0),
            None => self.input.address(rows.time(step, rank), rows.order[rank], 0, 0),
        }
        .cast()
    }
}

/// The states before the steps `every`, `2 every` and so on, in slots 1, 2 and so on, of the rows that have
/// those steps. Slot 0 has the initial states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoints<'a> {
    pub(crate) every: usize,
    pub(crate) states: Records<'a>,
}

/// The inputs of the steps of a chunk: slots are its steps, rows its ranks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flushed<'a> {
    pub(crate) inputs: GridMut<'a>,
    pub(crate) first_step: usize,
}

/// `b + W x` of the steps of a chunk: slots are its steps, planes the gates of W.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projected<'a> {
    pub(crate) sums: GridMut<'a>,
    pub(crate) first_step: usize,
}

/// The arguments of a backward pass of one direction of one layer over one chunk of steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backward<'a> {
    pub(crate) pass: Pass<'a>,
    pub(crate) transposed: &'a TransposedWeights,
    /// The gradient of the output, and the plane of it.
    pub(crate) upstream: Option<(GridRef<'a>, usize)>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: TapeRecords<'a>,
    /// Gate gradients of the steps of the chunk, and of the step that backward did just before the chunk.
    pub(crate) grads: LinesMut<'a>,
    /// The place in `grads` of row 0 at each step of the chunk, `starts[step - first_step]`.
    pub(crate) starts: &'a [usize],
    pub(crate) first_step: usize,
    pub(crate) carry: GridMut<'a>,
    /// Converted gate gradients: a slot for each share. Empty where they are multiplied as they lie.
    pub(crate) converted: GridMut<'a>,
}

impl Backward<'_> {
    /// The place of the gradients of `rank` at a step.
    #[inline(always)]
    pub(crate) fn flat(&self, step: usize, rank: usize) -> usize {
        self.starts[step - self.first_step] + rank
    }
}
