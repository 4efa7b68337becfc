//! What a pass through time is about, forward or backward.

use super::{C, H, Masks, Rows, Weights, Zoneout};

/// One direction of one layer over the rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) rows: &'a Rows,
    /// Whether the forward pass runs from the end to the beginning.
    pub(crate) reverse: bool,
    /// Recurrent dropout, where there is any.
    pub(crate) masks: Option<Masks<'a>>,
    /// Zoneout, where there is any; then the cell is one with options.
    pub(crate) zoneout: Option<Zoneout>,
}

impl Pass<'_> {
    /// The slots before and after a step.
    #[inline(always)]
    pub(crate) fn slots(&self, step: usize) -> (usize, usize) {
        if self.reverse { (step + 1, step) } else { (step, step + 1) }
    }

    /// Planes of a state record.
    pub(crate) fn state_planes(&self) -> usize {
        let zoneout = Zoneout::planes(self.zoneout);
        self.weights.variant.traits().state + zoneout + usize::from(self.masks.is_some())
    }

    /// The plane of the gradient of the state where, on the way back, the sums of a product wait for the rest of its gates:
    /// the last, after those of the state and, with zoneout, of what goes past a step.
    #[inline(always)]
    pub(crate) fn waiting(&self) -> usize {
        self.weights.variant.traits().state + usize::from(self.zoneout.is_some())
    }

    /// The plane of the state before a step that the recurrent weights multiply.
    #[inline(always)]
    pub(crate) fn multiplied(&self) -> usize {
        self.masks.map_or(H, |masks| masks.plane)
    }

    /// The plane of the state after a step that has the new cell state before its zoneout.
    #[inline(always)]
    pub(crate) fn new_cell_state(&self) -> usize {
        self.zoneout.map_or(C, |zoneout| zoneout.new_cell_state)
    }
}
