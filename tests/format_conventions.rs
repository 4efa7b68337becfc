//! Conversions of weights: figures by hand for every system, and back again for every network.

use fused_rnn::format::{
    Arrays, Biases, Convention, Form, Gate, Orientation, Tensor, Tensors, keras, state_dict,
};
use fused_rnn::{Bias, Builder, CellKind, Init, Recurrent, Rng};
use proptest::prelude::*;

const SYSTEMS: [Convention; 19] = [
    Convention::PyTorch,
    Convention::Keras,
    Convention::Onnx,
    Convention::OneDnn,
    Convention::BlockLstm { forget_bias: 1.0 },
    Convention::BlockLstmV2,
    Convention::Flax,
    Convention::Haiku,
    Convention::Equinox,
    Convention::Haste,
    Convention::Burn,
    Convention::CuDnn,
    Convention::KerasCuDnn,
    Convention::GruBlock,
    Convention::Nnx,
    Convention::Paddle,
    Convention::DyNet,
    Convention::CoreMl,
    Convention::Lasagne,
];

fn one(kind: CellKind, input: usize, hidden: usize) -> Recurrent {
    Builder::new(kind, input, hidden).init(Init::Zero, 0).build().unwrap()
}

fn parameter<'a>(network: &'a Recurrent, name: &str) -> &'a [f32] {
    network.named_parameters().find(|tensor| tensor.name == name).unwrap().values
}

fn numbers(count: usize) -> Vec<f32> {
    (1..=count).map(|number| number as f32).collect()
}

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

/// Sizes agree, shapes do not: what the file tells is compared.
#[test]
fn systems_are_not_mixed_up_where_shapes_tell() {
    let tensor = |shape: &[usize]| Tensor::new(shape, vec![0.25; shape.iter().product()]).unwrap();
    let arrays = |input: &[usize], recurrent: &[usize], bias: &[usize]| {
        Arrays::from_tensors(tensor(input), tensor(recurrent), (!bias.is_empty()).then(|| tensor(bias)))
    };
    let mut lstm = one(CellKind::Lstm, 2, 3);
    let mut gru = one(CellKind::GruResetAfter, 2, 3);
    // CuDNNLSTM's: PyTorch's sizes, Keras's shapes, and twice Keras's biases.
    let cudnn = arrays(&[2, 12], &[3, 12], &[24]);
    for system in [Convention::PyTorch, Convention::Onnx, Convention::Keras, Convention::Flax] {
        let error = system.load(&mut lstm, std::slice::from_ref(&cudnn)).unwrap_err().to_string();
        let (shape, bias) = (error.contains("shape [2, 12]"), error.contains("Convention::KerasCuDnn"));
        assert_eq!(
            (shape, bias),
            if system == Convention::Keras { (false, true) } else { (true, false) },
            "{error}"
        );
    }
    Convention::KerasCuDnn.load(&mut lstm, &[cudnn]).unwrap();
    let keras = arrays(&[2, 12], &[3, 12], &[12]);
    let error = Convention::KerasCuDnn.load(&mut lstm, std::slice::from_ref(&keras)).unwrap_err().to_string();
    assert_eq!(error, "bias of the weights _l0: expected 24 values, got 12, of shape [12]");
    Convention::Keras.load(&mut lstm, &[keras]).unwrap();
    // The GRUs of Keras differ in the shape of their bias alone.
    let (theirs, cudnn) = (arrays(&[2, 9], &[3, 9], &[2, 9]), arrays(&[2, 9], &[3, 9], &[18]));
    assert!(Convention::KerasCuDnn.load(&mut gru, std::slice::from_ref(&theirs)).is_err());
    let error = Convention::Keras.load(&mut gru, std::slice::from_ref(&cudnn)).unwrap_err().to_string();
    assert!(error.contains("got 18, of shape [18], as CuDNNLSTM and CuDNNGRU of Keras 2 have"), "{error}");
    Convention::Keras.load(&mut gru, &[theirs]).unwrap();
    Convention::KerasCuDnn.load(&mut gru, &[cudnn]).unwrap();
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
    assert_eq!(error, "bias of the weights _l0: expected 0 values, got 3");
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
    assert_eq!(error, "scales of weight_ih of the weights _l0: expected none, 1 or 4, got 3");
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
    assert!(error.starts_with("peephole of the weights _l0: expected none in Keras"), "{error}");

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

#[test]
fn what_does_not_fit_is_named_and_nothing_is_written() {
    let mut gru = Builder::new(CellKind::GruResetAfter, 2, 3).bias(Bias::Single).build().unwrap();
    let before = gru.parameters().to_vec();
    let good =
        Arrays { input: vec![1.0; 18], recurrent: vec![1.0; 27], bias: vec![0.0; 18], ..Arrays::default() };
    let mut said = |system: Convention, arrays: &[Arrays]| {
        let error = system.load(&mut gru, arrays).unwrap_err().to_string();
        assert_eq!(gru.parameters(), before, "written before: {error}");
        error
    };
    let with = |change: fn(&mut Arrays)| {
        let mut arrays = good.clone();
        change(&mut arrays);
        arrays
    };
    assert!(said(Convention::Onnx, &[]).contains("expected 1, got 0"));
    assert!(said(Convention::Onnx, &[with(|a| _ = a.input.pop())]).contains("weight_ih of the weights _l0"));
    assert!(said(Convention::Onnx, &[with(|a| _ = a.bias.pop())]).contains("expected 18 values, got 17"));
    // A bias inside the product with r cannot become another.
    assert!(said(Convention::Onnx, &[with(|a| a.bias[17] = 1.0)]).starts_with("bias_hh_l0: expected zeros"));
    assert!(said(Convention::BlockLstmV2, std::slice::from_ref(&good)).contains("a cell that it has"));
    Convention::Onnx.load(&mut gru, &[with(|a| a.bias[9] = 1.0)]).unwrap();
    assert_ne!(gru.parameters(), before);
}

fn network(kind: CellKind, layers: usize, both: bool, bias: Bias, sizes: [usize; 2], seed: u64) -> Recurrent {
    let builder = Builder::new(kind, sizes[0], sizes[1]).layers(layers).bidirectional(both).bias(bias);
    let mut network = builder.init(Init::PyTorch, seed).build().unwrap();
    // Multiples of 1/64: sums of biases are exact.
    let mut rng = Rng::new(seed);
    network.update(|parameters| parameters.fill_with(|| rng.uniform(-64.0, 64.0).round() / 64.0));
    network
}

proptest! {
    #[test]
    fn there_and_back(
        kind in prop::sample::select(CellKind::ALL.to_vec()),
        layers in 1usize..3,
        both: bool,
        bias in prop::sample::select(vec![Bias::Double, Bias::Single, Bias::None]),
        sizes in [1usize..4, 1usize..5],
        seed: u64,
    ) {
        let from = network(kind, layers, both, bias, sizes, seed);
        for system in SYSTEMS {
            let Ok(cells) = system.save(&from) else { continue };
            // Into the same network: its form of biases can hold what it gave.
            let mut to = network(kind, layers, both, bias, sizes, seed ^ 1);
            system.load(&mut to, &cells).unwrap();
            prop_assert_eq!(&system.save(&to).unwrap(), &cells, "{:?}", system);
            let x: Vec<f32> = (0..3 * sizes[0]).map(|k| k as f32 * 0.25 - 0.5).collect();
            let dims = fused_rnn::Dims::new(1, 3);
            let (a, b) = (from.run(&x, dims).unwrap().y, to.run(&x, dims).unwrap().y);
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a - b).abs() < 1e-5, "{:?}: {} for {}", system, b, a);
            }
        }
        let tensors = state_dict::save(&from).unwrap();
        let mut to = state_dict::builder(&tensors, kind).unwrap().build().unwrap();
        state_dict::load(tensors.clone(), &mut to).unwrap();
        prop_assert_eq!(state_dict::save(&to).unwrap(), tensors);
    }
}

#[test]
fn a_state_dict_says_its_sizes_and_must_be_whole() {
    let from =
        Builder::new(CellKind::Lstm, 3, 4).layers(2).bidirectional(true).projection(2).build().unwrap();
    let tensors = state_dict::save(&from).unwrap();
    let mut to = state_dict::builder(&tensors, CellKind::Lstm).unwrap().build().unwrap();
    assert_eq!(to.config().projection(), Some(2));
    assert_eq!((to.config().layers(), to.config().directions()), (2, 2));
    let before = to.parameters().to_vec();
    let mut said = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        let error = state_dict::load(tensors, &mut to).unwrap_err().to_string();
        assert_eq!(to.parameters(), before);
        error
    };
    let tensor = |shape: &[usize]| Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
    assert_eq!(
        said(&|t| _ = t.remove("weight_hr_l1_reverse")),
        "weight_hr_l1_reverse: expected a tensor of shape [2, 4], got none"
    );
    assert_eq!(
        said(&|t| _ = t.remove("bias_hh_l0")),
        "bias_hh_l0: expected a tensor of shape [16], got none"
    );
    assert_eq!(
        said(&|t| t.insert("weight_ih_l1", tensor(&[16, 3]))),
        "weight_ih_l1: expected a tensor of shape [16, 4], got shape [16, 3]"
    );
    assert_eq!(
        said(&|t| t.insert("weight_ih_l2", tensor(&[16, 4]))),
        "tensors: expected none that has no place here, got weight_ih_l2"
    );
    assert_eq!(
        said(&|t| {
            let mut all = Tensors::new();
            all.insert_all("rec.", std::mem::take(t));
            *t = all;
        }),
        "bias_ih_l0: expected a tensor of shape [16], got none, but \"rec.bias_ih_l0\": read the file with the prefix \
         \"rec.\""
    );
    // What is no parameter is left alone, wrappers are passed over.
    let mut more = Tensors::new();
    more.insert_all("module.", tensors.clone());
    more.insert("head.weight", tensor(&[3, 3]));
    state_dict::load(more, &mut to).unwrap();
    assert_eq!(to.parameters(), from.parameters());
    let mut plain = state_dict::save(&Builder::new(CellKind::Lstm, 1, 40).build().unwrap()).unwrap();
    let error = state_dict::builder(&plain, CellKind::GruResetAfter).unwrap_err().to_string();
    let expected = "cell: expected GruResetAfter, got Lstm, as the file says";
    assert_eq!(error, expected);
    plain.set_cell("", None);
    let error = state_dict::builder(&plain, CellKind::GruResetAfter).unwrap_err().to_string();
    assert_eq!(error, "weight_ih_l0: expected 120 rows for 40 units of GruResetAfter, got 160, as Lstm has");
}

/// A row without steps, in a layer of Keras: its outputs are zeros, its state is the initial one, and the
/// other rows do not notice.
/// A file of thousands of modules, one of them in another and one without a prefix. (Minutes, if the time
/// were the square of their number.)
#[test]
fn a_file_of_thousands_of_modules() {
    let network = one(CellKind::GruResetAfter, 1, 1);
    let mut file = Tensors::new();
    for index in 0..5000 {
        file.insert_all(&format!("layers.{index}."), state_dict::save(&network).unwrap());
    }
    for prefix in ["", "layers.7.inner."] {
        file.insert_all(prefix, state_dict::save(&one(CellKind::Lstm, 2, 3)).unwrap());
    }
    file.insert("layers.7.bias", Tensor::new(&[1], vec![0.0]).unwrap());
    let modules = state_dict::modules(&file);
    assert_eq!(modules.len(), 5002);
    let mut owned = 0;
    for module in &modules {
        let loaded = module.network(&file, module.kind().unwrap()).unwrap();
        assert_eq!(
            loaded.config().kind(),
            if module.input_size == 2 { CellKind::Lstm } else { CellKind::GruResetAfter }
        );
        assert_eq!(module.names(&file).count(), 4, "{module}");
        assert!(module.names(&file).all(|name| module.owns(name)));
        owned += 4;
    }
    assert_eq!(owned + 1, file.names().count());
    let mut taken = 0;
    for module in modules.iter().filter(|module| module.prefix.len() > 10) {
        taken += file.split_off_prefix(&module.prefix).names().count();
    }
    assert_eq!(taken + file.names().count(), owned + 1);
}

#[test]
fn a_row_of_no_steps_in_keras() {
    let (steps, input, hidden) = (4, 3, 2);
    for (backwards, merge) in
        [("false", None), ("true", None), ("false", Some("concat")), ("false", Some("ave"))]
    {
        let directions = if merge.is_some() { 2 } else { 1 };
        let mut rng = Rng::new(5);
        let mut uniform = |count| (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect::<Vec<f32>>();
        let mut arrays = Tensors::new();
        for prefix in if merge.is_some() { &["forward.", "backward."][..] } else { &[""] } {
            for (name, shape) in
                [("kernel", &[input, hidden][..]), ("recurrent_kernel", &[hidden; 2]), ("bias", &[hidden])]
            {
                let values = uniform(shape.iter().product());
                arrays.insert(format!("{prefix}{name}"), Tensor::new(shape, values).unwrap());
            }
        }
        let mut options = vec![("layer", "SimpleRNN"), ("units", "2"), ("go_backwards", backwards)];
        options.extend(merge.map(|merge| ("merge_mode", merge)));
        let layer = keras::Layer::new(arrays, options).unwrap();
        let (x, h) = (uniform(2 * steps * input), uniform(directions * 2 * hidden));
        let run = |rows: std::ops::Range<usize>, lengths: &[usize]| {
            let x = x[rows.start * steps * input..rows.end * steps * input].to_vec();
            let h: Vec<f32> = (0..directions)
                .flat_map(|d| h[(d * 2 + rows.start) * hidden..(d * 2 + rows.end) * hidden].to_vec())
                .collect();
            let x = Tensor::new(&[rows.len(), steps, input], x).unwrap();
            let mut state = layer.network().zero_state(rows.len()).unwrap();
            state.set_h(&h).unwrap();
            let output = layer.run(&x, keras::Mask::Lengths(lengths), Some(&mut state)).unwrap();
            assert_eq!(state.h(), output.h.values());
            output
        };
        let (both, alone) = (run(0..2, &[0, 3]), run(1..2, &[3]));
        let width = both.last.shape()[1];
        assert!(both.last.values()[..width].iter().all(|&value| value == 0.0));
        assert_eq!(both.last.values()[width..], *alone.last.values());
        assert!(both.y.values()[..steps * width].iter().all(|&value| value == 0.0));
        assert_eq!(both.y.values()[steps * width..], *alone.y.values());
        for direction in 0..directions {
            let of = |row: usize| (direction * 2 + row) * hidden..(direction * 2 + row + 1) * hidden;
            assert_eq!(both.h.values()[of(0)], h[of(0)], "the initial state");
            assert_eq!(
                both.h.values()[of(1)],
                alone.h.values()[direction * hidden..(direction + 1) * hidden]
            );
        }
    }
}

/// Recurrent weights of heads go there and back: by PyTorch's names, whose shapes tell the heads, and in a
/// form whose matrices lie the other way round.
#[test]
fn heads_come_out_as_they_went_in() {
    let of_heads = |heads| Builder::new(CellKind::Slstm, 3, 12).heads(heads).layers(2).bidirectional(true);
    let network = of_heads(4).init(Init::PyTorch, 1).build().unwrap();
    let tensors = state_dict::save(&network).unwrap();
    let mut same = state_dict::builder(&tensors, CellKind::Slstm).unwrap().build().unwrap();
    assert_eq!((same.config().heads(), same.config().hidden_size()), (4, 12));
    state_dict::load(tensors, &mut same).unwrap();
    assert_eq!(same.parameters(), network.parameters());

    let form = Form::new(CellKind::Slstm).orientation(Orientation::Columns).biases(Biases::Both);
    let arrays = form.save(&network).unwrap();
    assert_eq!(arrays[1].recurrent.len(), 4 * 12 * 3);
    let [mut other, mut whole] = [4, 1].map(|heads| of_heads(heads).init(Init::Zero, 0).build().unwrap());
    form.load(&mut other, &arrays).unwrap();
    assert_eq!(other.parameters(), network.parameters());
    assert!(form.load(&mut whole, &arrays).unwrap_err().to_string().contains("weight_hh"));
}
