//! Losses: PyTorch's values and gradients.

use crate::golden::{Golden, close};
use fused_rnn::train::{
    BinaryCrossEntropy, CrossEntropy, Regression, mean_squared_error, softmax_cross_entropy_soft,
};

const TOLERANCE: f64 = 5e-7;
const IGNORED: usize = 99;

#[test]
fn cross_entropy_with_every_option() {
    let golden = Golden::read("losses");
    let [logits, weights, soft] =
        ["logits", "weights", "soft"].map(|name| golden.floats(&format!("cross.{name}")));
    let labels = golden.numbers("cross.labels");
    let mask: Vec<bool> = labels.iter().map(|&label| label != IGNORED).collect();
    let mut gradient = vec![f32::NAN; logits.len()];
    let check = |case: String, loss: f64, gradient: &mut Vec<f32>| {
        close(&case, [loss], golden.values(&format!("{case}.loss")), TOLERANCE);
        close(&case, gradient.iter().copied(), golden.values(&format!("{case}.gradient")), TOLERANCE);
        gradient.fill(f32::NAN);
    };
    for reduction in ["mean", "sum"] {
        for weighted in ["plain", "weighted"] {
            for (smoothing, name) in [(0.0, "0.0"), (0.1, "0.1")] {
                let mut loss = CrossEntropy::new(5).label_smoothing(smoothing);
                if weighted == "weighted" {
                    loss = loss.class_weights(&weights);
                }
                if reduction == "sum" {
                    loss = loss.sum();
                }
                let case = format!("{reduction}-{weighted}-{name}");
                let ignoring = loss.ignore_index(IGNORED);
                let hard = ignoring.loss(&logits, &labels, Some(&mut gradient)).unwrap();
                assert_eq!(hard, ignoring.loss(&logits, &labels, None).unwrap());
                check(format!("hard-{case}"), hard, &mut gradient);
                let all = loss.loss_soft(&logits, &soft, Some(&mut gradient)).unwrap();
                check(format!("soft-{case}"), all, &mut gradient);
                let masked = loss.mask(&mask);
                let some = masked.loss_soft(&logits, &soft, Some(&mut gradient)).unwrap();
                check(format!("masked-{case}"), some, &mut gradient);
                // A mask and an ignored label are two words for one thing.
                assert_eq!(loss.mask(&mask).loss(&logits, &labels, None), Ok(hard));
            }
        }
    }
    let plain = softmax_cross_entropy_soft(&logits, 5, &soft, None).unwrap();
    close("without options", [plain], golden.values("soft-mean-plain-0.0.loss"), TOLERANCE);
}

#[test]
fn losses_of_values() {
    let golden = Golden::read("losses");
    let [y, targets, binary, positive] =
        ["y", "targets", "binary", "positive"].map(|name| golden.floats(&format!("values.{name}")));
    let mask: Vec<bool> = golden.numbers("values.real").iter().map(|&real| real == 1).collect();
    let mut gradient = vec![f32::NAN; y.len()];
    for (reduction, rows) in [("mean", "all"), ("mean", "masked"), ("sum", "all"), ("sum", "masked")] {
        let regression = |mut loss: Regression<'static>, gradient: &mut [f32]| {
            if reduction == "sum" {
                loss = loss.sum();
            }
            match rows {
                "masked" => loss.mask(&mask).loss(&y, &targets, Some(gradient)),
                _ => loss.loss(&y, &targets, Some(gradient)),
            }
        };
        let entropy = |weights: Option<&[f32]>, gradient: &mut [f32]| {
            let mut loss = BinaryCrossEntropy::new();
            if let Some(weights) = weights {
                loss = loss.positive_weights(weights);
            }
            if reduction == "sum" {
                loss = loss.sum();
            }
            if rows == "masked" {
                loss = loss.mask(&mask);
            }
            loss.loss(&y, &binary, Some(gradient))
        };
        for name in ["squared", "absolute", "huber", "binary", "positive"] {
            gradient.fill(f32::NAN);
            let loss = match name {
                "squared" => regression(Regression::squared(), &mut gradient),
                "absolute" => regression(Regression::absolute(), &mut gradient),
                "huber" => regression(Regression::huber(0.7).unwrap(), &mut gradient),
                "binary" => entropy(None, &mut gradient),
                _ => entropy(Some(&positive), &mut gradient),
            };
            let case = format!("{name}-{reduction}-{rows}");
            close(&case, [loss.unwrap()], golden.values(&format!("{case}.loss")), TOLERANCE);
            close(&case, gradient.iter().copied(), golden.values(&format!("{case}.gradient")), TOLERANCE);
        }
    }
    let plain = mean_squared_error(&y, &targets, None).unwrap();
    close("without options", [plain], golden.values("squared-mean-all.loss"), TOLERANCE);
}
