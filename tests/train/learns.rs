//! The parts together: small networks that learn.

use fused_rnn::Accumulate::Overwrite;
use fused_rnn::train::{
    Adam, AdamConfig, CrossEntropy, Ctc, CtcWorkspace, Dense, Embedding, Optimizer, RateSchedule,
    RowGradients, clip_global_norm, gather_steps, pad, scatter_steps,
};
use fused_rnn::{Gradients, Gru, Layout, Lstm, Rng, Tape, Upstream, Workspace};

const FIRST: Layout = Layout::BatchFirst;

/// Labels from noisy columns that last for some steps, without being told when.
#[test]
fn ctc_finds_where_labels_are() {
    let (features, classes, hidden, batch) = (3, 4, 12, 12);
    let mut rng = Rng::new(3);
    let mut rnn = Gru::reset_after(features, hidden).bidirectional(true).build().unwrap();
    let mut head = Dense::new_pytorch(2 * hidden, classes, 1).unwrap();
    let (of_rnn, of_head) = (rnn.parameters().len(), head.parameter_count());
    let config = AdamConfig { learning_rate: 0.02, ..AdamConfig::default() };
    let mut adam = Adam::new(of_rnn + of_head, config).unwrap();
    let schedule = RateSchedule::warm_up(0.2, 10).unwrap().then(10, RateSchedule::cosine(110, 0.05).unwrap());
    let (mut tape, mut workspace, mut sums) = (Tape::new(), Workspace::new(), CtcWorkspace::new());
    let (mut drnn, mut dhead) = (vec![0.0; of_rnn], vec![0.0; of_head]);
    let ctc = Ctc::new(classes);
    let mut right = 0;
    for step in 0..120 {
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..batch {
            let row: Vec<usize> = (0..1 + rng.below(3)).map(|_| 1 + rng.below(classes - 1)).collect();
            let mut x = Vec::new();
            for &label in &row {
                let (lasts, pause) = (1 + rng.below(3), 1 + rng.below(2));
                for t in 0..lasts + pause {
                    let level = |f: usize| if t < lasts && f + 1 == label { 1.0 } else { 0.0 };
                    x.extend((0..features).map(|f| level(f) + 0.1 * rng.normal()));
                }
            }
            rows.push(x);
            labels.push(row);
        }
        let x = pad(&rows, features, 0.0, FIRST).unwrap();
        let (dims, steps) = (x.dims(), x.steps);
        let counts: Vec<usize> = labels.iter().map(Vec::len).collect();
        let mut y = vec![0.0; batch * steps * 2 * hidden];
        let (mut z, mut dz) = (vec![0.0; batch * steps * classes], vec![0.0; batch * steps * classes]);
        let mut dy = y.clone();
        let mut state = rnn.zero_state(batch).unwrap();
        let y_out = Some(&mut y[..]);
        rnn.forward_train(&x.values, dims, &mut state, y_out, &mut tape, step, &mut workspace).unwrap();
        head.forward(&y, batch * steps, &mut z).unwrap();
        ctc.loss(&z, dims, &labels.concat(), &counts, Some(&mut dz), &mut sums).unwrap();
        head.backward(&y, &dz, batch * steps, &mut dhead, Overwrite, Some(&mut dy)).unwrap();
        let upstream = Upstream::default().with_dy(&dy);
        let gradients = Gradients::of_parameters(&mut drnn);
        rnn.backward(&x.values, &tape, upstream, gradients, &mut workspace).unwrap();
        clip_global_norm(&mut [&mut drnn, &mut dhead], 5.0).unwrap();
        adam.set_learning_rate(schedule.rate(0.02, step)).unwrap();
        rnn.update(|p| adam.step_all(&mut [(p, &drnn), (head.parameters_mut(), &dhead)])).unwrap();
        if step >= 110 {
            let found = ctc.greedy(&z, dims).unwrap();
            right += found.iter().zip(&labels).filter(|(found, labels)| found == labels).count();
        }
    }
    // Of 120 rows that it had not seen.
    assert!(right > 100, "{right}");
}

/// At each step the token of two steps before, through an embedding, with the loss on the real steps alone.
#[test]
fn an_embedding_learns_by_its_touched_rows() {
    let (tokens_of_all, width, hidden, batch) = (9, 6, 24, 12);
    let mut rng = Rng::new(5);
    let mut embedding = Embedding::new_pytorch(tokens_of_all, width, 1).unwrap().with_padding(0).unwrap();
    let mut rnn = Lstm::builder(width, hidden).build().unwrap();
    let mut head = Dense::new_pytorch(hidden, tokens_of_all, 1).unwrap();
    let config = AdamConfig { learning_rate: 0.02, ..AdamConfig::default() };
    let (of_rnn, of_head) = (rnn.parameters().len(), head.parameter_count());
    let mut adam = Adam::new(of_rnn + of_head, config).unwrap();
    let mut adam_of_rows = Adam::new(tokens_of_all * width, config).unwrap();
    let mut rows = RowGradients::new(tokens_of_all, width).unwrap();
    let (mut tape, mut workspace) = (Tape::new(), Workspace::new());
    let (mut drnn, mut dhead) = (vec![0.0; of_rnn], vec![0.0; of_head]);
    let (mut packed, mut labels_of_real) = (Vec::new(), Vec::new());
    let mut losses = Vec::new();
    for step in 0..150 {
        let sentences: Vec<Vec<usize>> = (0..batch)
            .map(|_| (0..3 + rng.below(8)).map(|_| 1 + rng.below(tokens_of_all - 1)).collect())
            .collect();
        // The first two steps have nothing to say.
        let labels: Vec<Vec<usize>> =
            sentences.iter().map(|row| [&[0, 0], &row[..row.len() - 2]].concat()).collect();
        let x = pad(&sentences, 1, 0, FIRST).unwrap();
        let labels = pad(&labels, 1, 0, FIRST).unwrap();
        let (dims, count) = (x.dims(), batch * x.steps);
        let mut embedded = vec![0.0; count * width];
        let (mut dx, mut y, mut dy) =
            (embedded.clone(), vec![0.0; count * hidden], vec![0.0; count * hidden]);
        embedding.forward(&x.values, &mut embedded).unwrap();
        let mut state = rnn.zero_state(batch).unwrap();
        let y_out = Some(&mut y[..]);
        rnn.forward_train(&embedded, dims, &mut state, y_out, &mut tape, step, &mut workspace).unwrap();
        // The head on the real steps alone.
        gather_steps(&y, hidden, dims, FIRST, &mut packed).unwrap();
        gather_steps(&labels.values, 1, dims, FIRST, &mut labels_of_real).unwrap();
        let real = labels_of_real.len();
        let (mut z, mut dz) = (vec![0.0; real * tokens_of_all], vec![0.0; real * tokens_of_all]);
        let mut dpacked = vec![0.0; packed.len()];
        head.forward(&packed, real, &mut z).unwrap();
        let loss = CrossEntropy::new(tokens_of_all).ignore_index(0);
        losses.push(loss.loss(&z, &labels_of_real, Some(&mut dz)).unwrap());
        head.backward(&packed, &dz, real, &mut dhead, Overwrite, Some(&mut dpacked)).unwrap();
        scatter_steps(&dpacked, hidden, dims, FIRST, &mut dy).unwrap();
        let upstream = Upstream::default().with_dy(&dy);
        let gradients = Gradients::of_parameters(&mut drnn).with_dx(&mut dx);
        rnn.backward(&embedded, &tape, upstream, gradients, &mut workspace).unwrap();
        embedding.backward(&x.values, &dx, &mut rows, Overwrite).unwrap();
        clip_global_norm(&mut [&mut drnn, &mut dhead, rows.values_mut()], 1.0).unwrap();
        rnn.update(|p| adam.step_all(&mut [(p, &drnn), (head.parameters_mut(), &dhead)])).unwrap();
        adam_of_rows.step_rows(embedding.table_mut(), &rows).unwrap();
    }
    let last = losses[140..].iter().sum::<f64>() / 10.0;
    assert!((losses[0] - 9f64.ln()).abs() < 0.3 && last < 0.3, "{} {last}", losses[0]);
    assert_eq!(embedding.table()[..width], [0.0; 6], "the padding is not trained");
}
