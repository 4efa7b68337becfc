//! What the test programs share. A library of its own, so that it is compiled once.
#![allow(missing_docs, reason = "for the programs beside it alone")]

#[path = "mod.rs"]
mod common;
pub mod strategies;

pub use common::*;
