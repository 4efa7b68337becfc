//! The limits of the machine: multiply-adds in registers, and reads from each level of cache; and the limit
//! of a shape that follows from these.
//!
//! The limits are measured in the process that is compared with them, on the same number of threads, in short
//! bursts: a machine that is shared or changes its clock has no single number. The best burst counts.

use super::{Mode, Shape};
use fused_rnn::Level;
use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The duration of the measurement of one limit.
const SHORT: Duration = Duration::from_millis(100);

/// The machine: rates of multiply-adds and of reads from each level of cache, on some number of threads.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Flops per second.
    pub peak: f64,
    /// Name, bytes of the buffer that each thread read, bytes per second of all threads.
    pub reads: Vec<(&'static str, usize, f64)>,
}

impl Limits {
    /// Measures for about half a second. The buffers are half of L1 and half of L2; four times L2, but at
    /// most half of L3; and for memory twice L3, but at most half a gigabyte: on a virtual machine with a
    /// part of a very large cache that may still be cache.
    pub fn measure(level: Level, threads: usize) -> Self {
        let [l1, l2, l3] = cache_sizes();
        let buffers = [
            ("l1", l1 / 2),
            ("l2", l2 / 2),
            ("l3", (4 * l2).min(l3 / 2)),
            ("memory", (2 * l3).min(512 << 20)),
        ];
        let reads = buffers.map(|(name, bytes)| (name, bytes, read_rate(bytes * threads, threads, SHORT)));
        Limits { peak: multiply_add_rate(level, threads, SHORT), reads: reads.to_vec() }
    }

    /// Fields of a JSON object.
    pub fn json(&self) -> String {
        let reads = self.reads.iter().map(|(name, _, rate)| format!(", \"{name}_gb_s\": {:.1}", rate / 1e9));
        format!("\"machine_peak_gflops\": {:.1}{}", self.peak / 1e9, reads.collect::<String>())
    }
}

/// Bytes of the caches of a core: L1 for data, L2, L3. Linux reports them; elsewhere they are sizes that most
/// machines have.
fn cache_sizes() -> [usize; 3] {
    let mut sizes = [32 << 10, 1 << 20, 16 << 20];
    for index in 0..8 {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}")).ok()
        };
        let (Some(level), Some(kind), Some(size)) = (read("level"), read("type"), read("size")) else {
            continue;
        };
        let size = size.trim().strip_suffix('K').and_then(|size| size.parse::<usize>().ok());
        let level = level.trim().parse::<usize>().ok();
        if let (Some(level @ 1..=3), Some(size), false) = (level, size, kind.trim() == "Instruction") {
            sizes[level - 1] = size << 10;
        }
    }
    sizes
}

/// The least time that a shape can take: its multiply-adds at the peak, or its reads of weights at the rate
/// of the level of cache that holds them, whichever is longer.
///
/// What must be read: a step needs all weights. A sequence needs the recurrent weights at each step, because
/// the next step waits for this one; the input weights can serve many steps at once and are counted once.
/// Backward reads as much again, transposed. A large batch shares each read, so that multiply-adds bound it.
#[derive(Debug, Clone)]
pub struct Roofline {
    /// Flops per second of multiply-adds.
    pub peak: f64,
    /// Bytes per second of reading as many bytes as all weights have; that is the rate of old tables.
    pub read: f64,
    /// Seconds that one call takes at least, and what bounds it: `multiply-adds` or `reads`.
    pub seconds: f64,
    pub bound: &'static str,
    flops: f64,
    /// Bytes of all weights at every step, twice for training.
    weight_reads: f64,
    batch: usize,
}

impl Roofline {
    pub fn measure(shape: &Shape, mode: Mode, level: Level, threads: usize) -> Self {
        let peak = multiply_add_rate(level, threads, SHORT);
        let all = shape.weight_bytes();
        let read = read_rate(all, threads, SHORT);
        let (each_step, once) = match mode {
            Mode::Step => (all, 0),
            _ => (shape.recurrent_weight_bytes(), all - shape.recurrent_weight_bytes()),
        };
        let each_step_read = if each_step == all { read } else { read_rate(each_step, threads, SHORT) };
        let directions = if mode == Mode::Train { 2.0 } else { 1.0 };
        // Weights are read as long as any row runs.
        let longest = shape.lengths().and_then(|lengths| lengths.into_iter().max());
        let steps = longest.filter(|_| mode != Mode::Step).unwrap_or(mode.steps(shape)) as f64;
        let flops = mode.flops(shape);
        let multiply = flops / peak;
        let reads = directions * (steps * each_step as f64 / each_step_read + once as f64 / read);
        let bound = if multiply >= reads { "multiply-adds" } else { "reads" };
        let weight_reads = all as f64 * steps * directions;
        Roofline { peak, read, seconds: multiply.max(reads), bound, flops, weight_reads, batch: shape.batch }
    }

    /// The share of the limit that a call of this many seconds reaches, and the name of the limit: the peak
    /// where the batch shares the weights (B > 5), elsewhere the rate of reading all weights at every step.
    /// The second share can be above one, because an input product of many steps reads its weights once.
    pub fn share(&self, seconds: f64) -> (f64, &'static str) {
        if self.batch <= 5 {
            (self.weight_reads / seconds / self.read, "bandwidth")
        } else {
            (self.flops / seconds / self.peak, "peak")
        }
    }

    /// Flops per second at the roofline.
    pub fn rate(&self) -> f64 {
        self.flops / self.seconds
    }

    /// Fields of a JSON object.
    pub fn json(&self) -> String {
        format!(
            "\"peak_gflops\": {:.1}, \"read_gb_s\": {:.1}, \"bound\": \"{}\", \"roofline_gflops\": {:.2}, \
             \"roofline_us\": {:.3}",
            self.peak / 1e9,
            self.read / 1e9,
            self.bound,
            self.rate() / 1e9,
            self.seconds * 1e6,
        )
    }
}

/// Flops per second of multiply-adds in registers with the vectors of a level, on `threads` threads.
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

/// Bytes per second of reading `bytes` again and again, on `threads` threads, each its own share of them.
pub fn read_rate(bytes: usize, threads: usize, duration: Duration) -> f64 {
    let floats = (bytes / 4 / threads.max(1)).next_multiple_of(256).max(256);
    best_rate(threads, duration, &|| {
        thread_local!(static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });
        BUFFER.with_borrow_mut(|buffer| {
            // From the start of a cache line: a vector that straddles two costs two reads.
            buffer.resize(floats + 16, 1.0);
            let start = buffer.as_ptr().align_offset(64).min(16);
            let aligned = &buffer[start..][..floats];
            let passes = (4_000_000 / floats).max(1);
            for _ in 0..passes {
                black_box(read(black_box(aligned)));
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
