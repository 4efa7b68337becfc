//! Shared by the test programs and the fuzz targets: levels, random numbers, comparison with the reference.
#![allow(dead_code, unused_imports, reason = "fuzz targets use a part")]

mod oracle;

pub use oracle::{
    ACTIVATIONS, compare, compare_or_move, reference_backward, reference_forward, reference_loss,
    reference_run, reference_run_from,
};

use fused_rnn::{
    Accumulate, Activation, Bias, Builder, CellKind, Dims, Direction, Gradients, Layout, Level, Precision,
    Recurrent, Rng, Tape, Threads, Upstream, Workspace,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The options of a cell.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub activations: Option<Vec<Activation>>,
    pub activations_reverse: Option<Vec<Activation>>,
    pub clip: Option<f32>,
    pub cell_clip: Option<f32>,
    pub peephole: bool,
    pub coupled: bool,
    pub projection: Option<usize>,
    pub layer_norm: Option<f32>,
    /// The heads of an sLSTM; 0 for one.
    pub heads: usize,
    pub dropout: f32,
    pub recurrent_dropout: f32,
    pub input_dropout: f32,
    pub zoneout: [f32; 2],
}

impl Options {
    /// Whether training computes other numbers than inference.
    pub fn differs_in_training(&self) -> bool {
        let dropouts = [self.dropout, self.recurrent_dropout, self.input_dropout];
        dropouts != [0.0; 3] || self.zoneout != [0.0; 2]
    }
}

/// Everything that decides the numbers of a run.
#[derive(Debug, Clone)]
pub struct Case {
    pub kind: CellKind,
    pub layers: usize,
    pub direction: Direction,
    pub options: Options,
    pub layout: Layout,
    pub bias: Bias,
    pub batch: usize,
    pub steps: usize,
    pub input: usize,
    pub hidden: usize,
    /// Whether rows have lengths of their own.
    pub ragged: bool,
    /// Whether the initial state is other than zero.
    pub initial_state: bool,
    pub precision: Precision,
    pub seed: u64,
}

impl Case {
    pub fn simple(kind: CellKind, batch: usize, steps: usize, input: usize, hidden: usize) -> Case {
        Case {
            kind,
            layers: 1,
            direction: Direction::Forward,
            options: Options::default(),
            layout: Layout::TimeMajor,
            bias: Bias::Double,
            batch,
            steps,
            input,
            hidden,
            ragged: false,
            initial_state: true,
            precision: Precision::F32,
            seed: 1,
        }
    }

    /// The same case in each precision that trains.
    pub fn in_each_that_trains(&self) -> impl Iterator<Item = Case> + use<'_> {
        let trains = Precision::ALL.iter().filter(|precision| precision.trains());
        trains.map(|&precision| Case { precision, ..self.clone() })
    }

    pub fn directions(&self) -> usize {
        if self.direction == Direction::Both { 2 } else { 1 }
    }

    /// The width of the hidden state.
    pub fn outputs(&self) -> usize {
        self.options.projection.unwrap_or(self.hidden)
    }

    pub fn builder(&self) -> Builder {
        let options = &self.options;
        let mut builder = Builder::new(self.kind, self.input, self.hidden)
            .layers(self.layers)
            .direction(self.direction)
            .layout(self.layout)
            .bias(self.bias)
            .precision(self.precision)
            .peephole(options.peephole)
            .coupled(options.coupled)
            .heads(options.heads.max(1))
            .dropout(options.dropout)
            .recurrent_dropout(options.recurrent_dropout)
            .input_dropout(options.input_dropout)
            .zoneout(options.zoneout[0], options.zoneout[1])
            .init(fused_rnn::Init::PyTorch, self.seed);
        if let Some(epsilon) = options.layer_norm {
            builder = builder.layer_norm(epsilon);
        }
        if let Some(size) = options.projection {
            builder = builder.projection(size);
        }
        if let Some(clip) = options.clip {
            builder = builder.clip(clip);
        }
        if let Some(clip) = options.cell_clip {
            builder = builder.cell_clip(clip);
        }
        if let Some(activations) = &options.activations {
            builder = builder.activations(activations);
        }
        if let Some(activations) = &options.activations_reverse {
            builder = builder.activations_reverse(activations);
        }
        builder
    }

    /// A layer of this case, with the other options that `set` sets. New gains are one and new shifts zero
    /// for all gates; here all of them differ.
    pub fn layer(&self, set: impl FnOnce(Builder) -> Builder) -> Recurrent {
        let mut layer = set(self.builder()).build().unwrap();
        let tensors: Vec<(bool, usize)> = layer
            .named_parameters()
            .map(|tensor| (tensor.name.starts_with("norm"), tensor.values.len()))
            .collect();
        let mut rng = Rng::new(self.seed);
        layer.update(|mut parameters| {
            for (is_norm, len) in tensors {
                let (tensor, rest) = parameters.split_at_mut(len);
                parameters = rest;
                if is_norm {
                    tensor.iter_mut().for_each(|value| *value += rng.uniform(-0.5, 0.5));
                }
            }
        });
        layer
    }
}

/// The inputs of a case: sequence, lengths, initial states and upstream gradients.
#[derive(Debug, Clone)]
pub struct Data {
    /// In the layout of the case.
    pub x: Vec<f32>,
    pub lengths: Option<Vec<usize>>,
    pub h0: Vec<f32>,
    pub c0: Vec<f32>,
    pub dy: Vec<f32>,
    pub dhn: Vec<f32>,
    pub dcn: Vec<f32>,
}

/// The activations of a plain cell, one for each place.
pub fn plain_activations(kind: CellKind) -> Vec<Activation> {
    Case::simple(kind, 1, 1, 1, 1).builder().build().unwrap().config().activations(false).to_vec()
}

/// The recurrent dropout of a cell: none where it has no recurrent weights.
pub fn recurrent_dropout(kind: CellKind, p: f32) -> f32 {
    if kind.has_recurrent_weights() { p } else { 0.0 }
}

/// Whether a cell has zoneout and clips of its cell state.
pub fn has_options_of_cell_state(kind: CellKind) -> bool {
    kind.has_cell_state() && kind != CellKind::Slstm
}

/// How many cases a property draws, unless `PROPTEST_CASES` says.
pub fn property_cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// Each of these precisions on each level of the machine.
pub fn on_each_level(precisions: &[Precision]) -> impl Iterator<Item = (Level, Precision)> {
    Level::available().flat_map(move |level| precisions.iter().map(move |&precision| (level, precision)))
}

/// The bits of each value. NaN counts as one value: the processor chooses by the order of operands which of
/// two NaN comes out, and that order differs by level and by tile.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|&value| bits_of(value)).collect()
}

/// The bits of one value, as [`bits`] has them.
pub fn bits_of(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
}

/// Whether each of the values is this one.
pub fn all_are(value: f32, values: &[f32]) -> bool {
    values.iter().all(|&of| of == value)
}

pub fn uniform(n: usize, rng: &mut Rng) -> Vec<f32> {
    (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

impl Data {
    pub fn of(case: &Case) -> Data {
        let mut rng = Rng::new(case.seed).fork(99);
        let rows = case.layers * case.directions() * case.batch;
        let states = rows * case.outputs();
        let cells = if case.kind.has_cell_state() { rows * case.hidden } else { 0 };
        let scale = if case.initial_state { 1.0 } else { 0.0 };
        let state = |n, rng: &mut Rng| uniform(n, rng).iter().map(|v| v * scale).collect();
        let outputs = case.batch * case.steps * case.directions() * case.outputs();
        Data {
            x: uniform(case.batch * case.steps * case.input, &mut rng),
            h0: state(states, &mut rng),
            c0: state(cells, &mut rng),
            dy: uniform(outputs, &mut rng),
            dhn: uniform(states, &mut rng),
            dcn: uniform(cells, &mut rng),
            lengths: case.ragged.then(|| (0..case.batch).map(|_| rng.below(case.steps + 1)).collect()),
        }
    }

    pub fn dims<'a>(&'a self, case: &Case) -> Dims<'a> {
        let dims = Dims::new(case.batch, case.steps);
        self.lengths.as_deref().map_or(dims, |lengths| dims.with_lengths(lengths))
    }
}

/// The results of forward and backward, in the layout of the case.
#[derive(Debug, Clone, PartialEq)]
pub struct Results<F> {
    pub y: Vec<F>,
    pub hn: Vec<F>,
    pub cn: Vec<F>,
    pub dx: Vec<F>,
    pub dh0: Vec<F>,
    pub dc0: Vec<F>,
    pub parameters: Vec<F>,
}

impl<F: Copy + Into<f64>> Results<F> {
    pub fn tensors(&self) -> [(&'static str, &[F]); 7] {
        [
            ("y", &self.y),
            ("hn", &self.hn),
            ("cn", &self.cn),
            ("dx", &self.dx),
            ("dh0", &self.dh0),
            ("dc0", &self.dc0),
            ("parameters", &self.parameters),
        ]
    }
}

/// Forward with a tape and backward, of the crate.
pub fn run(case: &Case, data: &Data, level: Level, threads: usize) -> Results<f32> {
    let layer = case.layer(|builder| builder.level(level).threads(Threads::Count(threads)));
    run_layer(&layer, case, data)
}

pub fn run_layer(layer: &Recurrent, case: &Case, data: &Data) -> Results<f32> {
    run_with_tape(layer, case, data, &mut Tape::new())
}

pub fn run_with_tape(layer: &Recurrent, case: &Case, data: &Data, tape: &mut Tape) -> Results<f32> {
    run_in(layer, case, data, data.dims(case), tape)
}

/// The same with other dimensions than those of the data: masks, resets.
pub fn run_in(layer: &Recurrent, case: &Case, data: &Data, dims: Dims<'_>, tape: &mut Tape) -> Results<f32> {
    run_calls(layer, case, data, dims, (tape, &mut Workspace::new()))
}

/// Forward with a tape and backward, with memory that other calls have used.
pub fn run_layer_with(
    layer: &Recurrent,
    case: &Case,
    data: &Data,
    tape: &mut Tape,
    workspace: &mut Workspace,
) -> Results<f32> {
    run_calls(layer, case, data, data.dims(case), (tape, workspace))
}

fn run_calls(
    layer: &Recurrent,
    case: &Case,
    data: &Data,
    dims: Dims<'_>,
    (tape, workspace): (&mut Tape, &mut Workspace),
) -> Results<f32> {
    let mut state = layer.zero_state(case.batch).unwrap();
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    let mut y = vec![f32::NAN; data.dy.len()];
    layer.forward_train(&data.x, dims, &mut state, Some(&mut y), tape, 0, workspace).unwrap();
    let mut results = Results {
        y,
        hn: state.h(),
        cn: state.c(),
        dx: vec![f32::NAN; data.x.len()],
        dh0: vec![f32::NAN; data.h0.len()],
        dc0: vec![f32::NAN; data.c0.len()],
        parameters: vec![f32::NAN; layer.parameters().len()],
    };
    let upstream = Upstream::default().with_dy(&data.dy).with_dhn(&data.dhn).with_dcn(&data.dcn);
    let gradients = Gradients::of_parameters(&mut results.parameters)
        .with_dx(&mut results.dx)
        .with_dh0(&mut results.dh0)
        .with_dc0(&mut results.dc0);
    layer.backward(&data.x, tape, upstream, gradients, workspace).unwrap();
    results
}

/// The gradients of the parameters, added to `base`, of a backward pass that is given some of the upstream
/// gradients: of y, of the final h, of the final c. And those of the inputs, initial states and parameters
/// that are `wanted`.
pub fn run_parts(
    layer: &Recurrent,
    case: &Case,
    data: &Data,
    (base, upstream, wanted): (f32, [bool; 3], [bool; 4]),
) -> (Vec<f32>, [Vec<f32>; 3]) {
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = layer.zero_state(case.batch).unwrap();
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    layer.forward_train(&data.x, data.dims(case), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut parameters = vec![base; layer.parameters().len()];
    let mut inputs = [data.x.len(), data.h0.len(), data.c0.len()].map(|len| vec![f32::NAN; len]);
    let [dx, dh0, dc0] = &mut inputs;
    let mut gradients = Gradients::of_parameters(&mut parameters).with_accumulate(Accumulate::Add);
    gradients.parameters = gradients.parameters.filter(|_| wanted[3]);
    gradients.dx = wanted[0].then_some(&mut dx[..]);
    gradients.dh0 = wanted[1].then_some(&mut dh0[..]);
    gradients.dc0 = wanted[2].then_some(&mut dc0[..]);
    let mut given = Upstream::default();
    given.dy = upstream[0].then_some(&data.dy[..]);
    given.dhn = upstream[1].then_some(&data.dhn[..]);
    given.dcn = upstream[2].then_some(&data.dcn[..]);
    layer.backward(&data.x, &tape, given, gradients, &mut workspace).unwrap();
    (parameters, inputs)
}

/// (B, T, W) from (T, B, W), or the other way round with the sizes swapped.
pub fn swap_axes<T: Copy>(values: &[T], outer: usize, inner: usize, width: usize) -> Vec<T> {
    let mut swapped = Vec::with_capacity(values.len());
    for j in 0..inner {
        for i in 0..outer {
            swapped.extend_from_slice(&values[(i * inner + j) * width..][..width]);
        }
    }
    swapped
}

/// Checks all of these. All cores share them, the last first: where the last take longest, they end together.
pub fn check_all<T: Sync>(all: &[T], check: impl Fn(&T) + Sync) {
    let left = AtomicUsize::new(all.len());
    let share = || {
        while let Ok(before) = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            check(&all[before - 1]);
        }
    };
    std::thread::scope(|scope| {
        let others = std::thread::available_parallelism().map_or(0, |threads| threads.get() - 1);
        (0..others).for_each(|_| drop(scope.spawn(share)));
        share();
    });
}
