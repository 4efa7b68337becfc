//! Scales that do not fit the integers beside them, and what is none.

use super::*;

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
