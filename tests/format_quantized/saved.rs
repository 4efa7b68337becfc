//! Integers with their scales, and halves, in files that are saved: the same bits come back.

use super::*;

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
