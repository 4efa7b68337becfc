//! Rows of floats, found by `(slot, row, plane)`.
//!
//! Sequences, records of states, and targets of gradients are all of this one form, and differ in their
//! strides alone (the tape and the gradients of gates lie in [lines](super::Lines)):
//!
//! ```text
//! what                          slot   row    plane          width
//! sequence, time-major          time   batch  direction      hidden size    (T, B, D*H)
//! sequence, batch-first         time   batch  direction      hidden size    (B, T, D*H)
//! sequence, packed              time   batch  direction      hidden size    (sum of lengths, D*H)
//! states                        0      record h | c | ..     padded hidden  see `sequence/records.rs`
//! gradient of a parameter       gate   unit   0              columns        (gates * H, I), for one
//! ```
//!
//! Several threads may hold a [`GridMut`] at once; they write disjoint rows, or disjoint columns of one row.
//! The borrow checker cannot see that, so tiles write through addresses, and copies between passes through
//! `unsafe` accessors. `sequence/` alone decides which thread writes what, and when.

use super::planes::{Planes, Row};
use super::shared::Shared;
use crate::error::{Error, checked_size};
use crate::simd::{LINE, prefetch};
use std::ops::Range;

/// The shape and the strides of a grid, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    slots: usize,
    rows: usize,
    planes: usize,
    width: usize,
    slot_stride: usize,
    row_stride: usize,
    len: usize,
}

impl Grid {
    /// `(slots, rows, planes, width)`, the last index next to each other.
    pub(crate) fn slot_major(slots: usize, rows: usize, planes: usize, width: usize) -> Result<Self, Error> {
        let len = checked_size("memory", &[slots, rows, planes, width])?;
        let row_stride = planes * width;
        Ok(Grid { slots, rows, planes, width, slot_stride: rows * row_stride, row_stride, len })
    }

    /// `(rows, slots, planes, width)`, the last index next to each other.
    pub(crate) fn row_major(slots: usize, rows: usize, planes: usize, width: usize) -> Result<Self, Error> {
        let len = checked_size("memory", &[slots, rows, planes, width])?;
        let slot_stride = planes * width;
        Ok(Grid { slots, rows, planes, width, slot_stride, row_stride: slots * slot_stride, len })
    }

    /// One plane in rows of any distance, which may overlap: to read alone. There are no floats where there
    /// are no slots or no rows.
    pub(crate) fn strided(
        slots: usize,
        rows: usize,
        width: usize,
        [row_stride, slot_stride]: [usize; 2],
    ) -> Result<Self, Error> {
        let what = "memory";
        let last = |count: usize, stride| checked_size(what, &[count.saturating_sub(1), stride]);
        let end = last(slots, slot_stride)?.saturating_add(last(rows, row_stride)?).saturating_add(width);
        let len = if slots == 0 || rows == 0 { 0 } else { checked_size(what, &[end])? };
        Ok(Grid { slots, rows, planes: 1, width, slot_stride, row_stride, len })
    }

    /// Records of our own: slot-major, each plane padded to whole cache lines.
    pub(crate) fn padded(slots: usize, rows: usize, planes: usize, size: usize) -> Result<Self, Error> {
        let Some(width) = size.checked_next_multiple_of(LINE) else {
            return Err(Error::SizeOverflow { what: "memory" });
        };
        Grid::slot_major(slots, rows, planes, width)
    }

    /// The number of floats.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing lies between its rows: slots follow each other whole, or within each row.
    pub(crate) fn is_dense(&self) -> bool {
        let record = self.planes * self.width;
        let slot_major = (self.rows.checked_mul(record), record);
        let row_major = (Some(record), self.slots * record);
        let strides = (Some(self.slot_stride), self.row_stride);
        strides == slot_major || strides == row_major
    }

    /// The number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// The number of rows of a slot.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The floats of one plane of one row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The distance between slots.
    pub(crate) fn slot_stride(&self) -> usize {
        self.slot_stride
    }

    /// The distance between rows of one slot.
    pub(crate) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Where a plane starts.
    #[inline(always)]
    pub(crate) fn offset(&self, slot: usize, row: usize, plane: usize) -> usize {
        debug_assert!(slot < self.slots && row < self.rows && plane < self.planes);
        slot * self.slot_stride + row * self.row_stride + plane * self.width
    }
}

/// Where rows lie in a packed sequence: its steps one after the other, and of each the rows that have it, by
/// falling length. Its grid has one slot, with all these rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTable<'a> {
    /// The first row of each step.
    pub(crate) starts: &'a [usize],
    /// The rank of each row of the batch by falling length.
    pub(crate) ranks: &'a [usize],
}

/// Where a plane starts, in a grid or by a table.
#[inline(always)]
fn offset(grid: &Grid, table: &Option<RowTable<'_>>, slot: usize, row: usize, plane: usize) -> usize {
    match table {
        None => grid.offset(slot, row, plane),
        Some(table) => by_table(grid, table, slot, row, plane),
    }
}

/// The same by a table, apart from the loops that find rows in grids.
#[cold]
#[inline(never)]
fn by_table(grid: &Grid, table: &RowTable<'_>, step: usize, row: usize, plane: usize) -> usize {
    grid.offset(0, table.starts[step] + table.ranks[row], plane)
}

/// A grid to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GridRef<'a> {
    /// Shape and strides.
    pub(crate) grid: Grid,
    data: &'a [f32],
    /// Of a packed sequence.
    table: Option<RowTable<'a>>,
}

impl<'a> GridRef<'a> {
    /// A view of the first `grid.len()` floats of `data`.
    ///
    /// # Panics
    /// Where `data` is shorter; callers have checked.
    pub(crate) fn new(grid: Grid, data: &'a [f32]) -> Self {
        GridRef { grid, data: &data[..grid.len()], table: None }
    }

    /// The same, with rows that are found by a table, if there is one.
    pub(crate) fn by(self, table: Option<RowTable<'a>>) -> Self {
        GridRef { table, ..self }
    }

    /// One plane of one row.
    #[inline(always)]
    pub(crate) fn plane(&self, slot: usize, row: usize, plane: usize) -> &'a [f32] {
        let start = offset(&self.grid, &self.table, slot, row, plane);
        &self.data[start..start + self.grid.width]
    }
}

/// A grid that several threads write disjoint parts of.
#[derive(Debug, Clone, Copy)]
// (The grid comes first, so that it lies at the same offset as in the `Grid` that it is copied from. Views
// are moved sixteen bytes at a time: a load that spans two earlier stores has to wait for both, which took a
// twelfth of a step of 16 units.)
#[repr(C)]
pub(crate) struct GridMut<'a> {
    /// Shape and strides.
    pub(crate) grid: Grid,
    data: Shared<'a>,
    /// Of a packed sequence.
    table: Option<RowTable<'a>>,
}

impl<'a> GridMut<'a> {
    /// A view of the first `grid.len()` floats of `data`.
    ///
    /// # Panics
    /// Where `data` is shorter; callers have checked.
    pub(crate) fn new(grid: Grid, data: &'a mut [f32]) -> Self {
        GridMut { grid, data: Shared::new(&mut data[..grid.len()]), table: None }
    }

    /// The same, with rows that are found by a table, if there is one.
    pub(crate) fn by(self, table: Option<RowTable<'a>>) -> Self {
        GridMut { table, ..self }
    }

    /// A read-only view, through which nothing may be written. Nobody may write the grid while the view
    /// lives. It is for code that reads a grid which other calls write.
    pub(crate) fn reading(view: GridRef<'a>) -> Self {
        GridMut { grid: view.grid, data: Shared::reading(view.data), table: view.table }
    }

    /// An empty grid.
    pub(crate) fn empty() -> Self {
        let grid = Grid { slots: 0, rows: 0, planes: 0, width: 0, slot_stride: 0, row_stride: 0, len: 0 };
        GridMut { grid, data: Shared::empty(), table: None }
    }

    /// Where a column of a plane of a row is, or would be.
    #[inline(always)]
    pub(crate) fn address(&self, slot: usize, row: usize, plane: usize, column: usize) -> *mut f32 {
        self.data.address(offset(&self.grid, &self.table, slot, row, plane) + column)
    }

    /// Columns of one plane of one row, to write.
    ///
    /// # Safety
    /// - The indices lie inside the grid.
    /// - Nobody else reads or writes these columns while the slice lives.
    /// - The grid was not made by [`reading`](GridMut::reading).
    #[inline(always)]
    pub(crate) unsafe fn columns(
        &self,
        slot: usize,
        row: usize,
        plane: usize,
        columns: Range<usize>,
    ) -> &'a mut [f32] {
        debug_assert!(columns.start <= columns.end && columns.end <= self.grid.width);
        // SAFETY: inside the grid by the caller's promise, and the grid inside the slice it was made of.
        unsafe {
            let start = offset(&self.grid, &self.table, slot, row, plane) + columns.start;
            self.data.slice_mut(start, columns.end - columns.start)
        }
    }

    /// All planes of one row, to write.
    ///
    /// # Safety
    /// - The indices lie inside the grid, and nobody else reads or writes the row while the slice lives.
    /// - The grid was not made by [`reading`](GridMut::reading).
    pub(crate) unsafe fn record(&self, slot: usize, row: usize) -> &'a mut [f32] {
        let len = self.grid.planes * self.grid.width;
        // SAFETY: inside the grid by the caller's promise, and the grid inside the slice it was made of.
        unsafe { self.data.slice_mut(self.grid.offset(slot, row, 0), len) }
    }

    /// Consecutive slots, to read, in as few slices as they lie in.
    ///
    /// # Safety
    /// - The grid is [dense](Grid::is_dense), the slots lie inside it, and nobody writes them while the
    ///   slices live.
    pub(crate) unsafe fn stretches(&self, slots: Range<usize>) -> impl Iterator<Item = &'a [f32]> {
        debug_assert!(slots.start <= slots.end && slots.end <= self.grid.slots);
        let Grid { rows, slot_stride, row_stride, .. } = self.grid;
        // Slots follow each other whole, or within each row.
        let (count, stride) = if slot_stride == rows * row_stride { (1, 0) } else { (rows, row_stride) };
        (0..count).map(move |row| {
            let at = self.data.address(row * stride + slots.start * slot_stride);
            // SAFETY: inside the grid by the caller's promise, and the grid inside the slice it was made of.
            unsafe { std::slice::from_raw_parts(at, slots.len() * slot_stride) }
        })
    }

    /// Consecutive slots of a slot-major grid, to write.
    ///
    /// # Safety
    /// - The slots lie inside the grid, and their rows next to each other: it is slot-major.
    /// - Nobody else reads or writes these slots while the slice lives.
    /// - The grid was not made by [`reading`](GridMut::reading).
    pub(crate) unsafe fn slots(&self, slots: Range<usize>) -> &'a mut [f32] {
        debug_assert!(slots.start <= slots.end && slots.end <= self.grid.slots);
        let stride = self.grid.slot_stride;
        // SAFETY: inside the grid by the caller's promise, and the grid inside the slice it was made of.
        unsafe { self.data.slice_mut(slots.start * stride, slots.len() * stride) }
    }
}

/// The rows of one slot of a [`GridMut`], from one of them on.
///
/// A tile holds this by value, in registers. Through a reference the compiler would reload the fields after
/// each store, since a store might change them; in the loop that finishes an LSTM that was half of the
/// instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    data: Shared<'a>,
    row_stride: usize,
    width: usize,
    planes: usize,
}

impl<'a> GridMut<'a> {
    /// The rows of a slot from `row` on.
    ///
    /// # Safety
    /// - The row exists.
    #[inline(always)]
    pub(crate) unsafe fn slot(&self, slot: usize, row: usize) -> Slot<'a> {
        debug_assert!(slot < self.grid.slots && row < self.grid.rows);
        // SAFETY: inside the grid by the caller's promise.
        let data = unsafe { self.data.from(slot * self.grid.slot_stride + row * self.grid.row_stride) };
        Slot { data, row_stride: self.grid.row_stride, width: self.grid.width, planes: self.grid.planes }
    }
}

impl Slot<'_> {
    /// A slot without rows.
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        Slot { data: Shared::empty(), row_stride: 0, width: 0, planes: 0 }
    }

    /// From a row to the next.
    #[inline(always)]
    pub(crate) fn row_stride(&self) -> usize {
        self.row_stride
    }
}

impl Planes for Slot<'_> {
    #[inline(always)]
    fn address(&self, row: usize, plane: usize, column: usize) -> *mut f32 {
        self.data.address(row * self.row_stride + plane * self.width + column)
    }
    #[inline(always)]
    fn planes(&self) -> usize {
        self.planes
    }
    #[inline(always)]
    fn prefetch(&self, row: usize, planes: usize, column: usize, count: usize) {
        let lines = (column % LINE + count).div_ceil(LINE);
        let mut at = self.address(row, 0, column);
        for _ in 0..planes {
            // (Mostly there is one, and the rest is not entered.)
            prefetch(at);
            for line in 1..lines {
                prefetch(at.wrapping_add(line * LINE));
            }
            at = at.wrapping_add(self.width);
        }
    }
    #[inline(always)]
    unsafe fn row<'a>(&self, row: usize, plane: usize) -> Row<'a>
    where
        Self: 'a,
    {
        // SAFETY: the caller's promise, passed on.
        unsafe { Row::new(self.address(row, plane, 0), LINE, self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_find_the_same_row_at_their_own_places() {
        let data: Vec<f32> = (0..2 * 3 * 2 * 4).map(|k| k as f32).collect();
        let time_major = GridRef::new(Grid::slot_major(2, 3, 2, 4).unwrap(), &data);
        let batch_first = GridRef::new(Grid::row_major(2, 3, 2, 4).unwrap(), &data);
        assert_eq!(time_major.plane(1, 2, 1), &data[24 + 2 * 8 + 4..][..4]);
        assert_eq!(batch_first.plane(1, 2, 1), &data[2 * 16 + 8 + 4..][..4]);
    }

    #[test]
    fn rows_lie_at_any_stride_or_by_a_table() {
        let data: Vec<f32> = (0..24).map(|k| k as f32).collect();
        // Two of four rows of six, and of those the columns 1 to 3.
        let grid = Grid::strided(2, 2, 3, [12, 6]).unwrap();
        assert_eq!((grid.len(), grid.is_dense()), (12 + 6 + 3, false));
        assert!(
            Grid::row_major(2, 3, 1, 4).unwrap().is_dense()
                && Grid::slot_major(2, 3, 1, 4).unwrap().is_dense()
        );
        assert_eq!(GridRef::new(grid, &data[1..]).plane(1, 1, 0), [19.0, 20.0, 21.0]);
        assert_eq!(Grid::strided(9, 9, 3, [0, 0]).unwrap().len(), 3);
        assert_eq!(Grid::strided(0, 9, 3, [7, 7]).unwrap().len(), 0);
        assert!(Grid::strided(2, 2, 1, [usize::MAX, 1]).is_err());

        // Lengths 1 and 3: the second row is the longer.
        let grid = Grid::slot_major(1, 4, 2, 3).unwrap();
        let table = RowTable { starts: &[0, 2, 3], ranks: &[1, 0] };
        let packed = GridRef::new(grid, &data).by(Some(table));
        assert_eq!((packed.plane(0, 0, 0)[0], packed.plane(0, 1, 1)[0]), (6.0, 3.0));
        assert_eq!(packed.plane(2, 1, 1), [21.0, 22.0, 23.0]);
    }

    #[test]
    fn padding_and_overflow() {
        assert_eq!(Grid::padded(2, 1, 1, 17).unwrap().width(), 32);
        assert!(Grid::padded(1, 1, 1, usize::MAX).is_err());
        assert!(Grid::slot_major(usize::MAX, 2, 1, 1).is_err());
    }
}
