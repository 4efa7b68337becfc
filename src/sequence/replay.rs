//! Replay: the steps between two checkpoints run again, to make their tape.
//!
//! ```text
//! forward pass    keeps the states before steps k, 2k, ...        (T / k) records a row instead of T
//! walk back       for each k steps, the last first:
//!                   forward again from the checkpoint: states and tape of these k steps
//!                   backward through them
//! ```
//!
//! The forward pass runs twice. A training step takes a third longer if the k steps have a few hundred places
//! together. (With fewer it takes longer still, because a chunk of the walk back does not reach beyond a
//! checkpoint.) The memory falls from T records to `T / k + k`. Replay runs the same chains of operations, so
//! gradients are the same bits.

use super::forward::{ForwardMemory, forward};
use super::gradient::Inputs;
use super::pass::{Checkpoints, Forward, Pass};
use super::records::{Records, TapeRecords};
use super::threads::Schedule;
use crate::error::Error;
use crate::memory::{AlignedBuf, Grid, GridMut, Lines, LinesMut};
use crate::simd::LINE;
use std::ops::Range;

/// Memory for the steps between two checkpoints.
#[derive(Debug, Default)]
pub(super) struct Replay {
    states: AlignedBuf,
    tape: AlignedBuf,
    memory: ForwardMemory,
}

/// The shapes of states with `planes` planes and of the tape, for `steps` steps of all rows together. Each
/// row also has a state before its first step.
fn shapes(pass: &Pass<'_>, planes: usize, steps: usize) -> Result<(Grid, Lines), Error> {
    let weights = pass.weights();
    let states = steps.saturating_add(pass.rows.order.len());
    Ok((
        Records::grid(states, planes, weights.units())?,
        Lines::new(steps, weights.shape().tape, weights.units())?,
    ))
}

impl Replay {
    /// The bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.states[..]) + size_of_val(&self.tape[..]) + self.memory.bytes()
    }

    /// Makes room for this many steps at a time.
    pub(super) fn prepare(&mut self, pass: &Pass<'_>, planes: usize, steps: usize) -> Result<(), Error> {
        let weights = pass.weights();
        let (states, tape) = shapes(pass, planes, pass.rows.extent().steps_before(steps))?;
        self.states.grow(states.len())?;
        self.tape.grow(tape.len())?;
        self.memory.prepare(weights, pass.rows.order.len(), steps, 1)
    }

    /// Runs the steps `range`, which begin at a checkpoint and end at the next or with the sequence.
    ///
    /// # Safety
    /// - Input and checkpoints have the steps and rows of the pass, and nobody writes them.
    pub(super) unsafe fn run<'a>(
        &'a mut self,
        inputs: &Inputs<'a>,
        checkpoints: Checkpoints<'_>,
        range: Range<usize>,
        threads: (Schedule, usize),
    ) -> Result<(Records<'a>, TapeRecords<'a>), Error> {
        let pass = inputs.pass;
        let Pass { rows, reverse, .. } = pass;
        let planes = pass.state_planes();
        let extent = rows.extent();
        let (states, tape) =
            shapes(&pass, planes, extent.steps_before(range.end) - extent.steps_before(range.start))?;
        let states = Records::states(rows, range.start, GridMut::new(states, &mut self.states));
        let tape = TapeRecords::steps(rows, range.start, LinesMut::new(tape, &mut self.tape));
        for (rank, slot) in rows.entries(range.clone(), reverse) {
            // Slot 0 has the initial states, also of a reverse pass: those of rows that begin in these steps.
            let begins = reverse && rows.lengths[rank] <= range.end;
            let from = if begins { 0 } else { slot / checkpoints.every };
            // SAFETY: the record exists, and nobody else works on it.
            let to = unsafe { states.record(slot, rank) };
            for (plane, to) in to.chunks_mut(to.len() / planes).enumerate() {
                // SAFETY: the record exists, and nobody writes it, by the caller's promise.
                let from = unsafe { checkpoints.states.row(from, rank, plane) };
                for (n, to) in to.chunks_mut(LINE).enumerate() {
                    from.copy(n * LINE, to);
                }
            }
        }
        let input = GridMut::reading(inputs.input);
        let again = Forward { tape: Some(tape), ..Forward::new(pass, input, states) };
        // SAFETY: the caller's promise; states and tape have the shapes of these steps, and are ours.
        unsafe { forward(again, &mut self.memory, range, threads)? };
        Ok((states, tape))
    }
}
