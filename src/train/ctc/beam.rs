//! Prefix beam search: the labels that are most probable as a sum over their alignments.
//!
//! A prefix is a row of labels. After each step it has two probabilities, of the alignments that end with a
//! blank and of those that end with its last label; the labels of the next step make it longer, or not
//! (Hannun, Maas, Jurafsky & Ng, *First-pass large vocabulary continuous speech recognition using
//! bi-directional recurrent DNNs*, 2014, algorithm 1, without a language model):
//!
//! ```text
//! blank(p)    <-  (blank(p) + label(p)) p_t(blank)
//! label(p)    <-  label(p) p_t(last of p)  +  what p without its last label passes on to it
//! p and c     gets  (blank(p) + label(p)) p_t(c)        or, where c is the last label of p,  blank(p) p_t(c)
//! ```
//!
//! After each step the best prefixes are kept, as many as the beam is wide. With a beam as wide as there are
//! prefixes the result is exact: the log-probabilities are the losses of [`Ctc::loss`], with the other sign.
//!
//! **Prefixes** are nodes of a tree: a parent and a label. A prefix that was dropped and comes again gets its
//! old node, so that one node is one prefix. Its parent knows whether a longer prefix is in the beam already.
//! **Classes.** A beam of width n can take only the n best extensions of one prefix. So each step looks at
//! that many classes, and the result is the same.

use super::Ctc;
use crate::error::reserve;
use crate::order::{keep_first, sort};
use crate::train::loss::maximum;
use crate::{Dims, Error};
use std::collections::HashMap;
use std::fmt;

/// A row of labels that a [`BeamSearch`] has found.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// The labels of the hypothesis, without blanks.
    pub labels: Vec<usize>,
    /// The log of the probability of the labels: of the sum over those of their alignments that were in the
    /// beam.
    pub log_probability: f64,
}

/// A prefix beam search: its width, and its memory, which is kept from batch to batch.
#[doc(alias = "ctc_beam_search_decoder")]
#[derive(Clone)]
pub struct BeamSearch {
    width: usize,
    nodes: Vec<Node>,
    /// The node of a parent and a label.
    children: HashMap<(u32, usize), u32>,
    beams: Vec<Beam>,
    candidates: Vec<Beam>,
    /// The log-probability of each candidate, and the places of those that are possible, the best first.
    scores: Vec<f64>,
    best: Vec<usize>,
    /// Log-probabilities of a step, and the classes that are looked at.
    logs: Vec<f64>,
    classes: Vec<usize>,
    /// For each label, the number of the last visit at which the prefix had it as a child in the beam.
    visited: Vec<u64>,
    visit: u64,
}

/// A prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    parent: u32,
    label: usize,
    /// Its place in the beam.
    beam: u32,
}

/// A prefix in the beam, or a candidate for it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Beam {
    /// Its node. For a candidate that is longer by a label than a prefix in the beam, the node of that
    /// prefix.
    node: u32,
    /// The label by which it is longer.
    longer: Option<usize>,
    blank: f64,
    label: f64,
}

impl Beam {
    fn score(&self) -> f64 {
        add(self.blank, self.label)
    }
}

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
const NEVER: f64 = f64::NEG_INFINITY;

/// Sizes, and none of the numbers.
impl fmt::Debug for BeamSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeamSearch").field("width", &self.width).finish_non_exhaustive()
    }
}

impl BeamSearch {
    /// A search that keeps `width` prefixes after each step. 10 to 100 are usual; with 1 it is close to
    /// [`Ctc::greedy`].
    ///
    /// # Errors
    /// [`Error::ZeroSize`] for a width of 0.
    pub fn new(width: usize) -> Result<Self, Error> {
        if width == 0 {
            return Err(Error::ZeroSize { what: "width of the beam" });
        }
        Ok(BeamSearch {
            width,
            nodes: Vec::new(),
            children: HashMap::new(),
            beams: Vec::new(),
            candidates: Vec::new(),
            scores: Vec::new(),
            best: Vec::new(),
            logs: Vec::new(),
            classes: Vec::new(),
            visited: Vec::new(),
            visit: 0,
        })
    }

    /// The number of prefixes that are kept.
    pub fn width(&self) -> usize {
        self.width
    }

    fn begin(&mut self, classes: usize) {
        self.nodes.clear();
        self.nodes.push(Node { parent: NONE, label: usize::MAX, beam: 0 });
        self.children.clear();
        self.beams.clear();
        self.beams.push(Beam { node: ROOT, longer: None, blank: 0.0, label: NEVER });
        self.visited.resize(classes, 0);
    }

    /// Advances the beam by one step.
    fn step(&mut self, z: &[f32], blank: usize) {
        let max = f64::from(maximum(z));
        let log = z.iter().map(|&z| (f64::from(z) - max).exp()).sum::<f64>().ln();
        self.logs.clear();
        self.logs.extend(z.iter().map(|&z| f64::from(z) - max - log));
        self.choose_classes(blank);
        self.candidates.clear();
        for at in 0..self.beams.len() {
            self.stay(at, blank);
            self.extend(at);
        }
        self.scores.clear();
        self.scores.extend(self.candidates.iter().map(Beam::score));
        // NaN and impossible candidates go. Node and label decide between equal probabilities.
        let (scores, candidates) = (&self.scores, &self.candidates);
        self.best.clear();
        self.best.extend((0..scores.len()).filter(|&at| scores[at] > NEVER));
        let tie = |at: usize| (candidates[at].node, candidates[at].longer);
        let order = |a: usize, b: usize| scores[b].total_cmp(&scores[a]).then_with(|| tie(a).cmp(&tie(b)));
        keep_first(&mut self.best, self.width, &order);
        sort(&mut self.best, &order);
        self.enter();
    }

    /// The most probable classes, one more than the width of the beam: one of them may be the last label of a
    /// prefix, which gets less.
    fn choose_classes(&mut self, blank: usize) {
        let logs = &self.logs;
        let order = |a: usize, b: usize| logs[b].total_cmp(&logs[a]).then(a.cmp(&b));
        self.classes.clear();
        self.classes.extend((0..logs.len()).filter(|&class| class != blank));
        keep_first(&mut self.classes, self.width.saturating_add(1), &order);
    }

    /// The prefix as it is.
    fn stay(&mut self, at: usize, blank: usize) {
        let beam = self.beams[at];
        let Node { parent, label, .. } = self.nodes[beam.node as usize];
        let mut stayed = Beam { blank: beam.score() + self.logs[blank], label: NEVER, ..beam };
        if beam.node != ROOT {
            stayed.label = beam.label + self.logs[label];
            let place = self.nodes[parent as usize].beam;
            if place != NONE {
                let passed = self.passed_on(place as usize, label);
                stayed.label = add(stayed.label, passed);
            }
        }
        self.candidates.push(stayed);
    }

    /// The probability that a prefix passes on to the prefix that is longer by this label.
    fn passed_on(&self, at: usize, label: usize) -> f64 {
        let beam = &self.beams[at];
        let repeats = beam.node != ROOT && self.nodes[beam.node as usize].label == label;
        (if repeats { beam.blank } else { beam.score() }) + self.logs[label]
    }

    /// The prefixes that are longer by a label and are not in the beam yet.
    fn extend(&mut self, at: usize) {
        let node = self.beams[at].node;
        self.visit += 1;
        for beam in &self.beams {
            let other = &self.nodes[beam.node as usize];
            if other.parent == node {
                self.visited[other.label] = self.visit;
            }
        }
        for index in 0..self.classes.len() {
            let class = self.classes[index];
            if self.visited[class] != self.visit {
                let label = self.passed_on(at, class);
                self.candidates.push(Beam { node, longer: Some(class), blank: NEVER, label });
            }
        }
    }

    /// Makes the best candidates the beam.
    fn enter(&mut self) {
        for beam in &self.beams {
            self.nodes[beam.node as usize].beam = NONE;
        }
        self.beams.clear();
        self.beams.extend(self.best.iter().map(|&at| self.candidates[at]));
        for (at, beam) in self.beams.iter_mut().enumerate() {
            if let Some(label) = beam.longer.take() {
                let (parent, next) = (beam.node, self.nodes.len() as u32);
                beam.node = *self.children.entry((parent, label)).or_insert(next);
                if beam.node == next {
                    self.nodes.push(Node { parent, label, beam: NONE });
                }
            }
            self.nodes[beam.node as usize].beam = at as u32;
        }
    }

    /// The prefixes in the beam, the best first.
    fn hypotheses(&self) -> Vec<Hypothesis> {
        let of = |beam: &Beam| {
            let (mut labels, mut node) = (Vec::new(), beam.node);
            while node != ROOT {
                labels.push(self.nodes[node as usize].label);
                node = self.nodes[node as usize].parent;
            }
            labels.reverse();
            Hypothesis { labels, log_probability: beam.score() }
        };
        self.beams.iter().map(of).collect()
    }
}

/// `log (e^a + e^b)`.
fn add(a: f64, b: f64) -> f64 {
    let (low, high) = if a > b { (b, a) } else { (a, b) };
    if low == NEVER { high } else { high + (low - high).exp().ln_1p() }
}

impl Ctc {
    /// The most probable rows of labels of each row of a batch, the best first: at most as many as the beam
    /// is wide. `logits` as in [`loss`](Ctc::loss). A row of no steps has one, of no labels; a row with a
    /// NaN none.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::Index`], [`Error::Length`], [`Error::RowLength`] and
    /// [`Error::Unsupported`] as in [`loss`](Ctc::loss), [`Error::OutOfMemory`];
    /// [`Error::SizeOverflow`] where a beam has 2^32 prefixes over a row.
    ///
    /// ```
    /// use fused_rnn::Dims;
    /// use fused_rnn::train::{BeamSearch, Ctc};
    ///
    /// // Two steps with probabilities 0.6 of a blank and 0.4 of a label. The best alignment is two blanks,
    /// // with 0.36; but the three others all give the label, with 0.64.
    /// let logits = [0.6f32.ln(), 0.4f32.ln(), 0.6f32.ln(), 0.4f32.ln()];
    /// let (ctc, dims) = (Ctc::new(2), Dims::new(1, 2));
    /// assert_eq!(ctc.greedy(&logits, dims)?, [[0; 0]]);
    /// let found = ctc.beam(&logits, dims, &mut BeamSearch::new(10)?)?;
    /// assert_eq!(found[0][0].labels, [1]);
    /// assert!((found[0][0].log_probability - 0.64f64.ln()).abs() < 1e-6);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    pub fn beam(
        &self,
        logits: &[f32],
        dims: Dims<'_>,
        search: &mut BeamSearch,
    ) -> Result<Vec<Vec<Hypothesis>>, Error> {
        self.check(logits, dims)?;
        // Each step adds at most as many nodes as the beam is wide, and nodes are counted in u32.
        let nodes = search.width.min(NONE as usize).checked_mul(dims.steps);
        if nodes.is_none_or(|nodes| nodes >= NONE as usize) {
            return Err(Error::SizeOverflow { what: "prefixes of the beam search" });
        }
        let mut rows = Vec::new();
        reserve(&mut rows, dims.batch)?;
        for row in 0..dims.batch {
            search.begin(self.classes);
            for t in 0..dims.lengths.map_or(dims.steps, |lengths| lengths[row]) {
                search.step(&logits[self.place(dims, row, t)], self.blank);
            }
            rows.push(search.hypotheses());
        }
        Ok(rows)
    }
}
