//! Bytes as an `.npz` file: tensors of no more than a multiple of its bytes, or an error.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::format::Tensors;

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    if let Ok(file) = Tensors::from_npz(bytes, "") {
        // DEFLATE makes at most 1032 bytes of one.
        fused_rnn_fuzz::check_tensors(bytes, &file, 1032);
    }
});
