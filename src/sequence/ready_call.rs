//! A call of a cell's plan, made ready for all steps of a pass: where its sums begin, what it multiplies, and
//! with which weights. A step, a tile or a head moves it to its own rows and blocks.
//!
//! ```text
//! fill          the plan, the weights and the memory of the pass        once
//! go_to         where rank 0 of the step lies                           each step
//! move_rows     the rows of a tile                                      each tile
//! move_to       its blocks, and where its sums go                       each tile
//! product       what a kernel takes
//! ```

use super::converted;
use super::pass::{Flushed, Forward, Projected};
use super::threads::Share;
use crate::cell::{Call, ForwardStep, MAX_PRODUCTS, Multiply, Operand, Start, Weights};
use crate::memory::Planes;
use crate::product::{
    Ends, Fringe, MAX_ROWS_OF_RUN, OfHead, Prefetch, Product, RowPointers, Segment, SumPointers, Tile,
};
use std::mem::MaybeUninit;
use std::ops::Range;

/// One call of the plan, made ready for the steps of a pass. What steps and tiles change is where their
/// rows and blocks begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadyCall {
    ends: Ends,
    /// Where sums begin in rank 0 and block 0, and where those of the turn do.
    start: *mut f32,
    fresh: *mut f32,
    /// Where input products are done beforehand, the first gate of the sums that go on from them.
    goes_on: Option<usize>,
    /// `count` segments, and of each its panel, what it multiplies, and where the row of rank 0 is; null
    /// for an input whose rows lie at no stride.
    segments: [MaybeUninit<Segment>; MAX_PRODUCTS],
    operands: [MaybeUninit<(usize, Operand, *mut u32)>; MAX_PRODUCTS],
    count: usize,
}

impl ReadyCall {
    /// A call without products, whose sums begin at `at`. (`fill` writes the rest in place: built elsewhere
    /// and moved, it took a tenth of a small step.)
    #[inline(always)]
    fn new(at: *mut f32, start: SumPointers) -> Self {
        ReadyCall {
            ends: Ends::new(start, start),
            start: at,
            fresh: at,
            goes_on: None,
            segments: [const { MaybeUninit::uninit() }; MAX_PRODUCTS],
            operands: [const { MaybeUninit::uninit() }; MAX_PRODUCTS],
            count: 0,
        }
    }

    /// Writes the call of a plan, for any step.
    #[inline(always)]
    pub(super) fn fill(to: &mut MaybeUninit<Self>, call: &Call, forward: &Forward<'_>, at: &ForwardStep<'_>) {
        let weights = forward.pass.weights();
        let lanes = weights.table.lanes;
        let bias = |first| weights.biases.address(0, first).cast_mut();
        let biases = |at| SumPointers::strided(at, 0, weights.biases.block_len(), lanes);
        let ready = match call.start {
            Start::Bias(first) => to.write(ReadyCall::new(bias(first), biases(bias(first)))),
            Start::Zero => to.write(ReadyCall::new(SumPointers::zeros().cast_mut(), SumPointers::zero())),
        };
        for &Multiply { weights: index, rows, turn } in call.products {
            if let Some(first) = turn {
                ready.fresh = bias(first);
                ready.ends.turn = Some((ready.count, biases(ready.fresh)));
            }
            if let (Operand::Input, Some(Projected { sums, .. })) = (rows, forward.projected) {
                // It is done: the sums go on from there.
                ready.goes_on = Some(weights.shape().packed[index].first);
                let (row, gate) = (sums.grid.row_stride(), sums.grid.width());
                ready.ends.start = SumPointers::strided(ready.start, row, lanes, gate);
                continue;
            }
            let stride = match forward.converted {
                Some(converted) => converted.grid.row_stride(),
                None => stride_of(rows, forward, at).unwrap_or_default(),
            };
            let panel = weights.panels[index].weights(0, 0, Prefetch::NONE);
            let nowhere = std::ptr::null_mut();
            ready.operands[ready.count].write((index, rows, nowhere));
            ready.segments[ready.count].write(Segment::rows(RowPointers::strided(nowhere, stride), panel));
            ready.count += 1;
        }
    }

    /// Moves it to a step.
    #[inline(always)]
    pub(super) fn go_to(
        &mut self,
        forward: &Forward<'_>,
        (step, share): (usize, Share),
        at: &ForwardStep<'_>,
    ) {
        let pass = &forward.pass;
        if let (Some(gate), Some(Projected { sums, first_step })) = (self.goes_on, forward.projected) {
            self.start = sums.address(step - first_step, 0, gate, 0);
        }
        for n in 0..self.count {
            // SAFETY: `fill` has written `count` of them.
            let (_, operand, rows) = unsafe { self.operands[n].assume_init_mut() };
            *rows = match (*operand, forward.converted) {
                (operand, Some(converted)) => {
                    converted::address(converted, share.index(), 0, converted::plane(operand))
                }
                (Operand::Input, None) => match forward.flushed {
                    Some(Flushed { inputs, first_step }) => inputs.address(step - first_step, 0, 0, 0).cast(),
                    None if pass.rows.as_they_come() => forward.input.address(step, 0, 0, 0).cast(),
                    None => std::ptr::null_mut(),
                },
                (Operand::Hidden, None) => at.step.before.address(0, pass.multiplied(), 0).cast(),
                (Operand::Scratch(plane), None) => at.records.scratch.address(0, plane, 0).cast(),
            };
        }
    }

    /// Moves it to a tile whose sums go to `to`: what is the same at every step. Its rows are there already.
    #[inline(never)]
    pub(super) fn move_to(&mut self, tile: &Tile, to: SumPointers, forward: &Forward<'_>) {
        let ReadyCall { ends, start, fresh, segments, operands, count, .. } = self;
        (ends.tiles, ends.quiet, ends.to) = (tile.tiles, tile.quiet, to);
        ends.to.follow(tile);
        ends.start.move_to(*start, tile);
        if let Some((_, place)) = &mut ends.turn {
            place.move_to(*fresh, tile);
        }
        for n in 0..*count {
            // SAFETY: `fill` has written the first `count`.
            let (segment, (panel, ..)) =
                unsafe { (segments[n].assume_init_mut(), operands[n].assume_init_ref()) };
            segment.set_weights(forward.pass.weights().panels[*panel].of_tile(tile), tile);
        }
    }

    /// Moves the rows that it multiplies to those of a tile, with the rows of an input that lie at no
    /// stride in `list`.
    #[inline(always)]
    pub(super) fn move_rows(&mut self, tile: &Tile, forward: &Forward<'_>, step: usize, list: &mut List) {
        for n in 0..self.count {
            // SAFETY: `fill` has written the first `count`.
            let (segment, (.., rows)) =
                unsafe { (self.segments[n].assume_init_mut(), self.operands[n].assume_init_ref()) };
            if rows.is_null() {
                segment.rows = input_rows(forward, tile.rows_of_run(), list, step);
            } else {
                segment.rows.move_to(*rows, tile.row);
            }
        }
    }

    /// Moves it to a tile and its rows, at a step. (By itself: tiles with heads and without have it.)
    #[inline(never)]
    pub(super) fn move_to_tile(
        &mut self,
        (tile, to): (&Tile, SumPointers),
        forward: &Forward<'_>,
        step: usize,
        list: &mut List,
    ) {
        self.move_rows(tile, forward, step, list);
        self.move_to(tile, to, forward);
    }

    /// Moves what it multiplies of the state to a head, once it is at the head's tile.
    pub(super) fn move_to_head(
        &mut self,
        &OfHead { head, ref tile, block, .. }: &OfHead,
        forward: &Forward<'_>,
    ) {
        let weights = forward.pass.weights();
        for n in 0..self.count {
            // SAFETY: `fill` has written the first `count`.
            let (segment, &(panel, operand, rows)) =
                unsafe { (self.segments[n].assume_init_mut(), self.operands[n].assume_init_ref()) };
            if operand == Operand::Hidden {
                segment.rows.move_to(rows.wrapping_add(head * weights.head_words()), tile.row);
                segment.set_weights(weights.panels[panel].of_tile(&Tile { block, ..*tile }), tile);
            }
        }
    }

    /// Moves it to another step of a tile of a single row. It is at the tile already; its sums go to `sums`.
    #[inline(always)]
    pub(super) fn move_single(
        &mut self,
        (tile, sums): (&Tile, *mut f32),
        forward: &Forward<'_>,
        (step, share): (usize, Share),
        at: &ForwardStep<'_>,
    ) {
        self.go_to(forward, (step, share), at);
        self.ends.to.rows.move_to(sums, 0);
        if self.goes_on.is_some() {
            self.ends.start.move_to(self.start, tile);
        }
        for n in 0..self.count {
            // SAFETY: `fill` has written the first `count`.
            let (segment, (.., rows)) =
                unsafe { (self.segments[n].assume_init_mut(), self.operands[n].assume_init_ref()) };
            let rows = if rows.is_null() { forward.input_row(step, tile.row) } else { *rows };
            segment.rows.move_to(rows, tile.row);
        }
    }

    /// Moves its sums to `to`.
    #[inline(always)]
    pub(super) fn move_sums(&mut self, to: *mut f32) {
        self.ends.to.rows.move_to(to, 0);
    }

    /// Moves the rows that it multiplies, of a single row, to where `row` says.
    #[inline(always)]
    pub(super) fn move_row_0(&mut self, row: impl Fn(Operand) -> *mut u32) {
        for n in 0..self.count {
            // SAFETY: `fill` has written the first `count`.
            let (segment, (_, operand, _)) =
                unsafe { (self.segments[n].assume_init_mut(), self.operands[n].assume_init_ref()) };
            segment.rows.move_to(row(*operand), 0);
        }
    }

    /// The fringe, where its tile takes that.
    #[inline(always)]
    pub(super) fn fringe(&self, weights: &Weights, tile: &Tile) -> Option<Fringe> {
        if self.count == 0 {
            return None;
        }
        // SAFETY: `fill` has written the first `count`.
        let (panel, ..) = unsafe { self.operands[0].assume_init_ref() };
        weights.panels[*panel].fringe(tile)
    }

    /// The product, once the call has been moved to its step and tile.
    #[inline(always)]
    pub(super) fn product(&self) -> Product<'_> {
        // SAFETY: `fill` has written the first `count`.
        let segments =
            unsafe { std::slice::from_raw_parts(self.segments.as_ptr().cast::<Segment>(), self.count) };
        Product { ends: &self.ends, segments }
    }
}

/// Floats from a row of an operand to the next, as it lies; `None` where those of an input lie at no stride.
#[inline(always)]
pub(super) fn stride_of(operand: Operand, forward: &Forward<'_>, at: &ForwardStep<'_>) -> Option<usize> {
    match operand {
        Operand::Input => match forward.flushed {
            Some(Flushed { inputs, .. }) => Some(inputs.grid.row_stride()),
            None => forward.pass.rows.as_they_come().then(|| forward.input.grid.row_stride()),
        },
        Operand::Hidden => Some(at.step.before.row_stride()),
        Operand::Scratch(_) => Some(at.records.scratch.row_stride()),
    }
}

/// Where rows of a tile, or of a run of tiles, lie.
pub(super) type List = [MaybeUninit<*mut u32>; MAX_ROWS_OF_RUN];
/// A list of which nothing is initialised.
pub(super) const NO_LIST: List = [const { MaybeUninit::uninit() }; MAX_ROWS_OF_RUN];

/// The inputs of some rows at a step. Several rows are listed in `list`.
#[inline(never)]
fn input_rows(forward: &Forward<'_>, rows: Range<usize>, list: &mut List, step: usize) -> RowPointers<u32> {
    if rows.len() == 1 {
        return RowPointers::strided(forward.input_row(step, rows.start), 0);
    }
    listed(list, rows.map(|rank| forward.input_row(step, rank)))
}

/// Rows that lie at no stride, in `list`.
#[inline(always)]
pub(super) fn listed(list: &mut List, rows: impl Iterator<Item = *mut u32>) -> RowPointers<u32> {
    let mut count = 0;
    for (to, row) in list.iter_mut().zip(rows) {
        to.write(row);
        count += 1;
    }
    // SAFETY: the loop has written the first `count`.
    RowPointers::listed(unsafe { std::slice::from_raw_parts(list.as_ptr().cast(), count) })
}
