//! The cell of a module by the names and shapes of its tensors, with I inputs, H units and N heads:
//!
//! | `weight_ih` | `weight_hh` | cell |
//! |---|---|---|
//! | (4 H, I) | (4 H, H) | LSTM of `torch.nn`; an sLSTM of one head has the same |
//! | (4 H, I) | (4 H, P), and `weight_hr` (P, H) | LSTM of `torch.nn`, projected |
//! | (3 H, I) | (3 H, H) | GRU of `torch.nn`, reset after; that reset before has the same |
//! | (H, I) | (H, H) | RNN of `torch.nn`, of tanh or of the rectifier |
//! | (5 H, I) | (5 H, H) | multiplicative LSTM |
//! | (4 H, I) | (4 H, H / N) | sLSTM of N heads |
//! | (H, I) | (H) | independently recurrent |
//! | (2 H, I) or (3 H, I) | none | minimal GRU or LSTM: a second layer tells H, else what divides the rows |
//!
//! What a module of `torch.nn` may be is taken as one.

use super::super::Tensor;
use super::super::tensor::of_shape;
use super::{Tensors, refused};
use crate::cell::CellKind;
use crate::error::Error;

/// The cells that tensors may be of, the first that fit: those of `torch.nn` before others.
const KINDS: [&[CellKind]; 9] = [
    &[CellKind::Lstm],
    &[CellKind::GruResetAfter],
    &[CellKind::ElmanTanh, CellKind::ElmanRelu],
    &[CellKind::LstmMultiplicative],
    &[CellKind::Slstm],
    &[CellKind::IndRnn],
    &[CellKind::MinGru, CellKind::MinLstm],
    &[CellKind::MinGru],
    &[CellKind::MinLstm],
];

/// The shapes of the tensors of a module that tell its cell and its sizes.
pub(super) struct Shapes<'t> {
    rows: usize,
    pub(super) input: usize,
    /// Of `weight_hh_l0`.
    recurrent: Option<&'t [usize]>,
    /// Of `weight_hr_l0`.
    projection: Option<&'t [usize]>,
    /// Columns of `weight_ih_l1`.
    above: Option<usize>,
    pub(super) layers: usize,
    pub(super) directions: usize,
    pub(super) bias: bool,
    /// What a parameter is called that only cells with recurrent weights have.
    of_recurrent: Option<&'t str>,
    /// What an error got where `weight_hh_l0` is missing.
    missing: String,
}

/// The sizes of a layer of some cell.
pub(super) struct Sizes {
    pub(super) hidden: usize,
    /// Features of its hidden state, and of them those that a unit sees.
    pub(super) output: usize,
    pub(super) seen: usize,
    pub(super) heads: usize,
    pub(super) projection: Option<usize>,
}

impl<'t> Shapes<'t> {
    /// Those of whole parameters; errors look at what else the file has.
    pub(super) fn of(parameters: &'t Tensors, file: &Tensors) -> Result<Shapes<'t>, Error> {
        let shape = |name: &str| parameters.get(name).map(Tensor::shape);
        let has = |name: &str| shape(name).is_some();
        let Some(&[rows, input]) = shape("weight_ih_l0") else {
            return Err(no_matrix("weight_ih_l0", shape("weight_ih_l0"), &file.missing("weight_ih_l0")));
        };
        Ok(Shapes {
            rows,
            input,
            recurrent: shape("weight_hh_l0"),
            projection: shape("weight_hr_l0"),
            above: shape("weight_ih_l1").and_then(|shape| shape.get(1).copied()),
            layers: (0..).take_while(|layer| has(&format!("weight_ih_l{layer}"))).count(),
            directions: 1 + usize::from(has("weight_ih_l0_reverse")),
            bias: has("bias_ih_l0") || has("bias_hh_l0"),
            of_recurrent: ["bias_hh_l0", "norm_hh_l0"].into_iter().find(|name| has(name)),
            missing: file.missing("weight_hh_l0"),
        })
    }

    /// The sizes of the first layer, where it may be of this cell. Rows of its matrices alone are looked at;
    /// other tensors say their shapes when they are read.
    pub(super) fn sizes(&self, kind: CellKind) -> Option<Sizes> {
        let hidden = self.rows / kind.gates();
        if hidden == 0 || !self.rows.is_multiple_of(kind.gates()) {
            return None;
        }
        let plain = Sizes { hidden, output: hidden, seen: hidden, heads: 1, projection: None };
        if kind.recurrent_gates() == 0 {
            let fits = match self.recurrent {
                None => !kind.has_recurrent_weights(),
                Some(shape) => kind.has_recurrent_weights() && shape == [hidden],
            };
            return fits.then_some(plain);
        }
        let &[_, seen] = self.recurrent? else { return None };
        if self.projection.is_some() {
            return Some(Sizes { output: seen, seen, projection: Some(seen), ..plain });
        }
        if kind == CellKind::Slstm && seen > 0 && hidden.is_multiple_of(seen) {
            // Units that see fewer others have heads.
            return Some(Sizes { seen, heads: hidden / seen, ..plain });
        }
        (seen == hidden).then_some(plain)
    }

    /// The cells that all these shapes may be of, and that some name has not excluded.
    pub(super) fn kinds(&self) -> Option<&'static [CellKind]> {
        KINDS.into_iter().find(|kinds| kinds.iter().all(|&kind| self.fits(kind)))
    }

    /// Whether all shapes here are those of this cell.
    fn fits(&self, kind: CellKind) -> bool {
        let Some(Sizes { hidden, output, seen, .. }) = self.sizes(kind) else { return false };
        let recurrent = match (self.recurrent, kind.recurrent_gates()) {
            (None, _) => self.of_recurrent.is_none(),
            (Some(_), 0) => true,
            (Some(shape), gates) => shape == [gates * hidden, seen],
        };
        let projection =
            self.projection.is_none_or(|shape| kind == CellKind::Lstm && shape == [seen, hidden]);
        let above = self.above.is_none_or(|width| width == output.saturating_mul(self.directions));
        recurrent && projection && above
    }

    /// The error of a module that is not of this cell.
    pub(super) fn not_of(&self, kind: CellKind) -> Error {
        let other = match self.kinds() {
            Some(&[CellKind::Slstm]) => match self.sizes(CellKind::Slstm) {
                Some(Sizes { heads, .. }) => format!(", as Slstm of {heads} heads has"),
                None => String::new(),
            },
            Some(kinds) => format!(", as {} has", names(kinds)),
            None => String::new(),
        };
        let (gates, rows) = (kind.gates(), self.rows);
        match self.recurrent {
            Some(shape) if !kind.has_recurrent_weights() => {
                let expected = format_args!("none, as {kind:?} has none");
                refused("weight_hh_l0", expected, format_args!("shape {shape:?}{other}"))
            }
            _ if kind.recurrent_gates() == 0 && !rows.is_multiple_of(gates) => {
                let expected = format_args!("a multiple of {gates} rows for {kind:?}");
                refused("weight_ih_l0", expected, format_args!("{rows}{other}"))
            }
            Some(&[_, seen]) if kind.recurrent_gates() > 0 => {
                let expected =
                    format_args!("{} rows for {seen} units of {kind:?}", gates.saturating_mul(seen));
                refused("weight_ih_l0", expected, format_args!("{rows}{other}"))
            }
            shape => {
                let what = if kind.recurrent_gates() > 0 { "a matrix".to_owned() } else { of_shape(&[rows]) };
                let got = shape.map_or_else(|| self.missing.clone(), |shape| format!("shape {shape:?}"));
                refused("weight_hh_l0", format_args!("{what} for {kind:?}"), format_args!("{got}{other}"))
            }
        }
    }

    /// The error of a module that is of no cell.
    pub(super) fn of_none(&self) -> Error {
        match self.recurrent {
            Some(shape) => {
                let expected = format_args!("rows as a cell has beside weight_hh_l0 of shape {shape:?}");
                refused("weight_ih_l0", expected, self.rows)
            }
            None => no_matrix("weight_hh_l0", None, &self.missing),
        }
    }
}

/// Cells in words: `MinGru or MinLstm`.
pub(super) fn names(kinds: &[CellKind]) -> String {
    let names: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    names.join(" or ")
}

fn no_matrix(name: &str, shape: Option<&[usize]>, missing: &str) -> Error {
    let got = shape.map_or_else(|| missing.to_owned(), |shape| format!("shape {shape:?}"));
    refused(name, "a matrix", got)
}
