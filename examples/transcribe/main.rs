//! Transcription: labels without times, by CTC. A line of digits read column by column, or spoken digits.
//!
//! ```text
//! cargo run --release --example transcribe
//! cargo run --release --example transcribe -- --speech        needs espeak-ng, which speaks the digits
//!
//! columns (B, T, F), lengths  ->  bidirectional LSTM  ->  Dense  ->  blank or digit (B, T, 11)  ->  CTC
//! ```
//!
//! Digits of a line stand close, and some touch; those of test lines are other writers', or other voices'.
//! Nobody says which column belongs to which digit. The simple method cuts a line where there is little ink
//! or sound, and a regression on the pixels of a piece says which digit it is.

mod speech;

use clap::Parser;
use fused_rnn::train::{BeamSearch, Ctc, CtcWorkspace, Padded, pad, softmax};
use fused_rnn::{Error, Layout, Lstm, Rng};
use fused_rnn_examples::{Better, Epochs, Export, Network, Outcome, Outcomes, Sees, Shared};
use fused_rnn_examples::{baseline, chart, digits, from_to, say};
use rayon::prelude::*;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// Spoken digits.
    #[arg(long)]
    speech: bool,
    /// Lines for training. A fifth as many are for tests.
    #[arg(long, default_value_t = 4000, value_parser = from_to(10, 1_000_000))]
    lines: usize,
    #[arg(long, default_value_t = 8, value_parser = from_to(1, 100_000))]
    epochs: usize,
}

/// Units of each direction, rows of a step, the blank and ten digits.
const UNITS: usize = 64;
const BATCH: usize = 16;
const CLASSES: usize = 11;
/// The share of digits that may be wrong, of lines and of speech.
const MARKS: [f64; 2] = [0.12, 0.2];

/// A line: columns (T, F), and the classes of its digits, 1 for the digit 0.
struct Line {
    x: Vec<f32>,
    classes: Vec<usize>,
}

/// Lines of one kind, of so many features. Single digits are for the simple method.
struct Lines {
    training: Vec<Line>,
    test: Vec<Line>,
    single: Vec<Line>,
    features: usize,
}

impl Lines {
    /// A fifth as many for tests. Each line has a random stream of its own: it depends neither on others nor
    /// on threads.
    fn new(args: &Args) -> Outcomes<Self> {
        let (rng, waves) = (Rng::new(args.shared.seed), args.speech.then(speech::waves).transpose()?);
        let counts = [args.lines, args.lines / 5, args.lines.min(1000)];
        let all = counts.iter().sum();
        if args.speech {
            say!("{} speaks {all} lines", speech::version()?)?;
        }
        let bar = fused_rnn_examples::progress(all);
        let [training, test, single] = [0, 1, 2].map(|kind| {
            let line = |n: usize| {
                let mut rng = rng.fork(kind as u64).fork(n as u64);
                let digits = if kind == 2 { 1 } else { 4 + rng.below(4) };
                let (x, digits) = match &waves {
                    Some(waves) => speech::line(digits, kind == 1, waves, &mut rng)?,
                    None => digits::line(digits, kind == 1, &mut rng),
                };
                bar.inc(1);
                Ok(Line { x, classes: digits.iter().map(|digit| digit + 1).collect() })
            };
            (0..counts[kind]).into_par_iter().map(line).collect::<Result<Vec<_>, String>>()
        });
        bar.finish_and_clear();
        let features = if args.speech { speech::BANDS } else { digits::HEIGHT };
        Ok(Lines { training: training?, test: test?, single: single?, features })
    }
}

fn classes(lines: &[Line]) -> Vec<Vec<usize>> {
    lines.iter().map(|line| line.classes.clone()).collect()
}

fn batch(lines: &[&Line], features: usize) -> Result<Padded<f32>, Error> {
    pad(&lines.iter().map(|line| &line.x[..]).collect::<Vec<_>>(), features, 0.0, Layout::BatchFirst)
}

fn main() -> Outcomes {
    let args = Args::parse();
    let lines = Lines::new(&args)?;
    let features = lines.features;
    if let Some(path) = &args.shared.export {
        let mut data = Export::of_sizes(&[features, CLASSES]);
        for (name, lines) in [("training", &lines.training), ("test", &lines.test)] {
            data.rows(&format!("{name}.classes"), &classes(lines));
            let lengths: Vec<usize> = lines.iter().map(|line| line.x.len() / features).collect();
            data.numbers(&format!("{name}.lengths"), &lengths);
            data.floats(&format!("{name}.x"), lines.iter().flat_map(|line| line.x.clone()).collect());
        }
        return data.write(path);
    }
    let picture = args.shared.picture("transcribe")?;
    let epochs = Epochs::new(args.epochs, lines.training.len(), BATCH, &args.shared)?;
    let lstm = Lstm::builder(features, UNITS).bidirectional(true);
    let mut net = Network::new(lstm, Sees::Each, CLASSES, 5e-3, epochs.steps(), &args.shared)?;
    let (ctc, mut workspace) = (Ctc::new(CLASSES), CtcWorkspace::new());
    let step = |net: &mut Network, chosen: &[usize]| {
        let lines: Vec<&Line> = chosen.iter().map(|&row| &lines.training[row]).collect();
        let classes: Vec<usize> = lines.iter().flat_map(|line| line.classes.clone()).collect();
        let counts: Vec<usize> = lines.iter().map(|line| line.classes.len()).collect();
        let (batch, mut state) = (batch(&lines, features)?, net.layer.zero_state(lines.len())?);
        Ok(net.step(&batch.values, batch.dims(), &mut state, None, |z, dz| {
            ctc.loss(z, batch.dims(), &classes, &counts, Some(dz), &mut workspace)
        })?)
    };
    let truth = classes(&lines.test);
    let test = batch(&lines.test.iter().collect::<Vec<_>>(), features)?;
    let greedy = |net: &Network| {
        let said = ctc.greedy(&net.logits(&test.values, test.dims())?, test.dims())?;
        Ok(baseline::error_rate(&truth, &said))
    };
    let (curve, time) = epochs.run(&mut net, "digits wrong", step, greedy)?;

    let z = net.logits(&test.values, test.dims())?;
    let found = ctc.beam(&z, test.dims(), &mut BeamSearch::new(8)?)?;
    let beam: Vec<Vec<usize>> = found.into_iter().map(|found| found[0].labels.clone()).collect();
    say!("by a beam of 8: {:.4}", baseline::error_rate(&truth, &beam))?;
    let columns = test.lengths[0];
    let digits =
        |classes: &[usize]| classes.iter().map(|class| (class - 1).to_string()).collect::<Vec<_>>().join(" ");
    let (line, read) = (digits(&truth[0]), digits(&beam[0]));
    let title = format!("A test line of the digits {line}; the network says {read}, and when");
    chart::write(&picture, (1100, 480), &title, |page| {
        let (top, bottom) = page.split_vertically(180);
        let pixel = |f: usize, t: usize| f64::from(test.values[t * features + f]);
        let caption = "the line: a column for each step of time, a row for each feature";
        chart::heat(&top, caption, &vec![" ".to_owned(); features], columns, pixel)?;
        let mut shares = vec![0.0; columns * CLASSES];
        softmax(&z[..columns * CLASSES], CLASSES, &mut shares)?;
        let share = |class: usize, t: usize| f64::from(shares[t * CLASSES + class]);
        let name = |class: usize| if class == 0 { "blank".to_owned() } else { (class - 1).to_string() };
        let (caption, names) = ("what the network says at each step: the darker, the likelier", 0..CLASSES);
        chart::heat(&bottom, caption, &names.map(name).collect::<Vec<_>>(), columns, share)
    })?;
    let single = lines.single.iter().map(|line| (&line.x[..], line.classes[0]));
    let columns = lines.test.iter().map(|line| &line.x[..]);
    let cut = baseline::cut_and_classify(single, columns, features, CLASSES, args.shared.seed)?;
    let outcome = Outcome {
        what: "share of digits that are wrong in test lines",
        better: Better::Lower,
        mark: Some(MARKS[usize::from(args.speech)]),
        baselines: &[("cut and classify", baseline::error_rate(&truth, &cut))],
        network: ("bidirectional LSTM, CTC", curve.last().map_or(1.0, |point| point.1)),
        time,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
