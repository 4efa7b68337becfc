//! Schedules of schedules: what their tree says, and as many parts as memory has room for.

use fused_rnn::train::RateSchedule;

/// Parts keep their places, whichever of two is moved to the other.
#[test]
fn schedules_of_schedules_are_what_their_tree_says() {
    let leaf = |factor| RateSchedule::linear(factor, factor, 1).unwrap();
    let four = || leaf(2.0).then(2, leaf(3.0)).times(leaf(5.0).then(3, leaf(7.0)));
    let want = [10.0, 10.0, 15.0, 21.0];
    assert_eq!([0, 1, 2, 3].map(|t| four().factor(t)), want);
    for later in [four().then(4, leaf(11.0)), leaf(11.0).then(4, four())] {
        let late = if later.factor(0) == 11.0 { 4 } else { 0 };
        assert_eq!([0, 1, 2, 3].map(|t| later.factor(late + t)), want);
        assert_eq!(later.factor(4 - late), 11.0);
    }
    for product in [four().times(leaf(11.0)), leaf(11.0).times(four())] {
        assert_eq!([0, 1, 2, 3].map(|t| product.factor(t)), want.map(|factor| 11.0 * factor));
    }
    assert_ne!(leaf(2.0).times(leaf(3.0)).then(1, leaf(5.0)), leaf(2.0).times(leaf(3.0).then(1, leaf(5.0))));
}

const PARTS: u64 = 1_000_000;

fn leaf() -> RateSchedule {
    RateSchedule::step(PARTS / 2, 0.5).unwrap()
}

fn plain() -> RateSchedule {
    RateSchedule::constant()
}

/// A million parts, on either side, are as good as two: nothing recurs, and nothing is copied anew.
fn check_chain(join: &dyn Fn(RateSchedule, u64) -> RateSchedule) {
    let schedule = (0..PARTS).fold(leaf(), join);
    assert_eq!([0, PARTS / 2].map(|t| schedule.factor(t)), [1.0, 0.5]);
    let same = schedule.clone();
    assert!(same == schedule && format!("{schedule:?}").len() > PARTS as usize);
}

// (Two tests, so that they run side by side.)

#[test]
fn products_of_a_million_schedules_do_not_overflow_the_stack() {
    check_chain(&|all, _| all.times(plain()));
    check_chain(&|all, _| plain().times(all));
    check_chain(&|all, n| if n % 2 == 0 { all.times(plain()) } else { plain().times(all) });
}

#[test]
fn chains_of_a_million_schedules_do_not_overflow_the_stack() {
    check_chain(&|all, n| all.then(PARTS + n, plain()));
    check_chain(&|all, _| plain().then(0, all));
    // Balanced, as halves of halves.
    let deep = (0..20).fold(RateSchedule::linear(2.0, 2.0, 1).unwrap(), |half, _| half.clone().times(half));
    assert_eq!(deep.factor(0), f64::INFINITY);
    // Parts that follow each other: each begins where the one before it ends.
    let steps = (0..PARTS).fold(plain(), |later, _| leaf().then(1, later));
    assert_eq!([0, PARTS, u64::MAX].map(|t| steps.factor(t)), [1.0; 3]);
}
