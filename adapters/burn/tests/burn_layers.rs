//! Layers compute what burn's own do: outputs, final states and all gradients, with burn's own layers in f64
//! as the judge. Rows of different lengths, which burn's layers have not, are compared one by one.

mod common;

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::activation::{
    ActivationConfig, EluConfig, HardSigmoidConfig, LeakyReluConfig, SoftplusConfig, ThresholdedReluConfig,
};
use burn::nn::{self, LstmState, RnnState};
use burn::tensor::{DType, Device, FloatDType, Gradients, Tensor};
use common::{parameter_gradients, tensor, uniform};
use fused_rnn::Rng;
use fused_rnn_burn::{Gru, Lstm, Rnn, Sequences};
use std::sync::Once;

/// h and c, `(D, B, H)`.
type States = Vec<Tensor<3>>;

/// A layer that can be run over a batch.
trait Layer: Module {
    fn run_lengths(&self, x: Tensor<3>, state: States, lengths: Option<&[usize]>) -> (Tensor<3>, States);
}

/// One of burn's own layers, whose rows are equally long.
trait Own: Module {
    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States);

    /// Its parameters in the order of the kernels.
    fn in_order(&self) -> Vec<f32>;
}

/// With lengths, row by row.
impl<O: Own> Layer for O {
    fn run_lengths(&self, x: Tensor<3>, state: States, lengths: Option<&[usize]>) -> (Tensor<3>, States) {
        let Some(lengths) = lengths else { return self.run(x, state) };
        let [_, steps, features] = x.dims();
        let mut outputs: [Vec<Tensor<3>>; 3] = Default::default();
        for (row, &length) in lengths.iter().enumerate() {
            let x = x.clone().slice([row..row + 1, 0..length, 0..features]);
            let state = state.iter().map(|state| state.clone().narrow(1, row, 1)).collect();
            let (y, finals) = self.run(x, state);
            let padding = Tensor::zeros([1, steps - length, y.dims()[2]], (&y.device(), y.dtype()));
            outputs[0].push(Tensor::cat(vec![y, padding], 1));
            finals.into_iter().zip(&mut outputs[1..]).for_each(|(state, of)| of.push(state));
        }
        let [y, h, c] = outputs;
        let finals = [h, c].into_iter().filter(|states| !states.is_empty());
        (Tensor::cat(y, 0), finals.map(|states| Tensor::cat(states, 1)).collect())
    }
}

macro_rules! in_order {
    ($ours:ident) => {
        fn in_order(&self) -> Vec<f32> {
            $ours::try_from(self).unwrap().to_recurrent().unwrap().parameters().to_vec()
        }
    };
}

fn state_of(states: &States) -> LstmState<3> {
    LstmState::new(states[1].clone(), states[0].clone())
}

fn sequences_of(lengths: Option<&[usize]>) -> Sequences {
    lengths.map_or(Sequences::new(), |lengths| Sequences::new().with_lengths(lengths))
}

fn one(states: &States, n: usize) -> Tensor<2> {
    states[n].clone().squeeze_dim(0)
}

impl Own for nn::Lstm {
    in_order!(Lstm);

    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States) {
        let (y, state) = self.forward(x, Some(LstmState::new(one(&state, 1), one(&state, 0))));
        (y, vec![state.hidden.unsqueeze_dim(0), state.cell.unsqueeze_dim(0)])
    }
}

impl Own for nn::BiLstm {
    in_order!(Lstm);

    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States) {
        let (y, state) = self.forward(x, Some(state_of(&state)));
        (y, vec![state.hidden, state.cell])
    }
}

impl Own for nn::Gru {
    in_order!(Gru);

    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States) {
        let [batch, steps, _] = x.dims();
        let y = self.forward(x, Some(one(&state, 0)));
        let last = y.clone().slice([0..batch, steps - 1..steps]).swap_dims(0, 1);
        (y, vec![last])
    }
}

impl Own for nn::BiGru {
    in_order!(Gru);

    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States) {
        let (y, h) = self.forward(x, Some(state[0].clone()));
        (y, vec![h])
    }
}

impl Own for nn::Rnn {
    in_order!(Rnn);

    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States) {
        let (y, state) = self.forward(x, Some(RnnState::new(one(&state, 0))));
        (y, vec![state.hidden.unsqueeze_dim(0)])
    }
}

impl Own for nn::BiRnn {
    in_order!(Rnn);

    fn run(&self, x: Tensor<3>, state: States) -> (Tensor<3>, States) {
        let (y, state) = self.forward(x, Some(RnnState::new(state[0].clone())));
        (y, vec![state.hidden])
    }
}

impl Layer for Lstm {
    fn run_lengths(&self, x: Tensor<3>, state: States, lengths: Option<&[usize]>) -> (Tensor<3>, States) {
        let sequences = sequences_of(lengths);
        let (y, state) = self.forward_with(x, Some(state_of(&state)), &sequences).unwrap();
        (y, vec![state.hidden, state.cell])
    }
}

impl Layer for Gru {
    fn run_lengths(&self, x: Tensor<3>, state: States, lengths: Option<&[usize]>) -> (Tensor<3>, States) {
        let sequences = sequences_of(lengths);
        let (y, h) = self.forward_with(x, Some(state[0].clone()), &sequences).unwrap();
        (y, vec![h])
    }
}

impl Layer for Rnn {
    fn run_lengths(&self, x: Tensor<3>, state: States, lengths: Option<&[usize]>) -> (Tensor<3>, States) {
        let sequences = sequences_of(lengths);
        let (y, h) = self.forward_with(x, Some(state[0].clone()), &sequences).unwrap();
        (y, vec![h])
    }
}

/// A copy of a module whose parameters are drawn between -bound and bound, in f64, as numbers that f32 has.
/// (burn's own draws have no seed that tests beside one another keep; a test must not hang on a draw.)
struct Drawn {
    rng: Rng,
    bound: f32,
}

impl ModuleMapper for Drawn {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let of = param.val();
        let values: Vec<f32> = uniform(of.shape().num_elements(), &mut self.rng)
            .iter()
            .map(|value| value * self.bound)
            .collect();
        let drawn = tensor(&values, of.dims(), &of.device()).cast(DType::F64).detach();
        Param::initialized(param.id, drawn.require_grad())
    }
}

/// A copy of a module whose parameters are their gradients.
struct ToGradients<'a>(&'a Gradients);

impl ModuleMapper for ToGradients<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = param.val().grad(self.0).unwrap().cast(DType::F32);
        Param::initialized(param.id, gradient)
    }
}

/// What goes in, and the gradients of what comes out.
struct Data {
    batch: usize,
    steps: usize,
    inputs: usize,
    units: usize,
    directions: usize,
    x: Vec<f32>,
    states: Vec<Vec<f32>>,
    dy: Vec<f32>,
    dstates: Vec<Vec<f32>>,
}

impl Data {
    fn new(layer: [usize; 2], directions: usize, states: usize, [batch, steps]: [usize; 2]) -> Self {
        let mut rng = Rng::new((batch * 100 + steps) as u64);
        let [inputs, units] = layer;
        let mut rows = |count: usize| -> Vec<Vec<f32>> {
            (0..count).map(|_| uniform(directions * batch * units, &mut rng)).collect()
        };
        let (states, dstates) = (rows(states), rows(states));
        let x = uniform(batch * steps * inputs, &mut rng);
        let dy = uniform(batch * steps * directions * units, &mut rng);
        Data { batch, steps, inputs, units, directions, x, states, dy, dstates }
    }
}

/// y, final states, and gradients of x, of initial states and of parameters.
#[derive(Debug, Clone)]
struct Results(Vec<(&'static str, Vec<f64>)>);

fn f64s<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn run<L: Layer>(
    layer: &L,
    data: &Data,
    lengths: Option<&[usize]>,
    dtype: DType,
    device: &Device,
    in_order: impl Fn(&Gradients) -> Vec<f32>,
) -> Results {
    let Data { batch, steps, inputs, .. } = *data;
    let state_shape = [data.directions, batch, data.units];
    let leaf = |values: &[f32], shape| tensor(values, shape, device).cast(dtype).detach().require_grad();
    let x = leaf(&data.x, [batch, steps, inputs]);
    let states: States = data.states.iter().map(|values| leaf(values, state_shape)).collect();
    let (y, finals) = layer.run_lengths(x.clone(), states.clone(), lengths);

    let weigh = |tensor: &Tensor<3>, by: &[f32]| {
        let by = crate::tensor(by, tensor.dims(), device).cast(dtype);
        (tensor.clone() * by).sum()
    };
    let mut loss = weigh(&y, &data.dy);
    for (state, by) in finals.iter().zip(&data.dstates) {
        loss = loss + weigh(state, by);
    }
    let gradients = loss.backward();
    let mut results = vec![("y", f64s(y))];
    results.extend(finals.into_iter().map(|state| ("a final state", f64s(state))));
    results.push(("dx", f64s(x.grad(&gradients).unwrap())));
    results.extend(states.iter().map(|state| ("a state's", f64s(state.grad(&gradients).unwrap()))));
    results.push(("parameters'", in_order(&gradients).into_iter().map(f64::from).collect()));
    Results(results)
}

/// Whether results are those of the judge, up to some units in the last place of the largest, and at least
/// of one: small ones are differences of values of that size.
fn judge(what: &str, judge: &Results, ours: &Results) {
    assert_eq!(judge.0.len(), ours.0.len());
    for ((name, judge), (_, ours)) in judge.0.iter().zip(&ours.0) {
        assert_eq!(judge.len(), ours.len(), "{what}, {name}");
        let far = ours.iter().zip(judge).map(|(value, judge)| (value - judge).abs()).fold(0.0, f64::max);
        let largest = judge.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        assert!(far <= 2e-6 * largest.max(1.0), "{what}, {name}: {far} where the largest is {largest}");
    }
}

/// The device, which makes f64 where no type is named: burn's layers make their outputs so.
fn devices() -> [Device; 2] {
    static CONFIGURED: Once = Once::new();
    CONFIGURED.call_once(|| Device::flex().configure(FloatDType::F64).unwrap());
    let device = Device::flex().autodiff();
    [device.clone(), device.gradient_checkpointing()]
}

const SIZES: [[usize; 2]; 4] = [[1, 1], [3, 5], [7, 16], [20, 33]];
const SHAPES: [[usize; 2]; 4] = [[1, 1], [1, 7], [5, 3], [9, 12]];

/// burn's own layers and ours made of them, over a grid of shapes, with both strategies of checkpointing.
fn compare<O: Own, L: Layer>(
    what: &str,
    [directions, states]: [usize; 2],
    own: impl Fn(usize, usize, &Device) -> O,
    ours: impl Fn(&O) -> L,
) {
    for device in devices() {
        for (layer, shape) in SIZES.into_iter().zip(SHAPES) {
            // PyTorch's bounds.
            let mut drawn = Drawn { rng: Rng::new(layer[1] as u64), bound: (layer[1] as f32).sqrt().recip() };
            let own = own(layer[0], layer[1], &device).map(&mut drawn);
            let ours = ours(&own);
            let data = Data::new(layer, directions, states, shape);
            let lengths: Vec<usize> = (0..shape[0]).map(|row| (row * 5 + 1) % (shape[1] + 1)).collect();
            // (burn's own have no rows without steps.)
            let lengths: Vec<usize> = lengths.into_iter().map(|length| length.max(1)).collect();
            for lengths in [None, Some(&lengths[..])] {
                let in_order =
                    |gradients: &Gradients| own.clone().map(&mut ToGradients(gradients)).in_order();
                let expected = run(&own, &data, lengths, DType::F64, &device, in_order);
                let in_order = |gradients: &Gradients| parameter_gradients(&ours, gradients);
                let got = run(&ours, &data, lengths, DType::F32, &device, in_order);
                judge(&format!("{what} of {layer:?} over {shape:?}, {lengths:?}"), &expected, &got);
            }
        }
    }
}

fn hard() -> ActivationConfig {
    HardSigmoidConfig::new().with_alpha(0.25).into()
}

#[test]
fn lstm() {
    for bias in [true, false] {
        let own = |inputs, units, device: &Device| nn::LstmConfig::new(inputs, units, bias).init(device);
        compare("LSTM", [1, 2], own, |own| Lstm::try_from(own).unwrap());
        let own = |inputs, units, device: &Device| nn::BiLstmConfig::new(inputs, units, bias).init(device);
        compare("both directions of LSTM", [2, 2], own, |own| Lstm::try_from(own).unwrap());
    }
}

#[test]
fn lstm_with_options() {
    let config = |inputs, units| nn::LstmConfig::new(inputs, units, true);
    let own = |inputs, units, device: &Device| config(inputs, units).with_reverse(true).init(device);
    compare("reverse LSTM", [1, 2], own, |own| Lstm::try_from(own).unwrap());
    let own = |inputs, units, device: &Device| config(inputs, units).with_clip(Some(0.3)).init(device);
    compare("clipped LSTM", [1, 2], own, |own| Lstm::try_from(own).unwrap());
    let own = |inputs, units, device: &Device| {
        let config = config(inputs, units).with_gate_activation(hard());
        let config = config.with_cell_activation(ActivationConfig::Softsign);
        config.with_hidden_activation(ActivationConfig::Identity).init(device)
    };
    compare("LSTM with activations", [1, 2], own, |own| Lstm::try_from(own).unwrap());
}

#[test]
fn coupled_lstm() {
    let own = |inputs, units, device: &Device| {
        nn::LstmConfig::new(inputs, units, true).with_input_forget(true).init(device)
    };
    compare("coupled LSTM", [1, 2], own, |own| Lstm::try_from(own).unwrap());
}

#[test]
fn gru() {
    for reset_after in [true, false] {
        for bias in [true, false] {
            let own = |inputs, units, device: &Device| {
                nn::GruConfig::new(inputs, units, bias).with_reset_after(reset_after).init(device)
            };
            compare("GRU", [1, 1], own, |own| Gru::try_from(own).unwrap());
        }
        let own = |inputs, units, device: &Device| {
            nn::BiGruConfig::new(inputs, units, true).with_reset_after(reset_after).init(device)
        };
        compare("both directions of GRU", [2, 1], own, |own| Gru::try_from(own).unwrap());
    }
}

#[test]
fn rnn() {
    for activation in [ActivationConfig::Tanh, ActivationConfig::Relu, ActivationConfig::Selu] {
        let own = |inputs, units, device: &Device| {
            nn::RnnConfig::new(inputs, units, true).with_hidden_activation(activation.clone()).init(device)
        };
        compare("Elman", [1, 1], own, |own| Rnn::try_from(own).unwrap());
    }
    let own = |inputs, units, device: &Device| nn::BiRnnConfig::new(inputs, units, true).init(device);
    compare("both directions of Elman", [2, 1], own, |own| Rnn::try_from(own).unwrap());
}

/// Each activation that both have, with parameters of its own. (Gates stay between 0 and 1: with others
/// states may grow beyond f32.)
#[test]
fn activations() {
    let all: [ActivationConfig; 12] = [
        ActivationConfig::Sigmoid,
        ActivationConfig::Relu,
        LeakyReluConfig::new().with_negative_slope(0.375).into(),
        ActivationConfig::Gelu,
        ActivationConfig::Softsign,
        EluConfig::new().with_alpha(0.5).into(),
        ActivationConfig::Tanh,
        ThresholdedReluConfig::new().with_alpha(0.125).into(),
        HardSigmoidConfig::new().with_alpha(0.25).with_beta(0.375).into(),
        SoftplusConfig::new().into(),
        ActivationConfig::Selu,
        ActivationConfig::HardSwish,
    ];
    let (first, second) = all.split_at(6);
    for (cell, hidden) in first.iter().zip(second) {
        let own = |inputs, units, device: &Device| {
            let config = nn::LstmConfig::new(inputs, units, true).with_cell_activation(cell.clone());
            config.with_hidden_activation(hidden.clone()).init(device)
        };
        compare(&format!("LSTM of {cell:?}, {hidden:?}"), [1, 2], own, |own| Lstm::try_from(own).unwrap());
        let own = |inputs, units, device: &Device| {
            let config = nn::GruConfig::new(inputs, units, true).with_gate_activation(hard());
            config.with_hidden_activation(hidden.clone()).init(device)
        };
        compare(&format!("GRU of {hidden:?}"), [1, 1], own, |own| Gru::try_from(own).unwrap());
    }
}
