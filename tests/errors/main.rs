//! Errors name the wrong argument, with expected and got, and nothing has been written.

mod builders;

use approx::assert_abs_diff_eq;
use fused_rnn::format::{Convention, state_dict};
use fused_rnn::*;

struct Fixture {
    layer: Recurrent,
    x: Vec<f32>,
    state: State,
    y: Vec<f32>,
    tape: Tape,
    workspace: Workspace,
}

const B: usize = 3;
const T: usize = 4;
const I: usize = 2;
const H: usize = 5;

fn fixture() -> Fixture {
    let layer = Lstm::builder(I, H).bidirectional(true).build().unwrap();
    let mut state = layer.zero_state(B).unwrap();
    state.set_h(&[0.25; 2 * B * H]).unwrap();
    Fixture {
        state,
        layer,
        x: vec![0.5; B * T * I],
        y: vec![7.0; B * T * 2 * H],
        tape: Tape::new(),
        workspace: Workspace::new(),
    }
}

/// Calls forward and forward_train, and expects this error from both and no trace of either.
fn refused(change: impl Fn(&mut Fixture) -> (usize, usize, Option<Vec<usize>>), expected: Error) {
    for taped in [false, true] {
        let mut f = fixture();
        let (batch, steps, lengths) = change(&mut f);
        let dims = Dims::new(batch, steps);
        let dims = lengths.as_deref().map_or(dims, |lengths| dims.with_lengths(lengths));
        let (h, c, y) = (f.state.h(), f.state.c(), f.y.clone());
        let got = if taped {
            f.layer.forward_train(&f.x, dims, &mut f.state, Some(&mut f.y), &mut f.tape, 0, &mut f.workspace)
        } else {
            f.layer.forward(&f.x, dims, &mut f.state, Some(&mut f.y), &mut f.workspace)
        };
        assert_eq!(got, Err(expected.clone()), "taped: {taped}");
        assert_eq!((f.state.h(), f.state.c(), f.y), (h, c, y), "written before {expected}");
        let mut gradients = vec![0.0; f.layer.parameters().len()];
        let gradients = Gradients::of_parameters(&mut gradients);
        let back = f.layer.backward(&f.x, &f.tape, Upstream::default(), gradients, &mut f.workspace);
        assert!(matches!(back, Err(Error::Unsupported { .. })), "a tape of a refused call");
    }
}

#[test]
fn forward_names_every_wrong_argument() {
    let length = |what, expected, got| Error::Length { what, expected, got };
    refused(
        |f| {
            f.x.pop();
            (B, T, None)
        },
        length("x", B * T * I, B * T * I - 1),
    );
    refused(
        |f| {
            f.y.push(7.0);
            (B, T, None)
        },
        length("y", B * T * 2 * H, B * T * 2 * H + 1),
    );
    refused(|_| (B, T, Some(vec![T; B + 1])), length("lengths", B, B + 1));
    refused(|_| (B, T, Some(vec![T, T + 1, 0])), Error::RowLength { row: 1, steps: T, got: T + 1 });
    refused(|_| (usize::MAX, T, None), Error::SizeOverflow { what: "x" });
    // No overflow where there are no steps, but still another length.
    refused(|_| (usize::MAX / 64, 0, None), length("x", 0, B * T * I));
    let mismatch = |what, expected, got| Error::Mismatch { what, expected, got };
    refused(
        |f| {
            f.state = f.layer.zero_state(B + 1).unwrap();
            (B, T, None)
        },
        mismatch("state: batch", B, B + 1),
    );
    refused(
        |f| {
            f.state = Lstm::builder(I, H + 1).bidirectional(true).build().unwrap().zero_state(B).unwrap();
            (B, T, None)
        },
        mismatch("state: hidden size", H, H + 1),
    );
    refused(
        |f| {
            f.state = Lstm::builder(I, H).build().unwrap().zero_state(B).unwrap();
            (B, T, None)
        },
        mismatch("state: layers * directions", 2, 1),
    );
    refused(
        |f| {
            f.state = Gru::reset_after(I, H).bidirectional(true).build().unwrap().zero_state(B).unwrap();
            (B, T, None)
        },
        mismatch(
            "state: vectors of a unit (an LSTM has h and c, an sLSTM h, c, n and m, other cells h)",
            2,
            1,
        ),
    );
}

#[test]
fn step_names_every_wrong_argument() {
    let length = |what, expected, got| Err(Error::Length { what, expected, got });
    // On the fast path, and through the layers as forward goes (zoneout takes that).
    for zoneout in [0.0, 0.5] {
        let layer = Lstm::builder(I, H).layers(2).zoneout(zoneout, 0.0).build().unwrap();
        let mut state = layer.zero_state(B).unwrap();
        state.set_h(&[0.25; 2 * B * H]).unwrap();
        let (x, mut y, mut workspace) = ([0.5; B * I + 1], [7.0; B * H + 1], Workspace::new());
        let mut step = |x: &[f32], y: &mut [f32], state: &mut State| {
            let (before, h, c) = (y.to_vec(), state.h(), state.c());
            let got = layer.step(x, state, Some(y), &mut workspace);
            assert_eq!((&before[..], h, c), (&*y, state.h(), state.c()), "written before {got:?}");
            got
        };
        for wrong in [B * I - 1, B * I + 1] {
            let what = "x (a row for each row of the state)";
            assert_eq!(step(&x[..wrong], &mut y[..B * H], &mut state), length(what, B * I, wrong));
        }
        for wrong in [0, B * H - 1, B * H + 1] {
            let what = "y (a row for each row of the state)";
            assert_eq!(step(&x[..B * I], &mut y[..wrong], &mut state), length(what, B * H, wrong));
        }
        let mut other = Lstm::builder(I, H + 1).layers(2).build().unwrap().zero_state(B).unwrap();
        let mismatch = |what, expected, got| Err(Error::Mismatch { what, expected, got });
        let said = step(&x[..B * I], &mut y[..B * H], &mut other);
        assert_eq!(said, mismatch("state: hidden size", H, H + 1));
        let mut shallow = Lstm::builder(I, H).build().unwrap().zero_state(B).unwrap();
        let said = step(&x[..B * I], &mut y[..B * H], &mut shallow);
        assert_eq!(said, mismatch("state: layers * directions", 2, 1));
    }
    let both = fixture();
    let (mut state, mut workspace) = (both.state, both.workspace);
    let got = both.layer.step(&both.x[..B * I], &mut state, None, &mut workspace);
    assert!(matches!(got, Err(Error::Unsupported { what }) if what.contains("bidirectional")));
}

/// Sizes that fit into no memory, also in calls that only compute a size.
#[test]
fn the_size_of_a_tape_is_told_or_refused_at_once() {
    let lstm = fused_rnn::Lstm::builder(1, 1).build().unwrap();
    for steps in [usize::MAX, usize::MAX - 1, usize::MAX / 2, 1 << (usize::BITS - 4)] {
        for keep in [Keep::All, Keep::Every(1), Keep::Every(usize::MAX)] {
            let dims = Dims::new(1, steps);
            let refused = matches!(lstm.tape_bytes(dims, keep), Err(Error::SizeOverflow { .. }));
            assert!(refused, "{steps} {keep:?}");
        }
    }
    // 2^40 steps where addresses have 64 bits: far more than there is memory, but a size that can be said.
    let every = 1 << (usize::BITS / 3 - 1);
    let bytes = lstm.tape_bytes(Dims::new(1, every * every), Keep::Every(every)).unwrap();
    assert_eq!(bytes, every * 2 * 16 * 4);
    // A budget below the least, which two rows of 9 steps need with 2 steps between checkpoints: 2 (1 + 4)
    // states kept; 2 (1 + 2) states and 2 * 2 steps run again, which have room for 5. A state has two vectors
    // here, a step four.
    let got = lstm.tape_bytes(Dims::new(2, 9), Keep::Within(100));
    assert_eq!(got, Err(Error::Budget { expected: (10 * 2 + 6 * 2 + 5 * 4) * 16 * 4, got: 100 }));
    let message = got.unwrap_err().to_string();
    assert_eq!(message, "Keep::Within: expected at least 3328 bytes, got 100");
    // Of one step everything is the least: what is wanted is then enough.
    let all = lstm.tape_bytes(Dims::new(1, 1), Keep::All).unwrap();
    let got = lstm.tape_bytes(Dims::new(1, 1), Keep::Within(0));
    assert_eq!(got, Err(Error::Budget { expected: all, got: 0 }));
    // Of absurdly many steps the least is found at once, and is what is wanted.
    #[cfg(target_pointer_width = "64")]
    for steps in [1 << 40, (1 << 50) + 12345] {
        let within = |bytes| lstm.tape_bytes(Dims::new(1, steps), Keep::Within(bytes));
        let Err(Error::Budget { expected, .. }) = within(1000) else { panic!("{steps} steps in 1000 bytes") };
        assert!(within(expected - 1).is_err() && within(expected).is_ok());
        // 128 bytes of states every k steps, and 384 of each of k steps: least at 2 root(T 128 384).
        let ideal = 2.0 * (steps as f64 * 128.0 * 384.0).sqrt();
        assert!((expected as f64 / ideal - 1.0).abs() < 1e-4, "{expected} for {ideal}");
    }
    // Steps of no rows are none, however many.
    let layer = Lstm::builder(1, 1).input_dropout(0.5).build().unwrap();
    let (mut state, mut tape) = (layer.zero_state(0).unwrap(), Tape::new());
    let dims = Dims::new(0, usize::MAX / 64);
    layer.forward_train(&[], dims, &mut state, None, &mut tape, 0, &mut Workspace::new()).unwrap();
}

#[test]
fn backward_names_every_wrong_argument() {
    let mut f = fixture();
    let dims = Dims::new(B, T);
    f.layer
        .forward_train(&f.x, dims, &mut f.state, Some(&mut f.y), &mut f.tape, 0, &mut f.workspace)
        .unwrap();
    let count = f.layer.parameters().len();
    let (states, outputs, inputs) = (2 * B * H, B * T * 2 * H, B * T * I);
    let sizes = [count, outputs, states, states, inputs, states, states, inputs];
    let names = ["gradients.parameters", "dy", "dhn", "dcn", "dx", "dh0", "dc0", "x"];
    for (wrong, what) in names.into_iter().enumerate() {
        for delta in [-1isize, 1] {
            let mut lens = sizes;
            lens[wrong] = lens[wrong].checked_add_signed(delta).unwrap();
            let buffers = lens.map(|len| vec![3.0f32; len]);
            let [mut parameters, dy, dhn, dcn, mut dx, mut dh0, mut dc0, x] = buffers;
            let upstream = Upstream::default().with_dy(&dy).with_dhn(&dhn).with_dcn(&dcn);
            let gradients = Gradients::of_parameters(&mut parameters)
                .with_dx(&mut dx)
                .with_dh0(&mut dh0)
                .with_dc0(&mut dc0);
            let got = f.layer.backward(&x, &f.tape, upstream, gradients, &mut f.workspace);
            let sizes_of = match what {
                "gradients.parameters" => "",
                "x" | "dy" | "dx" => " (of the tape's rows and steps)",
                _ => " (of the tape's rows)",
            };
            let said = format!("{what}{sizes_of}: expected {} values, got {}", sizes[wrong], lens[wrong]);
            assert_eq!(got.unwrap_err().to_string(), said);
            for written in [parameters, dx, dh0, dc0] {
                assert!(written.iter().all(|&v| v == 3.0), "{what}: written before the error");
            }
        }
    }
    // A tape of another network.
    let other = Gru::reset_after(I, H).bidirectional(true).build().unwrap();
    let mut parameters = vec![0.0; other.parameters().len()];
    let gradients = Gradients::of_parameters(&mut parameters);
    let got = other.backward(&f.x, &f.tape, Upstream::default(), gradients, &mut f.workspace);
    let said =
        |got: Result<(), Error>, what: &str| assert!(got.unwrap_err().to_string().contains(what), "{what}");
    said(got, "the tape of another network");
    // An empty tape is one of no layer, and parameters that have changed are not those that the tape is of.
    let mut parameters = vec![0.0; count];
    let mut back = |layer: &Recurrent, tape: &Tape| {
        let gradients = Gradients::of_parameters(&mut parameters);
        layer.backward(&f.x, tape, Upstream::default(), gradients, &mut Workspace::new())
    };
    back(&f.layer, &f.tape).unwrap();
    said(back(&f.layer, &Tape::new()), "an empty tape");
    f.layer.update(|parameters| parameters[0] += 1.0);
    said(back(&f.layer, &f.tape), "other parameters");
}

/// A cell without a cell state takes no gradients of one, and gives none.
#[test]
fn backward_of_a_cell_without_a_cell_state() {
    let layer = Gru::reset_after(I, H).build().unwrap();
    let (x, mut tape, mut workspace) = (vec![0.5; B * T * I], Tape::new(), Workspace::new());
    let mut state = layer.zero_state(B).unwrap();
    layer.forward_train(&x, Dims::new(B, T), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut back = |dcn: Option<&[f32]>, dc0: Option<&mut [f32]>| {
        let mut parameters = vec![3.0; layer.parameters().len()];
        let mut gradients = Gradients::of_parameters(&mut parameters);
        gradients.dc0 = dc0;
        let mut upstream = Upstream::default();
        upstream.dcn = dcn;
        let got = layer.backward(&x, &tape, upstream, gradients, &mut workspace);
        assert!(got.is_ok() || parameters.iter().all(|&v| v == 3.0), "written before {got:?}");
        got
    };
    let length = |what, got| Err(Error::Length { what, expected: 0, got });
    assert_eq!(back(Some(&[]), Some(&mut [])), Ok(()));
    assert_eq!(back(Some(&[1.0]), None), length("dcn (of the tape's rows)", 1));
    assert_eq!(back(None, Some(&mut [1.0])), length("dc0 (of the tape's rows)", 1));
}

/// n of an sLSTM is 0 or more. A negative one would be an empty state without a word.
#[test]
fn a_state_that_no_step_gives_is_refused() {
    let slstm = Lstm::exponential(I, H).build().unwrap();
    let mut state = slstm.zero_state(B).unwrap();
    for name in ["h", "c", "n", "m"] {
        state.set_plane(name, &[0.5; B * H]).unwrap();
    }
    for value in [-1.0, -1e-40, f32::NEG_INFINITY] {
        let mut n = [2.0; B * H];
        n[B * H - 1] = value;
        let expected = "0 for an empty state, and more for others";
        let error = Error::OutOfRange { what: "state n", expected, got: f64::from(value) };
        assert_eq!(state.set_plane("n", &n), Err(error));
        assert_eq!(state.plane("n").unwrap(), [0.5; B * H]);
    }
    // Any other n, and any m: c and n stand for values times e^m, so h is the same.
    let (mut y, mut workspace) = ([0.0; B * H], Workspace::new());
    let mut after = |n: f32, c: f32, m: f32| {
        for (name, value) in [("h", 0.0), ("c", c), ("n", n), ("m", m)] {
            state.set_plane(name, &[value; B * H]).unwrap();
        }
        slstm.step(&[0.5; B * I], &mut state, Some(&mut y), &mut workspace).unwrap();
        y
    };
    let (usual, scaled) = (after(2.0, 1.0, 0.25), after(0.5, 0.25, 0.25 + 4f32.ln()));
    assert!(usual.iter().zip(scaled).all(|(a, b)| (a - b).abs() < 1e-5), "{usual:?} {scaled:?}");
    assert_eq!(after(0.0, 7.0, 9.0), after(0.0, 0.0, 0.0));
    assert!(after(f32::NAN, 1.0, 0.0).iter().all(|value| value.is_nan()));
}

#[test]
fn states_and_parameters_name_what_does_not_fit() {
    let mut gru = Gru::reset_after(I, H).build().unwrap();
    let mut state = gru.zero_state(B).unwrap();
    assert_eq!(state.set_h(&[0.0; 14]), Err(Error::Length { what: "h", expected: B * H, got: 14 }));
    assert_eq!(state.set_c(&[0.0]), Err(Error::Length { what: "c", expected: 0, got: 1 }));
    assert_eq!(state.row_h(0, B), None);
    assert_eq!(state.row_h(1, 0), None);
    assert_eq!(gru.zero_state(usize::MAX).err(), Some(Error::SizeOverflow { what: "memory" }));
    let before = gru.parameters().to_vec();
    let error = gru.set_parameter("weight_ih_l1", &[]).unwrap_err();
    assert_eq!(error, Error::UnknownParameter { name: "weight_ih_l1".into() });
    let error = gru.set_parameter("weight_ih_l0", &[0.0; 3]).unwrap_err();
    let said = format!("parameter weight_ih_l0: expected {} values, got 3", 3 * H * I);
    assert_eq!(error.to_string(), said);
    assert_eq!(gru.parameters(), before);

    let bidirectional = Gru::reset_after(I, H).bidirectional(true).build().unwrap();
    let mut state = bidirectional.zero_state(1).unwrap();
    let error = bidirectional.step(&[0.0; I], &mut state, None, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
}

#[test]
fn a_tape_belongs_to_its_network_and_its_parameters() {
    let build = || Gru::reset_after(I, H).build().unwrap();
    let (x, mut tape, mut workspace) = (vec![0.1; B * T * I], Tape::new(), Workspace::new());
    let mut one = build();
    let mut state = one.zero_state(B).unwrap();
    one.forward_train(&x, Dims::new(B, T), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut back = |layer: &Recurrent| {
        let mut gradients = vec![0.0; layer.parameters().len()];
        let gradients = Gradients::of_parameters(&mut gradients);
        layer.backward(&x, &tape, Upstream::default(), gradients, &mut workspace)
    };
    let mut clone = one.clone();
    assert_eq!((back(&one), back(&clone)), (Ok(()), Ok(())));
    let refused =
        Err(Error::Unsupported { what: "backward with other parameters than those of forward_train" });
    assert_eq!(back(&build()), refused, "another of the same shape");
    clone.update(|parameters| parameters[0] += 1.0);
    assert_eq!((back(&one), back(&clone)), (Ok(()), refused.clone()));
    one.update(|parameters| parameters[0] += 2.0);
    assert_eq!(back(&one), refused);
    // Every way to other parameters, and loading the same ones.
    let tensors = state_dict::save(&one).unwrap();
    let arrays = Convention::Keras.save(&one).unwrap();
    let bias = vec![0.5; 3 * H];
    let ways: [&dyn Fn(&mut Recurrent); 3] = [
        &|network| assert!(network.set_parameter("bias_hh_l0", &bias).unwrap()),
        &|network| state_dict::load(tensors.clone(), network).unwrap(),
        &|network| Convention::Keras.load(network, &arrays).unwrap(),
    ];
    for change in ways {
        let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
        let mut network = build();
        let mut state = network.zero_state(B).unwrap();
        let (dims, mut gradients) = (Dims::new(B, T), vec![0.0; network.parameters().len()]);
        network.forward_train(&x, dims, &mut state, None, &mut tape, 0, &mut workspace).unwrap();
        change(&mut network);
        let gradients = Gradients::of_parameters(&mut gradients);
        assert_eq!(network.backward(&x, &tape, Upstream::default(), gradients, &mut workspace), refused);
    }
}

#[test]
fn run_looks_at_its_input_before_it_makes_room() {
    // Of states and answers there would be more than memory holds.
    let layer = Gru::reset_after(1, 1 << 10).build().unwrap();
    let error = layer.run(&[0.0; 3], Dims::new(1 << 15, 1 << 12)).err();
    assert_eq!(error, Some(Error::Length { what: "x", expected: 1 << 27, got: 3 }));
}

#[test]
fn a_panic_in_update_passes_through_and_the_packed_weights_follow() {
    let mut layer = Rnn::tanh(1, 1).bias(Bias::None).build().unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        layer.update(|parameters| {
            parameters.fill(0.5);
            panic!("the caller's own");
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's own"));
    let output = layer.run(&[1.0], Dims::new(1, 1)).unwrap();
    assert_abs_diff_eq!(output.y[0], 0.5f32.tanh(), epsilon = 1e-6);
}

#[test]
fn messages_have_expected_and_got() {
    let message = Error::Length { what: "x", expected: 6, got: 5 }.to_string();
    assert_eq!(message, "x: expected 6 values, got 5");
    let message = Error::RowLength { row: 2, steps: 4, got: 9 }.to_string();
    assert_eq!(message, "length of row 2: expected at most 4 steps, got 9");
}
