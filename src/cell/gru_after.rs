//! Gated recurrent unit, reset after the recurrent product (PyTorch, cuDNN, Keras's default).
//!
//! ```text
//! forward      [r z p] = b + W x                      p: the input side of the candidate
//!              [r z q] = .. + R h                     q: its recurrent side, from a bias of its own
//!              r = s(r)  z = s(z)  n = tanh(p + r q)
//!              h' = n + z (h - n)
//!
//! backward     dn  = dh (1 - z) (1 - n^2)             gradients before the activations
//!              dz  = dh (h - n) z (1 - z)
//!              dr  = dn q r (1 - r)
//!              dq  = dn r                             n on the recurrent side
//!              to earlier steps: dh z, and [dr dz dq] R in the next product
//!
//! tape         r z n q
//! gradients    dr dz dn dq: the first three belong to W, the others but dn to R
//! ```
//!
//! With options: any activations in the places of s and tanh, and r, z and all of p + r q clamped before them.
//! The tape then keeps r z n before clips and activations, from which value and slope of any are exact.

use super::{BackwardTile, Cell, ForwardTile, H, Operand, ProjectionTile, Traits};
use crate::activation::{activate, activate_with_slopes, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `CHOSEN`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruResetAfter<const CHOSEN: bool>;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const Q: usize = 3;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

impl<const CHOSEN: bool> Cell for GruResetAfter<CHOSEN> {
    const TRAITS: Traits = Traits {
        gates: 3,
        hidden_gates: 3,
        biases: 4,
        state: 1,
        tape: 4,
        scratch: 0,
        grads: 4,
        recurrent: &[(R_, Operand::Hidden), (Z, Operand::Hidden), (Q, Operand::Hidden)],
        projection: None,
        norm: None,
    };
    const ACCUMULATORS: [usize; 3] = [4, 4, 1];

    #[inline(always)]
    fn project<I: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, I, R, U>) {
        t.project::<3>();
    }

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, I, R, U>) {
        let isa = t.isa;
        let mut sums = t.input::<3>();
        // The recurrent product goes on in the accumulators of r and z, and for n into its own.
        let mut inputs = [[isa.zero(); U]; R];
        let recurrent_bias = t.bias::<1>(Q);
        for r in 0..R {
            for u in 0..U {
                inputs[r][u] = sums[r][N][u];
                sums[r][N][u] = recurrent_bias[r][0][u];
            }
        }
        t.add_hidden(&mut sums);
        let options = t.options();
        if CHOSEN {
            for r in 0..R {
                for u in 0..U {
                    t.record(r, u, R_, [sums[r][R_][u], sums[r][Z][u]]);
                }
            }
            activate(isa, &mut sums, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
        }
        // Two passes over the rows, because n waits for r: cut there, each half leaves the processor enough
        // rows to fill the latency.
        let mut resets = [[isa.zero(); U]; R];
        for r in 0..R {
            for u in 0..U {
                resets[r][u] = sums[r][R_][u];
                if !CHOSEN {
                    resets[r][u] = sigmoid(isa, sums[r][R_][u]);
                    sums[r][Z][u] = sigmoid(isa, sums[r][Z][u]);
                }
            }
        }
        if CHOSEN {
            for r in 0..R {
                for u in 0..U {
                    let q = sums[r][N][u];
                    let n = isa.mul_add(resets[r][u], q, inputs[r][u]);
                    t.record(r, u, N, [n, q]);
                    sums[r][N][u] = n;
                }
            }
            activate(isa, &mut sums, &[options.gate(N, OF_CANDIDATE)]);
        }
        for r in 0..R {
            for u in 0..U {
                let (reset, z, mut n) = (resets[r][u], sums[r][Z][u], sums[r][N][u]);
                if !CHOSEN {
                    let q = n;
                    n = tanh(isa, isa.mul_add(reset, q, inputs[r][u]));
                    t.record(r, u, 0, [reset, z, n, q]);
                }
                t.set_hidden(CHOSEN, r, u, isa.mul_add(z, isa.sub(t.state(r, u, H), n), n));
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, I, R, U>) {
        let isa = t.isa;
        let one = isa.splat(1.0);
        let dh = t.hidden_gradient(CHOSEN, &[R_, Z, Q]);
        if t.is_initial() {
            return t.set_initial(dh);
        }
        // r z n and their slopes. Plain, they are read one by one below.
        let mut values = [[[isa.zero(); U]; 3]; R];
        let mut slopes = values;
        if CHOSEN {
            for r in 0..R {
                for u in 0..U {
                    for gate in [R_, Z, N] {
                        values[r][gate][u] = t.tape(r, u, gate);
                    }
                }
            }
            let options = t.options();
            let (reset, z) = (options.gate(R_, OF_GATE), options.gate(Z, OF_GATE));
            let gates = [reset, z, options.gate(N, OF_CANDIDATE)];
            slopes = activate_with_slopes(isa, &mut values, &gates);
        }
        for r in 0..R {
            for u in 0..U {
                let dh = dh[r][0][u];
                let [mut reset, mut z, mut n] = [values[r][R_][u], values[r][Z][u], values[r][N][u]];
                let [mut to_r, mut to_z, mut to_n] = [slopes[r][R_][u], slopes[r][Z][u], slopes[r][N][u]];
                if !CHOSEN {
                    (reset, z, n) = (t.tape(r, u, R_), t.tape(r, u, Z), t.tape(r, u, N));
                    (to_r, to_z) = (slope_of_sigmoid(isa, reset), slope_of_sigmoid(isa, z));
                    to_n = slope_of_tanh(isa, n);
                }
                let q = t.tape(r, u, Q);
                let rest = isa.sub(one, z);
                let dn = isa.mul(isa.mul(dh, rest), to_n);
                let dz = isa.mul(isa.mul(dh, isa.sub(t.before(r, u, H), n)), to_z);
                let dr = isa.mul(isa.mul(dn, q), to_r);
                t.set_gradient(r, u, R_, dr);
                t.set_gradient(r, u, Z, dz);
                t.set_gradient(r, u, N, dn);
                t.set_gradient(r, u, Q, isa.mul(dn, reset));
                t.set_carry(r, u, H, isa.mul(dh, z));
            }
        }
    }
}
