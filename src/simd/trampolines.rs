//! The macros that compile code for every level of the list, and choose among the levels when the program
//! runs.
//!
//! ```text
//! dispatcher!  defines a function that runs a `Dispatched` on the level of a token
//! pointers!    defines a function that gives a `Routine` as a function pointer of a level
//! ```
//!
//! Both define their `#[target_feature]` trampolines in the module that invokes them. rustc puts the
//! instances of a generic function into the codegen unit of the module that defines it: one trampoline for
//! the whole crate would put all kernels of a level into one unit, which one core then compiles.

/// Defines `fn NAME<W: Dispatched>(token: Token, work: W) -> W::Output`.
macro_rules! dispatcher {
    ($visibility:vis $name:ident) => {
        $crate::simd::levels! { [$crate::simd::define_dispatcher] $visibility $name }
    };
}

macro_rules! define_dispatcher {
    ([$visibility:vis $name:ident]
     $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        /// Runs work with the instructions that `token` proves.
        #[inline(always)]
        $visibility fn $name<W: $crate::simd::Dispatched>(token: $crate::simd::Token, work: W) -> W::Output {
            match token {
                $(
                    #[cfg($cfg)]
                    $crate::simd::Token::$Level(isa) => {
                        // (Levels without features could be inlined, into every instance of a generic
                        // caller.)
                        #[inline(never)]
                        $(#[target_feature(enable = $features)])?
                        unsafe fn $file<W: $crate::simd::Dispatched>(
                            isa: $crate::simd::$Level,
                            work: W,
                        ) -> W::Output {
                            work.run(isa)
                        }
                        // SAFETY: the token exists only where detection has found every feature of the level.
                        unsafe { $file(isa, work) }
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

pub(crate) use {define_dispatcher, define_pointers, dispatcher, pointers};
