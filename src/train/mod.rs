//! All that training needs without a framework.
//!
//! ```text
//! x  ->  recurrent layer  ->  Dropout  ->  Dense  ->  loss             forward
//!                                            |          |
//!        gradients  <-  Dropout  <-  Dense::backward <- dlogits        backward
//!            |
//!        clip  ->  Optimizer::step_all(parameters, gradients)          update
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | [`dense`] | [`Dense`], the linear layer `y = x W^T + b`; in a stream without allocation |
//! | [`embedding`] | [`Embedding`], rows for tokens; [`RowGradients`] of the rows that a batch touches |
//! | [`pad`](mod@pad) | rows of different lengths as one batch and back; which steps are real |
//! | [`loss`] | [`CrossEntropy`], [`BinaryCrossEntropy`], [`Regression`], each with its gradient; accuracy |
//! | [`ctc`] | [`Ctc`], labels without times: the loss, greedy and beam decoding |
//! | [`optimizer`] | [`Sgd`], [`Adam`], [`AdamW`]; saved and restored |
//! | [`schedule`] | [`RateSchedule`] and [`Plateau`], learning rates that change |
//! | [`early_stopping`] | [`EarlyStopping`], the end where nothing improves |
//! | [`clip`] | clipping of gradients by their global norm or by value |
//! | [`dropout`] | [`Dropout`], inverted, reproducible from a seed and a position |
//!
//! Everything works on flat slices of `f32` that the caller holds: matrices are row-major, the first
//! dimension is the batch. Parameters and their gradients lie in one slice each, in the same order; an
//! optimiser holds its state for one such slice or for several. Losses and norms are summed in `f64`.
//!
//! # Example
//!
//! Two layers of GRU that learn the mean of rows of different lengths, from the final output: that of the
//! last layer (and of both directions, where there are two), after the last step of each row.
//!
//! ```
//! use fused_rnn::train::{Adam, AdamConfig, Dense, Optimizer, clip_global_norm, mean_squared_error};
//! use fused_rnn::{Accumulate, Dims, Gradients, Gru, Tape, Upstream, Workspace};
//!
//! let (hidden, batch, steps) = (16, 8, 10);
//! let x: Vec<f32> = (0..batch * steps).map(|k| (k * 7919 % 13) as f32 / 13.0 - 0.5).collect();
//! let lengths = [10, 3, 4, 9, 5, 6, 8, 7];
//! let dims = Dims::new(batch, steps).with_lengths(&lengths);
//! let rows = x.chunks_exact(steps).zip(lengths);
//! let means: Vec<f32> = rows.map(|(row, n)| row[..n].iter().sum::<f32>() / n as f32).collect();
//!
//! let mut gru = Gru::reset_after(1, hidden).layers(2).build()?;
//! let mut head = Dense::new_pytorch(hidden, 1, 42)?;
//! let config = AdamConfig { learning_rate: 0.01, ..AdamConfig::default() };
//! let mut adam = Adam::new(gru.parameters().len() + head.parameter_count(), config)?;
//!
//! let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
//! let mut gradients = vec![0.0; gru.parameters().len()];
//! let mut gradients_of_head = vec![0.0; head.parameter_count()];
//! let (mut y, mut dy) = (vec![0.0; batch], vec![0.0; batch]); // (B, 1)
//! let mut dh = vec![0.0; batch * hidden]; // (B, H)
//! let mut loss = f64::INFINITY;
//! for step in 0..200 {
//!     // Forward: the layer, the head, the loss.
//!     let mut state = gru.zero_state(batch)?;
//!     gru.forward_train(&x, dims, &mut state, None, &mut tape, step, &mut workspace)?;
//!     let h = state.final_output();
//!     head.forward(&h, batch, &mut y)?;
//!     loss = mean_squared_error(&y, &means, Some(&mut dy))?;
//!     // Backward: the head, then through time from the gradient of the final output.
//!     head.backward(&h, &dy, batch, &mut gradients_of_head, Accumulate::Overwrite, Some(&mut dh))?;
//!     let upstream = Upstream::default().with_dfinal_output(&dh);
//!     gru.backward(&x, &tape, upstream, Gradients::of_parameters(&mut gradients), &mut workspace)?;
//!     // Update.
//!     clip_global_norm(&mut [&mut gradients, &mut gradients_of_head], 1.0)?;
//!     gru.update(|parameters| {
//!         let of_head = (head.parameters_mut(), &gradients_of_head[..]);
//!         adam.step_all(&mut [(parameters, &gradients), of_head])
//!     })?;
//! }
//! assert!(loss < 1e-3, "{loss}");
//! # Ok::<(), fused_rnn::Error>(())
//! ```
//!
//! # From Keras
//!
//! | in Keras | here |
//! | --- | --- |
//! | `return_sequences=True` | `y`, of each step |
//! | without it | [`State::final_output`](crate::State::final_output); its gradient is `with_dfinal_output` |
//! | `TimeDistributed(Dense(n))` | [`Dense`] on `y`, with `batch * steps` rows |
//! | `Bidirectional(..)` | [`bidirectional`](crate::Builder::bidirectional), both side by side (`concat`) |
//! | `dropout=`, `recurrent_dropout=` | [`Builder`](crate::Builder)'s `input_dropout`, `recurrent_dropout` |
//! | a `Dropout` layer | between layers `Builder::dropout`, elsewhere [`Dropout`] |
//! | `stateful=True` | keep the [`State`](crate::State); without it make or reset one for each batch |
//! | `mask_zero=True`, `Masking` | lengths, as [`pad`](fn@pad) gives them, or a mask: [`Dims`](crate::Dims) |
//! | `sigmoid` with `binary_crossentropy` | logits: [`BinaryCrossEntropy`], [`binary_accuracy`] |
//! | `softmax` with `categorical_crossentropy` | logits: [`CrossEntropy`], [`accuracy`], [`softmax`] |
//! | `global_clipnorm=`, `clipvalue=` | [`clip_global_norm`], [`clip_value`] |
//! | `ReduceLROnPlateau`, a schedule | [`Plateau`], [`RateSchedule`] |
//! | `EarlyStopping(restore_best_weights=True)` | [`EarlyStopping`]; at `Improved` clone network and head |
//! | `save_weights` | `save` of network, head and embedding in one [`Tensors`], as the README shows |
//! | `fit(shuffle=True)` | [`Rng::shuffle`](crate::Rng::shuffle) of the rows' numbers |
//! | initial values | [`Init::Keras`](crate::Init::Keras), [`Dense::new_keras`], [`Embedding::new_keras`] |
//!
//! Dropout acts in [`forward_train`](crate::Recurrent::forward_train) alone: [`run`](crate::Recurrent::run),
//! `forward` and `step` are for validation and inference. An [`Embedding`] has an optimiser of its own, which
//! takes sparse gradients by [`step_rows`](Optimizer::step_rows).

pub mod clip;
pub mod ctc;
pub mod dense;
pub mod dropout;
pub mod early_stopping;
pub mod embedding;
mod exp;
pub mod loss;
pub mod optimizer;
pub mod pad;
mod saved;
pub mod schedule;

pub use clip::{clip_global_norm, clip_value};
pub use ctc::{BeamSearch, Ctc, CtcWorkspace, Hypothesis};
pub use dense::Dense;
pub use dropout::Dropout;
pub use early_stopping::{EarlyStopping, Progress};
pub use embedding::{Embedding, RowGradients};
pub use loss::{
    BinaryCrossEntropy, CrossEntropy, Reduction, Regression, accuracy, binary_accuracy, mean_squared_error,
    softmax, softmax_cross_entropy, softmax_cross_entropy_soft,
};
pub use optimizer::{Adam, AdamConfig, AdamW, Optimizer, Sgd, SgdConfig};
pub use pad::{Padded, gather_steps, pad, real_steps, scatter_steps, step_mask, unpad};
pub use schedule::{Plateau, PlateauConfig, RateSchedule};

use crate::Error;
use crate::error::refused;
use crate::format::{Tensor, Tensors};

/// Takes the tensor out that PyTorch calls `weight`. If there is none, the error names the tensors that are
/// there: usually a prefix has to be taken off.
fn take_weight(tensors: &mut Tensors, expected: &str) -> Result<Tensor, Error> {
    tensors.remove("weight").ok_or_else(|| {
        let names = tensors.names().take(8).collect::<Vec<_>>().join(", ");
        refused(
            "weight",
            expected,
            if names.is_empty() { "none".to_owned() } else { format!("only {names}") },
        )
    })
}
