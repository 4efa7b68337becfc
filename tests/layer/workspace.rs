use fused_rnn::{Dims, Gradients, Keep, Lstm, Tape, Upstream, Workspace};

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
