//! Layers beside burn's own, on one thread: how many times as fast forward and training are.
//!
//! ```text
//! cargo bench --bench layers                    32 rows of 100 steps, 256 inputs, 256 units
//! cargo bench --bench layers -- 8 50 64 128     rows, steps, inputs, units
//! ```
//!
//! Both run by turns in one process, and a figure is the ratio of the medians of their times, so that what
//! else the machine does meets both. Training is forward, the sum of squares of the output, and backward into
//! all parameters. burn's products have the instructions of the machine, AVX-512 included (features `simd`
//! and `x86-v4`).

use burn::module::Module;
use burn::nn;
use burn::tensor::{Device, Distribution, Tensor};
use fused_rnn_burn::{Gru, Lstm};
use std::error::Error;
use std::time::{Duration, Instant};

/// Turns of each, after one that does not count.
const TURNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    // (Cargo passes `--bench`.)
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let numbers = arguments.map(|argument| argument.parse()).collect::<Result<Vec<usize>, _>>()?;
    let [rows, steps, inputs, units] = match numbers[..] {
        [] => [32, 100, 256, 256],
        [rows, steps, inputs, units] => [rows, steps, inputs, units],
        _ => return Err("expected rows, steps, inputs and units, or nothing".into()),
    };
    println!("{rows} rows of {steps} steps, {inputs} inputs, {units} units, one thread; medians of {TURNS}");
    println!("{:24} {:>10} {:>10} {:>8}", "", "burn's own", "this", "ratio");

    let training = Device::flex().autodiff();
    let x = Tensor::<3>::random([rows, steps, inputs], Distribution::Default, &Device::flex());
    let tracked = x.clone().autodiff();

    let own = nn::LstmConfig::new(inputs, units, true).init(&training);
    let ours = Lstm::try_from(&own)?.with_threads(Some(1));
    let (own_valid, ours_valid) = (own.valid(), ours.valid());
    compare(
        "LSTM, forward",
        || drop(own_valid.forward(x.clone(), None).0.into_data()),
        || drop(ours_valid.forward(x.clone(), None).expect("a layer that runs").0.into_data()),
    );
    compare(
        "LSTM, training",
        || backward(&own, own.forward(tracked.clone(), None).0),
        || backward(&ours, ours.forward(tracked.clone(), None).expect("a layer that runs").0),
    );

    let own = nn::GruConfig::new(inputs, units, true).init(&training);
    let ours = Gru::try_from(&own)?.with_threads(Some(1));
    let (own_valid, ours_valid) = (own.valid(), ours.valid());
    compare(
        "GRU, forward",
        || drop(own_valid.forward(x.clone(), None).into_data()),
        || drop(ours_valid.forward(x.clone(), None).expect("a layer that runs").0.into_data()),
    );
    compare(
        "GRU, training",
        || backward(&own, own.forward(tracked.clone(), None)),
        || backward(&ours, ours.forward(tracked.clone(), None).expect("a layer that runs").0),
    );
    Ok(())
}

/// The way back from the sum of squares of an output, to all parameters of a module.
fn backward(module: &impl Module, y: Tensor<3>) {
    let gradients = (y.clone() * y).sum().backward();
    let count = burn::optim::GradientsParams::from_grads(gradients, module).len();
    assert!(count >= 4, "no gradients");
}

fn compare(what: &str, mut own: impl FnMut(), mut ours: impl FnMut()) {
    let mut times: [Vec<Duration>; 2] = Default::default();
    for turn in 0..=TURNS {
        for (of, times) in times.iter_mut().enumerate() {
            let begin = Instant::now();
            if of == 0 {
                own()
            } else {
                ours()
            }
            let time = begin.elapsed();
            if turn > 0 {
                times.push(time);
            }
        }
    }
    let [own, ours] = times.map(|mut times| {
        times.sort();
        times[TURNS / 2].as_secs_f64() * 1e3
    });
    println!("{what:24} {own:7.1} ms {ours:7.1} ms {:8.2}", own / ours);
}
