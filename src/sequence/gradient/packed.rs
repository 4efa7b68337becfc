//! The rows that the gate gradients of a chunk are multiplied with, packed as panels: X, Y and M.
//!
//! They are gathered from wherever they lie: x from the caller's sequence, h from the states, r * h or m from
//! the tape. Where a precision converts dG for the product with W, its words are here, too.

use super::{Chunk, Inputs, Targets};
use crate::cell::{Tensor, Weights};
use crate::error::{Error, fill_up};
use crate::memory::{AlignedBuf, Grid, GridMut, GridRef, Row};
use crate::product::Panel;
use crate::sequence::converted::{convert_gradients, grid_of_gradients};
use crate::sequence::threads::{join, over_range};

/// The rows of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(super) input: Panel,
    /// Y: of each head by itself.
    pub(super) hidden: Vec<Panel>,
    /// The rows that the weights of the second phase were multiplied with.
    pub(super) second: Panel,
    /// dG converted to the words of the precision, where it is not multiplied as it lies, and the shape of
    /// these words.
    words: AlignedBuf,
    grid: Option<Grid>,
}

impl Packed {
    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let panels: usize =
            [&self.input, &self.second].into_iter().chain(&self.hidden).map(Panel::held).sum();
        panels + size_of_val(&self.words[..])
    }

    /// X, Y and M.
    #[cfg(test)]
    pub(crate) fn panels(&mut self) -> [&mut Panel; 3] {
        [&mut self.input, &mut self.hidden[0], &mut self.second]
    }

    /// dG converted to the words of the precision, where it was.
    pub(super) fn converted(&self) -> Option<GridMut<'_>> {
        self.grid.map(|grid| GridMut::reading(GridRef::new(grid, &self.words)))
    }

    /// Converts the gate gradients of a chunk that the product with W reads, where the precision does not
    /// multiply them as they lie.
    ///
    /// # Safety
    /// - Nobody writes the gradients of the chunk's places.
    unsafe fn convert(&mut self, inputs: &Inputs<'_>, chunk: &Chunk<'_>, threads: usize) {
        let (weights, places) = (inputs.pass.weights(), chunk.places.len());
        let gates = weights.shape().input;
        // (`reserve` has checked this size.)
        let grid = grid_of_gradients(weights, 1, places, gates.len()).ok();
        self.grid = grid.filter(|grid| grid.len() > 0);
        let Some(grid) = self.grid else { return };
        let to = GridMut::new(grid, &mut self.words);
        over_range(0..places, threads, &|places| {
            for (gate, &plane) in gates.iter().enumerate() {
                let from = |place| chunk.grads.from(place, plane, 0).as_ptr();
                // SAFETY: the caller's promise; the places are those of this thread alone.
                unsafe {
                    let from = (from, chunk.grads.stride());
                    convert_gradients(weights, from, weights.units(), places.clone(), (&to, 0, gate));
                }
            }
        });
    }

    /// Makes room for a chunk of `places` places.
    pub(crate) fn reserve(&mut self, weights: &Weights, places: usize) -> Result<(), Error> {
        let (lanes, shape) = (weights.table.lanes, weights.shape());
        self.words.grow(grid_of_gradients(weights, 1, places, shape.input.len())?.len())?;
        self.input.reserve(lanes, places, weights.inputs())?;
        if shape.hidden_gates() > 0 {
            let heads = weights.heads().count();
            fill_up(&mut self.hidden, heads)?;
            for panel in &mut self.hidden[..heads] {
                panel.reserve(lanes, places, weights.outputs() / heads)?;
            }
        }
        if shape.second_operand().is_some() {
            self.second.reserve(lanes, places, weights.units())?;
        }
        Ok(())
    }

    /// Packs the rows of a chunk that the wanted gradients need: x on one thread and h on another, if there
    /// are several threads.
    ///
    /// # Safety
    /// - The records of the chunk's places exist, and nobody writes them.
    pub(super) unsafe fn pack(
        &mut self,
        inputs: &Inputs<'_>,
        chunk: &Chunk<'_>,
        targets: &Targets<'_>,
        threads: usize,
    ) {
        self.grid = None;
        if targets.input.is_some() {
            // SAFETY: the caller's promise.
            unsafe { self.convert(inputs, chunk, threads) };
        }
        let Packed { input, hidden, second, .. } = self;
        let wanted = targets.want(&[Tensor::WeightIh]);
        let mut x = || {
            let (weights, rows) = (inputs.pass.weights(), inputs.pass.rows);
            let x =
                |&(step, rank): &_| Row::of(inputs.input.plane(rows.time(step, rank), rows.order[rank], 0));
            if wanted {
                input.pack_rows(weights.token, weights.inputs(), &mut chunk.places.iter().map(x));
                if weights.precision.rounds() {
                    input.round_rows();
                }
            }
        };
        // SAFETY: the caller's promise, passed on.
        let mut h = || unsafe { pack_states((hidden, second), inputs, chunk, targets) };
        if threads > 1 {
            join(x, h);
        } else {
            x();
            h();
        }
    }
}

/// Packs the rows that recurrent weights multiply, in the first phase and in the second.
///
/// # Safety
/// - As for [`Packed::pack`].
unsafe fn pack_states(
    (hidden, second): (&mut [Panel], &mut Panel),
    inputs: &Inputs<'_>,
    chunk: &Chunk<'_>,
    targets: &Targets<'_>,
) {
    let pass = &inputs.pass;
    let (token, shape, weights) = (pass.weights().token, pass.weights().shape(), pass.weights());
    // The state before step t: slot t forward in time, slot t + 1 backward.
    let (shift, plane) = (usize::from(pass.reverse), pass.multiplied());
    if shape.hidden_gates() > 0 && targets.want(&[Tensor::WeightHh]) {
        let heads = weights.heads();
        for (head, hidden) in hidden[..heads.count()].iter_mut().enumerate() {
            let width = weights.outputs() / heads.count();
            // SAFETY: here and below, the records exist, and nobody writes them, by the caller's promise.
            let h = |&(step, rank): &_| unsafe { chunk.states.row(step + shift, rank, plane) };
            let of_head = |place: &_| match h(place) {
                row if heads.are_one() => row,
                row => row.columns(heads.units(head)),
            };
            hidden.pack_rows(token, width, &mut chunk.places.iter().map(of_head));
            if weights.precision.rounds() {
                hidden.round_rows();
            }
        }
    }
    // What a projection multiplies, or the last gate of R.
    let of_second = if shape.projection.is_some() { Tensor::WeightHr } else { Tensor::WeightHh };
    if let (Some(plane), true) = (shape.second_operand(), targets.want(&[of_second])) {
        // SAFETY: as above.
        let m = |&(step, rank): &_| unsafe { chunk.tape.row(step, rank, plane) };
        second.pack_rows(token, weights.units(), &mut chunk.places.iter().map(m));
        if weights.precision.rounds() {
            second.round_rows();
        }
    }
}
