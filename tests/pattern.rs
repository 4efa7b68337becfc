//! The meaning of masks and resets: a masked step is as if it did not exist, and a reset begins a row anew.
//!
//! Each row of a masked batch is run again by itself, its real steps put side by side, from the state that
//! the episode begins with; outputs, states and all gradients must be the same bits, at every level.

use fused_rnn::{
    CellKind, Dims, Direction, Error, Gradients, Keep, Layout, Level, Recurrent, Rng, Schedule, Tape,
    Threads, Upstream, Workspace,
};
use fused_rnn_tests::{
    Case, Data, bits, property_cases, reference_run_from, run_in, run_layer_with, strategies, uniform,
};
use proptest::prelude::*;

/// The inputs of a call, batch-first.
#[derive(Clone)]
struct Call {
    x: Vec<f32>,
    dy: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    dhn: Vec<f32>,
    dcn: Vec<f32>,
}

impl Call {
    /// A call with random values of these sizes.
    fn random([inputs, outputs]: [usize; 2], [hidden, cells]: [usize; 2], rng: &mut Rng) -> Call {
        Call {
            x: uniform(inputs, rng),
            dy: uniform(outputs, rng),
            h: uniform(hidden, rng),
            c: uniform(cells, rng),
            dhn: uniform(hidden, rng),
            dcn: uniform(cells, rng),
        }
    }
}

/// The results of a call.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    y: Vec<f32>,
    hn: Vec<f32>,
    cn: Vec<f32>,
    dx: Vec<f32>,
    dh0: Vec<f32>,
    dc0: Vec<f32>,
    parameters: Vec<f32>,
}

impl Answer {
    fn all(&self) -> [&Vec<f32>; 7] {
        [&self.y, &self.hn, &self.cn, &self.dx, &self.dh0, &self.dc0, &self.parameters]
    }
}

fn call(layer: &Recurrent, dims: Dims<'_>, call: &Call, keep: Keep) -> Answer {
    call_in(layer, dims, call, &mut Tape::keeping(keep), &mut Workspace::new())
}

fn call_in(
    layer: &Recurrent,
    dims: Dims<'_>,
    call: &Call,
    tape: &mut Tape,
    workspace: &mut Workspace,
) -> Answer {
    let mut state = layer.zero_state(dims.batch).unwrap();
    state.set_h(&call.h).unwrap();
    state.set_c(&call.c).unwrap();
    let mut y = vec![f32::NAN; call.dy.len()];
    layer.forward_train(&call.x, dims, &mut state, Some(&mut y), tape, 0, workspace).unwrap();
    let mut answer = Answer {
        y,
        hn: state.h(),
        cn: state.c(),
        dx: vec![f32::NAN; call.x.len()],
        dh0: vec![f32::NAN; call.h.len()],
        dc0: vec![f32::NAN; call.c.len()],
        parameters: vec![f32::NAN; layer.parameters().len()],
    };
    let gradients = Gradients::of_parameters(&mut answer.parameters)
        .with_dx(&mut answer.dx)
        .with_dh0(&mut answer.dh0)
        .with_dc0(&mut answer.dc0);
    let upstream = Upstream::default().with_dy(&call.dy).with_dhn(&call.dhn).with_dcn(&call.dcn);
    layer.backward(&call.x, tape, upstream, gradients, workspace).unwrap();
    // The same without a tape.
    state.reset();
    state.set_h(&call.h).unwrap();
    state.set_c(&call.c).unwrap();
    let mut y = vec![f32::NAN; call.dy.len()];
    layer.forward(&call.x, dims, &mut state, Some(&mut y), workspace).unwrap();
    assert!(
        [y, state.h(), state.c()].map(|v| bits(&v)) == [&answer.y, &answer.hn, &answer.cn].map(|v| bits(v))
    );
    answer
}

/// The rows (D, B, H)[.., row, ..] of a state.
fn row_of(state: &[f32], directions: usize, batch: usize, hidden: usize, row: usize) -> Vec<f32> {
    if state.is_empty() {
        return Vec::new();
    }
    (0..directions).flat_map(|d| state[(d * batch + row) * hidden..][..hidden].to_vec()).collect()
}

/// A layer of any kind, direction, options and precision that trains, batch-first.
fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..=5usize, 1..=12usize, 1..=20usize);
    let kind = prop::sample::select(CellKind::ALL.to_vec());
    let cases = (kind, strategies::direction(), sizes, strategies::precision(), any::<u64>())
        .prop_flat_map(|(kind, direction, (batch, steps, hidden), precision, seed)| {
            let simple = Case::simple(kind, batch, steps, 3, hidden);
            let case = Case { direction, layout: Layout::BatchFirst, precision, seed, ..simple };
            (Just(case), strategies::options(kind, direction, hidden))
        })
        .prop_map(|(case, options)| Case { options, ..case });
    strategies::that_train(cases)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(60),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn masked_steps_are_not_there_and_resets_begin_anew(
        case in cases(),
        (mask_rate, reset_rate) in (0.0..1.0f32, 0.0..0.5f32),
        given in any::<[bool; 3]>(),
        every in 1..=13usize,
        threads in 1..=2usize,
        schedule in prop::sample::select(vec![Schedule::Auto, Schedule::Rows, Schedule::Units]),
    ) {
        // What is not given is as if every step were there, and none began anew.
        let [with_lengths, with_mask, with_resets] = given;
        let Case { batch, steps, input, hidden, .. } = case;
        let outputs = case.outputs();
        let mut rng = Rng::new(case.seed);
        let mask: Vec<bool> =
            (0..batch * steps).map(|_| rng.uniform(0.0, 1.0) >= mask_rate || !with_mask).collect();
        let resets: Vec<bool> =
            (0..batch * steps).map(|_| rng.uniform(0.0, 1.0) < reset_rate && with_resets).collect();
        let length = |rng: &mut Rng| if with_lengths { rng.below(steps + 1) } else { steps };
        let lengths: Vec<usize> = (0..batch).map(|_| length(&mut rng)).collect();
        let d = case.directions();
        let cells = if case.kind.has_cell_state() { d * batch * hidden } else { 0 };
        let values = [batch * steps * input, batch * steps * d * outputs];
        let mut whole = Call::random(values, [d * batch * outputs, cells], &mut rng);
        let real = |row: usize, t: usize| t < lengths[row] && mask[row * steps + t];
        for (at, x) in whole.x.iter_mut().enumerate() {
            if !real(at / input / steps, at / input % steps) {
                *x = f32::NAN;
            }
        }
        for level in Level::available() {
            let layer = case.layer(|builder| {
                builder.level(level).threads(Threads::Count(threads)).schedule(schedule)
            });
            let mut dims = Dims::new(batch, steps);
            dims.lengths = with_lengths.then_some(&lengths[..]);
            dims.mask = with_mask.then_some(&mask[..]);
            dims.resets = with_resets.then_some(&resets[..]);
            let got = call(&layer, dims, &whole, Keep::All);
            // (Gates without bounds may grow beyond f32 in a few steps, and no NaN equals another.)
            prop_assume!(got.all().into_iter().flatten().all(|v| v.is_finite()));
            prop_assert_eq!(&got, &call(&layer, dims, &whole, Keep::Every(every)));

            let (mut parameters, mut largest) = (vec![0.0; got.parameters.len()], 1.0f64);
            // By hand: each row by itself, each of its episodes by itself.
            for row in 0..batch {
                let mut episodes = vec![Vec::new()];
                for t in 0..lengths[row] {
                    if resets[row * steps + t] {
                        episodes.push(Vec::new());
                    }
                    if mask[row * steps + t] {
                        episodes.last_mut().unwrap().push(t);
                    }
                }
                let pick = |v: &[f32]| row_of(v, d, batch, outputs, row);
                let pick_cell = |v: &[f32]| row_of(v, d, batch, hidden, row);
                let (mut y, mut dx) = (vec![0.0; steps * d * outputs], vec![0.0; steps * input]);
                // For each direction, what comes out at its end, and the gradient at its beginning.
                let mut ends = Answer { y: vec![], dx: vec![], hn: pick(&got.hn), cn: pick_cell(&got.cn),
                    dh0: pick(&got.dh0), dc0: pick_cell(&got.dc0), parameters: vec![] };
                let last = episodes.len() - 1;
                for (n, episode) in episodes.iter().enumerate() {
                    // A direction forward in time starts in the first episode and ends in the last, a reverse
                    // one the other way.
                    let reverse = |direction: usize| case.direction == Direction::Reverse || direction == 1;
                    let starts = |direction: usize| if reverse(direction) { n == last } else { n == 0 };
                    let finishes = |direction: usize| if reverse(direction) { n == 0 } else { n == last };
                    let only = |v: Vec<f32>, width: usize, has: &dyn Fn(usize) -> bool| -> Vec<f32> {
                        v.iter().enumerate().map(|(at, &v)| if has(at / width) { v } else { 0.0 }).collect()
                    };
                    let rows = |v: &[f32], width: usize| -> Vec<f32> {
                        episode
                            .iter()
                            .flat_map(|t| v[(row * steps + t) * width..][..width].to_vec())
                            .collect()
                    };
                    let alone = Call {
                        x: rows(&whole.x, input),
                        dy: rows(&whole.dy, d * outputs),
                        h: only(pick(&whole.h), outputs, &starts),
                        c: only(pick_cell(&whole.c), hidden, &starts),
                        dhn: only(pick(&whole.dhn), outputs, &finishes),
                        dcn: only(pick_cell(&whole.dcn), hidden, &finishes),
                    };
                    let answer = call(&layer, Dims::new(1, episode.len()), &alone, Keep::All);
                    for (sum, &alone) in parameters.iter_mut().zip(&answer.parameters) {
                        *sum += f64::from(alone);
                        largest = largest.max(f64::from(alone).abs());
                    }
                    for (k, &t) in episode.iter().enumerate() {
                        y[t * d * outputs..][..d * outputs]
                            .copy_from_slice(&answer.y[k * d * outputs..][..d * outputs]);
                        dx[t * input..][..input].copy_from_slice(&answer.dx[k * input..][..input]);
                    }
                    for direction in 0..d {
                        let pairs = [
                            (finishes(direction), outputs, &mut ends.hn, &answer.hn),
                            (finishes(direction), hidden, &mut ends.cn, &answer.cn),
                            (starts(direction), outputs, &mut ends.dh0, &answer.dh0),
                            (starts(direction), hidden, &mut ends.dc0, &answer.dc0),
                        ];
                        for (applies, width, to, from) in pairs {
                            let range = direction * width..(direction + 1) * width;
                            if applies && !from.is_empty() {
                                prop_assert_eq!(&to[range.clone()], &from[range.clone()]);
                                to[range.clone()].fill(f32::NAN);
                            }
                        }
                    }
                }
                // Every part of the states has been compared.
                prop_assert!(
                    ends.hn.iter().chain(&ends.cn).chain(&ends.dh0).chain(&ends.dc0).all(|v| v.is_nan())
                );
                prop_assert_eq!(&got.y[row * steps * d * outputs..][..steps * d * outputs], &y[..]);
                prop_assert_eq!(&got.dx[row * steps * input..][..steps * input], &dx[..]);
            }
            for (got, want) in got.parameters.iter().zip(&parameters) {
                // (A small gradient is the difference of large ones.)
                let close = (f64::from(*got) - want).abs() < 1e-4 * largest;
                prop_assert!(close, "{} for {}, largest {}", got, want, largest);
            }
        }
    }
}

/// Earlier calls, also of the same size, leave no trace in a workspace or a tape.
#[test]
fn a_workspace_forgets_the_rows_of_the_call_before() {
    let (batch, steps, input, hidden) = (3, 4, 2, 5);
    let mut rng = Rng::new(3);
    let whole = Call::random([batch * steps * input, batch * steps * hidden], [batch * hidden; 2], &mut rng);
    let mask: Vec<bool> = (0..batch * steps).map(|at| at % 5 != 2).collect();
    let plain = Dims::new(batch, steps);
    let all = [
        plain,
        plain.with_lengths(&[4, 1, 3]),
        plain.with_lengths(&[0, 2, 4]),
        plain.with_mask(&mask),
        plain.with_resets(&mask),
    ];
    let case =
        Case { layout: Layout::BatchFirst, ..Case::simple(CellKind::Lstm, batch, steps, input, hidden) };
    let layer = case.builder().build().unwrap();
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    for before in all {
        for dims in all {
            call_in(&layer, before, &whole, &mut tape, &mut workspace);
            let again = call_in(&layer, dims, &whole, &mut tape, &mut workspace);
            assert_eq!(again, call(&layer, dims, &whole, Keep::All), "{dims:?} after {before:?}");
        }
    }
}

/// One workspace and one tape are passed from layer to layer of the same sizes. Each layer gives the same
/// results as with its own memory, whatever layer and call came before.
#[test]
fn a_workspace_and_a_tape_serve_layers_of_any_kind() {
    let (batch, steps, input, hidden) = (3, 6, 4, 20);
    let mut cases = Vec::new();
    for &kind in CellKind::ALL {
        let case = Case { layout: Layout::TimeMajor, ..Case::simple(kind, batch, steps, input, hidden) };
        cases.extend([case.clone(), Case { layers: 3, ..case.clone() }]);
        cases.push(Case { direction: Direction::Both, layers: 2, ..case.clone() });
        let with = |change: fn(&mut fused_rnn_tests::Options)| {
            let mut case = case.clone();
            change(&mut case.options);
            case
        };
        cases.push(with(|options| options.zoneout = [0.25, 0.0]));
        cases.push(with(|options| options.input_dropout = 0.25));
        if kind.has_recurrent_weights() {
            cases.push(with(|options| [options.recurrent_dropout, options.input_dropout] = [0.25; 2]));
        }
        if kind == CellKind::Lstm {
            cases.extend([with(|options| options.peephole = true), with(|options| options.coupled = true)]);
            cases.push(with(|options| options.projection = Some(17)));
        }
        if matches!(kind, CellKind::Lstm | CellKind::GruResetAfter) {
            cases.push(with(|options| options.layer_norm = Some(1e-3)));
        }
    }
    let layers: Vec<Recurrent> = cases.iter().map(|case| case.layer(|builder| builder)).collect();
    let calls = |case: &Case, layer: &Recurrent, tape: &mut Tape, workspace: &mut Workspace| {
        let data = Data::of(case);
        let mut state = layer.zero_state(batch).unwrap();
        // Steps first, which keep their shapes, then a sequence, forward and back.
        let mut y = vec![f32::NAN; batch * case.outputs()];
        if case.direction == Direction::Forward {
            for x in data.x.chunks_exact(batch * input) {
                layer.step(x, &mut state, Some(&mut y), workspace).unwrap();
            }
        }
        let results = run_layer_with(layer, case, &data, tape, workspace);
        (fused_rnn_tests::bits(&y), state.h(), state.c(), results)
    };
    for keep in [Keep::All, Keep::Every(2)] {
        let alone: Vec<_> = (cases.iter().zip(&layers))
            .map(|(case, layer)| calls(case, layer, &mut Tape::keeping(keep), &mut Workspace::new()))
            .collect();
        let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
        for first in 0..cases.len() {
            for second in 0..cases.len() {
                calls(&cases[first], &layers[first], &mut tape, &mut workspace);
                let shared = calls(&cases[second], &layers[second], &mut tape, &mut workspace);
                assert!(shared == alone[second], "{:?} after {:?}", cases[second], cases[first]);
            }
        }
    }
}

/// The weights of the forget gate of a coupled LSTM are not used, so nothing in them can reach a result.
#[test]
fn an_unused_gate_may_hold_anything() {
    let (batch, steps, input, hidden) = (2, 3, 4, 5);
    let mut rng = Rng::new(4);
    let whole = Call::random([batch * steps * input, batch * steps * hidden], [batch * hidden; 2], &mut rng);
    let mut case =
        Case { layout: Layout::BatchFirst, ..Case::simple(CellKind::Lstm, batch, steps, input, hidden) };
    case.options.coupled = true;
    for level in Level::available() {
        let mut layer = case.builder().level(level).build().unwrap();
        let want = call(&layer, Dims::new(batch, steps), &whole, Keep::All);
        assert!(want.dx.iter().chain(&want.dh0).chain(&want.parameters).all(|v| v.is_finite()));
        layer.update(|parameters| {
            let mut at = 0;
            // weight_ih, weight_hh and the two biases: rows of gate i, then those of gate f.
            for width in [input, hidden, 1, 1] {
                let gate = hidden * width;
                parameters[at + gate..at + 2 * gate].fill(f32::INFINITY);
                at += 4 * gate;
            }
            assert_eq!(at, parameters.len());
        });
        assert_eq!(call(&layer, Dims::new(batch, steps), &whole, Keep::All), want, "{level}");
    }
}

/// A stream that is reset is a new stream, and wrong sizes are named.
#[test]
fn states_are_reset_by_row_and_wrong_sizes_are_named() {
    let case = Case { layout: Layout::BatchFirst, ..Case::simple(CellKind::Lstm, 2, 3, 4, 5) };
    let layer = case.builder().build().unwrap();
    let mut rng = Rng::new(1);
    let (x, mut workspace) = (uniform(2 * 3 * 4, &mut rng), Workspace::new());
    let mut state = layer.zero_state(2).unwrap();
    layer.forward(&x, Dims::new(2, 3), &mut state, None, &mut workspace).unwrap();
    let before = state.h();
    state.reset_row(0).unwrap();
    assert!(state.h()[..5].iter().chain(&state.c()[..5]).all(|&v| v == 0.0) && state.h()[5..] == before[5..]);
    let row = Error::Index { what: "row of a state", below: 2, got: 2 };
    assert_eq!(state.reset_row(2), Err(row));
    for (dims, what) in
        [(Dims::new(2, 3).with_mask(&[true; 5]), "mask"), (Dims::new(2, 3).with_resets(&[true; 7]), "resets")]
    {
        let got = if what == "mask" { 5 } else { 7 };
        let error = Error::Length { what, expected: 6, got };
        assert_eq!(layer.forward(&x, dims, &mut state, None, &mut workspace), Err(error.clone()));
        assert_eq!(layer.tape_bytes(dims, Keep::All), Err(error));
    }
}

/// Dropout between layers falls on the same places whatever the schedule, also where steps are left out.
#[test]
fn dropout_does_not_depend_on_the_schedule() {
    let (batch, steps, input, hidden, layers) = (3, 24, 4, 9, 3);
    let mut rng = Rng::new(5);
    let x = uniform(batch * steps * input, &mut rng);
    let dy = uniform(batch * steps * hidden, &mut rng);
    let mask: Vec<bool> = (0..batch * steps).map(|at| at % 5 != 2 && at % 7 != 0).collect();
    let resets: Vec<bool> = (0..batch * steps).map(|at| at % 11 == 4).collect();
    let plain = Dims::new(batch, steps);
    for dims in [plain, plain.with_lengths(&[20, 24, 7]), plain.with_mask(&mask), plain.with_resets(&resets)]
    {
        let of = |schedule, threads| {
            let layer = fused_rnn::Builder::new(CellKind::Lstm, input, hidden)
                .layers(layers)
                .dropout(0.4)
                .schedule(schedule)
                .threads(Threads::Count(threads))
                .build()
                .unwrap();
            let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
            let mut state = layer.zero_state(batch).unwrap();
            let mut y = vec![f32::NAN; dy.len()];
            layer.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 7, &mut workspace).unwrap();
            let mut parameters = vec![f32::NAN; layer.parameters().len()];
            let upstream = Upstream::default().with_dy(&dy);
            let gradients = Gradients::of_parameters(&mut parameters);
            layer.backward(&x, &tape, upstream, gradients, &mut workspace).unwrap();
            (y, state.h(), parameters)
        };
        let one = of(fused_rnn::Schedule::Auto, 1);
        for schedule in [fused_rnn::Schedule::Rows, fused_rnn::Schedule::Units, fused_rnn::Schedule::Layers] {
            assert!(of(schedule, 3) == one, "{schedule:?}, {dims:?}");
        }
    }
}

/// The dropout and zoneout of a step depend on its place in the sequence, even if steps before it are left
/// out or the state begins anew, forward and backward. The reference runs the parts one by one.
#[test]
fn dropout_belongs_to_the_step_of_the_sequence() {
    let (batch, steps, first, input, hidden) = (7, 9, 4, 5, 19);
    for &kind in CellKind::ALL {
        for direction in [Direction::Forward, Direction::Both] {
            let mut case = Case { direction, layers: 2, ..Case::simple(kind, batch, steps, input, hidden) };
            case.options.dropout = 0.3;
            case.options.recurrent_dropout = fused_rnn_tests::recurrent_dropout(kind, 0.3);
            case.options.input_dropout = 0.3;
            case.options.zoneout =
                [0.3, if fused_rnn_tests::has_options_of_cell_state(kind) { 0.3 } else { 0.0 }];
            let (data, layer) = (Data::of(&case), case.layer(|builder| builder));
            // (T, B, ..) of some of the steps.
            let (x, y) = (batch * input, batch * hidden * case.directions());
            let part = |range: std::ops::Range<usize>, is_first: bool, is_last: bool| {
                let states = |values: &[f32], is_there| {
                    values.iter().map(|v| if is_there { *v } else { 0.0 }).collect()
                };
                let part = Data {
                    x: data.x[range.start * x..range.end * x].to_vec(),
                    dy: data.dy[range.start * y..range.end * y].to_vec(),
                    lengths: None,
                    h0: states(&data.h0, is_first),
                    c0: states(&data.c0, is_first),
                    dhn: states(&data.dhn, is_last),
                    dcn: states(&data.dcn, is_last),
                };
                let case = Case { steps: range.len(), ..case.clone() };
                reference_run_from(&layer, &case, &part, range.start)
            };
            let close = |what: &str, got: &[f32], want: &[f64]| {
                assert_eq!(got.len(), want.len());
                for (at, (got, want)) in got.iter().zip(want).enumerate() {
                    let close = (f64::from(*got) - want).abs() <= 5e-5 * want.abs().max(1.0);
                    assert!(close, "{kind:?}, {direction:?}: {what}[{at}]: {got} for {want}");
                }
            };
            // The first steps are left out.
            let mask: Vec<bool> = (0..batch * steps).map(|at| at % steps >= first).collect();
            let dims = Dims::new(batch, steps).with_mask(&mask);
            let got = run_in(&layer, &case, &data, dims, &mut Tape::new());
            let want = part(first..steps, true, true);
            close("masked y", &got.y[first * y..], &want.y);
            close("masked dx", &got.dx[first * x..], &want.dx);
            close("masked hn", &got.hn, &want.hn);
            close("masked dh0", &got.dh0, &want.dh0);
            close("masked parameters", &got.parameters, &want.parameters);
            if direction == Direction::Both {
                continue;
            }
            // The state begins anew.
            let resets: Vec<bool> = (0..batch * steps).map(|at| at % steps == first).collect();
            let dims = Dims::new(batch, steps).with_resets(&resets);
            let got = run_in(&layer, &case, &data, dims, &mut Tape::new());
            let (before, after) = (part(0..first, true, false), part(first..steps, false, true));
            close("reset y", &got.y, &[before.y, after.y].concat());
            close("reset dx", &got.dx, &[before.dx, after.dx].concat());
            close("reset hn", &got.hn, &after.hn);
            close("reset dh0", &got.dh0, &before.dh0);
            let sums: Vec<f64> =
                before.parameters.iter().zip(&after.parameters).map(|(a, b)| a + b).collect();
            close("reset parameters", &got.parameters, &sums);
        }
    }
}
