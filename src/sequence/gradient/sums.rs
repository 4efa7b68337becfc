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

/// `to += sum of dG`, or `to += sum of dG * factor`, of one plane of dG.
pub(super) struct SumOverPlaces<'a> {
    pub(super) chunk: &'a Chunk<'a>,
    pub(super) plane: usize,
    pub(super) factor: Option<Factor<'a>>,
    pub(super) to: &'a mut [f32],
}

/// Vectors that are summed at a time: an addition takes four cycles, and a sum has to wait for the one before.
const VECTORS: usize = 4;

impl Kernel for SumOverPlaces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { chunk, plane, factor, to } = self;
        let (whole, rest) = to.split_at_mut(to.len() / (VECTORS * I::LANES) * VECTORS * I::LANES);
        let rest_start = whole.len();
        for (n, to) in whole.chunks_exact_mut(VECTORS * I::LANES).enumerate() {
            sum::<I, VECTORS>(isa, chunk, (plane, n * VECTORS * I::LANES), factor, to);
        }
        for (n, to) in rest.chunks_mut(I::LANES).enumerate() {
            sum::<I, 1>(isa, chunk, (plane, rest_start + n * I::LANES), factor, to);
        }
    }
}

/// V vectors from column `start` on, the last of them perhaps in part.
#[inline(always)]
fn sum<I: Isa, const V: usize>(
    isa: I,
    chunk: &Chunk<'_>,
    (plane, start): (usize, usize),
    factor: Option<Factor<'_>>,
    to: &mut [f32],
) {
    let Chunk { grads, places, .. } = *chunk;
    let (mut sums, mut gradients) = ([isa.zero(); V], [&[][..]; V]);
    for (v, to) in to.chunks(I::LANES).enumerate() {
        sums[v] = isa.load_partial(to);
        gradients[v] = grads.from(0, plane, start + v * I::LANES);
    }
    match factor {
        None => {
            for place in 0..places.len() {
                for v in 0..V {
                    sums[v] = isa.add(sums[v], isa.load(&gradients[v][place * LINE..]));
                }
            }
        }
        Some(factor) => {
            for (n, &place) in places.iter().enumerate() {
                let factor = factor.row(place);
                for v in 0..V {
                    let first = start + v * I::LANES;
                    let factor = isa.load(factor.columns(first..first + I::LANES));
                    sums[v] = isa.mul_add(isa.load(&gradients[v][n * LINE..]), factor, sums[v]);
                }
            }
        }
    }
    for (v, to) in to.chunks_mut(I::LANES).enumerate() {
        isa.store_partial(to, sums[v]);
    }
}
