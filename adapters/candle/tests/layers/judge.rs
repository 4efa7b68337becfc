//! The judge: candle's own cells in f64, one step after the other. candle's operations make layers,
//! directions, lengths, masks and resets of them, and candle's autograd the gradients. (candle has no Elman
//! cell: some of its operations are one.)

use crate::support::CPU;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN};
use fused_rnn_candle::fused_rnn::CellKind;
use fused_rnn_candle::{Config, Direction};
use std::collections::HashMap;

/// What the judge knows of a call, time-major.
pub struct Given<'a> {
    pub config: &'a Config,
    /// f64, by their names.
    pub parameters: &'a HashMap<String, Tensor>,
    /// Whether a step of a row is real, and whether the state is zero before it: `[step][row]`.
    pub real: Vec<Vec<bool>>,
    pub resets: Vec<Vec<bool>>,
    /// Factors of dropout of the output of each layer but the last, `(T, B, D * H)`.
    pub dropout: Vec<Tensor>,
}

enum Cell {
    Lstm(LSTM),
    Gru(GRU),
    Elman { w: Tensor, r: Tensor, bias: Option<Tensor>, relu: bool },
}

impl Cell {
    fn step(&self, x: &Tensor, h: &Tensor, c: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(match self {
            Cell::Lstm(cell) => {
                let LSTMState { h, c } = cell.step(x, &LSTMState::new(h.clone(), c.clone()))?;
                (h, c)
            }
            Cell::Gru(cell) => (cell.step(x, &GRUState { h: h.clone() })?.h, c.clone()),
            Cell::Elman { w, r, bias, relu } => {
                let sum = (x.matmul(&w.t()?)? + h.matmul(&r.t()?)?)?;
                let sum = bias.as_ref().map_or(Ok(sum.clone()), |bias| sum.broadcast_add(bias))?;
                (if *relu { sum.relu()? } else { sum.tanh()? }, c.clone())
            }
        })
    }
}

impl Given<'_> {
    fn cell(&self, input: usize, suffix: &str) -> Result<Cell> {
        let named = |name: &str| self.parameters.get(&format!("{name}{suffix}")).cloned();
        let hidden = self.config.hidden_size();
        let places = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
        // (candle's GRU knows the names of the first layer alone.)
        let tensors = places.iter().filter_map(|name| Some((format!("{name}_l0"), named(name)?)));
        let vb = VarBuilder::from_tensors(tensors.collect(), DType::F64, &CPU);
        let has_bias = named("bias_ih").is_some();
        Ok(match self.config.kind() {
            CellKind::Lstm => {
                let plain = LSTMConfig::default();
                let config = if has_bias { plain } else { LSTMConfig::default_no_bias() };
                Cell::Lstm(candle_nn::lstm(input, hidden, config, vb)?)
            }
            CellKind::GruResetAfter => {
                let plain = GRUConfig::default();
                let config = if has_bias { plain } else { GRUConfig::default_no_bias() };
                Cell::Gru(candle_nn::gru(input, hidden, config, vb)?)
            }
            kind => Cell::Elman {
                w: named("weight_ih").unwrap(),
                r: named("weight_hh").unwrap(),
                bias: match (named("bias_ih"), named("bias_hh")) {
                    (Some(one), Some(other)) => Some((one + other)?),
                    _ => None,
                },
                relu: kind == CellKind::ElmanRelu,
            },
        })
    }

    /// Runs time-major `x` from states `(L * D, B, H)`, and gives y, hn and cn.
    pub fn run(&self, x: &Tensor, h0: &Tensor, c0: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (config, steps) = (self.config, x.dim(0)?);
        // 1 where it is so, (B, 1).
        let flags = |flags: &[bool]| {
            let ones: Vec<f64> = flags.iter().map(|&flag| f64::from(u8::from(flag))).collect();
            Tensor::from_vec(ones, (flags.len(), 1), &CPU)
        };
        let (mut x, mut hn, mut cn) = (x.clone(), Vec::new(), Vec::new());
        for layer in 0..config.layers() {
            let mut outputs = Vec::new();
            for direction in 0..config.directions() {
                let reverse = direction == 1 || config.direction() == Direction::Reverse;
                let suffix = format!("_l{layer}{}", if direction == 1 { "_reverse" } else { "" });
                let cell = self.cell(x.dim(D::Minus1)?, &suffix)?;
                let strand = layer * config.directions() + direction;
                let (mut h, mut c) = (h0.get(strand)?, c0.get(strand)?);
                let mut y = vec![None; steps];
                for n in 0..steps {
                    let t = if reverse { steps - 1 - n } else { n };
                    let (real, kept) = (flags(&self.real[t])?, flags(&self.resets[t])?.affine(-1.0, 1.0)?);
                    if !reverse {
                        (h, c) = (h.broadcast_mul(&kept)?, c.broadcast_mul(&kept)?);
                    }
                    let (new_h, new_c) = cell.step(&x.get(t)?, &h, &c)?;
                    h = (&h + (new_h - &h)?.broadcast_mul(&real)?)?;
                    c = (&c + (new_c - &c)?.broadcast_mul(&real)?)?;
                    y[t] = Some(h.broadcast_mul(&real)?);
                    if reverse {
                        (h, c) = (h.broadcast_mul(&kept)?, c.broadcast_mul(&kept)?);
                    }
                }
                let y: Vec<Tensor> = y.into_iter().flatten().collect();
                outputs.push(Tensor::stack(&y, 0)?);
                hn.push(h);
                cn.push(c);
            }
            x = Tensor::cat(&outputs, 2)?;
            if let Some(factors) = self.dropout.get(layer) {
                x = (x * factors)?;
            }
        }
        Ok((x, Tensor::stack(&hn, 0)?, Tensor::stack(&cn, 0)?))
    }
}
