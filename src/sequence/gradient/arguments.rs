//! What a backward pass of one direction of one layer reads, and where its gradients go.
//!
//! Targets have the shapes of the parameters that they are gradients of, each as a grid with a slot for each gate
//! (or peephole, or vector), and with no slots where the layer has no such parameter:
//!
//! ```text
//!              weight_ih    weight_hh    weight_hr    bias_ih bias_hh norm_ih norm_hh    peephole    norm_c
//! slots        gates        gates        1            gates                              3           2
//! rows         H            H            P            1                                  1           1
//! width        I            P            H            H                                  H           H
//! ```

use crate::cell::{Checkpoints, Pass, Records, TapeRecords, TransposedWeights};
use crate::error::Error;
use crate::matrix::{Grid, GridMut, GridRef};

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
    pub(crate) weight_ih: GridMut<'a>,
    pub(crate) weight_hh: GridMut<'a>,
    pub(crate) bias_ih: GridMut<'a>,
    pub(crate) bias_hh: GridMut<'a>,
    pub(crate) weight_hr: GridMut<'a>,
    pub(crate) peephole: GridMut<'a>,
    pub(crate) norm_ih: GridMut<'a>,
    pub(crate) norm_hh: GridMut<'a>,
    pub(crate) norm_c: GridMut<'a>,
    /// The input gradient, and whether to add to what is there.
    pub(crate) input: Option<(GridMut<'a>, bool)>,
}

/// A target of as many slots of so many rows as there are in `data`.
pub(crate) fn target(data: &mut [f32], rows: usize, width: usize) -> Result<GridMut<'_>, Error> {
    Ok(GridMut::new(Grid::slot_major(data.len() / (rows * width), rows, 1, width)?, data))
}
