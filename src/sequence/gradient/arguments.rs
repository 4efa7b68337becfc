//! What a backward pass of one direction of one layer reads, and where its gradients go.
//!
//! Targets have the forms of the parameters that they are gradients of (`cell/tensor.rs`), each as a grid with a slot for
//! each gate (or peephole, or vector), and with no slots where the layer has no such parameter.

use crate::cell::{Form, PerTensor, TransposedWeights};
use crate::error::Error;
use crate::memory::{Grid, GridMut, GridRef};
use crate::sequence::pass::{Checkpoints, Pass};
use crate::sequence::records::{Records, TapeRecords};

/// What a backward pass reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) pass: Pass<'a>,
    pub(crate) transposed: &'a TransposedWeights,
    /// The sequence that the forward pass read.
    pub(crate) input: GridRef<'a>,
    /// The gradient of the output, and in which of its planes.
    pub(crate) upstream: Option<(GridRef<'a>, usize)>,
    pub(crate) kept: Kept<'a>,
}

/// What the forward pass has kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept<'a> {
    /// All states, and the tape of all steps.
    All { states: Records<'a>, tape: TapeRecords<'a> },
    /// The states every some steps.
    Checkpoints(Checkpoints<'a>),
}

/// Where the gradients of one direction of one layer go. Each is added to what is there, but for those that say
/// otherwise.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    /// Whether there is something in `weight_ih` and `weight_hh` to add to; if not, the first chunk replaces it. (The
    /// others, `weight_hr` among them, are cleared beforehand.)
    pub(crate) add: bool,
    /// Of the parameters, in the form of each: a slot for each gate, or vector, and none where there is no such tensor.
    /// `None` where nobody asks for them.
    pub(crate) parameters: Option<PerTensor<GridMut<'a>>>,
    /// The input gradient, and whether to add to what is there.
    pub(crate) input: Option<(GridMut<'a>, bool)>,
}

/// A target of this form.
pub(crate) fn target(data: &mut [f32], form: Form) -> Result<GridMut<'_>, Error> {
    Ok(GridMut::new(Grid::slot_major(form.slots, form.rows, 1, form.width)?, data))
}
