//! Bytes as an `.npy` file, read as the example `fit` reads it: an array whose sizes fit its values, or an
//! error.

#![cfg_attr(fuzzing, no_main)]

#[path = "../../examples/fit/npy.rs"]
#[allow(dead_code)]
mod npy;

fused_rnn_fuzz::target!(|bytes: &[u8]| {
    if let Ok(array) = npy::read(bytes, |value| value as f32) {
        assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
    }
});
