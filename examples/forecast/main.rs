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
//! origins move year by year. The forecasts of five networks are averaged, as seeds differ by more than models
//! do. Two honest simple methods stand beside them: the last value, and the value one season ago.

use clap::Parser;
use fused_rnn::train::{
    AdamConfig, AdamW, Dense, Dropout, EarlyStopping, Optimizer, Progress, RateSchedule, Regression,
    clip_global_norm,
};
use fused_rnn::{Accumulate, Dims, Gradients, Init, Lstm, Recurrent, Rng, Tape, Upstream, Workspace};
use plotters::prelude::*;
use std::error::Error;
use std::path::PathBuf;

#[derive(Parser)]
struct Args {
    /// A table with commas, whose last column is the series; the first line may have names.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/forecast/sunspots.csv"))]
    data: PathBuf,
    /// Values that the network reads.
    #[arg(long, default_value_t = 22)]
    window: usize,
    /// Values that it says.
    #[arg(long, default_value_t = 5)]
    horizon: usize,
    /// Length of a season, for the naive forecast.
    #[arg(long, default_value_t = 11)]
    season: usize,
    #[arg(long, default_value_t = 32)]
    units: usize,
    #[arg(long, default_value_t = 400)]
    epochs: usize,
    /// Networks whose forecasts are averaged.
    #[arg(long, default_value_t = 5)]
    networks: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the picture goes.
    #[arg(long, default_value = "target/forecast.svg")]
    svg: PathBuf,
}

/// The series, and where its parts end.
struct Series {
    values: Vec<f32>,
    training: usize,
    validation: usize,
    window: usize,
    horizon: usize,
    season: usize,
}

impl Series {
    fn read(args: &Args) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(&args.data)?;
        let last = |line: &str| line.rsplit(',').next().and_then(|value| value.trim().parse::<f32>().ok());
        let values: Vec<f32> = text.lines().filter_map(last).collect();
        let (training, validation) = (values.len() * 13 / 20, values.len() * 3 / 4);
        let least = 2 * (args.window + args.horizon).max(args.season);
        if training < least || args.window.min(args.horizon).min(args.season) == 0 {
            return Err(format!("expected sizes of 1 and more, and 2 of each in {training} values").into());
        }
        let (window, horizon, season) = (args.window, args.horizon, args.season);
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
        let scaled = |o: usize, of: &[f32]| of.iter().map(|v| v / self.scale(o)).collect::<Vec<_>>();
        let x = origins.iter().flat_map(|&o| scaled(o, &self.values[o - self.window..o])).collect();
        (x, origins.iter().flat_map(|&o| scaled(o, self.truth(o))).collect())
    }

    fn truth(&self, origin: usize) -> &[f32] {
        &self.values[origin..origin + self.horizon]
    }

    /// The mean absolute error of forecasts.
    fn error(&self, origins: &[usize], forecast: impl Fn(usize) -> Vec<f32>) -> f32 {
        let distance = |&o: &usize| {
            let pairs = self.truth(o).iter().zip(forecast(o)).map(|(a, b)| (a - b).abs());
            pairs.sum::<f32>() / self.horizon as f32
        };
        origins.iter().map(distance).sum::<f32>() / origins.len() as f32
    }
}

#[derive(Clone)]
struct Network {
    lstm: Recurrent,
    head: Dense,
}

impl Network {
    /// What it says of some windows, in their units.
    fn run(&self, x: &[f32], batch: usize) -> Result<Vec<f32>, fused_rnn::Error> {
        let output = self.lstm.run(x, Dims::new(batch, x.len() / batch))?;
        let mut y = vec![0.0; batch * self.head.outputs()];
        self.head.forward(&output.state.h(), batch, &mut y)?;
        Ok(y)
    }

    fn forecast(&self, series: &Series, origin: usize) -> Result<Vec<f32>, fused_rnn::Error> {
        let (x, _) = series.batch(&[origin]);
        Ok(self.run(&x, 1)?.iter().map(|v| v * series.scale(origin)).collect())
    }
}

/// Trains a network until the validation part does not improve, and gives the best one.
fn train(series: &Series, args: &Args, seed: u64) -> Result<Network, Box<dyn Error>> {
    let lstm = Lstm::builder(1, args.units).init(Init::PyTorch, seed).build()?;
    let mut net = Network { lstm, head: Dense::new_pytorch(args.units, args.horizon, seed ^ 1)? };
    let (count, of_head) = (net.lstm.parameters().len(), net.head.parameter_count());
    let config = AdamConfig { learning_rate: 3e-3, weight_decay: 0.03, ..AdamConfig::adam_w() };
    let (mut adam, schedule) = (AdamW::new(count + of_head, config)?, RateSchedule::cosine(3000, 0.02)?);
    let (loss, dropout) = (Regression::huber(1.0)?, Dropout::new(0.1, seed)?);
    let (mut gradients, mut head_gradients) = (vec![0.0; count], vec![0.0; of_head]);
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let (mut stopping, mut best, mut step) = (EarlyStopping::new(120), net.clone(), 0);
    let mut order = series.origins(0..series.training);
    let validation = series.batch(&series.origins(series.training..series.validation));
    let validation_rows = validation.0.len() / series.window;
    let mut rng = Rng::new(seed);
    for _ in 0..args.epochs {
        rng.shuffle(&mut order);
        for origins in order.chunks(32) {
            let ((x, targets), batch) = (series.batch(origins), origins.len());
            let (dims, mut state) = (Dims::new(batch, series.window), net.lstm.zero_state(batch)?);
            net.lstm.forward_train(&x, dims, &mut state, None, &mut tape, step, &mut workspace)?;
            let mut h = state.h();
            dropout.forward(step, &mut h);
            let mut y = vec![0.0; targets.len()];
            net.head.forward(&h, batch, &mut y)?;
            let (mut dy, mut dh) = (vec![0.0; y.len()], vec![0.0; h.len()]);
            loss.loss(&y, &targets, Some(&mut dy))?;
            net.head.backward(&h, &dy, batch, &mut head_gradients, Accumulate::Overwrite, Some(&mut dh))?;
            dropout.backward(step, &mut dh);
            let to = Gradients::of_parameters(&mut gradients);
            net.lstm.backward(&x, &tape, Upstream::default().with_dhn(&dh), to, &mut workspace)?;
            clip_global_norm(&mut [&mut gradients, &mut head_gradients], 1.0)?;
            adam.set_learning_rate(schedule.rate(3e-3, step))?;
            let Network { lstm, head } = &mut net;
            lstm.update(|parameters| {
                adam.step_all(&mut [(parameters, &gradients), (head.parameters_mut(), &head_gradients)])
            })?;
            step += 1;
        }
        let y = net.run(&validation.0, validation_rows)?;
        match stopping.observe(loss.loss(&y, &validation.1, None)?) {
            Progress::Improved => best = net.clone(),
            Progress::Stop => break,
            _ => {}
        }
    }
    println!(
        "seed {seed}: {} epochs, best after {}",
        stopping.seen(),
        stopping.best_at().map_or(0, |n| n + 1)
    );
    Ok(best)
}

/// The series as a line, and forecasts from some origins.
fn draw(series: &Series, args: &Args, forecasts: &[(usize, Vec<f32>)]) -> Result<(), Box<dyn Error>> {
    let page = SVGBackend::new(&args.svg, (960, 360)).into_drawing_area();
    page.fill(&WHITE)?;
    let highest = series.values.iter().copied().fold(f32::MIN, f32::max);
    let lowest = series.values.iter().copied().fold(f32::MAX, f32::min);
    let first = series.validation.saturating_sub(series.window);
    let mut chart = ChartBuilder::on(&page)
        .margin(14)
        .caption("Forecasts and what came", ("sans-serif", 16))
        .x_label_area_size(30)
        .y_label_area_size(48)
        .build_cartesian_2d(first..series.values.len(), lowest..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("value of the series")
        .draw()?;
    let truth = (first..series.values.len()).map(|t| (t, series.values[t]));
    chart.draw_series(LineSeries::new(truth, RGBColor(60, 60, 60).stroke_width(2)))?;
    for (origin, forecast) in forecasts {
        let points = forecast.iter().enumerate().map(|(k, &v)| (origin + k, v));
        chart.draw_series(LineSeries::new(points, RGBColor(214, 96, 20).stroke_width(2)))?;
    }
    page.present()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let series = Series::read(&args)?;
    let networks: Vec<Network> =
        (0..args.networks).map(|n| train(&series, &args, args.seed + n)).collect::<Result<_, _>>()?;
    let mean = |origin: usize| {
        let mut sum = vec![0.0; args.horizon];
        for net in &networks {
            let forecast = net.forecast(&series, origin).expect("a window of the series");
            sum.iter_mut().zip(forecast).for_each(|(sum, v)| *sum += v / networks.len() as f32);
        }
        sum
    };
    let origins = series.origins(series.validation..series.values.len());
    println!("\nmean absolute error over {} origins, 1 to {} ahead", origins.len(), args.horizon);
    let last = series.error(&origins, |o| vec![series.values[o - 1]; args.horizon]);
    let (naive, lstm) =
        (series.error(&origins, |o| series.seasonal(o).collect()), series.error(&origins, mean));
    println!("  the last value       {last:8.2}");
    println!("  one season ago       {naive:8.2}");
    println!("  LSTM                 {lstm:8.2}");
    let shown =
        origins.iter().step_by(args.horizon).map(|&origin| (origin, mean(origin))).collect::<Vec<_>>();
    draw(&series, &args, &shown)?;
    println!("picture: {}", args.svg.display());
    if lstm >= last.min(naive) { Err("the network is no better than a simple method".into()) } else { Ok(()) }
}
