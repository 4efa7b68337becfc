//! Calls that allocate nothing once their memory has grown: dense rows, embeddings, losses, CTC and
//! optimisers.

use crate::counting::allocations;
use fused_rnn::Accumulate::Overwrite;
use fused_rnn::train::{
    Adam, AdamConfig, AdamW, BeamSearch, CrossEntropy, Ctc, CtcWorkspace, Dense, EarlyStopping, Embedding,
    Optimizer, Plateau, PlateauConfig, RowGradients, Sgd, SgdConfig,
};
use fused_rnn::{Dims, Rng};

#[test]
fn dense_rows_allocate_nothing() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1, 2, 3]))), 1, "the count counts");
    let dense = Dense::new_pytorch(130, 10, 1).unwrap();
    let (x, mut y) = (vec![0.5; 7 * 130], vec![0.0; 70]);
    let first = allocations(|| {
        dense.forward_row(&x[..130], &mut y[..10]).unwrap();
        dense.forward_into(&x, 7, &mut y).unwrap();
    });
    assert_eq!(first, 0);
}

#[test]
fn training_allocates_nothing_once_its_memory_has_grown() {
    let (mut rng, classes) = (Rng::new(1), 20);
    let ctc = Ctc::new(classes);
    let logits: Vec<f32> = (0..4 * 30 * classes).map(|_| rng.uniform(-2.0, 2.0)).collect();
    let (mut gradient, mut workspace) = (vec![0.0; logits.len()], CtcWorkspace::new());
    let lengths = [[30, 12, 0, 25], [3, 30, 30, 30]];
    let labels: Vec<usize> = (0..20).map(|k| 1 + k % 19).collect();
    let counts = [[7, 5, 0, 8], [1, 9, 9, 1]];
    let tokens: Vec<usize> = (0..64).map(|_| rng.below(50)).collect();
    let mut embedding = Embedding::new_pytorch(50, 8, 1).unwrap();
    let (mut y, mut rows) = (vec![0.0; 64 * 8], RowGradients::new(50, 8).unwrap());
    let mut adam = Adam::new(400, AdamConfig::default()).unwrap();
    let soft = vec![0.05; logits.len()];
    let mut step = |which: usize| {
        let dims = Dims::new(4, 30).with_lengths(&lengths[which]);
        ctc.loss(&logits, dims, &labels, &counts[which], Some(&mut gradient), &mut workspace).unwrap();
        CrossEntropy::new(classes)
            .label_smoothing(0.1)
            .loss_soft(&logits, &soft, Some(&mut gradient))
            .unwrap();
        embedding.forward(&tokens[which..], &mut y[which * 8..]).unwrap();
        embedding.backward(&tokens[which..], &y[which * 8..], &mut rows, Overwrite).unwrap();
        adam.step_rows(embedding.table_mut(), &rows).unwrap();
    };
    // (9 labels are the most.)
    step(1);
    step(0);
    step(1);
    assert_eq!(allocations(|| (0..6).for_each(|k| step(k % 2))), 0);
}

/// May be sent to and shared between threads, and prints its sizes alone.
fn is_modest<T: Send + Sync + std::fmt::Debug>(value: &T) {
    let text = format!("{value:?}");
    assert!(text.len() < 250, "{text}");
}

#[test]
fn what_holds_many_numbers_prints_few() {
    let n = 1000;
    is_modest(&Dense::new_pytorch(n, 10, 1).unwrap());
    is_modest(&Embedding::new_pytorch(n, 10, 1).unwrap());
    is_modest(&Adam::new(n, AdamConfig::default()).unwrap());
    is_modest(&AdamW::new(n, AdamConfig::adam_w()).unwrap());
    is_modest(&Sgd::new(n, SgdConfig { momentum: 0.9, ..SgdConfig::default() }).unwrap());
    let mut rows = RowGradients::new(n, 100).unwrap();
    rows.add(7, &[1.0; 100]).unwrap();
    is_modest(&rows);
    let (dims, mut workspace, mut search) =
        (Dims::new(1, n), CtcWorkspace::new(), BeamSearch::new(50).unwrap());
    let logits = vec![0.0; 3 * n];
    Ctc::new(3).loss(&logits, dims, &[1, 2], &[2], None, &mut workspace).unwrap();
    Ctc::new(3).beam(&logits[..30], Dims::new(1, 10), &mut search).unwrap();
    is_modest(&workspace);
    is_modest(&search);
    is_modest(&EarlyStopping::new(1));
    is_modest(&Plateau::new(PlateauConfig::default()).unwrap());
}
