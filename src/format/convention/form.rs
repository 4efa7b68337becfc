//! The form of a cell's weights, put together from what systems differ in.

use super::arrays::Orientation;
use crate::cell::CellKind;
use std::borrow::Cow;

/// A gate of a cell: of an LSTM, or of a GRU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// The input gate i of an LSTM.
    Input,
    /// The forget gate f of an LSTM.
    Forget,
    /// The candidate of an LSTM: g, or c, or z.
    Cell,
    /// The output gate o of an LSTM.
    Output,
    /// The reset gate r of a GRU.
    Reset,
    /// The update gate z of a GRU, or u.
    Update,
    /// The candidate of a GRU: n, or h, or c.
    New,
}

impl Gate {
    /// Its place in this crate's order; `None` where the cell has no such gate.
    pub(super) fn place(self, kind: CellKind) -> Option<usize> {
        let gates: &[Gate] = match kind {
            CellKind::Lstm => &[Gate::Input, Gate::Forget, Gate::Cell, Gate::Output],
            CellKind::GruResetAfter | CellKind::GruResetBefore => &[Gate::Reset, Gate::Update, Gate::New],
            _ => &[],
        };
        gates.iter().position(|&gate| gate == self)
    }
}

/// Which bias vectors a system has. It matters on which side the candidate's of a GRU stands that resets
/// after the product: on the side of the state it is multiplied by r.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    /// No bias.
    None,
    /// One bias vector for each gate, on the side of the input.
    Input,
    /// One bias vector for each gate, on the side of the state.
    Recurrent,
    /// Two bias vectors for each gate: all gates' of the input, then all gates' of the state.
    Both,
    /// One for each gate on the side of the input, and after them the candidate's of the state. (Only a GRU
    /// that resets after the product has the last one.)
    InputAndNew,
}

impl Biases {
    /// The number of vectors for `gates` gates.
    pub(super) fn count(self, gates: usize) -> usize {
        match self {
            Biases::None => 0,
            Biases::Input | Biases::Recurrent => gates,
            Biases::Both => 2 * gates,
            Biases::InputAndNew => gates + 1,
        }
    }
}

/// The form that some system keeps the weights of a cell in: a convention of one's own.
///
/// [`Form::new`] is PyTorch's, and this crate's; each method says one thing that is different. Every named
/// [`Convention`](super::Convention) is made of it ([`Convention::form`](super::Convention::form)).
///
/// ```
/// use fused_rnn::format::{Arrays, Biases, Form, Gate, Orientation};
/// use fused_rnn::{CellKind, Gru, Recurrent};
///
/// // A GRU in C, reset before the product: matrices (K, 3 H) of int8 in units of 1/256, gates z r h, and
/// // u = 1 - z in the place of z.
/// let form = Form::new(CellKind::GruResetBefore)
///     .order(&[Gate::Update, Gate::Reset, Gate::New])
///     .orientation(Orientation::Columns)
///     .biases(Biases::Input)
///     .turned(&[Gate::Update])
///     .scale(1.0 / 256.0);
/// let mut gru: Recurrent = Gru::reset_before(1, 1).build()?;
/// let arrays = Arrays {
///     input: vec![64.0, 128.0, -256.0],
///     recurrent: vec![0.0; 3],
///     bias: vec![256.0, 0.0, 0.0],
///     ..Arrays::default()
/// };
/// form.load(&mut gru, &[arrays])?;
/// assert_eq!(gru.parameters()[..3], [0.5, -0.25, -1.0]); // r, z, n
/// assert_eq!(form.save(&gru)?[0].input, [64.0, 128.0, -256.0]);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub(super) name: Cow<'static, str>,
    pub(super) kind: CellKind,
    /// In the system's order; none where it is ours.
    pub(super) order: Vec<Gate>,
    pub(super) orientation: Orientation,
    pub(super) biases: Biases,
    pub(super) turned: Vec<Gate>,
    pub(super) added: Vec<(Gate, f32)>,
    pub(super) peepholes: Option<[Gate; 3]>,
    pub(super) projection: Option<Orientation>,
    pub(super) scale: f32,
    pub(super) bias_scale: f32,
}

impl Form {
    /// PyTorch's form: rows, gates in the order i f g o or r z n, two bias vectors, no constants; for an LSTM
    /// also peepholes in the order i f o, and projections as (P, H).
    pub fn new(kind: CellKind) -> Form {
        let lstm = kind == CellKind::Lstm;
        Form {
            name: Cow::Borrowed("this form"),
            kind,
            order: Vec::new(),
            orientation: Orientation::Rows,
            biases: Biases::Both,
            turned: Vec::new(),
            added: Vec::new(),
            peepholes: lstm.then_some([Gate::Input, Gate::Forget, Gate::Output]),
            projection: lstm.then_some(Orientation::Rows),
            scale: 1.0,
            bias_scale: 1.0,
        }
    }

    /// The gates in the system's order, each once.
    pub fn order(mut self, gates: &[Gate]) -> Form {
        self.order = gates.to_vec();
        self
    }

    /// How the elements of the matrices of the input and of the state follow each other.
    pub fn orientation(mut self, orientation: Orientation) -> Form {
        self.orientation = orientation;
        self
    }

    /// Which bias vectors there are.
    pub fn biases(mut self, biases: Biases) -> Form {
        self.biases = biases;
        self
    }

    /// Gates that have the opposite sense, 1 - z in the place of z: their weights and biases change the sign,
    /// as s(-a) = 1 - s(a). Of no use for a candidate.
    pub fn turned(mut self, gates: &[Gate]) -> Form {
        self.turned = gates.to_vec();
        self
    }

    /// What the system adds to a gate when it runs: 1 to the forget gate, mostly. Loading adds it to the
    /// bias, saving subtracts it.
    pub fn added(mut self, gate: Gate, value: f32) -> Form {
        self.added.push((gate, value));
        self
    }

    /// The order of the peepholes; `None` where the system has none.
    pub fn peepholes(mut self, order: Option<[Gate; 3]>) -> Form {
        self.peepholes = order;
        self
    }

    /// How the projection lies, (P, H) or (H, P); `None` where the system has none.
    pub fn projection(mut self, orientation: Option<Orientation>) -> Form {
        self.projection = orientation;
        self
    }

    /// What a stored number is multiplied by to be a weight: that of quantised weights. Biases, peepholes and
    /// projections as well. (Where each row has its own,
    /// [`Arrays::input_scales`](super::Arrays::input_scales) has them.)
    pub fn scale(mut self, scale: f32) -> Form {
        (self.scale, self.bias_scale) = (scale, scale);
        self
    }

    /// The same for biases alone, where it is another.
    pub fn bias_scale(mut self, scale: f32) -> Form {
        self.bias_scale = scale;
        self
    }
}
