//! A sequence cut anywhere, and taken step by step, gives the bits of the whole.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::{Dims, Direction, Layout, Level, Workspace};
use fused_rnn_fuzz::common::{Case, Data};
use fused_rnn_fuzz::{Drawn, Shape, same_bits};

fused_rnn_fuzz::target!(|input: (Shape, Vec<u8>, bool, Drawn)| {
    let (Shape(mut case), cuts, zoneout, Drawn(precision)) = input;
    case.options.zoneout = if zoneout { [0.4, 0.0] } else { [0.0; 2] };
    let case = Case { direction: Direction::Forward, ragged: false, layout: Layout::TimeMajor, ..case };
    let data = Data::of(&case);
    let layer = case.layer(|builder| builder.level(Level::best()).precision(precision));
    let (batch, steps) = (case.batch, case.steps);
    let mut workspace = Workspace::new();
    let begin = || {
        let mut state = layer.zero_state(batch).unwrap();
        state.set_h(&data.h0).unwrap();
        state.set_c(&data.c0).unwrap();
        state
    };
    let (x_step, y_step) = (batch * case.input, batch * case.outputs());
    let mut whole = vec![f32::NAN; steps * y_step];
    let mut end = begin();
    layer.forward(&data.x, Dims::new(batch, steps), &mut end, Some(&mut whole), &mut workspace).unwrap();

    let (mut state, mut y, mut time) = (begin(), vec![f32::NAN; steps * y_step], 0);
    let mut cuts = cuts.into_iter();
    while time < steps {
        let piece = usize::from(cuts.next().unwrap_or(1)).min(steps - time);
        let to = &mut y[time * y_step..(time + piece) * y_step];
        let x = &data.x[time * x_step..(time + piece) * x_step];
        if piece == 1 {
            layer.step(x, &mut state, Some(to), &mut workspace).unwrap();
        } else {
            // A piece of no steps changes nothing; the next cut must move on.
            layer.forward(x, Dims::new(batch, piece), &mut state, Some(to), &mut workspace).unwrap();
        }
        time += piece;
    }
    assert!(same_bits(&y, &whole));
    assert!(same_bits(&state.h(), &end.h()) && same_bits(&state.c(), &end.c()));
});
