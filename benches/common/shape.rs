//! Shapes as text, and the grids.

use fused_rnn::{Builder, CellKind};
use std::fmt;
use std::str::FromStr;

/// A network and the size of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub kind: CellKind,
    pub batch: usize,
    pub steps: usize,
    pub input: usize,
    pub hidden: usize,
    pub layers: usize,
    pub bidirectional: bool,
    pub peephole: bool,
    pub coupled: bool,
    /// Both clips, at bounds that few values reach.
    pub clip: bool,
    pub projection: Option<usize>,
    /// Of an sLSTM.
    pub heads: Option<usize>,
    /// Where rows have lengths: the shortest that one may have. They spread evenly from here to `steps`.
    pub shortest: Option<usize>,
}

/// Sequences: one row in each level of cache, small and large batches, several layers.
pub const GRID: &[&str] = &[
    "lstm B1 T1 I128 H128 L1",
    "lstm B1 T100 I64 H64 L1",
    "lstm B1 T100 I128 H128 L1",
    "lstm B1 T100 I256 H256 L1",
    "lstm B1 T100 I512 H512 L1",
    "lstm B1 T100 I1024 H1024 L1",
    "lstm B8 T100 I256 H256 L1",
    "lstm B32 T28 I1 H128 L1",
    "lstm B32 T100 I128 H128 L1",
    "lstm B32 T100 I256 H256 L1",
    "lstm B20 T35 I650 H650 L2",
    "lstm B64 T50 I512 H512 L1",
    "lstm B64 T25 I1024 H1024 L1",
    "lstm B128 T25 I512 H512 L1",
    "lstm B32 T100 I256 H256 L2 bi",
    "gru B1 T100 I128 H128 L1",
    "gru B32 T100 I256 H256 L1",
    "gru B64 T50 I512 H512 L1",
];

/// One step at a time.
pub const STREAM: &[&str] = &[
    "lstm B1 T1 I64 H64 L1",
    "lstm B1 T1 I128 H128 L1",
    "lstm B1 T1 I256 H256 L1",
    "lstm B1 T1 I512 H512 L1",
    "lstm B1 T1 I1 H16 L1",
    "lstm B1 T1 I1 H32 L1",
    "lstm B1 T1 I1 H40 L1",
    "lstm B1 T1 I1 H64 L1",
    "gru B1 T1 I64 H64 L1",
    "gru B1 T1 I128 H128 L1",
    "gru B1 T1 I256 H256 L1",
    "gru B1 T1 I512 H512 L1",
    "gru B1 T1 I1 H16 L1",
    "gru B1 T1 I1 H32 L1",
    "gru B1 T1 I1 H40 L1",
    "gru B1 T1 I1 H64 L1",
];

const CELLS: [(&str, CellKind); 10] = [
    ("lstm", CellKind::Lstm),
    ("gru", CellKind::GruResetAfter),
    ("gru_before", CellKind::GruResetBefore),
    ("rnn_tanh", CellKind::ElmanTanh),
    ("rnn_relu", CellKind::ElmanRelu),
    ("min_gru", CellKind::MinGru),
    ("min_lstm", CellKind::MinLstm),
    ("ind_rnn", CellKind::IndRnn),
    ("lstm_mult", CellKind::LstmMultiplicative),
    ("slstm", CellKind::Slstm),
];

impl Shape {
    pub fn builder(&self) -> Builder {
        let mut builder = Builder::new(self.kind, self.input, self.hidden)
            .layers(self.layers)
            .bidirectional(self.bidirectional)
            .peephole(self.peephole)
            .coupled(self.coupled)
            .init(fused_rnn::Init::PyTorch, 7);
        if self.clip {
            builder = builder.clip(3.0);
            if self.kind.has_cell_state() {
                builder = builder.cell_clip(3.0);
            }
        }
        if let Some(size) = self.projection {
            builder = builder.projection(size);
        }
        if let Some(heads) = self.heads {
            builder = builder.heads(heads);
        }
        builder
    }

    fn outputs(&self) -> usize {
        self.projection.unwrap_or(self.hidden)
    }

    pub fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Weights of all layers and directions, also where they are more than memory has addresses.
    fn weights(&self) -> f64 {
        let of = |number: usize| number as f64;
        let (directions, layers, outputs) = (of(self.directions()), of(self.layers), of(self.outputs()));
        let inputs = of(self.input) + (layers - 1.0) * directions * outputs;
        let (gates, recurrent) = (of(self.kind.gates()), of(self.recurrent_gates()));
        let seen = (outputs / of(self.heads.unwrap_or(1))).floor();
        let rows = gates * inputs + (recurrent * seen + of(self.projection.unwrap_or(0))) * layers;
        rows * of(self.hidden) * directions
    }

    /// Blocks of rows in the recurrent weight matrix.
    fn recurrent_gates(&self) -> usize {
        match self.kind {
            CellKind::MinGru | CellKind::MinLstm | CellKind::IndRnn => 0,
            kind => kind.gates(),
        }
    }

    /// (The largest number there is, where they are more.)
    pub fn weight_bytes(&self) -> usize {
        (self.weights() * 4.0) as usize
    }

    /// Those that multiply the state, which every step needs anew.
    pub fn recurrent_weight_bytes(&self) -> usize {
        let seen = self.outputs() / self.heads.unwrap_or(1);
        let width = self.recurrent_gates() * seen + self.projection.unwrap_or(0);
        width * self.hidden * self.layers * self.directions() * 4
    }

    /// One length for each row, even over `shortest..=steps` by Fibonacci hashing of the row's number, which
    /// is the same in any language (`benches/peers/workers/protocol.py` has it too).
    pub fn lengths(&self) -> Option<Vec<usize>> {
        let shortest = self.shortest?.min(self.steps);
        let span = (self.steps - shortest + 1) as u64;
        let hash = |row: usize| u64::from((row as u32 + 1).wrapping_mul(2_654_435_769));
        Some((0..self.batch).map(|row| shortest + ((hash(row) * span) >> 32) as usize).collect())
    }

    /// Steps of all rows together.
    pub fn row_steps(&self) -> usize {
        self.lengths().map_or(self.batch * self.steps, |lengths| lengths.iter().sum())
    }

    /// Flops of one step of one row.
    pub fn flops_per_row(&self) -> f64 {
        2.0 * self.weights()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = CELLS.iter().find(|cell| cell.1 == self.kind).map_or("?", |cell| cell.0);
        let Shape { batch, steps, input, hidden, layers, .. } = self;
        let bi = if self.bidirectional { " bi" } else { "" };
        write!(f, "{cell} B{batch} T{steps} I{input} H{hidden} L{layers}{bi}")?;
        for (set, name) in [(self.peephole, "peephole"), (self.coupled, "coupled"), (self.clip, "clip")] {
            if set {
                write!(f, " {name}")?;
            }
        }
        for (value, letter) in [(self.projection, 'P'), (self.heads, 'N'), (self.shortest, 'U')] {
            if let Some(value) = value {
                write!(f, " {letter}{value}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "shape {text:?}: expected, say, \"lstm B32 T100 I256 H256 L1\" \
                 or \"... L2 bi peephole P64 U10\"; the cells are {}",
                CELLS.map(|cell| cell.0).join(", ")
            )
        };
        let mut words = text.split_whitespace();
        let cell = words.next().ok_or_else(wrong)?;
        let kind = CELLS.iter().find(|entry| entry.0 == cell).ok_or_else(wrong)?.1;
        let mut size = |letter: char| {
            let word = words.next().ok_or_else(wrong)?;
            let size = word.strip_prefix(letter).and_then(|digits| digits.parse::<usize>().ok());
            match size.ok_or_else(wrong)? {
                0 => Err(format!("shape {text:?}: expected sizes from 1, got {word}")),
                size => Ok(size),
            }
        };
        let (batch, steps, input) = (size('B')?, size('T')?, size('I')?);
        let (hidden, layers) = (size('H')?, size('L')?);
        let mut shape = Shape {
            kind,
            batch,
            steps,
            input,
            hidden,
            layers,
            bidirectional: false,
            peephole: false,
            coupled: false,
            clip: false,
            projection: None,
            heads: None,
            shortest: None,
        };
        for word in words {
            let number = |letter: char| word.strip_prefix(letter).and_then(|digits| digits.parse().ok());
            match (word, number('P'), number('N'), number('U')) {
                ("bi", ..) => shape.bidirectional = true,
                ("peephole", ..) => shape.peephole = true,
                ("coupled", ..) => shape.coupled = true,
                ("clip", ..) => shape.clip = true,
                (_, Some(size), ..) => shape.projection = Some(size),
                (_, _, Some(0), _) => return Err(wrong()),
                (_, _, Some(heads), _) => shape.heads = Some(heads),
                (_, _, _, Some(least)) => shape.shortest = Some(least),
                _ => return Err(wrong()),
            }
        }
        Ok(shape)
    }
}
