//! The table of AVX-512 for a precision, with tiles of AMX in place of its tiles of several rows.

use super::columns::Shape;
use super::machine::ROWS;
use crate::product::kernel::Product;
use crate::product::operand::MOST_ROWS;
use crate::product::table::{Heights, MicroKernel, Table};

/// A kernel of tiles, for the words of a precision.
pub(in crate::product) trait Kernel {
    /// The product of a tile of sums, or of a run of them.
    ///
    /// # Safety
    /// - The machine has AVX-512, and the tiles of this precision (`machine.rs`).
    /// - The rest as for [`Multiply`](crate::product::kernel::Multiply). The rows of A are at a stride, and
    ///   there are two at least.
    unsafe fn multiply(product: &Product<'_>, shape: &Shape);
}

/// Tiles of fewer rows are multiplied by vectors. A product of tiles takes as long for one row as for
/// sixteen; for three, vectors take twice as long in the loop alone (two multiply-adds and two conversions a
/// word and gate for each two rows, against a load).
const FEWEST_ROWS: usize = 3;

/// How many times as many products are done in a second: half of what the instructions do.
const SPEED: f64 = 6.0;

/// # Safety
/// - As for [`Kernel::multiply`].
unsafe fn multiply<K: Kernel, const G: usize, const U: usize, const R: usize>(product: &Product<'_>) {
    // SAFETY: the caller's promise, passed on.
    unsafe { K::multiply(product, const { &Shape { gates: G, blocks: U, rows: R } }) }
}

/// The kernels of G gates and U blocks: those of vectors for few rows.
const fn heights<K: Kernel, const G: usize, const U: usize>(vectors: &Heights) -> Heights {
    let tiles: [MicroKernel; MOST_ROWS + 1 - FEWEST_ROWS] = [
        multiply::<K, G, U, 3>,
        multiply::<K, G, U, 4>,
        multiply::<K, G, U, 5>,
        multiply::<K, G, U, 6>,
        multiply::<K, G, U, 7>,
        multiply::<K, G, U, 8>,
        multiply::<K, G, U, 9>,
        multiply::<K, G, U, 10>,
        multiply::<K, G, U, 11>,
        multiply::<K, G, U, 12>,
        multiply::<K, G, U, 13>,
        multiply::<K, G, U, 14>,
        multiply::<K, G, U, 15>,
        multiply::<K, G, U, 16>,
    ];
    let mut heights = *vectors;
    let mut n = 0;
    while n < tiles.len() {
        heights[FEWEST_ROWS - 1 + n] = tiles[n];
        n += 1;
    }
    heights
}

/// This table with tiles, which may be of sixteen rows.
pub(in crate::product) const fn with_tiles<K: Kernel>(vectors: Table) -> Table {
    let mut table = vectors;
    let [one, two, three, four] = [1, 2, 3, 4];
    let kernels = &mut table.kernels;
    kernels[one][0] = heights::<K, 1, 1>(&kernels[one][0]);
    kernels[one][1] = heights::<K, 1, 2>(&kernels[one][1]);
    kernels[one][3] = heights::<K, 1, 4>(&kernels[one][3]);
    kernels[two][0] = heights::<K, 2, 1>(&kernels[two][0]);
    kernels[two][1] = heights::<K, 2, 2>(&kernels[two][1]);
    kernels[three][0] = heights::<K, 3, 1>(&kernels[three][0]);
    kernels[four][0] = heights::<K, 4, 1>(&kernels[four][0]);
    let mut n = 1;
    while n < table.heights.len() {
        table.heights[n] = ROWS;
        n += 1;
    }
    table.rate *= SPEED;
    table
}
