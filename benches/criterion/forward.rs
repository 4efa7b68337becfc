//! `forward` over sequences of real models, with what fusing, vectors and threads each bring: the best level
//! of this machine on one thread and on all, the other levels, the unfused route, and the naive reference.
//!
//! ```text
//! cargo bench --bench forward                      all
//! cargo bench --bench forward -- ptb               those with ptb in their names
//! ```
//!
//! Throughput is in flops, `2 G H (I + H) B T` for each layer and direction. Results are checked before they
//! are timed.

#[path = "../common/mod.rs"]
mod common;

use common::harness::{self, BASELINE_FLOPS, NAIVE_FLOPS};
use common::unfused::Unfused;
use common::{Mode, Network, check, models};
use fused_rnn::Level;

fn main() {
    let mut criterion = harness::criterion();
    for model in models::SEQUENCES {
        let shape = model.shape();
        let flops = Mode::Forward.flops(&shape);
        let mut group = harness::group(&mut criterion, format!("forward/{} ({shape})", model.name), flops);
        for (name, level, threads) in harness::ways(flops) {
            let make = || {
                let mut network = Network::new(&shape, level, threads).expect("a network");
                check::forward(&mut network);
                network
            };
            harness::measure(&mut group, &name, make, |network| network.forward().expect("forward"));
        }
        let network = || Network::new(&shape, Level::best(), 1).expect("a network");
        if flops <= BASELINE_FLOPS && Unfused::can(&network()) {
            let make = || {
                let network = network();
                let mut unfused = Unfused::of(&network);
                unfused.run(&network.x);
                check::outputs(&shape, &network.layer, &network.x, &unfused.y);
                (unfused, network.x)
            };
            harness::measure(&mut group, "unfused, 1 thread", make, |(unfused, x)| {
                unfused.reset();
                unfused.run(x);
            });
        }
        if flops <= NAIVE_FLOPS {
            harness::measure(&mut group, "naive reference", network, |network| {
                std::hint::black_box(check::naive_forward(network));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
