//! Weights that were rounded elsewhere are kept as they are, where the precision of the network has them:
//! bf16 and f16 of files, integers with scales of a row, of a tensor and of a form. And they are saved so.
//!
//! ```text
//! main.rs      what is read: by name, and by the form of another system
//! saved.rs     what is saved, and read again
//! refused.rs   what is no scale of these integers
//! ```

mod refused;
mod saved;

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
