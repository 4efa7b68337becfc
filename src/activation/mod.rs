//! The functions of gates and outputs, on any [`Isa`](crate::simd::Isa).
//!
//! ```text
//! sigmoid_tanh.rs   sigmoid and tanh, inlined into the cells that have these two: the fast ones
//! chosen.rs         the eleven functions of ONNX, chosen when the program runs, with clips and slopes
//! ```

mod chosen;
mod sigmoid_tanh;

pub use chosen::Activation;
pub(crate) use chosen::{Gate, activate, activate_with_slopes};
pub(crate) use sigmoid_tanh::{flush, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
