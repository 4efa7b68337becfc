//! Sixteen floats at a time with AVX-512 F, BW, DQ and VL (every server core since Skylake-SP, Zen 4).
//!
//! **Register budget** (32 registers of sixteen floats): a tile of 6 rows x 4 accumulators takes 24, the four
//! weight vectors of a step of k take 4, a broadcast 1; three are left for the scheduler. A tile of three
//! gates has 8 rows x 3 accumulators, which also makes 24. With 6 rows it would have a quarter fewer chains,
//! and read the weights for every six rows instead of eight (`X207/gru-heights` of `benches/record/`: 1.03 to
//! 1.17 times as fast as 6 rows).
//!
//! **Ports**: per k the tile does 24 multiply-adds and 10 loads (4 weight vectors, 6 broadcasts). At two
//! multiply-adds a cycle (ports 0+1 and 5 on Intel servers) that is 12 cycles for 10 of 24 load slots;
//! on Zen 4 each 512-bit operation issues as two halves, 24 cycles. 24 chains cover the latency of 4
//! cycles x 2 ports three times over. The weights stream at 256 bytes per 12 cycles, 21 a cycle, which
//! a level-2 cache delivers.
//!
//! **Share of the limit** (measurements of `benches/record/README.md`). This tile alone reaches 171 of 178 to
//! 186 GFLOP/s with weights in the level-1 cache (`X207/peak`, `X207/tile`), and nearly as much from the
//! level-2 cache, or from farther away where the next block is prefetched. Forward of an LSTM reaches 84 to
//! 88 % of the peak (`X207/share`). Tiles of 12 x 2 and 8 x 2 read half of the weights at a time; they are
//! level with 6 x 4 and 4 x 4 (`X207/tile-shapes`).

use super::{Isa, Outlined, operations, outlined};
use std::arch::x86_64::*;

/// Proof that this machine has AVX-512 F, BW, DQ, VL, AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, where the machine has every feature that the list names.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Avx512(()))
    }
}

/// The mask of the first `n` lanes, `n` at most 16.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

impl Isa for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    const FUSED: bool = true;
    const HEIGHTS: [usize; 5] = [12, 8, 8, 8, 6];
    // Faster where neighbours slow the caches down. Probably because each load instruction then goes on by
    // twice as many bytes, and with it the processor's prefetcher, which follows instructions. Four words at
    // a time are slower. (`X207/words`)
    const WORDS: usize = 2;
    // X207 of `benches/record/`, at 2.9 GHz.
    const MULTIPLY_ADDS: f64 = 75.0;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Avx512(())
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; by the caller's promise 16 floats are readable.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: __m512) {
        // SAFETY: `self` proves AVX-512 F; by the caller's promise 16 floats are writable.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> __m512 {
        let from = &from[..from.len().min(16)];
        // SAFETY: `self` proves AVX-512 F; masked lanes are not read, the others lie in the slice.
        unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
    }
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], v: __m512) {
        let n = to.len().min(16);
        // SAFETY: `self` proves AVX-512 F; masked lanes are not written, the others lie in the slice.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(n), v) }
    }
    #[inline(always)]
    fn call<W: Outlined<Self>>(self, work: W) -> W::Output {
        // SAFETY: `self` proves all features of the function.
        unsafe { outlined::avx512(self, work) }
    }

    const BYTE_OFFSETS: [u8; 2] = [128; 2];
    #[inline(always)]
    unsafe fn dot_bytes<const VNNI: bool>(self, row: __m512, weights: __m512, sum: __m512) -> __m512 {
        // SAFETY: `self` proves the instructions of the level, the caller promises VNNI where it is used.
        unsafe {
            // (Not by a closure, which may stay a function.)
            let (row, weights) = (_mm512_castps_si512(row), _mm512_castps_si512(weights));
            let sum = _mm512_castps_si512(sum);
            let sum = if VNNI {
                _mm512_dpbusd_epi32(sum, row, weights)
            } else {
                // The even and the odd bytes as integers of 16 bits, whose products are summed in pairs.
                let even = _mm512_madd_epi16(
                    _mm512_and_si512(row, _mm512_set1_epi16(0xFF)),
                    _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(weights)),
                );
                let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(row), _mm512_srai_epi16::<8>(weights));
                _mm512_add_epi32(sum, _mm512_add_epi32(even, odd))
            };
            _mm512_castsi512_ps(sum)
        }
    }

    #[inline(always)]
    unsafe fn store_upper_halves(self, to: *mut u16, v: __m512) {
        // SAFETY: `self` proves AVX-512 F; by the caller's promise 16 integers are writable.
        unsafe {
            let halves = _mm512_srli_epi32::<16>(_mm512_castps_si512(v));
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(halves));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: __m512) {
        // SAFETY: `self` proves AVX-512 F; by the caller's promise 16 bytes are writable.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(v))) }
    }
    #[inline(always)]
    fn most_of_bits(self, a: __m512) -> f32 {
        // (Not by an intrinsic, whose integer goes to a register of its own kind and back.)
        // SAFETY: `self` proves AVX-512 F and AVX2.
        unsafe {
            let a = _mm512_castps_si512(a);
            let a = _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a));
            let a = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let a = _mm_max_epi32(a, _mm_shuffle_epi32::<0b_01_00_11_10>(a));
            let a = _mm_max_epi32(a, _mm_shuffle_epi32::<0b_10_11_00_01>(a));
            _mm_cvtss_f32(_mm_castsi128_ps(a))
        }
    }

    // `max` and `min` give their second operand where either is NaN. The comparison "not less than" is true
    // for NaN, so NaN stays.
    operations! {
        fn splat(x: f32) = _mm512_set1_ps(x);
        fn add(a, b) = _mm512_add_ps(a, b);
        fn sub(a, b) = _mm512_sub_ps(a, b);
        fn mul(a, b) = _mm512_mul_ps(a, b);
        fn mul_add(a, b, c) = _mm512_fmadd_ps(a, b, c);
        fn neg_mul_add(a, b, c) = _mm512_fnmadd_ps(a, b, c);
        fn div(a, b) = _mm512_div_ps(a, b);
        fn max(a, b) = _mm512_max_ps(a, b);
        fn min(a, b) = _mm512_min_ps(a, b);
        fn abs(a) = _mm512_abs_ps(a);
        fn with_sign(a, sign) = _mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0)));
        fn if_greater(x, limit, yes, no) =
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, limit), no, yes);
        fn flush_below(a, limit: f32) = {
            let keep = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(a), _mm512_set1_ps(limit));
            _mm512_maskz_mov_ps(keep, a)
        };
        fn exp2_of_shifted(shifted) = {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(127 << 23)))
        };
        fn recip_seed(magic: u32, a) = {
            let magic = _mm512_set1_epi32(magic.cast_signed());
            _mm512_castsi512_ps(_mm512_sub_epi32(magic, _mm512_castps_si512(a)))
        };
        fn nearest_upper_half(a) = {
            let bits = _mm512_castps_si512(a);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            let nearest = _mm512_mask_or_epi32(nearest, is_nan, bits, _mm512_set1_epi32(1 << 22));
            _mm512_castsi512_ps(_mm512_and_si512(nearest, _mm512_set1_epi32(!0xFFFF)))
        };
        fn max_of_bits(a, b) =
            _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
        fn float_of_int(a) = _mm512_cvtepi32_ps(_mm512_castps_si512(a));
        fn lower_halves(a) = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(a)));
        fn upper_halves(a) =
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(!0xFFFF)));
    }
}
