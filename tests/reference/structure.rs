//! The laws of structure: lengths, directions, stacks, cuts; and what is refused.

use super::case::{
    CELLS, Case, HIDDEN, INPUTS, assert_close, assert_same, assert_same_gradients, column, flat, structures,
};
use fused_rnn::reference::{self, Input, Model, Upstream, backward, forward};

#[test]
fn one_reverse_direction_is_the_second_of_two() {
    let both = Case::random((reference::Cell::GruResetAfter, 1, true), (4, 3), Some(&[4, 0, 2]));
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
fn parameters_lie_in_one_row_and_so_do_their_gradients() {
    for cell in CELLS {
        let case = Case::random((cell, 2, true), (3, 2), None);
        let values = case.model.params.iter().flat_map(flat).collect::<Vec<_>>();
        let mut model = Model::zeros(cell, INPUTS, HIDDEN, 2, true);
        model.set_parameters(&values);
        let drawn = Case { model, ..case.clone() };
        assert_same(&drawn.forward(), &case.forward());
        let gradients = case.backward();
        let in_parts = gradients.params.iter().flat_map(flat).collect::<Vec<_>>();
        assert_eq!(gradients.parameters(), in_parts);
        for wrong in [&values[1..], &[&values[..], &[0.0]].concat()] {
            let set = || Model::zeros(cell, INPUTS, HIDDEN, 2, true).set_parameters(wrong);
            assert!(std::panic::catch_unwind(set).is_err(), "{cell:?}");
        }
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
        let upstream = Upstream { dhn: Some(&case.dhn), ..Upstream::default() };
        assert_same_gradients(&backward(&case.model, &input, &output, &upstream), &case.backward());
    }
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
            let cells = case.model.cell.cell_size(HIDDEN).max(1);
            assert_eq!(of_row(&output.cn, cells), alone.cn);
            assert_eq!(of_row(&gradients.x, INPUTS), padded(alone_gradients.x, INPUTS));
            assert_eq!(of_row(&gradients.h0, HIDDEN), alone_gradients.h0);
            assert_eq!(of_row(&gradients.c0, cells), alone_gradients.c0);
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
        mirrored.c0 = case.c0.iter().skip(cell.cell_size(HIDDEN)).copied().collect();
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

/// Heads are the whole matrix with zeros outside the blocks.
#[test]
fn heads_are_blocks_of_the_whole_matrix() {
    let mut whole = Case::random((reference::Cell::Slstm, 1, false), (5, 2), None);
    let (mut headed, heads) = (whole.clone(), 2);
    let size = HIDDEN / heads;
    headed.model.heads = heads;
    let weights = &mut whole.model.params[0].weight_hh;
    let mut blocks = vec![];
    for (row, weights) in weights.chunks_mut(HIDDEN).enumerate() {
        let seen = row % HIDDEN / size * size..(row % HIDDEN / size + 1) * size;
        blocks.extend_from_slice(&weights[seen.clone()]);
        for (unit, weight) in weights.iter_mut().enumerate() {
            *weight = if seen.contains(&unit) { *weight } else { 0.0 };
        }
    }
    headed.model.params[0].weight_hh = blocks;
    let (a, b) = (forward(&whole.model, &whole.input()), forward(&headed.model, &headed.input()));
    assert_close(&b.y, &a.y, 1e-15);
    assert_close(&b.cn, &a.cn, 1e-15);
}
