//! What a forward pass keeps for the way back, and how much of it.

use super::config::{Config, Dims, Sequences};
use super::dropout::draw_recurrent;
use crate::cell::Masks;
use crate::error::{Error, check_len, checked_size};
use crate::memory::{AlignedBuf, Grid, GridRef, Lines, LinesMut, Parts};
use crate::sequence::{Extent, Records, Rows};
use std::fmt;

/// How much of a forward pass a [`Tape`] keeps.
///
/// With checkpoints the backward pass runs the steps between two of them forward again. That makes a training
/// step about a third longer if these steps have a few hundred (step, row) together. With fewer, the
/// gradients of the weights are read and written more often, which may cost several times that. The gradients
/// are the same bits.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Everything that the backward pass needs.
    #[default]
    All,
    /// The states before every so many steps; 0 counts as 1. The larger the number, the smaller the tape, and
    /// the more steps are run again at a time, in memory of the workspace. About half the square root of the
    /// number of steps needs the least memory for tape and workspace together.
    Every(usize),
    /// Everything, if it fits into this many bytes. Otherwise checkpoints at the distance that needs the
    /// least memory for the tape and the steps that are run again together. If even that is more, the call is
    /// [`Error::Budget`](crate::Error::Budget), which says how many bytes are needed. (The gate gradients of
    /// some steps, which a backward pass has in its workspace whatever is kept, are not counted.)
    Within(usize),
}

/// What [`forward_train`](crate::Recurrent::forward_train) keeps for
/// [`backward`](crate::Recurrent::backward): every state, the gates of every step, and the output of
/// every layer but the last.
///
/// ```text
/// states   (B + sum of lengths, planes of the state, H')   h, and c: LSTMs 2, sLSTM 4, others 1; one more
///   of each direction of each layer                        with recurrent dropout, one with zoneout of c
/// gates    (planes of the tape, H' / 16, S, 16)            LSTM, GRU 4, Elman 0; Elman with another
///   of each direction of each layer                        activation, a clip or zoneout 1; LSTM with a
///                                                          projection 5; with layer normalisation
///                                                          LSTM 12, GRU 8; minimal GRU 2, minimal LSTM
///                                                          3, IndRNN as Elman, multiplicative LSTM 7,
///                                                          sLSTM 5
///   or, with checkpoints
/// states   (B + sum of (length - 1) / every, planes of the state, H'), and no gates
///   with recurrent dropout
/// masks    (B, H') of each direction of each layer
/// outputs  (T, B, D * H), or D * P with a projection, of each layer but the last, each padded to 16
///   with input dropout
/// input    (T, B, I)
/// ```
///
/// in floats of four bytes, one part after the other, with H' the hidden size padded to 16, in order of time,
/// rows of a step by falling length. S is the sum of lengths, one more where that is even; (length - 1) /
/// every is rounded down for each row, and 0 for a row without steps. With masks or resets, rows are the
/// stretches between resets, without the steps that are masked. It is reused by the next call where it is
/// large enough. [`forward_train_into`](crate::Recurrent::forward_train_into) writes the same to memory of
/// the caller's.
///
/// ```
/// use fused_rnn::{Dims, Keep, Lstm, Tape};
///
/// let lstm = Lstm::builder(64, 64).build()?;
/// let dims = Dims::new(8, 400);
/// let all = lstm.tape_bytes(dims, Keep::All)?;
/// assert!(lstm.tape_bytes(dims, Keep::Every(20))? < all / 30);
/// let tape = Tape::keeping(Keep::Within(all / 4));
/// # assert_eq!(tape.bytes(), 0);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Default)]
pub struct Tape {
    keep: Keep,
    /// What [`TapeShape`] says, in one piece.
    data: AlignedBuf,
    rows: Rows,
    /// What was run last, for `backward` to check; `None` where nothing was.
    pub(super) run: Option<TapedRun>,
}

/// A training call whose tape lies in memory of the caller's: what
/// [`forward_train_into`](crate::Recurrent::forward_train_into) and
/// [`backward_from`](crate::Recurrent::backward_from) have to be told alike.
///
/// ```
/// use fused_rnn::{Dims, Keep, Recording};
///
/// let recording = Recording::new(Dims::new(8, 400)).with_keep(Keep::Every(20)).with_seed(7);
/// assert_eq!(recording.dims.steps, 400);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording<'a> {
    /// The shape of the sequences.
    pub dims: Dims<'a>,
    /// How much of the pass the tape keeps.
    pub keep: Keep,
    /// The seed of the masks of dropout and zoneout.
    pub seed: u64,
}

impl<'a> Recording<'a> {
    /// A recording of everything, with seed 0.
    pub fn new(dims: Dims<'a>) -> Self {
        Recording { dims, keep: Keep::All, seed: 0 }
    }

    /// The same, keeping as much as this.
    #[must_use]
    pub fn with_keep(self, keep: Keep) -> Self {
        Recording { keep, ..self }
    }

    /// The same, with masks of dropout and zoneout of this seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Recording { seed, ..self }
    }
}

/// The memory to which a training call writes its tape.
#[derive(Debug)]
pub(super) enum Taping<'a> {
    /// That of a tape.
    Tape(&'a mut Tape),
    /// The caller's, and how much is kept.
    Slice(&'a mut [f32], Keep),
}

impl<'a> Taping<'a> {
    /// Sorts the rows of a call, finds what is kept, and makes room for it or checks that there is.
    pub(super) fn prepare(
        self,
        config: &Config,
        dims: &Dims<'_>,
        rows: &'a mut Rows,
    ) -> Result<(TapeShape, &'a Rows, &'a mut [f32]), Error> {
        match self {
            Taping::Tape(Tape { keep, data, rows, .. }) => {
                let shape = keep.place(config, dims, rows)?;
                data.grow(shape.len())?;
                Ok((shape, rows, data))
            }
            Taping::Slice(data, keep) => {
                let shape = keep.place(config, dims, rows)?;
                check_len("tape", shape.len(), data.len())?;
                Ok((shape, rows, data))
            }
        }
    }
}

/// The tape of a training call, with what a backward pass needs to read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taped<'a> {
    pub(super) data: &'a [f32],
    pub(super) shape: TapeShape,
    pub(super) sequences: Sequences,
    pub(super) seed: u64,
}

/// The call that a tape belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TapedRun {
    pub(super) config: Config,
    pub(super) version: u64,
    pub(super) sequences: Sequences,
    pub(super) seed: u64,
    pub(super) shape: TapeShape,
}

/// What a tape keeps of a call, one part after the other in one piece of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TapeShape {
    /// Steps between checkpoints; `None` where everything is kept.
    pub(super) every: Option<usize>,
    pub(super) states: Grid,
    /// Of the steps: of all, or of those between two checkpoints, which are then in the workspace.
    pub(super) gates: Lines,
    /// The input with its dropout, where there is any.
    pub(super) input: Option<Grid>,
    /// Factors of recurrent dropout, by row of the batch; no rows without.
    masks: Grid,
    /// The plane of the state records that has the hidden state with its dropout.
    masked_plane: usize,
    /// Where the states of each strand lie, its gates, its masks, and the output of each layer but the last.
    of_states: Parts,
    of_gates: Parts,
    of_masks: Parts,
    pub(super) of_outputs: Parts,
    /// The floats of all.
    len: usize,
}

/// The memory of a tape, part by part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TapeParts<T> {
    /// Of each strand.
    pub(super) states: T,
    pub(super) gates: T,
    pub(super) masks: T,
    /// Of each layer but the last.
    pub(super) outputs: T,
    /// The input with its dropout.
    pub(super) input: T,
}

impl TapeShape {
    /// The shape for sequences of this extent.
    pub(super) fn of(
        config: &Config,
        dims: &Dims<'_>,
        extent: Extent<'_>,
        every: Option<usize>,
    ) -> Result<Self, Error> {
        let (cell, hidden) = (config.variant(0).shape(), config.hidden_size());
        let planes = config.state_planes(true);
        let (states, gates) = match every {
            None => (extent.steps().saturating_add(extent.rows()), extent.steps()),
            Some(every) => (extent.checkpoints(every), extent.steps_before(every)),
        };
        let (states, gates) = (Records::grid(states, planes, hidden)?, Lines::new(gates, cell.tape, hidden)?);
        let output = checked_size("tape", &[dims.steps, dims.batch, config.output_size()])?;
        let input = Grid::slot_major(dims.steps, dims.batch, 1, config.input_size())?;
        let input = (config.input_dropout() > 0.0).then_some(input);
        let masked = if config.recurrent_dropout() > 0.0 { dims.batch } else { 0 };
        let masks = Grid::padded(1, masked, 1, hidden)?;
        let strands = config.strands();
        let of_states = Parts::new(strands, states.len())?;
        let of_gates = Parts::new(if every.is_some() { 0 } else { strands }, gates.len())?;
        let of_masks = Parts::new(if masks.len() > 0 { strands } else { 0 }, masks.len())?;
        let of_outputs = Parts::new(config.layers() - 1, output)?;
        let parts = [of_states, of_gates, of_masks, of_outputs].map(|parts| parts.all());
        let inputs = input.map_or(0, |input| input.len());
        let len = parts.into_iter().fold(inputs, usize::saturating_add);
        let (masked_plane, len) = (planes - 1, checked_size("tape", &[len])?);
        Ok(TapeShape {
            every,
            states,
            gates,
            input,
            masks,
            masked_plane,
            of_states,
            of_gates,
            of_masks,
            of_outputs,
            len,
        })
    }

    /// Floats of the tape itself.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The parts of a tape to read.
    pub(super) fn parts<'a>(&self, tape: &'a [f32]) -> TapeParts<&'a [f32]> {
        let (states, rest) = tape[..self.len].split_at(self.of_states.all());
        let (gates, rest) = rest.split_at(self.of_gates.all());
        let (masks, rest) = rest.split_at(self.of_masks.all());
        let (outputs, input) = rest.split_at(self.of_outputs.all());
        TapeParts { states, gates, masks, outputs, input }
    }

    /// The parts of a tape to write.
    pub(super) fn parts_mut<'a>(&self, tape: &'a mut [f32]) -> TapeParts<&'a mut [f32]> {
        let (states, rest) = tape[..self.len].split_at_mut(self.of_states.all());
        let (gates, rest) = rest.split_at_mut(self.of_gates.all());
        let (masks, rest) = rest.split_at_mut(self.of_masks.all());
        let (outputs, input) = rest.split_at_mut(self.of_outputs.all());
        TapeParts { states, gates, masks, outputs, input }
    }

    /// The states of each strand, and its gates where they are kept.
    pub(super) fn strands<'a>(
        &self,
        states: &'a mut [f32],
        gates: &'a mut [f32],
    ) -> impl Iterator<Item = (&'a mut [f32], Option<&'a mut [f32]>)> + use<'a> {
        let mut gates = self.of_gates.each_mut(gates);
        self.of_states.each_mut(states).map(move |states| (states, gates.next()))
    }

    /// The states of a strand.
    pub(super) fn states_of<'a>(&self, tape: &TapeParts<&'a [f32]>, strand: usize) -> GridRef<'a> {
        GridRef::new(self.states, self.of_states.part(tape.states, strand))
    }

    /// The gates of a strand, where all are kept.
    pub(super) fn gates_of<'a>(&self, tape: &TapeParts<&'a [f32]>, strand: usize) -> LinesMut<'a> {
        LinesMut::reading(self.gates, self.of_gates.part(tape.gates, strand))
    }

    /// The recurrent dropout of a direction of a layer, where there is any.
    pub(super) fn masks<'a>(&self, masks: &'a [f32], strand: usize) -> Option<Masks<'a>> {
        if self.masks.len() == 0 {
            return None;
        }
        let factors = GridRef::new(self.masks, self.of_masks.part(masks, strand));
        Some(Masks { factors, plane: self.masked_plane })
    }

    /// Draws the masks of recurrent dropout.
    pub(super) fn draw_masks(&self, masks: &mut [f32], config: &Config, seed: u64) {
        for (strand, mask) in self.of_masks.each_mut(masks).enumerate() {
            // The padding of a row included.
            mask.fill(0.0);
            draw_recurrent(mask.chunks_exact_mut(self.masks.width()), config, seed, strand);
        }
    }

    /// Floats of the tape, and of the steps between two checkpoints, which a backward pass runs again.
    fn len_with_replay(&self, config: &Config, extent: Extent<'_>) -> Result<usize, Error> {
        let replay = match self.every {
            None => 0,
            Some(every) => {
                // States also before the first of these steps.
                let records = extent.rows().saturating_add(extent.steps_before(every));
                let states = Records::grid(records, config.state_planes(true), config.hidden_size())?;
                states.len().saturating_add(self.gates.len())
            }
        };
        Ok(self.len.saturating_add(replay))
    }
}

impl Keep {
    /// Sorts the rows of a call, and finds what is kept of it and where that lies.
    pub(super) fn place(self, config: &Config, dims: &Dims<'_>, rows: &mut Rows) -> Result<TapeShape, Error> {
        rows.set(dims.batch, dims.steps, dims.pattern())?;
        let shape = self.shape(config, dims, rows.extent())?;
        rows.place_all()?;
        if let Some(every) = shape.every {
            rows.place_checkpoints(every)?;
        }
        Ok(shape)
    }

    /// What is kept of a call.
    pub(super) fn shape(
        self,
        config: &Config,
        dims: &Dims<'_>,
        extent: Extent<'_>,
    ) -> Result<TapeShape, Error> {
        let of = |every| TapeShape::of(config, dims, extent, every);
        match self {
            Keep::All => of(None),
            Keep::Every(every) => of(Some(every.max(1))),
            Keep::Within(bytes) => {
                let fits = |len: usize| len <= bytes / size_of::<f32>();
                // Sizes that cannot be counted do not fit.
                let len = |every| of(every).and_then(|shape| shape.len_with_replay(config, extent)).ok();
                let all = len(None);
                if all.is_some_and(fits) {
                    return of(None);
                }
                let fewest = least(most_between(config, extent), |every| len(Some(every)));
                match fewest {
                    Some((len, every)) if fits(len) => of(Some(every)),
                    Some((len, _)) => {
                        let expected = len.min(all.unwrap_or(len)).saturating_mul(size_of::<f32>());
                        Err(Error::Budget { expected, got: bytes })
                    }
                    None => Err(Error::SizeOverflow { what: "tape" }),
                }
            }
        }
    }
}

/// The most steps between two checkpoints that the smallest tape can have. With k steps, about T / k states
/// of each strand and k steps of one strand are kept: the sum is least for a k below the root of T times the
/// strands.
fn most_between(config: &Config, extent: Extent<'_>) -> usize {
    let strands = (config.strands()) as f64;
    let most = (extent.longest() as f64 * strands).sqrt() as usize + 1;
    most.min(extent.longest().max(1))
}

/// The smallest size among those of `1..=most`, and its argument. If there are more than a thousand, not all
/// are looked at: sizes fall and then rise, apart from jumps that are small where sizes are large.
fn least(most: usize, size: impl Fn(usize) -> Option<usize>) -> Option<(usize, usize)> {
    let (mut low, mut high) = (1, most);
    loop {
        let step = ((high - low) / 1024).max(1);
        let sizes = (low..=high).step_by(step).filter_map(|every| Some((size(every)?, every)));
        let best = sizes.min()?;
        if step == 1 {
            return Some(best);
        }
        (low, high) = (best.1.saturating_sub(step).max(1), best.1.saturating_add(step).min(most));
    }
}

impl Tape {
    /// An empty tape that will keep everything.
    pub fn new() -> Self {
        Tape::default()
    }

    /// An empty tape that will keep as much as this.
    pub fn keeping(keep: Keep) -> Self {
        Tape { keep, ..Tape::default() }
    }

    /// The bytes that the tape holds.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.data[..])
    }

    /// What the last run has kept, and its rows.
    pub(super) fn taped<'a>(&'a self, run: &TapedRun) -> (Taped<'a>, &'a Rows) {
        let &TapedRun { sequences, seed, shape, .. } = run;
        (Taped { data: &self.data, shape, sequences, seed }, &self.rows)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.run.as_ref();
        f.debug_struct("Tape")
            .field("keep", &self.keep)
            .field("batch", &run.map(|run| run.sequences.batch))
            .field("steps", &run.map(|run| run.sequences.steps))
            .field("bytes", &self.bytes())
            .finish()
    }
}
