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
//! rows. So a tape in lines is written and read front to back, as one stream for each plane. If the tape had
//! records like the states, each line would be far from the line before: training is up to 2 % faster with
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
    /// The mask of slot numbers: 1 if two slots take turns, 0 if there is one slot, all ones otherwise.
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

    /// One slot, which is both before and after every step. It is for a single step that computes all sums
    /// before it writes the first state, and for the gradient of the state, which a backward pass carries
    /// along.
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

    /// Begins a pass: clears the record with which each rank enters it, and lets `write` write to it.
    ///
    /// # Safety
    /// - The records are kept, and nobody else reads or writes them.
    pub(crate) unsafe fn enter(&self, rows: &Rows, reverse: bool, mut write: impl FnMut(Entry, &mut [f32])) {
        for (rank, slot) in rows.entries(0..rows.steps(), reverse) {
            // SAFETY: the caller's promise, passed on.
            let record = unsafe { self.record(slot, rank) };
            record.fill(0.0);
            write(Entry { rank, row: rows.order[rank], begins: rows.begins(rank, reverse) }, record);
        }
    }

    /// Ends a pass: lets `read` read, of each row, the record with which it leaves.
    ///
    /// # Safety
    /// - As for [`enter`](Records::enter).
    pub(crate) unsafe fn leave(&self, rows: &Rows, reverse: bool, mut read: impl FnMut(usize, &[f32])) {
        // Where a pass leaves is where one in the other direction enters.
        for (rank, slot) in rows.entries(0..rows.steps(), !reverse) {
            if rows.finishes(rank, reverse) {
                // SAFETY: the caller's promise, passed on.
                read(rows.order[rank], unsafe { self.record(slot, rank) });
            }
        }
    }
}

/// A rank that enters a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) rank: usize,
    pub(crate) row: usize,
    /// Whether it begins with the initial state of its row, and not with zero.
    pub(crate) begins: bool,
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
    fn rows_enter_with_their_state_or_zero_and_leave_with_their_last() {
        let mut rows = Rows::default();
        // Row 0 in two stretches, of two steps and of one; row 1 in one of three steps.
        let resets = [false, false, true, false, false, false];
        rows.set(2, 3, Pattern { resets: Some(&resets), ..Pattern::default() }).unwrap();
        rows.place_all().unwrap();
        assert_eq!(rows.order, [1, 0, 0]);
        let grid = Records::grid(9, 1, 1).unwrap();
        // Where records are entered and with what, and which are left, of which row.
        let forward = ([(0, 2.0), (1, 1.0), (2, 0.0)], [(1, 8.0), (0, 5.0)]);
        let backward = ([(8, 2.0), (7, 0.0), (5, 1.0)], [(1, 0.0), (0, 1.0)]);
        for (reverse, (entered, left)) in [(false, forward), (true, backward)] {
            let mut data = vec![f32::NAN; grid.len()];
            let records = Records::states(&rows, 0, GridMut::new(grid, &mut data));
            // SAFETY: nobody else works on the records.
            unsafe {
                records.enter(&rows, reverse, |entry, record| {
                    assert_eq!(record, [0.0; 16]);
                    assert_eq!(rows.order[entry.rank], entry.row);
                    record[0] = if entry.begins { 1.0 + entry.row as f32 } else { 0.0 };
                });
            }
            for (place, value) in entered {
                assert_eq!(data[place * 16], value, "reverse: {reverse}, place {place}");
            }
            assert_eq!(data.iter().filter(|value| !value.is_nan()).count(), 3 * 16);
            data.iter_mut().enumerate().for_each(|(at, value)| *value = (at / 16) as f32);
            let (records, mut got) = (Records::states(&rows, 0, GridMut::new(grid, &mut data)), vec![]);
            // SAFETY: as above.
            unsafe { records.leave(&rows, reverse, |row, record| got.push((row, record[0]))) };
            assert_eq!(got, left, "reverse: {reverse}");
        }
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
