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

#[path = "../common/mod.rs"]
mod common;
mod speech;

use clap::Parser;
use common::{Better, Epochs, Network, Outcome, Outcomes, Sees, Shared, Values};
use common::{baseline, chart, digits, from_to};
use fused_rnn::train::{BeamSearch, Ctc, CtcWorkspace, Padded, pad, softmax};
use fused_rnn::{Error, Layout, Lstm, Rng};
use indicatif::ProgressBar;

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
    /// A fifth as many for tests.
    fn new(args: &Args) -> Outcomes<Self> {
        let mut rng = Rng::new(args.shared.seed);
        let waves = args.speech.then(speech::waves).transpose()?;
        let kinds = [
            (args.lines, (4, 4), false),
            (args.lines / 5, (4, 4), true),
            (args.lines.min(1000), (1, 1), false),
        ];
        let all = kinds.iter().map(|kind| kind.0).sum();
        if args.speech {
            println!("{} speaks {all} lines", speech::version()?);
        }
        let bar = if args.speech { common::progress(all) } else { ProgressBar::hidden() };
        let mut some = |number: usize| {
            let (count, (least, more), test) = kinds[number];
            let lines = match &waves {
                Some(waves) => {
                    speech::lines(count, (least, more), test, waves, &rng.fork(number as u64), &bar)?
                }
                None => (0..count).map(|_| digits::line(least + rng.below(more), test, &mut rng)).collect(),
            };
            let line =
                |(x, digits): digits::Line| Line { x, classes: digits.iter().map(|d| d + 1).collect() };
            Ok::<_, common::Failure>(lines.into_iter().map(line).collect())
        };
        let (training, test, single) = (some(0)?, some(1)?, some(2)?);
        bar.finish_and_clear();
        let features = if args.speech { speech::BANDS } else { digits::HEIGHT };
        Ok(Lines { training, test, single, features })
    }
}

fn batch(lines: &[&Line], features: usize) -> Result<Padded<f32>, Error> {
    pad(&lines.iter().map(|line| &line.x[..]).collect::<Vec<_>>(), features, 0.0, Layout::BatchFirst)
}

/// A line cut where its columns are light, each piece with as many columns as all others, (N, 8 * F).
fn pieces(line: &Line, features: usize) -> Vec<f32> {
    let dark: Vec<f32> = line.x.chunks_exact(features).map(|column| column.iter().sum()).collect();
    let (low, high) = dark.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    let mut cut = Vec::new();
    let (mut t, is_dark) = (0, |t: usize| dark.get(t).is_some_and(|&v| v > low + 0.15 * (high - low)));
    while t < dark.len() {
        let from = t;
        while is_dark(t) {
            t += 1;
        }
        for k in (0..8).filter(|_| t > from + 1) {
            cut.extend_from_slice(&line.x[(from + k * (t - from) / 8) * features..][..features]);
        }
        t += 1;
    }
    cut
}

/// What pieces say, each by itself.
fn cut_and_classify(lines: &Lines, seed: u64) -> Result<Vec<Vec<usize>>, Error> {
    let width = 8 * lines.features;
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for line in &lines.single {
        let pieces = pieces(line, lines.features);
        labels.extend(std::iter::repeat_n(line.classes[0], pieces.len() / width));
        x.extend(pieces);
    }
    let dense = baseline::regression(&x, &labels, CLASSES, seed)?;
    lines.test.iter().map(|line| baseline::said(&dense, &pieces(line, lines.features))).collect()
}

fn main() -> Outcomes {
    let args = Args::parse();
    let lines = Lines::new(&args)?;
    let features = lines.features;
    if let Some(path) = &args.shared.export {
        let mut tensors = vec![("sizes".to_owned(), Values::Numbers(vec![features, CLASSES]))];
        for (name, lines) in [("training", &lines.training), ("test", &lines.test)] {
            let classes: Vec<_> = lines.iter().map(|line| line.classes.clone()).collect();
            common::put_rows(&mut tensors, &format!("{name}.classes"), &classes);
            let lengths = Values::Numbers(lines.iter().map(|line| line.x.len() / features).collect());
            let x = Values::Floats(lines.iter().flat_map(|line| line.x.clone()).collect());
            tensors.extend([(format!("{name}.lengths"), lengths), (format!("{name}.x"), x)]);
        }
        return common::export(path, &tensors);
    }
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
    let truth: Vec<Vec<usize>> = lines.test.iter().map(|line| line.classes.clone()).collect();
    let test = batch(&lines.test.iter().collect::<Vec<_>>(), features)?;
    let greedy = |net: &Network| {
        let said = ctc.greedy(&net.logits(&test.values, test.dims())?, test.dims())?;
        Ok(baseline::error_rate(&truth, &said))
    };
    let (curve, time) = epochs.run(&mut net, "digits wrong", step, greedy)?;

    let z = net.logits(&test.values, test.dims())?;
    let found = ctc.beam(&z, test.dims(), &mut BeamSearch::new(8)?)?;
    let beam: Vec<Vec<usize>> = found.into_iter().map(|found| found[0].labels.clone()).collect();
    println!("by a beam of 8: {:.4}", baseline::error_rate(&truth, &beam));
    let (picture, columns) = (args.shared.picture("transcribe")?, test.lengths[0]);
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
    let cut = cut_and_classify(&lines, args.shared.seed)?;
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
