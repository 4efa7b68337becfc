//! Saved weights: safetensors with PyTorch's names, so that a module `rnn = nn.LSTM(..)`, `head = nn.Linear(..)`
//! loads them as they are.
//!
//! ```text
//! rnn.weight_ih_l0  rnn.weight_hh_l0  rnn.bias_ih_l0  rnn.bias_hh_l0  [_reverse, l1, ...]  head.weight  head.bias
//! ```
//!
//! PyTorch has two bias vectors where this model trains one; the second is then saved as zeros, and refused
//! if it comes back as anything else.

use super::data::Dataset;
use super::model::{Model, Pass};
use fused_rnn::Dims;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// A tensor of a model: its shape and values. Keyed by its name.
type Tensors<'a> = BTreeMap<String, (Vec<usize>, Cow<'a, [f32]>)>;

/// All tensors that a file of this model holds.
fn tensors(model: &Model) -> Tensors<'_> {
    let mut tensors = Tensors::new();
    for parameter in model.rnn.named_parameters() {
        tensors.insert(format!("rnn.{}", parameter.name), (parameter.shape, Cow::Borrowed(parameter.values)));
    }
    for name in tensors.keys().cloned().collect::<Vec<_>>() {
        let second = name.replace("bias_ih", "bias_hh");
        let (shape, values) = &tensors[&name];
        let zeros = (shape.clone(), Cow::Owned(vec![0.0; values.len()]));
        tensors.entry(second).or_insert(zeros);
    }
    let (inputs, outputs) = (model.head.inputs(), model.head.outputs());
    tensors.insert("head.weight".to_owned(), (vec![outputs, inputs], Cow::Borrowed(model.head.weight())));
    tensors.insert("head.bias".to_owned(), (vec![outputs], Cow::Borrowed(model.head.bias())));
    tensors
}

/// The bytes of a file with the weights of a model, and a line that says what it is.
///
/// # Errors
/// Why they cannot be made.
pub(crate) fn serialize(model: &Model, description: &str) -> Result<Vec<u8>, String> {
    let tensors = tensors(model);
    let bytes: Vec<Vec<u8>> = tensors.values().map(|(_, values)| to_bytes(values)).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let metadata = HashMap::from([("model".to_owned(), description.to_owned())]);
    views.and_then(|views| safetensors::serialize(views, Some(metadata))).map_err(|error| error.to_string())
}

/// Loads the weights in a file into a model of their shape. Every tensor must be in the file, with its shape,
/// and no other.
///
/// # Errors
/// What is wrong with the file. Weights may then have been loaded in part.
pub(crate) fn load(bytes: &[u8], model: &mut Model) -> Result<(), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let shapes: BTreeMap<String, Vec<usize>> =
        tensors(model).into_iter().map(|(name, (shape, _))| (name, shape)).collect();
    if let Some(name) = file.names().into_iter().find(|&name| !shapes.contains_key(name)) {
        return Err(format!("the tensor {name} has no place in this model"));
    }
    let places: Vec<String> = model.rnn.named_parameters().map(|parameter| parameter.name).collect();
    let weights = model.head.weight().len();
    for (name, shape) in shapes {
        let tensor = file.tensor(&name).map_err(|error| error.to_string())?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let (dtype, got) = (tensor.dtype(), tensor.shape());
            return Err(format!("{name}: expected F32 of shape {shape:?}, got {dtype} of shape {got:?}"));
        }
        let (quads, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = quads.iter().map(|&quad| f32::from_le_bytes(quad)).collect();
        match name.strip_prefix("rnn.") {
            Some(place) if places.iter().any(|known| known == place) => {
                model.rnn.set_parameter(place, &values).map_err(|error| error.to_string())?;
            }
            Some(_) if values.iter().all(|&value| value == 0.0) => (),
            Some(_) => return Err(format!("{name}: this model has one bias vector, expected zeros")),
            None if name == "head.weight" => {
                model.head.parameters_mut()[..weights].copy_from_slice(&values);
            }
            None => model.head.parameters_mut()[weights..].copy_from_slice(&values),
        }
    }
    Ok(())
}

/// Checks that two models are one: every weight, and the predictions for the first `rows` sequences, bit by
/// bit.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(a: &Model, b: &Model, data: &Dataset, rows: usize) -> Result<(), String> {
    for ((name, (_, a)), (_, b)) in tensors(a).iter().zip(tensors(b).values()) {
        if to_bytes(a) != to_bytes(b) {
            return Err(format!("{name} differs after loading"));
        }
    }
    let x = data.batch(0..rows);
    let predict = |model: &Model| -> Result<Vec<u8>, fused_rnn::Error> {
        let mut pass = Pass::new(model)?;
        Ok(to_bytes(model.predict(x, Dims::new(rows, data.steps), &mut pass)?))
    };
    match (predict(a), predict(b)) {
        (Ok(a), Ok(b)) if a == b => Ok(()),
        (Ok(_), Ok(_)) => Err("the predictions differ after loading".to_owned()),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::cli::{Options, Request, parse};
    use super::*;

    fn model(arguments: &str, seed: u64) -> Model {
        let words = std::iter::once("fit").chain(arguments.split_whitespace());
        let Ok(Request::Run(options)) = parse(words.map(Into::into)) else { panic!("{arguments}") };
        let options: Options = *options;
        Model::new(&options, &Dataset::digits().unwrap(), seed).unwrap()
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let digits = Dataset::digits().unwrap();
        for arguments in ["--hidden 5 --layers 2 --bidirectional", "--hidden 3 --cell gru"] {
            let (saved, mut loaded) = (model(arguments, 1), model(arguments, 2));
            assert!(compare(&saved, &loaded, &digits, 3).unwrap_err().contains("differs"));
            load(&serialize(&saved, "two words").unwrap(), &mut loaded).unwrap();
            compare(&saved, &loaded, &digits, 3).unwrap();
        }
    }

    #[test]
    fn a_file_of_another_model_is_refused() {
        let bytes = serialize(&model("--hidden 4", 1), "").unwrap();
        for (arguments, said) in [
            ("--hidden 5", "head.weight: expected F32 of shape [10, 5], got F32 of shape [10, 4]"),
            ("--hidden 4 --layers 2", "rnn.bias_hh_l1"),
            ("--hidden 4 --cell gru", "rnn.bias_hh_l0: expected F32 of shape [12]"),
        ] {
            let error = load(&bytes, &mut model(arguments, 1)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let two = serialize(&model("--hidden 4 --layers 2", 1), "").unwrap();
        let error = load(&two, &mut model("--hidden 4", 1)).unwrap_err();
        assert!(error.contains("has no place in this model"), "{error}");
        assert!(load(&bytes[..bytes.len() - 1], &mut model("--hidden 4", 1)).is_err());
    }

    #[test]
    fn a_second_bias_that_this_model_has_not_must_be_zero() {
        let mut bytes = serialize(&model("--hidden 4", 1), "").unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let second = file.tensor("rnn.bias_hh_l0").unwrap().data().as_ptr();
        let place = second as usize - bytes.as_ptr() as usize;
        bytes[place..place + 4].copy_from_slice(&1.0f32.to_le_bytes());
        let error = load(&bytes, &mut model("--hidden 4", 1)).unwrap_err();
        assert!(error.contains("one bias vector"), "{error}");
    }
}
