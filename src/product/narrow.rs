//! The gradient of weights of the inputs that fill no vector: of an input that is narrower than one, or of the
//! last inputs of a wider one.
//!
//! ```text
//! dW (gates*H, I)  +=  dG^T X        over the K places of a chunk
//!
//! panel product    a tile has units for rows and inputs for lanes: with one input, one lane of sixteen works
//! here             units are the lanes, as in a line of dG; each input is a broadcast:
//!                  sum[i] += dG[k] * x[k][i]
//! ```
//!
//! Each element is the same chain in the same order either way, and so has the same bits. The work is `I`
//! instead of sixteen multiply-adds for each vector of dG; with one input, what is left is the reading of dG.
//!
//! Register budget of a sweep: two vectors of units by up to four inputs are 8 accumulators, 2 of dG and a
//! broadcast, of AVX2's sixteen registers; one input alone leaves room for four vectors.

use super::gradient::WeightGradient;
use super::panel::Panel;
use crate::simd::{Dispatched, Isa, LINE, Token, dispatcher};
use std::ops::Range;

dispatcher!(dispatch);

/// Inputs that are summed at a time.
const INPUTS: usize = 4;

/// Many places: reading and writing each sum by itself takes little beside them. (`Z4/last-inputs`)
const MANY: usize = 32;

/// The blocks of inputs that are not summed here, from the first on: all whole ones, or all. Up to three
/// quarters of a vector are few inputs; as a block, the last of several takes no longer if they are more, or
/// if places are few.
pub(crate) fn wide_blocks(packed: &Panel) -> usize {
    let (whole, last) = (packed.units() / packed.lanes(), packed.units() % packed.lanes());
    let (few, many) = (4 * last <= 3 * packed.lanes(), packed.depth() >= MANY);
    let pays = if whole == 0 { few || many } else { few && many };
    if pays { whole } else { packed.blocks() }
}

/// Computes the gradients of some units, as whole lines of dG, of a gradient over all places of its chunk:
/// those of the inputs that fill no vector.
///
/// # Safety
/// - The units exist, with as many columns of `to` as there are inputs, and nobody else works on their
///   gradients.
/// - The inputs are packed for the vectors of the token.
pub(crate) unsafe fn narrow_gradient(token: Token, gradient: &WeightGradient<'_>, lines: Range<usize>) {
    dispatch(token, Narrow { gradient, lines });
}

/// The arguments of [`narrow_gradient`]. By its caller's promise they exist, and nobody else works on them.
struct Narrow<'a> {
    gradient: &'a WeightGradient<'a>,
    lines: Range<usize>,
}

impl Dispatched for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let end = (self.lines.end * LINE).min(self.gradient.to.grid.rows());
        let first = self.lines.start * LINE;
        let inputs = self.gradient.packed.units() % I::LANES;
        for input in (0..inputs).step_by(INPUTS) {
            match inputs - input {
                1 => self.sweep::<I, 4, 1>(isa, first..end, input),
                2 => self.sweep::<I, 2, 2>(isa, first..end, input),
                3 => self.sweep::<I, 2, 3>(isa, first..end, input),
                _ => self.sweep::<I, 2, INPUTS>(isa, first..end, input),
            }
        }
    }
}

impl Narrow<'_> {
    /// All units, V vectors of them at a time and the last ones singly. (V vectors that are no more than a
    /// line are never too many: lines are whole, and what is past the last unit is not written.)
    #[inline(always)]
    fn sweep<I: Isa, const V: usize, const N: usize>(&self, isa: I, units: Range<usize>, input: usize) {
        let (mut unit, in_line) = (units.start, const { V * I::LANES <= LINE });
        while unit < units.end && (in_line || unit + V * I::LANES <= units.end) {
            self.sum::<I, V, N>(isa, unit, input);
            unit += V * I::LANES;
        }
        while !in_line && unit < units.end {
            self.sum::<I, 1, N>(isa, unit, input);
            unit += I::LANES;
        }
    }

    /// The sums of V vectors of units from `unit` on and of N inputs of the last block from `first` on.
    #[inline(always)]
    fn sum<I: Isa, const V: usize, const N: usize>(&self, isa: I, unit: usize, first: usize) {
        let WeightGradient { grads, plane, packed, add, .. } = self.gradient;
        let count = packed.depth();
        let block = packed.units() / I::LANES;
        let (x, input) = (packed.block(block), block * I::LANES + first);
        let mut lanes = [[[0.0; LINE]; N]; V];
        if *add {
            // SAFETY: the promise to `narrow_gradient`.
            unsafe { read(self.gradient, (unit, I::LANES), (input, N), lanes.as_flattened_mut()) };
        }
        let mut sums = [[isa.zero(); N]; V];
        for v in 0..V {
            for n in 0..N {
                sums[v][n] = isa.load(&lanes[v][n]);
            }
        }
        let mut columns: [&[f32]; V] = [&[]; V];
        for v in 0..V {
            columns[v] = grads.from(0, *plane, unit + v * I::LANES);
        }
        for k in 0..count {
            let x = &x[k * I::LANES + first..][..N];
            for v in 0..V {
                let dg = isa.load(&columns[v][k * LINE..]);
                for n in 0..N {
                    sums[v][n] = isa.mul_add(isa.splat(x[n]), dg, sums[v][n]);
                }
            }
        }
        for v in 0..V {
            for n in 0..N {
                isa.store(&mut lanes[v][n], sums[v][n]);
            }
        }
        // SAFETY: as above.
        unsafe { write(self.gradient, (unit, I::LANES), (input, N), lanes.as_flattened()) };
    }
}

/// Reads the gradients of some vectors of units from `unit` on, each of some inputs from `input` on, as far
/// as the units exist.
///
/// # Safety
/// - As for [`narrow_gradient`], of these units.
#[inline(never)]
unsafe fn read(
    of: &WeightGradient<'_>,
    (mut unit, lanes): (usize, usize),
    (input, inputs): (usize, usize),
    to: &mut [[f32; LINE]],
) {
    for vector in to.chunks_mut(inputs) {
        for (n, values) in vector.iter_mut().enumerate() {
            for lane in 0..lanes.min(of.to.grid.rows().saturating_sub(unit)) {
                // SAFETY: the unit exists, and is ours by the caller's promise.
                values[lane] = unsafe { *of.to.address(of.gate, unit + lane, 0, input + n) };
            }
        }
        unit += lanes;
    }
}

/// Writes the same gradients.
///
/// # Safety
/// - As for [`read`].
#[inline(never)]
unsafe fn write(
    of: &WeightGradient<'_>,
    (mut unit, lanes): (usize, usize),
    (input, inputs): (usize, usize),
    from: &[[f32; LINE]],
) {
    for vector in from.chunks(inputs) {
        for (n, values) in vector.iter().enumerate() {
            for lane in 0..lanes.min(of.to.grid.rows().saturating_sub(unit)) {
                // SAFETY: as above.
                unsafe { *of.to.address(of.gate, unit + lane, 0, input + n) = values[lane] };
            }
        }
        unit += lanes;
    }
}
