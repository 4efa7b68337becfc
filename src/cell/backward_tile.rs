//! What a cell sees of the world on the way back: some rows and blocks of hidden units at one step.
//!
//! Besides the states and the tape (see `forward_tile.rs`) it reads and writes
//!
//! ```text
//! grads    [place][gate gradients]     of the steps of one chunk, (t, rank) counted through
//! carry    [rank][dh | dc | dz]        the gradient of the state, on its way to earlier steps; dz: the part of dh
//!                                      that zoneout took past the step
//! ```

use super::dropout::{Masks, Zoneout, multiplied};
use super::rows::Places;
use super::{C, Cell, H, Options, Records, Rows, Traits, TransposedWeights};
use crate::activation::flush;
use crate::matrix::{Blocks, GridMut, GridRef, Panel, Part, Room, Slot, Sums, accumulate, put};
use crate::simd::{Isa, Outlined};

/// All that a backward pass of one direction of one layer reads and writes, over one chunk of steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backward<'a> {
    pub(crate) weights: &'a TransposedWeights,
    pub(crate) rows: &'a Rows,
    /// Whether the forward pass ran from the end to the beginning.
    pub(crate) reverse: bool,
    /// The gradient of the output, and in which of its planes.
    pub(crate) upstream: Option<(GridRef<'a>, usize)>,
    pub(crate) states: Records<'a>,
    /// The recurrent dropout of the forward pass, where there was any.
    pub(crate) masks: Option<Masks<'a>>,
    /// The zoneout of the forward pass, where there was any.
    pub(crate) zoneout: Option<Zoneout>,
    pub(crate) tape: Records<'a>,
    /// Gate gradients of the steps of the chunk and of the step that backward did before it.
    pub(crate) grads: GridMut<'a>,
    /// The place in `grads` of row 0 at each step of the chunk, `starts[time - first_time]`.
    pub(crate) starts: &'a [usize],
    pub(crate) first_time: usize,
    pub(crate) carry: GridMut<'a>,
}

impl Backward<'_> {
    /// The place of the gradients of `rank` at step `time`.
    #[inline(always)]
    pub(crate) fn flat(&self, time: usize, rank: usize) -> usize {
        self.starts[time - self.first_time] + rank
    }
}

/// A tile of a backward pass: some rows of one step by one block of units or several.
///
/// Its vectors count through the blocks of its first row, then of its second: `v` below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardTile<'a, I: Isa> {
    /// The vector instructions.
    pub(crate) isa: I,
    pass: &'a Backward<'a>,
    /// The step, or `None` for the gradient of the initial state, which no step follows.
    time: Option<usize>,
    /// The step after it in the order of the forward pass, where these rows have one.
    following: Option<usize>,
    rank: usize,
    block: usize,
    blocks: Blocks,
    part: Part,
    // The records of these rows at this step, found once.
    before: Slot<'a>,
    after: Slot<'a>,
    tape: Slot<'a>,
    grads: Slot<'a>,
    carry: Slot<'a>,
    /// The gradient of the output, where these rows have any.
    upstream: Option<(GridRef<'a>, usize)>,
    places: Places<'a>,
}

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
        let (tile, weights) = (self.tile, self.tile.pass.weights);
        let mut sums = [[[isa.zero(); 1]; U]; R];
        if self.second {
            if let Some(plane) = self.traits.second_gradient() {
                let panel = &weights.second;
                tile.add::<R, U>(&mut sums, panel, (tile.step(), plane), (0, panel.depth()), tile.part);
            }
        } else if let Some(following) = tile.following {
            let planes = self.traits.hidden_gates;
            for n in 0..planes {
                let (plane, _) = self.traits.recurrent[n];
                let (inputs, part) = ((n * weights.units, weights.units), tile.part.split(n, planes));
                tile.add::<R, U>(&mut sums, &weights.hidden, (following, plane), inputs, part);
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
        pass: &'a Backward<'a>,
        (time, following): (Option<usize>, Option<usize>),
        rank: usize,
        (block, blocks): (usize, Blocks),
        part: Part,
    ) -> Self {
        let mut tile = BackwardTile {
            isa,
            pass,
            time,
            following,
            rank,
            block,
            blocks,
            part,
            before: Slot::empty(),
            after: Slot::empty(),
            tape: Slot::empty(),
            grads: Slot::empty(),
            // SAFETY: the rows exist.
            carry: unsafe { pass.carry.slot(0, rank) },
            upstream: if time.is_some() { pass.upstream } else { None },
            places: pass.rows.places(time.unwrap_or(0), rank),
        };
        if let Some(time) = time {
            let (before, after) = if pass.reverse { (time + 1, time) } else { (time, time + 1) };
            // SAFETY: step and rows exist, and so do their records.
            unsafe {
                tile.before = pass.states.slot(before, rank);
                tile.after = pass.states.slot(after, rank);
                tile.tape = pass.tape.slot(time, rank);
                tile.grads = pass.grads.slot(0, pass.flat(time, rank));
            }
        }
        tile
    }

    /// Computes the products of a phase of R rows and U blocks.
    #[inline(always)]
    pub(crate) fn products<'r, C: Cell, const PHASE: usize, const R: usize, const U: usize>(
        &self,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        let (traits, second) = (const { &C::TRAITS }, PHASE > 0);
        self.isa.call(Products::<I, R, U> { tile: self, traits, second, room })
    }

    /// Makes gradients of the products of a phase.
    #[inline(always)]
    pub(crate) fn finish<C: Cell, const PHASE: usize>(&self, sums: &mut [I::Vector]) {
        if PHASE == 0 {
            for v in 0..sums.len() {
                sums[v] = self.hidden_gradient(v, sums[v]);
            }
            if self.time.is_none() {
                for v in 0..sums.len() {
                    self.set_carry(v, H, sums[v]);
                }
                return;
            }
        }
        C::backward::<I, PHASE>(self, sums);
    }

    /// How many vectors of a tile belong to one row.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.count()
    }

    #[inline(always)]
    fn row(&self, v: usize) -> usize {
        self.blocks.row(v)
    }

    #[inline(always)]
    fn unit(&self, v: usize) -> usize {
        (self.block + self.blocks.column(v)) * I::LANES
    }

    /// The options of the cell.
    #[inline(always)]
    pub(crate) fn options(&self) -> &'a Options {
        &self.pass.weights.variant.options
    }

    /// A peephole: 0 to 2 for i, f, o.
    #[inline(always)]
    pub(crate) fn peephole(&self, v: usize, gate: usize) -> I::Vector {
        self.isa.load(self.pass.weights.peepholes.get(self.block + self.blocks.column(v), gate))
    }

    #[inline(always)]
    fn step(&self) -> usize {
        self.time.unwrap_or(0)
    }

    /// The gradient of the hidden state after the step, or of the initial state: the product of the following step's
    /// gate gradients with the recurrent weights, with the recurrent dropout that is a factor of it alone; what that
    /// step carries over; and what comes from above. With zoneout it is the gradient of what was new, and the rest goes
    /// past the step.
    #[inline(always)]
    fn hidden_gradient(&self, v: usize, product: I::Vector) -> I::Vector {
        let isa = self.isa;
        let mut dh = isa.add(self.masked(v, product), self.carry(v, H));
        if let Some((upstream, plane)) = self.upstream {
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
        match (self.pass.zoneout, self.time) {
            (Some(zoneout), Some(_)) if zoneout.p[plane] > 0.0 => {
                let (isa, place) = (self.isa, self.places.get(self.row(v)));
                let taken = zoneout.taken(isa, plane, place, self.unit(v));
                (isa.mul(taken, gradient), isa.mul(isa.sub(isa.splat(1.0), taken), gradient))
            }
            _ => (gradient, self.isa.zero()),
        }
    }

    /// The gradient of the new cell state that later steps have left, and what of it goes past this step, where
    /// `chosen` and there is zoneout.
    #[inline(always)]
    pub(crate) fn cell_gradient(&self, chosen: bool, v: usize) -> (I::Vector, I::Vector) {
        let dc = self.carry(v, C);
        if chosen { self.zone_in(v, C, dc) } else { (dc, self.isa.zero()) }
    }

    /// The new cell state, before its zoneout, if `chosen` and there is any.
    #[inline(always)]
    pub(crate) fn new_cell_state(&self, chosen: bool, v: usize) -> I::Vector {
        let plane = match self.pass.zoneout {
            Some(zoneout) if chosen => zoneout.new_cell_state,
            _ => C,
        };
        self.after(v, plane)
    }

    /// A gradient of what the recurrent weights multiplied, on its way to the hidden state: with the recurrent
    /// dropout, where there was any.
    #[inline(always)]
    pub(crate) fn masked(&self, v: usize, value: I::Vector) -> I::Vector {
        match self.pass.masks {
            None => value,
            Some(masks) => {
                let factors = masks.row(self.pass.rows, self.rank + self.row(v));
                self.isa.mul(value, self.isa.load(&factors[self.unit(v)..]))
            }
        }
    }

    /// The hidden state before the step as the recurrent weights saw it.
    #[inline(always)]
    pub(crate) fn multiplied(&self, v: usize) -> I::Vector {
        self.before(v, multiplied(self.pass.masks))
    }

    /// Adds the product of a plane of the gradients at `time` with `count` inputs of the weights from `first` on.
    #[inline(always)]
    fn add<const R: usize, const U: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, 1>,
        panel: &Panel,
        (time, plane): (usize, usize),
        (first, count): (usize, usize),
        part: Part,
    ) {
        // SAFETY: the places exist; the phase that wrote this plane is done in all blocks.
        let rows = unsafe { self.pass.grads.slot(0, self.pass.flat(time, self.rank)).rows(plane, count) };
        let blocks = panel.blocks_from(self.block, first, first + count);
        accumulate(self.isa, sums, rows, blocks, part.take(panel.span(self.block + U, U)));
    }

    #[inline(always)]
    fn read(&self, records: Slot<'a>, v: usize, plane: usize) -> I::Vector {
        // SAFETY: row and block exist, and nobody else writes these columns.
        self.isa.load(unsafe { records.columns(self.row(v), plane, self.unit(v), I::LANES) })
    }

    /// Hidden units.
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.pass.weights.units
    }

    /// A gain or shift of the normalisation, of all units.
    #[inline(always)]
    pub(crate) fn norm_row(&self, vector: usize) -> &'a [f32] {
        self.pass.weights.norms.get(vector)
    }

    /// A gain or shift of the normalisation.
    #[inline(always)]
    pub(crate) fn norm(&self, v: usize, vector: usize) -> I::Vector {
        self.isa.load(&self.norm_row(vector)[self.unit(v)..])
    }

    /// A plane of the step's tape, of all units.
    #[inline(always)]
    pub(crate) fn tape_row(&self, v: usize, plane: usize) -> &'a [f32] {
        // SAFETY: row and step exist, and nobody writes the tape on the way back.
        unsafe { self.tape.plane(self.row(v), plane) }
    }

    /// A gradient that an earlier phase of the step has written, of all units.
    #[inline(always)]
    pub(crate) fn gradient_row(&self, v: usize, plane: usize) -> &'a [f32] {
        // SAFETY: the place exists, and the phase that wrote this plane is done in all blocks.
        unsafe { self.grads.plane(self.row(v), plane) }
    }

    /// A gradient that an earlier phase of the step has written.
    #[inline(always)]
    pub(crate) fn gradient(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.grads, v, plane)
    }

    /// A plane of the step's tape.
    #[inline(always)]
    pub(crate) fn tape(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.tape, v, plane)
    }

    /// The state before the step.
    #[inline(always)]
    pub(crate) fn before(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.before, v, plane)
    }

    /// The state after the step.
    #[inline(always)]
    pub(crate) fn after(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.after, v, plane)
    }

    /// The gradient of the state that is on its way to earlier steps.
    #[inline(always)]
    pub(crate) fn carry(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.carry, v, plane)
    }

    /// Sets what goes on to earlier steps besides the recurrent product. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_carry(&self, v: usize, plane: usize, value: I::Vector) {
        self.write(self.carry, v, plane, value);
    }

    /// Sets the gradient of a gate before its activation. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_gradient(&self, v: usize, plane: usize, value: I::Vector) {
        self.write(self.grads, v, plane, value);
    }

    #[inline(always)]
    fn write(&self, to: Slot<'a>, v: usize, plane: usize, value: I::Vector) {
        // SAFETY: the row exists, and the columns are those of a block of this tile.
        let to = unsafe { to.columns_mut(self.row(v), plane, self.unit(v), I::LANES) };
        self.isa.store(to, flush(self.isa, value));
    }
}
