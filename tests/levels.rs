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
    for &level in Level::ALL {
        let layer = Lstm::builder(1, 1).level(level).build();
        if level.is_available() {
            assert_eq!(layer.unwrap().level(), level);
        } else {
            assert_eq!(layer.err(), Some(Error::LevelUnavailable { level }));
        }
    }
}

#[test]
fn levels_have_names_in_text() {
    for &level in Level::ALL {
        assert_eq!((level.name().parse(), level.to_string()), (Ok(level), level.name().to_owned()));
    }
    let error = "AVX2".parse::<Level>().unwrap_err().to_string();
    assert_eq!(error, "level: expected one of portable, avx2, avx512, neon, got \"AVX2\"");
}

/// For the test below, in a process with another environment.
#[test]
#[ignore = "prints what the environment says"]
fn print_what_building_says() {
    println!(
        "said: {}",
        Lstm::builder(1, 1).build().map_or_else(|error| error.to_string(), |_| "fine".into())
    );
}

#[test]
fn the_environment_is_obeyed_or_refused() {
    let said = |level: &str| {
        let mut program = std::process::Command::new(std::env::current_exe().unwrap());
        let arguments = ["--ignored", "--exact", "--nocapture", "print_what_building_says"];
        let output = program.args(arguments).env("FUSED_RNN_LEVEL", level).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_once("said: ").unwrap().1.lines().next().unwrap().to_owned()
    };
    for &level in Level::ALL {
        let missing = format!("SIMD level {level}: expected one that this machine has, got {level}");
        assert_eq!(said(&level.to_string()), if level.is_available() { "fine" } else { &missing });
    }
    assert_eq!(said(""), "fine");
    let names: Vec<String> = Level::ALL.iter().map(Level::to_string).collect();
    let (last, others) = names.split_last().unwrap();
    let names = format!("{} or {last}", others.join(", "));
    assert!(names.starts_with("portable, avx2"), "{names}");
    for wrong in ["sse", "AVX2", " avx2", "avx2,avx512"] {
        assert_eq!(said(wrong), format!("FUSED_RNN_LEVEL: expected {names}, got {wrong:?}"));
    }
}
