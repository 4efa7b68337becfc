//! Which cells the recurrent modules of a file are said to be.
//!
//! Shapes do not tell every cell: an sLSTM of one head has those of an LSTM, a GRU that resets before the
//! product those of one that resets after it. What this crate saves says its cell, beside the tensors:
//!
//! ```text
//! safetensors   "__metadata__": {"encoder.rnn.fused_rnn.cell": "slstm"}      of the module "encoder.rnn."
//! ```
//!
//! Other formats have no place for it. How many heads an sLSTM has is in the shape of `weight_hh`.

use super::super::refused;
use super::Tensors;
use super::prefix::{CELL, unwrapped};
use crate::cell::CellKind;
use crate::error::Error;

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
        let exact = self.cells.get(prefix);
        let wrapped =
            || self.cells.iter().find(|(module, _)| is_wrapped(module, prefix)).map(|(_, name)| name);
        let Some(name) = exact.or_else(wrapped) else { return Ok(None) };
        match name.parse() {
            Err(Error::Format { expected, got, .. }) => {
                Err(refused(format!("{CELL} of the module {prefix:?}"), expected, got))
            }
            kind => kind.map(Some),
        }
    }

    /// Says which cell a module is, or with `None` that it is not said: of weights from elsewhere, and to
    /// load them as another cell than the file says.
    pub fn set_cell(&mut self, prefix: &str, kind: Option<CellKind>) {
        self.cells.retain(|module, _| module != prefix && !is_wrapped(module, prefix));
        if let Some(kind) = kind {
            self.cells.insert(prefix.to_owned(), kind.name().to_owned());
        }
    }

    /// Takes what `file` says of the cell of this module, whose tensors lose their prefix here.
    pub(in crate::format) fn copy_cell(&mut self, file: &Tensors, prefix: &str) {
        if let Some(cell) = file.cells.get(prefix) {
            self.cells.insert(String::new(), cell.clone());
        }
    }

    /// What a file says of its cells, by the names that they have there.
    #[cfg(feature = "safetensors")]
    pub(in crate::format) fn cells(&self) -> impl Iterator<Item = (String, String)> {
        self.cells.iter().map(|(module, cell)| (format!("{module}{CELL}"), cell.clone()))
    }
}

/// Whether wrappers alone stand in the prefix of a module before this one.
fn is_wrapped(module: &str, prefix: &str) -> bool {
    let name = format!("{module}{CELL}");
    unwrapped(&name).strip_suffix(CELL) == Some(prefix)
}
