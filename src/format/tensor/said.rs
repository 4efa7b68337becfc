//! What a file says of its recurrent modules beside their tensors.
//!
//! Shapes do not tell every cell: an sLSTM of one head has those of an LSTM, a GRU that resets before the
//! product those of one that resets after it. Nor do they tell options: coupled gates, clips, activations.
//! What this crate saves says them, beside the tensors:
//!
//! ```text
//! safetensors   "__metadata__": {"encoder.rnn.fused_rnn.cell": "lstm",        of the module "encoder.rnn."
//!                                "encoder.rnn.fused_rnn.coupled": "true"}
//! ```
//!
//! Other formats have no place for it. The cell is read here, the options where networks are built:
//! `state_dict/options.rs`. How many heads an sLSTM has is in the shape of `weight_hh`.

use super::super::refused;
use super::Tensors;
use super::prefix::{SAID, unwrapped};
use crate::cell::CellKind;
use crate::error::Error;
use std::collections::BTreeMap;

/// What is said of one module: texts by name.
pub(in crate::format) type Said = BTreeMap<String, String>;

/// The name of the cell.
pub(in crate::format) const CELL: &str = "cell";

impl Tensors {
    /// The cell that the recurrent module is whose names begin with `prefix`, where the file says it: a
    /// safetensors file that this crate wrote. Else `None`, and shapes tell it as far as they can
    /// ([`state_dict::describe`](crate::format::state_dict::describe)).
    ///
    /// ```
    /// use fused_rnn::format::{Tensors, state_dict};
    /// use fused_rnn::{CellKind, Lstm};
    ///
    /// let mut file = Tensors::new();
    /// file.insert_all("rnn.", state_dict::save(&Lstm::exponential(3, 4).build()?)?);
    /// assert_eq!(file.cell("rnn.")?, Some(CellKind::Slstm));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where what the file says is the [name](CellKind::name) of no cell of this version.
    pub fn cell(&self, prefix: &str) -> Result<Option<CellKind>, Error> {
        let Some(name) = self.said(prefix).and_then(|said| said.get(CELL)) else { return Ok(None) };
        match name.parse() {
            Err(Error::Format { expected, got, .. }) => {
                Err(refused(format!("{SAID}{CELL} of the module {prefix:?}"), expected, got))
            }
            kind => kind.map(Some),
        }
    }

    /// Says which cell a module is, without options, or with `None` that nothing is said of it: of weights
    /// from elsewhere, and to load them as another cell, or with other options, than the file says.
    pub fn set_cell(&mut self, prefix: &str, kind: Option<CellKind>) {
        self.said.retain(|module, _| module != prefix && !is_wrapped(module, prefix));
        if let Some(kind) = kind {
            self.say(prefix, CELL, kind.name().to_owned());
        }
    }

    /// Says one thing of a module.
    pub(in crate::format) fn say(&mut self, prefix: &str, name: &str, text: String) {
        self.said.entry(prefix.to_owned()).or_default().insert(name.to_owned(), text);
    }

    /// All that is said of a module, also of one with wrappers before its name.
    pub(in crate::format) fn said(&self, prefix: &str) -> Option<&Said> {
        let wrapped =
            || self.said.iter().find(|(module, _)| is_wrapped(module, prefix)).map(|(_, said)| said);
        self.said.get(prefix).or_else(wrapped)
    }

    /// Forgets what was said of the modules of these tensors: others come in their place.
    pub(super) fn forget_modules_of<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            self.said.remove(module_of(name));
        }
    }

    /// What is said of the module of `from` goes to that of `to` with its last tensor.
    pub(super) fn follow(&mut self, from: &str, to: &str) {
        let (left, entered) = (module_of(from), module_of(to));
        let is_left = !self.names_beginning(left).any(|name| module_of(name) == left);
        if is_left
            && left != entered
            && !self.said.contains_key(entered)
            && let Some(said) = self.said.remove(left)
        {
            self.said.insert(entered.to_owned(), said);
        }
    }

    /// Takes what `file` says of this module, whose tensors lose their prefix here.
    pub(in crate::format) fn copy_said(&mut self, file: &Tensors, prefix: &str) {
        if let Some(said) = file.said(prefix) {
            self.said.insert(String::new(), said.clone());
        }
    }

    /// All that a file says of its modules, by the names that it has there.
    #[cfg(feature = "safetensors")]
    pub(in crate::format) fn metadata(&self) -> Vec<(String, String)> {
        let mut metadata = Vec::new();
        for (module, said) in &self.said {
            for (name, text) in said {
                metadata.push((format!("{module}{SAID}{name}"), text.clone()));
            }
        }
        metadata
    }
}

/// Whether two prefixes are of one module, but for the wrappers before its name.
fn is_wrapped(module: &str, prefix: &str) -> bool {
    let end = format!("{SAID}{CELL}");
    let (one, other) = (format!("{module}{end}"), format!("{prefix}{end}"));
    unwrapped(&one) == unwrapped(&other)
}

/// The module that a tensor is of: its name up to the last point.
fn module_of(name: &str) -> &str {
    &name[..name.rfind('.').map_or(0, |point| point + 1)]
}
