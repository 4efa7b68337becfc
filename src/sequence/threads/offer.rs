//! Work that a thread offers to others, and takes back if nobody has begun it.
//!
//! ```text
//! OFFERED  ->  TAKEN  ->  DONE                 by another thread, whom the owner sees in time
//!              TAKEN  ->  AWAITED  ->  DONE    by another thread, who wakes the owner
//!              TAKEN                           by the owner
//! ```

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Nobody has begun the work.
const OFFERED: u8 = 0;
/// Somebody has: another thread, or its owner, who takes it back.
const TAKEN: u8 = 1;
/// Another thread has, and its owner sleeps until it is done.
const AWAITED: u8 = 2;
/// Another thread has done it, and touches nothing of the owner's any more.
const DONE: u8 = 3;

/// Rounds of spinning, and then of yielding the core, before an owner sleeps: some 10 microseconds, and some
/// 300 more. Pieces of a pass end nearly together, and to wake a thread takes tens of microseconds.
const SPINS: u32 = 256;
const YIELDS: u32 = 1024;

/// Work on the stack of its owner, for whoever takes it first.
pub(super) struct Offer {
    state: AtomicU8,
    work: *mut (dyn FnMut() + Send),
    /// What an owner sleeps on. (`park` needs the handle of the thread, which a thread that is ending no
    /// longer has.)
    sleep: Mutex<()>,
    bell: Condvar,
}

// SAFETY: the work may be sent to another thread, which reaches it only if it is the one that has taken it.
unsafe impl Send for Offer {}
// SAFETY: as above; the rest are an atomic and locks.
unsafe impl Sync for Offer {}

impl Offer {
    /// An offer of this work.
    ///
    /// # Safety
    /// - The work lives until its owner has taken the offer, or the work is done: the owner calls
    ///   [`take`](Self::take), and if that fails [`wait`](Self::wait), before the work goes out of scope.
    pub(super) unsafe fn new(work: *mut (dyn FnMut() + Send)) -> Self {
        Offer { state: AtomicU8::new(OFFERED), work, sleep: Mutex::new(()), bell: Condvar::new() }
    }

    /// Takes the offer. True for one caller alone: the thread that may now begin the work, or the owner that
    /// takes it back.
    pub(super) fn take(&self) -> bool {
        self.state.compare_exchange(OFFERED, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Does the work, on a thread of the pool, if nobody has taken it, and calls `then` just before the owner
    /// learns of it. True if it has done it.
    pub(super) fn accept(&self, then: impl FnOnce()) -> bool {
        let taken = self.take();
        if taken {
            // SAFETY: the owner does not leave before the work is done, and nobody else has taken it. It does
            // not unwind.
            unsafe { (*self.work)() };
            then();
            if self.state.swap(DONE, Ordering::AcqRel) == AWAITED {
                // The owner holds the lock from its last look at the state until it sleeps.
                drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
                self.bell.notify_one();
            }
        }
        taken
    }

    /// Waits until the one who has taken the work has done it.
    pub(super) fn wait(&self) {
        let done = || self.state.load(Ordering::Acquire) == DONE;
        for round in 0..SPINS + YIELDS {
            if done() {
                return;
            }
            if round < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        if self.state.compare_exchange(TAKEN, AWAITED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            while !done() {
                sleep = self.bell.wait(sleep).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// An owner who sleeps is woken when the work is done, and not before.
    #[test]
    fn an_owner_sleeps_until_the_work_is_done() {
        let (mut work, done) = (|| (), AtomicBool::new(false));
        // SAFETY: the work is there until the end of the test.
        let offer = unsafe { Offer::new(&raw mut work) };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let while_it_sleeps = || {
                    while offer.state.load(Ordering::Relaxed) != AWAITED {
                        std::thread::yield_now();
                    }
                    // (It has still to lie down.)
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    done.store(true, Ordering::Relaxed);
                };
                assert!(offer.accept(while_it_sleeps));
            });
            while offer.state.load(Ordering::Relaxed) == OFFERED {
                std::thread::yield_now();
            }
            assert!(!offer.take());
            offer.wait();
            assert!(done.load(Ordering::Relaxed));
        });
        offer.wait();
        assert!(!offer.accept(|| unreachable!("it is done")));
    }
}
