//! Memory and time of a training step, with the whole tape and with checkpoints.
//!
//! ```text
//! cargo bench --bench memory                                the default shape, all and some checkpoints
//! cargo bench --bench memory -- --json                      one JSON object a line
//! cargo bench --bench memory -- --shape "gru B32 T500 I256 H256 L2" --keep all,8,16,32 --threads 2
//! ```
//!
//! The peak is that of a whole process (`VmHWM` of Linux), so each measurement is one: the program runs
//! itself, for one shape and one way to keep, for `--seconds` of training steps; the ways take turns,
//! `--rounds` times, so that the times can be compared, and the ratio is the median of the rounds' ratios to
//! the first. The memory that the caller holds (sequences, parameters and the gradients of both) is part of
//! the peak, and is also printed; `calls` is the peak minus the memory before the first call. `--keep` lists
//! `all` and steps between checkpoints; without it `all`, half the root of the steps, which needs about the
//! least memory, and twice and four times that. Shapes are those of `grid`, with all their variants.

#[path = "../common/mod.rs"]
mod common;

use common::{Mode, Network, Shape, timing};
use fused_rnn::{Dims, Keep, Level};
use std::process::Command;

const SHAPE: &str = "lstm B32 T500 I256 H256 L1";

/// One measurement: bytes and seconds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    peak: f64,
    /// The peak less what there was before the first call.
    calls: f64,
    seconds: f64,
}

/// The options of a run.
struct Options {
    json: bool,
    shape: Shape,
    threads: usize,
    rounds: usize,
    seconds: f64,
    keeps: Vec<Keep>,
    child: bool,
}

fn keep_of(name: &str) -> Result<Keep, String> {
    match name {
        "all" => Ok(Keep::All),
        _ => match name.parse() {
            Ok(every) if every > 0 => Ok(Keep::Every(every)),
            _ => Err(format!("--keep: expected all or steps from 1, got {name}")),
        },
    }
}

fn name_of(keep: Keep) -> String {
    match keep {
        Keep::Every(every) => every.to_string(),
        _ => "all".to_owned(),
    }
}

fn options() -> Result<Options, String> {
    let (mut json, mut child, mut keeps) = (false, false, Vec::new());
    let (mut shape, mut threads, mut rounds, mut seconds) = (SHAPE.parse::<Shape>()?, 1, 5, 1.0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        // Cargo puts its own --bench at the end.
        let mut value =
            || arguments.next().filter(|value| value != "--bench").ok_or(format!("{argument} needs a value"));
        let number = |name: &str, text: String| match text.parse::<usize>() {
            Ok(count) if (1..=256).contains(&count) => Ok(count),
            _ => Err(format!("{name}: expected a number from 1 to 256, got {text}")),
        };
        match argument.as_str() {
            "--bench" => {}
            "--help" | "-h" => {
                common::print_head(include_str!("main.rs"));
                std::process::exit(0);
            }
            "--json" => json = true,
            "--child" => child = true,
            "--shape" => shape = value()?.parse()?,
            "--threads" => threads = number("--threads", value()?)?,
            "--rounds" => rounds = number("--rounds", value()?)?,
            "--seconds" => {
                let text = value()?;
                seconds =
                    text.parse().ok().filter(|seconds| (0.0..=1e6).contains(seconds)).ok_or(text).map_err(
                        |text| format!("--seconds: expected a number from 0 to 1000000, got {text}"),
                    )?;
            }
            "--keep" => {
                keeps = value()?.split(',').map(|name| keep_of(name.trim())).collect::<Result<_, _>>()?
            }
            other => {
                return Err(format!("unknown argument {other}: --help lists the options"));
            }
        }
    }
    if keeps.is_empty() {
        let least = ((shape.steps as f64).sqrt() / 2.0).round().max(1.0) as usize;
        keeps = vec![Keep::All, Keep::Every(least), Keep::Every(2 * least), Keep::Every(4 * least)];
    }
    Ok(Options { json, shape, threads, rounds, seconds, keeps, child })
}

/// The memory of this process in bytes, as Linux reports it: `VmRSS` now, `VmHWM` at most.
fn memory(what: &str) -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or(what)?;
    let line = line.trim_start_matches(':');
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().map_err(|_| line.to_owned())?;
    Ok(kilobytes * 1024.0)
}

/// The part that is measured.
fn child(options: &Options) -> Result<(), String> {
    let text = |error: fused_rnn::Error| error.to_string();
    let level = Level::from_env().map_err(text)?;
    let mut network = Network::new(&options.shape, level, options.threads).map_err(text)?;
    network.keep(options.keeps[0]);
    let before = memory("VmRSS")?;
    network.call(Mode::Train).map_err(text)?;
    let times =
        timing::time(options.seconds, || network.call(Mode::Train).expect("a call that went well before"));
    let peak = memory("VmHWM")?;
    println!("{peak} {} {}", peak - before, times.median);
    Ok(())
}

fn measure(options: &Options, keep: Keep) -> Result<Sample, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new(own)
        .args(["--child", "--shape", &options.shape.to_string(), "--keep", &name_of(keep)])
        .args(["--threads", &options.threads.to_string(), "--seconds", &options.seconds.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&run.stdout);
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(peak)), Some(Ok(calls)), Some(Ok(seconds))) => Ok(Sample { peak, calls, seconds }),
        _ => {
            let said = String::from_utf8_lossy(&run.stderr);
            let line = said.lines().find_map(|line| line.strip_prefix("error: "));
            Err(format!("{}: {}", options.shape, line.map_or_else(|| run.status.to_string(), str::to_owned)))
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run() -> Result<(), String> {
    let options = options()?;
    if options.child {
        return child(&options);
    }
    if memory("VmHWM").is_err() {
        eprintln!("memory: skipped: no /proc/self/status here to read a peak from");
        return Ok(());
    }
    let mut samples = vec![Vec::new(); options.keeps.len()];
    for _ in 0..options.rounds {
        for (keep, samples) in options.keeps.iter().zip(&mut samples) {
            samples.push(measure(&options, *keep)?);
        }
    }
    let shape = &options.shape;
    let layer = shape.builder().build().map_err(|error| error.to_string())?;
    let row_steps = shape.batch * shape.steps;
    let held = 2 * 4 * (row_steps * (shape.input + layer.config().output_size()) + layer.parameters().len());
    let level = Level::from_env().map_err(|error| error.to_string())?;
    let mib = |bytes: f64| bytes / (1 << 20) as f64;
    if !options.json {
        println!(
            "{shape}, level {level}, {} thread(s), medians of {} rounds",
            options.threads, options.rounds
        );
        println!(
            "held by the caller: {:.1} MiB (sequences, parameters, and the gradients of both)",
            mib(held as f64)
        );
        println!(
            "{:>6} {:>12} {:>12} {:>12} {:>10} {:>10}",
            "keep", "tape", "calls", "peak", "time", "of first"
        );
    }
    for (keep, each) in options.keeps.iter().zip(&samples) {
        let peak = median(each.iter().map(|sample| sample.peak).collect());
        let calls = median(each.iter().map(|sample| sample.calls).collect());
        let seconds = median(each.iter().map(|sample| sample.seconds).collect());
        let ratio =
            median(each.iter().zip(&samples[0]).map(|(own, first)| own.seconds / first.seconds).collect());
        let lengths = shape.lengths();
        let dims = Dims::new(shape.batch, shape.steps);
        let dims = lengths.as_ref().map_or(dims, |lengths| dims.with_lengths(lengths));
        let tape = layer.tape_bytes(dims, *keep).map_err(|error| error.to_string())?;
        if options.json {
            println!(
                "{{\"shape\": \"{shape}\", \"level\": \"{level}\", \"threads\": {}, \"keep\": \"{}\", \
                 \"tape_bytes\": {tape}, \"held_bytes\": {held}, \"peak_bytes\": {peak:.0}, \
                 \"calls_bytes\": {calls:.0}, \"median_us\": {:.1}, \"time_ratio\": {ratio:.3}}}",
                options.threads,
                name_of(*keep),
                seconds * 1e6,
            );
        } else {
            let (tape, calls, peak, milliseconds) = (mib(tape as f64), mib(calls), mib(peak), seconds * 1e3);
            println!(
                "{:>6} {tape:>8.1} MiB {calls:>8.1} MiB {peak:>8.1} MiB {milliseconds:>7.1} ms {ratio:>10.2}",
                name_of(*keep)
            );
        }
    }
    Ok(())
}

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}
