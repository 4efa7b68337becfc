//! Gradients against central differences in f64.

use super::case::{ACTIVATIONS, CELLS, Case, HIDDEN, MORE, Random, arrays, structures};
use fused_rnn::reference::{self, Activation, Variant};

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
    let with_recurrent_weights = |cell: &reference::Cell| cell.recurrent_gates() > 0 || cell.is_diagonal();
    for structure in structures().filter(|(cell, ..)| with_recurrent_weights(cell)) {
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
            let cells = structure.0.cell_size(5 * 3 * HIDDEN);
            let mut each = |len| case.model.params.iter().map(|_| random.values(len)).collect();
            case.taken = Some([each(5 * 3 * HIDDEN), each(cells)]);
            if structure.0 == reference::Cell::Slstm {
                // It has no zoneout of c, n and m.
                case.taken.as_mut().unwrap()[1].iter_mut().flatten().for_each(|taken| *taken = 1.0);
            }
            assert!(dropped != plain && case.loss() != dropped, "{structure:?}: without effect");
            check_gradients(&format!("{structure:?}, dropout and zoneout, lengths {lengths:?}"), &case);
        }
    }
}

/// Two bidirectional layers with peepholes and a projection where asked for, all parameters random.
fn of_variant(cell: reference::Cell, variant: &Variant, peephole: bool, projection: Option<usize>) -> Case {
    let mut case = Case::random((cell, 2, true), (4, 3), Some(&[4, 0, 2]));
    let random = &mut Random(5);
    case.model.variants = [variant.clone(), variant.clone()];
    case.model.projection = projection;
    let outputs = case.model.output_size();
    for pass in 0..4 {
        let width = case.model.input_width(pass / 2);
        let params = &mut case.model.params[pass];
        params.weight_ih = random.values(params.bias_ih.len() * width);
        let of_state = if cell.is_diagonal() { HIDDEN } else { params.bias_hh.len() * outputs };
        params.weight_hh = random.values(of_state);
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
        let count = cell.activations().len();
        for k in 0..ACTIVATIONS.len() {
            // Each activation at each place, and another beside it.
            let activations =
                (0..count).map(|place| ACTIVATIONS[(k + 4 * place) % ACTIVATIONS.len()]).collect();
            let variant = Variant { activations: Some(activations), ..Variant::default() };
            check_gradients(&format!("{cell:?}, {variant:?}"), &of_variant(cell, &variant, false, None));
        }
        if count == 0 {
            continue;
        }
        // Among bounded ones and with clipped arguments, as some of these leave the floats otherwise.
        for (k, &activation) in MORE.iter().enumerate() {
            let mut activations = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh][..count].to_vec();
            activations[k % count] = activation;
            let (activations, clip) = (Some(activations), Some(0.7));
            let variant = Variant { activations, clip, ..Variant::default() };
            check_gradients(&format!("{cell:?}, {variant:?}"), &of_variant(cell, &variant, false, None));
        }
        let variant = Variant { clip: Some(0.7), ..Variant::default() };
        check_gradients(&format!("{cell:?}, clip"), &of_variant(cell, &variant, false, None));
    }
    let cell = reference::Cell::Lstm;
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
    for (cell, count) in [(reference::Cell::Lstm, 3), (reference::Cell::GruResetAfter, 2)] {
        let activations = activations.as_ref().map(|list| list[..count].to_vec());
        let cell_clip = (cell == reference::Cell::Lstm).then_some(0.4);
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
                params.norm_c = random.values(if cell == reference::Cell::Lstm { 2 * HIDDEN } else { 0 });
            }
            check_gradients(&format!("{cell:?} normalised, {variant:?}"), &case);
        }
    }
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
fn gradients_of_heads_equal_central_differences() {
    for heads in [2, HIDDEN] {
        let mut case = Case::random((reference::Cell::Slstm, 2, true), (4, 3), Some(&[4, 0, 2]));
        let random = &mut Random(12);
        case.model.heads = heads;
        for params in &mut case.model.params {
            params.weight_hh = random.values(4 * HIDDEN * HIDDEN / heads);
        }
        check_gradients(&format!("{heads} heads"), &case);
    }
}
