//! Large pages for large buffers, on systems that give them on request (`madvise`).
//!
//! A buffer of many megabytes is read from front to back at every step. In pages of 4 KiB a processor's
//! prefetcher begins anew at each of them, and its table of addresses is too small for all. On pages of 2
//! MiB a step of 1024 units takes a third less time, forward of 64 such rows a twelfth less (`Z4/pages` of
//! `benches/record/`). Many distributions of Linux give such pages only on request.
//!
//! The advice changes no value; where it is refused, nothing else happens.

/// Bytes of a large page; buffers of as many begin on one.
const PAGE: usize = 2 << 20;
/// Whether the system has them.
const ARE_THERE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The alignment of a buffer of this many bytes: a cache line, or a large page.
pub(super) const fn alignment(bytes: usize) -> usize {
    if ARE_THERE && bytes >= PAGE { PAGE } else { 64 }
}

/// Asks for large pages for a buffer, as far as it has whole ones.
///
/// # Safety
/// - The memory is the caller's alone, and has this many bytes at their [alignment].
pub(super) unsafe fn advise(start: *mut u8, bytes: usize) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if bytes >= PAGE {
        use std::ffi::{c_int, c_void};
        /// `MADV_HUGEPAGE` of `madvise(2)`, on every architecture.
        const HUGE_PAGE: c_int = 14;
        unsafe extern "C" {
            fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
        }
        // SAFETY: the caller's promise: whole pages of its memory. The advice leaves what they hold, and
        // who may use them, as it is; what it results in does not matter.
        unsafe { madvise(start.cast(), bytes / PAGE * PAGE, HUGE_PAGE) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (start, bytes);
}
