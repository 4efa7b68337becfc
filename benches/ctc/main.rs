//! The CTC loss with its gradient: cases from a file, timed, and what comes out of them.
//!
//! ```text
//! cargo bench --bench ctc                                 cases of its own
//! cargo bench --bench ctc -- --cases IN --results OUT     those of a safetensors file, for a peer to compare
//! ```
//!
//! Case n of a file is `n.logits (T, B, C)`, time-major, `n.lengths (B)`, `n.labels`, `n.label_lengths (B)`,
//! the blank being class 0; its results are `n.loss`, `n.gradient (T, B, C)` and `n.seconds`, the median of a
//! call on one thread.

use clap::Parser;
use fused_rnn::train::{Ctc, CtcWorkspace};
use fused_rnn::{Dims, Layout, Rng};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// The time of the CTC loss with its gradient on one thread: of T steps, B rows and C classes each a line.
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench ctc --")]
struct Args {
    /// A safetensors file of cases in the place of the bench's own (benches/peers/ctc.py writes such);
    /// paths are absolute or begin in benches/.
    #[arg(long, requires = "results")]
    cases: Option<PathBuf>,
    /// Where the losses and gradients of these cases go.
    #[arg(long, requires = "cases")]
    results: Option<PathBuf>,
    /// Of each case.
    #[arg(long, default_value_t = 0.2, value_parser = seconds)]
    seconds: f64,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=1e6).contains(seconds));
    seconds.ok_or_else(|| "expected a number from 0 to 1000000".to_owned())
}

struct Case {
    logits: Vec<f32>,
    /// T, B, C.
    shape: [usize; 3],
    lengths: Vec<usize>,
    labels: Vec<usize>,
    label_lengths: Vec<usize>,
}

impl Case {
    /// Rows of half the steps and more, labels a fifth of the steps.
    fn drawn(steps: usize, batch: usize, classes: usize, rng: &mut Rng) -> Self {
        let lengths: Vec<usize> = (0..batch).map(|_| steps / 2 + rng.below(steps / 2 + 1)).collect();
        let label_lengths: Vec<usize> = lengths.iter().map(|&length| length / 5).collect();
        let labels = (0..label_lengths.iter().sum()).map(|_| 1 + rng.below(classes - 1)).collect();
        let logits = (0..steps * batch * classes).map(|_| rng.uniform(-3.0, 3.0)).collect();
        Case { logits, shape: [steps, batch, classes], lengths, labels, label_lengths }
    }

    /// Case `number` of a file, which must have all of its tensors.
    fn read(file: &SafeTensors<'_>, number: usize) -> Result<Self, String> {
        let tensor = |name: &str, dtype: Dtype| {
            let name = format!("{number}.{name}");
            match file.tensor(&name) {
                Ok(tensor) if tensor.dtype() == dtype => Ok(tensor),
                Ok(tensor) => Err(format!("{name}: expected numbers of {dtype}, got {}", tensor.dtype())),
                Err(_) => Err(format!("{name}: expected a tensor of {dtype}, got none")),
            }
        };
        let numbers = |name: &str| -> Result<Vec<usize>, String> {
            let tensor = tensor(name, Dtype::I64)?;
            let (words, _) = tensor.data().as_chunks::<8>();
            let number = |&word: &[u8; 8]| {
                let got = i64::from_le_bytes(word);
                usize::try_from(got)
                    .map_err(|_| format!("{number}.{name}: expected numbers from 0, got {got}"))
            };
            words.iter().map(number).collect()
        };
        let logits = tensor("logits", Dtype::F32)?;
        let shape = logits.shape();
        let wrong = |_| format!("{number}.logits: expected three axes (T, B, C), got shape {shape:?}");
        let (words, _) = logits.data().as_chunks::<4>();
        Ok(Case {
            logits: words.iter().map(|&word| f32::from_le_bytes(word)).collect(),
            shape: shape.try_into().map_err(wrong)?,
            lengths: numbers("lengths")?,
            labels: numbers("labels")?,
            label_lengths: numbers("label_lengths")?,
        })
    }

    /// The loss, its gradient, and the median time of a call.
    fn run(&self, seconds: f64) -> Result<(f64, Vec<f32>, f64), fused_rnn::Error> {
        let [steps, batch, classes] = self.shape;
        let ctc = Ctc::new(classes).layout(Layout::TimeMajor).zero_infinity();
        let dims = Dims::new(batch, steps).with_lengths(&self.lengths);
        let (mut gradient, mut workspace) = (vec![0.0; self.logits.len()], CtcWorkspace::new());
        let mut call = || {
            let to = Some(&mut gradient[..]);
            ctc.loss(&self.logits, dims, &self.labels, &self.label_lengths, to, &mut workspace)
        };
        let loss = call()?;
        let (begin, mut times) = (Instant::now(), Vec::new());
        while times.is_empty() || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            call()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok((loss, gradient, times[times.len() / 2]))
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let (Some(cases), Some(results)) = (&args.cases, &args.results) else {
        let mut rng = Rng::new(0);
        for [steps, batch, classes] in [[50, 16, 11], [200, 16, 30], [500, 32, 30], [200, 8, 1000]] {
            let (_, _, seconds) = Case::drawn(steps, batch, classes, &mut rng).run(args.seconds)?;
            println!("T {steps:4} B {batch:3} C {classes:5}   {:9.1} us", seconds * 1e6);
        }
        return Ok(());
    };
    let wrong = |error: &dyn Display| format!("{}: {error}", cases.display());
    let bytes = std::fs::read(cases).map_err(|error| wrong(&error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let mut out: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    // (A file without cases is none of cases.)
    let is_there = |number: usize| {
        let begin = format!("{number}.");
        number == 0 || file.names().iter().any(|name| name.starts_with(&begin))
    };
    for number in (0..).take_while(|&number| is_there(number)) {
        let case = Case::read(&file, number).map_err(|error| wrong(&error))?;
        let ran = case.run(args.seconds).map_err(|error| wrong(&format_args!("case {number}: {error}")));
        let (loss, gradient, seconds) = ran?;
        let bytes = gradient.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.push((format!("{number}.gradient"), case.shape.to_vec(), bytes));
        for (name, value) in [("loss", loss), ("seconds", seconds)] {
            out.push((format!("{number}.{name}"), vec![1], (value as f32).to_le_bytes().to_vec()));
        }
    }
    let views = out
        .iter()
        .map(|(name, shape, bytes)| Ok((&name[..], TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let written = std::fs::write(results, safetensors::serialize(views, None)?);
    Ok(written.map_err(|error| format!("{}: {error}", results.display()))?)
}
