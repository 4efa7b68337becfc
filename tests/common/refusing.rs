//! The system's allocator, which refuses one allocation of those that a thread asks for. A test program that
//! has this module runs on it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Refusing;

/// The least size of an allocation that may be refused, in bytes. (Some smaller ones abort the program.)
const LEAST: usize = 2048;

thread_local! {
    /// How many allocations are granted before one is refused; none is where there is no number.
    static GRANTED: Cell<Option<usize>> = const { Cell::new(None) };
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: everything is passed on to the system's allocator, or refused; counting allocates nothing.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LEAST
            && let Some(granted) = GRANTED.get()
        {
            if granted == 0 {
                GRANTED.set(None);
                REFUSED.set(true);
                return std::ptr::null_mut();
            }
            GRANTED.set(Some(granted - 1));
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// The result of a call if this thread's next allocation after `granted` ones is refused, and whether the
/// call got that far.
pub fn refusing_after<T>(granted: usize, call: impl FnOnce() -> T) -> (T, bool) {
    GRANTED.set(Some(granted));
    let result = call();
    GRANTED.set(None);
    (result, REFUSED.replace(false))
}
