//! Where threads of the pool wait for more work of the same caller.
//!
//! A pass gives out work every few microseconds. Going through the queue of the pool each time would be slow:
//! while a thread comes back to the queue, rayon counts it as busy and wakes another, which takes the caller
//! 10 microseconds and may put that thread on the caller's own core. So a thread that has helped a caller
//! stays with it for a while, as threads of OpenMP do, and only then goes back to the pool. (It also matters
//! where pieces take milliseconds: a thread that wakes on the caller's core shares that core with the caller
//! until the system moves it. `Z4/stay`)
//!
//! ```text
//! caller    puts an offer in a place -------------------------> ... another, if a helper waits
//! helper    looks at the places ... takes it, works, looks again, for a while ... goes back to the pool
//! ```

use super::clock::Clock;
use super::offer::Offer;
use rayon::Yield;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

/// The least time for which a helper waits for more: rayon's own threads look for work some 20 microseconds
/// before they sleep. A helper waits for a part of the time for which it has worked, if that is longer,
/// because pieces of a pass end nearly together. It never waits longer than `LONGEST`.
const LINGER: Duration = Duration::from_micros(20);
const PART_OF_WORK: u32 = 8;
const LONGEST: Duration = Duration::from_millis(2);
/// How often a helper checks whether others need the pool, to which it then goes back. (Without that, a
/// caller that keeps stepping kept its helper for good: in a pool of one thread, a join of another caller
/// took 90 milliseconds instead of 9.)
const STAY: Duration = Duration::from_micros(500);
/// Rounds of spinning between looks at the clock; looks before the helper yields its core between looks
/// instead of spinning; and the most looks (for targets without a clock).
const SPINS: u32 = 32;
const SPINNING_LOOKS: u32 = 8;
const LOOKS: u32 = 4096;

/// The time after a call in which the threads that shared it wait for more: less than [`LINGER`].
const AWAKE: Duration = Duration::from_micros(10);

/// The end of the last call that threads shared, or would have shared if they had been awake.
#[derive(Debug, Default)]
pub(crate) struct Lately(Option<Clock>);

impl Lately {
    /// Whether calls follow each other so closely that their threads do not fall asleep in between. (The
    /// first of these calls may have to wake a thread.)
    pub(crate) fn are_awake(&self) -> bool {
        self.0.as_ref().is_some_and(|ended| ended.elapsed() < AWAKE)
    }

    /// Notes the end of a call.
    pub(crate) fn note(&mut self) {
        self.0 = Some(Clock::now());
    }
}

/// The most offers in a lobby at a time: those of a pass on five threads. Others go to the queue.
const PLACES: usize = 4;

/// The places where a caller puts offers, the number of helpers that wait there, and how many of these are
/// just asking rayon whether others need them.
#[derive(Default)]
pub(super) struct Lobby {
    places: [AtomicPtr<Offer>; PLACES],
    waiting: AtomicUsize,
    asking: AtomicUsize,
}

impl Lobby {
    /// Puts an offer in a place, if there is a helper for it. Gives the place.
    pub(super) fn put(&self, offer: &Arc<Offer>) -> Option<usize> {
        let is_free = |place: &AtomicPtr<Offer>| place.load(Ordering::Relaxed).is_null();
        let (mut free, mut taken) = (None, 0);
        for (n, place) in self.places.iter().enumerate() {
            if is_free(place) { free = free.or(Some(n)) } else { taken += 1 }
        }
        // Asking takes a helper some hundred nanoseconds, if others do not need it.
        for _ in 0..SPINS {
            if self.asking.load(Ordering::Relaxed) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        let free = free.filter(|_| taken < self.here())?;
        // (Only the caller fills places, so this one is still free.)
        self.places[free].store(Arc::into_raw(Arc::clone(offer)).cast_mut(), Ordering::SeqCst);
        // If the last helper has left meanwhile, it may have looked before the offer was there.
        if self.here() == 0 && self.remove(free) {
            return None;
        }
        Some(free)
    }

    /// The helpers that are looking at the places now.
    fn here(&self) -> usize {
        let asking = self.asking.load(Ordering::SeqCst);
        self.waiting.load(Ordering::SeqCst).saturating_sub(asking)
    }

    /// Clears a place; true if nobody has taken its offer.
    pub(super) fn remove(&self, place: usize) -> bool {
        self.take(&self.places[place]).is_some()
    }

    fn take(&self, place: &AtomicPtr<Offer>) -> Option<Arc<Offer>> {
        if place.load(Ordering::SeqCst).is_null() {
            return None;
        }
        let offer = place.swap(null_mut(), Ordering::SeqCst);
        // SAFETY: it came out of an `Arc`; whoever swaps it out has it alone.
        (!offer.is_null()).then(|| unsafe { Arc::from_raw(offer) })
    }

    fn take_any(&self) -> Option<Arc<Offer>> {
        self.places.iter().find_map(|place| self.take(place))
    }

    /// Counts a helper that will look at the places. It is called before the owner learns that its work is
    /// done: otherwise the next offer, which mostly follows at once, would go to the queue.
    pub(super) fn enter(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Does the offers that come, until none has come for a while or others need the thread. It is called by
    /// a thread of the pool that has [entered](Self::enter), and has worked for the caller since `began`.
    pub(super) fn linger(&self, began: Clock) {
        // The time for which it has worked here, and when that ended.
        let (mut worked, mut ended) = (began.elapsed(), Clock::now());
        let mut asked = began;
        for look in 1.. {
            let mut stays = look < LOOKS;
            if asked.elapsed() >= STAY {
                asked = Clock::now();
                self.asking.fetch_add(1, Ordering::SeqCst);
                stays &= rayon::yield_now() == Some(Yield::Idle);
                self.asking.fetch_sub(1, Ordering::SeqCst);
            }
            let most = if stays { (worked / PART_OF_WORK).clamp(LINGER, LONGEST) } else { Duration::ZERO };
            let most = most.saturating_sub(ended.elapsed());
            let offer = self.wait(most.min(STAY));
            if offer.is_none() && most > STAY {
                continue;
            }
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            // An offer may have come just before that.
            let Some(offer) = offer.or_else(|| self.take_any()) else { return };
            if !stays {
                offer.accept(|| ());
                return;
            }
            let began = Clock::now();
            if !offer.accept(|| self.enter()) {
                self.enter();
            }
            (worked, ended) = (worked + began.elapsed(), Clock::now());
        }
    }

    /// Waits for an offer, at most this long.
    fn wait(&self, most: Duration) -> Option<Arc<Offer>> {
        let since = Clock::now();
        for look in 0..LOOKS {
            let offer = self.take_any();
            if offer.is_some() || since.elapsed() >= most {
                return offer;
            }
            if look < SPINNING_LOOKS {
                (0..SPINS).for_each(|_| std::hint::spin_loop());
            } else {
                std::thread::yield_now();
            }
        }
        None
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        while self.take_any().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller who offers something without end keeps no helper for good.
    #[test]
    fn a_helper_goes_back_to_the_pool() {
        let lobby = Arc::new(Lobby::default());
        let helper = std::thread::spawn({
            let lobby = Arc::clone(&lobby);
            move || {
                lobby.enter();
                lobby.linger(Clock::now());
            }
        });
        let began = std::time::Instant::now();
        let mut work = || ();
        while !helper.is_finished() && began.elapsed() < Duration::from_secs(20) {
            // SAFETY: it is taken before the loop goes on, or nobody has it any more; it is done at once.
            let offer = Arc::new(unsafe { Offer::new(&raw mut work) });
            let place = lobby.put(&offer);
            for _ in 0..1000 {
                std::hint::spin_loop();
            }
            place.map(|place| lobby.remove(place));
            if !offer.take() {
                offer.wait();
            }
        }
        assert!(helper.is_finished());
        helper.join().unwrap();
    }

    /// Where no helper looks, the queue is for the offers; and what lies there is gone with the lobby.
    #[test]
    fn as_many_offers_lie_there_as_helpers_look() {
        let lobby = Lobby::default();
        let mut work = || unreachable!("nobody takes it");
        // SAFETY: nobody takes it.
        let offer = Arc::new(unsafe { Offer::new(&raw mut work) });
        let lie = || Arc::strong_count(&offer) - 1;
        assert_eq!((lobby.put(&offer), lie()), (None, 0), "nobody is there");
        for place in 0..PLACES {
            lobby.enter();
            assert_eq!((lobby.put(&offer), lie()), (Some(place), place + 1));
            assert_eq!((lobby.put(&offer), lie()), (None, place + 1), "an offer for each of them");
        }
        lobby.enter();
        assert_eq!((lobby.put(&offer), lie()), (None, PLACES), "no place is left");
        assert!(lobby.remove(2) && !lobby.remove(2) && lobby.remove(1));
        assert_eq!(lie(), PLACES - 2);
        // Of five helpers three ask.
        lobby.asking.store(3, Ordering::SeqCst);
        assert_eq!((lobby.put(&offer), lie()), (None, PLACES - 2), "two have an offer each");
        lobby.asking.store(2, Ordering::SeqCst);
        assert_eq!((lobby.put(&offer), lie()), (Some(1), PLACES - 1), "the first free place");
        drop(lobby);
        assert_eq!(lie(), 0);
    }

    /// A helper waits as long as it is told to, and takes what is there also where that is no time at all.
    #[test]
    fn a_helper_waits_for_an_offer() {
        let lobby = Lobby::default();
        let (began, most) = (std::time::Instant::now(), Duration::from_micros(50));
        assert!(lobby.wait(most).is_none() && began.elapsed() >= most);
        // Where nothing comes it leaves.
        lobby.enter();
        lobby.linger(Clock::now());
        assert_eq!(lobby.here(), 0);
        let mut work = || unreachable!("nobody does it");
        lobby.enter();
        for most in [Duration::ZERO, most] {
            // SAFETY: nobody does it.
            let offer = Arc::new(unsafe { Offer::new(&raw mut work) });
            assert_eq!(lobby.put(&offer), Some(0));
            assert!(lobby.wait(most).is_some_and(|taken| Arc::ptr_eq(&taken, &offer)));
        }
    }

    /// After a long piece of work a helper looks whether others want the thread: it goes back then, with what
    /// had been offered to it meanwhile, and otherwise stays.
    #[test]
    fn a_helper_stays_unless_others_want_it() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for is_wanted in [false, true] {
            let (lobby, others, done) = (Lobby::default(), AtomicUsize::new(0), AtomicUsize::new(0));
            let mut work = || {
                assert_eq!(others.load(Ordering::Relaxed), usize::from(is_wanted), "others first");
                done.fetch_add(1, Ordering::Relaxed);
            };
            let work: *mut (dyn FnMut() + Send) = &raw mut work as *mut (dyn FnMut() + Send + '_);
            // SAFETY: only the lifetime changes: the offers are gone before the work is.
            let work = unsafe {
                std::mem::transmute::<*mut (dyn FnMut() + Send + '_), *mut (dyn FnMut() + Send)>(work)
            };
            for place in &lobby.places[..2] {
                // SAFETY: as above. (One thread does both.)
                let offer = Arc::new(unsafe { Offer::new(work) });
                place.store(Arc::into_raw(offer).cast_mut(), Ordering::SeqCst);
            }
            let began = Clock::now();
            std::thread::sleep(2 * STAY);
            pool.in_place_scope(|scope| {
                scope.spawn(|scope| {
                    if is_wanted {
                        scope.spawn(|_| _ = others.fetch_add(1, Ordering::Relaxed));
                    }
                    lobby.enter();
                    lobby.linger(began);
                });
            });
            assert_eq!(done.load(Ordering::Relaxed), 2 - usize::from(is_wanted));
            assert_eq!([&lobby.waiting, &lobby.asking].map(|n| n.load(Ordering::Relaxed)), [0, 0]);
        }
    }

    #[test]
    fn threads_are_awake_for_a_while() {
        let mut lately = Lately::default();
        assert!(!lately.are_awake());
        // (Once at least this thread is not interrupted in between.)
        let note = |lately: &mut Lately| {
            lately.note();
            lately.are_awake()
        };
        assert!((0..1000).any(|_| note(&mut lately)));
        std::thread::sleep(2 * AWAKE);
        assert!(!lately.are_awake());
    }
}
