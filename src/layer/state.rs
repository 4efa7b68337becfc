//! The state that a stream of sequences carries from call to call.

use super::sizes::{Sizes, check_size};
use crate::cell::{C, CellKind, H};
use crate::error::{Error, check_index, check_len};
use crate::memory::{AlignedBuf, Grid};
use std::fmt;

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
#[derive(Clone)]
#[doc(alias = "hidden")]
#[doc(alias = "hx")]
#[doc(alias = "h_n")]
#[doc(alias = "c_n")]
pub struct State {
    kind: CellKind,
    /// Of the planes, "h" and perhaps "c" and others.
    names: &'static [&'static str],
    /// Of a layer.
    directions: usize,
    sizes: Sizes,
    grid: Grid,
    data: AlignedBuf,
}

impl State {
    /// Of zeros; the names are those of its planes.
    pub(super) fn zero(
        kind: CellKind,
        names: &'static [&'static str],
        directions: usize,
        sizes: Sizes,
    ) -> Result<Self, Error> {
        let Sizes { strands, hidden_size, planes, batch, .. } = sizes;
        let grid = Grid::padded(strands, batch, planes, hidden_size)?;
        Ok(State { kind, names, directions, sizes, grid, data: AlignedBuf::zeroed(grid.len())? })
    }

    /// The number of rows that the state is of.
    pub fn batch(&self) -> usize {
        self.sizes.batch
    }

    /// The bytes that the state holds.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.data[..])
    }

    /// A copy of the hidden states, `(layers * directions, batch, hidden_size)`, or P wide with a projection.
    /// The copy is allocated; [`row_h`](State::row_h) borrows.
    pub fn h(&self) -> Vec<f32> {
        self.gather(H)
    }

    /// A copy of the cell states, `(layers * directions, batch, hidden_size)`; empty if the cell has no cell
    /// state.
    pub fn c(&self) -> Vec<f32> {
        self.gather(C)
    }

    /// The states of one name, `"h"` or `"c"`, or of an sLSTM `"n"` or `"m"`, in the shape of [`h`](State::h)
    /// or [`c`](State::c); `None` where the cell has none of this name.
    ///
    /// ```
    /// use fused_rnn::Gru;
    ///
    /// let state = Gru::reset_after(1, 3).build()?.zero_state(2)?;
    /// assert_eq!(state.plane("h"), Some(vec![0.0; 6]));
    /// assert_eq!(state.plane("c"), None);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn plane(&self, name: &str) -> Option<Vec<f32>> {
        self.named(name).ok().map(|plane| self.gather(plane))
    }

    /// Writes the states of one name to a slice, without an allocation.
    ///
    /// # Errors
    /// As for [`set_plane`](State::set_plane).
    pub fn copy_plane_to(&self, name: &str, to: &mut [f32]) -> Result<(), Error> {
        let plane = self.named(name)?;
        check_len("state", self.plane_len(plane), to.len())?;
        self.gather_to(plane, to);
        Ok(())
    }

    /// Writes the hidden states to a slice, in the shape of [`h`](State::h).
    ///
    /// # Errors
    /// [`Error::Length`] where `to` has another length.
    pub fn copy_h_to(&self, to: &mut [f32]) -> Result<(), Error> {
        check_len("h", self.plane_len(H), to.len())?;
        self.gather_to(H, to);
        Ok(())
    }

    /// Writes the cell states to a slice, in the shape of [`c`](State::c).
    ///
    /// # Errors
    /// [`Error::Length`] where `to` has another length; where the cell has no cell state, any but 0.
    pub fn copy_c_to(&self, to: &mut [f32]) -> Result<(), Error> {
        check_len("c", self.plane_len(C), to.len())?;
        self.gather_to(C, to);
        Ok(())
    }

    /// The final output, `(B, D * H)`, or `(B, D * P)` with a projection: of each row, the final hidden
    /// states of the last layer, both directions side by side. It is what a classifier of sequences reads;
    /// with lengths it is the output at the last step of each row (of the reverse direction, at the first),
    /// which `y` has at a place of its own in every row. Its gradient goes into
    /// [`Upstream::dfinal_output`](crate::Upstream::dfinal_output). It is allocated;
    /// [`copy_final_output_to`](State::copy_final_output_to) allocates nothing.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm};
    ///
    /// let lstm = Lstm::builder(1, 3).bidirectional(true).build()?;
    /// let output = lstm.run(&[0.5; 2 * 4], Dims::new(2, 4).with_lengths(&[4, 2]))?;
    /// let last = output.state.final_output();
    /// // Row 1: the forward direction at step 1, the reverse direction at step 0.
    /// assert_eq!(last[6..9], output.y[24 + 6..][..3]);
    /// assert_eq!(last[9..12], output.y[24 + 3..][..3]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn final_output(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.sizes.batch * self.directions * self.sizes.outputs];
        self.gather_final_output(&mut values);
        values
    }

    /// Writes the [final output](State::final_output) to a slice, `(B, D * H)`.
    ///
    /// # Errors
    /// [`Error::Length`] where `to` has another length.
    pub fn copy_final_output_to(&self, to: &mut [f32]) -> Result<(), Error> {
        check_len("final output", self.sizes.batch * self.directions * self.sizes.outputs, to.len())?;
        self.gather_final_output(to);
        Ok(())
    }

    /// Sets the hidden states from `(layers * directions, batch, hidden_size)`, P wide with a projection.
    ///
    /// # Errors
    /// [`Error::Length`] where `h` has another length.
    pub fn set_h(&mut self, h: &[f32]) -> Result<(), Error> {
        check_len("h", self.plane_len(H), h.len())?;
        self.scatter(H, h);
        Ok(())
    }

    /// Sets the cell states from `(layers * directions, batch, hidden_size)`.
    ///
    /// # Errors
    /// [`Error::Length`] where `c` has another length. If the cell has no cell state, the length is 0.
    pub fn set_c(&mut self, c: &[f32]) -> Result<(), Error> {
        check_len("c", self.plane_len(C), c.len())?;
        self.scatter(C, c);
        Ok(())
    }

    /// Sets the states of one name, as [`plane`](State::plane) gives them.
    ///
    /// ```
    /// use fused_rnn::Lstm;
    ///
    /// let lstm = Lstm::exponential(1, 2).build()?;
    /// let mut state = lstm.zero_state(1)?;
    /// state.set_plane("n", &[1.0, 2.0])?;
    /// let mut n = [0.0; 2];
    /// state.copy_plane_to("n", &mut n)?;
    /// assert_eq!(n, [1.0, 2.0]);
    /// assert_eq!(state.plane("n"), Some(vec![1.0, 2.0]));
    /// assert!(state.set_plane("k", &[]).is_err());
    /// assert!(state.set_plane("n", &[1.0, -2.0]).is_err());
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// An sLSTM's n is a sum of exponentials: 0 where the state is empty, whatever c and m are, and above 0
    /// elsewhere. m may be any number, as c and n stand for `c e^m` and `n e^m`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the cell has no state of this name, [`Error::Length`] where `values` have
    /// another length, [`Error::OutOfRange`] where one of n is below 0. The state is then as before.
    pub fn set_plane(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        let plane = self.check_plane(name, values)?;
        self.scatter(plane, values);
        Ok(())
    }

    /// The plane of a name that may have these values.
    pub(crate) fn check_plane(&self, name: &str, values: &[f32]) -> Result<usize, Error> {
        let plane = self.named(name)?;
        check_len("state", self.plane_len(plane), values.len())?;
        values.iter().try_for_each(|&value| check_value(name, value))?;
        Ok(plane)
    }

    /// The names of all states, and how many values each has.
    pub(crate) fn planes(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let Sizes { strands, batch, outputs, hidden_size, .. } = self.sizes;
        let rows = strands * batch;
        let widths = std::iter::once(outputs).chain(std::iter::repeat(hidden_size));
        self.names.iter().copied().zip(widths.map(move |width| rows * width))
    }

    /// The hidden state of one row of one direction of one layer, `strand = layer * directions + direction`,
    /// without a copy; `None` where there is no such strand or row.
    pub fn row_h(&self, strand: usize, row: usize) -> Option<&[f32]> {
        self.row(strand, row, H)
    }

    /// The cell state of one row of one strand, as [`row_h`](State::row_h); `None` also where the cell has
    /// none.
    pub fn row_c(&self, strand: usize, row: usize) -> Option<&[f32]> {
        self.row(strand, row, C)
    }

    /// Makes this a copy of another state, without an allocation.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the two differ in a size. This one is then as before.
    #[doc(alias = "detach")]
    pub fn copy_from(&mut self, from: &State) -> Result<(), Error> {
        self.check_same(from)?;
        self.data.copy_from_slice(&from.data);
        Ok(())
    }

    /// Makes each row of this a copy of a row of another state, `rows[k]` there for row k here, without an
    /// allocation: a beam search goes on with its best rows, a server with the streams of its next batch.
    ///
    /// ```
    /// use fused_rnn::Gru;
    ///
    /// let gru = Gru::reset_after(1, 2).build()?;
    /// let (mut beam, mut best) = (gru.zero_state(2)?, gru.zero_state(3)?);
    /// beam.set_h(&[1.0, 2.0, 3.0, 4.0])?;
    /// best.select_rows(&beam, &[1, 0, 1])?;
    /// assert_eq!(best.h(), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the two are not of the same layer, [`Error::Length`] where `rows` are not
    /// as many as this has, [`Error::Index`] where the other has no such row. This one is then as
    /// before.
    #[doc(alias = "beam")]
    #[doc(alias = "index_select")]
    pub fn select_rows(&mut self, from: &State, rows: &[usize]) -> Result<(), Error> {
        self.check_same_layer(from)?;
        check_len("rows (one for each row of this state)", self.sizes.batch, rows.len())?;
        rows.iter().try_for_each(|&row| from.check_row(row))?;
        for strand in 0..self.sizes.strands {
            for (to, &row) in rows.iter().enumerate() {
                self.record_mut(strand, to).copy_from_slice(from.record(strand, row));
            }
        }
        Ok(())
    }

    /// Makes this `(1 - t) * from + t * to` of two other states, without an allocation: the state at a time
    /// between two steps. With a sampling rate that is `k + t` times that of its training, an audio model
    /// goes on from between the states of k and of k + 1 samples ago.
    ///
    /// ```
    /// use fused_rnn::Gru;
    ///
    /// let gru = Gru::reset_after(1, 2).build()?;
    /// let (mut one, mut other, mut between) = (gru.zero_state(1)?, gru.zero_state(1)?, gru.zero_state(1)?);
    /// one.set_h(&[1.0, 2.0])?;
    /// other.set_h(&[2.0, -2.0])?;
    /// between.lerp(&one, &other, 0.25)?;
    /// assert_eq!(between.h(), [1.25, 1.0]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Mismatch`] where one of the two differs from this in a size, [`Error::OutOfRange`] where `t`
    /// is not finite, or takes an n of an sLSTM below 0. This one is then as before.
    pub fn lerp(&mut self, from: &State, to: &State, t: f32) -> Result<(), Error> {
        if !t.is_finite() {
            return Err(Error::OutOfRange { what: "t", expected: "a finite number", got: f64::from(t) });
        }
        for other in [from, to] {
            self.check_same(other)?;
        }
        let values =
            || from.data.iter().zip(&to.data[..]).map(|(from, to)| (1.0 - t) * from + t * to).enumerate();
        if self.names.contains(&"n") {
            // (Floats of a plane of a row follow each other.)
            let name = |at: usize| self.names[at / self.grid.width() % self.sizes.planes];
            values().try_for_each(|(at, value)| check_value(name(at), value))?;
        }
        self.data.iter_mut().zip(values()).for_each(|(to, (_, value))| *to = value);
        Ok(())
    }

    /// Sets the states of all rows to zero.
    #[doc(alias = "reset_states")]
    pub fn reset(&mut self) {
        self.data.fill(0.0);
    }

    /// Sets the state of one row to zero, in all layers and directions: one of several streams begins anew.
    ///
    /// # Errors
    /// [`Error::Index`] where there is no such row.
    pub fn reset_row(&mut self, row: usize) -> Result<(), Error> {
        self.check_row(row)?;
        (0..self.sizes.strands).for_each(|strand| self.record_mut(strand, row).fill(0.0));
        Ok(())
    }

    /// Its sizes.
    #[inline(always)]
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The records of all rows of one direction of one layer.
    pub(crate) fn strand(&self, strand: usize) -> &[f32] {
        let len = self.sizes.batch * self.grid.row_stride();
        &self.data[strand * len..][..len]
    }

    /// The same to write.
    #[inline(always)]
    pub(crate) fn strand_mut(&mut self, strand: usize) -> &mut [f32] {
        let len = self.sizes.batch * self.grid.row_stride();
        &mut self.data[strand * len..][..len]
    }

    /// All planes of a row, padded, in the form of a slot of a pass.
    pub(crate) fn record(&self, strand: usize, row: usize) -> &[f32] {
        let start = self.grid.offset(strand, row, H);
        &self.data[start..start + self.grid.row_stride()]
    }

    /// All planes of a row, to write.
    pub(crate) fn record_mut(&mut self, strand: usize, row: usize) -> &mut [f32] {
        let start = self.grid.offset(strand, row, H);
        &mut self.data[start..start + self.grid.row_stride()]
    }

    fn check_row(&self, row: usize) -> Result<(), Error> {
        check_index("row of a state", self.sizes.batch, row)
    }

    /// Whether another state differs in no size but the batch.
    fn check_same_layer(&self, other: &State) -> Result<(), Error> {
        check_size("state: directions", self.directions, other.directions)?;
        self.sizes.check(&Sizes { batch: self.sizes.batch, ..other.sizes })
    }

    /// Whether another state differs in no size.
    fn check_same(&self, other: &State) -> Result<(), Error> {
        check_size("state: directions", self.directions, other.directions)?;
        self.sizes.check(&other.sizes)
    }

    /// The plane of a name.
    fn named(&self, name: &str) -> Result<usize, Error> {
        let what = "a state of a name that the cell does not have";
        self.names.iter().position(|&of| of == name).ok_or(Error::Unsupported { what })
    }

    /// The width of a plane: of h that of the output, of the others that of the hidden size.
    fn width(&self, plane: usize) -> usize {
        if plane == H { self.sizes.outputs } else { self.sizes.hidden_size }
    }

    /// Values of a plane; 0 where there is none.
    fn plane_len(&self, plane: usize) -> usize {
        if plane < self.sizes.planes { self.sizes.strands * self.sizes.batch * self.width(plane) } else { 0 }
    }

    fn row(&self, strand: usize, row: usize, plane: usize) -> Option<&[f32]> {
        let exists = strand < self.sizes.strands && row < self.sizes.batch && plane < self.sizes.planes;
        exists.then(|| &self.data[self.grid.offset(strand, row, plane)..][..self.width(plane)])
    }

    /// `to` has the length of the final output.
    fn gather_final_output(&self, to: &mut [f32]) {
        for (n, to) in to.chunks_exact_mut(self.sizes.outputs).enumerate() {
            let strand = self.sizes.strands - self.directions + n % self.directions;
            if let Some(row) = self.row(strand, n / self.directions, H) {
                to.copy_from_slice(row);
            }
        }
    }

    fn gather(&self, plane: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.plane_len(plane)];
        self.gather_to(plane, &mut values);
        values
    }

    /// `to` has the length of the plane.
    fn gather_to(&self, plane: usize, to: &mut [f32]) {
        for (n, to) in to.chunks_exact_mut(self.width(plane)).enumerate() {
            if let Some(row) = self.row(n / self.sizes.batch, n % self.sizes.batch, plane) {
                to.copy_from_slice(row);
            }
        }
    }

    /// `from` has the length of the plane.
    fn scatter(&mut self, plane: usize, from: &[f32]) {
        let width = self.width(plane);
        for (n, from) in from.chunks_exact(width).enumerate() {
            let start = self.grid.offset(n / self.sizes.batch, n % self.sizes.batch, plane);
            self.data[start..start + width].copy_from_slice(from);
        }
    }
}

/// Whether a state of this name may have this value. (The kernel would take an n below 0 for an empty state.
/// NaN stays what it is, as in all states.)
fn check_value(name: &str, value: f32) -> Result<(), Error> {
    if value < 0.0 && name == "n" {
        let (what, expected) = ("state n", "0 for an empty state, and more for others");
        return Err(Error::OutOfRange { what, expected, got: f64::from(value) });
    }
    Ok(())
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("kind", &self.kind)
            .field("strands", &self.sizes.strands)
            .field("batch", &self.sizes.batch)
            .field("hidden_size", &self.sizes.hidden_size)
            .field("outputs", &self.sizes.outputs)
            .field("bytes", &self.bytes())
            .finish()
    }
}
