//! The route through the layers: their order, and their threads.
//!
//! ```text
//! in turn                       side by side                   a wavefront of chunks of steps
//!   layer 0  ->  layer 1          layer 0 ->   ->  layer 1 ->      layer 0:  a b c d .
//!   each on all threads           layer 0 <-       layer 1 <-      layer 1:  . a b c d
//!                                 half the threads each            a thread each
//! ```

use super::recurrent::Recurrent;
use crate::sequence::{self, MAX_SHARES, Schedule, Sharing, Threads, wavefront_nanoseconds};

/// Chunks of a layer of a wavefront, per layer of the network. With this many, few chunks run alone.
const CHUNKS_PER_LAYER: usize = 8;
/// The fewest steps of a chunk of a wavefront: with this many, a pass seldom reads the input weights.
const MIN_CHUNK: usize = 4;

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

impl Recurrent {
    /// The threads, of those that a call may use, that pay off over this many rows and steps.
    pub(super) fn sharing(&self, threads: Threads, batch: usize, steps: usize, backward: bool) -> Sharing {
        let config = &self.config;
        // Saturates, even for sizes that memory can hold: a float takes many multiply-adds, and every stretch
        // of a row that is cut counts with the steps of the longest.
        let times = batch.saturating_mul(steps);
        let all = config.work_per_step().saturating_mul(times);
        let threads = threads.resolve(all);
        let rate = self.weights[0].table.rate;
        if threads < 2 || config.schedule == Schedule::Auto && sequence::too_little(rate, all) {
            return Sharing::NONE;
        }
        let load = |weights| sequence::load(weights, batch, steps);
        let waiting = (self.weights.iter().map(|w| load(w).weights.saturating_mul(times)))
            .fold(0usize, usize::saturating_add);
        // Directions need no synchronisation, and neither do the products over time of a backward pass.
        let free = if config.directions() == 2 { all } else { all.saturating_sub(waiting) };
        let free = free as f64 + if backward { all as f64 } else { 0.0 };
        sequence::sharing(threads, config.schedule, self.weights.iter().map(load), steps, (free, rate))
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
        if !wanted || !by_chunks || !(2..=MAX_SHARES).contains(&layers) {
            return Route::InTurn(threads);
        }
        let chunk = (steps / (CHUNKS_PER_LAYER * layers)).max(MIN_CHUNK).min(steps);
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
