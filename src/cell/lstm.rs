//! Long short-term memory.
//!
//! ```text
//! forward      [i f g o] = b + W x + R h              one product, four accumulators
//!              i = s(i)  f = s(f)  g = tanh(g)  o = s(o)
//!              c' = f c + i g
//!              h' = o tanh(c')
//!
//! backward     dc  = dc' + dh o (1 - tanh(c')^2)
//!              di  = dc g  i (1 - i)                  gradients before the activations
//!              df  = dc c  f (1 - f)
//!              dg  = dc i  (1 - g^2)
//!              do  = dh tanh(c')  o (1 - o)
//!              to earlier steps: dc f, and [di df dg do] R in the next product
//!
//! tape         i f g o; c and h are in the states, tanh(c') is computed again, which is cheaper than
//!              to write and read it
//! ```

use super::{BackwardTile, C, Cell, ForwardTile, H, Operand, ProjectionTile, Traits};
use crate::activation::{sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lstm;

const I: usize = 0;
const F: usize = 1;
const G: usize = 2;
const O: usize = 3;

impl Cell for Lstm {
    const TRAITS: Traits = Traits {
        gates: 4,
        hidden_gates: 4,
        biases: 4,
        state: 2,
        tape: 4,
        scratch: 0,
        grads: 4,
        recurrent: &[(I, Operand::Hidden), (F, Operand::Hidden), (G, Operand::Hidden), (O, Operand::Hidden)],
    };
    const ACCUMULATORS: [usize; 2] = [4, 4];

    #[inline(always)]
    fn project<S: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, S, R, U>) {
        t.project::<4>();
    }

    #[inline(always)]
    fn forward<S: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, S, R, U>) {
        let isa = t.isa;
        let mut sums = t.input::<4>();
        t.add_hidden(&mut sums);
        // Two passes over the rows. In one, the chain from a gate to h is some 200 cycles long, and the
        // processor sees two rows ahead; cut at c, each half leaves it enough rows to fill the latency.
        let mut c = [[isa.zero(); U]; R];
        for r in 0..R {
            for u in 0..U {
                let i = sigmoid(isa, sums[r][I][u]);
                let f = sigmoid(isa, sums[r][F][u]);
                let g = tanh(isa, sums[r][G][u]);
                let o = sigmoid(isa, sums[r][O][u]);
                t.record(r, u, 0, [i, f, g, o]);
                sums[r][O][u] = o;
                c[r][u] = t.set_cell_state(r, u, isa.mul_add(f, t.state(r, u, C), isa.mul(i, g)));
            }
        }
        for r in 0..R {
            for u in 0..U {
                t.set_hidden(r, u, isa.mul(sums[r][O][u], tanh(isa, c[r][u])));
            }
        }
    }

    #[inline(always)]
    fn backward<S: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, S, R, U>) {
        let isa = t.isa;
        let dh = t.hidden_gradient(&[I, F, G, O]);
        if t.is_initial() {
            return t.set_initial(dh);
        }
        // A pass of its own for the longest chain, as in forward.
        let mut tanh_c = [[isa.zero(); U]; R];
        for r in 0..R {
            for u in 0..U {
                tanh_c[r][u] = tanh(isa, t.after(r, u, C));
            }
        }
        for r in 0..R {
            for u in 0..U {
                let (dh, tanh_c) = (dh[r][0][u], tanh_c[r][u]);
                let (i, f) = (t.tape(r, u, I), t.tape(r, u, F));
                let (g, o) = (t.tape(r, u, G), t.tape(r, u, O));
                let through_c = isa.mul(isa.mul(dh, o), slope_of_tanh(isa, tanh_c));
                let dc = isa.add(t.carry(r, u, C), through_c);
                t.set_gradient(r, u, I, isa.mul(isa.mul(dc, g), slope_of_sigmoid(isa, i)));
                let df = isa.mul(isa.mul(dc, t.before(r, u, C)), slope_of_sigmoid(isa, f));
                t.set_gradient(r, u, F, df);
                t.set_gradient(r, u, G, isa.mul(isa.mul(dc, i), slope_of_tanh(isa, g)));
                t.set_gradient(r, u, O, isa.mul(isa.mul(dh, tanh_c), slope_of_sigmoid(isa, o)));
                t.set_carry(r, u, C, isa.mul(dc, f));
                t.set_carry(r, u, H, isa.zero());
            }
        }
    }
}
