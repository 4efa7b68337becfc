//! Gated recurrent unit, reset after the recurrent product, with layer normalisation (after Ba, Kiros, Hinton 2016,
//! arXiv 1607.06450; here all three gates of a product are normalised together, as those of the LSTM are).
//!
//! `N` is the normalisation of `norm.rs`. Shifts of the products are the biases; gains are a_ih and a_hh.
//!
//! ```text
//! forward 1    u = W x        v = R h                                       both kept, of all units
//! forward 2    [r z p] = a_ih N(u) + b_ih        [r z q] += a_hh N(v) + b_hh
//!              r = s(r)  z = s(z)  n = tanh(p + r q)
//!              h' = n + z (h - n)
//!
//! backward 1   dr dz dn dq as in gru_after.rs;  to earlier steps: dh z
//! backward 2   du = [dr dz dn] a_ih through N,   dv = [dr dz dq] a_hh through N     needs these of all units
//!              to earlier steps: dv R in the next product
//!
//! tape         N(u) x 3   N(v) x 3   1/sqrt(..) of u and v, each as a plane of equal values
//! gradients    du x 3   dv x 3   dr dz dn dq
//! ```

use super::norm::{gradient_moments, moments, through};
use super::{BackwardTile, Cell, ForwardTile, H, NormTraits, Operand, ProjectionTile, Traits};
use crate::activation::{activate, activate_with_slopes};
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruNorm;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const Q: usize = 3;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

/// Planes of the tape, and of the scratch record: of u and v of gate 0; and the two factors.
const NU: usize = 0;
const NV: usize = 3;
const SCALE_U: usize = 6;
const SCALE_V: usize = 7;

/// Planes of the gradients: of u, v and pre-activation of gate 0.
const DU: usize = 0;
const DV: usize = 3;
const DA: usize = 6;

/// Vectors of the normalisation: gains of u and v of gate 0, shift of gate 0; that of q is the fourth.
const GAIN_U: usize = 0;
const GAIN_V: usize = 3;
const SHIFT: usize = 6;

impl Cell for GruNorm {
    const TRAITS: Traits = Traits {
        gates: 3,
        hidden_gates: 3,
        biases: 4,
        state: 1,
        tape: 8,
        scratch: 6,
        grads: 10,
        recurrent: &[(DV + R_, Operand::Hidden), (DV + Z, Operand::Hidden), (DV + N, Operand::Hidden)],
        projection: None,
        norm: Some(NormTraits {
            phases: 2,
            gates: &[(DA + R_, DA + R_), (DA + Z, DA + Z), (DA + N, DA + Q)],
            output: None,
        }),
    };
    const ACCUMULATORS: [usize; 3] = [4, 1, 1];

    #[inline(always)]
    fn project<I: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, I, R, U>) {
        t.project::<3>();
    }

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, I, R, U>) {
        let (isa, options, units) = (t.isa, t.options(), t.units());
        if PHASE == 0 {
            // There are no biases in these sums.
            let input = t.input::<3>();
            let mut hidden = [[[isa.zero(); U]; 3]; R];
            t.add_hidden(&mut hidden);
            for r in 0..R {
                for u in 0..U {
                    for gate in [R_, Z, N] {
                        t.keep(r, u, NU + gate, [input[r][gate][u]]);
                        t.keep(r, u, NV + gate, [hidden[r][gate][u]]);
                    }
                }
            }
        } else {
            // r z n and q.
            let mut sums = [[[isa.zero(); U]; 4]; R];
            for r in 0..R {
                let planes = [R_, Z, N].map(|gate| t.scratch_row(r, NU + gate));
                let (mean_u, scale_u) = moments(isa, planes, units, t.epsilon());
                let planes = [R_, Z, N].map(|gate| t.scratch_row(r, NV + gate));
                let (mean_v, scale_v) = moments(isa, planes, units, t.epsilon());
                let (mean_u, mean_v) = (isa.splat(mean_u), isa.splat(mean_v));
                let (scale_u, scale_v) = (isa.splat(scale_u), isa.splat(scale_v));
                for u in 0..U {
                    for gate in [R_, Z, N] {
                        let nu = isa.mul(isa.sub(t.scratch(r, u, NU + gate), mean_u), scale_u);
                        let nv = isa.mul(isa.sub(t.scratch(r, u, NV + gate), mean_v), scale_v);
                        t.record(r, u, NU + gate, [nu]);
                        t.record(r, u, NV + gate, [nv]);
                        let input = isa.mul_add(t.norm(u, GAIN_U + gate), nu, t.norm(u, SHIFT + gate));
                        let from = if gate == N { t.norm(u, SHIFT + Q) } else { input };
                        let sum = isa.mul_add(t.norm(u, GAIN_V + gate), nv, from);
                        if gate == N {
                            sums[r][N][u] = input;
                            sums[r][Q][u] = sum;
                        } else {
                            sums[r][gate][u] = sum;
                        }
                    }
                    t.record(r, u, SCALE_U, [scale_u, scale_v]);
                }
            }
            activate(isa, &mut sums, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
            for r in 0..R {
                for u in 0..U {
                    sums[r][N][u] = isa.mul_add(sums[r][R_][u], sums[r][Q][u], sums[r][N][u]);
                }
            }
            activate(isa, &mut sums, &[options.gate(N, OF_CANDIDATE)]);
            for r in 0..R {
                for u in 0..U {
                    let (z, n) = (sums[r][Z][u], sums[r][N][u]);
                    t.set_hidden(true, r, u, isa.mul_add(z, isa.sub(t.state(r, u, H), n), n));
                }
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, I, R, U>) {
        let (isa, options, units) = (t.isa, t.options(), t.units());
        let one = isa.splat(1.0);
        if PHASE == 0 {
            let dh = t.hidden_gradient(true, &[DV + R_, DV + Z, DV + N]);
            if t.is_initial() {
                return t.set_initial(dh);
            }
            // r z n and q, as in forward.
            let mut values = [[[isa.zero(); U]; 4]; R];
            for r in 0..R {
                for u in 0..U {
                    for gate in [R_, Z, N] {
                        let (nu, nv) = (t.tape(r, u, NU + gate), t.tape(r, u, NV + gate));
                        let input = isa.mul_add(t.norm(u, GAIN_U + gate), nu, t.norm(u, SHIFT + gate));
                        let from = if gate == N { t.norm(u, SHIFT + Q) } else { input };
                        let sum = isa.mul_add(t.norm(u, GAIN_V + gate), nv, from);
                        if gate == N {
                            values[r][N][u] = input;
                            values[r][Q][u] = sum;
                        } else {
                            values[r][gate][u] = sum;
                        }
                    }
                }
            }
            let gates = [options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)];
            let slopes = activate_with_slopes(isa, &mut values, &gates);
            for r in 0..R {
                for u in 0..U {
                    values[r][N][u] = isa.mul_add(values[r][R_][u], values[r][Q][u], values[r][N][u]);
                }
            }
            let slopes_of_n = activate_with_slopes(isa, &mut values, &[options.gate(N, OF_CANDIDATE)]);
            for r in 0..R {
                for u in 0..U {
                    let dh = dh[r][0][u];
                    let [reset, z, n, q] =
                        [values[r][R_][u], values[r][Z][u], values[r][N][u], values[r][Q][u]];
                    let dn = isa.mul(isa.mul(dh, isa.sub(one, z)), slopes_of_n[r][N][u]);
                    let dz = isa.mul(isa.mul(dh, isa.sub(t.before(r, u, H), n)), slopes[r][Z][u]);
                    t.set_gradient(r, u, DA + R_, isa.mul(isa.mul(dn, q), slopes[r][R_][u]));
                    t.set_gradient(r, u, DA + Z, dz);
                    t.set_gradient(r, u, DA + N, dn);
                    t.set_gradient(r, u, DA + Q, isa.mul(dn, reset));
                    t.set_carry(r, u, H, isa.mul(dh, z));
                }
            }
        } else {
            let sides = [([R_, Z, N], GAIN_U, NU, SCALE_U, DU), ([R_, Z, Q], GAIN_V, NV, SCALE_V, DV)];
            for r in 0..R {
                for (planes, gain, normalised, scale, to) in sides {
                    let gradients = planes.map(|plane| t.gradient_row(r, DA + plane));
                    let gains = [R_, Z, N].map(|gate| t.norm_row(gain + gate));
                    let rows = [R_, Z, N].map(|gate| t.tape_row(r, normalised + gate));
                    let means = gradient_moments(isa, gradients, gains, rows, units);
                    for u in 0..U {
                        for gate in [R_, Z, N] {
                            let dy = isa.mul(t.gradient(r, u, DA + planes[gate]), t.norm(u, gain + gate));
                            let y = t.tape(r, u, normalised + gate);
                            let dx = through(isa, dy, y, t.tape(r, u, scale), means);
                            t.set_gradient(r, u, to + gate, dx);
                        }
                    }
                }
            }
        }
    }
}
