//! Gated recurrent unit, reset after the recurrent product, with layer normalisation (after Ba, Kiros, Hinton
//! 2016, arXiv 1607.06450; here all three gates of a product are normalised together, as those of the LSTM
//! are).
//!
//! `N` is the normalisation of `norm.rs`. Shifts of the products are the biases; gains are a_ih and a_hh.
//!
//! ```text
//! forward 1    u = W x        v = R h                                       both kept, of all units
//! forward 2    [r z p] = a_ih N(u) + b_ih        [r z q] += a_hh N(v) + b_hh
//!              r = s(r)  z = s(z)  n = tanh(p + r q)
//!              h' = n + z (h - n)
//!
//! backward 1   dr dz dn dq as in gru_after.rs;  to earlier steps: dh z
//! backward 2   du = [dr dz dn] a_ih through N,   dv = [dr dz dq] a_hh through N     needs these of all units
//!              to earlier steps: dv R in the next product
//!
//! tape         N(u) x 3   N(v) x 3   1/sqrt(..) of u and v, each as a plane of equal values
//! gradients    du x 3   dv x 3   dr dz dn dq
//! ```

use super::norm::{Normalised, input_product, normalise, recurrent_product, through_norm};
use super::{
    BackwardTile, BiasOf, Cell, ForwardTile, GROUP, H, Matrix, Multiplied, Packed, Phase, Shape,
    VectorGradient, bias_gradients, concat, gain_gradients, groups,
};
use crate::activation::{Activation, activate, activate_with_slopes};
use crate::simd::Isa;

/// The cell; see the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruNorm;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const Q: usize = 3;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

/// Planes of the tape, and of the scratch record: of u and v of gate 0; and the two factors.
const NU: usize = 0;
const NV: usize = 3;
const SCALE_U: usize = 6;
const SCALE_V: usize = 7;

/// Planes of the gradients: of u, v and pre-activation of gate 0.
const DU: usize = 0;
const DV: usize = 3;
const DA: usize = 6;

/// Vectors of the normalisation: gains of u and v of gate 0, shift of gate 0; that of q is the fourth.
const GAIN_U: usize = 0;
const GAIN_V: usize = 3;
const SHIFT: usize = 6;

/// u and v.
const U: Normalised = Normalised {
    kept: NU,
    tape: NU,
    scale: SCALE_U,
    gain: GAIN_U,
    gradient: DU,
    sums: &[(R_, Some(SHIFT + R_)), (Z, Some(SHIFT + Z)), (N, Some(SHIFT + N))],
};
const V: Normalised = Normalised {
    kept: NV,
    tape: NV,
    scale: SCALE_V,
    gain: GAIN_V,
    gradient: DV,
    sums: &[(R_, None), (Z, None), (Q, Some(SHIFT + Q))],
};

const BIASES: [VectorGradient; 6] = bias_gradients([DA + R_, DA + Z, DA + N], [DA + R_, DA + Z, DA + Q]);
const GAINS: [VectorGradient; 6] =
    gain_gradients([DA + R_, DA + Z, DA + N], [DA + R_, DA + Z, DA + Q], [NU, NV]);
const VECTORS: [VectorGradient; 12] = concat(&BIASES, &GAINS);

impl Cell for GruNorm {
    const SHAPE: Shape = Shape {
        state: &["h"],
        activations: &[Activation::Sigmoid, Activation::Tanh],
        tape: 8,
        scratch: 6,
        grads: 10,
        biases: &[BiasOf::Both(R_), BiasOf::Both(Z), BiasOf::Input(N), BiasOf::Recurrent(N)],
        packed: &[
            Packed { matrix: Matrix::Input, first: 0, gates: 3 },
            Packed { matrix: Matrix::Recurrent, first: 0, gates: 3 },
        ],
        forward: &[
            Phase { sums: 6, calls: &[input_product(3, NU), recurrent_product(3, NV)] },
            Phase { sums: 4, calls: &[] },
        ],
        input: &[DU + R_, DU + Z, DU + N],
        recurrent: &[
            (DV + R_, Multiplied::Hidden),
            (DV + Z, Multiplied::Hidden),
            (DV + N, Multiplied::Hidden),
        ],
        diagonal: false,
        projection: None,
        norm: [true, false],
        vectors: &VECTORS,
    };

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let (isa, options) = (t.isa, t.options());
        if PHASE == 0 {
            let (sums, _) = sums.as_chunks_mut::<6>();
            for v in 0..sums.len() {
                t.keep(v, NU, sums[v]);
            }
            return;
        }
        // r z n and q.
        let (sums, _) = sums.as_chunks_mut::<4>();
        normalise(t, sums.as_flattened_mut(), 4, &U);
        normalise(t, sums.as_flattened_mut(), 4, &V);
        activate(isa, sums, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
        for v in 0..sums.len() {
            sums[v][N] = isa.mul_add(sums[v][R_], sums[v][Q], sums[v][N]);
        }
        activate(isa, sums, &[options.gate(N, OF_CANDIDATE)]);
        for v in 0..sums.len() {
            let (z, n) = (sums[v][Z], sums[v][N]);
            sums[v][0] = isa.mul_add(z, isa.sub(t.before(v, H), n), n);
        }
        t.set_hidden_states(sums);
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        if PHASE > 0 {
            through_norm(t, sums.len(), DA, &U);
            return through_norm(t, sums.len(), DA, &V);
        }
        let (isa, options) = (t.isa, t.options());
        let one = isa.splat(1.0);
        for group in groups(sums.len()) {
            // r z n and q, as in forward. (Slices, as in `recall`.)
            let mut values = [[isa.zero(); 4]; GROUP];
            let mut slopes = values;
            let (values, slopes) = (&mut values[..group.len()], &mut slopes[..group.len()]);
            for n in 0..values.len() {
                let (v, values) = (group.start + n, &mut values[n]);
                for gate in [R_, Z, N] {
                    let (nu, nv) = (t.tape(v, NU + gate), t.tape(v, NV + gate));
                    let input = isa.mul_add(t.norm(v, GAIN_U + gate), nu, t.norm(v, SHIFT + gate));
                    let from = if gate == N { t.norm(v, SHIFT + Q) } else { input };
                    let sum = isa.mul_add(t.norm(v, GAIN_V + gate), nv, from);
                    if gate == N {
                        values[N] = input;
                        values[Q] = sum;
                    } else {
                        values[gate] = sum;
                    }
                }
            }
            activate_with_slopes(isa, values, slopes, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
            for n in 0..values.len() {
                values[n][N] = isa.mul_add(values[n][R_], values[n][Q], values[n][N]);
            }
            activate_with_slopes(isa, values, slopes, &[options.gate(N, OF_CANDIDATE)]);
            for v in group.clone() {
                let dh = sums[v];
                let [reset, z, n, q] = values[v - group.start];
                let [to_r, to_z, to_n, _] = slopes[v - group.start];
                let dn = isa.mul(isa.mul(dh, isa.sub(one, z)), to_n);
                let dz = isa.mul(isa.mul(dh, isa.sub(t.before(v, H), n)), to_z);
                t.set_gradient(v, DA + R_, isa.mul(isa.mul(dn, q), to_r));
                t.set_gradient(v, DA + Z, dz);
                t.set_gradient(v, DA + N, dn);
                t.set_gradient(v, DA + Q, isa.mul(dn, reset));
                t.set_carry(v, H, isa.mul(dh, z));
            }
        }
    }
}
