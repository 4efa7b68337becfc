//! The executable specification: every cell, forward and backward, as plain scalar loops.
//!
//! The kernels of this crate are fast and therefore long. This file says in the shortest way what they
//! compute: one row at a time, one step at a time, the equations as they stand below, in `f32` or `f64`.
//! Tests, benches and fuzz targets compare the kernels with it; nothing else uses it, and it uses nothing
//! of the crate. Its gradients are proved against central differences in `tests/reference.rs`.
//!
//! # Equations
//!
//! `W` and `R` are `weight_ih` and `weight_hh`, `s` is the logistic sigmoid, `*` between vectors is
//! elementwise, and a prime marks the state after the step. The two halves of the pre-activations come in
//! blocks of `H` rows, one block for each gate:
//!
//! ```text
//!                 a = W x + b_ih        q = R h + b_hh
//!
//! Lstm            i = s(a_i + q_i)      f = s(a_f + q_f)      g = tanh(a_g + q_g)      o = s(a_o + q_o)
//!                 c' = f * c + i * g    h' = o * tanh(c')
//!
//! Gru...          r = s(a_r + q_r)      z = s(a_z + q_z)      h' = (1 - z) * n + z * h
//!   ResetAfter    n = tanh(a_n + r * q_n)
//!   ResetBefore   n = tanh(a_n + q_n), where q_n = R_n (r * h) + b_hh_n
//!
//! ElmanTanh       h' = tanh(a + q)
//! ElmanRelu       h' = max(0, a + q), and NaN stays NaN
//! ```
//!
//! # Variants
//!
//! A [`Variant`] puts other activations in the places of `s` (f), `tanh` (g) and the `tanh` of `c'` (h), clamps
//! their arguments but for the last, and changes the LSTM:
//!
//! ```text
//! peephole        a_i + q_i + p_i * c, a_f + q_f + p_f * c, a_o + q_o + p_o * c'
//! coupled         f = 1 - i
//! cell clip       c' is clamped before p_o and h' see it
//! projection      m = o * tanh(c'), h' = W_hr m
//! ```
//!
//! With layer normalisation `N(v) = (v - mean) / sqrt(variance + eps)` over all elements of a vector, for the LSTM and
//! for `GruResetAfter` (Ba, Kiros, Hinton 2016, arXiv 1607.06450):
//!
//! ```text
//!                 a = norm_ih * N(W x) + b_ih      q = norm_hh * N(R h) + b_hh
//! Lstm            h' = o * tanh(norm_c[0] * N(c') + norm_c[1])
//! ```
//!
//! # Layouts
//!
//! All arrays are row-major, with `T` steps, `B` rows, `I` inputs, `H` hidden units, `G` gates, `L` layers
//! and `D` directions:
//!
//! ```text
//! weight_ih (G*H, I or D*H)     weight_hh (G*H, H)     bias_ih, bias_hh (G*H)     gates i,f,g,o and r,z,n
//! peephole (3, H), i,f,o        weight_hr (P, H)       norm_ih, norm_hh (G*H)     norm_c (2, H)
//! x (T, B, I)      y, mask (T, B, D*H)      h0, c0, hn, cn (L*D, B, H), at layer * D + direction
//! ```
//!
//! With a projection `h`, and so `y`, is `P` wide, and `weight_hh` (G*H, P), `weight_ih` above the first layer
//! (G*H, D*P).
//!
//! # Structure
//!
//! A layer above the first sees the outputs of both directions below it, side by side. Each row runs over
//! its own length `n`: the first direction from step 0 to `n - 1`, the second from `n - 1` down to 0, each
//! from its own initial state. Outputs and input gradients past the end of a row are zero; whatever stands
//! there in the arguments, NaN included, is never read into a result. A final state is the state after the
//! last step a row has taken; a row of length zero returns its initial state.
//!
//! # Differences from the kernels
//!
//! The kernels also store every element of `h` and `c` below 1e-30 in magnitude as zero, so that a decaying
//! state does not fall into denormals; the reference does not. Sums here run in ascending order from the
//! bias, unfused, so the last bits differ too. And where the kernels return an error, this panics.

// Loops by index read like the equations.
#![allow(clippy::needless_range_loop)]

use std::array;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

mod sealed {
    pub trait Sealed {}
}

/// The arithmetic the reference needs: `f32` or `f64`.
pub trait Real:
    sealed::Sealed
    + Copy
    + PartialOrd
    + Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// `e` to the power of `self`.
    fn exp(self) -> Self;
    /// `e` to the power of `self`, minus one.
    fn exp_m1(self) -> Self;
    /// The logarithm of one plus `self`.
    fn ln_1p(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// The same value in double precision.
    fn to_f64(self) -> f64;
}

macro_rules! real {
    ($($float:ident)*) => {$(
        impl sealed::Sealed for $float {}
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn exp(self) -> Self { $float::exp(self) }
            fn exp_m1(self) -> Self { $float::exp_m1(self) }
            fn ln_1p(self) -> Self { $float::ln_1p(self) }
            fn sqrt(self) -> Self { $float::sqrt(self) }
            fn tanh(self) -> Self { $float::tanh(self) }
            fn from_f64(value: f64) -> Self { value as $float }
            fn to_f64(self) -> f64 { f64::from(self) }
        }
    )*};
}
real!(f32 f64);

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
}

impl Cell {
    /// `G`, the number of blocks of `H` rows in the weights: 4, 3, 3, 1, 1.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::GruResetAfter | Cell::GruResetBefore => 3,
            Cell::ElmanTanh | Cell::ElmanRelu => 1,
        }
    }

    /// The width of the cell state, which only the LSTM has.
    fn cell_size(self, hidden: usize) -> usize {
        if self == Cell::Lstm { hidden } else { 0 }
    }

    /// How many rows of `R` multiply `h`. The rest, the candidate of `GruResetBefore`, multiply `r * h`.
    fn plain_rows(self, hidden: usize) -> usize {
        if self == Cell::GruResetBefore { 2 * hidden } else { self.gates() * hidden }
    }
}

/// The activations of ONNX; parameters are `alpha`, `beta`.
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
        }
    }
}

/// What a cell computes besides its plain form, which is the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variant {
    /// In place of the cell's own, in ONNX's order: LSTM f (i, f, o), g (candidate), h (output); GRU f, g;
    /// Elman f.
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
    fn activation(&self, cell: Cell, place: usize) -> Activation {
        match (&self.activations, cell, place) {
            (Some(activations), _, _) => activations[place],
            (None, Cell::ElmanTanh, _) | (None, _, 1 | 2) => Activation::Tanh,
            (None, Cell::ElmanRelu, _) => Activation::Relu,
            (None, _, _) => Activation::Sigmoid,
        }
    }

    /// Value and slope of the activation at a place, clipped.
    fn gate<F: Real>(&self, cell: Cell, place: usize, v: F) -> (F, F) {
        let (clamped, open) = clamp(v, self.clip);
        let (value, slope) = self.activation(cell, place).at(clamped);
        (value, open * slope)
    }
}

/// `v` clamped to a magnitude, and the slope of that.
fn clamp<F: Real>(v: F, bound: Option<f64>) -> (F, F) {
    match bound.map(F::from_f64) {
        Some(bound) if v > bound => (bound, F::ZERO),
        Some(bound) if v < -bound => (-bound, F::ZERO),
        _ => (v, F::ONE),
    }
}

/// The parameters of one layer in one direction, or their gradients.
#[derive(Debug, Clone)]
pub struct Params<F> {
    /// `W`, `(G*H, I)`, or `(G*H, D*H)` above the first layer.
    pub weight_ih: Vec<F>,
    /// `R`, `(G*H, H)`.
    pub weight_hh: Vec<F>,
    /// The bias of `a`, `(G*H)`.
    pub bias_ih: Vec<F>,
    /// The bias of `q`, `(G*H)`.
    pub bias_hh: Vec<F>,
    /// `W_hr`, `(P, H)`, or empty without projection.
    pub weight_hr: Vec<F>,
    /// The peepholes, `(3, H)`, rows i, f, o, or empty without.
    pub peephole: Vec<F>,
    /// The gains of `N(W x)`, `(G*H)`, or empty without layer normalisation.
    pub norm_ih: Vec<F>,
    /// The gains of `N(R h)`, `(G*H)`, or empty without layer normalisation.
    pub norm_hh: Vec<F>,
    /// Gain and shift of `N(c')`, `(2, H)`, or empty without.
    pub norm_c: Vec<F>,
}

impl<F: Real> Params<F> {
    /// All zero, for one layer in one direction that sees `input` values, without projection, peepholes and
    /// normalisation.
    pub fn zeros(cell: Cell, input: usize, hidden: usize) -> Self {
        let zeros = |columns| vec![F::ZERO; cell.gates() * hidden * columns];
        Params {
            weight_ih: zeros(input),
            weight_hh: zeros(hidden),
            bias_ih: zeros(1),
            bias_hh: zeros(1),
            weight_hr: vec![],
            peephole: vec![],
            norm_ih: vec![],
            norm_hh: vec![],
            norm_c: vec![],
        }
    }

    /// All zero, of the same shape.
    fn zeros_like(&self) -> Self {
        let zeros = |array: &Vec<F>| vec![F::ZERO; array.len()];
        Params {
            weight_ih: zeros(&self.weight_ih),
            weight_hh: zeros(&self.weight_hh),
            bias_ih: zeros(&self.bias_ih),
            bias_hh: zeros(&self.bias_hh),
            weight_hr: zeros(&self.weight_hr),
            peephole: zeros(&self.peephole),
            norm_ih: zeros(&self.norm_ih),
            norm_hh: zeros(&self.norm_hh),
            norm_c: zeros(&self.norm_c),
        }
    }
}

/// A stack of layers of one cell.
#[derive(Debug, Clone)]
pub struct Model<F> {
    /// The cell of every layer.
    pub cell: Cell,
    /// `I`, the width of the input.
    pub input_size: usize,
    /// `H`, the width of the cell state, and without projection of the hidden state.
    pub hidden_size: usize,
    /// `P`, the width of the hidden state of an LSTM with a projection.
    pub projection: Option<usize>,
    /// The epsilon of the layer normalisation, where there is one.
    pub layer_norm: Option<f64>,
    /// `L`, at least one.
    pub layers: usize,
    /// Whether each layer also runs from the end to the start.
    pub bidirectional: bool,
    /// Whether the one direction of a network that is not bidirectional runs from the end to the start.
    pub reverse: bool,
    /// The variant of each direction.
    pub variants: [Variant; 2],
    /// The parameters, at `layer * D + direction`.
    pub params: Vec<Params<F>>,
}

impl<F> Model<F> {
    /// `D`: 1, or 2 if bidirectional.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// The width of the hidden state.
    pub fn output_size(&self) -> usize {
        self.projection.unwrap_or(self.hidden_size)
    }

    /// The width of what a layer sees: `I` for the first, `D*H` above it, or `D*P`.
    pub fn input_width(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.directions() * self.output_size() }
    }

    /// The time of the step that a row takes as number `k` in a direction.
    fn time(&self, direction: usize, length: usize, k: usize) -> usize {
        if direction == 1 || self.reverse { length - 1 - k } else { k }
    }
}

/// One batch of sequences.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a, F> {
    /// `T`, the number of steps.
    pub steps: usize,
    /// `B`, the number of rows.
    pub batch: usize,
    /// The sequences, `(T, B, I)`.
    pub x: &'a [F],
    /// Initial hidden states, `(L*D, B, H)`; none means zero.
    pub h0: Option<&'a [F]>,
    /// Initial cell states of an LSTM, likewise.
    pub c0: Option<&'a [F]>,
    /// The length of each row, `(B)`; none means that all have `T` steps.
    pub lengths: Option<&'a [usize]>,
    /// Dropout between layers: for each layer but the last, a factor `(T, B, D*H)` on its output.
    pub masks: Option<&'a [Vec<F>]>,
    /// Recurrent dropout: for each layer and direction, a factor `(B, H)` on the hidden state that `R` multiplies,
    /// the same at every step.
    pub recurrent_masks: Option<&'a [Vec<F>]>,
    /// Input dropout: for each layer, a factor `(B, width)` on what it reads, the same at every step.
    pub input_masks: Option<&'a [Vec<F>]>,
    /// Zoneout: for each layer and direction, the part `(T, B, H)` of the new hidden state, and that of the new cell
    /// state, that is taken over from the step.
    pub taken: Option<[&'a [Vec<F>]; 2]>,
}

impl<F> Default for Input<'_, F> {
    /// Nothing of everything.
    fn default() -> Self {
        Input {
            steps: 0,
            batch: 0,
            x: &[],
            h0: None,
            c0: None,
            lengths: None,
            masks: None,
            recurrent_masks: None,
            input_masks: None,
            taken: None,
        }
    }
}

impl<F> Input<'_, F> {
    fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| lengths[row])
    }

    /// The factor on the output of a layer, which the last one does not have.
    fn mask(&self, layer: usize) -> Option<&Vec<F>> {
        self.masks.and_then(|masks| masks.get(layer))
    }

    /// What a layer reads, or its gradient, with the factors of input dropout.
    fn masked(&self, layer: usize, x: &[F]) -> Vec<F>
    where
        F: Real,
    {
        match self.input_masks {
            None => x.to_vec(),
            Some(masks) => x.iter().zip(masks[layer].iter().cycle()).map(|(&x, &mask)| x * mask).collect(),
        }
    }

    /// The parts of the new hidden and cell states that are taken over, one factor each.
    fn taken(&self, pass: usize, at: usize, widths: [usize; 2]) -> [Vec<F>; 2]
    where
        F: Real,
    {
        array::from_fn(|n| {
            let width = widths[n];
            let all = || vec![F::ONE; width];
            self.taken.map_or_else(all, |taken| taken[n][pass][at * width..][..width].to_vec())
        })
    }

    /// The factor on the hidden state that `R` multiplies.
    fn recurrent_mask(&self, pass: usize, row: usize, width: usize) -> Vec<F>
    where
        F: Real,
    {
        let all = || vec![F::ONE; width];
        self.recurrent_masks.map_or_else(all, |masks| masks[pass][row * width..][..width].to_vec())
    }
}

/// What the forward pass returns.
#[derive(Debug, Clone)]
pub struct Output<F> {
    /// The outputs of the last layer, `(T, B, D*H)`, zero past the end of a row.
    pub y: Vec<F>,
    /// Final hidden states, `(L*D, B, H)`.
    pub hn: Vec<F>,
    /// Final cell states, `(L*D, B, H)`; empty unless the cell is an LSTM.
    pub cn: Vec<F>,
    /// The steps in the order in which they were taken, for each `(L*D, B)`.
    trace: Vec<Vec<Step<F>>>,
}

/// Gradients of a loss with respect to the results of the forward pass; none means zero.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a, F> {
    /// With respect to `y`; ignored past the end of a row.
    pub dy: Option<&'a [F]>,
    /// With respect to `hn`.
    pub dhn: Option<&'a [F]>,
    /// With respect to `cn`.
    pub dcn: Option<&'a [F]>,
}

/// Gradients of the loss with respect to the arguments of the forward pass.
#[derive(Debug, Clone)]
pub struct Gradients<F> {
    /// With respect to `x`, `(T, B, I)`, zero past the end of a row.
    pub x: Vec<F>,
    /// With respect to `h0`, `(L*D, B, H)`.
    pub h0: Vec<F>,
    /// With respect to `c0`, `(L*D, B, H)`; empty unless the cell is an LSTM.
    pub c0: Vec<F>,
    /// With respect to the parameters, at `layer * D + direction`, summed over steps and rows.
    pub params: Vec<Params<F>>,
}

/// Runs all layers over a batch.
///
/// # Panics
///
/// If a size does not fit.
pub fn forward<F: Real>(model: &Model<F>, input: &Input<'_, F>) -> Output<F> {
    check(model, input);
    let (batch, outputs, directions) = (input.batch, model.output_size(), model.directions());
    let cell_size = model.cell.cell_size(model.hidden_size);
    let (mut hn, mut cn, mut trace) = (vec![], vec![], vec![]);
    let mut x = input.x.to_vec();
    for layer in 0..model.layers {
        let width = model.input_width(layer);
        x = input.masked(layer, &x);
        let mut y = vec![F::ZERO; input.steps * batch * directions * outputs];
        for direction in 0..directions {
            let pass = layer * directions + direction;
            let params = &model.params[pass];
            for row in 0..batch {
                let length = input.length(row);
                let mut h = part(input.h0, pass * batch + row, outputs);
                let mut c = part(input.c0, pass * batch + row, cell_size);
                let mask = input.recurrent_mask(pass, row, outputs);
                let mut steps = vec![];
                for k in 0..length {
                    let at = model.time(direction, length, k) * batch + row;
                    let step =
                        step_forward(model, direction, params, &x[at * width..][..width], (&h, &mask), &c);
                    // h'' = h + taken (h' - h), and c'' likewise.
                    let [h_taken, c_taken] = input.taken(pass, at, [outputs, cell_size]);
                    h = blend(&h_taken, &step.h_next, &h);
                    c = blend(&c_taken, &step.c_next, &c);
                    y[(at * directions + direction) * outputs..][..outputs].copy_from_slice(&h);
                    steps.push(step);
                }
                hn.extend(h);
                cn.extend(c);
                trace.push(steps);
            }
        }
        if let Some(mask) = input.mask(layer) {
            y = product(&y, mask);
        }
        x = y;
    }
    Output { y: x, hn, cn, trace }
}

/// Back-propagation through time: the gradients of `sum(dy * y) + sum(dhn * hn) + sum(dcn * cn)`.
///
/// `output` is what [`forward`] returned for the same model and input.
///
/// # Panics
///
/// If a size does not fit.
pub fn backward<F: Real>(
    model: &Model<F>,
    input: &Input<'_, F>,
    output: &Output<F>,
    upstream: &Upstream<'_, F>,
) -> Gradients<F> {
    check(model, input);
    let (batch, outputs, directions) = (input.batch, model.output_size(), model.directions());
    let cell_size = model.cell.cell_size(model.hidden_size);
    assert_eq!(output.trace.len(), model.params.len() * batch, "output: of another model or input");
    check_size("dy", upstream.dy, output.y.len());
    check_size("dhn", upstream.dhn, output.hn.len());
    check_size("dcn", upstream.dcn, output.cn.len());

    let mut grads: Vec<Params<F>> = model.params.iter().map(Params::zeros_like).collect();
    let mut dh0 = vec![F::ZERO; output.hn.len()];
    let mut dc0 = vec![F::ZERO; output.cn.len()];
    let mut dy = part(upstream.dy, 0, output.y.len());
    for layer in (0..model.layers).rev() {
        if let Some(mask) = input.mask(layer) {
            dy = product(&dy, mask);
        }
        let width = model.input_width(layer);
        let mut dx = vec![F::ZERO; input.steps * batch * width];
        for direction in 0..directions {
            let pass = layer * directions + direction;
            let (params, grads) = (&model.params[pass], &mut grads[pass]);
            for row in 0..batch {
                let steps = &output.trace[pass * batch + row];
                let mut dh = part(upstream.dhn, pass * batch + row, outputs);
                let mut dc = part(upstream.dcn, pass * batch + row, cell_size);
                for k in (0..steps.len()).rev() {
                    let at = model.time(direction, steps.len(), k) * batch + row;
                    // h' is the output of the step as well as the state before the next one.
                    add(&mut dh, &dy[(at * directions + direction) * outputs..][..outputs]);
                    let dx = &mut dx[at * width..][..width];
                    let [h_taken, c_taken] = input.taken(pass, at, [outputs, cell_size]);
                    let (h_past, c_past) =
                        (blend(&h_taken, &zeros(&dh), &dh), blend(&c_taken, &zeros(&dc), &dc));
                    (dh, dc) = (product(&h_taken, &dh), product(&c_taken, &dc));
                    (dh, dc) = step_backward(model, direction, params, &steps[k], &dh, &dc, dx, grads);
                    add(&mut dh, &h_past);
                    add(&mut dc, &c_past);
                }
                dh0[(pass * batch + row) * outputs..][..outputs].copy_from_slice(&dh);
                dc0[(pass * batch + row) * cell_size..][..cell_size].copy_from_slice(&dc);
            }
        }
        dy = input.masked(layer, &dx);
    }
    Gradients { x: dy, h0: dh0, c0: dc0, params: grads }
}

/// One step of one row, as its backward pass needs it.
#[derive(Debug, Clone)]
struct Step<F> {
    x: Vec<F>,
    h: Vec<F>,
    c: Vec<F>,
    /// The mask of recurrent dropout, and h with it: what `R` multiplies.
    mask: Vec<F>,
    masked: Vec<F>,
    /// `R h + b_hh`; of the candidate of `GruResetBefore`, `R (r * h) + b_hh`.
    q: Vec<F>,
    /// The gates, after their activations, and the slopes of these.
    gates: Vec<F>,
    slopes: Vec<F>,
    /// Of an LSTM, the activation of `c'` and its slope, and the slope of the clip of `c'`.
    outputs: Vec<F>,
    output_slopes: Vec<F>,
    clip_slopes: Vec<F>,
    /// Of an LSTM with a projection, what is projected.
    m: Vec<F>,
    /// With layer normalisation, `N(W x)`, `N(R h)` and `N(c')`, and the factors of these.
    normalised: [Vec<F>; 3],
    factors: [F; 3],
    h_next: Vec<F>,
    c_next: Vec<F>,
}

fn step_forward<F: Real>(
    model: &Model<F>,
    direction: usize,
    params: &Params<F>,
    x: &[F],
    (h, mask): (&[F], &[F]),
    c: &[F],
) -> Step<F> {
    let (cell, variant, hidden) = (model.cell, &model.variants[direction], model.hidden_size);
    let plain = cell.plain_rows(hidden);
    let masked = product(h, mask);
    let (mut normalised, mut factors) = (array::from_fn(|_| vec![]), [F::ZERO; 3]);
    let mut a = affine(&params.weight_ih, x, &params.bias_ih);
    let mut q = affine(&params.weight_hh[..plain * h.len()], &masked, &params.bias_hh[..plain]);
    if let Some(epsilon) = model.layer_norm {
        let zeros = vec![F::ZERO; plain];
        (normalised[0], factors[0]) = normalise(&affine(&params.weight_ih, x, &zeros), epsilon);
        (normalised[1], factors[1]) = normalise(&affine(&params.weight_hh, &masked, &zeros), epsilon);
        a = product(&params.norm_ih, &normalised[0]);
        q = product(&params.norm_hh, &normalised[1]);
        add(&mut a, &params.bias_ih);
        add(&mut q, &params.bias_hh);
    }
    let mut gates = vec![F::ZERO; cell.gates() * hidden];
    let mut slopes = gates.clone();
    let mut h_next = vec![F::ZERO; hidden];
    let [mut c_next, mut outputs, mut output_slopes, mut clip_slopes] =
        array::from_fn(|_| vec![F::ZERO; c.len()]);
    match cell {
        Cell::Lstm => {
            for j in 0..hidden {
                let [i, f, g, o] = rows(j, hidden);
                let [p_i, p_f, p_o] = peepholes(params, j, hidden);
                (gates[i], slopes[i]) = variant.gate(cell, 0, a[i] + q[i] + p_i * c[j]);
                (gates[f], slopes[f]) = variant.gate(cell, 0, a[f] + q[f] + p_f * c[j]);
                (gates[g], slopes[g]) = variant.gate(cell, 1, a[g] + q[g]);
                if variant.coupled {
                    (gates[f], slopes[f]) = (F::ONE - gates[i], F::ZERO);
                }
                (c_next[j], clip_slopes[j]) = clamp(gates[f] * c[j] + gates[i] * gates[g], variant.cell_clip);
                (gates[o], slopes[o]) = variant.gate(cell, 0, a[o] + q[o] + p_o * c_next[j]);
            }
            let mut seen = c_next.clone();
            if let Some(epsilon) = model.layer_norm {
                (normalised[2], factors[2]) = normalise(&c_next, epsilon);
                let (gain, shift) = params.norm_c.split_at(hidden);
                seen = product(gain, &normalised[2]);
                add(&mut seen, shift);
            }
            for j in 0..hidden {
                (outputs[j], output_slopes[j]) = variant.activation(cell, 2).at(seen[j]);
                h_next[j] = gates[3 * hidden + j] * outputs[j];
            }
        }
        Cell::GruResetAfter | Cell::GruResetBefore => {
            for j in 0..hidden {
                let [r, z, _] = rows(j, hidden);
                (gates[r], slopes[r]) = variant.gate(cell, 0, a[r] + q[r]);
                (gates[z], slopes[z]) = variant.gate(cell, 0, a[z] + q[z]);
            }
            if cell == Cell::GruResetBefore {
                let rh = product(&gates[..hidden], &masked);
                q.extend(affine(&params.weight_hh[plain * hidden..], &rh, &params.bias_hh[plain..]));
            }
            for j in 0..hidden {
                let [r, z, n] = rows(j, hidden);
                let reset = if cell == Cell::GruResetAfter { gates[r] } else { F::ONE };
                (gates[n], slopes[n]) = variant.gate(cell, 1, a[n] + reset * q[n]);
                h_next[j] = (F::ONE - gates[z]) * gates[n] + gates[z] * h[j];
            }
        }
        Cell::ElmanTanh | Cell::ElmanRelu => {
            for j in 0..hidden {
                (gates[j], slopes[j]) = variant.gate(cell, 0, a[j] + q[j]);
                h_next[j] = gates[j];
            }
        }
    }
    let mut m = vec![];
    if let Some(size) = model.projection {
        m = h_next;
        h_next = affine(&params.weight_hr, &m, &vec![F::ZERO; size]);
    }
    let (x, h, c, mask) = (x.to_vec(), h.to_vec(), c.to_vec(), mask.to_vec());
    Step {
        x,
        h,
        c,
        mask,
        masked,
        q,
        gates,
        slopes,
        outputs,
        output_slopes,
        clip_slopes,
        m,
        normalised,
        factors,
        h_next,
        c_next,
    }
}

/// From the gradients of `h'` and `c'` to those of `h` and `c`. Adds to the gradients of `x` and of the
/// parameters.
#[allow(clippy::too_many_arguments)]
fn step_backward<F: Real>(
    model: &Model<F>,
    direction: usize,
    params: &Params<F>,
    step: &Step<F>,
    dh_next: &[F],
    dc_next: &[F],
    dx: &mut [F],
    grads: &mut Params<F>,
) -> (Vec<F>, Vec<F>) {
    let Step { x, h, c, q, gates, slopes, outputs, output_slopes, clip_slopes, m, c_next, .. } = step;
    let Step { normalised, factors, mask, masked, .. } = step;
    let (cell, variant, hidden) = (model.cell, &model.variants[direction], model.hidden_size);
    let plain = cell.plain_rows(hidden);
    let mut da = vec![F::ZERO; gates.len()];
    let mut dh = vec![F::ZERO; h.len()];
    let mut dmasked = dh.clone();
    let mut dc = vec![F::ZERO; c.len()];

    // h' = W_hr m
    let mut dh_next = dh_next.to_vec();
    if model.projection.is_some() {
        let mut dm = vec![F::ZERO; hidden];
        add_transposed(&mut dm, &params.weight_hr, &dh_next);
        add_outer(&mut grads.weight_hr, &dh_next, m);
        dh_next = dm;
    }

    // From h' and c' to a.
    match cell {
        Cell::Lstm => {
            // h' = o tanh(c')
            let mut through = product(&product(&dh_next, &gates[3 * hidden..]), output_slopes);
            if model.layer_norm.is_some() {
                let (gain, shift) = grads.norm_c.split_at_mut(hidden);
                add(gain, &product(&through, &normalised[2]));
                add(shift, &through);
                let gained = product(&through, &params.norm_c[..hidden]);
                through = through_norm(&gained, &normalised[2], factors[2]);
            }
            for j in 0..hidden {
                let [i, f, g, o] = rows(j, hidden);
                let [p_i, p_f, p_o] = peepholes(params, j, hidden);
                da[o] = dh_next[j] * outputs[j] * slopes[o];
                let d_c = dc_next[j] + through[j] + p_o * da[o];
                let d_c = d_c * clip_slopes[j];
                // c' = f c + i g, or (1 - i) c + i g
                let through_i = if variant.coupled { gates[g] - c[j] } else { gates[g] };
                da[i] = d_c * through_i * slopes[i];
                da[f] = d_c * c[j] * slopes[f];
                da[g] = d_c * gates[i] * slopes[g];
                dc[j] = d_c * gates[f] + p_i * da[i] + p_f * da[f];
                if !grads.peephole.is_empty() {
                    grads.peephole[j] += da[i] * c[j];
                    grads.peephole[hidden + j] += da[f] * c[j];
                    grads.peephole[2 * hidden + j] += da[o] * c_next[j];
                }
            }
        }
        Cell::GruResetAfter | Cell::GruResetBefore => {
            for j in 0..hidden {
                let [_, z, n] = rows(j, hidden);
                // h' = (1 - z) n + z h
                da[z] = dh_next[j] * (h[j] - gates[n]) * slopes[z];
                da[n] = dh_next[j] * (F::ONE - gates[z]) * slopes[n];
                dh[j] = dh_next[j] * gates[z];
            }
            let (r, da_n) = (&gates[..hidden], &da[2 * hidden..]);
            let dr = if cell == Cell::GruResetAfter {
                // n = tanh(a_n + r q_n)
                product(da_n, &q[2 * hidden..])
            } else {
                // n = tanh(a_n + R_n (r h) + b_hh_n)
                let mut drh = vec![F::ZERO; hidden];
                add_transposed(&mut drh, &params.weight_hh[plain * hidden..], da_n);
                add_outer(&mut grads.weight_hh[plain * hidden..], da_n, &product(r, masked));
                add(&mut dmasked, &product(&drh, r));
                product(&drh, masked)
            };
            for j in 0..hidden {
                da[j] = dr[j] * slopes[j];
            }
        }
        Cell::ElmanTanh | Cell::ElmanRelu => {
            for j in 0..hidden {
                da[j] = dh_next[j] * slopes[j];
            }
        }
    }

    // q enters as a does, except that GruResetAfter has r q_n.
    let mut dq = da.clone();
    if cell == Cell::GruResetAfter {
        dq[2 * hidden..].copy_from_slice(&product(&gates[..hidden], &da[2 * hidden..]));
    }

    // a = W x + b_ih, or with W x normalised; q alike.
    add(&mut grads.bias_ih, &da);
    add(&mut grads.bias_hh, &dq);
    if model.layer_norm.is_some() {
        add(&mut grads.norm_ih, &product(&da, &normalised[0]));
        add(&mut grads.norm_hh, &product(&dq, &normalised[1]));
        da = through_norm(&product(&da, &params.norm_ih), &normalised[0], factors[0]);
        dq = through_norm(&product(&dq, &params.norm_hh), &normalised[1], factors[1]);
    }
    add_outer(&mut grads.weight_ih, &da, x);
    add_transposed(dx, &params.weight_ih, &da);
    // q = R h + b_hh
    add_outer(&mut grads.weight_hh[..plain * h.len()], &dq[..plain], masked);
    add_transposed(&mut dmasked, &params.weight_hh[..plain * h.len()], &dq[..plain]);
    add(&mut dh, &product(&dmasked, mask));
    (dh, dc)
}

/// The rows of the gates of hidden unit `j`.
fn rows<const G: usize>(j: usize, hidden: usize) -> [usize; G] {
    array::from_fn(|gate| gate * hidden + j)
}

/// The peepholes of hidden unit `j`, zero where there are none.
fn peepholes<F: Real>(params: &Params<F>, j: usize, hidden: usize) -> [F; 3] {
    array::from_fn(|gate| params.peephole.get(gate * hidden + j).copied().unwrap_or(F::ZERO))
}

/// The mean of a vector.
fn mean<F: Real>(v: &[F]) -> F {
    v.iter().fold(F::ZERO, |sum, &v| sum + v) / F::from_f64(v.len() as f64)
}

/// `N(v)`, and the factor `1 / sqrt(variance + eps)`.
fn normalise<F: Real>(v: &[F], epsilon: f64) -> (Vec<F>, F) {
    let mean_of_v = mean(v);
    let centred: Vec<F> = v.iter().map(|&v| v - mean_of_v).collect();
    let factor = F::ONE / (mean(&product(&centred, &centred)) + F::from_f64(epsilon)).sqrt();
    (centred.iter().map(|&v| v * factor).collect(), factor)
}

/// The gradient of `v` from that of `y = N(v)`.
fn through_norm<F: Real>(dy: &[F], y: &[F], factor: F) -> Vec<F> {
    let (first, second) = (mean(dy), mean(&product(dy, y)));
    dy.iter().zip(y).map(|(&dy, &y)| factor * (dy - first - y * second)).collect()
}

/// The logistic sigmoid. Where `exp` overflows, it is exactly zero.
fn sigmoid<F: Real>(v: F) -> F {
    F::ONE / (F::ONE + (-v).exp())
}

/// The derivative of the sigmoid where its value is `s`.
fn sigmoid_slope<F: Real>(s: F) -> F {
    s * (F::ONE - s)
}

/// The derivative of tanh where its value is `t`.
fn tanh_slope<F: Real>(t: F) -> F {
    F::ONE - t * t
}

/// `m v + bias`, with as many rows as the bias.
fn affine<F: Real>(m: &[F], v: &[F], bias: &[F]) -> Vec<F> {
    let mut out = bias.to_vec();
    for row in 0..out.len() {
        for column in 0..v.len() {
            out[row] += m[row * v.len() + column] * v[column];
        }
    }
    out
}

/// `u += m^T v`.
fn add_transposed<F: Real>(u: &mut [F], m: &[F], v: &[F]) {
    for row in 0..v.len() {
        for column in 0..u.len() {
            u[column] += m[row * u.len() + column] * v[row];
        }
    }
}

/// `m += u v^T`.
fn add_outer<F: Real>(m: &mut [F], u: &[F], v: &[F]) {
    for row in 0..u.len() {
        for column in 0..v.len() {
            m[row * v.len() + column] += u[row] * v[column];
        }
    }
}

/// `u += v`.
fn add<F: Real>(u: &mut [F], v: &[F]) {
    for j in 0..u.len() {
        u[j] += v[j];
    }
}

/// `u * v`, elementwise.
fn product<F: Real>(u: &[F], v: &[F]) -> Vec<F> {
    u.iter().zip(v).map(|(&u, &v)| u * v).collect()
}

/// `taken * new + (1 - taken) * old`, elementwise.
fn blend<F: Real>(taken: &[F], new: &[F], old: &[F]) -> Vec<F> {
    (0..old.len()).map(|j| taken[j] * new[j] + (F::ONE - taken[j]) * old[j]).collect()
}

fn zeros<F: Real>(like: &[F]) -> Vec<F> {
    vec![F::ZERO; like.len()]
}

/// The part number `index` of `width` values, zero where there is no array.
fn part<F: Real>(array: Option<&[F]>, index: usize, width: usize) -> Vec<F> {
    array.map_or(vec![F::ZERO; width], |array| array[index * width..][..width].to_vec())
}

fn check_size<T>(name: &str, array: Option<&[T]>, expected: usize) {
    assert!(array.is_none_or(|array| array.len() == expected), "{name}: expected {expected} elements");
}

fn check<F: Real>(model: &Model<F>, input: &Input<'_, F>) {
    let (hidden, directions, outputs) = (model.hidden_size, model.directions(), model.input_width(1));
    let width = model.output_size();
    let passes = model.layers * directions;
    assert!(model.layers > 0, "layers: expected at least one");
    check_size("params", Some(&model.params), passes);
    for (pass, params) in model.params.iter().enumerate() {
        let rows = model.cell.gates() * hidden;
        check_size("weight_ih", Some(&params.weight_ih), rows * model.input_width(pass / directions));
        check_size("weight_hh", Some(&params.weight_hh), rows * width);
        check_size("weight_hr", Some(&params.weight_hr), model.projection.unwrap_or(0) * hidden);
        let peepholes = if params.peephole.is_empty() { 0 } else { 3 * hidden };
        check_size("peephole", Some(&params.peephole), peepholes);
        assert!(model.cell == Cell::Lstm || peepholes == 0, "peephole: expected an LSTM");
        let norms = if model.layer_norm.is_some() { 1 } else { 0 };
        check_size("norm_ih", Some(&params.norm_ih), norms * rows);
        check_size("norm_hh", Some(&params.norm_hh), norms * rows);
        check_size("norm_c", Some(&params.norm_c), 2 * norms * model.cell.cell_size(hidden));
        check_size("bias_ih", Some(&params.bias_ih), rows);
        check_size("bias_hh", Some(&params.bias_hh), rows);
    }
    check_size("x", Some(input.x), input.steps * input.batch * model.input_size);
    check_size("h0", input.h0, passes * input.batch * width);
    assert!(model.cell == Cell::Lstm || model.projection.is_none(), "projection: expected an LSTM");
    let normalisable = matches!(model.cell, Cell::Lstm | Cell::GruResetAfter) && model.projection.is_none();
    assert!(normalisable || model.layer_norm.is_none(), "layer_norm: expected an LSTM or GruResetAfter");
    check_size("c0", input.c0, passes * input.batch * model.cell.cell_size(hidden));
    check_size("lengths", input.lengths, input.batch);
    check_size("masks", input.masks, model.layers - 1);
    for mask in input.masks.unwrap_or_default() {
        check_size("mask", Some(mask), input.steps * input.batch * outputs);
    }
    check_size("recurrent_masks", input.recurrent_masks, passes);
    for mask in input.recurrent_masks.unwrap_or_default() {
        check_size("recurrent mask", Some(mask), input.batch * width);
    }
    check_size("input_masks", input.input_masks, model.layers);
    for (layer, mask) in input.input_masks.unwrap_or_default().iter().enumerate() {
        check_size("input mask", Some(mask), input.batch * model.input_width(layer));
    }
    for (taken, width) in input.taken.iter().flatten().zip([width, model.cell.cell_size(hidden)]) {
        check_size("taken", Some(taken), passes);
        for taken in *taken {
            check_size("taken", Some(taken), input.steps * input.batch * width);
        }
    }
    assert!((0..input.batch).all(|row| input.length(row) <= input.steps), "lengths: expected at most T");
}
