//! The weights of a cell, packed once for the kernels.
//!
//! ```text
//! Weights, for forward
//!   panels      what Shape::packed lists: some gates of W, R or W_hr side by side; an R of heads as
//!               `product/heads.rs` says, and so in hidden
//!   biases      [block][bias][lane], b_ih + b_hh where they can be added
//!   diagonals   [block][i f o][lane], peepholes; or [block][lane], a diagonal R
//!   norms       [vector][unit], gains of W x and R h, biases, gain and shift of c, where products are
//!               normalised; biases are then zero
//! TransposedWeights, for backward
//!   input       W^T of each gate        depth H            units I      dx = dG W, a sum over the gates
//!   hidden      R^T of the hidden gates depth H            units P      dh = dG R, the same
//!   second      R^T of the other gates  depth H            units H      the same, in the second phase
//!               or W_hr^T               depth P            units H
//! ```
//!
//! Values that are too small to matter are packed as zero (`simd/flush.rs`).

use super::{BiasOf, Canonical, Entry, Matrix, Packed, PerTensor, Shape, Tensor, Variant};
use crate::error::{Error, checked_size};
use crate::memory::AlignedBuf;
use crate::product::{ConvertRows, Heads, Panel, Precision, Source, Table, convert_rows, row_words, table};
use crate::simd::{LINE, Token, copy_flushed, flushed};

/// Gates of a panel, at the most.
const MAX_GATES: usize = 4;

/// The bias of a unit in one of the kernels' bias vectors.
fn bias(from: &Canonical<'_>, of: BiasOf, units: usize, unit: usize) -> f32 {
    let value = |tensor, gate: usize| from[tensor].get(gate * units + unit).copied().map_or(0.0, flushed);
    match of {
        BiasOf::Both(gate) => value(Tensor::BiasIh, gate) + value(Tensor::BiasHh, gate),
        BiasOf::Input(gate) => value(Tensor::BiasIh, gate),
        BiasOf::Recurrent(gate) => value(Tensor::BiasHh, gate),
    }
}

/// Vectors with an element for each hidden unit, one after the other, each padded to whole lines.
#[derive(Debug, Clone)]
pub(crate) struct Norms {
    data: AlignedBuf,
    width: usize,
}

impl Norms {
    fn new(shape: &Shape, units: usize) -> Result<Self, Error> {
        let width = units.next_multiple_of(LINE);
        let all = shape.input.len() + shape.recurrent.len() + shape.biases.len() + 2;
        let count = if shape.norm[0] { all } else { 0 };
        Ok(Norms { data: AlignedBuf::zeroed(checked_size("packed vectors", &[count, width])?)?, width })
    }

    fn pack(&mut self, from: &Canonical<'_>, shape: &Shape, units: usize) {
        if !shape.norm[0] {
            return;
        }
        let mut vectors = self.data.chunks_exact_mut(self.width);
        for tensor in [Tensor::NormIh, Tensor::NormHh] {
            for (from, to) in from[tensor].chunks_exact(units).zip(&mut vectors) {
                copy_flushed(from, &mut to[..units]);
            }
        }
        for (&of, to) in shape.biases.iter().zip(&mut vectors) {
            for (unit, to) in to[..units].iter_mut().enumerate() {
                *to = bias(from, of, units, unit);
            }
        }
        for (from, to) in from[Tensor::NormC].chunks_exact(units).zip(&mut vectors) {
            copy_flushed(from, &mut to[..units]);
        }
    }

    /// A vector, of all units.
    #[inline(always)]
    pub(crate) fn get(&self, vector: usize) -> &[f32] {
        &self.data[vector * self.width..(vector + 1) * self.width]
    }
}

/// Vectors with an element for each hidden unit, packed `[block][vector][lane]`. Elements past the last unit
/// are zero.
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
            self.set(place % units, place / units, flushed(value));
        }
    }

    /// A vector of a block.
    #[inline(always)]
    pub(crate) fn get(&self, block: usize, vector: usize) -> &[f32] {
        let start = (block * self.count + vector) * self.lanes;
        &self.data[start..start + self.lanes]
    }

    /// Where a vector of a block is, and those after it.
    #[inline(always)]
    pub(crate) fn address(&self, block: usize, vector: usize) -> *const f32 {
        self.data[(block * self.count + vector) * self.lanes..].as_ptr()
    }

    /// Floats from a block to the next.
    #[inline(always)]
    pub(crate) fn block_len(&self) -> usize {
        self.count * self.lanes
    }
}

/// Weights packed for the forward pass, and their cell.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub(crate) token: Token,
    pub(crate) precision: Precision,
    /// The kernels of the level: forward, of gradients with weights on the way back, and of the gradients of
    /// weights.
    pub(crate) table: &'static Table,
    pub(crate) backward: &'static Table,
    pub(crate) gradient: &'static Table,
    /// How rows are converted for the products, where they are not multiplied as they lie. (Rows of gradients
    /// are converted if the precision rounds gradients.)
    pub(crate) convert_rows: Option<ConvertRows>,
    pub(crate) variant: Variant,
    pub(crate) cell: Entry,
    pub(crate) panels: Vec<Panel>,
    pub(crate) biases: UnitVectors,
    pub(crate) diagonals: UnitVectors,
    pub(crate) norms: Norms,
    /// The heads of R: one, where it is no block-diagonal matrix.
    heads: Heads,
    inputs: usize,
    units: usize,
    outputs: usize,
}

/// Weights packed for the backward pass. It takes everything else from the [`Weights`] of the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct TransposedWeights {
    /// W^T of each gate of W.
    pub(crate) input: Vec<Panel>,
    /// R^T of each gate of R that multiplies the hidden state.
    pub(crate) hidden: Vec<Panel>,
    /// R^T of each other gate of R, or W_hr^T.
    pub(crate) second: Vec<Panel>,
    heads: Heads,
    units: usize,
}

impl Matrix {
    fn tensor(self) -> Tensor {
        match self {
            Matrix::Input => Tensor::WeightIh,
            Matrix::Recurrent => Tensor::WeightHh,
            Matrix::Projection => Tensor::WeightHr,
        }
    }
}

impl Weights {
    /// The bytes of all packed weights and vectors.
    pub(crate) fn bytes(&self) -> usize {
        let vectors = [&self.biases.data, &self.diagonals.data, &self.norms.data];
        let vectors: usize = vectors.map(|vectors| size_of_val(&vectors[..])).iter().sum();
        vectors + self.panels.iter().map(Panel::held).sum::<usize>()
    }

    /// Room for the weights of a cell, all zero.
    pub(crate) fn new(
        (token, precision): (Token, Precision),
        variant: Variant,
        inputs: usize,
        units: usize,
    ) -> Result<Self, Error> {
        let (cell, backward) = (variant.entry(token), table(token, precision.of_gradients()));
        let (shape, gradient) = (cell.shape, table(token, Precision::F32));
        let (lanes, outputs) = (gradient.lanes, variant.outputs(units));
        let heads = Heads::new(variant.heads, units, lanes);
        let size = |n: usize| {
            let Packed { matrix, gates, .. } = shape.packed[n];
            match matrix {
                Matrix::Input => [inputs, gates, units],
                Matrix::Recurrent => [outputs / heads.count(), gates, heads.panel_units()],
                Matrix::Projection => [units, gates, outputs],
            }
        };
        let count = shape.packed.len();
        let bytes = (0..count)
            .map(|n| size(n).into_iter().fold(size_of::<f32>(), usize::saturating_mul))
            .fold(0, usize::saturating_add);
        let products = precision.of_products(bytes);
        let table = table(token, products);
        // (Rounded in f32 is what gradients take on the way back.)
        let words =
            if products == precision { precision.forward(table.offset) } else { precision.backward() };
        // (A tile in which heads meet is multiplied head by head.)
        let depth = inputs.saturating_add(outputs);
        let fringe = |[_, gates, units]: [usize; 3]| {
            if heads.are_one() { table.fringe([depth, gates, units]) } else { None }
        };
        let panels = Panel::several(words, lanes, count, &size, &fringe)?;
        Ok(Weights {
            token,
            precision,
            table,
            backward,
            gradient,
            convert_rows: convert_rows(token, precision, table.offset),
            variant,
            cell,
            panels,
            biases: UnitVectors::new(lanes, units, shape.biases.len())?,
            diagonals: UnitVectors::new(
                lanes,
                units,
                variant.peephole_count() + usize::from(shape.diagonal),
            )?,
            norms: Norms::new(shape, units)?,
            heads,
            inputs,
            units,
            outputs,
        })
    }

    /// Packs again what is made of tensors that have changed. Weights of [`Precision::Int8`] are rounded with
    /// the given scales, one for each row of a matrix or one for all; a row without a scale, or with a scale
    /// of zero, has its own.
    pub(crate) fn pack(
        &mut self,
        from: &Canonical<'_>,
        scales: Option<&PerTensor<Vec<f32>>>,
        changed: &PerTensor<bool>,
    ) {
        let shape = self.shape();
        for (packed, panel) in shape.packed.iter().zip(&mut self.panels) {
            if !changed[packed.matrix.tensor()] {
                continue;
            }
            let (width, rows) = match packed.matrix {
                Matrix::Input => (self.inputs, self.units),
                Matrix::Recurrent => (self.outputs / self.heads.count(), self.units),
                Matrix::Projection => (self.units, self.outputs),
            };
            let starts: [usize; MAX_GATES] = std::array::from_fn(|gate| (packed.first + gate) * rows * width);
            let (data, gate_starts) = (from[packed.matrix.tensor()], &starts[..packed.gates]);
            let given = scales.map_or(&[][..], |scales| &scales[packed.matrix.tensor()]);
            let given = match given.len() {
                0 | 1 => given,
                _ => &given[packed.first * rows..(packed.first + packed.gates) * rows],
            };
            let source = Source { data, gate_starts, unit_stride: width, depth_stride: 1 };
            if packed.matrix == Matrix::Recurrent && !self.heads.are_one() {
                panel.pack_heads(self.heads, source, given);
            } else {
                panel.pack_with(source, given);
            }
        }
        let any = |of: &[Tensor]| of.iter().any(|&tensor| changed[tensor]);
        let biases = any(&[Tensor::BiasIh, Tensor::BiasHh]);
        if !shape.norm[0] && biases {
            for unit in 0..self.units {
                for (vector, &of) in shape.biases.iter().enumerate() {
                    self.biases.set(unit, vector, bias(from, of, self.units, unit));
                }
            }
        }
        let diagonal = if shape.diagonal { Tensor::WeightHh } else { Tensor::Peephole };
        if changed[diagonal] {
            self.diagonals.pack(from[diagonal]);
        }
        if biases || any(&[Tensor::NormIh, Tensor::NormHh, Tensor::NormC]) {
            self.norms.pack(from, shape, self.units);
        }
    }

    /// What the cell is, as data.
    #[inline(always)]
    pub(crate) fn shape(&self) -> &'static Shape {
        self.cell.shape
    }

    /// The heads of R.
    #[inline(always)]
    pub(crate) fn heads(&self) -> Heads {
        self.heads
    }

    /// The distance from the hidden state of a head to that of the next, in words as they are multiplied.
    #[inline(always)]
    pub(crate) fn head_words(&self) -> usize {
        if self.convert_rows.is_some() {
            row_words(self.precision, self.heads.size())
        } else {
            self.heads.size()
        }
    }

    /// The width of the input: I.
    #[inline(always)]
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// The hidden units: H.
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// The width of the hidden state: P.
    #[inline(always)]
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Blocks of as many units as a vector has lanes.
    #[inline(always)]
    pub(crate) fn blocks_of(&self, units: usize) -> usize {
        units.div_ceil(self.table.lanes)
    }

    /// The sum of `size` over the panels that multiply the input, or over all other panels, which a step has
    /// to wait for.
    fn sum(&self, of_input: bool, size: impl Fn(&Panel) -> usize) -> usize {
        let panels = self.shape().packed.iter().zip(&self.panels);
        panels.filter(|(of, _)| (of.matrix == Matrix::Input) == of_input).map(|(_, panel)| size(panel)).sum()
    }

    /// The bytes of the weights of the input.
    pub(crate) fn input_bytes(&self) -> usize {
        self.sum(true, Panel::bytes)
    }

    /// The bytes of all other weights.
    pub(crate) fn recurrent_bytes(&self) -> usize {
        self.sum(false, Panel::bytes)
    }

    /// The multiply-adds of one row with the weights of the input.
    pub(crate) fn input_multiply_adds(&self) -> usize {
        self.sum(true, Panel::multiply_adds)
    }

    /// The multiply-adds of one row with all other weights.
    pub(crate) fn recurrent_multiply_adds(&self) -> usize {
        self.sum(false, Panel::multiply_adds)
    }
}

impl TransposedWeights {
    /// The bytes of all panels.
    pub(crate) fn bytes(&self) -> usize {
        self.input.iter().chain(&self.hidden).chain(&self.second).map(Panel::bytes).sum()
    }

    /// Room for the transposed weights of the cell of these weights, all zero.
    pub(crate) fn new(weights: &Weights) -> Result<Self, Error> {
        let (shape, lanes) = (weights.shape(), weights.table.lanes);
        let (units, outputs, heads) = (weights.units(), weights.outputs(), weights.heads());
        let words = weights.precision.backward();
        let of_gates =
            |count, depth, width| Panel::several(words, lanes, count, &|_| [depth, 1, width], &|_| None);
        let of_heads = if heads.are_one() { (units, outputs) } else { (heads.size(), heads.panel_units()) };
        Ok(TransposedWeights {
            input: of_gates(shape.input.len(), units, weights.inputs())?,
            hidden: of_gates(shape.hidden_gates(), of_heads.0, of_heads.1)?,
            second: of_gates(shape.second_gates(), outputs, units)?,
            heads,
            units,
        })
    }

    /// The bytes of the recurrent weights, and the multiply-adds of a row with them.
    pub(crate) fn recurrent_load(&self) -> (usize, usize) {
        let panels = || self.hidden.iter().chain(&self.second);
        (panels().map(Panel::bytes).sum(), panels().map(Panel::multiply_adds).sum())
    }

    /// Packs again what is made of tensors that have changed.
    pub(crate) fn pack(&mut self, variant: &Variant, from: &Canonical<'_>, changed: &PerTensor<bool>) {
        let (shape, units, heads) = (variant.shape(), self.units, self.heads);
        let source = |data, width| Source { data, gate_starts: &[0], unit_stride: 1, depth_stride: width };
        for (panels, tensor) in [(&mut self.input, Tensor::WeightIh), (&mut self.hidden, Tensor::WeightHh)] {
            if !changed[tensor] {
                continue;
            }
            let weights = from[tensor];
            for (gate, panel) in panels.iter_mut().enumerate() {
                // The weights of a gate that is not used are left out of the product: zero times infinity
                // would be NaN.
                if Some(gate) == variant.unused_gate() {
                    continue;
                }
                if tensor == Tensor::WeightHh && !heads.are_one() {
                    let width = heads.size();
                    panel.pack_heads(heads, source(&weights[gate * units * width..], width), &[]);
                } else {
                    let width = panel.units();
                    panel.pack(source(&weights[gate * units * width..], width));
                }
            }
        }
        let (tensor, first) = match shape.projection {
            Some(_) => (Tensor::WeightHr, 0),
            None => (Tensor::WeightHh, shape.hidden_gates()),
        };
        if changed[tensor] {
            for (gate, panel) in self.second.iter_mut().enumerate() {
                panel.pack(source(&from[tensor][(first + gate) * units * units..], units));
            }
        }
    }
}
