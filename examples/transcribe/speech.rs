//! Spoken digits: espeak-ng speaks, in some voices, speeds and pitches; each column is the sound of a moment.
//!
//! ```text
//! 22050 samples a second  ->  windows of 512, every 256  ->  Fourier transform, a dense layer with the waves
//! as its weights  ->  energy in 24 bands, the wider the higher (mel)  ->  logarithm
//! ```
//!
//! What espeak-ng makes of a line differs between its versions.

use fused_rnn::{Dense, Rng};
use fused_rnn_examples::{Outcomes, digits};
use std::process::{Command, Stdio};

const WINDOW: usize = 512;
pub(crate) const BANDS: usize = 24;
const WORDS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
/// Accents, and voices; the last two voices are heard in tests alone.
const ACCENTS: [&str; 4] = ["en", "en-us", "en-gb-x-rp", "en-029"];
const VOICES: [&str; 10] = ["m1", "m2", "m3", "m4", "m6", "f1", "f2", "f3", "m7", "f4"];

/// Cosines and sines over a window that rises and falls: what a window is multiplied with.
pub(crate) fn waves() -> Result<Dense, fused_rnn::Error> {
    let wave = |frequency: usize, t: usize, shift: f32| {
        let turn = std::f32::consts::TAU * t as f32 / WINDOW as f32;
        (0.5 - 0.5 * turn.cos()) * (turn * frequency as f32 + shift).cos()
    };
    let half = std::f32::consts::FRAC_PI_2;
    let rows = (0..WINDOW / 2).flat_map(|f| [(f, 0.0), (f, half)]);
    let mut weights: Vec<f32> =
        rows.flat_map(|(f, shift)| (0..WINDOW).map(move |t| wave(f, t, shift))).collect();
    weights.extend([0.0; WINDOW]);
    Dense::from_parameters(WINDOW, WINDOW, &weights)
}

/// What runs espeak-ng, or why it does not.
fn espeak(arguments: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new("espeak-ng").args(arguments).stderr(Stdio::null()).output();
    let output = output.map_err(|error| format!("espeak-ng, which --speech needs: {error}"))?;
    if !output.status.success() {
        return Err(format!("espeak-ng {}: {}", arguments.join(" "), output.status));
    }
    Ok(output.stdout)
}

/// The name and version of espeak-ng.
pub(crate) fn version() -> Outcomes<String> {
    let said = String::from_utf8_lossy(&espeak(&["--version"])?).into_owned();
    Ok(said.split("Data at").next().unwrap_or("").trim().to_owned())
}

/// A line of so many digits: columns (T, BANDS), and the digits.
pub(crate) fn line(count: usize, test: bool, waves: &Dense, rng: &mut Rng) -> Result<digits::Line, String> {
    let digits: Vec<usize> = (0..count).map(|_| rng.below(10)).collect();
    let text: Vec<&str> = digits.iter().map(|&digit| WORDS[digit]).collect();
    let voice = VOICES[if test { 8 + rng.below(2) } else { rng.below(8) }];
    let voice = format!("{}+{voice}", ACCENTS[rng.below(ACCENTS.len())]);
    let (speed, pitch) = ((130 + rng.below(70)).to_string(), (30 + rng.below(40)).to_string());
    let spoken = espeak(&["--stdout", "-v", &voice, "-s", &speed, "-p", &pitch, &text.join(" ")])?;
    // Behind a header of 44 bytes, 16 bits a sample.
    let samples = spoken.get(44..).ok_or("espeak-ng: expected a WAV file")?.chunks_exact(2);
    let samples: Vec<f32> = samples
        .map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32768.0 + rng.uniform(-2e-3, 2e-3))
        .collect();
    let windows: Vec<f32> = samples.windows(WINDOW).step_by(WINDOW / 2).flatten().copied().collect();
    let mut spectrum = vec![0.0; windows.len()];
    let done = waves.forward(&windows, windows.len() / WINDOW, &mut spectrum);
    done.map_err(|error| error.to_string())?;
    // Bands on the mel scale, up to 8 kHz.
    let edge = |band: usize| {
        let hertz = 700.0 * ((2840.0 * band as f32 / BANDS as f32 / 1127.0).exp() - 1.0);
        (hertz * WINDOW as f32 / 22050.0) as usize
    };
    let band = |column: &[f32], band: usize| {
        let energy: f32 =
            column[2 * edge(band)..2 * edge(band + 1).max(edge(band) + 1)].iter().map(|v| v * v).sum();
        ((energy + 1e-3).log10() + 3.0) / 7.0
    };
    let x =
        spectrum.chunks_exact(WINDOW).flat_map(|column| (0..BANDS).map(move |b| band(column, b))).collect();
    Ok((x, digits))
}
