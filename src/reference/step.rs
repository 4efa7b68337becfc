//! One step of one row: the equations, and their derivatives.

use super::cell::{Activation, Cell, clamp};
use super::model::{Model, Params, Step};
use super::real::{Real, add, add_outer, flushed, normalise, product, through_norm};
use std::array;
use std::ops::Range;

pub(super) fn step_forward<F: Real>(
    model: &Model<F>,
    direction: usize,
    params: &Params<F>,
    x: &[F],
    (h, mask): (&[F], &[F]),
    c: &[F],
) -> Step<F> {
    let (cell, variant, hidden) = (model.cell, &model.variants[direction], model.hidden_size);
    let plain = cell.plain_rows(hidden);
    let masked = product(h, mask);
    let (mut normalised, mut factors) = (array::from_fn(|_| vec![]), [F::ZERO; 3]);
    let mut a = model.precision.affine(&params.weight_ih, x, &params.bias_ih);
    let mut q = if cell.is_diagonal() {
        product(&params.weight_hh, &masked)
    } else {
        let mut q = vec![F::ZERO; plain];
        for head in 0..model.heads {
            let (rows, seen) = of_head(model, plain, head);
            let weights = gather(&params.weight_hh, &rows, seen.len());
            let of_head = model.precision.affine(&weights, &masked[seen], &gather(&params.bias_hh, &rows, 1));
            rows.iter().zip(of_head).for_each(|(&row, value)| q[row] = value);
        }
        q
    };
    if let Some(epsilon) = model.layer_norm {
        let zeros = vec![F::ZERO; plain];
        (normalised[0], factors[0]) =
            normalise(&model.precision.affine(&params.weight_ih, x, &zeros), epsilon);
        (normalised[1], factors[1]) =
            normalise(&model.precision.affine(&params.weight_hh, &masked, &zeros), epsilon);
        a = product(&params.norm_ih, &normalised[0]);
        q = product(&params.norm_hh, &normalised[1]);
        add(&mut a, &params.bias_ih);
        add(&mut q, &params.bias_hh);
    }
    let mut gates = vec![F::ZERO; cell.gates() * hidden];
    let mut slopes = gates.clone();
    let mut h_next = vec![F::ZERO; hidden];
    let [mut c_next, mut outputs, mut output_slopes, mut clip_slopes] =
        array::from_fn(|_| vec![F::ZERO; c.len()]);
    let first = first_of_lstm(cell, hidden);
    match cell {
        Cell::Lstm | Cell::LstmMultiplicative => {
            if cell == Cell::LstmMultiplicative {
                gates[..hidden].copy_from_slice(&a[..hidden]);
                let m = product(&a[..hidden], &q);
                let (of_m, biases) = (&params.weight_hh[plain * hidden..], &params.bias_hh[plain..]);
                q.extend(model.precision.affine(of_m, &m, biases));
            }
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
            let mut seen = c_next.clone();
            if let Some(epsilon) = model.layer_norm {
                (normalised[2], factors[2]) = normalise(&c_next, epsilon);
                let (gain, shift) = params.norm_c.split_at(hidden);
                seen = product(gain, &normalised[2]);
                add(&mut seen, shift);
            }
            for j in 0..hidden {
                (outputs[j], output_slopes[j]) = variant.activation(cell, 2).at(seen[j]);
                h_next[j] = gates[first + 3 * hidden + j] * outputs[j];
            }
        }
        Cell::GruResetAfter | Cell::GruResetBefore => {
            for j in 0..hidden {
                let [r, z, _] = rows(j, hidden);
                (gates[r], slopes[r]) = variant.gate(cell, 0, a[r] + q[r]);
                (gates[z], slopes[z]) = variant.gate(cell, 0, a[z] + q[z]);
            }
            if cell == Cell::GruResetBefore {
                let rh = product(&gates[..hidden], &masked);
                q.extend(model.precision.affine(
                    &params.weight_hh[plain * hidden..],
                    &rh,
                    &params.bias_hh[plain..],
                ));
            }
            for j in 0..hidden {
                let [r, z, n] = rows(j, hidden);
                let reset = if cell == Cell::GruResetAfter { gates[r] } else { F::ONE };
                (gates[n], slopes[n]) = variant.gate(cell, 1, a[n] + reset * q[n]);
                h_next[j] = (F::ONE - gates[z]) * gates[n] + gates[z] * h[j];
            }
        }
        Cell::ElmanTanh | Cell::ElmanRelu | Cell::IndRnn => {
            for j in 0..hidden {
                (gates[j], slopes[j]) = variant.gate(cell, 0, a[j] + q[j]);
                h_next[j] = gates[j];
            }
        }
        Cell::Slstm => {
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
        Cell::MinGru => {
            for j in 0..hidden {
                let [z, n] = rows(j, hidden);
                (gates[z], slopes[z]) = variant.gate(cell, 0, a[z]);
                (gates[n], slopes[n]) = variant.gate(cell, 1, a[n]);
                h_next[j] = (F::ONE - gates[z]) * h[j] + gates[z] * gates[n];
            }
        }
        Cell::MinLstm => {
            for j in 0..hidden {
                let [i, f, g] = rows(j, hidden);
                (gates[i], slopes[i]) = variant.divisor(a[i]);
                (gates[f], slopes[f]) = variant.divisor(a[f]);
                (gates[g], slopes[g]) = variant.gate(cell, 0, a[g]);
                h_next[j] = (gates[f] * h[j] + gates[i] * gates[g]) / (gates[f] + gates[i]);
            }
        }
    }
    let mut m = vec![];
    if let Some(size) = model.projection {
        m = h_next;
        h_next = model.precision.affine(&params.weight_hr, &m, &vec![F::ZERO; size]);
    }
    let (x, h, c, mask) = (x.to_vec(), h.to_vec(), c.to_vec(), mask.to_vec());
    Step {
        x,
        h,
        c,
        mask,
        masked,
        q,
        gates,
        slopes,
        outputs,
        output_slopes,
        clip_slopes,
        m,
        normalised,
        factors,
        h_next,
        c_next,
    }
}

/// From the gradients of `h'` and `c'` to those of `h` and `c`. Adds to the gradients of `x` and of the
/// parameters.
#[allow(clippy::too_many_arguments)]
pub(super) fn step_backward<F: Real>(
    model: &Model<F>,
    direction: usize,
    params: &Params<F>,
    step: &Step<F>,
    dh_next: &[F],
    dc_next: &[F],
    dx: &mut [F],
    grads: &mut Params<F>,
) -> (Vec<F>, Vec<F>) {
    let Step { x, h, c, q, gates, slopes, outputs, output_slopes, clip_slopes, m, c_next, .. } = step;
    let Step { normalised, factors, mask, masked, .. } = step;
    let (cell, variant, hidden) = (model.cell, &model.variants[direction], model.hidden_size);
    let (plain, precision) = (cell.plain_rows(hidden), model.precision);
    let mut da = vec![F::ZERO; gates.len()];
    let mut dm = vec![F::ZERO; hidden];
    let mut dh = vec![F::ZERO; h.len()];
    let mut dmasked = dh.clone();
    let mut dc = vec![F::ZERO; c.len()];

    // h' = W_hr m
    let mut dh_next = dh_next.to_vec();
    if model.projection.is_some() {
        let mut of_m = vec![F::ZERO; hidden];
        dh_next = precision.operand(&dh_next);
        precision.add_transposed(&mut of_m, &params.weight_hr, &dh_next, dh_next.len());
        add_outer(&mut grads.weight_hr, &dh_next, &precision.operand(m));
        dh_next = of_m;
    }

    // From h' and c' to a.
    let first = first_of_lstm(cell, hidden);
    match cell {
        Cell::Lstm | Cell::LstmMultiplicative => {
            // h' = o tanh(c')
            let mut through = product(&product(&dh_next, &gates[first + 3 * hidden..]), output_slopes);
            if model.layer_norm.is_some() {
                through = precision.operand(&flushed(&through));
                let (gain, shift) = grads.norm_c.split_at_mut(hidden);
                add(gain, &product(&through, &normalised[2]));
                add(shift, &through);
                let gained = product(&through, &params.norm_c[..hidden]);
                through = through_norm(&gained, &normalised[2], factors[2]);
            }
            for j in 0..hidden {
                let [i, f, g, o] = rows(first + j, hidden);
                let peep = |gate, v| peephole(params, gate * hidden + j, v);
                da[o] = dh_next[j] * outputs[j] * slopes[o];
                let d_c = dc_next[j] + through[j] + peep(2, da[o]);
                let d_c = d_c * clip_slopes[j];
                // c' = f c + i g, or (1 - i) c + i g
                let through_i = if variant.coupled { gates[g] - c[j] } else { gates[g] };
                da[i] = d_c * through_i * slopes[i];
                da[f] = d_c * c[j] * slopes[f];
                da[g] = d_c * gates[i] * slopes[g];
                dc[j] = d_c * gates[f] + peep(0, da[i]) + peep(1, da[f]);
            }
            if cell == Cell::LstmMultiplicative {
                // q = R m + b_hh, with m = a_m q_m
                let (a_m, of_m) = (&gates[..hidden], plain * hidden..);
                let of_gates = &precision.operand(&flushed(&da[hidden..]));
                precision.add_transposed(&mut dm, &params.weight_hh[of_m.clone()], of_gates, hidden);
                let m = precision.operand(&product(a_m, &q[..hidden]));
                add_outer(&mut grads.weight_hh[of_m], of_gates, &m);
                da[..hidden].copy_from_slice(&product(&dm, &q[..hidden]));
            }
        }
        Cell::GruResetAfter | Cell::GruResetBefore => {
            for j in 0..hidden {
                let [_, z, n] = rows(j, hidden);
                // h' = (1 - z) n + z h
                da[z] = dh_next[j] * (h[j] - gates[n]) * slopes[z];
                da[n] = dh_next[j] * (F::ONE - gates[z]) * slopes[n];
                dh[j] = dh_next[j] * gates[z];
            }
            let (r, da_n) = (&gates[..hidden], &da[2 * hidden..]);
            let dr = if cell == Cell::GruResetAfter {
                // n = tanh(a_n + r q_n)
                product(da_n, &q[2 * hidden..])
            } else {
                // n = tanh(a_n + R_n (r h) + b_hh_n)
                let mut drh = vec![F::ZERO; hidden];
                let da_n = &precision.operand(da_n);
                precision.add_transposed(&mut drh, &params.weight_hh[plain * hidden..], da_n, hidden);
                add_outer(
                    &mut grads.weight_hh[plain * hidden..],
                    da_n,
                    &precision.operand(&product(r, masked)),
                );
                add(&mut dmasked, &product(&drh, r));
                product(&drh, masked)
            };
            for j in 0..hidden {
                da[j] = dr[j] * slopes[j];
            }
        }
        Cell::ElmanTanh | Cell::ElmanRelu => {
            for j in 0..hidden {
                da[j] = dh_next[j] * slopes[j];
            }
        }
        Cell::IndRnn => {
            for j in 0..hidden {
                da[j] = dh_next[j] * slopes[j];
                dmasked[j] = da[j] * params.weight_hh[j];
            }
        }
        Cell::Slstm => {
            for j in 0..hidden {
                let [i, f, z, o] = rows(j, hidden);
                let (n, n_next) = (c[hidden + j], c_next[hidden + j]);
                let y = c_next[j] / n_next;
                let through = dh_next[j] * gates[o] / n_next;
                let (d_c, d_n) = (dc_next[j] + through, dc_next[hidden + j] - through * y);
                da[i] = (d_c * gates[z] + d_n) * gates[i];
                da[f] = (d_c * c[j] + d_n * n) * gates[f] * slopes[f];
                da[z] = d_c * gates[i] * slopes[z];
                da[o] = dh_next[j] * y * slopes[o];
                (dc[j], dc[hidden + j]) = (d_c * gates[f], d_n * gates[f]);
                // h depends on c e^m and n e^m alone.
                dc[2 * hidden + j] = c[j] * dc[j] + n * dc[hidden + j];
            }
        }
        Cell::MinGru => {
            for j in 0..hidden {
                let [z, n] = rows(j, hidden);
                // h' = (1 - z) h + z n
                da[z] = dh_next[j] * (gates[n] - h[j]) * slopes[z];
                da[n] = dh_next[j] * gates[z] * slopes[n];
                dh[j] = dh_next[j] * (F::ONE - gates[z]);
            }
        }
        Cell::MinLstm => {
            for j in 0..hidden {
                let [i, f, g] = rows(j, hidden);
                // h' = (f h + i g) / s, with s = f + i, which has a slope of one in both
                let through = dh_next[j] / (gates[f] + gates[i]);
                da[i] = through * (gates[g] - step.h_next[j]) * slopes[i];
                da[f] = through * (h[j] - step.h_next[j]) * slopes[f];
                da[g] = through * gates[i] * slopes[g];
                dh[j] = through * gates[f];
            }
        }
    }

    da = flushed(&da);

    // q enters as a does, except that GruResetAfter has r q_n, and LstmMultiplicative a_m q_m.
    let mut dq = da[..cell.recurrent_gates() * hidden].to_vec();
    if cell == Cell::GruResetAfter {
        dq[2 * hidden..].copy_from_slice(&product(&gates[..hidden], &da[2 * hidden..]));
    }
    if cell == Cell::LstmMultiplicative {
        dq[..hidden].copy_from_slice(&flushed(&product(&gates[..hidden], &dm)));
    }

    (da, dq) = (precision.operand(&da), precision.operand(&dq));

    // a = W x + b_ih, or with W x normalised; q alike.
    add(&mut grads.bias_ih, &da);
    add(&mut grads.bias_hh, &dq);
    if !grads.peephole.is_empty() {
        for j in 0..hidden {
            let [i, f, _, o] = rows(j, hidden);
            grads.peephole[j] += da[i] * c[j];
            grads.peephole[hidden + j] += da[f] * c[j];
            grads.peephole[2 * hidden + j] += da[o] * c_next[j];
        }
    }
    if model.layer_norm.is_some() {
        add(&mut grads.norm_ih, &product(&da, &normalised[0]));
        add(&mut grads.norm_hh, &product(&dq, &normalised[1]));
        da = through_norm(&product(&da, &params.norm_ih), &normalised[0], factors[0]);
        dq = through_norm(&product(&dq, &params.norm_hh), &normalised[1], factors[1]);
        (da, dq) = (precision.operand(&da), precision.operand(&dq));
    }
    add_outer(&mut grads.weight_ih, &da, &precision.operand(x));
    precision.add_transposed(dx, &params.weight_ih, &da, hidden);
    // q = R h + b_hh, or u * h
    if cell.is_diagonal() {
        add(&mut grads.weight_hh, &product(&da, masked));
    }
    let masked = &precision.operand(masked);
    for head in 0..if plain > 0 { model.heads } else { 0 } {
        let (rows, seen) = of_head(model, plain, head);
        let (width, dq) = (seen.len(), gather(&dq, &rows, 1));
        for (&row, &dq) in rows.iter().zip(&dq) {
            add_outer(&mut grads.weight_hh[row * width..][..width], &[dq], &masked[seen.clone()]);
        }
        let weights = gather(&params.weight_hh, &rows, width);
        precision.add_transposed(&mut dmasked[seen], &weights, &dq, hidden / model.heads);
    }
    add(&mut dh, &product(&dmasked, mask));
    (dh, dc)
}

/// The rows of R that are of a head, of the first `plain` rows, and what of the hidden state they see: all,
/// where there is one head.
fn of_head<F>(model: &Model<F>, plain: usize, head: usize) -> (Vec<usize>, Range<usize>) {
    let (units, width) = (model.hidden_size / model.heads, model.output_size() / model.heads);
    let rows = (0..plain).filter(|row| row % model.hidden_size / units == head);
    (rows.collect(), head * width..(head + 1) * width)
}

/// Some rows of a matrix that is so wide.
fn gather<F: Real>(matrix: &[F], rows: &[usize], width: usize) -> Vec<F> {
    rows.iter().flat_map(|row| &matrix[row * width..][..width]).copied().collect()
}

/// The first of the rows of i, f, g and o: behind those of m, where there are such.
fn first_of_lstm(cell: Cell, hidden: usize) -> usize {
    if cell == Cell::LstmMultiplicative { hidden } else { 0 }
}

/// The rows of the gates of hidden unit `j`.
fn rows<const G: usize>(j: usize, hidden: usize) -> [usize; G] {
    array::from_fn(|gate| gate * hidden + j)
}

/// A peephole's part of a sum: nothing where there are none, whatever the value.
fn peephole<F: Real>(params: &Params<F>, place: usize, v: F) -> F {
    params.peephole.get(place).map_or(F::ZERO, |&weight| weight * v)
}
