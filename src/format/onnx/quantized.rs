//! `com.microsoft.DynamicQuantizeLSTM`: an LSTM whose weights are bytes.
//!
//! ```text
//! W (D, I, 4 H), R (D, H, 4 H)       of int8 or uint8, transposed in comparison with LSTM
//! scales and zero points             (D), or (D, 4 H) with one for each row of LSTM's W and R
//! ```
//!
//! A weight is (q - z) s, with z its zero point. Where all q - z of both matrices are from -128 to 127, as
//! with zero points of 0 for int8 and 128 for uint8, the layer is one of [`Int8`](crate::Precision::Int8) with these
//! integers and scales. Others have no place in a signed byte: the layer is one of f32 then, with the weights
//! that they say.
//!
//! ONNX Runtime makes bytes of x and h too, with a zero point: of all of X with one scale, of the h of all
//! rows with one at each step. Here each row has its own, and no row depends on others: results differ by
//! some 1e-2, which is how far each of the two is from the LSTM of the same weights in f32.

use super::super::{Tensor, refused};
use super::array::Array;
use crate::error::{Error, zeros};
use crate::layer::is_scale;

/// W or R as an LSTM has it, (D, 4 H, columns): weights, or integers with what they are multiplied by, a number
/// for each direction or for each of its rows.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) values: Tensor,
    pub(super) scales: Vec<f32>,
}

impl Matrix {
    /// A matrix of weights.
    pub(super) fn of_weights(values: Tensor) -> Matrix {
        Matrix { values, scales: Vec::new() }
    }

    /// Whether these are signed bytes with scales.
    pub(super) fn has_bytes(&self) -> bool {
        let is_byte = |value: &f32| (-128.0..=127.0).contains(value);
        let has_scales = !self.scales.is_empty() && self.scales.iter().all(|&scale| is_scale(scale));
        has_scales && self.values.values().iter().all(is_byte)
    }
}

/// W or R of a quantised node.
pub(super) fn quantized(
    name: &str,
    bytes: &Array,
    scale: &Array,
    zero_point: Option<&Array>,
) -> Result<Matrix, Error> {
    let wrong = |expected: &str, got: String| refused(name, expected, got);
    let (&[directions, columns, rows], Some(values)) = (bytes.shape(), bytes.as_integers()) else {
        let got = format!("{:?} of {:?}", bytes.element(), bytes.shape());
        return Err(wrong("integers of shape (D, columns, 4 H)", got));
    };
    // One number for a direction, or one for each of its rows.
    let per_row = |parameter: &Array, what: &str| match parameter.shape() {
        &[d] if d == directions => Ok(false),
        &[d, r] if d == directions && r == rows => Ok(true),
        other => {
            let expected = format_args!("shape [{directions}] or [{directions}, {rows}]");
            Err(refused(format_args!("{name}, {what}"), expected, format_args!("{other:?}")))
        }
    };
    per_row(scale, "scale")?;
    let scales =
        scale.as_floats().ok_or_else(|| wrong("scales of floats", format!("{:?}", scale.element())))?;
    let zero_per_row = zero_point.map(|zero| per_row(zero, "zero point")).transpose()?;
    let zero_points = match zero_point {
        None => &[][..],
        Some(zero) => zero
            .as_integers()
            .ok_or_else(|| wrong("zero points of integers", format!("{:?}", zero.element())))?,
    };
    let at = |per_row: bool, direction: usize, row: usize| {
        if per_row { direction * rows + row } else { direction }
    };
    let mut integers = zeros("weights", &[directions, rows, columns])?;
    for direction in 0..directions {
        for row in 0..rows {
            let zero = zero_per_row.map_or(0, |per_row| zero_points[at(per_row, direction, row)]);
            for column in 0..columns {
                let value = values[(direction * columns + column) * rows + row].wrapping_sub(zero);
                integers[(direction * rows + row) * columns + column] = value as f32;
            }
        }
    }
    let values = Tensor::new(&[directions, rows, columns], integers)?;
    Ok(Matrix { values, scales: scales.to_vec() })
}
