//! Tensors by name, and what is said of their modules.

use super::super::refused;
use super::prefix::SAID;
use super::said::{CELL, Said, module_of};
use super::{DType, RawTensor, Tensor, of_shape};
use crate::cell::CellKind;
use crate::error::Error;
use crate::order::distinct;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Tensors by name: what a file of weights holds.
///
/// Floats of all widths are [`Tensor`]s of f32. Tensors that are no weights (integers, booleans, complex
/// numbers, and doubles that no f32 can hold) are kept apart, as the file has them:
/// [`others`](Tensors::others) lists them. Of these, only matrices of int8 with scales are loaded as weights
/// ([`state_dict`](super::super::state_dict)). The set also has the [`cell`](Tensors::cell) and the options
/// of each recurrent module, where the file states them.
///
/// ```
/// use fused_rnn::format::{DType, RawTensor, Tensor, Tensors};
///
/// let mut file = Tensors::new();
/// file.insert("rnn.weight_ih_l0", Tensor::new(&[4, 1], vec![0.0; 4])?);
/// file.insert("head.b", Tensor::new(&[1], vec![0.5])?);
/// file.insert_raw("norm.steps", RawTensor::new(DType::I64, &[], 7i64.to_le_bytes().to_vec())?);
/// assert!(file.prefixes() == ["head.", "norm.", "rnn."]);
/// file.rename("head.b", "head.bias")?;
///
/// let rnn = file.split_off_prefix("rnn.");
/// assert!(rnn.names().eq(["weight_ih_l0"]));
/// assert_eq!(file.take("head.bias", &[1])?, [0.5]);
/// assert_eq!(file.raw("norm.steps").and_then(RawTensor::integers), Some(vec![7]));
/// file.finish()?;
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    entries: BTreeMap<String, Entry>,
    /// What is said of modules.
    said: Said,
}

/// A tensor of f32, or one of the others.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Floats(Tensor),
    Other(RawTensor),
}

impl Entry {
    fn floats(&self) -> Option<&Tensor> {
        match self {
            Entry::Floats(tensor) => Some(tensor),
            Entry::Other(_) => None,
        }
    }

    fn other(&self) -> Option<&RawTensor> {
        match self {
            Entry::Floats(_) => None,
            Entry::Other(tensor) => Some(tensor),
        }
    }
}

impl Tensors {
    /// A set of tensors that has none yet.
    pub fn new() -> Tensors {
        Tensors::default()
    }

    /// Adds a tensor, in the place of any of the same name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.put(name.into(), Entry::Floats(tensor));
    }

    /// Adds a tensor as it is stored, in the place of any of the same name: among
    /// [`others`](Tensors::others), floats too.
    pub fn insert_raw(&mut self, name: impl Into<String>, tensor: RawTensor) {
        self.put(name.into(), Entry::Other(tensor));
    }

    fn put(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
    }

    /// Adds a tensor of a file: floats that an f32 can hold as f32, all else as it is.
    #[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "json"))]
    pub(super) fn insert_stored(&mut self, name: String, tensor: RawTensor) {
        match tensor.dtype.is_float().then(|| tensor.to_tensor()) {
            Some(Ok(floats)) => self.insert(name, floats),
            _ => self.insert_raw(name, tensor),
        }
    }

    /// Adds all tensors of another, with `prefix` before their names, and what it says of its modules. What
    /// was said of a module is forgotten where tensors of another come in its place.
    pub fn insert_all(&mut self, prefix: &str, tensors: Tensors) {
        for name in tensors.entries.keys() {
            self.said.forget_module_of(&format!("{prefix}{name}"));
        }
        self.said.take_all(prefix, tensors.said);
        for (name, entry) in tensors.entries {
            self.put(format!("{prefix}{name}"), entry);
        }
    }

    /// The tensor of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.get(name)?.floats()
    }

    /// One of the [`others`](Tensors::others), if there is one of this name.
    pub fn raw(&self, name: &str) -> Option<&RawTensor> {
        self.entries.get(name)?.other()
    }

    /// One that must be there and have this shape.
    pub(in crate::format) fn get_shaped(&self, name: &str, shape: &[usize]) -> Result<&Tensor, Error> {
        let tensor = self.get(name).ok_or_else(|| refused(name, of_shape(shape), self.missing(name)))?;
        tensor.check_shape(name, shape)?;
        Ok(tensor)
    }

    /// What an error got in the place of a tensor of this name: nothing, but what may have been meant.
    pub(in crate::format) fn missing(&self, name: &str) -> String {
        if let Some(other) = self.raw(name) {
            let more = match other.dtype {
                DType::F64 => " too large for an f32".to_owned(),
                DType::I8 if name.starts_with("weight_") => format!(", and no {name}_scale"),
                _ => String::new(),
            };
            return format!("numbers of type {:?}{more}", other.dtype);
        }
        let prefixed =
            |found: &&str| found.strip_suffix(name).is_some_and(|prefix| prefix.ends_with(['.', '/']));
        match self.names().find(prefixed) {
            None => "none".to_owned(),
            Some(found) => {
                let prefix = &found[..found.len() - name.len()];
                format!("none, but {found:?}: read the file with the prefix {prefix:?}")
            }
        }
    }

    /// Takes a tensor out; `None` where there is none of this name.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.get(name)?;
        match self.entries.remove(name)? {
            Entry::Floats(tensor) => Some(tensor),
            Entry::Other(_) => None,
        }
    }

    /// Takes out one of the [`others`](Tensors::others); `None` where there is none of this name.
    pub fn remove_raw(&mut self, name: &str) -> Option<RawTensor> {
        self.raw(name)?;
        match self.entries.remove(name)? {
            Entry::Other(tensor) => Some(tensor),
            Entry::Floats(_) => None,
        }
    }

    /// Takes out the values of a tensor that must be there and have this shape.
    ///
    /// # Errors
    /// [`Error::Format`] where it is not there or has another shape; it is still there then.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.get_shaped(name, shape)?;
        Ok(self.remove(name).map(Tensor::into_values).unwrap_or_default())
    }

    /// Renames a tensor, whether it is one of f32 or another.
    ///
    /// # Errors
    /// [`Error::Format`] where there is none of the first name, or one of the second already; nothing is
    /// changed then.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        if from != to && self.entries.contains_key(to) {
            return Err(refused(
                format_args!("the new name of {from:?}"),
                "one that is free",
                format_args!("{to:?}"),
            ));
        }
        match self.entries.remove(from) {
            None => Err(refused(from, "a tensor", self.missing(from))),
            Some(entry) => {
                self.put(to.to_owned(), entry);
                // What is said of a module goes with its last tensor.
                let left = module_of(from);
                if self.said.is_of(left) && !self.beginning(left).any(|(name, _)| module_of(name) == left) {
                    self.said.rename(left, module_of(to));
                }
                Ok(())
            }
        }
    }

    /// Takes out all whose name begins with `prefix`, which their names lose, and what is said of their
    /// modules.
    pub fn split_off_prefix(&mut self, prefix: &str) -> Tensors {
        let names: Vec<String> = self.beginning(prefix).map(|(name, _)| name.clone()).collect();
        let mut taken = Tensors::new();
        for name in names {
            if let Some(entry) = self.entries.remove(&name) {
                taken.put(name[prefix.len()..].to_owned(), entry);
            }
        }
        taken.said = self.said.split_off(prefix);
        taken
    }

    /// How names begin, up to and with a point or a slash, and empty where they have none: the modules of a
    /// model, in alphabetical order.
    pub fn prefixes(&self) -> Vec<&str> {
        let mut prefixes = Vec::new();
        for name in self.entries.keys() {
            prefixes.push(&name[..name.rfind(['.', '/']).map_or(0, |end| end + 1)]);
        }
        distinct(prefixes)
    }

    /// The names of the tensors of f32, in alphabetical order. Those of other types, as rounded matrices are,
    /// are in [`others`](Tensors::others).
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// The tensors of f32 with their names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().filter_map(|(name, entry)| Some((name.as_str(), entry.floats()?)))
    }

    /// Those of f32 whose names begin with `prefix`, in alphabetical order; the others are not looked at.
    pub(in crate::format) fn beginning_with<'t, 'p>(
        &'t self,
        prefix: &'p str,
    ) -> impl Iterator<Item = (&'t str, &'t Tensor)> + use<'t, 'p> {
        self.beginning(prefix).filter_map(|(name, entry)| Some((name.as_str(), entry.floats()?)))
    }

    /// The same of the [`others`](Tensors::others).
    pub(in crate::format) fn others_beginning_with<'t, 'p>(
        &'t self,
        prefix: &'p str,
    ) -> impl Iterator<Item = (&'t str, &'t RawTensor)> + use<'t, 'p> {
        self.beginning(prefix).filter_map(|(name, entry)| Some((name.as_str(), entry.other()?)))
    }

    /// The entries whose names begin with `prefix`: they follow each other in the alphabet.
    fn beginning<'t, 'p>(
        &'t self,
        prefix: &'p str,
    ) -> impl Iterator<Item = (&'t String, &'t Entry)> + use<'t, 'p> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.entries.range::<str, _>(from).take_while(move |(name, _)| name.starts_with(prefix))
    }

    /// The tensors of other types than f32 with their names, in alphabetical order.
    pub fn others(&self) -> impl Iterator<Item = (&str, &RawTensor)> {
        self.entries.iter().filter_map(|(name, entry)| Some((name.as_str(), entry.other()?)))
    }

    /// Whether every tensor of f32 has been taken: a file is read when nothing of it is left.
    ///
    /// # Errors
    /// [`Error::Format`] that names those that are left.
    pub fn finish(self) -> Result<(), Error> {
        let mut left = self.names();
        let names: Vec<&str> = left.by_ref().take(8).collect();
        if names.is_empty() {
            return Ok(());
        }
        let more = if left.next().is_some() { ", ..." } else { "" };
        Err(refused("tensors", "none that has no place here", format_args!("{}{more}", names.join(", "))))
    }
}

/// What is said of the modules.
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
        self.said.forget(prefix);
        if let Some(kind) = kind {
            self.say(prefix, CELL, kind.name().to_owned());
        }
    }

    /// Says one thing of a module.
    pub(in crate::format) fn say(&mut self, prefix: &str, name: &str, text: String) {
        self.said.say(prefix, name, text);
    }

    /// All that is said of a module, also of one with wrappers before its name: texts with their names.
    pub(in crate::format) fn said(&self, prefix: &str) -> Vec<(&str, &str)> {
        self.said.of(prefix)
    }

    /// All that a file says of its modules, by the names that it has there.
    #[cfg(feature = "safetensors")]
    pub(in crate::format) fn metadata(&self) -> &BTreeMap<String, String> {
        self.said.texts()
    }
}

impl IntoIterator for Tensors {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;

    /// The tensors of f32 with their names, in alphabetical order.
    fn into_iter(self) -> Self::IntoIter {
        let mut tensors = Vec::new();
        for (name, entry) in self.entries {
            if let Entry::Floats(tensor) = entry {
                tensors.push((name, tensor));
            }
        }
        tensors.into_iter()
    }
}
