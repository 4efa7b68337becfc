//! `backward` alone, on the tape of one `forward_train`: gradients of all parameters and of the input.
//!
//! Throughput is in flops, twice those of forward. Gradients are checked against the reference before they
//! are timed. The naive reference keeps its own record of each step, so that its backward cannot be had
//! without its forward: `train_step` has it.

#[path = "../common/mod.rs"]
mod common;

use common::{Mode, Network, check, harness, models};

fn main() {
    let mut criterion = harness::criterion();
    for model in models::SEQUENCES {
        let shape = model.shape();
        let flops = 2.0 * Mode::Forward.flops(&shape);
        let mut group = harness::group(&mut criterion, format!("backward/{} ({shape})", model.name), flops);
        for (name, level, threads) in harness::ways(flops) {
            let make = || {
                check::train(&shape, level, threads);
                let mut network = Network::new(&shape, level, threads).expect("a network");
                network.forward_train().expect("forward");
                network
            };
            harness::measure(&mut group, &name, make, |network| network.backward().expect("backward"));
        }
        group.finish();
    }
    criterion.final_summary();
}
