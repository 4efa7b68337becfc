//! Elman's network, with tanh, with a rectifier, or with any activation.
//!
//! ```text
//! forward      h' = act(b + W x + R h)                one product, one accumulator: four blocks a tile
//! backward     da = dh (1 - h'^2)     or     dh [h' > 0]     or     dh times the slope at the argument
//!              to earlier steps: da R in the next product
//! tape         nothing: the states have all that backward needs; with any activation, its argument
//! ```

use super::{
    BackwardTile, BiasOf, Call, Cell, ForwardTile, GROUP, H, Matrix, Multiplied, Multiply, Operand, Packed,
    Phase, Shape, Start, VectorGradient, bias_gradients, groups,
};
use crate::activation::{Activation, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell with tanh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanTanh;

/// The cell with a rectifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanRelu;

/// The cell with any activation and a clip of its argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanWithOptions;

const BIASES: [VectorGradient; 2] = bias_gradients([0], [0]);

/// How the cells differ.
trait Function: Copy + Send + Sync + 'static {
    /// The activation that the cell has without options.
    const ACTIVATION: Activation;
    /// Whether it is the cell with options: the whole tile is activated at once, and backward gets the
    /// slopes.
    const OPTIONS: bool;
    /// The activation.
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector;
    /// `dh` times the slope of the activation. `h` is the activation, or for [`OPTIONS`](Self::OPTIONS) the
    /// slope.
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector;
}

impl Function for ElmanTanh {
    const ACTIVATION: Activation = Activation::Tanh;
    const OPTIONS: bool = false;

    #[inline(always)]
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
        tanh(isa, x)
    }
    #[inline(always)]
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector {
        isa.mul(dh, slope_of_tanh(isa, h))
    }
}

impl Function for ElmanRelu {
    const ACTIVATION: Activation = Activation::Relu;
    const OPTIONS: bool = false;

    #[inline(always)]
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
        // In this order a NaN stays: max gives its second argument where either is NaN.
        isa.max(isa.zero(), x)
    }
    #[inline(always)]
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector {
        isa.if_greater(h, isa.zero(), dh, isa.zero())
    }
}

impl Function for ElmanWithOptions {
    // Not used: the options begin with the activation of the plain cell (`CellKind::activations`).
    const ACTIVATION: Activation = Activation::Tanh;
    const OPTIONS: bool = true;

    #[inline(always)]
    fn value<I: Isa>(_: I, x: I::Vector) -> I::Vector {
        x
    }
    #[inline(always)]
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, slope: I::Vector) -> I::Vector {
        isa.mul(dh, slope)
    }
}

impl<A: Function> Cell for A {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[A::ACTIVATION],
        tape: if A::OPTIONS { 1 } else { 0 },
        scratch: 0,
        grads: 1,
        biases: &[BiasOf::Both(0)],
        packed: &[
            Packed { matrix: Matrix::Input, first: 0, gates: 1 },
            Packed { matrix: Matrix::Recurrent, first: 0, gates: 1 },
        ],
        forward: &[Phase {
            sums: 1,
            calls: &[Call {
                gates: 1,
                to: 0,
                start: Start::Bias(0),
                products: &[
                    Multiply { weights: 0, rows: Operand::Input, turn: None },
                    Multiply { weights: 1, rows: Operand::Hidden, turn: None },
                ],
            }],
        }],
        input: &[0],
        recurrent: &[(0, Multiplied::Hidden)],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let (sums, _) = sums.as_chunks_mut::<1>();
        if A::OPTIONS {
            t.activate(sums, 0, &[t.options().gate(0, 0)]);
            return t.set_hidden_states(sums);
        }
        for v in 0..sums.len() {
            t.set_hidden(v, A::value(t.isa, sums[v][0]));
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        let isa = t.isa;
        for group in groups(sums.len()) {
            let mut slopes = [[isa.zero(); 1]; GROUP];
            if A::OPTIONS {
                t.recall(&group, 0, &[t.options().gate(0, 0)], &mut slopes.clone(), &mut slopes);
            }
            for v in group.clone() {
                let h = if A::OPTIONS { slopes[v - group.start][0] } else { t.after(v, H) };
                t.set_gradient(v, 0, A::times_slope(isa, sums[v], h));
                t.set_carry(v, H, isa.zero());
            }
        }
    }
}
