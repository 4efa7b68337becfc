//! Networks that have dropped their parameters.

use crate::handles;
use fused_rnn_c::*;
use std::ffi::CStr;
use std::ptr::{null, null_mut};

/// What needs parameters is refused where they have been dropped, and all else has the bits of before.
#[test]
fn dropped_parameters_are_results() {
    for precision in [Precision::F32, Precision::Bf16Weights, Precision::Bf16, Precision::Int8] {
        let mut h = handles();
        let mut network = null_mut();
        works!(frnn_network_in_precision(h.network, precision as u32, &mut network));
        let (x, mut y, mut gradients) = ([0.25f32; 30], [0.0f32; 60], [7.0f32; 96]);
        let (count, at) = (gradients.len(), gradients.as_mut_ptr());
        // SAFETY: live handles, of every call here that is no macro.
        let (parameters, whole) =
            unsafe { (frnn_network_parameter_count(network), frnn_network_bytes(network)) };
        assert_eq!(parameters, count);
        works!(frnn_pass_forward(h.pass, network, x.as_ptr(), 30, y.as_mut_ptr(), 60));
        let trains = precision != Precision::Int8;
        if trains {
            works!(frnn_pass_forward_train(h.pass, network, x.as_ptr(), 30, null_mut(), 0, 0));
        }
        // A model and a clone keep theirs; the names of tensors stay where they are.
        let (mut model, mut clone, mut name) = (null_mut(), null_mut(), null());
        works!(frnn_model_create(2, &mut model));
        works!(frnn_model_add_network(model, network));
        works!(frnn_network_clone(network, &mut clone));
        works!(frnn_network_tensor(network, 1, &mut name, null_mut(), null_mut(), null_mut()));
        for _ in 0..2 {
            works!(frnn_network_drop_parameters(network));
        }
        // SAFETY: as before; the name lives as long as the network.
        unsafe {
            assert_eq!((frnn_network_has_parameters(network), frnn_network_has_parameters(clone)), (0, 1));
            assert_eq!((frnn_network_bytes(network), frnn_network_bytes(clone)), (whole - 4 * count, whole));
            assert_eq!((frnn_network_parameter_count(network), frnn_network_tensor_count(network)), (0, 0));
            assert_eq!(CStr::from_ptr(name), c"weight_hh_l0");
            assert_eq!(frnn_model_bytes(model), whole);
        }

        let said = "parameters of a network that has dropped them";
        let (first, mut other, mut size) = (c"weight_ih_l0".as_ptr(), null_mut(), 0);
        fails!(Code::Unsupported, said, frnn_network_get_parameters(network, at, count));
        fails!(Code::Unsupported, said, frnn_network_get_parameters(network, at, 0));
        fails!(Code::Unsupported, said, frnn_network_set_parameters(network, at, count));
        fails!(Code::Unsupported, said, frnn_network_set_parameter(network, first, at, 24));
        let of_scales = if trains { "another precision than Int8" } else { said };
        fails!(Code::Unsupported, of_scales, frnn_network_set_scales(network, first, [1.0].as_ptr(), 1));
        fails!(Code::Unsupported, said, frnn_network_in_precision(network, 0, &mut other));
        fails!(Code::Unsupported, said, frnn_network_save(network, c"".as_ptr(), null_mut(), 0, &mut size));
        fails!(Code::Unsupported, said, {
            frnn_network_save_rounded(network, c"".as_ptr(), null_mut(), 0, &mut size)
        });
        let file = br#"{"weight_ih_l0": [[0, 0]]}"#;
        fails!(Code::Unsupported, "dropped", {
            frnn_network_set_parameters_of_file(network, file.as_ptr(), file.len(), c"".as_ptr())
        });
        fails!(Code::Unsupported, said, {
            frnn_network_tensor(network, 0, null_mut(), null_mut(), null_mut(), null_mut())
        });
        if trains {
            // (The model shared the network, which is another since.)
            fails!(Code::Unsupported, "backward with other parameters", {
                frnn_pass_backward(h.pass, network, x.as_ptr(), 30, null(), 0, at, count, 0, null_mut(), 0)
            });
        }
        let unsupported = if trains { "dropped its parameters" } else { "training in Int8" };
        fails!(Code::Unsupported, unsupported, {
            frnn_pass_forward_train(h.pass, network, x.as_ptr(), 30, null_mut(), 0, 0)
        });
        assert!(other.is_null() && size == 0 && gradients.iter().all(|&gradient| gradient == 7.0));

        // A clone shares the packed weights.
        works!(frnn_network_clone(network, &mut other));
        for network in [network, other] {
            let mut again = [0.0f32; 60];
            works!(frnn_pass_reset_state(h.pass));
            works!(frnn_pass_forward(h.pass, network, x.as_ptr(), 30, again.as_mut_ptr(), 60));
            assert_eq!(again, y);
        }

        // The model shares its network with nobody any more, then with a stream.
        works!(frnn_model_drop_parameters(model));
        // SAFETY: a live handle.
        assert_eq!(unsafe { frnn_model_bytes(model) }, whole - 4 * count);
        // SAFETY: made, and used no more.
        unsafe { frnn_stream_destroy(std::mem::replace(&mut h.stream, null_mut())) };
        works!(frnn_stream_create(model, 3, 1.0, &mut h.stream));
        works!(frnn_model_drop_parameters(model));
        let mut frames = [0.0f32; 60];
        works!(frnn_stream_process(h.stream, x.as_ptr(), frames.as_mut_ptr(), 5));
        // (The pass is batch-first, the stream frame by frame; all inputs are alike.)
        assert_eq!(frames[12..16], y[4..8]);
        fails!(Code::Pointer, "network", frnn_network_drop_parameters(null_mut()));
        fails!(Code::Pointer, "model", frnn_model_drop_parameters(null_mut()));
        let mut converted = null_mut();
        let said = "parameters of a network that has dropped them";
        fails!(Code::Unsupported, said, frnn_model_in_precision(model, 0, &mut converted));
        fails!(Code::Range, "precision", frnn_model_in_precision(model, 4, &mut converted));
        fails!(Code::Pointer, "model", frnn_model_in_precision(null(), 0, &mut converted));
        fails!(Code::Pointer, "", frnn_model_in_precision(model, 0, null_mut()));
        assert!(converted.is_null());
        // SAFETY: NULL is allowed, and each was made and is used no more.
        unsafe {
            assert_eq!((frnn_network_has_parameters(null()), frnn_network_bytes(null())), (0, 0));
            assert_eq!(frnn_model_bytes(null()), 0);
            [network, clone, other].into_iter().for_each(|network| frnn_network_destroy(network));
            frnn_model_destroy(model);
        }
    }
}
