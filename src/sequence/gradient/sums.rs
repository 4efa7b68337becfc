//! The gradients that are sums over places: of biases, peepholes, gains and shifts.
//!
//! ```text
//! to [unit]  +=  dG [place][unit]  *  a plane of the states or of the tape [place][unit], or nothing
//! ```
//!
//! One vector of units at a time, whose sum stays in a register through all places.

use super::Chunk;
use crate::cell::Records;
use crate::simd::{Isa, Kernel};

/// What a gate gradient is multiplied with before it is summed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor<'a> {
    pub(super) records: Records<'a>,
    /// How many slots the record lies behind that of the place's step.
    pub(super) shift: usize,
    pub(super) plane: usize,
}

/// `to += sum of dG`, or `to += sum of dG * factor`, of one plane of dG.
pub(super) struct SumOverPlaces<'a> {
    pub(super) chunk: &'a Chunk<'a>,
    pub(super) plane: usize,
    pub(super) factor: Option<Factor<'a>>,
    pub(super) to: &'a mut [f32],
}

impl Kernel for SumOverPlaces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Chunk { grads, places, .. } = *self.chunk;
        for (block, to) in self.to.chunks_mut(I::LANES).enumerate() {
            let start = block * I::LANES;
            let mut sum = isa.load_partial(to);
            match self.factor {
                None => {
                    for place in 0..places.len() {
                        let gradient = &grads.plane(0, place, self.plane)[start..];
                        sum = isa.add(sum, isa.load(gradient));
                    }
                }
                Some(Factor { records, shift, plane }) => {
                    for (place, &(time, rank)) in places.iter().enumerate() {
                        let gradient = &grads.plane(0, place, self.plane)[start..];
                        // SAFETY: the record exists, and nobody writes states and tape on the way back.
                        let factor = unsafe { records.plane(time + shift, rank, plane) };
                        sum = isa.mul_add(isa.load(gradient), isa.load(&factor[start..]), sum);
                    }
                }
            }
            isa.store_partial(to, sum);
        }
    }
}
