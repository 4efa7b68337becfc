//! Ratios of this crate to itself that users rely on. The two sides of each ratio are measured in turns.
//!
//! ```text
//! cargo bench --bench promises                     a table, in some minutes
//! cargo bench --bench promises -- --json           one JSON object a line
//! cargo bench --bench promises -- unfused busy     the rows of these names
//!
//! silent       2000 steps of zeros after a loud sequence, small weights    time over a loud sequence
//! tiny_inputs  inputs of 1e-30 down to denormals                           time over ordinary ones
//! tiny_weights a tenth of the parameters denormal                          time over ordinary ones
//! unfused      products by `matrixmultiply`, activations in passes         time over this crate
//! normalised   layer normalisation                                         time over the same layer without
//! portable     the level that every machine has                            time over the naive reference
//! narrower     AVX2, on a machine with AVX-512                             time over AVX-512
//! busy         two threads while every core has other work                 time over one thread, as busy
//! nested       two threads, in a parallel iterator of a call per core      time over one thread, there
//! small_pool   two threads in a pool of one                                time over one thread
//! ```
//!
//! (The shape of a silence has the loud sequence before it: 4000 steps.) Each is the median of the ratios of
//! some rounds; a round takes both, one after the other. It is 1 where both take the same time, and below 1
//! where what the row names takes less.
//!
//! What is read or stored is zero below 1e-30, and so no operand of a product is denormal. Within a step a
//! product of two small numbers may still be: a gate's gradient times a state that fades, or the square in a
//! tanh of less than 1e-19. That passes in a few steps.

#[path = "../common/mod.rs"]
mod common;

use common::unfused::Unfused;
use common::{Mode, Network, Shape, check};
use fused_rnn::{Layout, Level, Precision, Rng, Threads};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const ROUNDS: usize = 9;
/// Seconds of one side of a round, at least one call.
const SECONDS: f64 = 0.1;
/// Steps of a silence.
const SILENCE: usize = 2000;

/// The names of rows.
const NAMES: [&str; 10] = [
    "silent",
    "tiny_inputs",
    "tiny_weights",
    "unfused",
    "normalised",
    "portable",
    "narrower",
    "busy",
    "nested",
    "small_pool",
];

type Failure = Box<dyn std::error::Error>;

/// One ratio.
struct Row {
    what: &'static str,
    mode: Mode,
    shape: String,
    ratio: f64,
}

/// Seconds of a call.
fn seconds(mut call: impl FnMut()) -> f64 {
    let (start, mut calls) = (Instant::now(), 0);
    while calls == 0 || start.elapsed().as_secs_f64() < SECONDS {
        call();
        calls += 1;
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

/// The median of the first's time over the second's.
fn ratio(mut first: impl FnMut(), mut second: impl FnMut()) -> f64 {
    first();
    second();
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| seconds(&mut first) / seconds(&mut second)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

fn network(shape: &str, level: Level, threads: usize) -> Result<Network, Failure> {
    Ok(Network::new(&shape.parse()?, level, threads)?)
}

fn call(network: &mut Network, mode: Mode) {
    network.call(mode).expect("a call that has succeeded before");
}

/// A loud sequence and then silence, over the same with the second half as loud as the first.
fn silent(shape: &str, mode: Mode) -> Result<Row, Failure> {
    let shape: Shape = shape.parse()?;
    let whole = Shape { steps: 2 * SILENCE, ..shape };
    let (half, mut rng) = (SILENCE * whole.batch * whole.input, Rng::new(1));
    let loud: Vec<f32> = (0..2 * half).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let mut silent = loud.clone();
    silent[half..].fill(0.0);
    let make = |x| -> Result<Network, Failure> {
        let mut network = Network::with((&whole, Precision::F32), Level::best(), 1, x, None)?;
        // No biases, and small weights: every state and every gradient fades.
        let biases: Vec<_> = (network.layer.named_parameters())
            .filter(|tensor| tensor.name.contains("bias"))
            .map(|tensor| tensor.range)
            .collect();
        network.layer.update(|parameters| {
            parameters.iter_mut().for_each(|value| *value *= 0.5);
            for range in biases {
                parameters[range].fill(0.0);
            }
        });
        Ok(network)
    };
    let (mut silent, mut loud) = (make(silent)?, make(loud)?);
    // Half of each is the same, which takes half of the loud one's time.
    let both = ratio(|| call(&mut silent, mode), || call(&mut loud, mode));
    Ok(Row { what: "silent", mode, shape: whole.to_string(), ratio: 2.0 * both - 1.0 })
}

/// The same with tiny inputs, or with some tiny parameters, over ordinary ones.
fn tiny(shape: &str, mode: Mode, scale: f32, of_parameters: bool) -> Result<Row, Failure> {
    let shape: Shape = shape.parse()?;
    let (mut ordinary, mut tiny) =
        (Network::new(&shape, Level::best(), 1)?, Network::new(&shape, Level::best(), 1)?);
    if of_parameters {
        tiny.layer.update(|parameters| {
            parameters.iter_mut().step_by(10).for_each(|value| *value *= scale);
        });
    } else {
        tiny.x.iter_mut().for_each(|value| *value *= scale);
    }
    let what = if of_parameters { "tiny_weights" } else { "tiny_inputs" };
    let ratio = ratio(|| call(&mut tiny, mode), || call(&mut ordinary, mode));
    Ok(Row { what, mode, shape: format!("{shape} {scale:.0e}"), ratio })
}

/// The route of separate products and activations, over this crate.
fn unfused(name: &str) -> Result<Row, Failure> {
    let (mut ours, same) = (network(name, Level::best(), 1)?, network(name, Level::best(), 1)?);
    let mut unfused = Unfused::of(&same);
    let separate = || {
        unfused.reset();
        unfused.run(&same.x);
    };
    let ratio = ratio(separate, || call(&mut ours, Mode::Forward));
    Ok(Row { what: "unfused", mode: Mode::Forward, shape: name.to_owned(), ratio })
}

/// With layer normalisation, over the same layer without.
fn normalised(name: &str, mode: Mode) -> Result<Row, Failure> {
    let (mut with, mut without) = (network(name, Level::best(), 1)?, network(name, Level::best(), 1)?);
    let builder = with.shape.builder().layout(Layout::TimeMajor).level(Level::best());
    with.layer = builder.threads(Threads::Count(1)).layer_norm(1e-5).build()?;
    let ratio = ratio(|| call(&mut with, mode), || call(&mut without, mode));
    Ok(Row { what: "normalised", mode, shape: name.to_owned(), ratio })
}

fn portable(name: &str, mode: Mode) -> Result<Row, Failure> {
    let mut ours = network(name, Level::Portable, 1)?;
    let naive = network(name, Level::Portable, 1)?;
    let ratio = ratio(
        || call(&mut ours, mode),
        || match mode {
            Mode::Train => _ = black_box(check::naive_train(&naive)),
            _ => _ = black_box(check::naive_forward(&naive)),
        },
    );
    Ok(Row { what: "portable", mode, shape: name.to_owned(), ratio })
}

fn narrower(name: &str, mode: Mode) -> Result<Row, Failure> {
    let (mut narrow, mut wide) = (network(name, Level::Avx2, 1)?, network(name, Level::Avx512, 1)?);
    let ratio = ratio(|| call(&mut narrow, mode), || call(&mut wide, mode));
    Ok(Row { what: "narrower", mode, shape: name.to_owned(), ratio })
}

fn busy(name: &str, mode: Mode) -> Result<Row, Failure> {
    let (mut two, mut one) = (network(name, Level::best(), 2)?, network(name, Level::best(), 1)?);
    let over = AtomicBool::new(false);
    let ratio = std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    black_box((0..10_000u64).fold(0, |sum, n| black_box(sum ^ n)));
                }
            });
        }
        let ratio = ratio(|| call(&mut two, mode), || call(&mut one, mode));
        over.store(true, Ordering::Relaxed);
        ratio
    });
    Ok(Row { what: "busy", mode, shape: name.to_owned(), ratio })
}

fn nested(name: &str, mode: Mode) -> Result<Row, Failure> {
    let each = |threads| -> Result<Vec<Network>, Failure> {
        (0..cores()).map(|_| network(name, Level::best(), threads)).collect()
    };
    let (mut two, mut one) = (each(2)?, each(1)?);
    let all = |networks: &mut [Network]| {
        rayon::scope(|scope| {
            networks.iter_mut().for_each(|network| scope.spawn(move |_| call(network, mode)));
        });
    };
    let ratio = ratio(|| all(&mut two), || all(&mut one));
    Ok(Row { what: "nested", mode, shape: name.to_owned(), ratio })
}

fn small_pool(name: &str, mode: Mode) -> Result<Row, Failure> {
    let (mut two, mut one) = (network(name, Level::best(), 2)?, network(name, Level::best(), 1)?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    // Both from inside: to go there takes longer than a short sequence.
    let ratio = pool.install(|| ratio(|| call(&mut two, mode), || call(&mut one, mode)));
    Ok(Row { what: "small_pool", mode, shape: name.to_owned(), ratio })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

fn main() -> ExitCode {
    let (mut json, mut names) = (false, Vec::new());
    for argument in std::env::args().skip(1).filter(|argument| argument != "--bench") {
        if argument == "--help" || argument == "-h" {
            common::print_head(include_str!("main.rs"));
            return ExitCode::SUCCESS;
        }
        match NAMES.iter().find(|name| **name == argument) {
            Some(name) => names.push(*name),
            None if argument == "--json" => json = true,
            None => {
                let names = NAMES.join(", ");
                eprintln!("error: expected --json, --help or names of rows, {names}, got {argument}");
                return ExitCode::FAILURE;
            }
        }
    }
    let names = if names.is_empty() { NAMES.to_vec() } else { names };
    match all(json, |name| names.contains(&name)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The rows of those names that are wanted.
fn all(json: bool, is_wanted: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let print = |row: Row| {
        let Row { what, mode, shape, ratio } = row;
        if json {
            println!(
                r#"{{"what": "{what}", "mode": "{}", "shape": "{shape}", "ratio": {ratio:.4}}}"#,
                mode.name()
            );
        } else {
            println!("{what:12} {:6} {shape:38} {ratio:.3}", mode.name());
        }
    };
    if !json {
        println!("{:12} {:6} {:38} time over", "what", "call", "shape");
    }
    for kind in ["lstm", "gru", "gru_before", "rnn_tanh"] {
        for mode in [Mode::Forward, Mode::Train] {
            for batch in [1, 8].into_iter().filter(|_| is_wanted("silent")) {
                print(silent(&format!("{kind} B{batch} T1 I64 H64 L1"), mode)?);
            }
            if is_wanted("portable") {
                print(portable(&format!("{kind} B8 T20 I64 H64 L1"), mode)?);
            }
        }
        for scale in [1e-30, 1e-36, 1e-40, 1e-44].into_iter().filter(|_| is_wanted("tiny_inputs")) {
            print(tiny(&format!("{kind} B1 T1 I64 H64 L1"), Mode::Step, scale, false)?);
            print(tiny(&format!("{kind} B8 T20 I64 H64 L1"), Mode::Train, scale, false)?);
        }
        for mode in [Mode::Step, Mode::Train].into_iter().filter(|_| is_wanted("tiny_weights")) {
            print(tiny(&format!("{kind} B1 T1 I64 H64 L1"), mode, 1e-40, true)?);
        }
    }
    let unfused_shapes = [
        "lstm B1 T100 I64 H64 L1",
        "lstm B1 T100 I256 H256 L1",
        "lstm B8 T100 I256 H256 L1",
        "lstm B32 T100 I256 H256 L1",
        "lstm B64 T50 I512 H512 L1",
        "gru B32 T100 I256 H256 L1",
    ];
    for name in unfused_shapes.into_iter().filter(|_| is_wanted("unfused")) {
        print(unfused(name)?);
    }
    for kind in ["lstm", "gru"].into_iter().filter(|_| is_wanted("normalised")) {
        for units in [16, 64, 128, 256] {
            print(normalised(&format!("{kind} B1 T1 I{units} H{units} L1"), Mode::Step)?);
            print(normalised(&format!("{kind} B1 T100 I{units} H{units} L1"), Mode::Forward)?);
        }
        for (rows, units) in [(8, 64), (8, 128), (8, 256), (32, 64), (32, 256)] {
            print(normalised(&format!("{kind} B{rows} T50 I{units} H{units} L1"), Mode::Forward)?);
        }
    }
    if Level::available().any(|level| level == Level::Avx512) && is_wanted("narrower") {
        for name in ["lstm B8 T100 I256 H256 L1", "lstm B32 T100 I256 H256 L1", "gru B32 T100 I256 H256 L1"] {
            for mode in [Mode::Forward, Mode::Train] {
                print(narrower(name, mode)?);
            }
        }
    }
    for name in ["lstm B1 T100 I512 H512 L1", "lstm B32 T50 I128 H128 L1", "gru B4 T50 I64 H64 L2"] {
        for mode in [Mode::Forward, Mode::Train] {
            if is_wanted("busy") {
                print(busy(name, mode)?);
            }
            if is_wanted("nested") {
                print(nested(name, mode)?);
            }
            if is_wanted("small_pool") {
                print(small_pool(name, mode)?);
            }
        }
    }
    Ok(())
}
