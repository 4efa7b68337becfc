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

use super::norm::{gradient_moments, input_product, moments, planes, recurrent_product, through};
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
        scratch: 9,
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
                for row in (0..sums.len()).step_by(t.blocks()) {
                    through_products(t, row..(row + t.blocks()).min(sums.len()));
                }
            }
        }
    }
}

/// Forward 2.
#[inline(always)]
fn cell_state<S: Isa>(t: &ForwardTile<'_, S>, sums: &mut [[S::Vector; 4]]) {
    let (isa, options, units) = (t.isa, t.options(), t.units());
    for row in (0..sums.len()).step_by(t.blocks()) {
        let (u, v): ([_; 4], [_; 4]) =
            (t.scratch_rows(row, planes(KEPT_U)), t.scratch_rows(row, planes(KEPT_V)));
        let (mean_u, scale_u) = moments(isa, &u, units, t.epsilon());
        let (mean_v, scale_v) = moments(isa, &v, units, t.epsilon());
        let (mean_u, mean_v) = (isa.splat(mean_u), isa.splat(mean_v));
        let (scale_u, scale_v) = (isa.splat(scale_u), isa.splat(scale_v));
        for v in row..(row + t.blocks()).min(sums.len()) {
            for gate in [I, F, G, O] {
                let nu = isa.mul(isa.sub(t.scratch(v, KEPT_U + gate), mean_u), scale_u);
                let nv = isa.mul(isa.sub(t.scratch(v, KEPT_V + gate), mean_v), scale_v);
                t.record(v, NU + gate, [nu]);
                t.record(v, NV + gate, [nv]);
                let sum = isa.mul_add(t.norm(v, GAIN_U + gate), nu, t.norm(v, SHIFT + gate));
                sums[v][gate] = isa.mul_add(t.norm(v, GAIN_V + gate), nv, sum);
            }
            t.record(v, SCALE_U, [scale_u, scale_v]);
        }
    }
    let (i, f) = (options.gate(I, OF_GATE), options.gate(F, OF_GATE));
    let (g, o) = (options.gate(G, OF_CANDIDATE), options.gate(O, OF_GATE));
    activate(isa, sums, &[i, f, g, o]);
    for v in 0..sums.len() {
        let [i, f, g] = [sums[v][I], sums[v][F], sums[v][G]];
        let next = isa.mul_add(f, t.before(v, C), isa.mul(i, g));
        t.set_cell_state(true, v, isa.clamp(next, options.cell_clip));
        t.keep(v, KEPT_O, [sums[v][O]]);
    }
}

/// Forward 3.
#[inline(always)]
fn hidden_state<S: Isa>(t: &ForwardTile<'_, S>, y: &mut [[S::Vector; 1]]) {
    let isa = t.isa;
    for row in (0..y.len()).step_by(t.blocks()) {
        let c = t.after_rows(row, [t.new_cell_state()]);
        let (mean, scale) = moments(isa, &c, t.units(), t.epsilon());
        let (mean, scale) = (isa.splat(mean), isa.splat(scale));
        for v in row..(row + t.blocks()).min(y.len()) {
            let n = isa.mul(isa.sub(t.after(v, t.new_cell_state()), mean), scale);
            t.record(v, NC, [n]);
            t.record(v, SCALE_C, [scale]);
            y[v][0] = isa.mul_add(t.norm(v, GAIN_C), n, t.norm(v, SHIFT_C));
        }
    }
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
    let (gradient, gain) = (t.gradient_rows(row, [DY]), t.norm_rows([GAIN_C]));
    let means = gradient_moments(isa, gradient, gain, t.tape_rows(row, [NC]), t.units());
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

/// Backward 3, of the vectors of one row.
#[inline(always)]
fn through_products<S: Isa>(t: &BackwardTile<'_, S>, vectors: Range<usize>) {
    let (isa, row) = (t.isa, vectors.start);
    for (gain, normalised, scale, to) in [(GAIN_U, NU, SCALE_U, DU), (GAIN_V, NV, SCALE_V, DV)] {
        let gradients: [_; 4] = t.gradient_rows(row, planes(DA));
        let (gains, rows) = (t.norm_rows(planes(gain)), t.tape_rows(row, planes(normalised)));
        let means = gradient_moments(isa, gradients, gains, rows, t.units());
        for v in vectors.clone() {
            for gate in [I, F, G, O] {
                let dy = isa.mul(t.gradient(v, DA + gate), t.norm(v, gain + gate));
                let y = t.tape(v, normalised + gate);
                t.set_gradient(v, to + gate, through(isa, dy, y, t.tape(v, scale), means));
            }
        }
    }
}

/// The argument of a gate's activation, from the tape.
#[inline(always)]
fn pre_activation<S: Isa>(t: &BackwardTile<'_, S>, v: usize, gate: usize) -> S::Vector {
    let sum = t.isa.mul_add(t.norm(v, GAIN_U + gate), t.tape(v, NU + gate), t.norm(v, SHIFT + gate));
    t.isa.mul_add(t.norm(v, GAIN_V + gate), t.tape(v, NV + gate), sum)
}
