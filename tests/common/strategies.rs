//! Cases, options and directions, for the tests that draw them, and what these tests claim of two results.
//! Strategies are boxed, so that they are compiled here and not in every test.

use crate::{
    ACTIVATIONS, Case, Options, Results, bits_of, has_options_of_cell_state, plain_activations,
    recurrent_dropout,
};
use fused_rnn::{Activation, Bias, CellKind, Direction, Layout, Precision};
use proptest::prelude::*;

/// Claims that two results have the same bits, [as `bits`](crate::bits) has them.
pub fn same_bits(what: &str, a: &Results<f32>, b: &Results<f32>) -> Result<(), TestCaseError> {
    for ((name, a), (_, b)) in a.tensors().into_iter().zip(b.tensors()) {
        prop_assert_eq!(a.len(), b.len(), "{}: {}", what, name);
        for (index, (&a, &b)) in a.iter().zip(b).enumerate() {
            prop_assert!(bits_of(a) == bits_of(b), "{what}: {name}[{index}]: {a:e} and {b:e}");
        }
    }
    Ok(())
}

/// The first place where `want` is no integer of a magnitude below `limit`, or `got` is not that integer.
/// (Values below 1e-30 count as zero.)
pub fn first_inexact(got: &[f32], want: &[f64], limit: f64) -> Option<usize> {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).position(|(&got, &want)| {
        let want = if want.abs() < 1e-30 { 0.0 } else { want };
        !(want.abs() < limit && want.fract() == 0.0 && f64::from(got) == want)
    })
}

/// The eleven of ONNX, and of the others those whose slope does not jump. (The rest has a test of each at
/// each place: the exponential leaves the floats within some steps, and the more kinks there are, the more
/// often a sum lies within rounding of one. There f32 and f64 take the slopes of different sides, and both
/// are right: of `SoftShrink` in the place of the gates, one case in some hundreds.)
pub fn activation() -> BoxedStrategy<Activation> {
    let is_smooth = |activation: &Activation| {
        matches!(
            activation,
            Activation::Silu
                | Activation::Gelu
                | Activation::Mish
                | Activation::LogSigmoid
                | Activation::TanhShrink
                | Activation::SquarePlus
                | Activation::SparsePlus
        )
    };
    let (of_onnx, others) = ACTIVATIONS.split_at(11);
    let smooth: Vec<Activation> = others.iter().copied().filter(is_smooth).collect();
    assert_eq!(smooth.len(), 7);
    prop::sample::select([of_onnx, &smooth].concat()).boxed()
}

/// Half of the time none, and otherwise any that the cell has.
pub fn options(kind: CellKind, direction: Direction, hidden: usize) -> BoxedStrategy<Options> {
    let count = plain_activations(kind).len();
    let activations = || prop::option::of(prop::collection::vec(activation(), count));
    let clip = || prop::option::of(0.3f32..1.5);
    let lstm = (clip(), any::<bool>(), any::<bool>(), prop::option::of(1..=hidden));
    let norm = prop::option::weighted(0.3, 1e-3f32..1e-1);
    let drawn = any::<u8>().prop_map(usize::from);
    (any::<bool>(), activations(), activations(), clip(), lstm, (norm, drawn))
        .prop_map(move |(plain, activations, activations_reverse, clip, lstm_options, (norm, drawn))| {
            let normalisable = matches!(kind, CellKind::Lstm | CellKind::GruResetAfter);
            let layer_norm = norm.filter(|_| normalisable);
            let (cell_clip, peephole, coupled, projection) = lstm_options;
            let lstm = kind == CellKind::Lstm;
            let reverse = direction != Direction::Forward;
            // Half of the sLSTMs have heads: of any size that there is.
            let divisors = (1..=hidden).filter(|heads| hidden.is_multiple_of(*heads)).collect::<Vec<_>>();
            let heads = if kind == CellKind::Slstm { divisors[drawn % divisors.len()] } else { 1 };
            match plain {
                true => Options::default(),
                false => Options {
                    heads,
                    activations,
                    activations_reverse: activations_reverse.filter(|_| reverse),
                    clip: clip.filter(|_| kind != CellKind::Slstm),
                    cell_clip: cell_clip.filter(|_| has_options_of_cell_state(kind)),
                    peephole: lstm && peephole && layer_norm.is_none(),
                    coupled: lstm && coupled && layer_norm.is_none(),
                    projection: projection.filter(|_| lstm && layer_norm.is_none()),
                    layer_norm,
                    ..Options::default()
                },
            }
        })
        .boxed()
}

/// F32 in half of the cases, or any.
pub fn precision() -> BoxedStrategy<Precision> {
    prop_oneof![Just(Precision::F32), prop::sample::select(Precision::ALL.to_vec())].boxed()
}

/// The same cases, in precisions that train.
pub fn that_train(cases: impl Strategy<Value = Case> + 'static) -> BoxedStrategy<Case> {
    cases
        .prop_map(|case| match case.precision.trains() {
            true => case,
            false => Case { precision: Precision::Bf16, ..case },
        })
        .boxed()
}

/// The same, some with dropout and zoneout: where only training is looked at, for inference differs then.
pub fn trained(cases: impl Strategy<Value = Case> + 'static) -> BoxedStrategy<Case> {
    let p = || prop::sample::select(vec![0.0, 0.4]);
    (that_train(cases), [p(), p(), p()], p(), p())
        .prop_map(|(mut case, [between, recurrent, input], hidden, cell)| {
            case.options.dropout = between;
            case.options.recurrent_dropout = recurrent_dropout(case.kind, recurrent);
            case.options.input_dropout = input;
            case.options.zoneout = [hidden, if has_options_of_cell_state(case.kind) { cell } else { 0.0 }];
            case
        })
        .boxed()
}

/// All three.
pub fn direction() -> BoxedStrategy<Direction> {
    prop::sample::select(vec![Direction::Forward, Direction::Reverse, Direction::Both]).boxed()
}

/// Every other case of `Bf16Weights`, by its seed, has so many inputs that its first layer fits no
/// first-level cache: weights that do are multiplied as f32.
pub fn widened(case: Case) -> Case {
    let floats = (64 << 10) / size_of::<f32>();
    match (case.precision, case.seed % 2) {
        (Precision::Bf16Weights, 1) => Case { input: case.input + floats / case.hidden, ..case },
        _ => case,
    }
}

/// Networks of every kind, structure, layout, option and precision, and batches of their own lengths.
pub fn cases() -> BoxedStrategy<Case> {
    cases_from(1)
}

/// The same, of this many rows and steps at least.
pub fn cases_from(least: usize) -> BoxedStrategy<Case> {
    let structure = (prop::sample::select(CellKind::ALL.to_vec()), 1..=3usize, direction(), any::<bool>());
    let sizes = (least..=14usize, least..=13usize, 1..=20usize, 1..=70usize);
    let structure = (structure, sizes).prop_flat_map(|(structure, sizes)| {
        (Just((structure, sizes)), options(structure.0, structure.2, sizes.3))
    });
    (structure, any::<bool>(), precision(), any::<u64>())
        .prop_map(
            |(
                (((kind, layers, direction, batch_first), (batch, steps, input, hidden)), options),
                ragged,
                precision,
                seed,
            )| Case {
                kind,
                layers,
                direction,
                options,
                layout: if batch_first { Layout::BatchFirst } else { Layout::TimeMajor },
                bias: Bias::Double,
                batch,
                steps,
                input,
                hidden,
                ragged,
                initial_state: true,
                precision,
                seed,
            },
        )
        .prop_map(widened)
        .boxed()
}
