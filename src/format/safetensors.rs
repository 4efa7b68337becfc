//! Tensors from and to a safetensors file.
//!
//! ```text
//! header length, u64 | header, JSON: name -> type, shape, place; "__metadata__" -> strings | values, little-endian
//! ```

use super::tensor::{Stored, product_without_zeros};
use super::{Tensor, Tensors, refused};
use crate::error::Error;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};

impl Tensors {
    /// The tensors of a safetensors file whose names begin with `prefix`, which they lose here.
    ///
    /// F32 is taken as it is, F16 and BF16 are widened exactly, F64 is rounded to nearest. Tensors without the
    /// prefix are not looked at.
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
    /// [`Error::Format`] where this is no safetensors file, no name begins with `prefix`, or one that does is of
    /// another type (integers, booleans, eight-bit floats), by name.
    pub fn from_safetensors(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
        let file = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let mut tensors = Tensors::new();
        for (name, view) in file.iter() {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let stored = match view.dtype() {
                Dtype::F64 => Stored::F64,
                Dtype::F32 => Stored::F32,
                Dtype::F16 => Stored::F16,
                Dtype::BF16 => Stored::BF16,
                other => return Err(refused(name, "F32, F64, F16 or BF16", format!("{other:?}"))),
            };
            let values = stored.decode(name, view.data())?;
            tensors.insert(rest, Tensor::new(view.shape(), values)?);
        }
        if tensors.map.is_empty() {
            let expected = format!("names that begin with {prefix:?}");
            let some: Vec<&str> = file.names().into_iter().take(4).collect();
            return Err(refused("tensors", expected, format!("none, but {some:?}")));
        }
        Ok(tensors)
    }

    /// The metadata of a safetensors file: strings by name.
    ///
    /// # Errors
    /// [`Error::Format`] where this is no safetensors file.
    pub fn safetensors_metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, Error> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        Ok(header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The bytes of a safetensors file with all tensors as F32, and with metadata.
    ///
    /// # Errors
    /// [`Error::Format`] where the format has no place for them: for a tensor of the name `__metadata__`, and
    /// for a shape whose sizes other than zero cannot be multiplied, which a tensor without values may have.
    pub fn to_safetensors(&self, metadata: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
        // The crate would write it, into a header that it cannot read.
        if self.map.contains_key(RESERVED) {
            return Err(refused("tensors", "names that the format leaves free", RESERVED));
        }
        // Readers multiply them in order, before they come to a zero.
        for (name, tensor) in &self.map {
            if product_without_zeros(tensor.shape()).is_none() {
                let got = format!("shape {:?}", tensor.shape());
                return Err(refused(name, "sizes that can be multiplied in any order", got));
            }
        }
        let little = |tensor: &Tensor| tensor.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes: Vec<Vec<u8>> = self.map.values().map(little).collect();
        let views = self.map.iter().zip(&bytes).map(|((name, tensor), bytes)| {
            Ok((name, TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes)?))
        });
        let metadata: HashMap<String, String> =
            metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        let views = views.collect::<Result<Vec<_>, _>>().map_err(not_safetensors)?;
        safetensors::serialize(views, metadata).map_err(not_safetensors)
    }
}

/// The key of the header that has the metadata.
const RESERVED: &str = "__metadata__";

fn not_safetensors(error: safetensors::SafeTensorError) -> Error {
    refused("safetensors", "a valid file", error.to_string())
}
