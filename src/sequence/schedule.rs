//! Which thread does what.
//!
//! Rows of a batch know nothing of each other, so the batch is cut into ranges of rows and each thread
//! takes one through all of time: no thread waits for another before the end. Cuts never go through a
//! sum, so that results do not depend on the number of threads, bit for bit.

use std::ops::Range;

/// How many threads a layer may use. The threads are those of the rayon pool that the caller is in, or
/// of the global one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// As many as the pool has, and fewer for work too small to share.
    #[default]
    Auto,
    /// At most so many, whatever the size of the work; 0 counts as 1, and more than 256 as 256.
    Count(usize),
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

/// Runs `work` in the pool where more than one thread is wanted. Going in and out costs some ten
/// microseconds, more than a whole step of a small layer, so it is done once per call and not per product.
pub(crate) fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    if threads < 2 { work() } else { rayon::scope(|_| work()) }
}

/// Calls `work` with ranges that cover `0..weights.len()`, one per thread, of about equal total weight.
pub(crate) fn over_weighted(weights: &[usize], threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    share(weights, 0..weights.len(), threads, work);
}

fn share(weights: &[usize], range: Range<usize>, threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let total: u128 = weights[range.clone()].iter().map(|&weight| weight as u128).sum();
    if threads < 2 || range.len() < 2 || total == 0 {
        return work(range);
    }
    let half = threads / 2;
    // The cut that brings the left side closest to its share, with at least one row on each side.
    let target = total * half as u128 / threads as u128;
    let (mut cut, mut sum) = (range.start, 0);
    while cut < range.end - 1 && (cut == range.start || sum + weights[cut] as u128 / 2 < target) {
        sum += weights[cut] as u128;
        cut += 1;
    }
    rayon::join(
        || share(weights, range.start..cut, half, work),
        || share(weights, cut..range.end, threads - half, work),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn ranges_cover_everything_once_and_evenly() {
        for threads in [1, 2, 3, 5, 8] {
            for rows in [0usize, 1, 2, 3, 7, 32, 33] {
                let seen = Mutex::new(vec![0; rows]);
                let weights = vec![10; rows];
                let largest = Mutex::new(0);
                over_weighted(&weights, threads, &|range| {
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
        over_weighted(&[90, 10, 10, 10, 10, 10, 10, 10, 10, 10], 2, &|range| {
            cuts.lock().unwrap().push(range)
        });
        let mut cuts = cuts.into_inner().unwrap();
        cuts.sort_by_key(|range| range.start);
        assert_eq!(cuts, [0..1, 1..10]);
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        assert_eq!(Threads::Auto.resolve(1000), 1);
        assert_eq!(Threads::Count(3).resolve(1000), 3);
        assert_eq!(Threads::Count(0).resolve(1000), 1);
        assert_eq!(Threads::Count(usize::MAX).resolve(1000), MOST_THREADS);
    }
}
