//! The layers beside candle's own, forward and in training, on one thread.
//!
//!     cargo bench --bench layers -- [PAIRS [B T H]]
//!
//! The two run in turns, and what counts is the ratio of their times in each pair, candle's over ours: a busy
//! machine slows both. Forward is without a graph, on tensors that are no variables. Training is forward and
//! backward of a sum of squares, to all parameters. candle's elementwise loops use what the compiler is told
//! of the machine: `RUSTFLAGS="-C target-cpu=native"`.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN};
use candle_nn::{VarBuilder, VarMap};
use fused_rnn_candle::{Call, Layer, gru, lstm};
use std::process::{Command, exit};
use std::time::Instant;

/// Where candle and rayon look for their number of threads.
const THREADS: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// The outputs of all steps by candle's layers, `(B, T, H)`.
fn by_steps<S>(states: Vec<S>, h: impl Fn(&S) -> &Tensor) -> Result<Tensor> {
    Tensor::stack(&states.iter().map(h).collect::<Vec<_>>(), 1)
}

/// One of candle's layers or of ours, from x to y.
type Run = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

/// candle's layer and ours, with the same parameters.
fn pair(cell: &str, sizes: [usize; 2], vb: VarBuilder<'_>) -> Result<[Run; 2]> {
    let [input, hidden] = sizes;
    let (candle, own): (Run, Layer) = match cell {
        "lstm" => {
            let candle = candle_nn::lstm(input, hidden, LSTMConfig::default(), vb.clone())?;
            let run = move |x: &Tensor| by_steps(candle.seq(x)?, |state| &state.h);
            (Box::new(run), lstm(input, hidden, LSTMConfig::default(), vb)?)
        }
        _ => {
            let candle = candle_nn::gru(input, hidden, GRUConfig::default(), vb.clone())?;
            let run = move |x: &Tensor| by_steps(candle.seq(x)?, |state| &state.h);
            (Box::new(run), gru(input, hidden, GRUConfig::default(), vb)?)
        }
    };
    Ok([candle, Box::new(move |x| Ok(own.run(x, &Call::default(), None)?.0))])
}

/// Milliseconds of a call.
fn milliseconds(call: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    call()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    if THREADS.iter().any(|name| std::env::var(name).as_deref() != Ok("1")) {
        // (Both read the environment once, when they begin.)
        let mut this = Command::new(std::env::current_exe()?);
        let status = this.args(std::env::args().skip(1)).envs(THREADS.map(|name| (name, "1"))).status()?;
        exit(status.code().unwrap_or(1));
    }
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let pairs = numbers.first().copied().unwrap_or(7).max(1);
    let &[batch, steps, hidden] = numbers.get(1..4).unwrap_or(&[32, 100, 256]) else { exit(1) };
    println!("{batch} rows x {steps} steps, {hidden} inputs and units, one thread, {pairs} pairs");
    println!("candle's time over ours: median (lowest to highest)     median of ours, of candle's");

    let x = Tensor::rand(-1f32, 1.0, (batch, steps, hidden), &Device::Cpu)?;
    for cell in ["lstm", "gru"] {
        let varmap = VarMap::new();
        let train = pair(cell, [hidden; 2], VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu))?;
        let fixed = varmap
            .data()
            .lock()
            .unwrap()
            .iter()
            .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
            .collect();
        let forward = pair(cell, [hidden; 2], VarBuilder::from_tensors(fixed, DType::F32, &Device::Cpu))?;
        for (mode, runs) in [("forward", &forward), ("training", &train)] {
            let call = |run: &Run| {
                let y = run(&x)?;
                if mode == "training" {
                    let gradients = y.sqr()?.sum_all()?.backward()?;
                    assert!(varmap.all_vars().iter().all(|var| gradients.get(var).is_some()));
                }
                Ok(())
            };
            let difference = (runs[0](&x)? - runs[1](&x)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference < 1e-4, "the two layers differ by {difference}");
            let mut times = [Vec::new(), Vec::new()];
            for pair in 0..=pairs {
                for turn in 0..2 {
                    let which = (turn + pair) % 2;
                    times[which].push(milliseconds(|| call(&runs[which]))?);
                }
            }
            // (The first pair warms up.)
            let [candle, own] = times.map(|times| times[1..].to_vec());
            let ratios: Vec<f64> = candle.iter().zip(&own).map(|(candle, own)| candle / own).collect();
            let (low, high) = ratios.iter().fold((f64::MAX, 0.0f64), |(l, h), &r| (l.min(r), h.max(r)));
            println!(
                "{cell:4} {mode:8}   {:5.2} ({low:.2} to {high:.2})     {:.1} ms, {:.1} ms",
                median(ratios),
                median(own),
                median(candle),
            );
        }
    }
    Ok(())
}
