//! Sequences and states as `ndarray` arrays: thin over the slices.
//!
//! A view that does not lie in standard order (row-major, without gaps) is copied first.

use crate::error::{Error, check_len, checked_size, reserve, zeros};
use crate::layer::{Dims, Layout, Recurrent, State, Workspace};
use ndarray::{Array3, ArrayView3};
use std::borrow::Cow;

impl Recurrent {
    /// Needs the feature `ndarray`. [`forward`](Recurrent::forward) on arrays: `x` is `(B, T, I)`, or
    /// `(T, B, I)` where the layer is time-major, and the result `(B, T, D * H)` or `(T, B, D * H)`.
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
    /// As for [`forward`](Recurrent::forward), and [`Error::Mismatch`] where `x` has another number of
    /// features.
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
        // Checks the input before memory for the answer, or for a copy, is allocated.
        self.check_state(state, batch)?;
        let mut y = zeros("y", &[outer, inner, config.output_size()])?;
        let x = in_order("x", x)?;
        self.forward(&x, dims, state, Some(&mut y), workspace)?;
        let shape = (outer, inner, config.output_size());
        Array3::from_shape_vec(shape, y).map_err(|_| Error::SizeOverflow { what: "y" })
    }
}

impl State {
    /// Needs the feature `ndarray`. The hidden states, `(layers * directions, batch, H)`.
    pub fn h_array(&self) -> Array3<f32> {
        self.array(self.h())
    }

    /// Needs the feature `ndarray`. The cell states, `(layers * directions, batch, H)`; H is 0 if the cell
    /// has none.
    pub fn c_array(&self) -> Array3<f32> {
        self.array(self.c())
    }

    /// Needs the feature `ndarray`. Sets the hidden states from `(layers * directions, batch, H)`.
    ///
    /// # Errors
    /// As for [`set_h`](State::set_h).
    pub fn set_h_array(&mut self, h: ArrayView3<'_, f32>) -> Result<(), Error> {
        self.check_axes("h", &h, self.sizes().outputs)?;
        self.set_h(&in_order("h", h)?)
    }

    /// Needs the feature `ndarray`. Sets the cell states from `(layers * directions, batch, H)`.
    ///
    /// # Errors
    /// As for [`set_c`](State::set_c).
    pub fn set_c_array(&mut self, c: ArrayView3<'_, f32>) -> Result<(), Error> {
        let width = if self.sizes().planes > 1 { self.sizes().hidden_size } else { 0 };
        self.check_axes("c", &c, width)?;
        self.set_c(&in_order("c", c)?)
    }

    /// Checks all three axes before anything is copied: a view may be larger than memory.
    fn check_axes(&self, what: &'static str, array: &ArrayView3<'_, f32>, width: usize) -> Result<(), Error> {
        let (strands, batch, got) = array.dim();
        for (what, expected, got) in [
            ("state: layers * directions", self.sizes().strands, strands),
            ("state: batch", self.batch(), batch),
        ] {
            if expected != got {
                return Err(Error::Mismatch { what, expected, got });
            }
        }
        let size = |width: usize| checked_size(what, &[strands, batch, width]);
        check_len(what, size(width)?, size(got)?)
    }

    fn array(&self, values: Vec<f32>) -> Array3<f32> {
        let (strands, batch) = (self.sizes().strands, self.batch());
        let width = values.len().checked_div(strands * batch).unwrap_or(0);
        Array3::from_shape_vec((strands, batch, width), values).unwrap_or_default()
    }
}

/// The elements in standard order, copied where they lie in another.
fn in_order<'a>(what: &'static str, array: ArrayView3<'a, f32>) -> Result<Cow<'a, [f32]>, Error> {
    if let Some(elements) = array.to_slice() {
        return Ok(Cow::Borrowed(elements));
    }
    let (a, b, c) = array.dim();
    let mut elements = Vec::new();
    reserve(&mut elements, checked_size(what, &[a, b, c])?)?;
    elements.extend(array.iter());
    Ok(Cow::Owned(elements))
}
