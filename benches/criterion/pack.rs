//! `update` with a change that changes nothing: packing the parameters for the kernels, as after each step of
//! an optimiser; and the same for a network that has been trained, which packs the transposed weights too.
//!
//! Throughput is in weights.

#[path = "../common/mod.rs"]
mod common;

use common::{Network, check, harness, models};
use fused_rnn::Level;

fn main() {
    let mut criterion = harness::criterion();
    for model in models::SEQUENCES {
        let shape = model.shape();
        let weights = (shape.weight_bytes() / 4) as f64;
        let mut group = harness::group(&mut criterion, format!("pack/{} ({shape})", model.name), weights);
        for level in Level::available() {
            let make = || {
                let mut network = Network::new(&shape, level, 1).expect("a network");
                network.layer.update(|_| ());
                check::forward(&mut network);
                network
            };
            harness::measure(&mut group, &format!("{level}, forward"), make, |network| {
                network.layer.update(|_| ())
            });
        }
        for threads in [1, 2] {
            let make = || {
                check::train(&shape, Level::best(), threads);
                let mut small = shape.clone();
                (small.batch, small.steps) = (1, 1);
                let mut network = Network::new(&small, Level::best(), threads).expect("a network");
                network.train().expect("train");
                network
            };
            let name = format!("{}, forward and backward, {threads} threads", Level::best());
            harness::measure(&mut group, &name, make, |network| network.layer.update(|_| ()));
        }
        group.finish();
    }
    criterion.final_summary();
}
