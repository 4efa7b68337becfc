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
//! All are panel products. dx has the packed weights as its right operand. For dW and dR the chunk's rows of
//! X or Y are packed as a panel, which gathers them from wherever they lie; dG is read as it lies, neighbouring
//! columns of it being the rows of a tile. (`matrixmultiply` would pack both operands on each call, and
//! compute sixteen columns where the input has one.)
//!
//! A weight gradient is one chain from the first place of the first chunk to the last of the last: a tile
//! begins with what the chunk before has left. Threads share the outputs, never a sum. So no result depends
//! on the number of threads, or on where chunks are cut.

use super::backward::Inputs;
use super::schedule::over_range;
use crate::cell::{Operand, TransposedWeights};
use crate::matrix::{Columns, Grid, GridMut, GridRef, Panel, Part, Tile, accumulate, sweep};
use crate::simd::{Isa, Kernel, Token, dispatch};

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
/// `places`, the (step, rank) of the rows.
pub(crate) fn accumulate_chunk(
    inputs: &Inputs<'_>,
    grads: GridRef<'_>,
    places: &[(usize, usize)],
    packed: &mut Panel,
    targets: &mut Targets<'_>,
    threads: usize,
) {
    let weights = inputs.weights;
    let traits = weights.kind.traits();
    let (hidden, input_size) = (weights.hidden.units(), weights.input.units());
    let (first, order) = (inputs.rows.order.len(), &inputs.rows.order);
    if let Some((to, add)) = targets.input {
        let work = InputGradient { weights, gates: traits.gates, grads, first, places, order, to, add };
        over_range(0..places.len(), threads, &|range| {
            // SAFETY: the places are those of this thread alone, and no two are the same row of the target.
            unsafe { sweep(weights.token, &work, range, 0..weights.input.blocks()) }
        });
    }

    let chunk = Chunk { token: weights.token, grads, first, count: places.len(), hidden, threads };
    let rows = places.iter().map(|&(time, rank)| inputs.input.plane(time, order[rank], 0));
    packed.pack_rows(weights.input.lanes(), input_size, rows);
    for gate in 0..traits.gates {
        chunk.add_weights(gate, packed, block_mut(targets.weight_ih, gate, hidden * input_size));
        chunk.add_bias(gate, block_mut(targets.bias_ih, gate, hidden));
    }
    // The gates of one operand share its panel.
    let mut last = None;
    for (gate, &(plane, operand)) in traits.recurrent.iter().enumerate() {
        if last.replace(operand) != Some(operand) {
            let (source, shift, plane) = match operand {
                // The state before step t: slot t forward in time, slot t + 1 backward.
                Operand::Hidden => (inputs.states, usize::from(inputs.reverse), 0),
                Operand::Tape(plane) => (inputs.tape, 0, plane),
            };
            let rows = places.iter().map(|&(time, rank)| source.plane(time + shift, rank, plane));
            packed.pack_rows(weights.input.lanes(), hidden, rows);
        }
        chunk.add_weights(plane, packed, block_mut(targets.weight_hh, gate, hidden * hidden));
        chunk.add_bias(plane, block_mut(targets.bias_hh, gate, hidden));
    }
}

/// Block `index` of blocks of `size`, empty where there are none.
fn block_mut(all: &mut [f32], index: usize, size: usize) -> &mut [f32] {
    all.chunks_mut(size).nth(index).unwrap_or_default()
}

/// The gate gradients of a chunk.
struct Chunk<'a> {
    token: Token,
    grads: GridRef<'a>,
    first: usize,
    count: usize,
    hidden: usize,
    threads: usize,
}

impl Chunk<'_> {
    /// Adds `dG^T X` of one gate to `to`, (H, units of X).
    fn add_weights(&self, plane: usize, packed: &Panel, to: &mut [f32]) {
        let Ok(grid) = Grid::slot_major(1, self.hidden, 1, packed.units()) else { return };
        let work = WeightGradient { chunk: self, plane, packed, to: GridMut::new(grid, to) };
        over_range(0..self.hidden, self.threads, &|range| {
            // SAFETY: the rows of the target are those of this thread alone.
            unsafe { sweep(self.token, &work, range, 0..packed.blocks()) }
        });
    }

    /// Adds the sums of one gate's gradients over all places to `to`, (H) or empty.
    fn add_bias(&self, plane: usize, to: &mut [f32]) {
        if !to.is_empty() {
            dispatch(self.token, SumOverPlaces { chunk: self, plane, to });
        }
    }
}

/// `dW += dG^T X` of one gate: rows are hidden units, blocks the columns of X.
struct WeightGradient<'a> {
    chunk: &'a Chunk<'a>,
    plane: usize,
    packed: &'a Panel,
    to: GridMut<'a>,
}

impl Tile for WeightGradient<'_> {
    const ACCUMULATORS: usize = 1;

    #[inline(always)]
    unsafe fn tile<I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        unit: usize,
        block: usize,
        part: Part,
    ) {
        let Chunk { grads, first, count, .. } = *self.chunk;
        let columns = &grads.from(0, first, self.plane)[unit..];
        let columns = Columns::new(columns, grads.grid.row_stride(), count, R);
        let mut blocks: [&[f32]; U] = [&[]; U];
        for (u, panel) in blocks.iter_mut().enumerate() {
            *panel = self.packed.block(block + u, 0, count);
        }
        let mut sums = [[[isa.zero(); U]; 1]; R];
        for r in 0..R {
            for u in 0..U {
                // SAFETY: the unit exists, and by the caller's promise is ours.
                sums[r][0][u] = isa.load_partial(unsafe { target::<I>(&self.to, (0, unit + r), block + u) });
            }
        }
        accumulate(isa, &mut sums, columns, blocks, part.take(self.packed.span(block + U, U)));
        for r in 0..R {
            for u in 0..U {
                // SAFETY: the unit exists, and by the caller's promise is ours.
                let to = unsafe { target::<I>(&self.to, (0, unit + r), block + u) };
                isa.store_partial(to, sums[r][0][u]);
            }
        }
    }
}

/// The columns of one block in one row of a target, fewer in the last block.
///
/// # Safety
/// - The row exists, and nobody else reads or writes these columns while the slice lives.
#[inline(always)]
unsafe fn target<'a, I: Isa>(to: &GridMut<'a>, (slot, row): (usize, usize), block: usize) -> &'a mut [f32] {
    let start = block * I::LANES;
    let end = (start + I::LANES).min(to.grid.width());
    // SAFETY: the caller's promise, passed on.
    unsafe { to.columns(slot, row, 0, start..end) }
}

/// `db += sum of dG` of one gate.
struct SumOverPlaces<'a> {
    chunk: &'a Chunk<'a>,
    plane: usize,
    to: &'a mut [f32],
}

impl Kernel for SumOverPlaces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Chunk { grads, first, count, .. } = *self.chunk;
        for (block, to) in self.to.chunks_mut(I::LANES).enumerate() {
            let mut sum = isa.load_partial(to);
            for place in first..first + count {
                sum = isa.add(sum, isa.load(&grads.plane(0, place, self.plane)[block * I::LANES..]));
            }
            isa.store_partial(to, sum);
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
    order: &'a [usize],
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
        let mut sums = [[[isa.zero(); U]; 1]; R];
        if self.add {
            for r in 0..R {
                let (time, rank) = self.places[place + r];
                for u in 0..U {
                    // SAFETY: the place exists, and by the caller's promise is ours.
                    let to = unsafe { target::<I>(&self.to, (time, self.order[rank]), block + u) };
                    sums[r][0][u] = isa.load_partial(to);
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
            let (time, rank) = self.places[place + r];
            for u in 0..U {
                // SAFETY: the place exists, and by the caller's promise is ours.
                let to = unsafe { target::<I>(&self.to, (time, self.order[rank]), block + u) };
                isa.store_partial(to, sums[r][0][u]);
            }
        }
    }
}
