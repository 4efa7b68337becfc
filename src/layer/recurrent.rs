//! The network: its weights in both forms, and its queries.

use super::builder::Builder;
use super::config::{Config, Dims};
use super::init::{Init, initialise};
use super::memory::Workspace;
use super::parameters::{NamedParameter, Ranges, tensors};
use super::state::State;
use crate::cell::{CellKind, TransposedWeights, Weights};
use crate::error::{Error, check_len, checked_size, collect, zeros};
use crate::simd::{Level, Token};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Constructors of LSTM layers ([`CellKind::Lstm`]). What they build is a [`Recurrent`].
#[derive(Debug)]
pub enum Lstm {}

impl Lstm {
    /// A builder of LSTM layers.
    pub fn builder(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::Lstm, input_size, hidden_size)
    }
}

/// Constructors of GRU layers ([`CellKind::GruResetAfter`], [`CellKind::GruResetBefore`]). What they build is
/// a [`Recurrent`].
#[derive(Debug)]
pub enum Gru {}

impl Gru {
    /// A builder of GRU layers that reset after the recurrent product, as PyTorch and Keras do.
    pub fn reset_after(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::GruResetAfter, input_size, hidden_size)
    }

    /// A builder of GRU layers that reset before the recurrent product, as ONNX does by default.
    pub fn reset_before(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::GruResetBefore, input_size, hidden_size)
    }
}

/// Constructors of Elman layers ([`CellKind::ElmanTanh`], [`CellKind::ElmanRelu`]). What they build is a
/// [`Recurrent`].
#[derive(Debug)]
pub enum Rnn {}

impl Rnn {
    /// A builder of Elman layers with tanh.
    pub fn tanh(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::ElmanTanh, input_size, hidden_size)
    }

    /// A builder of Elman layers with a rectifier.
    pub fn relu(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::ElmanRelu, input_size, hidden_size)
    }
}

/// What [`run`](Recurrent::run) returns.
#[derive(Debug, Clone)]
pub struct Output {
    /// The hidden states of the last layer, `(B, T, D * H)`, or `(T, B, D * H)` where the layer is
    /// time-major.
    pub y: Vec<f32>,
    /// The final states of all layers.
    pub state: State,
}

/// A recurrent network: one cell, in one or more layers, in one or both directions.
///
/// | to | call |
/// |---|---|
/// | run sequences from zero states, in new memory | [`run`](Recurrent::run) |
/// | run sequences from a state, in the caller's memory | [`forward`](Recurrent::forward) |
/// | run one step of a stream | [`step`](Recurrent::step) |
/// | train | [`forward_train`](Recurrent::forward_train), then [`backward`](Recurrent::backward) |
/// | change the parameters | [`update`](Recurrent::update), [`set_parameter`](Recurrent::set_parameter) |
/// | read the parameters | [`parameters`](Recurrent::parameters) |
/// | read them by name | [`named_parameters`](Recurrent::named_parameters) |
/// | make a state of zeros | [`zero_state`](Recurrent::zero_state) |
/// | know the memory of a tape | [`tape_bytes`](Recurrent::tape_bytes) |
///
/// It holds its parameters in the canonical form, a flat slice in PyTorch's order, and packed for the kernels
/// of its SIMD level. Calls take `&self`, so threads can share one network. The caller holds everything that
/// changes from call to call: [`State`], [`Tape`](crate::Tape) and [`Workspace`](crate::Workspace).
#[derive(Debug, Clone)]
pub struct Recurrent {
    pub(super) config: Config,
    token: Token,
    pub(super) ranges: Vec<Ranges>,
    parameters: Vec<f32>,
    pub(super) weights: Vec<Weights>,
    /// The first backward pass packs these weights.
    transposed: OnceLock<Vec<TransposedWeights>>,
    /// The version of the parameters, by which a tape knows them. A clone has the same version until one of
    /// the two changes.
    pub(super) version: u64,
}

/// A version that no parameters have had before.
fn next_version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Recurrent {
    pub(super) fn zero(config: Config, token: Token) -> Result<Self, Error> {
        let ranges = Ranges::of(&config)?;
        let count = ranges.last().map_or(0, |ranges| ranges.all().end);
        let parameters = zeros("parameters", &[count])?;
        let weights = collect((0..ranges.len()).map(|cell| {
            let input = config.layer_input(cell / config.directions());
            let variant = config.variant(cell % config.directions());
            Weights::new(token, variant, input, config.hidden_size)
        }))?;
        let (transposed, version) = (OnceLock::new(), next_version());
        Ok(Recurrent { config, token, ranges, parameters, weights, transposed, version })
    }

    pub(super) fn initialise(&mut self, init: Init, seed: u64) -> Result<(), Error> {
        initialise(init, &self.config, &self.ranges, &mut self.parameters, seed)?;
        self.repack();
        Ok(())
    }

    /// The configuration of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The SIMD level of the network's kernels.
    pub fn level(&self) -> Level {
        self.token.level()
    }

    /// All parameters: for each layer and direction `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`,
    /// `weight_hr`, `peephole`, `norm_ih`, `norm_hh`, `norm_c`, as far as there are such.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The tensors that the parameters are made of, by PyTorch's names, in their order.
    pub fn named_parameters(&self) -> impl Iterator<Item = NamedParameter<'_>> {
        tensors(&self.config, &self.ranges).map(|(name, shape, range)| NamedParameter {
            name,
            shape,
            values: &self.parameters[range],
        })
    }

    /// Sets one tensor by its name.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] where none has this name, [`Error::Format`] where it has another size.
    pub fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        let found = tensors(&self.config, &self.ranges).find(|tensor| tensor.0 == name);
        let (_, _, range) = found.ok_or_else(|| Error::UnknownParameter { name: name.to_owned() })?;
        if range.len() != values.len() {
            let (expected, got) = (format!("{} values", range.len()), values.len().to_string());
            return Err(Error::Format { what: format!("parameter {name}"), expected, got });
        }
        self.update(|parameters| parameters[range].copy_from_slice(values));
        Ok(())
    }

    /// Lets `change` write to the parameters, then packs them again, even if `change` panics. Tapes that were
    /// made before can no longer be used by [`backward`](Recurrent::backward), even if no value changed.
    ///
    /// ```
    /// use fused_rnn::Gru;
    ///
    /// let mut gru = Gru::reset_after(4, 8).build()?;
    /// let gradients = vec![0.5; gru.parameters().len()];
    /// gru.update(|parameters| {
    ///     for (parameter, gradient) in parameters.iter_mut().zip(&gradients) {
    ///         *parameter -= 1e-3 * gradient;
    ///     }
    /// });
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn update<T>(&mut self, change: impl FnOnce(&mut [f32]) -> T) -> T {
        struct Repack<'a>(&'a mut Recurrent);
        impl Drop for Repack<'_> {
            fn drop(&mut self) {
                self.0.repack();
            }
        }
        let guard = Repack(self);
        change(&mut guard.0.parameters)
    }

    fn repack(&mut self) {
        self.version = next_version();
        let transposed = self.transposed.get_mut().map(Vec::as_mut_slice).unwrap_or_default();
        for (cell, ranges) in self.ranges.iter().enumerate() {
            let canonical = ranges.canonical(&self.parameters);
            self.weights[cell].pack(&canonical);
            if let Some(weights) = transposed.get_mut(cell) {
                weights.pack(&self.weights[cell].variant, &canonical);
            }
        }
    }

    /// The weights packed for backward.
    pub(super) fn transposed(&self) -> Result<&[TransposedWeights], Error> {
        if let Some(transposed) = self.transposed.get() {
            return Ok(transposed);
        }
        let transposed = collect((self.ranges.iter().zip(&self.weights)).map(|(ranges, weights)| {
            let mut transposed = TransposedWeights::new(weights)?;
            transposed.pack(&weights.variant, &ranges.canonical(&self.parameters));
            Ok(transposed)
        }))?;
        Ok(self.transposed.get_or_init(|| transposed))
    }

    /// A state of zeros for `batch` rows.
    ///
    /// # Errors
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where it does not fit into memory.
    pub fn zero_state(&self, batch: usize) -> Result<State, Error> {
        let config = &self.config;
        State::zero(config.kind, self.ranges.len(), batch, (config.hidden_size, config.outputs()))
    }

    /// Runs sequences from zero states and returns outputs and states in new memory.
    /// [`forward`](Recurrent::forward) does the same without allocation.
    ///
    /// `x` is `(B, T, I)`, or `(T, B, I)` where the layer is time-major.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm};
    ///
    /// let lstm = Lstm::builder(3, 16).layers(2).bidirectional(true).build()?;
    /// let (batch, steps) = (4, 10);
    /// let output = lstm.run(&vec![0.1; batch * steps * 3], Dims::new(batch, steps))?;
    /// assert_eq!(output.y.len(), batch * steps * 2 * 16);
    /// assert_eq!(output.state.h().len(), 2 * 2 * batch * 16);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`forward`](Recurrent::forward).
    pub fn run(&self, x: &[f32], dims: Dims<'_>) -> Result<Output, Error> {
        // Checks the input before memory for the answer is allocated.
        let inputs = checked_size("x", &[dims.batch, dims.steps, self.config.input_size])?;
        check_len("x", inputs, x.len())?;
        dims.check()?;
        let mut y = zeros("y", &[dims.batch, dims.steps, self.config.output_size()])?;
        let mut state = self.zero_state(dims.batch)?;
        self.forward(x, dims, &mut state, Some(&mut y), &mut Workspace::new())?;
        Ok(Output { y, state })
    }
}
