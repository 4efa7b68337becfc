//! burn: `burn::nn::{Lstm, BiLstm, Gru, BiGru}` on its CPU backend, flex; gradients by its autodiff.

use burn::module::Param;
use burn::nn::gru::{BiGru, BiGruConfig, Gru, GruConfig};
use burn::nn::{BiLstm, BiLstmConfig, GateController, Lstm, LstmConfig, LstmState};
use burn::tensor::{Device, Tensor, TensorData};
use serve::{Case, Cell, Prepared, Result, Shape, skip};

enum Layer {
    Lstm(Lstm),
    BiLstm(BiLstm),
    Gru(Gru),
    BiGru(BiGru),
}

enum State {
    Lstm(LstmState<2>),
    Gru(Tensor<2>),
}

/// Our gate of each of burn's, which stand in this order below: input, forget, cell, output and reset,
/// update, new.
fn lstm_gates(lstm: &Lstm) -> Vec<&GateController> {
    vec![
        &lstm.input_gate,
        lstm.forget_gate.as_ref().expect("not coupled"),
        &lstm.cell_gate,
        &lstm.output_gate,
    ]
}

fn gru_gates(gru: &Gru) -> Vec<&GateController> {
    vec![&gru.reset_gate, &gru.update_gate, &gru.new_gate]
}

/// Rows `gate * H ..` of weights (G * H, width) as burn has them, (width, H).
fn turned(values: &[f32], gate: usize, hidden: usize, width: usize) -> Vec<f32> {
    let rows = &values[gate * hidden * width..][..hidden * width];
    (0..width * hidden).map(|k| rows[k % hidden * width + k / hidden]).collect()
}

fn load(controller: &mut GateController, cell: &Cell, gate: usize, hidden: usize, device: &Device) {
    let input = cell.weight_ih.len() / cell.bias_ih.len();
    let parts = [
        (&mut controller.input_transform, &cell.weight_ih, &cell.bias_ih, input),
        (&mut controller.hidden_transform, &cell.weight_hh, &cell.bias_hh, hidden),
    ];
    for (linear, weight, bias, width) in parts {
        let weight = TensorData::new(turned(weight, gate, hidden, width), [width, hidden]);
        let bias = TensorData::new(bias[gate * hidden..][..hidden].to_vec(), [hidden]);
        linear.weight = Param::from_data(weight, device);
        linear.bias = Some(Param::from_data(bias, device));
    }
}

fn load_lstm(lstm: &mut Lstm, cell: &Cell, hidden: usize, device: &Device) {
    load(&mut lstm.input_gate, cell, 0, hidden, device);
    load(lstm.forget_gate.as_mut().expect("not coupled"), cell, 1, hidden, device);
    load(&mut lstm.cell_gate, cell, 2, hidden, device);
    load(&mut lstm.output_gate, cell, 3, hidden, device);
}

fn load_gru(gru: &mut Gru, cell: &Cell, hidden: usize, device: &Device) {
    load(&mut gru.reset_gate, cell, 0, hidden, device);
    load(&mut gru.update_gate, cell, 1, hidden, device);
    load(&mut gru.new_gate, cell, 2, hidden, device);
}

impl Layer {
    fn new(shape: &Shape, layer: usize, cells: &[Cell], device: &Device) -> Layer {
        let (input, hidden) = (shape.layer_input(layer), shape.hidden);
        let after = shape.cell == "gru";
        match (shape.cell.as_str(), cells) {
            ("lstm", [one]) => {
                let mut lstm = LstmConfig::new(input, hidden, true).init(device);
                load_lstm(&mut lstm, one, hidden, device);
                Layer::Lstm(lstm)
            }
            ("lstm", _) => {
                let mut both = BiLstmConfig::new(input, hidden, true).init(device);
                load_lstm(&mut both.forward, &cells[0], hidden, device);
                load_lstm(&mut both.reverse, &cells[1], hidden, device);
                Layer::BiLstm(both)
            }
            (_, [one]) => {
                let mut gru = GruConfig::new(input, hidden, true).with_reset_after(after).init(device);
                load_gru(&mut gru, one, hidden, device);
                Layer::Gru(gru)
            }
            _ => {
                let mut both = BiGruConfig::new(input, hidden, true).with_reset_after(after).init(device);
                load_gru(&mut both.forward, &cells[0], hidden, device);
                load_gru(&mut both.reverse, &cells[1], hidden, device);
                Layer::BiGru(both)
            }
        }
    }

    /// (B, T, I) to (B, T, D * H).
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Layer::Lstm(layer) => layer.forward(x, None).0,
            Layer::BiLstm(layer) => layer.forward(x, None).0,
            Layer::Gru(layer) => layer.forward(x, None),
            Layer::BiGru(layer) => layer.forward(x, None).0,
        }
    }

    /// One step of (B, 1, I).
    fn step(&self, x: Tensor<3>, state: &mut Option<State>) -> Tensor<3> {
        match (self, state.take()) {
            (Layer::Lstm(layer), before) => {
                let before = before.map(|state| match state {
                    State::Lstm(state) => state,
                    State::Gru(_) => unreachable!("a state comes from its own layer"),
                });
                let (y, after) = layer.forward(x, before);
                *state = Some(State::Lstm(after));
                y
            }
            (Layer::Gru(layer), before) => {
                let before = before.map(|state| match state {
                    State::Gru(state) => state,
                    State::Lstm(_) => unreachable!("a state comes from its own layer"),
                });
                let y = layer.forward(x, before);
                *state = Some(State::Gru(y.clone().squeeze_dim(1)));
                y
            }
            _ => unreachable!("steps of one direction"),
        }
    }

    /// The gates of each direction.
    fn gates(&self) -> Vec<Vec<&GateController>> {
        match self {
            Layer::Lstm(layer) => vec![lstm_gates(layer)],
            Layer::BiLstm(layer) => vec![lstm_gates(&layer.forward), lstm_gates(&layer.reverse)],
            Layer::Gru(layer) => vec![gru_gates(layer)],
            Layer::BiGru(layer) => vec![gru_gates(&layer.forward), gru_gates(&layer.reverse)],
        }
    }
}

struct Burn {
    case: Case,
    layers: Vec<Layer>,
    /// (B, T, I).
    x: Tensor<3>,
    /// (B, 1, I) of each step.
    frames: Vec<Tensor<3>>,
    states: Vec<Option<State>>,
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().into_vec::<f32>().map_err(|error| serve::Failure::Error(format!("{error:?}")))
}

impl Burn {
    fn forward(&self) -> Tensor<3> {
        self.layers.iter().fold(self.x.clone(), |x, layer| layer.forward(x))
    }

    fn step(&mut self, t: usize) -> Tensor<3> {
        let mut x = self.frames[t].clone();
        for (layer, state) in self.layers.iter().zip(&mut self.states) {
            x = layer.step(x, state);
        }
        x
    }
}

impl Prepared for Burn {
    fn call(&mut self) {
        match self.case.mode.as_str() {
            // Reading the data waits for the work where it is put off.
            "fwd" => drop(self.forward().into_data()),
            "train" => drop(self.forward().sum().backward()),
            _ => drop(self.step(0).into_data()),
        }
    }

    fn results(&mut self) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        match self.case.mode.as_str() {
            "fwd" => out.extend(flat(self.forward().swap_dims(0, 1))?),
            "train" => {
                let y = self.forward();
                let gradients = y.clone().sum().backward();
                out.extend(flat(y.inner().swap_dims(0, 1))?);
                out.extend(flat(self.x.grad(&gradients).ok_or("no gradient of x")?.swap_dims(0, 1))?);
                for controllers in self.layers.iter().flat_map(Layer::gates) {
                    let (mut weights, mut biases) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
                    for controller in controllers {
                        for (k, linear) in
                            [&controller.input_transform, &controller.hidden_transform].iter().enumerate()
                        {
                            let weight =
                                linear.weight.val().grad(&gradients).ok_or("no gradient of a weight")?;
                            weights[k].extend(flat(weight.swap_dims(0, 1))?);
                            let bias = linear.bias.as_ref().ok_or("no bias")?.val();
                            biases[k].extend(flat(bias.grad(&gradients).ok_or("no gradient of a bias")?)?);
                        }
                    }
                    out.extend(weights.concat());
                    out.extend(biases.concat());
                }
            }
            _ => {
                self.states.fill_with(|| None);
                for t in 0..self.frames.len() {
                    let y = self.step(t);
                    out.extend(flat(y)?);
                }
            }
        }
        Ok(out)
    }
}

fn prepare(case: Case) -> Result<Box<dyn Prepared>> {
    let shape = case.shape.clone();
    if shape.cell.starts_with("rnn") {
        return skip("Elman layers are not compared with burn");
    }
    if case.mode == "step" && shape.directions == 2 {
        return skip("a stream has no end to start from");
    }
    let device = if case.mode == "train" { Device::flex().autodiff() } else { Device::flex() };
    let layers: Vec<Layer> = (0..shape.layers)
        .map(|layer| {
            Layer::new(&shape, layer, &case.cells[layer * shape.directions..][..shape.directions], &device)
        })
        .collect();
    let sizes = [shape.steps, shape.batch, shape.input];
    let x = Tensor::<3>::from_data(TensorData::new(case.x.clone(), sizes), &device).swap_dims(0, 1);
    let x = Tensor::<3>::from_data(x.into_data(), &device);
    let x = if case.mode == "train" { x.require_grad() } else { x };
    let frame = |t| TensorData::new(case.frame(t).to_vec(), [shape.batch, 1, shape.input]);
    let frames = (0..shape.steps).map(|t| Tensor::from_data(frame(t), &device)).collect();
    let states = layers.iter().map(|_| None).collect();
    Ok(Box::new(Burn { case, layers, x, frames, states }))
}

fn main() {
    let settings = "flex backend, -C target-cpu=native; layers of burn::nn, autodiff";
    serve::serve("burn", "0.22.1", settings, prepare);
}
