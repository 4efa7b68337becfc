//! Refused memory is a result: whichever allocation of two kilobytes or more is refused, the call returns
//! FRNN_RESULT_MEMORY, and works when it is made again. (Some smaller allocations end the program, and so do
//! those of files that are read or written.)

#[macro_use]
mod common;
#[path = "../../tests/common/refusing.rs"]
mod refusing;

use fused_rnn_c::*;
use refusing::refusing_after;
use std::ptr::{null, null_mut};

/// Calls with the first allocation refused, then with the second, until there are no more.
fn refuse_each(what: &str, mut call: impl FnMut() -> Code) {
    for count in 0.. {
        let (code, refused) = refusing_after(count, &mut call);
        if !refused {
            assert_eq!(code, Code::Ok, "{what}: {}", common::last_error());
            assert!(count > 0, "{what}: nothing was refused");
            return;
        }
        assert_eq!(code, Code::Memory, "{what}, allocation {count}: {}", common::last_error());
    }
}

#[test]
fn every_allocation_of_a_call_may_be_refused() {
    const BATCH: usize = 300;
    let (mut builder, mut network, mut pass) = (null_mut(), null_mut(), null_mut());
    works!(frnn_builder_create(1, 20, 30, &mut builder));
    works!(frnn_builder_set_layers(builder, 2));
    works!(frnn_builder_set_threads(builder, 1));
    // SAFETY: live handles and arrays of the numbers that are passed; what was made is freed once.
    unsafe {
        refuse_each("build", || frnn_builder_build(builder, &mut network));
        let mut copy = null_mut();
        refuse_each("clone", || frnn_network_clone(network, &mut copy));
        frnn_network_destroy(copy);
        for precision in 0..4 {
            refuse_each("in_precision", || frnn_network_in_precision(network, precision, &mut copy));
            frnn_network_destroy(copy);
        }
        let count = frnn_network_parameter_count(network);
        let mut parameters = vec![0.0; count];
        works!(frnn_network_get_parameters(network, parameters.as_mut_ptr(), count));

        refuse_each("pass", || frnn_pass_create(network, BATCH, 4, &mut pass));
        let lengths = [3; BATCH];
        refuse_each("lengths", || frnn_pass_set_lengths(pass, lengths.as_ptr(), BATCH));
        let flags = [1u8; 2 * 4 * BATCH];
        works!(frnn_pass_set_steps(pass, 8));
        refuse_each("mask", || {
            frnn_pass_set_mask_and_resets(pass, flags.as_ptr(), flags.as_ptr(), 8 * BATCH)
        });
        works!(frnn_pass_set_mask_and_resets(pass, null(), null(), 0));
        let state = vec![0.5; 2 * BATCH * 30];
        refuse_each("final gradients", || {
            let (at, count) = (state.as_ptr(), state.len());
            frnn_pass_set_final_gradients(pass, at, count, at, count)
        });
        let (x, mut y) = (vec![0.5; BATCH * 8 * 20], vec![0.0; BATCH * 8 * 30]);
        let (to, len) = (y.as_mut_ptr(), y.len());
        refuse_each("forward", || frnn_pass_forward(pass, network, x.as_ptr(), x.len(), to, len));
        refuse_each("training", || frnn_pass_forward_train(pass, network, x.as_ptr(), x.len(), to, len, 1));
        let mut gradients = vec![0.0; count];
        refuse_each("backward", || {
            let (g, dx) = (gradients.as_mut_ptr(), null_mut());
            frnn_pass_backward(pass, network, x.as_ptr(), x.len(), to, len, g, count, 0, dx, 0)
        });

        // A model shares the network, which is then copied before it changes.
        let mut model = null_mut();
        works!(frnn_model_create(20, &mut model));
        works!(frnn_model_add_network(model, network));
        refuse_each("parameters", || frnn_network_set_parameters(network, parameters.as_ptr(), count));
        for precision in 0..4 {
            let mut copy = null_mut();
            refuse_each("model in_precision", || frnn_model_in_precision(model, precision, &mut copy));
            frnn_model_destroy(copy);
        }
        refuse_each("dense", || frnn_model_add_dense(model, 40, x.as_ptr(), 30 * 40, null(), 0));
        let mut stream = null_mut();
        refuse_each("stream", || frnn_stream_create(model, 9, 1.5, &mut stream));
        frnn_stream_destroy(stream);
        frnn_model_destroy(model);
        frnn_pass_destroy(pass);
        frnn_network_destroy(network);
        frnn_builder_destroy(builder);
    }
}
