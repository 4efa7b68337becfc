//! The network: its weights in both forms, and its queries.

use super::config::Config;
use super::init::{Init, initialise};
use super::parameters::{NamedParameter, Ranges, tensors};
use crate::cell::{TransposedWeights, Weights};
use crate::error::{Error, collect, zeros};
use crate::simd::{Level, Token};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

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
/// changes from call to call: [`State`](crate::State), [`Tape`](crate::Tape) and
/// [`Workspace`](crate::Workspace).
#[derive(Clone)]
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
        let weights = collect((0..ranges.len()).map(|strand| {
            let input = config.layer_input(strand / config.directions());
            let variant = config.variant(strand % config.directions());
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

    /// The bytes that it holds: the parameters, and the weights packed for the kernels. The packed weights
    /// are about as many bytes as the parameters for forward, and as many again from the first backward pass
    /// on.
    pub fn bytes(&self) -> usize {
        let transposed = self.transposed.get().map(Vec::as_slice).unwrap_or_default();
        let packed: usize = self.weights.iter().map(Weights::bytes).sum();
        let transposed: usize = transposed.iter().map(TransposedWeights::bytes).sum();
        size_of_val(&self.parameters[..]) + packed + transposed
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
            values: &self.parameters[range.clone()],
            range,
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
        for (strand, ranges) in self.ranges.iter().enumerate() {
            let canonical = ranges.canonical(&self.parameters);
            self.weights[strand].pack(&canonical);
            if let Some(weights) = transposed.get_mut(strand) {
                weights.pack(&self.weights[strand].variant, &canonical);
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
}

impl fmt::Debug for Recurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recurrent")
            .field("config", &self.config)
            .field("level", &self.level())
            .field("parameters", &self.parameters.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}
