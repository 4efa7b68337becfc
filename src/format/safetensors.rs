//! Tensors from and to a safetensors file.
//!
//! ```text
//! header length, u64 | header, JSON: name -> type, shape, place; "__metadata__" -> strings | values
//! ```
//!
//! Among the metadata are the cells and options of modules, `encoder.rnn.fused_rnn.cell`: `tensor/said.rs`.

use super::magic::{Kind, not_readable};
use super::tensor::{DType, RawTensor, product_without_zeros, select};
use super::{Tensors, refused};
use crate::error::Error;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

impl Tensors {
    /// The tensors of a safetensors file whose names begin with `prefix`, which they lose here.
    ///
    /// F32 is taken as it is, F16 and BF16 are widened exactly, F64 is rounded to nearest. All else
    /// (integers, booleans, eight-bit floats) is kept as it is, among the [`others`](Tensors::others).
    /// Tensors without the prefix are not looked at. Where no name begins with it, it is looked for after
    /// what wrappers of PyTorch and checkpoints put first: `rnn.` means `module.rnn.` or `model.rnn.` too,
    /// where the file has one such.
    ///
    /// ```
    /// use fused_rnn::format::{Tensors, state_dict};
    /// use fused_rnn::{CellKind, Lstm};
    ///
    /// let mut file = Tensors::new();
    /// file.insert_all("encoder.rnn.", state_dict::save(&Lstm::builder(3, 4).build()?)?);
    /// let bytes = file.to_safetensors(&[("note", "untrained")])?;
    ///
    /// let tensors = Tensors::from_safetensors(&bytes, "encoder.rnn.")?;
    /// let mut lstm = state_dict::builder(&tensors, CellKind::Lstm)?.build()?;
    /// state_dict::load(tensors, &mut lstm)?;
    /// assert_eq!(lstm.config().hidden_size(), 4);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where this is no safetensors file, and what it is if that can be told; where no name
    /// has the prefix, or several modules may be meant by it.
    pub fn from_safetensors(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| not_safetensors(bytes, error))?;
        select(file.tensors(), &Tensors::safetensors_metadata(bytes)?, prefix, |_, view| {
            let dtype =
                DTYPES.iter().find(|(theirs, _)| *theirs == view.dtype()).map_or(DType::Other, |d| d.1);
            RawTensor::new(dtype, view.shape(), view.data().to_vec())
        })
    }

    /// The metadata of a safetensors file: strings by name.
    ///
    /// # Errors
    /// [`Error::Format`] where this is no safetensors file.
    pub fn safetensors_metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, Error> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| not_safetensors(bytes, error))?;
        Ok(header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The bytes of a safetensors file with all tensors, and with metadata: floats as F32, others as they
    /// are. The metadata also name the [`cell`](Tensors::cell) and the options of each module of which they
    /// are said: `encoder.rnn.fused_rnn.cell` is that of the module `encoder.rnn.`. `metadata` are strings of
    /// the caller's by name, `&[]` where there are none. An example is at
    /// [`from_safetensors`](Tensors::from_safetensors).
    ///
    /// # Errors
    /// [`Error::Format`] where the format has no place for them: for a tensor of the name `__metadata__` or
    /// of [`DType::Other`], and for a shape whose sizes other than zero cannot be multiplied, which a tensor
    /// without values may have; and for metadata that contradict what the tensors say of a module.
    pub fn to_safetensors(&self, metadata: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
        let mut stored = Vec::new();
        for (name, tensor) in self.iter() {
            let bytes: Vec<u8> = tensor.values().iter().flat_map(|v| v.to_le_bytes()).collect();
            stored.push((name, Dtype::F32, tensor.shape(), Cow::Owned(bytes)));
        }
        for (name, raw) in self.others() {
            let Some((dtype, _)) = DTYPES.iter().find(|(_, ours)| *ours == raw.dtype()) else {
                return Err(refused(name, "a type that the format has", format_args!("{:?}", raw.dtype())));
            };
            stored.push((name, *dtype, raw.shape(), Cow::Borrowed(raw.bytes())));
        }
        let mut views = Vec::new();
        for (name, dtype, shape, bytes) in &stored {
            // The crate would write it, into a header that it cannot read.
            if *name == RESERVED {
                return Err(refused("tensors", "names that the format leaves free", RESERVED));
            }
            // Readers multiply them in order, before they come to a zero.
            if product_without_zeros(shape).is_none() {
                let got = format_args!("shape {shape:?}");
                return Err(refused(*name, "sizes that can be multiplied in any order", got));
            }
            let view = TensorView::new(*dtype, shape.to_vec(), bytes);
            views.push((*name, view.map_err(|error| refused(*name, "a tensor that fits", error))?));
        }
        let mut all: HashMap<String, String> = self.metadata().clone().into_iter().collect();
        for &(key, value) in metadata {
            match all.insert(key.to_owned(), value.to_owned()) {
                Some(said) if said != value => {
                    let expected = format_args!("{said:?}, as the tensors say, or nothing");
                    return Err(refused(
                        format_args!("metadata {key:?}"),
                        expected,
                        format_args!("{value:?}"),
                    ));
                }
                _ => {}
            }
        }
        let metadata = Some(all).filter(|all| !all.is_empty());
        let error = |error: SafeTensorError| refused("safetensors", "tensors that fit", error);
        safetensors::serialize(views, metadata).map_err(error)
    }
}

/// The key of the header that has the metadata.
const RESERVED: &str = "__metadata__";

/// The format's types and ours.
const DTYPES: [(Dtype, DType); 13] = [
    (Dtype::F64, DType::F64),
    (Dtype::F32, DType::F32),
    (Dtype::F16, DType::F16),
    (Dtype::BF16, DType::BF16),
    (Dtype::I64, DType::I64),
    (Dtype::I32, DType::I32),
    (Dtype::I16, DType::I16),
    (Dtype::I8, DType::I8),
    (Dtype::U64, DType::U64),
    (Dtype::U32, DType::U32),
    (Dtype::U16, DType::U16),
    (Dtype::U8, DType::U8),
    (Dtype::BOOL, DType::Bool),
];

fn not_safetensors(bytes: &[u8], error: SafeTensorError) -> Error {
    not_readable("safetensors", "a valid file", &[Kind::Safetensors], bytes, error)
}
