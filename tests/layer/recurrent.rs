//! What a network says of itself: its `Debug` text, and how it is built.

use fused_rnn::{
    Dims, Direction, Gradients, Gru, Layout, Lstm, Precision, Schedule, Tape, Threads, Upstream, Workspace,
};

#[test]
fn a_network_says_what_it_holds_without_its_values() {
    let lstm = Lstm::builder(16, 32).layers(2).bidirectional(true).build().unwrap();
    let ranges: Vec<_> = lstm.named_parameters().map(|tensor| tensor.range).collect();
    assert_eq!((ranges[0].start, ranges[15].end, ranges.len()), (0, lstm.parameters().len(), 16));
    assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert!(lstm.named_parameters().all(|tensor| tensor.values == &lstm.parameters()[tensor.range]));

    let parameters = 4 * lstm.parameters().len();
    let before = lstm.bytes();
    // Nothing is padded here: matrices and the sum of both biases are there once more.
    assert!((2 * parameters - parameters / 16..=2 * parameters).contains(&before), "{before}");
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = lstm.zero_state(1).unwrap();
    let (x, dhn) = ([0.5; 3 * 16], [1.0; 4 * 32]);
    let dims = Dims::new(1, 3);
    lstm.forward_train(&x, dims, &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let (mut dx, upstream) = ([0.0; 3 * 16], Upstream::default().with_dhn(&dhn));
    lstm.backward(&x, &tape, upstream, Gradients::default().with_dx(&mut dx), &mut workspace).unwrap();
    let matrices = lstm.named_parameters().filter(|tensor| tensor.shape.len() == 2);
    let matrices: usize = matrices.map(|tensor| 4 * tensor.values.len()).sum();
    assert!(lstm.bytes() >= before + matrices, "{} after {before}", lstm.bytes());
    for said in [format!("{lstm:?}"), format!("{tape:?}"), format!("{workspace:?}")] {
        assert!(said.len() < 1500 && said.contains("bytes"), "{said}");
    }
}

#[test]
fn a_network_says_how_it_is_built() {
    let builder = || Lstm::builder(2, 5).direction(Direction::Reverse);
    let lstm = builder().projection(3).clip(2.0).cell_clip(4.0).peephole(true).build().unwrap();
    let config = lstm.config();
    assert_eq!((config.clip(), config.cell_clip(), config.projection()), (Some(2.0), Some(4.0), Some(3)));
    assert!(config.peephole() && !config.coupled());
    let coupled = builder().coupled(true).build().unwrap();
    let config = coupled.config();
    assert_eq!((config.clip(), config.cell_clip(), config.projection()), (None, None, None));
    assert!(config.coupled() && !config.peephole());
    let of_all = [Layout::BatchFirst, Layout::TimeMajor].map(|layout| {
        let gru = Gru::reset_after(2, 5).layers(3).layout(layout).precision(Precision::Bf16);
        let gru = gru.threads(Threads::Count(3)).schedule(Schedule::Units).layer_norm(0.5);
        gru.dropout(0.1).recurrent_dropout(0.2).input_dropout(0.3).zoneout(0.4, 0.0).build().unwrap()
    });
    for (gru, layout) in of_all.iter().zip([Layout::BatchFirst, Layout::TimeMajor]) {
        let config = gru.config();
        assert_eq!((config.input_size(), config.hidden_size(), config.layers()), (2, 5, 3));
        assert_eq!((config.layout(), config.precision()), (layout, Precision::Bf16));
        assert_eq!((config.threads(), config.schedule()), (Threads::Count(3), Schedule::Units));
        assert_eq!((config.layer_norm(), config.heads()), (Some(0.5), 1));
        let dropout = [config.dropout(), config.recurrent_dropout(), config.input_dropout()];
        assert_eq!((dropout, config.zoneout()), ([0.1, 0.2, 0.3], [0.4, 0.0]));
    }
    let slstm = Lstm::exponential(2, 6).heads(3).build().unwrap();
    assert_eq!((slstm.config().heads(), slstm.config().layer_norm()), (3, None));
}
