//! Memory and products; nothing here knows of recurrences.
//!
//! ```text
//! buffer.rs    AlignedBuf: zeroed floats on cache-line boundaries, an error where memory runs out
//! shared.rs    Shared: floats that threads write disjoint parts of
//! grid.rs      Grid: rows of floats by (slot, row, plane), shared by threads that write disjoint ones
//! lines.rs     Lines: rows cut into cache lines, for products along rows and along columns
//! planes.rs    Planes, Row: what a tile reads and writes, of a grid or of lines
//! panel.rs     Panel: weights packed so that a product reads them front to back, once
//! cuts.rs      products with several panels, gate by gate where they are too many for the cache
//! product.rs   accumulate, the register tile
//! sweep.rs     sweep, the order of the tiles
//! gemm.rs      products outside the time loop, by `matrixmultiply`
//! ```

mod buffer;
mod cuts;
mod gemm;
mod grid;
mod lines;
mod panel;
mod planes;
mod product;
mod shared;
mod sweep;

pub(crate) use buffer::AlignedBuf;
pub(crate) use cuts::{Gates, cuts};
pub(crate) use gemm::{MatrixMut, MatrixRef, gemm};
pub(crate) use grid::{Grid, GridMut, GridRef, Slot};
pub(crate) use lines::{LineSlot, Lines, LinesMut, LinesRef};
pub(crate) use panel::{Panel, Source};
pub(crate) use planes::{Planes, Row};
pub(crate) use product::{Sums, accumulate};
pub(crate) use sweep::{Blocks, Part, Room, Tile, WIDE, put, sweep};
