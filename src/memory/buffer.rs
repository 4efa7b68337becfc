//! Floats on cache-line boundaries.
//!
//! Weights, states and tapes lie in buffers that start on a line of 64 bytes, so that a vector of any
//! level crosses no line. A `Vec` of lines gives that without an allocator of our own.

use crate::error::{Error, checked_size};
use crate::simd::LINE;
use std::ops::{Deref, DerefMut};

/// A cache line of floats.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

// SAFETY: an array of 16 floats of 64 bytes, aligned to 64: no padding, and all bits zero is a value.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above; every bit pattern is a value, the type is `Copy` and `'static`, its layout is C's.
unsafe impl bytemuck::Pod for Line {}

/// Zeroed floats, aligned to a cache line.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlignedBuf {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros, or an error where the allocator refuses.
    pub(crate) fn zeroed(len: usize) -> Result<Self, Error> {
        let mut buffer = AlignedBuf::default();
        buffer.grow(len)?;
        Ok(buffer)
    }

    /// Makes the buffer at least `len` floats long. A buffer that was shorter is freed and replaced by zeros;
    /// one that was long enough does not change. Where memory is refused the buffer is empty.
    pub(crate) fn grow(&mut self, len: usize) -> Result<(), Error> {
        if len > self.len {
            checked_size("buffer", &[len])?;
            let count = len.div_ceil(LINE);
            *self = AlignedBuf::default();
            let mut lines = Vec::new();
            lines.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes: count * 64 })?;
            lines.resize(count, Line([0.0; LINE]));
            *self = AlignedBuf { lines, len };
        }
        Ok(())
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];
    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for AlignedBuf {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
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
    fn absurd_sizes_are_errors() {
        assert!(matches!(AlignedBuf::zeroed(usize::MAX), Err(Error::SizeOverflow { .. })));
        // (Two thousand million bytes may be had where addresses have 32 bits.)
        #[cfg(target_pointer_width = "64")]
        assert_eq!(AlignedBuf::zeroed(1 << 60).unwrap_err(), Error::OutOfMemory { bytes: 1 << 62 });
    }
}
