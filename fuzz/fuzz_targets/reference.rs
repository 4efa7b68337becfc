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
    let layer = case.builder().level(levels[usize::from(level) % levels.len()]).build().unwrap();
    let want = reference_run(&layer, &case, &data);
    compare(&run_layer(&layer, &case, &data), &want, 1e-4).unwrap();
});
