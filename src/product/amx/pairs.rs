//! The sums of `Bf16`: they go through all segments in one chain, in tile registers.

use super::chain::{Sums, chain};
use super::columns::Columns;
use super::kernel::Sum;
use super::operands::{Copied, Operands, copy_line};
use crate::product::operand::SumPointers;

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairs;

impl Sum for Pairs {
    /// (Without segments the sums are copied from where they begin to where they go.)
    ///
    /// # Safety
    /// - As for [`Sum::sum`].
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn sum(operands: &mut Operands<'_>, columns: &Columns, to: &SumPointers) {
        let (from, (tile, tiles)) = (&columns.from, operands.tiles());
        let (Some((first, from_row)), Some((last, to_row))) = (from.rows.at_stride(), to.rows.at_stride())
        else {
            // SAFETY: the caller's promise, passed on.
            return unsafe { sum_of_listed(operands, columns, to) };
        };
        // (If there is a single column, or tile, the other is not used.)
        let corners = |first: *mut f32, next: usize, on: [usize; 2]| {
            [tile * next, (tile + 1) * next].map(|tile| on.map(|column| first.wrapping_add(tile + column)))
        };
        let sums = Sums {
            from: corners(first, from.next, columns.each.map(|column| column.from)),
            from_row: from_row * size_of::<f32>(),
            to: corners(last, to.next, columns.each.map(|column| column.to)),
            to_row: to_row * size_of::<f32>(),
        };
        // SAFETY: the caller's promise.
        unsafe {
            chain::<false>(&sums, operands.parts(columns.segments.clone(), columns), tiles, columns.count)
        };
    }
}

/// The same where rows of sums lie at no stride: through a copy.
///
/// # Safety
/// - As for [`Sum::sum`].
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn sum_of_listed(operands: &mut Operands<'_>, columns: &Columns, to: &SumPointers) {
    let (rows, (tile, tiles)) = (operands.shape().rows, operands.tiles());
    let mut copies = [[Copied::NONE; 2]; 2];
    let (each, of_tile) = (rows * columns.count * tiles, rows * columns.count);
    let places = |n: usize| (n / of_tile, n % of_tile / rows, n % rows);
    for (t, c, r) in (0..each).map(places) {
        // SAFETY: the caller's promise; the copy has as many rows.
        unsafe {
            let from = row_of(&columns.from, tile + t, r).wrapping_add(columns.each[c].from);
            copy_line(from, copies[t][c].row(r).cast());
        }
    }
    let addresses = copies.each_mut().map(|copies| copies.each_mut().map(|copy| copy.row(0).cast()));
    let sums = Sums { from: addresses, from_row: Copied::ROW, to: addresses, to_row: Copied::ROW };
    // SAFETY: as above.
    unsafe { chain::<false>(&sums, operands.parts(columns.segments.clone(), columns), tiles, columns.count) };
    for (t, c, r) in (0..each).map(places) {
        // SAFETY: as above.
        unsafe {
            let to = row_of(to, tile + t, r).wrapping_add(columns.each[c].to);
            copy_line(copies[t][c].row(r).cast(), to);
        }
    }
}

/// Where a row of sums is. (Not inlined, or the loops are there for every kind of place.)
///
/// # Safety
/// - As for [`SumPointers::row`].
#[inline(never)]
unsafe fn row_of(place: &SumPointers, tile: usize, row: usize) -> *mut f32 {
    // SAFETY: the caller's promise, passed on.
    unsafe { place.row(tile, row) }
}
