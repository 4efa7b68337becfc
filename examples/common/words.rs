//! Words as numbers, and numbers as rows of an embedding.

use super::Shared;
use fused_rnn::train::{Adam, AdamConfig, Embedding, Optimizer, Padded, RowGradients, clip_global_norm, pad};
use fused_rnn::{Accumulate, Error, Init, Layout, Lstm, Recurrent, Tape};
use std::collections::BTreeMap;

/// Words with numbers. Word 0 stands for all that are unknown.
pub struct Vocabulary {
    pub words: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Vocabulary {
    /// The words that occur so often and more, after some that have the first numbers.
    pub fn new<'a>(first: &[&str], words: impl Iterator<Item = &'a str>, least: usize) -> Self {
        let mut counts = BTreeMap::<&str, usize>::new();
        words.for_each(|word| *counts.entry(word).or_default() += 1);
        let often = counts.into_iter().filter(|(word, count)| *count >= least && !first.contains(word));
        let words: Vec<String> =
            first.iter().copied().chain(often.map(|(word, _)| word)).map(Into::into).collect();
        let numbers = words.iter().cloned().zip(0..).collect();
        Vocabulary { words, numbers }
    }

    #[expect(clippy::len_without_is_empty, reason = "it has a place for all other words")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn number(&self, word: &str) -> usize {
        self.numbers.get(word).copied().unwrap_or(0)
    }

    pub fn numbers<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
        words.into_iter().map(|word| self.number(word)).collect()
    }

    pub fn text(&self, numbers: &[usize]) -> String {
        numbers.iter().map(|&number| &self.words[number][..]).collect::<Vec<_>>().join(" ")
    }

    /// The text where each word is a character, spaces too.
    pub fn spelled(&self, numbers: &[usize]) -> String {
        numbers.iter().map(|&number| &self.words[number][..]).collect()
    }
}

/// The words of a text; of one without words, an unknown one.
pub fn of(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    if words.is_empty() { vec!["?"] } else { words }
}

/// Rows of numbers as one batch, `(B, T)`.
pub fn batch(rows: &[impl AsRef<[usize]>]) -> Result<Padded<usize>, Error> {
    pad(rows, 1, 0, Layout::BatchFirst)
}

/// An embedding with its gradients and its optimiser.
pub struct Embedded {
    pub embedding: Embedding,
    gradients: RowGradients,
    adam: Adam,
}

impl Embedded {
    pub fn new(rows: usize, width: usize, seed: u64) -> Result<Self, Error> {
        let embedding = Embedding::new_pytorch(rows, width, seed)?;
        let adam = Adam::new(rows * width, AdamConfig::default())?;
        Ok(Embedded { embedding, gradients: RowGradients::new(rows, width)?, adam })
    }

    /// The rows of some tokens, one after the other.
    pub fn of(&self, tokens: &[usize]) -> Result<Vec<f32>, Error> {
        let mut x = vec![0.0; tokens.len() * self.embedding.width()];
        self.embedding.forward(tokens, &mut x)?;
        Ok(x)
    }

    /// One step, given the gradients of the rows of some tokens. Their norm is clipped by itself.
    pub fn step(&mut self, tokens: &[usize], dx: &[f32], rate: f64) -> Result<(), Error> {
        self.embedding.backward(tokens, dx, &mut self.gradients, Accumulate::Overwrite)?;
        clip_global_norm(&mut [self.gradients.values_mut()], 1.0)?;
        self.adam.set_learning_rate(rate)?;
        self.adam.step_rows(self.embedding.table_mut(), &self.gradients)
    }
}

/// An LSTM over words: an embedding, the layer, and what their training needs.
pub struct WordLayer {
    pub words: Embedded,
    pub lstm: Recurrent,
    pub gradients: Vec<f32>,
    pub tape: Tape,
}

impl WordLayer {
    pub fn new(words: usize, width: usize, units: usize, shared: &Shared) -> Result<Self, Error> {
        let (words, seed) = (Embedded::new(words, width, shared.seed)?, shared.seed ^ words as u64);
        let lstm = Lstm::builder(width, units).threads(shared.threads()).init(Init::PyTorch, seed).build()?;
        Ok(WordLayer { words, gradients: vec![0.0; lstm.parameters().len()], tape: Tape::new(), lstm })
    }
}
