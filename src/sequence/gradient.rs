//! The gradients that are products over many steps at once.
//!
//! With dG the gate gradients of K = (step, row) places of a chunk:
//!
//! ```text
//! dW  += dG^T X          (gates*H, I) = (gates*H, K) (K, I)
//! dR  += dG^T Y          (gates*H, H) = (gates*H, K) (K, H)     Y: what R was multiplied with
//! db  += sum of dG over K
//! dx   = dG W            (K, I)       = (K, gates*H) (gates*H, I)
//! ```
//!
//! dW and dR have two new operands, and K is long: `matrixmultiply`. dx has the weights as one operand,
//! which are packed already: the panel product, whose rows also may lie anywhere in the caller's array.
//! Threads share the outputs, never a sum, so that no result depends on their number.

use super::backward::Inputs;
use super::schedule::{over_items, over_range};
use crate::cell::{Operand, TransposedWeights};
use crate::matrix::{GridMut, GridRef, MatrixMut, MatrixRef, Part, Tile, accumulate, gemm, sweep};
use crate::simd::Isa;
use std::ops::Range;

/// Where the gradients of one direction of one layer are added.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    /// (gates * H, I)
    pub(crate) weight_ih: &'a mut [f32],
    /// (gates * H, H)
    pub(crate) weight_hh: &'a mut [f32],
    /// (gates * H), or empty where the layer has none.
    pub(crate) bias_ih: &'a mut [f32],
    /// (gates * H), or empty where the layer has none.
    pub(crate) bias_hh: &'a mut [f32],
    /// The input gradient, and whether to add to what is there.
    pub(crate) input: Option<(GridMut<'a>, bool)>,
}

/// Adds what a chunk contributes. `grads` holds its gate gradients from place B on, one place for each of
/// `places`, the (step, row) of the caller's arrays.
pub(crate) fn accumulate_chunk(
    inputs: &Inputs<'_>,
    grads: GridRef<'_>,
    places: &[(usize, usize)],
    steps: Range<usize>,
    gathered: &mut [f32],
    targets: &mut Targets<'_>,
    threads: usize,
) {
    let traits = inputs.weights.kind.traits();
    let (hidden, batch) = (inputs.weights.hidden.units(), inputs.rows.order.len());
    let input_size = inputs.weights.input.units();
    if let Some((to, add)) = targets.input {
        let gates = traits.gates;
        let work = InputGradient { weights: inputs.weights, gates, grads, first: batch, places, to, add };
        over_range(0..places.len(), threads, &|range| {
            // SAFETY: the places are those of this thread alone, and no two are the same row of the target.
            unsafe { sweep(inputs.weights.token, &work, range, 0..inputs.weights.input.blocks()) }
        });
    }

    let chunk = Chunk { grads, first: batch, count: places.len(), hidden, threads };
    // Every row of the batch runs in every step of the chunk, in the caller's order.
    let full =
        places.len() == steps.len() * batch && inputs.rows.order.iter().enumerate().all(|(k, &b)| k == b);

    let planes: Vec<usize> = (0..traits.gates).collect();
    let rows = if full && inputs.input.grid.is_slot_major() {
        MatrixRef {
            data: inputs.input.from(steps.start, 0, 0),
            rows: places.len(),
            cols: input_size,
            row_stride: inputs.input.grid.row_stride(),
            col_stride: 1,
        }
    } else {
        for (to, &(time, row)) in gathered.chunks_exact_mut(input_size).zip(places) {
            to.copy_from_slice(inputs.input.plane(time, row, 0));
        }
        MatrixRef::new(&gathered[..places.len() * input_size], places.len(), input_size)
    };
    chunk.add_weights(&planes, rows, targets.weight_ih);
    chunk.add_bias(&planes, targets.bias_ih);

    // Gates whose recurrent weights met the same operand go together.
    let recurrent = traits.recurrent;
    let mut gate = 0;
    while gate < recurrent.len() {
        let operand = recurrent[gate].1;
        let same = recurrent[gate..].iter().take_while(|entry| entry.1 == operand).count();
        let planes: Vec<usize> = recurrent[gate..gate + same].iter().map(|entry| entry.0).collect();
        let (source, shift, plane) = match operand {
            // The state before step t: slot t forward in time, slot t + 1 backward.
            Operand::Hidden => (inputs.states, usize::from(inputs.reverse), 0),
            Operand::Tape(plane) => (inputs.tape, 0, plane),
        };
        let rows = if full {
            MatrixRef {
                data: source.from(steps.start + shift, 0, plane),
                rows: places.len(),
                cols: hidden,
                row_stride: source.grid.row_stride(),
                col_stride: 1,
            }
        } else {
            let mut to = gathered.chunks_exact_mut(hidden);
            for time in steps.clone() {
                for (rank, to) in (0..inputs.rows.active(time)).zip(&mut to) {
                    to.copy_from_slice(&source.plane(time + shift, rank, plane)[..hidden]);
                }
            }
            MatrixRef::new(&gathered[..places.len() * hidden], places.len(), hidden)
        };
        let to = &mut targets.weight_hh[gate * hidden * hidden..(gate + same) * hidden * hidden];
        chunk.add_weights(&planes, rows, to);
        gate += same;
    }
    let planes: Vec<usize> = recurrent.iter().map(|entry| entry.0).collect();
    chunk.add_bias(&planes, targets.bias_hh);
}

/// The gate gradients of a chunk.
struct Chunk<'a> {
    grads: GridRef<'a>,
    first: usize,
    count: usize,
    hidden: usize,
    threads: usize,
}

/// One product into some rows of a weight gradient.
struct Product<'a> {
    a: MatrixRef<'a>,
    b: MatrixRef<'a>,
    c: MatrixMut<'a>,
}

impl Chunk<'_> {
    /// Adds `dG^T rows` to the blocks of `to`, one block of `hidden` rows for each of `planes`.
    fn add_weights(&self, planes: &[usize], rows: MatrixRef<'_>, to: &mut [f32]) {
        let stride = self.grads.grid.row_stride();
        // Gates side by side without padding are one tall operand.
        let seamless = self.grads.grid.width() == self.hidden && planes.windows(2).all(|p| p[1] == p[0] + 1);
        let (operands, height) =
            if seamless { (&planes[..1], planes.len() * self.hidden) } else { (planes, self.hidden) };
        let mut products = Vec::new();
        for (&plane, to) in operands.iter().zip(to.chunks_mut((height * rows.cols).max(1))) {
            // Whole tiles of `matrixmultiply`, 16 rows, to each thread.
            let share = height.div_ceil(self.threads).next_multiple_of(16);
            for (n, to) in to.chunks_mut(share * rows.cols).enumerate() {
                let height = to.len() / rows.cols;
                let a = MatrixRef {
                    data: &self.grads.from(0, self.first, plane)[n * share..],
                    rows: height,
                    cols: self.count,
                    row_stride: 1,
                    col_stride: stride,
                };
                products.push(Product { a, b: rows, c: MatrixMut::new(to, height, rows.cols) });
            }
        }
        over_items(&mut products, self.threads, &|product| {
            let c = MatrixMut { data: &mut *product.c.data, ..product.c };
            gemm(1.0, product.a, product.b, 1.0, c);
        });
    }

    /// Adds the sums of the gradients over all places to the blocks of `to`, where it has any.
    fn add_bias(&self, planes: &[usize], to: &mut [f32]) {
        for (&plane, to) in planes.iter().zip(to.chunks_exact_mut(self.hidden)) {
            for place in self.first..self.first + self.count {
                for (sum, gradient) in to.iter_mut().zip(self.grads.plane(0, place, plane)) {
                    *sum += gradient;
                }
            }
        }
    }
}

/// `dx = dG W` at some places.
struct InputGradient<'a> {
    weights: &'a TransposedWeights,
    gates: usize,
    grads: GridRef<'a>,
    first: usize,
    places: &'a [(usize, usize)],
    to: GridMut<'a>,
    add: bool,
}

impl Tile for InputGradient<'_> {
    const ACCUMULATORS: usize = 1;

    #[inline(always)]
    unsafe fn tile<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        place: usize,
        block: usize,
        part: Part,
    ) {
        let size = self.weights.hidden.units();
        let width = self.weights.input.units();
        let mut sums = [[[isa.zero(); U]; 1]; R];
        if self.add {
            for r in 0..R {
                for u in 0..U {
                    let start = (block + u) * I::LANES;
                    let columns = start..(start + I::LANES).min(width);
                    let (time, row) = self.places[place + r];
                    // SAFETY: the place exists, and by the caller's promise is ours.
                    sums[r][0][u] = isa.load_partial(unsafe { self.to.columns(time, row, 0, columns) });
                }
            }
        }
        for gate in 0..self.gates {
            let mut rows: [&[f32]; R] = [&[]; R];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = &self.grads.plane(0, self.first + place + r, gate)[..size];
            }
            let mut blocks: [&[f32]; U] = [&[]; U];
            for (u, panel) in blocks.iter_mut().enumerate() {
                *panel = self.weights.input.block(block + u, gate * size, (gate + 1) * size);
            }
            let ahead = part.split(gate, self.gates).take(self.weights.input.span(block + U, U));
            accumulate(isa, &mut sums, rows, blocks, ahead);
        }
        for r in 0..R {
            for u in 0..U {
                let start = (block + u) * I::LANES;
                let columns = start..(start + I::LANES).min(width);
                let (time, row) = self.places[place + r];
                // SAFETY: the place exists, and by the caller's promise is ours.
                isa.store_partial(unsafe { self.to.columns(time, row, 0, columns) }, sums[r][0][u]);
            }
        }
    }
}
