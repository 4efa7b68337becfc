//! The operation on burn's CPU backend: slices of its tensors in, vectors out that become tensors without a
//! copy.

use super::call::{Call, Input, Kept};
use super::{Layers, Training};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use fused_rnn::{Error, Layout};
use std::sync::Arc;

impl Layers for Flex {
    fn layers(x: FlexTensor, parameters: FlexTensor, state: FlexTensor, call: Arc<Call>) -> FlexTensor {
        let (x, parameters, state) = (Readable::sequences(x, &call), row(parameters), row(state));
        match call.forward(x.input(), slice(&parameters), slice(&state)) {
            Ok(output) => flat(output),
            Err(error) => Flex::failed(&call, error),
        }
    }
}

impl Training for Flex {
    fn train(
        x: FlexTensor,
        parameters: FlexTensor,
        state: FlexTensor,
        call: Arc<Call>,
    ) -> Result<(FlexTensor, Kept), Error> {
        let (x, parameters, state) = (Readable::sequences(x, &call), row(parameters), row(state));
        let (output, kept) = call.train(x.input(), slice(&parameters), slice(&state))?;
        Ok((flat(output), kept))
    }

    fn backward(
        x: FlexTensor,
        gradient: FlexTensor,
        kept: &Kept,
        wanted: [bool; 3],
    ) -> Result<[Option<FlexTensor>; 3], Error> {
        let shape: Vec<usize> = x.shape().iter().copied().collect();
        let (x, gradient) = (Readable::sequences(x, &kept.call), row(gradient));
        let made = kept.backward(x.input(), slice(&gradient), wanted)?;
        let dx = made.x.map(|dx| FlexTensor::from_data(TensorData::new(dx, shape)));
        Ok([dx, made.parameters.map(flat), made.state.map(flat)])
    }

    fn failed(call: &Call, error: Error) -> FlexTensor {
        // (A call fails once.)
        let _ = call.error.set(error);
        flat(Vec::new())
    }
}

/// Sequences whose features lie next to each other.
struct Readable {
    x: FlexTensor,
    /// Where they begin, and the distances of rows and of steps, unless they are contiguous.
    strided: Option<(usize, [usize; 2])>,
}

impl Readable {
    /// A view of a larger tensor, such as a piece of longer sequences or one with two dimensions swapped, is
    /// read where it is. Any other tensor, as with features in reverse order, is copied.
    fn sequences(x: FlexTensor, call: &Call) -> Self {
        let layout = x.layout();
        if layout.is_contiguous() {
            return Readable { x, strided: None };
        }
        let distance =
            |axis: usize| layout.strides().get(axis).and_then(|&stride| usize::try_from(stride).ok());
        let (row, step) = match call.kernel.config().layout() {
            Layout::TimeMajor => (1, 0),
            _ => (0, 1),
        };
        let together = distance(2) == Some(1) || layout.shape()[2] == 1;
        match (distance(row), distance(step)) {
            (Some(row), Some(step)) if together => {
                let begin = layout.start_offset();
                Readable { x, strided: Some((begin, [row, step])) }
            }
            _ => Readable { x: x.to_contiguous(), strided: None },
        }
    }

    fn input(&self) -> Input<'_> {
        match self.strided {
            Some((begin, strides)) => Input {
                values: self.x.storage::<f32>().get(begin..).unwrap_or_default(),
                strides: Some(strides),
            },
            None => Input { values: slice(&self.x), strides: None },
        }
    }
}

/// A tensor whose values lie one after the other.
fn row(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of such a tensor. The layers have checked that its numbers are `f32`.
fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

/// A tensor of one dimension.
fn flat(values: Vec<f32>) -> FlexTensor {
    let len = values.len();
    FlexTensor::from_data(TensorData::new(values, [len]))
}
