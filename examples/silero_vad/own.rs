//! A detector of the program's own, for where there is no model: signals with known answers, and a GRU that
//! learns them.

use crate::{Detector, FRAME, Features};
use fused_rnn::train::{Adam, AdamConfig, BinaryCrossEntropy, Optimizer, clip_global_norm};
use fused_rnn::{Accumulate, Dense, Dims, Gradients, Gru, Rng, Tape, Threads, Upstream, Workspace};
use fused_rnn_examples::{Outcomes, say};
use std::f32::consts::TAU;

const BANDS: usize = 8;
const UNITS: usize = 12;

/// Noise with voiced tones in it, and of each frame whether there is one.
pub(crate) fn scene(seed: u64, frames: usize) -> (Vec<f32>, Vec<f32>) {
    let mut rng = Rng::new(seed);
    let (noise, mut audio, mut truth) = (rng.uniform(0.01, 0.1), vec![], vec![]);
    let (mut voiced, mut pitch, mut loud) = (false, 0.0, 0.0);
    for _ in 0..frames {
        if rng.below(12) == 0 {
            (voiced, pitch, loud) = (!voiced, rng.uniform(100.0, 250.0), rng.uniform(0.1, 0.4));
        }
        truth.push(f32::from(voiced));
        for _ in 0..FRAME {
            let t = audio.len() as f32 / 16_000.0;
            let tone: f32 = (1..8).map(|k| (TAU * (pitch * k as f32 * t).fract()).sin() / k as f32).sum();
            audio.push(noise * rng.uniform(-1.0, 1.0) + if voiced { loud * tone } else { 0.0 });
        }
    }
    (audio, truth)
}

/// The logarithm of the energy at frequencies from 100 Hz on, by Goertzel's recurrence.
pub(crate) struct Bands;

impl Features for Bands {
    fn of(&mut self, frame: &[f32]) -> Vec<f32> {
        let band = |n: usize| {
            let factor = 2.0 * (TAU * 100.0 * 1.5f32.powi(n as i32) / 16_000.0).cos();
            let (a, b) = frame.iter().fold((0.0, 0.0), |(a, b), x| (x + factor * a - b, a));
            0.2 * (1e-3 + a * a + b * b - factor * a * b).ln()
        };
        (0..BANDS).map(band).collect()
    }

    fn to_head(_: &mut [f32]) {}
}

/// Trains a GRU and a head on some scenes.
pub(crate) fn trained() -> Outcomes<Detector<Bands>> {
    let (batch, steps) = (8, 60);
    let (mut x, mut truth) = (vec![], vec![]); // (B, T, BANDS) and (B, T)
    for row in 0..batch {
        let (audio, voiced) = scene(row as u64, steps);
        audio.chunks_exact(FRAME).for_each(|frame| x.extend(Bands.of(frame)));
        truth.extend(voiced);
    }
    let mut gru = Gru::reset_after(BANDS, UNITS).threads(Threads::Count(1)).build()?;
    let mut head = Dense::new_pytorch(UNITS, 1, 0)?;
    let config = AdamConfig { learning_rate: 0.02, ..AdamConfig::default() };
    let mut adam = Adam::new(gru.parameters().len() + head.parameter_count(), config)?;
    let (mut of_gru, mut of_head) = (vec![0.0; gru.parameters().len()], vec![0.0; head.parameter_count()]);
    let (mut y, mut dy) = (vec![0.0; batch * steps * UNITS], vec![0.0; batch * steps * UNITS]);
    let (mut logits, mut dlogits) = (truth.clone(), truth.clone());
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    for step in 0..=120 {
        let (mut state, dims) = (gru.zero_state(batch)?, Dims::new(batch, steps));
        gru.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace)?;
        head.forward(&y, batch * steps, &mut logits)?;
        let loss = BinaryCrossEntropy::new().loss(&logits, &truth, Some(&mut dlogits))?;
        head.backward(&y, &dlogits, batch * steps, &mut of_head, Accumulate::Overwrite, Some(&mut dy))?;
        let gradients = Gradients::of_parameters(&mut of_gru);
        gru.backward(&x, &tape, Upstream::default().with_dy(&dy), gradients, &mut workspace)?;
        clip_global_norm(&mut [&mut of_gru, &mut of_head], 1.0)?;
        gru.update(|parameters| {
            adam.step_all(&mut [(parameters, &of_gru), (head.parameters_mut(), &of_head)])
        })?;
        if step % 40 == 0 {
            say!("training step {step}: loss {loss:.3}")?;
        }
    }
    Ok(Detector::new(Bands, gru, head)?)
}
