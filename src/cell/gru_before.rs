//! Gated recurrent unit, reset before the recurrent product (Cho et al. 2014; ONNX's default).
//!
//! ```text
//! forward 1    [r z p] = b + W x,   [r z] += R h      p: the candidate without its recurrent side
//!              r = s(r)  z = s(z)                     kept for phase 2: z, p, v = r h
//! forward 2    n = tanh(p + R v)                      needs v of all units
//!              h' = n + z (h - n)
//!
//! backward 1   dn  = dh (1 - z) (1 - n^2)             gradients before the activations
//!              dz  = dh (h - n) z (1 - z)
//!              to earlier steps: dh z
//! backward 2   dv  = dn R                             needs dn of all units
//!              dr  = dv h r (1 - r)
//!              to earlier steps: + dv r, and [dr dz] R in the next product
//!
//! tape         r z n v
//! ```
//!
//! With options: any activations in the places of s and tanh, and r, z and p + R v clamped before them. The
//! tape then keeps r z n before clips and activations, from which value and slope of any are exact.

use super::{BackwardTile, Cell, ForwardTile, H, Operand, ProjectionTile, Traits};
use crate::activation::{activate, activate_with_slopes, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `CHOSEN`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruResetBefore<const CHOSEN: bool>;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const V: usize = 3;

/// Planes of the scratch record.
const KEPT_Z: usize = 0;
const KEPT_P: usize = 1;
const KEPT_V: usize = 2;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

impl<const CHOSEN: bool> Cell for GruResetBefore<CHOSEN> {
    const TRAITS: Traits = Traits {
        gates: 3,
        hidden_gates: 2,
        biases: 3,
        state: 1,
        tape: 4,
        scratch: 3,
        grads: 3,
        recurrent: &[(R_, Operand::Hidden), (Z, Operand::Hidden), (N, Operand::Tape(V))],
        projection: None,
        norm: None,
    };
    const ACCUMULATORS: [usize; 3] = [3, 1, 1];

    #[inline(always)]
    fn project<I: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, I, R, U>) {
        t.project::<3>();
    }

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, I, R, U>) {
        let isa = t.isa;
        if PHASE == 0 {
            let sums = t.input::<3>();
            let mut gates = [[[isa.zero(); U]; 2]; R];
            for r in 0..R {
                gates[r] = [sums[r][R_], sums[r][Z]];
            }
            t.add_hidden(&mut gates);
            if CHOSEN {
                for r in 0..R {
                    for u in 0..U {
                        t.record(r, u, R_, [gates[r][R_][u], gates[r][Z][u]]);
                    }
                }
                let options = t.options();
                activate(isa, &mut gates, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
            }
            for r in 0..R {
                for u in 0..U {
                    let [mut reset, mut z] = [gates[r][R_][u], gates[r][Z][u]];
                    if !CHOSEN {
                        (reset, z) = (sigmoid(isa, reset), sigmoid(isa, z));
                        t.record(r, u, R_, [reset, z]);
                    }
                    let v = isa.mul(reset, t.multiplied(r, u));
                    t.keep(r, u, 0, [z, sums[r][N][u], v]);
                    t.record(r, u, V, [v]);
                }
            }
        } else {
            let mut sums = [[[isa.zero(); U]; 1]; R];
            for r in 0..R {
                for u in 0..U {
                    sums[r][0][u] = t.scratch(r, u, KEPT_P);
                }
            }
            t.add_second(&mut sums, KEPT_V);
            if CHOSEN {
                for r in 0..R {
                    for u in 0..U {
                        t.record(r, u, N, [sums[r][0][u]]);
                    }
                }
                activate(isa, &mut sums, &[t.options().gate(0, OF_CANDIDATE)]);
            }
            for r in 0..R {
                for u in 0..U {
                    let mut n = sums[r][0][u];
                    let z = t.scratch(r, u, KEPT_Z);
                    if !CHOSEN {
                        n = tanh(isa, n);
                        t.record(r, u, N, [n]);
                    }
                    t.set_hidden(CHOSEN, r, u, isa.mul_add(z, isa.sub(t.state(r, u, H), n), n));
                }
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, I, R, U>) {
        let isa = t.isa;
        let one = isa.splat(1.0);
        if PHASE == 0 {
            let dh = t.hidden_gradient(CHOSEN, &[R_, Z]);
            if t.is_initial() {
                return t.set_initial(dh);
            }
            // z n and their slopes. Plain, they are read one by one below.
            let mut values = [[[isa.zero(); U]; 2]; R];
            let mut slopes = values;
            if CHOSEN {
                for r in 0..R {
                    for u in 0..U {
                        (values[r][0][u], values[r][1][u]) = (t.tape(r, u, Z), t.tape(r, u, N));
                    }
                }
                let gates = [t.options().gate(0, OF_GATE), t.options().gate(1, OF_CANDIDATE)];
                slopes = activate_with_slopes(isa, &mut values, &gates);
            }
            for r in 0..R {
                for u in 0..U {
                    let dh = dh[r][0][u];
                    let [mut z, mut n] = [values[r][0][u], values[r][1][u]];
                    let [mut to_z, mut to_n] = [slopes[r][0][u], slopes[r][1][u]];
                    if !CHOSEN {
                        (z, n) = (t.tape(r, u, Z), t.tape(r, u, N));
                        (to_z, to_n) = (slope_of_sigmoid(isa, z), slope_of_tanh(isa, n));
                    }
                    let rest = isa.sub(one, z);
                    let dn = isa.mul(isa.mul(dh, rest), to_n);
                    let dz = isa.mul(isa.mul(dh, isa.sub(t.before(r, u, H), n)), to_z);
                    t.set_gradient(r, u, Z, dz);
                    t.set_gradient(r, u, N, dn);
                    t.set_carry(r, u, H, isa.mul(dh, z));
                }
            }
        } else {
            let mut dv = [[[isa.zero(); U]; 1]; R];
            t.add_second(&mut dv, N);
            let mut resets = [[[isa.zero(); U]; 1]; R];
            for r in 0..R {
                for u in 0..U {
                    resets[r][0][u] = t.tape(r, u, R_);
                }
            }
            let mut slopes = resets;
            if CHOSEN {
                slopes = activate_with_slopes(isa, &mut resets, &[t.options().gate(0, OF_GATE)]);
            }
            for r in 0..R {
                for u in 0..U {
                    let (dv, reset, mut slope) = (dv[r][0][u], resets[r][0][u], slopes[r][0][u]);
                    if !CHOSEN {
                        slope = slope_of_sigmoid(isa, reset);
                    }
                    let dr = isa.mul(isa.mul(dv, t.multiplied(r, u)), slope);
                    t.set_gradient(r, u, R_, dr);
                    t.set_carry(r, u, H, isa.mul_add(t.masked(r, u, dv), reset, t.carry(r, u, H)));
                }
            }
        }
    }
}
