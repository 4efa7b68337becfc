//! Layer normalisation of rows (Ba, Kiros, Hinton 2016, arXiv 1607.06450), as the normalised cells need it.
//!
//! ```text
//! forward      y = (x - mean) / sqrt(variance + eps)          over all n values of a row
//! backward     dx = (dy - mean(dy) - y mean(dy y)) / sqrt(variance + eps)
//! ```
//!
//! A row is here the G planes of one product, or the cell state. Every tile of a row computes the sums again,
//! which needs no synchronisation of threads. It is most of what a normalised cell costs above a plain one
//! (BENCHMARKS.md, "Layer normalisation"). They are functions of their own ([`Isa::call`]), the same for all
//! cells.
//!
//! **Same bits.** On every level a sum is sixteen partial sums, then a tree; element k goes to partial sum
//! `k % 16`. Elements past the last unit do not count.

use super::{Call, Multiply, Operand, Start};
use crate::memory::Row;
use crate::simd::{Isa, LINE, Outlined};

/// The product `W x` by itself, of `gates` gates, whose first sum is the sum `to` of its phase.
pub(super) const fn input_product(gates: usize, to: usize) -> Call {
    let products = &[Multiply { weights: 0, rows: Operand::Input, turn: None }];
    Call { gates, to, start: Start::Zero, products }
}

/// The product `R h` by itself, likewise.
pub(super) const fn recurrent_product(gates: usize, to: usize) -> Call {
    let products = &[Multiply { weights: 1, rows: Operand::Hidden, turn: None }];
    Call { gates, to, start: Start::Zero, products }
}

/// G planes from `first` on.
#[inline(always)]
pub(super) fn planes<const G: usize>(first: usize) -> [usize; G] {
    let mut planes = [first; G];
    for g in 0..G {
        planes[g] += g;
    }
    planes
}

/// The vectors of a line: at most four, on the level with four lanes.
const LINE_VECTORS: usize = 4;

/// The sum of all lanes.
#[inline(always)]
fn total<I: Isa>(isa: I, sums: [I::Vector; LINE_VECTORS]) -> f32 {
    let mut lanes = [0.0; LINE];
    for k in 0..LINE / I::LANES {
        isa.store(&mut lanes[k * I::LANES..], sums[k]);
    }
    let mut width = LINE / 2;
    while width > 0 {
        for k in 0..width {
            lanes[k] += lanes[k + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// A line of a row, with `rest` in the places past the last unit.
#[inline(always)]
fn line(row: Row<'_>, start: usize, units: usize, rest: f32) -> [f32; LINE] {
    let mut line = row.line(start / LINE);
    if start + LINE > units {
        line[units - start..].fill(rest);
    }
    line
}

/// The mean of the first `units` values of each plane, and `1 / sqrt(variance + eps)`.
#[inline(always)]
pub(super) fn moments<I: Isa>(isa: I, planes: &[Row<'_>], units: usize, eps: f32) -> (f32, f32) {
    isa.call(Moments { planes, units, eps })
}

/// The arguments of [`moments`].
struct Moments<'a> {
    planes: &'a [Row<'a>],
    units: usize,
    eps: f32,
}

impl<I: Isa> Outlined<I> for Moments<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self, isa: I) -> (f32, f32) {
        let Moments { planes, units, eps } = self;
        let count = (planes.len() * units) as f32;
        let mut sums = [isa.zero(); LINE_VECTORS];
        for plane in planes {
            for start in (0..units).step_by(LINE) {
                let line = line(*plane, start, units, 0.0);
                for k in 0..LINE / I::LANES {
                    sums[k] = isa.add(sums[k], isa.load(&line[k * I::LANES..]));
                }
            }
        }
        let mean = total(isa, sums) / count;
        let mut squares = [isa.zero(); LINE_VECTORS];
        for plane in planes {
            for start in (0..units).step_by(LINE) {
                let line = line(*plane, start, units, mean);
                for k in 0..LINE / I::LANES {
                    let distance = isa.sub(isa.load(&line[k * I::LANES..]), isa.splat(mean));
                    squares[k] = isa.mul_add(distance, distance, squares[k]);
                }
            }
        }
        (mean, 1.0 / (total(isa, squares) / count + eps).sqrt())
    }
}

/// The means of `dy` and of `dy y` over the first `units` values of each plane, where `dy` is a gradient
/// times a gain.
#[inline(always)]
pub(super) fn gradient_moments<I: Isa, const G: usize>(
    isa: I,
    gradients: [Row<'_>; G],
    gains: [Row<'_>; G],
    normalised: [Row<'_>; G],
    units: usize,
) -> (f32, f32) {
    isa.call(GradientMoments { gradients: &gradients, gains: &gains, normalised: &normalised, units })
}

/// The arguments of [`gradient_moments`].
struct GradientMoments<'a> {
    gradients: &'a [Row<'a>],
    gains: &'a [Row<'a>],
    normalised: &'a [Row<'a>],
    units: usize,
}

impl<I: Isa> Outlined<I> for GradientMoments<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self, isa: I) -> (f32, f32) {
        let GradientMoments { gradients, gains, normalised, units } = self;
        let count = (gradients.len() * units) as f32;
        let (mut sums, mut products) = ([isa.zero(); LINE_VECTORS], [isa.zero(); LINE_VECTORS]);
        for g in 0..gradients.len() {
            for start in (0..units).step_by(LINE) {
                let gradient = line(gradients[g], start, units, 0.0);
                let gain = line(gains[g], start, units, 0.0);
                let y = line(normalised[g], start, units, 0.0);
                for k in 0..LINE / I::LANES {
                    let at = k * I::LANES;
                    let dy = isa.mul(isa.load(&gradient[at..]), isa.load(&gain[at..]));
                    sums[k] = isa.add(sums[k], dy);
                    products[k] = isa.mul_add(dy, isa.load(&y[at..]), products[k]);
                }
            }
        }
        (total(isa, sums) / count, total(isa, products) / count)
    }
}

/// The gradient of a value before normalisation, from the gradient after it times the gain.
#[inline(always)]
pub(super) fn through<I: Isa>(
    isa: I,
    dy: I::Vector,
    y: I::Vector,
    scale: I::Vector,
    (mean, product): (f32, f32),
) -> I::Vector {
    let rest = isa.neg_mul_add(y, isa.splat(product), isa.sub(dy, isa.splat(mean)));
    isa.mul(scale, rest)
}
