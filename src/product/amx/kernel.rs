//! The kernel: it takes the tiles of a run two at a time, and the columns of each two tiles two at a time.

use super::columns::{Columns, Shape};
use super::machine::Configured;
use super::operands::Operands;
use crate::product::kernel::{Ends, Product};
use crate::product::operand::SumPointers;

/// How the words of a precision are multiplied and added to sums.
pub(super) trait Sum {
    /// Computes the sums of one or two columns with one or two tiles of rows, from where they begin through
    /// their segments to where they go.
    ///
    /// # Safety
    /// - As for [`multiply`], of these tiles and columns. The tiles are configured, and the rows copied.
    unsafe fn sum(operands: &mut Operands<'_>, columns: &Columns, to: &SumPointers);
}

/// The product of a tile of sums, or of a run of them.
///
/// # Safety
/// - The machine has AVX-512, and the tiles of this precision (`machine.rs`).
/// - The rest as for [`Multiply`](crate::product::kernel::Multiply). The rows of A are at a stride, and there
///   are two at least.
#[inline(never)]
pub(super) unsafe fn multiply<S: Sum>(product: &Product<'_>, shape: &Shape) {
    let Product { ends: ends @ &Ends { tiles, .. }, segments } = *product;
    // SAFETY: the machine has tiles by the caller's promise.
    let _configured = unsafe { Configured::new(shape.rows) };
    let mut tile = 0;
    while tile < tiles {
        let mut operands = Operands::new(segments, shape, (tile, (tiles - tile).min(2)));
        // SAFETY: the caller's promise: rows, blocks and places exist.
        unsafe { operands.copy_rows() };
        let mut n = 0;
        while let Some(columns) = Columns::nth(n, ends, segments.len(), shape) {
            // SAFETY: as above.
            unsafe { S::sum(&mut operands, &columns, &ends.to) };
            n += 1;
        }
        tile += 2;
    }
}
