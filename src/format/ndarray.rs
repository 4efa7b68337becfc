//! Sequences and states as `ndarray` arrays: thin over the slices.
//!
//! A view that does not lie in standard order (row-major, without gaps) is copied first.

use crate::error::{Error, checked_size, reserve};
use crate::layer::{Dims, Layout, Recurrent, Workspace};
use crate::sequence::State;
use ndarray::{Array3, ArrayView3};

impl Recurrent {
    /// [`forward`](Recurrent::forward) on arrays: `x` is `(B, T, I)`, or `(T, B, I)` where the layer is
    /// time-major, and the result `(B, T, D * H)` or `(T, B, D * H)`.
    ///
    /// ```
    /// use fused_rnn::{Lstm, Workspace};
    /// use ndarray::{Array3, s};
    ///
    /// let lstm = Lstm::builder(3, 8).build()?;
    /// let mut state = lstm.zero_state(2)?;
    /// let x = Array3::from_elem((2, 10, 3), 0.1);
    /// let y = lstm.forward_array(x.view(), Some(&[10, 7]), &mut state, &mut Workspace::new())?;
    /// assert_eq!(y.dim(), (2, 10, 8));
    /// assert_eq!(state.h_array().slice(s![0, 1, ..]), y.slice(s![1, 6, ..]));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward), and [`Error::Mismatch`] where `x` has another number of features.
    pub fn forward_array(
        &self,
        x: ArrayView3<'_, f32>,
        lengths: Option<&[usize]>,
        state: &mut State,
        workspace: &mut Workspace,
    ) -> Result<Array3<f32>, Error> {
        let (outer, inner, features) = x.dim();
        let config = self.config();
        if features != config.input_size() {
            let expected = config.input_size();
            return Err(Error::Mismatch { what: "x: features", expected, got: features });
        }
        let (batch, steps) = match config.layout() {
            Layout::BatchFirst => (outer, inner),
            Layout::TimeMajor => (inner, outer),
        };
        let dims = Dims::new(batch, steps);
        let dims = lengths.map_or(dims, |lengths| dims.with_lengths(lengths));
        let size = checked_size("y", &[outer, inner, config.output_size()])?;
        let mut y = Vec::new();
        reserve(&mut y, size)?;
        y.resize(size, 0.0);
        let standard = x.as_standard_layout();
        self.forward(standard.as_slice().unwrap_or_default(), dims, state, Some(&mut y), workspace)?;
        let shape = (outer, inner, config.output_size());
        Array3::from_shape_vec(shape, y).map_err(|_| Error::SizeOverflow { what: "y" })
    }
}

impl State {
    /// The hidden states, `(layers * directions, batch, H)`.
    pub fn h_array(&self) -> Array3<f32> {
        self.array(self.h())
    }

    /// The cell states, `(layers * directions, batch, H)`; of size 0 in H where the cell has none.
    pub fn c_array(&self) -> Array3<f32> {
        self.array(self.c())
    }

    /// Sets the hidden states from `(layers * directions, batch, H)`.
    ///
    /// # Errors
    /// As for [`set_h`](State::set_h).
    pub fn set_h_array(&mut self, h: ArrayView3<'_, f32>) -> Result<(), Error> {
        self.check_axes(&h)?;
        self.set_h(h.as_standard_layout().as_slice().unwrap_or_default())
    }

    /// Sets the cell states from `(layers * directions, batch, H)`.
    ///
    /// # Errors
    /// As for [`set_c`](State::set_c).
    pub fn set_c_array(&mut self, c: ArrayView3<'_, f32>) -> Result<(), Error> {
        self.check_axes(&c)?;
        self.set_c(c.as_standard_layout().as_slice().unwrap_or_default())
    }

    /// The width follows from the number of values; the other two axes must be these.
    fn check_axes(&self, array: &ArrayView3<'_, f32>) -> Result<(), Error> {
        let (cells, batch, _) = array.dim();
        for (what, expected, got) in
            [("state: layers * directions", self.cells(), cells), ("state: batch", self.batch(), batch)]
        {
            if expected != got {
                return Err(Error::Mismatch { what, expected, got });
            }
        }
        Ok(())
    }

    fn array(&self, values: Vec<f32>) -> Array3<f32> {
        let (cells, batch) = (self.cells(), self.batch());
        let width = values.len().checked_div(cells * batch).unwrap_or(0);
        Array3::from_shape_vec((cells, batch, width), values).unwrap_or_default()
    }
}
