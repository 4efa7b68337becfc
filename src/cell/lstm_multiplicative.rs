//! Multiplicative long short-term memory (Krause et al. 2016, arXiv 1609.07959): the gates see the state
//! through an intermediate state that the input chooses.
//!
//! ```text
//! forward 1    m = (b + W x) (b' + R h)               one product of each, no sum of both
//! forward 2    [i f g o] = b + W x + R m              needs m of all units
//!              c' and h' as of an LSTM
//!
//! backward 1   [di df dg do] as of an LSTM
//! backward 2   dm  = [di df dg do] R                  needs these of all units
//!              da  = dm (b' + R h)
//!              dq  = dm (b + W x)                     to earlier steps: dq R in the next product
//!
//! tape         i f g o m, and both factors of m
//! ```
//!
//! With options: the activations and clips of an LSTM.

use super::{
    BackwardFinish, BackwardTile, BiasOf, Call, Cell, ForwardFinish, ForwardTile, Lstm, MAX_PHASES, Matrix,
    Multiplied, Multiply, Operand, Packed, Phase, Shape, Start, VectorGradient, backward_finish,
    bias_gradients, forward_finish,
};
use crate::activation::Activation;
use crate::simd::{Isa, Token};

/// The cell; see the head of the file. With options where `OPTIONS`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LstmMultiplicative<const OPTIONS: bool>;

/// Planes of the tape after i, f, g and o: m, and its factors.
const M: usize = 4;
const A: usize = 5;
const Q: usize = 6;

/// Planes of gradients after di, df, dg and do.
const DA: usize = 4;
const DQ: usize = 5;

/// The planes of gradients by gate of W and of R, in the order m, i, f, g, o.
const OF_INPUT: [usize; 5] = [DA, 0, 1, 2, 3];
const OF_STATE: [usize; 5] = [DQ, 0, 1, 2, 3];

const BIASES: [VectorGradient; 10] = bias_gradients(OF_INPUT, OF_STATE);

impl<const OPTIONS: bool> Cell for LstmMultiplicative<OPTIONS> {
    const SHAPE: Shape = Shape {
        state: &["h", "c"],
        activations: &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        tape: 7,
        scratch: 1,
        grads: 6,
        biases: &[
            BiasOf::Input(0),
            BiasOf::Recurrent(0),
            BiasOf::Both(1),
            BiasOf::Both(2),
            BiasOf::Both(3),
            BiasOf::Both(4),
        ],
        packed: &[
            Packed { matrix: Matrix::Input, first: 0, gates: 1 },
            Packed { matrix: Matrix::Recurrent, first: 0, gates: 1 },
            Packed { matrix: Matrix::Input, first: 1, gates: 4 },
            Packed { matrix: Matrix::Recurrent, first: 1, gates: 4 },
        ],
        forward: &[
            Phase {
                sums: 2,
                calls: &[
                    Call {
                        gates: 1,
                        to: 0,
                        start: Start::Bias(0),
                        products: &[Multiply { weights: 0, rows: Operand::Input, turn: None }],
                    },
                    Call {
                        gates: 1,
                        to: 1,
                        start: Start::Bias(1),
                        products: &[Multiply { weights: 1, rows: Operand::Hidden, turn: None }],
                    },
                ],
            },
            Phase {
                sums: 4,
                calls: &[Call {
                    gates: 4,
                    to: 0,
                    start: Start::Bias(2),
                    products: &[
                        Multiply { weights: 2, rows: Operand::Input, turn: None },
                        Multiply { weights: 3, rows: Operand::Scratch(0), turn: None },
                    ],
                }],
            },
        ],
        input: &OF_INPUT,
        recurrent: &[
            (DQ, Multiplied::Hidden),
            (0, Multiplied::Tape(M)),
            (1, Multiplied::Tape(M)),
            (2, Multiplied::Tape(M)),
            (3, Multiplied::Tape(M)),
        ],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    /// The first phase; the second is that of an LSTM.
    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize>(t: &ForwardTile<'_, S>, sums: &mut [S::Vector]) {
        let (sums, _) = sums.as_chunks_mut::<2>();
        for v in 0..sums.len() {
            let [a, q] = sums[v];
            let m = t.isa.mul(a, q);
            t.keep(v, 0, [m]);
            t.record(v, M, [m, a, q]);
        }
    }

    /// The second phase; the first is that of an LSTM.
    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize>(t: &BackwardTile<'_, S>, sums: &mut [S::Vector]) {
        for v in 0..sums.len() {
            t.set_gradient(v, DA, t.isa.mul(sums[v], t.tape(v, Q)));
            t.set_gradient(v, DQ, t.isa.mul(sums[v], t.tape(v, A)));
        }
    }

    // The second phase forward, and the first backward, are those of an LSTM: i, f, g and o have the same
    // planes. (The phase of m has no options, and is compiled once.)
    fn forward_finishes(token: Token) -> [ForwardFinish; MAX_PHASES] {
        let [of_gates, ..] = Lstm::<OPTIONS, false>::forward_finishes(token);
        [forward_finish::<LstmMultiplicative<false>, 0>(token), of_gates, of_gates]
    }

    fn backward_finishes(token: Token) -> [BackwardFinish; MAX_PHASES] {
        let [of_gates, ..] = Lstm::<OPTIONS, false>::backward_finishes(token);
        [of_gates, backward_finish::<LstmMultiplicative<false>, 1>(token), of_gates]
    }
}
