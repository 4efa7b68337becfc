//! A row of a batch gives the bits that it gives alone: whatever its neighbours are, NaN included, and
//! whatever stands in its padding and in its masked steps.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Dims, Layout, Level, Workspace};
use fused_rnn_fuzz::common::{Case, Data};
use fused_rnn_fuzz::{Drawn, Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, u8, Vec<bool>, Vec<bool>, f32, Drawn)| {
    let (Shape(case), row, mask, resets, junk, Drawn(precision)) = input;
    let case = Case { layout: Layout::BatchFirst, ..case };
    if case.batch == 0 {
        return;
    }
    let row = usize::from(row) % case.batch;
    let mut data = Data::of(&case);
    let (batch, steps) = (case.batch, case.steps);
    let spread = |flags: &[bool], otherwise: bool| -> Vec<bool> {
        (0..batch * steps)
            .map(|at| flags.get(at % flags.len().max(1)).copied().unwrap_or(otherwise))
            .collect()
    };
    let (mask, resets) = (spread(&mask, true), spread(&resets, false));
    let all = vec![steps; batch];
    let lengths = data.lengths.clone().unwrap_or(all);

    // Junk in all other rows and in what is not real of this one.
    let real = |at: usize| at / steps == row && at % steps < lengths[row] && mask[at];
    for (at, x) in data.x.iter_mut().enumerate() {
        if !real(at / case.input) {
            *x = junk;
        }
    }
    let layer = case.layer(|builder| builder.level(Level::best()).precision(precision));
    let mut workspace = Workspace::new();
    let width = case.directions() * case.outputs();
    let (mut y, mut state) = (vec![f32::NAN; batch * steps * width], layer.zero_state(batch).unwrap());
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    let dims = Dims::new(batch, steps).with_lengths(&lengths).with_mask(&mask).with_resets(&resets);
    layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();

    let pick = |v: &[f32], width: usize| -> Vec<f32> {
        let rows = v.chunks_exact(width);
        rows.enumerate().filter(|(at, _)| at % batch == row).flat_map(|(_, v)| v.to_vec()).collect()
    };
    let mut alone = layer.zero_state(1).unwrap();
    alone.set_h(&pick(&data.h0, case.outputs())).unwrap();
    alone.set_c(&pick(&data.c0, case.hidden)).unwrap();
    let mut y_alone = vec![f32::NAN; steps * width];
    let part = |v: &[bool]| v[row * steps..(row + 1) * steps].to_vec();
    let (mask, resets) = (part(&mask), part(&resets));
    let dims = Dims::new(1, steps).with_lengths(&lengths[row..=row]).with_mask(&mask).with_resets(&resets);
    // And other junk where this row is not real: what masks, resets and lengths leave out is never read.
    let mut x = data.x[row * steps * case.input..][..steps * case.input].to_vec();
    for (at, x) in x.chunks_exact_mut(case.input).enumerate() {
        if at >= lengths[row] || !mask[at] {
            x.fill(1.0 - junk);
        }
    }
    layer.forward(&x, dims, &mut alone, Some(&mut y_alone), &mut workspace).unwrap();
    assert!(same_bits(&y[row * steps * width..][..steps * width], &y_alone));
    assert!(same_bits(&pick(&state.h(), case.outputs()), &alone.h()));
    assert!(same_bits(&pick(&state.c(), case.hidden), &alone.c()));
});
