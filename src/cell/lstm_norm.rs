//! Long short-term memory with layer normalisation (Ba, Kiros, Hinton 2016, arXiv 1607.06450).
//!
//! `N` is the normalisation of `norm.rs`. That of a product is over all four gates together. Shifts of the
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

use super::norm::{
    Normalised, gradient_moments, input_product, normalise, recurrent_product, through, through_norm,
};
use super::{
    BackwardTile, BiasOf, C, Cell, Factor, ForwardTile, GROUP, H, Matrix, Multiplied, Packed, Phase, Shape,
    Tensor, VectorGradient, bias_gradients, concat, gain_gradients, groups,
};
use crate::activation::{Activation, activate, activate_with_slopes};
use crate::simd::Isa;
use std::ops::Range;

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

/// Planes of the scratch record: u and v of gate 0, o and c'.
const KEPT_U: usize = 0;
const KEPT_V: usize = 4;
const KEPT_O: usize = 8;
const KEPT_C: usize = 9;

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

/// u, v, and c'.
const U: Normalised = Normalised {
    kept: KEPT_U,
    tape: NU,
    scale: SCALE_U,
    gain: GAIN_U,
    gradient: DU,
    sums: &[(I, Some(SHIFT + I)), (F, Some(SHIFT + F)), (G, Some(SHIFT + G)), (O, Some(SHIFT + O))],
};
const V: Normalised = Normalised {
    kept: KEPT_V,
    tape: NV,
    scale: SCALE_V,
    gain: GAIN_V,
    gradient: DV,
    sums: &[(I, None), (F, None), (G, None), (O, None)],
};
/// (Its gradient is added to others: no plane has it alone.)
const OF_C: Normalised = Normalised {
    kept: KEPT_C,
    tape: NC,
    scale: SCALE_C,
    gain: GAIN_C,
    gradient: DY,
    sums: &[(0, Some(SHIFT_C))],
};

const GATES: [usize; 4] = [DA + I, DA + F, DA + G, DA + O];
const BIASES: [VectorGradient; 8] = bias_gradients(GATES, GATES);
const GAINS: [VectorGradient; 8] = gain_gradients(GATES, GATES, [NU, NV]);
const OF_CELL_STATE: [VectorGradient; 2] = [
    VectorGradient { tensor: Tensor::NormC, slot: 0, plane: DY, factor: Factor::Tape(NC) },
    VectorGradient { tensor: Tensor::NormC, slot: 1, plane: DY, factor: Factor::One },
];
const OF_PRODUCTS: [VectorGradient; 16] = concat(&BIASES, &GAINS);
const VECTORS: [VectorGradient; 18] = concat(&OF_PRODUCTS, &OF_CELL_STATE);

impl Cell for LstmNorm {
    const SHAPE: Shape = Shape {
        state: &["h", "c"],
        activations: &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        tape: 12,
        scratch: 10,
        grads: 13,
        biases: &[BiasOf::Both(I), BiasOf::Both(F), BiasOf::Both(G), BiasOf::Both(O)],
        packed: &[
            Packed { matrix: Matrix::Input, first: 0, gates: 4 },
            Packed { matrix: Matrix::Recurrent, first: 0, gates: 4 },
        ],
        forward: &[
            Phase { sums: 8, calls: &[input_product(4, KEPT_U), recurrent_product(4, KEPT_V)] },
            Phase { sums: 4, calls: &[] },
            Phase { sums: 1, calls: &[] },
        ],
        input: &[DU + I, DU + F, DU + G, DU + O],
        recurrent: &[
            (DV + I, Multiplied::Hidden),
            (DV + F, Multiplied::Hidden),
            (DV + G, Multiplied::Hidden),
            (DV + O, Multiplied::Hidden),
        ],
        diagonal: false,
        projection: None,
        norm: [true, true],
        vectors: &VECTORS,
    };

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize>(t: &ForwardTile<'_, S>, sums: &mut [S::Vector]) {
        match PHASE {
            0 => {
                let (sums, _) = sums.as_chunks_mut::<8>();
                for v in 0..sums.len() {
                    t.keep(v, KEPT_U, sums[v]);
                }
            }
            1 => cell_state(t, sums.as_chunks_mut().0),
            _ => hidden_state(t, sums.as_chunks_mut().0),
        }
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize>(t: &BackwardTile<'_, S>, sums: &mut [S::Vector]) {
        match PHASE {
            0 => {
                for group in groups(sums.len()) {
                    through_output(t, sums, group);
                }
            }
            1 => {
                for row in (0..sums.len()).step_by(t.blocks()) {
                    through_cell_state(t, row..(row + t.blocks()).min(sums.len()));
                }
            }
            _ => {
                through_norm(t, sums.len(), DA, &U);
                through_norm(t, sums.len(), DA, &V);
            }
        }
    }
}

/// Forward 2.
#[inline(always)]
fn cell_state<S: Isa>(t: &ForwardTile<'_, S>, sums: &mut [[S::Vector; 4]]) {
    let (isa, options) = (t.isa, t.options());
    normalise(t, sums.as_flattened_mut(), 4, &U);
    normalise(t, sums.as_flattened_mut(), 4, &V);
    let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
    let (g, o) = (options.gate(G, OF_CANDIDATE), options.gate(O, OF_GATE));
    activate(isa, sums, &[i, f, g, o]);
    for v in 0..sums.len() {
        let [i, f, g] = [sums[v][I], sums[v][F], sums[v][G]];
        let next = isa.mul_add(f, t.before(v, C), isa.mul(i, g));
        let c = t.set_cell_state(true, v, isa.clamp(next, options.cell_clip));
        t.keep(v, KEPT_O, [sums[v][O], c]);
    }
}

/// Forward 3.
#[inline(always)]
fn hidden_state<S: Isa>(t: &ForwardTile<'_, S>, y: &mut [[S::Vector; 1]]) {
    let isa = t.isa;
    normalise(t, y.as_flattened_mut(), 1, &OF_C);
    activate(isa, y, &[t.options().output(0, OF_OUTPUT)]);
    for v in 0..y.len() {
        y[v][0] = isa.mul(t.scratch(v, KEPT_O), y[v][0]);
    }
    t.set_hidden_states(y);
}

/// Backward 1.
#[inline(always)]
fn through_output<S: Isa>(t: &BackwardTile<'_, S>, dh: &[S::Vector], group: Range<usize>) {
    let (isa, options) = (t.isa, t.options());
    // o, and y in the place after it. (Slices, as in `recall`.)
    let mut values = [[isa.zero(); 2]; GROUP];
    let mut slopes = values;
    let (values, slopes) = (&mut values[..group.len()], &mut slopes[..group.len()]);
    for n in 0..values.len() {
        let v = group.start + n;
        let y = isa.mul_add(t.norm(v, GAIN_C), t.tape(v, NC), t.norm(v, SHIFT_C));
        values[n] = [pre_activation(t, v, O), y];
    }
    let gates = [options.gate(0, OF_GATE), options.output(1, OF_OUTPUT)];
    activate_with_slopes(isa, values, slopes, &gates);
    for v in group.clone() {
        let (dh, [o, y], [to_o, to_y]) = (dh[v], values[v - group.start], slopes[v - group.start]);
        t.set_gradient(v, DA + O, isa.mul(isa.mul(dh, y), to_o));
        t.set_gradient(v, DY, isa.mul(isa.mul(dh, o), to_y));
        t.set_carry(v, H, isa.zero());
    }
}

/// Backward 2, of the vectors of one row.
#[inline(always)]
fn through_cell_state<S: Isa>(t: &BackwardTile<'_, S>, vectors: Range<usize>) {
    let (isa, options, row) = (t.isa, t.options(), vectors.start);
    let mut values = [[isa.zero(); 3]; GROUP];
    let mut slopes = values;
    let (values, slopes) = (&mut values[..vectors.len()], &mut slopes[..vectors.len()]);
    for n in 0..values.len() {
        for gate in [I, F, G] {
            values[n][gate] = pre_activation(t, row + n, gate);
        }
    }
    let gates = [options.gate(I, OF_GATE), options.gate(F, OF_GATE), options.gate(G, OF_CANDIDATE)];
    activate_with_slopes(isa, values, slopes, &gates);
    let rows = [t.gradient_row(row, DY), t.norm_row(GAIN_C), t.tape_row(row, NC)];
    let means = gradient_moments(isa, rows.each_ref().map(std::slice::from_ref), t.units());
    for v in vectors.clone() {
        let ([i, f, g], [to_i, to_f, to_g]) = (values[v - row], slopes[v - row]);
        let c = t.before(v, C);
        let dy = isa.mul(t.gradient(v, DY), t.norm(v, GAIN_C));
        let through_y = through(isa, dy, t.tape(v, NC), t.tape(v, SCALE_C), means);
        let (later, past) = t.cell_gradient(true, v);
        let dc = isa.add(later, through_y);
        let next = isa.mul_add(f, c, isa.mul(i, g));
        let dc = isa.if_greater(isa.abs(next), isa.splat(options.cell_clip), isa.zero(), dc);
        t.set_gradient(v, DA + I, isa.mul(isa.mul(dc, g), to_i));
        t.set_gradient(v, DA + F, isa.mul(isa.mul(dc, c), to_f));
        t.set_gradient(v, DA + G, isa.mul(isa.mul(dc, i), to_g));
        t.set_carry(v, C, isa.mul_add(dc, f, past));
    }
}

/// The argument of a gate's activation, from the tape.
#[inline(always)]
fn pre_activation<S: Isa>(t: &BackwardTile<'_, S>, v: usize, gate: usize) -> S::Vector {
    let sum = t.isa.mul_add(t.norm(v, GAIN_U + gate), t.tape(v, NU + gate), t.norm(v, SHIFT + gate));
    t.isa.mul_add(t.norm(v, GAIN_V + gate), t.tape(v, NV + gate), sum)
}
