//! The attributes of LSTM, GRU and RNN, with ONNX's defaults.

use super::super::refused;
use crate::activation::Activation;
use crate::cell::CellKind;
use crate::error::Error;
use crate::layer::{Builder, Direction, Init, Layout};

/// Which of the three operators.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// LSTM: gates i, o, f, c.
    Lstm,
    /// GRU: gates z, r, h.
    Gru,
    /// RNN: one gate.
    Rnn,
}

impl Kind {
    /// How many activations each direction has.
    pub fn activations(self) -> usize {
        match self {
            Kind::Lstm => 3,
            Kind::Gru => 2,
            Kind::Rnn => 1,
        }
    }
}

/// The final state of a row whose `sequence_lens` is 0, of which ONNX says nothing.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyRows {
    /// Its initial state: nothing happened.
    #[default]
    Initial,
    /// Zeros, as ONNX Runtime has it.
    OnnxRuntimeZero,
}

/// One of the operators, with its attributes.
///
/// `hidden_size` is not among them: the weights say it. A model whose attribute says otherwise is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// Which operator it is.
    pub kind: Kind,
    /// The attribute `direction`.
    pub direction: Direction,
    /// `activations`, `activation_alpha` and `activation_beta`, of all directions; empty for the operator's
    /// own. [`activations`](fn@super::activations) makes them of ONNX's three lists.
    pub activations: Vec<Activation>,
    /// `clip`: the bound of pre-activations.
    pub clip: Option<f32>,
    /// The attribute `input_forget`, of LSTM alone.
    pub input_forget: bool,
    /// The attribute `linear_before_reset`, of GRU alone.
    pub linear_before_reset: bool,
    /// `layout`: 0 is time-major, 1 batch-first.
    pub layout: Layout,
    /// What the final state of a row without steps is, which ONNX leaves open.
    pub empty_rows: EmptyRows,
}

impl Operator {
    /// An operator with ONNX's defaults.
    pub fn new(kind: Kind) -> Operator {
        Operator {
            kind,
            direction: Direction::Forward,
            activations: Vec::new(),
            clip: None,
            input_forget: false,
            linear_before_reset: false,
            layout: Layout::TimeMajor,
            empty_rows: EmptyRows::default(),
        }
    }

    /// The number of directions, D.
    pub fn directions(&self) -> usize {
        if self.direction == Direction::Both { 2 } else { 1 }
    }

    /// The cell that it computes. Elman's activation may still be another.
    pub fn cell(&self) -> CellKind {
        match self.kind {
            Kind::Lstm => CellKind::Lstm,
            Kind::Gru if self.linear_before_reset => CellKind::GruResetAfter,
            Kind::Gru => CellKind::GruResetBefore,
            Kind::Rnn if self.activations.iter().all(|&f| f == Activation::Relu) => {
                if self.activations.is_empty() { CellKind::ElmanTanh } else { CellKind::ElmanRelu }
            }
            Kind::Rnn => CellKind::ElmanTanh,
        }
    }

    /// A builder of the layer with these attributes.
    ///
    /// # Errors
    /// [`Error::Format`] where an attribute belongs to another operator, or there are not as many activations
    /// as directions ask for.
    pub(super) fn builder(&self, input_size: usize, hidden_size: usize) -> Result<Builder, Error> {
        for (attribute, set, owner) in [
            ("input_forget", self.input_forget, Kind::Lstm),
            ("linear_before_reset", self.linear_before_reset, Kind::Gru),
        ] {
            if set && self.kind != owner {
                let expected = format_args!("none, as this is no {owner:?}");
                return Err(refused(format_args!("attribute {attribute}"), expected, "1"));
            }
        }
        let mut builder = Builder::new(self.cell(), input_size, hidden_size)
            .direction(self.direction)
            .layout(self.layout)
            .coupled(self.input_forget)
            .init(Init::Zero, 0);
        if let Some(clip) = self.clip {
            builder = builder.clip(clip);
        }
        let per_direction = self.kind.activations();
        match self.activations.len() {
            0 => (),
            got if got == per_direction * self.directions() => {
                let (first, second) = self.activations.split_at(per_direction);
                // The cells whose activations these already are need not be told.
                let plain = self.kind == Kind::Rnn && self.cell() == CellKind::ElmanRelu;
                if !plain {
                    builder = builder.activations(first);
                    if !second.is_empty() {
                        builder = builder.activations_reverse(second);
                    }
                }
            }
            got => {
                let all = per_direction * self.directions();
                let of_each = format!(", {per_direction} for each direction");
                let expected =
                    format_args!("{all}{}", if self.directions() > 1 { of_each } else { String::new() });
                return Err(refused("attribute activations", expected, got));
            }
        }
        Ok(builder)
    }
}
