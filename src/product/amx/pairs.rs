//! The kernel of pairs of bf16: sums go from where they begin through all segments to where they belong.

use super::columns::{Columns, Shape};
use super::machine::Configured;
use super::operands::Operands;
use super::sums::sum;
use super::table::Kernel;
use crate::product::kernel::{Ends, Product};

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(in crate::product) struct Pairs;

impl Kernel for Pairs {
    /// # Safety
    /// - As for [`Kernel::multiply`].
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply(product: &Product<'_>, shape: &Shape) {
        let Product { ends: ends @ &Ends { tiles, .. }, segments } = *product;
        // SAFETY: the machine has tiles by the caller's promise.
        let _configured = unsafe { Configured::new(shape.rows) };
        let mut tile = 0;
        while tile < tiles {
            let mut operands = Operands::new(segments, shape, (tile, (tiles - tile).min(2)));
            // SAFETY: the caller's promise: rows, blocks and places exist.
            unsafe {
                operands.copy_rows();
                let mut n = 0;
                while let Some(columns) = Columns::nth(n, ends, segments.len(), shape) {
                    sum(&mut operands, &columns, &ends.to);
                    n += 1;
                }
            }
            tile += 2;
        }
    }
}
