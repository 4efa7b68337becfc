//! Values at the ends of f32: a value that decays is stored as zero before it becomes denormal, and NaN stays
//! NaN.

mod common;

use common::{Case, Data, Results, bits_of, reference_run, run_layer, uniform};
use fused_rnn::{Bias, CellKind, Level, Rng, Workspace};

#[test]
fn a_decaying_state_reaches_zero_and_no_denormals() {
    for kind in CellKind::ALL {
        for level in Level::available() {
            let mut layer =
                Case::simple(kind, 1, 1, 1, 20).builder().bias(Bias::None).level(level).build().unwrap();
            // The state shrinks by a constant factor at each step.
            let mut rng = Rng::new(3);
            layer.update(|parameters| parameters.copy_from_slice(&uniform(parameters.len(), &mut rng)));
            layer.update(|parameters| parameters.iter_mut().for_each(|p| *p *= 0.05));
            let mut state = layer.zero_state(1).unwrap();
            state.set_h(&[0.9; 20]).unwrap();
            let mut workspace = Workspace::new();
            for _ in 0..2000 {
                layer.step(&[0.0], &mut state, None, &mut workspace).unwrap();
                let stored = state.h().into_iter().chain(state.c());
                assert!(stored.into_iter().all(|v| v == 0.0 || v.abs() >= 1e-30), "{kind:?}, {level}");
            }
            assert!(state.h().iter().all(|&v| v == 0.0), "{kind:?}, {level}: {:?}", state.h());
        }
    }
}

#[test]
fn gradients_that_fade_reach_zero_and_no_denormals() {
    for kind in CellKind::ALL {
        for level in Level::available() {
            for steps in 1..60 {
                let case = Case { initial_state: false, ..Case::simple(kind, 1, steps, 1, 20) };
                let mut layer = case.builder().level(level).build().unwrap();
                // The gradient shrinks by a constant factor at each step, past the smallest number that is
                // kept.
                let mut rng = Rng::new(3);
                layer.update(|parameters| parameters.copy_from_slice(&uniform(parameters.len(), &mut rng)));
                layer.update(|parameters| parameters.iter_mut().for_each(|p| *p = p.abs() * 0.05 - 0.02));
                let mut data = Data::of(&case);
                data.dy.fill(0.0);
                data.dcn.fill(0.0);
                data.dhn.fill(1e-3);
                let results = run_layer(&layer, &case, &data);
                let stored = results.dh0.iter().chain(&results.dc0);
                for &value in stored {
                    assert!(
                        value == 0.0 || value.abs() >= 1e-30,
                        "{kind:?}, {level}, {steps} steps: {value:e}"
                    );
                }
            }
        }
    }
}

/// The gradients of the gates, of which those of the biases are copies where there is one step.
#[test]
fn gate_gradients_are_kept_down_to_the_smallest_and_are_zero_below() {
    for kind in CellKind::ALL {
        let case = Case { initial_state: false, ..Case::simple(kind, 1, 1, 2, 40) };
        let mut data = Data::of(&case);
        data.dy.fill(0.0);
        data.dcn.fill(0.0);
        for level in Level::available() {
            let layer = case.builder().level(level).build().unwrap();
            let (mut zeros, mut kept) = (0, 0);
            for exponent in -34..-24 {
                data.dhn.fill(10f32.powi(exponent));
                let got = run_layer(&layer, &case, &data).parameters;
                let want = reference_run(&layer, &case, &data).parameters;
                let biases =
                    layer.named_parameters().filter(|p| p.name.starts_with("bias")).map(|p| p.values.len());
                // They are the last of the parameters.
                let first = got.len() - biases.sum::<usize>();
                for (&got, &want) in got[first..].iter().zip(&want[first..]) {
                    assert!(got == 0.0 || got.abs() >= 1e-30, "{kind:?}, {level}: {got:e}");
                    assert!((got == 0.0) == (want == 0.0) || want.abs() < 1.001e-30, "{got:e} for {want:e}");
                    zeros += usize::from(got == 0.0 && want != 0.0);
                    kept += usize::from(got != 0.0);
                }
            }
            assert!(zeros > 100 && kept > 100, "{kind:?}, {level}: {zeros}, {kept}");
        }
    }
}

/// NaN reaches every value that depends on it: no operation turns it into a number again.
#[test]
fn nan_and_infinities_propagate() {
    let (steps, hidden, at) = (5, 20, 2);
    for kind in CellKind::ALL {
        let case = Case { bias: Bias::None, ..Case::simple(kind, 1, steps, 3, hidden) };
        for level in Level::available() {
            let layer = case.builder().level(level).build().unwrap();
            let is_nan = |values: &[f32]| values.iter().all(|value| value.is_nan());
            let no_nan = |values: &[f32]| values.iter().all(|value| value.is_finite());

            // An input reaches all units from its step on, and all gradients.
            let mut data = Data::of(&case);
            data.x[at * 3 + 1] = f32::NAN;
            let results = run_layer(&layer, &case, &data);
            let (before, after) = results.y.split_at(at * hidden);
            assert!(no_nan(before) && is_nan(after), "{kind:?}, {level}: y");
            assert!(is_nan(&results.hn) && is_nan(&results.cn), "{kind:?}, {level}: final states");
            if kind == CellKind::ElmanRelu {
                // The slope of a rectifier is that of one of its sides, whatever it is asked of.
                assert!(results.parameters.iter().any(|value| value.is_nan()), "{level}");
            } else {
                assert!(is_nan(&results.parameters) && is_nan(&results.dx), "{kind:?}, {level}: gradients");
                assert!(is_nan(&results.dh0) && is_nan(&results.dc0), "{kind:?}, {level}: initial states");
            }

            // An upstream gradient reaches what comes before its step.
            let mut data = Data::of(&case);
            data.dy[at * hidden..][..hidden].fill(f32::NAN);
            let results = run_layer(&layer, &case, &data);
            assert!(no_nan(&results.y), "{kind:?}, {level}");
            let (until, after) = results.dx.split_at((at + 1) * 3);
            assert!(no_nan(after) && is_nan(until), "{kind:?}, {level}: dx");
            assert!(is_nan(&results.dh0) && is_nan(&results.dc0), "{kind:?}, {level}: initial states");

            if kind.has_cell_state() {
                // A cell state is of one unit, as long as the others do not read its output.
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let case = Case { steps: 1, ..case.clone() };
                    let mut data = Data::of(&case);
                    data.c0[7] = value;
                    let Results { hn, cn, .. } = run_layer(&layer, &case, &data);
                    assert_eq!(bits_of(cn[7]), bits_of(value), "{}", cn[7]);
                    assert!(hn[7].is_nan() == value.is_nan() && hn[7] != 0.0, "{}", hn[7]);
                    let others = |values: &[f32]| no_nan(&values[..7]) && no_nan(&values[8..]);
                    assert!(others(&hn) && others(&cn), "{level}");
                }
            }
            if kind == CellKind::ElmanRelu {
                let mut data = Data::of(&case);
                data.x[at * 3] = f32::INFINITY;
                let y = run_layer(&layer, &case, &data).y;
                let of_step = &y[at * hidden..][..hidden];
                assert!(of_step.iter().all(|&value| value == f32::INFINITY || value == 0.0), "{of_step:?}");
                assert!(of_step.contains(&f32::INFINITY));
            }
        }
    }
}
