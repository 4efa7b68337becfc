//! The tensors of dictionaries and lists, each with its path as its name.

use super::super::refused;
use super::pickle::{Id, Pickle, Value, View};
use crate::error::Error;

/// Dictionaries in dictionaries.
const MAX_LEVELS: usize = 32;
/// The most that all names together may be, as a multiple of the file: a name is the path of its tensor, so
/// shared containers repeat their names.
const MAX_NAMES: usize = 64;

/// All tensors of a pickle, by their paths.
///
/// # Errors
/// [`Error::Format`] where there is none, or where containers are nested in circles or far too deep.
pub(super) fn tensors<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<(String, &'p View<'a>)>, Error> {
    // A container in several others is visited for each: without a limit, that is as many times as there are
    // paths.
    let visits = pickle.values.len().saturating_mul(4).saturating_add(16);
    let names = pickle.values.len().saturating_mul(MAX_NAMES).saturating_add(1 << 16);
    let mut walk = Walk { pickle, found: Vec::new(), path: String::new(), visits, names };
    walk.visit(pickle.root, 0)?;
    if walk.found.is_empty() {
        return Err(refused("data.pkl", "tensors in dictionaries or lists", "none"));
    }
    Ok(walk.found)
}

struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    found: Vec<(String, &'p View<'a>)>,
    path: String,
    /// Values that may still be visited, and bytes of names that may still be made.
    visits: usize,
    names: usize,
}

impl<'p, 'a> Walk<'p, 'a> {
    fn visit(&mut self, id: Id, level: usize) -> Result<(), Error> {
        let pickle = self.pickle;
        let Some(visits) = self.visits.checked_sub(1).filter(|_| level <= MAX_LEVELS) else {
            return Err(refused(
                "data.pkl",
                format_args!("at most {MAX_LEVELS} levels of containers"),
                "more",
            ));
        };
        self.visits = visits;
        match &pickle.values[id as usize] {
            Value::Tensor(view) => {
                let name = if self.path.is_empty() { "tensor" } else { self.path.as_str() };
                let name = name.to_owned();
                self.spend(name.len())?;
                self.found.push((name, view));
            }
            Value::Dict(pairs) => {
                for &(key, value) in pairs {
                    match &pickle.values[key as usize] {
                        Value::Text(key) => self.below(key, value, level)?,
                        Value::Int(key) => self.below(&key.to_string(), value, level)?,
                        // No names.
                        _ => (),
                    }
                }
            }
            Value::Tuple(items) | Value::List(items) => {
                for (index, &item) in items.iter().enumerate() {
                    self.below(&index.to_string(), item, level)?;
                }
            }
            _ => (),
        }
        Ok(())
    }

    /// Accounts for bytes of names.
    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        let left = self.names.checked_sub(bytes);
        self.names =
            left.ok_or_else(|| refused("data.pkl", "names that are shorter in all", "far longer ones"))?;
        Ok(())
    }

    fn below(&mut self, key: &str, value: Id, level: usize) -> Result<(), Error> {
        // Numbers and text have no names, and there are many of them.
        let named = matches!(
            self.pickle.values[value as usize],
            Value::Tensor(_) | Value::Dict(_) | Value::Tuple(_) | Value::List(_)
        );
        if !named {
            return Ok(());
        }
        self.spend(key.len())?;
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        self.visit(value, level + 1)?;
        self.path.truncate(length);
        Ok(())
    }
}
