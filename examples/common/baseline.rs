//! Simple methods, beside which networks stand, and what measures rows of labels.

use fused_rnn::train::{Adam, AdamConfig, Dense, Optimizer, softmax_cross_entropy};
use fused_rnn::{Accumulate, Error, Rng};
use std::collections::HashMap;

/// Softmax regression of `x (N, features)` to `labels (N)`: 30 epochs of Adam.
pub fn regression(x: &[f32], labels: &[usize], classes: usize, seed: u64) -> Result<Dense, Error> {
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
pub fn best(logits: &[f32], classes: usize) -> Vec<usize> {
    let best = |z: &[f32]| (0..classes).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap_or(0);
    logits.chunks_exact(classes).map(best).collect()
}

/// What a regression says of each row of `x (N, features)`.
pub fn said(dense: &Dense, x: &[f32]) -> Result<Vec<usize>, Error> {
    let rows = x.len() / dense.inputs();
    let mut z = vec![0.0; rows * dense.outputs()];
    dense.forward(x, rows, &mut z)?;
    Ok(best(&z, dense.outputs()))
}

/// What a regression on the counts of words says of each test text: words without their order.
pub fn bag_of_words(
    (texts, labels): &(Vec<Vec<usize>>, Vec<usize>),
    test: &[Vec<usize>],
    words: usize,
    classes: usize,
    seed: u64,
) -> Result<Vec<usize>, Error> {
    let bag = |text: &Vec<usize>| {
        let mut counts = vec![0.0; words];
        text.iter().for_each(|&word| counts[word] += 1.0);
        counts
    };
    let bags = |texts: &[Vec<usize>]| texts.iter().flat_map(bag).collect::<Vec<f32>>();
    said(&regression(&bags(texts), labels, classes, seed)?, &bags(test))
}

/// What a regression says of each piece of lines that are cut where their columns are light. It learns from
/// lines of one label.
pub fn cut_and_classify<'a>(
    training: impl Iterator<Item = (&'a [f32], usize)>,
    test: impl Iterator<Item = &'a [f32]>,
    features: usize,
    classes: usize,
    seed: u64,
) -> Result<Vec<Vec<usize>>, Error> {
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for (columns, label) in training {
        let pieces = pieces(columns, features);
        labels.extend(std::iter::repeat_n(label, pieces.len() / (PIECE * features)));
        x.extend(pieces);
    }
    let dense = regression(&x, &labels, classes, seed)?;
    test.map(|columns| said(&dense, &pieces(columns, features))).collect()
}

/// Columns of each piece.
const PIECE: usize = 8;

/// `columns (T, features)` cut where they are light, each piece stretched: (N, PIECE * features).
fn pieces(columns: &[f32], features: usize) -> Vec<f32> {
    let dark: Vec<f32> = columns.chunks_exact(features).map(|column| column.iter().sum()).collect();
    let (low, high) = dark.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    let is_dark = |t: &usize| dark[*t] > low + 0.15 * (high - low);
    let (mut cut, mut t) = (Vec::new(), 0);
    while t < dark.len() {
        let width = (t..dark.len()).take_while(is_dark).count();
        for k in (0..PIECE).filter(|_| width > 1) {
            cut.extend_from_slice(&columns[(t + k * width / PIECE) * features..][..features]);
        }
        t += width + 1;
    }
    cut
}

/// Bits for each character of a test, by counts of what followed the last `context` characters in a text.
/// Counts of longer contexts are mixed with those of shorter ones (Witten & Bell, *The zero-frequency
/// problem*, 1991).
pub fn counted(text: &[usize], test: &[usize], context: usize, classes: usize) -> f64 {
    let mut counts = HashMap::<&[usize], HashMap<usize, f64>>::new();
    for at in context..text.len() {
        for length in 0..=context {
            *counts.entry(&text[at - length..at]).or_default().entry(text[at]).or_default() += 1.0;
        }
    }
    let bits = |at: usize| {
        let mut share = 1.0 / classes as f64;
        for of_context in (0..=context).filter_map(|length| counts.get(&test[at - length..at])) {
            let (all, kinds) = (of_context.values().sum::<f64>(), of_context.len() as f64);
            share = (of_context.get(&test[at]).unwrap_or(&0.0) + kinds * share) / (all + kinds);
        }
        -share.log2()
    };
    (context..test.len()).map(bits).sum::<f64>() / (test.len() - context) as f64
}

/// The row that is nearest to another, by [`distance`].
pub fn nearest(row: &[usize], rows: &[Vec<usize>]) -> usize {
    (0..rows.len()).min_by_key(|&n| distance(&rows[n], row)).unwrap_or(0)
}

/// The share of two rows of labels that is alike.
pub fn alike(a: &[usize], b: &[usize]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len().max(1) as f64
}

/// The number of labels to insert, to leave out and to replace (Levenshtein), from one row to another.
pub fn distance(a: &[usize], b: &[usize]) -> usize {
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
pub fn error_rate(truth: &[Vec<usize>], said: &[Vec<usize>]) -> f64 {
    let wrong: usize = truth.iter().zip(said).map(|(truth, said)| distance(truth, said)).sum();
    wrong as f64 / truth.iter().map(Vec::len).sum::<usize>().max(1) as f64
}
