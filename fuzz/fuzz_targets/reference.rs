//! Forward and all gradients of any cell, structure and precision against the naive reference in f64, at a
//! level of the fuzzer's choice.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Level, Precision, Workspace};
use fused_rnn_fuzz::common::{Case, Data, compare_or_move, reference_run, run_layer};
use fused_rnn_fuzz::{Drawn, Shape};

/// How far a result in bf16 or in integers may be from its reference, in units of the largest value: a sum
/// that lies between two numbers takes one here and the other there, and steps add up. (A gate, a scale or a
/// row in another's place is as far off as the values are large.)
const COARSE: f64 = 0.3;

fused_rnn_fuzz::target!(|input: (Shape, u8, Drawn)| {
    let (Shape(case), level, Drawn(precision)) = input;
    let case = Case { precision, ..case };
    let levels: Vec<Level> = Level::available().collect();
    let data = Data::of(&case);
    let layer = case.layer(|builder| builder.level(levels[usize::from(level) % levels.len()]));
    let want = reference_run(&layer, &case, &data);
    // A case proves nothing if its values leave the range of f32.
    let largest = |values: &[f64]| values.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let in_range = |values: &[f64]| values.iter().all(|v| !v.is_nan()) && largest(values) <= 1e30;
    if !want.tensors().into_iter().all(|(_, values)| in_range(values)) {
        return;
    }
    if matches!(precision, Precision::F32 | Precision::Bf16Weights) {
        let got = run_layer(&layer, &case, &data);
        compare_or_move(&layer, &case, &data, (&got, &want), 1e-4).unwrap();
        return;
    }
    let mut state = layer.zero_state(case.batch).unwrap();
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    let mut y = vec![f32::NAN; data.dy.len()];
    layer.forward(&data.x, data.dims(&case), &mut state, Some(&mut y), &mut Workspace::new()).unwrap();
    for (name, got, want) in [("y", y, &want.y), ("h", state.h(), &want.hn), ("c", state.c(), &want.cn)] {
        let most = COARSE * largest(want);
        for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
            // (Cells that amplify may do so with roundings as well.)
            let near = (f64::from(got) - want).abs() <= most;
            assert!(near || most > 10.0 * COARSE, "{name}[{at}]: {got} for {want}, {case:?}");
        }
    }
});
