//! What the words of a panel are, and how weights become words.
//!
//! Weights are packed once, or, in training, after every update. A float at a time, that was up to a third of
//! an update and a step of 8 rows (`X207/pack`). So it goes by tiles of four units and sixteen inputs, in
//! vectors that every machine has ([`f32x4`]):
//!
//! ```text
//!   weights                  gathered                  words, of one input or of several
//!   unit u   k k+1 k+2 ..    k    u u+1 u+2 u+3        u u+1 u+2 u+3        a vector each `stride` floats
//!   unit u+1 k k+1 k+2 ..    k+1  u u+1 u+2 u+3
//! ```

use super::bf16::{SMALLEST, rounded};
use super::int8::{LARGEST, NEAREST, largest_of, scale_of, weight};
use crate::simd::{FLUSH, Isa, LINE, Portable, flushed};
use bytemuck::cast;
use std::ops::Range;
use wide::{f32x4, i32x4, u32x4};

/// What the words of a panel are. Values that are too small to matter are zero in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Words {
    /// An f32.
    #[default]
    F32,
    /// An f32 that has been rounded to bf16.
    Rounded,
    /// Two bf16, the first in the lower half. What is missing in a last word is zero.
    Bf16,
    /// Two bf16 that are multiplied with bf16: values below 2^-56 are zero.
    Pairs,
    /// Four bytes, with a scale for each unit and gate after the last word, and then where sums begin.
    Bytes { offset: u8 },
}

/// Units that are packed side by side.
pub(in super::super) const UNITS: usize = 4;
/// Inputs that are gathered at once: a line of each unit.
const INPUTS: usize = LINE;

/// The weights of some units, [`UNITS`] at the most: that of unit `u` at input `k` is
/// `data[u * unit_stride + k * depth_stride]`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Columns<'a> {
    pub(in super::super) data: &'a [f32],
    pub(in super::super) units: usize,
    pub(in super::super) unit_stride: usize,
    pub(in super::super) depth_stride: usize,
}

impl Columns<'_> {
    /// The weights of a unit at the first `depth` inputs.
    fn unit(&self, unit: usize, depth: usize) -> impl Iterator<Item = f32> + Clone {
        let weights = self.data.get(unit * self.unit_stride..).unwrap_or_default();
        weights.iter().step_by(self.depth_stride).take(depth).copied()
    }

    /// The weights at `count` inputs from `first` on, an input after the other, and zeros elsewhere.
    #[inline(never)]
    fn gather(&self, first: usize, count: usize, to: &mut [f32x4; INPUTS]) {
        let &Columns { data, units, unit_stride, depth_stride } = self;
        *to = [f32x4::ZERO; INPUTS];
        let mut done = 0;
        if units == UNITS && unit_stride == 1 {
            for (k, to) in to[..count].iter_mut().enumerate() {
                let input = &data[(first + k) * depth_stride..];
                *to = f32x4::new(*input.first_chunk().expect("four units"));
            }
            done = count;
        } else if units == UNITS && depth_stride == 1 {
            let row = |unit: usize| &data[unit * unit_stride + first..][..count];
            let [a, b, c, d] = [0, 1, 2, 3].map(|unit| row(unit).as_chunks::<UNITS>().0);
            let to = to.as_chunks_mut::<UNITS>().0;
            for ((((to, a), b), c), d) in to.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *to = f32x4::transpose([a, b, c, d].map(|inputs| f32x4::new(*inputs)));
            }
            done = count / UNITS * UNITS;
        }
        for k in done..count {
            let input = &data[(first + k) * depth_stride..];
            let unit = |unit| if unit < units { input[unit * unit_stride] } else { 0.0 };
            to[k] = f32x4::new(std::array::from_fn(unit));
        }
    }

    /// Writes vectors of words, one after the other, each `stride` floats after the one before.
    #[inline(never)]
    fn write(&self, words: &[f32x4], to: &mut [f32], stride: usize) {
        for (words, to) in words.iter().zip(to.chunks_mut(stride)) {
            let words = words.to_array();
            if self.units == UNITS {
                *to.first_chunk_mut().expect("room for four units") = words;
            } else {
                // (Not as a slice: the compiler would make one call of a copy of this and the above.)
                for unit in 0..UNITS - 1 {
                    if unit < self.units {
                        to[unit] = words[unit];
                    }
                }
            }
        }
    }
}

/// Vectors of words, of N inputs each.
#[inline(always)]
fn join<'a, const N: usize>(
    gathered: &[f32x4],
    words: &'a mut [f32x4; INPUTS],
    mut word: impl FnMut([f32x4; N]) -> u32x4,
) -> &'a [f32x4] {
    let (gathered, _) = gathered.as_chunks::<N>();
    for (to, &inputs) in words.iter_mut().zip(gathered) {
        *to = cast(word(inputs));
    }
    &words[..gathered.len()]
}

/// As [`weight`] of each lane.
#[inline(always)]
fn weights(values: f32x4, inverse: f32x4) -> i32x4 {
    let (isa, least) = (Portable, f32x4::splat(-128.0));
    let bounded = isa.min(isa.max(isa.mul(values, inverse), least), f32x4::splat(LARGEST));
    cast::<_, i32x4>(isa.add(bounded, f32x4::splat(NEAREST))) << 24 >> 24
}

/// Four bytes to a word, the first in the lowest.
#[inline(always)]
fn word([a, b, c, d]: [i32x4; 4]) -> u32x4 {
    let byte = |byte: i32x4| cast::<_, u32x4>(byte) & u32x4::splat(0xFF);
    byte(a) | byte(b) << 8 | byte(c) << 16 | byte(d) << 24
}

/// Two bf16 to a word.
#[inline(always)]
fn pair([even, odd]: [f32x4; 2]) -> u32x4 {
    cast::<_, u32x4>(even) >> 16 | cast::<_, u32x4>(odd)
}

impl Words {
    /// The inputs of a word.
    pub(in super::super) fn inputs(self) -> usize {
        match self {
            Words::F32 | Words::Rounded => 1,
            Words::Bf16 | Words::Pairs => 2,
            Words::Bytes { .. } => 4,
        }
    }

    /// The vectors of each gate that a block has after its words.
    pub(in super::super) fn tail(self) -> usize {
        if matches!(self, Words::Bytes { .. }) { 2 } else { 0 }
    }

    /// Writes the words of some inputs, of units of one gate, to `to`: each input `stride` floats after the
    /// one before. Of bytes the inputs are all that there are, and their tail follows; they are rounded with
    /// the given scale of each unit, or with its own.
    pub(in super::super) fn pack(
        self,
        from: &Columns<'_>,
        inputs: Range<usize>,
        given: [Option<f32>; UNITS],
        to: &mut [f32],
        stride: usize,
    ) {
        let (isa, per_word) = (Portable, self.inputs());
        let (is_rounded, least) = match self {
            Words::F32 | Words::Bytes { .. } => (false, FLUSH),
            Words::Rounded | Words::Bf16 => (true, FLUSH),
            Words::Pairs => (true, f32::from_bits(SMALLEST)),
        };
        let (mut scales, mut sums) = ([(0.0, 0.0); UNITS], i32x4::ZERO);
        if let Words::Bytes { .. } = self {
            debug_assert_eq!(inputs.start, 0);
            for unit in 0..from.units {
                scales[unit] = scale_and_inverse(from.unit(unit, inputs.end), given[unit]);
            }
        }
        let inverse = f32x4::new(scales.map(|(_, inverse)| inverse));
        let (mut gathered, mut words) = ([f32x4::ZERO; INPUTS], [f32x4::ZERO; INPUTS]);
        for first in inputs.clone().step_by(INPUTS) {
            let count = INPUTS.min(inputs.end - first);
            from.gather(first, count, &mut gathered);
            let count = count.div_ceil(per_word);
            let gathered = &mut gathered[..count * per_word];
            for value in &mut *gathered {
                let nearest = if is_rounded { isa.nearest_upper_half(*value) } else { *value };
                *value = isa.flush_below(nearest, least);
            }
            let words = match self {
                Words::F32 | Words::Rounded => &*gathered,
                Words::Bf16 | Words::Pairs => join(gathered, &mut words, pair),
                Words::Bytes { .. } => join(gathered, &mut words, |four: [f32x4; 4]| {
                    let bytes = four.map(|value| weights(value, inverse));
                    for byte in bytes {
                        sums += byte;
                    }
                    word(bytes)
                }),
            };
            from.write(words, &mut to[first / per_word * stride..], stride);
        }
        if let Words::Bytes { offset } = self {
            let (tail, sums) = (&mut to[inputs.end.div_ceil(per_word) * stride..], sums.to_array());
            for unit in 0..from.units {
                // (With the most inputs, all of the smallest byte, it is 2^31: it may wrap around.)
                let begin = (-i32::from(offset)).wrapping_mul(sums[unit]);
                tail[unit] = scales[unit].0;
                tail[stride + unit] = f32::from_bits(begin.cast_unsigned());
            }
        }
    }
}

/// A weight as bf16, which [`Precision::Bf16Weights`](super::Precision::Bf16Weights) and
/// [`Precision::Bf16`](super::Precision::Bf16) pack: the upper half of an f32.
pub(crate) fn bf16_of(weight: f32) -> u16 {
    (rounded(weight).to_bits() >> 16) as u16
}

/// The scale and the bytes of the weights of one unit and gate, as
/// [`Precision::Int8`](super::Precision::Int8) packs them: with the scale that is given, or with their own,
/// which is NaN where there is none, and zero where all are zero.
pub(crate) fn bytes_of(weights: &[f32], given: Option<f32>) -> (f32, impl Iterator<Item = i8>) {
    let (scale, inverse) = scale_and_inverse(weights.iter().copied(), given);
    (scale, weights.iter().map(move |&value| weight(flushed(value), inverse).cast_signed()))
}

/// The scale of the weights of one unit and gate, and its inverse.
fn scale_and_inverse(values: impl Iterator<Item = f32> + Clone, given: Option<f32>) -> (f32, f32) {
    match given {
        Some(scale) if values.clone().all(f32::is_finite) => (scale, scale.recip()),
        _ => scale_of(largest_of(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::MAX_INPUTS;

    /// The words of one unit, and its tail.
    fn words_of(words: Words, values: &[f32], given: Option<f32>) -> Vec<u32> {
        let mut to = vec![f32::NAN; values.len().div_ceil(words.inputs()) + words.tail() + 1];
        let from = Columns { data: values, units: 1, unit_stride: values.len(), depth_stride: 1 };
        words.pack(&from, 0..values.len(), [given; UNITS], &mut to, 1);
        assert!(to.pop().unwrap().is_nan(), "nothing past the tail");
        to.into_iter().map(f32::to_bits).collect()
    }

    /// What panels have of each: words, tails, and which inputs are missing in the last word.
    #[test]
    fn words_of_one_unit() {
        let pack = |words, values: &[f32]| words_of(words, values, None);
        assert_eq!(pack(Words::F32, &[1.0, 1e-31]), [0x3F80_0000, 0]);
        assert_eq!(pack(Words::Rounded, &[1.001, 3.0]), [0x3F80_0000, 0x4040_0000]);
        assert_eq!(pack(Words::Bf16, &[1.0, -2.0, 1e-20]), [0xC000_3F80, 0x1E3D]);
        assert_eq!(pack(Words::Pairs, &[1.0, -2.0, 1e-20]), [0xC000_3F80, 0]);
        // Of five inputs, the largest 254, the scale is 2. Sums begin with their sum, -offset times.
        let values = [254.0, -2.0, 4.0, -254.0, 6.0];
        let begin = -(128 * (127 - 1 + 2 - 127 + 3));
        for (offset, begin) in [(128, begin), (0, 0i32)] {
            let words = [0x8102_FF7F, 3, 2f32.to_bits(), begin.cast_unsigned()];
            assert_eq!(pack(Words::Bytes { offset }, &values), words);
        }
        // The most inputs, all of the smallest byte: what a sum begins with may wrap around.
        let packed = words_of(Words::Bytes { offset: 128 }, &vec![-128.0; MAX_INPUTS], Some(1.0));
        let [first, .., begin] = packed[..] else { panic!("no tail") };
        assert_eq!((first, begin), (0x8080_8080, 1 << 31));
    }

    /// Whatever the strides, the number of units and which inputs go together: each unit has the words that
    /// it has alone, and nothing is written beside them.
    #[test]
    fn units_side_by_side_have_the_words_of_each_alone() {
        let all = [Words::F32, Words::Rounded, Words::Bf16, Words::Pairs, Words::Bytes { offset: 128 }];
        for (words, depth) in all.into_iter().flat_map(|words| (1..=37).map(move |depth| (words, depth))) {
            for units in 1..=UNITS {
                let value = |unit: usize, k: usize| ((unit * 101 + k * 37) % 97) as f32 / 31.0 - 1.5;
                let rows: Vec<Vec<f32>> =
                    (0..units).map(|unit| (0..depth).map(|k| value(unit, k)).collect()).collect();
                // (A single input, whose strides may both be 1.)
                let width = if depth == 1 { 1 } else { depth + 3 };
                let mut data = [vec![f32::NAN; units * width], vec![f32::NAN; (units + 2) * depth]];
                for (unit, row) in rows.iter().enumerate() {
                    for (k, &value) in row.iter().enumerate() {
                        data[0][unit * width + k] = value;
                        data[1][k * (units + 2) + unit] = value;
                    }
                }
                let strides = [(width, 1), (1, units + 2)];
                for (data, (unit_stride, depth_stride)) in data.iter().zip(strides) {
                    let from = Columns { data, units, unit_stride, depth_stride };
                    let (count, stride) = (depth.div_ceil(words.inputs()) + words.tail(), units + 3);
                    let mut to = vec![f32::NAN; count * stride];
                    let cut = if words.tail() > 0 { 0 } else { depth / 32 * 16 };
                    for inputs in [0..cut, cut..depth] {
                        words.pack(&from, inputs, [None; UNITS], &mut to, stride);
                    }
                    for (unit, row) in rows.iter().enumerate() {
                        let got: Vec<u32> = (0..count).map(|n| to[n * stride + unit].to_bits()).collect();
                        assert_eq!(got, words_of(words, row, None), "{words:?}, {depth}, {unit} of {units}");
                    }
                    let beside = |to: &[f32]| to[units..].iter().all(|to| to.is_nan());
                    assert!(to.chunks(stride).all(beside), "{words:?}, {depth}, {units}");
                }
            }
        }
    }
}
