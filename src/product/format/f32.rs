//! Floats of 32 bits: a word of a panel is the weight of one input, and a word of a row is one input. Each
//! sum is one chain of multiply-adds, rounded once a product where the level fuses.

use super::{Format, InRun, Load, begin, multiply_add};
use crate::product::operand::{MOST_ROWS, Segment};
use crate::simd::{Isa, prefetch_near};

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F32;

impl Load for F32 {
    #[inline(always)]
    unsafe fn load<I: Isa>(isa: I, at: *const u32) -> I::Vector {
        // SAFETY: the caller's promise; floats are words.
        unsafe { isa.load_ptr(at.cast()) }
    }
}

impl Format for F32 {
    const MOST_ROWS: usize = MOST_ROWS;
    const MOST_SUMS: usize = 12;

    #[inline(always)]
    unsafe fn add<I: Isa, const G: usize, const U: usize, const R: usize>(
        isa: I,
        mut sums: [[[I::Vector; G]; U]; R],
        segment: &Segment,
        tile: InRun,
    ) -> [[[I::Vector; G]; U]; R] {
        let Segment { step, run, jump, words, block, .. } = *segment;
        // The place in every row, and in every block of the panel: in registers, once for all of them.
        let mut at = 0;
        // SAFETY: the list is there by the caller's promise.
        let (rows, mut weight, mut ahead) = unsafe { begin::<R>(segment, tile) };
        let mut left = words;
        while left > 0 {
            let count = run.min(left);
            left -= count;
            if left > 0 {
                // A run lies too far behind the one before for the processor to foresee: a tile would wait
                // for the first word of each.
                for r in 0..R {
                    prefetch_near(rows[r].wrapping_add(at + count * step).wrapping_add(jump));
                }
            }
            // One k at a time. (With four, LLVM keeps accumulators of GRU's tiles on the stack.)
            for _ in 0..count {
                ahead.fetch();
                // SAFETY: rows and panel have this word.
                sums = unsafe { multiply_add::<I, F32, G, U, R>(isa, sums, &rows, at, weight, block) };
                weight = weight.wrapping_add(G * I::LANES);
                at += step;
            }
            at = at.wrapping_add(jump);
        }
        sums
    }
}
