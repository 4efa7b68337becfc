//! The weights of a cell, packed once for the kernels.
//!
//! ```text
//! Weights, for forward
//!   input       W, all gates            depth I            units H
//!   hidden      R, the hidden gates     depth H            units H
//!   candidate   R of the last gate, for cells with a second phase
//!   bias        [block][bias][lane], b_ih + b_hh where they can be added
//! TransposedWeights, for backward
//!   input       W^T                     depth gates * H    units I      dx = dG W
//!   hidden      R^T of the hidden gates depth gates * H    units H      dh = dG R
//!   candidate   R^T of the last gate    depth H            units H
//! ```

use super::CellKind;
use crate::error::{Error, checked_size};
use crate::matrix::{AlignedBuf, Panel, Source};
use crate::simd::{Isa, Kernel, Token, dispatch};

/// The parameters of one direction of one layer in PyTorch's layout, row-major, gate after gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canonical<'a> {
    /// (gates * H, I)
    pub(crate) weight_ih: &'a [f32],
    /// (gates * H, H)
    pub(crate) weight_hh: &'a [f32],
    /// (gates * H), or empty for none.
    pub(crate) bias_ih: &'a [f32],
    /// (gates * H), or empty for none.
    pub(crate) bias_hh: &'a [f32],
}

/// Weights packed for the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) token: Token,
    pub(crate) kind: CellKind,
    pub(crate) input: Panel,
    pub(crate) hidden: Panel,
    pub(crate) candidate: Panel,
    bias: AlignedBuf,
    lanes: usize,
}

/// Weights packed for the backward pass.
#[derive(Debug, Clone)]
pub(crate) struct TransposedWeights {
    pub(crate) token: Token,
    pub(crate) kind: CellKind,
    pub(crate) input: Panel,
    pub(crate) hidden: Panel,
    pub(crate) candidate: Panel,
}

/// The lanes of a level.
struct Lanes;
impl Kernel for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> usize {
        I::LANES
    }
}

/// The rows at which the gates `range` of a canonical matrix with rows of `width` floats begin.
fn gate_starts(range: std::ops::Range<usize>, hidden_size: usize, width: usize) -> Vec<usize> {
    range.map(|gate| gate * hidden_size * width).collect()
}

impl Weights {
    /// Room for the weights of a cell, all zero.
    pub(crate) fn new(token: Token, kind: CellKind, input: usize, hidden: usize) -> Result<Self, Error> {
        let traits = kind.traits();
        let lanes = dispatch(token, Lanes);
        let rest = traits.gates - traits.hidden_gates;
        let bias = checked_size("packed biases", &[hidden.div_ceil(lanes), lanes, traits.biases])?;
        Ok(Weights {
            token,
            kind,
            input: Panel::new(lanes, input, traits.gates, hidden)?,
            hidden: Panel::new(lanes, hidden, traits.hidden_gates, hidden)?,
            candidate: Panel::new(lanes, hidden, rest, hidden)?,
            bias: AlignedBuf::zeroed(bias)?,
            lanes,
        })
    }

    /// Packs these parameters.
    pub(crate) fn pack(&mut self, from: Canonical<'_>) {
        let traits = self.kind.traits();
        let (input, hidden) = (self.input.depth(), self.hidden.depth());
        let rows = |data, range, width| (data, gate_starts(range, hidden, width), width);
        let pack = |panel: &mut Panel, (data, starts, width): (&[f32], Vec<usize>, usize)| {
            panel.pack(Source { data, gate_starts: &starts, unit_stride: width, depth_stride: 1 });
        };
        pack(&mut self.input, rows(from.weight_ih, 0..traits.gates, input));
        pack(&mut self.hidden, rows(from.weight_hh, 0..traits.hidden_gates, hidden));
        pack(&mut self.candidate, rows(from.weight_hh, traits.hidden_gates..traits.gates, hidden));

        // A gate's two biases are added, but where there is one more bias than gates: then the last
        // gate's recurrent bias stands alone.
        let apart = traits.biases > traits.gates;
        let value = |bias: &[f32], index: usize| bias.get(index).copied().unwrap_or(0.0);
        for unit in 0..hidden {
            for bias in 0..traits.biases {
                let ih = value(from.bias_ih, bias.min(traits.gates - 1) * hidden + unit);
                let hh = value(from.bias_hh, bias.min(traits.gates - 1) * hidden + unit);
                let sum = match bias {
                    _ if bias == traits.gates => hh,
                    _ if apart && bias == traits.gates - 1 => ih,
                    _ => ih + hh,
                };
                let block = unit / self.lanes * traits.biases + bias;
                self.bias[block * self.lanes + unit % self.lanes] = sum;
            }
        }
    }

    /// The number of recurrent weights, as packed.
    pub(crate) fn recurrent_len(&self) -> usize {
        self.hidden.len() + self.candidate.len()
    }

    /// A bias vector of a block.
    #[inline(always)]
    pub(crate) fn bias(&self, block: usize, bias: usize) -> &[f32] {
        let start = (block * self.kind.traits().biases + bias) * self.lanes;
        &self.bias[start..start + self.lanes]
    }
}

impl TransposedWeights {
    /// Room for the weights of a cell, all zero.
    pub(crate) fn new(token: Token, kind: CellKind, input: usize, hidden: usize) -> Result<Self, Error> {
        let traits = kind.traits();
        let lanes = dispatch(token, Lanes);
        let candidate = if traits.gates > traits.hidden_gates { hidden } else { 0 };
        Ok(TransposedWeights {
            token,
            kind,
            input: Panel::new(lanes, checked_size("weights", &[traits.gates, hidden])?, 1, input)?,
            hidden: Panel::new(lanes, checked_size("weights", &[traits.hidden_gates, hidden])?, 1, hidden)?,
            candidate: Panel::new(lanes, candidate, 1, hidden)?,
        })
    }

    /// Packs these parameters.
    pub(crate) fn pack(&mut self, from: Canonical<'_>) {
        let traits = self.kind.traits();
        let (input, hidden) = (self.input.units(), self.hidden.units());
        let candidate = traits.hidden_gates * hidden * hidden;
        let source = |data, start: &'static [usize], width| Source {
            data,
            gate_starts: start,
            unit_stride: 1,
            depth_stride: width,
        };
        self.input.pack(source(from.weight_ih, &[0], input));
        self.hidden.pack(source(from.weight_hh, &[0], hidden));
        self.candidate.pack(source(&from.weight_hh[candidate..], &[0], hidden));
    }
}
