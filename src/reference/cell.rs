//! Which cell, and which activations and clips it has.

use super::real::{Real, normal_distribution, sigmoid, sigmoid_slope, tanh_slope};
use crate::CellKind;

/// What happens at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent unit whose reset gate scales the recurrent product of the candidate.
    GruResetAfter,
    /// Gated recurrent unit whose reset gate scales the state before the product.
    GruResetBefore,
    /// Elman network with tanh.
    ElmanTanh,
    /// Elman network with a rectifier.
    ElmanRelu,
    /// Minimal GRU.
    MinGru,
    /// Minimal LSTM.
    MinLstm,
    /// Independently recurrent network.
    IndRnn,
    /// Multiplicative LSTM.
    LstmMultiplicative,
    /// sLSTM of xLSTM.
    Slstm,
}

/// By name: of the crate the reference knows nothing more.
impl From<CellKind> for Cell {
    fn from(kind: CellKind) -> Cell {
        match kind {
            CellKind::Lstm => Cell::Lstm,
            CellKind::GruResetAfter => Cell::GruResetAfter,
            CellKind::GruResetBefore => Cell::GruResetBefore,
            CellKind::ElmanTanh => Cell::ElmanTanh,
            CellKind::ElmanRelu => Cell::ElmanRelu,
            CellKind::MinGru => Cell::MinGru,
            CellKind::MinLstm => Cell::MinLstm,
            CellKind::IndRnn => Cell::IndRnn,
            CellKind::LstmMultiplicative => Cell::LstmMultiplicative,
            CellKind::Slstm => Cell::Slstm,
        }
    }
}

impl Cell {
    /// `G`, the number of blocks of `H` rows in `W`.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm | Cell::Slstm => 4,
            Cell::LstmMultiplicative => 5,
            Cell::GruResetAfter | Cell::GruResetBefore | Cell::MinLstm => 3,
            Cell::MinGru => 2,
            Cell::ElmanTanh | Cell::ElmanRelu | Cell::IndRnn => 1,
        }
    }

    /// The number of blocks of `H` rows in `R`: as many, or none.
    pub fn recurrent_gates(self) -> usize {
        match self {
            Cell::MinGru | Cell::MinLstm | Cell::IndRnn => 0,
            Cell::Lstm | Cell::GruResetAfter | Cell::GruResetBefore | Cell::ElmanTanh | Cell::ElmanRelu => {
                self.gates()
            }
            Cell::LstmMultiplicative | Cell::Slstm => self.gates(),
        }
    }

    /// Whether `weight_hh` is a vector: the diagonal of `R`.
    pub fn is_diagonal(self) -> bool {
        self == Cell::IndRnn
    }

    /// The activations of the plain cell, in ONNX's order: LSTM f (i, f, o), g (candidate), h (output); GRU
    /// f, g; Elman and `IndRnn` f; `MinGru` f, g; `MinLstm` g.
    pub fn activations(self) -> &'static [Activation] {
        match self {
            Cell::Lstm | Cell::LstmMultiplicative => {
                &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh]
            }
            Cell::GruResetAfter | Cell::GruResetBefore => &[Activation::Sigmoid, Activation::Tanh],
            Cell::ElmanTanh => &[Activation::Tanh],
            Cell::ElmanRelu | Cell::IndRnn => &[Activation::Relu],
            Cell::MinGru => &[Activation::Sigmoid, Activation::Affine(1.0, 0.0)],
            Cell::MinLstm => &[Activation::Affine(1.0, 0.0)],
            Cell::Slstm => &[],
        }
    }

    /// The width of the cell state, which only LSTMs have: of `Slstm` that of c, n and m.
    pub fn cell_size(self, hidden: usize) -> usize {
        match self {
            Cell::Lstm | Cell::LstmMultiplicative => hidden,
            Cell::Slstm => 3 * hidden,
            Cell::GruResetAfter | Cell::GruResetBefore | Cell::MinGru | Cell::MinLstm => 0,
            Cell::ElmanTanh | Cell::ElmanRelu | Cell::IndRnn => 0,
        }
    }

    /// How many rows of `R` multiply `h`. The rest, the candidate of `GruResetBefore`, multiply `r * h`, and
    /// the gates of `LstmMultiplicative` m.
    pub(super) fn plain_rows(self, hidden: usize) -> usize {
        match self {
            Cell::GruResetBefore => 2 * hidden,
            Cell::LstmMultiplicative => hidden,
            _ => self.recurrent_gates() * hidden,
        }
    }
}

/// The activations of ONNX, with parameters `alpha` and `beta`, and the elementwise ones of Keras: `Clamp`
/// with its bounds, `SoftShrink` and `HardShrink` with `lambda`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Activation {
    Sigmoid,
    Tanh,
    Relu,
    LeakyRelu(f64),
    ThresholdedRelu(f64),
    ScaledTanh(f64, f64),
    HardSigmoid(f64, f64),
    Elu(f64),
    Softsign,
    Softplus,
    Affine(f64, f64),
    Silu,
    Gelu,
    Selu,
    Exponential,
    HardSilu,
    Clamp(f64, f64),
    Mish,
    LogSigmoid,
    SoftShrink(f64),
    HardShrink(f64),
    TanhShrink,
    SquarePlus,
    SparsePlus,
}

impl Activation {
    /// Value and slope at `v`.
    pub fn at<F: Real>(self, v: F) -> (F, F) {
        let (zero, one, real) = (F::ZERO, F::ONE, F::from_f64);
        let magnitude = if v < zero { -v } else { v };
        match self {
            Activation::Sigmoid => (sigmoid(v), sigmoid_slope(sigmoid(v))),
            Activation::Tanh => (v.tanh(), tanh_slope(v.tanh())),
            Activation::Relu if v <= zero => (zero, zero),
            Activation::LeakyRelu(alpha) if v < zero => (real(alpha) * v, real(alpha)),
            Activation::ThresholdedRelu(alpha) if v < real(alpha) => (zero, zero),
            Activation::Elu(alpha) if v < zero => (real(alpha) * v.exp_m1(), real(alpha) * v.exp()),
            Activation::Relu
            | Activation::LeakyRelu(_)
            | Activation::ThresholdedRelu(_)
            | Activation::Elu(_) => (v, one),
            Activation::ScaledTanh(alpha, beta) => {
                let t = (real(beta) * v).tanh();
                (real(alpha) * t, real(alpha) * real(beta) * tanh_slope(t))
            }
            Activation::HardSigmoid(alpha, beta) => match real(alpha) * v + real(beta) {
                line if line < zero => (zero, zero),
                line if line > one => (one, zero),
                line => (line, real(alpha)),
            },
            Activation::Softsign => (v / (one + magnitude), one / ((one + magnitude) * (one + magnitude))),
            Activation::Softplus => {
                let positive = if v < zero { zero } else { v };
                (positive + (-magnitude).exp().ln_1p(), sigmoid(v))
            }
            Activation::Affine(alpha, beta) => (real(alpha) * v + real(beta), real(alpha)),
            Activation::Silu => through(v, sigmoid(v), sigmoid_slope(sigmoid(v))),
            Activation::Gelu => {
                let half = real(-0.5) * v * v;
                let density = half.exp() * real(1.0 / std::f64::consts::TAU.sqrt());
                through(v, real(normal_distribution(v.to_f64())), density)
            }
            Activation::Selu => {
                let (scale, alpha) = (real(1.050_700_987_355_480_5), 1.673_263_242_354_377_2);
                let (value, slope) = Activation::Elu(alpha).at(v);
                (scale * value, scale * slope)
            }
            Activation::Exponential => (v.exp(), v.exp()),
            Activation::HardSilu => {
                let (gate, slope) = Activation::HardSigmoid(1.0 / 6.0, 0.5).at(v);
                through(v, gate, slope)
            }
            Activation::Clamp(low, _) if v < real(low) => (real(low), zero),
            Activation::Clamp(_, high) if v > real(high) => (real(high), zero),
            Activation::Clamp(..) => (v, one),
            Activation::Mish => {
                let (inner, slope) = Activation::Softplus.at(v);
                through(v, inner.tanh(), tanh_slope(inner.tanh()) * slope)
            }
            Activation::LogSigmoid => {
                let (value, slope) = Activation::Softplus.at(-v);
                (-value, slope)
            }
            Activation::SoftShrink(lambda) if v > real(lambda) => (v - real(lambda), one),
            Activation::SoftShrink(lambda) if -v > real(lambda) => (v + real(lambda), one),
            Activation::HardShrink(lambda) if magnitude > real(lambda) => (v, one),
            Activation::SoftShrink(_) | Activation::HardShrink(_) => (zero, zero),
            Activation::TanhShrink => (v - v.tanh(), v.tanh() * v.tanh()),
            Activation::SquarePlus => {
                let root = (v * v + real(4.0)).sqrt();
                ((v + root) * real(0.5), (one + v / root) * real(0.5))
            }
            Activation::SparsePlus if v > one => (v, one),
            Activation::SparsePlus if v < -one => (zero, zero),
            Activation::SparsePlus => ((v + one) * (v + one) * real(0.25), (v + one) * real(0.5)),
        }
    }
}

/// Value and slope of `v * gate` from those of the gate.
fn through<F: Real>(v: F, gate: F, slope: F) -> (F, F) {
    (v * gate, gate + v * slope)
}

/// What a cell computes besides its plain form, which is the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variant {
    /// In place of the [cell's own](Cell::activations), in the same order.
    pub activations: Option<Vec<Activation>>,
    /// The bound of the arguments of all activations but that of the output.
    pub clip: Option<f64>,
    /// The bound of the cell state.
    pub cell_clip: Option<f64>,
    /// Whether f = 1 - i. The rows of f are then not used.
    pub coupled: bool,
}

impl Variant {
    /// The activation at a place of ONNX's order.
    pub(super) fn activation(&self, cell: Cell, place: usize) -> Activation {
        self.activations.as_deref().unwrap_or(cell.activations())[place]
    }

    /// Value and slope of the activation at a place, clipped.
    pub(super) fn gate<F: Real>(&self, cell: Cell, place: usize, v: F) -> (F, F) {
        self.clipped(self.activation(cell, place), v)
    }

    /// Value and slope of an activation, clipped.
    fn clipped<F: Real>(&self, activation: Activation, v: F) -> (F, F) {
        let (clamped, open) = clamp(v, self.clip);
        let (value, slope) = activation.at(clamped);
        (value, open * slope)
    }

    /// Value and slope of a gate that is a sigmoid, clipped, and no less than 2^-125.
    pub(super) fn divisor<F: Real>(&self, v: F) -> (F, F) {
        let (least, (value, slope)) =
            (F::from_f64(2.0 * f64::from(f32::MIN_POSITIVE)), self.clipped(Activation::Sigmoid, v));
        if value <= least { (least, F::ZERO) } else { (value, slope) }
    }
}

/// `v` clamped to a magnitude, and the slope of that.
pub(super) fn clamp<F: Real>(v: F, bound: Option<f64>) -> (F, F) {
    match bound.map(F::from_f64) {
        Some(bound) if v > bound => (bound, F::ZERO),
        Some(bound) if v < -bound => (-bound, F::ZERO),
        _ => (v, F::ONE),
    }
}
