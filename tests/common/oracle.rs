//! The naive reference as a judge: the same case in f64, and whether results are as near to it as they can
//! be.

use super::{Case, Data, Results, swap_axes};
use fused_rnn::reference;
use fused_rnn::{Activation, Bias, CellKind, Direction, Layout, Precision, Recurrent, Rng};

/// [`reference::forward`] in f64, compiled once for all tests, and optimised.
pub fn reference_forward(
    model: &reference::Model<f64>,
    input: &reference::Input<'_, f64>,
) -> reference::Output<f64> {
    reference::forward(model, input)
}

/// What [`reference::backward`] has the gradients of, `sum(dy y) + sum(dhn hn) + sum(dcn cn)`, likewise.
pub fn reference_loss(
    model: &reference::Model<f64>,
    input: &reference::Input<'_, f64>,
    upstream: [&[f64]; 3],
) -> f64 {
    let reference::Output { y, hn, cn, .. } = reference::forward(model, input);
    let of_each = upstream.into_iter().zip([y, hn, cn]).map(|(upstream, values)| {
        assert_eq!(upstream.len(), values.len());
        upstream.iter().zip(&values).map(|(u, v)| u * v).sum::<f64>()
    });
    of_each.sum()
}

/// [`reference::backward`], likewise.
pub fn reference_backward(
    model: &reference::Model<f64>,
    input: &reference::Input<'_, f64>,
    output: &reference::Output<f64>,
    upstream: &reference::Upstream<'_, f64>,
) -> reference::Gradients<f64> {
    reference::backward(model, input, output, upstream)
}

/// All, with parameters other than their defaults.
pub const ACTIVATIONS: [Activation; 24] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu { alpha: 0.125 },
    Activation::ThresholdedRelu { alpha: 0.25 },
    Activation::ScaledTanh { alpha: 1.25, beta: 0.75 },
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::Elu { alpha: 0.75 },
    Activation::Softsign,
    Activation::Softplus,
    Activation::Affine { alpha: 0.5, beta: 0.125 },
    Activation::Silu,
    Activation::Gelu,
    Activation::Selu,
    Activation::Exponential,
    Activation::HardSilu,
    Activation::Clamp { low: -0.5, high: 0.75 },
    Activation::Mish,
    Activation::LogSigmoid,
    Activation::SoftShrink { lambda: 0.25 },
    Activation::HardShrink { lambda: 0.25 },
    Activation::TanhShrink,
    Activation::SquarePlus,
    Activation::SparsePlus,
];

impl Case {
    /// The variant of a direction, for the reference.
    fn variant(&self, reverse: bool) -> reference::Variant {
        let options = &self.options;
        let activations = options.activations_reverse.as_ref().filter(|_| reverse);
        let activations = activations.or(options.activations.as_ref());
        reference::Variant {
            activations: activations.map(|list| list.iter().map(reference_activation).collect()),
            clip: options.clip.map(f64::from),
            cell_clip: options.cell_clip.map(f64::from),
            coupled: options.coupled,
        }
    }
}

fn reference_activation(activation: &Activation) -> reference::Activation {
    use reference::Activation as To;
    match *activation {
        Activation::Sigmoid => To::Sigmoid,
        Activation::Tanh => To::Tanh,
        Activation::Relu => To::Relu,
        Activation::LeakyRelu { alpha } => To::LeakyRelu(alpha.into()),
        Activation::ThresholdedRelu { alpha } => To::ThresholdedRelu(alpha.into()),
        Activation::ScaledTanh { alpha, beta } => To::ScaledTanh(alpha.into(), beta.into()),
        Activation::HardSigmoid { alpha, beta } => To::HardSigmoid(alpha.into(), beta.into()),
        Activation::Elu { alpha } => To::Elu(alpha.into()),
        Activation::Softsign => To::Softsign,
        Activation::Softplus => To::Softplus,
        Activation::Affine { alpha, beta } => To::Affine(alpha.into(), beta.into()),
        Activation::Silu => To::Silu,
        Activation::Gelu => To::Gelu,
        Activation::Selu => To::Selu,
        Activation::Exponential => To::Exponential,
        Activation::HardSilu => To::HardSilu,
        Activation::Clamp { low, high } => To::Clamp(low.into(), high.into()),
        Activation::Mish => To::Mish,
        Activation::LogSigmoid => To::LogSigmoid,
        Activation::SoftShrink { lambda } => To::SoftShrink(lambda.into()),
        Activation::HardShrink { lambda } => To::HardShrink(lambda.into()),
        Activation::TanhShrink => To::TanhShrink,
        Activation::SquarePlus => To::SquarePlus,
        Activation::SparsePlus => To::SparsePlus,
        other => panic!("no reference for {other:?}"),
    }
}

/// Forward and backward of the naive reference in f64, with the parameters of `layer`.
pub fn reference_run(layer: &Recurrent, case: &Case, data: &Data) -> Results<f64> {
    reference_run_from(layer, case, data, 0)
}

/// The same where the first step is step `first` of the sequence for which masks are drawn.
pub fn reference_run_from(layer: &Recurrent, case: &Case, data: &Data, first: usize) -> Results<f64> {
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let zeros = reference::Params::<f64>::zeros(case.kind.into(), 0, case.hidden);
    let mut tensors = layer.named_parameters().map(|p| (p.name, wide(p.values))).collect::<Vec<_>>();
    let mut take = |name: String, len: usize| match tensors.first() {
        Some(tensor) if tensor.0 == name => tensors.remove(0).1,
        _ => vec![0.0; len],
    };
    let mut params = Vec::new();
    for cell in 0..case.layers * case.directions() {
        let suffix = format!(
            "l{}{}",
            cell / case.directions(),
            if cell % case.directions() == 1 { "_reverse" } else { "" }
        );
        params.push(reference::Params {
            weight_ih: take(format!("weight_ih_{suffix}"), 0),
            weight_hh: take(format!("weight_hh_{suffix}"), 0),
            bias_ih: take(format!("bias_ih_{suffix}"), zeros.bias_ih.len()),
            bias_hh: take(format!("bias_hh_{suffix}"), zeros.bias_hh.len()),
            weight_hr: take(format!("weight_hr_{suffix}"), 0),
            peephole: take(format!("peephole_{suffix}"), 0),
            norm_ih: take(format!("norm_ih_{suffix}"), 0),
            norm_hh: take(format!("norm_hh_{suffix}"), 0),
            norm_c: take(format!("norm_c_{suffix}"), 0),
        });
    }
    assert!(tensors.is_empty(), "parameters that the reference does not know");
    let model = reference::Model {
        cell: case.kind.into(),
        input_size: case.input,
        hidden_size: case.hidden,
        layers: case.layers,
        projection: case.options.projection,
        layer_norm: case.options.layer_norm.map(f64::from),
        heads: case.options.heads.max(1),
        bidirectional: case.direction == Direction::Both,
        reverse: case.direction == Direction::Reverse,
        variants: [case.variant(case.direction == Direction::Reverse), case.variant(true)],
        precision: match layer.config().precision() {
            Precision::F32 => reference::Precision::Exact,
            Precision::Bf16Weights => reference::Precision::Bf16Weights,
            Precision::Bf16 => reference::Precision::Bf16,
            Precision::Int8 => reference::Precision::Int8,
            other => panic!("no reference for {other:?}"),
        },
        params,
    };
    let (batch, steps) = (case.batch, case.steps);
    let width = case.directions() * case.outputs();
    let to_time_major = |values: Vec<f64>, width| match case.layout {
        Layout::TimeMajor => values,
        _ => swap_axes(&values, batch, steps, width),
    };
    let from_time_major = |values: Vec<f64>, width| match case.layout {
        Layout::TimeMajor => values,
        _ => swap_axes(&values, steps, batch, width),
    };
    let x = to_time_major(wide(&data.x), case.input);
    let dy = to_time_major(wide(&data.dy), width);
    // Of an sLSTM the reference has c, n and m in one; n and m begin as zero here.
    let planes = if case.kind == CellKind::Slstm { 3 } else { 1 };
    let beside = |c: Vec<f64>| -> Vec<f64> {
        let hidden = case.hidden.max(1);
        c.chunks(hidden).flat_map(|c| [c, &vec![0.0; (planes - 1) * hidden]].concat()).collect()
    };
    let alone = |c: Vec<f64>| -> Vec<f64> {
        let hidden = case.hidden.max(1);
        c.chunks(hidden).step_by(planes).flatten().copied().collect()
    };
    let (h0, c0, dhn, dcn) =
        (wide(&data.h0), beside(wide(&data.c0)), wide(&data.dhn), beside(wide(&data.dcn)));
    let masks = layer.recurrent_masks(batch, 0).unwrap();
    let passes = case.layers * case.directions();
    let by_pass = |values: &[f32]| -> Vec<Vec<f64>> {
        let len = values.len() / passes;
        (0..passes).map(|pass| wide(&values[pass * len..][..len])).collect()
    };
    let masks = by_pass(&masks);
    // Of (steps, batch, units), without the steps before the first.
    let from_first = |mask: &[f64]| mask[mask.len() / (first + steps).max(1) * first..].to_vec();
    let taken = layer.zoneout_masks(batch, first + steps, 0).unwrap();
    let mut taken =
        taken.map(|taken| by_pass(&taken).iter().map(|mask| from_first(mask)).collect::<Vec<_>>());
    // (All of c is taken.)
    taken[1].iter_mut().for_each(|mask| *mask = mask.repeat(planes));
    let input_masks: Vec<Vec<f64>> =
        (0..case.layers).map(|k| wide(&layer.input_masks(k, batch, 0).unwrap())).collect();
    let between: Vec<Vec<f64>> = (1..case.layers)
        .map(|k| from_first(&wide(&layer.dropout_masks(k - 1, batch, first + steps, 0).unwrap())))
        .collect();
    let input = reference::Input {
        steps,
        batch,
        x: &x,
        h0: Some(&h0),
        c0: Some(&c0),
        lengths: data.lengths.as_deref(),
        masks: Some(&between),
        recurrent_masks: Some(&masks),
        input_masks: Some(&input_masks),
        taken: Some([&taken[0], &taken[1]]),
    };
    let output = reference_forward(&model, &input);
    let upstream = reference::Upstream { dy: Some(&dy), dhn: Some(&dhn), dcn: Some(&dcn) };
    let gradients = reference_backward(&model, &input, &output, &upstream);
    let mut parameters = Vec::new();
    for params in gradients.params {
        parameters.extend(params.weight_ih);
        parameters.extend(params.weight_hh);
        parameters.extend(if case.bias == Bias::None { vec![] } else { params.bias_ih });
        parameters.extend(if case.bias == Bias::Double { params.bias_hh } else { vec![] });
        parameters.extend(params.weight_hr);
        parameters.extend(params.peephole);
        parameters.extend(params.norm_ih);
        parameters.extend(params.norm_hh);
        parameters.extend(params.norm_c);
    }
    Results {
        y: from_time_major(output.y.clone(), width),
        hn: output.hn.clone(),
        cn: alone(output.cn.clone()),
        dx: from_time_major(gradients.x, case.input),
        dh0: gradients.h0,
        dc0: alone(gradients.c0),
        parameters,
    }
}

/// Compares with the reference: the worst element of each tensor in units of
/// `absolute + relative * (largest value of the tensor)` must not pass 1.
///
/// # Errors
/// The tensor and the element that differ most, in words.
pub fn compare(got: &Results<f32>, want: &Results<f64>, tolerance: f64) -> Result<(), String> {
    for ((name, got), (_, want)) in got.tensors().into_iter().zip(want.tensors()) {
        if got.len() != want.len() {
            return Err(format!("{name}: {} values for {}", got.len(), want.len()));
        }
        let scale = want.iter().fold(1.0f64, |largest, v| largest.max(v.abs()));
        for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
            // NaN is not close to anything.
            let close = (f64::from(got) - want).abs() <= tolerance * scale;
            if !close {
                return Err(format!("{name}[{index}]: {got} for {want}, scale {scale}"));
            }
        }
    }
    Ok(())
}

/// [`compare`], where the results may move as much as those of the reference do when the inputs and the
/// parameters move by some roundings of f32. In f32, networks that amplify (normalisation, gates without
/// bounds) cannot be more exact than that, nor can those with a sum within rounding of a kink: there a
/// gradient is one of two values, and enough moves find both.
pub fn compare_or_move(
    layer: &Recurrent,
    case: &Case,
    data: &Data,
    (got, want): (&Results<f32>, &Results<f64>),
    tolerance: f64,
) -> Result<(), String> {
    compare(got, want, tolerance)
        .or_else(|_| compare(got, want, tolerance.max(8.0 * sensitivity(layer, case, data, want))))
}

/// How far the results in f64 move, in units of the largest value of a tensor.
fn sensitivity(layer: &Recurrent, case: &Case, data: &Data, want: &Results<f64>) -> f64 {
    const ROUNDINGS: f32 = 8.0 * f32::EPSILON;
    let distance = |(a, b): (&[f64], &[f64])| {
        let scale = b.iter().fold(1.0f64, |scale, v| scale.max(v.abs()));
        a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
    };
    let mut largest = 0.0f64;
    for seed in 0..16 {
        let (mut data, mut rng, mut layer) = (data.clone(), Rng::new(seed), layer.clone());
        let mut moved = |value: &mut f32| *value *= 1.0 + rng.uniform(-ROUNDINGS, ROUNDINGS);
        data.x.iter_mut().chain(&mut data.h0).chain(&mut data.c0).for_each(&mut moved);
        layer.update(|parameters| parameters.iter_mut().for_each(&mut moved));
        let results = reference_run(&layer, case, &data);
        let tensors = results.tensors().into_iter().zip(want.tensors());
        largest = tensors.map(|((_, a), (_, b))| distance((a, b))).fold(largest, f64::max);
    }
    largest
}
