//! Any number of threads, any schedule and any checkpoints give the bits of one thread that keeps everything.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Keep, Level, Schedule, Tape, Threads};
use fused_rnn_fuzz::common::{Data, run_layer, run_with_tape};
use fused_rnn_fuzz::{Drawn, Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, u8, u8, Option<u8>, Drawn)| {
    let (Shape(case), threads, schedule, every, drawn) = input;
    let precision = drawn.that_trains();
    let data = Data::of(&case);
    let level = Level::best();
    let schedules = [Schedule::Auto, Schedule::Rows, Schedule::Units, Schedule::Layers];
    let (threads, schedule) =
        (Threads::Count(usize::from(threads % 9)), schedules[usize::from(schedule) % 4]);
    let layer =
        case.layer(|builder| builder.level(level).precision(precision).threads(threads).schedule(schedule));
    let keep = every.map_or(Keep::All, |every| Keep::Every(usize::from(every)));
    let got = run_with_tape(&layer, &case, &data, &mut Tape::keeping(keep));
    let one = case.layer(|builder| builder.level(level).precision(precision).threads(Threads::Count(1)));
    let want = run_layer(&one, &case, &data);
    for ((name, a), (_, b)) in got.tensors().into_iter().zip(want.tensors()) {
        assert!(same_bits(a, b), "{name}");
    }
});
