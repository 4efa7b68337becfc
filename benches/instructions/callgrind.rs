//! What callgrind writes: instructions by line, under the function that they are of.
//!
//! ```text
//! fn=(12) path::of::a::function      a number for the name, told where it comes first
//! 139 25                             a line, and its instructions; lines may be +1, -3 or *
//! calls=4 17                         a call, and in the line after it what it cost: counted where it is
//! 142 800
//! ```

use std::collections::HashMap;

/// Instructions in all functions, and in those that are no kernels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub all: u64,
    pub outside: u64,
}

/// The part of the code that a function is of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    /// A kernel: a function of a level, or in a module that is named for one.
    Kernel,
    /// This bench.
    Bench,
    /// All else: what is decided, checked and put together for the kernels, and copies.
    Else,
}

impl Part {
    fn of(function: &str) -> Part {
        let names = || function.split("::");
        if names().any(|name| matches!(name, "portable" | "avx2" | "avx512" | "neon")) {
            Part::Kernel
        } else if names().next().is_some_and(|name| name == "instructions" || name == "fused_rnn_measured") {
            Part::Bench
        } else {
            Part::Else
        }
    }
}

/// Sums up a file of callgrind, of positions that are lines alone.
pub fn counts(text: &str) -> Counts {
    let (mut names, mut part, mut sum) = (HashMap::new(), Part::Else, Counts::default());
    let mut after_call = false;
    for line in text.lines() {
        if let Some((key @ ("fn" | "cfn"), function)) = line.split_once('=') {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let of = if name.is_empty() { names.get(number).copied() } else { Some(Part::of(name)) };
            let of = of.unwrap_or(Part::Else);
            names.insert(number, of);
            if key == "fn" {
                part = of;
            }
        } else if line.starts_with("calls=") {
            after_call = true;
        } else if let Some(count) = cost(line)
            && !std::mem::take(&mut after_call)
        {
            sum.all += count;
            sum.outside += if part == Part::Else { count } else { 0 };
        }
    }
    sum
}

/// The instructions of a line of costs.
fn cost(line: &str) -> Option<u64> {
    let (position, count) = line.split_once(' ')?;
    let number = position.strip_prefix(['+', '-']).unwrap_or(position);
    (number == "*" || number.parse::<u64>().is_ok()).then(|| count.parse().ok())?
}
