//! Floats on cache-line boundaries.
//!
//! Weights, states and tapes lie in buffers that start on a line of 64 bytes, so that a vector of any level
//! crosses no line. Large ones start on a large page, and ask for such pages (`large_pages.rs`).

use super::large_pages;
use crate::error::{Error, checked_size};
use crate::simd::LINE;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Zeroed floats, aligned to a cache line.
pub(crate) struct AlignedBuf {
    /// The first of `len` floats, in memory of [`layout(len)`](layout); dangling where there are none.
    data: NonNull<f32>,
    len: usize,
}

// SAFETY: it owns its floats.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; by shared references they are read alone.
unsafe impl Sync for AlignedBuf {}

/// The layout of `len` floats, in whole lines; `None` if no memory is that large.
fn layout(len: usize) -> Option<Layout> {
    let bytes = len.checked_next_multiple_of(LINE)?.checked_mul(size_of::<f32>())?;
    Layout::from_size_align(bytes, large_pages::alignment(bytes)).ok()
}

impl AlignedBuf {
    /// `len` zeros, or an error where the allocator refuses.
    pub(crate) fn zeroed(len: usize) -> Result<Self, Error> {
        let mut buffer = AlignedBuf::default();
        buffer.grow(len)?;
        Ok(buffer)
    }

    /// Where it begins. It is for code that keeps the address, and writes there while nobody borrows the
    /// buffer.
    pub(crate) fn address(&self) -> *mut f32 {
        self.data.as_ptr()
    }

    /// Makes the buffer at least `len` floats long. A buffer that was shorter is freed and replaced by zeros;
    /// one that was long enough does not change. Where memory is refused the buffer is empty.
    pub(crate) fn grow(&mut self, len: usize) -> Result<(), Error> {
        if len > self.len {
            checked_size("buffer", &[len])?;
            *self = AlignedBuf::default();
            let layout = layout(len).ok_or(Error::SizeOverflow { what: "buffer" })?;
            // SAFETY: `len` is not zero.
            let data = unsafe { alloc(layout) };
            let data = NonNull::new(data).ok_or(Error::OutOfMemory { bytes: layout.size() })?;
            // SAFETY: this many bytes were just allocated, and nobody else has them; zero bits are floats.
            unsafe {
                large_pages::advise(data.as_ptr(), layout.size());
                data.write_bytes(0, layout.size());
            }
            *self = AlignedBuf { data: data.cast(), len };
        }
        Ok(())
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        AlignedBuf { data: NonNull::dangling(), len: 0 }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.len).filter(|layout| layout.size() > 0) {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.data.as_ptr().cast(), layout) };
        }
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> Self {
        let mut clone = AlignedBuf::default();
        if clone.grow(self.len).is_err() {
            handle_alloc_error(layout(self.len).unwrap_or(Layout::new::<f32>()));
        }
        clone.copy_from_slice(self);
        clone
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];
    #[inline(always)]
    fn deref(&self) -> &[f32] {
        // SAFETY: the memory has `len` initialised floats, which the buffer owns.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_grow() {
        let mut buffer = AlignedBuf::zeroed(17).unwrap();
        assert_eq!(buffer.as_ptr() as usize % 64, 0);
        assert_eq!(&buffer[..], &[0.0; 17]);
        buffer[16] = 1.0;
        buffer.grow(5).unwrap();
        assert_eq!(buffer[16], 1.0);
        buffer.grow(40).unwrap();
        assert_eq!(&buffer[..], &[0.0; 40]);
    }

    #[test]
    fn large_buffers_are_like_small_ones() {
        // Around a large page, and of several.
        for len in [(512 << 10) - 1, 512 << 10, (512 << 10) + 1, (3 << 19) + 17] {
            let mut buffer = AlignedBuf::zeroed(len).unwrap();
            assert_eq!((buffer.as_ptr() as usize % 64, buffer.len()), (0, len));
            assert!(buffer.iter().all(|&value| value == 0.0));
            (buffer[0], buffer[len - 1]) = (1.0, 2.0);
            let clone = buffer.clone();
            drop(buffer);
            assert_eq!((clone[0], clone[1], clone[len - 1]), (1.0, 0.0, 2.0));
        }
        assert!(AlignedBuf::default().clone().is_empty());
    }

    #[test]
    fn absurd_sizes_are_errors() {
        assert!(matches!(AlignedBuf::zeroed(usize::MAX), Err(Error::SizeOverflow { .. })));
        // (Two thousand million bytes may be had where addresses have 32 bits.)
        #[cfg(target_pointer_width = "64")]
        assert_eq!(AlignedBuf::zeroed(1 << 60).unwrap_err(), Error::OutOfMemory { bytes: 1 << 62 });
    }
}
