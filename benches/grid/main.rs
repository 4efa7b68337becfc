//! One line per shape and measurement: how fast, and how near to the limit of the machine.
//!
//! ```text
//! cargo bench --bench grid                                                    a table of the grid
//! cargo bench --bench grid -- --mode train --threads 2                        fwd | train | step
//! cargo bench --bench grid -- --json --shape "lstm B32 T100 I256 H256 L1"     one JSON object a line
//! cargo bench --bench grid -- --level avx2 --seconds 0.5
//! ```
//!
//! A shape is `lstm|gru|gru_before|rnn_tanh|rnn_relu B<batch> T<steps> I<input> H<hidden> L<layers>[ bi]`, any
//! sizes. Flops counted: `2 G H (I + H) B T` for each layer and direction, three times that for training, as
//! is usual. The limits are measured in the same process, just before the shape: the multiply-add rate of the
//! level where the batch shares the weights (B > 5), and the rate of reading as many bytes as the weights have
//! where each row needs all of them (B <= 5; each thread reads on its own).
//!
//! - `fwd`: `forward` with all outputs. `train`: `forward_train` and `backward` into parameters and input.
//! - `step`: one `step` after another on one state, whatever T is.

mod limits;
mod shape;

use fused_rnn::{Accumulate, Dims, Gradients, Layout, Level, Rng, Tape, Threads, Upstream, Workspace};
use shape::Shape;
use std::time::{Duration, Instant};

/// What a run was asked to do.
struct Options {
    json: bool,
    mode: Mode,
    threads: usize,
    level: Level,
    seconds: f64,
    shapes: Vec<Shape>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Forward,
    Train,
    Step,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Forward => "fwd",
            Mode::Train => "train",
            Mode::Step => "step",
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        json: false,
        mode: Mode::Forward,
        threads: 1,
        level: Level::from_env().map_err(|error| error.to_string())?,
        seconds: 1.0,
        shapes: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--bench" => {}
            "--mode" => {
                options.mode = match value()?.as_str() {
                    "fwd" => Mode::Forward,
                    "train" => Mode::Train,
                    "step" => Mode::Step,
                    other => return Err(format!("--mode: expected fwd, train or step, got {other}")),
                }
            }
            "--threads" => {
                options.threads = value()?.parse().map_err(|error| format!("--threads: {error}"))?
            }
            "--seconds" => {
                options.seconds = value()?.parse().map_err(|error| format!("--seconds: {error}"))?
            }
            "--level" => {
                let name = value()?;
                let level = Level::available().find(|level| level.to_string() == name);
                options.level = level.ok_or(format!("--level: this machine has no level {name}"))?;
            }
            "--shape" => options.shapes.push(value()?.parse()?),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if options.shapes.is_empty() {
        let names = if options.mode == Mode::Step { shape::STREAM } else { shape::GRID };
        options.shapes = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    }
    Ok(options)
}

/// Median and least time of one call, in seconds.
struct Times {
    median: f64,
    least: f64,
}

/// Times calls for so many seconds, in samples of at least 20 microseconds.
fn time(seconds: f64, mut call: impl FnMut()) -> Times {
    call();
    let start = Instant::now();
    call();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let block = (20e-6 / once).ceil() as usize;
    let mut samples = Vec::new();
    let start = Instant::now();
    while (start.elapsed().as_secs_f64() < seconds || samples.len() < 5) && samples.len() < 100_000 {
        let sample = Instant::now();
        for _ in 0..block {
            call();
        }
        samples.push(sample.elapsed().as_secs_f64() / block as f64);
    }
    samples.sort_by(f64::total_cmp);
    Times { median: samples[samples.len() / 2], least: samples[0] }
}

fn measure(shape: &Shape, options: &Options) -> Result<Times, fused_rnn::Error> {
    let layer = shape
        .builder()
        .layout(Layout::TimeMajor)
        .level(options.level)
        .threads(Threads::Count(options.threads))
        .build()?;
    let mut rng = Rng::new(1);
    let dims = Dims::new(shape.batch, shape.steps);
    let x: Vec<f32> = (0..shape.batch * shape.steps * shape.input).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let mut y = vec![0.0; shape.batch * shape.steps * layer.config().output_size()];
    let dy = vec![1.0; y.len()];
    let (mut dx, mut gradients) = (vec![0.0; x.len()], vec![0.0; layer.parameters().len()]);
    let (mut state, mut tape, mut workspace) =
        (layer.zero_state(shape.batch)?, Tape::new(), Workspace::new());
    let mut result = Ok(());
    let times = match options.mode {
        Mode::Forward => time(options.seconds, || {
            state.reset();
            result = layer.forward(&x, dims, &mut state, Some(&mut y), &mut workspace);
        }),
        Mode::Step => {
            let (x, y) =
                (&x[..shape.batch * shape.input], &mut y[..shape.batch * layer.config().output_size()]);
            time(options.seconds, || result = layer.step(x, &mut state, Some(y), &mut workspace))
        }
        Mode::Train => time(options.seconds, || {
            state.reset();
            result = layer
                .forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace)
                .and_then(|()| {
                    let upstream = Upstream { dy: Some(&dy), ..Upstream::default() };
                    let gradients = Gradients {
                        parameters: &mut gradients,
                        accumulate: Accumulate::Overwrite,
                        dx: Some(&mut dx),
                        dh0: None,
                        dc0: None,
                    };
                    layer.backward(&x, &tape, upstream, gradients, &mut workspace)
                });
        }),
    };
    result.map(|()| times)
}

fn main() {
    let options = options().unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(2);
    });
    let Options { mode, threads, level, .. } = options;
    rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global().expect("the first pool");
    for shape in &options.shapes {
        let bytes = shape.weight_bytes();
        let short = Duration::from_millis(100);
        let peak = limits::multiply_add_rate(level, threads, short);
        let bandwidth = limits::read_rate(bytes, threads, short);
        let times = match measure(shape, &options) {
            Ok(times) => times,
            Err(error) => {
                eprintln!("{shape}: {error}");
                continue;
            }
        };
        let passes = if mode == Mode::Train { 3.0 } else { 1.0 };
        let steps = if mode == Mode::Step { 1 } else { shape.steps };
        let flops = shape.flops_per_step() * steps as f64 * passes;
        let rate = flops / times.median;
        let share_of_peak = rate / peak;
        // Where rows share nothing, each step reads all weights once; backward reads the transposed ones.
        let reads = bytes as f64 * steps as f64 * if mode == Mode::Train { 2.0 } else { 1.0 };
        let share_of_bandwidth = reads / times.median / bandwidth;
        let bound_by_reads = shape.batch <= 5;
        let share = if bound_by_reads { share_of_bandwidth } else { share_of_peak };
        let limit = if bound_by_reads { "bandwidth" } else { "peak" };
        if options.json {
            println!(
                "{{\"peer\": \"fused-rnn\", \"level\": \"{level}\", \"mode\": \"{}\", \"th\": {threads}, \
                 \"shape\": \"{shape}\", \"med_us\": {:.3}, \"min_us\": {:.3}, \"gflops\": {:.2}, \
                 \"share\": {share:.3}, \"of\": \"{limit}\", \"peak_gflops\": {:.1}, \"read_gb_s\": {:.1}}}",
                mode.name(),
                times.median * 1e6,
                times.least * 1e6,
                rate / 1e9,
                peak / 1e9,
                bandwidth / 1e9,
            );
        } else {
            println!(
                "{:40} {:5} {threads} thread{} {level:8} {:12.2} us {:8.1} GFLOP/s {:4.0} % of {limit}",
                shape.to_string(),
                mode.name(),
                if threads == 1 { " " } else { "s" },
                times.median * 1e6,
                rate / 1e9,
                share * 100.0,
            );
        }
    }
}
