//! Simple methods, beside which networks stand, and what measures rows of labels.

use fused_rnn::train::{Adam, AdamConfig, Dense, Optimizer, softmax_cross_entropy};
use fused_rnn::{Accumulate, Error, Rng};

/// Softmax regression of `x (N, features)` to `labels (N)`: 30 epochs of Adam.
pub(crate) fn regression(x: &[f32], labels: &[usize], classes: usize, seed: u64) -> Result<Dense, Error> {
    let features = x.len() / labels.len();
    let mut dense = Dense::new_pytorch(features, classes, seed)?;
    let config = AdamConfig { learning_rate: 3e-3, weight_decay: 1e-4, ..AdamConfig::default() };
    let mut adam = Adam::new(dense.parameter_count(), config)?;
    let mut gradients = vec![0.0; dense.parameter_count()];
    let (mut rng, mut order) = (Rng::new(seed), (0..labels.len()).collect::<Vec<_>>());
    for _ in 0..30 {
        rng.shuffle(&mut order);
        for rows in order.chunks(32) {
            let x = rows.iter().map(|&row| &x[row * features..][..features]).collect::<Vec<_>>().concat();
            let labels: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
            let (mut z, mut dz) = (vec![0.0; rows.len() * classes], vec![0.0; rows.len() * classes]);
            dense.forward(&x, rows.len(), &mut z)?;
            softmax_cross_entropy(&z, classes, &labels, Some(&mut dz))?;
            dense.backward(&x, &dz, rows.len(), &mut gradients, Accumulate::Overwrite, None)?;
            adam.step(dense.parameters_mut(), &gradients)?;
        }
    }
    Ok(dense)
}

/// The class with the largest logit of each row, `logits (N, classes)`.
pub(crate) fn best(logits: &[f32], classes: usize) -> Vec<usize> {
    let best = |z: &[f32]| (0..classes).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap_or(0);
    logits.chunks_exact(classes).map(best).collect()
}

/// What a regression says of each row of `x (N, features)`.
pub(crate) fn said(dense: &Dense, x: &[f32]) -> Result<Vec<usize>, Error> {
    let rows = x.len() / dense.inputs();
    let mut z = vec![0.0; rows * dense.outputs()];
    dense.forward(x, rows, &mut z)?;
    Ok(best(&z, dense.outputs()))
}

/// The share of two rows of labels that is alike.
pub(crate) fn alike(a: &[usize], b: &[usize]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len().max(1) as f64
}

/// The number of labels to insert, to leave out and to replace (Levenshtein), from one row to another.
pub(crate) fn distance(a: &[usize], b: &[usize]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// The share of labels that are wrong: distances over all rows, for each label of the truth.
pub(crate) fn error_rate(truth: &[Vec<usize>], said: &[Vec<usize>]) -> f64 {
    let wrong: usize = truth.iter().zip(said).map(|(truth, said)| distance(truth, said)).sum();
    wrong as f64 / truth.iter().map(Vec::len).sum::<usize>().max(1) as f64
}
