//! An allocator that keeps what a thread frees, for its next allocation of that size.
//!
//! The reference makes a vector of every intermediate result, and central differences run it once for each
//! number: half of their time went to the system's allocator.
//!
//! ```text
//! class n      blocks of 16 << n bytes; a free block begins with the address of the next one
//! larger       the system's
//! ```
//!
//! A program has it by `extern crate fused_rnn_tests_pool as _;`. (A library of its own, so that all of it is
//! optimised, with what the compiler makes of the attribute.)
#![allow(missing_docs, reason = "for the programs beside it alone")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

const CLASSES: usize = 9;
const ALIGNMENT: usize = 16;

thread_local! {
    /// The first free block of each class.
    static FREE: [Cell<*mut u8>; CLASSES] = const { [const { Cell::new(null_mut()) }; CLASSES] };
}

#[global_allocator]
static POOL: Pool = Pool;

struct Pool;

/// The class of blocks that such an allocation gets.
fn class_of(layout: Layout) -> Option<usize> {
    let class = layout.size().div_ceil(ALIGNMENT).max(1).next_power_of_two().trailing_zeros() as usize;
    (class < CLASSES && layout.align() <= ALIGNMENT).then_some(class)
}

// SAFETY: a block is of its class or of the system, as its layout says, and in a list only while it is free.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        FREE.with(|free| {
            let block = free[class].get();
            if block.is_null() {
                let layout = Layout::from_size_align(ALIGNMENT << class, ALIGNMENT).expect("a small size");
                // SAFETY: the size is not zero.
                return unsafe { System.alloc(layout) };
            }
            // SAFETY: a free block begins with the address of the next.
            free[class].set(unsafe { block.cast::<*mut u8>().read() });
            block
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            // SAFETY: the caller's promise; it came from there.
            return unsafe { System.dealloc(block, layout) };
        };
        FREE.with(|free| {
            // SAFETY: the block is the caller's no more, has 16 bytes at least, and their alignment.
            unsafe { block.cast::<*mut u8>().write(free[class].get()) };
            free[class].set(block);
        });
    }
}
