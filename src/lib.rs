//! x
mod activation;
mod cell;
mod error;
mod layer;
mod matrix;
mod rng;
mod sequence;
pub mod reference;
mod simd;

pub use cell::CellKind;
pub use error::Error;
pub use layer::{
    Accumulate, Bias, Builder, Config, Dims, Gradients, Gru, Init, Layout, Lstm, NamedParameter, Output,
    Recurrent, Rnn, Tape, Upstream, Workspace,
};
pub use rng::Rng;
pub use sequence::{State, Threads};
pub use simd::Level;
