//! The configuration of a network: sizes, structure, conventions. `builder.rs` makes one.

use crate::activation::Activation;
use crate::cell::{CellKind, Options, Variant, Zoneout};
use crate::error::{Error, check_len, checked_size};
use crate::memory::Grid;
use crate::product::{MAX_INPUTS, Precision};
use crate::sequence::{Pattern, Schedule, Threads};

/// The order of the axes of a sequence. A call may have packed sequences instead: [`Dims::packed`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `(batch, time, features)`.
    #[default]
    BatchFirst,
    /// `(time, batch, features)`.
    TimeMajor,
}

/// The direction of time in which a layer runs.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Each row runs from its beginning to its end.
    #[default]
    Forward,
    /// From the end of each row to its beginning: ONNX's `reverse`, Keras's `go_backwards`. Outputs stay in
    /// the order of time, and the final state is the state at the beginning. Such a network needs the end of
    /// a sequence first: it has no [`step`](crate::Recurrent::step), and its sequences cannot be cut.
    Reverse,
    /// Both directions, each with its own weights. The outputs lie side by side, forward first. There is no
    /// `step` and sequences cannot be cut, as for `Reverse`.
    Both,
}

impl Direction {
    /// The number of directions.
    pub(super) fn count(self) -> usize {
        if self == Direction::Both { 2 } else { 1 }
    }

    /// Whether direction `index` of a layer runs from the end to the beginning.
    pub(super) fn is_reverse(self, index: usize) -> bool {
        self == Direction::Reverse || index == 1
    }
}

/// The bias vectors of a layer.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// Two bias vectors, `bias_ih` and `bias_hh`, as in PyTorch and ONNX.
    #[default]
    Double,
    /// One bias vector, `bias_ih`, as Keras's LSTM has.
    Single,
    /// No bias.
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
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims<'a> {
    /// The number of rows of the batch, B.
    pub batch: usize,
    /// The number of steps of the padded sequence, T.
    pub steps: usize,
    /// The length of each row, `(B)`: from 0 to T, in any order. `None` means that all lengths are T.
    ///
    /// Each row runs over its own length, in both directions. Outputs and gradients past its end are zero,
    /// and the padding is never read. Its final state is the state after its own last step; a row of length
    /// zero keeps its initial state. The time of a call follows the sum of the lengths.
    pub lengths: Option<&'a [usize]>,
    /// Which steps are real, `(B, T)` in every layout. A step that is false is left out, as a step past the
    /// end of a row is: its output and gradients are zero, and the state does not change. (Keras repeats the
    /// output of the step before.)
    pub mask: Option<&'a [bool]>,
    /// Where episodes begin, `(B, T)` in every layout. The state is zero before a step that is true. The
    /// reverse direction comes from the other side: its state is zero after that step, on its way into the
    /// episode before. A masked step resets as well; a step past the end of its row does not.
    pub resets: Option<&'a [bool]>,
    /// Whether x, y, dy and dx are packed, `(sum of lengths, features)`, whatever the layout of the network:
    /// see [`packed`](Dims::packed).
    pub is_packed: bool,
    /// The distances in x from a row to the next and from a step to the next, in floats, where x is not
    /// contiguous: see [`with_x_strides`](Dims::with_x_strides).
    pub x_strides: Option<[usize; 2]>,
}

impl<'a> Dims<'a> {
    /// `batch` rows of `steps` steps each.
    pub fn new(batch: usize, steps: usize) -> Self {
        Dims { batch, steps, lengths: None, mask: None, resets: None, is_packed: false, x_strides: None }
    }

    /// These dims, with a length for each row.
    #[doc(alias = "pack_padded_sequence")]
    #[doc(alias = "sequence_lens")]
    pub fn with_lengths(self, lengths: &'a [usize]) -> Self {
        Dims { lengths: Some(lengths), ..self }
    }

    /// These dims, with a mask of steps: see [`mask`](Dims::mask).
    #[doc(alias = "Masking")]
    pub fn with_mask(self, mask: &'a [bool]) -> Self {
        Dims { mask: Some(mask), ..self }
    }

    /// These dims, with resets of the state: see [`resets`](Dims::resets).
    #[doc(alias = "done")]
    #[doc(alias = "reset_states")]
    pub fn with_resets(self, resets: &'a [bool]) -> Self {
        Dims { resets: Some(resets), ..self }
    }

    /// These dims, of packed sequences: x, y and their gradients are `(sum of lengths, features)`, the steps
    /// one after the other, and of each step the rows that have it, by falling length (rows of equal length
    /// in their order). That is the `data` of PyTorch's `PackedSequence`, and nothing in it is padding.
    /// States and flags stay in the order of the batch. Without lengths, packed is time-major.
    ///
    /// Results are the same bits as those of padded sequences.
    ///
    /// ```
    /// use fused_rnn::{Dims, Gru};
    ///
    /// let gru = Gru::reset_after(1, 2).build()?;
    /// // Rows of one step and of three: a0, b0 b1 b2.
    /// let lengths = [1, 3];
    /// let dims = Dims::new(2, 3).with_lengths(&lengths);
    /// let padded = gru.run(&[0.1, 0.0, 0.0, 0.2, 0.3, 0.4], dims)?; // a0 - - b0 b1 b2
    /// let packed = gru.run(&[0.2, 0.1, 0.3, 0.4], dims.packed())?; // b0 a0 b1 b2
    /// assert_eq!(packed.y[2..4], padded.y[..2]);
    /// assert_eq!(packed.y[4..], padded.y[8..]);
    /// assert_eq!(packed.state.h(), padded.state.h());
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    #[doc(alias = "PackedSequence")]
    pub fn packed(self) -> Self {
        Dims { is_packed: true, ..self }
    }

    /// These dims, with an x that is not contiguous: `row` floats from a row of the batch to the next, and
    /// `step` floats from a step to the next, whatever the layout of the network. The features of a step lie
    /// next to each other. x begins at its first value, and may end anywhere after its last. So a piece of
    /// longer sequences, or some of their features, need no copy. (Gradients of x are contiguous, in the
    /// layout of the network.)
    ///
    /// ```
    /// use fused_rnn::{Dims, Gru};
    ///
    /// let gru = Gru::reset_after(1, 2).build()?;
    /// // Two rows of four steps; of each the steps 1 and 2.
    /// let x = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
    /// let piece = gru.run(&x[1..], Dims::new(2, 2).with_x_strides(4, 1))?;
    /// assert_eq!(piece.y, gru.run(&[0.2, 0.3, 0.6, 0.7], Dims::new(2, 2))?.y);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn with_x_strides(self, row: usize, step: usize) -> Self {
        Dims { x_strides: Some([row, step]), ..self }
    }

    pub(super) fn pattern(&self) -> Pattern<'a> {
        Pattern { lengths: self.lengths, mask: self.mask, resets: self.resets, packed: self.is_packed }
    }

    /// Whether they are one step of all rows, and the rows lie next to each other.
    pub(super) fn is_one_step(&self) -> bool {
        self.steps == 1 && self.is_whole()
    }

    /// Whether all rows have all steps, next to each other.
    pub(super) fn is_whole(&self) -> bool {
        self.lengths.is_none() && self.mask.is_none() && self.resets.is_none() && self.x_strides.is_none()
    }

    /// How the caller's sequences lie, for dims that have been checked.
    pub(super) fn sequences(&self) -> Sequences {
        let &Dims { batch, steps, lengths, is_packed, x_strides, .. } = self;
        let sum =
            |lengths: &[usize]| lengths.iter().fold(0, |sum: usize, length| sum.saturating_add(*length));
        let packed = lengths.filter(|_| is_packed).map(sum);
        Sequences { batch, steps, packed, time_major: is_packed, x_strides }
    }

    /// Checks that lengths, mask and resets fit the batch.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_packed && self.x_strides.is_some() {
            return Err(Error::Unsupported { what: "strides of a packed sequence" });
        }
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

/// How the caller's sequences lie, by their dims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequences {
    pub(super) batch: usize,
    pub(super) steps: usize,
    /// The steps of all rows together, where these are packed by a table.
    packed: Option<usize>,
    /// Whether they are time-major, whatever the layout of the network.
    time_major: bool,
    x_strides: Option<[usize; 2]>,
}

impl Sequences {
    /// The length of a contiguous sequence with `features` features.
    pub(super) fn len(&self, what: &'static str, features: usize) -> Result<usize, Error> {
        match self.packed {
            Some(count) => checked_size(what, &[count, features]),
            None => checked_size(what, &[self.batch, self.steps, features]),
        }
    }

    /// The shape of an input with `features` features.
    pub(super) fn x(&self, features: usize, layout: Layout) -> Result<Grid, Error> {
        match self.x_strides {
            Some(strides) => Grid::strided(self.steps, self.batch, features, strides),
            None => self.grid(1, features, layout),
        }
    }

    /// The shape of a contiguous sequence in this layout, or packed.
    pub(super) fn grid(&self, planes: usize, width: usize, layout: Layout) -> Result<Grid, Error> {
        match (self.packed, layout) {
            (Some(count), _) => Grid::slot_major(1, count, planes, width),
            (None, Layout::BatchFirst) if !self.time_major => {
                Grid::row_major(self.steps, self.batch, planes, width)
            }
            (None, _) => Grid::slot_major(self.steps, self.batch, planes, width),
        }
    }

    /// Whether the sequences have more steps than these `real` ones: padding, or masked steps.
    pub(super) fn have_more_than(&self, real: usize) -> bool {
        real < self.packed.unwrap_or(self.batch.saturating_mul(self.steps))
    }

    /// Checks the length of x.
    pub(super) fn check_x(&self, x: &[f32], features: usize) -> Result<(), Error> {
        match self.x_strides {
            None => check_len("x", self.len("x", features)?, x.len()),
            Some(_) => {
                let expected = self.x(features, Layout::default())?.len();
                let what = "x (to the last value of its strides)";
                if x.len() >= expected { Ok(()) } else { Err(Error::Length { what, expected, got: x.len() }) }
            }
        }
    }
}

/// The configuration of a [`Recurrent`](crate::Recurrent): everything but its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub(super) kind: CellKind,
    /// The options of the forward and of the reverse direction.
    pub(super) options: [Options; 2],
    /// True if the options are those of the plain cell.
    pub(super) plain: bool,
    pub(super) projection: Option<usize>,
    pub(super) layer_norm: Option<f32>,
    pub(super) heads: usize,
    pub(super) precision: Precision,
    pub(super) input_size: usize,
    pub(super) hidden_size: usize,
    pub(super) layers: usize,
    pub(super) direction: Direction,
    pub(super) layout: Layout,
    pub(super) bias: Bias,
    pub(super) dropout: f32,
    pub(super) recurrent_dropout: f32,
    pub(super) input_dropout: f32,
    /// The zoneout of the hidden state and of the cell state.
    pub(super) zoneout: [f32; 2],
    pub(super) threads: Threads,
    pub(super) schedule: Schedule,
}

impl Config {
    /// True if a network of the other configuration computes the same: all fields but threads and schedule
    /// are equal.
    pub(super) fn computes_the_same(&self, other: &Config) -> bool {
        let (threads, schedule) = (self.threads, self.schedule);
        *self == Config { threads, schedule, ..other.clone() }
    }
    /// The cell of all layers.
    pub fn kind(&self) -> CellKind {
        self.kind
    }
    /// Features of the input, I.
    pub fn input_size(&self) -> usize {
        self.input_size
    }
    /// Hidden units of each direction, H: the width of the cell state, and of a hidden state that is not
    /// projected.
    pub fn hidden_size(&self) -> usize {
        self.hidden_size
    }
    /// The number of layers, L.
    pub fn layers(&self) -> usize {
        self.layers
    }
    /// The number of directions of each layer, D: 1 or 2.
    pub fn directions(&self) -> usize {
        self.direction.count()
    }
    /// The number of strands: directions of layers.
    pub(crate) fn strands(&self) -> usize {
        self.layers * self.directions()
    }
    /// The number of the strand of a direction of a layer.
    pub(super) fn strand(&self, layer: usize, direction: usize) -> usize {
        layer * self.directions() + direction
    }
    /// The direction of time in which the layers run.
    pub fn direction(&self) -> Direction {
        self.direction
    }
    /// The activations in ONNX's order, LSTM f (of i, f, o), g (of the candidate), h (of the output), GRU f,
    /// g, Elman and IndRNN f, minimal GRU f, g, minimal LSTM g: those of the forward direction, or of the
    /// reverse one.
    pub fn activations(&self, reverse: bool) -> &[Activation] {
        &self.options[usize::from(reverse)].activations[..self.kind.activation_count()]
    }
    /// Whether there are peepholes.
    pub fn peephole(&self) -> bool {
        self.options[0].peephole
    }
    /// Whether the forget gate is `1 - i`.
    pub fn coupled(&self) -> bool {
        self.options[0].coupled
    }
    /// The bound of pre-activations, where there is one.
    pub fn clip(&self) -> Option<f32> {
        Some(self.options[0].clip).filter(|clip| clip.is_finite())
    }
    /// The bound of the cell state, where there is one.
    pub fn cell_clip(&self) -> Option<f32> {
        Some(self.options[0].cell_clip).filter(|clip| clip.is_finite())
    }
    /// The width of the hidden state where it is a projection, P.
    pub fn projection(&self) -> Option<usize> {
        self.projection
    }
    /// The width of the hidden state of a direction: H, or P.
    pub(super) fn outputs(&self) -> usize {
        self.projection.unwrap_or(self.hidden_size)
    }
    /// The epsilon of the layer normalisation, where there is one.
    pub fn layer_norm(&self) -> Option<f32> {
        self.layer_norm
    }
    /// The heads of the recurrent weights: 1, where all units see the whole hidden state.
    pub fn heads(&self) -> usize {
        self.heads
    }
    /// How weights are stored and multiplied.
    pub fn precision(&self) -> Precision {
        self.precision
    }
    /// Checks that the integer sums of the precision cannot overflow for rows as wide as these.
    pub(super) fn check_precision(&self) -> Result<(), Error> {
        let widths = [
            ("input_size in Int8", self.input_size),
            ("hidden_size in Int8", self.hidden_size),
            ("output width in Int8", self.output_size()),
        ];
        match widths.into_iter().find(|&(_, got)| got > MAX_INPUTS) {
            Some((what, got)) if self.precision == Precision::Int8 => {
                Err(Error::OutOfRange { what, expected: "at most 131072", got: got as f64 })
            }
            _ => Ok(()),
        }
    }
    /// Features of the output, `D * H`, or `D * P`.
    #[doc(alias = "hidden_size")]
    pub fn output_size(&self) -> usize {
        self.directions().saturating_mul(self.outputs())
    }
    /// Floats of the hidden states and of the cell states of so many rows: `L * D * batch * H` each, P wide
    /// with a projection; no cell states where the cell has none. They are the lengths of
    /// [`State::h`](crate::State::h) and [`State::c`](crate::State::c), and `usize::MAX` where these would be
    /// more.
    ///
    /// ```
    /// let lstm = fused_rnn::Lstm::builder(4, 8).layers(2).projection(3).build()?;
    /// let state = lstm.zero_state(5)?;
    /// assert_eq!(lstm.config().state_lens(5), [state.h().len(), state.c().len()]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn state_lens(&self, batch: usize) -> [usize; 2] {
        let cells = if self.kind.has_cell_state() { self.hidden_size } else { 0 };
        [self.outputs(), cells].map(|width| self.strands().saturating_mul(batch).saturating_mul(width))
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
    /// The probability with which training drops a unit of the hidden state on its way into the recurrent
    /// product.
    pub fn recurrent_dropout(&self) -> f32 {
        self.recurrent_dropout
    }
    /// The probability with which training drops an input of a layer, for all steps of a row.
    pub fn input_dropout(&self) -> f32 {
        self.input_dropout
    }
    /// The probabilities with which hidden and cell states keep their old values.
    pub fn zoneout(&self) -> [f32; 2] {
        self.zoneout
    }
    /// Planes of a state record. Zoneout of the cell state adds a plane, for its value before zoneout. In
    /// training, recurrent dropout adds the last plane, for the hidden state with its dropout.
    pub(super) fn state_planes(&self, training: bool) -> usize {
        let masked = usize::from(training && self.recurrent_dropout > 0.0);
        self.variant(0).shape().state.len() + Zoneout::planes(self.zoneout_of(0, None)) + masked
    }
    /// How many threads a call may use.
    pub fn threads(&self) -> Threads {
        self.threads
    }
    /// What threads share among themselves.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }
    /// The cell of a direction. Both directions are plain, or neither is, so that their tapes have the same
    /// form.
    pub(super) fn variant(&self, direction: usize) -> Variant {
        let index = usize::from(self.direction.is_reverse(direction));
        let options = self.options[index];
        Variant {
            kind: self.kind,
            options,
            projection: self.projection,
            epsilon: self.layer_norm,
            heads: self.heads,
            plain: self.plain,
        }
    }
    /// Features of the input of a layer.
    pub(crate) fn layer_input(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.output_size() }
    }
    /// Multiply-adds of one step of one row through all layers.
    pub(super) fn work_per_step(&self) -> usize {
        let shape = self.variant(0).shape();
        let seen = self.outputs() / self.heads;
        let recurrent = shape.recurrent.len() * seen + self.projection.unwrap_or(0);
        let of_unit =
            |layer| self.layer_input(layer).saturating_mul(shape.input.len()).saturating_add(recurrent);
        (0..self.layers.min(2))
            .map(|layer| of_unit(layer).saturating_mul(if layer == 0 { 1 } else { self.layers - 1 }))
            .fold(0usize, usize::saturating_add)
            .saturating_mul(self.hidden_size * self.directions())
    }
}
