//! Estimates of the time of a step. They choose the schedule and the number of threads.
//!
//! No result depends on the estimates. The multiply-adds of a level in a nanosecond stand in its file in
//! `simd/`; the figures of caches and threads here are `X207/cost` of `benches/record/`.

use super::lobby::Lately;
use super::schedule::{Schedule, Split};
use super::team::MAX_SHARES;

/// The work of a step of one direction of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Rows of the batch.
    pub(crate) rows: usize,
    /// Weights that each row is multiplied with once the step before is done, and their packed bytes.
    pub(crate) weights: usize,
    pub(crate) bytes: usize,
    /// Blocks of hidden units.
    pub(crate) blocks: usize,
    /// Synchronisations of a step that is shared by units.
    pub(crate) phases: usize,
    /// Whether each share of the units converts rows for itself.
    pub(crate) converts_rows: bool,
    /// Multiply-adds of a core in a nanosecond.
    pub(crate) rate: f64,
}

/// Bytes that a core reads from its own caches in a nanosecond, and the bytes that these caches hold.
const NEAR_BYTES: f64 = 110.0;
const NEAR: f64 = 1.5 * 1024.0 * 1024.0;
/// Bytes that a core reads from the cache that it shares, in a nanosecond.
const FAR_BYTES: f64 = 26.0;
/// The part of the time of such reads that prefetching does not hide.
const FAR_SEEN: f64 = 0.6;
/// Nanoseconds to wake a thread of the pool, and to begin and end a call with it. Threads must save at least
/// this. (On a virtual machine, waking one took the caller 12 to 20 microseconds: `Z4/join`.)
const WAKING: f64 = 25_000.0;
/// The same with a thread that is awake.
const JOINING: f64 = 5_000.0;
/// Nanoseconds of a synchronisation: the count of the last share goes to the other cores, and their first
/// claims come back.
const MEETING: f64 = 700.0;
/// Long stages are cut into several shares for each thread: the least nanoseconds of such a share, and the
/// most shares. If a thread is slower for a while (another process, another clock frequency), the others wait
/// for it no longer than a share takes. (`Z4/claims`)
const LONG_SHARE: f64 = 500_000.0;
const MAX_SHARES_PER_THREAD: usize = 4;

impl Load {
    /// Estimated nanoseconds of a step on one core that does `rows` rows and a share of the units.
    pub(crate) fn nanoseconds(&self, rows: usize, share: f64) -> f64 {
        let bytes = self.bytes as f64 * share;
        // The product hides reads from the core's own caches, and reads from farther away only in part.
        if bytes <= NEAR {
            self.least_nanoseconds(rows, share)
        } else {
            self.product(rows, share) + FAR_SEEN * bytes / FAR_BYTES
        }
    }

    /// The same if all weights are near.
    fn least_nanoseconds(&self, rows: usize, share: f64) -> f64 {
        self.product(rows, share).max(self.bytes as f64 * share / NEAR_BYTES)
    }

    fn product(&self, rows: usize, share: f64) -> f64 {
        rows as f64 * self.weights as f64 * share / self.rate
    }

    /// The part of the units that one of `shares` shares has.
    fn share(&self, shares: usize) -> f64 {
        self.blocks.div_ceil(shares) as f64 / self.blocks as f64
    }

    /// Nanoseconds of the synchronisations of a step whose units are cut into `shares` shares.
    fn meetings(&self, shares: usize) -> f64 {
        if shares > 1 { self.phases as f64 * MEETING } else { 0.0 }
    }

    /// The faster split for this many threads, and the nanoseconds of a step.
    pub(crate) fn split(&self, schedule: Schedule, threads: usize) -> (Split, f64) {
        let by_rows = threads.min(self.rows).max(1);
        let by_units = threads.min(self.blocks).clamp(1, MAX_SHARES);
        let rows = self.nanoseconds(self.rows.div_ceil(by_rows), 1.0);
        let units = self.nanoseconds(self.rows, self.share(by_units)) + self.meetings(by_units);
        match schedule {
            Schedule::Rows => (Split::Rows(threads), rows),
            Schedule::Units => (self.units(by_units, units), units),
            _ if units < rows => (self.units(by_units, units), units),
            _ => (Split::Rows(threads), rows),
        }
    }

    /// The split by units among this many threads, for steps of this many nanoseconds: long stages are cut
    /// into several shares for each thread.
    fn units(&self, threads: usize, nanoseconds: f64) -> Split {
        let most = if self.converts_rows {
            1
        } else {
            MAX_SHARES_PER_THREAD.min(MAX_SHARES.min(self.blocks) / threads)
        };
        let of_a_thread = (nanoseconds / self.phases as f64 / LONG_SHARE) as usize;
        Split::Units { threads, shares: threads * of_a_thread.clamp(1, most.max(1)) }
    }

    /// Estimated nanoseconds that this many threads save in a step, over all shares, if all weights are near.
    /// (How far they are depends on the processor. Estimated with the farthest cache, a step of 256 units
    /// woke a thread that had slept since the step before, and took 1.4 times as long: `Z4/wake`.)
    fn saved(&self, threads: usize) -> f64 {
        let shared = match self.split(Schedule::Auto, threads).0 {
            Split::Rows(threads) => {
                self.least_nanoseconds(self.rows.div_ceil(threads.min(self.rows).max(1)), 1.0)
            }
            Split::Units { threads, .. } => {
                self.least_nanoseconds(self.rows, self.share(threads)) + self.meetings(threads)
            }
        };
        self.least_nanoseconds(self.rows, 1.0) - shared
    }
}

/// True if this many multiply-adds are over before other threads could help, even with all weights far away.
pub(crate) fn too_little(rate: f64, multiply_adds: usize) -> bool {
    multiply_adds as f64 * (1.0 / rate + 4.0 / FAR_BYTES) < JOINING
}

/// The threads of a call, and what is estimated of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    threads: usize,
    /// Nanoseconds that they save at the steps, and in all.
    saved_at_steps: f64,
    saved: f64,
}

impl Sharing {
    /// The sharing of a call that runs on the caller's thread alone.
    pub(crate) const NONE: Sharing = Sharing { threads: 1, saved_at_steps: 0.0, saved: 0.0 };

    /// How many threads pay off. (Threads that need not be woken pay off for less work.)
    pub(crate) fn threads(&self, lately: &Lately) -> usize {
        let pays = self.saved >= WAKING || self.may_be() && lately.are_awake();
        if pays { self.threads } else { 1 }
    }

    /// Whether threads that are awake save anything. Only what they save at the steps counts: without work
    /// there they would fall asleep.
    pub(crate) fn may_be(&self) -> bool {
        self.threads > 1 && self.saved_at_steps >= JOINING
    }
}

/// The threads of a call over these steps of some layers, and over `free` multiply-adds that need no
/// synchronisation.
pub(crate) fn sharing(
    threads: usize,
    schedule: Schedule,
    loads: impl Iterator<Item = Load>,
    steps: usize,
    (free, rate): (f64, f64),
) -> Sharing {
    if threads < 2 || schedule != Schedule::Auto {
        return Sharing { threads, saved_at_steps: f64::INFINITY, saved: f64::INFINITY };
    }
    let saved_at_steps = steps as f64 * loads.map(|load| load.saved(threads).max(0.0)).sum::<f64>();
    let saved = saved_at_steps + free / rate * (1.0 - 1.0 / threads as f64);
    Sharing { threads, saved_at_steps, saved }
}

/// Estimated nanoseconds of a step of all `layers` equal layers, as a wavefront of chunks of this many steps.
pub(crate) fn wavefront_nanoseconds(load: Load, layers: usize, threads: usize, chunk: usize) -> f64 {
    let of_a_core = layers.div_ceil(threads.min(layers));
    // A core that has several layers reads the weights of all of them.
    let load = Load { weights: load.weights * of_a_core, bytes: load.bytes * of_a_core, ..load };
    load.nanoseconds(load.rows, 1.0) + MEETING / chunk as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The load of one row with this many weights.
    fn of(weights: usize) -> Load {
        Load { rows: 1, weights, bytes: 4 * weights, blocks: 10, phases: 2, converts_rows: false, rate: 75.0 }
    }

    #[test]
    fn few_rows_of_many_units_are_shared_by_units_and_many_rows_by_rows() {
        let load =
            |rows, hidden: usize| Load { rows, blocks: hidden / 16, phases: 1, ..of(4 * hidden * hidden) };
        let split = |rows, hidden, threads| load(rows, hidden).split(Schedule::Auto, threads).0;
        assert_eq!(split(1, 32, 2), Split::Rows(2), "a step of 0.1 microseconds");
        assert_eq!(split(1, 512, 2), by_units(2));
        assert_eq!(split(32, 256, 2), Split::Rows(2));
        assert_eq!(split(3, 512, 256), by_units(32), "a block each");
        for (schedule, want) in [(Schedule::Rows, Split::Rows(4)), (Schedule::Units, by_units(2))] {
            assert_eq!(load(32, 32).split(schedule, 4).0, want);
        }
    }

    /// A share for each of so many threads.
    fn by_units(threads: usize) -> Split {
        Split::Units { threads, shares: threads }
    }

    #[test]
    fn long_stages_have_several_shares_for_each_thread() {
        let load = |weights, blocks| Load { blocks, ..of(weights) };
        let shares = |load: Load, threads| match load.split(Schedule::Units, threads).0 {
            Split::Units { threads: of, shares } => (of, shares),
            split => panic!("{split:?}"),
        };
        // Half of 2e8 bytes, 0.6 of them at 26 a nanosecond, and of 5e7 multiply-adds at 75: 1.3 milliseconds
        // of each phase; and a tenth and a half of that.
        assert_eq!(shares(load(50_000_000, 64), 2), (2, 4));
        assert_eq!(shares(load(5_000_000, 64), 2), (2, 2));
        assert_eq!(shares(load(25_000_000, 64), 2), (2, 2));
        assert_eq!(shares(load(500_000_000, 64), 2), (2, 8), "no more than four");
        assert_eq!(shares(load(500_000_000, 5), 2), (2, 4), "nor than there are blocks");
        assert_eq!(shares(load(500_000_000, 64), 20), (20, 20), "nor than a stage may have");
        assert_eq!(shares(Load { converts_rows: true, ..load(500_000_000, 64) }, 2), (2, 2));
        assert_eq!(shares(load(500_000_000, 1), 2), (1, 1));
    }

    fn near(got: f64, want: f64) -> bool {
        approx::abs_diff_eq!(got, want, epsilon = 0.01)
    }

    #[test]
    fn estimates_by_hand() {
        let load = Load { rows: 2, ..of(1000) };
        // Half of the weights: 2000 bytes at 110 a nanosecond; or 8 rows of 500 multiply-adds at 75.
        assert!(near(load.nanoseconds(2, 0.5), 18.18) && near(load.nanoseconds(8, 0.5), 53.33));
        // All bytes that are near, and more of them than that: 40000 of product, and 0.6 of 4e6 bytes at 26.
        assert!(near(Load { rows: 2, ..of(393_216) }.nanoseconds(1, 1.0), 14_298.76));
        let large = of(1_000_000);
        assert!(near(large.nanoseconds(3, 1.0), 132_307.69));
        // By units: 4 of 10 blocks, and two meetings. By rows: there is but one.
        let (split, time) = large.split(Schedule::Auto, 3);
        assert!(split == by_units(3) && near(time, 43_656.41), "{time}");
        assert!(near(large.split(Schedule::Rows, 3).1, 105_641.03));
        assert!(near(large.split(Schedule::Units, 1).1, 105_641.03), "nobody to meet");
        assert_eq!(large.split(Schedule::Auto, 1).0, Split::Rows(1));
        // 4e6 bytes at 110, and 0.4 of them with two meetings.
        assert!(near(large.saved(3), 20_418.18), "{}", large.saved(3));
        // Three layers on two threads: one has two of them. And a seventh of a meeting a step.
        let small = of(1000);
        assert!(near(wavefront_nanoseconds(small, 3, 2, 7), 172.73));
        assert!(near(wavefront_nanoseconds(small, 3, 8, 7), 136.36));
    }

    #[test]
    fn threads_that_save_too_little_are_not_woken() {
        assert!(too_little(75.0, 29_800) && !too_little(75.0, 30_000));
        let small = Load { blocks: 1, phases: 1, ..of(100) };
        let large = Load { phases: 1, ..of(2_000_000) };
        let seldom = Lately::default();
        let of_loads = |load: Load, steps, free| {
            sharing(3, Schedule::Auto, [load, small].into_iter(), steps, (free, 75.0))
        };
        let worth = |load, steps, free| of_loads(load, steps, free).threads(&seldom);
        assert_eq!(worth(large, 1, 0.0), 3);
        assert_eq!(worth(large, 0, 0.0), 1);
        // Two thirds of it are saved.
        assert_eq!((worth(small, 10, 2_812_000.0), worth(small, 10, 2_813_000.0)), (1, 3));
        // Of a step of 7.3 microseconds 0.6, less two meetings: two steps are worth a thread that is awake,
        // and nine one that sleeps.
        let middle = |steps| of_loads(of(200_000), steps, 0.0);
        assert!(!middle(1).may_be() && middle(2).may_be());
        assert_eq!([1, 2, 8, 9].map(|steps| middle(steps).threads(&seldom)), [1, 1, 1, 3]);
        assert!(!of_loads(small, 10, 1e6).may_be(), "what is not of the steps does not count");
        let two = |load| sharing(2, Schedule::Auto, [load].into_iter(), 1, (0.0, 75.0)).threads(&seldom);
        assert_eq!((two(large), two(small)), (2, 1));
        let none = || std::iter::empty();
        let given = sharing(3, Schedule::Rows, none(), 1, (0.0, 75.0));
        assert_eq!(given.threads(&seldom), 3, "as it was asked for");
        let one = sharing(1, Schedule::Auto, none(), 1, (1e9, 75.0));
        assert!(!one.may_be());
    }
}
