//! Bytes as a file of `torch.save`: tensors of no more than a multiple of its bytes, or an error.

#![cfg_attr(fuzzing, no_main)]

use fused_rnn::format::Tensors;

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    if let Ok(file) = Tensors::from_torch(bytes, "") {
        fused_rnn_fuzz::check_tensors(bytes, &file, 16);
    }
    _ = Tensors::from_torch(bytes, "rnn.");
    _ = Tensors::read(bytes, "");
});
