//! Weights that were rounded elsewhere are kept as they are, where the precision of the network has them:
//! bf16 and f16 of files, integers with scales of a row, of a tensor and of a form. And they are saved so.

use fused_rnn::format::{
    Arrays, Biases, DType, Form, Gate, Orientation, RawTensor, Tensor, Tensors, state_dict,
};
use fused_rnn::{Bias, Builder, CellKind, Dims, Gru, Init, Precision, Recurrent, Rnn};

fn run(network: &Recurrent, x: &[f32]) -> Vec<u32> {
    let steps = x.len() / network.config().input_size();
    network.run(x, Dims::new(1, steps)).unwrap().y.iter().map(|y| y.to_bits()).collect()
}

/// Bytes that take every value.
fn integers(count: usize) -> Vec<i8> {
    (0..count).map(|n| ((n * 71 + n / 256) % 256) as u8 as i8).collect()
}

fn raw(q: &[i8], shape: &[usize]) -> RawTensor {
    RawTensor::new(DType::I8, shape, q.iter().map(|q| q.cast_unsigned()).collect()).unwrap()
}

/// The sums of a rectifier of bytes with these integers and scales, at an input whose own scale is one.
fn check_sums(network: &Recurrent, q: &[i8], scale: impl Fn(usize) -> f32) {
    let inputs = network.config().input_size();
    let x: Vec<i32> = (0..inputs as i32).map(|n| if n == 0 { 127 } else { n * 29 % 255 - 127 }).collect();
    let y = network.run(&x.iter().map(|&x| x as f32).collect::<Vec<_>>(), Dims::new(1, 1)).unwrap().y;
    for (row, (q, y)) in q.chunks(inputs).zip(y).enumerate() {
        let sum: i32 = q.iter().zip(&x).map(|(&q, &x)| i32::from(q) * x).sum();
        assert_eq!(y, (sum as f32 * scale(row)).max(0.0), "row {row}");
    }
}

/// A file of a rectifier of 20 units over 9 inputs, with these scales, which errors call by their names.
fn rectifier(q: &[i8], scales: &Tensor) -> Tensors {
    let mut file = Tensors::new();
    file.insert_raw("rnn.module.weight_ih_l0", raw(&q[..180], &[20, 9]));
    file.insert("rnn.module.weight_ih_l0_scale", scales.clone());
    file.insert_raw("rnn.module.weight_hh_l0", raw(&q[180..580], &[20, 20]));
    file.insert("rnn.module.weight_hh_l0_scale", scales.clone());
    file.split_off_prefix("rnn.")
}

#[test]
fn a_state_dict_of_integers() {
    let q = integers(580);
    let rows: Vec<f32> = (0..20).map(|row| 0.001 * (row + 1) as f32).collect();
    for (scales, of) in [
        (Tensor::new(&[20, 1], rows.clone()), Some(&rows)),
        (Tensor::new(&[20], rows.clone()), Some(&rows)),
        (Tensor::new(&[1], vec![0.0625]), None),
        (Tensor::new(&[], vec![0.0625]), None),
    ] {
        let file = rectifier(&q, &scales.unwrap());
        let scale = |row: usize| of.map_or(0.0625, |rows| rows[row]);
        let builder = || {
            let builder = state_dict::builder(&file, CellKind::ElmanRelu).unwrap();
            builder.precision(Precision::Int8)
        };
        let mut network = builder().build().unwrap();
        state_dict::load(file.clone(), &mut network).unwrap();
        check_sums(&network, &q[..180], scale);
        // R too: a step on a state.
        for (n, value) in network.parameters()[180..].iter().enumerate() {
            assert_eq!(*value, f32::from(q[180 + n]) * scale(n / 20));
        }
        // The same through a module that is found, in f32.
        let found = &state_dict::modules(&file)[0];
        assert_eq!((found.input_size, found.hidden_size, found.bias), (9, 20, false));
        let floats = found.network(&file, CellKind::ElmanRelu).unwrap();
        assert_eq!(floats.parameters(), network.parameters());
        // What is loaded next has its own scales again.
        let mut other = builder().init(Init::PyTorch, 5).build().unwrap();
        let (plain, x) = (state_dict::save(&other).unwrap(), [0.5; 18]);
        let own = run(&other, &x);
        state_dict::load(file.clone(), &mut other).unwrap();
        assert_eq!(run(&other, &x), run(&network, &x));
        state_dict::load(plain, &mut other).unwrap();
        assert_eq!(run(&other, &x), own);
    }
}

#[test]
fn zero_points() {
    let q = integers(580);
    for (zeros, small) in [(vec![0], true), (vec![3], false), (vec![0; 20], true)] {
        let mut file = rectifier(&q, &Tensor::new(&[1], vec![0.25]).unwrap());
        let zero_point: Vec<u8> = zeros.iter().map(|&zero: &i8| zero.cast_unsigned()).collect();
        let zero_point = RawTensor::new(DType::I8, &[zeros.len()], zero_point).unwrap();
        file.insert_raw("module.weight_ih_l0_zero_point", zero_point);
        let builder = state_dict::builder(&file, CellKind::ElmanRelu).unwrap();
        let mut network = builder.precision(Precision::Int8).build().unwrap();
        state_dict::load(file, &mut network).unwrap();
        for (n, value) in network.parameters()[..180].iter().enumerate() {
            assert_eq!(*value, 0.25 * (f32::from(q[n]) - f32::from(zeros[n / 9 % zeros.len()])));
        }
        if small {
            check_sums(&network, &q[..180], |_| 0.25);
        }
    }
}

/// Each fault by the name of its tensor.
#[test]
fn wrong_scales_of_files() {
    let q = integers(580);
    let error = |change: &dyn Fn(&mut Tensors)| {
        let mut file = rectifier(&q, &Tensor::new(&[1], vec![0.25]).unwrap());
        change(&mut file);
        let mut network = Rnn::relu(9, 20).bias(Bias::None).precision(Precision::Int8).build().unwrap();
        let before = network.parameters().to_vec();
        let error = state_dict::load(file, &mut network).unwrap_err();
        assert_eq!(network.parameters(), before);
        error.to_string()
    };
    let scale = |shape: &[usize], values: Vec<f32>| {
        let tensor = Tensor::new(shape, values).unwrap();
        error(&move |file| file.insert("module.weight_hh_l0_scale", tensor.clone()))
    };
    for odd in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        let want = format!("weight_hh_l0_scale: expected numbers from 1e-30 to 1e30, got {odd:?}");
        assert_eq!(scale(&[1], vec![odd]), want);
    }
    let want = "weight_hh_l0_scale: expected shape [], [1], [20] or [20, 1], got shape [19]";
    assert_eq!(scale(&[19], vec![1.0; 19]), want);
    let lost = error(&|file| drop(file.remove("module.weight_hh_l0_scale")));
    assert!(lost.starts_with("weight_hh_l0: expected a tensor of shape [20, 20], got "), "{lost}");
    let vector = error(&|file| {
        file.insert_raw("module.bias_ih_l0", raw(&[1; 20], &[20]));
        file.insert("module.bias_ih_l0_scale", Tensor::new(&[1], vec![1.0]).unwrap());
    });
    assert_eq!(vector, "bias_ih_l0: expected a matrix, as it has a scale, got shape [20]");
    let zero_point = error(&|file| {
        file.insert("module.weight_hh_l0_zero_point", Tensor::new(&[1], vec![f32::NAN]).unwrap());
    });
    assert_eq!(zero_point, "weight_hh_l0_zero_point: expected integers, got F32");
    let float = error(&|file| {
        file.insert("module.weight_ih_l0", Tensor::new(&[20, 9], vec![0.5; 180]).unwrap());
    });
    assert_eq!(float, "weight_ih_l0: expected integers of int8, as it has a scale, got F32");
    // Bytes without a sign, and floats of eight bits.
    for (dtype, got) in [(DType::U8, "U8"), (DType::Other, "Other")] {
        let wrong = error(&|file| {
            let bytes = RawTensor::new(dtype, &[20, 9], vec![1; 180]).unwrap();
            file.insert_raw("module.weight_ih_l0", bytes);
        });
        let want = "weight_ih_l0: expected integers of int8, as it has a scale, got";
        assert!(wrong.ends_with(&format!("{want} {got}")), "{wrong}");
    }
    // Scales by another name: the error says the name that they need.
    let mut file = rectifier(&q, &Tensor::new(&[1], vec![0.25]).unwrap()).split_off_prefix("module.");
    file.rename("weight_ih_l0_scale", "weight_ih_l0.scale").unwrap();
    let renamed = state_dict::describe(&file).unwrap_err().to_string();
    assert_eq!(renamed, "weight_ih_l0: expected a matrix, got numbers of type I8, and no weight_ih_l0_scale");
}

/// A form with a scale, of all or of rows, gates in another order, one of them turned.
#[test]
fn a_form_of_integers() {
    let (hidden, inputs) = (5, 8);
    let (q, rows) = (integers(15 * (inputs + hidden)), 15);
    let form = Form::new(CellKind::GruResetBefore)
        .order(&[Gate::Update, Gate::Reset, Gate::New])
        .orientation(Orientation::Columns)
        .biases(Biases::Input)
        .turned(&[Gate::Update])
        .scale(1.0 / 256.0);
    let numbers = |q: &[i8]| q.iter().map(|&q| f32::from(q)).collect::<Vec<f32>>();
    for scales in [vec![], vec![2.0], (1..=rows).map(|row| row as f32).collect::<Vec<f32>>()] {
        let arrays = Arrays {
            input: numbers(&q[..rows * inputs]),
            recurrent: numbers(&q[rows * inputs..]),
            bias: vec![3.0; rows],
            input_scales: scales.clone(),
            recurrent_scales: scales.clone(),
            ..Arrays::default()
        };
        let builder = || Gru::reset_before(inputs, hidden).bias(Bias::Single);
        let mut kept = builder().precision(Precision::Int8).build().unwrap();
        form.load(&mut kept, std::slice::from_ref(&arrays)).unwrap();
        // The same by hand: weights of f32, and scales by name, in the order r, z, n. Rows of z that have a
        // -128 have 128 here: they are rounded, all others are as they were.
        let mut floats = builder().build().unwrap();
        form.load(&mut floats, &[arrays]).unwrap();
        assert_eq!(kept.parameters(), floats.parameters());
        let mut by_hand = floats.in_precision(Precision::Int8).unwrap();
        for tensor in floats.named_parameters().filter(|tensor| tensor.name.starts_with("weight")) {
            let columns = tensor.shape[1];
            let of_row = |(row, values): (usize, &[f32])| {
                let theirs = [5, 0, 10][row / 5] + row % 5;
                let scale = scales.get(if scales.len() > 1 { theirs } else { 0 }).unwrap_or(&1.0) / 256.0;
                let most = values.iter().fold(f32::MIN, |most, v| most.max(*v));
                if most > 127.0 * scale {
                    values.iter().fold(0.0f32, |m, v| m.max(v.abs())) / 127.0
                } else {
                    scale
                }
            };
            let scales: Vec<f32> = tensor.values.chunks(columns).enumerate().map(of_row).collect();
            by_hand.set_scales(&tensor.name, &scales).unwrap();
        }
        let x: Vec<f32> = (0..4 * inputs).map(|n| (n * 37 % 64) as f32 / 32.0 - 1.0).collect();
        assert_eq!(run(&kept, &x), run(&by_hand, &x));
        assert_ne!(
            run(&kept, &x),
            run(&floats.in_precision(Precision::Int8).unwrap(), &x),
            "their own scales"
        );
    }
}

/// Numbers that are no bytes are rounded with scales of their own.
#[test]
fn a_form_of_other_numbers() {
    let form = Form::new(CellKind::ElmanTanh).scale(1e-3).biases(Biases::None);
    let arrays =
        Arrays { input: vec![300.0, -129.0, 12.5, 7.0], recurrent: vec![0.5; 4], ..Arrays::default() };
    let builder = || Rnn::tanh(2, 2).bias(Bias::None);
    let mut network = builder().precision(Precision::Int8).build().unwrap();
    form.load(&mut network, std::slice::from_ref(&arrays)).unwrap();
    let mut floats = builder().build().unwrap();
    form.load(&mut floats, &[arrays]).unwrap();
    let near = |a: f32, b: f32| (a - b).abs() < 3e-3;
    let [a, b] = [&network, &floats].map(|network| network.run(&[0.5, -1.0], Dims::new(1, 1)).unwrap().y);
    assert!(a.iter().zip(&b).all(|(&a, &b)| near(a, b)), "{a:?} for {b:?}");
}

/// The rows of a matrix that keep no integers have scales of their own, of any magnitude, now and whenever
/// they change; those beside them keep theirs.
#[test]
fn rows_without_integers_have_their_own_scales() {
    let plain = || Rnn::relu(3, 2).bias(Bias::None).precision(Precision::Int8).build().unwrap();
    let (kept, x) = ([64.0, -128.0, 3.0], [1.0, -0.5, 0.25]);
    let y = |network: &Recurrent| network.run(&x, Dims::new(1, 1)).unwrap().y;
    let tiny = [1e-29, -2e-29, 3.1e-29];
    for row in [[0.3, -0.7, 0.1], [300.0, 1.0, 2.0], [1e35, -2e34, 3e33], [f32::MAX, 1e38, 0.0], tiny] {
        let form = Form::new(CellKind::ElmanRelu).biases(Biases::None);
        let arrays = Arrays {
            input: [row, kept].concat(),
            recurrent: vec![0.0; 4],
            input_scales: vec![1.0, 0.5],
            ..Arrays::default()
        };
        let mut network = plain();
        form.load(&mut network, &[arrays]).unwrap();
        assert_eq!(network.parameters()[..3], row);
        // By hand: one row in its own scale, the other in a given one.
        let own = |values: &[f32], given: &[f32]| {
            let mut network = plain();
            network.set_parameter("weight_ih_l0", values).unwrap();
            network.set_scales("weight_ih_l0", given).unwrap();
            y(&network)
        };
        let halves = kept.map(|q| q * 0.5);
        let want = [own(&[row, row].concat(), &[])[0], own(&[halves; 2].concat(), &[0.5])[1]];
        assert_eq!(y(&network), want, "{row:?}");
        let exact: f32 = row.iter().zip(&x).map(|(w, x)| w * x).sum();
        assert!((want[0] - exact).abs() <= exact.abs() * 0.02, "{want:?} for {exact}");
        // Ten times as large: its scale is too.
        let ten = row.map(|w| (w * 10.0).min(3e38));
        network.set_parameter("weight_ih_l0", &[ten, halves].concat()).unwrap();
        assert_eq!(y(&network), [own(&[ten, ten].concat(), &[])[0], want[1]], "{row:?}");
    }
}

/// Scales that are right by themselves and make no weights together are errors.
#[test]
fn products_of_scales_that_no_weight_can_have() {
    let mut network = Rnn::tanh(2, 1).bias(Bias::None).precision(Precision::Int8).build().unwrap();
    let before = network.parameters().to_vec();
    let load = |scale: f32, of_row: f32, network: &mut Recurrent| {
        let form = Form::new(CellKind::ElmanTanh).biases(Biases::None).scale(scale);
        let (input, recurrent) = (vec![0.0, 3.0], vec![1.0]);
        let scales = || vec![of_row];
        let arrays = Arrays {
            input,
            recurrent,
            input_scales: scales(),
            recurrent_scales: scales(),
            ..Arrays::default()
        };
        form.load(network, &[arrays])
    };
    for (scale, of_row) in [(1e30, 1e30), (1e-30, 1e-30), (-1e20, 1e20), (1e-20, 1e-19)] {
        let wrong = load(scale, of_row, &mut network);
        assert!(matches!(wrong, Err(fused_rnn::Error::OutOfRange { .. })), "{scale}, {of_row}: {wrong:?}");
        assert_eq!(network.parameters(), before);
    }
    load(1e30, 1e-30, &mut network).unwrap();
    assert_eq!(network.parameters(), [0.0, 3.0 * (1e30 * 1e-30), 1e30 * 1e-30]);
}

/// A file of a network whose matrices are of int8: with scales in all shapes, some of them with a zero point
/// by which rows have numbers that are no bytes.
fn quantized(network: &Recurrent) -> Tensors {
    let mut file = state_dict::save(network).unwrap();
    for (n, tensor) in network.named_parameters().enumerate() {
        let (&[rows, columns], true) = (&tensor.shape[..], tensor.name.starts_with("weight_")) else {
            continue;
        };
        let scales: Vec<f32> = (0..rows).map(|row| 0.0007 * (1 + row % 7 + n) as f32).collect();
        let scales = match n % 4 {
            0 => Tensor::new(&[rows, 1], scales),
            1 => Tensor::new(&[rows], scales),
            2 => Tensor::new(&[1], vec![0.003]),
            _ => Tensor::new(&[], vec![0.0041]),
        };
        file.insert(format!("{}_scale", tensor.name), scales.unwrap());
        if n % 3 == 2 {
            let zeros = (0..rows).map(|row| if row % 2 == 0 { 0 } else { 9 }).collect();
            let zeros = RawTensor::new(DType::I8, &[rows], zeros).unwrap();
            file.insert_raw(format!("{}_zero_point", tensor.name), zeros);
        }
        // (The first of each row is the least byte.)
        let q = (0..rows * columns)
            .map(|k| if k % columns == 0 { -128 } else { ((k * 71 + n * 13) % 256) as u8 as i8 });
        let q: Vec<i8> = q.collect();
        file.insert_raw(tensor.name, raw(&q, &tensor.shape));
    }
    file
}

/// Networks of every cell, an sLSTM with heads, and an LSTM with a projection.
fn every_cell() -> Vec<Recurrent> {
    let build = |builder: Builder| builder.layers(2).bidirectional(true).build().unwrap();
    let mut networks: Vec<Recurrent> =
        CellKind::ALL.iter().map(|&kind| build(Builder::new(kind, 5, 6))).collect();
    networks.push(build(Builder::new(CellKind::Slstm, 5, 6).heads(3)));
    networks.push(build(Builder::new(CellKind::Lstm, 5, 6).projection(4).peephole(true)));
    networks.push(build(Builder::new(CellKind::GruResetAfter, 5, 6).layer_norm(1e-5)));
    networks
}

/// What is read from a file of this precision.
fn read(file: &Tensors, precision: Precision) -> Recurrent {
    let kind = file.cell("").unwrap().expect("it says its cell");
    let mut network = state_dict::builder(file, kind).unwrap().precision(precision).build().unwrap();
    state_dict::load(file.clone(), &mut network).unwrap();
    network
}

/// Saved, and read from what was saved: with the feature, from the bytes of a file.
fn saved(network: &Recurrent) -> Tensors {
    let file = state_dict::save(network).unwrap();
    #[cfg(feature = "safetensors")]
    let file = {
        let again = Tensors::from_safetensors(&file.to_safetensors(&[]).unwrap(), "").unwrap();
        assert_eq!(again, file);
        again
    };
    file
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What is loaded, saved and loaded again has the same bits, weights and results, whatever the scales are of.
#[test]
fn given_scales_are_saved() {
    let x: Vec<f32> = (0..6 * 5).map(|n| (n * 37 % 64) as f32 / 32.0 - 1.0).collect();
    for plain in every_cell() {
        let kind = plain.config().kind();
        let from = quantized(&plain);
        let first = read(&from, Precision::Int8);
        let file = saved(&first);
        let second = read(&file, Precision::Int8);
        assert_eq!(bits(second.parameters()), bits(first.parameters()), "{kind:?}");
        assert_eq!(run(&second, &x), run(&first, &x), "{kind:?}");
        assert_eq!(saved(&second), file, "{kind:?}");
        // In f32, and of another precision's file, the weights are these too.
        let floats = read(&file, Precision::F32);
        assert_eq!(bits(floats.parameters()), bits(first.parameters()), "{kind:?}");
        // (Of a file without scales the results are others: they are rounded anew.)
        assert_ne!(run(&read(&saved(&floats), Precision::Int8), &x), run(&first, &x), "{kind:?}");
        for (name, raw) in from.others().filter(|(name, _)| !name.ends_with("_zero_point")) {
            match from.raw(&format!("{name}_zero_point")) {
                // The same integers.
                None => assert_eq!(file.raw(name), Some(raw), "{kind:?} {name}"),
                // Rows that are no bytes have scales of their own beside those that are.
                Some(_) => {
                    let given = file.get(&format!("{name}_int8_scale")).unwrap().values();
                    assert!(given.contains(&0.0) && given.iter().any(|&s| s > 0.0), "{name}");
                }
            }
        }

        // Scales of any weights: what is beyond the bytes is cut off, in the network that is read too.
        let mut cut = read(&saved(&plain), Precision::Int8);
        for (n, tensor) in plain.named_parameters().enumerate() {
            if tensor.name.starts_with("weight_") && tensor.shape.len() == 2 {
                let rows = if n % 2 == 0 { 1 } else { tensor.shape[0] };
                let scales: Vec<f32> = (0..rows).map(|row| 0.002 + 1e-5 * row as f32).collect();
                cut.set_scales(&tensor.name, &scales).unwrap();
            }
        }
        let file = saved(&cut);
        assert_eq!(file.others().count(), 0);
        let again = read(&file, Precision::Int8);
        assert_eq!(bits(again.parameters()), bits(plain.parameters()), "{kind:?}");
        assert_eq!(run(&again, &x), run(&cut, &x), "{kind:?}");
        assert_ne!(run(&again, &x), run(&plain.in_precision(Precision::Int8).unwrap(), &x), "{kind:?}");
        assert_eq!(saved(&again), file, "{kind:?}");
    }
}

/// Whether the matrices of a file are of this type.
fn are_of(file: &Tensors, network: &Recurrent, dtype: DType) -> bool {
    let mut matrices =
        network.named_parameters().filter(|of| of.name.starts_with("weight_") && of.shape.len() == 2);
    matrices.all(|of| file.raw(&of.name).is_some_and(|raw| raw.dtype() == dtype))
}

/// A file of rounded weights gives a network of the same precision that has the same results, and the same
/// file again.
#[test]
fn rounded_weights_are_saved() {
    let x: Vec<f32> = (0..6 * 5).map(|n| (n * 37 % 64) as f32 / 32.0 - 1.0).collect();
    for plain in every_cell() {
        let kind = plain.config().kind();
        assert_eq!(state_dict::save_rounded(&plain).unwrap(), state_dict::save(&plain).unwrap());
        for (precision, dtype) in [
            (Precision::Bf16Weights, DType::BF16),
            (Precision::Bf16, DType::BF16),
            (Precision::Int8, DType::I8),
        ] {
            let small = plain.in_precision(precision).unwrap();
            let file = state_dict::save_rounded(&small).unwrap();
            assert!(are_of(&file, &small, dtype), "{kind:?} {precision}");
            let again = read(&file, precision);
            assert_eq!(run(&again, &x), run(&small, &x), "{kind:?} {precision}");
            assert_eq!(state_dict::save_rounded(&again).unwrap(), file, "{kind:?} {precision}");
            #[cfg(feature = "safetensors")]
            {
                let bytes = file.to_safetensors(&[]).unwrap();
                let of_bytes = read(&Tensors::from_safetensors(&bytes, "").unwrap(), precision);
                assert_eq!(bits(of_bytes.parameters()), bits(again.parameters()), "{kind:?} {precision}");
                let modules = state_dict::modules(&Tensors::from_safetensors(&bytes, "").unwrap());
                assert_eq!(modules, state_dict::modules(&file));
            }
            // Given scales are those of the file.
            if precision == Precision::Int8 {
                let given = read(&quantized(&plain), precision);
                let file = state_dict::save_rounded(&given).unwrap();
                assert!(are_of(&file, &given, dtype), "{kind:?}");
                assert_eq!(run(&read(&file, precision), &x), run(&given, &x), "{kind:?}");
            }
        }
    }
}

/// Rows of zeros have some scale. A matrix that has no bytes stays as it is, in a network of bytes too.
#[test]
fn odd_weights_are_saved_rounded() {
    let dims = Dims::new(1, 2);
    let mut rnn = Rnn::relu(2, 2).precision(Precision::Int8).build().unwrap();
    for (odd, dtype) in [(0.0, Some(DType::I8)), (1e-31, Some(DType::I8)), (1e-29, None), (f32::NAN, None)] {
        rnn.set_parameter("weight_ih_l0", &[odd, -0.0, 0.25, -0.5]).unwrap();
        let file = state_dict::save_rounded(&rnn).unwrap();
        assert_eq!(file.raw("weight_ih_l0").map(RawTensor::dtype), dtype, "{odd}");
        let again = read(&file, Precision::Int8);
        let (got, want) =
            [&again, &rnn].map(|of| bits(&of.run(&[0.5, -1.0, 2.0, 0.1], dims).unwrap().y)).into();
        assert_eq!(got, want, "{odd}");
    }
    rnn.drop_parameters();
    let error = state_dict::save_rounded(&rnn).unwrap_err().to_string();
    assert_eq!(error, "not supported: parameters of a network that has dropped them");
}

/// A zero with a sign is no byte: the matrix is saved as it is. Where all rows have their own scales, none
/// are saved.
#[test]
fn what_no_byte_is_stays_a_float() {
    let mut rnn = Rnn::tanh(2, 1).bias(Bias::None).precision(Precision::Int8).build().unwrap();
    rnn.set_parameter("weight_ih_l0", &[-0.0, 0.5]).unwrap();
    rnn.set_scales("weight_ih_l0", &[0.5]).unwrap();
    let file = saved(&rnn);
    assert_eq!(bits(file.get("weight_ih_l0").unwrap().values()), bits(&[-0.0, 0.5]));
    assert_eq!(file.get("weight_ih_l0_int8_scale"), Some(&Tensor::new(&[1], vec![0.5]).unwrap()));
    assert_eq!(bits(read(&file, Precision::Int8).parameters()), bits(rnn.parameters()));

    let form = Form::new(CellKind::ElmanTanh).biases(Biases::None).scale(0.01);
    let arrays = Arrays { input: vec![300.0, 0.1], recurrent: vec![0.5], ..Arrays::default() };
    form.load(&mut rnn, &[arrays]).unwrap();
    let file = saved(&rnn);
    assert!(file.names().eq(["weight_hh_l0", "weight_ih_l0"]) && file.others().count() == 0);
}

/// Wrong scales beside floats, each by its name.
#[test]
fn wrong_given_scales_of_files() {
    let error = |name: &str, shape: &[usize], values: Vec<f32>| {
        let mut network = Rnn::tanh(3, 2).precision(Precision::Int8).build().unwrap();
        let (before, mut file) = (network.parameters().to_vec(), state_dict::save(&network).unwrap());
        file.insert(format!("{name}_int8_scale"), Tensor::new(shape, values).unwrap());
        let error = state_dict::load(file, &mut network).unwrap_err();
        assert_eq!(network.parameters(), before);
        error.to_string()
    };
    for odd in [-1.0, f32::NAN, f32::INFINITY, 1e-40] {
        let want = format!("weight_ih_l0_int8_scale: expected numbers from 1e-30 to 1e30, got {odd:?}");
        assert_eq!(error("weight_ih_l0", &[2], vec![1.0, odd]), want);
    }
    assert!(error("weight_ih_l0", &[1], vec![0.0]).ends_with("from 1e-30 to 1e30, got 0.0"));
    assert_eq!(
        error("weight_hh_l0", &[3], vec![1.0; 3]),
        "weight_hh_l0_int8_scale: expected shape [], [1], [2] or [2, 1], got shape [3]"
    );
    assert_eq!(
        error("bias_ih_l0", &[2], vec![1.0; 2]),
        "bias_ih_l0: expected a matrix of floats, as it has bias_ih_l0_int8_scale, got shape [2] of F32"
    );
    let lost = error("weight_ih_l1", &[1], vec![1.0]);
    assert!(lost.starts_with("weight_ih_l1: expected the tensor, or all that "), "{lost}");
    // Beside bytes.
    let mut file = rectifier(&integers(580), &Tensor::new(&[1], vec![0.25]).unwrap());
    file.insert("module.weight_ih_l0_int8_scale", Tensor::new(&[1], vec![0.25]).unwrap());
    let mut network = Rnn::relu(9, 20).bias(Bias::None).precision(Precision::Int8).build().unwrap();
    let both = state_dict::load(file, &mut network).unwrap_err().to_string();
    assert!(both.ends_with("got weight_ih_l0, weight_ih_l0_scale, weight_ih_l0_int8_scale"), "{both}");
}

/// Scales of other numbers than floats are not passed over: neither those beside floats, nor those of bytes.
#[test]
fn scales_that_are_no_floats() {
    for (dtype, bytes) in [
        (DType::I8, vec![1]),
        (DType::I32, vec![1, 0, 0, 0]),
        (DType::Bool, vec![1]),
        (DType::F64, 1e300f64.to_le_bytes().to_vec()),
        (DType::Other, vec![0x38]),
    ] {
        for name in ["weight_hh_l0_int8_scale", "weight_hh_l0_scale"] {
            let mut network = Rnn::tanh(3, 2).precision(Precision::Int8).build().unwrap();
            let (before, mut file) = (network.parameters().to_vec(), state_dict::save(&network).unwrap());
            file.insert_raw(name, RawTensor::new(dtype, &[1], bytes.clone()).unwrap());
            let got = format!("numbers of type {dtype:?}");
            let want = format!("{name}: expected floats that an f32 can hold, as they are scales, got {got}");
            let described = state_dict::describe(&file).unwrap_err().to_string();
            assert_eq!(described, want, "beside floats");
            assert_eq!(state_dict::load(file.clone(), &mut network).unwrap_err().to_string(), want);
            file.insert_raw("weight_hh_l0", raw(&[1, 2, 3, 4], &[2, 2]));
            let of_bytes = state_dict::load(file, &mut network).unwrap_err().to_string();
            let bytes_alone = "weight_hh_l0: expected ";
            let is_named = of_bytes == want || name.contains("int8") && of_bytes.starts_with(bytes_alone);
            assert!(is_named, "{of_bytes}");
            assert_eq!(network.parameters(), before);
        }
    }
    // Of what is no parameter they are nobody's business here.
    let mut network = Rnn::tanh(3, 2).precision(Precision::Int8).build().unwrap();
    let mut file = state_dict::save(&network).unwrap();
    file.insert_raw("head.weight", raw(&[1, 2], &[1, 2]));
    file.insert_raw("head.weight_scale", raw(&[1], &[1]));
    file.insert_raw("bias_ih_l0_count", raw(&[1], &[1]));
    state_dict::load(file, &mut network).unwrap();
}

/// bf16 and f16 of a file are these numbers exactly, in f32 and in bf16; f16 is rounded to bf16 once.
#[cfg(feature = "safetensors")]
#[test]
fn halves_of_a_safetensors_file() -> Result<(), fused_rnn::Error> {
    /// A header, and numbers of 16 bits.
    fn file(dtype: &str, numbers: &[u16]) -> Vec<u8> {
        let (ih, hh) = (3 * 20 * 9 * 2, 3 * 20 * 20 * 2);
        let header = format!(
            "{{\"weight_ih_l0\":{{\"dtype\":\"{dtype}\",\"shape\":[60,9],\"data_offsets\":[0,{ih}]}},\
              \"weight_hh_l0\":{{\"dtype\":\"{dtype}\",\"shape\":[60,20],\"data_offsets\":[{ih},{}]}}}}",
            ih + hh
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }
    let count = 60 * (9 + 20);
    let x: Vec<f32> = (0..4 * 9).map(|n| (n * 37 % 64) as f32 / 32.0 - 1.0).collect();
    // Signs, exponents from 2^-10 to 2^-1, and any lower bits.
    for (dtype, mantissa, bias) in [("BF16", 7, 127), ("F16", 10, 15)] {
        let number = |n: usize| {
            let (sign, exponent) = ((n % 2) << 15, (bias - 1 - n * 7 % 10) << mantissa);
            (sign | exponent | ((n * 613) % (1 << mantissa))) as u16
        };
        let numbers: Vec<u16> = (0..count).map(number).collect();
        let value = |&bits: &u16| {
            let [sign, exponent, low] =
                [bits >> 15, (bits & 0x7FFF) >> mantissa, bits & ((1 << mantissa) - 1)].map(i32::from);
            let magnitude = f64::from(low + (1 << mantissa)) * 2f64.powi(exponent - bias as i32 - mantissa);
            (if sign == 1 { -magnitude } else { magnitude }) as f32
        };
        let values: Vec<f32> = numbers.iter().map(value).collect();
        let read = |precision| -> Result<Recurrent, fused_rnn::Error> {
            let tensors = Tensors::from_safetensors(&file(dtype, &numbers), "")?;
            let builder = state_dict::builder(&tensors, CellKind::GruResetAfter)?;
            let mut network = builder.precision(precision).build()?;
            state_dict::load(tensors, &mut network)?;
            Ok(network)
        };
        let (floats, halves) = (read(Precision::F32)?, read(Precision::Bf16Weights)?);
        for network in [&floats, &halves] {
            assert_eq!(network.parameters(), values, "{dtype}");
        }
        if dtype == "BF16" {
            assert_eq!(run(&halves, &x), run(&floats, &x), "nothing was rounded");
        } else {
            let rounded: Vec<f32> = values.iter().map(|value| nearest_bf16(*value)).collect();
            let mut once = floats.clone();
            once.update(|parameters| parameters.copy_from_slice(&rounded));
            assert_eq!(run(&halves, &x), run(&once, &x), "rounded once");
            assert_ne!(run(&halves, &x), run(&floats, &x));
        }
    }
    Ok(())
}

/// The nearest float whose lower half is zero, of two that are as near the even one.
#[cfg(feature = "safetensors")]
fn nearest_bf16(x: f32) -> f32 {
    let below = f32::from_bits(x.to_bits() & 0xFFFF_0000);
    let above = f32::from_bits(below.to_bits() + 0x1_0000);
    let [to_below, to_above] = [below, above].map(|near| (f64::from(near) - f64::from(x)).abs());
    let even = below.to_bits() & 0x1_0000 == 0;
    if to_below < to_above || (to_below == to_above && even) { below } else { above }
}
