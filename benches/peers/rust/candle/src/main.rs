//! candle: `candle_nn::rnn::{LSTM, GRU}`. Its layers know one direction; the other reads the steps in reverse
//! order.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result as CandleResult, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN};
use serve::{Case, Prepared, Result, skip};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

enum Layer {
    Lstm(LSTM),
    Gru(GRU),
}

#[derive(Clone)]
enum State {
    Lstm(LSTMState),
    Gru(GRUState),
}

impl Layer {
    /// All steps of (B, T, I), to (B, T, H).
    fn sequence(&self, x: &Tensor) -> CandleResult<Tensor> {
        let h: Vec<Tensor> = match self {
            Layer::Lstm(layer) => layer.seq(x)?.into_iter().map(|state| state.h).collect(),
            Layer::Gru(layer) => layer.seq(x)?.into_iter().map(|state| state.h).collect(),
        };
        Tensor::stack(&h, 1)
    }

    fn zero(&self, batch: usize) -> CandleResult<State> {
        Ok(match self {
            Layer::Lstm(layer) => State::Lstm(layer.zero_state(batch)?),
            Layer::Gru(layer) => State::Gru(layer.zero_state(batch)?),
        })
    }

    /// One step of (B, I).
    fn step(&self, x: &Tensor, state: &State) -> CandleResult<(Tensor, State)> {
        match (self, state) {
            (Layer::Lstm(layer), State::Lstm(state)) => {
                let state = layer.step(x, state)?;
                Ok((state.h.clone(), State::Lstm(state)))
            }
            (Layer::Gru(layer), State::Gru(state)) => {
                let state = layer.step(x, state)?;
                Ok((state.h.clone(), State::Gru(state)))
            }
            _ => unreachable!("a state comes from its own layer"),
        }
    }
}

struct Candle {
    case: Case,
    layers: Vec<Layer>,
    /// In the canonical order.
    variables: Vec<Var>,
    /// (B, T, I).
    x: Var,
    /// (B, I) of each step.
    frames: Vec<Tensor>,
    states: Vec<State>,
}

impl Candle {
    fn forward(&self) -> CandleResult<Tensor> {
        let directions = self.case.shape.directions;
        let train = self.case.mode == "train";
        let mut x = if train { self.x.as_tensor().clone() } else { self.x.as_detached_tensor() };
        for layer in self.layers.chunks(directions) {
            let steps = x.dim(1)? as u32;
            let backward = Tensor::from_iter((0..steps).rev(), &CPU)?;
            let mut y = vec![layer[0].sequence(&x)?];
            if let Some(reverse) = layer.get(1) {
                let turned = x.index_select(&backward, 1)?.contiguous()?;
                y.push(reverse.sequence(&turned)?.index_select(&backward, 1)?);
            }
            x = Tensor::cat(&y, 2)?;
        }
        Ok(x)
    }

    fn train(&self) -> CandleResult<(Tensor, GradStore)> {
        let y = self.forward()?;
        // From a tensor that is no scalar, gradients start with ones.
        let gradients = y.backward()?;
        Ok((y, gradients))
    }

    fn step(&mut self, t: usize) -> CandleResult<Tensor> {
        let mut x = self.frames[t].clone();
        for (layer, state) in self.layers.iter().zip(&mut self.states) {
            (x, *state) = layer.step(&x, state)?;
        }
        Ok(x)
    }

    fn reset(&mut self) -> CandleResult<()> {
        let batch = self.case.shape.batch;
        self.states = self.layers.iter().map(|layer| layer.zero(batch)).collect::<CandleResult<_>>()?;
        Ok(())
    }
}

fn flat(tensor: &Tensor) -> CandleResult<Vec<f32>> {
    tensor.contiguous()?.flatten_all()?.to_vec1()
}

impl Prepared for Candle {
    fn call(&mut self) {
        let done = match self.case.mode.as_str() {
            "fwd" => self.forward().map(drop),
            "train" => self.train().map(drop),
            _ => self.step(0).map(drop),
        };
        done.expect("it ran when it was checked");
    }

    fn results(&mut self) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        match self.case.mode.as_str() {
            "fwd" => out.extend(flat(&self.forward()?.transpose(0, 1)?)?),
            "train" => {
                let (y, gradients) = self.train()?;
                out.extend(flat(&y.transpose(0, 1)?)?);
                let of = |var: &Var| gradients.get(var).ok_or("no gradient");
                out.extend(flat(&of(&self.x)?.transpose(0, 1)?)?);
                for variable in &self.variables {
                    out.extend(flat(of(variable)?)?);
                }
            }
            _ => {
                self.reset()?;
                for t in 0..self.frames.len() {
                    out.extend(flat(&self.step(t)?)?);
                }
            }
        }
        Ok(out)
    }
}

fn prepare(case: Case) -> Result<Box<dyn Prepared>> {
    let shape = case.shape.clone();
    if !["lstm", "gru"].contains(&shape.cell.as_str()) {
        return skip("candle has LSTM and GRU (reset after)");
    }
    if case.mode == "step" && shape.directions == 2 {
        return skip("a stream has no end to start from");
    }
    let (mut layers, mut variables) = (Vec::new(), Vec::new());
    for (index, cell) in case.cells.iter().enumerate() {
        let (input, rows) = (shape.layer_input(index / shape.directions), shape.gates() * shape.hidden);
        let parts = [
            ("weight_ih_l0", &cell.weight_ih, vec![rows, input]),
            ("weight_hh_l0", &cell.weight_hh, vec![rows, shape.hidden]),
            ("bias_ih_l0", &cell.bias_ih, vec![rows]),
            ("bias_hh_l0", &cell.bias_hh, vec![rows]),
        ];
        let mut named = HashMap::new();
        for (name, values, sizes) in parts {
            let variable = Var::from_vec(values.clone(), sizes, &CPU)?;
            // Plain tensors where nothing is trained, so that no graph is kept.
            let tensor = if case.mode == "train" {
                variable.as_tensor().clone()
            } else {
                variable.as_detached_tensor()
            };
            named.insert(name.to_owned(), tensor);
            variables.push(variable);
        }
        let builder = VarBuilder::from_tensors(named, DType::F32, &CPU);
        layers.push(match shape.cell.as_str() {
            "lstm" => Layer::Lstm(candle_nn::lstm(input, shape.hidden, LSTMConfig::default(), builder)?),
            _ => Layer::Gru(candle_nn::gru(input, shape.hidden, GRUConfig::default(), builder)?),
        });
    }
    let x = Tensor::from_vec(case.x.clone(), (shape.steps, shape.batch, shape.input), &CPU)?;
    let frames = (0..shape.steps)
        .map(|t| Tensor::from_slice(case.frame(t), (shape.batch, shape.input), &CPU))
        .collect::<CandleResult<_>>()?;
    let x = Var::from_tensor(&x.transpose(0, 1)?.contiguous()?)?;
    let mut made = Candle { case, layers, variables, x, frames, states: Vec::new() };
    made.reset()?;
    Ok(Box::new(made))
}

fn main() {
    serve::serve(
        "candle",
        "0.11.1",
        "candle_nn::rnn, -C target-cpu=native; no graph where nothing is trained",
        prepare,
    );
}
