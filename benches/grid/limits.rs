//! What the machine can do: multiply-adds in registers, and reads from wherever so many bytes lie.
//!
//! Both are measured in the process that is compared with them, on as many threads, in short bursts: a
//! machine that is shared or changes its clock has no one number. The best burst counts.

use fused_rnn::Level;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Flops per second of multiply-adds in registers with the vectors of a level, on so many threads.
pub fn multiply_add_rate(level: Level, threads: usize, duration: Duration) -> f64 {
    const ROUNDS: usize = 20_000;
    best_rate(threads, duration, &|| match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is one of this machine.
        Level::Avx512 => unsafe { x86::multiply_add_512(ROUNDS) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is one of this machine.
        Level::Avx2 => unsafe { x86::multiply_add_256(ROUNDS) },
        _ => portable_multiply_add(ROUNDS),
    })
}

/// Bytes per second of reading `bytes` again and again, on so many threads, each its own share of them.
pub fn read_rate(bytes: usize, threads: usize, duration: Duration) -> f64 {
    let floats = (bytes / 4 / threads.max(1)).next_multiple_of(256).max(256);
    best_rate(threads, duration, &|| {
        thread_local!(static BUFFER: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) });
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(floats, 1.0);
            let passes = (4_000_000 / floats).max(1);
            for _ in 0..passes {
                black_box(read(black_box(&buffer[..])));
            }
            (passes * floats * 4) as f64
        })
    })
}

/// The best rate over bursts for this long: `work` returns what it did.
fn best_rate(threads: usize, duration: Duration, work: &(dyn Fn() -> f64 + Sync)) -> f64 {
    let run = || {
        work();
        let (start, mut best) = (Instant::now(), 0.0f64);
        while start.elapsed() < duration {
            let burst = Instant::now();
            let done = work();
            best = best.max(done / burst.elapsed().as_secs_f64());
        }
        best
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        handles.into_iter().map(|handle| handle.join().expect("a burst")).sum()
    })
}

fn portable_multiply_add(rounds: usize) -> f64 {
    use wide::f32x4;
    let (a, b) = (black_box(f32x4::splat(0.999)), black_box(f32x4::splat(0.001)));
    let mut sums = [f32x4::splat(1.0); 12];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * a + b;
        }
    }
    black_box(sums);
    (rounds * 12 * 4 * 2) as f64
}

/// Reads a slice of a multiple of 256 floats with the widest loads there are.
fn read(slice: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: just detected.
            return unsafe { x86::read_512(slice) };
        }
        if is_x86_feature_detected!("avx") {
            // SAFETY: just detected.
            return unsafe { x86::read_256(slice) };
        }
    }
    let mut sums = [0.0; 32];
    for chunk in slice.chunks_exact(32) {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx512f")]
    pub fn multiply_add_512(rounds: usize) -> f64 {
        let (a, b) = (black_box(_mm512_set1_ps(0.999)), black_box(_mm512_set1_ps(0.001)));
        let mut sums = [_mm512_set1_ps(1.0); 24];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
        (rounds * 24 * 16 * 2) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn multiply_add_256(rounds: usize) -> f64 {
        let (a, b) = (black_box(_mm256_set1_ps(0.999)), black_box(_mm256_set1_ps(0.001)));
        let mut sums = [_mm256_set1_ps(1.0); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
        (rounds * 12 * 8 * 2) as f64
    }

    #[target_feature(enable = "avx512f")]
    pub fn read_512(slice: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 8];
        for chunk in slice.chunks_exact(128) {
            for (sum, values) in sums.iter_mut().zip(chunk.chunks_exact(16)) {
                // SAFETY: sixteen floats.
                *sum = or_512(*sum, unsafe { _mm512_loadu_ps(values.as_ptr()) });
            }
        }
        black_box(sums);
        0.0
    }

    /// An `or`, which costs less than an addition and keeps the load alive.
    #[target_feature(enable = "avx512f")]
    fn or_512(a: __m512, b: __m512) -> __m512 {
        _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), _mm512_castps_si512(b)))
    }

    #[target_feature(enable = "avx")]
    pub fn read_256(slice: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for chunk in slice.chunks_exact(64) {
            for (sum, values) in sums.iter_mut().zip(chunk.chunks_exact(8)) {
                // SAFETY: eight floats.
                *sum = _mm256_or_ps(*sum, unsafe { _mm256_loadu_ps(values.as_ptr()) });
            }
        }
        black_box(sums);
        0.0
    }
}
