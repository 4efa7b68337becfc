//! Pairs to translate: numbers below a million and their words, or lines of a file.
//!
//! ```text
//! 1700 <tab> one thousand seven hundred          characters of the source, words of the target
//! ```

use fused_rnn::Rng;
use fused_rnn_examples::{Outcomes, Table, Vocabulary};
use std::path::Path;

/// Words with numbers of their own: unknown and padding, the first that the writer reads, the last it says.
const WORDS: [&str; 3] = ["?", "START", "END"];
pub(crate) const START: usize = 1;
pub(crate) const END: usize = 2;

/// Sources as numbers of characters, and the target of each as numbers of words.
pub(crate) struct Pairs {
    pub(crate) training: [Vec<Vec<usize>>; 2],
    pub(crate) test: [Vec<Vec<usize>>; 2],
    pub(crate) characters: Vocabulary,
    pub(crate) words: Vocabulary,
}

/// A number below a million in words.
fn say(number: usize) -> String {
    const SMALL: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen \
                         fourteen fifteen sixteen seventeen eighteen nineteen";
    const TENS: &str = "twenty thirty forty fifty sixty seventy eighty ninety";
    let word = |words: &str, place: usize| words.split(' ').nth(place).unwrap_or("").to_owned();
    let (unit, first) = match number {
        0..20 => return word(SMALL, number),
        20..100 => (10, word(TENS, number / 10 - 2)),
        100..1000 => (100, word(SMALL, number / 100) + " hundred"),
        _ => (1000, say(number / 1000) + " thousand"),
    };
    if number.is_multiple_of(unit) { first } else { first + " " + &say(number % unit) }
}

impl Pairs {
    /// Those of a file, of which a tenth is for tests, or so many numbers for training and 1000 for tests.
    pub(crate) fn new(data: Option<&Path>, count: usize, seed: u64) -> Outcomes<Self> {
        let mut rng = Rng::new(seed ^ 0x7a);
        let mut pairs: Vec<(String, String)> = match data {
            Some(path) => Table::read(path)?.pairs(12, "a source, a tab and a target", |line| {
                line.split_once('\t').filter(|pair| !pair.1.contains('\t'))
            })?,
            None => {
                let mut numbers = std::collections::BTreeSet::new();
                while numbers.len() < count + 1000 {
                    numbers.insert(rng.below([10_000, 100_000, 1_000_000][numbers.len() % 3]));
                }
                numbers.into_iter().map(|number: usize| (number.to_string(), say(number))).collect()
            }
        };
        rng.shuffle(&mut pairs);
        let letters = pairs.iter().flat_map(|pair| pair.0.split_inclusive(|_| true));
        let characters = Vocabulary::new(&WORDS[..1], letters, 1);
        let words = Vocabulary::new(&WORDS, pairs.iter().flat_map(|pair| pair.1.split_whitespace()), 1);
        let numbered = |(source, target): &(String, String)| {
            (characters.numbers(source.split_inclusive(|_| true)), words.numbers(target.split_whitespace()))
        };
        let (training, test) = pairs.split_at(if data.is_some() { pairs.len() * 9 / 10 } else { count });
        let [training, test] = [training, test].map(|pairs| pairs.iter().map(numbered).unzip().into());
        Ok(Pairs { training, test, characters, words })
    }
}
