//! The route through the layers: their order, and their threads.
//!
//! ```text
//! in turn                       side by side                   a wavefront of chunks of steps
//!   layer 0  ->  layer 1          layer 0 ->   ->  layer 1 ->      layer 0:  a b c d .
//!   each on all threads           layer 0 <-       layer 1 <-      layer 1:  . a b c d
//!                                 half the threads each            a thread each
//! ```

use super::config::Config;
use super::dropout::Dropout;
use super::memory::TapeShape;
use super::recurrent::Recurrent;
use super::state::State;
use crate::cell::{Context, Masks, Weights};
use crate::error::Error;
use crate::memory::{AlignedBuf, Grid, GridMut, GridRef, LinesMut};
use crate::sequence::{
    self, Checkpoints, Forward, MOST_SHARES, Memory, Pass, Records, Rows, Schedule, TapeRecords, over_stages,
    wavefront_nanoseconds,
};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Chunks of a layer of a wavefront, per layer of the network. With this many, few chunks run alone.
const CHUNKS_PER_LAYER: usize = 8;
/// The fewest steps of a chunk of a wavefront: with this many, a pass seldom reads the input weights.
const LEAST_CHUNK: usize = 4;

/// The route of a forward pass through the layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Route {
    /// One layer after the other, and its directions one after the other, on this many threads.
    InTurn(usize),
    /// One layer after the other, its two directions at the same time, on this many threads together.
    SideBySide(usize),
    /// All layers at the same time, each this many steps behind the layer below.
    Wavefront(usize),
}

impl Route {
    /// The number of passes that run at the same time.
    pub(super) fn passes(self, layers: usize) -> usize {
        match self {
            Route::InTurn(_) => 1,
            Route::SideBySide(_) => 2,
            Route::Wavefront(_) => layers,
        }
    }
}

/// The shapes of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grids {
    /// Two slots of states, which take turns.
    pub(super) ring: Grid,
    /// The shape of the tape, if there is one.
    pub(super) shape: Option<TapeShape>,
    pub(super) x: Grid,
    pub(super) y: Grid,
    /// The sequence between two layers, as the upper layer reads it and as the lower layer writes it.
    pub(super) inner_input: Grid,
    pub(super) inner_output: Grid,
}

/// The layers of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network<'a> {
    pub(super) weights: &'a [Weights],
    pub(super) layers: usize,
    pub(super) config: &'a Config,
    pub(super) rows: &'a Rows,
    pub(super) grids: Grids,
    pub(super) dropout: Dropout,
    /// The seed of a training call.
    pub(super) seed: Option<u64>,
}

/// The input and the output of a call.
pub(super) type Ends<'a> = (GridMut<'a>, Option<GridMut<'a>>);

/// The memory of a call. By direction of layer: states that take turns, or the states of a tape. By layer:
/// outputs; without a tape, two outputs take turns. Besides: masks of recurrent dropout, and scratch memory
/// for each pass that runs at the same time.
pub(super) struct Room<'a> {
    pub(super) rings: &'a mut [AlignedBuf],
    pub(super) states: &'a mut [AlignedBuf],
    pub(super) gates: &'a mut [AlignedBuf],
    pub(super) outputs: &'a mut [AlignedBuf],
    pub(super) masks: &'a [AlignedBuf],
    pub(super) memories: &'a mut [Memory],
}

/// The memory of one direction of one layer.
#[derive(Debug, Clone, Copy)]
struct CellRoom<'a> {
    states: Records<'a>,
    tape: Option<TapeRecords<'a>>,
    masks: Option<Masks<'a>>,
    checkpoints: Option<Checkpoints<'a>>,
}

/// A buffer to read and another buffer to write.
fn pick(
    buffers: &mut [AlignedBuf],
    read: Option<usize>,
    write: Option<usize>,
) -> (Option<&[f32]>, Option<&mut [f32]>) {
    match (read, write) {
        (Some(read), Some(write)) => match buffers.get_disjoint_mut([read, write]) {
            Ok([read, write]) => (Some(&**read), Some(&mut **write)),
            Err(_) => (None, None),
        },
        (Some(read), None) => (Some(&*buffers[read]), None),
        (None, Some(write)) => (None, Some(&mut *buffers[write])),
        (None, None) => (None, None),
    }
}

impl Recurrent {
    /// The number of threads that pay off for a call over this many rows and steps.
    pub(super) fn worthwhile_threads(&self, batch: usize, steps: usize, backward: bool) -> usize {
        let config = &self.config;
        // Saturates, even for sizes that memory can hold: a float takes many multiply-adds, and every stretch
        // of a row that is cut counts with the steps of the longest.
        let times = batch.saturating_mul(steps);
        let all = config.work_per_step().saturating_mul(times);
        let threads = config.threads.resolve(all);
        let rate = self.weights[0].table.rate;
        if threads < 2 || config.schedule == Schedule::Auto && sequence::too_little(rate, all) {
            return 1;
        }
        let load = |weights| sequence::load(weights, batch, steps);
        let waiting = (self.weights.iter().map(|w| load(w).weights.saturating_mul(times)))
            .fold(0usize, usize::saturating_add);
        // Directions need no synchronisation, and neither do the products over time of a backward pass.
        let free = if config.directions() == 2 { all } else { all.saturating_sub(waiting) };
        let free = free as f64 + if backward { all as f64 } else { 0.0 };
        sequence::worthwhile(threads, config.schedule, self.weights.iter().map(load), steps, (free, rate))
    }

    /// The route for this many threads, rows and steps. `by_chunks` is true if a chunk of steps can be
    /// finished alone.
    pub(super) fn route(&self, threads: usize, batch: usize, steps: usize, by_chunks: bool) -> Route {
        let (layers, directions) = (self.config.layers, self.config.directions());
        let schedule = self.config.schedule;
        if threads < 2 || batch == 0 || steps == 0 {
            return Route::InTurn(threads);
        }
        if directions == 2 {
            let even = threads.is_multiple_of(2) || batch < threads;
            return if even { Route::SideBySide(threads) } else { Route::InTurn(threads) };
        }
        let wanted = matches!(schedule, Schedule::Auto | Schedule::Layers);
        if !wanted || !by_chunks || !(2..=MOST_SHARES).contains(&layers) {
            return Route::InTurn(threads);
        }
        let chunk = (steps / (CHUNKS_PER_LAYER * layers)).max(LEAST_CHUNK).min(steps);
        let load = |layer: usize| sequence::load(&self.weights[layer], batch, steps);
        let in_turn: f64 = (0..layers).map(|layer| load(layer).split(schedule, threads).1).sum();
        let wave = wavefront_nanoseconds(load(layers - 1), layers, threads, chunk);
        let stages = steps.div_ceil(chunk) as f64;
        let wave = wave * (stages + layers as f64 - 1.0) / stages;
        if schedule == Schedule::Layers || wave < in_turn {
            Route::Wavefront(chunk)
        } else {
            Route::InTurn(threads)
        }
    }
}

impl<'a> Network<'a> {
    /// Runs all layers from `state`, and writes the final states to it.
    pub(super) fn run(
        &self,
        route: Route,
        ends: Ends<'_>,
        mut room: Room<'_>,
        state: &mut State,
    ) -> Result<(), Error> {
        let Room { rings, states, gates, masks, .. } = &mut room;
        for (cell, room) in self.rooms(rings, states, gates, masks).enumerate() {
            let reverse = self.config.direction.is_reverse(cell % self.config.direction.count());
            for (rank, (&row, &length)) in self.rows.order.iter().zip(&self.rows.lengths).enumerate() {
                let first = if reverse { length } else { 0 };
                // SAFETY: every row has a record of its first slot, and nobody works on it.
                let record = unsafe { room.states.record(first, rank) };
                record.fill(0.0);
                if self.rows.begins(rank, reverse) {
                    let initial = state.record(cell, row);
                    record[..initial.len()].copy_from_slice(initial);
                }
                if let Some(masks) = room.masks {
                    masks.apply(row, record);
                }
                if let Some(checkpoints) = room.checkpoints {
                    // SAFETY: slot 0 is there for this, and nobody works on it.
                    unsafe { checkpoints.states.record(0, rank).copy_from_slice(record) };
                }
            }
        }
        let Room { rings, states, gates, outputs, masks, memories } = &mut room;
        let rooms = self.rooms(rings, states, gates, masks);
        match route {
            Route::InTurn(threads) => self.in_turn(threads, false, ends, rooms, outputs, memories)?,
            Route::SideBySide(threads) => self.in_turn(threads, true, ends, rooms, outputs, memories)?,
            Route::Wavefront(chunk) => self.wavefront(chunk, ends, rooms, outputs, memories)?,
        }
        for (cell, room) in self.rooms(rings, states, gates, masks).enumerate() {
            let reverse = self.config.direction.is_reverse(cell % self.config.direction.count());
            for (rank, (&row, &length)) in self.rows.order.iter().zip(&self.rows.lengths).enumerate() {
                if self.rows.finishes(rank, reverse) {
                    // SAFETY: every row has a record of its last slot, and nobody works on it.
                    let last = unsafe { room.states.record(if reverse { 0 } else { length }, rank) };
                    let to = state.record_mut(cell, row);
                    to.copy_from_slice(&last[..to.len()]);
                }
            }
        }
        Ok(())
    }

    /// The memory of each direction of each layer.
    fn rooms<'b>(
        &self,
        rings: &'b mut [AlignedBuf],
        states: &'b mut [AlignedBuf],
        gates: &'b mut [AlignedBuf],
        masks: &'b [AlignedBuf],
    ) -> impl Iterator<Item = CellRoom<'b>>
    where
        'a: 'b,
    {
        let Network { rows, grids: Grids { ring, shape, .. }, .. } = *self;
        let (mut rings, mut states, mut gates) = (rings.iter_mut(), states.iter_mut(), gates.iter_mut());
        (0..self.layers * self.config.direction.count()).map(move |cell| {
            let mut all = || Some((shape?, GridMut::new(shape?.states, states.next()?)));
            let (shape, kept) = all().unzip();
            let every = shape.and_then(|shape| shape.every);
            let ring = rings.next().map(|buffer| Records::ring(rows, GridMut::new(ring, buffer)));
            let states = kept.filter(|_| every.is_none()).map(|grid| Records::states(rows, 0, grid));
            CellRoom {
                states: states.or(ring).expect("states in turns, or all on the tape"),
                tape: (gates.next().zip(shape))
                    .map(|(buffer, shape)| TapeRecords::steps(rows, 0, LinesMut::new(shape.gates, buffer))),
                masks: shape.and_then(|shape| shape.masks(masks, cell)),
                checkpoints: (every.zip(kept))
                    .map(|(every, grid)| Checkpoints { every, states: Records::checkpoints(rows, grid) }),
            }
        })
    }

    /// The index in `outputs` of the output of a layer. Without a tape two outputs take turns.
    fn output_of(&self, layer: usize) -> usize {
        if self.grids.shape.is_some() { layer } else { layer % 2 }
    }

    /// The pass of a direction of a layer.
    fn pass<'b>(
        &self,
        (layer, direction): (usize, usize),
        ends: Ends<'b>,
        inner: (GridMut<'b>, GridMut<'b>),
        room: CellRoom<'b>,
    ) -> Forward<'b>
    where
        'a: 'b,
    {
        let last = layer + 1 == self.layers;
        let cell = layer * self.config.direction.count() + direction;
        let pass = Pass {
            context: Context {
                weights: &self.weights[cell],
                masks: room.masks,
                zoneout: self.config.zoneout_of(cell, self.seed),
            },
            rows: self.rows,
            reverse: self.config.direction.is_reverse(direction),
        };
        Forward {
            pass,
            input: if layer == 0 { ends.0 } else { inner.0 },
            output: if last { ends.1 } else { Some(inner.1) }.map(|output| (output, direction)),
            states: room.states,
            tape: room.tape,
            checkpoints: room.checkpoints,
            scratch: GridMut::empty(),
            projected: None,
        }
    }

    fn in_turn<'b>(
        &self,
        threads: usize,
        together: bool,
        ends: Ends<'_>,
        mut rooms: impl Iterator<Item = CellRoom<'b>>,
        outputs: &mut [AlignedBuf],
        memories: &mut [Memory],
    ) -> Result<(), Error>
    where
        'a: 'b,
    {
        let steps = self.rows.steps();
        for layer in 0..self.layers {
            let read = (layer > 0).then(|| self.output_of(layer - 1));
            let write = (layer + 1 < self.layers).then(|| self.output_of(layer));
            let (below, above) = pick(outputs, read, write);
            let inner = (
                below.map_or(GridMut::empty(), |below| {
                    GridMut::reading(GridRef::new(self.grids.inner_input, below))
                }),
                above.map_or(GridMut::empty(), |above| GridMut::new(self.grids.inner_output, above)),
            );
            let mut pass = |direction| {
                let room = rooms.next().expect("one for each direction of each layer");
                self.pass((layer, direction), ends, inner, room)
            };
            let run = |forward: Forward<'_>, memory: &mut Memory, threads| {
                // SAFETY: the memory is made for these rows and this network, and passes that run at the same time, of
                // two directions, write rooms and planes of their own.
                unsafe { sequence::forward(forward, memory, 0..steps, (self.config.schedule, threads)) }
            };
            if together {
                let (forward, backward) = (pass(0), pass(1));
                let [first, second, ..] = &mut *memories else { unreachable!("a memory for each direction") };
                let half = threads / 2;
                let (one, other) =
                    rayon::join(|| run(forward, first, half), || run(backward, second, threads - half));
                one.and(other)?;
            } else {
                for direction in 0..self.config.direction.count() {
                    run(pass(direction), &mut memories[0], threads)?;
                }
            }
            if layer + 1 < self.layers && self.dropout.is_between() {
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
        rooms: impl Iterator<Item = CellRoom<'b>>,
        outputs: &mut [AlignedBuf],
        memories: &mut [Memory],
    ) -> Result<(), Error>
    where
        'a: 'b,
    {
        let steps = self.rows.steps();
        let chunks = steps.div_ceil(chunk);
        let mut inner = [(GridMut::empty(), GridMut::empty()); MOST_SHARES];
        let mut passes = [None; MOST_SHARES];
        let mut shared = [GridMut::empty(); MOST_SHARES];
        for (shared, output) in shared.iter_mut().zip(outputs).take(self.layers - 1) {
            *shared = GridMut::new(self.grids.inner_output, output);
        }
        for (layer, room) in rooms.enumerate() {
            let below = if layer > 0 { shared[self.output_of(layer - 1)] } else { GridMut::empty() };
            let above =
                if layer + 1 < self.layers { shared[self.output_of(layer)] } else { GridMut::empty() };
            inner[layer] = (below, above);
            passes[layer] = Some(self.pass((layer, 0), ends, inner[layer], room));
        }
        // A layer is one share, so no thread waits for these locks. They prove to the compiler that only one
        // thread has a layer.
        let mut each = memories.iter_mut();
        let memories: [_; MOST_SHARES] = std::array::from_fn(|_| Mutex::new((each.next(), Ok(()))));
        over_stages(chunks + self.layers - 1, self.layers, &|stage, layer| {
            let Some(n) = stage.checked_sub(layer).filter(|&n| n < chunks) else { return };
            let n = if self.config.direction.is_reverse(0) { chunks - 1 - n } else { n };
            let range = self.chunk(n, chunk, steps);
            let mut memory = memories[layer].lock().unwrap_or_else(PoisonError::into_inner);
            let (memory, result) = &mut *memory;
            if let (Some(pass), Some(memory)) = (passes[layer], memory)
                // SAFETY: the memory is made for these rows and this network; each layer writes a room of its own, and
                // reads what the one below has written a stage before.
                && let Err(error) = unsafe { sequence::forward(pass, memory, range.clone(), (Schedule::Auto, 1)) }
            {
                *result = Err(error);
            }
            if layer + 1 < self.layers && self.dropout.is_between() {
                let output = inner[layer].1;
                // SAFETY: steps of this chunk, which the layer above reads one stage later.
                let values = unsafe { output.slots(range.clone()) };
                let first = output.grid.offset(range.start, 0, 0);
                self.dropout.apply(values, first, self.config.output_size(), layer);
            }
        });
        memories.into_iter().try_for_each(|m| m.into_inner().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// The n-th chunk of steps.
    fn chunk(&self, n: usize, chunk: usize, steps: usize) -> Range<usize> {
        n * chunk..((n + 1) * chunk).min(steps)
    }
}
