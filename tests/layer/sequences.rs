//! Sequences that lie otherwise: packed, without padding, and inputs with strides. The bits are those of padded
//! and contiguous ones.

use crate::drawn::{initial, with_flags};
use fused_rnn::{
    CellKind, Dims, Direction, Error, Gradients, Keep, Layout, Level, Recording, Recurrent, Tape, Threads,
    Upstream, Workspace,
};
use fused_rnn_tests::strategies::{cases_from, trained};
use fused_rnn_tests::{Case, Data, Options, bits, property_cases};
use proptest::prelude::*;

/// Where each step of the packed sequence lies in the padded one, counted in steps.
fn packed_places(case: &Case, lengths: &[usize]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..case.batch).collect();
    rows.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let at = |time: usize, row: usize| match case.layout {
        Layout::TimeMajor => time * case.batch + row,
        _ => row * case.steps + time,
    };
    let real = |time: usize| rows.iter().filter(move |&&row| time < lengths[row]);
    (0..case.steps).flat_map(|time| real(time).map(move |&row| at(time, row))).collect()
}

fn take(values: &[f32], width: usize, places: &[usize]) -> Vec<f32> {
    places.iter().flat_map(|&place| values[place * width..][..width].to_vec()).collect()
}

/// All that the two passes write: y, dx; final states; other gradients.
struct Written {
    y: Vec<f32>,
    dx: Vec<f32>,
    others: Vec<Vec<u32>>,
}

/// Runs both passes; forward by itself first, where it computes the same.
fn run(
    layer: &Recurrent,
    (case, data): (&Case, &Data),
    (x, dy): (&[f32], &[f32]),
    dims: Dims<'_>,
    keep: Keep,
    in_slice: bool,
) -> Written {
    let (mut state, mut y) = (initial(layer, case, data), vec![f32::NAN; dy.len()]);
    let mut workspace = Workspace::new();
    let (mut tape, mut slice) = (Tape::keeping(keep), vec![f32::NAN; layer.tape_len(dims, keep).unwrap()]);
    let recording = Recording::new(dims).with_keep(keep).with_seed(9);
    if in_slice {
        layer.forward_train_into(x, recording, &mut state, Some(&mut y), &mut slice, &mut workspace).unwrap();
    } else {
        layer.forward_train(x, dims, &mut state, Some(&mut y), &mut tape, 9, &mut workspace).unwrap();
    }
    if !case.options.differs_in_training() {
        let (mut state, mut again) = (initial(layer, case, data), vec![f32::NAN; dy.len()]);
        layer.forward(x, dims, &mut state, Some(&mut again), &mut workspace).unwrap();
        assert_eq!(bits(&again), bits(&y), "without a tape");
    }
    let count = if dims.x_strides.is_some() { data.x.len() } else { x.len() };
    let mut to =
        [count, layer.parameters().len(), data.h0.len(), data.c0.len()].map(|len| vec![f32::NAN; len]);
    let [dx, parameters, dh0, dc0] = &mut to;
    let gradients = Gradients::of_parameters(parameters).with_dx(dx).with_dh0(dh0).with_dc0(dc0);
    let upstream = Upstream::default().with_dy(dy).with_dhn(&data.dhn).with_dcn(&data.dcn);
    if in_slice {
        layer.backward_from(x, recording, &slice, upstream, gradients, &mut workspace).unwrap();
    } else {
        layer.backward(x, &tape, upstream, gradients, &mut workspace).unwrap();
    }
    let [dx, parameters, dh0, dc0] = to;
    let others = [&state.h(), &state.c(), &parameters, &dh0, &dc0].map(|values| bits(values)).to_vec();
    Written { y, dx, others }
}

/// Drawn data, or with every third input so small that it counts as zero: copies are made of such inputs.
fn data_of(case: &Case, tiny: bool) -> Data {
    let mut data = Data::of(case);
    data.x.iter_mut().skip(1).step_by(3).filter(|_| tiny).for_each(|x| *x *= 1e-36);
    data
}

fn keeps() -> impl Strategy<Value = Keep> {
    prop_oneof![Just(Keep::All), (1..5usize).prop_map(Keep::Every)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(150),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn packed_sequences_have_the_bits_of_padded_ones(
        (case, flags) in with_flags(trained(cases_from(0))),
        keep in keeps(),
        in_slice in any::<bool>(),
        threads in 1..=2usize,
        tiny in any::<bool>(),
    ) {
        let data = data_of(&case, tiny);
        let dims = flags.dims(&case, &data);
        let lengths = data.lengths.clone().unwrap_or(vec![case.steps; case.batch]);
        let places = packed_places(&case, &lengths);
        let width = case.directions() * case.outputs();
        let (x, dy) = (take(&data.x, case.input, &places), take(&data.dy, width, &places));
        for level in Level::available() {
            let layer = case.layer(|builder| builder.level(level).threads(Threads::Count(threads)));
            let both = (&case, &data);
            let padded = run(&layer, both, (&data.x, &data.dy), dims, keep, in_slice);
            let packed = run(&layer, both, (&x, &dy), dims.packed(), keep, in_slice);
            prop_assert_eq!(bits(&packed.y), bits(&take(&padded.y, width, &places)));
            prop_assert_eq!(bits(&packed.dx), bits(&take(&padded.dx, case.input, &places)));
            prop_assert_eq!(packed.others, padded.others);
        }
    }

    #[test]
    fn inputs_with_strides_have_the_bits_of_contiguous_ones(
        (case, flags) in with_flags(trained(cases_from(0))),
        (more, step_first) in (0..9usize, any::<bool>()),
        begin in 0..4usize,
        keep in keeps(),
        in_slice in any::<bool>(),
        threads in 1..=2usize,
        tiny in any::<bool>(),
    ) {
        let data = data_of(&case, tiny);
        let dims = flags.dims(&case, &data);
        // The features among others, and rows or steps outermost.
        let inner = case.input + more;
        let (row, step) = match step_first {
            true => (inner, inner * case.batch + 3),
            false => (inner * case.steps + 5, inner),
        };
        let (last_row, last_step) = (case.batch.saturating_sub(1), case.steps.saturating_sub(1));
        let end = begin + last_row * row + last_step * step + case.input;
        let mut x = vec![f32::NAN; if case.batch * case.steps > 0 { end } else { begin }];
        for (place, from) in data.x.chunks_exact(case.input).enumerate() {
            let (r, t) = match case.layout {
                Layout::TimeMajor => (place % case.batch, place / case.batch),
                _ => (place / case.steps, place % case.steps),
            };
            x[begin + r * row + t * step..][..case.input].copy_from_slice(from);
        }
        let strided = dims.with_x_strides(row, step);
        for level in Level::available() {
            let layer = case.layer(|builder| builder.level(level).threads(Threads::Count(threads)));
            let both = (&case, &data);
            let want = run(&layer, both, (&data.x, &data.dy), dims, keep, in_slice);
            let got = run(&layer, both, (&x[begin..], &data.dy), strided, keep, in_slice);
            prop_assert_eq!((bits(&got.y), bits(&got.dx)), (bits(&want.y), bits(&want.dx)));
            prop_assert_eq!(got.others, want.others);
        }
    }
}

/// One row for the whole batch, and one step for all times.
#[test]
fn strides_may_be_zero() {
    let case = Case::simple(CellKind::Lstm, 3, 5, 4, 6);
    let layer = case.layer(|builder| builder.layout(Layout::BatchFirst));
    let x = [0.1, -0.2, 0.3, 0.4];
    let whole = layer.run(&x.repeat(15), Dims::new(3, 5)).unwrap();
    let broadcast = layer.run(&x, Dims::new(3, 5).with_x_strides(0, 0)).unwrap();
    assert_eq!(bits(&broadcast.y), bits(&whole.y));
}

#[test]
fn wrong_lengths_of_such_sequences_are_refused_and_nothing_is_written() {
    let options = Options { input_dropout: 0.3, ..Options::default() };
    let case =
        Case { layers: 2, direction: Direction::Both, options, ..Case::simple(CellKind::Lstm, 3, 4, 2, 5) };
    let (data, layer) = (Data::of(&case), case.layer(|builder| builder));
    let mut workspace = Workspace::new();
    let mut forward = |x: &[f32], dims: Dims<'_>, values: usize| {
        let (mut state, mut y) = (initial(&layer, &case, &data), vec![7.0; values]);
        let result = layer.forward(x, dims, &mut state, Some(&mut y), &mut workspace);
        let untouched = y.iter().all(|&y| y == 7.0) && state.h() == data.h0 && state.c() == data.c0;
        assert!(result.is_ok() || untouched);
        result
    };
    let lengths = [2, 4, 1];
    let packed = Dims::new(3, 4).with_lengths(&lengths).packed();
    assert_eq!(forward(&data.x[..14], packed, 70), Ok(()));
    let length = |what, expected, got| Err(Error::Length { what, expected, got });
    assert_eq!(forward(&data.x, packed, 70), length("x", 14, 24));
    assert_eq!(forward(&data.x[..13], packed, 70), length("x", 14, 13));
    assert_eq!(forward(&data.x[..14], packed, 120), length("y", 70, 120));
    let strided = Dims::new(3, 4).with_x_strides(8, 2);
    assert_eq!(forward(&data.x[..24], strided, 120), Ok(()));
    let what = "x (to the last value of its strides)";
    assert_eq!(forward(&data.x[..23], strided, 120), length(what, 24, 23));
    assert_eq!(forward(&data.x[..24], strided, 119), length("y", 120, 119));
    let huge = Dims::new(3, 4).with_x_strides(usize::MAX, 1);
    assert_eq!(forward(&data.x, huge, 120), Err(Error::SizeOverflow { what: "memory" }));
    let both = packed.with_x_strides(8, 2);
    assert_eq!(forward(&data.x, both, 70), Err(Error::Unsupported { what: "strides of a packed sequence" }));

    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = initial(&layer, &case, &data);
    layer.forward_train(&data.x[..14], packed, &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut dx = vec![7.0; 24];
    let upstream = Upstream::default().with_dhn(&data.dhn);
    let gradients = Gradients::default().with_dx(&mut dx);
    let refused = layer.backward(&data.x[..14], &tape, upstream, gradients, &mut workspace);
    assert_eq!(refused, length("dx (of the tape's rows and steps)", 14, 24));
    assert!(dx.iter().all(|&value| value == 7.0));
    let gradients = Gradients::default();
    let refused = layer.backward(&data.x, &tape, upstream.with_dy(&data.dy), gradients, &mut workspace);
    assert_eq!(refused, length("x (of the tape's rows and steps)", 14, 24));
}

/// Functions beside the layers read padded sequences, and say so.
#[test]
fn losses_refuse_packed_sequences() {
    let lengths = [1, 2];
    let dims = Dims::new(2, 2).with_lengths(&lengths).packed();
    let refused = fused_rnn::train::step_mask(dims, Layout::TimeMajor).unwrap_err().to_string();
    assert!(refused.contains("packed sequences"), "{refused}");
}
