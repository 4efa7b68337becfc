//! How each system lays out the weights of a cell, in one table, and the one conversion that obeys it.
//!
//! Systems differ in the order of the gates, in whether a matrix is transposed, in how many bias vectors
//! there are, in the sense of a gate and in constants that they add when they run. None of this changes
//! what can be computed, and all of it is silent when wrong: every order of gates has the same shape.
//!
//! A matrix of ours is `(gates * H, K)`, row-major, K inputs or units. Element (gate, unit, k) of it stands,
//! in every system, at `place(gate) * a + unit * b + k * c` for three strides:
//!
//! ```text
//! Rows      (gates * H, K)      a = H * K   b = K   c = 1            PyTorch, ONNX, Equinox
//! Columns   (K, gates * H)      a = H       b = 1   c = gates * H    Keras, oneDNN, TensorFlow, Haiku, haste
//! PerGate   gates x (K, H)      a = K * H   b = 1   c = H            Flax, burn
//! ```

use super::network::{Cell, Change, cells, suffix};
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
/// | TensorFlow `BlockLSTM` | first I rows of `w` (I + H, 4 H) | the rest | i c f o | | `b` |
/// | TensorFlow `BlockLSTMV2` | likewise | | i f c o | | `b` |
/// | Flax | `ii if ig io`, `ir iz in` (I, H) each | `hi hf hg ho`, `hr hz hn` (H, H) each | i f g o | r z n, reset after | `hi..ho`; `ir iz in`, then `hn` |
/// | Haiku | first I rows of `w` (I + H, 4 H); `w_i` | the rest; `w_h` | i g f o, f + 1 | z r a, reset before, z turned round | `b` |
/// | Equinox | `weight_ih` (G H, I) | `weight_hh` (G H, H) | i f g o | r z n, reset after | `bias`; GRU then `bias_n` |
/// | haste | `kernel` (I, G H) | `recurrent_kernel` (H, G H) | i g f o | z r h, reset after | `bias`; GRU then `recurrent_bias` |
/// | burn | `input_gate forget_gate cell_gate output_gate`, `reset_gate update_gate new_gate`: each its `input_transform` (I, H) | each its `hidden_transform` (H, H) | i f g o | r z n | all of input, then all of hidden |
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
    /// TensorFlow's `BlockLSTM` and `LSTMBlockCell`.
    BlockLstm {
        /// The operator's attribute, added to the forget gate when it runs; 1 where it is not set.
        forget_bias: f32,
    },
    /// TensorFlow's `BlockLSTMV2`, which adds nothing.
    BlockLstmV2,
    /// Flax's `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` and `SimpleCell`.
    Flax,
    /// Haiku's `LSTM`, `GRU` and `VanillaRNN`.
    Haiku,
    /// Equinox's `LSTMCell` and `GRUCell`.
    Equinox,
    /// LMNT's haste: `LSTM` and `GRU`.
    Haste,
    /// burn's `Lstm`, `Gru` and `Rnn`.
    Burn,
}

/// The weights of one direction of one layer, in the form of some [`Convention`]. What is empty is not
/// there: a layer without bias, peepholes or projection.
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
}

/// How the elements of a matrix follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Matrix {
    Rows,
    Columns,
    PerGate,
}

impl Matrix {
    /// The strides of gate, unit and k.
    fn strides(self, gates: usize, hidden: usize, k: usize) -> [usize; 3] {
        match self {
            Matrix::Rows => [hidden * k, k, 1],
            Matrix::Columns => [hidden, 1, gates * hidden],
            Matrix::PerGate => [k * hidden, 1, hidden],
        }
    }
}

/// Which bias vectors there are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Biases {
    /// All gates' of the input, then all gates' of the state.
    Two,
    /// One vector for each gate.
    One,
    /// One for each gate, and after them the candidate's of the state, which its reset gate multiplies.
    Candidate,
}

/// What a convention says of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Form {
    matrix: Matrix,
    /// Our gate at each place of the system's order.
    order: &'static [usize],
    biases: Biases,
    /// Our gate that has the opposite sense there: s(-a) = 1 - s(a).
    turned: Option<usize>,
    /// What the system adds to one of our gates when it runs.
    added: Option<(usize, f32)>,
    /// Our peephole (i, f, o) at each place, where there are peepholes.
    peepholes: Option<[usize; 3]>,
    /// The projection, seen as one gate, where there is one.
    projection: Option<Matrix>,
}

/// LSTM: our gates are i 0, f 1, g 2, o 3. GRU: r 0, z 1, n 2.
const SAME: [usize; 4] = [0, 1, 2, 3];
const IOFC: [usize; 4] = [0, 3, 1, 2];
const IGFO: [usize; 4] = [0, 2, 1, 3];
const ZRN: [usize; 3] = [1, 0, 2];

impl Convention {
    /// The table. `None` where the system has no such cell.
    fn form(self, kind: CellKind) -> Option<Form> {
        use Biases::{Candidate, One, Two};
        use CellKind::{ElmanRelu, ElmanTanh, GruResetAfter, GruResetBefore, Lstm};
        use Matrix::{Columns, PerGate, Rows};
        let form = |matrix, order, biases| {
            let (turned, added, peepholes, projection) = (None, None, None, None);
            Form { matrix, order, biases, turned, added, peepholes, projection }
        };
        let gru = matches!(kind, GruResetAfter | GruResetBefore);
        if !(gru || matches!(kind, Lstm | ElmanTanh | ElmanRelu)) {
            return None;
        }
        let (same, zrn): (&[usize], &[usize]) = (&SAME[..kind.gates()], &ZRN);
        let peepholes = (kind == Lstm).then_some([0, 1, 2]);
        Some(match self {
            Convention::PyTorch => {
                let projection = (kind == Lstm).then_some(Rows);
                Form { peepholes, projection, ..form(Rows, same, Two) }
            }
            Convention::Keras if kind == GruResetAfter => form(Columns, zrn, Two),
            Convention::Keras => form(Columns, if gru { zrn } else { same }, One),
            Convention::Onnx if kind == Lstm => Form { peepholes: Some([0, 2, 1]), ..form(Rows, &IOFC, Two) },
            Convention::Onnx => form(Rows, if gru { zrn } else { same }, Two),
            Convention::OneDnn if kind == GruResetAfter => form(Columns, zrn, Candidate),
            Convention::OneDnn => {
                let projection = (kind == Lstm).then_some(Columns);
                Form { peepholes, projection, ..form(Columns, if gru { zrn } else { same }, One) }
            }
            Convention::BlockLstm { forget_bias } if kind == Lstm => {
                Form { peepholes, added: Some((1, forget_bias)), ..form(Columns, &IGFO, One) }
            }
            Convention::BlockLstmV2 if kind == Lstm => Form { peepholes, ..form(Columns, same, One) },
            Convention::BlockLstm { .. } | Convention::BlockLstmV2 => return None,
            Convention::Flax if kind == GruResetBefore => return None,
            Convention::Flax => form(PerGate, same, if gru { Candidate } else { One }),
            Convention::Haiku => match kind {
                Lstm => Form { added: Some((1, 1.0)), ..form(Columns, &IGFO, One) },
                GruResetBefore => Form { turned: Some(1), ..form(Columns, zrn, One) },
                GruResetAfter => return None,
                _ => form(Columns, same, Two),
            },
            Convention::Equinox => match kind {
                Lstm => form(Rows, same, One),
                GruResetAfter => form(Rows, same, Candidate),
                _ => return None,
            },
            Convention::Haste => match kind {
                Lstm => form(Columns, &IGFO, One),
                GruResetAfter => form(Columns, zrn, Two),
                _ => return None,
            },
            Convention::Burn => form(PerGate, same, Two),
        })
    }

    fn form_of(self, network: &Recurrent) -> Result<Form, Error> {
        let kind = network.config().kind();
        let form = self.form(kind);
        let form =
            form.ok_or_else(|| refused(format!("{self:?}"), "a cell that it has", format!("{kind:?}")))?;
        match form.added {
            Some((_, value)) if !value.is_finite() => {
                let (what, expected, got) = ("forget_bias", "a finite number", f64::from(value));
                Err(Error::OutOfRange { what, expected, got })
            }
            _ => Ok(form),
        }
    }

    /// Puts weights of this convention into a network: `cells` has one entry for each direction of each layer,
    /// at `layer * directions + direction`.
    ///
    /// Where the network has one bias vector and the weights have two, it gets their sum.
    ///
    /// # Errors
    /// [`Error::Format`] where the system has no such cell, an array has another size, a parameter of the network
    /// has no counterpart, or a bias has no place: two that cannot be added, or any in a network without;
    /// [`Error::OutOfRange`] where what is added to a bias is not finite. The network is then as before.
    pub fn load(self, network: &mut Recurrent, cells: &[Arrays]) -> Result<(), Error> {
        let form = self.form_of(network)?;
        let mut change = Change::of(network);
        let expected = super::network::cells(network);
        if cells.len() != expected {
            return Err(refused("layers * directions", expected.to_string(), cells.len().to_string()));
        }
        for (index, arrays) in cells.iter().enumerate() {
            let suffix = suffix(network.config(), index);
            let cell = Cell::of(network, &suffix)?;
            let what = |array: &str| format!("{array} of the weights {suffix}");
            for (name, columns, from) in
                [("weight_ih", cell.input, &arrays.input), ("weight_hh", cell.output, &arrays.recurrent)]
            {
                let size = cell.gates * cell.hidden * columns;
                check(what(name), size, from.len())?;
                change.put(&format!("{name}{suffix}"), form.matrix_to_ours(&cell, columns, from))?;
            }
            let biases = match (arrays.bias.len(), form.biases) {
                (0, _) => vec![0.0; 2 * cell.rows()],
                (got, biases) => {
                    check(what("bias"), biases.count(cell.gates) * cell.hidden, got)?;
                    form.biases_to_ours(&cell, &arrays.bias)
                }
            };
            let (bias_ih, bias_hh) = biases.split_at(cell.rows());
            let bias_ih = form.add(&cell, bias_ih, 1.0);
            change.put_biases(&suffix, bias_ih, bias_hh.to_vec())?;
            if !arrays.peephole.is_empty() {
                let Some(order) = form.peepholes else {
                    return Err(refused(what("peephole"), format!("none in {self:?}"), "some"));
                };
                check(what("peephole"), 3 * cell.hidden, arrays.peephole.len())?;
                let ours = permute(&arrays.peephole, cell.hidden, &order, true);
                change.put(&format!("peephole{suffix}"), ours)?;
            }
            if !arrays.projection.is_empty() {
                let Some(matrix) = form.projection else {
                    return Err(refused(what("projection"), format!("none in {self:?}"), "some"));
                };
                check(what("projection"), cell.hidden * cell.output, arrays.projection.len())?;
                let ours = strided(&arrays.projection, matrix, Matrix::Rows, &[0], cell.output, cell.hidden);
                change.put(&format!("weight_hr{suffix}"), ours)?;
            }
        }
        change.apply(network)
    }

    /// The weights of a network in this convention, one entry for each direction of each layer.
    ///
    /// Where the system has one bias vector and the network has two, it gets their sum.
    ///
    /// # Errors
    /// [`Error::Format`] where the system has no such cell, no peepholes, no projection or no layer
    /// normalisation and the network has; [`Error::OutOfRange`] as for [`load`](Convention::load).
    pub fn save(self, network: &Recurrent) -> Result<Vec<Arrays>, Error> {
        let form = self.form_of(network)?;
        let cell_arrays = |index| {
            let suffix = suffix(network.config(), index);
            let cell = Cell::of(network, &suffix)?;
            let mut arrays = Arrays::default();
            let mut biases = [vec![0.0; cell.rows()], vec![0.0; cell.rows()]];
            let mut biased = form.added.is_some();
            for tensor in network.named_parameters() {
                let Some(name) = tensor.name.strip_suffix(&suffix) else { continue };
                match (name, form.peepholes, form.projection) {
                    ("weight_ih", ..) => {
                        arrays.input = form.matrix_to_theirs(&cell, cell.input, tensor.values)
                    }
                    ("weight_hh", ..) => {
                        arrays.recurrent = form.matrix_to_theirs(&cell, cell.output, tensor.values);
                    }
                    ("bias_ih", ..) | ("bias_hh", ..) => {
                        biases[usize::from(name == "bias_hh")] = tensor.values.to_vec();
                        biased = true;
                    }
                    ("peephole", Some(order), _) => {
                        arrays.peephole = permute(tensor.values, cell.hidden, &order, false);
                    }
                    ("weight_hr", _, Some(matrix)) => {
                        let (from, to) = (Matrix::Rows, matrix);
                        arrays.projection = strided(tensor.values, from, to, &[0], cell.output, cell.hidden);
                    }
                    _ => {
                        let expected = format!("a parameter that {self:?} has");
                        return Err(refused(tensor.name, expected, "one that it has not"));
                    }
                }
            }
            if biased {
                let [bias_ih, bias_hh] = biases;
                let bias_ih = form.add(&cell, &bias_ih, -1.0);
                arrays.bias = form.biases_to_theirs(&cell, &bias_ih, &bias_hh);
            }
            Ok(arrays)
        };
        (0..cells(network)).map(cell_arrays).collect()
    }
}

impl Biases {
    fn count(self, gates: usize) -> usize {
        match self {
            Biases::Two => 2 * gates,
            Biases::One => gates,
            Biases::Candidate => gates + 1,
        }
    }
}

impl Form {
    fn matrix_to_ours(&self, cell: &Cell, k: usize, from: &[f32]) -> Vec<f32> {
        let ours = strided(from, self.matrix, Matrix::Rows, &inverse(self.order), cell.hidden, k);
        self.turn(cell.hidden * k, ours)
    }

    fn matrix_to_theirs(&self, cell: &Cell, k: usize, from: &[f32]) -> Vec<f32> {
        let turned = self.turn(cell.hidden * k, from.to_vec());
        strided(&turned, Matrix::Rows, self.matrix, self.order, cell.hidden, k)
    }

    /// Gives a turned gate the other sign, in values of ours with so many per gate.
    fn turn(&self, per_gate: usize, mut values: Vec<f32>) -> Vec<f32> {
        for (gate, values) in values.chunks_exact_mut(per_gate).enumerate() {
            if self.turned == Some(gate) {
                values.iter_mut().for_each(|value| *value = -*value);
            }
        }
        values
    }

    /// Our `bias_ih`, then our `bias_hh`.
    fn biases_to_ours(&self, cell: &Cell, from: &[f32]) -> Vec<f32> {
        let hidden = cell.hidden;
        let (first, second) = from.split_at(cell.rows());
        let mut ours = self.turn(hidden, permute(first, hidden, self.order, true));
        match self.biases {
            Biases::Two => ours.extend(self.turn(hidden, permute(second, hidden, self.order, true))),
            Biases::One => ours.resize(2 * cell.rows(), 0.0),
            Biases::Candidate => {
                ours.resize(2 * cell.rows() - hidden, 0.0);
                ours.extend_from_slice(second);
            }
        }
        ours
    }

    fn biases_to_theirs(&self, cell: &Cell, bias_ih: &[f32], bias_hh: &[f32]) -> Vec<f32> {
        let hidden = cell.hidden;
        let theirs = |ours: Vec<f32>| permute(&self.turn(hidden, ours), hidden, self.order, false);
        let apart = cell.rows() - if self.biases == Biases::Candidate { hidden } else { 0 };
        if self.biases == Biases::Two {
            return [theirs(bias_ih.to_vec()), theirs(bias_hh.to_vec())].concat();
        }
        let mut sum = bias_ih.to_vec();
        sum[..apart].iter_mut().zip(bias_hh).for_each(|(sum, bias)| *sum += bias);
        let mut all = theirs(sum);
        all.extend_from_slice(&bias_hh[apart..]);
        all
    }

    /// `sign` times what the system adds when it runs, in a bias of ours.
    fn add(&self, cell: &Cell, bias: &[f32], sign: f32) -> Vec<f32> {
        let mut bias = bias.to_vec();
        if let Some((gate, added)) = self.added {
            bias[gate * cell.hidden..][..cell.hidden].iter_mut().for_each(|value| *value += sign * added);
        }
        bias
    }
}

/// Copies a matrix of gates from one arrangement into another; gate `order[k]` of it becomes gate `k`.
fn strided(from: &[f32], read: Matrix, write: Matrix, order: &[usize], hidden: usize, k: usize) -> Vec<f32> {
    let (read, write) = (read.strides(order.len(), hidden, k), write.strides(order.len(), hidden, k));
    let at = |strides: [usize; 3], gate, unit, k| gate * strides[0] + unit * strides[1] + k * strides[2];
    let mut to = vec![0.0; from.len()];
    for (gate, &source) in order.iter().enumerate() {
        for unit in 0..hidden {
            for k in 0..k {
                to[at(write, gate, unit, k)] = from[at(read, source, unit, k)];
            }
        }
    }
    to
}

/// Vectors of H, one per gate, in another order: `order` says which of ours stands at each place of theirs.
fn permute(from: &[f32], hidden: usize, order: &[usize], to_ours: bool) -> Vec<f32> {
    let back = inverse(order);
    let order = if to_ours { &back } else { order };
    strided(from, Matrix::Rows, Matrix::Rows, order, hidden, 1)
}

/// The place at which each of ours stands.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &gate)| places[gate] = place);
    places
}

fn check(what: String, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        return Ok(());
    }
    Err(refused(what, format!("{expected} values"), got.to_string()))
}
