//! The gradients that are products over many steps at once.
//!
//! With dG the gate gradients of K = (step, row) places of a chunk:
//!
//! ```text
//! dW  += dG^T X          (gates*H, I) = (gates*H, K) (K, I)
//! dR  += dG^T Y          (gates*H, P) = (gates*H, K) (K, P)     Y: what R was multiplied with
//! dW_hr += dh^T M        (P, H)       = (P, K) (K, H)           of a projection
//! db  += sum of dG over K
//! dP  += sum of dG * c over K                                    peepholes; gains, with what is normalised for c
//! dx   = dG W            (K, I)       = (K, gates*H) (gates*H, I)
//! ```
//!
//! All are panel products. dx has the packed weights as its right operand. For dW and dR the chunk's rows of
//! X or Y are packed as a panel, which gathers them from wherever they lie; dG is read as it lies, neighbouring
//! columns of it being the rows of a tile. Where an input is narrower than a vector, its dW is summed otherwise (`narrow.rs`).
//!
//! `matrixmultiply` in the place of the last two was level with this within the noise of the machine it was
//! tried on (training steps of B32 T100 I256 H256 and B32 T64 I1 H128, two cores of a Xeon with AVX-512).
//! What decides is that it packs both operands and allocates on each call, computes sixteen columns where
//! the input has one, picks a level of its own, and sums each chunk by itself.
//!
//! A weight gradient is one chain over all places in the order in which the walk back comes by, whatever the
//! chunks: a tile begins with what the chunk before has left. Threads share the outputs, never a sum. So no result depends
//! on the number of threads, or on where chunks are cut.

use super::narrow::{NarrowGradient, is_narrow};
use super::schedule::over_range;
use crate::cell::{
    C, Checkpoints, Masks, Operand, PEEPHOLES, Records, Rows, TransposedWeights, Weights, Zoneout, multiplied,
};
use crate::error::Error;
use crate::matrix::{
    Blocks, Grid, GridMut, GridRef, Panel, Part, Room, Strided, Tile, accumulate, put, sweep,
};
use crate::simd::{Isa, Kernel, LINE, dispatch};

/// What a backward pass reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) weights: &'a TransposedWeights,
    pub(crate) rows: &'a Rows,
    pub(crate) reverse: bool,
    /// The sequence that the forward pass read.
    pub(crate) input: GridRef<'a>,
    /// The gradient of the output, and in which of its planes.
    pub(crate) upstream: Option<(GridRef<'a>, usize)>,
    /// The recurrent dropout of the forward pass, where there was any.
    pub(crate) masks: Option<Masks<'a>>,
    /// The zoneout of the forward pass, where there was any.
    pub(crate) zoneout: Option<Zoneout>,
    pub(crate) kept: Kept<'a>,
}

impl Inputs<'_> {
    /// Planes of a state record.
    pub(super) fn state_planes(&self) -> usize {
        let zoneout = Zoneout::planes(self.zoneout);
        self.weights.variant.traits().state + zoneout + usize::from(self.masks.is_some())
    }
}

/// What the forward pass has kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept<'a> {
    /// All states, and the tape of all steps.
    All { states: Records<'a>, tape: Records<'a> },
    /// The states every some steps, and the weights to compute the rest again.
    Checkpoints { checkpoints: Checkpoints<'a>, weights: &'a Weights },
}

/// Where the gradients of one direction of one layer are added.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    /// Whether there is something in `weight_ih` and `weight_hh` to add to; if not, the first chunk replaces it. (The
    /// others are small, and are cleared beforehand.)
    pub(crate) add: bool,
    /// (gates * H, I)
    pub(crate) weight_ih: &'a mut [f32],
    /// (gates * H, P)
    pub(crate) weight_hh: &'a mut [f32],
    /// (gates * H), or empty where the layer has none.
    pub(crate) bias_ih: &'a mut [f32],
    /// (gates * H), or empty where the layer has none.
    pub(crate) bias_hh: &'a mut [f32],
    /// (P, H), or empty where the layer has none.
    pub(crate) weight_hr: &'a mut [f32],
    /// (3, H), or empty where the layer has none.
    pub(crate) peephole: &'a mut [f32],
    /// (gates * H), or empty where the layer has none.
    pub(crate) norm_ih: &'a mut [f32],
    /// (gates * H), or empty where the layer has none.
    pub(crate) norm_hh: &'a mut [f32],
    /// (2, H), or empty where the layer has none.
    pub(crate) norm_c: &'a mut [f32],
    /// The input gradient, and whether to add to what is there.
    pub(crate) input: Option<(GridMut<'a>, bool)>,
}

/// The rows that the gate gradients of a chunk are multiplied with, packed.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    input: Panel,
    hidden: Panel,
    /// What the weights of the second phase were multiplied with.
    second: Panel,
}

impl Packed {
    /// Makes room for a chunk of so many places.
    pub(crate) fn reserve(&mut self, weights: &TransposedWeights, places: usize) -> Result<(), Error> {
        let (lanes, hidden) = (weights.input.lanes(), weights.hidden.units());
        self.input.reserve(lanes, places, weights.input.units())?;
        self.hidden.reserve(lanes, places, hidden)?;
        self.second.reserve(lanes, places, weights.second.units())
    }
}

/// Adds what a chunk contributes. `grads` holds its gate gradients from place B on, one place for each of
/// `places`, the (step, rank) of the rows.
pub(crate) fn accumulate_chunk(
    inputs: &Inputs<'_>,
    (states, tape): (Records<'_>, Records<'_>),
    grads: GridRef<'_>,
    places: &[(usize, usize)],
    packed: &mut Packed,
    targets: &mut Targets<'_>,
    threads: usize,
) -> Result<(), Error> {
    let weights = inputs.weights;
    let (token, traits) = (weights.token, weights.variant.traits());
    let (lanes, hidden, outputs) = (weights.input.lanes(), weights.units, weights.hidden.units());
    let input_size = weights.input.units();
    let (first, count, ranks) = (inputs.rows.order.len(), places.len(), inputs.rows);

    let rows =
        places.iter().map(|&(step, rank)| inputs.input.plane(ranks.time(step, rank), ranks.order[rank], 0));
    packed.input.pack_rows(lanes, input_size, rows);
    // The state before step t: slot t forward in time, slot t + 1 backward.
    let shift = usize::from(inputs.reverse);
    let plane = multiplied(inputs.masks);
    // SAFETY: here and below, the records exist, and nobody writes states and tape on the way back.
    let rows = places.iter().map(|&(time, rank)| unsafe { states.plane(time + shift, rank, plane) });
    packed.hidden.pack_rows(lanes, outputs, rows);
    let second = match (traits.projection, traits.recurrent.last()) {
        (Some((_, plane)), _) | (None, Some(&(_, Operand::Tape(plane)))) => Some(plane),
        _ => None,
    };
    if let Some(plane) = second {
        // SAFETY: as above.
        let rows = places.iter().map(|&(time, rank)| unsafe { tape.plane(time, rank, plane) });
        packed.second.pack_rows(lanes, hidden, rows);
    }
    let packed = &*packed;

    let weight_ih = GridMut::new(Grid::slot_major(traits.gates, hidden, 1, input_size)?, targets.weight_ih);
    let weight_hh = GridMut::new(Grid::slot_major(traits.gates, hidden, 1, outputs)?, targets.weight_hh);
    let weight_hr_rows = if targets.weight_hr.is_empty() { 0 } else { outputs };
    let weight_hr = GridMut::new(Grid::slot_major(1, weight_hr_rows, 1, hidden)?, targets.weight_hr);
    let gates_of = |bias: &[f32]| bias.len() / hidden;
    let bias_ih_grid = Grid::slot_major(gates_of(targets.bias_ih), 1, 1, hidden)?;
    let bias_hh_grid = Grid::slot_major(gates_of(targets.bias_hh), 1, 1, hidden)?;
    let bias_ih = GridMut::new(bias_ih_grid, targets.bias_ih);
    let bias_hh = GridMut::new(bias_hh_grid, targets.bias_hh);
    let peephole_grid = Grid::slot_major(gates_of(targets.peephole), 1, 1, hidden)?;
    let peephole = GridMut::new(peephole_grid, targets.peephole);
    let norm_grid = Grid::slot_major(gates_of(targets.norm_ih), 1, 1, hidden)?;
    let norms = [GridMut::new(norm_grid, targets.norm_ih), GridMut::new(norm_grid, targets.norm_hh)];
    let norm_c_grid = Grid::slot_major(gates_of(targets.norm_c), 1, 1, hidden)?;
    let norm_c = GridMut::new(norm_c_grid, targets.norm_c);
    let input_gradient = targets.input.map(|(to, add)| InputGradient {
        weights,
        gates: traits.gates,
        grads,
        first,
        places,
        rows: ranks,
        to,
        add,
    });

    let add = targets.add;
    targets.add = true;
    over_range(0..threads, threads, &|shares| {
        for share in shares {
            let part = |len: usize| len * share / threads..len * (share + 1) / threads;
            // SAFETY: the places, units and gates of a share are those of this thread alone; no two places
            // are the same row of the target.
            unsafe {
                if let Some(work) = &input_gradient {
                    sweep(token, work, part(count), 0..weights.input.blocks());
                }
                for (gate, &(plane, operand)) in traits.recurrent.iter().enumerate() {
                    let packed_hidden = match operand {
                        Operand::Hidden => &packed.hidden,
                        Operand::Tape(_) => &packed.second,
                    };
                    let input = WeightGradient {
                        packed: &packed.input,
                        to: weight_ih,
                        plane: gate,
                        grads,
                        first,
                        count,
                        gate,
                        add,
                    };
                    if is_narrow(input.packed) {
                        let WeightGradient { packed, to, .. } = input;
                        let lines = part(hidden.div_ceil(LINE));
                        dispatch(token, NarrowGradient { grads, first, count, gate, packed, lines, to, add });
                    } else {
                        sweep(token, &input, part(hidden), 0..input.packed.blocks());
                    }
                    let recurrent = WeightGradient {
                        packed: packed_hidden,
                        to: weight_hh,
                        plane,
                        grads,
                        first,
                        count,
                        gate,
                        add,
                    };
                    sweep(token, &recurrent, part(hidden), 0..packed_hidden.blocks());
                }
                if let Some((plane, _)) = traits.projection {
                    let packed = &packed.second;
                    let work = WeightGradient {
                        grads,
                        first,
                        count,
                        plane,
                        packed,
                        to: weight_hr,
                        gate: 0,
                        add: true,
                    };
                    sweep(token, &work, part(outputs), 0..packed.blocks());
                }
                for n in part(peephole_grid.slots()) {
                    let (plane, new) = PEEPHOLES[n];
                    // The cell state before the step or after it.
                    let shift = usize::from(inputs.reverse != new);
                    let seen = inputs.zoneout.map_or(C, |zoneout| zoneout.new_cell_state);
                    let operand = if new { seen } else { C };
                    let to = peephole.columns(n, 0, 0, 0..hidden);
                    let records = states;
                    dispatch(
                        token,
                        SumOfProducts { grads, first, places, plane, records, shift, operand, to },
                    );
                }
                if let Some(norm) = &traits.norm {
                    let shift = 0;
                    for gate in part(traits.gates) {
                        let (ih, hh) = norm.gates[gate];
                        for (plane, operand, to) in
                            [(ih, gate, norms[0]), (hh, traits.gates + gate, norms[1])]
                        {
                            let to = to.columns(gate, 0, 0, 0..hidden);
                            let records = tape;
                            dispatch(
                                token,
                                SumOfProducts { grads, first, places, plane, records, shift, operand, to },
                            );
                        }
                    }
                    for n in part(norm_c_grid.slots()) {
                        let Some((plane, operand)) = norm.output else { continue };
                        let to = norm_c.columns(n, 0, 0, 0..hidden);
                        let records = tape;
                        if n == 0 {
                            dispatch(
                                token,
                                SumOfProducts { grads, first, places, plane, records, shift, operand, to },
                            );
                        } else {
                            dispatch(token, SumOverPlaces { grads, first, count, plane, to });
                        }
                    }
                }
                for gate in part(traits.gates) {
                    let plain = (gate, traits.recurrent[gate].0);
                    let (ih, hh) = traits.norm.as_ref().map_or(plain, |norm| norm.gates[gate]);
                    for (plane, bias) in [(ih, bias_ih), (hh, bias_hh)] {
                        if gate < bias.grid.slots() {
                            let to = bias.columns(gate, 0, 0, 0..hidden);
                            dispatch(token, SumOverPlaces { grads, first, count, plane, to });
                        }
                    }
                }
            }
        }
    });
    Ok(())
}

/// `dW += dG^T X` of one gate: rows are hidden units, blocks the columns of X.
struct WeightGradient<'a> {
    grads: GridRef<'a>,
    first: usize,
    count: usize,
    plane: usize,
    packed: &'a Panel,
    to: GridMut<'a>,
    gate: usize,
    add: bool,
}

impl Tile for WeightGradient<'_> {
    const ACCUMULATORS: usize = 1;

    #[inline(always)]
    unsafe fn products<'r, I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        unit: usize,
        block: usize,
        part: Part,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        let columns = &self.grads.from(0, self.first, self.plane)[unit..];
        let columns = Strided::columns(columns, self.grads.grid.row_stride(), self.count, R);
        let blocks = self.packed.blocks_from::<U>(block, 0, self.count);
        let mut sums = [[[isa.zero(); 1]; U]; R];
        if self.add {
            let sums = sums.as_flattened_mut();
            for v in 0..sums.len() {
                let (row, block) = ((self.gate, unit + v / U), block + v % U);
                // SAFETY: the unit exists, and by the caller's promise is ours.
                sums[v][0] = isa.load_partial(unsafe { target::<I>(&self.to, row, block) });
            }
        }
        accumulate(isa, &mut sums, columns, blocks, part.take(self.packed.span(block + U, U)));
        put(sums, room)
    }

    #[inline(always)]
    unsafe fn finish<I: Isa>(
        &self,
        isa: I,
        unit: usize,
        block: usize,
        blocks: Blocks,
        sums: &mut [I::Vector],
    ) {
        for v in 0..sums.len() {
            let (row, block) = ((self.gate, unit + blocks.row(v)), block + blocks.column(v));
            // SAFETY: the unit exists, and by the caller's promise is ours.
            isa.store_partial(unsafe { target::<I>(&self.to, row, block) }, sums[v]);
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
    grads: GridRef<'a>,
    first: usize,
    count: usize,
    plane: usize,
    to: &'a mut [f32],
}

impl Kernel for SumOverPlaces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (block, to) in self.to.chunks_mut(I::LANES).enumerate() {
            let mut sum = isa.load_partial(to);
            for place in self.first..self.first + self.count {
                sum = isa.add(sum, isa.load(&self.grads.plane(0, place, self.plane)[block * I::LANES..]));
            }
            isa.store_partial(to, sum);
        }
    }
}

/// `dP += sum of dG * c` of one gate, with any plane of states or tape for c.
struct SumOfProducts<'a> {
    grads: GridRef<'a>,
    first: usize,
    places: &'a [(usize, usize)],
    plane: usize,
    records: Records<'a>,
    shift: usize,
    operand: usize,
    to: &'a mut [f32],
}

impl Kernel for SumOfProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (block, to) in self.to.chunks_mut(I::LANES).enumerate() {
            let start = block * I::LANES;
            let mut sum = isa.load_partial(to);
            for (place, &(time, rank)) in self.places.iter().enumerate() {
                let gradient = isa.load(&self.grads.plane(0, self.first + place, self.plane)[start..]);
                // SAFETY: the record exists, and nobody writes states and tape on the way back.
                let c = unsafe { self.records.plane(time + self.shift, rank, self.operand) };
                let c = isa.load(&c[start..]);
                sum = isa.mul_add(gradient, c, sum);
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
    rows: &'a Rows,
    to: GridMut<'a>,
    add: bool,
}

impl InputGradient<'_> {
    /// The step of the sequence and the row of a place.
    #[inline(always)]
    fn row(&self, place: usize) -> (usize, usize) {
        let (step, rank) = self.places[place];
        (self.rows.time(step, rank), self.rows.order[rank])
    }
}

impl Tile for InputGradient<'_> {
    const ACCUMULATORS: usize = 1;

    #[inline(always)]
    unsafe fn products<'r, I: Isa, const R: usize, const U: usize>(
        &self,
        isa: I,
        place: usize,
        block: usize,
        part: Part,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        let size = self.weights.units;
        let mut sums = [[[isa.zero(); 1]; U]; R];
        if self.add {
            let sums = sums.as_flattened_mut();
            for v in 0..sums.len() {
                let (row, block) = (self.row(place + v / U), block + v % U);
                // SAFETY: the place exists, and by the caller's promise is ours.
                sums[v][0] = isa.load_partial(unsafe { target::<I>(&self.to, row, block) });
            }
        }
        for gate in 0..self.gates {
            let rows = self.grads.rows(self.first + place..self.first + place + R, gate, size);
            let blocks = self.weights.input.blocks_from::<U>(block, gate * size, (gate + 1) * size);
            let ahead = part.split(gate, self.gates).take(self.weights.input.span(block + U, U));
            accumulate(isa, &mut sums, rows, blocks, ahead);
        }
        put(sums, room)
    }

    #[inline(always)]
    unsafe fn finish<I: Isa>(
        &self,
        isa: I,
        place: usize,
        block: usize,
        blocks: Blocks,
        sums: &mut [I::Vector],
    ) {
        for v in 0..sums.len() {
            let (row, block) = (self.row(place + blocks.row(v)), block + blocks.column(v));
            // SAFETY: the place exists, and by the caller's promise is ours.
            isa.store_partial(unsafe { target::<I>(&self.to, row, block) }, sums[v]);
        }
    }
}
