//! Files that are none, and files of every kind given to every loader.

use crate::handles;
use fused_rnn_c::*;
use std::ffi::CString;
use std::ptr::{null, null_mut};

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
    fails!(Code::Format, "got no field", frnn_model_load(b"{}".as_ptr(), 2, &mut model));
    assert!(network.is_null() && model.is_null());
    let h = handles();
    let prefix = CString::new("rnn.").unwrap();
    let (mut size, mut bytes) = (0, vec![7u8; 4000]);
    works!(frnn_network_save(h.network, prefix.as_ptr(), null_mut(), 0, &mut size));
    let needed = size;
    fails!(Code::Length, "to: expected room", {
        frnn_network_save(h.network, prefix.as_ptr(), bytes.as_mut_ptr(), needed - 1, &mut size)
    });
    fails!(Code::Length, "to: expected room", {
        frnn_network_save_rounded(h.network, prefix.as_ptr(), bytes.as_mut_ptr(), 8, &mut size)
    });
    fails!(Code::Pointer, "", frnn_network_save_rounded(null(), prefix.as_ptr(), null_mut(), 0, &mut size));
    assert!(bytes.iter().all(|&byte| byte == 7));
    works!(frnn_network_save(h.network, prefix.as_ptr(), bytes.as_mut_ptr(), bytes.len(), &mut size));
    // What to do instead is said with the names of C.
    fails!(Code::Format, "a safetensors file: frnn_network_load reads it", {
        frnn_model_load(bytes.as_ptr(), size, &mut model)
    });
    works!(frnn_network_load(bytes.as_ptr(), size, prefix.as_ptr(), 2, &mut network));
    // SAFETY: it was just made.
    unsafe { frnn_network_destroy(network) };
    fails!(Code::Format, "names that begin with", {
        frnn_network_load(bytes.as_ptr(), size, c"other.".as_ptr(), 2, &mut network)
    });
    fails!(Code::Format, "cell: expected Lstm, got GruResetAfter, as the file says", {
        frnn_network_load(bytes.as_ptr(), size, prefix.as_ptr(), 1, &mut network)
    });
    for (kind, number, code, said) in [
        (2, 4, Code::Range, "precision: expected one of frnn_precision, got 4"),
        (1, 3, Code::Format, "cell: expected Lstm, got GruResetAfter, as the file says"),
    ] {
        fails!(code, said, {
            let (at, name) = (bytes.as_ptr(), prefix.as_ptr());
            frnn_network_load_in_precision(at, size, name, kind, number, &mut network)
        });
        assert!(network.is_null());
    }
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
        assert!(!codes.contains(&Code::Fault), "{}", crate::common::last_error());
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
