//! A network is shared by threads, called from inside other people's pools, and cut into any number of
//! pieces.

use fused_rnn::{CellKind, Level, Schedule, Threads};
use fused_rnn_tests::{Case, Data, run, run_layer};
use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[test]
fn results_come_from_inside_other_pools() {
    let case = Case { layers: 2, ragged: true, ..Case::simple(CellKind::Lstm, 9, 30, 8, 40) };
    let data = Data::of(&case);
    let want = run(&case, &data, Level::best(), 1);
    let layer = case.builder().level(Level::best()).threads(Threads::Count(4)).build().unwrap();
    // One network, many callers, each of which would like four threads.
    let same: Vec<bool> = (0..32).into_par_iter().map(|_| run_layer(&layer, &case, &data) == want).collect();
    assert!(same.into_iter().all(|same| same));
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| run_layer(&layer, &case, &data)) == want, "a pool of {threads}");
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(run_layer(&layer, &case, &data) == want));
        }
    });
}

#[test]
fn any_number_of_threads_is_taken() {
    let case = Case::simple(CellKind::GruResetBefore, 3, 5, 2, 7);
    let data = Data::of(&case);
    let want = run(&case, &data, Level::best(), 1);
    // The threads share even the smallest work.
    for schedule in [Schedule::Auto, Schedule::Rows, Schedule::Units, Schedule::Layers] {
        for threads in [0, 3, 1000, usize::MAX] {
            let build = case.builder().level(Level::best()).threads(Threads::Count(threads));
            let layer = build.schedule(schedule).build().unwrap();
            assert!(run_layer(&layer, &case, &data) == want, "{threads} threads, {schedule:?}");
        }
    }
}

/// A panic of the caller's, beside calls or in its change of the parameters, passes through, whatever thread
/// it is on, and leaves nothing locked: not the network, and not the pool.
#[test]
fn panics_pass_through_and_leave_nothing_locked() {
    for schedule in [Schedule::Auto, Schedule::Rows, Schedule::Units, Schedule::Layers] {
        let case = Case { layers: 2, ..Case::simple(CellKind::Lstm, 6, 20, 8, 40) };
        let data = Data::of(&case);
        let want = run(&case, &data, Level::best(), 1);
        let build = || case.builder().level(Level::best()).threads(Threads::Count(3)).schedule(schedule);
        let layer = Arc::new(build().build().unwrap());
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        // In a thread of its own, in another pool, and beside running calls of the same network.
        let thread = std::thread::spawn({
            let (layer, case, data) = (layer.clone(), case.clone(), data.clone());
            move || {
                run_layer(&layer, &case, &data);
                panic!("the thread's");
            }
        });
        let thread = thread.join().unwrap_err();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let pooled = catch_unwind(AssertUnwindSafe(|| {
            pool.install(|| {
                (0..8).into_par_iter().for_each(|k| {
                    run_layer(&layer, &case, &data);
                    assert!(k != 5, "the pool's");
                })
            })
        }));
        let pooled = pooled.unwrap_err();
        std::panic::set_hook(quiet);
        assert_eq!(thread.downcast_ref::<&str>(), Some(&"the thread's"));
        assert_eq!(pooled.downcast_ref::<&str>(), Some(&"the pool's"));
        assert!(run_layer(&layer, &case, &data) == want, "{schedule:?}");
        assert!(pool.install(|| run_layer(&layer, &case, &data)) == want, "{schedule:?}, in the pool");
        // A network whose update panicked, behind a lock that is poisoned: it can be taken out and used.
        let locked = Arc::new(std::sync::Mutex::new(build().build().unwrap()));
        let updating = locked.clone();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let updated =
            std::thread::spawn(move || updating.lock().unwrap().update(|_| panic!("within"))).join();
        std::panic::set_hook(hook);
        assert_eq!(updated.unwrap_err().downcast_ref::<&str>(), Some(&"within"));
        let network = locked.lock().unwrap_err().into_inner();
        assert!(run_layer(&network, &case, &data) == want);
    }
}
