//! The functions of gates and outputs, on any [`Isa`](crate::simd::Isa).
//!
//! ```text
//! sigmoid_tanh.rs   sigmoid and tanh, inlined into the cells that have these two: the fast ones
//! chosen.rs         the functions of ONNX and Keras, chosen when the program runs, with clips and slopes
//! names.rs          those functions as text
//! formulas.rs       what those are made of: exponentials, and formulas in which no difference cancels
//! normal.rs         the normal distribution, for Gelu
//! ```

mod chosen;
mod formulas;
mod names;
mod normal;
mod sigmoid_tanh;

pub use chosen::Activation;
pub(crate) use chosen::{
    Gate, activate, activate_flattened, activate_flattened_with_slopes, activate_with_slopes,
};
pub(crate) use formulas::{exp_of_negated, softplus};
pub(crate) use sigmoid_tanh::{sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};

/// Calls `check` with all 2^32 floats, in parts, on all cores.
#[cfg(test)]
fn over_all_floats(check: impl Fn(&[f32]) + Sync) {
    const PART: u32 = 1 << 20;
    let next = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if part >= 1 << 12 {
                        break;
                    }
                    let floats: Vec<f32> = (0..PART).map(|k| f32::from_bits(part * PART + k)).collect();
                    check(&floats);
                }
            });
        }
    });
}
