//! The tables of all levels and precisions: which kernels are compiled, and which of them a machine runs.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::format::{Bf16, Bf16Weights, F32, Format, Int8, Precision};
use super::fringe::{MultiplyFringe, OfRows, has_fringes};
use super::kernel::{MicroKernel, Multiply, Product};
use super::operand::{MAX_ROWS, VECTOR_ROWS};
use super::table::{Heights, Table, is_taken};
use super::tile::WIDE;
use crate::simd::{Isa, Routine, Token, levels};

/// The place of a tile that no sweep takes.
unsafe fn absent(_: &Product<'_>) {
    unreachable!("a tile that the table does not have");
}

/// The most rows of the tiles of a format on a level of these heights.
const fn heights_of<F: Format>(level: &[usize; 5]) -> [usize; 5] {
    let mut heights = *level;
    if heights[0] > F::MAX_SUMS {
        heights[0] = F::MAX_SUMS;
    }
    // (Eight sums in registers, or the four of any other tile.)
    if 2 * F::CHAINS > level[4] {
        heights[0] = WIDE;
    }
    let mut n = 1;
    while n < heights.len() {
        heights[n] /= F::REGISTERS;
        let most = if n > 2 && level[4] >= F::MAX_ROWS { F::MAX_ROWS } else { F::FEW_ROWS };
        if heights[n] > most {
            heights[n] = most;
        }
        if heights[n] == 0 {
            heights[n] = 1;
        }
        n += 1;
    }
    heights
}

/// The tables of a level, with the kernels compiled for these features.
macro_rules! define_kernels {
    ($Level:ident $($features:tt)*) => {
        use super::*;
        use crate::simd::$Level as Level;

        /// # Safety
        /// - The machine has the features; the rest as for [`Multiply`].
        $(#[target_feature(enable = $features)])*
        unsafe fn multiply<F: Format, const G: usize, const U: usize, const R: usize>(product: &Product<'_>) {
            // SAFETY: the caller's promise, passed on.
            unsafe { Multiply::<F, G, U, R>::run(Level::assume(), product) }
        }

        /// # Safety
        /// - The machine has the features; the rest as for [`MultiplyFringe`].
        $(#[target_feature(enable = $features)])*
        unsafe fn multiply_fringe(rows: &OfRows<'_>) {
            // SAFETY: the caller's promise, passed on.
            unsafe { MultiplyFringe::run(Level::assume(), rows) }
        }

        /// (Called for constants only, so that the kernel of the other branch is not compiled.)
        const fn kernel<F: Format, const G: usize, const U: usize, const R: usize>() -> MicroKernel {
            if is_taken(&heights_of::<F>(&Level::HEIGHTS), G, U, R) { multiply::<F, G, U, R> } else { absent }
        }

        const fn heights<F: Format, const G: usize, const U: usize>() -> Heights {
            let of_vectors: [MicroKernel; VECTOR_ROWS] = [
                kernel::<F, G, U, 1>(),
                kernel::<F, G, U, 2>(),
                kernel::<F, G, U, 3>(),
                kernel::<F, G, U, 4>(),
                kernel::<F, G, U, 5>(),
                kernel::<F, G, U, 6>(),
                kernel::<F, G, U, 7>(),
                kernel::<F, G, U, 8>(),
            ];
            let mut heights = [absent as MicroKernel; MAX_ROWS];
            let mut n = 0;
            while n < VECTOR_ROWS {
                heights[n] = of_vectors[n];
                n += 1;
            }
            heights
        }

        const fn gates<F: Format, const G: usize>() -> [Heights; WIDE] {
            [heights::<F, G, 1>(), heights::<F, G, 2>(), heights::<F, G, 3>(), heights::<F, G, 4>()]
        }

        pub(super) const fn table<F: Format>() -> Table {
            assert!(Level::HEIGHTS[1] <= VECTOR_ROWS);
            let kernels = [
                [[absent as MicroKernel; MAX_ROWS]; WIDE],
                gates::<F, 1>(),
                gates::<F, 2>(),
                gates::<F, 3>(),
                gates::<F, 4>(),
            ];
            let heights = heights_of::<F>(&Level::HEIGHTS);
            Table::new(
                (Level::LANES, Level::MULTIPLY_ADDS * F::SPEED, Level::BYTE_OFFSETS[F::VNNI as usize]),
                heights,
                if has_fringes(&heights) { Some(multiply_fringe) } else { None },
                kernels,
            )
        }
    };
}

/// The tables for instructions that a machine may have beside its level: products of bytes, and tiles.
macro_rules! define_narrow_tables {
    (Avx2 $features:tt) => {
        define_narrow_tables! { [Avx2 $features "avxvnni"] }

        fn of_bytes() -> &'static Table {
            if is_x86_feature_detected!("avxvnni") { vnni::of() } else { without_vnni() }
        }
        fn of_pairs() -> &'static Table {
            pairs_in_vectors()
        }
    };
    (Avx512 $features:tt) => {
        define_narrow_tables! { [Avx512 $features "avx512vnni"] }

        fn of_bytes() -> &'static Table {
            if !is_x86_feature_detected!("avx512vnni") {
                without_vnni()
            } else if amx::has_int8() {
                const { &amx::with_bytes(vnni::table::<Int8<true>>()) }
            } else {
                vnni::of()
            }
        }
        fn of_pairs() -> &'static Table {
            if amx::has_bf16() { const { &amx::with_pairs(table::<Bf16>()) } } else { pairs_in_vectors() }
        }
    };
    ([$Level:ident $features:tt $instruction:tt]) => {
        mod vnni {
            define_kernels! { $Level $features $instruction }
            pub(super) fn of() -> &'static Table {
                const { &table::<Int8<true>>() }
            }
        }
    };
    ($($level:tt)*) => {
        fn of_bytes() -> &'static Table {
            without_vnni()
        }
        fn of_pairs() -> &'static Table {
            pairs_in_vectors()
        }
    };
}

macro_rules! define_tables {
    ([] $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        $(
            #[cfg($cfg)]
            mod $file {
                define_kernels! { $Level $($features)? }
                define_narrow_tables! { $Level $($features)? }

                /// The kernels for bytes, and for pairs of bf16, of every machine of the level.
                pub(super) fn without_vnni() -> &'static Table {
                    const { &table::<Int8<false>>() }
                }
                pub(super) fn pairs_in_vectors() -> &'static Table {
                    const { &table::<Bf16>() }
                }

                pub(super) fn of(precision: Precision) -> &'static Table {
                    match precision {
                        Precision::F32 => const { &table::<F32>() },
                        Precision::Bf16Weights => const { &table::<Bf16Weights>() },
                        Precision::Bf16 => of_pairs(),
                        Precision::Int8 => of_bytes(),
                    }
                }
            }
        )*

        /// The kernels of a level for a precision.
        pub(crate) fn table(token: Token, precision: Precision) -> &'static Table {
            match token {
                $(
                    #[cfg($cfg)]
                    Token::$Level(_) => $file::of(precision),
                )*
            }
        }

        /// The kernels of a level for bytes, as if the machine had no instruction for them.
        #[cfg(test)]
        fn without_vnni(token: Token) -> &'static Table {
            match token {
                $(
                    #[cfg($cfg)]
                    Token::$Level(_) => $file::without_vnni(),
                )*
            }
        }
    };
}

levels! { [define_tables] }

#[cfg(test)]
mod tests;
