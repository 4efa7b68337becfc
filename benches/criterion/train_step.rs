//! `forward_train` and `backward` into all parameters and the input, over sequences of real models.
//!
//! Throughput is in flops, three times those of forward. Gradients are checked against the reference before
//! they are timed. Baselines: the other levels of this machine, and the naive reference at small shapes.

#[path = "../common/mod.rs"]
mod common;

use common::harness::{self, NAIVE_FLOPS};
use common::{Mode, Network, check, models};
use fused_rnn::Level;

fn main() {
    let mut criterion = harness::criterion();
    for model in models::SEQUENCES {
        let shape = model.shape();
        let flops = Mode::Train.flops(&shape);
        let mut group = harness::group(&mut criterion, format!("train_step/{} ({shape})", model.name), flops);
        for (name, level, threads) in harness::ways(flops) {
            let make = || {
                check::train(&shape, level, threads);
                Network::new(&shape, level, threads).expect("a network")
            };
            harness::measure(&mut group, &name, make, |network| network.train().expect("train"));
        }
        if flops <= 3.0 * NAIVE_FLOPS {
            let make = || Network::new(&shape, Level::best(), 1).expect("a network");
            harness::measure(&mut group, "naive reference", make, |network| {
                std::hint::black_box(check::naive_train(network));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
