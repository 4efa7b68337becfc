//! Translation: one LSTM reads, another writes. Numbers become words, or pairs of texts of your own.
//!
//! ```text
//! cargo run --release --example translate
//! cargo run --release --example translate -- --data pairs.tsv        in each line a source, a tab, words
//!
//! characters (B, S)  ->  Embedding  ->  LSTM that reads   ->  its final states h, c
//!                                                                     |  handed over
//! START word word .. ->  Embedding  ->  LSTM that writes  ->  Dense  ->  word word .. END
//! ```
//!
//! In training the writer is given the right word at each step (teacher forcing), and the gradients of its
//! initial states go on to the reader. Afterwards it is given what it has said itself, step by step, all test
//! sources in one batch. The simple method is a translation memory: what was the translation of the source of
//! the training part that is nearest?

mod data;

use clap::Parser;
use data::{END, Pairs, START};
use fused_rnn::train::{Dense, gather_steps, scatter_steps, softmax_cross_entropy};
use fused_rnn::{Accumulate, Error, Gradients, Layout, Upstream, Workspace};
use fused_rnn_examples::{
    Better, Epochs, Export, Learner, Outcome, Outcomes, Shared, Vocabulary, WordLayer, baseline, chart,
    from_to, say, words,
};
use std::path::PathBuf;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// Pairs of your own: in each line a source, which is read character by character, a tab and its
    /// translation, which is written word by word.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Numbers for training. There are 1000 others for tests.
    #[arg(long, default_value_t = 6000, value_parser = from_to(10, 20_000))]
    numbers: usize,
    #[arg(long, default_value_t = 12, value_parser = from_to(1, 100_000))]
    epochs: usize,
}

/// Numbers for a character or word, units, rows of a step.
const WIDTH: usize = 32;
const UNITS: usize = 96;
const BATCH: usize = 32;
/// The share of words that may be wrong.
const MARK: f64 = 0.02;
struct Network {
    reader: WordLayer,
    writer: WordLayer,
    head: Dense,
    head_gradients: Vec<f32>,
    learner: Learner,
    workspace: Workspace,
}

impl Network {
    fn new(args: &Args, pairs: &Pairs, steps: usize) -> Result<Self, Error> {
        let layer = |words: &Vocabulary| WordLayer::new(words.len(), WIDTH, UNITS, &args.shared);
        let (reader, writer) = (layer(&pairs.characters)?, layer(&pairs.words)?);
        let head = Dense::new_pytorch(UNITS, pairs.words.len(), args.shared.seed ^ 3)?;
        let head_gradients = vec![0.0; head.parameter_count()];
        let count = 2 * reader.gradients.len() + head_gradients.len();
        let learner = Learner::new(count, 5e-3, steps)?;
        Ok(Network { reader, writer, head, head_gradients, learner, workspace: Workspace::new() })
    }

    /// A training step: gives the loss before it.
    fn step(&mut self, sources: &[Vec<usize>], targets: &[Vec<usize>]) -> Result<f64, Error> {
        let Network { reader, writer, head, head_gradients, learner, workspace } = self;
        let given: Vec<Vec<usize>> = targets.iter().map(|words| [&[START], &words[..]].concat()).collect();
        let wanted: Vec<usize> = targets.iter().flat_map(|words| [words, &[END][..]].concat()).collect();
        let (source, given) = (words::batch(sources)?, words::batch(&given)?);
        let (read, written, batch) = (source.dims(), given.dims(), sources.len());
        let (x, w) = (reader.words.of(&source.values)?, writer.words.of(&given.values)?);
        let mut state = reader.lstm.zero_state(batch)?;
        reader.lstm.forward_train(&x, read, &mut state, None, &mut reader.tape, learner.steps, workspace)?;
        let mut y = vec![0.0; given.values.len() * UNITS];
        let (tape, seed) = (&mut writer.tape, learner.steps);
        writer.lstm.forward_train(&w, written, &mut state, Some(&mut y), tape, seed, workspace)?;
        // The head sees real steps alone.
        let mut h = Vec::new();
        gather_steps(&y, UNITS, written, Layout::BatchFirst, &mut h)?;
        let mut z = vec![0.0; wanted.len() * head.outputs()];
        let (mut dz, mut dh, mut dy) = (z.clone(), h.clone(), y.clone());
        head.forward(&h, wanted.len(), &mut z)?;
        let loss = softmax_cross_entropy(&z, head.outputs(), &wanted, Some(&mut dz))?;

        head.backward(&h, &dz, wanted.len(), head_gradients, Accumulate::Overwrite, Some(&mut dh))?;
        scatter_steps(&dh, UNITS, written, Layout::BatchFirst, &mut dy)?;
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
        let (mut dh0, mut dc0) = (vec![0.0; batch * UNITS], vec![0.0; batch * UNITS]);
        let to = Gradients::of_parameters(&mut writer.gradients).with_dx(&mut dw);
        let to = to.with_dh0(&mut dh0).with_dc0(&mut dc0);
        writer.lstm.backward(&w, &writer.tape, Upstream::default().with_dy(&dy), to, workspace)?;
        let to = Gradients::of_parameters(&mut reader.gradients).with_dx(&mut dx);
        let upstream = Upstream::default().with_dhn(&dh0).with_dcn(&dc0);
        reader.lstm.backward(&x, &reader.tape, upstream, to, workspace)?;

        reader.words.step(&source.values, &dx, learner.rate())?;
        writer.words.step(&given.values, &dw, learner.rate())?;
        reader.lstm.update(|of_reader| {
            writer.lstm.update(|of_writer| {
                let of_head = (head.parameters_mut(), &mut head_gradients[..]);
                let of_reader = (of_reader, &mut reader.gradients[..]);
                learner.step(&mut [of_reader, (of_writer, &mut writer.gradients), of_head])
            })
        })?;
        Ok(loss)
    }

    /// The words of each source, each word the likeliest after those before it.
    fn translate(&self, sources: &[Vec<usize>], longest: usize) -> Result<Vec<Vec<usize>>, Error> {
        let (source, batch) = (words::batch(sources)?, sources.len());
        let x = self.reader.words.of(&source.values)?;
        let mut state = self.reader.lstm.run(&x, source.dims())?.state;
        let (mut said, mut last) = (vec![Vec::<usize>::new(); batch], vec![START; batch]);
        let (mut h, mut z) = (vec![0.0; batch * UNITS], vec![0.0; batch * self.head.outputs()]);
        let mut workspace = Workspace::new();
        for _ in 0..longest {
            self.writer.lstm.step(&self.writer.words.of(&last)?, &mut state, Some(&mut h), &mut workspace)?;
            self.head.forward(&h, batch, &mut z)?;
            // A row that has said END says nothing more.
            let words = baseline::best(&z, self.head.outputs()).into_iter().zip(&last);
            last = words.map(|(word, &last)| if last == END { END } else { word }).collect();
            let rows = said.iter_mut().zip(&last).filter(|(_, word)| **word != END);
            rows.for_each(|(row, &word)| row.push(word));
        }
        Ok(said)
    }
}

fn main() -> Outcomes {
    let args = Args::parse();
    let pairs = Pairs::new(args.data.as_deref(), args.numbers, args.shared.seed)?;
    let ([sources, targets], [test, truth]) = (&pairs.training, &pairs.test);
    if let Some(path) = &args.shared.export {
        let mut data = Export::of_sizes(&[pairs.characters.len(), pairs.words.len()]);
        for (name, [sources, targets]) in [("training", &pairs.training), ("test", &pairs.test)] {
            data.rows(&format!("{name}.sources"), sources);
            data.rows(&format!("{name}.targets"), targets);
        }
        return data.write(path);
    }
    let picture = args.shared.picture("translate")?;
    say!("{} pairs for training, {} for tests", sources.len(), test.len())?;
    let longest = 2 + truth.iter().map(Vec::len).max().unwrap_or(0);
    let epochs = Epochs::new(args.epochs, sources.len(), BATCH, &args.shared)?;
    let mut net = Network::new(&args, &pairs, epochs.steps())?;
    let step = |net: &mut Network, chosen: &[usize]| {
        let some = |rows: &[Vec<usize>]| chosen.iter().map(|&row| rows[row].clone()).collect::<Vec<_>>();
        Ok(net.step(&some(sources), &some(targets))?)
    };
    let mut said = Vec::new();
    let score = |net: &Network| {
        said = net.translate(test, longest)?;
        Ok(baseline::error_rate(truth, &said))
    };
    let (curve, time) = epochs.run(&mut net, "words wrong", step, score)?;

    let nearest = |source: &Vec<usize>| targets[baseline::nearest(source, sources)].clone();
    let memory: Vec<Vec<usize>> = test.iter().map(nearest).collect();
    for (source, said) in test.iter().zip(&said).take(3) {
        say!("{} -> {}", pairs.characters.spelled(source), pairs.words.text(said))?;
    }
    let whole = said.iter().zip(truth).filter(|(said, truth)| said == truth).count();
    say!("{whole} of {} without a mistake", truth.len())?;
    let (lines, axes) = ([("LSTM reads, LSTM writes", curve)], ["epoch", "share of words that are wrong"]);
    chart::plot(&picture, (720, 420), "Translation of test sources", axes, &lines, chart::Scale::FromZero)?;
    let outcome = Outcome {
        what: "share of words that are wrong in test translations",
        better: Better::Lower,
        mark: args.data.is_none().then_some(MARK),
        baselines: &[("translation memory", baseline::error_rate(truth, &memory))],
        network: ("LSTM reads, LSTM writes", baseline::error_rate(truth, &said)),
        time,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
