//! Models that run sample by sample: recurrent layers with dense layers before and after them, as plug-ins
//! for audio and other real-time programs have them.
//!
//! ```text
//! x --gain--+-> dense, activation -> recurrent layers -> dense, activation --+--gain--> y
//!           +----------------------- skip ------------------------------------+
//! ```
//!
//! A [`Model`] is what does not change: layers, skip connection, gains, sample rate. A [`Stream`] runs it for
//! some rows, for example two channels, and holds what changes: states and memory. To make a stream
//! allocates; to run it allocates nothing, locks nothing and stays on the caller's thread. The outputs of a
//! stream do not depend on how its samples are cut into blocks, bit for bit, nor do those of a row on the
//! other rows.
//!
//! ```
//! use fused_rnn::stream::{Model, Stream};
//! use fused_rnn::{Dense, Lstm};
//!
//! // A model of an amplifier at 48 kHz, for a stereo host at 96 kHz.
//! let (lstm, head) = (Lstm::builder(1, 40).build()?, Dense::new_pytorch(40, 1, 1)?);
//! let model = Model::new(1).network(lstm)?.dense(head)?.with_skip(true)?.with_sample_rate(48_000.0)?;
//! let mut stream = Stream::new(&model, 2, model.ratio_for(96_000.0))?;
//! let (x, mut y) = ([0.1; 64 * 2], [0.0; 64 * 2]); // (frames, rows, features)
//! stream.process(&x, &mut y)?;
//! # Ok::<(), fused_rnn::Error>(())
//! ```
//!
//! # Other sample rates
//!
//! A model that was trained at one sample rate sounds different at another: its state moves on once a sample.
//! With a *ratio* r, the sample rate over that of the training, the recurrence reads the state of r samples
//! ago. If r is a whole number that is exact: the samples of each phase are a stream of their own at the
//! trained rate. Else the two states around that time are blended, which is near for a state that changes
//! little from sample to sample:
//!
//! ```text
//! h_n = cell(x_n, (1 - f) s_(n-k) + f s_(n-k-1))          s = (h, c)     r = k + f, k whole, 0 <= f < 1
//! ```
//!
//! ```text
//! model.rs     Model: the layers in their order
//! run.rs       Stream: blocks of samples through the layers
//! past.rs      the states of earlier samples
//! files/       models in files of RTNeural, AIDA-X, GuitarML and NAM (feature `json`)
//! ```

#[cfg(feature = "json")]
mod files;
mod model;
mod past;
mod run;

pub use model::{Model, ModelStage};
pub use run::Stream;
