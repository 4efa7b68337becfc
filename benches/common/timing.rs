//! Median and least time of a call.

use std::time::Instant;

/// Median and least time of one call, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub median: f64,
    pub least: f64,
    pub samples: usize,
}

/// Times calls for this many seconds, in samples of at least 20 microseconds. It takes at least three
/// samples, but begins none after ten times the seconds. The peers' workers do the same.
pub fn time(seconds: f64, mut call: impl FnMut()) -> Times {
    call();
    let start = Instant::now();
    call();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let block = (20e-6 / once).ceil() as usize;
    let mut samples = Vec::new();
    let start = Instant::now();
    loop {
        let sample = Instant::now();
        for _ in 0..block {
            call();
        }
        samples.push(sample.elapsed().as_secs_f64() / block as f64);
        let elapsed = start.elapsed().as_secs_f64();
        let enough = elapsed >= seconds && (samples.len() >= 3 || elapsed >= 10.0 * seconds);
        if enough || samples.len() >= 100_000 {
            break;
        }
    }
    samples.sort_by(f64::total_cmp);
    Times { median: samples[samples.len() / 2], least: samples[0], samples: samples.len() }
}
