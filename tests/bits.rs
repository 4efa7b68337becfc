//! The bits of a fixed set of networks, for changes that must not change a result.
//!
//! ```text
//! heights    each form of each cell, 1 to 16 rows, 2 to 8 steps       tiles of all heights, narrow inputs
//! drawn      each cell, options, sizes, patterns, threads and tapes at random
//! headed     sLSTMs with heads
//! large      sizes at which products are cut, done beforehand or shared in other ways; tiny values; NaN
//!
//! network -> output, states, stream of steps, training, gradients -> a hash per tensor, cell and level
//! ```
//!
//! All levels that fuse multiply and add have the same hashes; the portable one has its own. They depend on
//! nothing but the crate's own arithmetic: inputs and weights are multiples of 2^-23 times a power of two,
//! and no function of a platform's mathematical library is called. `--nocapture` prints them, and with
//! `FUSED_RNN_BITS=each` those of every tensor of every network as well, so that the outputs of two commits
//! can be compared line by line.
//!
//! A change that is meant to change bits replaces the hashes in `bits/hashes.rs` by those that this test
//! prints, once the other tests have shown that the new bits are right.

use fused_rnn::Level;
use fused_rnn_bits::draw::{Draw, power};
use fused_rnn_bits::hashes::{HEADS, Hash, PRECISIONS, expected};
use fused_rnn_bits::networks::FEATURES;
use fused_rnn_bits::run::{Sum, hashes_of, sums, sums_of_heads};
use fused_rnn_bits::sets::{CELLS, drawn, headed, heights, large};
use std::collections::BTreeMap;

#[test]
#[cfg_attr(debug_assertions, ignore = "kernels without optimisation take minutes")]
fn results_have_their_bits() {
    let each = std::env::var("FUSED_RNN_BITS").is_ok_and(|what| what == "each");
    let levels: Vec<Level> = Level::available().collect();
    let sums = sums(&levels, |level, n, cell, name, hash| {
        if each {
            println!("{level} network {n} {cell} {name} {hash}");
        }
    });

    let mut wrong = Vec::new();
    for (level, sums) in levels.iter().zip(&sums) {
        let mut all = Hash::EMPTY;
        for (kind, (sums, expected)) in ["", " (tiny)"].iter().zip(sums.iter().zip(expected(*level))) {
            for ((sum, expected), (_, name)) in sums.iter().zip(expected).zip(CELLS) {
                let (Sum { hash, values, telling }, name) = (*sum, format!("{level} {name}{kind}"));
                println!("bits {name} {hash}, {telling} of {values} values finite and not zero");
                all.add(&hash.0.to_le_bytes());
                if hash.0 != expected {
                    wrong.push(format!("{name}: expected {}, got {hash}", Hash(expected)));
                }
                // Half of what a rectifier gives is zero.
                if kind.is_empty() && 5 * telling < 3 * values {
                    wrong.push(format!("{name}: {telling} of {values} values are finite and not zero"));
                }
            }
        }
        println!("bits {level} {all}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The same in other precisions.
#[test]
#[cfg_attr(debug_assertions, ignore = "kernels without optimisation take minutes")]
fn results_in_other_precisions_have_their_bits() {
    let mut wrong = Vec::new();
    for (precision, expected) in PRECISIONS {
        let levels: Vec<Level> = Level::available().collect();
        for (level, got) in levels.iter().copied().zip(hashes_of(&levels, precision)) {
            let expected = expected[usize::from(level == Level::Portable)].map(Hash);
            let got = got.map(Hash);
            println!("bits {precision} {level} {got:#?}");
            if got != expected {
                wrong.push(format!("{precision}, {level}: expected {expected:#?}, got {got:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The same of recurrent weights that have heads, in every precision.
#[test]
#[cfg_attr(debug_assertions, ignore = "kernels without optimisation take minutes")]
fn results_of_heads_have_their_bits() {
    let mut wrong = Vec::new();
    let (levels, precisions) =
        (Level::available().collect::<Vec<_>>(), HEADS.map(|(precision, _)| precision));
    for ((precision, expected), sums) in HEADS.iter().zip(sums_of_heads(&levels, &precisions)) {
        for (&level, Sum { hash, values, telling }) in levels.iter().zip(sums) {
            let expected = expected[usize::from(level == Level::Portable)];
            println!("bits heads {precision} {level} {hash}, {telling} of {values} values");
            if hash.0 != expected || 5 * telling < 3 * values {
                wrong.push(format!("{precision}, {level}: expected {}, got {hash}", Hash(expected)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every feature has networks: a feature without networks would not be tested.
#[test]
fn networks_have_all_features() {
    let mut counts = BTreeMap::new();
    let networks = [heights(), drawn(), large(), headed()].concat();
    for feature in networks.iter().flat_map(|network| &network.features) {
        *counts.entry(*feature).or_insert(0) += 1;
    }
    println!("{} networks: {counts:?}", networks.len());
    for feature in FEATURES {
        let least = if *feature == "tiny values" { CELLS.len() } else { 10 };
        assert!(
            counts.get(feature).is_some_and(|count| *count >= least),
            "{feature}: {:?}",
            counts.get(feature)
        );
    }
    assert!(counts.keys().all(|feature| FEATURES.contains(feature)), "{counts:?}");
}

/// Against the values that their authors publish.
#[test]
fn hash_and_generator_are_those_that_they_are_named_after() {
    for (bytes, hash) in
        [(&b""[..], 0xCBF2_9CE4_8422_2325), (b"a", 0xAF63_DC4C_8601_EC8C), (b"foobar", 0x8594_4171_F739_67E8)]
    {
        let mut of = Hash::EMPTY;
        of.add(bytes);
        assert_eq!(of, Hash(hash));
    }
    let mut draw = Draw(1_234_567);
    assert_eq!([draw.bits(), draw.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    assert_eq!((power(0), power(-3), power(7)), (1.0, 0.125, 128.0));
}
