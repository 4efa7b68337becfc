//! Forward through the layers: in turn, side by side, or as a wavefront (`route.rs`).

use super::super::route::Route;
use super::super::state::State;
use super::super::tape::TapeShape;
use super::Network;
use crate::error::Error;
use crate::memory::{AlignedBuf, Grid, GridMut, GridRef, LinesMut, Parts};
use crate::sequence::{
    self, Checkpoints, Forward, ForwardMemory, MAX_SHARES, Records, Rows, Schedule, TapeRecords, over_stages,
};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The input and the output of a call.
type Ends<'a> = (GridMut<'a>, Option<GridMut<'a>>);

/// The memory of a forward call.
pub(in super::super) struct CallMemory<'a> {
    /// For each strand, two slots of states that take turns, of the shape `ring`; none where a tape keeps all
    /// states.
    pub(in super::super) rings: &'a mut [AlignedBuf],
    pub(in super::super) ring: Grid,
    /// For each strand, what the tape keeps; empty where there is no tape, or where it keeps none.
    pub(in super::super) states: &'a mut [f32],
    pub(in super::super) gates: &'a mut [f32],
    /// The outputs of the layers; without a tape, two buffers that take turns.
    pub(in super::super) outputs: Outputs<'a>,
    /// One for each pass that runs at the same time.
    pub(in super::super) memories: &'a mut [ForwardMemory],
}

/// The outputs of the layers but the last, and where each of them lies.
pub(in super::super) type Outputs<'a> = (Parts, &'a mut [f32]);

/// The memory of one strand.
#[derive(Debug, Clone, Copy)]
struct StrandMemory<'a> {
    states: Records<'a>,
    tape: Option<TapeRecords<'a>>,
    checkpoints: Option<Checkpoints<'a>>,
}

/// What a tape of a shape keeps of a strand: states, and gates if it keeps them.
type Taped<'a> = (TapeShape, (&'a mut [f32], Option<&'a mut [f32]>));

impl<'a> StrandMemory<'a> {
    /// The memory of a strand: what is taped, and two slots that take turns; one of the two has the states.
    /// (It is not inlined, and neither is [`Network::forward_pass`]: their copies took 3 KB of the library.)
    #[inline(never)]
    fn new(rows: &'a Rows, taped: Option<Taped<'a>>, ring: Option<GridMut<'a>>) -> Self {
        let (shape, taped) = taped.unzip();
        let (kept, gates) = taped.unzip();
        let kept = kept.zip(shape).map(|(states, shape)| GridMut::new(shape.states, states));
        let every = shape.and_then(|shape| shape.every);
        let ring = ring.map(|ring| Records::ring(rows, ring));
        let states = kept.filter(|_| every.is_none()).map(|grid| Records::states(rows, 0, grid));
        StrandMemory {
            states: states.or(ring).expect("states in turns, or all on the tape"),
            tape: (gates.flatten().zip(shape))
                .map(|(gates, shape)| TapeRecords::steps(rows, 0, LinesMut::new(shape.gates, gates))),
            checkpoints: (every.zip(kept))
                .map(|(every, grid)| Checkpoints { every, states: Records::checkpoints(rows, grid) }),
        }
    }
}

impl<'a> Network<'a> {
    /// Runs all layers from `state`, and writes the final states to it.
    pub(in super::super) fn forward(
        &self,
        route: Route,
        ends: Ends<'_>,
        memory: CallMemory<'_>,
        state: &mut State,
    ) -> Result<(), Error> {
        let CallMemory { rings, ring, states, gates, outputs, memories } = memory;
        for (strand, memory) in self.strand_memories(rings, ring, states, gates).enumerate() {
            self.enter(strand, memory, state);
        }
        let strands = self.strand_memories(rings, ring, states, gates);
        match route {
            Route::InTurn(threads) => self.in_turn(threads, false, ends, strands, outputs, memories)?,
            Route::SideBySide(threads) => self.in_turn(threads, true, ends, strands, outputs, memories)?,
            Route::Wavefront(chunk) => self.wavefront(chunk, ends, strands, outputs, memories)?,
        }
        for (strand, (memory, (layer, direction))) in
            self.strand_memories(rings, ring, states, gates).zip(self.strands()).enumerate()
        {
            let reverse = self.pass(layer, direction).reverse;
            // SAFETY: the passes are done, and nobody works on their states.
            unsafe {
                memory.states.leave(self.rows, reverse, |row, last| {
                    let to = state.record_mut(strand, row);
                    to.copy_from_slice(&last[..to.len()]);
                });
            }
        }
        Ok(())
    }

    /// Copies the initial states to where the pass of a strand begins.
    fn enter(&self, strand: usize, memory: StrandMemory<'_>, state: &State) {
        let directions = self.config.directions();
        let pass = self.pass(strand / directions, strand % directions);
        // SAFETY: no pass works on the states before it begins.
        unsafe {
            memory.states.enter(self.rows, pass.reverse, |entry, record| {
                if entry.begins {
                    let initial = state.record(strand, entry.row);
                    record[..initial.len()].copy_from_slice(initial);
                }
                if let Some(masks) = pass.context.masks {
                    masks.apply(entry.row, record);
                }
                if let Some(checkpoints) = memory.checkpoints {
                    // Slot 0 is there for this.
                    checkpoints.states.record(0, entry.rank).copy_from_slice(record);
                }
            });
        }
    }

    /// The memory of each strand.
    fn strand_memories<'b>(
        &self,
        rings: &'b mut [AlignedBuf],
        ring: Grid,
        states: &'b mut [f32],
        gates: &'b mut [f32],
    ) -> impl Iterator<Item = StrandMemory<'b>>
    where
        'a: 'b,
    {
        let Network { rows, shape, .. } = *self;
        let mut rings = rings.iter_mut();
        let mut taped = shape.map(|shape| (shape, shape.strands(states, gates)));
        (0..self.config.strands()).map(move |_| {
            let next = |(shape, strands): &mut (TapeShape, _)| Some((*shape, Iterator::next(strands)?));
            let ring = rings.next().map(|buffer| GridMut::new(ring, buffer));
            StrandMemory::new(rows, taped.as_mut().and_then(next), ring)
        })
    }

    /// The index in `outputs` of the output of a layer. Without a tape two outputs take turns.
    fn output_of(&self, layer: usize) -> usize {
        if self.shape.is_some() { layer } else { layer % 2 }
    }

    /// What the forward pass of a direction of a layer reads and writes.
    #[inline(never)]
    fn forward_pass<'b>(
        &self,
        (layer, direction): (usize, usize),
        ends: Ends<'b>,
        inner: (GridMut<'b>, GridMut<'b>),
        memory: StrandMemory<'b>,
    ) -> Forward<'b>
    where
        'a: 'b,
    {
        let last = layer + 1 == self.config.layers;
        let input = if layer == 0 { ends.0 } else { inner.0 };
        Forward {
            may_be_tiny: layer == 0,
            output: if last { ends.1 } else { Some(inner.1) }.map(|output| (output, direction)),
            tape: memory.tape,
            checkpoints: memory.checkpoints,
            ..Forward::new(self.pass(layer, direction), input, memory.states)
        }
    }

    fn in_turn<'b>(
        &self,
        threads: usize,
        together: bool,
        ends: Ends<'_>,
        mut strands: impl Iterator<Item = StrandMemory<'b>>,
        (parts, outputs): Outputs<'_>,
        memories: &mut [ForwardMemory],
    ) -> Result<(), Error>
    where
        'a: 'b,
    {
        let steps = self.rows.steps();
        let (layers, directions) = (self.config.layers, self.config.directions());
        for layer in 0..layers {
            let read = (layer > 0).then(|| self.output_of(layer - 1));
            let write = (layer + 1 < layers).then(|| self.output_of(layer));
            let (below, above) = parts.pick(outputs, read, write);
            let inner = (
                below.map_or(GridMut::empty(), |below| {
                    GridMut::reading(GridRef::new(self.grids.inner_input, below))
                }),
                above.map_or(GridMut::empty(), |above| GridMut::new(self.grids.inner_output, above)),
            );
            let mut pass = |direction| {
                let memory = strands.next().expect("one for each strand");
                self.forward_pass((layer, direction), ends, inner, memory)
            };
            let run = |forward: Forward<'_>, memory: &mut ForwardMemory, threads| {
                // SAFETY: the memory is made for these rows and this network, and passes that run at the same
                // time, of two directions, write memory and planes of their own.
                unsafe { sequence::forward(forward, memory, 0..steps, (self.config.schedule, threads)) }
            };
            if together {
                let (forward, backward) = (pass(0), pass(1));
                let [first, second, ..] = &mut *memories else { unreachable!("a memory for each direction") };
                let half = threads / 2;
                let (one, other) =
                    sequence::join(|| run(forward, first, half), || run(backward, second, threads - half));
                one.and(other)?;
            } else {
                for direction in 0..directions {
                    run(pass(direction), &mut memories[0], threads)?;
                }
            }
            if layer + 1 < layers && self.dropout.is_between() {
                // SAFETY: all of the grid, on which nobody works any more.
                let values = unsafe { inner.1.slots(0..inner.1.grid.slots()) };
                self.dropout.apply(values, 0, self.config.output_size(), layer);
            }
        }
        Ok(())
    }

    fn wavefront<'b>(
        &self,
        chunk: usize,
        ends: Ends<'_>,
        strands: impl Iterator<Item = StrandMemory<'b>>,
        (parts, outputs): Outputs<'_>,
        memories: &mut [ForwardMemory],
    ) -> Result<(), Error>
    where
        'a: 'b,
    {
        let (steps, layers) = (self.rows.steps(), self.config.layers);
        let chunks = steps.div_ceil(chunk);
        let mut inner = [(GridMut::empty(), GridMut::empty()); MAX_SHARES];
        let mut passes = [None; MAX_SHARES];
        let mut shared = [GridMut::empty(); MAX_SHARES];
        for (shared, output) in shared.iter_mut().zip(parts.each_mut(outputs)) {
            *shared = GridMut::new(self.grids.inner_output, output);
        }
        for (layer, memory) in strands.enumerate() {
            let below = if layer > 0 { shared[self.output_of(layer - 1)] } else { GridMut::empty() };
            let above = if layer + 1 < layers { shared[self.output_of(layer)] } else { GridMut::empty() };
            inner[layer] = (below, above);
            passes[layer] = Some(self.forward_pass((layer, 0), ends, inner[layer], memory));
        }
        // A layer is one share, so no thread waits for these locks. They prove to the compiler that only one
        // thread has a layer.
        let mut each = memories.iter_mut();
        let memories: [_; MAX_SHARES] = std::array::from_fn(|_| Mutex::new(each.next()));
        let result = Mutex::new(Ok(()));
        over_stages(chunks + layers - 1, layers, layers, &|stage, layer| {
            let Some(n) = stage.checked_sub(layer).filter(|&n| n < chunks) else { return };
            let n = if self.config.direction.is_reverse(0) { chunks - 1 - n } else { n };
            let range = self.chunk(n, chunk, steps);
            let mut memory = memories[layer].lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(pass), Some(memory)) = (passes[layer], memory.as_deref_mut()) {
                // SAFETY: the memory is made for these rows and this network; each layer writes memory of
                // its own, and reads what the layer below has written a stage before.
                let done = unsafe { sequence::forward(pass, memory, range.clone(), (Schedule::Auto, 1)) };
                if done.is_err() {
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = done;
                }
            }
            if layer + 1 < layers && self.dropout.is_between() {
                let output = inner[layer].1;
                // SAFETY: steps of this chunk, which the layer above reads one stage later.
                let values = unsafe { output.slots(range.clone()) };
                let first = output.grid.offset(range.start, 0, 0);
                self.dropout.apply(values, first, self.config.output_size(), layer);
            }
        });
        result.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The n-th chunk of steps.
    fn chunk(&self, n: usize, chunk: usize, steps: usize) -> Range<usize> {
        n * chunk..((n + 1) * chunk).min(steps)
    }
}
