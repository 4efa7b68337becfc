//! Text: a network reads a book character by character, and then writes on by itself.
//!
//! ```text
//! cargo run --release --example generate
//! cargo run --release --example generate -- --data book.txt --begin "Once upon a time" --write 2000
//!
//! characters (B, T)  ->  Embedding  ->  LSTM  ->  Dense  ->  the next character (B, T, C)
//!                                        |
//!                                state of the next T
//! ```
//!
//! The text is laid out in rows that are read side by side. The state goes on from one step of training to
//! the next, the gradient does not (truncated BPTT). The last tenth of the text is for the test. Afterwards
//! the network writes as a stream: a character, a step of the layer, the next character.
//!
//! The simple method counts: how often did a character follow the last few?

use clap::Parser;
use fused_rnn::train::{softmax, softmax_cross_entropy};
use fused_rnn::{Dims, Error, Lstm, Rng, State, Workspace};
use fused_rnn_examples::{
    Better, Embedded, Epochs, Export, Network, Outcome, Outcomes, Sees, Shared, Table, Vocabulary,
};
use fused_rnn_examples::{baseline, chart, from_to, quoted, say, within};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// A text of your own.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/generate/alice.txt"))]
    data: PathBuf,
    #[arg(long, default_value_t = 12, value_parser = from_to(1, 100_000))]
    epochs: usize,
    #[arg(long, default_value_t = 192, value_parser = from_to(1, 4096))]
    units: usize,
    /// What the network goes on from, in characters of the text. Default: "Alice was ", or where a text of
    /// your own begins.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    begin: Option<String>,
    /// Characters that the network writes.
    #[arg(long, default_value_t = 600, value_parser = from_to(1, 10_000_000))]
    write: usize,
    /// How much chance there is in what it writes: 1 as in the text, near 0 the likeliest.
    #[arg(long, default_value_t = 0.7, value_parser = within(0.01f32, 100.0))]
    temperature: f32,
}

/// Numbers for a character; rows side by side, and the steps of a training step.
const WIDTH: usize = 32;
const ROWS: usize = 16;
const STEPS: usize = 64;
/// Bits for each character of the test.
const MARK: f64 = 2.18;

/// The network, and the state that goes on from step to step.
struct Writer {
    characters: Embedded,
    network: Network,
    state: State,
}

impl Writer {
    /// A training step on the columns `ROWS x STEPS` of a text from `start` on. Gives the loss before it.
    fn step(&mut self, text: &[usize], start: usize) -> Result<f64, Error> {
        let length = (text.len() - 1) / ROWS;
        if start == 0 {
            self.state.reset();
        }
        let steps = STEPS.min(length - start);
        let row = |row: usize, shift: usize| &text[row * length + start + shift..][..steps];
        let read: Vec<usize> = (0..ROWS).flat_map(|r| row(r, 0)).copied().collect();
        let next: Vec<usize> = (0..ROWS).flat_map(|r| row(r, 1)).copied().collect();
        let (x, rate) = (self.characters.of(&read)?, self.network.learner.rate());
        let (mut dx, classes) = (vec![0.0; x.len()], self.network.head.outputs());
        let dims = Dims::new(ROWS, steps);
        let loss = self.network.step(&x, dims, &mut self.state, Some(&mut dx), |z, dz| {
            softmax_cross_entropy(z, classes, &next, Some(dz))
        })?;
        self.characters.step(&read, &dx, rate)?;
        Ok(loss)
    }

    /// Bits for each character of a text after its first.
    fn bits(&self, text: &[usize]) -> Result<f64, Error> {
        let x = self.characters.of(&text[..text.len() - 1])?;
        let z = self.network.logits(&x, Dims::new(1, text.len() - 1))?;
        Ok(softmax_cross_entropy(&z, self.network.head.outputs(), &text[1..], None)? / std::f64::consts::LN_2)
    }

    /// Goes on from some characters, one by one.
    fn write(
        &self,
        begin: &[usize],
        count: usize,
        temperature: f32,
        rng: &mut Rng,
    ) -> Result<Vec<usize>, Error> {
        let Network { layer, head, .. } = &self.network;
        let (mut state, mut workspace) = (layer.zero_state(1)?, Workspace::new());
        let (mut h, mut z) = (vec![0.0; head.inputs()], vec![0.0; head.outputs()]);
        let (mut shares, mut x, mut text) = (z.clone(), [0.0; WIDTH], begin.to_vec());
        for at in 0..begin.len() + count - 1 {
            self.characters.embedding.forward(&text[at..at + 1], &mut x)?;
            layer.step(&x, &mut state, Some(&mut h), &mut workspace)?;
            if at + 1 < begin.len() {
                continue;
            }
            head.forward_row(&h, &mut z)?;
            z.iter_mut().for_each(|z| *z /= temperature);
            softmax(&z, z.len(), &mut shares)?;
            let mut chance = rng.uniform(0.0, 1.0);
            let drawn = shares.iter().position(|share| {
                chance -= share;
                chance < 0.0
            });
            text.push(drawn.unwrap_or(0));
        }
        Ok(text)
    }
}

fn main() -> Outcomes {
    let args = Args::parse();
    let table = Table::read(&args.data)?;
    let text = &table.text;
    let characters = Vocabulary::new(&["?"], text.split_inclusive(|_| true), 3);
    let number = |text: &str| -> Vec<usize> {
        text.split_inclusive(|_| true).map(|character| characters.number(character)).collect()
    };
    let numbers = number(text);
    let (training, test) = numbers.split_at(numbers.len() / 10 * 9);
    if numbers.len() < 1000 {
        return Err(table.few("1000 characters and more", numbers.len()));
    }
    let own = !args.data.ends_with("examples/generate/alice.txt");
    let begin = match args.begin.as_deref().or((!own).then_some("Alice was ")) {
        Some(begin) => {
            let rare = |c: &&str| characters.words[characters.number(c)] != **c;
            let rare: Vec<String> = begin.split_inclusive(|_| true).filter(rare).map(quoted).collect();
            if !rare.is_empty() {
                let expected = "--begin of characters that the text has three times and more";
                return Err(table.few(expected, rare.join(", ")));
            }
            number(begin)
        }
        // The first characters that are all known.
        None => {
            let from = number(text.trim_start());
            from.windows(10).find(|some| !some.contains(&0)).unwrap_or(&numbers[..10]).to_vec()
        }
    };
    if let Some(path) = &args.shared.export {
        let mut data = Export::of_sizes(&[characters.len(), args.units, ROWS, STEPS]);
        data.numbers("training", training);
        data.numbers("test", test);
        return data.write(path);
    }
    let picture = args.shared.picture("generate")?;
    say!("{} characters for training, {} for tests, {} kinds", training.len(), test.len(), characters.len())?;
    let steps = ((training.len() - 1) / ROWS).div_ceil(STEPS);
    let epochs = Epochs::new(args.epochs, steps, 1, &args.shared)?.in_order();
    let lstm = Lstm::builder(WIDTH, args.units);
    let network = Network::new(lstm, Sees::Each, characters.len(), 6e-3, epochs.steps(), &args.shared)?;
    let embedded = Embedded::new(characters.len(), WIDTH, args.shared.seed)?;
    let mut net = Writer { characters: embedded, state: network.layer.zero_state(ROWS)?, network };
    let step = |net: &mut Writer, chosen: &[usize]| Ok(net.step(training, chosen[0] * STEPS)?);
    let (curve, time) = epochs.run(&mut net, "bits a character", step, |net| Ok(net.bits(test)?))?;

    let start = Instant::now();
    let written = net.write(&begin, args.write, args.temperature, &mut Rng::new(args.shared.seed))?;
    let rate = written.len() as f64 / start.elapsed().as_secs_f64();
    say!("\n{}\n\n{rate:.0} characters a second", characters.spelled(&written))?;
    let of_counts = |context| (context, baseline::counted(training, test, context, characters.len()));
    let (context, best) = (1..=6).map(of_counts).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    let flat = vec![(1.0, best), (args.epochs as f64, best)];
    let score = curve.last().map_or(f64::MAX, |point| point.1);
    let (title, axes) = ("Bits for each character of the test", ["epoch", "bits for each character"]);
    let lines = [("LSTM", curve), ("counts of contexts", flat)];
    chart::plot(&picture, (720, 420), title, axes, &lines, chart::Scale::Free)?;
    let outcome = Outcome {
        what: "bits for each character of the test",
        better: Better::Lower,
        mark: (!own).then_some(MARK),
        baselines: &[(&format!("counts after {context} characters"), best)],
        network: ("LSTM", score),
        time,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
