//! An operator with its weights, and one run of it in ONNX's shapes.
//!
//! ```text
//! layout 0   X (T, B, I)   Y (T, D, B, H)   initial and final states (D, B, H)
//! layout 1   X (B, T, I)   Y (B, T, D, H)   initial and final states (B, D, H)
//! ```
//!
//! This crate's outputs are `(T, B, D * H)` and `(B, T, D * H)`: the second is layout 1 as it stands.

use super::super::{Arrays, Convention, Tensor, refused};
use super::operator::{EmptyRows, Kind, Operator};
use crate::error::{Error, zeros};
use crate::layer::{Dims, Layout, Recurrent, Workspace};
use crate::product::Precision;

/// The weights of an operator.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// The weights of the input, `W`: (D, G H, I).
    pub w: &'a Tensor,
    /// The weights of the hidden state, `R`: (D, G H, H).
    pub r: &'a Tensor,
    /// `B`, (D, 2 G H); zeros where there is none.
    pub b: Option<&'a Tensor>,
    /// `P`, the peepholes i, o, f of an LSTM, (D, 3 H).
    pub p: Option<&'a Tensor>,
}

/// The inputs of a run of an operator.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The sequence, `X`.
    pub x: &'a Tensor,
    /// The length of each row; all are T where there is none.
    pub sequence_lens: Option<&'a [i64]>,
    /// The initial hidden states; zeros where there are none.
    pub initial_h: Option<&'a Tensor>,
    /// Only of an LSTM; zeros where there is none.
    pub initial_c: Option<&'a Tensor>,
}

/// The outputs of a run of an operator.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// All hidden states; zeros past the end of a row.
    pub y: Tensor,
    /// The final hidden states.
    pub y_h: Tensor,
    /// The final cell states of an LSTM.
    pub y_c: Option<Tensor>,
}

/// An operator with its weights.
#[derive(Debug, Clone)]
pub struct Node {
    operator: Operator,
    layer: Recurrent,
}

impl Node {
    /// Makes the layer of an operator with these weights.
    ///
    /// # Errors
    /// [`Error::Format`] where a weight has another shape or an attribute belongs to another operator, and
    /// the errors of [`Builder::build`](crate::Builder::build).
    pub fn new(operator: Operator, weights: &Weights<'_>) -> Result<Node, Error> {
        Node::with_scales(operator, weights, [&[]; 2], Precision::F32)
    }

    /// The same with scales of W and of R, where these are integers: in this precision.
    pub(super) fn with_scales(
        operator: Operator,
        weights: &Weights<'_>,
        scales: [&[f32]; 2],
        precision: Precision,
    ) -> Result<Node, Error> {
        let layer = network(&operator, &[(*weights, scales)], precision)?;
        Ok(Node { operator, layer })
    }

    /// The attributes of the operator.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The layer that the operator is.
    pub fn layer(&self) -> &Recurrent {
        &self.layer
    }

    /// The node in another precision, as of [`Recurrent::in_precision`].
    ///
    /// # Errors
    /// As for [`Recurrent::in_precision`].
    pub fn in_precision(&self, precision: Precision) -> Result<Node, Error> {
        Ok(Node { operator: self.operator.clone(), layer: self.layer.in_precision(precision)? })
    }

    /// The layer, without the operator's shapes.
    pub fn into_layer(self) -> Recurrent {
        self.layer
    }

    /// Runs sequences through the operator.
    ///
    /// # Errors
    /// [`Error::Format`] where an input has another shape, or a length is not in `0..=T`, and the errors of
    /// [`Recurrent::forward`].
    pub fn run(&self, inputs: &Inputs<'_>) -> Result<Outputs, Error> {
        let config = self.layer.config();
        let &[outer, inner, features] = inputs.x.shape() else {
            return Err(refused("X", "three axes", format!("shape {:?}", inputs.x.shape())));
        };
        let time_major = self.operator.layout == Layout::TimeMajor;
        let (steps, batch) = if time_major { (outer, inner) } else { (inner, outer) };
        let (directions, hidden) = (self.operator.directions(), config.hidden_size());
        if features != config.input_size() {
            return Err(refused("X", format!("{} features", config.input_size()), features.to_string()));
        }
        let lengths = inputs.sequence_lens.map(|lengths| row_lengths(lengths, batch, steps)).transpose()?;

        let state_shape = if time_major { [directions, batch, hidden] } else { [batch, directions, hidden] };
        // (D, B, H) from the operator's shape, or the other way: the same exchange of axes.
        let exchange = |values: &[f32], back: bool| match time_major {
            true => values.to_vec(),
            false if back => swapped(values, directions, batch, hidden),
            false => swapped(values, batch, directions, hidden),
        };
        let mut state = self.layer.zero_state(batch)?;
        if let Some(h) = inputs.initial_h {
            h.check_shape("initial_h", &state_shape)?;
            state.set_h(&exchange(h.values(), false))?;
        }
        if let Some(c) = inputs.initial_c {
            if self.operator.kind != Kind::Lstm {
                return Err(refused("initial_c", "none, as this is no LSTM", "some"));
            }
            c.check_shape("initial_c", &state_shape)?;
            state.set_c(&exchange(c.values(), false))?;
        }

        let mut y = zeros("Y", &[batch, steps, directions, hidden])?;
        let dims = Dims::new(batch, steps);
        let dims = lengths.as_deref().map_or(dims, |lengths| dims.with_lengths(lengths));
        self.layer.forward(inputs.x.values(), dims, &mut state, Some(&mut y), &mut Workspace::new())?;

        let y = if time_major && directions > 1 {
            let step = batch * directions * hidden;
            let steps = y.chunks_exact(step.max(1));
            let y: Vec<f32> = steps.flat_map(|step| swapped(step, batch, directions, hidden)).collect();
            Tensor::new(&[outer, directions, batch, hidden], y)?
        } else if time_major {
            Tensor::new(&[steps, 1, batch, hidden], y)?
        } else {
            Tensor::new(&[batch, steps, directions, hidden], y)?
        };
        let finish = |mut values: Vec<f32>| {
            if self.operator.empty_rows == EmptyRows::OnnxRuntimeZero {
                for (index, values) in values.chunks_exact_mut(hidden).enumerate() {
                    if lengths.as_ref().map_or(steps, |lengths| lengths[index % batch]) == 0 {
                        values.fill(0.0);
                    }
                }
            }
            Tensor::new(&state_shape, exchange(&values, true))
        };
        let y_c = if self.operator.kind == Kind::Lstm { Some(finish(state.c())?) } else { None };
        Ok(Outputs { y, y_h: finish(state.h())?, y_c })
    }
}

/// Layers of the same operator above each other as one network of this precision; each has weights, and the
/// scales of W and of R where these are integers.
pub(super) fn network(
    operator: &Operator,
    layers: &[(Weights<'_>, [&[f32]; 2])],
    precision: Precision,
) -> Result<Recurrent, Error> {
    let mut checked = Vec::with_capacity(layers.len());
    for (weights, scales) in layers {
        checked.push((check(operator, weights)?, *scales));
    }
    let sizes = checked.first().map(|(weights, _)| (weights.w.shape(), weights.r.shape()));
    let Some((&[.., input], &[.., hidden])) = sizes else { return Err(refused("layers", "some", "none")) };
    let peephole = checked.iter().any(|(weights, _)| weights.p.is_some());
    let builder = operator.builder(input, hidden)?.layers(layers.len()).peephole(peephole);
    let mut network = builder.precision(precision).build()?;
    let cells = |(weights, scales): &(Weights<'_>, _)| cells(weights, *scales, operator, peephole);
    let cells: Vec<Arrays> = checked.iter().flat_map(cells).collect();
    Convention::Onnx.load(&mut network, &cells)?;
    Ok(network)
}

/// Weights of the shapes that an operator has. Peepholes of zero are none: the same numbers, and faster.
pub(super) fn check<'w>(operator: &Operator, weights: &Weights<'w>) -> Result<Weights<'w>, Error> {
    // (The attributes first: they say which shapes are right.)
    _ = operator.builder(1, 1)?;
    let (directions, gates) = (operator.directions(), operator.cell().gates());
    let &[_, rows, input] = weights.w.shape() else {
        return Err(refused("W", "three axes (D, G H, I)", format!("shape {:?}", weights.w.shape())));
    };
    let hidden = rows / gates;
    weights.w.check_shape("W", &[directions, gates.saturating_mul(hidden), input])?;
    weights.r.check_shape("R", &[directions, rows, hidden])?;
    if let Some(b) = weights.b {
        b.check_shape("B", &[directions, rows.saturating_mul(2)])?;
    }
    let Some(p) = weights.p else { return Ok(*weights) };
    if operator.kind != Kind::Lstm {
        return Err(refused("P", "no peepholes, as this is no LSTM", "some"));
    }
    p.check_shape("P", &[directions, hidden.saturating_mul(3)])?;
    Ok(Weights { p: Some(p).filter(|p| p.values().iter().any(|&p| p != 0.0)), ..*weights })
}

/// The arrays of each direction; with peepholes of zero where there are none and there should be.
fn cells(
    weights: &Weights<'_>,
    [input_scales, recurrent_scales]: [&[f32]; 2],
    operator: &Operator,
    peephole: bool,
) -> Vec<Arrays> {
    let directions = operator.directions();
    let of_direction = |values: &[f32], direction: usize| {
        values[values.len() / directions * direction..][..values.len() / directions].to_vec()
    };
    let part = |tensor: Option<&Tensor>, direction: usize| {
        of_direction(tensor.map_or(&[][..], Tensor::values), direction)
    };
    let hidden = weights.r.shape().last().copied().unwrap_or(0);
    let arrays = |direction| Arrays {
        input: part(Some(weights.w), direction),
        recurrent: part(Some(weights.r), direction),
        bias: part(weights.b, direction),
        peephole: match weights.p {
            None if peephole => vec![0.0; 3 * hidden],
            p => part(p, direction),
        },
        input_scales: of_direction(input_scales, direction),
        recurrent_scales: of_direction(recurrent_scales, direction),
        ..Arrays::default()
    };
    (0..directions).map(arrays).collect()
}

fn row_lengths(lengths: &[i64], batch: usize, steps: usize) -> Result<Vec<usize>, Error> {
    if lengths.len() != batch {
        return Err(refused("sequence_lens", format!("{batch} values"), lengths.len().to_string()));
    }
    let length = |&length: &i64| match usize::try_from(length) {
        Ok(length) if length <= steps => Ok(length),
        _ => Err(refused("sequence_lens", format!("lengths in 0..={steps}"), length.to_string())),
    };
    lengths.iter().map(length).collect()
}

/// (b, a, width) from (a, b, width).
pub(super) fn swapped(values: &[f32], a: usize, b: usize, width: usize) -> Vec<f32> {
    let mut to = Vec::with_capacity(values.len());
    for j in 0..b {
        for i in 0..a {
            to.extend_from_slice(&values[(i * b + j) * width..][..width]);
        }
    }
    to
}
