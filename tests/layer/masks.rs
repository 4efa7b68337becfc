//! The masks that a training call draws: their shares of zeros, and that no two are related.

use fused_rnn::{Error, Lstm};

/// Each kind of mask drops its share, and no two masks agree more often than strangers: for other seeds,
/// other layers and other kinds, also with a seed of which every bit is set.
#[test]
fn masks_are_unrelated_and_drop_their_share() -> Result<(), Error> {
    let p = 0.25;
    let lstm = Lstm::builder(100, 100)
        .layers(3)
        .dropout(p)
        .input_dropout(p)
        .recurrent_dropout(p)
        .zoneout(p, p)
        .build()?;
    // 4000 factors of each.
    let mut masks = Vec::new();
    for seed in [1, 2, u64::MAX] {
        for layer in 0..2 {
            masks.push(lstm.dropout_masks(layer, 8, 5, seed)?);
            masks.push(lstm.input_masks(layer, 40, seed)?);
        }
        let by_strand = |all: Vec<f32>| all.chunks_exact(4000).map(<[f32]>::to_vec).collect::<Vec<_>>();
        masks.extend(by_strand(lstm.recurrent_masks(40, seed)?));
        let [h, c] = lstm.zoneout_masks(8, 5, seed)?;
        masks.extend(by_strand(h).into_iter().chain(by_strand(c)));
    }
    let dropped: Vec<Vec<bool>> =
        masks.iter().map(|mask| mask.iter().map(|&factor| factor == 0.0).collect()).collect();
    for (n, one) in dropped.iter().enumerate() {
        // 1000 are expected, with a standard deviation of 27.
        let count = one.iter().filter(|&&dropped| dropped).count();
        assert!((850..1150).contains(&count), "{count} of mask {n}");
        for (m, other) in dropped[..n].iter().enumerate() {
            // Strangers agree 0.25^2 + 0.75^2 of the time, 2500 times, with a standard deviation of 31.
            let agree = one.iter().zip(other).filter(|(a, b)| a == b).count();
            assert!((2330..2670).contains(&agree), "masks {m} and {n} agree {agree} times");
        }
    }
    Ok(())
}
