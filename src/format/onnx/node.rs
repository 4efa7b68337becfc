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

    /// Frees the parameters in f32 of its layer, which [`run`](Node::run) does not need
    /// ([`Recurrent::drop_parameters`]). Outputs are the same bits as before.
    pub fn drop_parameters(&mut self) {
        self.layer.drop_parameters();
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
            return Err(refused("X", "three axes", format_args!("shape {:?}", inputs.x.shape())));
        };
        let time_major = self.operator.layout == Layout::TimeMajor;
        let (steps, batch) = if time_major { (outer, inner) } else { (inner, outer) };
        let (directions, hidden) = (self.operator.directions(), config.hidden_size());
        if features != config.input_size() {
            return Err(refused("X", format_args!("{} features", config.input_size()), features));
        }
        let lengths = inputs.sequence_lens.map(|lengths| row_lengths(lengths, batch, steps)).transpose()?;

        let state_shape = if time_major { [directions, batch, hidden] } else { [batch, directions, hidden] };
        let mut state = self.layer.zero_state(batch)?;
        if let Some(h) = inputs.initial_h {
            h.check_shape("initial_h", &state_shape)?;
            state.set_h(&self.exchanged(h.values(), batch, directions))?;
        }
        if let Some(c) = inputs.initial_c {
            if self.operator.kind != Kind::Lstm {
                return Err(refused("initial_c", "none, as this is no LSTM", "some"));
            }
            c.check_shape("initial_c", &state_shape)?;
            state.set_c(&self.exchanged(c.values(), batch, directions))?;
        }

        let mut y = zeros("Y", &[batch, steps, directions, hidden])?;
        let dims = Dims::new(batch, steps);
        let dims = lengths.as_deref().map_or(dims, |lengths| dims.with_lengths(lengths));
        self.layer.forward(inputs.x.values(), dims, &mut state, Some(&mut y), &mut Workspace::new())?;

        let y = if time_major && directions > 1 {
            let mut of_directions = Vec::with_capacity(y.len());
            for step in y.chunks_exact((batch * directions * hidden).max(1)) {
                of_directions.extend(swapped(step, batch, directions, hidden));
            }
            Tensor::new(&[outer, directions, batch, hidden], of_directions)?
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
            Tensor::new(&state_shape, self.exchanged(&values, directions, batch))
        };
        let y_c = if self.operator.kind == Kind::Lstm { Some(finish(state.c())?) } else { None };
        Ok(Outputs { y, y_h: finish(state.h())?, y_c })
    }

    /// States of the operator as (D, B, H), or back: from (a, b, H) to (b, a, H) where rows come first.
    fn exchanged(&self, values: &[f32], a: usize, b: usize) -> Vec<f32> {
        match self.operator.layout {
            Layout::TimeMajor => values.to_vec(),
            Layout::BatchFirst => swapped(values, a, b, self.layer.config().hidden_size()),
        }
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
    let mut arrays = Vec::new();
    for (weights, scales) in &checked {
        cells(weights, *scales, operator, peephole, &mut arrays);
    }
    Convention::Onnx.load(&mut network, &arrays)?;
    Ok(network)
}

/// Weights of the shapes that an operator has. Peepholes of zero are none: the same numbers, and faster.
pub(super) fn check<'w>(operator: &Operator, weights: &Weights<'w>) -> Result<Weights<'w>, Error> {
    // (The attributes first: they say which shapes are right.)
    _ = operator.builder(1, 1)?;
    let (directions, gates) = (operator.directions(), operator.cell().gates());
    let &[_, rows, input] = weights.w.shape() else {
        return Err(refused("W", "three axes (D, G H, I)", format_args!("shape {:?}", weights.w.shape())));
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

/// Adds the arrays of each direction; with peepholes of zero where there are none and there should be.
fn cells(
    weights: &Weights<'_>,
    [input_scales, recurrent_scales]: [&[f32]; 2],
    operator: &Operator,
    peephole: bool,
    to: &mut Vec<Arrays>,
) {
    let hidden = weights.r.shape().last().copied().unwrap_or(0);
    for direction in 0..operator.directions() {
        // Of each direction as many.
        let part = |values: &[f32]| {
            let count = values.len() / operator.directions();
            values[count * direction..][..count].to_vec()
        };
        let part: &dyn Fn(&[f32]) -> Vec<f32> = &part;
        to.push(Arrays {
            input: part(weights.w.values()),
            recurrent: part(weights.r.values()),
            bias: part(weights.b.map_or(&[], Tensor::values)),
            peephole: match weights.p {
                None if peephole => vec![0.0; 3 * hidden],
                p => part(p.map_or(&[], Tensor::values)),
            },
            input_scales: part(input_scales),
            recurrent_scales: part(recurrent_scales),
            ..Arrays::default()
        });
    }
}

fn row_lengths(lengths: &[i64], batch: usize, steps: usize) -> Result<Vec<usize>, Error> {
    if lengths.len() != batch {
        return Err(refused("sequence_lens", format_args!("{batch} values"), lengths.len()));
    }
    let mut known = Vec::with_capacity(batch);
    for &length in lengths {
        match usize::try_from(length) {
            Ok(length) if length <= steps => known.push(length),
            _ => return Err(refused("sequence_lens", format_args!("lengths in 0..={steps}"), length)),
        }
    }
    Ok(known)
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
