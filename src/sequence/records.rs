//! Where the states and the tape of each step lie.
//!
//! ```text
//! states   [slot][rank][h | c | ..]          a record is contiguous, as products along it read it
//! tape     [plane][line][step, rank][16]     the same line of all steps is contiguous: lines.rs
//! ```
//!
//! A slot or step has records only of the rows that reach it, longest first: `rows.rs`.
//!
//! A tile writes a line of each plane of its rows to the tape, and the next tile writes the line of the next
//! rows. So a tape in lines is written and read front to back, in as many places as it has planes. In records
//! of a row, like states, each line would be far from the line before: training is up to 2 % faster with
//! lines (`X207/tape-lines` of `benches/record/`).

use super::rows::Rows;
use crate::error::Error;
use crate::memory::{Grid, GridMut, LineSlot, LinesMut, Planes, Row, Slot};

/// The records of consecutive slots, each of the rows that reach it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    /// The shape of one slot with a row for each record.
    grid: GridMut<'a>,
    starts: &'a [usize],
    /// 1 where two slots take turns, 0 where there is one, all ones otherwise.
    mask: usize,
    /// The index of the first record that is kept.
    offset: usize,
}

impl<'a> Records<'a> {
    /// The shape of `records` records with `planes` planes.
    pub(crate) fn grid(records: usize, planes: usize, size: usize) -> Result<Grid, Error> {
        Grid::padded(1, records, planes, size)
    }

    /// States in two slots that take turns.
    pub(crate) fn ring(rows: &'a Rows, grid: GridMut<'a>) -> Self {
        Records { grid, starts: &rows.ring, mask: 1, offset: 0 }
    }

    /// One slot, which is before and after the only step: where all sums of a step are made before the first
    /// state is written.
    pub(crate) fn in_place(rows: &'a Rows, grid: GridMut<'a>) -> Self {
        Records { grid, starts: &rows.ring, mask: 0, offset: 0 }
    }

    /// The states of the slots from `first` on.
    pub(crate) fn states(rows: &'a Rows, first: usize, grid: GridMut<'a>) -> Self {
        Records { grid, starts: &rows.starts, mask: usize::MAX, offset: rows.starts[first] }
    }

    /// The states of every k-th step: slot n is the state before step n k, slot 0 the initial state.
    pub(crate) fn checkpoints(rows: &'a Rows, grid: GridMut<'a>) -> Self {
        Records { grid, starts: &rows.checkpoint_starts, mask: usize::MAX, offset: 0 }
    }

    #[inline(always)]
    fn place(&self, slot: usize, rank: usize) -> usize {
        self.starts[slot & self.mask] - self.offset + rank
    }

    /// One plane of a record.
    ///
    /// # Safety
    /// - The record and the plane are among those that are kept.
    /// - Nobody writes this plane in the lifetime.
    #[inline(always)]
    pub(crate) unsafe fn row(&self, slot: usize, rank: usize, plane: usize) -> Row<'a> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.slot(slot, rank).row(0, plane) }
    }

    /// The records of a slot from `rank` on.
    ///
    /// # Safety
    /// - The record is kept.
    #[inline(always)]
    pub(crate) unsafe fn slot(&self, slot: usize, rank: usize) -> Slot<'a> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.grid.slot(0, self.place(slot, rank)) }
    }

    /// All planes of a record, to write.
    ///
    /// # Safety
    /// - The record is kept, and nobody else reads or writes it while the slice lives.
    pub(crate) unsafe fn record(&self, slot: usize, rank: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.grid.record(0, self.place(slot, rank)) }
    }
}

/// The tape of some steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapeRecords<'a> {
    lines: LinesMut<'a>,
    starts: &'a [usize],
    /// The index of the first record that is kept.
    offset: usize,
}

impl<'a> TapeRecords<'a> {
    /// The steps from `first` on.
    pub(crate) fn steps(rows: &'a Rows, first: usize, lines: LinesMut<'a>) -> Self {
        TapeRecords { lines, starts: &rows.starts[1..], offset: rows.starts[first + 1] }
    }

    #[inline(always)]
    fn place(&self, step: usize, rank: usize) -> usize {
        self.starts[step] - self.offset + rank
    }

    /// The records of a step from `rank` on.
    ///
    /// # Safety
    /// - The record is kept.
    #[inline(always)]
    pub(crate) unsafe fn slot(&self, step: usize, rank: usize) -> LineSlot<'a> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.lines.slot(self.place(step, rank)) }
    }

    /// One plane of a record.
    ///
    /// # Safety
    /// - The record and the plane are among those that are kept.
    /// - Nobody writes this plane in the lifetime.
    #[inline(always)]
    pub(crate) unsafe fn row(&self, step: usize, rank: usize, plane: usize) -> Row<'a> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.slot(step, rank).row(0, plane) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Pattern;
    use super::*;
    use crate::memory::Lines;

    #[test]
    fn records_are_found_by_slot_or_step_and_rank() {
        let mut rows = Rows::default();
        // Slots begin at 0, 4, 8 and 11.
        rows.set(4, 3, Pattern { lengths: Some(&[2, 1, 3, 2]), ..Pattern::default() }).unwrap();
        rows.place_all().unwrap();
        let grid = Records::grid(12, 1, 1).unwrap();
        let mut data = vec![0.0; grid.len()];
        let states = GridMut::new(grid, &mut data);
        assert_eq!(Records::states(&rows, 0, states).place(2, 1), 9);
        assert_eq!(Records::states(&rows, 2, states).place(2, 1), 1);
        assert_eq!(Records::ring(&rows, states).place(3, 2), 6);
        let lines = Lines::new(8, 2, 20).unwrap();
        let mut data: Vec<f32> = (0..lines.len()).map(|k| k as f32).collect();
        let tape = LinesMut::new(lines, &mut data);
        assert_eq!(TapeRecords::steps(&rows, 0, tape).place(1, 2), 6);
        assert_eq!(TapeRecords::steps(&rows, 1, tape).place(2, 0), 3);
        // SAFETY: the record exists, and nobody writes it. Its second plane is behind two lines of nine rows.
        let row = unsafe { TapeRecords::steps(&rows, 0, tape).row(1, 2, 1) };
        assert_eq!(
            (row.line(0)[3], row.line(1)[0]),
            ((2 * 9 * 16 + 6 * 16 + 3) as f32, (3 * 9 * 16 + 6 * 16) as f32)
        );
        rows.place_checkpoints(1).unwrap();
        let grid = Records::grid(8, 1, 1).unwrap();
        let mut data = vec![0.0; grid.len()];
        assert_eq!(Records::checkpoints(&rows, GridMut::new(grid, &mut data)).place(1, 2), 6);
    }

    #[test]
    fn a_tape_without_planes_has_room_for_nothing() {
        let mut rows = Rows::default();
        rows.set(2, 3, Pattern::default()).unwrap();
        rows.place_all().unwrap();
        let lines = Lines::new(6, 0, 20).unwrap();
        assert_eq!(lines.len(), 0);
        // SAFETY: the record exists.
        let slot = unsafe { TapeRecords::steps(&rows, 0, LinesMut::new(lines, &mut [])).slot(2, 1) };
        assert!(format!("{slot:?}").starts_with("LineSlot"));
    }
}
