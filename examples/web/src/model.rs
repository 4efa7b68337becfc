//! The network, its training, and blocks of a stream.
//!
//! One LSTM with a projection to one output: samples (T, 1) in, samples (T, 1) out. It learns [`Effect`], a
//! low-pass filter that drives a soft clipper, from noise. Everything is arithmetic of the crate, so a browser
//! and a native program on the portable level compute the same bits.

use fused_rnn::train::{Adam, AdamConfig, Optimizer, clip_global_norm, mean_squared_error};
use fused_rnn::{
    Dims, Error, Gradients, Level, Lstm, Recurrent, Rng, State, Tape, Threads, Upstream, Workspace,
};

/// Samples of a block: what an AudioWorklet gets at a time.
pub const BLOCK: usize = 128;
const UNITS: usize = 24;
const BATCH: usize = 16;
const STEPS: usize = 64;

/// The effect that the network learns: `s += (x - s) / 4`, `y = 3 s / (1 + |3 s|)`. Begins with silence.
#[derive(Default)]
pub struct Effect {
    s: f32,
}

impl Effect {
    /// The next samples.
    pub fn apply(&mut self, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            self.s += 0.25 * (x - self.s);
            *y = 3.0 * self.s / (1.0 + (3.0 * self.s).abs());
        }
    }
}

/// The hash of these samples after those of `before` (0 for none): FNV-1a of 64 bits.
pub fn hash(before: u64, samples: &[f32]) -> u64 {
    let start = if before == 0 { 0xCBF2_9CE4_8422_2325 } else { before };
    let bytes = samples.iter().flat_map(|sample| sample.to_bits().to_le_bytes());
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// The network with what its training and its stream need. After [`Model::new`] a block allocates nothing.
pub struct Model {
    lstm: Recurrent,
    workspace: Workspace,
    state: State,
    /// A block of the stream: what comes in, and then what has become of it.
    pub block: [f32; BLOCK],
    out: [f32; BLOCK],
    effect: Effect,
    training: Option<Training>,
    noise: Rng,
}

/// What only training needs.
struct Training {
    adam: Adam,
    tape: Tape,
    x: Vec<f32>,
    y: Vec<f32>,
    targets: Vec<f32>,
    dy: Vec<f32>,
    gradients: Vec<f32>,
    rng: Rng,
}

impl Model {
    /// An untrained network, warmed up for its stream.
    pub fn new() -> Result<Model, Error> {
        let lstm = Lstm::builder(1, UNITS)
            .projection(1)
            .level(Level::Portable)
            .threads(Threads::Count(1))
            .build()?;
        let (state, workspace) = (lstm.zero_state(1)?, Workspace::new());
        let (block, out) = ([0.0; BLOCK], [0.0; BLOCK]);
        let (effect, noise) = (Effect::default(), Rng::new(7));
        let mut model = Model { lstm, workspace, state, block, out, effect, training: None, noise };
        model.process()?;
        model.reset();
        Ok(model)
    }

    /// Trains for some rounds, and returns the mean squared error of the last.
    pub fn train(&mut self, rounds: usize) -> Result<f64, Error> {
        let Model { lstm, workspace, training, .. } = self;
        if training.is_none() {
            *training = Some(Training::new(lstm.parameters().len())?);
        }
        let Some(training) = training else { return Ok(0.0) };
        let mut loss = 0.0;
        for _ in 0..rounds {
            loss = training.round(lstm, workspace)?;
        }
        self.reset();
        Ok(loss)
    }

    /// Sends the block through the network, whose state goes on from block to block.
    pub fn process(&mut self) -> Result<(), Error> {
        let Model { lstm, workspace, state, block, out, .. } = self;
        lstm.forward(block, Dims::new(1, BLOCK), state, Some(out), workspace)?;
        *block = *out;
        Ok(())
    }

    /// Sends the block through the effect instead.
    pub fn apply_effect(&mut self) {
        self.out = self.block;
        self.effect.apply(&self.out, &mut self.block);
    }

    /// Begins both streams anew.
    pub fn reset(&mut self) {
        self.state.reset();
        self.effect = Effect::default();
    }

    /// Fills the block with the next samples of a noise in -0.5..0.5.
    pub fn noise(&mut self) {
        self.block.fill_with(|| self.noise.uniform(-0.5, 0.5));
    }

    /// All weights.
    pub fn parameters(&self) -> &[f32] {
        self.lstm.parameters()
    }

    /// Takes other weights. (Of another number none are taken.)
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        if parameters.len() == self.lstm.parameters().len() {
            self.lstm.update(|own| own.copy_from_slice(parameters));
        }
    }
}

impl Training {
    fn new(parameters: usize) -> Result<Training, Error> {
        let samples = || vec![0.0; BATCH * STEPS];
        Ok(Training {
            adam: Adam::new(parameters, AdamConfig { learning_rate: 0.01, ..AdamConfig::default() })?,
            tape: Tape::new(),
            x: samples(),
            y: samples(),
            targets: samples(),
            dy: samples(),
            gradients: vec![0.0; parameters],
            rng: Rng::new(1),
        })
    }

    /// One step of the optimiser, on rows of noise of different loudness. Each sample is kept for some time, or
    /// the filter would leave little of it to the clipper.
    fn round(&mut self, lstm: &mut Recurrent, workspace: &mut Workspace) -> Result<f64, Error> {
        let Training { adam, tape, x, y, targets, dy, gradients, rng } = self;
        for (x, targets) in x.chunks_exact_mut(STEPS).zip(targets.chunks_exact_mut(STEPS)) {
            let (loudness, kept) = (rng.uniform(0.1, 1.5), rng.uniform(0.5, 1.0));
            let mut sample = 0.0;
            x.fill_with(|| {
                if rng.uniform(0.0, 1.0) >= kept {
                    sample = rng.uniform(-loudness, loudness);
                }
                sample
            });
            Effect::default().apply(x, targets);
        }
        let dims = Dims::new(BATCH, STEPS);
        lstm.forward_train(x, dims, &mut lstm.zero_state(BATCH)?, Some(y), tape, 0, workspace)?;
        let loss = mean_squared_error(y, targets, Some(dy))?;
        let upstream = Upstream::default().with_dy(dy);
        lstm.backward(x, tape, upstream, Gradients::of_parameters(gradients), workspace)?;
        clip_global_norm(&mut [gradients], 1.0)?;
        lstm.update(|parameters| adam.step(parameters, gradients))?;
        Ok(loss)
    }
}
