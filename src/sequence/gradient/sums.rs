//! The gradients that are sums over places: of biases, peepholes, gains and shifts.
//!
//! ```text
//! to [unit]  +=  dG [place][unit]  *  a plane of the states or of the tape [place][unit], or nothing
//! ```
//!
//! Some vectors of units at a time, whose sums stay in registers through all places.

use super::Chunk;
use crate::cell::{Records, TapeRecords};
use crate::matrix::Row;
use crate::simd::{Isa, Kernel, LINE};
use std::ops::Range;

/// What a gate gradient is multiplied with before it is summed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Factor<'a> {
    /// A plane of the states, `shift` slots after that of the place's step.
    State { states: Records<'a>, shift: usize, plane: usize },
    /// A plane of the tape.
    Tape { tape: TapeRecords<'a>, plane: usize },
}

impl<'a> Factor<'a> {
    /// The factors of all units at a place.
    #[inline(always)]
    fn row(&self, (step, rank): (usize, usize)) -> Row<'a> {
        // SAFETY: the records exist, and nobody writes states and tape on the way back.
        unsafe {
            match *self {
                Factor::State { states, shift, plane } => Row::of(states.plane(step + shift, rank, plane)),
                Factor::Tape { tape, plane } => tape.row(step, rank, plane),
            }
        }
    }
}

/// `to += sum of dG`, or `to += sum of dG * factor`, of one plane of dG, each of N times.
pub(super) struct SumOverPlaces<'a, const N: usize> {
    pub(super) chunk: &'a Chunk<'a>,
    pub(super) plane: usize,
    pub(super) factor: Option<Factor<'a>>,
    /// Of one length.
    pub(super) to: [&'a mut [f32]; N],
}

/// Vectors that are summed at a time: an addition takes four cycles, and a sum has to wait for the one before.
const VECTORS: usize = 4;

impl<const N: usize> Kernel for SumOverPlaces<'_, N> {
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

impl<const N: usize> SumOverPlaces<'_, N> {
    /// V vectors of these columns, the last of them perhaps in part.
    #[inline(always)]
    fn sum<I: Isa, const V: usize>(&mut self, isa: I, columns: Range<usize>) {
        let Chunk { grads, places, .. } = *self.chunk;
        let (mut sums, mut gradients) = ([[isa.zero(); V]; N], [&[][..]; V]);
        for (sums, to) in sums.iter_mut().zip(&self.to) {
            for (sum, to) in sums.iter_mut().zip(to[columns.clone()].chunks(I::LANES)) {
                *sum = isa.load_partial(to);
            }
        }
        for (v, gradients) in gradients.iter_mut().enumerate() {
            *gradients = grads.from(0, self.plane, columns.start + v * I::LANES);
        }
        match self.factor {
            None => {
                for place in 0..places.len() {
                    for v in 0..V {
                        let gradient = isa.load(&gradients[v][place * LINE..]);
                        for sums in &mut sums {
                            sums[v] = isa.add(sums[v], gradient);
                        }
                    }
                }
            }
            Some(factor) => {
                for (n, &place) in places.iter().enumerate() {
                    let factor = factor.row(place);
                    for v in 0..V {
                        let first = columns.start + v * I::LANES;
                        let factor = isa.load(factor.columns(first..first + I::LANES));
                        let gradient = isa.load(&gradients[v][n * LINE..]);
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
