//! Forward and all gradients of any cell and structure against the naive reference in f64, at a level of the
//! fuzzer's choice.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::Level;
use fused_rnn_fuzz::Shape;
use fused_rnn_fuzz::common::{Data, compare_or_move, reference_run, run_layer};

fused_rnn_fuzz::target!(|input: (Shape, u8)| {
    let (Shape(case), level) = input;
    let levels: Vec<Level> = Level::available().collect();
    let data = Data::of(&case);
    let layer = case.layer(|builder| builder.level(levels[usize::from(level) % levels.len()]));
    let want = reference_run(&layer, &case, &data);
    // A case proves nothing if its values leave the range of f32.
    let largest = |values: &[f64]| values.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let in_range = |values: &[f64]| values.iter().all(|v| !v.is_nan()) && largest(values) <= 1e30;
    if want.tensors().into_iter().all(|(_, values)| in_range(values)) {
        let got = run_layer(&layer, &case, &data);
        compare_or_move(&layer, &case, &data, (&got, &want), 1e-4).unwrap();
    }
});
