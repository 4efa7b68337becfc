//! Gradients of some rows of a table.
//!
//! ```text
//! rows    [ 7, 2, 9 ]                    the touched rows, in the order of their first touch
//! values  [ row 7 | row 2 | row 9 ]      (rows, width)
//! slots   [ -, -, 1, ..., 0, -, 2 ]      of each row of the table, where its values are
//! ```
//!
//! The slots make a look-up fast, and cost one `u32` for each row of the table. To clear them, only the
//! touched rows are visited.

use crate::Error;
use crate::error::{check_index, check_len, checked_size, reserve};
use std::fmt;

/// The slot of a row that has not been touched.
const NONE: u32 = u32::MAX;

/// Gradients of the rows of a table `(table_rows, width)` that a batch has touched.
///
/// [`Embedding::backward`](super::Embedding::backward) fills it,
/// [`Optimizer::step_rows`](crate::train::Optimizer::step_rows) takes it. Kept from batch to batch it
/// allocates only where it has to grow.
///
/// ```
/// use fused_rnn::train::{RowGradients, clip_global_norm};
///
/// let mut gradients = RowGradients::new(1000, 2)?;
/// gradients.add(7, &[1.0, 2.0])?;
/// gradients.add(3, &[0.5, 0.5])?;
/// gradients.add(7, &[2.0, 2.0])?;
/// assert_eq!(gradients.rows(), [7, 3]);
/// assert_eq!(gradients.values(), [3.0, 4.0, 0.5, 0.5]);
/// // They are clipped together with all others.
/// clip_global_norm(&mut [gradients.values_mut()], 1.0)?;
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct RowGradients {
    width: usize,
    slots: Vec<u32>,
    rows: Vec<usize>,
    values: Vec<f32>,
}

/// Sizes, and none of the numbers.
impl fmt::Debug for RowGradients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowGradients")
            .field("table_rows", &self.slots.len())
            .field("width", &self.width)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl RowGradients {
    /// No gradients yet, for a table of `table_rows` rows of `width` values.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::SizeOverflow`] or [`Error::OutOfMemory`] for sizes that cannot be.
    pub fn new(table_rows: usize, width: usize) -> Result<Self, Error> {
        for (what, size) in [("table rows", table_rows), ("table width", width)] {
            if size == 0 {
                return Err(Error::ZeroSize { what });
            }
        }
        checked_size("table", &[table_rows, width])?;
        if table_rows >= NONE as usize {
            return Err(Error::SizeOverflow { what: "table rows" });
        }
        let mut slots = Vec::new();
        reserve(&mut slots, table_rows)?;
        slots.resize(table_rows, NONE);
        Ok(RowGradients { width, slots, rows: Vec::new(), values: Vec::new() })
    }

    /// Rows of the whole table that these are gradients of.
    pub fn table_rows(&self) -> usize {
        self.slots.len()
    }

    /// Values of a row of the table.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The touched rows of the table, each once, in the order of their first touch.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The gradients of [`rows`](RowGradients::rows), `(rows, width)`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The gradients of [`rows`](RowGradients::rows), to be clipped or scaled.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The touched rows, each with its gradient.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.rows.iter().copied().zip(self.values.chunks_exact(self.width))
    }

    /// Forgets all gradients. The memory stays.
    pub fn clear(&mut self) {
        for &row in &self.rows {
            self.slots[row] = NONE;
        }
        self.rows.clear();
        self.values.clear();
    }

    /// Adds a gradient `(width)` to that of a row.
    ///
    /// # Errors
    /// [`Error::Index`] for a row that the table does not have, [`Error::Length`] for another width,
    /// [`Error::OutOfMemory`] where there is no room. Nothing has been added then.
    pub fn add(&mut self, row: usize, gradient: &[f32]) -> Result<(), Error> {
        check_index("row of the table", self.slots.len(), row)?;
        check_len("gradient of a row", self.width, gradient.len())?;
        self.reserve(1)?;
        self.add_checked(row, gradient);
        Ok(())
    }

    /// The gradient of the whole table, `(table_rows, width)`: zero in the rows that have not been touched.
    ///
    /// # Errors
    /// [`Error::Length`] where `table` is not as large. It is untouched then.
    pub fn to_dense(&self, table: &mut [f32]) -> Result<(), Error> {
        check_len("table", self.table_len(), table.len())?;
        table.fill(0.0);
        for (row, gradient) in self.iter() {
            table[row * self.width..][..self.width].copy_from_slice(gradient);
        }
        Ok(())
    }

    /// Values of the whole table.
    pub(crate) fn table_len(&self) -> usize {
        self.slots.len() * self.width
    }

    /// Makes room for this many more rows.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), Error> {
        // Never more than the table has.
        let more = more.min(self.slots.len() - self.rows.len());
        let refused = |bytes: usize| move |_| Error::OutOfMemory { bytes };
        self.rows.try_reserve(more).map_err(refused(more * size_of::<usize>()))?;
        self.values.try_reserve(more * self.width).map_err(refused(more * self.width * size_of::<f32>()))
    }

    /// Adds to a row that is there, in room that has been made.
    pub(super) fn add_checked(&mut self, row: usize, gradient: &[f32]) {
        let slot = &mut self.slots[row];
        if *slot == NONE {
            *slot = self.rows.len() as u32;
            self.rows.push(row);
            self.values.extend_from_slice(gradient);
            return;
        }
        let sums = &mut self.values[*slot as usize * self.width..][..self.width];
        for (sum, value) in sums.iter_mut().zip(gradient) {
            *sum += value;
        }
    }
}
