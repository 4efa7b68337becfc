//! Trains an LSTM in burn on handwritten digits: each image is a sequence of its eight rows of eight pixels.
//!
//! ```text
//! cargo run --example digits
//! ```
//!
//! The layer is a module like any other: burn's optimiser steps its parameters, and burn's records keep them.
//! The digits are those of the example `fit` of `fused-rnn`: 1797 images of 8 x 8 pixels, values 0 to 16.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fused_rnn_burn::{Lstm, LstmConfig};
use std::error::Error;
use std::fs::File;
use std::path::Path;

const PIXELS: usize = 8;
const CLASSES: usize = 10;
const HIDDEN: usize = 64;
/// One image of so many is in the test set.
const TESTED: usize = 6;
const BATCH: usize = 32;
const EPOCHS: usize = 20;

#[derive(Module, Debug)]
struct Classifier {
    lstm: Lstm,
    head: Linear,
}

impl Classifier {
    fn new(device: &Device) -> Result<Self, fused_rnn_burn::Error> {
        let lstm = LstmConfig::new(PIXELS, HIDDEN).with_layers(2).with_dropout(0.2).init(device)?;
        Ok(Classifier { lstm, head: LinearConfig::new(HIDDEN, CLASSES).init(device) })
    }

    /// Logits `(B, classes)` of images `(B, 8, 8)`.
    fn forward(&self, images: Tensor<3>) -> Result<Tensor<2>, fused_rnn_burn::Error> {
        let (_, state) = self.lstm.forward(images, None)?;
        // The last hidden state of the upper layer.
        Ok(self.head.forward(state.hidden.narrow(0, 1, 1).squeeze_dim(0)))
    }
}

/// Images and labels, as tensors on a device.
struct Digits {
    images: Tensor<3>,
    labels: Tensor<1, Int>,
}

impl Digits {
    /// Those of the test set, or the others.
    fn load(tested: bool, device: &Device) -> Result<Self, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fit/data");
        let read = |name| -> Result<Vec<u8>, Box<dyn Error>> {
            Ok(npyz::NpyFile::new(File::open(folder.join(name))?)?.into_vec()?)
        };
        let (images, labels) = (read("digits_data.npy")?, read("digits_labels.npy")?);
        let rows = images.chunks_exact(PIXELS * PIXELS).zip(labels).enumerate();
        let rows = rows.filter(|(n, _)| (n % TESTED == 0) == tested).map(|(_, row)| row);
        let (images, labels): (Vec<_>, Vec<_>) = rows.unzip();
        let images: Vec<f32> = images.concat().into_iter().map(|value| f32::from(value) / 16.0).collect();
        let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
        let count = labels.len();
        Ok(Digits {
            images: Tensor::from_data(TensorData::new(images, [count, PIXELS, PIXELS]), device),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
        })
    }

    fn count(&self) -> usize {
        self.labels.dims()[0]
    }

    fn rows(&self, begin: usize, count: usize) -> (Tensor<3>, Tensor<1, Int>) {
        (self.images.clone().narrow(0, begin, count), self.labels.clone().narrow(0, begin, count))
    }
}

/// The part of the images that is recognised.
fn accuracy(model: &Classifier, digits: &Digits) -> Result<f64, Box<dyn Error>> {
    let guesses: Tensor<1, Int> = model.forward(digits.images.clone())?.argmax(1).squeeze_dim(1);
    let right: i64 = guesses.equal(digits.labels.clone()).int().sum().into_scalar();
    Ok(right as f64 / digits.count() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (inference, device) = (Device::flex(), Device::flex().autodiff());
    device.seed(1);
    let (digits, test) = (Digits::load(false, &device)?, Digits::load(true, &inference)?);
    let mut model = Classifier::new(&device)?;
    println!("{model}");
    let loss_of = CrossEntropyLossConfig::new().init(&device);
    let mut optimizer = AdamConfig::new().init();
    for epoch in 1..=EPOCHS {
        let mut sum = 0.0;
        let batches = digits.count() / BATCH;
        for batch in 0..batches {
            let (images, labels) = digits.rows(batch * BATCH, BATCH);
            let loss = loss_of.forward(model.forward(images)?, labels);
            sum += loss.clone().into_scalar::<f32>();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(4e-3, model, gradients);
        }
        let (loss, accuracy) = (sum / batches as f32, accuracy(&model.valid(), &test)?);
        println!("epoch {epoch:2}: loss {loss:.4}, {:5.1} % of the test set recognised", 100.0 * accuracy);
    }

    // What is saved is found again.
    let record = model.valid().into_record();
    let loaded = Classifier::new(&inference)?.try_load_record(record)?;
    let accuracy = accuracy(&loaded, &test)?;
    println!("loaded from its record: {:.1} %", 100.0 * accuracy);
    if accuracy < 0.9 { Err("expected at least 90 %".into()) } else { Ok(()) }
}
