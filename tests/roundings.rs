//! What each precision rounds, and where: every cell and option against the reference of the precision, as
//! close as f32 is to f64.
//!
//! A value that lies within a rounding of f32 of the middle between two bf16, or between two integers,
//! becomes one of them here and the other in the reference. So of some draws a few may differ; what is
//! rounded in one place and not in the other shows in all of them.

use fused_rnn::{Activation, Bias, CellKind, Dims, Direction, Level, Precision, Workspace};
use fused_rnn_tests::{
    Case, Data, Options, Results, compare, has_options_of_cell_state, recurrent_dropout, reference_run,
    run_layer,
};

/// Largest difference, in units of the largest value of a tensor. (A bf16 in the place of its neighbour is
/// some hundred times as much in a single gradient.)
const TOLERANCE: f64 = 2e-5;
/// Draws of a case, and how many of them may differ.
const DRAWS: u64 = 12;
const MAY_DIFFER: usize = 3;

/// Every cell with each of its options.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &kind in CellKind::ALL {
        let plain = Options::default();
        let mut all = vec![
            plain.clone(),
            Options { input_dropout: 0.4, recurrent_dropout: recurrent_dropout(kind, 0.4), ..plain.clone() },
            Options {
                zoneout: [0.3, if has_options_of_cell_state(kind) { 0.2 } else { 0.0 }],
                ..plain.clone()
            },
        ];
        match kind {
            CellKind::Lstm => {
                let output = Activation::ScaledTanh { alpha: 1.25, beta: 0.75 };
                let activations = vec![Activation::Sigmoid, Activation::Softsign, output];
                all.extend([
                    Options { peephole: true, ..plain.clone() },
                    Options { coupled: true, peephole: true, ..plain.clone() },
                    Options { cell_clip: Some(0.3), clip: Some(0.6), ..plain.clone() },
                    Options { projection: Some(3), peephole: true, ..plain.clone() },
                    Options { layer_norm: Some(0.1), ..plain.clone() },
                    Options { layer_norm: Some(0.1), zoneout: [0.3, 0.2], ..plain.clone() },
                    Options { activations: Some(activations), ..plain },
                ]);
            }
            CellKind::GruResetAfter => all.push(Options { layer_norm: Some(0.1), ..plain }),
            CellKind::Slstm => all.push(Options { heads: 2, ..plain }),
            _ => {}
        }
        for options in all {
            for direction in [Direction::Forward, Direction::Both] {
                // (States of an sLSTM that are not zero belong to a normaliser that the reference begins with
                // zero.)
                let initial_state = kind != CellKind::Slstm;
                let case = Case::simple(kind, 2, 2, 5, 6);
                cases.push(Case { options: options.clone(), direction, initial_state, ..case });
            }
        }
    }
    cases
}

/// Asserts that few draws of each case differ.
fn check_all(precisions: &[Precision], differs: impl Fn(&Case, Level) -> Option<String>) {
    for case in cases() {
        for (&precision, level) in
            precisions.iter().flat_map(|of| Level::available().map(move |level| (of, level)))
        {
            let draws = (0..DRAWS).map(|seed| Case { precision, seed, ..case.clone() });
            let differ: Vec<String> = draws.filter_map(|case| differs(&case, level)).collect();
            assert!(differ.len() <= MAY_DIFFER, "{level}, {}, {case:?}, {precision}", differ.join("\n"));
        }
    }
}

#[test]
fn training_rounds_what_the_reference_rounds() {
    check_all(&[Precision::Bf16Weights, Precision::Bf16], |case, level| {
        let (layer, data) = (case.layer(|builder| builder.level(level)), Data::of(case));
        let (got, want) = (run_layer(&layer, case, &data), reference_run(&layer, case, &data));
        compare(&got, &want, TOLERANCE).err()
    });
}

#[test]
fn inference_rounds_what_the_reference_rounds() {
    check_all(&[Precision::Bf16, Precision::Int8], |case, level| {
        if case.options.differs_in_training() {
            return None;
        }
        let (layer, data) = (case.layer(|builder| builder.level(level)), Data::of(case));
        let mut state = layer.zero_state(case.batch).unwrap();
        state.set_h(&data.h0).unwrap();
        state.set_c(&data.c0).unwrap();
        let mut y = vec![f32::NAN; data.dy.len()];
        let dims = data.dims(case);
        layer.forward(&data.x, dims, &mut state, Some(&mut y), &mut Workspace::new()).unwrap();
        let want = reference_run(&layer, case, &data);
        let (hn, cn) = (state.h(), state.c());
        // Of results, and of nothing else.
        let got = Results { y, hn, cn, dx: vec![], dh0: vec![], dc0: vec![], parameters: vec![] };
        let want = Results { dx: vec![], dh0: vec![], dc0: vec![], parameters: vec![], ..want };
        compare(&got, &want, TOLERANCE).err()
    });
}

/// A product that is more than an f32 has, of a sum that is within: what the documentation says of levels.
#[test]
fn a_product_beyond_f32_in_a_sum_within() {
    for level in Level::available() {
        let case = Case {
            bias: Bias::None,
            precision: Precision::Bf16,
            ..Case::simple(CellKind::ElmanRelu, 1, 1, 3, 1)
        };
        let mut layer = case.layer(|builder| builder.level(level));
        let power = |exponent| 2f32.powi(exponent);
        layer.set_parameter("weight_ih_l0", &[-2.0, 0.0, power(64)]).unwrap();
        let y = layer.run(&[power(126), 0.0, power(64)], Dims::new(1, 1)).unwrap().y;
        assert_eq!(y[0], if level == Level::Portable { f32::INFINITY } else { power(127) }, "{level}");
    }
}
