//! The random generator of the networks of `bits.rs`.

/// SplitMix64.
pub struct Draw(pub u64);

impl Draw {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.bits() >> 33) % n as u64) as usize
    }

    pub fn in_eighths(&mut self, eighths: usize) -> bool {
        self.below(8) < eighths
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn flags(&mut self, n: usize, eighths: usize) -> Vec<bool> {
        (0..n).map(|_| self.in_eighths(eighths)).collect()
    }

    /// Multiples of 2^-23 from -1 to 1, times a power of two.
    pub fn values(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| ((self.bits() >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32 * scale).collect()
    }
}

/// 2^n.
pub fn power(n: i32) -> f32 {
    f32::from_bits(((127 + n) as u32) << 23)
}
