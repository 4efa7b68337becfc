//! Mirrors of parameters that somebody else owns, and workspaces that the process lends.

use fused_rnn::{Dims, Error, Gradients, Gru, Keep, Lstm, Mirror, Recurrent, Threads, Upstream, Workspace};
use fused_rnn_tests::bits;
use std::sync::{Arc, Barrier};

fn lstm() -> Recurrent {
    Lstm::builder(3, 5).layers(2).threads(Threads::Count(1)).build().unwrap()
}

fn tensors(network: &Recurrent) -> Vec<Vec<f32>> {
    network.named_parameters().map(|tensor| tensor.values.to_vec()).collect()
}

fn slices(tensors: &[Vec<f32>]) -> Vec<&[f32]> {
    tensors.iter().map(Vec::as_slice).collect()
}

#[test]
fn a_mirror_writes_to_a_network_that_nobody_uses() {
    let mirror = Mirror::new(lstm());
    let mut own = tensors(&mirror.network());
    let first = Arc::as_ptr(&mirror.network());
    for n in 0..own.len() {
        own[n][0] += 0.5;
        let network = mirror.with_parameters(&slices(&own)).unwrap();
        assert_eq!(network.parameters(), own.concat());
        assert_eq!(Arc::as_ptr(&network), first);
    }
}

#[test]
fn a_mirror_leaves_a_network_that_is_in_use() {
    let mirror = Mirror::new(lstm());
    let mut own = tensors(&mirror.network());
    let held = mirror.with_parameters(&slices(&own)).unwrap();
    let before = own.concat();
    assert!(Arc::ptr_eq(&held, &mirror.with_parameters(&slices(&own)).unwrap()));
    // By bits: -0 for 0, and a NaN once.
    for value in [0.0, -0.0, f32::NAN] {
        own[1][2] = value;
        let other = mirror.with_parameters(&slices(&own)).unwrap();
        assert_eq!(bits(other.parameters()), bits(&own.concat()));
        assert!(Arc::ptr_eq(&other, &mirror.with_parameters(&slices(&own)).unwrap()));
        assert!(Arc::ptr_eq(&other, &mirror.network()));
    }
    assert_eq!(held.parameters(), before);
}

#[test]
fn a_mirror_refuses_what_does_not_fit_and_stays_as_it_was() {
    for in_use in [false, true] {
        let mirror = Mirror::new(lstm());
        let own = tensors(&mirror.network());
        let held = in_use.then(|| mirror.network());
        let mut long = own.clone();
        long[0].push(0.0);
        let error = mirror.with_parameters(&slices(&long)).unwrap_err();
        assert!(error.to_string().contains("weight_ih_l0"), "{error}");
        let (expected, got) = (own.len(), own.len() - 1);
        let few = mirror.with_parameters(&slices(&own[1..]));
        assert_eq!(few.unwrap_err(), Error::Mismatch { what: "number of parameter tensors", expected, got });
        assert!(mirror.with_parameters(&[]).is_err());
        assert_eq!(mirror.network().parameters(), own.concat());
        drop(held);
    }
    let mut dropped = lstm();
    let own = tensors(&dropped);
    dropped.drop_parameters();
    let mirror = Mirror::new(dropped);
    assert!(matches!(mirror.with_parameters(&slices(&own)), Err(Error::Unsupported { .. })));
    assert!(matches!(mirror.with_parameters(&[]), Err(Error::Mismatch { .. })));
}

/// Each thread trains with parameters of its own, on one mirror, and gets its own results.
#[test]
fn threads_share_a_mirror() {
    const THREADS: usize = 4;
    let mirror = Mirror::new(lstm());
    let x: Vec<f32> = (0..2 * 6 * 3).map(|n| (n as f32 * 0.7).sin()).collect();
    let dims = Dims::new(2, 6);
    let pass = |network: &Recurrent| {
        let mut state = network.zero_state(2).unwrap();
        let mut tape = vec![0.0; network.tape_len(dims, Keep::All).unwrap()];
        let recording = fused_rnn::Recording::new(dims);
        let mut parameters = vec![0.0; network.parameters().len()];
        let mut y = vec![0.0; 2 * 6 * 5];
        Workspace::lend(None, |workspace| {
            network.forward_train_into(&x, recording, &mut state, Some(&mut y), &mut tape, workspace)?;
            let (upstream, to) = (Upstream::default().with_dy(&y), Gradients::of_parameters(&mut parameters));
            // (Another call in the middle of one has a workspace of its own.)
            Workspace::lend(None, |other| {
                network.forward(&x, dims, &mut network.zero_state(2)?, None, other)
            })?;
            network.backward_from(&x, recording, &tape, upstream, to, workspace)
        })
        .unwrap();
        [bits(&y), bits(&parameters)]
    };
    let begin = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (mirror, begin, pass) = (&mirror, &begin, &pass);
            scope.spawn(move || {
                let mut own = tensors(&lstm());
                own[0][0] = thread as f32;
                let mut alone = lstm();
                alone.set_parameters(&slices(&own)).unwrap();
                let want = pass(&alone);
                begin.wait();
                for _ in 0..50 {
                    assert_eq!(pass(&mirror.with_parameters(&slices(&own)).unwrap()), want);
                }
            });
        }
    });
}

#[test]
fn lengths_of_states_are_told_for_any_batch() {
    for builder in [
        Gru::reset_after(2, 7),
        Lstm::builder(2, 7),
        Lstm::builder(2, 7).projection(3).layers(2).bidirectional(true),
    ] {
        let network = builder.build().unwrap();
        for batch in [0, 1, 9] {
            let state = network.zero_state(batch).unwrap();
            assert_eq!(network.config().state_lens(batch), [state.h().len(), state.c().len()]);
        }
        assert_eq!(network.config().state_lens(usize::MAX)[0], usize::MAX);
    }
}
