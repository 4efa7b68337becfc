//! Memory: aligned buffers, and how rows of floats lie in them.
//!
//! ```text
//! buffer.rs         AlignedBuf: zeroed floats on cache-line boundaries, an error where memory runs out
//! large_pages.rs    pages of 2 MiB for large buffers, where the system gives them on request
//! shared.rs         Shared: floats that threads write disjoint parts of
//! caches.rs         the size of the first-level cache
//! grid.rs           Grid: rows of floats by (slot, row, plane)
//! lines.rs          Lines: rows cut into cache lines, for products along rows and along columns
//! parts.rs          Parts: pieces of one length in one piece of memory
//! planes.rs         Planes, Row: what a tile reads and writes, of a grid or of lines
//! ```

mod buffer;
mod caches;
mod grid;
mod large_pages;
mod lines;
mod parts;
mod planes;
mod shared;

pub(crate) use buffer::AlignedBuf;
pub(crate) use caches::first_level;
pub(crate) use grid::{Grid, GridMut, GridRef, RowTable, Slot};
pub(crate) use lines::{LineSlot, Lines, LinesMut, LinesRef};
pub(crate) use parts::Parts;
pub(crate) use planes::{Planes, Row};
