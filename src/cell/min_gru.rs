//! Minimal gated recurrent unit (Feng et al. 2024, arXiv 2410.01201): gates that see the input alone.
//!
//! ```text
//! forward      [z n] = b + W x                        no product waits for the step before
//!              z = s(z)
//!              h' = h + z (n - h)                     (1 - z) h + z n
//!
//! backward     dn  = dh z                             gradients before the activations
//!              dz  = dh (n - h) z (1 - z)
//!              to earlier steps: dh (1 - z)
//!
//! tape         z n
//! ```
//!
//! With options: any activations in the places of s and of nothing, with their arguments clamped. The tape
//! then keeps z n before clips and activations, from which value and slope of any are exact.

use super::{
    BackwardTile, BiasOf, Call, Cell, ForwardTile, GROUP, H, Matrix, Multiply, Operand, Packed, Phase, Shape,
    Start, VectorGradient, bias_gradients, groups,
};
use crate::activation::{Activation, activate, sigmoid, slope_of_sigmoid};
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `CHOSEN`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinGru<const CHOSEN: bool>;

const Z: usize = 0;
const N: usize = 1;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

const BIASES: [VectorGradient; 2] = bias_gradients([Z, N], []);

impl<const CHOSEN: bool> Cell for MinGru<CHOSEN> {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[Activation::Sigmoid, Activation::Affine { alpha: 1.0, beta: 0.0 }],
        tape: 2,
        scratch: 0,
        grads: 2,
        biases: &[BiasOf::Input(Z), BiasOf::Input(N)],
        packed: &[Packed { matrix: Matrix::Input, first: Z, gates: 2 }],
        forward: &[Phase {
            sums: 2,
            calls: &[Call {
                gates: 2,
                to: 0,
                start: Start::Bias(Z),
                products: &[Multiply { weights: 0, rows: Operand::Input, turn: None }],
            }],
        }],
        input: &[Z, N],
        recurrent: &[],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let (isa, options) = (t.isa, t.options());
        let (sums, _) = sums.as_chunks_mut::<2>();
        if CHOSEN {
            for v in 0..sums.len() {
                t.record(v, Z, sums[v]);
            }
            activate(isa, sums, &[options.gate(Z, OF_GATE), options.gate(N, OF_CANDIDATE)]);
        }
        for v in 0..sums.len() {
            let [mut z, n] = sums[v];
            if !CHOSEN {
                z = sigmoid(isa, z);
                t.record(v, Z, [z, n]);
            }
            let h = t.before(v, H);
            t.set_hidden(CHOSEN, v, isa.mul_add(z, isa.sub(n, h), h));
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        let isa = t.isa;
        let one = isa.splat(1.0);
        for group in groups(sums.len()) {
            // z n and their slopes. Plain, they are read one by one below.
            let mut values = [[isa.zero(); 2]; GROUP];
            let mut slopes = values;
            if CHOSEN {
                let gates = [t.options().gate(Z, OF_GATE), t.options().gate(N, OF_CANDIDATE)];
                t.recall(&group, Z, &gates, &mut values, &mut slopes);
            }
            for v in group.clone() {
                let dh = sums[v];
                let [mut z, mut n] = values[v - group.start];
                let [mut to_z, mut to_n] = slopes[v - group.start];
                if !CHOSEN {
                    (z, n) = (t.tape(v, Z), t.tape(v, N));
                    (to_z, to_n) = (slope_of_sigmoid(isa, z), one);
                }
                t.set_gradient(v, Z, isa.mul(isa.mul(dh, isa.sub(n, t.before(v, H))), to_z));
                t.set_gradient(v, N, isa.mul(isa.mul(dh, z), to_n));
                t.set_carry(v, H, isa.mul(dh, isa.sub(one, z)));
            }
        }
    }
}
