//! Layers of Keras 3: `LSTM`, `GRU`, `SimpleRNN`, alone and in `Bidirectional`, run as Keras runs them.
//!
//! The arrays of a Keras layer do not say which layer it is: its options come with them, as strings by Keras's
//! names. `examples/export_keras.py` writes both into one safetensors file for each recurrent layer of a model,
//! tensors `NAME/kernel` and metadata `NAME/layer` (`Layer::from_safetensors` reads it).
//!
//! | option | values, the default first |
//! |---|---|
//! | `layer`, `units` | `LSTM`, `GRU`, `SimpleRNN`; a number; both required |
//! | `reset_after` | `true`, `false`; only GRU |
//! | `use_bias`, `go_backwards` | `true`, `false`; `false`, `true` |
//! | `activation` | `tanh`, or one of `relu sigmoid hard_sigmoid linear softsign softplus elu leaky_relu` |
//! | `recurrent_activation` | `sigmoid`, or one of the others; only LSTM and GRU |
//! | `merge_mode` | `concat`, `sum`, `mul`, `ave`: the layer is in `Bidirectional` |
//!
//! Tensors: `kernel`, `recurrent_kernel`, `bias`, in `Bidirectional` each after `forward.` and `backward.`.

use super::{Arrays, Convention, Tensor, Tensors, refused};
use crate::activation::Activation;
use crate::cell::CellKind;
use crate::error::{Error, zeros};
use crate::layer::{Bias, Builder, Dims, Direction, Init, Recurrent, Workspace};
use std::collections::BTreeMap;

/// How `Bidirectional` makes one output of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Side by side.
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
}

/// A recurrent layer of a Keras model.
#[derive(Debug, Clone)]
pub struct Layer {
    network: Recurrent,
    merge: Option<Merge>,
}

/// What a run makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// With `return_sequences=True`: (B, T, H), or (B, T, 2 H) where two directions are concatenated.
    pub y: Tensor,
    /// With `return_sequences=False`: (B, H) or (B, 2 H).
    pub last: Tensor,
    /// The final hidden states, (D, B, H).
    pub h: Tensor,
    /// The final cell states of an LSTM, (D, B, H).
    pub c: Option<Tensor>,
}

impl Layer {
    /// A layer from its arrays and its options.
    ///
    /// ```
    /// use fused_rnn::format::{Tensor, Tensors, keras};
    ///
    /// let mut arrays = Tensors::new();
    /// arrays.insert("kernel", Tensor::new(&[1, 3], vec![0.1, 0.2, 0.3])?);
    /// arrays.insert("recurrent_kernel", Tensor::new(&[1, 3], vec![0.4, 0.5, 0.6])?);
    /// arrays.insert("bias", Tensor::new(&[2, 3], vec![0.0; 6])?);
    /// let options = [("layer", "GRU"), ("units", "1")];
    /// let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    /// let gru = keras::Layer::new(arrays, &options)?;
    /// let x = Tensor::new(&[2, 5, 1], vec![0.5; 10])?;
    /// assert_eq!(gru.run(&x, None, None)?.last.shape(), [2, 1]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where an option is unknown or missing, or an array is missing, left over or of another
    /// shape: each by name; and the errors of [`Builder::build`].
    pub fn new(mut arrays: Tensors, options: &BTreeMap<String, String>) -> Result<Layer, Error> {
        let mut options = Options { left: options.clone() };
        let class = options.take("layer").unwrap_or_default();
        let hidden = options.take("units").unwrap_or_default();
        let hidden: usize = hidden.parse().map_err(|_| refused("option units", "a number", hidden))?;
        let merge = match options.take("merge_mode").as_deref() {
            None => None,
            Some("concat") => Some(Merge::Concat),
            Some("sum") => Some(Merge::Sum),
            Some("mul") => Some(Merge::Mul),
            Some("ave") => Some(Merge::Ave),
            Some(other) => return Err(refused("option merge_mode", "concat, sum, mul or ave", other)),
        };
        let go_backwards = options.flag("go_backwards", false)?;
        if go_backwards && merge.is_some() {
            return Err(refused("option go_backwards", "false in Bidirectional", "true"));
        }
        let bias = options.flag("use_bias", true)?;
        let activation = options.activation("activation", Activation::Tanh)?;
        let (kind, activations) = match class.as_str() {
            "LSTM" => {
                let gates = options.activation("recurrent_activation", Activation::Sigmoid)?;
                (CellKind::Lstm, vec![gates, activation, activation])
            }
            "GRU" => {
                let after = options.flag("reset_after", true)?;
                let gates = options.activation("recurrent_activation", Activation::Sigmoid)?;
                let kind = if after { CellKind::GruResetAfter } else { CellKind::GruResetBefore };
                (kind, vec![gates, activation])
            }
            "SimpleRNN" if activation == Activation::Relu => (CellKind::ElmanRelu, vec![activation]),
            "SimpleRNN" => (CellKind::ElmanTanh, vec![activation]),
            _ => return Err(refused("option layer", "LSTM, GRU or SimpleRNN", class)),
        };
        options.finish()?;

        let prefixes: &[&str] = if merge.is_some() { &["forward.", "backward."] } else { &[""] };
        let first = format!("{}kernel", prefixes[0]);
        let input = match arrays.get(&first).map(Tensor::shape) {
            Some(&[input, _]) => input,
            other => return Err(refused(first, "a matrix", other.map_or("none", |_| "another array"))),
        };
        let direction = match (merge, go_backwards) {
            (Some(_), _) => Direction::Both,
            (None, true) => Direction::Reverse,
            (None, false) => Direction::Forward,
        };
        let rows = kind.gates().saturating_mul(hidden);
        let both = [2, rows];
        let bias_shape = if kind == CellKind::GruResetAfter { &both[..] } else { &both[1..] };
        let mut cells = Vec::new();
        for prefix in prefixes {
            cells.push(Arrays {
                input: arrays.take(&format!("{prefix}kernel"), &[input, rows])?,
                recurrent: arrays.take(&format!("{prefix}recurrent_kernel"), &[hidden, rows])?,
                bias: if bias { arrays.take(&format!("{prefix}bias"), bias_shape)? } else { Vec::new() },
                ..Arrays::default()
            });
        }
        arrays.finish()?;
        let mut builder = Builder::new(kind, input, hidden).direction(direction).init(Init::Zero, 0);
        if kind != CellKind::ElmanRelu {
            builder = builder.activations(&activations);
        }
        builder = builder.bias(match (bias, kind) {
            (false, _) => Bias::None,
            (true, CellKind::GruResetAfter) => Bias::Double,
            (true, _) => Bias::Single,
        });
        let mut network = builder.build()?;
        Convention::Keras.load(&mut network, &cells)?;
        Ok(Layer { network, merge })
    }

    /// The layer `name` of a file that `examples/export_keras.py` wrote.
    ///
    /// # Errors
    /// As for [`new`](Layer::new) and [`Tensors::from_safetensors`].
    #[cfg(feature = "safetensors")]
    pub fn from_safetensors(bytes: &[u8], name: &str) -> Result<Layer, Error> {
        let prefix = format!("{name}/");
        let options = Tensors::safetensors_metadata(bytes)?.into_iter();
        let options = options.filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value)));
        Layer::new(Tensors::from_safetensors(bytes, &prefix)?, &options.collect())
    }

    /// The network: batch-first, outputs in the order of time and not merged.
    pub fn network(&self) -> &Recurrent {
        &self.network
    }

    /// How two directions become one, where there are two.
    pub fn merge(&self) -> Option<Merge> {
        self.merge
    }

    /// Runs `x` (B, T, I) from `initial` h and c, (D, B, H) each (c empty where the cell has none).
    ///
    /// As in Keras on TensorFlow: `lengths` are what a mask says that is true up to the end of each row. With
    /// `go_backwards`, `y` is in the order of processing, the last step first. At padded steps `y`
    /// repeats the output before them, zeros where there is none; merged directions are zero there. The last output of a
    /// row of length 0 is zero, its state the initial one.
    ///
    /// # Errors
    /// [`Error::Format`] where `x` has another shape, and the errors of [`Recurrent::forward`].
    pub fn run(
        &self,
        x: &Tensor,
        lengths: Option<&[usize]>,
        initial: Option<(&[f32], &[f32])>,
    ) -> Result<Output, Error> {
        let config = self.network.config();
        let (hidden, directions) = (config.hidden_size(), config.directions());
        let &[batch, steps, features] = x.shape() else {
            return Err(refused("x", "three axes (B, T, I)", format!("shape {:?}", x.shape())));
        };
        if features != config.input_size() {
            return Err(refused("x", format!("{} features", config.input_size()), features.to_string()));
        }
        let mut state = self.network.zero_state(batch)?;
        if let Some((h, c)) = initial {
            state.set_h(h)?;
            state.set_c(c)?;
        }
        let width = directions * hidden;
        let mut y = zeros("y", &[batch, steps, width])?;
        let dims = Dims::new(batch, steps);
        let dims = lengths.map_or(dims, |lengths| dims.with_lengths(lengths));
        self.network.forward(x.values(), dims, &mut state, Some(&mut y), &mut Workspace::new())?;

        let (h, c) = (state.h(), state.c());
        let mut last = zeros("y", &[batch, width])?;
        for row in 0..batch {
            let length = lengths.map_or(steps, |lengths| lengths[row]);
            if length == 0 {
                continue;
            }
            for direction in 0..directions {
                let from = &h[(direction * batch + row) * hidden..][..hidden];
                last[row * width + direction * hidden..][..hidden].copy_from_slice(from);
            }
            let y = &mut y[row * steps * width..][..steps * width];
            match config.direction() {
                Direction::Forward => {
                    let (done, padding) = y.split_at_mut(length * width);
                    padding
                        .chunks_exact_mut(width)
                        .for_each(|step| step.copy_from_slice(&done[done.len() - width..]));
                }
                Direction::Reverse => {
                    for step in 0..steps / 2 {
                        let (head, tail) = y.split_at_mut((steps - 1 - step) * width);
                        head[step * width..][..width].swap_with_slice(&mut tail[..width]);
                    }
                }
                Direction::Both => (),
            }
        }
        let (y, last) = (self.merged(y), self.merged(last));
        let merged = if matches!(self.merge, Some(Merge::Concat)) { width } else { hidden };
        let states = [directions, batch, hidden];
        Ok(Output {
            y: Tensor::new(&[batch, steps, merged], y)?,
            last: Tensor::new(&[batch, merged], last)?,
            h: Tensor::new(&states, h)?,
            c: if config.kind().has_cell_state() { Some(Tensor::new(&states, c)?) } else { None },
        })
    }

    fn merged(&self, values: Vec<f32>) -> Vec<f32> {
        let hidden = self.network.config().hidden_size();
        let merge = |with: fn(f32, f32) -> f32| {
            let pairs = values.chunks_exact(2 * hidden);
            pairs.flat_map(|pair| (0..hidden).map(|k| with(pair[k], pair[hidden + k]))).collect()
        };
        match self.merge {
            None | Some(Merge::Concat) => values,
            Some(Merge::Sum) => merge(|a, b| a + b),
            Some(Merge::Mul) => merge(|a, b| a * b),
            Some(Merge::Ave) => merge(|a, b| (a + b) / 2.0),
        }
    }
}

/// The options that have not been read.
struct Options {
    left: BTreeMap<String, String>,
}

impl Options {
    fn take(&mut self, key: &str) -> Option<String> {
        self.left.remove(key)
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool, Error> {
        match self.take(key).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(refused(format!("option {key}"), "true or false", other)),
        }
    }

    fn activation(&mut self, key: &str, default: Activation) -> Result<Activation, Error> {
        Ok(match self.take(key).as_deref() {
            None => default,
            Some("tanh") => Activation::Tanh,
            Some("sigmoid") => Activation::Sigmoid,
            Some("relu") => Activation::Relu,
            Some("hard_sigmoid") => Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
            Some("linear") => Activation::Affine { alpha: 1.0, beta: 0.0 },
            Some("softsign") => Activation::Softsign,
            Some("softplus") => Activation::Softplus,
            Some("elu") => Activation::Elu { alpha: 1.0 },
            Some("leaky_relu") => Activation::LeakyRelu { alpha: 0.2 },
            Some(other) => return Err(refused(format!("option {key}"), "an activation of the table", other)),
        })
    }

    fn finish(self) -> Result<(), Error> {
        match self.left.first_key_value() {
            None => Ok(()),
            Some((key, value)) => {
                Err(refused(format!("option {key}"), "none that is not in the table", value))
            }
        }
    }
}
