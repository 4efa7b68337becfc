//! The inputs of a backward pass of one direction of one layer, and the targets of its gradients.
//!
//! Targets have the forms of the parameters that they are gradients of (`cell/tensor.rs`), each as a grid
//! with a slot for each gate (or peephole, or vector), and with no slots where the layer has no such
//! parameter.

use crate::cell::{PerTensor, Tensor, TensorForm, TransposedWeights};
use crate::error::Error;
use crate::memory::{Grid, GridMut, GridRef};
use crate::sequence::pass::{Checkpoints, Pass};
use crate::sequence::records::{Records, TapeRecords};

/// The inputs of a backward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) pass: Pass<'a>,
    pub(crate) transposed: &'a TransposedWeights,
    /// The sequence that the forward pass read.
    pub(crate) input: GridRef<'a>,
    /// The gradient of the output, and the plane of it.
    pub(crate) upstream: Option<(GridRef<'a>, usize)>,
    pub(crate) kept: Kept<'a>,
}

/// The states and tape that the forward pass has kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept<'a> {
    /// All states, and the tape of all steps.
    All { states: Records<'a>, tape: TapeRecords<'a> },
    /// The states of every k-th step, without a tape.
    Checkpoints(Checkpoints<'a>),
}

/// The targets of the gradients of one direction of one layer. Gradients are added to the values there,
/// unless a field says otherwise.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    /// If true, gradients are added to `weight_ih` and `weight_hh`; if false, the first chunk replaces these.
    /// (The other targets, `weight_hr` among them, are cleared beforehand.)
    pub(crate) add: bool,
    /// The gradient by each parameter tensor: a slot for each gate or vector, and no slots if there is no
    /// such tensor, or if its gradient is not wanted.
    pub(crate) parameters: PerTensor<GridMut<'a>>,
    /// The gradient of the input, and whether it is added to the values there.
    pub(crate) input: Option<(GridMut<'a>, bool)>,
}

impl Targets<'_> {
    /// True if the gradient of one of these tensors is wanted.
    pub(crate) fn want(&self, tensors: &[Tensor]) -> bool {
        tensors.iter().any(|&tensor| self.parameters[tensor].grid.slots() > 0)
    }
}

/// The target of a tensor of this form.
pub(crate) fn target(data: &mut [f32], form: TensorForm) -> Result<GridMut<'_>, Error> {
    Ok(GridMut::new(Grid::slot_major(form.slots, form.rows, 1, form.width)?, data))
}
