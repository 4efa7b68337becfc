//! The order of the blocks in the steps of a single row: one way, or zigzag.
//!
//! A step reads all weights once. Where they are a little larger than a cache and each step reads them from
//! the first to the last, nothing of them is left there when the next step begins: what it needs first is
//! what was thrown out last. Where every other step reads from the last to the first, it begins with what is
//! there.
//!
//! ```text
//! step 0     0 1 2 3        the cache has  1 2 3
//! step 1     3 2 1 0        0 comes from farther away; the cache has  0 1 2
//! step 2     0 1 2 3        and so on
//! ```
//!
//! Blocks are other units, so each sum is made in the same order, and the bits are the same.

use crate::cell::Weights;
use crate::memory::first_level;
use std::ops::RangeInclusive;

/// The bytes of weights of which a part stays in the first-level cache beside what else a step touches, in
/// eighths of it. Fewer stay there as a whole; of more, what stays is little. (`Z4/turns`)
const NEAR: RangeInclusive<usize> = 7..=28;

/// The same of the second level, of 1 to 2 MiB, in bytes.
const FAR: RangeInclusive<usize> = 640 << 10..=4 << 20;

/// Whether every other step of a pass takes the blocks of these weights from the last to the first; the
/// weights of the inputs belong to a step where their products are not made beforehand.
pub(crate) fn zigzag(weights: &Weights, with_inputs: bool) -> bool {
    let of_inputs = if with_inputs { weights.input_bytes() } else { 0 };
    let bytes = weights.recurrent_bytes() + of_inputs;
    let eighth = first_level() / 8;
    (NEAR.start() * eighth..=NEAR.end() * eighth).contains(&bytes) || FAR.contains(&bytes)
}
