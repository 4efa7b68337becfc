//! Refused memory: whichever allocation is refused, the call returns an error and has written nothing, and
//! the next call can use the same memory. (This is for allocations of two kilobytes and more. Some smaller
//! allocations abort the program, and so do the buffers of `matrixmultiply`, which `Init::Keras` and the
//! dense head use.)

#[path = "common/refusing.rs"]
mod refusing;

use fused_rnn::train::{BeamSearch, Ctc};
use fused_rnn::{
    CellKind, Dims, Direction, Error, Gradients, Init, Keep, Precision, Recurrent, Rng, Schedule, Tape,
    Threads, Upstream, Workspace,
};
use fused_rnn_tests::{Case, Data, Options, all_are};
use refusing::refusing_after;

/// Calls with the first allocation refused, then with the second, until there are no more. Gives their
/// number.
fn refuse_each<P, T>(
    mut prepare: impl FnMut() -> P,
    mut call: impl FnMut(&mut P) -> Result<T, Error>,
    mut after: impl FnMut(P, bool),
) -> usize {
    for count in 0.. {
        let mut prepared = prepare();
        let (result, refused) = refusing_after(count, || call(&mut prepared));
        match result {
            Err(Error::OutOfMemory { .. }) if refused => after(prepared, true),
            Ok(_) if !refused => {
                after(prepared, false);
                return count;
            }
            result => panic!("{:?}, and refused: {refused}", result.err()),
        }
    }
    unreachable!()
}

#[test]
fn every_allocation_of_a_call_may_be_refused() {
    for &kind in CellKind::ALL {
        let lstm = kind == CellKind::Lstm;
        let options = Options {
            projection: lstm.then_some(30),
            dropout: 0.25,
            recurrent_dropout: fused_rnn_tests::recurrent_dropout(kind, 0.25),
            input_dropout: 0.25,
            zoneout: [0.25, 0.0],
            ..Options::default()
        };
        for options in [Options::default(), options] {
            for (direction, keep) in [(Direction::Forward, Keep::All), (Direction::Both, Keep::Every(3))] {
                let simple = Case::simple(kind, 20, 12, 9, 40);
                let case = Case {
                    layers: 3,
                    direction,
                    ragged: keep != Keep::All,
                    options: options.clone(),
                    ..simple
                };
                for &precision in Precision::ALL {
                    calls(&Case { precision, ..case.clone() }, keep);
                }
            }
        }
    }
}

/// Scales that are given, and their copies in a network of another precision or the same.
#[test]
fn scales_may_be_refused() {
    let case = Case {
        layers: 6,
        direction: Direction::Both,
        precision: Precision::Int8,
        ..Case::simple(CellKind::Lstm, 1, 2, 3, 150)
    };
    let (plain, x) = (case.builder().threads(Threads::Count(1)).build().unwrap(), [0.5; 6]);
    let y = |network: &Recurrent| network.run(&x, Dims::new(1, 2)).unwrap().y;
    let scales: Vec<f32> = (0..600).map(|row| 0.001 + 1e-5 * row as f32).collect();
    let mut given = plain.clone();
    given.set_scales("weight_hh_l0", &scales).unwrap();
    let (before, want) = (y(&plain), y(&given));
    assert_ne!(before, want);
    let set = refuse_each(
        || plain.clone(),
        |network| network.set_scales("weight_hh_l0", &scales),
        |network, refused| assert_eq!(y(&network), if refused { before.clone() } else { want.clone() }),
    );
    let copied = |precision| {
        refuse_each(|| (), |()| given.in_precision(precision), |(), _| assert_eq!(y(&given), want))
    };
    assert_eq!(set, 2, "the scales, and those of each strand");
    assert_eq!(copied(Precision::Int8), copied(Precision::Bf16) + set);
    assert_eq!(y(&given.in_precision(Precision::Int8).unwrap()), want);
}

/// A beam search takes memory as it goes, and so do the labels of greedy decoding.
#[test]
fn decoding_may_be_refused() {
    let (mut rng, classes, steps) = (Rng::new(1), 40, 120);
    let logits: Vec<f32> = (0..steps * classes).map(|_| rng.uniform(-3.0, 3.0)).collect();
    let (ctc, dims) = (Ctc::new(classes), Dims::new(1, steps));
    let search = || BeamSearch::new(60).unwrap();
    let few = |search: &mut BeamSearch| ctc.beam(&logits[..9 * classes], Dims::new(1, 9), search).unwrap();
    let want = few(&mut search());
    let beams = refuse_each(
        search,
        |search| ctc.beam(&logits, dims, search),
        |mut search, _| assert_eq!(few(&mut search), want, "a search that is used again"),
    );
    assert!(beams > 8, "{beams} allocations");
    // The same numbers as more steps, of fewer classes.
    let (ctc, dims) = (Ctc::new(3), Dims::new(1, logits.len() / 3));
    let greedy = refuse_each(|| (), |()| ctc.greedy(&logits, dims), |(), _| ());
    assert!(greedy > 0, "{greedy} allocations");
}

/// The calls of a network. They share a workspace and a tape: what a refused one leaves behind, the next
/// finds.
fn calls(case: &Case, keep: Keep) {
    const SEVEN: f32 = 7.0;
    let data = Data::of(case);
    let dims = data.dims(case);
    let set = || case.builder().threads(Threads::Count(1)).schedule(Schedule::Rows).init(Init::PyTorch, 3);
    let built = refuse_each(|| (), |()| set().build(), |(), _| ());
    // The parameters, and a panel of each strand above the first layer at least.
    assert!(built > 2 * case.directions(), "{built} allocations of a network");
    let layer = set().build().unwrap();
    refuse_each(|| (), |()| layer.run(&data.x, dims), |(), _| ());

    let initial = || {
        let mut state = layer.zero_state(case.batch).unwrap();
        state.set_h(&data.h0).unwrap();
        state.set_c(&data.c0).unwrap();
        (state, vec![SEVEN; data.dy.len()])
    };
    let mut workspace = Workspace::new();
    let forward = refuse_each(
        initial,
        |(state, y)| layer.forward(&data.x, dims, state, Some(y), &mut workspace),
        |(state, y), refused| {
            let untouched = state.h() == data.h0 && state.c() == data.c0 && all_are(SEVEN, &y);
            assert!(!refused || untouched, "forward has written");
        },
    );
    assert!(forward > 1, "{forward} allocations");
    if !case.precision.trains() {
        return;
    }
    let want = fused_rnn_tests::run_with_tape(&layer.clone(), case, &data, &mut Tape::keeping(keep));
    let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
    let train = refuse_each(
        initial,
        |(state, y)| layer.forward_train(&data.x, dims, state, Some(y), &mut tape, 0, &mut workspace),
        |(state, y), refused| {
            let untouched = state.h() == data.h0 && state.c() == data.c0 && all_are(SEVEN, &y);
            assert!(
                if refused { untouched } else { y == want.y && state.h() == want.hn },
                "training, forward"
            );
        },
    );
    let gradients =
        || [layer.parameters().len(), data.x.len(), data.h0.len(), data.c0.len()].map(|len| vec![SEVEN; len]);
    // Clones of a network that has not gone back: transposed weights are made anew each time.
    let back = refuse_each(
        || (layer.clone(), gradients()),
        |(layer, [parameters, dx, dh0, dc0])| {
            let upstream = Upstream::default().with_dy(&data.dy).with_dhn(&data.dhn).with_dcn(&data.dcn);
            let gradients = Gradients::of_parameters(parameters).with_dx(dx).with_dh0(dh0).with_dc0(dc0);
            layer.backward(&data.x, &tape, upstream, gradients, &mut workspace)
        },
        |(_, all), refused| match refused {
            true => assert!(all.iter().all(|values| all_are(SEVEN, values)), "backward has written"),
            false => {
                assert!(all == [&want.parameters, &want.dx, &want.dh0, &want.dc0].map(Vec::clone), "backward")
            }
        },
    );
    assert!(train > 1 && back > 5, "{train}, {back} allocations");
}
