//! Parameters that a framework owns: compared and set tensor by tensor, with gradients of those that it
//! wants.

use crate::drawn::initial;
use fused_rnn::format::{Convention, state_dict};
use fused_rnn::{
    Accumulate, Builder, CellKind, Dims, Error, Gradients, Keep, Level, Lstm, Precision, Recording,
    Recurrent, Tape, Threads, Upstream, Workspace,
};
use fused_rnn_tests::strategies::{cases_from, trained};
use fused_rnn_tests::{Case, Data, bits, property_cases};
use proptest::prelude::*;

fn slices(tensors: &[Vec<f32>]) -> Vec<&[f32]> {
    tensors.iter().map(Vec::as_slice).collect()
}

fn tensors(layer: &Recurrent) -> Vec<Vec<f32>> {
    layer.named_parameters().map(|tensor| tensor.values.to_vec()).collect()
}

/// The bits of an output, and of a gradient of the parameters and of the input.
fn results(layer: &Recurrent, case: &Case, data: &Data) -> [Vec<u32>; 3] {
    let (mut state, mut y) = (initial(layer, case, data), vec![f32::NAN; data.dy.len()]);
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let dims = data.dims(case);
    layer.forward_train(&data.x, dims, &mut state, Some(&mut y), &mut tape, 3, &mut workspace).unwrap();
    let (mut parameters, mut dx) = (vec![f32::NAN; layer.parameters().len()], vec![f32::NAN; data.x.len()]);
    let gradients = Gradients::of_parameters(&mut parameters).with_dx(&mut dx);
    let upstream = Upstream::default().with_dy(&data.dy);
    layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
    [y, parameters, dx].map(|values| bits(&values))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: property_cases(100),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Some tensors change, in one value; the network is then the one that has been packed as a whole.
    #[test]
    fn tensors_that_differ_are_set_and_packed(
        case in trained(cases_from(1)),
        changes in prop::collection::vec(any::<bool>(), 54),
        gone_back in any::<bool>(),
    ) {
        let data = Data::of(&case);
        for level in Level::available() {
            let mut layer = case.layer(|builder| builder.level(level).threads(Threads::Count(1)));
            if gone_back {
                results(&layer, &case, &data);
            }
            let mut own = tensors(&layer);
            prop_assert_eq!(layer.set_parameters(&slices(&own)), Ok(false));
            for (tensor, _) in own.iter_mut().zip(&changes).filter(|(_, changed)| **changed) {
                *tensor.last_mut().unwrap() += 0.25;
            }
            let any = own.iter().zip(&changes).any(|(_, changed)| *changed);
            prop_assert_eq!(layer.set_parameters(&slices(&own)), Ok(any));
            prop_assert_eq!(bits(layer.parameters()), bits(&own.concat()));
            let mut whole = case.layer(|builder| builder.level(level).threads(Threads::Count(1)));
            whole.update(|parameters| parameters.copy_from_slice(&own.concat()));
            prop_assert_eq!(results(&layer, &case, &data), results(&whole, &case, &data));
        }
    }

    /// Gradients of some tensors have the bits that all have together; the places of the others stay alone.
    #[test]
    fn gradients_are_computed_of_the_tensors_that_are_wanted(
        case in trained(cases_from(0)),
        flags in prop::collection::vec(any::<bool>(), 54),
        from_above in any::<bool>(),
        inputs in any::<[bool; 3]>(),
        add in any::<bool>(),
        keep in prop_oneof![Just(Keep::All), (1..4usize).prop_map(Keep::Every)],
        threads in 1..=2usize,
    ) {
        let data = Data::of(&case);
        let layer = case.layer(|builder| builder.threads(Threads::Count(threads)));
        let count = layer.named_parameters().count();
        // Sometimes those of the last layer alone, or of none.
        let mut wanted = flags[..count].to_vec();
        if from_above {
            let first = count - count / case.layers;
            wanted[..first].fill(false);
        }
        let (mut tape, mut workspace) = (Tape::keeping(keep), Workspace::new());
        let mut state = initial(&layer, &case, &data);
        layer
            .forward_train(&data.x, data.dims(&case), &mut state, None, &mut tape, 3, &mut workspace)
            .unwrap();
        let mut backward = |wanted: Option<&[bool]>, inputs: [bool; 3]| {
            let mut to = [layer.parameters().len(), data.x.len(), data.h0.len(), data.c0.len()]
                .map(|len| vec![0.5; len]);
            let [parameters, dx, dh0, dc0] = &mut to;
            let mut gradients = Gradients::of_parameters(parameters);
            gradients.accumulate = if add { Accumulate::Add } else { Accumulate::Overwrite };
            gradients.wanted = wanted;
            gradients.dx = inputs[0].then_some(&mut dx[..]);
            gradients.dh0 = inputs[1].then_some(&mut dh0[..]);
            gradients.dc0 = inputs[2].then_some(&mut dc0[..]);
            let upstream = Upstream::default().with_dy(&data.dy).with_dhn(&data.dhn).with_dcn(&data.dcn);
            layer.backward(&data.x, &tape, upstream, gradients, &mut workspace).unwrap();
            to
        };
        let all = backward(None, [true; 3]);
        let some = backward(Some(&wanted), inputs);
        for (tensor, wanted) in layer.named_parameters().zip(&wanted) {
            let (name, some) = (tensor.name, bits(&some[0][tensor.range.clone()]));
            let want = if *wanted { bits(&all[0][tensor.range.clone()]) } else { bits(&vec![0.5; some.len()]) };
            prop_assert_eq!(some, want, "{}", name);
        }
        for (n, wanted) in inputs.into_iter().enumerate() {
            let want = if wanted { bits(&all[n + 1]) } else { bits(&vec![0.5; all[n + 1].len()]) };
            prop_assert_eq!(bits(&some[n + 1]), want);
        }
    }
}

#[test]
fn parameters_are_compared_by_bits_and_tapes_live_as_long_as_they() {
    let case = Case::simple(CellKind::Lstm, 2, 3, 2, 4);
    let data = Data::of(&case);
    let mut layer = case.layer(|builder| builder);
    let mut own = tensors(&layer);
    own[0][0] = f32::NAN;
    own[1][0] = 0.0;
    assert_eq!(layer.set_parameters(&slices(&own)), Ok(true));
    assert_eq!(layer.set_parameters(&slices(&own)), Ok(false), "a NaN is the same as itself");
    own[1][0] = -0.0;
    assert_eq!(layer.set_parameters(&slices(&own)), Ok(true), "the two zeros differ");
    own[0][0] = 0.5;
    layer.set_parameters(&slices(&own)).unwrap();

    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = initial(&layer, &case, &data);
    let dims = data.dims(&case);
    layer.forward_train(&data.x, dims, &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut back = |layer: &Recurrent| {
        let mut dx = vec![0.0; data.x.len()];
        let (upstream, gradients) =
            (Upstream::default().with_dy(&data.dy), Gradients::default().with_dx(&mut dx));
        layer.backward(&data.x, &tape, upstream, gradients, &mut workspace)
    };
    layer.set_parameters(&slices(&own)).unwrap();
    assert_eq!(layer.set_parameter("bias_ih_l0", &own[2]), Ok(false));
    assert_eq!(back(&layer), Ok(()));
    own[2][0] += 1.0;
    assert_eq!(layer.set_parameter("bias_ih_l0", &own[2]), Ok(true));
    let refused = "not supported: backward with other parameters than those of forward_train";
    assert_eq!(back(&layer).unwrap_err().to_string(), refused);
}

/// A network that has gone back and is large enough for it is packed on two threads.
#[test]
fn an_update_on_several_threads_packs_the_same_bits() {
    for (kind, precision) in [
        (CellKind::Lstm, Precision::F32),
        (CellKind::GruResetBefore, Precision::F32),
        (CellKind::GruResetAfter, Precision::Bf16),
    ] {
        let case = Case { layers: 2, precision, ..Case::simple(kind, 2, 3, 150, 140) };
        let data = Data::of(&case);
        let [want, got] = [1, 2].map(|threads| {
            let mut layer = case.layer(|builder| builder.threads(Threads::Count(threads)));
            let before = results(&layer, &case, &data);
            layer.update(|parameters| parameters.iter_mut().for_each(|value| *value *= 0.75));
            let after = results(&layer, &case, &data);
            assert!(before.iter().zip(&after).all(|(before, after)| before != after));
            after
        });
        assert!(got == want, "{kind:?}, {precision:?}");
    }
}

#[test]
fn wrong_tensors_are_refused_and_none_is_set() {
    let case = Case { layers: 2, ..Case::simple(CellKind::GruResetAfter, 2, 3, 2, 4) };
    let mut layer = case.layer(|builder| builder);
    let (before, mut own) = (layer.parameters().to_vec(), tensors(&layer));
    own[0][0] += 1.0;
    let refuse = |layer: &mut Recurrent, tensors: &[Vec<f32>], says: &str| {
        assert_eq!(layer.set_parameters(&slices(tensors)).unwrap_err().to_string(), says);
        assert_eq!(layer.parameters(), before);
    };
    refuse(&mut layer, &own[..7], "number of parameter tensors: expected 8, got 7");
    refuse(&mut layer, &[], "number of parameter tensors: expected 8, got 0");
    own[7].push(1.0);
    refuse(&mut layer, &own, "parameter bias_hh_l1: expected 12 values, got 13");
    own.push(vec![]);
    refuse(&mut layer, &own, "number of parameter tensors: expected 8, got 9");

    let data = Data::of(&case);
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let mut state = initial(&layer, &case, &data);
    layer.forward_train(&data.x, data.dims(&case), &mut state, None, &mut tape, 0, &mut workspace).unwrap();
    let mut parameters = vec![7.0; layer.parameters().len()];
    let gradients = Gradients::of_parameters(&mut parameters).with_wanted(&[true; 9]);
    let refused = layer.backward(&data.x, &tape, Upstream::default(), gradients, &mut workspace);
    assert_eq!(refused, Err(Error::Length { what: "gradients.wanted", expected: 8, got: 9 }));
    assert!(parameters.iter().all(|&value| value == 7.0));
}

/// Names that only look like those of tensors.
#[test]
fn names_of_no_tensor_are_refused() {
    let one = Builder::new(CellKind::Lstm, 2, 3).layers(2).build().unwrap();
    let both = Builder::new(CellKind::Lstm, 2, 3).layers(2).bidirectional(true).build().unwrap();
    for mut network in [one, both] {
        for name in [
            "",
            "_l0",
            "weight_ih",
            "weight_ih_l",
            "weight_ih_l2",
            "weight_ih_l+1",
            "weight_ih_l01",
            "weight_ih_l-1",
            "weight_ih_l1_reverse_reverse",
            "weight_ih_l2_reverse",
            "peephole_l0",
            "weight_ih_l18446744073709551615_reverse",
            "weight_ih_l9223372036854775808",
            "_reverse",
        ] {
            let error = network.set_parameter(name, &[]).unwrap_err();
            assert_eq!(error.to_string(), format!("no parameter is named {name:?}"));
        }
        for tensor in network.clone().named_parameters() {
            assert!(!network.set_parameter(&tensor.name, tensor.values).unwrap(), "{}", tensor.name);
            let error = network.set_parameter(&tensor.name, &[]).unwrap_err().to_string();
            let expected =
                format!("parameter {}: expected {} values, got 0", tensor.name, tensor.values.len());
            assert_eq!(error, expected);
            let other: Vec<f32> = tensor.values.iter().map(|value| value + 1.0).collect();
            assert!(network.set_parameter(&tensor.name, &other).unwrap());
            assert_eq!(network.parameters()[tensor.range], other);
        }
    }
    // One direction has no tensors of the other.
    let mut one = Builder::new(CellKind::Lstm, 2, 3).layers(2).build().unwrap();
    assert!(one.set_parameter("weight_ih_l0_reverse", &[]).unwrap_err().to_string().contains("no parameter"));
}

/// A network without its parameters computes the same bits from its packed weights alone; what needs
/// parameters is an error that says so, and writes nothing.
#[test]
fn dropped_parameters_leave_the_packed_weights() {
    for &precision in Precision::ALL {
        let builder = || Lstm::builder(24, 40).layers(2).bidirectional(true).precision(precision);
        let whole = builder().build().unwrap();
        let mut packed = whole.clone();
        if precision == Precision::Int8 {
            packed.set_scales("weight_hh_l1", &[0.25]).unwrap();
            packed.set_scales("weight_hh_l1", &[]).unwrap();
        } else {
            // The weights of backward go, too.
            let (x, recording) = ([0.25; 24], Recording::new(Dims::new(1, 1)));
            let mut tape = vec![0.0; packed.tape_len(recording.dims, recording.keep).unwrap()];
            let (mut state, mut workspace) = (packed.zero_state(1).unwrap(), Workspace::new());
            packed.forward_train_into(&x, recording, &mut state, None, &mut tape, &mut workspace).unwrap();
            let mut dx = [0.0; 24];
            let to = Gradients::default().with_dx(&mut dx);
            packed.backward_from(&x, recording, &tape, Upstream::default(), to, &mut workspace).unwrap();
            assert!(packed.bytes() > whole.bytes());
        }
        let before = whole.bytes();
        packed.drop_parameters();
        let count = whole.parameters().len();
        assert_eq!((packed.has_parameters(), whole.has_parameters()), (false, true));
        assert_eq!(packed.bytes(), before - 4 * count, "{precision}");
        assert_eq!((packed.parameters().len(), packed.named_parameters().count()), (0, 0));

        let x: Vec<f32> = (0..3 * 7 * 24).map(|n| (n * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let run = |layer: &Recurrent| layer.run(&x, Dims::new(3, 7)).unwrap();
        assert_eq!(bits(&run(&packed).y), bits(&run(&whole).y), "{precision}");
        assert_eq!(bits(&run(&packed.clone()).y), bits(&run(&whole).y), "{precision}");

        let missing = || Error::Unsupported { what: "parameters of a network that has dropped them" };
        assert_eq!(packed.set_parameter("bias_ih_l0", &[0.0; 160]), Err(missing()));
        let own: Vec<&[f32]> = whole.named_parameters().map(|tensor| tensor.values).collect();
        assert_eq!(packed.set_parameters(&own), Err(missing()));
        assert_eq!(packed.in_precision(Precision::F32).map(|_| ()), Err(missing()));
        assert_eq!(state_dict::save(&packed), Err(missing()));
        let tensors = state_dict::save(&whole).unwrap();
        assert_eq!(state_dict::load(tensors, &mut packed), Err(missing()));
        let arrays = Convention::Keras.save(&whole).unwrap();
        assert_eq!(Convention::Keras.load(&mut packed, &arrays), Err(missing()));
        assert_eq!(Convention::Keras.save(&packed), Err(missing()));
        if precision == Precision::Int8 {
            assert_eq!(packed.set_scales("weight_hh_l1", &[1.0]), Err(missing()));
        }
        assert_eq!(packed.update(|parameters| parameters.len()), 0);

        let (mut state, mut tape, mut workspace) =
            (packed.zero_state(3).unwrap(), Tape::new(), Workspace::new());
        let mut y = vec![7.0; 3 * 7 * 80];
        let dims = Dims::new(3, 7);
        let trained = packed.forward_train(&x, dims, &mut state, Some(&mut y), &mut tape, 0, &mut workspace);
        let reserved = packed.reserve(&mut workspace, dims, Some(Keep::All));
        let what = match precision {
            Precision::Int8 => "training in Int8: train in another precision, and change it afterwards",
            _ => "training of a network that has dropped its parameters",
        };
        let missing = Error::Unsupported { what };
        assert_eq!((trained, reserved), (Err(missing.clone()), Err(missing.clone())));
        assert!(y.iter().all(|&y| y == 7.0));
        // A tape from before is of no use.
        if precision.trains() {
            let mut before = whole.clone();
            before.forward_train(&x, dims, &mut state, None, &mut tape, 0, &mut workspace).unwrap();
            before.drop_parameters();
            let mut dx = vec![7.0; x.len()];
            let to = Gradients::default().with_dx(&mut dx);
            let back = before.backward(&x, &tape, Upstream::default().with_dy(&y), to, &mut workspace);
            assert_eq!(back, Err(missing));
            assert!(dx.iter().all(|&dx| dx == 7.0));
        }
        packed.reserve(&mut workspace, dims, None).unwrap();
        assert_eq!(bits(&run(&packed).y), bits(&run(&whole).y), "{precision}, after all of these");
    }
}
