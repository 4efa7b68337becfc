//! How far each precision is from f64, by cell and length: a table for the documentation.
//!
//! ```text
//! cargo run --release --example accuracy
//! cargo run --release --example accuracy -- 64 128        input size and hidden size
//! ```
//!
//! Weights are PyTorch's initial ones and inputs uniform in -1..1, both from fixed seeds; the truth is the
//! reference in f64 on the weights in f32. Of one row, over all outputs up to step T: the root mean square
//! of the error, and its largest magnitude.

use clap::Parser;
use fused_rnn::{CellKind, Dims, Layout, Precision, Recurrent, Rng, reference};
use fused_rnn_examples::{Outcomes, from_to, say};

/// Prints how far each precision is from f64, by cell and length T: the root mean square of the error of all
/// outputs up to step T, and the largest error.
#[derive(Parser)]
struct Args {
    /// Input size.
    #[arg(default_value_t = 64, value_parser = from_to(1, 2048))]
    input: usize,
    /// Hidden size.
    #[arg(default_value_t = 128, value_parser = from_to(1, 2048))]
    hidden: usize,
}

/// Steps up to which errors are told.
const STEPS: [usize; 4] = [1, 10, 100, 1000];

/// The reference of a network of one layer with two biases.
fn model(layer: &Recurrent) -> reference::Model<f64> {
    let config = layer.config();
    let cell = reference::Cell::from(config.kind());
    let mut params = reference::Params::zeros(cell, config.input_size(), config.hidden_size());
    for tensor in layer.named_parameters() {
        let to = match tensor.name.as_str() {
            "weight_ih_l0" => &mut params.weight_ih,
            "weight_hh_l0" => &mut params.weight_hh,
            "bias_ih_l0" => &mut params.bias_ih,
            _ => &mut params.bias_hh,
        };
        *to = tensor.values.iter().map(|&value| value.into()).collect();
    }
    reference::Model {
        cell,
        input_size: config.input_size(),
        hidden_size: config.hidden_size(),
        projection: None,
        layer_norm: None,
        heads: 1,
        layers: 1,
        bidirectional: false,
        reverse: false,
        variants: Default::default(),
        precision: Default::default(),
        params: vec![params],
    }
}

fn main() -> Outcomes {
    let Args { input, hidden } = Args::parse();
    let steps = STEPS[STEPS.len() - 1];
    let mut rng = Rng::new(3);
    let x: Vec<f32> = (0..steps * input).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let wide: Vec<f64> = x.iter().map(|&value| value.into()).collect();

    say!("Against f64, over all outputs up to step T: root mean square of the error, largest error.\n")?;
    say!(
        "| cell, {hidden} units, {input} inputs | precision | {} |",
        STEPS.map(|t| format!("T = {t}")).join(" | ")
    )?;
    say!("|---|---|{}", "---|".repeat(STEPS.len()))?;
    for &kind in CellKind::ALL {
        let layer = |precision| {
            let builder = fused_rnn::Builder::new(kind, input, hidden).layout(Layout::TimeMajor);
            builder.precision(precision).build()
        };
        let given = reference::Input { steps, batch: 1, x: &wide, ..reference::Input::default() };
        let want = reference::forward(&model(&layer(Precision::F32)?), &given).y;
        for &precision in Precision::ALL {
            let got = layer(precision)?.run(&x, Dims::new(1, steps))?.y;
            let errors: Vec<f64> = got.iter().zip(&want).map(|(&got, want)| f64::from(got) - want).collect();
            let of = STEPS.map(|steps| {
                let errors = &errors[..steps * hidden];
                let square = errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64;
                let most = errors.iter().fold(0.0f64, |most, error| most.max(error.abs()));
                format!("{:.1e}, {most:.1e}", square.sqrt())
            });
            say!("| {kind:?} | {precision} | {} |", of.join(" | "))?;
        }
    }
    Ok(())
}
