//! `com.microsoft.DynamicQuantizeLSTM`: an LSTM whose weights are bytes.
//!
//! ```text
//! W (D, I, 4 H), R (D, H, 4 H)       of int8 or uint8, transposed in comparison with LSTM
//! scales and zero points             (D), or (D, 4 H) with one for each row of LSTM's W and R
//! ```
//!
//! ONNX Runtime quantises x and h in each step as well and multiplies bytes. Here the weights become f32
//! once, and what is computed is the LSTM that these weights say: nearer to the model before it was
//! quantised, and some 1e-2 from ONNX Runtime's numbers.

use super::super::{Tensor, refused};
use super::fold::Array;
use crate::error::{Error, zeros};

/// W or R as an LSTM has it, (D, 4 H, columns).
pub(super) fn dequantized(
    name: &str,
    bytes: &Array,
    scale: &Array,
    zero_point: Option<&Array>,
) -> Result<Tensor, Error> {
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
            let expected = format!("shape [{directions}] or [{directions}, {rows}]");
            Err(refused(format!("{name}, {what}"), expected, format!("{other:?}")))
        }
    };
    let scale_per_row = per_row(scale, "scale")?;
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
    let mut floats = zeros("weights", &[directions, rows, columns])?;
    for direction in 0..directions {
        for row in 0..rows {
            let scale = scales[at(scale_per_row, direction, row)];
            let zero = zero_per_row.map_or(0, |per_row| zero_points[at(per_row, direction, row)]);
            for column in 0..columns {
                let value = values[(direction * columns + column) * rows + row].wrapping_sub(zero);
                floats[(direction * rows + row) * columns + column] = value as f32 * scale;
            }
        }
    }
    Tensor::new(&[directions, rows, columns], floats)
}
