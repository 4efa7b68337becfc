//! Gated recurrent unit, reset before the recurrent product (Cho et al. 2014; ONNX's default).
//!
//! ```text
//! forward 1    [r z p] = b + W x,   [r z] += R h      p: the candidate without its recurrent side
//!              r = s(r)  z = s(z)                     kept for phase 2: z, p, v = r h
//! forward 2    n = tanh(p + R v)                      needs v of all units
//!              h' = n + z (h - n)
//!
//! backward 1   dn  = dh (1 - z) (1 - n^2)             gradients before the activations
//!              dz  = dh (h - n) z (1 - z)
//!              to earlier steps: dh z
//! backward 2   dv  = dn R                             needs dn of all units
//!              dr  = dv h r (1 - r)
//!              to earlier steps: + dv r, and [dr dz] R in the next product
//!
//! tape         r z n v
//! ```
//!
//! With options: any activations in the places of s and tanh, and r, z and p + R v clamped before them. The
//! tape then keeps r z n before clips and activations, from which value and slope of any are exact.

use super::{BackwardTile, Cell, ForwardTile, GROUP, H, Operand, ProjectionTile, Traits, groups};
use crate::activation::{activate, activate_with_slopes, sigmoid, slope_of_sigmoid, slope_of_tanh, tanh};
use crate::matrix::{Room, put};
use crate::simd::Isa;
use std::ops::Range;

/// The cell; see the head of the file. With options where `CHOSEN`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GruResetBefore<const CHOSEN: bool>;

const R_: usize = 0;
const Z: usize = 1;
const N: usize = 2;
const V: usize = 3;

/// Planes of the scratch record.
const KEPT_Z: usize = 0;
const KEPT_P: usize = 1;
const KEPT_V: usize = 2;

/// Places in [`Options::activations`](super::Options).
const OF_GATE: usize = 0;
const OF_CANDIDATE: usize = 1;

impl<const CHOSEN: bool> Cell for GruResetBefore<CHOSEN> {
    const TRAITS: Traits = Traits {
        gates: 3,
        hidden_gates: 2,
        biases: 3,
        state: 1,
        tape: 4,
        scratch: 3,
        grads: 3,
        recurrent: &[(R_, Operand::Hidden), (Z, Operand::Hidden), (N, Operand::Tape(V))],
        projection: None,
        norm: None,
    };
    const ACCUMULATORS: [usize; 3] = [3, 1, 1];

    #[inline(always)]
    fn project<'r, I: Isa, const R: usize, const U: usize>(
        t: &ProjectionTile<'_, I, R, U>,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        t.project::<3>(room)
    }

    #[inline(always)]
    fn products<'r, I: Isa, const PHASE: usize, const R: usize, const U: usize>(
        t: &ForwardTile<'_, I>,
        room: &'r mut Room<I::Vector>,
    ) -> &'r mut [I::Vector] {
        if PHASE == 0 {
            let mut sums = t.input::<R, U, 3>();
            let mut gates = t.zero::<R, U, 2>();
            for r in 0..R {
                for u in 0..U {
                    gates[r][u] = [sums[r][u][R_], sums[r][u][Z]];
                }
            }
            t.add_hidden(&mut gates);
            for r in 0..R {
                for u in 0..U {
                    [sums[r][u][R_], sums[r][u][Z]] = gates[r][u];
                }
            }
            put(sums, room)
        } else {
            let mut sums = t.zero::<R, U, 1>();
            for r in 0..R {
                for u in 0..U {
                    sums[r][u][0] = t.scratch(r * U + u, KEPT_P);
                }
            }
            t.add_second(&mut sums, KEPT_V);
            put(sums, room)
        }
    }

    #[inline(always)]
    fn forward<I: Isa, const PHASE: usize>(t: &ForwardTile<'_, I>, sums: &mut [I::Vector]) {
        let (isa, options) = (t.isa, t.options());
        if PHASE == 0 {
            let (sums, _) = sums.as_chunks_mut::<3>();
            if CHOSEN {
                for v in 0..sums.len() {
                    t.record(v, R_, [sums[v][R_], sums[v][Z]]);
                }
                activate(isa, sums, &[options.gate(R_, OF_GATE), options.gate(Z, OF_GATE)]);
            }
            for v in 0..sums.len() {
                let [mut reset, mut z] = [sums[v][R_], sums[v][Z]];
                if !CHOSEN {
                    (reset, z) = (sigmoid(isa, reset), sigmoid(isa, z));
                    t.record(v, R_, [reset, z]);
                }
                let rh = isa.mul(reset, t.multiplied(v));
                t.keep(v, 0, [z, sums[v][N], rh]);
                t.record(v, V, [rh]);
            }
        } else {
            let (sums, _) = sums.as_chunks_mut::<1>();
            if CHOSEN {
                for v in 0..sums.len() {
                    t.record(v, N, [sums[v][0]]);
                }
                activate(isa, sums, &[options.gate(0, OF_CANDIDATE)]);
            }
            for v in 0..sums.len() {
                let mut n = sums[v][0];
                let z = t.scratch(v, KEPT_Z);
                if !CHOSEN {
                    n = tanh(isa, n);
                    t.record(v, N, [n]);
                }
                t.set_hidden(CHOSEN, v, isa.mul_add(z, isa.sub(t.before(v, H), n), n));
            }
        }
    }

    #[inline(always)]
    fn backward<I: Isa, const PHASE: usize>(t: &BackwardTile<'_, I>, sums: &mut [I::Vector]) {
        for group in groups(sums.len()) {
            if PHASE == 0 {
                first_phase::<I, CHOSEN>(t, sums, group);
            } else {
                second_phase::<I, CHOSEN>(t, sums, group);
            }
        }
    }
}

/// The gradients of z and n.
#[inline(always)]
fn first_phase<I: Isa, const CHOSEN: bool>(t: &BackwardTile<'_, I>, sums: &[I::Vector], group: Range<usize>) {
    let (isa, count) = (t.isa, group.len());
    // z n and their slopes. Plain, they are read one by one below.
    let mut values = [[isa.zero(); 2]; GROUP];
    let mut slopes = values;
    if CHOSEN {
        for v in group.clone() {
            values[v - group.start] = [t.tape(v, Z), t.tape(v, N)];
        }
        let gates = [t.options().gate(0, OF_GATE), t.options().gate(1, OF_CANDIDATE)];
        activate_with_slopes(isa, &mut values[..count], &mut slopes[..count], &gates);
    }
    for v in group.clone() {
        let dh = sums[v];
        let [mut z, mut n] = values[v - group.start];
        let [mut to_z, mut to_n] = slopes[v - group.start];
        if !CHOSEN {
            (z, n) = (t.tape(v, Z), t.tape(v, N));
            (to_z, to_n) = (slope_of_sigmoid(isa, z), slope_of_tanh(isa, n));
        }
        let rest = isa.sub(isa.splat(1.0), z);
        let dn = isa.mul(isa.mul(dh, rest), to_n);
        let dz = isa.mul(isa.mul(dh, isa.sub(t.before(v, H), n)), to_z);
        t.set_gradient(v, Z, dz);
        t.set_gradient(v, N, dn);
        t.set_carry(v, H, isa.mul(dh, z));
    }
}

/// The gradient of r, and of the state through `r h`.
#[inline(always)]
fn second_phase<I: Isa, const CHOSEN: bool>(
    t: &BackwardTile<'_, I>,
    sums: &[I::Vector],
    group: Range<usize>,
) {
    let (isa, count) = (t.isa, group.len());
    let mut resets = [[isa.zero(); 1]; GROUP];
    let mut slopes = resets;
    if CHOSEN {
        for v in group.clone() {
            resets[v - group.start][0] = t.tape(v, R_);
        }
        let gates = [t.options().gate(0, OF_GATE)];
        activate_with_slopes(isa, &mut resets[..count], &mut slopes[..count], &gates);
    }
    for v in group.clone() {
        let (dv, mut reset, mut slope) = (sums[v], resets[v - group.start][0], slopes[v - group.start][0]);
        if !CHOSEN {
            reset = t.tape(v, R_);
            slope = slope_of_sigmoid(isa, reset);
        }
        let dr = isa.mul(isa.mul(dv, t.multiplied(v)), slope);
        t.set_gradient(v, R_, dr);
        t.set_carry(v, H, isa.mul_add(t.masked(v, dv), reset, t.carry(v, H)));
    }
}
