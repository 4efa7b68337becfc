//! What one cell computes at one step, forward and backward.
//!
//! A cell is one file: its equations, its [`Shape`] (planes, weights and plan of products, as data), and two
//! functions that finish the sums, one forward and one backward. A cell knows nothing of time, threads,
//! lengths or memory: `sequence/` decides these. It has no `unsafe`: it reads and writes through a tile.
//!
//! ```text
//! lstm.rs elman.rs gru_after.rs gru_before.rs    one cell each
//! lstm_norm.rs gru_norm.rs norm.rs               two with layer normalisation, and the normalisation itself
//! lstm_multiplicative.rs                         an LSTM whose input chooses what of the state it sees
//! slstm.rs                                       one with an exponential gate, and a stabiliser for it
//! min_gru.rs min_lstm.rs                         two whose gates see the input alone
//! ind_rnn.rs                                     one whose units see their own state alone
//! dropout.rs                                     recurrent dropout and zoneout
//! shape.rs                                       what a cell is as data
//! tensor.rs                                      the table of parameter tensors
//! variant.rs                                     a cell with its options: activations, clips, peepholes
//! registry.rs                                    the cells by name, and their functions on each level
//! tile.rs forward_tile.rs backward_tile.rs       what a cell sees: rows x blocks of hidden units
//! weights.rs                                     a cell's weights, packed for forward and backward
//! ```
//!
//! **Phases.** A step has one to three phases. All hidden units of a row must finish a phase before the next
//! one begins: the reset-before GRU needs `r * h` of every unit for its candidate, a projection needs
//! `o * tanh(c')` of every unit, and a normalisation needs a whole row. A cell with one phase never waits.

mod backward_tile;
mod dropout;
mod elman;
mod forward_tile;
mod gru_after;
mod gru_before;
mod gru_norm;
mod ind_rnn;
mod lstm;
mod lstm_multiplicative;
mod lstm_norm;
mod min_gru;
mod min_lstm;
mod norm;
mod registry;
mod shape;
mod slstm;
mod tensor;
mod tile;
mod variant;
mod weights;

use crate::error::{Error, named};
use crate::product::ROW_BLOCKS;
use crate::simd::{Isa, Token};
pub(crate) use backward_tile::{BackwardFinish, BackwardRecords, BackwardStep, BackwardSums};
use backward_tile::{BackwardTile, backward_finish, backward_finishes, hidden_gradients};
pub(crate) use dropout::{Masks, Zoneout};
use elman::{ElmanRelu, ElmanTanh, ElmanWithOptions};
pub(crate) use forward_tile::{ForwardFinish, ForwardRecords, ForwardStep, ForwardSums};
use forward_tile::{ForwardTile, forward_finish, forward_finishes};
use gru_after::GruResetAfter;
use gru_before::GruResetBefore;
use gru_norm::GruNorm;
use ind_rnn::IndRnn;
use lstm::Lstm;
use lstm_multiplicative::LstmMultiplicative;
use lstm_norm::LstmNorm;
use min_gru::MinGru;
use min_lstm::MinLstm;
pub(crate) use registry::Entry;
pub(crate) use shape::{
    BiasOf, Call, Factor, MAX_CALLS, MAX_PHASES, MAX_PRODUCTS, Matrix, Multiplied, Multiply, Operand, Packed,
    Phase, Shape, Start, VectorGradient,
};
use shape::{bias_gradients, concat, gain_gradients};
use slstm::Slstm;
use std::ops::Range;
use std::str::FromStr;
pub(crate) use tensor::{Canonical, Initial, PerTensor, Sizes, Tensor, TensorForm};
pub(crate) use tile::{Area, Context, Origins, Step};
pub(crate) use variant::{Options, Variant};
pub(crate) use weights::{TransposedWeights, Weights};

/// Which recurrence a layer computes. `s` is the logistic sigmoid, `*` between vectors elementwise.
///
/// The two GRUs are distinct cells with distinct weights: a model trained as one is wrong as the other.
///
/// These are the plain cells. [`Builder`](crate::Builder) has options for other activations, clips,
/// peepholes, coupled gates, projection, layer normalisation, recurrent dropout and zoneout; their equations
/// stand in [`mod@crate::reference`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellKind {
    /// Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate: Gers et al. 2000).
    ///
    /// ```text
    /// i, f, o = s(W x + b_ih + R h + b_hh)      g = tanh(W x + b_ih + R h + b_hh)
    /// c' = f * c + i * g                        h' = o * tanh(c')
    /// ```
    ///
    /// Gates in the order i, f, g, o.
    Lstm,
    /// Gated recurrent unit, reset applied after the recurrent product: PyTorch, cuDNN, Keras's default
    /// (`reset_after=True`), ONNX with `linear_before_reset`.
    ///
    /// ```text
    /// r, z = s(W x + b_ih + R h + b_hh)         n = tanh(W x + b_ih + r * (R h + b_hh))
    /// h' = (1 - z) * n + z * h
    /// ```
    ///
    /// Gates in the order r, z, n.
    GruResetAfter,
    /// Gated recurrent unit, reset applied to the state before the recurrent product (Cho et al. 2014):
    /// ONNX's default, Keras with `reset_after=False`.
    ///
    /// ```text
    /// r, z = s(W x + b_ih + R h + b_hh)         n = tanh(W x + b_ih + R (r * h) + b_hh)
    /// h' = (1 - z) * n + z * h
    /// ```
    ///
    /// Gates in the order r, z, n.
    GruResetBefore,
    /// Elman's network: `h' = tanh(W x + b_ih + R h + b_hh)`.
    ElmanTanh,
    /// Elman's network with a rectifier: `h' = max(0, W x + b_ih + R h + b_hh)`.
    ElmanRelu,
    /// Minimal gated recurrent unit (Feng et al. 2024, arXiv 2410.01201, section 3.1): gate and candidate see
    /// the input alone, so no product waits for the step before.
    ///
    /// ```text
    /// z = s(W x + b_ih)      n = W x + b_ih      h' = (1 - z) * h + z * n
    /// ```
    ///
    /// Gates in the order z, n. Its parameters are `weight_ih` (2 H, I) and `bias_ih` (2 H): it has no
    /// recurrent weights, and so no second bias.
    ///
    /// ```
    /// use fused_rnn::{Dims, Gru};
    ///
    /// let gru = Gru::minimal(8, 64).layers(2).build()?;
    /// let output = gru.run(&vec![0.1; 1000 * 8], Dims::new(1, 1000))?;
    /// assert_eq!(output.y.len(), 1000 * 64);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    MinGru,
    /// Minimal long short-term memory (Feng et al. 2024, section 3.2): gates and candidate see the input
    /// alone, and i and f are divided by their sum.
    ///
    /// ```text
    /// i, f = s(W x + b_ih)   g = W x + b_ih      h' = (f * h + i * g) / (f + i)
    /// ```
    ///
    /// Gates in the order i, f, g. Its parameters are `weight_ih` (3 H, I) and `bias_ih` (3 H), and its state
    /// is h. i and f are no less than 2^-125, 2.4e-38, so their sum is not zero. Only the
    /// candidate's activation can be chosen.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm};
    ///
    /// let lstm = Lstm::minimal(8, 64).build()?;
    /// let output = lstm.run(&vec![0.1; 1000 * 8], Dims::new(1, 1000))?;
    /// assert_eq!(output.y.len(), 1000 * 64);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    MinLstm,
    /// Independently recurrent network (Li et al. 2018, arXiv 1803.04831): each unit sees its own state
    /// alone.
    ///
    /// ```text
    /// h' = max(0, W x + b_ih + u * h)
    /// ```
    ///
    /// Its parameters are `weight_ih` (H, I), `weight_hh` (H), which is u, and `bias_ih` (H).
    /// [`Precision`](crate::Precision) is that of `weight_ih`: u stays f32.
    ///
    /// ```
    /// use fused_rnn::{Activation, Dims, Rnn};
    ///
    /// let rnn = Rnn::independent(8, 64).activations(&[Activation::Tanh]).build()?;
    /// let output = rnn.run(&vec![0.1; 1000 * 8], Dims::new(1, 1000))?;
    /// assert_eq!(output.y.len(), 1000 * 64);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    IndRnn,
    /// Multiplicative long short-term memory (Krause et al. 2016, arXiv 1609.07959): the gates see the state
    /// through m, in which the input chooses what of the state they see.
    ///
    /// ```text
    /// m = (W x + b_ih) * (R h + b_hh)
    /// i, f, o = s(W x + b_ih + R m + b_hh)      g = tanh(W x + b_ih + R m + b_hh)
    /// c' = f * c + i * g                        h' = o * tanh(c')
    /// ```
    ///
    /// Gates in the order m, i, f, g, o: `weight_ih` (5 H, I), `weight_hh` (5 H, H), `bias_ih` and `bias_hh`
    /// (5 H). The paper's m has no biases; they are then zero.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm};
    ///
    /// let lstm = Lstm::multiplicative(8, 64).build()?;
    /// let output = lstm.run(&vec![0.1; 4 * 100 * 8], Dims::new(4, 100))?;
    /// assert_eq!(output.y.len(), 4 * 100 * 64);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    LstmMultiplicative,
    /// sLSTM of xLSTM (Beck et al. 2024, arXiv 2405.04517), with [heads](crate::Builder::heads): an
    /// exponential input gate, and a normaliser n. m is a stabiliser: it keeps c and n in the floats, and h
    /// does not depend on it.
    ///
    /// ```text
    /// i, f, z, o = W x + b_ih + R h + b_hh      m' = max(log s(f) + m, i)
    /// i' = e^(i - m')                           f' = e^(log s(f) + m - m')
    /// c' = f' * c + i' * tanh(z)                n' = f' * n + i'
    /// h' = s(o) * c' / n'
    /// ```
    ///
    /// Gates in the order i, f, z, o. The state is h, c, n and m ([`State::plane`](crate::State::plane),
    /// [`State::set_plane`](crate::State::set_plane)). Where n is 0 the state is empty, as at its beginning,
    /// whatever c and m are. Gradients of c are those at a fixed m. It has no other activations and no clips,
    /// and zoneout of h alone.
    ///
    /// ```
    /// use fused_rnn::{Dims, Lstm};
    ///
    /// let lstm = Lstm::exponential(8, 64).build()?;
    /// let output = lstm.run(&vec![0.1; 4 * 100 * 8], Dims::new(4, 100))?;
    /// assert_eq!(output.y.len(), 4 * 100 * 64);
    /// assert!(output.state.plane("n").is_some_and(|n| n.iter().all(|&n| n >= 1.0)));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    Slstm,
}

impl CellKind {
    /// Every cell. (There may be more in later versions.)
    pub const ALL: &[CellKind] = &[
        CellKind::Lstm,
        CellKind::GruResetAfter,
        CellKind::GruResetBefore,
        CellKind::ElmanTanh,
        CellKind::ElmanRelu,
        CellKind::MinGru,
        CellKind::MinLstm,
        CellKind::IndRnn,
        CellKind::LstmMultiplicative,
        CellKind::Slstm,
    ];

    /// The names of all, in their order.
    const NAMES: [&str; CellKind::ALL.len()] = [
        "lstm",
        "gru",
        "gru_reset_before",
        "rnn_tanh",
        "rnn_relu",
        "min_gru",
        "min_lstm",
        "ind_rnn",
        "lstm_mult",
        "slstm",
    ];

    /// The name of the cell in files that this crate writes, and in Python: `"lstm"`, `"gru"`,
    /// `"gru_reset_before"`, `"rnn_tanh"`, `"rnn_relu"`, `"min_gru"`, `"min_lstm"`, `"ind_rnn"`,
    /// `"lstm_mult"`, `"slstm"`. [`str::parse`] takes it back.
    ///
    /// ```
    /// use fused_rnn::CellKind;
    ///
    /// assert_eq!(CellKind::Slstm.name(), "slstm");
    /// assert_eq!("gru".parse::<CellKind>()?, CellKind::GruResetAfter);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn name(self) -> &'static str {
        CellKind::NAMES[self as usize]
    }

    /// The number of gates, and so of blocks of `hidden_size` rows in `weight_ih`, and in `weight_hh` where
    /// the cell has one: 1 to 5.
    pub fn gates(self) -> usize {
        self.shape().input.len()
    }

    /// The gates of the recurrent weights: as many, or none.
    pub(crate) fn recurrent_gates(self) -> usize {
        self.shape().recurrent.len()
    }

    /// Whether weights multiply the hidden state. A cell without such weights has no recurrent dropout.
    pub fn has_recurrent_weights(self) -> bool {
        let shape = self.shape();
        !shape.recurrent.is_empty() || shape.diagonal
    }

    /// The names of the states that go from step to step, as [`State::plane`](crate::State::plane) takes
    /// them: `"h"`, with a cell state `"c"`, and of an sLSTM `"n"` and `"m"`.
    ///
    /// ```
    /// use fused_rnn::CellKind;
    ///
    /// assert_eq!(CellKind::Lstm.states(), ["h", "c"]);
    /// ```
    pub fn states(self) -> &'static [&'static str] {
        self.shape().state
    }

    /// Whether the state has a cell state beside the hidden state.
    pub fn has_cell_state(self) -> bool {
        self.shape().state.len() > C
    }
}

impl FromStr for CellKind {
    type Err = Error;

    /// The cell of this [name](CellKind::name).
    fn from_str(name: &str) -> Result<CellKind, Error> {
        named("cell", CellKind::ALL, CellKind::name, name)
    }
}

/// The plane of a state record that holds the hidden state.
pub(crate) const H: usize = 0;
/// The plane of a state record that holds the cell state.
pub(crate) const C: usize = 1;

/// A recurrence: its shape, as data, and its two functions. `PHASE` is the phase of a step, from 0; the head
/// of the file explains phases.
trait Cell: Copy + Send + Sync + 'static {
    /// The cell as data.
    const SHAPE: Shape;

    /// Computes gates and the new state from the sums of a phase; each vector has [`Phase::sums`] of them.
    fn forward<I: Isa, const PHASE: usize>(tile: &ForwardTile<'_, I>, sums: &mut [I::Vector]);

    /// Computes the gradients of the step's gates, and the gradients that go on to earlier steps. For each
    /// vector `sums` has, in the first phase, the gradient of the hidden state; in a second phase with a
    /// product, that product.
    fn backward<I: Isa, const PHASE: usize>(tile: &BackwardTile<'_, I>, sums: &mut [I::Vector]);

    /// `forward` of each phase on a level. A phase may be that of another cell, which is then compiled once.
    fn forward_finishes(token: Token) -> [ForwardFinish; MAX_PHASES] {
        forward_finishes::<Self>(token)
    }

    /// `backward` of each phase on a level, likewise.
    fn backward_finishes(token: Token) -> [BackwardFinish; MAX_PHASES] {
        backward_finishes::<Self>(token)
    }
}

/// Vectors whose values backward keeps on the stack at once.
const GROUP: usize = 12;
// The blocks of a single row that are finished together are one group.
const _: () = assert!(GROUP >= ROW_BLOCKS);

/// Ranges of at most [`GROUP`] that cover `0..count`.
#[inline(always)]
fn groups(count: usize) -> Groups {
    Groups { rest: 0..count }
}

struct Groups {
    rest: Range<usize>,
}

impl Iterator for Groups {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let group = self.rest.start..(self.rest.start + GROUP).min(self.rest.end);
        self.rest.start = group.end;
        if group.is_empty() { None } else { Some(group) }
    }
}
