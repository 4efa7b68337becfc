//! Every cell, structure, layout and level against the naive reference, forward and all gradients.
//!
//! The reference computes in f64, so that the whole difference is the crate's rounding. The tolerance is
//! relative to the largest value of a tensor: a gradient is a sum of T * B terms, and its small elements
//! are the differences of large ones.

use fused_rnn::{Bias, CellKind, Direction, Layout, Level, Precision, Schedule, Threads};
use fused_rnn_tests::strategies::{direction, options, trained};
use fused_rnn_tests::{
    ACTIVATIONS, Case, Data, Options, compare, compare_or_move, reference_run, run, run_layer, run_parts,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Largest difference, in units of the largest value of the tensor, over up to a few hundred steps.
const TOLERANCE: f64 = 2e-5;

/// Sizes around the vectors of every level (4, 8, 16 lanes, blocks of four vectors) and odd primes.
const UNITS: [usize; 18] = [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 47, 64, 67];
/// Rows around the tiles of every level (3, 4, 6 and 8 rows).
const ROWS: [usize; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 17];

fn check(case: &Case) -> Result<(), String> {
    let data = Data::of(case);
    let layer = case.layer(|builder| builder);
    let want = reference_run(&layer, case, &data);
    for level in Level::available() {
        // The threads share even the smallest work.
        for (threads, schedule) in [(1, Schedule::Auto), (2, Schedule::Rows), (2, Schedule::Units)] {
            let layer = case
                .layer(|builder| builder.level(level).threads(Threads::Count(threads)).schedule(schedule));
            let got = run_layer(&layer, case, &data);
            compare_or_move(&layer, case, &data, (&got, &want), TOLERANCE)
                .map_err(|error| format!("{level}, {threads} threads, {schedule:?}: {error}\n{case:?}"))?;
        }
    }
    Ok(())
}

/// Backward is linear in the upstream gradients: the results of each upstream gradient alone add up to the
/// result of all of them, also when they are added to gradients. Gradients that are left out do not change
/// the others.
#[test]
fn parts_of_backward_add_up() {
    let runner = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: fused_rnn_tests::property_cases(100), ..Config::default() };
    TestRunner::new_with_rng(config, runner)
        .run(&trained(cases(CellKind::ALL)), |case| {
            let data = Data::of(&case);
            let layer = case.layer(|builder| builder);
            let all = run_layer(&layer, &case, &data);
            let mut parameters = vec![0.0f64; all.parameters.len()];
            let and = |[x, h, c]: [bool; 3], parameters| [x, h, c, parameters];
            let bits = |all: &[Vec<f32>; 3]| all.each_ref().map(|values| fused_rnn_tests::bits(values));
            let mut inputs = [&all.dx, &all.dh0, &all.dc0].map(|whole| vec![0.0f64; whole.len()]);
            // The parts may be larger than their sum.
            let mut scale = 1.0f64;
            for part in 0..3 {
                let only = std::array::from_fn(|n| n == part);
                let (added, dinputs) = run_parts(&layer, &case, &data, (0.25, only, [true; 4]));
                let values = added.iter().chain(dinputs.iter().flatten());
                scale = values.fold(scale, |scale, v| scale.max(f64::from(v.abs())));
                parameters.iter_mut().zip(&added).for_each(|(sum, &v)| *sum += f64::from(v) - 0.25);
                for (sums, values) in inputs.iter_mut().zip(&dinputs) {
                    sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += f64::from(v));
                }
                // One gradient alone.
                let (again, alone) = run_parts(&layer, &case, &data, (0.25, only, and(only, true)));
                prop_assert!(again == added && alone[part] == dinputs[part], "part {} alone", part);
                prop_assert!((0..3).all(|n| n == part || alone[n].iter().all(|v| v.is_nan())));
                // All but those of the parameters.
                let (kept, frozen) = run_parts(&layer, &case, &data, (0.25, only, and([true; 3], false)));
                prop_assert!(kept.iter().all(|&value| value == 0.25), "parameters that nobody asked for");
                prop_assert!(bits(&frozen) == bits(&dinputs), "inputs without parameters");
            }
            let [dx, dh0, dc0] = inputs;
            for (name, sums, whole) in [
                ("parameters", parameters, &all.parameters),
                ("dx", dx, &all.dx),
                ("dh0", dh0, &all.dh0),
                ("dc0", dc0, &all.dc0),
            ] {
                for (at, (sum, &whole)) in sums.iter().zip(whole).enumerate() {
                    let close = (sum - f64::from(whole)).abs() <= 1e-4 * scale;
                    prop_assert!(close, "{}[{}]: {} for {}", name, at, sum, whole);
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn check_all(cases: impl IntoIterator<Item = Case>) {
    let failures: Vec<String> = cases.into_iter().filter_map(|case| check(&case).err()).collect();
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_hidden_size_around_a_tile() {
    for &kind in CellKind::ALL {
        check_all(
            UNITS.map(|hidden| Case { ragged: hidden % 2 == 1, ..Case::simple(kind, 7, 3, 5, hidden) }),
        );
    }
}

#[test]
fn every_input_size_around_a_tile() {
    for &kind in CellKind::ALL {
        check_all(UNITS.map(|input| Case::simple(kind, 4, 3, input, 18)));
    }
}

#[test]
fn every_batch_around_a_tile() {
    for &kind in CellKind::ALL {
        for steps in [0, 1, 2, 5] {
            let case = |batch| Case { ragged: batch % 2 == 1, ..Case::simple(kind, batch, steps, 3, 19) };
            check_all(ROWS.map(case));
        }
    }
}

#[test]
fn long_sequences_cross_the_chunks_of_backward() {
    for &kind in CellKind::ALL {
        // More places than a chunk has of any cell: 16384 of Elman's single gate.
        for (batch, steps) in [(1, 17_000), (3, 9000)] {
            let case = Case {
                direction: Direction::Both,
                ragged: batch > 1,
                ..Case::simple(kind, batch, steps, 1, 2)
            };
            let data = Data::of(&case);
            let layer = case.layer(|builder| builder);
            let want = reference_run(&layer, &case, &data);
            for level in Level::available() {
                let got = run(&case, &data, level, 2);
                compare(&got, &want, 10.0 * TOLERANCE).unwrap_or_else(|error| panic!("{level}: {error}"));
            }
        }
    }
}

#[test]
fn every_option_alone() {
    let each = |options: Options| {
        let case = Case::simple(CellKind::Lstm, 7, 6, 5, 19);
        check_all([Case { options, direction: Direction::Both, layers: 2, ragged: true, ..case }]);
    };
    each(Options { peephole: true, ..Options::default() });
    each(Options { coupled: true, ..Options::default() });
    each(Options { clip: Some(0.4), ..Options::default() });
    each(Options { cell_clip: Some(0.3), ..Options::default() });
    for kind in [CellKind::Lstm, CellKind::GruResetAfter] {
        let options = Options { layer_norm: Some(1e-3), ..Options::default() };
        check_all(
            UNITS.map(|hidden| Case { options: options.clone(), ..Case::simple(kind, 7, 4, 5, hidden) }),
        );
    }
    for &kind in CellKind::ALL {
        let zoneout = [0.3, if fused_rnn_tests::has_options_of_cell_state(kind) { 0.2 } else { 0.0 }];
        let recurrent_dropout = fused_rnn_tests::recurrent_dropout(kind, 0.5);
        for options in [
            Options { dropout: 0.5, ..Options::default() },
            Options { recurrent_dropout, ..Options::default() },
            Options { input_dropout: 0.5, ..Options::default() },
            Options { zoneout: [0.3, 0.0], ..Options::default() },
            Options { zoneout, ..Options::default() },
            Options { zoneout, peephole: kind == CellKind::Lstm, ..Options::default() },
            Options { zoneout, dropout: 0.3, recurrent_dropout, input_dropout: 0.2, ..Options::default() },
        ] {
            check_all(UNITS.map(|hidden| Case {
                options: options.clone(),
                direction: Direction::Both,
                layers: 2,
                ragged: true,
                ..Case::simple(kind, 7, 6, 5, hidden)
            }));
        }
    }
    for size in [1, 3, 16, 17, 19] {
        each(Options { projection: Some(size), ..Options::default() });
    }
}

#[test]
fn every_activation_at_every_place() {
    for &kind in CellKind::ALL {
        for place in 0..fused_rnn_tests::plain_activations(kind).len() {
            for activation in ACTIVATIONS {
                let mut activations = fused_rnn_tests::plain_activations(kind);
                activations[place] = activation;
                let options = Options { activations: Some(activations), ..Options::default() };
                check_all([Case { options, ..Case::simple(kind, 4, 4, 3, 18) }]);
            }
        }
    }
}

/// Each of them alone with what else stands in the way of a gradient through an LSTM: a clip of the cell
/// state, coupled gates, dropout, zoneout, and all of that.
#[test]
fn every_activation_with_every_option_of_an_lstm() {
    let plain = fused_rnn_tests::plain_activations(CellKind::Lstm);
    let with = |options: &Options, part: usize| {
        let mut options = options.clone();
        let has = |option: usize| part == option || part == 4;
        options.cell_clip = has(0).then_some(0.393);
        options.coupled = has(1);
        if has(2) {
            (options.recurrent_dropout, options.input_dropout) = (0.4, 0.4);
        }
        if has(3) {
            options.zoneout = [0.4, 0.3];
        }
        options
    };
    for (place, activation) in
        (0..plain.len()).flat_map(|place| ACTIVATIONS.map(|activation| (place, activation)))
    {
        let mut activations = plain.clone();
        activations[place] = activation;
        let options = Options { activations: Some(activations), ..Options::default() };
        let case = Case { direction: Direction::Both, ..Case::simple(CellKind::Lstm, 4, 5, 9, 7) };
        check_all((0..5).map(|part| Case { options: with(&options, part), ..case.clone() }));
    }
}

fn cases(kinds: &[CellKind]) -> impl Strategy<Value = Case> + use<> {
    let structure = (
        prop::sample::select(kinds.to_vec()),
        1..=3usize,
        direction(),
        prop::sample::select(vec![Layout::TimeMajor, Layout::BatchFirst]),
        prop::sample::select(vec![Bias::Double, Bias::Single, Bias::None]),
    );
    let sizes = (
        prop::sample::select(ROWS.to_vec()),
        0..=9usize,
        prop::sample::select(UNITS.to_vec()),
        prop::sample::select(UNITS.to_vec()),
    );
    let structure = (structure, sizes).prop_flat_map(|(structure, sizes)| {
        (Just((structure, sizes)), options(structure.0, structure.2, sizes.3))
    });
    // (Sums of the others are too coarse for these limits: tests/precision.rs.)
    let precision = prop::sample::select(vec![Precision::F32, Precision::F32, Precision::Bf16Weights]);
    (structure, any::<bool>(), any::<bool>(), precision, any::<u64>()).prop_map(
        |(
            (((kind, layers, direction, layout, bias), (batch, steps, input, hidden)), options),
            ragged,
            initial,
            precision,
            seed,
        )| {
            Case {
                kind,
                layers,
                direction,
                options,
                layout,
                bias,
                batch,
                steps,
                input,
                hidden,
                ragged,
                initial_state: initial,
                precision,
                seed,
            }
        },
    )
}

#[test]
fn random_structures_and_sizes() {
    // From a fixed seed, so that a run can be repeated: a rectifier whose sum lies within rounding of zero
    // is on one side in f32 and on the other in f64, which is no error but would fail once in a while.
    let cases_drawn = fused_rnn_tests::property_cases(80);
    // Each cell by itself, so that another one changes no draw of these.
    for &kind in CellKind::ALL {
        let config =
            Config { cases: cases_drawn, max_global_rejects: cases_drawn.div_ceil(20), ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(config, rng)
            .run(&trained(cases(&[kind])), |case| {
                let want = reference_run(&case.layer(|builder| builder), &case, &Data::of(&case));
                // Gates without bounds multiply the state at every step: now and then until no float holds
                // it.
                if want.tensors().iter().any(|(_, values)| values.iter().any(|v| v.abs() > 1e30)) {
                    return Err(TestCaseError::reject("its numbers leave the floats"));
                }
                check(&case).map_err(TestCaseError::fail)
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
