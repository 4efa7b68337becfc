//! The weights of a cell, packed once for the kernels.
//!
//! ```text
//! Weights, for forward
//!   input       W, all gates            depth I            units H
//!   hidden      R, the hidden gates     depth P            units H      P: H, or the size of the projection
//!   second      of the second phase:    depth H            units H      R of the last gate
//!               or                      depth H            units P      W_hr
//!   biases      [block][bias][lane], b_ih + b_hh where they can be added
//!   peepholes   [block][i f o][lane]
//!   norms       [vector][unit], gains of W x and R h, biases, gain and shift of c, where products are normalised;
//!               biases are then zero
//! TransposedWeights, for backward
//!   input       W^T of each gate        depth H            units I      dx = dG W, a sum over the gates
//!   hidden      R^T of the hidden gates depth H            units P      dh = dG R, the same
//!   second      R^T of the last gate    depth H            units H
//!               or W_hr^T               depth P            units H
//! ```

use super::{Traits, Variant};
use crate::error::{Error, checked_size};
use crate::matrix::{AlignedBuf, Panel, Source};
use crate::simd::{Isa, Kernel, LINE, Token, dispatch};

/// The parameters of one direction of one layer in PyTorch's layout, row-major, gate after gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canonical<'a> {
    /// (gates * H, I)
    pub(crate) weight_ih: &'a [f32],
    /// (gates * H, P)
    pub(crate) weight_hh: &'a [f32],
    /// (gates * H), or empty for none.
    pub(crate) bias_ih: &'a [f32],
    /// (gates * H), or empty for none.
    pub(crate) bias_hh: &'a [f32],
    /// (P, H), or empty for none.
    pub(crate) weight_hr: &'a [f32],
    /// (3, H), or empty for none.
    pub(crate) peephole: &'a [f32],
    /// (gates * H), or empty for none.
    pub(crate) norm_ih: &'a [f32],
    /// (gates * H), or empty for none.
    pub(crate) norm_hh: &'a [f32],
    /// (2, H), or empty for none.
    pub(crate) norm_c: &'a [f32],
}

impl Canonical<'_> {
    /// The biases of the kernels: a gate's two biases are added, but where there is one more bias than gates: then
    /// the last gate's recurrent bias stands alone.
    fn bias(&self, traits: &Traits, hidden: usize, bias: usize, unit: usize) -> f32 {
        let apart = traits.biases > traits.gates;
        let value = |bias: &[f32], index: usize| bias.get(index).copied().unwrap_or(0.0);
        let ih = value(self.bias_ih, bias * hidden + unit);
        let hh = value(self.bias_hh, bias.min(traits.gates - 1) * hidden + unit);
        match bias {
            _ if bias == traits.gates => hh,
            _ if apart && bias == traits.gates - 1 => ih,
            _ => ih + hh,
        }
    }
}

/// Vectors with an element for each hidden unit, one after the other, each padded to whole lines.
#[derive(Debug, Clone)]
pub(crate) struct Norms {
    data: AlignedBuf,
    width: usize,
}

impl Norms {
    fn new(variant: &Variant, units: usize) -> Result<Self, Error> {
        let traits = variant.traits();
        let width = units.next_multiple_of(LINE);
        let count = traits.norm.as_ref().map_or(0, |_| 2 * traits.gates + traits.biases + 2);
        Ok(Norms { data: AlignedBuf::zeroed(checked_size("packed vectors", &[count, width])?)?, width })
    }

    fn pack(&mut self, from: &Canonical<'_>, traits: &Traits, units: usize) {
        if traits.norm.is_none() {
            return;
        }
        for unit in 0..units {
            for gate in 0..traits.gates {
                self.data[gate * self.width + unit] = from.norm_ih[gate * units + unit];
                self.data[(traits.gates + gate) * self.width + unit] = from.norm_hh[gate * units + unit];
            }
            for bias in 0..traits.biases {
                let sum = from.bias(traits, units, bias, unit);
                self.data[(2 * traits.gates + bias) * self.width + unit] = sum;
            }
            for (n, vector) in from.norm_c.chunks_exact(units).enumerate() {
                self.data[(2 * traits.gates + traits.biases + n) * self.width + unit] = vector[unit];
            }
        }
    }

    /// A vector, of all units.
    #[inline(always)]
    pub(crate) fn get(&self, vector: usize) -> &[f32] {
        &self.data[vector * self.width..(vector + 1) * self.width]
    }
}

/// Vectors with an element for each hidden unit, packed `[block][vector][lane]`. Past the last unit zero.
#[derive(Debug, Clone)]
pub(crate) struct UnitVectors {
    data: AlignedBuf,
    lanes: usize,
    count: usize,
}

impl UnitVectors {
    fn new(lanes: usize, units: usize, count: usize) -> Result<Self, Error> {
        let size = checked_size("packed vectors", &[units.div_ceil(lanes), lanes, count])?;
        Ok(UnitVectors { data: AlignedBuf::zeroed(size)?, lanes, count })
    }

    fn set(&mut self, unit: usize, vector: usize, value: f32) {
        let block = unit / self.lanes * self.count + vector;
        self.data[block * self.lanes + unit % self.lanes] = value;
    }

    /// Packs vectors that lie one after the other.
    fn pack(&mut self, vectors: &[f32]) {
        let units = vectors.len() / self.count.max(1);
        for (place, &value) in vectors.iter().enumerate() {
            self.set(place % units, place / units, value);
        }
    }

    /// A vector of a block.
    #[inline(always)]
    pub(crate) fn get(&self, block: usize, vector: usize) -> &[f32] {
        let start = (block * self.count + vector) * self.lanes;
        &self.data[start..start + self.lanes]
    }
}

/// Weights packed for the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) token: Token,
    pub(crate) variant: Variant,
    pub(crate) input: Panel,
    pub(crate) hidden: Panel,
    pub(crate) second: Panel,
    pub(crate) biases: UnitVectors,
    pub(crate) peepholes: UnitVectors,
    pub(crate) norms: Norms,
}

/// Weights packed for the backward pass, which has everything else from those for the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct TransposedWeights {
    /// Of each gate.
    pub(crate) input: Vec<Panel>,
    /// Of each gate that multiplies the hidden state.
    pub(crate) hidden: Vec<Panel>,
    pub(crate) second: Panel,
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
    pub(crate) fn new(token: Token, variant: Variant, input: usize, hidden: usize) -> Result<Self, Error> {
        let traits = variant.traits();
        let lanes = dispatch(token, Lanes);
        let outputs = variant.outputs(hidden);
        let second = usize::from(traits.has_second());
        Ok(Weights {
            token,
            variant,
            input: Panel::new(lanes, input, traits.gates, hidden)?,
            hidden: Panel::new(lanes, outputs, traits.hidden_gates, hidden)?,
            second: Panel::new(lanes, hidden, second, outputs)?,
            biases: UnitVectors::new(lanes, hidden, traits.biases)?,
            peepholes: UnitVectors::new(lanes, hidden, variant.peephole_count())?,
            norms: Norms::new(&variant, hidden)?,
        })
    }

    /// Packs these parameters.
    pub(crate) fn pack(&mut self, from: Canonical<'_>) {
        let traits = self.variant.traits();
        let (input, hidden, outputs) = (self.input.depth(), self.hidden.units(), self.hidden.depth());
        let rows = |data, range, width| (data, gate_starts(range, hidden, width), width);
        let pack = |panel: &mut Panel, (data, starts, width): (&[f32], Vec<usize>, usize)| {
            panel.pack(Source { data, gate_starts: &starts, unit_stride: width, depth_stride: 1 });
        };
        pack(&mut self.input, rows(from.weight_ih, 0..traits.gates, input));
        pack(&mut self.hidden, rows(from.weight_hh, 0..traits.hidden_gates, outputs));
        if traits.projection.is_some() {
            pack(&mut self.second, rows(from.weight_hr, 0..1, hidden));
        } else if traits.has_second() {
            pack(&mut self.second, rows(from.weight_hh, traits.hidden_gates..traits.gates, hidden));
        }

        for unit in 0..if traits.norm.is_none() { hidden } else { 0 } {
            for bias in 0..traits.biases {
                self.biases.set(unit, bias, from.bias(traits, hidden, bias, unit));
            }
        }
        self.peepholes.pack(from.peephole);
        self.norms.pack(&from, traits, hidden);
    }

    /// H
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.input.units()
    }

    /// The width of the hidden state: P.
    #[inline(always)]
    pub(crate) fn outputs(&self) -> usize {
        self.hidden.depth()
    }

    /// The number of recurrent weights, as packed.
    pub(crate) fn recurrent_len(&self) -> usize {
        self.hidden.len() + self.second.len()
    }
}

impl TransposedWeights {
    /// Room for those of the cell that has these, all zero.
    pub(crate) fn new(weights: &Weights) -> Result<Self, Error> {
        let traits = weights.variant.traits();
        let (lanes, input) = (weights.input.lanes(), weights.input.depth());
        let (hidden, outputs) = (weights.units(), weights.outputs());
        let second = if traits.has_second() { outputs } else { 0 };
        let of_gates = |count, units| -> Result<Vec<Panel>, Error> {
            (0..count).map(|_| Panel::new(lanes, hidden, 1, units)).collect()
        };
        Ok(TransposedWeights {
            input: of_gates(traits.gates, input)?,
            hidden: of_gates(traits.hidden_gates, outputs)?,
            second: Panel::new(lanes, second, 1, hidden)?,
        })
    }

    /// The number of recurrent weights, as packed.
    pub(crate) fn recurrent_len(&self) -> usize {
        self.hidden.iter().map(Panel::len).sum::<usize>() + self.second.len()
    }

    /// Packs these parameters of a variant.
    pub(crate) fn pack(&mut self, variant: &Variant, from: Canonical<'_>) {
        let traits = variant.traits();
        let hidden = self.second.units();
        let pack = |panel: &mut Panel, data, width| {
            panel.pack(Source { data, gate_starts: &[0], unit_stride: 1, depth_stride: width });
        };
        for (panels, weights) in [(&mut self.input, from.weight_ih), (&mut self.hidden, from.weight_hh)] {
            for (gate, panel) in panels.iter_mut().enumerate() {
                // Nothing is multiplied with the weights of a gate that is not there, not even zero with infinity.
                if Some(gate) != variant.unused_gate() {
                    let width = panel.units();
                    pack(panel, &weights[gate * hidden * width..], width);
                }
            }
        }
        if traits.projection.is_some() {
            pack(&mut self.second, from.weight_hr, hidden);
        } else if traits.has_second() {
            pack(&mut self.second, &from.weight_hh[traits.hidden_gates * hidden * hidden..], hidden);
        }
    }
}
