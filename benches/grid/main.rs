//! The speed of a shape, and how near it is to the limit of the machine: one line per shape and measurement.
//!
//! ```text
//! cargo bench --bench grid                                                    a table of the grid
//! cargo bench --bench grid -- --mode train --threads 2                        fwd | train | step
//! cargo bench --bench grid -- --json --shape "lstm B32 T100 I256 H256 L1"     one JSON object a line
//! cargo bench --bench grid -- --level avx2 --seconds 0.5
//! cargo bench --bench grid -- --precision f32,bf16_weights,int8               by turns, without the limits
//! cargo bench --bench grid -- --limits --threads 2                            the machine alone
//! cargo bench --bench grid -- --list --mode step                              the names of a mode's shapes
//! cargo bench --bench grid -- --serve --precision int8                        a worker, see serve.rs
//! ```
//!
//! Without options: forward of the whole grid in f32, one thread, the widest level, a second for each shape.
//! `--shape` may come several times; `--list` names the shapes that are measured without it. A line has the
//! shape, the mode, the median time of a call, its flops a second, the two limits' shares, and the flops a
//! second that the roofline allows. With `--precision` it has the precision, the time, and the time of the
//! first precision over it: above 1 it is faster than the first. More than one precision take turns.
//!
//! A shape is `CELL B<batch> T<steps> I<input> H<hidden> L<layers>[ bi]`, any sizes, of `lstm`, `gru`,
//! `gru_before`, `rnn_tanh`, `rnn_relu`, `min_gru`, `min_lstm`, `ind_rnn`, `lstm_mult` or `slstm`; then, of
//! an LSTM, ` peephole`, ` coupled`, ` P<projection>`; of an sLSTM ` N<heads>`; of any ` clip`, and
//! ` U<shortest>`, where each row has a length of its own, evenly spread from `shortest` to T. Flops
//! counted: `2 G H (I + H) B T` for each layer and direction (`2 G H I B T` where no matrix multiplies the
//! state), with lengths their sum for B T; three times that for training, as is usual. Two limits stand
//! beside each time, both measured in the same process just before the shape:
//!
//! - the *share*, of the multiply-add rate of the level where the batch shares the weights (B > 5), and of
//!   the rate of reading as many bytes as the weights have where each row needs all of them (B <= 5; each
//!   thread reads its own). The latter is above 100 % where the input weights, once read, serve many steps;
//! - the *roofline*, the least time that the shape's multiply-adds and reads allow, see `Roofline` in
//!   `../common/limits.rs`, and what bounds it.
//!
//! Modes: `fwd`, `forward` with all outputs. `train`, `forward_train` and `backward` into parameters and
//! input. `step`, one `step` after another on one state, whatever T is.

#[path = "../common/mod.rs"]
mod common;
mod serve;

use common::limits::{Limits, Roofline};
use common::{Mode, Network, Shape, shape, timing};
use fused_rnn::{Level, Precision};

/// The options of a run.
struct Options {
    json: bool,
    limits: bool,
    list: bool,
    serve: bool,
    mode: Mode,
    threads: usize,
    level: Level,
    seconds: f64,
    /// More than one are timed by turns.
    precisions: Vec<Precision>,
    shapes: Vec<Shape>,
}

/// Turns that each precision gets.
const TURNS: usize = 9;

fn options() -> Result<Options, String> {
    let mut options = Options {
        json: false,
        limits: false,
        list: false,
        serve: false,
        mode: Mode::Forward,
        threads: 1,
        level: Level::from_env().map_err(|error| error.to_string())?,
        seconds: 1.0,
        precisions: vec![Precision::F32],
        shapes: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        // Cargo puts its own --bench at the end.
        let mut value =
            || arguments.next().filter(|value| value != "--bench").ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--bench" => {}
            "--help" | "-h" => {
                common::print_head(include_str!("main.rs"));
                std::process::exit(0);
            }
            "--limits" => options.limits = true,
            "--list" => options.list = true,
            "--serve" => options.serve = true,
            "--mode" => options.mode = value()?.parse().map_err(|error| format!("--{error}"))?,
            "--threads" => {
                let text = value()?;
                options.threads = text
                    .parse()
                    .ok()
                    .filter(|&threads| threads > 0)
                    .ok_or_else(|| format!("--threads: expected a number from 1, got {text}"))?;
            }
            "--seconds" => {
                let text = value()?;
                let seconds = text.parse().ok().filter(|seconds| (0.0..=1e6).contains(seconds));
                options.seconds = seconds
                    .ok_or_else(|| format!("--seconds: expected a number from 0 to 1000000, got {text}"))?;
            }
            "--level" => {
                let name = value()?;
                let level = Level::available().find(|level| level.to_string() == name);
                options.level = level.ok_or_else(|| {
                    let levels: Vec<_> = Level::available().map(|level| level.to_string()).collect();
                    format!("--level: expected one of this machine's, {}, got {name}", levels.join(", "))
                })?;
            }
            "--precision" => {
                let named = |name: &str| name.parse::<Precision>().map_err(|error| format!("--{error}"));
                options.precisions = value()?.split(',').map(named).collect::<Result<_, _>>()?;
            }
            "--shape" => options.shapes.push(value()?.parse()?),
            other => return Err(format!("unknown argument {other}: --help lists the options")),
        }
    }
    if options.shapes.is_empty() {
        let names = if options.mode == Mode::Step { shape::STREAM } else { shape::GRID };
        options.shapes = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    }
    Ok(options)
}

/// The machine's limits, as a line or a table.
fn print_limits(limits: &Limits, options: &Options) {
    if options.json {
        let Options { level, threads, .. } = options;
        println!("{{\"limits\": \"{level}\", \"th\": {threads}, {}}}", limits.json());
        return;
    }
    println!("machine, {} thread(s), level {}:", options.threads, options.level);
    println!("  multiply-adds in registers      {:8.1} GFLOP/s", limits.peak / 1e9);
    for (name, bytes, rate) in &limits.reads {
        let kib = bytes >> 10;
        println!("  read from {name:6} ({kib:7} KiB)  {:8.1} GB/s", rate / 1e9);
    }
}

fn print_shape(shape: &Shape, times: timing::Times, roofline: &Roofline, options: &Options) {
    let Options { mode, threads, level, .. } = options;
    let rate = mode.flops(shape) / times.median;
    let (share, of) = roofline.share(times.median);
    let of_roofline = roofline.seconds / times.median;
    if options.json {
        println!(
            "{{\"peer\": \"fused-rnn\", \"level\": \"{level}\", \"mode\": \"{}\", \"th\": {threads}, \
             \"shape\": \"{shape}\", \"med_us\": {:.3}, \"min_us\": {:.3}, \"gflops\": {:.2}, \
             \"share\": {share:.3}, \"of\": \"{of}\", \"roofline_share\": {of_roofline:.3}, {}}}",
            mode.name(),
            times.median * 1e6,
            times.least * 1e6,
            rate / 1e9,
            roofline.json(),
        );
    } else {
        println!(
            "{:40} {:5} {:12.2} us {:8.1} GFLOP/s {:4.0} % of {of:9}   {:4.0} % of roofline {:8.1} GFLOP/s \
             ({})",
            shape.to_string(),
            mode.name(),
            times.median * 1e6,
            rate / 1e9,
            share * 100.0,
            of_roofline * 100.0,
            roofline.rate() / 1e9,
            roofline.bound,
        );
    }
}

/// The medians of all precisions, timed by turns, and how many times as fast as the first each is.
fn compare(shape: &Shape, options: &Options) -> Result<(), String> {
    let Options { mode, threads, level, ref precisions, .. } = *options;
    let network = |&precision| Network::in_precision(shape, level, threads, precision);
    let networks: Result<Vec<_>, _> = precisions.iter().map(network).collect();
    let of_shape = |error: fused_rnn::Error| format!("{shape}: {error}");
    let mut networks = networks.map_err(of_shape)?;
    let mut medians = vec![Vec::new(); networks.len()];
    for _ in 0..TURNS {
        for (network, medians) in networks.iter_mut().zip(&mut medians) {
            let mut result = Ok(());
            let seconds = options.seconds / TURNS as f64;
            medians.push(timing::time(seconds, || result = network.call(mode)).median);
            result.map_err(of_shape)?;
        }
    }
    let of = |n: usize, turn: usize| medians[n][turn];
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[TURNS / 2]
    };
    for (n, precision) in precisions.iter().enumerate() {
        let time = median((0..TURNS).map(|turn| of(n, turn)).collect());
        // Of each turn by itself: what the machine does besides falls on all of its precisions.
        let ratio = median((0..TURNS).map(|turn| of(0, turn) / of(n, turn)).collect());
        if options.json {
            println!(
                "{{\"precision\": \"{precision}\", \"level\": \"{level}\", \"mode\": \"{}\", \
                 \"th\": {threads}, \"shape\": \"{shape}\", \"med_us\": {:.3}, \"ratio\": {ratio:.3}}}",
                mode.name(),
                time * 1e6
            );
        } else {
            let shape = shape.to_string();
            println!("{shape:40} {:5} {precision:12} {:12.2} us  {ratio:6.2}", mode.name(), time * 1e6);
        }
    }
    Ok(())
}

fn run(options: &Options) -> Result<(), String> {
    let Options { mode, threads, level, .. } = *options;
    if options.list {
        options.shapes.iter().for_each(|shape| println!("{shape}"));
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global();
    pool.map_err(|error| error.to_string())?;
    if options.serve {
        let [precision] = options.precisions[..] else {
            return Err("--precision: a worker has one".to_owned());
        };
        return serve::serve(precision, level, threads).map_err(|error| error.to_string());
    }
    if options.precisions != [Precision::F32] && !options.limits {
        if !options.json {
            let first = options.precisions[0];
            println!("{:59} {:>15}  {first} over it", "shape, mode and precision", "time of a call");
        }
        return options.shapes.iter().try_for_each(|shape| compare(shape, options));
    }
    if options.limits || !options.json {
        print_limits(&Limits::measure(level, threads), options);
    }
    if options.limits {
        return Ok(());
    }
    let mut failed = 0;
    for shape in &options.shapes {
        let mut result = Ok(());
        // (A shape that is larger than memory is refused here, before the roofline reads as much.)
        let times = Network::new(shape, level, threads)
            .map(|mut network| timing::time(options.seconds, || result = network.call(mode)));
        match result.and(times) {
            Ok(times) => {
                print_shape(shape, times, &Roofline::measure(shape, mode, level, threads), options);
            }
            Err(error) => {
                eprintln!("{shape}: {error}");
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(format!("{failed} of {} shapes were refused", options.shapes.len())) } else { Ok(()) }
}

fn main() {
    if let Err(error) = options().and_then(|options| run(&options)) {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}
