//! Random numbers that depend on a seed and a position alone.
//!
//! A counter-based generator: the n-th number of a stream is a hash of `(seed, n)`. So a dropout mask
//! is the same whatever thread draws it, in whatever order, and a run is reproducible from its seed.
//! The hash is the finaliser of SplitMix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number
//! generators*, OOPSLA 2014), applied twice so that neighbouring seeds give unrelated streams.
//! Not for cryptography.

/// A stream of random numbers, reproducible from its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    next: u64,
}

/// The Weyl increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `index`-th 64 bits of the stream `seed`.
#[inline(always)]
pub(crate) fn bits_at(seed: u64, index: u64) -> u64 {
    mix(mix(seed.wrapping_add(GOLDEN)).wrapping_add(index.wrapping_mul(GOLDEN)))
}

/// The uniform number in `[0, 1)`, a multiple of 2^-24, that 64 random bits make.
#[inline(always)]
fn uniform_of(bits: u64) -> f32 {
    (bits >> 40) as f32 * (1.0 / (1u64 << 24) as f32)
}

/// The `index`-th uniform number of the stream `seed`, in `[0, 1)`, a multiple of 2^-24.
#[inline(always)]
pub(crate) fn uniform_at(seed: u64, index: u64) -> f32 {
    uniform_of(bits_at(seed, index))
}

/// The factor of element `index` in the dropout mask `seed`: 0 with probability `p`, which lies in
/// `[0, 1]`, else `1 / (1 - p)`. Probabilities are resolved to 2^-24.
#[inline(always)]
pub(crate) fn dropout_scale(seed: u64, index: u64, p: f32) -> f32 {
    // Uniform in [0, 1): with p = 0 nothing is dropped, with p = 1 all, and 1 / 0 is never taken.
    if uniform_at(seed, index) < p { 0.0 } else { 1.0 / (1.0 - p) }
}

impl Rng {
    /// The stream of this seed, from its beginning.
    pub fn new(seed: u64) -> Self {
        Rng { seed, next: 0 }
    }

    /// An unrelated stream, named by a number: for the layers of a stack, the epochs of a run.
    pub fn fork(&self, stream: u64) -> Self {
        Rng::new(bits_at(self.seed ^ 0xD1B5_4A32_D192_ED03, stream))
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let bits = bits_at(self.seed, self.next);
        self.next += 1;
        bits
    }

    /// A uniform number from `low` to `high`, in 2^24 equal steps: below `high`, unless rounding to f32
    /// reaches it (in `0..1` and `-1..1` it does not).
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * uniform_of(self.bits())
    }

    /// Fills a slice with such numbers. (It is not inlined, because its loop is long code.)
    #[inline(never)]
    pub(crate) fn fill_uniform(&mut self, to: &mut [f32], low: f32, high: f32) {
        to.fill_with(|| self.uniform(low, high));
    }

    /// A number of the normal distribution with mean 0 and variance 1, by the Box-Muller transform.
    // (Not inlined either: loops around it are unrolled.)
    #[inline(never)]
    pub fn normal(&mut self) -> f32 {
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        let u = 1.0 - (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        let v = (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// A uniform integer in `0..n` (0 where `n` is 0), without the bias of a remainder.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Puts a slice into a uniformly random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn streams_are_reproducible_and_differ() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..8).map(|_| rng.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(Rng::new(1).fork(0), Rng::new(1).fork(1));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::new(7);
        let n = 200_000;
        let (mut sum, mut square) = (0.0f64, 0.0f64);
        for _ in 0..n {
            let x = f64::from(rng.normal());
            sum += x;
            square += x * x;
        }
        assert!((sum / n as f64).abs() < 0.01);
        assert_abs_diff_eq!(square / n as f64, 1.0, epsilon = 0.02);
        let mean = (0..n).map(|_| f64::from(rng.uniform(-1.0, 3.0))).sum::<f64>() / n as f64;
        assert_abs_diff_eq!(mean, 1.0, epsilon = 0.02);
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..97).collect();
        Rng::new(3).shuffle(&mut items);
        assert_ne!(items, (0..97).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..97).collect::<Vec<_>>());
        assert_eq!(Rng::new(3).below(0), 0);
    }
}
