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
//! nothing is fused. The loops are plain code that the compiler turns into vectors, sixteen floats wide where
//! the machine has them. A tile is of some rows of `x` and some of `W`, so that what is loaded is used
//! several times and several chains of additions run side by side.

use crate::simd::{Isa, Kernel, Token, dispatch};

/// Partial sums of a dot product.
const LANES: usize = 16;
const HALF: usize = LANES / 2;
/// The number of multiply-adds from which it pays to ask which instructions the machine has.
const SMALL: usize = 256;

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
        if self.x.len().saturating_mul(self.bias.len()) < SMALL {
            self.one_by_one::<2>();
        } else {
            dispatch(Token::best(), self);
        }
    }

    /// One row at a time.
    #[inline(always)]
    fn one_by_one<const O: usize>(self) {
        let Rows { inputs, x, weight, bias, y } = self;
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(bias.len())) {
            tiles::<1, O>([x], weight, bias, [y]);
        }
    }

    /// Rows in pairs.
    #[inline(always)]
    fn two_by_two(self) {
        let Rows { inputs, x, weight, bias, y } = self;
        let outputs = bias.len();
        let pairs = x.len() / (2 * inputs);
        let (x, x_rest) = x.split_at(pairs * 2 * inputs);
        let (y, y_rest) = y.split_at_mut(pairs * 2 * outputs);
        for (x, y) in x.chunks_exact(2 * inputs).zip(y.chunks_exact_mut(2 * outputs)) {
            let (x, y) = (x.split_at(inputs), y.split_at_mut(outputs));
            tiles::<2, 2>([x.0, x.1], weight, bias, [y.0, y.1]);
        }
        Rows { inputs, x: x_rest, weight, bias, y: y_rest }.one_by_one::<4>();
    }
}

impl Kernel for Rows<'_> {
    type Output = ();

    /// Eight vectors of sums at a time: as many additions as are under way at once, and no more than there
    /// are registers for beside the operands.
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        if I::LANES < 8 { self.one_by_one::<2>() } else { self.two_by_two() }
    }
}

/// All outputs of R rows, O at a time.
#[inline(always)]
fn tiles<const R: usize, const O: usize>(
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
        let sums = dots(x, w);
        for (y, sums) in y.iter_mut().zip(sums) {
            for o in 0..O {
                y[at + o] = bias[at + o] + sums[o];
            }
        }
        at += O;
    }
    while at < bias.len() {
        let sums = dots(x, [&weight[at * inputs..][..inputs]]);
        for (y, [sum]) in y.iter_mut().zip(sums) {
            y[at] = bias[at] + sum;
        }
        at += 1;
    }
}

/// The dot products of R rows with O rows, all of one length.
#[inline(always)]
fn dots<const R: usize, const O: usize>(x: [&[f32]; R], w: [&[f32]; O]) -> [[f32; O]; R] {
    // The slices are cut to one length here, so the loop needs no checks.
    let count = x[0].len();
    let (x, w) = (x.map(|x| &x[..count]), w.map(|w| &w[..count]));
    let mut sums = [[[0.0; LANES]; O]; R];
    let mut at = 0;
    while at + LANES <= count {
        add::<R, O, LANES>(&mut sums, x.map(|x| &x[at..at + LANES]), w.map(|w| &w[at..at + LANES]));
        at += LANES;
    }
    if at + HALF <= count {
        add::<R, O, HALF>(&mut sums, x.map(|x| &x[at..at + HALF]), w.map(|w| &w[at..at + HALF]));
        at += HALF;
    }
    if at < count {
        // The last elements, padded with zeros, which add nothing. An index into the sums would keep the sums
        // in memory.
        let (mut last_x, mut last_w) = ([[0.0; LANES]; R], [[0.0; LANES]; O]);
        for (last, values) in last_x.iter_mut().zip(&x).chain(last_w.iter_mut().zip(&w)) {
            for (last, value) in last[at % LANES..].iter_mut().zip(&values[at..]) {
                *last = *value;
            }
        }
        let (x, w) = (last_x.each_ref().map(|x| &x[..]), last_w.each_ref().map(|w| &w[..]));
        add::<R, O, LANES>(&mut sums, x, w);
    }
    // (By loops: `map` was left outside of the level.)
    let mut dots = [[0.0; O]; R];
    for r in 0..R {
        for o in 0..O {
            dots[r][o] = halve(&sums[r][o]);
        }
    }
    dots
}

/// Adds the products of N elements to the first N partial sums.
#[inline(always)]
fn add<const R: usize, const O: usize, const N: usize>(
    sums: &mut [[[f32; LANES]; O]; R],
    x: [&[f32]; R],
    w: [&[f32]; O],
) {
    let (x, w) = (x.map(|x| &x[..N]), w.map(|w| &w[..N]));
    for r in 0..R {
        for o in 0..O {
            for k in 0..N {
                sums[r][o][k] += x[r][k] * w[o][k];
            }
        }
    }
}

/// The sum of sixteen numbers, by halves. It is not inlined: the compiler would use this order to split the
/// sums of the loop above into pairs.
#[inline(never)]
fn halve(sums: &[f32; LANES]) -> f32 {
    let mut sums = *sums;
    for half in [8, 4, 2, 1] {
        for k in 0..half {
            sums[k] += sums[k + half];
        }
    }
    sums[0]
}
