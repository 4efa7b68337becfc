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
//! peephole     i += p_i c    f += p_f c    o += p_o c'               dc += do p_o
//!                                                                    dc to earlier += di p_i + df p_f
//! clip         i f g o clamped before their activations              gradient 0 where clamped
//! activations  any in the places of s, tanh, and tanh of c'          their slopes
//! coupled      f = 1 - i                                             di = dc (g - c),  df = 0
//! cell clip    c' clamped, before p_o and the output see it          dc = 0 where clamped
//!
//! tape         i f g o before clips and activations, from which value and slope of any are exact
//! ```
//!
//! With a projection (LSTMP: Sak, Senior, Beaufays 2014, arXiv 1402.1128) the hidden state is P wide. A
//! second phase computes it, from m of all units:
//!
//! ```text
//! forward 2    h' = W_hr m,    m = o tanh(c')         m: in the tape
//! backward 1   dh as ever, P wide                     kept as a fifth gradient, for W_hr
//! backward 2   dm = dh W_hr, in the place of dh above
//! ```

use super::{
    BackwardTile, BiasOf, C, Call, Cell, Factor, ForwardTile, GROUP, H, Matrix, Multiplied, Multiply,
    Operand, Packed, Phase, Shape, Start, Tensor, Variant, VectorGradient, bias_gradients, concat, groups,
};
use crate::activation::{
    Activation, activate, activate_with_slopes, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh,
};
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `OPTIONS`, with a projection where `PROJECTED`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lstm<const OPTIONS: bool, const PROJECTED: bool>;

const I: usize = 0;
const F: usize = 1;
const G: usize = 2;
const O: usize = 3;
/// The place of the activation of c' in a tile, beside the gates.
const A: usize = 4;

/// The plane of the tape that holds m, and the plane of the gradients that holds dh.
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

const W: Packed = Packed { matrix: Matrix::Input, first: 0, gates: 4 };
const R: Packed = Packed { matrix: Matrix::Recurrent, first: 0, gates: 4 };
const W_HR: Packed = Packed { matrix: Matrix::Projection, first: 0, gates: 1 };

/// `[i f g o] = b + W x + R h`
const GATES: Phase = Phase {
    sums: 4,
    calls: &[Call {
        gates: 4,
        to: 0,
        start: Start::Bias(0),
        products: &[
            Multiply { weights: 0, rows: Operand::Input, turn: None },
            Multiply { weights: 1, rows: Operand::Hidden, turn: None },
        ],
    }],
};
/// `h' = W_hr m`
const PROJECTION: Phase = Phase {
    sums: 1,
    calls: &[Call {
        gates: 1,
        to: 0,
        start: Start::Zero,
        products: &[Multiply { weights: 2, rows: Operand::Scratch(0), turn: None }],
    }],
};

const fn peephole(slot: usize, plane: usize, factor: Factor) -> VectorGradient {
    VectorGradient { tensor: Tensor::Peephole, slot, plane, factor }
}
const BIASES: [VectorGradient; 8] = bias_gradients([I, F, G, O], [I, F, G, O]);
const PEEPHOLES: [VectorGradient; 3] = [
    peephole(PEEP_I, I, Factor::CellState),
    peephole(PEEP_F, F, Factor::CellState),
    peephole(PEEP_O, O, Factor::NewCellState),
];
const VECTORS: [VectorGradient; 11] = concat(&BIASES, &PEEPHOLES);

impl Variant {
    /// The gate whose rows of the weights are not used, if there is one: f where it is 1 - i.
    pub(crate) fn unused_gate(&self) -> Option<usize> {
        self.options.coupled.then_some(F)
    }
}

impl<const OPTIONS: bool, const PROJECTED: bool> Cell for Lstm<OPTIONS, PROJECTED> {
    const SHAPE: Shape = Shape {
        state: &["h", "c"],
        activations: &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        tape: if PROJECTED { 5 } else { 4 },
        scratch: if PROJECTED { 1 } else { 0 },
        grads: if PROJECTED { 5 } else { 4 },
        biases: &[BiasOf::Both(I), BiasOf::Both(F), BiasOf::Both(G), BiasOf::Both(O)],
        packed: if PROJECTED { &[W, R, W_HR] } else { &[W, R] },
        forward: if PROJECTED { &[GATES, PROJECTION] } else { &[GATES] },
        input: &[I, F, G, O],
        recurrent: &[
            (I, Multiplied::Hidden),
            (F, Multiplied::Hidden),
            (G, Multiplied::Hidden),
            (O, Multiplied::Hidden),
        ],
        diagonal: false,
        projection: if PROJECTED { Some((DH, M)) } else { None },
        norm: [false, false],
        vectors: &VECTORS,
    };

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize>(t: &ForwardTile<'_, S>, sums: &mut [S::Vector]) {
        if PROJECTED && PHASE == 1 {
            return t.set_hidden_states(sums.as_chunks::<1>().0);
        }
        forward_of_gates::<S, OPTIONS, PROJECTED>(t, sums);
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize>(t: &BackwardTile<'_, S>, sums: &mut [S::Vector]) {
        if PROJECTED && PHASE == 0 {
            for v in 0..sums.len() {
                t.set_gradient(v, DH, sums[v]);
                t.set_carry(v, H, t.isa.zero());
            }
            return;
        }
        backward_of_gates::<S, OPTIONS, PROJECTED>(t, sums);
    }
}

/// From the sums of i, f, g and o to the state.
#[inline(always)]
fn forward_of_gates<S: Isa, const OPTIONS: bool, const PROJECTED: bool>(
    t: &ForwardTile<'_, S>,
    sums: &mut [S::Vector],
) {
    let isa = t.isa;
    let (sums, _) = sums.as_chunks_mut::<4>();
    if OPTIONS {
        input_gates(t, sums);
    }
    // Two passes, cut at c. In one pass the chain from a gate to h would be some 200 cycles long, and the
    // processor looks only two vectors ahead; in each half it finds enough vectors to fill the latency.
    // Between the passes c has the place of g.
    for v in 0..sums.len() {
        let [mut i, mut f, mut g] = [sums[v][I], sums[v][F], sums[v][G]];
        if !OPTIONS {
            (i, f, g) = (sigmoid(isa, i), sigmoid(isa, f), tanh(isa, g));
            let o = sigmoid(isa, sums[v][O]);
            t.record(v, 0, [i, f, g, o]);
            sums[v][O] = o;
        }
        let mut next = isa.mul_add(f, t.before(v, C), isa.mul(i, g));
        if OPTIONS {
            next = isa.clamp(next, t.options().cell_clip);
        }
        sums[v][G] = t.set_cell_state(OPTIONS, v, next);
    }
    if OPTIONS {
        output_gate(t, sums);
    }
    for v in 0..sums.len() {
        let output = if OPTIONS { sums[v][G] } else { tanh(isa, sums[v][G]) };
        let h = isa.mul(sums[v][O], output);
        if PROJECTED {
            t.keep(v, 0, [h]);
            t.record(v, M, [h]);
        } else if OPTIONS {
            sums[v][0] = h;
        } else {
            t.set_hidden(v, h);
        }
    }
    if OPTIONS && !PROJECTED {
        t.set_hidden_states(sums);
    }
}

/// From the gradient of h', or with a projection of m, to those of i, f, g and o.
#[inline(always)]
fn backward_of_gates<S: Isa, const OPTIONS: bool, const PROJECTED: bool>(
    t: &BackwardTile<'_, S>,
    sums: &mut [S::Vector],
) {
    let isa = t.isa;
    for group in groups(sums.len()) {
        // i f g o, the activation of c', and their slopes. The plain cell reads the first four one by one
        // below.
        let mut values = [[isa.zero(); 5]; GROUP];
        let mut slopes = values;
        let mut outputs = [isa.zero(); GROUP];
        if OPTIONS {
            // (Slices, as in `recall`.)
            let (values, slopes) = (&mut values[..group.len()], &mut slopes[..group.len()]);
            for n in 0..values.len() {
                for gate in [I, F, G, O] {
                    values[n][gate] = t.tape(group.start + n, gate);
                }
                values[n][A] = t.after(group.start + n, t.new_cell_state());
            }
            let options = t.options();
            let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
            let (g, o) = (options.gate(G, OF_CANDIDATE), options.gate(O, OF_GATE));
            let gates = [i, f, g, o, options.output(A, OF_OUTPUT)];
            activate_with_slopes(isa, values, slopes, &gates);
        } else {
            // A separate pass for the longest chain, as in forward.
            for v in group.clone() {
                outputs[v - group.start] = tanh(isa, t.after(v, C));
            }
        }
        for v in group.clone() {
            let dh = sums[v];
            let (values, slopes) = (&values[v - group.start], &slopes[v - group.start]);
            let [mut i, mut f, mut g, mut o, mut output] = *values;
            let [mut to_i, mut to_f, mut to_g, mut to_o, mut to_output] = *slopes;
            if !OPTIONS {
                (i, f, g, o) = (t.tape(v, I), t.tape(v, F), t.tape(v, G), t.tape(v, O));
                output = outputs[v - group.start];
                (to_i, to_f) = (slope_of_sigmoid(isa, i), slope_of_sigmoid(isa, f));
                (to_g, to_o) = (slope_of_tanh(isa, g), slope_of_sigmoid(isa, o));
                to_output = slope_of_tanh(isa, output);
            }
            let c = t.before(v, C);
            let d_o = isa.mul(isa.mul(dh, output), to_o);
            let through_output = isa.mul(isa.mul(dh, o), to_output);
            let (later, past) = t.cell_gradient(OPTIONS, v);
            let mut dc = isa.add(later, through_output);
            let mut by_i = g;
            if OPTIONS {
                if t.options().coupled {
                    f = isa.sub(isa.splat(1.0), i);
                    by_i = isa.sub(g, c);
                    to_f = isa.zero();
                }
                if t.options().peephole {
                    dc = isa.mul_add(d_o, t.diagonal(v, PEEP_O), dc);
                }
                let next = isa.mul_add(f, c, isa.mul(i, g));
                let clip = isa.splat(t.options().cell_clip);
                dc = isa.if_greater(isa.abs(next), clip, isa.zero(), dc);
            }
            let d_i = isa.mul(isa.mul(dc, by_i), to_i);
            let d_f = isa.mul(isa.mul(dc, c), to_f);
            let mut earlier = isa.mul(dc, f);
            if OPTIONS && t.options().peephole {
                earlier = isa.mul_add(d_i, t.diagonal(v, PEEP_I), earlier);
                earlier = isa.mul_add(d_f, t.diagonal(v, PEEP_F), earlier);
            }
            if OPTIONS {
                earlier = isa.add(earlier, past);
            }
            t.set_gradient(v, I, d_i);
            t.set_gradient(v, F, d_f);
            t.set_gradient(v, G, isa.mul(isa.mul(dc, i), to_g));
            t.set_gradient(v, O, d_o);
            t.set_carry(v, C, earlier);
            if !PROJECTED {
                t.set_carry(v, H, isa.zero());
            }
        }
    }
}

/// Computes i, f and g from their pre-activations, which the tape keeps.
#[inline(always)]
fn input_gates<S: Isa>(t: &ForwardTile<'_, S>, sums: &mut [[S::Vector; 4]]) {
    let (isa, options) = (t.isa, t.options());
    for v in 0..sums.len() {
        if options.peephole {
            let c = t.before(v, C);
            sums[v][I] = isa.mul_add(t.diagonal(v, PEEP_I), c, sums[v][I]);
            sums[v][F] = isa.mul_add(t.diagonal(v, PEEP_F), c, sums[v][F]);
        }
    }
    let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
    t.activate(sums, I, &[i, f, options.gate(G, OF_CANDIDATE)]);
    if options.coupled {
        for v in 0..sums.len() {
            sums[v][F] = isa.sub(isa.splat(1.0), sums[v][I]);
        }
    }
}

/// Computes o from its pre-activation, which the tape keeps, and the activation of c', which has the place of
/// g.
#[inline(always)]
fn output_gate<S: Isa>(t: &ForwardTile<'_, S>, sums: &mut [[S::Vector; 4]]) {
    let (isa, options) = (t.isa, t.options());
    for v in 0..sums.len() {
        if options.peephole {
            sums[v][O] = isa.mul_add(t.diagonal(v, PEEP_O), sums[v][G], sums[v][O]);
        }
        t.record(v, O, [sums[v][O]]);
    }
    activate(isa, sums, &[options.gate(O, OF_GATE), options.output(G, OF_OUTPUT)]);
}
