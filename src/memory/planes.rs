//! Rows of planes, wherever they lie: what the tiles of a cell read and write.
//!
//! In a [`Grid`](super::Grid) a plane of a row is contiguous; in [`Lines`](super::Lines) it is cut into cache
//! lines that lie apart. A cell does not see the difference: it reads a vector within one line, or a [`Row`]
//! line by line.

use crate::simd::{Isa, LINE};
use std::marker::PhantomData;
use std::ops::Range;

/// Access to planes of consecutive rows of a [`Grid`](super::Grid) or of [`Lines`](super::Lines).
pub(crate) trait Planes: Copy {
    /// Where a column of a plane of a row is, or would be.
    fn address(&self, row: usize, plane: usize, column: usize) -> *mut f32;

    /// The number of planes of a row.
    fn planes(&self) -> usize;

    /// Prefetches `count` columns from `column` on of the first planes of a row: each line once.
    fn prefetch(&self, row: usize, planes: usize, column: usize, count: usize);

    /// A plane of a row.
    ///
    /// # Safety
    /// - Row and plane exist, and nobody writes this plane of the row in the lifetime.
    unsafe fn row<'a>(&self, row: usize, plane: usize) -> Row<'a>
    where
        Self: 'a;
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

    /// A row of `columns` columns. Its lines begin at `data` and then at every `stride` floats.
    ///
    /// # Safety
    /// - Those columns are readable, and nobody writes them in the lifetime.
    #[inline(always)]
    pub(super) unsafe fn new(data: *const f32, stride: usize, columns: usize) -> Self {
        Row { data, stride, columns, life: PhantomData }
    }

    /// Some columns of a row whose lines follow each other.
    pub(crate) fn columns(self, columns: Range<usize>) -> Self {
        assert!(self.stride == LINE && columns.start <= columns.end && columns.end <= self.columns);
        Row { data: self.address(columns.start), columns: columns.len(), ..self }
    }

    /// How many columns there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.columns
    }

    /// Where a column is.
    #[inline(always)]
    fn address(&self, column: usize) -> *const f32 {
        self.data.wrapping_add(column / LINE * self.stride + column % LINE)
    }

    /// The vector that begins at a column which is a multiple of the lanes.
    #[inline(always)]
    pub(crate) fn load<I: Isa>(&self, isa: I, column: usize) -> I::Vector {
        assert!(
            column.is_multiple_of(I::LANES) && column < self.columns && self.columns - column >= I::LANES
        );
        // SAFETY: those columns exist, and are of one line; nobody writes them in the lifetime.
        unsafe { isa.load_ptr(self.address(column)) }
    }

    /// Copies `to.len()` columns from `column` on; all lie in one line.
    #[inline(always)]
    pub(crate) fn copy(&self, column: usize, to: &mut [f32]) {
        let count = to.len();
        assert!(column <= self.columns && count <= self.columns - column && column % LINE + count <= LINE);
        // The address may wrap: a line past the last is not in the data, but then there are no columns to
        // read.
        // SAFETY: the columns exist and are those of one line; nobody writes them in the lifetime, and `to`
        // is ours.
        unsafe { std::ptr::copy_nonoverlapping(self.address(column), to.as_mut_ptr(), count) }
    }

    /// The n-th line, which is whole.
    #[inline(always)]
    pub(crate) fn line(&self, n: usize) -> [f32; LINE] {
        assert!(n < self.columns / LINE);
        // SAFETY: the line exists, and nobody writes it in the lifetime.
        unsafe { *self.data.add(n * self.stride).cast() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    #[test]
    fn a_row_has_no_column_past_its_last_and_no_line_that_is_not_whole() {
        let data: Vec<f32> = (0..2 * LINE + 3).map(|k| k as f32).collect();
        let row = Row::of(&data);
        assert_eq!(row.len(), 2 * LINE + 3);
        assert_eq!(row.line(1)[..], data[LINE..2 * LINE]);
        let copied = |column: usize, count: usize| {
            let mut to = vec![0.0; count];
            row.copy(column, &mut to);
            to
        };
        assert_eq!(copied(LINE + 2, LINE - 2), &data[LINE + 2..2 * LINE]);
        assert_eq!(copied(2 * LINE, 3), &data[2 * LINE..]);
        assert!(copied(2 * LINE + 3, 0).is_empty());
        let refused = |work: &(dyn Fn() + std::panic::RefUnwindSafe)| std::panic::catch_unwind(work).is_err();
        assert!(refused(&|| row.copy(2 * LINE, &mut [0.0; 4])), "past the end");
        assert!(refused(&|| row.copy(LINE - 1, &mut [0.0; 2])), "of two lines");
        assert!(refused(&|| row.copy(usize::MAX, &mut [0.0; 1])), "nowhere");
        assert!(refused(&|| _ = row.line(2)), "the last line is in part");
        assert!(refused(&|| _ = row.load(Portable, 2 * LINE)), "the last vector is in part");
        assert!(refused(&|| _ = row.load(Portable, 2)), "a vector of two lines");
    }

    #[test]
    fn lines_may_lie_apart() {
        let data: Vec<f32> = (0..5 * LINE).map(|k| k as f32).collect();
        // SAFETY: three lines, two lines apart.
        let row = unsafe { Row::new(data.as_ptr(), 2 * LINE, 3 * LINE) };
        let mut to = [0.0; 2];
        row.copy(LINE + 1, &mut to);
        assert_eq!(to, data[2 * LINE + 1..2 * LINE + 3]);
        assert_eq!(row.line(2)[..], data[4 * LINE..]);
        row.copy(3 * LINE, &mut []);
    }
}
