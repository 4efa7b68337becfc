//! Trains a recurrent classifier of sequences on the CPU, from `.npy` files to saved weights.
//!
//! ```text
//! cargo run --release --example fit                                  the tutorial: LSTM(128) on 8 x 8 digits
//! cargo run --release --example fit -- --help                        everything else
//! cargo run --release --example fit -- --data x.npy --labels y.npy --cell gru --validation-split 0.2
//! ```
//!
//! ```text
//! cli.rs        the command line
//! npy.rs        one array from an .npy file          data.rs      sequences and labels, checked
//! model.rs      recurrent layer and head             trainer.rs   a training step, and epochs of them
//! progress.rs   a bar or a line per epoch            report.rs    the table at the end
//! weights.rs    safetensors with PyTorch's names     curve.rs     the learning curve, by common/chart.rs
//! output.rs     files that appear all together or not at all
//! ```
//!
//! A mistake in the input ends with one line on the standard error and status 1, and no file is written.

#[allow(dead_code, reason = "lines alone")]
mod cli;
mod curve;
mod data;
mod model;
mod npy;
mod output;
mod progress;
mod report;
mod trainer;
mod weights;

use cli::{Options, Request};
use data::Dataset;
use model::Model;
use output::Output;
use progress::Progress;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use trainer::{Epoch, Trainer};

/// The files of a run, in the folder of `--save`.
const WEIGHTS: &str = "weights.safetensors";
const CURVE: &str = "curve.svg";

fn main() -> ExitCode {
    let done = match cli::parse(std::env::args_os()) {
        Ok(Request::Run(options)) => run(&options),
        Ok(Request::Help(text)) => write!(io::stdout(), "{text}").map_err(Into::into),
        Err(line) => Err(line.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to where this fails.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut data = match (&options.data, &options.labels) {
        (Some(data), Some(labels)) => Dataset::load(data, labels, options.classes.map(Into::into))?,
        _ => Dataset::digits()?,
    };
    data.scale(options.scale)?;
    let rows = data.training_rows(options.validation_split)?;
    let model = Model::new(options, &data, options.seed)?;
    let mut output = Output::open(&options.save, &[WEIGHTS, CURVE])?;
    let title = title(options, &data);
    let mut out = io::stdout().lock();
    let Dataset { rows: all, steps, features, classes, .. } = data;
    writeln!(out, "data ({all}, {steps}, {features}), {classes} classes; {rows} rows to train on")?;
    writeln!(out, "{title}; {} parameters\n", model.parameter_count())?;
    drop(out);

    let mut trainer = Trainer::new(options, &data, model)?;
    let epochs = trainer.fit(options, rows, &mut Progress::new(options.epochs.get()))?;

    // The weights are read back from the disk, into a model drawn from another seed.
    let weights = output.stage(WEIGHTS, &weights::serialize(&trainer.model, &title)?)?;
    let mut loaded = Model::new(options, &data, !options.seed)?;
    weights::load(&fs::read(weights)?, &mut loaded)?;
    let compared = data.rows.min(256);
    weights::compare(&trainer.model, &loaded, &data, compared)?;
    output.stage(CURVE, curve::draw(&epochs, &title)?.as_bytes())?;

    let mut out = io::stdout().lock();
    write!(out, "\n{}\n{}", report::epochs(&epochs), summary(options, &trainer.model, &epochs, &title))?;
    for file in output.commit()? {
        writeln!(out, "saved       {}", file.display())?;
    }
    writeln!(out, "checked     weights loaded back, predictions of {compared} sequences: the same bits")?;
    Ok(())
}

/// The model as its builders would call it: "2 x bidirectional LSTM(128), Dense(10, softmax)".
fn title(options: &Options, data: &Dataset) -> String {
    let layers = match options.layers.get() {
        1 => String::new(),
        layers => format!("{layers} x "),
    };
    let directions = if options.bidirectional { "bidirectional " } else { "" };
    let (cell, hidden, classes) = (options.cell.name(), options.hidden, data.classes);
    format!("{layers}{directions}{cell}({hidden}), Dense({classes}, softmax)")
}

/// What the run was, as a whole.
fn summary(options: &Options, model: &Model, epochs: &[Epoch], title: &str) -> String {
    let time: Duration = epochs.iter().map(|epoch| epoch.time).sum();
    let trained: usize = epochs.iter().map(|epoch| epoch.training.rows).sum();
    let last = epochs[epochs.len() - 1].training;
    report::facts(&[
        ("model", title.to_owned()),
        ("parameters", model.parameter_count().to_string()),
        ("SIMD level", model.rnn.level().to_string()),
        ("threads", options.threads.map_or("auto".to_owned(), |threads| threads.to_string())),
        ("time", format!("{:.2} s for {} epochs", time.as_secs_f64(), epochs.len())),
        ("samples/s", format!("{:.0}", trained as f64 / time.as_secs_f64().max(1e-9))),
        ("loss", format!("{:.4}", last.loss)),
        ("accuracy", format!("{:.4}", last.accuracy)),
    ])
}
