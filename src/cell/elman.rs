//! Elman's network, with tanh, with a rectifier, or with any activation.
//!
//! ```text
//! forward      h' = act(b + W x + R h)                one product, one accumulator: four blocks a tile
//! backward     da = dh (1 - h'^2)     or     dh [h' > 0]     or     dh times the slope at the argument
//!              to earlier steps: da R in the next product
//! tape         nothing: the states have all that backward needs; with any activation, its argument
//! ```

use super::{BackwardTile, Cell, ForwardTile, H, Operand, ProjectionTile, Traits};
use crate::activation::{activate, activate_with_slopes, slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell with tanh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanTanh;

/// The cell with a rectifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanRelu;

/// The cell with any activation and a clip of its argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanChosen;

/// How the cells differ.
trait Function: Copy + Send + Sync + 'static {
    /// Whether the tile is activated as a whole, before [`value`](Self::value), and backward has the slopes.
    const CHOSEN: bool;
    /// The activation.
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector;
    /// `dh` times the slope where the activation is `h`; of [`CHOSEN`](Self::CHOSEN), where the slope is `h`.
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector;
}

impl Function for ElmanTanh {
    const CHOSEN: bool = false;

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
    const CHOSEN: bool = false;

    #[inline(always)]
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
        // max gives its second argument where either is NaN.
        isa.max(isa.zero(), x)
    }
    #[inline(always)]
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector {
        isa.if_greater(h, isa.zero(), dh, isa.zero())
    }
}

impl Function for ElmanChosen {
    const CHOSEN: bool = true;

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
    const TRAITS: Traits = Traits {
        gates: 1,
        hidden_gates: 1,
        biases: 1,
        state: 1,
        tape: if A::CHOSEN { 1 } else { 0 },
        scratch: 0,
        grads: 1,
        recurrent: &[(0, Operand::Hidden)],
        projection: None,
        norm: None,
    };
    const ACCUMULATORS: [usize; 3] = [1, 1, 1];

    #[inline(always)]
    fn project<I: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, I, R, U>) {
        t.project::<1>();
    }

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, I, R, U>) {
        let mut sums = t.input::<1>();
        t.add_hidden(&mut sums);
        if A::CHOSEN {
            for r in 0..R {
                for u in 0..U {
                    t.record(r, u, 0, [sums[r][0][u]]);
                }
            }
            activate(t.isa, &mut sums, &[t.options().gate(0, 0)]);
        }
        for r in 0..R {
            for u in 0..U {
                t.set_hidden(A::CHOSEN, r, u, A::value(t.isa, sums[r][0][u]));
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, I, R, U>) {
        let dh = t.hidden_gradient(A::CHOSEN, &[0]);
        if t.is_initial() {
            return t.set_initial(dh);
        }
        let mut slopes = [[[t.isa.zero(); U]; 1]; R];
        if A::CHOSEN {
            let mut x = slopes;
            for r in 0..R {
                for u in 0..U {
                    x[r][0][u] = t.tape(r, u, 0);
                }
            }
            slopes = activate_with_slopes(t.isa, &mut x, &[t.options().gate(0, 0)]);
        }
        for r in 0..R {
            for u in 0..U {
                let h = if A::CHOSEN { slopes[r][0][u] } else { t.after(r, u, H) };
                t.set_gradient(r, u, 0, A::times_slope(t.isa, dh[r][0][u], h));
                t.set_carry(r, u, H, t.isa.zero());
            }
        }
    }
}
