//! A fixed set of networks, and what comes out of them as hashes: for the test `bits`, and for WebAssembly,
//! where there is no `cargo test`.
//!
//! ```text
//! draw.rs        the generator of numbers
//! networks.rs    a network, and the features that it has
//! sets.rs        which networks
//! run.rs         what is done with a network, on all cores
//! hashes.rs      the hash, and which ones are right
//! ```
#![allow(missing_docs, reason = "for the two programs alone")]

pub mod draw;
pub mod hashes;
pub mod networks;
pub mod run;
pub mod sets;
