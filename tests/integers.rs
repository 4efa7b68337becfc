//! Small integers through linear activations come out exactly, forward and backward, through hundreds of
//! steps.
//!
//! With the activation `x -> x` in every gate each cell but two is a polynomial with integer coefficients. As
//! long as no value and no partial sum reaches 2^24, f32 holds all of them, any order of summation gives the
//! same, and a single bit that a tile, a tail, a thread or a checkpoint loses shows. The weights keep the
//! values small: half of the units are a ring, which hands its signed values from unit to unit for ever, the
//! others hold and accumulate. (The gates of a minimal LSTM stay sigmoids: weights of some thousands open and
//! close them to the last bit. The exponentials of an sLSTM stay, and it is left out.)

use fused_rnn::{
    Activation, CellKind, Direction, Keep, Layout, Level, Precision, Recurrent, Rng, Schedule, Tape, Threads,
};
use fused_rnn_tests::strategies::first_inexact;
use fused_rnn_tests::{Case, Data, Results, check_all, plain_activations, reference_run, run_with_tape};

const IDENTITY: Activation = Activation::Affine { alpha: 1.0, beta: 0.0 };
/// The first integer from which f32 does not hold every integer.
const LIMIT: f64 = (1 << 24) as f64;

fn case(kind: CellKind, batch: usize, steps: usize, input: usize, hidden: usize) -> Case {
    let mut case = Case::simple(kind, batch, steps, input, hidden);
    case.options.activations = Some(vec![IDENTITY; plain_activations(kind).len()]);
    case
}

fn sign(rng: &mut Rng) -> f32 {
    [-1.0, 1.0][rng.below(2)]
}

/// Values of -1, 0 and 1 at steps of `phase` modulo 64, else 0.
fn pulses(case: &Case, len: usize, phase: usize, rng: &mut Rng) -> Vec<f32> {
    let width = len / (case.batch * case.steps).max(1);
    let step = |at: usize| match case.layout {
        Layout::TimeMajor => at / (width * case.batch),
        _ => at / width % case.steps,
    };
    let value = |at: usize| {
        let value = rng.below(3) as f32 - 1.0;
        if step(at) % 64 == phase { value } else { 0.0 }
    };
    (0..len).map(value).collect()
}

fn data(case: &Case) -> Data {
    let mut data = Data::of(case);
    let mut rng = Rng::new(case.seed).fork(5);
    data.x = pulses(case, data.x.len(), 0, &mut rng);
    data.dy = pulses(case, data.dy.len(), 17, &mut rng);
    for values in [&mut data.h0, &mut data.c0, &mut data.dhn, &mut data.dcn] {
        values.iter_mut().for_each(|value| *value = rng.below(3) as f32 - 1.0);
    }
    data
}

/// What a gate does for a unit of the ring and for one that holds: its constant, whether the input and
/// whether the ring enters; and what its weights are multiplied with.
struct Gate {
    constant: [f32; 2],
    input: [bool; 2],
    ring: bool,
    scale: f32,
}

/// A weight that opens a sigmoid, or closes it, to the last bit.
const SHUT: f32 = 2000.0;

fn gates(kind: CellKind) -> Vec<Gate> {
    let gate = |constant, input, ring| Gate { constant, input, ring, scale: 1.0 };
    let switch = |constant, input, scale| Gate { constant, input, ring: false, scale };
    match kind {
        // c = 0 c + 1 (W x + P h), or c + (1 + W x) (W x); h = (1 + W x) c.
        CellKind::Lstm => vec![
            gate([1.0, 1.0], [false, true], false),
            gate([0.0, 1.0], [false, false], false),
            gate([0.0, 0.0], [true, true], true),
            gate([1.0, 1.0], [false, true], false),
        ],
        // h = n, or (1 - z) n + z h with z = 1 + W x.
        CellKind::GruResetAfter | CellKind::GruResetBefore => vec![
            gate([1.0, 1.0], [false, true], false),
            gate([0.0, 1.0], [false, true], false),
            gate([0.0, 0.0], [true, true], true),
        ],
        // h = n, or h + z (n - h) with z = W x. Neither has a ring.
        CellKind::MinGru => {
            vec![gate([1.0, 0.0], [false, true], false), gate([0.0, 0.0], [true, true], false)]
        }
        // h = g, or h until x opens i and closes f: then g.
        CellKind::MinLstm => vec![
            switch([SHUT, -SHUT / 2.0], [false, true], SHUT),
            switch([-SHUT, SHUT / 2.0], [false, true], -SHUT),
            gate([0.0, 0.0], [true, true], false),
        ],
        // m = R h; and then as of an LSTM, where the candidate sees m of its own unit.
        CellKind::LstmMultiplicative => vec![
            gate([1.0, 1.0], [false, false], true),
            gate([1.0, 1.0], [false, true], false),
            gate([0.0, 1.0], [false, false], false),
            gate([0.0, 0.0], [true, true], false),
            gate([1.0, 1.0], [false, true], false),
        ],
        // h = W x + u h: a unit keeps its value and changes its sign, or holds.
        CellKind::IndRnn => vec![gate([0.0, 0.0], [true, true], false)],
        // h = W x + P h; the units that do not belong to the ring see the input alone.
        _ => vec![gate([0.0, 0.0], [true, true], true)],
    }
}

/// Integers for all parameters.
fn integers(layer: &mut Recurrent, case: &Case) {
    let (input, hidden) = (case.input, case.hidden);
    let mut rng = Rng::new(case.seed).fork(6);
    let gates = gates(case.kind);
    let ring = hidden.div_ceil(2);
    let two_biases = layer.named_parameters().any(|tensor| tensor.name.starts_with("bias_hh"));
    let names: Vec<(String, usize)> = layer.named_parameters().map(|p| (p.name, p.values.len())).collect();
    for (name, len) in names {
        let mut values = vec![0.0; len];
        for (g, gate) in gates.iter().enumerate() {
            for unit in 0..hidden {
                let (row, holds) = (g * hidden + unit, usize::from(unit % 2 == 1));
                if name.starts_with("weight_ih") && gate.input[holds] {
                    // Both switches of a unit see the same input.
                    let (place, by) = (rng.below(input), sign(&mut rng));
                    let switch = gate.scale != 1.0;
                    let at = if switch { unit % input } else { place };
                    values[row * input + at] = if switch { gate.scale } else { by };
                }
                if name.starts_with("weight_hh") && case.kind == CellKind::IndRnn {
                    values[unit] = if holds == 0 { -1.0 } else { 1.0 };
                }
                if name.starts_with("weight_hh") && gate.ring && holds == 0 {
                    let before = (unit / 2 + ring - 1) % ring * 2;
                    values[row * hidden + before] = sign(&mut rng);
                }
                if name.starts_with("bias_ih") {
                    values[row] = gate.constant[holds] - if two_biases { 1.0 } else { 0.0 };
                }
                if name.starts_with("bias_hh") {
                    values[row] = 1.0;
                }
            }
        }
        if case.kind == CellKind::LstmMultiplicative {
            // One times R h.
            match name.as_str() {
                name if name.starts_with("bias_ih") => values[..hidden].fill(1.0),
                name if name.starts_with("bias_hh") => values[..hidden].fill(0.0),
                name if name.starts_with("weight_hh") => {
                    for unit in (0..hidden).step_by(2) {
                        values[(3 * hidden + unit) * hidden + unit] = sign(&mut rng);
                    }
                }
                _ => {}
            }
        }
        // The candidate of a GRU multiplies its second bias by the reset gate: none of the ring's may be left
        // over.
        if name.starts_with("bias") && matches!(case.kind, CellKind::GruResetAfter) {
            values[2 * hidden..].fill(0.0);
        }
        layer.set_parameter(&name, &values).unwrap();
    }
}

fn exactly(case: &Case, got: &Results<f32>, want: &Results<f64>) {
    for ((name, got), (_, want)) in got.tensors().into_iter().zip(want.tensors()) {
        // The reference has what an almost closed gate lets through.
        if let Some(at) = first_inexact(got, want, LIMIT) {
            let (got, want) = (got[at], want[at]);
            let is_small = want.abs() < LIMIT && want.fract() == 0.0;
            assert!(is_small || want.abs() < 1e-30, "no small integer: {name}[{at}] is {want}, {case:?}");
            panic!("not exact: {name}[{at}] is {got}, expected {want}, {case:?}");
        }
    }
}

fn check(case: &Case) {
    let data = data(case);
    let mut want = None;
    for level in Level::available() {
        let ways = [
            (1, Schedule::Auto, Keep::All),
            (2, Schedule::Rows, Keep::All),
            (2, Schedule::Units, Keep::All),
            (1, Schedule::Auto, Keep::Every(13)),
        ];
        for (threads, schedule, keep) in ways {
            let builder = case.builder().level(level).threads(Threads::Count(threads)).schedule(schedule);
            let mut layer = builder.build().unwrap();
            integers(&mut layer, case);
            let want = want.get_or_insert_with(|| reference_run(&layer, case, &data));
            exactly(case, &run_with_tape(&layer, case, &data, &mut Tape::keeping(keep)), want);
        }
    }
    let want = want.expect("a level");
    let moved = |values: &[f64]| values.iter().filter(|value| **value != 0.0).count() * 20 > values.len();
    assert!(moved(&want.y) && moved(&want.hn) && moved(&want.dh0), "almost all is zero: {case:?}");
}

/// Every cell that has a ring, or keeps what it sees.
fn kinds() -> impl Iterator<Item = CellKind> {
    CellKind::ALL.iter().copied().filter(|kind| *kind != CellKind::Slstm)
}

#[test]
fn integers_stay_exact_through_hundreds_of_steps() {
    let sizes = [(1, 3, 5), (5, 1, 16), (7, 19, 37), (13, 8, 66)];
    let of_size = |(batch, input, hidden)| kinds().map(move |kind| case(kind, batch, 300, input, hidden));
    check_all(&sizes.into_iter().flat_map(of_size).collect::<Vec<_>>(), check);
}

/// Weights of few bits are as exact in bf16.
#[test]
fn integers_stay_exact_through_weights_in_bf16() {
    let of_size = |(batch, input, hidden)| {
        let plain = move |kind| case(kind, batch, 300, input, hidden);
        kinds().map(move |kind| Case { precision: Precision::Bf16Weights, ..plain(kind) })
    };
    check_all(&[(1, 3, 5), (7, 19, 37)].into_iter().flat_map(of_size).collect::<Vec<_>>(), check);
}

#[test]
fn integers_stay_exact_in_both_directions_and_with_lengths() {
    let mut cases = Vec::new();
    for kind in kinds() {
        for direction in [Direction::Reverse, Direction::Both] {
            for layout in [Layout::TimeMajor, Layout::BatchFirst] {
                let plain = case(kind, 9, 200, 4, 21);
                cases.push(Case { direction, layout, ragged: true, seed: 3, ..plain });
            }
        }
    }
    check_all(&cases, check);
}

/// The oracle is one: a weight that is off by one changes results, and is not taken for equal.
#[test]
#[should_panic(expected = "not exact")]
fn a_wrong_weight_is_seen() {
    let case = case(CellKind::Lstm, 7, 100, 5, 37);
    let data = data(&case);
    let mut layer = case.builder().build().unwrap();
    integers(&mut layer, &case);
    let want = reference_run(&layer, &case, &data);
    layer.update(|parameters| parameters[5 * (2 * 37 + 36)] += 1.0);
    exactly(&case, &run_with_tape(&layer, &case, &data, &mut Tape::new()), &want);
}
