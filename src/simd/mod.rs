//! What a vector is, on each level of the machine.
//!
//! A kernel is written once, generic over [`Isa`], and compiled once per level. Which level runs is
//! decided when the program runs, not when it is compiled:
//!
//! ```text
//! Level (a name, public)  --detected-->  Token (proof that the machine has it)
//!                                          |
//! dispatcher!   token, Dispatched  --match-->  a #[target_feature] trampoline  -->  work.run(isa)
//! pointers!     token, Routine     --match-->  a pointer to such a trampoline, called later and often
//! ```
//!
//! ```text
//! list.rs       the list of levels, a line each, and how their files write operations
//! level.rs      Level and Token: names and detection, from the list
//! trampolines.rs   the macros dispatcher! and pointers!, which compile code for every level
//! flush.rs      values that are too small to matter
//! portable.rs avx2.rs avx512.rs neon.rs    a level each: its vectors, the heights of its tiles, what it
//!               costs
//! ```
//!
//! The zero-sized types [`Portable`], `Avx2`, `Avx512` and `Neon` can be made only where detection has found
//! their instructions; that is what makes their methods safe to call.
//!
//! **Inlining rule.** Everything that a kernel calls with an `isa` must be `#[inline(always)]`. A function
//! that is not inlined is outside the trampoline and has none of its features: its vector code becomes calls
//! and spills, without a warning. ([`Isa::call`] makes a separate function that has the features.) For the
//! same reason kernels use plain loops and no closures.
//!
//! **Same bits.** `Avx2`, `Avx512` and `Neon` fuse multiply and add and run the same chains, so that they
//! give the same bits. `Portable` rounds the product first, on every machine, and differs in the last bits;
//! it gives the same bits on every architecture.

mod flush;
mod level;
mod list;
mod trampolines;

pub(crate) use flush::{FLUSH, copy_flushed, flush, flushed, has_tiny};
pub use level::Level;
pub(crate) use level::Token;
pub(crate) use list::levels;
#[allow(unused_imports, reason = "the portable level, the only one of some architectures, has none")]
pub(crate) use list::{operand, operations};
pub(crate) use trampolines::{define_dispatcher, define_pointers, dispatcher, pointers};

macro_rules! define_modules {
    ([] $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        $(
            #[cfg($cfg)]
            mod $file;
            #[cfg($cfg)]
            pub(crate) use $file::$Level;
        )*

        /// [`Isa::call`] of each level: a function of its own with the level's features.
        mod outlined {
            $(
                /// Does the work.
                ///
                /// # Safety
                /// - The machine has the level; `isa` proves it.
                #[cfg($cfg)]
                #[inline(never)]
                $(#[target_feature(enable = $features)])?
                pub(super) unsafe fn $file<W: super::Outlined<super::$Level>>(
                    isa: super::$Level,
                    work: W,
                ) -> W::Output {
                    work.run(isa)
                }
            )*
        }
    };
}

levels! { [define_modules] }

dispatcher!(pub(crate) dispatch);

/// Floats in one cache line, and in the widest vector of any level. Every buffer of the crate is aligned to
/// it and every row is padded to it, so that state and tape do not depend on the level.
pub(crate) const LINE: usize = 16;

/// One set of vector instructions: the operations that the kernels need.
///
/// Implementors are zero-sized proofs that the machine has the instructions. All methods are
/// `#[inline(always)]` and never `#[target_feature]`; the features come from the trampoline.
pub(crate) trait Isa: Copy + Send + Sync + 'static {
    /// A vector of [`LANES`](Self::LANES) floats.
    type Vector: Copy;
    /// Floats in a vector.
    const LANES: usize;
    /// Whether [`mul_add`](Self::mul_add) rounds once.
    const FUSED: bool;
    /// The most rows of a register tile, by the number of accumulators of a row, 1 to 4; first, the most
    /// accumulators of a tile of a single row. The file of each level explains its register budget.
    const HEIGHTS: [usize; 5];
    /// Words of depth that the loop of a tile of many sums takes at a time.
    const WORDS: usize = 1;
    /// Multiply-adds of one core in a nanosecond, in tiles of full height. Schedules estimate times with it.
    const MULTIPLY_ADDS: f64;

    /// The level's instructions.
    ///
    /// # Safety
    /// - The machine has them.
    unsafe fn assume() -> Self;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::Vector;
    /// Reads a vector.
    ///
    /// # Safety
    /// - `LANES` floats are readable at `from`.
    unsafe fn load_ptr(self, from: *const f32) -> Self::Vector;
    /// Writes a vector.
    ///
    /// # Safety
    /// - `LANES` floats are writable at `to`.
    unsafe fn store_ptr(self, to: *mut f32, v: Self::Vector);
    /// Reads the floats of `from` into the first lanes, zero into the rest; at most `LANES`.
    fn load_partial(self, from: &[f32]) -> Self::Vector;
    /// Writes the first `to.len()` lanes; at most `LANES`.
    fn store_partial(self, to: &mut [f32], v: Self::Vector);

    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where [`FUSED`](Self::FUSED).
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `c - a * b`, rounded once where [`FUSED`](Self::FUSED).
    fn neg_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of `a` and `b`; `b` where either is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller of `a` and `b`; `b` where either is NaN.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `|a|`.
    fn abs(self, a: Self::Vector) -> Self::Vector;
    /// `a`, which is not negative, with the sign of `sign`.
    fn with_sign(self, a: Self::Vector, sign: Self::Vector) -> Self::Vector;
    /// Per lane `x > limit ? yes : no`; `no` where `x` is NaN.
    fn if_greater(
        self,
        x: Self::Vector,
        limit: Self::Vector,
        yes: Self::Vector,
        no: Self::Vector,
    ) -> Self::Vector;
    /// `a`, with zero in place of every magnitude below `limit`. NaN stays.
    fn flush_below(self, a: Self::Vector, limit: f32) -> Self::Vector;
    /// `2^n` for each lane `n + 1.5 * 2^23` with an integer `n` in `-126..=127`: the low bits of such a
    /// float are `n`, and go straight into the exponent.
    fn exp2_of_shifted(self, shifted: Self::Vector) -> Self::Vector;
    /// The bits of `magic` minus the bits of `a`, as integers: the seed of a reciprocal.
    fn recip_seed(self, magic: u32, a: Self::Vector) -> Self::Vector;

    /// The lower half of the bits of each lane as the upper half, above zeros: of a pair of bf16 the first.
    fn lower_halves(self, a: Self::Vector) -> Self::Vector;
    /// The upper half of the bits of each lane, above zeros: of a pair of bf16 the second.
    fn upper_halves(self, a: Self::Vector) -> Self::Vector;

    /// Per lane the nearest float whose lower half of the bits is zero, of two that are as near the one with
    /// an even upper half: a bf16. A NaN stays one.
    fn nearest_upper_half(self, a: Self::Vector) -> Self::Vector;
    /// Writes the upper half of the bits of each lane, one after the other.
    ///
    /// # Safety
    /// - `LANES` integers are writable at `to`.
    unsafe fn store_upper_halves(self, to: *mut u16, v: Self::Vector);

    /// What is added to the bytes of a row, from -127 to 127, before [`dot_bytes`](Self::dot_bytes)
    /// multiplies them, without VNNI and with it: 128 where it takes them as unsigned.
    const BYTE_OFFSETS: [u8; 2];
    /// Per lane the integer `sum`, and the products of the four bytes of `row` with the four signed ones of
    /// `weights`, exactly (but for an overflow of the sum, which wraps around). With VNNI by its instruction.
    ///
    /// # Safety
    /// - With VNNI: the machine has that for vectors of this level, and the caller is compiled with it.
    unsafe fn dot_bytes<const VNNI: bool>(
        self,
        row: Self::Vector,
        weights: Self::Vector,
        sum: Self::Vector,
    ) -> Self::Vector;
    /// Per lane the nearest float of an integer, ties to even.
    fn float_of_int(self, a: Self::Vector) -> Self::Vector;
    /// Writes the lowest byte of each lane, one after the other.
    ///
    /// # Safety
    /// - `LANES` bytes are writable at `to`.
    unsafe fn store_bytes(self, to: *mut u8, v: Self::Vector);
    /// The one with the larger bits, as integers, per lane: of what is not negative the larger, or NaN where
    /// either is NaN.
    fn max_of_bits(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The one of all lanes with the largest bits, as integers.
    fn most_of_bits(self, a: Self::Vector) -> f32;

    /// Calls work that is compiled once for this level, as a separate function. It is for work that takes
    /// much longer than a call and that would be inlined in many places.
    fn call<W: Outlined<Self>>(self, work: W) -> W::Output;
    /// Reads the first `LANES` floats of `from`.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        let from = &from[..Self::LANES];
        // SAFETY: the slice has LANES floats.
        unsafe { self.load_ptr(from.as_ptr()) }
    }
    /// Writes the first `LANES` floats of `to`.
    #[inline(always)]
    fn store(self, to: &mut [f32], v: Self::Vector) {
        let to = &mut to[..Self::LANES];
        // SAFETY: the slice has LANES floats.
        unsafe { self.store_ptr(to.as_mut_ptr(), v) }
    }
    /// `1 / a`, within one unit in the last place, for `2^-120 < |a| < 2^126`. Levels that fuse compute it
    /// with products ([`recip_by_products`]); unfused products would not be exact enough.
    #[inline(always)]
    fn recip(self, a: Self::Vector) -> Self::Vector {
        if Self::FUSED { recip_by_products(self, a) } else { self.div(self.splat(1.0), a) }
    }
    /// `v` clamped to `-bound..=bound`. NaN stays: `max` and `min` give their second argument where either is
    /// NaN.
    #[inline(always)]
    fn clamp(self, v: Self::Vector, bound: f32) -> Self::Vector {
        self.min(self.splat(bound), self.max(self.splat(-bound), v))
    }
    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }
}

/// `1 / a` without a division: a division of 16 floats occupies the divider for 10 to 16 cycles, this
/// takes seven operations on the multiply ports, 3.5 to 7 cycles.
///
/// The seed `magic - bits(a)` has a relative error of at most 0.0506 (smallest over all constants for
/// one binade, by exhaustive search). Each refinement `y (1 + e + e^2)` with `e = 1 - a y` cubes it:
/// 0.0506, 1.3e-4, 2e-12; what remains is the rounding of the last operation.
#[inline(always)]
pub(crate) fn recip_by_products<I: Isa>(isa: I, a: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    let mut y = isa.recip_seed(0x7EF3_1000, a);
    for _ in 0..2 {
        let e = isa.neg_mul_add(a, y, one);
        let correction = isa.mul_add(e, e, e);
        y = isa.mul_add(y, correction, y);
    }
    y
}

/// Work that `dispatch` runs on the level of a token, compiled once per level. The fields of the implementor
/// are its named arguments.
pub(crate) trait Dispatched {
    /// What the work returns.
    type Output;
    /// Does the work with the instructions of `isa`. Implementations are `#[inline(always)]`.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// Work on vectors of one level for [`Isa::call`]. Implementations of `run` are `#[inline(always)]`.
pub(crate) trait Outlined<I: Isa> {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run(self, isa: I) -> Self::Output;
}

/// Work that is compiled once per level and called through a pointer. It is for work that is called too often
/// for a `match` at each call, or chosen among too many.
pub(crate) trait Routine {
    /// What the work is done on.
    type Arguments<'a>;
    /// Does the work. Implementations are `#[inline(always)]`.
    ///
    /// # Safety
    /// - What the implementor demands of its arguments.
    unsafe fn run<I: Isa>(isa: I, arguments: &Self::Arguments<'_>);
}

/// A [`Routine`] of one level, to be called where the machine has that level.
pub(crate) type Pointer<R> = for<'a, 'b> unsafe fn(&'a <R as Routine>::Arguments<'b>);

/// Prefetches the cache line at `at` into the level-2 cache. It is a hint: any address is allowed.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address has no effect but on the caches.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a prefetch of any address has no effect but on the caches.
    unsafe {
        // (The intrinsic is not stable.)
        std::arch::asm!("prfm pldl2keep, [{}]", in(reg) at, options(readonly, nostack, preserves_flags));
    }
    let _ = at;
}

/// Prefetches the cache line at `at` into the level-1 cache. It is a hint: any address is allowed.
#[inline(always)]
pub(crate) fn prefetch_near<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(readonly, nostack, preserves_flags));
    }
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on every level against plain arithmetic, lane by lane.
    struct Check;
    impl Dispatched for Check {
        type Output = ();
        fn run<I: Isa>(self, isa: I) {
            let n = I::LANES;
            let a: Vec<f32> = (0..n).map(|k| k as f32 - 2.5).collect();
            let b: Vec<f32> = (0..n).map(|k| 0.37 * k as f32 - 1.0).collect();
            let c: Vec<f32> = (0..n).map(|k| 7.0 - k as f32).collect();
            let (va, vb, vc) = (isa.load(&a), isa.load(&b), isa.load(&c));
            let same = |what: &str, v: I::Vector, f: &dyn Fn(usize) -> f32| {
                let mut out = vec![0.0; n];
                isa.store(&mut out, v);
                for k in 0..n {
                    let want = f(k);
                    assert!(
                        out[k].to_bits() == want.to_bits() || (out[k].is_nan() && want.is_nan()),
                        "{what}, lane {k}: {} for {want}",
                        out[k]
                    );
                }
            };
            let fma = |x: f32, y: f32, z: f32| if I::FUSED { x.mul_add(y, z) } else { x * y + z };
            same("splat", isa.splat(3.5), &|_| 3.5);
            same("add", isa.add(va, vb), &|k| a[k] + b[k]);
            same("sub", isa.sub(va, vb), &|k| a[k] - b[k]);
            same("mul", isa.mul(va, vb), &|k| a[k] * b[k]);
            same("mul_add", isa.mul_add(va, vb, vc), &|k| fma(a[k], b[k], c[k]));
            same("neg_mul_add", isa.neg_mul_add(va, vb, vc), &|k| fma(-a[k], b[k], c[k]));
            same("div", isa.div(va, vc), &|k| a[k] / c[k]);
            same("max", isa.max(va, vb), &|k| a[k].max(b[k]));
            same("min", isa.min(va, vb), &|k| a[k].min(b[k]));
            same("abs", isa.abs(va), &|k| a[k].abs());
            same("with_sign", isa.with_sign(isa.abs(vc), va), &|k| c[k].abs().copysign(a[k]));
            same("if_greater", isa.if_greater(va, vb, vc, va), &|k| if a[k] > b[k] { c[k] } else { a[k] });
            same("flush", isa.flush_below(va, 1.6), &|k| if a[k].abs() < 1.6 { 0.0 } else { a[k] });
            for m in 0..=n {
                same("load_partial", isa.load_partial(&a[..m]), &|k| if k < m { a[k] } else { 0.0 });
                let mut out = vec![9.0; m];
                isa.store_partial(&mut out, va);
                assert_eq!(out, a[..m]);
            }
            same("lower_halves", isa.lower_halves(va), &|k| f32::from_bits(a[k].to_bits() << 16));
            let masked = |k: usize| f32::from_bits(b[k].to_bits() & 0xFFFF_0000);
            same("upper_halves", isa.upper_halves(vb), &masked);
            let mut halves = vec![9u16; n + 1];
            // SAFETY: so many integers are writable.
            unsafe { isa.store_upper_halves(halves.as_mut_ptr(), vb) };
            let of_b: Vec<u16> = b.iter().map(|b| (b.to_bits() >> 16) as u16).chain([9]).collect();
            assert_eq!(halves, of_b);
            for (bits, nearest) in [
                (0x3F80_7FFFu32, 0x3F80_0000u32),
                (0x3F80_8000, 0x3F80_0000),
                (0x3F81_8000, 0x3F82_0000),
                (0xBF80_8001, 0xBF81_0000),
                (0x7F7F_8000, 0x7F80_0000),
                (0xFF80_0000, 0xFF80_0000),
                (0x0000_8001, 0x0001_0000),
                (0x7F80_0001, 0x7FC0_0000),
                (0xFFFF_FFFF, 0xFFFF_0000),
            ] {
                let mut out = vec![0.0; n];
                isa.store(&mut out, isa.nearest_upper_half(isa.splat(f32::from_bits(bits))));
                assert!(out.iter().all(|out| out.to_bits() == nearest), "{bits:#x}: {out:?}");
            }
            let ints: Vec<i32> = (0..n as i32).map(|k| (k - 2) * 268_435_399 / 3).collect();
            let as_floats: Vec<f32> = ints.iter().map(|&i| f32::from_bits(i.cast_unsigned())).collect();
            same("float_of_int", isa.float_of_int(isa.load(&as_floats)), &|k| ints[k] as f32);
            let mut lowest = vec![9u8; n + 1];
            // SAFETY: so many bytes are writable.
            unsafe { isa.store_bytes(lowest.as_mut_ptr(), isa.load(&as_floats)) };
            let of_ints: Vec<u8> = ints.iter().map(|&i| i as u8).chain([9]).collect();
            assert_eq!(lowest, of_ints);
            let most = |a: f32, b: f32| f32::from_bits(a.to_bits().max(b.to_bits()));
            let magnitudes = isa.max_of_bits(isa.abs(va), isa.abs(vb));
            same("max_of_bits", magnitudes, &|k| most(a[k].abs(), b[k].abs()));
            for lane in 0..n {
                for largest in [8.5, f32::INFINITY, f32::NAN] {
                    let mut all: Vec<f32> = a.iter().map(|a| a.abs() / 2.0).collect();
                    all[lane] = largest;
                    assert_eq!(isa.most_of_bits(isa.load(&all)).to_bits(), largest.to_bits(), "lane {lane}");
                }
            }
            let bytes = |seed: u32| -> Vec<[u8; 4]> {
                let byte = |k: usize| (k as u32 * 4 + seed).wrapping_mul(2_654_435_761).to_le_bytes();
                let mut all: Vec<[u8; 4]> = (0..n).map(byte).collect();
                (all[0], all[1]) = ([255, 255, 0, 0], [0, 128, 127, 1]);
                all
            };
            let ([offset, _], mut row, mut weights) = (I::BYTE_OFFSETS, bytes(1), bytes(9));
            (row[2], weights[2]) = ([127, 127, 129, 129], [128; 4]);
            if offset == 0 {
                // Signed, from -127 on.
                row.iter_mut().flatten().filter(|byte| **byte == 128).for_each(|byte| *byte = 129);
            }
            let [vr, vw] = [&row, &weights].map(|words| {
                let floats: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
                isa.load(&floats)
            });
            let dot = |k: usize| {
                let of_row = |b: u8| if offset == 0 { i32::from(b.cast_signed()) } else { i32::from(b) };
                let products = row[k].iter().zip(weights[k]);
                let sum: i32 = products.map(|(&a, w)| of_row(a) * i32::from(w.cast_signed())).sum();
                f32::from_bits(ints[k].wrapping_add(sum).cast_unsigned())
            };
            // SAFETY: without VNNI.
            same("dot_bytes", unsafe { isa.dot_bytes::<false>(vr, vw, isa.load(&as_floats)) }, &dot);
            let nan = isa.splat(f32::NAN);
            same("max keeps NaN", isa.max(va, nan), &|_| f32::NAN);
            same("min keeps NaN", isa.min(va, nan), &|_| f32::NAN);
            same("max of NaN", isa.max(nan, va), &|k| a[k]);
            same("flush keeps NaN", isa.flush_below(nan, 1.0), &|_| f32::NAN);
            same("NaN is not greater", isa.if_greater(nan, va, vb, vc), &|k| c[k]);
            for power in [-126, -1, 0, 1, 64, 127] {
                let shifted = isa.splat(12_582_912.0 + power as f32);
                same("exp2", isa.exp2_of_shifted(shifted), &|_| 2.0f32.powi(power));
            }
            for x in [1.0f32, 1.5, 1.999_999_9, 2.0, 3.0, 1e-30, 7.7e36, -5.0] {
                let mut out = vec![0.0; n];
                isa.store(&mut out, isa.recip(isa.splat(x)));
                let error = (f64::from(out[0]) * f64::from(x) - 1.0).abs();
                assert!(error < 1.2e-7, "recip({x}) = {}, off by {error}", out[0]);
            }
            same("recip of one", isa.recip(isa.splat(1.0)), &|_| 1.0);
            same("recip of two", isa.recip(isa.splat(2.0)), &|_| 0.5);
        }
    }

    #[test]
    fn every_operation_on_every_level() {
        for level in Level::available() {
            dispatch(level.token().unwrap(), Check);
        }
    }
}
