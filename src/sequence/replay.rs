//! Running the steps between two checkpoints again, to have their tape.
//!
//! ```text
//! forward pass    keeps the states before steps k, 2k, ...        (T / k) records a row instead of T
//! walk back       for each k steps, the last first:
//!                   forward again from the checkpoint: states and tape of these k steps
//!                   backward through them
//! ```
//!
//! The forward pass runs twice, which makes a training step a third longer where k steps have a few hundred rows (a
//! chunk of the walk back does not reach beyond a checkpoint); the memory falls from T records to T / k + k. What is computed again is the same chain of operations, so gradients are the same bits.

use super::forward::{Memory, forward, load};
use super::gradient::Inputs;
use super::schedule::Schedule;
use crate::cell::{Checkpoints, Forward, Pass, Records};
use crate::error::{Error, checked_size};
use crate::matrix::{AlignedBuf, GridMut};
use std::ops::Range;

/// Memory for the steps between two checkpoints.
#[derive(Debug, Default)]
pub(super) struct Replay {
    states: AlignedBuf,
    tape: AlignedBuf,
    memory: Memory,
}

impl Replay {
    /// Makes room for so many steps at a time.
    pub(super) fn prepare(&mut self, pass: &Pass<'_>, steps: usize) -> Result<(), Error> {
        let weights = pass.weights;
        let (batch, traits, hidden) = (pass.rows.order.len(), weights.variant.traits(), weights.units());
        let records = checked_size("checkpointed steps", &[batch, steps.saturating_add(1)])?;
        self.states.grow(Records::grid(records, pass.state_planes(), hidden)?.len())?;
        self.tape.grow(Records::grid(batch * steps, traits.tape, hidden)?.len())?;
        self.memory.prepare(weights, batch, steps)
    }

    /// Runs the steps `range`, which begin at a checkpoint and end at the next or with the sequence.
    pub(super) fn run<'a>(
        &'a mut self,
        inputs: &Inputs<'a>,
        checkpoints: Checkpoints<'_>,
        range: Range<usize>,
        (schedule, threads): (Schedule, usize),
    ) -> Result<(Records<'a>, Records<'a>), Error> {
        let pass = inputs.pass;
        let Pass { weights, rows, reverse, .. } = pass;
        let (batch, traits, hidden) = (rows.order.len(), weights.variant.traits(), weights.units());
        let planes = pass.state_planes();
        let states = Records::grid(batch * (range.len() + 1), planes, hidden)?;
        let tape = Records::grid(batch * range.len(), traits.tape, hidden)?;
        let states = Records::states(rows, range.start, GridMut::new(states, &mut self.states));
        let tape = Records::steps(rows, range.start, GridMut::new(tape, &mut self.tape));
        for (rank, &length) in rows.lengths.iter().enumerate().filter(|row| *row.1 > range.start) {
            // Where the row enters these steps, and the checkpoint of that place. Slot 0 has initial states.
            let (slot, from) = match reverse {
                false => (range.start, range.start / checkpoints.every),
                true if length > range.end => (range.end, range.end / checkpoints.every),
                true => (length, 0),
            };
            for plane in 0..planes {
                // SAFETY: both exist; nobody else works on the one, and nobody writes the other.
                unsafe {
                    let from = checkpoints.states.plane(from, rank, plane);
                    states.slot(slot, rank).columns_mut(0, plane, 0, from.len()).copy_from_slice(from);
                }
            }
        }
        let again = Forward {
            pass,
            input: GridMut::reading(inputs.input),
            output: None,
            states,
            tape: Some(tape),
            checkpoints: None,
            scratch: GridMut::empty(),
            projected: None,
        };
        let (split, _) = load(weights, batch, range.len()).split(schedule, threads);
        forward(again, &mut self.memory, range, split)?;
        Ok((states, tape))
    }
}
