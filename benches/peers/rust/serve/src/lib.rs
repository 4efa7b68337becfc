//! What the Rust peers' workers share: the protocol (`../../README.md`), shapes, how a call is timed.
//!
//! Sequences come time-major, (T, B, I); parameters for each layer and direction as weight_ih (G * H, I),
//! weight_hh (G * H, H), bias_ih and bias_hh (G * H), gates i, f, g, o and r, z, n.

use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::time::Instant;

pub type Result<T> = std::result::Result<T, Failure>;

/// Why a shape is not run.
pub enum Failure {
    /// The peer does not do such a shape or mode.
    Skip(String),
    /// It should, but did not.
    Error(String),
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Error(format!("{error:#}"))
    }
}

pub fn skip<T>(why: &str) -> Result<T> {
    Err(Failure::Skip(why.to_owned()))
}

#[derive(Clone)]
pub struct Shape {
    pub cell: String,
    pub batch: usize,
    pub steps: usize,
    pub input: usize,
    pub hidden: usize,
    pub layers: usize,
    pub directions: usize,
}

impl Shape {
    fn parse(text: &str) -> Result<Shape> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let size = |at: usize| words.get(at).and_then(|word| word.get(1..)).unwrap_or("").parse::<usize>();
        Ok(Shape {
            cell: words.first().copied().unwrap_or_default().to_owned(),
            batch: size(1)?,
            steps: size(2)?,
            input: size(3)?,
            hidden: size(4)?,
            layers: size(5)?,
            directions: if words.get(6) == Some(&"bi") { 2 } else { 1 },
        })
    }

    pub fn gates(&self) -> usize {
        match self.cell.as_str() {
            "lstm" => 4,
            "gru" | "gru_before" => 3,
            _ => 1,
        }
    }

    pub fn layer_input(&self, layer: usize) -> usize {
        if layer == 0 { self.input } else { self.hidden * self.directions }
    }
}

/// One layer in one direction.
pub struct Cell {
    pub weight_ih: Vec<f32>,
    pub weight_hh: Vec<f32>,
    pub bias_ih: Vec<f32>,
    pub bias_hh: Vec<f32>,
}

/// What is to be prepared.
pub struct Case {
    pub shape: Shape,
    pub mode: String,
    /// (T, B, I); for steps T frames.
    pub x: Vec<f32>,
    /// At `layer * directions + direction`.
    pub cells: Vec<Cell>,
    /// The ONNX model of the same.
    pub model: String,
}

impl Case {
    fn read(request: &Value) -> Result<Case> {
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let shape = Shape::parse(&text("shape"))?;
        let bytes = std::fs::read(text("data"))?;
        let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut take = |count: usize| -> Vec<f32> { values.by_ref().take(count).collect() };
        let x = take(shape.steps * shape.batch * shape.input);
        let rows = shape.gates() * shape.hidden;
        let cells = (0..shape.layers * shape.directions)
            .map(|cell| Cell {
                weight_ih: take(rows * shape.layer_input(cell / shape.directions)),
                weight_hh: take(rows * shape.hidden),
                bias_ih: take(rows),
                bias_hh: take(rows),
            })
            .collect();
        Ok(Case { shape, mode: text("mode"), x, cells, model: text("model") })
    }

    /// The input of step `t`, (B, I).
    pub fn frame(&self, t: usize) -> &[f32] {
        let size = self.shape.batch * self.shape.input;
        &self.x[t * size..][..size]
    }
}

/// A shape that is ready to run.
pub trait Prepared {
    /// What is timed.
    fn call(&mut self);
    /// What it computes: y, (T, B, D * H); for training also dx and the gradients of all parameters.
    fn results(&mut self) -> Result<Vec<f32>>;
}

struct Times {
    median: f64,
    least: f64,
    samples: usize,
}

/// As `benches/common/timing.rs` has it.
fn measure(seconds: f64, mut call: impl FnMut()) -> Times {
    call();
    let start = Instant::now();
    call();
    let block = (20e-6 / start.elapsed().as_secs_f64().max(1e-9)).ceil() as usize;
    let mut samples = Vec::new();
    let start = Instant::now();
    loop {
        let sample = Instant::now();
        for _ in 0..block {
            call();
        }
        samples.push(sample.elapsed().as_secs_f64() / block as f64);
        let elapsed = start.elapsed().as_secs_f64();
        let enough = elapsed >= seconds && (samples.len() >= 3 || elapsed >= 10.0 * seconds);
        if enough || samples.len() >= 100_000 {
            break;
        }
    }
    samples.sort_by(f64::total_cmp);
    Times { median: samples[samples.len() / 2], least: samples[0], samples: samples.len() }
}

fn answer(
    line: &str,
    prepared: &mut Option<Box<dyn Prepared>>,
    prepare: fn(Case) -> Result<Box<dyn Prepared>>,
) -> Result<Value> {
    let request: Value = serde_json::from_str(line)?;
    match (request["cmd"].as_str(), prepared.as_mut()) {
        (Some("prepare"), _) => {
            *prepared = None;
            let mut made = prepare(Case::read(&request)?)?;
            let bytes: Vec<u8> = made.results()?.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(request["out"].as_str().unwrap_or_default(), bytes)?;
            *prepared = Some(made);
            Ok(json!({ "ok": true }))
        }
        (Some("time"), Some(made)) => {
            let times = measure(request["seconds"].as_f64().unwrap_or(1.0), || made.call());
            let (median, least) = (times.median * 1e6, times.least * 1e6);
            Ok(json!({ "med_us": median, "min_us": least, "samples": times.samples }))
        }
        (command, _) => Err(Failure::Error(format!("cmd: expected prepare, then time, got {command:?}"))),
    }
}

/// The number of threads that the peer may use.
pub fn threads() -> usize {
    std::env::var("PEER_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Answers lines until the input ends.
pub fn serve(peer: &str, version: &str, settings: &str, prepare: fn(Case) -> Result<Box<dyn Prepared>>) {
    let mut output = std::io::stdout().lock();
    let mut reply = |value: Value| {
        let sent = writeln!(output, "{value}").and_then(|()| output.flush());
        sent.expect("the driver reads");
    };
    reply(json!({ "peer": peer, "version": version, "settings": settings }));
    let mut prepared = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the driver writes");
        reply(match answer(&line, &mut prepared, prepare) {
            Ok(value) => value,
            Err(Failure::Skip(why)) => json!({ "skip": why }),
            Err(Failure::Error(why)) => json!({ "error": why }),
        });
    }
}
