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
//! With options: any activations in the places of s and tanh, and r, z and all of p + r q clamped before
//! them. The tape then keeps r z n before clips and activations, because the value and the slope of every
//! activation are exact from these.

use super::{
    BackwardTile, BiasOf, Call, Cell, ForwardTile, GROUP, H, Matrix, Multiplied, Multiply, Operand, Packed,
    Phase, Shape, Start, VectorGradient, bias_gradients, groups,
};
use crate::activation::{Activation, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `OPTIONS`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruResetAfter<const OPTIONS: bool>;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const Q: usize = 3;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

const BIASES: [VectorGradient; 6] = bias_gradients([R_, Z, N], [R_, Z, Q]);

impl<const OPTIONS: bool> Cell for GruResetAfter<OPTIONS> {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[Activation::Sigmoid, Activation::Tanh],
        tape: 4,
        scratch: 0,
        grads: 4,
        biases: &[BiasOf::Both(R_), BiasOf::Both(Z), BiasOf::Input(N), BiasOf::Recurrent(N)],
        packed: &[
            Packed { matrix: Matrix::Input, first: 0, gates: 3 },
            Packed { matrix: Matrix::Recurrent, first: 0, gates: 3 },
        ],
        // The recurrent product goes on in the accumulators of r and z, and for n in one of its own, q.
        forward: &[Phase {
            sums: 4,
            calls: &[Call {
                gates: 3,
                to: 0,
                start: Start::Bias(0),
                products: &[
                    Multiply { weights: 0, rows: Operand::Input, turn: None },
                    Multiply { weights: 1, rows: Operand::Hidden, turn: Some(Q) },
                ],
            }],
        }],
        input: &[R_, Z, N],
        recurrent: &[(R_, Multiplied::Hidden), (Z, Multiplied::Hidden), (Q, Multiplied::Hidden)],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let (isa, options) = (t.isa, t.options());
        let (sums, _) = sums.as_chunks_mut::<4>();
        if OPTIONS {
            t.activate(sums, R_, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
            for v in 0..sums.len() {
                let q = sums[v][Q];
                t.record(v, Q, [q]);
                sums[v][N] = isa.mul_add(sums[v][R_], q, sums[v][N]);
            }
            t.activate(sums, N, &[options.gate(N, OF_CANDIDATE)]);
        } else {
            // A separate pass, because n waits for r. Each of the two passes has enough independent vectors
            // to fill the latency.
            for v in 0..sums.len() {
                sums[v][R_] = sigmoid(isa, sums[v][R_]);
                sums[v][Z] = sigmoid(isa, sums[v][Z]);
            }
        }
        for v in 0..sums.len() {
            let (reset, z, mut n) = (sums[v][R_], sums[v][Z], sums[v][N]);
            if !OPTIONS {
                let q = sums[v][Q];
                n = tanh(isa, isa.mul_add(reset, q, n));
                t.record(v, 0, [reset, z, n, q]);
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

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        let isa = t.isa;
        let one = isa.splat(1.0);
        for group in groups(sums.len()) {
            // r z n and their slopes. The plain cell reads them one by one below.
            let mut values = [[isa.zero(); 3]; GROUP];
            let mut slopes = values;
            if OPTIONS {
                let options = t.options();
                let (reset, z) = (options.gate(R_, OF_GATE), options.gate(Z, OF_GATE));
                let gates = [reset, z, options.gate(N, OF_CANDIDATE)];
                t.recall(&group, R_, &gates, &mut values, &mut slopes);
            }
            for v in group.clone() {
                let dh = sums[v];
                let [mut reset, mut z, mut n] = values[v - group.start];
                let [mut to_r, mut to_z, mut to_n] = slopes[v - group.start];
                if !OPTIONS {
                    (reset, z, n) = (t.tape(v, R_), t.tape(v, Z), t.tape(v, N));
                    (to_r, to_z) = (slope_of_sigmoid(isa, reset), slope_of_sigmoid(isa, z));
                    to_n = slope_of_tanh(isa, n);
                }
                let q = t.tape(v, Q);
                let rest = isa.sub(one, z);
                let dn = isa.mul(isa.mul(dh, rest), to_n);
                let dz = isa.mul(isa.mul(dh, isa.sub(t.before(v, H), n)), to_z);
                let dr = isa.mul(isa.mul(dn, q), to_r);
                t.set_gradient(v, R_, dr);
                t.set_gradient(v, Z, dz);
                t.set_gradient(v, N, dn);
                t.set_gradient(v, Q, isa.mul(dn, reset));
                t.set_carry(v, H, isa.mul(dh, z));
            }
        }
    }
}
