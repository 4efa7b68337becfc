//! What a word of 32 bits in a panel and in a row is.
//!
//! Depth is counted in words, and every kernel does one thing a word: it broadcasts a word of a row,
//! multiplies it with vectors of words of weights, and adds to sums of 32 bits. A format says how many inputs
//! a word has, how they are packed and what that multiplication is. So panels, rows, tiles and sweeps are the
//! same for each:
//!
//! ```text
//! f32    1 input    multiply-add: one chain of each sum, rounded once a product where the level fuses
//! ```

use crate::simd::Isa;

/// How weights and rows are stored and multiplied.
pub(crate) trait Format: Copy + Send + Sync + 'static {
    /// Inputs in a word.
    const INPUTS: usize;

    /// The word of these inputs, of which there are at most [`INPUTS`](Self::INPUTS).
    fn word(inputs: &[f32]) -> u32;

    /// A word of a row in all lanes.
    ///
    /// # Safety
    /// - A word is readable at `at`.
    unsafe fn broadcast<I: Isa>(isa: I, at: *const u32) -> I::Vector;

    /// A vector of words of weights.
    ///
    /// # Safety
    /// - `LANES` words are readable at `at`.
    unsafe fn weights<I: Isa>(isa: I, at: *const u32) -> I::Vector;

    /// `sum` and the product of a broadcast word with weights.
    fn dot<I: Isa>(isa: I, row: I::Vector, weights: I::Vector, sum: I::Vector) -> I::Vector;
}

/// Floats of 32 bits: a word each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F32;

impl Format for F32 {
    const INPUTS: usize = 1;

    #[inline(always)]
    fn word(inputs: &[f32]) -> u32 {
        inputs[0].to_bits()
    }
    #[inline(always)]
    unsafe fn broadcast<I: Isa>(isa: I, at: *const u32) -> I::Vector {
        // SAFETY: the caller's promise; a float is a word.
        isa.splat(unsafe { *at.cast::<f32>() })
    }
    #[inline(always)]
    unsafe fn weights<I: Isa>(isa: I, at: *const u32) -> I::Vector {
        // SAFETY: the caller's promise; floats are words.
        unsafe { isa.load_ptr(at.cast()) }
    }
    #[inline(always)]
    fn dot<I: Isa>(isa: I, row: I::Vector, weights: I::Vector, sum: I::Vector) -> I::Vector {
        isa.mul_add(row, weights, sum)
    }
}
