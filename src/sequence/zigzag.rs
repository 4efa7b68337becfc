//! The order of the blocks in the steps of a single row: one way, or zigzag.
//!
//! A step reads all weights once. If they are a little larger than a cache, and each step reads them from the
//! first to the last, the cache never has what a step needs next: those weights were evicted just before. If
//! every other step reads from the last to the first, a step begins with the weights that the cache still
//! has.
//!
//! ```text
//! step 0     0 1 2 3        the cache has  1 2 3
//! step 1     3 2 1 0        0 comes from farther away; the cache has  0 1 2
//! step 2     0 1 2 3        and so on
//! ```
//!
//! Each block has units of its own, so the order within each sum does not change, and the bits are the same.

use crate::cell::Weights;
use crate::memory::first_level;
use std::ops::RangeInclusive;

/// The bytes of weights, in eighths of the first-level cache, for which zigzag pays there. Fewer weights stay
/// in the cache as a whole; of more, little stays beside the other data of a step. (`Z4/turns`)
const NEAR: RangeInclusive<usize> = 7..=28;

/// The same for a second-level cache of 1 to 2 MiB, in bytes.
const FAR: RangeInclusive<usize> = 640 << 10..=4 << 20;

/// Whether every other step of a pass takes the blocks of these weights from the last to the first; the
/// weights of the inputs belong to a step where their products are not made beforehand.
pub(crate) fn zigzag(weights: &Weights, with_inputs: bool) -> bool {
    let of_inputs = if with_inputs { weights.input_bytes() } else { 0 };
    let bytes = weights.recurrent_bytes() + of_inputs;
    let eighth = first_level() / 8;
    (NEAR.start() * eighth..=NEAR.end() * eighth).contains(&bytes) || FAR.contains(&bytes)
}
