//! Voice activity in real time: how likely there is a voice in each 32 ms of a stream of 16 kHz.
//!
//! ```text
//! cargo run --release --features safetensors --example silero_vad
//! cargo run --release --features safetensors --example silero_vad -- silero_vad_16k.safetensors [AUDIO.f32]
//! ```
//!
//! Without a file the program trains a small GRU on signals of its own, voiced tones in noise (`own.rs`), and
//! streams one that the GRU has not heard. With a file it is Silero VAD (`silero.rs`), whose LSTM this crate
//! runs. The file is in the package silero-vad: `pip download --no-deps silero-vad` and `unzip -j
//! silero_vad-*.whl '*16k.safetensors'`. (The ONNX files of the package have other weights.) AUDIO.f32 has
//! mono floats at 16 kHz: `ffmpeg -i IN.wav -ar 16000 -ac 1 -f f32le AUDIO.f32`.
//!
//! ```text
//! 512 samples  ->  features  ->  one step of the layer  ->  one row of the head  ->  probability
//! ```

mod own;
mod silero;

use fused_rnn::{Dense, Error, Recurrent, State, Workspace};
use fused_rnn_examples::{Outcomes, say};
use std::process::ExitCode;
use std::time::Instant;

/// Samples of a frame, and frames of a second.
pub(crate) const FRAME: usize = 512;
pub(crate) const FRAMES: f32 = 16_000.0 / FRAME as f32;

/// What the layer sees of a frame.
pub(crate) trait Features {
    fn of(&mut self, frame: &[f32]) -> Vec<f32>;
    /// What becomes of the hidden state before the head reads it.
    fn to_head(h: &mut [f32]);
}

/// A stream, with all that goes on from frame to frame.
pub(crate) struct Detector<F> {
    pub(crate) features: F,
    layer: Recurrent,
    head: Dense,
    state: State,
    workspace: Workspace,
    h: Vec<f32>,
}

impl<F: Features> Detector<F> {
    pub(crate) fn new(features: F, layer: Recurrent, head: Dense) -> Result<Self, Error> {
        let (state, h) = (layer.zero_state(1)?, vec![0.0; layer.config().output_size()]);
        Ok(Detector { features, layer, head, state, workspace: Workspace::new(), h })
    }

    /// The probability of a voice in the next frame.
    fn hear(&mut self, frame: &[f32]) -> Result<f32, Error> {
        let x = self.features.of(frame);
        self.layer.step(&x, &mut self.state, Some(&mut self.h), &mut self.workspace)?;
        F::to_head(&mut self.h);
        let mut logit = [0.0];
        self.head.forward_row(&self.h, &mut logit)?;
        Ok(1.0 / (1.0 + (-logit[0]).exp()))
    }
}

/// Streams all frames, and prints from when to when there is a voice. Returns the probabilities.
fn stream(mut detector: Detector<impl Features>, audio: &[f32]) -> Outcomes<Vec<f32>> {
    let start = Instant::now();
    let heard = audio.chunks_exact(FRAME).map(|frame| detector.hear(frame)).collect::<Result<Vec<_>, _>>()?;
    let each = start.elapsed().as_secs_f64() / heard.len().max(1) as f64;
    say!("{} frames, {:.0} microseconds each, of the 32000 that a frame lasts", heard.len(), each * 1e6)?;
    let voiced = |n: usize| heard.get(n).is_some_and(|&p| p > 0.5);
    let mut first = 0;
    for n in 0..heard.len() {
        if voiced(n) && (n == 0 || !voiced(n - 1)) {
            first = n;
        }
        if voiced(n) && !voiced(n + 1) {
            say!("voice from {:.2} to {:.2} s", first as f32 / FRAMES, (n + 1) as f32 / FRAMES)?;
        }
    }
    Ok(heard)
}

fn bytes(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn detector(path: &str) -> Result<Detector<silero::Spectrum>, String> {
    silero::read(&bytes(path)?).map_err(|error| format!("{path}: {error}"))
}

/// The samples of a file: f32, little-endian, one channel, nothing before them.
fn samples(path: &str) -> Result<Vec<f32>, String> {
    let bytes = bytes(path)?;
    let wrong = |got: String| format!("{path}: expected {FRAME} finite f32 samples and more, got {got}");
    if bytes.starts_with(b"RIFF") {
        return Err(wrong("a WAV file (ffmpeg -i FILE.wav -f f32le -ac 1 -ar 16000 AUDIO.f32)".to_owned()));
    }
    let (samples, rest) = bytes.as_chunks();
    let samples: Vec<f32> = samples.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
    if !rest.is_empty() || samples.len() < FRAME {
        return Err(wrong(format!("{} bytes", bytes.len())));
    }
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(place) => Err(wrong(format!("{} at sample {place}", samples[place]))),
        None => Ok(samples),
    }
}

fn run() -> Outcomes {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let (unheard, truth) = own::scene(999, (10.0 * FRAMES) as usize);
    match &files[..] {
        [] => {
            let heard = stream(own::trained()?, &unheard)?;
            let right = heard.iter().zip(&truth).filter(|&(&heard, &truth)| (heard > 0.5) == (truth > 0.5));
            let right = right.count() as f32 / heard.len() as f32;
            say!("right in {:.1} % of the frames", 100.0 * right)?;
            if right < 0.9 {
                return Err("expected 90 %".into());
            }
        }
        [model] => _ = stream(detector(model)?, &unheard)?,
        [model, audio] => {
            let audio = samples(audio)?;
            stream(detector(model)?, &audio)?;
        }
        _ => return Err("expected at most two arguments: MODEL.safetensors AUDIO.f32".into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    run().map_or_else(
        |error| {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
