//! A cell with its options, as the kernels see it.
//!
//! A cell is compiled twice: once plain, with sigmoid and tanh inlined and no options; and once for all
//! options, which it looks up once per gate and call, not per vector. [`Variant::plain`] says which form
//! runs. (A projection and layer normalisation are separate forms. Minimal cells have the second form alone,
//! and the sLSTM, which has neither other activations nor clips, the first.)

use super::CellKind;
use crate::activation::{Activation, Gate};

/// The options of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Options {
    /// The activations of gates, candidate and output, in ONNX's order: LSTM f, g, h; GRU f, g; Elman f.
    pub(crate) activations: [Activation; 3],
    /// The bound of pre-activations, infinite for none.
    pub(crate) clip: f32,
    /// The bound of the cell state, infinite for none.
    pub(crate) cell_clip: f32,
    /// Whether i and f see the cell state before the step, and o the one after it.
    pub(crate) peephole: bool,
    /// Whether f is 1 - i.
    pub(crate) coupled: bool,
}

impl Options {
    /// Those of the plain cell.
    pub(crate) fn plain(kind: CellKind) -> Self {
        Options {
            activations: kind.activations(),
            clip: f32::INFINITY,
            cell_clip: f32::INFINITY,
            peephole: false,
            coupled: false,
        }
    }

    /// A gate of a tile: its activation is the one at this place, and its argument is clipped.
    #[inline(always)]
    pub(crate) fn gate(&self, index: usize, activation: usize) -> Gate {
        Gate { index, activation: self.activations[activation], clip: self.clip }
    }

    /// A value of a tile: its activation is the one at this place, and its argument is not clipped.
    #[inline(always)]
    pub(crate) fn output(&self, index: usize, activation: usize) -> Gate {
        Gate { index, activation: self.activations[activation], clip: f32::INFINITY }
    }
}

/// A cell with its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Variant {
    pub(crate) kind: CellKind,
    pub(crate) options: Options,
    /// The width of the hidden state, where it is a projection.
    pub(crate) projection: Option<usize>,
    /// The epsilon of the layer normalisation, where there is one.
    pub(crate) epsilon: Option<f32>,
    /// The heads of the recurrent weights: one where these are no block-diagonal matrix.
    pub(crate) heads: usize,
    /// Whether all options are the defaults, so that the plain kernels run.
    pub(crate) plain: bool,
}

impl Variant {
    /// The width of the hidden state of a cell with this many units.
    pub(crate) fn outputs(&self, hidden: usize) -> usize {
        self.projection.unwrap_or(hidden)
    }

    /// Peephole vectors: of i, f and o, or none.
    pub(crate) fn peephole_count(&self) -> usize {
        if self.options.peephole { 3 } else { 0 }
    }
}

impl CellKind {
    /// The activations of the plain cell. If it has fewer than three, the last ones are not used.
    pub(crate) fn activations(self) -> [Activation; 3] {
        let mut all = [Activation::Tanh; 3];
        let own = self.shape().activations;
        all[..own.len()].copy_from_slice(own);
        all
    }

    /// How many activations it has.
    pub(crate) fn activation_count(self) -> usize {
        self.shape().activations.len()
    }
}
