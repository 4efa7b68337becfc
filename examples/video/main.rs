//! Video: which digit moves, and where to? An LSTM over frames that hide most of it.
//!
//! ```text
//! cargo run --release --example video
//!
//! frames (B, T, 14 * 14)  ->  LSTM  ->  final outputs (B, H)  ->  Dense  ->  digit and direction (B, 40)
//! ```
//!
//! Digits of 8 x 8 pixels cross a field of 14 x 14, a pixel to each frame and out of one side into the other;
//! of each frame a part is seen, below noise. When a digit is in the middle differs. No single frame says the
//! direction, few say the digit. Digits in test videos are those of other writers. The simple methods are
//! regressions on the pixels of all frames, and on the mean of the frames.

use clap::Parser;
use fused_rnn::train::softmax_cross_entropy;
use fused_rnn::{Dims, Lstm, Rng};
use fused_rnn_examples::digits::{self, SIDE};
use fused_rnn_examples::{Better, Epochs, Export, Network, Outcome, Outcomes, Sees, Shared};
use fused_rnn_examples::{baseline, chart, from_to, say, within};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// Videos for training.
    #[arg(long, default_value_t = 10_000, value_parser = from_to(10, 200_000))]
    videos: usize,
    #[arg(long, default_value_t = 6, value_parser = from_to(1, 100_000))]
    epochs: usize,
    /// The share of pixels that a frame does not show.
    #[arg(long, default_value_t = 0.3, value_parser = within(0.0f32, 1.0))]
    hidden: f32,
}

/// Pixels along a side, frames, units, rows of a step.
const FIELD: usize = 14;
const FRAMES: usize = 12;
const UNITS: usize = 128;
const BATCH: usize = 32;
/// The share of videos whose digit and direction must both be right.
const MARK: f64 = 0.82;
/// Pixels along y and x to each frame.
const DIRECTIONS: [(&str, usize, usize); 4] =
    [("right", 0, 1), ("down", 1, 0), ("left", 0, FIELD - 1), ("up", FIELD - 1, 0)];
const CLASSES: usize = 10 * DIRECTIONS.len();
const PIXELS: usize = FRAMES * FIELD * FIELD;

/// Videos (N, T, pixels) and their classes: four times the digit, and the direction.
struct Videos {
    x: Vec<f32>,
    labels: Vec<usize>,
}

impl Videos {
    fn new(count: usize, test: bool, args: &Args) -> Self {
        let mut rng = Rng::new(args.shared.seed).fork(u64::from(test));
        let (mut x, mut labels) = (vec![0.0; count * PIXELS], Vec::with_capacity(count));
        for video in x.chunks_exact_mut(PIXELS) {
            let (image, direction) = (digits::draw(&mut rng, test), rng.below(DIRECTIONS.len()));
            // In the middle after three to eight frames.
            let ((_, down, right), before) = (DIRECTIONS[direction], FIELD - 3 - rng.below(6));
            let (top, left) = ((FIELD - SIDE) / 2 + before * down, (FIELD - SIDE) / 2 + before * right);
            for (t, frame) in video.chunks_exact_mut(FIELD * FIELD).enumerate() {
                for (y, x) in (0..SIDE * SIDE).map(|pixel| (pixel / SIDE, pixel % SIDE)) {
                    let (to_y, to_x) = ((top + y + t * down) % FIELD, (left + x + t * right) % FIELD);
                    let seen = rng.uniform(0.0, 1.0) >= args.hidden;
                    frame[to_y * FIELD + to_x] = if seen { image.pixel(y, x) } else { 0.0 };
                }
                frame.iter_mut().for_each(|pixel| *pixel += rng.uniform(-0.2, 0.2));
            }
            labels.push(image.digit * DIRECTIONS.len() + direction);
        }
        Videos { x, labels }
    }

    /// The mean of the frames of each video.
    fn means(&self) -> Vec<f32> {
        let size = FIELD * FIELD;
        let mean = |video: &[f32], pixel: usize| {
            (0..FRAMES).map(|t| video[t * size + pixel]).sum::<f32>() / FRAMES as f32
        };
        self.x.chunks_exact(PIXELS).flat_map(|video| (0..size).map(move |pixel| mean(video, pixel))).collect()
    }
}

fn main() -> Outcomes {
    let args = Args::parse();
    let seed = args.shared.seed;
    let videos = || (Videos::new(args.videos, false, &args), Videos::new(1000, true, &args));
    if let Some(path) = &args.shared.export {
        let (training, test) = videos();
        let mut data = Export::of_sizes(&[FRAMES, FIELD * FIELD, CLASSES]);
        for (name, videos) in [("training", training), ("test", test)] {
            data.floats(&format!("{name}.x"), videos.x);
            data.numbers(&format!("{name}.labels"), &videos.labels);
        }
        return data.write(path);
    }
    let picture = args.shared.picture("video")?;
    let (training, test) = videos();
    let epochs = Epochs::new(args.epochs, args.videos, BATCH, &args.shared)?;
    let lstm = Lstm::builder(FIELD * FIELD, UNITS);
    let mut net = Network::new(lstm, Sees::Last, CLASSES, 4e-3, epochs.steps(), &args.shared)?;
    let step = |net: &mut Network, chosen: &[usize]| {
        let rows = chosen.iter().map(|&row| (&training.x[row * PIXELS..][..PIXELS], training.labels[row]));
        let (x, labels): (Vec<&[f32]>, Vec<usize>) = rows.unzip();
        let (dims, mut state) = (Dims::new(chosen.len(), FRAMES), net.layer.zero_state(chosen.len())?);
        let loss = |z: &[f32], dz: &mut [f32]| softmax_cross_entropy(z, CLASSES, &labels, Some(dz));
        Ok(net.step(&x.concat(), dims, &mut state, None, loss)?)
    };
    let mut said = Vec::new();
    let score = |net: &Network| {
        said = baseline::best(&net.logits(&test.x, Dims::new(test.labels.len(), FRAMES))?, CLASSES);
        Ok(baseline::alike(&test.labels, &said))
    };
    let (curve, time) = epochs.run(&mut net, "test accuracy", step, score)?;

    let regression = |of: fn(&Videos) -> Vec<f32>| -> Result<f64, fused_rnn::Error> {
        let dense = baseline::regression(&of(&training), &training.labels, CLASSES, seed)?;
        Ok(baseline::alike(&test.labels, &baseline::said(&dense, &of(&test))?))
    };
    let part = |of: fn(usize) -> usize| {
        test.labels.iter().zip(&said).filter(|(a, b)| of(**a) == of(**b)).count() as f64 / said.len() as f64
    };
    let (digit, direction) = (part(|class| class / DIRECTIONS.len()), part(|class| class % DIRECTIONS.len()));
    say!("digits right {digit:.4}, directions right {direction:.4}")?;
    let name =
        |class: usize| format!("{} {}", class / DIRECTIONS.len(), DIRECTIONS[class % DIRECTIONS.len()].0);
    let (it, it_says) = (name(test.labels[0]), name(said[0]));
    let title = format!("Digits that move. The frames are of \"{it}\"; the network says \"{it_says}\"");
    chart::write(&picture, (1100, 620), &title, |page| {
        let (left, right) = page.split_horizontally(500);
        let (top, bottom) = left.split_vertically(430);
        let lines = [("LSTM over frames", curve)];
        chart::lines(&top, "", ["epoch", "share of test videos that is right"], &lines, chart::Scale::Share)?;
        for (frame, t) in bottom.split_evenly((1, FRAMES / 3)).iter().zip((0..FRAMES).step_by(3)) {
            let pixel = |y: usize, x: usize| f64::from(test.x[(t * FIELD + y) * FIELD + x]);
            let (caption, rows) = (format!("frame {}", t + 1), vec![String::new(); FIELD]);
            chart::heat(frame, &caption, &rows, FIELD, pixel)?;
        }
        let names: Vec<String> = (0..CLASSES).map(name).collect();
        chart::confusion(&right, &names, &test.labels, &said)
    })?;
    let baselines = [
        ("regression on the mean frame", regression(Videos::means)?),
        ("regression on all frames", regression(|videos| videos.x.clone())?),
    ];
    let outcome = Outcome {
        what: "share of test videos whose digit and direction are right",
        better: Better::Higher,
        mark: Some(MARK),
        baselines: &baselines,
        network: ("LSTM over frames", baseline::alike(&test.labels, &said)),
        time,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
