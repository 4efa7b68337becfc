//! What a forward pass keeps for the way back, and how much of it.

use super::config::{Config, Dims};
use super::dropout::draw_recurrent;
use crate::cell::Masks;
use crate::error::{Error, checked_size, fill_up};
use crate::memory::{AlignedBuf, Grid, GridRef, Lines};
use crate::sequence::{Extent, Records, Rows};
use std::fmt;

/// How much of a forward pass a [`Tape`] keeps.
///
/// With checkpoints the backward pass runs the steps between two of them forward again, which makes a
/// training step about a third longer where these steps have a few hundred rows in all; with fewer the
/// gradients of the weights are read and written more often, which may cost several times that. The gradients
/// are the same bits.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Everything that the backward pass needs.
    #[default]
    All,
    /// The states every so many steps; 0 counts as 1. About half the root of the number of steps needs the
    /// least memory for tape and workspace together: the more steps, the smaller the tape, and the more there
    /// are to run again.
    Every(usize),
    /// Everything where it fits into so many bytes, and otherwise the states every so many steps as need the
    /// least memory: that of the tape and of the steps that are run again together. Where even those are
    /// more, an error says how many there would have to be. (The gate gradients of some steps, which a
    /// backward pass has in its workspace whatever is kept, come on top.)
    Within(usize),
}

/// What [`forward_train`](crate::Recurrent::forward_train) keeps for
/// [`backward`](crate::Recurrent::backward): every state, the gates of every step, and the output of
/// every layer but the last.
///
/// ```text
/// for each direction of each layer
///     states  (B + sum of lengths, planes of the state, H')   h, and c: LSTM 2, others 1; one more with
///                                                             recurrent dropout, one more with zoneout of c
///     gates   (planes of the tape, H' / 16, S, 16)            LSTM, GRU 4, Elman 0; Elman with another
///                                                             activation 1; LSTM with a projection 5;
///                                                             with layer normalisation LSTM 12, GRU 8
///   or, with checkpoints
///     states  (B + sum of (length - 1) / every, planes of the state, H'), and no gates
///   with recurrent dropout
///     masks   (B, H')
/// for each layer but the last
///     output  (T, B, D * H), or D * P with a projection
/// with input dropout
///     input   (T, B, I)
/// ```
///
/// in floats of four bytes, with H' the hidden size padded to 16, in order of time, rows of a step by falling
/// length. S is the sum of lengths, one more where that is even; (length - 1) / every is rounded down for
/// each row, and 0 for a row without steps. With masks or resets, rows are the stretches between resets,
/// without the steps that are masked. It is reused by the next call where it is large enough.
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
    pub(super) states: Vec<AlignedBuf>,
    pub(super) gates: Vec<AlignedBuf>,
    pub(super) outputs: Vec<AlignedBuf>,
    /// The input with its dropout, where there is any.
    pub(super) input: AlignedBuf,
    /// Of recurrent dropout.
    pub(super) masks: Vec<AlignedBuf>,
    pub(super) rows: Rows,
    /// What was run last, for `backward` to check; `None` where nothing was.
    pub(super) run: Option<TapedRun>,
}

/// The call that a tape belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TapedRun {
    pub(super) config: Config,
    pub(super) version: u64,
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) seed: u64,
    pub(super) shape: TapeShape,
}

/// What a tape keeps of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TapeShape {
    /// Steps between checkpoints; `None` where everything is kept.
    pub(super) every: Option<usize>,
    pub(super) states: Grid,
    /// Of the steps: of all, or of those between two checkpoints, which are then in the workspace.
    pub(super) gates: Lines,
    output: Grid,
    /// The input with its dropout, where there is any.
    pub(super) input: Option<Grid>,
    /// Factors of recurrent dropout, by row of the batch; no rows without.
    masks: Grid,
    /// The plane of the state records that has the hidden state with its dropout.
    masked_plane: usize,
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
        let output = Grid::slot_major(dims.steps, dims.batch, 1, config.output_size())?;
        let input = Grid::slot_major(dims.steps, dims.batch, 1, config.input_size())?;
        let input = (config.input_dropout() > 0.0).then_some(input);
        let masked = if config.recurrent_dropout() > 0.0 { dims.batch } else { 0 };
        let masks = Grid::padded(1, masked, 1, hidden)?;
        Ok(TapeShape { every, states, gates, output, input, masks, masked_plane: planes - 1 })
    }

    /// The recurrent dropout of a direction of a layer, where there is any.
    pub(super) fn masks<'a>(&self, masks: &'a [AlignedBuf], strand: usize) -> Option<Masks<'a>> {
        let factors = GridRef::new(self.masks, masks.get(strand)?);
        Some(Masks { factors, plane: self.masked_plane })
    }

    /// Floats of the tape itself.
    pub(super) fn len(&self, config: &Config) -> Result<usize, Error> {
        let gates = if self.every.is_some() { 0 } else { self.gates.len() };
        let strands = config.strands();
        let kept = self.states.len().saturating_add(gates).saturating_add(self.masks.len());
        let kept = checked_size("tape", &[strands, kept])?;
        let between = checked_size("tape", &[config.layers() - 1, self.output.len()])?;
        let input = self.input.map_or(0, |input| input.len());
        checked_size("tape", &[kept.saturating_add(between).saturating_add(input)])
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
        Ok(self.len(config)?.saturating_add(replay))
    }
}

impl Keep {
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

/// Steps between two checkpoints above which no tape is the smallest: about T / k states of each direction of
/// each layer and k steps of one are least where k is below the root of that many steps.
fn most_between(config: &Config, extent: Extent<'_>) -> usize {
    let strands = (config.strands()) as f64;
    let most = (extent.longest() as f64 * strands).sqrt() as usize + 1;
    most.min(extent.longest().max(1))
}

/// The smallest size among those of `1..=most`, and where it is. Of more than a thousand not all are looked
/// at: they fall and then rise, but for steps that are small where sizes are large.
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
        let buffers = self.states.iter().chain(&self.gates).chain(&self.outputs).chain(&self.masks);
        buffers.chain([&self.input]).map(|buffer| buffer.len() * size_of::<f32>()).sum()
    }

    /// Makes room for a run, and draws its masks.
    pub(super) fn prepare(&mut self, config: &Config, dims: Dims<'_>, seed: u64) -> Result<TapeShape, Error> {
        self.run = None;
        self.rows.set(dims.batch, dims.steps, dims.pattern())?;
        let shape = self.keep.shape(config, &dims, self.rows.extent())?;
        self.rows.place_all()?;
        if let Some(every) = shape.every {
            self.rows.place_checkpoints(every)?;
        }
        let strands = config.strands();
        // What a run before had more of goes: `bytes` counts all that is there.
        let exactly = |buffers: &mut Vec<AlignedBuf>, count| {
            buffers.truncate(count);
            fill_up(buffers, count)
        };
        exactly(&mut self.states, strands)?;
        exactly(&mut self.gates, if shape.every.is_some() { 0 } else { strands })?;
        exactly(&mut self.outputs, config.layers() - 1)?;
        self.states.iter_mut().try_for_each(|buffer| buffer.grow(shape.states.len()))?;
        self.gates.iter_mut().try_for_each(|buffer| buffer.grow(shape.gates.len()))?;
        self.outputs.iter_mut().try_for_each(|buffer| buffer.grow(shape.output.len()))?;
        self.input.grow(shape.input.map_or(0, |input| input.len()))?;
        exactly(&mut self.masks, if shape.masks.len() > 0 { strands } else { 0 })?;
        self.masks.iter_mut().try_for_each(|buffer| buffer.grow(shape.masks.len()))?;
        for (strand, mask) in self.masks.iter_mut().enumerate() {
            let width = shape.masks.width();
            let rows = mask[..shape.masks.len()].chunks_exact_mut(width);
            draw_recurrent(rows, config, seed, strand);
        }
        Ok(shape)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.run.as_ref();
        f.debug_struct("Tape")
            .field("keep", &self.keep)
            .field("batch", &run.map(|run| run.batch))
            .field("steps", &run.map(|run| run.steps))
            .field("bytes", &self.bytes())
            .finish()
    }
}
