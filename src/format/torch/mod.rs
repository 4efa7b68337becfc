//! State dicts as `torch.save` writes them, `.pt` and `.pth`: read without PyTorch, and without running
//! anything.
//!
//! ```text
//! since PyTorch 1.6   a zip archive: NAME/data.pkl, a pickle of names and places; NAME/data/0, ... numbers
//! before              five pickles: a number, the version, the machine, names and places, keys; then numbers
//!
//! pickle/          the machine for the pickles, which knows what a state dict is made of and nothing else
//! globals.rs       the names that such a pickle says
//! instructions.rs  the instructions that no state dict has, for errors
//! walk.rs          the tensors of dictionaries and lists, each with its path as its name
//! ```
//!
//! Source: `torch/serialization.py` and `torch/_utils.py`.

mod globals;
mod instructions;
mod pickle;
mod walk;

use super::magic::{Kind, not_readable};
use super::tensor::{DType, RawTensor, element_count, select};
use super::zip::Archive;
use super::{Tensors, refused};
use crate::error::Error;
use pickle::{Storage, Value, View};
use std::collections::{BTreeMap, HashMap};

/// What errors call the reader.
const WHAT: &str = "torch.save";
/// The first pickle of a legacy file: the number 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
/// Tensors may be views of one storage, and repeat its elements: their bytes may be so many times those of
/// the file.
const MAX_EXPANSION: usize = 16;
/// The pickle of an archive may have so many instructions for each byte of the archive, or these few. (A
/// tensor takes some sixty, and its numbers and their names in the archive more bytes than that.)
const INSTRUCTIONS_PER_BYTE: usize = 4;
const FEW_INSTRUCTIONS: usize = 1 << 16;

impl Tensors {
    /// The tensors of a file that `torch.save` wrote, of a state dict or of a checkpoint with state dicts in
    /// it, whose names begin with `prefix`, which they lose here.
    ///
    /// A tensor's name is its path: `weight` of the dictionary `model_state_dict` is
    /// `model_state_dict.weight`. Where no name begins with the prefix, it is looked for after what else
    /// comes first: `rnn.` means `model_state_dict.module.rnn.` too, where the file has one such. F32 is
    /// taken as it is, F16 and BF16 are widened exactly, F64 is rounded to nearest; all else is kept as it
    /// is, among the [`others`](Tensors::others).
    ///
    /// No code of the file is run. What a state dict is not made of, as a model that was saved whole, is
    /// refused.
    ///
    /// ```no_run
    /// use fused_rnn::format::{Tensors, state_dict};
    /// use fused_rnn::{CellKind, Recurrent};
    ///
    /// // torch.save(model.state_dict(), "model.pt"), where the model has `self.rnn = nn.LSTM(..)`
    /// let tensors = Tensors::from_torch(&std::fs::read("model.pt")?, "rnn.")?;
    /// let mut lstm: Recurrent = state_dict::builder(&tensors, CellKind::Lstm)?.build()?;
    /// state_dict::load(tensors, &mut lstm)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where this is no such file, and what it is if that can be told; where it holds other
    /// objects than a state dict is made of, by their names; where it is damaged; where no name has the
    /// prefix, or several modules may be meant by it.
    pub fn from_torch(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
        match Kind::of(bytes) {
            Some(Kind::Pickle) => legacy(bytes, prefix),
            _ => zipped(bytes, prefix),
        }
    }
}

/// A zip archive.
fn zipped(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
    let archive = Archive::open(WHAT, Kind::TorchZip, bytes)?;
    let Some(root) = archive.names().find_map(|name| name.strip_suffix("/data.pkl")).map(str::to_owned)
    else {
        return Err(refused(WHAT, "an archive with data.pkl", "one without"));
    };
    if archive.names().any(|name| name.strip_prefix(&root).is_some_and(|name| name == "/constants.pkl")) {
        let got = "a TorchScript program (torch.jit.save): torch.save(torch.jit.load(..).state_dict(), ..) \
                   writes one";
        return Err(refused(WHAT, "a state dict", got));
    }
    if archive.read(&format!("{root}/byteorder"))?.is_some_and(|order| *order == *b"big") {
        return Err(refused(WHAT, "numbers in little-endian order", "big-endian ones: save them anew"));
    }
    let name = format!("{root}/data.pkl");
    let program = archive.read(&name)?.unwrap_or_default();
    // (It may be deflated a thousandfold.)
    let most = bytes.len().saturating_mul(INSTRUCTIONS_PER_BYTE).max(FEW_INSTRUCTIONS);
    let pickle = pickle::read_at_most("data.pkl", &program, most)?;
    let mut budget = bytes.len().saturating_mul(MAX_EXPANSION);
    select(walk::tensors(&pickle)?, &BTreeMap::new(), prefix, |name, view| {
        if view.storage.dtype == DType::Other {
            return RawTensor::new(DType::Other, &view.shape, Vec::new());
        }
        let key = format!("{root}/data/{}", view.storage.key);
        let Some(numbers) = archive.read_once(&key)? else {
            return Err(refused(name, format_args!("numbers in {key}"), "none"));
        };
        elements(name, view, numbers, &mut budget)
    })
}

/// Pickles, and after them the storages.
fn legacy(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
    let part = |what: &'static str, bytes| {
        let pickle = pickle::read(what, bytes);
        pickle.map_err(|error| not_readable(WHAT, "a file of torch.save", &[Kind::Pickle], bytes, error))
    };
    let other = |more: String| {
        let got = format_args!("a pickle of another program{more}: save arrays by numpy.savez");
        refused(WHAT, "a file of torch.save", got)
    };
    // (Bytes that begin as a pickle does may be anything.)
    let first = pickle::read("the first pickle", bytes)
        .map_err(|error| other(format!(", or a damaged file ({error})")))?;
    if !matches!(first.values[first.root as usize], Value::Long(number) if number == MAGIC) {
        return Err(other(String::new()));
    }
    let version = part("the version", first.rest)?;
    if !matches!(version.values[version.root as usize], Value::Int(1001)) {
        return Err(refused(WHAT, "version 1001 of the legacy format", "another"));
    }
    let machine = part("the machine", version.rest)?;
    let value = |id: pickle::Id| &machine.values[id as usize];
    if let Value::Dict(pairs) = value(machine.root)
        && pairs
            .iter()
            .any(|&(k, v)| matches!((value(k), value(v)), (Value::Text("little_endian"), Value::False)))
    {
        return Err(refused(WHAT, "numbers in little-endian order", "big-endian ones: save them anew"));
    }
    let pickle = pickle::read("the pickle of tensors", machine.rest)?;
    let keys = part("the keys of storages", pickle.rest)?;
    let sizes: HashMap<&str, usize> = pickle
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key, storage.size)),
            _ => None,
        })
        .collect();
    let Value::List(list) = &keys.values[keys.root as usize] else {
        return Err(refused(WHAT, "a list of storages", "something else"));
    };
    let mut storages = HashMap::new();
    let mut rest = keys.rest;
    for &key in list {
        let Value::Text(key) = keys.values[key as usize] else {
            return Err(refused(WHAT, "keys of storages", "something else"));
        };
        let Some((count, after)) = rest.split_first_chunk() else {
            return Err(refused(WHAT, format_args!("storage {key}"), "the end of the file"));
        };
        let size = sizes.get(key).copied().unwrap_or(1);
        let length =
            usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(size));
        let Some((numbers, after)) = length.and_then(|length| after.split_at_checked(length)) else {
            return Err(refused(WHAT, format_args!("the numbers of storage {key}"), "the end of the file"));
        };
        storages.insert(key, numbers);
        rest = after;
    }
    let mut budget = bytes.len().saturating_mul(MAX_EXPANSION);
    select(walk::tensors(&pickle)?, &BTreeMap::new(), prefix, |name, view| {
        match storages.get(view.storage.key) {
            _ if view.storage.dtype == DType::Other => RawTensor::new(DType::Other, &view.shape, Vec::new()),
            Some(numbers) => elements(name, view, numbers, &mut budget),
            None => Err(refused(name, format_args!("numbers in storage {}", view.storage.key), "none")),
        }
    })
}

/// The elements of a view of a storage, in order.
///
/// # Errors
/// [`Error::Format`] where one lies outside of it, or all views together have far more bytes than the file.
fn elements(name: &str, view: &View<'_>, numbers: &[u8], budget: &mut usize) -> Result<RawTensor, Error> {
    let View { storage: Storage { dtype, size, start, count, .. }, offset, shape, strides } = view;
    let part = start.checked_mul(*size).zip(count.checked_mul(*size));
    let part = part.and_then(|(start, length)| numbers.get(start..)?.get(..length));
    let outside = || {
        let length = numbers.len();
        let expected = format_args!("elements within a storage of {length} bytes");
        refused(name, expected, format_args!("shape {shape:?}, strides {strides:?} from {offset} on"))
    };
    let numbers = part.ok_or_else(outside)?;
    let total = element_count(shape).and_then(|count| count.checked_mul(*size)).ok_or_else(outside)?;
    if total == 0 {
        return RawTensor::new(*dtype, shape, Vec::new());
    }
    let steps = shape
        .iter()
        .zip(strides)
        .try_fold(*offset, |last, (size, stride)| last.checked_add((size - 1).checked_mul(*stride)?));
    if steps.is_none_or(|last| last >= *count) {
        return Err(outside());
    }
    let Some(left) = budget.checked_sub(total) else {
        let expected = format_args!("tensors of at most {MAX_EXPANSION} times the bytes of the file");
        return Err(refused(name, expected, format_args!("{total} bytes more")));
    };
    *budget = left;
    // Row-major already, or element by element, the last index fastest.
    let mut dense = 1;
    let contiguous = shape.iter().zip(strides).rev().all(|(size, stride)| {
        let expected = dense;
        dense *= size;
        *size == 1 || *stride == expected
    });
    if contiguous {
        return RawTensor::new(*dtype, shape, numbers[offset * size..][..total].to_vec());
    }
    let mut bytes = Vec::with_capacity(total);
    let (mut index, mut place) = (vec![0; shape.len()], *offset);
    while bytes.len() < total {
        bytes.extend_from_slice(&numbers[place * size..][..*size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= index[axis] * strides[axis];
            index[axis] = 0;
        }
    }
    RawTensor::new(*dtype, shape, bytes)
}
