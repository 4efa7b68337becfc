//! Any number of threads, any schedule and any checkpoints give the bits of one thread that keeps everything.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Keep, Level, Schedule, Tape, Threads};
use fused_rnn_fuzz::common::{Data, run, run_with_tape};
use fused_rnn_fuzz::{Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, u8, u8, Option<u8>)| {
    let (Shape(case), threads, schedule, every) = input;
    let data = Data::of(&case);
    let level = Level::best();
    let schedules = [Schedule::Auto, Schedule::Rows, Schedule::Units, Schedule::Layers];
    let (threads, schedule) =
        (Threads::Count(usize::from(threads % 9)), schedules[usize::from(schedule) % 4]);
    let layer = case.layer(|builder| builder.level(level).threads(threads).schedule(schedule));
    let keep = every.map_or(Keep::All, |every| Keep::Every(usize::from(every)));
    let got = run_with_tape(&layer, &case, &data, &mut Tape::keeping(keep));
    let want = run(&case, &data, level, 1);
    for ((name, a), (_, b)) in got.tensors().into_iter().zip(want.tensors()) {
        assert!(same_bits(a, b), "{name}");
    }
});
