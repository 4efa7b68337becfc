//! The recurrent modules of a file, and what their tensors say of them.

use super::names::{NORM, module, number, numbers, parameters};
use super::shapes::Shapes;
use super::{Tensors, builder, load};
use crate::cell::CellKind;
use crate::error::Error;
use crate::format::tensor::CELL;
use crate::layer::Recurrent;
use crate::order::distinct;
use std::collections::BTreeMap;
use std::fmt;

/// A recurrent module of a file, as its tensors tell it, and the file where it says the cell: `LSTM`, `GRU`,
/// `RNN` of `torch.nn` or one of their cells, or another [`CellKind`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// How the names of its tensors begin: `encoder.rnn.`
    pub prefix: String,
    /// The cells that it may be, as [`describe`] says: mostly one. There are two of an RNN whose
    /// nonlinearity, tanh or relu, the file does not say, and of a minimal GRU or LSTM of one layer with 6 n
    /// rows.
    pub kinds: &'static [CellKind],
    /// The number of features of the input.
    pub input_size: usize,
    /// The number of units, H, of the first of `kinds`: a minimal GRU has 2 H rows, a minimal LSTM 3 H.
    pub hidden_size: usize,
    /// The heads of an sLSTM, 1 of others.
    pub heads: usize,
    /// Features of the projected hidden state, where there is a projection.
    pub projection: Option<usize>,
    /// The number of layers.
    pub layers: usize,
    /// 1, or 2 where it runs in both directions.
    pub directions: usize,
    /// Whether the module has biases.
    pub bias: bool,
    /// Whether the module has gains of layer normalisation, whose epsilon is among the options where the file
    /// says it, and else the caller's.
    pub layer_norm: bool,
    /// What the file says of its options beside the tensors, by the names of the functions of
    /// [`Builder`](crate::Builder): `coupled`, `true`.
    pub options: BTreeMap<String, String>,
}

impl Module {
    /// The cell; `None` where there are two [`kinds`](Module::kinds), as of an RNN: it is
    /// [`CellKind::ElmanTanh`] or [`CellKind::ElmanRelu`] (`nonlinearity` of `torch.nn.RNN`).
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

    /// The network that this module of `file` is, with its parameters and the options that the file says,
    /// where it is of this cell.
    ///
    /// # Errors
    /// As for [`builder`], [`Builder::build`](crate::Builder::build) and [`load`].
    pub fn network(&self, file: &Tensors, kind: CellKind) -> Result<Recurrent, Error> {
        let tensors = of_module(file, &self.prefix)?;
        let mut network = builder(&tensors, kind)?.build()?;
        load(tensors, &mut network)?;
        Ok(network)
    }
}

/// A cell in words.
fn in_words(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Lstm => "LSTM",
        CellKind::GruResetAfter => "GRU",
        CellKind::GruResetBefore => "GRU that resets before the product",
        CellKind::ElmanTanh => "RNN (tanh)",
        CellKind::ElmanRelu => "RNN (relu)",
        CellKind::MinGru => "minimal GRU",
        CellKind::MinLstm => "minimal LSTM",
        CellKind::IndRnn => "independently recurrent RNN",
        CellKind::LstmMultiplicative => "multiplicative LSTM",
        CellKind::Slstm => "sLSTM",
    }
}

/// `encoder.rnn.: LSTM, 2 layers, both directions, 3 inputs, 4 units, biases`
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kinds {
            &[kind] => in_words(kind),
            [CellKind::ElmanTanh, ..] => "RNN (tanh or relu)",
            _ => "minimal GRU, or minimal LSTM of 2/3 of the units",
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
        if self.heads > 1 {
            write!(f, " in {} heads", self.heads)?;
        }
        f.write_str(if self.bias { ", biases" } else { ", no biases" })?;
        if self.layer_norm {
            f.write_str(", layer normalisation")?;
        }
        for (name, text) in &self.options {
            write!(f, ", {name} {text}")?;
        }
        Ok(())
    }
}

/// The names of the tensors of one module.
fn of_prefix<'f>(file: &'f Tensors, prefix: &str) -> Vec<&'f str> {
    let mut names = numbers(file, prefix);
    names.retain(|name| module(name) == Some(prefix));
    names
}

/// The tensors of one module, without its prefix, and what the file says of it.
fn of_module(file: &Tensors, prefix: &str) -> Result<Tensors, Error> {
    let mut tensors = Tensors::new();
    for (name, text) in file.said(prefix) {
        tensors.say("", name, text.to_owned());
    }
    for name in of_prefix(file, prefix) {
        tensors.insert(&name[prefix.len()..], number(file, name)?);
    }
    Ok(tensors)
}

/// The recurrent modules of a file, in the order of their names. A module is left out if its shapes are those
/// of no cell, or if the file says that it is of a cell which this version does not have: [`describe`] says
/// why.
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
    let mut prefixes = Vec::new();
    for name in numbers(file, "") {
        prefixes.extend(module(name));
    }
    let described = distinct(prefixes).into_iter().filter_map(|prefix| {
        let module = describe(&of_module(file, prefix).ok()?).ok()?;
        Some(Module { prefix: prefix.to_owned(), ..module })
    });
    described.collect()
}

/// What the tensors of one module, without its prefix, say of it.
///
/// The cell is the one that the file [names](Tensors::cell), and must have these shapes. If the file names
/// none, the names and shapes of tensors decide, and a module that can be one of `torch.nn` is taken as one:
/// LSTM, GRU or RNN. But an sLSTM of one head has the shapes of an LSTM, and a GRU that resets before the
/// product those of one that resets after it. For weights of such a cell, name it: [`Tensors::set_cell`] or
/// [`builder`].
///
/// ```
/// use fused_rnn::format::{Tensors, state_dict};
/// use fused_rnn::{CellKind, Gru, Lstm};
///
/// let tensors = state_dict::save(&Gru::reset_after(3, 4).bidirectional(true).build()?)?;
/// let module = state_dict::describe(&tensors)?;
/// assert_eq!(module.kind(), Some(CellKind::GruResetAfter));
/// assert_eq!((module.input_size, module.hidden_size, module.directions), (3, 4, 2));
///
/// // Heads are in the shape of `weight_hh`. One head is known by its name alone.
/// let mut tensors = state_dict::save(&Lstm::exponential(3, 4).build()?)?;
/// assert_eq!(state_dict::describe(&tensors)?.kind(), Some(CellKind::Slstm));
/// tensors.set_cell("", None);
/// assert_eq!(state_dict::describe(&tensors)?.kind(), Some(CellKind::Lstm));
/// # Ok::<(), fused_rnn::Error>(())
/// ```
///
/// # Errors
/// [`Error::Format`] where a tensor is missing that this is read off, its shape is that of no cell, or of
/// another one than the file says.
pub fn describe(tensors: &Tensors) -> Result<Module, Error> {
    let named = tensors.cell("")?;
    let mut options = BTreeMap::new();
    for (name, text) in tensors.said("") {
        if name != CELL {
            options.insert(name.to_owned(), text.to_owned());
        }
    }
    let parameters = parameters(of_module(tensors, "")?)?;
    let shapes = Shapes::of(&parameters, tensors)?;
    let kinds = match named {
        Some(kind) => std::slice::from_ref(&CellKind::ALL[kind as usize]),
        None => shapes.kinds().ok_or_else(|| shapes.of_none())?,
    };
    let sizes = shapes.sizes(kinds[0]).ok_or_else(|| shapes.not_of(kinds[0]))?;
    Ok(Module {
        prefix: String::new(),
        kinds,
        input_size: shapes.input,
        hidden_size: sizes.hidden,
        heads: sizes.heads,
        projection: sizes.projection,
        layers: shapes.layers,
        directions: shapes.directions,
        bias: shapes.bias,
        layer_norm: parameters.names().any(|name| name.starts_with(NORM)),
        options,
    })
}
