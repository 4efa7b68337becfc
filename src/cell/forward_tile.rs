//! What a cell sees of the world on the way forward: some rows and blocks of hidden units at one step.
//!
//! The records of a row, each plane padded to whole cache lines (how they lie: `records.rs`):
//!
//! ```text
//! states      [slot][rank][h | c | ..] slot t holds the state before step t, or after it (see below)
//! tape        [gate][line][t, rank][16]   what backward needs besides the states
//! scratch     [rank][...]              from a phase of a step to later ones
//! projected   [t][rank][gates]         b + W x of the steps of a chunk, where it is done beforehand
//! ```
//!
//! States have a plane more for c before its zoneout, and one for `h * mask` of recurrent dropout, which the
//! recurrent product reads then (see `dropout.rs`).
//!
//! **Slots.** There is one more slot than steps. Forward in time, step t leads from slot t to slot t+1.
//! Backward in time it leads from slot t+1 to slot t, and a row of length n starts in slot n. So slots
//! are places between steps and mean the same in both directions. A pass without a tape keeps two slots
//! and counts them modulo two. See `rows.rs` for where they lie.

use super::tile::CellTile;
use super::{C, H, Pass, Records, TapeRecords, Traits, Zoneout};
use crate::activation::flush;
use crate::matrix::{Blocks, GridMut, LineSlot, Panel, Part, Planes, Room, Row, Slot, Sums, accumulate, put};
use crate::simd::Isa;

/// All that a forward pass of one direction of one layer reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward<'a> {
    pub(crate) pass: Pass<'a>,
    /// The sequence, one plane of input size, to read; where layers run at the same time, the one below
    /// writes later steps of it.
    pub(crate) input: GridMut<'a>,
    /// Where the hidden states go, and in which of its planes.
    pub(crate) output: Option<(GridMut<'a>, usize)>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: Option<TapeRecords<'a>>,
    /// Where states are kept every some steps.
    pub(crate) checkpoints: Option<Checkpoints<'a>>,
    pub(crate) scratch: GridMut<'a>,
    /// The input products, where they are done beforehand.
    pub(crate) projected: Option<Projected<'a>>,
}

/// The states before the steps `every`, `2 every` and so on, in slots from 1 on, of the rows that have those steps. Slot 0
/// is for the initial ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoints<'a> {
    pub(crate) every: usize,
    pub(crate) states: Records<'a>,
}

/// `b + W x` of the steps of a chunk: slots are its steps, planes the gates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projected<'a> {
    pub(crate) sums: GridMut<'a>,
    pub(crate) first_step: usize,
}

impl Forward<'_> {
    /// Accumulators that start from the bias vectors `first..first + G`.
    #[inline(always)]
    fn bias<I: Isa, const R: usize, const U: usize, const G: usize>(
        &self,
        isa: I,
        block: usize,
        first: usize,
    ) -> Sums<I::Vector, R, U, G> {
        let mut sums = [[[isa.zero(); G]; U]; R];
        for u in 0..U {
            for g in 0..G {
                let bias = isa.load(self.pass.weights.biases.get(block + u, first + g));
                for sums in &mut sums {
                    sums[u][g] = bias;
                }
            }
        }
        sums
    }

    /// Adds `W x` of the first G gates, of any rows at any steps.
    #[inline(always)]
    fn add_input<I: Isa, const R: usize, const U: usize, const G: usize>(
        &self,
        isa: I,
        sums: &mut Sums<I::Vector, R, U, G>,
        places: &[(usize, usize)],
        block: usize,
        part: Part,
    ) {
        let panel = &self.pass.weights.input;
        let mut rows: [&[f32]; R] = [&[]; R];
        if R == 1 {
            rows[0] = self.input_row(places[0]);
        } else {
            self.input_rows(places, &mut rows);
        }
        let blocks = panel.blocks_from(block, 0, panel.depth());
        accumulate(isa, sums, rows, blocks, part.take(panel.span(block + U, U)));
    }

    /// The input of a row at a step.
    #[inline(always)]
    fn input_row(&self, (step, rank): (usize, usize)) -> &[f32] {
        let rows = self.pass.rows;
        // SAFETY: step and row exist, and the input of a step that is computed is not written any more.
        unsafe { self.input.plane(rows.time(step, rank), rows.order[rank], 0) }
    }

    /// The same of some rows. A function of its own, and no vectors in it: unrolled over the rows of each kind of tile it
    /// was most of a tile's code.
    #[inline(never)]
    fn input_rows<'b>(&'b self, places: &[(usize, usize)], to: &mut [&'b [f32]]) {
        for (row, &place) in to.iter_mut().zip(places) {
            *row = self.input_row(place);
        }
    }
}

/// What a tile has on the way forward alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead<'a> {
    forward: &'a Forward<'a>,
    step: usize,
    tape: Option<LineSlot<'a>>,
    scratch: Slot<'a>,
    output: Option<(GridMut<'a>, usize)>,
}

/// A tile of a forward pass.
pub(crate) type ForwardTile<'a, I> = CellTile<'a, I, Ahead<'a>>;

impl<'a, I: Isa> ForwardTile<'a, I> {
    /// The tile of the rows from `rank` on and of the blocks from `block` on at a step.
    ///
    /// # Safety
    /// - `step`, the rows and the blocks exist.
    /// - Nobody else works on these rows and blocks, and the step before them is done in all blocks.
    #[inline(always)]
    pub(crate) unsafe fn new(
        isa: I,
        forward: &'a Forward<'a>,
        step: usize,
        rank: usize,
        (block, blocks): (usize, Blocks),
        part: Part,
    ) -> Self {
        let pass = &forward.pass;
        let (before, after) = pass.slots(step);
        // SAFETY: step and rows exist, and so do their records.
        unsafe {
            let (before, after) = (forward.states.slot(before, rank), forward.states.slot(after, rank));
            let mut tape = None;
            if let Some(grid) = forward.tape {
                tape = Some(grid.slot(step, rank));
            }
            let (scratch, output) = (forward.scratch.slot(0, rank), forward.output);
            let way = Ahead { forward, step, tape, scratch, output };
            let places = pass.rows.places(step, rank);
            CellTile { isa, pass, rank, block, blocks, part, before, after, places, way }
        }
    }

    /// Has the records of R rows come nearer, which the tile will write when its products are done: they are new to the
    /// caches, and the states of each row and plane too far apart for the processor to foresee.
    #[inline(always)]
    pub(crate) fn prefetch<const R: usize>(&self, traits: &Traits) {
        let Some(tape) = self.way.tape else { return };
        for r in 0..R {
            self.prefetch_planes(tape, r, traits.tape);
            self.prefetch_planes(self.after, r, traits.state);
        }
    }

    /// Sums of nothing.
    #[inline(always)]
    pub(crate) fn zero<const R: usize, const U: usize, const G: usize>(&self) -> Sums<I::Vector, R, U, G> {
        [[[self.isa.zero(); G]; U]; R]
    }

    /// `b + W x` of the first G gates: computed here, or taken up where it was done beforehand.
    #[inline(always)]
    pub(crate) fn input<const R: usize, const U: usize, const G: usize>(&self) -> Sums<I::Vector, R, U, G> {
        let mut sums = self.bias(0);
        let forward = self.way.forward;
        if let Some(projected) = forward.projected {
            let slot = self.way.step - projected.first_step;
            for r in 0..R {
                for g in 0..G {
                    // SAFETY: the step is one of the chunk, whose projection is done.
                    let plane = unsafe { projected.sums.plane(slot, self.rank + r, g) };
                    for u in 0..U {
                        sums[r][u][g] = self.isa.load(&plane[(self.block + u) * I::LANES..]);
                    }
                }
            }
        } else {
            let mut places = [(self.way.step, 0); R];
            for r in 0..R {
                places[r].1 = self.rank + r;
            }
            forward.add_input(self.isa, &mut sums, &places, self.block, self.part);
        }
        sums
    }

    /// Accumulators that start from the bias vectors `first..first + G`.
    #[inline(always)]
    pub(crate) fn bias<const R: usize, const U: usize, const G: usize>(
        &self,
        first: usize,
    ) -> Sums<I::Vector, R, U, G> {
        self.way.forward.bias(self.isa, self.block, first)
    }

    /// Adds `R h` of the gates that multiply the hidden state.
    #[inline(always)]
    pub(crate) fn add_hidden<const R: usize, const U: usize, const G: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, G>,
    ) {
        self.add_plane(sums, &self.pass.weights.hidden, self.before, self.pass.multiplied());
    }

    /// Adds the product of the second phase, with a plane of the scratch record.
    #[inline(always)]
    pub(crate) fn add_second<const R: usize, const U: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, 1>,
        plane: usize,
    ) {
        self.add_plane(sums, &self.pass.weights.second, self.way.scratch, plane);
    }

    /// Adds the product of a plane of some records of these rows.
    #[inline(always)]
    fn add_plane<const R: usize, const U: usize, const G: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, G>,
        panel: &Panel,
        records: Slot<'a>,
        plane: usize,
    ) {
        // SAFETY: the rows exist; nobody writes this plane now: the step before is done, and so is the phase that wrote
        // the scratch record.
        let rows = unsafe { records.rows(plane, panel.depth()) };
        let blocks = panel.blocks_from(self.block, 0, panel.depth());
        accumulate(self.isa, sums, rows, blocks, self.part.take(panel.span(self.block + U, U)));
    }

    /// A plane of the scratch record, which an earlier phase has written.
    #[inline(always)]
    pub(crate) fn scratch(&self, v: usize, plane: usize) -> I::Vector {
        self.read(self.way.scratch, v, plane)
    }

    /// The same of all units.
    #[inline(always)]
    pub(crate) fn scratch_row(&self, v: usize, plane: usize) -> Row<'a> {
        self.read_row(self.way.scratch, v, plane)
    }

    /// The state after the step, of all units, which an earlier phase has written.
    #[inline(always)]
    pub(crate) fn after_row(&self, v: usize, plane: usize) -> Row<'a> {
        self.read_row(self.after, v, plane)
    }

    /// The epsilon of the normalisation.
    #[inline(always)]
    pub(crate) fn epsilon(&self) -> f32 {
        self.pass.weights.variant.epsilon.unwrap_or(0.0)
    }

    /// Writes planes `first..` of the scratch record for a later phase.
    #[inline(always)]
    pub(crate) fn keep<const N: usize>(&self, v: usize, first: usize, values: [I::Vector; N]) {
        self.write_planes(self.way.scratch, v, first, values);
    }

    /// Writes planes `first..` of the tape, where there is one.
    #[inline(always)]
    pub(crate) fn record<const N: usize>(&self, v: usize, first: usize, values: [I::Vector; N]) {
        if let Some(tape) = self.way.tape {
            self.write_planes(tape, v, first, values);
        }
    }

    #[inline(always)]
    fn write_planes<const N: usize>(
        &self,
        to: impl Planes<'a>,
        v: usize,
        first: usize,
        values: [I::Vector; N],
    ) {
        for n in 0..N {
            self.write(to, v, first + n, values[n]);
        }
    }

    /// The new cell state, before its zoneout, if `chosen` and there is any. Gives it back as it is stored, tiny
    /// values as zero.
    #[inline(always)]
    pub(crate) fn set_cell_state(&self, chosen: bool, v: usize, c: I::Vector) -> I::Vector {
        let c = flush(self.isa, c);
        let kept = if chosen { self.zone_out(v, C, c) } else { c };
        self.write(self.after, v, C, kept);
        if chosen && self.new_cell_state() != C {
            self.write(self.after, v, self.new_cell_state(), c);
        }
        c
    }

    /// A new value after its zoneout, where there is any.
    #[inline(always)]
    fn zone_out(&self, v: usize, plane: usize, new: I::Vector) -> I::Vector {
        match self.taken(v, plane) {
            Some(taken) => flush(self.isa, Zoneout::blend(self.isa, taken, new, self.before(v, plane))),
            None => new,
        }
    }

    /// The new hidden state, which is also the output; before its zoneout, if `chosen` and there is any. Tiny
    /// values are stored as zero.
    #[inline(always)]
    pub(crate) fn set_hidden(&self, chosen: bool, v: usize, h: I::Vector) {
        let h = flush(self.isa, h);
        let h = if chosen { self.zone_out(v, H, h) } else { h };
        self.write(self.after, v, H, h);
        if let Some(masks) = self.pass.masks {
            self.write(self.after, v, masks.plane, self.masked(v, h));
        }
        if let Some((output, plane)) = self.way.output {
            let (time, row) = self.places.get(self.row(v));
            let start = self.unit(v);
            let end = (start + I::LANES).min(output.grid.width());
            // SAFETY: row and time exist; these columns belong to blocks of this tile.
            let to = unsafe { output.columns(time, row, plane, start..end) };
            if to.len() == I::LANES {
                self.isa.store(to, h);
            } else {
                self.isa.store_partial(to, h);
            }
        }
    }
}

/// A tile of the input products of a chunk of steps, which need no state: rows are (step, rank) places.
pub(crate) struct ProjectionTile<'a, I: Isa, const R: usize, const U: usize> {
    /// The vector instructions.
    pub(crate) isa: I,
    pub(crate) forward: &'a Forward<'a>,
    /// Of each row. (By reference: copied, they were read again before the copy had left the store buffer, which kept the
    /// next tile from beginning while this one ends; 2 % of a step of 8 rows.)
    pub(crate) places: &'a [(usize, usize); R],
    pub(crate) block: usize,
    pub(crate) part: Part,
}

impl<I: Isa, const R: usize, const U: usize> ProjectionTile<'_, I, R, U> {
    /// Computes `b + W x` of the G gates.
    #[inline(always)]
    pub(crate) fn project<'r, const G: usize>(&self, room: &'r mut Room<I::Vector>) -> &'r mut [I::Vector] {
        let mut sums: Sums<I::Vector, R, U, G> = self.forward.bias(self.isa, self.block, 0);
        self.forward.add_input(self.isa, &mut sums, self.places, self.block, self.part);
        put(sums, room)
    }
}
