//! Saved weights: safetensors with PyTorch's names, so that a module `rnn = nn.LSTM(..)`, `head =
//! nn.Linear(..)` loads them as they are.
//!
//! ```text
//! rnn.weight_ih_l0  rnn.weight_hh_l0  rnn.bias_ih_l0  rnn.bias_hh_l0  [_reverse, l1, ...]
//! head.weight  head.bias
//! ```
//!
//! PyTorch has two bias vectors where this model may train one; the second is then saved as zeros, and
//! added to the first when it comes back.
//!
//! The names are the crate's, [`state_dict::save`] and [`Dense::save`]. With its feature `safetensors` the
//! bytes were `tensors.to_safetensors(..)` and `Tensors::from_safetensors(..)`; an example that runs
//! without features calls the library itself.

use super::data::Dataset;
use super::model::{Model, Pass};
use fused_rnn::Dims;
use fused_rnn::format::{Tensor, Tensors, state_dict};
use fused_rnn::train::Dense;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::HashMap;

/// All tensors that a file of this model holds.
fn tensors(model: &Model) -> Result<Tensors, fused_rnn::Error> {
    let mut tensors = Tensors::new();
    tensors.insert_all("rnn.", state_dict::save(&model.rnn)?);
    tensors.insert_all("head.", model.head.save()?);
    Ok(tensors)
}

/// The bytes of a file with the weights of a model, and a line that says what it is.
///
/// # Errors
/// Why they cannot be made.
pub(crate) fn serialize(model: &Model, description: &str) -> Result<Vec<u8>, String> {
    let tensors = tensors(model).map_err(|error| error.to_string())?;
    let all = || tensors.names().filter_map(|name| Some((name, tensors.get(name)?)));
    let bytes: Vec<Vec<u8>> = all().map(|(_, tensor)| to_bytes(tensor.values())).collect();
    let views = all().zip(&bytes).map(|((name, tensor), bytes)| {
        Ok((name, TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let metadata = HashMap::from([("model".to_owned(), description.to_owned())]);
    views.and_then(|views| safetensors::serialize(views, Some(metadata))).map_err(|error| error.to_string())
}

/// Loads the weights in a file into a model of their shape. Every tensor must be in the file, with its shape,
/// and no other.
///
/// # Errors
/// What is wrong with the file. The model is then as before.
pub(crate) fn load(bytes: &[u8], model: &mut Model) -> Result<(), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = Tensors::new();
    for (name, tensor) in file.iter() {
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("{name}: expected F32, got {}", tensor.dtype()));
        }
        let (quads, _) = tensor.data().as_chunks::<4>();
        let values = quads.iter().map(|&quad| f32::from_le_bytes(quad)).collect();
        tensors.insert(name, Tensor::new(tensor.shape(), values).map_err(|error| error.to_string())?);
    }
    fill(tensors, model).map_err(|error| error.to_string())
}

fn fill(mut tensors: Tensors, model: &mut Model) -> Result<(), fused_rnn::Error> {
    let (rnn, mut head) = (tensors.split_off_prefix("rnn."), tensors.split_off_prefix("head."));
    tensors.finish()?;
    let (inputs, outputs) = (model.head.inputs(), model.head.outputs());
    let weight = head.take("weight", &[outputs, inputs])?;
    let bias = head.take("bias", &[outputs])?;
    head.finish()?;
    // The last that can fail, and it changes nothing then.
    let head = Dense::from_parameters(inputs, outputs, &[weight, bias].concat())?;
    state_dict::load(rnn, &mut model.rnn)?;
    model.head = head;
    Ok(())
}

/// Checks that two models are one: every weight, and the predictions for the first `rows` sequences, bit by
/// bit.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(a: &Model, b: &Model, data: &Dataset, rows: usize) -> Result<(), String> {
    let all = |model| tensors(model).map_err(|error| error.to_string());
    let (tensors_of_a, tensors_of_b) = (all(a)?, all(b)?);
    for name in tensors_of_a.names() {
        let bytes = |tensors: &Tensors| tensors.get(name).map(|tensor| to_bytes(tensor.values()));
        if bytes(&tensors_of_a) != bytes(&tensors_of_b) {
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
            ("--hidden 5", "weight: expected a tensor of shape [10, 5], got shape [10, 4]"),
            ("--hidden 4 --layers 2", "bias_ih_l1: expected a tensor of shape [16], got none"),
            ("--hidden 4 --cell gru", "bias_ih_l0: expected a tensor of shape [12], got shape [16]"),
        ] {
            let error = load(&bytes, &mut model(arguments, 1)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let two = serialize(&model("--hidden 4 --layers 2", 1), "").unwrap();
        let error = load(&two, &mut model("--hidden 4", 1)).unwrap_err();
        assert!(error.contains("none that has no place here, got bias_hh_l1"), "{error}");
        assert!(load(&bytes[..bytes.len() - 1], &mut model("--hidden 4", 1)).is_err());
    }

    #[test]
    fn a_second_bias_is_added_where_this_model_has_one() {
        let saved = model("--hidden 4", 1);
        let mut bytes = serialize(&saved, "").unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let second = file.tensor("rnn.bias_hh_l0").unwrap().data().as_ptr();
        let place = second as usize - bytes.as_ptr() as usize;
        bytes[place..place + 4].copy_from_slice(&1.0f32.to_le_bytes());
        let mut loaded = model("--hidden 4", 2);
        load(&bytes, &mut loaded).unwrap();
        let bias = |model: &Model| tensors(model).unwrap().get("rnn.bias_ih_l0").unwrap().values()[0];
        assert_eq!(bias(&loaded), bias(&saved) + 1.0);
    }
}
