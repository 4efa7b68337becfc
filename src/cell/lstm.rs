//! Long short-term memory.
//!
//! ```text
//! forward      [i f g o] = b + W x + R h              one product, four accumulators
//!              i = s(i)  f = s(f)  g = tanh(g)  o = s(o)
//!              c' = f c + i g
//!              h' = o tanh(c')
//!
//! backward     dc  = dc' + dh o (1 - tanh(c')^2)
//!              di  = dc g  i (1 - i)                  gradients before the activations
//!              df  = dc c  f (1 - f)
//!              dg  = dc i  (1 - g^2)
//!              do  = dh tanh(c')  o (1 - o)
//!              to earlier steps: dc f, and [di df dg do] R in the next product
//!
//! tape         i f g o; c and h are in the states, tanh(c') is computed again, which is cheaper than
//!              to write and read it
//! ```
//!
//! With options, in this order:
//!
//! ```text
//! peephole     i += p_i c    f += p_f c    o += p_o c'               dc += do p_o,  dc to earlier + di p_i + df p_f
//! clip         i f g o clamped before their activations              gradient 0 where clamped
//! activations  any in the places of s, tanh, and tanh of c'          their slopes
//! coupled      f = 1 - i                                             di = dc (g - c),  df = 0
//! cell clip    c' clamped, before p_o and the output see it          dc = 0 where clamped
//!
//! tape         i f g o before clips and activations, from which value and slope of any are exact
//! ```
//!
//! With a projection (LSTMP: Sak, Senior, Beaufays 2014, arXiv 1402.1128) the hidden state is P wide and made in
//! a second phase, which needs m of all units:
//!
//! ```text
//! forward 2    h' = W_hr m,    m = o tanh(c')         m: in the tape
//! backward 1   dh as ever, P wide                     kept as a fifth gradient, for W_hr
//! backward 2   dm = dh W_hr, in the place of dh above
//! ```

use super::{BackwardTile, C, Cell, ForwardTile, H, Operand, ProjectionTile, Traits};
use crate::activation::{activate, activate_with_slopes, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `CHOSEN`, with a projection where `PROJECTED`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lstm<const CHOSEN: bool, const PROJECTED: bool>;

const I: usize = 0;
pub(super) const F: usize = 1;
const G: usize = 2;
const O: usize = 3;
/// The activation of c' in a tile, where it has a place beside the gates.
const A: usize = 4;

/// The plane of the tape that has m, and that of the gradients that has dh.
const M: usize = 4;
const DH: usize = 4;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;
const OF_OUTPUT: usize = 2;

/// Vectors of peepholes.
const PEEP_I: usize = 0;
const PEEP_F: usize = 1;
const PEEP_O: usize = 2;
/// For each vector of peepholes the plane of its gate, and whether that sees the new cell state.
pub(crate) const PEEPHOLES: [(usize, bool); 3] = [(I, false), (F, false), (O, true)];

impl<const CHOSEN: bool, const PROJECTED: bool> Cell for Lstm<CHOSEN, PROJECTED> {
    const TRAITS: Traits = Traits {
        gates: 4,
        hidden_gates: 4,
        biases: 4,
        state: 2,
        tape: if PROJECTED { 5 } else { 4 },
        scratch: if PROJECTED { 1 } else { 0 },
        grads: if PROJECTED { 5 } else { 4 },
        recurrent: &[(I, Operand::Hidden), (F, Operand::Hidden), (G, Operand::Hidden), (O, Operand::Hidden)],
        projection: if PROJECTED { Some((DH, M)) } else { None },
        norm: None,
    };
    const ACCUMULATORS: [usize; 3] = [4, 1, 1];

    #[inline(always)]
    fn project<S: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, S, R, U>) {
        t.project::<4>();
    }

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, S, R, U>) {
        let isa = t.isa;
        if PROJECTED && PHASE == 1 {
            let mut h = [[[isa.zero(); U]; 1]; R];
            t.add_second(&mut h, 0);
            for r in 0..R {
                for u in 0..U {
                    t.set_hidden(true, r, u, h[r][0][u]);
                }
            }
            return;
        }
        let mut sums = t.input::<4>();
        t.add_hidden(&mut sums);
        if CHOSEN {
            input_gates(t, &mut sums);
        }
        // Two passes over the rows. In one, the chain from a gate to h is some 200 cycles long, and the
        // processor sees two rows ahead; cut at c, each half leaves it enough rows to fill the latency.
        let mut c = [[isa.zero(); U]; R];
        for r in 0..R {
            for u in 0..U {
                let [mut i, mut f, mut g] = [sums[r][I][u], sums[r][F][u], sums[r][G][u]];
                if !CHOSEN {
                    (i, f, g) = (sigmoid(isa, i), sigmoid(isa, f), tanh(isa, g));
                    let o = sigmoid(isa, sums[r][O][u]);
                    t.record(r, u, 0, [i, f, g, o]);
                    sums[r][O][u] = o;
                }
                let mut next = isa.mul_add(f, t.state(r, u, C), isa.mul(i, g));
                if CHOSEN {
                    next = clamp(isa, next, t.options().cell_clip);
                }
                c[r][u] = t.set_cell_state(CHOSEN, r, u, next);
            }
        }
        if CHOSEN {
            output_gate(t, &mut sums, &mut c);
        }
        for r in 0..R {
            for u in 0..U {
                let output = if CHOSEN { c[r][u] } else { tanh(isa, c[r][u]) };
                let h = isa.mul(sums[r][O][u], output);
                if PROJECTED {
                    t.keep(r, u, 0, [h]);
                    t.record(r, u, M, [h]);
                } else {
                    t.set_hidden(CHOSEN, r, u, h);
                }
            }
        }
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, S, R, U>) {
        let isa = t.isa;
        let mut dh = [[[isa.zero(); U]; 1]; R];
        if PROJECTED && PHASE == 1 {
            t.add_second(&mut dh, DH);
        } else {
            dh = t.hidden_gradient(CHOSEN, &[I, F, G, O]);
            if t.is_initial() {
                return t.set_initial(dh);
            }
            if PROJECTED {
                for r in 0..R {
                    for u in 0..U {
                        t.set_gradient(r, u, DH, dh[r][0][u]);
                        t.set_carry(r, u, H, isa.zero());
                    }
                }
                return;
            }
        }
        // i f g o and the activation of c', and their slopes. Plain, the first four are read one by one below.
        let mut values = [[[isa.zero(); U]; 5]; R];
        let mut slopes = values;
        if CHOSEN {
            for r in 0..R {
                for u in 0..U {
                    for gate in [I, F, G, O] {
                        values[r][gate][u] = t.tape(r, u, gate);
                    }
                    values[r][A][u] = t.new_cell_state(true, r, u);
                }
            }
            let options = t.options();
            let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
            let (g, o) = (options.gate(G, OF_CANDIDATE), options.gate(O, OF_GATE));
            let gates = [i, f, g, o, options.output(A, OF_OUTPUT)];
            slopes = activate_with_slopes(isa, &mut values, &gates);
        } else {
            // A pass of its own for the longest chain, as in forward.
            for r in 0..R {
                for u in 0..U {
                    values[r][A][u] = tanh(isa, t.after(r, u, C));
                }
            }
        }
        for r in 0..R {
            for u in 0..U {
                let dh = dh[r][0][u];
                let [mut i, mut f, mut g, mut o, output] =
                    [values[r][I][u], values[r][F][u], values[r][G][u], values[r][O][u], values[r][A][u]];
                let [mut to_i, mut to_f, mut to_g, mut to_o, mut to_output] =
                    [slopes[r][I][u], slopes[r][F][u], slopes[r][G][u], slopes[r][O][u], slopes[r][A][u]];
                if !CHOSEN {
                    (i, f, g, o) = (t.tape(r, u, I), t.tape(r, u, F), t.tape(r, u, G), t.tape(r, u, O));
                    (to_i, to_f) = (slope_of_sigmoid(isa, i), slope_of_sigmoid(isa, f));
                    (to_g, to_o) = (slope_of_tanh(isa, g), slope_of_sigmoid(isa, o));
                    to_output = slope_of_tanh(isa, output);
                }
                let c = t.before(r, u, C);
                let d_o = isa.mul(isa.mul(dh, output), to_o);
                let through_output = isa.mul(isa.mul(dh, o), to_output);
                let (later, past) = t.cell_gradient(CHOSEN, r, u);
                let mut dc = isa.add(later, through_output);
                let mut by_i = g;
                if CHOSEN {
                    if t.options().coupled {
                        f = isa.sub(isa.splat(1.0), i);
                        by_i = isa.sub(g, c);
                        to_f = isa.zero();
                    }
                    if t.options().peephole {
                        dc = isa.mul_add(d_o, t.peephole(u, PEEP_O), dc);
                    }
                    let next = isa.mul_add(f, c, isa.mul(i, g));
                    let clip = isa.splat(t.options().cell_clip);
                    dc = isa.if_greater(isa.abs(next), clip, isa.zero(), dc);
                }
                let d_i = isa.mul(isa.mul(dc, by_i), to_i);
                let d_f = isa.mul(isa.mul(dc, c), to_f);
                let mut earlier = isa.mul(dc, f);
                if CHOSEN && t.options().peephole {
                    earlier = isa.mul_add(d_i, t.peephole(u, PEEP_I), earlier);
                    earlier = isa.mul_add(d_f, t.peephole(u, PEEP_F), earlier);
                }
                if CHOSEN {
                    earlier = isa.add(earlier, past);
                }
                t.set_gradient(r, u, I, d_i);
                t.set_gradient(r, u, F, d_f);
                t.set_gradient(r, u, G, isa.mul(isa.mul(dc, i), to_g));
                t.set_gradient(r, u, O, d_o);
                t.set_carry(r, u, C, earlier);
                if !PROJECTED {
                    t.set_carry(r, u, H, isa.zero());
                }
            }
        }
    }
}

/// `v` clamped to a magnitude. NaN stays.
#[inline(always)]
fn clamp<S: Isa>(isa: S, v: S::Vector, bound: f32) -> S::Vector {
    isa.min(isa.splat(bound), isa.max(isa.splat(-bound), v))
}

/// Makes i, f and g of their pre-activations, which the tape keeps.
#[inline(always)]
fn input_gates<S: Isa, const R: usize, const U: usize>(
    t: &ForwardTile<'_, S, R, U>,
    sums: &mut [[[S::Vector; U]; 4]; R],
) {
    let (isa, options) = (t.isa, t.options());
    if options.peephole {
        for r in 0..R {
            for u in 0..U {
                let c = t.state(r, u, C);
                sums[r][I][u] = isa.mul_add(t.peephole(u, PEEP_I), c, sums[r][I][u]);
                sums[r][F][u] = isa.mul_add(t.peephole(u, PEEP_F), c, sums[r][F][u]);
            }
        }
    }
    for r in 0..R {
        for u in 0..U {
            t.record(r, u, I, [sums[r][I][u], sums[r][F][u], sums[r][G][u]]);
        }
    }
    let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
    activate(isa, sums, &[i, f, options.gate(G, OF_CANDIDATE)]);
    if options.coupled {
        for r in 0..R {
            for u in 0..U {
                sums[r][F][u] = isa.sub(isa.splat(1.0), sums[r][I][u]);
            }
        }
    }
}

/// Makes o of its pre-activation, which the tape keeps, and of c' its activation.
#[inline(always)]
fn output_gate<S: Isa, const R: usize, const U: usize>(
    t: &ForwardTile<'_, S, R, U>,
    sums: &mut [[[S::Vector; U]; 4]; R],
    c: &mut [[S::Vector; U]; R],
) {
    let (isa, options) = (t.isa, t.options());
    for r in 0..R {
        for u in 0..U {
            if options.peephole {
                sums[r][O][u] = isa.mul_add(t.peephole(u, PEEP_O), c[r][u], sums[r][O][u]);
            }
            t.record(r, u, O, [sums[r][O][u]]);
            // The place of g, which is done with.
            sums[r][G][u] = c[r][u];
        }
    }
    activate(isa, sums, &[options.gate(O, OF_GATE), options.output(G, OF_OUTPUT)]);
    for r in 0..R {
        for u in 0..U {
            c[r][u] = sums[r][G][u];
        }
    }
}
