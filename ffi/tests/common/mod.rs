//! Calls of C functions in tests, and what they say.

/// The text of the last failure of this thread.
#[allow(dead_code, reason = "each file of tests uses some of these")]
pub fn last_error() -> String {
    // SAFETY: a text that ends with a zero.
    unsafe { std::ffi::CStr::from_ptr(fused_rnn_c::frnn_last_error()) }.to_str().unwrap().to_owned()
}

/// A call that must fail with this result, and whose text has this part.
#[allow(unused_macros, reason = "the same")]
macro_rules! fails {
    ($code:expr, $part:expr, $call:expr) => {{
        // SAFETY: hostile, but what the functions promise to refuse.
        #[allow(unused_unsafe, reason = "some calls are closures")]
        let got = unsafe { $call };
        let text = crate::common::last_error();
        assert_eq!(got, $code, "{}: {text}", stringify!($call));
        assert!(text.contains($part), "{}: {text}", stringify!($call));
    }};
}

/// A call that must succeed.
macro_rules! works {
    ($call:expr) => {{
        // SAFETY: live handles and arrays of the numbers that are passed.
        #[allow(unused_unsafe, reason = "some calls are closures")]
        let got = unsafe { $call };
        assert_eq!(got, Code::Ok, "{}: {}", stringify!($call), crate::common::last_error());
    }};
}
