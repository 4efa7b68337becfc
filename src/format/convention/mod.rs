//! How each system lays out the weights of a cell, in one table, and the one conversion that obeys it.
//!
//! Systems differ in the order of the gates, in whether a matrix is transposed, in how many bias vectors
//! there are, in the sense of a gate and in constants that they add when they run. None of this changes
//! what can be computed, and all of it is silent when wrong: every order of gates has the same shape.
//!
//! ```text
//! mod.rs      the table of all systems: Convention
//! form.rs     the form of a cell's weights, put together from what systems differ in: Form
//! convert.rs  weights of one cell between a form and ours: the one conversion
//! load.rs     weights of a network from arrays of a form and back, checked
//! arrays.rs   the arrays of a cell, and how their elements follow each other: Arrays, Orientation
//! ```

mod arrays;
mod convert;
mod form;
mod load;

pub use arrays::{Arrays, Orientation};
pub use form::{Biases, Form, Gate};

use super::refused;
use crate::cell::CellKind;
use crate::error::Error;
use crate::layer::Recurrent;

/// Whose convention weights are in.
///
/// Arrays are given one after the other where a system has one per gate, and cut in two where it has one
/// for input and state together. `G` gates, `I` inputs, `H` hidden units, all row-major:
///
/// | system | input | recurrent | gates of the LSTM | of the GRU | bias |
/// |---|---|---|---|---|---|
/// | PyTorch | `weight_ih` (G H, I) | `weight_hh` (G H, H) | i f g o | r z n | `bias_ih`, `bias_hh` |
/// | Keras 3 | `kernel` (I, G H) | `recurrent_kernel` (H, G H) | i f c o | z r h | (G H); GRU reset after (2, G H) |
/// | ONNX | `W` (G H, I) | `R` (G H, H) | i o f c | z r h | `B` (2 G H) |
/// | oneDNN | (I, G, H) | (H, G, H) | i f c o | u r o | (G, H); LBR GRU (4, H): u r o u' |
/// | cuDNN | `linLayerID` 0.. (H, I) each | the rest (H, H) each | i f c o | r i h (i is z), reset after | all of input, then all of hidden |
/// | Keras 2 `CuDNNLSTM`, `CuDNNGRU` | `kernel` (I, G H) | `recurrent_kernel` (H, G H) | i f c o | z r h, reset after | (2 G H) |
/// | TensorFlow `BlockLSTM` | first I rows of `w` (I + H, 4 H) | the rest | i c f o | | `b` |
/// | TensorFlow `BlockLSTMV2` | likewise | | i f c o | | `b` |
/// | TensorFlow `GRUBlockCell` | first I rows of `w_ru` (I + H, 2 H), then of `w_c` (I + H, H) | the rest of each | | r u c, reset before | `b_ru`, `b_c` |
/// | Flax | `ii if ig io`, `ir iz in` (I, H) each | `hi hf hg ho`, `hr hz hn` (H, H) each | i f g o | r z n, reset after | `hi..ho`; `ir iz in`, then `hn` |
/// | Flax NNX | `dense_i.kernel` (I, G H) | `dense_h.kernel` (H, G H) | i f g o | r z n, reset after | LSTM `dense_h.bias`, others `dense_i.bias` |
/// | Haiku | first I rows of `w` (I + H, 4 H); `w_i` | the rest; `w_h` | i g f o, f + 1 | z r a, reset before, z turned round | `b` |
/// | Equinox | `weight_ih` (G H, I) | `weight_hh` (G H, H) | i f g o | r z n, reset after | `bias`; GRU then `bias_n` |
/// | haste | `kernel` (I, G H) | `recurrent_kernel` (H, G H) | i g f o | z r h, reset after | `bias`; GRU then `recurrent_bias` |
/// | burn | `input_gate forget_gate cell_gate output_gate`, `reset_gate update_gate new_gate`: each its `input_transform` (I, H) | each its `hidden_transform` (H, H) | i f g o | r z n | all of input, then all of hidden |
/// | Paddle | `weight_ih` (G H, I) | `weight_hh` (G H, H) | i f c o | r z c, reset after | `bias_ih`, `bias_hh` |
/// | DyNet | `Wx` (4 H, I); `x2z x2r x2h` (H, I) each | `Wh` (4 H, H); `h2z h2r h2h` each | i f o g, f + 1 | z r h, reset before, z turned round | `b`; `bz br bh` |
/// | Core ML | `weight_ih` (4 H, I) | `weight_hh` (4 H, H) | i f o z | | `bias` |
/// | Lasagne | `W_in_to_ingate forgetgate cell outgate`, `resetgate updategate hidden_update` (I, H) each | `W_hid_to_..` (H, H) each | i f c o | r u c, reset after, u turned round | `b_..` |
///
/// CuDNNLSTM's and CuDNNGRU's kernels are for each gate the matrix (H, I), row-major, whose numbers are taken
/// as (I, H). Of DyNet, arrays as `as_array()` gives them, of `VanillaLSTMBuilder` and `GRUBuilder`. Of Flax
/// NNX, `OptimizedLSTMCell`, `GRUCell` and `SimpleCell` (its `LSTMCell` is as Flax's). A form that is not
/// here is put together by [`Form`].
///
/// Peepholes are given and taken as `i, o, f` in ONNX, `i, f, o` in the others that have them (PyTorch's
/// form is this crate's own there), projections as (P, H) in PyTorch's form and (H, P) in oneDNN's.
///
/// ```
/// use fused_rnn::format::{Arrays, Convention};
/// use fused_rnn::{Init, Lstm};
///
/// // One unit over one input: i, o, f, c in ONNX are i, f, g, o here.
/// let mut lstm = Lstm::builder(1, 1).init(Init::Zero, 0).build()?;
/// let onnx = Arrays {
///     input: vec![1.0, 2.0, 3.0, 4.0],
///     recurrent: vec![0.0; 4],
///     ..Arrays::default()
/// };
/// Convention::Onnx.load(&mut lstm, &[onnx])?;
/// assert_eq!(lstm.parameters()[..4], [1.0, 3.0, 4.0, 2.0]);
///
/// let keras = Convention::Keras.save(&lstm)?;
/// assert_eq!(keras[0].input, [1.0, 3.0, 4.0, 2.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Convention {
    /// `torch.nn`, and this crate's own form.
    PyTorch,
    /// Keras 3; the two GRUs (`reset_after`) are distinct cells here.
    Keras,
    /// The operators LSTM, GRU and RNN, one direction at a time.
    Onnx,
    /// oneDNN's `ldigo` weights of one layer and direction.
    OneDnn,
    /// cuDNN's matrices and biases, by `cudnnGetRNNWeightParams`; its `biasMode` is double.
    CuDnn,
    /// `CuDNNLSTM` and `CuDNNGRU` of Keras 2.
    KerasCuDnn,
    /// TensorFlow's `BlockLSTM` and `LSTMBlockCell`, and of TensorFlow 1 `BasicLSTMCell` and `LSTMCell`.
    BlockLstm {
        /// The operator's attribute, added to the forget gate when it runs; 1 where it is not set.
        forget_bias: f32,
    },
    /// TensorFlow's `BlockLSTMV2`, which adds nothing.
    BlockLstmV2,
    /// TensorFlow's `GRUBlockCell`, and `GRUCell` of TensorFlow 1.
    GruBlock,
    /// Flax's `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` and `SimpleCell`.
    Flax,
    /// `OptimizedLSTMCell`, `GRUCell` and `SimpleCell` of Flax NNX.
    Nnx,
    /// Haiku's `LSTM`, `GRU` and `VanillaRNN`.
    Haiku,
    /// Equinox's `LSTMCell` and `GRUCell`.
    Equinox,
    /// LMNT's haste: `LSTM` and `GRU`.
    Haste,
    /// burn's `Lstm`, `Gru` and `Rnn`.
    Burn,
    /// Paddle's `LSTM`, `GRU` and `SimpleRNN`.
    Paddle,
    /// DyNet's `VanillaLSTMBuilder` and `GRUBuilder`.
    DyNet,
    /// Core ML's operator `lstm`.
    CoreMl,
    /// Lasagne's `LSTMLayer`, `GRULayer` and `RecurrentLayer`.
    Lasagne,
}

impl Convention {
    /// The form that this system keeps the weights of a cell in, to change what is different in a model:
    ///
    /// ```
    /// use fused_rnn::CellKind;
    /// use fused_rnn::format::{Convention, Gate};
    ///
    /// // DyNet's builder adds 1 to the forget gate, unless it is told otherwise: here 0.
    /// let form = Convention::DyNet.form(CellKind::Lstm)?.added(Gate::Forget, -1.0);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] where the system has no such cell.
    pub fn form(self, kind: CellKind) -> Result<Form, Error> {
        match self.table(kind) {
            Some(mut form) => {
                form.name = format!("{self:?}").into();
                Ok(form)
            }
            None => Err(refused(format_args!("{self:?}"), "a cell that it has", format_args!("{kind:?}"))),
        }
    }

    /// The table. `None` where the system has no such cell.
    fn table(self, kind: CellKind) -> Option<Form> {
        use CellKind::{ElmanRelu, ElmanTanh, GruResetAfter, GruResetBefore, Lstm};
        use Gate::{Cell, Forget, Input, New, Output, Reset, Update};
        use Orientation::{Columns, ColumnsLastApart, ColumnsPerGate, Rows, RowsAsColumns};
        const IOFC: [Gate; 4] = [Input, Output, Forget, Cell];
        const ICFO: [Gate; 4] = [Input, Cell, Forget, Output];
        const IFOC: [Gate; 4] = [Input, Forget, Output, Cell];
        const ZRN: [Gate; 3] = [Update, Reset, New];
        const PEEPHOLES: Option<[Gate; 3]> = Some([Input, Forget, Output]);
        let gru = matches!(kind, GruResetAfter | GruResetBefore);
        if !(gru || matches!(kind, Lstm | ElmanTanh | ElmanRelu)) {
            return None;
        }
        let ours = Form::new(kind);
        // What most systems have not.
        let plain = |orientation, biases| {
            Form::new(kind).orientation(orientation).biases(biases).peepholes(None).projection(None)
        };
        let zrn = |form: Form| if gru { form.order(&ZRN) } else { form };
        Some(match self {
            Convention::PyTorch => ours,
            Convention::CuDnn | Convention::Paddle if kind == GruResetBefore => return None,
            Convention::CuDnn | Convention::Paddle => plain(Rows, Biases::Both),
            Convention::Keras if kind == GruResetAfter => zrn(plain(Columns, Biases::Both)),
            Convention::Keras => zrn(plain(Columns, Biases::Input)),
            Convention::KerasCuDnn if matches!(kind, Lstm | GruResetAfter) => {
                zrn(plain(RowsAsColumns, Biases::Both))
            }
            Convention::KerasCuDnn => return None,
            Convention::Onnx if kind == Lstm => {
                plain(Rows, Biases::Both).order(&IOFC).peepholes(Some([Input, Output, Forget]))
            }
            Convention::Onnx => zrn(plain(Rows, Biases::Both)),
            Convention::OneDnn if kind == GruResetAfter => zrn(plain(Columns, Biases::InputAndNew)),
            Convention::OneDnn if kind == Lstm => {
                plain(Columns, Biases::Input).peepholes(PEEPHOLES).projection(Some(Columns))
            }
            Convention::OneDnn => zrn(plain(Columns, Biases::Input)),
            Convention::BlockLstm { forget_bias } if kind == Lstm => {
                plain(Columns, Biases::Input).order(&ICFO).peepholes(PEEPHOLES).added(Forget, forget_bias)
            }
            Convention::BlockLstmV2 if kind == Lstm => plain(Columns, Biases::Input).peepholes(PEEPHOLES),
            Convention::BlockLstm { .. } | Convention::BlockLstmV2 => return None,
            Convention::GruBlock if kind == GruResetBefore => plain(ColumnsLastApart, Biases::Input),
            Convention::GruBlock => return None,
            Convention::Flax | Convention::Nnx | Convention::Haste | Convention::Equinox
                if kind == GruResetBefore =>
            {
                return None;
            }
            Convention::Flax if gru => plain(ColumnsPerGate, Biases::InputAndNew),
            Convention::Flax => plain(ColumnsPerGate, Biases::Input),
            Convention::Nnx if kind == Lstm => plain(Columns, Biases::Recurrent),
            Convention::Nnx => plain(Columns, Biases::Input),
            Convention::Haiku => match kind {
                Lstm => plain(Columns, Biases::Input).order(&ICFO).added(Forget, 1.0),
                GruResetBefore => zrn(plain(Columns, Biases::Input)).turned(&[Update]),
                GruResetAfter => return None,
                _ => plain(Columns, Biases::Both),
            },
            Convention::Equinox => match kind {
                Lstm => plain(Rows, Biases::Input),
                GruResetAfter => plain(Rows, Biases::InputAndNew),
                _ => return None,
            },
            Convention::Haste => match kind {
                Lstm => plain(Columns, Biases::Input).order(&ICFO),
                GruResetAfter => zrn(plain(Columns, Biases::Both)),
                _ => return None,
            },
            Convention::Burn => plain(ColumnsPerGate, Biases::Both),
            Convention::DyNet => match kind {
                Lstm => plain(Rows, Biases::Input).order(&IFOC).added(Forget, 1.0),
                GruResetBefore => zrn(plain(Rows, Biases::Input)).turned(&[Update]),
                _ => return None,
            },
            Convention::CoreMl if kind == Lstm => {
                plain(Rows, Biases::Input).order(&IFOC).peepholes(PEEPHOLES)
            }
            Convention::CoreMl => return None,
            Convention::Lasagne => match kind {
                Lstm => plain(ColumnsPerGate, Biases::Input).peepholes(PEEPHOLES),
                GruResetAfter => plain(ColumnsPerGate, Biases::Input).turned(&[Update]),
                GruResetBefore => return None,
                _ => plain(ColumnsPerGate, Biases::Input),
            },
        })
    }

    /// Puts weights of this convention into a network: `cells` has one entry for each direction of each
    /// layer, at `layer * directions + direction`.
    ///
    /// Where the network has one bias vector and the weights have two, it gets their sum.
    ///
    /// # Errors
    /// [`Error::Format`] where the system has no such cell, and the errors of [`Form::load`]. The network is
    /// then as before.
    pub fn load(self, network: &mut Recurrent, cells: &[Arrays]) -> Result<(), Error> {
        self.form(network.config().kind())?.load(network, cells)
    }

    /// The weights of a network in this convention, one entry for each direction of each layer.
    ///
    /// Where the system has one bias vector and the network has two, it gets their sum.
    ///
    /// # Errors
    /// [`Error::Format`] where the system has no such cell, and the errors of [`Form::save`].
    pub fn save(self, network: &Recurrent) -> Result<Vec<Arrays>, Error> {
        self.form(network.config().kind())?.save(network)
    }
}
