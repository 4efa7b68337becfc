//! The hashes of `tests/bits.rs`, computed in WebAssembly, where there is no `cargo test`.
//!
//! `run.mjs` calls `run` and reads what it has counted. Networks are shared by threads in all ways, of which
//! WebAssembly has one, so this also shows that asking for more traps nowhere.

use fused_rnn::Level;
use fused_rnn_bits::hashes::{HEADS, Hash, PRECISIONS, expected};
use fused_rnn_bits::run;
use fused_rnn_bits::sets::CELLS;
use std::sync::Mutex;

/// Computes all hashes and returns how many are wrong.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> usize {
    let [sums] = run::sums(&[Level::Portable], |_, _, _, _, _| {})[..] else { return HASHES };
    let hashes: Vec<u64> = sums.iter().flatten().map(|sum| sum.hash.0).collect();
    let expected = expected(Level::Portable);
    let wrong =
        hashes.iter().zip(expected.as_flattened()).filter(|(hash, expected)| hash != expected).count();
    let is_wrong = |(precision, [_, portable]): &&(_, [_; 2])| {
        run::hashes_of(&[Level::Portable], *precision) != [*portable]
    };
    let of_heads = run::sums_of_heads(&[Level::Portable], &HEADS.map(|(precision, _)| precision));
    let of_heads = of_heads.iter().zip(HEADS).filter(|(sums, (_, [_, portable]))| sums[0].hash.0 != *portable);
    let wrong = wrong + PRECISIONS.iter().filter(is_wrong).count() + of_heads.count();
    *FOUND.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = hashes;
    wrong
}

/// The number of hashes: of each of the cells, of ordinary networks and of those of tiny values.
const HASHES: usize = 2 * CELLS.len();

static FOUND: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// One of the hashes, once they have been computed; behind the last that of all of them.
#[unsafe(no_mangle)]
pub extern "C" fn hash(number: usize) -> u64 {
    let found = FOUND.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    found.get(number).copied().unwrap_or_else(|| {
        let mut all = Hash::EMPTY;
        found.iter().for_each(|hash| all.add(&hash.to_le_bytes()));
        all.0
    })
}
