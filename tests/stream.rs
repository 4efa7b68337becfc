//! Streams of models: blocks and rows change no bit; a whole ratio of sample rates is streams side by side;
//! the layers are those of the crate, and their states come out and go back in.

#[path = "common/counting.rs"]
mod counting;

use fused_rnn::stream::{Model, ModelStage, Stream};
use fused_rnn::{Activation, Bias, CellKind, Dense, Dims, Error, Lstm, Recurrent, Rng, Workspace};
use fused_rnn::{Builder, Gru, Level, Precision, State};
use std::sync::Arc;

fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

/// Dense, recurrent and dense again, with a skip connection and gains.
fn model(kind: CellKind, layers: usize, level: Level) -> Model {
    let network = Builder::new(kind, 5, 20).layers(layers).bias(Bias::Double).level(level).build().unwrap();
    Model::new(2)
        .dense(Dense::new_keras(2, 5, 1).unwrap())
        .and_then(|model| model.activation(Activation::Tanh))
        .and_then(|model| model.network(network))
        .and_then(|model| model.dense(Dense::new_pytorch(20, 2, 2).unwrap()))
        .and_then(|model| model.with_skip(true))
        .and_then(|model| model.with_gains(0.7, 1.3))
        .unwrap()
}

/// The outputs over `x` in blocks of these sizes, in turn.
fn blocks(stream: &mut Stream, x: &[f32], sizes: &[usize]) -> Vec<f32> {
    let (inputs, outputs) =
        (stream.rows() * stream.model().inputs(), stream.rows() * stream.model().outputs());
    let mut y = vec![f32::NAN; x.len() / inputs * outputs];
    let (mut from, mut sizes) = (0, sizes.iter().cycle());
    let frames = x.len() / inputs;
    while from < frames {
        let count = (frames - from).min(*sizes.next().unwrap());
        let to = &mut y[from * outputs..][..count * outputs];
        stream.process(&x[from * inputs..][..count * inputs], to).unwrap();
        from += count;
    }
    y
}

#[test]
fn blocks_and_rows_change_no_bit() {
    for level in Level::available() {
        for &kind in CellKind::ALL {
            let model = model(kind, 2, level);
            for ratio in [1.0, 2.0, 3.0, 1.25, 2.6] {
                let x: [_; 3] = [1, 2, 3].map(|seed| uniform(200 * 2, seed));
                let alone =
                    x.clone().map(|x| blocks(&mut Stream::new(&model, 1, ratio).unwrap(), &x, &[200]));
                let cut = blocks(&mut Stream::new(&model, 1, ratio).unwrap(), &x[0], &[1, 64, 3, 65]);
                assert_eq!(cut, alone[0], "{kind:?}, ratio {ratio}: in blocks");
                for rows in [2, 3] {
                    let together: Vec<f32> = (0..400)
                        .step_by(2)
                        .flat_map(|at| x[..rows].iter().flat_map(move |x| x[at..at + 2].to_vec()))
                        .collect();
                    let y = blocks(&mut Stream::new(&model, rows, ratio).unwrap(), &together, &[7, 100]);
                    for (row, alone) in alone[..rows].iter().enumerate() {
                        let frames = y.chunks(2 * rows);
                        let own: Vec<f32> =
                            frames.flat_map(|frame| frame[2 * row..2 * row + 2].to_vec()).collect();
                        assert_eq!(&own, alone, "{kind:?}, ratio {ratio}: row {row} of {rows}");
                    }
                }
            }
        }
    }
}

/// By hand, of the parts: dense rows, the reference order of the recurrence, gains and skip.
#[test]
fn a_stream_is_its_layers() {
    let (gru, head) = (Gru::reset_after(1, 12).build().unwrap(), Dense::new_pytorch(12, 1, 3).unwrap());
    let model = Model::new(1).network(gru.clone()).unwrap().dense(head.clone()).unwrap();
    let x = uniform(300, 4);
    let h = gru.run(&x, Dims::new(1, 300)).unwrap().y;
    let mut want = vec![0.0; 300];
    head.forward_into(&h, 300, &mut want).unwrap();
    assert_eq!(blocks(&mut Stream::new(&model, 1, 1.0).unwrap(), &x, &[64]), want);

    let louder = model.with_skip(true).unwrap().with_gains(0.5, 3.0).unwrap();
    let half: Vec<f32> = x.iter().map(|x| 0.5 * x).collect();
    let h = gru.run(&half, Dims::new(1, 300)).unwrap().y;
    head.forward_into(&h, 300, &mut want).unwrap();
    want.iter_mut().zip(&half).for_each(|(y, x)| *y = 3.0 * (*y + x));
    assert_eq!(blocks(&mut Stream::new(&louder, 1, 1.0).unwrap(), &x, &[64]), want);
}

/// The samples of each phase are a stream of their own.
#[test]
fn a_whole_ratio_is_exact() {
    let model = model(CellKind::Lstm, 2, Level::best());
    for ratio in [2, 3, 5] {
        let x = uniform(300 * 2, 5);
        let y = blocks(&mut Stream::new(&model, 1, ratio as f64).unwrap(), &x, &[64]);
        for phase in 0..ratio {
            let own = |values: &[f32]| -> Vec<f32> {
                values.chunks(2).skip(phase).step_by(ratio).flatten().copied().collect()
            };
            let alone = blocks(&mut Stream::new(&model, 1, 1.0).unwrap(), &own(&x), &[64]);
            assert_eq!(own(&y), alone, "phase {phase} of {ratio}");
        }
    }
}

/// With weights that make the cell a sum, a fraction is the blend that the formula says.
#[test]
fn another_ratio_blends_two_states() {
    let linear = [Activation::Affine { alpha: 1.0, beta: 0.0 }];
    let mut rnn =
        Builder::new(CellKind::ElmanTanh, 1, 1).bias(Bias::None).activations(&linear).build().unwrap();
    rnn.update(|parameters| parameters.copy_from_slice(&[1.0, 0.5]));
    let model = Model::new(1).network(rnn).unwrap();
    let x = [1.0, 2.0, -1.0, 4.0, 0.5, 3.0, -2.0];
    for (ratio, whole, part) in [(1.5, 1, 0.5), (2.25, 2, 0.25), (3.0, 3, 0.0)] {
        let mut want: Vec<f32> = Vec::new();
        for (n, &x) in x.iter().enumerate() {
            let ago = |steps: usize| if steps > n { 0.0 } else { want[n - steps] };
            let past = (1.0 - part) * ago(whole) + part * ago(whole + 1);
            want.push(x + 0.5 * past);
        }
        let mut stream = Stream::new(&model, 1, ratio).unwrap();
        assert_eq!(blocks(&mut stream, &x, &[3]), want, "ratio {ratio}");
    }
}

/// A tone at another rate sounds as at the rate of the training, near by.
#[test]
fn another_ratio_is_near_the_trained_rate() {
    let (lstm, head) = (Lstm::builder(1, 16).build().unwrap(), Dense::new_pytorch(16, 1, 3).unwrap());
    let model = Model::new(1).network(lstm).unwrap().dense(head).unwrap();
    let tone = |rate: f64, frames: usize| -> Vec<f32> {
        (0..frames).map(|n| (300.0 * n as f64 / rate).sin() as f32).collect()
    };
    let trained = blocks(&mut Stream::new(&model, 1, 1.0).unwrap(), &tone(48e3, 8000), &[64]);
    let faster = blocks(&mut Stream::new(&model, 1, 1.75).unwrap(), &tone(84e3, 14000), &[64]);
    let ignored = blocks(&mut Stream::new(&model, 1, 1.0).unwrap(), &tone(84e3, 14000), &[64]);
    let distance = |other: &[f32]| {
        // Every fourth sample there is every seventh here; after the states have settled.
        let pairs = trained.iter().step_by(4).zip(other.iter().step_by(7)).skip(500);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(distance(&faster) < 1e-3, "{}", distance(&faster));
    assert!(distance(&ignored) > 3.0 * distance(&faster), "the ratio changes nothing");
}

#[test]
fn states_come_out_and_go_back_in() {
    let cells = CellKind::ALL.iter().flat_map(|&kind| [1.0, 3.0, 2.5].map(|ratio| (kind, ratio)));
    for (kind, ratio) in cells {
        let model = model(kind, 2, Level::best());
        let (mut stream, x) = (Stream::new(&model, 2, ratio).unwrap(), uniform(100 * 4, 6));
        let fresh = blocks(&mut stream, &x, &[100]);
        let mut saved = vec![0.0; stream.state_len()];
        stream.copy_state_to(&mut saved).unwrap();
        let next = blocks(&mut stream, &x, &[100]);
        assert_ne!(next, fresh);
        stream.set_state(&saved).unwrap();
        assert_eq!(blocks(&mut stream, &x, &[9]), next);
        let mut another = Stream::new(&model, 2, ratio).unwrap();
        another.set_state(&saved).unwrap();
        assert_eq!(blocks(&mut another, &x, &[64]), next);
        stream.reset();
        assert_eq!(blocks(&mut stream, &x, &[100]), fresh);
        stream.reset();
        stream.settle(10).unwrap();
        let mut silence = vec![0.0; 10 * 4];
        silence.extend(&x);
        stream.reset();
        let after = blocks(&mut stream, &silence, &[10]);
        stream.reset();
        stream.settle(10).unwrap();
        assert_eq!(blocks(&mut stream, &x, &[10]), after[40..]);
    }
}

/// The state that a network begins with is there at first, and again after a reset.
#[test]
fn a_network_begins_from_its_state() {
    let gru: Recurrent = Gru::reset_before(1, 7).build().unwrap();
    let mut initial: State = gru.zero_state(1).unwrap();
    initial.set_h(&uniform(7, 8)).unwrap();
    let model = Model::new(1).network_from(gru.clone(), initial.clone()).unwrap();
    let x = uniform(20, 9);
    let mut want = vec![0.0; 20 * 7];
    gru.forward(&x, Dims::new(1, 20), &mut initial, Some(&mut want), &mut Workspace::new()).unwrap();
    let mut stream = Stream::new(&model, 2, 1.0).unwrap();
    let twice: Vec<f32> = x.iter().flat_map(|&x| [x, x]).collect();
    for _ in 0..2 {
        let y = blocks(&mut stream, &twice, &[5]);
        for row in 0..2 {
            let own: Vec<f32> = y.chunks(14).flat_map(|frame| frame[7 * row..7 * row + 7].to_vec()).collect();
            assert_eq!(own, want);
        }
        stream.reset();
    }
}

#[test]
fn a_stream_allocates_nothing() {
    assert_eq!(counting::allocations(|| drop(std::hint::black_box(vec![1]))), 1, "the count counts");
    for level in Level::available() {
        for (kind, rows, ratio) in [
            (CellKind::Lstm, 1, 1.0),
            (CellKind::Lstm, 2, 1.0),
            (CellKind::GruResetAfter, 1, 2.0),
            (CellKind::GruResetBefore, 2, 1.5),
            (CellKind::ElmanTanh, 1, 2.7),
        ] {
            let model = model(kind, 3, level);
            let mut stream = Stream::new(&model, rows, ratio).unwrap();
            let (x, mut y) = (uniform(200 * 2 * rows, 10), vec![0.0; 200 * 2 * rows]);
            let mut state = vec![0.0; stream.state_len()];
            let count = counting::allocations(|| {
                for frames in [200, 1, 64, 63, 65, 1, 2, 128] {
                    let count = frames * 2 * rows;
                    stream.process(&x[..count], &mut y[..count]).unwrap();
                }
                stream.copy_state_to(&mut state).unwrap();
                stream.set_state(&state).unwrap();
                stream.settle(100).unwrap();
                stream.reset();
            });
            assert_eq!(count, 0, "{level}, {kind:?}, {rows} rows, ratio {ratio}");
        }
    }
}

#[test]
fn packed_weights_alone_are_the_same_bits() {
    for precision in Precision::ALL.iter().copied() {
        let network = || {
            let builder = Gru::reset_after(20, 24).layers(2).init(fused_rnn::Init::PyTorch, 4);
            Arc::new(builder.precision(precision).build().unwrap())
        };
        let (first, second) = (network(), network());
        let parameters = 4 * first.parameters().len();
        let model = |first: Arc<Recurrent>| {
            let made = Model::new(20).network(first).and_then(|model| {
                let head = Dense::new_pytorch(24, 20, 1).unwrap();
                model.dense(head)?.activation(Activation::Tanh)?.network(second.clone())
            });
            made.unwrap()
        };
        let shared = model(first.clone());
        let (whole, x) = (shared.bytes(), uniform(20 * 50, 3));
        assert_eq!(whole, first.bytes() + second.bytes() + 4 * (24 * 20 + 20), "{precision}");
        let y = blocks(&mut Stream::new(&shared, 1, 1.0).unwrap(), &x, &[7, 30]);
        // A model of the same parameters that was brought to the precision is the same.
        let floats = shared.in_precision(Precision::F32).unwrap();
        let brought = floats.in_precision(precision).unwrap();
        assert_eq!((brought.bytes(), floats.outputs()), (whole, 24), "{precision}");
        assert_eq!(blocks(&mut Stream::new(&brought, 1, 1.0).unwrap(), &x, &[7, 30]), y, "{precision}");

        // The caller and another model share both: their parameters stay.
        let mut own = shared.clone();
        own.drop_parameters().unwrap();
        assert_eq!((own.bytes(), shared.bytes()), (whole - 2 * parameters, whole), "{precision}");
        assert!(first.has_parameters() && second.has_parameters());
        assert_eq!(blocks(&mut Stream::new(&own, 1, 1.0).unwrap(), &x, &[50]), y, "{precision}");

        // Nobody shares the first, whose memory is the same before and after.
        drop((shared, own));
        let mut own = model(first);
        let place = |model: &Model| match &model.stages()[0] {
            ModelStage::Network(network, _) => Arc::as_ptr(network),
            _ => panic!("a network"),
        };
        let before = place(&own);
        for _ in 0..2 {
            own.drop_parameters().unwrap();
            assert_eq!((own.bytes(), place(&own)), (whole - 2 * parameters, before), "{precision}");
        }
        assert!(second.has_parameters());
        assert_eq!(blocks(&mut Stream::new(&own, 1, 1.0).unwrap(), &x, &[50]), y, "{precision}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let said = |result: Result<_, Error>| match result {
        Err(error) => error.to_string(),
        Ok(()) => panic!("no error"),
    };
    let of_model = |result: Result<Model, Error>| said(result.map(drop));
    let (gru, head) = (Gru::reset_after(1, 4).build().unwrap(), Dense::new_pytorch(4, 2, 1).unwrap());
    let model = || Model::new(1).network(gru.clone()).unwrap();
    let both = Gru::reset_after(1, 4).bidirectional(true).build().unwrap();
    assert_eq!(of_model(Model::new(2).network(gru.clone())), "input_size of a network: expected 2, got 1");
    assert_eq!(
        of_model(Model::new(1).network(both)),
        "not supported: a stream of a bidirectional or reverse network"
    );
    assert_eq!(of_model(Model::new(1).dense(head.clone())), "inputs of a dense layer: expected 1, got 4");
    assert_eq!(
        of_model(model().network_from(Gru::reset_after(4, 5).build().unwrap(), gru.zero_state(1).unwrap())),
        "state: hidden size: expected 5, got 4"
    );
    assert_eq!(
        of_model(Model::new(1).network_from(gru.clone(), gru.zero_state(2).unwrap())),
        "state: batch: expected 1, got 2"
    );
    assert_eq!(
        of_model(model().activation(Activation::Elu { alpha: f32::NAN })),
        "parameter of an activation: expected a finite number, got NaN"
    );
    assert_eq!(
        of_model(model().with_skip(true)),
        "outputs of a model with a skip connection: expected 1, got 4"
    );
    assert_eq!(
        of_model(model().with_gains(1.0, f32::INFINITY)),
        "output gain: expected a finite number, got inf"
    );
    assert_eq!(of_model(model().with_sample_rate(0.0)), "sample rate: expected a positive number, got 0");
    let stream = |rows, ratio| said(Stream::new(&model(), rows, ratio).map(drop));
    assert_eq!(stream(0, 1.0), "rows: expected at least 1, got 0");
    for ratio in [256.1, f64::NAN, f64::INFINITY] {
        assert_eq!(
            stream(1, ratio),
            format!("ratio of sample rates: expected a number from 1 to 256, got {ratio}")
        );
        // A model without recurrent layers has no use for the ratio, and no other range of it.
        assert!(Stream::new(&Model::new(1), 1, ratio).is_err());
    }
    let low = model().with_sample_rate(48e3).unwrap().ratio_for(44.1e3);
    for ratio in [low, -1.0] {
        assert_eq!(
            stream(1, ratio),
            format!(
                "ratio of sample rates: expected a number from 1 to 256 (resample the signal to the rate of the \
                 training), got {ratio}"
            )
        );
    }
    assert_eq!(
        said(
            Stream::new(&Model::new(1).with_skip(true).unwrap().network(gru.clone()).unwrap(), 1, 1.0)
                .map(drop)
        ),
        "outputs of a model with a skip connection: expected 1, got 4"
    );
    assert_eq!(
        said(Stream::new(&Model::new(0), 1, 1.0).map(drop)),
        "inputs of a model: expected at least 1, got 0"
    );
    assert!(Stream::new(&model(), usize::MAX / 8, 1.0).is_err());
    let mut stream =
        Stream::new(&Model::new(2).network(Gru::reset_after(2, 4).build().unwrap()).unwrap(), 2, 1.0)
            .unwrap();
    let mut y = [7.0; 8];
    assert_eq!(said(stream.process(&[0.0; 5], &mut y)), "x: expected 4 values, got 5");
    assert_eq!(said(stream.process(&[0.0; 1], &mut y)), "x: expected 4 values, got 1");
    assert_eq!(said(stream.process(&[0.0; 8], &mut y)), "y (as many frames as x): expected 16 values, got 8");
    assert_eq!(y, [7.0; 8]);
    assert_eq!(said(stream.set_state(&[0.0; 3])), "state: expected 8 values, got 3");
    assert_eq!(said(stream.copy_state_to(&mut y[..3])), "state: expected 8 values, got 3");
    // h, c, n and m of two layers: nothing is set where an n cannot be.
    let slstm = |inputs| Lstm::exponential(inputs, 1).build().unwrap();
    let both = Model::new(1).network(slstm(1)).unwrap().network(slstm(1)).unwrap();
    let mut stream = Stream::new(&both, 1, 1.0).unwrap();
    let state = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5];
    assert_eq!(
        said(stream.set_state(&state)),
        "state n: expected 0 for an empty state, and more for others, got -0.5"
    );
    let mut now = [7.0; 8];
    stream.copy_state_to(&mut now).unwrap();
    assert_eq!(now, [0.0; 8]);
    assert_eq!(model().with_sample_rate(48e3).unwrap().ratio_for(96e3), 2.0);
}
