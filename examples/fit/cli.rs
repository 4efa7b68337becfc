//! The command line, and its errors of one line.

use clap::{Parser, ValueEnum};
use fused_rnn::{CellKind, Precision};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Trains a recurrent classifier of sequences: a recurrent layer, a dense softmax head, Adam.
///
/// Without options it is the tutorial's model on the digits that are built in: LSTM(128) over the 64 pixels
/// of an image, one by one, then Dense(10). At the end: a table, a learning curve, saved weights.
#[derive(Debug, Clone, Parser)]
#[command(name = "fit", max_term_width = 100)]
pub(crate) struct Options {
    /// Sequences, an .npy file of integers or floats, (N, T) or (N, T, F). Default: the digits built in.
    #[arg(long, value_name = "FILE", requires = "labels")]
    pub(crate) data: Option<PathBuf>,
    /// Labels, an .npy file: integers (N) or (N, 1), or one-hot rows (N, C).
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) labels: Option<PathBuf>,
    /// Number of classes of integer labels. Default: one more than the largest, and each must occur.
    #[arg(long, value_name = "C", requires = "labels", value_parser = at_least_one)]
    pub(crate) classes: Option<NonZeroUsize>,
    /// Multiplies every number of the data: 0.0625 brings the pixels of the digits from 0..16 to 0..1.
    #[arg(
        long,
        value_name = "FACTOR",
        default_value = "1",
        value_parser = factor,
        allow_negative_numbers = true
    )]
    pub(crate) scale: f32,
    /// Recurrent cell.
    #[arg(long, value_enum, default_value_t = Cell::Lstm)]
    pub(crate) cell: Cell,
    /// Hidden units of each layer and direction.
    #[arg(long, value_name = "H", default_value = "128", value_parser = at_least_one)]
    pub(crate) hidden: NonZeroUsize,
    /// Precision of the products of the recurrent layers, in training too. (int8 does not train.)
    #[arg(long, value_enum, default_value_t = In::F32)]
    pub(crate) precision: In,
    /// Layers on top of each other.
    #[arg(long, value_name = "L", default_value = "1", value_parser = at_least_one)]
    pub(crate) layers: NonZeroUsize,
    /// Runs each layer backward in time, too.
    #[arg(long)]
    pub(crate) bidirectional: bool,
    /// Probability to drop a value between layers and before the head, in training.
    #[arg(
        long,
        value_name = "P",
        default_value = "0",
        value_parser = probability,
        allow_negative_numbers = true
    )]
    pub(crate) dropout: f32,
    /// Passes over the training data.
    #[arg(long, value_name = "N", default_value = "10", value_parser = at_least_one)]
    pub(crate) epochs: NonZeroUsize,
    /// Rows of a training step.
    #[arg(long, value_name = "B", default_value = "32", value_parser = at_least_one)]
    pub(crate) batch_size: NonZeroUsize,
    /// Share of the rows, the last ones, that is kept from training to validate after each epoch.
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0",
        value_parser = share,
        allow_negative_numbers = true
    )]
    pub(crate) validation_split: f64,
    /// Learning rate of Adam.
    #[arg(
        long,
        value_name = "RATE",
        default_value = "0.001",
        value_parser = rate,
        allow_negative_numbers = true
    )]
    pub(crate) learning_rate: f64,
    /// L2 regularisation: adds WD / 2 times the sum of the squares of all parameters to the loss.
    #[arg(long, value_name = "WD", default_value = "0", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) weight_decay: f64,
    /// Clips the gradients of each step to this global norm.
    #[arg(long, value_name = "NORM", value_parser = norm, allow_negative_numbers = true)]
    pub(crate) clip_norm: Option<f32>,
    /// Threads. Default: as many as there are cores, fewer for small work.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Seed of the weights, the order of the rows and dropout; the same seed gives the same run.
    #[arg(long, default_value = "0")]
    pub(crate) seed: u64,
    /// Folder for the weights and the learning curve.
    #[arg(long, value_name = "DIR", default_value = "fit-run")]
    pub(crate) save: PathBuf,
}

/// The cells by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cell {
    /// Long short-term memory
    Lstm,
    /// Gated recurrent unit, reset after the product (PyTorch, Keras)
    Gru,
    /// Gated recurrent unit, reset before the product (the paper, ONNX)
    GruBefore,
    /// Elman network with tanh
    RnnTanh,
    /// Elman network with a rectifier
    RnnRelu,
}

impl Cell {
    /// The cell as the crate names it.
    pub(crate) fn kind(self) -> CellKind {
        match self {
            Cell::Lstm => CellKind::Lstm,
            Cell::Gru => CellKind::GruResetAfter,
            Cell::GruBefore => CellKind::GruResetBefore,
            Cell::RnnTanh => CellKind::ElmanTanh,
            Cell::RnnRelu => CellKind::ElmanRelu,
        }
    }

    /// The cell as a model summary names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cell::Lstm => "LSTM",
            Cell::Gru => "GRU",
            Cell::GruBefore => "GRU (reset before)",
            Cell::RnnTanh => "RNN (tanh)",
            Cell::RnnRelu => "RNN (relu)",
        }
    }
}

/// The precisions that train, by their names on the command line, which are the crate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum In {
    /// f32
    F32,
    /// Weights in bf16, all else in f32
    #[value(name = "bf16_weights", alias = "bf16-weights")]
    Bf16Weights,
    /// Products of bf16, summed in f32
    Bf16,
}

impl In {
    /// The precision as the crate names it.
    pub(crate) fn precision(self) -> Precision {
        match self {
            In::F32 => Precision::F32,
            In::Bf16Weights => Precision::Bf16Weights,
            In::Bf16 => Precision::Bf16,
        }
    }
}

/// The request of a command line.
pub(crate) enum Request {
    /// A run.
    Run(Box<Options>),
    /// The help, to be printed.
    Help(String),
}

/// A number of things, of which there must be one.
fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, at least 1".to_owned())
}

/// Reads a command line.
///
/// # Errors
/// The mistake, in one line: clap's first paragraph, without its hints and usage.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    match Options::try_parse_from(arguments) {
        Ok(options) => Ok(Request::Run(Box::new(options))),
        Err(error) if !error.use_stderr() => Ok(Request::Help(error.to_string())),
        Err(error) => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
            Err(line.trim_start_matches("error: ").to_owned())
        }
    }
}

fn probability(text: &str) -> Result<f32, String> {
    number(text, "a probability in [0, 1)", |p| (0.0..1.0).contains(&p))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, "a share in [0, 1)", |share| (0.0..1.0).contains(&share))
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, "a finite number of at least 0", |rate: f64| rate.is_finite() && rate >= 0.0)
}

fn factor(text: &str) -> Result<f32, String> {
    number(text, "a finite number other than 0", |factor: f32| factor.is_finite() && factor != 0.0)
}

fn norm(text: &str) -> Result<f32, String> {
    number(text, "a finite number above 0", |norm: f32| norm.is_finite() && norm > 0.0)
}

fn number<T: std::str::FromStr + Copy>(
    text: &str,
    expected: &str,
    valid: fn(T) -> bool,
) -> Result<T, String> {
    text.parse().ok().filter(|&value| valid(value)).ok_or_else(|| format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &str) -> Result<Options, String> {
        match parse(std::iter::once("fit").chain(arguments.split_whitespace()).map(OsString::from))? {
            Request::Run(options) => Ok(*options),
            Request::Help(_) => Err("help".to_owned()),
        }
    }

    #[test]
    fn the_defaults_are_the_tutorial() {
        let options = run("").unwrap();
        assert_eq!((options.cell, options.hidden.get(), options.layers.get()), (Cell::Lstm, 128, 1));
        assert_eq!((options.epochs.get(), options.batch_size.get()), (10, 32));
        assert_eq!((options.learning_rate, options.weight_decay, options.clip_norm), (1e-3, 0.0, None));
        assert_eq!((options.validation_split, options.dropout, options.bidirectional), (0.0, 0.0, false));
    }

    #[test]
    fn every_option_is_understood() {
        let options = run(
            "--data a.npy --labels b.npy --classes 7 --scale -2 --cell gru-before --hidden 3 --layers 2 \
             --bidirectional --dropout 0.5 --epochs 4 --batch-size 5 --validation-split 0.2 \
             --learning-rate 0.1 --weight-decay 1e-4 --clip-norm 1 --threads 2 --seed 9 --save here \
             --precision bf16_weights",
        );
        let options = options.unwrap();
        assert_eq!(options.cell.kind(), CellKind::GruResetBefore);
        assert_eq!((options.dropout, options.clip_norm, options.scale), (0.5, Some(1.0), -2.0));
        assert_eq!((options.seed, options.precision.precision()), (9, Precision::Bf16Weights));
        assert_eq!(options.save, PathBuf::from("here"));
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_option() {
        for (arguments, named) in [
            ("--epochs 0", "--epochs"),
            ("--batch-size 0", "--batch-size"),
            ("--hidden -3", "-3"),
            ("--layers x", "--layers"),
            ("--threads 0", "--threads"),
            ("--dropout 1", "--dropout"),
            ("--dropout nan", "--dropout"),
            ("--validation-split 1.5", "--validation-split"),
            ("--learning-rate -1", "--learning-rate"),
            ("--learning-rate inf", "--learning-rate"),
            ("--weight-decay nan", "--weight-decay"),
            ("--clip-norm 0", "--clip-norm"),
            ("--scale 0", "--scale"),
            ("--cell lstn", "--cell"),
            ("--precision int8", "--precision"),
            ("--data a.npy", "--labels"),
            ("--labels a.npy", "--data"),
            ("--classes 3", "--labels"),
            ("--nonsense", "--nonsense"),
            ("--seed 1 --seed 2", "--seed"),
            ("stray", "stray"),
        ] {
            let line = run(arguments).unwrap_err();
            assert!(line.contains(named) && !line.contains('\n') && !line.contains("error:"), "{line}");
        }
        assert_eq!(run("--help").unwrap_err(), "help");
    }
}
