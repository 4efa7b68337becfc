//! A dense head, losses, optimisers, clipping and dropout.

use super::{HUGE, OVERFLOW, all, row, untouched};
use fused_rnn::train::{
    Adam, AdamConfig, AdamW, Dense, Dropout, Optimizer, Sgd, SgdConfig, accuracy, binary_accuracy,
    clip_global_norm, clip_value, mean_squared_error, softmax, softmax_cross_entropy,
    softmax_cross_entropy_soft,
};
use fused_rnn::{Accumulate, Error};

#[test]
fn dense_heads() {
    let dense = || Dense::new_pytorch(3, 2, 1).unwrap();
    let back = move |x: usize, dy: usize, gradients: usize, dx: usize| {
        untouched(gradients, |gradients| {
            untouched(dx, |dx| {
                let (x, dy) = (vec![1.0; x], vec![1.0; dy]);
                dense().backward(&x, &dy, 4, gradients, Accumulate::Overwrite, Some(dx))
            })
        })
    };
    all(vec![
        row("no inputs", || Dense::new_keras(0, 1, 1), "dense inputs: expected at least 1, got 0"),
        row("no outputs", || Dense::new_pytorch(1, 0, 1), "dense outputs: expected at least 1, got 0"),
        row(
            "parameters",
            || Dense::from_parameters(2, 2, &[0.0; 5]),
            "dense parameters: expected 6 values, got 5",
        ),
        row(
            "x",
            move || untouched(8, |y| dense().forward(&[1.0; 11], 4, y)),
            "dense x: expected 12 values, got 11",
        ),
        row(
            "y",
            move || untouched(9, |y| dense().forward(&[1.0; 12], 4, y)),
            "dense y: expected 8 values, got 9",
        ),
        row("back x", move || back(11, 8, 8, 12), "dense x: expected 12 values, got 11"),
        row("back dy", move || back(12, 7, 8, 12), "dense dy: expected 8 values, got 7"),
        row("back gradients", move || back(12, 8, 9, 12), "dense gradients: expected 8 values, got 9"),
        row("back dx", move || back(12, 8, 8, 13), "dense dx: expected 12 values, got 13"),
    ]);
    let said = dense().forward(&[], HUGE, &mut []).unwrap_err().to_string();
    assert_eq!(said, format!("dense x: {OVERFLOW}"));
}

#[test]
fn losses() {
    let hard = |logits: usize, classes: usize, labels: &'static [usize], gradient: usize| {
        untouched(gradient, |gradient| {
            softmax_cross_entropy(&vec![0.5; logits], classes, labels, Some(gradient)).map(|_| ())
        })
    };
    let soft = |logits: usize, classes: usize, targets: usize, gradient: usize| {
        untouched(gradient, |gradient| {
            let (logits, targets) = (vec![0.5; logits], vec![0.5; targets]);
            softmax_cross_entropy_soft(&logits, classes, &targets, Some(gradient)).map(|_| ())
        })
    };
    all(vec![
        row("no classes", move || hard(0, 0, &[], 0), "classes: expected at least 1, got 0"),
        row("logits", move || hard(5, 3, &[0, 1], 5), "logits: expected 3 values, got 5"),
        row("labels", move || hard(6, 3, &[0], 6), "labels: expected 2 values, got 1"),
        row("a label", move || hard(6, 3, &[0, 3], 6), "label 1: expected a class below 3, got 3"),
        row("gradient", move || hard(6, 3, &[0, 1], 7), "dlogits: expected 6 values, got 7"),
        row("soft: no classes", move || soft(0, 0, 0, 0), "classes: expected at least 1, got 0"),
        row("soft: rows", move || soft(5, 3, 5, 5), "logits: expected 3 values, got 5"),
        row("soft: targets", move || soft(6, 3, 5, 6), "targets: expected 6 values, got 5"),
        row("soft: gradient", move || soft(6, 3, 6, 5), "dlogits: expected 6 values, got 5"),
        row(
            "softmax: rows",
            || untouched(5, |p| softmax(&[0.5; 5], 3, p)),
            "logits: expected 3 values, got 5",
        ),
        row(
            "softmax",
            || untouched(5, |p| softmax(&[0.5; 6], 3, p)),
            "probabilities: expected 6 values, got 5",
        ),
        row("softmax: no classes", || softmax(&[], 0, &mut []), "classes: expected at least 1, got 0"),
        row("accuracy", || accuracy(&[0.5; 6], 3, &[0]), "labels: expected 2 values, got 1"),
        row("binary_accuracy", || binary_accuracy(&[0.5; 6], &[1.0]), "targets: expected 6 values, got 1"),
        row("accuracy: no classes", || accuracy(&[], 0, &[]), "classes: expected at least 1, got 0"),
        row("accuracy: a label", || accuracy(&[0.5; 3], 3, &[9]), "label 0: expected a class below 3, got 9"),
        row(
            "targets",
            || mean_squared_error(&[0.5; 3], &[0.5; 2], None),
            "targets: expected 3 values, got 2",
        ),
        row(
            "dy",
            || untouched(2, |dy| mean_squared_error(&[0.5; 3], &[0.5; 3], Some(dy)).map(|_| ())),
            "dy: expected 3 values, got 2",
        ),
    ]);
}

#[test]
fn optimisers_and_clipping() {
    let sgd = |change: fn(&mut SgdConfig)| {
        let mut config = SgdConfig::default();
        change(&mut config);
        Sgd::new(2, config)
    };
    let adam = |change: fn(&mut AdamConfig)| {
        let mut config = AdamConfig::default();
        change(&mut config);
        Adam::new(2, config)
    };
    let adam_w = |change: fn(&mut AdamConfig)| {
        let mut config = AdamConfig::default();
        change(&mut config);
        AdamW::new(2, config)
    };
    fn steps(mut optimizer: impl Optimizer, parameters: usize, gradients: usize) -> Result<(), Error> {
        untouched(parameters, |parameters| optimizer.step(parameters, &vec![1.0; gradients]))
    }
    let finite = "expected a finite f32 of at least 0, got";
    all(vec![
        row(
            "rate",
            move || sgd(|c| c.learning_rate = -1.0),
            "learning_rate: expected a finite f32 of at least 0, got -1",
        ),
        row(
            "decay",
            move || sgd(|c| c.weight_decay = f64::NAN),
            "weight_decay: expected a finite f32 of at least 0, got NaN",
        ),
        row("momentum", move || sgd(|c| c.momentum = 1.0), "momentum: expected a number in [0, 1), got 1"),
        row(
            "nesterov",
            move || sgd(|c| c.nesterov = true),
            "momentum: expected a number in (0, 1) for nesterov, got 0",
        ),
        row(
            "adam rate",
            move || adam(|c| c.learning_rate = 1e300),
            "learning_rate: expected a finite f32 of at least 0, got 1e300",
        ),
        row("beta1", move || adam(|c| c.beta1 = -0.1), "beta1: expected a number in [0, 1), got -0.1"),
        row("beta2", move || adam(|c| c.beta2 = 1.0), "beta2: expected a number in [0, 1), got 1"),
        row("w: beta1", move || adam_w(|c| c.beta1 = 1.0), "beta1: expected a number in [0, 1), got 1"),
        row(
            "epsilon",
            move || adam(|c| c.epsilon = -1.0),
            "epsilon: expected a finite number of at least 1.18e-38, got -1",
        ),
        row(
            "w: epsilon",
            move || adam_w(|c| c.epsilon = f64::INFINITY),
            "epsilon: expected a finite number of at least 1.18e-38, got inf",
        ),
        row(
            "another rate",
            move || sgd(|_| ())?.set_learning_rate(-1.0),
            "learning_rate: expected a finite f32 of at least 0, got -1",
        ),
        row(
            "w: another rate",
            move || adam_w(|_| ())?.set_learning_rate(f64::NAN),
            "learning_rate: expected a finite f32 of at least 0, got NaN",
        ),
        row("w: parameters", move || steps(adam_w(|_| ())?, 1, 2), "parameters: expected 2 values, got 1"),
        row("step: parameters", move || steps(sgd(|_| ())?, 3, 2), "parameters: expected 2 values, got 3"),
        row("step: gradients", move || steps(adam(|_| ())?, 2, 1), "gradients: expected 2 values, got 1"),
        row(
            "norm",
            || untouched(2, |g| clip_global_norm(&mut [g], -1.0).map(|_| ())),
            "max_norm: expected a number of at least 0, got -1",
        ),
        row(
            "limit",
            || untouched(2, |g| clip_value(g, f32::NAN)),
            "limit: expected a number of at least 0, got NaN",
        ),
        row("dropout", || Dropout::new(1.0, 1), "dropout: expected a probability in [0, 1), got 1"),
    ]);
    let mut adam = adam(|_| ()).unwrap();
    let said = adam.set_learning_rate(f64::INFINITY).unwrap_err().to_string();
    assert_eq!((said, adam.learning_rate()), (format!("learning_rate: {finite} inf"), 1e-3));
    let said = Adam::new(HUGE, AdamConfig::default()).unwrap_err().to_string();
    assert_eq!(said, format!("averages: {OVERFLOW}"));
}
