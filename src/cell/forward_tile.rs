//! What a cell can do on the way forward: compute the state after a step, and the tape, from its sums.
//!
//! With zoneout, states have one more plane, for c before its zoneout. With recurrent dropout they have one
//! more, for `h * mask`, which the recurrent product then reads (see `dropout.rs`).

use super::shape::MAX_PHASES;
use super::tile::{Area, CellTile, Step};
use super::{C, Cell, H, Zoneout};
use crate::activation::{Gate, activate_flattened};
use crate::memory::{GridMut, LineSlot, Planes, Row, Slot};
use crate::simd::{Isa, Outlined, Routine, Token, flush, pointers};
use std::marker::PhantomData;

pointers!(pointer);

/// A step on the way forward, from rank 0 on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardStep<'a> {
    pub(crate) step: Step<'a>,
    pub(crate) records: ForwardRecords<'a>,
}

/// The records of a step that only the forward pass has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardRecords<'a> {
    pub(crate) tape: Option<LineSlot<'a>>,
    /// The scratch record, from one phase of a step to later ones: `[rank][plane][unit]`.
    pub(crate) scratch: Slot<'a>,
    /// Where the hidden states go: a grid and a plane of it.
    pub(crate) output: Option<&'a (GridMut<'a>, usize)>,
}

/// The part of a tile that only the forward pass has: a copy of its records, and its step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfForward<'a> {
    records: ForwardRecords<'a>,
    step: &'a ForwardStep<'a>,
}

/// A tile of a forward pass.
pub(crate) type ForwardTile<'a, I> = CellTile<'a, I, OfForward<'a>>;

impl<'a> ForwardStep<'a> {
    /// A tile of the step.
    ///
    /// # Safety
    /// - As for [`CellTile::new`].
    #[inline(always)]
    unsafe fn tile<I: Isa>(&'a self, isa: I, area: Area) -> ForwardTile<'a, I> {
        // SAFETY: the caller's promise, passed on.
        unsafe { ForwardTile::new(isa, self.step, area, OfForward { records: self.records, step: self }) }
    }
}

/// The sums of a tile, and its rows and blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardSums<'a> {
    pub(crate) step: &'a ForwardStep<'a>,
    pub(crate) area: &'a Area,
    /// The sums of the phase for each vector, on a cache line.
    pub(crate) sums: *mut f32,
}

/// A cell's forward in one phase, on one level.
///
/// # Safety
/// - The rows and blocks of the area and their records exist, in memory of this cell; nobody else works on
///   them, the step before is done in all blocks, and so are earlier phases.
/// - The sums are as many vectors of floats, and nobody else's.
pub(crate) type ForwardFinish = for<'a, 'b> unsafe fn(&'a ForwardSums<'b>);

struct Finish<C, const PHASE: usize>(PhantomData<C>);

impl<D: Cell, const PHASE: usize> Routine for Finish<D, PHASE> {
    type Arguments<'a> = ForwardSums<'a>;

    /// # Safety
    /// - As for [`ForwardFinish`].
    #[inline(always)]
    unsafe fn run<I: Isa>(isa: I, arguments: &ForwardSums<'_>) {
        let ForwardSums { step, area: &area, sums } = *arguments;
        let shape = const { &D::SHAPE };
        // Facts about every tile, stated where the compiler sees them: it then checks planes when it
        // compiles.
        assert!(step.step.before.planes() >= shape.state.len());
        assert!(step.step.after.planes() >= shape.state.len());
        assert!(step.records.scratch.planes() >= shape.scratch);
        if let Some(tape) = step.records.tape {
            assert!(tape.planes() >= shape.tape);
        }
        // SAFETY: the caller's promise; memory has this many vectors.
        unsafe {
            let count = area.vectors.unchecked_mul(shape.forward[PHASE].sums);
            let sums = std::slice::from_raw_parts_mut(sums.cast::<I::Vector>(), count);
            D::forward::<I, PHASE>(&step.tile(isa, area), sums);
        }
    }
}

/// The arguments of [`ForwardTile::activate`], which makes them.
struct Activated<'a, V> {
    step: &'a ForwardStep<'a>,
    area: Area,
    first: usize,
    sums: &'a mut [V],
    stride: usize,
    gates: &'a [Gate],
}

impl<I: Isa> Outlined<I> for Activated<'_, I::Vector> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Activated { step, area, first, sums, stride, gates } = self;
        // SAFETY: step and area of a tile.
        let tile = unsafe { step.tile(isa, area) };
        for n in 0..gates.len() {
            for v in 0..area.vectors {
                tile.record(v, first + n, [sums[v * stride + gates[n].index]]);
            }
        }
        activate_flattened(isa, sums, stride, gates);
    }
}

/// The arguments of [`ForwardTile::set_hidden_states`], which makes them.
struct HiddenStates<'a, V> {
    step: &'a ForwardStep<'a>,
    area: Area,
    sums: &'a [V],
    stride: usize,
}

impl<I: Isa> Outlined<I> for HiddenStates<'_, I::Vector> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let HiddenStates { step, area, sums, stride } = self;
        // SAFETY: step and area of a tile.
        let tile = unsafe { step.tile(isa, area) };
        for v in 0..area.vectors {
            tile.store_hidden(v, tile.after_zoneout(v, H, flush(isa, sums[v * stride])));
        }
    }
}

/// A cell's forward in a phase, on the level of a token.
pub(super) fn forward_finish<D: Cell, const PHASE: usize>(token: Token) -> ForwardFinish {
    pointer::<Finish<D, PHASE>>(token)
}

/// A cell's forward on the level of a token, by phase.
pub(super) fn forward_finishes<D: Cell>(token: Token) -> [ForwardFinish; MAX_PHASES] {
    let first = forward_finish::<D, 0>(token);
    // The phases that a cell does not have are not compiled.
    let second = if const { D::SHAPE.forward.len() > 1 } { forward_finish::<D, 1>(token) } else { first };
    let third = if const { D::SHAPE.forward.len() > 2 } { forward_finish::<D, 2>(token) } else { first };
    [first, second, third]
}

impl<'a, I: Isa> ForwardTile<'a, I> {
    /// A plane of the scratch record, which an earlier phase has written.
    #[inline(always)]
    pub(crate) fn scratch(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: records of this tile.
        unsafe { self.read(self.pass.records.scratch, v, plane) }
    }

    /// A plane of the scratch record, of all units.
    #[inline(always)]
    pub(crate) fn scratch_row(&self, v: usize, plane: usize) -> Row<'a> {
        // SAFETY: records of this tile.
        unsafe { self.read_row(self.pass.records.scratch, v, plane) }
    }

    /// The epsilon of the normalisation.
    #[inline(always)]
    pub(crate) fn epsilon(&self) -> f32 {
        self.step.context.weights.variant.epsilon.unwrap_or(0.0)
    }

    /// Writes planes `first..` of the scratch record for a later phase.
    #[inline(always)]
    pub(crate) fn keep<const N: usize>(&self, v: usize, first: usize, values: [I::Vector; N]) {
        // SAFETY: records of this tile.
        unsafe { self.write_planes(self.pass.records.scratch, v, first, values) };
    }

    /// Writes planes `first..` of the tape, where there is one.
    #[inline(always)]
    pub(crate) fn record<const N: usize>(&self, v: usize, first: usize, values: [I::Vector; N]) {
        if let Some(tape) = self.pass.records.tape {
            // SAFETY: records of this tile.
            unsafe { self.write_planes(tape, v, first, values) };
        }
    }

    /// Writes planes `first..` of some records.
    ///
    /// # Safety
    /// - As for [`CellTile::write`].
    #[inline(always)]
    unsafe fn write_planes<const N: usize>(
        &self,
        to: impl Planes,
        v: usize,
        first: usize,
        values: [I::Vector; N],
    ) {
        for n in 0..N {
            // SAFETY: the caller's promise, passed on.
            unsafe { self.write(to, v, first + n, values[n]) };
        }
    }

    /// Writes the new cell state, after its zoneout if `with_options` and there is zoneout. Returns the value
    /// before its zoneout, as it is stored: tiny values are zero.
    #[inline(always)]
    pub(crate) fn set_cell_state(&self, with_options: bool, v: usize, c: I::Vector) -> I::Vector {
        let c = flush(self.isa, c);
        let kept = if with_options { self.after_zoneout(v, C, c) } else { c };
        // SAFETY: records of this tile.
        unsafe { self.write(self.step.after, v, C, kept) };
        if with_options && self.new_cell_state() != C {
            // SAFETY: records of this tile.
            unsafe { self.write(self.step.after, v, self.new_cell_state(), c) };
        }
        c
    }

    /// Writes another plane of the new state. Tiny values are stored as zero.
    #[inline(always)]
    pub(crate) fn set_state(&self, v: usize, plane: usize, value: I::Vector) {
        // SAFETY: records of this tile.
        unsafe { self.write(self.step.after, v, plane, flush(self.isa, value)) };
    }

    /// A new value after its zoneout, if there is zoneout.
    #[inline(always)]
    fn after_zoneout(&self, v: usize, plane: usize, new: I::Vector) -> I::Vector {
        match self.taken(v, plane) {
            Some(taken) => flush(self.isa, Zoneout::blend(self.isa, taken, new, self.before(v, plane))),
            None => new,
        }
    }

    /// Clips and activates some gates of all vectors. The tape keeps their arguments in the planes `first..`,
    /// in the order of the list. It is compiled once for all cells with options.
    #[inline(always)]
    pub(crate) fn activate<const G: usize>(&self, sums: &mut [[I::Vector; G]], first: usize, gates: &[Gate]) {
        let (step, area, sums) = (self.pass.step, self.area, sums.as_flattened_mut());
        self.isa.call(Activated { step, area, first, sums, stride: G, gates });
    }

    /// Writes the new hidden states of all vectors, each the first of its sums, as
    /// [`set_hidden`](Self::set_hidden) does, after their zoneout if there is zoneout. It is compiled once
    /// for all cells with options.
    #[inline(always)]
    pub(crate) fn set_hidden_states<const G: usize>(&self, sums: &[[I::Vector; G]]) {
        let (step, area, sums) = (self.pass.step, self.area, sums.as_flattened());
        self.isa.call(HiddenStates { step, area, sums, stride: G });
    }

    /// Writes the new hidden state of a plain cell, which is also the output. Tiny values are stored as zero.
    #[inline(always)]
    pub(crate) fn set_hidden(&self, v: usize, h: I::Vector) {
        self.store_hidden(v, flush(self.isa, h));
    }

    /// Writes a hidden state to all its places.
    #[inline(always)]
    fn store_hidden(&self, v: usize, h: I::Vector) {
        // SAFETY: records of this tile.
        unsafe { self.write(self.step.after, v, H, h) };
        if let Some(masks) = self.step.context.masks {
            // SAFETY: records of this tile.
            unsafe { self.write(self.step.after, v, masks.plane, self.masked(v, h)) };
        }
        if let Some((output, plane)) = self.pass.records.output {
            let (time, row) = self.step.origins.get(self.rank(v));
            let start = self.unit(v);
            let columns = output.grid.width().saturating_sub(start).min(I::LANES);
            // SAFETY: row and time exist; these columns belong to blocks of this tile.
            unsafe {
                let to = output.address(time, row, *plane, start);
                if columns == I::LANES {
                    self.isa.store_ptr(to, h);
                } else {
                    self.isa.store_partial(std::slice::from_raw_parts_mut(to, columns), h);
                }
            }
        }
    }
}
