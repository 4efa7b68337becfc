//! What stands around a layer's calls: states, masks, gradients that are left out, what is held and printed.

mod gradients;
mod masks;
mod recurrent;
mod state;
mod workspace;
