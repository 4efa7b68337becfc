//! Lengths that do not fit, arrays that overlap, and that a call that fails has written nothing.

use crate::handles;
use fused_rnn_c::*;
use std::ptr::{null, null_mut};

#[test]
fn what_fails_has_written_nothing() {
    let h = handles();
    // The last of the places is wrong: the others stay as they were.
    let (mut name, mut shape, mut rank) = (null(), null(), 7);
    let odd = (&raw mut rank).cast::<u8>().wrapping_add(1).cast::<usize>();
    fails!(Code::Pointer, "start: expected a multiple of", {
        frnn_network_tensor(h.network, 0, &mut name, &mut shape, &mut rank, odd)
    });
    assert!(name.is_null() && shape.is_null() && rank == 7);
    let mut bytes = [7u8; 4000];
    fails!(Code::Pointer, "size: expected a pointer, got NULL", {
        frnn_network_save(h.network, c"".as_ptr(), bytes.as_mut_ptr(), bytes.len(), null_mut())
    });
    let mut size = 7;
    fails!(Code::Pointer, "to: expected a pointer, got NULL", {
        frnn_network_save(h.network, c"".as_ptr(), null_mut(), 4000, &mut size)
    });
    assert!(bytes == [7; 4000] && size == 7);
    // A setter that was refused leaves what was set before.
    works!(frnn_pass_set_lengths(h.pass, [2, 2, 2].as_ptr(), 3));
    fails!(Code::Length, "lengths: expected 3 values, got 2", {
        frnn_pass_set_lengths(h.pass, [5, 5].as_ptr(), 2)
    });
    let (x, mut y) = ([0.5f32; 30], [7.0f32; 60]);
    works!(frnn_pass_forward(h.pass, h.network, x.as_ptr(), 30, y.as_mut_ptr(), 60));
    assert!(y[2 * 4..5 * 4].iter().all(|&y| y == 0.0), "padding");
    fails!(Code::Length, "dhn: expected 12 values, got 11", {
        frnn_pass_set_final_gradients(h.pass, x.as_ptr(), 11, null(), 0)
    });
    fails!(Code::Length, "dcn: expected 0 values, got 12", {
        frnn_pass_set_final_gradients(h.pass, null(), 0, x.as_ptr(), 12)
    });
}

#[test]
fn lengths_that_do_not_fit_are_results_and_nothing_is_written() {
    let h = handles();
    let (mut x, mut y) = ([0.5f32; 30], [7.0f32; 60]);
    fails!(Code::Length, "x: expected 30 values, got 29", {
        frnn_pass_forward(h.pass, h.network, x.as_ptr(), 29, y.as_mut_ptr(), 60)
    });
    fails!(Code::Length, "y: expected 60 values, got 59", {
        frnn_pass_forward(h.pass, h.network, x.as_ptr(), 30, y.as_mut_ptr(), 59)
    });
    fails!(
        Code::Length,
        "memory",
        frnn_pass_forward(h.pass, h.network, x.as_ptr(), usize::MAX, null_mut(), 0)
    );
    works!(frnn_pass_set_lengths(h.pass, [5, 6, 5].as_ptr(), 3));
    fails!(Code::Length, "length of row 1: expected at most 5 steps, got 6", {
        frnn_pass_forward(h.pass, h.network, x.as_ptr(), 30, y.as_mut_ptr(), 60)
    });
    works!(frnn_pass_set_lengths(h.pass, null(), 0));
    works!(frnn_pass_set_mask_and_resets(h.pass, [1u8; 14].as_ptr(), null(), 14));
    fails!(Code::Length, "mask: expected 15 values, got 14", {
        frnn_pass_forward(h.pass, h.network, x.as_ptr(), 30, y.as_mut_ptr(), 60)
    });
    works!(frnn_pass_set_mask_and_resets(h.pass, null(), null(), 0));
    fails!(
        Code::Length,
        "h: expected 12 values, got 11",
        frnn_pass_set_state(h.pass, x.as_ptr(), 11, null(), 0)
    );
    fails!(
        Code::Length,
        "c: expected 0 values, got 12",
        frnn_pass_set_state(h.pass, x.as_ptr(), 12, y.as_ptr(), 12)
    );
    let backward = |gradients: *mut f32, count| {
        // SAFETY: as many values as the numbers say.
        unsafe {
            frnn_pass_backward(
                h.pass,
                h.network,
                x.as_ptr(),
                30,
                null(),
                0,
                gradients,
                count,
                0,
                null_mut(),
                0,
            )
        }
    };
    let mut gradients = vec![7.0f32; 96];
    let at = gradients.as_mut_ptr();
    fails!(Code::Unsupported, "backward on an empty tape", backward(at, 96));
    works!(frnn_pass_forward_train(h.pass, h.network, x.as_ptr(), 30, null_mut(), 0, 1));
    fails!(Code::Length, "gradients.parameters: expected 96 values, got 95", backward(at, 95));
    fails!(Code::Length, "parameters: expected 96 values, got 95", {
        frnn_network_set_parameters(h.network, gradients.as_ptr(), 95)
    });
    works!(frnn_network_set_parameters(h.network, [0.1f32; 96].as_ptr(), 96));
    fails!(Code::Unsupported, "backward with other parameters", backward(at, 96));
    fails!(Code::Name, "no parameter is named", {
        frnn_network_set_parameter(h.network, c"weight".as_ptr(), gradients.as_ptr(), 1)
    });
    fails!(Code::Length, "state", frnn_stream_set_state(h.stream, x.as_ptr(), 3));
    fails!(Code::Length, "", frnn_stream_process(h.stream, x.as_ptr(), y.as_mut_ptr(), usize::MAX / 2));
    fails!(Code::Length, "weight: expected 8 values, got 7", {
        frnn_model_add_dense(h.model, 2, x.as_ptr(), 7, null(), 0)
    });
    fails!(Code::Length, "bias: expected 2 values, got 1", {
        frnn_model_add_dense(h.model, 2, x.as_ptr(), 8, x.as_ptr(), 1)
    });
    assert!(y == [7.0; 60] && gradients == [7.0; 96], "written by a call that failed");

    // What is written overlaps what is read.
    let at = x.as_mut_ptr();
    fails!(Code::Overlap, "x and y", frnn_pass_forward(h.pass, h.network, at, 30, at, 60));
    fails!(Code::Overlap, "x and y", frnn_stream_process(h.stream, at, at.wrapping_add(3), 2));
    let planar = |inputs: [*const f32; 4], outputs: [*mut f32; 8], frames| {
        // SAFETY: as many channels as the stream has, and live memory.
        unsafe { frnn_stream_process_planar(h.stream, inputs.as_ptr(), outputs.as_ptr(), frames) }
    };
    let channels = |at: *mut f32, apart: usize| [0, 1, 2, 3, 4, 5, 6, 7].map(|n| at.wrapping_add(apart * n));
    let inputs =
        channels(at, 3)[..4].try_into().map(|all: [*mut f32; 4]| all.map(|at| at.cast_const())).unwrap();
    fails!(Code::Overlap, "a channel of x and one of y", planar(inputs, channels(at.wrapping_add(1), 3), 3));
    fails!(Code::Overlap, "two channels of y", planar([x.as_ptr(); 4], [y.as_mut_ptr(); 8], 3));
    fails!(Code::Overlap, "h and c", frnn_pass_get_state(h.pass, at, 12, at.wrapping_add(1), 1));
    assert_eq!(x, [0.5; 30]);
    assert_eq!(y, [7.0; 60]);
    works!(planar([x.as_ptr(); 4], channels(y.as_mut_ptr(), 3), 3));
    works!(planar([null(); 4], [null_mut(); 8], 0));
    let odd = at.cast::<u8>().wrapping_add(2).cast::<f32>();
    fails!(Code::Pointer, "multiple of 4", frnn_stream_process(h.stream, odd, y.as_mut_ptr(), 1));
}

#[test]
fn a_state_is_one_of_those_of_the_cell() {
    let (h, mut values) = (handles(), [0.5f32; 12]);
    let expected = "name: expected one of h, got";
    for name in [c"c", c"n", c"", c"H"] {
        fails!(Code::Name, expected, frnn_pass_set_plane(h.pass, name.as_ptr(), values.as_ptr(), 12));
        fails!(Code::Name, expected, frnn_pass_get_plane(h.pass, name.as_ptr(), values.as_mut_ptr(), 12));
    }
    works!(frnn_pass_set_plane(h.pass, c"h".as_ptr(), values.as_ptr(), 12));
}

#[test]
fn checkpoints_are_for_the_next_tape() {
    let (h, x, dy) = (handles(), [0.5f32; 30], [1.0f32; 60]);
    // SAFETY: a live handle.
    let count = unsafe { frnn_network_parameter_count(h.network) };
    let forward = || {
        works!(frnn_pass_reset_state(h.pass));
        works!(frnn_pass_forward_train(h.pass, h.network, x.as_ptr(), 30, null_mut(), 0, 1));
    };
    let backward = || {
        let mut gradients = vec![0.0f32; count];
        let (x, dy, to) = (x.as_ptr(), dy.as_ptr(), gradients.as_mut_ptr());
        works!(frnn_pass_backward(h.pass, h.network, x, 30, dy, 60, to, count, 0, null_mut(), 0));
        gradients
    };
    // SAFETY: a live handle.
    let bytes = || unsafe { frnn_pass_bytes(h.pass) };
    forward();
    let (whole, expected) = (bytes(), backward());
    works!(frnn_pass_set_checkpoints(h.pass, 4));
    assert_eq!(backward(), expected);
    forward();
    assert_eq!(backward(), expected);
    works!(frnn_pass_set_checkpoints(h.pass, 0));
    forward();
    assert!(bytes() >= whole);
    assert_eq!(backward(), expected);
}
