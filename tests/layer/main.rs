//! What stands around a layer's calls: states, masks, gradients that are left out, tapes and parameters that
//! callers own, what is held and printed.

mod drawn;

mod ends;
mod gradients;
mod masks;
mod mirror;
mod parameters;
mod recurrent;
mod sequences;
mod state;
mod tape;
mod workspace;
