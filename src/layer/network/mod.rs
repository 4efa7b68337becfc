//! The layers of a call, and the passes through them: `forward.rs` and `backward.rs`.
//!
//! ```text
//! forward    x  ->  layer 0  ->  (T, B, D*H)  ->  layer 1  ->  y       initial states  ->  final states
//! backward   dx <-  layer 0  <-  (T, B, D*H)  <-  layer 1  <-  dy      their gradients <-  their gradients
//! ```
//!
//! Both take the shapes and the memory of a call. A strand (one direction of one layer, number
//! `layer * directions + direction`) is one pass of `sequence/`.

mod backward;
mod forward;

use super::config::{Config, Layout, Sequences};
use super::dropout::Dropout;
use super::tape::TapeShape;
use crate::cell::{Context, Weights};
use crate::error::Error;
use crate::memory::Grid;
use crate::sequence::{Pass, Rows};
pub(super) use backward::WayBack;
pub(super) use forward::CallMemory;

/// The shapes of the sequences of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grids {
    /// The caller's input, its gradient, and the output.
    pub(super) x: Grid,
    pub(super) dx: Grid,
    pub(super) y: Grid,
    /// The sequence between two layers, as the upper layer reads it and as the lower layer writes it.
    pub(super) inner_input: Grid,
    pub(super) inner_output: Grid,
}

impl Grids {
    /// Those of a call in this layout.
    pub(super) fn of(config: &Config, layout: Layout, sequences: Sequences) -> Result<Grids, Error> {
        let (Sequences { batch, steps, .. }, directions) = (sequences, config.directions());
        Ok(Grids {
            x: sequences.x(config.input_size, layout)?,
            dx: sequences.grid(1, config.input_size, layout)?,
            y: sequences.grid(directions, config.outputs(), layout)?,
            inner_input: Grid::slot_major(steps, batch, 1, config.output_size())?,
            inner_output: Grid::slot_major(steps, batch, directions, config.outputs())?,
        })
    }
}

/// The layers of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network<'a> {
    pub(super) config: &'a Config,
    /// Of each strand.
    pub(super) weights: &'a [Weights],
    pub(super) rows: &'a Rows,
    pub(super) grids: Grids,
    /// The shape of the tape, if there is one.
    pub(super) shape: Option<TapeShape>,
    /// The masks of recurrent dropout of each strand, where there are any.
    pub(super) masks: &'a [f32],
    pub(super) dropout: Dropout,
    /// The seed of a training call.
    pub(super) seed: Option<u64>,
}

impl<'a> Network<'a> {
    /// The pass of a direction of a layer, up or down.
    fn pass(&self, layer: usize, direction: usize) -> Pass<'a> {
        let strand = self.config.strand(layer, direction);
        Pass {
            context: Context {
                weights: &self.weights[strand],
                masks: self.shape.and_then(|shape| shape.masks(self.masks, strand)),
                zoneout: self.config.zoneout_of(strand, self.seed),
            },
            rows: self.rows,
            reverse: self.config.direction.is_reverse(direction),
        }
    }

    /// Layer and direction of each strand.
    fn strands(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let directions = self.config.directions();
        (0..self.config.strands()).map(move |strand| (strand / directions, strand % directions))
    }
}
