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
//! So a value depends on its row of `x` and its row of `W` alone, and has the same bits on every level of the
//! machine: nothing is fused. The loops are plain code that the compiler turns into vectors, sixteen floats
//! wide where the machine has them. A tile is of some rows of `x` and some of `W`, so that what is loaded is
//! used several times and several chains of additions run side by side.

use crate::simd::{Isa, Kernel, Token, dispatch};

/// Partial sums of a dot product.
const LANES: usize = 16;
/// Multiply-adds from which on asking for the instructions of the machine pays.
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
            self.compute();
        } else {
            dispatch(Token::best(), self);
        }
    }

    #[inline(always)]
    fn compute(self) {
        let Rows { inputs, x, weight, bias, y } = self;
        let outputs = bias.len();
        let mut x_pairs = x.chunks_exact(2 * inputs);
        let mut y_pairs = y.chunks_exact_mut(2 * outputs);
        for (x, y) in (&mut x_pairs).zip(&mut y_pairs) {
            let (x, y) = (x.split_at(inputs), y.split_at_mut(outputs));
            tiles([x.0, x.1], weight, bias, [y.0, y.1]);
        }
        if let (x @ [_, ..], y @ [_, ..]) = (x_pairs.remainder(), y_pairs.into_remainder()) {
            tiles([x], weight, bias, [y]);
        }
    }
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        self.compute();
    }
}

/// All outputs of R rows.
#[inline(always)]
fn tiles<const R: usize>(x: [&[f32]; R], weight: &[f32], bias: &[f32], mut y: [&mut [f32]; R]) {
    let inputs = x[0].len();
    let mut at = 0;
    while at + 4 <= bias.len() {
        let w = &weight[at * inputs..(at + 4) * inputs];
        let w = [0, 1, 2, 3].map(|o| &w[o * inputs..][..inputs]);
        let sums = dots(x, w);
        for (y, sums) in y.iter_mut().zip(sums) {
            for o in 0..4 {
                y[at + o] = bias[at + o] + sums[o];
            }
        }
        at += 4;
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
    let mut sums = [[[0.0; LANES]; O]; R];
    let mut at = 0;
    let count = x[0].len();
    while at + LANES <= count {
        add::<R, O, LANES>(&mut sums, x, w, at);
        at += LANES;
    }
    if at + LANES / 2 <= count {
        add::<R, O, { LANES / 2 }>(&mut sums, x, w, at);
        at += LANES / 2;
    }
    let lane = at % LANES;
    for (lane, at) in (lane..).zip(at..count) {
        for r in 0..R {
            for o in 0..O {
                sums[r][o][lane] += x[r][at] * w[o][at];
            }
        }
    }
    sums.map(|sums| sums.map(halve))
}

/// Adds the products of N elements from `at` on to the first N partial sums.
#[inline(always)]
fn add<const R: usize, const O: usize, const N: usize>(
    sums: &mut [[[f32; LANES]; O]; R],
    x: [&[f32]; R],
    w: [&[f32]; O],
    at: usize,
) {
    let x: [&[f32]; R] = x.map(|x| &x[at..at + N]);
    for o in 0..O {
        let w = &w[o][at..at + N];
        for r in 0..R {
            for k in 0..N {
                sums[r][o][k] += x[r][k] * w[k];
            }
        }
    }
}

/// The sum of sixteen numbers, by halves.
#[inline(always)]
fn halve(mut sums: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for k in 0..half {
            sums[k] += sums[k + half];
        }
    }
    sums[0]
}
