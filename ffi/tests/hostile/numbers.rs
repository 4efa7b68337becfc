//! Numbers out of range, and values that are no numbers.

use crate::handles;
use fused_rnn::CellKind;
use fused_rnn_c::*;
use std::ptr::{null, null_mut};

#[test]
fn numbers_out_of_range_are_results() {
    let h = handles();
    let mut made: *mut Builder = h.builder;
    let after_the_last = 1 + CellKind::ALL.len() as u32;
    for cell in [0, after_the_last, u32::MAX] {
        fails!(Code::Range, "cell", frnn_builder_create(cell, 1, 1, &mut made));
        assert!(made.is_null(), "a handle of a call that failed");
    }
    fails!(Code::Range, "direction", frnn_builder_set_direction(h.builder, 3));
    fails!(Code::Range, "layout", frnn_builder_set_layout(h.builder, 2));
    fails!(Code::Range, "bias", frnn_builder_set_bias(h.builder, 3));
    fails!(Code::Range, "init", frnn_builder_set_init(h.builder, 3, 0));
    fails!(Code::Range, "precision", frnn_builder_set_precision(h.builder, 4));
    let mut copy = null_mut();
    fails!(Code::Range, "precision", frnn_network_in_precision(h.network, u32::MAX, &mut copy));
    assert!(copy.is_null());
    fails!(Code::Unsupported, "Int8", {
        frnn_network_set_scales(h.network, c"weight_ih_l0".as_ptr(), [1.0].as_ptr(), 1)
    });
    fails!(Code::Range, "activation", frnn_builder_set_activations(h.builder, [99].as_ptr(), 1));
    fails!(Code::Range, "activation", frnn_model_add_activation(h.model, 7));
    fails!(Code::Name, "avx2, avx512", frnn_builder_set_level(h.builder, c"mmx".as_ptr()));
    fails!(Code::Name, "UTF-8", frnn_builder_set_level(h.builder, c"\xFF".as_ptr()));
    // What the setters refused has changed nothing.
    let mut network = null_mut();
    works!(frnn_builder_build(h.builder, &mut network));
    // SAFETY: it was just made.
    unsafe { frnn_network_destroy(network) };
    for (layers, dropout, code) in
        [(0, 0.0, Code::Range), (1, 1.5, Code::Range), (1 << 60, 0.0, Code::Memory)]
    {
        works!(frnn_builder_set_layers(h.builder, layers));
        works!(frnn_builder_set_dropout(h.builder, dropout, 0.0, 0.0));
        fails!(code, "", frnn_builder_build(h.builder, &mut network));
        assert!(network.is_null());
    }
    works!(frnn_builder_set_layers(h.builder, 1));
    works!(frnn_builder_set_projection(h.builder, 2));
    fails!(Code::Unsupported, "projection", frnn_builder_build(h.builder, &mut network));
    let mut pass = null_mut();
    fails!(Code::Memory, "", frnn_pass_create(h.network, usize::MAX / 4, 5, &mut pass));
    let mut stream = null_mut();
    for (rows, ratio, code) in
        [(0, 1.0, Code::Range), (1, f64::NAN, Code::Range), (usize::MAX, 1.0, Code::Memory)]
    {
        fails!(code, "", frnn_stream_create(h.model, rows, ratio, &mut stream));
        assert!(stream.is_null());
    }
    let tensors = 4;
    // SAFETY: a live handle.
    assert_eq!(unsafe { frnn_network_tensor_count(h.network) }, tensors);
    fails!(
        Code::Range,
        "below 4",
        frnn_network_tensor(h.network, tensors, null_mut(), null_mut(), null_mut(), null_mut())
    );
    works!(frnn_network_tensor(h.network, 0, null_mut(), null_mut(), null_mut(), null_mut()));
    // A model has inputs, and layers that fit its skip connection whenever that was set.
    let mut model = h.model;
    fails!(Code::Range, "inputs of a model", frnn_model_create(0, &mut model));
    assert!(model.is_null());
    works!(frnn_model_create(2, &mut model));
    works!(frnn_model_set_skip(model, 1));
    works!(frnn_model_add_network(model, h.network));
    fails!(Code::Length, "expected 2, got 4", frnn_stream_create(model, 1, 1.0, &mut stream));
    fails!(Code::Length, "weight", frnn_model_add_dense(model, usize::MAX, [0.0; 4].as_ptr(), 4, null(), 0));
    fails!(Code::Range, "", frnn_model_add_dense(model, 0, null(), 0, null(), 0));
    works!(frnn_model_add_dense(model, 2, [0.5; 8].as_ptr(), 8, null(), 0));
    works!(frnn_stream_create(model, 1, 1.0, &mut stream));
    // SAFETY: they were just made.
    unsafe {
        frnn_stream_destroy(stream);
        frnn_model_destroy(model);
    }
}

#[test]
fn weights_and_states_that_are_no_numbers_stay_in_the_values() {
    for precision in 0..4 {
        let h = handles();
        let mut network = null_mut();
        works!(frnn_network_in_precision(h.network, precision, &mut network));
        for hostile in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45] {
            let mut pass = null_mut();
            works!(frnn_network_set_parameters(network, [hostile; 96].as_ptr(), 96));
            works!(frnn_pass_create(network, 3, 5, &mut pass));
            let (x, mut y) = ([hostile; 30], [0.0f32; 60]);
            works!(frnn_pass_set_state(pass, [hostile; 12].as_ptr(), 12, null(), 0));
            works!(frnn_pass_forward(pass, network, x.as_ptr(), 30, y.as_mut_ptr(), 60));
            if precision < 3 {
                let mut gradients = [0.0f32; 96];
                works!(frnn_pass_forward_train(pass, network, x.as_ptr(), 30, null_mut(), 0, 1));
                works!(frnn_pass_backward(
                    pass,
                    network,
                    x.as_ptr(),
                    30,
                    y.as_ptr(),
                    60,
                    gradients.as_mut_ptr(),
                    96,
                    0,
                    null_mut(),
                    0,
                ));
            }
            // SAFETY: it is used no more.
            unsafe { frnn_pass_destroy(pass) };
        }
        // SAFETY: it is used no more.
        unsafe { frnn_network_destroy(network) };
        let mut y = [0.0f32; 16];
        works!(frnn_stream_process(h.stream, [f32::NAN; 4].as_ptr(), y.as_mut_ptr(), 1));
        works!(frnn_stream_process(h.stream, [0.5; 8].as_ptr(), y.as_mut_ptr(), 2));
        assert!(y.iter().any(|y| y.is_nan()), "a NaN that is gone by itself");
        works!(frnn_stream_reset(h.stream));
        works!(frnn_stream_process(h.stream, [0.5; 8].as_ptr(), y.as_mut_ptr(), 2));
        assert!(y.iter().all(|y| y.is_finite()), "a NaN after a reset");
    }
}
