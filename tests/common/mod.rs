//! Shared by the integration tests: levels, random numbers, comparison with the reference.
#![allow(dead_code, reason = "each test binary uses a part")]

use fused_rnn::reference;
use fused_rnn::{
    Accumulate, Activation, Bias, Builder, CellKind, Dims, Direction, Gradients, Layout, Level, Precision,
    Recurrent, Rng, Tape, Threads, Upstream, Workspace,
};

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

    /// The variant of a direction, for the reference.
    fn variant(&self, reverse: bool) -> reference::Variant {
        let options = &self.options;
        let activations = options.activations_reverse.as_ref().filter(|_| reverse);
        let activations = activations.or(options.activations.as_ref());
        reference::Variant {
            activations: activations.map(|list| list.iter().map(reference_activation).collect()),
            clip: options.clip.map(f64::from),
            cell_clip: options.cell_clip.map(f64::from),
            coupled: options.coupled,
        }
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

/// The bits of each value. NaN counts as one value: the processor chooses by the order of operands which of
/// two NaN comes out, and that order differs by level and by tile.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|&value| bits_of(value)).collect()
}

/// The bits of one value, as [`bits`] has them.
pub fn bits_of(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
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

/// All, with parameters other than their defaults.
pub const ACTIVATIONS: [Activation; 24] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu { alpha: 0.125 },
    Activation::ThresholdedRelu { alpha: 0.25 },
    Activation::ScaledTanh { alpha: 1.25, beta: 0.75 },
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::Elu { alpha: 0.75 },
    Activation::Softsign,
    Activation::Softplus,
    Activation::Affine { alpha: 0.5, beta: 0.125 },
    Activation::Silu,
    Activation::Gelu,
    Activation::Selu,
    Activation::Exponential,
    Activation::HardSilu,
    Activation::Clamp { low: -0.5, high: 0.75 },
    Activation::Mish,
    Activation::LogSigmoid,
    Activation::SoftShrink { lambda: 0.25 },
    Activation::HardShrink { lambda: 0.25 },
    Activation::TanhShrink,
    Activation::SquarePlus,
    Activation::SparsePlus,
];

fn reference_activation(activation: &Activation) -> reference::Activation {
    use reference::Activation as To;
    match *activation {
        Activation::Sigmoid => To::Sigmoid,
        Activation::Tanh => To::Tanh,
        Activation::Relu => To::Relu,
        Activation::LeakyRelu { alpha } => To::LeakyRelu(alpha.into()),
        Activation::ThresholdedRelu { alpha } => To::ThresholdedRelu(alpha.into()),
        Activation::ScaledTanh { alpha, beta } => To::ScaledTanh(alpha.into(), beta.into()),
        Activation::HardSigmoid { alpha, beta } => To::HardSigmoid(alpha.into(), beta.into()),
        Activation::Elu { alpha } => To::Elu(alpha.into()),
        Activation::Softsign => To::Softsign,
        Activation::Softplus => To::Softplus,
        Activation::Affine { alpha, beta } => To::Affine(alpha.into(), beta.into()),
        Activation::Silu => To::Silu,
        Activation::Gelu => To::Gelu,
        Activation::Selu => To::Selu,
        Activation::Exponential => To::Exponential,
        Activation::HardSilu => To::HardSilu,
        Activation::Clamp { low, high } => To::Clamp(low.into(), high.into()),
        Activation::Mish => To::Mish,
        Activation::LogSigmoid => To::LogSigmoid,
        Activation::SoftShrink { lambda } => To::SoftShrink(lambda.into()),
        Activation::HardShrink { lambda } => To::HardShrink(lambda.into()),
        Activation::TanhShrink => To::TanhShrink,
        Activation::SquarePlus => To::SquarePlus,
        Activation::SparsePlus => To::SparsePlus,
        other => panic!("no reference for {other:?}"),
    }
}

fn reference_cell(kind: CellKind) -> reference::Cell {
    match kind {
        CellKind::Lstm => reference::Cell::Lstm,
        CellKind::GruResetAfter => reference::Cell::GruResetAfter,
        CellKind::GruResetBefore => reference::Cell::GruResetBefore,
        CellKind::ElmanTanh => reference::Cell::ElmanTanh,
        CellKind::ElmanRelu => reference::Cell::ElmanRelu,
        CellKind::MinGru => reference::Cell::MinGru,
        CellKind::MinLstm => reference::Cell::MinLstm,
        CellKind::IndRnn => reference::Cell::IndRnn,
        CellKind::LstmMultiplicative => reference::Cell::LstmMultiplicative,
        CellKind::Slstm => reference::Cell::Slstm,
        other => panic!("no reference for {other:?}"),
    }
}

/// Forward and backward of the naive reference in f64, with the parameters of `layer`.
pub fn reference_run(layer: &Recurrent, case: &Case, data: &Data) -> Results<f64> {
    reference_run_from(layer, case, data, 0)
}

/// The same where the first step is step `first` of the sequence for which masks are drawn.
pub fn reference_run_from(layer: &Recurrent, case: &Case, data: &Data, first: usize) -> Results<f64> {
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let zeros = reference::Params::<f64>::zeros(reference_cell(case.kind), 0, case.hidden);
    let mut tensors = layer.named_parameters().map(|p| (p.name, wide(p.values))).collect::<Vec<_>>();
    let mut take = |name: String, len: usize| match tensors.first() {
        Some(tensor) if tensor.0 == name => tensors.remove(0).1,
        _ => vec![0.0; len],
    };
    let mut params = Vec::new();
    for cell in 0..case.layers * case.directions() {
        let suffix = format!(
            "l{}{}",
            cell / case.directions(),
            if cell % case.directions() == 1 { "_reverse" } else { "" }
        );
        params.push(reference::Params {
            weight_ih: take(format!("weight_ih_{suffix}"), 0),
            weight_hh: take(format!("weight_hh_{suffix}"), 0),
            bias_ih: take(format!("bias_ih_{suffix}"), zeros.bias_ih.len()),
            bias_hh: take(format!("bias_hh_{suffix}"), zeros.bias_hh.len()),
            weight_hr: take(format!("weight_hr_{suffix}"), 0),
            peephole: take(format!("peephole_{suffix}"), 0),
            norm_ih: take(format!("norm_ih_{suffix}"), 0),
            norm_hh: take(format!("norm_hh_{suffix}"), 0),
            norm_c: take(format!("norm_c_{suffix}"), 0),
        });
    }
    assert!(tensors.is_empty(), "parameters that the reference does not know");
    let model = reference::Model {
        cell: reference_cell(case.kind),
        input_size: case.input,
        hidden_size: case.hidden,
        layers: case.layers,
        projection: case.options.projection,
        layer_norm: case.options.layer_norm.map(f64::from),
        heads: case.options.heads.max(1),
        bidirectional: case.direction == Direction::Both,
        reverse: case.direction == Direction::Reverse,
        variants: [case.variant(case.direction == Direction::Reverse), case.variant(true)],
        precision: match layer.config().precision() {
            Precision::F32 => reference::Precision::Exact,
            Precision::Bf16Weights => reference::Precision::Bf16Weights,
            Precision::Bf16 => reference::Precision::Bf16,
            Precision::Int8 => reference::Precision::Int8,
            other => panic!("no reference for {other:?}"),
        },
        params,
    };
    let (batch, steps) = (case.batch, case.steps);
    let width = case.directions() * case.outputs();
    let to_time_major = |values: Vec<f64>, width| match case.layout {
        Layout::TimeMajor => values,
        _ => swap_axes(&values, batch, steps, width),
    };
    let from_time_major = |values: Vec<f64>, width| match case.layout {
        Layout::TimeMajor => values,
        _ => swap_axes(&values, steps, batch, width),
    };
    let x = to_time_major(wide(&data.x), case.input);
    let dy = to_time_major(wide(&data.dy), width);
    // Of an sLSTM the reference has c, n and m in one; n and m begin as zero here.
    let planes = if case.kind == CellKind::Slstm { 3 } else { 1 };
    let beside = |c: Vec<f64>| -> Vec<f64> {
        let hidden = case.hidden.max(1);
        c.chunks(hidden).flat_map(|c| [c, &vec![0.0; (planes - 1) * hidden]].concat()).collect()
    };
    let alone = |c: Vec<f64>| -> Vec<f64> {
        let hidden = case.hidden.max(1);
        c.chunks(hidden).step_by(planes).flatten().copied().collect()
    };
    let (h0, c0, dhn, dcn) =
        (wide(&data.h0), beside(wide(&data.c0)), wide(&data.dhn), beside(wide(&data.dcn)));
    let masks = layer.recurrent_masks(batch, 0).unwrap();
    let passes = case.layers * case.directions();
    let by_pass = |values: &[f32]| -> Vec<Vec<f64>> {
        let len = values.len() / passes;
        (0..passes).map(|pass| wide(&values[pass * len..][..len])).collect()
    };
    let masks = by_pass(&masks);
    // Of (steps, batch, units), without the steps before the first.
    let from_first = |mask: &[f64]| mask[mask.len() / (first + steps).max(1) * first..].to_vec();
    let taken = layer.zoneout_masks(batch, first + steps, 0).unwrap();
    let mut taken =
        taken.map(|taken| by_pass(&taken).iter().map(|mask| from_first(mask)).collect::<Vec<_>>());
    // (All of c is taken.)
    taken[1].iter_mut().for_each(|mask| *mask = mask.repeat(planes));
    let input_masks: Vec<Vec<f64>> =
        (0..case.layers).map(|k| wide(&layer.input_masks(k, batch, 0).unwrap())).collect();
    let between: Vec<Vec<f64>> = (1..case.layers)
        .map(|k| from_first(&wide(&layer.dropout_masks(k - 1, batch, first + steps, 0).unwrap())))
        .collect();
    let input = reference::Input {
        steps,
        batch,
        x: &x,
        h0: Some(&h0),
        c0: Some(&c0),
        lengths: data.lengths.as_deref(),
        masks: Some(&between),
        recurrent_masks: Some(&masks),
        input_masks: Some(&input_masks),
        taken: Some([&taken[0], &taken[1]]),
    };
    let output = reference::forward(&model, &input);
    let upstream = reference::Upstream { dy: Some(&dy), dhn: Some(&dhn), dcn: Some(&dcn) };
    let gradients = reference::backward(&model, &input, &output, &upstream);
    let mut parameters = Vec::new();
    for params in gradients.params {
        parameters.extend(params.weight_ih);
        parameters.extend(params.weight_hh);
        parameters.extend(if case.bias == Bias::None { vec![] } else { params.bias_ih });
        parameters.extend(if case.bias == Bias::Double { params.bias_hh } else { vec![] });
        parameters.extend(params.weight_hr);
        parameters.extend(params.peephole);
        parameters.extend(params.norm_ih);
        parameters.extend(params.norm_hh);
        parameters.extend(params.norm_c);
    }
    Results {
        y: from_time_major(output.y.clone(), width),
        hn: output.hn.clone(),
        cn: alone(output.cn.clone()),
        dx: from_time_major(gradients.x, case.input),
        dh0: gradients.h0,
        dc0: alone(gradients.c0),
        parameters,
    }
}

/// Compares with the reference: the worst element of each tensor in units of
/// `absolute + relative * (largest value of the tensor)` must not pass 1.
///
/// # Errors
/// The tensor and the element that differ most, in words.
pub fn compare(got: &Results<f32>, want: &Results<f64>, tolerance: f64) -> Result<(), String> {
    for ((name, got), (_, want)) in got.tensors().into_iter().zip(want.tensors()) {
        if got.len() != want.len() {
            return Err(format!("{name}: {} values for {}", got.len(), want.len()));
        }
        let scale = want.iter().fold(1.0f64, |largest, v| largest.max(v.abs()));
        for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
            // NaN is not close to anything.
            let close = (f64::from(got) - want).abs() <= tolerance * scale;
            if !close {
                return Err(format!("{name}[{index}]: {got} for {want}, scale {scale}"));
            }
        }
    }
    Ok(())
}

/// [`compare`], where the results may move as much as those of the reference do when the inputs and the
/// parameters move by some roundings of f32. In f32, networks that amplify (normalisation, gates without
/// bounds) cannot be more exact than that, nor can those with a sum within rounding of a kink: there a
/// gradient is one of two values, and enough moves find both.
pub fn compare_or_move(
    layer: &Recurrent,
    case: &Case,
    data: &Data,
    (got, want): (&Results<f32>, &Results<f64>),
    tolerance: f64,
) -> Result<(), String> {
    compare(got, want, tolerance)
        .or_else(|_| compare(got, want, tolerance.max(8.0 * sensitivity(layer, case, data, want))))
}

/// How far the results in f64 move, in units of the largest value of a tensor.
fn sensitivity(layer: &Recurrent, case: &Case, data: &Data, want: &Results<f64>) -> f64 {
    const ROUNDINGS: f32 = 8.0 * f32::EPSILON;
    let distance = |(a, b): (&[f64], &[f64])| {
        let scale = b.iter().fold(1.0f64, |scale, v| scale.max(v.abs()));
        a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
    };
    let mut largest = 0.0f64;
    for seed in 0..16 {
        let (mut data, mut rng, mut layer) = (data.clone(), Rng::new(seed), layer.clone());
        let mut moved = |value: &mut f32| *value *= 1.0 + rng.uniform(-ROUNDINGS, ROUNDINGS);
        data.x.iter_mut().chain(&mut data.h0).chain(&mut data.c0).for_each(&mut moved);
        layer.update(|parameters| parameters.iter_mut().for_each(&mut moved));
        let results = reference_run(&layer, case, &data);
        let tensors = results.tensors().into_iter().zip(want.tensors());
        largest = tensors.map(|((_, a), (_, b))| distance((a, b))).fold(largest, f64::max);
    }
    largest
}
