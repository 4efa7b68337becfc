//! Trains a bidirectional network on handwritten digits by candle's AdamW, saves it, and loads it again.
//!
//!     cargo run --example digits -- [EPOCHS]
//!
//! An image of 8 x 8 pixels is a sequence of 8 rows. The data are those of the core's tutorial
//! (`examples/fit/data/README.md` has their source): 1500 images to learn from, 297 to test on.

use candle_core::{D, DType, Device, ModuleT, Result, Tensor, bail};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss};
use fused_rnn_candle::fused_rnn::Rng;
use fused_rnn_candle::{Call, Layer, Lstm};
use std::path::Path;

const TRAINED: usize = 1500;
const BATCH: usize = 30;

/// Images `(N, 8, 8)`, each pixel from 0 to 1, and labels `(N)`.
fn digits() -> Result<(Tensor, Tensor)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fit/data");
    let images = Tensor::read_npy(folder.join("digits_data.npy"))?.to_dtype(DType::F32)?;
    let labels = Tensor::read_npy(folder.join("digits_labels.npy"))?.to_dtype(DType::U32)?;
    Ok(((images.reshape(((), 8, 8))? / 16.0)?, labels))
}

/// Two recurrent layers, and a linear head on their last states.
struct Model {
    rnn: Layer,
    head: Linear,
}

impl Model {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        let rnn = Lstm::builder(8, 64).layers(2).bidirectional(true).dropout(0.2);
        Ok(Model { rnn: Layer::new(rnn, vb.pp("rnn"))?, head: linear(128, 10, vb.pp("head"))? })
    }
}

impl ModuleT for Model {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let (_, state) = self.rnn.run(images, &Call::default().with_train(train), None)?;
        self.head.forward(&state.output()?)
    }
}

/// The part of the images whose digit is told right.
fn accuracy(model: &Model, images: &Tensor, labels: &Tensor) -> Result<f32> {
    let told = model.forward_t(images, false)?.argmax(D::Minus1)?;
    told.eq(labels)?.to_dtype(DType::F32)?.mean_all()?.to_scalar()
}

fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).and_then(|epochs| epochs.parse().ok()).unwrap_or(10);
    let (images, labels) = digits()?;
    let tested = images.dim(0)? - TRAINED;
    let (test_images, test_labels) = (images.narrow(0, TRAINED, tested)?, labels.narrow(0, TRAINED, tested)?);

    let varmap = VarMap::new();
    let model = Model::new(VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu))?;
    let mut adam = AdamW::new(varmap.all_vars(), ParamsAdamW { lr: 3e-3, ..ParamsAdamW::default() })?;
    let mut rng = Rng::new(0);
    for epoch in 1..=epochs {
        let mut order: Vec<u32> = (0..TRAINED as u32).collect();
        for last in (1..TRAINED).rev() {
            order.swap(last, rng.uniform(0.0, (last + 1) as f32) as usize % (last + 1));
        }
        let mut sum = 0.0;
        for rows in order.chunks(BATCH) {
            let rows = Tensor::from_slice(rows, rows.len(), &Device::Cpu)?;
            let logits = model.forward_t(&images.index_select(&rows, 0)?, true)?;
            let loss = loss::cross_entropy(&logits, &labels.index_select(&rows, 0)?)?;
            adam.backward_step(&loss)?;
            sum += loss.to_scalar::<f32>()? * rows.elem_count() as f32;
        }
        let (loss, right) = (sum / TRAINED as f32, accuracy(&model, &test_images, &test_labels)?);
        println!("epoch {epoch:2}   loss {loss:.3}   test {:.1} %", 100.0 * right);
    }

    let file = std::env::temp_dir().join("fused-rnn-digits.safetensors");
    varmap.save(&file)?;
    let loaded =
        Model::new(VarBuilder::from_buffered_safetensors(std::fs::read(&file)?, DType::F32, &Device::Cpu)?)?;
    let (right, again) =
        (accuracy(&model, &test_images, &test_labels)?, accuracy(&loaded, &test_images, &test_labels)?);
    println!("saved as {}; loaded again: {:.1} %", file.display(), 100.0 * again);
    if right != again || (epochs >= 5 && right < 0.8) {
        bail!("expected at least 80 % and the same once loaded, got {right} and {again}");
    }
    Ok(())
}
