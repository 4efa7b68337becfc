//! Workspaces: what they hold, and that networks of different shapes can share one.

use fused_rnn::{
    Builder, CellKind, Dims, Direction, Gradients, Init, Keep, Level, Lstm, Recurrent, Tape, Threads,
    Upstream, Workspace,
};

#[test]
fn a_workspace_says_how_much_it_has_grown() {
    let (lstm, mut workspace) = (Lstm::builder(16, 32).layers(2).build().unwrap(), Workspace::new());
    assert_eq!(workspace.bytes(), 0);
    let (x, dims, y) = (vec![0.5; 4 * 40 * 16], Dims::new(4, 40), vec![0.1; 4 * 40 * 32]);
    lstm.forward(&x, dims, &mut lstm.zero_state(4).unwrap(), None, &mut workspace).unwrap();
    let forward = workspace.bytes();
    // Two slots of h and c of two layers, and the output of the first.
    assert!(forward >= 4 * (2 * 2 * 2 * 4 * 32 + y.len()), "{forward}");
    let (mut tape, mut state) = (Tape::keeping(Keep::Every(8)), lstm.zero_state(4).unwrap());
    lstm.forward_train(&x, dims, &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut parameters = vec![0.0; lstm.parameters().len()];
    let (upstream, gradients) = (Upstream::default().with_dy(&y), Gradients::of_parameters(&mut parameters));
    lstm.backward(&x, &tape, upstream, gradients, &mut workspace).unwrap();
    // The gates of eight steps that are run again, and their gradients.
    assert!(workspace.bytes() >= forward + 2 * 4 * 8 * 4 * 4 * 32, "{} after {forward}", workspace.bytes());
    let grown = workspace.bytes();
    lstm.forward(&x, dims, &mut lstm.zero_state(4).unwrap(), None, &mut workspace).unwrap();
    assert_eq!(workspace.bytes(), grown);
}

/// A workspace keeps what is ready for the steps of a network. It must not take another network for that
/// one: a clone, one that was cloned from and is gone, one with other values, one that moved.
#[test]
fn steps_of_several_networks_share_a_workspace() {
    let fresh = |network: &Recurrent, x: &[f32]| {
        let (mut state, mut y) = (network.zero_state(1).unwrap(), vec![0.0; network.config().output_size()]);
        for x in x.chunks_exact(network.config().input_size()) {
            network.step(x, &mut state, Some(&mut y), &mut Workspace::new()).unwrap();
        }
        y
    };
    const STEPS: usize = 70;
    let x: Vec<f32> = (0..2 * STEPS).map(|n| (n as f32 * 0.7).sin()).collect();
    for level in Level::available() {
        for kind in [CellKind::Lstm, CellKind::GruResetAfter, CellKind::GruResetBefore, CellKind::ElmanTanh] {
            for (hidden, layers) in [(3, 1), (16, 3), (40, 2), (200, 1)] {
                let builder = Builder::new(kind, 2, hidden).layers(layers).level(level);
                let mut workspace = Workspace::new();
                let mut same = |network: &Recurrent, what: &str| {
                    let mut state = network.zero_state(1).unwrap();
                    let mut y = vec![0.0; network.config().output_size()];
                    for x in x.chunks_exact(2) {
                        network.step(x, &mut state, Some(&mut y), &mut workspace).unwrap();
                    }
                    let want = fresh(network, &x);
                    assert_eq!(y, want, "{kind:?}, {hidden} units, {level}: {what}");
                    // All steps at once, of which some go through a layer together, and some of them.
                    for steps in [STEPS, 1 + STEPS / 2] {
                        let (mut state, x) = (network.zero_state(1).unwrap(), x.split_at(2 * steps));
                        for x in [x.0, x.1] {
                            let mut all = vec![0.0; x.len() / 2 * y.len()];
                            let dims = Dims::new(1, x.len() / 2);
                            network.forward(x, dims, &mut state, Some(&mut all), &mut workspace).unwrap();
                            if let Some(last) = all.rchunks_exact(y.len()).next() {
                                y.copy_from_slice(last);
                            }
                        }
                        assert_eq!(y, want, "{kind:?}, {hidden} units, {level}: {what}, {steps} steps");
                    }
                };
                let network = builder.clone().build().unwrap();
                same(&network, "the first");
                let mut clone = network.clone();
                drop(network);
                same(&clone, "a clone of one that is gone");
                clone.update(|parameters| parameters.iter_mut().for_each(|value| *value *= -0.5));
                same(&clone, "other values");
                let last = clone.named_parameters().last().unwrap().name;
                let zeros = vec![0.0; clone.named_parameters().last().unwrap().values.len()];
                clone.set_parameter(&last, &zeros).unwrap();
                same(&clone, "another tensor");
                let moved = Box::new(clone);
                same(&moved, "moved");
                let clones: Vec<Recurrent> = (0..3).map(|_| (*moved).clone()).collect();
                drop(moved);
                clones.iter().rev().for_each(|clone| same(clone, "clones"));
                same(&builder.init(Init::PyTorch, 10).build().unwrap(), "another network");
                same(&clones[0], "a clone again");
            }
        }
    }
}

/// What is ready for one network does not decide what a call of another is: of one that runs in reverse or in
/// both directions, nor of other sizes than its dims say.
#[test]
fn one_step_after_steps_of_another_network() {
    let builder = || Lstm::builder(2, 3).threads(Threads::Count(1));
    let (single, x) = (builder().build().unwrap(), [0.5, -0.25, 1.0, 0.75]);
    let mut workspace = Workspace::new();
    let step = |workspace: &mut Workspace| {
        single.step(&x[..2], &mut single.zero_state(1).unwrap(), None, workspace).unwrap();
    };
    for direction in [Direction::Reverse, Direction::Both, Direction::Forward] {
        for layers in [1, 2] {
            let network = builder().layers(layers).direction(direction).build().unwrap();
            let (mut state, mut y) =
                (network.zero_state(1).unwrap(), vec![0.0; network.config().output_size()]);
            step(&mut workspace);
            network.forward(&x[..2], Dims::new(1, 1), &mut state, Some(&mut y), &mut workspace).unwrap();
            assert_eq!(y, network.run(&x[..2], Dims::new(1, 1)).unwrap().y, "{direction:?}, {layers} layers");
        }
    }
    // One row, and a state of two.
    for warm in [false, true] {
        let mut workspace = Workspace::new();
        if warm {
            step(&mut workspace);
        }
        let (mut state, mut y) = (single.zero_state(2).unwrap(), [7.0; 6]);
        let mut error = |x: &[f32], y: &mut [f32]| {
            let dims = Dims::new(1, 1);
            single.forward(x, dims, &mut state, Some(y), &mut workspace).unwrap_err().to_string()
        };
        let want = "state: batch: expected 1, got 2";
        assert_eq!(error(&x[..2], &mut y[..3]), want, "ready: {warm}");
        assert!(error(&x, &mut y).starts_with("x"), "ready: {warm}");
        assert_eq!(y, [7.0; 6]);
    }
}
