//! The initial values of weights.

use super::config::Config;
use super::parameters::Ranges;
use crate::cell::{CellKind, Initial, Sizes, Tensor};
use crate::error::{Error, zeros};
use crate::product::{MatrixMut, MatrixRef, gemm};
use crate::rng::Rng;

/// The initialisation of the weights, by the rules of other systems. The distributions are those of the other
/// systems; the random numbers are this crate's own, reproducible from a seed. Gains of layer normalisation
/// begin at one, and its shift of the cell state at zero.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    /// All parameters uniform in `+-1 / sqrt(hidden_size)`, those of projections and peepholes too.
    #[default]
    PyTorch,
    /// Input weights uniform in `+-sqrt(6 / (input_size + gates * hidden_size))` (Glorot), recurrent weights
    /// orthogonal (those of each head by themselves, those of an IndRNN uniform in 0..1), biases zero but for
    /// a forget bias of one in an LSTM (`unit_forget_bias`). Peepholes, which Keras does not have, are zero,
    /// and projections uniform in `+-sqrt(6 / (hidden_size + P))`.
    Keras,
    /// All parameters zero: for weights that are set afterwards.
    Zero,
}

/// Fills the parameters of all layers.
pub(super) fn initialise(
    init: Init,
    config: &Config,
    ranges: &[Ranges],
    parameters: &mut [f32],
    seed: u64,
) -> Result<(), Error> {
    if init == Init::Zero {
        parameters.fill(0.0);
        return Ok(());
    }
    for (strand, ranges) in ranges.iter().enumerate() {
        let mut rng = Rng::new(seed).fork(strand as u64);
        let Sizes { inputs, units, outputs, input_gates, .. } = ranges.sizes;
        for tensor in Tensor::ALL {
            let values = &mut parameters[ranges.get(tensor)];
            if values.is_empty() {
                continue;
            }
            match (tensor.initial(), init) {
                (Initial::Gain, _) => values.fill(1.0),
                (Initial::GainAndShift, _) => {
                    let (gain, shift) = values.split_at_mut(values.len() / 2);
                    gain.fill(1.0);
                    shift.fill(0.0);
                }
                (_, Init::PyTorch) => {
                    let limit = 1.0 / (units as f32).sqrt();
                    rng.fill_uniform(values, -limit, limit);
                }
                (Initial::Input, _) => {
                    let limit = (6.0 / (inputs + input_gates * units) as f32).sqrt();
                    rng.fill_uniform(values, -limit, limit);
                }
                // From a unit that forgets at once (0) to an integrator (1), as the authors of IndRNN
                // initialise.
                (Initial::Recurrent, _) if ranges.sizes.diagonal => {
                    rng.fill_uniform(values, 0.0, 1.0);
                }
                (Initial::Recurrent, _) => {
                    orthogonal_heads(values, ranges.sizes, &mut rng)?;
                }
                (Initial::Projection, _) => {
                    let limit = (6.0 / (units + outputs) as f32).sqrt();
                    rng.fill_uniform(values, -limit, limit);
                }
                (Initial::Bias, _) => {
                    values.fill(0.0);
                    // That of the forget gate.
                    match config.kind {
                        CellKind::Lstm => values[units..2 * units].fill(1.0),
                        CellKind::LstmMultiplicative => values[2 * units..3 * units].fill(1.0),
                        _ => {}
                    }
                }
                (Initial::SecondBias | Initial::Vector, _) => values.fill(0.0),
            }
        }
    }
    Ok(())
}

/// Fills recurrent weights head by head. Each head has a random matrix of orthonormal columns, whose rows
/// belong to its units of all gates.
fn orthogonal_heads(to: &mut [f32], sizes: Sizes, rng: &mut Rng) -> Result<(), Error> {
    let (heads, cols) = (sizes.heads, sizes.outputs / sizes.heads);
    if heads == 1 {
        return orthogonal(to, to.len() / cols, cols, rng);
    }
    let of_gate = sizes.units / heads * cols;
    let rows = sizes.recurrent_gates * (sizes.units / heads);
    let mut own = zeros("weights", &[rows, cols])?;
    for head in 0..heads {
        orthogonal(&mut own, rows, cols, rng)?;
        for (gate, own) in own.chunks_exact(of_gate).enumerate() {
            to[(gate * heads + head) * of_gate..][..of_gate].copy_from_slice(own);
        }
    }
    Ok(())
}

/// Fills `to`, (rows, cols) with `rows >= cols`, with a random matrix of orthonormal columns: the first
/// columns of a matrix drawn uniformly from the orthogonal group (Saxe et al. 2014, arXiv 1312.6120).
///
/// Columns of independent normal numbers are made orthogonal to the columns before them, twice: once would
/// leave an error where a column is nearly dependent (Gram-Schmidt; "twice is enough", Giraud et al. 2005).
/// Signs need no correction, because a projection does not change the sign of a column.
fn orthogonal(to: &mut [f32], rows: usize, cols: usize, rng: &mut Rng) -> Result<(), Error> {
    let mut columns = zeros("weights", &[cols, rows])?;
    let mut overlaps = zeros("weights", &[cols])?;
    for k in 0..cols {
        let (done, rest) = columns.split_at_mut(k * rows);
        let column = &mut rest[..rows];
        column.iter_mut().for_each(|value| *value = rng.normal());
        for _ in 0..2 {
            let basis = MatrixRef::new(done, k, rows);
            let overlaps = &mut overlaps[..k];
            gemm(1.0, basis, MatrixRef::new(column, rows, 1), 0.0, MatrixMut::new(overlaps, k, 1));
            gemm(-1.0, MatrixRef::new(overlaps, 1, k), basis, 1.0, MatrixMut::new(column, 1, rows));
            let norm = column.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32;
            column.iter_mut().for_each(|value| *value /= norm);
        }
    }
    for (k, column) in columns.chunks_exact(rows).enumerate() {
        for (row, &value) in column.iter().enumerate() {
            to[row * cols + k] = value;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_orthonormal() {
        let (rows, cols) = (40, 13);
        let mut matrix = vec![0.0; rows * cols];
        orthogonal(&mut matrix, rows, cols, &mut Rng::new(5)).unwrap();
        for a in 0..cols {
            for b in 0..cols {
                let dot: f32 = (0..rows).map(|row| matrix[row * cols + a] * matrix[row * cols + b]).sum();
                let want = if a == b { 1.0 } else { 0.0 };
                assert!((dot - want).abs() < 1e-6, "columns {a} and {b}: {dot}");
            }
        }
    }

    #[test]
    fn values_fill_the_ranges_of_other_systems() {
        let (inputs, units, outputs) = (30, 50, 20);
        let network = |kind, init, projection: bool| {
            let builder = crate::Builder::new(kind, inputs, units).init(init, 7);
            if projection { builder.projection(outputs) } else { builder }.build().unwrap()
        };
        let glorot = |sum: usize| (6.0 / sum as f32).sqrt();
        let root = 1.0 / (units as f32).sqrt();
        for (kind, init, projection, name, (low, high)) in [
            (CellKind::Lstm, Init::PyTorch, false, "weight_ih_l0", (-root, root)),
            (CellKind::Lstm, Init::PyTorch, true, "weight_hr_l0", (-root, root)),
            (CellKind::GruResetAfter, Init::PyTorch, false, "bias_hh_l0", (-root, root)),
            (CellKind::Lstm, Init::Keras, false, "weight_ih_l0", (-glorot(230), glorot(230))),
            (CellKind::GruResetAfter, Init::Keras, false, "weight_ih_l0", (-glorot(180), glorot(180))),
            (CellKind::Lstm, Init::Keras, true, "weight_hr_l0", (-glorot(70), glorot(70))),
            (CellKind::IndRnn, Init::Keras, false, "weight_hh_l0", (0.0, 1.0)),
        ] {
            let network = network(kind, init, projection);
            let values = network.named_parameters().find(|tensor| tensor.name == name).unwrap().values;
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let near = (high - low) / 10.0;
            assert!(low <= least && least < low + near, "{kind:?}, {init:?}, {name}: from {least}");
            assert!(high - near < most && most <= high, "{kind:?}, {init:?}, {name}: up to {most}");
        }
        for (kind, forget) in [
            (CellKind::Lstm, Some(1)),
            (CellKind::LstmMultiplicative, Some(2)),
            (CellKind::GruResetAfter, None),
        ] {
            let network = network(kind, Init::Keras, false);
            let biases: Vec<_> =
                network.named_parameters().filter(|tensor| tensor.name.starts_with("bias")).collect();
            for (n, bias) in biases.iter().enumerate() {
                for (gate, values) in bias.values.chunks_exact(units).enumerate() {
                    let want = if n == 0 && Some(gate) == forget { 1.0 } else { 0.0 };
                    assert!(values.iter().all(|&value| value == want), "{kind:?}, {}, {gate}", bias.name);
                }
            }
        }
    }

    #[test]
    fn columns_of_each_head_are_orthonormal() {
        use crate::{Init, Lstm};

        let (units, heads, size) = (6, 3, 2);
        let layer = Lstm::exponential(2, units).heads(heads).init(Init::Keras, 3).build().unwrap();
        let parameters: Vec<_> = layer.named_parameters().collect();
        let weights = parameters[1].values;
        for head in 0..heads {
            let rows = (0..4 * units).filter(|row| row % units / size == head);
            let dot = |a: usize, b: usize| -> f32 {
                rows.clone().map(|row| weights[row * size + a] * weights[row * size + b]).sum()
            };
            assert!(
                (dot(0, 0) - 1.0).abs() < 1e-6 && (dot(1, 1) - 1.0).abs() < 1e-6 && dot(0, 1).abs() < 1e-6
            );
        }
    }
}
