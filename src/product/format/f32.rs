//! Floats of 32 bits: a word of a panel is the weight of one input, and a word of a row is one input. Each
//! sum is one chain of multiply-adds, rounded once a product where the level fuses.

use super::{Format, InRun, Load, NextWeights, begin, multiply_add};
use crate::product::operand::{Segment, VECTOR_ROWS};
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
    const MAX_ROWS: usize = VECTOR_ROWS;
    const MAX_SUMS: usize = 12;

    #[inline(always)]
    unsafe fn add<I: Isa, const G: usize, const U: usize, const R: usize>(
        isa: I,
        mut sums: [[[I::Vector; G]; U]; R],
        segment: &Segment,
        tile: InRun,
    ) -> [[[I::Vector; G]; U]; R] {
        let Segment { step, run, jump, words, block, .. } = *segment;
        // SAFETY: the list is there by the caller's promise.
        let (rows, weight, ahead) = unsafe { begin::<R>(segment, tile) };
        let mut of_tile = WordsOfTile { rows, at: 0, step, weight, block, ahead };
        let together = const { if G * U * R >= MANY_SUMS { I::WORDS } else { 1 } };
        let mut left = words;
        while left > 0 {
            let count = run.min(left);
            left -= count;
            if left > 0 {
                // The next run lies too far from this one for the processor to prefetch it: a tile would wait
                // for the first word of each run.
                for r in 0..R {
                    prefetch_near(rows[r].wrapping_add(of_tile.at + count * step).wrapping_add(jump));
                }
            }
            let mut rest = count;
            // SAFETY: rows and panel have these words.
            unsafe {
                while rest >= together {
                    for _ in 0..together {
                        sums = of_tile.add_next::<I, G, U>(isa, sums);
                    }
                    rest -= together;
                }
                for _ in 0..rest {
                    sums = of_tile.add_next::<I, G, U>(isa, sums);
                }
            }
            of_tile.at = of_tile.at.wrapping_add(jump);
        }
        sums
    }
}

/// A tile of at least this many sums takes as many words at a time as the level says. (For fewer sums the
/// compiler unrolls the loop by itself, two words at a time.)
const MANY_SUMS: usize = 15;

/// The words of the rows of a tile and of its blocks of a panel, one after the other.
struct WordsOfTile<const R: usize> {
    rows: [*mut u32; R],
    /// The place in every row: in one register for all of them.
    at: usize,
    step: usize,
    /// The weights of the first block.
    weight: *const u32,
    block: usize,
    ahead: NextWeights,
}

impl<const R: usize> WordsOfTile<R> {
    /// The sums after the next word of each row.
    ///
    /// # Safety
    /// - The rows have the word, and the panel has its weights.
    #[inline(always)]
    unsafe fn add_next<I: Isa, const G: usize, const U: usize>(
        &mut self,
        isa: I,
        sums: [[[I::Vector; G]; U]; R],
    ) -> [[[I::Vector; G]; U]; R] {
        let WordsOfTile { ref rows, at, weight, block, .. } = *self;
        self.ahead.fetch();
        self.weight = weight.wrapping_add(G * I::LANES);
        self.at += self.step;
        // SAFETY: the caller's promise.
        unsafe { multiply_add::<I, F32, G, U, R>(isa, sums, rows, at, weight, block) }
    }
}
