//! The random parts of a step in training: recurrent dropout and zoneout.
//!
//! ```text
//! recurrent dropout    R (h * mask)                     one mask for all steps of a row; h is carried whole
//! zoneout              h'' = h + taken * (h' - h)       taken is 0 or 1, anew for each step, row and unit;
//!                      c'' = c + taken * (c' - c)       without training its mean, 1 - p
//! ```
//!
//! The cell computes h' and c'; the next step sees h'' and c''. h' is computed from c', not from c'' (Krueger
//! et al., *Zoneout*, 2016, arXiv 1606.01305). Backward: `dh' = taken * dh''`, and the rest of dh'' goes to
//! the state before the step.
//!
//! Masks depend only on the seed and the place, and not on tiles, threads or the schedule.

use super::{C, H};
use crate::memory::GridRef;
use crate::rng::{bits_at, uniform_at};
use crate::simd::{Isa, LINE, Outlined};

/// Recurrent dropout: the recurrent weights multiply `h * mask`. The state records have a plane for it,
/// written together with h.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Masks<'a> {
    /// One slot and one plane, by row of the batch.
    pub(crate) factors: GridRef<'a>,
    /// The plane of the state records.
    pub(crate) plane: usize,
}

impl<'a> Masks<'a> {
    /// The plane of the state before a step that the recurrent weights multiply.
    #[inline(always)]
    pub(crate) fn multiplied(masks: Option<Masks<'a>>) -> usize {
        masks.map_or(H, |masks| masks.plane)
    }

    /// The factors of a row of the batch.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        self.factors.plane(0, row, 0)
    }

    /// Sets the masked plane of the state record of a row from its hidden state.
    pub(crate) fn apply(&self, row: usize, record: &mut [f32]) {
        let mask = self.row(row);
        let (state, masked) = record.split_at_mut(self.plane * mask.len());
        for ((masked, h), factor) in masked.iter_mut().zip(state).zip(mask) {
            *masked = *h * factor;
        }
    }
}

/// Zoneout of one direction of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Zoneout {
    /// The probabilities with which h and c keep their old values.
    pub(crate) p: [f32; 2],
    /// The seed of a training pass.
    pub(crate) seed: Option<u64>,
    /// The plane of the state records that has c' before its zoneout, where c has any.
    pub(crate) new_cell_state: usize,
}

impl Zoneout {
    /// The factor `taken` of one unit of the plane H or C, in one row at one step.
    #[inline(always)]
    pub(crate) fn taken_at(&self, plane: usize, (time, row): (usize, usize), unit: usize) -> f32 {
        let p = self.p[plane];
        match self.seed {
            None => 1.0 - p,
            Some(seed) => {
                let stream = bits_at(seed ^ plane as u64, row as u64);
                let index = (time as u64).rotate_left(32) ^ unit as u64;
                if uniform_at(stream, index) < p { 0.0 } else { 1.0 }
            }
        }
    }

    /// The factors `taken` of a vector of units.
    #[inline(always)]
    pub(crate) fn taken<I: Isa>(
        &self,
        isa: I,
        plane: usize,
        place: (usize, usize),
        unit: usize,
    ) -> I::Vector {
        isa.call(Taken { zoneout: self, plane, place, unit })
    }

    /// `taken * new + (1 - taken) * old`. In training that is exactly one of the two, if both are finite.
    #[inline(always)]
    pub(crate) fn blend<I: Isa>(isa: I, taken: I::Vector, new: I::Vector, old: I::Vector) -> I::Vector {
        let kept = isa.mul(isa.sub(isa.splat(1.0), taken), old);
        isa.mul_add(taken, new, kept)
    }

    /// Planes that zoneout adds to a state record.
    pub(crate) fn planes(zoneout: Option<Zoneout>) -> usize {
        // (The plane is compared, and not the probability: the compiler compares before it knows that there
        // is zoneout, and without one the float in that place might be a denormal.)
        usize::from(zoneout.is_some_and(|zoneout| zoneout.new_cell_state != C))
    }
}

/// The arguments of [`Zoneout::taken`]. Random numbers are long code, for every cell the same.
struct Taken<'a> {
    zoneout: &'a Zoneout,
    plane: usize,
    place: (usize, usize),
    unit: usize,
}

impl<I: Isa> Outlined<I> for Taken<'_> {
    type Output = I::Vector;

    #[inline(always)]
    fn run(self, isa: I) -> I::Vector {
        let mut taken = [0.0; LINE];
        for lane in 0..I::LANES {
            taken[lane] = self.zoneout.taken_at(self.plane, self.place, self.unit + lane);
        }
        isa.load(&taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zoneout(p: f32, seed: Option<u64>) -> Zoneout {
        Zoneout { p: [p, p], seed, new_cell_state: 2 }
    }

    #[test]
    fn without_a_seed_zoneout_is_its_mean() {
        assert_eq!(zoneout(0.25, None).taken_at(H, (3, 1), 7), 0.75);
    }

    #[test]
    fn zoneout_keeps_a_share_of_p_everywhere() {
        // A seed with every bit set: the values that are mixed into it must still make a difference.
        let zoneout = zoneout(0.25, Some(u64::MAX));
        let kept = |places: &dyn Fn(usize) -> (usize, (usize, usize), usize)| {
            let draw = |n| {
                let (plane, place, unit) = places(n);
                zoneout.taken_at(plane, place, unit)
            };
            (0..4000)
                .map(draw)
                .inspect(|taken| assert!([0.0, 1.0].contains(taken)))
                .map(|taken| 1.0 - taken)
                .sum::<f32>()
        };
        // 1000 expected, with a standard deviation of 27, whichever way the places run.
        for kept in [kept(&|n| (H, (n, 1), 7)), kept(&|n| (H, (3, n), 7)), kept(&|n| (C, (3, 1), n))] {
            assert!((850.0..1150.0).contains(&kept), "{kept}");
        }
        // Two planes, rows, steps or units agree as often as strangers do: 0.25^2 + 0.75^2 of the time, 2500.
        let agree = |one: &dyn Fn(usize) -> f32, other: &dyn Fn(usize) -> f32| {
            (0..4000).filter(|&n| one(n) == other(n)).count()
        };
        let of = |plane, time, row| move |unit| zoneout.taken_at(plane, (time, row), unit);
        for count in [
            agree(&of(H, 3, 1), &of(C, 3, 1)),
            agree(&of(H, 3, 1), &of(H, 4, 1)),
            agree(&of(H, 3, 1), &of(H, 3, 2)),
            agree(&of(H, 3, 1), &|unit| zoneout.taken_at(H, (3, 1), unit + 1)),
        ] {
            assert!((2350..2650).contains(&count), "{count}");
        }
    }

    #[test]
    fn a_number_equal_to_p_is_not_below_it() {
        let index = (3u64 << 32) ^ 7;
        let drawn = uniform_at(bits_at(5, 1), index);
        assert_eq!(zoneout(drawn, Some(5)).taken_at(H, (3, 1), 7), 1.0);
        assert_eq!(zoneout(drawn.next_up(), Some(5)).taken_at(H, (3, 1), 7), 0.0);
    }
}
