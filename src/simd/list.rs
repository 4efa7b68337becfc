//! The list of levels, one line each, and how the file of a level writes its operations.
//!
//! ```text
//! levels!      the list; hands it to a macro that expands it
//! operations!  the methods of an `Isa`, one expression each
//! ```

/// `levels! { [MACRO] ARGUMENTS }` calls MACRO with the arguments, in brackets, and the list.
///
/// A line has the name of the level, its file, the targets that have it, the target features that its kernels
/// are compiled with (the ones that the file's `detect` asks for), and a description. The narrowest level
/// comes first.
macro_rules! levels {
    ([$($apply:tt)+] $($argument:tt)*) => {
        $($apply)+! {
            [$($argument)*]
            Portable: portable if all(),
                "Four floats at a time, with SSE2, NEON or simd128 as the crate was compiled, not fused.";
            Avx2: avx2 if target_arch = "x86_64" with "avx2,fma",
                "Eight floats at a time, AVX2 and FMA.";
            Avx512: avx512 if target_arch = "x86_64" with "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma",
                "Sixteen floats at a time, AVX-512 F, BW, DQ and VL.";
            Neon: neon if target_arch = "aarch64" with "neon",
                "Eight floats at a time in two registers, NEON of 64-bit ARM.";
        }
    };
}

/// Defines methods of an `Isa` that return a vector, each as one expression. An argument without a type is a
/// vector. The expressions may call the intrinsics of the level, whose features `self` proves.
#[allow(unused_macros, reason = "the portable level, the only one of some architectures, has none")]
macro_rules! operations {
    ($(fn $name:ident($($argument:ident $(: $type:ty)?),*) = $value:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($argument: $crate::simd::operand!($($type)?)),*) -> Self::Vector {
                // SAFETY: `self` proves every feature of the level.
                unsafe { $value }
            }
        )*
    };
}

#[allow(unused_macros, reason = "as above")]
macro_rules! operand {
    () => {
        Self::Vector
    };
    ($type:ty) => {
        $type
    };
}

pub(crate) use {levels, operand, operations};
