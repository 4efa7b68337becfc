//! The recurrent modules of a file, and what their tensors say of them.

use super::names::{module, number, numbers, parameters};
use super::{Tensor, Tensors, builder, load, refused};
use crate::cell::CellKind;
use crate::error::Error;
use crate::layer::Recurrent;
use std::collections::BTreeSet;
use std::fmt;

/// A recurrent module of a file, as its tensors tell it: `LSTM`, `GRU`, `RNN` of `torch.nn`, or one of their
/// cells.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// How the names of its tensors begin: `encoder.rnn.`
    pub prefix: String,
    /// The cells that it may be. 4 H rows are an LSTM's, 3 H a GRU's, and H those of an RNN, whose
    /// nonlinearity, tanh or relu, no tensor tells: then there are two.
    pub kinds: &'static [CellKind],
    /// The number of features of the input.
    pub input_size: usize,
    /// The number of units, H.
    pub hidden_size: usize,
    /// Features of the projected hidden state, where there is a projection.
    pub projection: Option<usize>,
    /// The number of layers.
    pub layers: usize,
    /// 1, or 2 where it runs in both directions.
    pub directions: usize,
    /// Whether the module has biases.
    pub bias: bool,
}

/// By the gates of a cell.
const KINDS: [(usize, &[CellKind]); 3] = [
    (4, &[CellKind::Lstm]),
    (3, &[CellKind::GruResetAfter]),
    (1, &[CellKind::ElmanTanh, CellKind::ElmanRelu]),
];

impl Module {
    /// The cell; `None` for an RNN, of which no tensor tells whether it is [`CellKind::ElmanTanh`] or
    /// [`CellKind::ElmanRelu`] (`nonlinearity` of `torch.nn.RNN`).
    pub fn kind(&self) -> Option<CellKind> {
        match self.kinds {
            &[kind] => Some(kind),
            _ => None,
        }
    }

    /// Whether the tensor of this name in the file is a parameter of this module, or a part of one.
    pub fn owns(&self, name: &str) -> bool {
        module(name) == Some(self.prefix.as_str())
    }

    /// The names of its tensors in `file`: those that it [owns](Module::owns).
    pub fn names<'f>(&self, file: &'f Tensors) -> impl Iterator<Item = &'f str> + use<'f, '_> {
        of_prefix(file, &self.prefix).into_iter()
    }

    /// The network that this module of `file` is, with its parameters, where it is of this cell.
    ///
    /// # Errors
    /// As for [`builder`], [`Builder::build`](crate::Builder::build) and [`load`].
    pub fn network(&self, file: &Tensors, kind: CellKind) -> Result<Recurrent, Error> {
        let tensors = of_module(file, &self.prefix);
        let mut network = builder(&tensors, kind)?.build()?;
        load(tensors, &mut network)?;
        Ok(network)
    }
}

/// `encoder.rnn.: LSTM, 2 layers, both directions, 3 inputs, 4 units, biases`
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kinds {
            [CellKind::Lstm] => "LSTM",
            [CellKind::GruResetAfter] => "GRU",
            _ => "RNN (tanh or relu)",
        };
        let layers = if self.layers == 1 { "1 layer".to_owned() } else { format!("{} layers", self.layers) };
        let directions = if self.directions == 2 { ", both directions" } else { "" };
        if !self.prefix.is_empty() {
            write!(f, "{}: ", self.prefix)?;
        }
        write!(f, "{name}, {layers}{directions}, {} inputs", self.input_size)?;
        write!(f, ", {} units", self.hidden_size)?;
        if let Some(projection) = self.projection {
            write!(f, " projected to {projection}")?;
        }
        f.write_str(if self.bias { ", biases" } else { ", no biases" })
    }
}

/// The names of the tensors of one module.
fn of_prefix<'f>(file: &'f Tensors, prefix: &str) -> Vec<&'f str> {
    let mut names = numbers(file, prefix);
    names.retain(|name| module(name) == Some(prefix));
    names
}

/// The tensors of one module, without its prefix.
fn of_module(file: &Tensors, prefix: &str) -> Tensors {
    let mut tensors = Tensors::new();
    for name in of_prefix(file, prefix) {
        if let Some(tensor) = number(file, name) {
            tensors.insert(&name[prefix.len()..], tensor);
        }
    }
    tensors
}

/// The recurrent modules of a file, in the order of their names. What is none, and what has the names of one
/// but shapes that no cell of PyTorch has, is left out.
///
/// ```
/// use fused_rnn::format::{Tensors, state_dict};
/// use fused_rnn::{Lstm, Rnn};
///
/// let mut file = Tensors::new();
/// file.insert_all("encoder.", state_dict::save(&Lstm::builder(3, 4).layers(2).build()?)?);
/// file.insert_all("decoder.", state_dict::save(&Rnn::tanh(4, 5).build()?)?);
/// let modules = state_dict::modules(&file);
/// assert_eq!(modules[1].to_string(), "encoder.: LSTM, 2 layers, 3 inputs, 4 units, biases");
/// for module in modules {
///     // No tensor tells whether an RNN's nonlinearity is tanh or relu.
///     let kind = module.kind().unwrap_or(fused_rnn::CellKind::ElmanTanh);
///     let network = module.network(&file, kind)?;
///     assert_eq!(network.config().hidden_size(), module.hidden_size);
/// }
/// # Ok::<(), fused_rnn::Error>(())
/// ```
pub fn modules(file: &Tensors) -> Vec<Module> {
    let mut prefixes = BTreeSet::new();
    for name in numbers(file, "") {
        if let Some(prefix) = module(name) {
            prefixes.insert(prefix);
        }
    }
    let described = prefixes.into_iter().filter_map(|prefix| {
        let module = describe(&of_module(file, prefix)).ok()?;
        Some(Module { prefix: prefix.to_owned(), ..module })
    });
    described.collect()
}

/// What the tensors of one module, without its prefix, say of it.
///
/// ```
/// use fused_rnn::format::state_dict;
/// use fused_rnn::{CellKind, Gru};
///
/// let tensors = state_dict::save(&Gru::reset_after(3, 4).bidirectional(true).build()?)?;
/// let module = state_dict::describe(&tensors)?;
/// assert_eq!(module.kind(), Some(CellKind::GruResetAfter));
/// assert_eq!((module.input_size, module.hidden_size, module.directions), (3, 4, 2));
/// # Ok::<(), fused_rnn::Error>(())
/// ```
///
/// # Errors
/// [`Error::Format`] where a tensor is missing that this is read off, or its shape is that of no cell of
/// PyTorch.
pub fn describe(tensors: &Tensors) -> Result<Module, Error> {
    described(&parameters(of_module(tensors, ""))?, tensors)
}

/// The same of whole parameters; errors look at what else the file has.
pub(super) fn described(parameters: &Tensors, file: &Tensors) -> Result<Module, Error> {
    let [rows, input_size] = matrix(parameters, file, "weight_ih_l0")?;
    let [_, output] = matrix(parameters, file, "weight_hh_l0")?;
    let has = |name: &str| parameters.get(name).is_some();
    let hidden_size = match parameters.get("weight_hr_l0").map(Tensor::shape) {
        Some(&[_, hidden]) => hidden,
        _ => output,
    };
    let gates = KINDS.iter().find(|(gates, _)| gates.checked_mul(hidden_size) == Some(rows) && rows > 0);
    let Some((_, kinds)) = gates else {
        let expected = format!("4, 3 or 1 times {hidden_size} rows, as an LSTM, a GRU or an RNN has");
        return Err(refused("weight_ih_l0", expected, rows.to_string()));
    };
    Ok(Module {
        prefix: String::new(),
        kinds,
        input_size,
        hidden_size,
        projection: has("weight_hr_l0").then_some(output),
        layers: (0..).take_while(|layer| has(&format!("weight_ih_l{layer}"))).count(),
        directions: 1 + usize::from(has("weight_ih_l0_reverse")),
        bias: has("bias_ih_l0") || has("bias_hh_l0"),
    })
}

/// The sizes of a matrix that must be there.
pub(super) fn matrix(parameters: &Tensors, file: &Tensors, name: &str) -> Result<[usize; 2], Error> {
    let shape = parameters.get(name).map(Tensor::shape);
    shape.and_then(|shape| shape.try_into().ok()).ok_or_else(|| {
        let got = shape.map_or_else(|| file.missing(name), |shape| format!("shape {shape:?}"));
        refused(name, "a matrix", got)
    })
}
