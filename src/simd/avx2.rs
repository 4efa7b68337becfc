//! Eight floats at a time with AVX2 and FMA (every desktop and server core since Haswell and Zen).
//!
//! **Register budget** (16 registers of eight floats): a tile of 3 rows x 4 accumulators takes 12, the three
//! broadcasts of a step of k take 3, and one weight vector at a time takes the last. A tile of three gates
//! has 4 rows x 3 accumulators, which also makes 12, three weight vectors, and one broadcast at a time (1.09
//! to 1.21 times as fast as 3 rows: `X207/gru-heights` of `benches/record/`). A single row has 12 accumulators
//! too, one broadcast, and takes its weights from memory as it multiplies.
//!
//! **Ports**: per k the tile does 12 multiply-adds and 7 loads (4 weight vectors, 3 broadcasts). At two
//! multiply-adds a cycle that is 6 cycles for 7 of 12 load slots; 12 chains cover the latency of 4 cycles
//! x 2 ports one and a half times. The weights stream at 128 bytes per 6 cycles, 21 a cycle.

use super::{Isa, Outlined, operations, outlined};
use std::arch::x86_64::*;

/// Proof that this machine has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, where the machine has every feature that the list names.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// A mask of the first `n` lanes: masked loads and stores look at the sign bit. The window of eight that
/// starts at `8 - n` has `n` ones.
#[inline(always)]
fn first(_: Avx2, n: usize) -> __m256i {
    const WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let window = &WINDOW[8 - n.min(8)..][..8];
    // SAFETY: the argument proves AVX; eight integers are readable.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

impl Isa for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const FUSED: bool = true;
    const HEIGHTS: [usize; 5] = [12, 4, 4, 4, 3];
    // Half of the figure in `avx512.rs`, for the same machine.
    const MULTIPLY_ADDS: f64 = 38.0;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Avx2(())
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> __m256 {
        // SAFETY: `self` proves AVX; by the caller's promise 8 floats are readable.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: __m256) {
        // SAFETY: `self` proves AVX; by the caller's promise 8 floats are writable.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> __m256 {
        // SAFETY: `self` proves AVX; masked lanes are not read, the others lie in the slice.
        unsafe { _mm256_maskload_ps(from.as_ptr(), first(self, from.len())) }
    }
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], v: __m256) {
        // SAFETY: `self` proves AVX; masked lanes are not written, the others lie in the slice.
        unsafe { _mm256_maskstore_ps(to.as_mut_ptr(), first(self, to.len()), v) }
    }
    #[inline(always)]
    fn call<W: Outlined<Self>>(self, work: W) -> W::Output {
        // SAFETY: `self` proves all features of the function.
        unsafe { outlined::avx2(self, work) }
    }

    const BYTE_OFFSETS: [u8; 2] = [0, 128];
    #[inline(always)]
    unsafe fn dot_bytes<const VNNI: bool>(self, row: __m256, weights: __m256, sum: __m256) -> __m256 {
        // SAFETY: `self` proves the instructions of the level, the caller promises VNNI where it is used.
        unsafe {
            // (Not by a closure, which may stay a function.)
            let (row, weights) = (_mm256_castps_si256(row), _mm256_castps_si256(weights));
            let sum = _mm256_castps_si256(sum);
            let sum = if VNNI {
                _mm256_dpbusd_avx_epi32(sum, row, weights)
            } else {
                // Magnitudes of the weights by the row with their signs: two such products are at most
                // 2 * 128 * 127, which 16 bits have, so nothing saturates.
                let (magnitudes, signed) = (_mm256_abs_epi8(weights), _mm256_sign_epi8(row, weights));
                let pairs = _mm256_maddubs_epi16(magnitudes, signed);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            };
            _mm256_castsi256_ps(sum)
        }
    }

    #[inline(always)]
    unsafe fn store_upper_halves(self, to: *mut u16, v: __m256) {
        // SAFETY: `self` proves AVX2; by the caller's promise 8 integers are writable.
        unsafe {
            let halves = _mm256_srli_epi32::<16>(_mm256_castps_si256(v));
            let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            _mm_storeu_si128(to.cast(), _mm_packus_epi32(low, high));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: __m256) {
        // SAFETY: `self` proves AVX2; by the caller's promise 8 bytes are writable.
        unsafe {
            let v = _mm256_castps_si256(v);
            let lowest = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
            let low = _mm_shuffle_epi8(_mm256_castsi256_si128(v), lowest);
            let high = _mm_shuffle_epi8(_mm256_extracti128_si256::<1>(v), lowest);
            _mm_storel_epi64(to.cast(), _mm_unpacklo_epi32(low, high));
        }
    }
    #[inline(always)]
    fn most_of_bits(self, a: __m256) -> f32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let a = _mm256_castps_si256(a);
            let a = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let a = _mm_max_epi32(a, _mm_shuffle_epi32::<0b_01_00_11_10>(a));
            let a = _mm_max_epi32(a, _mm_shuffle_epi32::<0b_10_11_00_01>(a));
            _mm_cvtss_f32(_mm_castsi128_ps(a))
        }
    }

    // `max` and `min` give their second operand where either is NaN. The comparison "not less than" is true
    // for NaN, so NaN stays.
    operations! {
        fn splat(x: f32) = _mm256_set1_ps(x);
        fn add(a, b) = _mm256_add_ps(a, b);
        fn sub(a, b) = _mm256_sub_ps(a, b);
        fn mul(a, b) = _mm256_mul_ps(a, b);
        fn mul_add(a, b, c) = _mm256_fmadd_ps(a, b, c);
        fn neg_mul_add(a, b, c) = _mm256_fnmadd_ps(a, b, c);
        fn div(a, b) = _mm256_div_ps(a, b);
        fn max(a, b) = _mm256_max_ps(a, b);
        fn min(a, b) = _mm256_min_ps(a, b);
        fn abs(a) = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        fn with_sign(a, sign) = _mm256_or_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0)));
        fn if_greater(x, limit, yes, no) = _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(x, limit));
        fn flush_below(a, limit: f32) = {
            let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(magnitude, _mm256_set1_ps(limit)), a)
        };
        fn exp2_of_shifted(shifted) = {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(127 << 23)))
        };
        fn recip_seed(magic: u32, a) = {
            let magic = _mm256_set1_epi32(magic.cast_signed());
            _mm256_castsi256_ps(_mm256_sub_epi32(magic, _mm256_castps_si256(a)))
        };
        fn nearest_upper_half(a) = {
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(1 << 22));
            let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
            let nearest = _mm256_blendv_epi8(nearest, quiet, is_nan);
            _mm256_castsi256_ps(_mm256_and_si256(nearest, _mm256_set1_epi32(!0xFFFF)))
        };
        fn max_of_bits(a, b) =
            _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
        fn float_of_int(a) = _mm256_cvtepi32_ps(_mm256_castps_si256(a));
        fn lower_halves(a) = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(a)));
        fn upper_halves(a) = _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(!0xFFFF)));
    }
}
