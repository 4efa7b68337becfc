//! The networks of `bits.rs`, and their random generator. A network depends only on its own seed, so one can
//! be added or changed without a change of the others.
//!
//! [`FEATURES`] says what they are there for, and `bits.rs` counts them.

use fused_rnn::{
    Accumulate, Activation, Bias, Builder, CellKind, Direction, Init, Layout, Schedule, Threads,
};

/// The cells, by name.
pub const CELLS: [(CellKind, &str); 10] = [
    (CellKind::Lstm, "lstm"),
    (CellKind::GruResetAfter, "gru_after"),
    (CellKind::GruResetBefore, "gru_before"),
    (CellKind::ElmanTanh, "elman_tanh"),
    (CellKind::ElmanRelu, "elman_relu"),
    (CellKind::MinGru, "min_gru"),
    (CellKind::MinLstm, "min_lstm"),
    (CellKind::IndRnn, "ind_rnn"),
    (CellKind::LstmMultiplicative, "lstm_mult"),
    (CellKind::Slstm, "slstm"),
];

/// The first of them, whose networks have drawn seeds next to each other.
pub const FIRST: usize = 5;

/// The features that the networks cover.
pub const FEATURES: &[&str] = &[
    "forward",
    "reverse",
    "both directions",
    "one layer",
    "two layers",
    "three layers",
    "time-major",
    "batch-first",
    "shared by rows",
    "shared by units",
    "shared by layers",
    "shared as estimated",
    "one thread",
    "lengths",
    "mask",
    "resets",
    "activations",
    "activations of the reverse",
    "clip",
    "cell clip",
    "peepholes",
    "coupled gates",
    "projection",
    "layer normalisation",
    "dropout",
    "recurrent dropout",
    "input dropout",
    "zoneout of the cell state",
    "zoneout",
    "two biases",
    "one bias",
    "no bias",
    "everything kept",
    "checkpoints",
    "a budget",
    "initial states",
    "zero states",
    "gradients added",
    "gradients replaced",
    "an update",
    "no update",
    "tiny values",
    "heads",
];

/// SplitMix64.
pub struct Draw(pub u64);

impl Draw {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.bits() >> 33) % n as u64) as usize
    }

    fn in_eighths(&mut self, eighths: usize) -> bool {
        self.below(8) < eighths
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn flags(&mut self, n: usize, eighths: usize) -> Vec<bool> {
        (0..n).map(|_| self.in_eighths(eighths)).collect()
    }

    /// Multiples of 2^-23 from -1 to 1, times a power of two.
    pub fn values(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| ((self.bits() >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32 * scale).collect()
    }
}

/// 2^n.
pub fn power(n: i32) -> f32 {
    f32::from_bits(((127 + n) as u32) << 23)
}

/// The compiled forms of the cells: without options, with any options, and two forms that have their own
/// products.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Options,
    Projected,
    Normalised,
}

fn forms(kind: CellKind) -> &'static [Form] {
    match kind {
        CellKind::Lstm => &[Form::Plain, Form::Options, Form::Projected, Form::Normalised],
        CellKind::GruResetAfter => &[Form::Plain, Form::Options, Form::Normalised],
        CellKind::Slstm => &[Form::Plain],
        _ => &[Form::Plain, Form::Options],
    }
}

const BOUNDED: [Activation; 5] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::ScaledTanh { alpha: 1.25, beta: 0.75 },
    Activation::HardSigmoid { alpha: 0.1875, beta: 0.5 },
    Activation::Softsign,
];
const UNBOUNDED: [Activation; 6] = [
    Activation::Relu,
    Activation::LeakyRelu { alpha: 0.125 },
    Activation::ThresholdedRelu { alpha: 0.25 },
    Activation::Elu { alpha: 0.75 },
    Activation::Softplus,
    Activation::Affine { alpha: 0.5, beta: 0.125 },
];

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tapes {
    All,
    Every(usize),
    /// Of so few bytes that only checkpoints fit, where there are such.
    Within,
}

/// A network, and what is done with it.
#[derive(Debug, Clone)]
pub struct Network {
    pub kind: CellKind,
    pub builder: Builder,
    pub input: usize,
    pub hidden: usize,
    /// The width of the hidden state.
    pub outputs: usize,
    pub layers: usize,
    pub direction: Direction,
    pub layout: Layout,
    pub batch: usize,
    pub steps: usize,
    /// Lengths, mask, resets.
    pub pattern: [bool; 3],
    pub initial_state: bool,
    /// Of inputs, states and upstream gradients.
    pub scale: f32,
    pub poisoned: bool,
    pub tapes: Tapes,
    /// Which there are: of y, of the final h, of the final c.
    pub upstream: [bool; 3],
    pub accumulate: Accumulate,
    /// Training steps, with an update in between.
    pub rounds: usize,
    pub seed: u64,
    /// What it is there for.
    pub features: Vec<&'static str>,
}

impl Network {
    /// Whether its values lie about the magnitude below which values count as zero.
    pub fn is_tiny(&self) -> bool {
        self.scale < power(-90)
    }

    /// One plain layer, forward in time.
    fn new(kind: CellKind, batch: usize, steps: usize, input: usize, hidden: usize, seed: u64) -> Network {
        Network {
            kind,
            builder: Builder::new(kind, input, hidden).init(Init::Zero, 0).threads(Threads::Count(1)),
            input,
            hidden,
            outputs: hidden,
            layers: 1,
            direction: Direction::Forward,
            layout: Layout::BatchFirst,
            batch,
            steps,
            pattern: [false; 3],
            initial_state: true,
            scale: 1.0,
            poisoned: false,
            tapes: Tapes::All,
            upstream: [true; 3],
            accumulate: Accumulate::Overwrite,
            rounds: 1,
            seed,
            features: Vec::new(),
        }
    }

    pub fn directions(&self) -> usize {
        if self.direction == Direction::Both { 2 } else { 1 }
    }

    pub fn cells(&self) -> usize {
        self.layers * self.directions()
    }

    pub fn cell_units(&self) -> usize {
        if self.kind.has_cell_state() { self.hidden } else { 0 }
    }

    fn build_with(mut self, feature: &'static str, change: impl FnOnce(Builder) -> Builder) -> Network {
        self.features.push(feature);
        self.builder = change(self.builder);
        self
    }

    fn stacked(mut self, layers: usize, direction: Direction) -> Network {
        (self.layers, self.direction) = (layers, direction);
        let direction_name = match direction {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
            _ => "both directions",
        };
        self.features.push(["one layer", "two layers", "three layers"][layers - 1]);
        self.build_with(direction_name, |b| b.layers(layers).direction(direction))
    }

    fn laid_out(mut self, layout: Layout) -> Network {
        self.layout = layout;
        self.build_with(if layout == Layout::TimeMajor { "time-major" } else { "batch-first" }, |b| {
            b.layout(layout)
        })
    }

    fn shared(self, threads: usize, schedule: Schedule) -> Network {
        let feature = match schedule {
            Schedule::Rows => "shared by rows",
            Schedule::Units => "shared by units",
            Schedule::Layers => "shared by layers",
            _ => "shared as estimated",
        };
        let feature = if threads > 1 { feature } else { "one thread" };
        self.build_with(feature, |b| b.threads(Threads::Count(threads)).schedule(schedule))
    }

    fn patterned(mut self, pattern: [bool; 3]) -> Network {
        self.pattern = pattern;
        let features = ["lengths", "mask", "resets"].into_iter().zip(pattern);
        self.features.extend(features.filter(|(_, there)| *there).map(|(name, _)| name));
        self
    }

    /// Options of the cell. Long sequences keep to activations that have a bound.
    fn formed(mut self, form: Form, draw: &mut Draw) -> Network {
        if form == Form::Plain {
            return self;
        }
        let lstm = self.kind == CellKind::Lstm;
        let count = match self.kind {
            CellKind::Lstm | CellKind::LstmMultiplicative => 3,
            CellKind::GruResetAfter | CellKind::GruResetBefore | CellKind::MinGru => 2,
            _ => 1,
        };
        let (long, hidden) = (self.steps > 12, self.hidden);
        let list = |draw: &mut Draw| -> Vec<Activation> {
            let bounded = |draw: &mut Draw| long || draw.in_eighths(4);
            (0..count)
                .map(|_| if bounded(draw) { draw.pick(&BOUNDED) } else { draw.pick(&UNBOUNDED) })
                .collect()
        };
        // A form of its own need have no other options.
        let others = form == Form::Options || draw.in_eighths(4);
        if others {
            if draw.in_eighths(6) {
                let activations = list(draw);
                self = self.build_with("activations", |b| b.activations(&activations));
            }
            if self.direction != Direction::Forward && draw.in_eighths(4) {
                let activations = list(draw);
                self = self.build_with("activations of the reverse", |b| b.activations_reverse(&activations));
            }
            if form == Form::Options || draw.in_eighths(4) {
                let clip = draw.pick(&[0.375, 0.75, 3.0]);
                self = self.build_with("clip", |b| b.clip(clip));
            }
            if self.kind.has_cell_state() && draw.in_eighths(4) {
                let clip = draw.pick(&[0.25, 0.625]);
                self = self.build_with("cell clip", |b| b.cell_clip(clip));
            }
            if lstm && form != Form::Normalised && draw.in_eighths(4) {
                self = self.build_with("peepholes", |b| b.peephole(true));
            }
            if lstm && form != Form::Normalised && draw.in_eighths(4) {
                self = self.build_with("coupled gates", |b| b.coupled(true));
            }
        }
        match form {
            Form::Projected => {
                self.outputs = 1 + draw.below(hidden);
                let size = self.outputs;
                self.build_with("projection", |b| b.projection(size))
            }
            Form::Normalised => {
                let epsilon = power(draw.pick(&[-17, -7]));
                self.build_with("layer normalisation", |b| b.layer_norm(epsilon))
            }
            _ => self,
        }
    }

    /// Dropouts and zoneout, some of them.
    fn regularised(mut self, draw: &mut Draw) -> Network {
        let p = |draw: &mut Draw| draw.in_eighths(3).then(|| draw.pick(&[0.125, 0.25, 0.5]));
        if let (Some(p), true) = (p(draw), self.layers > 1) {
            self = self.build_with("dropout", |b| b.dropout(p));
        }
        if let Some(p) = p(draw).filter(|_| self.kind.has_recurrent_weights()) {
            self = self.build_with("recurrent dropout", |b| b.recurrent_dropout(p));
        }
        if let Some(p) = p(draw) {
            self = self.build_with("input dropout", |b| b.input_dropout(p));
        }
        let (h, c) = (
            p(draw).unwrap_or(0.0),
            p(draw).filter(|_| self.kind.has_cell_state() && self.kind != CellKind::Slstm).unwrap_or(0.0),
        );
        if h > 0.0 || c > 0.0 {
            let feature = if c > 0.0 { "zoneout of the cell state" } else { "zoneout" };
            self = self.build_with(feature, |b| b.zoneout(h, c));
        }
        self
    }

    /// All else at random.
    fn treated(mut self, draw: &mut Draw) -> Network {
        self = self.laid_out(draw.pick(&[Layout::BatchFirst, Layout::TimeMajor]));
        let (bias, feature) = draw.pick(&[
            (Bias::Double, "two biases"),
            (Bias::Double, "two biases"),
            (Bias::Single, "one bias"),
            (Bias::None, "no bias"),
        ]);
        self = self.build_with(feature, |b| b.bias(bias));
        let schedule = draw.pick(&[Schedule::Auto, Schedule::Rows, Schedule::Units, Schedule::Layers]);
        self = self.shared(1 + draw.below(3), schedule);
        let pattern = [draw.in_eighths(3), draw.in_eighths(2), draw.in_eighths(2)];
        self = self.patterned(pattern);
        let every = 1 + draw.below(self.steps + 1);
        let (tapes, feature) = draw.pick(&[
            (Tapes::All, "everything kept"),
            (Tapes::Every(every), "checkpoints"),
            (Tapes::Within, "a budget"),
        ]);
        (self.tapes, self.initial_state) = (tapes, draw.in_eighths(6));
        self.scale = draw.pick(&[0.25, 1.0, 1.0, 4.0]);
        self.upstream = [draw.in_eighths(7), draw.in_eighths(6), draw.in_eighths(6)];
        self.upstream[1] |= !self.upstream[0];
        self.accumulate = draw.pick(&[Accumulate::Overwrite, Accumulate::Add]);
        self.rounds = if draw.in_eighths(2) { 2 } else { 1 };
        let features = [
            feature,
            if self.initial_state { "initial states" } else { "zero states" },
            if self.accumulate == Accumulate::Add { "gradients added" } else { "gradients replaced" },
            if self.rounds > 1 { "an update" } else { "no update" },
        ];
        self.features.extend(features);
        self
    }
}

/// Each form of each cell with each height of tiles: seven blocks of units on the widest level, inputs narrow
/// and wide. And one row of so many steps that the product of its inputs beforehand has each height.
pub fn heights() -> Vec<Network> {
    let mut networks = Vec::new();
    for (k, (kind, _)) in CELLS.into_iter().enumerate() {
        for (f, &form) in forms(kind).iter().enumerate() {
            let rows = (1..=16).map(|batch| (batch, 2 + batch % 2));
            for (n, (batch, steps)) in rows.chain((2..=8).map(|steps| (1, steps))).enumerate() {
                let seed = (1000 * (k * 4 + f) + n) as u64;
                let input = [72, 1, 20, 2, 33, 3, 17, 5, 11][n % 9];
                networks
                    .push(Network::new(kind, batch, steps, input, 100, seed).formed(form, &mut Draw(seed)));
            }
        }
    }
    networks
}

pub fn drawn() -> Vec<Network> {
    let mut networks = Vec::new();
    for n in 0..32 {
        for (k, (kind, _)) in CELLS.into_iter().enumerate() {
            let seed = if k < FIRST { 100_000 + n * FIRST + k } else { 110_000 + 1000 * k + n } as u64;
            let mut draw = Draw(seed);
            let batch = match n {
                0..20 => n + 1,
                20..22 => 33,
                _ => 1 + draw.below(20),
            };
            let steps = if draw.in_eighths(1) { 60 } else { 1 + draw.below(12) };
            let size = |draw: &mut Draw| {
                let large = draw.pick(&[64, 100, 150]);
                if draw.in_eighths(1) { large } else { 1 + draw.below(40) }
            };
            let (input, hidden) = (size(&mut draw), size(&mut draw));
            let layers = draw.pick(&[1, 1, 2, 3]);
            let direction = draw.pick(&[Direction::Forward, Direction::Reverse, Direction::Both]);
            let form = draw.pick(forms(kind));
            let network = Network::new(kind, batch, steps, input, hidden, seed).stacked(layers, direction);
            networks.push(network.formed(form, &mut draw).regularised(&mut draw).treated(&mut draw));
        }
    }
    networks
}

/// Layers of sLSTM with heads: (rows, steps, inputs, units, heads, threads). Heads of whole vectors on every
/// level, on some, and on none; a single row, tiles of all heights, and input products beforehand.
pub fn headed() -> Vec<Network> {
    let sizes = [
        (1, 9, 5, 64, 4, 1),
        (1, 7, 130, 192, 4, 2),
        (1, 5, 3, 96, 4, 1),
        (2, 4, 7, 48, 3, 1),
        (3, 4, 2, 100, 2, 3),
        (4, 3, 20, 36, 4, 1),
        (5, 5, 9, 60, 5, 2),
        (6, 2, 3, 33, 33, 1),
        (7, 3, 17, 30, 6, 1),
        (8, 24, 200, 208, 2, 2),
        (9, 4, 4, 72, 3, 1),
        (16, 2, 40, 1040, 2, 1),
        (33, 20, 6, 40, 8, 2),
    ];
    let mut networks = Vec::new();
    for (n, (batch, steps, input, hidden, heads, threads)) in sizes.into_iter().enumerate() {
        let seed = 400_000 + n as u64;
        let direction = [Direction::Forward, Direction::Reverse, Direction::Both][n % 3];
        let network = Network::new(CellKind::Slstm, batch, steps, input, hidden, seed)
            .build_with("heads", |b| b.heads(heads))
            .stacked(1 + n % 2, direction)
            .regularised(&mut Draw(seed))
            .shared(threads, if n % 4 < 2 { Schedule::Units } else { Schedule::Rows })
            .patterned([n % 3 == 1, n % 5 == 2, n % 4 == 3]);
        networks.push(network);
    }
    networks
}

/// (Cell, rows, steps, inputs, units, form), and threads.
pub fn large() -> Vec<Network> {
    use CellKind::{
        ElmanRelu, ElmanTanh, GruResetAfter, GruResetBefore, IndRnn, Lstm, LstmMultiplicative, MinGru,
        MinLstm, Slstm,
    };
    use Form::{Normalised, Options, Plain, Projected};
    let sizes = [
        // Gradients gate by gate: on every level; on those of 8 and of 16 floats; of 16 alone.
        (Lstm, 16, 2, 40, 1040, Plain, 1),
        (GruResetAfter, 13, 2, 24, 1376, Plain, 2),
        (GruResetBefore, 16, 2, 30, 1376, Plain, 1),
        (ElmanTanh, 16, 2, 20, 1040, Plain, 1),
        (Lstm, 13, 3, 530, 530, Options, 3),
        (Lstm, 14, 3, 300, 272, Plain, 3),
        (Lstm, 14, 3, 272, 272, Projected, 1),
        (GruResetAfter, 17, 3, 70, 352, Options, 1),
        (GruResetAfter, 17, 3, 352, 352, Normalised, 2),
        // Input products done beforehand, in several chunks: few rows, and more rows the larger the weights.
        (Lstm, 1, 12, 208, 208, Plain, 2),
        (Lstm, 8, 24, 208, 208, Plain, 1),
        (Lstm, 16, 16, 256, 256, Plain, 1),
        (Lstm, 14, 12, 256, 256, Normalised, 1),
        (Lstm, 20, 6, 368, 368, Plain, 2),
        (GruResetBefore, 10, 40, 250, 250, Plain, 1),
        (GruResetAfter, 14, 24, 290, 290, Options, 1),
        (ElmanTanh, 5, 300, 40, 150, Plain, 1),
        (ElmanRelu, 10, 60, 420, 420, Plain, 2),
        // So many rows that time is cut where they end.
        (Lstm, 24, 40, 208, 208, Plain, 1),
        (GruResetBefore, 24, 40, 250, 250, Plain, 3),
        // More than 512 places at a time, of narrow inputs too.
        (Lstm, 33, 60, 5, 40, Plain, 1),
        (Lstm, 33, 40, 40, 40, Projected, 2),
        (GruResetAfter, 33, 60, 1, 40, Plain, 1),
        (GruResetBefore, 33, 60, 3, 24, Plain, 2),
        (ElmanTanh, 33, 60, 70, 100, Plain, 1),
        (ElmanRelu, 1, 700, 2, 12, Plain, 1),
        // Cells without recurrent products.
        (MinGru, 1, 300, 208, 208, Plain, 2),
        (MinLstm, 13, 40, 208, 208, Plain, 2),
        (IndRnn, 24, 40, 100, 208, Options, 3),
        // Two matrices of R; of the larger, gate by gate; done beforehand.
        (LstmMultiplicative, 16, 2, 40, 1040, Plain, 1),
        (LstmMultiplicative, 13, 3, 300, 272, Options, 3),
        (LstmMultiplicative, 8, 24, 208, 208, Plain, 2),
        (LstmMultiplicative, 24, 40, 100, 96, Plain, 2),
        (Slstm, 16, 2, 40, 1040, Plain, 1),
        (Slstm, 8, 24, 208, 208, Plain, 2),
        (Slstm, 24, 40, 100, 96, Plain, 2),
    ];
    let mut networks = Vec::new();
    for (n, (kind, batch, steps, input, hidden, form, threads)) in sizes.into_iter().enumerate() {
        let seed = 200_000 + n as u64;
        let network = Network::new(kind, batch, steps, input, hidden, seed).formed(form, &mut Draw(seed));
        let network = network.shared(threads, if n % 2 == 0 { Schedule::Units } else { Schedule::Rows });
        networks.push(network.patterned([batch >= 20, n % 7 == 6, n % 5 == 4]));
    }
    for (k, (kind, _)) in CELLS.into_iter().enumerate() {
        let seed = 300_000 + 10 * k as u64;
        // Layers at the same time, one some steps behind the other.
        let stack = Network::new(kind, 4, 60, 20, 40, seed).stacked(3, Direction::Forward);
        networks.push(stack.shared(3, Schedule::Layers));
        let pair = Network::new(kind, 9, 12, 24, 64, seed + 1).stacked(2, Direction::Both);
        networks.push(pair.shared(2, Schedule::Auto).laid_out(Layout::TimeMajor));
        // States and gradients about 1e-30, below which they are stored as zero.
        let mut tiny =
            Network::new(kind, 6, 12, 8, 24, seed + 2).build_with("tiny values", |b| b.bias(Bias::None));
        tiny.scale = power(-97);
        networks.push(tiny);
        let mut poisoned = Network::new(kind, 7, 6, 10, 40, seed + 3);
        poisoned.poisoned = true;
        networks.push(poisoned);
    }
    networks
}
