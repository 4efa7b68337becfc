//! Kernels that multiply tiles of AMX, for the precisions whose operands are narrow enough.
//!
//! ```text
//! machine.rs    whether the machine has tiles, and their shapes
//! columns.rs    the columns of a product, two at a time
//! operands.rs   its rows and weights, part by part of the depth
//! chain.rs      the loops over depth, in assembly
//! kernel.rs     the kernel: tiles and columns by twos
//! pairs.rs      the sums of `Bf16`
//! bytes.rs      the sums of `Int8`
//! table.rs      the table of AVX-512 with these kernels
//! emulation.rs  the instructions in software, for tests on machines without them
//! ```
//!
//! A tile register has sixteen rows of 64 bytes.
//!
//! ```text
//!              16 words of depth              16 units of a gate
//!            +-------------------+            +--------------------+
//! 16 rows    | TMM4: rows of A   |  16 words  | TMM6: a panel's    |  ->  TMM0 += TMM4 TMM6
//!            +-------------------+            | words, as they lie |
//!                                             +--------------------+
//!
//! TMM0, TMM1   sums of a tile's rows with two columns, gates or blocks:   TMM4 by TMM6, TMM7
//! TMM2, TMM3   those of the next tile's rows:                             TMM5 by TMM6, TMM7
//! ```
//!
//! Two tiles of rows by two of weights are four loads for four products; one by one would be eight. Panels
//! have the order that the vector kernels read: a word of all units of a block is a row of a tile, and the
//! other gates lie between it and the next.
//!
//! **Same bits.** [`Bf16`](super::format::Bf16) is defined by the instruction TDPBF16PS, and integers are
//! exact. So these kernels stand in the tables of AVX-512 in the place of tiles of several rows, and no
//! result tells which one has run.
//!
//! **Not timed yet.** The tests ran them by emulation, and no machine with AMX has: `FUSED_RNN_AMX=1` in the
//! environment asks for them (`machine.rs`).

mod bytes;
mod chain;
mod columns;
#[cfg(fused_rnn_emulates_amx)]
mod emulation;
mod kernel;
mod machine;
mod operands;
mod pairs;
mod table;

pub(super) use machine::{has_bf16, has_int8};
pub(super) use table::{with_bytes, with_pairs};
