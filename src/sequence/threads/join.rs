//! Two pieces of work side by side, by the threads of the pool, without entering it.
//!
//! Inside a pool of rayon this is `rayon::join`. A caller from outside would have to hand all its work to a
//! thread of the pool and sleep until it is done: two threads would wake one after the other, and the data
//! that the caller has just written would be in another core's cache. So the caller works itself. (A step of
//! 512 units on two threads took 0.86 of its time on one thread, and takes 0.53 now: `Z4/join` of
//! `benches/record/`.)
//!
//! ```text
//! caller     offers b    does a               takes b back if nobody has begun it, otherwise waits for it
//! pool                     begins b; or finds later that b was taken back, and does nothing
//! ```
//!
//! Offers go to the queue of the pool, or to a thread that has just helped and waits for more (`lobby.rs`). A
//! pool that is busy, or whose threads are slow to wake, costs nothing but the offer: two small blocks of
//! memory, which the thread that comes too late frees. While very many offers are queued, no more are made.

use super::clock::Clock;
use super::lobby::Lobby;
use super::offer::Offer;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Offers in the queue of the pool, taken back or not, and their limit. (Without a limit, a pool that is busy
/// for an hour would queue a hundred million.)
static QUEUED: AtomicUsize = AtomicUsize::new(0);
const MAX_QUEUED: usize = 256;

/// The guard of the offer's owner: even if the owner panics, the work is taken back or done before its stack
/// frame is gone.
struct Owned<'a> {
    offer: &'a Offer,
    lobby: &'a Lobby,
    place: Option<usize>,
}

impl Owned<'_> {
    /// Takes the work back; true if nobody has begun it, and now nobody will. If false, it is done.
    fn take_back(&self) -> bool {
        if let Some(place) = self.place {
            self.lobby.remove(place);
        }
        let taken = self.offer.take();
        if !taken {
            self.offer.wait();
        }
        taken
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        self.take_back();
    }
}

thread_local! {
    /// The lobby of the offers of this thread.
    static LOBBY: Arc<Lobby> = Arc::default();
    /// Whether this thread of the pool is doing an offer.
    static HELPS: Cell<bool> = const { Cell::new(false) };
}

/// Offers work to the pool.
fn queue(offer: &Arc<Offer>, lobby: &Arc<Lobby>) {
    if threads_of_pool() == 0 || QUEUED.load(Ordering::Relaxed) >= MAX_QUEUED {
        return;
    }
    QUEUED.fetch_add(1, Ordering::Relaxed);
    let (offer, lobby) = (Arc::clone(offer), Arc::clone(lobby));
    rayon::spawn(move || {
        QUEUED.fetch_sub(1, Ordering::Relaxed);
        // A thread that waits within another offer may take this one meanwhile: it does not linger
        // afterwards.
        let (is_nested, began) = (HELPS.replace(true), Clock::now());
        if is_nested {
            offer.accept(|| ());
        } else if offer.accept(|| lobby.enter()) {
            drop(offer);
            lobby.linger(began);
        }
        HELPS.set(is_nested);
    });
}

/// The threads of the pool of the caller, or of the global pool; 0 where the system gives none.
pub(super) fn threads_of_pool() -> usize {
    // (Asked once: where the system gives no threads, rayon panics.)
    static GLOBAL: OnceLock<usize> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        return rayon::current_num_threads();
    }
    *GLOBAL.get_or_init(|| catch_unwind(rayon::current_num_threads).unwrap_or(0))
}

/// Runs `a` on this thread, and `b` on another thread of the pool where one comes in time, or else after `a`.
/// Returns when both are done. A panic of either goes to the caller, of `a` before that of `b`.
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    let (mut a, mut b) = (Some(a), Some(b));
    let (mut first, mut second) = (None, None);
    both(&mut || first = a.take().map(|a| a()), &mut || second = b.take().map(|b| b()));
    first.zip(second).expect("both are done")
}

/// [`join`] of any work, compiled once. (Each type would have an instance of its own, and of rayon's code.)
fn both(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    if rayon::current_thread_index().is_some() {
        rayon::join(a, b);
        return;
    }
    let mut result = Ok(());
    let mut work = || result = catch_unwind(AssertUnwindSafe(&mut *b));
    let work: &mut (dyn FnMut() + Send) = &mut work;
    // SAFETY: only the lifetime changes. `Owned` ensures that nobody reaches the work after its lifetime.
    let work = unsafe {
        std::mem::transmute::<*mut (dyn FnMut() + Send + '_), *mut (dyn FnMut() + Send + 'static)>(work)
    };
    // SAFETY: `Owned` takes the work back, or waits for the thread that has taken it.
    let offer = Arc::new(unsafe { Offer::new(work) });
    // (A thread that is ending has no lobby any more.)
    let lobby = LOBBY.try_with(Arc::clone).unwrap_or_default();
    let place = lobby.put(&offer);
    if place.is_none() {
        queue(&offer, &lobby);
    }
    let owned = Owned { offer: &offer, lobby: &lobby, place };
    a();
    let is_ours = owned.take_back();
    std::mem::forget(owned);
    if is_ours {
        // SAFETY: taken back, so nobody else reaches it.
        unsafe { (*work)() };
    }
    result.unwrap_or_else(|panic| resume_unwind(panic));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Barrier, Mutex, PoisonError};

    /// One at a time, of the tests that fill the pool or its queue, or want a thread of it.
    static POOL: Mutex<()> = Mutex::new(());

    /// The sum of a range, by forks down to one number.
    fn sum(range: std::ops::Range<u64>) -> u64 {
        if range.end - range.start < 2 {
            return range.sum();
        }
        let middle = (range.start + range.end) / 2;
        let (low, high) = join(|| sum(range.start..middle), || sum(middle..range.end));
        low + high
    }

    #[test]
    fn both_are_done_once_by_callers_within_and_without_a_pool() {
        let _alone = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = AtomicUsize::new(0);
        let count = || begun.fetch_add(1, Ordering::Relaxed);
        for round in 0..1000 {
            let (a, b) = join(count, count);
            assert_eq!(a + b, 4 * round + 1);
        }
        assert_eq!(sum(0..1000), 499_500);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| assert_eq!(sum(0..200), 19_900)));
            }
        });
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| sum(0..1000)), 499_500);
    }

    /// The caller does both where all threads of the pool are busy.
    #[test]
    fn a_busy_pool_is_not_waited_for() {
        let _alone = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = rayon::current_num_threads();
        let (began, may_end) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
        rayon::spawn_broadcast({
            let (began, may_end) = (began.clone(), may_end.clone());
            move |_| {
                began.wait();
                may_end.wait();
            }
        });
        began.wait();
        let own = std::thread::current().id();
        for _ in 0..10 * MAX_QUEUED {
            let (a, b) = join(|| std::thread::current().id(), || std::thread::current().id());
            assert!(a == own && b == own);
        }
        // (Other tests join too, each once before it sees the number.)
        assert!(QUEUED.load(Ordering::Relaxed) < 2 * MAX_QUEUED, "the queue has an end");
        may_end.wait();
    }

    /// Whoever does b: a waits until it has begun, or does not.
    #[test]
    fn panics_go_to_the_caller_when_nobody_works_any_more() {
        let _alone = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        for (wait, a_panics, b_panics) in [
            (true, true, false),
            (true, false, true),
            (true, true, true),
            (false, true, false),
            (false, false, true),
        ] {
            // (What other tests have left in the queue.)
            while QUEUED.load(Ordering::Relaxed) > 0 {
                std::thread::yield_now();
            }
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let both = || {
                join(
                    || {
                        let since = std::time::Instant::now();
                        while wait && begun.load(Ordering::Acquire) == 0 && since.elapsed().as_secs() < 10 {
                            std::thread::yield_now();
                        }
                        assert!(!a_panics, "of a");
                    },
                    || {
                        begun.store(1, Ordering::Release);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        ended.store(1, Ordering::Release);
                        assert!(!b_panics, "of b");
                    },
                )
            };
            let panic = catch_unwind(AssertUnwindSafe(both)).unwrap_err();
            let said = panic.downcast_ref::<&str>().copied().unwrap();
            assert_eq!(said, if a_panics { "of a" } else { "of b" });
            assert_eq!(begun.load(Ordering::Acquire), ended.load(Ordering::Acquire), "b is not half done");
        }
        assert_eq!(sum(0..100), 4950);
    }
}
