//! The layers beside candle's own, beside the Rust API of the core, and with what is wrong.

mod beside_candle;
mod beside_core;
mod errors;
mod gradients;
mod judge;
mod parameters;
mod steps;
mod support;
