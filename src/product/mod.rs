//! Products `C (+)= A B` of rows with packed weights, on words of 32 bits. Nothing here knows of cells, time
//! or batches.
//!
//! ```text
//! format/      Precision: what a word of a panel is, how it is packed and multiplied; one file for each
//! tile.rs      Tile: rows and blocks, and which part of the next weights they prefetch
//! panel.rs     Panel: B, packed so that a kernel reads it front to back, once
//! operand.rs   RowPointers, SumPointers, Segment, WeightPointers: where what a kernel multiplies lies
//! kernel.rs    Product: what a kernel multiplies; the micro-kernel itself
//! table.rs     Table: the kernels of a level, by gates, blocks and rows
//! registry.rs  the tables of all levels and precisions
//! amx/         kernels of AMX's tiles, for the narrow precisions: in tables of AVX-512
//! sweep.rs     sweep: the loop over blocks and rows around the kernels
//! fringe.rs    Fringe: the last units, of which several rows multiply all gates side by side
//! heads.rs     Heads: weights that are block-diagonal, and a tile head by head
//! cuts.rs      a sum over several panels, gate by gate where they are too many for the cache
//! gradient.rs  products whose sums belong in a matrix that others own: gradients of weights and of inputs
//! narrow.rs    the gradient of weights where the input is narrower than a vector
//! sums.rs      sums over places: gradients of biases and of other vectors
//! gemm.rs      products outside the time loop, by `matrixmultiply`
//! ```
//!
//! **Glossary**, with the names of BLIS and oneDNN:
//!
//! | here | is |
//! |---|---|
//! | panel | B packed: BLIS's micro-panels of B; oneDNN's packed `weights_layer`, `weights_iter` |
//! | word | 32 bits of depth: one f32, two bf16, or four bytes |
//! | block | as many units as a vector has lanes: NR of one gate |
//! | fringe | the last units, fewer than lanes, a second time: all gates side by side in as few vectors as hold them |
//! | gate | one of the vectors that lie side by side in a panel; a tile has an accumulator of each |
//! | tile | R rows by U blocks by G gates of accumulators in registers: MR = R, NR = U G lanes |
//! | kernel | the micro-kernel of one (G, U, R): [`MicroKernel`] |
//! | segment | one A and one panel; a product sums over several, in order: W x, then R h |
//! | sum pointers | where sums begin or go: a bias, a tile's scratch, a gradient (the C pointer of BLIS) |
//! | turn | where the last gate's sum ends and another begins: the candidate of a GRU has two |
//! | sweep | the macro-kernel: blocks outside, rows inside |
//! | cut | a part of the sum over k: some gates at a time |
//! | finish | what becomes of the sums of a tile: the post-GEMM of oneDNN |
//!
//! The *places* of a chunk of steps are its (step, row), one after the other: K of them.

#[cfg(target_arch = "x86_64")]
mod amx;
mod cuts;
mod format;
mod fringe;
mod gemm;
mod gradient;
mod heads;
mod kernel;
mod narrow;
mod operand;
mod panel;
mod registry;
mod sums;
mod sweep;
mod table;
mod tile;

pub(crate) use cuts::{Gates, cuts};
pub use format::Precision;
#[cfg(test)]
pub(crate) use format::Words;
pub(crate) use format::{
    ConvertRows, FRONT, MAX_INPUTS, RowsToConvert, are_rounded, bf16_of, bytes_of, convert_rows, round,
    row_words,
};
pub(crate) use fringe::Fringe;
pub(crate) use gemm::{MatrixMut, MatrixRef, gemm};
pub(crate) use gradient::{Gradient, WeightGradient, sweep_gradient};
pub(crate) use heads::{Heads, OfHead, multiply_lanes};
pub(crate) use kernel::{Ends, MicroKernel, Product};
pub(crate) use narrow::{narrow_gradient, wide_blocks};
pub(crate) use operand::{MAX_ROWS, Prefetch, RowPointers, Segment, Segments, SumPointers};
pub(crate) use panel::{Panel, Source};
pub(crate) use registry::table;
pub(crate) use sums::sum_over_places;
pub(crate) use sweep::{MAX_ROWS_OF_RUN, RowCut, Scratch, Tiles, sweep};
pub(crate) use table::Table;
pub(crate) use tile::{Blocks, ROW_BLOCKS, Tile, WIDE};
