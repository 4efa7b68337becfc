//! Reviews: those of a grammar, or rows of a table.
//!
//! ```text
//! review    clause (and clause)* [but clause (and clause)*]          what follows "but" decides
//! clause    the noun was [not | hardly | never] [adverb] adjective
//!           nobody said the noun was adjective                       also turned around
//! ```
//!
//! A clause may begin with a remark that has a "not" of its own and turns nothing around. Each side of a
//! "but" has an odd number of clauses, and most of them decide.

use fused_rnn::Rng;
use fused_rnn_examples::{Outcomes, Table, Vocabulary, say, words};
use std::path::Path;

/// Reviews as numbers of words, and the classes of each.
pub(crate) struct Reviews {
    pub(crate) training: (Vec<Vec<usize>>, Vec<usize>),
    pub(crate) test: (Vec<Vec<usize>>, Vec<usize>),
    pub(crate) words: Vocabulary,
    pub(crate) classes: Vocabulary,
}

const NOUNS: &str = "food soup bread wine service waiter room view music price menu dessert table coffee";
const GOOD: &str = "good great friendly fresh lovely fine tasty warm excellent charming fair delightful";
const BAD: &str = "bad awful rude stale ugly poor bland cold terrible dull unfair disappointing";
const ADVERBS: &str = "very really quite so rather truly";
const TURNED: &str = "not hardly never";
const REMARKS: [&str; 4] = [
    "i had not been here before and",
    "as my good friend never tires of saying",
    "not far from the station",
    "with no bad feelings about it",
];

fn word(rng: &mut Rng, words: &'static str) -> &'static str {
    words.split(' ').nth(rng.below(words.split(' ').count())).unwrap_or("")
}

/// Adds a clause. Gives whether it is a good one.
fn clause(rng: &mut Rng, text: &mut Vec<&'static str>) -> bool {
    if rng.below(4) == 0 {
        text.extend(REMARKS[rng.below(REMARKS.len())].split(' '));
    }
    let turned = rng.below(3) == 0;
    let by_person = turned && rng.below(4) == 0;
    if by_person {
        text.extend(["nobody", "said"]);
    }
    text.extend(["the", word(rng, NOUNS), "was"]);
    if turned && !by_person {
        text.push(word(rng, TURNED));
    }
    if rng.below(3) == 0 {
        text.push(word(rng, ADVERBS));
    }
    let good = rng.below(2) == 0;
    text.push(word(rng, if good { GOOD } else { BAD }));
    good != turned
}

/// Adds one or three clauses. Gives whether most of them are good.
fn side(rng: &mut Rng, text: &mut Vec<&'static str>) -> bool {
    let clauses = 1 + 2 * rng.below(2);
    let mut good = usize::from(clause(rng, text));
    for _ in 1..clauses {
        text.push("and");
        good += usize::from(clause(rng, text));
    }
    2 * good > clauses
}

impl Reviews {
    /// So many reviews for training and a fifth as many for tests.
    pub(crate) fn of_grammar(count: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5e17);
        let review = |_| {
            let mut text = Vec::new();
            let mut good = side(&mut rng, &mut text);
            if rng.below(2) == 0 {
                text.push("but");
                good = side(&mut rng, &mut text);
            }
            (text, if good { "good" } else { "bad" })
        };
        Reviews::of_rows(&(0..count + count / 5).map(review).collect::<Vec<_>>(), count)
    }

    /// A table: in each line a text, a comma and a label. A first line whose label no other line has is taken
    /// as names. A fifth of the rows, at random, is for tests.
    pub(crate) fn read(path: &Path, seed: u64) -> Outcomes<Self> {
        let mut table = Table::read(path)?;
        table.text = table.text.to_lowercase();
        let mut rows = table.pairs(10, "a text, a comma and a label", |line| {
            line.rsplit_once(',').map(|(text, label)| (text, label.trim_matches(['"', ' '])))
        })?;
        if rows[1..].iter().all(|row| row.1 != rows[0].1) {
            say!("the first line has names: {}, {}", rows[0].0, rows[0].1)?;
            rows.remove(0);
        }
        let without = rows.iter().filter(|row| !row.0.contains(char::is_alphabetic)).count();
        if 2 * without > rows.len() {
            let got = format!("{without} without a letter, as {:?}", rows[0].0);
            return Err(table.few(&format!("texts in {} rows", rows.len()), got));
        }
        Rng::new(seed).shuffle(&mut rows);
        let rows: Vec<_> = rows.iter().map(|(text, label)| (words::of(text), &label[..])).collect();
        let reviews = Reviews::of_rows(&rows, rows.len() * 4 / 5);
        let classes = &reviews.classes;
        if !(2..=rows.len() / 2).contains(&classes.len()) {
            let expected = format!("2 labels and more, each of some of {} rows", rows.len());
            return Err(table.few(&expected, format!("{} labels, as {:?}", classes.len(), classes.words[0])));
        }
        match reviews.words.len() {
            0..3 => Err(table.few("2 words and more that occur twice", reviews.words.len() - 1)),
            _ => Ok(reviews),
        }
    }

    /// Words that occur twice and more in the first `training` rows get numbers.
    fn of_rows(rows: &[(Vec<&str>, &str)], training: usize) -> Self {
        let classes = Vocabulary::new(&[], rows.iter().map(|row| row.1), 1);
        let words = rows[..training].iter().flat_map(|row| row.0.iter().copied());
        let words = Vocabulary::new(&["?"], words, 2);
        let numbered = |rows: &[(Vec<&str>, &str)]| {
            let texts = rows.iter().map(|row| words.numbers(row.0.iter().copied())).collect();
            (texts, classes.numbers(rows.iter().map(|row| row.1)))
        };
        let (training, test) = (numbered(&rows[..training]), numbered(&rows[training..]));
        Reviews { training, test, words, classes }
    }
}
