//! What JavaScript calls. Each instance of the module has one model.
//!
//! ```text
//! block()                        the address of 128 floats, written before and read after the calls below
//! process()                      the block becomes what the network makes of it; effect() the effect
//! reset()                        begins both streams anew
//! noise()                        fills the block
//! train(rounds) -> loss
//! weights() -> address, of weight_count() floats; set_weights() takes what has been written there
//! hash(before) -> BigInt         of the block
//! ```
//!
//! A call that fails traps: sizes are fixed, so only memory can be missing.

use crate::model::{self, Model};
use std::sync::Mutex;

/// The model, once something has asked for it, and a copy of its weights.
static MODEL: Mutex<Option<(Model, Vec<f32>)>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut Model, &mut Vec<f32>) -> T) -> T {
    let mut guard = MODEL.lock().expect("no call has failed");
    let (model, weights) = guard.get_or_insert_with(|| (Model::new().expect("memory"), Vec::new()));
    work(model, weights)
}

#[unsafe(no_mangle)]
extern "C" fn block() -> *mut f32 {
    with(|model, _| model.block.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn process() {
    with(|model, _| model.process().expect("a block"));
}

#[unsafe(no_mangle)]
extern "C" fn reset() {
    with(|model, _| model.reset());
}

#[unsafe(no_mangle)]
extern "C" fn noise() {
    with(|model, _| model.noise());
}

#[unsafe(no_mangle)]
extern "C" fn effect() {
    with(|model, _| model.apply_effect());
}

#[unsafe(no_mangle)]
extern "C" fn train(rounds: usize) -> f64 {
    with(|model, _| model.train(rounds).expect("a round"))
}

#[unsafe(no_mangle)]
extern "C" fn weights() -> *mut f32 {
    with(|model, weights| {
        weights.clear();
        weights.extend_from_slice(model.parameters());
        weights.as_mut_ptr()
    })
}

#[unsafe(no_mangle)]
extern "C" fn weight_count() -> usize {
    with(|model, _| model.parameters().len())
}

#[unsafe(no_mangle)]
extern "C" fn set_weights() {
    with(|model, weights| model.set_parameters(weights));
}

#[unsafe(no_mangle)]
extern "C" fn hash(before: u64) -> u64 {
    with(|model, _| model::hash(before, &model.block))
}
