//! AVX2 and AVX-512 give the same bits as each other, where a machine has both, whatever the values: also
//! infinities, NaN, subnormal and huge numbers; and outputs of every level are in their range.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Level, Threads};
use fused_rnn_fuzz::common::{Data, run_layer};
use fused_rnn_fuzz::{Drawn, Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, Vec<(u16, f32)>, Drawn)| {
    let (Shape(case), special, drawn) = input;
    let precision = drawn.that_trains();
    let mut data = Data::of(&case);
    for &(at, value) in &special {
        let mut slices =
            [&mut data.x, &mut data.h0, &mut data.c0, &mut data.dy, &mut data.dhn, &mut data.dcn];
        let slice = &mut slices[usize::from(at) % 6];
        if !slice.is_empty() {
            let place = usize::from(at) / 6 % slice.len();
            slice[place] = value;
        }
    }
    let of = |level| {
        let layer =
            case.layer(|builder| builder.level(level).precision(precision).threads(Threads::Count(1)));
        run_layer(&layer, &case, &data)
    };
    let all: Vec<_> = Level::available().map(|level| (level, of(level))).collect();
    let fused: Vec<_> = all.iter().filter(|(level, _)| *level != Level::Portable).collect();
    for pair in fused.windows(2) {
        for ((name, a), (_, b)) in pair[0].1.tensors().into_iter().zip(pair[1].1.tensors()) {
            assert!(same_bits(a, b), "{name}");
        }
    }
    // Forward stays in range whatever comes in: |h| <= 1 where a tanh or a mean of such makes it, or NaN.
    let plain = case.options.activations.is_none() && case.options.projection.is_none();
    if plain && matches!(case.kind, fused_rnn::CellKind::Lstm | fused_rnn::CellKind::ElmanTanh) {
        for (level, results) in &all {
            assert!(results.y.iter().all(|y| y.abs() <= 1.0 || y.is_nan()), "{level}");
        }
    }
});
