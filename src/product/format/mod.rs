//! What a word of 32 bits in a panel and in a row is, and what a kernel does with it.
//!
//! Depth is counted in words: a panel has a vector of words for each gate, one after the other along the
//! inputs, and a kernel takes them front to back. So panels, tiles and sweeps are the same for every
//! precision. Each precision is one file here, and a line in the lists below:
//!
//! ```text
//!                 word of a panel      rows                  sums
//! f32.rs          1 input, f32         f32, as they lie      one chain of multiply-adds in f32
//! bf16_weights.rs 2 inputs, bf16       f32, as they lie      the chain of f32, with the rounded weights
//! bf16.rs         2 inputs, bf16       2 inputs, bf16        f32, in the order of AMX's tiles
//! int8.rs         4 inputs, bytes      4 inputs, bytes       exact in 32 bits, then scaled, in f32
//! ```
//!
//! `words.rs` makes words of weights. `rows.rs` converts the rows that are not multiplied as they lie.
//!
//! The precision and the level alone decide which format's kernel runs, never the number of rows: otherwise
//! the bits of a row would depend on its batch.

mod bf16;
mod bf16_weights;
mod f32;
mod int8;
mod rows;
mod words;

use super::operand::Segment;
use crate::error::{Error, named};
use crate::memory::first_level;
use crate::simd::{Isa, prefetch};
pub(super) use bf16::Bf16;
use bf16::operand;
pub(super) use bf16_weights::Bf16Weights;
pub(super) use f32::F32;
pub(super) use int8::Int8;
pub(crate) use int8::MAX_INPUTS;
pub(crate) use rows::{ConvertRows, FRONT, RowsToConvert, convert_rows, row_words};
use std::fmt;
use std::str::FromStr;
pub(super) use words::{Columns, UNITS};
pub(crate) use words::{Words, bf16_of, bytes_of};

/// How weights are stored, and how the products with them are computed.
///
/// Whatever the precision, parameters are set and returned as f32, and what is no product of a matrix stays
/// f32: biases, peepholes, normalisation, activations, and the states. A network is built in one
/// ([`Builder::precision`](crate::Builder::precision)), or brought to one
/// ([`Recurrent::in_precision`](crate::Recurrent::in_precision)). All promises of equal bits hold in each.
///
/// [The crate's page](crate#precision) has them side by side: bytes, training, how far outputs are from f64.
/// The README says when each pays (*Narrow precision*). Both depend on the network and the machine: compare
/// outputs on data of your own.
///
/// ```
/// use fused_rnn::{Dims, Lstm, Precision};
///
/// let lstm = Lstm::builder(40, 256).precision(Precision::Bf16Weights).build()?;
/// let output = lstm.run(&[0.1; 400], Dims::new(1, 10))?;
/// assert_eq!(lstm.config().precision(), Precision::Bf16Weights);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Weights, inputs and sums in f32.
    #[default]
    F32,
    /// Weights rounded to bf16, to the nearest, ties to even: eight bits of significand, the range of f32
    /// (beyond 3.396e38 the nearest is infinity).
    /// All arithmetic is that of [`F32`](Precision::F32), and so are the bits of all results, gradients
    /// included: those of a network in `F32` whose weight matrices are the rounded ones. Packed weights take
    /// half of the bytes, which is what few rows of many units wait for. (A layer whose weights fit the
    /// first-level cache in f32 keeps them rounded in f32, with the same bits: there it is faster so.)
    ///
    /// Training rounds at each pass and keeps the parameters themselves in f32; the gradients of the rounded
    /// weights are taken for those of the parameters (*straight through*: Bengio, Léonard, Courville 2013,
    /// arXiv 1308.3432). An update that is smaller than the rounding is not lost.
    Bf16Weights,
    /// Products of bf16 with sums in f32. Weights are rounded when they are packed, inputs and states when
    /// they are multiplied: to the nearest, ties to even, and to zero below 2^-56 (1.4e-17). The order of the
    /// sums is that of the instruction TDPBF16PS:
    ///
    /// ```text
    /// of 32 inputs    e = the chain of the even ones, from zero     o = that of the odd ones
    /// then            sum = sum + (e + o)
    /// ```
    ///
    /// Products of two bf16 are exact in f32, so all sums are the same bits on every level. (The exception
    /// are products beyond 3.4e38. On the portable level they are infinite. Levels that fuse add them
    /// unrounded, so that a sum within f32 is finite.)
    ///
    /// It trains: parameters and their gradients are f32. Gradients of gates, and of a normalised cell state,
    /// are rounded to bf16 as soon as they are stored, and the products of both passes are those above.
    /// (Gradients of weights are one chain of f32 over time, of the rounded operands. Gradients of biases,
    /// peepholes, gains and shifts are made of the rounded gradients, too. An update that is smaller than the
    /// rounding of a weight is not lost.)
    Bf16,
    /// Products of integers of eight bits. Weights are rounded when they are packed, with a scale for each
    /// unit and gate; inputs and states with a scale for each row at each step (states of heads: for each
    /// head):
    ///
    /// ```text
    /// W x = s_w s_x (q_w q_x)      q_w = round(w / s_w), s_w = max|w| / 127       q_x, s_x likewise
    /// ```
    ///
    /// The sums of integers are exact, the same on every level. Everything else is computed in f32, and all
    /// promises of equal bits are those of [`F32`](Precision::F32). Packed weights take a quarter of the
    /// bytes. Sums of a row that has an infinity or a NaN are NaN, and so are those of a unit with such a
    /// weight; an input whose magnitudes are all below 1e-30 counts as zero. Where `s_w s_x` overflows an
    /// f32, sums are infinite, or NaN if the sum of the integers is zero.
    ///
    /// For inference: [`forward_train`](crate::Recurrent::forward_train) is an error.
    Int8,
}

impl Precision {
    /// Every precision.
    pub const ALL: &'static [Precision] =
        &[Precision::F32, Precision::Bf16Weights, Precision::Bf16, Precision::Int8];

    /// Its name in text, which [`FromStr`] takes back: `f32`, `bf16_weights`, `bf16`, `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16Weights => "bf16_weights",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// Whether a network can be trained in it.
    pub fn trains(self) -> bool {
        self != Precision::Int8
    }

    /// The precision whose kernels multiply weights that take so many bytes in f32.
    ///
    /// `Bf16Weights` have the sums of f32, so it is time alone that decides how they are stored. Half of the
    /// bytes are less to wait for, and words to take apart. Where the weights in f32 fit the first-level
    /// cache there is nothing to wait for: steps and sequences of 32 and 40 units took 1.08 to 1.34 times as
    /// long as in f32, of 64 units, which do not fit, 0.84 and 0.96 of the time (`X207/small-bf16`).
    pub(crate) fn of_products(self, bytes: usize) -> Precision {
        if self == Precision::Bf16Weights && bytes <= first_level() { Precision::F32 } else { self }
    }

    /// The words of panels on the way forward, for kernels with this [offset](Isa::BYTE_OFFSETS).
    pub(crate) fn forward(self, offset: u8) -> Words {
        match self {
            Precision::F32 => Words::F32,
            Precision::Bf16Weights => Words::Bf16,
            Precision::Bf16 => Words::Pairs,
            Precision::Int8 => Words::Bytes { offset },
        }
    }

    /// The precision of the products of gradients with weights.
    pub(crate) fn of_gradients(self) -> Precision {
        if self == Precision::Bf16 { self } else { Precision::F32 }
    }

    /// Whether gradients of gates, and what weight gradients multiply them with, are rounded.
    pub(crate) fn rounds(self) -> bool {
        self == Precision::Bf16
    }

    /// The words of panels on the way back.
    pub(crate) fn backward(self) -> Words {
        match self {
            Precision::F32 | Precision::Int8 => Words::F32,
            Precision::Bf16Weights => Words::Rounded,
            Precision::Bf16 => Words::Pairs,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// The precision of this [name](Precision::name).
    fn from_str(name: &str) -> Result<Precision, Error> {
        named("precision", Precision::ALL, Precision::name, name)
    }
}

/// Rounds values to the bf16 that [`Precision::Bf16`] multiplies.
#[inline(always)]
pub(crate) fn round(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = operand(*value));
}

/// Whether all values are such bf16.
#[inline(always)]
pub(crate) fn are_rounded(values: &[f32]) -> bool {
    values.iter().fold(true, |all, &value| all & (operand(value).to_bits() == value.to_bits()))
}

/// How the words of a panel are multiplied with rows.
pub(super) trait Format: Copy + Send + Sync + 'static {
    /// The most rows of a tile, even if the level has registers for more: each height is a kernel to compile.
    const MAX_ROWS: usize;
    /// The same of fewer than three gates, and on levels without the registers for
    /// [`MAX_ROWS`](Self::MAX_ROWS) rows.
    const FEW_ROWS: usize = Self::MAX_ROWS;
    /// The most sums of a tile of a single row, even if the level has registers for more.
    const MAX_SUMS: usize = 8;
    /// Registers that a sum takes in a tile, and those of them that the loop over depth changes: its chains.
    const REGISTERS: usize = 1;
    const CHAINS: usize = 1;
    /// Whether the machine has to have VNNI.
    const VNNI: bool = false;
    /// The speed of the products, as a multiple of f32's.
    const SPEED: f64 = 1.0;

    /// The sums after a segment.
    ///
    /// # Safety
    /// - As for [`Multiply`](super::kernel::Multiply).
    unsafe fn add<I: Isa, const G: usize, const U: usize, const R: usize>(
        isa: I,
        sums: [[[I::Vector; G]; U]; R],
        segment: &Segment,
        tile: InRun,
    ) -> [[[I::Vector; G]; U]; R];
}

/// A tile in its run: its index, and the number of tiles at the start of the run that prefetch nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct InRun {
    pub(super) index: usize,
    pub(super) quiet: usize,
}

/// The weights that a tile prefetches, some words of them at each word of depth.
struct NextWeights {
    next: *const u32,
    pace: usize,
}

impl NextWeights {
    /// Prefetches the next line. Prefetches are spread over the whole product: in a burst they would delay
    /// its loads.
    #[inline(always)]
    fn fetch(&mut self) {
        prefetch(self.next);
        self.next = self.next.wrapping_add(self.pace);
    }
}

/// Where the rows and the weights of a tile of a run begin, and what it prefetches.
///
/// # Safety
/// - The list of rows is there, if one was given.
#[inline(always)]
unsafe fn begin<const R: usize>(
    segment: &Segment,
    InRun { index, quiet }: InRun,
) -> ([*mut u32; R], *const u32, NextWeights) {
    let Segment { rows, words, panel, mut ahead, mut pace, next: [next_rows, next_panel], .. } = *segment;
    if index < quiet {
        (ahead, pace) = (panel, 0);
    }
    let next = ahead.wrapping_add(index.saturating_sub(quiet) * pace * words);
    // SAFETY: the caller's promise.
    let rows = unsafe { rows.starts(index * next_rows) };
    (rows, panel.wrapping_add(index * next_panel), NextWeights { next, pace })
}

/// A word of each row, in all lanes. Any bits are a float.
///
/// # Safety
/// - The rows have the word.
#[inline(always)]
unsafe fn broadcast<I: Isa, const R: usize>(isa: I, rows: &[*mut u32; R], at: usize) -> [I::Vector; R] {
    let mut words = [isa.zero(); R];
    for r in 0..R {
        // SAFETY: the caller's promise.
        words[r] = isa.splat(unsafe { *rows[r].add(at).cast::<f32>() });
    }
    words
}

/// Weights that a kernel loads as a vector of f32.
trait Load {
    /// # Safety
    /// - `LANES` words are readable at `at`.
    unsafe fn load<I: Isa>(isa: I, at: *const u32) -> I::Vector;
}

/// The sums after one input: a word of each row at `at`, with G vectors of weights of each of U blocks.
///
/// # Safety
/// - The rows have the word, and the panel has these weights.
#[inline(always)]
unsafe fn multiply_add<I: Isa, W: Load, const G: usize, const U: usize, const R: usize>(
    isa: I,
    mut sums: [[[I::Vector; G]; U]; R],
    rows: &[*mut u32; R],
    at: usize,
    weights: *const u32,
    block: usize,
) -> [[[I::Vector; G]; U]; R] {
    // The values of all rows stay in registers, and the weights take turns in one. In tall tiles it is the
    // other way around: that takes one register less, and a tall tile has none to spare. (In tiles that are
    // not tall, LLVM would then move accumulators about.)
    if const { R > I::HEIGHTS[4] } {
        let mut w = [[isa.zero(); G]; U];
        for u in 0..U {
            for g in 0..G {
                // SAFETY: the panel has this word of this block and gate.
                w[u][g] = unsafe { W::load(isa, weights.add(u * block + g * I::LANES)) };
            }
        }
        for r in 0..R {
            // SAFETY: the row has this word.
            let a = isa.splat(unsafe { *rows[r].add(at).cast::<f32>() });
            for u in 0..U {
                for g in 0..G {
                    sums[r][u][g] = isa.mul_add(a, w[u][g], sums[r][u][g]);
                }
            }
        }
    } else {
        // SAFETY: as above.
        let a = unsafe { broadcast(isa, rows, at) };
        for u in 0..U {
            for g in 0..G {
                // SAFETY: as above.
                let w = unsafe { W::load(isa, weights.add(u * block + g * I::LANES)) };
                for r in 0..R {
                    sums[r][u][g] = isa.mul_add(a[r], w, sums[r][u][g]);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_precisions() {
        let names: Vec<String> = Precision::ALL.iter().map(|precision| format!("{precision:>5}")).collect();
        assert_eq!(names, ["  f32", "bf16_weights", " bf16", " int8"]);
        for &precision in Precision::ALL {
            assert_eq!(precision.name().parse(), Ok(precision));
        }
        let error = "Int8".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(error, "precision: expected one of f32, bf16_weights, bf16, int8, got \"Int8\"");
    }
}
