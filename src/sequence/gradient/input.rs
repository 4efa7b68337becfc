//! The gradient of the input: `dx = dG W` at the places of a chunk, a sum over the gates of W.

use crate::memory::{GridMut, LinesRef};
use crate::product::{Gates, Gradient, Panel, RowPointers, Segment, Segments, Table, Tile};
use crate::sequence::converted::address;
use crate::sequence::rows::Rows;

/// `dG W`, or the part of it of some gates. The rows of the product are the places; its blocks are columns of
/// x.
pub(super) struct InputGradient<'a> {
    pub(super) table: &'static Table,
    pub(super) grads: LinesRef<'a>,
    /// The same as the words of the precision, where it does not multiply them as they lie.
    pub(super) converted: Option<GridMut<'a>>,
    /// For each gate of W, the plane of its gradient.
    pub(super) planes: &'static [usize],
    /// W^T of each gate.
    pub(super) weights: &'a [Panel],
    pub(super) gates: Gates,
    /// (step, rank) of the rows.
    pub(super) places: &'a [(usize, usize)],
    pub(super) rows: &'a Rows,
    pub(super) to: GridMut<'a>,
    pub(super) add: bool,
}

impl Gradient for InputGradient<'_> {
    fn table(&self) -> &'static Table {
        self.table
    }
    #[inline(always)]
    fn to(&self) -> (GridMut<'_>, bool) {
        (self.to, self.add)
    }
    #[inline(always)]
    fn rows(&self) -> usize {
        self.places.len()
    }
    const IN_ORDER: bool = false;
    #[inline(always)]
    fn target(&self, place: usize) -> (usize, usize) {
        let (step, rank) = self.places[place];
        (self.rows.time(step, rank), self.rows.order[rank])
    }
    #[inline(always)]
    fn push_segments(&self, tile: &Tile, to: &mut Segments) {
        for gate in self.gates.range() {
            let rows = self.grads.from(tile.row, self.planes[gate], 0).as_ptr();
            let ahead = self.gates.prefetch(self.weights, gate, tile);
            let weights = self.weights[gate].weights(tile.block, tile.blocks, ahead);
            to.push(match &self.converted {
                None => Segment::lines(rows, self.grads.stride(), weights),
                Some(converted) => {
                    let first = address(converted, 0, tile.row, gate);
                    Segment::rows(RowPointers::strided(first, converted.grid.row_stride()), weights)
                }
            });
        }
    }
}
