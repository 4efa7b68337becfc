//! Sigmoid and tanh over an array in L1, on every level of this machine, beside the standard library's.
//!
//! The kernels are not public: this bench compiles their files (`src/activation/`, `src/simd/`,
//! `src/error.rs`) as modules of its own. Throughput is in values. Results are checked against f64 before
//! they are timed.

#![allow(dead_code, unused_imports, unused_macros, reason = "the crate's files, of which this uses a part")]

#[path = "../../src/activation/mod.rs"]
mod activation;
#[path = "../../src/error.rs"]
mod error;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../../src/simd/mod.rs"]
mod simd;

use error::Error;
use simd::{Dispatched, Isa, Level, dispatch};

/// Values in an array: 16 KiB in and 16 KiB out.
const COUNT: usize = 4096;

#[derive(Clone, Copy)]
enum Function {
    Sigmoid,
    Tanh,
}

/// Applies a function to a slice whose length is a multiple of sixteen.
struct Apply<'a>(Function, &'a [f32], &'a mut [f32]);

impl Dispatched for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Apply(function, from, to) = self;
        match function {
            Function::Sigmoid => {
                for (from, to) in from.chunks_exact(I::LANES).zip(to.chunks_exact_mut(I::LANES)) {
                    isa.store(to, activation::sigmoid(isa, isa.load(from)));
                }
            }
            Function::Tanh => {
                for (from, to) in from.chunks_exact(I::LANES).zip(to.chunks_exact_mut(I::LANES)) {
                    isa.store(to, activation::tanh(isa, isa.load(from)));
                }
            }
        }
    }
}

fn standard(function: Function, from: &[f32], to: &mut [f32]) {
    match function {
        Function::Sigmoid => from.iter().zip(to).for_each(|(x, y)| *y = 1.0 / (1.0 + (-x).exp())),
        Function::Tanh => from.iter().zip(to).for_each(|(x, y)| *y = x.tanh()),
    }
}

fn check(function: Function, x: &[f32], y: &[f32]) {
    for (&x, &y) in x.iter().zip(y) {
        let x = f64::from(x);
        let want = match function {
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Function::Tanh => x.tanh(),
        };
        assert!((f64::from(y) - want).abs() <= 2e-7, "{y} for {want} at {x}");
    }
}

fn main() {
    let mut criterion = harness::criterion();
    let x: Vec<f32> = (0..COUNT).map(|k| (k as f32 / COUNT as f32 - 0.5) * 16.0).collect();
    for (name, function) in [("sigmoid", Function::Sigmoid), ("tanh", Function::Tanh)] {
        let mut group = harness::group(&mut criterion, format!("activation/{name}"), COUNT as f64);
        for level in Level::available() {
            let token = level.token().expect("available");
            let make = || {
                let mut y = vec![0.0; COUNT];
                dispatch(token, Apply(function, &x, &mut y));
                check(function, &x, &y);
                y
            };
            harness::measure(&mut group, &level.to_string(), make, |y| {
                dispatch(token, Apply(function, std::hint::black_box(&x), y));
            });
        }
        let make = || {
            let mut y = vec![0.0; COUNT];
            standard(function, &x, &mut y);
            check(function, &x, &y);
            y
        };
        harness::measure(&mut group, "standard library", make, |y| {
            standard(function, std::hint::black_box(&x), y);
        });
        group.finish();
    }
    criterion.final_summary();
}
