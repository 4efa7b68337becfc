//! What one cell computes at one step, forward and backward.
//!
//! A cell is one file: its equations, its [`Traits`] (how many gates, what it carries from step to step,
//! what its tape keeps), its products, and what it makes of their sums, forward and backward. It says nothing of
//! time, threads, lengths or memory, which `sequence/` decides, and it has no `unsafe`: it reads and writes through
//! a tile.
//!
//! ```text
//! lstm.rs elman.rs gru_after.rs gru_before.rs    one cell each
//! lstm_norm.rs gru_norm.rs norm.rs               two with layer normalisation, and that
//! dropout.rs                                     recurrent dropout and zoneout
//! variant.rs                                     a cell with its options: activations, clips, peepholes
//! pass.rs                                        one direction of one layer over the rows of a batch
//! tile.rs forward_tile.rs backward_tile.rs       what a cell sees: rows x blocks of hidden units
//! rows.rs                                        the rows of a batch, longest first
//! records.rs                                     where the states and the tape of each step lie
//! weights.rs                                     a cell's weights, packed for forward and backward
//! ```
//!
//! **Phases.** A step is one to three phases. Between them all hidden units of a row must be done: the
//! reset-before GRU needs `r * h` of every unit before it can form its candidate, a projection needs `o * tanh(c')`
//! of every unit, a normalisation all of a row. A cell with one phase never waits.

mod backward_tile;
mod dropout;
mod elman;
mod forward_tile;
mod gru_after;
mod gru_before;
mod gru_norm;
mod lstm;
mod lstm_norm;
mod norm;
mod pass;
mod records;
mod rows;
mod tile;
mod variant;
mod weights;

use crate::matrix::Room;
use crate::simd::Isa;
pub(crate) use backward_tile::{Backward, BackwardTile};
pub(crate) use dropout::{Masks, Zoneout};
pub(crate) use elman::{ElmanChosen, ElmanRelu, ElmanTanh};
pub(crate) use forward_tile::{Checkpoints, Forward, ForwardTile, Projected, ProjectionTile};
pub(crate) use gru_after::GruResetAfter;
pub(crate) use gru_before::GruResetBefore;
pub(crate) use gru_norm::GruNorm;
pub(crate) use lstm::{Lstm, PEEPHOLES};
pub(crate) use lstm_norm::LstmNorm;
pub(crate) use pass::Pass;
pub(crate) use records::{Records, TapeRecords};
pub(crate) use rows::{Extent, Pattern, Rows};
use std::ops::Range;
pub(crate) use variant::{Options, Variant};
pub(crate) use weights::{Canonical, TransposedWeights, Weights};

/// Which recurrence a layer computes. `s` is the logistic sigmoid, `*` between vectors elementwise.
///
/// The two GRUs are distinct cells with distinct weights: a model trained as one is wrong as the other.
///
/// These are the plain cells. [`Builder`](crate::Builder) has options for other activations, clips, peepholes, coupled
/// gates, projection, layer normalisation, recurrent dropout and zoneout; their equations stand in [`mod@crate::reference`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellKind {
    /// Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate: Gers et al. 2000).
    ///
    /// ```text
    /// i, f, o = s(W x + b_ih + R h + b_hh)      g = tanh(W x + b_ih + R h + b_hh)
    /// c' = f * c + i * g                        h' = o * tanh(c')
    /// ```
    ///
    /// Gates in the order i, f, g, o.
    Lstm,
    /// Gated recurrent unit, reset applied after the recurrent product: PyTorch, cuDNN, Keras's default
    /// (`reset_after=True`), ONNX with `linear_before_reset`.
    ///
    /// ```text
    /// r, z = s(W x + b_ih + R h + b_hh)         n = tanh(W x + b_ih + r * (R h + b_hh))
    /// h' = (1 - z) * n + z * h
    /// ```
    ///
    /// Gates in the order r, z, n.
    GruResetAfter,
    /// Gated recurrent unit, reset applied to the state before the recurrent product (Cho et al. 2014):
    /// ONNX's default, Keras with `reset_after=False`.
    ///
    /// ```text
    /// r, z = s(W x + b_ih + R h + b_hh)         n = tanh(W x + b_ih + R (r * h) + b_hh)
    /// h' = (1 - z) * n + z * h
    /// ```
    ///
    /// Gates in the order r, z, n.
    GruResetBefore,
    /// Elman's network: `h' = tanh(W x + b_ih + R h + b_hh)`.
    ElmanTanh,
    /// Elman's network with a rectifier: `h' = max(0, W x + b_ih + R h + b_hh)`.
    ElmanRelu,
}

impl CellKind {
    /// Every cell.
    pub const ALL: [CellKind; 5] = [
        CellKind::Lstm,
        CellKind::GruResetAfter,
        CellKind::GruResetBefore,
        CellKind::ElmanTanh,
        CellKind::ElmanRelu,
    ];

    /// The number of gates, and so of blocks of `hidden_size` rows in each weight matrix: 4, 3 or 1.
    pub fn gates(self) -> usize {
        Variant::plain(self).traits().gates
    }

    /// Whether the state has a cell state beside the hidden state.
    pub fn has_cell_state(self) -> bool {
        Variant::plain(self).traits().state > 1
    }
}

/// Runs `$body` with `$Cell` naming the type of the cell `$variant`: the one place where a cell known at run
/// time becomes a type.
macro_rules! with_cell {
    ($variant:expr, $Cell:ident => $body:expr) => {{
        use $crate::cell::{self, CellKind};
        let variant = $variant;
        match (variant.kind, variant.plain) {
            (CellKind::Lstm, _) if variant.epsilon.is_some() => {
                type $Cell = cell::LstmNorm;
                $body
            }
            (CellKind::GruResetAfter, _) if variant.epsilon.is_some() => {
                type $Cell = cell::GruNorm;
                $body
            }
            (CellKind::Lstm, _) if variant.projection.is_some() => {
                type $Cell = cell::Lstm<true, true>;
                $body
            }
            (CellKind::Lstm, true) => {
                type $Cell = cell::Lstm<false, false>;
                $body
            }
            (CellKind::Lstm, false) => {
                type $Cell = cell::Lstm<true, false>;
                $body
            }
            (CellKind::GruResetAfter, true) => {
                type $Cell = cell::GruResetAfter<false>;
                $body
            }
            (CellKind::GruResetAfter, false) => {
                type $Cell = cell::GruResetAfter<true>;
                $body
            }
            (CellKind::GruResetBefore, true) => {
                type $Cell = cell::GruResetBefore<false>;
                $body
            }
            (CellKind::GruResetBefore, false) => {
                type $Cell = cell::GruResetBefore<true>;
                $body
            }
            (CellKind::ElmanTanh, true) => {
                type $Cell = cell::ElmanTanh;
                $body
            }
            (CellKind::ElmanRelu, true) => {
                type $Cell = cell::ElmanRelu;
                $body
            }
            (CellKind::ElmanTanh | CellKind::ElmanRelu, false) => {
                type $Cell = cell::ElmanChosen;
                $body
            }
        }
    }};
}
pub(crate) use with_cell;

/// The plane of a state record that holds the hidden state.
pub(crate) const H: usize = 0;
/// The plane of a state record that holds the cell state.
pub(crate) const C: usize = 1;

/// What the recurrent weights of a gate are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    /// The hidden state before the step.
    Hidden,
    /// A plane of the tape.
    Tape(usize),
}

/// The numbers by which a cell differs from another.
#[derive(Debug)]
pub(crate) struct Traits {
    /// Blocks of hidden-size rows in the canonical weights.
    pub(crate) gates: usize,
    /// How many of them, the first ones, multiply the hidden state in the first phase. One more gate
    /// than this means a second phase with a product of its own; or see `projection`.
    pub(crate) hidden_gates: usize,
    /// Bias vectors: one per gate, and one more where a gate's two biases cannot be added.
    pub(crate) biases: usize,
    /// Planes of the state: h, and for some cells c.
    pub(crate) state: usize,
    /// Planes that the tape keeps of a step.
    pub(crate) tape: usize,
    /// Planes that pass from the first phase to the second.
    pub(crate) scratch: usize,
    /// Planes of gate gradients; the first `gates` of them belong to the input product.
    pub(crate) grads: usize,
    /// For each gate, the plane of its gradient on the recurrent side, and what its recurrent weights
    /// were multiplied with.
    pub(crate) recurrent: &'static [(usize, Operand)],
    /// Where the second phase is a projection into the hidden state: the plane of that one's gradient, and the
    /// plane of the tape that is projected.
    pub(crate) projection: Option<(usize, usize)>,
    /// How the products are normalised, where they are.
    pub(crate) norm: Option<NormTraits>,
}

/// What a cell with layer normalisation has besides.
#[derive(Debug)]
pub(crate) struct NormTraits {
    /// Phases of a step.
    pub(crate) phases: usize,
    /// For each gate, the planes of its gradients after normalisation: of the input product, and of the recurrent
    /// one. What was normalised has the first planes of the tape, in the same order.
    pub(crate) gates: &'static [(usize, usize)],
    /// The same of the cell state, where that is normalised for the output: of the gradients, and of the tape.
    pub(crate) output: Option<(usize, usize)>,
}

impl Traits {
    /// The plane of the gradients of this step that the second phase of backward multiplies with weights of its own,
    /// where it has such a product.
    pub(crate) fn second_gradient(&self) -> Option<usize> {
        let of_tape = |&(plane, operand): &(usize, Operand)| (operand != Operand::Hidden).then_some(plane);
        self.projection.map(|(plane, _)| plane).or_else(|| self.recurrent.iter().find_map(of_tape))
    }

    /// Whether the second phase has a product of its own.
    pub(crate) const fn has_second(&self) -> bool {
        self.gates > self.hidden_gates || self.projection.is_some()
    }

    /// The parts of a step that wait for each other.
    pub(crate) const fn phases(&self) -> usize {
        match &self.norm {
            Some(norm) => norm.phases,
            None if self.has_second() => 2,
            None => 1,
        }
    }
}

/// One recurrence. `PHASE` counts the phases of a step, from 0; see the head of the file.
pub(crate) trait Cell: Copy + Send + Sync + 'static {
    /// The numbers of the cell.
    const TRAITS: Traits;
    /// Sums of each vector of a tile, in each phase of the forward pass.
    const ACCUMULATORS: [usize; 3];

    /// Computes the input products of a tile of several steps, where these are done beforehand.
    fn project<'r, I: Isa, const R: usize, const U: usize>(
        tile: &ProjectionTile<'_, I, R, U>,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector];

    /// Computes the products of a tile of the step, and puts [`ACCUMULATORS`](Self::ACCUMULATORS) sums of each vector.
    fn products<'r, I: Isa, const PHASE: usize, const R: usize, const U: usize>(
        tile: &ForwardTile<'_, I>,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector];

    /// Makes gates and the new state of those sums.
    fn forward<I: Isa, const PHASE: usize>(tile: &ForwardTile<'_, I>, sums: &mut [I::Vector]);

    /// Computes the gradients of the step's gates, and what goes on to earlier steps. `sums` is in the first phase the
    /// gradient of the hidden state, and in a second one with a product of its own that product, for each vector.
    fn backward<I: Isa, const PHASE: usize>(tile: &BackwardTile<'_, I>, sums: &mut [I::Vector]);
}

/// The vectors that backward takes at a time where it needs values of theirs on the stack: no fewer than a row has.
const GROUP: usize = 12;

/// Ranges of at most [`GROUP`] that cover `0..count`.
#[inline(always)]
fn groups(count: usize) -> Groups {
    Groups { rest: 0..count }
}

struct Groups {
    rest: Range<usize>,
}

impl Iterator for Groups {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let group = self.rest.start..(self.rest.start + GROUP).min(self.rest.end);
        self.rest.start = group.end;
        if group.is_empty() { None } else { Some(group) }
    }
}
