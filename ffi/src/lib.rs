//! The C interface of fused-rnn. Its documentation is the header, `include/fused_rnn.h`, which `cbindgen`
//! makes of this crate; `include/fused_rnn.hpp` is the same for C++17.
//!
//! Every function checks what it is given, runs within `border::guard`, which lets no panic pass, and calls
//! the Rust interface, so that results have the same bits.
//!
//! ```text
//! border.rs     results and their texts; pointers of C as references and slices
//! options.rs    numbers of C as cells, activations and other options
//! builder.rs    frnn_builder
//! network.rs    frnn_network: parameters in and out
//! load.rs       networks of files
//! pass.rs       frnn_pass: sequences, training
//! model.rs      frnn_model: layers around recurrent layers, files of audio plug-ins
//! stream.rs     frnn_stream: real time
//! ```
//!
//! # Safety
//! Each function is unsafe for the same reasons, which the header states: a handle is one that this library
//! made and has not destroyed, an array has as many values as its number says, and what a call writes, nobody
//! else uses at the same time.
#![allow(clippy::missing_safety_doc, reason = "the same for all, stated above")]

mod border;
mod builder;
mod load;
mod model;
mod network;
mod options;
mod pass;
mod stream;

pub use border::*;
pub use builder::*;
pub use load::*;
pub use model::*;
pub use network::*;
pub use options::*;
pub use pass::*;
pub use stream::*;
