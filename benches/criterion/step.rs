//! `step`, one after another on one state, over streams of real models: what a real-time thread calls.
//!
//! Throughput is in flops. Eight steps are checked against the reference before one is timed. Baselines: the
//! other levels of this machine, the unfused route, and the naive reference, which starts from a zero state
//! each time.

#[path = "../common/mod.rs"]
mod common;

use common::unfused::Unfused;
use common::{Mode, Network, Shape, check, harness, models};
use fused_rnn::Level;

/// The shape with as many steps as are checked.
const CHECKED: usize = 8;

fn main() {
    let mut criterion = harness::criterion();
    for model in models::STREAMS {
        let shape = model.shape();
        let flops = Mode::Step.flops(&shape);
        let mut group = harness::group(&mut criterion, format!("step/{} ({shape})", model.name), flops);
        let checked = Shape { steps: CHECKED, ..shape.clone() };
        for (name, level, threads) in harness::ways(flops).into_iter().filter(|way| way.2 == 1) {
            let make = || {
                let mut network = Network::new(&checked, level, threads).expect("a network");
                check::steps(&mut network);
                network
            };
            harness::measure(&mut group, &name, make, |network| network.step(0).expect("step"));
        }
        let network = || Network::new(&checked, Level::best(), 1).expect("a network");
        if Unfused::can(&network()) {
            let make = || {
                let network = network();
                let mut unfused = Unfused::of(&network);
                unfused.run(&network.x);
                check::outputs(&checked, &network.layer, &network.x, &unfused.y);
                let frame = network.x[..shape.batch * shape.input].to_vec();
                (unfused, frame)
            };
            harness::measure(&mut group, "unfused, 1 thread", make, |(unfused, frame)| unfused.run(frame));
        }
        let make = || Network::new(&shape, Level::best(), 1).expect("a network");
        harness::measure(&mut group, "naive reference", make, |network| {
            std::hint::black_box(check::naive_forward(network));
        });
        group.finish();
    }
    criterion.final_summary();
}
