//! Floats that several threads hold at once. Here they promise to write disjoint parts.
//!
//! All memory that threads share goes through here. [`Grid`](super::Grid) and [`Lines`](super::Lines) say
//! where something lies; `sequence/threads/schedule.rs` says which thread has it when. Kernels get addresses
//! and read and write vectors there, so no reference to a float lives while another thread works beside it.

use std::marker::PhantomData;

/// A pointer to floats that several threads read and write at the same time, each its own part.
///
/// It has no length, so that tiles keep it in a register. The code that makes one checks the length, and
/// callers of the accessors promise to stay inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    data: *mut f32,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it gives out addresses, and slices by an unsafe function that demands that nobody else touches
// them.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// These floats.
    pub(super) fn new(data: &'a mut [f32]) -> Self {
        Shared { data: data.as_mut_ptr(), life: PhantomData }
    }

    /// Read-only access to these floats: nothing may be written through it.
    pub(super) fn reading(data: &'a [f32]) -> Self {
        Shared { data: data.as_ptr().cast_mut(), life: PhantomData }
    }

    /// None.
    #[inline(always)]
    pub(super) fn empty() -> Self {
        Shared { data: std::ptr::NonNull::dangling().as_ptr(), life: PhantomData }
    }

    /// The floats from a place on.
    ///
    /// # Safety
    /// - The place is inside them, or at their end.
    #[inline(always)]
    pub(super) unsafe fn from(self, start: usize) -> Self {
        // SAFETY: the caller's promise.
        Shared { data: unsafe { self.data.add(start) }, life: PhantomData }
    }

    /// Where a float is, or would be.
    #[inline(always)]
    pub(super) fn address(self, at: usize) -> *mut f32 {
        self.data.wrapping_add(at)
    }

    /// `count` floats, to write, by one thread alone: for copies between passes. Tiles go by
    /// [`address`](Self::address).
    ///
    /// # Safety
    /// - They are inside, nobody else reads or writes them while the slice lives, and they were not made by
    ///   [`reading`](Shared::reading).
    #[inline(always)]
    pub(super) unsafe fn slice_mut(self, start: usize, count: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), count) }
    }
}
