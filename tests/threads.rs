//! A network is shared by threads, called from inside other people's pools, and cut into any number of pieces.

mod common;

use common::{Case, Data, run, run_layer};
use fused_rnn::{CellKind, Level, Recurrent, State, Tape, Threads, Workspace};
use rayon::prelude::*;

#[test]
fn everything_can_be_sent_and_shared() {
    fn both<T: Send + Sync>() {}
    both::<Recurrent>();
    both::<State>();
    both::<Tape>();
    both::<Workspace>();
}

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
    for threads in [0, 3, 1000, usize::MAX] {
        assert!(run(&case, &data, Level::best(), threads) == want, "{threads} threads");
    }
}
