//! The arrays of a cell as a system has them, and how their elements follow each other.

use super::super::{Tensor, refused};
use crate::error::Error;

/// The weights of one direction of one layer, in the form of some [`Convention`](super::Convention) or
/// [`Form`](super::Form). What is empty is not there: a layer without bias, peepholes or projection.
///
/// Where the shapes of arrays are known they are compared with what the form has, so that two systems whose
/// sizes agree are not mixed up: [`Arrays::from_tensors`] keeps them.
///
/// ```
/// use fused_rnn::format::{Arrays, Convention, Tensor};
/// use fused_rnn::Lstm;
///
/// let kernel = Tensor::new(&[3, 8], vec![0.1; 24])?; // (I, 4 H), as Keras has it
/// let arrays = Arrays::from_tensors(kernel, Tensor::new(&[2, 8], vec![0.1; 16])?, None);
/// let mut lstm = Lstm::builder(3, 2).build()?;
/// let error = Convention::PyTorch.load(&mut lstm, &[arrays.clone()]).unwrap_err();
/// assert!(error.to_string().starts_with("weight_ih_l0: expected shape [8, 3]"));
/// Convention::Keras.load(&mut lstm, &[arrays])?;
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrays {
    /// What multiplies the input.
    pub input: Vec<f32>,
    /// What multiplies the hidden state.
    pub recurrent: Vec<f32>,
    /// The bias vectors, one after the other.
    pub bias: Vec<f32>,
    /// The weights from the cell state to the gates, (3, H).
    pub peephole: Vec<f32>,
    /// The projection of the hidden state.
    pub projection: Vec<f32>,
    /// What the numbers of `input` are multiplied by to be weights, where they are quantised: empty for 1,
    /// one for all, or one for each gate and unit, (G H) in the system's order.
    pub input_scales: Vec<f32>,
    /// What the numbers of `recurrent` are multiplied by to be weights, as for `input`.
    pub recurrent_scales: Vec<f32>,
    /// The shape of `input`; empty where it is not known.
    pub input_shape: Vec<usize>,
    /// The shape of `recurrent`; empty where it is not known.
    pub recurrent_shape: Vec<usize>,
    /// The shape of `bias`; empty where it is not known.
    pub bias_shape: Vec<usize>,
}

impl Arrays {
    /// The matrices of the input and of the state and the bias, with their shapes.
    pub fn from_tensors(input: Tensor, recurrent: Tensor, bias: Option<Tensor>) -> Arrays {
        let [input_shape, recurrent_shape] = [&input, &recurrent].map(|tensor| tensor.shape().to_vec());
        Arrays {
            input_shape,
            recurrent_shape,
            bias_shape: bias.as_ref().map(|bias| bias.shape().to_vec()).unwrap_or_default(),
            input: input.into_values(),
            recurrent: recurrent.into_values(),
            bias: bias.map(Tensor::into_values).unwrap_or_default(),
            ..Arrays::default()
        }
    }
}

/// How the elements of a matrix of G gates, H units and K inputs follow each other.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// (G H, K), row-major; the same as one (H, K) for each gate, one after the other. PyTorch, ONNX.
    Rows,
    /// (K, G H), row-major: x W. Keras, TensorFlow, oneDNN, Haiku.
    Columns,
    /// One (K, H) for each gate, row-major, one after the other. Flax, burn, Lasagne.
    ColumnsPerGate,
    /// (K, (G - 1) H) for all gates but the last, row-major, and after it (K, H) for the last. GRUs of
    /// TensorFlow 1 and of Paddle's `fluid`, whose candidate has a matrix of its own.
    ColumnsLastApart,
    /// One (H, K) for each gate, row-major, whose numbers are then taken as (K, H), and these side by side as
    /// (K, G H). CuDNNLSTM and CuDNNGRU of Keras 2.
    RowsAsColumns,
}

impl Orientation {
    /// Where element (gate, unit, k) of a matrix of these sizes stands, gates in the system's order.
    pub(super) fn place(self, [gates, hidden, inputs]: [usize; 3], [gate, unit, k]: [usize; 3]) -> usize {
        match self {
            Orientation::Rows => (gate * hidden + unit) * inputs + k,
            Orientation::Columns => k * gates * hidden + gate * hidden + unit,
            Orientation::ColumnsPerGate => (gate * inputs + k) * hidden + unit,
            Orientation::ColumnsLastApart if gate + 1 == gates => {
                (gates - 1) * hidden * inputs + k * hidden + unit
            }
            Orientation::ColumnsLastApart => k * (gates - 1) * hidden + gate * hidden + unit,
            Orientation::RowsAsColumns => {
                let (row, column) = ((unit * inputs + k) / hidden, (unit * inputs + k) % hidden);
                row * gates * hidden + gate * hidden + column
            }
        }
    }

    /// Whether an array has a shape that a matrix of these sizes has, where it is known.
    pub(super) fn check_shape(
        self,
        what: &str,
        [gates, hidden, inputs]: [usize; 3],
        shape: &[usize],
    ) -> Result<(), Error> {
        let flat = match self {
            Orientation::Rows => [gates * hidden, inputs],
            Orientation::ColumnsPerGate => [gates * inputs, hidden],
            _ => [inputs, gates * hidden],
        };
        let apart = match self {
            Orientation::Rows => [gates, hidden, inputs],
            Orientation::ColumnsPerGate => [gates, inputs, hidden],
            _ => [inputs, gates, hidden],
        };
        if shape.len() < 2 || shape == flat || shape == apart {
            return Ok(());
        }
        Err(refused(what, format_args!("shape {flat:?} (or {apart:?})"), format_args!("shape {shape:?}")))
    }
}
