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
    /// Planes of the tape.
    const TAPE: usize;
    /// Activates a tile, `x[r][0][u]`.
    fn value<I: Isa, const R: usize, const U: usize>(
        t: &ForwardTile<'_, I, R, U>,
        x: &mut [[[I::Vector; U]; 1]; R],
    );
    /// Multiplies gradients of the hidden state with the slopes.
    fn times_slope<I: Isa, const R: usize, const U: usize>(
        t: &BackwardTile<'_, I, R, U>,
        dh: &mut [[[I::Vector; U]; 1]; R],
    );
}

impl Function for ElmanTanh {
    const TAPE: usize = 0;

    #[inline(always)]
    fn value<I: Isa, const R: usize, const U: usize>(
        t: &ForwardTile<'_, I, R, U>,
        x: &mut [[[I::Vector; U]; 1]; R],
    ) {
        for r in 0..R {
            for u in 0..U {
                x[r][0][u] = tanh(t.isa, x[r][0][u]);
            }
        }
    }

    #[inline(always)]
    fn times_slope<I: Isa, const R: usize, const U: usize>(
        t: &BackwardTile<'_, I, R, U>,
        dh: &mut [[[I::Vector; U]; 1]; R],
    ) {
        for r in 0..R {
            for u in 0..U {
                dh[r][0][u] = t.isa.mul(dh[r][0][u], slope_of_tanh(t.isa, t.after(r, u, H)));
            }
        }
    }
}

impl Function for ElmanRelu {
    const TAPE: usize = 0;

    #[inline(always)]
    fn value<I: Isa, const R: usize, const U: usize>(
        t: &ForwardTile<'_, I, R, U>,
        x: &mut [[[I::Vector; U]; 1]; R],
    ) {
        for r in 0..R {
            for u in 0..U {
                // max gives its second argument where either is NaN.
                x[r][0][u] = t.isa.max(t.isa.zero(), x[r][0][u]);
            }
        }
    }

    #[inline(always)]
    fn times_slope<I: Isa, const R: usize, const U: usize>(
        t: &BackwardTile<'_, I, R, U>,
        dh: &mut [[[I::Vector; U]; 1]; R],
    ) {
        let (isa, zero) = (t.isa, t.isa.zero());
        for r in 0..R {
            for u in 0..U {
                dh[r][0][u] = isa.if_greater(t.after(r, u, H), zero, dh[r][0][u], zero);
            }
        }
    }
}

impl Function for ElmanChosen {
    const TAPE: usize = 1;

    #[inline(always)]
    fn value<I: Isa, const R: usize, const U: usize>(
        t: &ForwardTile<'_, I, R, U>,
        x: &mut [[[I::Vector; U]; 1]; R],
    ) {
        for r in 0..R {
            for u in 0..U {
                t.record(r, u, 0, [x[r][0][u]]);
            }
        }
        activate(t.isa, x, &[t.options().gate(0, 0)]);
    }

    #[inline(always)]
    fn times_slope<I: Isa, const R: usize, const U: usize>(
        t: &BackwardTile<'_, I, R, U>,
        dh: &mut [[[I::Vector; U]; 1]; R],
    ) {
        let mut x = [[[t.isa.zero(); U]; 1]; R];
        for r in 0..R {
            for u in 0..U {
                x[r][0][u] = t.tape(r, u, 0);
            }
        }
        let slopes = activate_with_slopes(t.isa, &mut x, &[t.options().gate(0, 0)]);
        for r in 0..R {
            for u in 0..U {
                dh[r][0][u] = t.isa.mul(dh[r][0][u], slopes[r][0][u]);
            }
        }
    }
}

impl<A: Function> Cell for A {
    const TRAITS: Traits = Traits {
        gates: 1,
        hidden_gates: 1,
        biases: 1,
        state: 1,
        tape: A::TAPE,
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
        A::value(t, &mut sums);
        for r in 0..R {
            for u in 0..U {
                t.set_hidden(r, u, sums[r][0][u]);
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize, const R: usize, const U: usize>(t: &BackwardTile<'_, I, R, U>) {
        let mut dh = t.hidden_gradient(&[0]);
        if t.is_initial() {
            return t.set_initial(dh);
        }
        A::times_slope(t, &mut dh);
        for r in 0..R {
            for u in 0..U {
                t.set_gradient(r, u, 0, dh[r][0][u]);
                t.set_carry(r, u, H, t.isa.zero());
            }
        }
    }
}
