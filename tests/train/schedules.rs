//! Learning rates: PyTorch's figures.

use crate::golden::{Golden, close};
use fused_rnn::train::{Plateau, PlateauConfig, RateSchedule};

#[test]
fn schedules_give_the_rates_of_pytorch() {
    let golden = Golden::read("schedules");
    let base = 0.4;
    let cosine = |steps| RateSchedule::cosine(steps, 0.1).unwrap();
    let schedules = [
        ("step", RateSchedule::step(7, 0.5).unwrap()),
        ("exponential", RateSchedule::exponential(0.9).unwrap()),
        ("cosine", cosine(12)),
        ("linear", RateSchedule::linear(0.25, 0.75, 10).unwrap()),
        ("sequential", RateSchedule::warm_up(0.1, 5).unwrap().then(5, cosine(20))),
        ("chained", RateSchedule::warm_up(0.5, 4).unwrap().times(RateSchedule::step(6, 0.3).unwrap())),
    ];
    for (name, schedule) in schedules {
        let want = golden.values(name);
        close(name, (0..want.len() as u64).map(|t| schedule.rate(base, t)), want, 1e-7);
    }
}

#[test]
fn a_plateau_gives_the_rates_of_pytorch() {
    let golden = Golden::read("schedules");
    let values = golden.floats("plateau.values");
    let default = PlateauConfig::default();
    let patient =
        PlateauConfig { factor: 0.5, patience: 3, threshold: 0.05, cooldown: 4, minimum: 0.01, ..default };
    let absolute = PlateauConfig {
        factor: 0.5,
        patience: 2,
        threshold: 0.01,
        relative: false,
        epsilon: 0.03,
        ..default
    };
    let maximize = PlateauConfig { factor: 0.7, patience: 1, threshold: 0.02, maximize: true, ..default };
    for (name, config) in
        [("default", default), ("patient", patient), ("absolute", absolute), ("maximize", maximize)]
    {
        let (mut plateau, mut rate) = (Plateau::new(config).unwrap(), 0.4);
        let rates: Vec<f64> = values
            .iter()
            .map(|&value| {
                rate = plateau.observe(value.into(), rate);
                rate
            })
            .collect();
        let want = golden.values(&format!("plateau.{name}"));
        close(name, rates.iter().copied(), want, 1e-7);
        assert!(rates[79] < 0.4, "{name}: it has fallen");
        let best = values.iter().copied().fold(f32::NAN, if config.maximize { f32::max } else { f32::min });
        assert!((plateau.best() - f64::from(best)).abs() < 0.06, "{name}");
    }
}
