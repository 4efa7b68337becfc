//! Learning rates: PyTorch's figures; early stopping: Keras'.

use crate::golden::{Golden, close};
use fused_rnn::train::{EarlyStopping, Plateau, PlateauConfig, Progress, RateSchedule};

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

#[test]
fn early_stopping_stops_where_keras_does() {
    let golden = Golden::read("early_stopping");
    let values = golden.values("values");
    let stopping = [
        ("impatient", EarlyStopping::new(0)),
        ("two", EarlyStopping::new(2)),
        ("coarse", EarlyStopping::new(3).min_delta(0.05).unwrap()),
        ("patient", EarlyStopping::new(8).min_delta(0.01).unwrap()),
        ("maximize", EarlyStopping::new(4).maximize()),
    ];
    for (name, mut stopping) in stopping {
        let stop = values.iter().position(|&value| stopping.observe(value) == Progress::Stop);
        let epochs = golden.numbers(&format!("{name}.epochs"));
        let got = (stop.unwrap_or(values.len()), stopping.best_at());
        assert_eq!(got, (epochs[0], Some(epochs[1])), "{name}");
        assert_eq!(stopping.best(), golden.value(&format!("{name}.best")), "{name}");
    }
}
