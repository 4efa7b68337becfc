//! What the constants of a model may cost: a few bytes of a file may ask for 2^60 elements.

use super::super::refused;
use super::super::tensor::element_count;
use crate::error::Error;
use std::path::{Path, PathBuf};

/// The most axes of an array: more than any model has.
pub(super) const MAX_AXES: usize = 64;

/// As many looks at elements cost what one element does that is made.
pub(super) const LOOKS: usize = 32;

/// How many elements may still be made, and how many bytes of other files read.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    in_networks: usize,
    files: Vec<PathBuf>,
    bytes_left: u64,
}

impl Budget {
    /// A budget for a file of this many bytes: each float of the file may be copied 128 times.
    ///
    /// Layers of one network may share their weights, and each has a copy. These may be copied 384 times, up
    /// to 2^28 floats together.
    pub(super) fn of_file(bytes: usize) -> Budget {
        let left = (1usize << 20).saturating_add(bytes.saturating_mul(32));
        let in_networks = (1usize << 20).saturating_add(bytes.saturating_mul(96)).min(1 << 28).max(left);
        Budget { left, in_networks, files: Vec::new(), bytes_left: 0 }
    }

    /// Pays for the floats of a layer of a network.
    pub(super) fn spend_in_network(&mut self, floats: usize) -> Result<(), Error> {
        self.in_networks = self.in_networks.checked_sub(floats).ok_or_else(too_many)?;
        Ok(())
    }

    /// Pays for some bytes of another file. The bytes that are read of it may be four times its length,
    /// because tensors may share bytes.
    pub(super) fn read_file(&mut self, path: &Path, length: u64, bytes: usize) -> Result<(), Error> {
        if !self.files.iter().any(|file| file == path) {
            self.files.push(path.to_owned());
            self.bytes_left = self.bytes_left.saturating_add(length.saturating_mul(4));
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            self.left = self.left.saturating_add(length.saturating_mul(32));
            let more = self.in_networks.saturating_add(length.saturating_mul(96)).min(1 << 28);
            self.in_networks = more.max(self.in_networks.saturating_add(length.saturating_mul(32)));
        }
        self.bytes_left = self.bytes_left.checked_sub(bytes as u64).ok_or_else(too_many)?;
        Ok(())
    }

    /// Pays for names and elements that are looked at, and not made: less than for those that are made.
    pub(super) fn spend_looks(&mut self, count: usize) -> Result<(), Error> {
        self.left = self.left.checked_sub(count / LOOKS).ok_or_else(too_many)?;
        Ok(())
    }

    /// Pays for an array of this shape: its number of elements.
    pub(super) fn spend(&mut self, shape: &[usize]) -> Result<usize, Error> {
        let count = element_count(shape).filter(|_| shape.len() <= MAX_AXES).ok_or_else(too_many)?;
        // Its sizes are work too.
        self.left = self.left.checked_sub(count.saturating_add(shape.len() + 1)).ok_or_else(too_many)?;
        Ok(count)
    }
}

/// The error of what is not paid for.
pub(super) fn too_many() -> Error {
    refused("constants", "no more elements than the file has reason for", "more")
}
