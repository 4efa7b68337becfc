//! What a builder refuses: sizes, and options that the cell does not have.

use super::{H, I};
use fused_rnn::*;

#[test]
fn builders_name_every_wrong_size() {
    let zero = |what| Some(Error::ZeroSize { what });
    assert_eq!(Lstm::builder(0, 1).build().err(), zero("input_size"));
    assert_eq!(Lstm::builder(1, 0).build().err(), zero("hidden_size"));
    assert_eq!(Lstm::builder(1, 1).layers(0).build().err(), zero("layers"));
    for dropout in [-0.1, 1.0, f32::NAN, f32::INFINITY] {
        let error = Lstm::builder(1, 1).dropout(dropout).build().err();
        assert!(matches!(error, Some(Error::OutOfRange { what: "dropout", .. })), "{dropout}: {error:?}");
    }
    for (input, hidden, layers) in [
        (usize::MAX, 1, 1),
        (1, usize::MAX, 1),
        (1, 1 << (usize::BITS / 2 + 8), 1),
        (1, 1, usize::MAX),
        (usize::MAX / 2, 2, 1),
    ] {
        let error = Lstm::builder(input, hidden).layers(layers).build().err();
        assert!(matches!(error, Some(Error::SizeOverflow { .. } | Error::OutOfMemory { .. })), "{error:?}");
    }
    // A thousand million small layers.
    let error = Lstm::builder(64, 64).layers(1_000_000_000).build().err();
    assert!(matches!(error, Some(Error::OutOfMemory { .. })), "{error:?}");
    // Fits an address, but no memory.
    #[cfg(target_pointer_width = "64")]
    {
        let error = Lstm::builder(1 << 40, 16).build().err();
        assert!(matches!(error, Some(Error::OutOfMemory { .. })), "{error:?}");
    }
}

#[test]
fn options_that_a_cell_does_not_have_are_named() {
    let (lstm, gru) = (|| Lstm::builder(I, H), || Gru::reset_after(I, H));
    let relu = Activation::Relu;
    let infinite = Activation::Affine { alpha: f32::INFINITY, beta: 0.0 };
    let mut table = vec![
        (gru().peephole(true), "not supported: peepholes of a cell other than the LSTM".to_owned()),
        (gru().coupled(true), "not supported: coupled gates of a cell other than the LSTM".to_owned()),
        (gru().cell_clip(1.0), "not supported: a clip of the cell state of a cell that has none".to_owned()),
        (Lstm::exponential(I, H).clip(1.0), "not supported: a clip of an sLSTM".to_owned()),
        (
            Lstm::exponential(I, H).zoneout(0.5, 0.5),
            "not supported: zoneout of the cell state of an sLSTM".to_owned(),
        ),
        (
            Lstm::exponential(I, H).cell_clip(0.5),
            "not supported: a clip of the cell state of an sLSTM".to_owned(),
        ),
        (lstm().heads(2), "not supported: heads of a cell other than the sLSTM".to_owned()),
        (gru().heads(0), "not supported: heads of a cell other than the sLSTM".to_owned()),
        (
            Lstm::exponential(I, H).heads(0),
            "heads: expected a number that divides hidden_size, got 0".to_owned(),
        ),
        (
            Lstm::exponential(I, H).heads(H + 1),
            format!("heads: expected a number that divides hidden_size, got {}", H + 1),
        ),
        (
            Gru::minimal(I, H).recurrent_dropout(0.5),
            "not supported: recurrent dropout of a cell without recurrent weights".to_owned(),
        ),
        (
            Lstm::minimal(I, H).zoneout(0.5, 0.5),
            "not supported: zoneout of the cell state of a cell that has none".to_owned(),
        ),
        (Lstm::minimal(I, H).activations(&[relu; 3]), "activations: expected 1 values, got 3".to_owned()),
        (gru().projection(2), "not supported: a projection of a cell other than the LSTM".to_owned()),
        (
            lstm().layer_norm(1e-5).peephole(true),
            "not supported: layer normalisation with peepholes, coupled gates or a projection".to_owned(),
        ),
        (
            lstm().layer_norm(1e-5).coupled(true),
            "not supported: layer normalisation with peepholes, coupled gates or a projection".to_owned(),
        ),
        (
            lstm().layer_norm(1e-5).projection(2),
            "not supported: layer normalisation with peepholes, coupled gates or a projection".to_owned(),
        ),
        (
            lstm().activations_reverse(&[relu; 3]),
            "not supported: activations_reverse of a layer that only runs forward".to_owned(),
        ),
        (lstm().activations(&[relu; 2]), "activations: expected 3 values, got 2".to_owned()),
        (gru().activations(&[relu; 3]), "activations: expected 2 values, got 3".to_owned()),
        (Rnn::relu(I, H).activations(&[]), "activations: expected 1 values, got 0".to_owned()),
        (
            lstm().bidirectional(true).activations_reverse(&[relu; 1]),
            "activations_reverse: expected 3 values, got 1".to_owned(),
        ),
        (
            Rnn::tanh(I, H).activations(&[infinite]),
            "parameter of an activation: expected a finite number, got inf".to_owned(),
        ),
    ];
    for cell in [Gru::reset_before(I, H), Rnn::tanh(I, H)] {
        let what = "layer normalisation of a cell other than the LSTM and the GRU that resets after";
        table.push((cell.layer_norm(1e-5), format!("not supported: {what}")));
    }
    for value in [0.0, -1.0, f32::NAN] {
        table.push((lstm().clip(value), format!("clip: expected a positive number, got {value}")));
        table.push((lstm().cell_clip(value), format!("cell_clip: expected a positive number, got {value}")));
        let said = format!("epsilon of layer_norm: expected a positive number, got {value}");
        table.push((lstm().layer_norm(value), said));
    }
    for size in [0, H + 1, usize::MAX] {
        let said = format!("projection: expected a size from 1 to hidden_size, got {}", size as f64);
        table.push((lstm().projection(size), said));
    }
    for (builder, expected) in table {
        assert_eq!(builder.build().unwrap_err().to_string(), expected);
    }
    // A reverse network has no steps either, and names without a direction.
    let reverse = lstm().direction(Direction::Reverse).build().unwrap();
    let mut state = reverse.zero_state(1).unwrap();
    let step = reverse.step(&[0.0; I], &mut state, None, &mut Workspace::new());
    assert_eq!(step, Err(Error::Unsupported { what: "a step of a bidirectional or reverse network" }));
    assert!(reverse.named_parameters().all(|parameter| !parameter.name.contains("reverse")));
}
