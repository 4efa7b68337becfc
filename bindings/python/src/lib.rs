//! `fused_rnn._fused_rnn`: what the Python package asks of the crate.
//!
//! ```text
//! errors.rs       the crate's errors as Python's exceptions
//! options.rs      the options of a builder, to and from a dictionary
//! activations.rs  activations by name
//! arrays.rs       NumPy arrays in and out
//! network.rs      a network on NumPy arrays: forward, parameters
//! training.rs     forward with a tape, and backward
//! stream.rs       one step at a time
//! files.rs        weights of PyTorch, Keras and ONNX
//! kernel.rs       a network on the memory of tensors, for PyTorch
//! pool.rs         threads, which survive a fork
//! ```
//!
//! `python/fused_rnn/` has the names, defaults and documentation that a user sees.

mod activations;
mod arrays;
mod errors;
mod files;
mod kernel;
mod network;
mod options;
mod pool;
mod stream;
mod training;

use pyo3::prelude::*;

/// The module.
#[pymodule]
mod _fused_rnn {
    #[pymodule_export]
    use super::files::{
        KerasLayer, OnnxChain, keras_layer, keras_names, onnx_chains, torch_modules, torch_network,
    };
    #[pymodule_export]
    use super::kernel::Kernel;
    #[pymodule_export]
    use super::network::Network;
    #[pymodule_export]
    use super::pool::named_threads;
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::training::{Tape, forward_train};
}
