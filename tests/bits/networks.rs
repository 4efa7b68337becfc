//! A network of `bits.rs`: what it is, and what is drawn of it.
//!
//! [`FEATURES`] says what the networks are there for, and `bits.rs` counts them.

use crate::draw::{Draw, power};
use fused_rnn::{
    Accumulate, Activation, Bias, Builder, CellKind, Direction, Init, Layout, Schedule, Threads,
};

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

/// The compiled forms of the cells: without options, with any options, and two forms that have their own
/// products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    Plain,
    Options,
    Projected,
    Normalised,
}

/// The forms of a cell.
pub fn forms(kind: CellKind) -> &'static [Form] {
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
    pub fn new(
        kind: CellKind,
        batch: usize,
        steps: usize,
        input: usize,
        hidden: usize,
        seed: u64,
    ) -> Network {
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

    pub fn build_with(mut self, feature: &'static str, change: impl FnOnce(Builder) -> Builder) -> Network {
        self.features.push(feature);
        self.builder = change(self.builder);
        self
    }

    pub fn stacked(mut self, layers: usize, direction: Direction) -> Network {
        (self.layers, self.direction) = (layers, direction);
        let direction_name = match direction {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
            _ => "both directions",
        };
        self.features.push(["one layer", "two layers", "three layers"][layers - 1]);
        self.build_with(direction_name, |b| b.layers(layers).direction(direction))
    }

    pub fn laid_out(mut self, layout: Layout) -> Network {
        self.layout = layout;
        self.build_with(if layout == Layout::TimeMajor { "time-major" } else { "batch-first" }, |b| {
            b.layout(layout)
        })
    }

    pub fn shared(self, threads: usize, schedule: Schedule) -> Network {
        let feature = match schedule {
            Schedule::Rows => "shared by rows",
            Schedule::Units => "shared by units",
            Schedule::Layers => "shared by layers",
            _ => "shared as estimated",
        };
        let feature = if threads > 1 { feature } else { "one thread" };
        self.build_with(feature, |b| b.threads(Threads::Count(threads)).schedule(schedule))
    }

    pub fn patterned(mut self, pattern: [bool; 3]) -> Network {
        self.pattern = pattern;
        let features = ["lengths", "mask", "resets"].into_iter().zip(pattern);
        self.features.extend(features.filter(|(_, there)| *there).map(|(name, _)| name));
        self
    }

    /// Options of the cell. Long sequences keep to activations that have a bound.
    pub fn formed(mut self, form: Form, draw: &mut Draw) -> Network {
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
    pub fn regularised(mut self, draw: &mut Draw) -> Network {
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
    pub fn treated(mut self, draw: &mut Draw) -> Network {
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
