//! What a recurrent layer is: sizes, structure, conventions; and the builder that makes one.

use super::{Init, Recurrent};
use crate::cell::{CellKind, Pattern};
use crate::error::{Error, check_len, checked_size, reserve};
use crate::sequence::{Schedule, Threads};
use crate::simd::Level;

/// The order of the axes of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `(batch, time, features)`.
    #[default]
    BatchFirst,
    /// `(time, batch, features)`.
    TimeMajor,
}

/// Which bias vectors a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// Two, `bias_ih` and `bias_hh`, as in PyTorch and ONNX.
    #[default]
    Double,
    /// `bias_ih` alone, as in Keras, where the LSTM trains one bias vector.
    Single,
    /// None.
    None,
}

/// The shape of one call's sequences.
///
/// ```
/// use fused_rnn::Dims;
///
/// let padded = Dims::new(3, 100);
/// let ragged = Dims::new(3, 100).with_lengths(&[100, 0, 42]);
/// let masked = Dims::new(1, 4).with_mask(&[true, false, true, true]);
/// let two_episodes = Dims::new(1, 4).with_resets(&[false, false, true, false]);
/// # assert_eq!(padded.lengths, None);
/// # assert_eq!(ragged.batch, 3);
/// # assert_eq!(masked.steps, two_episodes.steps);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims<'a> {
    /// Rows, B.
    pub batch: usize,
    /// Steps, T.
    pub steps: usize,
    /// The length of each row, at most T, in any order, zero included; `None` where all are T.
    ///
    /// Each row runs over its own length, in both directions. Outputs and gradients past its end are
    /// zero, its final state is the one after its own last step, a row of length zero keeps its initial
    /// state, and what stands in the padding is never read. Time follows the sum of the lengths.
    pub lengths: Option<&'a [usize]>,
    /// `(B, T)`, whatever the layout of the sequence: steps that are false are left out, as steps past the end
    /// of a row are; the state waits. Outputs and gradients there are zero. (Keras repeats the output of the
    /// step before, where somebody looks at it.)
    pub mask: Option<&'a [bool]>,
    /// `(B, T)`, whatever the layout of the sequence: before a step that is true the state is zero, as at the
    /// beginning of an episode. In the reverse direction the state is zero after it, on the way from the next
    /// episode to the one before. A masked step resets as well; a step past the end of its row does not.
    pub resets: Option<&'a [bool]>,
}

impl<'a> Dims<'a> {
    /// `batch` rows of `steps` steps each.
    pub fn new(batch: usize, steps: usize) -> Self {
        Dims { batch, steps, lengths: None, mask: None, resets: None }
    }

    /// The same with a length for each row.
    pub fn with_lengths(self, lengths: &'a [usize]) -> Self {
        Dims { lengths: Some(lengths), ..self }
    }

    /// The same with a mask.
    pub fn with_mask(self, mask: &'a [bool]) -> Self {
        Dims { mask: Some(mask), ..self }
    }

    /// The same with resets of the state.
    pub fn with_resets(self, resets: &'a [bool]) -> Self {
        Dims { resets: Some(resets), ..self }
    }

    pub(super) fn pattern(&self) -> Pattern<'a> {
        Pattern { lengths: self.lengths, mask: self.mask, resets: self.resets }
    }

    /// Whether lengths, mask and resets fit the batch.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (what, flags) in [("mask", self.mask), ("resets", self.resets)] {
            if let Some(flags) = flags {
                check_len(what, checked_size(what, &[self.batch, self.steps])?, flags.len())?;
            }
        }
        let Some(lengths) = self.lengths else { return Ok(()) };
        check_len("lengths", self.batch, lengths.len())?;
        match lengths.iter().position(|&length| length > self.steps) {
            Some(row) => Err(Error::RowLength { row, steps: self.steps, got: lengths[row] }),
            None => Ok(()),
        }
    }
}

/// Everything that a [`Recurrent`] is, but for its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub(super) kind: CellKind,
    pub(super) input_size: usize,
    pub(super) hidden_size: usize,
    pub(super) layers: usize,
    pub(super) bidirectional: bool,
    pub(super) layout: Layout,
    pub(super) bias: Bias,
    pub(super) dropout: f32,
    pub(super) threads: Threads,
    pub(super) schedule: Schedule,
}

impl Config {
    /// The cell.
    pub fn kind(&self) -> CellKind {
        self.kind
    }
    /// Features of the input, I.
    pub fn input_size(&self) -> usize {
        self.input_size
    }
    /// Hidden units of each direction, H.
    pub fn hidden_size(&self) -> usize {
        self.hidden_size
    }
    /// Layers, L.
    pub fn layers(&self) -> usize {
        self.layers
    }
    /// Directions of each layer, D: 1 or 2.
    pub fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }
    /// Features of the output, `D * H`.
    pub fn output_size(&self) -> usize {
        self.directions().saturating_mul(self.hidden_size)
    }
    /// The order of the axes of input and output.
    pub fn layout(&self) -> Layout {
        self.layout
    }
    /// Which bias vectors there are.
    pub fn bias(&self) -> Bias {
        self.bias
    }
    /// The probability with which training drops a value between two layers.
    pub fn dropout(&self) -> f32 {
        self.dropout
    }
    /// How many threads a call may use.
    pub fn threads(&self) -> Threads {
        self.threads
    }
    /// What threads share among themselves.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }
    /// Features of the input of a layer.
    pub(super) fn layer_input(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.output_size() }
    }
    /// Multiply-adds of one step of one row through all layers.
    pub(super) fn work_per_step(&self) -> usize {
        let per_layer = |layer| self.layer_input(layer).saturating_add(self.hidden_size);
        (0..self.layers.min(2))
            .map(|layer| per_layer(layer).saturating_mul(if layer == 0 { 1 } else { self.layers - 1 }))
            .fold(0usize, usize::saturating_add)
            .saturating_mul(self.kind.gates() * self.hidden_size * self.directions())
    }
}

/// Makes a [`Recurrent`]. Started by [`Lstm::builder`](crate::Lstm::builder) and its sisters, or by
/// [`Builder::new`] where the cell is known only when the program runs.
///
/// ```
/// use fused_rnn::{Builder, CellKind, Init, Layout};
///
/// let gru = Builder::new(CellKind::GruResetAfter, 40, 64)
///     .layers(2)
///     .bidirectional(true)
///     .layout(Layout::TimeMajor)
///     .init(Init::PyTorch, 42)
///     .build()?;
/// assert_eq!(gru.config().output_size(), 128);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder {
    config: Config,
    init: Init,
    seed: u64,
    level: Option<Level>,
}

impl Builder {
    /// One layer, forward in time, batch-first, two biases, no dropout, PyTorch's initialisation.
    pub fn new(kind: CellKind, input_size: usize, hidden_size: usize) -> Self {
        let config = Config {
            kind,
            input_size,
            hidden_size,
            layers: 1,
            bidirectional: false,
            layout: Layout::default(),
            bias: Bias::default(),
            dropout: 0.0,
            threads: Threads::default(),
            schedule: Schedule::default(),
        };
        Builder { config, init: Init::PyTorch, seed: 0, level: None }
    }
    /// Layers on top of each other; each reads the output of the one below.
    pub fn layers(mut self, layers: usize) -> Self {
        self.config.layers = layers;
        self
    }
    /// Whether each layer also runs backward in time; outputs are the two directions side by side.
    pub fn bidirectional(mut self, bidirectional: bool) -> Self {
        self.config.bidirectional = bidirectional;
        self
    }
    /// The order of the axes of input and output. States are always `(layers * directions, batch, H)`.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.config.layout = layout;
        self
    }
    /// Which bias vectors there are.
    pub fn bias(mut self, bias: Bias) -> Self {
        self.config.bias = bias;
        self
    }
    /// The probability with which [`forward_train`](Recurrent::forward_train) drops a value between two
    /// layers; those that stay are divided by `1 - dropout`. Without effect on a single layer, as there
    /// is nothing in between.
    pub fn dropout(mut self, dropout: f32) -> Self {
        self.config.dropout = dropout;
        self
    }
    /// How the weights begin, and the seed of their random numbers.
    pub fn init(mut self, init: Init, seed: u64) -> Self {
        self.init = init;
        self.seed = seed;
        self
    }
    /// Pins the SIMD level. Otherwise it is [`Level::from_env`].
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }
    /// How many threads a call may use.
    pub fn threads(mut self, threads: Threads) -> Self {
        self.config.threads = threads;
        self
    }

    /// What threads share among themselves: for measuring, and for tests. Otherwise it is what an estimate
    /// says is the fastest.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.config.schedule = schedule;
        self
    }

    /// Makes the network.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] where a size is 0, [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where the
    /// weights do not fit into memory, [`Error::OutOfRange`] where the dropout is not in `[0, 1)`,
    /// [`Error::LevelUnavailable`] or [`Error::UnknownLevel`] where the SIMD level cannot be had.
    pub fn build(self) -> Result<Recurrent, Error> {
        let config = self.config;
        let sizes = [
            ("input_size", config.input_size),
            ("hidden_size", config.hidden_size),
            ("layers", config.layers),
        ];
        for (what, size) in sizes {
            if size == 0 {
                return Err(Error::ZeroSize { what });
            }
        }
        if !(0.0..1.0).contains(&config.dropout) {
            let got = f64::from(config.dropout);
            return Err(Error::OutOfRange { what: "dropout", expected: "a probability in [0, 1)", got });
        }
        // All parameters at once, before anything is made for each layer: where they fit, so does the rest.
        let rows = checked_size("weights", &[config.kind.gates(), config.hidden_size, config.directions()])?;
        let size = |layers: usize, input: usize| {
            let columns = input.saturating_add(config.hidden_size).saturating_add(2);
            checked_size("weights", &[layers, rows, columns])
        };
        let first = size(1, config.input_size)?;
        let rest = size(config.layers - 1, config.output_size())?;
        reserve(&mut Vec::<f32>::new(), first.saturating_add(rest))?;
        let level = match self.level {
            Some(level) => level,
            None => Level::from_env()?,
        };
        let mut recurrent = Recurrent::zero(config, level.token()?)?;
        recurrent.initialise(self.init, self.seed)?;
        Ok(recurrent)
    }
}
