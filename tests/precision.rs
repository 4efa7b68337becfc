//! What each precision computes, and its promises of equal bits.

use approx::assert_abs_diff_eq;
use fused_rnn::{
    Bias, CellKind, Dims, Direction, Error, Keep, Layout, Level, Precision, Recurrent, Schedule, Tape,
    Threads, Workspace, reference,
};
use fused_rnn_tests::strategies::{cases, same_bits, trained, widened};
use fused_rnn_tests::{
    Case, Data, Options, Results, bits, on_each_level, property_cases, reference_run, run_layer,
    run_with_tape,
};
use proptest::prelude::*;

/// The nearest float of which the lower half is zero, of two that are as near the even one, found by their
/// distances.
fn nearest_bf16(x: f32) -> f32 {
    let below = f32::from_bits(x.to_bits() & 0xFFFF_0000);
    let above = f32::from_bits(below.to_bits() + 0x1_0000);
    let to = |near: f32| (f64::from(near) - f64::from(x)).abs();
    let (to_below, to_above) = (to(below), to(above));
    let even = below.to_bits() & 0x1_0000 == 0;
    if to_below < to_above || (to_below == to_above && even) { below } else { above }
}

/// Rounds the matrices of a network; its vectors stay.
fn round_weights(layer: &mut Recurrent) {
    let matrices: Vec<_> = layer
        .named_parameters()
        .filter(|tensor| tensor.name.starts_with("weight") && tensor.shape.len() == 2)
        .map(|tensor| tensor.range)
        .collect();
    layer.update(|parameters| {
        for range in matrices {
            parameters[range].iter_mut().for_each(|weight| *weight = nearest_bf16(*weight));
        }
    });
}

/// Outputs and states without a tape: of a whole sequence, and where there is one direction step by step.
fn inference(layer: &Recurrent, case: &Case, data: &Data) -> Vec<u32> {
    let mut all = Vec::new();
    let (mut state, mut workspace) = (layer.zero_state(case.batch).unwrap(), Workspace::new());
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    let mut y = vec![f32::NAN; data.dy.len()];
    layer.forward(&data.x, data.dims(case), &mut state, Some(&mut y), &mut workspace).unwrap();
    all.extend([y, state.h(), state.c()].iter().flat_map(|values| bits(values)));
    if case.direction == Direction::Forward {
        for x in data.x.chunks_exact(case.batch * case.input) {
            let mut y = vec![f32::NAN; case.batch * case.outputs()];
            layer.step(x, &mut state, Some(&mut y), &mut workspace).unwrap();
            all.extend(bits(&y));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(100),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// `Bf16Weights` has the bits of `F32` on rounded weights, forward, step by step, and of all gradients:
    /// and with them all of its promises.
    #[test]
    fn bf16_weights_are_f32_on_rounded_weights(case in trained(cases()), threads in 1..=3usize) {
        let case = widened(Case { precision: Precision::Bf16Weights, ..case });
        let data = Data::of(&case);
        for level in Level::available() {
            let of = |precision| {
                case.layer(|builder| {
                    builder.level(level).threads(Threads::Count(threads)).precision(precision)
                })
            };
            let (narrow, mut rounded) = (of(Precision::Bf16Weights), of(Precision::F32));
            round_weights(&mut rounded);
            let what = format!("{level}, {threads} threads");
            same_bits(&what, &run_layer(&narrow, &case, &data), &run_layer(&rounded, &case, &data))?;
            prop_assert!(inference(&narrow, &case, &data) == inference(&rounded, &case, &data), "{}", what);
        }
    }
}

/// The precisions that have other products than `F32`.
const OTHERS: [Precision; 2] = [Precision::Bf16, Precision::Int8];

fn layer(case: &Case, precision: Precision, level: Level, threads: usize, schedule: Schedule) -> Recurrent {
    case.layer(|builder| {
        builder.precision(precision).level(level).threads(Threads::Count(threads)).schedule(schedule)
    })
}

/// Outputs and final states of a sequence.
fn forward(layer: &Recurrent, case: &Case, data: &Data) -> [Vec<f32>; 3] {
    let (mut state, mut workspace) = (layer.zero_state(case.batch).unwrap(), Workspace::new());
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    let mut y = vec![f32::NAN; data.dy.len()];
    layer.forward(&data.x, data.dims(case), &mut state, Some(&mut y), &mut workspace).unwrap();
    [y, state.h(), state.c()]
}

fn bits_of_all(all: &[Vec<f32>; 3]) -> Vec<u32> {
    all.iter().flat_map(|values| bits(values)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(40),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Threads, schedules, and the fused levels.
    #[test]
    fn threads_and_fused_levels_change_nothing(case in cases()) {
        let data = Data::of(&case);
        for precision in OTHERS {
            let mut of_fused = None;
            for level in Level::available() {
                let on_one_thread = layer(&case, precision, level, 1, Schedule::Auto);
                let one = bits_of_all(&forward(&on_one_thread, &case, &data));
                for threads in [2, 3, 5] {
                    for schedule in [Schedule::Rows, Schedule::Units, Schedule::Layers] {
                        let layer = layer(&case, precision, level, threads, schedule);
                        let got = bits_of_all(&forward(&layer, &case, &data));
                        prop_assert!(got == one, "{:?}, {}, {}, {:?}", precision, level, threads, schedule);
                    }
                }
                if level != Level::Portable {
                    prop_assert!(*of_fused.get_or_insert(one.clone()) == one, "{:?}, {}", precision, level);
                }
            }
        }
    }

    /// A row alone and in a batch whose other rows, and padding, are NaN.
    #[test]
    fn a_row_does_not_depend_on_the_others(case in cases(), row in any::<prop::sample::Index>()) {
        let case = Case { layout: Layout::BatchFirst, ..case };
        let row = row.index(case.batch);
        let mut data = Data::of(&case);
        let length = data.lengths.as_ref().map_or(case.steps, |lengths| lengths[row]);
        for (place, values) in data.x.chunks_exact_mut(case.input).enumerate() {
            if place / case.steps != row || place % case.steps >= length {
                values.fill(f32::NAN);
            }
        }
        let width = case.directions() * case.outputs();
        let alone = Case { batch: 1, steps: length, ragged: false, ..case.clone() };
        let cut = |values: &[f32], width: usize| {
            values[row * case.steps * width..][..length * width].to_vec()
        };
        let state = |values: &[f32], width: usize| -> Vec<f32> {
            values.chunks_exact(width).skip(row).step_by(case.batch).flatten().copied().collect()
        };
        let data_alone = Data {
            x: cut(&data.x, case.input),
            lengths: None,
            h0: state(&data.h0, case.outputs()),
            c0: state(&data.c0, case.hidden),
            dy: vec![0.0; length * width],
            dhn: vec![],
            dcn: vec![],
        };
        for (level, precision) in on_each_level(&OTHERS) {
            let layer = layer(&case, precision, level, 1, Schedule::Auto);
            let ([y, h, c], one) = (forward(&layer, &case, &data), forward(&layer, &alone, &data_alone));
            let all = [cut(&y, width), state(&h, case.outputs()), state(&c, case.hidden)];
            prop_assert!(bits_of_all(&all) == bits_of_all(&one), "{:?}, {}", precision, level);
        }
    }

    /// Step by step, and in two pieces.
    #[test]
    fn steps_and_pieces_equal_the_whole(case in cases(), cut in any::<prop::sample::Index>()) {
        let case = Case { layout: Layout::TimeMajor, direction: Direction::Forward, ragged: false, ..case };
        let case =
            Case { options: Options { activations_reverse: None, ..case.options.clone() }, ..case };
        let data = Data::of(&case);
        let cut = cut.index(case.steps + 1);
        for (level, precision) in on_each_level(&OTHERS) {
            let layer = layer(&case, precision, level, 1, Schedule::Auto);
            let whole = bits_of_all(&forward(&layer, &case, &data));
            let mut workspace = Workspace::new();
            for pieces in [vec![1; case.steps], vec![cut, case.steps - cut]] {
                let mut state = layer.zero_state(case.batch).unwrap();
                state.set_h(&data.h0).unwrap();
                state.set_c(&data.c0).unwrap();
                let (mut x, mut all) = (&data.x[..], vec![]);
                for steps in pieces {
                    let (now, rest) = x.split_at(steps * case.batch * case.input);
                    let mut y = vec![f32::NAN; steps * case.batch * case.outputs()];
                    let dims = Dims::new(case.batch, steps);
                    layer.forward(now, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
                    all.extend(y);
                    x = rest;
                }
                let pieces = bits_of_all(&[all, state.h(), state.c()]);
                prop_assert!(pieces == whole, "{:?}, {}", precision, level);
            }
            let mut all = inference(&layer, &case, &data);
            all.truncate(whole.len());
            prop_assert!(all == whole);
        }
    }

    /// Every cell and option is near the reference of its precision, which differs by roundings; where a
    /// value lies within those of two integers, a step of 1/127 of the largest.
    #[test]
    fn near_the_reference(case in cases()) {
        let data = Data::of(&case);
        for precision in OTHERS {
            let layer = layer(&case, precision, Level::best(), 1, Schedule::Auto);
            let want = reference_run(&layer, &case, &data);
            let [y, h, c] = forward(&layer, &case, &data);
            for (what, got, want) in [("y", y, want.y), ("h", h, want.hn), ("c", c, want.cn)] {
                if want.iter().any(|value| value.is_nan() || value.abs() > 1e3) {
                    continue;
                }
                let (most, mean) = differences(&got, &want);
                prop_assert!(most < 0.1 && mean < 0.01, "{}: {} {} {:?}", what, most, mean, precision);
            }
        }
    }
}

/// How far results are from the reference: the worst and the mean difference, in units of the largest value.
fn differences(got: &[f32], want: &[f64]) -> (f64, f64) {
    let scale = want.iter().fold(1.0f64, |largest, v| largest.max(v.abs()));
    let differences = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs() / scale);
    let (sum, most) = differences.fold((0.0, 0.0f64), |(sum, most), d| (sum + d, most.max(d)));
    (most, sum / got.len().max(1) as f64)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(40),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Training in bf16: threads, schedules, checkpoints and fused levels change nothing, and the results are
    /// near the reference's.
    #[test]
    fn training_in_bf16(case in trained(cases()), every in 1..=14usize) {
        let data = Data::of(&case);
        let mut of_fused: Option<Results<f32>> = None;
        for level in Level::available() {
            let one = run_layer(&layer(&case, Precision::Bf16, level, 1, Schedule::Auto), &case, &data);
            for (threads, schedule) in [(2, Schedule::Rows), (3, Schedule::Units), (2, Schedule::Units)] {
                let layer = layer(&case, Precision::Bf16, level, threads, schedule);
                let what = format!("{level}, {threads} threads, {schedule:?}");
                same_bits(&what, &one, &run_layer(&layer, &case, &data))?;
                let mut tape = Tape::keeping(Keep::Every(every));
                same_bits(&what, &one, &run_with_tape(&layer, &case, &data, &mut tape))?;
            }
            if level != Level::Portable {
                let first = of_fused.get_or_insert_with(|| one.clone());
                same_bits(&level.to_string(), first, &one)?;
            }
        }
        let layer = layer(&case, Precision::Bf16, Level::best(), 1, Schedule::Auto);
        let want = reference_run(&layer, &case, &data);
        let got = run_layer(&layer, &case, &data);
        for ((name, got), (_, want)) in got.tensors().into_iter().zip(want.tensors()) {
            // (Some networks grow beyond bounds.)
            if want.iter().all(|value| value.abs() < 1e3) {
                let (most, mean) = differences(got, want);
                prop_assert!(most < 0.15 && mean < 0.02, "{}: {} {}", name, most, mean);
            }
        }
    }
}

/// A model of the reference in f32 with the parameters of a rectifier without biases.
fn rectifier(layer: &Recurrent, precision: reference::Precision) -> reference::Model<f32> {
    let (input, hidden) = (layer.config().input_size(), layer.config().hidden_size());
    let mut params = reference::Params::<f32>::zeros(reference::Cell::ElmanRelu, input, hidden);
    for tensor in layer.named_parameters() {
        let to = if tensor.name == "weight_ih_l0" { &mut params.weight_ih } else { &mut params.weight_hh };
        to.copy_from_slice(tensor.values);
    }
    reference::Model {
        cell: reference::Cell::ElmanRelu,
        input_size: input,
        hidden_size: hidden,
        projection: None,
        layer_norm: None,
        heads: 1,
        layers: 1,
        bidirectional: false,
        reverse: false,
        variants: Default::default(),
        precision,
        params: vec![params],
    }
}

/// A rectifier without biases computes nothing but products: where the sum of R h is one group of 32,
/// outputs have the bits of the reference in f32, on every level, the portable one too; and so have the
/// gradients of one row, which are products as well.
#[test]
fn products_are_the_references_to_the_bit_on_every_level() {
    for (seed, (batch, input, hidden)) in
        [(1, 1, 1), (1, 5, 31), (3, 16, 16), (4, 130, 32), (9, 7, 27), (1, 40, 30)].into_iter().enumerate()
    {
        let case = Case {
            bias: Bias::None,
            seed: seed as u64,
            ..Case::simple(CellKind::ElmanRelu, batch, 7, input, hidden)
        };
        let data = Data::of(&case);
        let both =
            [(Precision::Int8, reference::Precision::Int8), (Precision::Bf16, reference::Precision::Bf16)];
        for (level, (precision, of_reference)) in
            Level::available().flat_map(|level| both.map(|precision| (level, precision)))
        {
            let layer = layer(&case, precision, level, 1, Schedule::Auto);
            let model = rectifier(&layer, of_reference);
            let input = reference::Input {
                steps: 7,
                batch,
                x: &data.x,
                h0: Some(&data.h0),
                ..reference::Input::default()
            };
            let want = reference::forward(&model, &input);
            let what = format!("{level}, {precision:?}, {case:?}");
            assert_eq!(bits(&forward(&layer, &case, &data)[0]), bits(&want.y), "{what}");
            if precision.trains() && batch == 1 {
                let upstream = reference::Upstream { dy: Some(&data.dy), dhn: Some(&data.dhn), dcn: None };
                let want = reference::backward(&model, &input, &want, &upstream);
                let got = run_layer(&layer, &case, &data);
                assert_eq!(bits(&got.dx), bits(&want.x), "dx, {what}");
                assert_eq!(bits(&got.dh0), bits(&want.h0), "dh0, {what}");
                let parameters = [&want.params[0].weight_ih[..], &want.params[0].weight_hh].concat();
                assert_eq!(bits(&got.parameters), bits(&parameters), "parameters, {what}");
            }
        }
    }
}

/// Values that have no scale: what the documentation says of them.
#[test]
fn values_and_weights_without_a_scale() {
    for level in Level::available() {
        let case = Case { bias: Bias::Single, ..Case::simple(CellKind::ElmanRelu, 1, 1, 2, 3) };
        let mut layer = layer(&case, Precision::Int8, level, 1, Schedule::Auto);
        let mut set = |weights: [f32; 6], bias: f32| {
            layer.update(|parameters| {
                parameters.fill(0.0);
                parameters[..6].copy_from_slice(&weights);
                parameters[15..].fill(bias);
            });
            layer.clone()
        };
        let y = |layer: &Recurrent, x: [f32; 2]| layer.run(&x, Dims::new(1, 1)).unwrap().y;
        let plain = set([1.0, 0.0, 0.0, 2.0, 1.0, 1.0], 0.5);
        // Exact: 127 times 127 times the scales.
        assert_eq!(y(&plain, [1.0, 0.0]), [1.5, 0.5, 1.5]);
        assert_eq!(y(&plain, [0.0, 0.0]), [0.5; 3], "nothing but the bias");
        assert_eq!(y(&plain, [1e-40, -1e-31]), [0.5; 3], "too small to matter");
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(y(&plain, [1.0, odd]).iter().all(|y| y.is_nan()), "{odd}: all sums of the row");
        }
        let far = y(&set([0.0, 1e25, 1e25, 0.0, 0.0, 1.0], 0.5), [1e20, 0.0]);
        assert!(far[0].is_nan() && far[1..] == [f32::INFINITY, 0.5], "{far:?}: scales beyond f32");
        let huge = y(&plain, [f32::MAX, -f32::MAX]);
        assert!(huge[0] >= 3.4e38 && huge[1] == 0.0 && huge[2] < 1e33, "{huge:?}");
        for odd in [f32::NAN, f32::INFINITY] {
            let y = y(&set([1.0, odd, 0.0, 2.0, 1.0, 1.0], 0.5), [1.0, 0.0]);
            assert!(y[0].is_nan(), "all sums of the unit");
            assert_eq!(y[1..], [0.5, 1.5]);
        }
        // Of a unit whose weights are too small to matter nothing is left; the others are as they were.
        assert_eq!(y(&set([1e-31, -1e-40, 0.0, 2.0, 1.0, 1.0], 0.5), [1.0, 0.0]), [0.5, 0.5, 1.5]);
        let large = y(&set([f32::MAX, f32::MIN_POSITIVE, 0.0, 2.0, 1.0, 1.0], 0.0), [0.5, 0.0]);
        assert_abs_diff_eq!(large[0] / f32::MAX, 0.5, epsilon = 1e-6);
    }
}

/// Weights that were quantised elsewhere keep their integers: scales of each row, and one for all, and what
/// is beyond their range.
#[test]
fn weights_keep_the_integers_of_given_scales() {
    for level in Level::available() {
        let case = Case { bias: Bias::None, ..Case::simple(CellKind::ElmanRelu, 1, 1, 9, 20) };
        let mut layer = layer(&case, Precision::Int8, level, 1, Schedule::Auto);
        let q: Vec<i32> = (0..9 * 20).map(|n| (n * 71) % 256 - 128).collect();
        let x: Vec<f32> = (0..9).map(|n| (n * 31 - 127) as f32).collect();
        let each: Vec<f32> = (0..20).map(|row| 0.001 * (row + 1) as f32).collect();
        for scales in [&each[..], &[0.0625]] {
            let scale = |row: usize| if scales.len() > 1 { scales[row] } else { scales[0] };
            let weights: Vec<f32> = q.iter().enumerate().map(|(n, &q)| scale(n / 9) * q as f32).collect();
            layer.set_parameter("weight_ih_l0", &weights).unwrap();
            layer.set_scales("weight_ih_l0", scales).unwrap();
            let y = layer.run(&x, Dims::new(1, 1)).unwrap().y;
            for (row, (q, y)) in q.chunks(9).zip(y).enumerate() {
                let sum: i32 = q.iter().zip(&x).map(|(&q, &x)| q * x as i32).sum();
                assert_eq!(y, (sum as f32 * (1.0 * scale(row))).max(0.0), "{level}, row {row}");
            }
            // They stay when other parameters change, and when the network does.
            let again = layer.in_precision(Precision::Int8).unwrap();
            layer.update(|_| ());
            assert_eq!(layer.run(&x, Dims::new(1, 1)).unwrap().y, again.run(&x, Dims::new(1, 1)).unwrap().y);
        }
        layer.set_parameter("weight_ih_l0", &[1e20; 180]).unwrap();
        let most = layer.run(&[127.0; 9], Dims::new(1, 1)).unwrap().y;
        assert_eq!(most, [9.0 * 127.0 * 127.0 * 0.0625; 20]);
        layer.set_parameter("weight_ih_l0", &[f32::NAN; 180]).unwrap();
        assert!(layer.run(&x, Dims::new(1, 1)).unwrap().y.iter().all(|y| y.is_nan()));
        layer.set_scales("weight_ih_l0", &[]).unwrap();
    }
}

/// What is wrong with scales is named, and changes nothing.
#[test]
fn wrong_scales_are_errors() {
    let case = Case::simple(CellKind::GruResetAfter, 1, 1, 3, 4);
    let mut layer = case.layer(|builder| builder.precision(Precision::Int8));
    let before = layer.run(&[0.5; 3], Dims::new(1, 1)).unwrap().y;
    for odd in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, 1e31] {
        let wrong = layer.set_scales("weight_hh_l0", &[odd]);
        assert!(matches!(wrong, Err(Error::OutOfRange { .. })), "{odd}: {wrong:?}");
    }
    assert!(matches!(layer.set_scales("weight_ih_l0", &[1.0; 11]), Err(Error::Format { .. })));
    let bias = layer.set_scales("bias_ih_l0", &[1.0]).unwrap_err().to_string();
    assert_eq!(bias, "scales of bias_ih_l0: expected none, as it is no matrix of weights, got 1");
    for name in ["weight_ih_l1", ""] {
        assert_eq!(layer.set_scales(name, &[1.0]), Err(Error::UnknownParameter { name: name.to_owned() }));
    }
    assert_eq!(layer.run(&[0.5; 3], Dims::new(1, 1)).unwrap().y, before);
    let mut other = layer.in_precision(Precision::Bf16).unwrap();
    assert!(matches!(other.set_scales("weight_ih_l0", &[1.0]), Err(Error::Unsupported { .. })));
}

/// Training in integers is an error that names it, and writes nothing.
#[test]
fn integers_do_not_train() {
    let case = Case::simple(CellKind::Lstm, 2, 3, 4, 5);
    let layer = case.layer(|builder| builder.precision(Precision::Int8));
    let (mut state, mut tape, mut workspace) = (layer.zero_state(2).unwrap(), Tape::new(), Workspace::new());
    let mut y = [7.0; 2 * 3 * 5];
    let (x, dims) = ([0.1; 2 * 3 * 4], Dims::new(2, 3));
    let refused = layer.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace);
    let what = "training in Int8: train in another precision, and change it afterwards";
    assert_eq!(refused, Err(Error::Unsupported { what }));
    assert_eq!(y, [7.0; 2 * 3 * 5]);
    assert!(layer.reserve(&mut workspace, dims, Some(fused_rnn::Keep::All)).is_err());
    let wide = fused_rnn::Rnn::tanh(131_073, 1).precision(Precision::Int8).build();
    assert!(matches!(wide, Err(Error::OutOfRange { .. })), "{wide:?}");
}

/// Weights beyond those that bf16 has: infinities, NaN, and what is too small to matter.
#[test]
fn weights_that_bf16_does_not_have() {
    let case = Case::simple(CellKind::ElmanRelu, 1, 1, 1, 6);
    let of = |precision| {
        let mut layer = case.layer(|builder| builder.precision(precision));
        layer.update(|parameters| {
            parameters.fill(0.0);
            parameters[..6].copy_from_slice(&[f32::NAN, f32::INFINITY, 3.4e38, 1e-31, 1e-30, -1.0]);
        });
        layer.run(&[1.0], Dims::new(1, 1)).unwrap().y
    };
    let y = of(Precision::Bf16Weights);
    assert!(y[0].is_nan());
    assert_eq!(
        y[1..4],
        [f32::INFINITY, f32::INFINITY, 0.0],
        "3.4e38 is more than half of a step above the last"
    );
    assert!(y[4] == nearest_bf16(1e-30) || y[4] == 0.0);
    assert_eq!(y[5], 0.0);
}

/// Packed weights take half of the bytes.
#[test]
fn bytes_of_each_precision() {
    let case = Case::simple(CellKind::Lstm, 1, 1, 64, 128);
    let of = |precision| case.layer(|builder| builder.precision(precision)).bytes();
    let matrices = 4 * 4 * 128 * (64 + 128);
    assert_eq!(of(Precision::F32) - of(Precision::Bf16Weights), matrices / 2);
    assert_eq!(of(Precision::Bf16), of(Precision::Bf16Weights));
    // Scales, and where sums begin: two vectors of each gate.
    let tails = 2 * 2 * 4 * 4 * 128;
    assert_eq!(of(Precision::F32) - of(Precision::Int8), matrices / 4 * 3 - tails);
}
