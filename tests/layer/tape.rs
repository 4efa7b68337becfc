//! A tape in memory of the caller's: the bits of a `Tape`, whatever the alignment and the contents of the
//! memory; sizes that can be computed elsewhere; errors before writes.

use crate::drawn::{initial, with_flags};
use fused_rnn::{
    CellKind, Dims, Direction, Error, Gradients, Keep, Level, Recording, Recurrent, Rng, Tape, Threads,
    Upstream, Workspace,
};
use fused_rnn_tests::strategies::{cases_from, trained};
use fused_rnn_tests::{Case, Data, Options, bits, plain_activations, property_cases};
use proptest::prelude::*;

const SEED: u64 = 5;

/// Everything that forward and backward of a case write.
#[derive(Debug, PartialEq)]
struct Written {
    y: Vec<u32>,
    hn: Vec<u32>,
    cn: Vec<u32>,
    gradients: [Vec<u32>; 4],
}

/// Somewhere that gradients go.
fn room(layer: &Recurrent, data: &Data) -> [Vec<f32>; 4] {
    [layer.parameters().len(), data.x.len(), data.h0.len(), data.c0.len()].map(|len| vec![f32::NAN; len])
}

fn upstream(data: &Data) -> Upstream<'_> {
    Upstream::default().with_dy(&data.dy).with_dhn(&data.dhn).with_dcn(&data.dcn)
}

fn gradients([parameters, dx, dh0, dc0]: &mut [Vec<f32>; 4]) -> Gradients<'_> {
    Gradients::of_parameters(parameters).with_dx(dx).with_dh0(dh0).with_dc0(dc0)
}

/// With a tape of the crate's.
fn with_tape(layer: &Recurrent, case: &Case, data: &Data, dims: Dims<'_>, keep: Keep) -> Written {
    let (mut state, mut y) = (initial(layer, case, data), vec![f32::NAN; data.dy.len()]);
    let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
    layer.forward_train(&data.x, dims, &mut state, Some(&mut y), &mut tape, SEED, &mut workspace).unwrap();
    let mut to = room(layer, data);
    layer.backward(&data.x, &tape, upstream(data), gradients(&mut to), &mut workspace).unwrap();
    Written { y: bits(&y), hn: bits(&state.h()), cn: bits(&state.c()), gradients: to.map(|to| bits(&to)) }
}

/// With floats at an odd place of a slice in which nothing stands, and from another copy of them.
fn with_slice(
    layer: &Recurrent,
    case: &Case,
    data: &Data,
    recording: Recording<'_>,
    workspace: &mut Workspace,
) -> Written {
    let (mut state, mut y) = (initial(layer, case, data), vec![f32::NAN; data.dy.len()]);
    let len = layer.tape_len(recording.dims, recording.keep).unwrap();
    let mut memory = vec![f32::NAN; len + 7];
    let tape = &mut memory[3..3 + len];
    layer.forward_train_into(&data.x, recording, &mut state, Some(&mut y), tape, workspace).unwrap();
    let mut copy = vec![f32::NAN; 6];
    copy.extend_from_slice(tape);
    assert!(memory[..3].iter().chain(&memory[3 + len..]).all(|value| value.is_nan()), "past the tape");
    let mut to = room(layer, data);
    layer
        .backward_from(&data.x, recording, &copy[6..], upstream(data), gradients(&mut to), workspace)
        .unwrap();
    Written { y: bits(&y), hn: bits(&state.h()), cn: bits(&state.c()), gradients: to.map(|to| bits(&to)) }
}

fn keeps() -> impl Strategy<Value = Keep> {
    prop_oneof![Just(Keep::All), (0..6usize).prop_map(Keep::Every), Just(Keep::Within(1 << 15))]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(150),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_slice_gives_the_bits_of_a_tape(
        (case, flags) in with_flags(trained(cases_from(0))),
        keep in keeps(),
        threads in 1..=2usize,
    ) {
        let data = Data::of(&case);
        let dims = flags.dims(&case, &data);
        let mut workspace = Workspace::new();
        for level in Level::available() {
            let layer = case.layer(|builder| builder.level(level).threads(Threads::Count(threads)));
            if let Err(Error::Budget { .. }) = layer.tape_len(dims, keep) {
                continue;
            }
            let want = with_tape(&layer, &case, &data, dims, keep);
            let recording = Recording::new(dims).with_keep(keep).with_seed(SEED);
            // A step in between finds another order of rows, and so does the other call after it.
            for _ in 0..2 {
                prop_assert_eq!(&with_slice(&layer, &case, &data, recording, &mut workspace), &want);
                if case.direction == Direction::Forward {
                    let mut state = initial(&layer, &case, &data);
                    layer.step(&vec![0.5; case.batch * case.input], &mut state, None, &mut workspace).unwrap();
                }
            }
            prop_assert_eq!(4 * layer.tape_len(dims, keep).unwrap(), layer.tape_bytes(dims, keep).unwrap());
        }
    }

    /// A slice may be anything: also floats that no forward pass has made. Then the gradients mean nothing,
    /// but nothing is read or written elsewhere, and the next call is right again.
    #[test]
    fn any_floats_are_a_tape(
        (case, flags) in with_flags(trained(cases_from(0))),
        keep in keeps(),
        seed in any::<u64>(),
    ) {
        let data = Data::of(&case);
        let dims = flags.dims(&case, &data);
        let layer = case.layer(|builder| builder.threads(Threads::Count(1)));
        prop_assume!(layer.tape_len(dims, keep).is_ok());
        let (mut rng, mut workspace) = (Rng::new(seed), Workspace::new());
        let tape: Vec<f32> = (0..layer.tape_len(dims, keep).unwrap())
            .map(|_| f32::from_bits(rng.bits() as u32))
            .collect();
        let recording = Recording::new(dims).with_keep(keep).with_seed(SEED);
        let mut to = room(&layer, &data);
        layer
            .backward_from(&data.x, recording, &tape, upstream(&data), gradients(&mut to), &mut workspace)
            .unwrap();
        let want = with_tape(&layer, &case, &data, dims, keep);
        prop_assert_eq!(with_slice(&layer, &case, &data, recording, &mut workspace), want);
    }

    /// The documentation of `Tape` lists the parts; a framework computes their sum from symbols.
    #[test]
    fn the_length_is_what_the_documentation_says(case in trained(cases_from(0))) {
        let data = Data::of(&case);
        let layer = case.layer(|builder| builder);
        let options = &case.options;
        let padded = |size: usize| size.div_ceil(16) * 16;
        let (strands, hidden) = (case.layers * case.directions(), padded(case.hidden));
        let lstm = case.kind == CellKind::Lstm;
        let states = 1 + usize::from(case.kind.has_cell_state())
            + if case.kind == CellKind::Slstm { 2 } else { 0 }
            + usize::from(options.recurrent_dropout > 0.0)
            + usize::from(options.zoneout[1] > 0.0);
        let config = layer.config();
        let used = match case.direction {
            Direction::Forward => &[false][..],
            Direction::Reverse => &[true],
            _ => &[false, true],
        };
        let usual = plain_activations(case.kind);
        let plain = used.iter().all(|&reverse| config.activations(reverse) == usual)
            && options.clip.is_none()
            && options.zoneout[0] == 0.0;
        let gates = match (case.kind, options.layer_norm.is_some()) {
            (CellKind::ElmanTanh | CellKind::ElmanRelu | CellKind::IndRnn, _) => usize::from(!plain),
            (CellKind::MinGru, _) => 2,
            (CellKind::MinLstm, _) => 3,
            (CellKind::LstmMultiplicative, _) => 7,
            (CellKind::Slstm, _) => 5,
            (_, true) => if lstm { 12 } else { 8 },
            (_, false) => 4 + usize::from(options.projection.is_some()),
        };
        let lengths = data.lengths.clone().unwrap_or(vec![case.steps; case.batch]);
        let sum: usize = lengths.iter().sum();
        let outputs = padded(case.batch * case.steps * case.directions() * case.outputs());
        let besides = (case.layers - 1) * outputs
            + if options.recurrent_dropout > 0.0 { strands * case.batch * hidden } else { 0 }
            + if options.input_dropout > 0.0 { case.batch * case.steps * case.input } else { 0 };
        let all = strands * hidden * ((case.batch + sum) * states + gates * (sum | 1)) + besides;
        prop_assert_eq!(layer.tape_len(data.dims(&case), Keep::All), Ok(all));
        for every in 1..4 {
            let kept: usize = lengths.iter().map(|&length| 1 + length.saturating_sub(1) / every).sum();
            let len = layer.tape_len(data.dims(&case), Keep::Every(every));
            prop_assert_eq!(len, Ok(strands * hidden * kept * states + besides));
        }
    }
}

#[test]
fn a_slice_of_another_length_is_refused_and_nothing_is_written() {
    let options = Options { recurrent_dropout: 0.3, input_dropout: 0.3, ..Options::default() };
    let case = Case { layers: 2, options, ragged: true, ..Case::simple(CellKind::Lstm, 3, 6, 2, 5) };
    let (data, layer) = (Data::of(&case), case.layer(|builder| builder));
    let mut workspace = Workspace::new();
    for keep in [Keep::All, Keep::Every(2)] {
        let recording = Recording::new(data.dims(&case)).with_keep(keep);
        let expected = layer.tape_len(recording.dims, keep).unwrap();
        for got in [0, 1, expected - 1, expected + 1, expected - 16, 2 * expected] {
            let error = Err(Error::Length { what: "tape", expected, got });
            let (mut tape, mut y) = (vec![7.0; got], vec![7.0; data.dy.len()]);
            let mut state = initial(&layer, &case, &data);
            let (x, workspace) = (&data.x, &mut workspace);
            let forward =
                layer.forward_train_into(x, recording, &mut state, Some(&mut y), &mut tape, workspace);
            assert_eq!(forward, error);
            assert!(tape.iter().chain(&y).all(|&value| value == 7.0));
            assert_eq!((state.h(), state.c()), (data.h0.clone(), data.c0.clone()));
            let mut to = room(&layer, &data);
            let back =
                layer.backward_from(x, recording, &tape, upstream(&data), gradients(&mut to), workspace);
            assert_eq!(back, error);
            assert!(to.iter().flatten().all(|value| value.is_nan()));
        }
        // Other wrong arguments: nothing is written to the tape.
        let (mut tape, mut state) = (vec![7.0; expected], layer.zero_state(4).unwrap());
        let refused =
            layer.forward_train_into(&data.x, recording, &mut state, None, &mut tape, &mut workspace);
        assert_eq!(refused, Err(Error::Mismatch { what: "state: batch", expected: 3, got: 4 }));
        let lengths = [1, 7, 2];
        let longer = Recording::new(Dims::new(3, 6).with_lengths(&lengths)).with_keep(keep);
        let error = Err(Error::RowLength { row: 1, steps: 6, got: 7 });
        let mut to = room(&layer, &data);
        let mut state = initial(&layer, &case, &data);
        let workspace = &mut workspace;
        assert_eq!(layer.forward_train_into(&data.x, longer, &mut state, None, &mut tape, workspace), error);
        let back =
            layer.backward_from(&data.x, longer, &tape, upstream(&data), gradients(&mut to), workspace);
        assert_eq!(back, error);
        assert!(tape.iter().all(|&value| value == 7.0));
    }
    let recording = Recording::new(data.dims(&case)).with_keep(Keep::Within(100));
    let refused = layer.forward_train_into(
        &data.x,
        recording,
        &mut initial(&layer, &case, &data),
        None,
        &mut [],
        &mut workspace,
    );
    assert!(matches!(refused, Err(Error::Budget { got: 100, .. })), "{refused:?}");
}

/// Two tapes at once, and parameters that were other in between: a slice is tied to no version of them.
#[test]
fn several_slices_wait_for_their_way_back() {
    let case = Case::simple(CellKind::GruResetAfter, 3, 6, 2, 5);
    let data = Data::of(&case);
    let mut layer = case.layer(|builder| builder);
    let recording = Recording::new(data.dims(&case)).with_seed(SEED);
    let want = with_tape(&layer, &case, &data, recording.dims, Keep::All);
    let mut workspace = Workspace::new();
    let mut tapes = [0, 1].map(|_| vec![0.0; layer.tape_len(recording.dims, Keep::All).unwrap()]);
    for (tape, scale) in tapes.iter_mut().zip([1.0, -1.0]) {
        let x: Vec<f32> = data.x.iter().map(|x| x * scale).collect();
        let mut state = initial(&layer, &case, &data);
        layer.forward_train_into(&x, recording, &mut state, None, tape, &mut workspace).unwrap();
    }
    let before = layer.parameters().to_vec();
    layer.update(|parameters| parameters.fill(0.25));
    layer.run(&data.x, recording.dims).unwrap();
    layer.update(|parameters| parameters.copy_from_slice(&before));
    let mut to = room(&layer, &data);
    let (upstream, gradients) = (upstream(&data), gradients(&mut to));
    layer.backward_from(&data.x, recording, &tapes[0], upstream, gradients, &mut workspace).unwrap();
    assert_eq!(to.map(|to| bits(&to)), want.gradients);
}
