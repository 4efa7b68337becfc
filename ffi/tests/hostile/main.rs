//! What a C program can pass that it should not: results and texts, and nothing written.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;
mod dropped;
mod files;
mod lengths;
mod null_pointers;
mod numbers;

use fused_rnn_c::*;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

struct Handles {
    builder: *mut Builder,
    network: *mut Network,
    pass: *mut Pass,
    model: *mut Model,
    stream: *mut Stream,
}

/// A GRU of 4 units over 2 features, 3 rows of 5 steps, and a stream of 2 rows.
fn handles() -> Handles {
    let mut h = Handles {
        builder: null_mut(),
        network: null_mut(),
        pass: null_mut(),
        model: null_mut(),
        stream: null_mut(),
    };
    works!(frnn_builder_create(2, 2, 4, &mut h.builder));
    works!(frnn_builder_build(h.builder, &mut h.network));
    works!(frnn_pass_create(h.network, 3, 5, &mut h.pass));
    works!(frnn_model_create(2, &mut h.model));
    works!(frnn_model_add_network(h.model, h.network));
    works!(frnn_stream_create(h.model, 2, 1.0, &mut h.stream));
    h
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: each was made and is used no more.
        unsafe {
            frnn_builder_destroy(self.builder);
            frnn_network_destroy(self.network);
            frnn_pass_destroy(self.pass);
            frnn_model_destroy(self.model);
            frnn_stream_destroy(self.stream);
        }
    }
}

#[test]
fn results_have_texts() {
    let text = |at: *const c_char| {
        // SAFETY: a text that ends with a zero.
        unsafe { CStr::from_ptr(at) }.to_str().unwrap()
    };
    let texts: std::collections::BTreeSet<_> = (0..=10).map(|code| text(frnn_result_text(code))).collect();
    assert_eq!(texts.len(), 11);
    assert_eq!(text(frnn_version()), env!("CARGO_PKG_VERSION"));
    assert_eq!(frnn_abi_version(), FRNN_ABI_VERSION);
    // Another thread has failures of its own.
    fails!(Code::Pointer, "model", frnn_model_set_skip(null_mut(), 1));
    std::thread::spawn(move || assert_eq!(text(frnn_last_error()), "no error")).join().unwrap();
    assert!(text(frnn_last_error()).contains("model"));
}

#[test]
fn a_change_that_fails_leaves_a_shared_network_to_its_passes() {
    // The model has the same network, so that a change makes a copy.
    let h = handles();
    let (x, mut y) = ([0.5; 30], [0.0; 60]);
    works!(frnn_pass_forward_train(h.pass, h.network, x.as_ptr(), 30, y.as_mut_ptr(), 60, 0));
    fails!(Code::Name, "no parameter", {
        frnn_network_set_parameter(h.network, c"none".as_ptr(), x.as_ptr(), 1)
    });
    fails!(Code::Unsupported, "scales", {
        frnn_network_set_scales(h.network, c"weight_ih_l0".as_ptr(), x.as_ptr(), 1)
    });
    let file = br#"{"weight_ih_l0": [[1.0]]}"#;
    fails!(Code::Format, "expected", {
        frnn_network_set_parameters_of_file(h.network, file.as_ptr(), file.len(), c"".as_ptr())
    });
    let mut dx = [0.0; 30];
    works!(frnn_pass_backward(
        h.pass,
        h.network,
        x.as_ptr(),
        30,
        y.as_ptr(),
        60,
        null_mut(),
        0,
        0,
        dx.as_mut_ptr(),
        30
    ));
}
