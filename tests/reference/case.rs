//! A model with all that its passes take, drawn at random, and how results are compared.

use fused_rnn::reference::{self, Activation, Gradients, Input, Model, Output, Params, Upstream};
use fused_rnn_tests::{reference_backward, reference_forward, reference_loss};

pub const CELLS: [reference::Cell; 10] = [
    reference::Cell::Lstm,
    reference::Cell::GruResetAfter,
    reference::Cell::GruResetBefore,
    reference::Cell::ElmanTanh,
    reference::Cell::ElmanRelu,
    reference::Cell::MinGru,
    reference::Cell::MinLstm,
    reference::Cell::IndRnn,
    reference::Cell::LstmMultiplicative,
    reference::Cell::Slstm,
];

/// `I` and `H` of the random cases, different from each other and from all other sizes.
pub const INPUTS: usize = 2;

pub const HIDDEN: usize = 4;

/// A bias that closes a sigmoid when negative, and opens it when positive, to the last bit.
pub const SHUT: f64 = 1000.0;

/// A linear congruential generator; the multiplier is Knuth's.
pub struct Random(pub u64);

impl Random {
    /// Uniform in -1..1.
    pub fn value(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// A model with all that its forward and backward pass take.
#[derive(Clone)]
pub struct Case {
    pub model: Model<f64>,
    pub steps: usize,
    pub batch: usize,
    pub x: Vec<f64>,
    pub h0: Vec<f64>,
    pub c0: Vec<f64>,
    pub lengths: Option<Vec<usize>>,
    pub masks: Option<Vec<Vec<f64>>>,
    pub recurrent_masks: Option<Vec<Vec<f64>>>,
    pub input_masks: Option<Vec<Vec<f64>>>,
    pub taken: Option<[Vec<Vec<f64>>; 2]>,
    pub dy: Vec<f64>,
    pub dhn: Vec<f64>,
    pub dcn: Vec<f64>,
}

impl Case {
    /// Everything random and nowhere zero.
    pub fn random(
        (cell, layers, bidirectional): (reference::Cell, usize, bool),
        (steps, batch): (usize, usize),
        lengths: Option<&[usize]>,
    ) -> Case {
        let random = &mut Random(1);
        let mut model = Model::zeros(cell, INPUTS, HIDDEN, layers, bidirectional);
        for params in &mut model.params {
            for array in arrays(params) {
                *array = random.values(array.len());
            }
        }
        let outputs = steps * batch * model.directions() * HIDDEN;
        let states = model.params.len() * batch * HIDDEN;
        let cells = cell.cell_size(states);
        Case {
            steps,
            batch,
            x: random.values(steps * batch * INPUTS),
            h0: random.values(states),
            c0: states_of_cells(random, cell, cells),
            lengths: lengths.map(<[usize]>::to_vec),
            masks: Some((1..layers).map(|_| random.values(outputs)).collect()),
            recurrent_masks: None,
            input_masks: None,
            taken: None,
            dy: random.values(outputs),
            dhn: random.values(states),
            dcn: if cell == reference::Cell::Slstm { vec![0.0; cells] } else { random.values(cells) },
            model,
        }
    }

    pub fn input(&self) -> Input<'_, f64> {
        Input {
            steps: self.steps,
            batch: self.batch,
            x: &self.x,
            h0: Some(&self.h0),
            c0: Some(&self.c0),
            lengths: self.lengths.as_deref(),
            masks: self.masks.as_deref(),
            recurrent_masks: self.recurrent_masks.as_deref(),
            input_masks: self.input_masks.as_deref(),
            taken: self.taken.as_ref().map(|[h, c]| [&h[..], &c[..]]),
        }
    }

    pub fn forward(&self) -> Output<f64> {
        reference_forward(&self.model, &self.input())
    }

    pub fn backward(&self) -> Gradients<f64> {
        let upstream = Upstream { dy: Some(&self.dy), dhn: Some(&self.dhn), dcn: Some(&self.dcn) };
        reference_backward(&self.model, &self.input(), &self.forward(), &upstream)
    }

    /// The function whose gradient [`backward`](Self::backward) is.
    pub fn loss(&self) -> f64 {
        reference_loss(&self.model, &self.input(), [&self.dy, &self.dhn, &self.dcn])
    }

    pub fn length(&self, row: usize) -> usize {
        self.lengths.as_ref().map_or(self.steps, |lengths| lengths[row])
    }

    /// One row on its own, cut to its length.
    pub fn row(&self, row: usize) -> Case {
        let steps = self.length(row);
        let all = |array: &[f64], width| column(array, self.batch, row, width);
        let real = |array: &[f64], width| all(array, width)[..steps * width].to_vec();
        let outputs = self.model.directions() * HIDDEN;
        Case {
            model: self.model.clone(),
            steps,
            batch: 1,
            x: real(&self.x, INPUTS),
            h0: all(&self.h0, HIDDEN),
            c0: all(&self.c0, self.model.cell.cell_size(HIDDEN).max(1)),
            lengths: None,
            masks: self.masks.as_ref().map(|masks| masks.iter().map(|mask| real(mask, outputs)).collect()),
            recurrent_masks: (self.recurrent_masks.as_ref())
                .map(|masks| masks.iter().map(|mask| mask[row * HIDDEN..][..HIDDEN].to_vec()).collect()),
            input_masks: None,
            taken: None,
            dy: real(&self.dy, outputs),
            dhn: all(&self.dhn, HIDDEN),
            dcn: all(&self.dcn, self.model.cell.cell_size(HIDDEN).max(1)),
        }
    }
}

/// Random cell states. The n of an sLSTM is positive. (Its gradients are those at a constant m: the loss sees
/// m by way of h alone.)
fn states_of_cells(random: &mut Random, cell: reference::Cell, count: usize) -> Vec<f64> {
    let mut values = random.values(count);
    if cell == reference::Cell::Slstm {
        values.chunks_mut(HIDDEN).skip(1).step_by(3).flatten().for_each(|n| *n += 1.5);
    }
    values
}

pub fn arrays(params: &mut Params<f64>) -> [&mut Vec<f64>; 9] {
    let Params { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c } =
        params;
    [weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c]
}

/// `(N, 1, width)`: what belongs to one row of `(N, batch, width)`.
pub fn column(array: &[f64], batch: usize, row: usize, width: usize) -> Vec<f64> {
    array.chunks(width).skip(row).step_by(batch).flatten().copied().collect()
}

/// All the arrays of `params`, one after the other.
pub fn flat(params: &Params<f64>) -> Vec<f64> {
    let Params { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c } =
        params;
    [&weight_ih[..], weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c].concat()
}

#[track_caller]
pub fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (k, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * (1.0 + e.abs()), "at {k}: {a} is not {e}");
    }
}

#[track_caller]
pub fn assert_same(actual: &Output<f64>, expected: &Output<f64>) {
    assert_eq!(actual.y, expected.y);
    assert_eq!(actual.hn, expected.hn);
    assert_eq!(actual.cn, expected.cn);
}

#[track_caller]
pub fn assert_same_gradients(actual: &Gradients<f64>, expected: &Gradients<f64>) {
    assert_eq!(actual.x, expected.x);
    assert_eq!(actual.h0, expected.h0);
    assert_eq!(actual.c0, expected.c0);
    for (actual, expected) in actual.params.iter().zip(&expected.params) {
        assert_eq!(flat(actual), flat(expected));
    }
}

/// Every cell with one and two layers, in one and two directions.
pub fn structures() -> impl Iterator<Item = (reference::Cell, usize, bool)> {
    CELLS
        .into_iter()
        .flat_map(|cell| [1, 2].map(|layers| [false, true].map(|both| (cell, layers, both))))
        .flatten()
}

/// Those of ONNX.
pub const ACTIVATIONS: [Activation; 11] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu(0.125),
    Activation::ThresholdedRelu(0.25),
    Activation::ScaledTanh(1.25, 0.75),
    Activation::HardSigmoid(0.2, 0.5),
    Activation::Elu(0.75),
    Activation::Softsign,
    Activation::Softplus,
    Activation::Affine(0.5, 0.125),
];

/// Those of Keras besides.
pub const MORE: [Activation; 13] = [
    Activation::Exponential,
    Activation::Silu,
    Activation::Gelu,
    Activation::Selu,
    Activation::HardSilu,
    Activation::Clamp(-0.5, 0.75),
    Activation::Mish,
    Activation::LogSigmoid,
    Activation::SoftShrink(0.25),
    Activation::HardShrink(0.25),
    Activation::TanhShrink,
    Activation::SquarePlus,
    Activation::SparsePlus,
];

/// One step of one row with one input, which is zero.
pub fn step(model: &Model<f64>, h0: &[f64], c0: &[f64]) -> Output<f64> {
    let (h0, c0) = (Some(h0), Some(c0));
    reference_forward(
        model,
        &Input { steps: 1, batch: 1, x: &[0.0], h0, c0, lengths: None, ..Input::default() },
    )
}
