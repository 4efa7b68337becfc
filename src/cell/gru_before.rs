//! Gated recurrent unit, reset before the recurrent product (Cho et al. 2014; ONNX's default).
//!
//! ```text
//! forward 1    [r z] = b + W x + R h
//!              r = s(r)  z = s(z)                     kept for phase 2: z, v = r h
//! forward 2    n = tanh(b + W x + R v)                needs v of all units
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
//! With options: any activations in the places of s and tanh, with their arguments clamped. The tape then
//! keeps r z n before clips and activations, because the value and the slope of every activation are exact
//! from these.

use super::{
    BackwardTile, BiasOf, Call, Cell, ForwardTile, GROUP, H, Matrix, Multiplied, Multiply, Operand, Packed,
    Phase, Shape, Start, VectorGradient, bias_gradients, groups,
};
use crate::activation::{Activation, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::Isa;
use std::ops::Range;

/// The cell; see the head of the file. With options where `OPTIONS`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruResetBefore<const OPTIONS: bool>;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const V: usize = 3;

/// Planes of the scratch record.
const KEPT_Z: usize = 0;
const KEPT_V: usize = 1;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

const BIASES: [VectorGradient; 6] = bias_gradients([R_, Z, N], [R_, Z, N]);

impl<const OPTIONS: bool> Cell for GruResetBefore<OPTIONS> {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[Activation::Sigmoid, Activation::Tanh],
        tape: 4,
        scratch: 2,
        grads: 3,
        biases: &[BiasOf::Both(R_), BiasOf::Both(Z), BiasOf::Both(N)],
        packed: &[
            Packed { matrix: Matrix::Input, first: R_, gates: 2 },
            Packed { matrix: Matrix::Recurrent, first: R_, gates: 2 },
            Packed { matrix: Matrix::Input, first: N, gates: 1 },
            Packed { matrix: Matrix::Recurrent, first: N, gates: 1 },
        ],
        forward: &[
            Phase {
                sums: 2,
                calls: &[Call {
                    gates: 2,
                    to: 0,
                    start: Start::Bias(R_),
                    products: &[
                        Multiply { weights: 0, rows: Operand::Input, turn: None },
                        Multiply { weights: 1, rows: Operand::Hidden, turn: None },
                    ],
                }],
            },
            Phase {
                sums: 1,
                calls: &[Call {
                    gates: 1,
                    to: 0,
                    start: Start::Bias(N),
                    products: &[
                        Multiply { weights: 2, rows: Operand::Input, turn: None },
                        Multiply { weights: 3, rows: Operand::Scratch(KEPT_V), turn: None },
                    ],
                }],
            },
        ],
        input: &[R_, Z, N],
        recurrent: &[(R_, Multiplied::Hidden), (Z, Multiplied::Hidden), (N, Multiplied::Tape(V))],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let (isa, options) = (t.isa, t.options());
        if PHASE == 0 {
            let (sums, _) = sums.as_chunks_mut::<2>();
            if OPTIONS {
                t.activate(sums, R_, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
            }
            for v in 0..sums.len() {
                let [mut reset, mut z] = [sums[v][R_], sums[v][Z]];
                if !OPTIONS {
                    (reset, z) = (sigmoid(isa, reset), sigmoid(isa, z));
                    t.record(v, R_, [reset, z]);
                }
                let rh = isa.mul(reset, t.multiplied(v));
                t.keep(v, KEPT_Z, [z, rh]);
                t.record(v, V, [rh]);
            }
        } else {
            let (sums, _) = sums.as_chunks_mut::<1>();
            if OPTIONS {
                t.activate(sums, N, &[options.gate(0, OF_CANDIDATE)]);
            }
            for v in 0..sums.len() {
                let mut n = sums[v][0];
                let z = t.scratch(v, KEPT_Z);
                if !OPTIONS {
                    n = tanh(isa, n);
                    t.record(v, N, [n]);
                }
                let h = isa.mul_add(z, isa.sub(t.before(v, H), n), n);
                if OPTIONS {
                    sums[v][0] = h;
                } else {
                    t.set_hidden(v, h);
                }
            }
            if OPTIONS {
                t.set_hidden_states(sums);
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        for group in groups(sums.len()) {
            if PHASE == 0 {
                first_phase::<I, OPTIONS>(t, sums, group);
            } else {
                second_phase::<I, OPTIONS>(t, sums, group);
            }
        }
    }
}

/// The gradients of z and n.
#[inline(always)]
fn first_phase<I: Isa, const OPTIONS: bool>(
    t: &BackwardTile<'_, I>,
    sums: &[I::Vector],
    group: Range<usize>,
) {
    let isa = t.isa;
    // z n and their slopes. The plain cell reads them one by one below.
    let mut values = [[isa.zero(); 2]; GROUP];
    let mut slopes = values;
    if OPTIONS {
        let gates = [t.options().gate(0, OF_GATE), t.options().gate(1, OF_CANDIDATE)];
        t.recall(&group, Z, &gates, &mut values, &mut slopes);
    }
    for v in group.clone() {
        let dh = sums[v];
        let [mut z, mut n] = values[v - group.start];
        let [mut to_z, mut to_n] = slopes[v - group.start];
        if !OPTIONS {
            (z, n) = (t.tape(v, Z), t.tape(v, N));
            (to_z, to_n) = (slope_of_sigmoid(isa, z), slope_of_tanh(isa, n));
        }
        let rest = isa.sub(isa.splat(1.0), z);
        let dn = isa.mul(isa.mul(dh, rest), to_n);
        let dz = isa.mul(isa.mul(dh, isa.sub(t.before(v, H), n)), to_z);
        t.set_gradient(v, Z, dz);
        t.set_gradient(v, N, dn);
        t.set_carry(v, H, isa.mul(dh, z));
    }
}

/// The gradient of r, and of the state through `r h`.
#[inline(always)]
fn second_phase<I: Isa, const OPTIONS: bool>(
    t: &BackwardTile<'_, I>,
    sums: &[I::Vector],
    group: Range<usize>,
) {
    let isa = t.isa;
    let mut resets = [[isa.zero(); 1]; GROUP];
    let mut slopes = resets;
    if OPTIONS {
        t.recall(&group, R_, &[t.options().gate(0, OF_GATE)], &mut resets, &mut slopes);
    }
    for v in group.clone() {
        let (dv, mut reset, mut slope) = (sums[v], resets[v - group.start][0], slopes[v - group.start][0]);
        if !OPTIONS {
            reset = t.tape(v, R_);
            slope = slope_of_sigmoid(isa, reset);
        }
        let dr = isa.mul(isa.mul(dv, t.multiplied(v)), slope);
        t.set_gradient(v, R_, dr);
        t.set_carry(v, H, isa.mul_add(t.masked(v, dv), reset, t.carry(v, H)));
    }
}
