//! The table of AVX-512 for a precision, with tiles of AMX in place of its tiles of several rows.

use super::bytes::Bytes;
use super::columns::Shape;
use super::kernel::{Sum, multiply};
use super::machine::ROWS;
use super::pairs::Pairs;
use crate::product::kernel::{MicroKernel, Product};
use crate::product::operand::MAX_ROWS;
use crate::product::table::{Heights, Table};

/// Tiles of fewer rows are multiplied by vectors: an estimate, not measured. A tile of weights is loaded for
/// whatever number of rows, and vectors have two at a time.
const MIN_ROWS: usize = 3;

/// How many times as many products schedules expect in a second: an estimate, not measured.
const SPEED: f64 = 6.0;

/// # Safety
/// - As for [`multiply`].
unsafe fn kernel<S: Sum, const G: usize, const U: usize, const R: usize>(product: &Product<'_>) {
    // SAFETY: the caller's promise, passed on.
    unsafe { multiply::<S>(product, const { &Shape { gates: G, blocks: U, rows: R } }) }
}

/// The kernels of G gates and U blocks: those of vectors for few rows.
const fn heights<S: Sum, const G: usize, const U: usize>(vectors: &Heights) -> Heights {
    let tiles: [MicroKernel; MAX_ROWS + 1 - MIN_ROWS] = [
        kernel::<S, G, U, 3>,
        kernel::<S, G, U, 4>,
        kernel::<S, G, U, 5>,
        kernel::<S, G, U, 6>,
        kernel::<S, G, U, 7>,
        kernel::<S, G, U, 8>,
        kernel::<S, G, U, 9>,
        kernel::<S, G, U, 10>,
        kernel::<S, G, U, 11>,
        kernel::<S, G, U, 12>,
        kernel::<S, G, U, 13>,
        kernel::<S, G, U, 14>,
        kernel::<S, G, U, 15>,
        kernel::<S, G, U, 16>,
    ];
    let mut heights = *vectors;
    let mut n = 0;
    while n < tiles.len() {
        heights[MIN_ROWS - 1 + n] = tiles[n];
        n += 1;
    }
    heights
}

/// The table of pairs of bf16 with tiles.
pub(in crate::product) const fn with_pairs(vectors: Table) -> Table {
    with_tiles::<Pairs>(vectors)
}

/// The table of bytes with tiles.
pub(in crate::product) const fn with_bytes(vectors: Table) -> Table {
    with_tiles::<Bytes>(vectors)
}

/// This table with tiles, which may be of sixteen rows.
const fn with_tiles<S: Sum>(vectors: Table) -> Table {
    let mut table = vectors;
    // By gates, and by blocks less one.
    let kernels = &mut table.kernels;
    kernels[1][0] = heights::<S, 1, 1>(&kernels[1][0]);
    kernels[1][1] = heights::<S, 1, 2>(&kernels[1][1]);
    kernels[1][3] = heights::<S, 1, 4>(&kernels[1][3]);
    kernels[2][0] = heights::<S, 2, 1>(&kernels[2][0]);
    kernels[2][1] = heights::<S, 2, 2>(&kernels[2][1]);
    kernels[3][0] = heights::<S, 3, 1>(&kernels[3][0]);
    kernels[4][0] = heights::<S, 4, 1>(&kernels[4][0]);
    let mut n = 1;
    while n < table.heights.len() {
        table.heights[n] = ROWS;
        n += 1;
    }
    table.rate *= SPEED;
    table
}
