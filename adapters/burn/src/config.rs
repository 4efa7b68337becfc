//! The configurations of the layers, which burn can save as JSON, and what they are for the kernels.

use crate::{Error, activation};
use burn::config::Config;
use burn::nn::activation::ActivationConfig;
use fused_rnn::{Bias, Builder, CellKind, Keep, Layout, Threads};

/// The direction of time in which layers run.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the beginning of each row to its end.
    Forward,
    /// From the end to the beginning. Outputs stay in the order of time, and the final state is that at the
    /// beginning.
    Reverse,
    /// Both, each with its own parameters. Outputs lie side by side, forward first.
    Both,
}

/// The rule by which parameters begin. The random numbers come from the device: [`Device::seed`] makes them
/// the same in each run.
///
/// [`Device::seed`]: burn::tensor::Device::seed
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Init {
    /// All parameters uniform in `+-1 / sqrt(d_hidden)`.
    PyTorch,
    /// Input weights uniform by Glorot's rule, recurrent weights orthogonal, biases zero but for a forget
    /// bias of one.
    Keras,
}

/// How weights are stored and multiplied: see [`fused_rnn::Precision`]. Tensors are `f32` in any case.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Precision {
    /// All in f32.
    F32,
    /// Weights rounded to bf16.
    Bf16Weights,
    /// Products of bf16, with sums in f32.
    Bf16,
    /// Products of integers of eight bits. Such a layer does not train: it is for a device without autodiff.
    Int8,
}

impl Precision {
    /// That of the kernels.
    fn for_kernels(self) -> fused_rnn::Precision {
        match self {
            Precision::F32 => fused_rnn::Precision::F32,
            Precision::Bf16Weights => fused_rnn::Precision::Bf16Weights,
            Precision::Bf16 => fused_rnn::Precision::Bf16,
            Precision::Int8 => fused_rnn::Precision::Int8,
        }
    }

    /// That of burn's configuration.
    fn of_kernels(precision: fused_rnn::Precision) -> Result<Self, Error> {
        Ok(match precision {
            fused_rnn::Precision::F32 => Precision::F32,
            fused_rnn::Precision::Bf16Weights => Precision::Bf16Weights,
            fused_rnn::Precision::Bf16 => Precision::Bf16,
            fused_rnn::Precision::Int8 => Precision::Int8,
            other => return Err(Error::Unsupported { what: format!("the precision {other:?}") }),
        })
    }
}

/// A configuration: the fields of all layers, and some of its own. (Those that are `None` say so: the derived
/// code does not see that a type from a macro is an option.)
macro_rules! config {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Config, Debug)]
        pub struct $name {
            /// Features of the input, I.
            pub d_input: usize,
            /// Hidden units of each direction, H.
            pub d_hidden: usize,
            /// Layers, one on top of the other.
            #[config(default = "1")]
            pub layers: usize,
            /// The direction of time.
            #[config(default = "Direction::Forward")]
            pub direction: Direction,
            /// Whether there are biases, `bias_ih` and `bias_hh`.
            #[config(default = "true")]
            pub bias: bool,
            /// Whether inputs and outputs are `(B, T, features)`, and not `(T, B, features)`.
            #[config(default = "true")]
            pub batch_first: bool,
            /// The probability with which training drops a value between two layers.
            #[config(default = "0.0")]
            pub dropout: f64,
            /// The probability with which training drops a hidden unit on its way into the recurrent product,
            /// for all steps of a row.
            #[config(default = "0.0")]
            pub recurrent_dropout: f64,
            /// The probability with which training drops an input of a layer, for all steps of a row.
            #[config(default = "0.0")]
            pub input_dropout: f64,
            /// The probability with which training lets a hidden unit keep its old value at a step. Elsewhere
            /// the unit takes that share of its old value.
            #[config(default = "0.0")]
            pub zoneout: f64,
            /// How weights are stored and multiplied.
            #[config(default = "Precision::F32")]
            pub precision: Precision,
            /// How parameters begin.
            #[config(default = "Init::PyTorch")]
            pub init: Init,
            /// The steps between two states that training keeps; it runs those between again on the way back,
            /// with the same gradients. `None` keeps everything.
            #[config(default = "None")]
            pub checkpoint_every: Option<usize>,
            /// Threads of a call; `None` means those of rayon's pool that the call is in, where they are
            /// worth it.
            #[config(default = "None")]
            pub threads: Option<usize>,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// What all layers have, for the kernels.
            fn start(&self, kind: CellKind) -> Builder {
                let layout = if self.batch_first { Layout::BatchFirst } else { Layout::TimeMajor };
                Builder::new(kind, self.d_input, self.d_hidden)
                    .layers(self.layers)
                    .direction(match self.direction {
                        Direction::Forward => fused_rnn::Direction::Forward,
                        Direction::Reverse => fused_rnn::Direction::Reverse,
                        Direction::Both => fused_rnn::Direction::Both,
                    })
                    .bias(if self.bias { Bias::Double } else { Bias::None })
                    .layout(layout)
                    .threads(self.threads.map_or(Threads::Auto, Threads::Count))
                    .dropout(self.dropout as f32)
                    .recurrent_dropout(self.recurrent_dropout as f32)
                    .input_dropout(self.input_dropout as f32)
                    .zoneout(self.zoneout as f32, 0.0)
                    .precision(self.precision.for_kernels())
            }

            /// What calls of such a layer do.
            pub(crate) fn habits(&self) -> Habits {
                Habits {
                    keep: self.checkpoint_every.map_or(Keep::All, Keep::Every),
                    threads: self.threads,
                    init: self.init,
                }
            }

            /// The fields of all layers, of a network.
            fn of_network(config: &fused_rnn::Config) -> Result<Self, Error> {
                let unsupported = |what: &str| Err(Error::Unsupported { what: what.to_owned() });
                if config.bias() == Bias::Single {
                    return unsupported("a single bias vector");
                }
                if config.clip().is_some() {
                    return unsupported("a clip of pre-activations");
                }
                if config.directions() == 2 && config.activations(false) != config.activations(true) {
                    return unsupported("other activations in the reverse direction");
                }
                let threads = match config.threads() {
                    Threads::Count(count) => Some(count),
                    _ => None,
                };
                let sizes = $name::new(config.input_size(), config.hidden_size());
                Ok($name { threads, ..sizes }
                    .with_layers(config.layers())
                    .with_direction(match config.direction() {
                        fused_rnn::Direction::Forward => Direction::Forward,
                        fused_rnn::Direction::Reverse => Direction::Reverse,
                        _ => Direction::Both,
                    })
                    .with_bias(config.bias() != Bias::None)
                    .with_batch_first(config.layout() == Layout::BatchFirst)
                    .with_dropout(config.dropout().into())
                    .with_recurrent_dropout(config.recurrent_dropout().into())
                    .with_input_dropout(config.input_dropout().into())
                    .with_zoneout(config.zoneout()[0].into())
                    .with_precision(Precision::of_kernels(config.precision())?))
            }
        }
    };
}

/// What calls of a layer do, whatever it computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) keep: Keep,
    pub(crate) threads: Option<usize>,
    pub(crate) init: Init,
}

config! {
    /// The configuration of an [`Lstm`](crate::Lstm).
    ///
    /// ```
    /// use fused_rnn_burn::{Direction, LstmConfig};
    ///
    /// // Two layers of 64 units in both directions over 8 features.
    /// let config = LstmConfig::new(8, 64).with_layers(2).with_direction(Direction::Both).with_dropout(0.2);
    /// assert!(config.bias && config.batch_first);
    /// ```
    LstmConfig {
        /// The width of the hidden state where it is a projection, P (PyTorch's `proj_size`).
        #[config(default = "None")]
        projection: Option<usize>,
        /// Whether there are peepholes, a tensor `peephole_l0` of each layer.
        #[config(default = "false")]
        peephole: bool,
        /// Whether the forget gate is `1 - i`. `weight_ih` and `weight_hh` have the rows of all four gates
        /// nevertheless.
        #[config(default = "false")]
        input_forget: bool,
        /// The probability with which training lets a unit of the cell state keep its old value at a step, as
        /// `zoneout` does for the hidden state.
        #[config(default = "0.0")]
        cell_zoneout: f64,
        /// The bound of the cell state.
        #[config(default = "None")]
        clip: Option<f64>,
        /// The epsilon of layer normalisation; `None` means without.
        #[config(default = "None")]
        layer_norm: Option<f64>,
        /// The activation of the input, forget and output gates.
        #[config(default = "ActivationConfig::Sigmoid")]
        gate_activation: ActivationConfig,
        /// The activation of the candidate.
        #[config(default = "ActivationConfig::Tanh")]
        cell_activation: ActivationConfig,
        /// The activation of the cell state on its way to the output.
        #[config(default = "ActivationConfig::Tanh")]
        hidden_activation: ActivationConfig,
    }
}

config! {
    /// The configuration of a [`Gru`](crate::Gru).
    ///
    /// ```
    /// use fused_rnn_burn::GruConfig;
    ///
    /// let config = GruConfig::new(8, 64).with_layers(2);
    /// assert!(config.reset_after);
    /// ```
    GruConfig {
        /// Whether the reset gate acts after the recurrent product, as in PyTorch, or before it.
        #[config(default = "true")]
        reset_after: bool,
        /// The epsilon of layer normalisation; `None` means without. With it the reset gate acts after the
        /// product.
        #[config(default = "None")]
        layer_norm: Option<f64>,
        /// The activation of the reset and update gates.
        #[config(default = "ActivationConfig::Sigmoid")]
        gate_activation: ActivationConfig,
        /// The activation of the candidate.
        #[config(default = "ActivationConfig::Tanh")]
        hidden_activation: ActivationConfig,
    }
}

config! {
    /// The configuration of an [`Rnn`](crate::Rnn).
    ///
    /// ```
    /// use burn::nn::activation::ActivationConfig;
    /// use fused_rnn_burn::RnnConfig;
    ///
    /// let config = RnnConfig::new(8, 64).with_hidden_activation(ActivationConfig::Relu);
    /// assert_eq!(config.layers, 1);
    /// ```
    RnnConfig {
        /// The activation of the hidden state.
        #[config(default = "ActivationConfig::Tanh")]
        hidden_activation: ActivationConfig,
    }
}

impl LstmConfig {
    /// What builds it for the kernels.
    pub(crate) fn builder(&self) -> Result<Builder, Error> {
        let activations = [&self.gate_activation, &self.cell_activation, &self.hidden_activation];
        let mut builder = self
            .start(CellKind::Lstm)
            .peephole(self.peephole)
            .coupled(self.input_forget)
            .zoneout(self.zoneout as f32, self.cell_zoneout as f32);
        if let Some(size) = self.projection {
            builder = builder.projection(size);
        }
        if let Some(clip) = self.clip {
            builder = builder.cell_clip(clip as f32);
        }
        if let Some(epsilon) = self.layer_norm {
            builder = builder.layer_norm(epsilon as f32);
        }
        with_activations(builder, &activations)
    }

    /// That of a network.
    pub(crate) fn of(config: &fused_rnn::Config) -> Result<Self, Error> {
        let [gate, cell, hidden] = activations(config)?;
        Ok(LstmConfig {
            projection: config.projection(),
            clip: config.cell_clip().map(f64::from),
            layer_norm: config.layer_norm().map(f64::from),
            ..LstmConfig::of_network(config)?
                .with_peephole(config.peephole())
                .with_input_forget(config.coupled())
                .with_cell_zoneout(config.zoneout()[1].into())
                .with_gate_activation(gate)
                .with_cell_activation(cell)
                .with_hidden_activation(hidden)
        })
    }
}

impl GruConfig {
    /// What builds it for the kernels.
    pub(crate) fn builder(&self) -> Result<Builder, Error> {
        let kind = if self.reset_after { CellKind::GruResetAfter } else { CellKind::GruResetBefore };
        let mut builder = self.start(kind);
        if let Some(epsilon) = self.layer_norm {
            builder = builder.layer_norm(epsilon as f32);
        }
        with_activations(builder, &[&self.gate_activation, &self.hidden_activation])
    }

    /// That of a network.
    pub(crate) fn of(config: &fused_rnn::Config) -> Result<Self, Error> {
        let [gate, hidden] = activations(config)?;
        Ok(GruConfig {
            layer_norm: config.layer_norm().map(f64::from),
            ..GruConfig::of_network(config)?
                .with_reset_after(config.kind() == CellKind::GruResetAfter)
                .with_gate_activation(gate)
                .with_hidden_activation(hidden)
        })
    }
}

impl RnnConfig {
    /// What builds it for the kernels.
    pub(crate) fn builder(&self) -> Result<Builder, Error> {
        match self.hidden_activation {
            ActivationConfig::Relu => Ok(self.start(CellKind::ElmanRelu)),
            _ => with_activations(self.start(CellKind::ElmanTanh), &[&self.hidden_activation]),
        }
    }

    /// That of a network.
    pub(crate) fn of(config: &fused_rnn::Config) -> Result<Self, Error> {
        let [hidden] = activations(config)?;
        Ok(RnnConfig::of_network(config)?.with_hidden_activation(hidden))
    }
}

fn with_activations(builder: Builder, configs: &[&ActivationConfig]) -> Result<Builder, Error> {
    let activations = configs.iter().map(|config| activation::of_config(config));
    Ok(builder.activations(&activations.collect::<Result<Vec<_>, _>>()?))
}

/// The activations of a network's cell.
fn activations<const N: usize>(config: &fused_rnn::Config) -> Result<[ActivationConfig; N], Error> {
    let reverse = config.direction() == fused_rnn::Direction::Reverse;
    let configs = config.activations(reverse).iter().map(|&activation| activation::to_config(activation));
    let configs = configs.collect::<Result<Vec<_>, _>>()?;
    let got = configs.len();
    configs.try_into().map_err(|_| {
        Error::Layer(fused_rnn::Error::Mismatch { what: "activations of the cell", expected: N, got })
    })
}
