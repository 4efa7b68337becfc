//! Proof of the reference: gradients against central differences, values against hand-computed ones and
//! against ONNX Runtime, and the laws of structure (lengths, directions, stacks, cuts).

use fused_rnn::reference::{
    Activation, Cell, Gradients, Input, Model, Output, Params, Upstream, Variant, backward, forward,
};

const CELLS: [Cell; 5] =
    [Cell::Lstm, Cell::GruResetAfter, Cell::GruResetBefore, Cell::ElmanTanh, Cell::ElmanRelu];

/// `I` and `H` of the random cases, different from each other and from all other sizes.
const INPUTS: usize = 2;
const HIDDEN: usize = 4;

/// A bias that closes a sigmoid when negative, and opens it when positive, to the last bit.
const SHUT: f64 = 1000.0;

/// A linear congruential generator; the multiplier is Knuth's.
struct Random(u64);

impl Random {
    /// Uniform in -1..1.
    fn value(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// A model with all that its forward and backward pass take.
#[derive(Clone)]
struct Case {
    model: Model<f64>,
    steps: usize,
    batch: usize,
    x: Vec<f64>,
    h0: Vec<f64>,
    c0: Vec<f64>,
    lengths: Option<Vec<usize>>,
    masks: Option<Vec<Vec<f64>>>,
    recurrent_masks: Option<Vec<Vec<f64>>>,
    input_masks: Option<Vec<Vec<f64>>>,
    taken: Option<[Vec<Vec<f64>>; 2]>,
    dy: Vec<f64>,
    dhn: Vec<f64>,
    dcn: Vec<f64>,
}

impl Case {
    /// Everything random and nowhere zero.
    fn random(
        (cell, layers, bidirectional): (Cell, usize, bool),
        (steps, batch): (usize, usize),
        lengths: Option<&[usize]>,
    ) -> Case {
        let random = &mut Random(1);
        let mut model = zeros(cell, INPUTS, HIDDEN, layers, bidirectional);
        for params in &mut model.params {
            for array in arrays(params) {
                *array = random.values(array.len());
            }
        }
        let outputs = steps * batch * model.directions() * HIDDEN;
        let states = model.params.len() * batch * HIDDEN;
        let cells = if cell == Cell::Lstm { states } else { 0 };
        Case {
            steps,
            batch,
            x: random.values(steps * batch * INPUTS),
            h0: random.values(states),
            c0: random.values(cells),
            lengths: lengths.map(<[usize]>::to_vec),
            masks: Some((1..layers).map(|_| random.values(outputs)).collect()),
            recurrent_masks: None,
            input_masks: None,
            taken: None,
            dy: random.values(outputs),
            dhn: random.values(states),
            dcn: random.values(cells),
            model,
        }
    }

    fn input(&self) -> Input<'_, f64> {
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

    fn forward(&self) -> Output<f64> {
        forward(&self.model, &self.input())
    }

    fn backward(&self) -> Gradients<f64> {
        let upstream = Upstream { dy: Some(&self.dy), dhn: Some(&self.dhn), dcn: Some(&self.dcn) };
        backward(&self.model, &self.input(), &self.forward(), &upstream)
    }

    /// The function whose gradient [`backward`] is.
    fn loss(&self) -> f64 {
        let Output { y, hn, cn, .. } = self.forward();
        dot(&self.dy, &y) + dot(&self.dhn, &hn) + dot(&self.dcn, &cn)
    }

    fn length(&self, row: usize) -> usize {
        self.lengths.as_ref().map_or(self.steps, |lengths| lengths[row])
    }

    /// One row on its own, cut to its length.
    fn row(&self, row: usize) -> Case {
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
            c0: all(&self.c0, HIDDEN),
            lengths: None,
            masks: self.masks.as_ref().map(|masks| masks.iter().map(|mask| real(mask, outputs)).collect()),
            recurrent_masks: (self.recurrent_masks.as_ref())
                .map(|masks| masks.iter().map(|mask| mask[row * HIDDEN..][..HIDDEN].to_vec()).collect()),
            input_masks: None,
            taken: None,
            dy: real(&self.dy, outputs),
            dhn: all(&self.dhn, HIDDEN),
            dcn: all(&self.dcn, HIDDEN),
        }
    }
}

/// A model with all weights and biases zero.
fn zeros(
    cell: Cell,
    input_size: usize,
    hidden_size: usize,
    layers: usize,
    bidirectional: bool,
) -> Model<f64> {
    let mut model = Model {
        cell,
        input_size,
        hidden_size,
        projection: None,
        layer_norm: None,
        layers,
        bidirectional,
        reverse: false,
        variants: Default::default(),
        params: vec![],
    };
    let directions = model.directions();
    model.params = (0..layers * directions)
        .map(|pass| Params::zeros(cell, model.input_width(pass / directions), hidden_size))
        .collect();
    model
}

fn arrays(params: &mut Params<f64>) -> [&mut Vec<f64>; 9] {
    let Params { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c } =
        params;
    [weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c]
}

fn dot(u: &[f64], v: &[f64]) -> f64 {
    assert_eq!(u.len(), v.len());
    u.iter().zip(v).map(|(u, v)| u * v).sum()
}

/// `(N, 1, width)`: what belongs to one row of `(N, batch, width)`.
fn column(array: &[f64], batch: usize, row: usize, width: usize) -> Vec<f64> {
    array.chunks(width).skip(row).step_by(batch).flatten().copied().collect()
}

/// All the arrays of `params`, one after the other.
fn flat(params: &Params<f64>) -> Vec<f64> {
    let Params { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c } =
        params;
    [&weight_ih[..], weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm_ih, norm_hh, norm_c].concat()
}

#[track_caller]
fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (k, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * (1.0 + e.abs()), "at {k}: {a} is not {e}");
    }
}

#[track_caller]
fn assert_same(actual: &Output<f64>, expected: &Output<f64>) {
    assert_eq!(actual.y, expected.y);
    assert_eq!(actual.hn, expected.hn);
    assert_eq!(actual.cn, expected.cn);
}

#[track_caller]
fn assert_same_gradients(actual: &Gradients<f64>, expected: &Gradients<f64>) {
    assert_eq!(actual.x, expected.x);
    assert_eq!(actual.h0, expected.h0);
    assert_eq!(actual.c0, expected.c0);
    for (actual, expected) in actual.params.iter().zip(&expected.params) {
        assert_eq!(flat(actual), flat(expected));
    }
}

/// Compares one gradient with central differences of the loss.
fn check_gradient(name: &str, case: &Case, gradient: &[f64], pick: impl Fn(&mut Case) -> &mut Vec<f64>) {
    const STEP: f64 = 5e-6;
    const TOLERANCE: f64 = 1e-8;
    let mut case = case.clone();
    assert_eq!(gradient.len(), pick(&mut case).len(), "{name}");
    for (k, actual) in gradient.iter().enumerate() {
        let value = pick(&mut case)[k];
        pick(&mut case)[k] = value + STEP;
        let above = case.loss();
        pick(&mut case)[k] = value - STEP;
        let below = case.loss();
        pick(&mut case)[k] = value;
        let expected = (above - below) / (2.0 * STEP);
        let error = (actual - expected).abs();
        assert!(error <= TOLERANCE * (1.0 + expected.abs()), "{name}[{k}]: {actual} is not {expected}");
    }
}

/// All gradients of a case. The rectifier has a kink, but no pre-activation of the cases below lies within
/// a step of it: if one did, the differences would be off and the comparison would fail.
fn check_gradients(name: &str, case: &Case) {
    let gradients = case.backward();
    check_gradient(&format!("{name}: x"), case, &gradients.x, |case| &mut case.x);
    check_gradient(&format!("{name}: h0"), case, &gradients.h0, |case| &mut case.h0);
    check_gradient(&format!("{name}: c0"), case, &gradients.c0, |case| &mut case.c0);
    assert_eq!(gradients.params.len(), case.model.params.len());
    for (pass, mut params) in gradients.params.into_iter().enumerate() {
        let names = "weight_ih weight_hh bias_ih bias_hh weight_hr peephole norm_ih norm_hh norm_c";
        let names: Vec<&str> = names.split(' ').collect();
        for (k, gradient) in arrays(&mut params).into_iter().enumerate() {
            let name = format!("{name}: {} {pass}", names[k]);
            check_gradient(&name, case, gradient, |case| {
                arrays(&mut case.model.params[pass]).into_iter().nth(k).unwrap()
            });
        }
    }
}

/// Every cell with one and two layers, in one and two directions.
fn structures() -> impl Iterator<Item = (Cell, usize, bool)> {
    CELLS
        .into_iter()
        .flat_map(|cell| [1, 2].map(|layers| [false, true].map(|both| (cell, layers, both))))
        .flatten()
}

#[test]
fn gradients_equal_central_differences() {
    for structure in structures() {
        for (steps, lengths) in [
            (5, None),
            (5, Some([2, 0, 5])),
            (3, Some([3, 3, 1])),
            (1, None),
            (1, Some([1, 0, 1])),
            (2, Some([0, 0, 0])),
            (0, None),
        ] {
            let case = Case::random(structure, (steps, 3), lengths.as_ref().map(<[usize; 3]>::as_slice));
            check_gradients(&format!("{structure:?}, {steps} steps, lengths {lengths:?}"), &case);
        }
    }
}

#[test]
fn gradients_with_recurrent_dropout_equal_central_differences() {
    for structure in structures() {
        for lengths in [None, Some([2, 0, 5])] {
            let mut case = Case::random(structure, (5, 3), lengths.as_ref().map(<[usize; 3]>::as_slice));
            let (plain, random) = (case.loss(), &mut Random(8));
            case.recurrent_masks =
                Some(case.model.params.iter().map(|_| random.values(3 * HIDDEN)).collect());
            assert!(case.loss() != plain, "{structure:?}: the masks do nothing");
            check_gradients(&format!("{structure:?}, recurrent dropout, lengths {lengths:?}"), &case);
        }
    }
}

#[test]
fn gradients_with_input_dropout_and_zoneout_equal_central_differences() {
    for structure in structures() {
        for lengths in [None, Some([2, 0, 5])] {
            let mut case = Case::random(structure, (5, 3), lengths.as_ref().map(<[usize; 3]>::as_slice));
            let (plain, random) = (case.loss(), &mut Random(9));
            let widths = (0..case.model.layers).map(|layer| case.model.input_width(layer));
            case.input_masks = Some(widths.map(|width| random.values(3 * width)).collect());
            let dropped = case.loss();
            let cells = if structure.0 == Cell::Lstm { 5 * 3 * HIDDEN } else { 0 };
            let mut each = |len| case.model.params.iter().map(|_| random.values(len)).collect();
            case.taken = Some([each(5 * 3 * HIDDEN), each(cells)]);
            assert!(dropped != plain && case.loss() != dropped, "{structure:?}: without effect");
            check_gradients(&format!("{structure:?}, dropout and zoneout, lengths {lengths:?}"), &case);
        }
    }
}

/// By hand: with nothing taken the state stays what it was, and with half of it is the mean of both.
#[test]
fn zoneout_by_hand() {
    let mut model = zeros(Cell::ElmanTanh, 1, 1, 1, false);
    model.params[0].weight_ih = vec![1.0];
    let h0 = Some(&[0.5][..]);
    for (taken, want) in [(0.0, 0.5), (1.0, 2.0f64.tanh()), (0.5, (0.5 + 2.0f64.tanh()) / 2.0)] {
        let taken = [vec![taken]];
        let input =
            Input { steps: 1, batch: 1, x: &[2.0], h0, taken: Some([&taken, &[vec![]]]), ..Input::default() };
        assert!((forward(&model, &input).y[0] - want).abs() < 1e-15);
    }
}

const ACTIVATIONS: [Activation; 11] = [
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

/// Two bidirectional layers with peepholes and a projection where asked for, all parameters random.
fn of_variant(cell: Cell, variant: &Variant, peephole: bool, projection: Option<usize>) -> Case {
    let mut case = Case::random((cell, 2, true), (4, 3), Some(&[4, 0, 2]));
    let random = &mut Random(5);
    case.model.variants = [variant.clone(), variant.clone()];
    case.model.projection = projection;
    let outputs = case.model.output_size();
    for pass in 0..4 {
        let width = case.model.input_width(pass / 2);
        let params = &mut case.model.params[pass];
        let rows = params.bias_ih.len();
        params.weight_ih = random.values(rows * width);
        params.weight_hh = random.values(rows * outputs);
        params.weight_hr = random.values(projection.unwrap_or(0) * HIDDEN);
        params.peephole = random.values(if peephole { 3 * HIDDEN } else { 0 });
        // Activations without bounds would make losses too large for differences of them.
        for array in arrays(params) {
            array.iter_mut().for_each(|value| *value *= 0.5);
        }
    }
    case.h0 = random.values(4 * 3 * outputs);
    case.dhn = random.values(4 * 3 * outputs);
    case.dy = random.values(4 * 3 * 2 * outputs);
    case.masks = Some(vec![random.values(4 * 3 * 2 * outputs)]);
    case
}

#[test]
fn gradients_of_variants_equal_central_differences() {
    for cell in CELLS {
        let count = if cell == Cell::Lstm {
            3
        } else if cell.gates() == 3 {
            2
        } else {
            1
        };
        for k in 0..ACTIVATIONS.len() {
            // Each activation at each place, and another beside it.
            let activations = (0..count).map(|place| ACTIVATIONS[(k + 4 * place) % 11]).collect();
            let variant = Variant { activations: Some(activations), ..Variant::default() };
            check_gradients(&format!("{cell:?}, {variant:?}"), &of_variant(cell, &variant, false, None));
        }
        let variant = Variant { clip: Some(0.7), ..Variant::default() };
        check_gradients(&format!("{cell:?}, clip"), &of_variant(cell, &variant, false, None));
    }
    let cell = Cell::Lstm;
    let plain = Variant::default();
    check_gradients("peephole", &of_variant(cell, &plain, true, None));
    check_gradients("projection", &of_variant(cell, &plain, false, Some(3)));
    let coupled = Variant { coupled: true, ..Variant::default() };
    check_gradients("coupled", &of_variant(cell, &coupled, false, None));
    let cell_clip = Variant { cell_clip: Some(0.3), ..Variant::default() };
    check_gradients("cell clip", &of_variant(cell, &cell_clip, false, None));
    let all = Variant { clip: Some(0.8), activations: None, ..cell_clip };
    check_gradients("together", &of_variant(cell, &Variant { coupled: true, ..all }, true, Some(2)));
}

#[test]
fn gradients_of_layer_normalisation_equal_central_differences() {
    let plain = Variant::default();
    let activations = Some(vec![Activation::Softsign, Activation::Softplus, Activation::Elu(0.5)]);
    for (cell, count) in [(Cell::Lstm, 3), (Cell::GruResetAfter, 2)] {
        let activations = activations.as_ref().map(|list| list[..count].to_vec());
        let cell_clip = (cell == Cell::Lstm).then_some(0.4);
        let all = Variant { activations, clip: Some(0.9), cell_clip, coupled: false };
        for variant in [&plain, &all] {
            let mut case = of_variant(cell, variant, false, None);
            let random = &mut Random(6);
            // Not small, or the third derivatives would be too large for differences.
            case.model.layer_norm = Some(0.5);
            for params in &mut case.model.params {
                let rows = params.bias_ih.len();
                params.norm_ih = random.values(rows);
                params.norm_hh = random.values(rows);
                params.norm_c = random.values(if cell == Cell::Lstm { 2 * HIDDEN } else { 0 });
            }
            check_gradients(&format!("{cell:?} normalised, {variant:?}"), &case);
        }
    }
}

#[test]
fn layer_normalisation_by_hand() {
    let mut model = zeros(Cell::GruResetAfter, 1, 1, 1, false);
    model.layer_norm = Some(1e-30);
    let params = &mut model.params[0];
    // r z n of W x are 3, 1, 2 of mean 2 and variance 2/3; of R h 2, 2, 5 (times 0.5) of mean 3 and variance 2.
    params.weight_ih = vec![3.0, 1.0, 2.0];
    params.weight_hh = vec![2.0, 2.0, 5.0];
    params.norm_ih = vec![0.5, -0.25, 2.0];
    params.norm_hh = vec![1.0, 0.75, 0.5];
    params.bias_ih = vec![0.1, 0.2, 0.3];
    params.bias_hh = vec![-0.3, 0.4, 0.7];
    let (h0, c0) = (Some(&[0.5][..]), Some(&[][..]));
    let input = Input { steps: 1, batch: 1, x: &[4.0], h0, c0, lengths: None, ..Input::default() };
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let (u, v) = (1.5_f64.sqrt(), 0.5_f64.sqrt());
    let r = sigmoid(0.5 * u + 0.1 - v - 0.3);
    let z = sigmoid(0.25 * u + 0.2 - 0.75 * v + 0.4);
    let n = (0.3 + r * (0.5 * 2.0 * v + 0.7)).tanh();
    assert_close(&forward(&model, &input).hn, &[(1.0 - z) * n + z * 0.5], 1e-12);
}

#[test]
fn variants_by_hand() {
    let c0 = 0.7_f64;
    let mut model = zeros(Cell::Lstm, 1, 1, 1, false);
    model.params[0].bias_ih = vec![0.1, 0.2, 0.3, 0.4];
    model.params[0].peephole = vec![0.5, -0.6, 0.8];
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let (i, f, g) = (sigmoid(0.1 + 0.5 * c0), sigmoid(0.2 - 0.6 * c0), 0.3_f64.tanh());
    let c = f * c0 + i * g;
    let output = step(&model, &[0.0], &[c0]);
    assert_close(&output.cn, &[c], 1e-15);
    assert_close(&output.hn, &[sigmoid(0.4 + 0.8 * c) * c.tanh()], 1e-15);
    // The clamped cell state is what the peephole and the output see.
    model.variants[0] = Variant { coupled: true, cell_clip: Some(0.25), ..Variant::default() };
    assert!((1.0 - i) * c0 + i * g > 0.25);
    let output = step(&model, &[0.0], &[c0]);
    assert_eq!(output.cn, [0.25]);
    assert_close(&output.hn, &[sigmoid(0.4 + 0.8 * 0.25) * 0.25_f64.tanh()], 1e-15);
    // Clamped pre-activations, but not the argument of the output.
    model.variants[0] = Variant { clip: Some(0.15), ..Variant::default() };
    let (i, f, g, o) = (sigmoid(0.15), sigmoid(-0.15), 0.15_f64.tanh(), sigmoid(0.15));
    let c = f * c0 + i * g;
    assert!(c > 0.15);
    assert_close(&step(&model, &[0.0], &[c0]).hn, &[o * c.tanh()], 1e-15);
    // Two units into one.
    let mut model = zeros(Cell::Lstm, 1, 2, 1, false);
    model.projection = Some(1);
    model.params[0].weight_hh = vec![0.0; 8];
    model.params[0].weight_hr = vec![2.0, -3.0];
    let output = step(&model, &[0.0], &[0.8, -0.6]);
    assert_eq!(output.cn, [0.4, -0.3]);
    assert_close(&output.hn, &[0.5 * 0.4_f64.tanh() * 2.0 + 0.5 * (-0.3_f64).tanh() * -3.0], 1e-15);
}

#[test]
fn one_reverse_direction_is_the_second_of_two() {
    let both = Case::random((Cell::GruResetAfter, 1, true), (4, 3), Some(&[4, 0, 2]));
    let (output, gradients) = (both.forward(), both.backward());
    let mut reverse = both.clone();
    reverse.model.bidirectional = false;
    reverse.model.reverse = true;
    reverse.model.params.remove(0);
    reverse.h0.drain(..3 * HIDDEN);
    reverse.dhn.drain(..3 * HIDDEN);
    reverse.dy = column(&both.dy, 2, 1, HIDDEN);
    assert_eq!(reverse.forward().y, column(&output.y, 2, 1, HIDDEN));
    assert_eq!(reverse.forward().hn, output.hn[3 * HIDDEN..]);
    assert_eq!(flat(&reverse.backward().params[0]), flat(&gradients.params[1]));
}

#[test]
fn gradients_without_masks_and_with_dropping_ones() {
    for cell in CELLS {
        let mut case = Case::random((cell, 3, true), (3, 2), Some(&[3, 2]));
        case.masks = None;
        check_gradients(&format!("{cell:?}, no mask"), &case);
        let outputs = case.dy.len();
        case.masks = Some(vec![(0..outputs).map(|k| [0.0, 1.5, 1.5][k % 3]).collect(), vec![2.0; outputs]]);
        check_gradients(&format!("{cell:?}, dropout"), &case);
    }
}

#[test]
fn missing_arguments_are_zero() {
    for cell in CELLS {
        let mut case = Case::random((cell, 2, true), (3, 2), None);
        for array in [&mut case.h0, &mut case.c0, &mut case.dy, &mut case.dcn] {
            array.fill(0.0);
        }
        let input = Input { h0: None, c0: None, ..case.input() };
        let output = forward(&case.model, &input);
        assert_same(&output, &case.forward());
        let upstream = Upstream { dy: None, dhn: Some(&case.dhn), dcn: None };
        assert_same_gradients(&backward(&case.model, &input, &output, &upstream), &case.backward());
    }
}

/// One step of one row with one input, which is zero.
fn step(model: &Model<f64>, h0: &[f64], c0: &[f64]) -> Output<f64> {
    let (h0, c0) = (Some(h0), Some(c0));
    forward(model, &Input { steps: 1, batch: 1, x: &[0.0], h0, c0, lengths: None, ..Input::default() })
}

#[test]
fn zero_weights() {
    let h0 = [0.8, -0.6];
    let halves = [0.4, -0.3];
    // All gates are 1/2, the candidate is 0: c' = c / 2, h' = tanh(c') / 2.
    let output = step(&zeros(Cell::Lstm, 1, 2, 1, false), &[9.0, 9.0], &h0);
    assert_eq!(output.cn, halves);
    assert_eq!(output.hn, halves.map(|c: f64| 0.5 * c.tanh()));
    assert_eq!(output.y, output.hn);
    // h' = h / 2.
    assert_eq!(step(&zeros(Cell::GruResetAfter, 1, 2, 1, false), &h0, &[]).hn, halves);
    assert_eq!(step(&zeros(Cell::GruResetBefore, 1, 2, 1, false), &h0, &[]).hn, halves);
    assert_eq!(step(&zeros(Cell::ElmanTanh, 1, 2, 1, false), &h0, &[]).hn, [0.0, 0.0]);
    assert_eq!(step(&zeros(Cell::ElmanRelu, 1, 2, 1, false), &h0, &[]).hn, [0.0, 0.0]);
}

#[test]
fn lstm_gates_stand_in_the_order_i_f_g_o() {
    let c0 = 0.7_f64;
    for (i, f, o) in [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0)] {
        let mut model = zeros(Cell::Lstm, 1, 1, 1, false);
        model.params[0].bias_ih = [i, f, 0.0, o].map(|gate| (2.0 * gate - 1.0) * SHUT).to_vec();
        model.params[0].bias_ih[2] = 0.3;
        model.params[0].bias_hh[2] = -0.1;
        let output = step(&model, &[0.0], &[c0]);
        let c = f * c0 + i * (0.3_f64 - 0.1).tanh();
        assert_eq!(output.cn, [c]);
        assert_eq!(output.hn, [o * c.tanh()]);
    }
}

#[test]
fn gru_gates_stand_in_the_order_r_z_n() {
    for cell in [Cell::GruResetAfter, Cell::GruResetBefore] {
        for (r, z) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
            let mut model = zeros(cell, 1, 1, 1, false);
            model.params[0].bias_hh = [r, z, 0.0].map(|gate| (2.0 * gate - 1.0) * SHUT).to_vec();
            model.params[0].bias_hh[2] = 0.3;
            model.params[0].bias_ih[2] = -0.1;
            // The reset gate scales the recurrent bias in one form and leaves it alone in the other.
            let reset = if cell == Cell::GruResetAfter { r } else { 1.0 };
            let n = (-0.1 + reset * 0.3_f64).tanh();
            assert_eq!(step(&model, &[0.7], &[]).hn, [(1.0 - z) * n + z * 0.7]);
        }
    }
}

/// `R_n` swaps the two units, and only the first one's reset gate is open: after the product it lets through
/// what arrives at the first unit, before the product what leaves it.
#[test]
fn reset_after_is_not_reset_before() {
    let hn = |cell| {
        let mut model = zeros(cell, 1, 2, 1, false);
        model.params[0].bias_ih = vec![SHUT, -SHUT, -SHUT, -SHUT, 0.0, 0.0];
        model.params[0].weight_hh[8..].copy_from_slice(&[0.0, 1.0, 1.0, 0.0]);
        step(&model, &[0.7, 0.4], &[]).hn
    };
    assert_eq!(hn(Cell::GruResetAfter), [0.4_f64.tanh(), 0.0]);
    assert_eq!(hn(Cell::GruResetBefore), [0.0, 0.7_f64.tanh()]);
}

#[test]
fn elman_by_hand() {
    let hn = |cell, bias| {
        let mut model = zeros(cell, 1, 1, 1, false);
        model.params[0].weight_hh = vec![2.0];
        model.params[0].bias_ih = vec![bias];
        step(&model, &[0.5], &[]).hn
    };
    assert_eq!(hn(Cell::ElmanTanh, 0.25), [1.25_f64.tanh()]);
    assert_eq!(hn(Cell::ElmanRelu, 0.25), [1.25]);
    assert_eq!(hn(Cell::ElmanRelu, -1.25), [0.0]);
}

/// ONNX Runtime 1.32 in single precision, both directions, lengths 3 and 2, `I = H = 2`. All arguments are
/// sin(1), sin(2), ... in the order of use below; there the weights were brought into ONNX's order of gates.
#[test]
#[rustfmt::skip]
fn values_equal_those_of_onnx_runtime() {
    let check = |cell, y: [f64; 24], hn: [f64; 8], cn: &[f64]| {
        let mut model = zeros(cell, 2, 2, 1, true);
        let mut count = 0;
        let mut fill = |array: &mut [f64]| for value in array { count += 1; *value = f64::from(count).sin() };
        for params in &mut model.params {
            for array in arrays(params) {
                fill(array);
            }
        }
        let (mut x, mut h0, mut c0) = ([0.0; 12], [0.0; 8], vec![0.0; cn.len()]);
        fill(&mut x);
        fill(&mut h0);
        fill(&mut c0);
        let (h0, c0, lengths) = (Some(&h0[..]), Some(&c0[..]), Some(&[3, 2][..]));
        let output = forward(&model, &Input { steps: 3, batch: 2, x: &x, h0, c0, lengths, ..Input::default() });
        // There (T, D, B, H), here (T, B, D, H).
        let y: Vec<f64> = y.chunks(8).flat_map(|y| [0, 1, 4, 5, 2, 3, 6, 7].map(|k| y[k])).collect();
        assert_close(&output.y, &y, 1e-6);
        assert_close(&output.hn, &hn, 1e-6);
        assert_close(&output.cn, cn, 1e-6);
    };
    check(
        Cell::Lstm,
        [0.0074455, 0.1924829, -0.3498411, 0.1372767, -0.1437395, -0.5486857, -0.5338483, -0.6365404,
         0.0001172, 0.146448, 0.3295636, 0.2267417, 0.0081556, -0.5356359, -0.4805416, -0.4181676,
         0.0443349, 0.2071731, 0.0, 0.0, 0.0618936, 0.055063, 0.0, 0.0],
        [0.0443349, 0.2071731, 0.3295636, 0.2267417, -0.1437395, -0.5486857, -0.5338483, -0.6365404],
        &[0.0980191, 0.5564978, 0.4676977, 0.3544153, -0.3625235, -0.938046, -1.2772655, -1.3218477],
    );
    check(
        Cell::GruResetAfter,
        [-0.1814501, 0.0000344, -0.8261378, -0.1862291, 0.58425, 0.3828925, 0.4096374, -0.6391247,
         -0.3246228, -0.1250264, -0.814285, -0.1354647, 0.8918315, 0.3105296, 0.0160723, -0.6586593,
         -0.3528656, -0.3514178, 0.0, 0.0, 0.7349982, 0.5914593, 0.0, 0.0],
        [-0.3528656, -0.3514178, -0.814285, -0.1354647, 0.58425, 0.3828925, 0.4096374, -0.6391247],
        &[],
    );
    check(
        Cell::GruResetBefore,
        [-0.1877976, -0.1871766, -0.8281029, -0.2221562, 0.8396602, 0.2906218, 0.5580109, -0.6028614,
         -0.3285034, -0.3051901, -0.8237054, -0.5185418, 0.9674431, 0.1559302, 0.1686455, -0.6466218,
         -0.3560365, -0.5284849, 0.0, 0.0, 0.9141869, 0.5935817, 0.0, 0.0],
        [-0.3560365, -0.5284849, -0.8237054, -0.5185418, 0.8396602, 0.2906218, 0.5580109, -0.6028614],
        &[],
    );
    check(
        Cell::ElmanTanh,
        [0.4841915, -0.9474196, -0.5844389, 0.2162627, 0.9788147, -0.976249, 0.4969327, -0.7873752,
         -0.9777767, -0.7801412, 0.0734264, -0.9384552, -0.9108168, -0.9355602, 0.8188415, -0.8945862,
         0.955392, -0.9919263, 0.0, 0.0, 0.9442061, -0.8556921, 0.0, 0.0],
        [0.955392, -0.9919263, 0.0734264, -0.9384552, 0.9788147, -0.976249, 0.4969327, -0.7873752],
        &[],
    );
    check(
        Cell::ElmanRelu,
        [0.5284449, 0.0, 0.0, 0.219732, 0.6902214, 0.0, 0.0, 0.0,
         0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.1532915, 0.0,
         0.7346186, 0.0, 0.0, 0.0, 1.7754738, 0.0, 0.0, 0.0],
        [0.7346186, 0.0, 0.0, 0.0, 0.6902214, 0.0, 0.0, 0.0],
        &[],
    );
}

#[test]
fn a_row_is_alone_with_its_own_length() {
    for structure in structures() {
        let case = Case::random(structure, (4, 4), Some(&[2, 0, 4, 3]));
        let outputs = case.model.directions() * HIDDEN;
        let (output, gradients) = (case.forward(), case.backward());
        let mut sums: Vec<Vec<f64>> =
            gradients.params.iter().map(|params| vec![0.0; flat(params).len()]).collect();
        for row in 0..case.batch {
            let (alone, alone_gradients) = (case.row(row).forward(), case.row(row).backward());
            let of_row = |array: &[f64], width| column(array, case.batch, row, width);
            let padded = |mut array: Vec<f64>, width| {
                array.resize(case.steps * width, 0.0);
                array
            };
            assert_eq!(of_row(&output.y, outputs), padded(alone.y, outputs));
            assert_eq!(of_row(&output.hn, HIDDEN), alone.hn);
            assert_eq!(of_row(&output.cn, HIDDEN), alone.cn);
            assert_eq!(of_row(&gradients.x, INPUTS), padded(alone_gradients.x, INPUTS));
            assert_eq!(of_row(&gradients.h0, HIDDEN), alone_gradients.h0);
            assert_eq!(of_row(&gradients.c0, HIDDEN), alone_gradients.c0);
            for (sum, params) in sums.iter_mut().zip(&alone_gradients.params) {
                for (sum, value) in sum.iter_mut().zip(flat(params)) {
                    *sum += value;
                }
            }
        }
        for (params, sum) in gradients.params.iter().zip(&sums) {
            assert_close(&flat(params), sum, 1e-13);
        }
    }
}

#[test]
fn padding_never_matters() {
    for structure in structures() {
        let case = Case::random(structure, (3, 3), Some(&[2, 0, 3]));
        let mut spoilt = case.clone();
        let masks = spoilt.masks.iter_mut().flatten();
        for array in [&mut spoilt.x, &mut spoilt.dy].into_iter().chain(masks) {
            let width = array.len() / (case.steps * case.batch);
            for (at, values) in array.chunks_mut(width).enumerate() {
                if at / case.batch >= case.length(at % case.batch) {
                    values.fill(f64::NAN);
                }
            }
        }
        assert_same(&spoilt.forward(), &case.forward());
        assert_same_gradients(&spoilt.backward(), &case.backward());
    }
}

#[test]
fn without_steps_the_state_passes_through() {
    for structure in structures() {
        for (steps, batch, lengths) in [(0, 2, None), (3, 2, Some(&[0, 0][..])), (3, 0, None), (0, 0, None)] {
            let case = Case::random(structure, (steps, batch), lengths);
            let (output, gradients) = (case.forward(), case.backward());
            assert!(output.y.iter().chain(&gradients.x).all(|&value| value == 0.0));
            assert_eq!((&output.hn, &output.cn), (&case.h0, &case.c0));
            assert_eq!((&gradients.h0, &gradients.c0), (&case.dhn, &case.dcn));
            assert!(gradients.params.iter().flat_map(flat).all(|value| value == 0.0));
        }
    }
}

#[test]
fn two_halves_are_the_whole() {
    for cell in CELLS {
        for layers in [1, 2] {
            let mut case = Case::random((cell, layers, false), (5, 2), None);
            case.masks = None;
            let whole = case.forward();
            let (first, second) = case.x.split_at(2 * 2 * INPUTS);
            let first = forward(&case.model, &Input { steps: 2, x: first, ..case.input() });
            let (h0, c0) = (Some(&first.hn[..]), Some(&first.cn[..]));
            let second = forward(&case.model, &Input { steps: 3, x: second, h0, c0, ..case.input() });
            assert_eq!(whole.y, [first.y, second.y].concat());
            assert_eq!((whole.hn, whole.cn), (second.hn, second.cn));
        }
    }
}

#[test]
fn the_second_direction_is_the_first_on_the_mirrored_row() {
    for cell in CELLS {
        let case = Case::random((cell, 1, true), (4, 1), None);
        let both = case.forward();
        let mirror = |array: &[f64], width| array.rchunks(width).flatten().copied().collect::<Vec<_>>();
        let mut mirrored = Case::random((cell, 1, false), (4, 1), None);
        mirrored.model.params = vec![case.model.params[1].clone()];
        mirrored.x = mirror(&case.x, INPUTS);
        mirrored.h0 = case.h0[HIDDEN..].to_vec();
        mirrored.c0 = case.c0.iter().skip(HIDDEN).copied().collect();
        let mirrored = mirrored.forward();
        // The second direction's half of the outputs is the odd rows of (2 T, H).
        assert_eq!(column(&both.y, 2, 1, HIDDEN), mirror(&mirrored.y, HIDDEN));
        assert_eq!(both.hn[HIDDEN..], mirrored.hn);
    }
}

#[test]
fn a_stack_is_one_layer_after_the_other() {
    for cell in CELLS {
        for bidirectional in [false, true] {
            let case = Case::random((cell, 2, bidirectional), (3, 2), Some(&[3, 1]));
            let whole = case.forward();
            let directions = case.model.directions();
            let layer = |layer: usize, input_size, x: &[f64]| {
                let part = |array: &[f64]| array[layer * array.len() / 2..][..array.len() / 2].to_vec();
                let params = case.model.params[layer * directions..][..directions].to_vec();
                let model = Model { input_size, layers: 1, params, ..case.model.clone() };
                let (h0, c0) = (part(&case.h0), part(&case.c0));
                let (h0, c0) = (Some(&h0[..]), Some(&c0[..]));
                forward(&model, &Input { x, h0, c0, masks: None, ..case.input() })
            };
            let first = layer(0, INPUTS, &case.x);
            let mask = &case.masks.as_ref().unwrap()[0];
            let dropped: Vec<f64> = first.y.iter().zip(mask).map(|(y, mask)| y * mask).collect();
            let second = layer(1, directions * HIDDEN, &dropped);
            assert_eq!(whole.y, second.y);
            assert_eq!(whole.hn, [first.hn, second.hn].concat());
            assert_eq!(whole.cn, [first.cn, second.cn].concat());
        }
    }
}

#[test]
fn nan_stays_in_its_row_and_its_future() {
    for cell in CELLS {
        let case = Case::random((cell, 1, false), (3, 2), None);
        let clean = case.forward();
        let mut spoilt = case.clone();
        spoilt.x[2 * INPUTS] = f64::NAN; // step 1, row 0
        let spoilt = spoilt.forward();
        for (k, (spoilt, clean)) in spoilt.y.iter().zip(&clean.y).enumerate() {
            let (t, row) = (k / (2 * HIDDEN), k / HIDDEN % 2);
            assert!(if t >= 1 && row == 0 { spoilt.is_nan() } else { spoilt == clean }, "{cell:?} at {k}");
        }
    }
}

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn narrow(model: &Model<f64>) -> Model<f32> {
    let Model {
        cell,
        input_size,
        hidden_size,
        projection,
        layer_norm,
        layers,
        bidirectional,
        reverse,
        ref params,
        ..
    } = *model;
    let params = params.iter().map(|params| Params {
        weight_ih: singles(&params.weight_ih),
        weight_hh: singles(&params.weight_hh),
        bias_ih: singles(&params.bias_ih),
        bias_hh: singles(&params.bias_hh),
        weight_hr: singles(&params.weight_hr),
        peephole: singles(&params.peephole),
        norm_ih: singles(&params.norm_ih),
        norm_hh: singles(&params.norm_hh),
        norm_c: singles(&params.norm_c),
    });
    let params = params.collect();
    let variants = model.variants.clone();
    Model {
        cell,
        input_size,
        hidden_size,
        projection,
        layer_norm,
        layers,
        bidirectional,
        reverse,
        variants,
        params,
    }
}

#[test]
fn saturated_gates_are_exact_in_both_precisions() {
    let mut model = zeros(Cell::Lstm, 1, 1, 1, false);
    model.params[0].bias_ih = vec![-SHUT, SHUT, 0.5, SHUT];
    let single = narrow(&model);
    let output = step(&model, &[0.0], &[0.75]);
    assert_eq!(output.cn, [0.75]);
    let (h0, c0) = (Some(&[0.0][..]), Some(&[0.75][..]));
    let input = Input { steps: 1, batch: 1, x: &[0.0_f32], h0, c0, lengths: None, ..Input::default() };
    let output = forward(&single, &input);
    assert_eq!(output.cn, [0.75]);
    // Closed gates pass no gradient, and c passes through whole.
    let upstream = Upstream { dy: None, dhn: None, dcn: Some(&[1.0]) };
    let gradients = backward(&single, &input, &output, &upstream);
    assert_eq!(gradients.c0, [1.0]);
    assert_eq!(gradients.params[0].bias_ih, [0.0; 4]);
}

#[test]
fn single_precision_follows_double() {
    for structure in structures() {
        let mut case = Case::random(structure, (4, 3), Some(&[4, 0, 2]));
        case.masks = None;
        let (x, h0, c0) = (singles(&case.x), singles(&case.h0), singles(&case.c0));
        let (dy, dhn, dcn) = (singles(&case.dy), singles(&case.dhn), singles(&case.dcn));
        let model = narrow(&case.model);
        let lengths = case.lengths.as_deref();
        let input =
            Input { steps: 4, batch: 3, x: &x, h0: Some(&h0), c0: Some(&c0), lengths, ..Input::default() };
        let output = forward(&model, &input);
        let upstream = Upstream { dy: Some(&dy), dhn: Some(&dhn), dcn: Some(&dcn) };
        let gradients = backward(&model, &input, &output, &upstream);
        let (exact, exact_gradients) = (case.forward(), case.backward());
        for (single, double) in [
            (&output.y, &exact.y),
            (&output.hn, &exact.hn),
            (&output.cn, &exact.cn),
            (&gradients.x, &exact_gradients.x),
            (&gradients.h0, &exact_gradients.h0),
            (&gradients.c0, &exact_gradients.c0),
        ] {
            assert_close(&doubles(single), double, 1e-5);
        }
        for (single, double) in gradients.params.iter().zip(&exact_gradients.params) {
            let single =
                [&single.weight_ih[..], &single.weight_hh, &single.bias_ih, &single.bias_hh].concat();
            assert_close(&doubles(&single), &flat(double), 1e-5);
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let spoils: [fn(&mut Case); 16] = [
        |case| case.model.layers = 0,
        |case| case.model.params.truncate(1),
        |case| case.model.params[0].weight_ih.push(0.0),
        |case| case.model.params[1].weight_hh.push(0.0),
        |case| case.model.params[0].bias_ih.push(0.0),
        |case| case.model.params[1].bias_hh.push(0.0),
        |case| case.x.push(0.0),
        |case| case.h0.push(0.0),
        |case| case.c0.push(0.0),
        |case| case.lengths = Some(vec![3, 4]),
        |case| case.lengths = Some(vec![3, 3, 3]),
        |case| case.masks.as_mut().unwrap().clear(),
        |case| case.masks.as_mut().unwrap()[0].push(0.0),
        |case| case.dy.push(0.0),
        |case| case.dhn.push(0.0),
        |case| case.dcn.push(0.0),
    ];
    for cell in CELLS {
        for (k, spoil) in spoils.iter().enumerate() {
            let mut case = Case::random((cell, 2, false), (3, 2), None);
            spoil(&mut case);
            assert!(std::panic::catch_unwind(|| case.backward()).is_err(), "{cell:?}, number {k}");
        }
    }
}
