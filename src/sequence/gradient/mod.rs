//! The gradients that are products and sums over many steps.
//!
//! With dG the gate gradients of K = (step, row) places of a chunk:
//!
//! ```text
//! dx   = dG W            (K, I)       = (K, gates*H) (gates*H, I)
//! dW  += dG^T X          (gates*H, I) = (gates*H, K) (K, I)
//! dR  += dG^T Y          (gates*H, P) = (gates*H, K) (K, P)     Y: what R was multiplied with
//!                        of heads, for the units and the Y of each
//! dW_hr += dh^T M        (P, H)       = (P, K) (K, H)           of a projection
//! dp  += sum of dG * c over K                                    peepholes
//! du  += sum of dG * h over K                                    a diagonal R
//! da  += sum of dG * N over K                                    gains, N: what was normalised
//! db  += sum of dG over K
//! ```
//!
//! ```text
//! arguments.rs    what is read, and where gradients go
//! packed.rs       X, Y and M, packed
//! input.rs        dx
//! ```
//!
//! The products and sums themselves: `product/gradient.rs`, `narrow.rs`, `sums.rs`.
//!
//! A weight gradient is one chain over all places, in the order of the walk back; a tile begins with the sums
//! that the chunk before has left. Threads share the outputs, never a sum. So no result depends on the number
//! of threads, or on where chunks are cut.

mod arguments;
mod input;
mod packed;

use super::records::{Records, TapeRecords};
use super::threads::{Share, over_shares};
use crate::cell::{C, Factor, Multiplied, Tensor, VectorGradient};
use crate::memory::{LinesRef, Row};
use crate::product::{
    Panel, WeightGradient, cuts, narrow_gradient, sum_over_places, sweep_gradient, wide_blocks,
};
use crate::simd::LINE;
pub(crate) use arguments::{Inputs, Kept, Targets, target};
use input::InputGradient;
pub(crate) use packed::Packed;

/// The results of the walk back over a chunk of steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// (step, rank) of the places.
    pub(crate) places: &'a [(usize, usize)],
    /// dG: the gate gradients, one row for each place.
    pub(crate) grads: LinesRef<'a>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: TapeRecords<'a>,
}

/// Adds the contribution of a chunk.
///
/// # Safety
/// - The input, the records and the gradients of the chunk's places exist, and nobody writes them.
/// - The targets have the forms of the cell's tensors, the input gradient that of the input, and are nobody
///   else's.
pub(crate) unsafe fn accumulate_chunk(
    inputs: &Inputs<'_>,
    chunk: &Chunk<'_>,
    packed: &mut Packed,
    targets: &mut Targets<'_>,
    threads: usize,
) {
    // SAFETY: the caller's promise, passed on.
    unsafe { packed.pack(inputs, chunk, targets, threads) };
    let contribution = Contribution { inputs, chunk, packed, to: targets };
    over_shares(threads, &|share| {
        // SAFETY: the caller's promise; each share is done once.
        unsafe {
            contribution.input(share);
            contribution.weights(share);
            contribution.vectors(share);
        }
    });
    targets.add = true;
}

/// The contribution of a chunk, equation by equation, each in shares of its outputs.
struct Contribution<'a> {
    inputs: &'a Inputs<'a>,
    chunk: &'a Chunk<'a>,
    packed: &'a Packed,
    to: &'a Targets<'a>,
}

impl<'a> Contribution<'a> {
    /// `dx = dG W`, a share of the places.
    ///
    /// # Safety
    /// - Nobody else does this share.
    unsafe fn input(&self, share: Share) {
        let Some((to, add)) = self.to.input else { return };
        let pass = &self.inputs.pass;
        let (shape, weights) = (pass.weights().shape(), &self.inputs.transposed.input[..]);
        let blocks = weights.first().map_or(0, Panel::blocks);
        let of_share = share.part(self.chunk.places.len());
        for (gates, blocks) in cuts(weights, of_share.len(), 0..blocks) {
            let product = InputGradient {
                table: pass.weights().backward,
                grads: self.chunk.grads,
                converted: self.packed.converted(),
                planes: shape.input,
                weights,
                add: add || !gates.are_first(),
                gates,
                places: self.chunk.places,
                rows: pass.rows,
                to,
            };
            // SAFETY: the places are those of this share, and no two are the same row of the target.
            unsafe { sweep_gradient(&product, of_share.clone(), blocks) };
        }
    }

    /// `dW += dG^T X` and `dR += dG^T Y`, a share of the units; `dW_hr += dh^T M`, a share of the outputs.
    ///
    /// # Safety
    /// - Nobody else does this share.
    unsafe fn weights(&self, share: Share) {
        let (pass, packed) = (&self.inputs.pass, self.packed);
        let (shape, cell) = (pass.weights().shape(), pass.weights());
        let of = |tensor, plane, gate, units, packed| WeightGradient {
            table: cell.gradient,
            grads: self.chunk.grads,
            plane,
            gate,
            units,
            packed,
            places: 0..self.chunk.places.len(),
            to: self.to.parameters[tensor],
            add: self.to.add || tensor == Tensor::WeightHr,
        };
        // The gates of a matrix, none where its gradient is not wanted.
        let gates = |tensor, count| 0..if self.to.want(&[tensor]) { count } else { 0 };
        let units = share.part(cell.units());
        for gate in gates(Tensor::WeightIh, shape.input.len()) {
            let plane = shape.input[gate];
            let x = &packed.input;
            // SAFETY: nobody else does this share of this gate.
            unsafe { self.matrix(&of(Tensor::WeightIh, plane, gate, cell.units(), x), share) };
        }
        for gate in gates(Tensor::WeightHh, shape.recurrent.len()) {
            let (plane, operand) = shape.recurrent[gate];
            let y = match operand {
                Multiplied::Hidden => &packed.hidden[..cell.heads().count()],
                Multiplied::Tape(_) => std::slice::from_ref(&packed.second),
            };
            for (head, y) in y.iter().enumerate() {
                let gradient = of(Tensor::WeightHh, plane, gate, cell.units(), y);
                // SAFETY: as above; of each head the units of this share are those of nobody else.
                unsafe {
                    if cell.heads().are_one() {
                        self.matrix(&gradient, share);
                    } else {
                        let own = cell.heads().units(head);
                        gradient.sweep(units.start.max(own.start)..units.end.min(own.end), y.blocks());
                    }
                }
            }
        }
        if let (Some((plane, _)), true) = (shape.projection, self.to.want(&[Tensor::WeightHr])) {
            let gradient = of(Tensor::WeightHr, plane, 0, cell.outputs(), &packed.second);
            // SAFETY: the outputs are those of this share.
            unsafe { gradient.sweep(share.part(cell.outputs()), packed.second.blocks()) };
        }
    }

    /// The gradients of a gate of a matrix: of the columns that fill whole vectors for a share of the units,
    /// and of the others for a share of the lines of units.
    ///
    /// # Safety
    /// - Nobody else does this share.
    #[inline(never)]
    unsafe fn matrix(&self, gradient: &WeightGradient<'_>, share: Share) {
        let cell = self.inputs.pass.weights();
        let (wide, blocks) = (wide_blocks(gradient.packed), gradient.packed.blocks());
        // SAFETY: the columns and units are those of this share alone, by the caller's promise.
        unsafe {
            if wide > 0 {
                gradient.sweep(share.part(cell.units()), wide);
            }
            if wide < blocks {
                narrow_gradient(cell.token, gradient, share.part(cell.units().div_ceil(LINE)));
            }
        }
    }

    /// The gradients of biases, peepholes, a diagonal R, gains and shifts, which are sums over places: a
    /// share of them.
    ///
    /// # Safety
    /// - Nobody else does this share.
    unsafe fn vectors(&self, share: Share) {
        let vectors = self.inputs.pass.weights().shape().vectors;
        for n in share.part(vectors.len()) {
            if self.is_wanted(n) && !self.joins(n) {
                // SAFETY: this vector, and the next if it joins, are of this share alone.
                unsafe {
                    let joined = vectors.get(n + 1).filter(|_| self.joins(n + 1));
                    self.sum(&vectors[n], joined);
                }
            }
        }
    }

    /// True if the layer has the tensor of a vector, and its gradient is wanted.
    fn is_wanted(&self, n: usize) -> bool {
        let VectorGradient { tensor, slot, .. } = self.inputs.pass.weights().shape().vectors[n];
        slot < self.to.parameters[tensor].grid.slots()
    }

    /// True if a vector is the same sum as the vector before it, as the two biases of a gate usually are.
    /// Both are then summed at once, because reading dG is most of the work (`X207/both-biases` of
    /// `benches/record/`).
    fn joins(&self, n: usize) -> bool {
        let Some(before) = n.checked_sub(1) else { return false };
        let vectors = self.inputs.pass.weights().shape().vectors;
        let same = (vectors[n].plane, vectors[n].factor) == (vectors[before].plane, vectors[before].factor);
        same && self.is_wanted(n) && self.is_wanted(before) && !self.joins(before)
    }

    /// Adds the sum of a plane of dG, times its factor, to a vector, and to one that joins it.
    ///
    /// # Safety
    /// - The vectors exist, no two are the same, and nobody else works on them.
    unsafe fn sum(&self, of: &VectorGradient, joined: Option<&VectorGradient>) {
        let target = |of: &VectorGradient| {
            let grid = self.to.parameters[of.tensor];
            // SAFETY: the caller's promise, passed on.
            unsafe { grid.columns(of.slot, 0, 0, 0..grid.grid.width()) }
        };
        let to = [target(of), joined.map(target).unwrap_or_default()];
        let (pass, chunk) = (&self.inputs.pass, self.chunk);
        // The cell state before the step, or after it, which is one slot further on.
        let state = |shift, plane| {
            move |place: usize| {
                let (step, rank) = chunk.places[place];
                // SAFETY: the records exist, and nobody writes states and tape on the way back.
                unsafe { chunk.states.row(step + usize::from(shift), rank, plane) }
            }
        };
        let tape = |plane| {
            move |place: usize| {
                let (step, rank) = chunk.places[place];
                // SAFETY: as above.
                unsafe { chunk.tape.row(step, rank, plane) }
            }
        };
        let (token, grads, count) = (pass.weights().token, (chunk.grads, of.plane), chunk.places.len());
        let new = pass.context.zoneout.map_or(C, |zoneout| zoneout.new_cell_state);
        let sum = |factor: Option<&dyn Fn(usize) -> Row<'a>>| {
            sum_over_places(token, grads, count, factor, to);
        };
        match of.factor {
            Factor::One => sum(None),
            Factor::HiddenState => sum(Some(&state(pass.reverse, pass.multiplied()))),
            Factor::CellState => sum(Some(&state(pass.reverse, C))),
            Factor::NewCellState => sum(Some(&state(!pass.reverse, new))),
            Factor::Tape(plane) => sum(Some(&tape(plane))),
        }
    }
}
