//! Silero VAD for 16 kHz: a spectrum, four convolutions, an LSTM, a head.
//!
//! ```text
//! (1, 640)  ->  (258, 4)  ->  magnitudes (129, 4)  ->  (128, 4)  ->  (64, 2)  ->  (64, 1)  ->  (128, 1)
//! ```
//!
//! The 640 samples are 64 of the frame before, the frame, and 64 of it mirrored. Arrays are
//! `(channels, time)`.

use crate::{Detector, FRAME, Features};
use fused_rnn::format::{Tensors, state_dict};
use fused_rnn::{CellKind, Dense, Error, Threads};

const CONTEXT: usize = 64;

/// A convolution over time: weights `(outputs, inputs, width)`, with zeros at both ends where it is padded.
struct Convolution {
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
    width: usize,
    stride: usize,
    pad: usize,
}

impl Convolution {
    fn of(&self, x: &[f32]) -> Vec<f32> {
        let Convolution { ref weight, ref bias, inputs, width, stride, pad } = *self;
        let steps = x.len() / inputs;
        let places = (steps + 2 * pad - width) / stride + 1;
        let mut y = Vec::with_capacity(bias.len() * places);
        for (weight, bias) in weight.chunks_exact(inputs * width).zip(bias) {
            for first in (0..places).map(|place| place * stride) {
                let mut sum = *bias;
                for (weight, x) in weight.chunks_exact(width).zip(x.chunks_exact(steps)) {
                    let inside = pad.saturating_sub(first)..width.min(steps + pad - first);
                    let from = &x[first + inside.start - pad..];
                    sum += weight[inside].iter().zip(from).map(|(w, x)| w * x).sum::<f32>();
                }
                y.push(sum);
            }
        }
        y
    }
}

pub(crate) struct Spectrum {
    transform: Convolution,
    convolutions: Vec<Convolution>,
    context: [f32; CONTEXT],
}

impl Features for Spectrum {
    fn of(&mut self, frame: &[f32]) -> Vec<f32> {
        let mut x = [&self.context[..], frame].concat();
        self.context.copy_from_slice(&frame[FRAME - CONTEXT..]);
        x.extend(frame[FRAME - 1 - CONTEXT..FRAME - 1].iter().rev());
        let spectrum = self.transform.of(&x);
        let (real, imaginary) = spectrum.split_at(spectrum.len() / 2);
        let magnitudes = real.iter().zip(imaginary).map(|(re, im)| (re * re + im * im).sqrt()).collect();
        self.convolutions.iter().fold(magnitudes, |x, convolution| {
            convolution.of(&x).into_iter().map(|value| value.max(0.0)).collect()
        })
    }

    fn to_head(h: &mut [f32]) {
        h.iter_mut().for_each(|value| *value = value.max(0.0));
    }
}

/// A convolution of a file, with a bias where it is padded.
fn convolution(
    file: &mut Tensors,
    name: &str,
    [outputs, inputs, width]: [usize; 3],
    (stride, pad): (usize, usize),
) -> Result<Convolution, Error> {
    let weight = file.take(&format!("{name}.weight"), &[outputs, inputs, width])?;
    let bias = match pad {
        0 => vec![0.0; outputs],
        _ => file.take(&format!("{name}.bias"), &[outputs])?,
    };
    Ok(Convolution { weight, bias, inputs, width, stride, pad })
}

/// The detector of a safetensors file of the package silero-vad.
pub(crate) fn read(bytes: &[u8]) -> Result<Detector<Spectrum>, Error> {
    let mut file = Tensors::read(bytes, "")?;
    let transform = convolution(&mut file, "stft_conv", [258, 1, 256], (128, 0))?;
    let convolutions = vec![
        convolution(&mut file, "conv1", [128, 129, 3], (1, 1))?,
        convolution(&mut file, "conv2", [64, 128, 3], (2, 1))?,
        convolution(&mut file, "conv3", [64, 64, 3], (2, 1))?,
        convolution(&mut file, "conv4", [128, 64, 3], (1, 1))?,
    ];
    // The names of an LSTMCell are known.
    let tensors = file.split_off_prefix("lstm_cell.");
    let mut lstm = state_dict::builder(&tensors, CellKind::Lstm)?.threads(Threads::Count(1)).build()?;
    state_dict::load(tensors, &mut lstm)?;
    let mut head = file.take("final_conv.weight", &[1, 128, 1])?;
    head.extend(file.take("final_conv.bias", &[1])?);
    file.finish()?;
    let features = Spectrum { transform, convolutions, context: [0.0; CONTEXT] };
    Detector::new(features, lstm, Dense::from_parameters(128, 1, &head)?)
}
