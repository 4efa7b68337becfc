//! Minimal long short-term memory (Feng et al. 2024, arXiv 2410.01201): gates that see the input alone.
//!
//! ```text
//! forward      [i f g] = b + W x                      no product waits for the step before
//!              i = max(s(i), L)  f = max(s(f), L)     L: 2^-125, so that no 0 / 0 is met
//!              f' = f / (f + i)
//!              h' = g + f' (h - g)                    (f h + i g) / (f + i)
//!
//! backward     dg  = dh (1 - f')                      gradients before the activations
//!              df  = dh (h - g) (1 - f') f (1 - f) / (f + i)       0 where f is L
//!              di  = dh (g - h) f' i (1 - i) / (f + i)             0 where i is L
//!              to earlier steps: dh f'
//!
//! tape         i f g before their activations, from which value and slope of any are exact
//! ```
//!
//! With options: any activation of g, and i, f and g clamped before their activations. (As for the minimal
//! GRU, there is no form without options.)

use super::{
    BackwardTile, BiasOf, Call, Cell, ForwardTile, GROUP, H, Matrix, Multiply, Operand, Options, Packed,
    Phase, Shape, Start, VectorGradient, bias_gradients, groups,
};
use crate::activation::{Activation, Gate};
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinLstm;

const I: usize = 0;
const F: usize = 1;
const G: usize = 2;

/// L: above the least that the crate's sigmoid gives, 1.65e-38 for all arguments below -87. A gate that stays
/// there must not have a slope, which the division would make a large one.
const MIN_GATE: f32 = 2.0 * f32::MIN_POSITIVE;

/// The place in [`Options::activations`].
const OF_CANDIDATE: usize = 0;

const BIASES: [VectorGradient; 3] = bias_gradients([I, F, G], []);

/// The gates of a tile. Those of i and f are sigmoids, so that their sum, by which they are divided, is not
/// zero.
#[inline(always)]
fn gates(options: &Options) -> [Gate; 3] {
    let i = Gate { index: I, activation: Activation::Sigmoid, clip: options.clip };
    [i, Gate { index: F, ..i }, options.gate(G, OF_CANDIDATE)]
}

/// Both gates, no less than L. NaN stays.
#[inline(always)]
fn at_least<S: Isa>(isa: S, i: S::Vector, f: S::Vector) -> (S::Vector, S::Vector) {
    let least = isa.splat(MIN_GATE);
    (isa.max(least, i), isa.max(least, f))
}

/// The slope of a gate, zero where the gate is L.
#[inline(always)]
fn slope_above<S: Isa>(isa: S, gate: S::Vector, slope: S::Vector) -> S::Vector {
    isa.if_greater(gate, isa.splat(MIN_GATE), slope, isa.zero())
}

impl Cell for MinLstm {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[Activation::Affine { alpha: 1.0, beta: 0.0 }],
        tape: 3,
        scratch: 0,
        grads: 3,
        biases: &[BiasOf::Input(I), BiasOf::Input(F), BiasOf::Input(G)],
        packed: &[Packed { matrix: Matrix::Input, first: I, gates: 3 }],
        forward: &[Phase {
            sums: 3,
            calls: &[Call {
                gates: 3,
                to: 0,
                start: Start::Bias(I),
                products: &[Multiply { weights: 0, rows: Operand::Input, turn: None }],
            }],
        }],
        input: &[I, F, G],
        recurrent: &[],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize>(t: &ForwardTile<'_, S>, sums: &mut [S::Vector]) {
        let isa = t.isa;
        let (sums, _) = sums.as_chunks_mut::<3>();
        t.activate(sums, I, &gates(t.options()));
        for v in 0..sums.len() {
            let [i, f, g] = sums[v];
            let (i, f) = at_least(isa, i, f);
            let share = isa.div(f, isa.add(f, i));
            sums[v][0] = isa.mul_add(share, isa.sub(t.before(v, H), g), g);
        }
        t.set_hidden_states(sums);
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize>(t: &BackwardTile<'_, S>, sums: &mut [S::Vector]) {
        let isa = t.isa;
        let one = isa.splat(1.0);
        for group in groups(sums.len()) {
            // i f g and their slopes.
            let mut values = [[isa.zero(); 3]; GROUP];
            let mut slopes = values;
            t.recall(&group, I, &gates(t.options()), &mut values, &mut slopes);
            for v in group.clone() {
                let dh = sums[v];
                let [i, f, g] = values[v - group.start];
                let [to_i, to_f, to_g] = slopes[v - group.start];
                let (to_i, to_f) = (slope_above(isa, i, to_i), slope_above(isa, f, to_f));
                let (i, f) = at_least(isa, i, f);
                // No more than 2^125. A slope times it is no more than one.
                let inverse = isa.div(one, isa.add(f, i));
                let share = isa.mul(f, inverse);
                let rest = isa.sub(one, share);
                let through = isa.mul(dh, isa.sub(t.before(v, H), g));
                let di = isa.mul(isa.mul(through, share), isa.mul(to_i, inverse));
                t.set_gradient(v, I, isa.sub(isa.zero(), di));
                t.set_gradient(v, F, isa.mul(isa.mul(through, rest), isa.mul(to_f, inverse)));
                t.set_gradient(v, G, isa.mul(isa.mul(dh, rest), to_g));
                t.set_carry(v, H, isa.mul(dh, share));
            }
        }
    }
}
