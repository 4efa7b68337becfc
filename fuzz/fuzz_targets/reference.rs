//! Forward and all gradients of any cell and structure against the naive reference in f64, at a level of the
//! fuzzer's choice.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::Level;
use fused_rnn_fuzz::Shape;
use fused_rnn_fuzz::common::{Data, compare, reference_run, run_layer};

fused_rnn_fuzz::target!(|input: (Shape, u8)| {
    let (Shape(case), level) = input;
    let levels: Vec<Level> = Level::available().collect();
    let data = Data::of(&case);
    let layer = case.layer(|builder| builder.level(levels[usize::from(level) % levels.len()]));
    let want = reference_run(&layer, &case, &data);
    // A case proves nothing if its values leave the range of f32, or if a rounding of its inputs to f32
    // changes its results.
    let mut nudged = data.clone();
    nudged.x.iter_mut().for_each(|x| *x *= 1.0 + 4.0 * f32::EPSILON);
    let moved = reference_run(&layer, &case, &nudged);
    let mut sensitivity = 0.0f64;
    for ((_, a), (_, b)) in want.tensors().into_iter().zip(moved.tensors()) {
        let scale = a.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
        if scale.is_nan() || scale > 1e30 {
            return;
        }
        let most = a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
        sensitivity = sensitivity.max(most / scale);
    }
    if sensitivity < 1e-4 {
        compare(&run_layer(&layer, &case, &data), &want, 1e-4 + 10.0 * sensitivity).unwrap();
    }
});
