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
use std::ops::Bound;

/// What is said of modules: texts by the names that a file has for them.
pub(super) type Said = BTreeMap<String, String>;

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
        let said = self.said(prefix).into_iter().find(|(name, _)| *name == CELL);
        let Some((_, name)) = said else { return Ok(None) };
        match name.parse() {
            Err(Error::Format { expected, got, .. }) => {
                Err(refused(format_args!("{SAID}{CELL} of the module {prefix:?}"), expected, got))
            }
            kind => kind.map(Some),
        }
    }

    /// Says which cell a module is, without options, or with `None` that nothing is said of it: of weights
    /// from elsewhere, and to load them as another cell, or with other options, than the file says.
    pub fn set_cell(&mut self, prefix: &str, kind: Option<CellKind>) {
        while let Some(module) = self.module_like(prefix).map(str::to_owned) {
            self.take_said(&module);
        }
        if let Some(kind) = kind {
            self.say(prefix, CELL, kind.name().to_owned());
        }
    }

    /// Says one thing of a module.
    pub(in crate::format) fn say(&mut self, prefix: &str, name: &str, text: String) {
        self.said.insert(format!("{prefix}{SAID}{name}"), text);
    }

    /// All that is said of a module, also of one with wrappers before its name: texts with their names.
    pub(in crate::format) fn said(&self, prefix: &str) -> Vec<(&str, &str)> {
        self.module_like(prefix).map_or(Vec::new(), |module| self.said_of(module))
    }

    /// The name of a module of which something is said: this one, or this one with wrappers before it.
    fn module_like<'t>(&'t self, prefix: &'t str) -> Option<&'t str> {
        if !self.said_of(prefix).is_empty() {
            return Some(prefix);
        }
        self.said.keys().map(|name| parts(name).0).find(|module| is_wrapped(module, prefix))
    }

    /// All that is said of the module of this name. (What is said of a module follows each other, but for
    /// modules whose own names begin as what is said of it.)
    fn said_of(&self, module: &str) -> Vec<(&str, &str)> {
        let begin = format!("{module}{SAID}");
        let mut said = Vec::new();
        for (name, text) in self.said.range::<str, _>((Bound::Included(begin.as_str()), Bound::Unbounded)) {
            let Some(name) = name.strip_prefix(&begin) else { break };
            if !name.contains('.') {
                said.push((name, text.as_str()));
            }
        }
        said
    }

    /// Takes out all that is said of a module.
    fn take_said(&mut self, module: &str) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for (name, text) in self.said_of(module) {
            said.push((name.to_owned(), text.to_owned()));
        }
        for (name, _) in &said {
            self.said.remove(&format!("{module}{SAID}{name}"));
        }
        said
    }

    /// Takes what `other` says of its modules, with `prefix` before their names, in the place of what was
    /// said of these.
    pub(super) fn take_all_said(&mut self, prefix: &str, other: Said) {
        for name in other.keys() {
            self.take_said(&format!("{prefix}{}", parts(name).0));
        }
        for (name, text) in other {
            self.said.insert(format!("{prefix}{name}"), text);
        }
    }

    /// Takes out what is said of all modules whose names begin with `prefix`, which they lose.
    pub(super) fn split_off_said(&mut self, prefix: &str) -> Said {
        let mut names = Vec::new();
        for name in self.said.keys() {
            if parts(name).0.starts_with(prefix) {
                names.push(name.clone());
            }
        }
        let mut taken = Said::new();
        for name in names {
            if let Some(text) = self.said.remove(&name) {
                taken.insert(name[prefix.len()..].to_owned(), text);
            }
        }
        taken
    }

    /// Forgets what was said of the modules of these tensors: others come in their place.
    pub(super) fn forget_modules_of(&mut self, names: &[String]) {
        for name in names {
            self.take_said(module_of(name));
        }
    }

    /// What is said of the module of `from` goes to that of `to` with its last tensor.
    pub(super) fn follow(&mut self, from: &str, to: &str) {
        let (left, entered) = (module_of(from), module_of(to));
        let is_left = !self.names_beginning(left).any(|name| module_of(name) == left);
        if is_left && left != entered && self.said_of(entered).is_empty() {
            for (name, text) in self.take_said(left) {
                self.say(entered, &name, text);
            }
        }
    }

    /// Takes what `file` says of this module, whose tensors lose their prefix here.
    pub(in crate::format) fn copy_said(&mut self, file: &Tensors, prefix: &str) {
        for (name, text) in file.said(prefix) {
            self.say("", name, text.to_owned());
        }
    }

    /// All that a file says of its modules, by the names that it has there.
    #[cfg(feature = "safetensors")]
    pub(in crate::format) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.said
    }
}

/// The module of something that is said, and what it is called.
fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once(SAID).unwrap_or(("", name))
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
