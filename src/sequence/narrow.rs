//! The gradient of input weights where the input is narrower than a vector.
//!
//! ```text
//! dW (gates*H, I)  +=  dG^T X        over the K places of a chunk
//!
//! panel product    a tile has units for rows and inputs for lanes: with one input, one lane of sixteen works
//! here             units are the lanes, as dG lies; each input is a broadcast:   sum[i] += dG[k] * x[k][i]
//! ```
//!
//! Each element is the same chain in the same order either way, and so has the same bits. The work is `I` instead of
//! sixteen multiply-adds for each vector of dG; with one input, what is left is the reading of dG.
//!
//! Register budget of a sweep: four vectors of units, up to four inputs: 16 accumulators, 4 of dG, 1 broadcast.

use crate::matrix::{GridMut, GridRef, Panel};
use crate::simd::{Isa, Kernel, LINE};
use std::ops::Range;

/// Vectors of units, and inputs, that are summed at a time.
const VECTORS: usize = 4;
const INPUTS: usize = 4;

/// `dW += dG^T X` of one gate and some of its units, as whole lines of dG.
pub(super) struct NarrowGradient<'a> {
    pub(super) grads: GridRef<'a>,
    /// The first place, and how many.
    pub(super) first: usize,
    pub(super) count: usize,
    /// The plane of dG, and the gate of dW.
    pub(super) gate: usize,
    /// The inputs of the places: one block.
    pub(super) packed: &'a Panel,
    pub(super) lines: Range<usize>,
    pub(super) to: GridMut<'a>,
    /// Whether there is something to add to.
    pub(super) add: bool,
}

/// Whether inputs of this panel are that narrow.
pub(super) fn is_narrow(packed: &Panel) -> bool {
    packed.units() < packed.lanes()
}

impl Kernel for NarrowGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let end = (self.lines.end * LINE).min(self.to.grid.rows());
        let mut unit = self.lines.start * LINE;
        while unit < end {
            let many = unit + VECTORS * I::LANES <= end;
            let inputs = self.packed.units();
            for input in (0..inputs).step_by(INPUTS) {
                match (many, inputs - input) {
                    (true, 1) => self.sum::<I, VECTORS, 1>(isa, unit, input),
                    (true, 2) => self.sum::<I, VECTORS, 2>(isa, unit, input),
                    (true, 3) => self.sum::<I, VECTORS, 3>(isa, unit, input),
                    (true, _) => self.sum::<I, VECTORS, INPUTS>(isa, unit, input),
                    (false, 1) => self.sum::<I, 1, 1>(isa, unit, input),
                    (false, 2) => self.sum::<I, 1, 2>(isa, unit, input),
                    (false, 3) => self.sum::<I, 1, 3>(isa, unit, input),
                    (false, _) => self.sum::<I, 1, INPUTS>(isa, unit, input),
                }
            }
            unit += if many { VECTORS * I::LANES } else { I::LANES };
        }
    }
}

impl NarrowGradient<'_> {
    /// The sums of V vectors of units from `unit` on and of N inputs from `input` on.
    #[inline(always)]
    fn sum<I: Isa, const V: usize, const N: usize>(&self, isa: I, unit: usize, input: usize) {
        let x = self.packed.block(0, 0, self.count);
        let mut sums = [[isa.zero(); N]; V];
        let mut lanes = [[[0.0; LINE]; N]; V];
        let units = self.to.grid.rows();
        for v in 0..V {
            for n in 0..N {
                if !self.add {
                    continue;
                }
                for lane in 0..I::LANES.min(units - (unit + v * I::LANES)) {
                    let row = unit + v * I::LANES + lane;
                    // SAFETY: the unit exists, and by the caller's promise is ours.
                    lanes[v][n][lane] =
                        unsafe { self.to.columns(self.gate, row, 0, input + n..input + n + 1)[0] };
                }
                sums[v][n] = isa.load(&lanes[v][n]);
            }
        }
        for k in 0..self.count {
            let dg = &self.grads.plane(0, self.first + k, self.gate)[unit..unit + V * I::LANES];
            let x = &x[k * I::LANES + input..][..N];
            for v in 0..V {
                let dg = isa.load(&dg[v * I::LANES..]);
                for n in 0..N {
                    sums[v][n] = isa.mul_add(isa.splat(x[n]), dg, sums[v][n]);
                }
            }
        }
        for v in 0..V {
            for n in 0..N {
                isa.store(&mut lanes[v][n], sums[v][n]);
                for lane in 0..I::LANES.min(units - (unit + v * I::LANES)) {
                    let row = unit + v * I::LANES + lane;
                    // SAFETY: as above.
                    unsafe {
                        self.to.columns(self.gate, row, 0, input + n..input + n + 1)[0] = lanes[v][n][lane]
                    };
                }
            }
        }
    }
}
