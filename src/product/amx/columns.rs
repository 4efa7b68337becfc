//! The columns of a product: a column is one gate of one block, which fills a tile of weights. Two tiles of
//! rows are multiplied with two columns at a time:
//!
//! ```text
//! gates, blocks   4, 1       0 1 | 2 3
//!                 3, 1       0 1 | 2
//!                 3, 1       0 1 | 2 up to the turn | 2 from there on
//!                 1, 4       0 1 | 2 3, of blocks
//! ```

use crate::product::kernel::Ends;
use crate::product::operand::SumPointers;
use std::ops::Range;

/// The gates, blocks and rows of a tile of sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) gates: usize,
    pub(super) blocks: usize,
    pub(super) rows: usize,
}

/// A column of sums: a gate of a block of weights. Its sums begin `from` floats into a row, and go to `to`
/// floats into a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) block: usize,
    pub(super) gate: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// One or two columns of sums that go through the same segments.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) from: SumPointers,
    pub(super) segments: Range<usize>,
    /// `count` of them.
    pub(super) each: [Column; 2],
    pub(super) count: usize,
}

impl Columns {
    /// The n-th columns of a product: pairs in order. If the product turns, its last gate comes last and by
    /// itself, twice: through the segments before the turn, and through those after it. `None` after the
    /// last.
    #[inline(never)]
    pub(super) fn nth(n: usize, ends: &Ends, segments: usize, shape: &Shape) -> Option<Columns> {
        let (Ends { start, to, turn, .. }, Shape { gates, blocks, .. }) = (*ends, *shape);
        let column = |n: usize| {
            let (block, gate) = (n / gates, n % gates);
            let [from, to] = [start, to].map(|place| block * place.block + gate * place.gate);
            Column { block, gate, from, to }
        };
        let straight = gates * blocks - usize::from(turn.is_some());
        let (pairs, last) = (straight.div_ceil(2), column(straight));
        if n < pairs {
            let (each, count) = ([column(2 * n), column(2 * n + 1)], (straight - 2 * n).min(2));
            return Some(Columns { from: start, segments: 0..segments, each, count });
        }
        let (at, fresh) = turn?;
        let (from, segments, column) = match n - pairs {
            0 => (start, 0..at, last),
            1 => (
                fresh,
                at..segments,
                Column { from: last.block * fresh.block, to: last.to + to.gate, ..last },
            ),
            _ => return None,
        };
        Some(Columns { from, segments, each: [column; 2], count: 1 })
    }
}
