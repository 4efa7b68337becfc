//! Input products beforehand: W x of a chunk of steps as one product whose rows are the steps.
//!
//! With few rows, a step is bound by reading weights and not by multiplying: a step of one row uses each
//! weight once. The same holds where the weights do not fit into the nearer caches. But only the recurrent
//! product has to wait for the step before. So in these cases the input products of a chunk of steps are done
//! first, which reads the input weights once for the whole chunk, and the walk starts from these sums. The
//! chain of operations of each output is the same, and so are the bits.
//!
//! ```text
//! sums    [step of the chunk][rank][gate of W][unit]        b + W x
//! ```

use super::converted::{self, convert_inputs};
use super::pass::{Forward, Projected};
use super::ready_call::{NO_LIST, listed};
use super::threads::{Split, over_range};
use crate::cell::{Call, Multiply, Operand, Start, Weights};
use crate::memory::GridMut;
use crate::product::{
    Ends, MAX_ROWS as TILE_ROWS, Product, RowPointers, Segment, SumPointers, Table, Tile, Tiles, sweep,
};

/// Rows up to which a step is bound by reading weights, so that doing input products beforehand pays.
const FEW_ROWS: usize = 5;
/// (Bytes of weights, rows): with more bytes than these, doing input products beforehand pays for up to this
/// many rows. Such weights do not stay in a level-2 cache of 2 MiB beside the other data of a step: a step
/// reads them from farther away, and tiles of few rows wait for them. (`X207/input-first`)
const ROWS_OF_BYTES: [(usize, usize); 3] = [(1280 << 10, 10), (1920 << 10, 16), (4 << 20, 20)];
/// The most rows for which it pays.
pub(super) const MAX_ROWS: usize = ROWS_OF_BYTES[ROWS_OF_BYTES.len() - 1].1;
/// The inputs for each row from which on it pays for more rows than [`FEW_ROWS`]: for every sum that is
/// written and read, that many weights need not be read again. (`X207/input-first`)
const INPUTS_PER_ROW: usize = 8;
/// Bytes of sums that a chunk may have: a quarter of a level-2 cache of 2 MiB. The input weights
/// pass through that cache once per chunk, so longer is better as long as the recurrent weights stay.
const CHUNK_BYTES: usize = 1 << 19;

/// The steps of a chunk whose input products are done beforehand, or `None` where that does not pay.
pub(super) fn chunk_steps(weights: &Weights, batch: usize, steps: usize) -> Option<usize> {
    let record = weights.shape().input.len() * weights.units() * size_of::<f32>();
    let chunk = (CHUNK_BYTES / batch.max(1).saturating_mul(record)).clamp(1, steps.max(1));
    let all = weights.input_bytes() + weights.recurrent_bytes();
    let rows = match ROWS_OF_BYTES.iter().rev().find(|(least, _)| all > *least) {
        Some((_, rows)) => (weights.inputs() / INPUTS_PER_ROW).min(*rows).max(FEW_ROWS),
        None => FEW_ROWS,
    };
    (chunk > 1 && batch <= rows).then_some(chunk)
}

/// Computes all input products of these places. Threads share them as they share the steps, so that each
/// reads weights and sums of its own.
///
/// # Safety
/// - The input has the steps and rows of these places, and nobody writes them.
/// - `to` has a record of each place, and so has `converted` where rows are converted. Nobody else works on
///   these.
pub(super) unsafe fn multiply_inputs(
    forward: &Forward<'_>,
    (to, converted): (Projected<'_>, GridMut<'_>),
    places: &[(usize, usize)],
    split: Split,
) {
    if let Some(convert) = forward.pass.weights().convert_rows {
        let (Split::Rows(threads) | Split::Units { threads, .. }) = split;
        over_range(0..places.len(), threads, &|range| {
            // SAFETY: the caller's promise; the places are those of this thread alone.
            unsafe { convert_inputs(convert, forward, places, range, &converted) }
        });
    }
    for call in forward.pass.weights().shape().forward.iter().flat_map(|phase| phase.calls) {
        let Some(product) = call.products.iter().find(|product| product.rows == Operand::Input) else {
            continue;
        };
        let stride = stride(forward, to, places);
        let work = InputProducts { forward, to, converted, places, stride, call, product };
        let blocks = forward.pass.weights().panels[product.weights].blocks();
        match split {
            Split::Rows(threads) => over_range(0..places.len(), threads, &|places| {
                // SAFETY: the caller's promise; the places are those of this thread alone.
                unsafe { sweep(&mut { work }, places, 0..blocks) }
            }),
            Split::Units { threads, .. } => over_range(0..blocks, threads, &|blocks| {
                // SAFETY: the caller's promise; the blocks are those of this thread alone.
                unsafe { sweep(&mut { work }, 0..places.len(), blocks) }
            }),
        }
    }
}

/// The stride from a place's input to the next one's, where all inputs lie at one stride. Their sums then do,
/// too.
fn stride(forward: &Forward<'_>, to: Projected<'_>, places: &[(usize, usize)]) -> Option<usize> {
    let (input, active) = (&forward.input.grid, to.sums.grid.rows());
    // The last step has all rows that the sums have room for: so has every step, and the rows are in order.
    let whole = places.last().is_some_and(|&(_, rank)| rank + 1 == active);
    match active {
        _ if !whole || forward.flushed.is_some() || !forward.pass.rows.as_they_come() => None,
        1 => Some(input.slot_stride()),
        _ => (input.slot_stride() == active * input.row_stride()).then_some(input.row_stride()),
    }
}

/// The input product of one call, of the steps of a chunk: its rows are the places.
#[derive(Clone, Copy)]
struct InputProducts<'a> {
    forward: &'a Forward<'a>,
    to: Projected<'a>,
    /// The converted inputs, where rows are converted.
    converted: GridMut<'a>,
    /// (step, rank)
    places: &'a [(usize, usize)],
    /// As [`stride`] says.
    stride: Option<usize>,
    call: &'static Call,
    product: &'static Multiply,
}

impl Tiles for InputProducts<'_> {
    #[inline(always)]
    fn table(&self) -> &'static Table {
        self.forward.pass.weights().table
    }
    #[inline(always)]
    fn gates(&self) -> usize {
        self.call.gates
    }
    #[inline(always)]
    fn sums(&self) -> usize {
        0
    }

    #[inline(always)]
    fn takes_runs(&self) -> bool {
        self.stride.is_some()
    }

    unsafe fn products(&mut self, tile: &Tile, _: *mut f32) {
        let weights = self.forward.pass.weights();
        let (table, biases) = (weights.table, &weights.biases);
        let Projected { sums, first_step } = self.to;
        let gate = weights.shape().packed[self.product.weights].first;
        let of_place = |&(step, rank): &(usize, usize)| {
            sums.address(step - first_step, rank, gate, tile.block * table.lanes)
        };
        let mut start = match self.call.start {
            Start::Bias(first) => {
                SumPointers::shared(biases.address(tile.block, first), biases.block_len(), table.lanes)
            }
            Start::Zero => SumPointers::zero(),
        };
        let (mut to_list, mut input_list) = ([std::ptr::null_mut(); TILE_ROWS], NO_LIST);
        let (to, inputs) = if let Some(stride) = self.stride {
            let (step, rank) = self.places[tile.row];
            let rows = self.forward.pass.rows;
            let input = self.forward.input.address(rows.time(step, rank), rows.order[rank], 0, 0);
            let to = RowPointers::strided(of_place(&(step, rank)), sums.grid.row_stride());
            (to, RowPointers::strided(input.cast(), stride))
        } else {
            let places = &self.places[tile.row..tile.row + tile.rows];
            for (to, place) in to_list.iter_mut().zip(places) {
                *to = of_place(place);
            }
            let input = |&(step, rank): &(usize, usize)| self.forward.input_row(step, rank);
            (RowPointers::listed(&to_list), listed(&mut input_list, places.iter().map(input)))
        };
        let inputs = if weights.convert_rows.is_some() {
            RowPointers::strided(
                converted::address(&self.converted, 0, tile.row, 0),
                self.converted.grid.row_stride(),
            )
        } else {
            inputs
        };
        let mut to = SumPointers { rows: to, block: table.lanes, gate: sums.grid.width(), next: 0 };
        start.follow(tile);
        to.follow(tile);
        let panel = &weights.panels[self.product.weights];
        let mut segment = Segment::rows(inputs, panel.of_tile(tile));
        segment.follow(tile);
        let ends = Ends { tiles: tile.tiles, quiet: tile.quiet, ..Ends::new(start, to) };
        let product = Product { ends: &ends, segments: &[segment] };
        // SAFETY: the places exist, and are ours with the columns of these blocks, by the caller's promise;
        // nobody writes the inputs of steps that are computed.
        unsafe { table.multiply(self.call.gates, panel.fringe(tile), tile, &product) };
    }
}
