//! Long sequences: the sum of two numbers that were marked thousands of steps ago.
//!
//! ```text
//! cargo run --release --example long
//! cargo run --release --example long -- --length 20000
//!
//! a number at each step, and a mark at two of them (B, T, 2)  ->  GRU  ->  final output  ->  Dense  ->  sum
//! ```
//!
//! The adding task of Hochreiter & Schmidhuber (1997) at T = 10,000. Training begins with short rows, whose
//! length doubles (a curriculum). Back-propagation through all steps has three forms, compared at full
//! length:
//!
//! - the whole tape: every state and gate of every step is kept;
//! - checkpoints: the state every 100 steps is kept, and what lies between runs again on the way back. The
//!   gradients are the same bits;
//! - truncated: the gradient stops 500 steps before the end. The state comes from the steps before, their
//!   weights get no gradient from them.
//!
//! The simple method says the mean of all sums, whose squared error is 1/6.

use clap::Parser;
use fused_rnn::train::mean_squared_error;
use fused_rnn::{Dims, Error, Gru, Keep, Rng, Tape};
use fused_rnn_examples::{Better, Network, Outcome, Outcomes, Sees, Shared, chart, from_to, say, within};
use std::time::Instant;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// Steps of the longest rows.
    #[arg(long, default_value_t = 10_000, value_parser = from_to(1000, 200_000))]
    length: usize,
    #[arg(long, default_value_t = 32, value_parser = from_to(1, 4096))]
    units: usize,
    /// Work of the training, as a share.
    #[arg(long, default_value_t = 1.0, value_parser = within(1e-3, 1e3))]
    work: f64,
}

/// Rows of a step; steps between checkpoints; steps that a truncated gradient reaches.
const BATCH: usize = 16;
const EVERY: usize = 100;
const REACH: usize = 500;
/// The squared error of the test.
const MARK: f64 = 0.05;

/// How the gradient goes back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Whole,
    Checkpoints,
    Truncated,
}

/// Rows of numbers and marks (B, T, 2), one mark in each half, and the sums of the marked numbers (B).
fn rows(batch: usize, steps: usize, rng: &mut Rng) -> (Vec<f32>, Vec<f32>) {
    let (mut x, mut sums) = (vec![0.0; batch * steps * 2], vec![0.0; batch]);
    for (row, sum) in x.chunks_exact_mut(2 * steps).zip(&mut sums) {
        row.iter_mut().step_by(2).for_each(|number| *number = rng.uniform(0.0, 1.0));
        for half in [0, steps / 2] {
            let marked = 2 * (half + rng.below(steps / 2));
            row[marked + 1] = 1.0;
            *sum += row[marked];
        }
    }
    (x, sums)
}

/// A network, and what it is trained on.
struct Trainee {
    net: Network,
    way: Way,
    rng: Rng,
    /// Steps of training so far, and their losses, smoothed.
    curve: Vec<(f64, f64)>,
}

impl Trainee {
    /// A network to be trained for so many steps; with the weights of another one, where there is one.
    fn new(args: &Args, way: Way, steps: usize, from: Option<&Network>) -> Result<Self, Error> {
        let gru = Gru::reset_after(2, args.units);
        let rate = if from.is_some() { 0.005 } else { 0.01 };
        let net = Network::new(gru, Sees::Last, 1, rate, steps, &args.shared)?;
        let mut net = net.without_dropout()?;
        if let Some(from) = from {
            (net.layer, net.head) = (from.layer.clone(), from.head.clone());
        }
        net.tape = Tape::keeping(if way == Way::Checkpoints { Keep::Every(EVERY) } else { Keep::All });
        Ok(Trainee { net, way, rng: Rng::new(args.shared.seed), curve: Vec::new() })
    }

    /// A step on new rows of so many steps. Gives the squared error before it.
    fn step(&mut self, steps: usize) -> Result<f64, Error> {
        let (net, (x, sums)) = (&mut self.net, rows(BATCH, steps, &mut self.rng));
        let mut state = net.layer.zero_state(BATCH)?;
        let before = if self.way == Way::Truncated { steps.saturating_sub(REACH) } else { 0 };
        let dims = |of: usize| Dims::new(BATCH, of).with_x_strides(2 * steps, 2);
        if before > 0 {
            net.layer.forward(&x, dims(before), &mut state, None, &mut net.workspace)?;
        }
        net.step(&x[2 * before..], dims(steps - before), &mut state, None, |z, dz| {
            mean_squared_error(z, &sums, Some(dz))
        })
    }

    /// All steps of a plan of lengths.
    fn train(&mut self, plan: &[(usize, usize)]) -> Outcomes {
        let bar = fused_rnn_examples::progress(plan.iter().map(|stage| stage.1).sum());
        for &(length, steps) in plan {
            let mut sum = 0.0;
            for _ in 0..steps {
                let loss = self.step(length)?;
                sum += loss / steps as f64;
                let smooth = self.curve.last().map_or(loss, |last| 0.9 * last.1 + 0.1 * loss);
                self.curve.push((self.curve.len() as f64, smooth));
                bar.inc(1);
            }
            bar.suspend(|| say!("{:?}: {steps} steps on rows of {length}: {sum:.5}", self.way))?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The squared error on 64 rows of a test.
    fn test(&self, steps: usize) -> Result<f64, Error> {
        let (x, sums) = rows(64, steps, &mut Rng::new(0xadd));
        mean_squared_error(&self.net.logits(&x, Dims::new(64, steps))?, &sums, None)
    }
}

fn main() -> Outcomes {
    let args = Args::parse();
    let picture = args.shared.picture("long")?;
    // Lengths and steps. The work of a stage stays about the same.
    let count = |steps: f64| (steps * args.work).ceil() as usize;
    let short =
        [(10, 800.0), (20, 300.0), (40, 300.0), (80, 300.0), (160, 400.0), (320, 400.0), (640, 250.0)];
    let short = short.map(|(length, steps)| (length, count(steps)));
    let mut long = vec![(args.length, count(60.0))];
    while long[0].0 > 1280 {
        long.insert(0, (long[0].0 / 2, long[0].1 * 3 / 2));
    }
    let steps = |plan: &[(usize, usize)]| plan.iter().map(|stage| stage.1).sum::<usize>();

    let start = Instant::now();
    let mut begun = Trainee::new(&args, Way::Whole, steps(&short), None)?;
    begun.train(&short)?;
    let time = start.elapsed();
    say!("tested on {} steps: {:.5}\n", args.length, begun.test(args.length)?)?;

    let mut measured = Vec::new();
    for way in [Way::Checkpoints, Way::Truncated] {
        let start = Instant::now();
        let mut trainee = Trainee::new(&args, way, steps(&long), Some(&begun.net))?;
        trainee.train(&long)?;
        let score = trainee.test(args.length)?;
        measured.push((trainee, score, start.elapsed()));
    }
    // One step more from the same weights, by each way.
    say!("\nrows of {} steps, {BATCH} in a step  memory (MB)  s for a step  squared error", args.length)?;
    let mut after = Vec::new();
    for way in [Way::Whole, Way::Checkpoints, Way::Truncated] {
        let mut one = Trainee::new(&args, way, 100, Some(&measured[0].0.net))?;
        one.step(args.length)?;
        let start = Instant::now();
        one.step(args.length)?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes = (one.net.tape.bytes() + one.net.workspace.bytes()) as f64 / 1e6;
        let error = measured.iter().find(|(trainee, ..)| trainee.way == way).map(|(_, error, _)| *error);
        let error = error.map_or("as checkpoints".to_owned(), |error| format!("{error:.5}"));
        say!("  {:30} {bytes:12.1} {seconds:13.3}  {error}", format!("{way:?}"))?;
        after.push(one.net.layer.parameters().to_vec());
    }
    if after[0] != after[1] {
        return Err("checkpoints have given other gradients than the whole tape".into());
    }

    let [(checkpoints, score, of_long), (truncated, ..)] = &measured[..] else { unreachable!() };
    chart::write(&picture, (960, 420), "The adding task: squared error in training", |page| {
        let (left, right) = page.split_horizontally(480);
        let first = [("rows of 10 to 640 steps", begun.curve.clone())];
        let axes = ["step of training", "squared error, smoothed"];
        chart::lines(&left, "The beginning", axes, &first, chart::Scale::FromZero)?;
        let ways = [("checkpoints", checkpoints.curve.clone()), ("truncated", truncated.curve.clone())];
        chart::lines(&right, "Long rows", axes, &ways, chart::Scale::FromZero)
    })?;
    let outcome = Outcome {
        what: "squared error at the full length",
        better: Better::Lower,
        mark: Some(MARK),
        baselines: &[("the mean", 1.0 / 6.0)],
        network: ("GRU, checkpoints", *score),
        time: time + *of_long,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
