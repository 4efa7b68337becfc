//! What a cell sees of the world on the way back: some rows and blocks of hidden units at one step.
//!
//! Besides the states and the tape (see `forward_tile.rs`) it reads and writes
//!
//! ```text
//! grads    [gate][line][place][16]     gate gradients of the steps of one chunk, (t, rank) counted through;
//!                                      see `matrix/lines.rs`
//! carry    [rank][dh | dc | dz | sums] the gradient of the state, on its way to earlier steps; dz: the part of dh
//!                                      that zoneout took past the step; sums: of a product that goes gate by gate
//! ```

use super::tile::CellTile;
use super::{C, Cell, H, Pass, Records, TapeRecords, Traits, TransposedWeights};
use crate::activation::flush;
use crate::matrix::{
    Blocks, Gates, GridMut, GridRef, LineSlot, LinesMut, Panel, Part, Room, Row, Slot, Sums, accumulate, put,
};
use crate::simd::{Isa, Outlined};

/// All that a backward pass of one direction of one layer reads and writes, over one chunk of steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backward<'a> {
    pub(crate) pass: Pass<'a>,
    pub(crate) transposed: &'a TransposedWeights,
    /// The gradient of the output, and in which of its planes.
    pub(crate) upstream: Option<(GridRef<'a>, usize)>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: TapeRecords<'a>,
    /// Gate gradients of the steps of the chunk and of the step that backward did before it.
    pub(crate) grads: LinesMut<'a>,
    /// The place in `grads` of row 0 at each step of the chunk, `starts[step - first_step]`.
    pub(crate) starts: &'a [usize],
    pub(crate) first_step: usize,
    pub(crate) carry: GridMut<'a>,
}

impl Backward<'_> {
    /// The place of the gradients of `rank` at a step.
    #[inline(always)]
    pub(crate) fn flat(&self, step: usize, rank: usize) -> usize {
        self.starts[step - self.first_step] + rank
    }
}

/// What a tile has on the way back alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back<'a> {
    backward: &'a Backward<'a>,
    /// The step, or `None` for the gradient of the initial state, which no step follows.
    step: Option<usize>,
    /// The step after it in the order of the forward pass, where these rows have one.
    following: Option<usize>,
    /// The gates of the following step whose products are added here.
    gates: &'a Gates,
    tape: LineSlot<'a>,
    grads: LineSlot<'a>,
    carry: Slot<'a>,
    /// The gradient of the output, where these rows have any.
    upstream: Option<(GridRef<'a>, usize)>,
}

/// A tile of a backward pass.
pub(crate) type BackwardTile<'a, I> = CellTile<'a, I, Back<'a>>;

/// The products of a phase: of the gate gradients of the following step in the first, and of one of this step in the
/// second, where the cell has such a product. One function for all cells.
struct Products<'a, 's, I: Isa, const R: usize, const U: usize> {
    tile: &'a BackwardTile<'a, I>,
    traits: &'static Traits,
    second: bool,
    room: &'s mut Room<I::Vector>,
}

impl<'s, I: Isa, const R: usize, const U: usize> Outlined<I> for Products<'_, 's, I, R, U> {
    type Output = &'s mut [I::Vector];

    #[inline(always)]
    fn run(self, isa: I) -> &'s mut [I::Vector] {
        let (tile, weights) = (self.tile, self.tile.way.backward.transposed);
        let mut sums = [[[isa.zero(); 1]; U]; R];
        if self.second {
            if let Some(plane) = self.traits.second_gradient() {
                let panel = &weights.second;
                let ahead = tile.part.take(panel.span(tile.block + U, U));
                tile.add_gradients(&mut sums, panel, (tile.step(), plane), ahead);
            }
        } else if let Some(following) = tile.way.following {
            let gates = tile.way.gates;
            if !gates.are_first() {
                for r in 0..R {
                    for u in 0..U {
                        sums[r][u][0] = tile.carry(r * U + u, tile.pass.waiting());
                    }
                }
            }
            for gate in gates.range() {
                let (plane, _) = self.traits.recurrent[gate];
                let ahead = gates.ahead(&weights.hidden, (gate, tile.part), tile.block, U);
                tile.add_gradients(&mut sums, &weights.hidden[gate], (following, plane), ahead);
            }
        }
        put(sums, self.room)
    }
}

impl<'a, I: Isa> BackwardTile<'a, I> {
    /// The tile of the rows from `rank` on and of the blocks from `block` on.
    ///
    /// # Safety
    /// - The steps, the rows and the blocks exist.
    /// - Nobody else works on these rows and blocks, and the gradients of `following` are done in all.
    #[inline(always)]
    pub(crate) unsafe fn new(
        isa: I,
        backward: &'a Backward<'a>,
        (step, following): (Option<usize>, Option<usize>),
        gates: &'a Gates,
        rank: usize,
        (block, blocks): (usize, Blocks),
        part: Part,
    ) -> Self {
        let pass = &backward.pass;
        let (mut before, mut after) = (Slot::empty(), Slot::empty());
        let mut way = Back {
            backward,
            step,
            following,
            gates,
            tape: LineSlot::empty(),
            grads: LineSlot::empty(),
            // SAFETY: the rows exist.
            carry: unsafe { backward.carry.slot(0, rank) },
            upstream: if step.is_some() { backward.upstream } else { None },
        };
        if let Some(step) = step {
            let slots = pass.slots(step);
            // SAFETY: step and rows exist, and so do their records.
            unsafe {
                before = backward.states.slot(slots.0, rank);
                after = backward.states.slot(slots.1, rank);
                way.tape = backward.tape.slot(step, rank);
                way.grads = backward.grads.slot(backward.flat(step, rank));
            }
        }
        let places = pass.rows.places(step.unwrap_or(0), rank);
        CellTile { isa, pass, rank, block, blocks, part, before, after, places, way }
    }

    /// Computes the products of a phase of R rows and U blocks.
    #[inline(always)]
    pub(crate) fn products<'r, C: Cell, const PHASE: usize, const R: usize, const U: usize>(
        &self,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        let (traits, second) = (const { &C::TRAITS }, PHASE > 0);
        // As on the way forward: what is read when the products are done. Later phases find it there, and an initial
        // state has none.
        if PHASE == 0 && self.way.step.is_some() && self.way.gates.are_last() {
            for r in 0..R {
                self.prefetch_planes(self.way.tape, r, traits.tape);
                self.prefetch_planes(self.before, r, traits.state);
            }
        }
        self.isa.call(Products::<I, R, U> { tile: self, traits, second, room })
    }

    /// Makes gradients of the products of a phase.
    #[inline(always)]
    pub(crate) fn finish<C: Cell, const PHASE: usize>(&self, sums: &mut [I::Vector]) {
        if PHASE == 0 {
            if !self.way.gates.are_last() {
                for v in 0..sums.len() {
                    self.write(self.way.carry, v, self.pass.waiting(), sums[v]);
                }
                return;
            }
            for v in 0..sums.len() {
                sums[v] = self.hidden_gradient(v, sums[v]);
            }
            if self.way.step.is_none() {
                for v in 0..sums.len() {
                    self.set_carry(v, H, sums[v]);
                }
                return;
            }
        }
        C::backward::<I, PHASE>(self, sums);
    }

    #[inline(always)]
    fn step(&self) -> usize {
        self.way.step.unwrap_or(0)
    }

    /// The gradient of the hidden state after the step, or of the initial state: the product of the following step's
    /// gate gradients with the recurrent weights, with the recurrent dropout that is a factor of it alone; what that
    /// step carries over; and what comes from above. With zoneout it is the gradient of what was new, and the rest goes
    /// past the step.
    #[inline(always)]
    fn hidden_gradient(&self, v: usize, product: I::Vector) -> I::Vector {
        let isa = self.isa;
        let mut dh = isa.add(self.masked(v, product), self.carry(v, H));
        if let Some((upstream, plane)) = self.way.upstream {
            let (time, row) = self.places.get(self.row(v));
            let row = upstream.plane(time, row, plane);
            let start = self.unit(v);
            let from = &row[start..(start + I::LANES).min(row.len())];
            let dy = if from.len() == I::LANES { isa.load(from) } else { isa.load_partial(from) };
            dh = isa.add(dh, dy);
        }
        if let Some(past) = self.past() {
            dh = isa.add(dh, self.carry(v, past));
            let (new, rest) = self.zone_in(v, H, dh);
            self.set_carry(v, past, rest);
            dh = new;
        }
        dh
    }

    /// The plane of `carry` for what goes past a step, where there is zoneout.
    #[inline(always)]
    fn past(&self) -> Option<usize> {
        self.pass.zoneout.map(|_| self.pass.weights.variant.traits().state)
    }

    /// A gradient after the zoneout of this step, as that of the new value and that of the old one.
    #[inline(always)]
    fn zone_in(&self, v: usize, plane: usize, gradient: I::Vector) -> (I::Vector, I::Vector) {
        let isa = self.isa;
        let taken = if self.way.step.is_some() { self.taken(v, plane) } else { None };
        match taken {
            Some(taken) => (isa.mul(taken, gradient), isa.mul(isa.sub(isa.splat(1.0), taken), gradient)),
            None => (gradient, isa.zero()),
        }
    }

    /// The gradient of the new cell state that later steps have left, and what of it goes past this step, where
    /// `chosen` and there is zoneout.
    #[inline(always)]
    pub(crate) fn cell_gradient(&self, chosen: bool, v: usize) -> (I::Vector, I::Vector) {
        let dc = self.carry(v, C);
        if chosen { self.zone_in(v, C, dc) } else { (dc, self.isa.zero()) }
    }

    /// Adds the product of a plane of the gradients at `step` with the tile's blocks of a panel.
    #[inline(always)]
    fn add_gradients<const R: usize, const U: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, 1>,
        panel: &Panel,
        (step, plane): (usize, usize),
        ahead: &[f32],
    ) {
        let (backward, depth) = (self.way.backward, panel.depth());
        // SAFETY: the places exist; the phase that wrote this plane is done in all blocks.
        let rows = unsafe { backward.grads.slot(backward.flat(step, self.rank)).rows::<R>(plane, depth) };
        accumulate(self.isa, sums, rows, panel.blocks_from(self.block, 0, depth), ahead);
    }

    /// A plane of the step's tape, of all units.
    #[inline(always)]
    pub(crate) fn tape_row(&self, v: usize, plane: usize) -> Row<'a> {
        self.read_row(self.way.tape, v, plane)
    }

    /// A gradient that an earlier phase of the step has written, of all units.
    #[inline(always)]
    pub(crate) fn gradient_row(&self, v: usize, plane: usize) -> Row<'a> {
        self.read_row(self.way.grads, v, plane)
    }

    /// A gradient that an earlier phase of the step has written.
    #[inline(always)]
    pub(crate) fn gradient(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.way.grads, v, plane)
    }

    /// A plane of the step's tape.
    #[inline(always)]
    pub(crate) fn tape(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.way.tape, v, plane)
    }

    /// The gradient of the state that is on its way to earlier steps.
    #[inline(always)]
    pub(crate) fn carry(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.way.carry, v, plane)
    }

    /// Sets what goes on to earlier steps besides the recurrent product. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_carry(&self, v: usize, plane: usize, value: I::Vector) {
        self.write(self.way.carry, v, plane, flush(self.isa, value));
    }

    /// Sets the gradient of a gate before its activation. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_gradient(&self, v: usize, plane: usize, value: I::Vector) {
        self.write(self.way.grads, v, plane, flush(self.isa, value));
    }
}
