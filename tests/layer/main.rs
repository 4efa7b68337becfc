//! What stands around a layer's calls: states, masks, gradients that are left out, tapes and parameters that
//! callers own, what is held and printed.

#[path = "../common/mod.rs"]
mod common;
mod drawn;
#[path = "../common/strategies.rs"]
mod strategies;

mod ends;
mod gradients;
mod masks;
mod parameters;
mod recurrent;
mod sequences;
mod state;
mod tape;
mod workspace;
