//! `y = x W^T + b` by dot products: no packing, no allocation.
//!
//! **Order of the sum.** Element `i` goes to partial sum `i mod 16`, each of which is one ascending chain,
//! products rounded before they are added; the sixteen are added by halves, and the bias last:
//!
//! ```text
//! s_k  =  x_k w_k + x_(k+16) w_(k+16) + ...                        k = 0..16
//! y    =  b + sum of s by halves: s_k += s_(k+8), then s_k += s_(k+4), s_(k+2), s_(k+1)
//! ```
//!
//! So a value depends only on its row of `x` and its row of `W`, and has the same bits on every level:
//! nothing is fused. A tile is of some rows of `x` and some of `W`, so that what is loaded is used several
//! times and several chains of additions run side by side.
//!
//! With fewer than sixteen inputs each partial sum is one product, and their number is known to the compiler:
//! one row of fourteen inputs takes a quarter of the time for one output, half of it for ten.

use crate::simd::{Dispatched, Isa, Token, dispatch};

/// Partial sums of a dot product.
const LANES: usize = 16;
/// The vectors that hold them: at most four, on the level with four lanes.
const LINE_VECTORS: usize = 4;

/// The operands: `x (B, I)`, `weight (O, I)`, `bias (O)`, `y (B, O)`, of sizes that fit.
pub(super) struct Rows<'a> {
    pub(super) inputs: usize,
    pub(super) x: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) y: &'a mut [f32],
}

impl Rows<'_> {
    /// Computes `y`.
    pub(super) fn run(self) {
        match self.inputs {
            1 => self.few::<1>(),
            2 => self.few::<2>(),
            3 => self.few::<3>(),
            4 => self.few::<4>(),
            5 => self.few::<5>(),
            6 => self.few::<6>(),
            7 => self.few::<7>(),
            8 => self.few::<8>(),
            9 => self.few::<9>(),
            10 => self.few::<10>(),
            11 => self.few::<11>(),
            12 => self.few::<12>(),
            13 => self.few::<13>(),
            14 => self.few::<14>(),
            15 => self.few::<15>(),
            _ => dispatch(Token::best(), self),
        }
    }

    /// Rows of N inputs, fewer than there are partial sums. (`chunks_exact_mut` would divide.)
    fn few<const N: usize>(self) {
        let Rows { x, weight, bias, mut y, .. } = self;
        let (weight, _) = weight.as_chunks::<N>();
        for x in x.as_chunks::<N>().0 {
            let Some((of_row, rest)) = y.split_at_mut_checked(bias.len()) else { return };
            y = rest;
            for ((y, w), bias) in of_row.iter_mut().zip(weight).zip(bias) {
                *y = bias + few_products(x, w);
            }
        }
    }

    /// One row at a time.
    #[inline(always)]
    fn one_by_one<I: Isa, const O: usize>(self, isa: I) {
        let Rows { inputs, x, weight, bias, y } = self;
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(bias.len())) {
            tiles::<I, 1, O>(isa, [x], weight, bias, [y]);
        }
    }

    /// Rows in pairs.
    #[inline(always)]
    fn two_by_two<I: Isa>(self, isa: I) {
        let Rows { inputs, x, weight, bias, y } = self;
        let outputs = bias.len();
        let pairs = x.len() / (2 * inputs);
        let (x, x_rest) = x.split_at(pairs * 2 * inputs);
        let (y, y_rest) = y.split_at_mut(pairs * 2 * outputs);
        for (x, y) in x.chunks_exact(2 * inputs).zip(y.chunks_exact_mut(2 * outputs)) {
            let (x, y) = (x.split_at(inputs), y.split_at_mut(outputs));
            tiles::<I, 2, 2>(isa, [x.0, x.1], weight, bias, [y.0, y.1]);
        }
        Rows { inputs, x: x_rest, weight, bias, y: y_rest }.one_by_one::<I, 4>(isa);
    }
}

impl Dispatched for Rows<'_> {
    type Output = ();

    /// Eight vectors of sums at a time: as many as a core has additions under way, and no more than fit in
    /// registers beside the operands.
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        if I::LANES < 8 { self.one_by_one::<I, 2>(isa) } else { self.two_by_two(isa) }
    }
}

/// The sum of N products in the order of sixteen partial sums, those left out that are zero.
#[inline(always)]
fn few_products<const N: usize>(x: &[f32; N], w: &[f32; N]) -> f32 {
    let mut sums = [0.0; N];
    for k in 0..N {
        sums[k] = x[k] * w[k];
    }
    for half in [8, 4, 2, 1] {
        for k in 0..half {
            if k + half < N {
                sums[k] += sums[k + half];
            }
        }
    }
    // (Partial sums begin at zero, so that none is a negative zero.)
    0.0 + sums[0]
}

/// All outputs of R rows, O at a time.
#[inline(always)]
fn tiles<I: Isa, const R: usize, const O: usize>(
    isa: I,
    x: [&[f32]; R],
    weight: &[f32],
    bias: &[f32],
    mut y: [&mut [f32]; R],
) {
    let inputs = x[0].len();
    let mut at = 0;
    while at + O <= bias.len() {
        let mut w = [&weight[..0]; O];
        for (o, w) in w.iter_mut().enumerate() {
            *w = &weight[(at + o) * inputs..][..inputs];
        }
        let sums = dots(isa, x, w);
        for (y, sums) in y.iter_mut().zip(sums) {
            for o in 0..O {
                y[at + o] = bias[at + o] + sums[o];
            }
        }
        at += O;
    }
    while at < bias.len() {
        let sums = dots(isa, x, [&weight[at * inputs..][..inputs]]);
        for (y, [sum]) in y.iter_mut().zip(sums) {
            y[at] = bias[at] + sum;
        }
        at += 1;
    }
}

/// The dot products of R rows with O rows, all of one length.
#[inline(always)]
fn dots<I: Isa, const R: usize, const O: usize>(isa: I, x: [&[f32]; R], w: [&[f32]; O]) -> [[f32; O]; R] {
    let count = x[0].len();
    let mut sums = [[[isa.zero(); LINE_VECTORS]; O]; R];
    let mut at = 0;
    while at + LANES <= count {
        add(isa, &mut sums, x, w, at, at + LANES);
        at += LANES;
    }
    if at < count {
        add(isa, &mut sums, x, w, at, count);
    }
    let mut stored = [[[0.0; LANES]; O]; R];
    for r in 0..R {
        for o in 0..O {
            for k in 0..LANES / I::LANES {
                isa.store(&mut stored[r][o][k * I::LANES..], sums[r][o][k]);
            }
        }
    }
    halve(&stored)
}

/// Adds the products of the elements from `at` to `end`, at most sixteen.
#[inline(always)]
fn add<I: Isa, const R: usize, const O: usize>(
    isa: I,
    sums: &mut [[[I::Vector; LINE_VECTORS]; O]; R],
    x: [&[f32]; R],
    w: [&[f32]; O],
    at: usize,
    end: usize,
) {
    let mut of_w = [[isa.zero(); LINE_VECTORS]; O];
    for o in 0..O {
        of_w[o] = lanes(isa, &w[o][at..end]);
    }
    for r in 0..R {
        let of_x = lanes(isa, &x[r][at..end]);
        for o in 0..O {
            for k in 0..LANES / I::LANES {
                sums[r][o][k] = isa.add(sums[r][o][k], isa.mul(of_x[k], of_w[o][k]));
            }
        }
    }
}

/// Sixteen values, or fewer and zeros after them, which add nothing to a sum.
#[inline(always)]
fn lanes<I: Isa>(isa: I, values: &[f32]) -> [I::Vector; LINE_VECTORS] {
    let mut lanes = [isa.zero(); LINE_VECTORS];
    if values.len() == LANES {
        for k in 0..LANES / I::LANES {
            lanes[k] = isa.load(&values[k * I::LANES..]);
        }
    } else {
        for k in 0..LANES / I::LANES {
            let (start, end) = (values.len().min(k * I::LANES), values.len().min((k + 1) * I::LANES));
            lanes[k] = isa.load_partial(&values[start..end]);
        }
    }
    lanes
}

/// The sums of sixteen numbers each, by halves. Outside of the level, where the compiler finds better code
/// for it than inlined.
#[inline(never)]
fn halve<const R: usize, const O: usize>(sums: &[[[f32; LANES]; O]; R]) -> [[f32; O]; R] {
    let mut dots = [[0.0; O]; R];
    for r in 0..R {
        for o in 0..O {
            let mut sums = sums[r][o];
            for half in [8, 4, 2, 1] {
                for k in 0..half {
                    sums[k] += sums[k + half];
                }
            }
            dots[r][o] = sums[0];
        }
    }
    dots
}
