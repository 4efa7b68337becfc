//! Why a call was refused.

use burn::tensor::DType;
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
        what: &'static str,
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
