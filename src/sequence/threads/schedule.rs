//! The division of work among threads.
//!
//! ```text
//! Rows      each thread takes some rows of the batch through all of time      nobody waits for anybody
//! Units     each thread takes some hidden units of all rows, step by step     one meeting a step (team.rs)
//! Layers    each thread takes a layer, one chunk of steps behind the other    one meeting a chunk
//! ```
//!
//! The two directions of a layer are independent: they run side by side if the number of threads is even.
//! With enough rows, sharing rows is best. With few rows, a step is bound by reading weights: a thread with a
//! share of the units reads only its share of the weights, which also fits into the cache of its core.
//!
//! Cuts never go through a sum, so results do not depend on the division, bit for bit.

use super::join::{join, threads_of_pool};
use super::team::over_stages;
use std::ops::Range;

/// The number of threads that a call may use. They are those of the rayon pool that the caller runs in.
/// Outside of a pool they are the caller itself and threads of the global pool. These then wait for more work
/// of the same caller, for an eighth of the time for which they have worked (20 microseconds to 2
/// milliseconds), unless others need the pool.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// All threads of the pool, or fewer if the work is too small to share. A
    /// [`step`](crate::Recurrent::step) outside of a pool runs on the caller's thread: it never starts one.
    #[default]
    Auto,
    /// At most this many threads. A call uses fewer if threads would wait for each other longer than they
    /// save (unless a [`Schedule`] is given as well). 0 counts as 1, and more than 256 as 256.
    Count(usize),
}

/// How the work of a call is divided among threads. All schedules give the same bits; only the time differs.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// The schedule that is estimated to be the fastest.
    #[default]
    Auto,
    /// Each thread takes rows of the batch.
    Rows,
    /// Each thread takes hidden units, at each step.
    Units,
    /// Each thread takes a layer, some steps behind the layer below. A network with one layer or with two
    /// directions is divided as for `Auto`, and so are backward passes, which take one layer at a time.
    Layers,
}

/// Multiply-adds that pay for one more thread: some 20 microseconds of work at 50 G/s, several times the time
/// in which rayon wakes a sleeping thread.
const WORTH_A_THREAD: usize = 1 << 20;

/// The most pieces that work is cut into.
const MAX_THREADS: usize = 256;

impl Threads {
    /// True if this many multiply-adds are for one thread, whatever pool the caller is in.
    pub(crate) fn is_one(self, multiply_adds: usize) -> bool {
        match self {
            Threads::Count(count) => count < 2,
            Threads::Auto => multiply_adds < 2 * WORTH_A_THREAD,
        }
    }

    /// The number of threads for this many multiply-adds.
    pub(crate) fn resolve(self, multiply_adds: usize) -> usize {
        match self {
            Threads::Count(count) => count.clamp(1, MAX_THREADS),
            Threads::Auto if self.is_one(multiply_adds) => 1,
            Threads::Auto => threads_of_pool().min(multiply_adds / WORTH_A_THREAD).clamp(1, MAX_THREADS),
        }
    }
}

/// How one direction of one layer is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// By rows, among this many threads.
    Rows(usize),
    /// By hidden units, among this many threads, which claim one share after the other.
    Units { threads: usize, shares: usize },
}

/// A part of the hidden units, or of other outputs: share `index` of `of`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    index: usize,
    of: usize,
}

impl Share {
    /// The whole.
    pub(crate) const ALL: Share = Share { index: 0, of: 1 };

    /// Which it is.
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        self.index
    }

    /// The part of `0..count` that belongs to the share.
    pub(crate) fn part(self, count: usize) -> Range<usize> {
        count * self.index / self.of..count * (self.index + 1) / self.of
    }
}

/// A pass over time as a sequence of stages. Each stage needs the stages before it, for its own rows.
pub(crate) trait Walk: Sync {
    /// The number of stages.
    fn stages(&self) -> usize;

    /// Does one stage, of some rows and some hidden units.
    ///
    /// # Safety
    /// - Nobody else works on these rows and units.
    /// - The stages before are done, for these rows and all units.
    unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share);

    /// Does all stages of some rows and all units, in order.
    ///
    /// # Safety
    /// - Nobody else works on these rows.
    unsafe fn stages_of(&self, ranks: Range<usize>) {
        for stage in 0..self.stages() {
            // SAFETY: the caller's promise.
            unsafe { self.stage(stage, ranks.clone(), Share::ALL) };
        }
    }
}

/// The step and the phase of a stage. (Most cells have one phase, and then there is no division.)
#[inline(always)]
pub(crate) fn step_and_phase(stage: usize, phases: usize) -> (usize, usize) {
    if phases == 1 { (stage, 0) } else { (stage / phases, stage % phases) }
}

/// Takes `steps` steps from `rest`: the first steps, or the last steps if time runs backward.
pub(crate) fn take_steps(rest: &mut Range<usize>, steps: usize, backward: bool) -> Range<usize> {
    if backward {
        rest.end -= steps;
        rest.end..rest.end + steps
    } else {
        rest.start += steps;
        rest.start - steps..rest.start
    }
}

/// Runs a walk over these steps of rows of these lengths.
///
/// # Safety
/// - The rows have what the walk works on, and nobody else works on it.
pub(crate) unsafe fn go(walk: &dyn Walk, lengths: &[usize], steps: &Range<usize>, split: Split) {
    match split {
        // Weighs a row by its steps in this range: if a pass synchronises after each chunk, no chunk waits
        // for rows that are long elsewhere.
        Split::Rows(threads) => over_weighted(
            lengths.len(),
            &|rank| lengths[rank].clamp(steps.start, steps.end) - steps.start,
            threads,
            &|ranks| {
                // SAFETY: the caller's promise; the rows are those of this thread alone.
                unsafe { walk.stages_of(ranks) };
            },
        ),
        Split::Units { threads, shares } => over_stages(walk.stages(), shares, threads, &|stage, index| {
            // SAFETY: the caller's promise; each share of a stage is done once, and after all shares of the
            // stage before.
            unsafe { walk.stage(stage, 0..lengths.len(), Share { index, of: shares }) };
        }),
    }
}

/// The weight of each row.
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
    // Cuts where the left side comes closest to its share, with at least one row on each side.
    let target = total * half as u128 / threads as u128;
    let (mut cut, mut sum) = (range.start, 0);
    while cut < range.end - 1 && (cut == range.start || sum + weight(cut) as u128 / 2 < target) {
        sum += weight(cut) as u128;
        cut += 1;
    }
    join(
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
    join(|| over_range(range.start..cut, half, work), || over_range(cut..range.end, threads - half, work));
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

    /// Notes what it is asked for: (stage, first rank, end of ranks, share).
    struct Noted(Mutex<Vec<[usize; 4]>>);

    impl Walk for Noted {
        fn stages(&self) -> usize {
            2
        }

        unsafe fn stage(&self, stage: usize, ranks: Range<usize>, share: Share) {
            self.0.lock().unwrap().push([stage, ranks.start, ranks.end, share.index()]);
        }
    }

    #[test]
    fn a_walk_does_all_stages_of_all_rows_by_their_steps_in_this_range() {
        let noted = |lengths: &[usize], split| {
            let walk = Noted(Mutex::new(Vec::new()));
            // SAFETY: it works on nothing.
            unsafe { go(&walk, lengths, &(3..6), split) };
            let mut noted = walk.0.into_inner().unwrap();
            noted.sort_unstable();
            noted
        };
        // 3, 2, 1 and 0 steps, and 3, 3, 2, 1 and 1 of them.
        let by_rows = noted(&[9, 5, 4, 3], Split::Rows(2));
        assert_eq!(by_rows, [[0, 0, 1, 0], [0, 1, 4, 0], [1, 0, 1, 0], [1, 1, 4, 0]]);
        let by_rows = noted(&[9, 9, 5, 4, 4], Split::Rows(2));
        assert_eq!(by_rows, [[0, 0, 2, 0], [0, 2, 5, 0], [1, 0, 2, 0], [1, 2, 5, 0]]);
        let by_units = noted(&[9, 5, 4, 3], Split::Units { threads: 2, shares: 3 });
        assert_eq!(by_units, [0, 1].map(|stage| [0, 1, 2].map(|share| [stage, 0, 4, share])).as_flattened());
    }

    #[test]
    fn steps_are_taken_where_time_begins() {
        let mut rest = 2..10;
        assert_eq!((take_steps(&mut rest, 3, false), rest.clone()), (2..5, 5..10));
        assert_eq!((take_steps(&mut rest, 3, true), rest.clone()), (7..10, 5..7));
        assert_eq!([(7, 1), (7, 3)].map(|(stage, phases)| step_and_phase(stage, phases)), [(7, 0), (2, 1)]);
    }

    #[test]
    fn work_that_is_worth_it_gets_a_thread_a_million() {
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
            let shared = Mutex::new(Vec::new());
            over_shares(of, &|share| shared.lock().unwrap().extend(share.part(count)));
            let mut shared = shared.into_inner().unwrap();
            shared.sort_unstable();
            assert_eq!(shared, parts);
        }
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        let are_one = [0, 1, 2].map(|count| Threads::Count(count).is_one(usize::MAX));
        assert_eq!(are_one, [true, true, false]);
        assert!(Threads::Auto.is_one(2 * WORTH_A_THREAD - 1) && !Threads::Auto.is_one(2 * WORTH_A_THREAD));
        assert_eq!(Threads::Auto.resolve(1000), 1);
        assert_eq!(Threads::Count(3).resolve(1000), 3);
        assert_eq!(Threads::Count(0).resolve(1000), 1);
        assert_eq!(Threads::Count(usize::MAX).resolve(1000), MAX_THREADS);
    }
}
