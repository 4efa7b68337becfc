//! The CTC loss: PyTorch's figures, the definition, central differences.

use crate::golden::{Golden, close};
use fused_rnn::train::{Ctc, CtcWorkspace};
use fused_rnn::{Dims, Layout, Rng};

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let golden = Golden::read("ctc");
    // One workspace for all, of every size before.
    let mut workspace = CtcWorkspace::new();
    let (mut cases, mut impossible, mut without_labels) = (0, 0, 0);
    while golden.has(&format!("{cases}.logits")) {
        let name = |name: &str| format!("{cases}.{name}");
        let &[steps, batch, classes] = golden.shape(&name("logits")) else { panic!("{cases}") };
        let logits = golden.floats(&name("logits"));
        let [lengths, labels, label_lengths, blank] =
            ["lengths", "labels", "label_lengths", "blank"].map(|of| golden.numbers(&name(of)));
        let dims = Dims::new(batch, steps).with_lengths(&lengths);
        let ctc = Ctc::new(classes).blank(blank[0]).layout(Layout::TimeMajor);
        let mut gradient = vec![9.0; logits.len()];
        for (reduction, ctc) in [("sum", ctc.sum()), ("mean", ctc.zero_infinity())] {
            let gradients = Some(&mut gradient[..]);
            let loss = ctc.loss(&logits, dims, &labels, &label_lengths, gradients, &mut workspace).unwrap();
            let without = ctc.loss(&logits, dims, &labels, &label_lengths, None, &mut workspace).unwrap();
            assert_eq!(loss, without);
            let what = format!("case {cases} {reduction}");
            close(&what, [loss], golden.values(&name(&format!("{reduction}.loss"))), 1e-6);
            let want = golden.values(&name(&format!("{reduction}.gradient")));
            close(&what, gradient.iter().copied(), want, 1e-6);
            close(&what, workspace.losses().iter().copied(), golden.values(&name("none")), 1e-6);
        }
        // The other layout has the same bits.
        let turn = |values: &[f32]| -> Vec<f32> {
            let steps_of =
                |b| (0..steps).flat_map(move |t| (t * batch + b) * classes..(t * batch + b + 1) * classes);
            (0..batch).flat_map(steps_of).map(|at| values[at]).collect()
        };
        let (turned, mut gradient_of_turned) = (turn(&logits), vec![9.0; logits.len()]);
        let ctc = ctc.zero_infinity().layout(Layout::BatchFirst);
        let gradients = Some(&mut gradient_of_turned[..]);
        ctc.loss(&turned, dims, &labels, &label_lengths, gradients, &mut workspace).unwrap();
        assert_eq!(gradient_of_turned, turn(&gradient));
        impossible += workspace.losses().iter().filter(|loss| loss.is_infinite()).count();
        without_labels += label_lengths.iter().filter(|&&count| count == 0).count();
        cases += 1;
    }
    // What the cases are there for.
    assert!(cases == 48 && impossible >= 10 && without_labels >= 5, "{cases} {impossible} {without_labels}");
}

/// The probability of labels by the definition: the sum over all rows of classes that give them.
fn by_definition(z: &[f64], classes: usize, blank: usize, labels: &[usize]) -> f64 {
    let steps = z.len() / classes;
    let p: Vec<f64> = z
        .chunks(classes)
        .flat_map(|z| {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            z.iter().map(move |z| z.exp() / sum)
        })
        .collect();
    let mut total = 0.0;
    for number in 0..classes.pow(steps as u32) {
        let (mut rest, mut product, mut found, mut last) = (number, 1.0, Vec::new(), blank);
        for t in 0..steps {
            let class = rest % classes;
            rest /= classes;
            product *= p[t * classes + class];
            if class != last && class != blank {
                found.push(class);
            }
            last = class;
        }
        if found == labels {
            total += product;
        }
    }
    total
}

#[test]
fn the_loss_is_the_sum_over_all_alignments_and_the_gradient_its_slope() {
    let (mut rng, mut workspace) = (Rng::new(11), CtcWorkspace::new());
    let mut possible = 0;
    for _ in 0..150 {
        let (steps, classes) = (1 + rng.below(5), 2 + rng.below(3));
        let blank = rng.below(classes);
        let labels: Vec<usize> =
            (0..rng.below(4)).map(|_| (blank + 1 + rng.below(classes - 1)) % classes).collect();
        let logits: Vec<f32> = (0..steps * classes).map(|_| rng.uniform(-2.0, 2.0)).collect();
        let (ctc, dims) = (Ctc::new(classes).blank(blank).sum().zero_infinity(), Dims::new(1, steps));
        let mut gradient = vec![9.0; logits.len()];
        let lengths = [labels.len()];
        ctc.loss(&logits, dims, &labels, &lengths, Some(&mut gradient), &mut workspace).unwrap();
        let z: Vec<f64> = logits.iter().map(|&z| z.into()).collect();
        let loss = |z: &[f64]| -by_definition(z, classes, blank, &labels).ln();
        close("loss", [workspace.losses()[0]], &[loss(&z)], 1e-6);
        if loss(&z).is_infinite() {
            assert!(gradient.iter().all(|&g| g == 0.0));
            continue;
        }
        possible += 1;
        let slopes: Vec<f64> = (0..z.len())
            .map(|at| {
                let moved = |by: f64| {
                    let mut z = z.clone();
                    z[at] += by;
                    loss(&z)
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            })
            .collect();
        close("gradient", gradient.iter().copied(), &slopes, 1e-6);
    }
    assert!((50..150).contains(&possible), "{possible}");
}

#[test]
fn a_row_does_not_depend_on_the_others_and_padding_is_not_read() {
    let (mut rng, mut workspace) = (Rng::new(5), CtcWorkspace::new());
    let (batch, steps, classes) = (4, 12, 5);
    let lengths = [12, 3, 0, 7];
    let (labels, label_lengths) = ([1, 2, 2, 4, 3, 1], [4, 1, 0, 1]);
    let mut logits: Vec<f32> = (0..batch * steps * classes).map(|_| rng.uniform(-3.0, 3.0)).collect();
    for (row, &length) in logits.chunks_mut(steps * classes).zip(&lengths) {
        row[length * classes..].fill(f32::NAN);
    }
    let (ctc, mut all) = (Ctc::new(classes).sum(), vec![9.0; logits.len()]);
    let dims = Dims::new(batch, steps).with_lengths(&lengths);
    ctc.loss(&logits, dims, &labels, &label_lengths, Some(&mut all), &mut workspace).unwrap();
    let losses = workspace.losses().to_vec();
    let mut begin = 0;
    for (row, &length) in lengths.iter().enumerate() {
        let labels = &labels[begin..begin + label_lengths[row]];
        begin += label_lengths[row];
        let z = &logits[row * steps * classes..][..length * classes];
        let mut alone = vec![9.0; z.len()];
        let dims = Dims::new(1, length);
        let loss = ctc.loss(z, dims, labels, &[labels.len()], Some(&mut alone), &mut workspace).unwrap();
        assert_eq!(loss, losses[row]);
        let (real, padding) = all[row * steps * classes..][..steps * classes].split_at(length * classes);
        assert_eq!(real, alone);
        assert!(padding.iter().all(|&g| g == 0.0));
    }
}
