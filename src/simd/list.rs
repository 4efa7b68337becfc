//! The list of levels, one line each, and the macros that write the code of every level from the list.
//!
//! ```text
//! levels!      the list; hands it to a macro that expands it
//! dispatcher!  defines a function that runs a `Kernel` on the level of a token
//! pointers!    defines a function that gives a `Routine` as a function pointer of a level
//! operations!  the methods of an `Isa`, one expression each
//! ```
//!
//! `dispatcher!` and `pointers!` define their `#[target_feature]` trampolines in the module that invokes
//! them. rustc puts the instances of a generic function into the codegen unit of the module that defines it:
//! one trampoline for the whole crate would put all kernels of a level into one unit, which one core then
//! compiles.

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

/// Defines `fn NAME<K: Kernel>(token: Token, kernel: K) -> K::Output`.
macro_rules! dispatcher {
    ($visibility:vis $name:ident) => {
        $crate::simd::levels! { [$crate::simd::define_dispatcher] $visibility $name }
    };
}

macro_rules! define_dispatcher {
    ([$visibility:vis $name:ident]
     $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        /// Runs a kernel with the instructions that `token` proves.
        #[inline(always)]
        $visibility fn $name<K: $crate::simd::Kernel>(token: $crate::simd::Token, kernel: K) -> K::Output {
            match token {
                $(
                    #[cfg($cfg)]
                    $crate::simd::Token::$Level(isa) => {
                        // (Levels without features could be inlined, into every instance of a generic
                        // caller.)
                        #[inline(never)]
                        $(#[target_feature(enable = $features)])?
                        unsafe fn $file<K: $crate::simd::Kernel>(
                            isa: $crate::simd::$Level,
                            kernel: K,
                        ) -> K::Output {
                            kernel.run(isa)
                        }
                        // SAFETY: the token exists only where detection has found every feature of the level.
                        unsafe { $file(isa, kernel) }
                    }
                )*
            }
        }
    };
}

/// Defines `fn NAME<R: Routine>(token: Token) -> Pointer<R>`.
#[allow(unused_macros, reason = "a bench takes this folder alone")]
macro_rules! pointers {
    ($name:ident) => {
        $crate::simd::levels! { [$crate::simd::define_pointers] $name }
    };
}

#[allow(unused_macros, reason = "as above")]
macro_rules! define_pointers {
    ([$name:ident] $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        /// A routine compiled for the level of `token`.
        fn $name<R: $crate::simd::Routine>(token: $crate::simd::Token) -> $crate::simd::Pointer<R> {
            match token {
                $(
                    #[cfg($cfg)]
                    $crate::simd::Token::$Level(_) => {
                        $(#[target_feature(enable = $features)])?
                        unsafe fn $file<R: $crate::simd::Routine>(arguments: &R::Arguments<'_>) {
                            // SAFETY: only the holder of a token gets the pointer; the rest is the caller's
                            // promise.
                            unsafe {
                                let isa = <$crate::simd::$Level as $crate::simd::Isa>::assume();
                                R::run(isa, arguments);
                            }
                        }
                        $file::<R>
                    }
                )*
            }
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

pub(crate) use {define_dispatcher, define_pointers, dispatcher, levels, operand, operations, pointers};
