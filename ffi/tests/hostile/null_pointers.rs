//! NULL where a handle or an array belongs.

use crate::handles;
use fused_rnn_c::*;
use std::ptr::{null, null_mut};

#[test]
fn null_handles_are_results_or_zeros() {
    let h = handles();
    let mut x = [0.0f32; 30];
    let at = x.as_mut_ptr();
    fails!(
        Code::Pointer,
        "new handle: expected a pointer, got NULL",
        frnn_builder_create(1, 1, 1, null_mut())
    );
    fails!(Code::Pointer, "builder", frnn_builder_set_layers(null_mut(), 2));
    fails!(Code::Pointer, "builder", frnn_builder_build(null(), &mut { h.network }));
    fails!(Code::Pointer, "activations", frnn_builder_set_activations(h.builder, null(), 1));
    fails!(Code::Pointer, "level", frnn_builder_set_level(h.builder, null()));
    fails!(Code::Pointer, "network", frnn_network_in_precision(null(), 1, &mut { h.network }));
    fails!(Code::Pointer, "network", frnn_network_set_scales(null_mut(), c"weight_ih_l0".as_ptr(), at, 1));
    fails!(Code::Pointer, "y", frnn_pass_forward(h.pass, h.network, at, 30, null_mut(), 60));
    fails!(Code::Pointer, "lengths", frnn_pass_set_lengths(h.pass, null(), 3));
    fails!(Code::Pointer, "dhn", frnn_pass_set_final_gradients(h.pass, null(), 12, null(), 0));
    fails!(Code::Pointer, "bias", frnn_model_add_dense(h.model, 1, at, 4, null(), 1));
    fails!(Code::Pointer, "bytes", frnn_model_add_dense_of_file(h.model, null(), 3, c"".as_ptr()));
    fails!(Code::Pointer, "prefix", frnn_model_add_dense_of_file(h.model, [0u8].as_ptr(), 1, null()));
    fails!(Code::Pointer, "network", frnn_network_clone(null(), &mut { h.network }));
    fails!(Code::Pointer, "network", frnn_network_get_parameters(null(), at, 1));
    fails!(Code::Pointer, "to", frnn_network_get_parameters(h.network, null_mut(), 1));
    fails!(Code::Pointer, "from", frnn_network_set_parameters(h.network, null(), 1));
    fails!(Code::Pointer, "name", frnn_network_set_parameter(h.network, null(), at, 1));
    fails!(Code::Pointer, "network", frnn_pass_create(null(), 1, 1, &mut { h.pass }));
    fails!(Code::Pointer, "pass", frnn_pass_forward(null_mut(), h.network, at, 30, null_mut(), 0));
    fails!(Code::Pointer, "network", frnn_pass_forward(h.pass, null(), at, 30, null_mut(), 0));
    fails!(Code::Pointer, "x", frnn_pass_forward(h.pass, h.network, null(), 30, null_mut(), 0));
    fails!(Code::Pointer, "pass", frnn_pass_reset_state(null_mut()));
    fails!(Code::Pointer, "model", frnn_model_set_skip(null_mut(), 1));
    fails!(Code::Pointer, "network", frnn_model_add_network(h.model, null()));
    fails!(Code::Pointer, "weight", frnn_model_add_dense(h.model, 1, null(), 4, null(), 0));
    fails!(Code::Pointer, "bytes", frnn_model_load(null(), 3, &mut { h.model }));
    fails!(Code::Pointer, "bytes", frnn_network_load_onnx(null(), 3, 0, &mut { h.network }));
    fails!(Code::Pointer, "prefix", frnn_network_load([0u8].as_ptr(), 1, null(), 0, &mut { h.network }));
    fails!(Code::Pointer, "bytes", {
        frnn_network_load_in_precision(null(), 3, c"".as_ptr(), 0, 3, &mut { h.network })
    });
    fails!(Code::Pointer, "model", frnn_stream_create(null(), 1, 1.0, &mut { h.stream }));
    fails!(Code::Pointer, "stream", frnn_stream_process(null_mut(), at, at, 1));
    fails!(Code::Pointer, "x", frnn_stream_process(h.stream, null(), at, 1));
    fails!(Code::Pointer, "y", frnn_stream_process(h.stream, at, null_mut(), 1));
    fails!(Code::Pointer, "x", frnn_stream_process_planar(h.stream, null(), null(), 1));
    let (inputs, outputs) = ([null(); 4], [null_mut(); 8]);
    fails!(
        Code::Pointer,
        "a channel of x",
        frnn_stream_process_planar(h.stream, inputs.as_ptr(), outputs.as_ptr(), 1)
    );
    fails!(Code::Pointer, "stream", frnn_stream_reset(null_mut()));
    // SAFETY: NULL is allowed.
    unsafe {
        assert_eq!(frnn_network_input_size(null()), 0);
        assert_eq!(frnn_network_parameter_count(null()), 0);
        assert_eq!((frnn_network_cell(null()), frnn_network_precision(null())), (0, 0));
        assert_eq!(frnn_pass_bytes(null()), 0);
        assert_eq!((frnn_model_inputs(null()), frnn_model_sample_rate(null())), (0, 0.0));
        assert_eq!(frnn_stream_state_count(null()), 0);
        frnn_builder_destroy(null_mut());
        frnn_network_destroy(null_mut());
        frnn_pass_destroy(null_mut());
        frnn_model_destroy(null_mut());
        frnn_stream_destroy(null_mut());
    }
}
