//! Rows cut into cache lines, with the same line of all rows next to each other.
//!
//! ```text
//! [plane][line][row][16]          a plane of 40 columns has three lines, and uses half of the last one; an
//!                                 even number of rows has one unused row more
//!
//!            line 0                         line 1                        line 2
//!   row 0    x0 x1 ..  x15                  x16 ..  x31                   x32 .. x39 -
//!   row 1    x0 x1 ..  x15                  ...
//! ```
//!
//! A product reads such rows equally well in both directions. Along the rows (k is the column), the rows of a
//! tile are neighbouring lines of 64 bytes, and the next sixteen columns follow at a stride. Down the columns
//! (k is the row), each element is one line after the element before. In whole rows, as a
//! [`Grid`](super::Grid) has them, each element of a column would cost a cache line and a page. And a tile of
//! a cell, which takes few columns of some rows, finds them next to each other.
//!
//! Several threads may hold the lines at once, as a grid; they write disjoint rows or columns.

use super::planes::{Planes, Row};
use super::shared::Shared;
use crate::error::{Error, checked_size};
use crate::simd::{LINE, prefetch};
use std::ops::Range;

/// The shape, and the strides in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    rows: usize,
    planes: usize,
    /// From a line of a row to its next.
    stride: usize,
    /// From a plane to the next.
    plane_stride: usize,
}

impl Lines {
    /// The shape of `rows` rows with `planes` planes of `size` columns each.
    pub(crate) fn new(rows: usize, planes: usize, size: usize) -> Result<Self, Error> {
        // An odd number of lines: were it a power of two, the lines of a row would share a few sets of each
        // cache.
        let stride = checked_size("lines", &[rows | 1, LINE])?;
        let plane_stride = checked_size("lines", &[size.div_ceil(LINE), stride])?;
        checked_size("lines", &[planes, plane_stride])?;
        Ok(Lines { rows, planes, stride, plane_stride })
    }

    /// The number of floats.
    pub(crate) fn len(&self) -> usize {
        self.planes * self.plane_stride
    }

    #[inline(always)]
    fn offset(&self, row: usize, plane: usize, column: usize) -> usize {
        plane * self.plane_stride + column / LINE * self.stride + row * LINE + column % LINE
    }

    /// Copies some rows of `data` to the first ones, of all planes.
    pub(crate) fn move_to_front(&self, data: &mut [f32], rows: Range<usize>) {
        debug_assert!(rows.end <= self.rows);
        for line in data[..self.len()].chunks_exact_mut(self.stride) {
            line.copy_within(rows.start * LINE..rows.end * LINE, 0);
        }
    }
}

/// Lines to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinesRef<'a> {
    lines: Lines,
    /// The first row.
    first: usize,
    data: &'a [f32],
}

impl<'a> LinesRef<'a> {
    /// A view of the rows from `first` on.
    ///
    /// # Panics
    /// Where `data` is shorter than the lines; callers have checked.
    pub(crate) fn new(lines: Lines, data: &'a [f32], first: usize) -> Self {
        debug_assert!(first <= lines.rows);
        LinesRef { lines, first, data: &data[..lines.len()] }
    }

    /// From a column of a row on.
    #[inline(always)]
    pub(crate) fn from(&self, row: usize, plane: usize, column: usize) -> &'a [f32] {
        let Lines { rows, .. } = self.lines;
        let row = self.first + row;
        debug_assert!(row <= rows && plane < self.lines.planes);
        let start = self.lines.offset(row, plane, column);
        &self.data[start..]
    }

    /// How a product reads these rows along their columns: from a line of a row to its next, in floats.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.lines.stride
    }
}

/// Lines that several threads write disjoint parts of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinesMut<'a> {
    lines: Lines,
    data: Shared<'a>,
}

impl<'a> LinesMut<'a> {
    /// A view of the first `lines.len()` floats of `data`.
    ///
    /// # Panics
    /// Where `data` is shorter; callers have checked.
    pub(crate) fn new(lines: Lines, data: &'a mut [f32]) -> Self {
        LinesMut { lines, data: Shared::new(&mut data[..lines.len()]) }
    }

    /// A read-only view, through which nothing may be written. Nobody may write the lines while it lives.
    pub(crate) fn reading(lines: Lines, data: &'a [f32]) -> Self {
        LinesMut { lines, data: Shared::reading(&data[..lines.len()]) }
    }

    /// The rows from `row` on, to be kept in registers as a [`Slot`](super::Slot) is.
    ///
    /// # Safety
    /// - The row exists.
    #[inline(always)]
    pub(crate) unsafe fn slot(&self, row: usize) -> LineSlot<'a> {
        debug_assert!(row < self.lines.rows);
        let start = if self.lines.planes > 0 { row * LINE } else { 0 };
        // SAFETY: inside the data by the caller's promise, or at its end where there are no planes.
        LineSlot { lines: self.lines, data: unsafe { self.data.from(start) } }
    }
}

/// The rows of [`LinesMut`] from one of them on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineSlot<'a> {
    lines: Lines,
    data: Shared<'a>,
}

impl<'a> LineSlot<'a> {
    /// A slot without rows.
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        let lines = Lines { rows: 0, planes: 0, stride: 0, plane_stride: 0 };
        LineSlot { lines, data: Shared::empty() }
    }

    /// From a line of a row to its next.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.lines.stride
    }
}

impl Planes for LineSlot<'_> {
    #[inline(always)]
    fn address(&self, row: usize, plane: usize, column: usize) -> *mut f32 {
        self.data.address(self.lines.offset(row, plane, column))
    }
    #[inline(always)]
    fn planes(&self) -> usize {
        self.lines.planes
    }
    #[inline(always)]
    fn prefetch(&self, row: usize, planes: usize, column: usize, count: usize) {
        let lines = (column % LINE + count).div_ceil(LINE);
        let mut at = self.address(row, 0, column);
        for _ in 0..planes {
            // (Mostly there is one, and the rest is not entered.)
            prefetch(at);
            for line in 1..lines {
                prefetch(at.wrapping_add(line * self.lines.stride));
            }
            at = at.wrapping_add(self.lines.plane_stride);
        }
    }
    #[inline(always)]
    unsafe fn row<'a>(&self, row: usize, plane: usize) -> Row<'a>
    where
        Self: 'a,
    {
        let Lines { stride, plane_stride, .. } = self.lines;
        // SAFETY: inside the data by the caller's promise, which is passed on.
        unsafe { Row::new(self.address(row, plane, 0), stride, plane_stride / stride * LINE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_find_the_same_elements() {
        let (rows, planes, size) = (6, 2, 40);
        let lines = Lines::new(rows, planes, size).unwrap();
        assert_eq!(lines.len(), 2 * 3 * 7 * LINE, "three lines of an odd number of rows");
        let mut data = vec![0.0; lines.len()];
        let value = |row, plane, column| (row * 1000 + plane * 100 + column) as f32;
        let to = LinesMut::new(lines, &mut data);
        for (row, plane) in (0..rows).flat_map(|row| [(row, 0), (row, 1)]) {
            // SAFETY: those columns exist, and nobody else has them.
            unsafe {
                for column in 0..size {
                    *to.slot(row).address(0, plane, column) = value(row, plane, column);
                }
                assert_eq!(to.slot(row).row(0, plane).line(2)[7], value(row, plane, 39));
            }
        }
        let view = LinesRef::new(lines, &data, 1);
        for (row, column) in [(2, 0), (3, 17), (4, 39)] {
            assert_eq!(view.from(row, 1, column)[0], value(row + 1, 1, column), "counted from the first");
        }
        // Along a row, a line further on by the stride; down a column, by the next line.
        assert_eq!(view.from(1, 0, 3)[view.stride()], value(2, 0, 19));
        assert_eq!(view.from(1, 1, 14)[2 * LINE], value(4, 1, 14));
        lines.move_to_front(&mut data, 3..5);
        let front = LinesRef::new(lines, &data, 0);
        for (row, from) in [(0, 3), (1, 4), (2, 2), (5, 5)] {
            assert_eq!(front.from(row, 1, 33)[0], value(from, 1, 33));
        }
    }

    #[test]
    fn sizes_that_overflow_are_errors() {
        assert!(Lines::new(usize::MAX, 1, 1).is_err());
        assert!(Lines::new(1 << 20, 1 << 20, 1 << 30).is_err());
    }
}
