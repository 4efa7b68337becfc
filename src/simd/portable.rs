//! The level that every machine has, over `wide`: SSE2, NEON or simd128, whichever the crate was compiled
//! for, or plain scalars.
//!
//! `wide` chooses its instructions when it is compiled: in a default build it gives 128-bit code even inside
//! a function with AVX2 enabled. So AVX has levels of its own.
//!
//! Products are rounded before they are added, also where the machine could fuse, so that this level
//! gives the same bits on every architecture.
//!
//! **Register budget** (SSE2, 16 registers of four floats): a tile of 3 rows x 4 accumulators takes 12,
//! a weight vector, a broadcast and a product take the rest but one.

use super::{Isa, Outlined, outlined};
use wide::{f32x4, i16x8, i32x4, u16x8, u32x4};

/// The instructions that the crate was compiled for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Portable {
    /// The proof, which every machine gives.
    pub(super) fn detect() -> Option<Self> {
        Some(Portable)
    }
}

const SIGN: u32 = 0x8000_0000;

#[inline(always)]
fn bits(v: f32x4) -> u32x4 {
    bytemuck::cast(v)
}

#[inline(always)]
fn from_bits(v: u32x4) -> f32x4 {
    bytemuck::cast(v)
}

impl Isa for Portable {
    type Vector = f32x4;
    const LANES: usize = 4;
    const FUSED: bool = false;
    const HEIGHTS: [usize; 5] = [8, 3, 3, 3, 3];
    const MULTIPLY_ADDS: f64 = 8.0;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Portable
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x4 {
        f32x4::splat(x)
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> f32x4 {
        // SAFETY: by the caller's promise four floats are readable; an array of f32 needs no more
        // alignment than an f32.
        f32x4::from(unsafe { *from.cast::<[f32; 4]>() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: f32x4) {
        // SAFETY: by the caller's promise four floats are writable; an array of f32 needs no more
        // alignment than an f32.
        unsafe { *to.cast::<[f32; 4]>() = v.to_array() }
    }
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> f32x4 {
        let mut lanes = [0.0; 4];
        // (Lane by lane: a copy of any length would be a call.)
        for n in 0..4 {
            if n < from.len() {
                lanes[n] = from[n];
            }
        }
        f32x4::from(lanes)
    }
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], v: f32x4) {
        to.copy_from_slice(&v.to_array()[..to.len()]);
    }
    #[inline(always)]
    fn add(self, a: f32x4, b: f32x4) -> f32x4 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x4, b: f32x4) -> f32x4 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x4, b: f32x4) -> f32x4 {
        a * b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        a * b + c
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        c - a * b
    }
    #[inline(always)]
    fn div(self, a: f32x4, b: f32x4) -> f32x4 {
        a / b
    }
    #[inline(always)]
    fn max(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_gt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn min(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_lt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn abs(self, a: f32x4) -> f32x4 {
        from_bits(bits(a) & u32x4::splat(!SIGN))
    }
    #[inline(always)]
    fn with_sign(self, a: f32x4, sign: f32x4) -> f32x4 {
        from_bits(bits(a) | (bits(sign) & u32x4::splat(SIGN)))
    }
    #[inline(always)]
    fn if_greater(self, x: f32x4, limit: f32x4, yes: f32x4, no: f32x4) -> f32x4 {
        x.simd_gt(limit).bitselect(yes, no)
    }
    #[inline(always)]
    fn flush_below(self, a: f32x4, limit: f32) -> f32x4 {
        self.abs(a).simd_lt(f32x4::splat(limit)).bitselect(f32x4::splat(0.0), a)
    }
    #[inline(always)]
    fn exp2_of_shifted(self, shifted: f32x4) -> f32x4 {
        from_bits((bits(shifted) << 23) + u32x4::splat(127 << 23))
    }
    #[inline(always)]
    fn recip_seed(self, magic: u32, a: f32x4) -> f32x4 {
        from_bits(u32x4::splat(magic) - bits(a))
    }
    const BYTE_OFFSETS: [u8; 2] = [128; 2];
    #[inline(always)]
    unsafe fn dot_bytes<const VNNI: bool>(self, row: f32x4, weights: f32x4, sum: f32x4) -> f32x4 {
        // The even and the odd bytes as integers of 16 bits, whose products are summed in pairs.
        let (row, weights): (u16x8, i16x8) = (bytemuck::cast(row), bytemuck::cast(weights));
        let even: i16x8 = bytemuck::cast(row & u16x8::splat(0xFF));
        let odd: i16x8 = bytemuck::cast(row >> 8);
        let pairs = even.dot((weights << 8) >> 8) + odd.dot(weights >> 8);
        let sum: i32x4 = bytemuck::cast(sum);
        bytemuck::cast(sum + pairs)
    }
    #[inline(always)]
    fn float_of_int(self, a: f32x4) -> f32x4 {
        let a: i32x4 = bytemuck::cast(a);
        a.round_float()
    }
    #[inline(always)]
    fn nearest_upper_half(self, a: f32x4) -> f32x4 {
        let odd = (bits(a) >> 16) & u32x4::splat(1);
        let nearest = from_bits(bits(a) + odd + u32x4::splat(0x7FFF));
        let quiet = from_bits(bits(a) | u32x4::splat(1 << 22));
        self.upper_halves(a.simd_eq(a).bitselect(nearest, quiet))
    }
    #[inline(always)]
    unsafe fn store_upper_halves(self, to: *mut u16, v: f32x4) {
        let halves = bits(v).to_array().map(|bits| (bits >> 16) as u16);
        // SAFETY: by the caller's promise four integers are writable, of which an array needs no more
        // alignment than one.
        unsafe { *to.cast::<[u16; 4]>() = halves }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: f32x4) {
        let bytes = bits(v).to_array().map(|bits| bits as u8);
        // SAFETY: by the caller's promise four bytes are writable; an array of them needs no alignment.
        unsafe { *to.cast::<[u8; 4]>() = bytes }
    }
    #[inline(always)]
    fn max_of_bits(self, a: f32x4, b: f32x4) -> f32x4 {
        let (a, b): (i32x4, i32x4) = (bytemuck::cast(a), bytemuck::cast(b));
        bytemuck::cast(a.max(b))
    }
    #[inline(always)]
    fn most_of_bits(self, a: f32x4) -> f32 {
        let [a, b, c, d] = bytemuck::cast::<f32x4, [i32; 4]>(a);
        f32::from_bits(a.max(b).max(c.max(d)).cast_unsigned())
    }
    #[inline(always)]
    fn lower_halves(self, a: f32x4) -> f32x4 {
        from_bits(bits(a) << 16)
    }
    #[inline(always)]
    fn upper_halves(self, a: f32x4) -> f32x4 {
        from_bits(bits(a) & u32x4::splat(!0xFFFF))
    }
    #[inline(always)]
    fn call<W: Outlined<Self>>(self, work: W) -> W::Output {
        // SAFETY: every machine has this level.
        unsafe { outlined::portable(self, work) }
    }
}
