//! Why a call was refused.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Tensor};
use std::fmt;

/// The reason for which a layer, or a call of one, was refused. Nothing has been computed then.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// The layer has no such sizes or options, or lengths and flags do not fit: what `fused_rnn` says.
    Layer(fused_rnn::Error),
    /// A tensor is on a device whose memory is not this process's own.
    Device {
        /// The name of the tensor.
        what: String,
        /// Its device, as burn shows it.
        got: String,
    },
    /// A tensor has numbers of another type than `f32`.
    DType {
        /// The name of the tensor.
        what: String,
        /// Its type.
        got: DType,
    },
    /// A tensor has another shape than the layer asks for.
    Shape {
        /// The name of the tensor.
        what: String,
        /// The shape that the layer asks for.
        expected: Vec<usize>,
        /// Its shape.
        got: Vec<usize>,
    },
    /// One of two kinds of layers has nothing that the other has: they cannot be converted.
    Unsupported {
        /// What the other has not.
        what: String,
    },
}

/// Refuses a device whose memory is not slices of this process.
pub(crate) fn check_device(what: &str, device: &Device) -> Result<(), Error> {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => Ok(()),
        _ => Err(Error::Device { what: what.to_owned(), got: format!("{device:?}") }),
    }
}

/// Refuses a tensor elsewhere, of other numbers or of another shape.
pub(crate) fn check<const D: usize>(what: &str, tensor: &Tensor<D>, expected: &[usize]) -> Result<(), Error> {
    check_device(what, &tensor.device())?;
    let (what, dtype, got) = (what.to_owned(), tensor.dtype(), tensor.dims().to_vec());
    match (dtype, got == expected) {
        (DType::F32, true) => Ok(()),
        (DType::F32, false) => Err(Error::Shape { what, expected: expected.to_vec(), got }),
        (got, _) => Err(Error::DType { what, got }),
    }
}

/// Refuses tensors with different strategies of checkpointing, which burn joins in no graph.
pub(crate) fn check_strategies(
    strategies: impl Iterator<Item = Option<GradientCheckpointingStrategy>>,
) -> Result<(), Error> {
    let mut strategies = strategies.flatten();
    let first = strategies.next();
    if strategies.all(|strategy| Some(strategy) == first) {
        return Ok(());
    }
    let what = "tensors with and without gradient checkpointing in one call".to_owned();
    Err(Error::Unsupported { what })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Layer(error) => error.fmt(f),
            Error::Device { what, got } => write!(
                f,
                "device of {what}: expected Device::flex(), with or without autodiff, got {got} (the \
                 kernels run on CPUs, on slices of memory; move the tensor there with `to_device`)"
            ),
            Error::DType { what, got } => write!(f, "type of {what}: expected F32, got {got:?}"),
            Error::Shape { what, expected, got } => {
                write!(f, "shape of {what}: expected {expected:?}, got {got:?}")
            }
            Error::Unsupported { what } => write!(f, "not supported: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<fused_rnn::Error> for Error {
    fn from(error: fused_rnn::Error) -> Self {
        Error::Layer(error)
    }
}
