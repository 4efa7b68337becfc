//! Which names of a file a prefix means.
//!
//! A model that was trained on several machines, compiled or saved within a checkpoint has more before its
//! names than its class says: `module.`, `_orig_mod.`, `model_state_dict.`. A prefix is looked for at the
//! beginning of the names first; where none begins with it, after whatever else comes first, if that is one
//! thing.

#[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "json"))]
pub(in crate::format) use reading::select;
use std::borrow::Cow;

/// A part that wrappers of PyTorch put at the beginning of names.
const FIRST: &str = "module";
/// Parts that they put anywhere.
const ANYWHERE: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The part that follows a module's prefix in the names of texts about it: `said.rs`.
pub(super) const SAID: &str = "fused_rnn.";

/// A name without what wrappers put into it.
pub(in crate::format) fn unwrapped(name: &str) -> Cow<'_, str> {
    // The last part is a tensor's own name.
    let Some((path, own)) = name.rsplit_once('.') else { return Cow::Borrowed(name) };
    let kept: Vec<&str> = path.split('.').filter(|part| !ANYWHERE.contains(part)).collect();
    let first = kept.iter().take_while(|part| **part == FIRST).count();
    if first == 0 && kept.len() == path.split('.').count() {
        return Cow::Borrowed(name);
    }
    Cow::Owned(kept[first..].iter().chain([&own]).copied().collect::<Vec<_>>().join("."))
}

#[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "json"))]
/// The first place where `part` stands in a name, at its beginning or after a point.
fn component(name: &str, part: &str) -> Option<usize> {
    let places = name.match_indices(part).map(|(place, _)| place);
    places.into_iter().find(|&place| place == 0 || name.as_bytes()[place - 1] == b'.')
}

#[cfg(any(feature = "safetensors", feature = "torch", feature = "npz", feature = "json"))]
mod reading {
    use super::super::super::refused;
    use super::super::{RawTensor, Tensors};
    use super::{SAID, component, unwrapped};
    use crate::error::Error;
    use std::borrow::Cow;
    use std::collections::{BTreeMap, BTreeSet};

    /// The tensors of a file whose names begin with `prefix`, which they lose, and of the `texts` beside them
    /// those that say something of modules; `read` is asked for these tensors alone.
    ///
    /// # Errors
    /// [`Error::Format`] where there are none, or where it is not clear which are meant; and those of `read`.
    pub(in crate::format) fn select<T>(
        entries: Vec<(String, T)>,
        texts: &BTreeMap<String, String>,
        prefix: &str,
        mut read: impl FnMut(&str, T) -> Result<RawTensor, Error>,
    ) -> Result<Tensors, Error> {
        // The rest of a name, where a prefix stands at its beginning.
        let plain = entries.iter().any(|(name, _)| name.starts_with(prefix));
        let before = if plain { String::new() } else { before(&entries, prefix)? };
        let rest = |name: &str| {
            let whole = if plain { Cow::Borrowed(name) } else { unwrapped(name) };
            whole.strip_prefix(before.as_str())?.strip_prefix(prefix).map(str::to_owned)
        };
        let mut tensors = Tensors::new();
        for (name, entry) in entries {
            let Some(rest) = rest(&name) else { continue };
            if tensors.get(&rest).is_some() || tensors.raw(&rest).is_some() {
                return Err(refused(&name, "names that differ", format_args!("two tensors {rest:?}")));
            }
            let tensor = read(&name, entry)?;
            tensors.insert_stored(rest, tensor);
        }
        for (name, text) in texts {
            let rest = rest(name);
            let parts = rest.as_deref().and_then(|rest| rest.rsplit_once(SAID));
            // (Names with points in them are others'.)
            if let Some((module, what)) = parts.filter(|(_, what)| !what.contains('.')) {
                tensors.say(module, what, text.clone());
            }
        }
        Ok(tensors)
    }

    /// What else stands before the prefix, where it does not begin a name.
    fn before<T>(entries: &[(String, T)], prefix: &str) -> Result<String, Error> {
        if entries.is_empty() {
            return Err(refused("tensors", "at least one", "a file without any"));
        }
        let mut found = BTreeSet::new();
        for (name, _) in entries {
            let name = unwrapped(name);
            if let Some(place) = component(&name, prefix) {
                found.insert(name[..place].to_owned());
            }
        }
        let expected = || format!("names that begin with {prefix:?}");
        match (found.pop_first(), found.pop_first()) {
            (Some(before), None) => Ok(before),
            (Some(first), Some(second)) => {
                let got = format_args!("{:?} and {:?}: say which", first + prefix, second + prefix);
                Err(refused("tensors", expected(), got))
            }
            (None, _) => {
                let mut prefixes = BTreeSet::new();
                for (name, _) in entries {
                    prefixes.insert(&name[..name.rfind(['.', '/']).map_or(0, |end| end + 1)]);
                }
                let more = if prefixes.len() > 8 { ", ..." } else { "" };
                let some: Vec<String> = prefixes.iter().take(8).map(|prefix| format!("{prefix:?}")).collect();
                Err(refused("tensors", expected(), format_args!("none, but {}{more}", some.join(", "))))
            }
        }
    }
}

#[cfg(all(test, any(feature = "safetensors", feature = "torch", feature = "npz")))]
mod tests {
    use super::*;
    use crate::format::{DType, RawTensor};

    fn names(names: &[&str], prefix: &str) -> Result<Vec<String>, String> {
        let entries = names.iter().map(|&name| (name.to_owned(), ())).collect();
        let texts = [("module.rnn.fused_rnn.cell", "gru"), ("rnn.cell", "lstm")];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let tensors = select(entries, &texts, prefix, |_, ()| RawTensor::new(DType::F32, &[0], Vec::new()));
        tensors.map(|tensors| tensors.names().map(str::to_owned).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_prefix_is_found_where_it_begins_a_name_or_after_one_thing() {
        for (file, prefix, want) in [
            (&["rnn.w", "b"][..], "rnn.", &["w"][..]),
            (&["rnn.w", "b"], "", &["b", "rnn.w"]),
            (&["module.rnn.w", "module.b"], "rnn.", &["w"]),
            (&["_orig_mod.rnn.w", "_orig_mod.rnn.b"], "rnn.", &["b", "w"]),
            (&["module.a._orig_mod.rnn.w"], "a.rnn.", &["w"]),
            (&["a.rnn._orig_mod.w"], "rnn.", &["w"]),
            (&["state_dict.module.rnn.w", "epoch"], "rnn.", &["w"]),
            // Asked for as it is, a wrapper is a name like others.
            (&["module.rnn.w"], "module.", &["rnn.w"]),
            (&["a._orig_mod.w"], "a._orig_mod.", &["w"]),
        ] {
            assert_eq!(names(file, prefix).unwrap(), want, "{file:?} {prefix:?}");
        }
    }

    #[test]
    fn nothing_is_chosen_where_two_are_meant() {
        let error = names(&["model.rnn.w", "ema.rnn.w"], "rnn.").unwrap_err();
        assert!(error.ends_with("got \"ema.rnn.\" and \"model.rnn.\": say which"), "{error}");
        // Not in the middle of a part of a name.
        let error = names(&["mornn.w"], "rnn.").unwrap_err();
        assert!(error.ends_with("got none, but \"mornn.\""), "{error}");
        let error = names(&["c.w", "w", "a/b.w", "a/c", "c.b"], "zzz.").unwrap_err();
        assert!(error.ends_with("got none, but \"\", \"a/\", \"a/b.\", \"c.\""), "{error}");
        let many: Vec<String> = (0..9).map(|n| format!("{n}.w")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(names(&many, "zzz.").unwrap_err().ends_with("\"6.\", \"7.\", ..."));
        let error = names(&["module.rnn.w", "_orig_mod.rnn.w"], "rnn.").unwrap_err();
        assert!(error.contains("two tensors \"w\""), "{error}");
    }
}
