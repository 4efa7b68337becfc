//! What a cell sees of the world on the way forward: some rows and blocks of hidden units at one step.
//!
//! The records of a row, each plane padded to whole cache lines:
//!
//! ```text
//! states      [slot][rank][h | c | ..] slot t holds the state before step t, or after it (see below)
//! tape        [t][rank][gates]         what backward needs besides the states
//! scratch     [rank][...]              from the first phase of a step to its second
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

use super::dropout::{Masks, Zoneout, multiplied};
use super::rows::Places;
use super::{C, H, Options, Records, Rows, Weights};
use crate::activation::flush;
use crate::matrix::{Blocks, GridMut, Panel, Part, Room, Slot, Sums, accumulate, put};
use crate::simd::Isa;

/// All that a forward pass of one direction of one layer reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) rows: &'a Rows,
    /// Whether the pass runs from the end to the beginning.
    pub(crate) reverse: bool,
    /// The sequence, one plane of input size, to read; where layers run at the same time, the one below
    /// writes later steps of it.
    pub(crate) input: GridMut<'a>,
    /// Where the hidden states go, and in which of its planes.
    pub(crate) output: Option<(GridMut<'a>, usize)>,
    pub(crate) states: Records<'a>,
    pub(crate) tape: Option<Records<'a>>,
    /// Where states are kept every some steps.
    pub(crate) checkpoints: Option<Checkpoints<'a>>,
    pub(crate) scratch: GridMut<'a>,
    /// Recurrent dropout, where there is any.
    pub(crate) masks: Option<Masks<'a>>,
    /// Zoneout, where there is any; then the cell is one with options.
    pub(crate) zoneout: Option<Zoneout>,
    /// The input products, where they are done beforehand.
    pub(crate) projected: Option<Projected<'a>>,
}

/// The states before the steps `every`, `2 every` and so on, in slots from 1 on. Slot 0 is for the initial ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoints<'a> {
    pub(crate) every: usize,
    pub(crate) states: GridMut<'a>,
}

/// `b + W x` of the steps of a chunk: slots are its steps, planes the gates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projected<'a> {
    pub(crate) sums: GridMut<'a>,
    pub(crate) first_time: usize,
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
                let bias = isa.load(self.weights.biases.get(block + u, first + g));
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
        places: [(usize, usize); R],
        block: usize,
        part: Part,
    ) {
        let panel = &self.weights.input;
        let mut rows: [&[f32]; R] = [&[]; R];
        if R == 1 {
            rows[0] = self.input_row(places[0]);
        } else {
            self.input_rows(&places, &mut rows);
        }
        let blocks = panel.blocks_from(block, 0, panel.depth());
        accumulate(isa, sums, rows, blocks, part.take(panel.span(block + U, U)));
    }

    /// The input of a row at a step.
    #[inline(always)]
    fn input_row(&self, (time, rank): (usize, usize)) -> &[f32] {
        // SAFETY: step and row exist, and the input of a step that is computed is not written any more.
        unsafe { self.input.plane(self.rows.time(time, rank), self.rows.order[rank], 0) }
    }

    /// The same of some rows. A function of its own, and no vectors in it: unrolled over the rows of each kind of tile it
    /// was most of a tile's code.
    #[inline(never)]
    fn input_rows<'b>(&'b self, places: &[(usize, usize)], to: &mut [&'b [f32]]) {
        for (row, &place) in to.iter_mut().zip(places) {
            *row = self.input_row(place);
        }
    }

    /// The slots before and after step `time`.
    #[inline(always)]
    pub(crate) fn slots(&self, time: usize) -> (usize, usize) {
        if self.reverse { (time + 1, time) } else { (time, time + 1) }
    }
}

/// A tile of a forward pass: some rows of one step by one block of units or several.
///
/// Its vectors count through the blocks of its first row, then of its second: `v` below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardTile<'a, I: Isa> {
    /// The vector instructions.
    pub(crate) isa: I,
    pass: &'a Forward<'a>,
    time: usize,
    rank: usize,
    block: usize,
    blocks: Blocks,
    part: Part,
    // The records of these rows, found once.
    before: Slot<'a>,
    after: Slot<'a>,
    tape: Option<Slot<'a>>,
    scratch: Slot<'a>,
    output: Option<(GridMut<'a>, usize)>,
    places: Places<'a>,
}

impl<'a, I: Isa> ForwardTile<'a, I> {
    /// The tile of the rows from `rank` on and of the blocks from `block` on at step `time`.
    ///
    /// # Safety
    /// - `time`, the rows and the blocks exist.
    /// - Nobody else works on these rows and blocks, and the step before them is done in all blocks.
    #[inline(always)]
    pub(crate) unsafe fn new(
        isa: I,
        pass: &'a Forward<'a>,
        time: usize,
        rank: usize,
        (block, blocks): (usize, Blocks),
        part: Part,
    ) -> Self {
        let (before, after) = pass.slots(time);
        // SAFETY: step and rows exist, and so do their records.
        unsafe {
            let (before, after) = (pass.states.slot(before, rank), pass.states.slot(after, rank));
            let mut tape = None;
            if let Some(grid) = pass.tape {
                tape = Some(grid.slot(time, rank));
            }
            let scratch = pass.scratch.slot(0, rank);
            let (output, places) = (pass.output, pass.rows.places(time, rank));
            ForwardTile {
                isa,
                pass,
                time,
                rank,
                block,
                blocks,
                part,
                before,
                after,
                tape,
                scratch,
                output,
                places,
            }
        }
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

    /// Sums of nothing.
    #[inline(always)]
    pub(crate) fn zero<const R: usize, const U: usize, const G: usize>(&self) -> Sums<I::Vector, R, U, G> {
        [[[self.isa.zero(); G]; U]; R]
    }

    /// `b + W x` of the first G gates: computed here, or taken up where it was done beforehand.
    #[inline(always)]
    pub(crate) fn input<const R: usize, const U: usize, const G: usize>(&self) -> Sums<I::Vector, R, U, G> {
        let mut sums = self.bias(0);
        if let Some(projected) = self.pass.projected {
            let slot = self.time - projected.first_time;
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
            let mut places = [(self.time, 0); R];
            for r in 0..R {
                places[r].1 = self.rank + r;
            }
            self.pass.add_input(self.isa, &mut sums, places, self.block, self.part);
        }
        sums
    }

    /// Accumulators that start from the bias vectors `first..first + G`.
    #[inline(always)]
    pub(crate) fn bias<const R: usize, const U: usize, const G: usize>(
        &self,
        first: usize,
    ) -> Sums<I::Vector, R, U, G> {
        self.pass.bias(self.isa, self.block, first)
    }

    /// Adds `R h` of the gates that multiply the hidden state.
    #[inline(always)]
    pub(crate) fn add_hidden<const R: usize, const U: usize, const G: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, G>,
    ) {
        self.add(sums, &self.pass.weights.hidden, self.before, multiplied(self.pass.masks));
    }

    /// Adds the product of the second phase, with a plane of the scratch record.
    #[inline(always)]
    pub(crate) fn add_second<const R: usize, const U: usize>(
        &self,
        sums: &mut Sums<I::Vector, R, U, 1>,
        plane: usize,
    ) {
        self.add(sums, &self.pass.weights.second, self.scratch, plane);
    }

    /// Adds the product of a plane of some records of these rows.
    #[inline(always)]
    fn add<const R: usize, const U: usize, const G: usize>(
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

    /// The state before the step.
    #[inline(always)]
    pub(crate) fn state(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: row and block exist; the step before is done, and this one writes another slot.
        self.isa.load(unsafe { self.before.columns(self.row(v), plane, self.unit(v), I::LANES) })
    }

    /// The hidden state before the step as the recurrent weights see it: with its dropout, where there is any.
    #[inline(always)]
    pub(crate) fn multiplied(&self, v: usize) -> I::Vector {
        self.state(v, multiplied(self.pass.masks))
    }

    /// A plane of the scratch record, which the first phase has written.
    #[inline(always)]
    pub(crate) fn scratch(&self, v: usize, plane: usize) -> I::Vector {
        // SAFETY: row and block exist, and between two phases of a step nobody writes its scratch record.
        self.isa.load(unsafe { self.scratch.columns(self.row(v), plane, self.unit(v), I::LANES) })
    }

    /// A plane of the scratch record, of all units.
    #[inline(always)]
    pub(crate) fn scratch_row(&self, v: usize, plane: usize) -> &'a [f32] {
        // SAFETY: the row exists, and the phase that wrote this plane is done in all blocks.
        unsafe { self.scratch.plane(self.row(v), plane) }
    }

    /// The state after the step, of all units, which an earlier phase has written.
    #[inline(always)]
    pub(crate) fn after_row(&self, v: usize, plane: usize) -> &'a [f32] {
        // SAFETY: the row exists, and the phase that wrote this plane is done in all blocks.
        unsafe { self.after.plane(self.row(v), plane) }
    }

    /// The state after the step, which an earlier phase has written.
    #[inline(always)]
    pub(crate) fn after(&self, v: usize, plane: usize) -> I::Vector {
        self.isa.load(&self.after_row(v, plane)[self.unit(v)..])
    }

    /// Hidden units.
    #[inline(always)]
    pub(crate) fn units(&self) -> usize {
        self.pass.weights.input.units()
    }

    /// The epsilon of the normalisation.
    #[inline(always)]
    pub(crate) fn epsilon(&self) -> f32 {
        self.pass.weights.variant.epsilon.unwrap_or(0.0)
    }

    /// A gain or shift of the normalisation.
    #[inline(always)]
    pub(crate) fn norm(&self, v: usize, vector: usize) -> I::Vector {
        self.isa.load(&self.pass.weights.norms.get(vector)[self.unit(v)..])
    }

    /// Writes planes `first..` of the scratch record for a later phase.
    #[inline(always)]
    pub(crate) fn keep<const N: usize>(&self, v: usize, first: usize, values: [I::Vector; N]) {
        self.write(self.scratch, v, first, values);
    }

    /// Writes planes `first..` of the tape, where there is one.
    #[inline(always)]
    pub(crate) fn record<const N: usize>(&self, v: usize, first: usize, values: [I::Vector; N]) {
        if let Some(tape) = self.tape {
            self.write(tape, v, first, values);
        }
    }

    /// The new cell state, before its zoneout, if `chosen` and there is any. Gives it back as it is stored, tiny
    /// values as zero.
    #[inline(always)]
    pub(crate) fn set_cell_state(&self, chosen: bool, v: usize, c: I::Vector) -> I::Vector {
        let c = flush(self.isa, c);
        let kept = if chosen { self.zone_out(v, C, c) } else { c };
        self.write(self.after, v, C, [kept]);
        if chosen && self.new_cell_state() != C {
            self.write(self.after, v, self.new_cell_state(), [c]);
        }
        c
    }

    /// The plane of the state after the step that has what [`set_cell_state`](Self::set_cell_state) was given.
    #[inline(always)]
    pub(crate) fn new_cell_state(&self) -> usize {
        self.pass.zoneout.map_or(C, |zoneout| zoneout.new_cell_state)
    }

    /// A new value after its zoneout, where there is any.
    #[inline(always)]
    fn zone_out(&self, v: usize, plane: usize, new: I::Vector) -> I::Vector {
        match self.pass.zoneout {
            Some(zoneout) if zoneout.p[plane] > 0.0 => {
                let place = self.places.get(self.row(v));
                let taken = zoneout.taken(self.isa, plane, place, self.unit(v));
                flush(self.isa, Zoneout::blend(self.isa, taken, new, self.state(v, plane)))
            }
            _ => new,
        }
    }

    /// The new hidden state, which is also the output; before its zoneout, if `chosen` and there is any. Tiny
    /// values are stored as zero.
    #[inline(always)]
    pub(crate) fn set_hidden(&self, chosen: bool, v: usize, h: I::Vector) {
        let h = flush(self.isa, h);
        let h = if chosen { self.zone_out(v, H, h) } else { h };
        self.write(self.after, v, H, [h]);
        if let Some(masks) = self.pass.masks {
            let factor = self.isa.load(&masks.row(self.pass.rows, self.rank + self.row(v))[self.unit(v)..]);
            let masked = self.isa.mul(h, factor);
            self.write(self.after, v, masks.plane, [masked]);
        }
        if let Some((output, plane)) = self.output {
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

    #[inline(always)]
    fn write<const N: usize>(&self, to: Slot<'a>, v: usize, first: usize, values: [I::Vector; N]) {
        for (n, value) in values.into_iter().enumerate() {
            // SAFETY: the row exists, the columns are those of a block of this tile, and a plane is
            // padded to whole vectors of every level.
            let to = unsafe { to.columns_mut(self.row(v), first + n, self.unit(v), I::LANES) };
            self.isa.store(to, value);
        }
    }
}

/// A tile of the input products of a chunk of steps, which need no state: rows are (step, rank) places.
pub(crate) struct ProjectionTile<'a, I: Isa, const R: usize, const U: usize> {
    /// The vector instructions.
    pub(crate) isa: I,
    pub(crate) pass: &'a Forward<'a>,
    pub(crate) places: [(usize, usize); R],
    pub(crate) block: usize,
    pub(crate) part: Part,
}

impl<I: Isa, const R: usize, const U: usize> ProjectionTile<'_, I, R, U> {
    /// Computes `b + W x` of the G gates.
    #[inline(always)]
    pub(crate) fn project<'r, const G: usize>(&self, room: &'r mut Room<I::Vector>) -> &'r mut [I::Vector] {
        let mut sums: Sums<I::Vector, R, U, G> = self.pass.bias(self.isa, self.block, 0);
        self.pass.add_input(self.isa, &mut sums, self.places, self.block, self.part);
        put(sums, room)
    }
}
