//! The gradients that are sums over places: of biases, peepholes, gains and shifts.
//!
//! ```text
//! to [unit]  +=  dG [place][unit]  *  a plane of the states or of the tape [place][unit], or nothing
//! ```
//!
//! A few vectors of units are summed at a time. Their sums stay in registers through all places.

use crate::memory::{LinesRef, Row};
use crate::simd::{Dispatched, Isa, LINE, Token, dispatcher};
use std::ops::Range;

dispatcher!(dispatch);

/// Adds the sum of one plane of dG over `places` places, or of dG times a factor, to each of two vectors of
/// one length; the second may be empty. `factor` gives the row of factors of a place.
///
/// (The rows of factors are collected a group at a time. Vector code that is generic over `factor` would be
/// compiled for each caller. Between groups the sums wait in memory, which does not change their bits.)
pub(crate) fn sum_over_places<'a>(
    token: Token,
    (grads, plane): (LinesRef<'_>, usize),
    places: usize,
    factor: Option<&dyn Fn(usize) -> Row<'a>>,
    mut to: [&mut [f32]; 2],
) {
    let Some(factor) = factor else {
        dispatch(token, SumOverPlaces { grads, plane, places: 0..places, factors: None, to: &mut to });
        return;
    };
    for first in (0..places).step_by(GROUP) {
        let places = first..(first + GROUP).min(places);
        let mut rows = [Row::of(&[]); GROUP];
        for (row, place) in rows.iter_mut().zip(places.clone()) {
            *row = factor(place);
        }
        let factors = Some(&rows[..places.len()]);
        dispatch(token, SumOverPlaces { grads, plane, places, factors, to: &mut to });
    }
}

/// The rows of factors that are gathered at a time.
const GROUP: usize = 64;

struct SumOverPlaces<'a, 't> {
    grads: LinesRef<'a>,
    plane: usize,
    places: Range<usize>,
    /// One row for each place.
    factors: Option<&'a [Row<'a>]>,
    to: &'a mut [&'t mut [f32]; 2],
}

/// Vectors that are summed at a time: an addition takes four cycles, and a sum has to wait for the one
/// before.
const VECTORS: usize = 4;

impl Dispatched for SumOverPlaces<'_, '_> {
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

impl SumOverPlaces<'_, '_> {
    /// V vectors of these columns, the last of them perhaps in part.
    #[inline(always)]
    fn sum<I: Isa, const V: usize>(&mut self, isa: I, columns: Range<usize>) {
        let (mut sums, mut gradients) = ([[isa.zero(); V]; 2], [&[][..]; V]);
        for (sums, to) in sums.iter_mut().zip(self.to.iter()) {
            let to = to.get(columns.clone()).unwrap_or_default();
            for (sum, to) in sums.iter_mut().zip(to.chunks(I::LANES)) {
                *sum = isa.load_partial(to);
            }
        }
        for (v, gradients) in gradients.iter_mut().enumerate() {
            *gradients = self.grads.from(self.places.start, self.plane, columns.start + v * I::LANES);
        }
        let count = self.places.len();
        match self.factors {
            None => {
                for place in 0..count {
                    for v in 0..V {
                        let gradient = isa.load(&gradients[v][place * LINE..]);
                        for sums in &mut sums {
                            sums[v] = isa.add(sums[v], gradient);
                        }
                    }
                }
            }
            Some(factors) => {
                for (place, factor) in factors.iter().enumerate() {
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
        for (sums, to) in sums.iter().zip(self.to.iter_mut()) {
            let to = to.get_mut(columns.clone()).unwrap_or_default();
            for (&sum, to) in sums.iter().zip(to.chunks_mut(I::LANES)) {
                isa.store_partial(to, sum);
            }
        }
    }
}
