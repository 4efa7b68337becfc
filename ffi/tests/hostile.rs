//! What a C program can pass that it should not: results and texts, and nothing written.

#[macro_use]
mod common;

use fused_rnn_c::*;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

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

#[test]
fn numbers_out_of_range_are_results() {
    let h = handles();
    let mut made: *mut Builder = h.builder;
    for cell in [0, 11, u32::MAX] {
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
fn files_that_are_none_are_results() {
    let (mut network, mut model) = (null_mut(), null_mut());
    let load = |bytes: &[u8], network: &mut *mut Network| {
        // SAFETY: the bytes of the slice.
        unsafe { frnn_network_load(bytes.as_ptr(), bytes.len(), c"".as_ptr(), 0, network) }
    };
    fails!(Code::Format, "an empty file", load(&[], &mut network));
    fails!(Code::Format, "expected a file of safetensors", load(b"hello", &mut network));
    fails!(Code::Format, "", load(b"{\"weight_ih_l0\": [1]}", &mut network));
    fails!(Code::Format, "", frnn_network_load_onnx(b"\x08\x0a".as_ptr(), 2, 0, &mut network));
    fails!(Code::Format, "only no field", frnn_model_load(b"{}".as_ptr(), 2, &mut model));
    assert!(network.is_null() && model.is_null());
    let h = handles();
    let prefix = CString::new("rnn.").unwrap();
    let (mut size, mut bytes) = (0, vec![7u8; 4000]);
    works!(frnn_network_save(h.network, prefix.as_ptr(), null_mut(), 0, &mut size));
    let needed = size;
    fails!(Code::Length, "to: expected room", {
        frnn_network_save(h.network, prefix.as_ptr(), bytes.as_mut_ptr(), needed - 1, &mut size)
    });
    assert!(bytes.iter().all(|&byte| byte == 7));
    works!(frnn_network_save(h.network, prefix.as_ptr(), bytes.as_mut_ptr(), bytes.len(), &mut size));
    works!(frnn_network_load(bytes.as_ptr(), size, prefix.as_ptr(), 2, &mut network));
    // SAFETY: it was just made.
    unsafe { frnn_network_destroy(network) };
    fails!(Code::Format, "names that begin with", {
        frnn_network_load(bytes.as_ptr(), size, c"other.".as_ptr(), 2, &mut network)
    });
    fails!(Code::Format, "cell: expected Lstm, got GruResetAfter, as the file says", {
        frnn_network_load(bytes.as_ptr(), size, prefix.as_ptr(), 1, &mut network)
    });
    // The same file into the network; into another one, which stays as it is.
    works!(frnn_network_set_parameters_of_file(h.network, bytes.as_ptr(), size, prefix.as_ptr()));
    let (mut builder, mut before, mut after) = (null_mut(), [0.0; 64], [7.0; 64]);
    works!(frnn_builder_create(2, 3, 2, &mut builder));
    works!(frnn_builder_build(builder, &mut network));
    // SAFETY: live handles; the builder is used no more.
    let count = unsafe {
        frnn_builder_destroy(builder);
        frnn_network_parameter_count(network)
    };
    works!(frnn_network_get_parameters(network, before.as_mut_ptr(), count));
    fails!(Code::Format, "expected a tensor of shape", {
        frnn_network_set_parameters_of_file(network, bytes.as_ptr(), size, prefix.as_ptr())
    });
    works!(frnn_network_get_parameters(network, after.as_mut_ptr(), count));
    assert_eq!(before[..count], after[..count]);
    // SAFETY: it is used no more.
    unsafe { frnn_network_destroy(network) };
    // A dense layer of a file.
    let head = br#"{"lin.weight": [[1, 2, 3, 4]], "lin.bias": [0.5], "rnn.weight": [[1]]}"#;
    works!(frnn_model_add_dense_of_file(h.model, head.as_ptr(), head.len(), c"lin.".as_ptr()));
    // SAFETY: a live handle.
    assert_eq!(unsafe { frnn_model_outputs(h.model) }, 1);
    fails!(Code::Length, "expected 1, got 4", {
        frnn_model_add_dense_of_file(h.model, head.as_ptr(), head.len(), c"lin.".as_ptr())
    });
    fails!(Code::Format, "names that begin with", {
        frnn_model_add_dense_of_file(h.model, head.as_ptr(), head.len(), c"head.".as_ptr())
    });
}

/// Files of every kind, given to every loader: whole, cut anywhere, with other bytes. None may panic, and
/// what loads must run.
#[test]
fn files_of_every_kind_are_results_of_every_loader() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    let mut files: Vec<Vec<u8>> =
        ["pt/lstm.pt", "onnx_cases/chain_gru_bidirectional/model.onnx", "onnx_cases/gru_taken_apart.onnx"]
            .iter()
            .map(|name| read(golden, name))
            .collect();
    for entry in std::fs::read_dir(format!("{golden}/audio")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "json" || kind == "nam") {
            files.push(std::fs::read(path).unwrap());
        }
    }
    let h = handles();
    let (mut size, mut bytes) = (0, vec![0u8; 4000]);
    works!(frnn_network_save(h.network, c"".as_ptr(), bytes.as_mut_ptr(), bytes.len(), &mut size));
    bytes.truncate(size);
    files.push(bytes);
    files.push(vec![b'['; 300_000]);
    files.push(b"{\"weight_ih_l0\":".repeat(30_000));
    let mut loaded = 0;
    for file in &files {
        loaded += usize::from(load_as_everything(file));
        let mut rng = fused_rnn::Rng::new(file.len() as u64);
        for _ in 0..40 {
            load_as_everything(&file[..rng.below(file.len())]);
            let mut other = file.clone();
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(other.len());
                other[at] = rng.bits() as u8;
            }
            load_as_everything(&other);
        }
    }
    assert!(loaded >= 8, "{loaded} files loaded");
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// Whether one of the loaders takes it; no result may be a fault.
fn load_as_everything(file: &[u8]) -> bool {
    let (at, size) = (file.as_ptr(), file.len());
    let (mut network, mut other, mut model, mut parts) = (null_mut(), null_mut(), null_mut(), null_mut());
    works!(frnn_model_create(1, &mut parts));
    // SAFETY: the bytes of the slice, live handles; what was made is used no more at the end.
    unsafe {
        let codes = [
            frnn_network_load(at, size, c"".as_ptr(), 0, &mut network),
            frnn_network_load_onnx(at, size, 0, &mut other),
            frnn_model_load(at, size, &mut model),
            frnn_model_add_dense_of_file(parts, at, size, c"lin.".as_ptr()),
        ];
        assert!(!codes.contains(&Code::Fault), "{}", common::last_error());
        for network in [network, other] {
            let mut pass = null_mut();
            if !network.is_null() && frnn_pass_create(network, 1, 2, &mut pass) == Code::Ok {
                let x = vec![0.5; 2 * frnn_network_input_size(network)];
                works!(frnn_pass_forward(pass, network, x.as_ptr(), x.len(), null_mut(), 0));
                frnn_pass_destroy(pass);
            }
            frnn_network_destroy(network);
        }
        let mut stream = null_mut();
        if !model.is_null() && frnn_stream_create(model, 1, 1.0, &mut stream) == Code::Ok {
            let x = vec![0.5; 3 * frnn_model_inputs(model)];
            let mut y = vec![0.0; 3 * frnn_model_outputs(model)];
            works!(frnn_stream_process(stream, x.as_ptr(), y.as_mut_ptr(), 3));
            frnn_stream_destroy(stream);
        }
        frnn_model_destroy(model);
        frnn_model_destroy(parts);
        codes.contains(&Code::Ok)
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
