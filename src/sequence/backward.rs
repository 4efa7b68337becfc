//! The walk back through time: gradients of the gates, chunk by chunk.
//!
//! ```text
//! for each chunk of steps          against the order of the forward pass
//!   for each step, phase, block, tile          rows or blocks shared among threads
//!       dh   = dG(following) R + carry + upstream        the product, and then    (products_back.rs)
//!       dG   = the cell's backward                       the gradients of the gates
//!   weight, bias and input gradients of the whole chunk  (gradient/), outputs shared among threads
//! ```
//!
//! A chunk has as many steps as keep its gate gradients in the level-2 cache, or some 512 places (step, row)
//! if those are more, so that the products over it are long. Where chunks are cut changes no result: all sums
//! over time are in the order of the walk back.
//!
//! ```text
//! grads   [ step done just before the chunk | first step on the way back | ... | last ]
//!           one place per row                 active rows only, (step, rank) counted through
//! ```
//!
//! Where only checkpoints were kept, the steps between two of them are run forward again first (`replay.rs`),
//! and then walked back in such chunks.

use super::converted::grid_of_gradients;
use super::gradient::{Chunk, Inputs, Kept, Packed, Targets, accumulate_chunk};
use super::pass::{Backward, Pass};
use super::products_back::run_phase;
use super::replay::Replay;
use super::rows::Rows;
use super::threads::{Load, MAX_SHARES, Schedule, Share, Walk, go, step_and_phase, take_steps};
use crate::error::{Error, checked_size, reserve};
use crate::memory::{AlignedBuf, Grid, GridMut, Lines, LinesMut, LinesRef};
use std::ops::Range;

/// Memory of a backward pass that is used again by the next.
#[derive(Debug, Default)]
pub(crate) struct BackwardMemory {
    grads: AlignedBuf,
    /// The gradient of the state: the final state's before the pass, the initial state's after it.
    pub(crate) carry: AlignedBuf,
    pub(crate) packed: Packed,
    /// Converted gate gradients of a step.
    converted: AlignedBuf,
    replay: Replay,
    starts: Vec<usize>,
    /// (step, rank) of the gate gradients of the chunk.
    places: Vec<(usize, usize)>,
}

/// Bytes of gate gradients that a chunk may have: half of a level-2 cache of 2 MiB, all of one of 1 MiB.
const CHUNK_BYTES: usize = 1 << 20;
/// Places (step, rank) that a chunk may have at least: enough to make the reading and writing of the weight
/// gradients a hundredth of the work.
const CHUNK_PLACES: usize = 512;

/// The most places of a chunk of these rows and steps; never fewer than those of one step of all rows. (Rows
/// are stretches between resets here: times the longest, they may be more than an address of 32 bits counts.)
fn chunk_places(batch: usize, steps: usize, record: usize) -> usize {
    (CHUNK_BYTES / 4 / record.max(1)).max(CHUNK_PLACES).max(batch).min(batch.saturating_mul(steps))
}

impl BackwardMemory {
    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.starts.capacity() * size_of::<usize>()
            + self.places.capacity() * size_of::<(usize, usize)>();
        let buffers = [&self.grads, &self.carry, &self.converted]
            .map(|buffer| size_of_val(&buffer[..]))
            .iter()
            .sum::<usize>();
        lists + buffers + self.packed.bytes() + self.replay.bytes()
    }

    /// Makes room for a pass over its rows: with checkpoints of `state_planes` planes every `every` steps, if
    /// there are checkpoints.
    pub(crate) fn prepare(
        &mut self,
        pass: &Pass<'_>,
        every: Option<usize>,
        state_planes: usize,
    ) -> Result<(), Error> {
        let (weights, rows) = (pass.weights(), pass.rows);
        let (batch, shape, hidden) = (rows.order.len(), weights.shape(), weights.units());
        self.carry.grow(BackwardMemory::carry_grid(pass)?.len())?;
        let record = Grid::padded(1, 1, shape.grads, hidden)?.len();
        let places = chunk_places(batch, rows.steps(), record);
        let with_seam = checked_size("gradients", &[batch.saturating_add(places)])?;
        self.grads.grow(Lines::new(with_seam, shape.grads, hidden)?.len())?;
        self.packed.reserve(weights, places)?;
        self.converted.grow(BackwardMemory::converted_grid(pass, 1)?.len())?;
        // A step has at least one place.
        reserve(&mut self.starts, places.min(rows.steps()) + 2)?;
        reserve(&mut self.places, places)?;
        match every {
            None => Ok(()),
            Some(every) => self.replay.prepare(pass, state_planes, every.min(rows.steps())),
        }
    }

    /// The shape of `converted`.
    fn converted_grid(pass: &Pass<'_>, shares: usize) -> Result<Grid, Error> {
        let shape = pass.weights().shape();
        let gates = shape.hidden_gates().max(shape.second_gates()).max(1);
        grid_of_gradients(pass.weights(), shares, pass.rows.order.len(), gates)
    }

    /// The shape of `carry`.
    pub(crate) fn carry_grid(pass: &Pass<'_>) -> Result<Grid, Error> {
        // The last plane has the sums that wait for their other gates.
        Grid::padded(1, pass.rows.order.len(), pass.waiting() + 1, pass.weights().units())
    }
}

/// Runs a backward pass on some threads. It sets or adds to the weight gradients, adds to the gradients of
/// other parameters, and sets or adds to the input gradient. `memory.carry` has the gradient of the final
/// state before the pass, and that of the initial state after it.
///
/// # Safety
/// - Input, upstream gradient and what was kept are those of a forward pass over these rows, with the planes
///   of its cell, and nobody writes them.
/// - The targets have the forms of the cell's tensors, the input gradient that of the input, and are nobody
///   else's.
pub(crate) unsafe fn backward(
    inputs: &Inputs<'_>,
    targets: &mut Targets<'_>,
    memory: &mut BackwardMemory,
    (schedule, threads): (Schedule, usize),
) -> Result<(), Error> {
    let &Inputs { pass, transposed, kept, .. } = inputs;
    let every = match kept {
        Kept::All { .. } => None,
        Kept::Checkpoints(checkpoints) => Some(checkpoints.every),
    };
    memory.prepare(&pass, every, pass.state_planes())?;
    let (weights, rows, reverse) = (pass.weights(), pass.rows, pass.reverse);
    let (batch, shape, hidden) = (rows.order.len(), weights.shape(), weights.units());
    let record = Grid::padded(1, 1, shape.grads, hidden)?.len();
    let steps = rows.steps();
    // The size for which `prepare` has made room.
    let most = chunk_places(batch, steps, record);
    let lines = Lines::new(batch + most, shape.grads, hidden)?;
    let carry_grid = BackwardMemory::carry_grid(&pass)?;
    let converted_grid = BackwardMemory::converted_grid(&pass, threads.clamp(1, MAX_SHARES))?;
    memory.converted.grow(converted_grid.len())?;
    let (bytes, multiply_adds) = transposed.recurrent_load();
    let load = Load {
        rows: batch,
        weights: multiply_adds,
        bytes,
        blocks: weights.blocks_of(weights.outputs().max(weights.units())),
        phases: shape.forward.len(),
        converts_rows: converted_grid.len() > 0,
        rate: weights.backward.rate,
    };

    let BackwardMemory { grads, carry, packed, converted, starts, places, replay } = memory;
    for segment in against(0..steps, every.unwrap_or(steps), reverse) {
        let (states, tape) = match kept {
            Kept::All { states, tape } => (states, tape),
            Kept::Checkpoints(checkpoints) => {
                // SAFETY: the caller's promise, passed on.
                unsafe { replay.run(inputs, checkpoints, segment.clone(), (schedule, threads))? }
            }
        };
        let mut rest = segment;
        while !rest.is_empty() {
            let range = next_chunk(rows, &mut rest, most, reverse);
            let first_step = list_places(rows, &range, reverse, (&mut *starts, &mut *places));
            let backward = Backward {
                pass,
                transposed,
                upstream: inputs.upstream,
                states,
                tape,
                grads: LinesMut::new(lines, grads),
                starts,
                first_step,
                carry: GridMut::new(carry_grid, carry),
                converted: GridMut::new(converted_grid, converted),
            };
            // Rows that are no longer there do not count.
            let load = Load { rows: places.len().div_ceil(range.len()), ..load };
            let (split, _) = load.split(schedule, threads);
            let walk = Steps { backward: &backward, range: range.clone(), steps };
            // SAFETY: the caller's promise; gradients and carry have a place of each row and step, and are
            // ours.
            unsafe { go(&walk, &rows.lengths, &range, split) };

            let chunk = Chunk { places, grads: LinesRef::new(lines, grads, batch), states, tape };
            // SAFETY: the caller's promise; the walk has written the gradients of the places.
            unsafe { accumulate_chunk(inputs, &chunk, packed, targets, threads) };

            // The gradients of the step that this chunk did last stand in front of the next chunk.
            let last = if reverse { range.end - 1 } else { range.start };
            let first = starts[last - first_step];
            lines.move_to_front(grads, first..first + rows.active(last));
        }
    }
    Ok(())
}

/// Pieces of `range`, of `length` steps from its start on, in the order of the walk back.
fn against(range: Range<usize>, length: usize, reverse: bool) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(length.max(1));
    (0..count).map(move |n| {
        let start = range.start + if reverse { n } else { count - 1 - n } * length;
        start..start.saturating_add(length).min(range.end)
    })
}

/// Lists the places of a chunk in the order of the walk back, and where those of each step begin in the gate
/// gradients. In front of them, at place 0, are the gradients of the step that the chunk before did last.
/// Returns the step that `starts[0]` belongs to.
fn list_places(
    rows: &Rows,
    chunk: &Range<usize>,
    reverse: bool,
    (starts, places): (&mut Vec<usize>, &mut Vec<(usize, usize)>),
) -> usize {
    let seam = if reverse { chunk.start.checked_sub(1) } else { Some(chunk.end) };
    let first_step = seam.map_or(chunk.start, |seam| seam.min(chunk.start));
    starts.clear();
    starts.resize(chunk.end + usize::from(!reverse) - first_step, 0);
    places.clear();
    for n in 0..chunk.len() {
        let step = nth_back(chunk, n, reverse);
        starts[step - first_step] = rows.order.len() + places.len();
        places.extend((0..rows.active(step)).map(|rank| (step, rank)));
    }
    first_step
}

/// The n-th of some steps on the walk back.
fn nth_back(steps: &Range<usize>, n: usize, reverse: bool) -> usize {
    if reverse { steps.start + n } else { steps.end - 1 - n }
}

/// Takes from `rest` the next steps of the walk back: as many as have at most `most` places together, and at
/// least one step. So a chunk has more steps where fewer rows run. If all chunks had the same number of
/// steps, the weight gradients would often be read and written for a few places. (`Z3/long-row`)
fn next_chunk(rows: &Rows, rest: &mut Range<usize>, most: usize, reverse: bool) -> Range<usize> {
    let (mut steps, mut places) = (0, 0);
    while steps < rest.len() {
        places += rows.active(nth_back(rest, steps, reverse));
        if places > most && steps > 0 {
            break;
        }
        steps += 1;
    }
    take_steps(rest, steps, !reverse)
}

/// The steps of a chunk, against the order of the forward pass.
///
/// A stage is a phase of a step, and there is one stage after the last step. Gradients of initial states need
/// all phases of the first step after them, so they are computed one stage later: together with the next step
/// of the walk, if rows of other lengths go on.
struct Steps<'a> {
    backward: &'a Backward<'a>,
    range: Range<usize>,
    /// All steps of the sequence.
    steps: usize,
}

impl Steps<'_> {
    fn phases(&self) -> usize {
        self.backward.pass.weights().shape().forward.len()
    }
}

impl Walk for Steps<'_> {
    fn stages(&self) -> usize {
        self.range.len() * self.phases() + 1
    }

    unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share) {
        let (n, phase) = step_and_phase(stage, self.phases());
        let rows = self.backward.pass.rows;
        // The rows of this thread among the first `count`.
        let first = |count: usize| count.clamp(ranks.start, ranks.end);
        let nth = |n: usize| nth_back(&self.range, n, self.backward.pass.reverse);
        // SAFETY: the caller's promise, passed on, in each call.
        unsafe {
            if phase == 0 && n > 0 {
                let last = nth(n - 1);
                let (from, to) = if self.backward.pass.reverse {
                    // Rows that the forward pass entered at that step.
                    (rows.active(last + 1), rows.active(last))
                } else {
                    (0, if last == 0 { rows.active(0) } else { 0 })
                };
                run_phase(self.backward, 0, None, Some(last), first(from)..first(to), share);
            }
            if n == self.range.len() {
                return;
            }
            let step = nth(n);
            let active = rows.active(step);
            if phase == 0 {
                // Rows that have a following step, and rows whose last step this is.
                let (following, follow) = if self.backward.pass.reverse {
                    (step.checked_sub(1), if step > 0 { active } else { 0 })
                } else {
                    ((step + 1 < self.steps).then_some(step + 1), rows.active(step + 1))
                };
                run_phase(self.backward, 0, Some(step), following, ranks.start..first(follow), share);
                run_phase(self.backward, 0, Some(step), None, first(follow)..first(active), share);
            } else {
                run_phase(self.backward, phase, Some(step), None, ranks.start..first(active), share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Pattern;
    use super::*;

    #[test]
    fn chunks_have_more_steps_where_fewer_rows_run() {
        let mut rows = Rows::default();
        rows.set(4, 9, Pattern { lengths: Some(&[2, 9, 3, 2]), ..Pattern::default() }).unwrap();
        let cut = |mut rest: Range<usize>, most, reverse| {
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                chunks.push(next_chunk(&rows, &mut rest, most, reverse));
            }
            chunks
        };
        // Of the steps, the first two have four rows, the third has two, the rest one.
        assert_eq!(cut(0..9, 4, false), [5..9, 2..5, 1..2, 0..1]);
        assert_eq!(cut(0..9, 4, true), [0..1, 1..2, 2..5, 5..9]);
        assert_eq!(next_chunk(&rows, &mut (1..4), 100, false), 1..4);
        assert_eq!(cut(0..2, 1, true), [0..1, 1..2], "a step at least");
        assert!(cut(3..3, 1, false).is_empty());
    }

    #[test]
    fn a_chunk_has_room_for_its_places_whatever_their_number() {
        assert_eq!([chunk_places(4, 9, 16), chunk_places(4, 900, 1 << 20)], [36, 512]);
        assert_eq!(chunk_places(700, 9, 1 << 20), 700);
        assert_eq!(chunk_places(0, 9, 16) + chunk_places(9, 0, 16), 0);
        // A product that is zero in the bits of an address.
        let half = 1 << (usize::BITS / 2);
        assert_eq!(chunk_places(half, half, 16), half.max(CHUNK_BYTES / 64));
    }
}
