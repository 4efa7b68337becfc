//! Independently recurrent network (Li et al. 2018, arXiv 1803.04831): a unit sees its own state alone.
//!
//! ```text
//! forward      h' = act(b + W x + u h)                u: a weight for each unit
//! backward     da = dh times the slope of act
//!              to earlier steps: da u
//! tape         nothing: h' tells the slope of a rectifier; with any activation, its argument
//! ```
//!
//! With recurrent dropout u multiplies `h * mask`.

use super::{
    BackwardTile, BiasOf, Call, Cell, Factor, ForwardTile, GROUP, H, Matrix, Multiply, Operand, Packed,
    Phase, Shape, Start, Tensor, VectorGradient, groups,
};
use crate::activation::Activation;
use crate::simd::Isa;

/// The cell; see the head of the file. With options where `OPTIONS`, else with a rectifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndRnn<const OPTIONS: bool>;

const VECTORS: [VectorGradient; 2] = [
    VectorGradient { tensor: Tensor::BiasIh, slot: 0, plane: 0, factor: Factor::One },
    VectorGradient { tensor: Tensor::WeightHh, slot: 0, plane: 0, factor: Factor::HiddenState },
];

impl<const OPTIONS: bool> Cell for IndRnn<OPTIONS> {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[Activation::Relu],
        tape: if OPTIONS { 1 } else { 0 },
        scratch: 0,
        grads: 1,
        biases: &[BiasOf::Input(0)],
        packed: &[Packed { matrix: Matrix::Input, first: 0, gates: 1 }],
        forward: &[Phase {
            sums: 1,
            calls: &[Call {
                gates: 1,
                to: 0,
                start: Start::Bias(0),
                products: &[Multiply { weights: 0, rows: Operand::Input, turn: None }],
            }],
        }],
        input: &[0],
        recurrent: &[],
        diagonal: true,
        projection: None,
        norm: [false, false],
        vectors: &VECTORS,
    };

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let isa = t.isa;
        let (sums, _) = sums.as_chunks_mut::<1>();
        for v in 0..sums.len() {
            sums[v][0] = isa.mul_add(t.diagonal(v, 0), t.multiplied(v), sums[v][0]);
        }
        if OPTIONS {
            t.activate(sums, 0, &[t.options().gate(0, 0)]);
            return t.set_hidden_states(sums);
        }
        for v in 0..sums.len() {
            // In this order a NaN stays: max gives its second argument where either is NaN.
            t.set_hidden(v, isa.max(isa.zero(), sums[v][0]));
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        let isa = t.isa;
        for group in groups(sums.len()) {
            let mut slopes = [[isa.zero(); 1]; GROUP];
            if OPTIONS {
                t.recall(&group, 0, &[t.options().gate(0, 0)], &mut slopes.clone(), &mut slopes);
            }
            for v in group.clone() {
                let da = if OPTIONS {
                    isa.mul(sums[v], slopes[v - group.start][0])
                } else {
                    isa.if_greater(t.after(v, H), isa.zero(), sums[v], isa.zero())
                };
                t.set_gradient(v, 0, da);
                t.set_carry(v, H, t.masked(v, isa.mul(da, t.diagonal(v, 0))));
            }
        }
    }
}
