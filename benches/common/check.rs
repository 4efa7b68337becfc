//! The check before a timing: results are compared with the naive reference.
//!
//! The reference is slow, so large shapes are checked in part. Outputs: the first and the last row of the
//! batch, which depend on no other row, over as many of the first steps as cost little. Gradients: whole
//! layers, with a smaller batch and fewer steps.

use super::{Network, Shape};
use fused_rnn::reference::{self, Params};
use fused_rnn::{Level, Recurrent};

/// The most flops that the reference may take.
const AFFORDABLE: f64 = 1e8;
/// The largest difference of a tensor, over its largest value.
const TOLERANCE: f64 = 1e-4;

/// The network's parameters in the form of the reference.
fn model(layer: &Recurrent) -> reference::Model<f32> {
    let config = layer.config();
    let tensors: Vec<_> = layer.named_parameters().collect();
    let strands = config.layers() * config.directions();
    let params = tensors.chunks_exact(tensors.len() / strands).map(|part| {
        let mut params = Params::zeros(config.kind().into(), 0, 0);
        for tensor in part {
            let (name, _) = tensor.name.rsplit_once("_l").expect("a layer");
            let to = match name {
                "weight_ih" => &mut params.weight_ih,
                "weight_hh" => &mut params.weight_hh,
                "bias_ih" => &mut params.bias_ih,
                "bias_hh" => &mut params.bias_hh,
                _ => panic!("{name} of a network of plain cells"),
            };
            *to = tensor.values.to_vec();
        }
        params
    });
    reference::Model {
        cell: config.kind().into(),
        input_size: config.input_size(),
        hidden_size: config.hidden_size(),
        layers: config.layers(),
        projection: None,
        layer_norm: None,
        heads: config.heads(),
        bidirectional: config.directions() == 2,
        reverse: false,
        variants: Default::default(),
        precision: Default::default(),
        params: params.collect(),
    }
}

fn input<'a>(x: &'a [f32], steps: usize, batch: usize) -> reference::Input<'a, f32> {
    reference::Input { steps, batch, x, h0: None, c0: None, lengths: None, ..reference::Input::default() }
}

/// Panics where a tensor differs from the expected one.
pub fn assert_close(what: &str, shape: &Shape, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what} of {shape}");
    let largest = want.iter().fold(1e-6f32, |largest, value| largest.max(value.abs()));
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        let difference = f64::from((got - want).abs() / largest);
        assert!(difference <= TOLERANCE, "{what} of {shape} at {k}: {got} for {want}");
    }
}

/// Runs the reference over a network's input: what the naive baseline times.
pub fn naive_forward(network: &Network) -> Vec<f32> {
    let shape = &network.shape;
    reference::forward(&model(&network.layer), &input(&network.x, shape.steps, shape.batch)).y
}

/// Runs the reference forward and backward: y, dx, and the gradients of the parameters in the canonical
/// order.
pub fn naive_train(network: &Network) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (shape, model) = (&network.shape, model(&network.layer));
    let input = input(&network.x, shape.steps, shape.batch);
    let output = reference::forward(&model, &input);
    let ones = vec![1.0; output.y.len()];
    let upstream = reference::Upstream { dy: Some(&ones), dhn: None, dcn: None };
    let gradients = reference::backward(&model, &input, &output, &upstream);
    let flat =
        gradients.params.into_iter().flat_map(|p| [p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh].concat());
    (output.y, gradients.x, flat.collect())
}

/// Runs `forward` and compares its outputs. Rows have no lengths here, because the reference gets none.
pub fn forward(network: &mut Network) {
    assert!(network.shape.shortest.is_none(), "a shape with lengths");
    network.forward().expect("forward");
    outputs(&network.shape, &network.layer, &network.x, &network.y);
}

/// Compares outputs `(T, B, D * H)` that any code has computed from zero states.
pub fn outputs(shape: &Shape, layer: &Recurrent, x: &[f32], y: &[f32]) {
    let rows = if shape.batch == 1 { vec![0] } else { vec![0, shape.batch - 1] };
    let row_step = shape.flops_per_row() * rows.len() as f64;
    let affordable = (AFFORDABLE / row_step).max(2.0) as usize;
    // The direction from the end needs all steps.
    let steps = if shape.bidirectional { shape.steps } else { shape.steps.min(affordable) };
    let pick = |from: &[f32]| -> Vec<f32> {
        let width = from.len() / (shape.steps * shape.batch);
        let places = (0..steps).flat_map(|t| rows.iter().map(move |row| (t * shape.batch + row) * width));
        places.flat_map(|start| from[start..][..width].iter().copied()).collect()
    };
    let want = reference::forward(&model(layer), &input(&pick(x), steps, rows.len())).y;
    assert_close("y", shape, &pick(y), &want);
}

/// Compares outputs and all gradients, on a batch and a number of steps that the reference can afford.
pub fn train(shape: &Shape, level: Level, threads: usize) {
    let mut small = shape.clone();
    let cost = |shape: &Shape| 3.0 * shape.flops_per_row() * (shape.batch * shape.steps) as f64;
    while cost(&small) > AFFORDABLE && (small.batch > 2 || small.steps > 2) {
        if small.steps > 2 && small.steps >= small.batch {
            small.steps = small.steps.div_ceil(2);
        } else {
            small.batch = small.batch.div_ceil(2);
        }
    }
    let mut network = Network::new(&small, level, threads).expect("a network");
    network.train().expect("train");
    let (y, dx, gradients) = naive_train(&network);
    assert_close("y", &small, &network.y, &y);
    assert_close("dx", &small, &network.dx, &dx);
    assert_close("gradients", &small, &network.gradients, &gradients);
}

/// Takes all steps of a network's input one by one and compares their outputs; leaves a zero state.
pub fn steps(network: &mut Network) {
    network.reset();
    for t in 0..network.shape.steps {
        network.step(t).expect("step");
    }
    outputs(&network.shape, &network.layer, &network.x, &network.y);
    network.reset();
}
