//! Rows cut into cache lines, with the same line of all rows next to each other.
//!
//! ```text
//! [plane][line][row][16]          a plane of 40 columns has three lines, the last of them half used; an even number
//!                                 of rows has one more, which nobody uses
//!
//!            line 0                         line 1                        line 2
//!   row 0    x0 x1 ..  x15                  x16 ..  x31                   x32 .. x39 -
//!   row 1    x0 x1 ..  x15                  ...
//! ```
//!
//! A product reads such rows equally well in both directions. Along the [rows](LinesRef::rows), k counting through the
//! columns, the rows of a tile are neighbouring lines of 64 bytes, and after sixteen elements the same lines follow at a
//! stride. Down the [columns](LinesRef::columns), k counting through the rows, each element is one line behind the one
//! before. (Whole rows one after the other, as a [`Grid`](super::Grid) has them, cost a column a line and a page for
//! each element.) And the tiles of a cell, which have few columns of some rows at a time, find those next to each other.
//!
//! Like a grid, it may be held by several threads at once, which write disjoint rows or columns.

use super::planes::{Planes, Row};
use super::product::{Columns, LeftOperand};
use super::shared::Shared;
use crate::error::{Error, checked_size};
use crate::simd::LINE;
use std::marker::PhantomData;
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
    /// So many rows of so many planes of `size` columns.
    pub(crate) fn new(rows: usize, planes: usize, size: usize) -> Result<Self, Error> {
        // An odd number of lines: were it a power of two, the lines of a row would share a few sets of each cache.
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

    /// From a column of a row on, to where the line of the last row ends.
    #[inline(always)]
    pub(crate) fn from(&self, row: usize, plane: usize, column: usize) -> &'a [f32] {
        let Lines { rows, .. } = self.lines;
        let row = self.first + row;
        debug_assert!(row <= rows && plane < self.lines.planes);
        let start = self.lines.offset(row, plane, column);
        &self.data[start..start + (rows - row) * LINE - column % LINE]
    }

    /// The first `depth` columns of a plane of R rows from `first` on, for a product.
    #[inline(always)]
    pub(crate) fn rows<const R: usize>(&self, first: usize, plane: usize, depth: usize) -> LineRows<'a, R> {
        let Lines { rows, planes, stride, plane_stride } = self.lines;
        let first = self.first + first;
        assert!(first + R <= rows && plane < planes && depth.div_ceil(LINE) * stride <= plane_stride);
        // Of all the data: a run is further on in it than the line of the last row.
        let data = self.data[self.lines.offset(first, plane, 0)..].as_ptr();
        // SAFETY: those rows and columns are inside the data, which nobody writes.
        unsafe { LineRows::new(data, stride, depth) }
    }

    /// R columns of a plane over some rows, for a product.
    #[inline(always)]
    pub(crate) fn columns<const R: usize>(
        &self,
        rows: Range<usize>,
        plane: usize,
        first: usize,
    ) -> Columns<'a, R> {
        let mut columns: [&[f32]; R] = [&[]; R];
        for (r, column) in columns.iter_mut().enumerate() {
            *column = self.from(rows.start, plane, first + r);
        }
        Columns::new(columns, rows.len())
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

    /// A view to read only, of what nobody else writes either while it lives: nothing is then to be written through it.
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

    /// Whether there is this plane, and these columns of one line.
    #[inline(always)]
    fn has(&self, plane: usize, first: usize, count: usize) -> bool {
        let Lines { planes, stride, plane_stride, .. } = self.lines;
        plane < planes && first % LINE + count <= LINE && first / LINE * stride < plane_stride
    }

    /// The first `depth` columns of a plane of the R rows from here on, for a product.
    ///
    /// # Safety
    /// - Plane and columns exist, and so do the rows; nobody writes them in the lifetime.
    #[inline(always)]
    pub(crate) unsafe fn rows<const R: usize>(&self, plane: usize, depth: usize) -> LineRows<'a, R> {
        // SAFETY: inside the data by the caller's promise, which is passed on.
        unsafe { LineRows::new(self.data.address(self.lines.offset(0, plane, 0)), self.lines.stride, depth) }
    }
}

impl<'a> Planes<'a> for LineSlot<'a> {
    #[inline(always)]
    fn address(&self, row: usize, plane: usize, column: usize) -> *const f32 {
        self.data.address(self.lines.offset(row, plane, column))
    }
    #[inline(always)]
    unsafe fn columns(&self, row: usize, plane: usize, first: usize, count: usize) -> &'a [f32] {
        debug_assert!(self.has(plane, first, count));
        // SAFETY: inside the data by the caller's promise.
        unsafe { self.data.slice(self.lines.offset(row, plane, first), count) }
    }
    #[inline(always)]
    unsafe fn columns_mut(&self, row: usize, plane: usize, first: usize, count: usize) -> &'a mut [f32] {
        debug_assert!(self.has(plane, first, count));
        // SAFETY: inside the data by the caller's promise.
        unsafe { self.data.slice_mut(self.lines.offset(row, plane, first), count) }
    }
    #[inline(always)]
    unsafe fn row(&self, row: usize, plane: usize) -> Row<'a> {
        let Lines { stride, plane_stride, .. } = self.lines;
        // SAFETY: inside the data by the caller's promise, which is passed on.
        unsafe { Row::new(self.address(row, plane, 0), stride, plane_stride / stride * LINE) }
    }
}

/// The left operand of a product: R neighbouring rows, along their columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineRows<'a, const R: usize> {
    data: *const f32,
    stride: usize,
    depth: usize,
    life: PhantomData<&'a [f32]>,
}

impl<const R: usize> LineRows<'_, R> {
    /// The rows whose first line is at `data`, and each further one of them `stride` floats on.
    ///
    /// # Safety
    /// - Of each of the R rows `depth` floats are readable and nobody writes them in the lifetime.
    #[inline(always)]
    unsafe fn new(data: *const f32, stride: usize, depth: usize) -> Self {
        LineRows { data, stride, depth, life: PhantomData }
    }
}

impl<const R: usize> LeftOperand<R> for LineRows<'_, R> {
    // (To find each k from the start, by line and lane, cost dx 7 % of its time with AVX2, where a tile has three rows.)
    const RUN: usize = LINE;
    #[inline(always)]
    fn depth(&self) -> usize {
        self.depth
    }
    #[inline(always)]
    unsafe fn run(&self, k: usize) -> Self {
        // SAFETY: k < depth.
        LineRows { data: unsafe { self.data.add(k / LINE * self.stride) }, ..*self }
    }
    #[inline(always)]
    fn next(&self, r: usize) -> *const f32 {
        self.data.wrapping_add(self.stride + r * LINE)
    }
    #[inline(always)]
    unsafe fn get(&self, r: usize, k: usize) -> f32 {
        // SAFETY: k < depth, in the first line, and r < R.
        unsafe { *self.data.add(k + r * LINE) }
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
                    to.slot(row).columns_mut(0, plane, column, 1)[0] = value(row, plane, column);
                }
                assert_eq!(to.slot(row).row(0, plane).line(2)[7], value(row, plane, 39));
            }
        }
        let view = LinesRef::new(lines, &data, 1);
        let (along, down) = (view.rows::<3>(2, 1, size), view.columns::<3>(1..5, 1, 14));
        for r in 0..3 {
            // SAFETY: r and k are below the sizes.
            unsafe {
                for k in 0..size {
                    let run = along.run(k / LINE * LINE);
                    assert_eq!(run.get(r, k % LINE), value(3 + r, 1, k));
                }
                for k in 0..4 {
                    assert_eq!(down.get(r, k), value(2 + k, 1, 14 + r));
                }
            }
        }
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
