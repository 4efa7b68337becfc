//! Small layers, whose numbers stand here by hand in the order of each system; and forms of one's own.

use super::*;

/// Two inputs, one unit: element (gate, input) of each system by hand.
#[test]
fn matrices_by_hand() {
    // LSTM, 4 gates of 2 inputs: our rows i, f, g, o.
    for (system, want) in [
        (Convention::PyTorch, [1., 2., 3., 4., 5., 6., 7., 8.]),
        // Rows i, o, f, c.
        (Convention::Onnx, [1., 2., 5., 6., 7., 8., 3., 4.]),
        // Columns i, f, c, o: the first input is 1 2 3 4, the second 5 6 7 8.
        (Convention::Keras, [1., 5., 2., 6., 3., 7., 4., 8.]),
        (Convention::OneDnn, [1., 5., 2., 6., 3., 7., 4., 8.]),
        (Convention::BlockLstmV2, [1., 5., 2., 6., 3., 7., 4., 8.]),
        // Columns i, c, f, o.
        (Convention::BlockLstm { forget_bias: 0.0 }, [1., 5., 3., 7., 2., 6., 4., 8.]),
        (Convention::Haiku, [1., 5., 3., 7., 2., 6., 4., 8.]),
        (Convention::Haste, [1., 5., 3., 7., 2., 6., 4., 8.]),
        // One matrix (2, 1) per gate.
        (Convention::Flax, [1., 2., 3., 4., 5., 6., 7., 8.]),
        (Convention::Burn, [1., 2., 3., 4., 5., 6., 7., 8.]),
        (Convention::Equinox, [1., 2., 3., 4., 5., 6., 7., 8.]),
        (Convention::CuDnn, [1., 2., 3., 4., 5., 6., 7., 8.]),
        (Convention::Paddle, [1., 2., 3., 4., 5., 6., 7., 8.]),
        (Convention::Lasagne, [1., 2., 3., 4., 5., 6., 7., 8.]),
        (Convention::Nnx, [1., 5., 2., 6., 3., 7., 4., 8.]),
        // Of one unit, (1, 2) taken as (2, 1) is the same numbers.
        (Convention::KerasCuDnn, [1., 5., 2., 6., 3., 7., 4., 8.]),
        // Rows i, f, o, g.
        (Convention::DyNet, [1., 2., 3., 4., 7., 8., 5., 6.]),
        (Convention::CoreMl, [1., 2., 3., 4., 7., 8., 5., 6.]),
    ] {
        let mut lstm = one(CellKind::Lstm, 2, 1);
        let arrays = Arrays { input: numbers(8), recurrent: numbers(4), ..Arrays::default() };
        system.load(&mut lstm, &[arrays]).unwrap();
        assert_eq!(parameter(&lstm, "weight_ih_l0"), want, "{system:?}");
    }
    // GRU, 3 gates: our rows r, z, n.
    for (kind, system, want) in [
        (CellKind::GruResetAfter, Convention::Onnx, [3., 4., 1., 2., 5., 6.]),
        (CellKind::GruResetBefore, Convention::Keras, [2., 5., 1., 4., 3., 6.]),
        (CellKind::GruResetAfter, Convention::OneDnn, [2., 5., 1., 4., 3., 6.]),
        (CellKind::GruResetAfter, Convention::Haste, [2., 5., 1., 4., 3., 6.]),
        // z is 1 - z there: the row of z has the other sign.
        (CellKind::GruResetBefore, Convention::Haiku, [2., 5., -1., -4., 3., 6.]),
        (CellKind::GruResetAfter, Convention::Flax, [1., 2., 3., 4., 5., 6.]),
        (CellKind::GruResetBefore, Convention::Burn, [1., 2., 3., 4., 5., 6.]),
        // (2, 2) of r, u is 1 2 / 3 4, (2, 1) of c is 5 / 6.
        (CellKind::GruResetBefore, Convention::GruBlock, [1., 3., 2., 4., 5., 6.]),
        (CellKind::GruResetAfter, Convention::CuDnn, [1., 2., 3., 4., 5., 6.]),
        (CellKind::GruResetAfter, Convention::KerasCuDnn, [2., 5., 1., 4., 3., 6.]),
        (CellKind::GruResetAfter, Convention::Nnx, [1., 4., 2., 5., 3., 6.]),
        (CellKind::GruResetBefore, Convention::DyNet, [3., 4., -1., -2., 5., 6.]),
        (CellKind::GruResetAfter, Convention::Lasagne, [1., 2., -3., -4., 5., 6.]),
    ] {
        let mut gru = one(kind, 2, 1);
        let arrays = Arrays { input: numbers(6), recurrent: numbers(3), ..Arrays::default() };
        system.load(&mut gru, &[arrays]).unwrap();
        assert_eq!(parameter(&gru, "weight_ih_l0"), want, "{system:?} {kind:?}");
    }
}

/// One input, two units in a matrix of one matrix per gate: units and inputs are not mixed up.
#[test]
fn units_by_hand() {
    for (system, want) in [
        (Convention::Keras, [1., 5., 2., 6., 3., 7., 4., 8.]),
        (Convention::Burn, [1., 3., 2., 4., 5., 7., 6., 8.]),
    ] {
        let mut rnn = Builder::new(CellKind::GruResetBefore, 2, 2).init(Init::Zero, 0).build().unwrap();
        let mut arrays = Arrays { input: vec![0.0; 12], recurrent: numbers(12), ..Arrays::default() };
        if system == Convention::Keras {
            // Columns z z r r h h: put 1.. where r and z of two units stand, so that ours are in a row.
            arrays.recurrent = vec![3., 4., 1., 2., 0., 0., 7., 8., 5., 6., 0., 0.];
        }
        system.load(&mut rnn, &[arrays]).unwrap();
        assert_eq!(parameter(&rnn, "weight_hh_l0")[..8], want, "{system:?}");
    }
}

#[test]
fn biases_by_hand() {
    let load = |kind, system: Convention, bias: Vec<f32>| {
        let mut network = one(kind, 1, 1);
        let gates = kind.gates();
        let (input, recurrent) = (vec![0.0; gates], vec![0.0; gates]);
        system.load(&mut network, &[Arrays { input, recurrent, bias, ..Arrays::default() }]).unwrap();
        (parameter(&network, "bias_ih_l0").to_vec(), parameter(&network, "bias_hh_l0").to_vec())
    };
    let (lstm, after, before) = (CellKind::Lstm, CellKind::GruResetAfter, CellKind::GruResetBefore);
    for (kind, system, count, ih, hh) in [
        (lstm, Convention::Onnx, 8, vec![1., 3., 4., 2.], vec![5., 7., 8., 6.]),
        (lstm, Convention::Keras, 4, vec![1., 2., 3., 4.], vec![0.0; 4]),
        (lstm, Convention::Haiku, 4, vec![1., 4., 2., 4.], vec![0.0; 4]),
        (lstm, Convention::BlockLstm { forget_bias: 0.5 }, 4, vec![1., 3.5, 2., 4.], vec![0.0; 4]),
        (lstm, Convention::Haiku, 0, vec![0., 1., 0., 0.], vec![0.0; 4]),
        (after, Convention::Keras, 6, vec![2., 1., 3.], vec![5., 4., 6.]),
        (after, Convention::OneDnn, 4, vec![2., 1., 3.], vec![0., 0., 4.]),
        (after, Convention::Flax, 4, vec![1., 2., 3.], vec![0., 0., 4.]),
        (before, Convention::Haiku, 3, vec![2., -1., 3.], vec![0.0; 3]),
        (before, Convention::Keras, 3, vec![2., 1., 3.], vec![0.0; 3]),
        (before, Convention::Burn, 6, vec![1., 2., 3.], vec![4., 5., 6.]),
        (lstm, Convention::DyNet, 4, vec![1., 3., 4., 3.], vec![0.0; 4]),
        (lstm, Convention::CoreMl, 4, vec![1., 2., 4., 3.], vec![0.0; 4]),
        (lstm, Convention::KerasCuDnn, 8, vec![1., 2., 3., 4.], vec![5., 6., 7., 8.]),
        (lstm, Convention::Nnx, 4, vec![0.0; 4], vec![1., 2., 3., 4.]),
        (after, Convention::Nnx, 3, vec![1., 2., 3.], vec![0.0; 3]),
        (after, Convention::KerasCuDnn, 6, vec![2., 1., 3.], vec![5., 4., 6.]),
        (after, Convention::Lasagne, 3, vec![1., -2., 3.], vec![0.0; 3]),
        (before, Convention::GruBlock, 3, vec![1., 2., 3.], vec![0.0; 3]),
        (before, Convention::DyNet, 3, vec![2., -1., 3.], vec![0.0; 3]),
    ] {
        assert_eq!(load(kind, system, numbers(count)), (ih, hh), "{system:?} {kind:?}");
    }
}

/// Two inputs, three units: what Keras's own conversion (`_convert_rnn_weights`) makes of the kernels of a
/// CuDNNLSTM.
#[test]
fn kernels_of_keras_2_on_cudnn() {
    // Gate i of (I, H) = [[0, 3, 1], [4, 2, 5]]: Keras makes [[0, 1, 2], [3, 4, 5]] of it, whose transpose is
    // ours.
    let mut input = vec![0.0; 24];
    input[..3].copy_from_slice(&[0., 3., 1.]);
    input[12..15].copy_from_slice(&[4., 2., 5.]);
    // Gate f of (H, H) = 1..=9, row-major: Keras transposes it, and so do we.
    let mut recurrent = vec![0.0; 36];
    (0..3).for_each(|row| {
        (0..3).for_each(|column| recurrent[row * 12 + 3 + column] = (row * 3 + column + 1) as f32);
    });
    let mut lstm = one(CellKind::Lstm, 2, 3);
    let arrays = Arrays { input, recurrent, ..Arrays::default() };
    Convention::KerasCuDnn.load(&mut lstm, std::slice::from_ref(&arrays)).unwrap();
    assert_eq!(parameter(&lstm, "weight_ih_l0")[..6], [0., 3., 1., 4., 2., 5.]);
    assert_eq!(parameter(&lstm, "weight_hh_l0")[9..18], numbers(9)[..]);
    assert_eq!(Convention::KerasCuDnn.save(&lstm).unwrap()[0].input, arrays.input);
}

/// Every part of a form, by hand.
#[test]
fn a_form_of_ones_own() {
    let lstm_order = [Gate::Cell, Gate::Input, Gate::Forget, Gate::Output];
    let form = Form::new(CellKind::Lstm)
        .order(&lstm_order)
        .orientation(Orientation::ColumnsPerGate)
        .biases(Biases::Recurrent)
        .added(Gate::Forget, 1.0)
        .peepholes(Some([Gate::Output, Gate::Input, Gate::Forget]))
        .scale(0.5)
        .bias_scale(0.25);
    let mut lstm = Builder::new(CellKind::Lstm, 2, 1).peephole(true).init(Init::Zero, 0).build().unwrap();
    let arrays = Arrays {
        input: numbers(8),
        recurrent: numbers(4),
        bias: numbers(4),
        peephole: numbers(3),
        // One for each row, in the form's order: g, i, f, o.
        input_scales: vec![1., 10., 100., 1000.],
        recurrent_scales: vec![2.0],
        ..Arrays::default()
    };
    form.load(&mut lstm, std::slice::from_ref(&arrays)).unwrap();
    assert_eq!(parameter(&lstm, "weight_ih_l0"), [15., 20., 250., 300., 0.5, 1., 3500., 4000.]);
    assert_eq!(parameter(&lstm, "weight_hh_l0"), [2., 3., 1., 4.]);
    assert_eq!(parameter(&lstm, "bias_ih_l0"), [0.0; 4]);
    assert_eq!(parameter(&lstm, "bias_hh_l0"), [0.5, 1.75, 0.25, 1.0]);
    assert_eq!(parameter(&lstm, "peephole_l0"), [1.0, 1.5, 0.5]);
    let saved = &form.save(&lstm).unwrap()[0];
    assert_eq!(saved.recurrent, [2., 4., 6., 8.]);
    assert_eq!((&saved.bias, &saved.peephole), (&arrays.bias, &arrays.peephole));

    // No bias at all, and the candidate's alone on the side of the state.
    let gru = Builder::new(CellKind::GruResetAfter, 1, 1).bias(Bias::None).init(Init::Zero, 0);
    let mut gru = gru.build().unwrap();
    let bare = Arrays { input: numbers(3), recurrent: numbers(3), ..Arrays::default() };
    let without = Form::new(CellKind::GruResetAfter).biases(Biases::None);
    without.load(&mut gru, std::slice::from_ref(&bare)).unwrap();
    assert_eq!(without.save(&gru).unwrap(), std::slice::from_ref(&bare));
    let error =
        without.load(&mut gru, &[Arrays { bias: numbers(3), ..bare.clone() }]).unwrap_err().to_string();
    assert_eq!(error, "bias_l0: expected 0 values, got 3");
    let mut gru = one(CellKind::GruResetAfter, 1, 1);
    gru.update(|parameters| parameters.fill(1.0));
    for (biases, want) in [
        (Biases::Input, "bias_hh_l0: expected zeros where this form has no bias, got 1"),
        (Biases::Recurrent, "bias_ih_l0: expected zeros where this form has no bias, got 1"),
        (Biases::None, "bias_ih_l0: expected zeros where this form has no bias, got 2"),
    ] {
        let form = Form::new(CellKind::GruResetAfter).biases(biases);
        assert_eq!(form.save(&gru).unwrap_err().to_string(), want);
    }
    let form = Form::new(CellKind::GruResetAfter).biases(Biases::InputAndNew);
    assert_eq!(form.save(&gru).unwrap()[0].bias, [2., 2., 1., 1.]);
}

#[test]
fn forms_that_contradict_themselves_are_errors() {
    let mut lstm = one(CellKind::Lstm, 1, 1);
    let form = || Form::new(CellKind::Lstm);
    let arrays = Arrays { input: numbers(4), recurrent: numbers(4), ..Arrays::default() };
    for (form, want) in [
        (Form::new(CellKind::GruResetAfter), "a network of GruResetAfter, got a network of Lstm"),
        (form().order(&[Gate::Input]), "an order of all gates of Lstm, got [Input]"),
        (form().order(&[Gate::Input; 4]), "an order of all gates of Lstm"),
        (form().order(&[Gate::Reset; 4]), "gates of Lstm, got Reset"),
        (form().turned(&[Gate::Update]), "gates of Lstm, got Update"),
        (form().added(Gate::New, 1.0), "gates of Lstm, got New"),
        (form().added(Gate::Forget, f32::NAN), "a finite number, got NaN"),
        (form().scale(0.0), "a finite number other than zero, not subnormal, got 0"),
        (form().scale(1e-40), "a finite number other than zero, not subnormal, got 9.99"),
        (form().bias_scale(f32::INFINITY), "a finite number other than zero, not subnormal, got inf"),
        (form().peepholes(Some([Gate::Input; 3])), "each peephole once"),
        (
            form().peepholes(Some([Gate::Input, Gate::Cell, Gate::Output])),
            "peepholes of Input, Forget and Output",
        ),
    ] {
        let error = form.load(&mut lstm, std::slice::from_ref(&arrays)).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert!(form.save(&lstm).is_err());
    }
    for scale in [0.0, f32::NAN, f32::INFINITY] {
        let wrong = Arrays { input_scales: vec![scale], ..arrays.clone() };
        let said = form().load(&mut lstm, &[wrong]).unwrap_err().to_string();
        assert!(said.starts_with("the scale of weights: expected a finite number other than zero"), "{said}");
    }
    let wrong = Arrays { input_scales: vec![1.0; 3], ..arrays.clone() };
    let error = form().load(&mut lstm, &[wrong]).unwrap_err().to_string();
    assert_eq!(error, "scales of weight_ih_l0: expected none, 1 or 4, got 3");
    assert_eq!(parameter(&lstm, "weight_ih_l0"), [0.0; 4]);
    for (system, kind) in [
        (Convention::CoreMl, CellKind::GruResetAfter),
        (Convention::DyNet, CellKind::GruResetAfter),
        (Convention::Lasagne, CellKind::GruResetBefore),
        (Convention::KerasCuDnn, CellKind::ElmanTanh),
    ] {
        let error = system.form(kind).unwrap_err().to_string();
        assert_eq!(error, format!("{system:?}: expected a cell that it has, got {kind:?}"));
    }
    for kind in [CellKind::MinGru, CellKind::MinLstm, CellKind::IndRnn] {
        let error = Convention::PyTorch.form(kind).unwrap_err().to_string();
        assert_eq!(error, format!("PyTorch: expected a cell that it has, got {kind:?}"));
        let mut network = one(kind, 2, 3);
        let error = Form::new(kind).load(&mut network, &[Arrays::default()]).unwrap_err().to_string();
        assert!(
            error.starts_with("this form: expected a cell whose recurrent weights have all gates"),
            "{error}"
        );
    }
}

#[test]
fn peepholes_and_projections_by_hand() {
    let mut lstm = Builder::new(CellKind::Lstm, 1, 1).peephole(true).init(Init::Zero, 0).build().unwrap();
    let arrays = Arrays {
        input: vec![0.0; 4],
        recurrent: vec![0.0; 4],
        peephole: vec![1.0, 2.0, 3.0],
        ..Arrays::default()
    };
    Convention::Onnx.load(&mut lstm, std::slice::from_ref(&arrays)).unwrap();
    assert_eq!(parameter(&lstm, "peephole_l0"), [1.0, 3.0, 2.0]);
    Convention::OneDnn.load(&mut lstm, std::slice::from_ref(&arrays)).unwrap();
    assert_eq!(parameter(&lstm, "peephole_l0"), [1.0, 2.0, 3.0]);
    let error = Convention::Keras.load(&mut lstm, &[arrays]).unwrap_err().to_string();
    assert!(error.starts_with("peephole_l0: expected none in Keras"), "{error}");

    let mut lstm = Builder::new(CellKind::Lstm, 1, 3).projection(2).init(Init::Zero, 0).build().unwrap();
    let arrays = Arrays {
        input: vec![0.0; 12],
        recurrent: vec![0.0; 24],
        projection: numbers(6),
        ..Arrays::default()
    };
    Convention::OneDnn.load(&mut lstm, &[arrays]).unwrap();
    assert_eq!(parameter(&lstm, "weight_hr_l0"), [1., 3., 5., 2., 4., 6.]);
}
