//! The sums of `Int8`: tiles sum the integers of one segment, which are then scaled and added to the sums in
//! f32.
//!
//! TDPBUSD multiplies unsigned bytes of rows, `q + 128`, with signed bytes of weights. The panel has the
//! integer that each sum begins with, which takes the 128 out again (`format/int8.rs`).

use super::chain::{Sums, chain};
use super::columns::{Columns, Shape};
use super::kernel::Sum;
use super::operands::{Copied, Operands, rows_of, weights_of};
use super::pairs::Pairs;
use crate::product::operand::SumPointers;
use crate::simd::{Avx512, Isa, LINE};

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes;

impl Sum for Bytes {
    #[inline(never)]
    unsafe fn sum(operands: &mut Operands<'_>, columns: &Columns, to: &SumPointers) {
        // SAFETY: the caller's promise, passed on.
        unsafe {
            Pairs::sum(operands, &Columns { segments: 0..0, ..columns.clone() }, to);
            for segment in columns.segments.clone() {
                add(operands, segment, columns, to);
            }
        }
    }
}

/// Adds a segment to the sums of some columns.
///
/// # Safety
/// - As for [`Sum::sum`], of this segment and these columns.
#[target_feature(enable = "avx512f")]
unsafe fn add(operands: &mut Operands<'_>, index: usize, columns: &Columns, to: &SumPointers) {
    let ((tile, tiles), &Shape { gates, rows, .. }) = (operands.tiles(), operands.shape());
    let segment = &operands.segments()[index];
    // After the words of a block: scales, and where sums begin.
    let scales = columns.each.map(|column| {
        weights_of(segment, column).wrapping_add(segment.words * gates * LINE).cast_mut().cast::<f32>()
    });
    let mut integers = [[Copied::NONE; 2]; 2];
    let sums = Sums {
        from: [scales.map(|scales| scales.wrapping_add(gates * LINE)); 2],
        from_row: 0,
        to: integers.each_mut().map(|integers| integers.each_mut().map(|integers| integers.row(0).cast())),
        to_row: Copied::ROW,
    };
    // SAFETY: here and below, the caller's promise: the machine has all of it; rows, blocks and places exist.
    let isa = unsafe {
        chain::<true>(&sums, operands.parts(index..index + 1, columns), tiles, columns.count);
        Avx512::assume()
    };
    for (t, integers) in integers.iter_mut().enumerate().take(tiles) {
        let (first, stride) = rows_of(segment, tile + t);
        for r in 0..rows {
            // SAFETY: as above; the scale stands before the row.
            let of_row = isa.splat(unsafe { *first.wrapping_add(r * stride).sub(1).cast::<f32>() });
            for c in 0..columns.count {
                // SAFETY: as above.
                unsafe {
                    // Not fused: the same on every level.
                    let to = to.row(tile + t, r).wrapping_add(columns.each[c].to);
                    let scale = isa.mul(of_row, isa.load_ptr(scales[c]));
                    let whole = isa.float_of_int(isa.load_ptr(integers[c].row(r).cast()));
                    isa.store_ptr(to, isa.add(isa.load_ptr(to), isa.mul(whole, scale)));
                }
            }
        }
    }
}
