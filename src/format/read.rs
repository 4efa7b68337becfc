//! Tensors of whatever file there is.

use super::Tensors;
use super::magic::{Kind, not_readable};
use crate::error::Error;

impl Tensors {
    /// The tensors of a file of any format that the crate is built to read, by its first bytes: safetensors,
    /// what `torch.save` wrote (feature `torch`), `.npz` (feature `npz`), a `state_dict` in JSON (feature
    /// `json`); of them, those whose names begin with `prefix`, which they lose here.
    ///
    /// ```no_run
    /// use fused_rnn::format::{Tensors, state_dict};
    ///
    /// let file = Tensors::read(&std::fs::read("model.pt")?, "")?;
    /// for module in state_dict::modules(&file) {
    ///     println!("{module}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where the file is of another kind, which is named with what to do if it can be told,
    /// and the errors of `from_safetensors`, `from_torch`, `from_npz` and `from_json`.
    pub fn read(bytes: &[u8], prefix: &str) -> Result<Tensors, Error> {
        match Kind::of(bytes) {
            #[cfg(feature = "safetensors")]
            Some(Kind::Safetensors) => Tensors::from_safetensors(bytes, prefix),
            #[cfg(feature = "torch")]
            Some(Kind::TorchZip | Kind::Pickle) => Tensors::from_torch(bytes, prefix),
            #[cfg(feature = "npz")]
            Some(Kind::Npz) => Tensors::from_npz(bytes, prefix),
            #[cfg(feature = "json")]
            Some(Kind::Json) => Tensors::from_json(bytes, prefix),
            _ => {
                let expected = "a file of safetensors, torch.save, numpy.savez or JSON";
                Err(not_readable("file", expected, &[], bytes, "one of none of these"))
            }
        }
    }
}
