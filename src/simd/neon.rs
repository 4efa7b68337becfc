//! Eight floats at a time in two registers of four, with NEON (every 64-bit ARM).
//!
//! **Why pairs.** A register has four floats. A vector of two registers makes everything above it the same as
//! with AVX2: packed weights, the width of a tile, what a single row takes at a time. A single row of four
//! gates has 16 chains then, which cores with four multiply-add ports and a latency of four cycles need;
//! vectors of one register would give it 8. Vectors of four registers would leave room for tiles of one row.
//!
//! **Register budget** (32 registers of four floats): a tile of 3 rows x 4 accumulators takes 24, the three
//! broadcasts of a step of k take 3 (both halves of a vector multiply with one register), and one weight
//! vector at a time takes 2. A tile of three gates has 4 rows x 3 accumulators, which also makes 24, three
//! weight vectors, which take 6, and one broadcast at a time: 31. Narrower tiles of one gate keep to 3 rows:
//! 6 rows x 2 accumulators would be 24 too, but the compiler takes 44 instructions for these, and 39 for a
//! tile of 3 x 4.
//!
//! **Ports.** Per k the tile of four gates does 24 multiply-adds, 4 loads of pairs, 3 of words of the rows
//! (FMLA multiplies with one element of a register, so nothing is broadcast), a prefetch, and 5 instructions
//! of addresses and of the loop: 37, of which 65 % are multiply-adds (`tests/assembly/`). Nothing here was
//! measured on an ARM machine. LLVM 22 has models of the cores, from the optimization guides of their
//! vendors; by these (`llvm-mca -mtriple=aarch64 -mcpu=NAME` on the loop of this tile) it takes
//!
//! | core | FMLA of four floats a cycle | cycles of the tile | multiply-adds in a nanosecond |
//! |---|---|---|---|
//! | Cortex-A55, in order | 1 | 36 | 5 at 1.8 GHz |
//! | Neoverse N1 | 2 | 17 | 17 at 3.0 GHz |
//! | Neoverse N2 | 2 | 12, for its multiply-adds | 24 at 3.0 GHz |
//! | Neoverse V1 | 4 | 6, likewise | 42 at 2.6 GHz |
//! | Neoverse V2 | 4 | 8, for its loads | 40 at 3.3 GHz |
//! | Apple M1 | 4 (the model, of an older core, has 3) | 8 | 38 at 3.2 GHz |
//!
//! FMLA takes four cycles on most of them: 24 chains cover four cycles x four ports one and a half times.
//!
//! **Same bits.** FMLA rounds once, as VFMADD does; the other operations are IEEE's; Rust leaves denormals as
//! they are. FRECPE, FMAX and FMAXNM are not used: estimates, NaN and the signs of zeros would differ from
//! x86-64.
//!
//! **Precisions.** Shifts and masks widen bf16. Bytes are multiplied by SMULL and summed in pairs: seven
//! instructions for a register of sixteen. (SDOT would be one, where the machine has it; its intrinsic is not
//! stable.)

use super::{Isa, Outlined, operations, outlined};
use std::arch::aarch64::*;

/// Proof that this machine has NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, where the machine has every feature that the list names.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }
}

/// The same operation on both registers of vectors. (A macro: a closure that holds vectors may stay a
/// function.)
macro_rules! both {
    ($($v:ident),+ => $half:expr) => {
        float32x4x2_t(
            { $(let $v = $v.0;)+ $half },
            { $(let $v = $v.1;)+ $half },
        )
    };
}

impl Isa for Neon {
    type Vector = float32x4x2_t;
    const LANES: usize = 8;
    const FUSED: bool = true;
    const HEIGHTS: [usize; 5] = [12, 3, 3, 4, 3];
    // Not measured: between the servers' and Apple's figures of the table above.
    const MULTIPLY_ADDS: f64 = 32.0;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Neon(())
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> float32x4x2_t {
        // (Two loads become one of a pair, which has an offset; an LD1 of two registers has none.)
        // SAFETY: `self` proves NEON; by the caller's promise 8 floats are readable.
        unsafe { float32x4x2_t(vld1q_f32(from), vld1q_f32(from.add(4))) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: float32x4x2_t) {
        // SAFETY: `self` proves NEON; by the caller's promise 8 floats are writable.
        unsafe {
            vst1q_f32(to, v.0);
            vst1q_f32(to.add(4), v.1);
        }
    }
    // (NEON has no masked loads and stores.)
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> float32x4x2_t {
        let mut lanes = [0.0; Self::LANES];
        // (Lane by lane: a copy of any length would be a call.)
        for n in 0..Self::LANES {
            if n < from.len() {
                lanes[n] = from[n];
            }
        }
        self.load(&lanes)
    }
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], v: float32x4x2_t) {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        to.copy_from_slice(&lanes[..to.len()]);
    }
    #[inline(always)]
    fn call<W: Outlined<Self>>(self, work: W) -> W::Output {
        // SAFETY: `self` proves all features of the function.
        unsafe { outlined::neon(self, work) }
    }

    const BYTE_OFFSETS: [u8; 2] = [0; 2];
    // (SDOT is not stable.)
    #[inline(always)]
    unsafe fn dot_bytes<const VNNI: bool>(
        self,
        row: float32x4x2_t,
        weights: float32x4x2_t,
        sum: float32x4x2_t,
    ) -> float32x4x2_t {
        // SAFETY: `self` proves NEON.
        unsafe {
            both!(row, weights, sum => {
                let (a, w) = (vreinterpretq_s8_f32(row), vreinterpretq_s8_f32(weights));
                let low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(w)));
                let high = vpaddlq_s16(vmull_high_s8(a, w));
                vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(sum), vpaddq_s32(low, high)))
            })
        }
    }

    #[inline(always)]
    unsafe fn store_upper_halves(self, to: *mut u16, v: float32x4x2_t) {
        // SAFETY: `self` proves NEON; by the caller's promise 8 integers are writable.
        unsafe {
            let low = vshrn_n_u32::<16>(vreinterpretq_u32_f32(v.0));
            vst1q_u16(to, vshrn_high_n_u32::<16>(low, vreinterpretq_u32_f32(v.1)));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: float32x4x2_t) {
        // SAFETY: `self` proves NEON; by the caller's promise 8 bytes are writable.
        unsafe {
            let low = vmovn_u32(vreinterpretq_u32_f32(v.0));
            let halves = vmovn_high_u32(low, vreinterpretq_u32_f32(v.1));
            vst1_u8(to, vmovn_u16(halves));
        }
    }
    #[inline(always)]
    fn most_of_bits(self, a: float32x4x2_t) -> f32 {
        // SAFETY: `self` proves NEON.
        unsafe {
            let most = vmaxq_s32(vreinterpretq_s32_f32(a.0), vreinterpretq_s32_f32(a.1));
            f32::from_bits(vmaxvq_s32(most).cast_unsigned())
        }
    }

    // `max` and `min` give their second operand where either is NaN: no comparison holds for NaN. So a NaN
    // also stays where magnitudes below a limit are cleared.
    operations! {
        fn splat(x: f32) = float32x4x2_t(vdupq_n_f32(x), vdupq_n_f32(x));
        fn add(a, b) = both!(a, b => vaddq_f32(a, b));
        fn sub(a, b) = both!(a, b => vsubq_f32(a, b));
        fn mul(a, b) = both!(a, b => vmulq_f32(a, b));
        fn mul_add(a, b, c) = both!(a, b, c => vfmaq_f32(c, a, b));
        fn neg_mul_add(a, b, c) = both!(a, b, c => vfmsq_f32(c, a, b));
        fn div(a, b) = both!(a, b => vdivq_f32(a, b));
        fn max(a, b) = both!(a, b => vbslq_f32(vcgtq_f32(a, b), a, b));
        fn min(a, b) = both!(a, b => vbslq_f32(vcltq_f32(a, b), a, b));
        fn abs(a) = both!(a => vabsq_f32(a));
        fn with_sign(a, sign) = both!(a, sign => vbslq_f32(vdupq_n_u32(1 << 31), sign, a));
        fn if_greater(x, limit, yes, no) =
            both!(x, limit, yes, no => vbslq_f32(vcgtq_f32(x, limit), yes, no));
        fn flush_below(a, limit: f32) = both!(a => {
            let below = vcaltq_f32(a, vdupq_n_f32(limit));
            vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), below))
        });
        fn exp2_of_shifted(shifted) = both!(shifted => {
            let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(shifted));
            vreinterpretq_f32_u32(vaddq_u32(exponent, vdupq_n_u32(127 << 23)))
        });
        fn recip_seed(magic: u32, a) = both!(a => {
            vreinterpretq_f32_u32(vsubq_u32(vdupq_n_u32(magic), vreinterpretq_u32_f32(a)))
        });
        fn nearest_upper_half(a) = both!(a => {
            let bits = vreinterpretq_u32_f32(a);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let nearest = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(1 << 22));
            let nearest = vbslq_u32(vceqq_f32(a, a), nearest, quiet);
            vreinterpretq_f32_u32(vandq_u32(nearest, vdupq_n_u32(!0xFFFF)))
        });
        fn max_of_bits(a, b) = both!(a, b => {
            vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)))
        });
        fn float_of_int(a) = both!(a => vcvtq_f32_s32(vreinterpretq_s32_f32(a)));
        fn lower_halves(a) = both!(a => vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(a))));
        fn upper_halves(a) = both!(a => {
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(!0xFFFF)))
        });
    }
}
