//! Weights in bf16, everything else in f32: a word of a panel has the weights of two inputs, a word of a row
//! is one input.
//!
//! ```text
//! word        [ odd input | even input ]
//! even        word << 16                   multiplied first
//! odd         word & FFFF0000              then this: the chain of f32, in the order of the inputs
//! ```
//!
//! A bf16 is the upper half of an f32, so a shift or a mask widens it, exactly. The chain is that of `f32.rs`
//! on the rounded weights, and so are the bits. Half of the bytes come in, which is what a single row waits
//! for; many rows pay a shift or a mask for each vector of weights and tile.

use super::{Format, InRun, Load, begin, multiply_add};
use crate::product::operand::Segment;
use crate::simd::Isa;

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16Weights;

/// The weights of the even inputs, and of the odd ones.
struct Even;
struct Odd;

impl Load for Even {
    #[inline(always)]
    unsafe fn load<I: Isa>(isa: I, at: *const u32) -> I::Vector {
        // SAFETY: the caller's promise; any bits are a float.
        isa.lower_halves(unsafe { isa.load_ptr(at.cast()) })
    }
}

impl Load for Odd {
    #[inline(always)]
    unsafe fn load<I: Isa>(isa: I, at: *const u32) -> I::Vector {
        // SAFETY: as above.
        isa.upper_halves(unsafe { isa.load_ptr(at.cast()) })
    }
}

impl Format for Bf16Weights {
    // A shift or a mask for each vector of weights takes the place of a multiply-add, once for the rows of a
    // tile. Six rows do not fit the registers. (`X207/narrow-rows`)
    const MAX_ROWS: usize = 4;
    const FEW_ROWS: usize = 2;

    #[inline(always)]
    unsafe fn add<I: Isa, const G: usize, const U: usize, const R: usize>(
        isa: I,
        mut sums: [[[I::Vector; G]; U]; R],
        segment: &Segment,
        tile: InRun,
    ) -> [[[I::Vector; G]; U]; R] {
        // Rows lie along k, in one run of all inputs.
        let Segment { run: inputs, block, .. } = *segment;
        let mut at = 0;
        // SAFETY: the list is there by the caller's promise.
        let (rows, mut weight, mut ahead) = unsafe { begin::<R>(segment, tile) };
        for _ in 0..inputs / 2 {
            ahead.fetch();
            // SAFETY: rows and panel have these inputs.
            unsafe {
                sums = multiply_add::<I, Even, G, U, R>(isa, sums, &rows, at, weight, block);
                sums = multiply_add::<I, Odd, G, U, R>(isa, sums, &rows, at + 1, weight, block);
            }
            weight = weight.wrapping_add(G * I::LANES);
            at += 2;
        }
        if inputs % 2 == 1 {
            // SAFETY: as above; the last word has one input.
            sums = unsafe { multiply_add::<I, Even, G, U, R>(isa, sums, &rows, at, weight, block) };
        }
        sums
    }
}
