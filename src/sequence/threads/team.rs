//! Threads that go through a sequence of stages together.
//!
//! ```text
//!              share 0     share 1     share 2        each claimed once per stage, by anybody
//! stage 0    |  lead     |  helper   |  helper  |     done = 3
//! stage 1    |  lead     |  lead     |  helper  |     done = 6: one helper was away
//! stage 2    |  lead     |  helper   |          |     done = 8: the next stage begins with the ninth
//! ```
//!
//! Every thread runs the same loop. It reads the number of shares that are done, which tells the stage. It
//! claims a share of that stage: its own first, then any share that is left. It works, and adds one to the
//! number. If no share is left to claim, it waits for the next stage.
//!
//! There is no barrier. A thread waits only for shares that another thread has claimed and is working on. A
//! helper that comes late joins the current stage. A helper that never comes (a pool of one thread, a pool
//! whose threads are all busy) costs nothing. So a team can be called from inside any `par_iter`.
//!
//! With a barrier, one other busy process on the machine took a pass from 0.1 to 540 milliseconds. Here the
//! worst case is a helper that loses its core while it works on a share. The leader spins for a while, then
//! yields its core. Once it has lost more than a third of the time that way, it sends the helpers home and
//! does the rest alone. So a pass takes at most 1.5 times as long as alone, plus the last wait. (A fixed
//! limit of 200 microseconds for each wait was tried: after one interruption on a shared machine, in a stage
//! of two milliseconds, the second core was lost for the whole pass.)

use super::clock::Clock;
use super::join::join;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The most shares of a stage, and so threads of a team. The claims on the stack have this size.
pub(crate) const MAX_SHARES: usize = 32;

/// Rounds of spinning before a waiting thread yields its core: some 10 microseconds, longer than a share of a
/// short stage.
const SPINS: u32 = 256;

/// The time for which a leader may always wait after it has yielded its core, and the part of the whole time
/// that it may spend so. The time is shorter than a time slice of the usual schedulers (3 to 6 milliseconds).
const PATIENCE: Duration = Duration::from_micros(200);
const PART_LOST: u32 = 3;

/// An atomic on its own pair of cache lines: processors fetch a line together with its neighbour.
#[repr(align(128))]
struct Claim(AtomicUsize);

/// The stages that a team goes through.
struct Stages<'a> {
    stages: usize,
    shares: usize,
    members: usize,
    /// For each share, the first stage that nobody has claimed.
    claims: [Claim; MAX_SHARES],
    /// Shares done, over all stages.
    done: AtomicUsize,
    /// The helpers are to go home.
    dismissed: AtomicBool,
    work: &'a (dyn Fn(usize, usize) + Sync),
}

/// Calls `work(stage, share)` for each of `shares` shares (at most [`MAX_SHARES`]) of each of `stages`
/// stages, each once: the shares of a stage in any order and on any thread, the stages one after the other.
/// Later stages see everything that a stage writes.
///
/// Up to `threads` threads of the rayon pool that the caller is in do the work. Allocates nothing.
pub(crate) fn over_stages(
    stages: usize,
    shares: usize,
    threads: usize,
    work: &(dyn Fn(usize, usize) + Sync),
) {
    if shares < 2 {
        return (0..stages).for_each(|stage| work(stage, 0));
    }
    assert!(shares <= MAX_SHARES);
    let members = threads.clamp(1, shares);
    let stages = Stages {
        stages,
        shares,
        members,
        claims: [const { Claim(AtomicUsize::new(0)) }; MAX_SHARES],
        done: AtomicUsize::new(0),
        dismissed: AtomicBool::new(false),
        work,
    };
    stages.call(0, members);
}

impl Stages<'_> {
    /// Runs the members `from..to` of the team; the caller is the first of them.
    fn call(&self, from: usize, to: usize) {
        if to - from == 1 {
            return self.attend(from);
        }
        // `join` runs its first half on this thread and offers the second to others. If nobody takes the
        // second half, this thread runs it after the first; all work is then done, and it returns at once.
        let middle = from + (to - from).div_ceil(2);
        join(|| self.call(from, middle), || self.call(middle, to));
    }

    /// The loop of a member. Member 0 leads.
    fn attend(&self, member: usize) {
        let (began, mut lost) = (Clock::now(), Duration::ZERO);
        loop {
            let stage = self.done.load(Ordering::Acquire) / self.shares;
            if stage >= self.stages || (member > 0 && self.dismissed.load(Ordering::Relaxed)) {
                return;
            }
            match self.claim(stage, member) {
                Some(share) => {
                    let unwinding = Abandon(self);
                    (self.work)(stage, share);
                    std::mem::forget(unwinding);
                    // Release: a thread that sees the count also sees the writes of this share.
                    self.done.fetch_add(1, Ordering::AcqRel);
                }
                None => {
                    // lost <= PATIENCE + elapsed / PART_LOST
                    let may_lose = || (PATIENCE + began.elapsed() / PART_LOST).saturating_sub(lost);
                    let patience = (member == 0).then(may_lose);
                    lost += self.wait(stage, patience);
                }
            }
        }
    }

    /// Claims a share of the stage, the member's own first.
    fn claim(&self, stage: usize, member: usize) -> Option<usize> {
        let own = member * self.shares / self.members;
        (own..self.shares).chain(0..own).find(|&share| {
            let claim = &self.claims[share].0;
            claim.load(Ordering::Relaxed) == stage
                && claim.compare_exchange(stage, stage + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    /// Waits until the stage is done, and sends the helpers home if that takes longer than the patience.
    /// Returns the time for which the core was yielded.
    fn wait(&self, stage: usize, patience: Option<Duration>) -> Duration {
        let over = || self.done.load(Ordering::Acquire) / self.shares > stage;
        for _ in 0..SPINS {
            if over() {
                return Duration::ZERO;
            }
            std::hint::spin_loop();
        }
        let since = Clock::now();
        while !over() {
            if patience.is_some_and(|patience| since.elapsed() > patience) {
                self.dismissed.store(true, Ordering::Relaxed);
            }
            std::thread::yield_now();
        }
        since.elapsed()
    }
}

/// Held during the work on a share: if the work panics, all threads leave and the panic goes to the caller.
struct Abandon<'a, 'b>(&'a Stages<'b>);

impl Drop for Abandon<'_, '_> {
    fn drop(&mut self) {
        // The counts that are added afterwards do not wrap past the end.
        self.0.done.store(usize::MAX / 2, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    /// Runs a test that would not end if a thread waited for work that nobody does.
    fn in_time(test: impl FnOnce() + Send + 'static) {
        let (done, ended) = channel();
        let thread = std::thread::spawn(move || {
            test();
            _ = done.send(());
        });
        if ended.recv_timeout(Duration::from_secs(100)) == Err(RecvTimeoutError::Timeout) {
            panic!("somebody waits for ever");
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    /// Each share once per stage, and no stage before the one before it is done.
    #[test]
    fn stages_follow_each_other() {
        in_time(|| {
            for pool in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(pool).build().unwrap();
                for (stages, shares) in [(0, 3), (1, 1), (1, 5), (100, 2), (50, 3), (20, MAX_SHARES)] {
                    let counts: Vec<AtomicUsize> = (0..stages).map(|_| AtomicUsize::new(0)).collect();
                    let seen = Mutex::new(vec![0; stages * shares]);
                    pool.install(|| {
                        over_stages(stages, shares, shares, &|stage, share| {
                            if stage > 0 {
                                assert_eq!(counts[stage - 1].load(Ordering::Relaxed), shares);
                            }
                            seen.lock().unwrap()[stage * shares + share] += 1;
                            // Some members are slow: the next stage sees if a thread goes on without them.
                            if (stage + share) % 7 == 3 {
                                std::thread::sleep(Duration::from_micros(300));
                            }
                            counts[stage].fetch_add(1, Ordering::Relaxed);
                        });
                    });
                    assert!(seen.into_inner().unwrap().iter().all(|&times| times == 1));
                }
            }
        });
    }

    /// A member that is slow is waited for, and then left out.
    #[test]
    fn a_helper_that_sleeps_does_not_hold_up_the_rest() {
        in_time(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            let slow = AtomicUsize::new(0);
            pool.install(|| {
                let leader = std::thread::current().id();
                // Each member has its own share, so the helper takes one share of each stage while it is
                // there.
                over_stages(60, 2, 2, &|_, _| {
                    if std::thread::current().id() == leader {
                        std::thread::sleep(Duration::from_millis(1));
                    } else {
                        slow.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            });
            assert!(slow.into_inner() < 30, "sent home after a long wait");
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_nobody_is_left_waiting() {
        in_time(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            for guilty in 0..3 {
                let run = || {
                    pool.install(|| {
                        over_stages(10, 3, 3, &|stage, share| {
                            assert!(stage != 4 || share != guilty, "on purpose")
                        });
                    });
                };
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                assert!(result.is_err());
            }
        });
    }
}
