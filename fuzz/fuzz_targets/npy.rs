//! Bytes as an `.npy` file, read as the example `fit` reads it: an array whose sizes fit its values, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../examples/fit/npy.rs"]
#[allow(dead_code)]
mod npy;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = npy::read(bytes, |value| value as f32) {
        assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
    }
});
