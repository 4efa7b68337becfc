//! What audio threads call, under RealtimeSanitizer, which ends a program that allocates, locks or waits where it
//! has promised not to: `bash tests/sanitize.sh realtime`. (`realtime.c` counts the same calls by itself, with
//! any compiler.)

#![cfg(realtime_sanitizer)]

use fused_rnn_c::*;
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;

unsafe extern "C" {
    /// Of the sanitizer: what comes until `exit`, on this thread, must be real-time.
    fn __rtsan_realtime_enter();
    fn __rtsan_realtime_exit();
}

/// Runs something that must be real-time.
fn realtime(call: impl FnOnce()) {
    // SAFETY: a pair around the call, on one thread.
    unsafe { __rtsan_realtime_enter() };
    call();
    // SAFETY: as above.
    unsafe { __rtsan_realtime_exit() };
}

fn check(code: Code) {
    assert_eq!(code, Code::Ok);
}

/// Streams of a model at a ratio of rates: blocks of several sizes, both layouts, states, resets.
///
/// # Safety
/// - The model lives.
unsafe fn run(model: *const Model, rows: usize, ratio: f64) {
    let mut stream = null_mut();
    // SAFETY: live handles here and below, and arrays of the numbers that are passed.
    let (inputs, outputs) = unsafe {
        check(frnn_stream_create(model, rows, ratio, &mut stream));
        (frnn_model_inputs(model), frnn_model_outputs(model))
    };
    let x: Vec<f32> = (0..1000 * rows * inputs).map(|k| (k % 17) as f32 / 17.0).collect();
    let mut y = vec![0.0; 1000 * rows * outputs];
    let mut planes = vec![vec![0.0f32; 1000]; rows * outputs];
    let from: Vec<*const f32> = (0..rows * inputs).map(|n| x[n * 1000..].as_ptr()).collect();
    let to: Vec<*mut f32> = planes.iter_mut().map(|plane| plane.as_mut_ptr()).collect();
    // SAFETY: as above.
    let mut state = vec![0.0; unsafe { frnn_stream_state_count(stream) }];
    realtime(|| {
        for block in [64, 1, 1000, 63, 65, 2, 128, 1, 1] {
            // SAFETY: as above.
            unsafe {
                check(frnn_stream_process(stream, x.as_ptr(), y.as_mut_ptr(), block));
                check(frnn_stream_process_planar(stream, from.as_ptr(), to.as_ptr(), block));
            }
        }
        // SAFETY: as above.
        unsafe {
            check(frnn_stream_get_state(stream, state.as_mut_ptr(), state.len()));
            check(frnn_stream_set_state(stream, state.as_ptr(), state.len()));
            check(frnn_stream_settle(stream, 100));
            check(frnn_stream_reset(stream));
        }
    });
    // SAFETY: used no more.
    unsafe { frnn_stream_destroy(stream) };
}

#[test]
fn streams_of_all_models_are_real_time() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/audio");
    let mut models = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if !file.extension().is_some_and(|ending| ending == "json" || ending == "nam") {
            continue;
        }
        let (bytes, mut model) = (std::fs::read(&file).unwrap(), null_mut());
        // SAFETY: live handles, and bytes of their number.
        unsafe {
            if frnn_model_load(bytes.as_ptr(), bytes.len(), &mut model) != Code::Ok {
                continue;
            }
            for (rows, ratio) in [(1, 1.0), (2, 1.0), (1, 2.0), (2, 1.5)] {
                run(model, rows, ratio);
            }
            frnn_model_destroy(model);
        }
        models += 1;
    }
    assert!(models >= 4, "{models} models");
}

/// The sanitizer is there, and sees an allocation: in a program of its own, since it ends that.
#[test]
fn an_allocation_ends_the_program() {
    const CHILD: &str = "REALTIME_SANITIZER_CHILD";
    if std::env::var_os(CHILD).is_some() {
        realtime(|| drop(std::hint::black_box(vec![1u8; 100])));
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let ended = child.args(["--exact", "an_allocation_ends_the_program"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("RealtimeSanitizer"), "{said}");
}
