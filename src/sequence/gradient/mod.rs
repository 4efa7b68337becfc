//! The gradients that are products and sums over many steps at once.
//!
//! With dG the gate gradients of K = (step, row) places of a chunk:
//!
//! ```text
//! dx   = dG W            (K, I)       = (K, gates*H) (gates*H, I)
//! dW  += dG^T X          (gates*H, I) = (gates*H, K) (K, I)
//! dR  += dG^T Y          (gates*H, P) = (gates*H, K) (K, P)     Y: what R was multiplied with
//! dW_hr += dh^T M        (P, H)       = (P, K) (K, H)           of a projection
//! dp  += sum of dG * c over K                                    peepholes
//! da  += sum of dG * N over K                                    gains, N: what was normalised
//! db  += sum of dG over K
//! ```
//!
//! ```text
//! arguments.rs    what is read, and where gradients go
//! products.rs     the products
//! narrow.rs       dW where the input is narrower than a vector
//! sums.rs         the sums over K
//! ```
//!
//! A weight gradient is one chain over all places in the order in which the walk back comes by, whatever the
//! chunks: a tile begins with what the chunk before has left. Threads share the outputs, never a sum. So no result depends
//! on the number of threads, or on where chunks are cut.

mod arguments;
mod narrow;
mod products;
mod sums;

use super::schedule::{Share, over_shares};
use crate::cell::{C, Operand, PEEPHOLES, Pass, Records, TapeRecords};
use crate::matrix::{GridMut, LinesRef, cuts, sweep};
use crate::simd::{LINE, dispatch};
pub(crate) use arguments::{Inputs, Kept, Targets, target};
use narrow::{NarrowGradient, is_narrow};
pub(crate) use products::Packed;
use products::{Gradient, InputProduct, WeightProduct};
use sums::{Factor, SumOverPlaces};

/// What the walk back has left of a chunk of steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// (step, rank) of the places.
    pub(crate) places: &'a [(usize, usize)],
    /// dG: the gate gradients of the places, a row each.
    pub(crate) grads: LinesRef<'a>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: TapeRecords<'a>,
}

/// Adds what a chunk contributes.
pub(crate) fn accumulate_chunk(
    inputs: &Inputs<'_>,
    chunk: &Chunk<'_>,
    packed: &mut Packed,
    targets: &mut Targets<'_>,
    threads: usize,
) {
    packed.pack(inputs, chunk, threads);
    let contribution = Contribution { inputs, chunk, packed, to: targets };
    over_shares(threads, &|share| {
        // SAFETY: each share is done once.
        unsafe {
            contribution.input(share);
            contribution.weights(share);
            contribution.peepholes_and_gains(share);
            contribution.biases(share);
        }
    });
    targets.add = true;
}

/// What a chunk contributes, equation by equation, each in shares of its outputs.
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
        let Pass { weights, rows, .. } = self.inputs.pass;
        let Chunk { places, grads, .. } = *self.chunk;
        let (token, weights) = (weights.token, &self.inputs.transposed.input[..]);
        let of_share = share.part(places.len());
        for (gates, blocks) in cuts(weights, of_share.len(), 0..weights[0].blocks()) {
            let add = add || !gates.are_first();
            let product = InputProduct { grads, weights, gates, places, rows };
            // SAFETY: the places are those of this share, and no two are the same row of the target.
            unsafe { sweep(token, &Gradient { product, to, add }, of_share.clone(), blocks) };
        }
    }

    /// `dW += dG^T X` and `dR += dG^T Y`, a share of the units; `dW_hr += dh^T M`, a share of the outputs.
    ///
    /// # Safety
    /// - Nobody else does this share.
    unsafe fn weights(&self, share: Share) {
        let (weights, packed, to) = (self.inputs.pass.weights, self.packed, self.to);
        let (token, traits) = (weights.token, weights.variant.traits());
        let (grads, places) = (self.chunk.grads, 0..self.chunk.places.len());
        let of = |(plane, gate), units, packed| {
            let places = places.clone();
            WeightProduct { grads, plane, gate, units, packed, places }
        };
        for (gate, &(plane, operand)) in traits.recurrent.iter().enumerate() {
            let x = &packed.input;
            let y = match operand {
                Operand::Hidden => &packed.hidden,
                Operand::Tape(_) => &packed.second,
            };
            let input =
                Gradient { product: of((gate, gate), weights.units(), x), to: to.weight_ih, add: to.add };
            let hidden =
                Gradient { product: of((plane, gate), weights.units(), y), to: to.weight_hh, add: to.add };
            let units = share.part(weights.units());
            // SAFETY: the gradients of these units of each gate are those of this share, however it is cut.
            unsafe {
                if is_narrow(x) {
                    let lines = share.part(weights.units().div_ceil(LINE));
                    dispatch(token, NarrowGradient::new(input, lines));
                } else {
                    input.sweep(token, units.clone());
                }
                hidden.sweep(token, units);
            }
        }
        if let Some((plane, _)) = traits.projection {
            let product = of((plane, 0), weights.outputs(), &packed.second);
            let projection = Gradient { product, to: to.weight_hr, add: true };
            // SAFETY: the outputs are those of this share.
            unsafe { projection.sweep(token, share.part(weights.outputs())) };
        }
    }

    /// `dp += sum of dG * c`, a share of the peepholes, and `da += sum of dG * N` of the gains. (The
    /// shift of the normalised cell state is beside its gain, and so is done here.)
    ///
    /// # Safety
    /// - Nobody else does this share.
    unsafe fn peepholes_and_gains(&self, share: Share) {
        let (pass, chunk, to) = (&self.inputs.pass, self.chunk, self.to);
        let traits = pass.weights.variant.traits();
        let tape = |plane| Some(Factor::Tape { tape: chunk.tape, plane });
        // SAFETY: the vectors are those of this share.
        unsafe {
            for n in share.part(to.peephole.grid.slots()) {
                let (plane, new) = PEEPHOLES[n];
                // The cell state before the step or after it.
                let shift = usize::from(pass.reverse != new);
                let c = if new { pass.new_cell_state() } else { C };
                let factor = Factor::State { states: chunk.states, shift, plane: c };
                self.sum(plane, Some(factor), to.peephole, n);
            }
            let Some(norm) = &traits.norm else { return };
            for gate in share.part(traits.gates) {
                let (ih, hh) = norm.gates[gate];
                self.sum(ih, tape(gate), to.norm_ih, gate);
                self.sum(hh, tape(traits.gates + gate), to.norm_hh, gate);
            }
            let Some((plane, normalised)) = norm.output else { return };
            for n in share.part(to.norm_c.grid.slots()) {
                self.sum(plane, if n == 0 { tape(normalised) } else { None }, to.norm_c, n);
            }
        }
    }

    /// `db += sum of dG`, a share of the gates.
    ///
    /// # Safety
    /// - Nobody else does this share.
    unsafe fn biases(&self, share: Share) {
        let traits = self.inputs.pass.weights.variant.traits();
        for gate in share.part(traits.gates) {
            let plain = (gate, traits.recurrent[gate].0);
            let (ih, hh) = traits.norm.as_ref().map_or(plain, |norm| norm.gates[gate]);
            let here = |to: GridMut<'_>| gate < to.grid.slots();
            let (input, hidden) = (self.to.bias_ih, self.to.bias_hh);
            // SAFETY: the gate is of this share.
            unsafe {
                if ih == hh && here(input) && here(hidden) {
                    // The same sum twice, of which reading dG is the most. (Apart it was 0.3 % of a training step of 32 rows
                    // and 256 units.)
                    self.sums(ih, None, [(input, gate), (hidden, gate)]);
                } else {
                    for (plane, to) in [(ih, input), (hh, hidden)] {
                        if here(to) {
                            self.sum(plane, None, to, gate);
                        }
                    }
                }
            }
        }
    }

    /// Adds the sum of a plane of dG, times a factor where there is one, to a vector of a target.
    ///
    /// # Safety
    /// - The vector exists, and nobody else works on it.
    unsafe fn sum(&self, plane: usize, factor: Option<Factor<'a>>, to: GridMut<'a>, vector: usize) {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.sums(plane, factor, [(to, vector)]) }
    }

    /// The same to a vector of each of N targets.
    ///
    /// # Safety
    /// - The vectors exist, no two are the same, and nobody else works on them.
    unsafe fn sums<const N: usize>(
        &self,
        plane: usize,
        factor: Option<Factor<'a>>,
        to: [(GridMut<'a>, usize); N],
    ) {
        // SAFETY: the caller's promise, passed on.
        let to = to.map(|(to, vector)| unsafe { to.columns(vector, 0, 0, 0..to.grid.width()) });
        let (chunk, token) = (self.chunk, self.inputs.pass.weights.token);
        dispatch(token, SumOverPlaces { chunk, plane, factor, to });
    }
}
