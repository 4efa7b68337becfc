//! On one thread, with memory that the caller holds, calls allocate nothing: no step, no sequence and no
//! training step. And memory does not grow with the number of calls, on one thread or several.

#[path = "common/counting.rs"]
mod counting;

use counting::{allocations, held_by_all_threads, held_by_this_thread};
use fused_rnn::{
    Accumulate, CellKind, Dims, Direction, Gradients, Keep, Level, Precision, Recording, Schedule, Tape,
    Threads, Upstream, Workspace,
};
use fused_rnn_tests::{Case, Data, Options};
use std::sync::RwLock;

/// What a thread asks for is counted thread by thread, beside other tests. Where the bytes of all threads are
/// counted, the test is alone.
static OTHERS: RwLock<()> = RwLock::new(());

#[test]
fn calls_allocate_nothing_once_the_workspace_has_grown() {
    let _beside = OTHERS.read();
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1, 2, 3]))), 1, "the count counts");
    for &kind in CellKind::ALL {
        for (batch, ragged) in [(1, false), (9, false), (9, true)] {
            let case = Case { layers: 3, ragged, ..Case::simple(kind, batch, 40, 5, 33) };
            for &precision in Precision::ALL {
                allocates_nothing(&Case { precision, ..case.clone() }, Keep::All, false);
            }
        }
        // With everything that a cell can have besides, both directions, masks, resets and checkpoints.
        let (lstm, cell_state) = (
            kind == CellKind::Lstm,
            if fused_rnn_tests::has_options_of_cell_state(kind) { 0.4 } else { 0.0 },
        );
        let options = Options {
            clip: Some(1.0).filter(|_| kind != CellKind::Slstm),
            peephole: lstm,
            coupled: lstm,
            projection: lstm.then_some(20),
            heads: if kind == CellKind::Slstm { 3 } else { 1 },
            dropout: 0.4,
            recurrent_dropout: fused_rnn_tests::recurrent_dropout(kind, 0.4),
            input_dropout: 0.4,
            zoneout: [0.4, cell_state],
            ..Options::default()
        };
        let case = Case { layers: 2, ragged: true, options, ..Case::simple(kind, 9, 40, 5, 33) };
        for (direction, keep) in [
            (Direction::Both, Keep::All),
            (Direction::Forward, Keep::Every(7)),
            (Direction::Reverse, Keep::Within(1 << 19)),
        ] {
            for &precision in Precision::ALL {
                allocates_nothing(&Case { direction, precision, ..case.clone() }, keep, true);
            }
        }
        if matches!(kind, CellKind::Lstm | CellKind::GruResetAfter) {
            let options = Options { layer_norm: Some(1e-3), ..Options::default() };
            allocates_nothing(&Case { options, ..case }, Keep::Every(3), true);
        }
    }
}

/// Forward, step, and where the precision trains forward with a tape and backward, the second time.
fn allocates_nothing(case: &Case, keep: Keep, with_pattern: bool) {
    let data = Data::of(case);
    let flags = |every| -> Vec<bool> { (0..case.batch * case.steps).map(|at| at % every == 0).collect() };
    let (masked, resets) = (flags(3), flags(11));
    let mask: Vec<bool> = masked.iter().map(|masked| !masked).collect();
    for level in Level::available() {
        let layer = case.layer(|builder| builder.level(level).threads(Threads::Count(1)));
        let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
        let mut state = layer.zero_state(case.batch).unwrap();
        let (mut y, mut dx) = (vec![0.0; data.dy.len()], vec![0.0; data.x.len()]);
        let (mut dh0, mut gradients) = (vec![0.0; data.h0.len()], vec![0.0; layer.parameters().len()]);
        let mut dims = data.dims(case);
        if with_pattern {
            dims = dims.with_mask(&mask).with_resets(&resets);
        }
        let recording = Recording::new(dims).with_keep(keep);
        let mut slice = vec![0.0; layer.tape_len(dims, keep).unwrap()];
        let mut round = || {
            layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
            if case.direction == Direction::Forward {
                let frame = &data.x[..case.batch * case.input];
                let y = &mut y[..case.batch * case.outputs()];
                layer.step(frame, &mut state, Some(y), &mut workspace).unwrap();
            }
            if !case.precision.trains() {
                return;
            }
            layer
                .forward_train(&data.x, dims, &mut state, Some(&mut y), &mut tape, 1, &mut workspace)
                .unwrap();
            let upstream = Upstream::default().with_dy(&data.dy).with_dhn(&data.dhn);
            let gradients = Gradients::of_parameters(&mut gradients)
                .with_accumulate(Accumulate::Add)
                .with_dx(&mut dx)
                .with_dh0(&mut dh0);
            layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();

            let (x, to, workspace) = (&data.x, &mut slice[..], &mut workspace);
            layer.forward_train_into(x, recording, &mut state, None, to, workspace).unwrap();
            let gradients = Gradients::default().with_dx(&mut dx);
            layer.backward_from(x, recording, to, upstream, gradients, workspace).unwrap();
        };
        round();
        assert_eq!(allocations(&mut round), 0, "{level}, {keep:?}: {case:?}");
    }
}

/// After `reserve`, already the first call allocates nothing: with the lengths that were reserved, with
/// shorter rows, and one step at a time.
#[test]
fn reserved_memory_is_enough_for_the_first_call() {
    let _beside = OTHERS.read();
    for &kind in CellKind::ALL {
        let recurrent_dropout = fused_rnn_tests::recurrent_dropout(kind, 0.4);
        let options = Options { recurrent_dropout, zoneout: [0.4, 0.0], ..Options::default() };
        let simple = Case::simple(kind, 9, 40, 5, 33);
        let many = Case { layers: 3, direction: Direction::Both, options, ..simple.clone() };
        let flags: Vec<bool> = (0..9 * 40).map(|at| at % 7 == 3).collect();
        let lengths: Vec<usize> = (0..9).map(|row| 40 - 4 * row).collect();
        let cases = [simple.clone(), Case { layers: 3, ..simple }, many];
        for case in cases.iter().flat_map(Case::in_each_that_trains) {
            for (keep, with_flags) in [(Keep::All, false), (Keep::Every(6), false), (Keep::All, true)] {
                let layer = case.layer(|builder| builder.threads(Threads::Count(1)));
                let data = Data::of(&case);
                let (mut workspace, mut state) = (Workspace::new(), layer.zero_state(9).unwrap());
                let full = Dims::new(9, 40);
                let full = if with_flags { full.with_mask(&flags).with_resets(&flags) } else { full };
                layer.reserve(&mut workspace, full, None).unwrap();
                layer.reserve(&mut workspace, Dims::new(9, 1), None).unwrap();
                layer.reserve(&mut workspace, full, Some(keep)).unwrap();
                let mut tape = vec![0.0; layer.tape_len(full, keep).unwrap()];
                let (mut y, mut gradients) = (vec![0.0; data.dy.len()], vec![0.0; layer.parameters().len()]);
                for dims in [full, full.with_lengths(&lengths)] {
                    let count = layer.tape_len(dims, keep).unwrap();
                    let allocated = allocations(|| {
                        layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
                        if case.direction == Direction::Forward {
                            let frame = &data.x[..9 * case.input];
                            layer.step(frame, &mut state, None, &mut workspace).unwrap();
                        }
                        let (x, recording) = (&data.x, Recording::new(dims).with_keep(keep));
                        let (tape, workspace) = (&mut tape[..count], &mut workspace);
                        layer.forward_train_into(x, recording, &mut state, None, tape, workspace).unwrap();
                        let gradients = Gradients::of_parameters(&mut gradients);
                        let upstream = Upstream::default().with_dy(&data.dy);
                        layer.backward_from(x, recording, tape, upstream, gradients, workspace).unwrap();
                    });
                    assert_eq!(allocated, 0, "{keep:?}, flags: {with_flags}, {:?}: {case:?}", dims.lengths);
                }
            }
        }
    }
}

/// The same where steps are taken in turn: of one row with few inputs, or of one step.
#[test]
fn what_is_reserved_for_steps_in_turn_is_enough_for_shorter_rows() {
    let _beside = OTHERS.read();
    for &kind in CellKind::ALL {
        for (batch, steps, precision) in [
            (1, 40, Precision::F32),
            (1, 40, Precision::Int8),
            (1, 1, Precision::Int8),
            (2, 1, Precision::F32),
            (7, 1, Precision::Int8),
        ] {
            let case = Case { layers: 3, precision, ..Case::simple(kind, batch, steps, 5, 33) };
            let layer = case.layer(|builder| builder.threads(Threads::Count(1)));
            let (data, full) = (Data::of(&case), Dims::new(batch, steps));
            let (mut workspace, mut state) = (Workspace::new(), layer.zero_state(batch).unwrap());
            layer.reserve(&mut workspace, full, None).unwrap();
            let (mut y, lengths) = (vec![0.0; data.dy.len()], vec![steps / 2; batch]);
            for dims in [full, full.with_lengths(&lengths), full] {
                let allocated = allocations(|| {
                    layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut workspace).unwrap();
                });
                assert_eq!(allocated, 0, "{:?}: {case:?}", dims.lengths);
            }
        }
    }
}

/// Parameters that are compared and set, states that are copied and blended, final outputs.
#[test]
fn what_stands_around_a_call_allocates_nothing() {
    let _beside = OTHERS.read();
    let case = Case { layers: 2, direction: Direction::Both, ..Case::simple(CellKind::Lstm, 3, 2, 5, 20) };
    let mut layer = case.layer(|builder| builder.threads(Threads::Count(1)));
    let mut own: Vec<Vec<f32>> = layer.named_parameters().map(|tensor| tensor.values.to_vec()).collect();
    own[3][0] += 1.0;
    own[8][0] += 1.0;
    let tensors: Vec<&[f32]> = own.iter().map(Vec::as_slice).collect();
    let (mut state, from, to) =
        (layer.zero_state(3).unwrap(), layer.zero_state(3).unwrap(), layer.zero_state(3).unwrap());
    let (mut h, mut last) = (vec![0.0; 2 * 2 * 3 * 20], vec![0.0; 3 * 2 * 20]);
    let allocated = allocations(|| {
        assert_eq!(layer.set_parameters(&tensors), Ok(true));
        assert_eq!(layer.set_parameters(&tensors), Ok(false));
        state.lerp(&from, &to, 0.5).unwrap();
        state.copy_from(&from).unwrap();
        state.select_rows(&to, &[2, 1, 0]).unwrap();
        state.set_h(&h).unwrap();
        state.copy_h_to(&mut h).unwrap();
        state.copy_final_output_to(&mut last).unwrap();
    });
    assert_eq!(allocated, 0);
}

/// Fewer and fewer rows run in such a batch; each number of rows chooses its own products and finds room for
/// them.
#[test]
fn rows_of_other_lengths_allocate_nothing() {
    let _beside = OTHERS.read();
    for (kind, batch, steps, input, hidden) in [
        (CellKind::ElmanTanh, 6, 2, 1, 1),
        (CellKind::Lstm, 8, 40, 64, 64),
        (CellKind::Lstm, 24, 40, 208, 208),
    ] {
        for keep in [Keep::All, Keep::Every(7)] {
            let case = Case::simple(kind, batch, steps, input, hidden);
            let data = Data::of(&case);
            let lengths: Vec<usize> = (0..batch).map(|row| steps - row * steps / batch).collect();
            let layer = case.layer(|builder| builder.threads(Threads::Count(1)));
            let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
            let mut state = layer.zero_state(batch).unwrap();
            let mut gradients = vec![0.0; layer.parameters().len()];
            let mut round = |dims| {
                layer.forward(&data.x, dims, &mut state, None, &mut workspace).unwrap();
                layer.forward_train(&data.x, dims, &mut state, None, &mut tape, 1, &mut workspace).unwrap();
                let upstream = Upstream::default().with_dy(&data.dy);
                let gradients = Gradients::of_parameters(&mut gradients);
                layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
            };
            let dims = Dims::new(batch, steps);
            round(dims);
            assert_eq!(allocations(|| round(dims.with_lengths(&lengths))), 0, "{keep:?}: {case:?}");
        }
    }
}

#[test]
fn nothing_grows_with_a_hundred_thousand_calls() {
    let _beside = OTHERS.read();
    CellKind::ALL.iter().for_each(|&kind| nothing_grows(kind, 1, 100_000));
}

/// Fewer, as the threads wait for each other. (The last of the tests by its name, so that no other waits.)
#[test]
fn with_two_threads_nothing_grows_with_ten_thousand_calls() {
    let _alone = OTHERS.write();
    CellKind::ALL.iter().for_each(|&kind| nothing_grows(kind, 2, 10_000));
}

fn nothing_grows(kind: CellKind, threads: usize, calls: usize) {
    let case = Case { layers: 2, ragged: true, ..Case::simple(kind, 4, 3, 2, 5) };
    let data = Data::of(&case);
    // Forced, or so small a network would stay on one thread.
    let schedule = if threads == 1 { Schedule::Auto } else { Schedule::Rows };
    let builder = case.builder().threads(Threads::Count(threads)).schedule(schedule);
    let mut layer = builder.build().unwrap();
    let (mut tape, mut workspace) = (Tape::keeping(Keep::Every(2)), Workspace::new());
    let mut state = layer.zero_state(4).unwrap();
    let mut gradients = vec![0.0; layer.parameters().len()];
    let mut round = |call: usize| {
        layer.step(&data.x[..8], &mut state, None, &mut workspace).unwrap();
        if call.is_multiple_of(10) {
            let dims = data.dims(&case);
            let x = &data.x;
            layer.forward_train(x, dims, &mut state, None, &mut tape, 1, &mut workspace).unwrap();
            let upstream = Upstream::default().with_dy(&data.dy);
            let gradients = Gradients::of_parameters(&mut gradients);
            layer.backward(x, &tape, upstream, gradients, &mut workspace).unwrap();
            layer.update(|parameters| parameters[0] += 1e-6);
        }
    };
    (0..1000).for_each(&mut round);
    // On several threads, the pool's queues grow and shrink, and the test harness allocates too.
    let held = || if threads == 1 { held_by_this_thread() } else { held_by_all_threads() };
    let most = if threads == 1 { 0 } else { 1 << 16 };
    let before = held();
    (0..calls).for_each(&mut round);
    let grown = held() - before;
    assert!(grown <= most, "{grown} bytes more after {calls} calls of {case:?} on {threads} threads");
}

/// A workspace says the bytes that it gives back, but for the lists of its buffers. (There are so many steps
/// that each buffer has more than those.)
#[test]
fn a_workspace_says_what_it_holds() {
    const LISTS: isize = 2000;
    let _beside = OTHERS.read();
    for &kind in CellKind::ALL {
        let options = Options {
            projection: (kind == CellKind::Lstm).then_some(7),
            zoneout: [0.4, 0.0],
            ..Options::default()
        };
        let case = Case { layers: 2, ragged: true, options, ..Case::simple(kind, 3, 1500, 5, 9) };
        let data = Data::of(&case);
        for case in case.in_each_that_trains() {
            for keep in [Keep::All, Keep::Every(100)] {
                let layer = case.layer(|builder| builder.threads(Threads::Count(1)));
                let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
                fused_rnn_tests::run_layer_with(&layer, &case, &data, &mut tape, &mut workspace);
                let mut state = layer.zero_state(3).unwrap();
                layer.step(&data.x[..3 * 5], &mut state, None, &mut workspace).unwrap();
                let (bytes, held) = (workspace.bytes() as isize, held_by_this_thread());
                drop(workspace);
                let given_back = held - held_by_this_thread();
                let what = format!("{given_back} given back of {bytes}: {keep:?}, {case:?}");
                assert!((bytes..bytes + LISTS).contains(&given_back), "{what}");
            }
        }
    }
}
