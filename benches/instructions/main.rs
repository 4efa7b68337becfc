//! Instructions of one call, counted by Valgrind's callgrind: the same number on a quiet machine and on a
//! busy one.
//!
//! ```text
//! cargo bench --bench instructions                                      steps, small shapes, short sequences
//! cargo bench --bench instructions -- --json                            one JSON object a line
//! cargo bench --bench instructions -- --mode train --shape "lstm B1 T1 I16 H16 L1"
//! cargo bench --bench instructions -- --precision int8 --mode step
//! cargo bench --bench instructions -- --json > before.jsonl             then, after a change,
//! cargo bench --bench instructions -- --against before.jsonl            with what changed
//! ```
//!
//! A line has the shape, the mode, the level, instructions of a call, how many of them are outside, and
//! instructions for each flop; with `--against` also the change in per cent. `--mode` alone takes its shapes
//! of the list, `--shape` (several times) names others, of the mode `step` if none is given.
//!
//! The program runs itself under Valgrind, once for each shape, and collects what happens inside `measured`
//! alone: one thread, memory warm. `outside` is what is neither in kernels nor in this program: checks,
//! shapes and addresses for the kernels, and copies. Valgrind knows no AVX-512, so the level is AVX2 at best
//! (`FUSED_RNN_LEVEL=portable` for the other). Where Valgrind is missing the bench says so and ends well.

mod callgrind;
#[path = "../common/mod.rs"]
mod common;

use callgrind::Counts;
use common::{Mode, Network, Shape};
use fused_rnn::{Level, Precision};
use std::process::Command;

/// Calls that are counted, of as many again that came before.
const CALLS: usize = 4;

const CASES: &[(Mode, &str)] = &[
    (Mode::Step, "lstm B1 T1 I1 H16 L1"),
    (Mode::Step, "lstm B1 T1 I1 H40 L1"),
    (Mode::Step, "lstm B1 T1 I64 H64 L1"),
    (Mode::Step, "lstm B1 T1 I128 H128 L1"),
    (Mode::Step, "lstm B1 T1 I256 H256 L1"),
    (Mode::Step, "lstm B8 T1 I64 H64 L1"),
    (Mode::Step, "gru B1 T1 I1 H16 L1"),
    (Mode::Step, "gru B1 T1 I64 H64 L1"),
    (Mode::Step, "gru B1 T1 I128 H128 L1"),
    (Mode::Step, "gru B1 T1 I256 H256 L1"),
    (Mode::Step, "gru_before B1 T1 I128 H128 L1"),
    (Mode::Step, "rnn_tanh B1 T1 I128 H128 L1"),
    (Mode::Forward, "lstm B1 T10 I64 H64 L1"),
    (Mode::Forward, "lstm B7 T10 I33 H33 L1"),
    (Mode::Forward, "gru B7 T10 I33 H33 L1"),
    (Mode::Train, "lstm B7 T10 I33 H33 L1"),
    (Mode::Train, "gru B7 T10 I33 H33 L1"),
    (Mode::Train, "lstm B32 T4 I1 H64 L1"),
];

/// What callgrind collects; never inlined, so that it is found by its name.
#[unsafe(no_mangle)]
#[inline(never)]
fn fused_rnn_measured(network: &mut Network, mode: Mode) {
    network.call(mode).expect("a call");
}

/// The part that runs under Valgrind.
fn child(mode: Mode, shape: &Shape, precision: Precision) -> Result<(), String> {
    let level = Level::from_env().map_err(|error| error.to_string())?;
    let network = Network::in_precision(shape, level, 1, precision);
    let mut network = network.map_err(|error| error.to_string())?;
    for _ in 0..CALLS {
        network.call(mode).map_err(|error| error.to_string())?;
    }
    for _ in 0..CALLS {
        fused_rnn_measured(&mut network, mode);
    }
    println!("{level}");
    Ok(())
}

/// The level that the child had, and its instructions a call.
fn count(mode: Mode, shape: &Shape, precision: Precision) -> Result<(String, Counts), String> {
    let file = std::env::temp_dir().join(format!("fused-rnn-instructions-{}", std::process::id()));
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=fused_rnn_measured"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(own)
        .args(["--precision", precision.name(), "--child", mode.name(), &shape.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    if !run.status.success() {
        // What the child said stands among Valgrind's own lines.
        let own = said.lines().find_map(|line| line.strip_prefix("error: ")).or(said.lines().last());
        return Err(format!("{shape}, under Valgrind: {}", own.unwrap_or("valgrind failed")));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()));
    // (It is a file of the system's folder for such.)
    let _ = std::fs::remove_file(&file);
    let Counts { all, outside } = callgrind::counts(&text?);
    // Valgrind says the sum itself, too.
    let collected =
        said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    let collected = collected.and_then(|count| count.split(' ').next()?.parse::<u64>().ok());
    if collected != Some(all) {
        return Err(format!("{shape}: expected {collected:?} instructions in Valgrind's file, got {all}"));
    }
    let calls = CALLS as u64;
    let counts = Counts { all: all / calls, outside: outside / calls };
    Ok((String::from_utf8_lossy(&run.stdout).trim().to_owned(), counts))
}

/// The counts of a file of JSON lines, by level, mode and shape.
fn earlier(path: &str) -> Result<Vec<(String, u64)>, String> {
    let text = std::fs::read_to_string(common::path_of_shell(path));
    let text = text.map_err(|error| format!("{path}: {error}"))?;
    let line = |line: &str| {
        let (key, count) = line.strip_suffix('}')?.rsplit_once(", \"instructions\": ")?;
        let (count, _) = count.split_once(',').unwrap_or((count, ""));
        Some((key.to_owned(), count.parse().ok()?))
    };
    let counts: Vec<_> = text.lines().filter_map(line).collect();
    if counts.is_empty() { Err(format!("{path}: expected lines of --json, got none")) } else { Ok(counts) }
}

fn run() -> Result<(), String> {
    let (mut json, mut mode, mut shapes, mut before) = (false, None, Vec::<String>::new(), Vec::new());
    let mut precision = Precision::F32;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        // Cargo puts its own --bench at the end.
        let mut value =
            || arguments.next().filter(|value| value != "--bench").ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--help" | "-h" => {
                common::print_head(include_str!("main.rs"));
                std::process::exit(0);
            }
            "--json" => json = true,
            "--mode" => mode = Some(value()?.parse().map_err(|error| format!("--{error}"))?),
            "--shape" => shapes.push(value()?),
            "--against" => before = earlier(&value()?)?,
            "--precision" => precision = value()?.parse().map_err(|error| format!("--{error}"))?,
            "--child" => return child(value()?.parse()?, &value()?.parse()?, precision),
            other => return Err(format!("unknown argument {other}: --help lists the options")),
        }
    }
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|run| run.status.success()) {
        eprintln!("instructions: skipped: found no program `valgrind` (a package of that name has it)");
        return Ok(());
    }
    let listed = CASES.iter().filter(|case| mode.is_none_or(|mode| mode == case.0));
    let cases: Vec<(Mode, Shape)> = if shapes.is_empty() {
        listed.map(|(mode, shape)| Ok((*mode, shape.parse()?))).collect::<Result<_, String>>()?
    } else {
        let mode = mode.unwrap_or(Mode::Step);
        shapes.iter().map(|shape| Ok((mode, shape.parse()?))).collect::<Result<_, String>>()?
    };
    for (mode, shape) in cases {
        let (level, Counts { all: instructions, outside }) = count(mode, &shape, precision)?;
        let mut key =
            format!("{{\"level\": \"{level}\", \"mode\": \"{}\", \"shape\": \"{shape}\"", mode.name());
        if precision != Precision::F32 {
            key += &format!(", \"precision\": \"{precision}\"");
        }
        if json {
            println!("{key}, \"instructions\": {instructions}, \"outside\": {outside}}}");
            continue;
        }
        let per_flop = instructions as f64 / mode.flops(&shape);
        let change = before
            .iter()
            .find(|entry| entry.0 == key)
            .map(|entry| format!("  {:+.2} %", (instructions as f64 / entry.1 as f64 - 1.0) * 100.0));
        println!(
            "{:34} {:5} {level:8} {instructions:10} instructions, {outside:6} outside \
             {per_flop:8.4} a flop{}",
            shape.to_string(),
            mode.name(),
            change.unwrap_or_default()
        );
    }
    Ok(())
}

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}
