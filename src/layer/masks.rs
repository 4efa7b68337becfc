//! The factors that a training call draws, as arrays.

use super::dropout::{Dropout, draw_recurrent, input};
use super::recurrent::Recurrent;
use crate::cell::{C, H};
use crate::error::{Error, check_index, zeros};
use crate::rng::dropout_scale;

/// The factors that a training call draws, for tests and for programs that compute the same elsewhere. They
/// are time-major in every layout. Hidden states are P wide with a projection, and H wide without.
impl Recurrent {
    /// The factors of dropout between layers that [`forward_train`](Recurrent::forward_train) draws from this
    /// seed for the output of a layer, `(steps, batch, D * P)`: 0 or `1 / (1 - p)`, all 1 without
    /// [`dropout`](crate::Builder::dropout). (What the next layer reads has its input dropout as well.)
    ///
    /// # Errors
    /// [`Error::Index`] where there is no such layer below another, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where they do not fit into memory.
    pub fn dropout_masks(
        &self,
        layer: usize,
        batch: usize,
        steps: usize,
        seed: u64,
    ) -> Result<Vec<f32>, Error> {
        check_index("layer (below another)", self.config.layers() - 1, layer)?;
        let width = self.config.output_size();
        let mut masks = zeros("masks", &[steps, batch, width])?;
        masks.fill(1.0);
        let between = Dropout::between(self.config.dropout(), seed);
        between.apply(&mut masks, 0, width, layer);
        Ok(masks)
    }

    /// The factors of recurrent dropout that [`forward_train`](Recurrent::forward_train) draws from this
    /// seed, `(layers * directions, batch, P)`: 0 or `1 / (1 - p)`, all 1 without
    /// [`recurrent_dropout`](crate::Builder::recurrent_dropout).
    ///
    /// # Errors
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where they do not fit into memory.
    pub fn recurrent_masks(&self, batch: usize, seed: u64) -> Result<Vec<f32>, Error> {
        let (strands, units) = (self.config.strands(), self.config.outputs());
        let mut masks = zeros("masks", &[strands, batch, units])?;
        for (strand, mask) in masks.chunks_exact_mut((batch * units).max(1)).enumerate() {
            draw_recurrent(mask.chunks_exact_mut(units), &self.config, seed, strand);
        }
        Ok(masks)
    }

    /// The factors of input dropout that [`forward_train`](Recurrent::forward_train) draws from this seed for
    /// a layer, `(batch, I)`, with the width of what the layer reads for I: 0 or `1 / (1 - p)`, all 1 without
    /// [`input_dropout`](crate::Builder::input_dropout).
    ///
    /// # Errors
    /// [`Error::Index`] where there is no such layer, [`Error::SizeOverflow`] or [`Error::OutOfMemory`]
    /// where they do not fit into memory.
    pub fn input_masks(&self, layer: usize, batch: usize, seed: u64) -> Result<Vec<f32>, Error> {
        check_index("layer", self.config.layers(), layer)?;
        let mut masks = zeros("masks", &[batch, self.config.layer_input(layer)])?;
        let (seed, p) = (input(seed, layer), self.config.input_dropout());
        for (index, factor) in masks.iter_mut().enumerate() {
            *factor = dropout_scale(seed, index as u64, p);
        }
        Ok(masks)
    }

    /// The parts of the new hidden and cell states that zoneout takes over in a
    /// [`forward_train`](Recurrent::forward_train) with this seed, `(layers * directions, steps, batch, P)`
    /// and `(layers * directions, steps, batch, H)`: 0 or 1. The second is empty where the cell has no cell
    /// state.
    ///
    /// # Errors
    /// [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where they do not fit into memory.
    pub fn zoneout_masks(&self, batch: usize, steps: usize, seed: u64) -> Result<[Vec<f32>; 2], Error> {
        let config = &self.config;
        let strands = config.strands();
        let draw = |plane: usize, units: usize| {
            let mut masks = zeros("masks", &[strands, steps, batch, units])?;
            for (index, taken) in masks.iter_mut().enumerate() {
                let (place, unit) = (index / units, index % units);
                let (row, time, strand) = (place % batch, place / batch % steps, place / batch / steps);
                let zoneout = config.zoneout_of(strand, Some(seed));
                *taken = zoneout.map_or(1.0, |zoneout| zoneout.taken_at(plane, (time, row), unit));
            }
            Ok(masks)
        };
        let cell_size = if config.kind().has_cell_state() { config.hidden_size() } else { 0 };
        Ok([draw(H, config.outputs())?, draw(C, cell_size)?])
    }
}
