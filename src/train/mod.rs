//! The little that training needs without a framework.
//!
//! ```text
//! x  ->  recurrent layer  ->  Dropout  ->  Dense  ->  loss             forward
//!                                            |          |
//!        gradients  <-  Dropout  <-  Dense::backward <- dlogits        backward
//!            |
//!        clip  ->  Optimizer::step(parameters, gradients)              update
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | [`dense`] | [`Dense`], the linear head `y = x W^T + b` |
//! | [`loss`] | softmax cross-entropy and mean squared error, each with its gradient; accuracy |
//! | [`optimizer`] | [`Sgd`], [`Adam`], [`AdamW`] |
//! | [`clip`] | clipping of gradients by their global norm or by value |
//! | [`dropout`] | [`Dropout`], inverted, reproducible from a seed and a position |
//!
//! Everything works on flat slices of `f32` that the caller holds: matrices are row-major, the first
//! dimension is the batch. Parameters and their gradients lie in one slice each, in the same order, and
//! an optimiser holds its state for one such slice. Losses and norms are summed in `f64`.
//!
//! # Example
//!
//! Two interleaved classes on a line, which one layer can separate by a threshold:
//!
//! ```
//! use fused_rnn::Accumulate;
//! use fused_rnn::train::{Adam, AdamConfig, Dense, Optimizer, accuracy, softmax_cross_entropy};
//!
//! let x = [-1.0, -0.6, -0.3, 0.1, 0.5, 0.9]; // (batch 6, inputs 1)
//! let labels = [0, 0, 0, 1, 1, 1];
//!
//! let mut head = Dense::new_pytorch(1, 2, 42)?;
//! let mut adam = Adam::new(head.parameter_count(), AdamConfig { learning_rate: 0.1, ..Default::default() })?;
//! let (mut logits, mut dlogits) = ([0.0; 12], [0.0; 12]); // (6, 2)
//! let mut gradients = vec![0.0; head.parameter_count()];
//! for _ in 0..200 {
//!     head.forward(&x, 6, &mut logits)?;
//!     softmax_cross_entropy(&logits, 2, &labels, Some(&mut dlogits))?;
//!     head.backward(&x, &dlogits, 6, &mut gradients, Accumulate::Overwrite, None)?;
//!     adam.step(head.parameters_mut(), &gradients)?;
//! }
//! assert_eq!(accuracy(&logits, 2, &labels)?, 1.0);
//! # Ok::<(), fused_rnn::Error>(())
//! ```

pub mod clip;
pub mod dense;
pub mod dropout;
pub mod loss;
pub mod optimizer;

pub use clip::{clip_global_norm, clip_value};
pub use dense::Dense;
pub use dropout::Dropout;
pub use loss::{accuracy, mean_squared_error, softmax, softmax_cross_entropy, softmax_cross_entropy_soft};
pub use optimizer::{Adam, AdamConfig, AdamW, Optimizer, Sgd, SgdConfig};
