//! Single precision beside double.

use super::case::{Case, SHUT, assert_close, flat, step, structures};
use fused_rnn::reference::{self, Input, Model, Params, Upstream, backward, forward};

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
        heads,
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
        heads,
        layers,
        bidirectional,
        reverse,
        variants,
        precision: model.precision,
        params,
    }
}

#[test]
fn saturated_gates_are_exact_in_both_precisions() {
    let mut model = Model::zeros(reference::Cell::Lstm, 1, 1, 1, false);
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
