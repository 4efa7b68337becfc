//! Elman's network, with tanh or with a rectifier.
//!
//! ```text
//! forward      h' = act(b + W x + R h)                one product, one accumulator: four blocks a tile
//! backward     da = dh (1 - h'^2)     or     dh [h' > 0]
//!              to earlier steps: da R in the next product
//! tape         nothing: the states have all that backward needs
//! ```

use super::{BackwardTile, Cell, ForwardTile, H, Operand, ProjectionTile, Traits};
use crate::activation::{slope_of_tanh, tanh};
use crate::simd::Isa;

/// The cell with tanh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanTanh;

/// The cell with a rectifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElmanRelu;

/// An activation, and its slope as a function of its value.
trait Activation: Copy + Send + Sync + 'static {
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector;
    /// `dh` times the slope where the activation is `h`.
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector;
}

impl Activation for ElmanTanh {
    #[inline(always)]
    fn value<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
        tanh(isa, x)
    }
    #[inline(always)]
    fn times_slope<I: Isa>(isa: I, dh: I::Vector, h: I::Vector) -> I::Vector {
        isa.mul(dh, slope_of_tanh(isa, h))
    }
}

impl Activation for ElmanRelu {
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

impl<A: Activation> Cell for A {
    const TRAITS: Traits = Traits {
        gates: 1,
        hidden_gates: 1,
        biases: 1,
        state: 1,
        tape: 0,
        scratch: 0,
        grads: 1,
        recurrent: &[(0, Operand::Hidden)],
    };
    const ACCUMULATORS: [usize; 2] = [1, 1];

    #[inline(always)]
    fn project<I: Isa, const R: usize, const U: usize>(t: &ProjectionTile<'_, I, R, U>) {
        t.project::<1>();
    }

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &ForwardTile<'_, I, R, U>) {
        let mut sums = t.input::<1>();
        t.add_hidden(&mut sums);
        for r in 0..R {
            for u in 0..U {
                t.set_hidden(r, u, A::value(t.isa, sums[r][0][u]));
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, I, R, U>) {
        let dh = t.hidden_gradient(&[0]);
        if t.is_initial() {
            return t.set_initial(dh);
        }
        for r in 0..R {
            for u in 0..U {
                let dh = dh[r][0][u];
                t.set_gradient(r, u, 0, A::times_slope(t.isa, dh, t.after(r, u, H)));
                t.set_carry(r, u, H, t.isa.zero());
            }
        }
    }
}
