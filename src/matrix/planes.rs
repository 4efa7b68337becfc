//! Rows of planes, wherever they lie: what the tiles of a cell read and write.
//!
//! Of a [`Grid`](super::Grid) a plane of a row is one piece; of [`Lines`](super::Lines) it is cut into cache lines, which lie
//! apart. A cell does not see the difference: it takes some columns of one line, or a [`Row`], line by line.

use crate::simd::LINE;
use std::marker::PhantomData;
use std::ops::Range;

/// Some rows, from one of them on.
pub(crate) trait Planes<'a>: Copy {
    /// Where a column of a plane of a row is, or would be: to prefetch.
    fn address(&self, row: usize, plane: usize, column: usize) -> *const f32;

    /// `count` columns of a plane of a row, of one line.
    ///
    /// # Safety
    /// - Row, plane and columns exist, and nobody writes these columns while the slice lives.
    unsafe fn columns(&self, row: usize, plane: usize, first: usize, count: usize) -> &'a [f32];

    /// `count` columns of a plane of a row, of one line, to write.
    ///
    /// # Safety
    /// - Row, plane and columns exist, and nobody else reads or writes these columns while the slice lives.
    /// - They are not a view to read only.
    unsafe fn columns_mut(&self, row: usize, plane: usize, first: usize, count: usize) -> &'a mut [f32];

    /// A plane of a row.
    ///
    /// # Safety
    /// - Row and plane exist, and nobody writes this plane of the row in the lifetime.
    unsafe fn row(&self, row: usize, plane: usize) -> Row<'a>;
}

/// One row, line by line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    data: *const f32,
    /// From a line to the next.
    stride: usize,
    columns: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a> Row<'a> {
    /// A row whose lines follow each other.
    #[inline(always)]
    pub(crate) fn of(row: &'a [f32]) -> Self {
        Row { data: row.as_ptr(), stride: LINE, columns: row.len(), life: PhantomData }
    }

    /// A row of so many columns, whose lines begin at `data` and at multiples of `stride` from there.
    ///
    /// # Safety
    /// - Those columns are readable, and nobody writes them in the lifetime.
    #[inline(always)]
    pub(super) unsafe fn new(data: *const f32, stride: usize, columns: usize) -> Self {
        Row { data, stride, columns, life: PhantomData }
    }

    /// How many columns there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.columns
    }

    /// Some columns of one line.
    #[inline(always)]
    pub(crate) fn columns(&self, columns: Range<usize>) -> &'a [f32] {
        let Range { start, end } = columns;
        assert!(start <= end && end <= self.columns && start % LINE + (end - start) <= LINE);
        // (Wrapping, since a line past the last is no place in the data: there are then no columns.)
        let first = self.data.wrapping_add(start / LINE * self.stride + start % LINE);
        // SAFETY: the columns exist and are those of one line; nobody writes them in the lifetime.
        unsafe { std::slice::from_raw_parts(first, end - start) }
    }

    /// The n-th line, which is whole.
    #[inline(always)]
    pub(crate) fn line(&self, n: usize) -> &'a [f32; LINE] {
        assert!(n < self.columns / LINE);
        // SAFETY: the line exists, and nobody writes it in the lifetime.
        unsafe { &*self.data.add(n * self.stride).cast() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_no_column_past_its_last_and_no_line_that_is_not_whole() {
        let data: Vec<f32> = (0..2 * LINE + 3).map(|k| k as f32).collect();
        let row = Row::of(&data);
        assert_eq!(row.len(), 2 * LINE + 3);
        assert_eq!(row.line(1)[..], data[LINE..2 * LINE]);
        assert_eq!(row.columns(LINE + 2..2 * LINE), &data[LINE + 2..2 * LINE]);
        assert_eq!(row.columns(2 * LINE..2 * LINE + 3), &data[2 * LINE..]);
        assert!(row.columns(2 * LINE + 3..2 * LINE + 3).is_empty());
        let refused = |columns: Range<usize>| std::panic::catch_unwind(|| row.columns(columns)).is_err();
        assert!(refused(2 * LINE..2 * LINE + 4), "past the end");
        assert!(refused(LINE - 1..LINE + 1), "of two lines");
        assert!(std::panic::catch_unwind(|| row.line(2)).is_err(), "the last line is in part");
    }

    #[test]
    fn lines_may_lie_apart() {
        let data: Vec<f32> = (0..5 * LINE).map(|k| k as f32).collect();
        // SAFETY: three lines, two lines apart.
        let row = unsafe { Row::new(data.as_ptr(), 2 * LINE, 3 * LINE) };
        assert_eq!(row.columns(LINE + 1..LINE + 3), &data[2 * LINE + 1..2 * LINE + 3]);
        assert_eq!(row.line(2)[..], data[4 * LINE..]);
        assert!(row.columns(3 * LINE..3 * LINE).is_empty());
    }
}
