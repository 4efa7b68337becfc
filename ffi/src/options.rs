//! Numbers of C as options. A function takes them as `uint32_t`, so that any number can be checked.

use crate::border::{Code, Failure};
use fused_rnn as rnn;

/// The cell of a network. 0 is a cell that is read off a file.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// What a file says, or where it says nothing its shapes: frnn_network_load.
    OfFile = 0,
    /// LSTM.
    Lstm = 1,
    /// GRU, reset after the recurrent product: PyTorch, Keras.
    GruResetAfter = 2,
    /// GRU, reset before the recurrent product: ONNX's default.
    GruResetBefore = 3,
    /// Elman layer with tanh.
    ElmanTanh = 4,
    /// Elman layer with a rectifier.
    ElmanRelu = 5,
    /// Minimal GRU (Feng et al. 2024): gates z and n see the input alone.
    MinGru = 6,
    /// Minimal LSTM (the same): gates i, f and g see the input alone; it has no cell state.
    MinLstm = 7,
    /// Independently recurrent layer (Li et al. 2018): of each unit, its own state alone.
    IndRnn = 8,
    /// Multiplicative LSTM (Krause et al. 2016).
    LstmMultiplicative = 9,
    /// sLSTM of xLSTM (Beck et al. 2024), whose states are h, c, n and m: frnn_pass_set_plane.
    Slstm = 10,
}

/// A function of each value.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    Linear = 0,
    /// 1 / (1 + e^-x)
    Sigmoid = 1,
    /// The hyperbolic tangent.
    Tanh = 2,
    /// max(0, x)
    Relu = 3,
    /// x, and e^x - 1 below 0.
    Elu = 4,
    /// x / (1 + |x|)
    Softsign = 5,
    /// x / 6 + 1/2, within 0 and 1: Keras's.
    HardSigmoid = 6,
}

/// The direction of time.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the beginning to the end.
    Forward = 0,
    /// From the end of each row to its beginning.
    Reverse = 1,
    /// Both; outputs lie side by side, forward first.
    Both = 2,
}

/// The order of the axes of a sequence.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// (batch, steps, features)
    BatchFirst = 0,
    /// (steps, batch, features)
    TimeMajor = 1,
}

/// The bias vectors of a layer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// bias_ih and bias_hh, as in PyTorch.
    Double = 0,
    /// bias_ih alone, as Keras's LSTM.
    Single = 1,
    /// No bias.
    None = 2,
}

/// The initial values of the weights.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// As PyTorch begins.
    Pytorch = 0,
    /// As Keras begins.
    Keras = 1,
    /// Zeros.
    Zero = 2,
}

/// How weights are stored and multiplied. Inputs, outputs and states are f32 in all of them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Weights and values in f32.
    F32 = 0,
    /// Weights in bf16, values in f32.
    Bf16Weights = 1,
    /// Weights and values in bf16.
    Bf16 = 2,
    /// Weights and values in integers of eight bits, with scales. It does not train.
    Int8 = 3,
}

fn unknown<T>(what: &str, got: u32) -> Result<T, Failure> {
    Err(Failure::new(Code::Range, format!("{what}: expected one of frnn_{what}, got {got}")))
}

/// The cell; `None` for the one of the file.
pub(crate) fn cell(number: u32) -> Result<Option<rnn::CellKind>, Failure> {
    Ok(Some(match number {
        0 => return Ok(None),
        1 => rnn::CellKind::Lstm,
        2 => rnn::CellKind::GruResetAfter,
        3 => rnn::CellKind::GruResetBefore,
        4 => rnn::CellKind::ElmanTanh,
        5 => rnn::CellKind::ElmanRelu,
        6 => rnn::CellKind::MinGru,
        7 => rnn::CellKind::MinLstm,
        8 => rnn::CellKind::IndRnn,
        9 => rnn::CellKind::LstmMultiplicative,
        10 => rnn::CellKind::Slstm,
        got => return unknown("cell", got),
    }))
}

/// The number of a cell.
pub(crate) fn cell_number(kind: rnn::CellKind) -> u32 {
    match kind {
        rnn::CellKind::Lstm => 1,
        rnn::CellKind::GruResetAfter => 2,
        rnn::CellKind::GruResetBefore => 3,
        rnn::CellKind::ElmanTanh => 4,
        rnn::CellKind::ElmanRelu => 5,
        rnn::CellKind::MinGru => 6,
        rnn::CellKind::MinLstm => 7,
        rnn::CellKind::IndRnn => 8,
        rnn::CellKind::LstmMultiplicative => 9,
        rnn::CellKind::Slstm => 10,
        // (The enum may grow.)
        _ => 0,
    }
}

pub(crate) fn activation(number: u32) -> Result<rnn::Activation, Failure> {
    Ok(match number {
        0 => rnn::Activation::Affine { alpha: 1.0, beta: 0.0 },
        1 => rnn::Activation::Sigmoid,
        2 => rnn::Activation::Tanh,
        3 => rnn::Activation::Relu,
        4 => rnn::Activation::Elu { alpha: 1.0 },
        5 => rnn::Activation::Softsign,
        6 => rnn::Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
        got => return unknown("activation", got),
    })
}

pub(crate) fn direction(number: u32) -> Result<rnn::Direction, Failure> {
    Ok(match number {
        0 => rnn::Direction::Forward,
        1 => rnn::Direction::Reverse,
        2 => rnn::Direction::Both,
        got => return unknown("direction", got),
    })
}

pub(crate) fn layout(number: u32) -> Result<rnn::Layout, Failure> {
    Ok(match number {
        0 => rnn::Layout::BatchFirst,
        1 => rnn::Layout::TimeMajor,
        got => return unknown("layout", got),
    })
}

pub(crate) fn bias(number: u32) -> Result<rnn::Bias, Failure> {
    Ok(match number {
        0 => rnn::Bias::Double,
        1 => rnn::Bias::Single,
        2 => rnn::Bias::None,
        got => return unknown("bias", got),
    })
}

pub(crate) fn precision(number: u32) -> Result<rnn::Precision, Failure> {
    Ok(match number {
        0 => rnn::Precision::F32,
        1 => rnn::Precision::Bf16Weights,
        2 => rnn::Precision::Bf16,
        3 => rnn::Precision::Int8,
        got => return unknown("precision", got),
    })
}

/// The number of a precision.
pub(crate) fn precision_number(precision: rnn::Precision) -> u32 {
    match precision {
        rnn::Precision::F32 => 0,
        rnn::Precision::Bf16Weights => 1,
        rnn::Precision::Bf16 => 2,
        rnn::Precision::Int8 => 3,
        // (The enum may grow.)
        _ => 0,
    }
}

pub(crate) fn init(number: u32) -> Result<rnn::Init, Failure> {
    Ok(match number {
        0 => rnn::Init::PyTorch,
        1 => rnn::Init::Keras,
        2 => rnn::Init::Zero,
        got => return unknown("init", got),
    })
}
