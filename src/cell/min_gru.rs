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
//! tape         z n before their activations, from which value and slope of any are exact
//! ```
//!
//! With options: any activations in the place of s and of the candidate n, with their arguments clamped.
//! (There is no form without options: these functions take little time beside the product.)

use super::{
    BackwardTile, BiasOf, Call, Cell, ForwardTile, GROUP, H, Matrix, Multiply, Operand, Packed, Phase, Shape,
    Start, VectorGradient, bias_gradients, groups,
};
use crate::activation::Activation;
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinGru;

const Z: usize = 0;
const N: usize = 1;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

const BIASES: [VectorGradient; 2] = bias_gradients([Z, N], []);

impl Cell for MinGru {
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
        t.activate(sums, Z, &[options.gate(Z, OF_GATE), options.gate(N, OF_CANDIDATE)]);
        for v in 0..sums.len() {
            let ([z, n], h) = (sums[v], t.before(v, H));
            sums[v][0] = isa.mul_add(z, isa.sub(n, h), h);
        }
        t.set_hidden_states(sums);
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        let isa = t.isa;
        let one = isa.splat(1.0);
        for group in groups(sums.len()) {
            // z n and their slopes.
            let mut values = [[isa.zero(); 2]; GROUP];
            let mut slopes = values;
            let gates = [t.options().gate(Z, OF_GATE), t.options().gate(N, OF_CANDIDATE)];
            t.recall(&group, Z, &gates, &mut values, &mut slopes);
            for v in group.clone() {
                let (dh, [z, n], [to_z, to_n]) = (sums[v], values[v - group.start], slopes[v - group.start]);
                t.set_gradient(v, Z, isa.mul(isa.mul(dh, isa.sub(n, t.before(v, H))), to_z));
                t.set_gradient(v, N, isa.mul(isa.mul(dh, z), to_n));
                t.set_carry(v, H, isa.mul(dh, isa.sub(one, z)));
            }
        }
    }
}
