//! The network: its weights in both forms, and its queries.

use super::config::Config;
use super::init::{Init, initialise};
use super::parameters::{NamedParameter, Ranges, find, name, same_bits, tensors};
use crate::cell::{PerTensor, Tensor, TransposedWeights, Weights};
use crate::error::{Error, collect, refused, zeros};
use crate::product::Precision;
use crate::sequence::{Threads, join};
use crate::simd::{Level, Token};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A recurrent network: one cell, in one or more layers, in one or both directions.
///
/// | to | call |
/// |---|---|
/// | run sequences in new memory, from zero states or from a state | [`run`](Recurrent::run), [`run_from`](Recurrent::run_from) |
/// | run sequences from a state, in the caller's memory | [`forward`](Recurrent::forward) |
/// | run one step of a stream | [`step`](Recurrent::step) |
/// | train | [`forward_train`](Recurrent::forward_train), then [`backward`](Recurrent::backward) |
/// | train with a tape in the caller's memory | [`forward_train_into`](Recurrent::forward_train_into), then [`backward_from`](Recurrent::backward_from) |
/// | allocate before the first call | [`reserve`](Recurrent::reserve) |
/// | change the parameters | [`update`](Recurrent::update), [`set_parameters`](Recurrent::set_parameters), [`set_parameter`](Recurrent::set_parameter) |
/// | change the precision | [`in_precision`](Recurrent::in_precision), [`set_scales`](Recurrent::set_scales) |
/// | read the parameters | [`parameters`](Recurrent::parameters) |
/// | read them by name | [`named_parameters`](Recurrent::named_parameters) |
/// | keep nothing but packed weights | [`drop_parameters`](Recurrent::drop_parameters) |
/// | make a state of zeros | [`zero_state`](Recurrent::zero_state) |
/// | know the memory of a tape | [`tape_bytes`](Recurrent::tape_bytes), [`tape_len`](Recurrent::tape_len) |
///
/// It holds its parameters in the canonical form, a flat slice in PyTorch's order, and packed for the kernels
/// of its SIMD level. Calls take `&self`, so threads can share one network. The caller holds everything that
/// changes from call to call: [`State`](crate::State), [`Tape`](crate::Tape) and
/// [`Workspace`](crate::Workspace).
#[derive(Clone)]
#[doc(alias = "LSTM")]
#[doc(alias = "GRU")]
#[doc(alias = "RNN")]
#[doc(alias = "Module")]
#[doc(alias = "Layer")]
pub struct Recurrent {
    pub(super) config: Config,
    token: Token,
    pub(super) ranges: Vec<Ranges>,
    /// Empty once they have been dropped. (Every network has some when it is built.)
    parameters: Vec<f32>,
    /// The scales that were given for the matrices of each strand: empty where none were given, and zero for
    /// rows that have their own.
    pub(super) scales: Vec<PerTensor<Vec<f32>>>,
    pub(super) weights: Vec<Weights>,
    /// The first backward pass packs these weights.
    transposed: OnceLock<Vec<TransposedWeights>>,
    /// The version of the parameters, by which a tape knows them. A clone has the same version until one of
    /// the two changes.
    pub(super) version: u64,
    /// The identity of this network: a workspace that holds addresses of weights knows by it whose they are.
    pub(super) instance: Instance,
}

/// Parameters of one direction of a layer from which on two threads pack it sooner than one: 128 units with
/// as many inputs have 131,072. (`X207/pack-threads`)
const SIDE_BY_SIDE: usize = 1 << 16;

/// Identifies a network. No other has the same, neither one that has been dropped nor a clone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instance(u64);

impl Instance {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Instance(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Its number.
    #[inline(always)]
    pub(super) fn number(&self) -> u64 {
        self.0
    }
}

impl Clone for Instance {
    /// Another one.
    fn clone(&self) -> Self {
        Instance::new()
    }
}

/// A new version of parameters, unlike all before.
pub(super) fn next_version() -> u64 {
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
            Weights::new((token, config.precision), variant, input, config.hidden_size)
        }))?;
        let (scales, transposed) = (Vec::new(), OnceLock::new());
        let (version, instance) = (next_version(), Instance::new());
        Ok(Recurrent { config, token, ranges, parameters, scales, weights, transposed, version, instance })
    }

    pub(super) fn initialise(&mut self, init: Init, seed: u64) -> Result<(), Error> {
        initialise(init, &self.config, &self.ranges, &mut self.parameters, seed)?;
        self.pack_all();
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

    /// The bytes that it holds: the parameters, and the weights packed for the kernels. In
    /// [`Precision::F32`] the packed weights are about as many bytes as the parameters for forward, and as
    /// many again from the first backward pass on; in other precisions half of them or a quarter for forward.
    /// (Small layers of [`Precision::Bf16Weights`] are packed in f32.)
    /// Without parameters, once they have been [dropped](Recurrent::drop_parameters).
    pub fn bytes(&self) -> usize {
        let transposed = self.transposed.get().map(Vec::as_slice).unwrap_or_default();
        let packed: usize = self.weights.iter().map(Weights::bytes).sum();
        let transposed: usize = transposed.iter().map(TransposedWeights::bytes).sum();
        let scales = self.scales.iter().flat_map(|scales| &scales.0);
        let scales: usize = scales.map(|scales| size_of_val(&scales[..])).sum();
        size_of_val(&self.parameters[..]) + scales + packed + transposed
    }

    /// Frees the parameters in f32, which inference does not need. The packed weights stay: a quarter of
    /// these bytes in [`Precision::Int8`], half in [`Precision::Bf16Weights`]. Results are the same bits as
    /// before. The parameters come back only if the network is built and loaded again.
    ///
    /// From then on [`parameters`](Recurrent::parameters) is empty, and
    /// [`named_parameters`](Recurrent::named_parameters) lists none; whatever else reads or sets parameters
    /// is [`Error::Unsupported`]: training, [`set_parameter`](Recurrent::set_parameter),
    /// [`set_parameters`](Recurrent::set_parameters), [`set_scales`](Recurrent::set_scales),
    /// [`in_precision`](Recurrent::in_precision), and to load and save by [`mod@format`](crate::format). A
    /// clone made before keeps its own.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm, Precision};
    ///
    /// let mut lstm = Lstm::builder(128, 256).precision(Precision::Int8).build()?;
    /// let (whole, count) = (lstm.bytes(), lstm.parameters().len());
    /// lstm.drop_parameters();
    /// assert_eq!(lstm.bytes(), whole - 4 * count);
    /// assert!(lstm.bytes() < whole / 4);
    /// lstm.run(&[0.1; 1280], Dims::new(1, 10))?;
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    #[doc(alias = "freeze")]
    #[doc(alias = "eval")]
    pub fn drop_parameters(&mut self) {
        (self.parameters, self.scales, self.transposed) = (Vec::new(), Vec::new(), OnceLock::new());
    }

    /// Whether it still has its parameters, or only packed weights:
    /// [`drop_parameters`](Recurrent::drop_parameters).
    pub fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    /// Refuses what needs parameters where there are none any more.
    pub(crate) fn check_parameters(&self) -> Result<(), Error> {
        let what = "parameters of a network that has dropped them";
        if self.has_parameters() { Ok(()) } else { Err(Error::Unsupported { what }) }
    }

    /// Refuses training where the precision or the network has none.
    pub(super) fn check_trains(&self) -> Result<(), Error> {
        if !self.config.precision.trains() {
            let what = "training in Int8: train in another precision, and change it afterwards";
            return Err(Error::Unsupported { what });
        }
        let what = "training of a network that has dropped its parameters";
        if self.has_parameters() { Ok(()) } else { Err(Error::Unsupported { what }) }
    }

    /// All parameters: for each layer and direction `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`,
    /// `weight_hr`, `peephole`, `norm_ih`, `norm_hh`, `norm_c`, as far as there are such. Empty once they
    /// have been [dropped](Recurrent::drop_parameters).
    #[doc(alias = "get_weights")]
    #[doc(alias = "parameters_mut")]
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The tensors that the parameters are made of, by PyTorch's names, in their order.
    #[doc(alias = "state_dict")]
    pub fn named_parameters(&self) -> impl Iterator<Item = NamedParameter<'_>> {
        let all = if self.has_parameters() { &self.ranges[..] } else { &[] };
        tensors(&self.config, all).map(|(name, shape, range)| NamedParameter {
            name,
            shape,
            values: &self.parameters[range.clone()],
            range,
        })
    }

    /// The number of named parameters.
    pub(super) fn tensor_count(&self) -> usize {
        self.ranges.iter().flat_map(Ranges::existing).count()
    }

    /// Sets one tensor by its name, if it has other bits than these values. Gives whether it had.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] where none has this name, [`Error::Format`] where it has another size,
    /// [`Error::Unsupported`] where parameters have been [dropped](Recurrent::drop_parameters).
    #[doc(alias = "set_weights")]
    #[doc(alias = "load_state_dict")]
    pub fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<bool, Error> {
        let found = find(&self.config, &self.ranges, name);
        let (strand, tensor) = found.ok_or_else(|| Error::UnknownParameter { name: name.to_owned() })?;
        self.set_some(strand..strand + 1, |_, own| (own == tensor).then_some(values))
    }

    /// Sets all tensors, in the order of [`named_parameters`](Recurrent::named_parameters), where their bits
    /// differ from those of the values. Gives whether any did.
    ///
    /// A framework that owns its parameters calls this before each pass. Values that are the same cost a
    /// comparison and nothing else: they are not packed, and if no tensor has changed, earlier tapes are
    /// still good. Of tensors that have changed, only the weights made of them are packed. Nothing is
    /// allocated.
    ///
    /// ```
    /// use fused_rnn::Lstm;
    ///
    /// let mut lstm = Lstm::builder(1, 2).build()?;
    /// let mut own: Vec<Vec<f32>> = lstm.named_parameters().map(|tensor| tensor.values.to_vec()).collect();
    /// let slices = |own: &[Vec<f32>]| own.iter().map(Vec::len).collect::<Vec<_>>();
    /// assert_eq!(slices(&own), [8, 16, 8, 8]);
    ///
    /// let tensors: Vec<&[f32]> = own.iter().map(Vec::as_slice).collect();
    /// assert!(!lstm.set_parameters(&tensors)?);
    /// own[2][0] += 0.5;
    /// let tensors: Vec<&[f32]> = own.iter().map(Vec::as_slice).collect();
    /// assert!(lstm.set_parameters(&tensors)?);
    /// assert_eq!(lstm.parameters(), own.concat());
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Mismatch`] where there are more tensors or fewer, [`Error::Format`] where one has another
    /// size, [`Error::Unsupported`] where parameters have been [dropped](Recurrent::drop_parameters). All
    /// parameters are then as before.
    pub fn set_parameters(&mut self, tensors: &[&[f32]]) -> Result<bool, Error> {
        let (expected, got) = (self.tensor_count(), tensors.len());
        if expected != got {
            return Err(Error::Mismatch { what: "number of parameter tensors", expected, got });
        }
        self.set_some(0..self.ranges.len(), |n, _| tensors.get(n).copied())
    }

    /// Whether the parameters have the bits of these tensors.
    pub(super) fn has_values(&self, tensors: &[&[f32]]) -> bool {
        let ranges = self.ranges.iter().flat_map(Ranges::existing).map(|(_, range)| range);
        self.has_parameters()
            && self.tensor_count() == tensors.len()
            && ranges.zip(tensors).all(|(range, values)| same_bits(&self.parameters[range], values))
    }

    /// Sets those tensors of some strands for which there are values, and packs what has changed. Tensors are
    /// counted from the first of these strands on.
    fn set_some<'a>(
        &mut self,
        strands: Range<usize>,
        values: impl Fn(usize, Tensor) -> Option<&'a [f32]>,
    ) -> Result<bool, Error> {
        self.check_parameters()?;
        let mut n = 0;
        for strand in strands.clone() {
            for (tensor, range) in self.ranges[strand].existing() {
                let (expected, got) = (range.len(), values(n, tensor).map_or(range.len(), <[f32]>::len));
                if got != expected {
                    let what = name(&self.config, strand, tensor);
                    return Err(refused(
                        format_args!("parameter {what}"),
                        format_args!("{expected} values"),
                        got,
                    ));
                }
                n += 1;
            }
        }
        let mut n = 0;
        let mut any = false;
        for strand in strands {
            let mut changed = PerTensor::default();
            for (tensor, range) in self.ranges[strand].existing() {
                let own = &mut self.parameters[range];
                if let Some(values) = values(n, tensor)
                    && !same_bits(own, values)
                {
                    own.copy_from_slice(values);
                    changed.0[tensor as usize] = true;
                }
                n += 1;
            }
            if changed != PerTensor::default() {
                self.pack(strand, &changed);
                any = true;
            }
        }
        if any {
            self.version = next_version();
        }
        Ok(any)
    }

    /// The same network in another precision: with these parameters, and given scales where both have bytes.
    ///
    /// ```
    /// use fused_rnn::{Gru, Precision};
    ///
    /// let gru = Gru::reset_after(40, 256).build()?;
    /// let small = gru.in_precision(Precision::Int8)?;
    /// assert_eq!(small.parameters(), gru.parameters());
    /// assert!(small.bytes() < gru.bytes());
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where a width is more than 131072 in [`Precision::Int8`], [`Error::Unsupported`]
    /// where parameters have been [dropped](Recurrent::drop_parameters), [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where it does not fit into memory.
    #[doc(alias = "quantize")]
    #[doc(alias = "quantize_dynamic")]
    #[doc(alias = "to")]
    pub fn in_precision(&self, precision: Precision) -> Result<Self, Error> {
        self.check_parameters()?;
        let config = Config { precision, ..self.config.clone() };
        config.check_precision()?;
        let mut other = Recurrent::zero(config, self.token)?;
        other.parameters.copy_from_slice(&self.parameters);
        if precision == Precision::Int8 {
            other.scales = self.copied_scales()?;
        }
        other.pack_all();
        Ok(other)
    }

    /// Lets `change` write to the parameters, then packs them again, even if `change` panics. Tapes that were
    /// made before can no longer be used by [`backward`](Recurrent::backward), even if no value changed.
    ///
    /// A large network that has gone back is packed for forward and for backward at the same time, where it
    /// may use [several threads](crate::Builder::threads).
    ///
    /// A network that has [dropped](Recurrent::drop_parameters) its parameters hands an empty slice to
    /// `change`, and stays as it is: see [`has_parameters`](Recurrent::has_parameters).
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
    #[doc(alias = "parameters_mut")]
    #[doc(alias = "optimizer_step")]
    pub fn update<T>(&mut self, change: impl FnOnce(&mut [f32]) -> T) -> T {
        struct Repack<'a>(&'a mut Recurrent);
        impl Drop for Repack<'_> {
            fn drop(&mut self) {
                self.0.pack_all();
            }
        }
        let guard = Repack(self);
        change(&mut guard.0.parameters)
    }

    fn pack_all(&mut self) {
        if !self.has_parameters() {
            return;
        }
        self.version = next_version();
        let threads = self.config.threads;
        (0..self.ranges.len()).for_each(|strand| self.pack_on(threads, strand, &PerTensor::ALL));
    }

    /// Packs again what is made of the tensors of a strand that have changed. On one thread: a mirror packs
    /// under its lock, and a thread of a pool that waits for another takes up work that may want that lock.
    pub(super) fn pack(&mut self, strand: usize, changed: &PerTensor<bool>) {
        self.pack_on(Threads::Count(1), strand, changed);
    }

    /// The same, for forward and for backward side by side where threads and parameters are enough.
    fn pack_on(&mut self, threads: Threads, strand: usize, changed: &PerTensor<bool>) {
        let canonical = self.ranges[strand].canonical(&self.parameters);
        let (weights, scales) = (&mut self.weights[strand], self.scales.get(strand));
        let transposed = self.transposed.get_mut().map(Vec::as_mut_slice).unwrap_or_default();
        let Some(transposed) = transposed.get_mut(strand) else {
            return weights.pack(&canonical, scales, changed);
        };
        let variant = weights.variant;
        let mut forward = || weights.pack(&canonical, scales, changed);
        let mut backward = || transposed.pack(&variant, &canonical, changed);
        if self.ranges[strand].all().len() < SIDE_BY_SIDE || threads.is_one(usize::MAX) {
            forward();
            backward();
        } else {
            join(forward, backward);
        }
    }

    /// The weights packed for backward.
    pub(super) fn transposed(&self) -> Result<&[TransposedWeights], Error> {
        if let Some(transposed) = self.transposed.get() {
            return Ok(transposed);
        }
        let transposed = collect((self.ranges.iter().zip(&self.weights)).map(|(ranges, weights)| {
            let mut transposed = TransposedWeights::new(weights)?;
            transposed.pack(&weights.variant, &ranges.canonical(&self.parameters), &PerTensor::ALL);
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

#[cfg(test)]
mod tests {
    use crate::Lstm;
    use crate::cell::TransposedWeights;
    use crate::product::Panel;

    /// Only what is made of a tensor that has changed is packed: for forward, and transposed.
    #[test]
    fn only_what_has_changed_is_packed() {
        let mut lstm = Lstm::builder(3, 5).layers(2).projection(4).build().unwrap();
        lstm.transposed().unwrap();
        let own: Vec<Vec<f32>> = lstm.named_parameters().map(|tensor| tensor.values.to_vec()).collect();
        let names: Vec<String> = lstm.named_parameters().map(|tensor| tensor.name).collect();
        for (n, name) in names.iter().enumerate() {
            let transposed = lstm.transposed.get_mut().unwrap();
            for (weights, transposed) in lstm.weights.iter_mut().zip(transposed) {
                weights.panels.iter_mut().for_each(Panel::poison);
                let TransposedWeights { input, hidden, second, .. } = transposed;
                input.iter_mut().chain(hidden).chain(second).for_each(Panel::poison);
            }
            let mut changed = own.clone();
            changed[n][0] += 0.5;
            let tensors: Vec<&[f32]> = changed.iter().map(Vec::as_slice).collect();
            assert_eq!((lstm.set_parameters(&tensors), lstm.set_parameters(&tensors)), (Ok(true), Ok(false)));
            let transposed = lstm.transposed().unwrap();
            for (layer, (weights, transposed)) in lstm.weights.iter().zip(transposed).enumerate() {
                let is = |tensor: &str| *name == format!("{tensor}_l{layer}");
                // W, R and W_hr, and so are the transposed ones.
                let packed = [is("weight_ih"), is("weight_hh"), is("weight_hr")];
                let TransposedWeights { input, hidden, second, .. } = transposed;
                let whole = [&input[..], &hidden[..], &second[..]];
                for ((panel, panels), packed) in weights.panels.iter().zip(whole).zip(packed) {
                    assert_eq!(panel.is_poisoned(), !packed, "{name}, layer {layer}");
                    assert!(
                        panels.iter().all(|panel| panel.is_poisoned() != packed),
                        "{name}, layer {layer}"
                    );
                }
            }
            // Back again, with all of it packed.
            lstm.update(|parameters| parameters.copy_from_slice(&own.concat()));
        }
    }
}
