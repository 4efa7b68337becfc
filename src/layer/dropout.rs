//! The masks of dropout. Every factor is a function of the seed, the layer and the place, and does not depend
//! on threads or the schedule. So code that needs a factor again draws it again.
//!
//! ```text
//! between layers       y of a layer, each value of each step by itself        PyTorch's dropout
//! input (variational)  x of a layer, one mask (B, I) for all steps of a row   Keras's dropout
//! recurrent            h of the product, one mask (B, H) for all steps        Keras's recurrent_dropout
//! zoneout              h and c keep their old values, each unit of each step by itself
//! ```
//!
//! The first two are factors of a sequence, and this file multiplies them in; the others are applied to the
//! state (`cell/dropout.rs`).

use super::Recurrent;
use super::config::Config;
use crate::cell::{C, H, Zoneout};
use crate::error::{Error, zeros};
use crate::memory::Grid;
use crate::rng::dropout_scale;

/// Seeds of unrelated streams, derived from the seed of a call.
fn between_layers(seed: u64, layer: usize) -> u64 {
    // The stream is not that of the seed itself, which a caller may use too.
    seed ^ (layer as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F)
}

fn recurrent(seed: u64, cell: usize) -> u64 {
    !seed ^ (cell as u64 + 1).wrapping_mul(0xE703_7ED1_A0B4_28DB)
}

fn input(seed: u64, layer: usize) -> u64 {
    seed.rotate_left(21) ^ (layer as u64).wrapping_mul(0x8EBC_6AF0_9C88_C6E3) ^ 0x5899_65CC_7537_4CC3
}

fn zoneout(seed: u64, cell: usize) -> u64 {
    !seed.rotate_left(42) ^ (cell as u64).wrapping_mul(0x1D8E_4E27_C47D_124F)
}

/// The dropout of sequences in a training call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropout {
    /// The probability that a value between two layers is dropped.
    between: f32,
    /// The probability that an input of a layer is dropped, for all steps of a row.
    input: f32,
    seed: u64,
    batch: usize,
}

impl Dropout {
    /// The dropout of a call with this seed.
    pub(super) fn of(config: &Config, seed: u64, batch: usize) -> Self {
        Dropout { between: config.dropout(), input: config.input_dropout(), seed, batch }
    }

    /// No dropout.
    pub(super) const NONE: Dropout = Dropout { between: 0.0, input: 0.0, seed: 0, batch: 0 };

    /// True if values between two layers are dropped.
    pub(super) fn is_between(&self) -> bool {
        self.between > 0.0 || self.input > 0.0
    }

    /// Multiplies part of the output of layer `layer`, or of its gradient, by the factors of both kinds. The
    /// part begins at element `first` of `(T, B, width)`.
    pub(super) fn apply(&self, values: &mut [f32], first: usize, width: usize, layer: usize) {
        if self.between > 0.0 {
            let seed = between_layers(self.seed, layer);
            for (index, value) in values.iter_mut().enumerate() {
                *value *= dropout_scale(seed, (first + index) as u64, self.between);
            }
        }
        if self.input > 0.0 {
            let (seed, period) = (input(self.seed, layer + 1), self.batch * width);
            for (index, value) in values.iter_mut().enumerate() {
                *value *= dropout_scale(seed, ((first + index) % period) as u64, self.input);
            }
        }
    }

    /// Copies the input of the network, multiplied by its factors.
    pub(super) fn copy_input(&self, (x, from): (&[f32], Grid), (to, grid): (&mut [f32], Grid)) {
        // A batch without rows may have any number of steps.
        if self.batch == 0 {
            return;
        }
        let width = grid.width();
        for time in 0..grid.slots() {
            for row in 0..self.batch {
                let from = &x[from.offset(time, row, 0)..][..width];
                to[grid.offset(time, row, 0)..][..width].copy_from_slice(from);
            }
        }
        self.apply_to_input(to, grid);
    }

    /// Multiplies the input of the network, or its gradient, by its factors.
    pub(super) fn apply_to_input(&self, values: &mut [f32], grid: Grid) {
        if self.input == 0.0 || self.batch == 0 {
            return;
        }
        let (seed, width) = (input(self.seed, 0), grid.width());
        for time in 0..grid.slots() {
            for row in 0..self.batch {
                for (unit, value) in values[grid.offset(time, row, 0)..][..width].iter_mut().enumerate() {
                    *value *= dropout_scale(seed, (row * width + unit) as u64, self.input);
                }
            }
        }
    }
}

/// Draws the factors of recurrent dropout of a direction of a layer, row by row.
pub(super) fn draw_recurrent<'a>(
    rows: impl Iterator<Item = &'a mut [f32]>,
    config: &Config,
    seed: u64,
    cell: usize,
) {
    let seed = recurrent(seed, cell);
    let (units, p) = (config.outputs(), config.recurrent_dropout());
    for (row, factors) in rows.enumerate() {
        for (unit, factor) in factors[..units].iter_mut().enumerate() {
            *factor = dropout_scale(seed, (row * units + unit) as u64, p);
        }
    }
}

impl Config {
    /// The zoneout of a direction of a layer in a training call with this seed, or in inference.
    pub(super) fn zoneout_of(&self, cell: usize, seed: Option<u64>) -> Option<Zoneout> {
        let p = self.zoneout;
        let planes = self.variant(0).shape().state.len();
        let new_cell_state = if p[C] > 0.0 { planes } else { C };
        let seed = seed.map(|seed| zoneout(seed, cell));
        (p != [0.0; 2]).then_some(Zoneout { p, seed, new_cell_state })
    }
}

/// The factors that a training call draws, for tests and for programs that compute the same elsewhere. They
/// are time-major in every layout. Hidden states are P wide with a projection, and H wide without.
impl Recurrent {
    /// The factors of dropout between layers that [`forward_train`](Recurrent::forward_train) draws from this
    /// seed for the output of a layer, `(steps, batch, D * P)`: 0 or `1 / (1 - p)`, all 1 without
    /// [`dropout`](crate::Builder::dropout). (What the next layer reads has its input dropout as well.)
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where there is no such layer below another, [`Error::SizeOverflow`] or
    /// [`Error::OutOfMemory`] where they do not fit into memory.
    pub fn dropout_masks(
        &self,
        layer: usize,
        batch: usize,
        steps: usize,
        seed: u64,
    ) -> Result<Vec<f32>, Error> {
        if layer >= self.config.layers() - 1 {
            let (what, expected) = ("layer", "the number of a layer below the last, from 0");
            return Err(Error::OutOfRange { what, expected, got: layer as f64 });
        }
        let width = self.config.output_size();
        let mut masks = zeros("masks", &[steps, batch, width])?;
        masks.fill(1.0);
        let between = Dropout { between: self.config.dropout(), seed, ..Dropout::NONE };
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
        let (cells, units) = (self.config.layers() * self.config.directions(), self.config.outputs());
        let mut masks = zeros("masks", &[cells, batch, units])?;
        for (cell, mask) in masks.chunks_exact_mut((batch * units).max(1)).enumerate() {
            draw_recurrent(mask.chunks_exact_mut(units), &self.config, seed, cell);
        }
        Ok(masks)
    }

    /// The factors of input dropout that [`forward_train`](Recurrent::forward_train) draws from this seed for
    /// a layer, `(batch, I)`, with the width of what the layer reads for I: 0 or `1 / (1 - p)`, all 1 without
    /// [`input_dropout`](crate::Builder::input_dropout).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where there is no such layer, [`Error::SizeOverflow`] or [`Error::OutOfMemory`]
    /// where they do not fit into memory.
    pub fn input_masks(&self, layer: usize, batch: usize, seed: u64) -> Result<Vec<f32>, Error> {
        if layer >= self.config.layers() {
            let (what, expected) = ("layer", "the number of a layer, from 0");
            return Err(Error::OutOfRange { what, expected, got: layer as f64 });
        }
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
        let cells = config.layers() * config.directions();
        let draw = |plane: usize, units: usize| {
            let mut masks = zeros("masks", &[cells, steps, batch, units])?;
            for (index, taken) in masks.iter_mut().enumerate() {
                let (place, unit) = (index / units, index % units);
                let (row, time, cell) = (place % batch, place / batch % steps, place / batch / steps);
                let zoneout = config.zoneout_of(cell, Some(seed));
                *taken = zoneout.map_or(1.0, |zoneout| zoneout.taken_at(plane, (time, row), unit));
            }
            Ok(masks)
        };
        let cell_size = if config.kind().has_cell_state() { config.hidden_size() } else { 0 };
        Ok([draw(H, config.outputs())?, draw(C, cell_size)?])
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, Lstm};

    /// Each kind of mask drops its share, and no two masks agree more often than strangers: for other seeds,
    /// other layers and other kinds, also with a seed of which every bit is set.
    #[test]
    fn masks_are_unrelated_and_drop_their_share() -> Result<(), Error> {
        let p = 0.25;
        let lstm = Lstm::builder(100, 100)
            .layers(3)
            .dropout(p)
            .input_dropout(p)
            .recurrent_dropout(p)
            .zoneout(p, p)
            .build()?;
        // 4000 factors of each.
        let mut masks = Vec::new();
        for seed in [1, 2, u64::MAX] {
            for layer in 0..2 {
                masks.push(lstm.dropout_masks(layer, 8, 5, seed)?);
                masks.push(lstm.input_masks(layer, 40, seed)?);
            }
            let by_cell = |all: Vec<f32>| all.chunks_exact(4000).map(<[f32]>::to_vec).collect::<Vec<_>>();
            masks.extend(by_cell(lstm.recurrent_masks(40, seed)?));
            let [h, c] = lstm.zoneout_masks(8, 5, seed)?;
            masks.extend(by_cell(h).into_iter().chain(by_cell(c)));
        }
        let dropped: Vec<Vec<bool>> =
            masks.iter().map(|mask| mask.iter().map(|&factor| factor == 0.0).collect()).collect();
        for (n, one) in dropped.iter().enumerate() {
            // 1000 are expected, with a standard deviation of 27.
            let count = one.iter().filter(|&&dropped| dropped).count();
            assert!((850..1150).contains(&count), "{count} of mask {n}");
            for (m, other) in dropped[..n].iter().enumerate() {
                // Strangers agree 0.25^2 + 0.75^2 of the time, 2500 times, with a standard deviation of 31.
                let agree = one.iter().zip(other).filter(|(a, b)| a == b).count();
                assert!((2330..2670).contains(&agree), "masks {m} and {n} agree {agree} times");
            }
        }
        Ok(())
    }
}
