//! The bench as a worker: JSON lines on standard input and output, for `benches/peers/compare.py` and
//! `benches/compare_commits.py`. Every peer's worker speaks the same protocol (`benches/peers/README.md`).
//!
//! ```text
//! -> {"peer": "fused-rnn", "version": "...", "settings": "..."}                      once, at the start
//! <- {"cmd": "prepare", "shape": "...", "mode": "fwd", "data": FILE, "out": FILE}    -> {"ok": true}
//! <- {"cmd": "time", "seconds": 0.5}                          -> {"med_us": , "min_us": , "samples": }
//! <- {"cmd": "limits"}                                               -> the roofline of the shape
//! ```
//!
//! Lines are objects of strings and numbers without escapes; the parser below knows no more than that.
//! `data` holds floats, little-endian: the input `(T, B, I)`, then the parameters in their canonical order.
//! `out` gets what was computed from it: `y`; for `train` also `dx` and the gradients in the same order. For
//! `step` T is the number of steps to take from a zero state, and what is timed is one of them.

use crate::common::limits::{Limits, Roofline};
use crate::common::{Mode, Network, Shape, timing};
use fused_rnn::{Level, Precision};
use std::fs;
use std::io::{BufRead, Write};

/// The value of a key of a flat object, without its quotes.
fn field<'a>(line: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("no {key} in {line}");
    let (_, rest) = line.split_once(&format!("\"{key}\":")).ok_or_else(missing)?;
    let rest = rest.trim_start();
    match rest.strip_prefix('"') {
        Some(text) => text.split('"').next().ok_or_else(missing),
        None => rest.split([',', '}']).next().map(str::trim).ok_or_else(missing),
    }
}

fn read_floats(path: &str) -> Result<Vec<f32>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn prepare(
    line: &str,
    precision: Precision,
    level: Level,
    threads: usize,
) -> Result<(Network, Mode), String> {
    let shape: Shape = field(line, "shape")?.parse()?;
    let mode: Mode = field(line, "mode")?.parse()?;
    let mut x = read_floats(field(line, "data")?)?;
    let inputs = shape.batch * shape.steps * shape.input;
    if x.len() < inputs {
        return Err(format!("data: expected at least {inputs} floats, got {}", x.len()));
    }
    let parameters = x.split_off(inputs);
    let text = |error: fused_rnn::Error| error.to_string();
    let of = (&shape, precision);
    let mut network = Network::with(of, level, threads, x, Some(&parameters)).map_err(text)?;
    match mode {
        Mode::Step => (0..shape.steps).try_for_each(|t| network.step(t)).map_err(text)?,
        _ => network.call(mode).map_err(text)?,
    }
    let mut results = network.y.clone();
    if mode == Mode::Train {
        results.extend(network.dx.iter().chain(&network.gradients));
    }
    let bytes: Vec<u8> = results.iter().flat_map(|value| value.to_le_bytes()).collect();
    let out = field(line, "out")?;
    fs::write(out, bytes).map_err(|error| format!("{out}: {error}"))?;
    Ok((network, mode))
}

fn answer(
    line: &str,
    prepared: &mut Option<(Network, Mode)>,
    limits: &mut Option<Limits>,
    (precision, level, threads): (Precision, Level, usize),
) -> Result<String, String> {
    if field(line, "cmd")? == "prepare" {
        *prepared = None;
        *prepared = Some(prepare(line, precision, level, threads)?);
        return Ok("{\"ok\": true}".to_owned());
    }
    let (network, mode) = prepared.as_mut().ok_or("nothing is prepared")?;
    match field(line, "cmd")? {
        "time" => {
            let seconds: f64 =
                field(line, "seconds")?.parse().map_err(|error| format!("seconds: {error}"))?;
            let mut result = Ok(());
            let times = timing::time(seconds, || result = network.call(*mode));
            result.map_err(|error| error.to_string())?;
            let (median, least, samples) = (times.median * 1e6, times.least * 1e6, times.samples);
            Ok(format!("{{\"med_us\": {median:.4}, \"min_us\": {least:.4}, \"samples\": {samples}}}"))
        }
        "limits" => {
            let limits = limits.get_or_insert_with(|| Limits::measure(level, threads));
            let roofline = Roofline::measure(&network.shape, *mode, level, threads);
            Ok(format!("{{{}, {}}}", roofline.json(), limits.json()))
        }
        other => Err(format!("cmd: expected prepare, time or limits, got {other}")),
    }
}

/// Answers lines until the input ends.
pub fn serve(precision: Precision, level: Level, threads: usize) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(
        output,
        "{{\"peer\": \"fused-rnn\", \"version\": \"{}\", \"settings\": \"{precision}, level {level}, \
         weights packed once, time-major, caller-held state, tape and workspace\"}}",
        fused_rnn::VERSION
    )?;
    output.flush()?;
    let (mut prepared, mut limits) = (None, None);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let reply = answer(&line, &mut prepared, &mut limits, (precision, level, threads));
        let reply = reply.unwrap_or_else(|error| format!("{{\"error\": \"{}\"}}", error.replace('"', "'")));
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}
