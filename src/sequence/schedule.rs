//! Which thread does what.
//!
//! ```text
//! Rows      each thread takes some rows of the batch through all of time      nobody waits for anybody
//! Units     each thread takes some hidden units of all rows, step by step     one meeting a step (team.rs)
//! Layers    each thread takes a layer, one chunk of steps behind the other    one meeting a chunk
//! ```
//!
//! and the two directions of a layer, which know nothing of each other, go side by side where the number of
//! threads is even. Rows are the best where there are enough of them. Where there are few, a step is bound by
//! reading weights: then a thread that has its share of the units reads its share of the weights, which
//! moreover fit into the cache of its core.
//!
//! Cuts never go through a sum, so that results do not depend on who does what, bit for bit.

use super::team::{MOST_SHARES, over_stages};
use std::ops::Range;

/// How many threads a layer may use. The threads are those of the rayon pool that the caller is in, or
/// of the global one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// As many as the pool has, and fewer for work too small to share.
    #[default]
    Auto,
    /// At most so many: fewer where they would wait for each other longer than they save (unless the
    /// [`Schedule`] is given as well). 0 counts as 1, and more than 256 as 256.
    Count(usize),
}

/// What threads share among themselves. Results are the same bits for each; only the time differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Whatever is estimated to be the fastest.
    #[default]
    Auto,
    /// The rows of the batch.
    Rows,
    /// The hidden units of each step.
    Units,
    /// The layers, each some steps behind the one below; where there is one layer, or two directions, its
    /// rows or units as for `Auto`. Backward passes take a layer at a time, as for `Auto`.
    Layers,
}

/// Multiply-adds that are worth a further thread: some 20 microseconds of work at 50 G/s, several times
/// what rayon takes to wake a sleeping thread.
const WORTH_A_THREAD: usize = 1 << 20;

/// No work is cut into more pieces than this.
const MOST_THREADS: usize = 256;

impl Threads {
    /// The number of threads for this many multiply-adds.
    pub(crate) fn resolve(self, multiply_adds: usize) -> usize {
        match self {
            Threads::Count(count) => count.clamp(1, MOST_THREADS),
            Threads::Auto if multiply_adds < 2 * WORTH_A_THREAD => 1,
            Threads::Auto => {
                rayon::current_num_threads().min(multiply_adds / WORTH_A_THREAD).min(MOST_THREADS)
            }
        }
    }
}

/// How one direction of one layer is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// Among so many threads, by rows.
    Rows(usize),
    /// Among so many threads, by hidden units.
    Units(usize),
}

/// What a step of one direction of one layer asks of a processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Rows of the batch.
    pub(crate) rows: usize,
    /// Weights that each row is multiplied with while it waits for the step before.
    pub(crate) weights: usize,
    /// Blocks of hidden units.
    pub(crate) blocks: usize,
    /// Meetings of a step that is shared by units.
    pub(crate) phases: usize,
}

/// Multiply-adds of one core in a nanosecond: the AVX-512 level of the machine named below, in tiles of full
/// height. All constants were measured there (Xeon, family 6, model 207, two cores at 2.9 GHz); they decide
/// between schedules, and no result depends on them.
const MULTIPLY_ADDS: f64 = 75.0;
/// Bytes that a core reads from its own caches in a nanosecond, and how many these hold.
const NEAR_BYTES: f64 = 110.0;
const NEAR: f64 = 1.5 * 1024.0 * 1024.0;
/// Bytes that a core reads from the cache that it shares, in a nanosecond.
const FAR_BYTES: f64 = 26.0;
/// The part of that time that prefetching does not hide.
const FAR_SEEN: f64 = 0.6;
/// Nanoseconds that it costs to go into the pool and out again, with caches that are warm elsewhere: what threads
/// have to save to be worth it. (A sequence of 90 microseconds took 200 inside.)
const ENTERING: f64 = 25_000.0;
/// Nanoseconds of a meeting: the last share's count goes to the other cores, their first claims come back.
const MEETING: f64 = 700.0;

impl Load {
    /// Estimated nanoseconds of a step on one of the cores, which does `rows` rows and a share of the units.
    pub(crate) fn nanoseconds(&self, rows: usize, share: f64) -> f64 {
        let weights = self.weights as f64 * share;
        let bytes = 4.0 * weights;
        let product = rows as f64 * weights / MULTIPLY_ADDS;
        // What comes from near is hidden behind the product, what comes from afar only in part.
        if bytes <= NEAR { product.max(bytes / NEAR_BYTES) } else { product + FAR_SEEN * bytes / FAR_BYTES }
    }

    /// The better way for so many threads, and the nanoseconds of a step.
    pub(crate) fn split(&self, schedule: Schedule, threads: usize) -> (Split, f64) {
        let by_rows = threads.min(self.rows).max(1);
        let by_units = threads.min(self.blocks).clamp(1, MOST_SHARES);
        let rows = self.nanoseconds(self.rows.div_ceil(by_rows), 1.0);
        let meetings = self.phases as f64 * MEETING;
        let units = self.nanoseconds(self.rows, self.blocks.div_ceil(by_units) as f64 / self.blocks as f64)
            + if by_units > 1 { meetings } else { 0.0 };
        match schedule {
            Schedule::Rows => (Split::Rows(threads), rows),
            Schedule::Units => (Split::Units(by_units), units),
            _ if units < rows => (Split::Units(by_units), units),
            _ => (Split::Rows(threads), rows),
        }
    }
}

impl Load {
    /// Estimated nanoseconds that so many threads save in a step, all of the shares together.
    fn saved(&self, threads: usize) -> f64 {
        self.nanoseconds(self.rows, 1.0) - self.split(Schedule::Auto, threads).1
    }
}

/// Whether so many multiply-adds, each on a weight from afar, are over before others could help.
pub(crate) fn too_little(multiply_adds: usize) -> bool {
    multiply_adds as f64 * (1.0 / MULTIPLY_ADDS + 4.0 / FAR_BYTES) < ENTERING
}

/// The number of threads that is worth it for these steps of each of some layers, and for so many multiply-adds
/// that can be shared without a meeting.
pub(crate) fn worthwhile(
    threads: usize,
    schedule: Schedule,
    loads: impl Iterator<Item = Load>,
    steps: usize,
    free: f64,
) -> usize {
    if threads < 2 || schedule != Schedule::Auto {
        return threads;
    }
    let saved: f64 = loads.map(|load| load.saved(threads).max(0.0)).sum();
    let free = free / MULTIPLY_ADDS * (1.0 - 1.0 / threads as f64);
    if saved * steps as f64 + free < ENTERING { 1 } else { threads }
}

/// Estimated nanoseconds in which all of `layers` equal layers take a step, as a wavefront of chunks of this
/// many steps.
pub(crate) fn wavefront_nanoseconds(load: Load, layers: usize, threads: usize, chunk: usize) -> f64 {
    let turns = layers.div_ceil(threads.min(layers));
    // A core that has several layers reads the weights of all of them.
    let load = Load { weights: load.weights * turns, ..load };
    load.nanoseconds(load.rows, 1.0) + MEETING / chunk as f64
}

/// A part of the hidden units, or of other outputs: share `index` of `of`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    index: usize,
    of: usize,
}

impl Share {
    /// All of it.
    pub(crate) const ALL: Share = Share { index: 0, of: 1 };

    /// The share of `count` things.
    pub(crate) fn part(self, count: usize) -> Range<usize> {
        count * self.index / self.of..count * (self.index + 1) / self.of
    }
}

/// A pass over time as a row of stages, each of which needs the ones before for its own rows.
pub(crate) trait Walk: Sync {
    /// The number of stages.
    fn stages(&self) -> usize;

    /// Does one stage, of some rows and some hidden units.
    ///
    /// # Safety
    /// - Nobody else works on these rows and units.
    /// - The stages before are done, for these rows and all units.
    unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share);
}

/// Takes so many steps from `rest`: the first of them, or the last where time runs backward.
pub(crate) fn take_steps(rest: &mut Range<usize>, steps: usize, backward: bool) -> Range<usize> {
    if backward {
        rest.end -= steps;
        rest.end..rest.end + steps
    } else {
        rest.start += steps;
        rest.start - steps..rest.start
    }
}

/// Goes through a walk over these steps of rows of these lengths.
pub(crate) fn go(walk: &dyn Walk, lengths: &[usize], steps: &Range<usize>, split: Split) {
    match split {
        // By the steps that a row has among these: where a pass meets chunk by chunk, no chunk waits for the rows
        // that are long elsewhere.
        Split::Rows(threads) => over_weighted(
            lengths.len(),
            &|rank| lengths[rank].clamp(steps.start, steps.end) - steps.start,
            threads,
            &|ranks| {
                for stage in 0..walk.stages() {
                    // SAFETY: the rows are those of this thread alone, which does the stages in order.
                    unsafe { walk.stage(stage, ranks.clone(), Share::ALL) };
                }
            },
        ),
        Split::Units(threads) => over_stages(walk.stages(), threads, &|stage, index| {
            // SAFETY: each share of a stage is done once, and after all shares of the stage before.
            unsafe { walk.stage(stage, 0..lengths.len(), Share { index, of: threads }) };
        }),
    }
}

/// Runs `work` in the pool where more than one thread is wanted. Going in and out costs some ten
/// microseconds, more than a whole step of a small layer, so it is done once per call and not per product.
pub(crate) fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    if threads < 2 { work() } else { rayon::scope(|_| work()) }
}

/// What each of some things counts.
type Weight<'a> = dyn Fn(usize) -> usize + Sync + 'a;

/// Calls `work` with ranges that cover `0..count`, one per thread, of about equal total weight.
fn over_weighted(count: usize, weight: &Weight<'_>, threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    share(weight, 0..count, threads, work);
}

fn share(weight: &Weight<'_>, range: Range<usize>, threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let total: u128 = range.clone().map(|n| weight(n) as u128).sum();
    if threads < 2 || range.len() < 2 || total == 0 {
        return work(range);
    }
    let half = threads / 2;
    // The cut that brings the left side closest to its share, with at least one row on each side.
    let target = total * half as u128 / threads as u128;
    let (mut cut, mut sum) = (range.start, 0);
    while cut < range.end - 1 && (cut == range.start || sum + weight(cut) as u128 / 2 < target) {
        sum += weight(cut) as u128;
        cut += 1;
    }
    rayon::join(
        || share(weight, range.start..cut, half, work),
        || share(weight, cut..range.end, threads - half, work),
    );
}

/// Calls `work` with ranges that cover `range`, one per thread, of about equal length.
pub(crate) fn over_range(range: Range<usize>, threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    if threads < 2 || range.len() < 2 {
        return work(range);
    }
    let half = threads / 2;
    let cut = range.start + (range.len() * half / threads).max(1);
    rayon::join(
        || over_range(range.start..cut, half, work),
        || over_range(cut..range.end, threads - half, work),
    );
}

/// Calls `work` with each of `threads` shares, one per thread.
pub(crate) fn over_shares(threads: usize, work: &(dyn Fn(Share) + Sync)) {
    over_range(0..threads, threads, &|shares| shares.for_each(|index| work(Share { index, of: threads })));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn ranges_cover_everything_once_and_evenly() {
        for threads in [1, 2, 3, 5, 8] {
            for rows in [0usize, 1, 2, 3, 7, 32, 33] {
                let seen = Mutex::new(vec![0; rows]);
                let largest = Mutex::new(0);
                over_weighted(rows, &|_| 10, threads, &|range| {
                    let mut largest = largest.lock().unwrap();
                    *largest = (*largest).max(range.len());
                    seen.lock().unwrap()[range].iter_mut().for_each(|n| *n += 1);
                });
                assert!(seen.lock().unwrap().iter().all(|&n| n == 1), "{threads} threads, {rows} rows");
                assert!(*largest.lock().unwrap() <= rows.div_ceil(threads) + 1);
                let seen = Mutex::new(vec![0; rows]);
                over_range(0..rows, threads, &|range| {
                    seen.lock().unwrap()[range].iter_mut().for_each(|n| *n += 1);
                });
                assert!(seen.lock().unwrap().iter().all(|&n| n == 1));
            }
        }
    }

    #[test]
    fn weights_are_shared_and_not_rows() {
        let cuts = Mutex::new(Vec::new());
        over_weighted(10, &|n| if n == 0 { 90 } else { 10 }, 2, &|range| cuts.lock().unwrap().push(range));
        let mut cuts = cuts.into_inner().unwrap();
        cuts.sort_by_key(|range| range.start);
        assert_eq!(cuts, [0..1, 1..10]);
    }

    #[test]
    fn cuts_by_hand() {
        let sorted = |cuts: Mutex<Vec<Range<usize>>>| {
            let mut cuts = cuts.into_inner().unwrap();
            cuts.sort_by_key(|range| range.start);
            cuts
        };
        let even = |range: Range<usize>, threads| {
            let cuts = Mutex::new(Vec::new());
            over_range(range, threads, &|range| cuts.lock().unwrap().push(range));
            sorted(cuts)
        };
        assert_eq!(even(4..37, 3), [4..15, 15..26, 26..37]);
        assert_eq!(even(0..7, 2), [0..3, 3..7]);
        assert_eq!(even(0..2, 2), [0..1, 1..2]);
        assert_eq!(even(0..9, 5), [0..1, 1..3, 3..5, 5..7, 7..9]);
        let by_weight = |weights: &[usize], threads| {
            let cuts = Mutex::new(Vec::new());
            over_weighted(weights.len(), &|n| weights[n], threads, &|range| cuts.lock().unwrap().push(range));
            sorted(cuts)
        };
        assert_eq!(by_weight(&[10, 10], 2), [0..1, 1..2]);
        assert_eq!(
            by_weight(&[7, 7, 7], 2),
            [0..1, 1..3],
            "a row goes to the left while more than half of it fits"
        );
    }

    #[test]
    fn few_rows_of_many_units_are_shared_by_units_and_many_rows_by_rows() {
        let load =
            |rows, hidden: usize| Load { rows, weights: 4 * hidden * hidden, blocks: hidden / 16, phases: 1 };
        let split = |rows, hidden, threads| load(rows, hidden).split(Schedule::Auto, threads).0;
        assert_eq!(split(1, 32, 2), Split::Rows(2), "a step of 0.1 microseconds");
        assert_eq!(split(1, 512, 2), Split::Units(2));
        assert_eq!(split(32, 256, 2), Split::Rows(2));
        assert_eq!(split(3, 512, 256), Split::Units(32), "a block each");
        for (schedule, want) in [(Schedule::Rows, Split::Rows(4)), (Schedule::Units, Split::Units(2))] {
            assert_eq!(load(32, 32).split(schedule, 4).0, want);
        }
    }

    fn near(got: f64, want: f64) -> bool {
        (got - want).abs() < 0.01
    }

    #[test]
    fn estimates_by_hand() {
        let load = Load { rows: 2, weights: 1000, blocks: 10, phases: 2 };
        // Half of the weights: 2000 bytes at 110 a nanosecond; or 8 rows of 500 multiply-adds at 75.
        assert!(near(load.nanoseconds(2, 0.5), 18.18) && near(load.nanoseconds(8, 0.5), 53.33));
        // All bytes that are near, and more of them than that: 40000 of product, and 0.6 of 4e6 bytes at 26.
        assert!(near(Load { weights: 393_216, ..load }.nanoseconds(1, 1.0), 14_298.76));
        let large = Load { rows: 1, weights: 1_000_000, ..load };
        assert!(near(large.nanoseconds(3, 1.0), 132_307.69));
        // By units: 4 of 10 blocks, and two meetings. By rows: there is but one.
        let (split, time) = large.split(Schedule::Auto, 3);
        assert!(split == Split::Units(3) && near(time, 43_656.41), "{time}");
        assert!(near(large.split(Schedule::Rows, 3).1, 105_641.03));
        assert!(near(large.split(Schedule::Units, 1).1, 105_641.03), "nobody to meet");
        assert_eq!(large.split(Schedule::Auto, 1).0, Split::Rows(1));
        assert!(near(large.saved(3), 61_984.62));
        // Three layers on two threads: one has two of them. And a seventh of a meeting a step.
        let small = Load { rows: 1, ..load };
        assert!(near(wavefront_nanoseconds(small, 3, 2, 7), 172.73));
        assert!(near(wavefront_nanoseconds(small, 3, 8, 7), 136.36));
    }

    #[test]
    fn threads_that_save_too_little_are_not_woken() {
        assert!(too_little(149_000) && !too_little(150_000));
        let (small, large) = (Load { rows: 1, weights: 100, blocks: 1, phases: 1 }, 1_000_000);
        let large = Load { weights: large, blocks: 10, ..small };
        let of =
            |load: Load, steps, free| worthwhile(3, Schedule::Auto, [load, small].into_iter(), steps, free);
        assert_eq!(of(large, 1, 0.0), 3);
        assert_eq!(of(large, 0, 0.0), 1);
        // Two thirds of it are saved.
        assert_eq!((of(small, 10, 2_812_000.0), of(small, 10, 2_813_000.0)), (1, 3));
        assert_eq!(worthwhile(2, Schedule::Auto, [large].into_iter(), 1, 0.0), 2);
        assert_eq!(worthwhile(2, Schedule::Auto, [small].into_iter(), 1, 0.0), 1);
        let none = || std::iter::empty();
        assert_eq!(worthwhile(3, Schedule::Rows, none(), 1, 0.0), 3, "as it was asked for");
        assert_eq!(worthwhile(1, Schedule::Auto, none(), 1, 1e9), 1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let auto = |work: usize| pool.install(|| Threads::Auto.resolve(work));
        let millions = [2 * WORTH_A_THREAD - 1, 2 * WORTH_A_THREAD, 3 * WORTH_A_THREAD, 100 * WORTH_A_THREAD];
        assert_eq!(millions.map(auto), [1, 2, 3, 4]);
    }

    #[test]
    fn shares_cover_everything_once() {
        for (count, of) in [(0, 3), (1, 3), (7, 3), (8, 8)] {
            let parts: Vec<usize> = (0..of).flat_map(|index| Share { index, of }.part(count)).collect();
            assert_eq!(parts, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        assert_eq!(Threads::Auto.resolve(1000), 1);
        assert_eq!(Threads::Count(3).resolve(1000), 3);
        assert_eq!(Threads::Count(0).resolve(1000), 1);
        assert_eq!(Threads::Count(usize::MAX).resolve(1000), MOST_THREADS);
    }
}
