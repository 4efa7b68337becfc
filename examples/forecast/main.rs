//! Forecasting: an LSTM reads some decades of yearly sunspot numbers and says the next five years at once.
//!
//! ```text
//! cargo run --release --example forecast                                   one to five years ahead
//! cargo run --release --example forecast -- --data my.csv --window 48 --horizon 12 --season 12
//!
//! (B, W, 1)  ->  LSTM  ->  final state (B, H)  ->  Dropout  ->  Dense  ->  (B, horizon)
//! ```
//!
//! Each window is seen in units of its own mean: cycles of the sun grow and fall together.
//!
//! The first part of the series is for training, the next tells when to stop, the last is the test, whose
//! origins move year by year. The forecasts of five networks are averaged, as seeds differ by more than
//! models do. Two honest simple methods stand beside them: the last value, and the value one season ago.

use clap::Parser;
use fused_rnn::train::{EarlyStopping, Progress, Regression};
use fused_rnn::{Dims, Lstm, Rng};
use fused_rnn_examples::{
    Better, Export, Network, Outcome, Outcomes, Sees, Shared, Table, chart, from_to, quoted, say,
};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    shared: Shared,
    /// A table with commas, whose last column is the series; the first line may have names. Each line must
    /// have a finite number there.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/forecast/sunspots.csv"))]
    data: PathBuf,
    /// Values that the network reads.
    #[arg(long, default_value_t = 22, value_parser = from_to(1, 100_000))]
    window: usize,
    /// Values that it says.
    #[arg(long, default_value_t = 5, value_parser = from_to(1, 100_000))]
    horizon: usize,
    /// Length of a season, for the naive forecast.
    #[arg(long, default_value_t = 11, value_parser = from_to(1, 100_000))]
    season: usize,
    #[arg(long, default_value_t = 32, value_parser = from_to(1, 4096))]
    units: usize,
    #[arg(long, default_value_t = 400, value_parser = from_to(1, 1_000_000))]
    epochs: usize,
    /// Networks whose forecasts are averaged.
    #[arg(long, default_value_t = 5, value_parser = from_to(1, 1000))]
    networks: usize,
}

/// The mean absolute error that sunspots may have.
const MARK: f64 = 24.0;

/// The series, and where its parts end.
struct Series {
    values: Vec<f32>,
    training: usize,
    validation: usize,
    window: usize,
    horizon: usize,
    season: usize,
}

/// The largest magnitude of a value: sums over a window, and squares of errors, are far from the end of f32.
const LARGEST: f32 = 1e15;

impl Series {
    fn read(args: &Args) -> Outcomes<Self> {
        let table = Table::read(&args.data)?;
        let lines = table.lines(1)?;
        let columns = |line: &str| line.split(',').map(|v| v.trim_matches(['"', ' ']).to_owned()).collect();
        let rows: Vec<Vec<String>> = lines.iter().map(|line| columns(line)).collect();
        // Names begin with a letter, where numbers stand below them.
        let names =
            rows[0].iter().all(|name| name.starts_with(char::is_alphabetic) && name.parse::<f32>().is_err());
        let mut values = Vec::new();
        for (n, row) in rows.iter().enumerate().skip(names.into()) {
            if row.len() != rows[0].len() {
                let expected = format!("{} columns as in the first line", rows[0].len());
                return Err(table.wrong(n, &expected, &row.len().to_string()));
            }
            match row.last().map(|value| (value, value.parse::<f32>())) {
                Some((_, Ok(value))) if value.abs() <= LARGEST => values.push(value),
                last => {
                    let got = last.map_or_else(String::new, |(value, _)| quoted(value));
                    return Err(table.wrong(n, "a number from -1e15 to 1e15 in the last column", &got));
                }
            }
        }
        let ends = |count: usize| (count * 13 / 20, count * 3 / 4);
        let (window, horizon, season) = (args.window, args.horizon, args.season);
        let train = 2 * (window + horizon).max(season);
        let enough = |count: usize| {
            let (training, validation) = ends(count);
            training >= train && validation - training >= horizon && count - validation >= horizon
        };
        if !enough(values.len()) {
            // Ends are rounded: enough may be too few with one value more. With so many nothing is.
            let many = 2 * train + 10 * (horizon + 1);
            let least = (0..many).rev().find(|&count| !enough(count)).map_or(0, |count| count + 1);
            let options = format!("--window {window} --horizon {horizon} --season {season}");
            let expected = format!("{least} values and more for {options} (smaller ones need fewer)");
            return Err(table.few(&expected, values.len()));
        }
        let (training, validation) = ends(values.len());
        Ok(Series { values, training, validation, window, horizon, season })
    }

    /// The first values that forecasts say, whose horizons lie in a part of the series.
    fn origins(&self, part: std::ops::Range<usize>) -> Vec<usize> {
        (part.start.max(self.window)..(part.end + 1).saturating_sub(self.horizon)).collect()
    }

    /// What a season ago says of the values from an origin on.
    fn seasonal(&self, origin: usize) -> impl Iterator<Item = f32> {
        (0..self.horizon).map(move |k| self.values[origin - self.season + k % self.season])
    }

    /// The unit in which the network sees a window and says what follows: its mean.
    fn scale(&self, origin: usize) -> f32 {
        let window = &self.values[origin - self.window..origin];
        (window.iter().map(|v| v.abs()).sum::<f32>() / self.window as f32).max(1e-3)
    }

    /// Windows before origins, and what follows, in their units.
    fn batch(&self, origins: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let scaled = |o: usize, of: &[f32]| {
            let scale = self.scale(o);
            of.iter().map(|v| v / scale).collect::<Vec<_>>()
        };
        let x: Vec<_> = origins.iter().map(|&o| scaled(o, &self.values[o - self.window..o])).collect();
        let follows: Vec<_> = origins.iter().map(|&o| scaled(o, self.truth(o))).collect();
        (x.concat(), follows.concat())
    }

    fn truth(&self, origin: usize) -> &[f32] {
        &self.values[origin..origin + self.horizon]
    }

    /// The mean absolute error of forecasts.
    fn error(&self, origins: &[usize], forecast: impl Fn(usize) -> Vec<f32>) -> f64 {
        let distance = |&o: &usize| {
            let pairs = self.truth(o).iter().zip(forecast(o)).map(|(a, b)| (a - b).abs());
            pairs.sum::<f32>() / self.horizon as f32
        };
        f64::from(origins.iter().map(distance).sum::<f32>() / origins.len() as f32)
    }
}

/// What a network says of the values from an origin on.
fn forecast(net: &Network, series: &Series, origin: usize) -> Result<Vec<f32>, fused_rnn::Error> {
    let (x, _) = series.batch(&[origin]);
    let y = net.logits(&x, Dims::new(1, series.window))?;
    Ok(y.iter().map(|v| v * series.scale(origin)).collect())
}

/// Trains a network until the validation part does not improve, and gives the best one.
fn train(series: &Series, args: &Args, number: usize) -> Outcomes<Network> {
    let mut shared = args.shared.clone();
    shared.seed = shared.seed.wrapping_add(number as u64);
    let lstm = Lstm::builder(1, args.units);
    let mut net = Network::new(lstm, Sees::Last, args.horizon, 3e-3, 3000, &shared)?;
    let (loss, mut stopping) = (Regression::huber(1.0)?, EarlyStopping::new(120));
    let mut best = (net.layer.clone(), net.head.clone());
    let mut order = series.origins(0..series.training);
    let validation = series.batch(&series.origins(series.training..series.validation));
    let validation_rows = validation.0.len() / series.window;
    let mut rng = Rng::new(shared.seed);
    for _ in 0..args.epochs {
        rng.shuffle(&mut order);
        for origins in order.chunks(32) {
            let (x, targets) = series.batch(origins);
            let (dims, mut state) =
                (Dims::new(origins.len(), series.window), net.layer.zero_state(origins.len())?);
            net.step(&x, dims, &mut state, None, |y, dy| loss.loss(y, &targets, Some(dy)))?;
        }
        let y = net.logits(&validation.0, Dims::new(validation_rows, series.window))?;
        match stopping.observe(loss.loss(&y, &validation.1, None)?) {
            Progress::Improved => best = (net.layer.clone(), net.head.clone()),
            Progress::Stop => break,
            _ => {}
        }
    }
    let best_at = stopping.best_at().map_or(0, |n| n + 1);
    say!("network {number}: {} epochs, best after {best_at}", stopping.seen())?;
    (net.layer, net.head) = best;
    Ok(net)
}

fn main() -> Outcomes {
    let args = Args::parse();
    let series = Series::read(&args)?;
    if let Some(path) = &args.shared.export {
        let sizes = [series.window, series.horizon, series.training, series.validation, args.units];
        let mut data = Export::of_sizes(&sizes);
        data.floats("values", series.values);
        return data.write(path);
    }
    let picture = args.shared.picture("forecast")?;
    let start = Instant::now();
    let networks: Vec<Network> =
        (0..args.networks).map(|n| train(&series, &args, n)).collect::<Result<_, _>>()?;
    let time = start.elapsed();
    let mean = |origin: usize| {
        let mut sum = vec![0.0; args.horizon];
        for net in &networks {
            let forecast = forecast(net, &series, origin).expect("a window of the series");
            sum.iter_mut().zip(forecast).for_each(|(sum, v)| *sum += v / networks.len() as f32);
        }
        sum
    };
    let origins = series.origins(series.validation..series.values.len());
    say!("{} origins, 1 to {} ahead", origins.len(), args.horizon)?;

    let point = |t: usize, value: f32| (t as f64, f64::from(value));
    let first = series.validation.saturating_sub(series.window);
    let truth = (first..series.values.len()).map(|t| point(t, series.values[t])).collect();
    let forecasts = origins
        .iter()
        .step_by(args.horizon)
        .map(|&origin| (origin..).zip(mean(origin)).map(|(t, value)| point(t, value)).collect::<Vec<_>>());
    let lines = std::iter::once(("what came", truth)).chain(forecasts.map(|line| ("forecast", line)));
    let lines: Vec<chart::Line> = lines.collect();
    let (title, axes) = ("Forecasts and what came", ["number of the value in the series", "value"]);
    chart::plot(&picture, (960, 360), title, axes, &lines, chart::Scale::Free)?;
    let outcome = Outcome {
        what: "mean absolute error",
        better: Better::Lower,
        mark: args.data.ends_with("examples/forecast/sunspots.csv").then_some(MARK),
        baselines: &[
            ("the last value", series.error(&origins, |o| vec![series.values[o - 1]; args.horizon])),
            ("one season ago", series.error(&origins, |o| series.seasonal(o).collect())),
        ],
        network: ("LSTM", series.error(&origins, mean)),
        time,
        picture: &picture,
    };
    outcome.judge(&args.shared)
}
