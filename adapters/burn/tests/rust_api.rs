//! Through burn a layer has the bits of the Rust interface: outputs, final states and all gradients, whatever
//! the cell, its options, the sequences and the strategy of checkpointing.

mod common;

use burn::module::Module;
use burn::nn::LstmState;
use burn::tensor::{Device, Tensor};
use common::{bits, gradient, parameter_gradients, tensor, uniform, values};
use fused_rnn::{Dims, Gradients, Layout, Recurrent, Rng, Tape, Upstream, Workspace};
use fused_rnn_burn::{Direction, Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig, Sequences};
use proptest::prelude::*;

/// A layer of any cell.
#[derive(Debug)]
enum Layer {
    Lstm(Lstm),
    Gru(Gru),
    Rnn(Rnn),
}

/// What is drawn.
#[derive(Debug, Clone)]
struct Case {
    cell: usize,
    sizes: [usize; 4],
    layers: usize,
    direction: Direction,
    batch_first: bool,
    bias: bool,
    option: usize,
    checkpoint_every: Option<usize>,
    lengths: Option<u64>,
    resets: bool,
    with_state: bool,
    swapped: bool,
    checkpointing: bool,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Reverse), Just(Direction::Both)];
    let shape = (0..3usize, [1..5usize, 1..9usize, 0..4usize, 0..7usize], 1..3usize, direction);
    let options = (any::<bool>(), any::<bool>(), 0..4usize, proptest::option::of(1..5usize));
    let call = (proptest::option::of(any::<u64>()), any::<bool>(), any::<bool>(), any::<bool>());
    (shape, options, call, any::<bool>(), any::<u64>()).prop_map(
        |(shape, options, call, checkpointing, seed)| {
            let (cell, sizes, layers, direction) = shape;
            let (batch_first, bias, option, checkpoint_every) = options;
            let (lengths, resets, with_state, swapped) = call;
            Case {
                cell,
                sizes,
                layers,
                direction,
                batch_first,
                bias,
                option,
                checkpoint_every,
                lengths,
                resets,
                with_state,
                swapped,
                checkpointing,
                seed,
            }
        },
    )
}

fn layer(case: &Case, device: &Device) -> Layer {
    let [inputs, units, ..] = case.sizes;
    macro_rules! common {
        ($config:ident) => {
            $config {
                checkpoint_every: case.checkpoint_every,
                ..$config::new(inputs, units)
                    .with_layers(case.layers)
                    .with_direction(case.direction)
                    .with_batch_first(case.batch_first)
                    .with_bias(case.bias)
            }
        };
    }
    match case.cell {
        0 => {
            let mut config = common!(LstmConfig);
            match case.option {
                1 => config.projection = Some(units.div_ceil(2)),
                2 => (config.peephole, config.clip) = (true, Some(0.5)),
                3 => (config.input_forget, config.layer_norm) = (false, Some(1e-5)),
                _ => {}
            }
            Layer::Lstm(config.init(device).unwrap())
        }
        1 => Layer::Gru(
            common!(GruConfig).with_reset_after(case.option.is_multiple_of(2)).init(device).unwrap(),
        ),
        _ => Layer::Rnn(common!(RnnConfig).init(device).unwrap()),
    }
}

/// y, hn, cn, dx, dh0, dc0 and the gradients of parameters.
type Results = [Vec<f32>; 7];

impl Layer {
    fn recurrent(&self) -> Recurrent {
        match self {
            Layer::Lstm(layer) => layer.to_recurrent(),
            Layer::Gru(layer) => layer.to_recurrent(),
            Layer::Rnn(layer) => layer.to_recurrent(),
        }
        .unwrap()
    }

    fn forward(
        &self,
        x: Tensor<3>,
        state: Option<[Tensor<3>; 2]>,
        sequences: &Sequences,
    ) -> (Tensor<3>, Vec<Tensor<3>>) {
        let hidden = |state: Option<[Tensor<3>; 2]>| state.map(|[h, _]| h);
        match self {
            Layer::Lstm(layer) => {
                let state = state.map(|[hidden, cell]| LstmState { hidden, cell });
                let (y, state) = layer.forward_with(x, state, sequences).unwrap();
                (y, vec![state.hidden, state.cell])
            }
            Layer::Gru(layer) => {
                let (y, h) = layer.forward_with(x, hidden(state), sequences).unwrap();
                (y, vec![h])
            }
            Layer::Rnn(layer) => {
                let (y, h) = layer.forward_with(x, hidden(state), sequences).unwrap();
                (y, vec![h])
            }
        }
    }
}

struct Data {
    x: Vec<f32>,
    state: [Vec<f32>; 2],
    dy: Vec<f32>,
    dstate: [Vec<f32>; 2],
    sequences: Sequences,
}

fn data(case: &Case, network: &Recurrent) -> Data {
    let mut rng = Rng::new(case.seed);
    let [_, _, batch, steps] = case.sizes;
    let config = network.config();
    let strands = config.layers() * config.directions();
    let widths = [config.projection().unwrap_or(config.hidden_size()), config.hidden_size()];
    let mut states = || widths.map(|width| uniform(strands * batch * width, &mut rng));
    let (state, dstate) = (states(), states());
    let mut sequences = Sequences::new();
    if let Some(seed) = case.lengths {
        let mut rng = Rng::new(seed);
        let length = |_| rng.uniform(0.0, steps as f32 + 0.999) as usize;
        sequences = sequences.with_lengths((0..batch).map(length).collect::<Vec<_>>());
    }
    if case.resets {
        let flags = uniform(batch * steps, &mut rng).into_iter().map(|value| value > 0.4);
        sequences = sequences.with_resets(flags.collect::<Vec<_>>());
        let flags = uniform(batch * steps, &mut rng).into_iter().map(|value| value < 0.8);
        sequences = sequences.with_mask(flags.collect::<Vec<_>>());
    }
    Data {
        x: uniform(batch * steps * config.input_size(), &mut rng),
        dy: uniform(batch * steps * config.output_size(), &mut rng),
        state,
        dstate,
        sequences,
    }
}

fn through_burn(case: &Case, layer: &Layer, data: &Data, device: &Device) -> Results {
    let config = layer.recurrent().config().clone();
    let [_, _, batch, steps] = case.sizes;
    let axes = |features| match config.layout() {
        Layout::TimeMajor => [steps, batch, features],
        _ => [batch, steps, features],
    };
    let [first, second, features] = axes(config.input_size());
    // A view that is not contiguous, of the same values: read where it is.
    let x = tensor(&data.x, [first, second, features], device);
    let x = if case.swapped { values_swapped(x) } else { x }.require_grad();
    let input = if case.swapped { x.clone().swap_dims(0, 1) } else { x.clone() };
    let strands = config.layers() * config.directions();
    let widths = [config.projection().unwrap_or(config.hidden_size()), config.hidden_size()];
    let states = |values: &[Vec<f32>; 2], device: &Device| {
        let state = |n: usize| tensor(&values[n], [strands, batch, widths[n]], device);
        [state(0), state(1)]
    };
    let state = states(&data.state, device).map(Tensor::require_grad);
    let with = case.with_state.then(|| state.clone());
    let (y, finals) = layer.forward(input, with, &data.sequences);
    let dy = tensor(&data.dy, axes(config.output_size()), device);
    let mut loss = (y.clone() * dy).sum();
    for (state, gradient) in finals.iter().zip(states(&data.dstate, device)) {
        loss = loss + (state.clone() * gradient).sum();
    }
    let gradients = loss.backward();
    let mut finals = finals.into_iter().map(values);
    let (hn, cn) = (finals.next().unwrap(), finals.next().unwrap_or_default());
    let dx = x.grad(&gradients).unwrap();
    let dx = values(if case.swapped { dx.swap_dims(0, 1) } else { dx });
    let [dh0, mut dc0] = state.each_ref().map(|state| gradient(state, &gradients));
    if !config.kind().has_cell_state() {
        dc0.clear();
    }
    let parameters = match layer {
        Layer::Lstm(layer) => parameter_gradients(layer, &gradients),
        Layer::Gru(layer) => parameter_gradients(layer, &gradients),
        Layer::Rnn(layer) => parameter_gradients(layer, &gradients),
    };
    [values(y), hn, cn, dx, dh0, dc0, parameters]
}

/// The same tensor with its first dimensions swapped, and contiguous.
fn values_swapped(x: Tensor<3>) -> Tensor<3> {
    let [first, second, features] = x.dims();
    let device = x.device();
    tensor(&values(x.swap_dims(0, 1)), [second, first, features], &device)
}

fn in_rust(case: &Case, network: &Recurrent, data: &Data) -> Results {
    let [_, _, batch, steps] = case.sizes;
    let mut dims = Dims::new(batch, steps);
    dims.lengths = data.sequences.lengths.as_deref();
    dims.mask = data.sequences.mask.as_deref();
    dims.resets = data.sequences.resets.as_deref();
    let has_cell = network.config().kind().has_cell_state();
    let mut state = network.zero_state(batch).unwrap();
    if case.with_state {
        state.set_h(&data.state[0]).unwrap();
        if has_cell {
            state.set_c(&data.state[1]).unwrap();
        }
    }
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut y = vec![0.0; data.dy.len()];
    network.forward_train(&data.x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace).unwrap();

    let dcn = if has_cell { &data.dstate[1][..] } else { &[] };
    let upstream = Upstream::default().with_dy(&data.dy).with_dhn(&data.dstate[0]).with_dcn(dcn);
    let mut parameters = vec![0.0; network.parameters().len()];
    let (mut dx, mut dh0, mut dc0) =
        (vec![0.0; data.x.len()], vec![0.0; data.dstate[0].len()], vec![0.0; dcn.len()]);
    let gradients = Gradients::of_parameters(&mut parameters).with_dx(&mut dx);
    let gradients = gradients.with_dh0(&mut dh0).with_dc0(&mut dc0);
    network.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
    if !case.with_state {
        dh0.fill(0.0);
        dc0.fill(0.0);
    }
    [y, state.h(), state.c(), dx, dh0, dc0, parameters]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn through_burn_the_bits_are_those_of_rust(case in case()) {
        let device = Device::flex().autodiff();
        let device = if case.checkpointing { device.gradient_checkpointing() } else { device };
        let layer = layer(&case, &device);
        let network = layer.recurrent();
        let data = data(&case, &network);
        let expected = in_rust(&case, &network, &data);
        let got = through_burn(&case, &layer, &data, &device);
        for (name, (expected, got)) in
            ["y", "hn", "cn", "dx", "dh0", "dc0", "parameters"].iter().zip(expected.iter().zip(&got))
        {
            prop_assert_eq!(bits(expected), bits(got), "{}", name);
        }
    }
}

/// Forward without a graph has the same bits, on any number of threads.
#[test]
fn inference_without_a_graph() {
    let lstm =
        LstmConfig::new(5, 24).with_layers(2).with_dropout(0.5).init(&Device::flex().autodiff()).unwrap();
    let x = tensor(&uniform(17 * 9 * 5, &mut Rng::new(1)), [17, 9, 5], &Device::flex());
    let expected = lstm.to_recurrent().unwrap().run(&values(x.clone()), Dims::new(17, 9)).unwrap();
    for threads in [None, Some(1), Some(2), Some(3)] {
        let (y, _) = lstm.valid().with_threads(threads).forward(x.clone(), None).unwrap();
        assert_eq!(bits(&values(y)), bits(&expected.y));
    }
}
