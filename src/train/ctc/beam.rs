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
//!
//! **Memory.** Each prefix of a beam has as many candidates as there are classes. Whenever those of all
//! prefixes are more than twice as many as the beam is wide, the best are kept, so that memory follows the
//! width.

use super::Ctc;
use crate::error::{collect, reserve, room};
use crate::order::{keep_first, sort};
use crate::train::loss::maximum;
use crate::{Dims, Error};
use std::cmp::Ordering;
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
    /// Of each prefix in the beam, the place of one that is longer by a label and is in the beam as well;
    /// and of each the place of the next that is longer than the same prefix.
    longer: [Vec<u32>; 2],
    /// Candidates, and memory to which the best of them are copied.
    candidates: Vec<Beam>,
    kept: Vec<Beam>,
    /// The places of the best candidates.
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
    /// The sum of both.
    score: f64,
}

/// More candidates than so many widths of the beam are cut down to the best.
const MOST_CANDIDATES: usize = 3;
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
            longer: [Vec::new(), Vec::new()],
            candidates: Vec::new(),
            kept: Vec::new(),
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

    fn begin(&mut self, classes: usize) -> Result<(), Error> {
        reserve(&mut self.nodes, 1)?;
        self.nodes.push(Node { parent: NONE, label: usize::MAX, beam: 0 });
        self.children.clear();
        reserve(&mut self.beams, 1)?;
        self.beams.push(Beam { node: ROOT, longer: None, blank: 0.0, label: NEVER, score: 0.0 });
        let more = classes.saturating_sub(self.visited.len());
        room(&mut self.visited, more)?;
        self.visited.resize(classes, 0);
        Ok(())
    }

    /// Advances the beam by one step.
    fn step(&mut self, z: &[f32], blank: usize) -> Result<(), Error> {
        let max = f64::from(maximum(z));
        let log = z.iter().map(|&z| (f64::from(z) - max).exp()).sum::<f64>().ln();
        reserve(&mut self.logs, z.len())?;
        self.logs.extend(z.iter().map(|&z| f64::from(z) - max - log));
        self.choose_classes(blank)?;
        self.find_longer()?;
        self.candidates.clear();
        let most = self.width.saturating_mul(MOST_CANDIDATES);
        for at in 0..self.beams.len() {
            room(&mut self.candidates, 1 + self.classes.len())?;
            self.stay(at, blank);
            self.extend(at);
            if self.candidates.len() > most {
                self.choose_best()?;
                reserve(&mut self.kept, self.best.len())?;
                self.kept.extend(self.best.iter().map(|&at| self.candidates[at]));
                std::mem::swap(&mut self.candidates, &mut self.kept);
            }
        }
        self.choose_best()?;
        let candidates = &self.candidates;
        sort(&mut self.best, &|a, b| order(candidates, a, b));
        self.enter()
    }

    /// The most probable classes, one more than the width of the beam: one of them may be the last label of a
    /// prefix, which gets less.
    fn choose_classes(&mut self, blank: usize) -> Result<(), Error> {
        let logs = &self.logs;
        let order = |a: usize, b: usize| logs[b].total_cmp(&logs[a]).then(a.cmp(&b));
        reserve(&mut self.classes, logs.len())?;
        self.classes.extend((0..logs.len()).filter(|&class| class != blank));
        keep_first(&mut self.classes, self.width.saturating_add(1), &order);
        Ok(())
    }

    /// The best candidates, in no order. NaN and impossible ones are none.
    fn choose_best(&mut self) -> Result<(), Error> {
        let candidates = &self.candidates;
        reserve(&mut self.best, candidates.len())?;
        self.best.extend((0..candidates.len()).filter(|&at| candidates[at].score > NEVER));
        keep_first(&mut self.best, self.width, &|a, b| order(candidates, a, b));
        Ok(())
    }

    /// Finds for each prefix in the beam those in it that are longer by a label.
    fn find_longer(&mut self) -> Result<(), Error> {
        for places in &mut self.longer {
            reserve(places, self.beams.len())?;
            places.resize(self.beams.len(), NONE);
        }
        let [first, next] = &mut self.longer;
        for (at, beam) in self.beams.iter().enumerate() {
            let parent = self.nodes[beam.node as usize].parent;
            let place = if parent == NONE { NONE } else { self.nodes[parent as usize].beam };
            if place != NONE {
                next[at] = std::mem::replace(&mut first[place as usize], at as u32);
            }
        }
        Ok(())
    }

    /// The prefix as it is.
    fn stay(&mut self, at: usize, blank: usize) {
        let beam = self.beams[at];
        let Node { parent, label, .. } = self.nodes[beam.node as usize];
        let mut stayed = Beam { blank: beam.score + self.logs[blank], label: NEVER, ..beam };
        if beam.node != ROOT {
            stayed.label = beam.label + self.logs[label];
            let place = self.nodes[parent as usize].beam;
            if place != NONE {
                let passed = self.passed_on(place as usize, label);
                stayed.label = add(stayed.label, passed);
            }
        }
        stayed.score = add(stayed.blank, stayed.label);
        self.candidates.push(stayed);
    }

    /// The probability that a prefix passes on to the prefix that is longer by this label.
    fn passed_on(&self, at: usize, label: usize) -> f64 {
        let beam = &self.beams[at];
        let repeats = beam.node != ROOT && self.nodes[beam.node as usize].label == label;
        (if repeats { beam.blank } else { beam.score }) + self.logs[label]
    }

    /// The prefixes that are longer by a label and are not in the beam yet.
    fn extend(&mut self, at: usize) {
        let node = self.beams[at].node;
        self.visit += 1;
        let [first, next] = &self.longer;
        let mut place = first[at];
        while place != NONE {
            let longer = &self.nodes[self.beams[place as usize].node as usize];
            self.visited[longer.label] = self.visit;
            place = next[place as usize];
        }
        for index in 0..self.classes.len() {
            let class = self.classes[index];
            if self.visited[class] != self.visit {
                let label = self.passed_on(at, class);
                self.candidates.push(Beam { node, longer: Some(class), blank: NEVER, label, score: label });
            }
        }
    }

    /// Makes the best candidates the beam.
    fn enter(&mut self) -> Result<(), Error> {
        for beam in &self.beams {
            self.nodes[beam.node as usize].beam = NONE;
        }
        let count = self.best.len();
        if self.nodes.len().saturating_add(count) > NONE as usize {
            return Err(Error::SizeOverflow { what: "prefixes of the beam search" });
        }
        room(&mut self.nodes, count)?;
        let bytes = count.saturating_mul(size_of::<((u32, usize), u32)>());
        self.children.try_reserve(count).map_err(|_| Error::OutOfMemory { bytes })?;
        reserve(&mut self.beams, count)?;
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
        Ok(())
    }

    /// The prefixes in the beam, the best first.
    fn hypotheses(&self) -> Result<Vec<Hypothesis>, Error> {
        collect(self.beams.iter().map(|beam| {
            let (mut labels, mut node) = (Vec::new(), beam.node);
            while node != ROOT {
                room(&mut labels, 1)?;
                labels.push(self.nodes[node as usize].label);
                node = self.nodes[node as usize].parent;
            }
            labels.reverse();
            Ok(Hypothesis { labels, log_probability: beam.score })
        }))
    }
}

/// Which of two candidates comes first: the more probable one. Node and label decide between equal
/// probabilities.
fn order(candidates: &[Beam], a: usize, b: usize) -> Ordering {
    let (a, b) = (&candidates[a], &candidates[b]);
    b.score.total_cmp(&a.score).then_with(|| (a.node, a.longer).cmp(&(b.node, b.longer)))
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
    /// [`Error::SizeOverflow`] where a beam has 2^32 prefixes over a row. The search can be used again.
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
        let mut rows = Vec::new();
        reserve(&mut rows, dims.batch)?;
        for row in 0..dims.batch {
            search.begin(self.classes)?;
            for t in 0..dims.lengths.map_or(dims.steps, |lengths| lengths[row]) {
                search.step(&logits[self.place(dims, row, t)], self.blank)?;
            }
            rows.push(search.hypotheses()?);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn memory_follows_the_width_and_not_its_square() {
        let (mut rng, classes, width) = (Rng::new(1), 200, 300);
        let logits: Vec<f32> = (0..4 * classes).map(|_| rng.uniform(-2.0, 2.0)).collect();
        let mut search = BeamSearch::new(width).unwrap();
        let found = Ctc::new(classes).beam(&logits, Dims::new(1, 4), &mut search).unwrap();
        assert_eq!(found[0].len(), width);
        let most = 4 * (width + classes);
        assert!(search.candidates.capacity() <= most, "{} candidates", search.candidates.capacity());
    }
}
