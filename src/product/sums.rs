//! The gradients that are sums over places: of biases, peepholes, gains and shifts.
//!
//! ```text
//! to [unit]  +=  dG [place][unit]  *  a plane of the states or of the tape [place][unit], or nothing
//! ```
//!
//! Some vectors of units at a time, whose sums stay in registers through all places.

use crate::memory::{LinesRef, Row};
use crate::simd::{Isa, Kernel, LINE, Token, dispatcher};
use std::ops::Range;

dispatcher!(dispatch);

/// Adds `sum of dG`, or `sum of dG * factor`, of one plane of dG over `places` places to each of N vectors of
/// one length. `factor` gives the row of factors of a place.
pub(crate) fn sum_over_places<'a, F, const N: usize>(
    token: Token,
    (grads, plane): (LinesRef<'_>, usize),
    places: usize,
    factor: Option<F>,
    to: [&mut [f32]; N],
) where
    F: Fn(usize) -> Row<'a>,
{
    dispatch(token, SumOverPlaces { grads, plane, places, factor, to });
}

struct SumOverPlaces<'a, F, const N: usize> {
    grads: LinesRef<'a>,
    plane: usize,
    places: usize,
    factor: Option<F>,
    to: [&'a mut [f32]; N],
}

/// Vectors that are summed at a time: an addition takes four cycles, and a sum has to wait for the one
/// before.
const VECTORS: usize = 4;

impl<'r, F: Fn(usize) -> Row<'r>, const N: usize> Kernel for SumOverPlaces<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let width = self.to[0].len();
        let whole = width - width % (VECTORS * I::LANES);
        for start in (0..whole).step_by(VECTORS * I::LANES) {
            self.sum::<I, VECTORS>(isa, start..start + VECTORS * I::LANES);
        }
        for start in (whole..width).step_by(I::LANES) {
            self.sum::<I, 1>(isa, start..(start + I::LANES).min(width));
        }
    }
}

impl<'r, F: Fn(usize) -> Row<'r>, const N: usize> SumOverPlaces<'_, F, N> {
    /// V vectors of these columns, the last of them perhaps in part.
    #[inline(always)]
    fn sum<I: Isa, const V: usize>(&mut self, isa: I, columns: Range<usize>) {
        let (mut sums, mut gradients) = ([[isa.zero(); V]; N], [&[][..]; V]);
        for (sums, to) in sums.iter_mut().zip(&self.to) {
            for (sum, to) in sums.iter_mut().zip(to[columns.clone()].chunks(I::LANES)) {
                *sum = isa.load_partial(to);
            }
        }
        for (v, gradients) in gradients.iter_mut().enumerate() {
            *gradients = self.grads.from(0, self.plane, columns.start + v * I::LANES);
        }
        match &self.factor {
            None => {
                for place in 0..self.places {
                    for v in 0..V {
                        let gradient = isa.load(&gradients[v][place * LINE..]);
                        for sums in &mut sums {
                            sums[v] = isa.add(sums[v], gradient);
                        }
                    }
                }
            }
            Some(factor) => {
                for place in 0..self.places {
                    let factor = factor(place);
                    for v in 0..V {
                        let factor = factor.load(isa, columns.start + v * I::LANES);
                        let gradient = isa.load(&gradients[v][place * LINE..]);
                        for sums in &mut sums {
                            sums[v] = isa.mul_add(gradient, factor, sums[v]);
                        }
                    }
                }
            }
        }
        for (sums, to) in sums.iter().zip(&mut self.to) {
            for (&sum, to) in sums.iter().zip(to[columns.clone()].chunks_mut(I::LANES)) {
                isa.store_partial(to, sum);
            }
        }
    }
}
