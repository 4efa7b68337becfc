//! A stream: blocks of samples through the layers of a model.
//!
//! A block is cut into chunks, each of which goes through one layer after the other, so that dense layers and
//! products of inputs see many samples at once. What lies between two layers is `(frames, rows, features)`.

use super::model::{MAX_RATIO, Model, ModelStage};
use super::past::Past;
use crate::activation::{Activation, Gate, activate};
use crate::error::{Error, check_len, checked_size, zeros};
use crate::layer::{Dims, Workspace};
use crate::sequence::Threads;
use crate::simd::{Dispatched, Isa, Token, dispatch};
use std::fmt;

/// Frames that go through the layers together.
const CHUNK: usize = 64;

/// A model that runs for some rows, with all its states and memory. [`process`](Stream::process) allocates
/// nothing, locks nothing and stays on the caller's thread, whatever the threads of the networks are.
///
/// ```
/// use fused_rnn::stream::{Model, Stream};
/// use fused_rnn::{Dense, Gru};
///
/// let (gru, head) = (Gru::reset_after(1, 8).build()?, Dense::new_pytorch(8, 1, 1)?);
/// let model = Model::new(1).network(gru)?.dense(head)?;
/// let mut stream = Stream::new(&model, 1, 1.0)?;
/// let (x, mut whole, mut cut) = ([0.5; 100], [0.0; 100], [0.0; 100]);
/// stream.process(&x, &mut whole)?;
/// stream.reset();
/// stream.process(&x[..30], &mut cut[..30])?;
/// stream.process(&x[30..], &mut cut[30..])?;
/// assert_eq!(whole, cut);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub struct Stream {
    model: Model,
    rows: usize,
    token: Token,
    /// Of each recurrent stage, in their order.
    networks: Vec<(Past, Workspace)>,
    /// A chunk of the input, after its gain.
    input: Vec<f32>,
    /// Chunks between layers.
    between: [Vec<f32>; 2],
}

impl Stream {
    /// A stream of this model for `rows` rows that run side by side, at `ratio` times the sample rate of the
    /// training ([other sample rates](crate::stream)). All memory is allocated here.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] where there are no rows or the model has no inputs, [`Error::Mismatch`] where it
    /// has a skip connection and more outputs than inputs, [`Error::OutOfRange`] where the ratio is not in
    /// `1..=256`, [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where the memory cannot be had.
    pub fn new(model: &Model, rows: usize, ratio: f64) -> Result<Stream, Error> {
        for (what, size) in [("rows", rows), ("inputs of a model", model.inputs())] {
            if size == 0 {
                return Err(Error::ZeroSize { what });
            }
        }
        model.check_skip()?;
        if !(1.0..=MAX_RATIO).contains(&ratio) {
            let expected = if ratio < 1.0 {
                "a number from 1 to 256 (resample the signal to the rate of the training)"
            } else {
                "a number from 1 to 256"
            };
            return Err(Error::OutOfRange { what: "ratio of sample rates", expected, got: ratio });
        }
        let mut networks = Vec::new();
        let mut widest = 0;
        for stage in model.stages() {
            match stage {
                ModelStage::Network(network, initial) => {
                    let mut workspace = Workspace::new();
                    workspace.set_threads(Some(Threads::Count(1)));
                    networks.push((Past::new(network, initial.as_deref(), rows, ratio)?, workspace));
                    widest = widest.max(network.config().output_size());
                }
                ModelStage::Dense(dense) => widest = widest.max(dense.outputs()),
                ModelStage::Activation(_) => {}
            }
        }
        let widest = widest.max(model.inputs());
        let input = zeros("input of a stream", &[CHUNK, rows, model.inputs()])?;
        let between = [
            zeros("memory of a stream", &[CHUNK, rows, widest])?,
            zeros("memory of a stream", &[CHUNK, rows, widest])?,
        ];
        let token = model.level().token()?;
        let mut stream = Stream { model: model.clone(), rows, token, networks, input, between };
        // The workspaces grow here: for whole chunks, and for single frames.
        stream.run_chunk(CHUNK)?;
        stream.run_chunk(1)?;
        stream.reset();
        Ok(stream)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Runs a block: `x` is `(frames, rows, inputs)`, `y` `(frames, rows, outputs)`, of any number of frames.
    ///
    /// # Errors
    /// [`Error::Length`] where `x` is no whole number of frames or `y` has another number of them. Nothing
    /// has been run then.
    pub fn process(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let (inputs, outputs) = (self.rows * self.model.inputs(), self.rows * self.model.outputs());
        // (Of less than a frame the error names one frame, and not 0 values.)
        let frames = if x.is_empty() { 0 } else { (x.len() / inputs).max(1) };
        check_len("x", checked_size("x", &[frames, inputs])?, x.len())?;
        check_len("y (as many frames as x)", checked_size("y", &[frames, outputs])?, y.len())?;
        self.process_with(
            frames,
            |frame, to| to.copy_from_slice(&x[frame * inputs..][..to.len()]),
            |frame, from| y[frame * outputs..][..from.len()].copy_from_slice(from),
        )
    }

    /// Runs a block of samples that lie elsewhere than in two slices: in a slice for each channel, in place,
    /// as other numbers.
    ///
    /// `read(frame, to)` writes some frames from the one of this number on, `(frames, rows, inputs)`;
    /// `write(frame, from)` reads as many, `(frames, rows, outputs)`. A frame is read before it is written,
    /// and never after.
    ///
    /// ```
    /// use fused_rnn::stream::{Model, Stream};
    /// use fused_rnn::{Dense, Gru};
    ///
    /// let (gru, head) = (Gru::reset_after(1, 8).build()?, Dense::new_pytorch(8, 1, 1)?);
    /// let mut stream = Stream::new(&Model::new(1).network(gru)?.dense(head)?, 1, 1.0)?;
    /// let samples = std::cell::RefCell::new([0.5_f64; 100]);
    /// stream.process_with(
    ///     100,
    ///     |frame, to| to.iter_mut().zip(&samples.borrow()[frame..]).for_each(|(to, &x)| *to = x as f32),
    ///     |frame, from| {
    ///         let mut samples = samples.borrow_mut();
    ///         samples[frame..].iter_mut().zip(from).for_each(|(to, &y)| *to = f64::from(y));
    ///     },
    /// )?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// None today: what could fail has been tried when the stream was made.
    pub fn process_with(
        &mut self,
        frames: usize,
        mut read: impl FnMut(usize, &mut [f32]),
        mut write: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        let (inputs, outputs) = (self.rows * self.model.inputs(), self.rows * self.model.outputs());
        let mut frame = 0;
        while frame < frames {
            let count = CHUNK.min(frames - frame);
            read(frame, &mut self.input[..count * inputs]);
            let place = self.run_chunk(count)?;
            write(frame, &self.between[place][..count * outputs]);
            frame += count;
        }
        Ok(())
    }

    /// Runs this many frames of silence, so that the next block does not begin with the transient of the
    /// states. (NAM runs half a second.)
    ///
    /// # Errors
    /// As for [`process_with`](Stream::process_with).
    pub fn settle(&mut self, frames: usize) -> Result<(), Error> {
        self.process_with(frames, |_, to| to.fill(0.0), |_, _| {})
    }

    /// All states are as at the beginning.
    pub fn reset(&mut self) {
        for (past, _) in &mut self.networks {
            // (States of one network for as many rows have the same sizes.)
            past.reset().unwrap_or(());
        }
    }

    /// The number of floats of all states: those of each network after each other, of each of the samples
    /// that the next ones begin from, h, then c, and of an sLSTM n and m, in the shapes of
    /// [`State::plane`](crate::State::plane).
    pub fn state_len(&self) -> usize {
        self.networks.iter().map(|(past, _)| past.len()).sum()
    }

    /// Writes all states to a slice.
    ///
    /// # Errors
    /// [`Error::Length`] where it has another length than [`state_len`](Stream::state_len).
    pub fn copy_state_to(&self, to: &mut [f32]) -> Result<(), Error> {
        check_len("state", self.state_len(), to.len())?;
        let mut rest = to;
        for (past, _) in &self.networks {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(past.len());
            past.copy_to(own)?;
            rest = others;
        }
        Ok(())
    }

    /// Sets all states from a slice, as [`copy_state_to`](Stream::copy_state_to) has written it.
    ///
    /// # Errors
    /// [`Error::Length`] where it has another length than [`state_len`](Stream::state_len),
    /// [`Error::OutOfRange`] where an n of an sLSTM is below 0. All states are then as before.
    pub fn set_state(&mut self, from: &[f32]) -> Result<(), Error> {
        check_len("state", self.state_len(), from.len())?;
        for only_check in [true, false] {
            let mut rest = from;
            for (past, _) in &mut self.networks {
                let (own, others) = rest.split_at(past.len());
                let done = if only_check { past.check(own) } else { past.set(own) };
                done?;
                rest = others;
            }
        }
        Ok(())
    }

    /// Runs the first `frames` of `input`. Returns in which of `between` the outputs are.
    fn run_chunk(&mut self, frames: usize) -> Result<usize, Error> {
        let Stream { model, rows, token, networks, input, between } = self;
        let (rows, mut width) = (*rows, model.inputs());
        let count = frames * rows * width;
        let [input_gain, output_gain] = model.gains();
        scale(&mut input[..count], input_gain);
        between[0][..count].copy_from_slice(&input[..count]);
        let mut at = 0;
        let mut networks = networks.iter_mut();
        for stage in model.stages() {
            let [first, second] = &mut *between;
            let (from, to) = if at == 0 { (first, second) } else { (second, first) };
            let from = &mut from[..frames * rows * width];
            match stage {
                ModelStage::Network(network, _) => {
                    let outputs = network.config().output_size();
                    let to = &mut to[..frames * rows * outputs];
                    let Some((past, workspace)) = networks.next() else { continue };
                    if past.is_plain() && (rows, frames > 1) == (1, true) {
                        // (Of one row, both layouts are the same.)
                        network.forward(from, Dims::new(1, frames), past.next()?, Some(to), workspace)?;
                    } else if past.is_plain() {
                        network.steps(from, frames, past.next()?, to, workspace)?;
                    } else {
                        let frames = from.chunks_exact(rows * width).zip(to.chunks_exact_mut(rows * outputs));
                        for (x, y) in frames {
                            network.step(x, past.next()?, Some(y), workspace)?;
                        }
                    }
                    width = outputs;
                }
                ModelStage::Dense(dense) => {
                    dense.forward_into(from, frames * rows, &mut to[..frames * rows * dense.outputs()])?;
                    width = dense.outputs();
                }
                ModelStage::Activation(activation) => {
                    dispatch(*token, Each { values: from, activation: *activation });
                    continue;
                }
            }
            at = 1 - at;
        }
        let (y, inputs) = (&mut between[at][..frames * rows * width], model.inputs());
        if model.skip() {
            for (y, x) in y.chunks_exact_mut(width).zip(input.chunks_exact(inputs)) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
            }
        }
        scale(y, output_gain);
        Ok(at)
    }
}

fn scale(values: &mut [f32], gain: f32) {
    if gain != 1.0 {
        values.iter_mut().for_each(|value| *value *= gain);
    }
}

/// A function of each value.
struct Each<'a> {
    values: &'a mut [f32],
    activation: Activation,
}

impl Dispatched for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let gates = [Gate { index: 0, activation: self.activation, clip: f32::INFINITY }];
        for values in self.values.chunks_mut(I::LANES) {
            let mut vectors = [[isa.load_partial(values)]];
            activate(isa, &mut vectors, &gates);
            isa.store_partial(values, vectors[0][0]);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream { model, rows, .. } = self;
        f.debug_struct("Stream").field("model", model).field("rows", rows).finish_non_exhaustive()
    }
}
