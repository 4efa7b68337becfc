//! Criterion as all benches use it: short measurements, throughput in flops, and networks that are made and
//! checked only when a filter lets them run.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use fused_rnn::Level;
use std::time::Duration;

/// Flops above which a baseline is left out, so that all benches together end within minutes.
pub const BASELINE_FLOPS: f64 = 3e9;
/// The same for the naive reference.
pub const NAIVE_FLOPS: f64 = 3e7;

pub fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args()
}

/// A group of measurements with the same number of flops or elements.
pub fn group<'a>(criterion: &'a mut Criterion, name: String, elements: f64) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(elements as u64));
    group.sampling_mode(SamplingMode::Flat);
    if elements > 1e10 {
        group.sample_size(10);
    }
    group
}

/// One measurement: `make` prepares and checks when it is first needed, `call` is timed.
pub fn measure<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut make: impl FnMut() -> T,
    mut call: impl FnMut(&mut T),
) {
    let mut made = None;
    group.bench_function(name, |bencher| {
        let made = made.get_or_insert_with(&mut make);
        bencher.iter(|| call(made));
    });
}

/// The level and number of threads of each measurement of a shape: this machine's best on one thread and on
/// all, and the other levels on one.
pub fn ways(flops: f64) -> Vec<(String, Level, usize)> {
    let best = Level::best();
    let all = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let mut ways = vec![(format!("{best}, 1 thread"), best, 1)];
    if all > 1 {
        ways.push((format!("{best}, {all} threads"), best, all));
    }
    if flops <= BASELINE_FLOPS {
        let others = Level::available().filter(|&level| level != best);
        ways.extend(others.map(|level| (format!("{level}, 1 thread"), level, 1)));
    }
    ways
}
