//! What a cell can do on the way back: compute the gradients of its gates from the gradient of the state
//! after a step.
//!
//! Besides the states and the tape it reads and writes
//!
//! ```text
//! grads    [gate][line][place][16]     gate gradients of the steps of one chunk, (t, rank) counted through;
//!                                      see `memory/lines.rs`
//! carry    [rank][dh | dc | dz | sums] the gradient of the state, on its way to earlier steps; dz: the part
//!                                      of dh that zoneout takes past the step; sums: of a product that goes
//!                                      gate by gate
//! ```

use super::shape::MAX_PHASES;
use super::tile::{Area, CellTile, Step};
use super::{C, Cell, GROUP, H};
use crate::activation::{Gate, activate_flattened_with_slopes};
use crate::memory::{GridRef, LineSlot, Planes, Row, Slot};
use crate::simd::{Isa, Outlined, Routine, Token, flush, pointers};
use std::marker::PhantomData;
use std::ops::Range;

pointers!(pointer);

/// A step on the way back, from rank 0 on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardStep<'a> {
    pub(crate) step: Step<'a>,
    pub(crate) records: BackwardRecords<'a>,
}

/// The records of a step that only the backward pass has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardRecords<'a> {
    /// True for a step; false for the gradient of the initial state, where the backward pass ends.
    pub(crate) is_step: bool,
    pub(crate) tape: LineSlot<'a>,
    pub(crate) grads: LineSlot<'a>,
    pub(crate) carry: Slot<'a>,
    /// The gradient of the output, and the plane of it; `None` where these rows have none.
    pub(crate) upstream: Option<&'a (GridRef<'a>, usize)>,
}

/// The part of a tile that only the backward pass has: a copy of its records, and its step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfBackward<'a> {
    records: BackwardRecords<'a>,
    step: &'a BackwardStep<'a>,
}

/// A tile of a backward pass.
pub(crate) type BackwardTile<'a, I> = CellTile<'a, I, OfBackward<'a>>;

impl<'a> BackwardStep<'a> {
    /// A tile of the step.
    ///
    /// # Safety
    /// - As for [`CellTile::new`].
    #[inline(always)]
    unsafe fn tile<I: Isa>(&'a self, isa: I, area: Area) -> BackwardTile<'a, I> {
        // SAFETY: the caller's promise, passed on.
        unsafe { BackwardTile::new(isa, self.step, area, OfBackward { records: self.records, step: self }) }
    }
}

/// The sums of a tile, and its rows and blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardSums<'a> {
    pub(crate) step: &'a BackwardStep<'a>,
    pub(crate) area: Area,
    /// One sum of each vector, on a cache line.
    pub(crate) sums: *mut f32,
}

impl<'a> BackwardSums<'a> {
    /// The tile, and the sum of each of its vectors.
    ///
    /// # Safety
    /// - As for [`BackwardFinish`].
    #[inline(always)]
    unsafe fn tile<I: Isa>(&self, isa: I) -> (BackwardTile<'a, I>, &'a mut [I::Vector]) {
        let BackwardSums { step, area, sums } = *self;
        // SAFETY: the caller's promise; memory has this many vectors.
        unsafe {
            let sums = std::slice::from_raw_parts_mut(sums.cast::<I::Vector>(), area.vectors);
            (step.tile(isa, area), sums)
        }
    }
}

/// A cell's backward in one phase, on one level.
///
/// # Safety
/// - The rows and blocks of the area and their records exist, in memory of this cell; nobody else works on
///   them, the step that follows is done in all blocks, and so are earlier phases.
/// - The sums are as many vectors of floats, and nobody else's.
pub(crate) type BackwardFinish = for<'a, 'b> unsafe fn(&'a BackwardSums<'b>);

struct Finish<C, const PHASE: usize>(PhantomData<C>);

impl<D: Cell, const PHASE: usize> Routine for Finish<D, PHASE> {
    type Arguments<'a> = BackwardSums<'a>;

    /// # Safety
    /// - As for [`BackwardFinish`].
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, arguments: &BackwardSums<'_>) {
        let (shape, step) = (const { &D::SHAPE }, arguments.step);
        // Facts about every tile, stated where the compiler sees them: it then checks planes when it
        // compiles.
        assert!(step.records.carry.planes() >= shape.state.len());
        assert!(step.step.before.planes() >= shape.state.len());
        assert!(step.step.after.planes() >= shape.state.len());
        assert!(step.records.tape.planes() >= shape.tape && step.records.grads.planes() >= shape.grads);
        // SAFETY: the caller's promise, passed on.
        let (tile, sums) = unsafe { arguments.tile(isa) };
        D::backward::<I, PHASE>(&tile, sums);
    }
}

/// The beginning of every cell's backward, in the first phase: it puts the gradients of hidden states in the
/// place of the products. Those of initial states, which no cell has computed, go to the carry. It is
/// compiled once for all cells.
struct HiddenGradients;

impl Routine for HiddenGradients {
    type Arguments<'a> = BackwardSums<'a>;

    /// # Safety
    /// - As for [`BackwardFinish`].
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, arguments: &BackwardSums<'_>) {
        assert!(arguments.step.records.carry.planes() > H);
        // SAFETY: the caller's promise, passed on.
        let (tile, sums) = unsafe { arguments.tile(isa) };
        for v in 0..sums.len() {
            sums[v] = tile.hidden_gradient(v, sums[v]);
        }
        if !tile.pass.records.is_step {
            for v in 0..sums.len() {
                tile.set_carry(v, H, sums[v]);
            }
        }
    }
}

/// The arguments of [`BackwardTile::recall`], which makes them.
struct Recalled<'a, V> {
    step: &'a BackwardStep<'a>,
    area: Area,
    group: Range<usize>,
    first: usize,
    gates: &'a [Gate],
    values: &'a mut [V],
    slopes: &'a mut [V],
}

impl<I: Isa> Outlined<I> for Recalled<'_, I::Vector> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Recalled { step, area, group, first, gates, values, slopes } = self;
        // SAFETY: step and area of a tile.
        let tile = unsafe { step.tile(isa, area) };
        let mut to = 0;
        for v in group {
            for n in 0..gates.len() {
                values[to] = tile.tape(v, first + n);
                to += 1;
            }
        }
        activate_flattened_with_slopes(isa, values, slopes, gates.len(), gates);
    }
}

/// [`HiddenGradients`] on the level of a token.
pub(super) fn hidden_gradients(token: Token) -> BackwardFinish {
    pointer::<HiddenGradients>(token)
}

/// A cell's backward in a phase, on the level of a token.
pub(super) fn backward_finish<D: Cell, const PHASE: usize>(token: Token) -> BackwardFinish {
    pointer::<Finish<D, PHASE>>(token)
}

/// A cell's backward on the level of a token, by phase.
pub(super) fn backward_finishes<D: Cell>(token: Token) -> [BackwardFinish; MAX_PHASES] {
    let first = backward_finish::<D, 0>(token);
    // The phases that a cell does not have are not compiled.
    let second = if const { D::SHAPE.forward.len() > 1 } { backward_finish::<D, 1>(token) } else { first };
    let third = if const { D::SHAPE.forward.len() > 2 } { backward_finish::<D, 2>(token) } else { first };
    [first, second, third]
}

impl<'a, I: Isa> BackwardTile<'a, I> {
    /// The gradient of the hidden state after the step, or of the initial state. It is the sum of three: the
    /// product of the following step's gate gradients with the recurrent weights, times the recurrent
    /// dropout; the gradient that the following step carries over; and the gradient from above, where
    /// tiny values count as zero. With zoneout it is the gradient of the new value, and the rest goes past
    /// the step.
    #[inline(always)]
    fn hidden_gradient(&self, v: usize, product: I::Vector) -> I::Vector {
        let isa = self.isa;
        let mut dh = isa.add(self.masked(v, product), self.carry(v, H));
        if let Some((upstream, plane)) = self.pass.records.upstream {
            let (time, row) = self.step.origins.get(self.rank(v));
            let row = upstream.plane(time, row, *plane);
            let start = self.unit(v);
            let from = &row[start..(start + I::LANES).min(row.len())];
            let dy = if from.len() == I::LANES { isa.load(from) } else { isa.load_partial(from) };
            dh = isa.add(dh, flush(isa, dy));
        }
        if let Some(past) = self.past() {
            dh = isa.add(dh, self.carry(v, past));
            let (new, rest) = self.split_by_zoneout(v, H, dh);
            self.set_carry(v, past, rest);
            dh = new;
        }
        dh
    }

    /// The plane of `carry` for the gradient that goes past a step, with zoneout.
    #[inline(always)]
    fn past(&self) -> Option<usize> {
        self.step.context.zoneout.map(|_| self.step.context.weights.shape().state.len())
    }

    /// Splits a gradient after the zoneout of this step into the gradient of the new value and that of the
    /// old one.
    #[inline(always)]
    fn split_by_zoneout(&self, v: usize, plane: usize, gradient: I::Vector) -> (I::Vector, I::Vector) {
        let isa = self.isa;
        let taken = if self.pass.records.is_step { self.taken(v, plane) } else { None };
        match taken {
            Some(taken) => (isa.mul(taken, gradient), isa.mul(isa.sub(isa.splat(1.0), taken), gradient)),
            None => (gradient, isa.zero()),
        }
    }

    /// The gradient of the new cell state that later steps have left, and the part of it that goes past this
    /// step. That part is zero unless `with_options` and there is zoneout.
    #[inline(always)]
    pub(crate) fn cell_gradient(&self, with_options: bool, v: usize) -> (I::Vector, I::Vector) {
        let dc = self.carry(v, C);
        if with_options { self.split_by_zoneout(v, C, dc) } else { (dc, self.isa.zero()) }
    }

    /// A plane of the step's tape, of all units.
    #[inline(always)]
    pub(crate) fn tape_row(&self, v: usize, plane: usize) -> Row<'a> {
        // SAFETY: records of this tile.
        unsafe { self.read_row(self.pass.records.tape, v, plane) }
    }

    /// A gradient that an earlier phase of the step has written, of all units.
    #[inline(always)]
    pub(crate) fn gradient_row(&self, v: usize, plane: usize) -> Row<'a> {
        // SAFETY: records of this tile.
        unsafe { self.read_row(self.pass.records.grads, v, plane) }
    }

    /// A gradient that an earlier phase of the step has written.
    #[inline(always)]
    pub(crate) fn gradient(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: records of this tile.
        unsafe { self.read(self.pass.records.grads, v, plane) }
    }

    /// A plane of the step's tape.
    #[inline(always)]
    pub(crate) fn tape(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: records of this tile.
        unsafe { self.read(self.pass.records.tape, v, plane) }
    }

    /// The values of some gates and their slopes, of the vectors of a group, from their arguments: those are
    /// in the planes `first..` of the tape, one for each gate. It is compiled once for all cells.
    #[inline(always)]
    pub(crate) fn recall<const G: usize>(
        &self,
        group: &Range<usize>,
        first: usize,
        gates: &[Gate; G],
        values: &mut [[I::Vector; G]; GROUP],
        slopes: &mut [[I::Vector; G]; GROUP],
    ) {
        let (step, area, count) = (self.pass.step, self.area, group.len());
        let (values, slopes) = (&mut values[..count], &mut slopes[..count]);
        let (values, slopes) = (values.as_flattened_mut(), slopes.as_flattened_mut());
        self.isa.call(Recalled { step, area, group: group.clone(), first, gates, values, slopes });
    }

    /// The gradient of the state that goes on to earlier steps.
    #[inline(always)]
    pub(crate) fn carry(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: records of this tile.
        unsafe { self.read(self.pass.records.carry, v, plane) }
    }

    /// Sets the gradient that goes on to earlier steps, apart from the recurrent product. Tiny values become
    /// zero.
    #[inline(always)]
    pub(crate) fn set_carry(&self, v: usize, plane: usize, value: I::Vector) {
        // SAFETY: records of this tile.
        unsafe { self.write(self.pass.records.carry, v, plane, flush(self.isa, value)) };
    }

    /// Sets the gradient of a gate before its activation. Tiny values become zero.
    #[inline(always)]
    pub(crate) fn set_gradient(&self, v: usize, plane: usize, value: I::Vector) {
        // SAFETY: records of this tile.
        unsafe { self.write(self.pass.records.grads, v, plane, flush(self.isa, value)) };
    }
}
