//! The tensors of a network: whole, or as small as its precision has them.

use super::super::{DType, RawTensor, Tensor, Tensors};
use super::names::GIVEN;
use super::options;
use crate::error::Error;
use crate::layer::{Bias, NamedParameter, Recurrent, byte_of, is_scale};
use crate::product::{Precision, bf16_of, bytes_of};

/// The tensors of a network, as PyTorch's module of its shape has them, and the name of its
/// [`cell`](Tensors::cell) with its options, which a safetensors file keeps.
///
/// Where the network has one bias vector, PyTorch's second is zeros. Tensors are the parameters in f32, in
/// every precision, which they do not say. A matrix whose scales [were given](Recurrent::set_scales), by a
/// file that was quantised elsewhere too, is one of int8 with `weight_ih_l0_scale`, a quarter of the bytes.
/// It is one of f32 with `weight_ih_l0_int8_scale` where some weight is no integer of eight bits times its
/// scale. Either way [`load`](super::load) gives back the same weights, and in [`Int8`](Precision::Int8) the
/// same results.
///
/// ```
/// use fused_rnn::format::state_dict;
/// use fused_rnn::{CellKind, Precision, Rnn};
///
/// let mut rnn = Rnn::tanh(2, 1).precision(Precision::Int8).build()?;
/// rnn.set_parameter("weight_ih_l0", &[-3.0 * 0.02, 100.0 * 0.02])?;
/// rnn.set_scales("weight_ih_l0", &[0.02])?;
///
/// let file = state_dict::save(&rnn)?;
/// assert_eq!(file.raw("weight_ih_l0").and_then(|raw| raw.integers()), Some(vec![-3, 100]));
/// assert_eq!(file.get("weight_ih_l0_scale").map(|scale| scale.values()), Some(&[0.02][..]));
/// let mut same = state_dict::builder(&file, CellKind::ElmanTanh)?.precision(Precision::Int8).build()?;
/// state_dict::load(file, &mut same)?;
/// assert_eq!(rnn.parameters(), same.parameters());
/// # Ok::<(), fused_rnn::Error>(())
/// ```
///
/// [`save_rounded`] makes the small file of a network in a narrow precision.
///
/// # Errors
/// [`Error::Unsupported`] where the network has dropped its parameters.
pub fn save(network: &Recurrent) -> Result<Tensors, Error> {
    save_matrices(network, &|tensors, matrix, scales| match scales.iter().all(|&scale| scale == 0.0) {
        true => whole(tensors, matrix),
        false => scaled(tensors, matrix, scales),
    })
}

/// [`save`], with the matrices of weights as the precision of the network rounds them: in
/// [`Int8`](Precision::Int8) as int8 with `weight_ih_l0_scale`, in [`Bf16Weights`](Precision::Bf16Weights)
/// and [`Bf16`](Precision::Bf16) as bf16. The file has a quarter or a half of the bytes, and a network of the
/// same precision that [`load`](super::load) fills from it gives the same bits. Which precision that was, the
/// file does not say.
///
/// What rounding takes away is not in the file: save a network that is to be trained further, or to have
/// another precision, by [`save`].
///
/// Biases and all other tensors that are no matrices stay f32, and so do all tensors in
/// [`F32`](Precision::F32). So does a matrix that cannot be rounded to integers: one with an infinity or a
/// NaN, or with scales outside 1e-30 to 1e30.
///
/// ```
/// use fused_rnn::format::{DType, RawTensor, state_dict};
/// use fused_rnn::{Dims, Gru, Precision};
///
/// let small = Gru::reset_after(3, 16).build()?.in_precision(Precision::Int8)?;
/// let file = state_dict::save_rounded(&small)?;
/// assert_eq!(file.raw("weight_hh_l0").map(RawTensor::dtype), Some(DType::I8));
///
/// let builder = state_dict::builder(&file, small.config().kind())?;
/// let mut same = builder.precision(Precision::Int8).build()?;
/// state_dict::load(file, &mut same)?;
/// let (x, dims) = ([0.5; 30], Dims::new(1, 10));
/// assert_eq!(same.run(&x, dims)?.y, small.run(&x, dims)?.y);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] where the network has dropped its parameters: round and save it before.
pub fn save_rounded(network: &Recurrent) -> Result<Tensors, Error> {
    let precision = network.config().precision();
    save_matrices(network, &|tensors, matrix, scales| match precision {
        Precision::F32 => whole(tensors, matrix),
        Precision::Bf16Weights | Precision::Bf16 => {
            let bytes = matrix.values.iter().flat_map(|&weight| bf16_of(weight).to_le_bytes()).collect();
            tensors.insert_raw(matrix.name, RawTensor::new(DType::BF16, &matrix.shape, bytes)?);
            Ok(())
        }
        Precision::Int8 => in_bytes(tensors, matrix, scales),
    })
}

/// Adds a matrix of weights, with the scales that were given for it.
type AddMatrix<'f> = &'f dyn Fn(&mut Tensors, NamedParameter<'_>, &[f32]) -> Result<(), Error>;

/// The tensors of a network, of which `matrix` adds those of weights.
fn save_matrices(network: &Recurrent, matrix: AddMatrix<'_>) -> Result<Tensors, Error> {
    network.check_parameters()?;
    let (mut tensors, config) = (Tensors::new(), network.config());
    tensors.set_cell("", Some(config.kind()));
    options::save(&mut tensors, config);
    for (parameter, scales) in network.named_parameters().zip(network.given_scales()) {
        let second = config.kind().recurrent_gates() * config.hidden_size();
        let single = config.bias() == Bias::Single && second > 0;
        if let Some(suffix) = parameter.name.strip_prefix("bias_ih").filter(|_| single) {
            tensors.insert(format!("bias_hh{suffix}"), Tensor::new(&[second], vec![0.0; second])?);
        }
        if parameter.name.starts_with("weight_") && parameter.shape.len() == 2 {
            matrix(&mut tensors, parameter, scales)?;
        } else {
            whole(&mut tensors, parameter)?;
        }
    }
    Ok(tensors)
}

/// Adds a tensor as it is.
fn whole(tensors: &mut Tensors, of: NamedParameter<'_>) -> Result<(), Error> {
    tensors.insert(of.name, Tensor::new(&of.shape, of.values.to_vec())?);
    Ok(())
}

/// Adds a matrix whose scales were given, with them: of integers where all weights are such.
fn scaled(tensors: &mut Tensors, of: NamedParameter<'_>, scales: &[f32]) -> Result<(), Error> {
    let mut bytes = Vec::new();
    for (row, values) in rows(&of).enumerate() {
        let scale = scales[if scales.len() > 1 { row } else { 0 }];
        for &value in values {
            // (A zero may have a sign, and a byte has none.)
            match byte_of(value, scale) {
                Some(byte) if same(f32::from(byte) * scale, value) => bytes.push(byte.cast_unsigned()),
                _ => break,
            }
        }
    }
    if bytes.len() == of.values.len() {
        return integers(tensors, of, scales.to_vec(), bytes);
    }
    tensors.insert(format!("{}{GIVEN}", of.name), tensor_of(scales.to_vec())?);
    whole(tensors, of)
}

/// Adds a matrix as the integers that it is packed as, with the scales that were given or its own.
fn in_bytes(tensors: &mut Tensors, of: NamedParameter<'_>, given: &[f32]) -> Result<(), Error> {
    let (mut scales, mut bytes) = (Vec::new(), Vec::new());
    for (row, values) in rows(&of).enumerate() {
        let given = given.get(if given.len() > 1 { row } else { 0 }).copied().filter(|&scale| scale != 0.0);
        let (scale, integers) = bytes_of(values, given);
        // (Where all are zero, any scale is right.)
        scales.push(if scale == 0.0 { 1.0 } else { scale });
        bytes.extend(integers.map(i8::cast_unsigned));
    }
    match scales.iter().all(|&scale| is_scale(scale)) {
        true => integers(tensors, of, scales, bytes),
        // The same bytes are made of the floats.
        false if given.iter().all(|&scale| scale == 0.0) => whole(tensors, of),
        false => scaled(tensors, of, given),
    }
}

/// Adds a matrix of int8 with its scales.
fn integers(
    tensors: &mut Tensors,
    of: NamedParameter<'_>,
    scales: Vec<f32>,
    bytes: Vec<u8>,
) -> Result<(), Error> {
    tensors.insert(format!("{}_scale", of.name), tensor_of(scales)?);
    tensors.insert_raw(of.name, RawTensor::new(DType::I8, &of.shape, bytes)?);
    Ok(())
}

/// The rows of a matrix.
fn rows<'v>(of: &NamedParameter<'v>) -> impl Iterator<Item = &'v [f32]> {
    let columns = of.values.len() / of.shape.first().copied().unwrap_or(1).max(1);
    of.values.chunks_exact(columns.max(1))
}

/// Scales as a tensor: one for each row, or one for all.
fn tensor_of(scales: Vec<f32>) -> Result<Tensor, Error> {
    let shape: &[usize] = if scales.len() > 1 { &[scales.len(), 1] } else { &[1] };
    Tensor::new(shape, scales)
}

/// Whether two numbers have the same bits.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits()
}
