//! The options of a layer, as strings by Keras's names. Each is taken out when it is read; what is left at
//! the end is unknown, and refused.

use super::super::refused;
use super::Merge;
use crate::activation::Activation;
use crate::cell::CellKind;
use crate::error::Error;
use std::collections::BTreeMap;

/// How Keras computes, which does not change what it computes.
const IGNORED: [&str; 3] = ["unroll", "use_cudnn", "implementation"];

/// The options that have not been read.
pub(super) struct Options {
    left: BTreeMap<String, String>,
}

impl Options {
    pub(super) fn new<K: Into<String>, V: Into<String>>(
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Options {
        let mut left = BTreeMap::new();
        for (key, value) in options {
            // Of two values the last.
            left.insert(key.into(), value.into());
        }
        Options { left }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.left.remove(key)
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> Result<bool, Error> {
        match self.take(key).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(refused(format_args!("option {key}"), "true or false", other)),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<usize>, Error> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let number = text.parse().map_err(|_| refused(format_args!("option {key}"), "a number", text))?;
        Ok(Some(number))
    }

    pub(super) fn probability(&mut self, key: &str) -> Result<f32, Error> {
        let Some(text) = self.take(key) else { return Ok(0.0) };
        match text.parse() {
            Ok(number) if (0.0..1.0).contains(&number) => Ok(number),
            _ => Err(refused(format_args!("option {key}"), "a number from 0 to below 1", text)),
        }
    }

    pub(super) fn merge(&mut self) -> Result<Option<Merge>, Error> {
        Ok(match self.take("merge_mode").as_deref() {
            None => None,
            Some("concat") => Some(Merge::Concat),
            Some("sum") => Some(Merge::Sum),
            Some("mul") => Some(Merge::Mul),
            Some("ave") => Some(Merge::Ave),
            Some("None") => Some(Merge::Apart),
            Some(other) => return Err(refused("option merge_mode", "concat, sum, mul, ave or None", other)),
        })
    }

    pub(super) fn activation(&mut self, key: &str, default: Activation) -> Result<Activation, Error> {
        match self.take(key) {
            None => Ok(default),
            Some(text) => activation(&text).ok_or_else(|| {
                let expected = "an elementwise function of keras.activations, by name";
                refused(format_args!("option {key}"), expected, text)
            }),
        }
    }

    /// The cell of a class of Keras, and the activations of both directions.
    pub(super) fn cell(&mut self, class: &str) -> Result<(CellKind, [Vec<Activation>; 2]), Error> {
        let activation = self.activation("activation", Activation::Tanh)?;
        let backward = self.activation("backward_activation", activation)?;
        match class {
            "LSTM" | "GRU" => {
                let gates = self.activation("recurrent_activation", Activation::Sigmoid)?;
                let others = self.activation("backward_recurrent_activation", gates)?;
                if class == "LSTM" {
                    let lists = [vec![gates, activation, activation], vec![others, backward, backward]];
                    return Ok((CellKind::Lstm, lists));
                }
                let after = self.flag("reset_after", true)?;
                let kind = if after { CellKind::GruResetAfter } else { CellKind::GruResetBefore };
                Ok((kind, [vec![gates, activation], vec![others, backward]]))
            }
            "SimpleRNN" if activation == Activation::Relu && backward == activation => {
                Ok((CellKind::ElmanRelu, [vec![activation], vec![backward]]))
            }
            "SimpleRNN" => Ok((CellKind::ElmanTanh, [vec![activation], vec![backward]])),
            _ => Err(refused("option layer", "LSTM, GRU or SimpleRNN", class)),
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        for key in IGNORED {
            self.take(key);
        }
        if self.flag("time_major", false)? {
            return Err(refused("option time_major", "false, with x as (B, T, I)", "true"));
        }
        match self.left.first_key_value() {
            None => Ok(()),
            Some((key, value)) => {
                Err(refused(format_args!("option {key}"), "none that is not in the table", value))
            }
        }
    }
}

/// The activation of a name, with its parameters after colons.
fn activation(text: &str) -> Option<Activation> {
    let mut parts = text.split(':');
    let name = parts.next()?;
    let given = parts.map(|part| part.parse().ok().filter(|number: &f32| number.is_finite()));
    let given: Vec<f32> = given.collect::<Option<_>>()?;
    // The parameters that a function may be given, and their defaults.
    let ([alpha, beta], most) = match name {
        "leaky_relu" => ([0.2, 0.0], 1),
        "elu" => ([1.0, 0.0], 1),
        "soft_shrink" | "hard_shrink" => ([0.5, 0.0], 1),
        "hard_sigmoid" => ([1.0 / 6.0, 0.5], 2),
        _ => ([0.0; 2], 0),
    };
    if given.len() > most {
        return None;
    }
    let at = |place: usize, default: f32| given.get(place).copied().unwrap_or(default);
    let (alpha, beta) = (at(0, alpha), at(1, beta));
    Some(match name {
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { alpha },
        "relu6" => Activation::Clamp { low: 0.0, high: 6.0 },
        "elu" => Activation::Elu { alpha },
        "celu" => Activation::Elu { alpha: 1.0 },
        "selu" => Activation::Selu,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "squareplus" => Activation::SquarePlus,
        "soft_shrink" if alpha >= 0.0 => Activation::SoftShrink { lambda: alpha },
        "hard_shrink" if alpha >= 0.0 => Activation::HardShrink { lambda: alpha },
        "sparse_plus" => Activation::SparsePlus,
        "silu" | "swish" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "tanh_shrink" => Activation::TanhShrink,
        "sparse_sigmoid" => Activation::HardSigmoid { alpha: 0.5, beta: 0.5 },
        "exponential" => Activation::Exponential,
        "hard_sigmoid" => Activation::HardSigmoid { alpha, beta },
        "hard_silu" | "hard_swish" => Activation::HardSilu,
        "hard_tanh" => Activation::Clamp { low: -1.0, high: 1.0 },
        "linear" => Activation::Affine { alpha: 1.0, beta: 0.0 },
        "mish" => Activation::Mish,
        "log_sigmoid" => Activation::LogSigmoid,
        _ => return None,
    })
}
