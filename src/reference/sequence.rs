//! All steps of all rows, through all layers, forward and back.

use super::model::{Gradients, Input, Model, Output, Params, Upstream, check, check_size};
use super::real::{Real, add, blend, flushed, part, product, zeros};
use super::step::{step_backward, step_forward};

/// Runs all layers over a batch.
///
/// # Panics
///
/// If a size does not fit.
pub fn forward<F: Real>(model: &Model<F>, input: &Input<'_, F>) -> Output<F> {
    check(model, input);
    let model = &model.flushed();
    let (batch, outputs, directions) = (input.batch, model.output_size(), model.directions());
    let cell_size = model.cell.cell_size(model.hidden_size);
    let (mut hn, mut cn, mut trace) = (vec![], vec![], vec![]);
    let mut x = input.x.to_vec();
    for layer in 0..model.layers {
        let width = model.input_width(layer);
        x = flushed(&input.masked(layer, &x));
        let mut y = vec![F::ZERO; input.steps * batch * directions * outputs];
        for direction in 0..directions {
            let pass = layer * directions + direction;
            let params = &model.params[pass];
            for row in 0..batch {
                let length = input.length(row);
                let mut h = part(input.h0, pass * batch + row, outputs);
                let mut c = part(input.c0, pass * batch + row, cell_size);
                let mask = input.recurrent_mask(pass, row, outputs);
                let mut steps = vec![];
                for k in 0..length {
                    let at = model.time(direction, length, k) * batch + row;
                    let step =
                        step_forward(model, direction, params, &x[at * width..][..width], (&h, &mask), &c);
                    // h'' = h + taken (h' - h), and c'' likewise.
                    let [h_taken, c_taken] = input.taken(pass, at, [outputs, cell_size]);
                    h = flushed(&blend(&h_taken, &step.h_next, &h));
                    c = flushed(&blend(&c_taken, &step.c_next, &c));
                    y[(at * directions + direction) * outputs..][..outputs].copy_from_slice(&h);
                    steps.push(step);
                }
                hn.extend(h);
                cn.extend(c);
                trace.push(steps);
            }
        }
        if let Some(mask) = input.mask(layer) {
            y = product(&y, mask);
        }
        x = y;
    }
    Output { y: x, hn, cn, trace }
}

/// Back-propagation through time: the gradients of `sum(dy * y) + sum(dhn * hn) + sum(dcn * cn)`.
///
/// `output` is what [`forward`] returned for the same model and input.
///
/// # Panics
///
/// If a size does not fit.
pub fn backward<F: Real>(
    model: &Model<F>,
    input: &Input<'_, F>,
    output: &Output<F>,
    upstream: &Upstream<'_, F>,
) -> Gradients<F> {
    check(model, input);
    let model = &model.flushed();
    let (batch, outputs, directions) = (input.batch, model.output_size(), model.directions());
    let cell_size = model.cell.cell_size(model.hidden_size);
    assert_eq!(output.trace.len(), model.params.len() * batch, "output: of another model or input");
    check_size("dy", upstream.dy, output.y.len());
    check_size("dhn", upstream.dhn, output.hn.len());
    check_size("dcn", upstream.dcn, output.cn.len());

    let mut grads: Vec<Params<F>> = model.params.iter().map(Params::zeros_like).collect();
    let mut dh0 = vec![F::ZERO; output.hn.len()];
    let mut dc0 = vec![F::ZERO; output.cn.len()];
    let mut dy = part(upstream.dy, 0, output.y.len());
    for layer in (0..model.layers).rev() {
        if let Some(mask) = input.mask(layer) {
            dy = product(&dy, mask);
        }
        let width = model.input_width(layer);
        let mut dx = vec![F::ZERO; input.steps * batch * width];
        for direction in 0..directions {
            let pass = layer * directions + direction;
            let (params, grads) = (&model.params[pass], &mut grads[pass]);
            for row in 0..batch {
                let steps = &output.trace[pass * batch + row];
                let mut dh = flushed(&part(upstream.dhn, pass * batch + row, outputs));
                let mut dc = flushed(&part(upstream.dcn, pass * batch + row, cell_size));
                for k in (0..steps.len()).rev() {
                    let at = model.time(direction, steps.len(), k) * batch + row;
                    // h' is the output of the step as well as the state before the next one.
                    add(&mut dh, &flushed(&dy[(at * directions + direction) * outputs..][..outputs]));
                    let dx = &mut dx[at * width..][..width];
                    let [h_taken, c_taken] = input.taken(pass, at, [outputs, cell_size]);
                    let (h_past, c_past) =
                        (blend(&h_taken, &zeros(&dh), &dh), blend(&c_taken, &zeros(&dc), &dc));
                    (dh, dc) = (product(&h_taken, &dh), product(&c_taken, &dc));
                    (dh, dc) = step_backward(model, direction, params, &steps[k], &dh, &dc, dx, grads);
                    add(&mut dh, &h_past);
                    add(&mut dc, &c_past);
                    dc = flushed(&dc);
                }
                dh0[(pass * batch + row) * outputs..][..outputs].copy_from_slice(&dh);
                dc0[(pass * batch + row) * cell_size..][..cell_size].copy_from_slice(&dc);
            }
        }
        dy = input.masked(layer, &dx);
    }
    Gradients { x: dy, h0: dh0, c0: dc0, params: grads }
}
