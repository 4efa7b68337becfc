//! What a pass is given and gives back: parameters, arguments, results, and the steps that backward needs.

use super::cell::{Cell, Variant};
use super::precision::Precision;
use super::real::{Real, flushed};
use std::array;

/// The parameters of one layer in one direction, or their gradients.
#[derive(Debug, Clone)]
pub struct Params<F> {
    /// `W`, `(G*H, I)`, or `(G*H, D*H)` above the first layer.
    pub weight_ih: Vec<F>,
    /// `R`, `(G*H, H)`, with heads `(G*H, H / heads)`; of `IndRnn` u, `(H)`; of `MinGru` and `MinLstm` empty.
    pub weight_hh: Vec<F>,
    /// The bias of `a`, `(G*H)`.
    pub bias_ih: Vec<F>,
    /// The bias of `q`, `(G*H)`; of `MinGru`, `MinLstm` and `IndRnn` empty.
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
        let of = |gates: usize, columns| vec![F::ZERO; gates * hidden * columns];
        let (gates, second) = (cell.gates(), cell.recurrent_gates());
        Params {
            weight_ih: of(gates, input),
            weight_hh: if cell.is_diagonal() { of(1, 1) } else { of(second, hidden) },
            bias_ih: of(gates, 1),
            bias_hh: of(second, 1),
            weight_hr: vec![],
            peephole: vec![],
            norm_ih: vec![],
            norm_hh: vec![],
            norm_c: vec![],
        }
    }

    /// All tensors, in the order of `Recurrent::parameters`.
    fn tensors_mut(&mut self) -> [&mut Vec<F>; 9] {
        let Params { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c } =
            self;
        [weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c]
    }

    /// The same, with matrices as a precision has them.
    fn rounded(&self, cell: Cell, precision: Precision) -> Self {
        let diagonal = || self.weight_hh.clone();
        Params {
            weight_ih: precision.matrix(&self.weight_ih),
            weight_hh: if cell.is_diagonal() { diagonal() } else { precision.matrix(&self.weight_hh) },
            weight_hr: precision.matrix(&self.weight_hr),
            ..self.clone()
        }
    }

    /// The same, with zero in place of values too small to matter.
    fn flushed(&self) -> Self {
        Params {
            weight_ih: flushed(&self.weight_ih),
            weight_hh: flushed(&self.weight_hh),
            bias_ih: flushed(&self.bias_ih),
            bias_hh: flushed(&self.bias_hh),
            weight_hr: flushed(&self.weight_hr),
            peephole: flushed(&self.peephole),
            norm_ih: flushed(&self.norm_ih),
            norm_hh: flushed(&self.norm_hh),
            norm_c: flushed(&self.norm_c),
        }
    }

    /// All zero, of the same shape.
    pub(super) fn zeros_like(&self) -> Self {
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
    /// The heads of an `Slstm`, a divisor of `H`; 1 of all other cells.
    pub heads: usize,
    /// `L`, at least one.
    pub layers: usize,
    /// Whether each layer also runs from the end to the start.
    pub bidirectional: bool,
    /// Whether the one direction of a network that is not bidirectional runs from the end to the start.
    pub reverse: bool,
    /// The variant of each direction.
    pub variants: [Variant; 2],
    /// How its matrices are multiplied.
    pub precision: Precision,
    /// The parameters, at `layer * D + direction`.
    pub params: Vec<Params<F>>,
}

impl<F: Real> Model<F> {
    /// A plain network of `layers` layers, with all parameters zero: without projection, peepholes,
    /// normalisation and heads, which are set afterwards, their parameters too.
    pub fn zeros(
        cell: Cell,
        input_size: usize,
        hidden_size: usize,
        layers: usize,
        bidirectional: bool,
    ) -> Self {
        let mut model = Model {
            cell,
            input_size,
            hidden_size,
            projection: None,
            layer_norm: None,
            heads: 1,
            layers,
            bidirectional,
            reverse: false,
            variants: Default::default(),
            precision: Precision::Exact,
            params: vec![],
        };
        let directions = model.directions();
        let of = |pass: usize| Params::zeros(cell, model.input_width(pass / directions), hidden_size);
        model.params = (0..layers * directions).map(of).collect();
        model
    }

    /// Sets all parameters from one row of values in their order, which is that of
    /// [`Recurrent::parameters`](crate::Recurrent::parameters) of a network with both biases.
    ///
    /// # Panics
    /// If they are not as many.
    pub fn set_parameters(&mut self, values: &[F]) {
        let mut values = values.iter().copied();
        for tensor in self.params.iter_mut().flat_map(Params::tensors_mut) {
            for parameter in tensor {
                *parameter = values.next().expect("parameters: expected more values");
            }
        }
        assert!(values.next().is_none(), "parameters: expected fewer values");
    }

    /// The same, with matrices as the precision has them, and zero in place of parameters too small to
    /// matter.
    pub(super) fn flushed(&self) -> Self {
        let flushed = |params: &Params<F>| params.rounded(self.cell, self.precision).flushed();
        Model { params: self.params.iter().map(flushed).collect(), ..self.clone() }
    }
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
    pub(super) fn time(&self, direction: usize, length: usize, k: usize) -> usize {
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
    /// Recurrent dropout: for each layer and direction, a factor `(B, H)` on the hidden state that `R`
    /// multiplies, the same at every step.
    pub recurrent_masks: Option<&'a [Vec<F>]>,
    /// Input dropout: for each layer, a factor `(B, width)` on what it reads, the same at every step.
    pub input_masks: Option<&'a [Vec<F>]>,
    /// Zoneout: for each layer and direction, the part `(T, B, H)` of the new hidden state, and that of the
    /// new cell state, that is taken over from the step.
    pub taken: Option<[&'a [Vec<F>]; 2]>,
}

impl<F> Default for Input<'_, F> {
    /// An empty batch, without states, lengths or dropout.
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
    pub(super) fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| lengths[row])
    }

    /// The factor on the output of a layer, which the last one does not have.
    pub(super) fn mask(&self, layer: usize) -> Option<&Vec<F>> {
        self.masks.and_then(|masks| masks.get(layer))
    }

    /// What a layer reads, or its gradient, with the factors of input dropout.
    pub(super) fn masked(&self, layer: usize, x: &[F]) -> Vec<F>
    where
        F: Real,
    {
        match self.input_masks {
            None => x.to_vec(),
            Some(masks) => x.iter().zip(masks[layer].iter().cycle()).map(|(&x, &mask)| x * mask).collect(),
        }
    }

    /// The parts of the new hidden and cell states that are taken over, one factor each.
    pub(super) fn taken(&self, pass: usize, at: usize, widths: [usize; 2]) -> [Vec<F>; 2]
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
    pub(super) fn recurrent_mask(&self, pass: usize, row: usize, width: usize) -> Vec<F>
    where
        F: Real,
    {
        let all = || vec![F::ONE; width];
        self.recurrent_masks.map_or_else(all, |masks| masks[pass][row * width..][..width].to_vec())
    }
}

/// One step of one row, as its backward pass needs it.
#[derive(Debug, Clone)]
pub(super) struct Step<F> {
    pub(super) x: Vec<F>,
    pub(super) h: Vec<F>,
    pub(super) c: Vec<F>,
    /// The mask of recurrent dropout, and h with it: what `R` multiplies.
    pub(super) mask: Vec<F>,
    pub(super) masked: Vec<F>,
    /// `R h + b_hh`, of a diagonal R `u * h`; of the candidate of `GruResetBefore`, `R (r * h) + b_hh`.
    pub(super) q: Vec<F>,
    /// The gates, after their activations, and the slopes of these.
    pub(super) gates: Vec<F>,
    pub(super) slopes: Vec<F>,
    /// Of an LSTM, the activation of `c'` and its slope, and the slope of the clip of `c'`.
    pub(super) outputs: Vec<F>,
    pub(super) output_slopes: Vec<F>,
    pub(super) clip_slopes: Vec<F>,
    /// Of an LSTM with a projection, what is projected.
    pub(super) m: Vec<F>,
    /// With layer normalisation, `N(W x)`, `N(R h)` and `N(c')`, and the factors of these.
    pub(super) normalised: [Vec<F>; 3],
    pub(super) factors: [F; 3],
    pub(super) h_next: Vec<F>,
    pub(super) c_next: Vec<F>,
}

/// What the forward pass returns.
#[derive(Debug, Clone)]
pub struct Output<F> {
    /// The outputs of the last layer, `(T, B, D*H)`, zero past the end of a row.
    pub y: Vec<F>,
    /// Final hidden states, `(L*D, B, H)`.
    pub hn: Vec<F>,
    /// Final cell states, `(L*D, B, H)`; empty unless the cell is an LSTM, multiplicative or not.
    pub cn: Vec<F>,
    /// The steps in the order in which they were taken, for each `(L*D, B)`.
    pub(super) trace: Vec<Vec<Step<F>>>,
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

impl<F> Default for Upstream<'_, F> {
    /// Zero for all results.
    fn default() -> Self {
        Upstream { dy: None, dhn: None, dcn: None }
    }
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

impl<F: Real> Gradients<F> {
    /// Those of all parameters in one row, in the order of [`Model::set_parameters`].
    pub fn parameters(&self) -> Vec<F> {
        let mut params = self.params.clone();
        params.iter_mut().flat_map(Params::tensors_mut).flat_map(|tensor| tensor.drain(..)).collect()
    }
}

pub(super) fn check_size<T>(name: &str, array: Option<&[T]>, expected: usize) {
    assert!(array.is_none_or(|array| array.len() == expected), "{name}: expected {expected} elements");
}

pub(super) fn check<F: Real>(model: &Model<F>, input: &Input<'_, F>) {
    let (hidden, directions, outputs) = (model.hidden_size, model.directions(), model.input_width(1));
    let width = model.output_size();
    let passes = model.layers * directions;
    assert!(model.layers > 0, "layers: expected at least one");
    assert!(model.heads > 0 && hidden.is_multiple_of(model.heads), "heads: expected a divisor of H");
    assert!(model.heads == 1 || model.cell == Cell::Slstm, "heads: expected an Slstm");
    check_size("params", Some(&model.params), passes);
    for (pass, params) in model.params.iter().enumerate() {
        let (rows, second) = (model.cell.gates() * hidden, model.cell.recurrent_gates() * hidden);
        let diagonal = if model.cell.is_diagonal() { hidden } else { 0 };
        check_size("weight_ih", Some(&params.weight_ih), rows * model.input_width(pass / directions));
        check_size("weight_hh", Some(&params.weight_hh), second * width / model.heads + diagonal);
        check_size("weight_hr", Some(&params.weight_hr), model.projection.unwrap_or(0) * hidden);
        let peepholes = if params.peephole.is_empty() { 0 } else { 3 * hidden };
        check_size("peephole", Some(&params.peephole), peepholes);
        assert!(model.cell == Cell::Lstm || peepholes == 0, "peephole: expected an LSTM");
        let norms = if model.layer_norm.is_some() { 1 } else { 0 };
        check_size("norm_ih", Some(&params.norm_ih), norms * rows);
        check_size("norm_hh", Some(&params.norm_hh), norms * rows);
        check_size("norm_c", Some(&params.norm_c), 2 * norms * model.cell.cell_size(hidden));
        check_size("bias_ih", Some(&params.bias_ih), rows);
        check_size("bias_hh", Some(&params.bias_hh), second);
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
