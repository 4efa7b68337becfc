//! The public edge around the layers, as a table: each call with a wrong argument, and the exact words of its
//! error. Outputs and state are afterwards as before. (The calls of a layer itself: `errors.rs`.)

mod files;
mod format;
mod keras;
mod layers;
mod train;

use fused_rnn::Error;
use fused_rnn::format::Tensor;

/// A call with a wrong argument, and what it must say.
type Row = (&'static str, Box<dyn Fn() -> Result<(), Error>>, &'static str);

fn row<T>(name: &'static str, call: impl Fn() -> Result<T, Error> + 'static, expected: &'static str) -> Row {
    (name, Box::new(move || call().map(|_| ())), expected)
}

fn all(rows: Vec<Row>) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(name, call, expected)| match call() {
            Ok(()) => Some(format!("{name}: no error")),
            Err(error) if error.to_string() == *expected => None,
            Err(error) => Some(format!("{name}\n  said     {error}\n  expected {expected}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a call on a buffer of sevens, which it must leave alone.
fn untouched(len: usize, mut call: impl FnMut(&mut [f32]) -> Result<(), Error>) -> Result<(), Error> {
    let mut buffer = vec![7.0; len];
    let result = call(&mut buffer);
    assert!(result.is_ok() || buffer.iter().all(|value| *value == 7.0), "written before {result:?}");
    result
}

#[test]
fn everything_can_be_sent_and_shared() {
    use fused_rnn::{Builder, Config, Output, Recurrent, Rng, State, Tape, Workspace};
    use fused_rnn::{format, train};
    fn both<T: Send + Sync + 'static>() {}
    both::<Recurrent>();
    both::<State>();
    both::<Tape>();
    both::<Workspace>();
    both::<Builder>();
    both::<Config>();
    both::<Output>();
    both::<Error>();
    both::<Rng>();
    both::<train::Dense>();
    both::<train::Dropout>();
    both::<train::Sgd>();
    both::<train::Adam>();
    both::<train::AdamW>();
    both::<format::Tensors>();
    both::<format::Arrays>();
    both::<format::keras::Layer>();
    both::<format::onnx::Node>();
    #[cfg(feature = "onnx")]
    {
        both::<format::onnx::Model>();
        both::<format::onnx::ModelNode>();
        both::<format::onnx::Chain>();
        both::<format::onnx::Reassembled>();
        both::<format::onnx::Warning>();
    }
}

const HUGE: usize = usize::MAX;
const OVERFLOW: &str = "expected a size below 9223372036854775807, got a larger one";

fn tensor(shape: &[usize]) -> Tensor {
    let count = if shape.contains(&0) { 0 } else { shape.iter().product() };
    Tensor::new(shape, vec![0.5; count]).unwrap()
}
