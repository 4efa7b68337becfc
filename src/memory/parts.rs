//! Parts of one length in one piece of memory: the records of each strand, the outputs of each layer.
//!
//! ```text
//! | part 0 ....... - - | part 1 ....... - - | part 2 ....... - - |      each padded to whole cache lines
//! ```
//!
//! As a [`Grid`](super::Grid) does, this says where something lies, and the memory is given to each call.

use crate::error::{Error, checked_size};
use crate::simd::LINE;
use std::ops::Range;

/// How many parts, and how long each of them is, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    count: usize,
    len: usize,
    /// From a part to the next.
    stride: usize,
}

impl Parts {
    /// `count` parts of `len` floats.
    pub(crate) fn new(count: usize, len: usize) -> Result<Self, Error> {
        let what = "memory";
        let stride = len.checked_next_multiple_of(LINE).ok_or(Error::SizeOverflow { what })?;
        checked_size(what, &[count, stride])?;
        Ok(Parts { count, len, stride })
    }

    /// The floats of all parts, with their padding.
    pub(crate) fn all(&self) -> usize {
        self.count * self.stride
    }

    fn range(&self, n: usize) -> Range<usize> {
        debug_assert!(n < self.count);
        n * self.stride..n * self.stride + self.len
    }

    /// A part to read.
    pub(crate) fn part<'a>(&self, data: &'a [f32], n: usize) -> &'a [f32] {
        &data[self.range(n)]
    }

    /// All parts, to write.
    pub(crate) fn each_mut<'a>(&self, data: &'a mut [f32]) -> impl Iterator<Item = &'a mut [f32]> + use<'a> {
        let Parts { count, len, stride } = *self;
        let mut rest = &mut data[..count * stride];
        (0..count).map(move |_| {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(stride);
            rest = others;
            &mut part[..len]
        })
    }

    /// A part to read and another part to write, as far as they are asked for.
    ///
    /// # Panics
    /// Where both are one part: who writes it by address would read a reference to it.
    pub(crate) fn pick<'a>(
        &self,
        data: &'a mut [f32],
        read: Option<usize>,
        write: Option<usize>,
    ) -> (Option<&'a [f32]>, Option<&'a mut [f32]>) {
        match (read, write) {
            (Some(read), Some(write)) => match data.get_disjoint_mut([self.range(read), self.range(write)]) {
                Ok([read, write]) => (Some(read), Some(write)),
                Err(_) => panic!("a part is read or written, not both"),
            },
            (Some(read), None) => (Some(&data[self.range(read)]), None),
            (None, Some(write)) => (None, Some(&mut data[self.range(write)])),
            (None, None) => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_one_after_the_other_on_whole_lines() {
        let parts = Parts::new(3, 17).unwrap();
        assert_eq!(parts.all(), 3 * 32);
        let mut data: Vec<f32> = (0..100).map(|k| k as f32).collect();
        assert_eq!(parts.part(&data, 2), &(64..81).map(|k| k as f32).collect::<Vec<_>>()[..]);
        for (n, part) in parts.each_mut(&mut data).enumerate() {
            part.fill(-1.0 - n as f32);
        }
        assert_eq!((data[16], data[17], data[80], data[81]), (-1.0, 17.0, -3.0, 81.0));
        let (read, write) = parts.pick(&mut data, Some(2), Some(0));
        assert_eq!((read.unwrap(), write.unwrap().len()), (&[-3.0; 17][..], 17));
        assert_eq!(parts.pick(&mut data, None, Some(1)).1.unwrap()[0], -2.0);
        assert_eq!(parts.pick(&mut data, Some(1), None).0.unwrap()[0], -2.0);
        assert_eq!(parts.pick(&mut data, None, None), (None, None));
        let same = std::panic::AssertUnwindSafe(|| _ = parts.pick(&mut data, Some(1), Some(1)));
        assert!(std::panic::catch_unwind(same).is_err(), "one part is not another");
    }

    #[test]
    fn parts_of_nothing_are_still_counted() {
        let parts = Parts::new(3, 0).unwrap();
        assert_eq!((parts.all(), parts.each_mut(&mut []).count()), (0, 3));
        assert!(Parts::new(2, usize::MAX).is_err() && Parts::new(usize::MAX, 2).is_err());
    }
}
