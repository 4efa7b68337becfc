//! Layer normalisation of rows (Ba, Kiros, Hinton 2016, arXiv 1607.06450), as the normalised cells need it.
//!
//! ```text
//! forward      y = (x - mean) / sqrt(variance + eps)          over all n values of a row
//! backward     dx = (dy - mean(dy) - y mean(dy y)) / sqrt(variance + eps)
//! ```
//!
//! A row is here the planes of one product, or the cell state: [`Normalised`] says where they are, and two
//! functions serve all cells. Every tile of a row computes the sums again, which needs no synchronisation of
//! threads. (Phases without products go row by row, so that a tile has eight blocks.)
//!
//! **Same bits.** On every level a sum is sixteen partial sums, then a tree; element k goes to partial sum
//! `k % 16`. Elements past the last unit do not count.

use super::{BackwardTile, Call, ForwardTile, Multiply, Operand, Start};
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

/// A product, or the cell state, that is normalised by itself: where its planes and its vectors are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normalised {
    /// Its first plane in the scratch record, which an earlier phase has written.
    pub(super) kept: usize,
    /// The first of its normalised planes in the tape, and the plane of `1 / sqrt(variance + eps)`.
    pub(super) tape: usize,
    pub(super) scale: usize,
    /// The first of its gains.
    pub(super) gain: usize,
    /// The first plane of its gradients before normalisation.
    pub(super) gradient: usize,
    /// For each plane the sum that its normalised value, times its gain, is added to, and the shift which
    /// that sum begins with, if it begins here.
    pub(super) sums: &'static [(usize, Option<usize>)],
}

/// Planes that are normalised together, at the most.
const MAX_PLANES: usize = 4;

/// Normalises what earlier phases have kept, and adds it to the sums of a tile, `stride` for each vector.
#[inline(always)]
pub(super) fn normalise<I: Isa>(
    tile: &ForwardTile<'_, I>,
    sums: &mut [I::Vector],
    stride: usize,
    of: &Normalised,
) {
    tile.isa.call(Normalise { tile, sums, stride, of });
}

/// The arguments of [`normalise`].
struct Normalise<'t, 'a, I: Isa> {
    tile: &'t ForwardTile<'a, I>,
    sums: &'t mut [I::Vector],
    stride: usize,
    of: &'t Normalised,
}

impl<I: Isa> Outlined<I> for Normalise<'_, '_, I> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Normalise { tile: &t, sums, stride, of } = self;
        let count = sums.len() / stride;
        for row in (0..count).step_by(t.blocks()) {
            let mut planes = [Row::of(&[]); MAX_PLANES];
            let planes = &mut planes[..of.sums.len()];
            for n in 0..planes.len() {
                planes[n] = t.scratch_row(row, of.kept + n);
            }
            let (mean, scale) = moments(isa, planes, t.units(), t.epsilon());
            let (mean, scale) = (isa.splat(mean), isa.splat(scale));
            let of_row = row..(row + t.blocks()).min(count);
            for (n, &(sum, shift)) in of.sums.iter().enumerate() {
                for v in of_row.clone() {
                    let value = isa.mul(isa.sub(t.scratch(v, of.kept + n), mean), scale);
                    t.record(v, of.tape + n, [value]);
                    let sum = &mut sums[v * stride + sum];
                    let start = if let Some(shift) = shift { t.norm(v, shift) } else { *sum };
                    *sum = isa.mul_add(t.norm(v, of.gain + n), value, start);
                }
            }
            for v in of_row {
                t.record(v, of.scale, [scale]);
            }
        }
    }
}

/// The way back: gradients before normalisation, of the vectors of a tile, from those of the sums, whose
/// planes begin at `gates`. An earlier phase has written these, of all units.
#[inline(always)]
pub(super) fn through_norm<I: Isa>(
    tile: &BackwardTile<'_, I>,
    vectors: usize,
    gates: usize,
    of: &Normalised,
) {
    tile.isa.call(ThroughNorm { tile, vectors, gates, of });
}

/// The arguments of [`through_norm`].
struct ThroughNorm<'t, 'a, I: Isa> {
    tile: &'t BackwardTile<'a, I>,
    vectors: usize,
    gates: usize,
    of: &'t Normalised,
}

impl<I: Isa> Outlined<I> for ThroughNorm<'_, '_, I> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let ThroughNorm { tile: &t, vectors, gates, of } = self;
        for row in (0..vectors).step_by(t.blocks()) {
            let mut rows = [[Row::of(&[]); MAX_PLANES]; 3];
            for (n, &(sum, _)) in of.sums.iter().enumerate() {
                rows[0][n] = t.gradient_row(row, gates + sum);
                rows[1][n] = t.norm_row(of.gain + n);
                rows[2][n] = t.tape_row(row, of.tape + n);
            }
            let [gradients, gains, normalised] = &rows;
            let planes = of.sums.len();
            let rows = [&gradients[..planes], &gains[..planes], &normalised[..planes]];
            let means = gradient_moments(isa, rows, t.units());
            for (n, &(sum, _)) in of.sums.iter().enumerate() {
                for v in row..(row + t.blocks()).min(vectors) {
                    let dy = isa.mul(t.gradient(v, gates + sum), t.norm(v, of.gain + n));
                    let y = t.tape(v, of.tape + n);
                    t.set_gradient(v, of.gradient + n, through(isa, dy, y, t.tape(v, of.scale), means));
                }
            }
        }
    }
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

/// The last line of a row of `units` values, where it is not whole, with `rest` in the other places. (The
/// whole ones are read where they lie.)
#[inline(always)]
fn last_line(row: Row<'_>, units: usize, rest: f32) -> Option<[f32; LINE]> {
    let count = units % LINE;
    (count > 0).then(|| {
        let mut line = row.line(units / LINE);
        line[count..].fill(rest);
        line
    })
}

/// Sixteen partial sums, as vectors.
type Sums<I> = [<I as Isa>::Vector; LINE_VECTORS];

/// Adds a line.
#[inline(always)]
fn add<I: Isa>(isa: I, sums: &mut Sums<I>, line: &[f32; LINE]) {
    for k in 0..LINE / I::LANES {
        sums[k] = isa.add(sums[k], isa.load(&line[k * I::LANES..]));
    }
}

/// Adds the squares of a line's distances from the mean.
#[inline(always)]
fn add_squares<I: Isa>(isa: I, squares: &mut Sums<I>, line: &[f32; LINE], mean: f32) {
    for k in 0..LINE / I::LANES {
        let distance = isa.sub(isa.load(&line[k * I::LANES..]), isa.splat(mean));
        squares[k] = isa.mul_add(distance, distance, squares[k]);
    }
}

/// The mean of the first `units` values of each plane, and `1 / sqrt(variance + eps)`.
#[inline(always)]
fn moments<I: Isa>(isa: I, planes: &[Row<'_>], units: usize, eps: f32) -> (f32, f32) {
    let count = (planes.len() * units) as f32;
    let mut sums = [isa.zero(); LINE_VECTORS];
    for &plane in planes {
        for n in 0..units / LINE {
            add(isa, &mut sums, &plane.line(n));
        }
        if let Some(line) = last_line(plane, units, 0.0) {
            add(isa, &mut sums, &line);
        }
    }
    let mean = total(isa, sums) / count;
    let mut squares = [isa.zero(); LINE_VECTORS];
    for &plane in planes {
        for n in 0..units / LINE {
            add_squares(isa, &mut squares, &plane.line(n), mean);
        }
        if let Some(line) = last_line(plane, units, mean) {
            add_squares(isa, &mut squares, &line, mean);
        }
    }
    (mean, 1.0 / (total(isa, squares) / count + eps).sqrt())
}

/// The means of `dy` and of `dy y` over the first `units` values of each plane, where `dy` is a gradient
/// times a gain: of rows of gradients, gains and normalised values.
#[inline(always)]
pub(super) fn gradient_moments<I: Isa>(isa: I, rows: [&[Row<'_>]; 3], units: usize) -> (f32, f32) {
    isa.call(GradientMoments { rows, units })
}

/// The arguments of [`gradient_moments`].
struct GradientMoments<'a> {
    rows: [&'a [Row<'a>]; 3],
    units: usize,
}

impl<I: Isa> Outlined<I> for GradientMoments<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self, isa: I) -> (f32, f32) {
        let GradientMoments { rows: [gradients, gains, normalised], units } = self;
        let count = (gradients.len() * units) as f32;
        let mut sums = [[isa.zero(); LINE_VECTORS]; 2];
        for g in 0..gradients.len() {
            let (gradient, gain, y) = (gradients[g], gains[g], normalised[g]);
            for n in 0..units / LINE {
                add_products(isa, &mut sums, [gradient.line(n), gain.line(n), y.line(n)]);
            }
            let last =
                (last_line(gradient, units, 0.0), last_line(gain, units, 0.0), last_line(y, units, 0.0));
            if let (Some(gradient), Some(gain), Some(y)) = last {
                add_products(isa, &mut sums, [gradient, gain, y]);
            }
        }
        let [sums, products] = sums;
        (total(isa, sums) / count, total(isa, products) / count)
    }
}

/// Adds `dy` and `dy y` of a line of gradients, of gains and of normalised values.
#[inline(always)]
fn add_products<I: Isa>(isa: I, [sums, products]: &mut [Sums<I>; 2], [gradient, gain, y]: [[f32; LINE]; 3]) {
    for k in 0..LINE / I::LANES {
        let at = k * I::LANES;
        let dy = isa.mul(isa.load(&gradient[at..]), isa.load(&gain[at..]));
        sums[k] = isa.add(sums[k], dy);
        products[k] = isa.mul_add(dy, isa.load(&y[at..]), products[k]);
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
