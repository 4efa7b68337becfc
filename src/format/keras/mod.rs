//! Layers of Keras: `LSTM`, `GRU`, `SimpleRNN`, alone and in `Bidirectional`, run as Keras runs them.
//!
//! The arrays of a Keras layer do not say which layer it is: its options come with them, as strings by
//! Keras's names. `examples/export_keras.py` writes both into one safetensors file for each recurrent layer
//! of a model, tensors `NAME/kernel` and metadata `NAME/layer` (`Layer::from_safetensors` reads it). The
//! file has the weights of all other layers too, as tensors (`Tensors::from_safetensors` with the prefix
//! `NAME/`).
//!
//! | option | values, the default first |
//! |---|---|
//! | `layer` | `LSTM`, `GRU`, `SimpleRNN`; required |
//! | `units` | a number, the width of `recurrent_kernel` |
//! | `reset_after` | `true`, `false`; only GRU |
//! | `use_bias` | `true`, `false` |
//! | `activation` | `tanh`, or another activation |
//! | `recurrent_activation` | `sigmoid`, or another activation; only LSTM and GRU |
//! | `go_backwards` | `false`, `true`; not in `Bidirectional` |
//! | `zero_output_for_mask` | `false`, `true`; without effect in `Bidirectional`: see [`Layer::run`] |
//! | `return_sequences`, `return_state` | `false`, `true`: told by [`Layer`]; an [`Output`] has all |
//! | `stateful` | `false`, `true`: a run is then refused without a state to go on from |
//! | `dropout`, `recurrent_dropout` | 0, below 1: of training, with one mask for all gates |
//! | `merge_mode` | `concat`, `sum`, `mul`, `ave`, `None`: the layer is in `Bidirectional` |
//! | `backward_activation`, `backward_recurrent_activation` | of the backward layer, if they are others |
//! | `time_major` | `false`; Keras 2 has others |
//! | `unroll`, `use_cudnn`, `implementation` | anything: how Keras computes, not what |
//!
//! Activations are those of `keras.activations` that are elementwise, by name: `relu leaky_relu relu6 celu
//! elu selu softplus softsign squareplus soft_shrink sparse_plus silu swish gelu tanh tanh_shrink sigmoid
//! sparse_sigmoid exponential hard_sigmoid hard_silu hard_swish hard_tanh hard_shrink linear mish
//! log_sigmoid`. Some take parameters after colons: `leaky_relu:0.2`, `elu:1`, `soft_shrink:0.5`,
//! `hard_shrink:0.5`, and `hard_sigmoid:0.2:0.5` (slope, value at zero), which is what Keras 1 and 2 call
//! `hard_sigmoid`; that of Keras 3 has a slope of 1/6.
//!
//! Tensors: `kernel`, `recurrent_kernel`, `bias`, in `Bidirectional` each after `forward.` and `backward.`.
//!
//! ```text
//! options.rs       the options, each taken once; activations by name
//! run.rs           a run: masks, merging, what Keras puts at masked steps
//! ```

mod options;
mod run;

pub use run::{Mask, Output};

use super::{Arrays, Convention, Tensor, Tensors, refused};
use crate::cell::CellKind;
use crate::error::Error;
use crate::layer::{Bias, Builder, Direction, Init, Recurrent};
use crate::product::Precision;
use options::Options;

/// How `Bidirectional` merges its two outputs.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// The outputs of both directions side by side.
    Concat,
    /// The sum of the outputs of both directions.
    Sum,
    /// The product of the outputs of both directions.
    Mul,
    /// The mean of the outputs of both directions.
    Ave,
    /// No merge, `merge_mode=None`: there are two outputs.
    Apart,
}

/// A recurrent layer of a Keras model.
#[derive(Debug, Clone)]
pub struct Layer {
    network: Recurrent,
    merge: Option<Merge>,
    zero_output_for_mask: bool,
    return_sequences: bool,
    return_state: bool,
    stateful: bool,
}

impl Layer {
    /// A layer from its arrays and its options, of which `layer` has to be there.
    ///
    /// ```
    /// use fused_rnn::format::keras::{Layer, Mask};
    /// use fused_rnn::format::{Tensor, Tensors};
    ///
    /// let mut arrays = Tensors::new();
    /// arrays.insert("kernel", Tensor::new(&[1, 3], vec![0.1, 0.2, 0.3])?);
    /// arrays.insert("recurrent_kernel", Tensor::new(&[1, 3], vec![0.4, 0.5, 0.6])?);
    /// arrays.insert("bias", Tensor::new(&[2, 3], vec![0.0; 6])?);
    /// let gru = Layer::new(arrays, [("layer", "GRU"), ("activation", "softsign")])?;
    /// let x = Tensor::new(&[2, 5, 1], vec![0.5; 10])?;
    /// assert_eq!(gru.run(&x, Mask::None, None)?.last.shape(), [2, 1]);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where an option is unknown or missing, or an array is missing, left over or of
    /// another shape: each by name; and the errors of [`Builder::build`].
    pub fn new<K: Into<String>, V: Into<String>>(
        mut arrays: Tensors,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Layer, Error> {
        let mut options = Options::new(options);
        let class = options.take("layer").unwrap_or_else(|| "none".to_owned());
        let units = options.number("units")?;
        let merge = options.merge()?;
        let go_backwards = options.flag("go_backwards", false)?;
        if go_backwards && merge.is_some() {
            return Err(refused("option go_backwards", "false in Bidirectional", "true"));
        }
        let bias = options.flag("use_bias", true)?;
        let (kind, activations) = options.cell(&class)?;
        if activations[0] != activations[1] && merge.is_none() {
            return Err(refused("option backward_activation", "none but in Bidirectional", "some"));
        }
        let zero_output_for_mask = options.flag("zero_output_for_mask", false)?;
        let return_sequences = options.flag("return_sequences", false)?;
        let return_state = options.flag("return_state", false)?;
        let stateful = options.flag("stateful", false)?;
        let input_dropout = options.probability("dropout")?;
        let recurrent_dropout = options.probability("recurrent_dropout")?;
        options.finish()?;

        let prefixes: &[&str] = if merge.is_some() { &["forward.", "backward."] } else { &[""] };
        let [input, hidden] = sizes(&arrays, prefixes[0], units)?;
        let cells = prefixes.iter().map(|prefix| take(&mut arrays, prefix, kind, bias, [input, hidden]));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        arrays.finish()?;

        let direction = match (merge, go_backwards) {
            (Some(_), _) => Direction::Both,
            (None, true) => Direction::Reverse,
            (None, false) => Direction::Forward,
        };
        let mut builder = Builder::new(kind, input, hidden).direction(direction).init(Init::Zero, 0);
        if kind != CellKind::ElmanRelu {
            builder = builder.activations(&activations[0]);
            if activations[0] != activations[1] {
                builder = builder.activations_reverse(&activations[1]);
            }
        }
        builder = builder.bias(match (bias, kind) {
            (false, _) => Bias::None,
            (true, CellKind::GruResetAfter) => Bias::Double,
            (true, _) => Bias::Single,
        });
        let mut network =
            builder.input_dropout(input_dropout).recurrent_dropout(recurrent_dropout).build()?;
        Convention::Keras.load(&mut network, &cells)?;
        Ok(Layer { network, merge, zero_output_for_mask, return_sequences, return_state, stateful })
    }

    /// The layer `name` of a file that `examples/export_keras.py` wrote; [`names`] lists them. Needs the
    /// feature `safetensors`.
    ///
    /// # Errors
    /// As for [`new`](Layer::new) and [`Tensors::from_safetensors`]; [`Error::Format`] where the file has no
    /// recurrent layer of this name, with those that it has, or with the reason where the script wrote one.
    #[cfg(feature = "safetensors")]
    pub fn from_safetensors(bytes: &[u8], name: &str) -> Result<Layer, Error> {
        let metadata = Tensors::safetensors_metadata(bytes)?;
        if !metadata.contains_key(&format!("{name}/layer")) {
            if let Some(reason) = metadata.get(&format!("{name}/refused")) {
                return Err(refused(format_args!("layer {name}"), "one that can be computed", reason));
            }
            let some: Vec<&str> = names_of(&metadata).take(8).collect();
            let got = if some.is_empty() { "none".to_owned() } else { some.join(", ") };
            return Err(refused("layer", format_args!("a recurrent layer {name:?}"), got));
        }
        let prefix = format!("{name}/");
        let options = metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value)));
        Layer::new(Tensors::from_safetensors(bytes, &prefix)?, options)
    }

    /// The network: batch-first, outputs in the order of time and not merged.
    pub fn network(&self) -> &Recurrent {
        &self.network
    }

    /// The layer in another precision, as of [`Recurrent::in_precision`].
    ///
    /// # Errors
    /// As for [`Recurrent::in_precision`].
    pub fn in_precision(&self, precision: Precision) -> Result<Layer, Error> {
        Ok(Layer { network: self.network.in_precision(precision)?, ..*self })
    }

    /// Frees the parameters in f32 of its network, which [`run`](Layer::run) does not need
    /// ([`Recurrent::drop_parameters`]). Outputs are the same bits as before.
    pub fn drop_parameters(&mut self) {
        self.network.drop_parameters();
    }

    /// Takes the network out: for training, or for the steps of a stream.
    pub fn into_network(self) -> Recurrent {
        self.network
    }

    /// How two directions are merged; `None` for one direction.
    pub fn merge(&self) -> Option<Merge> {
        self.merge
    }

    /// Whether outputs at masked steps are zero instead of repeated. (In `Bidirectional`, sequences always
    /// are.)
    pub fn zero_output_for_mask(&self) -> bool {
        self.zero_output_for_mask
    }

    /// Whether the model goes on with [`Output::y`], and otherwise with [`Output::last`].
    pub fn return_sequences(&self) -> bool {
        self.return_sequences
    }

    /// Whether the model also takes the final states.
    pub fn return_state(&self) -> bool {
        self.return_state
    }

    /// Whether each run of the model goes on from the state of the one before, row by row.
    pub fn stateful(&self) -> bool {
        self.stateful
    }
}

/// The number of features and of units that the matrices behind a prefix say, which must have `units` where
/// the options say so.
fn sizes(arrays: &Tensors, prefix: &str, units: Option<usize>) -> Result<[usize; 2], Error> {
    let rows = |name: &str| {
        let name = format!("{prefix}{name}");
        match arrays.get(&name).map(Tensor::shape) {
            Some(&[rows, _]) => Ok(rows),
            Some(other) => Err(refused(name, "a matrix", format_args!("shape {other:?}"))),
            None => Err(refused(name, "a matrix", "none")),
        }
    };
    let (input, hidden) = (rows("kernel")?, rows("recurrent_kernel")?);
    if let Some(units) = units.filter(|&units| units != hidden) {
        let (what, got) = (format_args!("{prefix}recurrent_kernel"), format_args!("{hidden} rows"));
        return Err(refused(what, format_args!("{units} rows, one a unit"), got));
    }
    Ok([input, hidden])
}

/// Takes the arrays of one direction.
fn take(
    arrays: &mut Tensors,
    prefix: &str,
    kind: CellKind,
    bias: bool,
    [input, hidden]: [usize; 2],
) -> Result<Arrays, Error> {
    let rows = kind.gates().saturating_mul(hidden);
    let both = [2, rows];
    let bias_shape = if kind == CellKind::GruResetAfter { &both[..] } else { &both[1..] };
    Ok(Arrays {
        input: arrays.take(&format!("{prefix}kernel"), &[input, rows])?,
        recurrent: arrays.take(&format!("{prefix}recurrent_kernel"), &[hidden, rows])?,
        bias: if bias { arrays.take(&format!("{prefix}bias"), bias_shape)? } else { Vec::new() },
        ..Arrays::default()
    })
}

/// The names of the recurrent layers of a file that `examples/export_keras.py` wrote: those of Keras, after
/// the names of the models that they are in where a name occurs twice (`encoder/lstm`). Needs the feature
/// `safetensors`.
///
/// # Errors
/// [`Error::Format`] where this is no safetensors file.
#[cfg(feature = "safetensors")]
pub fn names(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let metadata = Tensors::safetensors_metadata(bytes)?;
    Ok(names_of(&metadata).map(str::to_owned).collect())
}

#[cfg(feature = "safetensors")]
fn names_of(metadata: &std::collections::BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    metadata.keys().filter_map(|key| key.strip_suffix("/layer"))
}
