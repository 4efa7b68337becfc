//! The loops over depth, in assembly: products of one or two tiles of rows with one or two tiles of weights.
//! The sums are loaded, go through all parts of the depth in tile registers, and are stored.
//!
//! ```text
//! load the sums
//! for each part of the depth             W x, R h; whole tiles of it, and the last words
//!   for each sixteen words
//!     load one or two tiles of rows and of weights; multiply each by each
//! store the sums
//! ```
//!
//! The compiler does not keep tile registers from one `asm!` block to the next, so all of it is one block.

use std::arch::asm;
use std::mem::offset_of;

/// A part of the depth: `count` times sixteen words.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Part {
    /// The first row of each tile of rows, and bytes from a row to the next.
    pub(super) rows: [*const u32; 2],
    pub(super) row: usize,
    /// The first word of each tile of weights, and bytes from a word to the next, and to the sixteenth next.
    pub(super) weights: [*const u32; 2],
    pub(super) word: usize,
    pub(super) words: usize,
    pub(super) count: usize,
}

/// Where sums are loaded from and stored to, by tile of rows and tile of weights, and the bytes from a row to
/// the next. (Sums of bytes are integers, although the pointers are of floats.)
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Sums {
    pub(super) from: [[*mut f32; 2]; 2],
    pub(super) from_row: usize,
    pub(super) to: [[*mut f32; 2]; 2],
    pub(super) to_row: usize,
}

/// The offsets that the assembly below has as numbers.
const _: () = {
    assert!(offset_of!(Part, row) == 16 && offset_of!(Part, weights) == 24 && offset_of!(Part, word) == 40);
    assert!(offset_of!(Part, words) == 48 && offset_of!(Part, count) == 56 && size_of::<Part>() == 64);
    assert!(offset_of!(Sums, from_row) == 32 && offset_of!(Sums, to) == 40 && offset_of!(Sums, to_row) == 72);
};

/// Computes the sums of one or two tiles of rows with one or two of weights. With `BYTES`, unsigned bytes of
/// rows by signed ones of weights; else pairs of bf16.
///
/// # Safety
/// - As for [`chain_of`].
#[inline(always)]
pub(super) unsafe fn chain<const BYTES: bool>(sums: &Sums, parts: &[Part], rows: usize, weights: usize) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match (rows, weights) {
            (1, 1) => chain_of::<BYTES, 1, 1>(sums, parts),
            (1, _) => chain_of::<BYTES, 1, 2>(sums, parts),
            (_, 1) => chain_of::<BYTES, 2, 1>(sums, parts),
            _ => chain_of::<BYTES, 2, 2>(sums, parts),
        }
    }
}

/// The block of assembly, once for each kind.
///
/// # Safety
/// - The machine has what it is to multiply, and the tiles are configured.
/// - Rows, weights and the sums at `from` are readable, those at `to` are writable, and nobody else writes
///   the former or touches the latter meanwhile. No part is empty.
#[inline(never)]
unsafe fn chain_of<const BYTES: bool, const ROWS: usize, const WEIGHTS: usize>(sums: &Sums, parts: &[Part]) {
    debug_assert!(parts.iter().all(|part| part.count > 0));
    // SAFETY: the caller's promise. All addresses are of rows of 64 bytes, as many as the tiles have by their
    // shapes.
    unsafe {
        asm!(
            "mov {row}, [{sums} + 32]",
            "mov {a}, [{sums}]",
            "tileloadd tmm0, [{a} + {row}*1]",
            ".if {two_weights}",
            "mov {a}, [{sums} + 8]",
            "tileloadd tmm1, [{a} + {row}*1]",
            ".endif",
            ".if {two_rows}",
            "mov {a}, [{sums} + 16]",
            "tileloadd tmm2, [{a} + {row}*1]",
            ".endif",
            ".if {two_rows} & {two_weights}",
            "mov {a}, [{sums} + 24]",
            "tileloadd tmm3, [{a} + {row}*1]",
            ".endif",
            "test {left}, {left}",
            "jz 4f",
            "2:",
            "mov {a}, [{part}]",
            ".if {two_rows}",
            "mov {b}, [{part} + 8]",
            ".endif",
            "mov {row}, [{part} + 16]",
            "mov {v}, [{part} + 24]",
            ".if {two_weights}",
            "mov {w}, [{part} + 32]",
            ".endif",
            "mov {word}, [{part} + 40]",
            "mov {count}, [{part} + 56]",
            "3:",
            "tileloadd tmm6, [{v} + {word}*1]",
            "tileloadd tmm4, [{a} + {row}*1]",
            ".if {bytes}",
            "tdpbusd tmm0, tmm4, tmm6",
            ".else",
            "tdpbf16ps tmm0, tmm4, tmm6",
            ".endif",
            ".if {two_weights}",
            "tileloadd tmm7, [{w} + {word}*1]",
            ".if {bytes}",
            "tdpbusd tmm1, tmm4, tmm7",
            ".else",
            "tdpbf16ps tmm1, tmm4, tmm7",
            ".endif",
            ".endif",
            ".if {two_rows}",
            "tileloadd tmm5, [{b} + {row}*1]",
            ".if {bytes}",
            "tdpbusd tmm2, tmm5, tmm6",
            ".else",
            "tdpbf16ps tmm2, tmm5, tmm6",
            ".endif",
            "add {b}, 64",
            ".endif",
            ".if {two_rows} & {two_weights}",
            ".if {bytes}",
            "tdpbusd tmm3, tmm5, tmm7",
            ".else",
            "tdpbf16ps tmm3, tmm5, tmm7",
            ".endif",
            ".endif",
            "add {a}, 64",
            "add {v}, [{part} + 48]",
            ".if {two_weights}",
            "add {w}, [{part} + 48]",
            ".endif",
            "dec {count}",
            "jnz 3b",
            "add {part}, 64",
            "dec {left}",
            "jnz 2b",
            "4:",
            "mov {row}, [{sums} + 72]",
            "mov {a}, [{sums} + 40]",
            "tilestored [{a} + {row}*1], tmm0",
            ".if {two_weights}",
            "mov {a}, [{sums} + 48]",
            "tilestored [{a} + {row}*1], tmm1",
            ".endif",
            ".if {two_rows}",
            "mov {a}, [{sums} + 56]",
            "tilestored [{a} + {row}*1], tmm2",
            ".endif",
            ".if {two_rows} & {two_weights}",
            "mov {a}, [{sums} + 64]",
            "tilestored [{a} + {row}*1], tmm3",
            ".endif",
            sums = in(reg) sums,
            part = inout(reg) parts.as_ptr() => _,
            left = inout(reg) parts.len() => _,
            a = out(reg) _,
            b = out(reg) _,
            row = out(reg) _,
            v = out(reg) _,
            w = out(reg) _,
            word = out(reg) _,
            count = out(reg) _,
            bytes = const BYTES as u32,
            two_rows = const (ROWS == 2) as u32,
            two_weights = const (WEIGHTS == 2) as u32,
            out("tmm0") _,
            out("tmm1") _,
            out("tmm2") _,
            out("tmm3") _,
            out("tmm4") _,
            out("tmm5") _,
            out("tmm6") _,
            out("tmm7") _,
            options(nostack),
        );
    }
}
