//! The masks of dropout. Every factor is a function of the seed, the layer, and the step, row and unit. It
//! does not depend on threads or the schedule, so code that needs a factor again draws it again.
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

use super::config::Config;
use crate::cell::{C, Zoneout};
use crate::memory::{GridMut, GridRef};
use crate::rng::dropout_scale;
use crate::sequence::Rows;

/// Seeds of unrelated streams, derived from the seed of a call.
fn between_layers(seed: u64, layer: usize) -> u64 {
    // The stream is not that of the seed itself, which a caller may use too.
    seed ^ (layer as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F)
}

fn recurrent(seed: u64, strand: usize) -> u64 {
    !seed ^ (strand as u64 + 1).wrapping_mul(0xE703_7ED1_A0B4_28DB)
}

pub(super) fn input(seed: u64, layer: usize) -> u64 {
    seed.rotate_left(21) ^ (layer as u64).wrapping_mul(0x8EBC_6AF0_9C88_C6E3) ^ 0x5899_65CC_7537_4CC3
}

fn zoneout(seed: u64, strand: usize) -> u64 {
    !seed.rotate_left(42) ^ (strand as u64).wrapping_mul(0x1D8E_4E27_C47D_124F)
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

    /// Dropout between layers alone.
    pub(super) fn between(p: f32, seed: u64) -> Self {
        Dropout { between: p, seed, ..Dropout::NONE }
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

    /// Copies the input of the network, of the steps that there are, multiplied by its factors.
    pub(super) fn copy_input(&self, x: GridRef<'_>, to: GridMut<'_>, rows: &Rows) {
        for (time, row) in rows.all_places() {
            // SAFETY: the places exist, and nobody else works on the copy.
            unsafe { to.columns(time, row, 0, 0..to.grid.width()) }.copy_from_slice(x.plane(time, row, 0));
        }
        self.apply_to_input(to, rows);
    }

    /// Multiplies the input of the network, or its gradient, by its factors.
    pub(super) fn apply_to_input(&self, values: GridMut<'_>, rows: &Rows) {
        if self.input == 0.0 {
            return;
        }
        let (seed, width) = (input(self.seed, 0), values.grid.width());
        for (time, row) in rows.all_places() {
            // SAFETY: the places exist, and nobody else works on the values.
            let values = unsafe { values.columns(time, row, 0, 0..width) };
            for (unit, value) in values.iter_mut().enumerate() {
                *value *= dropout_scale(seed, (row * width + unit) as u64, self.input);
            }
        }
    }
}

/// Draws the factors of recurrent dropout of a direction of a layer, row by row.
pub(super) fn draw_recurrent<'a>(
    rows: impl Iterator<Item = &'a mut [f32]>,
    config: &Config,
    seed: u64,
    strand: usize,
) {
    let seed = recurrent(seed, strand);
    let (units, p) = (config.outputs(), config.recurrent_dropout());
    for (row, factors) in rows.enumerate() {
        for (unit, factor) in factors[..units].iter_mut().enumerate() {
            *factor = dropout_scale(seed, (row * units + unit) as u64, p);
        }
    }
}

impl Config {
    /// The zoneout of a direction of a layer in a training call with this seed, or in inference.
    pub(super) fn zoneout_of(&self, strand: usize, seed: Option<u64>) -> Option<Zoneout> {
        let p = self.zoneout;
        let planes = self.variant(0).shape().state.len();
        let new_cell_state = if p[C] > 0.0 { planes } else { C };
        let seed = seed.map(|seed| zoneout(seed, strand));
        (p != [0.0; 2]).then_some(Zoneout { p, seed, new_cell_state })
    }
}
