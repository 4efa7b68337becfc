//! Beam search against the losses of all rows of labels.

use crate::golden::close;
use approx::assert_abs_diff_eq;
use fused_rnn::train::{BeamSearch, Ctc, CtcWorkspace};
use fused_rnn::{Dims, Rng};
use std::collections::BTreeMap;

/// The log-probability of every row of labels that so many steps can give, by the loss.
fn all_rows(ctc: Ctc, logits: &[f32], steps: usize, labels: &[usize]) -> BTreeMap<Vec<usize>, f64> {
    let (mut found, mut open, mut workspace) = (BTreeMap::new(), vec![Vec::new()], CtcWorkspace::new());
    while let Some(row) = open.pop() {
        let loss = ctc.loss(logits, Dims::new(1, steps), &row, &[row.len()], None, &mut workspace).unwrap();
        if row.len() < steps {
            open.extend(labels.iter().map(|&label| [&row[..], &[label]].concat()));
        }
        if loss.is_finite() {
            found.insert(row, -loss);
        }
    }
    found
}

#[test]
fn a_beam_without_limits_finds_every_row_with_its_probability() {
    let mut rng = Rng::new(2);
    let mut search = BeamSearch::new(10_000).unwrap();
    for steps in 0..5 {
        for blank in 0..3 {
            let logits: Vec<f32> = (0..steps * 3).map(|_| rng.uniform(-2.0, 2.0)).collect();
            let ctc = Ctc::new(3).blank(blank).sum();
            let labels: Vec<usize> = (0..3).filter(|&class| class != blank).collect();
            let want = all_rows(ctc, &logits, steps, &labels);
            let [found] = &ctc.beam(&logits, Dims::new(1, steps), &mut search).unwrap()[..] else { panic!() };
            assert_eq!(found.len(), want.len(), "{steps} {blank}");
            for hypothesis in found {
                let want = want[&hypothesis.labels];
                close("log-probability", [hypothesis.log_probability], &[want], 1e-6);
            }
            assert!(found.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
            let total: f64 = found.iter().map(|hypothesis| hypothesis.log_probability.exp()).sum();
            assert_abs_diff_eq!(total, 1.0, epsilon = 1e-12);
        }
    }
}

#[test]
fn a_narrow_beam_sums_up_what_it_keeps() {
    let (mut rng, mut workspace) = (Rng::new(3), CtcWorkspace::new());
    let (batch, steps, classes) = (3, 25, 12);
    let lengths = [25, 0, 14];
    let logits: Vec<f32> = (0..batch * steps * classes).map(|_| rng.uniform(-4.0, 4.0)).collect();
    let (ctc, dims) = (Ctc::new(classes).sum(), Dims::new(batch, steps).with_lengths(&lengths));
    let mut best = [f64::NEG_INFINITY; 3];
    for width in [1, 2, 5, 40, 400] {
        let mut search = BeamSearch::new(width).unwrap();
        assert_eq!(search.width(), width);
        let found = ctc.beam(&logits, dims, &mut search).unwrap();
        // Used again it finds the same.
        assert_eq!(found, ctc.beam(&logits, dims, &mut search).unwrap());
        assert_eq!((found[1].len(), &found[1][0].labels[..]), (1, &[][..]));
        for row in [0, 2] {
            assert_eq!(found[row].len(), width);
            let mut seen: Vec<_> = found[row].iter().map(|hypothesis| &hypothesis.labels).collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), width, "each row of labels once");
            let first = &found[row][0];
            let z = &logits[row * steps * classes..][..lengths[row] * classes];
            let labels = &first.labels;
            let dims = Dims::new(1, lengths[row]);
            let exact = -ctc.loss(z, dims, labels, &[labels.len()], None, &mut workspace).unwrap();
            // A part of its alignments, and with a wide beam nearly all.
            assert!(first.log_probability <= exact + 1e-6);
            if width == 400 {
                assert!(exact - first.log_probability < 0.3, "{exact} {}", first.log_probability);
                assert!(exact >= best[row] - 1e-6);
            }
            best[row] = best[row].max(exact);
        }
    }
}

#[test]
fn clear_logits_are_read_alike_by_both() {
    // Classes 1 1 0 1 2 2 0: labels 1 1 2.
    let classes = [1, 1, 0, 1, 2, 2, 0];
    let logits: Vec<f32> =
        classes.iter().flat_map(|&best| (0..3).map(move |c| if c == best { 9.0 } else { 0.0 })).collect();
    let (ctc, dims) = (Ctc::new(3), Dims::new(1, classes.len()));
    for width in [1, 3, 100] {
        let found = ctc.beam(&logits, dims, &mut BeamSearch::new(width).unwrap()).unwrap();
        assert_eq!(found[0][0].labels, [1, 1, 2]);
    }
    assert_eq!(ctc.greedy(&logits, dims).unwrap(), [[1, 1, 2]]);
}

#[test]
fn what_cannot_be_is_no_hypothesis() {
    let mut search = BeamSearch::new(5).unwrap();
    let never = f32::NEG_INFINITY;
    // The label 1 at both steps, and nothing else.
    let found =
        Ctc::new(3).beam(&[never, 0.0, never, never, 0.0, never], Dims::new(1, 2), &mut search).unwrap();
    assert_eq!((found[0].len(), &found[0][0].labels[..]), (1, &[1][..]));
    assert_eq!(found[0][0].log_probability, 0.0);
    let nan = Ctc::new(2).beam(&[0.0, f32::NAN, 0.0, 0.0], Dims::new(1, 2), &mut search).unwrap();
    assert_eq!(nan, [vec![]]);
    let said = BeamSearch::new(0).unwrap_err().to_string();
    assert_eq!(said, "width of the beam: expected at least 1, got 0");
    let said = Ctc::new(2).beam(&[0.0; 3], Dims::new(1, 2), &mut search).unwrap_err().to_string();
    assert_eq!(said, "logits: expected 4 values, got 3");
    // What counts is how many prefixes there are, not how many there might be.
    let mut endless = BeamSearch::new(usize::MAX).unwrap();
    let found = Ctc::new(2).beam(&[0.0; 4], Dims::new(1, 2), &mut endless).unwrap();
    assert_eq!(found[0].len(), 2);
}
