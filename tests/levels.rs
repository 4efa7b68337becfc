//! No level is skipped in silence.
//!
//! The other tests run on every level that the machine has. These make sure that this is every level that it
//! should have: `FUSED_RNN_EXPECT_LEVELS=portable,avx2,avx512` states them, and a missing one is a failure.

use fused_rnn::{Error, Level, Lstm};

#[test]
fn the_expected_levels_are_there() {
    let available: Vec<String> = Level::available().map(|level| level.to_string()).collect();
    println!("levels of this machine: {}", available.join(","));
    assert_eq!(available[0], "portable");
    if let Ok(expected) = std::env::var("FUSED_RNN_EXPECT_LEVELS") {
        assert_eq!(available.join(","), expected);
    }
}

#[test]
fn the_default_level_is_the_environments_or_the_best() {
    let expected = match std::env::var("FUSED_RNN_LEVEL") {
        Ok(name) if !name.is_empty() => name,
        _ => Level::best().to_string(),
    };
    let layer = Lstm::builder(1, 1).build().unwrap();
    assert_eq!(layer.level().to_string(), expected);
    assert_eq!(Level::from_env(), Ok(layer.level()));
}

#[test]
fn a_level_can_be_pinned_and_a_missing_one_is_an_error() {
    for level in Level::ALL {
        let layer = Lstm::builder(1, 1).level(level).build();
        if level.is_available() {
            assert_eq!(layer.unwrap().level(), level);
        } else {
            assert_eq!(layer.err(), Some(Error::LevelUnavailable { level }));
        }
    }
}
