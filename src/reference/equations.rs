//! The equations of each cell, and their derivatives: from the sums of a step to its next state, and back.
//!
//! ```text
//! forward    a, and q, h, c of the step     ->  its gates, h' and c', and slopes for the way back
//! backward   the gradients of h' and c'     ->  those of a, and of h and c where they do not come from q
//! ```
//!
//! `step.rs` has what is before and after these in every cell: the products with `W` and `R`, layer
//! normalisation of them, projection.

use super::cell::{Activation, Cell, Variant, clamp};
use super::model::{Model, Params, Step};
use super::real::{Real, add, add_outer, flushed, normalise, product, through_norm};
use std::array;

/// What a step is of: a network, and one direction of one layer in it.
pub(super) struct Of<'a, F> {
    pub(super) model: &'a Model<F>,
    pub(super) cell: Cell,
    pub(super) variant: &'a Variant,
    pub(super) params: &'a Params<F>,
    pub(super) hidden: usize,
    /// How many rows of `R` multiply h.
    pub(super) plain: usize,
}

/// Gradients of one step.
pub(super) struct Back<F> {
    /// Of a.
    pub(super) a: Vec<F>,
    /// Of `LstmMultiplicative`'s m.
    pub(super) m: Vec<F>,
    /// Of h, where it is not multiplied by `R`, and of what `R` multiplies.
    pub(super) h: Vec<F>,
    pub(super) masked: Vec<F>,
    pub(super) c: Vec<F>,
}

/// Fills gates, `h'` and `c'` of a step that has all else.
pub(super) fn forward<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    match of.cell {
        Cell::Lstm => lstm(of, a, step),
        Cell::LstmMultiplicative => lstm_multiplicative(of, a, step),
        Cell::GruResetAfter => gru_reset_after(of, a, step),
        Cell::GruResetBefore => gru_reset_before(of, a, step),
        Cell::ElmanTanh | Cell::ElmanRelu | Cell::IndRnn => elman(of, a, step),
        Cell::Slstm => slstm(of, a, step),
        Cell::MinGru => min_gru(of, a, step),
        Cell::MinLstm => min_lstm(of, a, step),
    }
}

/// From the gradients of `h'` and `c'` to those of a, h and c, which are zero before.
pub(super) fn backward<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    dh_next: &[F],
    dc_next: &[F],
    d: &mut Back<F>,
    grads: &mut Params<F>,
) {
    match of.cell {
        Cell::Lstm => lstm_back(of, step, dh_next, dc_next, d, grads),
        Cell::LstmMultiplicative => lstm_multiplicative_back(of, step, dh_next, dc_next, d, grads),
        Cell::GruResetAfter => gru_reset_after_back(of, step, dh_next, d),
        Cell::GruResetBefore => gru_reset_before_back(of, step, dh_next, d, grads),
        Cell::ElmanTanh | Cell::ElmanRelu => elman_back(of, step, dh_next, d),
        Cell::IndRnn => ind_rnn_back(of, step, dh_next, d),
        Cell::Slstm => slstm_back(of, step, dh_next, dc_next, d),
        Cell::MinGru => min_gru_back(of, step, dh_next, d),
        Cell::MinLstm => min_lstm_back(of, step, dh_next, d),
    }
}

/// i = s(a_i + q_i), f and o alike, g = tanh(a_g + q_g), c' = f c + i g, h' = o tanh(c').
/// Peepholes add p c to the sums of i and f, and p c' to that of o; coupled, f = 1 - i.
fn lstm<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let &Of { cell, variant, params, hidden, .. } = of;
    let Step { c, q, gates, slopes, clip_slopes, c_next, .. } = step;
    let first = first_of_lstm(of);
    for j in 0..hidden {
        let [i, f, g, o] = rows(first + j, hidden);
        let peep = |gate, v| peephole(params, gate * hidden + j, v);
        (gates[i], slopes[i]) = variant.gate(cell, 0, a[i] + q[i] + peep(0, c[j]));
        (gates[f], slopes[f]) = variant.gate(cell, 0, a[f] + q[f] + peep(1, c[j]));
        (gates[g], slopes[g]) = variant.gate(cell, 1, a[g] + q[g]);
        if variant.coupled {
            (gates[f], slopes[f]) = (F::ONE - gates[i], F::ZERO);
        }
        (c_next[j], clip_slopes[j]) = clamp(gates[f] * c[j] + gates[i] * gates[g], variant.cell_clip);
        (gates[o], slopes[o]) = variant.gate(cell, 0, a[o] + q[o] + peep(2, c_next[j]));
    }
    let seen = normalised_cell_state(of, step);
    for j in 0..hidden {
        (step.outputs[j], step.output_slopes[j]) = variant.activation(cell, 2).at(seen[j]);
        step.h_next[j] = step.gates[first + 3 * hidden + j] * step.outputs[j];
    }
}

/// What `tanh` sees of `c'`: gain * N(c') + shift with layer normalisation, else `c'`.
fn normalised_cell_state<F: Real>(of: &Of<'_, F>, step: &mut Step<F>) -> Vec<F> {
    let Some(epsilon) = of.model.layer_norm else { return step.c_next.clone() };
    (step.normalised[2], step.factors[2]) = normalise(&step.c_next, epsilon);
    let (gain, shift) = of.params.norm_c.split_at(of.hidden);
    let mut seen = product(gain, &step.normalised[2]);
    add(&mut seen, shift);
    seen
}

/// From h' = o tanh(c') and c' = f c + i g, or (1 - i) c + i g.
fn lstm_back<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    dh_next: &[F],
    dc_next: &[F],
    d: &mut Back<F>,
    grads: &mut Params<F>,
) {
    let &Of { variant, params, hidden, .. } = of;
    let Step { c, gates, slopes, outputs, clip_slopes, .. } = step;
    let first = first_of_lstm(of);
    let through = through_cell_state(of, step, dh_next, grads);
    for j in 0..hidden {
        let [i, f, g, o] = rows(first + j, hidden);
        let peep = |gate, v| peephole(params, gate * hidden + j, v);
        d.a[o] = dh_next[j] * outputs[j] * slopes[o];
        let d_c = dc_next[j] + through[j] + peep(2, d.a[o]);
        let d_c = d_c * clip_slopes[j];
        let through_i = if variant.coupled { gates[g] - c[j] } else { gates[g] };
        d.a[i] = d_c * through_i * slopes[i];
        d.a[f] = d_c * c[j] * slopes[f];
        d.a[g] = d_c * gates[i] * slopes[g];
        d.c[j] = d_c * gates[f] + peep(0, d.a[i]) + peep(1, d.a[f]);
    }
}

/// The gradient of `c'` from h' = o tanh(c'), or o tanh(gain * N(c') + shift).
fn through_cell_state<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    dh_next: &[F],
    grads: &mut Params<F>,
) -> Vec<F> {
    let o = &step.gates[first_of_lstm(of) + 3 * of.hidden..];
    let through = product(&product(dh_next, o), &step.output_slopes);
    if of.model.layer_norm.is_none() {
        return through;
    }
    let through = of.model.precision.operand(&flushed(&through));
    let (gain, shift) = grads.norm_c.split_at_mut(of.hidden);
    add(gain, &product(&through, &step.normalised[2]));
    add(shift, &through);
    let gained = product(&through, &of.params.norm_c[..of.hidden]);
    through_norm(&gained, &step.normalised[2], step.factors[2])
}

/// m = a_m q_m, and then the LSTM with q = R m + b_hh.
fn lstm_multiplicative<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let &Of { model, params, hidden, plain, .. } = of;
    step.gates[..hidden].copy_from_slice(&a[..hidden]);
    let m = product(&a[..hidden], &step.q);
    let (of_m, biases) = (&params.weight_hh[plain * hidden..], &params.bias_hh[plain..]);
    step.q.extend(model.precision.affine(of_m, &m, biases));
    lstm(of, a, step);
}

/// That of the LSTM, and then from q = R m + b_hh with m = a_m q_m.
fn lstm_multiplicative_back<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    dh_next: &[F],
    dc_next: &[F],
    d: &mut Back<F>,
    grads: &mut Params<F>,
) {
    lstm_back(of, step, dh_next, dc_next, d, grads);
    let (precision, hidden, of_m) = (of.model.precision, of.hidden, of.plain * of.hidden..);
    let (a_m, q_m) = (&step.gates[..hidden], &step.q[..hidden]);
    let of_gates = &precision.operand(&flushed(&d.a[hidden..]));
    precision.add_transposed(&mut d.m, &of.params.weight_hh[of_m.clone()], of_gates, hidden);
    add_outer(&mut grads.weight_hh[of_m], of_gates, &precision.operand(&product(a_m, q_m)));
    d.a[..hidden].copy_from_slice(&product(&d.m, q_m));
}

/// r = s(a_r + q_r), z = s(a_z + q_z).
fn gru_gates<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let Step { q, gates, slopes, .. } = step;
    for j in 0..of.hidden {
        let [r, z] = rows(j, of.hidden);
        (gates[r], slopes[r]) = of.variant.gate(of.cell, 0, a[r] + q[r]);
        (gates[z], slopes[z]) = of.variant.gate(of.cell, 0, a[z] + q[z]);
    }
}

/// n = tanh(a_n + r q_n), h' = (1 - z) n + z h.
fn gru_reset_after<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    gru_gates(of, a, step);
    let Step { h, q, gates, slopes, h_next, .. } = step;
    for j in 0..of.hidden {
        let [r, z, n] = rows(j, of.hidden);
        (gates[n], slopes[n]) = of.variant.gate(of.cell, 1, a[n] + gates[r] * q[n]);
        h_next[j] = (F::ONE - gates[z]) * gates[n] + gates[z] * h[j];
    }
}

/// n = tanh(a_n + q_n) with q_n = R_n (r h) + b_hh_n, h' = (1 - z) n + z h.
fn gru_reset_before<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let &Of { model, params, hidden, plain, .. } = of;
    gru_gates(of, a, step);
    let Step { h, masked, q, gates, slopes, h_next, .. } = step;
    let rh = product(&gates[..hidden], masked);
    let (of_rh, biases) = (&params.weight_hh[plain * hidden..], &params.bias_hh[plain..]);
    q.extend(model.precision.affine(of_rh, &rh, biases));
    for j in 0..hidden {
        let [_, z, n] = rows(j, hidden);
        (gates[n], slopes[n]) = of.variant.gate(of.cell, 1, a[n] + q[n]);
        h_next[j] = (F::ONE - gates[z]) * gates[n] + gates[z] * h[j];
    }
}

/// From h' = (1 - z) n + z h.
fn gru_output_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], d: &mut Back<F>) {
    let Step { h, gates, slopes, .. } = step;
    for j in 0..of.hidden {
        let [_, z, n] = rows(j, of.hidden);
        d.a[z] = dh_next[j] * (h[j] - gates[n]) * slopes[z];
        d.a[n] = dh_next[j] * (F::ONE - gates[z]) * slopes[n];
        d.h[j] = dh_next[j] * gates[z];
    }
}

/// And from n = tanh(a_n + r q_n).
fn gru_reset_after_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], d: &mut Back<F>) {
    gru_output_back(of, step, dh_next, d);
    for j in 0..of.hidden {
        let [r, _, n] = rows(j, of.hidden);
        d.a[r] = d.a[n] * step.q[n] * step.slopes[r];
    }
}

/// And from n = tanh(a_n + q_n) with q_n = R_n (r h) + b_hh_n.
fn gru_reset_before_back<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    dh_next: &[F],
    d: &mut Back<F>,
    grads: &mut Params<F>,
) {
    gru_output_back(of, step, dh_next, d);
    let (precision, hidden, of_n) = (of.model.precision, of.hidden, of.plain * of.hidden..);
    let (r, mut drh) = (&step.gates[..hidden], vec![F::ZERO; hidden]);
    let da_n = &precision.operand(&d.a[2 * hidden..]);
    precision.add_transposed(&mut drh, &of.params.weight_hh[of_n.clone()], da_n, hidden);
    add_outer(&mut grads.weight_hh[of_n], da_n, &precision.operand(&product(r, &step.masked)));
    add(&mut d.masked, &product(&drh, r));
    for j in 0..hidden {
        d.a[j] = drh[j] * step.masked[j] * step.slopes[j];
    }
}

/// h' = tanh(a + q), or max(0, a + q). (q of `IndRnn` is u h.)
fn elman<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let Step { q, gates, slopes, h_next, .. } = step;
    for j in 0..of.hidden {
        (gates[j], slopes[j]) = of.variant.gate(of.cell, 0, a[j] + q[j]);
        h_next[j] = gates[j];
    }
}

/// From h' = tanh(a + q).
fn elman_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], d: &mut Back<F>) {
    for j in 0..of.hidden {
        d.a[j] = dh_next[j] * step.slopes[j];
    }
}

/// From h' = max(0, a + u h).
fn ind_rnn_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], d: &mut Back<F>) {
    for j in 0..of.hidden {
        d.a[j] = dh_next[j] * step.slopes[j];
        d.masked[j] = d.a[j] * of.params.weight_hh[j];
    }
}

/// l = log s(a_f + q_f) + m, m' = max(l, a_i + q_i), i = e^(a_i + q_i - m'), f = e^(l - m'),
/// c' = f c + i z, n' = f n + i, h' = o c' / n'. Where n is 0: m' = a_i + q_i, f = 0.
fn slstm<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let hidden = of.hidden;
    let Step { c, q, gates, slopes, h_next, c_next, .. } = step;
    for j in 0..hidden {
        let [i, f, z, o] = rows(j, hidden);
        let (n, m) = (c[hidden + j], c[2 * hidden + j]);
        let a_i = a[i] + q[i];
        let (negative, rest) = Activation::Softplus.at(-(a[f] + q[f]));
        let l = m - negative;
        let next = if n == F::ZERO || a_i > l { a_i } else { l };
        gates[i] = (a_i - next).exp();
        gates[f] = if n == F::ZERO { F::ZERO } else { (l - next).exp() };
        slopes[f] = rest;
        (gates[z], slopes[z]) = Activation::Tanh.at(a[z] + q[z]);
        (gates[o], slopes[o]) = Activation::Sigmoid.at(a[o] + q[o]);
        c_next[j] = gates[f] * c[j] + gates[i] * gates[z];
        c_next[hidden + j] = gates[f] * n + gates[i];
        c_next[2 * hidden + j] = next;
        h_next[j] = gates[o] * c_next[j] / c_next[hidden + j];
    }
}

/// From h' = o c' / n', c' = f c + i z and n' = f n + i, at a constant m'.
fn slstm_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], dc_next: &[F], d: &mut Back<F>) {
    let hidden = of.hidden;
    let Step { c, gates, slopes, c_next, .. } = step;
    for j in 0..hidden {
        let [i, f, z, o] = rows(j, hidden);
        let (n, n_next) = (c[hidden + j], c_next[hidden + j]);
        let y = c_next[j] / n_next;
        let through = dh_next[j] * gates[o] / n_next;
        let (d_c, d_n) = (dc_next[j] + through, dc_next[hidden + j] - through * y);
        d.a[i] = (d_c * gates[z] + d_n) * gates[i];
        d.a[f] = (d_c * c[j] + d_n * n) * gates[f] * slopes[f];
        d.a[z] = d_c * gates[i] * slopes[z];
        d.a[o] = dh_next[j] * y * slopes[o];
        (d.c[j], d.c[hidden + j]) = (d_c * gates[f], d_n * gates[f]);
        // h depends on c e^m and n e^m alone.
        d.c[2 * hidden + j] = c[j] * d.c[j] + n * d.c[hidden + j];
    }
}

/// z = s(a_z), n = a_n, h' = (1 - z) h + z n.
fn min_gru<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let Step { h, gates, slopes, h_next, .. } = step;
    for j in 0..of.hidden {
        let [z, n] = rows(j, of.hidden);
        (gates[z], slopes[z]) = of.variant.gate(of.cell, 0, a[z]);
        (gates[n], slopes[n]) = of.variant.gate(of.cell, 1, a[n]);
        h_next[j] = (F::ONE - gates[z]) * h[j] + gates[z] * gates[n];
    }
}

/// From h' = (1 - z) h + z n.
fn min_gru_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], d: &mut Back<F>) {
    let Step { h, gates, slopes, .. } = step;
    for j in 0..of.hidden {
        let [z, n] = rows(j, of.hidden);
        d.a[z] = dh_next[j] * (gates[n] - h[j]) * slopes[z];
        d.a[n] = dh_next[j] * gates[z] * slopes[n];
        d.h[j] = dh_next[j] * (F::ONE - gates[z]);
    }
}

/// i = s(a_i), f = s(a_f), g = a_g, h' = (f h + i g) / (f + i).
fn min_lstm<F: Real>(of: &Of<'_, F>, a: &[F], step: &mut Step<F>) {
    let Step { h, gates, slopes, h_next, .. } = step;
    for j in 0..of.hidden {
        let [i, f, g] = rows(j, of.hidden);
        (gates[i], slopes[i]) = of.variant.divisor(a[i]);
        (gates[f], slopes[f]) = of.variant.divisor(a[f]);
        (gates[g], slopes[g]) = of.variant.gate(of.cell, 0, a[g]);
        h_next[j] = (gates[f] * h[j] + gates[i] * gates[g]) / (gates[f] + gates[i]);
    }
}

/// From h' = (f h + i g) / s with s = f + i, which has a slope of one in both.
fn min_lstm_back<F: Real>(of: &Of<'_, F>, step: &Step<F>, dh_next: &[F], d: &mut Back<F>) {
    let Step { h, gates, slopes, h_next, .. } = step;
    for j in 0..of.hidden {
        let [i, f, g] = rows(j, of.hidden);
        let through = dh_next[j] / (gates[f] + gates[i]);
        d.a[i] = through * (gates[g] - h_next[j]) * slopes[i];
        d.a[f] = through * (h[j] - h_next[j]) * slopes[f];
        d.a[g] = through * gates[i] * slopes[g];
        d.h[j] = through * gates[f];
    }
}

/// The first of the rows of i, f, g and o: behind those of m, where there are such.
fn first_of_lstm<F>(of: &Of<'_, F>) -> usize {
    if of.cell == Cell::LstmMultiplicative { of.hidden } else { 0 }
}

/// The rows of the gates of hidden unit `j`.
pub(super) fn rows<const G: usize>(j: usize, hidden: usize) -> [usize; G] {
    array::from_fn(|gate| gate * hidden + j)
}

/// A peephole's part of a sum: nothing where there are none, whatever the value.
fn peephole<F: Real>(params: &Params<F>, place: usize, v: F) -> F {
    params.peephole.get(place).map_or(F::ZERO, |&weight| weight * v)
}
