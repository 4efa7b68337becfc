//! Embedding: a table with a row of numbers for each token.
//!
//! ```text
//! y_n = E[k_n]          tokens k (N)   table E (rows, width)   y (N, width)
//!
//! dE[r] = sum of dy_n over all n with k_n = r              only rows that occur: RowGradients
//! ```
//!
//! A batch touches few rows of a large table, and gradients and steps of an optimiser are only of these rows:
//! the time of [`Embedding::backward`] and [`Optimizer::step_rows`](crate::train::Optimizer::step_rows)
//! depends on the tokens of a batch, not on the vocabulary. A gradient is the sum in the order of the tokens.
//!
//! A **padding** token has a row of zeros that is not trained, as PyTorch's `padding_idx`.

mod gradients;

pub use gradients::RowGradients;

use super::{refused, take_weight};
use crate::error::{check_index, check_len, checked_size, zeros};
use crate::format::{Tensor, Tensors};
use crate::{Accumulate, Error, Rng};
use std::fmt;

/// PyTorch's name of the table.
const WEIGHT: &str = "weight";

/// A table of vectors, one for each token. PyTorch's `nn.Embedding` with sparse gradients, Keras'
/// `Embedding`.
///
/// ```
/// use fused_rnn::train::{Embedding, Optimizer, RowGradients, Sgd, SgdConfig};
/// use fused_rnn::Accumulate;
///
/// let mut embedding = Embedding::from_table(3, 2, &[0.0, 0.0, 1.0, 2.0, 3.0, 4.0])?;
/// let (tokens, mut y) = ([2, 1, 2], [0.0; 6]);
/// embedding.forward(&tokens, &mut y)?;
/// assert_eq!(y, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
///
/// let mut gradients = RowGradients::new(3, 2)?;
/// embedding.backward(&tokens, &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0], &mut gradients, Accumulate::Overwrite)?;
/// assert_eq!((gradients.rows(), gradients.values()), (&[2, 1][..], &[2.0, 0.0, 0.0, 1.0][..]));
///
/// let mut sgd = Sgd::new(6, SgdConfig { learning_rate: 0.5, ..Default::default() })?;
/// sgd.step_rows(embedding.table_mut(), &gradients)?;
/// assert_eq!(embedding.table(), [0.0, 0.0, 1.0, 1.5, 2.0, 4.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Embedding {
    rows: usize,
    width: usize,
    padding: Option<usize>,
    table: Vec<f32>,
}

/// Sizes, and none of the numbers.
impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedding")
            .field("rows", &self.rows)
            .field("width", &self.width)
            .field("padding", &self.padding)
            .finish_non_exhaustive()
    }
}

impl Embedding {
    /// An embedding initialised as PyTorch's `nn.Embedding` does it: normal with mean 0 and variance 1.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::SizeOverflow`] or [`Error::OutOfMemory`] for sizes that cannot be.
    pub fn new_pytorch(rows: usize, width: usize, seed: u64) -> Result<Self, Error> {
        let mut embedding = Embedding::zeros(rows, width)?;
        let mut rng = Rng::new(seed);
        embedding.table.fill_with(|| rng.normal());
        Ok(embedding)
    }

    /// An embedding initialised as Keras' `Embedding` does it: uniform in `[-0.05, 0.05)`.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::SizeOverflow`] or [`Error::OutOfMemory`] for sizes that cannot be.
    pub fn new_keras(rows: usize, width: usize, seed: u64) -> Result<Self, Error> {
        let mut embedding = Embedding::zeros(rows, width)?;
        let mut rng = Rng::new(seed);
        rng.fill_uniform(&mut embedding.table, -0.05, 0.05);
        Ok(embedding)
    }

    /// An embedding with a given table `(rows, width)`, row-major.
    ///
    /// # Errors
    /// Those of [`new_pytorch`](Embedding::new_pytorch), and [`Error::Length`] where `table` has not
    /// `rows * width` floats.
    pub fn from_table(rows: usize, width: usize, table: &[f32]) -> Result<Self, Error> {
        check_len("embedding table", count(rows, width)?, table.len())?;
        let mut embedding = Embedding::zeros(rows, width)?;
        embedding.table.copy_from_slice(table);
        Ok(embedding)
    }

    /// An embedding with the table in a tensor `(rows, width)`: PyTorch's `weight`, Keras' `embeddings`.
    ///
    /// # Errors
    /// [`Error::Format`] for a tensor that is no matrix, and those of
    /// [`new_pytorch`](Embedding::new_pytorch).
    pub fn from_tensor(table: &Tensor) -> Result<Self, Error> {
        let shape = table.shape();
        let &[rows, width] = shape else {
            let got = format_args!("shape {shape:?}");
            return Err(refused("embedding table", "a tensor of two dimensions", got));
        };
        Embedding::from_table(rows, width, table.values())
    }

    /// An embedding of all tensors of a PyTorch `nn.Embedding`, of which there is one:
    /// `weight (rows, width)`. Those of a module in a larger file come by [`Tensors::split_off_prefix`].
    /// Which token is padding, a file does not say: [`with_padding`](Embedding::with_padding) does again.
    ///
    /// # Errors
    /// [`Error::Format`] where the weight is missing or another tensor is there, and those of
    /// [`from_tensor`](Embedding::from_tensor).
    ///
    /// ```
    /// use fused_rnn::format::{Tensor, Tensors};
    /// use fused_rnn::train::Embedding;
    ///
    /// let mut file = Tensors::new();
    /// file.insert("words.weight", Tensor::new(&[2, 3], vec![1.0; 6])?);
    /// let embedding = Embedding::load(file.split_off_prefix("words."))?;
    /// assert_eq!((embedding.rows(), embedding.width()), (2, 3));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn load(mut tensors: Tensors) -> Result<Self, Error> {
        let weight = take_weight(&mut tensors, "a tensor of shape (rows, width)")?;
        tensors.finish()?;
        Embedding::from_tensor(&weight)
    }

    /// The table by PyTorch's name: `weight (rows, width)`.
    ///
    /// # Errors
    /// [`Error::Format`] where it cannot be a tensor, which does not happen today.
    ///
    /// ```
    /// use fused_rnn::train::Embedding;
    ///
    /// let embedding = Embedding::new_pytorch(10, 4, 1)?;
    /// assert_eq!(Embedding::load(embedding.save()?)?, embedding);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn save(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        tensors.insert(WEIGHT, Tensor::new(&[self.rows, self.width], self.table.clone())?);
        Ok(tensors)
    }

    /// Names a token whose row is not trained, and sets that row to zero. PyTorch's `padding_idx`.
    ///
    /// # Errors
    /// [`Error::Index`] for a token that has no row.
    ///
    /// ```
    /// use fused_rnn::Accumulate;
    /// use fused_rnn::train::{Embedding, RowGradients};
    ///
    /// let embedding = Embedding::new_pytorch(5, 2, 1)?.with_padding(0)?;
    /// let (mut y, mut gradients) = ([1.0; 4], RowGradients::new(5, 2)?);
    /// embedding.forward(&[0, 3], &mut y)?;
    /// assert_eq!(y[..2], [0.0, 0.0]);
    /// embedding.backward(&[0, 3], &[1.0; 4], &mut gradients, Accumulate::Overwrite)?;
    /// assert_eq!(gradients.rows(), [3]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    #[doc(alias = "padding_idx", alias = "mask_zero")]
    pub fn with_padding(mut self, token: usize) -> Result<Self, Error> {
        check_index("padding token", self.rows, token)?;
        self.table[token * self.width..][..self.width].fill(0.0);
        self.padding = Some(token);
        Ok(self)
    }

    fn zeros(rows: usize, width: usize) -> Result<Self, Error> {
        let table = zeros("embedding table", &[count(rows, width)?])?;
        Ok(Embedding { rows, width, padding: None, table })
    }

    /// Rows of the table: all tokens are below this number.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values that the embedding has for a token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The token whose row is not trained.
    pub fn padding(&self) -> Option<usize> {
        self.padding
    }

    /// The table of the embedding, `(rows, width)` row-major.
    pub fn table(&self) -> &[f32] {
        &self.table
    }

    /// The table of the embedding, `(rows, width)`, to be changed by an optimiser.
    pub fn table_mut(&mut self) -> &mut [f32] {
        &mut self.table
    }

    /// Copies the row of each token: `tokens (N)` to `y (N, width)`. Nothing is allocated.
    ///
    /// The padding of a batch is looked up as any token is, so it has to be one that has a row. Name it to
    /// [`with_padding`](Embedding::with_padding): otherwise its row counts as touched, with a gradient of
    /// zero, and an optimiser with averages moves it on.
    ///
    /// ```
    /// use fused_rnn::train::{Embedding, pad};
    /// use fused_rnn::{Layout, Lstm};
    ///
    /// let embedding = Embedding::new_pytorch(100, 8, 1)?.with_padding(0)?;
    /// let batch = pad(&[vec![17, 4, 99], vec![5]], 1, 0, Layout::BatchFirst)?; // 17 4 99, 5 0 0
    /// let mut x = vec![0.0; batch.values.len() * embedding.width()];
    /// embedding.forward(&batch.values, &mut x)?;
    /// let output = Lstm::builder(8, 16).build()?.run(&x, batch.dims())?;
    /// assert_eq!(output.state.final_output().len(), 2 * 16);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] where `y` does not fit, [`Error::Index`] for a token that has no row. `y` is then
    /// untouched.
    pub fn forward(&self, tokens: &[usize], y: &mut [f32]) -> Result<(), Error> {
        self.check("embedding y", tokens, y.len())?;
        for (&token, y) in tokens.iter().zip(y.chunks_exact_mut(self.width)) {
            y.copy_from_slice(&self.table[token * self.width..][..self.width]);
        }
        Ok(())
    }

    /// The gradient of the rows of these tokens, given the gradient `dy (N, width)` of what
    /// [`forward`](Embedding::forward) gave. Those in `gradients` are replaced or added to, as `accumulate`
    /// says.
    ///
    /// # Errors
    /// [`Error::Length`] where `dy` or the table of the gradients does not fit, [`Error::Index`] for a token
    /// that has no row, [`Error::OutOfMemory`]. No gradient has then been touched.
    pub fn backward(
        &self,
        tokens: &[usize],
        dy: &[f32],
        gradients: &mut RowGradients,
        accumulate: Accumulate,
    ) -> Result<(), Error> {
        self.check("embedding dy", tokens, dy.len())?;
        check_len("rows of the gradients", self.rows, gradients.table_rows())?;
        check_len("width of the gradients", self.width, gradients.width())?;
        // Before anything goes: it may fail.
        gradients.reserve(tokens.len())?;
        if accumulate == Accumulate::Overwrite {
            gradients.clear();
        }
        for (&token, dy) in tokens.iter().zip(dy.chunks_exact(self.width)) {
            if self.padding != Some(token) {
                gradients.add_checked(token, dy);
            }
        }
        Ok(())
    }

    fn check(&self, what: &'static str, tokens: &[usize], len: usize) -> Result<(), Error> {
        check_len(what, checked_size(what, &[tokens.len(), self.width])?, len)?;
        tokens.iter().try_for_each(|&token| check_index("token", self.rows, token))
    }
}

/// The number of values, for sizes that can be.
fn count(rows: usize, width: usize) -> Result<usize, Error> {
    for (what, size) in [("embedding rows", rows), ("embedding width", width)] {
        if size == 0 {
            return Err(Error::ZeroSize { what });
        }
    }
    checked_size("embedding table", &[rows, width])
}
