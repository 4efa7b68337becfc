//! A single row of few units, over many steps.
//!
//! The sums of such a row are finished once in each phase of a step, and its tiles are the same at every
//! step. So each product is moved to its tile once. A step only moves the rows that are multiplied and the
//! records of the states, and calls the kernels. (A step of 16 units takes a tenth of a microsecond. Finding
//! its tiles anew was a third of its instructions.)
//!
//! ```text
//! phase of the plan      call 0             call 1             finish
//! blocks of the row      0 1 | 2 3 | 4      0 1 | 2 3 | 4      all
//! ```
//!
//! A stream goes further: products that are ready for one of its steps are kept for all later steps
//! ([`ReadyStep`]).

use super::converted::ReadyRows;
use super::pass::Forward;
use super::products::PhaseProducts;
use super::ready_call::ReadyCall;
use super::threads::Share;
use crate::cell::{Area, ForwardFinish, ForwardStep, ForwardSums, H, MAX_CALLS, Operand, Weights};
use crate::error::{Error, reserve};
use crate::memory::{AlignedBuf, Planes};
use crate::product::{Blocks, MicroKernel, ROW_BLOCKS, RowCut, Scratch, Tile, Tiles};
use std::fmt;
use std::mem::MaybeUninit;

/// The most runs of tiles of a row that is finished once: a tile for each block.
const MAX_RUNS: usize = ROW_BLOCKS;

/// The product of a run of tiles, at its place.
#[derive(Clone, Copy)]
struct Placed {
    ready: ReadyCall,
    kernel: MicroKernel,
    tile: Tile,
    /// Where its sums wait, in floats.
    sums: usize,
}

impl Placed {
    /// Multiplies. With `row`, the rows that it multiplies are where `row` says; without, where they were
    /// before.
    ///
    /// # Safety
    /// - As for [`Tiles::products`].
    #[inline(always)]
    unsafe fn multiply(&mut self, row: Option<impl Fn(Operand) -> *mut u32>) {
        if let Some(row) = row {
            self.ready.move_row_0(row);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { (self.kernel)(&self.ready.product()) };
    }
}

/// The products of a phase.
type AllPlaced = [MaybeUninit<Placed>; MAX_RUNS * MAX_CALLS];

/// A phase of a single row, one step after the other.
pub(super) struct SingleRow<'a, 'b> {
    phase: &'b mut PhaseProducts<'a>,
    /// `count` of them.
    placed: AllPlaced,
    count: usize,
    /// The row, and all its blocks.
    area: Area,
    scratch: Scratch,
}

/// Whether each phase of a step of a single row is finished once, with all its blocks.
pub(crate) fn is_finished_once(weights: &Weights) -> bool {
    let blocks = weights.blocks_of(weights.units().max(weights.outputs()));
    // (Not with heads: a tile in which heads meet is more than one product.)
    blocks <= ROW_BLOCKS && weights.heads().are_one()
}

impl<'a, 'b> SingleRow<'a, 'b> {
    /// A phase of a row that [is finished once](is_finished_once). (It is made in place: it is large.)
    pub(super) fn make<'c>(
        to: &'c mut MaybeUninit<Self>,
        phase: &'b mut PhaseProducts<'a>,
        row: usize,
    ) -> &'c mut Self {
        let blocks = phase.blocks();
        let area = Area { rank: row, block: 0, blocks: Blocks::new(ROW_BLOCKS), vectors: blocks };
        let placed = [const { MaybeUninit::uninit() }; MAX_RUNS * MAX_CALLS];
        // (No runs with zigzag: a run takes its tiles from the first to the last.)
        let zigzag = phase.is_zigzag();
        let cut = RowCut::new(phase.table(), phase.gates(), blocks, zigzag);
        let single = to.write(SingleRow { phase, placed, count: 0, area, scratch: Scratch::new() });
        let SingleRow { phase, placed, count, scratch, .. } = &mut *single;
        let (sums, per_block) = (scratch.address(), phase.sums() * phase.table().lanes);
        let mut block = 0;
        while block < blocks {
            let tile = cut.next(row, block..blocks, !zigzag);
            for (n, call) in phase.phase.calls.iter().enumerate() {
                let to = phase.sums_of(call, &tile, sums.wrapping_add(block * per_block));
                let sums = block * per_block + call.to * phase.table().lanes;
                // SAFETY: each call of the phase was made ready.
                let mut ready = unsafe { phase.calls[n].assume_init() };
                ready.move_to(&tile, to, phase.forward);
                let kernel = phase.table().kernel(call.gates, tile.blocks, tile.rows);
                placed[*count].write(Placed { ready, kernel, tile, sums });
                *count += 1;
            }
            block += tile.blocks_of_run();
        }
        single
    }

    /// Runs a step.
    ///
    /// # Safety
    /// - As for [`PhaseProducts::sweep`], of the row.
    #[inline(always)]
    pub(super) unsafe fn run(&mut self, step: usize) {
        let SingleRow { phase, placed, count, area, scratch } = self;
        let (row, sums) = (area.rank, scratch.address());
        // SAFETY: the caller's promise, passed on.
        unsafe {
            phase.go_to(step);
            if phase.converts() {
                phase.convert_rows(row..row + 1);
            }
        }
        if *count == 0 {
            // SAFETY: the scratch has room for all sums.
            unsafe { sums.write_bytes(0, area.vectors * phase.sums() * phase.table().lanes) };
        }
        let down = phase.goes_down();
        for n in 0..*count {
            let n = if down { *count - 1 - n } else { n };
            // SAFETY: `make` has written the first `count`.
            let Placed { ready, kernel, tile, sums: at } = unsafe { placed[n].assume_init_mut() };
            if phase.first {
                phase.prefetch_records(tile);
            }
            // (The address of the sums is derived from the scratch at each step: `address` borrows the
            // scratch anew, which ends the use of earlier addresses.)
            let to = (&*tile, sums.wrapping_add(*at));
            ready.move_single(to, phase.forward, (step, phase.share), &phase.at);
            // SAFETY: as in `PhaseProducts::products`.
            unsafe { kernel(&ready.product()) };
        }
        // SAFETY: as in `PhaseProducts::finish`: the row, its blocks and its records are ours, and so are the
        // sums.
        unsafe { (phase.finish)(&ForwardSums { step: &phase.at, area, sums }) };
    }
}

/// Steps of a row: at least one, their inputs and units, and the floats from a step to the next in the inputs
/// and in the outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepsOfRow {
    pub(crate) count: usize,
    pub(crate) inputs: usize,
    pub(crate) units: usize,
    pub(crate) strides: [usize; 2],
}

/// A step of a single row through one layer, made ready for all steps to come: those of a cell of one phase,
/// whose states are stepped where they are.
///
/// It holds the addresses of the weights, of its sums, and of the rows that it converts, if it converts any.
/// It holds no address of anything else that a step reads and writes.
pub(crate) struct ReadyStep {
    placed: Vec<Placed>,
    /// Where sums wait. (Nobody borrows it while a step runs: the products have its address.)
    sums: AlignedBuf,
    area: Area,
    converted: Option<ReadyRows>,
    finish: ForwardFinish,
    /// Where every other step takes the blocks from the last to the first: whether the last one did.
    down: Option<bool>,
}

// SAFETY: the addresses are of weights, which nobody writes while `run` reads them, and of rows that nobody
// else touches while it runs: its caller promises it.
unsafe impl Send for ReadyStep {}
// SAFETY: as above; and `run` takes it for itself.
unsafe impl Sync for ReadyStep {}

impl ReadyStep {
    /// Builds it from the first step of a pass, in the memory that it has. If that memory cannot grow, it
    /// becomes an empty step.
    ///
    /// # Safety
    /// - There is one row, which [is finished once](is_finished_once), of a cell of one phase.
    pub(crate) unsafe fn make(&mut self, forward: &Forward<'_>) -> Result<(), Error> {
        let (mut phase, mut single) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the caller's promise.
        let phase = unsafe { PhaseProducts::make(&mut phase, forward, 0, 0, Share::ALL) };
        let SingleRow { phase, placed: all, count, area, .. } = SingleRow::make(&mut single, phase, 0);
        let ReadyStep { mut placed, mut sums, .. } = std::mem::take(self);
        reserve(&mut placed, *count)?;
        sums.grow(area.vectors * phase.sums() * phase.table().lanes)?;
        let converted = phase.converted.zip(forward.converted).map(|(converted, to)| converted.of_row_0(to));
        // SAFETY: `SingleRow::make` has written the first `count`.
        placed.extend(all[..*count].iter().map(|one| unsafe { one.assume_init() }));
        for one in &mut placed {
            one.ready.move_sums(sums.address().wrapping_add(one.sums));
            if let Some(converted) = &converted {
                one.ready.move_row_0(|operand| converted.address(operand));
            }
        }
        *self = ReadyStep { placed, sums, area: *area, converted, finish: phase.finish, down: forward.down };
        Ok(())
    }

    /// The bytes that it holds on the heap.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.sums[..]) + self.placed.capacity() * size_of::<Placed>()
    }

    /// Runs steps of a row, one after the other. Where there is a `y`, their hidden states go there.
    ///
    /// # Safety
    /// - `x` and `y` have these steps.
    /// - The weights are those that it was made of, and the memory of converted rows is there.
    /// - The records are of their cell, and those of the states on either side of the step are the same.
    /// - Nobody else works on what the steps read and write.
    #[inline(always)]
    pub(crate) unsafe fn run(
        &mut self,
        steps: StepsOfRow,
        x: &[f32],
        at: &ForwardStep<'_>,
        y: Option<&mut [f32]>,
    ) {
        let StepsOfRow { count, inputs, units, strides } = steps;
        let end = |stride, width| (count - 1) * stride + width;
        debug_assert!(x.len() >= end(strides[0], inputs), "inputs of a row");
        debug_assert!(y.as_ref().is_none_or(|y| y.len() >= end(strides[1], units)), "outputs of a row");
        let (mut x, mut y) = (x.as_ptr().cast_mut(), y.map_or(std::ptr::null_mut(), |y| y.as_mut_ptr()));
        for _ in 0..count {
            // SAFETY: the caller's promise; the hidden state is a plane of the record of the state.
            unsafe {
                self.step(x, at);
                if !y.is_null() {
                    y.copy_from_nonoverlapping(at.step.after.address(0, H, 0), units);
                    y = y.wrapping_add(strides[1]);
                }
            }
            x = x.wrapping_add(strides[0]);
        }
    }

    /// Runs a step of the row `x`.
    ///
    /// # Safety
    /// - As for [`run`](ReadyStep::run).
    #[inline(always)]
    unsafe fn step(&mut self, x: *mut f32, at: &ForwardStep<'_>) {
        let ReadyStep { placed, sums, area, converted, finish, down } = self;
        let row = |operand| match operand {
            Operand::Input => x,
            Operand::Hidden => at.step.before.address(0, H, 0),
            Operand::Scratch(plane) => at.records.scratch.address(0, plane, 0),
        };
        if let Some(converted) = converted.as_mut() {
            // SAFETY: the caller's promise.
            unsafe { converted.convert(row) };
        }
        let row = converted.is_none().then_some(|operand| row(operand).cast());
        let goes_down = down.as_mut().is_some_and(|down| {
            *down = !*down;
            *down
        });
        // (Two loops: one loop for both directions computes each address anew, and makes a step of 16 units a
        // thirtieth longer.)
        if goes_down {
            for placed in placed.iter_mut().rev() {
                // SAFETY: as in `PhaseProducts::products`.
                unsafe { placed.multiply(row) };
            }
        } else {
            for placed in placed {
                // SAFETY: as above.
                unsafe { placed.multiply(row) };
            }
        }
        // SAFETY: as in `PhaseProducts::finish`.
        unsafe { finish(&ForwardSums { step: at, area, sums: sums.address() }) };
    }
}

/// An empty step, which does nothing.
impl Default for ReadyStep {
    fn default() -> Self {
        unsafe fn nothing(_: &ForwardSums<'_>) {}
        let area = Area { rank: 0, block: 0, blocks: Blocks::new(1), vectors: 0 };
        let (placed, sums) = (Vec::new(), AlignedBuf::default());
        ReadyStep { placed, sums, area, converted: None, finish: nothing, down: None }
    }
}

impl fmt::Debug for ReadyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyStep").field("products", &self.placed.len()).finish_non_exhaustive()
    }
}
