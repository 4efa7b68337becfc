//! Whether the options of a network go together, and with its cell.

use super::config::{Config, Direction};
use crate::activation::Activation;
use crate::cell::{CellKind, Options};
use crate::error::{Error, check_len};

impl Config {
    /// Sets the activations of both directions from those that the builder was given.
    pub(super) fn choose_activations(
        &mut self,
        [both, reverse]: &[Option<Vec<Activation>>; 2],
    ) -> Result<(), Error> {
        if reverse.is_some() && self.direction == Direction::Forward {
            return Err(Error::Unsupported { what: "activations_reverse of a layer that only runs forward" });
        }
        let lists =
            [("activations", both), ("activations_reverse", reverse.as_ref().map_or(both, |_| reverse))];
        for (options, (what, list)) in self.options.iter_mut().zip(lists) {
            let Some(list) = list else { continue };
            check_len(what, self.kind.activation_count(), list.len())?;
            options.activations[..list.len()].copy_from_slice(list);
            for got in list.iter().flat_map(|activation| activation.parameters()) {
                if !got.is_finite() {
                    let (what, expected) = ("parameter of an activation", "a finite number");
                    return Err(Error::OutOfRange { what, expected, got: f64::from(got) });
                }
            }
        }
        Ok(())
    }

    /// The options of each direction.
    pub(super) fn used_options(&self) -> &[Options] {
        match self.direction {
            Direction::Forward => &self.options[..1],
            Direction::Reverse => &self.options[1..],
            Direction::Both => &self.options,
        }
    }

    /// Checks that the cell has these options, and that their values are in range.
    pub(super) fn check_options(&self) -> Result<(), Error> {
        let options = &self.options[0];
        let (lstm, slstm) = (self.kind == CellKind::Lstm, self.kind == CellKind::Slstm);
        let cell_state = self.kind.has_cell_state();
        let table = [
            (slstm, self.heads != 1, "heads of a cell other than the sLSTM"),
            (lstm, options.peephole, "peepholes of a cell other than the LSTM"),
            (lstm, self.projection.is_some(), "a projection of a cell other than the LSTM"),
            (lstm, options.coupled, "coupled gates of a cell other than the LSTM"),
            (cell_state, self.zoneout[1] != 0.0, "zoneout of the cell state of a cell that has none"),
            (
                cell_state,
                options.cell_clip != f32::INFINITY,
                "a clip of the cell state of a cell that has none",
            ),
            (!slstm, options.clip != f32::INFINITY, "a clip of an sLSTM"),
            (!slstm, self.zoneout[1] != 0.0, "zoneout of the cell state of an sLSTM"),
            (!slstm, options.cell_clip != f32::INFINITY, "a clip of the cell state of an sLSTM"),
        ];
        if let Some(&(.., what)) = table.iter().find(|(has, wanted, _)| *wanted && !*has) {
            return Err(Error::Unsupported { what });
        }
        if self.recurrent_dropout != 0.0 && !self.kind.has_recurrent_weights() {
            let what = "recurrent dropout of a cell without recurrent weights";
            return Err(Error::Unsupported { what });
        }
        if self.heads == 0 || !self.hidden_size.is_multiple_of(self.heads) {
            let (what, expected) = ("heads", "a number that divides hidden_size");
            return Err(Error::OutOfRange { what, expected, got: self.heads as f64 });
        }
        if let Some(epsilon) = self.layer_norm {
            if !matches!(self.kind, CellKind::Lstm | CellKind::GruResetAfter) {
                let what = "layer normalisation of a cell other than the LSTM and the GRU that resets after";
                return Err(Error::Unsupported { what });
            }
            if options.peephole || options.coupled || self.projection.is_some() {
                let what = "layer normalisation with peepholes, coupled gates or a projection";
                return Err(Error::Unsupported { what });
            }
            if !(epsilon.is_finite() && epsilon > 0.0) {
                let (what, expected) = ("epsilon of layer_norm", "a positive number");
                return Err(Error::OutOfRange { what, expected, got: f64::from(epsilon) });
            }
        }
        if let Some(got) = self.projection.filter(|size| !(1..=self.hidden_size).contains(size)) {
            let (what, expected) = ("projection", "a size from 1 to hidden_size");
            return Err(Error::OutOfRange { what, expected, got: got as f64 });
        }
        for (what, clip) in [("clip", options.clip), ("cell_clip", options.cell_clip)] {
            if clip.is_nan() || clip <= 0.0 {
                let expected = "a positive number";
                return Err(Error::OutOfRange { what, expected, got: f64::from(clip) });
            }
        }
        Ok(())
    }
}
