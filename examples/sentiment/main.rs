//! Sentiment: is a review good or bad? Reviews of a grammar, or rows of a table of your own.
//!
//! ```text
//! cargo run --release --example sentiment
//! cargo run --release --example sentiment -- --data reviews.csv       text,label in each line
//!
//! tokens (B, T)  ->  Embedding  ->  bidirectional LSTM, lengths  ->  final outputs (B, 2 H)
//!                ->  Dropout  ->  Dense  ->  (B, classes)
//! ```
//!
//! The grammar (`data.rs`) turns words around by what stands before them: a bag of words, the simple method
//! here, knows which words there are, and not what they say.

mod data;

use clap::Parser;
use data::Reviews;
use fused_rnn::Lstm;
use fused_rnn::train::softmax_cross_entropy;
use fused_rnn_examples::{
    Better, Curve, Embedded, Epochs, Export, Network, Outcome, Outcomes, Sees, Shared, baseline, chart,
    from_to, say, words,
};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// A table of your own: in each line a text, a comma and its label. A first line whose label no other
    /// line has is taken as names.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Reviews that the grammar makes for training.
    #[arg(long, default_value_t = 6000, value_parser = from_to(10, 1_000_000))]
    reviews: usize,
    /// Times over the rows for training, 32 in each update. Some hundred updates are needed: a table of 300
    /// lines makes 8 in an epoch, the grammar's reviews 188.
    #[arg(long, default_value_t = 5, value_parser = from_to(1, 100_000))]
    epochs: usize,
}

/// Numbers for a word, units of each direction, rows of a step.
const WIDTH: usize = 32;
const UNITS: usize = 32;
const BATCH: usize = 32;
/// The share of test reviews that must be right.
const MARK: f64 = 0.97;

/// What a trained network says of the test reviews, its accuracy on them after each epoch, and the time.
fn train(args: &Args, reviews: &Reviews) -> Outcomes<(Vec<usize>, Curve, Duration)> {
    let ((rows, labels), test, classes) = (&reviews.training, &reviews.test, reviews.classes.len());
    let epochs = Epochs::new(args.epochs, rows.len(), BATCH, &args.shared)?;
    let lstm = Lstm::builder(WIDTH, UNITS).bidirectional(true);
    let network = Network::new(lstm, Sees::Last, classes, 4e-3, epochs.steps(), &args.shared)?;
    let mut net = (Embedded::new(reviews.words.len(), WIDTH, args.shared.seed)?, network);
    let step = |(words, network): &mut (Embedded, Network), chosen: &[usize]| {
        let tokens: Vec<&[usize]> = chosen.iter().map(|&row| &rows[row][..]).collect();
        let labels: Vec<usize> = chosen.iter().map(|&row| labels[row]).collect();
        let (batch, mut state) = (words::batch(&tokens)?, network.layer.zero_state(chosen.len())?);
        let (x, rate) = (words.of(&batch.values)?, network.learner.rate());
        let mut dx = vec![0.0; x.len()];
        let loss = network.step(&x, batch.dims(), &mut state, Some(&mut dx), |z, dz| {
            softmax_cross_entropy(z, classes, &labels, Some(dz))
        })?;
        words.step(&batch.values, &dx, rate)?;
        Ok(loss)
    };
    let (batch, mut said) = (words::batch(&test.0)?, Vec::new());
    let score = |(words, network): &(Embedded, Network)| {
        said = baseline::best(&network.logits(&words.of(&batch.values)?, batch.dims())?, classes);
        Ok(baseline::alike(&test.1, &said))
    };
    let (curve, time) = epochs.run(&mut net, "test accuracy", step, score)?;
    Ok((said, curve, time))
}

fn main() -> Outcomes {
    let args = Args::parse();
    let reviews = match &args.data {
        Some(path) => Reviews::read(path, args.shared.seed)?,
        None => Reviews::of_grammar(args.reviews, args.shared.seed),
    };
    let Reviews { training, test, words, classes } = &reviews;
    if let Some(path) = &args.shared.export {
        let mut data = Export::of_sizes(&[words.len(), classes.len()]);
        for (name, (rows, labels)) in [("training", training), ("test", test)] {
            data.rows(&format!("{name}.tokens"), rows);
            data.numbers(&format!("{name}.labels"), labels);
        }
        return data.write(path);
    }
    let picture = args.shared.picture("sentiment")?;
    say!("{} reviews for training, {} for tests, {} words", training.0.len(), test.0.len(), words.len())?;
    say!("for example \"{}\": {}", words.text(&training.0[0]), classes.words[training.1[0]])?;
    let (said, curve, time) = train(&args, &reviews)?;
    let bags = baseline::bag_of_words(training, &test.0, words.len(), classes.len(), args.shared.seed)?;
    let title = if args.data.is_some() { "Labels of test texts" } else { "Sentiment of test reviews" };
    chart::write(&picture, (960, 420), title, |page| {
        let (left, right) = page.split_horizontally(480);
        let (axes, lines) = (["epoch", "share that is right"], [("bidirectional LSTM", curve)]);
        chart::lines(&left, "", axes, &lines, chart::Scale::Share)?;
        chart::confusion(&right, &classes.words, &test.1, &said)
    })?;
    let outcome = Outcome {
        what: "share of test reviews that are right",
        better: Better::Higher,
        mark: args.data.is_none().then_some(MARK),
        baselines: &[("bag of words", baseline::alike(&test.1, &bags))],
        network: ("bidirectional LSTM", baseline::alike(&test.1, &said)),
        time,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
