//! The dense layer: a linear map, for example from the features of a recurrent layer to logits or
//! predictions.
//!
//! ```text
//! y  = x W^T + b          x (B, I)   W (O, I)   b (O)   y (B, O)
//!
//! dW = dy^T x             db_o = sum over the rows of dy_o             dx = dy W
//! ```
//!
//! The parameters lie in one slice, the weight row-major and then the bias, which is the order of
//! PyTorch's `nn.Linear`; their gradients lie in a slice of the same layout:
//!
//! ```text
//! [ W_00 .. W_0,I-1 | ... | W_O-1,0 .. W_O-1,I-1 | b_0 .. b_O-1 ]        O * I + O floats
//! ```
//!
//! | method | product by | allocates |
//! | --- | --- | --- |
//! | [`Dense::forward_row`], [`Dense::forward_into`] | dot products on the rows as they lie | nothing |
//! | [`Dense::forward`], [`Dense::backward`] | `matrixmultiply` | its packed operands, at each call |
//!
//! **In a stream** take the first: one row costs its dot products and nothing else. **In training** take the
//! second: with many rows it is bound by arithmetic alone, multiply and add fused where the machine can. The
//! two take their sums in different orders, so they differ in the last bits. In each, a row has the same bits
//! in every batch. The order of the first:
//!
//! ```text
//! s_k  =  x_k w_k + x_(k+16) w_(k+16) + ...                        k = 0..16, each product rounded
//! y    =  b + sum of s by halves: s_k += s_(k+8), then s_k += s_(k+4), s_(k+2), s_(k+1)
//! ```
//!
//! ```text
//! rows.rs      the dot products
//! tensors.rs   from tensors of PyTorch and Keras, and back
//! ```

mod rows;
mod tensors;

use crate::Accumulate;
use crate::error::{check_len, checked_size, zeros};
use crate::product::{MatrixMut, MatrixRef, gemm};
use crate::{Error, Rng};
use rows::Rows;
use std::fmt;

/// A linear layer `y = x W^T + b` with its parameters.
///
/// ```
/// use fused_rnn::train::Dense;
///
/// // W = [[1, 2], [3, 4], [5, 6]], b = [0.5, 0, -0.5]
/// let dense = Dense::from_parameters(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, 0.0, -0.5])?;
/// let mut y = [0.0; 3];
/// dense.forward(&[1.0, -1.0], 1, &mut y)?;
/// assert_eq!(y, [-0.5, -1.0, -1.5]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[doc(alias = "Linear", alias = "TimeDistributed")]
#[derive(Clone, PartialEq)]
pub struct Dense {
    inputs: usize,
    outputs: usize,
    /// Weight, then bias; `outputs * (inputs + 1)` floats.
    parameters: Vec<f32>,
}

/// Sizes, and none of the numbers.
impl fmt::Debug for Dense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dense")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Dense {
    /// A layer initialised as PyTorch's `nn.Linear` does it: weight and bias uniform in
    /// `[-1/sqrt(inputs), 1/sqrt(inputs))`.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::SizeOverflow`] or [`Error::OutOfMemory`] for sizes that cannot be.
    ///
    /// ```
    /// use fused_rnn::train::Dense;
    ///
    /// let dense = Dense::new_pytorch(64, 10, 42)?;
    /// assert!(dense.parameters().iter().all(|p| p.abs() <= 0.125)); // 1 / sqrt(64)
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn new_pytorch(inputs: usize, outputs: usize, seed: u64) -> Result<Self, Error> {
        let mut dense = Dense::zeros(inputs, outputs)?;
        let bound = (1.0 / (inputs as f64).sqrt()) as f32;
        let mut rng = Rng::new(seed);
        rng.fill_uniform(&mut dense.parameters, -bound, bound);
        Ok(dense)
    }

    /// A layer initialised as Keras' `Dense` does it: weight by `glorot_uniform`, that is uniform in
    /// `[-a, a)` with `a = sqrt(6 / (inputs + outputs))` (Glorot & Bengio, AISTATS 2010), bias zero.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::SizeOverflow`] or [`Error::OutOfMemory`] for sizes that cannot be.
    ///
    /// ```
    /// use fused_rnn::train::Dense;
    ///
    /// assert_eq!(Dense::new_keras(64, 10, 42)?.bias(), [0.0; 10]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn new_keras(inputs: usize, outputs: usize, seed: u64) -> Result<Self, Error> {
        let mut dense = Dense::zeros(inputs, outputs)?;
        let bound = (6.0 / (inputs as f64 + outputs as f64)).sqrt() as f32;
        let mut rng = Rng::new(seed);
        rng.fill_uniform(&mut dense.parameters[..inputs * outputs], -bound, bound);
        Ok(dense)
    }

    /// A layer with given parameters: the weight `(outputs, inputs)` row-major, then the bias.
    ///
    /// # Errors
    /// Those of [`new_pytorch`](Dense::new_pytorch), and [`Error::Length`] where `parameters` has not
    /// `outputs * (inputs + 1)` floats.
    pub fn from_parameters(inputs: usize, outputs: usize, parameters: &[f32]) -> Result<Self, Error> {
        check_len("dense parameters", count(inputs, outputs)?, parameters.len())?;
        let mut dense = Dense::zeros(inputs, outputs)?;
        dense.parameters.copy_from_slice(parameters);
        Ok(dense)
    }

    fn zeros(inputs: usize, outputs: usize) -> Result<Self, Error> {
        let parameters = zeros("dense parameters", &[count(inputs, outputs)?])?;
        Ok(Dense { inputs, outputs, parameters })
    }

    /// Features of a row of the input, `I`.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of a row of the output, `O`.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The number of parameters, `outputs * (inputs + 1)`.
    pub fn parameter_count(&self) -> usize {
        self.parameters.len()
    }

    /// All parameters of the layer: the weight `(outputs, inputs)` row-major, then the bias.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All parameters of the layer, to be changed by an optimiser, in the order of
    /// [`parameters`](Dense::parameters).
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.parameters
    }

    /// The weight of the layer, `(outputs, inputs)` row-major.
    pub fn weight(&self) -> &[f32] {
        &self.parameters[..self.inputs * self.outputs]
    }

    /// The bias of the layer, `(outputs)`.
    pub fn bias(&self) -> &[f32] {
        &self.parameters[self.inputs * self.outputs..]
    }

    /// `y = x W^T + b` for `batch` rows: `x (batch, inputs)`, `y (batch, outputs)`.
    ///
    /// A row of `y` has the same bits whatever the other rows are. Each call packs both operands, which
    /// allocates: for a stream, or a real-time thread, there are [`forward_row`](Dense::forward_row) and
    /// [`forward_into`](Dense::forward_into).
    ///
    /// # Errors
    /// [`Error::Length`] where a slice does not fit the batch, [`Error::SizeOverflow`] for a batch that
    /// fits no memory. `y` is then untouched.
    pub fn forward(&self, x: &[f32], batch: usize, y: &mut [f32]) -> Result<(), Error> {
        self.check_rows("dense x", self.inputs, batch, x.len())?;
        self.check_rows("dense y", self.outputs, batch, y.len())?;
        for row in y.chunks_exact_mut(self.outputs) {
            row.copy_from_slice(self.bias());
        }
        let x = MatrixRef::new(x, batch, self.inputs);
        gemm(1.0, x, self.weight_matrix().t(), 1.0, MatrixMut::new(y, batch, self.outputs));
        Ok(())
    }

    /// `y = x W^T + b` for one row: `x (inputs)`, `y (outputs)`. Nothing is allocated, and the time is that
    /// of `outputs` dot products.
    ///
    /// The bits are those of [`forward_into`](Dense::forward_into), and not of
    /// [`forward`](Dense::forward), whose sums have [another order](self).
    ///
    /// # Errors
    /// [`Error::Length`] where a slice does not fit. `y` is then untouched.
    ///
    /// ```
    /// use fused_rnn::train::Dense;
    /// use fused_rnn::{Lstm, Workspace};
    ///
    /// // One sample after the other, with a head on each.
    /// let (lstm, head) = (Lstm::builder(1, 40).build()?, Dense::new_pytorch(40, 1, 1)?);
    /// let (mut state, mut workspace) = (lstm.zero_state(1)?, Workspace::new());
    /// let (mut h, mut y) = ([0.0; 40], [0.0]);
    /// for sample in [0.1, 0.2, 0.3] {
    ///     lstm.step(&[sample], &mut state, Some(&mut h), &mut workspace)?;
    ///     head.forward_row(&h, &mut y)?;
    /// }
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn forward_row(&self, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        self.forward_into(x, 1, y)
    }

    /// `y = x W^T + b` for `batch` rows, as [`forward`](Dense::forward), without allocation: `x (batch,
    /// inputs)`, `y (batch, outputs)`.
    ///
    /// Nothing is packed, so that there is no workspace to hold. A row of `y` has the same bits whatever the
    /// other rows are, those of [`forward_row`](Dense::forward_row), on every machine.
    ///
    /// # Errors
    /// [`Error::Length`] where a slice does not fit the batch, [`Error::SizeOverflow`] for a batch that
    /// fits no memory. `y` is then untouched.
    ///
    /// ```
    /// use fused_rnn::train::Dense;
    ///
    /// let dense = Dense::from_parameters(2, 1, &[1.0, 2.0, 0.5])?;
    /// let mut y = [0.0; 3];
    /// dense.forward_into(&[1.0, 1.0, 0.0, 1.0, 2.0, 0.0], 3, &mut y)?;
    /// assert_eq!(y, [3.5, 2.5, 2.5]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn forward_into(&self, x: &[f32], batch: usize, y: &mut [f32]) -> Result<(), Error> {
        self.check_rows("dense x", self.inputs, batch, x.len())?;
        self.check_rows("dense y", self.outputs, batch, y.len())?;
        Rows { inputs: self.inputs, x, weight: self.weight(), bias: self.bias(), y }.run();
        Ok(())
    }

    /// The gradients of a loss, given its gradient `dy (batch, outputs)` and the `x (batch, inputs)` of
    /// the forward pass.
    ///
    /// `gradients` has the layout of [`parameters`](Dense::parameters) and is replaced or added to, as
    /// `accumulate` says. `dx (batch, inputs)`, where it is asked for, is replaced. As
    /// [`forward`](Dense::forward) it allocates.
    ///
    /// # Errors
    /// [`Error::Length`] where a slice does not fit, [`Error::SizeOverflow`] for a batch that fits no
    /// memory. No gradient has then been touched.
    ///
    /// ```
    /// use fused_rnn::Accumulate;
    /// use fused_rnn::train::Dense;
    ///
    /// let dense = Dense::from_parameters(2, 1, &[2.0, -3.0, 0.5])?;
    /// let (x, dy) = ([1.0, 2.0, -4.0, 0.5], [1.0, 10.0]);
    /// let (mut gradients, mut dx) = ([0.0; 3], [0.0; 4]);
    /// dense.backward(&x, &dy, 2, &mut gradients, Accumulate::Overwrite, Some(&mut dx))?;
    /// assert_eq!(gradients, [-39.0, 7.0, 11.0]); // dW = dy^T x, db = sum of dy
    /// assert_eq!(dx, [2.0, -3.0, 20.0, -30.0]); // dy W
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn backward(
        &self,
        x: &[f32],
        dy: &[f32],
        batch: usize,
        gradients: &mut [f32],
        accumulate: Accumulate,
        dx: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        self.check_rows("dense x", self.inputs, batch, x.len())?;
        self.check_rows("dense dy", self.outputs, batch, dy.len())?;
        check_len("dense gradients", self.parameters.len(), gradients.len())?;
        if let Some(dx) = &dx {
            self.check_rows("dense dx", self.inputs, batch, dx.len())?;
        }

        let (dweight, dbias) = gradients.split_at_mut(self.inputs * self.outputs);
        let beta = match accumulate {
            Accumulate::Overwrite => 0.0,
            Accumulate::Add => 1.0,
        };
        let x = MatrixRef::new(x, batch, self.inputs);
        let dy_rows = dy.chunks_exact(self.outputs);
        let dy = MatrixRef::new(dy, batch, self.outputs);
        gemm(1.0, dy.t(), x, beta, MatrixMut::new(dweight, self.outputs, self.inputs));

        if accumulate == Accumulate::Overwrite {
            dbias.fill(0.0);
        }
        for row in dy_rows {
            for (sum, value) in dbias.iter_mut().zip(row) {
                *sum += value;
            }
        }
        if let Some(dx) = dx {
            gemm(1.0, dy, self.weight_matrix(), 0.0, MatrixMut::new(dx, batch, self.inputs));
        }
        Ok(())
    }

    fn weight_matrix(&self) -> MatrixRef<'_> {
        MatrixRef::new(self.weight(), self.outputs, self.inputs)
    }

    fn check_rows(&self, what: &'static str, width: usize, batch: usize, got: usize) -> Result<(), Error> {
        check_len(what, checked_size(what, &[batch, width])?, got)
    }
}

/// The number of parameters, for sizes that can be.
fn count(inputs: usize, outputs: usize) -> Result<usize, Error> {
    for (what, size) in [("dense inputs", inputs), ("dense outputs", outputs)] {
        if size == 0 {
            return Err(Error::ZeroSize { what });
        }
    }
    let rows = inputs.checked_add(1).ok_or(Error::SizeOverflow { what: "dense parameters" })?;
    checked_size("dense parameters", &[rows, outputs])
}

#[cfg(test)]
mod tests;
