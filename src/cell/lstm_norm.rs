//! Long short-term memory with layer normalisation (Ba, Kiros, Hinton 2016, arXiv 1607.06450).
//!
//! `N` is the normalisation of `norm.rs`, over all four gates together where it is of a product. Shifts of the
//! products are the biases; gains are a_ih, a_hh and a_c.
//!
//! ```text
//! forward 1    u = W x        v = R h                                            both kept, of all units
//! forward 2    [i f g o] = a_ih N(u) + b_ih + a_hh N(v) + b_hh
//!              i = s(i)  f = s(f)  g = tanh(g)  o = s(o)
//!              c' = f c + i g                                                    carried as it is
//! forward 3    h' = o tanh(y),   y = a_c N(c') + b_c                             needs c' of all units
//!
//! backward 1   dh as ever;  do = dh tanh(y)  o (1 - o);  dy = dh o (1 - tanh(y)^2)
//! backward 2   dc = dc' + dy a_c through N                                       needs dy of all units
//!              di df dg as in lstm.rs;  to earlier steps: dc f
//! backward 3   du = [di df dg do] a_ih through N,   dv with a_hh                 needs these of all units
//!              to earlier steps: dv R in the next product
//!
//! tape         N(u) x 4   N(v) x 4   N(c')   1/sqrt(..) of u, v, c', each as a plane of equal values
//! gradients    du x 4   dv x 4   [di df dg do]   dy
//! ```
//!
//! Activations, clips and the clip of c' are as in `lstm.rs`.

use super::norm::{gradient_moments, moments, through};
use super::{BackwardTile, C, Cell, ForwardTile, H, NormTraits, Operand, ProjectionTile, Traits};
use crate::activation::{activate, activate_with_slopes};
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LstmNorm;

const I: usize = 0;
const F: usize = 1;
const G: usize = 2;
const O: usize = 3;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;
const OF_OUTPUT: usize = 2;

/// Planes of the tape: N(u) and N(v) of gate 0, N(c'), and the three factors.
const NU: usize = 0;
const NV: usize = 4;
const NC: usize = 8;
const SCALE_U: usize = 9;
const SCALE_V: usize = 10;
const SCALE_C: usize = 11;

/// Planes of the scratch record: u and v of gate 0, and o.
const KEPT_U: usize = 0;
const KEPT_V: usize = 4;
const KEPT_O: usize = 8;

/// Planes of the gradients: of u, v and pre-activation of gate 0, and of y.
const DU: usize = 0;
const DV: usize = 4;
const DA: usize = 8;
const DY: usize = 12;

/// Vectors of the normalisation: gains of u and v of gate 0, shift of gate 0, gain and shift of c'.
const GAIN_U: usize = 0;
const GAIN_V: usize = 4;
const SHIFT: usize = 8;
const GAIN_C: usize = 12;
const SHIFT_C: usize = 13;

impl Cell for LstmNorm {
    const TRAITS: Traits = Traits {
        gates: 4,
        hidden_gates: 4,
        biases: 4,
        state: 2,
        tape: 12,
        scratch: 9,
        grads: 13,
        recurrent: &[
            (DV + I, Operand::Hidden),
            (DV + F, Operand::Hidden),
            (DV + G, Operand::Hidden),
            (DV + O, Operand::Hidden),
        ],
        projection: None,
        norm: Some(NormTraits {
            phases: 3,
            gates: &[(DA, DA), (DA + F, DA + F), (DA + G, DA + G), (DA + O, DA + O)],
            output: Some((DY, NC)),
        }),
    };
    const ACCUMULATORS: [usize; 3] = [4, 1, 1];

    #[inline(always)]
    fn project<S: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, S, R, U>) {
        t.project::<4>();
    }

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, S, R, U>) {
        let (isa, options, units) = (t.isa, t.options(), t.units());
        if PHASE == 0 {
            // There are no biases in these sums.
            let input = t.input::<4>();
            let mut hidden = [[[isa.zero(); U]; 4]; R];
            t.add_hidden(&mut hidden);
            for r in 0..R {
                for u in 0..U {
                    for gate in [I, F, G, O] {
                        t.keep(r, u, KEPT_U + gate, [input[r][gate][u]]);
                        t.keep(r, u, KEPT_V + gate, [hidden[r][gate][u]]);
                    }
                }
            }
        } else if PHASE == 1 {
            let mut sums = [[[isa.zero(); U]; 4]; R];
            for r in 0..R {
                let planes = [I, F, G, O].map(|gate| t.scratch_row(r, KEPT_U + gate));
                let (mean_u, scale_u) = moments(isa, planes, units, t.epsilon());
                let planes = [I, F, G, O].map(|gate| t.scratch_row(r, KEPT_V + gate));
                let (mean_v, scale_v) = moments(isa, planes, units, t.epsilon());
                let (mean_u, mean_v) = (isa.splat(mean_u), isa.splat(mean_v));
                let (scale_u, scale_v) = (isa.splat(scale_u), isa.splat(scale_v));
                for u in 0..U {
                    for gate in [I, F, G, O] {
                        let nu = isa.mul(isa.sub(t.scratch(r, u, KEPT_U + gate), mean_u), scale_u);
                        let nv = isa.mul(isa.sub(t.scratch(r, u, KEPT_V + gate), mean_v), scale_v);
                        t.record(r, u, NU + gate, [nu]);
                        t.record(r, u, NV + gate, [nv]);
                        let sum = isa.mul_add(t.norm(u, GAIN_U + gate), nu, t.norm(u, SHIFT + gate));
                        sums[r][gate][u] = isa.mul_add(t.norm(u, GAIN_V + gate), nv, sum);
                    }
                    t.record(r, u, SCALE_U, [scale_u, scale_v]);
                }
            }
            let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
            let (g, o) = (options.gate(G, OF_CANDIDATE), options.gate(O, OF_GATE));
            activate(isa, &mut sums, &[i, f, g, o]);
            for r in 0..R {
                for u in 0..U {
                    let [i, f, g] = [sums[r][I][u], sums[r][F][u], sums[r][G][u]];
                    let next = isa.mul_add(f, t.state(r, u, C), isa.mul(i, g));
                    let clip = options.cell_clip;
                    t.set_cell_state(true, r, u, isa.min(isa.splat(clip), isa.max(isa.splat(-clip), next)));
                    t.keep(r, u, KEPT_O, [sums[r][O][u]]);
                }
            }
        } else {
            let mut y = [[[isa.zero(); U]; 1]; R];
            for r in 0..R {
                let (mean, scale) = moments(isa, [t.after_row(r, t.new_cell_state())], units, t.epsilon());
                let (mean, scale) = (isa.splat(mean), isa.splat(scale));
                for u in 0..U {
                    let n = isa.mul(isa.sub(t.after(r, u, t.new_cell_state()), mean), scale);
                    t.record(r, u, NC, [n]);
                    t.record(r, u, SCALE_C, [scale]);
                    y[r][0][u] = isa.mul_add(t.norm(u, GAIN_C), n, t.norm(u, SHIFT_C));
                }
            }
            activate(isa, &mut y, &[options.output(0, OF_OUTPUT)]);
            for r in 0..R {
                for u in 0..U {
                    t.set_hidden(true, r, u, isa.mul(t.scratch(r, u, KEPT_O), y[r][0][u]));
                }
            }
        }
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, S, R, U>) {
        let (isa, options, units) = (t.isa, t.options(), t.units());
        if PHASE == 0 {
            let dh = t.hidden_gradient(true, &[DV + I, DV + F, DV + G, DV + O]);
            if t.is_initial() {
                return t.set_initial(dh);
            }
            // o, and y in the second place.
            let mut values = [[[isa.zero(); U]; 2]; R];
            for r in 0..R {
                for u in 0..U {
                    values[r][0][u] = pre_activation(t, r, u, O);
                    values[r][1][u] = isa.mul_add(t.norm(u, GAIN_C), t.tape(r, u, NC), t.norm(u, SHIFT_C));
                }
            }
            let gates = [options.gate(0, OF_GATE), options.output(1, OF_OUTPUT)];
            let slopes = activate_with_slopes(isa, &mut values, &gates);
            for r in 0..R {
                for u in 0..U {
                    let (dh, [o, y], [to_o, to_y]) =
                        (dh[r][0][u], [values[r][0][u], values[r][1][u]], [slopes[r][0][u], slopes[r][1][u]]);
                    t.set_gradient(r, u, DA + O, isa.mul(isa.mul(dh, y), to_o));
                    t.set_gradient(r, u, DY, isa.mul(isa.mul(dh, o), to_y));
                    t.set_carry(r, u, H, isa.zero());
                }
            }
        } else if PHASE == 1 {
            let mut values = [[[isa.zero(); U]; 3]; R];
            for r in 0..R {
                for u in 0..U {
                    for gate in [I, F, G] {
                        values[r][gate][u] = pre_activation(t, r, u, gate);
                    }
                }
            }
            let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
            let slopes = activate_with_slopes(isa, &mut values, &[i, f, options.gate(G, OF_CANDIDATE)]);
            for r in 0..R {
                let (gradient, gain) = ([t.gradient_row(r, DY)], [t.norm_row(GAIN_C)]);
                let means = gradient_moments(isa, gradient, gain, [t.tape_row(r, NC)], units);
                for u in 0..U {
                    let [i, f, g] = [values[r][I][u], values[r][F][u], values[r][G][u]];
                    let [to_i, to_f, to_g] = [slopes[r][I][u], slopes[r][F][u], slopes[r][G][u]];
                    let c = t.before(r, u, C);
                    let dy = isa.mul(t.gradient(r, u, DY), t.norm(u, GAIN_C));
                    let through_y = through(isa, dy, t.tape(r, u, NC), t.tape(r, u, SCALE_C), means);
                    let (later, past) = t.cell_gradient(true, r, u);
                    let dc = isa.add(later, through_y);
                    let next = isa.mul_add(f, c, isa.mul(i, g));
                    let dc = isa.if_greater(isa.abs(next), isa.splat(options.cell_clip), isa.zero(), dc);
                    t.set_gradient(r, u, DA + I, isa.mul(isa.mul(dc, g), to_i));
                    t.set_gradient(r, u, DA + F, isa.mul(isa.mul(dc, c), to_f));
                    t.set_gradient(r, u, DA + G, isa.mul(isa.mul(dc, i), to_g));
                    t.set_carry(r, u, C, isa.mul_add(dc, f, past));
                }
            }
        } else {
            for r in 0..R {
                for (gain, normalised, scale, to) in [(GAIN_U, NU, SCALE_U, DU), (GAIN_V, NV, SCALE_V, DV)] {
                    let gates = [I, F, G, O];
                    let gradients = gates.map(|gate| t.gradient_row(r, DA + gate));
                    let gains = gates.map(|gate| t.norm_row(gain + gate));
                    let rows = gates.map(|gate| t.tape_row(r, normalised + gate));
                    let means = gradient_moments(isa, gradients, gains, rows, units);
                    for u in 0..U {
                        for gate in gates {
                            let dy = isa.mul(t.gradient(r, u, DA + gate), t.norm(u, gain + gate));
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

/// What a gate is the activation of, from the tape.
#[inline(always)]
fn pre_activation<S: Isa, const R: usize, const U: usize>(
    t: &BackwardTile<'_, S, R, U>,
    r: usize,
    u: usize,
    gate: usize,
) -> S::Vector {
    let sum = t.isa.mul_add(t.norm(u, GAIN_U + gate), t.tape(r, u, NU + gate), t.norm(u, SHIFT + gate));
    t.isa.mul_add(t.norm(u, GAIN_V + gate), t.tape(r, u, NV + gate), sum)
}
