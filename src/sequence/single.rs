//! A single row of few units, over many steps.
//!
//! Such a row is finished once a step, and its tiles are the same at every step. So each product is moved to
//! its tile once; a step moves the rows that are multiplied and the records of the states, and calls the
//! kernels. (A step of 16 units takes a tenth of a microsecond. To find its tiles anew was a third of its
//! instructions.)
//!
//! ```text
//! phase of the plan      call 0             call 1             finish
//! blocks of the row      0 1 | 2 3 | 4      0 1 | 2 3 | 4      all
//! ```

use super::pass::Forward;
use super::products::{MOST_CALLS, PhaseProducts, ReadyCall};
use crate::cell::{Area, ForwardSums};
use crate::product::{Blocks, Kernel, ROW_BLOCKS, Scratch, Tile, Tiles, tile_of_row};
use std::mem::MaybeUninit;

/// The runs of tiles of a row that is finished once: of one gate those of 4, 2 and 1 blocks.
const MOST_RUNS: usize = 3;

/// The product of a run of tiles, at its place.
struct Placed {
    ready: ReadyCall,
    kernel: Kernel,
    tile: Tile,
}

/// A phase of a single row, one step after the other.
pub(super) struct SingleRow<'a, 'b> {
    phase: &'b mut PhaseProducts<'a>,
    /// `count` of them.
    placed: [MaybeUninit<Placed>; MOST_RUNS * MOST_CALLS],
    count: usize,
    /// The row, and all its blocks.
    area: Area,
    scratch: Scratch,
}

impl<'a, 'b> SingleRow<'a, 'b> {
    /// Whether a row of this pass is finished once a step.
    pub(super) fn fits(forward: &Forward<'_>) -> bool {
        let weights = forward.pass.weights();
        weights.blocks_of(weights.units().max(weights.outputs())) <= ROW_BLOCKS
    }

    /// A phase of a row of a pass that [fits](Self::fits). (It is made in place: its sums wait in it.)
    pub(super) fn make<'c>(
        to: &'c mut MaybeUninit<Self>,
        phase: &'b mut PhaseProducts<'a>,
        row: usize,
    ) -> &'c mut Self {
        let blocks = phase.blocks();
        let area = Area { rank: row, block: 0, blocks: Blocks::new(ROW_BLOCKS), vectors: blocks };
        let placed = [const { MaybeUninit::uninit() }; MOST_RUNS * MOST_CALLS];
        let single = to.write(SingleRow { phase, placed, count: 0, area, scratch: Scratch::new() });
        let SingleRow { phase, placed, count, scratch, .. } = &mut *single;
        let (sums, per_block) = (scratch.address(), phase.sums() * phase.table().lanes);
        let mut block = 0;
        while block < blocks {
            let tile = tile_of_row(row, block..blocks, phase.gates(), true);
            for (n, call) in phase.phase.calls.iter().enumerate() {
                let to = phase.sums_of(call, &tile, sums.wrapping_add(block * per_block));
                // SAFETY: each call of the phase was made ready.
                let mut ready = unsafe { phase.calls[n].assume_init() };
                ready.move_to(&tile, to, phase.forward);
                let kernel = phase.table().kernel(call.gates, tile.blocks, tile.rows);
                placed[*count].write(Placed { ready, kernel, tile });
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
            phase.make_rows(row..row + 1);
        }
        if *count == 0 {
            // SAFETY: the scratch has room for all sums.
            unsafe { sums.write_bytes(0, area.vectors * phase.sums() * phase.table().lanes) };
        }
        for n in 0..*count {
            // SAFETY: so many are set.
            let Placed { ready, kernel, tile } = unsafe { placed[n].assume_init_mut() };
            if phase.first {
                phase.prefetch_records(tile);
            }
            ready.move_single(tile, phase.forward, (step, phase.share), &phase.at);
            // SAFETY: as in `PhaseProducts::products`.
            unsafe { kernel(&ready.product()) };
        }
        // SAFETY: as in `PhaseProducts::finish`: the row, its blocks and its records are ours, and so are the
        // sums.
        unsafe { (phase.finish)(&ForwardSums { step: &phase.at, area: *area, sums }) };
    }
}
