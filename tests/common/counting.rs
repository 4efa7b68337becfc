//! The system's allocator, counting what a thread asks of it, and the bytes that this thread and all threads
//! hold. A test program that has this module runs on it.

#![allow(dead_code, reason = "each test program uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static HELD_HERE: Cell<isize> = const { Cell::new(0) };
}

fn held(bytes: isize) {
    HELD_HERE.set(HELD_HERE.get() + bytes);
    HELD.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        held(layout.size() as isize);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        held(-(layout.size() as isize));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during `work`.
pub fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

/// The bytes that this thread has asked for and not given back.
pub fn held_by_this_thread() -> isize {
    HELD_HERE.get()
}

/// The bytes that all threads have asked for and not given back.
pub fn held_by_all_threads() -> isize {
    HELD.load(Ordering::Relaxed)
}
