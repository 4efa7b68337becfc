//! One step of one row, forward and backward: what all cells have around their own equations.

use super::cell::Cell;
use super::equations::{self, Back, Of, rows};
use super::model::{Model, Params, Step};
use super::real::{Real, add, add_outer, flushed, normalise, product, through_norm};
use std::array;
use std::ops::Range;

impl<'a, F: Real> Of<'a, F> {
    fn new(model: &'a Model<F>, direction: usize, params: &'a Params<F>) -> Self {
        let (cell, variant, hidden) = (model.cell, &model.variants[direction], model.hidden_size);
        Of { model, cell, variant, params, hidden, plain: cell.plain_rows(hidden) }
    }
}

pub(super) fn step_forward<F: Real>(
    model: &Model<F>,
    direction: usize,
    params: &Params<F>,
    x: &[F],
    (h, mask): (&[F], &[F]),
    c: &[F],
) -> Step<F> {
    let of = Of::new(model, direction, params);
    let zeros = |len| vec![F::ZERO; len];
    let mut step = Step {
        x: x.to_vec(),
        h: h.to_vec(),
        c: c.to_vec(),
        mask: mask.to_vec(),
        masked: product(h, mask),
        q: vec![],
        gates: zeros(of.cell.gates() * of.hidden),
        slopes: zeros(of.cell.gates() * of.hidden),
        outputs: zeros(c.len()),
        output_slopes: zeros(c.len()),
        clip_slopes: zeros(c.len()),
        m: vec![],
        normalised: array::from_fn(|_| vec![]),
        factors: [F::ZERO; 3],
        h_next: zeros(of.hidden),
        c_next: zeros(c.len()),
    };
    let a = sums(&of, &mut step);
    equations::forward(&of, &a, &mut step);
    if let Some(size) = model.projection {
        // h' = W_hr m
        step.m = step.h_next;
        step.h_next = model.precision.affine(&params.weight_hr, &step.m, &zeros(size));
    }
    step
}

/// a = W x + b_ih, which is returned, and q = R h + b_hh, u * h of a diagonal R; with layer normalisation
/// gain * N(W x) + b_ih, and q alike.
fn sums<F: Real>(of: &Of<'_, F>, step: &mut Step<F>) -> Vec<F> {
    let &Of { model, params, plain, .. } = of;
    let Step { x, masked, q, normalised, factors, .. } = step;
    if let Some(epsilon) = model.layer_norm {
        let zeros = vec![F::ZERO; plain];
        (normalised[0], factors[0]) =
            normalise(&model.precision.affine(&params.weight_ih, x, &zeros), epsilon);
        (normalised[1], factors[1]) =
            normalise(&model.precision.affine(&params.weight_hh, masked, &zeros), epsilon);
        let mut a = product(&params.norm_ih, &normalised[0]);
        *q = product(&params.norm_hh, &normalised[1]);
        add(&mut a, &params.bias_ih);
        add(q, &params.bias_hh);
        return a;
    }
    if of.cell.is_diagonal() {
        *q = product(&params.weight_hh, masked);
    } else {
        *q = vec![F::ZERO; plain];
        for head in 0..model.heads {
            let (rows, seen) = of_head(model, plain, head);
            let weights = gather(&params.weight_hh, &rows, seen.len());
            let of_head = model.precision.affine(&weights, &masked[seen], &gather(&params.bias_hh, &rows, 1));
            rows.iter().zip(of_head).for_each(|(&row, value)| q[row] = value);
        }
    }
    model.precision.affine(&params.weight_ih, x, &params.bias_ih)
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
    let of = Of::new(model, direction, params);
    let zeros = |len| vec![F::ZERO; len];
    let mut d = Back {
        a: zeros(step.gates.len()),
        m: zeros(of.hidden),
        h: zeros(step.h.len()),
        masked: zeros(step.h.len()),
        c: zeros(step.c.len()),
    };
    let mut dh_next = dh_next.to_vec();
    if model.projection.is_some() {
        // h' = W_hr m
        let (mut of_m, precision) = (zeros(of.hidden), model.precision);
        dh_next = precision.operand(&dh_next);
        precision.add_transposed(&mut of_m, &params.weight_hr, &dh_next, dh_next.len());
        add_outer(&mut grads.weight_hr, &dh_next, &precision.operand(&step.m));
        dh_next = of_m;
    }
    equations::backward(&of, step, &dh_next, dc_next, &mut d, grads);
    let (da, dq) = through_sums(&of, step, &d, grads);
    through_products(&of, step, (&da, &dq), &mut d, dx, grads);
    add(&mut d.h, &product(&d.masked, &step.mask));
    (d.h, d.c)
}

/// The gradients of `W x` and `R h`, as the products take them. Adds to those of biases, peepholes and gains.
fn through_sums<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    d: &Back<F>,
    grads: &mut Params<F>,
) -> (Vec<F>, Vec<F>) {
    let &Of { model, cell, params, hidden, .. } = of;
    let Step { c, gates, c_next, normalised, factors, .. } = step;
    let (precision, da) = (model.precision, flushed(&d.a));

    // q enters as a does, except that GruResetAfter has r q_n, and LstmMultiplicative a_m q_m.
    let mut dq = da[..cell.recurrent_gates() * hidden].to_vec();
    if cell == Cell::GruResetAfter {
        dq[2 * hidden..].copy_from_slice(&product(&gates[..hidden], &da[2 * hidden..]));
    }
    if cell == Cell::LstmMultiplicative {
        dq[..hidden].copy_from_slice(&flushed(&product(&gates[..hidden], &d.m)));
    }

    let (da, dq) = (precision.operand(&da), precision.operand(&dq));
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
    if model.layer_norm.is_none() {
        return (da, dq);
    }
    add(&mut grads.norm_ih, &product(&da, &normalised[0]));
    add(&mut grads.norm_hh, &product(&dq, &normalised[1]));
    let da = through_norm(&product(&da, &params.norm_ih), &normalised[0], factors[0]);
    let dq = through_norm(&product(&dq, &params.norm_hh), &normalised[1], factors[1]);
    (precision.operand(&da), precision.operand(&dq))
}

/// From the gradients of `W x` and `R h`, or of `u * h`, to those of x and of what `R` multiplies, and of `W`
/// and `R`.
fn through_products<F: Real>(
    of: &Of<'_, F>,
    step: &Step<F>,
    (da, dq): (&[F], &[F]),
    d: &mut Back<F>,
    dx: &mut [F],
    grads: &mut Params<F>,
) {
    let &Of { model, params, hidden, plain, .. } = of;
    let (precision, masked) = (model.precision, &step.masked);
    add_outer(&mut grads.weight_ih, da, &precision.operand(&step.x));
    precision.add_transposed(dx, &params.weight_ih, da, hidden);
    if of.cell.is_diagonal() {
        add(&mut grads.weight_hh, &product(da, masked));
    }
    let masked = &precision.operand(masked);
    for head in 0..if plain > 0 { model.heads } else { 0 } {
        let (rows, seen) = of_head(model, plain, head);
        let (width, dq) = (seen.len(), gather(dq, &rows, 1));
        for (&row, &dq) in rows.iter().zip(&dq) {
            add_outer(&mut grads.weight_hh[row * width..][..width], &[dq], &masked[seen.clone()]);
        }
        let weights = gather(&params.weight_hh, &rows, width);
        precision.add_transposed(&mut d.masked[seen], &weights, &dq, hidden / model.heads);
    }
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
    let rows: Vec<&[F]> = rows.iter().map(|row| &matrix[row * width..][..width]).collect();
    rows.concat()
}
