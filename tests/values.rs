//! Values at the ends of f32: a value that decays is stored as zero before it becomes denormal, a value that
//! is too small to matter is read as zero, and NaN stays NaN.

use fused_rnn::{
    Activation, Bias, CellKind, Dims, Direction, Keep, Layout, Level, Precision, Recurrent, Rng, Schedule,
    Tape, Threads, Workspace,
};
use fused_rnn_tests::strategies::cases as drawn_cases;
use fused_rnn_tests::{
    Case, Data, Options, Results, bits_of, on_each_level, property_cases, reference_run, run_in, run_layer,
    uniform,
};
use proptest::prelude::*;

#[test]
fn a_decaying_state_reaches_zero_and_no_denormals() {
    for &kind in CellKind::ALL {
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
    for &kind in CellKind::ALL {
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
    for &kind in CellKind::ALL {
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
                    zeros += usize::from(got == 0.0);
                    kept += usize::from(got != 0.0);
                }
            }
            assert!(zeros > 100 && kept > 100, "{kind:?}, {level}: {zeros}, {kept}");
        }
    }
}

/// Magnitudes that count as zero.
const TINY: [f32; 6] = [9.9e-31, -3e-33, 1e-36, -1.2e-38, 1e-40, -1e-45];
/// What makes them felt, where they do not count as zero: a product with it is far above 1e-30.
const LOUD: f32 = 1e15;

fn tiny(count: usize) -> Vec<f32> {
    (0..count).map(|n| TINY[n % TINY.len()]).collect()
}

/// The bits of all results; both zeros are the same.
fn bits(results: &Results<f32>) -> Vec<u32> {
    let values = results.tensors().into_iter().flat_map(|(_, values)| values);
    values.map(|value| (value + 0.0).to_bits()).collect()
}

/// Structures and sizes that read inputs and weights in different ways.
fn cases(kind: CellKind) -> Vec<Case> {
    let simple = |batch, steps, input, hidden| Case {
        bias: Bias::None,
        ..Case::simple(kind, batch, steps, input, hidden)
    };
    let mut cases = vec![
        // Narrow inputs; input products beforehand; more inputs than are copied together; many rows.
        simple(1, 7, 1, 20),
        simple(2, 30, 24, 17),
        simple(3, 40, 300, 16),
        simple(20, 5, 33, 40),
        Case { direction: Direction::Both, layers: 2, layout: Layout::BatchFirst, ..simple(4, 9, 5, 12) },
        Case { ragged: true, direction: Direction::Reverse, ..simple(5, 11, 18, 24) },
    ];
    if kind == CellKind::Lstm {
        let options = Options { peephole: true, projection: Some(9), ..Options::default() };
        cases.push(Case { options, ..simple(3, 6, 20, 24) });
    }
    if matches!(kind, CellKind::Lstm | CellKind::GruResetAfter) {
        let options = Options { layer_norm: Some(1e-5), ..Options::default() };
        cases.push(Case { options, ..simple(3, 6, 20, 24) });
    }
    cases
}

#[test]
fn tiny_inputs_are_read_as_zero() {
    for &kind in CellKind::ALL {
        let cases: Vec<_> =
            cases(kind).into_iter().map(|case| Case { initial_state: false, ..case }).collect();
        for case in cases.iter().flat_map(Case::in_each_that_trains) {
            let silent = Data { x: vec![0.0; Data::of(&case).x.len()], ..Data::of(&case) };
            let data = Data { x: tiny(silent.x.len()), ..silent.clone() };
            let resets: Vec<bool> = (0..case.batch * case.steps).map(|n| n % 4 == 1).collect();
            for level in Level::available() {
                let mut layer = case.builder().level(level).threads(Threads::Count(2)).build().unwrap();
                let first = layer.named_parameters().next().unwrap();
                let weights = first.range;
                layer.update(|parameters| parameters[weights].iter_mut().for_each(|value| *value *= LOUD));
                for (keep, resets) in [(Keep::All, None), (Keep::Every(4), None), (Keep::All, Some(&resets))]
                {
                    let run = |data: &Data| {
                        let dims = resets.map_or(data.dims(&case), |resets| {
                            Dims::new(case.batch, case.steps).with_resets(resets)
                        });
                        run_in(&layer, &case, data, dims, &mut Tape::keeping(keep))
                    };
                    let got = run(&data);
                    assert!(bits(&got) == bits(&run(&silent)), "{case:?}, {level}, {keep:?}, {resets:?}");
                    let normalised = case.options.layer_norm.is_some();
                    assert!(normalised || got.y.iter().all(|&y| y == 0.0), "{case:?}, {level}");
                }
            }
        }
    }
}

#[test]
fn a_stream_reads_tiny_inputs_as_zero() {
    for &kind in CellKind::ALL {
        for (batch, input) in [(1, 1), (1, 40), (3, 7)] {
            let simple = Case { bias: Bias::None, ..Case::simple(kind, batch, 1, input, 20) };
            for (level, precision) in on_each_level(Precision::ALL) {
                let case = Case { precision, ..simple.clone() };
                let mut layer = case.builder().level(level).build().unwrap();
                layer.update(|parameters| parameters.iter_mut().for_each(|value| *value *= LOUD));
                let (mut state, mut workspace) = (layer.zero_state(batch).unwrap(), Workspace::new());
                for _ in 0..3 {
                    layer.step(&tiny(batch * input), &mut state, None, &mut workspace).unwrap();
                    assert_eq!(
                        state.h(),
                        vec![0.0; batch * 20],
                        "{kind:?}, {level}, {precision}, {batch} rows of {input}"
                    );
                }
                // The next is not tiny, and is read.
                layer.step(&vec![1.0; batch * input], &mut state, None, &mut workspace).unwrap();
                assert!(state.h().iter().any(|&h| h != 0.0), "{kind:?}, {level}, {precision}");
            }
        }
    }
}

#[test]
fn tiny_parameters_are_packed_as_zero() {
    for &kind in CellKind::ALL {
        let cases: Vec<_> = cases(kind).into_iter().map(|case| Case { bias: Bias::Double, ..case }).collect();
        for case in cases.iter().flat_map(Case::in_each_that_trains) {
            let mut data = Data::of(&case);
            let loud = data.x.iter_mut().chain(&mut data.h0).chain(&mut data.c0);
            loud.for_each(|value| *value *= LOUD);
            for level in Level::available() {
                let layer = |parameters: &[f32]| {
                    let mut layer = case.builder().level(level).build().unwrap();
                    layer.update(|to| to.copy_from_slice(parameters));
                    layer
                };
                let count = case.builder().build().unwrap().parameters().len();
                let (of_tiny, of_zeros) = (layer(&tiny(count)), layer(&vec![0.0; count]));
                assert_eq!(of_tiny.parameters(), tiny(count), "what was set is what is there");
                let [got, want] = [&of_tiny, &of_zeros].map(|layer| bits(&run_layer(layer, &case, &data)));
                assert!(got == want, "{case:?}, {level}");
            }
        }
    }
}

#[test]
fn tiny_gradients_of_outputs_and_final_states_are_read_as_zero() {
    for level in Level::available() {
        // A slope that makes more of any gradient that is there.
        let activations = Some(vec![Activation::Affine { alpha: LOUD, beta: 0.0 }]);
        let options = Options { activations, ..Options::default() };
        let case = Case { options, initial_state: false, ..Case::simple(CellKind::ElmanTanh, 3, 1, 4, 20) };
        let layer = case.builder().bias(Bias::None).level(level).build().unwrap();
        let data = Data::of(&case);
        let (dy, dhn, none) = (tiny(data.dy.len()), tiny(data.dhn.len()), vec![0.0; data.dy.len()]);
        for (dy, dhn) in [(&dy, &none), (&none, &dhn)] {
            let data = Data { dy: dy.clone(), dhn: dhn.clone(), ..data.clone() };
            let results = run_layer(&layer, &case, &data);
            let gradients = results.parameters.iter().chain(&results.dx).chain(&results.dh0);
            assert!(gradients.into_iter().all(|&value| value == 0.0), "{level}");
        }
        // The gradient of the forget gate is that of c' times c.
        let case = Case::simple(CellKind::Lstm, 3, 1, 4, 20);
        let layer = case.builder().level(level).build().unwrap();
        let mut data = Data::of(&case);
        (data.dy, data.dhn, data.dcn) = (none.clone(), none, tiny(data.dcn.len()));
        data.c0.fill(LOUD);
        assert!(run_layer(&layer, &case, &data).parameters.iter().all(|&value| value == 0.0), "{level}");
    }
}

/// The processor notes by itself whether an operation has met a denormal number. With tiny weights it meets
/// none, and so cannot be slower than with others.
#[cfg(target_arch = "x86_64")]
#[test]
fn products_with_tiny_weights_meet_no_denormal_number() {
    for &kind in CellKind::ALL {
        let simple = Case::simple(kind, 3, 12, 24, 40);
        let data = Data::of(&simple);
        for (level, precision) in on_each_level(Precision::ALL) {
            let case = Case { precision, ..simple.clone() };
            let mut layer = case.builder().level(level).threads(Threads::Count(1)).build().unwrap();
            let run = |layer: &Recurrent| match precision.trains() {
                true => _ = run_layer(layer, &case, &data),
                false => _ = layer.run(&data.x, data.dims(&case)).unwrap(),
            };
            let what = format!("{kind:?}, {level}, {precision}");
            assert!(!meets_denormals(|| run(&layer)), "{what}, ordinary");
            layer.update(|to| to.iter_mut().step_by(10).for_each(|value| *value = 1e-40));
            assert!(!meets_denormals(|| run(&layer)), "{what}");
        }
    }
    use std::hint::black_box;
    assert!(meets_denormals(|| _ = black_box(black_box(1e-40f32) * black_box(0.5))), "a product with one");
}

/// Whether an operation of `work` on this thread has a denormal operand: bit 1 of the processor's register of
/// control and status, which stays set until it is cleared.
#[cfg(target_arch = "x86_64")]
fn meets_denormals(work: impl FnOnce()) -> bool {
    use std::arch::asm;
    const DENORMAL: u32 = 1 << 1;
    let mut register = 0u32;
    // SAFETY: both instructions are part of x86-64 and get the address of `register`; of the processor's
    // register only status bits change, as assembly may change them.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &mut register);
        register &= !DENORMAL;
        asm!("ldmxcsr [{}]", in(reg) &register);
    }
    work();
    // SAFETY: as above.
    unsafe { asm!("stmxcsr [{}]", in(reg) &mut register) };
    register & DENORMAL != 0
}

/// NaN reaches every value that depends on it: no operation turns it into a number again.
#[test]
fn nan_and_infinities_propagate() {
    let (steps, hidden, at) = (5, 20, 2);
    for &kind in CellKind::ALL {
        let simple = Case { bias: Bias::None, ..Case::simple(kind, 1, steps, 3, hidden) };
        for (level, case) in
            Level::available().flat_map(|level| simple.in_each_that_trains().map(move |case| (level, case)))
        {
            let layer = case.builder().level(level).build().unwrap();
            let is_nan = |values: &[f32]| values.iter().all(|value| value.is_nan());
            let no_nan = |values: &[f32]| values.iter().all(|value| value.is_finite());

            // An input reaches all units from its step on, and all gradients.
            let mut data = Data::of(&case);
            data.x[at * 3 + 1] = f32::NAN;
            let results = run_layer(&layer, &case, &data);
            let (before, after) = results.y.split_at(at * hidden);
            assert!(no_nan(before) && is_nan(after), "{case:?}, {level}: y");
            assert!(is_nan(&results.hn) && is_nan(&results.cn), "{case:?}, {level}: final states");
            let rectifier = matches!(kind, CellKind::ElmanRelu | CellKind::IndRnn);
            if rectifier {
                // The slope of a rectifier is that of one of its sides, whatever it is asked of.
                assert!(results.parameters.iter().any(|value| value.is_nan()), "{case:?}, {level}");
            } else {
                assert!(is_nan(&results.parameters) && is_nan(&results.dx), "{case:?}, {level}: gradients");
                assert!(is_nan(&results.dh0) && is_nan(&results.dc0), "{case:?}, {level}: initial states");
            }

            // An upstream gradient reaches what comes before its step.
            let mut data = Data::of(&case);
            data.dy[at * hidden..][..hidden].fill(f32::NAN);
            let results = run_layer(&layer, &case, &data);
            assert!(no_nan(&results.y), "{case:?}, {level}");
            let (until, after) = results.dx.split_at((at + 1) * 3);
            // (A rectifier of a unit that sees itself alone may be shut on the way.)
            let (until, dh0) = match kind {
                CellKind::IndRnn => (&until[at * 3..], &[][..]),
                _ => (until, &results.dh0[..]),
            };
            assert!(no_nan(after) && is_nan(until), "{case:?}, {level}: dx");
            assert!(is_nan(dh0) && is_nan(&results.dc0), "{case:?}, {level}: initial states");

            // (Of an sLSTM it is empty where n is zero.)
            if kind.has_cell_state() && kind != CellKind::Slstm {
                // A cell state is of one unit, as long as the others do not read its output.
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let case = Case { steps: 1, ..case.clone() };
                    let mut data = Data::of(&case);
                    data.c0[7] = value;
                    let Results { hn, cn, .. } = run_layer(&layer, &case, &data);
                    assert_eq!(bits_of(cn[7]), bits_of(value), "{}", cn[7]);
                    assert!(hn[7].is_nan() == value.is_nan() && hn[7] != 0.0, "{}", hn[7]);
                    let others = |values: &[f32]| no_nan(&values[..7]) && no_nan(&values[8..]);
                    assert!(others(&hn) && others(&cn), "{case:?}, {level}");
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

/// What is no ordinary number.
const ODD: [f32; 8] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -1e-45, 9e-31];

/// Outputs and final states.
fn forward(layer: &Recurrent, case: &Case, data: &Data) -> [Vec<f32>; 3] {
    let (mut state, mut workspace) = (layer.zero_state(case.batch).unwrap(), Workspace::new());
    state.set_h(&data.h0).unwrap();
    state.set_c(&data.c0).unwrap();
    let mut y = vec![7.0; data.dy.len()];
    layer.forward(&data.x, data.dims(case), &mut state, Some(&mut y), &mut workspace).unwrap();
    [y, state.h(), state.c()]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(30),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Odd values among the weights, the inputs and the states: in every precision, on every level and for
    /// any number of threads a NaN reaches what it reaches in the reference, and nothing else.
    /// (An infinity may be NaN there that is none here: a sigmoid is never quite zero, and what it multiplies
    /// stays infinite. And a minimal GRU makes NaN of an infinite state, in h + z (n - h), where the reference
    /// has an infinity that a clip further up may bound. Activations at infinities have a test of their own.)
    #[test]
    fn odd_values_are_what_the_reference_makes_of_them(
        case in drawn_cases(),
        odd in prop::collection::vec(
            (0..4usize, any::<prop::sample::Index>(), prop::sample::select(&ODD[..])),
            1..4,
        ),
    ) {
        let infinite = odd.iter().any(|(.., value)| value.is_infinite());
        let bounded = infinite && case.kind == CellKind::MinGru && case.options.clip.is_some();
        let options = Options { activations: None, activations_reverse: None, ..case.options.clone() };
        for &precision in Precision::ALL {
            let case = Case { precision, options: options.clone(), ..case.clone() };
            let mut data = Data::of(&case);
            let mut wanted = None;
            for level in Level::available() {
                for threads in [1, 3] {
                    let mut layer = case.layer(|builder| {
                        builder.level(level).threads(Threads::Count(threads)).schedule(Schedule::Units)
                    });
                    layer.update(|parameters| {
                        for &(place, index, value) in &odd {
                            let to = match place {
                                0 => &mut *parameters,
                                1 => &mut data.x[..],
                                2 => &mut data.h0[..],
                                _ => &mut data.c0[..],
                            };
                            if !to.is_empty() {
                                to[index.index(to.len())] = value;
                            }
                        }
                    });
                    let want = wanted.get_or_insert_with(|| reference_run(&layer, &case, &data));
                    let want = [&want.y, &want.hn, &want.cn];
                    let grows = |value: &f64| value.is_finite() && value.abs() > 1e3;
                    if want.iter().any(|values| values.iter().any(grows)) {
                        continue;
                    }
                    let all = forward(&layer, &case, &data);
                    for ((name, got), want) in ["y", "h", "c"].into_iter().zip(&all).zip(want) {
                        for (place, (&got, &want)) in got.iter().zip(want).enumerate() {
                            let same = match (got.is_finite(), want.is_finite()) {
                                (true, true) => (f64::from(got) - want).abs() < 0.2,
                                (got, false) => infinite || !got,
                                (false, true) => bounded,
                            };
                            let what = format!("{precision}, {level}, {threads} threads, {name}[{place}]");
                            prop_assert!(same, "{}: {} for {}", what, got, want);
                        }
                    }
                }
            }
        }
    }
}
