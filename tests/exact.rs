//! Equal bits: the promises of the crate beyond results that are right to rounding.
//!
//! A row does not depend on the batch, on its neighbours or on padding; a sequence may be cut anywhere;
//! threads, schedules, checkpoints and fused levels change nothing.

use fused_rnn::{
    CellKind, Dims, Direction, Keep, Layout, Level, Precision, Recurrent, Schedule, Tape, Threads, Workspace,
};
use fused_rnn_tests::strategies::{cases, same_bits, that_train, trained};
use fused_rnn_tests::{
    Case, Data, Options, Results, bits, bits_of, on_each_level, property_cases, run, run_layer, run_with_tape,
};
use proptest::prelude::*;

fn layer(case: &Case, level: Level) -> Recurrent {
    case.layer(|builder| builder.level(level).threads(Threads::Count(1)))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(100),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn threads_change_nothing(case in trained(cases())) {
        let data = Data::of(&case);
        for level in Level::available() {
            let one = run(&case, &data, level, 1);
            for threads in [2, 3, 5, 8] {
                for schedule in [Schedule::Auto, Schedule::Rows, Schedule::Units, Schedule::Layers] {
                    let what = format!("{level}, {threads} threads, {schedule:?}");
                    let layer = case.layer(|builder| {
                        builder.level(level).threads(Threads::Count(threads)).schedule(schedule)
                    });
                    same_bits(&what, &one, &run_layer(&layer, &case, &data))?;
                    if case.options.differs_in_training() {
                        continue;
                    }
                    // Without a tape: other memory, and two slots of states in turns.
                    let mut state = layer.zero_state(case.batch).unwrap();
                    state.set_h(&data.h0).unwrap();
                    state.set_c(&data.c0).unwrap();
                    let mut y = vec![f32::NAN; one.y.len()];
                    let mut workspace = Workspace::new();
                    layer
                        .forward(&data.x, data.dims(&case), &mut state, Some(&mut y), &mut workspace)
                        .unwrap();
                    // (Gates without bounds may grow beyond f32, and no NaN equals another.)
                    let without_tape = Results { y, hn: state.h(), cn: state.c(), ..one.clone() };
                    same_bits(&format!("{what}, without a tape"), &one, &without_tape)?;
                }
            }
        }
    }

    /// One layer and stacks, both directions, lengths; on one thread and on several; each number of steps
    /// between checkpoints, with one tape that changes from call to call what it keeps.
    #[test]
    fn checkpoints_change_nothing(case in trained(cases()), threads in 1..=3usize) {
        let data = Data::of(&case);
        let level = Level::best();
        let all = run(&case, &data, level, 1);
        let layer = case.layer(|builder| builder.level(level).threads(Threads::Count(threads)));
        for every in 1..=case.steps + 1 {
            let mut tape = Tape::keeping(Keep::Every(every));
            let some = run_with_tape(&layer, &case, &data, &mut tape);
            same_bits(&format!("checkpoints every {every} steps, {threads} threads"), &all, &some)?;
            prop_assert_eq!(tape.bytes(), layer.tape_bytes(data.dims(&case), Keep::Every(every)).unwrap());
        }
        // A budget keeps as much as fits. The smallest budget is the least that any number of steps needs.
        let dims = data.dims(&case);
        let planes = |every: usize| layer.tape_bytes(dims, Keep::Every(every)).unwrap();
        let all_bytes = layer.tape_bytes(dims, Keep::All).unwrap();
        // No row has more checkpoints than states.
        prop_assert!((1..=case.steps + 1).all(|every| planes(every) <= all_bytes));
        prop_assert_eq!(layer.tape_bytes(dims, Keep::Within(all_bytes)), Ok(all_bytes));
        let least = (1..=case.steps).map(planes).min().unwrap();
        if let Ok(bytes) = layer.tape_bytes(dims, Keep::Within(all_bytes - 1)) {
            prop_assert!(least <= bytes && bytes < all_bytes);
        }
        let mut tape = Tape::keeping(Keep::Within(0));
        let mut state = layer.zero_state(case.batch).unwrap();
        let refused = layer.forward_train(
            &data.x, data.dims(&case), &mut state, None, &mut tape, 0, &mut Workspace::new());
        prop_assert!(refused.is_err(), "no room for anything");
    }

    #[test]
    fn fused_levels_agree(case in trained(cases())) {
        let data = Data::of(&case);
        let fused: Vec<Level> = Level::available().filter(|&level| level != Level::Portable).collect();
        for pair in fused.windows(2) {
            let (a, b) = (run(&case, &data, pair[0], 1), run(&case, &data, pair[1], 1));
            same_bits(&format!("{} and {}", pair[0], pair[1]), &a, &b)?;
        }
    }

    #[test]
    fn packed_again_is_packed_once(case in trained(cases()), junk in any::<f32>()) {
        let data = Data::of(&case);
        for level in Level::available() {
            let mut again = layer(&case, level);
            let want = run_layer(&again, &case, &data);
            // Other weights in between, in every place that packing pads or turns.
            let own = again.update(|parameters| {
                let own = parameters.to_vec();
                parameters.fill(junk);
                own
            });
            run_layer(&again, &case, &data);
            again.update(|parameters| parameters.copy_from_slice(&own));
            same_bits("packed again", &run_layer(&again, &case, &data), &want)?;
            // Another network that has been forward and back with its own, and is then given these.
            let mut other = layer(&Case { seed: case.seed.wrapping_add(1), ..case.clone() }, level);
            run_layer(&other, &case, &data);
            other.update(|parameters| parameters.copy_from_slice(&own));
            same_bits("packed over others", &run_layer(&other, &case, &data), &want)?;
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others(case in that_train(cases()), row in any::<prop::sample::Index>()) {
        let case = Case { layout: Layout::BatchFirst, ..case };
        let row = row.index(case.batch);
        let mut data = Data::of(&case);
        // All other rows, and the padding of this one, are NaN.
        let length = data.lengths.as_ref().map_or(case.steps, |lengths| lengths[row]);
        let poison = |values: &mut [f32], width: usize| {
            for (place, values) in values.chunks_exact_mut(width).enumerate() {
                if place / case.steps != row || place % case.steps >= length {
                    values.fill(f32::NAN);
                }
            }
        };
        poison(&mut data.x, case.input);
        poison(&mut data.dy, case.directions() * case.outputs());
        let alone = Case { batch: 1, steps: length, ragged: false, ..case.clone() };
        let cut =
            |values: &[f32], width: usize| values[row * case.steps * width..][..length * width].to_vec();
        let state = |values: &[f32], width: usize| -> Vec<f32> {
            let rows = values.chunks_exact(width).skip(row).step_by(case.batch);
            rows.flatten().copied().collect()
        };
        let h = |values: &[f32]| state(values, case.outputs());
        let c = |values: &[f32]| state(values, case.hidden);
        let width = case.directions() * case.outputs();
        let data_alone = Data {
            x: cut(&data.x, case.input),
            lengths: None,
            h0: h(&data.h0),
            c0: c(&data.c0),
            dy: cut(&data.dy, width),
            dhn: h(&data.dhn),
            dcn: c(&data.dcn),
        };
        for level in Level::available() {
            let layer = layer(&case, level);
            let (all, one) = (run_layer(&layer, &case, &data), run_layer(&layer, &alone, &data_alone));
            for (name, all, one) in [
                ("y", cut(&all.y, width), one.y),
                ("hn", h(&all.hn), one.hn),
                ("cn", c(&all.cn), one.cn),
                ("dx", cut(&all.dx, case.input), one.dx),
                ("dh0", h(&all.dh0), one.dh0),
                ("dc0", c(&all.dc0), one.dc0),
            ] {
                prop_assert_eq!(bits(&all), bits(&one), "{}, {}", level, name);
            }
            // Past its end a row is zero.
            for (values, width) in [(&all.y, width), (&all.dx, case.input)] {
                let row = &values[row * case.steps * width..][..case.steps * width];
                prop_assert!(row[length * width..].iter().all(|&v| v == 0.0));
            }
        }
    }

    #[test]
    fn steps_and_pieces_equal_the_whole(case in trained(cases()), cut in any::<prop::sample::Index>()) {
        let case = Case { layout: Layout::TimeMajor, direction: Direction::Forward, ragged: false, ..case };
        let case =
            Case { options: Options { activations_reverse: None, ..case.options.clone() }, ..case };
        let data = Data::of(&case);
        let width = case.outputs();
        for level in Level::available() {
            let layer = layer(&case, level);
            let start = || {
                let mut state = layer.zero_state(case.batch).unwrap();
                state.set_h(&data.h0).unwrap();
                state.set_c(&data.c0).unwrap();
                state
            };
            let mut workspace = Workspace::new();
            let mut whole = vec![0.0; data.dy.len()];
            let mut state = start();
            let dims = Dims::new(case.batch, case.steps);
            layer.forward(&data.x, dims, &mut state, Some(&mut whole), &mut workspace).unwrap();

            let mut stepped = vec![0.0; whole.len()];
            let mut step_state = start();
            let x = data.x.chunks_exact(case.batch * case.input);
            for (x, y) in x.zip(stepped.chunks_exact_mut(case.batch * width)) {
                layer.step(x, &mut step_state, Some(y), &mut workspace).unwrap();
            }
            prop_assert_eq!(bits(&whole), bits(&stepped));
            prop_assert_eq!(bits(&state.h()), bits(&step_state.h()));
            prop_assert_eq!(bits(&state.c()), bits(&step_state.c()));

            let cut = cut.index(case.steps + 1);
            let mut pieces = vec![0.0; whole.len()];
            let mut piece_state = start();
            let (x0, x1) = data.x.split_at(cut * case.batch * case.input);
            let (y0, y1) = pieces.split_at_mut(cut * case.batch * width);
            for (x, y, steps) in [(x0, y0, cut), (x1, y1, case.steps - cut)] {
                let dims = Dims::new(case.batch, steps);
                layer.forward(x, dims, &mut piece_state, Some(y), &mut workspace).unwrap();
            }
            prop_assert_eq!(bits(&whole), bits(&pieces));
            prop_assert_eq!(bits(&state.h()), bits(&piece_state.h()));
            prop_assert_eq!(bits(&state.c()), bits(&piece_state.c()));
        }
    }
}

/// With few rows, the input products of a chunk of steps are done beforehand; in larger layers with more rows
/// too. Time is cut into pieces where rows end, and each piece chooses for the rows that are left. Five rows
/// of 128 units have some fifty steps in a chunk, and a single row has all steps in one chunk; at 208 units,
/// 24 rows are too many at first.
#[test]
fn chunks_and_pieces_change_nothing() {
    for (kind, batch, steps, input, hidden) in [
        (CellKind::Lstm, 5, 130, 3, 128),
        (CellKind::Lstm, 24, 40, 208, 208),
        (CellKind::GruResetBefore, 24, 40, 250, 250),
    ] {
        for direction in [Direction::Forward, Direction::Reverse] {
            let simple = Case::simple(kind, batch, steps, input, hidden);
            let case =
                Case { direction, layout: Layout::BatchFirst, ragged: true, initial_state: true, ..simple };
            let data = Data::of(&case);
            let layer = layer(&case, Level::best());
            let all = run_layer(&layer, &case, &data);
            for every in [60, 47, 7] {
                let mut tape = Tape::keeping(Keep::Every(every));
                let some = run_with_tape(&layer, &case, &data, &mut tape);
                same_bits(&format!("{direction:?}, checkpoints every {every} steps"), &all, &some).unwrap();
            }
            for schedule in [Schedule::Auto, Schedule::Rows, Schedule::Units] {
                let layer = case.layer(|builder| {
                    builder.level(Level::best()).threads(Threads::Count(3)).schedule(schedule)
                });
                let shared = run_layer(&layer, &case, &data);
                same_bits(&format!("{direction:?}, {schedule:?}"), &all, &shared).unwrap();
            }
            for row in 0..batch {
                let x = &data.x[row * steps * input..][..steps * input];
                let mut state = layer.zero_state(1).unwrap();
                state.set_h(&data.h0[row * hidden..][..hidden]).unwrap();
                if kind == CellKind::Lstm {
                    state.set_c(&data.c0[row * hidden..][..hidden]).unwrap();
                }
                let mut y = vec![f32::NAN; steps * hidden];
                let lengths = data.lengths.as_ref().map(|lengths| vec![lengths[row]]);
                let mut dims = Dims::new(1, steps);
                if let Some(lengths) = &lengths {
                    dims = dims.with_lengths(lengths);
                }
                layer.forward(x, dims, &mut state, Some(&mut y), &mut Workspace::new()).unwrap();
                assert_eq!(bits(&y), bits(&all.y[row * y.len()..][..y.len()]), "{direction:?}, row {row}");
            }
        }
    }
}

/// On the way back, a later phase of a step reads gradients that an earlier one has left, of all units, while
/// the other thread is done with its own. In bf16 none of them may be written again, though it were with the
/// same bits: Miri and ThreadSanitizer tell.
#[test]
fn phases_shared_by_units_change_nothing() {
    let norm = Options { layer_norm: Some(1e-3), ..Options::default() };
    let projection = Options { projection: Some(36), ..Options::default() };
    for (kind, options) in [
        (CellKind::Lstm, norm.clone()),
        (CellKind::GruResetAfter, norm),
        (CellKind::GruResetBefore, Options::default()),
        (CellKind::Lstm, projection),
    ] {
        let case = Case { options, precision: Precision::Bf16, ..Case::simple(kind, 1, 2, 2, 40) };
        let data = Data::of(&case);
        for level in Level::available() {
            let layer = case
                .layer(|builder| builder.level(level).threads(Threads::Count(2)).schedule(Schedule::Units));
            let one = run(&case, &data, level, 1);
            same_bits(&format!("{case:?}, {level}"), &one, &run_layer(&layer, &case, &data)).unwrap();
        }
    }
}

/// Stages that take more than a millisecond are cut into several shares of the units for each thread, which
/// any of them claims.
#[test]
fn long_stages_change_nothing() {
    for (kind, batch) in [(CellKind::Lstm, 160), (CellKind::GruResetBefore, 420)] {
        let case = Case::simple(kind, batch, 2, 4, 520);
        let data = Data::of(&case);
        for level in Level::available() {
            let one = run(&case, &data, level, 1);
            for threads in [2, 3] {
                let layer = case.layer(|builder| {
                    builder.level(level).threads(Threads::Count(threads)).schedule(Schedule::Units)
                });
                let what = format!("{kind:?}, {level}, {threads} threads");
                same_bits(&what, &one, &run_layer(&layer, &case, &data)).unwrap();
            }
        }
    }
}

/// Backward of large layers goes gate by gate with many rows, and through all gates at once with few rows;
/// threads may share the rows. (From 1366 units on, the level with the smallest vectors takes three gates one
/// by one, and the other levels two gates.)
fn products_gate_by_gate_change_nothing(kind: CellKind, seed: u64) {
    for dropout in [0.0, 0.25] {
        let mut case = Case { ragged: true, seed, ..Case::simple(kind, 40, 3, 20, 1400) };
        case.options.recurrent_dropout = dropout;
        case.options.zoneout = [dropout, 0.0];
        // The second direction adds to the gradient that the first has left.
        case.direction = if dropout > 0.0 { Direction::Forward } else { Direction::Both };
        let data = Data::of(&case);
        for level in Level::available() {
            let one = run(&case, &data, level, 1);
            let layer = case
                .layer(|builder| builder.level(level).threads(Threads::Count(8)).schedule(Schedule::Rows));
            same_bits(&format!("{kind:?}, {level}"), &one, &run_layer(&layer, &case, &data)).unwrap();
        }
    }
}

// (Each by itself, so that they run side by side: they take half of this program's time.)

#[test]
fn products_of_an_lstm_gate_by_gate_change_nothing() {
    products_gate_by_gate_change_nothing(CellKind::Lstm, 1);
}

#[test]
fn products_of_a_gru_gate_by_gate_change_nothing() {
    products_gate_by_gate_change_nothing(CellKind::GruResetAfter, 2);
}

#[test]
fn products_of_a_gru_that_resets_before_gate_by_gate_change_nothing() {
    products_gate_by_gate_change_nothing(CellKind::GruResetBefore, 3);
}

/// The steps of a single row read weights that are about as large as a cache to and fro. Rows that share them
/// are read one way: a row has the same bits alone, in a sequence and step by step.
#[test]
fn weights_read_to_and_fro_change_nothing() {
    use CellKind::{ElmanTanh, GruResetAfter, GruResetBefore, Lstm, LstmMultiplicative, MinLstm, Slstm};
    let kinds = [Lstm, GruResetAfter, GruResetBefore, ElmanTanh, LstmMultiplicative, MinLstm, Slstm];
    // (Of 16 units a step is made ready on each level: their weights are as large by their inputs.)
    let sizes = [(400, 16), (3, 40), (3, 56), (3, 72), (3, 136), (3, 250), (3, 420)];
    for (kind, (input, hidden)) in kinds.into_iter().flat_map(|kind| sizes.map(|sizes| (kind, sizes))) {
        let (batch, steps) = (2, 5);
        let case = Case { layers: 2, ..Case::simple(kind, batch, steps, input, hidden) };
        let data = Data::of(&case);
        let row_of = |all: &[f32], row: usize, width: usize| -> Vec<f32> {
            all.chunks_exact(batch * width).flat_map(|step| step[row * width..][..width].to_vec()).collect()
        };
        for (level, precision) in on_each_level(Precision::ALL) {
            let layer =
                case.layer(|builder| builder.level(level).precision(precision).threads(Threads::Count(1)));
            let forward = |rows: usize, x: &[f32], cut: usize| {
                let (mut state, mut workspace) = (layer.zero_state(rows).unwrap(), Workspace::new());
                let mut y = vec![f32::NAN; rows * steps * hidden];
                let parts = x.chunks(rows * cut * input).zip(y.chunks_mut(rows * cut * hidden));
                for (x, y) in parts {
                    let dims = Dims::new(rows, x.len() / (rows * input));
                    layer.forward(x, dims, &mut state, Some(y), &mut workspace).unwrap();
                }
                y
            };
            let together = forward(batch, &data.x, steps);
            for row in 0..batch {
                let (x, want) = (row_of(&data.x, row, input), bits(&row_of(&together, row, hidden)));
                for cut in [1, 2, steps] {
                    let what =
                        format!("{kind:?}, {hidden} units, {level}, {precision:?}, {cut} steps a call");
                    assert!(bits(&forward(1, &x, cut)) == want, "{what}");
                }
                let (mut state, mut workspace) = (layer.zero_state(1).unwrap(), Workspace::new());
                let mut y = vec![f32::NAN; steps * hidden];
                for (x, y) in x.chunks_exact(input).zip(y.chunks_exact_mut(hidden)) {
                    layer.step(x, &mut state, Some(y), &mut workspace).unwrap();
                }
                assert!(bits(&y) == want, "{kind:?}, {hidden} units, {level}, {precision:?}, steps");
            }
        }
    }
}

/// What a head makes does not depend on the state of another, though both are in one vector: also where that
/// is NaN.
#[test]
fn a_head_does_not_see_the_others() {
    for (hidden, heads) in [(64, 4), (48, 2), (24, 2), (20, 4), (9, 9)] {
        let size = hidden / heads;
        let mut case = Case::simple(CellKind::Slstm, 5, 4, 3, hidden);
        case.options.heads = heads;
        let data = Data::of(&case);
        let mut poisoned = data.clone();
        for h in poisoned.h0.chunks_exact_mut(hidden) {
            h[size..2 * size].fill(f32::NAN);
        }
        for (level, precision) in on_each_level(Precision::ALL) {
            let layer = case.layer(|builder| builder.level(level).precision(precision));
            let y = |data: &Data| {
                let mut state = layer.zero_state(case.batch).unwrap();
                state.set_h(&data.h0).unwrap();
                let mut y = vec![0.0; data.dy.len()];
                layer
                    .forward(&data.x, data.dims(&case), &mut state, Some(&mut y), &mut Workspace::new())
                    .unwrap();
                y
            };
            for (n, (&a, &b)) in y(&data).iter().zip(&y(&poisoned)).enumerate() {
                let own = n % hidden / size == 1;
                let what = format!("{level}, {precision}, {heads} heads of {size}: value {n}");
                assert!(if own { b.is_nan() } else { bits_of(a) == bits_of(b) }, "{what}: {a} and {b}");
            }
        }
    }
}

/// Heads are networks of their own that see the same inputs: each has the bits of its outputs, states and
/// gradients. (dx has not: it is the sum over all heads.) They begin on a line and within one, and have up to
/// some lines.
#[test]
fn each_head_is_a_network_by_itself() {
    for (hidden, heads) in [(48, 3), (20, 4), (33, 11), (105, 3), (136, 2)] {
        let size = hidden / heads;
        let mut case = Case::simple(CellKind::Slstm, 5, 3, 4, hidden);
        case.options.heads = heads;
        let data = Data::of(&case);
        let alone = Case { hidden: size, options: Options::default(), ..case.clone() };
        for (level, case) in
            Level::available().flat_map(|level| case.in_each_that_trains().map(move |case| (level, case)))
        {
            let whole = layer(&case, level);
            let results = run_layer(&whole, &case, &data);
            for units in (0..heads).map(|head| head * size..(head + 1) * size) {
                // Of all gates of a tensor, or of all rows of a state, those of these units.
                let of_head = |values: &[f32], width: usize| -> Vec<f32> {
                    let all = values.chunks_exact(hidden * width);
                    all.flat_map(|all| &all[units.start * width..units.end * width]).copied().collect()
                };
                let parameters = |values: &[f32]| -> Vec<f32> {
                    let tensors = whole.named_parameters().map(|tensor| &values[tensor.range]);
                    tensors.flat_map(|values| of_head(values, values.len() / (4 * hidden))).collect()
                };
                let state = |values| of_head(values, 1);
                let data = Data {
                    x: data.x.clone(),
                    lengths: None,
                    h0: state(&data.h0),
                    c0: state(&data.c0),
                    dy: state(&data.dy),
                    dhn: state(&data.dhn),
                    dcn: state(&data.dcn),
                };
                let alone = Case { precision: case.precision, ..alone.clone() };
                let mut head = layer(&alone, level);
                head.update(|to| to.copy_from_slice(&parameters(whole.parameters())));
                let own = run_layer(&head, &alone, &data);
                let want = Results {
                    y: state(&results.y),
                    hn: state(&results.hn),
                    cn: state(&results.cn),
                    dx: own.dx.clone(),
                    dh0: state(&results.dh0),
                    dc0: state(&results.dc0),
                    parameters: parameters(&results.parameters),
                };
                let what = format!("{level}, {}, units {units:?} of {hidden}", case.precision);
                same_bits(&what, &want, &own).unwrap();
            }
        }
    }
}
