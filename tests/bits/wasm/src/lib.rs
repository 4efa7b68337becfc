//! The hashes of `tests/bits.rs`, computed in WebAssembly, where there is no `cargo test`.
//!
//! `run.mjs` calls `run` and reads what it has counted. Networks are shared by threads in all ways, of which
//! WebAssembly has one, so this also shows that asking for more traps nowhere.

#[path = "../../hashes.rs"]
mod hashes;
#[allow(dead_code, reason = "features are for the native test")]
#[path = "../../networks.rs"]
mod networks;
#[path = "../../run.rs"]
mod run;

use fused_rnn::Level;
use hashes::{Hash, expected};
use networks::CELLS;
use std::sync::Mutex;

/// Computes all hashes and returns how many are wrong.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> usize {
    let [sums] = run::sums(&[Level::Portable], |_, _, _, _, _| {})[..] else { return HASHES };
    let sums = sums.as_flattened();
    let expected = expected(Level::Portable);
    let wrong = sums.iter().zip(expected.as_flattened()).filter(|(sum, expected)| sum.hash.0 != **expected);
    let wrong = wrong.count();
    let mut found = FOUND.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (found, sum) in found.iter_mut().zip(sums) {
        *found = sum.hash.0;
    }
    wrong
}

/// Those of the cells, and again of networks of tiny values.
const HASHES: usize = 2 * CELLS.len();
static FOUND: Mutex<[u64; HASHES]> = Mutex::new([0; HASHES]);

/// The hash of one of the cells, once they have been computed: of numbers 0 to 4 of ordinary networks, of 5 to 9
/// of those of tiny values, and of 10 that of all of them.
#[unsafe(no_mangle)]
pub extern "C" fn hash(cell: usize) -> u64 {
    let found = *FOUND.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    found.get(cell).copied().unwrap_or_else(|| {
        let mut all = Hash::EMPTY;
        found.iter().for_each(|hash| all.add(&hash.to_le_bytes()));
        all.0
    })
}
