//! Values that are too small to matter count as zero.
//!
//! Below 1.2e-38 a float is denormal, and arithmetic on it is tens or hundreds of times slower on many
//! processors. A value that decays, as the state of a stream that has fallen silent, would get there and
//! stay. So nothing below [`FLUSH`] in magnitude is multiplied:
//!
//! ```text
//! stored     states, gradients of states and of gates    flush, a vector at a time
//! packed     weights, biases, peepholes, gains           flushed, a float at a time
//! read       the sequence that a caller gives            flushed copies, where has_tiny finds any
//!            gradients of outputs                        flush, a vector at a time
//! ```
//!
//! NaN and infinities stay as they are, and so does an initial state.

use super::{Dispatched, Isa, LINE, Token, dispatch};

/// The magnitude below which a value counts as zero. A product of such a value with a weight of 1e-8 is still
/// a normal float.
pub(crate) const FLUSH: f32 = 1e-30;

/// `v`, with zero in place of every magnitude below [`FLUSH`].
#[inline(always)]
pub(crate) fn flush<I: Isa>(isa: I, v: I::Vector) -> I::Vector {
    isa.flush_below(v, FLUSH)
}

/// `x`, or zero where its magnitude is below [`FLUSH`].
#[inline(always)]
pub(crate) fn flushed(x: f32) -> f32 {
    if x.abs() < FLUSH { 0.0 } else { x }
}

/// Whether a magnitude is below [`FLUSH`] and not zero: by its bits, which order magnitudes as numbers do.
#[inline(always)]
fn is_tiny(x: f32) -> bool {
    (x.to_bits() & 0x7FFF_FFFF).wrapping_sub(1) < FLUSH.to_bits() - 1
}

/// Copies floats, with zero in place of every magnitude below [`FLUSH`].
pub(crate) fn copy_flushed(from: &[f32], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = flushed(from);
    }
}

/// Most steps of streams have fewer floats.
const FEW: usize = 256;

/// Whether a magnitude in these floats is below [`FLUSH`] and not zero.
#[inline]
pub(crate) fn has_tiny(token: Token, floats: &[f32]) -> bool {
    match floats {
        &[x] => is_tiny(x),
        // For so few floats, the call of the level would take longer than the search.
        _ if floats.len() < FEW => few_have_tiny(floats),
        _ => dispatch(token, HasTiny(floats)),
    }
}

/// The same of a few, without a branch for each of them. (Its constants are its own: in its caller's loops
/// they were loaded for nothing.)
#[inline(never)]
fn few_have_tiny(floats: &[f32]) -> bool {
    floats.iter().fold(false, |any, &x| any | is_tiny(x))
}

struct HasTiny<'a>(&'a [f32]);

/// Vectors that are looked at together: a minimum takes four cycles, and has to wait for the one before.
const VECTORS: usize = 4;

impl Dispatched for HasTiny<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> bool {
        // Where there are zeros, the smallest magnitude does not tell.
        are_small(isa, self.0) && self.0.iter().any(|&x| is_tiny(x))
    }
}

/// Whether a magnitude is below [`FLUSH`], be it zero. NaN does not count.
#[inline(always)]
fn are_small<I: Isa>(isa: I, slice: &[f32]) -> bool {
    let mut least = [isa.splat(1.0); VECTORS];
    let mut group = slice.chunks_exact(VECTORS * I::LANES);
    for group in &mut group {
        for n in 0..VECTORS {
            least[n] = isa.min(isa.abs(isa.load(&group[n * I::LANES..])), least[n]);
        }
    }
    let mut vectors = group.remainder().chunks_exact(I::LANES);
    for vector in &mut vectors {
        least[0] = isa.min(isa.abs(isa.load(vector)), least[0]);
    }
    let [a, b, c, d] = least;
    let mut lanes = [1.0; LINE];
    isa.store(&mut lanes, isa.min(isa.min(a, b), isa.min(c, d)));
    let rest = vectors.remainder().iter().fold(false, |any, &x| any | (x.abs() < FLUSH));
    lanes.iter().fold(rest, |any, &lane| any | (lane < FLUSH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    const KEPT: [f32; 7] = [0.0, -0.0, 1e-30, -1.1e-30, 1.0, f32::NEG_INFINITY, f32::NAN];
    const TINY: [f32; 5] = [9.9e-31, -9.9e-31, 1e-38, -1e-40, 1e-45];

    #[test]
    fn a_tiny_value_is_found_wherever_it_stands() {
        for level in Level::available() {
            let token = level.token().unwrap();
            for len in (0..150).chain([255, 256, 257, 300]) {
                let mut floats: Vec<f32> = (0..len).map(|n| KEPT[n % KEPT.len()]).collect();
                assert!(!has_tiny(token, &floats), "{level}, {len}");
                for place in 0..len {
                    let kept = std::mem::replace(&mut floats[place], TINY[place % TINY.len()]);
                    assert!(has_tiny(token, &floats), "{level}, {place} of {len}");
                    floats[place] = kept;
                }
            }
        }
    }

    #[test]
    fn what_is_tiny_becomes_zero_and_the_rest_stays() {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        let mut copy = [7.0; KEPT.len()];
        copy_flushed(&KEPT, &mut copy);
        assert_eq!(bits(&copy)[2..], bits(&KEPT)[2..]);
        assert!(copy[..2].iter().chain(&TINY.map(flushed)).all(|&value| value == 0.0));
    }
}
