//! sLSTM of xLSTM (Beck et al. 2024, arXiv 2405.04517): an exponential input gate, a normaliser, and a
//! stabiliser that keeps both in the floats.
//!
//! ```text
//! forward      [i f z o] = b + W x + R h              one product, four accumulators
//!              l  = log s(f) + m
//!              m' = max(l, i)
//!              i  = e^(i - m')  f = e^(l - m')        one of both is 1
//!              z  = tanh(z)  o = s(o)
//!              c' = f c + i z
//!              n' = f n + i                           no less than 1
//!              h' = o c' / n'
//!
//! backward     dc  = dc' + dh o / n'                  gradients before the activations
//!              dn  = dn' - dh o c' / n'^2
//!              di  = (dc z + dn) i
//!              df  = (dc c + dn n) f (1 - s(f))
//!              dz  = dc i (1 - z^2)
//!              do  = dh c' / n' o (1 - o)
//!              to earlier steps: dc f, dn f, and [di df dz do] R in the next product
//!
//! tape         i f z o after their activations, and 1 - s(f)
//! ```
//!
//! c and n stand for `c e^m` and `n e^m`, and h has their quotient. So m changes no gradient: backward takes
//! it as a constant.
//!
//! R of each gate may be block-diagonal, one block for each head. The plan of products does not show that:
//! `product/heads.rs` multiplies such weights.
//!
//! A state whose n is 0 is empty, as every state is at its beginning: m' is then i, and f is 0, as in the
//! authors' code. (If an empty state counted as m = 0, an i far below 0 would be lost.)

use super::{
    BackwardTile, BiasOf, C, Call, Cell, ForwardTile, H, Matrix, Multiplied, Multiply, Operand, Packed,
    Phase, Shape, Start, VectorGradient, bias_gradients,
};
use crate::activation::{exp_of_negated, sigmoid, slope_of_sigmoid, slope_of_tanh, softplus, tanh};
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slstm;

const I: usize = 0;
const F: usize = 1;
const Z: usize = 2;
const O: usize = 3;
/// The plane of the tape that has 1 - s(f).
const REST: usize = 4;

/// Planes of the state beside H and C.
const N: usize = 2;
const M: usize = 3;

const BIASES: [VectorGradient; 8] = bias_gradients([I, F, Z, O], [I, F, Z, O]);

impl Cell for Slstm {
    const SHAPE: Shape = Shape {
        state: &["h", "c", "n", "m"],
        activations: &[],
        tape: 5,
        scratch: 0,
        grads: 4,
        biases: &[BiasOf::Both(I), BiasOf::Both(F), BiasOf::Both(Z), BiasOf::Both(O)],
        packed: &[
            Packed { matrix: Matrix::Input, first: I, gates: 4 },
            Packed { matrix: Matrix::Recurrent, first: I, gates: 4 },
        ],
        forward: &[Phase {
            sums: 4,
            calls: &[Call {
                gates: 4,
                to: 0,
                start: Start::Bias(I),
                products: &[
                    Multiply { weights: 0, rows: Operand::Input, turn: None },
                    Multiply { weights: 1, rows: Operand::Hidden, turn: None },
                ],
            }],
        }],
        input: &[I, F, Z, O],
        recurrent: &[
            (I, Multiplied::Hidden),
            (F, Multiplied::Hidden),
            (Z, Multiplied::Hidden),
            (O, Multiplied::Hidden),
        ],
        diagonal: false,
        projection: None,
        norm: [false, false],
        vectors: &BIASES,
    };

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize>(t: &ForwardTile<'_, S>, sums: &mut [S::Vector]) {
        let isa = t.isa;
        let (sums, _) = sums.as_chunks_mut::<4>();
        // Two passes, as in lstm.rs. Between them c' and n' have the places of i and f.
        for v in 0..sums.len() {
            let [i, f, z, o] = sums[v];
            let negated = isa.sub(isa.zero(), f);
            let [n, m] = [t.before(v, N), t.before(v, M)];
            let l = isa.sub(m, softplus(isa, negated));
            // (A NaN of n is one of c, which stays.)
            let next = isa.if_greater(n, isa.zero(), isa.max(l, i), i);
            let rest = sigmoid(isa, negated);
            let f = isa.if_greater(n, isa.zero(), exp_of_negated(isa, isa.sub(next, l)), isa.zero());
            let (i, z, o) = (exp_of_negated(isa, isa.sub(next, i)), tanh(isa, z), sigmoid(isa, o));
            t.record(v, I, [i, f, z, o, rest]);
            let c = isa.mul_add(f, t.before(v, C), isa.mul(i, z));
            let n = isa.mul_add(f, n, i);
            sums[v][I] = t.set_cell_state(false, v, c);
            sums[v][F] = n;
            sums[v][O] = o;
            t.set_state(v, N, n);
            t.set_state(v, M, next);
        }
        for v in 0..sums.len() {
            let [c, n, _, o] = sums[v];
            sums[v][0] = isa.mul(o, isa.div(c, n));
        }
        t.set_hidden_states(sums);
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize>(t: &BackwardTile<'_, S>, sums: &mut [S::Vector]) {
        let isa = t.isa;
        for v in 0..sums.len() {
            let dh = sums[v];
            let [i, f, z, o] = [t.tape(v, I), t.tape(v, F), t.tape(v, Z), t.tape(v, O)];
            let inverse = isa.div(isa.splat(1.0), t.after(v, N));
            let y = isa.mul(t.after(v, C), inverse);
            let through = isa.mul(isa.mul(dh, o), inverse);
            let dc = isa.add(t.carry(v, C), through);
            let dn = isa.neg_mul_add(through, y, t.carry(v, N));
            let of_f = isa.mul_add(dc, t.before(v, C), isa.mul(dn, t.before(v, N)));
            t.set_gradient(v, I, isa.mul(isa.mul_add(dc, z, dn), i));
            t.set_gradient(v, F, isa.mul(isa.mul(of_f, f), t.tape(v, REST)));
            t.set_gradient(v, Z, isa.mul(isa.mul(dc, i), slope_of_tanh(isa, z)));
            t.set_gradient(v, O, isa.mul(isa.mul(dh, y), slope_of_sigmoid(isa, o)));
            t.set_carry(v, C, isa.mul(dc, f));
            t.set_carry(v, N, isa.mul(dn, f));
            t.set_carry(v, H, isa.zero());
        }
    }
}
