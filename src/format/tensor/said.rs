//! What a file says of its recurrent modules beside their tensors.
//!
//! Shapes do not identify every cell: an sLSTM of one head has the shapes of an LSTM, and a GRU that resets
//! before the product those of one that resets after it. They do not show options either: coupled gates,
//! clips, activations. So files that this crate saves state both, beside the tensors:
//!
//! ```text
//! safetensors   "__metadata__": {"encoder.rnn.fused_rnn.cell": "lstm",        of the module "encoder.rnn."
//!                                "encoder.rnn.fused_rnn.coupled": "true"}
//! ```
//!
//! Other formats have no room for such texts. The cell is read here, the options where networks are built
//! (`state_dict/options.rs`). The number of heads of an sLSTM follows from the shape of `weight_hh`.
//!
//! What is said of one module is found by search, also behind wrappers before its name, so that a loop over
//! the modules of a file takes time by their number:
//!
//! ```text
//! texts     "module.encoder.rnn.fused_rnn.cell"  ->  "lstm"
//! by_bare   "encoder.rnn.\0module.encoder.rnn.fused_rnn.cell"  ->  "module.encoder.rnn.fused_rnn.cell"
//! ```

use super::prefix::{SAID, unwrapped};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

/// The name of the cell.
pub(in crate::format) const CELL: &str = "cell";

/// What a file says of modules: texts by the names that the file has for them.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Said {
    texts: BTreeMap<String, String>,
    /// The same names, each also behind that of its module without wrappers. (A map of the same type: each
    /// other type would be compiled anew.)
    by_bare: BTreeMap<String, String>,
}

impl Said {
    /// Says one thing of a module.
    pub(super) fn say(&mut self, prefix: &str, name: &str, text: String) {
        self.insert(format!("{prefix}{SAID}{name}"), text);
    }

    fn insert(&mut self, name: String, text: String) {
        self.by_bare.insert(behind_bare(&name), name.clone());
        self.texts.insert(name, text);
    }

    fn remove(&mut self, name: &str) -> Option<String> {
        self.by_bare.remove(&behind_bare(name));
        self.texts.remove(name)
    }

    /// All that is said of a module, also of one with wrappers before its name: texts with their names.
    pub(super) fn of(&self, prefix: &str) -> Vec<(&str, &str)> {
        self.module_like(prefix).map_or(Vec::new(), |module| self.of_module(module))
    }

    /// The name of a module of which something is said: this one, or this one with wrappers before it.
    fn module_like<'t>(&'t self, prefix: &'t str) -> Option<&'t str> {
        if self.is_of(prefix) {
            return Some(prefix);
        }
        let from = behind(bare(prefix), "");
        let range = self.by_bare.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
        // (A name may have a zero of its own.)
        let mut alike = range.take_while(|(key, _)| key.starts_with(&from));
        alike.find(|(key, name)| key.len() == from.len() + name.len()).map(|(_, name)| parts(name).0)
    }

    /// All that is said of the module of this name. (What is said of a module follows each other, but for
    /// modules whose own names begin as what is said of it.)
    fn of_module(&self, module: &str) -> Vec<(&str, &str)> {
        let begin = format!("{module}{SAID}");
        let mut said = Vec::new();
        for (name, text) in self.texts.range::<str, _>((Bound::Included(begin.as_str()), Bound::Unbounded)) {
            let Some(name) = name.strip_prefix(&begin) else { break };
            if !name.contains('.') {
                said.push((name, text.as_str()));
            }
        }
        said
    }

    /// Whether anything is said of the module of this name.
    pub(super) fn is_of(&self, module: &str) -> bool {
        !self.of_module(module).is_empty()
    }

    /// Takes out all that is said of the module of this name.
    fn take(&mut self, module: &str) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for (name, text) in self.of_module(module) {
            said.push((name.to_owned(), text.to_owned()));
        }
        for (name, _) in &said {
            self.remove(&format!("{module}{SAID}{name}"));
        }
        said
    }

    /// Forgets all that is said of a module, also of one with wrappers before its name.
    pub(super) fn forget(&mut self, prefix: &str) {
        while let Some(module) = self.module_like(prefix).map(str::to_owned) {
            self.take(&module);
        }
    }

    /// Forgets what was said of the module of a tensor.
    pub(super) fn forget_module_of(&mut self, tensor: &str) {
        self.take(module_of(tensor));
    }

    /// What is said of one module goes to another, of which nothing is said.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if from != to && !self.is_of(to) {
            for (name, text) in self.take(from) {
                self.say(to, &name, text);
            }
        }
    }

    /// Takes what `other` says of its modules, with `prefix` before their names, in the place of what was
    /// said of these.
    pub(super) fn take_all(&mut self, prefix: &str, other: Said) {
        for name in other.texts.keys() {
            self.take(&format!("{prefix}{}", parts(name).0));
        }
        for (name, text) in other.texts {
            self.insert(format!("{prefix}{name}"), text);
        }
    }

    /// Takes out what is said of all modules whose names begin with `prefix`, which they lose.
    pub(super) fn split_off(&mut self, prefix: &str) -> Said {
        let mut names = Vec::new();
        for (name, _) in self.texts.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)) {
            if !name.starts_with(prefix) {
                break;
            }
            if parts(name).0.starts_with(prefix) {
                names.push(name.clone());
            }
        }
        let mut taken = Said::default();
        for name in names {
            if let Some(text) = self.remove(&name) {
                taken.insert(name[prefix.len()..].to_owned(), text);
            }
        }
        taken
    }

    /// All that is said, by the names that a file has for it.
    #[cfg(feature = "safetensors")]
    pub(super) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.texts.fmt(f)
    }
}

/// The module of something that is said, and what it is called.
fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once(SAID).unwrap_or(("", name))
}

/// The name of a module without wrappers: two that have the same are one module.
fn bare(module: &str) -> String {
    // (With what stands for the name of a tensor, which has none.)
    unwrapped(&format!("{module}{SAID}{CELL}")).into_owned()
}

/// What is said, behind the name of its module without wrappers.
fn behind_bare(name: &str) -> String {
    behind(bare(parts(name).0), name)
}

fn behind(bare: String, name: &str) -> String {
    bare + "\0" + name
}

/// The module that a tensor is of: its name up to the last point.
pub(super) fn module_of(name: &str) -> &str {
    &name[..name.rfind('.').map_or(0, |point| point + 1)]
}
