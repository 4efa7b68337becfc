//! What a cell sees of the world on the way back: R rows and U blocks of hidden units at one step.
//!
//! Besides the states and the tape (see `forward_tile.rs`) it reads and writes
//!
//! ```text
//! grads    [place][gate gradients]     of the steps of one chunk, (t, rank) counted through
//! carry    [rank][dh | dc | dz]        the gradient of the state, on its way to earlier steps; dz: the part of dh
//!                                      that zoneout took past the step
//! ```

use super::dropout::{Masks, Zoneout, multiplied};
use super::{C, H, Options, Records, Rows, TransposedWeights};
use crate::activation::flush;
use crate::matrix::{GridMut, GridRef, Part, Slot, accumulate};
use crate::simd::Isa;

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

/// A tile of a backward pass at one step: of the gradients of its gates.
pub(crate) struct BackwardTile<'a, I: Isa, const R: usize, const U: usize> {
    /// The vector instructions.
    pub(crate) isa: I,
    pass: &'a Backward<'a>,
    /// The step, or `None` for the gradient of the initial state, which no step follows.
    time: Option<usize>,
    /// The step after it in the order of the forward pass, where these rows have one.
    following: Option<usize>,
    rank: usize,
    block: usize,
    part: Part,
    // The records of these rows at this step, found once.
    before: Slot<'a>,
    after: Slot<'a>,
    tape: Slot<'a>,
    grads: Slot<'a>,
    carry: Slot<'a>,
}

impl<'a, I: Isa, const R: usize, const U: usize> BackwardTile<'a, I, R, U> {
    /// The tile of rows `rank..rank + R` and blocks `block..block + U`.
    ///
    /// # Safety
    /// - The steps, the rows and the blocks exist.
    /// - Nobody else works on these rows and blocks, and the gradients of `following` are done in all.
    #[inline(always)]
    pub(crate) unsafe fn new(
        isa: I,
        pass: &'a Backward<'a>,
        time: Option<usize>,
        following: Option<usize>,
        rank: usize,
        block: usize,
        part: Part,
    ) -> Self {
        let mut tile = BackwardTile {
            isa,
            pass,
            time,
            following,
            rank,
            block,
            part,
            before: Slot::empty(),
            after: Slot::empty(),
            tape: Slot::empty(),
            grads: Slot::empty(),
            // SAFETY: the rows exist.
            carry: unsafe { pass.carry.slot(0, rank) },
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

    #[inline(always)]
    fn unit(&self, u: usize) -> usize {
        (self.block + u) * I::LANES
    }

    /// The options of the cell.
    #[inline(always)]
    pub(crate) fn options(&self) -> &'a Options {
        &self.pass.weights.variant.options
    }

    /// A peephole of the units of block u: 0 to 2 for i, f, o.
    #[inline(always)]
    pub(crate) fn peephole(&self, u: usize, gate: usize) -> I::Vector {
        self.isa.load(self.pass.weights.peepholes.get(self.block + u, gate))
    }

    #[inline(always)]
    fn step(&self) -> usize {
        self.time.unwrap_or(0)
    }

    /// The gradient of the hidden state after the step, or of the initial state: what comes from above,
    /// what the following step carries over, and the product of its gate gradients with the recurrent
    /// weights, in this order; with recurrent dropout the product first, and by itself, because the mask is a
    /// factor of it alone. `planes` are the gradients that the hidden state was multiplied into. If `chosen` and
    /// there is zoneout, it is the gradient of what was new, and the rest goes past the step.
    #[inline(always)]
    pub(crate) fn hidden_gradient(&self, chosen: bool, planes: &[usize]) -> [[[I::Vector; U]; 1]; R] {
        let isa = self.isa;
        let mut dh = [[[isa.zero(); U]; 1]; R];
        if self.pass.masks.is_none() {
            self.add_carried(&mut dh);
        }
        if let Some(following) = self.following {
            let size = self.pass.weights.units;
            for (n, &plane) in planes.iter().enumerate() {
                let part = self.part.split(n, planes.len());
                self.add_product(&mut dh, following, plane, n * size, false, part);
            }
        }
        if self.pass.masks.is_some() {
            for (r, dh) in dh.iter_mut().enumerate() {
                for (u, dh) in dh[0].iter_mut().enumerate() {
                    *dh = self.masked(r, u, *dh);
                }
            }
            self.add_carried(&mut dh);
        }
        if chosen && let Some(past) = self.past() {
            for (r, dh) in dh.iter_mut().enumerate() {
                for (u, dh) in dh[0].iter_mut().enumerate() {
                    *dh = isa.add(*dh, self.carry(r, u, past));
                    let (new, rest) = self.zone_in(r, u, H, *dh);
                    self.set_carry(r, u, past, rest);
                    *dh = new;
                }
            }
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
    fn zone_in(&self, r: usize, u: usize, plane: usize, gradient: I::Vector) -> (I::Vector, I::Vector) {
        match (self.pass.zoneout, self.time) {
            (Some(zoneout), Some(time)) if zoneout.p[plane] > 0.0 => {
                let (isa, rows, rank) = (self.isa, self.pass.rows, self.rank + r);
                let place = (rows.time(time, rank), rows.order[rank]);
                let taken = zoneout.taken(isa, plane, place, self.unit(u));
                (isa.mul(taken, gradient), isa.mul(isa.sub(isa.splat(1.0), taken), gradient))
            }
            _ => (gradient, self.isa.zero()),
        }
    }

    /// The gradient of the new cell state that later steps have left, and what of it goes past this step, where
    /// `chosen` and there is zoneout.
    #[inline(always)]
    pub(crate) fn cell_gradient(&self, chosen: bool, r: usize, u: usize) -> (I::Vector, I::Vector) {
        let dc = self.carry(r, u, C);
        if chosen { self.zone_in(r, u, C, dc) } else { (dc, self.isa.zero()) }
    }

    /// The new cell state, before its zoneout, if `chosen` and there is any.
    #[inline(always)]
    pub(crate) fn new_cell_state(&self, chosen: bool, r: usize, u: usize) -> I::Vector {
        let plane = match self.pass.zoneout {
            Some(zoneout) if chosen => zoneout.new_cell_state,
            _ => C,
        };
        self.after(r, u, plane)
    }

    /// Adds what the following step carries over and what comes from above.
    #[inline(always)]
    fn add_carried(&self, dh: &mut [[[I::Vector; U]; 1]; R]) {
        let isa = self.isa;
        for (r, dh) in dh.iter_mut().enumerate() {
            for (u, dh) in dh[0].iter_mut().enumerate() {
                *dh = isa.add(*dh, self.carry(r, u, H));
                if let (Some((upstream, plane)), Some(time)) = (self.pass.upstream, self.time) {
                    let (rows, rank) = (self.pass.rows, self.rank + r);
                    let row = upstream.plane(rows.time(time, rank), rows.order[rank], plane);
                    let start = self.unit(u);
                    let from = &row[start..(start + I::LANES).min(row.len())];
                    let dy = if from.len() == I::LANES { isa.load(from) } else { isa.load_partial(from) };
                    *dh = isa.add(*dh, dy);
                }
            }
        }
    }

    /// A gradient of what the recurrent weights multiplied, on its way to the hidden state: with the recurrent
    /// dropout, where there was any.
    #[inline(always)]
    pub(crate) fn masked(&self, r: usize, u: usize, value: I::Vector) -> I::Vector {
        match self.pass.masks {
            None => value,
            Some(masks) => {
                let factors = masks.row(self.pass.rows, self.rank + r);
                self.isa.mul(value, self.isa.load(&factors[self.unit(u)..]))
            }
        }
    }

    /// The hidden state before the step as the recurrent weights saw it.
    #[inline(always)]
    pub(crate) fn multiplied(&self, r: usize, u: usize) -> I::Vector {
        self.before(r, u, multiplied(self.pass.masks))
    }

    /// Adds the product of the second phase, of gradients of this step.
    #[inline(always)]
    pub(crate) fn add_second(&self, sums: &mut [[[I::Vector; U]; 1]; R], plane: usize) {
        self.add_product(sums, self.step(), plane, 0, true, self.part);
    }

    #[inline(always)]
    fn add_product(
        &self,
        sums: &mut [[[I::Vector; U]; 1]; R],
        time: usize,
        plane: usize,
        from: usize,
        second: bool,
        part: Part,
    ) {
        let weights = self.pass.weights;
        let panel = if second { &weights.second } else { &weights.hidden };
        let size = if second { panel.depth() } else { weights.units };
        let mut rows: [&[f32]; R] = [&[]; R];
        for (r, row) in rows.iter_mut().enumerate() {
            let flat = self.pass.flat(time, self.rank + r);
            // SAFETY: the place exists; the phase that wrote this plane is done in all blocks.
            *row = unsafe { &self.pass.grads.plane(0, flat, plane)[..size] };
        }
        let blocks = panel.blocks_from(self.block, from, from + size);
        accumulate(self.isa, sums, rows, blocks, part.take(panel.span(self.block + U, U)));
    }

    /// Whether this is the gradient of the initial state and not of a step.
    #[inline(always)]
    pub(crate) fn is_initial(&self) -> bool {
        self.time.is_none()
    }

    /// Leaves the gradient of the initial hidden state.
    #[inline(always)]
    pub(crate) fn set_initial(&self, dh: [[[I::Vector; U]; 1]; R]) {
        for r in 0..R {
            for u in 0..U {
                self.set_carry(r, u, H, dh[r][0][u]);
            }
        }
    }

    #[inline(always)]
    fn read(&self, records: Slot<'a>, r: usize, u: usize, plane: usize) -> I::Vector {
        // SAFETY: row and block exist, and nobody else writes these columns.
        self.isa.load(unsafe { records.columns(r, plane, self.unit(u), I::LANES) })
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

    /// A gain or shift of the normalisation, the units of block u.
    #[inline(always)]
    pub(crate) fn norm(&self, u: usize, vector: usize) -> I::Vector {
        self.isa.load(&self.norm_row(vector)[self.unit(u)..])
    }

    /// A plane of the step's tape, of all units.
    #[inline(always)]
    pub(crate) fn tape_row(&self, r: usize, plane: usize) -> &'a [f32] {
        // SAFETY: row and step exist, and nobody writes the tape on the way back.
        unsafe { self.tape.plane(r, plane) }
    }

    /// A gradient that an earlier phase of the step has written, of all units.
    #[inline(always)]
    pub(crate) fn gradient_row(&self, r: usize, plane: usize) -> &'a [f32] {
        // SAFETY: the place exists, and the phase that wrote this plane is done in all blocks.
        unsafe { self.grads.plane(r, plane) }
    }

    /// A gradient that an earlier phase of the step has written, the units of block u.
    #[inline(always)]
    pub(crate) fn gradient(&self, r: usize, u: usize, plane: usize) -> I::Vector {
        self.read(self.grads, r, u, plane)
    }

    /// A plane of the step's tape.
    #[inline(always)]
    pub(crate) fn tape(&self, r: usize, u: usize, plane: usize) -> I::Vector {
        self.read(self.tape, r, u, plane)
    }

    /// The state before the step.
    #[inline(always)]
    pub(crate) fn before(&self, r: usize, u: usize, plane: usize) -> I::Vector {
        self.read(self.before, r, u, plane)
    }

    /// The state after the step.
    #[inline(always)]
    pub(crate) fn after(&self, r: usize, u: usize, plane: usize) -> I::Vector {
        self.read(self.after, r, u, plane)
    }

    /// The gradient of the state that is on its way to earlier steps.
    #[inline(always)]
    pub(crate) fn carry(&self, r: usize, u: usize, plane: usize) -> I::Vector {
        self.read(self.carry, r, u, plane)
    }

    /// Sets what goes on to earlier steps besides the recurrent product. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_carry(&self, r: usize, u: usize, plane: usize, value: I::Vector) {
        self.write(self.carry, r, u, plane, value);
    }

    /// Sets the gradient of a gate before its activation. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_gradient(&self, r: usize, u: usize, plane: usize, value: I::Vector) {
        self.write(self.grads, r, u, plane, value);
    }

    #[inline(always)]
    fn write(&self, to: Slot<'a>, r: usize, u: usize, plane: usize, value: I::Vector) {
        // SAFETY: the row exists, and the columns are those of a block of this tile.
        let to = unsafe { to.columns_mut(r, plane, self.unit(u), I::LANES) };
        self.isa.store(to, flush(self.isa, value));
    }
}
