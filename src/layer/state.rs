//! The state that a stream of sequences carries from call to call.

use crate::cell::{C, CellKind, H};
use crate::error::{Error, check_len};
use crate::memory::{AlignedBuf, Grid};

/// The hidden states, and for an LSTM the cell states, of every direction of every layer, for a batch of
/// rows.
///
/// The caller holds the state. A call reads the initial state from it and writes the final state to it, so a
/// sequence can be cut anywhere and a stream can go on for ever.
///
/// This does not hold for a reverse direction. There the state at the end of a piece comes from the next
/// piece, which is not there yet; the state that a call leaves is the one at the beginning of its piece. Set
/// the state of such a network to zero before each piece: each piece is then a sequence of its own.
///
/// The methods show the state as PyTorch does, `(layers * directions, batch, hidden_size)`, P wide with a
/// projection. Inside, the planes of a row lie together:
///
/// ```text
/// [layer * directions + direction][row][h | c][hidden size, padded to 16]
/// ```
///
/// ```
/// use fused_rnn::Lstm;
///
/// let lstm = Lstm::builder(1, 3).build()?;
/// let mut state = lstm.zero_state(2)?;
/// state.set_h(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(state.row_h(0, 1), Some(&[4.0, 5.0, 6.0][..]));
/// assert_eq!(state.c(), [0.0; 6]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct State {
    kind: CellKind,
    hidden_size: usize,
    /// The width of the hidden state.
    outputs: usize,
    cells: usize,
    batch: usize,
    grid: Grid,
    data: AlignedBuf,
}

impl State {
    pub(crate) fn zero(
        kind: CellKind,
        cells: usize,
        batch: usize,
        (hidden_size, outputs): (usize, usize),
    ) -> Result<Self, Error> {
        let planes = if kind.has_cell_state() { 2 } else { 1 };
        let grid = Grid::padded(cells, batch, planes, hidden_size)?;
        Ok(State { kind, hidden_size, outputs, cells, batch, grid, data: AlignedBuf::zeroed(grid.len())? })
    }

    /// The number of rows.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// A copy of the hidden states, `(layers * directions, batch, hidden_size)`, or P wide with a projection.
    /// The copy is allocated; [`row_h`](State::row_h) borrows.
    pub fn h(&self) -> Vec<f32> {
        self.gather(H, self.outputs)
    }

    /// A copy of the cell states, `(layers * directions, batch, hidden_size)`; empty if the cell has no cell
    /// state.
    pub fn c(&self) -> Vec<f32> {
        if self.kind.has_cell_state() { self.gather(C, self.hidden_size) } else { Vec::new() }
    }

    /// Sets the hidden states from `(layers * directions, batch, hidden_size)`, P wide with a projection.
    ///
    /// # Errors
    /// [`Error::Length`] where `h` has another length.
    pub fn set_h(&mut self, h: &[f32]) -> Result<(), Error> {
        check_len("h", self.cells * self.batch * self.outputs, h.len())?;
        self.scatter(H, self.outputs, h);
        Ok(())
    }

    /// Sets the cell states from `(layers * directions, batch, hidden_size)`.
    ///
    /// # Errors
    /// [`Error::Length`] where `c` has another length. If the cell has no cell state, the length is 0.
    pub fn set_c(&mut self, c: &[f32]) -> Result<(), Error> {
        let planes = usize::from(self.kind.has_cell_state());
        check_len("c", planes * self.cells * self.batch * self.hidden_size, c.len())?;
        if planes > 0 {
            self.scatter(C, self.hidden_size, c);
        }
        Ok(())
    }

    /// The hidden state of one row of one direction of one layer, at `cell = layer * directions + direction`,
    /// without a copy. `None` where there is no such direction or row.
    pub fn row_h(&self, cell: usize, row: usize) -> Option<&[f32]> {
        (cell < self.cells && row < self.batch).then(|| &self.plane(cell, row, H)[..self.outputs])
    }

    /// Sets the states of all rows to zero.
    pub fn reset(&mut self) {
        self.data.fill(0.0);
    }

    /// Sets the state of one row to zero, in all layers and directions: one of several streams begins anew.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where there is no such row.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        if row >= self.batch {
            let expected = "a row below the batch";
            return Err(Error::OutOfRange { what: "row of a state", expected, got: row as f64 });
        }
        (0..self.cells).for_each(|cell| self.record_mut(cell, row).fill(0.0));
        Ok(())
    }

    /// Planes of a record: the vectors of a unit.
    pub(crate) fn planes(&self) -> usize {
        self.grid.planes()
    }

    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    pub(crate) fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The records of all rows of one direction of one layer.
    pub(crate) fn cell(&self, cell: usize) -> &[f32] {
        let len = self.batch * self.grid.row_stride();
        &self.data[cell * len..][..len]
    }

    /// The records of all rows of one direction of one layer, to write.
    pub(crate) fn cell_mut(&mut self, cell: usize) -> &mut [f32] {
        let len = self.batch * self.grid.row_stride();
        &mut self.data[cell * len..][..len]
    }

    /// All planes of a row, padded, in the form of a slot of a pass.
    pub(crate) fn record(&self, cell: usize, row: usize) -> &[f32] {
        let start = self.grid.offset(cell, row, H);
        &self.data[start..start + self.grid.row_stride()]
    }

    /// All planes of a row, to write.
    pub(crate) fn record_mut(&mut self, cell: usize, row: usize) -> &mut [f32] {
        let start = self.grid.offset(cell, row, H);
        &mut self.data[start..start + self.grid.row_stride()]
    }

    fn plane(&self, cell: usize, row: usize, plane: usize) -> &[f32] {
        &self.data[self.grid.offset(cell, row, plane)..]
    }

    fn gather(&self, plane: usize, width: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.cells * self.batch * width);
        for cell in 0..self.cells {
            for row in 0..self.batch {
                values.extend_from_slice(&self.plane(cell, row, plane)[..width]);
            }
        }
        values
    }

    fn scatter(&mut self, plane: usize, width: usize, values: &[f32]) {
        let mut from = values.chunks_exact(width);
        for cell in 0..self.cells {
            for (row, from) in (0..self.batch).zip(&mut from) {
                let start = self.grid.offset(cell, row, plane);
                self.data[start..start + width].copy_from_slice(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Gru, Lstm};

    #[test]
    fn rows_are_found_and_reset() {
        let layer = Lstm::builder(1, 3).layers(2).projection(2).build().unwrap();
        let mut state = layer.zero_state(2).unwrap();
        let h: Vec<f32> = (0..8).map(|k| k as f32 + 1.0).collect();
        let c: Vec<f32> = (0..12).map(|k| k as f32 + 20.0).collect();
        state.set_h(&h).unwrap();
        state.set_c(&c).unwrap();
        for (cell, row) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let start = (cell * 2 + row) * 2;
            assert_eq!(state.row_h(cell, row), Some(&h[start..start + 2]));
        }
        for (cell, row) in [(0, 2), (2, 0), (2, 2), (7, 1), (1, 7)] {
            assert_eq!(state.row_h(cell, row), None);
        }
        state.reset_row(1).unwrap();
        assert_eq!(state.h(), [1.0, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
        assert_eq!((&state.c()[..3], &state.c()[3..6]), (&c[..3], &[0.0; 3][..]));
        state.reset();
        assert_eq!((state.h(), state.c()), (vec![0.0; 8], vec![0.0; 12]));
    }

    #[test]
    fn a_state_without_a_cell_state_takes_none() {
        let mut state = Gru::reset_after(1, 3).build().unwrap().zero_state(2).unwrap();
        state.set_h(&[1.0; 6]).unwrap();
        state.set_c(&[]).unwrap();
        assert!(state.set_c(&[0.0]).is_err());
        assert_eq!((state.h(), state.c()), (vec![1.0; 6], vec![]));
    }
}
